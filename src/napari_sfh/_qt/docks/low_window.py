"""The docks of a low window: on 720 lines, plots below the canvas leave too little to the columns beside it.

Below `LOW` the explorer keeps its full height beside the plots, and napari's layer controls, which need 340 x 370
pixels, become a tab behind it; the layer list has their column for itself, which may then be narrow. A window that
grows gets napari's arrangement back.
"""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

#: Height of a window in pixels below which it is low.
LOW = 800
#: Names that napari gives to its docks.
CONTROLS, LAYERS = "layer controls", "layer list"
_LEFT, _RIGHT, _BOTTOM = (
    Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.DockWidgetArea.RightDockWidgetArea,
    Qt.DockWidgetArea.BottomDockWidgetArea,
)


class LowWindow(QObject):
    """Keeps the docks of a main window in the arrangement for its height.

    Parameters
    ----------
    window : QMainWindow
        Of a napari viewer.
    explorer : QWidget
        What stands in the dock that gets the full height.
    """

    def __init__(self, window: Any, explorer: QWidget) -> None:
        super().__init__()
        self._window = window
        self._explorer = weakref.ref(explorer)
        self._low: bool | None = None
        window.installEventFilter(self)
        self.arrange()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Look again after the window has got another height."""
        if event is not None and event.type() == QEvent.Type.Resize:
            reference = weakref.ref(self)
            QTimer.singleShot(0, lambda: _arrange_if_alive(reference))
        return False

    def arrange(self) -> None:
        """Bring the docks in line with the window's height, if that has crossed `LOW`."""
        low = self._window.height() < LOW
        if low == self._low:
            return
        self._low = low
        self._window.setCorner(Qt.Corner.BottomLeftCorner, _BOTTOM if low else _LEFT)
        self._window.setCorner(Qt.Corner.BottomRightCorner, _RIGHT if low else _BOTTOM)
        self._to_the_right() if low else self._back()

    def _dock(self, name: str, area: Qt.DockWidgetArea) -> Any:
        """One of napari's docks, where it stands in an area; None if the user has hidden it or put it elsewhere."""
        dock: Any = self._window.findChild(QDockWidget, name)
        if dock is None or dock.isFloating() or dock.isHidden() or self._window.dockWidgetArea(dock) != area:
            return None
        return dock

    def _own(self) -> Any:
        """The explorer's dock, where it stands on the right."""
        widget: Any = self._explorer()
        while widget is not None and not isinstance(widget, QDockWidget):
            widget = widget.parentWidget()
        docked = widget is not None and not widget.isFloating() and self._window.dockWidgetArea(widget) == _RIGHT
        return widget if docked else None

    def _to_the_right(self) -> None:
        own, controls, layers = self._own(), self._dock(CONTROLS, _LEFT), self._dock(LAYERS, _LEFT)
        if own is None or controls is None or layers is None:
            return
        self._window.tabifyDockWidget(own, controls)
        own.raise_()
        sizes = [layers.minimumSizeHint().width(), controls.minimumSizeHint().width()]
        self._window.resizeDocks([layers, own], sizes, Qt.Orientation.Horizontal)

    def _back(self) -> None:
        """The layer controls above the layer list again, if they are a tab on the right."""
        controls, layers = self._dock(CONTROLS, _RIGHT), self._dock(LAYERS, _LEFT)
        if controls is None or layers is None:
            return
        self._window.splitDockWidget(layers, controls, Qt.Orientation.Vertical)
        self._window.splitDockWidget(controls, layers, Qt.Orientation.Vertical)
        own = self._own()
        if own is not None:
            self._window.resizeDocks([own], [own.minimumSizeHint().width()], Qt.Orientation.Horizontal)
        heights = [controls.minimumHeight(), self._window.height()]
        self._window.resizeDocks([controls, layers], heights, Qt.Orientation.Vertical)

    def release(self) -> None:
        """Give napari's own arrangement back."""
        self._window.removeEventFilter(self)
        self._back()
        for corner in (Qt.Corner.BottomLeftCorner, Qt.Corner.BottomRightCorner):
            self._window.setCorner(corner, _BOTTOM)


def _arrange_if_alive(reference: weakref.ref[LowWindow]) -> None:
    """Late calls may find nobody."""
    target = reference()
    if target is not None:
        target.arrange()
