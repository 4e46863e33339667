"""Draws from the posterior's coupling flow: the same numbers as zuko's inverse, on a processor in a third of the time.

The flow goes back from standard normal points through splines of each direction, affine couplings (Dinh et al. 2017)
and an affine map, see `posterior`. Four things make it cheap:

* Arrays lie as (features, objects, draws), draws innermost. The halves that a coupling joins (even and odd features)
  are two arrays, which are never gathered or merged.
* The first layer of a coupling's network is a product with the half, for each draw, and one with the context, for each
  object: two thirds of the inputs are the same for all draws.
* Nothing is added to hidden units: relu(h + c) = max(h, -c) + c, and c, the same for all draws of an object, goes with
  the biases through the next layer, once an object.
* The bin of a rational-quadratic spline (Durkan et al. 2019) is never looked up. All objects have the same points, so
  these are put in order once; the points of a bin then lie in a row, and its parameters are repeated along it.

Objects go through in groups, on a processor in small ones, so that their arrays stay in its cache. On a GPU nothing
waits for an answer of the device. Nothing here has a gradient.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
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
    knots = _SplineKnots.from_parameters(spline.hyper(context).unflatten(-1, (features, -1))[:, order])
    ranked = _RankedPoints.rank(points.t()[order])
    steps = [_Coupling.prepare(coupling, context) for coupling in reversed(couplings)]
    shift, raw_scale = affine.hyper(context).unflatten(-1, (features, 2))[:, order].permute(2, 1, 0).unbind(0)
    stretch = invert_scale(raw_scale)
    colour, location = colour[order].t().contiguous(), location.t()
    out = context.new_empty(features, len(context), n)
    size = max(1, (GROUP_DRAWS if out.device.type == "cpu" else GROUP_DRAWS_DEVICE) // n)
    for start in range(0, len(context), size):
        at = slice(start, start + size)
        z = knots.invert(ranked, at)  # (T, G, n)
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
    """One affine coupling, with what the context decides: numbers of N objects."""

    weights: list[torch.Tensor]  # of its layers; the last gives shifts, then scales over -_LN_SLOPE
    given_even: bool  # the even features decide how the odd ones move
    floors: list[torch.Tensor]  # (hidden, N) that hidden units, less their constants, do not fall below
    constants: torch.Tensor  # (2, moved features, N) added to what the last layer gives

    @classmethod
    def prepare(cls, coupling: GeneralCouplingTransform, context: torch.Tensor) -> _Coupling:
        """Bring context and biases through all layers."""
        first, *rest = [(layer.weight, layer.bias[:, None]) for layer in coupling.hyper if isinstance(layer, Linear)]
        n_given = first[0].shape[1] - context.shape[1]
        constants = torch.addmm(first[1], first[0][:, n_given:], context.t())
        rest[-1] = cast(Any, tuple(torch.cat([part[::2], part[1::2] / -_LN_SLOPE]) for part in rest[-1]))
        weights, floors = [first[0][:, :n_given].contiguous()], []
        for weight, bias in rest:
            floors.append(-constants)
            constants = torch.addmm(bias, weight, constants)
            weights.append(weight)
        return cls(weights, bool(coupling.given_even), floors, constants.view(2, -1, len(context)))

    def invert(self, even: torch.Tensor, odd: torch.Tensor, at: slice) -> None:
        """Move the one half back, in place, given the other: (T/2, G, n) of the objects ``at``."""
        given, moved = (even, odd) if self.given_even else (odd, even)
        h = self.weights[0] @ given.reshape(len(given), -1)
        for weight, floor in zip(self.weights[1:], self.floors, strict=True):
            units = h.view(-1, *given.shape[1:])
            torch.maximum(units, floor[:, at, None], out=units)
            h = weight @ h
        shift, scale = h.view(2, *moved.shape).add_(self.constants[:, :, at, None])
        # Of r over -_LN_SLOPE the same as `invert_scale` of r.
        bounded = torch.addcdiv(scale.new_zeros(()), scale, scale.abs().add_(1), value=_LN_SLOPE)
        moved.sub_(shift).mul_(bounded.exp_())


class _RankedPoints(NamedTuple):
    """Points (T, n), the same for all objects, in rising order of each feature."""

    values: torch.Tensor  # (T, n) rising
    ranks: torch.Tensor  # (T, n) where each point stands there
    within: bool  # known to lie within the splines' bounds

    @classmethod
    def rank(cls, points: torch.Tensor) -> _RankedPoints:
        """Put points (T, n) in order."""
        on_host = points.device.type == "cpu"
        # NumPy's vectorised sort takes a fraction of torch's time.
        order = torch.from_numpy(np.argsort(points.numpy(), axis=1)) if on_host else points.argsort(dim=1)
        places = torch.arange(points.shape[1], device=points.device).expand_as(order)
        within = on_host and float(points.abs().max()) < _BOUND - 1e-3  # a GPU is not asked
        return cls(points.gather(1, order), torch.empty_like(order).scatter_(1, order, places), within)


class _SplineKnots(NamedTuple):
    """Inverse rational-quadratic splines of N objects and T features, by bin.

    At a share t of a bin's height x = left + 2 width t / (b + sqrt(b^2 + 4 (1 - b) t)). Over the bin's slope, b starts
    as the derivative at the bottom and changes by ``bend`` t.
    """

    bins: torch.Tensor  # (6, T, N, bins): 1 / height, -bottom / height, b at the bottom, bend, left, 2 width
    edges: torch.Tensor  # (T, N, bins + 1) bottoms of the bins, and the top of the last

    @classmethod
    def from_parameters(cls, raw: torch.Tensor) -> _SplineKnots:
        """Knots from zuko's unconstrained parameters (N, T, 3 bins - 1)."""
        bins = (raw.shape[-1] + 1) // 3
        widths, heights, derivatives = raw.transpose(0, 1).split([bins, bins, bins - 1], -1)
        x, y = (_stack_softmax(part / (1 + (2 * part / _LN_SLOPE).abs())) for part in (widths, heights))
        slope_at = nn.functional.pad(derivatives / (1 + (derivatives / _LN_SLOPE).abs()), (1, 1)).exp()
        dx, dy = x.diff(dim=-1), y.diff(dim=-1)
        low, high = slope_at[..., :-1] * dx / dy, slope_at[..., 1:] * dx / dy
        return cls(torch.stack((1 / dy, -y[..., :-1] / dy, low, 2 - low - high, x[..., :-1], 2 * dx)), y)

    def invert(self, points: _RankedPoints, at: slice) -> torch.Tensor:
        """Points through the inverse splines of the objects ``at``: (T, G, n), in the points' own order."""
        y, edges = points.values[:, None], self.edges[:, at]
        upscale, offset, b, bend, left, twice_width = self._repeat_bins(points.values, at)
        t = upscale.mul_(y).add_(offset)
        b.addcmul_(bend, t)
        root = torch.sub(1, b, out=bend).mul_(t).mul_(4).addcmul_(b, b).sqrt_().add_(b)
        x = left.addcmul_(t.div_(root), twice_width)
        if not points.within:
            x = torch.where((y > edges[..., :1]) & (y <= edges[..., -1:]), x, y)
        return x.gather(2, points.ranks[:, None].expand_as(x))

    def _repeat_bins(self, rising: torch.Tensor, at: slice) -> list[torch.Tensor]:
        """The six numbers of the bin of each of the points (T, n), which rise: (T, G, n) each."""
        inner, (features, n) = self.edges[:, at, 1:-1], rising.shape
        below = torch.searchsorted(rising, inner.flatten(1).contiguous(), right=True).view_as(inner)
        last = torch.full_like(below[..., :1], n)
        counts = torch.cat([below, last], -1).diff(dim=-1, prepend=torch.zeros_like(last)).flatten()
        shape = (features, inner.shape[1], n)
        if rising.device.type == "cpu":  # NumPy takes an eighth of torch's time
            times = counts.numpy()
            return [torch.from_numpy(np.repeat(v.flatten().numpy(), times)).view(shape) for v in self.bins[:, :, at]]
        many = features * inner.shape[1] * n
        return [torch.repeat_interleave(v.flatten(), counts, output_size=many).view(shape) for v in self.bins[:, :, at]]


def _stack_softmax(raw: torch.Tensor) -> torch.Tensor:
    """Edges from -bound to +bound whose distances are the softmax of raw parameters."""
    return _BOUND * (2 * nn.functional.pad(raw.softmax(-1), (1, 0)).cumsum(-1) - 1)
