"""Band fluxes of a block of catalogue rows, in erg/s/cm2/AA, whatever unit the columns have.

What counts as missing: NaN, masked values and fluxes of -99, -999 or 1e20; magnitudes of 50 and beyond (the sentinels
99 and -99); a value whose error is negative, zero or not a number, where there is an error column. An upper limit (sign
``<`` in a limit column, or magnitude 99 with the limit in the error column) is missing too, as it is no measurement;
its row is flagged. Fluxes at and below zero that have an error stay: they are measurements.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.units import FLAM, FNU
from napari_sfh.io.objects.columns import MAGNITUDE_SYSTEMS, BandColumns, split_column_name
from napari_sfh.physics.filters import AB_ZERO
from napari_sfh.physics.wavelength import C_AA_S
from napari_sfh.types import F64, Bool, Flag

#: Magnitudes at and beyond which a value is a sentinel.
_MAG_SENTINEL = 50.0
#: Fluxes that catalogues write where there is none; from which on a number is one in any unit.
_FLUX_SENTINELS = (-99.0, -99.9, -99.99, -999.0, -999.9, -9999.0, -99999.0)
_FLUX_FILL = 1e20
#: What a unit of AB magnitudes may say; anything else is another zero point or scale.
_AB_WORDS = frozenset({"mag", "mags", "magnitude", "magnitudes", "ab", "abmag", "magab"})
#: Relative error of bands in a catalogue that gives none.
DEFAULT_RELATIVE_ERROR = 0.05
_NANOMAGGY = u.def_unit("nmgy", 3.631e-6 * u.Jy)


@dataclass(frozen=True)
class CataloguePhotometry:
    """N rows in B bands."""

    flux: F64  # (N, B) f_lambda, erg/s/cm2/AA; 0 where masked
    error: F64  # (N, B) 1 sigma, same unit
    mask: Bool  # (N, B) True = usable
    flag: NDArray[np.int32]  # (N,) bits of `types.Flag`


def read_band_photometry(
    table: Table,
    columns: Mapping[str, BandColumns],
    bands: Sequence[str],
    pivot_aa: NDArray[np.floating],
    source: str = "catalogue",
) -> CataloguePhotometry:
    """Fluxes of the instrument's bands.

    Parameters
    ----------
    table : Table
        A block of rows.
    columns : mapping
        Of `match_band_columns`; bands without columns are missing in all rows.
    bands : sequence of str
    pivot_aa : array (B,)
        Pivot wavelengths in Angstrom, air.
    source : str
        For messages.

    Raises
    ------
    SfhInputError
        A column holds no numbers, or its unit is unknown or not one of a flux density or magnitude.
    """
    n = len(table)
    flux, error = np.zeros((n, len(bands))), np.zeros((n, len(bands)))
    mask, flag = np.zeros((n, len(bands)), bool), np.zeros(n, np.int32)
    for k, band in enumerate(bands):
        if band not in columns:
            continue
        value, sigma, good, limited = _read_band(table, columns[band], float(pivot_aa[k]), source)
        flux[:, k], error[:, k], mask[:, k] = np.where(good, value, 0.0), np.where(good, sigma, 0.0), good
        flag[limited] |= int(Flag.UPPER_LIMIT)
        flag[good & (value <= 0)] |= int(Flag.NEGATIVE_FLUX)
    flag[~mask.all(1)] |= int(Flag.MISSING_BAND)
    flag[~mask.any(1)] |= int(Flag.NO_PHOTOMETRY)
    return CataloguePhotometry(flux, error, mask, flag)


def _read_band(table: Table, c: BandColumns, pivot_aa: float, source: str) -> tuple[F64, F64, Bool, Bool]:
    """f_lambda, error, usable, and whether it is an upper limit, (N,) each."""
    value = _read_numbers(table, c.value, source, c.index)
    stored = _read_numbers(table, c.error, source, c.index) if c.error else np.full(len(value), np.nan)
    unit = _unit_of(table, c, source)
    sigma = _convert_errors(stored, value, c.error_kind, unit is None)
    limited = _limit_signs(table, c.limit)
    if unit is None:  # AB magnitudes
        known = np.isfinite(value) & (np.abs(value) < _MAG_SENTINEL)
        limited |= ~known & np.isfinite(sigma) & (sigma > 10) & (sigma < _MAG_SENTINEL)
        f_lambda = 10 ** (-0.4 * (np.where(known, value, 0.0) - AB_ZERO)) * C_AA_S / pivot_aa**2
        default = DEFAULT_RELATIVE_ERROR * f_lambda
    else:
        known = np.isfinite(value) & ~_find_flux_fills(value, stored)
        factor = _to_f_lambda(unit, pivot_aa)
        f_lambda = np.where(known, value, 0.0) * factor
        default = DEFAULT_RELATIVE_ERROR * np.abs(f_lambda)
    if not c.error:
        return f_lambda, default, known & ~limited & (default > 0), limited
    scale = _scale_of_errors(table, c, unit, f_lambda, pivot_aa, source)
    has_error = np.isfinite(sigma) & (sigma > 0)
    if known.any() and (stored[known] == 0).all():
        raise SfhInputError(
            f"{source}: column {c.error!r} holds errors of 0, so that no flux can be used; correct it, or rename it: "
            f"{DEFAULT_RELATIVE_ERROR:.0%} of the flux are assumed then"
        )
    return f_lambda, np.where(has_error, sigma, 0.0) * scale, known & has_error & ~limited, limited


def _convert_errors(stored: F64, value: F64, kind: str, magnitudes: bool) -> F64:
    """1 sigma (N,) in the unit of the values from what the column of errors holds; NaN where it gives none."""
    if not kind:
        return stored
    with np.errstate(all="ignore"):
        if kind in ("S/N", "relative error"):
            share = 1 / stored if kind == "S/N" else stored
            sigma = share * 2.5 / np.log(10) if magnitudes else np.abs(value) * share
        else:
            sigma = stored**0.5 if kind == "variance" else stored**-0.5
    return np.where(np.isfinite(sigma) & (sigma > 0), sigma, np.nan)


def _find_flux_fills(value: F64, sigma: F64) -> Bool:
    """Fluxes (N,) that stand for none: -99, -999 and the like to the last digit, and 1e20 upwards.

    In a column of whole numbers -99 may be a flux: there it is none only where the error is 99 or -99.
    """
    sentinel = np.isin(value, _FLUX_SENTINELS)
    others = value[np.isfinite(value) & ~sentinel]
    if others.size and (others == np.round(others)).all():
        sentinel &= np.abs(sigma) == np.abs(value)
    return sentinel | (np.abs(value) >= _FLUX_FILL)


def _read_numbers(table: Table, name: str, source: str, index: int | None = None) -> F64:
    """A column (n,), of vectors one of their numbers."""
    column = table[name] if index is None else table[name][:, index]
    if column.dtype.kind in "SU":  # numbers as text: nothing written is no number
        text = np.char.strip(np.ma.filled(column, "").astype(str))
        column = np.where(text == "", "nan", text)
    try:
        values = np.ma.filled(np.ma.asarray(column.data if hasattr(column, "data") else column).astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise SfhInputError(
            f"{source}: column {name!r} holds no numbers{_show_first_word(column)}; name another one, or correct it"
        ) from error
    if values.ndim != 1:
        raise SfhInputError(f"{source}: column {name!r} has {values.ndim - 1} numbers a row; a band's column has one")
    return np.asarray(values, dtype=np.float64)


def _show_first_word(column: Any) -> str:
    """What a column holds instead of numbers."""
    for value in np.ravel(np.asarray(column)):
        try:
            float(value)
        except (TypeError, ValueError):
            return f" but {str(value)[:40]!r}"
    return ""


def _limit_signs(table: Table, name: str) -> Bool:
    if not name:
        return np.zeros(len(table), bool)
    column = table[name]
    if column.dtype.kind in "SUO":
        return np.array([str(v).strip().startswith("<") for v in column])
    return np.asarray(np.ma.filled(column, 0), float) > 0


def _unit_of(table: Table, c: BandColumns, source: str) -> u.UnitBase | None:
    """Unit of a flux column, None for AB magnitudes."""
    own = table[c.value].unit
    text = c.unit or ("" if own is None else str(own))
    if _is_magnitude(text) or (not text and c.magnitude):
        _refuse_other_zero_points(table, c, text, source)
        return None
    if not text:
        raise SfhInputError(
            f"{source}: column {c.value!r} has no unit; say it: `columns` {c.band}={c.value}:uJy (or Jy, mag, "
            "'erg/s/cm2/AA' ...); of all columns: `columns` ALL=:uJy"
        )
    unit = _parse_unit(text)
    if not _is_flux_density(unit):
        raise SfhInputError(
            f"{source}: column {c.value!r} has unit {text!r}; a flux density in f_nu or f_lambda, or AB magnitudes, "
            f"are read: say it with `columns` {c.band}={c.value}:UNIT"
        )
    return unit


def _is_magnitude(text: str) -> bool:
    return "mag" in text.lower() and "magg" not in text.lower()


def _parse_unit(text: str) -> u.UnitBase:
    if text.lower() in ("nmgy", "nanomaggy", "nanomaggies"):
        return _NANOMAGGY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # erg/s/cm2/AA has more strokes than the standard likes
        return u.Unit(text, parse_strict="silent")


def _is_flux_density(unit: Any) -> bool:
    return isinstance(unit, u.UnitBase) and any(unit.is_equivalent(kind) for kind in (FNU, FLAM))


def _refuse_other_zero_points(table: Table, c: BandColumns, unit: str, source: str) -> None:
    """Refuse magnitudes that their unit, name or description says to be of another zero point or scale than AB."""
    if c.unit:  # the user's word
        said = set(split_column_name(unit)) - {"mag", "abmag", "ab"}
        where = f"the unit {unit!r} that was given"
    else:
        about = set(split_column_name(str(table[c.value].description or "")))
        said = set(split_column_name(unit)) - _AB_WORDS | about & MAGNITUDE_SYSTEMS
        said |= {c.system} if c.system else set()
        where = f"unit {unit!r}" if unit and not about & said else "its name or description"
    if said:
        raise SfhInputError(
            f"{source}: the magnitudes of {c.value!r} are no AB magnitudes by {where} ({', '.join(sorted(said))}); "
            f"convert them (AB = Vega + offset of the band), or, if they are AB, say `columns` {c.band}={c.value}:mag"
        )


def _scale_of_errors(
    table: Table, c: BandColumns, unit: u.UnitBase | None, f_lambda: F64, pivot_aa: float, source: str
) -> F64:
    """erg/s/cm2/AA of one unit of the error column, (N,): its own unit where one is stated, else that of the values."""
    own = table[c.error].unit
    stated = c.error_unit or (str(own) if own is not None and not c.unit else "")
    stated = _find_unit_of_sigma(stated, c.error_kind)
    if stated.lower() in ("%", "percent", "pct"):
        return np.abs(f_lambda) / 100
    if _is_magnitude(stated) or (unit is None and not stated):
        return np.abs(f_lambda) * np.log(10) / 2.5
    known = _parse_unit(stated) if stated else unit
    if unit is not None and known is not None and _is_flux_density(known):
        return np.full(f_lambda.shape, _to_f_lambda(known, pivot_aa))
    raise SfhInputError(
        f"{source}: the errors {c.error!r} are in {stated!r}, which is no unit of an error of "
        f"{'magnitudes' if unit is None else str(unit)!r}; say it with `columns` "
        f"{c.band}={c.value}:UNIT,{c.error}:UNIT"
    )


def _find_unit_of_sigma(stated: str, kind: str) -> str:
    """The unit that 1 sigma has where a variance or its inverse has the ``stated`` one; that of the values: empty."""
    if kind in ("S/N", "relative error"):
        return ""
    unit = _parse_unit(stated) if kind and stated else None
    if isinstance(unit, u.UnitBase) and not isinstance(unit, u.UnrecognizedUnit):
        root = unit ** (0.5 if kind == "variance" else -0.5)
        if _is_flux_density(root):
            return root.to_string()
    return stated


def _to_f_lambda(unit: u.UnitBase, pivot_aa: float) -> float:
    """erg/s/cm2/AA of one unit."""
    if unit.is_equivalent(FLAM):
        return float(unit.to(FLAM))
    return float(unit.to(FNU)) * C_AA_S / pivot_aa**2
