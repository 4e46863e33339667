"""MUSE cubes in every dress, against contents known in every voxel."""

from __future__ import annotations

import gzip
import pickle
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from io_mocks import ESO_UNIT, MPDAF_UNIT, NX, NY, N, flux_values, write_cube
from muse_hst import MUSE_HST

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.coverage import check_rest_range, find_missing_rest_range
from napari_sfh.io.cleaning.units import FLAM, unit_conversion_factor
from napari_sfh.io.cube_psf import find_muse_psf_fwhm, fsf_beta, fsf_fwhm_arcsec
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.fits_access import find_galaxy_name
from napari_sfh.physics.wavelength import air_to_vacuum, vacuum_to_air

PHANGS_NAME = "NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits"


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        (ESO_UNIT, 1e-20),
        (MPDAF_UNIT, 1e-20),
        ("1e-20 erg/s/cm2/Angstrom", 1e-20),
        ("10**-20 Angstrom-1 cm-2 erg s-1", 1e-20),
        ("1E-20 erg/s/cm**2/Ang", 1e-20),
        ("10^-20 erg/s/cm^2/A", 1e-20),
        ("10**(-20)*erg/s/cm**2/Angstrom/spaxel", 1e-20),
        ("1e-16 erg s-1 cm-2 AA-1 spaxel-1", 1e-16),
        ("W / (m2 um)", 0.1),
    ],
)
def test_unit_of_any_spelling(tmp_path, text, scale):
    stored = (flux_values() * 1e-20 / scale).astype(np.float32)  # what a galaxy has in that unit
    cube = read_cube(write_cube(tmp_path / "c.fits", stored, stat=None, BUNIT=text))
    assert cube.read(5, 6)[0] * cube.flux_scale == pytest.approx(stored[5:6].astype(float) * scale, rel=1e-6)


def test_conversion_knows_what_is_no_flux():
    for text in ("erg/s/cm2", "counts", "MJy/sr", "", "nonsense", "erg/s/cm2/Angstrom/arcsec2"):
        assert unit_conversion_factor(text, FLAM) is None
    assert unit_conversion_factor("COUNTS/S", u.count / u.s) == 1
    assert unit_conversion_factor("e-/s", u.electron / u.s) == 1
    assert unit_conversion_factor("cps", u.count / u.s) == 1


@pytest.mark.parametrize("dress", ["eso", "mpdaf", "compressed", "gzip"])
def test_values_in_every_dress(tmp_path, dress):
    flux = flux_values()
    flux[100, 1, 2] = np.nan
    path = tmp_path / ("c.fits.fz" if dress == "compressed" else "c.fits")
    unit = MPDAF_UNIT if dress == "mpdaf" else ESO_UNIT
    write_cube(path, flux, compress=dress == "compressed", BUNIT=unit)
    if dress == "gzip":
        with path.open("rb") as f, gzip.open(tmp_path / "z.fits.gz", "wb", compresslevel=1) as g:
            shutil.copyfileobj(f, g)
        path = tmp_path / "z.fits.gz"
    cube = read_cube(path)
    assert cube.shape == (N, NY, NX)
    assert cube.has_variance
    assert cube.notes == ()
    for lo, hi in ((0, 3), (90, 110), (N - 2, N)):
        got, variance, good = cube.read(lo, hi)
        assert got.dtype == variance.dtype == np.float32
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, flux[lo:hi])
        np.testing.assert_allclose(variance, (0.1 * flux[lo:hi]) ** 2, rtol=1e-6)
        np.testing.assert_array_equal(good, np.isfinite(flux[lo:hi]))


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_other_pixel_types(tmp_path, dtype):
    """64-bit cubes and integers scaled by BSCALE and BZERO."""
    path = tmp_path / "c.fits"
    write_cube(path, stat=None)
    flux = np.round(flux_values() / 2)
    with fits.open(path) as hdus:
        hdu = fits.ImageHDU(flux.astype(np.float64), hdus[1].header, name="DATA")
        if dtype is np.int16:
            hdu.scale("int16", bscale=0.5, bzero=1000)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "d.fits")
    got, _, _ = read_cube(tmp_path / "d.fits").read(1000, 1002)
    np.testing.assert_allclose(got, flux[1000:1002])


