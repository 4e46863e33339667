"""Room for the science: napari's layer controls and layer list become tabs behind the explorer, on the right.

In a column of their own they take a quarter of the window. They are moved once, when the explorer opens; where the user
drags them afterwards they stay. napari's menu of plugins hides and shows the explorer's dock without a look at its tab:
what the user asked to see comes to the front. The explorer has the full height, the plots below the canvas the rest of
the width. A galaxy that fits the canvas is fitted again when the window gets another size.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

#: Names that napari gives to its docks.
CONTROLS, LAYERS = "layer controls", "layer list"
#: Width in pixels of the column on the right.
SIDE_WIDTH = 340
_LEFT, _RIGHT, _BOTTOM = (
    Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.DockWidgetArea.RightDockWidgetArea,
    Qt.DockWidgetArea.BottomDockWidgetArea,
)


class SideTabs(QObject):
    """Puts napari's docks behind the explorer's, and gives them back at the end.

    Parameters
    ----------
    window : QMainWindow
        Of a napari viewer.
    explorer : QWidget
        What stands in the dock on the right.
    """

    def __init__(self, window: Any, explorer: QWidget) -> None:
        super().__init__()
        self._window = window
        self._explorer = weakref.ref(explorer)
        self._moved: list[str] = []
        window.setCorner(Qt.Corner.BottomRightCorner, _RIGHT)
        own = self._own()
        for name in (CONTROLS, LAYERS) if own is not None else ():
            dock = self._dock(name, _LEFT)
            if dock is not None:
                window.tabifyDockWidget(own, dock)
                self._moved.append(name)
        self._dock_own, self._seen, self._hidden = own, True, False
        if own is not None:
            own.raise_()
            self.set_width()
            own.visibilityChanged.connect(self._note_seen)
            own.installEventFilter(self)

    def _note_seen(self, seen: bool) -> None:
        """The dock stands behind another tab, or does so no longer."""
        if not self._hidden:
            self._seen = seen

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """A dock that is hidden while it stands behind a tab was meant to be seen; one that is shown, too."""
        dock: Any = watched
        if event is not None and event.type() == QEvent.Type.Hide and dock.isHidden() and not self._hidden:
            self._hidden = True
            if not self._seen:
                QTimer.singleShot(0, dock.show)
        elif event is not None and event.type() == QEvent.Type.Show and self._hidden:
            self._hidden = False
            QTimer.singleShot(0, dock.raise_)
        return False

    def set_width(self) -> None:
        """Give the column on the right its width, where the explorer stands in it."""
        own = self._own()
        if own is not None:
            self._window.resizeDocks([own], [SIDE_WIDTH], Qt.Orientation.Horizontal)

    def _dock(self, name: str, area: Qt.DockWidgetArea) -> Any:
        """One of napari's docks, where it stands in an area; None if the user has hidden it or put it elsewhere."""
        dock: Any = self._window.findChild(QDockWidget, name)
        if dock is None or dock.isFloating() or self._window.dockWidgetArea(dock) != area:
            return None
        return dock

    def _own(self) -> Any:
        """The explorer's dock, where it stands on the right."""
        widget: Any = self._explorer()
        while widget is not None and not isinstance(widget, QDockWidget):
            widget = widget.parentWidget()
        docked = widget is not None and not widget.isFloating() and self._window.dockWidgetArea(widget) == _RIGHT
        return widget if docked else None

    def release(self) -> None:
        """Give napari's own arrangement back, as far as the user has left ours alone."""
        if self._dock_own is not None:
            with suppress(RuntimeError, TypeError):  # it may have gone with its window
                self._dock_own.removeEventFilter(self)
                self._dock_own.visibilityChanged.disconnect(self._note_seen)
            self._dock_own = None
        docks = [self._dock(name, _RIGHT) for name in (CONTROLS, LAYERS) if name in self._moved]
        for dock in docks:
            if dock is not None:
                self._window.addDockWidget(_LEFT, dock)
                dock.show()
        self._window.setCorner(Qt.Corner.BottomRightCorner, _BOTTOM)
        self._moved = []


class WindowFit(QObject):
    """Fits the view again when the window gets another size, unless the user has zoomed or moved it.

    Parameters
    ----------
    window : QMainWindow
    viewer : napari.viewer.Viewer
    """

    def __init__(self, window: Any, viewer: Any) -> None:
        super().__init__()
        self._window, self._viewer = window, viewer
        self._fitted: tuple[float, ...] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._fit_again)
        window.installEventFilter(self)
        viewer.events.reset_view.connect(self._view_reset)

    def _view_reset(self, _: Any = None) -> None:
        """Home: once all who listen have had their turn, the view fits."""
        reference = weakref.ref(self)
        QTimer.singleShot(0, lambda: _remember_if_alive(reference))

    def _view(self) -> tuple[float, ...]:
        camera = self._viewer.scene.camera
        return (float(camera.zoom), *(float(c) for c in camera.center))

    def remember_view(self) -> None:
        """The view fits the canvas now."""
        self._fitted = self._view()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Wait until the window has its new size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._timer.start()
        return False

    def _fit_again(self) -> None:
        if self._fitted is not None and self._fitted == self._view():
            self._viewer.reset_view()

    def release(self) -> None:
        """Leave the view alone."""
        self._timer.stop()
        self._window.removeEventFilter(self)
        self._viewer.events.reset_view.disconnect(self._view_reset)
        self._fitted = None


def _remember_if_alive(reference: weakref.ref[WindowFit]) -> None:
    """Late calls may find nobody."""
    target = reference()
    if target is not None:
        target.remember_view()
