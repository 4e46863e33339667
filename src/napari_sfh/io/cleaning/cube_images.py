"""Which image of a cube's file holds flux, errors and masks, by the names that pipelines give them.

MUSE and MPDAF (DATA, STAT, DQ), MaNGA (FLUX, IVAR, MASK), KCWI and astropy's CCDData (UNCERT, MASK, FLAGS), CALIFA
(ERROR, BADPIX), Gemini and WiFeS (SCI, VAR, DQ), JWST (SCI, ERR, DQ), SAMI (VARIANCE).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
    "UNC": "sigma", "FERR": "sigma", "E_FLUX": "sigma", "EFLUX": "sigma", "STDERR": "sigma",
    "NOISE_VARIANCE": "variance",
    "IVAR": "inverse", "INVVAR": "inverse", "IVARIANCE": "inverse", "INVERSE_VARIANCE": "inverse",
}  # fmt: skip
MASK_NAMES = ("DQ", "MASK", "FLAGS", "BADPIX", "BPM", "QUALITY", "QUAL", "FLAG", "MSK", "PIXMASK", "BADPIXELS",
              "BAD_PIXEL", "BAD_PIXELS", "BAD_PIXEL_MASK", "DATAQUALITY")  # fmt: skip
#: Names of masks whose usable pixels are not 0, and of those that say that theirs are.
GOOD_NAMES = ("GOODPIX", "GOODPIXELS", "GOOD_PIXELS", "GOODMASK", "GOOD_MASK", "GOOD", "USABLE", "VALID")
BAD_NAMES = ("BADPIX", "BPM", "BADPIXELS", "BAD_PIXEL", "BAD_PIXELS", "BAD_PIXEL_MASK")
#: Words of names that say nothing beside one of those.
_FILLERS = frozenset({*DATA_NAMES, "SPEC", "SPECTRUM"})
#: Kinds of astropy's uncertainties, as CCDData writes them into UTYPE.
_UTYPES = {"STDDEVUNCERTAINTY": "sigma", "VARIANCEUNCERTAINTY": "variance", "INVERSEVARIANCE": "inverse"}
#: Images of a cube's shape that hold no error and no mask.
_OTHER_NAMES = ("INVERSE_SIGMA", "WEIGHT", "WHT", "WMAP", "ERRWEIGHT", "FIBCOVER", "COVAR", "EXP", "EXPTIME",
                "DISP", "PREDISP", "LSF", "WAVE")  # fmt: skip


_IFU = re.compile(r"^IFU\.?\d+\.")


class MaskPlace(NamedTuple):
    """Where a mask is."""

    hdu: int
    name: str
    path: Path | None = None  # None: the cube's file
    marks_usable: bool = False  # its usable pixels are not 0, others are


@dataclass(frozen=True)
class CubeImages:
    """HDU numbers of a cube's images."""

    data: int
    shape: tuple[int, int, int]
    error: int | None
    error_name: str
    error_kind: str  # variance, sigma, inverse; empty without error
    masks: tuple[MaskPlace, ...]  # of the cube's shape, or of its channels or spaxels
    unused: tuple[str, ...]  # names of images of the cube's shape that nobody reads
    notes: tuple[str, ...] = ()  # on errors and masks that are not used, and on further cubes
    error_path: Path | None = None  # of the errors; None: the cube's file
    error_header: fits.Header | None = None  # of the errors


