"""Does a mosaic show the same sky as the cube, in the same place and on the same scale?

Where the cube covers a band (F555W, F814W) it is integrated under the filter and set against the mosaic, matched to
its PSF. Three numbers come out, each of which would silently bias ages if it were wrong: the offset on the sky, the
flux scale and the background. The offset starts from the peak of the cross-correlation of the two images without
their large-scale light; then all three are refined together by clipped least squares over the good spaxels,

    mosaic(x) = scale * cube(x - d) + background,

linear in small changes of d. The band's filter weighs photons: <f> = sum f T l / sum T l.

The cube has noise too, which flattens such a line where the field has little contrast: scale and background are
corrected for it by the cube's own errors (attenuation bias; Fuller 1987, Measurement Error Models, section 1.1), at
most up to the line of cube against mosaic, which is too steep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which is after the bins
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.cube_blocks import choose_block_length
from napari_sfh.prep.mosaics.photometry import MatchedMosaic, match_mosaic_to_cube
from napari_sfh.prep.mosaics.psf import Psf
from napari_sfh.types import F32, F64, Bool, Cube, Mosaic, Progress, measure_pixel_arcsec

#: Share of a filter's throughput that the cube must cover for the comparison.
MIN_FILTER_SHARE: float = 0.8
#: Every so many channels are read of the continuum; of emission lines, which are as narrow, each one.
_STRIDE = 6
_READ_AT_ONCE = 16
#: Channels that are added up in single precision before they join the rest.
_IN_SINGLE_PRECISION = 8
_SMOOTH_PIX = 10.0  # light on larger scales does not say where things are
_MAX_SHIFT_ARCSEC = 3.0
#: Spaxels of both images that a comparison needs.
_MIN_COMPARED = 100
#: Light of a mosaic over that of the cube, or the reverse, from which on it is told where nothing better can be.
_MAX_LIGHT_RATIO = 1.2
#: Correlation above which a mosaic lies as the cube, pixels along an axis of the images that tell it, and the ways.
_SAME_WAY_ROUND, _COARSE = 0.995, 128
_WAYS_ROUND: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored along x": lambda a: a[:, ::-1],
    "mirrored along y": lambda a: a[::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
    "transposed": lambda a: a.T,
    "turned by 90 degrees": np.rot90,
    "turned by 270 degrees": lambda a: np.rot90(a, 3),
    "transposed and turned by 180 degrees": lambda a: a[::-1, ::-1].T,
}
_ITERATIONS = 6
_CLIP = 5.0  # sigma
_PARTS = 5  # of the field along each axis
_COLOUR_SCATTER = 0.3  # of the light beside the cube's range over that inside, within a galaxy


#: Variance of an image over that of its noise below which nothing in it can be compared.
_STRUCTURE_OVER_NOISE = 1.5


@dataclass(frozen=True)
class Alignment:
    """How a mosaic differs from the cube.

    Attributes
    ----------
    dx_arcsec, dy_arcsec : float
        Offset of the mosaic's sources from the cube's along the cube's x and y axes.
    scale : float
        Mosaic's flux over the cube's; 1 where both are calibrated alike.
    background : float
        Mosaic's flux where the cube has none, e-/s per mosaic pixel: what `photometry.measure_bin_photometry` takes as
        ``background``.
    pedestal : float
        The same over the cube's median flux under the filter, of the spaxels compared.
    scale_error, pedestal_error : float
        1 sigma: the larger of that of the fit, in which a beam of the PSF counts as one measurement, and that of a
        jackknife over 25 parts of the field; and the colours of the part of the filter that the cube lacks, which count
        where the field has little contrast.
    correlation : float
        Of the two images, at the best offset; below some 0.5 nothing above is to be trusted.
    filter_share : float
        Share of the filter's throughput that the cube covers.
    turned : str
        How the mosaic lies where, turned or mirrored, it would be far more like the cube; else empty.
    contrast : float
        Scatter of the cube's image beyond its noise, over its median: without any, nothing can be compared.
    """

    dx_arcsec: float
    dy_arcsec: float
    scale: float
    background: float
    pedestal: float
    scale_error: float
    pedestal_error: float
    correlation: float
    filter_share: float
    turned: str = ""
    contrast: float = 1.0


def compute_filter_share(cube: Cube, band: Filter) -> float:
    """Share of a filter's photons inside the cube's wavelength range.

    Parameters
    ----------
    cube : Cube
    band : Filter
    """
    weight = band.throughput * band.wave_aa * np.gradient(band.wave_aa)
    inside = (band.wave_aa >= cube.wave_aa[0]) & (band.wave_aa <= cube.wave_aa[-1])
    return float(weight[inside].sum() / weight.sum())


def compare_mosaic_with_cube(
    mosaic: Mosaic,
    cube: Cube,
    band: Filter,
    psf: Psf,
    matched: MatchedMosaic | None = None,
    redshift: float | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> Alignment:
    """Compare a mosaic with the cube under the band's filter.

    Parameters
    ----------
    mosaic : Mosaic
    cube : Cube
    band : Filter
        The mosaic's filter (``TemplateBasis.filters`` of the bundle).
    psf : Psf
        Of the cube.
    matched : MatchedMosaic, optional
        The mosaic on all of the cube, where `match_mosaic_to_cube` made it already.
    redshift : float, optional
        Where the gas lines are; unknown: of 0.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Alignment

    Raises
    ------
    SfhInputError
        The cube covers too little of the filter, or the two share too few spaxels.
    """
    share = compute_filter_share(cube, band)
    if share < MIN_FILTER_SHARE:
        raise SfhInputError(
            f"{mosaic.path.name}: {cube.path.name} covers {share:.0%} of {band.name}, too little for a comparison"
        )
    synthetic, variance = _synthetic_image(cube, band, redshift or 0.0, progress, cancel)
    report_progress(Progress(f"{band.name}: the mosaic beside the cube", 0, 0), progress, cancel)
    sky = matched or match_mosaic_to_cube(mosaic, cube, np.ones(cube.shape[1:], dtype=bool), psf, cancel=cancel)
    raise_if_cancelled(cancel)
    beam = 4.0 * np.pi * (psf.fwhm_at() / FWHM_PER_SIGMA / cube.pixel_arcsec) ** 2
    image = sky.flux * np.float32(mosaic.photflam)
    return _fit_alignment(mosaic, cube, synthetic, variance, image, sky.covered, share, beam)


def _choose_channels(cube: Cube, curve: F64, redshift: float) -> tuple[NDArray[np.intp], F64]:
    """Channels that are read of those under a filter's curve, and for how many each of them stands."""
    under = np.flatnonzero(curve > 0)
    lines = ~find_stellar_pixels(cube.wave_aa[under] / (1.0 + redshift))
    read = lines | (np.arange(under.size) % _STRIDE == 0)
    channels = under[read]
    middle = 0.5 * (channels[1:] + channels[:-1])
    return channels, np.diff(np.concatenate([[under[0] - 0.5], middle, [under[-1] + 0.5]]))


