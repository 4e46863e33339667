"""Band fluxes as observations, and band images on one grid."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from io_mocks import drizzled_noise

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.io.objects.band_images import read_band_images
from napari_sfh.physics.wavelength import C_AA_S
from napari_sfh.prep.band_fluxes.band_rows import CATALOGUE_CALIBRATION_ERROR, make_band_observation
from napari_sfh.types import Flag

MUSE_BANDS = load_instrument("narrowband-muse")
N = MUSE_BANDS.n_bands


def test_bands_are_divided_by_their_median_and_gain_the_calibration_error():
    flux = np.tile(np.linspace(1, 3, N), (2, 1)) * 1e-17
    data = make_band_observation(MUSE_BANDS, flux, 0.01 * flux, np.ones((2, N), bool))
    np.testing.assert_allclose(np.median(data.phot, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(data.phot_error / data.phot, np.hypot(0.01, CATALOGUE_CALIBRATION_ERROR), rtol=1e-5)
    np.testing.assert_allclose(data.norm_cgs, 2e-17)
    assert data.flag.tolist() == [0, 0]
    assert data.snr[0] == pytest.approx(1 / np.hypot(0.01, CATALOGUE_CALIBRATION_ERROR), rel=1e-4)


def test_scale_does_not_count_and_missing_bands_are_flagged():
    flux = np.tile(np.linspace(1, 3, N), (4, 1))
    mask = np.ones((4, N), bool)
    mask[1, 3] = False
    mask[2] = False
    flux[3, 5] = -1.0
    made = [
        make_band_observation(MUSE_BANDS, k * flux, 0.05 * k, mask) for k in (np.ones((4, N)), np.full((4, N), 7.0))
    ]
    np.testing.assert_allclose(made[0].phot, made[1].phot, rtol=1e-6)
    flags = [Flag(int(f)) for f in made[0].flag]
    assert flags[0] == Flag.NONE
    assert flags[1] == Flag.MISSING_BAND
    assert flags[2] == Flag.MISSING_BAND | Flag.NO_PHOTOMETRY
    assert flags[3] == Flag.MISSING_BAND | Flag.NEGATIVE_FLUX
    assert not made[0].phot_mask[3, 5]


@pytest.mark.parametrize("z", [0.5, np.nan, -0.2])
def test_redshifts_that_the_bands_do_not_allow_leave_nothing(z):
    ones = np.ones((1, N))
    data = make_band_observation(MUSE_BANDS, ones, ones, np.ones((1, N), bool), redshift=np.array([z]))
    assert data.flag[0] & Flag.REDSHIFT
    assert not data.phot_mask.any()


def test_the_milky_way_is_taken_off():
    pivot = np.array([f.pivot_aa for f in make_band_filters(MUSE_BANDS)])
    ones = np.ones((1, N))
    args = (MUSE_BANDS, ones, ones, np.ones((1, N), bool))
    data = make_band_observation(*args, ebv_mw=0.3, pivot_aa=pivot)
    assert data.phot[0, 0] > data.phot[0, -1]
    assert data.norm_cgs[0] > 1.5


def test_an_instrument_with_a_spectrum_is_refused():
    with pytest.raises(SfhInputError, match="muse-hst"):
        make_band_observation(load_instrument("muse-hst"), np.ones((1, 5)), np.ones((1, 5)), np.ones((1, 5), bool))


def write_image(path, value, unit="erg/s/cm2/AA", error=0.1, shift=0.0, shape=(6, 8)):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [-1e-4, 1e-4]
    wcs.wcs.crpix = [4.0 + shift, 3.0]
    image = fits.ImageHDU(np.full(shape, value), wcs.to_header(), name="SCI")
    image.header["BUNIT"] = unit
    fits.HDUList([fits.PrimaryHDU(), image, fits.ImageHDU(np.full(shape, error), name="ERR")]).writeto(path)
    return path


def test_images_in_two_units_agree(tmp_path):
    pivots = {"A": 5000.0, "B": 5000.0}
    jansky = 1e-17 * 5000.0**2 / C_AA_S / 1e-23
    paths = {
        "A": write_image(tmp_path / "a.fits", 1e-17, error=1e-18),
        "B": write_image(tmp_path / "b.fits", jansky, "Jy", 0.1 * jansky),
    }
    images = read_band_images(paths, pivots)
    np.testing.assert_allclose(images.flux, 1e-17, rtol=1e-4)
    np.testing.assert_allclose(images.error, 1e-18, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "stored"), [("UNCERT", 1e-18), ("E_DATA", 1e-18), ("VARI", 1e-36), ("INVVAR", 1e36), ("WHT", 1e36)]
)
def test_errors_and_masks_have_the_names_that_those_of_cubes_have(tmp_path, name, stored):
    path = write_image(tmp_path / "a.fits", 1e-17, error=stored)
    with fits.open(path, mode="update") as hdus:
        hdus["ERR"].name = name
        mask = np.zeros((6, 8), np.uint8)
        mask[2, 3] = 4
        hdus.append(fits.ImageHDU(mask, name="DQ"))
    images = read_band_images({"A": path}, {"A": 5000.0})
    assert np.argwhere(np.isnan(images.flux)).tolist() == [[0, 2, 3]]
    assert np.nanmedian(images.error) == pytest.approx(1e-18, rel=1e-4)


def test_errors_from_the_scatter_are_those_of_sums_of_resampled_pixels(tmp_path):
    """An image brought to another's grid without its errors: pixels scatter less than what many of them sum up to."""
    side = 480
    path = write_image(tmp_path / "a.fits", 0.0, shape=(side, side))
    data = 1e-17 * (5 + drizzled_noise(side, 1.0))
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data = data
        del hdus["ERR"]
    images = read_band_images({"A": path}, {"A": 5000.0})
    sums = data.reshape(24, 20, 24, 20).sum((1, 3))
    assert 20 * np.median(images.error) == pytest.approx(sums.std(), rel=0.1)
    assert "neighbours are correlated" in images.notes[0]


def test_a_mask_that_forbids_all_of_an_image_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits", 1e-17, error=1e-18)
    with fits.open(path, mode="update") as hdus:
        hdus.append(fits.ImageHDU(np.ones((6, 8), np.uint8), name="MASK"))
    with pytest.raises(SfhInputError, match="mask"):
        read_band_images({"A": path}, {"A": 5000.0})


def test_other_grids_units_and_bands_are_refused(tmp_path):
    pivots = {"A": 5000.0, "B": 5000.0}
    first = write_image(tmp_path / "a.fits", 1.0)
    for name, changes in (("moved", {"shift": 2.0}), ("cut", {"shape": (6, 7)}), ("unit", {"unit": "furlong"})):
        with pytest.raises(SfhInputError, match=name):
            read_band_images({"A": first, "B": write_image(tmp_path / f"{name}.fits", 1.0, **changes)}, pivots)


def test_errors_that_hold_the_calibration_stay_as_they_are():
    flux = np.ones((1, N))
    data = make_band_observation(MUSE_BANDS, flux, 0.02 * flux, np.ones((1, N), bool), calibration_error=0.0)
    np.testing.assert_allclose(data.phot_error, 0.02, rtol=1e-6)
