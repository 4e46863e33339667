"""Progress of long steps on a terminal or in a log."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from napari_sfh.config import OPTIONS, name_settings

if TYPE_CHECKING:
    from napari_sfh.jobs import ReportProgress
    from napari_sfh.types import Progress


#: Where lines of progress go.
LogLine = Callable[[str], None]
#: Seconds between two lines about the same step in a log.
LOG_SECONDS = 10.0


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
    return _say_nothing if quiet else _say_on_stderr


def _say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say_nothing(line: str) -> None:
    """Nobody listens."""


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
