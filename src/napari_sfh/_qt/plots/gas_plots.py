"""The gas beside the young stars in pyqtgraph: points select bins, as on the exported page of the same diagrams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_sfh._qt.plots.brush import BRUSH_TIP, BrushBox, BrushLink, BrushPoints, MarkedPoints
from napari_sfh._qt.plots.crosshair import PlotReader, format_place
from napari_sfh._qt.plots.plot_items import get_brush, get_pen, make_bare_plot, pg, style_axes
from napari_sfh._qt.session import BinMark, Session
from napari_sfh._qt.widgets.theme import POINTS, Palette
from napari_sfh.analysis.comparison.map_comparison import ERROR_BARS
from napari_sfh.analysis.drawing.map_limits import robust_limits
from napari_sfh.analysis.gas.gas_and_stars import (
    EBV_STARS_OVER_GAS,
    SOLAR_OXYGEN,
    YOUNG_GYR,
    GasDiagrams,
    format_trend,
    trace_bpt_lines,
)
from napari_sfh.analysis.gas.line_maps import BPT_CLASSES, BPT_COLORS

#: Panels and what stands along their axes.
GAS_PANELS = {
    "metals": (f"[O/H] of the gas (O3N2, solar {SOLAR_OXYGEN})", f"[M/H] of stars < {1000 * YOUNG_GYR:.0f} Myr"),
    "dust": ("E(B−V) of the gas (mag)", "E(B−V) of the stars (mag)"),
    "bpt": ("log [N II] 6583 / Hα", "log [O III] 5007 / Hβ"),
}


class GasPlots(pg.GraphicsLayoutWidget):
    """Oxygen against the young stars' [M/H], dust of gas and stars, the BPT diagram.

    Attributes
    ----------
    boxes : dict
        Name of a panel (`GAS_PANELS`) to the view whose points select.
    """

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self.ci.setContentsMargins(2, 2, 2, 2)
        self.boxes = {name: BrushBox() for name in GAS_PANELS}
        self.plots = {name: make_bare_plot(None, view_box=box) for name, box in self.boxes.items()}
        self._links: list[BrushLink] = []
        self._values: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._errors = {name: pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0)) for name in ("metals", "dust")}
        self._points = {name: BrushPoints(size=5, pen=None) for name in GAS_PANELS}
        self.marked = {name: MarkedPoints() for name in GAS_PANELS}
        for column, (name, plot) in enumerate(self.plots.items()):
            self.ci.addItem(plot, 0, column)
            plot.setToolTip(BRUSH_TIP)
            items = [self._errors.get(name), self._points[name], self.marked[name]]
            for z, item in enumerate(item for item in items if item is not None):
                item.setZValue(z)
                plot.addItem(item, ignoreBounds=True)
        self._lines = self._draw_lines()
        self.reader = PlotReader(self, dict.fromkeys(self.plots.values(), format_place))
        self.set_colors(colors)

    def _draw_lines(self) -> list[Any]:
        """Equality, the slope of the dust, the dividing lines of the BPT diagram."""
        angle = float(np.degrees(np.arctan(EBV_STARS_OVER_GAS)))
        lines = [
            ("metals", pg.InfiniteLine((0, 0), angle=45)),
            ("dust", pg.InfiniteLine((0, 0), angle=45)),
            ("dust", pg.InfiniteLine((0, 0), angle=angle)),
            *(("bpt", pg.PlotCurveItem(*curve)) for curve in trace_bpt_lines()),
        ]
        for name, line in lines:
            line.setZValue(-5)
            line.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
            self.plots[name].addItem(line, ignoreBounds=True)
        return [line for _, line in lines]

    def link(self, session: Session, attempt: Callable[[Callable[[], object]], object]) -> None:
        """Let points select bins of a session."""
        self._links = [BrushLink(box, session, attempt) for box in self.boxes.values()]

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self.reader.set_colors(colors)
        styles = ("DashLine", "DashLine", "SolidLine", "DashLine", "SolidLine")
        for line, style in zip(self._lines, styles):
            line.setPen(get_pen(colors.faint, 1.5, style=getattr(Qt.PenStyle, style)))
        for errors in self._errors.values():
            errors.setData(pen=get_pen(colors.others))
        for name, plot in self.plots.items():
            self.boxes[name].set_color(colors.text)
            bottom, left = GAS_PANELS[name]
            style_axes(plot, colors, bottom=bottom, left=left)
        self._title()

    def draw(self, drawn: GasDiagrams) -> None:
        """Show all bins."""
        young = drawn.young
        self._values = {
            "metals": (drawn.oxygen, young.mh),
            "dust": (drawn.ebv_gas, drawn.ebv_stars),
            "bpt": (drawn.lg_n2, drawn.lg_o3),
        }
        self._classes = drawn.bpt
        errors = {
            "metals": (drawn.oxygen_error, young.mh - young.low, young.high - young.mh),
            "dust": (drawn.ebv_gas_error, drawn.ebv_stars_error, drawn.ebv_stars_error),
        }
        for name, (x, y) in self._values.items():
            good = np.isfinite(x) & np.isfinite(y)
            self.boxes[name].set_points(x[good], y[good], np.flatnonzero(good))
            brush = pg.mkBrush(self._colors.points)
            if name == "bpt":
                brushes = [get_brush(self._colors.make_readable(color)) for color in BPT_COLORS]
                self._points[name].setData(x[good], y[good], brush=[brushes[max(k - 1, 0)] for k in drawn.bpt[good]])
            else:
                self._points[name].setData(x[good], y[good], brush=brush)
                self._draw_errors(name, x[good], y[good], [np.nan_to_num(e[good]).clip(0) for e in errors[name]])
                self._choose_range(name, x[good], y[good])
        self.plots["bpt"].setRange(xRange=(-2, 0.8), yRange=(-1.7, 1.5), padding=0)
        self._title()

    def _draw_errors(self, name: str, x: NDArray[Any], y: NDArray[Any], sides: list[NDArray[Any]]) -> None:
        few = 0 < x.size < ERROR_BARS
        self._errors[name].setVisible(few)
        if few:
            across, below, above = sides
            self._errors[name].setData(x=x, y=y, left=across, right=across, bottom=below, top=above, beam=0.0)

    def _choose_range(self, name: str, x: NDArray[Any], y: NDArray[Any]) -> None:
        for values, act in ((x, self.plots[name].setXRange), (y, self.plots[name].setYRange)):
            low, high = robust_limits(values, 0.5, 99.5)
            act(low - 0.15 * (high - low), high + 0.15 * (high - low), padding=0)

    def _title(self) -> None:
        """Trends, and how many bins are of which gas."""
        for name, (x, y) in self._values.items():
            if name == "bpt":
                counts = [int((self._classes == k).sum()) for k in range(1, len(BPT_CLASSES))]
                words = (
                    f'<span style="color:{color}">■</span> {text} {n}'
                    for color, text, n in zip(BPT_COLORS, BPT_CLASSES[1:], counts)
                    if n  # a long title makes its panel wider than the window
                )
                text = " · ".join(words)
            else:
                text = format_trend(x, y)
            self.plots[name].setTitle(text, size=f"{POINTS}pt", color=self._colors.text)

    def mark(self, marks: Sequence[BinMark]) -> None:
        """Let bins stand out, in the colours in which the map and the other plots show them."""
        for name, (x, y) in self._values.items():
            self.marked[name].mark(marks, x, y, self._colors)

    def release(self) -> None:
        """Empty the scene before Python ends."""
        for plot in self.plots.values():
            plot.clear()
        self.ci.clear()
