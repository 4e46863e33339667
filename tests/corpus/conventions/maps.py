"""MAPS files and maps of bins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import BINS, MAPS
from mutations import Case

from conventions.changes import Act, make_case, set_cards


def list_map_cases() -> Iterator[Case]:
    def image(hdus: fits.HDUList, name: str, change: Callable[[np.ndarray], Any]) -> None:
        hdus[name].data = np.asarray(change(np.array(hdus[name].data)))

    changes: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
        "V in m/s": ("V_STARS", lambda a: a * 1000 + 40000.0),
        "V absolute": ("V_STARS", lambda a: a + 749.0),
        "V off by 200": ("V_STARS", lambda a: a + 200.0),
        "sigma in m/s": ("SIGMA_STARS", lambda a: a * 1000),
        "sigma zero": ("SIGMA_STARS", lambda a: a * 0),
        "sigma squared": ("SIGMA_STARS", lambda a: a**2),
        "bins from 1": ("BIN_ID", lambda a: a + 1),
        "bins as int64": ("BIN_ID", lambda a: a.astype(np.int64)),
        "bins as uint16": ("BIN_ID", lambda a: a.astype(np.uint16)),
        "bins with gaps": ("BIN_ID", lambda a: a * 7),
        "bins -1 and 0": ("BIN_ID", lambda a: np.where(a == 3, -1, a)),
        "one bin": ("BIN_ID", lambda a: a * 0 + 1),
        "every spaxel": ("BIN_ID", lambda a: np.arange(16.0).reshape(4, 4)),
        "bins transposed": ("BIN_ID", lambda a: a.T.copy()),
        "V in another shape": ("V_STARS", lambda a: a[:3]),
    }
    for name, (hdu, change) in changes.items():
        yield make_case("maps", MAPS, f"maps: {name}", partial(image, name=hdu, change=change))
    acts: dict[str, Act] = {
        "redshift of another galaxy": set_cards({}, {"REDSHIFT": 0.03}),
        "redshift absent": set_cards({}, {"REDSHIFT": None}),
        "redshift as velocity": set_cards({}, {"REDSHIFT": 749.0}),
        "redshift as text": set_cards({}, {"REDSHIFT": "0.0025"}),
        "no WCS": set_cards({"CTYPE1": None, "CTYPE2": None}),
        "shifted by a spaxel": set_cards({"CRPIX1": 4.5}),
        "shifted by an arcminute": set_cards({"CRVAL2": -20.0167}),
        "names of MaNGA": lambda h: (
            [setattr(h[k], "name", n) for k, n in ((1, "BINID"), (2, "STELLAR_VEL"), (3, "STELLAR_SIGMA"))] and None
        ),
        "no SIGMA_STARS": lambda h: [x for x in h if x.name != "SIGMA_STARS"],
        "a table": lambda h: [
            h[0],
            fits.BinTableHDU.from_columns([fits.Column("BIN_ID", "J", array=np.arange(16))], name="BIN_ID"),
        ],
    }
    for name, act in acts.items():
        yield make_case("maps", MAPS, f"maps: {name}", act)
    forms: dict[str, Act] = {
        "a table": lambda h: [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([
            fits.Column("ID", "J", array=np.arange(16)), fits.Column("BIN_ID", "J", array=np.arange(16) // 4)])],
        "a cube of planes": lambda h: [fits.PrimaryHDU(np.stack([h[0].data] * 3).astype(np.float32), h[0].header)],
        "one plane": lambda h: [fits.PrimaryHDU(h[0].data[None].astype(np.float32), h[0].header)],
        "larger": lambda h: [fits.PrimaryHDU(np.pad(h[0].data, 3), h[0].header)],
        "transposed": lambda h: [fits.PrimaryHDU(h[0].data.T.copy(), h[0].header)],
        "without sky": lambda h: [fits.PrimaryHDU(h[0].data)],
        "bytes": lambda h: [fits.PrimaryHDU(h[0].data.astype(np.uint8), h[0].header)],
        "unsigned": lambda h: [fits.PrimaryHDU(h[0].data.astype(np.uint32), h[0].header)],
    }  # fmt: skip
    for name, act in forms.items():
        yield make_case("bins", BINS, f"bins: {name}", act)
