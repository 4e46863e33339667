"""Maps of bin numbers, whoever made them: numbered from 0 or 1, with NaN, negative numbers or 0 for no bin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.missing import FILL_VALUES
from napari_sfh.types import I32, GivenBins

_BIN_EXTENSIONS = ("BIN_ID", "BINID", "BIN", "BINS", "BIN_NUM", "BINNUM")


def renumber_bins(image: NDArray[Any], name: str, zero_is_bin: bool | None = None) -> tuple[I32, str]:
    """Bins numbered 1..N without gaps (0 = none) from any numbering; the order of the numbers is kept.

    Parameters
    ----------
    image : array (ny, nx)
        Whole numbers.
    name : str
        For messages.
    zero_is_bin : bool, optional
        What 0 means. Without it 0 is a bin where NaN, a negative number or a fill value marks spaxels without one, as
        vorbin, powerbin and GIST count; else 0 is none.

    Returns
    -------
    bin_id : array (ny, nx)
    note : str
        How many spaxels belong to which bins, and what marks the others.

    Raises
    ------
    SfhInputError
        Numbers that are not whole, or no bin at all.
    """
    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    filled = np.isin(values, [v for v in FILL_VALUES if abs(v) > max(values.size, 9999)])
    # From 2^53 on a double tells no whole numbers apart: such a number marks what has none.
    numbered = finite & ~filled & (values >= 0) & (values < 2.0**53)
    if np.any(values[numbered] != np.round(values[numbered])):
        first = values[numbered][values[numbered] != np.round(values[numbered])][0]
        raise SfhInputError(
            f"{name}: bin numbers must be whole numbers, but {first:g} is among them; give the extension BIN_ID"
        )
    marked = ~numbered
    if zero_is_bin is None:
        zero_is_bin = bool(marked.any())
    inside = numbered & ((values >= 0) if zero_is_bin else (values > 0))
    if not inside.any():
        raise SfhInputError(f"{name}: holds no bin (all numbers are NaN, negative or 0); give another file")
    if values.size > 1 and not values.any():
        raise SfhInputError(f"{name}: is 0 everywhere: no bin was ever written to it; give another file")
    out = np.zeros(values.shape, dtype=np.int32)
    numbers, index = np.unique(values[inside], return_inverse=True)
    out[inside] = index + 1
    without = int((~inside).sum())
    what = "NaN or a negative number" if zero_is_bin else "0" if not marked.any() else "0, NaN or a negative number"
    counted = "0" if numbers[0] == 0 else f"{numbers[0]:.0f}"
    note = (
        f"{name}: {numbers.size} bins, numbered from {counted}; {without} of {values.size} spaxels have {what}: no bin"
    )
    return out, note


def read_bin_map(path: str | Path) -> GivenBins:
    """Read a FITS image of bin numbers.

    Raises
    ------
    SfhInputError
        No FITS file, no two-dimensional image, or no bin numbers in it.
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        images = [h for h in hdus if len(fits_access.image_shape(h)) == 2]
        named = [h for h in images if h.name.upper() in _BIN_EXTENSIONS]
        if not images:
            raise SfhInputError(
                f"{path}: holds no two-dimensional image among [{fits_access.describe_hdus(hdus)}]; "
                "give a map of bin numbers"
            )
        hdu = (named or images)[0]
        wcs = fits_access.read_celestial_wcs(hdu.header, path) if _has_sky(hdu.header) else None
        values = _restore_negative_numbers(np.array(hdu.data).reshape(fits_access.image_shape(hdu)))
    bin_id, note = renumber_bins(values, path.name)
    return GivenBins(path, bin_id, wcs, note)


def _restore_negative_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """A map whose -1 an unsigned type made its largest number: NaN there, unless bins are numbered up to it."""
    if values.dtype.kind != "u":
        return values
    largest = np.iinfo(values.dtype).max
    if (values == largest - 1).any():
        return values
    return np.where(values == largest, np.nan, values.astype(np.float64))


def _has_sky(header: fits.Header) -> bool:
    return any(str(header.get(f"CTYPE{i}", "")).strip() for i in (1, 2))
