"""One window for many tests that begin with a result on the canvas: put back after each, ended where something stays.

A window with a result costs five seconds of processor, putting one back a fifth of that. What a test may have changed
is put back by the product's own means, as a workspace; then the window is described, and where it does not look as it
did when it was opened (a dock of a tool is open, a listener is left), it is closed and another one is opened.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QApplication,
    QComboBox,
    QDialog,
    QDockWidget,
    QLabel,
    QLineEdit,
    QScrollBar,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.latency import GarbageFreeze
from napari_sfh._qt.tools.base import DockTool
from napari_sfh.types import Result

WIDTH, HEIGHT = 1280, 720
#: How the value of a widget is read.
_VALUES: tuple[tuple[type, Any], ...] = (
    (QComboBox, lambda box: (box.currentText(), box.count())),
    (QSpinBox, lambda box: (box.value(), box.maximum())),
    (QAbstractSlider, lambda slider: (slider.value(), slider.maximum())),
    (QToolButton, lambda title: title.isChecked()),  # its words tell how much memory is in use
    (QAbstractButton, lambda button: (button.text(), button.isChecked())),
    (QLineEdit, lambda line: line.text()),
    (QLabel, lambda label: (label.text(), label.styleSheet())),
)


#: So many windows end until the garbage of all is looked for: a full pass takes as long as a window.
SWEEP_WINDOWS = 25
_ended = itertools.count(1)


@contextmanager
def painting_once(window: QWidget) -> Iterator[None]:
    """Paint what comes and goes in many turns once, when all of it is there."""
    if not window.updatesEnabled():
        yield
        return
    window.setUpdatesEnabled(False)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # it may have ended meanwhile
            window.setUpdatesEnabled(True)
        QApplication.processEvents()


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Spare the collector what is there while a window ends: napari asks for a full pass with each layer that goes."""
    GarbageFreeze.wishes += 1  # an explorer that ends gives nothing back
    gc.freeze()
    try:
        yield
    finally:
        GarbageFreeze.wishes -= 1
        if not GarbageFreeze.wishes and next(_ended) % SWEEP_WINDOWS == 0:
            gc.unfreeze()
            gc.collect()
            gc.freeze()


def describe_widgets(root: QWidget, with_hidden: bool) -> list[tuple[Any, ...]]:
    """Kind, state and, where it can be seen, value of every widget below one."""
    described = []
    for widget in root.findChildren(QWidget):
        seen = widget.isVisibleTo(root)
        if widget.window() is root.window() and not isinstance(widget, QScrollBar) and (seen or with_hidden):
            state = type(widget).__name__, widget.isHidden(), widget.isEnabled(), widget.signalsBlocked()
            value = next((read(widget) for kind, read in _VALUES if seen and isinstance(widget, kind)), None)
            described.append((*state, value))
    return described


def describe_viewer(viewer: Any, window: Any) -> dict[str, Any]:
    """All by which a test could tell a viewer, whose Qt window is given, from one that was just opened."""
    camera, canvas = viewer.scene.camera, viewer.canvas
    layers = [
        (layer.name, type(layer).__name__, layer.visible, layer.opacity, str(layer.mode), layer.editable)
        for layer in viewer.layers
    ]
    docks = [each for each in window.findChildren(QDockWidget) if not each.isHidden()]
    return {
        "layers": layers,
        "active": getattr(viewer.layers.selection.active, "name", None),
        "camera": (*np.round([camera.zoom, *camera.center], 3), str(camera.orientation)),
        "size": (window.width(), window.height()),
        "docks": sorted((d.objectName(), d.windowTitle(), d.isFloating()) for d in docks),
        "theme": viewer.theme,
        "listeners": [
            (len(event.callbacks), name) for name, event in viewer.events.emitters.items() if event.callbacks
        ],
        "mouse": (len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)),
        "keys": sorted(map(str, viewer.keymap)),
        "overlays": sorted({*canvas.overlays, *viewer.scene.overlays}),
        "canvas": (canvas.grid.enabled, canvas.overlays.scale_bar.visible),
        "others": [w.windowTitle() for w in QApplication.topLevelWidgets() if w.isVisible() and w is not window],
    }


