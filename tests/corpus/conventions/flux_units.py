"""Spellings of flux units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy.io import fits
from inputs import CUBE
from mutations import Case

from conventions.changes import make_case


def list_unit_cases() -> Iterator[Case]:
    units = {
        "10**(-20) erg s-1 cm-2 Angstrom-1": 1.0, "1e-20 erg/s/cm**2/Angstrom": 1.0, "1E-20erg/s/cm2/A": 1.0,
        "10^(-20)*erg/s/cm^2/Angstrom": 1.0, "10**-20 erg/(s cm**2 Angstrom)": 1.0, "1.e-20 erg cm-2 s-1 AA-1": 1.0,
        "10-20 erg/s/cm2/Ang": 1.0, "erg s^-1 cm^-2 angstrom^-1": 1e-20, "ergs s-1 cm-2 A-1": 1e-20,
        "erg/cm^2/s/A": 1e-20, "erg/cm**2/s/Ang": 1e-20, "Erg/S/Cm2/Angstrom": 1e-20, "[erg/s/cm2/Angstrom]": 1e-20,
        "1e-17 erg/s/cm2/Angstrom/pixel": 1e-3, "1E-16 erg s-1 cm-2 A-1 spaxel-1": 1e-4, "W m-2 um-1": 1e-19,
        "W/m^2/nm": 1e-22, "W m**-2 Angstrom**-1": 1e-23, "mW/m2/nm": 1e-19, "kW/m2/um": 1e-22,
        "erg/s/cm2/nm": 1e-19, "erg/s/cm2/um": 1e-16, "erg / (Angstrom arcsec2 cm2 s)": 25e-20,
        "1e-16 erg/s/cm^2/A/arcsec^2": 25e-4, "erg/s/cm2/A/sr": 1e-20, "Jy": 1.0, "mJy": 1.0, "uJy/spaxel": 1.0,
        "MJy/sr": 1.0, "erg/s/cm2/Hz": 1.0, "count": 1.0, "electron/s": 1.0, "DN": 1.0, "ADU/s": 1.0, "": 1.0, "1": 1.0,
        "none": 1.0, "unknown": 1.0, "photon/s/cm2/A": 1.0, "Lsun/A": 1.0, "mag/arcsec2": 1.0, "erg/s/cm2": 1.0,
        "10**(-20)*erg/s/cm**2/Angstrom**2": 1.0, "erg/s/cm2/A 1e-20": 1.0, "x1e-20 erg/s/cm2/A": 1.0,
    }  # fmt: skip
    for unit, factor in units.items():

        def convert(hdus: fits.HDUList, unit: str = unit, factor: float = factor) -> None:
            for power, hdu in ((1, hdus[1]), (2, hdus[2])):
                hdu.data = hdu.data.astype(np.float64) * factor**power
                hdu.header["BUNIT"] = unit if power == 1 else f"({unit})**2"

        yield make_case("cube", CUBE, f"unit: {unit!r}", convert)
