"""The plots of the selected bin, in pyqtgraph: made once, then only their data change.

pyqtgraph rather than matplotlib, because a click must be painted within 60 ms; figures for paper and export are drawn
by `napari_sfh.figures.pages` from the same `BinView`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import qtpy
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QPainterPath
from qtpy.QtWidgets import QApplication, QGraphicsPathItem, QMenu

from napari_sfh._qt.widgets.theme import POINTS, Palette
from napari_sfh.analysis.bin_view import (
    COLORS,
    DRAWN_EDGES_GYR,
    LINES_AA,
    MH_EDGES,
    SFH_KINDS,
    BinView,
    CredibleBand,
    format_flux_label,
)
from napari_sfh.instruments.instrument import Instrument

# Where several bindings are installed, pyqtgraph must take the one that napari uses.
os.environ.setdefault("PYQTGRAPH_QT_LIB", qtpy.API_NAME)
import pyqtgraph as pg

__all__ = [
    "BinPlots",
    "Ribbon",
    "choose_flux_range",
    "describe_flux",
    "histogram_corners",
    "make_bare_plot",
    "pg",
    "style_axes",
]

LG_EDGES = np.log10(DRAWN_EDGES_GYR)
AGE_TICKS = [(-2.0, "0.01"), (-1.0, "0.1"), (0.0, "1"), (1.0, "10")]
AGE_MINOR = [(np.log10(k * 10.0**p), "") for p in (-3, -2, -1, 0) for k in range(2, 10)]


@dataclass(frozen=True)
class TimeAxis:
    """How lookback time is drawn. ``edges`` (17,) are those of the age bins on the axis, ``ticks`` pyqtgraph's."""

    name: str
    label: str
    edges: NDArray[np.float64]
    ticks: list[list[tuple[float, str]]] | None
    place: Callable[[float], float]  # of a time in Gyr


_LG_YR_TICKS = [[(float(k - 9), str(k)) for k in (7, 8, 9, 10)], [(k - 9.5, "") for k in (8, 9, 10)]]
#: The axes of time, by the key that a workspace keeps.
TIME_AXES: dict[str, TimeAxis] = {
    "log_gyr": TimeAxis(
        "log, Gyr", "lookback time (Gyr)", LG_EDGES, [AGE_TICKS, AGE_MINOR], lambda gyr: float(np.log10(gyr))
    ),
    "linear_gyr": TimeAxis("linear, Gyr", "lookback time (Gyr)", DRAWN_EDGES_GYR, None, float),
    "log_yr": TimeAxis("log yr", "log lookback time (yr)", LG_EDGES, _LG_YR_TICKS, lambda gyr: float(np.log10(gyr))),
}


