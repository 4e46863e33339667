"""HST images in the archives' dress: calibration, errors, bands, cutouts."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import UVIS, drizzled_noise, image_header, write_mosaic
from muse_hst import BANDS
from scipy.ndimage import gaussian_filter

from napari_sfh.errors import SfhInputError
from napari_sfh.io.mosaic_images.noise import measure_noise_correlation, measure_pixel_scatter
from napari_sfh.io.mosaic_images.weight_maps import list_weight_map_names
from napari_sfh.io.mosaics import is_camera_substitute, read_mosaic

NY, NX = 60, 80
MAST = "hlsp_phangs-hst_hst_wfc3-uvis_ngc628mosaic_f275w_v1_exp-drc-sci.fits"
WHOLE = (slice(0, NY), slice(0, NX))


def noise(sigma: float = 0.01, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (NY, NX))


@pytest.mark.parametrize(
    ("science", "weight"),
    [
        (MAST, MAST.replace("exp-drc-sci", "err-drc-wht")),
        ("ngc1365_uvis_f275w_exp_drc_sci.fits", "ngc1365_uvis_f275w_err_drc_wht.fits"),
        ("ngc1365_uvis_f275w_exp_drc_sci.fits", "NGC1365_UVIS_F275W_ERR_DRC_WHT.fits"),
        ("x_drz_sci.fits", "x_drz_wht.fits"),
        ("x_f275w.fits", "x_f275w_wht.fits"),
        ("x_sci.fits", "x_weight.fits"),
    ],
)
def test_weight_map_is_found_by_name(tmp_path, science, weight):
    """Errors are 1/sqrt(weight) exactly, weight 0 is bad."""
    w = np.full((NY, NX), 1e4)
    w[5, 7] = 0
    w[0, 0] = 4e4
    data = noise()
    mosaic = read_mosaic(write_mosaic(tmp_path / science, data, w, weight))
    assert mosaic.weight_path == tmp_path / weight
    got, error = mosaic.read(*WHOLE)
    assert error[0, 0] == pytest.approx(0.005)
    assert error[1, 1] == pytest.approx(0.01)
    assert np.isnan(got[5, 7])
    assert np.isinf(error[5, 7])
    assert np.isfinite(got).sum() == NY * NX - 1
    np.testing.assert_allclose(got[6], data[6].astype(np.float32))
    assert mosaic.notes == ()


def test_another_galaxys_weight_is_not_taken(tmp_path):
    write_mosaic(tmp_path / "b_exp-drc-sci.fits", noise(), np.ones((NY, NX)))
    assert read_mosaic(write_mosaic(tmp_path / "a_exp-drc-sci.fits", noise())).weight_path is None


def test_names_of_weights_are_distinct():
    from pathlib import Path

    names = list_weight_map_names(Path(MAST))
    assert names[0].endswith("err-drc-wht")
    assert Path(MAST).stem not in names


def test_calibration(tmp_path):
    """f_lambda = data x PHOTFLAM: 2 e-/s in a pixel are 6.6e-18 erg/s/cm2/AA."""
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, np.full((NY, NX), 2.0), np.ones((NY, NX))))
    data, _ = mosaic.read(*WHOLE)
    assert float(data[3, 3]) * mosaic.photflam == pytest.approx(6.6e-18)
    assert mosaic.photplam_aa == 2709.7
    assert (mosaic.band, mosaic.filter_name, mosaic.camera) == ("F275W", "F275W", "UVIS")
    assert not is_camera_substitute(mosaic)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("ELECTRONS/S", 1), ("electron / s", 1), ("e-/s", 1), ("cps", 1), ("COUNTS/S", 1), ("counts/sec", 1), (None, 1)]
    + [(text, 1 / 2190) for text in ("ELECTRONS", "electron", "COUNTS", "counts", "DN")],
)
def test_units_of_counts(tmp_path, unit, factor):
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, np.full((NY, NX), 10.0), np.ones((NY, NX)), BUNIT=unit))
    assert mosaic.read(*WHOLE)[0][0, 0] == pytest.approx(10 * factor)
    assert bool(mosaic.notes) == (unit is None or factor != 1)


def test_counts_scale_their_errors_too(tmp_path):
    """The weight of an image in counts is in counts: 1/sqrt(w) / EXPTIME."""
    path = write_mosaic(tmp_path / MAST, noise(10.0), np.full((NY, NX), 0.01), BUNIT="ELECTRONS")
    assert read_mosaic(path).read(*WHOLE)[1][3, 3] == pytest.approx(10 / 2190)


def test_mjy_per_sr(tmp_path):
    """1 MJy/sr in a 0.0396 arcsec pixel at 2709.7 AA, by hand: 1e-17 x 3.6859e-14 sr x c/lambda^2."""
    path = write_mosaic(tmp_path / MAST, np.full((NY, NX), 5.0), np.ones((NY, NX)), BUNIT="MJy/sr", PHOTFLAM=None)
    mosaic = read_mosaic(path)
    steradian = (0.0396 / 3600 * np.pi / 180) ** 2
    expected = 5 * 1e-17 * steradian * 2.99792458e18 / 2709.7**2
    assert float(mosaic.read(*WHOLE)[0][1, 1]) * mosaic.photflam == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("cards", "band", "camera"),
    [
        (
            {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F814W"},
            "F814W",
            "ACS",
        ),
        (
            {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": None, "FILTER1": "F435W", "FILTER2": "CLEAR2L"},
            "F438W",
            "ACS",
        ),
        ({"INSTRUME": "WFPC2", "DETECTOR": 1, "FILTER": None, "FILTNAM1": "F814W", "FILTER1": 38}, "F814W", "WFPC2"),
        ({"FILTER": "f555w"}, "F555W", "UVIS"),
        ({"FILTER": None, "PHOTMODE": "WFC3 UVIS1 F336W MJD#55000"}, "F336W", "UVIS"),
        ({"INSTRUME": None, "DETECTOR": None}, "F275W", "UVIS"),
    ],
)
def test_filter_and_camera(tmp_path, cards, band, camera):
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, noise(), np.full((NY, NX), 1e4), **cards))
    assert (mosaic.band, mosaic.camera) == (band, camera)
    stands_in = camera != "UVIS"
    assert is_camera_substitute(mosaic) == stands_in
    assert any("stands in for UVIS" in note for note in mosaic.notes) == stands_in


def test_acs_f435w_keeps_its_own_name(tmp_path):
    cards = {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": None, "FILTER1": "F435W", "PHOTPLAM": 4328.7}
    mosaic = read_mosaic(write_mosaic(tmp_path / "a.fits", noise(), **cards), "F438W")
    assert (mosaic.band, mosaic.filter_name, mosaic.photplam_aa) == ("F438W", "F435W", 4328.7)


def test_band_given_by_the_user_where_the_header_is_silent(tmp_path):
    path = write_mosaic(tmp_path / "a.fits", noise(), FILTER=None)
    assert read_mosaic(path, "f336w").band == "F336W"


def test_without_weight_the_noise_is_measured(tmp_path):
    """A galaxy's gradient of 100 times the noise does not enter; the photons of what is above the median do."""
    sigma, exptime = 0.01, 2190.0
    y, x = np.mgrid[:NY, :NX]
    light = 0.02 * (x + y) / 2
    photons = np.random.default_rng(5).poisson(light * exptime) / exptime
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, noise(sigma) + photons))
    _, error = mosaic.read(*WHOLE)
    expected = np.sqrt(sigma**2 + light / exptime)
    bright = light > np.median(light)
    assert np.median((error / expected)[bright]) == pytest.approx(1, abs=0.1)
    assert any("no weight map" in note for note in mosaic.notes)


