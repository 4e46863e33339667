"""Star-formation histories: families of cumulative mass curves, vectorised over objects.

Every family is a function of a random generator, the edges (S + 1,) of the fine age sub-bins in Gyr of lookback time,
its parameters by name, (n,) each, and the age of the Universe in Gyr. It returns the fraction of the mass formed at or
before each edge, (n, S + 1): 1 at age zero, 0 at the start of star formation. Differences of this curve are the masses
of the sub-bins, exact for the families with a closed form, by Gauss-Legendre quadrature for the others.

Families and references: Gaussian-process histories (module `gaussian_process`), the skewed normal of ProSpect (Robotham
et al. 2020, eq. for ``snorm``), delayed and exponential decline, constant, rising, double power law (Carnall et al.
2018), broken random histories with Dirichlet shares (Leja et al. 2017) or Student-t jumps ("continuity", Leja et al.
2019), quenched histories, steady star formation with slow variations, and single ages (``ssp``). Any family may carry
box-shaped bursts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.formation import sum_mass_from_oldest
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.training.prior.gaussian_process import gaussian_process_history
from napari_sfh.types import F64

FamilyParameters = Mapping[str, F64]

#: Gauss-Legendre nodes and weights on (0, 1): five points integrate the smooth families inside a sub-bin.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
#: Nodes in lookback time (Gyr) of the families that walk at random in log age.
_WALK_GYR = np.array([0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 3.5, 5.5, 8.0, 11.0, 20.0])


def _integrate(log_sfr: Callable[[F64], F64], edges_gyr: F64, oldest_gyr: F64) -> F64:
    """Cumulative curve of ``log_sfr(age (n, m))``, natural log, between age 0 and ``oldest_gyr`` (n,)."""
    edges = np.minimum(edges_gyr[None, :], oldest_gyr[:, None])
    width = np.diff(edges, axis=1)
    ages = edges[:, :-1, None] + width[:, :, None] * _NODES
    values = log_sfr(ages.reshape(len(oldest_gyr), -1)).reshape(ages.shape)
    # The largest value where there is any width sets the scale: a narrow history must not underflow to nothing.
    peak = np.where(width[:, :, None] > 0, values, -np.inf).max((1, 2), keepdims=True)
    return sum_mass_from_oldest((np.exp(np.minimum(values - peak, 0.0)) @ _WEIGHTS) * width)


def _time_since_start(edges_gyr: F64, start_gyr: F64) -> F64:
    """Time since the start of star formation (n, S+1), not below zero, Gyr."""
    return np.maximum(start_gyr[:, None] - edges_gyr[None, :], 0.0)


def skewnormal_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Skewed normal of ProSpect: SFR ~ exp(-X^2/2), X = z exp(skew asinh z), z = (age - peak) / width."""
    peak, width, skew = (p[k][:, None] for k in ("peak_gyr", "width_gyr", "skew"))

    def log_sfr(age: F64) -> F64:
        z = (age - peak) / width
        return -0.5 * (z * np.exp(skew * np.arcsinh(z))) ** 2

    return _integrate(log_sfr, edges_gyr, np.full(len(peak), max_age_gyr))


def exponential_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """SFR ~ exp(-t / tau) from ``start_gyr`` of lookback time on."""
    total = -np.expm1(-p["start_gyr"] / p["tau_gyr"])
    return -np.expm1(-_time_since_start(edges_gyr, p["start_gyr"]) / p["tau_gyr"][:, None]) / total[:, None]


def _delayed_mass(x: F64) -> F64:
    """Integral of x exp(-x) from 0; expm1 keeps the digits at small x."""
    return -np.expm1(-x) - x * np.exp(-x)


def delayed_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """SFR ~ t exp(-t / tau) from ``start_gyr`` of lookback time on."""
    total = _delayed_mass(p["start_gyr"] / p["tau_gyr"])
    return _delayed_mass(_time_since_start(edges_gyr, p["start_gyr"]) / p["tau_gyr"][:, None]) / total[:, None]


