"""Two columns of many objects against each other; points select, and the selected ones stand out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sfh._qt.plots.brush import BrushPlot, BrushPoints, DensityImage
from napari_sfh._qt.plots.plot_items import get_brush, get_pen, pg, style_axes
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.drawing.bin_drawing import COLORS, choose_color
from napari_sfh.analysis.drawing.map_limits import robust_limits

#: From so many points on their density is drawn.
DENSE_POINTS = 20_000
#: Selected points that have a colour each; more are all of one.
COLORED_POINTS = len(COLORS)


class ScatterPlot(BrushPlot):
    """Points, or their density where they are many."""

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self._labels = ("", "")
        self._x, self._y = np.empty(0), np.empty(0)
        self._density = DensityImage()
        self._points = BrushPoints(size=5, pen=None)
        self._chosen = BrushPoints(size=11)
        self.add_layers({self._density: 0, self._points: 1, self._chosen: 2})
        self.set_colors(colors)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self._points.setBrush(pg.mkBrush(colors.points))
        self.box.set_color(colors.text)
        self.reader.set_colors(colors)
        style_axes(self.plot, colors, bottom=self._labels[0], left=self._labels[1])

    def draw(self, x: NDArray[np.float64], y: NDArray[np.float64], labels: tuple[str, str]) -> None:
        """Show two numbers of each object, (N,) each; those with NaN are left out."""
        self._x, self._y, self._labels = x, y, labels
        good = np.isfinite(x) & np.isfinite(y)
        dense = int(good.sum()) > DENSE_POINTS
        self._density.setVisible(dense)
        self._points.setVisible(not dense)
        limits = [_choose_range(values[good], dense) for values in (x, y)]
        if dense:
            self._density.count(x[good], y[good], limits, bins=120)
        else:
            self._points.setData(x[good], y[good])
        self.box.set_points(x[good], y[good], np.flatnonzero(good))
        self.plot.setRange(xRange=limits[0], yRange=limits[1], padding=0)
        style_axes(self.plot, self._colors, bottom=labels[0], left=labels[1])

    def mark(self, rows: Sequence[int]) -> None:
        """Let objects stand out, in the colours in which the other plots show them."""
        known = [row for row in rows if np.isfinite(self._x[row]) and np.isfinite(self._y[row])]
        place = {row: k for k, row in enumerate(rows)}
        few = len(rows) <= COLORED_POINTS
        colors = [choose_color(place[row]) if few else COLORS[0] for row in known]
        self._chosen.setSize(11 if few else 6)
        pen, brushes = get_pen(self._colors.text), [get_brush(self._colors.shade(color)) for color in colors]
        self._chosen.setData(x=self._x[known], y=self._y[known], brush=brushes, pen=[pen] * len(known))

    def release(self) -> None:
        """Empty the scene before Python ends."""
        self.plot.clear()


def _choose_range(values: NDArray[np.float64], dense: bool) -> tuple[float, float]:
    low, high = robust_limits(values, *((0.1, 99.9) if dense else (0.0, 100.0)))
    room = 0.05 * (high - low)
    return low - room, high + room
