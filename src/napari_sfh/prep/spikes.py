"""Pixels of one channel that stand far out of one bin's spectrum: cosmic rays, flipped bits, hot pixels.

A spike is as narrow as a channel, while a line is as wide as the line-spread function; spikes of two and three channels
are those of `prep.narrow_features`. A spike sits in one spaxel or two: the bin is summed again without them in those
channels, so that the spectrum keeps all its channels. Where that does not help (a bin of one spaxel, a cube that cannot
be read twice) the channels of that bin are masked by `prep.bad_channels.mask_bad_channels`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from napari_sfh.jobs import compute_blocks
from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import GAS_LINES_AA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.narrow_features import find_narrow_features
from napari_sfh.prep.spectra import BinMembers, BinSpectra, sum_block
from napari_sfh.types import F32, F64, I64, BinMap, Bool, Cube

#: Local scatters by which a single pixel must stand out of one bin's spectrum, and over the continuum.
_SPIKE, _LEAST_SPIKE = 20.0, 0.15
#: How much steeper than its flanks it must be, and near gas lines; a line with a FWHM of 1.5 channels has 2.5.
_STEEP, _STEEP_NEAR_LINE = 3.0, 6.0
#: Distance from a gas line of the galaxy that counts as near, Angstrom.
_LINE_REACH_AA = 4.0
#: Bins that are looked at together.
_ROWS = 300
#: Stretches of channels that are read again at most, and the share of bins beyond which a channel is not one of spikes.
_MOST_RUNS, _MOST_BINS = 300, 0.5
#: A spaxel carries a spike where it departs by this many times the bin's usual, and by this share of the spike.
_DEPARTS, _CARRIES = 8.0, 0.05


class NarrowFaults(NamedTuple):
    """Pixels (N, n) of N bins where no star and no gas has what is there."""

    spikes: Bool  # of one channel, see `find_spikes`
    features: Bool  # of two or three, see `prep.narrow_features`


def find_narrow_faults(spectra: BinSpectra, redshift: float) -> NarrowFaults:
    """Both kinds; what is found in a bin depends on that bin alone.

    Parameters
    ----------
    spectra : BinSpectra
    redshift : float
        Of the galaxy.
    """
    return NarrowFaults(find_spikes(spectra, redshift), find_narrow_features(spectra, redshift))


def find_spikes(spectra: BinSpectra, redshift: float) -> Bool:
    """Pixels (N, n) of one channel that stand far out of one bin's spectrum.

    Parameters
    ----------
    spectra : BinSpectra
        N bins of n channels, observed frame.
    redshift : float
        Of the galaxy: near its gas lines a spike must be steeper.
    """
    n = spectra.flux.shape[1]
    lines = np.array(GAS_LINES_AA) * (1 + redshift)
    near_line = np.abs(spectra.wave_aa[:, None] - lines).min(1) < _LINE_REACH_AA
    steep = np.where(near_line, _STEEP_NEAR_LINE, _STEEP)
    found = np.zeros(spectra.flux.shape, dtype=bool)

    def judge(rows: slice) -> Bool:
        flux = np.where(spectra.good[rows], spectra.flux[rows], np.nan).astype(np.float64)
        nan = np.full((len(flux), 2), np.nan)
        wide = np.concatenate([nan, flux, nan], axis=1)
        left2, left, right, right2 = (wide[:, k : k + n] for k in (0, 1, 3, 4))
        step = np.abs(flux - 0.5 * (left + right))
        calm = np.maximum.reduce([np.abs(left - left2), np.abs(right - right2), np.abs(right - left)])
        level = np.abs(compute_row_medians(flux))[:, None]
        noise = measure_local_scatter(step)
        with np.errstate(invalid="ignore"):
            return np.asarray((step > _SPIKE * noise) & (step > _LEAST_SPIKE * level) & (step > steep * calm))

    for rows, spikes in compute_blocks(judge, len(found), _ROWS):
        found[rows] = spikes
    return found & spectra.good


def measure_local_scatter(step: F64) -> F64:
    """Robust scatter of each bin's steps in pieces of 100 channels.

    Parameters
    ----------
    step : array (N, n)
        NaN where unusable.

    Returns
    -------
    array (N, n)
        In the unit of ``step``.
    """
    out = np.empty_like(step)
    for lo in range(0, step.shape[1], 100):
        part = slice(lo, lo + 100)
        scale = SIGMA_PER_MAD * compute_row_medians(np.abs(step[:, part]))[:, None]
        out[:, part] = np.where(scale > 0, scale, 1e-6)
    return out


def remove_spikes(
    spectra: BinSpectra, cube: Cube, bins: BinMap, first: int, light: F32 | None, redshift: float
) -> tuple[BinSpectra, NarrowFaults, tuple[str, ...]]:
    """Sum bins again without the spaxels that hold their spikes, in the channels of the spikes.

    Parameters
    ----------
    spectra : BinSpectra
        N bins of n channels.
    cube : Cube
        From which they were summed.
    bins : BinMap
    first : int
        The cube's channel of the first pixel of ``spectra``.
    light : array (ny, nx)
        As given to `prep.spectra.extract_bin_spectra`.
    redshift : float

    Returns
    -------
    spectra : BinSpectra
    faults : NarrowFaults
        What is left in them.
    notes : tuple of str
        How many pixels of spaxels were left out.
    """
    faults = find_narrow_faults(spectra, redshift)
    spikes = faults.spikes | faults.features
    spikes &= spikes.mean(0) <= max(_MOST_BINS, 1.5 / len(spikes)) if len(spikes) else False
    runs = _list_runs(spikes)
    if not 0 < len(runs) <= _MOST_RUNS or cube.is_streamed:
        return spectra, faults, ()
    members = BinMembers.of(bins, light)
    flux, variance, good = spectra.flux.copy(), spectra.variance.copy(), spectra.good.copy()
    lost, changed = 0, np.zeros(len(flux), dtype=bool)
    for (start, stop), rows in runs.items():
        if first + start < 1 or first + stop >= cube.shape[0]:
            continue
        block = cube.read(first + start - 1, first + stop + 1)
        carriers = _find_carriers(block[0], block[2], members.row, np.array(rows))
        if carriers.size == 0:
            continue
        usable = block[2][1:-1].copy()
        usable.reshape(len(usable), -1)[:, carriers] = False
        part = None if block[1] is None else block[1][1:-1]
        summed = sum_block(members, block[0][1:-1], part, usable)
        mended = np.intersect1d(rows, members.row[carriers])
        place = np.ix_(mended, np.arange(start, stop))
        flux[place], good[place] = summed[0][mended], summed[2][mended]
        if cube.has_variance:
            variance[place] = summed[1][mended]
        changed[mended] = True
        lost += int(carriers.size) * (stop - start)
    if lost == 0:
        return spectra, faults, ()
    some = replace(spectra, flux=flux[changed], variance=variance[changed], good=good[changed])
    for kind, again in zip(faults, find_narrow_faults(some, redshift)):
        kind[changed] = again
    return (
        replace(spectra, flux=flux, variance=variance, good=good),
        faults,
        (
            f"spikes of one to three channels (cosmic rays): {lost} pixels of spaxels left out of their bins' sums, "
            f"in {int(spikes.any(1).sum())} bins",
        ),
    )


def _list_runs(spikes: Bool) -> dict[tuple[int, int], list[int]]:
    """Stretches of channels (first, behind the last) that spikes (N, n) fill, each with its bins."""
    runs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for b in np.flatnonzero(spikes.any(1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], spikes[b].astype(int), [0]])))
        for start, stop in zip(edges[::2], edges[1::2]):
            runs[int(start), int(stop)].append(int(b))
    return runs


def _find_carriers(flux: F32, good: Bool, row: np.ndarray, rows: I64) -> I64:
    """Spaxels (flat) of bins ``rows`` that depart between the first and the last of some channels (k, ny, nx)."""
    planes = np.where(good, flux, np.nan).reshape(len(flux), -1).astype(np.float64)
    step = np.abs(planes[1:-1].mean(0) - 0.5 * (planes[0] + planes[-1]))
    found = []
    for b in rows:
        spaxels = np.flatnonzero((row == b) & np.isfinite(step))
        if spaxels.size < 2:
            continue
        size = step[spaxels]
        usual = np.sort(size)[(size.size - 1) // 2]
        carrier = (size > _DEPARTS * usual) & (size > _CARRIES * size.sum())
        found.append(spaxels[carrier])
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
