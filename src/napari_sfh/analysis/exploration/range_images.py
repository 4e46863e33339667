"""Images of a cube over a range of wavelength, and of a line above its continuum. Only the channels needed are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.prep.cube_blocks import read_cube_blocks
from napari_sfh.types import F32, F64, Cube

#: Range of wavelength, AA.
Range = tuple[float, float]
#: Share of the channels that must be good in a spaxel.
_MIN_GOOD = 0.5
#: Ranges whose means are kept: the continuum stays while the line is dragged.
_KEPT = 8


@dataclass(frozen=True)
class RangeImage:
    """An image over a range of wavelength.

    ``values`` (ny, nx) is the mean flux density in cgs (erg/s/cm2/AA per spaxel) without continuum ranges, and with
    them the flux of the line (erg/s/cm2 per spaxel); NaN where fewer than half of the channels are good.
    """

    values: F32
    range_aa: Range  # outer edges of the channels that were used
    is_line: bool

    @property
    def unit(self) -> str:
        """Unit of ``values``, for `units.choose_flux_unit`."""
        return "erg/s/cm2" if self.is_line else "erg/s/cm2/Angstrom"


def find_range_channels(wave_aa: F64, range_aa: Range) -> slice:
    """Channels whose centres lie in a range; the nearest one at least.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom, rising.
    range_aa : (float, float)
        Angstrom, in either order.

    Returns
    -------
    slice
    """
    low, high = sorted(range_aa)
    first, last = int(np.searchsorted(wave_aa, low, "left")), int(np.searchsorted(wave_aa, high, "right"))
    if last <= first:
        first = int(np.argmin(np.abs(wave_aa - (low + high) / 2)))
        last = first + 1
    return slice(first, last)


class RangeImages:
    """Images of a cube over ranges of wavelength.

    Parameters
    ----------
    cube : Cube
    """

    def __init__(self, cube: Cube) -> None:
        self.cube = cube
        wave = cube.wave_aa
        middles = (wave[1:] + wave[:-1]) / 2
        ends = (wave[:1], wave[-1:]) if wave.size < 2 else (2 * wave[:1] - middles[:1], 2 * wave[-1:] - middles[-1:])
        self._edges_aa = np.concatenate([ends[0], middles, ends[1]])
        self._means: OrderedDict[tuple[int, int], tuple[F64, F64]] = OrderedDict()

    def make_image(
        self,
        range_aa: Range,
        left_aa: Range | None = None,
        right_aa: Range | None = None,
        cancel: threading.Event | None = None,
    ) -> RangeImage:
        """The image over a range, or of the line in it above the continuum.

        Parameters
        ----------
        range_aa : (float, float)
            Observed, in air.
        left_aa, right_aa : (float, float), optional
            Ranges of continuum. Between two the continuum is the straight line through their means; one alone gives a
            constant.
        cancel : Event, optional

        Raises
        ------
        SfhInputError
            A range lies outside the cube, or the file is damaged.
        Cancelled
        """
        for asked in (range_aa, left_aa, right_aa):
            self._check_covered(asked)
        channels = find_range_channels(self.cube.wave_aa, range_aa)
        edges = float(self._edges_aa[channels.start]), float(self._edges_aa[channels.stop])
        mean, at = self._average(channels, cancel)
        beside = [
            self._average(find_range_channels(self.cube.wave_aa, side), cancel)
            for side in (left_aa, right_aa)
            if side is not None
        ]
        if not beside:
            return RangeImage((mean * self.cube.flux_scale).astype(np.float32), edges, False)
        continuum = beside[0][0]
        if len(beside) == 2:
            (low, low_at), (high, high_at) = beside
            apart = high_at - low_at
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.where(apart != 0, (at - low_at) / apart, 0.5)
            continuum = low + share * (high - low)
        line = (mean - continuum) * (edges[1] - edges[0]) * self.cube.flux_scale
        return RangeImage(line.astype(np.float32), edges, True)

    def _check_covered(self, range_aa: Range | None) -> None:
        """Refuse a range of which the cube has no channel."""
        first, last = float(self._edges_aa[0]), float(self._edges_aa[-1])
        if range_aa is not None and not (max(range_aa) >= first and min(range_aa) <= last):
            raise SfhInputError(
                f"{min(range_aa):g}-{max(range_aa):g} Å lies outside the cube, which covers {first:.0f}-{last:.0f} Å "
                "(observed, in air): choose a range inside"
            )

    def _average(self, channels: slice, cancel: threading.Event | None) -> tuple[F64, F64]:
        """Mean flux of the good channels and their mean wavelength, (ny, nx) each; NaN where too few are good."""
        key = channels.start, channels.stop
        if key in self._means:
            self._means.move_to_end(key)
            return self._means[key]
        total, wave, count = (np.zeros(self.cube.shape[1:]) for _ in range(3))
        for part, (flux, _, good) in read_cube_blocks(self.cube, channels, cancel):
            total += np.where(good, flux, 0).sum(axis=0, dtype=np.float64)
            count += good.sum(axis=0)
            wave += np.tensordot(self.cube.wave_aa[channels][part], good, axes=1)
        few = count < max(_MIN_GOOD * (channels.stop - channels.start), 1)
        count[few] = np.nan
        found = self._means[key] = (total / count, wave / count)
        while len(self._means) > _KEPT:
            self._means.popitem(last=False)
        return found
