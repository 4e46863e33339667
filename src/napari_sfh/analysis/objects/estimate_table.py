"""A table that ``napari-sfh estimate`` has written: quantities with intervals, numbers, places on the sky."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table, vstack

from napari_sfh.analysis.bin_properties import ScalarEstimate
from napari_sfh.errors import SfhInputError
from napari_sfh.io.fits_access import READ_ERRORS
from napari_sfh.io.objects.blocks import FORMATS, open_catalogue
from napari_sfh.types import F64

#: What stands behind the name of a quantity in the columns of its interval.
_LOW, _HIGH = "_P16", "_P84"
#: Ending of our columns where the catalogue has one of the same name.
_OURS = "_SFH"
#: Names of columns that name an object, in the order in which they are looked for.
IDENTIFIERS = ("id", "name", "object", "source_id", "objid", "number", "file")
#: Names of columns of right ascension and declination in degrees, in the order in which they are looked for.
_PLACES = (("ra", "dec"), ("raj2000", "dej2000"), ("alpha_j2000", "delta_j2000"), ("ra_deg", "dec_deg"))


@dataclass(frozen=True)
class EstimateTable:
    """Rows with what the weights say of them.

    Attributes
    ----------
    path : Path
    table : Table
        All columns.
    quantities : dict
        Key of `physics.quantities.QUANTITIES` to the column of its median; ``_P16`` and ``_P84`` stand beside it.
    """

    path: Path
    table: Table
    quantities: dict[str, str]
    meta: dict[str, str] = field(default_factory=dict)  # what the file says of the run: MODEL, MODELSHA, ...

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.table)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Columns of single numbers: our quantities first."""
        plain = [n for n in self.table.colnames if self.table[n].dtype.kind in "fiu" and self.table[n].ndim == 1]
        first = list(self.quantities.values())
        return (*first, *(name for name in plain if name not in first))

    def read_numbers(self, column: str) -> F64:
        """A column as float64, (N,); NaN where it is masked."""
        return np.asarray(np.ma.filled(np.ma.asarray(self.table[column]).astype(float), np.nan))

    def find_own(self, name: str) -> str:
        """The column of ``SNR``, ``OOD`` or ``FLAG`` that was added to the catalogue; empty if there is none."""
        return next((found for found in (f"{name}{_OURS}", name) if found in self.table.colnames), "")

    @cached_property
    def name_column(self) -> str:
        """The column by which the catalogue names its objects; empty if there is none."""
        by_name = {name.lower(): name for name in reversed(self.table.colnames)}
        texts = [n for n in self.table.colnames if self.table[n].dtype.kind in "SUO" and self.table[n].ndim == 1]
        named = (by_name[name] for name in IDENTIFIERS if name in by_name and self.table[by_name[name]].ndim == 1)
        return next(named, next(iter(texts), ""))

    def name_row(self, row: int) -> str:
        """How the catalogue calls a row (0..N-1); without a name its number, from 1."""
        value = self.table[self.name_column][row] if self.name_column else np.ma.masked
        text = "" if value is np.ma.masked else value.decode() if isinstance(value, bytes) else str(value)
        return text.strip() or f"row {row + 1}"

    def list_estimates(self, row: int) -> tuple[ScalarEstimate, ...]:
        """What was estimated of a row (0..N-1)."""
        return tuple(
            ScalarEstimate(key, *(float(values[row]) for values in self._intervals[key])) for key in self.quantities
        )

    @cached_property
    def _intervals(self) -> dict[str, tuple[F64, F64, F64]]:
        return {
            key: (
                self.read_numbers(name),
                self.read_numbers(_name_interval(name, _LOW)),
                self.read_numbers(_name_interval(name, _HIGH)),
            )
            for key, name in self.quantities.items()
        }

    @cached_property
    def places_deg(self) -> F64 | None:
        """Right ascension and declination of the rows in degrees, (N, 2); None where no columns hold them."""
        by_name = {name.lower(): name for name in self.table.colnames}
        for pair in _PLACES:
            if all(name in by_name for name in pair):
                columns = [self.table[by_name[name]] for name in pair]
                if all(column.dtype.kind in "fiu" and column.unit in (None, u.deg) for column in columns):
                    return np.column_stack([self.read_numbers(by_name[name]) for name in pair])
        return None


def _name_interval(column: str, end: str) -> str:
    """``LG_AGE_SFH`` has its interval in ``LG_AGE_P16_SFH`` only where that name was taken, too."""
    return f"{column.removesuffix(_OURS)}{end}"


def _find_quantities(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        if all(_name_interval(name, end) in names for end in (_LOW, _HIGH)) and name.upper() == name:
            found[name.removesuffix(_OURS).lower()] = name
    return found


def holds_estimates(path: Path) -> bool:
    """Whether a file is a table with estimates, by its columns alone."""
    if path.suffix.lower() not in (".fits", ".fit", *FORMATS) or not path.is_file():
        return False
    try:
        names = open_catalogue(path).names
    except SfhInputError:
        return False
    return bool(_find_quantities(names)) and any(name.removesuffix(_OURS) == "OOD" for name in names)


def read_estimates(path: Path | str) -> EstimateTable:
    """Read a table that ``napari-sfh estimate`` has written.

    Raises
    ------
    SfhInputError
        It holds no estimates, or cannot be read.
    """
    path = Path(path)
    catalogue = open_catalogue(path)
    quantities = _find_quantities(catalogue.names)
    if not quantities:
        raise SfhInputError(
            f"{path}: no column has its _P16 and _P84 beside it; open a table that `napari-sfh estimate` has written"
        )
    table = vstack(list(catalogue.read_blocks()), metadata_conflicts="silent")
    quantities = {key: name for key, name in quantities.items() if table[name].ndim == 1}
    return EstimateTable(path, table, quantities, _read_meta(path))


def _read_meta(path: Path) -> dict[str, str]:
    """What the file says of the run that made it."""
    try:
        if path.suffix.lower() == ".ecsv":
            with path.open(encoding="utf-8") as lines:
                head = "".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
            return {key: value.strip() for key, value in re.findall(r"\b([A-Z]{3,8}) = ([^,\]'\n]*)", head)}
        if path.suffix.lower() in (".fits", ".fit"):
            from astropy.io import fits

            header: Any = fits.getheader(path, 1)
            return {key: str(header[key]) for key in header if key and not key.startswith(("T", "NAXIS", "COMMENT"))}
    except READ_ERRORS:
        return {}
    return {}
