"""Corrupted spectra and bands, drawn over wide ranges: what the classifier of the OOD score learns to tell apart.

Outlier exposure (Hendrycks et al. 2019, ICLR): a detector that has seen some kinds of corruption finds others
too. Ranges are wider than, and other than, those of the tests in `evaluation.ood_cases`. Every kind acts on what the
instrument sees of it: spectrum, bands, or both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics import dust
from napari_sfh.physics.ages import LG_AGE_YR
from napari_sfh.physics.filters import Filter, filter_weight_matrix
from napari_sfh.physics.lines import (
    HALPHA_AA,
    HBETA_AA,
    NII_AA,
    NII_RATIO,
    OI_AA,
    OI_RATIO,
    OIII_AA,
    OIII_RATIO,
    SII_AA,
)
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.fitting.augmentation import normalise_bands
from napari_sfh.training.simulator.noise import list_sky_lines
from napari_sfh.types import F32, Floats, Observation

#: What metals leave of a star's light against wavelength: a quarter at F275W where they blanket most.
_BLANKETED_AA = (2704.0, 3355.0, 4327.0, 5308.0)
_BLANKETED_LIGHT = (0.5, 0.7, 0.95, 1.0)
_H_C_K_AA = 1.438777e8  # h c / k in AA K
_METALS_AA = (5175.0, 5270.0, 5335.0, 5893.0)
_BANDHEADS_AA = (4954.0, 5167.0, 5448.0, 5847.0, 6158.0, 6651.0)
_REACH_AA = 80.0
#: [M/H] between which the templates' metallicity dependence is taken, and how far beyond the upper one it is carried.
_SOLAR, _RICH, _BEYOND_DEX = 0.0, 0.3, (0.1, 0.6)


def corrupt_velocities(data: Observation, rng: np.random.Generator) -> Observation:
    """Velocities wrong by 100-800 km/s.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        Spectra moved to either side.
    """
    v = rng.choice([-1.0, 1.0], data.n_bins) * _loguniform(rng, 100, 800, data.n_bins)
    return _with_flux(data, _doppler(data.flux, v, data.instrument.wave_aa))


def add_active_nucleus_lines(data: Observation, rng: np.random.Generator) -> Observation:
    """Lines of active nuclei and shocked filaments: [O III]/Hbeta 0.5-15, [N II]/Halpha 0.7-3, [O I]/Halpha 0.15-0.7.

    Halpha of 3-60 AA, 50-500 km/s wide. Those of low [O III] are LINERs, as around the brightest galaxies of clusters.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum over Hbeta and [S II].
    rng : numpy.random.Generator

    Returns
    -------
    Observation
    """
    n = data.n_bins
    halpha, oiii, nii = (_loguniform(rng, lo, hi, n) for lo, hi in ((3, 60), (0.5, 15), (0.7, 3)))
    oi, sii = rng.uniform(0.15, 0.7, n), rng.uniform(0.2, 0.8, n)
    hbeta = halpha / 3
    lines = (
        (HALPHA_AA, halpha),
        (HBETA_AA, hbeta),
        *zip(OIII_AA, (hbeta * oiii, hbeta * oiii / OIII_RATIO)),
        *zip(OI_AA, (halpha * oi, halpha * oi / OI_RATIO)),
        *zip(NII_AA, (halpha * nii, halpha * nii / NII_RATIO)),
        *zip(SII_AA, (halpha * sii, halpha * sii)),
    )
    sigma_kms, grid = _loguniform(rng, 50, 500, n), data.instrument.grid
    flux = data.flux.astype(np.float64)
    for line, area in lines:
        sigma = np.hypot(_lsf_sigma_aa(line, grid), line * sigma_kms / C_KMS)[:, None]
        lo, hi = np.searchsorted(grid.wave_aa, [line - _REACH_AA, line + _REACH_AA])
        profile = np.exp(-0.5 * ((grid.wave_aa[lo:hi] - line) / sigma) ** 2)
        flux[:, lo:hi] += area[:, None] / (sigma * np.sqrt(2 * np.pi)) * profile
    return _with_flux(data, flux)


def corrupt_zero_points(data: Observation, rng: np.random.Generator) -> Observation:
    """Zero points of one or more bands wrong by 0.2-1.2 mag.

    Parameters
    ----------
    data : Observation
        N objects with bands.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        At least one band of each object is wrong; its errors are scaled along.
    """
    hit = rng.random(data.phot.shape) < 0.3
    hit[np.arange(data.n_bins), rng.integers(0, data.phot.shape[1], data.n_bins)] = True
    mag = hit * rng.choice([-1.0, 1.0], hit.shape) * rng.uniform(0.2, 1.2, hit.shape)
    factor = (10 ** (0.4 * mag)).astype(np.float32)
    return normalise_bands(replace(data, phot=data.phot * factor, phot_error=data.phot_error * factor))


def add_sky_line_residuals(data: Observation, rng: np.random.Generator) -> Observation:
    """Residuals of sky lines of 3-20 times the noise, at redshifts up to 0.01.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        The errors know nothing of the residuals.
    """
    n, grid = data.n_bins, data.instrument.grid
    amplitude = _loguniform(rng, 3, 20, n) / np.maximum(data.snr, 1.0)
    redshift = rng.uniform(0, 0.01, n)
    flux = data.flux.astype(np.float64)
    for line, strength in list_sky_lines(grid):
        x = (grid.wave_aa - (line / (1 + redshift))[:, None]) / _lsf_sigma_aa(line, grid)
        flux += (rng.standard_normal(n) * amplitude * strength)[:, None] * np.exp(-0.5 * x * x)
    return _with_flux(data, flux)


def replace_by_stars(data: Observation, rng: np.random.Generator, filters: tuple[Filter, ...]) -> Observation:
    """Stars of 3 000-15 000 K: black bodies with hydrogen lines, metal lines or molecular bands, and a blue cut.

    Parameters
    ----------
    data : Observation
        N objects: their errors and masks stay.
    rng : numpy.random.Generator
    filters : tuple of Filter
        The instrument's bands, B.

    Returns
    -------
    Observation
    """
    n, wave_aa = data.n_bins, data.instrument.wave_aa
    kelvin = _loguniform(rng, 3000, 15000, n)[:, None]
    shape = np.ones((n, wave_aa.size))
    hydrogen = rng.uniform(0, 0.7, n)[:, None]
    for line in (HBETA_AA, HALPHA_AA):
        shape -= hydrogen * np.exp(-0.5 * ((wave_aa - line) / rng.uniform(5, 15, (n, 1))) ** 2)
    for line in _METALS_AA:
        shape -= rng.uniform(0, 0.4, (n, 1)) * np.exp(-0.5 * ((wave_aa - line) / 6.0) ** 2)
    bands = (kelvin < 4800) * rng.uniform(0.1, 0.6, (n, 1))
    for head in _BANDHEADS_AA:
        tail = np.exp(-np.clip(wave_aa - head, 0, None) / rng.uniform(40, 150, (n, 1)))
        shape *= 1 - bands * np.where(wave_aa > head, tail, 0.0)
    flux = _black_body(wave_aa, kelvin) * np.maximum(shape, 0.05)
    pivots_aa = np.array([band.pivot_aa for band in filters])
    # Metals take blue light away: up to a factor of four in F275W.
    blanketing = np.interp(pivots_aa, _BLANKETED_AA, _BLANKETED_LIGHT) ** rng.uniform(0, 2, (n, 1))
    phot = _black_body(pivots_aa, kelvin) * blanketing
    phot = phot * np.exp(0.1 * rng.standard_normal(phot.shape))
    return _observe(data, _Light(flux, phot), rng, v_kms=rng.normal(0, 300, n))


def blend_with_another_object(data: Observation, rng: np.random.Generator, filters: tuple[Filter, ...]) -> Observation:
    """Two objects in one bin: 25-90 % of the light is a foreground star's, or another galaxy's 300-3000 km/s away.

    Each part may look usual alone.

    Parameters
    ----------
    data : Observation
        N objects, blended among each other or with stars.
    rng : numpy.random.Generator
    filters : tuple of Filter
        The instrument's bands, B.

    Returns
    -------
    Observation
        As noisy as before.
    """
    n, wave_aa = data.n_bins, data.instrument.wave_aa
    share = rng.uniform(0.25, 0.9, (n, 1))
    v = rng.choice([-1.0, 1.0], n) * _loguniform(rng, 300, 3000, n)
    another = data.select(rng.permutation(n))
    flux = another.flux
    if wave_aa.size:
        shifted_rows = zip(v, another.flux, another.mask, strict=True)
        flux = np.array([np.interp(wave_aa * (1 + k / C_KMS), wave_aa[m], f[m]) for k, f, m in shifted_rows])
    phot, seen = another.phot, data.phot_mask & another.phot_mask
    is_star = rng.random((n, 1)) < 0.5
    star = replace_by_stars(data, rng, filters)
    flux, phot = np.where(is_star, star.flux, flux), np.where(is_star, star.phot, phot)
    seen = np.where(is_star, data.phot_mask, seen)
    # Two noisy spectra averaged are less noisy than either.
    noise = np.sqrt(1 - share**2 - (1 - share) ** 2) * data.error * rng.standard_normal(flux.shape)
    mixed = replace(data, phot=np.where(seen, (1 - share) * data.phot + share * phot, 0.0).astype(np.float32))
    mixed = normalise_bands(replace(mixed, phot_mask=seen))
    return _with_flux(mixed, (1 - share) * data.flux + share * flux + noise)


def replace_by_metal_rich_stars(data: Observation, rng: np.random.Generator, basis: TemplateBasis) -> Observation:
    """Old stars 0.1-0.6 dex richer than any of the prior, behind dust.

    No library goes there: the change of the logarithm of the templates' light from [M/H] = 0 to the prior's upper end
    is carried on.

    Parameters
    ----------
    data : Observation
        N objects: their errors and masks stay.
    rng : numpy.random.Generator
    basis : TemplateBasis
        On the instrument's grid and bands.

    Returns
    -------
    Observation
    """
    n = data.n_bins
    lg_age = rng.uniform(9.0, 10.1, (n, 1))
    mass = np.exp(-0.5 * ((LG_AGE_YR - lg_age) / rng.uniform(0.05, 0.4, (n, 1))) ** 2)
    mass[:, :6] = 0.0
    rich = min(_RICH, float(basis.mh[-1]))
    step = rng.uniform(*_BEYOND_DEX, (n, 1)) / (rich - _SOLAR)
    light = []
    for templates in (basis.spectrum, basis.sed):
        near, far = (_at_metallicity(basis.mh, templates, z) for z in (_SOLAR, rich))
        light.append((mass @ far) * ((mass @ far) / (mass @ near)) ** step)
    tau = np.abs(rng.normal(0.2, 0.3, n))
    flux = light[0] * dust.dust_transmission(basis.wave_aa, tau, dust.SLOPE)
    sed = light[1] * dust.dust_transmission(basis.sed_wave_aa, tau, dust.SLOPE)
    phot = sed @ filter_weight_matrix(basis.filters, basis.sed_wave_aa)
    phot = phot * np.exp(0.05 * rng.standard_normal(phot.shape))
    return _observe(data, _Light(flux, phot), rng)


@dataclass(frozen=True)
class _Light:
    """Noiseless spectra (N, W) and band fluxes (N, B) in a common unit."""

    flux: Floats
    phot: Floats


def _observe(data: Observation, light: _Light, rng: np.random.Generator, v_kms: Floats | None = None) -> Observation:
    """``data`` with other light in it, at its own errors and masks; the spectrum shifted by ``v_kms`` (N,)."""
    instrument = data.instrument
    flux, phot = light.flux, light.phot
    if instrument.spectrum is not None:
        norm = flux[:, instrument.norm_pixels].mean(1, keepdims=True)
        flux, phot = flux / norm, phot / norm
        if v_kms is not None:
            flux = _doppler(flux, v_kms, instrument.wave_aa)
        flux = flux + data.error * rng.standard_normal(flux.shape)
    elif phot.size:
        # The relative error of each band stays; it is added below.
        phot = phot / np.median(phot, axis=1, keepdims=True)
        relative = data.phot_error / np.maximum(data.phot, 1e-6)
        phot = np.abs(phot * (1 + np.where(data.phot_mask, relative, 0.0) * rng.standard_normal(phot.shape)))
    seen = replace(_with_flux(data, flux), phot=np.where(data.phot_mask, phot, 0.0).astype(np.float32))
    return normalise_bands(seen)


def _at_metallicity(grid: Floats, templates: F32, mh: float) -> Floats:
    """Templates (A, Z, n) at one [M/H]: (A, n)."""
    index, share = find_bracket(np.asarray(grid, float), np.array(mh))
    return np.asarray(templates[:, index] * (1 - share) + templates[:, index + 1] * share, float)


#: Kinds that need nothing but the data, and those among them that need a spectrum.
CORRUPTIONS: tuple[Callable[..., Observation], ...] = (
    corrupt_velocities,
    add_active_nucleus_lines,
    corrupt_zero_points,
    add_sky_line_residuals,
)
_OF_SPECTRA = (corrupt_velocities, add_active_nucleus_lines, add_sky_line_residuals)


def list_corruptions(data: Observation, basis: TemplateBasis) -> list[Callable[..., Observation]]:
    """Every kind that the instrument of ``data`` can see; each takes data and ``rng``.

    Parameters
    ----------
    data : Observation
        Only its instrument counts.
    basis : TemplateBasis
        Of the weights: its filters and templates.

    Returns
    -------
    list of callable
    """
    has_spectrum, has_bands = data.instrument.spectrum is not None, bool(data.instrument.bands)
    plain = [f for f in CORRUPTIONS if (has_spectrum if f in _OF_SPECTRA else has_bands)]
    stars = [partial(f, filters=basis.filters) for f in (replace_by_stars, blend_with_another_object)]
    return [*plain, *stars, partial(replace_by_metal_rich_stars, basis=basis)]


def corrupt_spectra(data: Observation, basis: TemplateBasis, rng: np.random.Generator) -> list[Observation]:
    """``data`` split at random among the kinds of `list_corruptions`, each part corrupted its way.

    Parameters
    ----------
    data : Observation
        N objects.
    basis : TemplateBasis
        Of the weights.
    rng : numpy.random.Generator

    Returns
    -------
    list of Observation
        N objects in all, in another order.
    """
    kinds = list_corruptions(data, basis)
    kind = rng.integers(0, len(kinds), data.n_bins)
    parts = [(f, np.flatnonzero(kind == k)) for k, f in enumerate(kinds)]
    return [f(data.select(rows), rng=rng) for f, rows in parts if rows.size]


def _with_flux(data: Observation, flux: Floats) -> Observation:
    return replace(data, flux=np.where(data.mask, flux, 0.0).astype(np.float32))


def _doppler(flux: Floats, v_kms: Floats, wave_aa: Floats) -> F32:
    rows = [np.interp(wave_aa * (1 + v / C_KMS), wave_aa, f) for v, f in zip(v_kms, flux, strict=True)]
    return np.asarray(rows, np.float32)


def _loguniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def _lsf_sigma_aa(line_aa: float, grid: SpectrumGrid) -> float:
    return float(grid.lsf.fwhm_aa(line_aa)) / FWHM_PER_SIGMA


def _black_body(wave_aa: Floats, kelvin: Floats) -> Floats:
    """Planck's law per wavelength, any scale."""
    return 1e20 * wave_aa**-5.0 / np.expm1(_H_C_K_AA / (wave_aa * kelvin))
