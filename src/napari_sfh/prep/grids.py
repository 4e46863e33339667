"""Pixel grids held against each other, and bin maps that come from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.types import I32, BinnedMaps

#: Two grids are the same where their corners agree within this many pixels.
SAME_GRID_PIX: float = 0.5
_BIN_EXTENSIONS = ("BIN_ID", "BINID", "BIN", "BINS")


def check_same_grid(
    name: str, shape: tuple[int, ...], wcs: WCS | None, cube: str, on: tuple[int, int], to: WCS
) -> None:
    """Raise unless an image of ``shape`` and ``wcs`` lies pixel for pixel on the cube's grid.

    Raises
    ------
    SfhInputError
        Other shape, or corners off by more than half a spaxel.
    """
    if tuple(shape) != tuple(on):
        raise SfhInputError(
            f"{name}: its grid is {shape[-1]} x {shape[0]} spaxels, that of {cube} {on[1]} x {on[0]}; "
            "use the maps made from this cube, or bin anew with `binning` vorbin"
        )
    if wcs is None or not (wcs.has_celestial and to.has_celestial):
        return
    ny, nx = on
    corners = np.array([[0, 0], [nx - 1, 0], [0, ny - 1], [nx - 1, ny - 1]], dtype=float)
    there = wcs.celestial.wcs_world2pix(to.celestial.wcs_pix2world(corners, 0), 0)
    offset = float(np.max(np.abs(there - corners)))
    if not offset <= SAME_GRID_PIX:
        raise SfhInputError(
            f"{name}: its WCS is off that of {cube} by {offset:.1f} spaxels; "
            "use the maps made from this cube, or bin anew with `binning` vorbin"
        )


def read_given_bins(given: BinnedMaps | Path | I32, wcs: WCS, shape: tuple[int, ...], cube: Path) -> tuple[I32, str]:
    """Bin map (ny, nx), 0 = none, on the cube's grid, and the method's name for `types.BinMap`."""
    on = (int(shape[0]), int(shape[1]))
    if isinstance(given, BinnedMaps):
        check_same_grid(given.path.name, given.bin_id.shape, given.wcs, cube.name, on, wcs)
        return given.bin_id, "maps"
    if isinstance(given, np.ndarray):
        check_same_grid("bin map", given.shape, None, cube.name, on, wcs)
        return clean_bin_id(given, "bin map"), "file"
    image, its_wcs = _read_bin_image(Path(given))
    check_same_grid(Path(given).name, image.shape, its_wcs, cube.name, on, wcs)
    return clean_bin_id(image, Path(given).name), "file"


def clean_bin_id(image: NDArray[np.generic], name: str) -> I32:
    """Bin numbers 1.., 0 = none.

    Archives differ: where a map has negative values, those (and NaN) mean none and 0 is a bin; else 0 means none.

    Raises
    ------
    SfhInputError
        The values are not whole numbers.
    """
    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    if np.any(values[finite] != np.round(values[finite])):
        raise SfhInputError(f"{name}: bin numbers must be whole numbers; give the extension that holds BIN_ID")
    first = 0 if np.any(values[finite] < 0) else 1
    none = ~finite | (np.where(finite, values, 0) < first)
    return np.where(none, 0, np.where(finite, values, 0) + (1 - first)).astype(np.int32)


def _read_bin_image(path: Path) -> tuple[NDArray[np.generic], WCS | None]:
    try:
        with fits.open(path) as hdus:
            images = [h for h in hdus if h.is_image and h.data is not None and h.data.ndim == 2]
            named = [h for h in images if h.name.upper() in _BIN_EXTENSIONS]
            if not images:
                raise SfhInputError(f"{path.name}: holds no two-dimensional image; give a map of bin numbers")
            hdu = (named or images)[0]
            wcs = WCS(hdu.header)
            return np.array(hdu.data), wcs if wcs.has_celestial else None
    except OSError as exc:
        raise SfhInputError(f"{path}: cannot be read as a FITS bin map ({exc}); check the path") from exc
