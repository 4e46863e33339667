"""Layers that the networks share. Shapes: N objects, C channels, W positions along the spectrum, D features."""

from __future__ import annotations

import torch
from torch import nn


def initialise_glorot(module: nn.Module) -> None:
    """Initialise weights by the uniform scheme of Glorot & Bengio (2010), biases with zero; for `Module.apply`."""
    if isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class DenseUnit(nn.Module):
    """Dense layer, normalisation of each object over its features, PReLU: (N, D) -> (N, D')."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.dense = nn.Linear(n_in, n_out)
        self.norm = nn.LayerNorm(n_out)
        self.act = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the three."""
        return self.act(self.norm(self.dense(x)))


class ConvUnit(nn.Module):
    """Convolution, instance normalisation, PReLU, max-pooling: (N, C, W) -> (N, C', W / pool)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2)
        self.norm = nn.InstanceNorm1d(n_out, affine=True)
        self.act = nn.PReLU()
        self.pool = nn.MaxPool1d(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the four."""
        return self.pool(self.act(self.norm(self.conv(x))))


class WavelengthAttention(nn.Module):
    """Self-attention over positions along the spectrum, with a learned place of each: (N, C, W) -> (N, C, W).

    Scaled dot products (Vaswani et al. 2017), one block without a feed-forward part, added to its input.
    """

    def __init__(self, channels: int, positions: int, heads: int) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(positions, channels))
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        tokens = x.transpose(1, 2)
        placed = tokens + self.place
        return (tokens + self.attention(placed, placed, tokens, need_weights=False)[0]).transpose(1, 2)


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
