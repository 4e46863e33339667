"""What the prior decides: the width of a bin's posterior over that of the prior, quantity by quantity.

Near 0 the data decide. Near 1 the answer is what the weights believed before they saw the data: another prior would
give another answer. Widths are halves of the 16-84 % interval; a posterior may be somewhat wider than the prior where
the data point to the prior's edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import F32, Bool, Floats, Prediction, Result

#: Share of the prior's width above which the prior decides.
PRIOR_SHARE_LIMIT = 0.8


def measure_prior_share(prediction: Prediction, prior: Mapping[str, Floats], name: str, rows: Any = slice(None)) -> F32:
    """Width of the posterior over that of the prior.

    Parameters
    ----------
    prediction : Prediction
    prior : mapping
        Quantiles of the prior, (5,) or (A, 5), at `types.QUANTILES`.
    name : str
        A quantity of both.
    rows : int, slice or array
        Of the objects; without it all N.

    Returns
    -------
    array (N,) or (N, A)
        NaN where nothing was predicted, or where the prior knows one value only.

    Raises
    ------
    SfhInputError
        The prior of these weights is not known, or not of this quantity.
    """
    if name not in prior or name not in prediction.quantiles:
        raise SfhInputError(
            f"{name}: the width of the prior is not known; use weights that say it (napari-sfh-train prior-summaries)"
        )
    q = np.asarray(prior[name], float)
    width = 0.5 * (q[..., 3] - q[..., 1])
    share = prediction.half_width(name, rows) / np.where(width > 1e-6, width, np.nan)
    return np.asarray(share, np.float32)


@check_arguments
def measure_result_prior_share(result: Result, name: str, rows: Any = slice(None)) -> F32:
    """`measure_prior_share` of a finished result, (N,) or (N, A).

    Parameters
    ----------
    result : Result
        N bins.
    name : str
        A quantity that its weights predict.
    rows : int, slice or array
        Of the bins; without it all N.

    Raises
    ------
    SfhInputError
        Rows that there are not, or a quantity whose prior is not known.
    """
    n_bins = result.bins.n_bins
    try:
        np.arange(n_bins)[rows]
    except (IndexError, TypeError) as error:
        raise SfhInputError(f"`rows` {rows!r}: those of the bins are 0 to {n_bins - 1}") from error
    return measure_prior_share(result.prediction, result.prior, name, rows)


def find_prior_dominated(prediction: Prediction, prior: Mapping[str, Floats]) -> Bool:
    """Bins in which the prior decides one of the four means at least.

    Parameters
    ----------
    prediction : Prediction
        N bins.
    prior : mapping of str to array
        Of each quantity its quantiles under the prior, at `types.QUANTILES`.

    Returns
    -------
    bool array (N,)
        False where the prior is not known.
    """
    names = [k for k in MEAN_NAMES if k in prior and k in prediction.quantiles]
    shares = [measure_prior_share(prediction, prior, k) for k in names]
    if not shares:
        return np.zeros(prediction.ood.size, bool)
    return np.asarray((np.stack(shares) > PRIOR_SHARE_LIMIT).any(0))


def describe_prior_share(share: float) -> str:
    """In words: who decides, data or prior."""
    if not np.isfinite(share):
        return "unknown"
    who = "the data decide" if share < 0.4 else "data and prior" if share <= PRIOR_SHARE_LIMIT else "the prior decides"
    return f"{share:.2f}, {who}"
