"""Which columns of a catalogue hold which band: by name, or as the user says.

A column belongs to a band when the band's name stands in its own between separators, as in ``J0390``, ``mag_J0390``,
``FLUX_AUTO_J0390`` or ``F_J0390_err``; case does not matter. Words about it decide what the column is: ``err``,
``e``, ``sigma``, ``unc`` or ``rms`` an error, ``var`` a variance, ``ivar`` an inverse variance, ``snr`` or ``sn`` a
ratio of signal to noise, ``relerr`` a relative error (which are taken where there is no error), ``l`` or ``limit`` an
upper-limit sign, ``mag`` or ``m`` an AB magnitude, anything else a flux.
Of several columns of one band the one with the fewest words is taken, fluxes before magnitudes;
two that are equal are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_sfh.errors import SfhInputError

_ERROR_WORDS = frozenset({"err", "error", "errors", "e", "sigma", "unc", "rms", "fluxerr", "magerr",
                          "ef", "eflux", "emag", "em"})  # fmt: skip
#: Words for what errors follow from, and what that is, best first.
ERROR_SOURCES = {
    "ivar": "inverse variance", "invvar": "inverse variance", "var": "variance", "variance": "variance",
    "snr": "S/N", "sn": "S/N", "s2n": "S/N", "relerr": "relative error",
}  # fmt: skip
#: Magnitudes of another zero point than AB, as names and units spell them.
MAGNITUDE_SYSTEMS = frozenset({"vega", "vegamag", "magvega", "vegamags", "stmag", "magst"})
_LIMIT_WORDS = frozenset({"l", "limit", "lim", "upper"})
_MAGNITUDE_WORDS = frozenset({"mag", "m", "magnitude", "abmag", "mags", "magab", "magerr", *MAGNITUDE_SYSTEMS})
_OTHER_WORDS = frozenset({"flag", "flags", "mask", *ERROR_SOURCES, "weight", "id", "ra", "dec", "z", "chi2", "fwhm"})
#: Beside ``z`` they make a name that of a redshift, not of the z band.
_REDSHIFT_WORDS = frozenset(
    {"phot", "photo", "spec", "sp", "ph", "best", "ml", "peak", "helio", "cmb", "cosmo", "final"}
)
_VALUE_WORDS = _MAGNITUDE_WORDS | {"flux", "fluxes", "fnu", "flam", "flambda", "f"}
_UNIT_WORDS = {"ujy": "uJy", "mjy": "mJy", "njy": "nJy", "jy": "Jy", "nanomaggy": "nmgy", "nmgy": "nmgy"}


@dataclass(frozen=True)
class BandColumns:
    """Columns of one band. Units are empty where neither name nor user says them; the table's own count.

    ``system`` is the word of the name for magnitudes of another zero point than AB.
    """

    band: str
    value: str
    error: str = ""
    limit: str = ""
    magnitude: bool = False
    unit: str = ""
    error_unit: str = ""
    system: str = ""
    error_kind: str = ""  # empty: 1 sigma; else a value of `ERROR_SOURCES`
    index: int | None = None  # of the band in vectors; None: the columns have one number a row


def split_column_name(name: str) -> list[str]:
    """Words of a column's name in lower case: split at everything that is no letter or digit."""
    return [word for word in re.split(r"[^A-Za-z0-9]+", name.lower()) if word]


def match_band_columns(
    names: Sequence[str], bands: Sequence[str], given: Mapping[str, str] | None = None, source: str = "catalogue"
) -> dict[str, BandColumns]:
    """Columns of every band that a catalogue has.

    Parameters
    ----------
    names : sequence of str
        The catalogue's columns.
    bands : sequence of str
        Of the instrument.
    given : mapping, optional
        Band to ``COLUMN`` or ``COLUMN,ERROR_COLUMN``, each with ``:UNIT`` after it where the file does not say it; of
        errors also ``%``.
    source : str
        Of the columns, for messages.

    Raises
    ------
    SfhInputError
        No band has a column, two columns are equally good, or a given band or column does not exist.

    Examples
    --------
    >>> match_band_columns(["id", "J0390", "J0390_err"], ["J0390", "J0400"])["J0390"].error
    'J0390_err'
    """
    given = given or {}
    if unknown := [band for band in given if band not in bands]:
        raise SfhInputError(f"`columns` {unknown[0]}: no such band; the network's are {', '.join(bands)}")
    found = {}
    for band in bands:
        own = _drop_redshifts(band, names, bands)
        columns = _read_given(band, given[band], names, source) if band in given else _find(band, own, source)
        if columns:
            found[band] = columns
    if not found:
        raise SfhInputError(
            f"{source}: no column of any band ({', '.join(bands[:4])} ...) among {', '.join(names[:8])} ...; "
            "name them with `columns` BAND=COLUMN"
        )
    return found


