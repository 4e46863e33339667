"""Steps come one per turn of the event loop, in order, and wait while they are held."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_sfh._qt.jobs.step_queue import StepQueue, UnpaintedStep


def test_steps_in_order_one_per_turn(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: False)
    loader.run([lambda: done.append(1), lambda: done.append(2)])
    assert loader.active
    assert done == []
    loader._next()
    assert done == [1]
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert done == [1, 2]


def test_a_step_may_begin_what_the_next_one_waits_for(qtbot: Any) -> None:
    parent, busy, done = QObject(), [], []
    loader = StepQueue(parent, lambda: bool(busy))
    loader.run([lambda: busy.append(True), lambda: done.append("last")])
    qtbot.wait(150)
    assert loader.active
    assert done == []
    busy.clear()
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert done == ["last"]


def test_layers_do_not_wait(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: True)
    loader.run([UnpaintedStep(lambda: done.append("layer")), lambda: done.append("form")])
    qtbot.wait(150)
    assert done == ["layer"]
    loader.release()


def test_new_steps_replace_the_old_ones_and_release_drops_all(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: False)
    loader.run([lambda: done.append("old")])
    loader.run([lambda: done.append("new")])
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    loader.run([lambda: done.append("dropped")])
    loader.release()
    qtbot.wait(50)
    assert done == ["new"]


@pytest.fixture
def canvas(qtbot: Any) -> Any:
    """The central widget of a window."""
    main = QMainWindow()
    main.setCentralWidget(QWidget())
    qtbot.addWidget(main)
    yield main.centralWidget()
    main.close()


def test_the_canvas_is_painted_in_a_turn_of_its_own(qtbot: Any, canvas: Any) -> None:
    done: list[bool] = []
    loader = StepQueue(canvas, lambda: False)
    loader.run([UnpaintedStep(lambda: done.append(canvas.updatesEnabled()))] * 2)
    loader._next()
    assert (done, canvas.updatesEnabled()) == ([False], False)
    loader._next()
    assert (done, canvas.updatesEnabled()) == ([False], True)
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert (done, canvas.updatesEnabled()) == ([False, False], True)


def test_the_canvas_is_painted_again_after_an_error_and_after_the_end(qtbot: Any, canvas: Any) -> None:
    def fail() -> None:
        raise KeyError("a step")

    loader = StepQueue(canvas, lambda: False)
    with qtbot.captureExceptions() as caught:
        loader.run([UnpaintedStep(fail)])
        qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert caught[0][0] is KeyError
    assert canvas.updatesEnabled()
    loader.run([UnpaintedStep(lambda: None), lambda: None])
    loader._next()
    assert not canvas.updatesEnabled()
    loader.release()
    assert canvas.updatesEnabled()
