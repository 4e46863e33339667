"""Untouched inputs of the corpus: a cube of 4 x 4 spaxels cut from the bundled mock, mosaics, MAPS, files read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from astropy.io import fits

from napari_sfh import demo

SIZE, LOW = 4, 27
CUBE, MOSAIC, WEIGHT, MAPS, BINS = "cube.fits", "f555w_drc_sci.fits", "f555w_drc_wht.fits", "MAPS.fits", "bins.fits"
_SKY = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CD1_", "CD2_", "RADESYS")


def _sky_cards(header: fits.Header) -> fits.Header:
    out = fits.Header()
    for key in header:
        if key.startswith(_SKY) and not key.endswith("3"):
            out[key] = header[key]
    return out


def make_inputs(folder: Path) -> Path:
    """Write the untouched inputs into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (source,) = demo.find_demo_folder().glob("*DATACUBE*")
    part = slice(LOW, LOW + SIZE)
    with fits.open(source) as hdus:
        header = _sky_cards(hdus["DATA"].header)
        for key in ("CTYPE3", "CUNIT3", "CRPIX3", "CRVAL3", "CD3_3", "BUNIT"):
            header[key] = hdus["DATA"].header[key]
        header["CRPIX1"] -= LOW
        header["CRPIX2"] -= LOW
        data, stat = (np.array(hdus[n].data[:, part, part], np.float32) for n in ("DATA", "STAT"))
    primary = fits.PrimaryHDU()
    primary.header.update({"OBJECT": "MOCK", "REDSHIFT": 0.0025, "INSTRUME": "MUSE"})
    variance = header.copy()
    variance["BUNIT"] = "(10**(-20)*erg/s/cm**2/Angstrom)**2"
    images = [fits.ImageHDU(data, header, name="DATA"), fits.ImageHDU(stat, variance, name="STAT")]
    fits.HDUList([primary, *images]).writeto(folder / CUBE, overwrite=True)
    _write_mosaic(folder)
    _write_maps(folder, header)
    return folder


def _write_mosaic(folder: Path) -> None:
    (science,) = demo.find_demo_folder().glob("*f555w*sci.fits*")
    (weight,) = demo.find_demo_folder().glob("*f555w*wht.fits*")
    with fits.open(science) as s, fits.open(weight) as w:
        sci, wht = s["SCI"], w["WHT"]
        scale = sci.shape[0] / 60
        y0, y1 = int((LOW - 7) * scale), int((LOW + SIZE + 7) * scale)
        header = _sky_cards(sci.header)
        for key in ("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "BUNIT", "PHOTFLAM", "PHOTPLAM", "EXPTIME"):
            if key in sci.header:
                header[key] = sci.header[key]
        header["CRPIX1"] -= y0
        header["CRPIX2"] -= y0
        fits.PrimaryHDU(np.array(sci.data[y0:y1, y0:y1], np.float32), header).writeto(folder / MOSAIC, overwrite=True)
        fits.PrimaryHDU(np.array(wht.data[y0:y1, y0:y1], np.float32), header).writeto(folder / WEIGHT, overwrite=True)


def _write_maps(folder: Path, header: fits.Header) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    bins = ((y // 2) * (SIZE // 2) + x // 2).astype(float)
    sky = _sky_cards(header)
    primary = fits.PrimaryHDU()
    primary.header["REDSHIFT"] = 0.0025
    v, sigma = np.zeros((SIZE, SIZE)), np.full((SIZE, SIZE), 60.0)
    images = [fits.ImageHDU(a, sky, name=n) for n, a in (("BIN_ID", bins), ("V_STARS", v), ("SIGMA_STARS", sigma))]
    fits.HDUList([primary, *images]).writeto(folder / MAPS, overwrite=True)
    fits.PrimaryHDU((bins + 1).astype(np.int32), sky).writeto(folder / BINS, overwrite=True)


def workspace_document() -> dict[str, object]:
    """A workspace as `write_workspace` makes it."""
    text = """{"kind": "napari-sfh workspace", "version": 1, "written_by": "0", "result": {"path": "a.fits", "bins": 4},
    "forms": {"data": {"cube": {"path": "c.fits"}, "redshift": "0.002"}}, "session": {"selected": 1, "compared": [2]},
    "canvas": {"camera": {"center": [0, 1.5, -2.0], "zoom": 9.1}, "layers": {"map AGE_LW": {"opacity": 1.0}}},
    "tools": {"region": {"outlines": []}}}"""
    document: dict[str, object] = json.loads(text)
    return document