def holds_band_columns(names: Sequence[str], bands: Sequence[str]) -> bool:
    """Whether the name of any column holds that of a band.

    Parameters
    ----------
    names : sequence of str
        Of columns.
    bands : sequence of str
        Of the instrument.
    """
    words = [split_column_name(name) for name in names]
    return any(_words_about(own, split_column_name(band)) is not None for own in words for band in bands)


def find_flux_column(names: Sequence[str], band: str, given: str | None, source: str) -> BandColumns:
    """The column of fluxes or magnitudes among columns that name no band, with its errors.

    Parameters
    ----------
    names : sequence of str
        Of columns.
    band : str
        What messages call them.
    given : str or None
        ``COLUMN[:UNIT][,ERROR[:UNIT]]`` of the user.
    source : str
        Of the columns, for messages.

    Raises
    ------
    SfhInputError
        None, or several that are equally good.
    """
    if given is not None:
        return _read_given(band, given, names, source)
    words = {name: frozenset(split_column_name(name)) for name in names}
    values = {
        n: w for n, w in words.items() if w & _VALUE_WORDS and not w & (_ERROR_WORDS | _LIMIT_WORDS | _OTHER_WORDS)
    }
    if not values:
        raise SfhInputError(
            f"{source}: no column of any band, and none of vectors named FLUX or MAG among {', '.join(names[:8])}; "
            f"name them with `columns` BAND=COLUMN, or {band}=COLUMN"
        )
    return _join_columns(band, _choose_value(band, values, source), names, ())


def _drop_redshifts(band: str, names: Sequence[str], bands: Sequence[str]) -> Sequence[str]:
    """Names without those of redshifts, for a band called z: ``z`` is the band where others are named so barely."""
    if split_column_name(band) != ["z"]:
        return names
    split = {name: split_column_name(name) for name in names}
    kept = [n for n, w in split.items() if "z" not in w or not set(w) & _REDSHIFT_WORDS]
    others = [split_column_name(b) for b in bands if b != band]
    if not others or any(words in others for words in split.values()):
        return kept
    stated = any(w[-1:] == ["z"] and set(w[:-1]) & _ERROR_WORDS for w in split.values())  # err_z: z_err is another's
    return [n for n in kept if split[n][0] != "z" or set(split[n][1:]) - (_ERROR_WORDS if stated else set())]


def _find(band: str, names: Sequence[str], source: str) -> BandColumns | None:
    """The columns whose names hold the band's."""
    own = split_column_name(band)
    about = {name: words for name in names if (words := _words_about(split_column_name(name), own)) is not None}
    values = {n: w for n, w in about.items() if not w & (_ERROR_WORDS | _LIMIT_WORDS | _OTHER_WORDS)}
    if not values:
        return None
    value = _choose_value(band, values, source)
    kind = values[value]
    limits = [n for n, w in about.items() if w & _LIMIT_WORDS and not w & _ERROR_WORDS and _agrees(w, kind)]
    return _join_columns(band, value, names, limits)


def _join_columns(band: str, value: str, names: Sequence[str], limits: Sequence[str]) -> BandColumns:
    """A column of values with its errors and what its name says of it."""
    kind = frozenset(split_column_name(value)) - frozenset(split_column_name(band))
    units = [_UNIT_WORDS[w] for w in kind if w in _UNIT_WORDS]
    error = _find_error(value, names)
    return BandColumns(
        band,
        value,
        error=error,
        error_kind=_find_error_kind(error, value),
        limit=limits[0] if limits else "",
        magnitude=bool(kind & _MAGNITUDE_WORDS),
        unit=units[0] if units else "",
        system=next(iter(sorted(kind & MAGNITUDE_SYSTEMS)), ""),
    )


