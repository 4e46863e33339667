"""Normal approximations of a density that is a sum of parts: the best point of each part, its shape and its evidence.

The density of a prior that is a mixture of K normal distributions, times a likelihood, is a sum of K parts. The parts
are thin slabs in a space of many dimensions, each in a direction of its own, and hardly overlap: no orbit leads from
one to the next. Within a part the density is nearly normal. Its best point is found by damped Gauss-Newton steps
(Levenberg 1944; Marquardt 1963), all parts at once; curvature there gives shape and evidence (Laplace's method).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch

#: Damping at the start, and its factors after a step that helped and one that did not.
_DAMPING, _LESS, _MORE = 0.1, 0.3, 5.0


class PartedDensity(Protocol):
    """A density of D dimensions, the sum of K parts."""

    def evaluate(self, part: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Natural logarithm (C,) of parts (C,) of the density at points (C, D); differentiable."""

    def measure_curvature(self, part: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Its curvature (C, D, D), without second derivatives of the model; positive definite."""


@dataclass(frozen=True)
class NormalModes:
    """K normal distributions.

    Attributes
    ----------
    points : tensor (K, D)
    roots : tensor (K, D, D)
        Lower triangular roots of the covariances.
    ln_evidence : tensor (K,)
        Natural logarithm of the mass of each part.
    """

    points: torch.Tensor
    roots: torch.Tensor
    ln_evidence: torch.Tensor

    @property
    def ln_volume(self) -> torch.Tensor:
        """Natural logarithm (K,) of the roots' determinants."""
        return self.roots.diagonal(dim1=1, dim2=2).log().sum(1)

    def place(self, part: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Points (C, D) of parts (C,) at standard normal ones (C, D)."""
        return self.points[part] + (self.roots[part] @ base[..., None])[..., 0]


def find_best_points(density: PartedDensity, start: torch.Tensor, steps: int) -> torch.Tensor:
    """The best point (K, D) of each part.

    Parameters
    ----------
    density : PartedDensity
    start : tensor (K, D)
        A point for each part.
    steps : int
        Tried; those that do not help are shortened.
    """
    part, points = torch.arange(len(start)), start
    damping = torch.full((len(start),), _DAMPING)
    value, gradient = evaluate_with_gradient(density, part, points)
    for _ in range(steps):
        curvature = density.measure_curvature(part, points)
        damped = curvature + torch.diag_embed(damping[:, None] * curvature.diagonal(dim1=1, dim2=2))
        tried = points + torch.linalg.solve(damped, gradient[..., None])[..., 0]
        new_value, new_gradient = evaluate_with_gradient(density, part, tried)
        helps = torch.isfinite(new_value) & (new_value > value)
        points = torch.where(helps[:, None], tried, points)
        gradient = torch.where(helps[:, None], new_gradient, gradient)
        value = torch.where(helps, new_value, value)
        damping = (damping * torch.where(helps, _LESS, _MORE)).clamp(1e-6, 1e6)
    return points


def fit_normal_modes(density: PartedDensity, points: torch.Tensor) -> NormalModes:
    """The normal approximation of each part about its best point.

    Parameters
    ----------
    density : PartedDensity
    points : tensor (K, D)
        See `find_best_points`.
    """
    part = torch.arange(len(points))
    curvature = density.measure_curvature(part, points).double()
    covariance = torch.linalg.inv(0.5 * (curvature + curvature.transpose(1, 2)))
    roots = torch.linalg.cholesky(0.5 * (covariance + covariance.transpose(1, 2))).float()
    volume = roots.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * points.shape[1] * math.log(2 * math.pi)
    with torch.no_grad():
        return NormalModes(points, roots, density.evaluate(part, points) + volume)


def evaluate_with_gradient(
    density: PartedDensity, part: torch.Tensor, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Natural logarithm (C,) of the density and its gradient (C, D), zero where that is not finite.

    Parameters
    ----------
    density : PartedDensity
    part : tensor (C,)
    points : tensor (C, D)
    """
    with torch.enable_grad():
        at = points.detach().requires_grad_(True)
        value = density.evaluate(part, at)
        gradient = torch.autograd.grad(value.sum(), at)[0]
    return value.detach(), torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
