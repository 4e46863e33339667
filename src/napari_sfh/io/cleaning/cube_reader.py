"""Wavelength blocks of a cube: flux, variance and usability in one unit, with what is missing left out and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.io.cleaning.missing import is_constant_plane, mark_masked
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.types import F32, Bool

#: Spaxels that are read and tested at a time.
_SPAXELS_PER_READ = 2**18
#: Factors in between are exact enough, and cannot overflow, in single precision.
_SAFE_FACTORS = (1e-6, 1e6)


@dataclass(frozen=True)
class ErrorImage:
    """An image of errors and what brings it to a variance."""

    reader: ImageReader
    name: str
    kind: str  # variance, sigma, inverse
    factor: float  # on the stored number, before it is squared or inverted
    fills: tuple[float, ...] = ()

    def read_variance(self, lo: int, out: F32) -> Bool | None:
        """Fill ``out`` with the variance of channels ``lo``...; returns where a fill value stands, if any may."""
        exact = _SAFE_FACTORS[0] < self.factor < _SAFE_FACTORS[1] and self.kind == "variance"
        if exact or self.reader.is_plain:
            self.reader.fill(lo, out)
            filled = mark_fill_values(out, self.fills)
            if exact:
                if self.factor != 1.0:
                    out *= np.float32(self.factor)
                return filled
            stored = out.astype(np.float64)
        else:
            native = self.reader[lo : lo + len(out)]
            filled, stored = mark_fill_values(native, self.fills), native.astype(np.float64)
        # Double precision from the stored number on: 1e-40 is nothing in single precision.
        with np.errstate(all="ignore"):
            stored *= self.factor
            if self.kind == "sigma":
                stored = np.where(stored > 0, stored**2, stored)
            elif self.kind == "inverse":
                stored = np.where(stored > 0, 1.0 / stored, stored)
            out[...] = stored
        return filled


def mark_fill_values(values: NDArray[Any], fills: tuple[float, ...]) -> Bool | None:
    """True where a fill value stands; None without fill values.

    Parameters
    ----------
    values : array (...)
        As stored in the file.
    fills : tuple of float
        See `missing.find_fill_values`.

    Returns
    -------
    bool array (...), or None
    """
    if not fills:
        return None
    found = values == values.dtype.type(fills[0])
    for fill in fills[1:]:
        found |= values == values.dtype.type(fill)
    return np.asarray(found)


@dataclass(frozen=True)
class MaskImage:
    """An image whose bits forbid pixels."""

    reader: ImageReader | NDArray[Any]  # of the cube's shape
    name: str
    bits: int | None  # None: any
    survey: str = ""
    marks_usable: bool = False  # pixels other than 0 are the usable ones

    def mark_forbidden(self, lo: int, hi: int) -> Bool:
        """True where channels lo..hi-1, as stored, are not to be used; NaN never is."""
        values = self.reader[lo:hi]
        if not self.marks_usable:
            return mark_masked(values, self.bits)
        return np.asarray((values == 0) | (values != values))


@dataclass(frozen=True)
class SlabReader:
    """``read`` of a `Cube`: wavelength blocks of flux, variance and usability.

    `describe_missing` says what was left out of the channels that were read so far.
    """

    shape: tuple[int, int, int]  # (n_channels, ny, nx)
    flux: ImageReader
    flux_factor: float  # on the stored number, for the unit of `types.Cube.flux_scale`
    variance: ErrorImage | None
    masks: tuple[MaskImage, ...] = ()
    fills: tuple[float, ...] = ()  # as stored
    limit: float = float("inf")  # absurd from here on, in the unit of `types.Cube.flux_scale`
    zero_is_missing: bool = False
    bad_channels: tuple[tuple[int, int, str], ...] = ()  # first, last + 1 in the file, why
    falling: bool = False  # the file's channels lie from red to blue
    channel_factor: F32 | None = None  # (n,) in the file's order, on the flux: from per frequency to per wavelength
    counts: dict[str, Counter[int]] = field(default_factory=dict, compare=False)

    def __call__(self, lo: int, hi: int) -> tuple[F32, F32 | None, Bool]:
        """Channels lo..hi-1: flux, variance, usable, from blue to red; see `types.Cube`."""
        if not 0 <= lo < hi <= self.shape[0]:
            # Beyond the last channel lies the next extension, which would be read as flux.
            raise IndexError(f"channels {lo}..{hi - 1} of {self.shape[0]}")
        if not self.falling:
            return self._read_stored(lo, hi)
        flux, variance, good = self._read_stored(self.shape[0] - hi, self.shape[0] - lo)
        turned = None if variance is None else np.ascontiguousarray(variance[::-1])
        return np.ascontiguousarray(flux[::-1]), turned, np.ascontiguousarray(good[::-1])

    def _read_stored(self, lo: int, hi: int) -> tuple[F32, F32 | None, Bool]:
        """Channels lo..hi-1 of the file."""
        flux = np.empty((hi - lo, *self.shape[1:]), dtype=np.float32)
        variance = None if self.variance is None else np.empty_like(flux)
        good = np.empty(flux.shape, dtype=np.bool_)
        # Plane by plane, so that reading, swapping and testing happen within the processor's cache.
        plain = self.flux.is_plain and (self.variance is None or self.variance.reader.is_plain)
        step = max(1, _SPAXELS_PER_READ // flux[0].size) if plain else hi - lo
        for i in range(0, hi - lo, step):
            piece = slice(i, min(i + step, hi - lo))
            self._read_piece(lo + i, flux[piece], None if variance is None else variance[piece], good[piece])
        return flux, variance, good

    @property
    def reads_columns(self) -> bool:
        """Whether single spectra can be read from the file: its flux lies there as it is, and no mask beside it."""
        return self.flux.is_plain and not self.masks and not self.falling and self.channel_factor is None

    def read_columns(self, first: int, count: int) -> NDArray[np.float32]:
        """Spectra (n_channels, count) as stored, of spaxels counted along the rows."""
        return self.flux.read_columns(self.shape[0], first, count)

    def clean_columns(self, stored: NDArray[np.float32]) -> F32:
        """Spectra (n_channels, k) in the unit of `types.Cube.flux_scale`; NaN where the flux is not usable.

        Errors are not looked at, nor channels with one constant.
        """
        flux = stored.astype(np.float32)
        bad = mark_fill_values(flux, self.fills)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.flux_factor != 1.0:
                flux = (flux.astype(np.float64) * self.flux_factor).astype(np.float32)
            missing = ~(np.abs(flux) < self.limit)
        if bad is not None:
            missing |= bad
        if self.zero_is_missing:
            missing |= flux == 0
        for lo, hi, _ in self.bad_channels:
            missing[lo:hi] = True
        flux[missing] = np.nan
        return flux

    def _read_piece(self, lo: int, flux: F32, variance: F32 | None, good: Bool) -> None:
        self._read_flux(lo, flux, good)
        if self.variance is not None and variance is not None:
            filled = self.variance.read_variance(lo, variance)
            if self.channel_factor is not None:
                variance *= self.channel_factor[lo : lo + len(flux), None, None] ** 2
            # NaN compares false, so two comparisons do for "finite and positive".
            usable = (variance > 0) & (variance < self.limit**2)
            if filled is not None:
                usable &= ~filled
            self._take_out(lo, good, ~usable, f"{self.variance.name} not positive, not finite or a fill value")
        for mask in self.masks:
            forbidden = mask.mark_forbidden(lo, lo + len(flux))
            meaning = f" (bits of {mask.survey})" if mask.survey else ""
            self._take_out(lo, good, forbidden, f"{mask.name}{meaning}")
        for first, last, why in self.bad_channels:
            if first < lo + len(flux) and last > lo:
                part = slice(max(first - lo, 0), max(last - lo, 0))
                self._take_out(max(first, lo), good[part], np.ones_like(good[part]), why)
        for k in range(len(flux)):
            if good[k].any() and is_constant_plane(flux[k], good[k]):
                self._take_out(lo + k, good[k : k + 1], np.ones_like(good[k : k + 1]), "channels with one constant")

    def _read_flux(self, lo: int, flux: F32, good: Bool) -> None:
        if self.flux_factor == 1.0 or self.flux.is_plain:
            self.flux.fill(lo, flux)
            filled = mark_fill_values(flux, self.fills)
            if self.flux_factor != 1.0:
                with np.errstate(over="ignore"):
                    flux[...] = flux.astype(np.float64) * self.flux_factor
        else:
            stored = self.flux[lo : lo + len(flux)]
            filled = mark_fill_values(stored, self.fills)
            with np.errstate(over="ignore"):
                flux[...] = stored.astype(np.float64) * self.flux_factor
        if self.channel_factor is not None:
            flux *= self.channel_factor[lo : lo + len(flux), None, None]
        np.isfinite(flux, out=good)
        if filled is not None:
            self._take_out(lo, good, filled, f"fill values ({', '.join(f'{v:g}' for v in self.fills)})")
        if np.isfinite(self.limit):
            with np.errstate(invalid="ignore"):
                absurd = np.abs(flux) > self.limit
            if absurd.any():
                self._take_out(lo, good, absurd, "numbers absurd for the unit")
        if self.zero_is_missing:
            self._take_out(lo, good, flux == 0, "exact zeros (nothing observed)")

    def _take_out(self, lo: int, good: Bool, missing: Bool, why: str) -> None:
        """Mark pixels as unusable in place, and count them by channel."""
        lost = good & missing
        if lost.any():
            count = self.counts.setdefault(why, Counter())
            for k, number in enumerate(np.count_nonzero(lost, axis=(1, 2))):
                count[lo + k] = int(number)
            good &= ~missing

    def describe_missing(self) -> tuple[str, ...]:
        """Notes on what was left out of the channels read so far, with its share of their spaxels."""
        plane = self.shape[1] * self.shape[2]
        notes = []
        for why, count in self.counts.items():
            channels = [c for c, number in count.items() if number]
            total = sum(count.values())
            if total:
                notes.append(
                    f"missing: {why}: {total} pixels of {len(channels)} channels "
                    f"({100 * total / (plane * len(channels)):.3g} % of their spaxels)"
                )
        return tuple(notes)
