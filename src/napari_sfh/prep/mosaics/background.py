"""Sky level of a mosaic, measured where the galaxy is faintest. Off unless asked for.

PHANGS-HST mosaics come with their sky subtracted; others may hold a pedestal, which weighs most in faint bins and blue
bands. The level is the sigma-clipped mode of boxes (photutils' SExtractor estimator: 2.5 median - 1.5 mean) spread over
the mosaic, outside the cube's footprint. Among the boxes, those with light in them are clipped from above, at 2
sigma, until none is left; the median of the rest is the level. Where the galaxy fills the whole mosaic its outskirts
pass for sky: the level is then an upper limit, and is reported for the user to judge.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from astropy.stats import SigmaClip, sigma_clip
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.types import F64, Cube, Mosaic

#: Side of a box in pixels, and how many are tried at most along each axis.
BOX: int = 64
BOXES_A_SIDE: int = 40
#: Fewest boxes outside the cube that make a measurement.
MIN_BOXES: int = 8
_MIN_GOOD = 0.7  # share of a box's pixels
_UPPER, _LOWER = 2.0, 4.0  # sigma


class SkyLevel(NamedTuple):
    """Sky of a mosaic in the unit of `Mosaic.read`, e-/s per pixel."""

    level: float
    error: float  # of the level, from the boxes' scatter
    n_boxes: int


def measure_sky_level(mosaic: Mosaic, cube: Cube, cancel: threading.Event | None = None) -> SkyLevel:
    """Measure the sky of a mosaic outside a cube's field.

    Parameters
    ----------
    mosaic : Mosaic
        Only the boxes are read.
    cube : Cube
        Its footprint, where the galaxy is, is left out.
    cancel : Event, optional

    Returns
    -------
    SkyLevel

    Raises
    ------
    SfhInputError
        Fewer than `MIN_BOXES` boxes with data lie outside the footprint.
    """
    from photutils.background import SExtractorBackground

    estimate = SExtractorBackground(sigma_clip=SigmaClip(3.0))
    levels = []
    for y, x in _box_corners(mosaic, cube):
        raise_if_cancelled(cancel)
        data, error = mosaic.read(slice(y, y + BOX), slice(x, x + BOX))
        good = np.isfinite(data) & np.isfinite(error)
        if good.mean() >= _MIN_GOOD:
            levels.append(float(estimate(data[good])))
    if len(levels) < MIN_BOXES:
        raise SfhInputError(
            f"{mosaic.path.name}: {len(levels)} boxes of {BOX} pixels with data outside the cube's field, too few for "
            f"a sky level (needs {MIN_BOXES}); run without the option"
        )
    return combine_sky_boxes(np.array(levels))


def combine_sky_boxes(levels: F64) -> SkyLevel:
    """Median of the boxes' levels without those that hold sources.

    Parameters
    ----------
    levels : array (n,)
    """
    kept = sigma_clip(
        levels, sigma_lower=_LOWER, sigma_upper=_UPPER, maxiters=None, cenfunc="median", stdfunc="mad_std", masked=False
    )
    scatter = float(np.std(kept))
    # 1.25 sigma / sqrt(n): the error of a median of normal values.
    return SkyLevel(float(np.median(kept)), 1.2533 * scatter / float(np.sqrt(kept.size)), int(kept.size))


def _box_corners(mosaic: Mosaic, cube: Cube) -> NDArray[np.int_]:
    """Lower left corners (n, 2) as (y, x) of boxes over the mosaic that do not touch the cube's field."""
    ny, nx = mosaic.shape
    if ny < BOX or nx < BOX:
        return np.empty((0, 2), dtype=np.int_)
    rows = np.unique(np.linspace(0, ny - BOX, min(BOXES_A_SIDE, ny // BOX)).astype(int))
    columns = np.unique(np.linspace(0, nx - BOX, min(BOXES_A_SIDE, nx // BOX)).astype(int))
    corners = np.array([(y, x) for y in rows for x in columns])
    field_y, field_x = cube.shape[1:]
    inside = np.zeros(len(corners), dtype=bool)
    for dy in (0, BOX // 2, BOX):
        for dx in (0, BOX // 2, BOX):
            sky = mosaic.wcs.wcs_pix2world(corners[:, 1] + dx, corners[:, 0] + dy, 0)
            x, y = cube.wcs.wcs_world2pix(*sky, 0)
            inside |= (x > -0.5) & (x < field_x - 0.5) & (y > -0.5) & (y < field_y - 0.5)
    return np.asarray(corners[~inside])
