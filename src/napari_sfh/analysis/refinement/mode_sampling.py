"""Many chains at once in a density of parts: orbits within a part, jumps between parts.

A chain is in a part and at a point of that part's normal approximation (`normal_modes`), where the density is nearly a
standard normal one. A move is an orbit of Hamiltonian Monte Carlo, with a step size that follows the share of accepted
moves (Hoffman & Gelman 2014, JMLR 15, 1593), and some jumps: another part is proposed by its evidence, at the same
standard normal point, and accepted by the ratio of the densities there. The first moves go over bridges
(1 - b) ln normal + b ln wanted, with b rising to 1 (Neal 2001, Statistics and Computing 11, 125, without the weights).

Chains come in groups, each of which starts in a part of its own, those of largest evidence: groups that agree did not
keep what they started with. They are compared as Margossian et al. (2024, Bayesian Analysis 20) compare many short
chains. Chains that have not met go on, up to `SamplingSettings.most_blocks` times as long.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.analysis.refinement.normal_modes import NormalModes, PartedDensity, evaluate_with_gradient
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import Progress

_ACCEPT, _LEARNING = 0.75, 0.3  # share of accepted moves that is aimed at; how fast the step follows
_LEAST_EVIDENCE = 12.0  # of the parts that are visited, below the largest, in the logarithm
#: Ratio of the scatter with and without that between groups, and effective draws, from which on chains have met.
MOST_RATIO, LEAST_EFFECTIVE = 1.05, 100.0


@dataclass(frozen=True)
class SamplingSettings:
    """Groups and chains of each, bridges, moves of a block, blocks at most, steps of an orbit, jumps after it."""

    groups: int = 4
    chains: int = 8
    bridges: int = 8
    moves: int = 64
    most_blocks: int = 4
    leapfrogs: int = 6
    jumps: int = 3
    keep_every: int = 2
    seed: int = 1


@dataclass(frozen=True)
class SampledPoints:
    """Points (n, D) of the wanted density, the share of accepted moves, and how well the chains agree."""

    points: torch.Tensor
    accepted: float
    ratio: float  # `compare_groups` of what was watched, the largest
    effective: float  # `count_effective_draws`, the least

    @property
    def have_met(self) -> bool:
        """Whether the groups agree, on draws enough."""
        return self.ratio < MOST_RATIO and self.effective >= LEAST_EFFECTIVE


@dataclass
class _Chains:
    """Where the chains are, and what they did since the bridges."""

    part: torch.Tensor  # (C,)
    base: torch.Tensor  # (C, D)
    step: float = 0.3
    kept: list[torch.Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Bridge:
    """The density of the normal approximations on the way to the wanted one, in the space of the former."""

    density: PartedDensity
    modes: NormalModes
    share: float = 1.0

    def evaluate(self, part: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        wanted = self.density.evaluate(part, self.modes.place(part, base)) + self.modes.ln_volume[part]
        normal = self.modes.ln_evidence[part] - 0.5 * (base**2 + math.log(2 * math.pi)).sum(1)
        return (1 - self.share) * normal + self.share * wanted

    def measure_curvature(self, part: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        return torch.eye(base.shape[1]).expand(len(base), -1, -1)


def sample_modes(
    density: PartedDensity,
    modes: NormalModes,
    watch: Callable[[torch.Tensor], torch.Tensor],
    settings: SamplingSettings,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> SampledPoints:
    """Sample a density of parts.

    Parameters
    ----------
    density : PartedDensity
    modes : NormalModes
        Its approximation.
    watch : callable, tensor (n, D) to tensor (n, q)
        Quantities of points on which the chains must agree.
    settings : SamplingSettings
    progress, cancel : optional
        See `jobs.report_progress`.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    chains = _start_chains(modes, settings, generator)
    total = settings.bridges + settings.moves
    for move in range(settings.bridges):
        _move(chains, _Bridge(density, modes, (move + 1) / (settings.bridges + 1)), settings, generator)
        report_progress(Progress("refining", move + 1, total), progress, cancel)
    for block in range(settings.most_blocks):
        total = settings.bridges + (block + 1) * settings.moves
        for move in range(settings.moves):
            chains.rates.append(_move(chains, _Bridge(density, modes), settings, generator))
            if (move + 1) % settings.keep_every == 0:
                chains.kept.append(modes.place(chains.part, chains.base))
            report_progress(Progress("refining", total - settings.moves + move + 1, total), progress, cancel)
        made = _join_kept(chains, watch, settings.groups)
        if made.have_met:
            break
    return made


def _start_chains(modes: NormalModes, settings: SamplingSettings, generator: torch.Generator) -> _Chains:
    best = modes.ln_evidence.argsort(descending=True)
    best = best[modes.ln_evidence[best] > modes.ln_evidence.max() - _LEAST_EVIDENCE]
    group = torch.arange(settings.groups).repeat_interleave(settings.chains)
    base = torch.randn(len(group), modes.points.shape[1], generator=generator)
    return _Chains(best[group % len(best)], base)


