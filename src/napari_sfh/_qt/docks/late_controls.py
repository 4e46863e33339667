"""napari's controls of a layer, made when the layer is selected first instead of when it comes.

They are half of what a layer that comes costs the window, and of the layers of a result few are ever selected.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from napari.settings import get_settings
from napari.utils.events import Event
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_sfh._qt.canvas.layer_data import get_layer_link


class _Unmade(QWidget):
    """Stands in napari's stack of controls for those that are not there yet."""


class LateControls(QObject):
    """Makes the controls of layers of ours when they are needed; those of other layers come as ever.

    Parameters
    ----------
    container : QtLayerControlsContainer
        napari's stack of the controls of all layers. With its end this ends.
    on_shown : callable
        Given the controls of a layer when they come to the front.
    """

    def __init__(self, container: Any, on_shown: Callable[[QWidget], None]) -> None:
        super().__init__(container)
        self._container, self._on_shown = container, on_shown
        container.currentChanged.connect(self._tell_shown)
        layers = container.viewer.layers
        _ = container.widgets, container.empty_widget
        layers.events.inserted.disconnect(container._add)
        layers.events.inserted.connect(self._add)
        layers.selection.events.changed.connect(self._look)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._make_selected)

    def _tell_shown(self, place: int) -> None:
        controls = self._container.widget(place)
        if controls is not None and not isinstance(controls, _Unmade):
            self._on_shown(controls)

    def _add(self, event: Any) -> None:
        layer = event.value
        if get_layer_link(layer.metadata) is None or get_settings().experimental.dynamic_layer_controls:
            self._container._add(event)
            return
        unmade = _Unmade()
        self._container.addWidget(unmade)
        self._container.widgets[layer] = unmade

    def _look(self, _: Any = None) -> None:
        """What is selected gets its controls in a turn of their own: the canvas is painted in this one."""
        if isinstance(self._container.widgets.get(self._container.viewer.layers.selection.active), _Unmade):
            self._timer.start()

    def _make_selected(self) -> None:
        self._make(self._container.viewer.layers.selection.active)

    def _make(self, layer: Any) -> None:
        container = self._container
        unmade = container.widgets.get(layer)
        if isinstance(unmade, _Unmade):
            container._add(Event("inserted", value=layer))
            if container.currentWidget() is unmade:
                container.setCurrentWidget(container.widgets.get(layer, container.empty_widget))
            container.removeWidget(unmade)
            unmade.deleteLater()

    def release(self) -> None:
        """Leave the layers to napari, whose controls are made for all that have none, one a turn."""
        layers = self._container.viewer.layers
        layers.events.inserted.disconnect(self._add)
        layers.selection.events.changed.disconnect(self._look)
        layers.events.inserted.connect(self._container._add)
        with suppress(RuntimeError):  # it may have gone with its window
            self._container.currentChanged.disconnect(self._tell_shown)
            self._timer.timeout.disconnect(self._make_selected)
            self._timer.timeout.connect(self._make_next)
            self._timer.setSingleShot(False)
            self._timer.start()

    def _make_next(self) -> None:
        for layer, widget in self._container.widgets.items():
            if isinstance(widget, _Unmade):
                self._make(layer)
                return
        self._timer.stop()
        self.deleteLater()


def make_late_controls(window: QMainWindow, on_shown: Callable[[QWidget], None]) -> LateControls | None:
    """Have layers of ours that come into a napari window get their controls late; None where it has none.

    Parameters
    ----------
    window : QMainWindow
    on_shown : callable
        Given the controls of a layer when they come to the front.
    """
    # Names that napari keeps to itself: where another version lacks them, controls come as ever.
    with suppress(ImportError, AttributeError, TypeError, ValueError):
        from napari._qt.layer_controls.qt_layer_controls_container import QtLayerControlsContainer

        for container in window.findChildren(QtLayerControlsContainer):
            return LateControls(container, on_shown)
    return None
