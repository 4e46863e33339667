"""Instruments by name, from TOML files and from the metadata of weights; their filters.

See `instruments.instrument` for the keys. Every value is checked where it is read, and an error names the key and the
remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import Kind, LineSpread
from napari_sfh.physics.filters import Filter, make_trapezoid_filter
from napari_sfh.physics.wavelength import vacuum_to_air

#: The instrument of weights and results that name none.
DEFAULT_INSTRUMENT = "muse-hst"
_LSF_VALUE = {"constant_fwhm_aa": "fwhm_aa", "constant_r": "r"}


def list_instruments() -> dict[str, Path]:
    """Shipped instruments: name to TOML file, the default first."""
    folder = Path(str(resources.files("napari_sfh.instruments")))
    found = {p.stem: p for p in sorted(folder.glob("*.toml"))}
    return {DEFAULT_INSTRUMENT: found.pop(DEFAULT_INSTRUMENT), **found}


def load_instrument(name_or_path: str | Path = DEFAULT_INSTRUMENT) -> Instrument:
    """An instrument by its name (`list_instruments`) or from a TOML file.

    Raises
    ------
    SfhInputError
        No such instrument; no TOML; a key that is unknown, missing, of the wrong type or out of range.

    Examples
    --------
    >>> load_instrument("muse-hst").grid.sigma_kms
    150.0
    """
    if str(name_or_path) == DEFAULT_INSTRUMENT:
        return _load_default()
    shipped = list_instruments()
    return _read_instrument(shipped.get(str(name_or_path)) or Path(name_or_path).expanduser(), shipped)


@cache
def _load_default() -> Instrument:
    shipped = list_instruments()
    return _read_instrument(shipped[DEFAULT_INSTRUMENT], shipped)


def _read_instrument(path: Path, shipped: Mapping[str, Path]) -> Instrument:
    if not path.is_file():
        raise SfhInputError(
            f"instrument: {str(path)!r} is neither a file nor one of {', '.join(shipped)}; "
            "name one of these or a TOML file"
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SfhInputError(f"{path}: not readable as TOML ({error}); correct the file") from error
    return instrument_from_json(values, str(path), path.parent)


def instrument_from_json(
    values: Mapping[str, Any], where: str = "instrument", folder: Path | None = None
) -> Instrument:
    """An instrument from the sections of its TOML file, or from what `Instrument.to_json` gave.

    Parameters
    ----------
    values : mapping
    where : str
        Name of the source in messages.
    folder : Path, optional
        Folder to which file names of curves and LSF tables are relative; without it files are not read.

    Raises
    ------
    SfhInputError
        See `load_instrument`.
    """
    section = _Section(values, where)
    name = section.text("name")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise SfhInputError(f"{where}: name = {name!r}; use letters, digits, '.', '_' and '-' only")
    summary = section.text("summary", "")
    spectrum = section.part("spectrum")
    photometry, redshift = section.part("photometry"), section.part("redshift")
    rows = section.take("band", list, [])
    section.finish()
    bands = tuple(_read_band(_Section(row, f"{where}: [[band]] {k + 1}"), folder) for k, row in enumerate(rows))
    norm = photometry.text("norm", "spectrum" if spectrum else "median")
    largest = redshift.number("max", 0.01)
    photometry.finish()
    redshift.finish()
    grid = _read_spectrum(spectrum, folder) if spectrum else None
    try:
        return Instrument(name, grid, bands, norm, largest, summary)
    except SfhInputError as error:
        raise SfhInputError(f"{where}: {error}") from error


class _Section:
    """One table of a TOML file: keys are taken with their types; what is left over is unknown."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise SfhInputError(f"{where}: must be a table of keys, not {type(values).__name__}")
        self.values, self.where = dict(values), where
        self.known: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.values)

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        self.known.append(key)
        if key not in self.values:
            if default is None:
                raise SfhInputError(f"{self.where}: {key} is missing; add it")
            return default
        value = self.values.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = kind.__name__ if isinstance(kind, type) else "number"
            raise SfhInputError(f"{self.where}: {key} = {value!r} must be a {wanted}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self.take(key, str, default))

    def number(self, key: str, default: float | None = None) -> float:
        value = float(self.take(key, (int, float), default))
        if not np.isfinite(value):
            raise SfhInputError(f"{self.where}: {key} = {value} must be finite")
        return value

    def rows(self, key: str, default: list[Any] | None = None) -> tuple[tuple[float, float], ...]:
        try:
            rows = np.asarray(self.take(key, list, default), dtype=np.float64).reshape(-1, 2)
        except ValueError as error:
            raise SfhInputError(f"{self.where}: {key} must be rows of two numbers ({error})") from error
        return tuple((float(a), float(b)) for a, b in rows)

    def part(self, key: str) -> _Section:
        return _Section(self.take(key, dict, {}), f"{self.where}: [{key}]")

    def finish(self) -> None:
        if self.values:
            raise SfhInputError(
                f"{self.where}: unknown key {sorted(self.values)[0]!r}; known are {', '.join(sorted(self.known))}"
            )


def _read_spectrum(section: _Section, folder: Path | None) -> SpectrumGrid:
    values = {k: section.number(k) for k in ("first_aa", "last_aa")}
    values |= {k: section.number(k, default) for k, default in (("step_aa", 0.0), ("log_step", 0.0))}
    values["sigma_kms"] = section.number("sigma_kms", 150.0)
    medium = section.text("medium", "air")
    if medium not in ("air", "vacuum"):
        raise SfhInputError(f"{section.where}: medium = {medium!r}; choose air or vacuum")
    window = section.rows("norm_window_aa")
    if len(window) != 1:
        raise SfhInputError(f"{section.where}: norm_window_aa must be [lo, hi] in Angstrom")
    lsf = section.part("lsf")
    section.finish()
    spread = _read_line_spread(lsf, folder)
    try:
        return SpectrumGrid(
            **values, norm_window_aa=window[0], lsf=spread, medium=cast(Literal["air", "vacuum"], medium)
        )
    except SfhInputError as error:
        raise SfhInputError(f"{section.where.removesuffix(': [spectrum]')}: {error}") from error


def _read_line_spread(section: _Section, folder: Path | None) -> LineSpread:
    kind = section.text("kind")
    if kind not in get_args(Kind):
        raise SfhInputError(f"{section.where}: kind = {kind!r}; choose from {', '.join(get_args(Kind))}")
    value = section.number(_LSF_VALUE[kind]) if kind in _LSF_VALUE else 0.0
    table: tuple[tuple[float, float], ...] = ()
    if kind == "table":
        table, file = section.rows("table", []), section.text("file", "")
        if bool(table) == bool(file):
            raise SfhInputError(f"{section.where}: kind = 'table' needs file, or table; give one of them")
        if file:
            table = LineSpread.from_file((folder or Path()) / file).table
    section.finish()
    try:
        return LineSpread(cast(Kind, kind), value, table)
    except SfhInputError as error:
        raise SfhInputError(f"{section.where}: {error}") from error


def _read_band(section: _Section, folder: Path | None) -> Band:
    name, curve = section.text("name"), section.text("curve", "")
    centre, fwhm, edge = (section.number(key, 0.0) for key in ("centre_aa", "fwhm_aa", "edge_aa"))
    table, medium = section.rows("table", []), section.text("medium", "air")
    substitute, pivot = section.text("substitute", ""), section.number("pivot_aa", 0.0)
    section.finish()
    if medium not in ("air", "vacuum"):
        raise SfhInputError(f"{section.where}: medium = {medium!r}; choose air or vacuum")
    if not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
        raise SfhInputError(f"{section.where}: name = {name!r}; use letters, digits, '.', '_', '+' and '-' only")
    if curve and not table and folder is not None and (folder / curve).is_file():
        table = _read_curve(folder / curve, medium)
    try:
        return Band(name, curve, centre, fwhm, edge, table, substitute, pivot)
    except SfhInputError as error:
        raise SfhInputError(f"{section.where}: {error}") from error


def _read_curve(path: Path, medium: str) -> tuple[tuple[float, float], ...]:
    """A file of two columns, wavelength in Angstrom and throughput; wavelengths are converted to air."""
    try:
        rows = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise SfhInputError(f"{path}: no table of wavelength and throughput ({error}); correct the file") from error
    if rows.shape[1] < 2:
        raise SfhInputError(f"{path}: one column; a curve needs wavelength in Angstrom and throughput")
    wave = vacuum_to_air(rows[:, 0]) if medium == "vacuum" else rows[:, 0]
    checked = Filter.from_curve(path.stem, "", wave, rows[:, 1])
    return tuple((float(a), float(b)) for a, b in zip(checked.wave_aa, checked.throughput))


def make_band_filters(instrument: Instrument, known: Mapping[str, Filter] | None = None) -> tuple[Filter, ...]:
    """The curves of an instrument's bands, in order.

    Parameters
    ----------
    instrument : Instrument
    known : mapping, optional
        Filters by the names that ``curve`` gives, such as ``F555W UVIS``.

    Raises
    ------
    SfhInputError
        A curve is not known.
    """
    known = known or {}
    filters = []
    for band in instrument.bands:
        if band.table:
            wave, throughput = np.asarray(band.table).T
            filters.append(Filter.from_curve(band.name, instrument.name, wave, throughput))
        elif not band.curve:
            shape = (band.centre_aa, band.fwhm_aa, band.edge_aa)
            filters.append(make_trapezoid_filter(band.name, instrument.name, *shape))
        elif band.curve in known:
            filters.append(known[band.curve])
        else:
            raise SfhInputError(
                f"instrument {instrument.name}: band {band.name}: curve {band.curve!r} is no file and no known filter "
                f"({', '.join(sorted(known)) or 'none is at hand'}); give a file of wavelength and throughput"
            )
    return tuple(filters)
