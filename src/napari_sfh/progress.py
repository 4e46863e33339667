"""Long work as plain generators: a blocking call made into one, and the polite end of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from napari_sfh.types import Progress

T = TypeVar("T")
#: Seconds between two looks at the cancel event while a library computes.
POLL_SECONDS = 0.2


def in_background(
    call: Callable[[], T], stage: str, cancel: threading.Event | None = None
) -> Generator[Progress, None, T | None]:
    """Run a library's blocking ``call`` in a daemon thread and yield until it ends.

    Returns its value, or None on cancel: the thread is then left to finish alone, its value thrown away. An
    exception of the call is raised here.
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
        thread.join(POLL_SECONDS)
        if cancel is not None and cancel.is_set():
            return None
        if not thread.is_alive():
            break
        yield Progress(stage, 0, 0)
    if error:
        raise error[0]
    return value[0]


def cancelled(cancel: threading.Event | None) -> bool:
    """True when somebody asked to stop."""
    return cancel is not None and cancel.is_set()
