"""Parts of the plots in pyqtgraph: a zoom and a menu of their own, bands, curves, axes in the theme."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, QTimer
from qtpy.QtGui import QFont, QFontMetrics, QPainterPath
from qtpy.QtWidgets import QApplication, QGraphicsPathItem, QMenu, QWidget

from napari_sfh._qt.plots.plot_axis import PlotAxis, pg
from napari_sfh._qt.widgets.theme import POINTS, Palette
from napari_sfh.analysis.credible_bands import CredibleBand
from napari_sfh.figures.line_colors import LEAST_CONTRAST, choose_thin_color

#: So many bands of a plot have a line around; of more the first alone: the lines would be a tangle.
EDGED_BANDS = 3
#: Pixels of a tick of an axis and of the room about its number.
_TICK_PX = 8
#: Paths that are kept.
_MAX_PATHS = 200
#: Points in two pixels of which a broad line draws the extremes alone.
_MANY_POINTS = 5

__all__ = [
    "BandCurves",
    "Curve",
    "ErrorBars",
    "PanelViewBox",
    "Points",
    "Ribbon",
    "VerticalLines",
    "add_action",
    "copy_picture",
    "copy_text",
    "get_brush",
    "get_pen",
    "histogram_corners",
    "keep_extremes",
    "make_bare_plot",
    "make_label_style",
    "make_path",
    "make_ribbon_path",
    "measure_axis_width",
    "pg",
    "prepare_range",
    "style_axes",
]


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
        self.menu_shown = make_menu(self.getViewWidget())
        fill(self, self.menu_shown)
        self.menu_shown.popup(event.screenPos().toPoint())


def make_menu(widget: QWidget | None) -> QMenu:
    """A menu in the theme of the window that holds a widget: Qt gives a window's style sheet to its children alone."""
    menu = QMenu()
    window: Any = None if widget is None else widget.window()
    if window is not None:
        menu.setStyleSheet(window.styleSheet())
    return menu


def add_action(menu: QMenu, text: str, act: Callable[[], object]) -> None:
    """Add a line to a menu; ``act`` takes no arguments.

    Parameters
    ----------
    menu : QMenu
    text : str
        The line.
    act : callable
        Called without arguments; what it returns is dropped.
    """
    action: Any = menu.addAction(text)
    action.triggered.connect(lambda *_: act())


def copy_picture(widget: QWidget) -> None:
    """Put what a widget shows on the clipboard."""
    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setPixmap(widget.grab())


def copy_text(text: str) -> None:
    """Put text on the clipboard, if there is some."""
    clipboard = QApplication.clipboard()
    if clipboard is not None and text:
        clipboard.setText(text)


_paths: dict[tuple[str, bytes, bytes], QPainterPath] = {}


def make_path(x: NDArray[np.floating], y: NDArray[np.floating], connect: str = "all") -> QPainterPath:
    """The path through points, which is kept: of a bin that may be clicked, paths are made beforehand.

    Parameters
    ----------
    x, y : array (n,)
    connect : {"all", "finite", "pairs"}
        As pyqtgraph has it.
    """
    key = connect, x.tobytes(), y.tobytes()
    path = _paths.pop(key, None)
    if path is None:
        path = pg.arrayToQPath(x, y, connect=connect)
    _paths[key] = path
    if len(_paths) > _MAX_PATHS:
        del _paths[next(iter(_paths))]
    return path


