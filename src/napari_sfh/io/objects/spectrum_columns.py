"""One spectrum as named columns, whatever file they come from: wavelength, flux, error and mask, in what unit.

Flux per frequency becomes flux per wavelength; errors may have another unit than the flux; a mask forbids pixels as in
cubes (`io.cleaning.missing`). Wavelengths that state no unit are taken by their size where it tells, and this is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.missing import MASK_BITS, MAX_MASKED, find_survey, mark_masked
from napari_sfh.io.cleaning.units import FLAM, FNU, unit_conversion_factor
from napari_sfh.io.cleaning.wavelength_lists import convert_wavelengths
from napari_sfh.io.cleaning.wavelengths import WavelengthAxis, find_medium
from napari_sfh.io.objects.columns import split_column_name
from napari_sfh.physics.wavelength import air_to_vacuum, vacuum_to_air
from napari_sfh.types import F64, Bool

Medium = Literal["auto", "air", "vacuum"]

_WAVE_WORDS = ("loglam", "wave", "waves", "wavelength", "wavelengths", "lambda", "lam", "wl", "awav", "spectral",
               "lnlam", "lnwave", "frequency", "freq", "energy")  # fmt: skip
_FLUX_WORDS = (
    "flux",
    "fluxes",
    "flam",
    "flambda",
    "fnu",
    "intensity",
    "data",
    "sci",
    "spec",
    "spectrum",
    "counts",
    "galaxy",
)
_SIGMA_WORDS = (
    "error",
    "err",
    "errs",
    "sigma",
    "sig",
    "uncertainty",
    "uncert",
    "fluxerr",
    "unc",
    "noise",
    "std",
    "rms",
)
_VARIANCE_WORDS = ("variance", "var", "stat")
_IVAR_WORDS = ("ivar", "invvar")
_SNR_WORDS = ("snr", "s/n", "sn", "s2n")
_MASK_WORDS = ("mask", "andmask", "dq", "qual", "quality", "badpix", "bpm", "flags", "flag")
#: Columns with one of these words hold no observed flux.
_NO_FLUX = frozenset({*_SIGMA_WORDS, *_VARIANCE_WORDS, *_IVAR_WORDS, *_MASK_WORDS, *_SNR_WORDS, "model", "sky",
                      "continuum", "bestfit", "template"})  # fmt: skip
#: Columns that say which pixels are usable, and what they say in words.
_GOOD_WORDS = ("good", "goodpix", "goodpixels", "valid", "usable", "isgood", "isvalid")
_YES_NO = {"true": 1, "t": 1, "yes": 1, "y": 1, "1": 1, "false": 0, "f": 0, "no": 0, "n": 0, "0": 0}
_MAGNITUDE_WORDS = frozenset({"mag", "mags", "magnitude", "magnitudes", "abmag", "magab"})
_LOGARITHM_WORD = re.compile(r"(log|lg|ln)(10)?(f|flux|flam|flambda|fnu)?")
_PER_FREQUENCY_WORDS = frozenset({"jy", "mjy", "ujy", "njy", "fnu", "nu"})
#: Names of wavelength times flux density, its words joined, and of what no calibration has touched.
_TIMES_WAVELENGTH = re.compile(r"(?<![a-z])((lam|lambda|wave|l)_?f_?(lam|lambda|l)|nu_?f_?nu)(?![a-z])")
_COUNT_WORDS = frozenset({"count", "counts", "cts", "adu", "dn", "electron", "electrons"})
_LENGTH_WORDS = {"nm": "nm", "um": "um", "micron": "um", "microns": "um", "aa": "Angstrom", "angstrom": "Angstrom",
                 "ang": "Angstrom", "hz": "Hz", "ghz": "GHz", "thz": "THz", "ev": "eV", "kev": "keV"}  # fmt: skip
_SPECTRAL_UNITS: tuple[u.UnitBase, ...] = (u.Hz, u.eV, u.m**-1)


@dataclass(frozen=True)
class SpectrumColumns:
    """Columns of one spectrum, each (n,), and their units as written."""

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    axis: WavelengthAxis | None = None  # of a header, where no column holds the wavelengths
    suffix: str = ""  # of the spectrum's name, where a file holds several
    ucds: Mapping[str, str] = field(default_factory=dict)  # what the Virtual Observatory calls the columns
    names_unknown: bool = False  # columns are taken in the order wavelength, flux, error
    notes: tuple[str, ...] = ()  # on where they are from


class SpectrumArrays(NamedTuple):
    """A spectrum per wavelength in air, in the file's order."""

    wave_aa: F64
    flux: F64
    variance: F64 | None
    bad: Bool
    notes: tuple[str, ...]


