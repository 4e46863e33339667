"""Encoder and flow of percentile posteriors, after Iglesias-Navarro (2023, MSc thesis, La Laguna, section 3.2).

Encoder: spectrum -> 16 latent numbers -> (while it is trained) the ten labels, log-cosh loss. Flow: a masked
autoregressive flow of five blocks with two layers of 128 (Papamakarios et al. 2017), conditional on the latent numbers.

Ours, as the thesis' three convolutions with attention need a GPU: the encoder's first layer is the projection on the
principal components of noiseless spectra, each over its standard deviation, and dense residual layers follow. Labels
are standardised in loss and flow. The drawn times of one galaxy are put in order: P10 <= ... <= P90 always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import zuko
from torch import nn

from napari_sfh.console import LogLine
from napari_sfh.model.layers import ResidualUnit
from napari_sfh.training.fitting.losses import log_cosh
from napari_sfh.types import F32

#: Latent numbers between encoder and flow.
LATENT = 16


@dataclass(frozen=True)
class PercentileFitSettings:
    """Sizes and optimisation of encoder and flow."""

    width: int = 192
    hidden: int = 384
    blocks: int = 3
    epochs: int = 40
    batch: int = 512
    learning_rate: float = 1e-3
    transforms: int = 5
    flow_hidden: tuple[int, ...] = (128, 128)
    flow_epochs: int = 25
    flow_learning_rate: float = 5e-4
    seed: int = 4


class PercentileEncoder(nn.Module):
    """Components (N, C) -> latent (N, 16) -> standardised labels (N, L)."""

    def __init__(self, components: int, labels: int, settings: PercentileFitSettings) -> None:
        super().__init__()
        s = settings
        self.trunk = nn.Sequential(
            nn.Linear(components, s.width),
            *(ResidualUnit(s.width, s.hidden) for _ in range(s.blocks)),
            nn.LayerNorm(s.width),
            nn.Linear(s.width, LATENT),
        )
        self.head = nn.Sequential(nn.Linear(LATENT, 32), nn.PReLU(), nn.Linear(32, labels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardised labels."""
        return self.head(self.trunk(x))


@dataclass
class PercentilePosterior:
    """Encoder and flow with the scales of the labels; made by `fit_percentile_posterior`."""

    encoder: PercentileEncoder
    flow: nn.Module
    mean: torch.Tensor  # (L,)
    scale: torch.Tensor  # (L,)
    curves: dict[str, list[tuple[float, float]]]  # losses of training and validation by epoch

    @torch.inference_mode()
    def predict(self, x: F32) -> F32:
        """The encoder's own answer (N, L)."""
        return np.asarray((self.encoder(torch.from_numpy(x)) * self.scale + self.mean).numpy(), np.float32)

    @torch.inference_mode()
    def draw(self, x: F32, draws: int, seed: int = 1, block: int = 500) -> F32:
        """Draws (N, draws, L): times in order, [M/H] last."""
        out = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for part in torch.from_numpy(x).split(block):
                z = self.flow(self.encoder.trunk(part)).sample((draws,))
                y = (z * self.scale + self.mean).transpose(0, 1)
                out.append(torch.cat([y[..., :-1].sort(-1).values, y[..., -1:]], -1).numpy())
        return np.concatenate(out).astype(np.float32)


def fit_percentile_posterior(
    x: F32, y: F32, validation: tuple[F32, F32], settings: PercentileFitSettings, say: LogLine
) -> PercentilePosterior:
    """Fit the encoder, then the flow on its latent numbers.

    Parameters
    ----------
    x : array (N, C)
        Standardised components.
    y : array (N, L)
        Labels, [M/H] last.
    validation : (x, y)
        Objects that choose the best epoch.
    settings : PercentileFitSettings
    say : callable
        Gets lines of progress.
    """
    mean, scale = torch.from_numpy(y.mean(0)), torch.from_numpy(y.std(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = PercentileEncoder(x.shape[1], y.shape[1], settings)
        a, va = torch.from_numpy(x), torch.from_numpy(validation[0])
        b, vb = ((torch.from_numpy(v) - mean) / scale for v in (y, validation[1]))

        def encoder_loss(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return log_cosh(encoder(u) - v).mean()

        s = settings
        first = _descend(encoder, encoder_loss, (a, b), (va, vb), s.epochs, s.batch, s.learning_rate, say, "encoder")
        with torch.no_grad():
            latent, held = encoder.trunk(a), encoder.trunk(va)
        flow = zuko.flows.MAF(y.shape[1], LATENT, transforms=s.transforms, hidden_features=s.flow_hidden)

        def flow_loss(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return -flow(u).log_prob(v).mean()

        rate = s.flow_learning_rate
        second = _descend(flow, flow_loss, (latent, b), (held, vb), s.flow_epochs, s.batch, rate, say, "flow")
    return PercentilePosterior(encoder.eval(), flow.eval(), mean, scale, {"encoder": first, "flow": second})


def _descend(
    net: nn.Module,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    training: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    epochs: int,
    batch: int,
    rate: float,
    say: LogLine,
    name: str,
) -> list[tuple[float, float]]:
    """Adam with one cycle of the learning rate; the weights of the best validation loss are kept."""
    optimiser = torch.optim.Adam(net.parameters(), rate)
    steps = max(1, len(training[0]) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps, pct_start=0.1)
    best, kept, curve = np.inf, net.state_dict(), []
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(training[0]))[: steps * batch].split(batch):
            loss = loss_of(training[0][rows], training[1][rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        net.eval()
        with torch.no_grad():
            parts = [loss_of(u, v) * len(u) for u, v in zip(validation[0].split(4096), validation[1].split(4096))]
        value = float(sum(parts)) / len(validation[0])
        curve.append((total / steps, value))
        say(f"{name}: epoch {epoch + 1}/{epochs}, loss {total / steps:.5f}, validation {value:.5f}")
        if value < best:
            best, kept = value, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return curve
