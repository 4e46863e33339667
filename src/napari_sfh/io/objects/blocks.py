"""Catalogues in blocks of rows: FITS tables, ECSV, CSV (also separated by tabs, semicolons, bars or blanks), VOTables.

FITS tables are memory-mapped and text is read line by line, gzipped or not, so that a catalogue of any length passes in
the memory of a block. A VOTable, and a compressed FITS file, is read whole first. Every column is kept as it is; those
of variable length, which no block of rows holds alone, are left out and named.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from astropy.io import ascii as astropy_ascii
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Column, MaskedColumn, Table

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.containers import is_compressed_stream
from napari_sfh.io.fits_access import READ_ERRORS, format_error_line, is_fits_name, open_fits

#: Rows that are read, estimated and written together.
BLOCK_ROWS = 50_000
#: Formats by the end of a file's name.
FORMATS = {".ecsv": "ecsv", ".csv": "csv", ".txt": "csv", ".dat": "csv", ".tsv": "csv"}
FORMATS |= dict.fromkeys((".cat", ".asc", ".ascii"), "csv")
FORMATS |= {".vot": "votable", ".xml": "votable", ".votable": "votable"}
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Catalogue:
    """A catalogue on disk.

    Attributes
    ----------
    path : Path
    format : str
        fits, ecsv, csv or votable.
    names : tuple of str
        Columns.
    n_rows : int or None
        None where only reading tells.
    notes : tuple of str
        What was left out.
    widths : mapping of str to int
        Numbers a row of the columns that hold vectors.
    name_lists : mapping of str to tuple of str
        Where the file lists words that may name the numbers of vectors, and the words.
    """

    path: Path
    format: str
    names: tuple[str, ...]
    n_rows: int | None
    notes: tuple[str, ...]
    _blocks: Callable[[int], Iterator[Table]]
    widths: Mapping[str, int] = field(default_factory=dict)
    name_lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read_blocks(self, rows: int = BLOCK_ROWS) -> Iterator[Table]:
        """Tables of at most ``rows`` rows, in order, with the columns' units."""
        try:
            yield from self._blocks(rows)
        except SfhInputError:
            raise
        except (*READ_ERRORS, pd.errors.ParserError) as error:
            raise SfhInputError(
                f"{self.path}: {_describe_damage('the table breaks off or is damaged', error)}"
            ) from error


def catalogue_format(path: Path) -> str:
    """``fits``, ``ecsv``, ``csv`` or ``votable`` by the file's name.

    Raises
    ------
    SfhInputError
        Another ending.
    """
    if is_fits_name(path):
        return "fits"
    kind = FORMATS.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if kind is None:
        raise SfhInputError(f"{path}: not known as a table; use .fits, .ecsv, .csv, .tsv or .vot, also with .gz")
    return kind


