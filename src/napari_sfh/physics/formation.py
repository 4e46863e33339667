"""When the mass was formed: the share that is older than each lookback time, and the times at which it passes shares.

The formation rate is constant within an age bin (in the oldest one since the Universe began), so the curve is linear
between the bins' edges. ``t50`` is the
lookback time at which half of the mass had been formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from napari_sfh.arrays import F64, AnyArray, Floats
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, limit_age_edges

#: Per cents of the mass whose formation times are told and learnt (nine percentiles: Iglesias-Navarro 2023, thesis,
#: La Laguna), and the same as fractions.
FORMATION_PERCENTS: tuple[int, ...] = tuple(range(10, 100, 10))
FORMED_FRACTIONS: tuple[float, ...] = tuple(percent / 100 for percent in FORMATION_PERCENTS)


def cumulative_fraction(fraction: AnyArray) -> Any:
    """Fraction formed from the beginning (the oldest bin) to the young edge of each bin, along the last axis.

    Parameters
    ----------
    fraction : array (..., A)
        Fractions of age bins, youngest first; NumPy or torch.

    Returns
    -------
    array (..., A)
        Falling; the first is the sum.

    Examples
    --------
    >>> cumulative_fraction(np.array([0.25, 0.25, 0.5])).tolist()
    [1.0, 0.75, 0.5]
    """
    xp = array_namespace(fraction)
    return xp.flip(xp.cumulative_sum(xp.flip(fraction, axis=-1), axis=-1), axis=-1)


def sum_mass_from_oldest(mass: Floats) -> F64:
    """Share of the mass that is older than each edge of age bins.

    Parameters
    ----------
    mass : array (..., A)
        Mass formed in each bin, youngest first, in any unit.

    Returns
    -------
    array (..., A + 1)
        From 1 at the first edge to 0 at the last; NaN where the mass is unknown.
    """
    grown = cumulative_fraction(np.asarray(mass, dtype=np.float64))
    total = grown[..., :1]
    grown = np.concatenate([grown, 0.0 * total], axis=-1)
    return np.divide(grown, total, out=np.full_like(grown, np.nan), where=total > 0)


def compute_formation_times(
    grown: Floats, fractions: Sequence[float] | Floats, edges_gyr: Floats = AGE_EDGES_GYR
) -> F64:
    """Lookback times at which fractions of the mass had been formed.

    Parameters
    ----------
    grown : array (..., E)
        Share of the mass that is older than each edge: 1 at the first, 0 at the last, falling. Where it rises, as a
        posterior's quantile may, the largest share of all older edges holds.
    fractions : sequence (F,)
        Between 0 and 1.
    edges_gyr : array (E,)
        Lookback times in Gyr, increasing.

    Returns
    -------
    array (..., F)
        Gyr, linear between the edges, at most `ages.UNIVERSE_GYR`; NaN where a curve has an undefined point.

    Raises
    ------
    SfhInputError
        A curve has another number of points than there are edges.

    Examples
    --------
    >>> compute_formation_times(np.array([1.0, 0.5, 0.0]), (0.25, 0.9), np.array([0.0, 2.0, 10.0])).round(3).tolist()
    [6.0, 0.4]
    """
    if np.shape(grown)[-1] != np.size(edges_gyr):
        raise SfhInputError(f"curve of {np.shape(grown)[-1]} points for {np.size(edges_gyr)} edges of age bins")
    rising = np.maximum.accumulate(np.asarray(grown, dtype=np.float64)[..., ::-1], axis=-1)
    oldest_first = limit_age_edges(np.asarray(edges_gyr))[::-1]
    wanted = np.asarray(fractions, dtype=np.float64)
    # The first point, from the oldest on, at which at least the fraction had been formed.
    upper = np.stack([(rising < fraction).sum(-1) for fraction in wanted], axis=-1)
    upper = np.clip(upper, 1, rising.shape[-1] - 1)
    low, high = (np.take_along_axis(rising, upper - k, axis=-1) for k in (1, 0))
    share = np.divide(wanted - low, high - low, out=np.ones_like(low), where=high > low)
    times = oldest_first[upper - 1] + np.clip(share, 0.0, 1.0) * (oldest_first[upper] - oldest_first[upper - 1])
    known = np.isfinite(rising).all(-1, keepdims=True)
    return np.where(known, times, np.nan)
