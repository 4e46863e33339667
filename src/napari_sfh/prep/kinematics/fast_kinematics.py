"""Velocity and dispersion of many spectra at once, by cross-correlation and then least squares.

The model of a spectrum d(x), x = ln(wavelength), is that of pPXF (Cappellari 2023, MNRAS 526, 3273) with two moments,

    sum_k a_k [T_k * G(V, sigma)](x) + sum_j b_j P_j(x),

templates convolved with a Gaussian and additive Legendre polynomials. Three things make it fast:

* All spectra of a batch take each step together, as products of arrays.
* The templates enter by their mean and their principal components, whose amplitudes have a Gaussian prior of half
  their spread among the templates: galaxies are mixtures, which lie within. The prior takes the place of positive
  weights, and leaves the a_k and b_j linear.
* In Fourier space a shift and a broadening are a factor, and so are their derivatives. The linear part is eliminated at
  every step (variable projection; Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413), so that Gauss-Newton steps
  remain in V and sigma^2 alone. The square has a derivative at zero, where sigma has none.

The start is the peak of the cross-correlation with some templates (Tonry & Davis 1979, AJ 84, 1511). Errors are those
of independent noise in the observed channels, carried through the resampling and the fit.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sfh.config import MAX_V_KMS, SIGMA_RANGE_KMS
from napari_sfh.jobs import ReportProgress, limit_algebra_threads, report_progress
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.kinematics.log_spectra import LN_STEP, LogSpectra
from napari_sfh.prep.kinematics.stellar_kinematics import StellarKinematics, fill_unfitted_bins
from napari_sfh.types import F64, Bool, Progress

#: Seconds of one bin on one core, measured by ``benchmarks/bench_estimate.py --kinematics fast``.
FAST_SECONDS: float = 0.002

#: Spectra that take each step together.
SPECTRA_AT_ONCE = 64
_PIXEL_KMS = C_KMS * LN_STEP
_DEGREE = 8  # of the additive polynomials, as in the fit with pPXF
_COMPONENTS = 8
_PRIOR_SPREADS = 0.5
_MAX_STEPS = 12
_CONVERGED_KMS = 0.2  # of the last step; what a next one would add is far smaller
_START_SIGMA_KMS = 80.0
_START_PRIOR_KMS = 300.0  # bins that are hardly more than noise begin near the systemic redshift
_START_MARGIN_PIX = 4  # the correlation's window inside `MAX_V_KMS`: at the very edge nothing is a peak


class _BatchKinematics(NamedTuple):
    """Kinematics of the bins of a batch."""

    v_kms: F64  # (N,) relative to the systemic redshift
    sigma_kms: F64  # (N,) of the stars, within `SIGMA_RANGE_KMS`
    v_error_kms: F64  # (N,) 1 sigma
    sigma_error_kms: F64  # (N,) 1 sigma


class _Basis(NamedTuple):
    """What the fits of all batches share."""

    transform: NDArray[np.complex128]  # (K, F) of the mean template and the principal components
    length: int  # of what was transformed
    omega: F64  # (F,) radians per pixel
    precision: F64  # (K + J,) of the prior on the linear part
    polynomials: F64  # (J, m)
    first: int  # pixel of the templates on which the spectra begin
    starters: F64  # (S, m_t) templates for the start, without continuum


def fit_fast_kinematics(
    data: LogSpectra, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> StellarKinematics:
    """Velocity and dispersion of every bin with their errors, all bins of a batch at once.

    Parameters
    ----------
    data : LogSpectra
        Of N bins, from `log_spectra.make_log_spectra`.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    StellarKinematics
        km/s; see `fill_unfitted_bins` for bins without a fit.

    Raises
    ------
    SfhInputError
        No bin could be fitted.
    """
    rows = np.flatnonzero(data.fittable)
    found = np.full((4, data.observed.n_bins), np.nan)
    with limit_algebra_threads():
        shared = _prepare_basis(data)
        for start in range(0, rows.size, SPECTRA_AT_ONCE):
            report_progress(Progress("stellar kinematics", start, rows.size), progress, cancel)
            batch = rows[start : start + SPECTRA_AT_ONCE]
            found[:, batch] = _fit_batch(data, shared, batch)
    filled = fill_unfitted_bins(found[0], found[1], "fast", data.redshift)
    errors = np.where(filled.measured, found[2:], np.nan).astype(np.float32)
    return filled._replace(v_error_kms=errors[0], sigma_error_kms=errors[1])


def _prepare_basis(data: LogSpectra) -> _Basis:
    """Mean and principal components of the templates, their transforms, and the polynomials."""
    from scipy import fft

    mean = data.templates.mean(1)
    axes, sizes, _ = np.linalg.svd(data.templates - mean[:, None], full_matrices=False)
    count = min(_COMPONENTS, int(np.sum(sizes > 1e-6 * sizes[0])))
    spread = sizes[:count] / np.sqrt(data.templates.shape[1])
    waves = np.vstack([mean, (axes[:, :count] * spread).T])
    length = int(fft.next_fast_len(waves.shape[1], real=True))
    omega = 2 * np.pi * fft.rfftfreq(length)
    x = np.linspace(-1.0, 1.0, data.ln_wave.size)
    polynomials: F64 = np.polynomial.legendre.legvander(x, _DEGREE).T.astype(np.float64)
    precision = np.full(1 + count + len(polynomials), 1e-6)
    precision[1 : 1 + count] = _PRIOR_SPREADS**-2
    first = int(np.searchsorted(data.ln_template, data.ln_wave[0] - 0.5 * LN_STEP))
    some = data.templates[:, :: max(1, data.templates.shape[1] // 5)].T
    smooth, _ = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, some.shape[1]), 2 * _DEGREE))
    starters = some - (some @ smooth) @ smooth.T
    return _Basis(fft.rfft(waves, length, axis=1), length, omega, precision, polynomials, first, starters)


def _start_velocities(flux: F64, weight: F64, basis: _Basis) -> F64:
    """Velocity in pixels (B,) at which some template explains most of each spectrum's weighted variance."""
    m = flux.shape[1]
    reach = min(int(MAX_V_KMS / _PIXEL_KMS) - _START_MARGIN_PIX, basis.first)
    smooth = _subtract_fit(flux, weight, basis.polynomials)
    explained = np.zeros((len(flux), 2 * reach + 1))
    for k, shift in enumerate(range(-reach, reach + 1)):
        seen = basis.starters[:, basis.first - shift : basis.first - shift + m]  # (S, m)
        product = (weight * smooth) @ seen.T
        explained[:, k] = (np.maximum(product, 0.0) ** 2 / (weight @ (seen**2).T)).max(1)
    lags = np.arange(-reach, reach + 1.0)
    return lags[(explained - (lags * _PIXEL_KMS / _START_PRIOR_KMS) ** 2).argmax(1)]


