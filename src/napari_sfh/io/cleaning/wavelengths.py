"""The wavelength axis of a cube, cleaned once on reading: air wavelengths in Angstrom of every channel.

``AWAV`` and ``WAVE`` axes, linear or logarithmic (Greisen et al. 2006, A&A 446, 747), IRAF's ``DC-FLAG``, lookup tables
(``-TAB``), and the plain words that older pipelines write; frequencies, energies and velocities by
`io.cleaning.spectral_quantities`. The step is that of CDi_i where it stands, else CDELTi times PCi_i: wcslib takes a
step of 1 where CD cards exist for the sky alone. Channels that lie from red to blue are reversed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.missing import find_survey
from napari_sfh.io.cleaning.spectral_quantities import is_spectral_quantity, read_quantity_axis
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.types import F64

_SPECTRAL = re.compile(
    r"^(AWAV|WAVE|FREQ|ENER|WAVN|VELO|VRAD|VOPT|ZOPT|BETA|FELO|LINEAR|LAMBDA|LAMDA|LOGLAM|LOG|LAM|WL|SPECTRAL)"
)
#: Spectrographs of Hubble, by INSTRUME, whose pipelines write wavelengths in vacuum without a card that says so.
_VACUUM_INSTRUMENTS = ("STIS", "COS")
#: Cards that say in which medium wavelengths are.
_MEDIUM_CARDS = ("AIRORVAC", "VACUUM", "AIRVAC", "WAVEMED", "MEDIUM", "WAVETYPE", "AIR_VAC")
#: ``WAVE`` of the standard, in vacuum; ``WAVELEN`` and the like are words.
_VACUUM = re.compile(r"^WAVE(?![A-Z])")
#: Words without a medium: taken as air, and said.
_PLAIN_WORDS = re.compile(r"^(LINEAR|LAMBDA|LAMDA|WAVE?LEN|WAVELENGTH|LAM|WL|SPECTRAL|LOGLAM|LOG-?LIN|LOG)")
#: Where a unit is absent: which one the numbers must be in (limits, unit, Angstrom). Between 2.5 and 30 they may be
#: micrometres or logarithms.
_GUESSES = (
    (1e-7, 1e-5, "m", 1e10), (0.1, 2.5, "micron", 1e4), (100.0, 2000.0, "nm", 10.0), (2000.0, 1e5, "Angstrom", 1.0),
)  # fmt: skip
#: Numbers beyond which an axis that begins like one in nanometres counts in Angstrom (E-MILES begins at 1680).
_LONGEST_NM = 3000.0
#: Units of axes that are no wavelengths, and what FITS calls those axes.
_OTHER_QUANTITIES: dict[u.UnitBase, str] = {u.m**-1: "WAVN", u.Hz: "FREQ", u.J: "ENER"}


class WavelengthAxis(NamedTuple):
    """Wavelengths of a cube's channels."""

    wave_aa: F64  # (n,) in air, rising
    notes: tuple[str, ...]
    falling: bool = False  # the file's channels lie from red to blue
    vacuum: bool = False  # the file's wavelengths are those in vacuum


def has_wavelength_axis(cards: HeaderCards, lengths: dict[int, int]) -> bool:
    """Whether a header names a wavelength axis among axes of given ``lengths``, wherever it is.

    Parameters
    ----------
    cards : mapping
        Of the header.
    lengths : dict of int to int
        FITS number of an axis: its length.
    """
    try:
        find_wavelength_axis(cards, lengths)
    except SfhInputError:
        return any(_SPECTRAL.match(cards.text(f"CTYPE{i}").upper()) for i in lengths)
    return True


def has_wavelength_step(cards: HeaderCards, axis: int) -> bool:
    """Whether a header tells the step of its wavelength axis, or names the table of its wavelengths.

    Parameters
    ----------
    cards : HeaderCards
    axis : int
        FITS number of the axis.
    """
    steps = (cards.number(f"CD{axis}_{axis}"), cards.number(f"CDELT{axis}"))
    return any(steps) or cards.text(f"CTYPE{axis}").upper().endswith("-TAB")


