"""Instruments by name, from TOML files and from the metadata of weights; their filters.

See `instruments.instrument` for the keys. Every value is checked where it is read, and an error names the key and the
remedy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import Kind, LineSpread
from napari_sfh.physics.filters import Filter, make_trapezoid_filter
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.sections import make_section_field, parse_toml, read_section, read_toml_text

#: The instrument of weights and results that name none.
DEFAULT_INSTRUMENT = "muse-hst"
#: Ending of an instrument's file.
INSTRUMENT_SUFFIX = ".toml"
#: Cameras whose filters a training finds by ``NAME CAMERA`` (`training.libraries.filter_curves`).
FILTER_CAMERAS = ("UVIS", "IR", "ACS", "NIRCAM", "NIRISS", "MIRI", "SDSS", "PS1", "GALEX", "2MASS", "WISE")
#: Keys of which a kind of line-spread function takes one.
_LSF_KEYS: Mapping[Kind, tuple[str, ...]] = {
    "muse": (),
    "constant_fwhm_aa": ("fwhm_aa",),
    "constant_r": ("r",),
    "table": ("table", "file"),
}


def list_instruments() -> dict[str, Path]:
    """Shipped instruments: name to TOML file, the default first."""
    folder = Path(str(resources.files("napari_sfh.instruments")))
    found = {p.stem: p for p in sorted(folder.glob("*.toml"))}
    return {DEFAULT_INSTRUMENT: found.pop(DEFAULT_INSTRUMENT), **found}


@check_arguments
def load_instrument(name_or_path: str | Path = DEFAULT_INSTRUMENT) -> Instrument:
    """An instrument by its name (`list_instruments`) or from a TOML file.

    A file that names another instrument as ``base`` states only what differs: whole keys and sections.

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
    values = parse_toml(read_toml_text(path), str(path))
    if (base := values.pop("base", None)) is None:
        instrument = instrument_from_json(values, str(path), path.parent)
        _check_plausible(instrument, path, shipped)
        return instrument
    if not isinstance(base, str) or base not in shipped or shipped[base] == path:
        others = ", ".join(name for name, file in shipped.items() if file != path)
        raise SfhInputError(f"{path}: base = {base!r}; choose from {others}")
    common = parse_toml(read_toml_text(shipped[base]), str(shipped[base]))
    instrument = instrument_from_json(_join_tables(common, values), str(path), path.parent)
    _check_plausible(instrument, path, shipped)
    return instrument


