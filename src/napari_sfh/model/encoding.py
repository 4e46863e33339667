"""From `Observation` to the network's input: the only place where that step is taken.

Training and inference both call `encode_observation`, so that they cannot drift apart. Values stand beside their
masks: a network that has seen pixels and bands missing at random can be asked without them.

Spectrum, three channels on the rest-frame grid: arcsinh(f - 1), with f normalised to one in the window (linear
for absorption lines, logarithmic for emission lines that rise far above the continuum), masked pixels filled with the
running mean of the usable ones, or, where the weights say so, short gaps with the line between their
neighbours; the mask; the logarithm of the error. Photometry, three channels: log10 of the flux in the same units, the
mask, the logarithm of the relative error; or, for faint objects whose fluxes may be negative,
arcsinh of the flux over `ASINH_SOFTENING`, the mask, the logarithm of the error (Lupton, Gunn & Szalay 1999, AJ 118,
1406). And log10 S/N; and log10 (1 + z) where the instrument takes the redshift.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.types import Bool, Flag, Observation

#: Version of the encoding; a bundle trained on another one is refused.
FEATURE_VERSION = 1
#: Band flux over the norm below which ``asinh`` is linear.
ASINH_SOFTENING = 0.05

BandScale = Literal["log", "asinh"]


@dataclass(frozen=True)
class FeatureSettings:
    """Constants of the encoding, stored in every weights bundle.

    ``fill_px``: half-width in pixels of the running mean that fills masked pixels. ``bridge_px``: a gap of at most so
    many pixels is filled with the line between its neighbours instead, as the mean cuts a line in two. ``error_range``,
    ``phot_range``: limits to which errors (per normalised flux) and band fluxes are clipped. ``min_usable``:
    fraction of usable pixels below which a spectrum is not predicted. ``min_bands``: number of usable bands below which
    an object without a spectrum is not predicted. ``band_scale``: of the band fluxes; ``log`` leaves out those that are
    not positive, ``asinh`` takes them. ``redshift_scale``: factor of log10 (1 + z), which alone is a hundredth of the
    other inputs where redshifts are small, and is learnt late.
    """

    version: int = FEATURE_VERSION
    fill_px: int = 100
    error_range: tuple[float, float] = (1e-3, 3.0)
    phot_range: tuple[float, float] = (1e-3, 1e3)
    min_usable: float = 0.3
    min_bands: int = 3
    band_scale: BandScale = "log"
    redshift_scale: float = 1.0
    bridge_px: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FeatureSettings:
        """Inverse of `to_json`; an unknown key or another version raises `SfhInputError`."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise SfhInputError(f"feature settings: unknown key {unknown[0]!r}; use weights of this version")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        made = cls(**plain)
        if made.version != FEATURE_VERSION:
            raise SfhInputError(
                f"feature settings: version {made.version}, this package encodes version {FEATURE_VERSION}; "
                "use weights released with it"
            )
        return made


@dataclass(frozen=True)
class Features:
    """The network's input for N bins, float32 tensors."""

    spectrum: torch.Tensor  # (N, 3, W): value, mask, error
    photometry: torch.Tensor  # (N, 3, B): value, mask, relative error
    lg_snr: torch.Tensor  # (N, 1) log10 S/N per pixel
    redshift: torch.Tensor  # (N, 1) log10 (1 + z), or (N, 0) where the instrument does not take it

    def to(self, device: torch.device | str) -> Features:
        """The same on another device."""
        return Features(*(getattr(self, f.name).to(device) for f in fields(self)))

    def __len__(self) -> int:
        return int(self.lg_snr.shape[0])


