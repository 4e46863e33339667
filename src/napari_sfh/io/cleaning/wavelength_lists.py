"""Wavelengths that stand as a list beside the cube: a 1-D image (MaNGA's WAVE) or the column of a table.

A header that names its wavelength axis is used; the list then serves as a check of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.io.cleaning.wavelengths import WavelengthAxis, find_medium
from napari_sfh.physics.wavelength import C_AA_S, air_to_vacuum, vacuum_to_air
from napari_sfh.types import F64

_NAME = re.compile(
    r"^(LOG_?)?(AIR_?|VAC_?)?(WAVE|WAVELENGTHS?|LAMBDA|LAMDA|LAM|LOGLAM|LOGWAVE|WL|AWAV|GRID_POINTS)(_?(AIR|VAC|AA))?$"
)
#: What spectrographs of galaxies observe, Angstrom: numbers that give something else have another unit.
_OBSERVED_AA = (2000.0, 3e5)
#: Numbers that are micrometres as well as log10 or ln of Angstrom, of a spectrum in the visible.
_UNCLEAR = ((3.3, 4.2), (7.6, 9.6))
_FREQUENCY = "Angstrom, from frequencies"
_PLAIN_UNITS = ((1e-10, "Angstrom"), (1e-9, "nm"), (1e-6, "micron"), (1.0, "m"))


class _List(NamedTuple):
    name: str
    values: F64
    unit: str
    header: fits.Header


def read_listed_wavelengths(hdus: fits.HDUList, n: int, path: Path, ctype: str = "") -> WavelengthAxis | None:
    """Air wavelengths of ``n`` channels from a list in the file; None where there is none.

    Parameters
    ----------
    hdus : HDUList
    n : int
        Channels of the cube.
    path : Path
        For the message.
    ctype : str
        Of the header's axis: ``WAVE`` and ``AWAV`` say in which medium a list is whose name does not.

    Raises
    ------
    SfhInputError
        There is a list, but of another length, or its numbers are no wavelengths.
    """
    lists = [found for hdu in hdus for found in _find_lists(hdu)]
    if not lists:
        return None
    listed = next((one for one in lists if one.values.size == n), None)
    if listed is None:
        raise SfhInputError(
            f"{path}: {lists[0].name} lists {lists[0].values.size} wavelengths for {n} channels; repair it"
        )
    if lost := int((~np.isfinite(listed.values)).sum()):
        raise SfhInputError(
            f"{path}: {lost} of the {n} wavelengths of {listed.name} are not finite; write them, or leave out their "
            "channels"
        )
    wave, unit = convert_wavelengths(listed.name, listed.values, listed.unit, path)
    falling = bool(wave[0] > wave[-1])
    wave = wave[::-1] if falling else wave
    if (turns := np.flatnonzero(np.diff(wave) <= 0)).size:
        first = turns[0]
        raise SfhInputError(
            f"{path}: the numbers of {listed.name} are no rising wavelengths in {unit}: {wave[first + 1]:.9g} follows "
            f"{wave[first]:.9g} ({turns.size} such steps); leave out channels that stand twice, and "
            "arms where they overlap"
        )
    vacuum, medium = find_medium(listed.header, hdus[0].header, *(h.header for h in hdus if h.name in ("DATA", "FLUX")))
    if re.match(r"A?WAV(E|$)(?![A-Z])", ctype.upper()):
        vacuum, medium = not ctype.upper().startswith("A"), f"those of CTYPE {ctype!r}"
    if unit == _FREQUENCY:
        vacuum, medium = True, "vacuum, as frequencies give"
    said = re.search(r"AIR|VAC|AWAV", listed.name)
    if said:
        vacuum, medium = said.group() == "VAC", f"{'vacuum' if said.group() == 'VAC' else 'air'}, as its name says"
    notes = [f"wavelengths of {listed.name} in {unit}: taken as {medium}"]
    if falling:
        notes.append("the channels lie from red to blue: reversed on reading")
    return WavelengthAxis(vacuum_to_air(wave) if vacuum else wave, tuple(notes), falling, vacuum)


def compare_with_list(axis: WavelengthAxis, hdus: fits.HDUList, path: Path) -> WavelengthAxis:
    """The axis of the header, with a note where a list in the file says something else, in air or in vacuum.

    Parameters
    ----------
    axis : WavelengthAxis
        Of the header.
    hdus : HDUList
        Open; a table or image of wavelengths is looked for.
    path : Path
        For messages.

    Returns
    -------
    WavelengthAxis
        Its wavelengths are the header's in any case.
    """
    try:
        listed = read_listed_wavelengths(hdus, axis.wave_aa.size, path)
    except SfhInputError:
        return axis  # of something else
    if listed is None:
        return axis
    step = float(np.median(np.diff(axis.wave_aa)))
    same = (listed.wave_aa, vacuum_to_air(listed.wave_aa), air_to_vacuum(listed.wave_aa))
    worst = min(float(np.max(np.abs(wave - axis.wave_aa))) for wave in same)
    if worst <= 0.5 * step:
        return axis
    note = f"the list of wavelengths in the file differs from the header's axis by up to {worst:.2f} A: not used"
    return axis._replace(notes=(*axis.notes, note))


def _find_lists(hdu: Any) -> list[_List]:
    """Lists of an HDU: an image with one axis, or columns of a table, one row a channel or all in one row."""
    if isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU):
        long = [length for length in hdu.shape if length > 1]
        if len(long) == 1 and _NAME.match(hdu.name.strip().upper()):
            unit = str(hdu.header.get("BUNIT", "") or hdu.header.get("CUNIT1", ""))
            return [_List(hdu.name.upper(), np.ravel(np.asarray(hdu.data, dtype=np.float64)), unit, hdu.header)]
        return []
    if not isinstance(hdu, fits.BinTableHDU) or isinstance(hdu, fits.CompImageHDU):
        return []
    columns = [c for c in hdu.columns if _NAME.match(str(c.name).strip().upper()) and "A" not in str(c.format)]
    return [
        _List(str(c.name).upper(), np.ravel(np.asarray(hdu.data[c.name], dtype=np.float64)), c.unit or "", hdu.header)
        for c in columns
        if len(hdu.data) > 0
    ]


def convert_wavelengths(name: str, values: F64, unit: str, path: Path) -> tuple[F64, str]:
    """Wavelengths in Angstrom (the medium stays), and the name of the unit that the numbers had.

    A unit that is stated counts where it gives wavelengths; else it is that of a logarithm.

    Parameters
    ----------
    name : str
        Of the list or column: ``LOG`` in it says what it holds.
    values : array (n,)
        As stored, finite.
    unit : str
        As written; empty where none is stated.
    path : Path
        For messages.

    Raises
    ------
    SfhInputError
        No wavelengths of galaxies in any known unit.
    """
    hertz = unit_conversion_factor(unit, u.Hz) if unit else None
    if hertz is not None and np.min(values) > 0:
        wave = C_AA_S / (hertz * values)
        if _OBSERVED_AA[0] < np.min(wave) and np.max(wave) < _OBSERVED_AA[1]:
            return wave, _FREQUENCY
    bare = re.sub(r"^(log10|log|ln|dex)\s*[(\[]?|[)\]]$", "", unit.strip(), flags=re.I)
    logarithm = bool(re.search(r"LOG|^LN(?!M)", name.upper())) or bare != unit.strip()
    factor = unit_conversion_factor(bare, u.AA) if bare else None
    made: list[tuple[F64, str]] = []
    if factor is not None and not logarithm:
        made.append((factor * values, bare))
    if logarithm or factor is not None:
        with np.errstate(over="ignore"):
            scales = [(factor, bare)] if factor is not None else []
            for scale, of in (*scales, (1.0, "Angstrom"), (10.0, "nm")):
                made.append((scale * 10.0**values, f"log10 {of}"))
                made.append((scale * np.exp(values), f"ln {of}"))
    else:
        if any(low < np.min(values) and np.max(values) < high for low, high in _UNCLEAR):
            raise SfhInputError(
                f"{path}: {name} holds {values[0]:g} to {values[-1]:g}: micrometres or logarithms of Angstrom? Write "
                "the unit, or call it loglam"
            )
        made += [(metres * 1e10 * values, f"{of}, by their size") for metres, of in _PLAIN_UNITS]
    for wave, told in made:
        if _OBSERVED_AA[0] < np.min(wave) and np.max(wave) < _OBSERVED_AA[1]:
            return wave, told
    raise SfhInputError(
        f"{path}: {name} holds {values[0]:g} to {values[-1]:g}, no wavelengths in a known unit "
        f"({unit or 'it states none'}); correct its unit"
    )
