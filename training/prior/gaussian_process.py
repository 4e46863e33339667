"""Gaussian-process star-formation histories (Iyer et al. 2019, ApJ 879, 116), solved for many objects at once.

The cumulative mass curve passes through the points (0, 0), (0.01, 0), (t_x, x) for x = 1/4, 1/2, 3/4, three points near
the end that fix the present specific star-formation rate, and (1, 1); time in units of the Universe's age. The curve is
the mean of a Gaussian process with kernel var(y) [Matern-3/2(r^2 / median(y)) + (t t')^2 exp(-median(y))] and a small
variance on the t_x, the kernel of the published code. Negative rates are cut to zero and the mass is renormalised.

Ours: t_x so late or so early that they would cross the points at the ends push those points aside, in place of a
contradiction; the last thousandth of the time axis (13 Myr) has the rate that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_sfh.types import F64, I64

#: Standard deviation of the mass at the three t_x, as in the published code (0.001 / sqrt(3)).
_SIGMA_TX = 0.001 / np.sqrt(3.0)
#: Mass fractions near the end that carry the specific star-formation rate.
_LATE_MASS_FRACTIONS = np.array([0.97, 0.98, 0.99])
#: The share of the time axis at the end whose rate is set to the present one.
_PRESENT_SHARE = 1e-3


def _place_constraints(tx: F64, ssfr_age: F64) -> tuple[F64, F64]:
    """Points (t, M) that a history passes through.

    Parameters
    ----------
    tx : array (n, 3)
        Times at which 1/4, 1/2 and 3/4 of the mass had formed, as fractions of the Universe's age, increasing.
    ssfr_age : array (n,)
        Present specific star-formation rate times the Universe's age.

    Returns
    -------
    t, y : arrays (n, 9)
        Times and cumulative masses.
    """
    n = len(tx)
    t, y = np.zeros((n, 9)), np.zeros((n, 9))
    t[:, 1] = np.minimum(0.01, 0.5 * tx[:, 0])
    t[:, 2:5], y[:, 2:5] = tx, (0.25, 0.5, 0.75)
    t[:, 8], y[:, 8] = 1.0, 1.0
    room = np.minimum((1 - tx[:, 2]) / 0.06, 1.0)  # 1 unless the third quarter ends in the last 6 % of the time
    for k, late in enumerate(_LATE_MASS_FRACTIONS, start=5):
        by_mass = 1 - (1 - late) / ssfr_age  # when the last 3, 2, 1 % of the mass began to form
        by_time = 1 - (1 - late) * room
        # Points must stay in order: each is compared with the one before it.
        use_mass = (by_mass > t[:, k - 1]) & (by_mass > 0.9)
        t[:, k] = np.where(use_mass, by_mass, by_time)
        least = 0.75 + 0.25 * (late - 0.96) / 0.04
        y[:, k] = np.where(use_mass, late, np.maximum(1 - (1 - by_time) * ssfr_age, least))
    return t, y


def _kernel(a: F64, b: F64, variance: F64, median: F64) -> F64:
    """Covariance between times ``a`` (n, p) and ``b`` (n, q): (n, p, q)."""
    r = np.sqrt(3.0 / median)[:, None, None] * np.abs(a[:, :, None] - b[:, None, :])
    polynomial = np.exp(-median)[:, None, None] * (a[:, :, None] * b[:, None, :]) ** 2
    return variance[:, None, None] * ((1 + r) * np.exp(-r) + polynomial)


def _gaussian_process_mean(t: F64, y: F64, at: F64) -> F64:
    """Mean of the Gaussian process through (t, y), each (n, p), at the times ``at`` (m,): (n, m)."""
    variance, median = y.var(1), np.median(y, axis=1)
    cov = _kernel(t, t, variance, median)
    noise = np.zeros(t.shape[1])
    noise[2:5] = _SIGMA_TX**2
    noise += 1e-12  # keeps coinciding points from making the matrix singular
    cov[:, np.arange(t.shape[1]), np.arange(t.shape[1])] += noise
    alpha = np.linalg.solve(cov, y[:, :, None])[:, :, 0]
    return _mean_at(t, alpha * variance[:, None], at, np.sqrt(3.0 / median), np.exp(-median))


def _mean_at(t: F64, alpha: F64, at: F64, c: F64, polynomial: F64) -> F64:
    """Sum over points of alpha k(t, at), (n, m), at rising times, with two exponentials per time.

    exp(-c |a - t|) is exp(-c a) exp(c t) for the points before a, and its mirror image for those after it; c is about
    2, so neither factor can overflow. What depends on the points are then four sums over those before and after, which
    change at a point and nowhere else.
    """
    c = c[:, None]
    rising = np.exp(c * at)
    after = np.searchsorted(at, t)  # of each point, the first time that is not before it
    grow, fall = alpha * np.exp(c * t), alpha * np.exp(-c * t)
    before_1, before_2 = (_add_up_steps(after, step, len(at)) for step in (grow, c * grow * t))
    after_1, after_2 = (
        step.sum(1, keepdims=True) - _add_up_steps(after, step, len(at)) for step in (fall, c * fall * t)
    )
    distance = c * at
    before_1 *= 1 + distance
    before_1 -= before_2
    before_1 /= rising
    after_1 *= 1 - distance
    after_1 += after_2
    after_1 *= rising
    return before_1 + after_1 + (polynomial * (alpha * t**2).sum(1))[:, None] * at**2


def _add_up_steps(place: I64, step: F64, n: int) -> F64:
    """Sums (rows, n) of the steps (rows, p) that lie at or before each of n places."""
    steps = np.zeros((len(step), n + 1))
    np.add.at(steps, (np.arange(len(step))[:, None], place), step)
    return np.cumsum(steps[:, :n], axis=1)


def gaussian_process_history(rng: np.random.Generator, edges_gyr: F64, p: Mapping[str, F64], max_age_gyr: float) -> F64:
    """Histories of a Gaussian process, see the head of the module.

    Parameters
    ----------
    rng : numpy.random.Generator
    edges_gyr : array (S + 1,)
        Lookback times, Gyr.
    p : mapping of str to array (n,)
        ``alpha``, the Dirichlet concentration, and ``lg_ssfr``, log10 of 1/yr.
    max_age_gyr : float
        Age of the Universe, Gyr.

    Returns
    -------
    array (n, S + 1)
        Fraction of the mass formed at or before each lookback time.
    """
    shares = rng.standard_gamma(np.repeat(p["alpha"][:, None], 4, axis=1)) + 1e-9
    tx = np.cumsum(shares, axis=1)[:, :3] / shares.sum(1, keepdims=True)
    return gaussian_process_curve(tx, p["lg_ssfr"], edges_gyr, max_age_gyr)


def gaussian_process_curve(tx: F64, lg_ssfr: F64, edges_gyr: F64, max_age_gyr: float) -> F64:
    """Cumulative curves of Gaussian-process histories (Iyer et al. 2019, ApJ 879, 116) from their parameters.

    Parameters
    ----------
    tx : array (n, 3)
        Cosmic times at which shares of the mass had formed, in units of ``max_age_gyr``.
    lg_ssfr : array (n,)
        log10 of the present specific star-formation rate, 1/yr.
    edges_gyr : array (S + 1,)
        Lookback times, rising from 0.
    max_age_gyr : float
        Lookback time of the beginning.

    Returns
    -------
    array (n, S + 1)
        Share of the mass that is older than each edge, from 1 falling to 0.
    """
    rate = 10.0**lg_ssfr * max_age_gyr * 1e9
    t, y = _place_constraints(tx, rate)
    at = np.clip(1 - edges_gyr / max_age_gyr, 0.0, 1.0)[::-1]
    # The published curve is cut where it falls on a grid of a thousand steps; ours on this grid or finer.
    fine = np.union1d(np.linspace(0, 1, 201), at)
    mass = np.maximum(np.diff(_gaussian_process_mean(t, y, fine), axis=1), 0.0)
    now = np.clip((fine[1:] - np.maximum(fine[:-1], 1 - _PRESENT_SHARE)) / np.diff(fine), 0.0, 1.0)
    recent = np.minimum(rate * _PRESENT_SHARE, 1.0)
    earlier = mass * (1 - now)
    earlier *= ((1 - recent) / earlier.sum(1))[:, None]
    mass = earlier + recent[:, None] * (now * np.diff(fine)) / (now * np.diff(fine)).sum()
    cumulative = np.hstack([np.zeros((len(t), 1)), np.cumsum(mass, axis=1)])
    cumulative /= cumulative[:, -1:]
    return cumulative[:, np.searchsorted(fine, at)][:, ::-1]
