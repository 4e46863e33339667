"""What every FITS reader of this package needs: safe opening, units, celestial WCS, cards."""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from napari_sfh.errors import SfhInputError

#: Suffixes of FITS files, longest first.
FITS_SUFFIXES: tuple[str, ...] = (".fits.gz", ".fits.fz", ".fits", ".fit", ".fts")
#: What a damaged file can make astropy, numpy or the decompressors raise.
READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, IndexError, VerifyError)

_WCS_KEYS = tuple(f"{k}{i}" for k in ("CRVAL", "CRPIX", "CDELT") for i in (1, 2, 3)) + tuple(
    f"{k}{i}_{j}" for k in ("CD", "PC") for i in (1, 2, 3) for j in (1, 2, 3)
)
#: Spellings of units that astropy does not know, as they occur in headers (compared in lower case).
_UNIT_WORDS = {
    "a": "Angstrom",
    "aa": "Angstrom",
    "ang": "Angstrom",
    "angstroms": "Angstrom",
    "electrons": "electron",
    "counts": "count",
    "cts": "count",
    "dn": "count",
    "adu": "count",
    "sec": "s",
    "s": "s",
    "cps": "count/s",
    "eps": "electron/s",
}


def strip_fits_suffix(path: Path) -> str:
    """File name without its FITS suffix."""
    for suffix in FITS_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def is_fits_name(path: Path) -> bool:
    """Whether the name looks like a FITS file."""
    return path.name.lower().endswith(FITS_SUFFIXES)


@contextmanager
def open_fits(path: str | Path, checksum: bool = False) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading without mapping it into memory.

    Parameters
    ----------
    path : path
    checksum : bool
        Verify CHECKSUM and DATASUM of every HDU that has them (reads the whole file).

    Raises
    ------
    SfhInputError
        The file is absent, no FITS file, shorter than its headers say, or its checksums do not match.
    """
    path = Path(path)
    if not path.exists():
        raise SfhInputError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise SfhInputError(f"{path}: is a folder, a FITS file is needed; name the file in it")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(path, memmap=False, lazy_load_hdus=True, checksum=checksum)
            _check_complete(path, hdus)
        except SfhInputError:
            raise
        except READ_ERRORS as e:
            raise SfhInputError(f"{path}: not a readable FITS file ({format_error_line(e)}); download it again") from e
        try:
            damaged = [str(w.message).splitlines()[0] for w in caught if "sum verification failed" in str(w.message)]
            if damaged:
                raise SfhInputError(f"{path}: damaged or altered ({damaged[0]}); restore the file or run again")
            yield hdus
        finally:
            hdus.close()


def _check_complete(path: Path, hdus: fits.HDUList) -> None:
    """Refuse a file that ends before its last HDU does (compressed streams are found out when read)."""
    if path.name.lower().endswith(".gz"):
        if len(hdus) == 1 and not image_shape(hdus[0]):
            _check_gzip(path)
        return
    size = path.stat().st_size
    for i, hdu in enumerate(hdus):
        info = hdu.fileinfo()
        # Padding after the last datum may be missing; of compressed images only the padded size is known.
        needed = info["datSpan"] - 2879 if isinstance(hdu, fits.CompImageHDU) else hdu.size
        if needed > 0 and info["datLoc"] + needed > size:
            raise SfhInputError(
                f"{path}: truncated, HDU {i} ({hdu.name or 'PRIMARY'}) needs {info['datLoc'] + needed} bytes "
                f"but the file has {size}; download it again"
            )


def _check_gzip(path: Path) -> None:
    """Decompress to the end: astropy takes a stream that breaks off for a file without further HDUs."""
    with gzip.open(path) as stream:
        while stream.read(2**24):
            pass


def image_shape(hdu: Any) -> tuple[int, ...]:
    """NumPy shape of an image HDU; () for tables, empty and invalid HDUs."""
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return ()
    return tuple(int(n) for n in hdu.shape)


def describe_hdus(hdus: fits.HDUList) -> str:
    """What a file holds, for messages."""
    return ", ".join(f"{h.name or 'unnamed'} {image_shape(h) or 'no image'}" for h in hdus)


def format_error_line(error: BaseException) -> str:
    """First line of an exception's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def merge_headers(*headers: fits.Header) -> dict[str, Any]:
    """All readable cards of several headers as a plain dict, later ones winning; comments are dropped."""
    merged: dict[str, Any] = {}
    for header in headers:
        for card in header.cards:
            if card.keyword in ("COMMENT", "HISTORY", ""):
                continue
            try:
                value = card.value
            except VerifyError:
                continue
            if not isinstance(value, fits.card.Undefined):
                merged[card.keyword] = value
    return merged


