"""Calls in a Python of their own: one that is waited for, several of a process that stands by, one begun ahead.

Such a process is started anew rather than forked or spawned by `multiprocessing`, which would run a user's script (and
open its window) once more. Calls and values go through pipes as pickles.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from napari_sfh.errors import ComputeError
from napari_sfh.jobs import END_SECONDS, ReportProgress, run_in_background
from napari_sfh.processes.environment import restrict_algebra_threads
from napari_sfh.processes.serving import LENGTH, YIELD, load_modules
from napari_sfh.types import Progress

T = TypeVar("T")


class ProcessEnded(ComputeError):
    """The process of a call ended before its value came: it was killed."""


class ChildPython:
    """A Python of its own that answers calls, one after the other.

    Parameters
    ----------
    modules : sequence of str
        It loads them at once, and before the first call is done.
    yields : bool
        To others of the machine (``nice``): nobody waits for it.

    Attributes
    ----------
    process : Popen
    """

    def __init__(self, modules: Sequence[str] = (), yields: bool = False) -> None:
        # -P: nothing is imported from the current folder.
        command = [sys.executable, "-P", "-m", "napari_sfh.processes.serving"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (until the end)
        self._idle, self._calls = False, 0
        pipe, environment = subprocess.PIPE, dict(os.environ)
        restrict_algebra_threads(environment)
        self.process = subprocess.Popen(
            [*command, *([YIELD] if yields else []), *modules],
            stdin=pipe,
            stdout=pipe,
            stderr=self._said,
            env=environment,
        )

    def begin(self, function: Callable[..., Any], args: tuple[Any, ...] = (), follow: bool = False) -> int:
        """Have it call ``function(*args)`` when it has done what it was asked before.

        Parameters
        ----------
        function : callable
            Of the top level of an importable module.
        args : tuple
        follow : bool
            The function takes ``progress`` and ``cancel``, too.

        Returns
        -------
        int
            By which `wait` and `finish` know the call.
        """
        self._idle = False
        self._calls += 1
        self._send((self._calls, follow), (function, args))
        return self._calls

    def load(self, modules: Sequence[str]) -> None:
        """Have it load modules when it has done what it was asked before; nobody waits for that."""
        self._send((0, False), (load_modules, (tuple(modules),)))

    def cancel(self) -> None:
        """Set the event of calls that are followed."""
        self._send()

    def _send(self, *messages: tuple[Any, ...]) -> None:
        """Write the number of the parts, then of each its length and itself; arrays are parts, and not copied."""
        assert self.process.stdin is not None
        buffers: list[pickle.PickleBuffer] = []
        parts: list[bytes | memoryview] = [
            pickle.dumps(message, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append) for message in messages
        ]
        parts += [buffer.raw() for buffer in buffers]
        with suppress(BrokenPipeError):  # its end is told by who waits for the answer
            self.process.stdin.write(LENGTH.pack(len(parts)))
            for part in parts:
                self.process.stdin.write(LENGTH.pack(len(part)))
                self.process.stdin.write(part)
            self.process.stdin.flush()

    def wait(self, call: int, stage: str, progress: ReportProgress | None = None) -> Any:
        """The value of a call; those that were begun before it are asked for before, or never.

        Parameters
        ----------
        call : int
            Of `begin`.
        stage : str
            What is being done, for errors.
        progress : callable, optional
            Given the progress of a call that is followed.

        Raises
        ------
        ProcessEnded
            The process was killed.
        ComputeError
            The function raised an error that is none of ours.
        Exception
            Of the function, if it is a `SfhInputError`, `ComputeError` or `Cancelled`.
        """
        assert self.process.stdout is not None
        try:
            while (message := pickle.load(self.process.stdout))[0] != call or isinstance(message[1], Progress):
                if progress is not None and message[0] == call:
                    progress(message[1])
        except (EOFError, pickle.UnpicklingError):
            status = self.process.wait()
            self._said.seek(0)
            last = (self._said.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise ProcessEnded(
                f"{stage}: its process ended with status {status} ({last}); try again with less else in memory"
            ) from None
        self._idle = True
        _, value, error = message
        if error is not None:
            raise error
        return value

    def finish(
        self, call: int, stage: str, progress: ReportProgress | None = None, cancel: threading.Event | None = None
    ) -> Any:
        """As `wait`, for a call that is followed.

        Parameters
        ----------
        call : int
            Of `begin`.
        stage : str
            What is being done, for errors.
        progress, cancel : optional
            See `jobs.report_progress`.

        Raises
        ------
        Cancelled, SfhInputError, ComputeError
            Of the function; or the process was killed.
        """
        steps: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        told = False

        def tell(_: Progress | None = None) -> None:
            nonlocal told
            while progress is not None and not steps.empty():
                progress(steps.get())
            if cancel is not None and cancel.is_set() and not told:
                told = True
                self.cancel()

        value = run_in_background(lambda: self.wait(call, stage, steps.put), stage, tell)
        tell()
        return value

    def end(self) -> None:
        """End it, whatever it does."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS if self._idle else 0)
        self.process.kill()
        self.process.wait()
        self._said.close()


@contextmanager
def start_process(modules: Sequence[str]) -> Iterator[ChildPython]:
    """A Python of its own for calls of `run_in_process`: it loads modules meanwhile, and ends with the context.

    Parameters
    ----------
    modules : sequence of str
        What the calls will need.
    """
    child = ChildPython(modules)
    try:
        yield child
    finally:
        child.end()


def run_in_process(
    function: Callable[..., T],
    args: tuple[Any, ...],
    stage: str,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
    child: ChildPython | None = None,
) -> T:
    """Call ``function(*args)`` in a Python of its own, and report ``stage`` until it ends.

    It ends with a cancel. It yields to others of the machine (``nice``), unless it was started beforehand: then
    somebody waits for it.

    Parameters
    ----------
    function : callable
        Of the top level of an importable module. Its arguments and value go through a pipe as pickles.
    args : tuple
    stage : str
        Of the progress, and of the errors.
    progress, cancel : optional
        See `report_progress`.
    child : ChildPython, optional
        Of `start_process`; it can be called again. Another one does the call where it has ended.

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
    stands_by = child is not None and child.process.poll() is None
    python = child if child and stands_by else ChildPython(yields=child is None)
    ended = False
    try:
        call = python.begin(function, args)
        value: T = run_in_background(lambda: python.wait(call, stage), stage, progress, cancel)
        ended = True
    finally:
        if not (stands_by and ended):
            python.end()
    return value


class CallAhead:
    """A call in a Python of its own that is begun before it is asked for.

    Parameters
    ----------
    name : str
        ``module:function``; the function takes ``progress`` and ``cancel``. This process need not load it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        module, _, _ = name.partition(":")
        self._child = ChildPython([module])
        self._call = self._child.begin(_call_by_name, (name,), follow=True)

    def finish(self, progress: ReportProgress | None = None, cancel: threading.Event | None = None) -> Any:
        """Wait for the value; a second time there is none.

        Parameters
        ----------
        progress, cancel : optional
            See `report_progress`.

        Raises
        ------
        Cancelled, SfhInputError, ComputeError
            Of the function; or the process was killed.
        """
        try:
            return self._child.finish(self._call, self.name, progress, cancel)
        finally:
            self._child.end()

    def drop(self) -> None:
        """End it: nobody asks for the value any more."""
        self._child.end()


def _call_by_name(name: str, progress: ReportProgress, cancel: threading.Event) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(progress, cancel)
