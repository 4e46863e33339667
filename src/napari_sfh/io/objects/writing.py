"""Tables written in blocks of rows, in the format that the file's name asks for, whole or not at all.

FITS and text are appended to block by block. The columns' types are those of the first block; strings of later blocks
may be as long as `TEXT_WIDTH`. A VOTable is collected and written at the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import Table, vstack

from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.objects.blocks import catalogue_format
from napari_sfh.io.result_hdus import escape_to_ascii

#: Least width of a text column in a FITS table, characters.
TEXT_WIDTH = 32
_FITS_BLOCK = 2880
#: Endings of names that are read as tables, and that none is written with.
UNCLEAR_SUFFIXES = (".txt", ".dat")


class CatalogueWriter:
    """A context that takes blocks of one table and leaves a file.

    Parameters
    ----------
    path : path
        Its ending decides the format: ``.fits``, ``.ecsv``, ``.csv``, ``.tsv`` or ``.vot``.
    meta : mapping, optional
        Header cards of FITS (key to value or (value, comment)), the comment of ECSV; others keep none.
    name : str
        EXTNAME of the table in FITS.

    Raises
    ------
    SfhInputError
        The name promises no format that is written: ``.txt`` and ``.dat`` may be anything.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "out.ecsv"
    >>> with CatalogueWriter(path) as out:
    ...     out.append(Table({"id": [1, 2]}))
    ...     out.append(Table({"id": [3]}))
    >>> len(Table.read(path))
    3
    """

    def __init__(self, path: str | Path, meta: Mapping[str, Any] | None = None, name: str = "ESTIMATES") -> None:
        self.path = Path(path).expanduser()
        self.format = catalogue_format(self.path)
        if self.path.suffix.lower() in UNCLEAR_SUFFIXES:
            raise SfhInputError(
                f"{self.path}: {self.path.suffix} is no format of tables; end in .fits, .ecsv, .csv, .tsv or .vot"
            )
        self._delimiter = "\t" if self.path.suffix.lower() == ".tsv" else ","
        self.meta, self.name = dict(meta or {}), name
        self.n_rows = 0
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._kept: list[Table] = []
        self._count_at = 0

    def __enter__(self) -> CatalogueWriter:
        part = self._stack.enter_context(write_atomically(self.path))
        self._file = self._stack.enter_context(part.open("r+b"))
        self._stack.push(self._finish)  # within the block of the part, which names what fails
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, table: Table) -> None:
        """Add rows.

        Raises
        ------
        SfhInputError
            A text is longer than the column that holds it.
        """
        table = self._as_first(table)
        if self.format == "votable":
            self._kept.append(table)
        elif self.format == "fits":
            self._append_fits(table)
        else:
            self._append_text(table)
        self.n_rows += len(table)

    def _as_first(self, table: Table) -> Table:
        """The block with the first block's types, and in FITS with what its texts can hold."""
        if self.format == "fits":
            table = _escape_texts(table)
        if not self._dtypes:
            for name in table.colnames:
                kind = table[name].dtype
                if kind.kind == "U" and self.format == "fits":
                    kind = np.dtype(f"U{max(kind.itemsize // 4, TEXT_WIDTH)}")
                self._dtypes[name] = kind
        out = table.copy(copy_data=False)
        for name, kind in self._dtypes.items():
            if out[name].dtype == kind or (kind.kind in "UO" and self.format != "fits"):
                continue
            if kind.kind == "U" and out[name].dtype.itemsize > kind.itemsize:
                raise SfhInputError(
                    f"{self.path}: column {name!r} holds texts longer than {kind.itemsize // 4} characters further "
                    "down; write .csv or .ecsv"
                )
            out[name] = out[name].astype(kind)
        return out

    def _append_fits(self, table: Table) -> None:
        buffer = io.BytesIO()
        hdu = fits.table_to_hdu(table)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
        buffer.seek(0)
        content = buffer.getvalue()
        with fits.open(buffer) as hdus:
            start, length = hdus[1].fileinfo()["datLoc"], hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
        if not self.n_rows and not self._count_at:
            header = hdu.header.copy()
            header["EXTNAME"] = self.name
            _describe_columns(header, table)
            for key, value in self.meta.items():
                parts = value if isinstance(value, tuple) else (value,)
                header[key] = tuple(escape_to_ascii(part) if isinstance(part, str) else part for part in parts)
            text = header.tostring().encode("ascii")
            first = fits.PrimaryHDU()
            first.header["CREATOR"] = ("napari-sfh", "this program wrote the file")
            primary = first.header.tostring().encode("ascii")
            self._count_at = len(primary) + text.index(b"NAXIS2  =")
            self._file.write(primary + text)
        self._file.write(content[start : start + length])

    def _append_text(self, table: Table) -> None:
        text = io.StringIO()
        if self.format == "ecsv" and not self.n_rows:
            table.meta = {"comments": [f"{k} = {_plain_value(v)}" for k, v in self.meta.items()]}
        else:
            table.meta = {}
        name = "ascii.ecsv" if self.format == "ecsv" else "ascii.csv"
        table.write(text, format=name, delimiter=self._delimiter)
        lines = text.getvalue().splitlines(keepends=True)
        if self.n_rows:
            head = next(k for k, line in enumerate(lines) if not (self.format == "ecsv" and line.startswith("#")))
            lines = lines[head + 1 :]
        self._file.write("".join(lines).encode("utf-8"))

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self.format == "fits" and self._count_at:
            self._file.write(b"\0" * (-self._file.tell() % _FITS_BLOCK))
            self._file.seek(self._count_at)
            self._file.write(f"NAXIS2  = {self.n_rows:>20}".encode("ascii"))
            self._file.seek(0, os.SEEK_END)
        elif self.format == "votable" and self._kept:
            whole = vstack(self._kept, metadata_conflicts="silent")
            writeto(from_table(whole), self._file)
        self._file.flush()


def _describe_columns(header: fits.Header, table: Table) -> None:
    """Words and UCDs of the columns as cards, which `astropy.io.fits` leaves out."""
    for place, column in enumerate(table.columns.values(), start=1):
        for card, text in (("TCOMM", column.description), ("TUCD", column.meta.get("ucd"))):
            if text:
                header.set(f"{card}{place}", escape_to_ascii(" ".join(str(text).split())), after=f"TFORM{place}")


def _plain_value(value: Any) -> str:
    """A card's value without its comment."""
    return str(value[0] if isinstance(value, tuple) else value)


def _escape_texts(table: Table) -> Table:
    """The table with names and texts in ASCII."""
    out = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind == "U" and not all(str(v).isascii() for v in table[name]):
            out[name] = [escape_to_ascii(str(v)) for v in table[name]]
        plain = re.sub(r":\s+(?=[-+.\d])", "_", escape_to_ascii(name))  # astropy takes a name `x: 0` for x of a card
        if plain != name:
            out.rename_column(name, plain)
    return out
