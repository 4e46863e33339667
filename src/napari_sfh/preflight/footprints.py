"""Footprints on the sky: which part of a cube was observed, where a mosaic has good pixels, and their outlines.

Positions are offsets in arcsec east and north of one point, in the plane tangent there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.prep.binning import measure_difference_noise
from napari_sfh.types import F32, F64, Bool, Cube, Mosaic

#: Channels that are read to see which spaxels were observed, and how well.
CHANNELS: int = 16
#: Spaxels and rows of a mosaic that are looked at for the coverage: it is good to a per cent.
_MAX_SPAXELS, _MAX_ROWS = 20_000, 512
#: Pixels of a mosaic that are read at once.
MAX_PIXELS_READ = 4_000_000
#: Samples along each axis of an image for its outline.
_STEPS = 96
#: Parts of a footprint smaller than this share of its largest one are not drawn.
_SMALLEST = 0.02


@dataclass(frozen=True)
class ObservedField:
    """What a cube has observed."""

    observed: Bool  # (ny, nx)
    snr: F32  # (ny, nx) per pixel near the normalisation window; NaN where not observed


def measure_observed_field(cube: Cube, window_aa: tuple[float, float], redshift: float = 0.0) -> ObservedField:
    """Observed spaxels and their S/N, from `CHANNELS` channels in the middle of the instrument's window.

    Parameters
    ----------
    cube : Cube
    window_aa : (float, float)
        The normalisation window at rest, Angstrom.
    redshift : float
    """
    middle = int(np.searchsorted(cube.wave_aa, np.mean(window_aa) * (1 + redshift)))
    lo = int(np.clip(middle - CHANNELS // 2, 0, max(cube.shape[0] - CHANNELS, 0)))
    flux, variance, good = cube.read(lo, min(lo + CHANNELS, cube.shape[0]))
    count = good.sum(0)
    observed: Bool = 2 * count > good.shape[0]
    nan = np.full(count.shape, np.nan)
    signal = np.divide(np.where(good, flux, 0).sum(0), count, out=nan.copy(), where=observed)
    if variance is None:
        noise = measure_difference_noise(np.where(good, flux, np.float32(np.nan))).astype(np.float64)
    else:
        noise = np.sqrt(np.divide(np.where(good, variance, 0).sum(0), count, out=nan.copy(), where=observed))
    usable = observed & (noise > 0)
    return ObservedField(observed, np.divide(signal, noise, out=nan, where=usable).astype(np.float32))


def make_tangent_plane(cube: Cube) -> WCS:
    """Offsets in arcsec east and north of the middle of a cube, as a WCS."""
    ny, nx = cube.shape[1:]
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval = cube.wcs.wcs_pix2world([[(nx - 1) / 2, (ny - 1) / 2]], 0)[0]
    plane.wcs.crpix = [1.0, 1.0]
    plane.wcs.cdelt = [1 / 3600, 1 / 3600]
    return plane


def measure_mosaic_coverage(mosaic: Mosaic, cube: Cube, observed: Bool) -> tuple[float, float]:
    """How much of a cube's observed field a mosaic really has.

    Parameters
    ----------
    mosaic : Mosaic
    cube : Cube
    observed : (ny, nx) bool

    Returns
    -------
    share : float
        0 to 1: observed spaxels whose centre lies on a good pixel (finite, weight above 0).
    pixels : float
        Pixels of the mosaic under the cube.
    """
    y, x = np.nonzero(observed)
    step = max(1, x.size // _MAX_SPAXELS)
    sky = cube.wcs.wcs_pix2world(np.column_stack([x, y])[::step].astype(float), 0)
    with np.errstate(invalid="ignore"):
        place = np.round(mosaic.wcs.wcs_world2pix(sky, 0))
        ny, nx = mosaic.shape
        inside = np.all((place >= 0) & (place < (nx, ny)), axis=1)
    if not inside.any():
        return 0.0, 0.0
    mx, my = place[inside].astype(int).T
    x0, x1, y0, y1 = int(mx.min()), int(mx.max()) + 1, int(my.min()), int(my.max()) + 1
    rows = max(1, -(-(y1 - y0) // _MAX_ROWS))
    lines, which = np.unique(np.minimum(y0 + (my - y0) // rows * rows + rows // 2, y1 - 1), return_inverse=True)
    good = _read_good_pixels(mosaic, lines, x0, x1)[which, mx - x0]
    return float(good.sum()) / len(sky), float((x1 - x0) * (y1 - y0))


def _read_good_pixels(mosaic: Mosaic, rows: NDArray[np.int64], x0: int, x1: int) -> Bool:
    """Where some rows of a mosaic have good pixels, (rows, x1 - x0): read at once where they lie close together."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    if (last - first) * (x1 - x0) <= MAX_PIXELS_READ:
        good: Bool = np.isfinite(mosaic.read(slice(first, last), slice(x0, x1))[0][rows - first])
        return good
    return np.concatenate([np.isfinite(mosaic.read(slice(int(y), int(y) + 1), slice(x0, x1))[0]) for y in rows])


