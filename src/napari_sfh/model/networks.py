"""The networks, and the registry that names them.

Every network maps `Features` to a latent vector and that to a `DecoderOutput` object. What differs is the way there:

``galceran2026``  The paper's (Galceran et al. 2026, section 3.1): three convolution + pooling blocks, attention over
                  wavelength, two dense layers -> 64; photometry three dense -> 32; latent 40; one decoder of
                  three dense layers for mass fractions and [M/H]. PReLU after instance normalisation. Numbers
                  that the text lost (channels, kernels, pooling) are ours: see `Galceran2026Config`.
``four_branch``   Its first version (Galceran Garcia et al., arXiv paper 001 of the seeds): encoders without
                  attention, and separate decoders for the SFH and for the metallicities.
``stem``          Ours. Spectra stand on one rest-frame grid at one resolution, so a line is always at the same pixel
                  and nothing is gained by shift invariance: after a convolution of stride 4 that joins values,
                  masks and errors locally, one dense layer sees the whole spectrum (it can become the optimal
                  linear filter of each feature, noise included). Beside it stands a linear projection that starts
                  as the principal components of the training spectra, scaled by their signal and noise. Residual
                  blocks do the rest. Predicts V-light fractions, [M/H], dust.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
from torch import nn

from napari_sfh.errors import SfhInputError
from napari_sfh.model.encoding import Features
from napari_sfh.model.layers import ConvUnit, DenseUnit, ResidualUnit, WavelengthAttention, initialise_glorot
from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.wavelength import N_WAVE
from napari_sfh.types import BANDS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class DecoderOutput(NamedTuple):
    """What a network's decoder says of N objects."""

    fraction: torch.Tensor  # (N, 16) sums to 1: V-light fractions, or mass fractions if `predicts_mass`
    mh: torch.Tensor  # (N, 16) dex
    dust: torch.Tensor | None  # (N, 3) tau_ism, ln tau_bc, slope; None: not predicted


@dataclass(frozen=True)
class Galceran2026Config:
    """The paper's network. ``masks``: also read mask and error channels (ours; the paper reads values only)."""

    channels: tuple[int, ...] = (16, 32, 64)
    kernels: tuple[int, ...] = (7, 5, 5)
    pools: tuple[int, ...] = (4, 4, 4)
    heads: int = 4
    latent: int = 40
    decoder: int = 128
    masks: bool = False


@dataclass(frozen=True)
class StemConfig:
    """Our network: width of the stem (channels, kernel, stride) and of the dense trunk."""

    stem_channels: int = 8
    stem_kernel: int = 8
    stem_stride: int = 4
    components: int = 96
    width: int = 256
    hidden: int = 512
    blocks: int = 3
    photometry: int = 64
    latent: int = 40
    decoder: int = 192


