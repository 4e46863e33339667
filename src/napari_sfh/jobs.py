"""What long steps share: progress, cancel, blocks of rows on the cores, calls in a thread.

A long step is a function with two last arguments. ``progress`` is called with a `types.Progress` at each piece of the
work, in the thread of the work. ``cancel`` is a `threading.Event`: once it is set, the step raises `errors.Cancelled`.

A thread shares the interpreter: code that holds it for long stops a window, whatever the thread. A Python of its own
(`processes`) does not.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, TypeVar

from napari_sfh.errors import Cancelled
from napari_sfh.types import Progress

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

T = TypeVar("T")
ReportProgress = Callable[[Progress], None]
#: Seconds between two looks at the cancel event while a library computes.
POLL_SECONDS = 0.2
#: Seconds for which Python's end waits for calls that were cancelled.
END_SECONDS = 5.0
#: Threads of calls that nobody waits for any more.
_abandoned: list[threading.Thread] = []
#: Modules with which a linear algebra of their own is loaded.
_ALGEBRAS = ("numpy._core._multiarray_umath", "scipy.linalg._fblas", "torch._C")


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
        The thread is then left to finish alone, its value thrown away; Python's end waits a little for it.
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
    try:
        while True:
            report_progress(Progress(stage, 0, 0), progress, cancel)
            thread.join(POLL_SECONDS)
            if not thread.is_alive():
                break
    except BaseException:
        _abandon(thread)
        raise
    raise_if_cancelled(cancel)
    if error:
        raise error[0]
    return value[0]


def _abandon(thread: threading.Thread) -> None:
    """Let a thread finish alone; Python, which would end it amid a library's code and abort with that, waits for it."""
    atexit.unregister(_wait_for_abandoned)
    atexit.register(_wait_for_abandoned)
    _abandoned[:] = [*(each for each in _abandoned if each.is_alive()), thread]


def _wait_for_abandoned() -> None:
    end = time.monotonic() + END_SECONDS
    with suppress(KeyboardInterrupt):
        for thread in _abandoned:
            thread.join(max(0.0, end - time.monotonic()))


def count_cores() -> int:
    """Cores that this process may use, fewer where ``OMP_NUM_THREADS`` says so, as it does on Dask workers."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable is not None else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked)) if asked.isdigit() else cores)


def limit_algebra_threads() -> AbstractContextManager[object]:
    """One thread for linear algebra as long as the context lasts: where matrices are small, others cost time."""
    return _find_algebras(tuple(name in sys.modules for name in _ALGEBRAS)).limit(limits=1, user_api="blas")


@functools.cache
def _find_algebras(loaded: tuple[bool, ...]) -> ThreadpoolController:
    """The libraries are looked for among all that are loaded, which takes longer than many a small piece of work."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def compute_blocks(step: Callable[[slice], T], n: int, size: int) -> Iterator[tuple[slice, T]]:
    """Apply a step to blocks of rows, one thread a block, as many at a time as there are cores.

    NumPy computes without holding the interpreter. An exception of a step is raised here, and no other block is begun.

    Parameters
    ----------
    step : callable
        From the slice of a block to its value. What it writes must lie in its rows.
    n : int
        Rows of all blocks.
    size : int
        Rows of a block.

    Yields
    ------
    block : slice
    value : object
        In the order of the rows.
    """
    blocks = [slice(lo, min(lo + size, n)) for lo in range(0, n, size)]
    cores = min(count_cores(), len(blocks))
    if cores < 2:
        yield from ((block, step(block)) for block in blocks)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(cores, "napari-sfh blocks")
    try:
        with limit_algebra_threads():
            for block, value in zip(blocks, [pool.submit(step, block) for block in blocks]):
                yield block, value.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