class PathItem(QGraphicsPathItem):
    """A path whose lines are a pixel wide at every zoom.

    Qt takes their width for one in the unit of the data, and draws the whole outline to find the bounds of that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bounds = QRectF()

    def setPath(self, path: QPainterPath) -> None:
        """Draw something else."""
        super().setPath(path)
        self._bounds = path.controlPointRect()

    def boundingRect(self) -> QRectF:
        """Of the path alone: Qt adds the pixels of the line when it paints."""
        return self._bounds


class Ribbon(PathItem):
    """A filled region: a 16-84 % band, or masked ranges; ``edged`` ones have a line around, seen where it is narrow."""

    def __init__(self, alpha: int = 60, edged: bool = False) -> None:
        super().__init__()
        self._alpha, self._edged = alpha, edged
        self.setPen(get_pen(None))
        self.setZValue(-10)

    def set_color(self, color: str, background: str, edged: bool | None = None) -> None:
        """Fill colour, made translucent, and the line around in as much of it as can be seen on the background."""
        brush = pg.mkColor(color)
        brush.setAlpha(self._alpha)
        self.setBrush(pg.mkBrush(brush))
        edge = choose_thin_color(color, background, LEAST_CONTRAST)
        # Cosmetic: a pixel at every zoom.
        self.setPen(get_pen(edge if (self._edged if edged is None else edged) else None))

    def between(self, x: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]) -> None:
        """Fill between two curves; nothing where either is not finite."""
        self.setPath(make_ribbon_path(x, low, high))

    def spans(self, ranges: Sequence[tuple[float, float]], low: float, high: float) -> None:
        """Fill full-height rectangles over ranges of x."""
        path = QPainterPath()
        for a, b in ranges:
            path.addRect(a, low, b - a, high - low)
        self.setPath(path)


def make_ribbon_path(x: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]) -> QPainterPath:
    """The outline of what lies between two curves, kept as by `make_path`; nothing where one is not finite.

    Parameters
    ----------
    x, low, high : array (n,)
    """
    good = np.isfinite(low) & np.isfinite(high)
    if not good.any():
        return QPainterPath()
    x, low, high = x[good], low[good], high[good]
    return make_path(np.concatenate([x, x[::-1], x[:1]]), np.concatenate([low, high[::-1], low[:1]]))


class ErrorBars(PathItem):
    """Vertical lines through points."""

    def show_errors(self, x: NDArray[np.floating], y: NDArray[np.floating], error: NDArray[np.floating]) -> None:
        """Draw one from ``y - error`` to ``y + error`` at each place, (n,)."""
        self.setPath(self.trace_errors(x, y, error))

    def trace_errors(
        self, x: NDArray[np.floating], y: NDArray[np.floating], error: NDArray[np.floating]
    ) -> QPainterPath:
        """What `show_errors` draws, kept as by `make_path`."""
        return make_path(np.repeat(x, 2), np.stack([y - error, y + error], axis=-1).ravel(), "pairs")


class Points(pg.ScatterPlotItem):
    """Points of a plot whose range follows from elsewhere: they take all of the plot in sight, as a `Curve` does."""

    def boundingRect(self) -> QRectF:
        """What the plot shows; nothing outside of a plot, and without data."""
        box = self.getViewBox()
        return QRectF() if box is None or not len(self.data) else box.viewRect()


@cache
def get_brush(color: str) -> Any:
    """The brush of a colour, always the same one: pyqtgraph draws a symbol anew for each brush, not for each look."""
    return pg.mkBrush(color)


def get_pen(
    color: str | None,
    width: float = 1,
    style: Qt.PenStyle = Qt.PenStyle.SolidLine,
    dashes: tuple[float, ...] | None = None,
) -> Any:
    """The pen of a colour, always the same one, as wide on a fine screen as on another.

    Parameters
    ----------
    color : str or None
        None: it draws nothing.
    width : float
        Pixels, as letters and symbols have them: Qt takes the width of a pen that no zoom changes for dots of a screen,
        of which a fine one has several in a pixel. Of several screens the finest counts.
    style : Qt.PenStyle
    dashes : tuple of float or None
        Lengths of dashes and gaps, in widths of the line; None: those of the style.
    """
    application: Any = QApplication.instance()
    return _make_pen(color, width * application.devicePixelRatio(), style, dashes)


@cache
def _make_pen(color: str | None, dots: float, style: Qt.PenStyle, dashes: tuple[float, ...] | None) -> Any:
    return pg.mkPen(color, width=dots, style=None if color is None else style, dash=dashes)


def make_bare_plot(layout: Any, row: int = 0, column: int = 0, view_box: Any = None) -> pg.PlotItem:
    """A plot without buttons, menu and SI prefixes in a layout (or a widget that is one); None: in none yet.

    Parameters
    ----------
    layout : GraphicsLayout, GraphicsLayoutWidget or None
        Where the plot goes; None: nowhere yet.
    row, column : int
        Place in the layout.
    view_box : ViewBox or None
        Of the plot; pyqtgraph's own without.
    """
    axes = {side: PlotAxis(side) for side in ("left", "bottom")}
    # Menus that are made and dropped take a third of the time of a plot.
    plot = (
        pg.PlotItem(viewBox=view_box, enableMenu=False, axisItems=axes)
        if layout is None
        else layout.addPlot(row=row, col=column, enableMenu=False, axisItems=axes)
    )
    plot.hideButtons()
    plot.setMenuEnabled(False)
    for side in ("top", "right"):  # hidden ones, too, write their label anew with each change of the range
        plot.getAxis(side).enableAutoSIPrefix(False)
    plot.setDefaultPadding(0.0)
    return plot


def prepare_range(plot: pg.PlotItem, low: float, high: float) -> None:
    """Prepare the left axis of a plot for a range that may be the next.

    Parameters
    ----------
    plot : pyqtgraph.PlotItem
        Of `make_bare_plot`.
    low, high : float
    """
    if plot.isVisible():
        plot.getAxis("left").foresee(low, high)


def style_axes(
    plot: pg.PlotItem,
    colors: Palette,
    sides: Sequence[str] = ("left", "bottom"),
    points: int = POINTS,
    widest: str = "−0.05",
    **labels: str,
) -> None:
    """Colours of the theme and small digits at some sides of a plot, and labels by side; room for a number at the left.

    Parameters
    ----------
    plot : pyqtgraph.PlotItem
    colors : Palette
    sides : sequence of str
    points : int
        Size of the digits.
    widest : str
        As wide as the numbers of the left axis get.
    """
    small = plot.font()
    small.setPointSizeF(points)
    plot.getAxis("left").setWidth(measure_axis_width(small, widest))
    for side in sides:
        axis = plot.getAxis(side)
        axis.setPen(get_pen(colors.faint))
        axis.setTextPen(get_pen(colors.text))
        axis.setTickFont(small)
        if side in labels:
            plot.setLabel(side, labels[side], **make_label_style(colors))


def measure_axis_width(font: QFont, widest: str) -> int:
    """Pixels that an axis on the left takes: its name upright, beside its widest number, which it must not touch.

    Parameters
    ----------
    font : QFont
        Of the numbers.
    widest : str
        The widest number.
    """
    metrics = QFontMetrics(font)
    name = QFont(font)
    name.setPointSizeF(POINTS)
    return QFontMetrics(name).height() + metrics.horizontalAdvance(widest) + _TICK_PX


def make_label_style(colors: Palette) -> dict[str, str]:
    """How the label of an axis is written."""
    return {"font-size": f"{POINTS}pt", "color": colors.text}


def histogram_corners(edges: NDArray[np.floating], values: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corner points of a histogram.

    Parameters
    ----------
    edges : array (n + 1,)
    values : array (n,)

    Returns
    -------
    x, y : array (2n,)
    """
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)