def check_observation(data: Observation, instrument: Instrument | None = None) -> None:
    """Raise `SfhInputError` unless the arrays have the shapes of their instrument, and it is the one that is given.

    Parameters
    ----------
    data : Observation
    instrument : Instrument, optional
        Of the weights that are to see it.
    """
    n, own = data.n_bins, data.instrument
    if instrument is not None and own.sha256 != instrument.sha256:
        _refuse_other_instrument(own, instrument)
    for name, width in (("flux", own.n_wave), ("error", own.n_wave), ("mask", own.n_wave)):
        if (shape := tuple(getattr(data, name).shape)) != (n, width):
            raise SfhInputError(f"{name}: shape {shape}, expected {(n, width)}; resample to the rest-frame grid")
    for name in ("phot", "phot_error", "phot_mask"):
        if (shape := tuple(getattr(data, name).shape)) != (n, own.n_bands):
            raise SfhInputError(f"{name}: shape {shape}, expected {(n, own.n_bands)}; mask absent bands instead")
    if own.takes_redshift and data.redshift is None:
        raise SfhInputError(f"redshift: missing; instrument {own.name} takes it as an input")


def _refuse_other_instrument(own: Instrument, wanted: Instrument) -> None:
    if own.band_names != wanted.band_names:
        raise SfhInputError(f"bands: {own.band_names} given, the network takes {wanted.band_names}; reorder them")
    raise SfhInputError(
        f"instrument: the data are prepared for {own.name!r}, the network was trained for {wanted.name!r} "
        f"({wanted.n_wave} pixels, {wanted.n_bands} bands); prepare them again with these weights"
    )


def find_usable_rows(data: Observation, settings: FeatureSettings | None = None) -> Bool:
    """Which objects can be predicted, boolean (N,): enough usable pixels, or without a spectrum enough bands.

    Parameters
    ----------
    data : Observation
        N objects.
    settings : FeatureSettings, optional
        Of the weights; the defaults without them.
    """
    settings = settings or FeatureSettings()
    if not data.n_bins:
        return np.zeros(0, bool)
    if data.instrument.n_wave:
        usable = np.bitwise_count(np.packbits(data.mask, axis=1)).sum(1, dtype=np.int64)  # five times as fast as a sum
        enough = usable / data.instrument.n_wave >= settings.min_usable
    else:
        enough = data.phot_mask.sum(1) >= min(settings.min_bands, data.instrument.n_bands)
    return enough & np.isfinite(data.snr) & (data.snr > 0) & ((data.flag & int(Flag.NO_SPECTRUM)) == 0)


def encode_observation(data: Observation, settings: FeatureSettings | None = None) -> Features:
    """Encode bins for the network.

    Parameters
    ----------
    data : Observation
        Spectra and photometry; never modified. Non-finite values count as masked. All may be tensors on a device,
        or only flux, error and mask (training makes them there): the result lies where these do.
    settings : FeatureSettings, optional
        Of the bundle that will read the result.

    Returns
    -------
    Features
        Finite everywhere, also for unusable rows (whose prediction means nothing).

    Raises
    ------
    SfhInputError
        When shapes or bands are not those of the contract.
    """
    settings = settings or FeatureSettings()
    check_observation(data)
    snr = torch.nan_to_num(_tensor(data.snr), nan=1.0).clamp(0.1, 1e4)
    spectrum = _encode_spectrum(data, settings)
    return Features(
        spectrum=spectrum,
        photometry=_encode_photometry(data, settings).to(spectrum.device),
        lg_snr=torch.log10(snr)[:, None].to(spectrum.device),
        redshift=_encode_redshift(data, settings.redshift_scale).to(spectrum.device),
    )


def _encode_redshift(data: Observation, scale: float) -> torch.Tensor:
    """log10 (1 + z) times a factor, (N, 1), or (N, 0) where the instrument does not take it."""
    if not data.instrument.takes_redshift:
        return torch.zeros(data.n_bins, 0)
    z = torch.nan_to_num(_tensor(cast(NDArray[Any], data.redshift))).clamp(min=-0.5)
    return scale * torch.log10(1 + z)[:, None]


