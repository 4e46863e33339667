"""What counts as missing, once, for cubes, mosaics and maps.

A value is missing where it is NaN or infinite; where a mask says so, in the meaning that its survey gives to the bits;
where its error is not positive; where it is a fill value (masked arrays and databases write some round number where
nothing was observed); where it is absurd for its unit; where it is exactly zero in floating-point data that no
compression rounded; and where a whole channel or spaxel holds one constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.types import Bool

#: Numbers that programs write where nothing was observed (numpy, IRAF, IDL, netCDF, databases, integer limits).
FILL_VALUES: tuple[float, ...] = (
    -999.0, -9999.0, -99999.0, -999999.0, 9999.0, 99999.0, 999999.0, -32768.0, 32767.0, -2147483648.0,
    1e20, -1e20, 1e30, -1e30, 1e35, -1e35, 1e36, 1e37, 1e38, -1e38, 9.969209968386869e36,
)  # fmt: skip
#: No galaxy, star or sky reaches this flux density in one spaxel or pixel, erg/s/cm2/AA: Vega has 3.6e-9 in all.
ABSURD_FLAM: float = 1e-9
#: No telescope sees so little in one spaxel, erg/s/cm2/AA: 30 mag per square arcsecond in 0.2 arcsec have 1e-22.
FAINT_FLAM: float = 1e-26
#: Largest part of a cube that a mask of unknown meaning may take out of its observed pixels.
MAX_MASKED: float = 0.9

#: Bits that forbid the use of a pixel.
MASK_BITS: Mapping[str, int] = {
    # DRP3PIXMASK (Law et al. 2016, AJ 152, 83): NOCOV, DEADFIBER, FORESTAR, DONOTUSE
    "MaNGA": 1 << 0 | 1 << 2 | 1 << 3 | 1 << 10,
    # DO_NOT_USE and NON_SCIENCE of the JWST pipeline
    "JWST": 1 << 0 | 1 << 9,
}


def find_survey(header: Mapping[str, Any]) -> str | None:
    """The survey whose meaning the bits of a mask have; None where every bit forbids the pixel."""
    words = " ".join(str(header.get(k, "")) for k in ("INSTRUME", "TELESCOP", "SURVEY", "MASKNAME")).upper()
    if "MANGA" in words or any(k in header for k in ("MANGAID", "PLATEIFU")) or "DRP3PIXMASK" in words:
        return "MaNGA"
    return "JWST" if "JWST" in words else None


def find_forbidding_bits(header: Mapping[str, Any], names: Iterable[str]) -> tuple[int | None, str]:
    """Bits of a mask that forbid a pixel (None: all of them), and whose meaning that is.

    Parameters
    ----------
    header : mapping
        Of the primary HDU and the mask.
    names : iterable of str
        Names of the file's HDUs: MaNGA's cubes are known by theirs, as copies lose the cards.
    """
    survey = find_survey(header)
    if survey is None and {"FLUX", "IVAR", "MASK"} <= {n.upper() for n in names}:
        survey = "MaNGA"
    if survey is None:
        return None, ""
    return MASK_BITS[survey], survey


def mark_masked(mask: NDArray[Any], bits: int | None) -> Bool:
    """True where a mask forbids a pixel; NaN in a floating-point mask forbids it, too.

    Parameters
    ----------
    mask : array (...)
        Of bits, booleans or numbers.
    bits : int or None
        The bits that forbid a pixel; None: any value but 0 does.

    Returns
    -------
    bool array (...)
    """
    if mask.dtype.kind == "f":
        finite = np.isfinite(mask)
        if bits is None:
            return np.asarray(~finite | (mask != 0))
        mask = np.where(finite, mask, bits).astype(np.int64)
    if mask.dtype.kind == "b" or bits is None:
        return np.asarray(mask != 0)
    return np.asarray((mask.astype(np.int64, copy=False) & bits) != 0)


def find_fill_values(sample: NDArray[Any]) -> tuple[float, ...]:
    """Fill values that occur in a sample more than once, as stored.

    Parameters
    ----------
    sample : array (...)
        Values as stored, of any type.

    Returns
    -------
    tuple of float
    """
    values = np.ravel(sample)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return ()
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    found = []
    with np.errstate(over="ignore"):
        for fill in FILL_VALUES:
            stored = np.asarray(fill).astype(dtype)
            if np.isfinite(stored) and np.count_nonzero(values == stored) > 1:
                found.append(float(stored))
    return tuple(found)


def is_constant_plane(plane: NDArray[Any], good: Bool) -> bool:
    """Whether all good pixels of a channel hold one number, which no noise does; a single pixel does not count.

    Parameters
    ----------
    plane : array (ny, nx)
        One channel.
    good : bool array (ny, nx)

    Returns
    -------
    bool
    """
    few = plane[:: max(1, plane.shape[0] // 4), :: max(1, plane.shape[1] // 4)]
    seen = few[good[:: max(1, plane.shape[0] // 4), :: max(1, plane.shape[1] // 4)]]
    if seen.size > 1 and np.any(seen != seen[0]):
        return False
    values = plane[good]
    return bool(values.size > 1 and np.all(values == values[0]))
