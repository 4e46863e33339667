"""Where the model that a prediction implies does not describe the data: in the spectrum, or between spectrum and bands.

Five numbers for each object, from the ratio of data to model on pixels without gas lines:

broad   rms of (data / model - 1) beyond the noise, a share of the light. With the reduced chi^2 of the reconstruction,
        broad^2 = (chi^2 - stretch^2) noise^2: it leaves chi^2's growth with S/N out, for a reconstruction from medians
        misses every galaxy by 1 to 2 % of its light.
narrow  mean square of what is narrower than 100 AA over that of a normal distribution with the same median deviation.
        Lines that are not the model's stand out of it; errors that are wrong by a factor do not.
slope   how much steeper the spectrum is than the bands, both over the model, per 1000 AA. A wrong slope of the flux
        calibration is taken for dust and age, so that the spectrum alone does not show it.
shift   how many standard errors the lines of the stars lie off the model's, and
width   how many their squared width is off: a wrong redshift, dispersion or line-spread function (`line_profiles`).

``stretch`` is the factor by which the pixels scatter more than their errors say, by their median deviation; beyond a
factor of two it counts as misfit. ``broad`` and ``slope`` are divided by one plus the light of the model's emission
lines over that of its continuum: gas of another state than the model's has other bands. Each number is held against a
limit that few held-out spectra of the prior exceed at that S/N (`MisfitLimits`), 1 % for all together.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from napari_sfh.analysis.credibility.band_check import BandResiduals, describe_wrong_bands, find_wrong_bands
from napari_sfh.analysis.credibility.line_profiles import FineResiduals, describe_common_profiles, score_line_profiles
from napari_sfh.physics.columns import MISFIT_COLUMNS
from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import FAINT_GAS_LINES_AA, GAS_LINES_AA, INTERSTELLAR_LINES_AA, find_stellar_pixels
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.rest_frame import find_added_kms, noise_gain
from napari_sfh.types import F32, F64, Bool, Observation

if TYPE_CHECKING:
    from napari_sfh.model.bundle import Bundle

#: Key of a bundle's metadata.
MISFIT_LIMITS_KEY = "misfit_limits"
#: The numbers that have limits, in the order of every array here.
MISFIT_KINDS = ("broad", "narrow", "slope", "shift", "width")
_STEP_AA, _LEAST_PIXELS, _LEAST_STEPS, _CHUNK = 100.0, 10, 5, 64
_STRETCH = (0.5, 2.0)
#: Errors beyond the stated ones: of a step of the spectrum, of a band, and of a band per 1000 AA from the middle.
_STEP_ERROR, _BAND_ERROR, _FAR_BAND_ERROR = 0.02, 0.03, 0.02
#: Velocity (km/s) and squared width (km/s)^2 from which [M/H] is off by some 0.05 dex: less is found at high S/N, and
#: kinematics may be wrong by as much.
_LEAST_SHIFT_KMS, _LEAST_EXCESS_KMS2 = 40.0, 6000.0
#: Error of the slope per 1000 AA beyond which bands and spectrum are not compared, and of the bands' own: too few, or
#: too close. Without F814W, F438W and F555W would decide alone, and follow the stars as much as the calibration.
_LARGEST_SLOPE_ERROR, _LARGEST_BAND_SLOPE_ERROR = 0.035, 0.024


@dataclass(frozen=True)
class MisfitLimits:
    """Limits of the numbers at S/N nodes, and what they are measured with."""

    lg_snr: F64  # (S,)
    limits: F64  # (S, kinds), in the order of MISFIT_KINDS; infinite: never exceeded
    pivot_aa: F64  # (B,) of the bands, Angstrom
    directions: F32  # (K, W) orthonormal: narrow residuals that models of galaxies have anyway
    bands: BandResiduals | None = None  # of the bands of a field

    def at(self, snr: F32) -> F64:
        """Limits (N, kinds) at S/N (N,), constant beyond the nodes."""
        place = np.log10(np.maximum(np.nan_to_num(snr), 1e-3))
        return np.stack([np.interp(place, self.lg_snr, column) for column in self.limits.T], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite is None, directions are text."""
        rows = [[None if np.isinf(x) else round(float(x), 5) for x in row] for row in self.limits]
        packed = _pack_directions(self.directions)
        bands = {} if self.bands is None else {"bands": self.bands.to_json()}
        return {"lg_snr": np.round(self.lg_snr, 5).tolist(), "limits": rows, "directions": packed, **bands}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], pivot_aa: F64, n_wave: int) -> Self:
        """Limits that `to_json` has written; of earlier versions, which knew fewer numbers, the rest have none.

        Parameters
        ----------
        stored : mapping
        pivot_aa : array (B,)
        n_wave : int
            Pixels of the weights' grid.
        """
        rows = np.array([[np.inf if x is None else x for x in row] for row in stored["limits"]], float)
        missing = np.full((len(rows), len(MISFIT_KINDS) - rows.shape[1]), np.inf)
        directions = _unpack_directions(stored.get("directions", ""), n_wave)
        bands = BandResiduals.from_json(stored["bands"]) if "bands" in stored else None
        return cls(np.asarray(stored["lg_snr"], float), np.concatenate([rows, missing], 1), pivot_aa, directions, bands)


