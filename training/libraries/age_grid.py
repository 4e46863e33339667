"""Sub-bins of age: fine enough for any star-formation history, each an average over time.

The forward model sees a history as mass formed in sub-bins. Their edges contain the 16 age bins' edges, 10
Myr (birth clouds disperse) and 13.8 Gyr (the age of the universe). Inside a sub-bin stars form at a
constant rate, so its spectrum is the time average of the SSPs in it; the light of SSPs between two ages of
a library is linear in log age, and constant beyond its youngest and oldest age.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.ages import AGE_EDGES_GYR, BIRTH_CLOUD_AGE_GYR, N_AGE
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.types import F64

# Ionising light changes by the Myr in the first bin; elsewhere four steps per bin are below the libraries'
# own steps.
_FIRST_BIN_GYR = (0.001, 0.002, 0.003, 0.004, 0.005, 0.0065, 0.008, BIRTH_CLOUD_AGE_GYR, 0.012)
_LAST_BIN_GYR = (11.6, 12.6, 13.8, 15.6)
_STEPS_PER_BIN = 4
_SAMPLES = 200  # per sub-bin, of the time average


def _build_sub_edges() -> F64:
    parts = [np.array([0.0, *_FIRST_BIN_GYR])]
    for lo, hi in pairwise(AGE_EDGES_GYR[1:-1]):
        parts.append(np.geomspace(lo, hi, _STEPS_PER_BIN + 1)[:-1])
    parts.append(np.array([AGE_EDGES_GYR[-2], *_LAST_BIN_GYR, AGE_EDGES_GYR[-1]]))
    return np.concatenate(parts)


#: Edges of the sub-bins in Gyr, shape (S + 1,).
SUB_EDGES_GYR: F64 = _build_sub_edges()
#: Age bin (0-15) of each sub-bin, shape (S,).
BIN_OF_SUB: NDArray[np.int_] = np.clip(
    np.searchsorted(AGE_EDGES_GYR, 0.5 * (SUB_EDGES_GYR[1:] + SUB_EDGES_GYR[:-1])) - 1, 0, N_AGE - 1
)
#: Number of sub-bins younger than 10 Myr: those in birth clouds. They come first.
N_YOUNG: int = int(np.sum(SUB_EDGES_GYR[1:] <= BIRTH_CLOUD_AGE_GYR))
#: Number of sub-bins whose stars ionise gas (younger than 28 Myr). They come first.
N_ION: int = int(np.sum(SUB_EDGES_GYR[1:] <= AGE_EDGES_GYR[2] * (1 + 1e-9)))

for _array in (SUB_EDGES_GYR, BIN_OF_SUB):
    _array.flags.writeable = False


def averaging_matrix(age_gyr: NDArray[np.floating], edges_gyr: F64 = SUB_EDGES_GYR) -> F64:
    """Weights (S, T) of a library's SSPs in the time average over each age interval; rows sum to 1.

    Parameters
    ----------
    age_gyr : array (T,)
        Increasing ages of the SSPs.
    edges_gyr : array (S + 1,)
        Edges of the intervals.
    """
    lg_age = np.log10(np.asarray(age_gyr, dtype=np.float64))
    matrix = np.zeros((edges_gyr.size - 1, lg_age.size))
    for row, (lo, hi) in zip(matrix, pairwise(edges_gyr)):
        middle = lo + (hi - lo) * (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        index, share = find_bracket(lg_age, np.log10(middle))
        np.add.at(row, index, 1.0 - share)
        np.add.at(row, index + 1, share)
    return matrix / _SAMPLES


def interpolation_matrix(nodes: NDArray[np.floating], x: NDArray[np.floating]) -> F64:
    """Weights that interpolate linearly between nodes, constant outside.

    Parameters
    ----------
    nodes : array (n,)
        Rising.
    x : array (m,)

    Returns
    -------
    array (m, n)
        Rows sum to one.
    """
    index, share = find_bracket(np.asarray(nodes, dtype=np.float64), np.asarray(x))
    matrix = np.zeros((index.size, len(nodes)))
    matrix[np.arange(index.size), index] = 1.0 - share
    matrix[np.arange(index.size), index + 1] += share
    return matrix