def keep_extremes(
    x: NDArray[np.floating], y: NDArray[np.floating], step: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The least and the largest of every ``step`` points of a curve, in their order, and its two ends.

    Parameters
    ----------
    x, y : array (N,)
        Finite.
    step : int
        Of 1 and 2, all points stay.

    Returns
    -------
    x, y : array (M,)

    Examples
    --------
    >>> x, y = keep_extremes(np.arange(8.0), np.array([0.0, 3.0, 1.0, 2.0, 9.0, 5.0, 7.0, 4.0]), 4)
    >>> x.tolist(), y.tolist()
    ([0.0, 1.0, 4.0, 7.0], [0.0, 3.0, 9.0, 4.0])
    """
    whole = len(x) // step * step
    if step < 3 or not whole:
        return x, y
    parts = y[:whole].reshape(-1, step)
    kept = np.stack([parts.argmin(axis=1), parts.argmax(axis=1)], axis=1)
    kept = np.sort(kept + np.arange(0, whole, step)[:, None], axis=1).ravel()
    kept = np.concatenate([[0], kept, np.arange(whole, len(x)), [len(x) - 1]])
    kept = kept[np.diff(kept, prepend=-1) > 0]
    return x[kept], y[kept]


class Curve(pg.PlotCurveItem):
    """A line of a plot whose range follows from elsewhere: it takes all of the plot in sight.

    pyqtgraph finds the bounds of the data and of the pen anew with each range, which takes longer than the drawing.
    """

    path: QPainterPath | None  # what it draws
    _boundingRect: QRectF | None
    _step = 1  # points of which the least and the largest are drawn

    def viewTransformChanged(self) -> None:
        """Draw more or fewer of the points of a broad line."""
        super().viewTransformChanged()
        if self._step != self._choose_step():
            self.path = None

    def _choose_step(self) -> int:
        """How many points fall into two pixels, where that are many and the line is broad."""
        box, x, pen = self.getViewBox(), self.xData, self.opts["pen"]
        if box is None or x is None or len(x) < 2 or pen.widthF() <= 2 or not x[-1] > x[0]:
            return 1
        first, last = box.viewRange()[0]
        step = int(2 * len(x) * (last - first) / ((x[-1] - x[0]) * max(box.width(), 1.0)))
        return step if step >= _MANY_POINTS else 1

    def generatePath(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> QPainterPath:
        """Of a broad line the extremes of two pixels each: for all points Qt works out how pieces join."""
        self._step = self._choose_step()
        return make_path(*keep_extremes(x, y, self._step), self.opts["connect"])

    def boundingRect(self) -> QRectF:
        """What the plot shows; nothing outside of a plot, and without data."""
        if self._boundingRect is None:
            box = self.getViewBox()
            empty = box is None or self.xData is None or not len(self.xData)
            self._boundingRect = QRectF() if empty else box.viewRect()
        return self._boundingRect


class VerticalLines(PathItem):
    """Lines from the bottom to the top of a plot, in one drawing.

    Parameters
    ----------
    plot : pyqtgraph.PlotItem
        They are drawn in it.
    places : sequence of float
        On its horizontal axis.
    """

    def __init__(self, plot: pg.PlotItem, places: Sequence[float]) -> None:
        super().__init__()
        self._places = tuple(places)
        plot.addItem(self, ignoreBounds=True)
        plot.vb.sigYRangeChanged.connect(self._reach)
        self._reach(plot.vb, plot.vb.viewRange()[1])

    def _reach(self, _: object, heights: Sequence[float]) -> None:
        path = QPainterPath()
        for place in self._places:
            path.moveTo(place, heights[0])
            path.lineTo(place, heights[1])
        self.setPath(path)


class BandCurves:
    """One curve and one band for each bin that is shown, in one plot; they are made when they are needed first."""

    def __init__(self, plot: pg.PlotItem) -> None:
        self._plot = plot
        self.curves: list[Curve] = []
        self.ribbons: list[Ribbon] = []
        self._add_curve()

    def _add_curve(self) -> None:
        place = len(self.curves)
        curve, ribbon = Curve(connect="finite"), Ribbon(70 if place == 0 else 25)
        self._plot.addItem(ribbon, ignoreBounds=True)
        self._plot.addItem(curve)
        self.curves.append(curve)
        self.ribbons.append(ribbon)

    def draw(
        self,
        x: NDArray[np.floating],
        bands: Sequence[CredibleBand],
        colors: Sequence[str],
        histogram: bool,
        background: str,
    ) -> None:
        """Show one band per bin, in its colour on a background; further curves are hidden."""
        while len(self.curves) < len(bands):
            self._add_curve()
        for i, (curve, ribbon) in enumerate(zip(self.curves, self.ribbons)):
            shown = i < len(bands)
            curve.setVisible(shown)
            ribbon.setVisible(shown)
            if not shown:
                continue
            curve.setPen(get_pen(colors[i], 2))
            ribbon.set_color(colors[i], background, i == 0 or len(bands) <= EDGED_BANDS)
            xs, value, low, high = _list_corners(x, bands[i], histogram)
            curve.setData(xs, value)
            ribbon.between(xs, low, high)

    def foresee(self, x: NDArray[np.floating], bands: Sequence[CredibleBand], histogram: bool) -> None:
        """Prepare what `draw` draws."""
        for band in bands:
            xs, value, low, high = _list_corners(x, band, histogram)
            self.curves[0].generatePath(xs, value)
            make_ribbon_path(xs, low, high)


def _list_corners(
    x: NDArray[np.floating], band: CredibleBand, histogram: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Places along the axis, and the value, the lower and the upper end of a band there."""
    if not histogram:
        return x, band.value, band.low, band.high
    xs, value = histogram_corners(x, band.value)
    return xs, value, histogram_corners(x, band.low)[1], histogram_corners(x, band.high)[1]
