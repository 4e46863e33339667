"""Light- and mass-weighted means of log age and [M/H]: Galceran et al. (2026), equations 6 and 7."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.ages import LG_AGE_YR

#: The four mean quantities, in the order used everywhere, with their names in result files.
MEAN_NAMES: tuple[str, ...] = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")


def weighted_mean(weights: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Mean of ``values`` along the last axis with non-negative ``weights``; NaN where the weights sum to zero."""
    total = weights.sum(-1)
    # A bin without weight must not spoil the mean by an undefined value of its own.
    summed = np.where(weights > 0, weights * values, 0.0).sum(-1)
    return np.divide(summed, total, out=np.full(np.shape(total), np.nan, dtype=float), where=total > 0)


def compute_population_means(
    mass_frac: NDArray[np.floating],
    light_frac: NDArray[np.floating],
    mh: NDArray[np.floating],
    lg_age_yr: NDArray[np.floating] = LG_AGE_YR,
) -> dict[str, NDArray[np.floating]]:
    """The four means of an SFH.

    Parameters
    ----------
    mass_frac, light_frac : arrays (..., A)
        Fractions of the mass formed and of the intrinsic V-band light in each age bin.
    mh : array (..., A)
        [M/H] of each age bin, dex.
    lg_age_yr : array (A,)
        log10 of the age bins' centres in yr.

    Returns
    -------
    dict of arrays (...)
        ``lg_age_mw``, ``lg_age_lw`` (log10 yr), ``mh_mw``, ``mh_lw`` (dex).
    """
    lg_age = np.broadcast_to(lg_age_yr, mh.shape)
    return {
        "lg_age_mw": weighted_mean(mass_frac, lg_age),
        "lg_age_lw": weighted_mean(light_frac, lg_age),
        "mh_mw": weighted_mean(mass_frac, mh),
        "mh_lw": weighted_mean(light_frac, mh),
    }
