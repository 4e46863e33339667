"""Draws from a masked autoregressive flow: the same numbers as zuko's inverse, each hidden unit computed once.

An affine autoregressive layer (Papamakarios et al. 2017) goes back feature by feature, since shift and scale of one
follow from those before it. zuko computes the whole network for each. But a unit behind the masks depends on the first
features alone: sorted by how many, the units of each layer are computed block by block, as the features come, from what
lies before them. All features together then cost less than the network does once.

As in `couplings`, draws lie innermost, the context's part of the first layer is computed once per object, and objects
go through in groups whose arrays stay in the processor's cache. Nothing here has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from zuko.flows import Flow
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.nn import MaskedLinear
from zuko.transforms import MonotonicAffineTransform

from napari_sfh.model.flow_draws.couplings import GROUP_DRAWS, GROUP_DRAWS_DEVICE, invert_scale


def allows_blockwise_draws(flow: Flow, context: torch.Tensor) -> bool:
    """Whether `draw_feature_by_feature` applies: a processor or CUDA, no gradients, a flow of affine masked layers.

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
    return all(_is_affine_layer(transform) for transform in flow.transform.transforms)


def _is_affine_layer(transform: nn.Module) -> bool:
    if not isinstance(transform, MaskedAutoregressiveTransform) or transform.order is None:
        return False
    plain = all(isinstance(part, (MaskedLinear, nn.ReLU)) for part in transform.hyper)
    return plain and transform.univariate is MonotonicAffineTransform


def draw_feature_by_feature(
    flow: Flow, points: torch.Tensor, context: torch.Tensor, colour: torch.Tensor, location: torch.Tensor
) -> torch.Tensor:
    """Points of the base density brought through the flow and the whitening: ``location + z @ colour``.

    Parameters
    ----------
    flow : zuko flow
        Of affine masked autoregressive layers.
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
    layers = [_Layer.prepare(transform, context) for transform in reversed(flow.transform.transforms)]
    points, colour, location = points.t(), colour.t().contiguous(), location.t()
    out = context.new_empty(features, len(context), n)
    size = max(1, (GROUP_DRAWS if out.device.type == "cpu" else GROUP_DRAWS_DEVICE) // n)
    for start in range(0, len(context), size):
        at = slice(start, start + size)
        z = points[:, None].expand_as(out[:, at])
        for layer in layers:
            z = layer.invert(z, at)
        torch.add((colour @ z.reshape(features, -1)).view_as(z), location[:, at, None], out=out[:, at])
    return out.permute(1, 2, 0)


class _Layer(NamedTuple):
    """One autoregressive layer, features and hidden units sorted by the number of features that they wait for."""

    order: torch.Tensor  # (T,) features as they come
    weights: list[torch.Tensor]  # masked, of all layers; of the first the features' part alone
    biases: list[torch.Tensor]  # (units, 1) from the second layer on
    context_part: torch.Tensor  # (units, N) of the first layer, bias included
    ends: list[list[int]]  # of the features and of each hidden layer: units that wait for 0, 1, ... steps at most

    @classmethod
    def prepare(cls, transform: MaskedAutoregressiveTransform, context: torch.Tensor) -> _Layer:
        """Sort the units of a layer and multiply its first weights with the context."""
        linear = [part for part in transform.hyper if isinstance(part, MaskedLinear)]
        rank = transform.order
        waits, order = rank + 1, torch.argsort(rank, stable=True)
        steps, columns = int(rank.max()) + 1, order
        weights, biases, ends = [], [], [_count_up_to(waits, steps)]
        of_context, first_bias = torch.empty(0), torch.empty(0)
        for k, part in enumerate(linear):
            mask, weight = part.mask[:, : len(waits)], part.mask * part.weight
            if k < len(linear) - 1:
                waits = torch.where(mask, waits, 0).amax(1)
                rows = torch.argsort(waits, stable=True)
                ends.append(_count_up_to(waits, steps))
            else:  # shift and scale of each feature
                rows = (2 * order[:, None] + torch.arange(2, device=order.device)).flatten()
            if k == 0:
                of_context, first_bias = weight[rows, len(rank) :], part.bias[rows, None]
            weights.append(weight[rows][:, columns])
            biases.append(part.bias[rows, None])
            columns = rows
        context_part = torch.addmm(first_bias, of_context, context.t())
        return cls(order, weights, biases, context_part, ends)

    def invert(self, y: torch.Tensor, at: slice) -> torch.Tensor:
        """Points (T, G, n) of the objects ``at`` brought back."""
        group, n = y.shape[1:]
        known = y.new_empty(len(self.order), group * n)
        hidden = [y.new_empty(len(weight), group * n) for weight in self.weights[:-1]]
        target = y[self.order].reshape(len(self.order), -1)
        first = [0] * len(self.ends)
        for step in range(len(self.ends[0]) - 1):
            last = [end[step] for end in self.ends]
            given = known
            for k, units in enumerate(hidden):
                rows = slice(first[k + 1], last[k + 1])
                if rows.start < rows.stop:
                    torch.mm(self.weights[k][rows, : last[k]], given[: last[k]], out=units[rows])
                    if k == 0:
                        units[rows].view(-1, group, n).add_(self.context_part[rows, at, None])
                    else:
                        units[rows].add_(self.biases[k][rows])
                    units[rows].relu_()
                given = units
            features = slice(last[0], self.ends[0][step + 1])
            both = slice(2 * features.start, 2 * features.stop)
            parameters = self.weights[-1][both, : last[-1]] @ given[: last[-1]]
            parameters = parameters.add_(self.biases[-1][both]).view(-1, 2, group * n)
            torch.sub(target[features], parameters[:, 0], out=known[features])
            known[features].mul_(invert_scale(parameters[:, 1]))
            first = last
        return known[torch.argsort(self.order)].view_as(y)


def _count_up_to(waits: torch.Tensor, steps: int) -> list[int]:
    """How many units wait for at most 0, 1, ..., ``steps`` steps."""
    return [int((waits <= step).sum()) for step in range(steps + 1)]
