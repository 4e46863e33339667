"""Library spectra on the grids of an instrument, and their V-band light.

Spectra go onto the instrument's grid by one convolution on the library's own grid (to the instrument's line-spread
function and dispersion, see `physics.lsf`) and one cubic interpolation; onto a coarse grid for photometry as means over
bins of 20 AA between 1900 and 10500 AA, which gives the HST bands to 0.1 % of the full resolution (a test measures it);
narrower bands get narrower bins. For infrared bands the bins reach from the Lyman limit, so that they hold the light
that dust absorbs, to 5.6 micrometres. Lines are Gaussians on the first and lie whole in one bin on the second.

V-band light is in solar units: 10^(-0.4 (M_V - 4.80)), AB magnitudes, M_V,sun = 4.80 (Willmer 2018, ApJS 236, 47).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics import filters, lsf
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.training.libraries import filter_curves, nebular
from napari_sfh.training.libraries.young_extension import PHOTOMETRIC_RANGE_AA
from napari_sfh.types import F32, F64

#: Widths in Angstrom that the coarse grid's bins may have, widest first; beyond `PHOTOMETRIC_RANGE_AA` the second.
SED_STEPS_AA: tuple[float, ...] = (20.0, 10.0, 5.0, 2.5, 1.25)
INFRARED_STEPS_AA: tuple[float, ...] = (100.0, 50.0, 25.0, 10.0)
#: Range in Angstrom of the coarse grid for infrared bands: the Lyman limit to the red end of NIRCam.
INFRARED_RANGE_AA: tuple[float, float] = (912.0, 56000.0)
#: Bins that a band's effective width must hold at least.
_BINS_PER_BAND = 10.0
#: 4 pi (10 pc)^2 in cm^2.
AREA_10PC_CM2: float = 4 * np.pi * (10 * filters.PARSEC_CM) ** 2
_MARGIN_AA = 45.0  # least room for the kernels at the ends of the grid
_REACH_SIGMA = 6.0  # of the widest kernel, where that is more


def needs_infrared(bands: tuple[Filter, ...]) -> bool:
    """Whether a band reaches beyond the optical range of the coarse grid."""
    return any(band.wave_aa[-1] > PHOTOMETRIC_RANGE_AA[1] for band in bands)


def choose_sed_edges(bands: tuple[Filter, ...], redshift_max: float = 0.0) -> F64:
    """Edges (K + 1,) of the coarse grid's bins for the bands of an instrument.

    Parameters
    ----------
    bands : tuple of Filter
    redshift_max : float
        Up to which the bands see bluer rest wavelengths.

    Raises
    ------
    SfhInputError
        Where a band reaches beyond the range in which every population of a library has light.
    """
    limits_aa = (PHOTOMETRIC_RANGE_AA[0], INFRARED_RANGE_AA[1])
    for band in bands:
        first, last = band.wave_aa[0] / (1 + redshift_max), band.wave_aa[-1]
        if first < limits_aa[0] or last > limits_aa[1]:
            raise SfhInputError(
                f"[[band]] {band.name}: needs templates of {first:.0f}-{last:.0f} AA, they cover {limits_aa[0]:.0f}-"
                f"{limits_aa[1]:.0f} AA; leave the band out or lower [redshift] max"
            )
    optical = tuple(band for band in bands if band.wave_aa[0] < PHOTOMETRIC_RANGE_AA[1])
    first, last = PHOTOMETRIC_RANGE_AA
    edges = np.arange(first, last + 0.1, _choose_step(optical, SED_STEPS_AA))
    if not needs_infrared(bands):
        return edges
    step = _choose_step(tuple(band for band in bands if needs_infrared((band,))), INFRARED_STEPS_AA)
    blue = np.linspace(INFRARED_RANGE_AA[0], first, 51)[:-1]
    return np.concatenate([blue, edges[edges < last], np.arange(last, INFRARED_RANGE_AA[1] + 0.1, step)])


def _choose_step(bands: tuple[Filter, ...], steps_aa: tuple[float, ...]) -> float:
    """The widest of the steps of which the narrowest band holds ten."""
    width = min((_effective_width_aa(band) for band in bands), default=np.inf)
    return next((s for s in steps_aa if width >= _BINS_PER_BAND * s), steps_aa[-1])


def _effective_width_aa(band: Filter) -> float:
    """Area of a curve over its peak, Angstrom."""
    return float(np.trapezoid(band.throughput, band.wave_aa) / band.throughput.max())


def convolve_to_instrument(light: NDArray[np.floating], wave_aa: F64, fwhm_aa: F64, grid: SpectrumGrid) -> F32:
    """Spectra as an instrument sees them, on its grid.

    Parameters
    ----------
    light : array (..., n)
    wave_aa : array (n,)
        Angstrom in air.
    fwhm_aa : array (n,)
        Resolution of the spectra, Angstrom.
    grid : SpectrumGrid
        W pixels.

    Returns
    -------
    array (..., W)
        In the unit of ``light``.

    Raises
    ------
    SfhInputError
        Where the library does not cover the grid, or its resolution is not known there or coarser than the wanted one.
    """
    first, last = float(grid.wave_aa[0]), float(grid.wave_aa[-1])
    widest = float(lsf.total_sigma_aa(grid.wave_aa, grid.fwhm_aa, grid.sigma_kms).max())
    margin = max(_MARGIN_AA, _REACH_SIGMA * widest)
    part = (wave_aa > first - margin) & (wave_aa < last + margin) & np.isfinite(fwhm_aa)
    wave, fwhm = wave_aa[part], fwhm_aa[part]
    inside = (wave_aa > first) & (wave_aa < last)
    if wave.size < 8 or wave[0] > first or wave[-1] < last or not np.all(part[inside]):
        known = wave_aa[np.isfinite(fwhm_aa)]
        held = f"{known[0]:.0f}-{known[-1]:.0f} AA" if known.size else "no wavelength"
        raise SfhInputError(
            f"library: its resolution fwhm_aa is stated over {held} alone, the instrument's grid is "
            f"{first:.0f}-{last:.0f} AA; use another library or a narrower [spectrum]"
        )
    uniform = np.linspace(wave[0], wave[-1], wave.size)
    spectra = np.asarray(light[..., part], dtype=np.float64)
    if np.max(np.abs(uniform - wave)) > 0.02:
        spectra = CubicSpline(wave, spectra, axis=-1)(uniform)
    wanted = lsf.total_sigma_aa(uniform, grid.lsf.fwhm_aa(uniform), grid.sigma_kms)
    extra, coarse = lsf.extra_sigma(np.interp(uniform, wave, fwhm) / lsf.FWHM_PER_SIGMA, wanted)
    coarse &= (uniform >= first) & (uniform <= last)
    if coarse.any():
        raise SfhInputError(
            f"library: its FWHM reaches {fwhm.max():.1f} AA, coarser than the instrument's LSF with "
            f"{grid.sigma_kms:g} km/s at {uniform[coarse][0]:.0f} AA; use a library of higher resolution, or raise "
            "sigma_kms"
        )
    return CubicSpline(uniform, lsf.broaden_spectra(spectra, uniform, extra), axis=-1)(grid.wave_aa).astype(np.float32)


def average_over_bins(light: NDArray[np.floating], wave_aa: F64, edges_aa: F64) -> F64:
    """Mean flux density in bins of wavelength, of spectra that are linear between their points.

    Parameters
    ----------
    light : array (..., n)
        Per Angstrom, at ``wave_aa`` (n,).
    wave_aa : array (n,)
        Increasing, Angstrom.
    edges_aa : array (m + 1,)
        Edges of the bins.

    Returns
    -------
    array (..., m)
        In the unit of ``light``; nothing is added beyond the range of the spectra.
    """
    inside = (wave_aa >= edges_aa[0] - 100) & (wave_aa <= edges_aa[-1] + 100)
    wave, spectra = wave_aa[inside], np.asarray(light[..., inside], dtype=np.float64)
    steps = 0.5 * (spectra[..., 1:] + spectra[..., :-1]) * np.diff(wave)
    total = np.concatenate([np.zeros((*spectra.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    edges = np.clip(edges_aa, wave[0], wave[-1])
    index, share = find_bracket(wave, edges)
    left = spectra[..., index]
    at_edge = left + (spectra[..., index + 1] - left) * share
    cumulative = total[..., index] + 0.5 * (left + at_edge) * (edges - wave[index])
    return np.diff(cumulative, axis=-1) / np.diff(edges_aa)


def v_band_luminosity(light: NDArray[np.floating], wave_aa: F64) -> F64:
    """V-band luminosity of spectra.

    Parameters
    ----------
    light : array (..., n)
        Lsun/AA.
    wave_aa : array (n,)
        Angstrom in air.

    Returns
    -------
    array (...)
        Solar units of the V band.
    """
    band = filter_curves.load_johnson_v_filter()
    flux = filters.mean_flux_density(band, wave_aa, light) * (nebular.L_SUN_ERG_S / AREA_10PC_CM2)
    return flux / filters.flux_from_ab(band, filters.SUN_V_AB)


def line_binning_matrix(line_wave_aa: F64, edges_aa: F64) -> F64:
    """Contribution of lines to the bins of a coarse grid: all of a line in the bin that holds it.

    Parameters
    ----------
    line_wave_aa : array (L,)
        Angstrom.
    edges_aa : array (K + 1,)
        Angstrom, rising.

    Returns
    -------
    array (L, K)
        Per Angstrom.
    """
    number = np.searchsorted(edges_aa, line_wave_aa) - 1
    inside = (number >= 0) & (number < edges_aa.size - 1)
    matrix = np.zeros((line_wave_aa.size, edges_aa.size - 1))
    rows = np.flatnonzero(inside)
    matrix[rows, number[rows]] = 1.0 / np.diff(edges_aa)[number[rows]]
    return matrix
