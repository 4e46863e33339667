"""Broad-band photometry: what a photon-counting detector behind a filter measures.

With T the total throughput (photons), the mean flux density and the pivot wavelength are

    <f_l> = int f_l T l dl / int T l dl          l_p^2 = int T l dl / int T / l dl

so that <f_nu> = <f_l> l_p^2 / c exactly, and m_AB = -2.5 log10 <f_nu> - 48.60 in cgs units (Oke & Gunn
1983; Bessell & Murphy 2012, PASP 124, 140). Wavelengths are in air like all of the package; curves given in
vacuum (HST) are converted when they are read. Spectra and curves are linear between their points, and the
integrals are exact for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from numpy.typing import NDArray

from napari_sfh.arrays import F64, AnyArray
from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import C_AA_S

#: Zero point of AB magnitudes for f_nu in erg/s/cm2/Hz.
AB_ZERO: float = -48.60
#: Absolute AB magnitude of the Sun in V (Willmer 2018, ApJS 236, 47).
SUN_V_AB: float = 4.80
#: Centimetres in a parsec.
PARSEC_CM: float = 3.0856775814913673e18
_NEGLIGIBLE = 1e-4  # of the peak: a curve's tails below this need no spectrum


@dataclass(frozen=True)
class Filter:
    """One throughput curve.

    Attributes
    ----------
    name : str
        The band it stands for, e.g. ``F275W``.
    camera : str
        ``UVIS``, ``ACS``, or another instrument's name.
    wave_aa : array (n,)
        Increasing air wavelengths in Angstrom.
    throughput : array (n,)
        Photons detected per photon arriving, any scale, >= 0.
    pivot_aa : float
        Pivot wavelength in Angstrom (air), see `pivot_wavelength_aa`.
    """

    name: str
    camera: str
    wave_aa: F64
    throughput: F64
    pivot_aa: float

    @classmethod
    def from_curve(
        cls, name: str, camera: str, wave_aa: NDArray[np.floating], throughput: NDArray[np.floating]
    ) -> Filter:
        """Check a curve, trim its zero tails and compute its pivot wavelength.

        Raises
        ------
        SfhInputError
            Where the curve is not increasing in wavelength, not finite, negative, or zero everywhere.
        """
        wave = np.asarray(wave_aa, dtype=np.float64)
        curve = np.asarray(throughput, dtype=np.float64)
        label = f"filter {camera} {name}"
        if wave.ndim != 1 or wave.shape != curve.shape or wave.size < 2:
            raise SfhInputError(f"{label}: wavelength {wave.shape} and throughput {curve.shape} do not match")
        if not (np.all(np.isfinite(wave)) and np.all(np.isfinite(curve))) or np.any(np.diff(wave) <= 0):
            raise SfhInputError(f"{label}: the curve must be finite and increase in wavelength; sort it")
        if curve.min() < 0 or curve.max() <= 0:
            raise SfhInputError(f"{label}: throughput must be >= 0 and not zero everywhere")
        kept = np.flatnonzero(curve > _NEGLIGIBLE * curve.max())
        part = slice(max(kept[0] - 1, 0), kept[-1] + 2)
        wave, curve = wave[part], curve[part]
        return cls(name, camera, wave, curve, pivot_wavelength_aa(wave, curve))


def pivot_wavelength_aa(wave_aa: F64, throughput: F64) -> float:
    """Pivot wavelength of a photon throughput curve.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom, air, rising.
    throughput : array (n,)
        Share of the photons that are counted, of any scale.

    Returns
    -------
    float
        Angstrom.
    """
    step, slope = np.diff(wave_aa), np.diff(throughput) / np.diff(wave_aa)
    middle, mean = 0.5 * (wave_aa[1:] + wave_aa[:-1]), 0.5 * (throughput[1:] + throughput[:-1])
    by_wave = step * middle * mean + slope * step**3 / 12
    over_wave = (mean - slope * middle) * np.log1p(step / wave_aa[:-1]) + slope * step
    return float(np.sqrt(by_wave.sum() / over_wave.sum()))


def _merge_grids(grid_aa: F64, wave_aa: F64, throughput: F64) -> tuple[F64, F64]:
    """Merged grid of spectrum and curve over the curve's range, with midpoints, and the curve on it."""
    lo, hi = wave_aa[0], wave_aa[-1]
    merged = np.union1d(wave_aa, grid_aa[(grid_aa > lo) & (grid_aa < hi)])
    fine = np.empty(2 * merged.size - 1)
    fine[::2], fine[1::2] = merged, 0.5 * (merged[1:] + merged[:-1])
    return fine, np.interp(fine, wave_aa, throughput)


