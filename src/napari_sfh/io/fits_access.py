"""What every FITS reader of this package needs: safe opening, units, celestial WCS, cards."""

from __future__ import annotations

import gzip
import re
import struct
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.wcs import WCS

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.cleaning.cards import is_finite_number
from napari_sfh.io.cleaning.celestial import clean_celestial_wcs
from napari_sfh.io.cleaning.containers import (
    MAX_EXPANDED_BYTES,
    MAX_EXPANSION,
    MAX_HDUS,
    check_claimed_size,
    check_fits_container,
    is_compressed_stream,
)
from napari_sfh.io.cleaning.structure import check_structure

#: Suffixes of FITS files, longest first.
FITS_SUFFIXES: tuple[str, ...] = (".fits.gz", ".fits.fz", ".fits", ".fit", ".fts")
#: What a damaged file can make astropy, numpy or the decompressors raise.
READ_ERRORS = (
    *(OSError, EOFError, zlib.error, struct.error, VerifyError),
    *(ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError),
)

#: Files, with size and time of the last change, that end where their headers say: a run opens a file several times.
_COMPLETE: deque[tuple[Path, int, int]] = deque(maxlen=256)


class _KeptFiles(threading.local):
    """Files, with size and time of the last change, that this thread keeps open; None outside `keep_fits_open`."""

    hdus: dict[tuple[Path, int, int], fits.HDUList] | None = None


_KEPT = _KeptFiles()


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
        The file is absent, no FITS file, shorter than its headers say, claims absurd sizes, or its checksums do not
        match; or what is done with it raises an error of a library.
    """
    path = Path(path)
    gzipped = check_fits_container(path)
    check_structure(path, gzipped)
    state = path, path.stat().st_size, path.stat().st_mtime_ns
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept = None if checksum or _KEPT.hdus is None else _KEPT.hdus.pop(state, None)
        if kept is None:
            with _naming_faults(path, "not a readable FITS file", "download it again"):
                hdus = fits.open(path, memmap=False, lazy_load_hdus=True, checksum=checksum)
        else:
            hdus = kept
        try:
            with _naming_faults(path, "not a readable FITS file", "download it again"):
                if checksum or state not in _COMPLETE:  # checksums are tested where an HDU is looked at
                    _check_complete(path, hdus, gzipped)
                    _COMPLETE.append(state)
            damaged = [str(w.message).splitlines()[0] for w in caught if "sum verification failed" in str(w.message)]
            if damaged:
                raise SfhInputError(f"{path}: damaged or altered ({damaged[0]}); restore the file or run again")
            with _naming_faults(path, "cannot be read", "it is damaged: download it again"):
                yield hdus
        finally:
            _release_file(hdus, None if checksum else state)


def _release_file(hdus: fits.HDUList, state: tuple[Path, int, int] | None) -> None:
    """Close a file, or keep it for the next `open_fits` of this thread: not with data, which callers may change."""
    # list's own iteration: that of astropy would read the headers of further HDUs.
    is_changed = any("data" in vars(hdu) for hdu in list.__iter__(hdus))
    if state is not None and _KEPT.hdus is not None and state not in _KEPT.hdus and not is_changed:
        _KEPT.hdus[state] = hdus
        return
    with suppress(Exception):
        hdus.close()


@contextmanager
def keep_fits_open() -> Iterator[None]:
    """As long as this lasts, files that `open_fits` opens in this thread stay open for its next call.

    Astropy parses every header anew at each opening, most of the time that a look at a file takes.
    """
    outer = _KEPT.hdus
    if outer is not None:
        yield
        return
    _KEPT.hdus = {}
    try:
        yield
    finally:
        kept, _KEPT.hdus = _KEPT.hdus, None
        for hdus in kept.values():
            with suppress(Exception):
                hdus.close()


@contextmanager
def _naming_faults(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Whatever a library raises on a damaged file as one sentence that names it."""
    try:
        yield
    except (SfhInputError, ComputeError, GeneratorExit):
        raise
    except MemoryError as e:
        raise SfhInputError(f"{path}: {what}: it needs more memory than there is; {remedy}") from e
    except Exception as e:  # astropy, numpy and the decompressors raise every class there is
        kind = "" if isinstance(e, OSError) else f"{type(e).__name__}: "
        raise SfhInputError(f"{path}: {what} ({kind}{format_error_line(e)}); {remedy}") from e


