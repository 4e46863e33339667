"""Spectra of single spaxels and of apertures, fast enough to follow a cursor, from cubes of any size.

A FITS cube lies on disk by channels: a spectrum is thousands of reads far apart, and each of them costs the same for
one spaxel as for a thousand. So neighbours are read together (tiles of consecutive spaxels) and the last tiles are
kept, within a fixed memory. An aperture of many tiles is read by channels, once through the cube. Files that are
compressed, scaled or masked are unpacked once: into memory, or into a temporary file where that is too small.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Literal

import numpy as np

from napari_sfh.analysis.drawing.outlines import mask_points_inside
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.prep.cube_blocks import read_cube_blocks
from napari_sfh.types import F32, F64, I64, Bool, Cube, Progress

Statistic = Literal["mean", "sum", "median"]
#: Spaxels that are read together: 4 KiB of a channel, which is what a disk reads at least.
TILE_SPAXELS = 1024
#: Memory for what was read, bytes.
CACHE_BYTES = 256 * 2**20
#: Share of an aperture's spaxels that must be good in a channel.
MIN_GOOD = 0.5


def combine_spectra(spectra: F32, statistic: Statistic) -> F64:
    """One spectrum (n,) of those of an aperture (n, k); NaN where fewer than half of the spaxels are good.

    A sum stands for all k spaxels: missing ones count as the mean of the others.

    Parameters
    ----------
    spectra : array (n, k)
        n channels of k spaxels; NaN where unusable.
    statistic : Statistic

    Returns
    -------
    array (n,)
        In the unit of ``spectra``.
    """
    good = np.isfinite(spectra)
    count = good.sum(axis=1)
    enough = count >= max(MIN_GOOD * spectra.shape[1], 1)
    out = np.full(len(spectra), np.nan)
    if statistic == "median":
        if enough.any():
            out[enough] = np.nanmedian(spectra[enough], axis=1)
        return out
    total = np.where(good, spectra, 0).sum(axis=1, dtype=np.float64)
    np.divide(total, count, out=out, where=enough)
    return out * spectra.shape[1] if statistic == "sum" else out


class CubeSpectra:
    """Spectra of a cube's spaxels and apertures.

    Parameters
    ----------
    cube : Cube
    cache_bytes : int
        Memory for what was read.
    """

    def __init__(self, cube: Cube, cache_bytes: int = CACHE_BYTES) -> None:
        self.cube = cube
        self._cache_bytes = cache_bytes
        self._tiles: OrderedDict[int, F32] = OrderedDict()
        self._unpacked: F32 | None = None
        self._lock = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether single spectra come at once; else `unpack` makes them so."""
        return self.cube.columns is not None or self._unpacked is not None

    def unpack(self, progress: ReportProgress | None = None, cancel: threading.Event | None = None) -> None:
        """Make a cube ready that must be read by channels; nothing for others.

        Raises
        ------
        ComputeError
            It does not fit in memory, and the disk for temporary files is full.
        Cancelled
        """
        if self.is_ready:
            return
        n, ny, nx = self.cube.shape
        out = self._make_room((n, ny * nx))
        for part, (flux, _, good) in read_cube_blocks(self.cube, slice(0, n), cancel):
            out[part] = np.where(good, flux, np.nan).reshape(len(flux), -1)
            report_progress(Progress("unpacking the cube", part.stop, n), progress, cancel)
        self._unpacked = out

    def get_fast_cube(self) -> Cube:
        """The cube, read from what was unpacked where that is so; its variance and bad channels are then unknown."""
        if self._unpacked is None:
            return self.cube
        unpacked, shape = self._unpacked, self.cube.shape[1:]

        def read(lo: int, hi: int) -> tuple[F32, None, Bool]:
            flux = np.array(unpacked[lo:hi]).reshape(hi - lo, *shape)
            return flux, None, np.isfinite(flux)

        return replace(self.cube, read=read, has_variance=False)

    def _make_room(self, shape: tuple[int, int]) -> F32:
        size = 4 * shape[0] * shape[1]
        if size <= self._cache_bytes:
            return np.empty(shape, dtype=np.float32)
        try:
            # The file has no name, and goes with the array.
            with tempfile.TemporaryFile(prefix="napari-sfh-") as file:
                file.truncate(size)
                return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)
        except OSError as error:
            raise ComputeError(
                f"{self.cube.path}: {size / 1e9:.1f} GB are needed in {tempfile.gettempdir()} to unpack it ({error}); "
                "make room, or set TMPDIR"
            ) from error

    def read_aperture(self, spaxels: I64, statistic: Statistic = "mean", cancel: threading.Event | None = None) -> F64:
        """The spectrum (n_channels,) of an aperture, in the cube's unit; NaN where too few spaxels are good.

        Parameters
        ----------
        spaxels : int array (k,)
            Counted along the rows: ``y * nx + x``.
        statistic : {"mean", "sum", "median"}
            Over the spaxels.
        cancel : Event, optional

        Raises
        ------
        SfhInputError
            No spaxel, or the file is damaged.
        Cancelled
        """
        spaxels = np.unique(np.asarray(spaxels, dtype=np.int64))
        if not spaxels.size:
            raise SfhInputError("aperture: no spaxel of the cube lies inside; draw it on the image")
        if self._unpacked is not None:
            return combine_spectra(np.asarray(self._unpacked[:, spaxels]), statistic)
        tiles = np.unique(spaxels // TILE_SPAXELS)
        if self.cube.columns is None or 4 * TILE_SPAXELS * self.cube.shape[0] * tiles.size > self._cache_bytes:
            return self._read_by_channels(spaxels, statistic, cancel)
        parts = []
        for tile in tiles:
            raise_if_cancelled(cancel)
            inside = spaxels[spaxels // TILE_SPAXELS == tile] - tile * TILE_SPAXELS
            parts.append(self._read_tile(int(tile))[:, inside])
        return combine_spectra(self.cube.columns.clean_columns(np.concatenate(parts, axis=1)), statistic)

    def _read_tile(self, tile: int) -> F32:
        """A tile as stored: only what is used of it is worth cleaning."""
        assert self.cube.columns is not None
        with self._lock:
            if tile in self._tiles:
                self._tiles.move_to_end(tile)
                return self._tiles[tile]
            first = tile * TILE_SPAXELS
            count = min(TILE_SPAXELS, self.cube.shape[1] * self.cube.shape[2] - first)
            found = self._tiles[tile] = self.cube.columns.read_columns(first, count)
            while sum(kept.nbytes for kept in self._tiles.values()) > self._cache_bytes and len(self._tiles) > 1:
                self._tiles.popitem(last=False)
            return found

    def _read_by_channels(self, spaxels: I64, statistic: Statistic, cancel: threading.Event | None) -> F64:
        out = np.full(self.cube.shape[0], np.nan)
        for part, (flux, _, good) in read_cube_blocks(self.cube, slice(0, self.cube.shape[0]), cancel):
            block = np.where(good, flux, np.nan).reshape(len(flux), -1)
            out[part] = combine_spectra(block[:, spaxels], statistic)
        return out


def find_disc_spaxels(shape: tuple[int, int], centre_yx: tuple[float, float], radius: float) -> I64:
    """Spaxels of an image (ny, nx) within a radius of a place, counted along the rows; the nearest one at least.

    Parameters
    ----------
    shape : (int, int)
    centre_yx : (float, float)
        In pixels. Outside the image there is none.
    radius : float
        In pixels.
    """
    y, x = centre_yx
    ny, nx = shape
    if not (-0.5 <= y < ny - 0.5 and -0.5 <= x < nx - 0.5):
        return np.empty(0, dtype=np.int64)
    lows = [max(int(np.floor(v - radius)), 0) for v in (y, x)]
    highs = [min(int(np.ceil(v + radius)) + 1, n) for v, n in ((y, ny), (x, nx))]
    rows, columns = np.mgrid[lows[0] : highs[0], lows[1] : highs[1]]
    inside = np.hypot(rows - y, columns - x) <= radius
    if not inside.any():
        return np.array([round(y) * nx + round(x)], dtype=np.int64)
    return np.asarray(rows[inside] * nx + columns[inside], dtype=np.int64)


def find_polygon_spaxels(shape: tuple[int, int], corners_yx: F64) -> I64:
    """Spaxels of an image whose centres a polygon encloses.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    corners_yx : array (n, 2)
        Pixels from 0, y before x.

    Returns
    -------
    int array (k,)
        Counted along the rows.
    """
    ny, nx = shape
    low = np.clip(np.floor(corners_yx.min(axis=0)), 0, [ny, nx]).astype(int)
    high = np.clip(np.ceil(corners_yx.max(axis=0)) + 1, 0, [ny, nx]).astype(int)
    rows, columns = (v.ravel() for v in np.mgrid[low[0] : high[0], low[1] : high[1]])
    inside = mask_points_inside(np.column_stack([rows, columns]), corners_yx)
    return np.asarray((rows * nx + columns)[inside], dtype=np.int64)
