"""Hamiltonian Monte Carlo of many chains at once, carried from an easy density to the wanted one.

The chains begin as draws of the easy density, a standard normal. The density that they are to follow is
(1 - b) ln easy + b ln wanted, with b rising from 0 to 1: bridges over which chains move a little at a time
(Neal 2001, Statistics and Computing 11, 125, without the weights). At b = 1 they go on, and are kept now and then. The
step size follows the share of accepted moves (Hoffman & Gelman 2014, JMLR 15, 1593, with a fixed number of steps).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import Progress

LogDensity = Callable[[torch.Tensor], torch.Tensor]
_ACCEPT = 0.75  # share of accepted moves that is aimed at


@dataclass(frozen=True)
class SamplingSettings:
    """Chains, bridges, moves at the end, leapfrog steps of a move, and how often the chains are kept."""

    chains: int = 48
    bridges: int = 40
    moves: int = 120
    leapfrogs: int = 10
    keep_every: int = 8
    seed: int = 1


@dataclass(frozen=True)
class SampledPoints:
    """Points (m * C, D) of the wanted density: m times those of C chains, and the share of accepted moves."""

    points: torch.Tensor
    n_kept: int  # m
    accepted: float


def sample_annealed(
    log_density: LogDensity,
    start: torch.Tensor,
    settings: SamplingSettings,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> SampledPoints:
    """Sample a density.

    Parameters
    ----------
    log_density : callable
        Natural logarithm (C,) of the wanted density at points (C, D), differentiable; not finite where impossible.
    start : tensor (C, D)
        Draws of the standard normal distribution.
    settings : SamplingSettings
    progress, cancel : optional
        See `jobs.report_progress`.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    points, step = start.clone(), 0.1
    kept: list[torch.Tensor] = []
    shares = []
    total = settings.bridges + settings.moves
    for move in range(total):
        share = min(1.0, (move + 1) / settings.bridges) ** 3  # most bridges where the likelihood is still faint
        bridge = _join_densities(log_density, share)
        points, accepted = _move_chains(bridge, points, step, settings.leapfrogs, generator)
        rate = float(accepted.float().mean())
        step = min(1.0, max(1e-4, step * (1.0 + 0.5 * (rate - _ACCEPT))))
        done = move + 1 - settings.bridges
        if done > settings.moves // 3:
            shares.append(rate)
            if done % settings.keep_every == 0:
                kept.append(points.clone())
        report_progress(Progress("refining", move + 1, total), progress, cancel)
    return SampledPoints(torch.cat(kept), len(kept), sum(shares) / max(len(shares), 1))


def _join_densities(log_density: LogDensity, share: float) -> LogDensity:
    def joined(points: torch.Tensor) -> torch.Tensor:
        easy = -0.5 * (points**2).sum(1)
        return (1 - share) * easy + share * log_density(points)

    return joined


def _move_chains(
    log_density: LogDensity, points: torch.Tensor, step: float, leapfrogs: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One move of every chain, and which were accepted (C,)."""
    size = step * (0.8 + 0.4 * float(torch.rand((), generator=generator)))  # no orbit that comes back
    before, gradient = _evaluate_with_gradient(log_density, points)
    momentum = torch.randn(points.shape, generator=generator)
    energy = 0.5 * (momentum**2).sum(1) - before
    place = points
    momentum = momentum + 0.5 * size * gradient
    for k in range(leapfrogs):
        place = place + size * momentum
        after, gradient = _evaluate_with_gradient(log_density, place)
        momentum = momentum + (0.5 if k == leapfrogs - 1 else 1.0) * size * gradient
    change = energy - (0.5 * (momentum**2).sum(1) - after)
    luck = torch.rand(len(points), generator=generator).log()
    accepted = torch.isfinite(change) & (luck < change)
    return torch.where(accepted[:, None], place, points), accepted


def _evaluate_with_gradient(log_density: LogDensity, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        at = points.detach().requires_grad_(True)
        value = log_density(at)
        gradient = torch.autograd.grad(value.sum(), at)[0]
    return value.detach(), torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


def compare_chains(values: NDArray[np.floating]) -> float:
    """Ratio of total to within-chain scatter (Gelman & Rubin 1992, Statistical Science 7, 457) of values (m, C).

    Parameters
    ----------
    values : array (m, C)
        m moves of C chains.

    Returns
    -------
    float
        1 for chains that have met.

    Examples
    --------
    >>> apart = np.random.default_rng(1).normal(size=(50, 2)) + [0.0, 5.0]
    >>> compare_chains(apart) > 2 > 1.1 > compare_chains(apart - [0.0, 5.0])
    True
    """
    n = len(values)
    within, between = float(values.var(0, ddof=1).mean()), float(values.mean(0).var(ddof=1))
    return math.sqrt(((n - 1) / n * within + between) / max(within, 1e-12))
