"""`phangs-jwst` on a cube with HST and NIRCam mosaics: found by name, in MJy/sr, some of them missing."""

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh import demo
from napari_sfh.cli import main
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.io.results import read_result
from napari_sfh.types import Flag

JWST = load_instrument("phangs-jwst")
#: Flux density over that of F814W: a population with little dust emission.
RATIOS = {"F200W": 0.32, "F335M": 0.07}
SPEED_OF_LIGHT_AA_S = 2.99792458e18


def write_nircam(source, folder, band, ratio):
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A strip of the mock galaxy with its HST mosaics but F275W, and two of the four NIRCam ones."""
    folder = demo.write_demo_cutout(tmp_path_factory.mktemp("jwst") / "MOCK", (slice(28, 32), slice(20, 36)))
    (source,) = folder.glob("*f814w*sci.fits")
    for band, ratio in RATIOS.items():
        write_nircam(source, folder, band, ratio)
    for path in folder.glob("*f275w*"):
        path.unlink()
    return folder


def test_a_folder_with_some_nircam_mosaics_runs(folder, tmp_path, capsys):
    assert main(["info", str(folder), "--model", "phangs-jwst"]) == 0
    told = capsys.readouterr().out
    assert "F335M" in told
    out = tmp_path / "out.fits"
    assert main(["run", str(folder), "--model", "phangs-jwst", "--ebv-mw", "0", "--output", str(out), "--quiet"]) == 0
    result = read_result(out)
    used = dict(zip(result.data.bands, result.data.phot_mask.T, strict=True))
    assert {band for band, mask in used.items() if mask.any()} == {"F336W", "F438W", "F555W", "F814W", *RATIOS}
    assert ((result.data.flag & int(Flag.MISSING_BAND)) > 0).all()
    optical = result.data.phot[:, result.data.bands.index("F814W")]
    for band, ratio in RATIOS.items():
        infrared = result.data.phot[:, result.data.bands.index(band)]
        np.testing.assert_allclose(infrared / optical, ratio, rtol=0.04, err_msg=band)
    for name in ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "ebv"):
        assert np.isfinite(result.prediction.quantiles[name]).all()


def test_named_files_need_not_lie_together(folder, tmp_path):
    cube, image = (next(folder.glob(pattern)) for pattern in ("*DATACUBE*", "*f200w*"))
    out = tmp_path / "out.fits"
    given = ["--cube", str(cube), "--photometry", f"F200W={image}", "--model", "phangs-jwst", "--kinematics", "0,60"]
    assert main(["run", *given, "--ebv-mw", "0", "--target-snr", "80", "--output", str(out), "--quiet"]) == 0
    result = read_result(out)
    assert [b for b, mask in zip(result.data.bands, result.data.phot_mask.T, strict=True) if mask.any()] == ["F200W"]


def test_weights_without_these_bands_leave_the_mosaics_out(folder, capsys):
    assert main(["info", str(folder), "--model", "wide"]) == 0
    assert "F335M is unknown to the network" in capsys.readouterr().out
