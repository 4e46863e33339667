"""The mock spiral through MUSE and HST.

MUSE: stars at the library's own resolution are brought to the line-spread function, broadened by their dispersion and
shifted by their velocity (both as products in Fourier space over log wavelength), gas lines are added with their own
width, everything is put on the observed air grid and blurred by the cube's PSF, channel by channel, on a grid of half a
spaxel; the spaxels are samples of that image, as the width of a PSF measured on images asks for. HST: the
same functions of the sky on the mosaic's own pixels, band by band, with its narrower PSF. Noise is photons plus
background, with sky lines in the cube.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from napari_sfh.analysis.gas.line_maps import LINES
from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broaden_spectra
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries import age_grid
from napari_sfh.training.libraries.catalogue import load_library
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.mock import galaxy
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model
from napari_sfh.training.simulator.noise import SKY_LINES
from napari_sfh.types import F32, F64, Progress

#: Cube: spaxels on a side, their size (arcsec), channels (Angstrom), PSF.
N_SPAXEL, SPAXEL, PSF_FWHM = 60, 0.2, 0.92
WAVE_OBS: F64 = np.asarray(4749.88 + 1.25 * np.arange(1881), dtype=np.float64)
#: Mosaics: pixel (arcsec), PSF, rotation of the detector (deg), pixels on a side.
PIXEL_HST, PSF_HST, ROTATION_HST, N_HST = 0.0396, 0.08, 12.0, 430
CENTRE_DEG = (150.0, -20.0)
#: Flux density of the brightest spaxel at 5400 AA, 1e-20 erg/s/cm2/AA.
_CENTRAL_FLUX = 3000.0
#: S/N per channel at 5400 AA of the brightest spaxel, and of one with the given share of its flux.
_SNR_CENTRE, _SNR_EDGE, _EDGE_SHARE = 62.0, 5.0, 0.03
#: UVIS calibration (STScI, 2021): erg/s/cm2/AA per e-/s; pivots; PHANGS-HST exposures (s); background noise (e-/s).
_PHOTFLAM = (3.2e-18, 1.3e-18, 6.7e-19, 1.85e-19, 1.5e-19)
_EXPOSURE = (2190.0, 1110.0, 1050.0, 670.0, 830.0)
_BACKGROUND = (0.0022, 0.0030, 0.0040, 0.0065, 0.0065)
_LN_STEP = 8e-5
_GAS_SIGMA_KMS = 30.0
_CHUNK = 2048
_MARGIN = 12  # spaxels around the field, over three FWHM


@dataclass(frozen=True)
class MockObservation:
    """The mock's data, before they are written."""

    flux: F32  # (n_channels, ny, nx) 1e-20 erg/s/cm2/AA, with noise
    variance: F32  # (n_channels, ny, nx)
    images: dict[str, tuple[F32, F32]]  # band -> (e-/s with noise, weight = 1 / variance)
    v_kms: F64  # (ny, nx) light-weighted
    sigma_kms: F64  # (ny, nx)
    mass: F64  # (16, ny, nx) mass formed, arbitrary unit
    light: F64  # (16, ny, nx) intrinsic V-band light
    mass_metals: F64  # (16, ny, nx) mass x [M/H]
    star: F64  # (ny, nx) share of the light at 5300-5500 AA that is the foreground star's
    lines: dict[
        str, tuple[F32, F32]
    ]  # name in `lines.LINES` -> flux per spaxel with noise and its error, 1e-20 erg/s/cm2


def make_cube_wcs() -> WCS:
    """Celestial WCS of the cube: north up, east left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = CENTRE_DEG, [0.5 * (N_SPAXEL + 1)] * 2
    wcs.wcs.cd = np.diag([-SPAXEL, SPAXEL]) / 3600.0
    return wcs


def make_hst_wcs() -> WCS:
    """Celestial WCS of the mosaics, rotated against the cube's."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = CENTRE_DEG, [0.5 * (N_HST + 1)] * 2
    a = np.radians(ROTATION_HST)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    wcs.wcs.cd = np.diag([-1.0, 1.0]) @ turn * PIXEL_HST / 3600.0
    return wcs