def describe_window(dock: Any) -> dict[str, Any]:
    """All by which a test could tell a window with an explorer from one that was just opened."""
    kept = dock.files.capture()
    kept.canvas.pop("camera")
    return {
        **describe_viewer(dock.viewer, dock.window()),
        "kept": kept,
        "widgets": describe_widgets(dock, True),
        "panel": describe_widgets(dock.panel, False),
        "style": (dock.styleSheet(), dock.message.text(), dock.message.styleSheet()),
        "tools": [tool.name for tool in dock.tools if getattr(tool, "dock", None) is not None],
        "working": dock.work.pending or dock.files.unsaved or dock.files.restoring,
    }


def name_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Which parts of two descriptions differ."""
    return [name for name in first if first[name] != second[name]]


class SharedWindow:
    """The window of the tests.

    Parameters
    ----------
    open_dock : callable
        Given width and height: opens a window, returns its explorer.

    Attributes
    ----------
    dock : Explorer or None
        None before the first test, and after a test that opens windows of its own.
    opened : int
        How many windows it took so far.
    left : list of str
        What the last test but this one left that could not be put back: parts of `describe_window`.
    """

    def __init__(self, open_dock: Callable[[int, int], Any]) -> None:
        self._open_dock = open_dock
        self.dock: Any = None
        self.opened = 0
        self.left: list[str] = []
        self._first: dict[str, Any] = {}
        self._unfolded: dict[str, bool] = {}

    def take(self, result: Result) -> Any:
        """An explorer that shows ``result``, at rest, as in a window that was just opened."""
        if self.dock is not None and not self._put_back(result):
            self.close()
        if self.dock is None:
            self._open(result)
        return self.dock

    def _open(self, result: Result) -> None:
        dock = self._open_dock(WIDTH, HEIGHT)
        QApplication.processEvents()
        with painting_once(dock.window()):
            dock.show_result(result)
            dock.finish(120)
            while dock.cards.reading:
                QApplication.processEvents()
            dock.finish(120)
        self.dock, self.opened = dock, self.opened + 1
        self._first = describe_window(dock)
        self._unfolded = {name: section.expanded for name, section in dock.sections.items()}

    def _put_back(self, result: Result) -> bool:
        """Whether the window looks as it did at first."""
        try:
            with painting_once(self.dock.window()):
                self._end_acts()
                self._restore(result)
            self.left = name_differences(self._first, describe_window(self.dock))
        except RuntimeError:  # Qt has ended the explorer
            self.left = ["explorer"]
        return not self.left

    def _end_acts(self) -> None:
        """Stop what runs, close what was opened."""
        dock = self.dock
        dock.cancel()
        with suppress(Exception):  # of the test before, which has seen it
            dock.finish(120)
        dock.files.unsaved = False
        for tool in dock.tools:
            if isinstance(tool, DockTool) and tool.dock is not None:
                tool.dock.release()
                dock.docks.remove(tool.dock_title)
                tool.dock = None
        dock.tools["posterior"].close_window()
        for dialog in dock.findChildren(QDialog):
            dialog.close()

    def _restore(self, result: Result) -> None:
        """What can be set, as it was."""
        dock = self.dock
        dock.viewer.theme = "dark"
        if dock.styleSheet():  # to set it, even to what it is, styles every widget anew
            dock.setStyleSheet("")
        dock.window().resize(WIDTH, HEIGHT)
        dock.parentWidget().show()  # it may have been hidden by napari's menu
        self._remove_layers()
        dock.tools.on_result(None)  # it is the same result, and what was made of it shall go
        opened = tasks.OpenedWorkspace(self._first["kept"], tasks.prepare_result(result), None, ())
        dock.presenter.show_workspace(opened)
        dock.finish(120)
        self._remove_layers()  # of the map that was shown
        for place, (name, *_) in enumerate(self._first["layers"]):
            dock.viewer.layers.move(dock.viewer.layers.index(name), place)
        for name, section in dock.sections.items():
            section.expand(self._unfolded[name])
        for bar in dock.findChildren(QScrollBar):
            bar.setValue(0)
        dock.fit_view()
        QApplication.processEvents()

    def _remove_layers(self) -> None:
        """Those that were not there at first."""
        names = [name for name, *_ in self._first["layers"]]
        for layer in [layer for layer in self.dock.viewer.layers if layer.name not in names]:
            self.dock.viewer.layers.remove(layer)

    def close(self) -> None:
        """End the window, if there is one."""
        if self.dock is not None:
            viewer, self.dock, self._first = self.dock.viewer, None, {}
            with collecting_seldom():
                viewer.close()
                del viewer
                QApplication.processEvents()


class SharedViewer:
    """The viewer of tests that dock an explorer of their own: emptied after each, ended where something stays.

    Parameters
    ----------
    open_viewer : callable
        Given width and height: opens a viewer, returns it with its Qt window.

    Attributes
    ----------
    viewer : napari.viewer.Viewer or None
    left : list of str
        What the last test left that could not be put back: parts of `describe_viewer`.
    """

    def __init__(self, open_viewer: Callable[[int, int], tuple[Any, Any]]) -> None:
        self._open_viewer = open_viewer
        self.viewer: Any = None
        self.left: list[str] = []
        self._window: Any = None
        self._first: dict[str, Any] = {}
        self._orientation: Any = None

    def take(self, width: int, height: int) -> Any:
        """A viewer without layers or explorers, as one that was just opened."""
        if self.viewer is None:
            self.viewer, self._window = self._open_viewer(WIDTH, HEIGHT)
            QApplication.processEvents()
            self._first = describe_viewer(self.viewer, self._window)
            self._orientation = self.viewer.scene.camera.orientation
        if (width, height) != (WIDTH, HEIGHT):
            self._window.resize(width, height)
            QApplication.processEvents()
        return self.viewer

    def empty(self) -> None:
        """End what a test has docked, take its layers away; close the viewer that does not look as it did at first."""
        if self.viewer is None:
            return
        try:
            with painting_once(self._window):
                self._end_explorers()
                self._reset()
            self.left = name_differences(self._first, describe_viewer(self.viewer, self._window))
        except RuntimeError:  # Qt has ended the window
            self.left = ["window"]
        if self.left:
            self.close()

    def _end_explorers(self) -> None:
        """As the x of their docks does, without a question about what is not saved."""
        from napari_sfh._qt.explorer import Explorer  # which may read preferences: after conftest has set others

        for explorer in self._window.findChildren(Explorer):
            explorer.cancel()
            explorer.files.unsaved = False
            explorer.parentWidget().destroyOnClose()
        for dialog in self._window.findChildren(QDialog):
            dialog.close()
        QApplication.processEvents()

    def _reset(self) -> None:
        """What can be set, as it was."""
        viewer, camera = self.viewer, self.viewer.scene.camera
        viewer.layers.clear()
        viewer.theme = "dark"
        viewer.canvas.grid.enabled, viewer.canvas.overlays.scale_bar.visible = self._first["canvas"]
        self._window.resize(WIDTH, HEIGHT)
        QApplication.processEvents()
        camera.orientation = self._orientation
        zoom, *center = self._first["camera"][:-1]
        camera.zoom, camera.center = float(zoom), tuple(float(c) for c in center)
        QApplication.processEvents()

    def close(self) -> None:
        """End the viewer, if there is one."""
        if self.viewer is not None:
            viewer, self.viewer, self._window, self._first = self.viewer, None, None, {}
            with collecting_seldom(), suppress(RuntimeError):
                viewer.close()
                del viewer
                QApplication.processEvents()
