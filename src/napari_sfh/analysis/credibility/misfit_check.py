"""Where the model that a prediction implies does not describe the data: in the spectrum, or between spectrum and bands.

Three numbers for each object, from the ratio of data to model on pixels without gas lines:

broad   rms of (data / model - 1) beyond the noise, a share of the light. With the reduced chi^2 of the reconstruction,
        broad^2 = (chi^2 - stretch^2) noise^2: it leaves chi^2's growth with S/N out, for a reconstruction from medians
        misses every galaxy by 1 to 2 % of its light.
narrow  mean square of what is narrower than 100 AA over that of a normal distribution with the same median deviation.
        Lines that are not the model's stand out of it; errors that are wrong by a factor do not.
slope   how much steeper the spectrum is than the bands, both over the model, per 1000 AA. A wrong slope of the flux
        calibration is taken for dust and age, so that the spectrum alone does not show it.

``stretch`` is the factor by which the pixels scatter more than their errors say, by their median deviation; beyond a
factor of two it counts as misfit. ``broad`` and ``slope`` are divided by one plus the light of the model's emission
lines over that of its continuum: gas of another state than the model's has other bands. Each number is held against a
limit that few held-out spectra of the prior exceed at that S/N (`MisfitLimits`), 1 % for the three together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import FAINT_GAS_LINES_AA, GAS_LINES_AA, INTERSTELLAR_LINES_AA, find_stellar_pixels
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.rest_frame import find_added_kms, noise_gain
from napari_sfh.types import F32, F64, Bool, Observation

if TYPE_CHECKING:
    from napari_sfh.model.bundle import Bundle

#: Key of a bundle's metadata.
MISFIT_LIMITS_KEY = "misfit_limits"
#: The three numbers, in the order of every array here.
MISFIT_KINDS = ("broad", "narrow", "slope")
_STEP_AA, _LEAST_PIXELS, _LEAST_STEPS, _CHUNK = 100.0, 10, 5, 128
_STRETCH = (0.5, 2.0)
#: Errors beyond the stated ones: of a step of the spectrum, of a band, and of a band per 1000 AA from the middle.
_STEP_ERROR, _BAND_ERROR, _FAR_BAND_ERROR = 0.02, 0.03, 0.02
#: Error of the slope per 1000 AA beyond which bands and spectrum are not compared: too few, or too close, bands.
_LARGEST_SLOPE_ERROR = 0.035


@dataclass(frozen=True)
class MisfitLimits:
    """Limits of the three numbers at S/N nodes, and the pivot wavelengths of the bands, Angstrom."""

    lg_snr: F64  # (S,)
    limits: F64  # (S, 3), in the order of MISFIT_KINDS; infinite: never exceeded
    pivot_aa: F64  # (B,)

    def at(self, snr: F32) -> F64:
        """Limits (N, 3) at S/N (N,), constant beyond the nodes."""
        place = np.log10(np.maximum(np.nan_to_num(snr), 1e-3))
        return np.stack([np.interp(place, self.lg_snr, column) for column in self.limits.T], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite is None."""
        rows = [[None if np.isinf(x) else round(float(x), 5) for x in row] for row in self.limits]
        return {"lg_snr": np.round(self.lg_snr, 5).tolist(), "limits": rows}


class Misfit(NamedTuple):
    """How far data and models differ, see the module; NaN where it cannot be told."""

    broad: F64  # (N,) share of the light
    narrow: F64  # (N,)
    slope: F64  # (N,) share per 1000 AA


def load_misfit_limits(bundle: Bundle) -> MisfitLimits | None:
    """The limits of a bundle; None where neither the bundle nor the package has some.

    Examples
    --------
    >>> from napari_sfh.model.bundle import load_bundle
    >>> limits = load_misfit_limits(load_bundle("wide"))
    >>> bool((limits.limits[:, 0] > 0.02).all())
    True
    """
    stored = bundle.meta.get(MISFIT_LIMITS_KEY) or _read_shipped_limits().get(bundle.sha256)
    if stored is None:
        return None
    rows = [[np.inf if x is None else x for x in row] for row in stored["limits"]]
    pivot_aa = np.array([band.pivot_aa for band in bundle.filters])
    return MisfitLimits(np.asarray(stored["lg_snr"], float), np.asarray(rows, float), pivot_aa)