def find_wavelength_axis(cards: HeaderCards, lengths: dict[int, int]) -> int:
    """FITS number of the wavelength axis among axes of given ``lengths``.

    Parameters
    ----------
    cards : mapping
        Of the header.
    lengths : dict of int to int
        FITS number of an axis: its length.

    Raises
    ------
    SfhInputError
        There is none, or it is not the last axis longer than 1.
    """
    types = {i: cards.text(f"CTYPE{i}").upper() for i in lengths}
    long = [i for i in sorted(lengths) if lengths[i] > 1 or i <= 2]
    last = long[-1]
    found = [i for i, t in types.items() if _SPECTRAL.match(t) and not (i <= 2 and _PLAIN_WORDS.match(t))]
    if not found and last > 2 and unit_conversion_factor(cards.text(f"CUNIT{last}"), u.AA) is not None:
        found = [last]  # no word, but its unit
    if not found:
        raise cards.error(
            f"CTYPE{last}" if cards.has(f"CTYPE{last}") else "CTYPE3",
            "is no wavelength axis",
            "write AWAV (air) or WAVE (vacuum) with CUNIT3 'Angstrom'",
        )
    axis = found[0]
    if any(i > axis and lengths[i] > 1 for i in lengths) or axis <= 2:
        shown = ", ".join(f"CTYPE{i} = {t!r}" for i, t in types.items())
        raise SfhInputError(
            f"{cards.path}: the axes of HDU {cards.hdu} are {shown}: wavelength must be axis 3; reorder them, e.g. "
            "with spectral_cube.SpectralCube.read().write()"
        )
    return axis


def read_wavelength_axis(
    header: fits.Header, path: Path, n: int, axis: int = 3, hdus: fits.HDUList | None = None
) -> WavelengthAxis:
    """Read the air wavelengths of ``n`` channels.

    Parameters
    ----------
    header : Header
    path : Path
        For messages.
    n : int
        Number of channels.
    axis : int
        FITS number of the axis.
    hdus : HDUList, optional
        The open file, for lookup tables.

    Raises
    ------
    SfhInputError
        Names the card that failed.
    """
    cards = HeaderCards(header, path)
    ctype = cards.text(f"CTYPE{axis}").upper()
    _check_tilt(cards, axis)
    vacuum = _VACUUM.match(ctype) is not None or is_spectral_quantity(ctype)
    if ctype.endswith("-TAB"):
        wave, notes = _table_wavelengths(cards, axis, n, hdus)
    elif (cards.number("DC-FLAG") or 0) == 1 or re.match(r"^(LOGLAM|LOG)", ctype) or _is_log_unit(cards, axis):
        wave, notes = _log_wavelengths(cards, axis, n)
    elif is_spectral_quantity(ctype):
        step, notes = _step(cards, axis)
        wave, more = read_quantity_axis(cards, axis, step, n)
        notes += more
    else:
        wave, notes = _wcslib_wavelengths(cards, axis, n)
    wave, falling = _order_wavelengths(wave, cards, axis)
    _check_range(cards, axis, wave)
    if falling:
        notes.append(f"the channels lie from red to blue: reversed on reading (axis {axis})")
    said_vacuum, medium = find_medium(header, hdus[0].header if hdus else {})
    if ctype.startswith(("WAVE", "AWAV")) and " says" in medium and said_vacuum != vacuum:
        means = "vacuum" if vacuum else "air"
        notes.append(f"CTYPE{axis} {ctype!r} means {means}, and is used; but it is {medium}: check which is right")
    if not vacuum and not ctype.startswith("AWAV"):
        vacuum = said_vacuum
        notes.append(f"CTYPE{axis} {ctype!r} does not say air or vacuum: taken as {medium}")
    return WavelengthAxis(vacuum_to_air(wave) if vacuum else wave, tuple(notes), falling, vacuum)