def _check_complete(path: Path, hdus: fits.HDUList, gzipped: bool) -> None:
    """Refuse a file that ends before its last HDU does, or whose headers claim what no file holds."""
    if gzipped and len(hdus) == 1 and not image_shape(hdus[0]):
        _check_gzip(path)
    size, needed_by_all, i = path.stat().st_size, 0, 0
    while True:
        try:
            hdu = hdus[i]
        except IndexError:
            if not gzipped:
                _check_last_header(path, hdus)
            return
        if i >= MAX_HDUS:
            raise SfhInputError(f"{path}: has more than {MAX_HDUS} HDUs; give a file of this galaxy alone")
        what = f"HDU {i} ({hdu.name or 'PRIMARY'})"
        _check_axes(path, hdu, what)
        needed_by_all += max(int(hdu.size), 0)
        check_claimed_size(path, needed_by_all, gzipped, what)
        if isinstance(hdu, fits.CompImageHDU):
            check_claimed_size(
                path, int(np.prod(hdu.shape, dtype=object)) * abs(int(hdu.header["BITPIX"])) // 8, True, what
            )
        info = hdu.fileinfo()
        # Padding after the last datum may be missing; of compressed images only the padded size is known.
        needed = info["datSpan"] - 2879 if isinstance(hdu, fits.CompImageHDU) else hdu.size
        if not gzipped and needed > 0 and info["datLoc"] + needed > size:
            raise SfhInputError(
                f"{path}: truncated, {what} needs {info['datLoc'] + needed} bytes "
                f"but the file has {size}; download it again"
            )
        i += 1


def _check_last_header(path: Path, hdus: fits.HDUList) -> None:
    """Refuse a file that ends within a header: astropy leaves that HDU out without a word."""
    place = hdus[len(hdus) - 1].fileinfo()
    with path.open("rb") as file:
        file.seek(place["datLoc"] + place["datSpan"])
        left = file.read(80)
    if left.startswith(b"XTENSION="):
        raise SfhInputError(f"{path}: truncated, the header of HDU {len(hdus)} has no end; download it again")


