"""The networks, and the registry that names them.

Every network maps `Features` to a latent vector and that to what its targets are: a `HistoryOutput` or a
`ScalarOutput`. A network for an instrument without a spectrum, or without bands, leaves that half out. What differs is
the way there:

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
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast, get_args

import torch
from torch import nn

from napari_sfh.errors import SfhInputError
from napari_sfh.model.encoding import Features
from napari_sfh.model.layers import (
    ConvUnit,
    DenseUnit,
    Norm,
    ResidualUnit,
    UnitStyle,
    WavelengthAttention,
    initialise_glorot,
)
from napari_sfh.model.targets import HistoryTargets, Targets

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class HistoryOutput(NamedTuple):
    """What a network's decoder says of the histories of N objects."""

    fraction: torch.Tensor  # (N, A) sums to 1: V-light fractions, or mass fractions if `predicts_mass`
    mh: torch.Tensor  # (N, A) dex
    dust: torch.Tensor | None  # (N, 3) tau_ism, ln tau_bc, slope; None: not predicted


class ScalarOutput(NamedTuple):
    """What a network's decoder says of the scalars of N objects."""

    values: torch.Tensor  # (N, T) entries of the label vector


DecoderOutput = HistoryOutput | ScalarOutput


@dataclass(frozen=True)
class InputSizes:
    """Shape of a network's input: W pixels, B bands, and whether the redshift is among it."""

    n_wave: int
    n_bands: int
    takes_redshift: bool = False

    def __post_init__(self) -> None:
        if not self.n_wave and not self.n_bands:
            raise SfhInputError("network: neither pixels nor bands; give an instrument that has one of them")


@dataclass(frozen=True)
class Galceran2026Config:
    """The paper's network.

    ``masks``: also read mask and error channels (ours; the paper reads values only). ``norm``, ``activation_first`` and
    ``dropout`` are those of `layers.UnitStyle`. They, and no ``attention``, are what the paper tried or replaced.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    kernels: tuple[int, ...] = (7, 5, 5)
    pools: tuple[int, ...] = (4, 4, 4)
    heads: int = 4
    latent: int = 40
    decoder: int = 128
    masks: bool = False
    attention: bool = True
    norm: Norm = "instance"
    activation_first: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise SfhInputError(f"network: norm = {self.norm!r} is unknown; choose from {', '.join(get_args(Norm))}")
        if not 0 <= self.dropout < 1:
            raise SfhInputError(f"network: dropout = {self.dropout} must be 0 or more and below 1")

    @property
    def style(self) -> UnitStyle:
        """What follows each layer."""
        return UnitStyle(self.norm, self.activation_first, self.dropout)


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
    sizes: InputSizes
    targets: Targets

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
        return torch.addcmul(-self.mean * self.scale, x, self.scale)  # one pass over the inputs


class Galceran2026Network(SfhNetwork):
    """See the module's text."""

    predicts_mass = True
    config: Galceran2026Config

    def __init__(self, config: Galceran2026Config, sizes: InputSizes, targets: Targets) -> None:
        super().__init__()
        self.config, self.sizes, self.targets = config, sizes, targets
        self.latent_size = config.latent
        n_in, style = 3 if config.masks else 1, config.style
        joined = int(sizes.takes_redshift)
        if sizes.n_wave:
            self.spectral, width = self._spectral(config, n_in)
            self.spectral_dense = nn.Sequential(DenseUnit(width, 128, style), DenseUnit(128, 64, style))
            joined += 64
        if sizes.n_bands:
            widths = (sizes.n_bands * n_in, 32, 32, 32)
            self.photometric = nn.Sequential(*(DenseUnit(a, b, style) for a, b in pairwise(widths)))
            joined += 32
        self.to_latent = nn.Linear(joined, config.latent)
        self.decoder = self._decoder(config)
        self.apply(initialise_glorot)

    def _spectral(self, config: Galceran2026Config, n_in: int) -> tuple[nn.Module, int]:
        convolutions, positions = _convolutions(config, n_in, self.sizes.n_wave)
        channels = config.channels[-1]
        if not config.attention:
            return nn.Sequential(*convolutions, nn.Flatten()), channels * positions
        attention = WavelengthAttention(channels, positions, config.heads)
        return nn.Sequential(*convolutions, attention, nn.Flatten()), channels * positions

    def _decoder(self, config: Galceran2026Config) -> nn.Module:
        d, style = config.decoder, config.style
        # No dust: the paper predicts mass and [M/H].
        n_out = 2 * self.targets.n_age or self.targets.n_output
        return nn.Sequential(DenseUnit(config.latent, d, style), DenseUnit(d, d, style), nn.Linear(d, n_out))

    def encode(self, features: Features) -> torch.Tensor:
        """Latent vectors (N, latent)."""
        n_in = 3 if self.config.masks else 1
        parts = []
        if self.sizes.n_wave:
            parts.append(self.spectral_dense(self.spectral(features.spectrum[:, :n_in])))
        if self.sizes.n_bands:
            parts.append(self.photometric(features.photometry[:, :n_in].flatten(1)))
        return self.to_latent(torch.cat([*parts, features.redshift], dim=1))

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Mass fractions and [M/H], or scalars."""
        out = self.decoder(latent)
        n = self.targets.n_age
        return HistoryOutput(torch.softmax(out[:, :n], dim=1), out[:, n:], None) if n else ScalarOutput(out)


class FourBranchNetwork(Galceran2026Network):
    """The first version: no attention, one decoder each for the SFH and for the metallicities."""

    def _spectral(self, config: Galceran2026Config, n_in: int) -> tuple[nn.Module, int]:
        convolutions, positions = _convolutions(config, n_in, self.sizes.n_wave)
        return nn.Sequential(*convolutions, nn.Flatten()), config.channels[-1] * positions

    def _decoder(self, config: Galceran2026Config) -> nn.Module:
        d, style = config.decoder, config.style

        def branch(n_out: int) -> nn.Module:
            return nn.Sequential(DenseUnit(config.latent, d, style), DenseUnit(d, d, style), nn.Linear(d, n_out))

        if self.targets.n_age:
            return nn.ModuleList([branch(self.targets.n_age), branch(self.targets.n_age)])
        return nn.ModuleList([branch(1) for _ in range(self.targets.n_output)])

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Mass fractions and [M/H], or scalars, each by its own branch."""
        branches = cast(nn.ModuleList, self.decoder)
        if not self.targets.n_age:
            return ScalarOutput(torch.cat([branch(latent) for branch in branches], dim=1))
        history, metals = branches
        return HistoryOutput(torch.softmax(history(latent), dim=1), metals(latent), None)