def trace_cube_outline(cube: Cube, observed: Bool, plane: WCS) -> tuple[F64, ...]:
    """Outlines of a cube's observed field, each (n, 2) east and north.

    Parameters
    ----------
    cube : Cube
    observed : bool array (ny, nx)
        Spaxels with data.
    plane : astropy.wcs.WCS
        Tangent plane, in arcsec.

    Returns
    -------
    tuple of arrays (n, 2)
        One for each part of the field, arcsec.
    """
    ny, nx = observed.shape
    rows, columns = _sample_indices(ny), _sample_indices(nx)
    return _trace_outlines(observed[np.ix_(rows, columns)], rows, columns, cube.wcs, plane)


def trace_mosaic_outline(mosaic: Mosaic, plane: WCS) -> tuple[F64, ...]:
    """Outlines of a mosaic's good pixels, each (n, 2) east and north.

    Parameters
    ----------
    mosaic : Mosaic
    plane : WCS
        The tangent plane onto which outlines are drawn.

    Returns
    -------
    tuple of arrays (n, 2)
        East and north in the unit of the plane; one array a closed outline.
    """
    ny, nx = mosaic.shape
    rows, columns = _sample_indices(ny), _sample_indices(nx)
    return _trace_outlines(_read_good_pixels(mosaic, rows, 0, nx)[:, columns], rows, columns, mosaic.wcs, plane)


def _sample_indices(n: int) -> NDArray[np.int64]:
    """Up to `_STEPS` indices spread over 0..n-1, ends included."""
    return np.unique(np.linspace(0, n - 1, min(n, _STEPS)).round().astype(np.int64))


def _trace_outlines(
    mask: Bool, rows: NDArray[np.int64], columns: NDArray[np.int64], wcs: WCS, plane: WCS
) -> tuple[F64, ...]:
    """Contours of a sampled mask."""
    from contourpy import contour_generator

    padded = np.pad(mask, 1).astype(float)
    # A contour runs half a sample outside of the last good one: its index is cut to the image.
    generator: Any = contour_generator(z=padded)
    traced: list[F64] = generator.lines(0.5)
    sizes = [float(np.ptp(line, axis=0).prod()) for line in traced]
    found = []
    for line, size in zip(traced, sizes):
        if size < _SMALLEST * max(sizes):
            continue
        x = np.interp(line[:, 0] - 1, np.arange(columns.size), columns)
        y = np.interp(line[:, 1] - 1, np.arange(rows.size), rows)
        offsets = plane.wcs_world2pix(wcs.wcs_pix2world(np.column_stack([x, y]), 0), 0)
        if np.all(np.isfinite(offsets)):
            found.append(np.asarray(offsets, dtype=np.float64))
    return tuple(found)
