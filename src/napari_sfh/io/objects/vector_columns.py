"""Catalogues whose fluxes in all bands are one column of vectors, as those of J-PAS and J-PLUS.

Which number belongs to which band is certain where the file names the bands in as many words: in a column of names, in
a card of the header (``FILTERS``) or numbered ones (``BAND1`` ...), or in a further table with one row a band. A vector
of exactly as many numbers as the weights have bands, which the file does not name, is taken in their order, and this is
said. Others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from napari_sfh.errors import SfhInputError
from napari_sfh.io.objects.blocks import Catalogue
from napari_sfh.io.objects.columns import BandColumns, find_flux_column, holds_band_columns, match_band_columns

#: What stands for all bands where a user names a column of vectors.
ALL_BANDS = "ALL"


def match_catalogue_columns(
    catalogue: Catalogue, bands: Sequence[str], given: Mapping[str, str] | None = None
) -> tuple[dict[str, BandColumns], tuple[str, ...]]:
    """Columns of every band that a catalogue has, and notes on the order of vectors.

    Parameters
    ----------
    catalogue : Catalogue
    bands : sequence of str
        Of the instrument.
    given : mapping, optional
        See `match_band_columns`; ``ALL`` names a column of vectors, or as ``:UNIT`` the unit of all columns.

    Raises
    ------
    SfhInputError
        No band has a column, or the order of the vectors is not known.
    """
    given, source = dict(given or {}), str(catalogue.path)
    chosen = given.pop(ALL_BANDS, None)
    plain = [name for name in catalogue.names if name not in catalogue.widths]
    vectors = [name for name in catalogue.names if name in catalogue.widths]
    all_in = chosen.removeprefix(":").strip() if chosen is not None and chosen.startswith(":") else ""
    if (chosen is None or all_in) and (given or not vectors or holds_band_columns(plain, bands)):
        found_by_name = match_band_columns(catalogue.names if given else plain, bands, given, source)
        return {band: _put_unit(columns, all_in) for band, columns in found_by_name.items()}, ()
    if given:
        raise SfhInputError(f"`columns` {ALL_BANDS} and single bands: give either")
    found = _put_unit(find_flux_column(vectors, ALL_BANDS, None if all_in else chosen, source), all_in)
    order, note = _find_order(catalogue, found.value, bands)
    width = catalogue.widths.get(found.error, len(order))
    if width != len(order):
        raise SfhInputError(f"{source}: column {found.error!r} has {width} numbers a row, {found.value!r} {len(order)}")
    places = {name.upper(): k for k, name in enumerate(order)}
    matched = {band: replace(found, band=band, index=places[band.upper()]) for band in bands if band.upper() in places}
    return matched, (note,)


def _put_unit(columns: BandColumns, unit: str) -> BandColumns:
    """The columns of a band in the unit that a user names for all, where their own name or the user says none."""
    if not unit or columns.unit:
        return columns
    return replace(columns, unit=unit, magnitude=unit.lower() in ("mag", "abmag"))


def _find_order(catalogue: Catalogue, value: str, bands: Sequence[str]) -> tuple[Sequence[str], str]:
    """The bands of a vector's numbers, one after the other, and what is said of them."""
    width, known = catalogue.widths[value], {band.upper() for band in bands}
    named = {
        where: names
        for where, names in catalogue.name_lists.items()
        if 2 * len(known & {name.upper() for name in names}) >= min(len(names), len(bands))
    }
    fitting = {where: names for where, names in named.items() if len(names) == width == len(set(names))}
    if len(set(fitting.values())) > 1:
        raise SfhInputError(f"{catalogue.path}: {', '.join(fitting)} name the bands in different orders; leave one")
    if fitting:
        where, names = next(iter(fitting.items()))
        return names, f"{value} holds {width} bands in the order of {where}: {_show_order(names)}"
    if named:
        where, names = next(iter(named.items()))
        raise SfhInputError(
            f"{catalogue.path}: {where} names {len(set(names))} bands, but {value!r} has {width} numbers a row; "
            "correct it"
        )
    if width == len(bands):
        return bands, (
            f"{value} has {width} numbers a row, as many as these weights have bands: taken in their order "
            f"({_show_order(bands)}), as the file names none; if it is another, add a card FILTERS with the names"
        )
    raise SfhInputError(
        f"{catalogue.path}: {value!r} has {width} numbers a row, these weights have {len(bands)} bands; name the bands "
        f"of the numbers in a card FILTERS of its header ('{bands[0]},{bands[1]},...'), or write a column a band"
    )


def _show_order(names: Sequence[str]) -> str:
    return f"1 {names[0]}, 2 {names[1]}, ... {len(names)} {names[-1]}" if len(names) > 2 else ", ".join(names)
