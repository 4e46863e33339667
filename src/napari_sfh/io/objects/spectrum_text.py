"""Spectra in plain text as people write them: a table of names and numbers, whatever separates and comments them.

Comments begin with ``#``, ``;``, ``%`` or ``!``; columns are parted by blanks, tabs, commas, semicolons or bars, with a
decimal comma where the separator leaves room for one; exponents may be Fortran's ``D``; ``INDEF``, ``--``, ``***`` and
the like are missing values. Names are the line above the numbers, or the last comment that has one word a column; a
second line of words is that of the units. What is no such table is left to astropy's readers.
"""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np
from astropy.table import Column, Table

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.containers import is_compressed_stream
from napari_sfh.io.fits_access import format_error_line
from napari_sfh.types import F64

_COMMENT = re.compile(r"^\s*(#|;|%|!|//)+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+\.\d*([eEdD][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eEdD][-+]?\d+)?")
_MISSING = re.compile(r"|[-+]?nan|[-+]?inf(inity)?|indef|null|none|n/a|-+|\.+|\*+|masked", re.IGNORECASE)
#: Separators, and whether a comma inside a number can be a decimal one.
_SEPARATORS: tuple[tuple[str, bool], ...] = (("|", True), (";", True), ("\t", True), (",", False), ("", True))
#: A line of a table is shorter; the csv module stops at this length of a field.
_LONGEST_LINE = csv.field_size_limit()
#: Lines that must be numbers for a text to be a table of them.
_TABLE_SHARE = 0.9


def read_text_table(path: Path) -> Table:
    """The columns of a text file, by name, with their units where it states them.

    Raises
    ------
    SfhInputError
        No table of numbers.
    """
    text = _decode(path)
    lines = [line for line in text.splitlines() if line.strip()]
    kind = "ascii.ecsv" if text.lstrip().startswith("# %ECSV") else "ascii"
    made = _read_numbers(lines) if kind == "ascii" and max(map(len, lines), default=0) < _LONGEST_LINE else None
    if made is not None:
        return made
    shown = repr(lines[0].strip()[:60]) if lines else "nothing"
    remedy = f"it begins with {shown}; write columns of wavelength, flux and error, parted by blanks or commas"
    try:
        table = Table.read(text.splitlines(), format=kind)
    except Exception as error:  # astropy's readers raise every class there is, with a report of all that they tried
        why = "" if "guess" in str(error).lower() else f" ({format_error_line(error)})"
        raise SfhInputError(f"{path}: no table of numbers{why}: {remedy}") from error
    if len(table) == 0:
        raise SfhInputError(f"{path}: no table of numbers: {remedy}")
    return table


def _decode(path: Path) -> str:
    raw = gzip.decompress(path.read_bytes()) if is_compressed_stream(path) else path.read_bytes()
    if b"\0" in raw[:4096]:
        raise SfhInputError(f"{path}: neither FITS nor text; give a FITS file, ECSV, CSV, a VOTable or columns of text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_numbers(lines: list[str]) -> Table | None:
    """The table of a text whose lines are rows of equally many numbers; None where they are not."""
    comments = [line for line in lines if _COMMENT.match(line)]
    plain = [line for line in lines if not _COMMENT.match(line)]
    for separator, comma in _SEPARATORS:
        rows = [_split(line, separator) for line in plain]
        values = [_parse_row(row, comma) for row in rows]
        lengths = [len(v) for v in values if v is not None]
        width = max(set(lengths), key=lengths.count, default=0)
        whole = [k for k, v in enumerate(values) if v is not None and len(v) == width]
        if width < 2 or len(whole) < _TABLE_SHARE * len(plain):
            continue
        words = [row for row in rows[: whole[0]] if len(row) == width]
        words = words or [row for row in map(_split_comment, comments) if len(row) == width][-1:]
        table = np.array([values[k] for k in whole], dtype=np.float64)
        return _name_columns(table, words)
    return None


def _split(line: str, separator: str) -> list[str]:
    if not separator:
        return line.split()
    plain = line.strip().strip("|" if separator == "|" else "")
    return [word.strip().strip('"') for word in next(csv.reader([plain], delimiter=separator, skipinitialspace=True))]


def _split_comment(line: str) -> list[str]:
    words = re.split(r"[\s,;|]+", _COMMENT.sub("", line).strip())
    return words if all(re.match(r"[A-Za-z_λ]", word) for word in words) else []


def _parse_row(words: list[str], comma: bool) -> list[float] | None:
    """The numbers of a line, NaN where one is missing; None where a word is neither."""
    row = []
    for word in words:
        if _THOUSANDS.fullmatch(word):
            word = word.replace(",", "")
        elif comma and _DECIMAL_COMMA.fullmatch(word):
            word = word.replace(",", ".")
        if _NUMBER.fullmatch(word):
            row.append(float(re.sub("[dD]", "e", word)))
        elif _MISSING.fullmatch(word):
            row.append(np.nan)
        else:
            return None
    return row if any(np.isfinite(row)) else None


def _name_columns(values: F64, words: list[list[str]]) -> Table:
    """Columns with the names of the first line of words and the units of a second one, or of brackets in a name."""
    names = words[0] if words else [f"col{k + 1}" for k in range(values.shape[1])]
    units = words[1] if len(words) > 1 else [""] * len(names)
    columns = {}
    for k, (name, unit) in enumerate(zip(names, units, strict=True)):
        inside = re.search(r"[(\[]([^)\]]*)[)\]]", name)
        plain = re.sub(r"[(\[][^)\]]*[)\]]", "", name).strip() or f"col{k + 1}"
        told = unit.strip("()[]") or (inside.group(1) if inside else "")
        columns[plain if plain not in columns else f"{plain}_{k + 1}"] = Column(values[:, k], meta={"unit": told})
    return Table(columns)
