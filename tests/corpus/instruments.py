"""Cubes as the pipelines of other spectrographs and other programs write them: layouts, units, axes, containers.

Each holds the mock's own numbers, so that it must give the mock's maps, or be refused with its cause.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from conventions.spectral_axes import FIRST_AA, STEP_AA
from inputs import CUBE
from mutations import Case, change_bytes, change_hdus

from napari_sfh.physics.wavelength import C_KMS, air_to_vacuum

AIR = FIRST_AA + STEP_AA * np.arange(1881)
_FLAM, _STRUCTURE = "10**(-20)*erg/s/cm**2/Angstrom", ("XTENSION", "EXTNAME", "PCOUNT", "GCOUNT")
Make = Callable[[fits.HDUList], list[Any]]


def _header(hdu: Any, **cards: Any) -> fits.Header:
    header = hdu.header.copy()
    for key in _STRUCTURE:
        header.remove(key, ignore_missing=True)
    for key, value in cards.items():
        if value is None:
            header.remove(key, ignore_missing=True)
        else:
            header[key] = value
    return header


def _image(data: np.ndarray, like: Any, name: str, **cards: Any) -> fits.ImageHDU:
    return fits.ImageHDU(data, _header(like, **cards), name=name or None)


def _primary(data: np.ndarray, like: Any, **cards: Any) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(data, _header(like, REDSHIFT=0.0025, **cards))


def _ones(h: fits.HDUList, kind: str = "u1", value: int = 0) -> np.ndarray:
    return np.full(h[1].data.shape, value, kind)


def _manga(h: fits.HDUList) -> list[Any]:
    vacuum = np.geomspace(4760.0, 7090.0, AIR.size)
    flux, variance = (
        np.moveaxis(np.apply_along_axis(lambda a: np.interp(vacuum, air_to_vacuum(AIR), a), 0, hdu.data), 0, 0)
        for hdu in h[1:3]
    )
    cards = {"CTYPE3": "WAVE-LOG", "CRVAL3": 4760.0, "CD3_3": 4760.0 * float(np.log(vacuum[1] / vacuum[0]))}
    unit = {"BUNIT": "1E-17 erg/s/cm^2/Ang/spaxel"}
    return [
        h[0],
        _image((flux * 1e-3).astype("f4"), h[1], "FLUX", **cards, **unit),
        _image((1e6 / variance).astype("f4"), h[1], "IVAR", BUNIT=None, **cards),
        _image(_ones(h, "i4"), h[1], "MASK", BUNIT=None, **cards),
        fits.ImageHDU(vacuum, name="WAVE"),
        _image(_ones(h, "f4", 1), h[1], "LSFPOST", BUNIT="Angstrom"),
    ]


def _jwst(h: fits.HDUList) -> list[Any]:
    per_hertz = h[1].data * 1e-20 * (air_to_vacuum(AIR) ** 2)[:, None, None] / (C_KMS * 1e13)
    brightness = per_hertz / 1e-17 / np.radians(0.2 / 3600) ** 2
    sigma = np.sqrt(h[2].data) / h[1].data * brightness
    cards = {"BUNIT": "MJy/sr", "INSTRUME": "NIRSPEC"}
    return [
        h[0],
        _image(brightness.astype("f4"), h[1], "SCI", **cards),
        _image(sigma.astype("f4"), h[1], "ERR", **cards),
        _image(_ones(h, "u4"), h[1], "DQ", BUNIT=None),
        _image(_ones(h, "f4", 1), h[1], "WMAP", BUNIT=None),
    ]


def _jansky(h: fits.HDUList) -> list[Any]:
    factor = (air_to_vacuum(AIR) ** 2)[:, None, None] / (C_KMS * 1e13) * 1e-20 * 1e26
    variance = (h[2].data * factor**2)[::-1].astype("f4")
    cards = {"CRVAL3": float(AIR[-1]), "CD3_3": -STEP_AA}
    return [
        h[0],
        _image((h[1].data * factor)[::-1].astype("f4"), h[1], "DATA", BUNIT="mJy", **cards),
        _image(variance, h[1], "STAT", BUNIT="mJy2", **cards),
    ]


def _table_of_wavelengths(h: fits.HDUList) -> list[Any]:
    bare = dict.fromkeys(("CTYPE3", "CRVAL3", "CD3_3", "CRPIX3", "CUNIT3"))
    column = fits.Column("WAVELENGTH", "D", "log10(nm)", array=np.log10(AIR / 10))
    table = fits.BinTableHDU.from_columns([column], name="WAVELENGTH")
    return [h[0], *(_image(x.data, x, x.name, **bare) for x in h[1:3]), table]


def _stokes_between(h: fits.HDUList) -> list[Any]:
    cards = {"CTYPE3": "STOKES", "CRVAL3": 1.0, "CD3_3": 1.0, "CUNIT3": "", "CTYPE4": "AWAV", "CUNIT4": "Angstrom",
             "CRVAL4": FIRST_AA, "CD4_4": STEP_AA, "CRPIX4": 1.0}  # fmt: skip
    return [h[0], *(_image(x.data[:, None], x, x.name, **cards) for x in h[1:3])]


LAYOUTS: dict[str, Make] = {
    "MaNGA LOGCUBE": _manga,
    "JWST s3d, MJy/sr": _jwst,
    "mJy, channels from red to blue": _jansky,
    "KCWI: FLAM16, UNCERT, MASK, FLAGS": lambda h: [
        _primary((h[1].data * 1e-4).astype("f4"), h[1], BUNIT="FLAM16", INSTRUME="KCWI"),
        _image((np.sqrt(h[2].data) * 1e-4).astype("f4"), h[1], "UNCERT", BUNIT="FLAM16"),
        _image(_ones(h), h[1], "MASK", BUNIT=None),
        _image(_ones(h), h[1], "FLAGS", BUNIT=None),
    ],
    "KMOS: IFU.7.DATA": lambda h: [
        h[0],
        _image(h[1].data, h[1], "IFU.7.DATA"),
        _image(np.sqrt(h[2].data), h[1], "IFU.7.NOISE"),
    ],
    "SINFONI: W/m2/um": lambda h: [
        _primary((h[1].data * 1e-19).astype("f4"), h[1], BUNIT="W/m**2/um", CUNIT3="um", CRVAL3=FIRST_AA / 1e4,
                 CD3_3=STEP_AA / 1e4)
    ],
    "WEAVE: counts and a sensitivity": lambda h: [
        h[0],
        _image(h[1].data, h[1], "BLUE_DATA", BUNIT="counts"),
        _image(1 / h[2].data, h[1], "BLUE_IVAR", BUNIT=None),
        fits.ImageHDU(np.full(AIR.size, 1e-20), name="BLUE_SENSFUNC"),
    ],
    "CALIFA: CDELT, ERROR, ERRWEIGHT, BADPIX, FIBCOVER": lambda h: [
        _primary((h[1].data * 1e-4).astype("f4"), h[1], BUNIT="10^-16 erg/s/cm^2/AA", INSTRUME="PMAS"),
        _image((np.sqrt(h[2].data) * 1e-4).astype("f4"), h[1], "ERROR", BUNIT=None),
        _image(_ones(h, "f4", 1), h[1], "ERRWEIGHT", BUNIT=None),
        _image(_ones(h), h[1], "BADPIX", BUNIT=None),
        _image(_ones(h, "u1", 3), h[1], "FIBCOVER", BUNIT=None),
    ],
    "SAMI: VARIANCE, WEIGHT, COVAR of five axes": lambda h: [
        _primary(h[1].data * 1e-4, h[1], BUNIT="10**(-16) erg /s /cm**2 /angstrom /pixel"),
        fits.ImageHDU((h[2].data * 1e-8).astype("f4"), name="VARIANCE"),
        fits.ImageHDU(_ones(h, "f4", 1), name="WEIGHT"),
        fits.ImageHDU(np.zeros((3, 5, 5, 4, 4)), name="COVAR"),
    ],
    "without names, the variance by its unit": lambda h: [h[0], *(_image(x.data, x, "") for x in h[1:3])],
    "STAT before DATA": lambda h: [h[0], h[2], h[1]],
    "a mask with 1 for usable": lambda h: [*h, _image(_ones(h, "u1", 1), h[1], "MASK", BUNIT=None)],
    "GOODPIX": lambda h: [*h, _image(_ones(h, "u1", 1), h[1], "GOODPIX", BUNIT=None)],
    "Stokes first": lambda h: [h[0], *(_image(x.data[None], x, x.name, CTYPE4="STOKES", CRVAL4=1.0) for x in h[1:3])],
    "Stokes between": _stokes_between,
    "flux and variance as one array": lambda h: [h[0], _image(np.stack([h[1].data, h[2].data]), h[1], "DATA")],
    "wavelengths in a table, log10 nm": _table_of_wavelengths,
    "CCDData": lambda h: [
        _primary(h[1].data, h[1], BUNIT="1e-20 erg / (Angstrom s cm2)"),
        _image(np.sqrt(h[2].data), h[1], "UNCERT", UTYPE="StdDevUncertainty", BUNIT=None),
        _image(_ones(h), h[1], "MASK", BUNIT=None),
    ],
    "ds9: physical coordinates": lambda h: [
        _primary(h[1].data, h[1], LTV1=-27.0, LTV2=-27.0, LTM1_1=1.0, LTM2_2=1.0, CTYPE1P="x", CTYPE2P="y")
    ],
    "IRAF: WAT cards": lambda h: [
        h[0],
        *(
            _image(x.data, x, x.name, CTYPE3="LINEAR", CUNIT3="", WAT3_001="wtype=linear units=angstroms")
            for x in h[1:3]
        ),
    ],
    "a simulation in kpc": lambda h: [
        h[0], *(_image(x.data, x, x.name, CTYPE1="x", CTYPE2="y", CUNIT1="kpc", CUNIT2="kpc") for x in h[1:3])
    ],
    "a simulation in Lsun/Angstrom": lambda h: [h[0], _image(h[1].data, h[1], "DATA", BUNIT="Lsun/Angstrom")],
}  # fmt: skip
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip twice": lambda raw: gzip.compress(gzip.compress(raw)),
    "ASDF": lambda raw: b"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n" + raw,
    "npy": lambda raw: b"\x93NUMPY\x01\x00" + raw,
    "text behind the last HDU": lambda raw: raw + bytes(1234) + b"hello" * 50,
}
UNITS = (
    "10^-20 erg/s/cm^2/Angstrom",
    "1.0E-20 erg s^-1 cm^-2 Ang^-1",
    "10-20 erg/s/cm2/A/spaxel",
    "1e-20 erg/cm^2/s/Angstroms",
    "1d-20 erg/s/cm**2/AA",
    "FLAM20",
)


def list_instrument_cases() -> Iterator[Case]:
    """Every layout, container and spelling, always in the same order."""
    for name, make in LAYOUTS.items():
        yield Case("cube", f"layout: {name}", partial(change_hdus, CUBE, make))
    for name, pack in PACKED.items():
        yield Case("cube", f"container: {name}", partial(change_bytes, CUBE, pack))
    for unit in UNITS:

        def respell(h: fits.HDUList, unit: str = unit) -> None:
            h[1].header["BUNIT"] = unit

        yield Case("cube", f"BUNIT {unit}", partial(change_hdus, CUBE, respell))
