"""Scatter that outliers do not move: the median absolute deviation, scaled to sigma of a normal distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Sigma of a normal distribution over its median absolute deviation, 1 / Phi^-1(3/4).
SIGMA_PER_MAD: float = 1.482602


def measure_nmad(values: NDArray[np.floating]) -> float:
    """Normalised median absolute deviation about the median.

    Parameters
    ----------
    values : array (n,)
        Finite.

    Returns
    -------
    float
        In their unit; NaN without a value.

    Examples
    --------
    >>> round(measure_nmad(np.array([-1.0, 0.0, 1.0, 100.0, 0.5])), 3)
    0.741
    """
    if values.size == 0:
        return float("nan")
    return SIGMA_PER_MAD * float(np.median(np.abs(values - np.median(values))))
