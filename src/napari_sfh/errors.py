"""The two errors that the package raises on purpose.

Every message names the file (or argument), the key and the remedy, in one line.
"""

from __future__ import annotations


class SfhInputError(ValueError):
    """The input cannot be used: a file, a header card, an option. The command line exits with status 2."""


class ComputeError(Exception):
    """A computation failed (out of memory, disk full, a library's failure). Exit status 1.

    Not a ``RuntimeError``: napari's generator workers swallow those, so anything of that kind that can reach a
    worker (torch's out-of-memory error among them) is converted to this class.
    """
