"""HST photometry of the bins.

A mosaic is calibrated by its PHOTFLAM to surface brightness (f_lambda per arcsec^2), blurred from the HST to the MUSE
PSF (`psf`), sampled at the centres of the spaxels (bilinear; the blurred image has some 20 pixels per FWHM, where that
is exact to 0.1 %), multiplied by the area of a spaxel and summed over the bin: f_lambda of exactly the spaxels whose
spectra were summed. Bad pixels are left out of the blur and its weight; a spaxel needs nine tenths of its kernel on
good pixels, a bin `MIN_COVERAGE` of its spaxels (then the sum is divided by the coverage), else its flux is NaN.

Errors come from the weight map. With independent pixel errors s_i and blur K, two spaxels a, b have the covariance
sum_i K_ai K_bi s_i^2, near sqrt(v_a v_b) rho(a - b): v_a = sum_i K_ai^2 s_i^2 is the blurred variance and rho the
normalised autocorrelation of K. A bin's variance is the sum over all its pairs of spaxels. Drizzling correlates pixels,
which a weight map does not show in the pixel-to-pixel scatter; its errors are those of large apertures (Casertano et
al. 2000, AJ 120, 2747, section 3.5), which is what is summed here, so no factor is applied.

The work goes through the mosaic in strips of spaxel rows, so memory is bounded whatever its size.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.prep.mosaics.psf import Psf, make_matching_kernel
from napari_sfh.types import F32, F64, I32, BinMap, Bool, Cube, Mosaic, measure_pixel_arcsec

#: Share of a bin's spaxels that a mosaic must cover for the bin's flux to count.
MIN_COVERAGE: float = 0.9
#: Share of the matching kernel that must lie on good pixels: beside a gap in a nucleus half of it is 35 % too faint.
_MIN_KERNEL = 0.9
#: Departure from a product of its two axes, over its peak, up to which a kernel counts as one: single precision.
_SEPARABLE = 1e-6
STRIP_PIXELS = 6_000_000  # mosaic pixels worked on at once
#: Arcsec to both sides of a spaxel between which the slope of a band's image is taken.
_SLOPE_REACH_ARCSEC = 0.5


class BandFlux(NamedTuple):
    """One band's photometry of N bins: f_lambda summed over the bin's spaxels, erg/s/cm2/AA; NaN = no data."""

    flux_cgs: F64  # (N,)
    error_cgs: F64  # (N,) 1 sigma


class MatchedMosaic(NamedTuple):
    """A mosaic on the cube's grid, arrays (ny, nx)."""

    flux: F32  # f_lambda of a spaxel, erg/s/cm2/AA / photflam; 0 where not covered
    sigma: F32  # its 1 sigma error, same unit
    covered: Bool
    reach: float  # sigma of the matching kernel, in spaxels


def measure_bin_photometry(
    mosaic: Mosaic,
    cube: Cube,
    bins: BinMap,
    psf: Psf,
    background: float = 0.0,
    offset_arcsec: tuple[float, float] = (0.0, 0.0),
    matched: MatchedMosaic | None = None,
    cancel: threading.Event | None = None,
) -> BandFlux:
    """Flux of each bin in one band.

    Parameters
    ----------
    mosaic : Mosaic
    cube : Cube
        Its grid, and its name for messages.
    bins : BinMap
    psf : Psf
        Of the cube; see `prep.mosaics.psf.choose_cube_psf`.
    background : float
        Sky level of the mosaic to subtract, e-/s per pixel.
    offset_arcsec : (float, float)
        By which the mosaic's sources lie beside the cube's along the cube's x and y axes
        (`alignment.compare_mosaic_with_cube`); undone.
    matched : MatchedMosaic, optional
        What `match_mosaic_to_cube` made with this background and offset, where that was asked for before.
    cancel : threading.Event, optional

    Returns
    -------
    BandFlux

    Raises
    ------
    SfhInputError
        The mosaic does not touch the cube's bins.
    Cancelled
        ``cancel`` was set.
    """
    sky = matched or match_mosaic_to_cube(mosaic, cube, bins.bin_id > 0, psf, background, offset_arcsec, cancel)
    members, n = bins.bin_id, bins.n_bins
    used = sky.covered & (members > 0)
    if not used.any():
        raise SfhInputError(_explain_no_overlap(mosaic, cube))
    coverage = np.bincount(members[used], minlength=n + 1)[1:] / bins.nspax
    flux = np.bincount(members[used], sky.flux[used].astype(np.float64), minlength=n + 1)[1:]
    variance = _bin_variance(np.where(used, members, 0), sky.sigma, n, sky.reach)
    enough = coverage >= MIN_COVERAGE
    scale = np.divide(mosaic.photflam, coverage, out=np.full(n, np.nan), where=enough)
    return BandFlux(flux * scale, np.sqrt(variance) * scale)