def open_catalogue(path: str | Path) -> Catalogue:
    """Look at a catalogue: its format, columns and rows.

    Raises
    ------
    SfhInputError
        No such file, no table in it, no rows, or two columns of one name.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise SfhInputError(f"{path}: no such file")
    kind = catalogue_format(path)
    openers = {"fits": _open_fits, "ecsv": _open_ecsv, "csv": _open_csv, "votable": _open_votable}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about units that astropy does not know: they are looked at when needed
            made = openers[kind](path)
    except SfhInputError:
        raise
    except (*READ_ERRORS, csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SfhInputError(f"{path}: {_describe_damage(f'not readable as {kind}', error)}") from error
    if made.n_rows == 0:
        raise SfhInputError(f"{path}: the table has no rows")
    if twice := [n for n in made.names if made.names.count(n) > 1]:
        raise SfhInputError(f"{path}: column {twice[0]!r} is there twice; rename one")
    return made


def _describe_damage(what: str, error: Exception) -> str:
    """What a library says of a table, in one line; with the remedy where there is one."""
    if isinstance(error, UnicodeDecodeError):
        return "holds letters that are not in UTF-8; save it as UTF-8"
    return f"{what} ({format_error_line(error)})"


def _open_fits(path: Path) -> Catalogue:
    with open_fits(path):  # a file that was cut off behind its table is no whole catalogue, either
        pass
    with fits.open(path, memmap=True) as hdus:
        tables = [k for k, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            raise SfhInputError(f"{path}: no table among its {len(hdus)} HDUs; images are read by `napari-sfh run`")
        number = max(
            tables, key=lambda k: (int(hdus[k].header["NAXIS2"]), -k)
        )  # SExtractor puts a header's table first
        chosen = f"of {len(tables)} tables that with most rows is used: HDU {number} {hdus[number].name}".strip()
        columns, n = hdus[number].columns, int(hdus[number].header["NAXIS2"])
        variable = [c.name for c in columns if "P" in str(c.format) or "Q" in str(c.format)]
        names = tuple(c.name for c in columns if c.name not in variable)
        words = _read_column_words(hdus[number].header, columns)
        widths = {name: size[0] for name in names if len(size := columns.dtype[name].shape) == 1 and size[0] > 1}
        lists = _list_header_words(hdus[number].header) | _list_table_words(hdus, number, names)

    def blocks(rows: int) -> Iterator[Table]:
        for start in range(0, n, rows):
            # Opened anew for each block: mapped pages count as this process's memory until the map is closed.
            with fits.open(path, memmap=True) as hdus:
                part = hdus[number].data[start : start + rows]
                block = Table({name: _plain_column(part[name], words[name]) for name in names}, copy=False)
                del part
            yield block

    dropped = f"columns of variable length are left out: {', '.join(variable)}" if variable else ""
    notes = tuple(filter(None, (chosen if len(tables) > 1 else "", dropped)))
    return Catalogue(path, "fits", names, n, notes, blocks, widths, lists)


def _list_header_words(header: fits.Header) -> dict[str, tuple[str, ...]]:
    """Cards that hold several words, and numbered cards that hold one each (``BAND1``, ``BAND2`` ...)."""
    found: dict[str, tuple[str, ...]] = {}
    numbered: dict[str, dict[int, str]] = {}
    for card in header.cards:
        if not isinstance(card.value, str) or card.keyword.startswith(("TTYPE", "TFORM", "TUNIT", "TDIM", "TDISP")):
            continue
        if len(words := tuple(re.split(r"[^\w.-]+", card.value.strip(" []()'\"")))) > 1:
            found[f"the card {card.keyword}"] = words
        if (parts := re.fullmatch(r"(.*?)_?(\d+)", card.keyword)) and parts[1]:
            numbered.setdefault(parts[1], {})[int(parts[2])] = card.value.strip()
    for key, words_of in numbered.items():
        found[f"the cards {key}n"] = tuple(words_of[k] for k in sorted(words_of))
    return found


def _list_table_words(hdus: fits.HDUList, number: int, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns of text: of the table the words of its first row, where the first rows agree; of others their rows."""
    found = {}
    for k, hdu in enumerate(hdus):
        if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU) or int(hdu.header["NAXIS2"]) == 0:
            continue
        for name in names if k == number else hdu.columns.names:
            if hdu.columns.dtype[name].base.kind not in "SU" or (k != number and int(hdu.header["NAXIS2"]) > 1000):
                continue
            if k != number:
                found[f"{name} of the table {hdu.name or k}"] = tuple(str(v).strip() for v in hdu.data[name])
                continue
            first, *more = [tuple(str(w).strip() for w in np.ravel(row)) for row in hdu.data[name][:100]]
            words = tuple(filter(None, re.split(r"[^\w.-]+", first[0]))) if len(first) == 1 else first
            if len(words) > 1 and all(row == first for row in more):
                found[f"the column {name}"] = words
    return found


class _ColumnWords(NamedTuple):
    """What a file says of a column besides its values."""

    unit: Any = None
    description: str | None = None
    ucd: str | None = None

    def label(self, values: Any, unit: Any) -> Column:
        """A column of these values with the words; the unit is the caller's."""
        meta = {"ucd": self.ucd} if self.ucd else None
        return Column(values, unit=unit, description=self.description, meta=meta)


def _read_column_words(header: fits.Header, columns: fits.ColDefs) -> dict[str, _ColumnWords]:
    """Units, descriptions (TCOMM, of STILTS, or TDESC) and UCDs of a FITS table's columns."""
    words = {}
    for place, column in enumerate(columns, start=1):
        described = header.get(f"TCOMM{place}") or header.get(f"TDESC{place}")
        ucd = header.get(f"TUCD{place}") or header.get(f"TBUCD{place}")
        words[column.name] = _ColumnWords(column.unit or None, described or None, ucd or None)
    return words


def _plain_column(values: Any, words: _ColumnWords) -> Column:
    """A native-endian copy of a column of a memory-mapped table; letters beyond ASCII are those of UTF-8 or Latin-1."""
    array = np.asarray(values)
    if array.dtype.kind == "S" and (np.frombuffer(array.tobytes(), np.uint8) > 127).any():
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            array = np.char.decode(array, "latin-1")
    return words.label(array.astype(array.dtype.newbyteorder("=")), words.unit)


def _open_ecsv(path: Path) -> Catalogue:
    head, skipped = [], 0
    with _open_text(path, "utf-8") as lines:
        for line in lines:
            head.append(line)
            skipped += 1
            if not line.startswith("#") and line.strip():
                break
        first = list(itertools.islice(lines, 20))
    if not first:
        raise SfhInputError(f"{path}: the table has no rows")
    seen = astropy_ascii.read("".join(head + first), format="ecsv")
    separator = "," if "," in head[-1] else " "
    kinds = {
        name: _ColumnWords(
            None if seen[name].dtype.kind in "SUO" else seen[name].unit,
            seen[name].description,
            seen[name].meta.get("ucd"),
        )
        for name in seen.colnames
    }
    text = {name: str for name in seen.colnames if seen[name].dtype.kind in "SUO"}

    def blocks(rows: int) -> Iterator[Table]:
        frames = pd.read_csv(
            path,
            sep=separator,
            skiprows=skipped,
            header=None,
            names=list(kinds),
            dtype=text,
            chunksize=rows,
            compression=_find_compression(path),
        )
        for frame in frames:
            yield _frame_to_table(frame, kinds)

    return Catalogue(path, "ecsv", tuple(kinds), None, (), blocks)


