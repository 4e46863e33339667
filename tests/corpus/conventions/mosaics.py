"""Mosaics: units, cards, layouts, images and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import MOSAIC, WEIGHT
from mutations import Case, change_hdus

from conventions.changes import chain_acts, change_images, make_case, set_cards


def list_mosaic_cases() -> Iterator[Case]:
    area = (0.0396 / 3600 * np.pi / 180) ** 2
    fnu = 1.85e-19 * 5306.92**2 / 2.99792458e18 * 1e23  # Jy per e-/s
    units: dict[str, float] = {
        "ELECTRONS/S": 1.0, "electron/s": 1.0, "e-/s": 1.0, "E/S": 1.0, "counts/s": 1.0, "COUNTS/S": 1.0, "cps": 1.0,
        "DN/S": 1.0, "electron s-1": 1.0, "ELECTRONS": 670.0, "COUNTS": 670.0, "electrons": 670.0, "DN": 670.0,
        "MJy/sr": fnu / area / 1e6, "erg/s/cm2/A": 1.85e-19, "erg/cm2/s/Angstrom": 1.85e-19, "1e-20 erg/s/cm2/A": 18.5,
        "Jy": fnu, "uJy": fnu * 1e6, "nJy": fnu * 1e9, "mJy/pixel": fnu * 1e3, "10.0*nanoJansky": fnu * 1e8,
        "UNITLESS": 1.0, "furlong": 1.0, "mag": 1.0, "1": 1.0,
    }  # fmt: skip
    for unit, factor in units.items():
        for weighted in (True, False):

            def convert(folder: Path, unit: str = unit, factor: float = factor, weighted: bool = weighted) -> None:
                change_hdus(
                    MOSAIC,
                    chain_acts(
                        change_images(lambda a, k: (a.astype(np.float64) * factor).astype(np.float32)),
                        set_cards({"BUNIT": unit}),
                    ),
                    folder,
                )
                if weighted:
                    change_hdus(WEIGHT, change_images(lambda a, k: a.astype(np.float64) / factor**2), folder)
                else:
                    (folder / WEIGHT).unlink()

            yield Case("mosaic", f"unit {unit!r}, {'weights' if weighted else 'no weights'}", convert)
    cards: dict[str, dict[str, Any]] = {
        "filter in lower case": {"FILTER": "f555w"},
        "filter with its element": {"FILTER": "F555W;CLEAR"},
        "filter in FILTER2": {"FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F555W"},
        "filter in FILTNAM1": {"FILTER": None, "FILTNAM1": "F555W"},
        "PHOTMODE": {"FILTER": None, "PHOTMODE": "WFC3 UVIS2 F555W MJD#55000"},
        "another filter": {"FILTER": "F606W"},
        "two filters": {"FILTER": "F814W", "FILTER2": "F555W"},
        "no filter": {"FILTER": None},
        "WFC3 IR": {"DETECTOR": "IR"},
        "no camera": {"INSTRUME": None, "DETECTOR": None},
        "WFPC2 gain": {"INSTRUME": "WFPC2", "DETECTOR": 3, "ATODGAIN": 7.0},
        "STIS": {"INSTRUME": "STIS", "DETECTOR": "CCD"},
        "NIRCam": {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "FILTER": "F200W"},
        "PHOTFLAM of another filter": {"PHOTFLAM": 1.5e-18},
        "PHOTPLAM in nm": {"PHOTPLAM": 530.692},
        "PHOTFLAM 0 and PHOTFNU": {"PHOTFLAM": 0.0, "PHOTFNU": fnu},
        "no PHOTPLAM": {"PHOTPLAM": None},
        "no EXPTIME": {"EXPTIME": None},
        "EXPTIME 0": {"EXPTIME": 0.0},
    }
    for name, change in cards.items():
        yield make_case("mosaic", MOSAIC, f"card: {name}", set_cards(change))

    def multi(names: tuple[str, ...], kinds: tuple[str, ...]) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            with fits.open(folder / MOSAIC) as s, fits.open(folder / WEIGHT) as w:
                sci, wht, header = np.array(s[0].data), np.array(w[0].data), s[0].header.copy()
            with np.errstate(all="ignore"):
                sigma = np.where(wht > 0, 1 / np.sqrt(wht), 0).astype(np.float32)
            data = {
                "sci": sci,
                "wht": wht,
                "err": sigma,
                "var": sigma**2,
                "ctx": np.ones(sci.shape, np.int32),
                "dq": np.zeros(sci.shape, np.int16),
                "exp": np.full(sci.shape, 670, np.float32),
            }
            images = [fits.ImageHDU(data[kind], header, name=name) for name, kind in zip(names, kinds, strict=True)]
            fits.HDUList([fits.PrimaryHDU(header=header), *images]).writeto(folder / MOSAIC, overwrite=True)
            (folder / WEIGHT).unlink()

        return change

    layouts = {
        "drz": (("SCI", "WHT", "CTX"), ("sci", "wht", "ctx")),
        "drc with exposure times": (("SCI", "WHT", "CTX"), ("sci", "exp", "ctx")),
        "errors": (("SCI", "ERR", "DQ"), ("sci", "err", "dq")),
        "variance": (("SCI", "VAR"), ("sci", "var")),
        "JWST": (("SCI", "ERR", "CON", "WHT", "VAR_POISSON"), ("sci", "err", "ctx", "wht", "var")),
        "weight first": (("WHT", "SCI"), ("wht", "sci")),
        "RMS": (("SCI", "RMS"), ("sci", "err")),
        "IVM": (("SCI", "IVM"), ("sci", "wht")),
        "no names": (("", ""), ("sci", "wht")),
        "alone": (("SCI",), ("sci",)),
    }
    for name, (names, kinds) in layouts.items():
        yield Case("mosaic", f"layout: {name}", multi(names, kinds))
    empty: dict[str, Callable[[np.ndarray], Any]] = {
        "a gap of zeros": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), 0),
        "a border of zeros": lambda a: a.__setitem__((slice(None), slice(None, 30)), 0),
        "half zero": lambda a: a.__setitem__((slice(None), slice(None, 64)), 0),
        "a gap of NaN": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), np.nan),
        "single zeros": lambda a: a.__setitem__(np.random.default_rng(1).random(a.shape) < 0.02, 0),
        "negative zeros in a gap": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), -0.0),
        "clipped at zero": lambda a: np.clip(a, 0, None, out=a),
        "integers": lambda a: np.round(a * 3, out=a),
        "hot pixels": lambda a: a.__setitem__(np.random.default_rng(1).random(a.shape) < 0.01, 1e4),
        "a satellite": lambda a: a.__setitem__((slice(60, 63),), 50.0),
        "not sky-subtracted": lambda a: a.__iadd__(np.float32(2 * np.median(a))),
        "shifted by 15 pixels": lambda a: a.__setitem__(Ellipsis, np.roll(a, 15, 1)),
        "flipped": lambda a: a.__setitem__(Ellipsis, a[::-1].copy()),
        "twice as bright": lambda a: a.__imul__(2),
    }
    for name, make in empty.items():
        for weighted in (True, False):

            def spoil(folder: Path, make: Callable[[np.ndarray], Any] = make, weighted: bool = weighted) -> None:
                change_hdus(MOSAIC, change_images(lambda a, k: make(a)), folder)
                if not weighted:
                    (folder / WEIGHT).unlink()

            yield Case("mosaic", f"image: {name}, {'weights' if weighted else 'no weights'}", spoil)
    weights: dict[str, Callable[[np.ndarray], Any]] = {
        "ones": lambda a: np.ones_like(a), "zeros": lambda a: a * 0,
        "exposure time": lambda a: np.where(a > 0, 670.0, 0),
        "1 sigma": lambda a: 1 / np.sqrt(np.maximum(a, 1e-9)), "variance": lambda a: 1 / np.maximum(a, 1e-9),
        "another shape": lambda a: a[:-2], "1e6 times": lambda a: a * 1e6, "integers": lambda a: a.astype(np.int32),
        "NaN where bad": lambda a: np.where(a > np.median(a), a, np.nan), "negative": lambda a: -a,
        "boolean": lambda a: (a > 0).astype(np.uint8),
    }  # fmt: skip
    for name, make in weights.items():
        yield make_case("mosaic", WEIGHT, f"weight: {name}", change_images(lambda a, k, make=make: make(a)))