def _join_tables(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of both, of sections too; those of ``above`` count. A line-spread function and the bands come as a whole."""
    out = {**below, **above}
    for name in ("spectrum", "photometry", "redshift"):
        old, new = below.get(name), above.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            steps = {"step_aa", "log_step"}
            out[name] = {k: v for k, v in old.items() if k not in steps or not steps & {*new}} | dict(new)
    return out


def _check_plausible(instrument: Instrument, path: Path, shipped: Mapping[str, Path]) -> None:
    """Refuse what can only be a slip in a file; weights that were trained with it before still open."""
    own = shipped.get(instrument.name)
    if own is not None and own != path and instrument != load_instrument(instrument.name):
        raise SfhInputError(
            f"{path}: name = {instrument.name!r} is that of the shipped {own.name}, which differs; give another name"
        )
    if instrument.spectrum is not None:
        _check_grid(instrument.spectrum, path)
    for band in instrument.bands:
        if band.centre_aa and not _BAND_AA[0] < band.centre_aa < _BAND_AA[1]:
            raise SfhInputError(
                f"{path}: [[band]] {band.name}: centre_aa = {band.centre_aa:g} Angstrom is no band of stars: is it in "
                "nm or micrometres? Write it in Angstrom"
            )
        _check_filter_names(band, path)
        if band.pivot_aa and not _BAND_AA[0] < band.pivot_aa < _BAND_AA[1]:
            raise SfhInputError(
                f"{path}: [[band]] {band.name}: pivot_aa = {band.pivot_aa:g} Angstrom is no band of stars: is it in nm "
                "or micrometres? Write it in Angstrom"
            )
        begin = band.centre_aa - (band.fwhm_aa + band.edge_aa) / 2
        if band.centre_aa and begin < _BAND_AA[0]:
            raise SfhInputError(
                f"{path}: [[band]] {band.name}: fwhm_aa = {band.fwhm_aa:g} about {band.centre_aa:g} Angstrom begins at "
                f"{begin:g}: no light of stars; correct centre_aa or fwhm_aa"
            )


def _check_filter_names(band: Band, path: Path) -> None:
    """Refuse a curve, or what stands in for it, that is neither a file nor a filter of a known camera."""
    named = {"curve": "" if band.table else band.curve, "substitute": band.substitute}
    for key, text in named.items():
        if text and not re.fullmatch(rf"\S+ ({'|'.join(FILTER_CAMERAS)})", text):
            raise SfhInputError(
                f"{path}: [[band]] {band.name}: {key} = {text!r} is no file beside it and no known filter; give NAME "
                f"CAMERA with a camera of {', '.join(FILTER_CAMERAS)}, or a file of two columns"
            )


def _check_grid(grid: SpectrumGrid, path: Path) -> None:
    """Refuse wavelengths that are no Angstrom, and a line-spread function that is no spectrograph's or too short."""
    first, last = float(grid.wave_aa[0]), float(grid.wave_aa[-1])
    if first < _BAND_AA[0] or last > _BAND_AA[1]:
        raise SfhInputError(
            f"{path}: [spectrum]: a grid of {first:g}-{last:g} Angstrom is no light of stars: are first_aa and "
            "last_aa in nm or micrometres? Write them in Angstrom"
        )
    power = grid.wave_aa / grid.fwhm_aa
    least, most = float(power.min()), float(power.max())
    if least < _RESOLVING_POWERS[0] or most > _RESOLVING_POWERS[1]:
        raise SfhInputError(
            f"{path}: [spectrum.lsf]: a resolving power of {least if least < _RESOLVING_POWERS[0] else most:.3g} is no "
            f"spectrograph's ({_RESOLVING_POWERS[0]:g}-{_RESOLVING_POWERS[1]:g}); write the FWHM in Angstrom, or r"
        )
    if grid.lsf.kind == "table":
        lo, hi = grid.lsf.table[0][0], grid.lsf.table[-1][0]
        margin = 0.02 * (last - first)
        if lo > first + margin or hi < last - margin:
            raise SfhInputError(
                f"{path}: [spectrum.lsf]: the table holds {lo:g}-{hi:g} A, the grid {first:g}-{last:g} A; write rows "
                "for all of it"
            )


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
    given = read_section(_InstrumentFile, values, where)
    try:
        grid = _read_spectrum(given.spectrum, where, folder) if given.spectrum else None
        bands = tuple(_read_band(row, where, k + 1, folder) for k, row in enumerate(given.band))
        norm = given.photometry.norm or ("spectrum" if grid else "median")
        return Instrument(given.name, grid, bands, norm, given.redshift.max, given.summary)
    except SfhInputError as error:
        raise error if str(error).startswith(where) else SfhInputError(f"{where}: {error}") from error


@dataclass(frozen=True)
class _Photometry:
    norm: str = ""


@dataclass(frozen=True)
class _Redshift:
    max: float = 0.01


@dataclass(frozen=True)
class _InstrumentFile:
    """The sections of an instrument's file."""

    name: str
    summary: str = ""
    spectrum: Mapping[str, Any] | None = None
    band: tuple[Mapping[str, Any], ...] = ()
    photometry: _Photometry = make_section_field(_Photometry)
    redshift: _Redshift = make_section_field(_Redshift)


@dataclass(frozen=True)
class _LineSpreadSection:
    """``[spectrum.lsf]``: what its kind needs, and nothing else."""

    kind: Kind
    fwhm_aa: float | None = None
    r: float | None = None
    table: tuple[tuple[float, float], ...] | None = None
    file: str | None = None

    def check_keys(self, where: str) -> None:
        """Refuse keys of another kind, and a kind without its own."""
        own = _LSF_KEYS[self.kind]
        present = [k for k in ("fwhm_aa", "r", "table", "file") if getattr(self, k) is not None]
        if other := [k for k in present if k not in own]:
            raise SfhInputError(f"{where}: kind = {self.kind!r} does not take {other[0]}; leave it out")
        if own and len(present) != 1:
            raise SfhInputError(
                f"{where}: {' or '.join(own)} is missing or there twice; kind = {self.kind!r} takes one"
            )


@dataclass(frozen=True)
class _BandSection(Band):
    """``[[band]]``: a band, and what the numbers of the curve in its file are."""

    medium: Literal["air", "vacuum"] = "air"
    unit: Literal["Angstrom", "nm", "um"] = "Angstrom"
    detector: Literal["photon", "energy"] = "photon"  # what the throughput is a response to


def _read_spectrum(table: Mapping[str, Any], where: str, folder: Path | None) -> SpectrumGrid:
    lsf = _read_line_spread(table.get("lsf", {}), where, folder)
    return read_section(SpectrumGrid, {**table, "lsf": lsf}, where, "spectrum")


def _read_line_spread(table: Any, where: str, folder: Path | None) -> LineSpread:
    section = read_section(_LineSpreadSection, table, where, "spectrum.lsf")
    section.check_keys(f"{where}: [spectrum.lsf]")
    if section.file is not None:
        return LineSpread.from_file((folder or Path()) / Path(section.file).expanduser())
    return LineSpread(section.kind, section.fwhm_aa or section.r or 0.0, section.table or ())


def _read_band(row: Mapping[str, Any], where: str, number: int, folder: Path | None) -> Band:
    section = read_section(_BandSection, row, where, f"band {number}")
    values = {f.name: getattr(section, f.name) for f in fields(Band)}
    if section.curve and not section.table and folder is not None:
        path = folder / Path(section.curve).expanduser()
        if path.is_file():
            values["table"] = _read_curve(path, section)
        elif path.is_dir() or _FILE_NAME.search(section.curve):
            raise SfhInputError(f"{where}: [[band]] {section.name}: there is no file {path}; correct curve")
    return Band(**values)


#: What names a file rather than a known filter.
_FILE_NAME = re.compile(r"[/\\]|\.(txt|dat|csv|tsv|ecsv|fits|res|par|asc|ascii)$", re.IGNORECASE)
#: Wavelengths of bands, Angstrom.
_BAND_AA = (900.0, 1e6)
#: Of spectrographs: prisms have 30, the spectra of the Sun that are sharpest 10^6.
_RESOLVING_POWERS = (20.0, 1e6)


def _read_curve(path: Path, section: _BandSection) -> tuple[tuple[float, float], ...]:
    """A file of two columns, wavelength and throughput, as Angstrom in air and a response to photons.

    A detector of energy that answers R per erg counts R / wavelength per photon, but for a constant.
    """
    try:
        rows = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise SfhInputError(f"{path}: no table of wavelength and throughput ({error}); correct the file") from error
    if rows.shape[1] != 2:
        raise SfhInputError(f"{path}: {rows.shape[1]} columns; write two, wavelength and throughput")
    rows[:, 0] *= {"Angstrom": 1.0, "nm": 10.0, "um": 1e4}[section.unit]
    if not _BAND_AA[0] < np.median(rows[:, 0]) < _BAND_AA[1]:
        raise SfhInputError(
            f"{path}: wavelengths of {rows[:, 0].min():g}-{rows[:, 0].max():g} Angstrom are no band of stars: are they "
            'in nm or micrometres? Say it in [[band]]: unit = "nm" or "um"'
        )
    wave = vacuum_to_air(rows[:, 0]) if section.medium == "vacuum" else rows[:, 0]
    per_photon = rows[:, 1] * np.median(wave) / wave if section.detector == "energy" else rows[:, 1]
    try:
        checked = Filter.from_curve(path.stem, "", wave, per_photon)
    except SfhInputError as error:
        raise SfhInputError(f"{path}: {error}") from error
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
