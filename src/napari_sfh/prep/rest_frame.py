"""Rest frame and broadening to the instrument's dispersion, through one resampling.

A bin at redshift z with stellar velocity v is seen at l_obs = l_rest D, D = (1 + z) exp(v / c): v is that of pPXF and
the DAP, v = c ln(1 + z_v). Pixel j of the rest-frame grid is the observed spectrum convolved with a Gaussian around
l_j D, evaluated once:

    f_j = sum_i W_ji f_i,   W_ji = G(l_i - l_j D; s_j) / sum_i G,   s_j^2 = (l_j D)^2 (S^2 - sigma^2) / c^2 + LSF term

with S the instrument's dispersion (150 km/s for MUSE). The LSF term is what the data's line-spread function lacks of
the instrument's, seen at l_j D and not at l_j: FWHM_instrument(l_j)^2 D^2 - FWHM_data(l_j D)^2; it is positive for a
redshifted galaxy seen by the instrument itself, and negative for data of lower resolution. Where s_j^2 comes out
negative nothing is done, and ``excess_kms`` says by how much the spectrum is too broad. Below 0.8 pixels a sampled
Gaussian no longer interpolates; there W is
the Lanczos kernel (a = 4) convolved with the Gaussian. Flux density is not multiplied by (1 + z): spectrum and
photometry are both observed f_lambda, and only their ratio reaches the network.

What S/N means afterwards. Broadening correlates neighbouring pixels: their scatter falls (by 3 for sigma = 50 km/s),
the information does not rise. The training set, like the paper's, has independent noise in each pixel of the broadened
spectrum, and its S/N of 15-50 is compared with that of Voronoi bins, which is measured before broadening. The
power of the noise on the scale of absorption lines is the same in both when the error of a pixel is

    error_j^2 = sum_i W_ji var_i * (pixel_i / pixel_j D),

the local mean variance per pixel of the grid, before broadening. That is what ``error`` and ``snr`` are here, so they
mean
what they mean in training and in the target S/N. The scatter of a broadened pixel is smaller, by the square root of
`noise_gain` = sum_i W_ji^2.

A bad channel. Broadening would make a gap of ten pixels of one bad channel, and a gap on H-alpha costs the network
0.15 dex of age. Up to three bad channels take the values of the polynomial through three good neighbours on either side
(through two, where two or three are bad), or of the line through one, where enough of the kernel lies on good channels.
Longer gaps are masked, and those of three channels on the peak of a gas line, which their flanks do not tell: bridged
ones move ages by 0.19 dex on H-alpha, masked ones by 0.16 (rms).

`reduced_chi2` is divided by the noise's gain, and is 1 where only noise separates data and model. It
leaves out emission lines: the rebuilt spectrum carries gas of one reference state.
"""

from __future__ import annotations

import threading
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.jobs import compute_blocks, raise_if_cancelled
from napari_sfh.physics.lines import GAS_LINES_AA, find_stellar_pixels
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, SAMPLED_FROM_PIX, broadening_kms
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F32, F64, Bool, Observation

if TYPE_CHECKING:
    from scipy import sparse

_BLOCK = 64  # bins that one thread takes at a time
_REACH = 4.0  # half-width of the Gaussian kernel in sigma
_LANCZOS = 4
_MAX_BAD_WEIGHT = 0.03  # share of the kernel on bad channels that is still filled by the others
#: Share of the kernel that may lie on bridged channels; good channels on either side that bridge a gap of 1, 2 and 3.
_MAX_BRIDGED_WEIGHT, _BRIDGE_SIDES = 0.7, (3, 2, 2)
_OFFSET_STEP, _SIGMA_STEP = 0.005, 0.01  # channels, of the table of narrow kernels
_NARROW_REACH = int(np.ceil(_LANCZOS + _REACH * SAMPLED_FROM_PIX))  # their half-width, channels


class RestSpectra(NamedTuple):
    """Spectra of N bins as the network takes them, on the instrument's grid."""

    flux: F32  # (N, W) f_lambda over its mean in the window; 0 where masked
    error: F32  # (N, W) 1 sigma, same unit, see the module's docstring
    mask: Bool  # (N, W) True = usable
    norm_cgs: F64  # (N,) mean observed f_lambda in the window, erg/s/cm2/AA; NaN without a usable continuum
    snr: F32  # (N,) per pixel of the grid in the window; 0 where norm_cgs is NaN
    excess_kms: F32  # (N,) by which the spectrum is broader than the grid's, in quadrature; 0 = brought to it
    added_kms: F32  # (N,) dispersion of the kernel, in quadrature, with what the LSF lacked: the median over the grid


