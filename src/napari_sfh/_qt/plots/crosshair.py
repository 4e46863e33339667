"""What every plot has: lines through the cursor with what stands there in words, and a menu to copy it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMenu

from napari_sfh._qt.plots.plot_items import add_action, copy_picture, copy_text, get_pen, make_menu, pg
from napari_sfh._qt.widgets.theme import POINTS, Palette

#: Says what stands at a place (x, y) of a plot.
ReadOut = Callable[[float, float], str]


def format_place(x: float, y: float) -> str:
    """A place in the numbers of the axes.

    Parameters
    ----------
    x, y : float
        In the units of the axes.
    """
    return f"{x:.4g}, {y:.4g}".replace("-", "−")


def format_plot_numbers(plot: Any) -> str:
    """The curves and points that a plot shows, as tab-separated columns under the names of its axes.

    One block a curve or set of points, with a line between them.
    """
    head = "\t".join(plot.getAxis(side).labelText or name for side, name in (("bottom", "x"), ("left", "y")))
    blocks = []
    for item in plot.items:
        if not isinstance(item, pg.PlotCurveItem | pg.ScatterPlotItem | pg.PlotDataItem) or not item.isVisible():
            continue
        x, y = (np.asarray([] if values is None else values, dtype=float) for values in item.getData())
        if x.size:
            rows = (f"{a:.6g}\t{b:.6g}" for a, b in zip(x, y))  # of a histogram the last edge has no height
            blocks.append("\n".join([head, *rows]))
    return "\n\n".join(blocks)


class PlotReader(QObject):
    """Crosshair, read-out and menu of all plots in one pyqtgraph widget; it lives as long as the widget.

    A plot that opens a menu of its own keeps it.

    Parameters
    ----------
    widget : pyqtgraph.GraphicsView
    read_outs : mapping
        Plots (`pyqtgraph.PlotItem`) and what says a place in words; `format_place` does for most.
    """

    def __init__(self, widget: Any, read_outs: Mapping[Any, ReadOut]) -> None:
        super().__init__(widget)
        self._widget = widget
        self._read_outs: dict[Any, ReadOut] = {}
        self._lines: dict[Any, tuple[Any, Any]] = {}
        self._colors: Palette | None = None
        self.menu: QMenu | None = None
        self.text = pg.TextItem(anchor=(0, 0))
        self.text.setZValue(2000)
        self.text.hide()
        widget.scene().addItem(self.text)
        self.set_plots(read_outs)
        widget.scene().sigMouseMoved.connect(self._move)
        widget.scene().sigMouseClicked.connect(self._click)
        widget.viewport().installEventFilter(self)

    def set_plots(self, read_outs: Mapping[Any, ReadOut]) -> None:
        """Have these plots; lines of others have gone with them."""
        self._read_outs = dict(read_outs)
        self._lines = {plot: (pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0)) for plot in read_outs}
        for plot, lines in self._lines.items():
            for line in lines:
                line.setZValue(1500)
                line.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
                line.hide()
                plot.addItem(line, ignoreBounds=True)
        if self._colors is not None:
            self.set_colors(self._colors)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        for lines in self._lines.values():
            for line in lines:
                line.setPen(get_pen(colors.faint, 1, style=Qt.PenStyle.DashLine))
        self.text.setColor(colors.text)
        self.text.fill = pg.mkBrush(colors.background + "d0")
        font = self._widget.font()
        font.setPointSizeF(POINTS)
        self.text.setFont(font)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The lines go with the cursor."""
        if event is not None and event.type() == QEvent.Type.Leave:
            with suppress(RuntimeError):  # at the end of a window the lines go before the widget
                self.hide()
        return False

    def hide(self) -> None:
        """No lines and no words, until the mouse moves again."""
        self.text.hide()
        for line in (line for lines in self._lines.values() for line in lines):
            line.hide()

    def _find_plot(self, place: Any) -> Any:
        for plot in self._read_outs:
            if plot.scene() is not None and plot.isVisible() and plot.vb.sceneBoundingRect().contains(place):
                return plot
        return None

    def _move(self, place: Any) -> None:
        found = self._find_plot(place)
        for plot, lines in self._lines.items():
            for line in lines:
                line.setVisible(plot is found)
        if found is None:
            self.text.hide()
            return
        at = found.vb.mapSceneToView(place)
        for line, value in zip(self._lines[found], (at.x(), at.y())):
            line.setValue(value)
        words = self._read_outs[found](at.x(), at.y())
        self.text.setText(words)
        self.text.setVisible(bool(words))
        box = found.vb.sceneBoundingRect()
        # In the upper right corner: legends and first points are on the left.
        width = self.text.boundingRect().width()
        self.text.setPos(max(box.right() - width - 2, box.left()), box.top() + 1)

    def _click(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.RightButton or event.isAccepted():
            return
        plot = self._find_plot(event.scenePos())
        if plot is None:
            return
        event.accept()
        self.menu = make_menu(self._widget)
        add_action(self.menu, "Copy the picture", partial(copy_picture, self._widget))
        add_action(self.menu, "Copy the numbers", partial(_copy_plot_numbers, plot))
        self.menu.popup(event.screenPos().toPoint())


def _copy_plot_numbers(plot: Any) -> None:
    copy_text(format_plot_numbers(plot))
