"""Noise and faults: from noiseless spectra to what `prep` would have measured, as `types.Observation`.

Spectrum. The variance of a pixel is that of counted photons, (f + b) / (1 + b) / (S/N)^2, where f is the flux over
its mean in the instrument's window, b the background there in the same unit, and S/N that of the window. A prior may
add what real spectra have: residuals of sky lines at their observed wavelengths (a Gaussian and its derivative with one
draw per line, so that its pixels move together), correlation between neighbours, smooth errors of the flux calibration,
an error array that is wrong by a factor, masked pixels and the laser notch. With ``broadened``, noise goes through
prep's convolution from the stellar dispersion to the instrument's, which smooths it; the error array stays the one
before that convolution, as prep's does (prep.rest_frame).

Photometry. sigma^2 = (floor f)^2 + (depth / S/N)^2 per band: a calibration error and a background whose depth relative
to the spectrum's is fixed per band (`prior_config.Photometry.depth`; in PHANGS-HST against PHANGS-MUSE a band's S/N in
a bin is 2 to 8 times that of a spectral pixel). Without a spectrum, S/N is the median of the bands' own. Zero points
and the offset between spectrum and bands come on top and are not in the error array; of the floor it holds
`floor_known`.

Arrays (N, W) stay where the noiseless spectra are (`array_backend`): with tensors in, flux, error and mask are
tensors on their device, which `encoding.encode_observation` takes as they are; the others are NumPy's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from napari_sfh.instruments.instrument import Instrument, SpectrumGrid
from napari_sfh.physics.filters import compute_photometry_scale, measure_photometry_snr
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broadening_kms
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.prior.prior_config import Noise, Photometry, PriorConfig
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.array_backend import ArrayBackend, LargeArray
from napari_sfh.training.simulator.forward_model import NoiselessObjects
from napari_sfh.types import F32, F64, Bool, Flag, Observation

#: Night-sky lines and their residuals relative to [O I] 5577. Wavelengths in air, Angstrom, of Osterbrock et al. (1996,
#: PASP 108, 277; 1997, PASP 109, 614), in the red equal to 0.03 to those of the UVES atlas (Hanuschik 2003, A&A 407,
#: 1157); of a doublet that no such spectrograph splits, the middle. Street lamps add mercury and, those of sodium at
#: high pressure, more than its D lines (Osterbrock & Martel 1992, PASP 104, 76; wavelengths of NIST). Strengths are
#: round numbers of ours.
SKY_LINES: tuple[tuple[float, float], ...] = (
    (5197.9, 0.10), (5460.75, 0.20), (5577.34, 1.00), (5682.63, 0.10), (5688.20, 0.15), (5769.60, 0.10),
    (5790.66, 0.10), (5889.95, 0.35), (5895.92, 0.30), (5915.3, 0.10), (5932.9, 0.15), (5953.4, 0.12), (6257.96, 0.15),
    (6287.43, 0.20), (6300.30, 0.80), (6363.78, 0.45), (6498.73, 0.25), (6533.04, 0.25), (6553.62, 0.25),
    (6577.28, 0.15), (6827.5, 0.15), (6834.0, 0.25), (6863.96, 0.45), (6871.0, 0.20), (6889.3, 0.20), (6900.8, 0.20),
    (6912.6, 0.20), (6923.22, 0.35), (6939.52, 0.25), (6949.04, 0.25), (6978.41, 0.25), (7003.86, 0.25),
    (7011.41, 0.15),
)  # fmt: skip
#: The same beyond MUSE's rest-frame range: mercury in the blue, sodium of lamps, the strong OH lines from 7240 AA on.
FURTHER_SKY_LINES: tuple[tuple[float, float], ...] = (
    (4046.56, 0.10), (4358.33, 0.20), (7276.41, 0.35), (7316.28, 0.35), (7340.89, 0.40), (7750.64, 0.40),
    (7794.11, 0.45), (7821.50, 0.40), (7913.71, 0.50), (7964.65, 0.50), (7993.33, 0.45), (8183.26, 0.15),
    (8194.82, 0.20), (8344.60, 0.55), (8399.17, 0.60), (8430.17, 0.55), (8827.10, 0.65), (8885.85, 0.70),
    (8919.64, 0.60), (8943.40, 0.45), (8958.08, 0.60), (9001.35, 0.45), (9337.85, 0.50), (9375.96, 0.60),
    (9439.65, 0.60),
)  # fmt: skip
#: Observed range masked in adaptive-optics cubes, Angstrom.
NOTCH_AA: tuple[float, float] = (5800.0, 5970.0)
_VARIANCE_FLOOR = 0.02  # of the window's, where absorption leaves no flux
_SKY_SHARE_IN_ERRORS = 0.7  # of a sky residual's amplitude that the error array knows
_SKY_REACH_AA = 6.0  # least half-width of a residual
_WIGGLE_MODES, _WIGGLE_SAMPLING_AA = 5, 20.0
_WIGGLE_RANGE_AA = (150.0, 3000.0)  # where a prior does not name wavelengths
_WIGGLE_SAMPLES = 12.0  # points on the shortest wave, where it is shorter than that


def add_observational_noise(
    clean: NoiselessObjects, config: PriorConfig, rng: np.random.Generator, substituted: Bool | None = None
) -> Observation:
    """Add noise and faults.

    Parameters
    ----------
    clean : NoiselessObjects
        Of `forward_model.synthesise_objects`.
    config : PriorConfig
        Its sections ``noise`` and ``photometry`` are used.
    rng : numpy Generator
    substituted : boolean array (N,), optional
        Objects whose bands come from other cameras, for the flag.

    Returns
    -------
    Observation
        Flux and photometry normalised by noisy fluxes, as prep does.
    """
    instrument, n = clean.instrument, clean.params.n
    snr = config.noise.snr.sample(rng, n)
    flux, error, mask = add_spectral_noise(clean, snr, config.noise, rng)
    phot, phot_error, phot_mask = add_photometric_noise(clean, snr, config.photometry, rng)
    xp = array_backend.find_backend(flux)
    norm, reported = np.ones(n), np.ones(n, np.float32)
    if instrument.spectrum is not None:
        mean, reported = _normalise_spectra(flux, error, mask, instrument.spectrum)
        norm, reported = xp.take(mean), xp.take(reported)
    if instrument.photometry_norm != "spectrum":
        scale = compute_photometry_scale(phot, phot_mask, instrument.photometry_norm, instrument.band_names)
        norm = _replace_missing(scale)
    for array in (phot, phot_error):
        array /= norm[:, None].astype(np.float32)
    if instrument.spectrum is None:
        reported = np.nan_to_num(measure_photometry_snr(phot, phot_error, phot_mask)).astype(np.float32)
    return Observation(
        flux=flux,
        error=error,
        mask=mask,
        phot=phot,
        phot_error=phot_error,
        phot_mask=phot_mask,
        norm_cgs=np.full(n, np.nan),
        snr=reported,
        v_kms=np.zeros(n, np.float32),
        sigma_kms=clean.params.sigma_star_kms.astype(np.float32),
        flag=_quality_flags(xp.take(mask.sum(1)), phot_mask, instrument, substituted),
        instrument=instrument,
        redshift=clean.params.redshift.astype(np.float32) if instrument.takes_redshift else None,
    )


def _normalise_spectra(
    flux: LargeArray, error: LargeArray, mask: LargeArray, grid: SpectrumGrid
) -> tuple[LargeArray, LargeArray]:
    """Divide by the mean of the window's usable pixels, in place; that mean, and S/N there, (N,) both."""
    xp = array_backend.find_backend(flux)
    pixels, n = np.flatnonzero(grid.norm_pixels), len(flux)
    near = slice(int(pixels[0]), int(pixels[-1]) + 1)
    window = xp.put(grid.norm_pixels[near])
    norm, snr = xp.empty((n,)), xp.empty((n,))
    for rows in xp.split_rows(n):
        used = xp.single(mask[rows, near] & window)
        count = xp.at_least(used.sum(1), 1.0)
        # At S/N 5 the mean of 160 pixels is good to 1.6 %: it cannot vanish.
        norm[rows] = mean = (flux[rows, near] * used).sum(1) / count
        for array in (flux[rows], error[rows]):
            array /= mean[:, None]
        snr[rows] = 1.0 / xp.sqrt(((error[rows, near] * used) ** 2).sum(1) / count)
        xp.clear(flux[rows], ~mask[rows])
    return norm, snr


