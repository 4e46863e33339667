"""Cutouts of a mosaic with their errors, from a weight map or from the image's own scatter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sfh.io.cleaning.missing import find_fill_values, mark_masked
from napari_sfh.io.fits_access import holds_rounded_floats
from napari_sfh.io.image_reader import ImageReader, to_native_float32
from napari_sfh.io.mosaic_images.noise import find_noise_correlation, measure_pixel_scatter
from napari_sfh.types import F32

#: Errors from a weight map that exceed the image's own scatter by this factor show that it is no inverse variance.
#: (One-sided: in crowded fields the scatter is more than noise.)
_MAX_ERROR_OVER_SCATTER = 4.0
#: Share of an image's zeros that lie among zeros where an area was not observed.
_CONNECTED = 0.3


class _Noise(NamedTuple):
    """What strips of an image tell of its noise."""

    scatter: float  # in stored units
    level: float
    scale: float  # factor on 1/sqrt(weight)
    correlation: float  # noise of the sum of many pixels over that of independent ones with this scatter
    is_zero: bool  # all pixels looked at, or no numbers


@dataclass(frozen=True)
class CutoutReader:
    """``read`` of a `Mosaic`: cutouts of data and 1-sigma error in units of PHOTFLAM."""

    image: ImageReader
    weight: ImageReader | None
    shape: tuple[int, int]
    factor: float  # stored unit to count rate
    photons: float | None  # detected photons per unit of rate, for the source's own noise; None for no count rate
    limit: float = float("inf")  # absurd from here on, in units of PHOTFLAM
    error_kind: str = "weight"  # what `weight` holds: weight (inverse variance), sigma, variance
    error_name: str = ""  # of the image that holds sigma or variance
    mask: ImageReader | None = None  # nonzero = bad
    most_correlation: float = 1.0  # see `compute_drizzle_correlation`

    @cached_property
    def _fills(self) -> list[float]:
        """Fill values of the image, as stored; found with `_noise`."""
        return []

    def _weights(self, key: tuple[slice, slice]) -> NDArray[np.floating]:
        """Inverse variance in stored units; in double precision where single has no room, as for erg/s/cm2/A."""
        assert self.weight is not None
        stored = self.weight[key]
        if self.error_kind == "weight":
            return stored.astype(np.float64) if stored.dtype.itemsize > 4 else to_native_float32(stored)
        stored = stored.astype(np.float64)
        with np.errstate(all="ignore"):
            power = 2 if self.error_kind == "sigma" else 1
            return np.where((stored > 0) & (stored < np.inf), 1 / stored**power, 0)

    @cached_property
    def _noise(self) -> _Noise:
        """Measured in strips spread over the image."""
        strips, weights, raw = [], [], []
        for data, weight in self._read_strips():
            raw.append(data)
            usable = (data != 0) & (weight > 0) & (np.abs(data) * self.factor < self.limit)
            strips.append(np.where(usable, data, np.nan))
            weights.append(weight)
        self._fills.extend(find_fill_values(np.concatenate(raw)))
        sample = np.concatenate(strips)
        sample[np.isin(sample, self._fills)] = np.nan
        scatter = measure_pixel_scatter(sample)
        level = float(np.nanmedian(sample)) if np.isfinite(sample).any() else 0.0
        is_zero = not any(bool(np.any(np.isfinite(data) & (data != 0))) for data in raw)
        if self.weight is None:
            return _Noise(scatter, level, 1.0, find_noise_correlation(sample, self.most_correlation), is_zero)
        used = np.concatenate(weights)
        implied = 1 / np.sqrt(np.median(used[(used > 0) & np.isfinite(used)])) if np.any(used > 0) else np.nan
        relative = scatter > 0 and implied > _MAX_ERROR_OVER_SCATTER * scatter
        correlation = find_noise_correlation(sample, self.most_correlation) if relative else 1.0
        scale = float(correlation * scatter / implied) if relative else 1.0
        return _Noise(scatter, level, scale, correlation, is_zero)

    @cached_property
    def _zero_is_missing(self) -> bool:
        """Whether exact zeros are pixels that nobody observed; asked only where no weight map says it.

        Drizzle leaves zeros outside the exposures, in connected areas of floating-point images; the noise of such
        images is never exactly zero. Zeros of counts, and scattered ones of images that were clipped at zero or that
        a compression rounded, are numbers.
        """
        strips = [self.image[ysl, xsl] for ysl, xsl in self._strips()]
        whole = all(bool(np.all(strip[np.isfinite(strip)] % 1 == 0)) for strip in strips)
        zero = [strip == 0 for strip in strips]
        inner = sum(
            int(np.count_nonzero(z[1:-1, 1:-1] & z[:-2, 1:-1] & z[2:, 1:-1] & z[1:-1, :-2] & z[1:-1, 2:])) for z in zero
        )
        if whole or inner > _CONNECTED * sum(int(np.count_nonzero(z)) for z in zero):
            return not whole
        clipped = not any(bool(np.any(strip < 0)) for strip in strips)
        return not (clipped or holds_rounded_floats(self.image.path, self.image.index))

    def _strips(self) -> list[tuple[slice, slice]]:
        """Strips of rows spread over the image."""
        height = min(32, self.shape[0])
        rows = np.linspace(0, self.shape[0] - height, 12).astype(int)
        return [(slice(int(y), int(y) + height), slice(None)) for y in rows]

    def measure_masked_share(self) -> float:
        """Share of the pixels that the mask forbids, 0 to 1, in those strips."""
        if self.mask is None:
            return 0.0
        strips = [mark_masked(self.mask[place], None) for place in self._strips()]
        return float(np.mean(np.concatenate(strips)))

    def _read_strips(self) -> list[tuple[F32, NDArray[np.floating]]]:
        """The image and its weights in those strips; a small image is read at once, since it may be one tile."""
        places = self._strips()
        everything = slice(None), slice(None)
        small = self.shape[0] <= 2 * sum(y.stop - y.start for y, _ in places)
        read = []
        for place in [everything] if small else places:
            data = to_native_float32(self.image[place])
            read.append((data, np.ones_like(data) if self.weight is None else self._weights(place)))
        return [(read[0][0][place], read[0][1][place]) for place in places] if small else read

    @property
    def is_zero(self) -> bool:
        """Whether all pixels looked at are 0, which no exposure is, or no numbers."""
        return self._noise.is_zero

    @property
    def fill_values(self) -> tuple[float, ...]:
        """Numbers of the image that mean that nothing was observed, as stored."""
        return tuple(self._fills) if self._noise else ()

    @property
    def correlation(self) -> float:
        """Factor on the scatter of the pixels for that of sums of many, where errors rest on it."""
        return self._noise.correlation

    @property
    def weight_is_relative(self) -> bool:
        """Whether the weight map had to be scaled to the image's scatter."""
        return self.weight is not None and self._noise.scale != 1.0

    def __call__(self, ysl: slice, xsl: slice) -> tuple[F32, F32]:
        """Cutout of (data, 1-sigma error), bad pixels NaN and inf; see `types.Mosaic`."""
        data = to_native_float32(self.image[ysl, xsl])
        scatter, level, scale, correlation, _ = self._noise
        if self.weight is None:
            bad = data == 0 if self._zero_is_missing else np.zeros(data.shape, dtype=bool)
            error: F32 = np.full(data.shape, correlation * scatter * self.factor, dtype=np.float32)
        else:
            weight = self._weights((ysl, xsl))
            bad = ~(weight > 0) | ~(weight < np.inf)
            error = (scale * self.factor / np.sqrt(np.where(bad, 1, weight))).astype(np.float32)
        if self._fills:
            bad |= np.isin(data, np.array(self._fills, dtype=np.float32))
        if self.mask is not None:
            bad |= mark_masked(self.mask[ysl, xsl], None)
        data *= np.float32(self.factor)
        bad |= ~(np.abs(data) < self.limit)
        if self.photons and (self.weight is None or self.weight_is_relative):
            # The scatter holds the photon noise of the typical level already.
            excess = np.clip(np.nan_to_num(data) - np.float32(level * self.factor), 0, None)
            error = np.hypot(error, np.sqrt(excess / np.float32(self.photons)))
        bad |= ~np.isfinite(data) | ~np.isfinite(error)
        data[bad], error[bad] = np.nan, np.inf
        return data, error
