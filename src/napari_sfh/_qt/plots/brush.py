"""Points of a plot that stand for bins: a click selects the nearest, a lasso shows the mean history of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGraphicsPathItem

from napari_sfh._qt.plots.crosshair import PlotReader, format_place
from napari_sfh._qt.plots.plot_items import get_brush, get_pen, make_bare_plot, pg
from napari_sfh._qt.session import PLOT_REGION, BinMark, Session
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.drawing.outlines import mask_points_inside

#: Pixels around a point within which a click takes it.
REACH_PX = 10.0
#: Size of the points of bins that are selected or compared, and of those inside a region.
SHOWN_PX, INSIDE_PX = 11, 6
#: What a plot with points says of it.
BRUSH_TIP = "Click a point to select it (Shift adds); drag a lasso around several; wheel zooms, middle button moves"


class BrushPoints(pg.ScatterPlotItem):
    """Points that leave clicks to the box behind them, which finds the nearest one."""

    def mouseClickEvent(self, event: Any) -> None:
        """Pass the click on."""
        event.ignore()


class MarkedPoints(BrushPoints):
    """The points of the bins that stand out: those inside regions, and larger ones for what is selected or compared."""

    def mark(self, marks: Sequence[BinMark], x: NDArray[np.floating], y: NDArray[np.floating], colors: Palette) -> None:
        """Show marks among points (N,) of all bins, the larger ones with an edge. NaN is left out."""
        known = np.isfinite(x) & np.isfinite(y)
        drawn = [mark for mark in marks if mark.row < known.size and known[mark.row]]
        rows = [mark.row for mark in drawn]
        self.setData(
            x=np.asarray(x)[rows],
            y=np.asarray(y)[rows],
            size=[SHOWN_PX if mark.shown else INSIDE_PX for mark in drawn],
            brush=[get_brush(colors.shade(mark.color)) for mark in drawn],
            pen=[get_pen(colors.text if mark.shown else None) for mark in drawn],
        )


class BrushBox(pg.ViewBox):
    """A view whose points select.

    Attributes
    ----------
    picked : Signal
        Row of the clicked point, and whether it is to be added (Shift).
    lassoed : Signal
        Rows inside a lasso, and whether they are to be added.
    """

    picked = Signal(int, bool)
    lassoed = Signal(object, bool)

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self._points = np.empty((0, 2))
        self._rows = np.empty(0, dtype=np.intp)
        self._corners: list[tuple[float, float]] = []
        self._lasso = QGraphicsPathItem()
        self._lasso.setZValue(1000)
        self.addItem(self._lasso, ignoreBounds=True)

    def set_points(self, x: NDArray[np.floating], y: NDArray[np.floating], rows: NDArray[np.integer]) -> None:
        """The points that can be selected, and the row of each."""
        self._points = np.column_stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)])
        self._rows = np.asarray(rows, dtype=np.intp)

    def set_color(self, color: str) -> None:
        """Of the lasso."""
        self._lasso.setPen(get_pen(color, 1.5, style=Qt.PenStyle.DashLine))

    def find_nearest(self, x: float, y: float) -> int:
        """Row of the point nearest to a place, within `REACH_PX`; -1 if there is none."""
        if not len(self._points):
            return -1
        scale = np.array(self.viewPixelSize(), dtype=float)
        far = np.hypot(*((self._points - [x, y]) / np.where(scale > 0, scale, 1.0)).T)
        far = np.where(np.isfinite(far), far, np.inf)
        best = int(np.argmin(far))
        return int(self._rows[best]) if far[best] <= REACH_PX else -1

    def mouseClickEvent(self, event: Any) -> None:
        """Select the nearest point."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        event.accept()
        place = self.mapToView(event.pos())
        row = self.find_nearest(place.x(), place.y())
        if row >= 0:
            self.picked.emit(row, _has_shift(event))

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Draw a lasso with the left button; other buttons move the plot."""
        if event.button() != Qt.MouseButton.LeftButton or axis is not None:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if event.isStart():
            start = self.mapToView(event.buttonDownPos())
            self._corners = [(start.x(), start.y())]
        place = self.mapToView(event.pos())
        self._corners.append((place.x(), place.y()))
        corners = np.array(self._corners)
        self._lasso.setPath(pg.arrayToQPath(corners[:, 0], corners[:, 1]))
        if event.isFinish():
            self._lasso.setPath(pg.arrayToQPath(np.empty(0), np.empty(0)))
            self.lassoed.emit(self._rows[mask_points_inside(self._points, corners)], _has_shift(event))


class BrushLink:
    """Ties a plot to a session; whoever makes it keeps it.

    Parameters
    ----------
    box : BrushBox
        Its rows are bins, 0..N-1.
    session : Session
    attempt : callable
        Calls an act and says its error.
    """

    def __init__(self, box: BrushBox, session: Session, attempt: Callable[[Callable[[], object]], object]) -> None:
        self._session, self._attempt = session, attempt
        box.picked.connect(self.pick)
        box.lassoed.connect(self.enclose)

    def pick(self, row: int, add: bool) -> None:
        """Select or compare a bin."""
        if add:
            self._session.toggle_compared(row + 1)
        else:
            self._session.clear_compared()
            self._session.select(row + 1)

    def enclose(self, rows: Any, add: bool) -> None:
        """Show the mean of bins; with Shift each of them is compared."""
        if add:
            for row in rows:
                if int(row) + 1 not in self._session.shown:
                    self._session.toggle_compared(int(row) + 1)
        else:
            show = partial(self._attempt, partial(self._session.set_plot_region, rows))
            self._session.prepare_means(PLOT_REGION, [rows], "mass", "scatter", show)


def _has_shift(event: Any) -> bool:
    return bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)


class BrushPlot(pg.GraphicsLayoutWidget):
    """One plot whose points can be clicked and lassoed; a subclass adds what it shows.

    Attributes
    ----------
    box : BrushBox
        Tells what is clicked and lassoed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.box = BrushBox()
        self.plot = make_bare_plot(None, view_box=self.box)
        self.ci.addItem(self.plot)
        self.plot.setToolTip(BRUSH_TIP)
        self.reader = PlotReader(self, {self.plot: format_place})

    def add_layers(self, items: Mapping[Any, float]) -> None:
        """Add items of the plot, each at its height; they do not decide the range."""
        for item, height in items.items():
            item.setZValue(height)
            self.plot.addItem(item, ignoreBounds=True)


class DensityImage(pg.ImageItem):
    """Where points are so many that they would merge: their number, as colours on a logarithmic scale."""

    def __init__(self) -> None:
        super().__init__()
        self.setColorMap(pg.colormap.get("viridis"))

    def count(
        self, x: NDArray[np.floating], y: NDArray[np.floating], limits: Sequence[tuple[float, float]], bins: int
    ) -> None:
        """Show points (N,) between ``limits`` of x and y, on ``bins`` times ``bins`` pixels."""
        counts, _, _ = np.histogram2d(x, y, bins=bins, range=limits)
        (left, right), (bottom, top) = limits
        image = np.where(counts > 0, np.log1p(counts), np.nan)
        self.setImage(image, autoLevels=True, rect=(left, bottom, right - left, top - bottom))
