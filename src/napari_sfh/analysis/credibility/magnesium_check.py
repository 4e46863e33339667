"""Where magnesium is stronger than the prediction makes it, for the same iron: stars rich in alpha elements.

The compact templates hold one abundance pattern, that of the Sun's neighbourhood. Massive old galaxies formed fast and
have [alpha/Fe] of +0.2 to +0.4: their Mg b is deeper at the same iron lines (Thomas, Maraston & Bender 2003,
MNRAS 339, 897). The ratio of data to model is compared with a line through its sides, as indices of Lick type are; the
sides of Mg b leave out [N I] 5199, whose emission would make Mg b look deep (Goudfrooij & Emsellem 1996, A&A 306, L45).
A flux calibration that is wrong on such scales looks the same: how much the ratio bends elsewhere counts as an error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.types import F32, F64, Bool, Observation


class FeatureWindows(NamedTuple):
    """A feature and its sides, (first, last) in Angstrom, rest frame in air."""

    band: tuple[float, float]
    sides: tuple[tuple[float, float], tuple[float, float]]


#: Mg b; and the lines Fe 4920, 5270, 5328, 5371 and 5406.
MAGNESIUM_WINDOWS = FeatureWindows((5164.0, 5191.0), ((5085.0, 5155.0), (5208.0, 5245.0)))
IRON_WINDOWS: tuple[FeatureWindows, ...] = (
    FeatureWindows((4914.0, 4926.0), ((4900.0, 4910.0), (4930.0, 4943.0))),
    FeatureWindows((5264.0, 5275.0), ((5208.0, 5256.0), (5280.0, 5312.0))),
    FeatureWindows((5322.0, 5335.0), ((5286.0, 5316.0), (5340.0, 5362.0))),
    FeatureWindows((5365.0, 5376.0), ((5340.0, 5362.0), (5380.0, 5398.0))),
    FeatureWindows((5401.0, 5411.0), ((5380.0, 5398.0), (5414.0, 5424.0))),
)
#: Scatter of the excess between libraries of one abundance pattern, and standard deviations that are flagged.
LIBRARY_SCATTER, FLAGGED_SIGMAS = 0.005, 2.0
#: Steps in which the ratio's bends are measured, Angstrom; about half of what a feature and its sides span.
_STEP_AA = 50.0
_LEAST_PIXELS, _LEAST_STEPS = 3, 6
#: Share of a window that must be usable: where gas lines are hidden, [N I] 5199 takes a third of Mg b with it.
_LEAST_USABLE = 0.65


def measure_magnesium_excess(data: Observation, model_flux: F32) -> tuple[F64, F64]:
    """By how much Mg b is deeper than the model's, less the mean of the iron lines, and what noise makes of it.

    Parameters
    ----------
    data : Observation
        With a spectrum.
    model_flux : array (N, W)
        In the unit of ``data.flux``.

    Returns
    -------
    excess, noise : arrays (N,)
        Relative depth, the mean over the feature; NaN where a window is off the grid or masked, or without a model.
    """
    wave = data.instrument.wave_aa
    near = slice(*np.searchsorted(wave, _find_range()))  # no other pixel has a weight
    mask, model, noise = data.mask[:, near], model_flux[:, near], data.error[:, near]
    modelled = np.isfinite(model) & (model > 0) & mask
    usable = (modelled & (noise > 0)).astype(float)
    weights = 1.0 * _weigh_pixels(wave[near], usable, MAGNESIUM_WINDOWS)
    for feature in IRON_WINDOWS:
        weights -= _weigh_pixels(wave[near], usable, feature) / len(IRON_WINDOWS)
    known = np.isfinite(weights).all(1) & (near.stop > near.start)
    safe = np.where(modelled, model, 1.0)
    ratio, error = (np.where(mask, x, 0.0) / safe for x in (data.flux[:, near], noise))
    excess = np.where(known, (weights * ratio).sum(1), np.nan)
    return excess, np.where(known, np.sqrt(((weights * error) ** 2).sum(1)), np.nan)


def _find_range() -> tuple[float, float]:
    """First and last wavelength of all windows; a little more, so that both are inside."""
    edges = [edge for feature in (MAGNESIUM_WINDOWS, *IRON_WINDOWS) for pair in feature.sides for edge in pair]
    return min(edges), max(edges) + 1e-6


def _weigh_pixels(wave: F64, usable: F64, feature: FeatureWindows) -> F64:
    """Weights (N, n) by which the ratio of data to model is summed to a feature's depth; NaN rows: not known.

    Near a ratio of one, the depth is a straight line's value at the band, from the sides, less the mean of the band.
    ``usable`` (N, n) is 1 where a pixel counts, else 0.
    """
    band, *sides = ((wave >= lo) & (wave <= hi) for lo, hi in (feature.band, *feature.sides))
    counts = [(usable[:, part].sum(1), int(part.sum())) for part in (band, *sides)]
    known = np.ones(len(usable), bool)
    for seen, whole in counts:
        known &= (whole >= _LEAST_PIXELS) & (seen >= _LEAST_USABLE * whole)
    x = (wave - np.mean(feature.band)) / 100.0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_band = usable * band / counts[0][0][:, None]
        centre = (mean_band * x).sum(1, keepdims=True)
        used = usable * (sides[0] | sides[1])
        total = used.sum(1, keepdims=True)
        middle = (used * x).sum(1, keepdims=True) / total
        away = used * (x - middle)
        line = used / total + (centre - middle) * away / (away * x).sum(1, keepdims=True)
    return np.where(known[:, None], line - mean_band, np.nan)


def measure_local_bends(data: Observation, model_flux: F32) -> F64:
    """Scatter (N,) of the ratio of data to model in steps of 50 AA about the mean of both neighbours, noise taken off.

    Gas lines and Mg b are left out. Infinite where fewer than six steps and their neighbours are known.

    Parameters
    ----------
    data : Observation
    model_flux : array (N, W)
    """
    wave = data.instrument.wave_aa
    step = ((wave - wave[0]) // _STEP_AA).astype(int)
    onto = (step[:, None] == np.arange(step[-1] + 1)).astype(float)
    away = find_stellar_pixels(wave) & ~((wave >= MAGNESIUM_WINDOWS.band[0]) & (wave <= MAGNESIUM_WINDOWS.band[1]))
    used = data.mask & away & np.isfinite(model_flux) & (model_flux > 0) & (data.error > 0)
    safe = np.where(used, model_flux, 1.0)
    count = used @ onto
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(used, data.flux / safe, 0.0) @ onto / count
        noise = np.where(used, (data.error / safe) ** 2, 0.0) @ onto / count**2
        bend = mean[:, 1:-1] - 0.5 * (mean[:, :-2] + mean[:, 2:])
        squares = bend**2 - noise[:, 1:-1] - 0.25 * (noise[:, :-2] + noise[:, 2:])
    known = np.isfinite(squares)
    number = known.sum(1)
    total = np.where(known, squares, 0.0).sum(1) / np.maximum(number, 1)
    return np.where(number < _LEAST_STEPS, np.inf, np.sqrt(np.maximum(total, 0.0)))


def find_magnesium_excess(data: Observation, model_flux: F32) -> Bool:
    """Bins whose Mg b is too strong for their iron, noise, the scatter of libraries and of the calibration allowed for.

    Parameters
    ----------
    data : Observation
        N bins.
    model_flux : array (N, W)
        In the unit of ``data.flux``.

    Returns
    -------
    bool array (N,)
    """
    excess, noise = measure_magnesium_excess(data, model_flux)
    with np.errstate(invalid="ignore"):
        floor = np.maximum(measure_local_bends(data, model_flux), LIBRARY_SCATTER)
        return np.asarray(excess > FLAGGED_SIGMAS * np.hypot(noise, floor))
