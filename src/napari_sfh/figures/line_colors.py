"""Colours of lines and points that are seen on what they lie on, and told from each other.

A part of a plot that is needed to read it has a contrast of 3 to what surrounds it (WCAG 2.1, criterion 1.4.11);
contrast and relative luminance are defined there. On a light background all colours of a set are darkened by one
factor: the brightest of them has its contrast, and they keep their distances to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Least contrast of lines, points and edges to their background.
LEAST_CONTRAST = 3.0
#: Answers for one bin that are held against each other: no colour of a bin or region, for deuteranopes neither.
ANSWER_COLORS: tuple[str, ...] = ("#2dffff", "#ff6978", "#2de1b4", "#b4f0a5")
#: The page of a figure.
PAPER = "#ffffff"
#: Share of their brightness that colours of a set keep on a light background.
_ON_LIGHT = 0.57
#: Relative luminance above which a background is light.
_LIGHT = 0.4
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def measure_contrast(first: str, second: str) -> float:
    """Contrast of two colours, from 1 (none) to 21 (black on white).

    Parameters
    ----------
    first, second : str
        ``#rrggbb``, or ``#rrggbbaa``: seen on the other one.

    Examples
    --------
    >>> round(measure_contrast("#000000", "#ffffff"), 1)
    21.0
    """
    low, high = sorted(_find_luminance(_cover(*pair)) for pair in ((first, second), (second, first)))
    return float((high + 0.05) / (low + 0.05))


@cache
def make_readable(color: str, background: str, least: float = LEAST_CONTRAST) -> str:
    """A colour, mixed with black on a light background and with white on a dark one until it has its contrast.

    Parameters
    ----------
    color, background : str
        ``#rrggbb``
    least : float
        Contrast.
    """
    towards = "#000000" if _is_light(background) else "#ffffff"
    mixed = (_mix(towards, color, share) for share in np.linspace(0, 1, 101))
    return next(each for each in mixed if measure_contrast(each, background) >= least)


@cache
def recolor_line(color: str, background: str) -> str:
    """A colour of a set, of bins or answers, as it is drawn on a background.

    Parameters
    ----------
    color, background : str
        ``#rrggbb``
    """
    return make_readable(_mix(color, "#000000", _ON_LIGHT) if _is_light(background) else color, background)


def recolor_lines(colors: Sequence[str], background: str = PAPER) -> list[str]:
    """The same for several.

    Parameters
    ----------
    colors : sequence of str
        ``#rrggbb``
    background : str
    """
    return [recolor_line(color, background) for color in colors]


@cache
def choose_thin_color(color: str, background: str, least: float) -> str:
    """A colour as translucent as its contrast to the background allows.

    Parameters
    ----------
    color, background : str
        ``#rrggbb``
    least : float
        Contrast.

    Returns
    -------
    str
        ``#rrggbbaa``; opaque where the colour has not the contrast.
    """
    thinner = (f"{color}{alpha:02x}" for alpha in range(256))
    return next((each for each in thinner if measure_contrast(each, background) >= least), f"{color}ff")


def _parse(color: str) -> NDArray[np.float64]:
    return np.array([int(color[k : k + 2], 16) / 255 for k in range(1, len(color), 2)])


def _cover(color: str, below: str) -> NDArray[np.float64]:
    """Red, green, blue of a colour that lies on another."""
    parts = _parse(color)
    alpha = parts[3] if parts.size == 4 else 1.0
    return np.asarray(alpha * parts[:3] + (1 - alpha) * _parse(below)[:3])


def _find_luminance(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ _WEIGHTS)


def _is_light(background: str) -> bool:
    return _find_luminance(_parse(background)) > _LIGHT


def _mix(first: str, second: str, share: float) -> str:
    parts = np.rint(255 * (share * _parse(first) + (1 - share) * _parse(second))).astype(int)
    return "#" + "".join(f"{part:02x}" for part in parts)
