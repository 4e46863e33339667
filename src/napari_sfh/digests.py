"""sha256 digests of files, texts and arrays: they tell which weights, templates, priors and data made a thing."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What can be hashed.
Part = str | bytes | NDArray[Any]


def hash_parts(*parts: Part | tuple[Part, ...]) -> str:
    """Hexadecimal sha256 of texts (as UTF-8), bytes and arrays (their values in C order), one after the other.

    Tuples count as their parts. Types and shapes of arrays are not hashed; pass them as texts where they matter.

    Examples
    --------
    >>> hash_parts("ab", (b"c", "d")) == hash_parts("abcd")
    True
    """
    digest = hashlib.sha256()
    for group in parts:
        for part in group if isinstance(group, tuple) else (group,):
            digest.update(
                part.encode()
                if isinstance(part, str)
                else np.ascontiguousarray(part).data
                if isinstance(part, np.ndarray)
                else part
            )
    return digest.hexdigest()


def hash_file(path: Path | str) -> str:
    """Hexadecimal sha256 of a file; computed once for as long as its size and date stay the same."""
    status = Path(path).stat()
    return _hash_file_content(Path(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _hash_file_content(path: Path, changed_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