def shift_to_rest_frame(
    spectra: BinSpectra,
    grid: SpectrumGrid,
    redshift: float,
    v_kms: F32 | float,
    sigma_kms: F32 | float,
    cancel: threading.Event | None = None,
) -> RestSpectra:
    """Shift to rest and broaden to the grid's dispersion in one resampling, then normalise.

    Parameters
    ----------
    spectra : BinSpectra
        Their LSF is that of the data; where it is not known, the grid's.
    grid : SpectrumGrid
        Of the instrument.
    redshift : float
        Of the galaxy.
    v_kms, sigma_kms : float or arrays (N,)
        Stellar velocity relative to ``redshift`` and dispersion (without the LSF). Where a spectrum
        is broader than the grid's it is resampled but not broadened.
    cancel : Event, optional
        Rows not yet done stay masked.

    Raises
    ------
    SfhInputError
        Kinematics of another length, or not finite.
    """
    n = spectra.n_bins
    v = _per_bin(v_kms, n, "v_kms").astype(np.float64)
    sigma = _per_bin(sigma_kms, n, "sigma_kms").astype(np.float64)
    extra, _ = broadening_kms(sigma, grid.sigma_kms)
    lsf = spectra.lsf or grid.lsf
    channel_aa = np.gradient(spectra.wave_aa)
    flux, error = (np.zeros((n, grid.n_wave), dtype=np.float32) for _ in range(2))
    mask = np.zeros((n, grid.n_wave), dtype=bool)
    norm = np.full(n, np.nan)
    snr, excess, added = (np.zeros(n, dtype=np.float32) for _ in range(3))

    def shift(b: int) -> None:
        stretch = (1.0 + redshift) * np.exp(v[b] / C_KMS)
        centre = grid.wave_aa * stretch
        squared = compute_missing_variance(centre, extra[b], grid.fwhm_aa * stretch, lsf.fwhm_aa(centre))
        kernel = resampling_matrix(spectra.wave_aa, centre, np.sqrt(np.maximum(squared, 0.0)), channel_aa)
        peaks = np.searchsorted(spectra.wave_aa, np.array(GAS_LINES_AA) * stretch)
        f, variance, ok = _resample(kernel, spectra, b, peaks, channel_aa, grid.pixel_aa * stretch)
        excess[b], added[b] = _find_excess_and_added_kms(squared, centre, sigma[b], grid.sigma_kms)
        mean = _window_mean(f, ok, grid.norm_pixels)
        if mean > 0:
            flux[b], error[b], mask[b] = f / mean, np.sqrt(variance) / mean, ok
            norm[b] = mean * spectra.flux_scale
            snr[b] = mean / np.sqrt(variance[grid.norm_pixels & ok].mean())

    def shift_block(block: slice) -> None:
        raise_if_cancelled(cancel)
        for b in range(block.start, block.stop):
            shift(b)

    for _ in compute_blocks(shift_block, n, _BLOCK):
        raise_if_cancelled(cancel)
    return RestSpectra(flux, error, mask, norm, snr, excess, added)


def _per_bin(value: F32 | float, n: int, name: str) -> F64:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or (array.ndim == 1 and array.size != n):
        raise SfhInputError(f"{name} has shape {array.shape}: give one number, or one for each of the {n} bins")
    if not np.isfinite(array).all():
        raise SfhInputError(f"{name} is not finite in {int((~np.isfinite(array)).sum())} bins; fill them first")
    return np.broadcast_to(array, (n,))


def compute_missing_variance(centre_aa: F64, extra_kms: float, want_fwhm_aa: F64, have_fwhm_aa: F64) -> F64:
    """Variance (W,) in Angstrom squared that a spectrum lacks at observed wavelengths; negative where it is too broad.

    Parameters
    ----------
    centre_aa : array (W,)
    extra_kms : float
        Velocity dispersion to be added.
    want_fwhm_aa, have_fwhm_aa : arrays (W,)
        FWHM of the LSF that is wanted, and of the data's.
    """
    lsf = want_fwhm_aa**2 - have_fwhm_aa**2
    return np.asarray((centre_aa * extra_kms / C_KMS) ** 2 + lsf / FWHM_PER_SIGMA**2, dtype=np.float64)


