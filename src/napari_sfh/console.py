"""Progress of long steps on a terminal or in a log."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from napari_sfh.config import OPTIONS, name_settings

if TYPE_CHECKING:
    from napari_sfh.jobs import ReportProgress
    from napari_sfh.types import Progress


def expand_home(words: Sequence[str]) -> list[str]:
    """Words of a command line with ``~`` as the home folder, which shells leave in quotes and behind ``=``.

    Examples
    --------
    >>> expand_home(["F555W=~/x.fits"]) == [f"F555W={os.path.expanduser('~')}/x.fits"]
    True
    """
    return [re.sub(r"(?:^|(?<==))~[^/\\]*(?=[/\\]|$)", lambda m: os.path.expanduser(m.group()), w) for w in words]


@contextmanager
def print_progress(quiet: bool = False, stream: TextIO | None = None) -> Iterator[ReportProgress | None]:
    """A ``progress`` for a long step: on stderr one line a stage on a log, one moving line on a terminal.

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
    last = ""

    def tell(step: Progress) -> None:
        nonlocal last
        if step.stage == last and not moving:
            return
        stage = name_settings(step.stage, OPTIONS)
        count = f" {step.done}/{step.total}" if step.total else ""
        if moving:
            print(f"\r\x1b[K{stage}{count}", end="\n" if step.stays else "", file=stream, flush=True)
        else:
            print(stage, file=stream, flush=True)
        last = step.stage

    try:
        yield None if quiet else tell
    finally:
        if moving and last:
            print(file=stream)
