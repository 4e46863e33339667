"""Pixel grids held against each other, and bins that others made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.wcs import WCS

from napari_sfh.errors import SfhInputError
from napari_sfh.types import I32, BinMap, BinnedMaps, Bool, GivenBins

#: Two grids are the same where their corners agree within this many pixels.
SAME_GRID_PIX: float = 0.5


def check_same_grid(
    name: str, shape: tuple[int, ...], wcs: WCS | None, cube: str, on: tuple[int, int], to: WCS
) -> None:
    """Raise unless an image of ``shape`` and ``wcs`` lies pixel for pixel on the cube's grid.

    Parameters
    ----------
    name : str
        Of the image, for the message.
    shape : (int, int)
        Of the image.
    wcs : WCS or None
        Of the image; None: only the shapes are compared.
    cube : str
        The cube's name, for the message.
    on : (int, int)
        The cube's shape.
    to : WCS
        The cube's.

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


def place_given_bins(
    given: BinnedMaps | GivenBins | I32, wcs: WCS, shape: tuple[int, ...], cube: Path
) -> tuple[I32, str]:
    """Check that bins from a file lie on the cube's grid.

    Parameters
    ----------
    given : BinnedMaps, GivenBins or int32 array (ny, nx)
    wcs : WCS
        Of the cube.
    shape : (ny, nx)
        Of the cube's images.
    cube : Path
        For messages.

    Returns
    -------
    bin_id : int32 array (ny, nx)
        0 = in no bin.
    method : str
        ``maps`` or ``file``, for `types.BinMap`.

    Raises
    ------
    SfhInputError
        The bins have another shape, or lie elsewhere on the sky.
    """
    on = (int(shape[0]), int(shape[1]))
    if isinstance(given, np.ndarray):
        check_same_grid("bin map", given.shape, None, cube.name, on, wcs)
        return given, "file"
    check_same_grid(given.path.name, given.bin_id.shape, given.wcs, cube.name, on, wcs)
    return given.bin_id, "maps" if isinstance(given, BinnedMaps) else "file"


def describe_dropped_spaxels(given: BinnedMaps | GivenBins, bins: BinMap, good: Bool) -> tuple[str, ...]:
    """Notes on the spaxels that a given map of bins and the data do not share.

    Parameters
    ----------
    given : BinnedMaps or GivenBins
    bins : BinMap
        What was made of it.
    good : bool array (ny, nx)
        Spaxels with signal.

    Returns
    -------
    tuple of str
        How many spaxels with signal have no bin, and how many with a bin have no signal; empty where none.
    """
    notes = []
    if (without := int((good & (given.bin_id == 0)).sum())) > 0:
        notes.append(f"{given.path.name}: {without} spaxels with signal have no bin there and are left out")
    lost = (given.bin_id > 0) & (bins.bin_id == 0)
    if not lost.any():
        return tuple(notes)
    gone = int(np.unique(given.bin_id[given.bin_id > 0]).size) - bins.n_bins
    notes.append(
        f"{given.path.name}: {int(lost.sum())} of {int((given.bin_id > 0).sum())} spaxels with a bin have no usable "
        f"signal and were dropped, and with them {gone} whole bins"
    )
    return tuple(notes)