def _find_excess_and_added_kms(
    missing_aa2: F64, centre_aa: F64, sigma_kms: float, target_kms: float
) -> tuple[float, float]:
    """Dispersions in km/s by which a spectrum exceeds the grid's, and which it is given: medians over the grid."""
    lacking = float(np.median(missing_aa2 / centre_aa**2)) * C_KMS**2
    added = np.sqrt(max(lacking, 0.0))
    # The broadening was clipped where the stars alone are too broad.
    lacking -= max(sigma_kms**2 - target_kms**2, 0.0)
    return float(np.sqrt(max(-lacking, 0.0))), float(added)


def resampling_matrix(wave_aa: F64, centre_aa: F64, sigma_aa: F64, channel_aa: F64 | None = None) -> sparse.csr_array:
    """The operator (W, n) that takes a spectrum on ``wave_aa`` (n,) to other wavelengths and broadens it.

    Parameters
    ----------
    wave_aa : array (n,)
    centre_aa : array (W,)
        Wavelengths of the result, in the frame of ``wave_aa``.
    sigma_aa : array (W,)
        Width of the Gaussian at each of them, Angstrom.
    channel_aa : array (n,), optional
        Widths of the channels, where they are known: the gradient of ``wave_aa``.

    Returns
    -------
    sparse array (W, n)
        Rows sum to 1; those whose centre lies outside ``wave_aa`` are empty.
    """
    from scipy import sparse

    n, centre = wave_aa.size, centre_aa
    inside = (centre >= wave_aa[0]) & (centre <= wave_aa[-1])
    position = np.interp(centre, wave_aa, np.arange(n))
    sigma = sigma_aa / np.interp(centre, wave_aa, np.gradient(wave_aa) if channel_aa is None else channel_aa)
    first = np.floor(position).astype(np.int32)
    reach = _half_width(float(sigma.max()), float(sigma.min()))
    weight = _kernel(position - first, sigma, reach)
    # The total over the kernel's whole support: what falls off the end of the spectrum is missing, not renormalised.
    weight /= weight.sum(0)
    weight = weight.T.copy()
    column = first[:, None] + np.arange(-reach, reach + 2, dtype=np.int32)
    if not inside.all() or first[0] < reach or first[-1] + reach + 1 >= n:
        weight[(column < 0) | (column >= n) | ~inside[:, None]] = 0.0
        column = column.clip(0, n - 1)
    index_pointer = np.arange(0, weight.size + 1, weight.shape[1], dtype=np.int32)
    return sparse.csr_array((weight.ravel(), column.ravel(), index_pointer), shape=(centre.size, n), dtype=np.float64)


def _half_width(sigma_max: float, sigma_min: float) -> int:
    reach = _REACH * sigma_max
    if sigma_min < SAMPLED_FROM_PIX:
        reach = max(reach, _LANCZOS + _REACH * min(sigma_max, SAMPLED_FROM_PIX))
    return int(np.ceil(reach))


def _kernel(offset: F64, sigma: F64, reach: int) -> F64:
    """Unnormalised kernel (2 reach + 2, W) at channels -reach ... reach + 1 from one that lies below the centre.

    The Gaussian at offset d from channel k is exp(-a d^2) exp(2 a d)^k exp(-a)^(k k) with a = 1 / (2 sigma^2): from one
    channel to the next, it takes a factor that itself changes by exp(-2 a). That is exact to 1e-14, and each channel
    costs two products instead of an exponential.

    Parameters
    ----------
    offset : array (W,)
        Of the centre, 0 to 1 channels.
    sigma : array (W,)
        Channels.
    reach : int
    """
    narrow = sigma < SAMPLED_FROM_PIX
    if narrow.all():
        return _narrow_kernel(offset, sigma, reach).T
    a = 0.5 / np.maximum(sigma, SAMPLED_FROM_PIX) ** 2
    out = np.empty((2 * reach + 2, offset.size))
    np.exp(-a * offset**2, out=out[reach])
    up, once, twice = np.exp(2.0 * a * offset), np.exp(-a), np.exp(-2.0 * a)
    for factor, rows in ((once * up, out[reach:]), (once / up, out[reach::-1])):
        for last, here in pairwise(rows):
            np.multiply(last, factor, out=here)
            factor *= twice
    if narrow.any():
        out[:, narrow] = _narrow_kernel(offset[narrow], sigma[narrow], reach).T
    return out


