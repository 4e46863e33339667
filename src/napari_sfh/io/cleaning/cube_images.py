"""Which image of a cube's file holds flux, errors and masks, by the names that pipelines give them.

MUSE and MPDAF (DATA, STAT, DQ), MaNGA (FLUX, IVAR, MASK), KCWI and astropy's CCDData (UNCERT, MASK, FLAGS), CALIFA
(ERROR, BADPIX), Gemini and WiFeS (SCI, VAR, DQ), JWST (SCI, ERR, DQ), SAMI (VARIANCE).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.units import FLAM, unit_conversion_factor

DATA_NAMES = ("DATA", "FLUX", "SCI", "SCIENCE", "CUBE", "SIGNAL")
#: Names of error images, best first, and what they hold.
ERROR_KINDS = {
    "STAT": "variance", "VAR": "variance", "VARIANCE": "variance", "VARI": "variance",
    "ERR": "sigma", "ERROR": "sigma", "ERRORS": "sigma", "UNCERT": "sigma", "UNCERTAINTY": "sigma", "SIGMA": "sigma",
    "STD": "sigma", "STDEV": "sigma", "STDDEV": "sigma", "RMS": "sigma", "NOISE": "sigma", "E_DATA": "sigma",
    "IVAR": "inverse", "INVVAR": "inverse", "IVARIANCE": "inverse", "INVERSE_VARIANCE": "inverse",
}  # fmt: skip
MASK_NAMES = ("DQ", "MASK", "FLAGS", "BADPIX", "BPM", "QUALITY", "QUAL", "FLAG")
#: Kinds of astropy's uncertainties, as CCDData writes them into UTYPE.
_UTYPES = {"STDDEVUNCERTAINTY": "sigma", "VARIANCEUNCERTAINTY": "variance", "INVERSEVARIANCE": "inverse"}
#: Images of a cube's shape that hold no error and no mask.
_OTHER_NAMES = ("INVERSE_SIGMA", "WEIGHT", "WHT", "WMAP", "ERRWEIGHT", "FIBCOVER", "COVAR", "EXP", "EXPTIME",
                "DISP", "PREDISP", "LSF", "WAVE")  # fmt: skip


@dataclass(frozen=True)
class CubeImages:
    """HDU numbers of a cube's images."""

    data: int
    shape: tuple[int, int, int]
    error: int | None
    error_name: str
    error_kind: str  # variance, sigma, inverse; empty without error
    masks: tuple[tuple[int, str], ...]  # HDU number and name
    unused: tuple[str, ...]  # names of images of the cube's shape that nobody reads
    notes: tuple[str, ...] = ()  # on errors and masks that have fewer axes, and on further cubes


def find_cube_images(hdus: fits.HDUList, path: Path) -> CubeImages:
    """Match the 3-D images of a file to flux, errors and masks by name, else by order.

    Parameters
    ----------
    hdus : HDUList
        Open; only headers are read.
    path : Path
        For messages.

    Returns
    -------
    CubeImages
        Numbers of the HDUs, from 0, and what kind of errors they hold.

    Raises
    ------
    SfhInputError
        No flux image, one with an empty axis, or errors of another shape.
    """
    cubes = {i: h for i, h in enumerate(hdus) if len(fits_access.image_shape(h)) == 3}
    names = {i: _name_image(h) for i, h in cubes.items()}
    # The first of equal names counts, also for a second EXTVER.
    data = next((i for name in DATA_NAMES for i, n in names.items() if n == name), None)
    if data is None:
        taken = (*ERROR_KINDS, *MASK_NAMES, *_OTHER_NAMES)
        other = [i for i, name in names.items() if name not in taken]
        # A cube has coordinates; without them the first image of the largest size is it.
        data = next((i for i in other if "CTYPE3" in cubes[i].header), None) or max(
            other, key=lambda i: math.prod(fits_access.image_shape(cubes[i])), default=None
        )
    if data is None:
        raise SfhInputError(
            f"{path}: not a cube, no 3-D flux image (DATA) among [{fits_access.describe_hdus(hdus)}]; "
            "give a cube with EXTNAME DATA"
        )
    n, ny, nx = fits_access.image_shape(cubes[data])
    if min(n, ny, nx) < 1:
        raise SfhInputError(f"{path}: {hdus[data].name or 'PRIMARY'} has an axis of length 0; give a whole cube")
    by_name = {name: i for i, name in reversed(names.items()) if i != data}
    index, error, kind = _find_errors(cubes, names, by_name, data)
    masks = tuple((by_name[name], name) for name in MASK_NAMES if name in by_name)
    for i, name in (*([] if index is None else [(index, error)]), *masks):
        if fits_access.image_shape(cubes[i]) != (n, ny, nx):
            raise SfhInputError(
                f"{path}: {name} has the shape {fits_access.image_shape(cubes[i])} but {hdus[data].name or 'DATA'} "
                f"{(n, ny, nx)}; they must be equal: remove {name}, or give a whole file"
            )
    used = {data, index, *(i for i, _ in masks)}
    others = [i for i in cubes if i not in used and names[i] == names[data]]
    unused = tuple(
        hdus[i].name or f"HDU {i}"
        for i, h in cubes.items()
        if i not in used and i not in others and fits_access.image_shape(h) == (n, ny, nx)
    )
    notes = (*_describe_flat_images(hdus, (n, ny, nx)), *_describe_other_cubes(hdus, data, others))
    return CubeImages(data, (n, ny, nx), index, error, kind, masks, unused, notes)