class PanelViewBox(pg.ViewBox):
    """A view that zooms in one axis, with a menu of its own and a way back.

    Parameters
    ----------
    fill_menu, on_double_click : callables
        Bound methods of the plots, given this box (and the menu to fill); they are not kept alive.
    """

    def __init__(
        self, fill_menu: Callable[[PanelViewBox, QMenu], None], on_double_click: Callable[[PanelViewBox], None]
    ) -> None:
        super().__init__(enableMenu=False)
        self._fill_menu, self._on_double_click = weakref.WeakMethod(fill_menu), weakref.WeakMethod(on_double_click)
        self.zoomed = False
        self.menu_shown: QMenu | None = None
        self.sigRangeChangedManually.connect(self._mark_zoomed)

    def _mark_zoomed(self, *_: object) -> None:
        self.zoomed = True

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Undo a zoom, or let the panel fill the dock."""
        act = self._on_double_click()
        if act is not None and event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            # Not inside the event: the panels are taken out of the scene.
            QTimer.singleShot(0, partial(act, self))

    def mouseClickEvent(self, event: Any) -> None:
        """The right button opens the menu."""
        fill = self._fill_menu()
        if fill is None or event.button() != Qt.MouseButton.RightButton:
            return
        event.accept()
        self.menu_shown = QMenu()
        fill(self, self.menu_shown)
        self.menu_shown.popup(event.screenPos().toPoint())


def _add_action(menu: QMenu, text: str, act: Callable[[], object]) -> None:
    action: Any = menu.addAction(text)
    action.triggered.connect(lambda *_: act())


class Ribbon(QGraphicsPathItem):
    """A filled region without an outline: a 16-84 % band, or masked ranges."""

    def __init__(self, alpha: int = 60) -> None:
        super().__init__()
        self._alpha = alpha
        self.setPen(pg.mkPen(None))
        self.setZValue(-10)

    def set_color(self, color: str) -> None:
        """Fill colour, made translucent."""
        brush = pg.mkColor(color)
        brush.setAlpha(self._alpha)
        self.setBrush(pg.mkBrush(brush))

    def between(self, x: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]) -> None:
        """Fill between two curves; nothing where either is not finite."""
        good = np.isfinite(low) & np.isfinite(high)
        if not good.any():
            self.setPath(QPainterPath())
            return
        x, low, high = x[good], low[good], high[good]
        outline_x = np.concatenate([x, x[::-1], x[:1]])
        outline_y = np.concatenate([low, high[::-1], low[:1]])
        self.setPath(pg.arrayToQPath(outline_x, outline_y))

    def spans(self, ranges: Sequence[tuple[float, float]], low: float, high: float) -> None:
        """Fill full-height rectangles over ranges of x."""
        path = QPainterPath()
        for a, b in ranges:
            path.addRect(a, low, b - a, high - low)
        self.setPath(path)


def make_bare_plot(layout: Any, row: int = 0, column: int = 0, view_box: Any = None) -> pg.PlotItem:
    """A plot without buttons, menu and SI prefixes in a layout (or a widget that is one); None: in none yet."""
    plot = pg.PlotItem(viewBox=view_box) if layout is None else layout.addPlot(row=row, col=column)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.getAxis("left").setWidth(50)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)
    plot.setDefaultPadding(0.0)
    return plot


def style_axes(
    plot: pg.PlotItem, colors: Palette, sides: Sequence[str] = ("left", "bottom"), points: int = POINTS, **labels: str
) -> None:
    """Colours of the theme and small digits at some sides of a plot, and labels by side."""
    small = plot.font()
    small.setPointSizeF(points)
    for side in sides:
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(colors.faint))
        axis.setTextPen(pg.mkPen(colors.text))
        axis.setTickFont(small)
        if side in labels:
            plot.setLabel(side, labels[side], **make_label_style(colors))


def make_label_style(colors: Palette) -> dict[str, str]:
    """How the label of an axis is written."""
    return {"font-size": f"{POINTS}pt", "color": colors.text}


def histogram_corners(edges: NDArray[np.floating], values: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corner points (2n,) of a histogram with ``edges`` (n+1,) and ``values`` (n,)."""
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)


