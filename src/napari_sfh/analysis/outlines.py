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
    follow = _directed_edges(part)
    paths = []
    while follow:
        paths.append(_take_path(follow))
    return [np.array(path, dtype=float) + np.array([y0, x0]) - 1.5 for path in paths]


def _directed_edges(part: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Boundary edges as corner -> next corners, with the inside on the right hand of the walk."""
    follow: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(select: NDArray[np.bool_], start: tuple[int, int], stop: tuple[int, int]) -> None:
        for y, x in np.argwhere(select).tolist():
            follow.setdefault((y + start[0], x + start[1]), []).append((y + stop[0], x + stop[1]))

    inside = part[1:-1, 1:-1]
    add(_pad_edges(inside & ~part[:-2, 1:-1]), (0, 0), (0, 1))
    add(_pad_edges(inside & ~part[1:-1, 2:]), (0, 1), (1, 1))
    add(_pad_edges(inside & ~part[2:, 1:-1]), (1, 1), (1, 0))
    add(_pad_edges(inside & ~part[1:-1, :-2]), (1, 0), (0, 0))
    return follow


def _pad_edges(inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.pad(inner, 1)


def _take_path(follow: dict[tuple[int, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Take one closed path out of ``follow``; at a corner where two parts touch, turn right to keep them apart."""
    start = next(iter(follow))
    path = [start]
    step = (0, 0)
    here = start
    while True:
        nexts = follow[here]
        there = nexts[0] if len(nexts) == 1 else max(nexts, key=lambda n: _turn_direction(step, here, n))
        nexts.remove(there)
        if not nexts:
            del follow[here]
        new_step = (there[0] - here[0], there[1] - here[1])
        if new_step == step:
            path[-1] = there
        else:
            path.append(there)
        step, here = new_step, there
        if here == start:
            return path


def _turn_direction(step: tuple[int, int], here: tuple[int, int], there: tuple[int, int]) -> int:
    """Positive for a right turn (in image coordinates, y down)."""
    dy, dx = there[0] - here[0], there[1] - here[1]
    return step[1] * dy - step[0] * dx


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
