"""What tests do in a window with an explorer: open it, click and drag on its canvas, find places on the screen."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def idle(dock: Any) -> None:
    """Wait until nothing runs and all layers are there."""
    assert dock.wait(200)


def open_viewer(width: int, height: int) -> Any:
    """A viewer whose window is shown in a size."""
    import napari

    viewer = napari.Viewer(show=True)
    window(viewer).resize(width, height)
    return viewer


def window(viewer: Any) -> Any:
    """The Qt main window of a viewer."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return viewer.window._qt_window


def native_canvas(viewer: Any) -> Any:
    """The widget that gets the mouse."""
    return window(viewer)._qt_viewer.canvas.native


def scene_canvas(viewer: Any) -> Any:
    """vispy's canvas."""
    return window(viewer)._qt_viewer.canvas._scene_canvas


def screen_point(viewer: Any, world: Any) -> Any:
    """Where an offset (Dec, RA) lies on the canvas, as a QPoint: north up, east left."""
    from qtpy.QtCore import QPoint

    native, camera = native_canvas(viewer), viewer.scene.camera
    dec, ra = (float(w - c) * camera.zoom for w, c in zip(world, camera.center[-2:]))
    return QPoint(round(native.width() / 2 - ra), round(native.height() / 2 - dec))


def watch_orientation(viewer: Any) -> list[tuple[str, str]]:
    """A list that fills with the directions of the axes whenever the canvas is painted with layers."""
    seen: list[tuple[str, str]] = []

    def painted(_: Any) -> None:
        if any(layer.visible for layer in viewer.layers):
            seen.append(tuple(viewer.scene.camera.orientation2d))

    scene_canvas(viewer).events.draw.connect(painted)
    return seen


def bin_world(session: Any, bin_id: int) -> Any:
    """Offset (Dec, RA) of the spaxel of a bin that is nearest to the bin's centre."""
    bins = session.result.bins
    spaxels = np.argwhere(bins.bin_id == bin_id)
    centre = np.array([bins.y[bin_id - 1], bins.x[bin_id - 1]])
    nearest = spaxels[np.argmin(np.hypot(*(spaxels - centre).T))]
    return session.sky.to_world(nearest[None, :].astype(float))[0]


def click(viewer: Any, session: Any, bin_id: int, shift: bool = False) -> None:
    """A real click on a bin."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
    point = screen_point(viewer, bin_world(session, bin_id))
    QTest.mouseMove(native_canvas(viewer), point)
    QTest.mouseClick(native_canvas(viewer), Qt.MouseButton.LeftButton, modifier, point)
    QApplication.processEvents()


def send_mouse(native: Any, kind: str, point: Any, modifiers: Any = None) -> None:
    """One event of the left button (``MouseButtonPress``, ``MouseMove`` with it held, ``MouseButtonRelease``).

    `QTest.mouseMove` moves the cursor of the screen: what the widget then hears comes from the display server, which
    knows of no pressed button, and which Qt 6 delivers as it is. So the events are sent as a mouse would send them.
    """
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button, buttons = {
        "MouseMove": (none, left),
        "MouseButtonPress": (left, left),
        "MouseButtonRelease": (left, none),
    }[kind]
    places = QPointF(point), QPointF(native.mapToGlobal(point))
    modifiers = Qt.KeyboardModifier.NoModifier if modifiers is None else modifiers
    QApplication.sendEvent(native, QMouseEvent(getattr(QEvent.Type, kind), *places, button, buttons, modifiers))
    QApplication.processEvents()


def drag(native: Any, points: list[Any], steps: int = 5, release: bool = True, modifier: Any = None) -> None:
    """A drag with the left button along points (QPoint) of a widget."""
    send_mouse(native, "MouseButtonPress", points[0], modifier)
    for start, stop in itertools.pairwise(points):
        for step in range(1, steps + 1):
            send_mouse(native, "MouseMove", start + (stop - start) * step / steps, modifier)
    if release:
        send_mouse(native, "MouseButtonRelease", points[-1], modifier)


def lasso(plots: Any, box: Any, corners: list[tuple[float, float]]) -> None:
    """A lasso with the left button in a plot of pyqtgraph; ``corners`` are shares of its box from the upper left."""
    from qtpy.QtTest import QTest

    area = box.sceneBoundingRect()
    points = [plots.mapFromScene(area.left() + a * area.width(), area.top() + b * area.height()) for a, b in corners]
    send_mouse(plots.viewport(), "MouseButtonPress", points[0])
    for start, stop in itertools.pairwise(points):
        for step in (1, 2):
            QTest.qWait(15)  # pyqtgraph hears a hundred moves a second
            send_mouse(plots.viewport(), "MouseMove", start + (stop - start) * step / 2)
    QTest.qWait(15)
    send_mouse(plots.viewport(), "MouseButtonRelease", points[-1])


def at_once(value: Any) -> Callable[..., Any]:
    """In place of `processes.calls.run_in_process`: work that has its answer ready."""

    def work(*_: object) -> Any:
        return value

    return work


def open_explorer(viewer: Any) -> Any:
    """The explorer, docked as the menu does it."""
    return viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")[1]


def drop_and_press_ok(viewer: Any, path: Path) -> list[str]:
    """Drop a file or folder on the canvas; in napari's question press OK. What was ticked there."""
    from qtpy import QT6
    from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
    from qtpy.QtGui import QDropEvent
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QDialogButtonBox, QRadioButton

    ticked: list[str] = []

    def answer() -> None:
        dialog: Any = QApplication.activeModalWidget()
        if dialog is None:
            return  # not yet
        asking.stop()
        ticked.extend(button.text() for button in dialog.findChildren(QRadioButton) if button.isChecked())
        ok = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok)
        QTest.mouseClick(ok, Qt.MouseButton.LeftButton)

    widget: Any = native_canvas(viewer)
    while not widget.acceptDrops():
        widget = widget.parentWidget()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    none = Qt.KeyboardModifier.NoModifier
    at = QPointF(5, 5) if QT6 else QPoint(5, 5)
    event = QDropEvent(at, Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, none)
    asking = QTimer()
    asking.timeout.connect(answer)
    asking.start(100)
    widget.dropEvent(event)
    return ticked


def save_layers(viewer: Any, name: str, choose: str) -> str:
    """Save the selected layers by napari's menu: choose a type in the dialog, type a name, press Return.

    Returns the type that was chosen when the name had been typed.
    """
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QFileDialog, QLineEdit

    asker = window(viewer)._qt_viewer
    seen: list[str] = []

    def type_name() -> None:
        dialogs = asker.findChildren(QFileDialog)
        if not dialogs:
            QTimer.singleShot(50, type_name)
            return
        try:
            dialog = dialogs[0]
            kinds = [kind for kind in dialog.nameFilters() if choose in kind]
            dialog.selectNameFilter(kinds[0])
            field = dialog.findChild(QLineEdit)
            field.setText(name)
            seen.append(dialog.selectedNameFilter())
            gc.collect()  # what only Python knows of the dialog goes
            QTest.keyClick(field, Qt.Key.Key_Return)
        finally:
            QTimer.singleShot(5000, lambda: [each.close() for each in asker.findChildren(QFileDialog)])

    QTimer.singleShot(50, type_name)
    (file_menu,) = [act.menu() for act in window(viewer).menuBar().actions() if act.text().strip("&") == "File"]
    file_menu.aboutToShow.emit()
    (act,) = [act for act in file_menu.actions() if act.text().startswith("Save Selected Layers")]
    act.trigger()
    return seen[0]
