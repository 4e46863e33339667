"""One tolerant reader of units, for every BUNIT, CUNIT and column.

astropy parses. What it does not know, or reads as something else, is respelled first: the table below holds what people
and pipelines write. Factors are computed in double precision.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import lru_cache

from astropy import units as u

#: Flux density everywhere in this package.
FLAM: u.UnitBase = u.erg / u.s / u.cm**2 / u.AA
#: Flux density per frequency.
FNU: u.UnitBase = u.erg / u.s / u.cm**2 / u.Hz
#: The AB flux of magnitude 0 (Finkbeiner et al. 2004, AJ 128, 2577).
_MAGGY: u.UnitBase = u.Unit(3631.0 * u.Jy)
#: Spellings (in lower case) of words that astropy does not know, or knows as something else (``A`` = ampere).
UNIT_WORDS: Mapping[str, str] = {
    # wavelengths
    "a": "Angstrom", "aa": "Angstrom", "ang": "Angstrom", "angs": "Angstrom", "angst": "Angstrom",
    "angstr": "Angstrom", "angstrom": "Angstrom", "angstroms": "Angstrom", "ångström": "Angstrom",
    "angström": "Angstrom", "å": "Angstrom", "\u212b": "Angstrom", "ångstrom": "Angstrom",
    "angstroem": "Angstrom", "angstroems": "Angstrom",
    "nanometer": "nm", "nanometers": "nm", "nanometre": "nm", "nanometres": "nm", "nanom": "nm", "nm": "nm",
    "micron": "micron", "microns": "micron", "micrometer": "micron", "micrometers": "micron", "um": "micron",
    "micrometre": "micron", "micrometres": "micron", "mum": "micron", "µm": "micron", "μm": "micron",
    "meter": "m", "meters": "m", "metre": "m", "metres": "m",
    # energies, times, areas, angles
    "erg": "erg", "ergs": "erg", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "s": "s", "cm": "cm",
    "watt": "W", "watts": "W", "hz": "Hz", "hertz": "Hz",
    "jansky": "Jy", "janskys": "Jy", "janskies": "Jy", "jy": "Jy", "mjy": "mJy", "ujy": "uJy", "µjy": "uJy",
    "microjy": "uJy", "millijy": "mJy", "njy": "nJy",
    "deg": "deg", "degs": "deg", "degree": "deg", "degrees": "deg", "arcsecs": "arcsec", "asec": "arcsec",
    "arcseconds": "arcsec", "arcsecond": "arcsec", "arcmins": "arcmin", "radian": "rad", "radians": "rad",
    "steradian": "sr", "ster": "sr", "sr": "sr",
    "nanomaggies": "nmgy", "nanomaggy": "nmgy", "nmgys": "nmgy", "nmaggy": "nmgy", "nmaggies": "nmgy",
    "maggies": "mgy", "maggy": "mgy",
    # detectors
    "e": "electron", "electrons": "electron", "elec": "electron", "count": "count", "counts": "count", "cts": "count",
    "ct": "count", "dn": "count", "dns": "count", "adu": "count", "cps": "count/s", "eps": "electron/s",
    "photons": "photon", "ph": "photon",
}  # fmt: skip
_CAPITALS_MATTER = {"MJy": "MJy", "MJY": "MJy", "mJy": "mJy", "Mjy": "MJy"}
#: Words that say per which element a number stands, or nothing at all: left out.
_PER_ELEMENT = r"(?:spaxels?|spax|pixels?|pix|voxels?|channels?|fibers?|fibres?)"
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?"

#: ``factor * (unit)**power``
_POWER_OF_ALL = re.compile(
    rf"(?P<factor>{_NUMBER})?\s*[*x]?\s*\((?P<inside>.+?)\)\s*(?:(?:\*\*|\^)?\s*\(?\s*(?P<power>-?\d)\s*\)?)?"
)


def unit_conversion_factor(text: object, target: u.UnitBase) -> float | None:
    """Factor from the unit spelled ``text`` to ``target``; None where it is no such unit.

    Parameters
    ----------
    text : object
        Of a header card or a form.
    target : astropy unit

    Examples
    --------
    >>> unit_conversion_factor("ANGSTROMS", u.AA)
    1.0
    >>> unit_conversion_factor("1e-20 ergs/s/cm^2/A", FLAM)
    1e-20
    """
    plain = str(text).strip().strip("'\"").strip("[]").strip()
    plain = re.sub(r"\bFLAM(\d\d)\b", r"(1e-\1 erg/s/cm2/Angstrom)", plain, flags=re.I)  # KCWI
    power = _POWER_OF_ALL.fullmatch(plain)
    if power is not None and _is_one_bracket(power["inside"]):
        exponent = int(power["power"] or 1)
        inner = unit_conversion_factor(power["inside"], target ** (1 / exponent)) if exponent else None
        outer = float((power["factor"] or "1").lower().replace("d", "e"))
        return None if inner is None else outer * inner**exponent
    for candidate in list_unit_spellings(plain):
        unit = _parse_unit(candidate)
        if unit is not None and unit.is_equivalent(target):
            return float(unit.to(target))
    return None


def _is_one_bracket(inside: str) -> bool:
    """Whether the text between an outer pair of brackets never closes it."""
    depth = 0
    for character in inside:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def list_unit_spellings(text: str) -> list[str]:
    """A unit's text as written, then as astropy would write what was meant, best first."""
    plain = text.strip()
    number = re.match(rf"({_NUMBER})\s*\*?\s*(?=[A-Za-z])", _tidy(plain))
    bare = _tidy(plain)[number.end() :] if number else plain
    whole = _WHOLE.get(re.sub(r"[\s_\-]", "", bare.lower()))
    whole = f"{number[1]} {whole}" if number and whole else whole
    tidy = _tidy(plain)
    spelled = [plain, tidy, _respell(tidy), _divide_once(_respell(tidy))]
    # Capitals first as they stand (Jy, MJy), but "A" is never an ampere, nor "S" a siemens.
    if re.search(r"(?<![A-Za-z])[AS](?![A-Za-z])", plain):
        spelled = spelled[1:][::-1]
    return list(dict.fromkeys([*([whole] if whole else []), *spelled, _respell(tidy.lower())]))


