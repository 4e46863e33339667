"""Steps come one per turn of the event loop, in order, and wait while they are held."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_sfh._qt.jobs.step_queue import StepQueue, UnpaintedStep


def next_turn(done: list[object]) -> None:
    """Note the next turn of the event loop."""
    QTimer.singleShot(0, lambda: done.append("turn"))


def test_steps_in_order_one_per_turn(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: False)
    loader.run([lambda: (done.append(1), next_turn(done)), lambda: done.append(2)])
    assert loader.active
    assert done == []
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    assert done == [1, "turn", 2]


def test_between_two_steps_the_window_hears(qtbot: Any) -> None:
    """A timer that is due as often as any is called: two long steps are not one block."""
    parent, done = QObject(), []
    beat = QTimer(parent)
    beat.setInterval(2)
    beat.timeout.connect(lambda: done.append("beat"))
    loader = StepQueue(parent, lambda: False)

    def step() -> None:
        done.append("step")
        time.sleep(0.03)

    beat.start()
    loader.run([step] * 4)
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    beat.stop()
    places = [k for k, name in enumerate(done) if name == "step"]
    assert len(places) == 4
    assert all("beat" in done[a:b] for a, b in itertools.pairwise(places))


def test_a_step_may_begin_what_the_next_one_waits_for(qtbot: Any) -> None:
    parent, busy, done = QObject(), [], []
    loader = StepQueue(parent, lambda: bool(busy))
    loader.run([lambda: busy.append(True), lambda: done.append("last")])
    qtbot.wait(150)
    assert loader.active
    assert done == []
    busy.clear()
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    assert done == ["last"]


def test_layers_do_not_wait(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: True)
    loader.run([UnpaintedStep(lambda: done.append("layer")), lambda: done.append("form")])
    qtbot.waitUntil(lambda: bool(done), timeout=120_000)
    qtbot.wait(150)
    assert done == ["layer"]
    loader.release()


def test_new_steps_replace_the_old_ones_and_release_drops_all(qtbot: Any) -> None:
    parent, done = QObject(), []
    loader = StepQueue(parent, lambda: False)
    loader.run([lambda: done.append("old")])
    loader.run([lambda: done.append("new")])
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    loader.run([lambda: done.append("dropped")])
    loader.release()
    qtbot.wait(50)
    assert done == ["new"]


class Canvas(QWidget):
    """Notes whether it may be painted."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def setUpdatesEnabled(self, on: bool) -> None:
        self.seen.append("paint" if on else "hold")
        super().setUpdatesEnabled(on)


@pytest.fixture
def canvas(qtbot: Any) -> Any:
    """The central widget of a window."""
    main, widget = QMainWindow(), Canvas()
    main.setCentralWidget(widget)
    qtbot.addWidget(main)
    yield widget
    main.close()


def test_the_canvas_is_painted_in_a_turn_of_its_own(qtbot: Any, canvas: Any) -> None:
    loader = StepQueue(canvas, lambda: False)
    loader.run([UnpaintedStep(lambda: (canvas.seen.append("step"), next_turn(canvas.seen)))] * 2)
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    assert canvas.seen == ["hold", "step", "turn", "paint"] * 2
    assert canvas.updatesEnabled()


def test_steps_with_layers_have_their_context_until_the_canvas_is_painted(qtbot: Any, canvas: Any) -> None:
    @contextmanager
    def pause() -> Iterator[None]:
        canvas.seen.append("begin")
        yield
        canvas.seen.append("end")

    loader = StepQueue(canvas, lambda: False, pause=pause)
    loader.run([UnpaintedStep(lambda: canvas.seen.append("step"))] * 2)
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert canvas.seen == ["begin", "hold", "step", "end", "paint"] * 2
    canvas.seen.clear()
    loader.run([UnpaintedStep(lambda: canvas.seen.append("step"), lambda: False)])
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert canvas.seen == ["hold", "step", "paint"], "no layer comes or goes: the scene stays"
    canvas.seen.clear()
    loader.run([UnpaintedStep(loader.release)])
    qtbot.waitUntil(lambda: not loader.active, timeout=5000)
    assert canvas.seen.count("begin") == canvas.seen.count("end") == 1


def test_the_canvas_is_painted_again_after_an_error_and_after_the_end(qtbot: Any, canvas: Any) -> None:
    def fail() -> None:
        raise KeyError("a step")

    loader = StepQueue(canvas, lambda: False)
    with qtbot.captureExceptions() as caught:
        loader.run([UnpaintedStep(fail)])
        qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    assert caught[0][0] is KeyError
    assert canvas.updatesEnabled()


def test_the_canvas_is_painted_again_when_what_waits_is_dropped(qtbot: Any, canvas: Any) -> None:
    loader = StepQueue(canvas, lambda: False)
    loader.run([UnpaintedStep(lambda: QTimer.singleShot(0, loader.release)), lambda: canvas.seen.append("dropped")])
    qtbot.waitUntil(lambda: not loader.active, timeout=120_000)
    qtbot.wait(50)
    assert canvas.seen == ["hold", "paint"]