def _check_axes(path: Path, hdu: Any, what: str) -> None:
    """Refuse axes that are no lengths."""
    for i in range(1, int(hdu.header.get("NAXIS", 0)) + 1):
        value = hdu.header.get(f"NAXIS{i}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SfhInputError(f"{path}: NAXIS{i} = {value!r} of {what} is no length; the header is damaged")


def find_rounding(path: str | Path, index: int) -> str:
    """How tile compression rounded an image's floats: the value of ZQUANTIZ; empty where nothing was lost.

    Parameters
    ----------
    path : str or Path
    index : int
        Of the HDU, from 0.

    Returns
    -------
    str
        ``NO_DITHER``, ``SUBTRACTIVE_DITHER_1`` or ``_2``; empty also for images that are not compressed.
    """
    with open_fits(path) as hdus:
        if not isinstance(hdus[index], fits.CompImageHDU):
            return ""
    with _naming_faults(Path(path), "header", "fetch the file again"):
        header = fits.getheader(path, index, disable_image_compression=True)
    columns = [header.get(f"TTYPE{i}") for i in range(1, int(header.get("TFIELDS", 0)) + 1)]
    rounded = "ZSCALE" in columns and int(header.get("ZBITPIX", 8)) < 0
    return str(header.get("ZQUANTIZ", "NO_DITHER")).strip() if rounded else ""


def read_rounding_step(path: str | Path, index: int) -> float:
    """Median step, in the image's unit, to which tile compression rounded its floats (`find_rounding`).

    Parameters
    ----------
    path : str or Path
    index : int
        Of a tile-compressed HDU, from 0.

    Returns
    -------
    float
        0 for an image without tiles.
    """
    with _naming_faults(Path(path), "tiles", "fetch the file again"):
        steps = fits.getdata(path, index, disable_image_compression=True)["ZSCALE"]
        return float(np.median(steps)) if len(steps) else 0.0


def holds_rounded_floats(path: str | Path, index: int) -> bool:
    """Whether tile compression without dither rounded an image's floats to multiples of a step, zero among them.

    Dithered images have no exact zeros but those that were stored as such (FITS Standard 4.0, section 10.2).

    Parameters
    ----------
    path : str or Path
    index : int
        Of the HDU, from 0.
    """
    return find_rounding(path, index) == "NO_DITHER"


def check_data_sums(path: str | Path, limit_bytes: int = 2**30) -> tuple[str, ...]:
    """Verify DATASUM of the HDUs that have one.

    Parameters
    ----------
    path : path
    limit_bytes : int
        Larger files are not verified, and this is said: it takes a second a gigabyte.

    Returns
    -------
    tuple of str
        Notes: data that differ from their DATASUM (astronomers' tools often change data and leave the sum: the public
        MUSE minicube of mpdaf is such a file), a header that was edited after its CHECKSUM was written, that the
        file was not verified, or that its length is that of no whole FITS file.
    """
    path = Path(path)
    stat = path.stat()
    sums = _data_sums(path, stat.st_size, stat.st_mtime_ns, limit_bytes)
    if is_compressed_stream(path) or stat.st_size % 2880 == 0:
        return sums
    return (*sums, f"the length of {path.name} is no multiple of 2880 bytes: cut off? HDUs behind may be missing")


@lru_cache(maxsize=256)
def _data_sums(path: Path, size: int, changed_ns: int, limit_bytes: int) -> tuple[str, ...]:
    with open_fits(path) as hdus:
        # Of tile-compressed images the sums are those of the uncompressed data, in a form that differs by writer.
        summed = [(i, h) for i, h in enumerate(hdus) if "DATASUM" in h.header and not isinstance(h, fits.CompImageHDU)]
        if not summed:
            return ()
        if size > limit_bytes:
            return (f"DATASUM was not verified: the file has {size / 2**30:.1f} GiB",)
        if not is_compressed_stream(path) and (where := _find_control_character(path, hdus)):
            return (f"DATASUM was not verified: the header of {where} holds a tab or another control character",)
    if is_compressed_stream(path):
        return ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        faults = _naming_faults(path, "cannot be read", "it is damaged: download it again")
        with faults, fits.open(path, memmap=True, checksum=True) as hdus:
            len(hdus)
    said = [str(w.message).splitlines()[0] for w in caught]
    if differing := [line for line in said if "Datasum verification failed" in line]:
        where = differing[0].removeprefix("Datasum verification failed for ").rstrip(".")
        return (
            f"the data of {where} differ from their DATASUM: changed by a program that left the sum as it was, or "
            "damaged; if in doubt, fetch the file again",
        )
    edited = [line for line in said if "Checksum verification failed" in line]
    return ("a header was edited after its CHECKSUM was written",) if edited else ()


def _find_control_character(path: Path, hdus: fits.HDUList) -> str:
    """The HDU in whose header stands a character that FITS forbids, with which astropy verifies no sums, or nothing."""
    with path.open("rb") as file:
        for number, hdu in enumerate(hdus):
            place = hdu.fileinfo()
            file.seek(place["hdrLoc"])
            if re.search(rb"[\x00-\x1f\x7f]", file.read(place["datLoc"] - place["hdrLoc"])):
                return f"HDU {number} ({hdu.name or 'PRIMARY'})"
    return ""


def _check_gzip(path: Path) -> None:
    """Decompress to the end: astropy takes a stream that breaks off for a file without further HDUs."""
    size, total = path.stat().st_size, 0
    with gzip.open(path) as stream:
        while piece := stream.read(2**24):
            total += len(piece)
            check_claimed_size(path, total, True, "the stream")
            if total > MAX_EXPANDED_BYTES and total > MAX_EXPANSION * size:
                return


def find_degenerate_axes(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Axes of length 1 (numpy's order) without which an array has ``ndim`` axes; the first ones go first.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    ndim : int
        Axes that are to be left.
    """
    ones = [k for k, n in enumerate(shape) if n == 1]
    return tuple(ones[: max(0, len(shape) - ndim)])


def image_shape(hdu: Any) -> tuple[int, ...]:
    """NumPy shape of an image HDU, degenerate axes left out; () for tables, empty and invalid HDUs."""
    if not isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)):
        return ()
    shape = tuple(int(n) for n in hdu.shape)
    wanted = 2 if len(shape) > 2 and max(shape[:-2]) == 1 and min(shape[-2:]) > 1 else 3
    dropped = find_degenerate_axes(shape, wanted) if len(shape) > wanted else ()
    return tuple(n for k, n in enumerate(shape) if k not in dropped)


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
            except Exception:  # a card that cannot be parsed is no card; whoever needs it says that it is absent
                continue
            if not isinstance(value, fits.card.Undefined):
                merged[card.keyword] = value
    return merged


def read_celestial_wcs(header: fits.Header, path: Path) -> WCS:
    """The 2-D celestial WCS of an image or cube header; see `io.cleaning.celestial.clean_celestial_wcs`.

    Parameters
    ----------
    header : Header
    path : Path
        For messages.

    Returns
    -------
    WCS
        ICRS or FK5 J2000, without distortions; degrees.
    """
    return clean_celestial_wcs(header, path)[0]


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
        if isinstance(value, str):  # '0.0025' in quotes is a number, too, and so is Fortran's '1.5D-19'
            with suppress(ValueError):
                value = float(re.sub(r"(?<=[\d.])[dD](?=[-+\d])", "e", value))
        if value is not None and is_finite_number(value):
            return float(value)
    return None


#: Letters of a first word that names no galaxy without the next.
_CATALOGUE_LETTERS = 4


def find_galaxy_name(headers: Mapping[str, Any], path: Path) -> str:
    """Galaxy from a header's OBJECT (MPDAF appends " (DATA)"), else the first word of the file's name.

    Up to four letters alone are the catalogue, or no name: the next word belongs to them (``NGC_1068_cube.fits``).

    Parameters
    ----------
    headers : mapping
        Cards of the file; OBJECT counts before TARGNAME.
    path : Path
        Its name stands in where neither card is there.

    Returns
    -------
    str
    """
    name = get_text_card(headers, "OBJECT", "TARGNAME")
    if name is None:
        words = re.split(r"[_\-. ]", strip_fits_suffix(path))
        catalogue = words[0].isalpha() and len(words[0]) <= _CATALOGUE_LETTERS
        named = len(words) > 1 and catalogue and "cube" not in words[1].lower()
        name = "_".join(words[:2]) if named else words[0]
    return re.sub(r"\s*\((DATA|STAT)\)$", "", name)
