"""Bins of even capacity as cells of a power diagram (algorithm 1 of Cappellari 2025, MNRAS 544, 1432).

A pixel p lies in the cell of the generator j with the least power |p - c_j|^2 - r_j^2: that of the nearest point
(c_j, sqrt(R^2 - r_j^2)) in three dimensions, R above all radii (Imai, Iri & Murota 1985, SIAM J. Comput. 14, 93,
section 5). In each step the generators move to the centroids of their cells, and take the radii of discs as large as
cells of the target capacity, which do not reach the next generator.

powerbin looks for the nearest of all generators for each pixel in each step. Most pixels stay in their cell, and need
no search: between generators j and k at the distance D the wall of the cell of j is (D^2 + r_j^2 - r_k^2) / (2 D) away
from c_j, and a pixel nearer than all walls is inside. Nine in ten of the others lie in the cell of a neighbour of
their last generator, and a bound tells so. The cells are the same; the search that takes half of the time of a large
field is left for the rest.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from napari_sfh.jobs import count_cores, raise_if_cancelled
from napari_sfh.types import F64, I64

#: Neighbours whose walls are looked at; those further away are held off by a bound.
_NEIGHBOURS = 16
#: Pixels whose neighbours are compared at a time: they fit into a processor's cache.
_BLOCK = 4096
#: Powers, in squares of a pixel's side, that are nearer than this are left to the search.
_CLOSE = 1e-6
#: Movement of all generators together, in pixels, below which nothing changes any more.
_STILL = 0.1
#: Least radius, and least distance of a radius from the next generator, in pixels.
_MARGIN = 0.5


def refine_bins(
    places: F64,
    centres: F64,
    capacity: F64,
    target: float,
    steps: int,
    cancel: threading.Event | None = None,
) -> I64:
    """Bins of about the target capacity: cells whose generators move and grow until they hold it.

    Parameters
    ----------
    places : array (n, 2)
        Pixels, in units of their side.
    centres : array (N, 2)
        Centroids of the first bins.
    capacity : array (n,)
        Of each pixel; it adds up.
    target : float
        Capacity of a bin.
    steps : int
        At most.
    cancel : Event, optional

    Returns
    -------
    array (n,)
        The bin of each pixel, 0 to N - 1.

    Raises
    ------
    ValueError
        A bin has lost all its pixels.
    Cancelled
    """
    from powerbin.early_stopper import EarlyStopper

    stopper, bins = EarlyStopper(), len(centres)
    radii, label = np.ones(bins), None
    for _ in range(steps):
        raise_if_cancelled(cancel)
        label = assign_to_cells(places, centres, radii, label)
        count = np.bincount(label, minlength=bins)
        if not count.all():
            raise ValueError("a bin has lost all its pixels")
        middle = np.column_stack([np.bincount(label, axis, bins) / count for axis in places.T])
        size = np.sqrt(target / np.bincount(label, capacity, bins) * count / np.pi)
        share = 0.5 if stopper.under_relax else 1.0
        before, centres = centres, middle if share == 1.0 else centres + share * (middle - centres)
        radii = size if share == 1.0 else radii + share * (size - radii)
        nearest = KDTree(centres).query(centres, 2, workers=count_cores())[0][:, 1]
        radii = radii.clip(_MARGIN, nearest - _MARGIN)
        moved = float(np.linalg.norm(centres - before))
        if moved < _STILL or stopper.update(moved):
            break
    return assign_to_cells(places, centres, radii, label)


def assign_to_cells(places: F64, centres: F64, radii: F64, guess: I64 | None = None) -> I64:
    """The cell of a power diagram in which each pixel lies.

    Parameters
    ----------
    places : array (n, 2)
    centres : array (N, 2)
        Generators.
    radii : array (N,)
        Of their discs.
    guess : array (n,), optional
        A cell for each pixel, right for many: those that lie before its nearest wall need no search.

    Returns
    -------
    array (n,)
        0 to N - 1.

    Examples
    --------
    >>> generators, radii = np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([1.0, 2.0])
    >>> assign_to_cells(np.array([[1.0, 0.0], [2.0, 0.0]]), generators, radii).tolist()
    [0, 1]
    """
    largest = 1.001 * float(radii.max())
    tree = KDTree(np.column_stack([centres, np.sqrt(largest**2 - radii**2)]))
    searched = np.arange(len(places))
    label = np.empty(len(places), dtype=np.int64) if guess is None else guess.copy()
    if guess is not None and len(centres) > _NEIGHBOURS:
        distance, neighbour = _query_plane(tree, centres, _NEIGHBOURS)
        near = _Neighbours(centres, radii, largest, neighbour, distance**2 - largest**2)
        apart = np.hypot(*(places - centres[guess]).T)
        searched = searched[~(apart < _find_nearest_walls(near)[guess])]
        searched = _choose_neighbours(near, label, searched, places, apart)
    label[searched] = _query_plane(tree, places[searched])[1]
    return label


@dataclass(frozen=True)
class _Neighbours:
    """Generators, and of each those of the least powers at its place."""

    centres: F64  # (N, 2)
    radii: F64  # (N,)
    largest: float  # above all radii
    neighbour: I64  # (N, K)
    power: F64  # (N, K) rising


def _choose_neighbours(near: _Neighbours, label: I64, searched: I64, places: F64, apart: F64) -> I64:
    """Put searched pixels into cells of their old generator's neighbours, in place; those that remain.

    At a pixel at the distance d from its old generator, a generator that is not among the neighbours of the least
    powers there has a power of at least P + d^2 - 2 d sqrt(P + largest^2), where P is the last of theirs: it can be no
    nearer than the distances allow. Pixels for which that, or the second of the neighbours, comes close remain.
    """
    last, neighbour = near.power[:, -1], near.neighbour
    reach = np.sqrt(last + near.largest**2)
    x, y, square = (np.ascontiguousarray(column[neighbour].T) for column in (*near.centres.T, near.radii**2))
    remaining = [searched[:0]]
    for start in range(0, searched.size, _BLOCK):
        pixel = searched[start : start + _BLOCK]
        old, d, at_x, at_y = label[pixel], apart[pixel], *places[pixel].T
        least, second = np.full((2, pixel.size), np.inf)
        choice = np.zeros(pixel.size, dtype=np.int64)
        for k in range(_NEIGHBOURS):
            power = (at_x - x[k][old]) ** 2 + (at_y - y[k][old]) ** 2 - square[k][old]
            choice[power < least] = k
            np.minimum(second, np.maximum(power, least), out=second)
            np.minimum(least, power, out=least)
        bound = np.minimum(second, last[old] + d**2 - 2.0 * d * reach[old])
        sure = (least < bound - _CLOSE) & (d < reach[old])
        label[pixel[sure]] = neighbour[old[sure], choice[sure]]
        remaining.append(pixel[~sure])
    return np.concatenate(remaining)


def _query_plane(tree: KDTree, places: F64, k: int = 1) -> tuple[F64, I64]:
    """Distances and numbers of the ``k`` points of a tree in space nearest to places (n, 2) of the plane z = 0."""
    found: tuple[F64, I64] = tree.query(np.column_stack([places, np.zeros(len(places))]), k, workers=count_cores())
    return found


def _find_nearest_walls(near: _Neighbours) -> F64:
    """Distance (N,) of each generator from the nearest wall of its cell, or less; negative beyond it.

    The generators of the least powers at c_j make the walls; no other one k has less than the last of these. It lies at
    most as far away as the largest of all radii allows with its power P there: its wall, at (P + r_j^2) / (2 D), is no
    nearer than that of P = the last power and D^2 = P + largest^2.
    """
    apart = np.hypot(*np.moveaxis(near.centres[near.neighbour] - near.centres[:, None], 2, 0))
    with np.errstate(all="ignore"):  # generators at one place: no wall is known, and all is searched
        wall = (near.power + near.radii[:, None] ** 2) / (2.0 * apart)
    wall[near.neighbour == np.arange(len(apart))[:, None]] = np.inf
    last = near.power[:, -1]
    far = (last + near.radii**2) / (2.0 * np.sqrt(last + near.largest**2))
    return np.minimum(wall.min(axis=1), far) * (1.0 - 1e-6) - 1e-6
