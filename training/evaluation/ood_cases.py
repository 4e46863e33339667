"""Inputs that a network must recognise as none of its own: the out-of-distribution score has to exceed 1 on them.

Made from test objects at S/N 35. Lines of an active nucleus: Seyfert ratios ([O III]/Hbeta = 10, [N II]/Halpha = 1,
e.g. Kauffmann et al. 2003, MNRAS 346, 1055). Foreground star: a black body with narrow lines at its own velocity,
which the galaxy's redshift moves away. Others as their names say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

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
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.fitting.augmentation import normalise_bands
from napari_sfh.training.fitting.spectra_sources import FreshSource
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator import forward_model, noise
from napari_sfh.training.simulator.forward_model import ForwardModel, NoiselessObjects
from napari_sfh.types import F64, Floats, Observation

OOD_CASE_SNR = 35.0
#: Lines of the nucleus: air wavelength in Angstrom, flux over Halpha.
AGN_LINES: tuple[tuple[float, float], ...] = (
    (HALPHA_AA, 1.0), (HBETA_AA, 0.32), *zip(OIII_AA, (3.2, 3.2 / OIII_RATIO)), *zip(NII_AA, (1.0, 1.0 / NII_RATIO)),
    *zip(OI_AA, (0.2, 0.2 / OI_RATIO)), *zip(SII_AA, (0.35, 0.35)),
)  # fmt: skip
#: Equivalent width of its Halpha in Angstrom, and its dispersion in km/s.
AGN_EW_AA, AGN_SIGMA_KMS = 20.0, 250.0
#: Absorption lines of the star: air wavelength in Angstrom, depth.
STAR_LINES: tuple[tuple[float, float], ...] = (
    (HBETA_AA, 0.35), (5167.3, 0.3), (5172.7, 0.4), (5183.6, 0.45), (5269.5, 0.3), (5328.0, 0.3), (5371.5, 0.2),
    (5405.8, 0.2), (5890.0, 0.45), (5895.9, 0.4), (6122.2, 0.2), (6162.2, 0.2), (6494.9, 0.2), (HALPHA_AA, 0.4),
)  # fmt: skip


def make_ood_cases(
    source: FreshSource, n: int, rng: np.random.Generator, rich: ForwardModel
) -> Iterator[tuple[str, Observation]]:
    """Every kind of object out of distribution, ``n`` of each, from the first objects of a test block.

    Parameters
    ----------
    source : FreshSource
    n : int
    rng : numpy Generator
    rich : ForwardModel
        Library for metallicities beyond the prior.

    Yields
    ------
    name : str
    data : Observation
    """
    rows = np.arange(min(n, len(source.phot)))
    clean = select_noiseless(source, rows)
    config = fix_prior_snr(source.config, OOD_CASE_SNR)
    acs = source.substituted[rows]
    yield "at home", noise.add_observational_noise(clean, config, rng, acs)
    has_spectrum, has_bands = source.instrument.spectrum is not None, bool(source.instrument.bands)
    if has_spectrum:
        yield "AGN lines", noise.add_observational_noise(add_seyfert_lines(clean), config, rng, acs)
    star = make_foreground_stars(clean, rich, rng)
    yield "star", noise.add_observational_noise(star, config, rng, acs)
    yield "star, half of the light", noise.add_observational_noise(average_two_objects(clean, star), config, rng, acs)
    if has_spectrum:
        shifted = shift_rest_frame(clean, 300.0, rng)
        yield "redshift error 300 km/s", noise.add_observational_noise(shifted, config, rng, acs)
    if has_bands:
        yield "zero point 0.5 mag", shift_zero_point(noise.add_observational_noise(clean, config, rng, acs), 0.5, rng)
    yield "metallicity outside", noise.add_observational_noise(make_metal_rich_galaxies(clean, rich), config, rng)
    if has_spectrum:
        yield "sky residuals x10", amplify_sky_residuals(clean, config, rng, acs)


def select_noiseless(source: FreshSource, rows: NDArray[np.int64]) -> NoiselessObjects:
    """Noiseless spectra of some objects.

    Parameters
    ----------
    source : FreshSource
    rows : int array (n,)

    Returns
    -------
    NoiselessObjects
    """
    flux = source.flux[rows].astype(np.float32)
    labels = source.labels.select(rows)
    return NoiselessObjects(flux, source.phot[rows], labels, source.params.select(rows), source.instrument)


def fix_prior_snr(config: PriorConfig, snr: float) -> PriorConfig:
    """A prior whose spectra all have one S/N and whose bands are all there.

    Parameters
    ----------
    config : PriorConfig
    snr : float
        Per pixel in the window; of a band without a spectrum.

    Returns
    -------
    PriorConfig
    """
    phot = replace(config.photometry, missing=constant_distribution(0.0), none=constant_distribution(0.0))
    return replace(config, noise=replace(config.noise, snr=constant_distribution(snr)), photometry=phot)


def _normalise(clean: NoiselessObjects, flux: Floats, phot: Floats) -> NoiselessObjects:
    flux, phot = forward_model.normalise_objects(np.asarray(flux), np.asarray(phot), clean.instrument)
    return replace(clean, flux=flux.astype(np.float32), phot=phot.astype(np.float32))


def add_seyfert_lines(clean: NoiselessObjects) -> NoiselessObjects:
    """Lines of an active nucleus on top."""
    flux = clean.flux.copy()
    n = len(flux)
    wave = np.array([w for w, _ in AGN_LINES])
    lines = np.tile(AGN_EW_AA * np.array([s for _, s in AGN_LINES]), (n, 1)).astype(np.float32)
    forward_model.add_emission_lines(flux, lines, wave, np.full(n, AGN_SIGMA_KMS), np.zeros(n), clean.instrument.grid)
    return _normalise(clean, flux, clean.phot)


def _planck(wave_aa: F64, kelvin: F64) -> F64:
    """B_lambda (N, n) up to a factor."""
    x = 1.43877e8 / (wave_aa * kelvin[:, None])
    return wave_aa**-5.0 / np.expm1(x) * 1e19


def make_foreground_stars(clean: NoiselessObjects, model: ForwardModel, rng: np.random.Generator) -> NoiselessObjects:
    """Black bodies of 3 800-7 500 K with narrow lines, brought to the rest frame of a galaxy at 500-2 500 km/s.

    Parameters
    ----------
    clean : NoiselessObjects
        N objects; their normalisation and instrument count.
    model : ForwardModel
        For the bands' weights.
    rng : numpy.random.Generator

    Returns
    -------
    NoiselessObjects
        N stars with the labels of the galaxies.
    """
    n = len(clean.flux)
    kelvin, shift = rng.uniform(3800, 7500, n), -rng.uniform(500, 2500, n)
    wave_aa = clean.instrument.wave_aa
    flux = _planck(wave_aa, kelvin)
    strength = rng.uniform(0.6, 1.4, n)[:, None]
    for line, depth in STAR_LINES:
        centre = line * (1 + shift / C_KMS)[:, None]
        flux = flux * (1 - np.minimum(depth * strength, 0.95) * np.exp(-0.5 * ((wave_aa - centre) / 3.0) ** 2))
    sed = _planck(model.templates.sed_wave_aa, kelvin)
    return _normalise(clean, flux, sed @ model.band_weights[0].astype(float))


def average_two_objects(clean: NoiselessObjects, other: NoiselessObjects) -> NoiselessObjects:
    """Two objects in one bin, each half of its light.

    Parameters
    ----------
    clean, other : NoiselessObjects
        N objects each, for one instrument.

    Returns
    -------
    NoiselessObjects
        With the labels of ``clean``.
    """
    return _normalise(clean, 0.5 * (clean.flux + other.flux), 0.5 * (clean.phot + other.phot))


def shift_rest_frame(clean: NoiselessObjects, kms: float, rng: np.random.Generator) -> NoiselessObjects:
    """Spectra put into a wrong rest frame, to the blue or the red.

    Parameters
    ----------
    clean : NoiselessObjects
        N objects with a spectrum.
    kms : float
        Size of the error, km/s.
    rng : numpy.random.Generator
        For its sign.

    Returns
    -------
    NoiselessObjects
    """
    sign = np.where(rng.random(len(clean.flux)) < 0.5, -1.0, 1.0)
    flux, wave_aa = np.empty_like(clean.flux), clean.instrument.wave_aa
    for s in (-1.0, 1.0):
        rows = sign == s
        at = np.clip(wave_aa / (1 + s * kms / C_KMS), wave_aa[0], wave_aa[-1])
        flux[rows] = CubicSpline(wave_aa, clean.flux[rows], axis=1)(at)
    return _normalise(clean, flux, clean.phot)


def shift_zero_point(data: Observation, mag: float, rng: np.random.Generator) -> Observation:
    """One band of each object too bright or too faint.

    Parameters
    ----------
    data : Observation
        N objects with bands.
    mag : float
        Size of the error, mag.
    rng : numpy.random.Generator
        For the band and the sign.

    Returns
    -------
    Observation
    """
    band, sign = rng.integers(0, data.instrument.n_bands, data.n_bins), rng.choice([-1.0, 1.0], data.n_bins)
    factor = np.ones(data.phot.shape, np.float32)
    factor[np.arange(data.n_bins), band] = 10 ** (0.4 * mag * sign)
    return normalise_bands(replace(data, phot=data.phot * factor, phot_error=data.phot_error * factor))


def make_metal_rich_galaxies(clean: NoiselessObjects, model: ForwardModel) -> NoiselessObjects:
    """The same dust and gas around stars of one kind: 4 Gyr on average, of the library's highest metallicity.

    Parameters
    ----------
    clean : NoiselessObjects
        N objects: their dust and gas stay.
    model : ForwardModel
        Of a library that goes beyond the prior's metallicities.

    Returns
    -------
    NoiselessObjects
    """
    t = model.templates
    mass = np.exp(-0.5 * ((t.sub_edges_gyr[1:] - 4.0) / 2.0) ** 2) * np.diff(t.sub_edges_gyr)
    mh = min(float(t.mh[-1]), 0.6)
    n = len(clean.flux)
    params = replace(clean.params, mass=np.tile(mass / mass.sum(), (n, 1)), mh=np.full((n, t.n_sub), mh))
    made = forward_model.synthesise_objects(model, replace(params, mh_gas=np.full(n, mh)))
    return replace(clean, flux=made.flux, phot=made.phot)


def amplify_sky_residuals(
    clean: NoiselessObjects, config: PriorConfig, rng: np.random.Generator, acs: NDArray[np.bool_]
) -> Observation:
    """Residuals of sky lines ten times those that the error array tells of.

    Parameters
    ----------
    clean : NoiselessObjects
        N objects.
    config : PriorConfig
        Of the noise.
    rng : numpy.random.Generator
    acs : bool array (N,)
        Objects that another camera saw.

    Returns
    -------
    Observation
    """
    usual, strong = (replace(config, noise=replace(config.noise, sky=constant_distribution(s))) for s in (2.0, 20.0))
    expected = noise.add_observational_noise(clean, usual, np.random.default_rng(1), acs)
    return replace(noise.add_observational_noise(clean, strong, rng, acs), error=expected.error)
