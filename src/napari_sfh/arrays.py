"""Names for the arrays of the package, and the memory of those that are freed."""

from __future__ import annotations

import ctypes
import platform
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
#: Of any precision.
Floats = NDArray[np.floating]
#: A NumPy array or a torch tensor, for formulae that serve both.
AnyArray: TypeAlias = Any


def is_on_host(values: AnyArray) -> bool:
    """Whether values lie in the processor's memory: NumPy arrays, and torch tensors without another device.

    Parameters
    ----------
    values : array or tensor (...)

    Returns
    -------
    bool
    """
    return isinstance(values, np.ndarray | np.generic) or str(values.device) == "cpu"


#: Parameters of glibc's ``mallopt``.
_GLIBC_TRIM_THRESHOLD, _GLIBC_MMAP_THRESHOLD = -1, -3
#: Bytes that this process keeps by `keep_freed_memory`.
kept_bytes = 0


def keep_freed_memory(largest: int, most: int) -> bool:
    """Let this process keep arrays that it frees, for the next batch.

    Else the C library gives each back to the system, and the page faults of new ones cost a tenth of a batch's time,
    a fifth of a training step's. A later call keeps more, never less.

    Parameters
    ----------
    largest : int
        Bytes of the largest array that is kept.
    most : int
        Bytes that are kept in all, by each thread.

    Returns
    -------
    bool
        False where the C library is not glibc: nothing is changed there.
    """
    global kept_bytes
    if most <= kept_bytes:
        return True
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    library.mallopt(_GLIBC_MMAP_THRESHOLD, largest)
    library.mallopt(_GLIBC_TRIM_THRESHOLD, most)
    kept_bytes = most
    return True