def _describe_other_cubes(hdus: fits.HDUList, data: int, others: list[int]) -> tuple[str, ...]:
    """Cubes of flux besides the one that is used, as files of several galaxies or exposures have them."""
    if not others:
        return ()
    shown = ", ".join(f"HDU {i} ({hdus[i].name or 'no name'})" for i in others[:6])
    return (
        f"the file holds {len(others) + 1} cubes of flux: HDU {data} ({hdus[data].name or 'PRIMARY'}) is used, {shown} "
        "are not; write each galaxy to a file of its own",
    )


def _describe_flat_images(hdus: fits.HDUList, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Errors and masks by name that are images of one or two axes."""
    flat = {_name_image(hdu): fits_access.image_shape(hdu) for hdu in hdus}
    return tuple(
        f"{name} has the shape {found}, not the cube's {shape}, and is not used: write it in the cube's shape"
        for name, found in flat.items()
        if len(found) in (1, 2) and (name in ERROR_KINDS or name in MASK_NAMES)
    )


def _find_errors(
    cubes: dict[int, Any], names: dict[int, str], by_name: dict[str, int], data: int
) -> tuple[int | None, str, str]:
    """HDU number, name and kind of the errors: by name, else the unknown image whose unit is the flux's squared."""
    for name, kind in ERROR_KINDS.items():
        if name in by_name:
            index = by_name[name]
            utype = re.sub(r"[^A-Z]", "", HeaderCards(cubes[index].header, Path()).text("UTYPE").upper())
            return index, name, _UTYPES.get(utype, kind)
    for i, hdu in cubes.items():
        unknown = i != data and names[i] not in (*DATA_NAMES, *MASK_NAMES, *_OTHER_NAMES)
        same = fits_access.image_shape(hdu) == fits_access.image_shape(cubes[data])
        text = HeaderCards(hdu.header, Path()).text("BUNIT")
        if unknown and same and text and unit_conversion_factor(text, FLAM**2) is not None:
            return i, hdu.name or f"HDU {i}", "variance"
    return None, "", ""


def _name_image(hdu: Any) -> str:
    """What an image is: its class, but STAT with the class of the data has a copied header (some MUSE cubes)."""
    name, by_class = _plain_name(hdu.name), _name_by_class(hdu)
    copied = by_class == "DATA" and name in (*ERROR_KINDS, *MASK_NAMES, *_OTHER_NAMES)
    return name if copied else by_class or name


def _name_by_class(hdu: Any) -> str:
    """What an image is by ESO's classes (ESO-044156, section 5): a name of this module's tables, or nothing."""
    cards = HeaderCards(hdu.header, Path())
    if cards.text("HDUCLASS").upper() != "ESO":
        return ""
    kind, measure = cards.text("HDUCLAS2").upper(), cards.text("HDUCLAS3").upper()
    if kind == "ERROR":
        return {"MSE": "VARIANCE", "RMSE": "SIGMA", "INVMSE": "IVAR", "INVRMSE": "INVERSE_SIGMA"}.get(measure, "")
    return {"DATA": "DATA", "QUALITY": "DQ"}.get(kind, "")


def _plain_name(name: str) -> str:
    """An EXTNAME in capitals, without blanks and without words that say nothing (KMOS: ``IFU.7.DATA``)."""
    name = re.sub(r"^IFU\.?\d+\.", "", name.strip().upper().replace(" ", "_"))
    return re.sub(r"^(CUBE_|FLUX_)(?=(STAT|VAR|ERR|IVAR|MASK|DQ))|(_CUBE)$", "", name)
