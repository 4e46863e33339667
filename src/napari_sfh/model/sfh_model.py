"""Network, posterior, calibration and OOD score in one module: all that a weights bundle stores in tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.calibration import PosteriorCalibration
from napari_sfh.model.encoding import Features
from napari_sfh.model.networks import DecoderOutput, ScalarOutput, build_network
from napari_sfh.model.ood import OodDetector
from napari_sfh.model.posterior import FlowConfig, Posterior
from napari_sfh.model.targets import MassToLight, Targets
from napari_sfh.physics.template_basis import TemplateBasis


@dataclass(frozen=True)
class ModelConfig:
    """What rebuilds an `SfhModel` before its weights are loaded."""

    architecture: str = "stem"
    network: Mapping[str, Any] = field(default_factory=dict)
    flow: FlowConfig = field(default_factory=FlowConfig)
    subspace: int = 40  # principal components of the out-of-distribution score
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
    instrument : Instrument
        What the network is shown.
    targets : HistoryTargets or ScalarTargets
        What it predicts.
    basis : TemplateBasis, optional
        Compact templates: mass-to-light ratios for histories, which cannot do without.
    """

    def __init__(
        self, config: ModelConfig, instrument: Instrument, targets: Targets, basis: TemplateBasis | None
    ) -> None:
        super().__init__()
        self.config, self.targets = config, targets
        sizes = (instrument.n_wave, instrument.n_bands)
        self.network = build_network(
            config.architecture, dict(config.network), *sizes, targets, instrument.takes_redshift
        )
        if targets.n_age and (basis is None or basis.light_v.shape[0] != targets.n_age):
            raise SfhInputError(f"model: histories of {targets.n_age} age bins need a template basis of as many")
        self.mass_to_light = MassToLight.from_basis(basis) if targets.n_age and basis is not None else None
        latent = self.network.latent_size
        self.posterior = Posterior(latent, config.flow, targets.size)
        self.calibration = PosteriorCalibration(targets.scalars, targets.vectors, targets.n_age)
        self.depth = OodDetector(latent, *sizes, config.subspace, config.gaussians)

    def predict_targets(self, decoded: DecoderOutput) -> torch.Tensor:
        """The label vector (N, T) of a network's own prediction."""
        if isinstance(decoded, ScalarOutput):
            return decoded.values
        light = decoded.fraction
        if self.network.predicts_mass and self.mass_to_light is not None:
            light = self.mass_to_light.light_from_mass(light, decoded.mh)
        dust = decoded.dust
        if dust is None:
            dust = self.posterior.dust_default.expand(len(light), 3)
        tau_bc = dust[:, 1].clamp(-5, 5).exp()
        parts = {"light_frac": light, "mh": decoded.mh, "tau_ism": dust[:, 0], "tau_bc": tau_bc, "slope": dust[:, 2]}
        return self.targets.pack(parts)

    def predict_centre(self, features: Features) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Label vector of the point prediction (N, T), flow context (N, C) and latent vectors (N, L)."""
        decoded, latent = self.network(features)
        return self.predict_targets(decoded), self.posterior.context(latent, features), latent

    def derive(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every quantity of the targets, of label vectors (..., T): scalars (...), vectors (..., A)."""
        return self.targets.derive(y, self.mass_to_light)

    def draw(self, mu: torch.Tensor, context: torch.Tensor, base: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draws of every quantity, one per base point: scalars (N, n), vectors (N, n, A).

        Names are those of the targets; histories add ``slope``.
        """
        return self.derive(self.posterior.draw(mu, context, base, self.calibration.temperature))


def targets_from_labels(labels: Any, targets: Targets) -> torch.Tensor:
    """Label vectors of training spectra.

    Parameters
    ----------
    labels : training.simulator.labels.Labels
        N objects.
    targets : Targets

    Returns
    -------
    tensor (N, T)
    """
    if targets.n_age:
        values = {k: getattr(labels, k) for k in ("light_frac", "mh", "tau_ism", "tau_bc", "slope")}
    else:
        values = {k: labels.quantity(k) for k in targets.scalars}
    return targets.pack({k: torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for k, v in values.items()})
