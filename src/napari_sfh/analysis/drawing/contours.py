"""Contours of a map: of an emission line, say, over a map of ages. Marching squares by contourpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError

#: Percentiles of the positive pixels between which levels are spread.
RANGE_PERCENT: tuple[float, float] = (70.0, 99.5)
#: A line runs straight on where two of its pieces span less than this area, square pixels.
_STRAIGHT = 1e-9


def choose_contour_levels(image: NDArray[np.floating], n: int = 5) -> NDArray[np.float64]:
    """Levels (n,) in equal ratios, as fluxes want them, between `RANGE_PERCENT` of the positive pixels.

    Parameters
    ----------
    image : array (ny, nx)
        NaN outside the bins.
    n : int
        Levels.

    Returns
    -------
    array (n,)
        Rising, in equal ratios, in the unit of ``image``.

    Raises
    ------
    SfhInputError
        Fewer than one level, or no positive pixel.
    """
    if n < 1:
        raise SfhInputError(f"contours: {n} levels; ask for one or more")
    positive = image[np.isfinite(image) & (image > 0)]
    if positive.size == 0:
        raise SfhInputError("contours: the map has no positive pixel; choose another line or map")
    low, high = np.percentile(positive, RANGE_PERCENT)
    return np.asarray(np.geomspace(low, high, n), dtype=np.float64)


def trace_contours(
    image: NDArray[np.floating], at: Sequence[float] | NDArray[np.floating]
) -> list[NDArray[np.float64]]:
    """Lines along which a map has given values.

    Parameters
    ----------
    image : array (ny, nx)
        NaN = no data: lines end there.
    at : sequence of float
        Levels, each finite.

    Returns
    -------
    list of arrays (n, 2)
        Corners (y, x) in pixels, of all levels in their order; closed where the line is. Along the edges of bins,
        where it runs straight on for many pixels, it has none.

    Raises
    ------
    SfhInputError
        The image is not two-dimensional, or smaller than 2 x 2.
    """
    if image.ndim != 2 or min(image.shape) < 2:
        raise SfhInputError(f"contours: a map of shape {image.shape}; give one of two dimensions, 2 x 2 or larger")
    maker = contour_generator(z=np.ma.masked_invalid(np.asarray(image, dtype=np.float64)), name="serial")
    lines = [line for level in at for line in maker.lines(float(level))]
    return [_leave_corners(np.asarray(line, dtype=np.float64)[:, ::-1]) for line in lines]


def _leave_corners(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line (n, 2) without the points at which it runs straight on."""
    way = np.diff(line, axis=0)
    turns = np.abs(way[:-1, 0] * way[1:, 1] - way[:-1, 1] * way[1:, 0]) > _STRAIGHT
    back = (way[:-1] * way[1:]).sum(axis=1) < 0
    return line[np.concatenate([[True], turns | back, [True]])]
