"""HST mosaics of a field as one colour image, at the mosaics' own resolution.

Each band (f_lambda) has its darkest percentiles subtracted and is divided by the mean of what is left: the field's own
light is white, young regions are blue and old or dusty ones red. Brightness follows the asinh stretch of Lupton et al.
(2004, PASP 116, 133), which keeps the colour of a pixel at every brightness. Three bands are red, green and blue; of
two, green is the mean; one is grey.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.prep.mosaics.photometry import find_mosaic_cutout
from napari_sfh.types import F32, Bool, Mosaic, Progress

U8 = NDArray[np.uint8]
#: Wavelengths in Angstrom of what is painted red, green and blue.
COLOUR_AA: tuple[float, float, float] = (8000.0, 5400.0, 4350.0)
#: Largest image that is held; a larger field is averaged over squares of mosaic pixels.
MAX_PIXELS: int = 25_000_000
#: Coarsest level of the pyramid, pixels on the longer side.
COARSEST: int = 512
_STRIP_PIXELS = 2_000_000  # read or stretched at once
_BLACK_PERCENT = 2.0
_SAMPLE = 400  # pixels per axis from which black level and balance are found
_MIDTONE = 0.33
_SAME_GRID_PIX = 0.1  # mosaics closer than this need no resampling


@dataclass(frozen=True)
class ColourStretch:
    """How a field is painted.

    ``brightness`` multiplies the light; at 1 the field's mean light is a third of white. ``softening`` is Lupton's Q:
    near 0 brightness is linear and bright cores saturate, at 30 a large range of brightness is seen at once.
    """

    brightness: float = 1.0
    softening: float = 8.0

    def __post_init__(self) -> None:
        for name in ("brightness", "softening"):
            value = getattr(self, name)
            if not 0 < value < 1e4:
                raise SfhInputError(f"composite: {name} {value} must lie above 0 and below 10000")


@dataclass(frozen=True)
class ColourField:
    """Balanced bands of a field. Read-only; `render_colour_image` makes an image of it."""

    planes: F32  # (C, ny, nx), C = 1 to 3, red to blue; 1 = the field's mean light, NaN = no data
    bands: tuple[str, ...]
    wcs: WCS  # of the planes
    averaged: int  # mosaic pixels averaged along each side; 1 = the mosaics' own resolution


@dataclass(frozen=True)
class MapOverlay:
    """A translucent map above the colours.

    Attributes
    ----------
    image : array (ny, nx)
        NaN where there is nothing.
    colors : array (n, 4)
        RGBA from the lower to the upper limit, 0 to 1.
    limits : (float, float)
    label : str
        With the unit.
    opacity : float
    categories : mapping of int to str
        Words of the values, where they are categories.
    """

    image: NDArray[np.floating]
    colors: NDArray[np.floating]
    limits: tuple[float, float]
    label: str
    opacity: float
    categories: Mapping[int, str] = field(default_factory=dict)


def choose_bands(available: Mapping[str, object], instrument: Instrument | None = None) -> tuple[str, ...]:
    """Up to three bands from red to blue: those nearest to `COLOUR_AA`.

    Parameters
    ----------
    available : mapping of str to object
        By band; only the names count.
    instrument : Instrument, optional
        Whose bands are known; default muse-hst.

    Returns
    -------
    tuple of str
        From the reddest pivot to the bluest.

    Raises
    ------
    SfhInputError
        There is none of the instrument's (the default one's, unless given).
    """
    instrument = instrument or load_instrument()
    pivots = dict(zip(instrument.band_names, instrument.pivot_aa))
    left = [band for band in pivots if band in available]
    if not left:
        raise SfhInputError(f"composite: no mosaic is given; choose one or more of {', '.join(pivots)}")
    chosen: list[str] = []
    for wave in COLOUR_AA[: len(left)]:
        nearest = min(left, key=lambda band: abs(pivots[band] - wave))
        chosen.append(nearest)
        left.remove(nearest)
    return tuple(sorted(chosen, key=lambda band: -pivots[band]))


def open_colour_field(
    paths: Mapping[str, Path],
    wcs: WCS,
    shape: tuple[int, int],
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> ColourField:
    """`read_colour_field` of mosaic files: band to path.

    Parameters
    ----------
    paths : mapping of str to Path
        Band to mosaic.
    wcs : astropy.wcs.WCS
        Of the field.
    shape : (int, int)
        (ny, nx) of the field.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    ColourField

    Raises
    ------
    SfhInputError
        No mosaic, or one that cannot be read or does not overlap the field.
    """
    bands = choose_bands(paths)
    return read_colour_field({b: read_mosaic(paths[b], b) for b in bands}, wcs, shape, progress, cancel)


def read_colour_field(
    mosaics: Mapping[str, Mosaic],
    wcs: WCS,
    shape: tuple[int, int],
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> ColourField:
    """Cut mosaics to a field.

    Parameters
    ----------
    mosaics : mapping of str to Mosaic
        By band; `choose_bands` says which are used.
    wcs : WCS
        Celestial, of the cube.
    shape : (int, int)
        The cube's (ny, nx).
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Field or None
        At most `MAX_PIXELS` per band are held, whatever the mosaics' size.

    Raises
    ------
    SfhInputError
        No mosaic, or one that does not overlap the field.
    """
    bands = choose_bands(mosaics)
    first = mosaics[bands[0]]
    cut = _find_cutout(first, wcs, shape)
    averaged = _averaging_factor(cut)
    cut = _trim_cutout(cut, averaged)
    grid = _cut_wcs(first.wcs, cut, averaged)
    planes: list[F32] = []
    for band in bands:
        mosaic = mosaics[band]
        same = _same_grid(mosaic, first)
        part = cut if same else _trim_cutout(_find_cutout(mosaic, grid, planes[0].shape), averaged)
        plane = _read_averaged(mosaic, part, averaged, progress, cancel)
        if not same:
            report_progress(Progress(f"resampling {band}", 0, 0), progress, cancel)
            there = _cut_wcs(mosaic.wcs, part, averaged)
            from reproject import reproject_interp  # slow to import

            plane = reproject_interp((plane, there), grid, shape_out=planes[0].shape, return_footprint=False)
        planes.append(_balance_plane(np.asarray(plane, dtype=np.float32), mosaic))
    return ColourField(np.stack(planes), bands, grid, averaged)


def _averaging_factor(cut: tuple[slice, slice]) -> int:
    """Side of the squares over which a cut must be averaged to fit `MAX_PIXELS`."""
    size = (cut[0].stop - cut[0].start) * (cut[1].stop - cut[1].start)
    return int(np.ceil(np.sqrt(max(size / MAX_PIXELS, 1.0))))


def _find_cutout(mosaic: Mosaic, wcs: WCS, shape: tuple[int, ...]) -> tuple[slice, slice]:
    found = find_mosaic_cutout(mosaic, wcs, slice(0, shape[0]), (0, shape[1] - 1), 8)
    if found is None:
        raise SfhInputError(
            f"{mosaic.path.name}: does not overlap the cube's field; choose the mosaic of this galaxy, or check its WCS"
        )
    return found


def _cut_wcs(wcs: WCS, cut: tuple[slice, ...], step: int) -> WCS:
    """The WCS of a cutout averaged over squares (astropy's own slices by steps leave a CD matrix as it is)."""
    out = wcs.celestial[cut[0], cut[1]]
    if step > 1:
        out.wcs.crpix = (out.wcs.crpix - 0.5) / step + 0.5
        if out.wcs.has_cd():
            out.wcs.cd = out.wcs.cd * step
        else:
            out.wcs.cdelt = out.wcs.cdelt * step
    return out


def _trim_cutout(cut: tuple[slice, slice], step: int) -> tuple[slice, slice]:
    """The cut without the pixels that fill no whole square."""
    rows, columns = (slice(s.start, s.start + (s.stop - s.start) // step * step) for s in cut)
    return rows, columns


def _read_averaged(
    mosaic: Mosaic, cut: tuple[slice, ...], step: int, progress: ReportProgress | None, cancel: threading.Event | None
) -> F32:
    """A cutout, averaged over squares of ``step`` pixels, in strips; NaN where nothing is good."""
    rows, columns = cut
    height = max(step, _STRIP_PIXELS // (columns.stop - columns.start) // step * step)
    strips = []
    for start in range(rows.start, rows.stop, height):
        report_progress(
            Progress(f"reading {mosaic.band}", start - rows.start, rows.stop - rows.start), progress, cancel
        )
        strips.append(_block_means(mosaic.read(slice(start, min(start + height, rows.stop)), columns)[0], step))
    return np.concatenate(strips)


def _block_means(image: F32, step: int) -> F32:
    """Means over squares of ``step`` pixels of their finite values."""
    if step == 1:
        return image
    blocks = image.reshape(image.shape[0] // step, step, -1, step)
    good = np.isfinite(blocks)
    count = good.sum((1, 3))
    total = np.where(good, blocks, 0).sum((1, 3))
    mean: F32 = np.divide(total, count, out=np.full(count.shape, np.nan, np.float32), where=count > 0)
    return mean


def _same_grid(a: Mosaic, b: Mosaic) -> bool:
    """Whether two mosaics were drizzled onto the same pixels."""
    if a.shape != b.shape:
        return False
    ny, nx = a.shape
    corners = np.array([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]], dtype=float)
    there = b.wcs.celestial.wcs_world2pix(a.wcs.celestial.wcs_pix2world(corners, 0), 0)
    return bool(np.max(np.abs(there - corners)) < _SAME_GRID_PIX)


def _balance_plane(plane: F32, mosaic: Mosaic) -> F32:
    """The plane in units of the field's mean light above black, in place."""
    ny, nx = plane.shape
    sample = plane[:: max(ny // _SAMPLE, 1), :: max(nx // _SAMPLE, 1)]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        raise SfhInputError(f"{mosaic.path.name}: no good pixel in the cube's field; leave this band out")
    black, bright = np.percentile(sample, [_BLACK_PERCENT, 99.5])
    light = float(np.mean(np.clip(sample, black, bright)) - black)
    plane -= np.float32(black)
    plane /= np.float32(light if light > 0 else 1.0)
    return plane


def render_colour_image(
    field: ColourField,
    look: ColourStretch | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> list[U8]:
    """Paint a field.

    Parameters
    ----------
    field : ColourField
    look : ColourStretch, optional
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    list of uint8 arrays (ny, nx, 4)
        Red, green, blue and opacity (0 where no band has data): the full image, then each half as large as the one
        before, down to `COARSEST`.
    """
    look = look or ColourStretch()
    _, ny, nx = field.planes.shape
    image = np.empty((ny, nx, 4), dtype=np.uint8)
    height = max(1, _STRIP_PIXELS // nx)
    for start in range(0, ny, height):
        report_progress(Progress("colours", start, ny), progress, cancel)
        rows = slice(start, min(start + height, ny))
        image[rows] = _stretch_to_rgba(field.planes[:, rows], look)
    return build_image_pyramid(image)


def _stretch_to_rgba(planes: F32, look: ColourStretch) -> U8:
    """Planes (C, n, nx) as (n, nx, 4)."""
    good: Bool = np.isfinite(planes)
    seen = good.any(0)
    light = np.where(good, planes, 0)
    mean = np.divide(light.sum(0), good.sum(0), out=np.zeros(seen.shape, np.float32), where=seen)
    # A band that is missing in a pixel must not colour it.
    light = np.where(good, light, mean)
    red, blue = light[0], light[-1]
    green = light[1] if len(light) == 3 else 0.5 * (red + blue)
    from astropy.visualization import make_lupton_rgb  # brings Matplotlib

    # The mean light is mapped to `_MIDTONE` whatever the softening: asinh(Q / stretch) * 0.1 / asinh(0.1 Q).
    scale = look.softening / np.sinh(_MIDTONE * np.arcsinh(0.1 * look.softening) / 0.1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no light
        colour = make_lupton_rgb(red, green, blue, minimum=0, stretch=scale / look.brightness, Q=look.softening)
    return np.dstack([colour, np.where(seen, 255, 0).astype(np.uint8)])


def build_image_pyramid(image: U8) -> list[U8]:
    """An image and its means over 2 x 2 pixels, again and again down to `COARSEST`."""
    levels = [image]
    while max(levels[-1].shape[:2]) > COARSEST:
        last = levels[-1]
        ny, nx = last.shape[0] // 2, last.shape[1] // 2
        if min(ny, nx) < 1:
            break
        blocks = last[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2, 4)
        levels.append(blocks.mean((1, 3), dtype=np.float32).astype(np.uint8))
    return levels
