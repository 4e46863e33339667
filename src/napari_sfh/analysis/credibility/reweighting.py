"""Draws of a posterior under another prior, by importance weights.

Under a new prior p' on some quantities s, and the old one for everything else given s, the weight of a draw is
p'(s) / p(s), with p the old prior's density (`model.prior_summary`). Few draws then carry most of the weight where the
two priors differ much: the effective sample size (sum w)^2 / sum w^2 says how many draws the answer rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.types import F64, QUANTILES

if TYPE_CHECKING:
    from napari_sfh.model.prior_summary import GaussianMixtureDensity

#: Effective draws below which a reweighted answer is not to be used.
MIN_EFFECTIVE_SIZE = 50.0


@dataclass(frozen=True)
class NormalPrior:
    """A normal distribution of one quantity."""

    mean: float
    sigma: float

    def evaluate_log_density(self, values: F64) -> F64:
        """Natural logarithm of the density, up to a constant."""
        return -0.5 * ((np.asarray(values, float) - self.mean) / self.sigma) ** 2


@dataclass(frozen=True)
class UniformPrior:
    """One value as likely as the other between two limits."""

    low: float
    high: float

    def evaluate_log_density(self, values: F64) -> F64:
        """Natural logarithm of the density, up to a constant."""
        x = np.asarray(values, float)
        return np.where((x >= self.low) & (x <= self.high), 0.0, -np.inf)


@dataclass(frozen=True)
class ReweightedPosterior:
    """Draws with weights, and what follows from them."""

    draws: Mapping[str, F64]  # (n,) each
    weights: F64  # (n,), sum to 1
    quantiles: Mapping[str, F64]  # (5,) each, at `types.QUANTILES`
    effective_size: float

    @property
    def is_reliable(self) -> bool:
        """Whether enough draws carry the answer."""
        return self.effective_size >= MIN_EFFECTIVE_SIZE


def reweight_posterior(
    draws: Mapping[str, F64], density: GaussianMixtureDensity, wanted: Mapping[str, NormalPrior | UniformPrior]
) -> ReweightedPosterior:
    """Draws under another prior.

    Parameters
    ----------
    draws : mapping
        Draws (n,) of the quantities of interest and of those of ``wanted``.
    density : GaussianMixtureDensity
        Of the prior that the draws were made with.
    wanted : mapping
        The new prior of some quantities, independent of each other.

    Raises
    ------
    SfhInputError
        A quantity without draws or without a known density; no draw has a weight under the new prior.

    Examples
    --------
    >>> from napari_sfh.model.prior_summary import GaussianMixtureDensity
    >>> flat = GaussianMixtureDensity(("mh_lw",), np.ones(1), np.zeros((1, 1)), np.full((1, 1, 1), 1e4))
    >>> draws = {"mh_lw": np.random.default_rng(1).normal(0.0, 0.2, 4000)}
    >>> made = reweight_posterior(draws, flat, {"mh_lw": NormalPrior(0.2, 0.2)})
    >>> round(float(made.quantiles["mh_lw"][2]), 1), made.is_reliable
    (0.1, True)
    """
    if missing := [k for k in wanted if k not in draws]:
        raise SfhInputError(f"prior on {missing[0]!r}: the quantity was not drawn; choose from {', '.join(draws)}")
    old = density.evaluate_log_density({k: draws[k] for k in wanted})
    log_weight = sum((p.evaluate_log_density(draws[k]) for k, p in wanted.items()), -old)
    top = float(np.max(log_weight))
    if not np.isfinite(top):
        raise SfhInputError("prior: none of the posterior's draws is possible under it; widen it")
    weights = np.exp(log_weight - top)
    weights /= weights.sum()
    quantiles = {k: _weighted_quantiles(np.asarray(v, float), weights) for k, v in draws.items()}
    return ReweightedPosterior(draws, weights, quantiles, float(1.0 / (weights**2).sum()))


def _weighted_quantiles(values: F64, weights: F64) -> F64:
    order = np.argsort(values)
    level = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(QUANTILES, level, values[order])