_WHOLE = {
    "flam": "erg / (s cm2 Angstrom)", "flambda": "erg / (s cm2 Angstrom)", "cgs": "erg / (s cm2 Angstrom)",
    "fnu": "erg / (s cm2 Hz)", "electrons/s": "electron/s", "e/s": "electron/s",
    "logang": "", "log(angstrom)": "", "log10(angstrom)": "",
}  # fmt: skip


def _tidy(text: str) -> str:
    """Powers, products and numbers in one notation."""
    t = text.replace("−", "-").replace("·", " ").replace("×", "*").replace("⁻", "-")
    t = t.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
    t = re.sub(rf"\s*/\s*{_PER_ELEMENT}\b|\b{_PER_ELEMENT}\s*(?:\*\*|\^)?\s*\(?-1\)?", "", t, flags=re.I)
    t = re.sub(rf"(?<=/)(\s*\([^()]*?)\b{_PER_ELEMENT}\b(?![-^*\d])", r"\1", t, flags=re.I)  # .../ (s cm2 spaxel AA)
    t = re.sub(r"\be-(?=\s*/|\s|$)", "electron", t)
    t = re.sub(r"\$|\\mathrm|\\rm|\\AA|\\,|[{}]", lambda m: {"\\AA": "Angstrom", "\\,": " "}.get(m.group(), ""), t)
    t = re.sub(r"^[eE](?=[-+]\d+\s*\*?\s*[A-Za-z(])", "1e", t)  # E-20 erg
    t = re.sub(r"(?<=\d)[dD](?=[-+]?\d)", "e", t)  # FORTRAN's 1D-20
    t = re.sub(r"\bper\b", "/", t, flags=re.I)
    # 10^-20, 10E-20 as written for 1e-20, 10**(-20): one number.
    t = re.sub(r"\b10\s*(?:\*\*|\^)\s*(?:\(\s*([-+]?\d+)\s*\)|([-+]?\d+))", r"1e\1\2", t)
    t = re.sub(r"\b10(?=-\d+\b)", "1e", t)
    t = re.sub(rf"^(?P<unit>[A-Za-z].*?)\s*[*x]\s*(?P<factor>{_NUMBER})$", r"\g<factor> \g<unit>", t)  # erg/s*1e-20
    t = re.sub(r"^\s*[x*]\s*(?=[\d.])", "", t)
    t = re.sub(r"(?<=\d)\.(?=[eE][-+]?\d)", ".0", t)  # 1.e-20
    t = re.sub(rf"^\s*\(?({_NUMBER})\)?\s*[*x.]?\s*(?=[A-Za-z(])", r"\1 ", t)
    t = re.sub(r"(?<=[A-Za-z])\s*(?:\*\*|\^)\s*(?:\(\s*([-+]?\d+)\s*\)|([-+]?\d+))", r"\1\2", t)
    t = re.sub(r"(?<=[A-Za-z])\s+(-\d)", r"\1", t)
    t = re.sub(r"(?<=[A-Za-z0-9)])\.(?=[A-Za-z])", " ", t)  # erg.s-1.cm-2
    t = re.sub(r"(?<=[A-Za-z0-9)])_(?=[A-Za-z])", " ", t)
    return re.sub(r"\s+", " ", t).strip().rstrip(".")


def _respell(text: str) -> str:
    return re.sub(
        r"(?<![0-9.A-Za-zÅåµμ\u212b])[A-Za-zÅåµμö\u212b]+|(?<=[0-9])(?=x)",
        lambda m: _CAPITALS_MATTER.get(m.group()) or UNIT_WORDS.get(m.group().lower(), m.group()),
        text,
    )


def _divide_once(text: str) -> str:
    """``a/b/c`` and ``a / b c`` (all after the stroke below it) as ``a / (b c)``."""
    if text.count("/") < 1 or "(" in text:
        return text
    first, *rest = text.split("/")
    return f"{first.strip()} / ({' '.join(part.strip().replace('*', ' ') for part in rest)})"


@lru_cache(maxsize=1024)
def _parse_unit(text: str) -> u.UnitBase | None:
    """astropy's reading of a unit string, or None."""
    if not text:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            unit = u.Unit(text)
        except (ValueError, TypeError, ZeroDivisionError, OverflowError, RecursionError):
            return None
    return _resolve_maggies(unit) if isinstance(unit, u.UnitBase) else None


def _resolve_maggies(unit: u.UnitBase) -> u.UnitBase:
    """A unit with maggies, the AB fluxes of magnitude 0 (nanomaggies of SDSS and the Legacy Surveys), in janskys."""
    plain = unit.decompose()
    if u.mgy not in plain.bases:
        return unit
    power = plain.powers[plain.bases.index(u.mgy)]
    return plain / u.mgy**power * _MAGGY**power
