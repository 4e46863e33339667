"""What the networks are asked for.

Of histories:

``paper``   Galceran et al. (2026, equations 4 and 5): log cosh of the errors of mass fractions and of
            metallicities, 80 : 20. ``paper-mse`` and ``paper-smape``, which they also tried, take squared errors and
            symmetric relative errors instead.
``light``   Ours. The V-light fractions and their cumulative curve, the cumulative mass that follows through the basis'
            mass-to-light ratios, metallicities, dust, log M/L and the four means, each in units of an error that would
            be good, each through log cosh, so that every term counts as long as it is worse than that.

Of scalars, on the scale on which each is predicted (`model.targets.Target`):

``mae``, ``mse``    mean absolute error, mean squared error.
``log-cosh``        of the error in units of a hundredth of the scalar's range.
``gaussian``        negative log likelihood of a normal distribution whose width, one number per scalar and S/N, is
                    learnt with the network: it weighs scalars and objects of different difficulty (Kendall, Gal &
                    Cipolla 2018, CVPR), so that faint objects do not drown the bright.
"""

from __future__ import annotations

import torch

from napari_sfh.model.networks import HistoryOutput
from napari_sfh.model.targets import MassToLight
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.physics.means import compute_population_means

#: Names of the losses, by what is predicted.
PAPER_LOSSES: tuple[str, ...] = ("paper", "paper-mse", "paper-smape")
HISTORY_LOSSES: tuple[str, ...] = (*PAPER_LOSSES, "light")
SCALAR_LOSSES: tuple[str, ...] = ("mae", "mse", "log-cosh", "gaussian")
#: Unit of a scalar's error in ``log-cosh``; scalars run from -1 to 1.
SCALAR_UNIT = 0.02

#: Added to the denominator of a relative error, so that two zeros are equal.
SMAPE_FLOOR = 1e-6
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
    """log cosh x, without overflow.

    Parameters
    ----------
    x : tensor (...)

    Returns
    -------
    tensor (...)
    """
    return x.abs() + torch.nn.functional.softplus(-2 * x.abs()) - 0.6931471805599453


def relative_error(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Symmetric relative error |a - b| / (|a| + |b|) of each number.

    Parameters
    ----------
    found, truth : tensor (...)

    Returns
    -------
    tensor (...)
        0 to 1.
    """
    return (found - truth).abs() / (found.abs() + truth.abs() + SMAPE_FLOOR)


def paper_loss(decoded: HistoryOutput, mass: torch.Tensor, mh: torch.Tensor, name: str = "paper") -> torch.Tensor:
    """One of the losses of Galceran et al. (2026), see the head of the module.

    Parameters
    ----------
    decoded : HistoryOutput
        Fractions and [M/H] (N, A).
    mass : tensor (N, A)
        True mass fractions.
    mh : tensor (N, A)
        True [M/H], dex.
    name : str
        One of `PAPER_LOSSES`.

    Returns
    -------
    tensor ()
        Mean over objects and age bins.
    """
    if name == "paper-smape":
        history, metals = relative_error(decoded.fraction, mass), relative_error(decoded.mh, mh)
    else:
        measure = torch.square if name == "paper-mse" else log_cosh
        history, metals = measure(decoded.fraction - mass), measure(decoded.mh - mh)
    return SFH_SHARE * history.mean() + (1 - SFH_SHARE) * metals.mean()


def light_loss(
    decoded: HistoryOutput, y: torch.Tensor, truth: dict[str, torch.Tensor], to_light: MassToLight
) -> torch.Tensor:
    """Loss of light fractions, [M/H] and dust.

    Parameters
    ----------
    decoded : HistoryOutput
        With ``dust``.
    y : tensor (N, 2 A + 3)
        True label vector.
    truth : dict
        True ``mass_frac`` (N, A), ``lg_ml_v`` and the four means (N,).
    to_light : MassToLight
    """
    n = decoded.fraction.shape[1]
    root, mh, dust = y[:, :n], y[:, n : 2 * n], y[:, 2 * n :]
    mass, lg_ml = to_light.mass_from_light(decoded.fraction, decoded.mh)
    means = compute_population_means(mass, decoded.fraction, decoded.mh, to_light.lg_age)
    error = {
        "root": torch.sqrt(decoded.fraction + 1e-6) - root,
        "cum_light": (cumulative_fraction(decoded.fraction) - cumulative_fraction(root**2))[:, 1:],
        "cum_mass": (cumulative_fraction(mass) - cumulative_fraction(truth["mass_frac"]))[:, 1:],
        # Metallicities of bins that shine count double.
        "mh": (decoded.mh - mh) * torch.sqrt(0.5 + 8.0 * root**2),
        "lg_ml_v": lg_ml - truth["lg_ml_v"],
        **{name: mean - truth[name] for name, mean in means.items()},
    }
    if decoded.dust is not None:
        error["tau_ism"] = decoded.dust[:, 0] - dust[:, 0]
        error["ln_tau_bc"] = decoded.dust[:, 1] - dust[:, 1]
        error["slope"] = decoded.dust[:, 2] - dust[:, 2]
    terms = [TERMS[k][1] * log_cosh(e / TERMS[k][0]).mean() for k, e in error.items()]
    return torch.stack(terms).sum()


def scalar_loss(name: str, values: torch.Tensor, y: torch.Tensor, ln_width: torch.Tensor) -> torch.Tensor:
    """A loss of `SCALAR_LOSSES`: mean over objects and scalars.

    Parameters
    ----------
    name : str
    values, y : tensors (N, T)
        Predicted and true label vectors.
    ln_width : tensor (T,) or (N, T)
        Logarithm of the widths of ``gaussian``; the others do not use it.
    """
    error = values - y
    if name == "mae":
        return error.abs().mean()
    if name == "mse":
        return error.pow(2).mean()
    if name == "log-cosh":
        return log_cosh(error / SCALAR_UNIT).mean()
    return (0.5 * (error * torch.exp(-ln_width)) ** 2 + ln_width).mean()