def _words_about(words: list[str], own: list[str]) -> frozenset[str] | None:
    """Words of a name other than the band's own; None where those are not in it, one after the other."""
    for k in range(len(words) - len(own) + 1):
        if words[k : k + len(own)] == own:
            return frozenset(words[:k] + words[k + len(own) :])
    return None


def _choose_value(band: str, values: Mapping[str, frozenset[str]], source: str) -> str:
    rank = {name: (len(w - {"auto"}), bool(w & _MAGNITUDE_WORDS), len(w)) for name, w in values.items()}
    best = min(rank.values())
    first = [name for name, r in rank.items() if r == best]
    if len(first) > 1:
        raise SfhInputError(
            f"{source}: columns {', '.join(first)} could all be {band}; say which with `columns` {band}={first[0]}"
        )
    return first[0]


def _agrees(words: frozenset[str], kind: frozenset[str]) -> bool:
    """Whether words about an error or a limit are those about the value, but for the words that make it one."""
    return words - _ERROR_WORDS - _LIMIT_WORDS <= kind


def _find_error(value: str, names: Sequence[str]) -> str:
    """The error column of a value column: its name with a word for errors added or, within a word, appended."""
    words = split_column_name(value)
    for name in names:
        theirs = split_column_name(name)
        plain = [w for w in theirs if w not in _ERROR_WORDS]
        if len(plain) < len(theirs) and plain == words:
            return name
        stems = [re.sub(r"(err|error)$|^e(?=(f|flux|m|mag)$)", "", w) or w for w in theirs]
        if theirs != words and stems == words:
            return name
    return _find_bare_error(words, names) or _find_error_source(words, names)


def _find_bare_error(words: list[str], names: Sequence[str]) -> str:
    """The error column that has the band's name alone (``J0390_err``), where one column of values only can be meant."""
    bare = [w for w in words if w not in _VALUE_WORDS]
    split = {name: split_column_name(name) for name in names}
    values = [
        w for w in split.values() if not set(w) & _ERROR_WORDS and [v for v in w if v not in _VALUE_WORDS] == bare
    ]
    if not bare or bare == words or len(values) != 1:
        return ""
    plain = {name: [w for w in theirs if w not in _ERROR_WORDS] for name, theirs in split.items()}
    return next((name for name, theirs in plain.items() if theirs == bare and len(theirs) < len(split[name])), "")


def _find_error_source(words: list[str], names: Sequence[str]) -> str:
    """The column from which errors follow: the value's name with such a word added; of S/N the band alone will do."""
    for word, kind in ERROR_SOURCES.items():
        for name in names:
            theirs = split_column_name(name)
            plain = [w for w in theirs if w != word]
            same = plain == words or (kind == "S/N" and bool(plain) and plain == words[-len(plain) :])
            if len(plain) < len(theirs) and same:
                return name
    return ""


def _find_error_kind(error: str, value: str) -> str:
    """What an error column holds by a word of its name that is not in that of the value."""
    own = set(split_column_name(error)) - set(split_column_name(value))
    return next((kind for word, kind in ERROR_SOURCES.items() if word in own), "")


def _read_given(band: str, text: str, names: Sequence[str], source: str) -> BandColumns:
    """``COLUMN[:UNIT][,ERROR[:UNIT]]``."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 2 or not parts[0]:
        raise SfhInputError(f"`columns` {band}={text}: give COLUMN or COLUMN,ERROR_COLUMN")
    value, _, unit = parts[0].partition(":")
    error, _, error_unit = parts[1].partition(":") if len(parts) == 2 else ("", "", "")
    for column in filter(None, (value, error)):
        if column not in names:
            raise SfhInputError(f"`columns` {band}={text}: {source} has no column {column!r}")
    words = frozenset(split_column_name(value)) - set(split_column_name(band))
    error = error or _find_error(value, names)
    made = BandColumns(band, value, error, error_unit=error_unit, error_kind=_find_error_kind(error, value))
    if unit:
        return replace(made, unit=unit, magnitude=unit.lower() in ("mag", "abmag"))
    system = next(iter(sorted(words & MAGNITUDE_SYSTEMS)), "")
    return replace(made, magnitude=bool(words & _MAGNITUDE_WORDS), system=system)
