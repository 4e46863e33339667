"""For how long a window's event loop is blocked, and how much of that is the drawing of OpenGL.

A block is the time between two beats of a fast timer in the main thread: what the window was deaf for. The application
times its events as well: the painting of the canvas (napari, vispy and OpenGL), and what Qt needs beyond its widgets'
own painting to bring the window's picture to the screen, which goes through OpenGL as soon as a window has a canvas.
Both are a graphics card's work on a machine that has one; the rest is Python's and Qt's on every machine.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QApplication, QOpenGLWidget

#: Milliseconds between two beats.
BEAT_MS = 2


class TimedApplication(QApplication):
    """An application that adds up its drawing; to be made before napari makes one of its own.

    Attributes
    ----------
    drawing_s : list of two floats
        Seconds spent in drawing, by the clock and of the main thread's processor, since the start.
    collecting_s : float
        The main thread's processor time in Python's garbage collector.
    first_paint : dict
        By class of a widget, seconds of `time.time` and of the processor when one was painted first.
    """

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.drawing_s = [0.0, 0.0]
        self.collecting_s, self._collection_began = 0.0, 0.0
        gc.callbacks.append(self._collected)
        self.first_paint: dict[str, tuple[float, float]] = {}
        self._inside: list[list[float]] = []  # of each repaint of a window: what its widgets took

    def notify(self, receiver: Any, event: Any) -> bool:
        """Pass on an event; time it if it paints."""
        kind = event.type()
        if kind == QEvent.Type.Paint:
            return self._paint(receiver, event)
        if kind == QEvent.Type.UpdateRequest:
            return self._repaint(receiver, event)
        return bool(super().notify(receiver, event))

    def _paint(self, receiver: Any, event: Any) -> bool:
        """A widget's own painting; that of a canvas is drawing."""
        start = time.perf_counter(), time.thread_time()
        done = super().notify(receiver, event)
        took = time.perf_counter() - start[0], time.thread_time() - start[1]
        self.first_paint.setdefault(type(receiver).__name__, (time.time(), time.process_time()))
        if isinstance(receiver, QOpenGLWidget):
            self._add(took)
        if self._inside:
            self._inside[-1][0] += took[0]
            self._inside[-1][1] += took[1]
        return bool(done)

    def _repaint(self, receiver: Any, event: Any) -> bool:
        """A window's repaint: what is not its widgets' painting is drawing, too."""
        self._inside.append([0.0, 0.0])
        start = time.perf_counter(), time.thread_time()
        done = super().notify(receiver, event)
        wall, cpu = time.perf_counter() - start[0], time.thread_time() - start[1]
        painted = self._inside.pop()
        self._add((wall - painted[0], cpu - painted[1]))
        return bool(done)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        if threading.current_thread() is threading.main_thread():
            if phase == "start":
                self._collection_began = time.thread_time()
            else:
                self.collecting_s += time.thread_time() - self._collection_began

    def _add(self, took: tuple[float, float]) -> None:
        self.drawing_s[0] += took[0]
        self.drawing_s[1] += took[1]


def start_application() -> TimedApplication:
    """An application that times its drawing, with what napari asks of its own."""
    for name in ("AA_EnableHighDpiScaling", "AA_UseHighDpiPixmaps"):
        with suppress(AttributeError):
            TimedApplication.setAttribute(getattr(Qt.ApplicationAttribute, name))
    return TimedApplication(sys.argv[:1])


@dataclass(frozen=True)
class Block:
    """One pause of the event loop, milliseconds.

    Attributes
    ----------
    wall_ms, cpu_ms : float
        By the clock, and of the main thread's processor.
    drawing_ms, garbage_ms : float
        The parts of ``cpu_ms`` that are drawing and the collection of garbage.
    stage : str
        What the dock said meanwhile.
    """

    wall_ms: float
    cpu_ms: float
    drawing_ms: float
    garbage_ms: float
    stage: str = ""

    @property
    def ours_ms(self) -> float:
        """What is left on a machine whose drawing takes no time."""
        return self.cpu_ms - self.drawing_ms


class Heart:
    """A fast timer in the main thread: its pauses are the blocks.

    Parameters
    ----------
    dock : Explorer, optional
        Its stage is noted at each beat.
    """

    def __init__(self, dock: Any = None) -> None:
        self._beats = [self._now()]
        self._stages = [""]
        self._dock = dock
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    @staticmethod
    def _now() -> tuple[float, float, float, float]:
        application = QApplication.instance()
        timed = isinstance(application, TimedApplication)
        drawn, collected = (application.drawing_s[1], application.collecting_s) if timed else (0.0, 0.0)
        return time.perf_counter(), time.thread_time(), drawn, collected

    def _beat(self) -> None:
        self._beats.append(self._now())
        self._stages.append("" if self._dock is None else self._dock.stage.value)

    def stop(self) -> list[Block]:
        """Stop, and tell the pauses."""
        settle(0.05)
        self._timer.stop()
        pairs = zip(self._beats, self._beats[1:], self._stages)
        return [Block(*(1e3 * (b - a) for a, b in zip(before, after)), stage) for before, after, stage in pairs]

    def describe(self, n: int = 1) -> str:
        """Stop, and tell the ``n`` longest in words."""
        blocks = sorted(self.stop(), key=lambda block: -block.wall_ms)
        told = (f"{b.wall_ms:.0f} ms (CPU {b.cpu_ms:.0f} ms) {b.stage}".strip() for b in blocks[:n])
        most = max(b.cpu_ms for b in blocks)
        return f"longest block of the main thread {', '.join(told)}; most CPU in one {most:.0f} ms"


def settle(seconds: float = 0.1) -> None:
    """Let the event loop come to rest."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def wait(condition: Any, seconds: float = 300.0) -> None:
    """Turn the event loop until a condition holds."""
    end = time.perf_counter() + seconds
    while not condition() and time.perf_counter() < end:
        settle(0.005)