def _convolutions(config: Galceran2026Config, n_in: int, n_wave: int) -> tuple[list[nn.Module], int]:
    """The convolution blocks and the number of positions left after them."""
    units: list[nn.Module] = []
    positions = n_wave
    for n_out, kernel, pool in zip(config.channels, config.kernels, config.pools, strict=True):
        units.append(ConvUnit(n_in, n_out, kernel, pool, config.style))
        n_in, positions = n_out, positions // pool
    if not positions:
        raise SfhInputError(f"network: {n_wave} pixels are too few for pools {config.pools}; choose smaller pools")
    return units, positions


class StemNetwork(SfhNetwork):
    """See the module's text."""

    config: StemConfig

    def __init__(self, config: StemConfig, sizes: InputSizes, targets: Targets) -> None:
        super().__init__()
        self.config, self.sizes, self.targets = config, sizes, targets
        self.latent_size = config.latent
        if sizes.n_wave:
            self._build_spectral(config, sizes.n_wave)
        n_in = 3 * sizes.n_bands + 1 + int(sizes.takes_redshift)
        self.centre_photometry = _Standardise(3, sizes.n_bands)
        self.photometric = nn.Sequential(
            DenseUnit(n_in, config.photometry), DenseUnit(config.photometry, config.photometry)
        )
        self.join = nn.Linear((config.width if sizes.n_wave else 0) + config.photometry, config.width)
        self.joint = nn.Sequential(
            *(ResidualUnit(config.width, config.hidden) for _ in range(2)), nn.LayerNorm(config.width)
        )
        self.to_latent = nn.Linear(config.width, config.latent)
        d = config.decoder
        self.decoder = nn.Sequential(DenseUnit(config.latent, d), DenseUnit(d, d), nn.Linear(d, targets.n_output))
        self.apply(initialise_glorot)

    def _build_spectral(self, config: StemConfig, n_wave: int) -> None:
        positions = (n_wave - config.stem_kernel) // config.stem_stride + 1
        if positions < 1:
            raise SfhInputError(f"network: {n_wave} pixels, fewer than stem_kernel = {config.stem_kernel}; reduce it")
        self.centre_spectrum = _Standardise(3, n_wave)
        self.stem = nn.Conv1d(3, config.stem_channels, config.stem_kernel, stride=config.stem_stride)
        self.stem_act = nn.PReLU(config.stem_channels)
        self.whole = nn.Linear(config.stem_channels * positions, config.width)
        self.project = nn.Linear(n_wave, min(config.components, n_wave))
        self.spread = nn.Linear(min(config.components, n_wave), config.width)
        self.spectral = nn.Sequential(*(ResidualUnit(config.width, config.hidden) for _ in range(config.blocks)))

    def encode(self, features: Features) -> torch.Tensor:
        """Latent vectors (N, latent)."""
        parts = []
        if self.sizes.n_wave:
            local, components = self._read_spectrum(features.spectrum)
            parts.append(self.spectral(self.whole(local) + self.spread(components)))
        photometry = self.centre_photometry(features.photometry).flatten(1)
        parts.append(self.photometric(torch.cat([photometry, features.lg_snr - 1.5, features.redshift], dim=1)))
        return self.to_latent(self.joint(self.join(torch.cat(parts, dim=1))))

    def _read_spectrum(self, spectrum: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The stem's output, flat, and the components (N, n) of spectra (N, 3, W), which are centred on the way.

        Both are linear in the spectra: shift and scale go into their weights, which spares a pass over the spectra.
        """
        mean, scale = self.centre_spectrum.mean, self.centre_spectrum.scale
        stride = self.config.stem_stride
        # One scale a channel.
        weight = self.stem.weight * scale[:, :1]
        zero = nn.functional.conv1d(mean[None], weight, stride=stride)
        local = nn.functional.conv1d(spectrum, weight, self.stem.bias, stride=stride) - zero
        weight = self.project.weight * scale[0]
        components = nn.functional.linear(spectrum[:, 0], weight, self.project.bias - weight @ mean[0])
        return self.stem_act(local).flatten(1), components

    def decode(self, latent: torch.Tensor) -> DecoderOutput:
        """Light fractions, [M/H] and dust, or scalars."""
        out = self.decoder(latent)
        n = self.targets.n_age
        if not n:
            return ScalarOutput(out)
        return HistoryOutput(torch.softmax(out[:, :n], dim=1), out[:, n : 2 * n], out[:, 2 * n :])

    @torch.no_grad()
    def centre(self, features: Features) -> None:
        """Measure the inputs' shifts and scales on training spectra, and start the projection at their components."""
        if self.sizes.n_bands:
            _measure_scale(self.centre_photometry, features.photometry, (0.2, 0.4, 0.2))
        if not self.sizes.n_wave:
            return
        _measure_scale(self.centre_spectrum, features.spectrum, (0.02, 0.4, 0.2))
        value = self.centre_spectrum(features.spectrum)[:, 0]
        _, sizes, axes = torch.pca_lowrank(value, q=len(self.project.weight), center=False, niter=3)
        deviation = sizes / math.sqrt(len(value))
        self.project.weight.copy_(axes.T / deviation[:, None])
        nn.init.zeros_(self.project.bias)


def _measure_scale(part: _Standardise, x: torch.Tensor, least: tuple[float, float, float]) -> None:
    """Shift and scale of an input (N, 3, n), in place."""
    part.mean.copy_(x.mean(0))
    # One scale per channel, and a least one: an input that hardly varies in training must not rule later.
    spread = (x - x.mean(0)).pow(2).mean((0, 2)).sqrt()
    part.scale.copy_((1.0 / spread.clamp(min=torch.tensor(least)))[:, None].expand_as(part.scale))


NetworkConfig = Galceran2026Config | StemConfig

#: Architectures by name: configuration and network.
ARCHITECTURES: dict[str, tuple[type[NetworkConfig], type[SfhNetwork]]] = {
    "galceran2026": (Galceran2026Config, Galceran2026Network),
    "four_branch": (Galceran2026Config, FourBranchNetwork),
    "stem": (StemConfig, StemNetwork),
}


def build_network(
    architecture: str,
    settings: dict[str, Any] | None,
    n_wave: int,
    n_bands: int,
    targets: Targets | None = None,
    takes_redshift: bool = False,
) -> SfhNetwork:
    """A network with fresh weights.

    Parameters
    ----------
    architecture : str
        A name of `ARCHITECTURES`.
    settings : dict, optional
        Fields of its configuration class that differ from their defaults.
    n_wave, n_bands : int
        Pixels and bands of the instrument; one of them may be 0.
    targets : HistoryTargets or ScalarTargets
        Histories in the 16 age bins unless given.
    takes_redshift : bool
        Whether log10 (1 + z) is an input.

    Raises
    ------
    SfhInputError
        Unknown architecture or setting; too few pixels for the convolutions.
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
    sizes = InputSizes(n_wave, n_bands, takes_redshift)
    # Pairs of classes in the registry fit each other, which the type of the registry cannot say.
    return cast(Any, network_class)(config_class(**settings), sizes, targets or HistoryTargets())
