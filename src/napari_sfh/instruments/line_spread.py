"""Line-spread functions (LSF): the FWHM of an unresolved line against wavelength, for each kind of instrument.

Wavelengths are observed, in air, in Angstrom. The pixel is part of the LSF: measured widths are those of lines on the
data's own pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F64
from napari_sfh.errors import SfhInputError

Kind = Literal["muse", "constant_fwhm_aa", "constant_r", "table"]
#: Share of the data's wavelengths that a table must cover for nothing to be said.
_TABLE_REACH = 0.9
#: Width of two pixels over a FWHM from which on they cannot hold it.
_MOST_PAIR = 1.3
#: FWHM in Angstrom and resolving powers that a spectrograph may have, from narrow bands to a laser comb.
WIDTHS: dict[str, tuple[float, float]] = {"constant_fwhm_aa": (1e-3, 1000.0), "constant_r": (5.0, 1e8)}
#: Names of columns that hold something else than wavelengths and FWHM in Angstrom.
_OTHER_WIDTHS = re.compile(
    r"sig(ma)?(?![a-z])|kms|km|velocity|dispersion|(?<![a-z])(r|nm|um|micron|power|resolution)(?![a-z])", re.IGNORECASE
)
#: What a file calls them.
_KEYS = {"constant_fwhm_aa": "fwhm_aa", "constant_r": "r"}


@dataclass(frozen=True)
class LineSpread:
    """The line-spread function of an instrument or of a data set.

    Parameters
    ----------
    kind : str
        ``muse`` (the polynomial of Bacon et al. 2017, A&A 608, A1, equation 8), ``constant_fwhm_aa``, ``constant_r``
        (resolving power lambda / FWHM) or ``table``.
    value : float
        FWHM in Angstrom, or the resolving power; unused by the other kinds.
    table : tuple of (wavelength in Angstrom, FWHM in Angstrom) pairs
        Linear between its rows, constant beyond them.

    Examples
    --------
    >>> LineSpread("constant_r", 2000.0).fwhm_aa(5000.0)
    array(2.5)
    """

    kind: Kind
    value: float = 0.0
    table: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind in ("constant_fwhm_aa", "constant_r") and not (np.isfinite(self.value) and self.value > 0):
            raise SfhInputError(f"lsf: {_KEYS[self.kind]} = {self.value} must be a number above 0")
        low, high = WIDTHS.get(self.kind, (0.0, np.inf))
        if not low <= self.value <= high:
            raise SfhInputError(
                f"lsf: {_KEYS[self.kind]} = {self.value:g} lies outside {low:g} to {high:g}; "
                "give the FWHM in Angstrom, or R"
            )
        if self.kind == "table":
            rows = np.asarray(self.table, dtype=np.float64)
            if rows.ndim != 2 or rows.shape[0] < 2 or not np.isfinite(rows).all():
                raise SfhInputError("lsf: the table needs at least two rows of wavelength and FWHM in Angstrom")
            if np.any(np.diff(rows[:, 0]) <= 0) or np.any(rows[:, 1] <= 0):
                raise SfhInputError("lsf: the table's wavelengths must increase and its FWHM be above 0 Angstrom")
            if np.any(rows[:, 1] * WIDTHS["constant_r"][0] > rows[:, 0]):
                raise SfhInputError(
                    f"lsf: a FWHM of {rows[:, 1].max():g} Angstrom in the table is no resolution of a spectrograph; "
                    "give wavelengths and FWHM in Angstrom, no R and no nm"
                )

    def fwhm_aa(self, wave_aa: NDArray[np.floating] | float) -> F64:
        """FWHM in Angstrom at observed air wavelengths, the shape of ``wave_aa``."""
        wave = np.asarray(wave_aa, dtype=np.float64)
        if self.kind == "muse":
            return 5.866e-8 * wave**2 - 9.187e-4 * wave + 6.040
        if self.kind == "constant_fwhm_aa":
            return np.full_like(wave, self.value)
        if self.kind == "constant_r":
            return wave / self.value
        at, fwhm = self._columns
        return np.interp(wave, at, fwhm)

    @cached_property
    def _columns(self) -> tuple[F64, F64]:
        rows = np.asarray(self.table, dtype=np.float64)
        return rows[:, 0], rows[:, 1]

    def describe_reach(self, wave_aa: NDArray[np.floating]) -> str:
        """What is said of a table that does not cover observed wavelengths (n,); nothing where it does.

        Raises
        ------
        SfhInputError
            It covers none of them.
        """
        if self.kind != "table":
            return ""
        low, high = self._columns[0][[0, -1]]
        covered = float(((wave_aa >= low) & (wave_aa <= high)).mean())
        data = f"{wave_aa[0]:.0f}-{wave_aa[-1]:.0f} A"
        reach = f"the line-spread function is given at {low:g}-{high:g} A, the data lie at {data}"
        if covered == 0:
            raise SfhInputError(f"`lsf`: {reach}; give wavelengths and FWHM in Angstrom")
        return "" if covered >= _TABLE_REACH else f"{reach}: its ends are taken beyond them"

    def to_json(self) -> dict[str, Any]:
        """Plain values: the ``[spectrum.lsf]`` section, its table written out."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.kind == "constant_fwhm_aa":
            out["fwhm_aa"] = self.value
        if self.kind == "constant_r":
            out["r"] = self.value
        if self.kind == "table":
            out["table"] = [list(row) for row in self.table]
        return out

    def describe(self) -> str:
        """In words, for listings and notes."""
        if self.kind == "muse":
            return "MUSE (Bacon et al. 2017)"
        if self.kind == "constant_fwhm_aa":
            return f"FWHM {self.value:g} AA"
        if self.kind == "constant_r":
            return f"R = {self.value:g}"
        return f"table, FWHM {self._columns[1].min():.2f}-{self._columns[1].max():.2f} AA"

    @classmethod
    def from_text(cls, text: str | Path) -> LineSpread:
        """A FWHM in Angstrom, or the name of a file for `from_file`: what a user gives as the LSF of data.

        Raises
        ------
        SfhInputError
            Neither a FWHM above 0 nor a readable table.
        """
        try:
            fwhm_aa = float(str(text))
        except ValueError:
            return cls.from_file(text)
        return cls("constant_fwhm_aa", fwhm_aa)

    @classmethod
    def from_file(cls, path: str | Path) -> LineSpread:
        """A table of two columns, wavelength and FWHM in Angstrom; ``#`` begins a comment, and names may stand above.

        Raises
        ------
        SfhInputError
            No such file, no two columns of numbers, or names of columns that say another quantity or unit.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
            names = _find_column_names(lines)
            separator = "," if Path(path).suffix == ".csv" else None
            rows = np.loadtxt(lines[_count_head_lines(lines) :], delimiter=separator, ndmin=2)
        except UnicodeDecodeError as error:
            raise SfhInputError(f"{path}: is no text; write wavelength and FWHM in Angstrom as text") from error
        except (OSError, ValueError) as error:
            raise SfhInputError(f"{path}: no table of wavelength and FWHM in Angstrom ({error})") from error
        if names[1:] and (other := _OTHER_WIDTHS.search(" ".join(names))):
            raise SfhInputError(
                f"{path}: the columns {', '.join(names)} are no wavelength and FWHM in Angstrom by their names "
                f"({other.group().strip('_([ ')}); convert them: FWHM = 2.355 sigma = wavelength / R = wavelength x "
                "(FWHM in km/s) / 299792"
            )
        if rows.shape[1] < 2:
            raise SfhInputError(f"{path}: one column; the LSF needs wavelength and FWHM in Angstrom")
        return cls("table", table=tuple((float(a), float(b)) for a, b in rows[:, :2]))


def _count_head_lines(lines: Sequence[str]) -> int:
    """Lines before the first that begins with a number."""
    return next((k for k, line in enumerate(lines) if re.match(r"\s*[-+.]?\d", line)), 0)


def _find_column_names(lines: Sequence[str]) -> list[str]:
    """Words of the last line above the numbers where there is one for each column, else none."""
    head = _count_head_lines(lines)
    if head == 0:
        return []
    names, numbers = (re.split(r"[,;\s]+", line.strip("#%! ")) for line in (lines[head - 1], lines[head].strip()))
    return names if len(names) == len(numbers) else []


#: The LSF of MUSE.
MUSE_LSF = LineSpread("muse")


def find_line_spread(instrument: str) -> LineSpread | None:
    """The LSF of the instrument that a header names (``INSTRUME``), None where it is not known."""
    return MUSE_LSF if "MUSE" in instrument.upper() else None


def guess_line_spread(wave_aa: NDArray[np.floating], own: LineSpread) -> tuple[LineSpread | None, str]:
    """What to take for the line-spread function of spectra that do not tell it, and in words.

    Parameters
    ----------
    wave_aa : array (W,)
        Of their pixels.
    own : LineSpread
        That of the weights, which is taken (None) unless pixels are too wide for it: two of them then.

    Returns
    -------
    LineSpread or None, str

    Examples
    --------
    >>> muse = LineSpread("muse")
    >>> guess_line_spread(np.arange(4800.0, 7000.0, 1.25), muse)[0] is None
    True
    >>> guess_line_spread(np.arange(4800.0, 7000.0, 3.0), muse)[0].value
    6.0
    """
    wave = np.asarray(wave_aa, dtype=np.float64)
    pair, narrowest = 2 * float(np.median(np.diff(wave))), float(np.median(own.fwhm_aa(wave)))
    if pair <= _MOST_PAIR * narrowest:
        return None, f"{own.describe()}, the weights' own"
    return LineSpread("constant_fwhm_aa", pair), f"{pair:.3g} A, two of their pixels"