def _subtract_fit(flux: F64, weight: F64, shapes: F64) -> F64:
    """Spectra (B, m) less their weighted fit by common shapes (J, m)."""
    weighted = weight[:, None] * shapes
    normal = weighted @ shapes.T + 1e-9 * np.eye(len(shapes))
    return flux - np.linalg.solve(normal, weighted @ flux[:, :, None])[:, :, 0] @ shapes


class _Step(NamedTuple):
    """A batch linearised about its velocities and dispersions."""

    slopes: F64  # (B, 2, m) with respect to V and sigma^2, free of what the linear part takes up
    normal: F64  # (B, 2, 2)
    towards: F64  # (B, 2)


def _linearise(flux: F64, weight: F64, v: F64, square: F64, basis: _Basis) -> _Step:
    """Eliminate the linear part, and linearise what remains in V and sigma^2 (pixels)."""
    from scipy import fft

    m, n_waves, length = flux.shape[1], len(basis.transform), basis.length
    inside = slice(basis.first, basis.first + m)
    factor = np.exp(-0.5 * square[:, None] * basis.omega**2 - 1j * v[:, None] * basis.omega)
    seen = fft.irfft(basis.transform * factor[:, None], length, axis=2)[:, :, inside]
    shapes = np.concatenate([seen, np.broadcast_to(basis.polynomials, (len(flux), *basis.polynomials.shape))], axis=1)
    weighted = shapes * weight[:, None]
    normal = weighted @ shapes.transpose(0, 2, 1) + np.diag(basis.precision)
    amplitude = np.linalg.solve(normal, weighted @ flux[:, :, None])[:, :, 0]
    residual = flux - np.einsum("bk,bkm->bm", amplitude, shapes)
    best = (amplitude[:, :n_waves] @ basis.transform) * factor
    both = np.stack([-1j * basis.omega * best, -0.5 * basis.omega**2 * best], axis=1)
    slopes = fft.irfft(both, length, axis=2)[:, :, inside]
    taken = np.linalg.solve(normal, weighted @ slopes.transpose(0, 2, 1))
    slopes = slopes - taken.transpose(0, 2, 1) @ shapes
    heavy = slopes * weight[:, None]
    return _Step(slopes, heavy @ slopes.transpose(0, 2, 1), (heavy @ residual[:, :, None])[:, :, 0])


