"""Command lines as reports and bundles record them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence

_ABSOLUTE = re.compile(r"(?<![\w.~/])/(?:[^/\s'\"=]+/)+([^/\s'\"]+)")


def describe_command_line(words: Sequence[str] | None = None) -> str:
    """The line of this process, of absolute paths the last part alone: the user's folders are nobody's affair.

    Parameters
    ----------
    words : sequence of str, optional
        Behind the program's name; those of this process unless given.

    Examples
    --------
    >>> describe_command_line(["train", "--config", "wide", "--output", "/home/ada/runs/mine"])
    'napari-sfh-train train --config wide --output mine'
    """
    return shorten_paths(shlex.join(["napari-sfh-train", *(sys.argv[1:] if words is None else words)]))


def shorten_paths(text: str) -> str:
    """Text in which absolute paths are their last part.

    Examples
    --------
    >>> shorten_paths("--output=/home/ada/x.json runs/y")
    '--output=x.json runs/y'
    """
    return _ABSOLUTE.sub(r"\1", text)