class _Curves:
    """One curve and one band for each bin that can be shown at once, in one plot."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self.curves = [pg.PlotCurveItem(connect="finite") for _ in COLORS]
        self.ribbons = [Ribbon(70 if i == 0 else 25) for i, _ in enumerate(COLORS)]
        for color, curve, ribbon in zip(COLORS, self.curves, self.ribbons):
            curve.setPen(pg.mkPen(color, width=2))
            ribbon.set_color(color)
            plot.addItem(ribbon, ignoreBounds=True)
            plot.addItem(curve)

    def draw(self, x: NDArray[np.floating], bands: Sequence[CredibleBand], histogram: bool) -> None:
        """Show one band per bin; further curves are emptied."""
        for i, (curve, ribbon) in enumerate(zip(self.curves, self.ribbons)):
            shown = i < len(bands)
            curve.setVisible(shown)
            ribbon.setVisible(shown)
            if not shown:
                continue
            band = bands[i]
            if histogram:
                xs, value = histogram_corners(x, band.value)
                low, high = histogram_corners(x, band.low)[1], histogram_corners(x, band.high)[1]
            else:
                xs, value, low, high = x, band.value, band.low, band.high
            curve.setData(xs, value)
            ribbon.between(xs, low, high)


#: Panels: name to its plots, and each plot's place: row, column, rows, columns.
PANELS: dict[str, tuple[str, ...]] = {
    "sfh": ("sfh",),
    "cumulative": ("cumulative",),
    "mh": ("mh",),
    "spectrum": ("spectrum", "residual"),
    "sed": ("sed",),
}
PLACES = {
    "sfh": (0, 0, 8, 1),
    "cumulative": (0, 1, 4, 1),
    "mh": (4, 1, 4, 1),
    "spectrum": (0, 2, 5, 1),
    "residual": (5, 2, 3, 1),
    "sed": (0, 3, 8, 1),
}
#: Relative widths of the columns: the history is the largest plot.
STRETCH = (11, 7, 12, 4)


class BinPlots(pg.GraphicsLayoutWidget):
    """SFH, cumulative mass, metallicity, spectrum with residual, and the bands of the shown bins.

    The wheel zooms the axis of time or wavelength only. A double click undoes a zoom; without one it lets a panel fill
    the whole dock, and brings the others back. The right button opens a menu.
    """

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self.kind = "mass"
        self.metallicity = "age"
        self.time = TIME_AXES["log_gyr"]
        self.enlarged = ""
        self.panels = tuple(PANELS)
        self._views: list[BinView] = []
        self._instrument: Instrument | None = None
        self.ci.setContentsMargins(2, 2, 2, 2)
        self.ci.setSpacing(4)
        self._boxes = {name: PanelViewBox(self._fill_menu, self._toggle_zoom) for name in PLACES}
        self._plots = {name: make_bare_plot(None, view_box=box) for name, box in self._boxes.items()}
        self.sfh, self.cumulative, self.mh = (self._plots[name] for name in ("sfh", "cumulative", "mh"))
        self.spectrum, self.residual, self.sed = (self._plots[name] for name in ("spectrum", "residual", "sed"))
        self._place_panels()
        self._curves = {name: _Curves(getattr(self, name)) for name in ("sfh", "cumulative", "mh")}
        self._make_times()
        self._make_spectrum()
        self._make_sed()
        self._set_time_ranges()
        self.set_colors(colors)

    def _place_panels(self) -> None:
        """The panels in their places, or the enlarged one alone."""
        used = [self.enlarged] if self.enlarged else list(self.panels)
        shown = [name for panel in used for name in PANELS[panel]]
        for name, plot in self._plots.items():
            if plot in self.ci.items:
                self.ci.removeItem(plot)
            plot.setVisible(name in shown)
        used_columns = {PLACES[name][1] for name in shown}
        for column, stretch in enumerate(STRETCH):
            self.ci.layout.setColumnStretchFactor(column, stretch if column in used_columns else 0)
        for name in shown:
            row, column, rows, columns = PLACES[name]
            self.ci.addItem(self._plots[name], row, column, rows, columns)
        self.cumulative.getAxis("bottom").setStyle(showValues=bool(self.enlarged))
        for row in range(8):
            self.ci.layout.setRowStretchFactor(row, 1)

    def choose_panels(self, names: Sequence[str]) -> None:
        """Have these panels only (keys of `PANELS`): weights may predict no histories, or take no bands."""
        chosen = tuple(name for name in PANELS if name in names)
        if chosen != self.panels:
            self.panels, self.enlarged = chosen, ""
            self._place_panels()

    def enlarge_panel(self, name: str) -> None:
        """Let one panel (a key of `PANELS`) fill the dock; an empty name brings all back."""
        self.enlarged = name if name in PANELS else ""
        self._place_panels()
        self._label()
        self._style_axes()

    def reset_zoom(self) -> None:
        """Show all of every axis again."""
        self._set_time_ranges()
        instrument, self._instrument = self._instrument, None
        if instrument is not None:
            self.set_instrument(instrument)
        for box in self._boxes.values():
            box.zoomed = False
        self.draw(self._views)

    def _panel_of(self, box: PanelViewBox) -> str:
        plot = next(name for name, one in self._boxes.items() if one is box)
        return next(name for name, plots in PANELS.items() if plot in plots)

    def _toggle_zoom(self, box: PanelViewBox) -> None:
        """A double click."""
        if box.zoomed:
            self.reset_zoom()
        else:
            self.enlarge_panel("" if self.enlarged else self._panel_of(box))

    def _fill_menu(self, box: PanelViewBox, menu: QMenu) -> None:
        """The right button's menu of one panel."""
        name = self._panel_of(box)
        _add_action(menu, "Reset the zoom", self.reset_zoom)
        _add_action(
            menu,
            "Show all plots" if self.enlarged else "Show this plot alone",
            partial(self.enlarge_panel, "" if self.enlarged else name),
        )
        _add_action(menu, "Copy the picture", self.copy_picture)
        _add_action(menu, "Copy the numbers", partial(self.copy_numbers, name))

    def copy_picture(self) -> None:
        """Put what is shown on the clipboard."""
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setPixmap(self.grab())

    def copy_numbers(self, name: str) -> None:
        """Put a panel's curves on the clipboard as tab-separated columns."""
        clipboard = QApplication.clipboard()
        if clipboard is not None and self._views:
            clipboard.setText(format_panel_numbers(self._views, name, self.kind))

    def set_time_axis(self, key: str) -> None:
        """Draw histories over the lookback time's logarithm or the time itself (a key of `TIME_AXES`)."""
        self.time = TIME_AXES[key]
        self._set_time_ranges()
        self._label()
        self.draw(self._views)

    def _set_time_ranges(self) -> None:
        edges = self.time.edges
        for plot in (self.sfh, self.cumulative, self.mh):
            by_time = plot is not self.mh or self.metallicity == "age"
            plot.getAxis("bottom").setTicks(self.time.ticks if by_time else None)
            plot.getAxis("bottom").setStyle(hideOverlappingLabels=False)
            low, high = (edges[0], edges[-1]) if by_time else MH_EDGES[[0, -1]]
            plot.setLimits(xMin=low, xMax=high)
            plot.setXRange(low, high, padding=0)
            plot.setMouseEnabled(x=True, y=False)

    def _make_spectrum(self) -> None:
        self._data = pg.PlotCurveItem(connect="finite")
        self._model = pg.PlotCurveItem()
        self._difference = pg.PlotCurveItem(connect="finite")
        self._error = Ribbon(90)
        self._masked = [Ribbon(45), Ribbon(45)]
        self._zero = pg.InfiniteLine(0, angle=0)
        # The data upon the model: a model that fits would hide them.
        for item in (self._masked[0], self._model, self._data):
            self.spectrum.addItem(item, ignoreBounds=True)
        for item in (self._masked[1], self._error, self._zero, self._difference):
            self.residual.addItem(item, ignoreBounds=True)
        self._lines = [pg.InfiniteLine(wave) for _, wave in LINES_AA]
        for line in self._lines:
            self.spectrum.addItem(line, ignoreBounds=True)
        for plot in (self.spectrum, self.residual):
            plot.getAxis("left").setWidth(56)
        self.spectrum.showAxis("top")
        self.spectrum.getAxis("top").setStyle(tickLength=0, tickTextOffset=1, hideOverlappingLabels=False)
        self.spectrum.vb.sigResized.connect(self._name_lines)
        self.residual.setXLink(self.spectrum)
        self.spectrum.getAxis("bottom").setStyle(showValues=False)
        for plot in (self.spectrum, self.residual):
            plot.setMouseEnabled(x=True, y=False)
        self.spectrum.vb.sigXRangeChanged.connect(self._fit_flux)

    def _make_times(self) -> None:
        """Lines at t50 and t90 of the first bin."""
        self._times = {0.5: pg.InfiniteLine(0, angle=90), 0.9: pg.InfiniteLine(0, angle=90)}
        for fraction, line in self._times.items():
            # Left of their lines, at two heights: they never meet, nor leave the plot.
            height = 0.2 if fraction == 0.5 else 0.5
            line.label = pg.InfLineLabel(line, f"t{100 * fraction:.0f}", position=height, anchors=[(1, 0.5), (1, 0.5)])
            self.cumulative.addItem(line, ignoreBounds=True)

    def _make_sed(self) -> None:
        self.cumulative.setToolTip("Share of the mass (or V light) that had formed before; t50, t90: half and 90 %")
        # The top is free: its label would touch the one of the plot above.
        self.cumulative.setYRange(0, 1.12, padding=0)
        self.cumulative.getAxis("left").setTicks([[(0.0, "0"), (0.5, "0.5"), (1.0, "1")]])
        self._sed_x = np.empty(0)
        self._sed_errors = pg.ErrorBarItem(x=self._sed_x, y=self._sed_x, height=self._sed_x, beam=0.0)
        self._sed_data = pg.ScatterPlotItem(size=7, symbol="o")
        self._sed_model = pg.ScatterPlotItem(size=11, symbol="d")
        self._sed_spectrum = pg.PlotCurveItem()
        for item in (self._sed_spectrum, self._sed_errors, self._sed_model, self._sed_data):
            self.sed.addItem(item, ignoreBounds=True)
        self.sed.setMouseEnabled(x=False, y=False)

    def set_instrument(self, instrument: Instrument) -> None:
        """Follow what the network was shown: range of the spectrum, bands, what fluxes are divided by."""
        if instrument is self._instrument or instrument == self._instrument:
            return
        self._instrument = instrument
        tip = describe_flux(instrument)
        wave = instrument.wave_aa
        if wave.size:
            self.spectrum.setXRange(wave[0], wave[-1], padding=0)
        self.spectrum.setToolTip(tip)
        self.sed.setToolTip(f"{tip}; dots: measured, diamonds: the prediction's model")
        self._sed_x = np.log10(instrument.pivot_aa)
        self.sed.getAxis("bottom").setTicks([_band_ticks(instrument)])
        known = self._sed_x[np.isfinite(self._sed_x)]
        self.sed.getAxis("bottom").setStyle(hideOverlappingLabels=known.size > 12)
        if known.size:
            room = 0.06 if known.size <= MAX_NAMED_BANDS else 0.04 * float(np.ptp(known))
            self.sed.setXRange(known.min() - room, known.max() + room, padding=0)
        self._name_lines()
        self._label()

    def _label(self) -> None:
        label = format_flux_label(self._instrument, html=True) if self._instrument else ""
        for plot, side, text in (
            (self.sfh, "left", SFH_KINDS[self.kind][1]),
            (self.sfh, "bottom", self.time.label),
            (self.cumulative, "left", "formed"),
            (self.cumulative, "bottom", self.time.label if self.enlarged else ""),
            (self.mh, "left", "[M/H] (dex)" if self.metallicity == "age" else "share"),
            (self.mh, "bottom", self.time.label if self.metallicity == "age" else "[M/H] (dex)"),
            (self.spectrum, "left", label),
            (self.residual, "left", "residual"),
            (self.residual, "bottom", "rest wavelength (Å)"),
            (self.sed, "left", label),
            (self.sed, "bottom", "band" if self._sed_x.size <= MAX_NAMED_BANDS else "wavelength (Å)"),
        ):
            plot.setLabel(side, text, **make_label_style(self._colors))

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self._label()
        self._style_axes()
        for line in self._times.values():
            line.setPen(pg.mkPen(colors.text, style=Qt.PenStyle.DashLine))
            line.label.setColor(colors.text)
        self._data.setPen(pg.mkPen(colors.data, width=1))
        self._model.setPen(pg.mkPen(colors.model, width=3))
        self._difference.setPen(pg.mkPen(colors.residual, width=1))
        self._zero.setPen(pg.mkPen(colors.faint, style=Qt.PenStyle.DashLine))
        self._error.set_color(colors.faint)
        for ribbon in self._masked:
            ribbon.set_color(colors.faint)
        for line in self._lines:
            line.setPen(pg.mkPen(colors.faint, style=Qt.PenStyle.DotLine))
        self._sed_errors.setData(pen=pg.mkPen(colors.data))
        self._sed_data.setBrush(pg.mkBrush(colors.data))
        self._sed_data.setPen(pg.mkPen(colors.data))
        self._sed_model.setBrush(pg.mkBrush(None))
        self._sed_model.setPen(pg.mkPen(colors.model, width=2))
        self._sed_spectrum.setPen(pg.mkPen(colors.model, width=1))

    def _style_axes(self) -> None:
        """Small digits; larger ones where a panel has the dock to itself."""
        for plot in self._plots.values():
            style_axes(plot, self._colors, ("left", "bottom", "top"), points=POINTS + (3 if self.enlarged else 0))

    def _name_lines(self) -> None:
        """Name as many lines as have room (8 pixels a letter), the most important first."""
        grid = self._instrument.wave_aa if self._instrument else np.empty(0)
        if not grid.size:
            return
        pixel_aa = (grid[-1] - grid[0]) / max(self.spectrum.vb.width(), 1.0)
        named: list[tuple[float, str]] = []
        for name, wave in LINES_AA:
            if grid[0] < wave < grid[-1] and all(
                abs(wave - other) > (4 * len(name + beside) + 3) * pixel_aa for other, beside in named
            ):
                named.append((wave, name))
        self.spectrum.getAxis("top").setTicks([named])

    def set_kind(self, kind: str) -> None:
        """Draw the SFH as ``mass``, ``light`` or ``sfr``."""
        self.kind = kind
        self._label()
        self.draw(self._views)

    def set_metallicity(self, metallicity: str) -> None:
        """Draw [M/H] of each age bin (``age``), or the mass' or light's ``distribution`` over [M/H]."""
        self.metallicity = metallicity
        self._set_time_ranges()
        self._label()
        self.draw(self._views)

    def draw(self, views: Sequence[BinView]) -> None:
        """Show bins: the SFHs of all of them, spectrum and bands of the first."""
        self._views = list(views)
        if views:
            self.set_instrument(views[0].instrument)
        self._draw_histories([view for view in views if view.has_history])
        if views:
            self._draw_spectrum(views[0])
            self._draw_sed(views[0])
        else:
            self._clear_first()
        # Else the first painting finds the new ranges, and asks for a second one.
        self.scene().prepareForPaint()

    def _draw_histories(self, views: Sequence[BinView]) -> None:
        histories = [v.sfh(self.kind) for v in views]
        self._curves["sfh"].draw(self.time.edges, histories, histogram=True)
        self._curves["cumulative"].draw(
            self.time.edges, [v.cumulative_share(self.kind) for v in views], histogram=False
        )
        self._draw_times(views)
        self._draw_metallicity(views)
        self.sfh.setYRange(0, _top_of_bands(histories), padding=0)

    def _draw_times(self, views: Sequence[BinView]) -> None:
        times = views[0].formed(tuple(self._times), self.kind).value if views else np.full(2, np.nan)
        for line, time in zip(self._times.values(), times):
            line.setVisible(bool(np.isfinite(time)))
            if np.isfinite(time):
                place = self.time.place(max(time, DRAWN_EDGES_GYR[0]))
                line.setValue(place)
                first, last = self.time.edges[[0, -1]]
                side = 1 if place - first > 0.3 * (last - first) else 0
                line.label.anchors = [(side, 0.5), (side, 0.5)]
                line.label.updatePosition()

    def _draw_metallicity(self, views: Sequence[BinView]) -> None:
        if self.metallicity == "age":
            self._curves["mh"].draw(self.time.edges, [v.mh for v in views], histogram=True)
            low, high = _range_of_bands([v.mh for v in views])
        else:
            shares = [v.metallicity_distribution(self.kind) for v in views]
            nothing = np.full(MH_EDGES.size - 1, np.nan)
            self._curves["mh"].draw(MH_EDGES, [CredibleBand(s, nothing, nothing) for s in shares], histogram=True)
            low, high = 0.0, 1.08 * max([float(np.nanmax(s, initial=1e-3)) for s in shares], default=1.0)
        self.mh.setYRange(low, high, padding=0)

    def _draw_spectrum(self, view: BinView) -> None:
        low, high = choose_flux_range(view.flux, view.model)
        self._data.setData(view.wave_aa, view.flux)
        self._model.setData(view.wave_aa, view.model)
        self._fit_flux()
        self._masked[0].spans(view.masked, low - 100 * (high - low), high + 100 * (high - low))
        residual = view.residual
        finite = np.abs(residual[np.isfinite(residual)])
        size = 1.0 if finite.size == 0 else max(float(np.percentile(finite, 95.0)) * 2.5, 1e-6)
        self._difference.setData(view.wave_aa, residual)
        self._error.between(view.wave_aa, -view.error, view.error)
        self._masked[1].spans(view.masked, -100 * size, 100 * size)
        self.residual.setYRange(-size, size, padding=0)

    def _fit_flux(self, *_: object) -> None:
        """The range of flux for the wavelengths in sight: they stay when another bin is shown."""
        if not self._views:
            return
        view, (first, last) = self._views[0], self.spectrum.vb.viewRange()[0]
        seen = (first <= view.wave_aa) & (last >= view.wave_aa)
        if seen.sum() > 1:
            self.spectrum.setYRange(*choose_flux_range(view.flux[seen], view.model[seen]), padding=0)

    def _draw_sed(self, view: BinView) -> None:
        used = np.isfinite(view.phot)
        x, y, error = self._sed_x[used], view.phot[used], view.phot_error[used]
        self._sed_data.setData(x, y)
        self._sed_errors.setData(x=x, y=y, height=2 * error)
        self._sed_model.setData(self._sed_x, view.phot_model)
        wave, continuum = view.continuum()
        self._sed_spectrum.setData(np.log10(wave), continuum)
        values = np.concatenate([y + error, y - error, view.phot_model])
        values = values[np.isfinite(values)]
        top = 1.0 if values.size == 0 else float(values.max())
        bottom = float(values.min(initial=top))
        if len(view.bands) <= MAX_NAMED_BANDS:  # of narrow bands the small differences count
            bottom = min(0.0, bottom)
        self.sed.setYRange(bottom - 0.1 * (top - bottom) if bottom > 0 else bottom, 1.08 * top, padding=0)

    def _clear_first(self) -> None:
        for curve in (self._data, self._model, self._difference, self._sed_spectrum):
            curve.setData([], [])
        for scatter in (self._sed_data, self._sed_model):
            scatter.setData([], [])
        self._sed_errors.setData(x=np.array([]), y=np.array([]), height=np.array([]))
        for ribbon in (*self._masked, self._error):
            ribbon.setPath(QPainterPath())


