"""Steps in the main thread, one per turn of the event loop: many layers come in without blocking the window."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

PaintStep = Callable[[], object]
#: Milliseconds from the start of a step to the next one at the earliest. A timer of none would fire before other timers
#: that are due: two long steps would follow each other as one block.
BREAK_MS = 4
#: Milliseconds between two looks whether steps that are held may go on.
HOLD_MS = 50


class UnpaintedStep:
    """A step with layers, which is not held; the canvas is painted in the next turn, which has no step.

    A layer that is added asks for a scene that is put together anew, and for a painting, at once: all together would
    block the window for the sum of their times.

    Parameters
    ----------
    step : callable
    changes_scene : callable, optional
        Asked when the step's turn comes: False where no layer will come or go, and the scene stays as it is.
    """

    def __init__(self, step: PaintStep, changes_scene: Callable[[], bool] = lambda: True) -> None:
        self._step, self.changes_scene = step, changes_scene

    def __call__(self) -> None:
        self._step()


class StepQueue:
    """A queue of short steps; new ones replace those that wait.

    Parameters
    ----------
    parent : QObject
        A widget of the window with the canvas. With its end the steps end.
    hold : callable
        While it returns True, the steps wait, but for `UnpaintedStep` ones.
    on_rest : callable, optional
        Bound method, called after the last step; it is not kept alive.
    pause : callable, optional
        Makes a context for an `UnpaintedStep` that changes the scene; it ends when the canvas is painted again.
    """

    def __init__(
        self,
        parent: QObject,
        hold: Callable[[], bool],
        on_rest: Callable[[], None] | None = None,
        pause: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        self._hold = hold
        self._on_rest = None if on_rest is None else weakref.WeakMethod(on_rest)
        self.stepping = False
        self._dark = False
        self._pause, self._paused = pause, ExitStack()
        self._steps: deque[PaintStep] = deque()
        self._timer = QTimer(parent)
        self._timer.setInterval(BREAK_MS)
        self._timer.timeout.connect(self._next)

    @property
    def active(self) -> bool:
        """True until the last step has been done."""
        return self._timer.isActive()

    def run(self, steps: Iterable[PaintStep]) -> None:
        """Do these steps, the last one included, one per turn."""
        self._steps = deque(steps)
        self._timer.start()

    def run_first(self, steps: Iterable[PaintStep]) -> None:
        """Do these steps before those that wait."""
        self._steps.extendleft(reversed(list(steps)))
        if self._steps:
            self._timer.start()

    def _next(self) -> None:
        held = self._hold() and not (self._dark or (self._steps and isinstance(self._steps[0], UnpaintedStep)))
        self._timer.setInterval(HOLD_MS if held else BREAK_MS)
        if self._dark:
            self._paint(True)
        elif self._steps and not held:
            self._do(self._steps.popleft())
        if not (self._steps or self._dark):
            self._timer.stop()
            on_rest = None if self._on_rest is None else self._on_rest()
            if on_rest is not None:
                on_rest()

    def _do(self, step: PaintStep) -> None:
        """A step; with an error of the last one, the timer is to stop all the same."""
        if not self._steps:
            self._timer.stop()
        if isinstance(step, UnpaintedStep):
            self._paint(False, step.changes_scene())
            self._timer.start()
        self.stepping = True
        try:
            step()
        finally:
            self.stepping = False

    def _paint(self, on: bool, changes_scene: bool = True) -> None:
        parent = self._timer.parent()
        window = parent.window() if isinstance(parent, QWidget) else None
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        if on:
            self._paused.close()
        elif changes_scene and not self._dark and self._pause is not None:
            self._paused.enter_context(self._pause())
        if canvas is not None:
            canvas.setUpdatesEnabled(on)
        self._dark = not on

    def release(self) -> None:
        """Drop what waits."""
        self._timer.stop()
        if self._dark:
            self._paint(True)
        self._steps.clear()