def pixel_offsets_arcsec(wcs: WCS, px: F64, py: F64) -> tuple[F64, F64]:
    """Offsets of pixel positions on the cube's axes; exact for tangent planes.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
    px, py : array (N,)
        Pixels, from 0.

    Returns
    -------
    x, y : array (N,)
        arcsec, +x to the west.
    """
    cd = wcs.wcs.cd * 3600.0
    dx, dy = px - (wcs.wcs.crpix[0] - 1), py - (wcs.wcs.crpix[1] - 1)
    return -(cd[0, 0] * dx + cd[0, 1] * dy), cd[1, 0] * dx + cd[1, 1] * dy


def _build_native_model(templates: Templates, library: str) -> tuple[forward_model.ForwardModel, F64]:
    """Model whose spectra have the line-spread function but no dispersion, on a grid of equal steps in log wavelength.

    Returns
    -------
    Model, array (n,)
        Rest wavelengths, Angstrom.
    """
    source = load_library(library)
    part = (source.wave_aa > 4640) & (source.wave_aa < 7220)
    light = np.einsum(
        "st,ztn->zsn", age_grid.averaging_matrix(source.age_gyr), source.spectrum[:, :, part], optimize=True
    )
    grid = np.arange(4650.0, 7210.0, 0.9)
    linear = _interpolate(light, source.wave_aa[part], grid)
    have = np.interp(grid, source.wave_aa[part], source.fwhm_aa[part])
    extra = np.sqrt(np.maximum(MUSE_LSF.fwhm_aa(grid) ** 2 - have**2, 0.0)) / FWHM_PER_SIGMA
    wave = np.exp(np.arange(np.log(4660.0), np.log(7200.0), _LN_STEP))
    spectrum = _interpolate(broaden_spectra(linear, grid, extra), grid, wave).astype(np.float32)
    continuum = _interpolate(templates.cont_sed, templates.sed_wave_aa, wave).astype(np.float32)
    native = replace(templates, wave_aa=wave, spectrum=spectrum, cont_spectrum=continuum)
    return forward_model.build_forward_model(native), wave


def _interpolate(values: NDArray[np.floating], grid: F64, at: F64) -> NDArray[np.floating]:
    index, share = find_bracket(grid, at)
    return values[..., index] * (1 - share) + values[..., index + 1] * share


