"""Sections of FITS images, read from disk on demand."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.containers import is_compressed_stream
from napari_sfh.io.fits_access import find_degenerate_axes, format_error_line

#: What was decompressed is kept, up to this size: the whole of a small image, else the last layer of tiles that reach
#: over several planes. A run reads a cube several times.
_KEPT_BYTES = 2**26
#: Size of the buffer through which plain images are read: within the processor's cache.
_BUFFER_BYTES = 2**20


def to_native_float32(data: NDArray[Any]) -> NDArray[np.float32]:
    """Float32 in the machine's byte order; in place where the array is big-endian float32 and ours to change.

    Parameters
    ----------
    data : array (...)
        As it was read.

    Returns
    -------
    float32 array (...)
    """
    if data.dtype == np.dtype(">f4") and data.flags.writeable and not data.dtype.isnative:
        return data.byteswap(inplace=True).view(np.float32)
    return data.astype(np.float32)


def _is_wide_cutout(key: Any, width: int) -> bool:
    """Whether a key is two slices without steps, and takes at least a third of the columns."""
    parts = key if isinstance(key, tuple) else ()
    if len(parts) != 2 or not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        return False
    first, last, _ = parts[1].indices(width)
    return 3 * (last - first) >= width


class ImageReader:
    """Sections of one image HDU, read from disk on demand; safe in threads and in pickles.

    The file is not memory-mapped, because mapped pages count as this process's memory: only the section asked for
    is ever held. Tile-compressed images decompress only the tiles that the section touches.
    """

    def __init__(self, path: Path, index: int, ndim: int | None = None) -> None:
        self.path = path
        self.index = index
        self.ndim = ndim  # axes that are seen; further ones of length 1 are left out
        self._hdus: fits.HDUList | None = None
        self._raw: FileIO | None = None
        self._offset: int | None = None
        self._lock = threading.RLock()
        self._kept: tuple[int, NDArray[Any]] | None = None  # first plane, planes of the last layer of tiles
        self._whole: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None  # planes, and which are there

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """The section ``key`` in the file's own data type.

        Raises
        ------
        SfhInputError
            The file cannot be read there (truncated or damaged).
        """
        with self._reading():
            hdu = self._open()[self.index]
            if len(hdu.shape) == 2 and self.is_plain and _is_wide_cutout(key, hdu.shape[1]):
                return self._read_cutout(hdu.shape, *key)
            return np.asarray(hdu.section[self._full_key(hdu.shape, key)])

    def _read_cutout(self, shape: tuple[int, ...], rows: slice, columns: slice) -> NDArray[Any]:
        """A cutout of a plain image, big-endian: whole rows in few reads, since astropy reads row by row."""
        y0, y1, _ = rows.indices(shape[0])
        x0, x1, _ = columns.indices(shape[1])
        out = np.empty((max(y1 - y0, 0), max(x1 - x0, 0)), dtype=">f4")
        width = shape[1]
        buffer = np.empty((max(1, _BUFFER_BYTES // (4 * width)), width), dtype=">f4")
        raw = self._open_raw()
        raw.seek((self._offset or 0) + 4 * y0 * width)
        for i in range(0, len(out), len(buffer)):
            piece = buffer[: len(out) - i]
            if raw.readinto(piece.data.cast("B")) != piece.nbytes:
                raise EOFError("the file ends early")
            out[i : i + len(piece)] = piece[:, x0:x1]
        return out

    def _full_key(self, shape: tuple[int, ...], key: Any) -> Any:
        """The key with 0 for each degenerate axis."""
        if self.ndim is None or len(shape) == self.ndim:
            return key
        given = list(key) if isinstance(key, tuple) else [key]
        dropped = find_degenerate_axes(shape, self.ndim)
        return tuple(0 if k in dropped else given.pop(0) if given else slice(None) for k in range(len(shape)))

    def fill(self, lo: int, out: NDArray[np.float32]) -> None:
        """Read ``len(out)`` planes of the first axis from ``lo`` on into native float32 ``out``.

        Plain big-endian float32 is read past astropy through a small buffer, which is three times as fast.

        Raises
        ------
        SfhInputError
            The file cannot be read there (truncated or damaged).
        """
        if not self.is_plain:
            self._fill_from_tiles(lo, out)
            return
        assert out.flags.c_contiguous
        flat = out.reshape(-1)
        buffer = np.empty(min(_BUFFER_BYTES // 4, flat.size), dtype=">f4")
        with self._reading():
            raw = self._open_raw()
            raw.seek((self._offset or 0) + 4 * lo * out[0].size)
            for i in range(0, flat.size, buffer.size):
                piece = buffer[: flat.size - i]
                if raw.readinto(piece.data.cast("B")) != piece.nbytes:
                    raise EOFError("the file ends early")
                flat[i : i + piece.size] = piece

    def _fill_from_tiles(self, lo: int, out: NDArray[np.float32]) -> None:
        """`fill` of an image whose planes may share tiles: what fits into `_KEPT_BYTES` is decompressed once."""
        with self._reading():
            hdu = self._open()[self.index]
            depth = int(getattr(hdu, "tile_shape", (1,))[0])
            planes = int(hdu.shape[0])
        if len(hdu.shape) == out.ndim and planes * out[0].nbytes <= _KEPT_BYTES:
            with self._lock:
                self._keep_planes(lo // depth * depth, -(-(lo + len(out)) // depth) * depth, planes, out.shape[1:])
                assert self._whole is not None
                out[...] = self._whole[0][lo : lo + len(out)]
            return
        if depth == 1 or len(hdu.shape) != out.ndim or depth * out[0].size * 8 > _KEPT_BYTES:
            out[...] = self[lo : lo + len(out)]
            return
        with self._lock:
            for first in range(lo // depth * depth, lo + len(out), depth):
                if self._kept is None or self._kept[0] != first:
                    self._kept = first, self[first : min(first + depth, planes)]
                start, stop = max(lo, first), min(lo + len(out), first + depth)
                out[start - lo : stop - lo] = self._kept[1][start - first : stop - first]

    def _keep_planes(self, first: int, stop: int, planes: int, shape: tuple[int, ...]) -> None:
        """Have the planes ``first`` to ``stop`` - 1 among those that are kept."""
        if self._whole is None:
            self._whole = np.empty((planes, *shape), dtype=np.float32), np.zeros(planes, dtype=np.bool_)
        kept, there = self._whole
        edges = np.flatnonzero(np.diff(np.concatenate([[True], there[first:stop], [True]]).astype(np.int8))) + first
        for begin, end in edges.reshape(-1, 2):
            kept[begin:end] = self[begin:end]
            there[begin:end] = True

    def read_columns(self, n: int, first: int, count: int) -> NDArray[np.float32]:
        """The first ``n`` planes of a plain cube at ``count`` spaxels, (n, count), in the file's byte order.

        Spaxels are counted along the rows, from ``first`` on. In single reads: astropy needs 0.1 ms for each.

        Raises
        ------
        SfhInputError
            The file cannot be read there (truncated or damaged).
        """
        assert self.is_plain
        with self._reading():
            plane = 4 * self._open()[self.index].shape[-1] * self._open()[self.index].shape[-2]
            raw = self._open_raw()
            start = (self._offset or 0) + 4 * first
            out = np.empty((n, count), dtype=">f4")
            for k in range(n):
                raw.seek(start + k * plane)
                if raw.readinto(out[k].data.cast("B")) != 4 * count:
                    raise EOFError("the file ends early")
            return out

    @property
    def is_plain(self) -> bool:
        """Whether the pixels lie in the file as big-endian float32, neither compressed nor scaled."""
        if self._offset is None:
            with self._reading():
                hdu = self._open()[self.index]
                header = hdu.header
                plain = (
                    not isinstance(hdu, fits.CompImageHDU)
                    and not is_compressed_stream(self.path)
                    and header.get("BITPIX") == -32
                    and header.get("BSCALE", 1) == 1
                    and header.get("BZERO", 0) == 0
                )
                self._offset = hdu.fileinfo()["datLoc"] if plain else -1
        return self._offset >= 0

    def _open(self) -> fits.HDUList:
        if self._hdus is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._hdus = fits.open(self.path, memmap=False, lazy_load_hdus=True)
        return self._hdus

    def _open_raw(self) -> FileIO:
        if self._raw is None:
            self._raw = self.path.open("rb", buffering=0)
        return self._raw

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One reader at a time, damage as `SfhInputError`."""
        with self._lock:
            try:
                yield
            except SfhInputError:
                raise
            except Exception as e:  # decompressors raise classes of their own, which no list of ours holds
                raise SfhInputError(
                    f"{self.path}: HDU {self.index} cannot be read ({format_error_line(e)}); damaged, download it again"
                ) from e

    def close(self) -> None:
        """Release the file; the next read opens it again."""
        with self._lock:
            for handle in (self._hdus, self._raw):
                if handle is not None:
                    handle.close()
            self._hdus = self._raw = self._kept = self._whole = None

    def __reduce__(self) -> tuple[type[ImageReader], tuple[Path, int, int | None]]:
        return ImageReader, (self.path, self.index, self.ndim)

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()
