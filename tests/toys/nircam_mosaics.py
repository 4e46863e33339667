"""NIRCam mosaics of the mock galaxy, as the JWST pipeline writes them: MJy/sr, errors in ERR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from napari_sfh import demo
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.mosaics import read_mosaic

JWST = load_instrument("phangs-jwst")
#: Flux density over that of F814W: a population with little dust emission.
RATIOS = {"F200W": 0.32, "F335M": 0.07}
SPEED_OF_LIGHT_AA_S = 2.99792458e18


def write_nircam(source: Path, folder: Path, band: str, ratio: float) -> None:
    """An i2d mosaic of the field of an HST mosaic, each pixel ``ratio`` of its flux density, in MJy/sr."""
    mosaic = read_mosaic(source, "F814W", JWST)
    with fits.open(source) as hdus:
        hdu = next(h for h in hdus if h.data is not None)
        header, data = hdu.header.copy(), np.asarray(hdu.data, np.float64)
    pixel_sr = mosaic.wcs.proj_plane_pixel_area().to_value("sr")
    pivot_aa = JWST.pivot_aa[JWST.band_names.index(band)]
    surface = ratio * data * mosaic.photflam * pivot_aa**2 / SPEED_OF_LIGHT_AA_S / pixel_sr / 1e-17
    for key in ("PHOTFLAM", "PHOTPLAM", "PHOTZPT", "FILTER", "INSTRUME", "DETECTOR", "EXPTIME"):
        header.remove(key, ignore_missing=True)
    header["BUNIT"] = "MJy/sr"
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "MULTIPLE", "FILTER": band})
    error = np.full(surface.shape, 0.02 * np.nanmedian(np.abs(surface)))
    hdus = [fits.ImageHDU(a.astype(np.float32), header, name=name) for a, name in ((surface, "SCI"), (error, "ERR"))]
    fits.HDUList([primary, *hdus]).writeto(folder / f"mock0001_nircam_lv3_{band.lower()}_i2d.fits")


def write_infrared_folder(folder: Path) -> Path:
    """A strip of the mock galaxy with its HST mosaics but F275W, and two of the four NIRCam ones."""
    made = demo.write_demo_cutout(folder, (slice(28, 32), slice(20, 36)))
    (source,) = made.glob("*f814w*sci.fits")
    for band, ratio in RATIOS.items():
        write_nircam(source, made, band, ratio)
    for path in made.glob("*f275w*"):
        path.unlink()
    return made
