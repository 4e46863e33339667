"""Channels that no galaxy makes: they stick out of their neighbours in most bins, or carry no noise.

A dead, doubled or badly subtracted channel is as narrow as the channel, while a spectral line is as wide as the
line-spread function: its flanks rise by about as much as its core. A stretch without noise was filled by somebody, with
a constant or a line between its ends, where nothing was observed (the notch of a laser guide star, a chip gap). A
stretch between two steps from one channel to the next, which no line-spread function lets through, has another
calibration.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import GAS_LINES_AA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.prep.spikes import NarrowFaults, find_narrow_faults, measure_local_scatter
from napari_sfh.types import F64, Bool

#: Brightest bins that are looked at.
_BINS = 300
#: Significance in the median of the bins, and least deviation over the continuum.
_SIGNIFICANT, _LEAST = 8.0, 0.03
#: Least step over the continuum: floats that a compression rounded step by less.
_LEAST_STEP = 0.06
#: How much steeper than its flanks a feature must be; a line with a FWHM of two channels has 1.2.
_STEEP = 3.0
#: Width of a channel over the FWHM of a line from which on the flank of a line may be one step.
_WIDEST_CHANNEL = 0.75
#: Distance from a gas line of the galaxy within which nothing is judged, Angstrom.
_LINE_REACH_AA = 4.0
#: Share of the bins that must agree.
_MOST, _MOST_NARROW = 0.6, 0.5
#: Longest stretch between two steps that is masked, channels, and how much the steps may differ.
_LONGEST_BLOCK, _ALIKE = 60, 2.5
#: A shorter stretch is as narrow as a residual of a night-sky line (steps of 13 and 18 % in Abell 478): it steps more.
_NARROW_BLOCK, _NARROW_STEP = 3, 0.3
#: Channels that tell the level beside a step.
_BESIDE = 15
#: Share of channels that equal the one before, in each of some parts of the spectrum, from which on they are repeated.
_REPEATED, _PARTS = 0.3, 4
#: Channels without noise in a row, and what counts as none: a share of the usual curvature.
_STRETCH, _QUIET = 8, 0.02
#: Error over that of the quietest quarter of a spectrum's channels below which it is none, and channels that tell it.
_TINY_ERROR, _SOME = 0.01, 256


def mask_bad_channels(
    spectra: BinSpectra, redshift: float, faults: NarrowFaults | None = None
) -> tuple[BinSpectra, tuple[str, ...]]:
    """Call channels bad that stick out of their neighbours in most bins, or carry no noise.

    Parameters
    ----------
    spectra : BinSpectra
        N bins, observed frame.
    redshift : float
        Of the galaxy: what lies at its gas lines is left alone.
    faults : NarrowFaults, optional
        Of these spectra, where they are known.

    Returns
    -------
    spectra : BinSpectra
        The same with fewer good channels.
    notes : tuple of str
        Which wavelengths were masked.
    """
    if spectra.flux.shape[1] < 50:
        return spectra, ()
    light = np.where(spectra.good, spectra.flux, 0.0).sum(1)
    rows = np.argsort(-light)[:_BINS]
    rows = rows[light[rows] > 0]
    if rows.size == 0:
        return spectra, ()
    flux = np.where(spectra.good[rows], spectra.flux[rows], np.nan).astype(np.float64)
    level = compute_row_medians(flux)[:, None]
    flux = flux[level[:, 0] > 0] / level[level[:, 0] > 0]
    if len(flux) == 0:
        return spectra, ()
    lines = np.array(GAS_LINES_AA) * (1 + redshift)
    near_line = np.abs(spectra.wave_aa[:, None] - lines).min(1) < _LINE_REACH_AA
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # channels without any good pixel are expected
        outliers = _find_lone_outliers(flux, near_line)
        quiet = _find_quiet_stretches(flux, _noise_is_known(spectra, rows))
        spikes, narrow = faults or find_narrow_faults(spectra, redshift)
        repeats = _count_repeats(flux)
        steps = _find_steps(flux, near_line) if repeats == 1 and _is_sampled(spectra) else np.zeros(flux.shape[1])
        profile = compute_row_medians(flux.T)
    blocks, lone = _pair_steps(steps, profile)
    bad = (outliers | quiet | blocks) & spectra.good.any(0)
    common = narrow & (narrow[rows].mean(0) > _MOST_NARROW) & ~bad
    spikes = (spikes | narrow) & ~bad & ~common
    notes = [*_describe_steps(steps, lone, spectra.wave_aa), *_describe_repeats(repeats)]
    if spikes.any():
        notes.append(
            f"single pixels masked that stick out of one bin: {int(spikes.sum())} in {int(spikes.any(1).sum())} bins"
        )
    if common.any():
        notes.append(
            "channels masked where most bins have a feature as narrow as a line, where neither stars nor gas have one: "
            f"{_list_wavelengths(spectra.wave_aa, common.any(0))}"
        )
    for mask, what in (
        (outliers & bad, "stick out of their neighbours"),
        (quiet & bad, "carry no noise"),
        (blocks & bad, "lie between two steps"),
    ):
        if mask.any():
            notes.append(f"channels masked that {what} in most bins: {_list_wavelengths(spectra.wave_aa, mask)}")
    return replace(spectra, good=spectra.good & ~bad & ~spikes & ~common), tuple(notes)


def mask_tiny_errors(spectra: BinSpectra) -> tuple[BinSpectra, tuple[str, ...]]:
    """Call pixels bad whose errors are too small to be errors: one of them would outweigh the rest of its spectrum.

    Errors that were measured from the spectra are left alone: `mask_bad_channels` knows a stretch without noise.

    Parameters
    ----------
    spectra : BinSpectra
        N bins.

    Returns
    -------
    spectra : BinSpectra
        The same with fewer good pixels.
    notes : tuple of str
        How many were masked.
    """
    if not spectra.from_variance:
        return spectra, ()
    n = spectra.flux.shape[1]
    some = slice(None, None, max(1, n // _SOME))
    errors = np.sort(np.where(spectra.good[:, some], spectra.variance[:, some], np.nan).astype(np.float64), axis=1)
    told = np.isfinite(errors).sum(1)
    if not told.any():
        return spectra, ()
    quiet = errors[np.arange(len(errors)), told // 4]  # NaN where nothing is known
    tiny = spectra.good & (spectra.variance < _TINY_ERROR**2 * quiet[:, None])
    if not tiny.any():
        return spectra, ()
    where = _list_wavelengths(spectra.wave_aa, tiny.any(0))
    note = (
        f"pixels masked whose errors are below {_TINY_ERROR:.0%} of the usual ones: {int(tiny.sum())} in "
        f"{int(tiny.any(1).sum())} of {spectra.n_bins} bins, at {where}; check the error image there"
    )
    return replace(spectra, good=spectra.good & ~tiny), (note,)


def _describe_steps(steps: F64, lone: list[int], wave_aa: F64) -> list[str]:
    """What is said of steps that begin no stretch."""
    return [
        f"the spectra step by {100 * steps[k]:+.0f} % of their median at {wave_aa[k]:.1f} A in most bins: "
        "two calibrations meet there, and the ages follow it; check the cube"
        for k in lone
    ]


def describe_repeated_channels(spectra: BinSpectra) -> list[str]:
    """What is said of spectra whose channels stand several times in a row, as `numpy.repeat` makes them.

    Parameters
    ----------
    spectra : BinSpectra
    """
    return _describe_repeats(_count_repeats(np.where(spectra.good, spectra.flux, np.nan).astype(np.float64)))


def _describe_repeats(times: int) -> list[str]:
    """What is said of channels that stand several times in a row."""
    if times == 1:
        return []
    return [
        f"each channel stands {times} times in a row: they were repeated, so that errors of bins are too small by "
        f"{times**0.5:.2g}; keep one of {times}"
    ]


def _find_lone_outliers(flux: F64, near_line: Bool) -> Bool:
    """Channels (n,) that stand alone above or below their neighbours in most bins."""
    n = flux.shape[1]
    nan = np.full((len(flux), 2), np.nan)
    wide = np.concatenate([nan, flux, nan], axis=1)
    left2, left, right, right2 = (wide[:, k : k + n] for k in (0, 1, 3, 4))
    edge = 0.5 * (left + right)
    step = flux - edge
    noise = measure_local_scatter(step)
    size = compute_row_medians(step.T)
    # Nothing beside it may change by as much: not the flank of a line, not the continuum.
    slope = np.max([np.abs(compute_row_medians(d.T)) for d in (left - left2, right - right2, right - left)], axis=0)
    ratio = compute_row_medians((step / noise).T)
    agree = np.nanmean((np.sign(step) == np.sign(size)) & (np.abs(step) > noise), axis=0)
    level = np.abs(compute_row_medians(edge.T))
    count = np.isfinite(step).sum(0)
    with np.errstate(invalid="ignore"):
        found = (np.abs(ratio) * np.sqrt(count) > 1.25 * _SIGNIFICANT) & (np.abs(size) > _LEAST * level)
        found &= (np.abs(size) > _STEEP * slope) & (agree > _MOST)
    return np.asarray(found & ~near_line)


def _is_sampled(spectra: BinSpectra) -> bool:
    """Whether channels are so narrow that the line-spread function, where it is known, lets no step through."""
    if spectra.lsf is None:
        return True
    width = float(np.median(np.diff(spectra.wave_aa)))
    return width < _WIDEST_CHANNEL * float(np.median(spectra.lsf.fwhm_aa(spectra.wave_aa)))


def _count_repeats(flux: F64) -> int:
    """How often each channel stands in a row, as `numpy.repeat` makes it; 1 for a cube like any other."""
    known = np.isfinite(flux[:, 1:]) & np.isfinite(flux[:, :-1])
    equal = ((flux[:, 1:] == flux[:, :-1]) | ~known).all(0)[known.any(0)]
    shares = [float(part.mean()) for part in np.array_split(equal, _PARTS) if part.size]
    return round(1 / (1 - min(shares))) if shares and _REPEATED < min(shares) < 1 else 1


def _find_steps(flux: F64, near_line: Bool) -> F64:
    """Step (n,) from the channel before, where it is sharper than anything beside it in most bins; else 0."""
    n = flux.shape[1]
    step = np.full(flux.shape, np.nan)
    step[:, 1:] = np.diff(flux, axis=1)
    noise = measure_local_scatter(step)
    size = compute_row_medians(step.T)
    beside = np.nan_to_num(np.abs(np.concatenate([[np.nan], size, [np.nan]])), nan=np.inf)
    slope = np.maximum(beside[:n], beside[2 : n + 2])
    ratio = compute_row_medians((step / noise).T)
    agree = np.nanmean((np.sign(step) == np.sign(size)) & (np.abs(step) > noise), axis=0)
    level = np.abs(compute_row_medians((flux - 0.5 * step).T))
    with np.errstate(invalid="ignore"):
        found = (np.abs(ratio) * np.sqrt(np.isfinite(step).sum(0)) > 1.25 * _SIGNIFICANT) & (agree > _MOST)
        found &= (np.abs(size) > _LEAST_STEP * level) & (np.abs(size) > _STEEP * slope) & ~near_line
    return np.where(found, size, 0.0)


def _pair_steps(steps: F64, profile: F64) -> tuple[Bool, list[int]]:
    """Channels (n,) of stretches between two opposite steps alike in size, and the steps that are left over.

    Only what stays displaced counts: the median spectrum ``profile`` (n,) must differ beside the step by about as
    much. Residuals of the night sky have sharp edges, too.
    """
    blocks, lone = np.zeros(steps.size, dtype=bool), []
    edges = [int(k) for k in np.flatnonzero(steps)]
    while edges:
        first = edges.pop(0)
        if edges and _closes_block(steps, profile, first, edges[0]):
            blocks[first : edges.pop(0)] = True
        elif all(_is_alike(_measure_jump(profile, first, n), steps[first]) for n in (_BESIDE, 5 * _BESIDE)):
            lone.append(first)  # an emission line behind a sky residual ends within the longer stretch
    return blocks, lone


def _closes_block(steps: F64, profile: F64, first: int, last: int) -> bool:
    if last - first > _LONGEST_BLOCK or not _is_alike(-steps[last], steps[first]):
        return False
    if last - first < _NARROW_BLOCK and abs(steps[first]) < _NARROW_STEP:
        return False
    outside = 0.5 * (_find_level(profile, first, -1) + _find_level(profile, last, 1))
    return _is_alike(float(np.nanmedian(profile[first:last])) - outside, steps[first])


def _measure_jump(profile: F64, channel: int, n: int) -> float:
    """Level of the ``n`` channels from a channel on minus that of the ``n`` before."""
    return _find_level(profile, channel, 1, n) - _find_level(profile, channel, -1, n)


def _find_level(profile: F64, channel: int, side: int, n: int = _BESIDE) -> float:
    """Median of the ``n`` channels before (-1) or from (1) a channel on; NaN where none is known."""
    part = profile[channel : channel + n] if side > 0 else profile[max(channel - n, 0) : channel]
    return float(np.median(part[np.isfinite(part)])) if np.isfinite(part).any() else float("nan")


def _is_alike(one: float, other: float) -> bool:
    """Whether two differences have the same sign and about the same size."""
    return bool(1 / _ALIKE < one / other < _ALIKE)


def _noise_is_known(spectra: BinSpectra, rows: NDArray[np.intp]) -> bool:
    """Whether the spectra scatter as much as their errors say; mocks without noise do not."""
    flux, sigma = spectra.flux[rows], np.sqrt(spectra.variance[rows])
    good = spectra.good[rows]
    curvature = np.abs(flux[:, :-2] - 2 * flux[:, 1:-1] + flux[:, 2:])
    whole = good[:, :-2] & good[:, 1:-1] & good[:, 2:]
    if not whole.any():
        return False
    return bool(np.median(curvature[whole]) > 0.3 / SIGMA_PER_MAD * np.sqrt(6.0) * np.median(sigma[good]))


def _find_quiet_stretches(flux: F64, noisy: bool) -> Bool:
    """Channels (n,) of stretches whose curvature vanishes in most bins."""
    n = flux.shape[1]
    curvature = np.full(flux.shape, np.nan)
    curvature[:, 1:-1] = np.abs(flux[:, :-2] - 2 * flux[:, 1:-1] + flux[:, 2:])
    with np.errstate(all="ignore"):
        usual = compute_row_medians(curvature)[:, None]
        limit = np.maximum(_QUIET * usual if noisy else 0.0, 3e-7)
        quiet = np.nanmean(np.where(np.isfinite(curvature), curvature <= limit, np.nan), axis=0) > 0.8
    out = np.zeros(n, dtype=bool)
    if not noisy and not np.nanmedian(curvature) > 1e-5:
        return out  # spectra without any noise: nothing can be told from it
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    for first, last in zip(edges[::2], edges[1::2]):
        if last - first >= _STRETCH:
            out[max(first - 1, 0) : last + 1] = True
    return out


def _list_wavelengths(wave_aa: F64, mask: Bool) -> str:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    parts = [
        f"{wave_aa[a]:.1f}" if b - a == 1 else f"{wave_aa[a]:.1f}-{wave_aa[b - 1]:.1f}"
        for a, b in zip(edges[::2], edges[1::2])
    ]
    shown = ", ".join(parts[:8]) + (f" and {len(parts) - 8} more" if len(parts) > 8 else "")
    return f"{shown} A"
