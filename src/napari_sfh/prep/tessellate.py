"""Spaxels into bins: Voronoi binning and power diagrams around spaxels that need none.

A spaxel that reaches the target alone is a bin of its own; the libraries would give it to a faint neighbour's bin in
their last step (a foreground star swallows its surroundings). The others are binned by vorbin (Cappellari & Copin
2003, MNRAS 342, 345) or powerbin (Cappellari 2025, MNRAS 544, 1432). Islands of faint spaxels that cannot reach the
target together join the bin of their nearest neighbour. Where a library finds no bin at all (fields of one row, or
hardly enough light for one round bin), the set is halved along its longer side as long as both halves reach the target.
"""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree, QhullError

from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.prep.tessellation.accretion import make_first_bins
from napari_sfh.prep.tessellation.power_cells import refine_bins
from napari_sfh.types import F32, F64, I32, Bool

Label = NDArray[np.int_]
#: Steps in which powerbin evens out its bins at most: its own default.
_POWERBIN_STEPS = 50


def tessellate_spaxels(
    good: Bool,
    signal: F32,
    noise: F32,
    target: float,
    method: str,
    cancel: threading.Event | None = None,
    aspect: float = 1.0,
) -> I32:
    """Bin number (ny, nx) of every good spaxel, 1.. without gaps, 0 elsewhere.

    Parameters
    ----------
    good, signal, noise : arrays (ny, nx)
    target : float
        S/N; all good spaxels together reach it.
    method : {"vorbin", "powerbin"}
    cancel : Event, optional
        Ends both with `Cancelled`.
    aspect : float
        Height of a spaxel on the sky over its width: bins are round on the sky, not in pixels.
    """
    height, width = _spaxel_sides(aspect)
    out = np.zeros(good.shape, dtype=np.int32)
    alone = np.zeros_like(good)
    alone[good] = signal[good] >= target * noise[good]
    out[alone] = np.arange(1, alone.sum() + 1)
    rest = _reachable_spaxels(good & ~alone, signal, noise, target)
    if not (rest.any() or alone.any()):
        rest = good  # islands that reach the target only together
    if rest.any():
        y, x = (side * a.astype(np.float64) for side, a in zip((height, width), np.nonzero(rest)))
        s, n = signal[rest].astype(np.float64), noise[rest].astype(np.float64)
        out[rest] = out.max() + 1 + _run_library(method, x, y, s, n, target, cancel)
    lost = good & (out == 0)
    if lost.any():
        known, sides = np.argwhere(out > 0), np.array([height, width])
        nearest = KDTree(known * sides).query(np.argwhere(lost) * sides)[1]
        out[lost] = out[tuple(known[nearest].T)]
    return out


def _spaxel_sides(aspect: float) -> tuple[float, float]:
    """Height and width of a spaxel where the shorter one is 1; exactly 1 for what a header's digits can tell."""
    if abs(aspect - 1.0) < 0.01:
        return 1.0, 1.0
    return (aspect, 1.0) if aspect > 1 else (1.0, 1.0 / aspect)


def _reachable_spaxels(faint: Bool, signal: F32, noise: F32, target: float) -> Bool:
    """Spaxels of those islands (connected by their sides) that reach the target together."""
    island, n = ndimage.label(faint)
    if n == 0:
        return faint
    total = ndimage.sum(np.where(faint, signal, 0.0), island, np.arange(n + 1))
    power = ndimage.sum(np.where(faint, noise, 0.0).astype(np.float64) ** 2, island, np.arange(n + 1))
    enough = total >= target * np.sqrt(power)
    enough[0] = False
    return np.asarray(enough[island], dtype=bool)


def _run_library(
    method: str, x: F64, y: F64, signal: F64, noise: F64, target: float, cancel: threading.Event | None
) -> Label:
    """Labels 0.. of the chosen library, or of the halving where it gives up."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # vorbin announces its successor; empty means while powerbin prints nothing
        try:
            if method == "vorbin":
                label = _vorbin(x, y, signal, noise, target, cancel)
            else:
                label = _powerbin(x, y, signal, noise, target, cancel)
        except (IndexError, ValueError, QhullError):
            label = bisect_spaxels(x, y, signal, noise, target)
    return np.unique(label, return_inverse=True)[1]


def _vorbin(x: F64, y: F64, signal: F64, noise: F64, target: float, cancel: threading.Event | None) -> Label:
    from vorbin.voronoi_2d_binning import voronoi_2d_binning

    def snr(index: Label, s: F64, n: F64) -> float:
        raise_if_cancelled(cancel)
        return float(s[index].sum() / np.sqrt((n[index] ** 2).sum()))

    # Centroidal, not weighted: the bins stay connected, and a field of 10^4 spaxels takes a third of the time.
    out = voronoi_2d_binning(x, y, signal, noise, target, pixelsize=1.0, plot=False, quiet=True, sn_func=snr, wvt=False)
    return np.asarray(out[0])


def _powerbin(x: F64, y: F64, signal: F64, noise: F64, target: float, cancel: threading.Event | None) -> Label:
    # (S/N)^2 adds up where the S/N is uniform over a bin; the bin's true S/N is measured by the caller.
    places, capacity = np.column_stack([x, y]), (signal / noise) ** 2
    start = make_first_bins(places, capacity, target**2, cancel)
    return refine_bins(places, start, capacity, target**2, _POWERBIN_STEPS, cancel)


def bisect_spaxels(x: F64, y: F64, signal: F64, noise: F64, target: float) -> Label:
    """Halve a set of spaxels along its longer side while both halves reach the target S/N.

    Parameters
    ----------
    x, y : arrays (n,)
        Positions in any unit.
    signal, noise : arrays (n,)
        Of each spaxel, noise above 0.
    target : float
        S/N of a bin: sum of the signal over the root of the summed variance.

    Returns
    -------
    integer array (n,)
        Bin of each spaxel, from 0.
    """
    label = np.zeros(x.size, dtype=np.int_)
    waiting, found = [np.arange(x.size)], 0
    while waiting:
        part = waiting.pop()
        along = x[part] if np.ptp(x[part]) >= np.ptp(y[part]) else y[part]
        part = part[np.argsort(along, kind="stable")]
        power = np.cumsum((signal[part] / noise[part]) ** 2)
        cut = int(np.searchsorted(power, 0.5 * power[-1])) + 1
        halves = part[:cut], part[cut:]
        if all(h.size and signal[h].sum() >= target * np.sqrt((noise[h] ** 2).sum()) for h in halves):
            waiting += [halves[1], halves[0]]
        else:
            label[part] = found
            found += 1
    return label
