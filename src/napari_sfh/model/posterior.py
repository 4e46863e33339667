"""The posterior: a conditional flow around the network's own prediction.

The label vector y (`model.targets`) of an object is mu + S z: mu is what the point network predicts, S whitens the
residuals y - mu of training spectra (mean, principal axes), and z follows a flow (zuko) conditional on the latent
vector, S/N and the number of bands. The flow thus starts from the answer and learns how wide, how skewed and how
correlated its error is, object by object: an affine map and a rational-quadratic spline (Durkan et al. 2019) of each
direction, and affine couplings between them (Dinh et al. 2017). Their parameters are computed once per object, or by
small networks once per draw: 1 000 draws cost a few milliseconds on one core, where an autoregressive spline flow
took a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
import zuko
from torch import nn
from torch.distributions import Transform
from zuko.distributions import DiagNormal
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.flows.gaussianization import ElementWiseTransform
from zuko.lazy import UnconditionalDistribution
from zuko.transforms import CouplingTransform, MonotonicRQSTransform

from napari_sfh.errors import SfhInputError
from napari_sfh.model.encoding import Features
from napari_sfh.model.flow_draws.autoregressive import allows_blockwise_draws, draw_feature_by_feature
from napari_sfh.model.flow_draws.couplings import allows_fast_draws, draw_through_couplings

#: Noise in y that the flow sees while it is trained: it gives labels that are exactly zero, or exact functions of
#: others, a density that exists, and sets the finest detail that the posterior claims.
DEQUANTISATION_SIGMA = 0.01


@dataclass(frozen=True)
class FlowConfig:
    """Kind and size of the flow.

    ``kind``: ``coupling`` (see the module's text) or ``maf``, a masked autoregressive flow (Papamakarios et al. 2017).
    ``transforms``: number of couplings, or of autoregressive layers. ``hidden``: layers of their networks. ``bins``: of
    the splines, which ``maf`` does not have.
    """

    transforms: int = 4
    hidden: tuple[int, ...] = (96, 96)
    bins: int = 8
    kind: str = "coupling"

    def __post_init__(self) -> None:
        if self.kind not in ("coupling", "maf"):
            raise SfhInputError(f"flow: kind = {self.kind!r}; choose coupling or maf")


class Posterior(nn.Module):
    """p(y | x): see the module's text.

    Parameters
    ----------
    latent : int
        Length of the encoder's latent vector.
    config : FlowConfig
    size : int
        Entries T of the label vector y.
    """

    shift: torch.Tensor
    whiten: torch.Tensor
    colour: torch.Tensor
    latent_mean: torch.Tensor
    latent_scale: torch.Tensor
    dust_default: torch.Tensor

    def __init__(self, latent: int, config: FlowConfig, size: int) -> None:
        super().__init__()
        self.config = config
        self.flow = build_flow(size, latent + 2, config)
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("whiten", torch.eye(size))
        self.register_buffer("colour", torch.eye(size))
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_scale", torch.ones(latent))
        self.register_buffer("dust_default", torch.tensor([0.3, 0.0, -0.7]))

    def context(self, latent: torch.Tensor, features: Features) -> torch.Tensor:
        """What the flow is conditioned on, (N, latent + 2)."""
        standard = (latent - self.latent_mean) * self.latent_scale
        usable = features.photometry[:, 1]
        bands = usable.mean(1, keepdim=True) - 0.5 if usable.shape[1] else torch.zeros_like(features.lg_snr)
        return torch.cat([standard, features.lg_snr - 1.5, bands], dim=1)

    @torch.no_grad()
    def fit_whitening(self, residual: torch.Tensor, latent: torch.Tensor) -> None:
        """Measure the whitening of the residuals (N, T) and the scale of the latent vectors, in place."""
        self.shift.copy_(residual.mean(0))
        centred = (residual - self.shift).double()
        covariance = centred.T @ centred / len(residual)
        covariance += DEQUANTISATION_SIGMA**2 * torch.eye(len(covariance), dtype=torch.float64)
        values, axes = torch.linalg.eigh(covariance)
        # Largest first, so that the coupling's halves are the well and the badly determined directions.
        values, axes = values.flip(0), axes.flip(1)
        self.whiten.copy_((axes / values.sqrt()).float())
        self.colour.copy_((axes * values.sqrt()).T.float())
        self.latent_mean.copy_(latent.mean(0))
        self.latent_scale.copy_(1.0 / latent.std(0).clamp(min=1e-3))

    def log_prob(self, y: torch.Tensor, mu: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Log density of whitened residuals (N,); the constant of the whitening is left out."""
        z = (y - mu - self.shift) @ self.whiten
        return self.flow(context).log_prob(z)

    def draw(
        self, mu: torch.Tensor, context: torch.Tensor, base: torch.Tensor, temperature: float | torch.Tensor = 1.0
    ) -> torch.Tensor:
        """Draws of y, (N, n, T).

        Parameters
        ----------
        mu, context : tensors (N, T), (N, latent + 2)
        base : tensor (n, T)
            Standard normal points, see `make_base_points`; the same ones serve every object.
        temperature : float or tensor ()
            Factor on the width of the base density.
        """
        points = temperature * base
        if allows_fast_draws(self.flow, context):
            return draw_through_couplings(self.flow, points, context, self.colour, mu + self.shift)
        if allows_blockwise_draws(self.flow, context):
            return draw_feature_by_feature(self.flow, points, context, self.colour, mu + self.shift)
        points = points[:, None].expand(-1, len(mu), -1)
        z = self.flow(context).transform.inv(points)
        return (mu + self.shift + z @ self.colour).transpose(0, 1)


class AlternatingCoupling(GeneralCouplingTransform):
    """A coupling in which every second feature decides how the others move; zuko's, without a question to the device.

    Parameters
    ----------
    features, context : int
        Entries of a draw, and of what the network says of an object.
    given_even : bool
        Whether the even features decide, or the odd ones.
    hidden : list of int
        Layers of its network.
    """

    def __init__(self, features: int, context: int, given_even: bool, hidden: list[int]) -> None:
        super().__init__(features, context, torch.arange(features) % 2 == int(not given_even), hidden_features=hidden)
        self.given_even = given_even

    def forward(self, c: torch.Tensor | None = None) -> CouplingTransform:
        """The coupling of objects with context ``c`` (N, C)."""
        return _AlternatingTransform(partial(self.meta, c), self.given_even)


class _AlternatingTransform(CouplingTransform):
    """zuko's transform, whose halves are views: from a mask it would count them first, and wait for a GPU's answer."""

    def __init__(self, meta: Callable[[torch.Tensor], Transform], given_even: bool) -> None:
        Transform.__init__(self)
        self.meta = meta
        self.given, self.moved = (slice(0, None, 2), slice(1, None, 2))[:: 1 if given_even else -1]

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features that decide, features that move."""
        return x[..., self.given], x[..., self.moved]

    def merge(self, x_a: torch.Tensor, x_b: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """All features in their places."""
        x = x_a.new_empty(shape)
        x[..., self.given], x[..., self.moved] = x_a, x_b
        return x


def build_flow(features: int, context: int, config: FlowConfig) -> zuko.flows.Flow:
    """A flow that is not trained: affine map, couplings, splines; in this order from the data to the standard normal.

    Parameters
    ----------
    features : int
        Entries of a draw.
    context : int
        Numbers that the network says of an object.
    config : FlowConfig
    """
    hidden = list(config.hidden)
    if config.kind == "maf":
        return zuko.flows.MAF(features, context, transforms=config.transforms, hidden_features=hidden)
    transforms: list[nn.Module] = [ElementWiseTransform(features, context, hidden_features=hidden)]
    for i in range(config.transforms if features > 1 else 0):  # one number has nothing to be coupled with
        transforms.append(AlternatingCoupling(features, context, i % 2 == 0, hidden))
    shapes = [(config.bins,), (config.bins,), (config.bins - 1,)]
    transforms.append(
        ElementWiseTransform(features, context, univariate=MonotonicRQSTransform, shapes=shapes, hidden_features=hidden)
    )
    normal = UnconditionalDistribution(DiagNormal, torch.zeros(features), torch.ones(features), buffer=True)
    return zuko.flows.Flow(transforms, normal)


@lru_cache(maxsize=8)
def make_base_points(n: int, size: int, seed: int = 20260521) -> torch.Tensor:
    """Standard normal points (n, T) from a scrambled Sobol sequence.

    Quantiles read from n of them are about as exact as from several times as many independent draws, and every object
    gets the same ones: an object's numbers do not depend on its neighbours, and maps carry no drawing noise.

    Parameters
    ----------
    n : int
        Points.
    size : int
        Dimensions T of the label vector.
    seed : int
        Of the scrambling.

    Returns
    -------
    tensor (n, T)
    """
    uniform = torch.quasirandom.SobolEngine(size, scramble=True, seed=seed).draw(n)
    return torch.special.ndtri(uniform.double().clamp(1e-6, 1 - 1e-6)).float()
