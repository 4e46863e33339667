"""Library spectra on the package's two grids, and their V-band light.

Spectra go onto the network's grid by one convolution on the library's own grid (to the MUSE resolution and 150 km/s,
see `physics.lsf`) and one cubic interpolation; onto the coarse grid for photometry as means over bins of 20 AA
between 1900 and 10500 AA, which gives the HST bands to 0.1 % of the full resolution (a test measures it). Lines are
Gaussians on the first and lie whole in one bin on the second.

V-band light is in solar units: 10^(-0.4 (M_V - 4.80)), AB magnitudes, M_V,sun = 4.80 (Willmer 2018, ApJS 236, 47).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import SfhInputError
from napari_sfh.physics import filters, lsf
from napari_sfh.physics.template_basis import find_bracket
from napari_sfh.physics.wavelength import WAVE_AA
from napari_sfh.training.libraries import filter_curves, nebular
from napari_sfh.types import F32, F64

#: Edges of the coarse grid's bins in Angstrom.
SED_EDGES_AA: F64 = np.arange(1900.0, 10500.1, 20.0)
#: Centres of the bins.
SED_WAVE_AA: F64 = 0.5 * (SED_EDGES_AA[1:] + SED_EDGES_AA[:-1])
#: AB magnitude of the Sun in V (Willmer 2018).
SUN_V_AB: float = 4.80
#: 4 pi (10 pc)^2 in cm^2.
AREA_10PC_CM2: float = 4 * np.pi * (10 * 3.0856775814913673e18) ** 2
_MARGIN_AA = 45.0  # room for the kernels at the ends of the MUSE range


def convolve_to_muse_resolution(light: NDArray[np.floating], wave_aa: F64, fwhm_aa: F64) -> F32:
    """Spectra (..., n) of resolution ``fwhm_aa`` (n,) seen by MUSE at 150 km/s, on `WAVE_AA`.

    Raises
    ------
    SfhInputError
        Where the resolution is not known over the range, or coarser than the wanted one.
    """
    part = (wave_aa > WAVE_AA[0] - _MARGIN_AA) & (wave_aa < WAVE_AA[-1] + _MARGIN_AA)
    wave, fwhm = wave_aa[part], fwhm_aa[part]
    if not np.all(np.isfinite(fwhm)):
        raise SfhInputError("library: the resolution fwhm_aa is not stated over 4755-7045 AA; give it in Angstrom")
    grid = np.linspace(wave[0], wave[-1], wave.size)
    spectra = np.asarray(light[..., part], dtype=np.float64)
    if np.max(np.abs(grid - wave)) > 0.02:
        spectra = CubicSpline(wave, spectra, axis=-1)(grid)
    extra, coarse = lsf.extra_sigma(np.interp(grid, wave, fwhm) / lsf.FWHM_PER_SIGMA, lsf.total_sigma_aa(grid))
    if coarse.any():
        raise SfhInputError(
            f"library: its FWHM reaches {fwhm.max():.1f} AA, coarser than MUSE at 150 km/s at "
            f"{grid[coarse][0]:.0f} AA; use a library of higher resolution"
        )
    return CubicSpline(grid, lsf.broaden_spectra(spectra, grid, extra), axis=-1)(WAVE_AA).astype(np.float32)


def average_over_bins(light: NDArray[np.floating], wave_aa: F64, edges_aa: F64) -> F64:
    """Means over bins of spectra (..., n) that are linear between their points; 0 beyond their range."""
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
    """V-band luminosity in solar units of spectra (..., n) in Lsun/AA."""
    band = filter_curves.load_johnson_v_filter()
    flux = filters.mean_flux_density(band, wave_aa, light) * (nebular.L_SUN_ERG_S / AREA_10PC_CM2)
    return flux / filters.flux_from_ab(band, SUN_V_AB)


def line_binning_matrix(line_wave_aa: F64) -> F64:
    """Contribution (L, K) per AA of lines to the SED's bins: all of a line in the bin that holds it."""
    number = np.searchsorted(SED_EDGES_AA, line_wave_aa) - 1
    inside = (number >= 0) & (number < SED_EDGES_AA.size - 1)
    matrix = np.zeros((line_wave_aa.size, SED_EDGES_AA.size - 1))
    rows = np.flatnonzero(inside)
    matrix[rows, number[rows]] = 1.0 / np.diff(SED_EDGES_AA)[number[rows]]
    return matrix
