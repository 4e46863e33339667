"""Names and orders of images as other instruments' files have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import CUBE
from mutations import Case

from conventions.changes import Act, make_case


def list_layout_cases() -> Iterator[Case]:
    """Names and orders of other instruments' files."""

    def image(data: np.ndarray, like: Any, name: str, **cards: Any) -> fits.ImageHDU:
        header = like.header.copy()
        header.remove("BUNIT", ignore_missing=True)
        header.update(cards)
        return fits.ImageHDU(np.asarray(data), header, name=name)

    def primary(h: fits.HDUList) -> fits.PrimaryHDU:
        header = h[1].header.copy()
        for key in ("XTENSION", "EXTNAME", "PCOUNT", "GCOUNT"):
            header.remove(key, ignore_missing=True)
        header["REDSHIFT"] = 0.0025
        return fits.PrimaryHDU(h[1].data, header)

    none = np.zeros((1881, 4, 4), np.int16)
    u = {"BUNIT": "10**(-20)*erg/s/cm**2/Angstrom"}
    acts: dict[str, Act] = {
        "primary alone": lambda h: [primary(h)],
        "CALIFA": lambda h: [
            primary(h),
            image(np.sqrt(h[2].data), h[1], "ERROR"),
            image(np.ones_like(h[1].data), h[1], "ERRWEIGHT"),
            image(none.astype(np.uint8), h[1], "BADPIX"),
            fits.ImageHDU(np.ones((4, 4), np.float32), name="FIBCOVER"),
        ],
        "SAMI": lambda h: [
            primary(h),
            image(h[2].data, h[1], "VARIANCE"),
            image(np.ones_like(h[1].data), h[1], "WEIGHT"),
            fits.ImageHDU(np.ones((20, 3, 3, 4, 4), np.float32), name="COVAR"),
            fits.ImageHDU(np.ones(1881, np.float32), name="DUST"),
        ],
        "KCWI": lambda h: [
            primary(h),
            image(np.sqrt(h[2].data), h[1], "UNCERT"),
            image(none.astype(np.uint8), h[1], "MASK"),
            image(none.astype(np.uint8), h[1], "FLAGS"),
        ],
        "Gemini": lambda h: [
            h[0],
            image(h[1].data, h[1], "SCI", **u),
            image(h[2].data, h[1], "VAR"),
            image(none, h[1], "DQ"),
        ],
        "JWST": lambda h: [
            h[0],
            image(h[1].data, h[1], "SCI", **u),
            image(np.sqrt(h[2].data), h[1], "ERR", **u),
            image(none.astype(np.int32), h[1], "DQ"),
            image(np.ones_like(h[1].data), h[1], "WMAP"),
        ],
        "PyWiFeS": lambda h: [primary(h), image(h[2].data, h[1], "VAR"), image(none, h[1], "DQ")],
        "KMOS": lambda h: [
            h[0],
            image(h[1].data, h[1], "IFU.12.DATA", **u),
            image(np.sqrt(h[2].data), h[1], "IFU.12.NOISE", **u),
        ],
        "CCDData": lambda h: [
            primary(h),
            image(none.astype(np.uint8), h[1], "MASK"),
            image(np.sqrt(h[2].data), h[1], "UNCERT", UTYPE="StdDevUncertainty"),
        ],
        "CCDData, variance": lambda h: [primary(h), image(h[2].data, h[1], "UNCERT", UTYPE="VarianceUncertainty")],
        "ESO classes, variance": lambda h: [
            h[0],
            image(h[1].data, h[1], "SPEC", HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="SPECERR", **u),
            image(h[2].data, h[1], "SPECERR", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="MSE", SCIDATA="SPEC"),
        ],
        "ESO classes, 1 sigma": lambda h: [
            h[0],
            image(h[1].data, h[1], "SPEC", HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="SPECERR", **u),
            image(
                np.sqrt(h[2].data), h[1], "SPECERR", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="RMSE", SCIDATA="SPEC"
            ),
        ],
        "ESO classes and no names": lambda h: [
            h[0],
            image(h[2].data, h[1], "A", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="MSE"),
            image(h[1].data, h[1], "B", HDUCLASS="ESO", HDUCLAS2="DATA", **u),
        ],
        "lower case": lambda h: [h[0], image(h[1].data, h[1], "data", **u), image(h[2].data, h[1], "stat")],
        "two of each name": lambda h: [h[0], h[1], h[2], *(image(x.data * 3, x, x.name) for x in h[1:3])],
        "errors first": lambda h: [h[0], h[2], h[1]],
        "a white image called DATA first": lambda h: [
            h[0],
            fits.ImageHDU(np.ones((4, 4), np.float32), name="DATA"),
            h[1],
            h[2],
        ],
        "a little cube first": lambda h: [h[0], fits.ImageHDU(np.ones((5, 4, 4), np.float32), name="PSF"), h[1], h[2]],
        "a little cube first without a name": lambda h: [
            h[0],
            fits.ImageHDU(np.ones((5, 4, 4), np.float32)),
            *_nameless(h),
        ],
        "tables and strings behind": lambda h: [
            *h,
            fits.BinTableHDU.from_columns(
                [
                    fits.Column("name", "12A", array=np.array(["a", "b"])),
                    fits.Column("n", "K", array=np.arange(2)),
                    fits.Column("list", "PD()", array=np.array([np.ones(3), np.ones(5)], dtype=object)),
                ],
                name="OBS",
            ),
            fits.TableHDU.from_columns([fits.Column("t", "A10", array=np.array(["x"]))], name="ASCII"),
        ],
        "model cubes beside": lambda h: [
            *h,
            image(h[1].data * 2, h[1], "BESTFIT", **u),
            image(h[1].data * 0, h[1], "RESIDUALS", **u),
        ],
        "first extension is the fit": lambda h: [h[0], image(h[1].data * 0 + 5, h[1], "MODEL", **u), *h[1:]],
        "errors of another shape": lambda h: [h[0], h[1], image(h[2].data[:, :3], h[1], "STAT")],
        "two-dimensional errors": lambda h: [h[0], h[1], image(h[2].data[0], h[1], "STAT")],
        "errors of the spectrum alone": lambda h: [h[0], h[1], fits.ImageHDU(np.ones(1881, np.float32), name="STAT")],
        "DATA without errors": lambda h: [h[0], h[1]],
        "data and errors in one image": lambda h: [h[0], image(np.stack([h[1].data, h[2].data]), h[1], "DATA", **u)],
        "spaxels in rows": lambda h: [h[0], image(h[1].data.reshape(1881, 16).T.copy(), h[1], "DATA", **u)],
        "one spaxel": lambda h: [
            h[0],
            *(image(x.data[:, :1, :1], x, x.name, **u) for x in h[1:2]),
            image(h[2].data[:, :1, :1], h[2], "STAT"),
        ],
        "a long slit": lambda h: [
            h[0],
            image(h[1].data[:, :1], h[1], "DATA", **u),
            image(h[2].data[:, :1], h[2], "STAT"),
        ],
    }
    for name, act in acts.items():
        yield make_case("cube", CUBE, f"layout: {name}", act)


def _nameless(hdus: fits.HDUList) -> list[Any]:
    for hdu in hdus[1:]:
        hdu.header.remove("EXTNAME")
    return list(hdus[1:])
