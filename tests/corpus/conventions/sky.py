"""Celestial coordinates as other programs write them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from mutations import Case, change_bytes

from conventions.changes import make_case, set_cards

_CD = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}
_PIXEL = 0.2 / 3600


def list_sky_cases(kind: str, file: str) -> Iterator[Case]:
    pixel = _PIXEL if kind == "cube" else 0.0396 / 3600
    plain: dict[str, dict[str, Any]] = {
        "CDELT alone": {**_CD, "CDELT1": -pixel, "CDELT2": pixel},
        "CDELT and CROTA2": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "CROTA2": 0.0},
        "CDELT and PC": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "PC1_1": 1.0, "PC2_2": 1.0},
        "CDELT and old PC": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "PC001001": 1.0, "PC002002": 1.0},
        "CDELT of 1 and PC": {**_CD, "CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -pixel, "PC2_2": pixel},
        "CD and PC together": {"CDELT1": 5.0, "CDELT2": 5.0, "PC1_1": 1.0, "PC2_2": 1.0},
        "CD and CDELT that differ": {"CDELT1": -3 * pixel, "CDELT2": 3 * pixel},
        "in arcsec": {
            "CUNIT1": "arcsec",
            "CUNIT2": "arcsec",
            **_CD,
            "CDELT1": -pixel * 3600,
            "CDELT2": pixel * 3600,
            "CRVAL1": 540000.0,
            "CRVAL2": -72000.0,
        },
        "in degrees, spelled": {"CUNIT1": "degrees", "CUNIT2": "DEGREE"},
        "no units": {"CUNIT1": None, "CUNIT2": None},
        "no frame": {"RADESYS": None},
        "fk5 in lower case": {"RADESYS": "fk5", "EQUINOX": 2000.0},
        "EQUINOX as text": {"RADESYS": "FK5", "EQUINOX": "J2000"},
        "EPOCH": {"RADESYS": None, "EPOCH": 2000.0},
        "RADECSYS": {"RADESYS": None, "RADECSYS": "FK5"},
        "GAPPT": {"RADESYS": "GAPPT"},
        "SIN": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        "ARC": {"CTYPE1": "RA---ARC", "CTYPE2": "DEC--ARC"},
        "CAR": {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR"},
        "TPV": {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0},
        "TNX": {
            "CTYPE1": "RA---TNX",
            "CTYPE2": "DEC--TNX",
            "WAT1_001": "wtype=tnx axtype=ra",
            "WAT2_001": "wtype=tnx axtype=dec",
        },
        "ZPN": {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0},
        "XXX": {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"},
        "lower case": {"CTYPE1": "ra---tan", "CTYPE2": "dec--tan"},
        "no projection": {"CTYPE1": "RA", "CTYPE2": "DEC"},
        "LINEAR": {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        "PIXEL": {"CTYPE1": "PIXEL", "CTYPE2": "PIXEL", "CUNIT1": "pixel", "CUNIT2": "pixel"},
        "other longitude": {"CRVAL1": -210.0},
        "LONPOLE 0": {"LONPOLE": 0.0},
        "PV of TAN": {"PV1_1": 0.0, "PV1_2": 0.0},
        "an alternative WCS": {"CTYPE1A": "PIXEL", "CTYPE2A": "PIXEL", "CRPIX1A": 1.0, "CRVAL1A": 1.0, "CD1_1A": 1.0},
        "WCSAXES 2": {"WCSAXES": 2},
        "WCSAXES 5": {"WCSAXES": 5},
        "WCSDIM and LTV": {"WCSDIM": 3, "LTV1": 5.0, "LTM1_1": 1.0, "WAT0_001": "system=image"},
        "galactic and equatorial mixed": {"CTYPE1": "GLON-TAN"},
        "pixel size of 0.2 degrees": {"CD1_1": -0.2, "CD2_2": 0.2},
    }
    for name, change in plain.items():
        yield make_case(kind, file, f"sky: {name}", set_cards(change))
    if kind == "cube":

        def swap(hdus: fits.HDUList) -> None:
            for hdu in hdus[1:]:
                h = hdu.header
                for key in ("CTYPE", "CRVAL", "CRPIX", "CUNIT"):
                    h[f"{key}1"], h[f"{key}2"] = h[f"{key}2"], h[f"{key}1"]
                h["CD1_1"], h["CD2_2"], h["CD1_2"], h["CD2_1"] = 0.0, 0.0, h["CD2_2"], h["CD1_1"]
                hdu.data = np.swapaxes(hdu.data, 1, 2).copy()

        yield make_case(kind, file, "sky: declination first", swap)
    for key in ("CRVAL1", "CRVAL3", "BUNIT", "CTYPE3", "CD3_3") if kind == "cube" else ("CRVAL1", "PHOTFLAM", "FILTER"):

        def repeat(raw: bytes, key: str = key) -> bytes:
            """A second card of the same name with another value, in place of a card that nobody needs."""
            text = "= 'JUNK    '" if key in ("BUNIT", "CTYPE3", "FILTER") else "=             7.25E+03"
            for spare in (b"CUNIT2  =", b"RADESYS =", b"CUNIT1  ="):
                at, own = raw.rfind(spare), raw.find(f"{key:8s}=".encode())
                if at > own >= 0:
                    return raw[:at] + f"{key:8s}{text}".encode().ljust(80) + raw[at + 80 :]
            return raw

        yield Case(kind, f"sky: two cards {key}", partial(change_bytes, file, repeat))
