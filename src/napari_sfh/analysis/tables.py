"""What the plots show, as tables: histories, formation times, spectra, bands, gradients, draws. ECSV, CSV or FITS.

Every table carries the galaxy, its redshift and the network (name and sha256) in its metadata; CSV has the names and
numbers of ECSV, and neither units nor metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units.function import FunctionUnitBase
from astropy.wcs.utils import pixel_to_skycoord

from napari_sfh.analysis import maps, stellar_mass
from napari_sfh.analysis.bin_properties import describe_flags
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.credible_bands import CredibleBand, list_history_bands
from napari_sfh.analysis.gradients import GRADIENT_QUANTITIES, Gradient
from napari_sfh.analysis.posteriors import POSTERIOR_QUANTITIES as QUANTITIES_DRAWN
from napari_sfh.analysis.posteriors import PosteriorDraws
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.outputs import check_table_name
from napari_sfh.io.result_hdus import escape_to_ascii
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.columns import describe_column, find_column_ucd
from napari_sfh.physics.formation import FORMED_FRACTIONS
from napari_sfh.types import Result

#: Kinds of file that can be written.
TABLE_SUFFIXES: tuple[str, ...] = (".ecsv", ".csv", ".fits")
#: Signs of the window as FITS may hold them.
_PLAIN = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "±": "+-",
        "σ": "sigma",
        "χ": "chi",
        "²": "2",
        "τ": "tau",
        "☉": "sun",
        "α": "alpha",
        "β": "beta",
        "Å": "A",
    }
)
#: Units of the scalars of a bin; of the others dex.
_LOG_UNITS = {
    "lg_age_lw": u.dex(u.yr),
    "lg_age_mw": u.dex(u.yr),
    "lg_ml_v": u.dex(u.Msun / u.Lsun),
    "ebv": u.mag,
}


@check_arguments
def write_tables(tables: Mapping[str, Table], path: str | Path) -> Path:
    """Write tables: all into one FITS file, an extension each; or one ECSV or CSV file each.

    Parameters
    ----------
    tables : mapping
        By name, the main one first.
    path : str or Path
        Ends in one of `TABLE_SUFFIXES`. In ECSV and CSV the main table gets this name, each other one
        ``<stem>_<name>`` with the same ending.

    Returns
    -------
    Path
        The file of the main table.

    Raises
    ------
    SfhInputError
        No table, or another ending.
    ComputeError
        The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise SfhInputError(f"{path}: the name must end in one of {', '.join(TABLE_SUFFIXES)}")
    if not tables:
        raise SfhInputError("nothing to save: click a bin on the map first")
    if path.suffix.lower() == ".fits":
        check_table_name(path)
        primary = fits.PrimaryHDU()
        primary.header["CREATOR"] = ("napari-sfh", "this program wrote the file")
        hdus = [primary, *(_hdu(name, table) for name, table in tables.items())]
        with write_atomically(path) as part:
            fits.HDUList(hdus).writeto(part, overwrite=True, checksum=True)
        return path
    kind = "ascii.csv" if path.suffix.lower() == ".csv" else "ascii.ecsv"
    for file, table in zip(list_table_files(list(tables), path), tables.values()):
        # CSV has no units: without them it is written four times as fast.
        written = Table({name: np.asarray(table[name]) for name in table.colnames}) if kind == "ascii.csv" else table
        with write_atomically(file) as part:
            written.write(part, format=kind, overwrite=True)
    return path


def list_table_files(names: Sequence[str], path: Path) -> list[Path]:
    """The files that `write_tables` makes of tables with these names: one in FITS, one a table in ECSV and CSV.

    Parameters
    ----------
    names : sequence of str
    path : Path
        Of the first.

    Returns
    -------
    list of Path
    """
    others = () if path.suffix.lower() == ".fits" else names[1:]
    return [path, *(path.with_stem(f"{path.stem}_{name.lower()}") for name in others)]