def find_cube_images(hdus: fits.HDUList, path: Path, chosen: str | None = None) -> CubeImages:
    """Match the 3-D images of a file to flux, errors and masks by name, else by order.

    Parameters
    ----------
    hdus : HDUList
        Open; only headers are read.
    path : Path
        For messages.
    chosen : str, optional
        EXTNAME, ``EXTNAME,EXTVER`` or number of the flux.

    Returns
    -------
    CubeImages
        Numbers of the HDUs, from 0, and what kind of errors they hold.

    Raises
    ------
    SfhInputError
        No flux image, or none as chosen, one with an empty axis, or errors of another shape.
    """
    cubes = {i: h for i, h in enumerate(hdus) if len(fits_access.image_shape(h)) == 3}
    names = {i: _name_image(h) for i, h in cubes.items()}
    data = _find_flux(cubes, names) if chosen is None else _find_chosen(cubes, chosen, path)
    if data is None:
        raise SfhInputError(
            f"{path}: not a cube, no 3-D flux image (DATA) among [{fits_access.describe_hdus(hdus)}]; "
            "give a cube with EXTNAME DATA"
        )
    n, ny, nx = fits_access.image_shape(cubes[data])
    if min(n, ny, nx) < 1:
        raise SfhInputError(f"{path}: {hdus[data].name or 'PRIMARY'} has an axis of length 0; give a whole cube")
    others = [i for i in cubes if i != data and names[i] == names[data]]
    own = _find_companions(cubes, names, data, others if chosen is None else [i for i in cubes if _is_flux(cubes[i])])
    by_name = {names[i]: i for i in reversed(own)}
    index, error, kind = _find_errors({i: cubes[i] for i in (data, *own)}, names, by_name, data)
    masks = tuple(
        MaskPlace(by_name[name], name, marks_usable=name in GOOD_NAMES)
        for name in (*MASK_NAMES, *GOOD_NAMES)
        if name in by_name
    )
    flat_masks = _find_flat_masks(hdus, (n, ny, nx), [mask.name for mask in masks])
    for i, name in (*([] if index is None else [(index, error)]), *(mask[:2] for mask in masks)):
        if fits_access.image_shape(cubes[i]) != (n, ny, nx):
            raise SfhInputError(
                f"{path}: {name} has the shape {fits_access.image_shape(cubes[i])} but {hdus[data].name or 'DATA'} "
                f"{(n, ny, nx)}; they must be equal: remove {name}, or give a whole file"
            )
    used = {data, index, *(mask.hdu for mask in masks)}
    unused = tuple(
        hdus[i].name or f"HDU {i}"
        for i in own
        if i not in used and i not in others and fits_access.image_shape(cubes[i]) == (n, ny, nx)
    )
    told = _describe_other_cubes(cubes, data, others) if chosen is None else ()
    notes = (*_describe_flat_images(hdus, (n, ny, nx), flat_masks), *told)
    return CubeImages(
        data,
        (n, ny, nx),
        index,
        error,
        kind,
        (*masks, *flat_masks),
        unused if chosen is None else (),
        notes,
        error_header=None if index is None else hdus[index].header,
    )


def _find_flux(cubes: dict[int, Any], names: dict[int, str]) -> int | None:
    """The flux by its name, else the first image that has coordinates, else the largest.

    The first of equal names counts, also for a second EXTVER.
    """
    data = next((i for name in DATA_NAMES for i, n in names.items() if n == name), None)
    if data is not None:
        return data
    taken = (*ERROR_KINDS, *MASK_NAMES, *GOOD_NAMES, *_OTHER_NAMES)
    other = [i for i, name in names.items() if name not in taken]
    return next((i for i in other if "CTYPE3" in cubes[i].header), None) or max(
        other, key=lambda i: math.prod(fits_access.image_shape(cubes[i])), default=None
    )


def _find_chosen(cubes: dict[int, Any], chosen: str, path: Path) -> int:
    """The image that a user names, in CFITSIO's brackets or without."""
    text = chosen.strip().strip("[]").strip()
    name, _, version = (
        (part.strip().upper() for part in text.rpartition(",")) if "," in text else (text.upper(), "", "")
    )
    for i, hdu in cubes.items():
        if hdu.name.strip().upper() == name and (not version or str(hdu.ver) == version):
            return i
    if text.isdigit() and int(text) in cubes:
        return int(text)
    known = ", ".join(_name_for_choice(cubes, i) for i in cubes)
    raise SfhInputError(f"{path}: `hdu` {chosen}: no such cube in the file; it holds {known or 'none'}")


def _name_for_choice(cubes: dict[int, Any], i: int) -> str:
    """What a user gives for an image: its name, with the version where several have it, else its number."""
    name = cubes[i].name.strip()
    alike = [cubes[k].ver for k in cubes if cubes[k].name.strip().upper() == name.upper()]
    if not name or alike.count(cubes[i].ver) > 1:
        return str(i)
    return name if len(alike) == 1 else f"{name},{cubes[i].ver}"


def _is_flux(hdu: Any) -> bool:
    """Whether an image may be a galaxy: it is no error or mask by its name, and has the unit of a flux."""
    text = HeaderCards(hdu.header, Path()).text("BUNIT")
    named = _name_image(hdu) in (*ERROR_KINDS, *MASK_NAMES, *GOOD_NAMES, *_OTHER_NAMES)
    return not named and bool(text) and unit_conversion_factor(text, FLAM) is not None


