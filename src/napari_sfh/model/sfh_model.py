"""Network, posterior, calibration and out-of-depth score in one module: all that a weights bundle stores in tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_sfh.errors import SfhInputError
from napari_sfh.model.calibration import PosteriorCalibration
from napari_sfh.model.encoding import Features
from napari_sfh.model.networks import build_network
from napari_sfh.model.ood import OodDetector
from napari_sfh.model.posterior import FlowConfig, Posterior
from napari_sfh.model.targets import MassToLight, pack_targets, unpack_targets
from napari_sfh.physics.template_basis import TemplateBasis


@dataclass(frozen=True)
class ModelConfig:
    """What rebuilds an `SfhModel` before its weights are loaded."""

    architecture: str = "stem"
    network: Mapping[str, Any] = field(default_factory=dict)
    flow: FlowConfig = field(default_factory=FlowConfig)
    subspace: int = 40  # principal components of the out-of-depth score
    gaussians: int = 8  # of the latent density

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Inverse of `to_json`; unknown keys raise `SfhInputError`."""
        values = dict(values)
        _check_known_keys(cls, values, "model")
        flow = dict(values.pop("flow", {}))
        _check_known_keys(FlowConfig, flow, "flow")
        flow = {k: tuple(v) if isinstance(v, list) else v for k, v in flow.items()}
        return cls(flow=FlowConfig(**flow), **values)


def _check_known_keys(cls: type, values: Mapping[str, Any], where: str) -> None:
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise SfhInputError(f"{where}: unknown key {unknown[0]!r}; it has {', '.join(sorted(known))}")


class SfhModel(nn.Module):
    """The whole model.

    Parameters
    ----------
    config : ModelConfig
    basis : TemplateBasis
        Compact templates: mass-to-light ratios for the labels.
    """

    def __init__(self, config: ModelConfig, basis: TemplateBasis) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config.architecture, dict(config.network))
        self.mass_to_light = MassToLight.from_basis(basis)
        self.posterior = Posterior(self.network.latent_size, config.flow)
        self.calibration = PosteriorCalibration()
        self.depth = OodDetector(self.network.latent_size, config.subspace, config.gaussians)

    def locate(self, features: Features) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Label vector of the point prediction (N, 35), flow context (N, C) and latent vectors (N, L)."""
        decoded, latent = self.network(features)
        mu = self.posterior.centre(decoded, self.mass_to_light, self.network.predicts_mass)
        return mu, self.posterior.context(latent, features), latent

    def draw(self, mu: torch.Tensor, context: torch.Tensor, base: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draws of every quantity, one per base point: scalars (N, n), vectors (N, n, 16).

        Names are those of `targets.SCALARS` and `VECTORS`, and ``slope``.
        """
        parts = unpack_targets(self.posterior.draw(mu, context, base, float(self.calibration.temperature)))
        return self.mass_to_light.derive(parts) | {"slope": parts["slope"]}


def targets_from_labels(labels: Any) -> torch.Tensor:
    """The vector y (N, 35) of `training.simulator.labels.Labels`."""
    parts = (labels.light_frac, labels.mh, labels.tau_ism, labels.tau_bc, labels.slope)
    return pack_targets(*(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in parts))
