"""Outlines: of bins along the pixels' edges, as closed paths for a Shapes layer; and what a polygon encloses. No Qt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def trace_outline(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed boundary paths of a set of pixels.

    Parameters
    ----------
    mask : bool array (ny, nx)
        The set; it may have holes and several parts.

    Returns
    -------
    list of arrays (n, 2)
        Corners (y, x) in pixel coordinates (a pixel's centre is an integer), first equal to last, straight runs
        merged. Empty for an empty set.
    """
    rows = np.flatnonzero(mask.any(1))
    if rows.size == 0:
        return []
    columns = np.flatnonzero(mask.any(0))
    y0, x0 = int(rows[0]), int(columns[0])
    part = np.pad(mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1], 1)
    width = part.shape[1] + 1
    follow, second = _directed_edges(part, width)
    paths = []
    while follow:
        corners = np.array(_take_path(follow, second, width))
        paths.append(np.column_stack(np.divmod(corners, width)) + np.array([y0, x0]) - 1.5)
    return paths


def _directed_edges(part: NDArray[np.bool_], width: int) -> tuple[dict[int, int], dict[int, int]]:
    """Boundary edges as corner -> next corner, with the inside on the right hand of the walk.

    A corner is y * width + x. Where two parts touch, it has a second next one. Plain numbers and no pairs: Python's
    garbage collector would walk through these.
    """
    inside = part[1:-1, 1:-1]
    sides = (
        (inside & ~part[:-2, 1:-1], 0, 1),
        (inside & ~part[1:-1, 2:], 1, width + 1),
        (inside & ~part[2:, 1:-1], width + 1, width),
        (inside & ~part[1:-1, :-2], width, 0),
    )
    starts, stops = [], []
    for select, start, stop in sides:
        y, x = np.nonzero(select)
        corner = (y + 1) * width + x + 1
        starts.append(corner + start)
        stops.append(corner + stop)
    here, there = np.concatenate(starts), np.concatenate(stops)
    first = np.zeros(here.size, dtype=np.bool_)
    first[np.unique(here, return_index=True)[1]] = True
    follow = dict(zip(here[first].tolist(), there[first].tolist()))
    return follow, dict(zip(here[~first].tolist(), there[~first].tolist()))


def _take_path(follow: dict[int, int], second: dict[int, int], width: int) -> list[int]:
    """Take one closed path out of the edges; at a corner where two parts touch, turn right to keep them apart."""
    start = next(iter(follow))
    path = [start]
    step, here = 0, start
    while True:
        there, other = follow[here], second.pop(here, None)
        if other is None:
            del follow[here]
        else:
            if _turn_direction(step, other - here, width) > _turn_direction(step, there - here, width):
                there, other = other, there
            follow[here] = other
        if there - here == step:
            path[-1] = there
        else:
            path.append(there)
        step, here = there - here, there
        if here == start:
            return path


def _turn_direction(step: int, new_step: int, width: int) -> int:
    """Positive for a right turn (in image coordinates, y down); steps are 1 or -1 along x, width or -width along y."""
    (y, x), (new_y, new_x) = ((0, s) if abs(s) == 1 else (s // width, 0) for s in (step, new_step))
    return x * new_y - y * new_x


def mask_points_inside(points: NDArray[np.floating], corners: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points a polygon encloses.

    Parameters
    ----------
    points : array (N, 2)
        Points with NaN are outside.
    corners : array (n, 2)
        In the same coordinates; fewer than 3 enclose nothing.

    Returns
    -------
    bool array (N,)
    """
    from matplotlib.path import Path as Polygon

    if len(corners) < 3:
        return np.zeros(len(points), dtype=np.bool_)
    return np.asarray(Polygon(np.asarray(corners, dtype=float)).contains_points(np.nan_to_num(points, nan=np.inf)))
