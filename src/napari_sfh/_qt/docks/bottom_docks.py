"""The docks below the canvas: the plots of the selected bins, and what tools add beside them, as tabs."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_sfh._qt.widgets.input_guard import keep_keyboard

#: Share of the window's height that the docks ask for, and the least in pixels.
PANEL_SHARE, PANEL_HEIGHT = 0.36, 280


class BottomDocks:
    """The docks of one explorer in a viewer's window; all go with it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    explorer : QWidget
    """

    def __init__(self, viewer: Any, explorer: QWidget) -> None:
        self._explorer = weakref.ref(explorer)
        self._viewer = viewer
        self._widgets: dict[str, QWidget] = {}
        self._window: Any = None

    def show(self, title: str, widget: QWidget) -> None:
        """Open a dock, or bring it back and to the front; another widget takes the place of an older one."""
        with keep_keyboard():
            self._show(title, widget)

    def _show(self, title: str, widget: QWidget) -> None:
        window = self._viewer.window
        if self._widgets.get(title) not in (None, widget):
            self.remove(title)
        if title not in window.dock_widgets:
            first = self._first()
            window.add_dock_widget(widget, name=title, area="bottom", add_vertical_stretch=False)
            self._widgets[title] = widget
            self._settle(widget, first)
            explorer: Any = self._explorer()
            if explorer is not None:
                explorer.guard.protect_fields(widget)
        holder: Any = widget.parentWidget()
        widget.show()
        holder.show()
        holder.raise_()

    def hide(self, title: str) -> None:
        """Take a dock out of sight, if it is open; its tab goes with it."""
        widget = self._widgets.get(title)
        dock: Any = None if widget is None else widget.parentWidget()
        if dock is not None:
            dock.hide()

    def entitle(self, title: str, words: str) -> None:
        """Have the tab of a dock say something else than the title by which it is known."""
        widget = self._widgets.get(title)
        dock: Any = None if widget is None else widget.parentWidget()
        if dock is not None and dock.windowTitle() != words:
            dock.setWindowTitle(words)

    @property
    def seen(self) -> bool:
        """Whether one of our docks can be seen: open, and not behind another tab."""
        return bool(self.front)

    @property
    def front(self) -> str:
        """Title of the dock of ours that can be seen, or nothing."""
        return next((title for title, w in self._widgets.items() if not w.visibleRegion().isEmpty()), "")

    def to_front(self, title: str) -> None:
        """Bring a dock to the front, if it is open."""
        if title in self._widgets:
            self.show(title, self._widgets[title])

    def _first(self) -> Any:
        """A dock of ours that is open."""
        for title, widget in self._widgets.items():
            if title in self._viewer.window.dock_widgets:
                return widget.parentWidget()
        return None

    def _settle(self, widget: QWidget, first: Any) -> None:
        dock: Any = widget.parentWidget()
        self._window = dock.parentWidget()
        if first is not None:
            self._window.tabifyDockWidget(first, dock)
            return
        self.set_height(dock)

    def set_height(self, dock: Any = None) -> None:
        """Give the docks (default: those that are open) the height that they ask for; the canvas has the rest."""
        dock = self._first() if dock is None else dock
        if dock is not None:
            height = max(PANEL_HEIGHT, round(PANEL_SHARE * self._window.height()))
            self._window.resizeDocks([dock], [height], Qt.Orientation.Vertical)

    def release(self) -> None:
        """Take all docks out of the window and end their widgets."""
        for title in list(self._widgets):
            self.remove(title)

    def remove(self, title: str) -> None:
        """Take a dock out of the window, if it is there, and end its widget."""
        widget = self._widgets.pop(title, None)
        if widget is None:
            return
        if title in self._viewer.window.dock_widgets:
            self._viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