def test_without_weight_zeros_are_outside(tmp_path):
    data = noise() + 1
    data[:, :10] = 0
    got, error = read_mosaic(write_mosaic(tmp_path / MAST, data)).read(*WHOLE)
    assert np.isnan(got[:, :10]).all()
    assert np.isinf(error[:, :10]).all()
    assert np.isfinite(error[:, 10:]).all()


def test_weights_that_are_exposure_times(tmp_path):
    """WHT = seconds: 1/sqrt(2000) = 0.022 is seven times the true 0.003; half the depth has sqrt(2) the error."""
    weight = np.full((NY, NX), 2000.0)
    weight[:, : NX // 2] = 1000.0
    sigma = 0.003 * np.sqrt(2000 / weight)
    data = np.random.default_rng(1).normal(0, 1, (NY, NX)) * sigma
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data, weight))
    _, error = mosaic.read(*WHOLE)
    ratio = np.median(error[:, : NX // 2]) / np.median(error[:, NX // 2 :])
    assert ratio == pytest.approx(np.sqrt(2), rel=0.05)
    assert np.median(error / sigma) == pytest.approx(1, abs=0.25)
    assert any("no inverse variance" in note for note in mosaic.notes)


def test_true_inverse_variance_is_believed_in_a_crowded_field(tmp_path):
    """Stars make the scatter ten times the noise; the weight map is right nevertheless."""
    data = noise(0.1)
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data, np.full((NY, NX), 1e4)))
    assert mosaic.read(*WHOLE)[1][5, 5] == pytest.approx(0.01)
    assert mosaic.notes == ()


