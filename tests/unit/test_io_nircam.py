"""NIRCam images as the JWST pipeline writes them (i2d): MJy/sr, errors in ERR, a three-dimensional CON beside SCI."""

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import image_header
from toy_universe import write_toy_bundle

from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.identify import identify_file
from napari_sfh.io.mosaics import is_camera_substitute, read_mosaic
from napari_sfh.physics.hst_psf import compute_hst_psf_fwhm

JWST = load_instrument("phangs-jwst")
PIXEL_ARCSEC = 0.063


def write_i2d(path, band="F335M", value=2.0, error=0.05):
    shape = (40, 50)
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "DETECTOR": "MULTIPLE", "FILTER": band})
    header = image_header(*shape, PIXEL_ARCSEC)
    for key in ("PHOTFLAM", "PHOTPLAM", "BUNIT", "FILTER", "INSTRUME", "DETECTOR", "EXPTIME"):
        header.remove(key, ignore_missing=True)
    header["BUNIT"] = "MJy/sr"
    images = {"SCI": np.full(shape, value), "ERR": np.full(shape, error), "WHT": np.full(shape, 1e4)}
    images["SCI"][3, 4] = np.nan
    hdus = [fits.ImageHDU(data.astype(np.float32), header, name=name) for name, data in images.items()]
    context = fits.ImageHDU(np.zeros((2, *shape), np.int32), name="CON")
    fits.HDUList([primary, *hdus, context]).writeto(path)
    return path


def test_surface_brightness_becomes_flux_density(tmp_path):
    """2 MJy/sr in a pixel: f_nu times the pixel's solid angle, at the band's pivot."""
    mosaic = read_mosaic(write_i2d(tmp_path / "ngc0628_nircam_lv3_f335m_i2d_anchor.fits"), "F335M", JWST)
    assert (mosaic.band, mosaic.camera) == ("F335M", "NIRCAM")
    assert not is_camera_substitute(mosaic, JWST)
    data, error = mosaic.read(slice(0, 10), slice(0, 10))
    pixel_sr = (PIXEL_ARCSEC / 206264.806) ** 2
    pivot_aa = JWST.pivot_aa[JWST.band_names.index("F335M")]
    expected = 2.0 * 1e-17 * pixel_sr * 2.99792458e18 / pivot_aa**2
    assert data[0, 0] * mosaic.photflam == pytest.approx(expected, rel=1e-3)
    assert error[0, 0] / data[0, 0] == pytest.approx(0.025, rel=1e-3)  # of ERR, not of WHT
    assert np.isnan(data[3, 4])


def test_an_i2d_file_is_an_image_and_no_cube(tmp_path):
    path = write_i2d(tmp_path / "jw02107_nircam_f335m_i2d.fits")
    header = read_bundle_header(write_toy_bundle(tmp_path / "j.safetensors", 0, JWST))
    info = identify_file(path, header)
    assert (info.kind, info.band) == ("mosaic", "F335M")
    assert not info.problems or all("stands in" not in p for p in info.problems)
    other = identify_file(path)  # weights that know no NIRCam
    assert not other.usable
    assert "F335M is unknown to the network" in other.problems[0]


@pytest.mark.parametrize(("wave_aa", "pixel", "fwhm"), [(19886.0, 0.031, 0.066), (33620.0, 0.063, 0.111)])
def test_point_sources_are_as_wide_as_observed(wave_aa, pixel, fwhm):
    """The FWHM of NIRCam's user documentation, before the pixels of a mosaic: within a fifth."""
    assert fwhm < compute_hst_psf_fwhm("NIRCAM", wave_aa, pixel) < 1.25 * fwhm
