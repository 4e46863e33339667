"""Work that follows the mouse: of many requests the newest counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari_sfh._qt.jobs.workers import BackgroundJob, Work
from napari_sfh.types import Progress

#: Seconds for which work may run before a newer request ends it: short work is shown on the way.
INTERRUPT_SECONDS = 0.25


def _ignore(_: Progress) -> None:
    """Short work tells no progress."""


class LatestJob:
    """Work in a thread; a request that comes meanwhile waits, and takes the place of one that waited before.

    Parameters
    ----------
    on_done, on_error : callables
        Given the value of a piece of work, and an exception, in the main thread.
    interrupts : bool
        A new request ends work that has run for `INTERRUPT_SECONDS`, whose value is then not told.
    on_progress : callable, optional
    """

    def __init__(
        self,
        on_done: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        interrupts: bool = False,
        on_progress: Callable[[Progress], None] = _ignore,
    ) -> None:
        self._on_done, self._on_error = on_done, on_error
        self._interrupts = interrupts
        self._next: Work | None = None
        self._begun = 0.0
        self._job = BackgroundJob(on_progress, self._done, self._failed)

    @property
    def running(self) -> bool:
        """True while there is work, or some that waits."""
        return self._job.running or self._next is not None

    def ask(self, work: Work) -> None:
        """Do ``work(progress, cancel)`` now, or as soon as the thread is free."""
        self._next = work
        if not self._job.running:
            self._go_on()
        elif self._interrupts and time.monotonic() - self._begun > INTERRUPT_SECONDS:
            self._job.stop()

    def drop(self) -> None:
        """Forget what waits, and stop what runs."""
        self._next = None
        self._job.stop()

    def abandon(self) -> None:
        """Stop, and call nobody back: for a window that is closing."""
        self._next = None
        self._job.abandon()

    def _go_on(self) -> None:
        work, self._next = self._next, None
        if work is not None:
            self._begun = time.monotonic()
            self._job.start(work)

    def _done(self, value: Any) -> None:
        if value is not None:
            self._on_done(value)
        if not self._job.running:
            self._go_on()

    def _failed(self, error: Exception) -> None:
        self._on_error(error)
        if not self._job.running:
            self._go_on()
