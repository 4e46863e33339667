"""Air or vacuum? Measured on the absorption lines of an old stellar population.

In vacuum Mg b, Na D and Halpha lie 1.4 to 1.8 AA redward of their air wavelengths, far more than any line blends move.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.wavelength import air_to_vacuum

#: Air wavelengths in Angstrom of Mg b, Na D and Halpha.
DIAGNOSTIC_LINES_AA: tuple[float, ...] = (5183.60, 5889.95, 5895.92, 6562.80)
_MIN_DEPTH = 0.05  # a line less deep than this share of the continuum is not measured
_NEAR_AA, _SIDE_AA, _MIDDLE_AA = 3.5, 12.0, 0.8


def measure_line_offsets_aa(wave_aa: NDArray[np.floating], light: NDArray[np.floating]) -> NDArray[np.float64]:
    """Position of each line of `DIAGNOSTIC_LINES_AA` less its air wavelength; NaN where it is not in the spectrum.

    Parameters
    ----------
    wave_aa, light : arrays (n,)
        A spectrum of an old population; the minimum of each line comes from a parabola through three points.
    """
    return np.array(
        [_line_offset_aa(np.asarray(wave_aa, float), np.asarray(light, float), line) for line in DIAGNOSTIC_LINES_AA]
    )


def _line_offset_aa(wave_aa: NDArray[np.float64], light: NDArray[np.float64], line: float) -> float:
    near = np.abs(wave_aa - line - _MIDDLE_AA) < _SIDE_AA
    wave, flux = wave_aa[near], light[near]
    if wave.size < 5:
        return np.nan
    depth = 1.0 - flux / np.interp(wave, wave[[0, -1]], flux[[0, -1]])
    inside = np.flatnonzero(np.abs(wave - line - _MIDDLE_AA) < _NEAR_AA)
    deepest = int(inside[np.argmax(depth[inside])]) if inside.size else 0
    if not 0 < deepest < wave.size - 1 or depth[deepest] < _MIN_DEPTH:
        return np.nan
    around = slice(deepest - 1, deepest + 2)
    a, b, _ = np.polyfit(wave[around] - wave[deepest], depth[around], 2)
    return float(wave[deepest] - b / (2 * a) - line) if a < 0 else float(wave[deepest] - line)


def detect_air_or_vacuum(wave_aa: NDArray[np.floating], light: NDArray[np.floating]) -> str:
    """``air`` or ``vacuum``, whichever the lines of an old spectrum lie closer to; empty where there are none."""
    offset = measure_line_offsets_aa(wave_aa, light)
    found = np.isfinite(offset)
    if found.sum() < 2:
        return ""
    lines = np.array(DIAGNOSTIC_LINES_AA)
    shift = float(np.mean(air_to_vacuum(lines) - lines))
    middle = float(np.median(offset[found]))
    return "air" if abs(middle) < abs(middle - shift) else "vacuum"