def _narrow_kernel(offset: F64, sigma: F64, reach: int) -> F64:
    """Lanczos kernel convolved with narrow Gaussians (W, 2 reach + 2): `_kernel` of those, bilinear in a table."""
    table = _narrow_table()
    places = table.shape[1]
    place, width = offset * (places - 1), sigma / _SIGMA_STEP
    column, row = np.minimum(place.astype(np.int32), places - 2), width.astype(np.int32)
    along, across = (place - column)[:, None], (width - row)[:, None]
    flat, index = table.reshape(-1, table.shape[2]), row * np.int32(places) + column
    lower = flat[index]
    lower += (flat[index + 1] - lower) * along
    index += np.int32(places)
    out = flat[index]
    out += (flat[index + 1] - out) * along
    out -= lower
    out *= across
    out += lower
    more = reach - _NARROW_REACH
    return np.pad(out, ((0, 0), (more, more))) if more > 0 else out[:, -more : out.shape[1] + more]


@cache
def _narrow_table() -> F64:
    """Lanczos kernel convolved with Gaussians: (widths, offsets, channels).

    The widths go from 0 to 0.8 channels, the offsets of the centre from 0 to 1, the channels from `_NARROW_REACH`
    before the one below the centre to as many behind the one above it. A spectrum takes whole rows of the table.
    """
    offset = np.linspace(0.0, 1.0, round(1.0 / _OFFSET_STEP) + 1)
    x = offset[:, None] - np.arange(-_NARROW_REACH, _NARROW_REACH + 2)
    sigma = np.arange(0.0, SAMPLED_FROM_PIX + 1.5 * _SIGMA_STEP, _SIGMA_STEP)[:, None, None]
    table = np.zeros((sigma.size, *x.shape))
    for node, weight in zip(*np.polynomial.hermite.hermgauss(15)):
        shifted = x - np.sqrt(2.0) * sigma * node
        table += weight * np.where(np.abs(shifted) < _LANCZOS, np.sinc(shifted) * np.sinc(shifted / _LANCZOS), 0.0)
    return table


def _resample(
    kernel: sparse.csr_array, spectra: BinSpectra, row: int, peaks: NDArray[np.intp], channel_aa: F64, pixel_aa: F64
) -> tuple[F64, F64, Bool]:
    """Flux, per-pixel variance and usability of one bin, from channels (n,) to pixels (W,) of some widths, observed.

    The kernel is this bin's own, and is used up.
    """
    measured = spectra.good[row]
    flux, variance, good = fill_short_gaps(spectra.flux[row], spectra.variance[row], measured, peaks)
    seen: list[NDArray[Any]] = [np.ones(good.size), flux, variance * channel_aa]
    if not measured.all():
        seen += [good, measured]
    columns = np.column_stack(seen)
    full, weighted, power, *shares = (kernel @ columns).T
    share, own = shares or (full, full)
    held = share
    if kernel.data.min(initial=0.0) < 0:
        # Lanczos lobes are negative, shares of a kernel and means of variances must not be: weigh by their size.
        np.abs(kernel.data, out=kernel.data)
        full, _, power, *shares = (kernel @ columns).T
        held, own = shares or (full, full)
    ok = (full > 0) & (held >= (1.0 - _MAX_BAD_WEIGHT) * np.maximum(full, 1.0))
    ok &= own >= (1.0 - _MAX_BRIDGED_WEIGHT) * full
    scale = np.divide(1.0, share, out=np.zeros_like(share), where=ok & (share > 0))
    flux = scale * weighted
    variance = power / np.maximum(held, 1e-30) / pixel_aa
    ok &= variance > 0
    return np.where(ok, flux, 0.0), np.where(ok, variance, 0.0), ok


