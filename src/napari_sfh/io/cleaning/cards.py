"""Header cards, one by one: a card that cannot be used is named with its value, its HDU and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from napari_sfh.errors import SfhInputError


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