def test_scatter_of_noise_and_of_a_parabola():
    rng = np.random.default_rng(0)
    assert measure_pixel_scatter(rng.normal(0, 2.0, (300, 300))) == pytest.approx(2.0, rel=0.02)
    y, x = np.mgrid[:50, :50].astype(float)
    assert measure_pixel_scatter(3 * x + 5 * y) == pytest.approx(0, abs=1e-10)
    assert np.isnan(measure_pixel_scatter(np.full((9, 9), np.nan)))


@pytest.mark.parametrize("weight", [None, 100.0])
def test_errors_from_scatter_are_those_of_sums_of_correlated_pixels(tmp_path, weight):
    """Drizzle leaves two thirds of the noise in the scatter of pixels; what many of them sum up to has all of it."""
    side = 480
    data = drizzled_noise(side, 0.01)
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data, None if weight is None else np.full(data.shape, weight)))
    _, error = mosaic.read(slice(0, side), slice(0, side))
    assert data.std() < 0.0075
    assert np.median(error) == pytest.approx(0.01, rel=0.06)
    sums = data.reshape(24, 20, 24, 20).sum((1, 3))
    assert 20 * np.median(error) == pytest.approx(sums.std(), rel=0.1)
    assert any("neighbours are correlated" in note for note in mosaic.notes)


def test_white_noise_is_not_correlated(tmp_path):
    white = np.random.default_rng(1).normal(0, 1.0, (400, 400))
    assert measure_noise_correlation(white) == pytest.approx(1.0, abs=0.05)
    assert measure_noise_correlation(np.full((9, 9), np.nan)) == 1.0
    few = read_mosaic(write_mosaic(tmp_path / "few_f275w.fits", white[:60, :80]))
    assert not any("correlated" in note for note in few.notes)
    # Light that is smooth on a few pixels looks correlated: no drop of drizzle makes more than 1.5 of it.
    smooth = gaussian_filter(np.random.default_rng(2).normal(0, 1.0, (480, 480)), 3.0)
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, smooth))
    _, error = mosaic.read(slice(0, 480), slice(0, 480))
    assert error[0, 0] == pytest.approx(1.51 * measure_pixel_scatter(smooth), rel=0.1)


def test_sci_and_wht_in_one_file(tmp_path):
    header = image_header(NY, NX)
    data = noise()
    sci = fits.ImageHDU(data.astype(np.float32), header, name="SCI")
    wht = fits.ImageHDU(np.full((NY, NX), 1e4, np.float32), header, name="WHT")
    ctx = fits.ImageHDU(np.ones((NY, NX), np.int32), header, name="CTX")
    path = tmp_path / "a_drz.fits"
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(UVIS)), sci, wht, ctx]).writeto(path)
    mosaic = read_mosaic(path)
    assert mosaic.weight_path == path
    got, error = mosaic.read(*WHOLE)
    np.testing.assert_array_equal(got, data.astype(np.float32))
    assert error[0, 0] == pytest.approx(0.01)


def test_cutout_is_the_same_part(tmp_path):
    data = noise()
    weight = np.random.default_rng(2).uniform(0.5e4, 2e4, (NY, NX))
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data, weight))
    whole, cut = mosaic.read(*WHOLE), mosaic.read(slice(11, 31), slice(40, 45))
    for a, b in zip(whole, cut):
        assert b.shape == (20, 5)
        assert b.dtype == np.float32
        np.testing.assert_array_equal(a[11:31, 40:45], b)


