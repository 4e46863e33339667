"""Layers that the networks share. Shapes: N objects, C channels, W positions along the spectrum, D features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional

from napari_sfh.model.fast_convolution import allows_fast_convolution, convolve_and_pool


def initialise_glorot(module: nn.Module) -> None:
    """Initialise weights by the uniform scheme of Glorot & Bengio (2010), biases with zero; for `Module.apply`."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


#: Kinds of normalisation.
Norm = Literal["instance", "batch", "none"]


@dataclass(frozen=True)
class UnitStyle:
    """What follows a convolution or a dense layer.

    Attributes
    ----------
    norm : str
        ``instance``: each object over its positions (Ulyanov et al. 2016), dense features together; ``batch``: each
        channel over the batch (Ioffe & Szegedy 2015); ``none``.
    activation_first : bool
        PReLU before the normalisation instead of after it.
    dropout : float
        Share of the features set to zero at random in training.
    """

    norm: Norm = "instance"
    activation_first: bool = False
    dropout: float = 0.0

    def finish(self, x: torch.Tensor, norm: nn.Module, act: nn.Module, drop: nn.Module) -> torch.Tensor:
        """Normalise and activate in this order, then drop."""
        return cast(torch.Tensor, drop(norm(act(x)) if self.activation_first else act(norm(x))))


#: Galceran et al. (2026): instance normalisation, then PReLU, no dropout.
PLAIN_STYLE = UnitStyle()


class DenseUnit(nn.Module):
    """Dense layer, normalisation of each object over its features, PReLU: (N, D) -> (N, D')."""

    def __init__(self, n_in: int, n_out: int, style: UnitStyle = PLAIN_STYLE) -> None:
        super().__init__()
        kinds = {"instance": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Identity}
        self.style = style
        self.dense = nn.Linear(n_in, n_out)
        self.norm = kinds[style.norm](n_out)
        self.act = nn.PReLU()
        self.drop = nn.Dropout(style.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply them."""
        return self.style.finish(self.dense(x), self.norm, self.act, self.drop)


class ConvUnit(nn.Module):
    """Convolution, instance normalisation, PReLU, max-pooling: (N, C, W) -> (N, C', W / pool)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, pool: int, style: UnitStyle = PLAIN_STYLE) -> None:
        super().__init__()
        self.style = style
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2)
        self.norm = {
            "instance": nn.InstanceNorm1d(n_out, affine=True), "batch": nn.BatchNorm1d(n_out), "none": nn.Identity(),
        }[style.norm]  # fmt: skip
        self.act = nn.PReLU()
        self.drop = nn.Dropout(style.dropout)
        self.pool = nn.MaxPool1d(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply them."""
        # Outside training the plain way: a bin's numbers then do not depend on the size of its batch.
        fast = self.training and self.style == PLAIN_STYLE
        if not (fast and allows_fast_convolution(x, self.conv.kernel_size[0], self.act.weight)):
            slow = self.training and x.is_cuda
            convolved = convolve_by_product(x, self.conv.weight, self.conv.bias) if slow else self.conv(x)
            return cast(torch.Tensor, self.pool(self.style.finish(convolved, self.norm, self.act, self.drop)))
        norm = cast(nn.InstanceNorm1d, self.norm)
        convolution, affine = (self.conv.weight, self.conv.bias), (norm.weight, norm.bias)
        return convolve_and_pool(x, convolution, affine, self.act.weight, cast(int, self.pool.kernel_size), norm.eps)


def convolve_by_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The convolution (N, C', W) of spectra (N, C, W) with odd kernels (C', C, K), as one product of matrices.

    With few channels cuDNN takes Fourier transforms for the gradients, which on an H100 are four times slower.

    Parameters
    ----------
    x : tensor (N, C, W)
    weight : tensor (C', C, K)
        K is odd.
    bias : tensor (C',), or None

    Returns
    -------
    tensor (N, C', W)
    """
    n, c, w = x.shape
    k = weight.shape[2]
    columns = functional.pad(x, (k // 2, k // 2)).unfold(2, k, 1).permute(0, 2, 1, 3).reshape(n * w, c * k)
    return functional.linear(columns, weight.flatten(1), bias).view(n, w, -1).transpose(1, 2).contiguous()


class WavelengthAttention(nn.Module):
    """Self-attention over positions along the spectrum, with a learned place of each: (N, C, W) -> (N, C, W).

    Scaled dot products (Vaswani et al. 2017), one block without a feed-forward part, added to its input.
    """

    def __init__(self, channels: int, positions: int, heads: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(positions, channels))
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply; plain products, which on a processor are faster than torch's fused attention."""
        n, c, w = x.shape
        heads, size = self.attention.num_heads, c // self.attention.num_heads
        tokens = x.transpose(1, 2).contiguous()
        weight, bias = self.attention.in_proj_weight, self.attention.in_proj_bias
        asked = functional.linear(tokens + self.place, weight[: 2 * c], bias[: 2 * c]).view(n, w, 2, heads, size)
        queries, keys = asked.permute(2, 0, 3, 1, 4).unbind(0)
        values = functional.linear(tokens, weight[2 * c :], bias[2 * c :]).view(n, w, heads, size).transpose(1, 2)
        score = torch.matmul(queries * size**-0.5, keys.transpose(2, 3))
        mixed = torch.matmul(torch.softmax(score, -1), values).transpose(1, 2).reshape(n, w, c)
        return (tokens + self.attention.out_proj(mixed)).transpose(1, 2)


class ResidualUnit(nn.Module):
    """Normalise, widen, activate, narrow, add to the input: (N, D) -> (N, D)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.act = nn.PReLU()
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply."""
        return x + self.narrow(self.act(self.widen(self.norm(x))))