def _replace_missing(scale: F64) -> F64:
    """1 where no band normalises the photometry: its bands then stay in the units of the simulation."""
    return np.where(np.isfinite(scale), scale, 1.0)


def add_spectral_noise(
    clean: NoiselessObjects, snr: F64, config: Noise, rng: np.random.Generator
) -> tuple[LargeArray, LargeArray, LargeArray]:
    """Add noise, sky residuals and wrong error arrays to noiseless spectra.

    Parameters
    ----------
    clean : NoiselessObjects
        Spectra (N, W) over their mean in the normalisation window.
    snr : array (N,)
        S/N per pixel in that window.
    config : Noise
        Of the prior.
    rng : numpy.random.Generator

    Returns
    -------
    flux, error : arrays (N, W)
        In units of the noiseless window mean.
    mask : boolean array (N, W)
        True where a pixel is usable. All have W = 0 for an instrument without a spectrum.
    """
    n, p, xp = len(snr), clean.params, array_backend.find_backend(clean.flux)
    grid = clean.instrument.spectrum
    if grid is None:
        return xp.zeros((n, 0)), xp.zeros((n, 0)), xp.true((n, 0))
    background = config.background.sample(rng, n).astype(np.float32)
    scale = 1.0 / ((1 + background) * (snr**2).astype(np.float32))
    noise, variance = xp.normal(rng, tuple(clean.flux.shape)), xp.empty(tuple(clean.flux.shape))
    correlation = config.correlation.sample(rng, n)
    for rows in xp.split_rows(n):
        part = xp.at_least(clean.flux[rows], _VARIANCE_FLOOR)
        part += xp.put(background[rows])[:, None]
        part *= xp.put(scale[rows])[:, None]
        variance[rows] = part
        _correlate(noise[rows], correlation[rows])
        noise[rows] *= xp.sqrt(part)
    sky = config.sky.sample(rng, n)
    if np.any(sky > 0):
        _add_sky_residuals(noise, variance, sky / snr, p.redshift, grid, rng)
    broadened = rng.random(n) < config.broadened.sample(rng, n)
    if broadened.any():
        broaden_noise(noise, variance, np.where(broadened, p.sigma_star_kms, grid.sigma_kms), grid)
    wiggle = config.wiggle.sample(rng, n)
    if np.any(wiggle > 0):
        flux = _calibration_wiggles(xp, wiggle, _draw_wiggle_scales(config, n, rng), grid, rng)
        for rows in xp.split_rows(n):
            flux[rows] *= clean.flux[rows]
            flux[rows] += noise[rows]
    else:
        flux = noise
        flux += clean.flux
    wrong = 10 ** (config.error_scale_dex.sample(rng, n) * rng.standard_normal(n))
    for rows in xp.split_rows(n):
        variance[rows] = xp.sqrt(variance[rows]) * xp.put(wrong[rows])[:, None]
    return flux, variance, _draw_mask(xp, config, p.redshift, grid, rng)