def measure_bin_slopes(sky: MatchedMosaic, bins: BinMap, spaxel_arcsec: float) -> F64:
    """How steeply a band's image rises over each bin: what a displacement of the mosaic would change.

    Parameters
    ----------
    sky : MatchedMosaic
        Of the band, on the cube's grid.
    bins : BinMap
    spaxel_arcsec : float
        Side of a spaxel.

    Returns
    -------
    array (N, 2)
        Change of ln(flux) of the bin per arcsec along the cube's x and y axes; NaN where the image is not known.
    """
    image = np.where(sky.covered, sky.flux, np.nan).astype(np.float64)
    reach = max(1, round(_SLOPE_REACH_ARCSEC / spaxel_arcsec))
    slopes = np.full((bins.n_bins, 2), np.nan)
    for axis in (1, 0):
        turned = np.moveaxis(image, axis, 0)
        rise = np.full(turned.shape, np.nan)
        rise[reach:-reach] = (turned[2 * reach :] - turned[: -2 * reach]) / (2 * reach * spaxel_arcsec)
        rise = np.moveaxis(rise, 0, axis)
        used = (bins.bin_id > 0) & np.isfinite(rise) & np.isfinite(image)
        total, change, number = (
            np.bincount(bins.bin_id[used], weight, minlength=bins.n_bins + 1)[1:]
            for weight in (image[used], rise[used], None)
        )
        known = (number >= MIN_COVERAGE * bins.nspax) & (total > 0)
        slopes[known, 1 - axis] = change[known] / total[known]
    return slopes


def _explain_no_overlap(mosaic: Mosaic, cube: Cube) -> str:
    """Whether a mosaic without a usable pixel on the bins lies elsewhere, or is bad there."""
    ny, nx = cube.shape[1:]
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9)))
    with np.errstate(invalid="ignore"):
        mx, my = mosaic.wcs.wcs_world2pix(*cube.wcs.wcs_pix2world(x, y, 0), 0)
        inside = (mx >= 0) & (mx <= mosaic.shape[1] - 1) & (my >= 0) & (my <= mosaic.shape[0] - 1)
    if inside.any():
        return (
            f"{mosaic.path.name}: covers {100 * inside.mean():.0f} % of {cube.path.name}, but has no usable pixel "
            "there (finite, weight above 0, of ordinary size for its unit and PHOTFLAM); check these"
        )
    return (
        f"{mosaic.path.name}: does not overlap {cube.path.name} on the sky; check that both are of the same galaxy, "
        "and their WCS"
    )


def match_mosaic_to_cube(
    mosaic: Mosaic,
    cube: Cube,
    wanted: Bool,
    psf: Psf,
    background: float = 0.0,
    offset_arcsec: tuple[float, float] = (0.0, 0.0),
    cancel: threading.Event | None = None,
) -> MatchedMosaic:
    """A mosaic matched to the cube's PSF and sampled on its spaxels.

    Parameters
    ----------
    mosaic : Mosaic
    cube : Cube
    wanted : bool array (ny, nx)
        Spaxels that are needed.
    psf : Psf
        Of the cube.
    background : float
        Sky level of the mosaic to subtract, e-/s per pixel.
    offset_arcsec : (float, float)
        By which the mosaic's sources lie beside the cube's along its x and y axes; undone.
    cancel : threading.Event, optional

    Returns
    -------
    MatchedMosaic
        Images (ny, nx).

    Raises
    ------
    Cancelled
        ``cancel`` was set.
    """
    pixel, spaxel = measure_pixel_arcsec(mosaic.wcs), cube.pixel_arcsec
    kernel = make_matching_kernel(mosaic.psf_fwhm_arcsec, psf.fwhm_at(), pixel, psf.beta)
    area = (spaxel / pixel) ** 2
    ny, nx = cube.shape[1:]
    flux, sigma, covered = np.zeros((ny, nx), np.float32), np.zeros((ny, nx), np.float32), np.zeros((ny, nx), bool)
    half = 1 if kernel is None else kernel.shape[0] // 2 + 1
    wcs = cube.wcs.celestial.deepcopy()
    wcs.wcs.crpix -= np.asarray(offset_arcsec) / spaxel
    for rows, cut in _strips(mosaic, wcs, wanted, half, area):
        raise_if_cancelled(cancel)
        data, error = mosaic.read(*cut)
        layers = _blur(data - np.float32(background), error, kernel)
        corner = (cut[1].start, cut[0].start)
        image = _sample(layers, mosaic.wcs, corner, wcs[rows, :], (rows.stop - rows.start, nx))
        ok = image[2] > _MIN_KERNEL
        covered[rows] = ok
        flux[rows] = area * np.divide(image[0], image[2], out=np.zeros_like(image[0]), where=ok)
        sigma[rows] = area * np.sqrt(np.divide(image[1].clip(0), image[2] ** 2, out=np.zeros_like(image[1]), where=ok))
    return MatchedMosaic(flux, sigma, covered, 0.0 if kernel is None else _kernel_sigma(kernel) * pixel / spaxel)