def is_eso_product(header: Mapping[str, Any]) -> bool:
    """Whether a file follows ESO's standard for science data products (ESO-044286), whose cards have one meaning.

    Parameters
    ----------
    header : mapping
        Of the primary HDU and the table.
    """
    return str(header.get("PRODCATG", "")).upper().startswith("SCIENCE.SPECTRUM") and "SPECSYS" in header


def holds_spectrum(names: Sequence[str]) -> bool:
    """Whether columns of these names hold a wavelength and a flux."""
    return bool(_pick(names, _WAVE_WORDS)) and bool(_pick_flux(names))


def read_spectrum_columns(one: SpectrumColumns, path: Path, medium: Medium = "auto") -> SpectrumArrays:
    """Wavelength, flux, variance and mask of a spectrum's columns.

    Parameters
    ----------
    one : SpectrumColumns
    path : Path
        For messages.
    medium : str
        ``air`` or ``vacuum`` overrule what the file says.

    Raises
    ------
    SfhInputError
        No column of wavelength or flux, a unit that is none of theirs, or a mask that forbids nearly everything.
    """
    names = list(one.columns)
    notes: list[str] = []
    if one.names_unknown:
        wave_name, flux_name, sigma_name = (*names, "", "", "")[:3]
        notes += _describe_order(names, path)
    else:
        wave_name, flux_name = _pick(names, _WAVE_WORDS), _pick_flux(names)
        sigma_name = _pick_error(names, _SIGMA_WORDS, flux_name)
        notes += _describe_choice(names, flux_name)
    if not flux_name or not (wave_name or one.axis is not None):
        raise SfhInputError(f"{path}: no columns of wavelength and flux among {', '.join(names)}; name them so")
    wave, vacuum, more = _read_wavelengths(one, wave_name, path, medium)
    notes += more
    if "rest" in split_column_name(wave_name):
        notes.append(f"{wave_name} are wavelengths at rest by their name: redshift 0 belongs to them")
    factor, note = _flux_factor(one, flux_name, wave, vacuum, path)
    flux = _numbers(one.columns[flux_name], path, flux_name) * factor
    variance = _read_variance(one, names, sigma_name, flux_name, factor, path)
    if sigma_name and _is_of_other_kind(one, sigma_name, flux_name, 1):
        units = f"{one.units[sigma_name]!r}, {flux_name} in {one.units[flux_name]!r}"
        notes.append(f"{sigma_name} is in {units}: no error of it, and not used")
    snr_name = _pick(names, _SNR_WORDS)
    if variance is None and snr_name:
        variance = _read_signal_to_noise(one, snr_name, flux, path)
        notes.append(f"errors follow from the ratio of signal to noise {snr_name}")
    bad, mask_notes = _read_mask(one, names, path)
    air = vacuum_to_air(wave) if vacuum else wave
    return SpectrumArrays(air, flux, variance, bad, tuple(filter(None, (*one.notes, *notes, note, *mask_notes))))


def _describe_order(names: Sequence[str], path: Path) -> list[str]:
    """What is said of columns taken in their order; a name that says that the second is no flux is believed."""
    words = set(split_column_name(names[1]))
    if words & (_NO_FLUX | _MAGNITUDE_WORDS):
        what = "magnitudes" if words & _MAGNITUDE_WORDS else "no flux"
        raise SfhInputError(f"{path}: column {names[1]} holds {what} by its name; a column of flux density is needed")
    if (wave := _pick(names, _WAVE_WORDS)) and wave != names[0]:
        raise SfhInputError(f"{path}: no column of flux by its name among {', '.join(names)}; call it flux")
    if len(names) <= 3:
        return []
    first = ", ".join(names[:3])
    return [
        f"no known names of columns: the first three of {len(names)} ({first}) are taken as wavelength, flux and error"
    ]


def _describe_choice(names: Sequence[str], flux_name: str) -> list[str]:
    """Which of several columns of flux is taken."""
    rivals = [n for n in names if set(split_column_name(n)) & set(_FLUX_WORDS) and _pick_flux([n])]
    return [f"of the columns {', '.join(rivals)} the flux is {flux_name}"] if len(rivals) > 1 else []


def _pick(names: Sequence[str], words: Sequence[str]) -> str:
    """The first name that is, or holds, one of the words."""
    for word in words:
        for name in names:
            if name.lower().replace("_", "") == word:
                return name
    return next((n for w in words for n in names if w in split_column_name(n)), "")


def _pick_error(names: Sequence[str], words: Sequence[str], flux_name: str) -> str:
    """The column of errors that has the flux's name, else one that has not that of another flux (``counts_err``)."""
    mine = set(split_column_name(flux_name))
    own = [n for n in names if mine <= set(split_column_name(n)) and _pick([n], words)]
    if own:
        return _pick(sorted(own, key=lambda n: len(split_column_name(n))), words)
    others = [set(split_column_name(n)) for n in names if n != flux_name and _pick_flux([n])]
    return _pick([n for n in names if not any(other <= set(split_column_name(n)) for other in others)], words)


