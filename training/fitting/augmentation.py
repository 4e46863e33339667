"""What is taken away from training spectra, anew each time they are seen: light, bands, wavelengths.

All acts on `Observation`, before `encoding.encode_observation`, so that a spectrum made worse looks like one observed
so. Noise is added to what the simulation made: the errors grow by the same factor at every pixel, or in every band
where there is no spectrum, and the S/N falls to the one drawn. Flux, error and mask may be tensors on a device, see
`array_backend`; they stay there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.filters import compute_photometry_scale, measure_photometry_snr
from napari_sfh.physics.lines import FORBIDDEN_LINES_AA, GAS_LINES_AA, RECOMBINATION_LINES_AA, find_stellar_pixels
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.noise import select_wavelength_range
from napari_sfh.types import F32, F64, Observation

#: Windows in Angstrom of the strong lines that may be masked: Hbeta, [O III], [O I], Halpha + [N II], [S II].
MASKED_LINES_AA: tuple[tuple[float, float], ...] = (
    (4840.0, 4885.0),
    (4940.0, 5030.0),
    (6280.0, 6320.0),
    (6525.0, 6605.0),
    (6695.0, 6750.0),
)
#: Most short gaps of a spectrum that has any, and their widths in pixels.
MOST_GAPS, GAP_WIDTHS_PX = 4, (1, 30)
#: Widths in Angstrom of a masked range.
MASK_WIDTH_RANGE_AA = (50.0, 400.0)


def augment_spectra(data: Observation, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
    """A worse version of ``data``; its arrays are never modified.

    Parameters
    ----------
    data : Observation
    settings : AugmentSettings
    rng : numpy.random.Generator
    """
    if settings.snr_range or settings.snr_mix:
        data = degrade_to_snr(data, draw_snr(data.n_bins, settings, rng), rng)
    return drop_wavelengths_and_bands(data, settings, rng)


def drop_wavelengths_and_bands(data: Observation, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
    """``data`` less some wavelengths and bands.

    Parameters
    ----------
    data : Observation
        N objects.
    settings : AugmentSettings
        Probabilities of each loss.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        With smaller masks; what is masked is 0.
    """
    shares = (
        settings.mask_range,
        settings.mask_gaps,
        settings.mask_line,
        settings.mask_line_group,
        settings.mask_all_lines,
    )
    if data.instrument.spectrum is not None and max(shares) > 0:
        data = _drop_wavelengths(data, settings, rng)
    if data.instrument.bands and (settings.drop_band > 0 or settings.drop_photometry > 0):
        data = _drop_bands(data, settings, rng)
    return data


def degrade_to_snr(data: Observation, snr: np.ndarray, rng: np.random.Generator) -> Observation:
    """Spectra with noise added so that their S/N falls to a given one; those already below stay.

    Parameters
    ----------
    data : Observation
        N objects; not modified.
    snr : array (N,)
    rng : numpy.random.Generator

    Returns
    -------
    Observation
    """
    factor = np.maximum(data.snr / np.asarray(snr, np.float32), 1.0).astype(np.float32)
    if data.instrument.spectrum is None:
        return _degrade_bands(data, factor[:, None], rng)
    xp = array_backend.find_backend(data.flux)
    extra = xp.put(np.sqrt(factor**2 - 1))[:, None] * data.error
    flux = xp.where(data.mask, data.flux + extra * xp.normal(rng, tuple(data.flux.shape)), 0.0)
    return replace(data, flux=flux, error=data.error * xp.put(factor)[:, None], snr=data.snr / factor)


def _degrade_bands(data: Observation, factor: np.ndarray, rng: np.random.Generator) -> Observation:
    """Bands with noise added so that their errors grow by a factor (N, 1)."""
    extra = np.sqrt(factor**2 - 1) * data.phot_error
    phot = (data.phot + extra * rng.standard_normal(data.phot.shape)).astype(np.float32)
    mask = data.phot_mask & (phot > 0)
    worse = replace(data, phot=np.where(mask, phot, 0.0), phot_error=data.phot_error * factor, phot_mask=mask)
    return normalise_bands(worse)


def normalise_bands(data: Observation) -> Observation:
    """Bands divided by what the instrument says, after some of them changed; S/N anew where it is the bands' own."""
    instrument = data.instrument
    if not instrument.bands or instrument.photometry_norm == "spectrum":
        return data
    scale = compute_photometry_scale(data.phot, data.phot_mask, instrument.photometry_norm, instrument.band_names)
    single: F32 = np.where(np.isfinite(scale), scale, 1.0)[:, None].astype(np.float32)
    data = replace(data, phot=data.phot / single, phot_error=data.phot_error / single)
    if instrument.spectrum is None:
        snr = measure_photometry_snr(data.phot, data.phot_error, data.phot_mask)
        data = replace(data, snr=np.nan_to_num(snr).astype(np.float32))
    return data