def _observe_spectra(model: forward_model.ForwardModel, sky: galaxy.MockSkyPoints) -> F32:
    """Observed spectra (N, n_channels) per unit of `Sky.mass`, Lsun/AA in the rest frame's unit."""
    light = forward_model.compute_emitted_light(model, sky.params)
    wave = model.templates.wave_aa
    size = fft.next_fast_len(wave.size + 400, real=True)
    padded = np.concatenate(
        [light.spectrum, np.linspace(light.spectrum[:, -1], light.spectrum[:, 0], size - wave.size, axis=1)], 1
    )
    frequency = np.arange(size // 2 + 1) / size
    shift = (np.log1p(galaxy.MOCK_REDSHIFT) + sky.v_kms / C_KMS) / _LN_STEP
    sigma = sky.sigma_kms / C_KMS / _LN_STEP
    phase = -2 * np.pi * frequency * shift[:, None]
    transfer = np.exp(-2 * (np.pi * frequency * sigma[:, None]) ** 2 + 1j * phase).astype(np.complex64)
    moved = fft.irfft(fft.rfft(padded.astype(np.float32), axis=1) * transfer, size, axis=1)[:, : wave.size]
    flux = _interpolate(moved, wave, WAVE_OBS).astype(np.float32)
    stretch = (1 + galaxy.MOCK_REDSHIFT) * np.exp(sky.v_kms / C_KMS)
    _add_observed_lines(flux, light.lines, model.templates.line_wave_aa, stretch, _GAS_SIGMA_KMS)
    return flux * sky.mass.sum(1, keepdims=True).astype(np.float32)


def _add_observed_lines(flux: F32, lines: F32, line_aa: F64, stretch: F64, sigma_kms: float) -> None:
    """Add Gaussian lines at line x stretch, seen through the line-spread function, in place."""
    for k, rest in enumerate(line_aa):
        centre = (rest * stretch)[:, None]
        if not WAVE_OBS[0] < centre.mean() < WAVE_OBS[-1]:
            continue
        sigma = np.hypot(MUSE_LSF.fwhm_aa(centre) / FWHM_PER_SIGMA, centre * sigma_kms / C_KMS)
        near = np.abs(WAVE_OBS - centre.mean()) < 25
        # Rest-frame luminosity per rest Angstrom, like the continuum: the line's width shrinks by the stretch.
        profile = (
            np.exp(-0.5 * ((WAVE_OBS[near] - centre) / sigma) ** 2) * stretch[:, None] / (sigma * np.sqrt(2 * np.pi))
        )
        flux[:, near] += (lines[:, k : k + 1] * profile).astype(np.float32)


def _compute_line_fluxes(model: forward_model.ForwardModel, sky: galaxy.MockSkyPoints) -> F32:
    """Fluxes (N, 6) of `lines.LINES` in the unit of `_observe_spectra` times Angstrom."""
    light = forward_model.compute_emitted_light(model, sky.params, with_spectrum=False)
    wave = np.asarray(model.templates.line_wave_aa)
    index = [int(np.argmin(np.abs(wave - at))) for _, at in LINES.values()]
    stretch = (1 + galaxy.MOCK_REDSHIFT) * np.exp(sky.v_kms / C_KMS)
    return (light.lines[:, index] * (stretch * sky.mass.sum(1))[:, None]).astype(np.float32)


def _simulate_line_maps(
    flux: NDArray[np.floating], variance: F32, rng: np.random.Generator
) -> dict[str, tuple[F32, F32]]:
    """Line maps as a fit of known Gaussians would find them: noise of a matched filter, 2 sqrt(pi) s v per channel."""
    out = {}
    for plane, (name, (_, rest)) in zip(flux, LINES.items()):
        at = rest * (1 + galaxy.MOCK_REDSHIFT)
        sigma = np.hypot(MUSE_LSF.fwhm_aa(at) / FWHM_PER_SIGMA, at * _GAS_SIGMA_KMS / C_KMS)
        channel = int(np.argmin(np.abs(WAVE_OBS - at)))
        error = np.sqrt(2 * np.sqrt(np.pi) * sigma * 1.25 * variance[channel])
        noisy = plane + error * rng.standard_normal(plane.shape)
        out[name] = (noisy.astype(np.float32), error.astype(np.float32))
    return out


def _make_foreground_star(model: forward_model.ForwardModel, templates: Templates) -> tuple[F32, F32]:
    """Foreground star, an unresolved population of 2 Gyr at rest: channels (n,) and bands (B,), 1 at 5400 AA."""
    weights = templates.weights_of_age(2.0)[None, :]
    params = ObjectParameters.single(weights, np.zeros_like(weights), escape=1.0, tau_ism=0.05)
    light = forward_model.compute_emitted_light(model, params)
    flux = _interpolate(light.spectrum[0], model.templates.wave_aa, WAVE_OBS)
    bands = forward_model.compute_band_fluxes(model, light, params.redshift)[0]
    norm = flux[np.abs(WAVE_OBS - 5400) < 100].mean()
    return (flux / norm).astype(np.float32), (bands / norm).astype(np.float32)


def observe_mock_galaxy(
    templates: Templates, library: str, seed: int, progress: ReportProgress | None = None
) -> MockObservation:
    """Observe the mock with MUSE and HST.

    Parameters
    ----------
    templates : Templates
        For muse-hst.
    library : str
        Name of the stellar library, read anew at its own resolution.
    seed : int
        Of structure and noise.
    progress : callable, optional

    Returns
    -------
    MockObservation
        Cube (n, ny, nx), mosaics and the truth of each spaxel.
    """
    rng = np.random.default_rng(seed)
    model, _ = _build_native_model(templates, library)
    half = np.arange(-2 * _MARGIN, 2 * (N_SPAXEL + _MARGIN) - 1) / 2.0
    px, py = (a.ravel() for a in np.meshgrid(half, half))
    x, y = pixel_offsets_arcsec(make_cube_wcs(), px, py)
    args = (templates.sub_edges_gyr, model.mh_limits, seed)
    fine, truths = np.empty((WAVE_OBS.size, px.size), np.float32), []
    gas = np.empty((len(LINES), px.size), np.float32)
    for lo in range(0, px.size, _CHUNK):
        report_progress(Progress("mock cube", lo, px.size), progress)
        part = galaxy.evaluate_mock_galaxy(x[lo : lo + _CHUNK], y[lo : lo + _CHUNK], *args)
        fine[:, lo : lo + _CHUNK] = _observe_spectra(model, part).T
        gas[:, lo : lo + _CHUNK] = _compute_line_fluxes(model, part).T
        truths.append(_true_age_bin_rows(templates, part))
    truth = np.concatenate(truths, axis=1)
    flux = _blur_and_sample(fine)
    weight = _blur_and_sample(np.stack([fine[520], fine[520] * truth[-2], fine[520] * truth[-1]]).astype(np.float64))
    scale = _CENTRAL_FLUX / flux[np.abs(WAVE_OBS - 5400) < 100].mean(0).max()
    star_flux, star_bands = _make_foreground_star(model, templates)
    star_light = star_flux[:, None, None] * _star_image(SPAXEL, make_cube_wcs(), N_SPAXEL, PSF_FWHM)
    flux = flux * scale + star_light
    window = np.abs(WAVE_OBS - 5400) < 100
    variance = _cube_variance(flux)
    noisy = flux + np.sqrt(variance) * rng.standard_normal(flux.shape, dtype=np.float32)
    report_progress(Progress("mock mosaics", 0, 1), progress)
    images = _observe_mosaics(model, args, float(scale), star_bands, rng)
    planes = _blur_and_sample(truth[:-2]).reshape(3, 16, N_SPAXEL, N_SPAXEL)
    return MockObservation(
        flux=noisy.astype(np.float32),
        variance=variance,
        images=images,
        v_kms=weight[1] / weight[0],
        sigma_kms=weight[2] / weight[0],
        mass=planes[0],
        light=planes[1],
        mass_metals=planes[2],
        star=star_light[window].mean(0) / flux[window].mean(0),
        lines=_simulate_line_maps(_blur_and_sample(gas) * scale, variance, np.random.default_rng([seed, 1])),
    )


def _blur_and_sample(planes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Planes (n, points) on the grid of half a spaxel, blurred by the PSF, at the spaxels' centres (n, ny, nx)."""
    side = 2 * (N_SPAXEL + 2 * _MARGIN) - 1
    blur = PSF_FWHM / FWHM_PER_SIGMA / (0.5 * SPAXEL)
    inner = slice(2 * _MARGIN, 2 * (_MARGIN + N_SPAXEL), 2)
    cube = planes.reshape(-1, side, side)
    return np.stack([gaussian_filter(plane, blur, truncate=5.0)[inner, inner] for plane in cube])


def _true_age_bin_rows(templates: Templates, sky: galaxy.MockSkyPoints) -> F64:
    """Rows (16 masses, 16 lights, 16 mass x [M/H], v, sigma) of N points, (50, N)."""
    total = sky.mass.sum(1, keepdims=True)
    light = forward_model.compute_sub_bin_light_v(templates, sky.params) * total
    parts = [forward_model.sum_per_age_bin(a, templates).T for a in (sky.mass, light, sky.mass * sky.params.mh)]
    return np.vstack([*parts, sky.v_kms[None], sky.sigma_kms[None]])


def _star_image(pixel: float, wcs: WCS, n: int, fwhm: float) -> F32:
    """Image of the star per pixel, in units of the cube's 1e-20 erg/s/cm2/AA at 5400 AA."""
    py, px = np.mgrid[:n, :n].astype(float)
    x, y = pixel_offsets_arcsec(wcs, px, py)
    sigma = fwhm / FWHM_PER_SIGMA
    r2 = (x - galaxy.STAR_XY[0]) ** 2 + (y - galaxy.STAR_XY[1]) ** 2
    # Its peak in the cube is the given share of the galaxy's.
    total = galaxy.STAR_FLUX * _CENTRAL_FLUX * 2 * np.pi * (PSF_FWHM / FWHM_PER_SIGMA / SPAXEL) ** 2
    return (total * np.exp(-0.5 * r2 / sigma**2) * pixel**2 / (2 * np.pi * sigma**2)).astype(np.float32)


def _cube_variance(flux: F32) -> F32:
    """Photon and background variance (n_channels, ny, nx) for the wanted S/N, with sky lines."""
    faint = _EDGE_SHARE * _CENTRAL_FLUX
    centre_variance, faint_variance = (_CENTRAL_FLUX / _SNR_CENTRE) ** 2, (faint / _SNR_EDGE) ** 2
    per_flux = (centre_variance - faint_variance) / (_CENTRAL_FLUX - faint)
    background = faint_variance - per_flux * faint
    sky = np.ones(WAVE_OBS.size)
    for line, strength in SKY_LINES:
        sigma = MUSE_LSF.fwhm_aa(line) / FWHM_PER_SIGMA
        sky += 12.0 * strength * np.exp(-0.5 * ((WAVE_OBS - line) / sigma) ** 2)
    # Without the lines' own photons, which would make the variances hard to compress: smooth over 40 AA.
    smooth = gaussian_filter(np.maximum(flux, 0), (16.0, 0, 0), mode="nearest")
    return (smooth * per_flux + background * sky[:, None, None]).astype(np.float32)


def _observe_mosaics(
    model: forward_model.ForwardModel,
    args: tuple[F64, tuple[float, float], int],
    scale: float,
    star_bands: F32,
    rng: np.random.Generator,
) -> dict[str, tuple[F32, F32]]:
    """Images of the five bands in e-/s and their weights."""
    py, px = (a.ravel().astype(float) for a in np.mgrid[:N_HST, :N_HST])
    x, y = pixel_offsets_arcsec(make_hst_wcs(), px, py)
    bands_of = model.instrument.band_names
    flux = np.empty((px.size, len(bands_of)), np.float32)
    for lo in range(0, px.size, 8 * _CHUNK):
        sky = galaxy.evaluate_mock_galaxy(x[lo : lo + 8 * _CHUNK], y[lo : lo + 8 * _CHUNK], *args)
        light = forward_model.compute_emitted_light(model, sky.params, with_spectrum=False)
        bands = forward_model.compute_band_fluxes(model, light, sky.params.redshift)
        flux[lo : lo + 8 * _CHUNK] = bands * sky.mass.sum(1, keepdims=True)
    per_pixel = scale * (PIXEL_HST / SPAXEL) ** 2
    blur = PSF_HST / FWHM_PER_SIGMA / PIXEL_HST
    star_image = _star_image(PIXEL_HST, make_hst_wcs(), N_HST, PSF_HST)
    out = {}
    for k, band in enumerate(bands_of):
        image = gaussian_filter(flux[:, k].reshape(N_HST, N_HST), blur) * per_pixel + star_bands[k] * star_image
        rate = image * 1e-20 / _PHOTFLAM[k]
        variance = np.maximum(rate, 0) / _EXPOSURE[k] + _BACKGROUND[k] ** 2
        noisy = rate + np.sqrt(variance) * rng.standard_normal(rate.shape)
        out[band] = (noisy.astype(np.float32), (1 / variance).astype(np.float32))
    return out


def mock_hst_calibration(band: str, templates: Templates) -> tuple[float, float, float]:
    """(PHOTFLAM, PHOTPLAM, exposure time) of a band of the mock.

    Parameters
    ----------
    band : str
        Of muse-hst.
    templates : Templates
        For its pivot wavelength.

    Returns
    -------
    photflam, photplam_aa, exposure_s : float
        erg/s/cm2/AA for 1 e-/s, Angstrom, seconds.
    """
    k = templates.instrument.band_names.index(band)
    return _PHOTFLAM[k], templates.filters[k].pivot_aa, _EXPOSURE[k]
