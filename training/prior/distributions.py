"""One-dimensional distributions as a prior file writes them, vectorised and reproducible.

A value in a prior is a number (constant) or one of the tables ``{uniform = [lo, hi]}``, ``{loguniform = [lo, hi]}``,
``{normal = [mean, std], range = [lo, hi]}`` (redrawn outside the range) and ``{choice = [...], weights = [...]}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from napari_sfh.errors import SfhInputError

#: Keys of a table that describes a distribution.
DISTRIBUTION_KINDS = ("uniform", "loguniform", "normal", "choice")


@dataclass(frozen=True)
class Dist:
    """A distribution; `low` and `high` bound its support."""

    kind: str
    values: tuple[float, ...]
    low: float
    high: float
    weights: tuple[float, ...] = ()

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Draw ``n`` values, shape (n,). One uniform number is used per value, whatever the kind."""
        u = rng.random(n)
        if self.kind == "constant":
            return np.full(n, self.values[0])
        if self.kind == "uniform":
            return self.low + (self.high - self.low) * u
        if self.kind == "loguniform":
            return np.exp(math.log(self.low) + math.log(self.high / self.low) * u)
        if self.kind == "normal":
            mean, std = self.values
            lo, hi = ndtr((self.low - mean) / std), ndtr((self.high - mean) / std)
            return np.clip(mean + std * ndtri(lo + (hi - lo) * u), self.low, self.high)
        edges = np.cumsum(self.weights) / np.sum(self.weights)
        index = np.minimum(np.searchsorted(edges, u, side="right"), len(self.values) - 1)
        return np.asarray(self.values)[index]


def constant_distribution(value: float) -> Dist:
    """The distribution of a number that is known."""
    return Dist("constant", (float(value),), float(value), float(value))


def _parse_numbers(value: Any, key: str, length: int | None = None) -> tuple[float, ...]:
    good = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if not good or not value or (length is not None and len(value) != length):
        need = "a list of numbers" if length is None else f"a list of {length} numbers"
        raise SfhInputError(f"{key} = {value!r}: expected {need}")
    return tuple(float(v) for v in value)


def parse_distribution(value: Any, key: str, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Dist:
    """Read a distribution from a prior file's value.

    Parameters
    ----------
    value : number or table
        As the module's head describes.
    key : str
        Dotted name of the value, for messages.
    bounds : (float, float)
        What the quantity allows; a distribution that reaches beyond is refused.

    Raises
    ------
    SfhInputError
        If the value is malformed or leaves the bounds. The message names the key.
    """
    dist = _parse_without_bounds(value, key)
    if not (bounds[0] <= dist.low and dist.high <= bounds[1]):
        raise SfhInputError(f"{key} = {value!r}: allowed range is {bounds[0]:g} to {bounds[1]:g}")
    return dist


def _parse_without_bounds(value: Any, key: str) -> Dist:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return constant_distribution(value)
    kinds = [k for k in value if k in DISTRIBUTION_KINDS] if isinstance(value, Mapping) else []
    if len(kinds) != 1:
        raise SfhInputError(
            f"{key} = {value!r}: expected a number or a table with one of {', '.join(DISTRIBUTION_KINDS)}"
        )
    kind = kinds[0]
    extra = set(value) - {kind} - ({"range"} if kind == "normal" else {"weights"} if kind == "choice" else set())
    if extra:
        raise SfhInputError(f"{key}: unknown key {sorted(extra)[0]!r} beside {kind!r}")
    if kind == "choice":
        values = _parse_numbers(value["choice"], f"{key}.choice")
        weights = _parse_numbers(value.get("weights", [1.0] * len(values)), f"{key}.weights", len(values))
        if min(weights) < 0 or sum(weights) <= 0:
            raise SfhInputError(f"{key}.weights = {list(weights)}: must not be negative, nor all zero")
        return Dist(kind, values, min(values), max(values), weights)
    first, second = _parse_numbers(value[kind], f"{key}.{kind}", 2)
    if kind == "normal":
        if second <= 0:
            raise SfhInputError(f"{key}.normal = {[first, second]}: the standard deviation must be positive")
        low, high = _parse_numbers(value.get("range", [-math.inf, math.inf]), f"{key}.range", 2)
        if low >= high:
            raise SfhInputError(f"{key}.range = {[low, high]}: must increase")
        return Dist(kind, (first, second), low, high)
    if first > second or (kind == "loguniform" and first <= 0):
        raise SfhInputError(
            f"{key}.{kind} = {[first, second]}: must increase" + (" and be positive" * (kind == "loguniform"))
        )
    return Dist(kind, (first, second), first, second)