def constant_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Constant SFR between ``start_gyr`` and the fraction ``end`` of it (0 = still forming stars)."""
    end = p["start_gyr"] * p["end"]
    share = (p["start_gyr"][:, None] - edges_gyr[None, :]) / (p["start_gyr"] - end)[:, None]
    return np.clip(share, 0.0, 1.0)


def rising_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """SFR ~ t^power from ``start_gyr`` of lookback time on."""
    share = _time_since_start(edges_gyr, p["start_gyr"]) / p["start_gyr"][:, None]
    return share ** (p["power"][:, None] + 1.0)


def double_power_law_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """SFR ~ 1 / ((t/tau)^falling + (t/tau)^-rising), t since the Big Bang (Carnall et al. 2018)."""
    falling, rise = p["falling"][:, None], p["rising"][:, None]
    lg_tau = np.log(p["turn"] * max_age_gyr)[:, None]

    def log_sfr(age: F64) -> F64:
        x = np.log(np.maximum(max_age_gyr - age, 1e-6)) - lg_tau
        return -np.logaddexp(falling * x, -rise * x)

    return _integrate(log_sfr, edges_gyr, np.full(len(falling), max_age_gyr))


def quenched_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Delayed decline that from ``quench`` (fraction of the start) on falls with the e-folding ``fall_gyr``."""
    start, tau = p["start_gyr"][:, None], p["tau_gyr"][:, None]
    quench, fall = (p["quench"] * p["start_gyr"])[:, None], p["fall_gyr"][:, None]

    def log_sfr(age: F64) -> F64:
        t = np.maximum(start - age, 1e-6)
        return np.log(t / tau) - t / tau - np.maximum(quench - age, 0.0) / fall

    return _integrate(log_sfr, edges_gyr, p["start_gyr"])


def _integrate_pieces(nodes: F64, shares: F64, edges_gyr: F64) -> F64:
    """Cumulative curve of constant SFRs between increasing ``nodes`` (n, K+1) with mass ``shares`` (n, K)."""
    width = np.maximum(np.diff(nodes, axis=1), 1e-6)
    # Mass older than an edge: each piece contributes the part of it that lies beyond.
    beyond = np.clip((nodes[:, 1:, None] - edges_gyr) / width[:, :, None], 0.0, 1.0)
    return np.einsum("nk,nks->ns", shares / shares.sum(1, keepdims=True), beyond)


def _random_nodes(rng: np.random.Generator, n: int, pieces: int, max_age_gyr: float) -> F64:
    """Edges of random pieces (n, pieces+1): uniform in log age from 5 Myr, 0 and ``max_age_gyr`` included."""
    lg = np.sort(rng.uniform(np.log(0.005), np.log(max_age_gyr), (n, pieces - 1)), axis=1)
    return np.hstack([np.zeros((n, 1)), np.exp(lg), np.full((n, 1), max_age_gyr)])


def dirichlet_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Eight pieces with edges random in log age; SFR shares from a Dirichlet distribution, concentration ``alpha``."""
    n = len(p["alpha"])
    nodes = _random_nodes(rng, n, 8, max_age_gyr)
    sfr = np.maximum(rng.standard_gamma(np.repeat(p["alpha"][:, None], 8, axis=1)), 1e-12)
    return _integrate_pieces(nodes, sfr * np.diff(nodes, axis=1), edges_gyr)


def continuity_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Eight pieces; log SFR jumps between neighbours by Student's t with two degrees of freedom, scale ``jump_dex``."""
    n = len(p["jump_dex"])
    nodes = _random_nodes(rng, n, 8, max_age_gyr)
    jumps = np.clip(rng.standard_t(2.0, (n, 7)), -15, 15) * p["jump_dex"][:, None] * np.log(10)
    log_sfr = np.hstack([np.zeros((n, 1)), np.cumsum(jumps, axis=1)])
    shares = np.exp(log_sfr - log_sfr.max(1, keepdims=True)) * np.diff(nodes, axis=1)
    return _integrate_pieces(nodes, np.maximum(shares, 1e-12), edges_gyr)


def draw_log_age_walk(rng: np.random.Generator, n: int, ages_gyr: F64, scale: F64, reversion: float = 0.7) -> F64:
    """Draw stationary random walks over log age.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Number of walks.
    ages_gyr : array (m,)
        Lookback times at which they are read.
    scale : array (n,)
        Standard deviation of each walk.
    reversion : float
        Correlation of neighbouring nodes.

    Returns
    -------
    array (n, m)
        In the unit of ``scale``.
    """
    steps = rng.standard_normal((n, len(_WALK_GYR)))
    nodes = np.empty_like(steps)
    nodes[:, 0] = steps[:, 0]
    for k in range(1, steps.shape[1]):
        nodes[:, k] = reversion * nodes[:, k - 1] + np.sqrt(1 - reversion**2) * steps[:, k]
    x, grid = np.log10(np.asarray(ages_gyr) + 1e-3), np.log10(_WALK_GYR + 1e-3)
    left = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, len(grid) - 2)
    w = np.clip((x - grid[left]) / (grid[left + 1] - grid[left]), 0.0, 1.0)
    return (nodes[:, left] * (1 - w) + nodes[:, left + 1] * w) * scale[:, None]