def test_compressed_mosaic(tmp_path):
    data = noise()
    hdu = fits.CompImageHDU(data.astype(np.float32), image_header(NY, NX), compression_type="GZIP_2", quantize_level=0)
    hdu.header.update(UVIS)
    path = tmp_path / "a_f275w.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    np.testing.assert_array_equal(
        read_mosaic(path).read(slice(3, 9), slice(2, 8))[0], data.astype(np.float32)[3:9, 2:8]
    )


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"PHOTFLAM": None}, r"no PHOTFLAM.* copy PHOTFLAM"),
        ({"PHOTFLAM": 0.0}, r"no PHOTFLAM"),
        ({"PHOTPLAM": None}, r"PHOTPLAM .* absent"),
        ({"FILTER": "F606W"}, r"F606W is unknown to the network; usable are F275W, F336W, F438W, F555W, F814W, F435W"),
        ({"FILTER": None}, r"no filter .*`photometry` BAND="),
        ({"DETECTOR": "IR", "FILTER": "F160W"}, r"F160W is unknown"),
        ({"DETECTOR": "IR"}, r"DETECTOR is IR"),
        ({"BUNIT": "Kelvin"}, r"BUNIT 'Kelvin' is neither counts nor a flux"),
        ({"BUNIT": "ELECTRONS", "EXPTIME": None}, r"EXPTIME is absent; add EXPTIME"),
        (
            {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None, "CTYPE1": "LINEAR"},
            r"no celestial WCS|WCS cannot",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, cards, words):
    removed = {k for k, v in cards.items() if v is None}
    path = write_mosaic(tmp_path / MAST, noise(), **cards)
    with fits.open(path, mode="update") as hdus:
        for key in removed:
            hdus[0].header.remove(key, ignore_missing=True)
    with pytest.raises(SfhInputError, match=words) as caught:
        read_mosaic(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_wrong_band_of_the_user(tmp_path):
    path = write_mosaic(tmp_path / MAST, noise())
    with pytest.raises(SfhInputError, match="given as F814W but its filter is F275W"):
        read_mosaic(path, "F814W")
    with pytest.raises(SfhInputError, match=f"unknown band; one of {', '.join(BANDS)}"):
        read_mosaic(path, "U")


def test_weight_of_another_drizzle(tmp_path):
    path = write_mosaic(tmp_path / MAST, noise(), np.ones((NY, NX)))
    write_mosaic(tmp_path / MAST.replace("exp-drc-sci", "err-drc-wht"), np.ones((NY + 1, NX)))
    with pytest.raises(SfhInputError, match="weight map has another shape"):
        read_mosaic(path)


def test_psf_is_that_of_camera_and_filter(tmp_path):
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, noise(), np.full((NY, NX), 1e4), MAST.replace("sci", "wht")))
    assert mosaic.psf_fwhm_arcsec == pytest.approx(0.075, abs=0.005)


@pytest.mark.parametrize(
    ("name", "make", "missing"),
    [
        ("a gap", lambda a: a.__setitem__((slice(20, 40), slice(30, 50)), 0), 400),
        (
            "a gap in a clipped image",
            lambda a: (np.clip(a, 0, None, out=a), a.__setitem__((slice(None), slice(40)), 0)),
            None,
        ),
        ("single zeros of floats", lambda a: a.__setitem__((5, slice(0, 20, 4)), 0), 5),
        ("clipped at zero", lambda a: np.clip(a + 0.01, 0, None, out=a), 0),
        ("counts", lambda a: np.round(a * 60, out=a), 0),
    ],
)
def test_zeros_without_a_weight_map(tmp_path, name, make, missing):
    """An area of zeros was not observed; scattered zeros of counts and of clipped images are numbers."""
    data = noise()
    make(data)
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data))
    got, _ = mosaic.read(*WHOLE)
    zero = data.astype(np.float32) == 0
    assert np.isnan(got).sum() == (zero.sum() if missing is None else missing)
    assert np.isfinite(got[~zero]).all()


@pytest.mark.parametrize(
    ("unit", "per_jansky"),
    [
        ("Jy", 1.0),
        ("nJy", 1e9),
        ("10.0*nanoJansky", 1e8),
        ("mJy/pixel", 1e3),
        ("nanomaggy", 1 / 3.631e-6),
        ("1e-9 maggies", 1 / 3.631e-6),
    ],
)
def test_flux_densities_per_frequency(tmp_path, unit, per_jansky):
    """f_lambda = f_nu c / lambda^2 at the pivot."""
    data = np.full((NY, NX), 1e-6 * per_jansky) + noise(1e-9 * per_jansky)
    mosaic = read_mosaic(write_mosaic(tmp_path / MAST, data, BUNIT=unit))
    got, _ = mosaic.read(*WHOLE)
    expected = 1e-6 * 1e-23 * 2.99792458e18 / mosaic.photplam_aa**2
    assert np.median(got) * mosaic.photflam == pytest.approx(expected, rel=1e-3)


def test_weights_that_leave_single_precision(tmp_path):
    """Inverse variances of an image in erg/s/cm2/A reach 1e40."""
    path = write_mosaic(tmp_path / MAST, noise(1e-20) + 1e-19, BUNIT="erg/s/cm2/Angstrom")
    weight = fits.PrimaryHDU(np.full((NY, NX), 1e40), fits.getheader(path))
    weight.writeto(tmp_path / MAST.replace("exp-drc-sci", "err-drc-wht"))
    mosaic = read_mosaic(path)
    got, error = mosaic.read(*WHOLE)
    assert np.median(got) * mosaic.photflam == pytest.approx(1e-19, rel=0.01)
    assert np.median(error) * mosaic.photflam == pytest.approx(1e-20, rel=0.01)
