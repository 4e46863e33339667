"""Names for the arrays of the package."""

from __future__ import annotations

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