def describe_flux(instrument: Instrument) -> str:
    """A tip for axes of flux."""
    if instrument.spectrum is None:
        return f"Flux density per Å over the {instrument.norm_text}"
    lo, hi = instrument.spectrum.norm_window_aa
    return f"Flux density per Å over the bin's mean in {lo:.0f}–{hi:.0f} Å"


#: Bands whose names have room below their points.
MAX_NAMED_BANDS = 8


def _band_ticks(instrument: Instrument) -> list[tuple[float, str]]:
    """Names of the bands at log10 of their wavelengths, every other one a line lower; of many, round wavelengths."""
    known = instrument.pivot_aa[np.isfinite(instrument.pivot_aa)]
    if known.size > MAX_NAMED_BANDS:
        step = 500.0 if np.ptp(known) < 4000 else 1000.0
        rounds = np.arange(np.ceil(known.min() / step), known.max() / step + 1) * step
        return [(float(np.log10(wave)), f"{wave:.0f}") for wave in rounds]
    named = [(x, name) for x, name in zip(instrument.pivot_aa, instrument.band_names) if np.isfinite(x)]
    wide = [n[1:-1] if n[0] == "F" and n[-1] in "WMN" and n[1:-1].isdigit() else n for _, n in named]
    return [(float(np.log10(x)), "\n" * (k % 2) + text) for k, ((x, _), text) in enumerate(zip(named, wide))]


