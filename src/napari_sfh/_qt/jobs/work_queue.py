"""What a window does one after the other: acts that wait for their turn, work in a thread, layers that come in."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from qtpy.QtCore import QObject

from napari_sfh._qt.jobs.step_queue import StepQueue
from napari_sfh._qt.jobs.workers import BackgroundJob, Work
from napari_sfh.errors import ComputeError, SfhInputError


class WorkQueue:
    """Runs the acts of an explorer in the order in which they were asked for.

    Parameters
    ----------
    explorer : QObject
        Kept by a weak proxy. Its ``show_start``, ``show_progress``, ``refresh``, ``tell_cancelled`` and
        ``tell_error`` are called.
    pause : callable, optional
        Makes a context for each step with layers, see `StepQueue`.

    Attributes
    ----------
    job : BackgroundJob
        The one piece of long work.
    steps : StepQueue
        Layers that come in, one per turn of the event loop; they wait while the job runs.
    """

    def __init__(self, explorer: QObject, pause: Callable[[], AbstractContextManager[object]] | None = None) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self.job = BackgroundJob(self._progress, self._done, self._failed)
        self.steps = StepQueue(explorer, self.job.is_running, self._go_on, pause)
        self._after: Callable[[Any], None] | None = None
        self._button = ""
        self._waiting: deque[Callable[[], object]] = deque()
        self._following = False

    @property
    def pending(self) -> bool:
        """True while work runs, layers come in or acts wait."""
        return self.job.running or self.steps.active or bool(self._waiting)

    @property
    def has_waiting(self) -> bool:
        """Whether acts wait for what runs or comes in."""
        return bool(self._waiting)

    def start(self, work: Work, after: Callable[[Any], None], button: str = "") -> None:
        """Run one piece of work, after what runs or comes in now; ``after`` gets its value unless it was cancelled.

        ``button`` is what the user presses to start it again.
        """
        self.when_ready(partial(self._start, work, after, button))

    def when_ready(self, act: Callable[[], object]) -> None:
        """Do an act now, or as soon as no work runs and all layers are there; acts keep their order."""
        if self._following and not self.job.running:
            act()  # the second half of an act that was asked for earlier
            return
        coming_in = self.steps.active and not self.steps.stepping
        if self.job.running or coming_in or self._waiting:
            self._waiting.append(act)
        else:
            act()

    def attempt(self, act: Callable[[], object]) -> bool:
        """Call ``act``; tell its `SfhInputError`, `ComputeError` or `OSError`. True if there was none."""
        try:
            act()
        except (SfhInputError, ComputeError, OSError) as error:
            self._explorer.tell_error(error)
            return False
        return True

    def cancel(self) -> None:
        """Ask the work in progress to stop; what waits for it is dropped."""
        self._waiting.clear()
        self.job.stop()

    def release(self) -> None:
        """Stop what runs, and call nobody back."""
        self.job.abandon()
        self.steps.release()

    def _start(self, work: Work, after: Callable[[Any], None], button: str) -> None:
        self.job.start(work)
        self._after, self._button = after, button
        self._explorer.show_start()

    def _go_on(self) -> None:
        """Do what has waited."""
        while self._waiting and not self.job.running and not self.steps.active:
            self._follow(self._waiting.popleft())

    def _follow(self, act: Callable[[], object]) -> None:
        """Do an act whose turn it is: the work that it starts does not wait behind what was asked for later."""
        self._following = True
        try:
            self.attempt(act)
        finally:
            self._following = False

    def _progress(self, step: Any) -> None:
        self._explorer.show_progress(step, self.job.cancelling)

    def _done(self, value: Any) -> None:
        self._explorer.refresh()
        after = self._after
        if value is None:
            self._explorer.tell_cancelled(self._button)
        elif after is not None:
            self._follow(partial(after, value))
        self._go_on()

    def _failed(self, error: Exception) -> None:
        self._explorer.tell_error(error)
        self._go_on()