def list_sky_lines(grid: SpectrumGrid) -> tuple[tuple[float, float], ...]:
    """`SKY_LINES`, and those of `FURTHER_SKY_LINES` that a rest-frame grid sees of near galaxies."""
    first, last = grid.wave_aa[0], 1.02 * grid.wave_aa[-1]
    return SKY_LINES + tuple(row for row in FURTHER_SKY_LINES if first < row[0] < last)


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
    noise: LargeArray,
    variance: LargeArray,
    amplitude: F64,
    redshift: F64,
    grid: SpectrumGrid,
    rng: np.random.Generator,
) -> None:
    """Residuals of sky lines, in place; ``amplitude`` (N,) is the standard deviation at 5577 AA."""
    n, xp, wave_aa = len(amplitude), array_backend.find_backend(noise), grid.wave_aa
    line_aa, strength = np.array(list_sky_lines(grid)).T
    sigma = np.array([float(grid.lsf.fwhm_aa(line)) for line in line_aa]) / FWHM_PER_SIGMA
    reach = np.maximum(_SKY_REACH_AA, 5 * sigma)
    bluest, reddest = line_aa / (1 + redshift.max()) - reach, line_aa / (1 + redshift.min()) + reach
    seen = np.searchsorted(wave_aa, bluest) < np.searchsorted(wave_aa, reddest)
    line_aa, strength, sigma, reach = (column[seen] for column in (line_aa, strength, sigma, reach))
    if not line_aa.size:
        return
    scatter = np.moveaxis(rng.standard_normal((line_aa.size, 2, n), dtype=np.float32), 0, -1)
    # Each object has a line at its own pixels, as many as the finest part of the grid needs.
    size = min(int(2 * reach.max() / grid.pixel_aa.min()) + 2, wave_aa.size)
    for rows in xp.split_rows(n):
        centre = line_aa / (1 + redshift[rows])[:, None]
        first = np.minimum(np.searchsorted(wave_aa, centre - reach), wave_aa.size - size)
        pixel = first[:, :, None] + np.arange(size)
        x = xp.put((wave_aa[pixel] - centre[:, :, None]) / sigma[:, None])
        profile = xp.exp(-0.5 * x * x) * xp.put(strength * amplitude[rows, None])[:, :, None]
        even, odd = xp.put(scatter[:, rows, :, None])
        place = xp.put(pixel + (np.arange(len(pixel)) * wave_aa.size)[:, None, None])
        # Imperfect strength gives the even part, imperfect wavelength the odd one.
        xp.add_at(noise[rows], place, profile * (even + odd * x))
        xp.add_at(variance[rows], place, (_SKY_SHARE_IN_ERRORS * profile) ** 2)