def _hdu(name: str, table: Table) -> fits.BinTableHDU:
    """A FITS extension; dex, which FITS does not know as a unit, is left to the descriptions."""
    plain = Table(table, copy=True)
    comments = {}
    for column in plain.columns.values():
        comments[column.name], function = column.description or "", isinstance(column.unit, FunctionUnitBase)
        if function:
            comments[column.name] += f" ({column.unit})"
        if function or column.unit in (u.dex, u.dimensionless_unscaled):
            column.unit = None
        if column.dtype.kind == "U":  # FITS knows no letters beyond ASCII
            plain[column.name] = [escape_to_ascii(text.translate(_PLAIN)) for text in column]
    hdu = fits.table_to_hdu(plain)
    for place, column_name in enumerate(plain.colnames, 1):
        if comments[column_name]:
            hdu.header[f"TCOMM{place}"] = escape_to_ascii(comments[column_name].translate(_PLAIN))
        if ucd := find_column_ucd(column_name):
            hdu.header[f"TUCD{place}"] = ucd
    hdu.name = name
    return hdu


def build_bin_tables(result: Result, views: Sequence[BinView]) -> dict[str, QTable]:
    """Tables of the shown bins: ``SFH`` (or ``ESTIMATES``), ``NUMBERS``, ``TIMES``, ``SPECTRA``, ``BANDS``.

    Parameters
    ----------
    result : Result
    views : sequence of BinView

    Returns
    -------
    dict of str to QTable
    """
    if not views:
        return {}
    tables = {"SFH": build_sfh_table, "NUMBERS": build_numbers_table, "TIMES": build_times_table}
    if not views[0].has_history:
        tables = {"ESTIMATES": build_estimates_table, "NUMBERS": build_numbers_table}
    seen = {"SPECTRA": (build_spectra_table, views[0].wave_aa.size), "BANDS": (build_bands_table, len(views[0].bands))}
    tables |= {name: build for name, (build, size) in seen.items() if size}
    return {name: build(result, views) for name, build in tables.items()}


def build_estimates_table(result: Result, views: Sequence[BinView]) -> QTable:
    """What weights without histories say of bins, one row per bin (0 = a region).

    Columns: BIN_ID, NAME (where there are regions), then median, _P16 and _P84 of each quantity.

    Parameters
    ----------
    result : Result
        Of weights without histories.
    views : sequence of BinView
        A row each.

    Returns
    -------
    QTable
    """
    table = QTable()
    _identify_rows(table, views)
    for k, name in enumerate(result.prediction.scalars):
        for suffix, part in (("", "value"), ("_P16", "low"), ("_P84", "high")):
            table[f"{name.upper()}{suffix}"] = [getattr(view.estimates[k], part) for view in views]
    return _add_provenance(table, result)


def _identify_rows(table: QTable, views: Sequence[BinView], each: int = 1) -> None:
    """First columns: the number of each view, ``each`` rows long, and the name where there are regions among them."""
    table["BIN_ID"] = np.repeat(np.array([v.bin_id for v in views], dtype=np.int32), each)
    if not all(v.bin_id for v in views):
        table["NAME"] = np.repeat(np.array([v.name for v in views]), each)


def _add_provenance(table: QTable, result: Result) -> QTable:
    for column in table.itercols():
        column.info.description = describe_column(column.info.name) or None
    table.meta.update(GALAXY=result.name, MODEL=result.model_name, SHA256=result.model_sha256, REDSHIFT=result.redshift)
    return table


def build_sfh_table(result: Result, views: Sequence[BinView]) -> QTable:
    """SFH and metallicity as a table, one row per bin (0 = a region) and age bin, youngest first.

    Columns: BIN_ID, NAME (where there are regions);
    AGE_LO, AGE_HI (Gyr), MASS_FRAC, LIGHT_FRAC, MH (dex) and CUM_MASS (fraction formed before AGE_LO),
    each with _P16 and _P84; ready for ``write(path, format="ascii.ecsv")``.

    Parameters
    ----------
    result : Result
    views : sequence of BinView

    Returns
    -------
    QTable
        16 rows a view.
    """
    table = QTable()
    n = AGE_EDGES_GYR.size - 1
    _identify_rows(table, views, n)
    bands = {
        "MASS_FRAC": [v.mass for v in views],
        "LIGHT_FRAC": [v.light for v in views],
        "MH": [v.mh for v in views],
        "CUM_MASS": [v.cumulative for v in views],
    }
    parts = {
        name: CredibleBand(*(np.stack([getattr(b, part)[:n] for b in some]) for part in ("value", "low", "high")))
        for name, some in bands.items()
    }
    return _add_provenance(_add_histories(table, parts), result)


