"""What a file is before astropy opens it: by its first bytes, with limits on what a header or a stream may claim."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from napari_sfh.errors import SfhInputError

#: Bytes that a compressed file may expand to, where it expands more than `MAX_EXPANSION`-fold.
MAX_EXPANDED_BYTES: int = 2 * 2**30
MAX_EXPANSION: int = 100
#: Deflate expands at most this much: more than that is a claim that cannot be true.
MAX_DEFLATE: int = 1032
MAX_HDUS: int = 2000
_OTHER_CONTAINERS = {
    b"PK\x03\x04": ("a zip archive", "unpack it with unzip"),
    b"PK\x05\x06": ("an empty zip archive", "get the file again"),
    b"\x1f\x9d": ("compressed by compress (.Z)", "unpack it with uncompress"),
    b"\x1f\xa0": ("compressed by compress (.Z)", "unpack it with uncompress"),
    b"BZh": ("compressed by bzip2", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it with unzstd"),
    b"7z\xbc\xaf": ("a 7-zip archive", "unpack it"),
    b"\x89HDF": ("an HDF5 file", "convert it to FITS"),
    b"#ASDF": ("an ASDF file", "convert it to FITS"),
    b"CDF": ("a netCDF file", "convert it to FITS"),
    b"\x93NUMPY": ("an array of NumPy", "write it as FITS with its header"),
    b"II*\x00": ("a TIFF picture", "name the FITS file"),
    b"MM\x00*": ("a TIFF picture", "name the FITS file"),
    b"\xff\xd8\xff": ("a JPEG picture", "name the FITS file"),
    b"<?xm": ("an XML file or a VOTable", "name the FITS file"),
    b"\x89PNG": ("a PNG picture", "name the FITS file"),
    b"%PDF": ("a PDF file", "name the FITS file"),
    b"<!DO": ("a web page, saved in place of the file", "download it again"),
    b"PAR1": ("a Parquet table", "write it as FITS or ECSV"),
    b"\x80\x04\x95": ("a pickle of Python, which may run anything", "write it as FITS or ECSV"),
    b"<htm": ("a web page, saved in place of the file", "download it again"),
    b"<HTM": ("a web page, saved in place of the file", "download it again"),
}


def check_fits_container(path: Path) -> bool:
    """Refuse what is no FITS file by its first bytes; True for one that is gzipped, whatever its name.

    Raises
    ------
    SfhInputError
        Not there, a folder, a device, empty, another format, or a stream that expands without measure.
    """
    try:
        if not path.exists():
            raise SfhInputError(f"{path}: no such file; check the path")
        if path.is_dir():
            raise SfhInputError(f"{path}: is a folder, a FITS file is needed; name the file in it")
        if not path.is_file():
            raise SfhInputError(f"{path}: is a device or a pipe, no regular file; copy its content into a file")
        with path.open("rb") as file:
            head = file.read(32)
    except (OSError, ValueError) as e:
        if isinstance(e, SfhInputError):
            raise
        why = getattr(e, "strerror", None) or e
        raise SfhInputError(f"{path}: cannot be read ({why}); check its name and permissions") from e
    if not head:
        raise SfhInputError(f"{path}: is empty; get the file again")
    for magic, (what, remedy) in _OTHER_CONTAINERS.items():
        if head.startswith(magic):
            raise SfhInputError(f"{path}: is {what}, no FITS file; {remedy}")
    if head.startswith(b"\x1f\x8b"):
        _check_stream(path)
        return True
    if head.startswith(b"SIMPLE") and head[8:30].split() == [b"=", b"F"]:
        raise SfhInputError(f"{path}: says of itself that it is no standard FITS file (SIMPLE = F); get a standard one")
    if not head.startswith(b"SIMPLE"):
        raise SfhInputError(
            f"{path}: not a readable FITS file (it begins with {head[:10]!r}, not SIMPLE); download it again"
        )
    return False


def _check_stream(path: Path) -> None:
    """The first block of a gzip stream must be a FITS header."""
    try:
        with gzip.open(path) as stream:
            head = stream.read(2880)
    except (OSError, EOFError, zlib.error) as e:
        line = (str(e).strip().splitlines() or [type(e).__name__])[0][:120]
        raise SfhInputError(f"{path}: the gzip stream is damaged ({line}); download it again") from e
    if head.startswith(b"\x1f\x8b"):
        raise SfhInputError(f"{path}: is gzipped twice; unpack it once with gunzip")
    if not head.startswith(b"SIMPLE"):
        raise SfhInputError(f"{path}: is gzipped, but what is inside is no FITS file; unpack it and see")


def find_container(path: Path) -> str:
    """What a file of numbers is by its first bytes: ``fits``, ``xml`` or ``text``, plain or gzipped, or ``numpy``.

    Raises
    ------
    SfhInputError
        Another format, with what to do about it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as stream:
                head = stream.read(32)
    except (OSError, EOFError, zlib.error) as e:
        raise SfhInputError(f"{path}: cannot be read ({e}); check its permissions, or get it again") from e
    if not head.strip():
        raise SfhInputError(f"{path}: is empty; get the file again")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"SIMPLE"):
        return "fits"
    if head.lower().startswith((b"<?xml", b"<votable")):
        return "xml"
    if head.startswith(b"\x93NUMPY") or (head.startswith(b"PK") and path.suffix.lower() == ".npz"):
        return "numpy"
    for magic, (what, remedy) in _OTHER_CONTAINERS.items():
        if head.startswith(magic):
            raise SfhInputError(f"{path}: is {what}; {remedy.replace('FITS file', 'file')}")
    return "text"


def is_compressed_stream(path: Path) -> bool:
    """Whether a file is gzipped, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False


def check_claimed_size(path: Path, claimed: int, compressed: bool, what: str) -> None:
    """Refuse a header that claims more than the file can hold, or that expands without measure.

    Parameters
    ----------
    path : Path
    claimed : int
        Bytes that the HDUs need, uncompressed.
    compressed : bool
        The file, or the image in it, is compressed.
    what : str
        Which HDU, for the message.

    Raises
    ------
    SfhInputError
        Says both numbers.
    """
    size = path.stat().st_size
    if not compressed:
        return
    if claimed > MAX_DEFLATE * size + 2880:
        raise SfhInputError(
            f"{path}: {what} claims {claimed:.3g} bytes, more than {size} compressed bytes can hold; it is damaged or "
            "truncated: download it again"
        )
    if claimed > MAX_EXPANDED_BYTES and claimed > MAX_EXPANSION * size:
        raise SfhInputError(
            f"{path}: {what} expands {claimed / size:.0f}-fold to {claimed / 2**30:.1f} GiB "
            f"(limit {MAX_EXPANSION}-fold "
            f"above {MAX_EXPANDED_BYTES / 2**30:.0f} GiB); unpack it first (gunzip, funpack)"
        )
