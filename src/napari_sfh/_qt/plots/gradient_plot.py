"""A quantity against the radius in the disc, in pyqtgraph: bins, running median, fitted line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sfh._qt.plots.brush import BrushPlot, BrushPoints, MarkedPoints
from napari_sfh._qt.plots.plot_items import Ribbon, get_pen, pg, style_axes
from napari_sfh._qt.session import BinMark
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.gradients import GRADIENT_QUANTITIES, Gradient
from napari_sfh.physics.quantities import QUANTITIES


class GradientPlot(BrushPlot):
    """Bins in and out of the fit, running median with 16-84 %, the line with its error; bins that stand out."""

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self._out = BrushPoints(size=3, pen=None)
        self._in = BrushPoints(size=4, pen=None)
        self._spread, self._error = Ribbon(70, edged=True), Ribbon(110, edged=True)
        self._median, self._line = pg.PlotCurveItem(), pg.PlotCurveItem()
        self.marked = MarkedPoints()
        # The curves above the points, the bands between them.
        self.add_layers({self._out: -21, self._in: -20, self._spread: -10, self._error: -10})
        self.add_layers({self._median: 5, self._line: 6, self.marked: 7})
        self.set_colors(colors)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self._in.setBrush(pg.mkBrush(colors.points))
        self._out.setBrush(pg.mkBrush(colors.others))
        self._spread.set_color(colors.residual, colors.background)
        self._median.setPen(get_pen(colors.residual, 3))
        self._error.set_color(colors.model, colors.background)
        self._line.setPen(get_pen(colors.model, 2))
        self.box.set_color(colors.text)
        self.reader.set_colors(colors)
        style_axes(self.plot, colors)

    def draw(self, made: Gradient) -> None:
        """Show one gradient."""
        data, run = made.profile, made.running
        seen = np.isfinite(data.value) & np.isfinite(data.r)
        self._in.setData(data.r[made.used], data.value[made.used])
        self._out.setData(data.r[seen & ~made.used], data.value[seen & ~made.used])
        self.box.set_points(data.r[seen], data.value[seen], np.flatnonzero(seen))
        self._median.setData(run.r, run.median)
        self._spread.between(run.r, run.low, run.high)
        r = np.linspace(float(data.r[made.used].min()), float(data.r[made.used].max()), 60)
        low, high = made.band(r)
        self._line.setData(r, made.centre + made.slope * r)
        self._error.between(r, low, high)
        bottom, top = np.percentile(data.value[made.used], [0.5, 99.5])
        room = 0.1 * max(float(top - bottom), 0.05)
        self.plot.setRange(
            xRange=(0.0, float(np.max(data.r[seen]))), yRange=(float(bottom) - room, float(top) + room), padding=0.01
        )
        label = QUANTITIES[GRADIENT_QUANTITIES[data.quantity][0]].label
        style_axes(self.plot, self._colors, left=label, bottom="R / Rₑ in the disc's plane")

    def legend(self) -> str:
        """What the colours are, as rich text."""
        colors = self._colors
        parts = (
            (colors.model, "fitted line"),
            (colors.residual, "running median, 16–84 %"),
            (colors.data, "bins fitted"),
            (colors.faint, "others"),
        )
        entries = (f'<span style="color:{color}">■</span> {text}'.replace(" ", "&nbsp;") for color, text in parts)
        return " &nbsp;".join(entries).replace("<span&nbsp;style", "<span style")

    def mark(self, made: Gradient, marks: Sequence[BinMark]) -> None:
        """Let bins stand out, in the colours in which the map and the other plots show them."""
        self.marked.mark(marks, made.profile.r, made.profile.value, self._colors)
