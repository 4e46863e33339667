"""Settings of the interpreter, without which other threads and full collections of garbage stop the window.

The garbage collector walks over every object that lives, in whichever thread it is due, and all threads wait: with
napari and torch loaded (half a million objects) a full pass takes 0.25 s, and napari asks for one whenever a layer
leaves. `GarbageFreeze` spares it what is there, and `GarbageRest` what has come since, while the window rests. Passes
over old objects, which the interpreter asks for in the midst of an act, are left to these rests as well. A thread
that computes in Python holds the interpreter for 5 ms, and the window, which paints by many short calls, loses as much
at each of them: `shorten_thread_turns` makes it 0.5 ms while there is work.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QCursor

#: Milliseconds between two looks whether the window rests, and looks without a move of the mouse until a full pass.
TIDY_MS, STILL = 5000, 4
#: So many layers have gone when a full pass is due: each may have left a map that the collector leaves alone.
SWEEP_LAYERS = 5
#: So many looks without a full pass when one is due in any case: plots that were drawn anew have left theirs.
SWEEP_LOOKS = 60
#: Passes over middle-aged objects after which one over old ones is due of itself, in a window that never rests.
#: Python's own number is 10: one such pass among 10 000 bins takes 0.1 s.
OLD_PASSES = 200
#: Seconds for which a thread keeps the interpreter from others while there is work.
TURN_SECONDS = 5e-4


class GarbageFreeze:
    """One explorer's wish that the collector leaves alone what is there; the last that goes gives all back to it."""

    wishes: ClassVar[int] = 0
    _usual: ClassVar[tuple[int, int, int]] = gc.get_threshold()

    def __init__(self) -> None:
        self._mine = False

    def freeze(self) -> None:
        """Leave alone what lives now: not to be called when there is a result, which should be freed later."""
        if not self._mine:
            self._mine = True
            if not GarbageFreeze.wishes:
                GarbageFreeze._usual = gc.get_threshold()
                gc.set_threshold(*GarbageFreeze._usual[:2], OLD_PASSES)
            GarbageFreeze.wishes += 1
        gc.freeze()

    def tidy(self) -> None:
        """Leave alone what has come since; only young garbage is looked for, which takes a few milliseconds."""
        if self._mine:
            gc.collect(1)
            gc.freeze()

    def sweep(self) -> None:
        """Free what has become garbage after it was left alone: a full pass."""
        if self._mine:
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def thaw(self) -> None:
        """The explorer has gone."""
        if self._mine:
            self._mine = False
            GarbageFreeze.wishes -= 1
            if not GarbageFreeze.wishes:
                gc.set_threshold(*GarbageFreeze._usual)
                gc.unfreeze()


class GarbageRest:
    """Tidies at each `TIDY_MS` at which nothing runs; sweeps when the mouse has also stood still for `STILL` of them.

    Parameters
    ----------
    parent : QObject
        With its end this ends.
    garbage : GarbageFreeze
    is_busy : callable
        Bound method. It is not kept alive.

    Attributes
    ----------
    due : int
        Layers that have gone or are going since the last sweep: at `SWEEP_LAYERS` there is one, as there is after
        `SWEEP_LOOKS`.
    """

    def __init__(self, parent: QObject, garbage: GarbageFreeze, is_busy: Callable[[], bool]) -> None:
        self._garbage, self._is_busy = garbage, weakref.WeakMethod(is_busy)
        self.due, self._looks, self._still, self._place = 0, 0, 0, QCursor.pos()
        self._layers: Any = None
        self._scene: Any = None
        self._timer = QTimer(parent)
        self._timer.setInterval(TIDY_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def note_layer(self, _: object = None) -> None:
        """A layer is about to go."""
        self.due += 1
        self.spare()

    def spare(self) -> None:
        """The canvas is about to take changes over, or to let a layer go: napari asks for a full pass then."""
        self._garbage.tidy()

    def look(self) -> None:
        """Tidy or sweep, if it is time."""
        place, before, is_busy = QCursor.pos(), self._place, self._is_busy()
        self._place, self._still = place, self._still + 1 if place == before else 0
        if is_busy is None or is_busy():
            return
        self._looks += 1
        if self._still >= STILL and (self.due >= SWEEP_LAYERS or self._looks >= SWEEP_LOOKS):
            self.due = self._looks = 0
            self._garbage.sweep()
        else:
            self._garbage.tidy()

    def watch(self, layers: Any, scene: Any) -> None:
        """Follow the changes of a viewer's layers, and those of many at once (a `SceneBatch`), before napari does."""
        self._layers, self._scene = layers, scene
        layers.events.removing.connect(self.note_layer)
        scene.ending.connect(self.spare)

    def release(self) -> None:
        """Look no more."""
        self._timer.stop()
        if self._layers is not None:
            self._layers.events.removing.disconnect(self.note_layer)
            self._scene.ending.disconnect(self.spare)
            self._layers = self._scene = None


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