def choose_flux_range(flux: NDArray[np.floating], model: NDArray[np.floating]) -> tuple[float, float]:
    """Range of flux that shows the continuum and its absorption; strong emission lines leave at the top.

    A few per cent of the pixels are emission lines, ten times as high as the features that matter; the wheel zooms out.
    """
    seen = np.concatenate([flux[np.isfinite(flux)], model[np.isfinite(model)]])
    if seen.size == 0:
        return 0.0, 1.0
    low, middle, high, highest = np.percentile(seen, [0.2, 50, 95, 100])
    top = min(highest, high + 1.5 * max(high - low, 0.2 * abs(middle)))
    room = 0.06 * (top - low)
    return float(low - room), float(top + room)


def format_panel_numbers(views: Sequence[BinView], name: str, kind: str) -> str:
    """The curves of a panel (a key of `PANELS`) as tab-separated columns with a header line."""
    if name == "spectrum":
        view = views[0]
        columns = {"wavelength_aa": view.wave_aa, "flux": view.flux, "error": view.error, "model": view.model}
    elif name == "sed":
        view = views[0]
        columns = {"pivot_aa": view.instrument.pivot_aa, "flux": view.phot, "error": view.phot_error}
        columns["model"] = view.phot_model
    else:
        edges = DRAWN_EDGES_GYR if name == "cumulative" else DRAWN_EDGES_GYR[:-1]
        columns = {"lookback_gyr_from": edges} if name != "cumulative" else {"lookback_gyr": edges}
        for view in views:
            curves = {"sfh": view.sfh(kind), "cumulative": view.cumulative_share(kind), "mh": view.mh}
            band = curves[name]
            stem = view.name.replace(" ", "")
            columns |= {f"{stem}_{name}": band.value, f"{stem}_{name}_p16": band.low, f"{stem}_{name}_p84": band.high}
    lines = ["\t".join(columns), *("\t".join(f"{value:.6g}" for value in row) for row in zip(*columns.values()))]
    return "\n".join(lines)


def _top_of_bands(bands: Sequence[CredibleBand]) -> float:
    values = [b.high if np.isfinite(b.high).any() else b.value for b in bands]
    tops = [float(np.nanmax(v)) for v in values if np.isfinite(v).any()]
    return 1.08 * max(tops) if tops and max(tops) > 0 else 1.0


def _range_of_bands(bands: Sequence[CredibleBand]) -> tuple[float, float]:
    parts = [p for b in bands for p in (b.value, b.low, b.high)]
    values = np.concatenate(parts) if parts else np.array([])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -1.0, 0.5
    room = 0.08 * max(float(np.ptp(values)), 0.2)
    return float(values.min()) - room, float(values.max()) + room
