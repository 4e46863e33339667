"""Two networks for narrow-band fluxes, and their plain optimisation. Shapes: N objects, B bands.

`SpaxelCnn`  Liew-Cain et al. (2021, section 3.1): two convolutions along the bands, max-pooling, two dense layers, one
             number out; mean squared error; stop after 25 epochs without gain. The sizes that its Fig. 2 prints are
             lost: those here are one version of the authors' repository (ChoongLing/SimulatedJ-PAS).
`JpasMlp`    Dominguez Sanchez et al. (2025, section 2.3): dense layers of 128, 256, 256, 256 with ReLU, a linear end,
             one number out; mean absolute error. Labels are standardised (ours; theirs are over their maximum).

A network reads one quantity: age and metallicity have one each, as in both papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.types import F32


@dataclass(frozen=True)
class SpaxelCnnSettings:
    """Sizes of `SpaxelCnn`: channels and kernels of the two convolutions, pooling, units of the dense layer."""

    channels: tuple[int, int] = (16, 16)
    kernels: tuple[int, int] = (6, 8)
    pool: int = 8
    hidden: int = 40


class SpaxelCnn(nn.Module):
    """See the module's text: (N, B) -> (N,)."""

    def __init__(self, n_bands: int, settings: SpaxelCnnSettings | None = None) -> None:
        super().__init__()
        s = settings or SpaxelCnnSettings()
        first, second = s.channels
        pool = min(s.pool, n_bands)
        self.features = nn.Sequential(
            nn.ZeroPad1d(((s.kernels[0] - 1) // 2, s.kernels[0] // 2)),
            nn.Conv1d(1, first, s.kernels[0]),
            nn.ReLU(),
            nn.ZeroPad1d(((s.kernels[1] - 1) // 2, s.kernels[1] // 2)),
            nn.Conv1d(first, second, s.kernels[1]),
            nn.ReLU(),
            nn.MaxPool1d(pool),
            nn.Flatten(),
        )
        self.dense = nn.Sequential(nn.Linear(second * (n_bands // pool), s.hidden), nn.ReLU(), nn.Linear(s.hidden, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return self.dense(self.features(x[:, None]))[:, 0]


class JpasMlp(nn.Module):
    """See the module's text: (N, B) -> (N,)."""

    def __init__(self, n_bands: int, hidden: tuple[int, ...] = (128, 256, 256, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in zip((n_bands, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.dense = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return self.dense(x)[:, 0]


@dataclass(frozen=True)
class RegressorFitSettings:
    """Plain optimisation by Adam with a fall of the rate to a hundredth along a cosine."""

    epochs: int = 100
    patience: int = 25
    batch: int = 256
    learning_rate: float = 1e-3
    absolute: bool = False  # mean absolute instead of mean squared error
    seed: int = 1


class Regressor:
    """A network with the scales of its input and of its label; made by `train_regressor`."""

    def __init__(self, net: nn.Module, x: F32, y: F32) -> None:
        self.net = net
        self.x_mean, self.x_scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        self.y_mean, self.y_scale = float(y.mean()), max(float(y.std()), 1e-6)
        self.curve: list[tuple[float, float]] = []  # loss of training and validation by epoch, standardised labels

    def inputs(self, x: F32) -> torch.Tensor:
        """Standardised input."""
        return torch.from_numpy(((x - self.x_mean) / self.x_scale).astype(np.float32))

    def targets(self, y: F32) -> torch.Tensor:
        """Standardised labels."""
        return torch.from_numpy(((y - self.y_mean) / self.y_scale).astype(np.float32))

    @torch.inference_mode()
    def predict(self, x: F32) -> F32:
        """Labels (N,) of inputs (N, B)."""
        self.net.eval()
        parts = [self.net(part) for part in self.inputs(x).split(8192)]
        return np.asarray(torch.cat(parts).numpy() * self.y_scale + self.y_mean, np.float32)


def train_regressor(
    make: Callable[[int], nn.Module],
    x: F32,
    y: F32,
    validation: tuple[F32, F32],
    settings: RegressorFitSettings | None = None,
) -> Regressor:
    """Fit a network; the weights of the best validation loss are kept.

    Parameters
    ----------
    make : callable
        Gives a network for a number of bands.
    x, y : arrays (N, B), (N,)
    validation : (x, y)
        Objects that decide when to stop.
    settings : RegressorFitSettings, optional

    Raises
    ------
    SfhInputError
        Input that is not finite or of other shapes.
    ComputeError
        The loss is not finite.
    """
    settings = settings or RegressorFitSettings()
    for name, (a, b) in {"training": (x, y), "validation": validation}.items():
        if a.ndim != 2 or b.shape != a.shape[:1] or not len(a) or not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise SfhInputError(
                f"{name} set: fluxes {a.shape} and labels {b.shape} must agree, be finite and not empty"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return _optimise(Regressor(make(x.shape[1]), x, y), (x, y), validation, settings)


def _optimise(
    made: Regressor, training: tuple[F32, F32], validation: tuple[F32, F32], s: RegressorFitSettings
) -> Regressor:
    loss_of: Callable[..., torch.Tensor] = nn.functional.l1_loss if s.absolute else nn.functional.mse_loss
    a, b = made.inputs(training[0]), made.targets(training[1])
    va, vb = made.inputs(validation[0]), made.targets(validation[1])
    steps = max(1, len(a) // s.batch)
    optimiser = torch.optim.Adam(made.net.parameters(), s.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, s.epochs, s.learning_rate / 100)
    best, kept, waited = np.inf, made.net.state_dict(), 0
    for _ in range(s.epochs):
        made.net.train()
        order, total = torch.randperm(len(a)), 0.0
        for k in range(steps):
            rows = order[k * s.batch : (k + 1) * s.batch]
            loss = loss_of(made.net(a[rows]), b[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach())
        schedule.step()
        value = _validation_loss(made.net, va, vb, loss_of)
        if not np.isfinite(value):
            raise ComputeError(f"narrow bands: the loss is {value}; lower the learning rate")
        made.curve.append((total / steps, value))
        waited += 1
        if value < best:
            best, waited = value, 0
            kept = {k: v.clone() for k, v in made.net.state_dict().items()}
        if waited >= s.patience:
            break
    made.net.load_state_dict(kept)
    return made


@torch.inference_mode()
def _validation_loss(net: nn.Module, x: torch.Tensor, y: torch.Tensor, loss_of: Callable[..., torch.Tensor]) -> float:
    net.eval()
    return float(loss_of(torch.cat([net(part) for part in x.split(8192)]), y))