def test_air_axis_is_kept(tmp_path):
    """spectral-cube's own unit conversion would turn air into vacuum (+1.4 AA): it must not happen."""
    wave = read_cube(write_cube(tmp_path / "c.fits")).wave_aa
    np.testing.assert_allclose(wave, 4749.88 + 1.25 * np.arange(N), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("unit", "per_aa"), [("nm", 0.1), ("m", 1e-10), ("um", 1e-4)])
def test_axis_in_other_units(tmp_path, unit, per_aa):
    cube = read_cube(write_cube(tmp_path / "c.fits", CUNIT3=unit, CRVAL3=4749.88 * per_aa, CD3_3=1.25 * per_aa))
    np.testing.assert_allclose(cube.wave_aa, 4749.88 + 1.25 * np.arange(N), rtol=1e-10)


def test_cdelt3_with_pc(tmp_path):
    """MPDAF's other habit: PC and CDELT; the spatial scale has nothing to do with CDELT3."""
    drop = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CD3_3"))
    cards = {"CDELT1": -0.2 / 3600, "CDELT2": 0.2 / 3600, "CDELT3": 1.25}
    cube = read_cube(write_cube(tmp_path / "c.fits", **drop, **cards))
    assert cube.wave_aa[1] - cube.wave_aa[0] == pytest.approx(1.25)
    assert cube.pixel_arcsec == pytest.approx(0.2)


def test_vacuum_becomes_air(tmp_path):
    vacuum = 4749.88 + 1.25 * np.arange(N)
    wave = read_cube(write_cube(tmp_path / "c.fits", CTYPE3="WAVE")).wave_aa
    np.testing.assert_allclose(wave, vacuum_to_air(vacuum), rtol=1e-12)
    # By hand: air is shorter by the factor n - 1 = 2.76e-4 at Halpha.
    k = np.argmin(abs(vacuum - 6564.6))
    assert vacuum[k] - wave[k] == pytest.approx(1.81, abs=0.01)
    np.testing.assert_allclose(air_to_vacuum(wave), vacuum, rtol=1e-9)


@pytest.mark.parametrize("kind", ["AWAV-LOG", "WAVE-LOG"])
def test_log_axis(tmp_path, kind):
    """Greisen et al. (2006): w = CRVAL exp((p - CRPIX) CD / CRVAL)."""
    wave = read_cube(write_cube(tmp_path / "c.fits", CTYPE3=kind, CD3_3=1.0)).wave_aa
    expected = 4749.88 * np.exp(np.arange(N) / 4749.88)
    expected = vacuum_to_air(expected) if kind.startswith("WAVE") else expected
    np.testing.assert_allclose(wave, expected, rtol=1e-9)


def test_axis_of_unsaid_medium_is_taken_as_air_and_said(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits", CTYPE3="LINEAR"))
    assert cube.wave_aa[0] == pytest.approx(4749.88)
    assert any("taken as air" in note for note in cube.notes)


def test_scale_of_a_rotated_field(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits", angle_deg=33.0))
    assert cube.pixel_arcsec == pytest.approx(0.2, rel=1e-9)
    ra, dec = cube.wcs.wcs_pix2world((NX - 1) / 2, (NY - 1) / 2, 0)
    assert (float(ra), float(dec)) == pytest.approx((24.174, 15.783))


def test_without_stat(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits", stat=None))
    assert not cube.has_variance
    assert cube.read(0, 1)[1] is None
    assert any("no STAT" in note for note in cube.notes)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_useless_stat_counts_as_absent(tmp_path, value):
    cube = read_cube(write_cube(tmp_path / "c.fits", stat=np.full((N, NY, NX), value)))
    assert not cube.has_variance
    assert any("STAT is nowhere positive" in note for note in cube.notes)
    assert cube.read(0, 2)[2].all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_variances_mask_their_pixels(tmp_path, value):
    stat = np.ones((N, NY, NX))
    stat[10, 2, 3] = value
    cube = read_cube(write_cube(tmp_path / "c.fits", stat=stat))
    good = cube.read(10, 11)[2][0]
    assert not good[2, 3]
    assert good.sum() == NY * NX - 1


def test_dq_masks(tmp_path):
    dq = np.zeros((N, NY, NX), dtype=np.uint8)
    dq[7, 1, 1] = 1
    dq[8, 0, 0] = 64
    good = read_cube(write_cube(tmp_path / "c.fits", dq=dq)).read(7, 9)[2]
    assert not good[0, 1, 1]
    assert not good[1, 0, 0]
    assert good.sum() == 2 * NY * NX - 2


def test_order_and_names_of_hdus_do_not_matter(tmp_path):
    path = write_cube(tmp_path / "c.fits", names=("DATA", "STAT"))
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0], hdus[2], hdus[1]]).writeto(tmp_path / "swapped.fits")
    a, b = read_cube(path), read_cube(tmp_path / "swapped.fits")
    for x, y in zip(a.read(5, 6), b.read(5, 6)):
        np.testing.assert_array_equal(x, y)