def _pack_directions(directions: F32) -> str:
    """Rows (K, W) as whole numbers from -127 to 127, in base 64."""
    scale = 127 / np.maximum(np.abs(directions).max(axis=1, initial=0.0, keepdims=True), 1e-12)
    return base64.b64encode(np.rint(directions * scale).astype(np.int8).tobytes()).decode()


def _unpack_directions(text: str, n_wave: int) -> F32:
    rows = np.frombuffer(base64.b64decode(text), np.int8).reshape(-1, n_wave).astype(np.float64)
    return np.asarray(np.linalg.qr(rows.T)[0].T, np.float32) if len(rows) else rows.astype(np.float32)


class Misfit(NamedTuple):
    """How far data and models differ, see the module; NaN where it cannot be told."""

    broad: F64  # (N,) share of the light
    narrow: F64  # (N,)
    slope: F64  # (N,) share per 1000 AA
    shift: F64  # (N,) standard errors
    width: F64  # (N,) standard errors
    shift_kms: F64  # (N,) velocity of the data's stars against the model's
    excess_kms2: F64  # (N,) squared width of their lines less that of the model's

    def columns(self) -> dict[str, F32]:
        """What a result keeps of them, in the order of `physics.columns.MISFIT_COLUMNS`."""
        sigma_kms = np.sign(self.excess_kms2) * np.sqrt(np.abs(self.excess_kms2))
        kept = (self.broad, self.narrow, self.slope, self.shift_kms, sigma_kms)
        return {name: each.astype(np.float32) for name, each in zip(MISFIT_COLUMNS, kept, strict=True)}

    def numbers(self) -> F64:
        """Sizes (N, kinds) that are held against limits, in the order of `MISFIT_KINDS`."""
        return np.abs(np.stack([getattr(self, kind) for kind in MISFIT_KINDS], axis=1))


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
    pivot_aa = np.array([band.pivot_aa for band in bundle.filters])
    return MisfitLimits.from_json(stored, pivot_aa, bundle.instrument.n_wave)


@lru_cache(maxsize=1)
def _read_shipped_limits() -> Mapping[str, Any]:
    file = resources.files("napari_sfh.data") / "misfit_limits.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def measure_misfit(data: Observation, model_flux: F32, model_phot: F32 | None, limits: MisfitLimits) -> Misfit:
    """How far data and models differ.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    model_flux : array (N, W)
        In the unit of ``data.flux``.
    model_phot : array (N, B) or None
        In the unit of ``data.phot``.
    limits : MisfitLimits
        Of the weights; their limits are not used.

    Returns
    -------
    Misfit
    """
    parts = []
    for lo in range(0, data.n_bins, _CHUNK):
        rows = slice(lo, lo + _CHUNK)
        phot = None if model_phot is None else model_phot[rows]
        parts.append(_measure_rows(data.select(rows), model_flux[rows], phot, limits))
    empty = np.zeros((len(Misfit._fields), 0))
    return Misfit(*np.concatenate([empty, *(np.stack(part) for part in parts)], axis=1))


def find_misfit(data: Observation, misfit: Misfit, limits: MisfitLimits) -> Bool:
    """Objects (N,) of which one of the numbers exceeds its limit.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    misfit : Misfit
        Of the same.
    limits : MisfitLimits
        Of the weights.
    """
    with np.errstate(invalid="ignore"):
        beyond = misfit.numbers() > limits.at(data.snr)
        beyond[:, MISFIT_KINDS.index("shift")] &= np.abs(misfit.shift_kms) > _LEAST_SHIFT_KMS
        beyond[:, MISFIT_KINDS.index("width")] &= np.abs(misfit.excess_kms2) > _LEAST_EXCESS_KMS2
    return np.asarray(beyond.any(1))


class JudgedModels(NamedTuple):
    """What the models of N bins are worth."""

    flagged: Bool | None  # (N,) the model does not describe the data; None: not judged
    columns: dict[str, F32]  # (N,) each, see `physics.columns.MISFIT_COLUMNS`; empty: not judged
    notes: tuple[str, ...]  # on all bins of a field together