def fill_short_gaps(
    flux: F32, variance: F32, good: Bool, peaks: NDArray[np.intp] | None = None
) -> tuple[F64, F64, Bool]:
    """Flux, variance and usability (n,) with gaps of up to three channels filled; what is bad in longer ones is 0.

    Parameters
    ----------
    flux, variance : arrays (n,)
    good : boolean array (n,)
    peaks : array (k,) of int, optional
        Channels of gas lines' peaks: a gap of three channels there is left open.

    Examples
    --------
    >>> parabola = np.arange(8.0) ** 2
    >>> flux, variance, good = fill_short_gaps(parabola, np.ones(8), ~np.isin(np.arange(8), (3, 4)))
    >>> flux[3:5].round(6).tolist(), bool(good.all())
    ([9.0, 16.0], True)
    """
    out = tuple(np.where(good, x, 0.0).astype(np.float64) for x in (flux, variance))
    usable = good.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~good, [False]]).astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2]):
        if last - first > len(_BRIDGE_SIDES) or first == 0 or last == good.size:
            continue
        if last - first == len(_BRIDGE_SIDES) and peaks is not None and ((peaks >= first) & (peaks <= last)).any():
            continue
        reach = _BRIDGE_SIDES[last - first - 1]
        sides = np.concatenate([np.arange(first - reach, first), np.arange(last, last + reach)])
        if sides[0] < 0 or sides[-1] >= good.size or not good[sides].all():
            sides = np.array([first - 1, last])
        for k in range(first, last):
            weights = _weigh_polynomial(sides - k)
            out[0][k], out[1][k] = weights @ out[0][sides], weights**2 @ out[1][sides]
        usable[first:last] = True
    return out[0], out[1], usable


def _weigh_polynomial(at: NDArray[np.integer]) -> F64:
    """Weights (m,) with which values at ``at`` give that of the polynomial through them at 0 (Lagrange)."""
    others = ~np.eye(at.size, dtype=bool)
    return np.array([np.prod(at[o] / (at[o] - x)) for x, o in zip(at, others)], dtype=np.float64)


def _window_mean(flux: F64, ok: Bool, window: Bool) -> float:
    """Mean flux in the normalisation window; NaN where less than half of it is usable."""
    used = window & ok
    return float(flux[used].mean()) if 2 * used.sum() >= window.sum() else np.nan


def find_added_kms(data: Observation) -> F64:
    """Dispersion (N,) that the broadening added: its own record, or what the stars lack of the grid's dispersion."""
    if data.added_kms is not None:
        return data.added_kms.astype(np.float64)
    return broadening_kms(data.sigma_kms, data.instrument.grid.sigma_kms)[0]


def noise_gain(added_kms: F64 | float, grid: SpectrumGrid) -> F32:
    """Variance of a broadened pixel over that of an independent pixel, mean over the grid, shape of ``added_kms``.

    A Gaussian kernel of s pixels leaves 1 / (2 sqrt(pi) s) of white noise; a narrow one removes nothing.

    Parameters
    ----------
    added_kms : array (N,) or float
        Dispersion of the kernel, km/s, see `find_added_kms`.
    grid : SpectrumGrid

    Returns
    -------
    array (N,)
    """
    s = np.asarray(added_kms)[..., None] / C_KMS * grid.wave_aa / grid.pixel_aa
    return np.minimum(1.0, 1.0 / (2.0 * np.sqrt(np.pi) * np.maximum(s, 1e-6))).mean(-1).astype(np.float32)


def reduced_chi2(data: Observation, model_flux: F32) -> F32:
    """Reduced chi^2 of model spectra outside the emission lines.

    Parameters
    ----------
    data : Observation
        N objects.
    model_flux : array (N, W)
        In the unit of ``data.flux``.

    Returns
    -------
    array (N,)
        The correlation of broadened pixels is allowed for; NaN where nothing can be compared.
    """
    grid = data.instrument.grid
    used = data.mask & find_stellar_pixels(grid.wave_aa) & (data.error > 0)
    pull = np.divide(data.flux - model_flux, data.error, out=np.zeros_like(data.flux), where=used)
    count = used.sum(1)
    chi2 = np.divide(np.square(pull, dtype=np.float64).sum(1), count, out=np.full(count.shape, np.nan), where=count > 0)
    largest = np.finfo(np.float32).max  # errors of a wrong unit leave the range
    return np.minimum(chi2 / noise_gain(find_added_kms(data), grid), largest).astype(np.float32)