def _pick_flux(names: Sequence[str]) -> str:
    return _pick([n for n in names if not _NO_FLUX & set(split_column_name(n))], _FLUX_WORDS)


def _numbers(values: Any, path: Path, name: str) -> F64:
    try:
        return np.asarray(np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan))
    except (TypeError, ValueError) as error:
        raise SfhInputError(f"{path}: column {name} holds no numbers ({error}); name another one") from error


def _read_wavelengths(one: SpectrumColumns, name: str, path: Path, medium: Medium) -> tuple[F64, bool, list[str]]:
    """Wavelengths in Angstrom in the file's medium, whether that is vacuum, and notes."""
    if not name:
        axis = one.axis
        assert axis is not None
        if medium == "auto":
            return axis.wave_aa, False, list(axis.notes)
        stored = air_to_vacuum(axis.wave_aa) if axis.vacuum else axis.wave_aa
        return stored, medium == "vacuum", [note for note in axis.notes if "air or vacuum" not in note]
    words = split_column_name(name)
    unit = one.units.get(name, "") or next((_LENGTH_WORDS[w] for w in words if w in _LENGTH_WORDS), "")
    values = _numbers(one.columns[name], path, name)
    for target in _SPECTRAL_UNITS:
        factor = unit_conversion_factor(unit, target) if unit else None
        if factor is not None:
            with np.errstate(divide="ignore"):
                return (values * factor * target).to_value(u.AA, u.spectral()), medium != "air", []
    if other := {"energy", "frequency", "freq", "velocity", "vel"} & set(words):
        raise SfhInputError(
            f"{path}: column {name} is no wavelength by its name ({other.pop()}) and states no unit of it; write "
            "wavelengths, or the unit (Hz, GHz, eV)"
        )
    finite = np.isfinite(values)
    if not finite.any():
        raise SfhInputError(f"{path}: column {name} holds no finite number; it should hold the wavelengths")
    wave = np.full(values.size, np.nan)
    wave[finite], told = convert_wavelengths(name, values[finite], unit, path)
    notes = [] if told in ("Angstrom", "Angstrom, by their size") or unit else [f"wavelengths of {name} in {told}"]
    if medium != "auto":
        return wave, medium == "vacuum", notes
    if {"vac", "vacuum", "air", "awav"} & set(words):
        return wave, not {"air", "awav"} & set(words), notes
    ucd = one.ucds.get(name, "").lower()
    if "obs.atmos" in ucd:
        return wave, False, notes
    vacuum, why = find_medium(one.header)
    if not vacuum and why == "air" and ucd == "em.wl" and is_eso_product(one.header):
        return wave, True, [*notes, f"{name} are wavelengths in vacuum, as their UCD em.wl says in ESO's products"]
    if not vacuum and why == "air":
        notes.append("wavelengths taken for those in air; give `medium` vacuum if they are not")
    return wave, vacuum, notes


def _flux_factor(one: SpectrumColumns, name: str, wave: F64, vacuum: bool, path: Path) -> tuple[F64 | float, str]:
    """What brings the flux to one per wavelength, and a note."""
    text = one.units.get(name, "")
    if re.match(r"\s*(dex|log|lg|ln)", text, re.I) or any(map(_LOGARITHM_WORD.fullmatch, split_column_name(name))):
        raise SfhInputError(
            f"{path}: column {name} holds logarithms by its name or unit; a column of flux density is needed"
        )
    if re.search(r"\bmag", text, re.I):
        raise SfhInputError(f"{path}: column {name} is in {text}; a flux density is needed")
    if text:
        per_frequency = any(unit_conversion_factor(text, kind) is not None for kind in (FNU, FNU / u.sr))
        known = per_frequency or any(unit_conversion_factor(text, kind) is not None for kind in (FLAM, FLAM / u.sr))
        times_wavelength = not known and unit_conversion_factor(text, FLAM * u.AA) is not None
        note = "" if known else f"unit {text!r} of {name} is no flux density: taken as a flux per wavelength"
    else:
        words = split_column_name(name)
        times_wavelength = bool(_TIMES_WAVELENGTH.search("_".join(words)))
        per_frequency = not times_wavelength and bool(_PER_FREQUENCY_WORDS & set(words))
        note = (
            f"{name} is not calibrated by its name: taken as a flux per wavelength" if _COUNT_WORDS & set(words) else ""
        )
    seen = wave if vacuum else air_to_vacuum(wave)
    scale = np.nanmedian(seen) / seen
    if times_wavelength:
        return scale, f"{name} is wavelength times flux{f' ({text})' if text else ''}: converted to one per wavelength"
    if not per_frequency:
        return 1.0, note
    return scale**2, f"{name} is a flux per frequency{f' ({text})' if text else ''}: converted to one per wavelength"