def encoded_value_error(spectrum: torch.Tensor) -> torch.Tensor:
    """1-sigma error of an encoded spectrum's value channel, from its own channels.

    Parameters
    ----------
    spectrum : tensor (N, 3, W)
        Value, mask and logarithm of the error, as `encode_observation` makes them.

    Returns
    -------
    tensor (N, W)
        On the scale of the value channel.
    """
    # d arcsinh(f - 1) / df = 1 / sqrt(1 + (f - 1)^2) = 1 / cosh(value)
    return torch.pow(10.0, spectrum[:, 2] - _ERROR_ZERO) / torch.cosh(spectrum[:, 0])


#: Offsets that bring the logarithms of typical errors near zero.
_ERROR_ZERO = 1.5
_PHOT_ERROR_ZERO = 1.3
#: Larger numbers, whose squares single precision does not hold, are read as this.
_LARGEST_SINH = 1e18


def _tensor(array: NDArray[Any], dtype: Any = np.float32) -> torch.Tensor:
    """A tensor of a native, contiguous array; shares memory where it can, so never write into it."""
    if torch.is_tensor(array):
        return array
    return torch.from_numpy(np.ascontiguousarray(array, dtype=dtype))


def _encode_spectrum(data: Observation, settings: FeatureSettings) -> torch.Tensor:
    flux, error = _tensor(data.flux), _tensor(data.error)
    good, gaps = _find_good_pixels(flux, error, _tensor(data.mask, np.bool_))
    out = torch.empty((flux.shape[0], 3, flux.shape[1]), device=flux.device)
    value, weight, spread = out.unbind(1)
    weight.copy_(good.view(torch.uint8))  # thrice as fast as of booleans
    torch.sub(flux, 1.0, out=value)
    torch.clamp(error, *settings.error_range, out=spread)
    if flux.shape[1]:
        there = good[gaps]
        some = torch.where(there, flux[gaps], 0.0)
        filled = torch.where(there, some, _running_mean(some, weight[gaps], settings.fill_px))
        value[gaps] = (_bridge_short_gaps(filled, there, settings.bridge_px) if settings.bridge_px else filled) - 1.0
        # A masked pixel is one of unlimited error.
        spread[gaps] = torch.where(there, spread[gaps], settings.error_range[1])
    _take_arcsinh(value)
    spread.log10_().add_(_ERROR_ZERO)
    return out


def _find_good_pixels(
    flux: torch.Tensor, error: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | slice]:
    """Pixels (N, W) of the mask whose flux and error are numbers, the error a positive one; spectra with others.

    A device is not asked which spectra these are, all are named: that would stop everything until it has answered.
    """
    if flux.device.type != "cpu":
        return mask & (flux.abs() < math.inf) & (error > 0) & (error < math.inf), slice(None)  # NaN compares false
    e = error.numpy()  # NumPy's comparisons are ten times as fast on a processor
    good = np.isfinite(flux.numpy())
    for test in (mask.numpy(), np.isfinite(e), e > 0):
        good &= test
    rows = np.flatnonzero(~good.all(1))
    return torch.from_numpy(good), slice(None) if len(rows) == len(good) else torch.from_numpy(rows)


def compute_arcsinh(x: torch.Tensor) -> torch.Tensor:
    """Inverse hyperbolic sine, from operations that are vectorised on a processor, which `torch.asinh` is not.

    Parameters
    ----------
    x : tensor (...)

    Returns
    -------
    tensor (...)
    """
    return _take_arcsinh(x.clone())


def _take_arcsinh(x: torch.Tensor) -> torch.Tensor:
    """`compute_arcsinh` in place: memory is what a processor waits for."""
    size = x.abs().clamp_(max=_LARGEST_SINH)
    # ln(|x| + sqrt(1 + x^2)), with sqrt(1 + x^2) - 1 = x^2 / (1 + sqrt(1 + x^2)): exact near 0.
    root = torch.addcmul(x.new_ones(()), size, size).sqrt_().add_(1.0)
    torch.div(size, root, out=root)
    return torch.copysign(torch.addcmul(size, size, root, out=root).log1p_(), x, out=x)