def unit_conversion_factor(text: object, target: u.UnitBase) -> float | None:
    """Factor from the unit spelled ``text`` to ``target``; None where it is no such unit.

    astropy parses; only the words it does not know (``ELECTRONS``, ``cps``, ``A`` for Angstrom, ``/spaxel``) are
    respelled before a second try.
    """
    spelled = re.sub(
        r"/\s*(spaxel|spax|pixel|pix)\b|\b(spaxel|spax|pixel|pix)\s*(\*\*|\^)?\s*-1", "", str(text), flags=re.I
    )
    spelled = re.sub(r"\be-(?=\s*/|\s|$)", "electron", spelled)
    respelled = re.sub(r"(?<![0-9.A-Za-z])[A-Za-z]+", lambda m: _UNIT_WORDS.get(m.group().lower(), m.group()), spelled)
    for candidate in (str(text), spelled, respelled):
        unit = _parse_unit(candidate)
        if unit is not None and unit.is_equivalent(target):
            return float(unit.to(target))
    return None


@lru_cache(maxsize=256)  # astropy looks long for what a misspelt unit may mean
def _parse_unit(text: str) -> u.UnitBase | None:
    """astropy's reading of a unit string, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            unit = u.Unit(text.strip())
        except (ValueError, TypeError):
            return None
    return unit if isinstance(unit, u.UnitBase) else None


def check_wcs_cards(header: fits.Header, path: Path) -> None:
    """Refuse coordinate cards that are no finite numbers."""
    for key in _WCS_KEYS:
        if key not in header:
            continue
        try:
            value = header[key]
        except VerifyError:
            value = None
        if not isinstance(value, (int, float)) or not np.isfinite(value):
            raise SfhInputError(f"{path}: {key} is not a finite number; repair the WCS in the header")


def read_celestial_wcs(header: fits.Header, path: Path) -> WCS:
    """The 2-D celestial WCS of an image or cube header.

    Raises
    ------
    SfhInputError
        Cards are missing or not finite, or the pixel scale cannot be that of MUSE or HST.
    """
    check_wcs_cards(header, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            full = WCS(_two_axes(header))
            wcs = full.celestial if full.has_celestial else None
        except Exception as e:  # wcslib raises many classes for one fault: a broken header
            raise SfhInputError(
                f"{path}: the WCS cannot be read ({format_error_line(e)}); repair CTYPE/CRVAL/CD cards"
            ) from e
    if wcs is None or wcs.naxis != 2:
        raise SfhInputError(f"{path}: no celestial WCS (CTYPE1, CTYPE2); add the coordinates of the image")
    scale = proj_plane_pixel_scales(wcs) * 3600.0
    if not np.all((scale > 0.002) & (scale < 10)):
        raise SfhInputError(
            f"{path}: the WCS gives pixels of {scale[0]:.4g} x {scale[1]:.4g} arcsec, not possible here; "
            "check CD1_1..CD2_2 or CDELT1, CDELT2"
        )
    return wcs


def _two_axes(header: fits.Header) -> fits.Header:
    """The cards of axes 1 and 2: a fault of axis 3 is not the celestial axes' fault."""
    header = header.copy()
    for key in list(header):
        if re.fullmatch(r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|NAXIS)3|(CD|PC)(3_\d|\d_3)|WCSAXES", key):
            header.remove(key, ignore_missing=True, remove_all=True)
    if "NAXIS" in header:
        header["NAXIS"] = 2
    return header


def get_text_card(headers: Mapping[str, Any], *keys: str) -> str | None:
    """First non-empty string among ``keys``."""
    for key in keys:
        value = headers.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def get_number_card(headers: Mapping[str, Any], *keys: str) -> float | None:
    """First finite number among ``keys``."""
    for key in keys:
        value = headers.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    return None


def find_galaxy_name(headers: Mapping[str, Any], path: Path) -> str:
    """Galaxy from a header's OBJECT (MPDAF appends " (DATA)"), else the first word of the file's name."""
    name = get_text_card(headers, "OBJECT", "TARGNAME")
    if name is None:
        name = re.split(r"[_\-. ]", strip_fits_suffix(path))[0]
    return re.sub(r"\s*\((DATA|STAT)\)$", "", name)
