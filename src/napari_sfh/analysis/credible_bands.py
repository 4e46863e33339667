"""Curves with their 16-84 % bands: histories of a bin, what had formed before, what was believed without data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.formation import sum_mass_from_oldest
from napari_sfh.types import Result


@dataclass(frozen=True)
class CredibleBand:
    """A curve and its 16-84 % band, each (n,); the band is NaN where the network gave none."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def scaled(self, factor: NDArray[np.float64]) -> CredibleBand:
        """The band times a positive factor per point."""
        return CredibleBand(self.value * factor, self.low * factor, self.high * factor)

    def select(self, points: NDArray[np.bool_]) -> CredibleBand:
        """Some of its points, a mask (n,)."""
        return CredibleBand(self.value[points], self.low[points], self.high[points])


#: Of weights that predict no histories.
NO_BAND = CredibleBand(np.empty(0), np.empty(0), np.empty(0))


def read_history_band(result: Result, name: str, i: int) -> CredibleBand:
    """A history of one bin; `NO_BAND` of weights that predict none.

    Parameters
    ----------
    result : Result
    name : str
        ``mass_frac``, ``light_frac`` or ``mh``.
    i : int
        Row of the bin, from 0.
    """
    if not result.prediction.has_histories:
        return NO_BAND
    quantiles = result.prediction.quantiles.get(name)
    value = np.asarray(result.prediction.history(name)[i], dtype=float)
    if quantiles is None:
        return CredibleBand(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    return CredibleBand(value, np.asarray(quantiles[i, :, 1], float), np.asarray(quantiles[i, :, 3], float))


def read_prior_band(quantiles: NDArray[np.floating]) -> CredibleBand:
    """Median and 16-84 % of the prior.

    Parameters
    ----------
    quantiles : array (A, 5)
        2.5, 16, 50, 84 and 97.5 %.
    """
    q = np.asarray(quantiles, dtype=float)
    return CredibleBand(q[:, 2], q[:, 1], q[:, 3])


def read_mass_curve(result: Result, i: int) -> CredibleBand:
    """Mass formed before each edge's lookback time: posterior median; 1 at the first edge, 0 at the last.

    Parameters
    ----------
    result : Result
    i : int
        Row of the bin, from 0.
    """
    quantiles = result.prediction.quantiles.get("cum_mass")
    if quantiles is None:
        return sum_from_oldest(result.prediction.history("mass_frac")[i])
    low, value, high = (np.append(np.asarray(quantiles[i, :, k], float), 0.0) for k in (1, 2, 3))
    return CredibleBand(value, low, high)


def sum_from_oldest(share: NDArray[np.floating]) -> CredibleBand:
    """Shares of the age bins added up from the oldest on.

    Parameters
    ----------
    share : array (A,)

    Returns
    -------
    CredibleBand
        At the edges, (A + 1,), without an interval.
    """
    value = sum_mass_from_oldest(share)
    return CredibleBand(value, np.full_like(value, np.nan), np.full_like(value, np.nan))


def list_history_bands(result: Result) -> dict[str, CredibleBand]:
    """Histories of all bins with their intervals, (N, 16) each: ``MASS_FRAC``, ``LIGHT_FRAC``, ``MH``, ``CUM_MASS``."""
    prediction = result.prediction
    fractions = np.asarray(prediction.history("mass_frac"), dtype=float)
    points = {key: np.asarray(prediction.history(key), dtype=float) for key in ("mass_frac", "light_frac", "mh")}
    points["cum_mass"] = sum_mass_from_oldest(fractions)[..., :-1]
    bands = {}
    for key, value in points.items():
        quantiles = prediction.quantiles.get(key)
        if quantiles is None:
            low = middle = high = np.full_like(value, np.nan)
        else:
            low, middle, high = (np.asarray(quantiles[..., k], dtype=float) for k in (1, 2, 3))
        by_median = key == "cum_mass" and quantiles is not None
        bands[key.upper()] = CredibleBand(middle if by_median else value, low, high)
    return bands