def find_medium(*headers: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether wavelengths without a word about it are in vacuum, and what says so; the default is air."""
    for key in _MEDIUM_CARDS:
        for header in headers:
            word = str(header.get(key, "")).strip()
            if re.search(r"vac", word, re.I) or (key == "VACUUM" and re.fullmatch(r"T(rue)?|1(\.0*)?", word, re.I)):
                return True, f"vacuum, as {key} says"
            if re.search(r"\bair\b", word, re.I):
                return False, f"air, as {key} says"
    if any("SKIRT" in str(header.get(key, "")).upper() for header in headers for key in ("ORIGIN", "CREATOR")):
        return True, "vacuum, as SKIRT writes them"
    if any("PYP_SPEC" in header for header in headers):
        return True, "vacuum, as PypeIt writes them"
    if any(str(header.get("INSTRUME", "")).strip().upper() in _VACUUM_INSTRUMENTS for header in headers):
        return True, "vacuum, as Hubble's spectrographs have them"
    survey = next((name for name in map(find_survey, headers) if name), None)
    return (True, f"vacuum, as {survey} writes them") if survey else (False, "air")


def _order_wavelengths(wave: F64, cards: HeaderCards, axis: int) -> tuple[F64, bool]:
    """Rising wavelengths, and whether they were falling.

    Raises
    ------
    SfhInputError
        They do neither, or are not positive.
    """
    if wave.size > 1 and wave[0] > wave[-1]:
        wave, falling = wave[::-1], True
    else:
        falling = False
    if not np.all(np.isfinite(wave)) or not np.all(np.diff(wave) > 0) or not wave[0] > 0:
        step = f"CD{axis}_{axis}" if cards.has(f"CD{axis}_{axis}") else f"CDELT{axis}"
        raise cards.error(
            step if cards.has(step) else f"CTYPE{axis}",
            "gives wavelengths that do not increase, or are not positive",
            f"correct it, CRVAL{axis} and CRPIX{axis}",
        )
    return wave, falling


def _check_tilt(cards: HeaderCards, axis: int) -> None:
    """Refuse wavelengths that change along the sky's axes."""
    own = cards.number(f"CD{axis}_{axis}")
    for i in {1, 2} - {axis}:
        tilt = cards.number(f"CD{axis}_{i}")
        if own and tilt and abs(tilt) > 1e-6 * abs(own):
            raise cards.error(f"CD{axis}_{i}", "tilts wavelength against the sky", "resample the cube, or set it to 0")


def _step(cards: HeaderCards, axis: int) -> tuple[float, list[str]]:
    """Step per channel in the axis' unit: CDi_i, else CDELTi times PCi_i."""
    own, delta = cards.number(f"CD{axis}_{axis}"), cards.number(f"CDELT{axis}")
    if own:
        notes = []
        if delta and delta != 1.0 and abs(delta / own - 1) > 1e-3:
            notes.append(f"CD{axis}_{axis} = {own:g} is used, not CDELT{axis} = {delta:g}")
        return own, notes
    if delta:
        turned = cards.number(f"PC{axis}_{axis}", 1.0)
        notes = []
        if cards.has("CD1_1"):
            notes.append(f"CDELT{axis} = {delta:g} is the step: there is no CD{axis}_{axis} beside the CD of the sky")
        return delta * (1.0 if turned is None else turned), notes
    shown = ", ".join(f"{k} = {cards.raw(k)!r}" for k in (f"CD{axis}_{axis}", f"CDELT{axis}") if cards.has(k))
    raise SfhInputError(
        f"{cards.path}: CD{axis}_{axis} or CDELT{axis} is absent or 0 in HDU {cards.hdu} ({shown}), "
        f"the wavelength step is unknown; add CD{axis}_{axis} in Angstrom"
    )


def _unit(cards: HeaderCards, axis: int, extent: float = 0.0) -> tuple[float, list[str]]:
    """Angstrom per unit of an axis that is ``extent`` of these units long, where that is known."""
    text = cards.text(f"CUNIT{axis}")
    value = cards.require_number(f"CRVAL{axis}", "add the wavelength of the reference channel")
    if text:
        factor = unit_conversion_factor(text, u.AA)
        if factor is None:
            for kind, name in _OTHER_QUANTITIES.items():
                if unit_conversion_factor(text, kind) is not None:
                    remedy = f"write CTYPE{axis} = '{name}', or wavelengths"
                    raise cards.error(f"CUNIT{axis}", f"is no unit of wavelength, but of {name}", remedy)
            raise cards.error(f"CUNIT{axis}", "is no unit of wavelength", "write 'Angstrom', 'nm', 'um' or 'm'")
        return factor, []
    for low, high, name, factor in _GUESSES:
        if name == "nm" and value + extent > _LONGEST_NM:
            low, high, name, factor = low, 1e5, "Angstrom", 1.0
        if low < value < high:
            return factor, [f"CUNIT{axis} is absent: wavelengths taken as {name} (CRVAL{axis} = {value:g})"]
    raise cards.error(
        f"CRVAL{axis}",
        f"has no unit: CUNIT{axis} is absent, and the number alone does not tell",
        f"add CUNIT{axis} ('Angstrom', 'nm', 'um'); for logarithms of Angstrom write DC-FLAG 1",
    )


def _wcslib_wavelengths(cards: HeaderCards, axis: int, n: int) -> tuple[F64, list[str]]:
    """Linear and ``-LOG`` axes of wavelengths: by wcslib, from a header of this axis alone."""
    ctype = cards.text(f"CTYPE{axis}").upper()
    step, notes = _step(cards, axis)
    factor, more = _unit(cards, axis, abs(step) * (n - 1))
    plain = fits.Header()
    ctype = re.sub(r"^(WAVE|AWAV)-(WAV|AWV|LIN)$", r"\1", ctype)  # MaNGA's linear cubes
    plain["CTYPE1"] = ctype if ctype.startswith("AWAV") or _VACUUM.match(ctype) else "AWAV"
    plain["CUNIT1"] = "Angstrom"
    plain["CRVAL1"] = factor * cards.require_number(f"CRVAL{axis}", "add the wavelength of the reference channel")
    plain["CRPIX1"] = cards.require_number(f"CRPIX{axis}", "add the reference channel")
    plain["CDELT1"] = factor * step
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(plain)
            values = wcs.wcs_pix2world(np.arange(n, dtype=np.float64)[:, None], 0)[:, 0]
            wave = (values * u.Unit(str(wcs.wcs.cunit[0]))).to_value(u.AA)
        except Exception as e:  # wcslib and units raise many classes for one fault: a broken header
            line = (str(e).strip().splitlines() or [type(e).__name__])[-1][:120]
            raise cards.error(f"CTYPE{axis}", f"cannot be read ({line})", "write AWAV or WAVE") from e
    return np.asarray(wave, dtype=np.float64), [*notes, *more]


def _is_log_unit(cards: HeaderCards, axis: int) -> bool:
    return bool(re.match(r"^(log|ln)", cards.text(f"CUNIT{axis}").lower()))


def _log_wavelengths(cards: HeaderCards, axis: int, n: int) -> tuple[F64, list[str]]:
    """Axes of the logarithm itself, base 10 or e, told apart by their numbers (Angstrom)."""
    step, notes = _step(cards, axis)
    value = cards.require_number(f"CRVAL{axis}", "add the logarithm of the wavelength of the reference channel")
    pixel = np.arange(1, n + 1) - cards.require_number(f"CRPIX{axis}", "add the reference channel")
    unit = re.match(r"(?P<base>log10|log|ln)\s*[(\[]?\s*(?P<unit>\w*)", cards.text(f"CUNIT{axis}"), re.IGNORECASE)
    factor = unit_conversion_factor(unit["unit"], u.AA) if unit and unit["unit"] else None
    if unit and factor not in (None, 1.0):  # FITS calls log what is log10 (Greisen et al. 2006)
        value += float(np.log(factor) if unit["base"].lower() == "ln" else np.log10(factor))
        notes = [*notes, f"CUNIT{axis} {cards.text(f'CUNIT{axis}')!r}: logarithms of {unit['unit']}"]
    logarithm = value + step * pixel
    if 3.0 < value < 5.5:
        return np.asarray(10.0**logarithm), [*notes, f"axis {axis} is log10 of wavelength in Angstrom"]
    if 7.0 < value < 11.5:
        return np.exp(logarithm), [*notes, f"axis {axis} is the natural logarithm of wavelength in Angstrom"]
    raise cards.error(f"CRVAL{axis}", "is no logarithm of a wavelength in Angstrom", "correct it, or CTYPE and DC-FLAG")


def _table_wavelengths(cards: HeaderCards, axis: int, n: int, hdus: fits.HDUList | None) -> tuple[F64, list[str]]:
    """A lookup table in a binary table of the file (``-TAB``)."""
    extension, column = cards.text(f"PS{axis}_0"), cards.text(f"PS{axis}_1")
    try:
        if hdus is None:
            raise KeyError("the file has no tables")
        table: Any = hdus[extension].data
        factor, notes = _unit(cards, axis)
        # One row that holds all (the standard), or one row a channel.
        values = table[column][0] if len(table) == 1 else table[column]
        wave = np.ravel(np.asarray(values, dtype=np.float64)) * factor
    except SfhInputError:
        raise
    except Exception as e:  # astropy raises many classes for a table that is not there
        raise cards.error(
            f"CTYPE{axis}",
            f"names a lookup table (PS{axis}_0 = {extension!r}) that cannot be read",
            "write AWAV or WAVE",
        ) from e
    if wave.size != n:
        raise cards.error(f"CTYPE{axis}", f"names a table of {wave.size} wavelengths for {n} channels", "repair it")
    return wave, [*notes, f"wavelengths of the lookup table {extension}"]


def _check_range(cards: HeaderCards, axis: int, wave: F64) -> None:
    """Refuse wavelengths that no optical or infrared spectrograph has: a unit or value is wrong."""
    if wave[-1] < 1000 or wave[0] < 500 or wave[0] > 5e5:
        unit = cards.text(f"CUNIT{axis}") or "absent"
        raise cards.error(
            f"CRVAL{axis}",
            f"with CUNIT{axis} {unit!r} gives {wave[0]:.4g}-{wave[-1]:.4g} Angstrom, no optical or infrared spectrum",
            f"correct CUNIT{axis}",
        )