def _move(chains: _Chains, bridge: _Bridge, settings: SamplingSettings, generator: torch.Generator) -> float:
    """An orbit and some jumps of every chain; the share of accepted orbits."""
    value, accepted = _follow_orbits(chains, bridge, settings.leapfrogs, generator)
    evidence = bridge.modes.ln_evidence
    weights = torch.softmax(evidence, 0)
    for _ in range(settings.jumps):
        other = torch.multinomial(weights, len(value), True, generator=generator)
        with torch.no_grad():
            new = bridge.evaluate(other, chains.base)
        gain = new - value + evidence[chains.part] - evidence[other]
        jumps = torch.rand(len(value), generator=generator).log() < gain
        chains.part, value = torch.where(jumps, other, chains.part), torch.where(jumps, new, value)
    return accepted


def _follow_orbits(
    chains: _Chains, bridge: _Bridge, leapfrogs: int, generator: torch.Generator
) -> tuple[torch.Tensor, float]:
    """Move all chains along one orbit each: logarithm (C,) of the density where they are, and the share that moved."""
    size = chains.step * (0.8 + 0.4 * float(torch.rand((), generator=generator)))  # no orbit that comes back
    before, gradient = evaluate_with_gradient(bridge, chains.part, chains.base)
    momentum = torch.randn(chains.base.shape, generator=generator)
    energy = 0.5 * (momentum**2).sum(1) - before
    place = chains.base
    momentum = momentum + 0.5 * size * gradient
    for k in range(leapfrogs):
        place = place + size * momentum
        after, gradient = evaluate_with_gradient(bridge, chains.part, place)
        momentum = momentum + (0.5 if k == leapfrogs - 1 else 1.0) * size * gradient
    change = torch.nan_to_num(energy - (0.5 * (momentum**2).sum(1) - after), nan=-torch.inf, posinf=-torch.inf)
    accepted = torch.rand(len(place), generator=generator).log() < change
    rate = float(change.clamp(max=0).exp().mean())
    chains.step = min(1.0, max(1e-3, chains.step * math.exp(_LEARNING * (rate - _ACCEPT))))
    chains.base = torch.where(accepted[:, None], place, chains.base)
    return torch.where(accepted, after, before), float(accepted.float().mean())


def _join_kept(chains: _Chains, watch: Callable[[torch.Tensor], torch.Tensor], groups: int) -> SampledPoints:
    """What was kept after the first quarter, and how well it agrees."""
    kept = torch.stack(chains.kept[len(chains.kept) // 4 :])
    with torch.no_grad():
        seen = watch(kept.flatten(0, 1)).double().numpy().reshape(*kept.shape[:2], -1)
    columns = [seen[..., k] for k in range(seen.shape[-1])]
    return SampledPoints(
        kept.flatten(0, 1),
        float(np.mean(chains.rates)),
        max(compare_groups(v, groups) for v in columns),
        min(count_effective_draws(v) for v in columns),
    )


def compare_groups(values: NDArray[np.floating], groups: int) -> float:
    """Root of the ratio of total to within-group variance (nested R-hat) of values (m, C).

    Parameters
    ----------
    values : array (m, C)
        m moves of C chains, those of a group beside each other.
    groups : int

    Returns
    -------
    float
        1 for groups that agree; 1.05 where their means differ by a third of the scatter.

    Examples
    --------
    >>> apart = np.random.default_rng(1).normal(size=(50, 8)) + np.repeat([0.0, 5.0], 4)
    >>> compare_groups(apart, 2) > 2 > 1.05 > compare_groups(apart - np.repeat([0.0, 5.0], 4), 2)
    True
    """
    parts = np.stack(np.split(values, groups, axis=1))  # (groups, m, C / groups)
    within = float(parts.reshape(groups, -1).var(1, ddof=1).mean())
    between = float(parts.mean((1, 2)).var(ddof=1)) if groups > 1 else 0.0
    return math.sqrt(1 + between / max(within, 1e-12))


def count_effective_draws(values: NDArray[np.floating]) -> float:
    """Independent draws that are worth as much as values (m, C): their number over the autocorrelation time.

    Parameters
    ----------
    values : array (m, C)
        m moves of C chains.

    Returns
    -------
    float

    Examples
    --------
    >>> white = np.random.default_rng(1).normal(size=(200, 4))
    >>> 600 < count_effective_draws(white) <= 800 and count_effective_draws(np.repeat(white[:50], 4, axis=0)) < 300
    True
    """
    away = values - values.mean()
    variance, time = max(float((away**2).mean()), 1e-30), 1.0
    for lag in range(1, len(values) - 1):
        correlation = float((away[lag:] * away[:-lag]).mean()) / variance
        if correlation < 0.03:
            break
        time += 2 * correlation
    return values.size / time