def _integrate_segments(fine_aa: F64) -> F64:
    """Weights of Simpson's rule on `_merge_grids`: exact for wavelength times two functions that are linear there."""
    sixth = (fine_aa[2::2] - fine_aa[:-2:2]) / 6.0
    weights = np.zeros_like(fine_aa)
    weights[:-2:2] += sixth
    weights[1::2] = 4.0 * sixth
    weights[2::2] += sixth
    return weights


def filter_weights(band: Filter, wave_aa: NDArray[np.floating]) -> F64:
    """Weights with which a spectrum's pixels add up to its photon-counting mean flux density.

    Parameters
    ----------
    band : Filter
    wave_aa : array (n,)
        Grid of the spectra, Angstrom in air, rising.

    Returns
    -------
    array (n,)
        ``spectra @ weights`` is <f_lambda> of spectra (..., n) on that grid, in their unit.

    Raises
    ------
    SfhInputError
        Where the spectra do not reach over the whole filter.
    """
    grid = np.asarray(wave_aa, dtype=np.float64)
    if grid[0] > band.wave_aa[0] or grid[-1] < band.wave_aa[-1]:
        raise SfhInputError(
            f"filter {band.camera} {band.name} spans {band.wave_aa[0]:.0f}-{band.wave_aa[-1]:.0f} AA, "
            f"the spectrum {grid[0]:.0f}-{grid[-1]:.0f} AA; give a spectrum that covers the filter"
        )
    fine, curve = _merge_grids(grid, band.wave_aa, band.throughput)
    quadrature = _integrate_segments(fine) * curve * fine
    quadrature /= quadrature.sum()
    left = np.clip(np.searchsorted(grid, fine, side="right") - 1, 0, grid.size - 2)
    right_share = (fine - grid[left]) / (grid[left + 1] - grid[left])
    out = np.zeros(grid.size)
    np.add.at(out, left, quadrature * (1.0 - right_share))
    np.add.at(out, left + 1, quadrature * right_share)
    return out


def filter_weight_matrix(bands: tuple[Filter, ...], wave_aa: NDArray[np.floating]) -> F64:
    """`filter_weights` of several filters as columns.

    Parameters
    ----------
    bands : tuple of Filter
        B of them.
    wave_aa : array (n,)
        Grid of the spectra, Angstrom in air, rising.

    Returns
    -------
    array (n, B)

    Raises
    ------
    SfhInputError
        The spectra do not reach over one of the filters.
    """
    if not bands:
        return np.zeros((np.size(wave_aa), 0))
    return np.stack([filter_weights(band, wave_aa) for band in bands], axis=-1)


def mean_flux_density(band: Filter, wave_aa: NDArray[np.floating], flam: NDArray[np.floating]) -> NDArray[np.floating]:
    """Photon-counting mean <f_lambda> of spectra.

    Parameters
    ----------
    band : Filter
    wave_aa : array (n,)
        Angstrom in air, rising.
    flam : array (..., n)
        Flux densities per wavelength, of any unit.

    Returns
    -------
    array (...)
        In the unit of ``flam``.

    Raises
    ------
    SfhInputError
        The spectra do not reach over the whole filter.
    """
    return np.asarray(flam) @ filter_weights(band, wave_aa)