def _read_variance(
    one: SpectrumColumns, names: Sequence[str], sigma_name: str, flux_name: str, factor: F64 | float, path: Path
) -> F64 | None:
    """Variance in the unit of the converted flux, 0 where a pixel is missing; None where there are no errors."""
    for name, power in (
        (sigma_name, 1),
        (_pick_error(names, _VARIANCE_WORDS, flux_name), 2),
        (_pick_error(names, _IVAR_WORDS, flux_name), -2),
    ):
        if not name or _is_of_other_kind(one, name, flux_name, power):
            continue
        values = _numbers(one.columns[name], path, name) * _error_scale(one, name, flux_name, power)
        values = np.where(values > 0, values, 0.0)  # an error that is not positive marks a missing pixel
        if power == -2:
            values = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
        with np.errstate(over="ignore"):
            return np.asarray((values**2 if power == 1 else values) * np.square(factor))
    return None


def _is_of_other_kind(one: SpectrumColumns, name: str, flux_name: str, power: int) -> bool:
    """Whether errors are stated in counts beside a flux density, as those of what was not calibrated."""
    error, flux = one.units.get(name, ""), one.units.get(flux_name, "")
    calibrated = any(unit_conversion_factor(flux, kind) is not None for kind in (FLAM, FNU)) if flux else False
    counts = (u.count, u.electron, u.count / u.s, u.electron / u.s)
    return calibrated and bool(error) and any(unit_conversion_factor(error, k**power) is not None for k in counts)


def _read_signal_to_noise(one: SpectrumColumns, name: str, flux: F64, path: Path) -> F64:
    """Variance in the unit of the converted flux from flux and S/N of each pixel, 0 where a pixel is missing."""
    ratio = _numbers(one.columns[name], path, name)
    sigma = np.divide(flux, ratio, out=np.zeros_like(flux), where=ratio != 0)
    return np.asarray(np.where(sigma > 0, sigma, 0.0) ** 2)


def _error_scale(one: SpectrumColumns, name: str, flux_name: str, power: int) -> float:
    """From the unit of an error to that of the flux, in the error's power; 1 where one of them says none."""
    error, flux = one.units.get(name, ""), one.units.get(flux_name, "")
    for kind in (FLAM, FNU):
        ours = unit_conversion_factor(flux, kind) if flux else None
        theirs = unit_conversion_factor(error, kind**power) if error else None
        if ours and theirs:
            return float(theirs / ours**power)
    return 1.0


def _read_mask(one: SpectrumColumns, names: Sequence[str], path: Path) -> tuple[Bool, list[str]]:
    """Pixels that a mask forbids."""
    n = len(next(iter(one.columns.values())))
    name = _pick([x for x in names if not {"or", "ormask"} & set(split_column_name(x))], _MASK_WORDS)
    if not name:
        return _read_good_pixels(one, _pick(names, _GOOD_WORDS), n)
    if "PYP_SPEC" in one.header:  # PypeIt's masks are 1 where a pixel is usable
        return _read_good_pixels(one, name, n)
    mask = _read_yes_no(one.columns[name])
    if mask.dtype.kind not in "biuf":
        return np.zeros(n, bool), [f"{name} holds words and is not used; a mask is 0 where a pixel is usable"]
    bad = mark_masked(mask, MASK_BITS.get(find_survey(one.header) or ""))
    if bad.mean() > MAX_MASKED:
        raise SfhInputError(
            f"{path}: {name} forbids {100 * bad.mean():.0f} % of the pixels; usable ones must be 0: invert it, or "
            f"remove {name}"
        )
    return bad, [f"{name} is used (0 = usable): {int(bad.sum())} pixels left out"] if bad.any() else []


def _read_good_pixels(one: SpectrumColumns, name: str, n: int) -> tuple[Bool, list[str]]:
    """Pixels that a column of usable ones does not name."""
    good = _read_yes_no(one.columns[name]) if name else np.ones(n, bool)
    if good.dtype.kind not in "biuf" or not np.isin(good, (0, 1)).all() or good.all():
        return np.zeros(n, bool), []
    return good == 0, [f"{name} is used (1 = usable): {int((good == 0).sum())} pixels left out"]


def _read_yes_no(values: Any) -> NDArray[Any]:
    """A column with its words for yes and no as 1 and 0; any other as it is."""
    array = np.asarray(np.ma.filled(values, "") if np.asarray(values).dtype.kind in "SUO" else values)
    if array.dtype.kind not in "SUO":
        return array
    words = [str(v.decode() if isinstance(v, bytes) else v).strip().lower() for v in array]
    return np.array([_YES_NO[w] for w in words]) if set(words) <= set(_YES_NO) else array
