"""The posterior: a conditional flow around the network's own prediction.

The label vector y (`labelspace`) of an object is mu + S z: mu is what the point network predicts, S whitens the
residuals y - mu of training spectra (mean, principal axes), and z follows a flow (zuko) conditional on the latent
vector, S/N and the number of bands. The flow thus starts from the answer and learns how wide, how skewed and how
correlated its error is, object by object: an affine map and a rational-quadratic spline (Durkan et al. 2019) of each
direction, and affine couplings between them (Dinh et al. 2017). Their parameters are computed once per object, or by
small networks once per draw: 1 000 draws cost a few milliseconds on one core, where an autoregressive spline flow
took a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import zuko
from torch import nn
from zuko.distributions import DiagNormal
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.flows.gaussianization import ElementWiseTransform
from zuko.lazy import UnconditionalDistribution
from zuko.transforms import MonotonicRQSTransform

from napari_sfh.model.coupling_draws import allows_fast_draws, draw_through_couplings
from napari_sfh.model.encoding import Features
from napari_sfh.model.networks import DecoderOutput
from napari_sfh.model.targets import N_TARGET, MassToLight, pack_targets

#: Noise in y that the flow sees while it is trained: it gives labels that are exactly zero, or exact functions of
#: others, a density that exists, and sets the finest detail that the posterior claims.
DEQUANTISATION_SIGMA = 0.01


@dataclass(frozen=True)
class FlowConfig:
    """Size of the flow: number of couplings, hidden layers of their networks, bins of the splines."""

    transforms: int = 4
    hidden: tuple[int, ...] = (96, 96)
    bins: int = 8


class Posterior(nn.Module):
    """p(y | x): see the module's text.

    Parameters
    ----------
    latent : int
        Length of the encoder's latent vector.
    config : FlowConfig
    """

    shift: torch.Tensor
    whiten: torch.Tensor
    colour: torch.Tensor
    latent_mean: torch.Tensor
    latent_scale: torch.Tensor
    dust_default: torch.Tensor

    def __init__(self, latent: int, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.flow = _build_flow(N_TARGET, latent + 2, config)
        self.register_buffer("shift", torch.zeros(N_TARGET))
        self.register_buffer("whiten", torch.eye(N_TARGET))
        self.register_buffer("colour", torch.eye(N_TARGET))
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_scale", torch.ones(latent))
        self.register_buffer("dust_default", torch.tensor([0.3, 0.0, -0.7]))

    def context(self, latent: torch.Tensor, features: Features) -> torch.Tensor:
        """What the flow is conditioned on, (N, latent + 2)."""
        standard = (latent - self.latent_mean) * self.latent_scale
        bands = features.photometry[:, 1].mean(1, keepdim=True) - 0.5
        return torch.cat([standard, features.lg_snr - 1.5, bands], dim=1)

    def centre(self, decoded: DecoderOutput, mass_to_light: MassToLight, predicts_mass: bool) -> torch.Tensor:
        """The label vector of a network's own prediction, (N, 35)."""
        light = decoded.fraction
        if predicts_mass:
            light = mass_to_light.light_from_mass(light, decoded.mh)
        dust = decoded.dust
        if dust is None:
            dust = self.dust_default.expand(len(light), 3)
        return pack_targets(light, decoded.mh, dust[:, 0], dust[:, 1].clamp(-5, 5).exp(), dust[:, 2])

    @torch.no_grad()
    def fit_whitening(self, residual: torch.Tensor, latent: torch.Tensor) -> None:
        """Measure the whitening of the residuals (N, 35) and the scale of the latent vectors, in place."""
        self.shift.copy_(residual.mean(0))
        centred = (residual - self.shift).double()
        covariance = centred.T @ centred / len(residual)
        covariance += DEQUANTISATION_SIGMA**2 * torch.eye(N_TARGET, dtype=torch.float64)
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
        self, mu: torch.Tensor, context: torch.Tensor, base: torch.Tensor, temperature: float = 1.0
    ) -> torch.Tensor:
        """Draws of y, (N, n, 35).

        Parameters
        ----------
        mu, context : tensors (N, 35), (N, latent + 2)
        base : tensor (n, 35)
            Standard normal points, see `make_base_points`; the same ones serve every object.
        temperature : float
            Factor on the width of the base density.
        """
        points = temperature * base
        if allows_fast_draws(self.flow, context):
            return draw_through_couplings(self.flow, points, context, self.colour, mu + self.shift)
        points = points[:, None].expand(-1, len(mu), -1)
        z = self.flow(context).transform.inv(points)
        return (mu + self.shift + z @ self.colour).transpose(0, 1)


def _build_flow(features: int, context: int, config: FlowConfig) -> zuko.flows.Flow:
    """Affine map, couplings, splines; in this order from the data to the standard normal."""
    hidden = list(config.hidden)
    transforms: list[nn.Module] = [ElementWiseTransform(features, context, hidden_features=hidden)]
    for i in range(config.transforms):
        mask = torch.arange(features) % 2 == i % 2
        transforms.append(GeneralCouplingTransform(features, context, mask=mask, hidden_features=hidden))
    shapes = [(config.bins,), (config.bins,), (config.bins - 1,)]
    transforms.append(
        ElementWiseTransform(features, context, univariate=MonotonicRQSTransform, shapes=shapes, hidden_features=hidden)
    )
    normal = UnconditionalDistribution(DiagNormal, torch.zeros(features), torch.ones(features), buffer=True)
    return zuko.flows.Flow(transforms, normal)


@lru_cache(maxsize=8)
def make_base_points(n: int, seed: int = 20260521) -> torch.Tensor:
    """Standard normal points (n, 35) from a scrambled Sobol sequence.

    Quantiles read from n of them are about as exact as from several times as many independent draws, and every object
    gets the same ones: an object's numbers do not depend on its neighbours, and maps carry no drawing noise.
    """
    uniform = torch.quasirandom.SobolEngine(N_TARGET, scramble=True, seed=seed).draw(n)
    return torch.special.ndtri(uniform.double().clamp(1e-6, 1 - 1e-6)).float()
