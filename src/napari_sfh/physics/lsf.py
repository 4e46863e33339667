"""Line-spread function and broadening.

A spectrum of the network is seen through its instrument's line-spread function (LSF) **and** has the instrument's
stellar velocity dispersion sigma_target (150 km/s for MUSE), in training and in observation alike. The dispersion does
not contain the LSF; the two add in quadrature:

    sigma_total(l)^2 = sigma_LSF(l)^2 + (l * sigma_target / c)^2

- A template of resolution FWHM_t is convolved with sqrt(sigma_total^2 - sigma_t^2).
- An observed bin has an LSF already and a dispersion sigma_*: it is convolved with l * sqrt(sigma_target^2 -
  sigma_*^2) / c (`broadening_kms`), and with what its LSF at l (1 + z) lacks of the instrument's, see
  `prep.rest_frame`.
- Where the wanted width is below the width at hand, nothing is done there (`extra_sigma` clamps and says
  where).

The pixel is part of an LSF: widths are measured on lines of the data's own pixels. Spectra are interpolated onto the
grid, not averaged over its pixels a second time.

Broadening is a convolution with a Gaussian whose width may vary from pixel to pixel. Below 0.8 pixels a
sampled Gaussian is narrower than it says; there the discrete Gaussian exp(-t) I_n(t), t = sigma^2, is used,
whose variance is exact at any width (Lindeberg 1990, IEEE PAMI 12, 234).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F64
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import C_KMS

#: FWHM of a Gaussian over its sigma.
FWHM_PER_SIGMA: float = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
#: Sigma in pixels below which a kernel is the discrete Gaussian.
SAMPLED_FROM_PIX = 0.8
_REACH = 5.0  # half-width of a kernel in sigma


def total_sigma_aa(
    wave_aa: NDArray[np.floating] | float, fwhm_aa: NDArray[np.floating] | float, sigma_kms: float
) -> F64:
    """Width of a spectrum seen through an instrument, with the stars' dispersion in it.

    Parameters
    ----------
    wave_aa : array (W,) or float
        Angstrom.
    fwhm_aa : array (W,) or float
        FWHM of the line-spread function, Angstrom.
    sigma_kms : float
        Stellar velocity dispersion, km/s.

    Returns
    -------
    array (W,)
        Sigma of the Gaussian, Angstrom.
    """
    wave = np.asarray(wave_aa, dtype=np.float64)
    return np.hypot(np.asarray(fwhm_aa, dtype=np.float64) / FWHM_PER_SIGMA, wave * sigma_kms / C_KMS)


def line_profiles(
    line_wave_aa: NDArray[np.floating],
    wave_aa: NDArray[np.floating],
    fwhm_aa: NDArray[np.floating] | float,
    sigma_kms: float,
) -> F64:
    """Gaussian profiles (L, W) per AA of lines with a velocity dispersion, seen through an LSF; area 1.

    Parameters
    ----------
    line_wave_aa : array (L,)
        Centres in Angstrom.
    wave_aa : array (W,)
    fwhm_aa : float or array (L,)
        FWHM of the LSF in Angstrom at each line.
    sigma_kms : float
    """
    centre = np.asarray(line_wave_aa, dtype=np.float64)
    sigma = total_sigma_aa(centre, fwhm_aa, sigma_kms)[:, None]
    return np.exp(-0.5 * ((wave_aa - centre[:, None]) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def broadening_kms(sigma_kms: NDArray[np.floating] | float, target_kms: float) -> tuple[F64, NDArray[np.bool_]]:
    """Velocity dispersion to add to spectra of dispersion ``sigma_kms`` so that they have ``target_kms``.

    Parameters
    ----------
    sigma_kms : array (...) or float
        Dispersion that the spectra have, km/s.
    target_kms : float
        Dispersion that they are to have, km/s.

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
    """Width to add in quadrature to one Gaussian so that it has the width of another.

    Parameters
    ----------
    have, want : array (...)
        Sigma of the two, of one unit.

    Returns
    -------
    extra : array (...)
        In their unit; 0 where ``have`` is broader.
    too_broad : bool array (...)
        True where ``have`` is broader than ``want``.
    """
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
        Increasing wavelengths in Angstrom whose step changes slowly: linear, or logarithmic.
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
        Where the grid's step jumps, or a width is negative or not finite.
    """
    flux = np.asarray(flux)
    sigma = np.asarray(sigma_aa, dtype=np.float64) / _pixel_size(wave_aa, flux.shape[-1])
    if not np.all(np.isfinite(sigma)) or np.any(sigma < 0):
        raise SfhInputError("broaden: sigma_aa has negative or non-finite values; give widths >= 0 in Angstrom")
    if sigma.ndim <= 1:
        return _apply_kernel(flux, np.broadcast_to(sigma, flux.shape[-1:]))
    sigma = np.broadcast_to(sigma, flux.shape)
    out = np.empty_like(flux, dtype=np.result_type(flux, np.float32))
    for index in np.ndindex(flux.shape[:-1]):
        out[index] = _apply_kernel(flux[index], sigma[index])
    return out


def _pixel_size(wave_aa: NDArray[np.floating], n: int) -> F64 | float:
    """Step of a grid in Angstrom: one number where it is uniform, else (n,)."""
    wave = np.asarray(wave_aa, dtype=np.float64)
    if wave.shape != (n,):
        raise SfhInputError(f"broaden: wave_aa has shape {wave.shape}, the spectra have {n} pixels")
    steps = np.diff(wave)
    if n < 2 or steps.min() <= 0 or np.any(np.abs(np.diff(steps)) > 1e-2 * steps[1:]):
        raise SfhInputError("broaden: wave_aa must increase by steps that change slowly; resample the spectra first")
    return float(steps.mean()) if np.ptp(steps) <= 1e-3 * steps[0] else np.gradient(wave)


def _apply_kernel(flux: NDArray[np.floating], sigma_pix: F64) -> NDArray[np.floating]:
    """Sum of shifted copies, one per kernel offset: (n,) widths shared by all spectra (..., n)."""
    n = flux.shape[-1]
    reach = min(int(np.ceil(_REACH * float(sigma_pix.max(initial=0.0)))) + 1, n - 1)
    kernel = _kernel(sigma_pix, np.arange(-reach, reach + 1))
    columns = np.arange(n)
    inside = np.stack([(columns + k >= 0) & (columns + k < n) for k in range(-reach, reach + 1)])
    kernel *= inside
    kernel /= kernel.sum(0)
    out = np.zeros(flux.shape, dtype=np.result_type(flux, np.float32))
    for row, k in zip(kernel.astype(out.dtype), range(-reach, reach + 1)):
        lo, hi = max(0, -k), min(n, n - k)
        out[..., lo:hi] += row[lo:hi] * flux[..., lo + k : hi + k]
    return out


def _kernel(sigma_pix: F64, offset: NDArray[np.int_]) -> F64:
    """Unnormalised kernel values, shape (n_offsets, n)."""
    wide = np.maximum(sigma_pix, SAMPLED_FROM_PIX)
    kernel = np.exp(-0.5 * (offset[:, None] / wide) ** 2)
    narrow = sigma_pix < SAMPLED_FROM_PIX
    if narrow.any():
        from scipy.special import ive

        kernel[:, narrow] = ive(np.abs(offset)[:, None], sigma_pix[narrow] ** 2)
    return kernel