def _running_mean(value: torch.Tensor, weight: torch.Tensor, half: int) -> torch.Tensor:
    """Mean of the usable pixels within ``half`` of each pixel; the spectrum's mean, then 1, where there is none."""
    n = value.shape[1]
    exact = torch.float32 if value.device.type == "mps" else torch.float64  # Apple's devices have no double precision

    def sum_near(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums within ``half`` of each pixel (N, n), and of all (N, 1)."""
        start = torch.nn.functional.pad(x.to(exact).cumsum(1), (half + 1, 0))
        running = torch.cat([start, start[:, -1:].expand(-1, half)], 1)
        return running[:, 2 * half + 1 :] - running[:, :n], start[:, -1:]

    near, total = sum_near(value)
    seen, count = sum_near(weight)
    mean = torch.where(count > 0, total / count.clamp(min=1), 1.0)
    return torch.where(seen > 0, near / seen.clamp(min=1), mean).float()


def _bridge_short_gaps(value: torch.Tensor, good: torch.Tensor, longest: int) -> torch.Tensor:
    """``value`` (N, W) with the line between neighbours in gaps of at most ``longest`` pixels; others stay."""
    n_wave = value.shape[1]
    place = torch.arange(n_wave, device=value.device).expand_as(value)
    rank = good.cumsum(1)  # the usable pixels up to each
    # Places of the usable pixels in a row, after one far before the first, and far beyond the last. What is no usable
    # pixel is written into a last column that nobody reads.
    row = torch.full((len(value), n_wave + 2), 4 * (n_wave + longest), device=value.device)
    row[:, 0] = -4 * (n_wave + longest)
    row.scatter_(1, torch.where(good, rank, n_wave + 1), place)
    before, after = row.gather(1, rank), row.gather(1, rank + 1)
    # The neighbours of a gap of g pixels are g + 1 pixels apart.
    bridged = ~good & (after - before <= longest + 1)
    left, right = (value.gather(1, torch.where(bridged, side, 0)) for side in (before, after))
    line = (left * (after - place) + right * (place - before)) / (after - before).clamp(min=1)
    return torch.where(bridged, line, value)


def _encode_photometry(data: Observation, settings: FeatureSettings) -> torch.Tensor:
    flux, error = _tensor(data.phot), _tensor(data.phot_error)
    good = _tensor(data.phot_mask, np.bool_) & torch.isfinite(flux) & torch.isfinite(error)
    if settings.band_scale == "log":
        good &= flux > 0
    flux = torch.where(good, flux, 1.0)
    value = torch.where(good, encode_band_fluxes(flux, settings), 0.0)
    if settings.band_scale == "asinh":
        lo, hi = settings.error_range
        channel = torch.log10(torch.where(good, error, hi).clamp(lo, hi)) + _ERROR_ZERO
    else:
        relative = torch.where(good, error / flux.clamp(*settings.phot_range), 1.0).clamp(1e-3, 1.0)
        channel = torch.log10(relative) + _PHOT_ERROR_ZERO
    return torch.stack([value, good.float(), channel], dim=1)


def encode_band_fluxes(flux: torch.Tensor, settings: FeatureSettings) -> torch.Tensor:
    """Band fluxes on the scale that the network reads.

    Parameters
    ----------
    flux : tensor (...)
        Over their norm.
    settings : FeatureSettings

    Returns
    -------
    tensor (...)
        log10, or arcsinh, of the flux clipped to ``settings.phot_range``.
    """
    lo, hi = settings.phot_range
    if settings.band_scale == "asinh":
        return compute_arcsinh(flux.clamp(-hi, hi) / ASINH_SOFTENING)
    return torch.log10(flux.clamp(lo, hi))
