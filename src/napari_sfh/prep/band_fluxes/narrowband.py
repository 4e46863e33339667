"""Narrow-band photometry, cut from an integral-field cube or from any spectra.

A band's flux is the photon-counting mean flux density of
`physics.filters`. Where pixels are bad the mean is taken over the good ones, as long as those hold 90 % of the band.
Pixels count as independent, so that errors are lower limits where a cube was resampled.

Liew-Cain et al. (2021, MNRAS 502, 1355) cut such bands from CALIFA cubes, and leave out those that may hold Halpha.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.physics.filters import Filter, filter_weight_matrix
from napari_sfh.physics.wavelength import find_dropped_wavelengths
from napari_sfh.prep.binning import MIN_SPAXEL_SNR, SpaxelSN
from napari_sfh.prep.cube_blocks import read_cube_blocks
from napari_sfh.types import F32, F64, Bool, Cube, Progress

#: Share of a band that good pixels must hold.
MIN_GOOD_SHARE = 0.9


@dataclass(frozen=True)
class NarrowbandFluxes:
    """Fluxes of spectra (...) in B bands, in the unit of the spectra."""

    flux: F32  # (..., B) 0 where masked
    error: F32  # (..., B) 1 sigma
    mask: Bool  # (..., B) True = usable


@dataclass(frozen=True)
class NarrowbandImages:
    """Narrow-band images of a cube."""

    filters: tuple[Filter, ...]
    flux: F32  # (B, ny, nx) erg/s/cm2/AA per spaxel; NaN where masked
    error: F32  # (B, ny, nx) 1 sigma, NaN where masked or where the cube has no variance
    wcs: WCS  # celestial, the cube's


def find_covered_filters(cube: Cube, filters: tuple[Filter, ...], redshift: float) -> tuple[Filter, ...]:
    """The bands that the cube holds whole at rest; the others are missing.

    Parameters
    ----------
    cube : Cube
    filters : tuple of Filter
    redshift : float

    Raises
    ------
    SfhInputError
        Fewer than half of them.
    """
    first, last = cube.wave_aa[0] / (1 + redshift), cube.wave_aa[-1] / (1 + redshift)
    covered = tuple(f for f in filters if first <= f.wave_aa[0] and f.wave_aa[-1] <= last)
    if 2 * len(covered) < len(filters):
        raise SfhInputError(
            f"{cube.path}: covers rest {first:.0f}-{last:.0f} AA, {len(covered)} of the {len(filters)} bands of "
            f"{filters[0].wave_aa[0]:.0f}-{filters[-1].wave_aa[-1]:.0f} AA; choose weights for its range"
        )
    return covered


def measure_narrowband_fluxes(
    flux: NDArray[np.floating],
    wave_aa: NDArray[np.floating],
    filters: tuple[Filter, ...],
    error: NDArray[np.floating] | None = None,
    good: Bool | None = None,
) -> NarrowbandFluxes:
    """Band fluxes of spectra.

    Parameters
    ----------
    flux : array (..., n)
        f_lambda.
    wave_aa : array (n,)
        Air wavelengths; those of the rest frame give rest-frame bands.
    filters : tuple of Filter
    error : array (..., n), optional
        1 sigma; without it errors are zero.
    good : boolean array (..., n), optional
        Usable pixels; without it all finite ones.

    Raises
    ------
    SfhInputError
        Shapes do not agree, or the spectra do not cover a filter.
    """
    f = np.asarray(flux)
    usable = np.isfinite(f) if good is None else good & np.isfinite(f)
    if np.shape(wave_aa) != f.shape[-1:] or usable.shape != f.shape:
        raise SfhInputError(
            f"narrow bands: flux {f.shape}, wavelengths {np.shape(wave_aa)} and mask {usable.shape} do not agree"
        )
    variance = np.zeros_like(f) if error is None else np.asarray(error) ** 2
    matrix = _weigh_channels(filters, np.asarray(wave_aa, dtype=np.float64))
    held = usable.astype(np.float32) @ matrix
    total = np.where(usable, f, 0.0) @ matrix
    noise = np.where(usable, variance, 0.0) @ matrix**2
    return _mean_over_good_pixels(total, noise, held)


def _weigh_channels(filters: tuple[Filter, ...], wave_aa: F64) -> F64:
    """Weights (n, B) of channels in bands; those that the data leave out take their share with them."""
    lacking = find_dropped_wavelengths(wave_aa)
    place = np.searchsorted(wave_aa, lacking)
    matrix = filter_weight_matrix(filters, np.insert(wave_aa, place, lacking))
    return np.delete(matrix, place + np.arange(place.size), axis=0)


def _mean_over_good_pixels(
    total: NDArray[np.floating], noise: NDArray[np.floating], held: NDArray[np.floating]
) -> NarrowbandFluxes:
    """Means over the good pixels of sums over them, of their variance and of the share of the band that they hold."""
    mask = np.asarray(held >= MIN_GOOD_SHARE, dtype=np.bool_)
    share = np.where(mask, held, 1.0)
    flux = np.where(mask, total / share, 0.0).astype(np.float32)
    error = np.where(mask, np.sqrt(noise) / share, 0.0).astype(np.float32)
    return NarrowbandFluxes(flux, error, mask)


def make_narrowband_images(
    cube: Cube,
    filters: tuple[Filter, ...],
    redshift: float = 0.0,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> NarrowbandImages:
    """Narrow-band images in one pass over a cube.

    Parameters
    ----------
    cube : Cube
    filters : tuple of Filter
        All within the cube's range.
    redshift : float
        Bands are those of the rest frame at this redshift; 0 takes the observed ones.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    NarrowbandImages

    Raises
    ------
    SfhInputError
        The cube does not cover a filter.
    """
    n, ny, nx = cube.shape
    matrix = _weigh_channels(filters, np.asarray(cube.wave_aa, dtype=float) / (1 + redshift)).astype(np.float32)
    total, noise, held = (np.zeros((ny * nx, len(filters)), np.float32) for _ in range(3))
    reached = np.flatnonzero(matrix.any(1))
    channels = slice(int(reached[0]), int(reached[-1]) + 1)
    report_progress(Progress("narrow bands", 0, n), progress, cancel)
    for part, (flux, variance, good) in read_cube_blocks(cube, channels, cancel):
        weight = matrix[channels][part]
        rows = good.reshape(len(weight), -1)
        total += np.where(rows, flux.reshape(rows.shape), 0.0).T @ weight
        held += rows.T.astype(np.float32) @ weight
        if variance is not None:
            noise += np.where(rows, variance.reshape(rows.shape), 0.0).T @ weight**2
        report_progress(Progress("narrow bands", channels.start + part.stop, n), progress, cancel)
    raise_if_cancelled(cancel)
    measured = _mean_over_good_pixels(total, noise, held)
    flux_map = _as_images(measured.flux, measured.mask, (ny, nx), cube.flux_scale)
    known = measured.mask if cube.has_variance else np.zeros_like(measured.mask)
    error_map = _as_images(measured.error, known, (ny, nx), cube.flux_scale)
    return NarrowbandImages(filters, flux_map, error_map, cube.wcs)


def _as_images(values: F32, mask: Bool, shape: tuple[int, int], scale: float) -> F32:
    """(ny * nx, B) in cube units to (B, ny, nx) in erg/s/cm2/AA, NaN where masked."""
    flat: F64 = np.where(mask, values.astype(float) * scale, np.nan)
    return np.ascontiguousarray(flat.T.reshape(-1, *shape), dtype=np.float32)


def measure_band_signal_noise(flux: F32, error: F32, wcs: WCS, path: Path) -> SpaxelSN:
    """Median over the bands of signal and noise of every pixel.

    Parameters
    ----------
    flux, error : array (B, ny, nx)
        Flux density and its 1 sigma error; NaN where masked.
    wcs : WCS
        Celestial.
    path : Path
        For messages.

    Returns
    -------
    SpaxelSN
        Good where half of the bands are known and their S/N reaches `prep.binning.MIN_SPAXEL_SNR`.

    Raises
    ------
    SfhInputError
        No pixel is good.
    """
    known = np.isfinite(flux) & np.isfinite(error)
    enough = known.sum(0) >= 0.5 * len(flux)
    signal, noise = (np.full(enough.shape, np.nan) for _ in range(2))
    for out, values in ((signal, flux), (noise, error)):
        out[enough] = np.nanmedian(np.where(known, values, np.nan)[:, enough], axis=0)
    good = enough & (np.nan_to_num(signal) > 0) & (np.nan_to_num(signal) >= MIN_SPAXEL_SNR * np.nan_to_num(noise))
    if not good.any():
        raise SfhInputError(f"{path}: no pixel reaches S/N {MIN_SPAXEL_SNR:g} in half of the bands")
    return SpaxelSN(np.asarray(signal, np.float32), np.asarray(noise, np.float32), good, wcs, path, True)
