"""Noise and faults: from noiseless spectra to what `prep` would have measured, as `types.Observation`.

Spectrum. The variance of a 1.25 AA pixel is that of counted photons, (f + b) / (1 + b) / (S/N)^2, where f is the flux
over its mean in 5300-5500 AA, b the background there in the same unit, and S/N that of the window. A prior may add what
real spectra have: residuals of sky lines at their observed wavelengths (a Gaussian and its derivative with one draw per
line, so that its pixels move together), correlation between neighbours, smooth errors of the flux calibration, an error
array that is wrong by a factor, masked pixels and the laser notch. With ``broadened``, noise goes through prep's
convolution from the stellar dispersion to 150 km/s, which smooths it; the error array stays the one before that
convolution, as prep's does (prep.restframe).

Photometry. sigma^2 = (floor f)^2 + (depth / S/N)^2 per band: a calibration error and a background whose depth relative
to the spectrum's is fixed per band (config.Photometry.depth; from the apertures, exposure times and throughputs of
PHANGS-HST against PHANGS-MUSE, a band's S/N in a bin is 2 to 8 times that of a spectral pixel). Zero points and the
offset between spectrum and bands come on top and are not in the error array; of the floor it holds `floor_known`.

Arrays (N, W) stay where the noiseless spectra are (`array_backend`): with tensors in, flux, error and mask are
tensors on their device, which `encoding.encode_observation` takes as they are; the others are NumPy's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broadening_kms, muse_lsf_fwhm_aa
from napari_sfh.physics.wavelength import C_KMS, N_WAVE, NORM_PIXELS, STEP_AA, WAVE_AA
from napari_sfh.training.prior.prior_config import Noise, Photometry, PriorConfig
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.array_backend import ArrayBackend, LargeArray
from napari_sfh.training.simulator.forward_model import NoiselessObjects
from napari_sfh.types import F32, F64, Bool, Flag, Observation

#: Night-sky lines (air, Angstrom; Osterbrock et al. 1996) and their residuals relative to [O I] 5577.
SKY_LINES: tuple[tuple[float, float], ...] = (
    (5197.9, 0.10), (5577.34, 1.00), (5889.95, 0.35), (5895.92, 0.30), (5915.3, 0.10), (5932.9, 0.15),
    (5953.4, 0.12), (6257.96, 0.15), (6287.43, 0.20), (6300.30, 0.80), (6363.78, 0.45), (6498.73, 0.25),
    (6533.04, 0.25), (6553.62, 0.25), (6577.20, 0.15), (6827.5, 0.15), (6834.0, 0.25), (6863.96, 0.45),
    (6871.0, 0.20), (6889.3, 0.20), (6900.8, 0.20), (6912.6, 0.20), (6923.2, 0.35), (6939.5, 0.25),
    (6949.0, 0.25), (6978.3, 0.25), (7003.9, 0.25), (7011.7, 0.15),
)  # fmt: skip
#: Observed range masked in adaptive-optics cubes, Angstrom.
NOTCH_AA: tuple[float, float] = (5800.0, 5970.0)
_VARIANCE_FLOOR = 0.02  # of the window's, where absorption leaves no flux
_SKY_SHARE_IN_ERRORS = 0.7  # of a sky residual's amplitude that the error array knows
_WIGGLE_MODES = 5


def add_observational_noise(
    clean: NoiselessObjects, config: PriorConfig, rng: np.random.Generator, acs: Bool | None = None
) -> Observation:
    """Add noise and faults.

    Parameters
    ----------
    clean : Noiseless
        Of `forward_model.synthesise_objects`.
    config : PriorConfig
        Its sections ``noise`` and ``add_photometric_noise`` are used.
    rng : numpy Generator
    acs : boolean array (N,), optional
        Objects whose bands come from another camera, for the flag.

    Returns
    -------
    BinData
        Flux and photometry divided by the mean of the noisy flux in the window, as prep does.
    """
    snr = config.noise.snr.sample(rng, clean.params.n)
    flux, error, mask = add_spectral_noise(clean, snr, config.noise, rng)
    phot, phot_error, phot_mask = add_photometric_noise(clean.phot, snr, config.photometry, rng)
    xp = array_backend.find_backend(flux)
    weight = xp.single(mask & xp.put(NORM_PIXELS))
    pixels = xp.at_least(weight.sum(1), 1.0)
    norm = (flux * weight).sum(1) / pixels
    # At S/N 5 the mean of 160 pixels is good to 1.6 %: it cannot vanish.
    for array in (flux, error):
        array /= norm[:, None]
    for array in (phot, phot_error):
        array /= xp.take(norm)[:, None]
    reported = 1.0 / xp.sqrt(((error * weight) ** 2).sum(1) / pixels)
    flux[~mask] = 0.0
    return Observation(
        flux=flux,
        error=error,
        mask=mask,
        phot=phot,
        phot_error=phot_error,
        phot_mask=phot_mask,
        norm_cgs=np.full(clean.params.n, np.nan),
        snr=xp.take(reported),
        v_kms=np.zeros(clean.params.n, np.float32),
        sigma_kms=clean.params.sigma_star_kms.astype(np.float32),
        flag=_quality_flags(xp.take(mask.sum(1)), phot_mask, acs),
    )


def add_spectral_noise(
    clean: NoiselessObjects, snr: F64, config: Noise, rng: np.random.Generator
) -> tuple[LargeArray, LargeArray, LargeArray]:
    """Noisy flux, error array and mask, each (N, W), in units of the noiseless window mean."""
    n, p, xp = len(snr), clean.params, array_backend.find_backend(clean.flux)
    background = config.background.sample(rng, n).astype(np.float32)[:, None]
    scale = (1.0 / ((1 + background) * (snr**2).astype(np.float32)[:, None])).astype(np.float32)
    variance = (xp.at_least(clean.flux, _VARIANCE_FLOOR) + xp.put(background)) * xp.put(scale)
    noise = xp.normal(rng, tuple(clean.flux.shape))
    _correlate(noise, config.correlation.sample(rng, n))
    noise *= xp.sqrt(variance)
    sky = config.sky.sample(rng, n)
    if np.any(sky > 0):
        _add_sky_residuals(noise, variance, sky / snr, p.redshift, rng)
    broadened = rng.random(n) < config.broadened.sample(rng, n)
    if broadened.any():
        broaden_noise(noise, variance, np.where(broadened, p.sigma_star_kms, 150.0))
    wiggle = config.wiggle.sample(rng, n)
    flux = clean.flux * _calibration_wiggles(xp, wiggle, rng) if np.any(wiggle > 0) else xp.copy(clean.flux)
    flux += noise
    wrong = 10 ** (config.error_scale_dex.sample(rng, n) * rng.standard_normal(n))
    error = xp.sqrt(variance) * xp.put(wrong)[:, None]
    return flux, error, _draw_mask(xp, n, config, p.redshift, rng)


def _correlate(noise: LargeArray, rho: F64) -> None:
    """Moving average of two pixels, in place: unit variance, correlation ``rho`` (N,) < 1/2 between neighbours."""
    if not np.any(rho > 0):
        return
    xp = array_backend.find_backend(noise)
    r = np.minimum(rho, 0.499)[:, None]
    # cos a sin a = rho for weights cos a and sin a.
    angle = 0.5 * np.arcsin(2 * r)
    first = xp.copy(noise[:, :-1])
    noise *= xp.put(np.cos(angle))
    noise[:, 1:] += xp.put(np.sin(angle)) * first


def _add_sky_residuals(
    noise: LargeArray, variance: LargeArray, amplitude: F64, redshift: F64, rng: np.random.Generator
) -> None:
    """Residuals of sky lines, in place; ``amplitude`` (N,) is the standard deviation at 5577 AA."""
    n, xp = len(amplitude), array_backend.find_backend(noise)
    for line, strength in SKY_LINES:
        centre = line / (1 + redshift)
        lo = np.searchsorted(WAVE_AA, centre.min() - 6)
        hi = np.searchsorted(WAVE_AA, centre.max() + 6)
        if lo >= hi:
            continue
        sigma = float(muse_lsf_fwhm_aa(line)) / FWHM_PER_SIGMA
        x = xp.put((WAVE_AA[lo:hi] - centre[:, None]) / sigma)
        profile = xp.exp(-0.5 * x * x)
        height = xp.put(strength * amplitude)[:, None]
        even, odd = xp.put(rng.standard_normal((2, n, 1), dtype=np.float32))
        # Imperfect strength gives the even part, imperfect wavelength the odd one.
        noise[:, lo:hi] += height * profile * (even + odd * x)
        variance[:, lo:hi] += (_SKY_SHARE_IN_ERRORS * height * profile) ** 2


def broaden_noise(noise: LargeArray, variance: LargeArray, sigma_star_kms: F64) -> None:
    """Pass noise through the convolution from ``sigma_star_kms`` (N,) to 150 km/s, in place, and variance likewise.

    One width in pixels stands for the whole spectrum (it varies by 19 % over the grid). The variance becomes its local
    mean, not the variance of the smoothed noise: prep's convention.
    """
    xp = array_backend.find_backend(noise)
    extra, _ = broadening_kms(sigma_star_kms)
    sigma_px = xp.put(extra / C_KMS * WAVE_AA[N_WAVE // 2] / STEP_AA)
    size = next_fast_len(N_WAVE + 64, real=True)
    frequency = xp.put(np.arange(size // 2 + 1) / size)
    transfer = xp.exp(-2 * np.pi**2 * (sigma_px[:, None] * frequency) ** 2)
    padded = xp.empty((len(noise), size))
    for array in (noise, variance):
        padded[:, :N_WAVE] = array
        padded[:, N_WAVE : N_WAVE + 32] = array[:, -1:]
        padded[:, N_WAVE + 32 :] = array[:, :1]
        array[:] = xp.irfft(xp.rfft(padded) * transfer, size)[:, :N_WAVE]
    variance[:] = xp.at_least(variance, 1e-12)


def _calibration_wiggles(xp: ArrayBackend, amplitude: F64, rng: np.random.Generator) -> LargeArray:
    """Smooth factors (N, W) with relative standard deviation ``amplitude`` (N,): cosines of 150-3000 AA."""
    n = len(amplitude)
    k = xp.put(2 * np.pi / np.exp(rng.uniform(np.log(150), np.log(3000), (n, _WIGGLE_MODES))))
    phase = xp.put(rng.uniform(0, 2 * np.pi, (n, _WIGGLE_MODES)))
    wave = (WAVE_AA - WAVE_AA[0]).astype(np.float32)
    # Every 16th pixel carries all that such waves hold; the last pixel is one of them.
    coarse = wave[::16]
    points = xp.put(coarse)
    total = xp.zeros((n, coarse.size))
    for m in range(_WIGGLE_MODES):
        total += xp.cos(k[:, m : m + 1] * points + phase[:, m : m + 1])
    total *= xp.put(amplitude * np.sqrt(2.0 / _WIGGLE_MODES))[:, None]
    left = np.minimum(np.arange(N_WAVE) // 16, coarse.size - 2)
    share = xp.put((wave - coarse[left]) / (coarse[left + 1] - coarse[left]))
    out = 1 + total[:, xp.put(left)] * (1 - share)
    out += total[:, xp.put(left + 1)] * share
    return out


def select_wavelength_range(xp: ArrayBackend, lo: F64, hi: F64) -> LargeArray:
    """Pixels (N, W) from wavelength ``lo`` to ``hi``, (N,) each, both included."""
    first, last = np.searchsorted(WAVE_AA, lo), np.searchsorted(WAVE_AA, hi, side="right")
    pixel = xp.put(np.arange(N_WAVE, dtype=np.int16))
    return (pixel >= xp.put(first.astype(np.int16))[:, None]) & (pixel < xp.put(last.astype(np.int16))[:, None])


def _draw_mask(xp: ArrayBackend, n: int, config: Noise, redshift: F64, rng: np.random.Generator) -> LargeArray:
    """Usable pixels (N, W)."""
    mask = xp.true((n, N_WAVE))
    notch = rng.random(n) < config.notch.sample(rng, n)
    if notch.any():
        lo, hi = (np.where(notch, edge / (1 + redshift), np.inf) for edge in NOTCH_AA)
        mask &= ~select_wavelength_range(xp, lo, hi)
    bad = config.bad_pixels.sample(rng, n)
    if np.any(bad > 0):
        # Bad pixels come in pairs: half as many centres, each taking its neighbour along.
        hit = xp.uniform(rng, (n, N_WAVE)) < xp.put(0.5 * bad.astype(np.float32))[:, None]
        hit[:, 1:] |= xp.copy(hit[:, :-1])
        mask &= ~hit
    edge = config.edge_aa.sample(rng, n)
    if np.any(edge > 0):
        mask &= select_wavelength_range(xp, WAVE_AA[0] + edge, np.full(n, np.inf))
    return mask


def add_photometric_noise(clean: F32, snr: F64, config: Photometry, rng: np.random.Generator) -> tuple[F32, F32, Bool]:
    """Noisy band fluxes, errors and mask (N, B), in units of the noiseless window mean; 0 where masked."""
    n, bands = clean.shape
    floor = config.floor.sample(rng, n)[:, None]
    depth = np.asarray(config.depth) / snr[:, None]
    sigma = np.hypot(floor * clean, depth)
    zero = config.zero_point.sample(rng, n)[:, None] * rng.standard_normal((n, bands))
    offset = config.offset.sample(rng, n)[:, None] * rng.standard_normal((n, 1))
    flux = clean * (1 + zero) * (1 + offset) + sigma * rng.standard_normal((n, bands))
    mask = rng.random((n, bands)) >= config.missing.sample(rng, n)[:, None]
    mask &= (rng.random(n) >= config.none.sample(rng, n))[:, None]
    mask &= flux > 0
    wrong = 10 ** (config.error_scale_dex.sample(rng, n)[:, None] * rng.standard_normal((n, bands)))
    sigma = np.hypot(floor * clean * config.floor_known.sample(rng, n)[:, None], depth * wrong)
    return np.where(mask, flux, 0.0).astype(np.float32), np.where(mask, sigma, 0.0).astype(np.float32), mask


def _quality_flags(usable: NDArray[np.integer], phot_mask: Bool, acs: Bool | None) -> NDArray[np.int32]:
    """Bits of `types.Flag` that prep would set, from usable pixels (N,) and bands (N, B)."""
    flag = np.zeros(len(usable), np.int32)
    flag[(~phot_mask).any(1)] |= int(Flag.MISSING_BAND)
    flag[(~phot_mask).all(1)] |= int(Flag.NO_PHOTOMETRY)
    flag[usable < 0.9 * N_WAVE] |= int(Flag.MASKED_PIXELS)
    if acs is not None:
        flag[acs] |= int(Flag.OTHER_CAMERA)
    return flag
