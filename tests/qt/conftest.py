"""A viewer that shows a synthetic result, and what the tests do in it."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_window import SharedViewer, SharedWindow, collecting_seldom, painting_once
from smooth_result import make_result

from napari_sfh.types import Result

# Before napari reads its preferences: the tests neither see nor touch those of the user.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="napari-sfh-test-")) / "settings.yaml")
os.environ["NAPARI_SFH_CONFIG"] = tempfile.mkdtemp(prefix="napari-sfh-test-")
(Path(os.environ["NAPARI_SFH_CONFIG"]) / "tour-seen").touch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a file, tests with viewers of their own come after those in the shared window: to change takes a window."""
    first = {item.path: k for k, item in reversed(list(enumerate(items)))}
    items.sort(key=lambda item: (first[item.path], "make_viewer" in getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True)
def painting_at_rest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test waits for is painted once, when it is there: to paint every turn takes longer than all else.

    A test marked ``painted`` sees each turn.
    """
    if "painted" in request.keywords or "shared_window" not in request.fixturenames:
        return
    request.getfixturevalue("imported")
    from pytestqt.qtbot import QtBot

    from napari_sfh._qt.explorer import Explorer

    for owner, name in ((Explorer, "wait"), (QtBot, "waitUntil")):
        monkeypatch.setattr(owner, name, paint_after(getattr(owner, name)))


def paint_after(wait: Callable[..., Any]) -> Callable[..., Any]:
    """A wait during which no window that is there is painted; afterwards, all are."""

    @functools.wraps(wait)
    def wait_unpainted(*args: Any, **kwargs: Any) -> Any:
        from qtpy.QtWidgets import QApplication

        with contextlib.ExitStack() as stack:
            for each in QApplication.topLevelWidgets():
                if each.isVisible():
                    stack.enter_context(painting_once(each))
            return wait(*args, **kwargs)

    return wait_unpainted


@pytest.fixture(scope="session")
def result() -> Result:
    """16 bins (some lost at the corners of the round field) on a 40 x 40 map."""
    return make_result()


@pytest.fixture
def default_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthetic results count as made by the shipped default weights."""
    from napari_sfh.instruments.bundle_header import find_bundle_file

    monkeypatch.setattr("napari_sfh.analysis.weights.find_result_weights", lambda result: find_bundle_file("default"))


@pytest.fixture(scope="session")
def imported() -> None:
    """The modules of the window, set aside from the garbage collection with which napari drops a layer."""

    import napari_sfh._qt.explorer  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_window(qapp: Any, imported: None) -> Iterator[SharedWindow]:
    """The window that the tests share."""
    shared = SharedWindow(lambda width, height: open_explorer(open_viewer(width, height)))
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def shared_viewer(qapp: Any, imported: None) -> Iterator[SharedViewer]:
    """The viewer in which tests dock explorers of their own."""

    def open_shown(width: int, height: int) -> tuple[Any, Any]:
        viewer = open_viewer(width, height)
        return viewer, window(viewer)

    shared = SharedViewer(open_shown)
    yield shared
    shared.close()


@pytest.fixture
def shown(qtbot: Any, shared_window: SharedWindow, shared_viewer: SharedViewer, result: Result) -> Any:
    """An explorer that shows the result, at rest: for tests that do not care about how it was opened."""
    shared_viewer.close()
    return shared_window.take(result)


@pytest.fixture
def make_viewer(qtbot: Any, shared_window: SharedWindow, shared_viewer: SharedViewer) -> Iterator[Any]:
    """A function that opens a shown viewer, the first one of which is emptied after the test and the others closed."""
    shared_window.close()
    others: list[Any] = []
    calls = itertools.count()

    def make(width: int = 1280, height: int = 720) -> Any:
        if next(calls) == 0:
            return shared_viewer.take(width, height)
        others.append(open_viewer(width, height))
        return others[-1]

    yield make
    with collecting_seldom():
        while others:
            others.pop().close()
        shared_viewer.empty()


@pytest.fixture
def no_window(shared_window: SharedWindow, shared_viewer: SharedViewer) -> None:
    """No viewer is open: what is read goes to no explorer."""
    shared_window.close()
    shared_viewer.close()


def pytest_sessionfinish() -> None:
    """Let threads end that load torch for a window that was closed, as napari does before it quits."""
    from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool

    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.waitForDone(120_000)
    if QCoreApplication.instance() is not None:
        # The last window has nobody who would end it before Python ends what it still knows of.
        ends: Any = QEvent.Type.DeferredDelete
        for _ in range(3):
            QCoreApplication.processEvents()
            QCoreApplication.sendPostedEvents(None, int(getattr(ends, "value", ends)))
            gc.collect()


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

    window(viewer)._qt_viewer.canvas._scene_canvas.events.draw.connect(painted)
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
    """In place of `jobs.run_in_process`: work that has its answer ready."""

    def work(*_: object) -> Any:
        return value

    return work


def open_explorer(viewer: Any) -> Any:
    """The explorer, docked as the menu does it."""
    return viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")[1]