def ab_mag(band: Filter, flux_cgs: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """AB magnitude of a mean flux density.

    Parameters
    ----------
    band : Filter
    flux_cgs : array (...) or float
        <f_lambda> in erg/s/cm2/AA.

    Returns
    -------
    array (...)
        Magnitudes; NaN where the flux is not positive.
    """
    f_nu = np.asarray(flux_cgs, dtype=np.float64) * band.pivot_aa**2 / C_AA_S
    positive = f_nu > 0
    magnitude = -2.5 * np.log10(np.where(positive, f_nu, 1.0)) + AB_ZERO
    return np.where(positive, magnitude, np.nan)


def flux_from_ab(band: Filter, mag: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """Mean flux density of an AB magnitude, the inverse of `ab_mag`.

    Parameters
    ----------
    band : Filter
    mag : array (...) or float

    Returns
    -------
    array (...)
        <f_lambda> in erg/s/cm2/AA.
    """
    return 10 ** (-0.4 * (np.asarray(mag) - AB_ZERO)) * C_AA_S / band.pivot_aa**2


def make_trapezoid_filter(name: str, camera: str, centre_aa: float, fwhm_aa: float, edge_aa: float = 0.0) -> Filter:
    """Make a filter that is flat in the middle and falls linearly to zero on either side.

    Parameters
    ----------
    name, camera : str
    centre_aa, fwhm_aa : float
        Centre and full width at half the throughput, Angstrom.
    edge_aa : float
        Width of each flank in Angstrom; 0 for a top hat.

    Returns
    -------
    Filter

    Examples
    --------
    >>> band = make_trapezoid_filter("J0515", "JPCam", 5150.0, 145.0, 25.0)
    >>> round(band.pivot_aa)
    5150
    """
    # A top hat has edges of a hundredth of an Angstrom, so that wavelengths increase.
    edge = max(edge_aa, 0.01)
    flat, foot = 0.5 * (fwhm_aa - edge), 0.5 * (fwhm_aa + edge)
    wave = centre_aa + np.array([-foot, -flat, flat, foot])
    if flat <= 0:
        wave, throughput = centre_aa + np.array([-foot, 0.0, foot]), np.array([0.0, 1.0, 0.0])
        return Filter.from_curve(name, camera, wave, throughput)
    return Filter.from_curve(name, camera, wave, np.array([0.0, 1.0, 1.0, 0.0]))


def hash_filter_curve(band: Filter) -> str:
    """sha256 of a curve's wavelengths and throughput."""
    return hash_parts(np.stack([band.wave_aa, band.throughput]).astype("<f8"))


def filters_to_tensors(filters: tuple[Filter, ...]) -> dict[str, NDArray[np.generic]]:
    """Curves and names as plain arrays, for a safetensors file; `filters_from_tensors` inverts it."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for number, band in enumerate(filters):
        tensors[f"filter_{number}_curve"] = np.stack([band.wave_aa, band.throughput])
        label = f"{band.name} {band.camera}".encode()
        tensors[f"filter_{number}_name"] = np.frombuffer(label, dtype=np.uint8).copy()
    return tensors


def filters_from_tensors(tensors: Mapping[str, NDArray[np.generic]]) -> tuple[Filter, ...]:
    """Filters from what `filters_to_tensors` made.

    Parameters
    ----------
    tensors : mapping of str to array
        Of each filter k a curve ``filter_k_curve`` (2, n), Angstrom and throughput, and its name as bytes.

    Returns
    -------
    tuple of Filter
    """
    bands: list[Filter] = []
    while f"filter_{len(bands)}_curve" in tensors:
        label = bytes(np.asarray(tensors[f"filter_{len(bands)}_name"], dtype=np.uint8)).decode()
        name, camera = label.split(" ", 1)
        wave_aa, throughput = np.asarray(tensors[f"filter_{len(bands)}_curve"], dtype=np.float64)
        bands.append(Filter.from_curve(name, camera, wave_aa, throughput))
    return tuple(bands)


def compute_photometry_scale(phot: AnyArray, mask: AnyArray, norm: str, band_names: tuple[str, ...]) -> Any:
    """What the bands of each object are divided by where no spectrum normalises them.

    Parameters
    ----------
    phot : array (N, B)
        Flux densities; NumPy (then in float64) or torch.
    mask : boolean array (N, B)
        True = usable.
    norm : str
        ``median`` of the object's usable bands, or the name of a band; where that is masked, the median.
    band_names : tuple of str

    Returns
    -------
    array (N,)
        NaN where there is no usable band, or where the number is not positive.
    """
    if not is_torch_array(phot):
        phot = np.asarray(phot, dtype=np.float64)
    xp = array_namespace(phot, mask)
    flux = xp.where(mask, phot, xp.nan)
    scale = compute_row_medians(flux)
    if norm != "median":
        own = flux[:, band_names.index(norm)]
        scale = xp.where(xp.isfinite(own), own, scale)
    return xp.where(scale > 0, scale, xp.nan)


def measure_photometry_snr(phot: NDArray[np.floating], error: NDArray[np.floating], mask: NDArray[np.bool_]) -> F64:
    """Median S/N of each object's usable bands.

    Parameters
    ----------
    phot, error : array (N, B)
        Fluxes and their 1-sigma errors, of one unit.
    mask : bool array (N, B)
        True where a band counts; a band without a positive error does not.

    Returns
    -------
    array (N,)
        0 for an object without a band.
    """
    usable = mask & (np.asarray(error) > 0)
    ratio = np.divide(phot, error, out=np.full(np.shape(phot), np.nan), where=usable)
    return np.nan_to_num(compute_row_medians(ratio), nan=0.0)


def compute_row_medians(values: AnyArray) -> Any:
    """Median of the numbers in each row (N, B), those that are NaN left out, shape (N,); for NumPy and torch.

    NaN where a row has no finite number.

    Parameters
    ----------
    values : array or tensor (N, B)

    Returns
    -------
    array or tensor (N,)
    """
    xp = array_namespace(values)
    width = values.shape[1]
    if not width:
        return xp.sum(values, axis=1) + xp.nan
    ordered = xp.sort(values, axis=1, stable=False)  # NaN comes last; NumPy sorts stably ten times as slowly
    known = xp.sum(xp.astype(~xp.isnan(values), xp.int64), axis=1)[:, None]
    lower, upper = (
        xp.take_along_axis(ordered, at.clip(0, width - 1), axis=1)[:, 0] for at in ((known - 1) // 2, known // 2)
    )
    return xp.where(xp.any(xp.isfinite(values), axis=1), 0.5 * (lower + upper), xp.nan)