def _find_compression(path: Path) -> Literal["gzip"] | None:
    return "gzip" if is_compressed_stream(path) else None


def _open_text(path: Path, encoding: str) -> IO[str]:
    if _find_compression(path):
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _has_decimal_commas(lines: list[str], separator: str) -> bool:
    """Whether lines parted by something else have commas inside their numbers, and no points."""
    words = [word.strip('" \r\n') for line in lines for word in re.split(separator, line)]
    return (
        separator != "," and any(map(_DECIMAL_COMMA.fullmatch, words)) and not any(map(_DECIMAL_POINT.fullmatch, words))
    )


def _open_csv(path: Path) -> Catalogue:
    with _open_text(path, "utf-8-sig") as lines:
        first = [line for line in itertools.islice(lines, 2000) if line.strip()]
    top = [line for line in first if not line.startswith("#")]
    comments = [line.strip() for line in first if line.startswith("#")]
    if len(top) < 2 and not (top and comments):
        raise SfhInputError(f"{path}: the table has no rows below a line of column names")
    separator = next((s for s in (",", ";", "\t", "|") if s in top[0]), r"\s+")
    decimal = "," if _has_decimal_commas(top[1:], re.escape(separator) if len(separator) == 1 else separator) else "."
    names = next(csv.reader([top[0].strip()], delimiter=separator)) if len(separator) == 1 else top[0].split()
    names = [name.strip().strip('"') or f"col{k}" for k, name in enumerate(names, start=1)]  # pandas' index has none
    unnamed = 2 * sum(_is_number(name) for name in names) > len(names)
    if unnamed:
        names = _read_commented_names(comments, len(names), separator, path)
    elif len(top) < 2:
        raise SfhInputError(f"{path}: the table has no rows below a line of column names")

    def blocks(rows: int) -> Iterator[Table]:
        frames = pd.read_csv(
            path,
            sep=separator,
            decimal=decimal,
            compression=_find_compression(path),
            comment="#",
            header=None if unnamed else "infer",
            encoding="utf-8-sig",
            skipinitialspace=True,
            na_values=["--", "-", "INDEF"],
            chunksize=rows,
            low_memory=False,
        )
        for frame in frames:
            frame.columns = pd.Index(names)
            yield _frame_to_table(frame, {})

    return Catalogue(path, "csv", tuple(names), None, (), blocks)


def _read_commented_names(comments: list[str], n: int, separator: str, path: Path) -> list[str]:
    """The n names of a text whose first row is numbers: the last comment of n words, or SExtractor's numbered list."""
    numbered = [re.match(r"#\s*(\d+)\s+(\S+)", line) for line in comments]
    places = {int(found[1]): found[2] for found in numbered if found}
    if sorted(places) == list(range(1, n + 1)):
        return [places[k] for k in range(1, n + 1)]
    for line in reversed(comments):
        words = re.split(separator, line.lstrip("# \t").strip()) if separator != "|" else line.strip("# |").split("|")
        words = [word.strip().strip('"') for word in words]
        if len(words) == n and not any(map(_is_number, words)):
            return words
    raise SfhInputError(
        f"{path}: its first line holds numbers, and no comment names its {n} columns; write their names above "
        "(of SExtractor with vectors: FITS_LDAC)"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _frame_to_table(frame: pd.DataFrame, words: Mapping[str, _ColumnWords]) -> Table:
    columns = {}
    for name in frame.columns:
        values = frame[name]
        array = values.fillna("").to_numpy(dtype=str) if values.dtype.kind not in "biuf" else values.to_numpy()
        told = words.get(str(name), _ColumnWords())
        columns[str(name)] = told.label(array, told.unit)
    return Table(columns, copy=False)


def _open_votable(path: Path) -> Catalogue:
    whole = parse_single_table(path).to_table(use_names_over_ids=True)

    def blocks(rows: int) -> Iterator[Table]:
        for start in range(0, len(whole), rows):
            yield _drop_masks(whole[start : start + rows])

    widths = {name: whole[name].shape[1] for name in whole.colnames if whole[name].ndim == 2}
    return Catalogue(path, "votable", tuple(whole.colnames), len(whole), (), blocks, widths)


def _drop_masks(table: Table) -> Table:
    """Masked floats become NaN; other masked values what their column's fill value is."""
    for name in table.colnames:
        column = table[name]
        if isinstance(column, MaskedColumn):
            table[name] = column.filled(np.nan) if column.dtype.kind == "f" else column.filled()
        if table[name].dtype.kind == "O":
            column = table[name]
            texts = [str(v) for v in column]
            table[name] = Column(texts, unit=None, description=column.description, meta=column.meta)
    return table
