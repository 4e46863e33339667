"""Light- and mass-weighted means of log age and [M/H]: Galceran et al. (2026), equations 6 and 7.

For NumPy arrays and torch tensors.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.arrays import AnyArray, is_on_host
from napari_sfh.physics.ages import LG_AGE_YR

#: The four mean quantities, in the order used everywhere, with their names in result files.
MEAN_NAMES: tuple[str, ...] = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")


def weighted_mean(weights: AnyArray, values: AnyArray) -> Any:
    """Mean along the last axis with non-negative weights.

    Parameters
    ----------
    weights : array (..., A)
        NumPy or torch.
    values : array (..., A) or (A,)
        Of the same library. Where the weight is zero a value may be undefined.

    Returns
    -------
    array (...)
        NaN where the weights sum to zero.

    Examples
    --------
    >>> import numpy as np
    >>> float(weighted_mean(np.array([1.0, 3.0, 0.0]), np.array([0.0, 1.0, np.nan])))
    0.75
    """
    xp = array_namespace(weights)
    total = weights.sum(-1)
    summed = (weights * values).sum(-1)
    # Asking a device would stop everything until it has answered: there the second sum is made in any case.
    if not is_on_host(weights) or xp.any(xp.isnan(summed)):
        # A bin without weight must not spoil the mean by an undefined value of its own.
        summed = xp.where(weights > 0, weights * values, 0.0).sum(-1)
    known = total > 0
    return xp.where(known, summed / xp.where(known, total, 1.0), xp.nan)


@check_arguments
def compute_population_means(
    mass_frac: AnyArray, light_frac: AnyArray, mh: AnyArray, lg_age_yr: AnyArray = LG_AGE_YR
) -> dict[str, Any]:
    """The four means of an SFH.

    Parameters
    ----------
    mass_frac, light_frac : arrays (..., A)
        Fractions of the mass formed and of the intrinsic V-band light in each age bin; NumPy or torch.
    mh : array (..., A)
        [M/H] of each age bin, dex.
    lg_age_yr : array (A,)
        log10 of the age bins' centres in yr, of the same library.

    Returns
    -------
    dict of arrays (...)
        ``lg_age_mw``, ``lg_age_lw`` (log10 yr), ``mh_mw``, ``mh_lw`` (dex).
    """
    return {
        "lg_age_mw": weighted_mean(mass_frac, lg_age_yr),
        "lg_age_lw": weighted_mean(light_frac, lg_age_yr),
        "mh_mw": weighted_mean(mass_frac, mh),
        "mh_lw": weighted_mean(light_frac, mh),
    }
