"""Progress of long steps on a terminal or in a log."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from napari_sfh.config import OPTIONS, name_settings
from napari_sfh.errors import ComputeError, SfhInputError

if TYPE_CHECKING:
    from napari_sfh.jobs import ReportProgress
    from napari_sfh.types import Progress


#: Where lines of progress go.
LogLine = Callable[[str], None]
#: Seconds between two lines about the same step in a log.
LOG_SECONDS = 10.0
#: New objects after which a command looks for cycles (Python: 700). Its libraries make 350 000 that stay; looking at
#: these again and again takes a tenth of their loading, and once more at the end of the process.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


class Pace:
    """When it is time for another line about a long step."""

    def __init__(self, seconds: float = LOG_SECONDS) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def restart(self) -> None:
        """Count from now on."""
        self.last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the seconds have passed."""
        return time.monotonic() - self.last >= self.seconds


def make_stderr_logger(quiet: bool) -> LogLine:
    """A function that writes a line on stderr at once; where quiet, one that does nothing.

    It can be pickled: trainings on several devices hand it to their processes.
    """
    return _say_nothing if quiet else print_message


def print_message(line: str) -> None:
    """A line on stderr at once: notes, problems and what is under way."""
    with suppress(OSError):  # a log that is full or closed ends no work
        print(line, file=sys.stderr, flush=True)


def _say_nothing(line: str) -> None:
    """Nobody listens."""


def run_command(
    command: Callable[[], int | None], program: str, interrupted: str, words: Mapping[str, str] = OPTIONS
) -> int:
    """The exit status of a command; its problems are one line on stderr.

    Parameters
    ----------
    command : callable
        Returns the status, None for 0.
    program : str
        With which the line begins.
    interrupted : str
        What is left after Ctrl-C.
    words : mapping of str to str
        What its user knows a setting by, see `list_option_names`.

    Returns
    -------
    int
        2 for input that cannot be used, 1 for a failure.
    """
    try:
        _prepare_process()
        with collect_seldom():
            status = int(command() or 0)
        sys.stdout.flush()
    except SfhInputError as error:
        for note in getattr(error, "__notes__", ()):
            print_message(f"note: {name_settings(note, words)}")
        _say_problem(program, str(error), words)
        return 2
    except ComputeError as error:
        _say_problem(program, str(error), words)
    except BrokenPipeError:
        _say_problem(program, "nobody reads the standard output any more", words)
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        _say_problem(program, f"{place}{error.strerror or error}; check the name, the permissions and the disk", words)
    except MemoryError:
        _say_problem(program, "there is not enough memory; close other programs, or take a larger machine", words)
    except KeyboardInterrupt:
        _say_problem(program, f"interrupted; {interrupted}", words)
    else:
        return status
    return 1


def _say_problem(program: str, sentence: str, words: Mapping[str, str]) -> None:
    """A problem on stderr, its settings named as options."""
    print_message(f"{program}: {name_settings(sentence, words)}")


@contextmanager
def collect_seldom() -> Iterator[None]:
    """Let Python look for cycles seldom, and not at all when it ends."""
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *usual[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def drop_teardown() -> Callable[[int], None]:
    """Have this process end as soon as what libraries registered for its end (`atexit`) is done.

    Python would take PyTorch and astropy down module by module, for which a shell waits 0.3 s. What was registered
    before this call is left out.

    Returns
    -------
    callable
        Takes the exit status. A process that never gives one ends as usual.
    """
    given: list[int] = []

    def end() -> None:
        if given:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(given[0])

    atexit.register(end)
    return given.append


def _prepare_process() -> None:
    """Make the process independent of what its shell left closed, of encodings, and of Matplotlib's backend.

    Raises
    ------
    SfhInputError
        The home folder cannot be entered: astropy looks into it and fails. The folder of the shell is gone: torch
        ends the process then.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise SfhInputError("the folder that this was started in is gone: change into another one (cd)") from error
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would take its place, and be written to
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Pages are drawn without a backend; one that is not there would fail all of Matplotlib.
    os.environ.pop("MPLBACKEND", None)
    try:
        (Path.home() / ".astropy").exists()
    except (OSError, RuntimeError) as error:
        why = f" ({error.filename}: {error.strerror})" if isinstance(error, OSError) else ""
        raise SfhInputError(f"no home folder that can be entered{why}: set HOME to a folder of yours") from error


def resolve_home(words: Sequence[str]) -> list[str]:
    """Words of a command line with ``~`` as the home folder, which shells leave in quotes and behind ``=``.

    Examples
    --------
    >>> resolve_home(["F555W=~/x.fits"]) == [f"F555W={os.path.expanduser('~')}/x.fits"]
    True
    """
    return [re.sub(r"(?:^|(?<==))~[^/\\]*(?=[/\\]|$)", lambda m: os.path.expanduser(m.group()), w) for w in words]


def list_option_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What the user of a parser, and of the parsers of its subcommands, knows each argument by.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--sigma", "-s", dest="sigma_kms")
    >>> list_option_names(parser)["sigma_kms"]
    '--sigma'
    """
    names: dict[str, str] = {}
    for action in parser._actions:  # argparse has no public list of them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                names |= list_option_names(command)
        elif action.option_strings:
            names[action.dest] = max(action.option_strings, key=len)
    return names


@contextmanager
def print_progress(quiet: bool = False, stream: TextIO | None = None) -> Iterator[ReportProgress | None]:
    """A ``progress`` for a long step: on a terminal one moving line, in a log one a stage and one every ten seconds.

    Parameters
    ----------
    quiet : bool
        Print nothing.
    stream : text stream, optional
        Default: standard error.

    Returns
    -------
    context manager
        Gives the ``progress``, or None where quiet.
    """
    stream = stream or sys.stderr
    moving = stream.isatty()
    last, pace = "", Pace()

    def tell(step: Progress) -> None:
        nonlocal last
        goes_on = step.stage == last
        if goes_on and not moving and not (step.total and pace.is_due()):
            return
        stage = name_settings(step.stage, OPTIONS)
        count = f" {step.done}/{step.total}" if step.total else ""
        with suppress(OSError):
            if moving:
                print(f"\r\x1b[K{stage}{count}", end="\n" if step.stays else "", file=stream, flush=True)
            else:
                print(f"{stage}{count if goes_on else ''}", file=stream, flush=True)
        last = step.stage
        pace.restart()

    try:
        yield None if quiet else tell
    finally:
        if moving and last:
            print(file=stream)
