"""The structure of a FITS file, looked at before astropy does: headers that would keep it busy for hours are refused.

The FITS standard allows at most 999 axes and 999 columns (FITS Standard 4.0, sections 4.4.1 and 7.3.1). Readers count
up to what a damaged card claims.
"""

from __future__ import annotations

import gzip
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from napari_sfh.errors import SfhInputError

_BLOCK, _CARD = 2880, 80
#: Most axes and columns, by the standard.
MAX_COUNT: int = 999
#: Longest header that is read: 840 000 cards.
MAX_HEADER_BYTES: int = 64 * 2**20
_COUNTS = ("NAXIS", "TFIELDS", "ZNAXIS")
_INTEGER = re.compile(rb"=\s*([-+]?\d+)\s*(?:/|$)")


def check_structure(path: Path, gzipped: bool) -> None:
    """Refuse headers without end and counts beyond the standard, in every HDU that can be reached.

    Parameters
    ----------
    path : Path
    gzipped : bool
        The whole file is a gzip stream: it is decompressed once for this.

    Raises
    ------
    SfhInputError
        Names the HDU and the card.
    """
    stat = path.stat()
    _check_structure(path, gzipped, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _check_structure(path: Path, gzipped: bool, size: int, changed_ns: int) -> None:
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            offset, number = 0, 0
            while offset < size or gzipped:
                span = _read_hdu_span(file, path, number)
                if span is None:
                    return
                offset, number = file.seek(span, 1), number + 1
    except (OSError, EOFError, zlib.error, OverflowError):
        return  # cut or damaged: whoever reads it says where


def _read_hdu_span(file: BinaryIO | gzip.GzipFile, path: Path, number: int) -> int | None:
    """Bytes of data behind the header that begins here; None where there is no further one."""
    numbers: dict[bytes, int] = {}
    length = 0
    while block := file.read(_BLOCK):
        if length == 0 and not block.startswith((b"SIMPLE", b"XTENSION")):
            return None
        length += len(block)
        if length > MAX_HEADER_BYTES:
            raise SfhInputError(f"{path}: the header of HDU {number} has no END; it is damaged: download it again")
        cards = [block[k : k + _CARD] for k in range(0, len(block), _CARD)]
        for card in cards:
            key = card[:8].rstrip()
            found = _INTEGER.match(card, 8)
            if found and key not in numbers:
                numbers[key] = int(found[1])
        if any(card.rstrip() == b"END" for card in cards):
            break
    else:
        return None
    for name in _COUNTS:
        count = numbers.get(name.encode(), 0)
        if not 0 <= count <= MAX_COUNT:
            raise SfhInputError(
                f"{path}: {name} = {count} in HDU {number} is no count (0 to {MAX_COUNT}); the header is damaged: "
                "download it again"
            )
    return _span_of_data(numbers)


def _span_of_data(numbers: dict[bytes, int]) -> int | None:
    """Padded bytes of the data; None where the header does not say."""
    axes = [numbers.get(b"NAXIS%d" % i, 0) for i in range(1, numbers.get(b"NAXIS", 0) + 1)]
    if any(n < 0 for n in axes):
        return None
    if len(axes) > 1 and axes[0] == 0:
        axes = axes[1:]  # random groups
    elements = 1 if axes else 0
    for n in axes:
        elements *= n
    groups, heap = numbers.get(b"GCOUNT", 1), numbers.get(b"PCOUNT", 0)
    bits = abs(numbers.get(b"BITPIX", 8)) * groups * (heap + elements)
    if not 0 <= bits < 2**66:
        return None
    return -(-(bits // 8) // _BLOCK) * _BLOCK
