"""Features of two or three channels where neither stars nor gas nor the night sky have any that strong.

Cosmic rays that a resampling spread, bad rows of a detector and faulty flats are about as wide as the line-spread
function, so that their width does not tell them from lines; their place and their strength do. Stars have narrow
features everywhere, but weak ones: `_UP`, `_DOWN` and `_DOWN_STRONG` bound them. What is one channel wide is found by
`prep.spikes` and `prep.bad_channels`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_sfh.jobs import compute_blocks
from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import FAINT_GAS_LINES_AA, GAS_LINES_AA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.sky_lines import REACH_AA, SKY_LINES_AA
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F32, Bool

#: Strongest features that stars have over the continuum, upwards, downwards, and downwards in `_STRONG_LINES_AA`. SSPs
#: of XSL at a FWHM of `_MEASURED_FWHM_AA` in channels of 1.25 A, without dispersion, have 0.18, 0.21 and 0.29 (the
#: oldest, at [M/H] = +0.2).
_UP, _DOWN, _DOWN_STRONG, _MEASURED_FWHM_AA = 0.22, 0.26, 0.36, 2.55
#: Mg b, Na D and the Ca II triplet; Na is also what the Milky Way absorbs.
_STRONG_LINES_AA = (5167.3, 5172.7, 5183.6, 5890.0, 5895.9, 8498.0, 8542.1, 8662.1)
#: The edge of the A band of the air, which a correction for it leaves as sharp as a line, Angstrom, observed.
_A_BAND_AA = (7590.0, 7700.0)
#: Distance from a line of the galaxy within which it may fall, Angstrom: a rotation of 300 km/s and the line's width.
_LINE_REACH_AA, _FAINT_REACH_AA = 15.0, 10.0
#: Widths that are looked for, channels, and channels beside them that tell the level.
_WIDTHS, _FLANK = (1, 2, 3), 2
#: Least significance, and how much steeper a feature must be than its flanks.
_SIGNIFICANT, _STEEP = 12.0, 3.0
#: Wings that belong to a feature: a share of it, and of the continuum; the second channel of a line has 0.07.
_WING, _LEAST_WING, _MOST_WINGS = 0.04, 0.1, 2
#: Share of a bin's channels beyond which what stands out are no single features.
_MOST_CHANNELS = 0.05
#: Bins that are looked at together, and channels of a piece whose level and scatter are taken as one.
_ROWS, _PIECE = 300, 100


class _Windows(NamedTuple):
    """Stretches of ``width`` channels from each channel on, in N bins."""

    width: int
    step: F32  # (N, n) mean over its flanks' mean; NaN where not all channels are good
    found: Bool  # (N, n)


def find_narrow_features(spectra: BinSpectra, redshift: float) -> Bool:
    """Channels (N, n) of features that are as narrow as an unresolved line where there can be none so strong.

    Parameters
    ----------
    spectra : BinSpectra
        N bins of n channels, observed frame.
    redshift : float
        Of the galaxy: nothing is judged at the lines of its gas, nor at those of the night sky.
    """
    found = np.zeros(spectra.flux.shape, dtype=bool)
    if spectra.flux.shape[1] < 2 * _PIECE:
        return found
    most = _find_strongest_features(spectra, redshift)

    def judge(rows: slice) -> Bool:
        flux = np.where(spectra.good[rows], spectra.flux[rows], np.float32(np.nan))
        level, noise = np.abs(_spread_medians(flux)), _measure_noise(flux)
        windows = [_judge_windows(flux, level, noise, most, width) for width in _WIDTHS]
        marked = np.zeros(flux.shape, dtype=bool)
        for b in np.flatnonzero(np.any([w.found.any(1) for w in windows[1:]], axis=0)):
            chosen = _choose_windows(windows, flux[b], level[b], int(b))
            if chosen.mean() <= _MOST_CHANNELS:
                marked[b] = chosen
        return marked

    for rows, marked in compute_blocks(judge, len(found), _ROWS):
        found[rows] = marked
    return found & spectra.good


def _find_strongest_features(spectra: BinSpectra, redshift: float) -> tuple[F32, F32]:
    """What stars may have at most over the continuum, up and down (n,); infinite where nothing is judged."""
    wave = spectra.wave_aa
    channel = np.abs(np.gradient(wave))
    fwhm = 2.0 * channel if spectra.lsf is None else spectra.lsf.fwhm_aa(wave)
    sharper = np.maximum(_MEASURED_FWHM_AA / fwhm, 1.0)  # lines are deeper where they are less smeared
    broader = 2.0 * np.maximum(fwhm - _MEASURED_FWHM_AA, 0.0)

    def lies_near(lines: tuple[float, ...], stretch: float, reach: float) -> Bool:
        return np.asarray(np.abs(wave[:, None] - np.array(lines) * stretch).min(1) < reach + broader)

    up, down = _UP * sharper, np.where(lies_near(_STRONG_LINES_AA, 1 + redshift, _LINE_REACH_AA), _DOWN_STRONG, _DOWN)
    up[lies_near(FAINT_GAS_LINES_AA, 1 + redshift, _FAINT_REACH_AA)] = np.inf
    out = lies_near(GAS_LINES_AA, 1 + redshift, _LINE_REACH_AA) | lies_near(SKY_LINES_AA, 1.0, REACH_AA)
    out |= (wave > _A_BAND_AA[0]) & (wave < _A_BAND_AA[1])
    out |= channel * _WIDTHS[-1] > 2.0 * fwhm  # not as narrow as a line
    up, down = (np.where(out, np.inf, x).astype(np.float32) for x in (up, down * sharper))
    return up, down


def _spread_medians(values: F32) -> F32:
    """Medians (N, n) of each row in pieces of `_PIECE` channels."""
    out = np.empty_like(values)
    for lo in range(0, values.shape[1], _PIECE):
        part = values[:, lo : lo + _PIECE]
        out[:, lo : lo + _PIECE] = compute_row_medians(part)[:, None]
    return out


def _measure_noise(flux: F32) -> F32:
    """Scatter (N, n) of single channels about the mean of their neighbours, which stars add little to."""
    step = np.full_like(flux, np.nan)
    step[:, 1:-1] = np.abs(flux[:, 1:-1] - 0.5 * (flux[:, :-2] + flux[:, 2:]))
    return np.asarray(_spread_medians(step) * np.float32(SIGMA_PER_MAD / np.sqrt(1.5)), dtype=np.float32)


def _judge_windows(flux: F32, level: F32, noise: F32, most: tuple[F32, F32], width: int) -> _Windows:
    """All stretches of some channels, and which of them stand out of what stars may have."""
    n = flux.shape[1]
    wide = np.pad(flux, ((0, 0), (_FLANK, _FLANK + width)), constant_values=np.nan)
    shifted = [wide[:, k : k + n] for k in range(2 * _FLANK + width)]
    left, core, right = shifted[:_FLANK], shifted[_FLANK : _FLANK + width], shifted[_FLANK + width :]
    before, after = sum(left) / _FLANK, sum(right) / _FLANK
    step = sum(core) / width - 0.5 * (before + after)
    calm = np.maximum.reduce([np.abs(left[0] - left[1]), np.abs(right[0] - right[1]), np.abs(after - before)])
    up, down = (np.pad(x, (0, width - 1), constant_values=np.inf) for x in most)
    up, down = (np.max([x[k : k + n] for k in range(width)], axis=0) for x in (up, down))
    with np.errstate(invalid="ignore"):
        found = np.where(step > 0, step > up * level, -step > down * level) & (level > 0)
        found &= np.abs(step) > _STEEP * calm
        found &= np.abs(step) > np.float32(_SIGNIFICANT * np.sqrt(1 / width + 0.5 / _FLANK)) * noise
    return _Windows(width, np.asarray(step, dtype=np.float32), np.asarray(found))


def _choose_windows(windows: list[_Windows], flux: F32, level: F32, row: int) -> Bool:
    """Channels (n,) of the windows of a bin that stand out most; no two of them overlap."""
    marked, taken = np.zeros(flux.size, dtype=bool), np.zeros(flux.size, dtype=bool)
    candidates = [
        (abs(float(w.step[row, k])) * np.sqrt(w.width), int(k), w.width, float(w.step[row, k]))
        for w in windows
        for k in np.flatnonzero(w.found[row])
    ]
    for _, first, width, step in sorted(candidates, reverse=True):
        last = first + width
        if taken[max(first - _FLANK, 0) : last + _FLANK].any():
            continue
        taken[first:last] = True
        if width > 1:
            first, last = _add_wings(flux, level, first, last, step)
            marked[first:last] = True
    return marked


def _add_wings(flux: F32, level: F32, first: int, last: int, step: float) -> tuple[int, int]:
    """The stretch from ``first`` to before ``last`` with the channels beside it that belong to it."""
    limit = max(_WING * abs(step), _LEAST_WING * float(level[first]))
    inner, outer = first, last
    for side in (-1, 1):
        far = flux[max(first - 8, 0) : max(first - 3, 0)] if side < 0 else flux[last + 3 : last + 8]
        base = float(np.median(far[np.isfinite(far)])) if np.isfinite(far).any() else np.nan
        for k in range(1, _MOST_WINGS + 1):
            at = first - k if side < 0 else last - 1 + k
            if not 0 <= at < flux.size or not (flux[at] - base) * np.sign(step) > limit:
                break
            inner, outer = min(inner, at), max(outer, at + 1)
    return inner, outer