def _strips(
    mosaic: Mosaic, wcs: WCS, wanted: Bool, half: int, area: float
) -> Iterator[tuple[slice, tuple[slice, slice]]]:
    """Rows of the cube with wanted spaxels, in strips, and the part of the mosaic that each needs, if any."""
    occupied, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    height = int(np.clip(STRIP_PIXELS / (area * columns.size), 16, 4096))
    for start in range(int(occupied[0]), int(occupied[-1]) + 1, height):
        rows = slice(start, min(start + height, int(occupied[-1]) + 1))
        cut = find_mosaic_cutout(mosaic, wcs, rows, (int(columns[0]), int(columns[-1])), half)
        if cut is not None:
            yield rows, cut


def find_mosaic_cutout(
    mosaic: Mosaic, wcs: WCS, rows: slice, columns: tuple[int, int], half: int
) -> tuple[slice, slice] | None:
    """The part of a mosaic that some of a cube's spaxels need.

    Parameters
    ----------
    mosaic : Mosaic
    wcs : astropy.wcs.WCS
        Of the cube's spaxels.
    rows : slice
        Of the cube.
    columns : (int, int)
        First and last of the cube.
    half : int
        Mosaic pixels to add on every side: half of the kernel.

    Returns
    -------
    tuple of two slices, or None
        Rows and columns of the mosaic; None where the two do not meet.
    """
    y = np.linspace(rows.start - 0.5, rows.stop - 0.5, 9)
    x = np.linspace(columns[0] - 0.5, columns[1] + 0.5, 9)
    edge = np.array([(a, b) for a in x for b in y])
    pixel = mosaic.wcs.celestial.wcs_world2pix(wcs.wcs_pix2world(edge, 0), 0)
    if not np.isfinite(pixel).all():
        return None
    low = np.maximum(np.floor(pixel.min(0)).astype(int) - half, 0)
    high = np.minimum(np.ceil(pixel.max(0)).astype(int) + half + 1, mosaic.shape[::-1])
    if np.any(high - low < 2):
        return None
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _blur(data: F32, error: F32, kernel: NDArray[np.float32] | None) -> F32:
    """Weighted flux, variance and weight after the blur, float32 (3, ny, nx)."""
    good = np.isfinite(data) & np.isfinite(error)
    layers = np.empty((3, *data.shape), dtype=np.float32)
    layers[0], layers[2] = data, good
    np.multiply(error, error, out=layers[1])
    if not good.all():
        layers[:2, ~good] = 0
    if kernel is None:
        return layers
    layers[0] = _convolve(layers[0], kernel)
    # The variance of a sum weighted by K is blurred by K^2, not by K.
    unit = float(layers[1].max()) or 1.0
    layers[1] = unit * _convolve(layers[1] / unit, kernel**2)
    if good.all():
        layers[2] = _edge_weight(layers[2].shape, kernel)
    else:
        layers[2] = _convolve(layers[2], kernel)
    return layers


