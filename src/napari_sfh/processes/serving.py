"""A Python that answers calls: ``python -m napari_sfh.processes.serving MODULE ...``, the other end of `calls`."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from napari_sfh.console import collect_seldom
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress

#: Before each call: the number of its bytes; 0 asks the call to stop.
LENGTH = struct.Struct("<Q")
#: In place of a module: the process yields to others (no module can have that name).
YIELD = "yield"


def serve_process_calls(modules: Sequence[str]) -> None:
    """The other end of a `ChildPython`: answer calls until there are no more; what libraries print goes to stderr.

    Parameters
    ----------
    modules : sequence of str
        Loaded first; `YIELD` among them says that it yields to others.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if YIELD in modules and hasattr(os, "nice"):
        os.nice(5)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    cancel = threading.Event()
    threading.Thread(target=_read_calls, args=(calls, cancel), daemon=True).start()

    def send(message: object) -> None:
        pickle.dump(message, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    def load_modules() -> None:
        for module in modules:
            if module != YIELD:
                importlib.import_module(module)

    _, failure = _attempt(load_modules)
    with suppress(BrokenPipeError), answers:  # nobody may ask for the answer any more
        while call := calls.get():
            answer = (None, failure) if failure else _attempt(partial(_answer_call, call, send, cancel))
            send(answer)


def _read_calls(calls: queue.SimpleQueue[bytes], cancel: threading.Event) -> None:
    """Put calls into the queue, nothing at their end; that, and an empty message, sets the event."""
    with os.fdopen(os.dup(0), "rb") as stream:
        while len(head := stream.read(LENGTH.size)) == LENGTH.size:
            call = stream.read(LENGTH.unpack(head)[0])
            if call:
                calls.put(call)
            else:
                cancel.set()
    cancel.set()
    calls.put(b"")


def _answer_call(call: bytes, send: ReportProgress, cancel: threading.Event) -> Any:
    function, args, follow = pickle.loads(call)
    return function(*args, progress=send, cancel=cancel) if follow else function(*args)


def _attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """The value of a call, and its error as one of ours."""
    try:
        return call(), None
    except (SfhInputError, ComputeError, Cancelled) as ours:
        return None, ours
    except Exception as other:
        error = ComputeError(f"{type(other).__name__}: {other}: this is a fault of the program or a library")
        error.add_note(traceback.format_exc())
        return None, error


if __name__ == "__main__":
    with collect_seldom():
        serve_process_calls(sys.argv[1:])
    # All has been said; taking PyTorch and Matplotlib down in order would keep a caller waiting for half a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