def test_one_sigma_image_is_squared(tmp_path):
    """An ERROR extension holds 1 sigma: its square, not itself, is the variance."""
    sigma = np.full((N, NY, NX), 3.0)
    cube = read_cube(write_cube(tmp_path / "c.fits", stat=sigma, names=("FLUX", "ERROR"), stat_unit=ESO_UNIT))
    np.testing.assert_allclose(cube.read(0, 2)[1], 9.0)


def test_variance_in_another_unit_is_converted_by_the_square(tmp_path):
    """DATA in 1e-20, STAT in (1e-19)^2: a factor of 100, not of 10."""
    stat = np.full((N, NY, NX), 0.04)
    path = write_cube(tmp_path / "c.fits", stat=stat, stat_unit="10**-38 Angstrom-2 cm-4 erg2 s-2")
    np.testing.assert_allclose(read_cube(path).read(0, 2)[1], 4.0, rtol=1e-6)


def test_wrong_unit_of_stat_is_not_believed(tmp_path):
    """As in MUSE pipelines of 2014: Angstrom**2 with erg/s/cm**2."""
    path = write_cube(tmp_path / "c.fits", stat=np.full((N, NY, NX), 4.0), stat_unit=ESO_UNIT + "**2")
    np.testing.assert_allclose(read_cube(path).read(0, 2)[1], 4.0)


