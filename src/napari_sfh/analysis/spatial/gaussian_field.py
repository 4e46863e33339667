"""Maps whose bins borrow strength from their neighbours, on request; the raw maps stay what they are.

The values of a map are taken for a mean plus a Gaussian random field of amplitude A and length l, with covariance A^2
exp(-d / l) between bins d apart, plus each bin's own error times a factor. The exponential covariance allows edges:
arms and rings stay. A field tells no length beyond its own extent (only A^2 / l counts there), so l ends at it. The
mean is that of the bins, weighted by their errors and scatter. Amplitude, length and factor are those of greatest
likelihood, computed bin by bin given the nearest bins that come before it in a fixed random order (Vecchia 1988, J. R.
Stat. Soc. B 50, 297). A map whose neighbours have nothing in
common, however much its bins differ, gets the length 0 and is returned as it is. The field in a bin follows from its
neighbours and itself (kriging); its error is smaller than the bin's own by what the neighbours know.

What the network has wrong in all bins alike, no neighbour knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from napari_sfh.analysis.gradients import select_trusted_bins
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import F64, I64, Bool, Result

#: Bins that a map needs, bins from which the field is measured, and neighbours that a bin is predicted from.
MIN_FIELD_BINS, MAX_MEASURED, NEIGHBOURS = 20, 1500, 40
_VECCHIA_NEIGHBOURS = 15
#: Log likelihood that a field must gain over bins that differ each for itself.
_MIN_GAIN = 3.0
_SEED = 1
#: Factor on the bins' errors below which most of the error is no scatter of single bins.
_SHARED_FACTOR = 0.5


@dataclass(frozen=True)
class GaussianField:
    """A field's parameters: ``length`` in the unit of the positions, ``amplitude`` and ``mean`` in the values' own."""

    mean: float
    amplitude: float
    length: float
    error_factor: float  # by which the bins' own errors are multiplied
    extent: float = np.inf  # the longer side of the area that the bins cover, in the unit of the positions

    @property
    def is_flat(self) -> bool:
        """True where the bins have nothing in common that could be told from their errors."""
        return self.length <= 0

    def list_doubts(self) -> tuple[str, ...]:
        """What keeps the field from being what it looks like, for a person; nothing where all is well."""
        doubts = []
        if self.length >= self.extent:
            doubts.append("its length is that of the whole area: a trend over all bins, no structure of neighbours")
        if not self.is_flat and self.error_factor < _SHARED_FACTOR:
            share = "the bins scatter far less than their errors: most of the error is common to all of them, and stays"
            doubts.append(share)
        return tuple(doubts)

    def covariance(self, distance: F64) -> F64:
        """Covariance of two places."""
        return self.amplitude**2 * np.exp(-distance / self.length)


@dataclass(frozen=True)
class SmoothedValues:
    """The field in each bin, (N,) each, NaN where there was no value; and how it was measured."""

    value: F64
    error: F64
    field: GaussianField


def smooth_bin_values(place: F64, value: F64, error: F64, use: Bool | None = None) -> SmoothedValues:
    """Estimate the field in every bin.

    Parameters
    ----------
    place : array (N, 2)
        Centres of the bins, in any unit.
    value, error : arrays (N,)
        With NaN where there is none.
    use : boolean array (N,), optional
        Bins that tell of their neighbours; the others keep their own value.

    Raises
    ------
    SfhInputError
        Fewer than `MIN_FIELD_BINS` bins that tell.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> place = rng.uniform(0, 10, (300, 2))
    >>> truth = np.sin(place[:, 0])
    >>> made = smooth_bin_values(place, truth + rng.normal(0, 0.4, 300), np.full(300, 0.4))
    >>> bool(np.std(made.value - truth) < 0.25)
    True
    """
    good = np.isfinite(value) & np.isfinite(error) & (error > 0)
    good = good if use is None else good & use
    rows = np.flatnonzero(good)
    if rows.size < MIN_FIELD_BINS:
        raise SfhInputError(f"{rows.size} bins have a value to be trusted; a spatial field needs {MIN_FIELD_BINS}")
    field = measure_gaussian_field(place[rows], value[rows], error[rows])
    out, sigma = np.array(value, float), np.array(error, float)
    if not field.is_flat:
        out[rows], sigma[rows] = _krige(field, place[rows], value[rows], error[rows])
    return SmoothedValues(out, sigma, field)


def measure_gaussian_field(place: F64, value: F64, error: F64) -> GaussianField:
    """The field of greatest likelihood, of at most `MAX_MEASURED` bins; flat where a field explains nothing.

    Parameters
    ----------
    place : array (N, 2)
        Centres of the bins, of any unit.
    value, error : array (N,)
        Finite; 1-sigma errors above 0.

    Returns
    -------
    GaussianField
        Its length in the unit of ``place``.
    """
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(value))[:MAX_MEASURED]
    place, value, error = place[order], np.asarray(value[order], float), np.asarray(error[order], float)
    nearby = _measure_neighbourhood(place, place, _find_earlier_neighbours(place))
    spread, size = float(np.std(value)), float(np.ptp(place, axis=0).max())
    spacing = float(np.median(cKDTree(place).query(place, k=2)[0][:, 1]))
    mean = float(np.average(value, weights=1 / (error**2 + spread**2 / 4)))

    def unpack(x: F64) -> GaussianField:
        amplitude, length, factor = np.exp(x)
        return GaussianField(mean, float(amplitude), float(min(length, size)), float(factor), size)

    def loss(x: F64) -> float:
        # Weak priors keep the parameters where the data say nothing; errors are known to a factor of about two.
        penalty = 0.5 * ((x[2] / 0.7) ** 2 + (max(x[1] - np.log(size), 0.0) / 0.3) ** 2)
        return penalty - _vecchia_log_likelihood(unpack(x), nearby, value, error)

    starts = [np.log([max(spread, 1e-6), length, 1.0]) for length in (2 * spacing, 0.2 * size)]
    options = {"maxiter": 120, "xatol": 0.02, "fatol": 0.05}
    fits = [minimize(loss, start, method="Nelder-Mead", options=options) for start in starts]
    best = min(fits, key=lambda fit: fit.fun)
    # The same without a word between neighbours: independent populations scatter more than their errors, too.
    apart = np.log(1e-3 * spacing)
    lone = [
        minimize(lambda u: loss(np.array([u[0], apart, u[1]])), start, method="Nelder-Mead", options=options)
        for start in ([np.log(max(spread, 1e-6)), 0.0], [-20.0, 0.0])
    ]
    alone = min(lone, key=lambda fit: fit.fun)
    if alone.fun - best.fun < _MIN_GAIN:
        return GaussianField(mean, 0.0, 0.0, float(np.exp(alone.x[1])), size)
    return unpack(best.x)


def _find_earlier_neighbours(place: F64) -> I64:
    """For each bin the nearest ones before it, (n, k); missing ones are -1."""
    n, k = len(place), _VECCHIA_NEIGHBOURS
    out = np.full((n, k), -1, dtype=np.int64)
    for i in range(1, n):
        distance = ((place[:i] - place[i]) ** 2).sum(1)
        near = np.argsort(distance)[:k] if i <= k else np.argpartition(distance, k)[:k]
        out[i, : near.size] = near
    return out


@dataclass(frozen=True)
class _Neighbourhood:
    """What of places (n,) and their neighbours (n, k) does not depend on the field: it is fitted in many steps."""

    index: I64  # (n, k) the neighbours; 0 where there are fewer
    there: Bool  # (n, k)
    both: Bool  # (n, k, k) pairs of neighbours that are there
    between: F64  # (n, k, k) distances among the neighbours
    apart: F64  # (n, k) distances of the neighbours from the place


def _measure_neighbourhood(at: F64, place: F64, neighbours: I64) -> _Neighbourhood:
    """Distances among places (n, 2) and their neighbours (n, k), which are rows of ``place``, or -1."""
    there = neighbours >= 0
    index = np.where(there, neighbours, 0)
    points = place[index]
    between = np.sqrt(((points[:, :, None] - points[:, None, :]) ** 2).sum(-1))
    apart = np.sqrt(((points - at[:, None]) ** 2).sum(-1))
    return _Neighbourhood(index, there, there[:, :, None] & there[:, None, :], between, apart)


def _vecchia_log_likelihood(field: GaussianField, nearby: _Neighbourhood, value: F64, error: F64) -> float:
    mean, variance = _condition_on_neighbours(field, nearby, value, error)
    variance = variance + (field.error_factor * error) ** 2
    away = value - mean
    return float(-0.5 * (away**2 / variance + np.log(2 * np.pi * variance)).sum())


def _condition_on_neighbours(field: GaussianField, nearby: _Neighbourhood, value: F64, error: F64) -> tuple[F64, F64]:
    """Mean and variance of the field at places (n,), given noisy values of their neighbours."""
    there, index = nearby.there, nearby.index
    covariance = field.covariance(nearby.between) * nearby.both
    k = index.shape[1]
    noise = np.where(there, (field.error_factor * error[index]) ** 2, 1.0)
    covariance[:, np.arange(k), np.arange(k)] += noise
    cross = field.covariance(nearby.apart) * there
    weights = np.linalg.solve(covariance, cross[..., None])[..., 0]
    mean = field.mean + (weights * np.where(there, value[index] - field.mean, 0.0)).sum(1)
    variance = np.maximum(field.amplitude**2 - (weights * cross).sum(1), 1e-12)
    return mean, variance


def _krige(field: GaussianField, place: F64, value: F64, error: F64) -> tuple[F64, F64]:
    """The field and its error at the bins, each from its nearest bins, itself among them."""
    k = min(NEIGHBOURS, len(value))
    neighbours = cKDTree(place).query(place, k=k)[1].reshape(len(value), k).astype(np.int64)
    out, variance = np.empty(len(value)), np.empty(len(value))
    for lo in range(0, len(value), 1024):
        part = slice(lo, lo + 1024)
        nearby = _measure_neighbourhood(place[part], place, neighbours[part])
        out[part], variance[part] = _condition_on_neighbours(
            field, nearby, np.asarray(value, float), np.asarray(error, float)
        )
    return out, np.sqrt(variance)


def smooth_result_maps(result: Result, names: Sequence[str] = MEAN_NAMES) -> dict[str, SmoothedValues]:
    """The fields behind the maps of a result's scalars, by quantity; lengths are in spaxels.

    Parameters
    ----------
    result : Result
        Its bins out of depth, flagged stars and bins without a prediction neither tell of their neighbours nor change.
    names : sequence of str
        Keys of ``result.prediction.quantiles`` with one value a bin.

    Raises
    ------
    SfhInputError
        A quantity that is not predicted, or too few bins.
    """
    if unknown := [k for k in names if k not in result.prediction.scalars]:
        raise SfhInputError(f"{unknown[0]!r} is not predicted: choose from {', '.join(result.prediction.scalars)}")
    place, use = np.column_stack([result.bins.x, result.bins.y]), select_trusted_bins(result)
    prediction = result.prediction
    return {
        k: smooth_bin_values(place, prediction.median(k).astype(float), prediction.half_width(k).astype(float), use)
        for k in names
    }