class SfhNetwork(nn.Module):
    """Common shape of the networks. Subclasses define `encode` and `decode`."""

    predicts_mass: ClassVar[bool] = False
    config: DataclassInstance
    latent_size: int

    def encode(self, features: Features) -> torch.Tensor:
        """Latent vectors (N, latent_size)."""
        raise NotImplementedError

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Predictions from latent vectors."""
        raise NotImplementedError

    def forward(self, features: Features) -> tuple[DecoderOutput, torch.Tensor]:
        """Predictions and latent vectors."""
        latent = self.encode(features)
        return self.decode(latent), latent


class _Standardise(nn.Module):
    """Shift and scale of network inputs, measured on the training set: buffers, not weights."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(*shape))
        self.register_buffer("scale", torch.ones(*shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) * self.scale


class Galceran2026Network(SfhNetwork):
    """See the module's text."""

    predicts_mass = True
    config: Galceran2026Config

    def __init__(self, config: Galceran2026Config) -> None:
        super().__init__()
        self.config = config
        self.latent_size = config.latent
        n_in = 3 if config.masks else 1
        self.spectral, width = self._spectral(config, n_in)
        self.spectral_dense = nn.Sequential(DenseUnit(width, 128), DenseUnit(128, 64))
        self.photometric = nn.Sequential(DenseUnit(len(BANDS) * n_in, 32), DenseUnit(32, 32), DenseUnit(32, 32))
        self.to_latent = nn.Linear(64 + 32, config.latent)
        self.decoder = self._decoder(config)
        self.apply(initialise_glorot)

    def _spectral(self, config: Galceran2026Config, n_in: int) -> tuple[nn.Module, int]:
        convolutions, positions = _convolutions(config, n_in)
        channels = config.channels[-1]
        attention = WavelengthAttention(channels, positions, config.heads)
        return nn.Sequential(*convolutions, attention, nn.Flatten()), channels * positions

    def _decoder(self, config: Galceran2026Config) -> nn.Module:
        d = config.decoder
        return nn.Sequential(DenseUnit(config.latent, d), DenseUnit(d, d), nn.Linear(d, 2 * N_AGE))

    def encode(self, features: Features) -> torch.Tensor:
        """Latent vectors (N, latent)."""
        n_in = 3 if self.config.masks else 1
        spectrum = self.spectral_dense(self.spectral(features.spectrum[:, :n_in]))
        photometry = self.photometric(features.photometry[:, :n_in].flatten(1))
        return self.to_latent(torch.cat([spectrum, photometry], dim=1))

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Mass fractions and [M/H]."""
        out = self.decoder(latent)
        return DecoderOutput(torch.softmax(out[:, :N_AGE], dim=1), out[:, N_AGE:], None)


class FourBranchNetwork(Galceran2026Network):
    """The first version: no attention, one decoder each for the SFH and for the metallicities."""

    def _spectral(self, config: Galceran2026Config, n_in: int) -> tuple[nn.Module, int]:
        convolutions, positions = _convolutions(config, n_in)
        return nn.Sequential(*convolutions, nn.Flatten()), config.channels[-1] * positions

    def _decoder(self, config: Galceran2026Config) -> nn.Module:
        d = config.decoder

        def branch() -> nn.Module:
            return nn.Sequential(DenseUnit(config.latent, d), DenseUnit(d, d), nn.Linear(d, N_AGE))

        return nn.ModuleList([branch(), branch()])

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Mass fractions and [M/H], each by its own branch."""
        history, metals = cast(nn.ModuleList, self.decoder)
        return DecoderOutput(torch.softmax(history(latent), dim=1), metals(latent), None)


def _convolutions(config: Galceran2026Config, n_in: int) -> tuple[list[nn.Module], int]:
    """The convolution blocks and the number of positions left after them."""
    units: list[nn.Module] = []
    positions = N_WAVE
    for n_out, kernel, pool in zip(config.channels, config.kernels, config.pools, strict=True):
        units.append(ConvUnit(n_in, n_out, kernel, pool))
        n_in, positions = n_out, positions // pool
    return units, positions


class StemNetwork(SfhNetwork):
    """See the module's text."""

    config: StemConfig

    def __init__(self, config: StemConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_size = config.latent
        self.centre_spectrum = _Standardise(3, N_WAVE)
        self.centre_photometry = _Standardise(3, len(BANDS))
        self.stem = nn.Conv1d(3, config.stem_channels, config.stem_kernel, stride=config.stem_stride)
        positions = (N_WAVE - config.stem_kernel) // config.stem_stride + 1
        self.stem_act = nn.PReLU(config.stem_channels)
        self.whole = nn.Linear(config.stem_channels * positions, config.width)
        self.project = nn.Linear(N_WAVE, config.components)
        self.spread = nn.Linear(config.components, config.width)
        self.spectral = nn.Sequential(*(ResidualUnit(config.width, config.hidden) for _ in range(config.blocks)))
        self.photometric = nn.Sequential(
            DenseUnit(3 * len(BANDS) + 1, config.photometry), DenseUnit(config.photometry, config.photometry)
        )
        self.join = nn.Linear(config.width + config.photometry, config.width)
        self.joint = nn.Sequential(
            *(ResidualUnit(config.width, config.hidden) for _ in range(2)), nn.LayerNorm(config.width)
        )
        self.to_latent = nn.Linear(config.width, config.latent)
        d = config.decoder
        self.decoder = nn.Sequential(DenseUnit(config.latent, d), DenseUnit(d, d), nn.Linear(d, 2 * N_AGE + 3))
        self.apply(initialise_glorot)

    def encode(self, features: Features) -> torch.Tensor:
        """Latent vectors (N, latent)."""
        centred = self.centre_spectrum(features.spectrum)
        local = self.whole(self.stem_act(self.stem(centred)).flatten(1))
        spectrum = self.spectral(local + self.spread(self.project(centred[:, 0])))
        photometry = self.centre_photometry(features.photometry).flatten(1)
        photometry = self.photometric(torch.cat([photometry, features.lg_snr - 1.5], dim=1))
        return self.to_latent(self.joint(self.join(torch.cat([spectrum, photometry], dim=1))))

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Light fractions, [M/H] and dust."""
        out = self.decoder(latent)
        return DecoderOutput(torch.softmax(out[:, :N_AGE], dim=1), out[:, N_AGE : 2 * N_AGE], out[:, 2 * N_AGE :])

    @torch.no_grad()
    def centre(self, features: Features) -> None:
        """Measure the inputs' shifts and scales on training spectra, and start the projection at their components."""
        spectrum, photometry = features.spectrum, features.photometry
        for part, x, least in (
            (self.centre_spectrum, spectrum, (0.02, 0.4, 0.2)),
            (self.centre_photometry, photometry, (0.2, 0.4, 0.2)),
        ):
            part.mean.copy_(x.mean(0))
            # One scale per channel, and a least one: an input that hardly varies in training must not rule later.
            spread = (x - x.mean(0)).pow(2).mean((0, 2)).sqrt()
            part.scale.copy_((1.0 / spread.clamp(min=torch.tensor(least)))[:, None].expand_as(part.scale))
        value = self.centre_spectrum(spectrum)[:, 0]
        _, sizes, axes = torch.pca_lowrank(value, q=self.config.components, center=False, niter=3)
        deviation = sizes / math.sqrt(len(value))
        self.project.weight.copy_(axes.T / deviation[:, None])
        nn.init.zeros_(self.project.bias)


NetworkConfig = Galceran2026Config | StemConfig

#: Architectures by name: configuration and network.
ARCHITECTURES: dict[str, tuple[type[NetworkConfig], type[SfhNetwork]]] = {
    "galceran2026": (Galceran2026Config, Galceran2026Network),
    "four_branch": (Galceran2026Config, FourBranchNetwork),
    "stem": (StemConfig, StemNetwork),
}


def build_network(architecture: str, settings: dict[str, Any] | None = None) -> SfhNetwork:
    """A network with fresh weights.

    Parameters
    ----------
    architecture : str
        A name of `ARCHITECTURES`.
    settings : dict, optional
        Fields of its configuration class that differ from their defaults.

    Raises
    ------
    SfhInputError
        Unknown architecture or setting.
    """
    if architecture not in ARCHITECTURES:
        raise SfhInputError(f"architecture: {architecture!r} is unknown; choose from {', '.join(ARCHITECTURES)}")
    config_class, network_class = ARCHITECTURES[architecture]
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in (settings or {}).items()}
    known = {f.name for f in fields(config_class)}
    if unknown := sorted(set(settings) - known):
        raise SfhInputError(
            f"network setting {unknown[0]!r} is not used by {architecture!r}; it has {', '.join(sorted(known))}"
        )
    return network_class(config_class(**settings))