def draw_snr(n: int, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """S/N (n,) by the settings: a share from the list ``snr_mix``, the others log-uniform over ``snr_range``.

    Parameters
    ----------
    n : int
        Objects.
    settings : AugmentSettings
        Its ``snr_range``, ``snr_mix`` and ``snr_mix_share``.
    rng : numpy.random.Generator
    """
    lo, hi = settings.snr_range or (1e4, 1e4 + 1)
    snr = np.exp(rng.uniform(np.log(lo), np.log(hi), n))
    if settings.snr_mix:
        mixed = rng.random(n) < settings.snr_mix_share
        snr = np.where(mixed, rng.choice(np.array(settings.snr_mix), n), snr)
    return snr


def _drop_wavelengths(data: Observation, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
    n, xp, wave_aa = data.n_bins, array_backend.find_backend(data.flux), data.instrument.wave_aa
    start, width = draw_hidden_ranges(n, settings, wave_aa, rng)
    lost = select_wavelength_range(xp, start, start + width, wave_aa)
    for lo, hi in MASKED_LINES_AA:
        hit = rng.random(n) < settings.mask_line
        lost[:, np.searchsorted(wave_aa, lo) : np.searchsorted(wave_aa, hi)] |= xp.put(hit)[:, None]
    if settings.mask_gaps > 0:
        for first, last in _draw_gaps(n, settings.mask_gaps, wave_aa, rng):
            lost |= select_wavelength_range(xp, first, last, wave_aa)
    for hit, lines in _draw_hidden_lines(n, settings, rng):
        lost |= xp.put(hit)[:, None] & xp.put(~find_stellar_pixels(wave_aa, lines))
    mask = data.mask & ~lost
    return replace(data, mask=mask, flux=xp.where(mask, data.flux, 0.0))


def draw_hidden_ranges(n: int, settings: AugmentSettings, wave_aa: F64, rng: np.random.Generator) -> tuple[F64, F64]:
    """The range of wavelengths that each spectrum loses.

    Parameters
    ----------
    n : int
        Spectra.
    settings : AugmentSettings
    wave_aa : array (W,)
        Angstrom.
    rng : numpy.random.Generator

    Returns
    -------
    start, width : array (n,)
        Angstrom; width 0: none.
    """
    # A range that begins beyond the last pixel hides nothing.
    start, width = np.full(n, np.inf), np.zeros(n)
    rows = np.flatnonzero(rng.random(n) < settings.mask_range)
    start[rows] = rng.uniform(wave_aa[0] - MASK_WIDTH_RANGE_AA[1] / 2, wave_aa[-1], rows.size)
    width[rows] = rng.uniform(MASK_WIDTH_RANGE_AA[0], MASK_WIDTH_RANGE_AA[1], rows.size)
    return start, width


def _draw_gaps(n: int, share: float, wave_aa: F64, rng: np.random.Generator) -> Iterator[tuple[F64, F64]]:
    """First and last wavelength (n,) of short gaps anywhere, evenly in the logarithm of their widths; inf: none."""
    count = np.where(rng.random(n) < share, rng.integers(1, MOST_GAPS + 1, n), 0)
    low, high = np.log(GAP_WIDTHS_PX[0]), np.log(GAP_WIDTHS_PX[1] + 1)
    for k in range(MOST_GAPS):
        first, width = rng.integers(0, wave_aa.size, n), np.exp(rng.uniform(low, high, n)).astype(int)
        last = np.minimum(first + width - 1, wave_aa.size - 1)
        yield np.where(k < count, wave_aa[first], np.inf), np.where(k < count, wave_aa[last], np.inf)


def _draw_hidden_lines(
    n: int, settings: AugmentSettings, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.bool_], tuple[float, ...]]]:
    """Objects (n,) that lose a group of gas lines, with its lines. No numbers are drawn for a share of 0."""
    if settings.mask_line_group > 0:
        hit, first = rng.random(n) < settings.mask_line_group, rng.random(n) < 0.5
        yield hit & first, RECOMBINATION_LINES_AA
        yield hit & ~first, FORBIDDEN_LINES_AA
    if settings.mask_all_lines > 0:
        yield rng.random(n) < settings.mask_all_lines, GAS_LINES_AA


def _drop_bands(data: Observation, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
    n, b = data.n_bins, data.instrument.n_bands
    # A share of objects keeps a random number of bands, any combination of none to all among them.
    some = rng.random(n) < settings.drop_band
    keep = rng.random((n, b)) < rng.random(n)[:, None]
    keep[~some] = True
    keep[rng.random(n) < settings.drop_photometry] = False
    mask = data.phot_mask & keep
    if data.instrument.spectrum is None:
        # An object without anything teaches nothing: it keeps what it had.
        mask = np.where(mask.any(1, keepdims=True), mask, data.phot_mask)
    worse = replace(data, phot_mask=mask, phot=np.where(mask, data.phot, 0.0).astype(np.float32))
    return normalise_bands(worse)
