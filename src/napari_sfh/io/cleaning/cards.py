"""Header cards, one by one: a card that cannot be used is named with its value, its HDU and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from napari_sfh.errors import SfhInputError

#: Cards that decide on numbers.
_DECISIVE = re.compile(
    r"^(C(TYPE|UNIT|RVAL|RPIX|DELT|ROTA)\d|CD\d_\d|PC\d_\d|BUNIT|BSCALE|BZERO|BLANK|PHOT(FLAM|PLAM)|EXPTIME|FILTER|"
    r"REDSHIFT|Z|EQUINOX|RADESYS|RESTWAV|RESTFRQ|DC-FLAG|INSTRUME)$"
)


#: Cards of an image's coordinates and unit, which an extension may inherit.
_COORDINATES = re.compile(
    r"^(WCSAXES|C(TYPE|UNIT|RVAL|RPIX|DELT|ROTA)\d|(CD|PC|PV|PS)\d_\d+|RADESYS|RADECSYS|EQUINOX|LONPOLE|LATPOLE|RESTWAV|"
    r"RESTFRQ|DC-FLAG|BUNIT)$"
)


#: Frames of SPECSYS (Greisen et al. 2006, A&A 446, 747), and how far off the Sun's velocity they are at most, km/s.
_FRAMES_KMS = {"TOPOCENT": 30, "LSRK": 20, "LSRD": 17, "GALACTOC": 240, "LOCALGRP": 320, "CMBDIPOL": 370}
#: Cards of the Earth's motion.
_EARTHS_MOTION = re.compile(r"(BARY|HELIO?)[ _]?(CORR?|VEL|RV|V)\b|\bBERV\b|\bV(HELIO|BARY|CORR)\b|\bVELOSYS\b", re.I)


class HeaderCards:
    """The cards of one HDU, read so that every error names what failed.

    Parameters
    ----------
    header : Header
    path : Path
        Of the file, for messages.
    """

    def __init__(self, header: fits.Header, path: Path) -> None:
        self.header = header
        self.path = path
        self.hdu = _hdu_name(header)

    def raw(self, key: str) -> Any:
        """Value of a card; None where it is absent, empty or cannot be parsed."""
        try:
            value = self.header.get(key)
        except Exception:  # astropy raises VerifyError, ValueError and others for cards that it cannot parse
            return None
        return None if isinstance(value, fits.card.Undefined) else value

    def has(self, key: str) -> bool:
        """Whether the card is there, readable or not."""
        return key in self.header

    def text(self, key: str) -> str:
        """A card's text without blanks at its ends; empty where there is none."""
        value = self.raw(key)
        return "" if value is None else str(value).strip()

    def number(self, key: str, default: float | None = None) -> float | None:
        """A card's finite number; ``default`` where it is absent.

        Raises
        ------
        SfhInputError
            The card is there and holds something else.
        """
        if not self.has(key):
            return default
        value = self.raw(key)
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[\d.]+([eEdD][-+]?\d+)?\s*", value):
            value = float(re.sub("[dD]", "e", value))
        if not is_finite_number(value):
            raise self.error(key, "is not a finite number", "correct it in the header")
        return float(value)

    def require_number(self, key: str, remedy: str) -> float:
        """A card's finite number, which must be there."""
        value = self.number(key)
        if value is None:
            raise SfhInputError(f"{self.path}: {key} is absent from HDU {self.hdu}; {remedy}")
        return value

    def error(self, key: str, problem: str, remedy: str) -> SfhInputError:
        """The error about one card."""
        return SfhInputError(f"{self.path}: {key} = {self._shown(key)} in HDU {self.hdu} {problem}; {remedy}")

    def _shown(self, key: str) -> str:
        value = self.raw(key)
        if value is None and self.has(key):
            return self.image(key)
        return repr(value)[:60]

    def image(self, key: str) -> str:
        """What stands in a card that cannot be parsed."""
        try:
            return str(self.header.cards[key].image)[10:40].split("/")[0].strip() or "(empty)"
        except Exception:
            return "(unreadable)"


def describe_duplicate_cards(header: fits.Header) -> list[str]:
    """Cards of coordinates, units and calibration that stand twice with different values: readers take either.

    Returns
    -------
    list of str
        A sentence each; empty where all is well.
    """
    notes = []
    for key in dict.fromkeys(k for k in header if _DECISIVE.match(k)):
        if header.count(key) > 1:
            values = [header[key, k] for k in range(header.count(key))]
            if any(value != values[0] for value in values):
                shown = ", ".join(repr(value)[:40] for value in values)
                notes.append(
                    f"{key} stands {len(values)} times in HDU {_hdu_name(header)} ({shown}): the first is used"
                )
    return notes


def find_coordinate_header(hdus: fits.HDUList, data: int) -> tuple[fits.Header, str]:
    """Header of an image, with the coordinates of the primary HDU where it has none of its own (``INHERIT``); a note.

    Parameters
    ----------
    hdus : HDUList
    data : int
        HDU number of the image.
    """
    own, primary = hdus[data].header, hdus[0].header
    if data == 0 or any(key.startswith("CTYPE") for key in own) or "CTYPE1" not in primary:
        return own, ""
    header = own.copy()
    taken = (card for card in primary.cards if _COORDINATES.match(card.keyword) and card.keyword not in own)
    header.update({card.keyword: card.value for card in taken})
    return header, f"HDU {hdus[data].name or data} has no coordinates: those of the primary HDU are used"


def is_finite_number(value: Any) -> bool:
    """Whether a card's value is a number of ordinary size: an integer of twenty digits is none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return False
    number = float(value)
    return bool(-1e300 < number < 1e300 and (isinstance(value, float) or abs(number) < 2.0**63))


def _hdu_name(header: fits.Header) -> str:
    try:
        return str(header.get("EXTNAME") or ("PRIMARY" if "SIMPLE" in header else "without EXTNAME"))
    except Exception:
        return "without EXTNAME"


def describe_velocity_frame(header: Mapping[str, Any]) -> tuple[str, ...]:
    """What is said of wavelengths that are not those seen from the Sun or the barycentre, by SPECSYS.

    Nothing is corrected: whether cards such as BARYCORR were applied, and their sign, differ from pipeline to pipeline.

    Parameters
    ----------
    header : mapping
        Cards of the spectral axis, the primary HDU's below them.
    """
    frame = str(header.get("SPECSYS", "")).strip().upper()
    if frame not in _FRAMES_KMS:
        return ()
    cards = [
        f"{key} = {value:g}" for key, value in header.items() if _EARTHS_MOTION.search(str(key)) and _is_number(value)
    ]
    corrected = f" ({', '.join(cards[:2])} is not applied)" if cards else ""
    return (
        f"SPECSYS {frame}: wavelengths are up to {_FRAMES_KMS[frame]:g} km/s from those seen from the Sun{corrected}; "
        "a velocity or `redshift` from another source must be of the same frame",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0
