"""napari's controls of a layer, made when the layer is selected first instead of when it comes.

They are half of what a layer that comes costs the window, and of the layers of a result few are ever selected.
"""

from __future__ import annotations

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
    """

    def __init__(self, container: Any) -> None:
        super().__init__(container)
        self._container = container
        layers = container.viewer.layers
        layers.events.inserted.disconnect(container._add)
        layers.events.inserted.connect(self._add)
        layers.selection.events.changed.connect(self._look)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._make_selected)

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
        container = self._container
        layer = container.viewer.layers.selection.active
        unmade = container.widgets.get(layer)
        if isinstance(unmade, _Unmade):
            container._add(Event("inserted", value=layer))
            container.setCurrentWidget(container.widgets.get(layer, container.empty_widget))
            container.removeWidget(unmade)
            unmade.deleteLater()


def make_late_controls(window: QMainWindow) -> None:
    """Have layers of ours that come into a napari window get their controls late, from now on."""
    with suppress(ImportError):
        from napari._qt.layer_controls.qt_layer_controls_container import QtLayerControlsContainer

        for container in window.findChildren(QtLayerControlsContainer):
            if container.findChild(LateControls) is None:
                LateControls(container)
