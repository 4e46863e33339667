"""The 16 age bins and the solar scale of Galceran et al. (2026, arXiv:2605.13973, section 3.1).

Ages are lookback times. The edges are chosen so that the arithmetic centres are the paper's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Edges of the age bins, lookback time in Gyr, shape (17,).
AGE_EDGES_GYR: NDArray[np.float64] = np.array(
    [
        0,
        0.014,
        0.028,
        0.057,
        0.095,
        0.134,
        0.189,
        0.271,
        0.419,
        0.671,
        1.059,
        1.681,
        2.659,
        4.221,
        6.689,
        10.601,
        17.8,
    ]
)
#: Arithmetic centres of the bins in Gyr, shape (16,).
AGE_GYR: NDArray[np.float64] = 0.5 * (AGE_EDGES_GYR[1:] + AGE_EDGES_GYR[:-1])
#: log10 of the centres in yr, shape (16,): the ages that enter every mean (paper eq. 6).
LG_AGE_YR: NDArray[np.float64] = np.log10(AGE_GYR) + 9.0
#: Age of the Universe in Gyr (flat LCDM, H0 = 70 km/s/Mpc, Omega_m = 0.3): no star of the shipped priors is older.
UNIVERSE_GYR: float = 13.47


def limit_age_edges(edges_gyr: NDArray[np.floating]) -> NDArray[np.float64]:
    """Edges of age bins between which stars can have formed: the oldest bin ends with the Universe.

    Parameters
    ----------
    edges_gyr : array (A + 1,)
        Gyr of lookback time, youngest first.

    Returns
    -------
    array (A + 1,)
        The last is `UNIVERSE_GYR` where that lies in the oldest bin.

    Examples
    --------
    >>> limit_age_edges(np.array([0.0, 1.0, 17.8])).tolist()
    [0.0, 1.0, 13.47]
    """
    edges = np.array(edges_gyr, dtype=np.float64)
    if edges[-2] < UNIVERSE_GYR < edges[-1]:
        edges[-1] = UNIVERSE_GYR
    return edges


#: Edges in Gyr between which stars can have formed, shape (17,): those of rates and times, while `AGE_EDGES_GYR`
#: gives the ages that enter the means.
TIME_EDGES_GYR: NDArray[np.float64] = limit_age_edges(AGE_EDGES_GYR)
#: Time in yr in which stars of each bin can have formed, shape (16,): mass over it is the star-formation rate.
AGE_WIDTH_YR: NDArray[np.float64] = np.diff(TIME_EDGES_GYR) * 1e9
#: Number of age bins.
N_AGE: int = AGE_GYR.size
#: Mass fraction of metals in the Sun: [M/H] = log10(Z / Z_SUN).
Z_SUN: float = 0.019
#: Age in Gyr below which stars sit in their birth clouds (Charlot & Fall 2000).
BIRTH_CLOUD_AGE_GYR: float = 0.010

for _a in (AGE_EDGES_GYR, TIME_EDGES_GYR, AGE_GYR, LG_AGE_YR, AGE_WIDTH_YR):
    _a.flags.writeable = False


def compute_age_centres(age_edges_gyr: NDArray[np.floating]) -> NDArray[np.float64]:
    """Arithmetic centres of age bins.

    Parameters
    ----------
    age_edges_gyr : array (A + 1,)
        Edges, Gyr of lookback time, youngest first.

    Returns
    -------
    array (A,)
        Gyr.
    """
    edges = np.asarray(age_edges_gyr, dtype=np.float64)
    return 0.5 * (edges[1:] + edges[:-1])


def compute_lg_age_centres(age_edges_gyr: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms of the bins' centres: the ages that enter every mean.

    Parameters
    ----------
    age_edges_gyr : array (A + 1,)
        Edges, Gyr of lookback time, youngest first.

    Returns
    -------
    array (A,)
        log10 of yr.
    """
    return np.log10(compute_age_centres(age_edges_gyr)) + 9.0