def _synthetic_image(
    cube: Cube, band: Filter, redshift: float, progress: ReportProgress | None, cancel: threading.Event | None
) -> tuple[F64, F64]:
    """The cube through the filter, erg/s/cm2/AA per spaxel, and its variance (0: not known); NaN where unobserved."""
    curve = np.interp(cube.wave_aa, band.wave_aa, band.throughput, left=0.0, right=0.0) * cube.wave_aa
    channels, stand_for = _choose_channels(cube, curve, redshift)
    curve = curve[channels] * stand_for / max(float(curve.max()), 1e-300)
    total, noise, missing = (np.zeros(cube.shape[1:]) for _ in range(3))
    part, part_noise, product = (np.zeros(cube.shape[1:], dtype=np.float32) for _ in range(3))
    step = max(1, choose_block_length(cube) // 8)
    for k, (flux, variance, good) in enumerate(_read_channels(cube, channels)):
        if k % step == 0:
            report_progress(Progress(f"the cube through {band.name}", k, channels.size), progress, cancel)
        lost = np.flatnonzero(~good)
        missing.reshape(-1)[lost] += curve[k]
        height = np.float32(curve[k])
        for plane, summed, factor in ((flux, part, height), (variance, part_noise, height**2)):
            if plane is not None:
                np.multiply(plane, factor, out=product)
                product.reshape(-1)[lost] = 0
                summed += product
        if k % _IN_SINGLE_PRECISION == _IN_SINGLE_PRECISION - 1 or k == channels.size - 1:
            for summed, whole in ((part, total), (part_noise, noise)):
                whole += summed
                summed[:] = 0
    weight = curve.sum() - missing
    enough = weight > 0.5 * curve.sum()
    seen = np.divide(total, weight, out=np.full(total.shape, np.nan), where=enough) * cube.flux_scale
    return seen, np.divide(noise, weight**2, out=np.full(total.shape, np.nan), where=enough) * cube.flux_scale**2


def _read_channels(cube: Cube, channels: NDArray[np.intp]) -> Iterator[tuple[F32, F32 | None, Bool]]:
    """Images (ny, nx) of single channels, of which some neighbours at a time are read: each reading has its price."""
    breaks = np.flatnonzero(np.diff(channels) != 1) + 1
    most = min(_READ_AT_ONCE, choose_block_length(cube))
    for run in np.split(channels, breaks):
        for part in np.split(run, range(most, run.size, most)):
            flux, variance, good = cube.read(int(part[0]), int(part[-1]) + 1)
            for k in range(part.size):
                yield flux[k], None if variance is None else variance[k], good[k]


def _fit_alignment(
    mosaic: Mosaic, cube: Cube, synthetic: F64, variance: F64, image: F32, covered: Bool, share: float, beam: float
) -> Alignment:
    both = covered & np.isfinite(synthetic)
    if both.sum() < _MIN_COMPARED:
        raise SfhInputError(
            f"{mosaic.path.name}: shares {int(both.sum())} spaxels with {cube.path.name}, too few for a comparison"
            + _describe_light(synthetic[both], image[both])
        )
    unit = float(np.median(np.abs(synthetic[both]))) or 1.0
    cube_image, hst_image = np.where(both, synthetic / unit, 0.0), np.where(both, image / unit, 0.0)
    pixel = cube.pixel_arcsec
    start = _correlate_offset(
        _remove_large_scale_light(cube_image, both),
        _remove_large_scale_light(hst_image, both),
        int(np.ceil(_MAX_SHIFT_ARCSEC / pixel)),
    )
    dy, dx, slope, zero, moved, keep = _refine_offset(cube_image, hst_image, both, start)
    x, y = moved[keep], hst_image[keep]
    if x.size < _MIN_COMPARED:
        raise SfhInputError(
            f"{mosaic.path.name}: shows nothing at the place of {cube.path.name} that a comparison could hold on to"
            + _describe_light(synthetic[both], image[both])
        )
    noise = float(np.median(variance[both])) / unit**2
    spread = float(np.var(x))
    contrast = max(spread - noise, 0.0) ** 0.5 if spread > _STRUCTURE_OVER_NOISE * noise else 0.0
    slope, zero, reliability = _correct_attenuation(x, y, slope, noise)
    fit = _line_fit_errors(x, y, slope, zero, beam, reliability)
    # A part of the filter's light that is unknown by its scatter of colours, one colour a part of the field.
    colours = _COLOUR_SCATTER * (1.0 - share) / _PARTS / max(float(np.std(x)), 1e-15)
    measured = np.maximum(fit, _jackknife_errors(x, y, keep) / reliability)
    slope_error, zero_error = np.hypot(measured, colours * np.array([1.0, float(np.mean(x))]))
    hst_per_spaxel = (pixel / measure_pixel_arcsec(mosaic.wcs)) ** 2
    return Alignment(
        dx_arcsec=dx * pixel,
        dy_arcsec=dy * pixel,
        scale=slope,
        background=zero * unit / mosaic.photflam / hst_per_spaxel,
        pedestal=zero,  # the images are in units of that flux
        scale_error=float(slope_error),
        pedestal_error=float(zero_error),
        correlation=float(np.corrcoef(x, y)[0, 1]),
        filter_share=share,
        turned=_find_orientation(cube_image, hst_image, both),
        contrast=contrast,
    )


def _find_orientation(cube_image: F64, hst_image: F64, both: Bool) -> str:
    """How the mosaic lies against the cube, where another way round is far more like it; else empty.

    Galaxies are round: a mirrored image of one is like it, too, but not so much, and a fit that leaves out what sticks
    out of it does not tell.
    """
    block = max(1, -(-max(both.shape) // _COARSE))
    ny, nx = (n // block for n in both.shape)
    coarse = [
        a[: ny * block, : nx * block].reshape(ny, block, nx, block).mean((1, 3))
        for a in (cube_image, hst_image, both.astype(np.float64))
    ]
    used = coarse[2] > 0.5
    reach = min(int(np.ceil(max(used.shape) / 3)), min(used.shape) - 1)
    reference, image = (np.divide(a, coarse[2], out=np.zeros_like(a), where=used) for a in coarse[:2])
    own = _correlate_coarsely(reference, image, used, used, reach)
    if own > _SAME_WAY_ROUND:
        return ""
    found = {
        how: _correlate_coarsely(reference, turn(image), used, turn(used), reach)
        for how, turn in _WAYS_ROUND.items()
        if turn(used).shape == used.shape
    }
    best = max(found, key=lambda how: found[how])
    return best if 1 - found[best] < 0.5 * (1 - own) else ""


def _correlate_coarsely(reference: F64, image: F64, used: Bool, used_too: Bool, reach: int) -> float:
    """Correlation of two images at the whole pixel that suits them best; -1 where they share too little."""
    if min(used.sum(), used_too.sum()) < _MIN_COMPARED:
        return -1.0
    dy, dx = _correlate_offset(
        _remove_large_scale_light(reference, used), _remove_large_scale_light(image, used_too), reach
    )
    ny, nx = used.shape
    here = np.s_[max(0, -dy) : ny - max(0, dy), max(0, -dx) : nx - max(0, dx)]
    there = np.s_[max(0, dy) : ny - max(0, -dy), max(0, dx) : nx - max(0, -dx)]
    shared = used[here] & used_too[there]
    if shared.sum() < max(_MIN_COMPARED, 0.3 * used.sum()):
        return -1.0
    return float(np.corrcoef(reference[here][shared], image[there][shared])[0, 1])


def _describe_light(synthetic: F64, image: F32) -> str:
    """What is said of light in the same spaxels that no colour and no sky makes that different."""
    of_cube, of_mosaic = float(np.sum(synthetic)), float(np.sum(image, dtype=np.float64))
    if not of_cube > 0 or 1 / _MAX_LIGHT_RATIO < of_mosaic / of_cube < _MAX_LIGHT_RATIO:
        return ""
    return (
        f"; there the mosaic has {of_mosaic / of_cube:.3g} times the cube's light. WARNING: too different for unbiased "
        "ages: check PHOTFLAM and BUNIT of both, and the sky (`subtract_sky`)"
    )


def _correct_attenuation(x: F64, y: F64, slope: float, noise: float) -> tuple[float, float, float]:
    """Slope and zero of y against x without the noise of x (a variance), and the share of x's variance that is sky."""
    spread = max(float(np.var(x)), 1e-30)
    # Errors may be overestimated: the slope is never beyond that of the inverse regression.
    reliability = min(max(1.0 - noise / spread, float(np.corrcoef(x, y)[0, 1]) ** 2, 1e-3), 1.0)
    corrected = slope / reliability
    return corrected, float(np.mean(y) - corrected * np.mean(x)), reliability


def _line_fit_errors(x: F64, y: F64, slope: float, zero: float, beam: float, reliability: float) -> tuple[float, float]:
    """1 sigma of slope and zero of the line y(x), ``beam`` spaxels counting as one."""
    variance = float(np.var(y - slope * x - zero)) * max(beam, 1.0) / x.size
    spread = max(float(np.var(x)), 1e-30) * reliability**2
    return float(np.sqrt(variance / spread)), float(np.sqrt(variance * (1.0 + float(np.mean(x)) ** 2 / spread)))


def _jackknife_errors(x: F64, y: F64, keep: Bool) -> F64:
    """1 sigma of slope and zero of the line y(x) over the kept spaxels, by leaving out parts of the field in turn."""
    places = np.nonzero(keep)
    rows, columns = (_PARTS * (p - p.min()) // (np.ptp(p) + 1) for p in places)
    part = rows * _PARTS + columns
    sums = np.array([np.bincount(part, weights=w, minlength=_PARTS**2) for w in (np.ones_like(x), x, y, x * x, x * y)])
    n, sx, sy, sxx, sxy = (sums.sum(1)[:, None] - sums)[:, sums[0] > 0]
    slope = (n * sxy - sx * sy) / np.maximum(n * sxx - sx**2, 1e-30)
    lines = np.stack([slope, (sy - slope * sx) / n])
    parts = lines.shape[1]
    return np.asarray(np.sqrt((parts - 1) / parts * ((lines - lines.mean(1, keepdims=True)) ** 2).sum(1)))


def _remove_large_scale_light(image: F64, used: Bool) -> F64:
    """Image without its large-scale light, 0 where not used."""
    weight = scipy.ndimage.gaussian_filter(used.astype(np.float64), _SMOOTH_PIX)
    smooth = scipy.ndimage.gaussian_filter(image, _SMOOTH_PIX) / np.maximum(weight, 1e-6)
    detail = np.where(used, image - smooth, 0.0)
    # One star must not decide alone.
    limit = 10.0 * float(np.median(np.abs(detail[used]))) + 1e-12
    return np.clip(detail, -limit, limit)


def _correlate_offset(reference: F64, moved: F64, reach: int) -> tuple[int, int]:
    """Shift (dy, dx) in whole pixels that takes ``reference`` to ``moved``, by the peak of their cross-correlation."""
    shape = [scipy.fft.next_fast_len(n + reach, real=True) for n in reference.shape]
    product = np.conj(scipy.fft.rfft2(reference, shape)) * scipy.fft.rfft2(moved, shape)
    correlation = np.roll(scipy.fft.irfft2(product, shape), (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    iy, ix = np.unravel_index(np.argmax(correlation), correlation.shape)
    return int(iy) - reach, int(ix) - reach


def _refine_offset(
    reference: F64, image: F64, used: Bool, start: tuple[int, int]
) -> tuple[float, float, float, float, F64, Bool]:
    """Offset (dy, dx), scale and background by clipped least squares; the shifted reference, and what was used."""
    dy, dx, slope, zero = float(start[0]), float(start[1]), 1.0, 0.0
    keep = used.copy()
    for step in range(_ITERATIONS):
        moved = scipy.ndimage.shift(reference, (dy, dx), order=3, mode="nearest")
        inside = used & (scipy.ndimage.shift(used.astype(np.float64), (dy, dx), order=1, cval=0.0) > 0.999)
        gradient = np.gradient(moved)
        design = np.stack([moved, np.ones_like(moved), gradient[0], gradient[1]], axis=-1)
        keep = inside & keep if step else inside
        slope, zero, along_y, along_x = np.linalg.lstsq(design[keep], image[keep], rcond=None)[0]
        if slope > 0:
            dy -= float(np.clip(along_y / slope, -1.0, 1.0))
            dx -= float(np.clip(along_x / slope, -1.0, 1.0))
        residual = image - design @ np.array([slope, zero, along_y, along_x])
        scatter = SIGMA_PER_MAD * float(np.median(np.abs(residual[inside])))
        keep = np.abs(residual) <= max(_CLIP * scatter, 1e-9)
    moved = scipy.ndimage.shift(reference, (dy, dx), order=3, mode="nearest")
    keep &= inside
    return dy, dx, float(slope), float(zero), moved, keep
