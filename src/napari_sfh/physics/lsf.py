"""Line-spread function and broadening.

What "150 km/s in total" means here, for the training set and for observed spectra alike: a spectrum of the
network is seen through the MUSE line-spread function (LSF) **and** has a stellar velocity dispersion of 150
km/s. The dispersion does not contain the LSF; the two add in quadrature:

    sigma_total(l)^2 = sigma_LSF(l)^2 + (l * 150 km/s / c)^2

- A template of resolution FWHM_t is convolved with sqrt(sigma_total^2 - sigma_t^2).
- An observed bin has the LSF already and a dispersion sigma_*: it is convolved with l * sqrt(150^2 -
  sigma_*^2) / c (`broadening_kms`). At redshift z the LSF is that of l (1 + z), in the rest frame narrower than the
  grid's by more than (1 + z); `prep.rest_frame` adds the difference.
- Where the wanted width is below the width at hand, nothing is done there (`extra_sigma` clamps and says
  where).

The LSF is the polynomial of Bacon et al. (2017, A&A 608, A1, equation 8), measured on data of 1.25 AA
pixels, so the pixel is part of it: spectra are interpolated onto the grid, not averaged over its pixels a
second time.

Broadening is a convolution with a Gaussian whose width may vary from pixel to pixel. Below 0.8 pixels a
sampled Gaussian is narrower than it says; there the discrete Gaussian exp(-t) I_n(t), t = sigma^2, is used,
whose variance is exact at any width (Lindeberg 1990, IEEE PAMI 12, 234).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import C_KMS, SIGMA_TARGET_KMS
from napari_sfh.types import F64

#: FWHM of a Gaussian over its sigma.
FWHM_PER_SIGMA: float = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
_REACH = 5.0  # half-width of a kernel in sigma
_SAMPLED_FROM = 0.8  # pixels; narrower kernels use the discrete Gaussian


def muse_lsf_fwhm_aa(wave_aa: NDArray[np.floating] | float) -> F64:
    """FWHM of the MUSE line-spread function in Angstrom at observed air wavelengths (Bacon et al. 2017)."""
    wave = np.asarray(wave_aa, dtype=np.float64)
    return 5.866e-8 * wave**2 - 9.187e-4 * wave + 6.040


def total_sigma_aa(wave_aa: NDArray[np.floating] | float, sigma_kms: float = SIGMA_TARGET_KMS) -> F64:
    """Width (sigma, Angstrom) of a spectrum at the MUSE LSF with a velocity dispersion ``sigma_kms``."""
    wave = np.asarray(wave_aa, dtype=np.float64)
    return np.hypot(muse_lsf_fwhm_aa(wave) / FWHM_PER_SIGMA, wave * sigma_kms / C_KMS)


def line_profiles(
    line_wave_aa: NDArray[np.floating], wave_aa: NDArray[np.floating], sigma_kms: float = SIGMA_TARGET_KMS
) -> F64:
    """Gaussian profiles (L, W) per AA of lines seen by MUSE with a velocity dispersion; area 1."""
    centre = np.asarray(line_wave_aa, dtype=np.float64)
    sigma = total_sigma_aa(centre, sigma_kms)[:, None]
    return np.exp(-0.5 * ((wave_aa - centre[:, None]) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def broadening_kms(
    sigma_kms: NDArray[np.floating] | float, target_kms: float = SIGMA_TARGET_KMS
) -> tuple[F64, NDArray[np.bool_]]:
    """Velocity dispersion to add to spectra of dispersion ``sigma_kms`` so that they have ``target_kms``.

    Returns
    -------
    extra_kms : array, the shape of ``sigma_kms``
        sqrt(target^2 - sigma^2), 0 where the spectrum is broader than the target.
    too_broad : boolean array
        True where sigma exceeds the target.
    """
    sigma = np.asarray(sigma_kms, dtype=np.float64)
    return extra_sigma(sigma, np.full_like(sigma, target_kms))


def extra_sigma(have: NDArray[np.floating], want: NDArray[np.floating]) -> tuple[F64, NDArray[np.bool_]]:
    """Width that added in quadrature to ``have`` gives ``want`` (0 where none does), and where none does."""
    difference = np.asarray(want, dtype=np.float64) ** 2 - np.asarray(have, dtype=np.float64) ** 2
    return np.sqrt(np.maximum(difference, 0.0)), difference < 0.0


def broaden_spectra(
    flux: NDArray[np.floating], wave_aa: NDArray[np.floating], sigma_aa: NDArray[np.floating] | float
) -> NDArray[np.floating]:
    """Convolve spectra with a Gaussian of varying width.

    Parameters
    ----------
    flux : array (..., n)
        Spectra on ``wave_aa``. NaN spreads over the kernel's reach.
    wave_aa : array (n,)
        Uniform wavelength grid in Angstrom.
    sigma_aa : float, array (n,) or array (..., n)
        Standard deviation in Angstrom at each output pixel; 0 leaves the pixel as it is.

    Returns
    -------
    array (..., n)
        Same dtype as ``flux``. Kernels are normalised at every pixel, at the edges too: a constant stays
        constant.

    Raises
    ------
    SfhInputError
        Where the grid is not uniform, or a width is negative or not finite.
    """
    return _convolve(flux, wave_aa, sigma_aa, power=1)


def broaden_variance(
    variance: NDArray[np.floating], wave_aa: NDArray[np.floating], sigma_aa: NDArray[np.floating] | float
) -> NDArray[np.floating]:
    """Variance per pixel after `broaden_spectra`, for input pixels with independent errors (same shapes)."""
    return _convolve(variance, wave_aa, sigma_aa, power=2)


def _convolve(
    flux: NDArray[np.floating],
    wave_aa: NDArray[np.floating],
    sigma_aa: NDArray[np.floating] | float,
    power: int,
) -> NDArray[np.floating]:
    flux = np.asarray(flux)
    step = _uniform_step(wave_aa, flux.shape[-1])
    sigma = np.asarray(sigma_aa, dtype=np.float64) / step
    if not np.all(np.isfinite(sigma)) or np.any(sigma < 0):
        raise SfhInputError("broaden: sigma_aa has negative or non-finite values; give widths >= 0 in Angstrom")
    if sigma.ndim <= 1:
        return _apply_kernel(flux, np.broadcast_to(sigma, flux.shape[-1:]), power)
    sigma = np.broadcast_to(sigma, flux.shape)
    out = np.empty_like(flux, dtype=np.result_type(flux, np.float32))
    for index in np.ndindex(flux.shape[:-1]):
        out[index] = _apply_kernel(flux[index], sigma[index], power)
    return out


def _uniform_step(wave_aa: NDArray[np.floating], n: int) -> float:
    wave = np.asarray(wave_aa, dtype=np.float64)
    if wave.shape != (n,):
        raise SfhInputError(f"broaden: wave_aa has shape {wave.shape}, the spectra have {n} pixels")
    steps = np.diff(wave)
    if n < 2 or np.ptp(steps) > 1e-3 * abs(steps[0]) or steps[0] <= 0:
        raise SfhInputError("broaden: wave_aa is not a uniform increasing grid; resample the spectra first")
    return float(steps.mean())


def _apply_kernel(flux: NDArray[np.floating], sigma_pix: F64, power: int) -> NDArray[np.floating]:
    """Sum of shifted copies, one per kernel offset: (n,) widths shared by all spectra (..., n)."""
    n = flux.shape[-1]
    reach = min(int(np.ceil(_REACH * float(sigma_pix.max(initial=0.0)))) + 1, n - 1)
    kernel = _kernel(sigma_pix, np.arange(-reach, reach + 1))
    columns = np.arange(n)
    inside = np.stack([(columns + k >= 0) & (columns + k < n) for k in range(-reach, reach + 1)])
    kernel *= inside
    kernel = (kernel / kernel.sum(0)) ** power
    out = np.zeros(flux.shape, dtype=np.result_type(flux, np.float32))
    for row, k in zip(kernel.astype(out.dtype), range(-reach, reach + 1)):
        lo, hi = max(0, -k), min(n, n - k)
        out[..., lo:hi] += row[lo:hi] * flux[..., lo + k : hi + k]
    return out


def _kernel(sigma_pix: F64, offset: NDArray[np.int_]) -> F64:
    """Unnormalised kernel values, shape (n_offsets, n)."""
    wide = np.maximum(sigma_pix, _SAMPLED_FROM)
    kernel = np.exp(-0.5 * (offset[:, None] / wide) ** 2)
    narrow = sigma_pix < _SAMPLED_FROM
    if narrow.any():
        kernel[:, narrow] = ive(np.abs(offset)[:, None], sigma_pix[narrow] ** 2)
    return kernel
