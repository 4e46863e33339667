"""How a case changes an image, a header or a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from mutations import Case, change_hdus

Act = Callable[[fits.HDUList], Any]


def make_case(kind: str, file: str, name: str, act: Act) -> Case:
    return Case(kind, name, partial(change_hdus, file, act))


def set_cards(change: dict[str, Any], primary: dict[str, Any] | None = None) -> Act:
    """Set cards (None: remove) of every image, and of the primary HDU."""

    def act(hdus: fits.HDUList) -> None:
        for hdu in hdus:
            cards = dict(primary or {}) if hdu.data is None else change
            for key, value in cards.items():
                if value is None:
                    hdu.header.remove(key, ignore_missing=True)
                else:
                    hdu.header[key] = value

    return act


def change_images(change: Callable[[np.ndarray, int], Any]) -> Act:
    """Replace the data of each image."""

    def act(hdus: fits.HDUList) -> None:
        for k, hdu in enumerate(h for h in hdus if h.data is not None):
            made = change(np.array(hdu.data), k)
            if made is not None:
                hdu.data = made

    return act


def chain_acts(*acts: Act) -> Act:
    def act(hdus: fits.HDUList) -> None:
        for one in acts:
            one(hdus)

    return act
