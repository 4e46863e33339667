"""Numbers of an evaluation: accuracy, coverage, errors of histories. Plain functions of arrays.

Bias, standard deviation and NMAD come from `map_comparison.measure_scatter`, here as in the viewer. Coverage of an
interval is the
share of truths inside it: 0.6827 and 0.95 for honest 16-84 % and 2.5-97.5 % ones (0.68 for the first by its name).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.comparison.map_comparison import measure_scatter
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import QUANTILES, Floats

Table = dict[str, Any]
#: Single precision of a fraction.
_SLACK = 1e-6


def list_accuracy_names(quantities: Mapping[str, Any]) -> tuple[str, ...]:
    """The four means where all are predicted, else every scalar that is."""
    return MEAN_NAMES if set(MEAN_NAMES) <= set(quantities) else tuple(quantities)


def measure_accuracy(found: Mapping[str, Floats], truth: Mapping[str, Floats], rows: Any = slice(None)) -> Table:
    """Bias, standard deviation and NMAD of each of `list_accuracy_names`.

    Parameters
    ----------
    found, truth : mapping of str to array (N,)
    rows : optional
        Index of the objects that count; default: all.

    Returns
    -------
    dict of str to dict
        ``bias``, ``std`` and ``nmad`` in the quantity's unit (None where unknown), and ``n``.
    """
    out: Table = {}
    for name in list_accuracy_names(found):
        s = measure_scatter(found[name][rows], truth[name][rows])
        out[name] = {"bias": _none_if_nan(s.bias), "std": _none_if_nan(s.std), "nmad": _none_if_nan(s.nmad), "n": s.n}
    return out


def measure_spread(truth: Mapping[str, Floats]) -> dict[str, float | None]:
    """Standard deviation of the truth of each of `list_accuracy_names`: the error of a constant answer.

    Parameters
    ----------
    truth : mapping of str to array (N,)

    Returns
    -------
    dict of str to float
        None where no truth is known.
    """
    return {
        name: float(np.nanstd(truth[name])) if np.isfinite(truth[name]).any() else None
        for name in list_accuracy_names(truth)
    }


def flag_inside_intervals(quantiles: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Whether truths lie in the 16-84 % and in the 2.5-97.5 % interval.

    A truth that equals a limit to single precision counts as inside: fractions of exactly 0 or 1 do.

    Parameters
    ----------
    quantiles : array (..., 5)
        At `types.QUANTILES`.
    truth : array (...)

    Returns
    -------
    p68, p95 : array (...)
        1 inside, 0 outside, NaN where unknown.
    """
    q, t = np.asarray(quantiles, float), np.asarray(truth, float)
    known = _known(q, t)

    def within(low: int) -> Floats:
        good = (t >= q[..., low] - _SLACK) & (t <= q[..., 4 - low] + _SLACK)
        return np.where(known, good.astype(float), np.nan)

    return within(1), within(0)


def measure_tail_shares(quantiles: Floats, truth: Floats) -> tuple[Table, Table]:
    """Shares of truths above the upper and below the lower limits of intervals.

    Coverage of an interval is no test of a quantity that often lies exactly at a bound: there the limit is the
    bound, and nothing lies beyond it. The limits on the other side can be tested: honest ones leave 0.16 and 0.025
    outside. Age bins in which all truths are one number (the share of the mass formed since the beginning) are left
    out.

    Parameters
    ----------
    quantiles : array (N, A, 5)
        At `types.QUANTILES`.
    truth : array (N, A)

    Returns
    -------
    above : dict with p84, p975
    below : dict with p16, p025
    """
    q, t = np.asarray(quantiles, float), np.asarray(truth, float)
    varies = np.nanmax(t, axis=0) - np.nanmin(t, axis=0) > _SLACK
    known = _known(q, t) & varies
    above = {name: _share(t > q[..., k] + _SLACK, known) for name, k in (("p84", 3), ("p975", 4))}
    below = {name: _share(t < q[..., k] - _SLACK, known) for name, k in (("p16", 1), ("p025", 0))}
    return above, below


def _share(beyond: NDArray[np.bool_], known: NDArray[np.bool_]) -> float | None:
    return float(beyond[known].mean()) if known.any() else None