def _convolve(image: F32, kernel: NDArray[np.float32]) -> F32:
    """Convolution with an odd kernel, nothing beyond the edges; what wraps around stays in margins that are cut off."""
    from scipy import fft

    margins = [n // 2 for n in kernel.shape]
    shape = [fft.next_fast_len(n + margin, real=True) for n, margin in zip(image.shape, margins)]
    product = fft.rfft2(image, shape)
    for factor in _transform_kernel(kernel, shape):
        product *= factor
    cut = tuple(slice(margin, margin + n) for n, margin in zip(image.shape, margins))
    return np.asarray(fft.irfft2(product, shape, overwrite_x=True)[cut], dtype=np.float32)


def _transform_kernel(kernel: NDArray[np.float32], shape: list[int]) -> tuple[NDArray[np.complex64], ...]:
    """Factors of a kernel's Fourier transform on ``shape``: those of its axes where it is their product, as a Gaussian.

    The transform of a whole image takes as long as that of the mosaic's strip.
    """
    from scipy import fft

    along, across = (kernel.sum(axis, dtype=np.float64) for axis in (0, 1))
    along /= along.sum()
    if np.abs(across[:, None] * along - kernel).max() > _SEPARABLE * float(kernel.max()):
        return (fft.rfft2(kernel, shape),)
    first, second = fft.fft(across, shape[0]), fft.rfft(along, shape[1])
    return first.astype(np.complex64)[:, None], second.astype(np.complex64)


def _edge_weight(shape: tuple[int, ...], kernel: NDArray[np.float32]) -> F32:
    """Share of the kernel inside an image of ``shape``, for kernels that are symmetric about both axes."""
    marginal = kernel.sum(0, dtype=np.float64)
    ends = [np.convolve(np.ones(n), marginal)[kernel.shape[0] // 2 :][:n] for n in shape]
    return (ends[0][:, None] * ends[1][None, :]).astype(np.float32)


def _sample(layers: F32, wcs: WCS, corner: tuple[int, int], target: WCS, shape: tuple[int, int]) -> F32:
    """Bilinear values of the layers at the centres of the target's pixels, (3, ny, nx); 0 outside."""
    from reproject import reproject_interp  # slow to import

    cut = wcs.celestial.deepcopy()
    cut.wcs.crpix -= np.asarray(corner, dtype=np.float64)
    if cut.sip is not None or cut.cpdis1 is not None or cut.cpdis2 is not None:
        cut = wcs.celestial[corner[1] :, corner[0] :]
    values = reproject_interp((layers, cut), target, shape_out=(3, *shape), order="bilinear", return_footprint=False)
    return np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0)


def _kernel_sigma(kernel: NDArray[np.float32]) -> float:
    """Sigma in pixels of the Gaussian with the kernel's peak autocorrelation: sum K^2 = 1 / (4 pi sigma^2)."""
    return float(1.0 / np.sqrt(4.0 * np.pi * (kernel.astype(np.float64) ** 2).sum()))


def _bin_variance(bin_id: I32, sigma: F32, n_bins: int, reach: float) -> F64:
    """Variance (N,) of the bins' sums over all pairs of spaxels d apart, correlated as exp(-d^2 / (4 reach^2))."""
    # What each spaxel shares with itself and with those of its bin of which it is the first of a pair.
    shared = sigma.copy()
    span = int(np.ceil(3.5 * np.sqrt(2.0) * reach)) if reach > 0 else 0
    for dy in range(span + 1):
        for dx in range(-span if dy else 1, span + 1):
            rho = float(np.exp(-(dx**2 + dy**2) / (4.0 * reach**2)))
            if rho > 2e-3:
                _add_partners(shared, bin_id, sigma, dy, dx, 2.0 * rho)
    shared *= sigma
    return _sum_by_label(bin_id, shared, n_bins)[1:]


def _add_partners(shared: F32, bin_id: I32, sigma: F32, dy: int, dx: int, weight: float) -> None:
    """Add to each spaxel, in place, the weighted sigma of that one (dy, dx) away which lies in its bin."""
    ny, nx = bin_id.shape
    if dy >= ny or abs(dx) >= nx:
        return
    here = (slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx)))
    there = (slice(dy, ny), slice(max(0, dx), nx - max(0, -dx)))
    partner = sigma[there] * np.float32(weight)
    partner *= bin_id[here] == bin_id[there]
    shared[here] += partner


def _sum_by_label(label: I32, values: F32, n_bins: int) -> F64:
    """Sum of an image over each label 0..N, float64 (N + 1,)."""
    return np.asarray(np.bincount(label.ravel(), values.ravel(), minlength=n_bins + 1), dtype=np.float64)
