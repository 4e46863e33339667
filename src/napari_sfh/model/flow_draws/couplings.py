"""Draws from the posterior's coupling flow: the same numbers as zuko's inverse, on a processor in a third of the time.

The flow goes back from standard normal points through splines of each direction, affine couplings (Dinh et al. 2017)
and an affine map, see `posterior`. Three things make it cheap:

* Arrays lie as (features, objects, draws), draws innermost. The halves that a coupling joins (even and odd features)
  are two arrays, which are never gathered or merged.
* The first layer of a coupling's network is a product with the half, for each draw, and one with the context, for each
  object: two thirds of the inputs are the same for all draws.
* The bin of a rational-quadratic spline (Durkan et al. 2019) is never looked up. Each of its parameters is that of the
  first bin plus the steps at all knots below the point.

Objects go through in groups, on a processor in small ones, so that their arrays stay in its cache. On a GPU nothing
waits for an answer of the device. Nothing here has a gradient.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from zuko.flows import Flow
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.flows.gaussianization import ElementWiseTransform
from zuko.nn import Linear

#: Draws of the objects that go through together.
GROUP_DRAWS = 4096
GROUP_DRAWS_DEVICE = 1 << 20  # on a GPU: its memory alone sets a limit
_MIN_SLOPE = 1e-3  # of zuko's univariate maps
_LN_SLOPE = abs(math.log(_MIN_SLOPE))
_BOUND = 5.0  # beyond it zuko's splines are the identity


def allows_fast_draws(flow: Flow, context: torch.Tensor) -> bool:
    """Whether `draw_through_couplings` applies: a processor or CUDA, no gradients, a flow of couplings.

    Parameters
    ----------
    flow : zuko.flows.Flow
    context : tensor (N, C)
        What the flow is conditional on.

    Returns
    -------
    bool
    """
    if context.device.type not in ("cpu", "cuda") or torch.is_grad_enabled():
        return False
    transforms = list(flow.transform.transforms)
    if len(transforms) < 2:
        return False
    first, *couplings, last = transforms
    ends = isinstance(first, ElementWiseTransform) and isinstance(last, ElementWiseTransform)
    return ends and all(isinstance(coupling, GeneralCouplingTransform) for coupling in couplings)


def draw_through_couplings(
    flow: Flow, points: torch.Tensor, context: torch.Tensor, colour: torch.Tensor, location: torch.Tensor
) -> torch.Tensor:
    """Points of the base density brought through the flow and the whitening: ``location + z @ colour``.

    Parameters
    ----------
    flow : zuko flow
        Affine map, couplings of the even and the odd features, splines; see `posterior`.
    points : tensor (n, T)
        Standard normal, the same for every object.
    context : tensor (N, C)
        What the flow is conditioned on.
    colour : tensor (T, T)
    location : tensor (N, T)

    Returns
    -------
    tensor (N, n, T)
        Draws lie innermost in memory.
    """
    n, features = points.shape
    affine, *couplings, spline = flow.transform.transforms
    order = torch.arange(features, device=points.device)
    order = torch.cat([order[::2], order[1::2]])  # even features, then odd ones
    n_even = (features + 1) // 2
    points = points.t().contiguous()
    knots = _SplineKnots.from_parameters(spline.hyper(context).unflatten(-1, (features, -1)))
    steps = [_Coupling.prepare(coupling, context) for coupling in reversed(couplings)]
    shift, raw_scale = affine.hyper(context).unflatten(-1, (features, 2))[:, order].permute(2, 1, 0).unbind(0)
    stretch = invert_scale(raw_scale)
    colour, location = colour[order].t().contiguous(), location.t()
    out = context.new_empty(features, len(context), n)
    size = max(1, (GROUP_DRAWS if out.device.type == "cpu" else GROUP_DRAWS_DEVICE) // n)
    for start in range(0, len(context), size):
        at = slice(start, start + size)
        z = knots.invert(points, at)[order]  # (T, G, n)
        for step in steps:
            step.invert(z[:n_even], z[n_even:], at)
        z.sub_(shift[:, at, None]).mul_(stretch[:, at, None])
        torch.add((colour @ z.view(features, -1)).view_as(z), location[:, at, None], out=out[:, at])
    return out.permute(1, 2, 0)


def invert_scale(raw: torch.Tensor) -> torch.Tensor:
    """One over zuko's bounded scale: exp(-r / (1 + |r / ln slope|)).

    Parameters
    ----------
    raw : tensor (...)
        Unconstrained parameters r.

    Returns
    -------
    tensor (...)
    """
    return (-raw).div_(raw.abs().div_(_LN_SLOPE).add_(1)).exp_()


class _Coupling(NamedTuple):
    """One affine coupling and the part of its first layer that the context decides."""

    layers: list[Linear]
    given_even: bool  # the even features decide how the odd ones move
    context_part: torch.Tensor  # (hidden, N)

    @classmethod
    def prepare(cls, coupling: GeneralCouplingTransform, context: torch.Tensor) -> _Coupling:
        """Multiply the first layer with the context."""
        layers = [layer for layer in coupling.hyper if isinstance(layer, Linear)]
        of_context = layers[0].weight[:, -context.shape[1] :]
        return cls(layers, bool(coupling.given_even), torch.addmm(layers[0].bias[:, None], of_context, context.t()))

    def invert(self, even: torch.Tensor, odd: torch.Tensor, at: slice) -> None:
        """Move the one half back, in place, given the other: (T/2, G, n) of the objects ``at``."""
        given, moved = (even, odd) if self.given_even else (odd, even)
        n_given, group, n = given.shape
        h = self.layers[0].weight[:, :n_given] @ given.reshape(n_given, -1)
        h.view(-1, group, n).add_(self.context_part[:, at, None])
        for layer in self.layers[1:]:
            h = torch.addmm(layer.bias[:, None], layer.weight, h.relu_())
        parameters = h.view(len(moved), 2, group, n)
        moved.sub_(parameters[:, 0]).mul_(invert_scale(parameters[:, 1]))


class _SplineKnots(NamedTuple):
    """Rational-quadratic splines of N objects and T features.

    Of each bin seven numbers: bottom and height, slope, derivative at the bottom, sum of the derivatives at both ends
    less two slopes, left edge and width.
    """

    first: torch.Tensor  # (7, T, N) of the first bin
    steps: torch.Tensor  # (bins - 1, 7, T, N) from one bin to the next
    edges: torch.Tensor  # (bins + 1, T, N) bottoms of the bins, and the top of the last

    @classmethod
    def from_parameters(cls, raw: torch.Tensor) -> _SplineKnots:
        """Knots from zuko's unconstrained parameters (N, T, 3 bins - 1)."""
        bins = (raw.shape[-1] + 1) // 3
        widths, heights, derivatives = raw.split([bins, bins, bins - 1], -1)
        x, y = (_stack_softmax(part / (1 + (2 * part / _LN_SLOPE).abs())) for part in (widths, heights))
        slope_at = nn.functional.pad(derivatives / (1 + (derivatives / _LN_SLOPE).abs()), (1, 1)).exp()
        dx, dy = x.diff(dim=-1), y.diff(dim=-1)
        slope = dy / dx
        bend = slope_at[..., :-1] + slope_at[..., 1:] - 2 * slope
        each = torch.stack((y[..., :-1], dy, slope, slope_at[..., :-1], bend, x[..., :-1], dx))
        table = each.permute(3, 0, 2, 1).contiguous()  # (bins, 7, T, N)
        return cls(table[0], table.diff(dim=0), y.permute(2, 1, 0).contiguous())

    def invert(self, points: torch.Tensor, at: slice) -> torch.Tensor:
        """Points (T, n) through the inverse splines of the objects ``at``: (T, G, n)."""
        edges = self.edges[..., at, None]
        y = points[:, None].expand(-1, edges.shape[2], -1).contiguous()
        found = self._gather_bins(y, at)
        bottom, height, slope, d0, bend, left, width = found
        t = torch.sub(y, bottom).div_(height)
        slope_t = slope.mul(t).mul_(2)
        bend_t = bend.mul_(t)
        b = torch.sub(d0, bend_t)
        a = slope.sub_(d0).add_(bend_t)
        root = a.mul_(slope_t).mul_(2).addcmul_(b, b).sqrt_().add_(b)
        x = left.addcmul_(slope_t.div_(root), width)
        if points.device.type == "cpu" and float(points.abs().max()) < _BOUND - 1e-3:
            return x
        return torch.where((y > edges[0]) & (y <= edges[-1]), x, y)

    def _gather_bins(self, y: torch.Tensor, at: slice) -> list[torch.Tensor]:
        """The seven numbers of each point's bin, (T, G, n) each."""
        above = torch.empty_like(y)
        found = [first.expand_as(y).clone() for first in self.first[:, :, at, None]]
        for step, edge in zip(self.steps[:, :, :, at, None], self.edges[1:-1, :, at, None], strict=True):
            torch.gt(y, edge, out=above)
            for value, by in zip(found, step, strict=True):
                value.addcmul_(above, by)
        return found


def _stack_softmax(raw: torch.Tensor) -> torch.Tensor:
    """Edges from -bound to +bound whose distances are the softmax of raw parameters."""
    return _BOUND * (2 * nn.functional.pad(raw.softmax(-1), (1, 0)).cumsum(-1) - 1)