def _known(q: Floats, t: Floats) -> NDArray[np.bool_]:
    return np.isfinite(q).all(-1) & np.isfinite(t)


def measure_coverage(quantiles: Mapping[str, Floats], truth: Mapping[str, Floats], rows: Any = slice(None)) -> Table:
    """Coverage of the intervals of each quantity.

    Parameters
    ----------
    quantiles : mapping of str to array (N, 5) or (N, A, 5)
    truth : mapping of str to array (N,) or (N, A)
    rows : optional
        Index of the objects that count; default: all.

    Returns
    -------
    dict of str to dict
        ``p68``, ``p95``, ``n``; of vectors the mean over age bins, ``by_bin``, and the shares ``above`` and
        ``below`` of `measure_tail_shares`.
    """
    out: Table = {}
    for name, q in quantiles.items():
        p68, p95 = flag_inside_intervals(q[rows], truth[name][rows])
        if not np.isfinite(p68).any():
            continue
        out[name] = {"p68": _mean(p68), "p95": _mean(p95), "n": int(np.isfinite(p68).sum())}
        if p68.ndim == 2:
            out[name]["n"] = len(p68)
            out[name]["above"], out[name]["below"] = measure_tail_shares(q[rows], truth[name][rows])
            out[name]["by_bin"] = {
                "p68": [_mean(p68[:, a]) for a in range(p68.shape[1])],
                "p95": [_mean(p95[:, a]) for a in range(p95.shape[1])],
            }
    return out


def _mean(x: Floats) -> float | None:
    good = np.isfinite(x)
    return float(x[good].mean()) if good.any() else None


def _none_if_nan(x: float) -> float | None:
    """JSON knows no NaN."""
    return float(x) if np.isfinite(x) else None


def measure_accuracy_by_range(
    found: Mapping[str, Floats], truth: Mapping[str, Floats], x: Floats, edges: Sequence[float]
) -> list[Table]:
    """Accuracy in ranges of a quantity.

    Parameters
    ----------
    found, truth : mappings of name to array (N, ...)
    x : array (N,)
        What the ranges are of.
    edges : sequence of float
        Of the ranges, rising; the upper one is not part of its range.

    Returns
    -------
    list of dict
        ``lo``, ``hi``, ``n`` and the entries of `measure_accuracy`, for each range that holds objects.
    """
    out = []
    for lo, hi in itertools.pairwise(edges):
        rows = (x >= lo) & (x < hi)
        if rows.any():
            out.append({"lo": float(lo), "hi": float(hi), "n": int(rows.sum()), **measure_accuracy(found, truth, rows)})
    return out


def measure_accuracy_by_class(
    found: Mapping[str, Floats], truth: Mapping[str, Floats], number: NDArray[np.integer], names: Sequence[str]
) -> Table:
    """Accuracy of each class of objects.

    Parameters
    ----------
    found, truth : mappings of name to array (N, ...)
    number : integer array (N,)
        Index of each object's class in ``names``.
    names : sequence of str

    Returns
    -------
    dict
        Class to ``n`` and the entries of `measure_accuracy`; classes without objects are left out.
    """
    out: Table = {}
    for k, name in enumerate(names):
        rows = number == k
        if rows.any():
            out[name] = {"n": int(rows.sum()), **measure_accuracy(found, truth, rows)}
    return out


def symmetric_percentage_error(found: Floats, truth: Floats) -> Floats:
    """Symmetric mean absolute percentage error of each object's vector; bins empty in both count 0.

    Parameters
    ----------
    found, truth : array (N, A)

    Returns
    -------
    array (N,)
        0 to 200 %.
    """
    total = np.abs(found) + np.abs(truth)
    ratio = np.divide(2 * np.abs(found - truth), total, out=np.zeros_like(total, dtype=float), where=total > 0)
    return 100 * ratio.mean(-1)


