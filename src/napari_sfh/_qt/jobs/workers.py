"""Long work in a thread: a function of ``progress`` and ``cancel`` becomes a worker that the window can stop.

Progress passes through a signal to the main thread. ``quit`` (which napari calls when a window is closed over a running
task) sets the cancel event, because a worker that is merely quit never returns what it has done.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QThread, QThreadPool, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from superqt.utils import WorkerBase
from superqt.utils._qthreading import WorkerBaseSignals

from napari_sfh._qt.jobs.latency import shorten_thread_turns
from napari_sfh._qt.widgets.wording import name_form_labels
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Progress

Work = Callable[[ReportProgress, threading.Event], Any]
#: Milliseconds after a cancel at which the window stops waiting for the thread to come to its next look at the event.
STOP_TIMEOUT_MS = 800
#: Threads of Qt's pool beyond one a core: more than our work, and that of other plugins, ever takes at a time.
SPARE_THREADS = 16
#: Seconds between two progress signals of one stage: with each the window is painted, canvas and all.
PROGRESS_SECONDS = 0.4


def keep_threads_free() -> None:
    """Give Qt's pool of threads room for Qt's own work beside Python's.

    A large image is converted in pieces, by threads of the pool that workers run in, and who asked for it waits, in
    Python without leaving the interpreter to others. On two cores the pool has two threads: with two workers in them,
    which wait for the interpreter, the window would stand still for good.
    """
    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.setMaxThreadCount(max(pool.maxThreadCount(), QThread.idealThreadCount() + SPARE_THREADS))


def run_guarded(work: Work, progress: ReportProgress, cancel: threading.Event) -> Any:
    """Call ``work(progress, cancel)`` with its progress thinned out; None where it was cancelled.

    Raises
    ------
    ComputeError
        In place of any ``RuntimeError``, which a worker would swallow (torch's out-of-memory error is one).
    """
    try:
        with shorten_thread_turns():
            return work(_thin_progress(progress), cancel)
    except Cancelled:
        return None
    except RuntimeError as error:
        raise ComputeError(_first_sentence(error)) from error


def _first_sentence(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "out of memory" in first.lower():
        return f"{first}: choose the device cpu, or close other programs that use the GPU"
    return f"{first}: this is a fault of the program or a library, the details help to report it"


def _thin_progress(progress: ReportProgress) -> ReportProgress:
    """Pass on new stages, ends, and of the rest what comes `PROGRESS_SECONDS` after the last."""
    last, stage = 0.0, ""

    def tell(step: Progress) -> None:
        nonlocal last, stage
        now = time.monotonic()
        if step.stage != stage or now - last > PROGRESS_SECONDS or step.done == step.total:
            last, stage = now, step.stage
            progress(step)

    return tell


class CancellableWorkerSignals(WorkerBaseSignals):
    """Signals of a worker that tells its progress."""

    progressed = QtSignal(object)


class CancellableWorker(WorkerBase[Any]):
    """A worker whose ``quit`` sets the event that its work looks at."""

    def __init__(self, work: Work, cancel: threading.Event) -> None:
        super().__init__(SignalsClass=CancellableWorkerSignals)
        self._work, self._cancel = work, cancel

    def work(self) -> Any:
        """Called in the thread."""
        return run_guarded(self._work, self.progressed.emit, self._cancel)

    def quit(self) -> None:
        """Ask the work to stop and return what it has."""
        self._cancel.set()


class BackgroundJob:
    """One piece of long work at a time; the callbacks run in the main thread.

    Parameters
    ----------
    on_progress, on_done, on_error : callables
        Given a `Progress`, the value of the work (None where it was cancelled), and the exception.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None],
        on_done: Callable[[Any], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._slots = {"progressed": on_progress, "returned": on_done, "errored": on_error}
        self._worker: Any = None
        self._late: Any = None
        self._cancel: threading.Event | None = None

    @property
    def running(self) -> bool:
        """True from `start` until the work returns or fails."""
        return self._worker is not None

    def is_running(self) -> bool:
        """The same, as a function."""
        return self.running

    @property
    def cancelling(self) -> bool:
        """True from `stop` until the work returns."""
        return self._cancel is not None and self._cancel.is_set()

    @property
    def ending(self) -> bool:
        """True while work that was stopped, and is waited for no longer, has not come to its end."""
        return self._late is not None

    def start(self, work: Work) -> None:
        """Run ``work(progress, cancel)`` in a thread.

        Raises
        ------
        ComputeError
            Something runs already.
        """
        if self.running:
            raise ComputeError("a run is in progress: cancel it or wait for its end")
        self._cancel, self._late = threading.Event(), None
        worker = CancellableWorker(work, self._cancel)
        self._worker = worker
        for name, slot in (("progressed", self._progressed), ("returned", self._returned), ("errored", self._errored)):
            getattr(worker, name).connect(partial(slot, worker))
        keep_threads_free()
        worker.start()

    def stop(self) -> None:
        """Ask the work to stop; ``on_done`` comes within a second, with what was done or None.

        A library call that does not look at the event is left to end alone (`ending`); when it does, and nothing else
        was started meanwhile, ``on_done`` comes once more, with what it brings.
        """
        if self._cancel is not None and not self._cancel.is_set():
            self._cancel.set()
            if self._worker is not None:
                QTimer.singleShot(STOP_TIMEOUT_MS, partial(_let_go_if_alive, weakref.ref(self), self._worker))

    def _let_go(self, worker: Any) -> None:
        if worker is self._worker and worker is not None:
            self._worker, self._late = None, worker
            self._slots["returned"](None)

    def abandon(self) -> None:
        """Stop, and call nobody back: for a window that is closing."""
        self.stop()
        for worker in (self._worker, self._late):
            if worker is not None:
                # At the end of the program Qt may have taken the worker's signals away already.
                with contextlib.suppress(RuntimeError):
                    for name in self._slots:
                        getattr(worker, name).disconnect()
        self._worker = self._late = None
        self._slots = {}

    def _progressed(self, worker: Any, step: Progress) -> None:
        if worker is self._worker:
            self._slots["progressed"](step)

    def _returned(self, worker: Any, value: Any) -> None:
        late = worker is self._late and not self.running
        if worker is self._worker or late:
            self._worker = self._late = None
            self._slots["returned"](value)

    def _errored(self, worker: Any, error: Exception) -> None:
        if worker is self._late:
            self._returned(worker, None)
        elif worker is self._worker:
            self._worker = None
            self._slots["errored"](error)


def _let_go_if_alive(job: weakref.ref[BackgroundJob], worker: Any) -> None:
    target = job()
    if target is not None:
        target._let_go(worker)


def explain_error(error: BaseException) -> tuple[str, str]:
    """An error as one sentence for the user, and the details on demand."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, SfhInputError | ComputeError | OSError):
        return name_form_labels(str(error)), details
    return f"{type(error).__name__}: {_first_sentence(error)}", details
