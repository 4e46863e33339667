"""Bin accretion of Cappellari & Copin (2003, MNRAS 342, 345, section 5.1): the first bins, which powerbin evens out.

From the brightest pixel that is in no bin, a bin takes the neighbour nearest to its centroid until it reaches the
target, would pass it by more than it lacks, has no free neighbour, or is not round any more. Bins that stay well below
the target give their pixels to the nearest of the others. powerbin does the same with array operations on a dozen
numbers each, which takes seven eighths of its time; here they are plain Python numbers, with the same bins. It also
finds neighbours by a joggled Delaunay triangulation, which takes a third of the rest and joins spaxels across gaps;
spaxels lie on a grid, and here those that share a side or a corner are neighbours.
"""

from __future__ import annotations

import threading
from bisect import insort

import numpy as np
from scipy.spatial import KDTree

from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.types import F64, I64

#: A bin may be as elongated as an ellipse of this axis ratio.
_LEAST_AXIS_RATIO = 0.2
#: Share of the target that makes a bin.
_ENOUGH = 0.8
#: Bins between two looks at ``cancel``.
_LOOK_EVERY = 256


def make_first_bins(places: F64, capacity: F64, target: float, cancel: threading.Event | None = None) -> F64:
    """Centroids of the first bins.

    Parameters
    ----------
    places : array (n, 2)
        Pixels of a grid, in any unit.
    capacity : array (n,)
        Of each pixel; it adds up, as (S/N)^2 does where the S/N is uniform.
    target : float
        Capacity of a bin.
    cancel : Event, optional

    Returns
    -------
    array (N, 2)

    Raises
    ------
    ValueError
        No bin comes near the target.
    Cancelled
    """
    first, neighbours = find_grid_neighbours(places)
    label = _grow_bins(places, capacity, target, first.tolist(), neighbours.tolist(), cancel)
    if not label.any():
        raise ValueError("no bin comes near the target")
    free = label == 0
    label[free] = 1 + KDTree(_measure_centroids(places, label)).query(places[free])[1]
    return _measure_centroids(places, label)


def find_grid_neighbours(places: F64) -> tuple[I64, I64]:
    """Pixels that share a side or a corner with each pixel.

    Parameters
    ----------
    places : array (n, 2)
        Pixels of a grid whose axes are those of the columns, each once; rows and columns may have different steps.

    Returns
    -------
    first : array (n + 1,)
        Where the neighbours of each pixel begin, and where the last one's end.
    neighbours : array
        Numbers of pixels, ascending for each.

    Examples
    --------
    >>> first, neighbours = find_grid_neighbours(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]))
    >>> first.tolist(), neighbours.tolist()
    ([0, 1, 2, 2], [1, 0])
    """
    column, row = (_count_steps(along) for along in places.T)
    number = np.full((row.max() + 3, column.max() + 3), -1)
    number[row + 1, column + 1] = np.arange(len(places))
    offsets = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (1, 1)]
    around = np.stack([number[row + y, column + x] for y, x in offsets], axis=1)
    around.sort(axis=1)
    there = around >= 0
    return np.concatenate([[0], np.cumsum(there.sum(axis=1))]), around[there]


def _count_steps(along: F64) -> I64:
    """Integer places on one axis of a grid."""
    steps = np.diff(np.unique(along))
    step = steps[steps > 1e-6 * max(float(np.ptp(along)), 1e-300)].min(initial=np.inf)
    return np.rint((along - along.min()) / step).astype(np.int64)


def _measure_centroids(places: F64, label: I64) -> F64:
    """Means (N, 2) of the places labelled 1..N; of the label 0 none."""
    count = np.bincount(label)[1:]
    return np.column_stack([np.bincount(label, axis)[1:] / count for axis in places.T])


def _grow_bins(
    places: F64, capacity: F64, target: float, first: list[int], neighbours: list[int], cancel: threading.Event | None
) -> I64:
    """Labels 1.. of the pixels in bins that come near the target, in the order of their seeds; 0 of the others."""
    x, y, power = places[:, 0].tolist(), places[:, 1].tolist(), capacity.tolist()
    roundest = (_LEAST_AXIS_RATIO + 1.0 / _LEAST_AXIS_RATIO) / (4.0 * np.pi)
    free = [True] * len(x)
    label = np.zeros(len(x), dtype=np.int64)
    made = 0
    for k, seed in enumerate(np.argsort(-capacity, kind="stable").tolist()):
        if k % _LOOK_EVERY == 0:
            raise_if_cancelled(cancel)
        if not free[seed]:
            continue
        free[seed] = False
        members, total, spread = [seed], power[seed], 0.0
        cx, cy = x[seed], y[seed]
        border = [j for j in neighbours[first[seed] : first[seed + 1]] if free[j]]
        while total < target and border:
            away = [(x[j] - cx) ** 2 + (y[j] - cy) ** 2 for j in border]
            place = away.index(min(away))
            near = border.pop(place)
            dx, dy = x[near] - cx, y[near] - cy
            size = len(members) + 1
            cx += dx / size
            cy += dy / size
            spread += dx * (x[near] - cx) + dy * (y[near] - cy)
            if spread > roundest * size**2:
                break
            before, total = total, total + power[near]
            if total + before > 2.0 * target:
                break
            free[near] = False
            members.append(near)
            if size == 2:
                border.sort()  # the order of the pixels decides between neighbours that are as near
            for j in neighbours[first[near] : first[near + 1]]:
                if free[j] and j not in border:
                    insort(border, j)
        if total > _ENOUGH * target:
            made += 1
            label[members] = made
    return label
