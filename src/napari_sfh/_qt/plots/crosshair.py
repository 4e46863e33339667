"""Lines through the cursor of a plot, with what stands there in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt

from napari_sfh._qt.plots.plot_items import pg
from napari_sfh._qt.widgets.theme import POINTS, Palette

#: Says what stands at a place (x, y) of a plot.
ReadOut = Callable[[float, float], str]


def format_place(x: float, y: float) -> str:
    """A place in the numbers of the axes."""
    return f"{x:.5g}, {y:.4g}"


class Crosshair(QObject):
    """A crosshair over plots of one pyqtgraph widget; it lives as long as the widget.

    Parameters
    ----------
    widget : pyqtgraph.GraphicsLayoutWidget
    read_outs : dict
        Plots (`pyqtgraph.PlotItem`) and what says the place in words; `format_place` does for most.
    """

    def __init__(self, widget: Any, read_outs: dict[Any, ReadOut]) -> None:
        super().__init__(widget)
        self._widget, self._read_outs = widget, read_outs
        self._lines = {plot: (pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0)) for plot in read_outs}
        self.text = pg.TextItem(anchor=(0, 0))
        self.text.setZValue(2000)
        self.text.setParentItem(widget.ci)
        self.text.hide()
        for plot, lines in self._lines.items():
            for line in lines:
                line.setZValue(1500)
                line.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
                line.hide()
                plot.addItem(line, ignoreBounds=True)
        widget.scene().sigMouseMoved.connect(self._move)
        widget.viewport().installEventFilter(self)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        for lines in self._lines.values():
            for line in lines:
                line.setPen(pg.mkPen(colors.faint, width=1, style=Qt.PenStyle.DashLine))
        self.text.setColor(colors.text)
        self.text.fill = pg.mkBrush(colors.background + "d0")
        font = self._widget.font()
        font.setPointSizeF(POINTS)
        self.text.setFont(font)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The lines go with the cursor."""
        if event is not None and event.type() == QEvent.Type.Leave:
            self._hide()
        return False

    def _hide(self) -> None:
        self.text.hide()
        for lines in self._lines.values():
            for line in lines:
                line.hide()

    def _move(self, place: Any) -> None:
        found = None
        for plot, lines in self._lines.items():
            inside = plot.isVisible() and plot.vb.sceneBoundingRect().contains(place)
            for line in lines:
                line.setVisible(inside)
            if inside:
                found = plot
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