def check_models(
    data: Observation, model_flux: F32 | None, model_phot: F32 | None, limits: MisfitLimits | None
) -> JudgedModels:
    """Hold models against the data, bin by bin and over the field.

    Parameters
    ----------
    data : Observation
        N bins.
    model_flux, model_phot : arrays (N, W) and (N, B) or None
        Rebuilt from the predictions.
    limits : MisfitLimits or None
        Of the weights; None: nothing is judged.
    """
    if limits is None or model_flux is None or not data.instrument.n_wave:
        return JudgedModels(None, {}, ())
    misfit = measure_misfit(data, model_flux, model_phot, limits)
    wrong = find_wrong_bands(data, model_phot, limits.bands)
    notes = describe_wrong_bands(wrong, data.instrument.band_names)
    notes += describe_common_profiles(misfit.shift_kms, misfit.excess_kms2)
    return JudgedModels(find_misfit(data, misfit, limits), misfit.columns(), notes)


def measure_fine_residuals(
    data: Observation, model_flux: F32, judged: Bool | None = None
) -> tuple[FineResiduals, F64, F64]:
    """Residuals of N objects without what is broader than a step, and what the steps hold.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    model_flux : array (N, W)
    judged : bool array (W,), optional
        Pixels on no line of gas, where they are known already.

    Returns
    -------
    fine : FineResiduals
        Its variance is that of the stated errors.
    mean, error2 : arrays (N, S)
        Mean residual of each step, and its variance; NaN in steps with too few pixels.
    """
    wave = data.instrument.wave_aa
    judged = _find_judged_pixels(data) if judged is None else judged
    used = data.mask & judged & np.isfinite(model_flux) & (model_flux > 0) & (data.error > 0)
    inverse = np.divide(np.float32(1), model_flux, out=np.zeros(used.shape, np.float32), where=used)
    residual = data.flux * inverse - used
    variance = np.square(data.error * inverse)
    step = ((wave - wave[0]) // _STEP_AA).astype(int)
    onto = (step[:, None] == np.arange(step[-1] + 1)).astype(np.float32)
    count = used.astype(np.float32) @ onto
    known = count >= _LEAST_PIXELS
    number = np.where(known, count, np.nan).astype(np.float64)
    mean, error2 = (residual @ onto) / number, (variance @ onto) / number**2
    width = onto.sum(0).astype(int)
    if not known.all():
        used &= np.repeat(known, width, axis=1)
    residual -= np.repeat(np.nan_to_num(mean).astype(np.float32), width, axis=1)
    residual *= used
    return FineResiduals(residual, variance, used, onto, number), mean, error2


def _measure_rows(data: Observation, model_flux: F32, model_phot: F32 | None, limits: MisfitLimits) -> Misfit:
    judged = _find_judged_pixels(data)
    fine, mean, error2 = measure_fine_residuals(data, model_flux, judged)
    enough = np.isfinite(fine.number).sum(1) >= _LEAST_STEPS
    gain = noise_gain(find_added_kms(data), data.instrument.grid).astype(np.float64)
    pull = np.full_like(fine.residual, np.nan)
    np.divide(fine.residual, np.sqrt(fine.variance), out=pull, where=fine.used)
    scatter = SIGMA_PER_MAD * compute_row_medians(np.abs(pull)).astype(np.float64)
    total = np.where(enough, fine.used.sum(1), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        narrow = np.nansum(pull**2, axis=1) / total / scatter**2
        stretch2 = np.clip(scatter**2 / gain, _STRETCH[0] ** 2, _STRETCH[1] ** 2)
        noise = stretch2 * gain * np.einsum("ij,ij->i", fine.variance, fine.used) / total
        square = np.einsum("ij,ij->i", fine.residual, fine.residual) + np.nansum(mean**2 * fine.number, axis=1)
        broad = np.sqrt(np.maximum(square / total - noise, 0.0))
    told = fine._replace(variance=fine.variance * np.where(enough, stretch2, 1.0)[:, None].astype(np.float32))
    profiles = score_line_profiles(told, model_flux, data.instrument.wave_aa, limits.directions)
    slope = _measure_slopes(data, mean, error2, model_phot, limits.pivot_aa)
    lines = 1 + _measure_line_light(model_flux, judged)
    found = (broad / lines, narrow, slope / lines, *profiles)
    return Misfit(*(np.where(enough, each, np.nan).astype(float) for each in found))


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
        told = (spectrum2 + bands2 < _LARGEST_SLOPE_ERROR**2) & (bands2 < _LARGEST_BAND_SLOPE_ERROR**2)
        return np.where(told, spectrum - bands, np.nan)


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