def _fit_batch(data: LogSpectra, basis: _Basis, rows: NDArray[np.intp]) -> _BatchKinematics:
    """Kinematics of some fittable rows."""
    weight = np.where(data.usable[rows], data.noise[rows] ** -2.0, 0.0)
    flux = np.where(data.usable[rows], data.flux[rows], 0.0)
    v = _start_velocities(flux, weight, basis)
    square = np.full(rows.size, (_START_SIGMA_KMS / _PIXEL_KMS) ** 2)
    moving = np.arange(rows.size)
    for _ in range(_MAX_STEPS):
        step = _linearise(flux[moving], weight[moving], v[moving], square[moving], basis)
        new_v, new_square = _take_step(step, v[moving], square[moving])
        moved = np.maximum(np.abs(new_v - v[moving]), np.abs(np.sqrt(new_square) - np.sqrt(square[moving])))
        v[moving], square[moving] = new_v, new_square
        moving = moving[moved * _PIXEL_KMS > _CONVERGED_KMS]
        if not moving.size:
            break
    last = _linearise(flux, weight, v, square, basis)
    v_error, square_error = _propagate_errors(data, last, weight, rows)
    sigma = np.sqrt(square)
    sigma_error = square_error / (2 * sigma)
    return _BatchKinematics(*(_PIXEL_KMS * value for value in (v, sigma, v_error, sigma_error)))


def _take_step(step: _Step, v: F64, square: F64) -> tuple[F64, F64]:
    """V and sigma^2 (pixels) after a Gauss-Newton step, which is kept from going too far at once."""
    move = np.linalg.solve(step.normal, step.towards[:, :, None])[:, :, 0]
    least, most = (np.array(SIGMA_RANGE_KMS) / _PIXEL_KMS) ** 2
    limit = MAX_V_KMS / _PIXEL_KMS
    v = np.clip(v + np.clip(move[:, 0], -3.0, 3.0), -limit, limit)
    return v, np.clip(square + np.clip(move[:, 1], -0.8 * square, 2.0 * square + 1.0), least, most)


def _propagate_errors(data: LogSpectra, step: _Step, weight: F64, rows: NDArray[np.intp]) -> tuple[F64, F64]:
    """Errors of V and sigma^2 (pixels) from independent noise in the observed channels."""
    influence = np.linalg.solve(step.normal, step.slopes * weight[:, None])  # (B, 2, m)
    channels = (influence.reshape(-1, influence.shape[2]) @ data.operator).reshape(len(rows), 2, -1)
    spectra = data.observed
    good: Bool = spectra.good[rows]
    variance = np.where(good, spectra.variance[rows], 0.0) / data.scale[rows, None] ** 2
    error = np.sqrt((channels**2 * variance[:, None]).sum(2))
    return error[:, 0], error[:, 1]
