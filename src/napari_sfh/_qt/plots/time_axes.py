"""Axes of lookback time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.drawing.bin_drawing import DRAWN_EDGES_GYR

LG_EDGES = np.log10(DRAWN_EDGES_GYR)
#: Room of a number at an axis of time, pixels.
TIME_NUMBER_PX = 26.0
AGE_TICKS = [(-2.0, "0.01"), (-1.0, "0.1"), (0.0, "1"), (1.0, "10")]
AGE_MINOR = [(np.log10(k * 10.0**p), "") for p in (-3, -2, -1, 0) for k in range(2, 10)]


def _power(lg: float) -> float:
    return float(10**lg)


@dataclass(frozen=True)
class TimeAxis:
    """How lookback time is drawn. ``edges`` (17,) are those of the age bins on the axis, ``ticks`` pyqtgraph's."""

    name: str
    label: str
    edges: NDArray[np.float64]
    ticks: list[list[tuple[float, str]]] | None
    place: Callable[[float], float]  # of a time in Gyr
    time: Callable[[float], float]  # in Gyr, of a place

    def find_ticks(self, width_px: float) -> list[list[tuple[float, str]]] | None:
        """The ticks of a plot of a width: every second number where all of them would touch."""
        if self.ticks is None:
            return None
        first, *rest = self.ticks
        if width_px >= TIME_NUMBER_PX * len(first):
            return self.ticks
        return [[(place, text if k % 2 else "") for k, (place, text) in enumerate(first)], *rest]

    def format_place(self, x: float, y: float) -> str:
        """A place of a plot over this axis: time and value."""
        return f"{self.time(x):.3g} Gyr, {y:.3g}".replace("-", "−")


_LG_YR_TICKS = [[(float(k - 9), str(k)) for k in (7, 8, 9, 10)], [(k - 9.5, "") for k in (8, 9, 10)]]
#: The axes of time, by the key that a workspace keeps.
TIME_AXES: dict[str, TimeAxis] = {
    "log_gyr": TimeAxis(
        "log, Gyr", "lookback time (Gyr)", LG_EDGES, [AGE_TICKS, AGE_MINOR], lambda gyr: float(np.log10(gyr)), _power
    ),
    "linear_gyr": TimeAxis("linear, Gyr", "lookback time (Gyr)", DRAWN_EDGES_GYR, None, float, float),
    "log_yr": TimeAxis(
        "log yr", "log lookback time (yr)", LG_EDGES, _LG_YR_TICKS, lambda gyr: float(np.log10(gyr)), _power
    ),
}