def broaden_noise(noise: LargeArray, variance: LargeArray, sigma_star_kms: F64, grid: SpectrumGrid) -> None:
    """Pass noise through the convolution to the grid's dispersion, in place; its variance too.

    Parameters
    ----------
    noise, variance : array or tensor (N, W)
        Modified.
    sigma_star_kms : array (N,)
        Dispersion before, km/s.
    grid : SpectrumGrid
    """
    xp = array_backend.find_backend(noise)
    n_wave, middle = grid.n_wave, grid.n_wave // 2
    extra, _ = broadening_kms(sigma_star_kms, grid.sigma_kms)
    sigma_px = extra / C_KMS * grid.wave_aa[middle] / grid.pixel_aa[middle]
    size = next_fast_len(n_wave + 64, real=True)
    exponent = xp.put(-2 * (np.pi * np.arange(size // 2 + 1) / size) ** 2)
    widened = np.flatnonzero(sigma_px > 0)
    for block in xp.split_rows(len(widened)):
        rows = xp.put(widened[block])
        transfer = xp.exp(xp.put(sigma_px[widened[block]] ** 2)[:, None] * exponent)
        for array in (noise, variance):
            padded, part = xp.empty((len(rows), size)), array[rows]
            padded[:, :n_wave] = part
            padded[:, n_wave : n_wave + 32] = part[:, -1:]
            padded[:, n_wave + 32 :] = part[:, :1]
            spectrum = xp.rfft(padded)
            spectrum *= transfer
            array[rows] = xp.irfft(spectrum, size)[:, :n_wave]
    variance[:] = xp.at_least(variance, 1e-12)


def _draw_wiggle_scales(config: Noise, n: int, rng: np.random.Generator) -> F64:
    """Wavelengths in Angstrom of the calibration's waves, (n, modes)."""
    if config.wiggle_scale_aa is None:
        return np.exp(rng.uniform(np.log(_WIGGLE_RANGE_AA[0]), np.log(_WIGGLE_RANGE_AA[1]), (n, _WIGGLE_MODES)))
    return config.wiggle_scale_aa.sample(rng, n * _WIGGLE_MODES).reshape(n, _WIGGLE_MODES)


def _calibration_wiggles(
    xp: ArrayBackend, amplitude: F64, scales_aa: F64, grid: SpectrumGrid, rng: np.random.Generator
) -> LargeArray:
    """Smooth factors (N, W) of relative scatter ``amplitude`` (N,): cosines of ``scales_aa`` (N, modes)."""
    n = len(amplitude)
    k = xp.put(2 * np.pi / scales_aa)
    phase = xp.put(rng.uniform(0, 2 * np.pi, (n, _WIGGLE_MODES)))
    wave = (grid.wave_aa - grid.wave_aa[0]).astype(np.float32)
    coarse, between = _thin_out(wave, grid, float(scales_aa.min()))
    points, between = xp.put(coarse), xp.put(between)
    height, out = xp.put(amplitude * np.sqrt(2.0 / _WIGGLE_MODES))[:, None], xp.empty((n, wave.size))
    for rows in xp.split_rows(n):
        total = xp.cos(k[rows, :1] * points + phase[rows, :1])
        for m in range(1, _WIGGLE_MODES):
            total += xp.cos(k[rows, m : m + 1] * points + phase[rows, m : m + 1])
        out[rows] = (total * height[rows]) @ between
        out[rows] += 1
    return out


def _thin_out(wave: F32, grid: SpectrumGrid, shortest_aa: float) -> tuple[F32, F32]:
    """The pixels (C,) that such waves need, and the matrix (C, W) that interpolates between them linearly."""
    sampling_aa = _WIGGLE_SAMPLING_AA if shortest_aa >= _WIGGLE_RANGE_AA[0] else shortest_aa / _WIGGLE_SAMPLES
    stride = max(1, int(sampling_aa / grid.pixel_aa.max()))
    coarse = wave[::stride]
    if coarse[-1] < wave[-1]:
        coarse = np.append(coarse, wave[-1])
    pixel, between = np.arange(wave.size), np.zeros((coarse.size, wave.size), np.float32)
    left = np.minimum(pixel // stride, coarse.size - 2)
    share = (wave - coarse[left]) / (coarse[left + 1] - coarse[left])
    between[left, pixel], between[left + 1, pixel] = 1 - share, share
    return coarse, between


def select_wavelength_range(xp: ArrayBackend, lo: F64, hi: F64, wave_aa: F64) -> LargeArray:
    """Pixels of a grid between two wavelengths, both included.

    Parameters
    ----------
    xp : ArrayBackend
    lo, hi : array (N,)
        Angstrom.
    wave_aa : array (W,)
        Angstrom, rising.

    Returns
    -------
    bool array or tensor (N, W)
    """
    first, last = np.searchsorted(wave_aa, lo), np.searchsorted(wave_aa, hi, side="right")
    pixel = xp.put(np.arange(wave_aa.size, dtype=np.int16))
    return (pixel >= xp.put(first.astype(np.int16))[:, None]) & (pixel < xp.put(last.astype(np.int16))[:, None])


def _draw_mask(
    xp: ArrayBackend, config: Noise, redshift: F64, grid: SpectrumGrid, rng: np.random.Generator
) -> LargeArray:
    """Usable pixels (N, W)."""
    n, wave_aa = len(redshift), grid.wave_aa
    mask = xp.true((n, wave_aa.size))
    notch = rng.random(n) < config.notch.sample(rng, n)
    if notch.any():
        lo, hi = (edge / (1 + redshift[notch]) for edge in NOTCH_AA)
        mask[xp.put(notch)] = ~select_wavelength_range(xp, lo, hi, wave_aa)
    bad = config.bad_pixels.sample(rng, n)
    if np.any(bad > 0):
        # Bad pixels come in pairs: half as many centres, each taking its neighbour along.
        uniform, some = xp.uniform(rng, (n, wave_aa.size)), xp.put(bad > 0)
        hit = uniform[some] < xp.put(0.5 * bad[bad > 0].astype(np.float32))[:, None]
        hit[:, 1:] |= xp.copy(hit[:, :-1])
        mask[some] &= ~hit
    edge = config.edge_aa.sample(rng, n)
    some = edge > 0
    if some.any():
        mask[xp.put(some)] &= select_wavelength_range(xp, wave_aa[0] + edge[some], np.full(some.sum(), np.inf), wave_aa)
    return mask


def add_photometric_noise(
    clean: NoiselessObjects, snr: F64, config: Photometry, rng: np.random.Generator
) -> tuple[F32, F32, Bool]:
    """Add noise, zero-point errors and gaps to noiseless band fluxes.

    Parameters
    ----------
    clean : NoiselessObjects
        Band fluxes (N, B) over the object's norm.
    snr : array (N,)
        S/N that scales the depth of the bands.
    config : Photometry
        Of the prior.
    rng : numpy.random.Generator

    Returns
    -------
    flux, error : float32 arrays (N, B)
        In units of the noiseless norm; 0 where masked.
    mask : boolean array (N, B)
        True where a band is usable.
    """
    ideal = clean.phot
    n, bands = ideal.shape
    if not bands:
        return np.zeros((n, 0), np.float32), np.zeros((n, 0), np.float32), np.zeros((n, 0), bool)
    floor = config.floor.sample(rng, n)[:, None]
    depth = np.array([config.depth_of(band) for band in clean.instrument.band_names]) / snr[:, None]
    sigma = np.hypot(floor * ideal, depth)
    zero = config.zero_point.sample(rng, n)[:, None] * rng.standard_normal((n, bands))
    offset = config.offset.sample(rng, n)[:, None] * rng.standard_normal((n, 1))
    flux = ideal * (1 + zero) * (1 + offset) + sigma * rng.standard_normal((n, bands))
    mask = rng.random((n, bands)) >= config.missing.sample(rng, n)[:, None]
    mask &= (rng.random(n) >= config.none.sample(rng, n))[:, None]
    if not config.negative:
        mask &= flux > 0
    wrong = 10 ** (config.error_scale_dex.sample(rng, n)[:, None] * rng.standard_normal((n, bands)))
    sigma = np.hypot(floor * ideal * config.floor_known.sample(rng, n)[:, None], depth * wrong)
    return np.where(mask, flux, 0.0).astype(np.float32), np.where(mask, sigma, 0.0).astype(np.float32), mask


def _quality_flags(
    usable: NDArray[np.integer], phot_mask: Bool, instrument: Instrument, substituted: Bool | None
) -> NDArray[np.int32]:
    """Bits of `types.Flag` that prep would set, from usable pixels (N,) and bands (N, B)."""
    flag = np.zeros(len(phot_mask), np.int32)
    if instrument.bands:
        flag[(~phot_mask).any(1)] |= int(Flag.MISSING_BAND)
        flag[(~phot_mask).all(1)] |= int(Flag.NO_PHOTOMETRY)
    flag[usable < 0.9 * instrument.n_wave] |= int(Flag.MASKED_PIXELS)
    if substituted is not None:
        flag[substituted] |= int(Flag.OTHER_CAMERA)
    return flag