def build_result_sfh_table(result: Result) -> QTable:
    """The table of `build_sfh_table` of all bins of a result.

    Parameters
    ----------
    result : Result
        With histories.

    Returns
    -------
    QTable
        16 rows a bin.
    """
    table = QTable()
    n = AGE_EDGES_GYR.size - 1
    table["BIN_ID"] = np.repeat(np.arange(1, result.bins.n_bins + 1, dtype=np.int32), n)
    return _add_provenance(_add_histories(table, list_history_bands(result)), result)


def _add_histories(table: QTable, bands: Mapping[str, CredibleBand]) -> QTable:
    """Edges of the age bins and quantities, each (M, 16), as columns of M x 16 rows."""
    n = AGE_EDGES_GYR.size - 1
    table["AGE_LO"] = np.tile(AGE_EDGES_GYR[:-1], len(table) // n) * u.Gyr
    table["AGE_HI"] = np.tile(AGE_EDGES_GYR[1:], len(table) // n) * u.Gyr
    for name, band in bands.items():
        unit = u.dex if name == "MH" else u.dimensionless_unscaled
        for suffix, part in (("", band.value), ("_P16", band.low), ("_P84", band.high)):
            table[name + suffix] = part.reshape(-1) * unit
    return table


def build_numbers_table(result: Result, views: Sequence[BinView]) -> QTable:
    """The numbers that the window shows of bins and regions, one row a view and quantity.

    Columns: BIN_ID, NAME (where there are regions), QUANTITY, VALUE, VALUE_ERR, SCATTER (among the bins of a region;
    NaN where there is none), UNIT, TEXT (as shown).

    Parameters
    ----------
    result : Result
    views : sequence of BinView

    Returns
    -------
    QTable
    """
    rows = [(view, part) for view in views for number in view.numbers for part in number.parts or (number,)]
    table = QTable()
    _identify_rows(table, [view for view, _ in rows])
    table["QUANTITY"] = [number.label for _, number in rows]
    for name, key in (("VALUE", "value"), ("VALUE_ERR", "error"), ("SCATTER", "scatter")):
        table[name] = np.array([getattr(number, key) for _, number in rows], dtype=float)
    table["UNIT"] = [number.unit for _, number in rows]
    table["TEXT"] = [number.text for _, number in rows]
    return _add_provenance(table, result)


@check_arguments
def build_summary_table(result: Result) -> QTable:
    """One row for every bin: where it is, what it holds, how far it is to be believed.

    Columns: BIN_ID, RA, DEC (deg), N_SPAXELS, AREA (arcsec^2), SNR, V, SIGMA (km/s), the four means with errors, EBV,
    LG_ML_V (dex), T10 ... T90 (Gyr, with _P16 and _P84), LG_MASS_DENSITY and LG_SFR_DENSITY over 100 Myr, with
    errors (see `stellar_mass`: of the mass formed, with the IMF of the templates), CHI2, the numbers
    of the misfit, OOD, FLAG and its words.
    """
    bins, data, prediction = result.bins, result.data, result.prediction
    ra, dec = result.centres_deg.T
    table = QTable()
    table["BIN_ID"] = np.arange(1, bins.n_bins + 1, dtype=np.int32)
    table["RA"], table["DEC"] = ra * u.deg, dec * u.deg
    table["N_SPAXELS"], table["AREA"] = bins.nspax, stellar_mass.measure_bin_area(result) * u.arcsec**2
    table["SNR"] = data.snr
    table["V"], table["SIGMA"] = data.v_kms * u.km / u.s, data.sigma_kms * u.km / u.s
    if prediction.has_histories:
        _add_history_columns(table, result)
    else:
        for key in prediction.scalars:
            table[key.upper()], table[f"{key.upper()}_ERR"] = prediction.median(key), prediction.half_width(key)
            for suffix, quantile in (("_P16", 1), ("_P84", 3)):
                table[f"{key.upper()}{suffix}"] = prediction.quantiles[key][:, quantile]
    if result.chi2 is not None:
        table["CHI2"] = result.chi2
    for name, values in result.misfit.items():
        table[name] = values
    table["OOD"], table["FLAG"] = prediction.ood, result.flag
    table["FLAG_WORDS"] = np.array([describe_flags(int(flag)) for flag in result.flag])
    return _add_provenance(table, result)


def _add_history_columns(table: QTable, result: Result) -> None:
    """Means, dust, formation times, masses."""
    prediction = result.prediction
    for name, key in {**maps.MEAN_MAPS, "EBV": "ebv", "LG_ML_V": "lg_ml_v"}.items():
        unit = _LOG_UNITS.get(key, u.dex)
        error_unit = u.mag if key == "ebv" else u.dex
        table[name], table[f"{name}_ERR"] = prediction.median(key) * unit, prediction.half_width(key) * error_unit
    times = {"": stellar_mass.compute_bin_formation_times(result, FORMED_FRACTIONS)}
    if "cum_mass" in prediction.quantiles:
        for suffix, quantile in (("_P16", 1), ("_P84", 3)):
            times[suffix] = stellar_mass.compute_bin_formation_times(result, FORMED_FRACTIONS, quantile)
    for column, fraction in enumerate(FORMED_FRACTIONS):
        for suffix, values in times.items():
            table[f"T{100 * fraction:.0f}{suffix}"] = values[:, column] * u.Gyr
    units = {"LG_MASS_DENSITY": u.Msun / u.kpc**2, "LG_SFR_DENSITY": u.Msun / u.yr / u.kpc**2}
    for density, name in (("LG_MASS_DENSITY", "MASS"), ("LG_SFR_DENSITY", "SFR_100MYR")):
        table[density] = maps.MAPS[name].values(result) * u.dex(units[density])
        table[f"{density}_ERR"] = maps.MAPS[f"{name}_ERR"].values(result) * u.dex
    table.meta["SFR_MYR"] = 100.0


def build_times_table(result: Result, views: Sequence[BinView]) -> QTable:
    """Lookback times at which 10, 20, ... 90 per cent of the mass had been formed, one row per bin (0 = a region).

    Columns: BIN_ID, NAME (where there are regions), T10 ... T90 (Gyr), each with _P16 and _P84.

    Parameters
    ----------
    result : Result
        Of weights for histories.
    views : sequence of BinView
        A row each.

    Returns
    -------
    QTable
    """
    table = QTable()
    _identify_rows(table, views)
    times = [v.formed() for v in views]
    for k, fraction in enumerate(FORMED_FRACTIONS):
        for suffix, part in (("", "value"), ("_P16", "low"), ("_P84", "high")):
            table[f"T{100 * fraction:.0f}{suffix}"] = np.array([getattr(t, part)[k] for t in times]) * u.Gyr
    return _add_provenance(table, result)


def build_spectra_table(result: Result, views: Sequence[BinView]) -> QTable:
    """Spectra and models, one row per bin and pixel.

    Columns: BIN_ID, NAME (where there are regions);
    WAVE (rest frame, air), FLUX, ERROR (NaN where masked), MODEL; fluxes over the instrument's norm.

    Parameters
    ----------
    result : Result
    views : sequence of BinView
        W rows each.

    Returns
    -------
    QTable
    """
    table = QTable()
    wave = result.instrument.wave_aa
    _identify_rows(table, views, wave.size)
    table["WAVE"] = np.tile(wave, len(views)) * u.AA
    for name, parts in (
        ("FLUX", [v.flux for v in views]),
        ("ERROR", [v.error for v in views]),
        ("MODEL", [v.model for v in views]),
    ):
        table[name] = np.concatenate(parts)
    return _add_provenance(table, result)


def build_bands_table(result: Result, views: Sequence[BinView]) -> QTable:
    """Photometry, one row per bin and band.

    Columns: BIN_ID, NAME (where there are regions);
    BAND, PIVOT, FLUX, ERROR (NaN where the band was not used), MODEL; f_lambda over the
    instrument's norm.

    Parameters
    ----------
    result : Result
    views : sequence of BinView
        B rows each; at least one.

    Returns
    -------
    QTable
    """
    table = QTable()
    bands = views[0].bands
    _identify_rows(table, views, len(bands))
    table["BAND"] = np.tile(np.array(bands), len(views))
    table["PIVOT"] = np.tile(result.instrument.pivot_aa, len(views)) * u.AA
    for name, parts in (
        ("FLUX", [v.phot for v in views]),
        ("ERROR", [v.phot_error for v in views]),
        ("MODEL", [v.phot_model for v in views]),
    ):
        table[name] = np.concatenate(parts)
    return _add_provenance(table, result)


def build_draws_table(result: Result | None, draws: PosteriorDraws) -> QTable:
    """Draws of the posterior of a bin, or (without a result) of a catalogue's row, one row a draw.

    Columns are named as in `posteriors.POSTERIOR_QUANTITIES`.

    Parameters
    ----------
    result : Result or None
    draws : PosteriorDraws

    Returns
    -------
    QTable
    """
    table = QTable()
    for name, values in draws.values.items():
        table[name.upper()] = values * (u.Gyr if QUANTITIES_DRAWN[name][1] == "Gyr" else 1)
    if result is None:
        table.meta.update(SOURCE=draws.source, ROW=draws.bin_id, MODEL=draws.model_name)
        return table
    table.meta["BIN_ID"] = draws.bin_id
    return _add_provenance(table, result)


def build_gradient_tables(result: Result, gradients: Mapping[str, Gradient]) -> dict[str, QTable]:
    """Gradients as tables.

    Parameters
    ----------
    result : Result
    gradients : mapping of str to Gradient
        By the map's name.

    Returns
    -------
    dict
        ``GRADIENTS``: a row for each quantity; ``BINS``: a row for each bin, with radius and values; ``RUNNING``: the
        running medians.

    Raises
    ------
    SfhInputError
        Nothing was fitted.
    """
    if not gradients:
        raise SfhInputError("no gradient was fitted yet: press Fit first")
    made = {
        "GRADIENTS": _slopes_table(gradients),
        "BINS": _gradient_bins_table(gradients, result),
        "RUNNING": _running_medians_table(gradients),
    }
    disc = next(iter(gradients.values())).profile.disc
    for table in made.values():
        _add_provenance(table, result).meta.update(
            RA_C=disc.ra_deg,
            DEC_C=disc.dec_deg,
            PA=disc.pa_deg,
            INCL=disc.inclination_deg,
            RE_ASEC=disc.r_e_arcsec,
        )
        if disc.distance_mpc is not None:
            table.meta["D_MPC"] = disc.distance_mpc
    return made


def _slopes_table(gradients: Mapping[str, Gradient]) -> QTable:
    table = QTable()
    made = list(gradients.values())
    table["QUANTITY"] = list(gradients)
    table["UNIT"] = [GRADIENT_QUANTITIES[name][2] for name in gradients]
    for column, name in (
        ("SLOPE_RE", "slope"),
        ("SLOPE_RE_ERR", "slope_error"),
        ("SLOPE_RE_P16", "slope_p16"),
        ("SLOPE_RE_P84", "slope_p84"),
        ("CENTRE", "centre"),
        ("AT_RE", "at_re"),
        ("AT_RE_ERR", "at_re_error"),
        ("SCATTER", "scatter"),
    ):
        table[column] = np.array([getattr(g, name) for g in made])
    per_kpc = [g.slope_kpc or (np.nan, np.nan) for g in made]
    table["SLOPE_KPC"], table["SLOPE_KPC_ERR"] = np.array(per_kpc).T
    table["N_BINS"] = np.array([int(g.used.sum()) for g in made])
    table["R_MIN_RE"] = np.array([float(g.profile.r[g.used].min()) for g in made])
    table["R_MAX_RE"] = np.array([float(g.profile.r[g.used].max()) for g in made])
    table["METHOD"] = [g.settings.method for g in made]
    table["DRAWS"] = np.array([g.settings.draws for g in made])
    return table


def _gradient_bins_table(gradients: Mapping[str, Gradient], result: Result) -> QTable:
    first = next(iter(gradients.values())).profile
    sky = pixel_to_skycoord(result.bins.x, result.bins.y, result.wcs.celestial, mode="wcs").icrs
    table = QTable()
    table["BIN_ID"] = np.arange(1, result.bins.n_bins + 1, dtype=np.int32)
    table["RA"], table["DEC"] = sky.ra.to(u.deg), sky.dec.to(u.deg)
    table["R"] = first.r * first.disc.r_e_arcsec * u.arcsec
    table["R_RE"] = first.r
    if (scale := first.kpc_per_arcsec) is not None:
        table["R_KPC"] = first.r * first.disc.r_e_arcsec * scale * u.kpc
    for name, made in gradients.items():
        table[name], table[f"{name}_ERR"] = made.profile.value, made.profile.error
        table[f"{name}_USED"] = made.used
    return table


def _running_medians_table(gradients: Mapping[str, Gradient]) -> QTable:
    table = QTable()
    parts = [(name, g.running) for name, g in gradients.items()]
    table["QUANTITY"] = np.concatenate([np.full(run.r.size, name) for name, run in parts])
    for column, key in (("R_RE", "r"), ("MEDIAN", "median"), ("P16", "low"), ("P84", "high")):
        table[column] = np.concatenate([getattr(run, key) for _, run in parts])
    return table
