"""Many galaxies on paper: where their results go, the options of each, and the report of what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from napari_sfh import __version__
from napari_sfh.batch.many_galaxies import GalaxyJob, GalaxyOutcome
from napari_sfh.config import FILE_SETTINGS, SETTINGS
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import ensure_folder, write_atomically, write_text_atomically
from napari_sfh.io.fits_access import is_fits_name

#: In an --output pattern, the name of a galaxy's folder.
_NAME = "{name}"
#: Columns that a table of options may have, beside ``name``: how each is read.
COLUMNS: Mapping[str, type] = {name: setting.kind for name, setting in SETTINGS.items() if setting.by_galaxy}
#: Names of the report's two files.
REPORT_JSON, REPORT_ECSV = "run.json", "run.ecsv"


def list_galaxy_jobs(
    folders: Sequence[Path], output: str, options: Mapping[str, Any], table: Mapping[str, Mapping[str, Any]]
) -> list[GalaxyJob]:
    """One job a folder.

    Parameters
    ----------
    folders : sequence of path
    output : str
        A folder for ``NAME_sfh.fits``, or a pattern with ``{name}``, where NAME is the name of a galaxy's folder.
    options : mapping
        Keyword arguments of `decisions.configure_run` for all.
    table : mapping
        Options of single galaxies by name, from `read_galaxy_options`; they win.

    Raises
    ------
    SfhInputError
        A name in the table that no folder has, one folder given twice, or an output that names one file.
    """
    if _NAME not in output and (is_fits_name(Path(output)) or "{" in output) and not Path(output).is_dir():
        raise SfhInputError(
            f"`output` {output}: names one file for {len(folders)} galaxies; give a folder, or a pattern with {_NAME}"
        )
    pattern = output if _NAME in output else str(Path(output) / f"{_NAME}_sfh.fits")
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names):
        if sum(folder.resolve() == other.resolve() for other in folders) > 1:
            raise SfhInputError(f"{folder}: is given twice; name it once")
        if not name:
            raise SfhInputError(f"{folder}: is no galaxy's folder")
    for name in table:
        if name not in names:
            raise SfhInputError(f"`table`: no folder is called {name}; the folders are {', '.join(names)}")
    return [
        GalaxyJob(
            folder.absolute(),
            Path(pattern.replace(_NAME, name)).absolute(),
            {key: _absolute(key, value) for key, value in {**options, **table.get(name, {})}.items()},
        )
        for folder, name in zip(folders, names)
    ]


def _absolute(key: str, value: Any) -> Any:
    """Bins, weights or an LSF that are a file, so that a worker finds it from wherever it was started."""
    if key in FILE_SETTINGS and Path(value).expanduser().is_file():
        return str(Path(value).expanduser().absolute())
    return value


def find_report_folder(output: str) -> Path:
    """The folder of the report: that of the results, or what a pattern has before its first ``{name}``."""
    if _NAME not in output:
        return Path(output).absolute()
    return Path(output[: output.index(_NAME)] + "x").absolute().parent


def read_galaxy_options(path: Path) -> dict[str, dict[str, Any]]:
    """Options of single galaxies: a CSV or ECSV table with the column ``name`` and any of `COLUMNS`; blank = not given.

    Raises
    ------
    SfhInputError
        The table cannot be read, a column is unknown, or a value is no number.
    """
    rows = _read_option_table(path)
    unknown = [c for c in rows.colnames if c != "name" and c not in COLUMNS]
    if "name" not in rows.colnames or unknown:
        what = f"unknown column {unknown[0]}" if unknown else "no column name"
        raise SfhInputError(f"`table` {path}: {what}; known are name, {', '.join(COLUMNS)}")
    options: dict[str, dict[str, Any]] = {}
    for row in rows:
        if str(row["name"]) in options:
            raise SfhInputError(f"`table` {path}: {row['name']} stands there twice; leave one row of it")
        options[str(row["name"])] = {
            key: _parse_cell(row[key], kind_of, key, path)
            for key, kind_of in COLUMNS.items()
            if key in rows.colnames and str(row[key]).strip() not in ("", "--", "nan")
        }
    return options


def _read_option_table(path: Path) -> Any:
    """The table as text, so that names keep their zeros; with or without a byte-order mark."""
    from astropy.table import Table

    try:
        if not path.is_file() or path.stat().st_size > 10 * 2**20:
            raise OSError("no such file, or no table of galaxies")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        if any(line.count('"') % 2 for line in lines):
            raise ValueError(
                f"a quote is not closed in line {next(n for n, s in enumerate(lines, 1) if s.count(chr(34)) % 2)}"
            )
        if path.suffix.lower() == ".ecsv":
            rows = Table.read("\n".join(lines), format="ascii.ecsv")
        else:
            rows = Table.read("\n".join(lines), format="ascii.csv", guess=False, converters={"*": [str]})
    except Exception as error:  # astropy raises many classes for a table that is none
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise SfhInputError(f"`table` {path}: cannot be read ({first}); give a CSV or ECSV table") from error
    if len(set(rows.colnames)) < len(rows.colnames):
        raise SfhInputError(f"`table` {path}: a column stands there twice; leave one of them")
    return rows


def _parse_cell(value: Any, kind: type, key: str, path: Path) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise SfhInputError(f"`table` {path}: {key} '{value}' is no number; correct it or leave it blank") from error


def write_galaxies_report(outcomes: Sequence[GalaxyOutcome], folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``run.json`` and ``run.ecsv``, each to a temporary name and renamed.

    Parameters
    ----------
    outcomes : sequence of GalaxyOutcome
        Of the galaxies that came to an end.
    folder : path
        Made where it is not there.
    about : mapping
        What else ``run.json`` says: options, scheduler, times.

    Raises
    ------
    ComputeError
        The files cannot be written.
    """
    galaxies = [{k: None if v != v else v for k, v in asdict(o).items()} for o in outcomes]  # JSON knows no NaN
    document = {"version": __version__, **about, "counts": count_outcomes(outcomes), "galaxies": galaxies}
    ensure_folder(folder)
    write_text_atomically(folder / REPORT_JSON, json.dumps(document, indent=1, default=str) + "\n")
    with write_atomically(folder / REPORT_ECSV) as part:
        _table(outcomes).write(part, format="ascii.ecsv", overwrite=True)


