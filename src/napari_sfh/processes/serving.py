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
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader
from typing import Any

from napari_sfh.console import collect_seldom
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.processes.held_values import run_held_call
from napari_sfh.types import Progress

#: Of a number before a message (its parts; none asks the call to stop) and before each part (its bytes).
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
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    writer = threading.Thread(target=_write_answers, args=(os.dup(1), said), daemon=True)
    writer.start()
    os.dup2(2, 1)
    if YIELD in modules and hasattr(os, "nice"):
        os.nice(5)
    calls: queue.SimpleQueue[list[bytearray]] = queue.SimpleQueue()
    cancel, held = threading.Event(), dict[Hashable, Any]()
    threading.Thread(target=_read_calls, args=(calls, cancel), daemon=True).start()

    def send(message: object) -> None:
        said.put(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    _, failure = _attempt(partial(load_modules, [module for module in modules if module != YIELD]))
    while parts := calls.get():
        _answer_call(parts, failure, send, cancel, held)
    said.put(None)
    writer.join()


def _write_answers(stream: int, said: queue.SimpleQueue[bytes | None]) -> None:
    """Write what is said; who asked may read it later than the next call is done, and a pipe holds little."""
    with suppress(BrokenPipeError), os.fdopen(stream, "wb", buffering=0) as answers:  # nobody may ask any more
        while (message := said.get()) is not None:
            rest = memoryview(message)
            while rest:
                rest = rest[answers.write(rest) :]


def load_modules(modules: Sequence[str]) -> None:
    """Load modules by their names, for what comes later."""
    for module in modules:
        importlib.import_module(module)


def _read_calls(calls: queue.SimpleQueue[list[bytearray]], cancel: threading.Event) -> None:
    """Put calls, each in its parts, into the queue, none at their end; that, and no parts, sets the event."""
    with os.fdopen(os.dup(0), "rb") as stream, suppress(EOFError):
        while True:
            call = [_read_part(stream, _read_length(stream)) for _ in range(_read_length(stream))]
            if call:
                calls.put(call)
            else:
                cancel.set()
    cancel.set()
    calls.put([])


def _read_length(stream: BufferedReader) -> int:
    return int(LENGTH.unpack(_read_part(stream, LENGTH.size))[0])


def _read_part(stream: BufferedReader, size: int) -> bytearray:
    part = bytearray(size)
    if stream.readinto(part) < size:
        raise EOFError
    return part


def _answer_call(
    parts: list[bytearray],
    failure: Exception | None,
    send: Callable[[object], None],
    cancel: threading.Event,
    held: dict[Hashable, Any],
) -> None:
    """Send a call's number (0: nobody asks), value and error; before them number and progress where it is followed.

    ``held`` is what calls have left, by their numbers.
    """
    number, follow = pickle.loads(parts[0])

    def tell(step: Progress) -> None:
        send((number, step))

    def answer() -> Any:
        if failure:
            raise failure
        function, args = pickle.loads(parts[1], buffers=parts[2:])
        call = partial(function, progress=tell, cancel=cancel) if follow else function
        return run_held_call(number, call, args, held)

    done = _attempt(answer)
    if number:
        send((number, *done))


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
