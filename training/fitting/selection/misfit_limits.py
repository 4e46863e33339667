"""Limits of the misfit flag, from objects that no training has seen: what 1 % of them exceed at each S/N.

The narrow residuals that models of galaxies have anyway (stars of another abundance pattern) are those of the quietest
objects; what their bands are away from the models is kept, too, to tell bands of a field that are wrong.

The objects are the prior's, with noise that the errors tell and a flux calibration that is right to 1 %. What a prior
adds beyond that to make a network robust (calibrations wrong by up to 6 %) is what the flag has to tell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_sfh.analysis.credibility.band_check import BandResiduals, measure_band_residuals, measure_band_scores
from napari_sfh.analysis.credibility.line_profiles import find_common_residuals
from napari_sfh.analysis.credibility.misfit_check import (
    MISFIT_KINDS,
    MISFIT_LIMITS_KEY,
    MisfitLimits,
    measure_fine_residuals,
    measure_misfit,
)
from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle, load_bundle, save_bundle
from napari_sfh.model.calibration import LG_SNR_NODES
from napari_sfh.model.inference import predict_histories, reconstruct_observations
from napari_sfh.training.fitting.spectra_sources import make_fresh_source
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig, restore_prior
from napari_sfh.training.simulator.forward_model import NoiselessObjects
from napari_sfh.training.simulator.noise import add_observational_noise
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.types import F32, F64, Observation

#: Objects at each S/N; fewer than the second give no such quantile.
LIMIT_OBJECTS, LEAST_OBJECTS = 4000, 600
#: Shares of held-out spectra that may exceed each limit, in the order of `MISFIT_KINDS`: 1 % in all, as
#: velocities and widths that do not matter are left out besides.
MISFIT_ALARM_SHARES = (0.0015, 0.0015, 0.005, 0.0015, 0.0015)
#: Narrow residuals of models that are known, and the largest that counts in them.
DIRECTIONS, _LARGEST_RESIDUAL = 16, 0.05
#: Bands of a field: the node of S/N (40), objects and factors for the response, largest error, how far residuals count,
#: and the share of galaxies that may exceed the limit.
_BAND_NODE, _RESPONSE_OBJECTS, _RESPONSE_FACTORS = 3, 250, (2.5, 0.4, 1.5, 1 / 1.5)
_LARGEST_BAND_ERROR, _CLIP_LN, _BAND_ALARMS = 0.3, 0.6, 0.01
_SEED = 20_261_128
_DRAWS = 200
#: Error of the flux calibration, and residuals of sky lines over the noise, of which the errors know most.
_CALIBRATION, _SKY = 0.01, 1.0


def save_with_misfit_limits(
    file: Path, bundle: Bundle, meta: dict[str, Any], say: LogLine, n: int = LIMIT_OBJECTS, device: str = "cpu"
) -> Path:
    """Write a bundle with limits of the misfit flag that are its own; those of the metadata are of an earlier state.

    Parameters
    ----------
    file : path
        To write.
    bundle : Bundle
        Its model, instrument, bands and templates are written.
    meta : dict
        Metadata to write.
    say : callable
        Gets lines.
    n : int
        Objects at each S/N.
    device : str
        Where the network runs.

    Returns
    -------
    path
        As `model.bundle.save_bundle`.
    """
    parts = (bundle.model, bundle.instrument, bundle.filters, bundle.basis)
    plain = {key: value for key, value in meta.items() if key != MISFIT_LIMITS_KEY}
    path = save_bundle(file, *parts, plain)
    limits = describe_misfit_limits(load_bundle(path), say, n, device)
    if limits:
        return save_bundle(file, *parts, plain | limits)
    if MISFIT_LIMITS_KEY in meta:
        say("limits of the misfit flag left out: they were of the weights as they had been")
    return path


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

    def observe(k: int, lg_snr: float) -> _Rebuilt | None:
        told = _make_told_noise(prior, 10**lg_snr)
        data = add_observational_noise(clean, told, np.random.default_rng([_SEED, k]), source.substituted)
        return _rebuild(data, bundle, device)

    quiet = observe(len(LG_SNR_NODES) - 1, LG_SNR_NODES[-1])
    if quiet is None:
        return None
    pivot_aa = np.array([band.pivot_aa for band in bundle.filters])
    limits = MisfitLimits(np.array(LG_SNR_NODES), np.zeros((0, len(MISFIT_KINDS))), pivot_aa, _find_directions(quiet))
    rows, bands = [], None
    for k, lg_snr in enumerate(LG_SNR_NODES):
        made = observe(k, lg_snr)
        if made is None:
            return None
        numbers = measure_misfit(*made, limits).numbers()
        rows.append([_find_limit(*each) for each in zip(numbers.T, MISFIT_ALARM_SHARES, strict=True)])
        if k == _BAND_NODE:
            bands = measure_band_check(made.data, made.model_phot, bundle, device)
    return replace(limits, limits=np.array(rows), bands=bands)


class _Rebuilt(NamedTuple):
    """Observed objects, and their spectra (N, W) and bands (N, B) as the prediction implies them."""

    data: Observation
    model_flux: F32
    model_phot: F32


def _rebuild(data: Observation, bundle: Bundle, device: str) -> _Rebuilt | None:
    prediction = predict_histories(data, bundle, device, draws=_DRAWS)
    model_flux, model_phot = reconstruct_observations(data, prediction, bundle)
    return None if model_flux is None or model_phot is None else _Rebuilt(data, model_flux, model_phot)


def _find_directions(made: _Rebuilt) -> F32:
    """The narrow residuals (K, W) that models of almost noiseless galaxies have most of."""
    fine, _, _ = measure_fine_residuals(made.data, made.model_flux)
    return find_common_residuals(fine, made.model_flux, DIRECTIONS, _LARGEST_RESIDUAL)


def measure_band_check(data: Observation, model_phot: F32, bundle: Bundle, device: str = "cpu") -> BandResiduals | None:
    """What the bands of galaxies are away from their models; None where too few objects have all bands.

    Parameters
    ----------
    data : Observation
        Objects of the prior, N.
    model_phot : array (N, B)
        Their bands as the weights' answers imply them.
    bundle : Bundle
    device : str
        Where the network runs.
    """
    residual, error = measure_band_residuals(data, model_phot)
    rows = np.flatnonzero(np.isfinite(residual).all(1) & (np.nan_to_num(error, nan=1.0) < _LARGEST_BAND_ERROR).all(1))
    if data.instrument.n_bands < 2 or rows.size < LEAST_OBJECTS // 2:
        return None
    mean = np.median(residual[rows], axis=0)
    covariance = np.cov(np.clip(residual[rows] - mean, -_CLIP_LN, _CLIP_LN).T)
    some = rows[:_RESPONSE_OBJECTS]
    response = np.array(
        [_measure_response(data.select(some), residual[some], b, bundle, device) for b in range(len(mean))]
    )
    check = BandResiduals(mean, covariance, response, 0.0)
    every, none = np.ones(len(mean), bool), np.zeros(len(mean))
    scores = [np.abs(measure_band_scores(row - mean, none, every, check)[1]).max() for row in residual[rows]]
    return replace(check, limit=float(np.quantile(scores, 1 - _BAND_ALARMS)))


def _measure_response(data: Observation, residual: F64, band: int, bundle: Bundle, device: str) -> F64:
    """Change (B,) of the residuals with the ln of a band's flux: the mean over brighter and fainter ones."""
    found = []
    for factor in _RESPONSE_FACTORS:
        scale = np.where(np.arange(data.instrument.n_bands) == band, np.float32(factor), np.float32(1))
        made = _rebuild(replace(data, phot=data.phot * scale, phot_error=data.phot_error * scale), bundle, device)
        if made is not None:
            found.append(np.nanmedian(measure_band_residuals(made.data, made.model_phot)[0] - residual, axis=0))
            found[-1] /= np.log(factor)
    return np.asarray(np.mean(found, axis=0))


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