def _table(outcomes: Sequence[GalaxyOutcome]) -> Any:
    from astropy.table import Table

    names = [f.name for f in fields(GalaxyOutcome)]
    kinds = [{"int": int, "float": float}.get(str(f.type), str) for f in fields(GalaxyOutcome)]
    table = Table(rows=[tuple(asdict(o).values()) for o in outcomes] or None, names=names, dtype=kinds)
    table["seconds"].unit = "s"
    table["seconds"].info.format = ".1f"
    return table


def count_outcomes(outcomes: Sequence[GalaxyOutcome]) -> dict[str, int]:
    """How many galaxies came to each end."""
    return {s: sum(o.status == s for o in outcomes) for s in ("done", "skipped", "failed", "interrupted")}


def format_galaxies_report(outcomes: Sequence[GalaxyOutcome]) -> list[str]:
    """The report as a table of text, and a sum."""
    width = max([len("galaxy"), *(len(o.name) for o in outcomes)])
    text = [f"{'galaxy':{width}s}  {'status':11s}  {'bins':>6s}  {'z':>8s}  {'min':>6s}  "]
    for o in outcomes:
        ended = o.status in ("done", "skipped")
        bins, z = (f"{o.n_bins}", f"{o.redshift:.5f}") if ended else ("", "")
        minutes = f"{o.seconds / 60:.1f}" if o.seconds else ""
        text.append(
            f"{o.name:{width}s}  {o.status:11s}  {bins:>6s}  {z:>8s}  {minutes:>6s}  {o.output if ended else o.message}"
        )
    summed = ", ".join(f"{n} {status}" for status, n in count_outcomes(outcomes).items() if n)
    return [*text, f"{len(outcomes)} {'galaxy' if len(outcomes) == 1 else 'galaxies'}: {summed or 'none'}"]