@lru_cache(maxsize=1)
def _read_shipped_limits() -> Mapping[str, Any]:
    file = resources.files("napari_sfh.data") / "misfit_limits.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def measure_misfit(data: Observation, model_flux: F32, model_phot: F32 | None, pivot_aa: F64) -> Misfit:
    """How far data and models differ.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    model_flux : array (N, W)
        In the unit of ``data.flux``.
    model_phot : array (N, B) or None
        In the unit of ``data.phot``.
    pivot_aa : array (B,)
        Pivot wavelengths of the bands.

    Returns
    -------
    Misfit
    """
    parts = []
    for lo in range(0, data.n_bins, _CHUNK):
        rows = slice(lo, lo + _CHUNK)
        phot = None if model_phot is None else model_phot[rows]
        parts.append(_measure_rows(data.select(rows), model_flux[rows], phot, pivot_aa))
    return Misfit(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def find_misfit(data: Observation, model_flux: F32, model_phot: F32 | None, limits: MisfitLimits) -> Bool:
    """Objects (N,) of which one of the three numbers exceeds its limit.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    model_flux, model_phot : arrays (N, W) and (N, B)
        Rebuilt from the predictions.
    limits : MisfitLimits
        Of the weights.
    """
    if not data.n_bins:
        return np.zeros(0, bool)
    broad, narrow, slope = measure_misfit(data, model_flux, model_phot, limits.pivot_aa)
    numbers = np.stack([broad, narrow, np.abs(slope)], axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((numbers > limits.at(data.snr)).any(1))


def _measure_rows(data: Observation, model_flux: F32, model_phot: F32 | None, pivot_aa: F64) -> tuple[F64, F64, F64]:
    wave, judged = data.instrument.wave_aa, _find_judged_pixels(data)
    used = data.mask & judged & np.isfinite(model_flux) & (model_flux > 0) & (data.error > 0)
    safe = np.where(used, model_flux, 1.0)
    residual = np.where(used, data.flux / safe - 1, 0.0)
    variance = np.where(used, (data.error / safe) ** 2, 0.0)
    step = ((wave - wave[0]) // _STEP_AA).astype(int)
    onto = (step[:, None] == np.arange(step[-1] + 1)).astype(np.float32)
    count = used.astype(np.float32) @ onto
    known = count >= _LEAST_PIXELS
    number = np.where(known, count, np.nan)
    mean, error2 = (residual @ onto) / number, (variance @ onto) / number**2
    used &= known[:, step]
    enough = known.sum(1) >= _LEAST_STEPS
    gain = noise_gain(find_added_kms(data), data.instrument.grid).astype(np.float64)
    fine = np.where(used, residual - np.nan_to_num(mean)[:, step], np.nan)
    pull = np.divide(fine, np.sqrt(variance), out=np.full_like(fine, np.nan), where=used)
    scatter = SIGMA_PER_MAD * compute_row_medians(np.abs(pull).astype(np.float32)).astype(np.float64)
    total = np.where(enough, used.sum(1), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        narrow = np.nansum(pull**2, axis=1) / total / scatter**2
        stretch2 = np.clip(scatter**2 / gain, _STRETCH[0] ** 2, _STRETCH[1] ** 2)
        noise = stretch2 * gain * np.sum(variance, axis=1, where=used) / total
        broad = np.sqrt(np.maximum(np.sum(residual**2, axis=1, where=used) / total - noise, 0.0))
    slope = np.where(enough, _measure_slopes(data, mean, error2, model_phot, pivot_aa), np.nan)
    lines = 1 + _measure_line_light(model_flux, judged)
    return broad.astype(float) / lines, narrow.astype(float), slope / lines


def _find_judged_pixels(data: Observation) -> Bool:
    """Pixels (W,) on no line of gas, however faint, be it of H II regions or between the stars and us."""
    return find_stellar_pixels(data.instrument.wave_aa, (*GAS_LINES_AA, *FAINT_GAS_LINES_AA, *INTERSTELLAR_LINES_AA))


def _measure_line_light(model_flux: F32, judged: Bool) -> F64:
    """Light of the emission lines of models (N, W) over that of their continuum, (N,), at least 0."""
    mean = model_flux[:, judged].mean(1, dtype=np.float64)
    share = np.divide(model_flux.mean(1, dtype=np.float64), mean, out=np.ones_like(mean), where=mean > 0) - 1
    return np.asarray(np.maximum(share, 0.0))


def _measure_slopes(data: Observation, mean: F64, error2: F64, model_phot: F32 | None, pivot_aa: F64) -> F64:
    """Slope (N,) of the spectrum's steps over the model less that of the bands, per 1000 AA."""
    if model_phot is None or not data.instrument.n_bands:
        return np.full(data.n_bins, np.nan)
    wave = data.instrument.wave_aa
    middle = 0.5 * (wave[0] + wave[-1])
    centre = wave[0] + _STEP_AA * (np.arange(mean.shape[1]) + 0.5)
    seen = data.phot_mask & np.isfinite(model_phot) & (model_phot > 0) & (data.phot > 0)
    phot = np.where(seen, data.phot, 1.0)
    away = np.where(seen, np.log(phot / np.where(seen, model_phot, 1.0)), np.nan)
    far = (pivot_aa - middle) / 1000.0
    band2 = (data.phot_error / phot) ** 2 + _BAND_ERROR**2 + (_FAR_BAND_ERROR * far) ** 2
    spectrum, spectrum2 = _fit_slopes((centre - middle) / 1000.0, mean, error2 + _STEP_ERROR**2)
    bands, bands2 = _fit_slopes(far, away, band2)
    with np.errstate(invalid="ignore"):
        return np.where(spectrum2 + bands2 < _LARGEST_SLOPE_ERROR**2, spectrum - bands, np.nan)


def _fit_slopes(x: F64, y: F64, variance: F64) -> tuple[F64, F64]:
    """Weighted slopes (N,) of y (N, n) over x (n,), NaN left out, and their variances."""
    known = np.isfinite(y)
    weight = np.where(known, 1.0 / variance, 0.0)
    value = np.where(known, y, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weight.sum(1)
        offset = x - ((weight @ x) / total)[:, None]
        moment = (weight * offset**2).sum(1)
        return (weight * offset * value).sum(1) / moment, 1.0 / np.where(moment > 0, moment, np.nan)
