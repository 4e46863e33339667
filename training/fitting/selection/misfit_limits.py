"""Limits of the misfit flag, from objects that no training has seen: what 1 % of them exceed at each S/N.

The objects are the prior's, with noise that the errors tell and a flux calibration that is right to 1 %. What a prior
adds beyond that to make a network robust (calibrations wrong by up to 6 %) is what the flag has to tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_sfh.analysis.credibility.misfit_check import MISFIT_LIMITS_KEY, MisfitLimits, measure_misfit
from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.calibration import LG_SNR_NODES
from napari_sfh.model.inference import predict_histories, reconstruct_observations
from napari_sfh.training.fitting.spectra_sources import make_fresh_source
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig, restore_prior
from napari_sfh.training.simulator.forward_model import NoiselessObjects
from napari_sfh.training.simulator.noise import add_observational_noise
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.types import F64

#: Objects at each S/N; fewer than the second give no such quantile.
LIMIT_OBJECTS, LEAST_OBJECTS = 4000, 600
#: Shares of held-out spectra that may exceed each limit, in the order of `MISFIT_KINDS`: 1 % in all.
MISFIT_ALARM_SHARES = (0.0025, 0.0025, 0.005)
_SEED = 20_261_128
_DRAWS = 200
#: Error of the flux calibration, and residuals of sky lines over the noise, of which the errors know most.
_CALIBRATION, _SKY = 0.01, 1.0


def describe_misfit_limits(bundle: Bundle, say: LogLine, n: int = LIMIT_OBJECTS, device: str = "cpu") -> dict[str, Any]:
    """What a bundle's metadata hold of its limits: empty where they cannot be measured, which is told.

    Parameters
    ----------
    bundle : Bundle
    say : callable
        Gets a line.
    n : int
        Objects at each S/N.
    device : str
        Where the network runs.
    """
    try:
        limits = measure_misfit_limits(bundle, n, device)
    except SfhInputError as error:
        say(f"limits of the misfit flag not measured, so that it will not be set: {error}")
        return {}
    if limits is None:
        return {}
    say(f"limits of the misfit flag from {n} objects at each of {len(LG_SNR_NODES)} S/N")
    return {MISFIT_LIMITS_KEY: limits.to_json()}


def measure_misfit_limits(bundle: Bundle, n: int = LIMIT_OBJECTS, device: str = "cpu") -> MisfitLimits | None:
    """Limits of a bundle; None where it rebuilds no spectra or holds no prior, or ``n`` is too small.

    Parameters
    ----------
    bundle : Bundle
        Trained on a prior that it carries.
    n : int
        Objects at each S/N.
    device : str
        Where the network runs.

    Raises
    ------
    SfhInputError
        Its prior's templates are not prepared.
    """
    if bundle.basis is None or bundle.instrument.spectrum is None or not bundle.targets.n_age or n < LEAST_OBJECTS:
        return None
    if not bundle.meta["prior"].get("toml"):  # a name alone may be another prior's
        return None
    prior = restore_prior(bundle.meta["prior"], bundle.name)
    source = make_fresh_source(prepare_prior(prior, bundle.instrument), n, _SEED)
    flux = np.asarray(source.flux, np.float32)
    clean = NoiselessObjects(flux, source.phot, source.labels, source.params, bundle.instrument)
    pivot_aa = np.array([band.pivot_aa for band in bundle.filters])
    limits = []
    for k, lg_snr in enumerate(LG_SNR_NODES):
        told = _make_told_noise(prior, 10**lg_snr)
        data = add_observational_noise(clean, told, np.random.default_rng([_SEED, k]), source.substituted)
        prediction = predict_histories(data, bundle, device, draws=_DRAWS)
        model_flux, model_phot = reconstruct_observations(data, prediction, bundle)
        if model_flux is None:
            return None
        misfit = measure_misfit(data, model_flux, model_phot, pivot_aa)
        limits.append(
            [_find_limit(np.abs(values), share) for values, share in zip(misfit, MISFIT_ALARM_SHARES, strict=True)]
        )
    return MisfitLimits(np.array(LG_SNR_NODES), np.array(limits), pivot_aa)


def _make_told_noise(prior: PriorConfig, snr: float) -> PriorConfig:
    """The prior with one S/N and noise that its errors tell."""
    fixed = {"snr": snr, "broadened": 1.0, "error_scale_dex": 0.0, "wiggle": _CALIBRATION, "sky": _SKY}
    fixed |= dict.fromkeys(("notch", "bad_pixels", "edge_aa"), 0.0)
    told = replace(prior.noise, **{k: constant_distribution(v) for k, v in fixed.items()})
    return replace(prior, noise=told)


def _find_limit(values: F64, share: float) -> float:
    """What a share of the known numbers (n,) exceeds; infinite where few are known."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, 1 - share)) if known.size >= LEAST_OBJECTS else float("inf")
