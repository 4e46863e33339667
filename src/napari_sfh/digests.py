"""sha256 digests of files, texts and arrays: they tell which weights, templates, priors and data made a thing."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def hash_parts(*parts: str | bytes | NDArray[Any]) -> str:
    """Hexadecimal sha256 of texts (as UTF-8), bytes and arrays (their values in C order), one after the other.

    Types and shapes of arrays are not hashed; pass them as texts where they matter.

    Examples
    --------
    >>> hash_parts("ab", b"c")[:8] == hash_parts("abc")[:8]
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(
            part.encode() if isinstance(part, str) else part if isinstance(part, bytes) else np.ascontiguousarray(part)
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