def _find_companions(cubes: dict[int, Any], names: dict[int, str], data: int, fluxes: list[int]) -> list[int]:
    """The images that belong to a flux, where there are others beside it in ``fluxes``; else all of the file.

    Those of its IFU (``IFU.7.``), else those of its EXTVER, else those that follow it up to the next flux.
    """
    rest = [i for i in cubes if i != data]
    rivals = [i for i in fluxes if i != data]
    if not rivals:
        return rest
    if unit := _find_ifu(cubes[data]):
        return [i for i in rest if _find_ifu(cubes[i]) == unit]
    alike = [i for i in rivals if names[i] == names[data]]
    if alike and all(cubes[i].ver != cubes[data].ver for i in alike):
        return [i for i in rest if cubes[i].ver == cubes[data].ver]
    end = min((i for i in rivals if i > data), default=max(cubes) + 1)
    following = [i for i in rest if data < i < end]
    # One set of errors may serve the models of a galaxy, too: then no two images of the file are errors of one name.
    kinds = [names[i] for i in rest if names[i] in ERROR_KINDS]
    return rest if not alike and not following and len(set(kinds)) == len(kinds) else following


def _find_ifu(hdu: Any) -> str:
    """Of KMOS, the part of an EXTNAME that names the galaxy: ``IFU.7.``; else empty."""
    found = _IFU.match(hdu.name.strip().upper())
    return found[0] if found else ""


def _describe_other_cubes(cubes: dict[int, Any], data: int, others: list[int]) -> tuple[str, ...]:
    """Cubes of flux besides the one that is used, as files of several galaxies or exposures have them."""
    if not others:
        return ()
    shown = ", ".join(_name_for_choice(cubes, i) for i in others[:6]) + (", ..." if len(others) > 6 else "")
    return (
        f"the file holds {len(others) + 1} cubes of flux: HDU {data} ({cubes[data].name or 'PRIMARY'}) is used; choose "
        f"another with `hdu`: {shown}",
    )


def _find_flat_masks(hdus: fits.HDUList, shape: tuple[int, int, int], known: list[str]) -> tuple[MaskPlace, ...]:
    """Masks of channels or spaxels alone, HDU numbers and names, but for the ``known`` ones of the cube's shape."""
    named = {
        _name_image(hdu): i for i, hdu in enumerate(hdus) if fits_access.image_shape(hdu) in (shape[:1], shape[1:])
    }
    return tuple(
        MaskPlace(named[name], name, marks_usable=name in GOOD_NAMES)
        for name in (*MASK_NAMES, *GOOD_NAMES)
        if name in named and name not in known
    )


def _describe_flat_images(
    hdus: fits.HDUList, shape: tuple[int, int, int], used: tuple[MaskPlace, ...]
) -> tuple[str, ...]:
    """Errors and masks by name that are images of one or two axes, but for the ``used`` masks."""
    flat = {i: (_name_image(hdu), fits_access.image_shape(hdu)) for i, hdu in enumerate(hdus)}
    return tuple(
        f"{name} has the shape {found}, not the cube's {shape}, and is not used: write it in the cube's shape"
        for i, (name, found) in flat.items()
        if len(found) in (1, 2)
        and i not in {mask.hdu for mask in used}
        and (name in ERROR_KINDS or name in (*MASK_NAMES, *GOOD_NAMES))
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
        unknown = i != data and names[i] not in (*DATA_NAMES, *MASK_NAMES, *GOOD_NAMES, *_OTHER_NAMES)
        same = fits_access.image_shape(hdu) == fits_access.image_shape(cubes[data])
        text = HeaderCards(hdu.header, Path()).text("BUNIT")
        if unknown and same and text and unit_conversion_factor(text, FLAM**2) is not None:
            return i, hdu.name or f"HDU {i}", "variance"
    return None, "", ""


def _name_image(hdu: Any) -> str:
    """What an image is: its class, but STAT with the class of the data has a copied header (some MUSE cubes)."""
    name, by_class = _plain_name(hdu.name), _name_by_class(hdu)
    copied = by_class == "DATA" and name in (*ERROR_KINDS, *MASK_NAMES, *GOOD_NAMES, *_OTHER_NAMES)
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
    """An EXTNAME in capitals without blanks and words that say nothing (``DATA_ERR``; KMOS: ``IFU.7.DATA``)."""
    name = _IFU.sub("", name.strip().upper().replace(" ", "_"))
    if name in ERROR_KINDS or name in MASK_NAMES:
        return name
    words = [word for word in re.split(r"[_.-]", re.sub(r"(?<=[A-Z])CUBE$", "", name)) if word not in _FILLERS]
    bare = "_".join(words)
    return bare if bare in ERROR_KINDS or bare in MASK_NAMES else re.sub(r"(_CUBE)$", "", name)