def steady_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """Star formation that goes on: exponential trend by ``decline_per_gyr`` times slow log-normal changes."""
    middle = 0.5 * (edges_gyr[1:] + edges_gyr[:-1])
    width = np.diff(np.minimum(edges_gyr[None, :], p["start_gyr"][:, None]), axis=1)
    log_sfr = middle * p["decline_per_gyr"][:, None]
    log_sfr = log_sfr + np.log(10) * draw_log_age_walk(rng, len(width), middle, p["scatter_dex"])
    return sum_mass_from_oldest(np.exp(log_sfr - log_sfr.max(1, keepdims=True)) * width)


def add_bursts(formed: F64, edges_gyr: F64, p: FamilyParameters, count: NDArray[np.int64]) -> F64:
    """Superimpose box bursts of constant rate on histories.

    A burst that began less than half a width ago is cut at the present.

    Parameters
    ----------
    formed : array (n, S + 1)
        Fraction of the mass formed at or before each lookback time.
    edges_gyr : array (S + 1,)
        Lookback times, Gyr.
    p : mapping of str to array (n, K)
        ``age_gyr`` (the middle), ``width_gyr`` and ``mass``, the burst's share of the final total mass.
    count : int array (n,)
        Bursts of each history, up to K.

    Returns
    -------
    array (n, S + 1)
    """
    out = formed
    for k in range(p["mass"].shape[1]):
        half = 0.5 * p["width_gyr"][:, k]
        young = np.maximum(p["age_gyr"][:, k] - half, 0.0)[:, None]
        old = (p["age_gyr"][:, k] + half)[:, None]
        box = np.clip((old - edges_gyr) / (old - young), 0.0, 1.0)
        share = np.where(count > k, p["mass"][:, k], 0.0)[:, None]
        out = (1 - share) * out + share * box
    return out


def single_age_history(rng: np.random.Generator, edges_gyr: F64, p: FamilyParameters, max_age_gyr: float) -> F64:
    """A simple stellar population of ``lg_age_yr``: all mass in the two sub-bins about it, linear in log age."""
    middle = np.log10(0.5 * (edges_gyr[1:] + edges_gyr[:-1]))
    index, share = find_bracket(middle, p["lg_age_yr"] - 9.0)
    mass, rows = np.zeros((index.size, middle.size)), np.arange(index.size)
    mass[rows, index], mass[rows, index + 1] = 1.0 - share, share
    return sum_mass_from_oldest(mass)


@dataclass(frozen=True)
class SfhFamily:
    """A family's function and the parameters that a prior must give it, with the range that each allows."""

    formed: Callable[[np.random.Generator, F64, FamilyParameters, float], F64]
    bounds: Mapping[str, tuple[float, float]]


_START = (0.01, 20.0)
#: Families by the name that prior files use.
SFH_FAMILIES: Mapping[str, SfhFamily] = {
    "gp": SfhFamily(gaussian_process_history, {"alpha": (0.05, 100), "lg_ssfr": (-16, -7)}),
    "skewnormal": SfhFamily(skewnormal_history, {"peak_gyr": (0, 20), "width_gyr": (0.02, 20), "skew": (-4, 4)}),
    "exponential": SfhFamily(exponential_history, {"start_gyr": _START, "tau_gyr": (0.01, 1000)}),
    "delayed": SfhFamily(delayed_history, {"start_gyr": _START, "tau_gyr": (0.01, 1000)}),
    "constant": SfhFamily(constant_history, {"start_gyr": _START, "end": (0, 0.99)}),
    "rising": SfhFamily(rising_history, {"start_gyr": _START, "power": (0, 20)}),
    "double_power": SfhFamily(
        double_power_law_history, {"turn": (0.01, 1.2), "falling": (0, 1000), "rising": (0, 1000)}
    ),
    "quenched": SfhFamily(
        quenched_history, {"start_gyr": _START, "tau_gyr": (0.01, 1000), "quench": (0, 0.99), "fall_gyr": (0.005, 20)}
    ),
    "dirichlet": SfhFamily(dirichlet_history, {"alpha": (0.02, 100)}),
    "continuity": SfhFamily(continuity_history, {"jump_dex": (0, 3)}),
    "ssp": SfhFamily(single_age_history, {"lg_age_yr": (5, 10.3)}),
    "steady": SfhFamily(steady_history, {"start_gyr": _START, "decline_per_gyr": (-3, 3), "scatter_dex": (0, 2)}),
}
