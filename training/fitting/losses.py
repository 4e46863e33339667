"""What the networks are asked for.

``paper``   Galceran et al. (2026, equations 4 and 5): log cosh of the errors of mass fractions and of
            metallicities, 80 : 20.
``light``   Ours. The V-light fractions and their cumulative curve, the cumulative mass that follows through the basis'
            mass-to-light ratios, metallicities, dust, log M/L and the four means, each in units of an error that would
            be good, each through log cosh, so that every term counts as long as it is worse than that.
"""

from __future__ import annotations

import torch

from napari_sfh.model.networks import DecoderOutput
from napari_sfh.model.targets import LN_TAU_BC, MH, ROOT, SLOPE_AT, TAU_ISM, MassToLight, cumulative_fraction

#: Share of the SFH in the paper's loss.
SFH_SHARE = 0.8
#: Unit of error and weight of each term of the loss ``light``.
TERMS: dict[str, tuple[float, float]] = {
    "root": (0.05, 1.0),
    "cum_light": (0.05, 1.0),
    "cum_mass": (0.05, 1.0),
    "mh": (0.10, 1.0),
    "tau_ism": (0.05, 0.5),
    "ln_tau_bc": (0.30, 0.3),
    "slope": (0.10, 0.1),
    "lg_ml_v": (0.04, 0.5),
    "lg_age_mw": (0.05, 1.5),
    "lg_age_lw": (0.04, 1.5),
    "mh_mw": (0.03, 1.5),
    "mh_lw": (0.03, 1.5),
}


def log_cosh(x: torch.Tensor) -> torch.Tensor:
    """log cosh x, without overflow."""
    return x.abs() + torch.nn.functional.softplus(-2 * x.abs()) - 0.6931471805599453


def paper_loss(decoded: DecoderOutput, mass: torch.Tensor, mh: torch.Tensor) -> torch.Tensor:
    """Loss of mass fractions (N, 16) and [M/H] (N, 16): mean over objects and bins."""
    history = log_cosh(decoded.fraction - mass).mean()
    return SFH_SHARE * history + (1 - SFH_SHARE) * log_cosh(decoded.mh - mh).mean()


def light_loss(
    decoded: DecoderOutput, y: torch.Tensor, truth: dict[str, torch.Tensor], to_light: MassToLight
) -> torch.Tensor:
    """Loss of light fractions, [M/H] and dust.

    Parameters
    ----------
    decoded : Decoded
        With ``dust``.
    y : tensor (N, 35)
        True label vector.
    truth : dict
        True ``mass_frac`` (N, 16), ``lg_ml_v`` and the four means (N,).
    to_light : MassToLight
    """
    parts = {"light_frac": decoded.fraction, "mh": decoded.mh}
    mass, lg_ml = to_light.mass_from_light(decoded.fraction, decoded.mh)
    error = {
        "root": torch.sqrt(decoded.fraction + 1e-6) - y[:, ROOT],
        "cum_light": (cumulative_fraction(decoded.fraction) - cumulative_fraction(y[:, ROOT] ** 2))[:, 1:],
        "cum_mass": (cumulative_fraction(mass) - cumulative_fraction(truth["mass_frac"]))[:, 1:],
        # Metallicities of bins that shine count double.
        "mh": (decoded.mh - y[:, MH]) * torch.sqrt(0.5 + 8.0 * y[:, ROOT] ** 2),
        "lg_ml_v": lg_ml - truth["lg_ml_v"],
        "lg_age_mw": mass @ to_light.lg_age - truth["lg_age_mw"],
        "lg_age_lw": parts["light_frac"] @ to_light.lg_age - truth["lg_age_lw"],
        "mh_mw": (mass * decoded.mh).sum(1) - truth["mh_mw"],
        "mh_lw": (parts["light_frac"] * decoded.mh).sum(1) - truth["mh_lw"],
    }
    if decoded.dust is not None:
        error["tau_ism"] = decoded.dust[:, 0] - y[:, TAU_ISM]
        error["ln_tau_bc"] = decoded.dust[:, 1] - y[:, LN_TAU_BC]
        error["slope"] = decoded.dust[:, 2] - y[:, SLOPE_AT]
    terms = [TERMS[k][1] * log_cosh(e / TERMS[k][0]).mean() for k, e in error.items()]
    return torch.stack(terms).sum()
