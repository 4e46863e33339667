"""Steps in the main thread, one per turn of the event loop: many layers come in without blocking the window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from qtpy.QtCore import QObject, QTimer

Step = Callable[[], object]
#: Milliseconds between two looks whether steps that are held may go on.
HOLD_MS = 50


class Loader:
    """A queue of short steps; new ones replace those that wait.

    Parameters
    ----------
    parent : QObject
        With its end the steps end.
    hold : callable
        While it returns True, the steps wait.
    """

    def __init__(self, parent: QObject, hold: Callable[[], bool]) -> None:
        self._hold = hold
        self._steps: deque[Step] = deque()
        self._timer = QTimer(parent)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._next)

    @property
    def active(self) -> bool:
        """True until the last step has been done."""
        return self._timer.isActive()

    def run(self, steps: Iterable[Step]) -> None:
        """Do these steps, the last one included, one per turn."""
        self._steps = deque(steps)
        self._timer.start()

    def soon(self, steps: Iterable[Step]) -> None:
        """Do these steps before those that wait."""
        self._steps.extendleft(reversed(list(steps)))
        if self._steps:
            self._timer.start()

    def _next(self) -> None:
        held = self._hold()
        self._timer.setInterval(HOLD_MS if held else 0)
        if held:
            return
        if not self._steps:
            self._timer.stop()
            return
        step = self._steps.popleft()
        if not self._steps:
            self._timer.stop()
        step()

    def release(self) -> None:
        """Drop what waits."""
        self._timer.stop()
        self._steps.clear()
