"""What long steps share: progress, cancel, and blocking calls in a thread or in a Python of their own.

A long step is a function with two last arguments. ``progress`` is called with a `types.Progress` at each piece of the
work, in the thread of the work. ``cancel`` is a `threading.Event`: once it is set, the step raises `errors.Cancelled`.

A thread shares the interpreter: code that holds it for long stops a window, whatever the thread. `run_in_process`
does not. ``python -m napari_sfh.jobs`` is its other end.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.types import Progress

T = TypeVar("T")
ReportProgress = Callable[[Progress], None]
#: Seconds between two looks at the cancel event while a library computes.
POLL_SECONDS = 0.2


def format_duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{max(5 * round(seconds / 5), 5)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def raise_if_cancelled(cancel: threading.Event | None) -> None:
    """Raise `Cancelled` when somebody asked to stop."""
    if cancel is not None and cancel.is_set():
        raise Cancelled


def report_progress(
    step: Progress, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> None:
    """Tell one piece of a long work, and stop the work if it was cancelled.

    Parameters
    ----------
    step : Progress
    progress : callable, optional
        Called with ``step``.
    cancel : threading.Event, optional

    Raises
    ------
    Cancelled
        ``cancel`` is set.

    Examples
    --------
    >>> report_progress(Progress("binning", 3, 10), lambda step: print(step.stage, step.done))
    binning 3
    """
    raise_if_cancelled(cancel)
    if progress is not None:
        progress(step)


def run_in_background(
    call: Callable[[], T],
    stage: str,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> T:
    """Run a library's blocking ``call`` in a daemon thread, and report ``stage`` until it ends.

    An exception of the call is raised here.

    Parameters
    ----------
    call : callable
        Without arguments.
    stage : str
        What is being done, for a person.
    progress, cancel : optional
        See `report_progress`.

    Returns
    -------
    object
        What ``call`` returns.

    Raises
    ------
    Cancelled
        The thread is then left to finish alone, its value thrown away.
    """
    value: list[T] = []
    error: list[BaseException] = []

    def target() -> None:
        try:
            value.append(call())
        except BaseException as exc:
            error.append(exc)

    thread = threading.Thread(target=target, name=f"napari-sfh {stage}", daemon=True)
    thread.start()
    while True:
        report_progress(Progress(stage, 0, 0), progress, cancel)
        thread.join(POLL_SECONDS)
        if not thread.is_alive():
            break
    raise_if_cancelled(cancel)
    if error:
        raise error[0]
    return value[0]


def run_in_process(
    function: Callable[..., T],
    args: tuple[Any, ...],
    stage: str,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> T:
    """Call ``function(*args)`` in a Python of its own, and report ``stage`` until it ends.

    The process is started anew rather than forked or spawned by `multiprocessing`, which would run a user's script
    (and open its window) once more. It yields to others of the machine (``nice``), and ends with a cancel.

    Parameters
    ----------
    function : callable
        Of the top level of an importable module. Its arguments and value go through a pipe as pickles.
    args : tuple
    stage : str
        Of the progress, and of the errors.
    progress, cancel : optional
        See `report_progress`.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    ComputeError
        The process was killed, or the function raised an error that is none of ours.
    Exception
        Of the function, if it is a `SfhInputError` or `ComputeError`.
    """
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "napari_sfh.jobs"],  # -P: nothing is imported from the current folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        call = pickle.dumps((function, args))
        answer = run_in_background(lambda: child.communicate(call), stage, progress, cancel)
    finally:
        child.kill()
    try:
        value, error = pickle.loads(answer[0])
    except (EOFError, pickle.UnpicklingError):
        last = (answer[1].decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ComputeError(
            f"{stage}: its process ended with status {child.returncode} ({last}); try again with less else in memory"
        ) from None
    if error is not None:
        raise error
    return value


def serve_process_call() -> None:
    """The other end of `run_in_process`: read a call, write ``(value, error)``; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(5)
    value, error = None, None
    try:
        function, args = pickle.load(sys.stdin.buffer)
        value = function(*args)
    except (SfhInputError, ComputeError, Cancelled) as ours:
        error = ours
    except Exception as other:
        error = ComputeError(f"{type(other).__name__}: {other}: this is a fault of the program or a library")
        error.add_note(traceback.format_exc())
    with answers:
        pickle.dump((value, error), answers)


if __name__ == "__main__":
    serve_process_call()