def measure_sfr_error(found: Floats, truth: Floats) -> Table:
    """Error of the star-formation rate per age bin over the bin's mean rate: ``bias`` and ``std`` (A,).

    A bin's width cancels, so mass fractions (N, A) serve. Paper figure 4.

    Parameters
    ----------
    found, truth : array (N, A)
        Mass fractions; rows of ``found`` with a NaN are left out.

    Returns
    -------
    dict of str to list
    """
    good = np.isfinite(found).all(1)
    mean = truth[good].mean(0)
    error = (found[good] - truth[good]) / mean
    return {"bias": error.mean(0).tolist(), "std": error.std(0).tolist()}


def measure_cumulative_error(found: Floats, truth: Floats) -> Table:
    """Error of cumulative histories at each bin's young edge.

    Parameters
    ----------
    found, truth : array (N, A)
        Fractions of the mass formed; the youngest bin holds all of it, by definition.

    Returns
    -------
    dict of str to list
        ``p16``, ``median`` and ``p84`` (A,).
    """
    good = np.isfinite(found).all(1)
    low, middle, high = np.percentile(found[good] - truth[good], [16, 50, 84], axis=0)
    return {"p16": low.tolist(), "median": middle.tolist(), "p84": high.tolist()}


def correlate_errors(found: Mapping[str, Floats], truth: Mapping[str, Floats]) -> Table:
    """Age error against metallicity error, mass- and light-weighted: Pearson's r and the slope d[M/H] / d log age.

    Parameters
    ----------
    found, truth : mapping of str to array (N,)
        The four means.

    Returns
    -------
    dict of str to dict
    """
    out: Table = {}
    for kind in ("mw", "lw"):
        x = np.asarray(found[f"lg_age_{kind}"], float) - truth[f"lg_age_{kind}"]
        y = np.asarray(found[f"mh_{kind}"], float) - truth[f"mh_{kind}"]
        good = np.isfinite(x) & np.isfinite(y)
        x, y = x[good] - x[good].mean(), y[good] - y[good].mean()
        spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
        r = float((x * y).sum()) / spread if spread > 0 else 0.0
        slope = float((x * y).sum() / (x**2).sum()) if (x**2).sum() > 0 else 0.0
        out[kind] = {"r": r, "slope": slope}
    return out


def compare_widths(quantiles: Mapping[str, Floats], truth: Mapping[str, Floats], rows: Any = slice(None)) -> Table:
    """The posterior's own width against the scatter reached, for each of `list_accuracy_names`.

    ``claimed`` is the root mean square of half the 16-84 % widths, ``reached`` half the 16-84 % width of the errors,
    and ``r`` the rank correlation of claimed width and size of the error: maps of uncertainty mean something if > 0.

    Parameters
    ----------
    quantiles : mapping of str to array (N, 5)
    truth : mapping of str to array (N,)
    rows : optional
        Index of the objects that count; default: all.

    Returns
    -------
    dict of str to dict
    """
    out: Table = {}
    for name in list_accuracy_names(quantiles):
        q = np.asarray(quantiles[name][rows], float)
        error = q[:, 2] - truth[name][rows]
        good = np.isfinite(error)
        if not good.any():
            continue
        half = 0.5 * (q[good, 3] - q[good, 1])
        low, high = np.percentile(error[good], [16, 84])
        out[name] = {
            "claimed": float(np.sqrt((half**2).mean())),
            "reached": float(0.5 * (high - low)),
            "r": _rank_correlation(half, np.abs(error[good])),
        }
    return out


def _rank_correlation(x: Floats, y: Floats) -> float | None:
    if len(x) < 3:
        return None
    a, b = (np.argsort(np.argsort(v)).astype(float) for v in (x, y))
    return _none_if_nan(float(np.corrcoef(a, b)[0, 1]))


def measure_quantile_calibration(quantiles: Floats, truth: Floats) -> tuple[list[float], list[float]]:
    """Share of truths below each stored quantile.

    Parameters
    ----------
    quantiles : array (N, 5)
        At `types.QUANTILES`.
    truth : array (N,)

    Returns
    -------
    nominal, found : list of 5 floats
        Equal for calibrated quantiles.
    """
    good = np.isfinite(quantiles).all(-1)
    below = (np.asarray(truth)[good][..., None] <= quantiles[good]).mean(0)
    return list(QUANTILES), [float(b) for b in below]