def test_one_spaxel(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits", flux_values(N, 1, 1)))
    assert cube.shape == (N, 1, 1)
    assert cube.read(0, N)[0].shape == (N, 1, 1)


def test_name_redshift_psf(tmp_path):
    path = write_cube(tmp_path / PHANGS_NAME, primary={"REDSHIFT": 0.00219}, OBJECT="NGC0628 (DATA)")
    cube = read_cube(path)
    assert cube.name == "NGC0628"
    assert cube.redshift == 0.00219
    assert cube.psf_fwhm_arcsec == 0.92
    bare = read_cube(write_cube(tmp_path / "NGC1365_x.fits", primary={"OBJECT": ""}))
    assert bare.name == "NGC1365"
    assert bare.redshift is None
    assert bare.psf_fwhm_arcsec is None


def test_fsf_polynomial_by_hand():
    """l = (6500 - 4750)/(9350 - 4750) - 1/2 = -0.119565; 0.7 - 0.14 l + 0.02 l^2 = 0.717025."""
    h = {"FSFMODE": 2, "FSFLB1": 4750.0, "FSFLB2": 9350.0, "FSF00FNC": 3}
    h |= {"FSF00F00": 0.02, "FSF00F01": -0.14, "FSF00F02": 0.7}
    assert fsf_fwhm_arcsec(h) == pytest.approx(0.7170251, abs=1e-6)


def test_fsf_old_model_and_fields():
    """FWHM = A + B lambda; without field 00 the mean of the exposures."""
    h = {"FSFMODE": "MOFFAT1", "FSF01FWA": 0.862, "FSF01FWB": -3.46e-5, "FSF02FWA": 0.825, "FSF02FWB": -3.01e-5}
    assert fsf_fwhm_arcsec(h) == pytest.approx(((0.862 - 3.46e-5 * 6500) + (0.825 - 3.01e-5 * 6500)) / 2)
    h |= {"FSF00FWA": 0.9, "FSF00FWB": -3e-5}
    assert fsf_fwhm_arcsec(h) == pytest.approx(0.9 - 3e-5 * 6500)


def test_fsf_exponent(tmp_path):
    h = {"FSFMODE": 2, "FSFLB1": 4750.0, "FSFLB2": 9350.0, "FSF00BNC": 2, "FSF00B00": 0.5, "FSF00B01": 2.4}
    assert fsf_beta(h) == pytest.approx(2.4 + 0.5 * ((6500 - 4750) / 4600 - 0.5), abs=1e-9)
    assert fsf_beta({"FSFMODE": "MOFFAT1", "FSF01BET": 2.8, "FSF02BET": 2.6}) == pytest.approx(2.7)
    assert fsf_beta({"FSFMODE": "MOFFAT1", "FSF00BET": 0.5}) is None
    assert fsf_beta({}) is None
    assert read_cube(write_cube(tmp_path / "m.fits", primary=h)).psf_beta == pytest.approx(fsf_beta(h))
    assert read_cube(write_cube(tmp_path / "c.fits")).psf_beta is None


@pytest.mark.parametrize(
    "broken", [{"FSFMODE": 2}, {"FSFMODE": "MOFFAT1"}, {"FSFMODE": 2, "FSFLB1": 5.0, "FSFLB2": 5.0}, {}]
)
def test_incomplete_fsf_gives_none(broken):
    assert fsf_fwhm_arcsec(broken) is None


def test_order_of_psf_sources(tmp_path):
    h = {"FSFMODE": "MOFFAT1", "FSF00FWA": 0.9, "FSF00FWB": -3e-5, "SKY_RES": 0.7}
    assert find_muse_psf_fwhm(h, tmp_path / PHANGS_NAME) == (pytest.approx(0.705), "FSF keywords")
    assert find_muse_psf_fwhm({"SKY_RES": 0.7}, tmp_path / PHANGS_NAME) == (0.92, "file name")
    assert find_muse_psf_fwhm({"SKY_RES": 0.7}, tmp_path / "c.fits") == (0.7, "SKY_RES")
    none, why = find_muse_psf_fwhm({}, tmp_path / "c.fits")
    assert none is None
    assert "`psf_fwhm_arcsec`" in why


def test_rest_range(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits"))
    grid = MUSE_HST.grid
    check_rest_range(cube.wave_aa, 0.00219, grid, 0.9, cube.path)
    check_rest_range(cube.wave_aa, 0.33, grid, 0.9, cube.path)
    check_rest_range(cube.wave_aa, 0.5, grid, 0.3, cube.path)
    assert find_missing_rest_range(cube.wave_aa, 0.00219, grid) == []
    # 9349.88 / 1.5 = 6233.25: a third of the range is gone.
    (part,) = find_missing_rest_range(cube.wave_aa, 0.5, grid)
    assert part == pytest.approx((6233.25, 7000), abs=0.01)
    with pytest.raises(SfhInputError, match=r"0\.5 lacks rest-frame 6233-7000 AA .*65 % is there.*need 90 %"):
        check_rest_range(cube.wave_aa, 0.5, grid, 0.9, cube.path)


@pytest.mark.parametrize(("start", "words"), [(4750.0, "lacks rest-frame 5375-7000 AA"), (7300.0, "lacks rest-frame")])
def test_short_cubes_are_refused_with_what_is_missing(tmp_path, start, words):
    cube = read_cube(write_cube(tmp_path / "c.fits", flux_values(501), CRVAL3=start))
    with pytest.raises(SfhInputError, match=f"at redshift 0 {words}"):
        check_rest_range(cube.wave_aa, 0.0, MUSE_HST.grid, 0.3, cube.path)


def test_a_cube_without_the_normalisation_window_is_refused(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits", flux_values(1301), CRVAL3=5490.0))
    with pytest.raises(SfhInputError, match="5 % of the rest-frame window"):
        check_rest_range(cube.wave_aa, 0.0, MUSE_HST.grid, 0.3, cube.path)


@pytest.mark.parametrize(("lo", "hi"), [(-1, 3), (N - 1, N + 1), (5, 5)])
def test_channels_beyond_the_cube(tmp_path, lo, hi):
    """STAT follows DATA in the file: its bytes must not come out as flux."""
    cube = read_cube(write_cube(tmp_path / "c.fits"))
    with pytest.raises(IndexError, match=f"of {N}"):
        cube.read(lo, hi)


def test_pickled_and_threaded(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits"))
    cube.read(0, 1)
    again = pickle.loads(pickle.dumps(cube))
    expected = flux_values()

    def check(k: int) -> bool:
        return bool(np.array_equal(again.read(k, k + 7)[0], expected[k : k + 7]))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(0, 3600, 40)))


def test_large_cube_is_never_held(tmp_path):
    """A 1.2 GB file (sparse) opens at once, and a slab takes the memory of a slab."""
    path = write_cube(tmp_path / "c.fits", flux_values(1), stat=None)
    raw = path.read_bytes()
    n, side = N, 280
    for old, new in (("NAXIS1", side), ("NAXIS2", side), ("NAXIS3", n)):
        at = raw.index(f"{old}  =".encode(), 2880)
        raw = raw[:at] + f"{old}  = {new:20d}".encode() + raw[at + 30 :]
    with path.open("wb") as f:
        f.write(raw)
        f.truncate(len(raw) // 2880 * 2880 + 4 * n * side * side)
    tracemalloc.start()
    cube = read_cube(path)
    flux, _, good = cube.read(1000, 1010)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cube.shape == (n, side, side)
    assert not good.any()  # a sparse file holds zeros: nothing was observed
    assert peak < 3 * (flux.nbytes + good.nbytes) + 20e6


@pytest.mark.parametrize(
    ("method", "blank", "zeros_are_numbers"), [(-1, False, True), (-1, True, False), (2, True, False)]
)
def test_zeros_of_rounded_noise_are_numbers(tmp_path, method, blank, zeros_are_numbers):
    """Rounded to half of the noise, a fifth of pure noise is 0; spaxels that are 0 throughout were not observed."""
    flux = np.random.default_rng(1).normal(0, 17, (40, 24, 24)).astype(np.float32)
    flux[:, :3] *= not blank
    header = fits.getheader(write_cube(tmp_path / "plain.fits", BUNIT=ESO_UNIT), "DATA")
    data = fits.CompImageHDU(
        flux, header, name="DATA", compression_type="RICE_1", quantize_level=2, quantize_method=method, dither_seed=1
    )
    stat = fits.ImageHDU(np.full_like(flux, 289), header, name="STAT")
    fits.HDUList([fits.PrimaryHDU(), data, stat]).writeto(tmp_path / "c.fits")
    got, _, good = read_cube(tmp_path / "c.fits").read(0, 40)
    if zeros_are_numbers:
        assert good.all()
        assert (got == 0).mean() > 0.1
    else:
        np.testing.assert_array_equal(good, got != 0)
        assert not good[:, :3].any()
        assert (good[:, 3:].mean() == 1) == (method == 2)


@pytest.mark.parametrize(("level", "told"), [(2, False), (-40.0, True)])
def test_lossy_compression_is_told_where_its_steps_matter(tmp_path, level, told):
    """Steps of half the noise add a hundredth to the errors, steps of 40 to a noise of 17 a fifth."""
    flux = 500 + np.random.default_rng(2).normal(0, 17, (40, 24, 24)).astype(np.float32)
    header = fits.getheader(write_cube(tmp_path / "plain.fits", BUNIT=ESO_UNIT), "DATA")
    data = fits.CompImageHDU(flux, header, name="DATA", compression_type="RICE_1", quantize_level=level)
    stat = fits.ImageHDU(np.full_like(flux, 289), header, name="STAT")
    fits.HDUList([fits.PrimaryHDU(), data, stat]).writeto(tmp_path / "c.fits")
    assert any("ZQUANTIZ" in note for note in read_cube(tmp_path / "c.fits").notes) == told


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("NGC_1068_cube.fits", "NGC_1068"),
        ("IC 342.fits.gz", "IC_342"),
        ("m_em.fits", "m_em"),
        ("NGC0628_PHANGS_DATACUBE.fits", "NGC0628"),
        ("a478-final.fits", "a478"),
        ("gal_cube.fits", "gal"),
        ("galaxy_of_mine.fits", "galaxy"),
    ],
)
def test_a_catalogue_alone_is_no_galaxy(file, name):
    assert find_galaxy_name({}, Path(file)) == name
