"""Two settings of the interpreter, without which other threads stop the window.

The garbage collector walks over every object that lives, in whichever thread it is due, and all threads wait: with
napari and torch loaded (half a million objects) a full pass takes 0.25 s. `GarbageFreeze` spares it what was there
before the first result. A thread that computes in Python holds the interpreter for 5 ms, and the window, which paints
by many short calls, loses as much at each of them: `shorten_thread_turns` makes it 0.5 ms while there is work.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

#: Seconds for which a thread keeps the interpreter from others while there is work.
TURN_SECONDS = 5e-4


class GarbageFreeze:
    """One explorer's wish that the collector leaves alone what is there; the last that goes gives all back to it."""

    wishes: ClassVar[int] = 0

    def __init__(self) -> None:
        self._mine = False

    def freeze(self) -> None:
        """Leave alone what lives now: not to be called when there is a result, which should be freed later."""
        if not self._mine:
            self._mine = True
            GarbageFreeze.wishes += 1
        gc.freeze()

    def thaw(self) -> None:
        """The explorer has gone."""
        if self._mine:
            self._mine = False
            GarbageFreeze.wishes -= 1
            if not GarbageFreeze.wishes:
                gc.unfreeze()


_lock = threading.Lock()
_usual_intervals: list[float] = []


@contextmanager
def shorten_thread_turns() -> Iterator[None]:
    """Threads change every `TURN_SECONDS`; the last of several that ends puts back what was."""
    with _lock:
        _usual_intervals.append(sys.getswitchinterval())
        sys.setswitchinterval(min(TURN_SECONDS, sys.getswitchinterval()))
    try:
        yield
    finally:
        with _lock:
            first = _usual_intervals[0]
            _usual_intervals.pop()
            if not _usual_intervals:
                sys.setswitchinterval(first)
