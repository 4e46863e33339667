"""Flags, kinematics, Milky Way extinction: the small print of BinData."""

from pathlib import Path

import numpy as np
import pytest
from muse_hst import BANDS, MUSE_HST, N_WAVE, WAVE_AA
from prep_toys import toy_bins, toy_wcs

from napari_sfh.errors import SfhInputError
from napari_sfh.physics import extinction
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.observation import make_observation, mask_gas_lines
from napari_sfh.prep.rest_frame import RestSpectra
from napari_sfh.types import BinnedMaps, Flag


def rest_spectra(n=4, snr=40.0):
    ones = np.ones((n, N_WAVE), dtype=np.float32)
    none = np.zeros(n, dtype=np.float32)
    return RestSpectra(ones, 0.02 * ones, ones > 0, np.full(n, 2e-18), np.full(n, snr, dtype=np.float32), none, none)


BINS = toy_bins([[1, 1, 2, 2], [3, 3, 4, 4]])
GOOD = {band: (np.full(4, 4e-18), np.full(4, 1e-19)) for band in BANDS}


def build(rest=None, photometry=GOOD, bins=BINS, sigma=60.0, redshift=0.002, **extra):
    return make_observation(rest or rest_spectra(), photometry, bins, MUSE_HST, 10.0, sigma, redshift, **extra)


def test_bands_share_the_spectrums_norm():
    data = build()
    np.testing.assert_allclose(data.phot, 2.0)
    np.testing.assert_allclose(data.phot_error, np.hypot(0.05, 0.02 * 2.0), rtol=1e-6)  # with calibration
    assert data.phot_mask.all()
    assert np.all(data.flag == 0)
    assert data.flux.dtype == data.phot.dtype == np.float32
    np.testing.assert_array_equal(data.v_kms, 10.0)


def test_gas_lines_are_hidden_and_stars_stay():
    data = build()
    hidden = mask_gas_lines(data)
    for line in (4861.3, 5006.8, 6300.3, 6562.8, 6730.8):
        assert not hidden.mask[:, np.abs(WAVE_AA - line) < 10].any()
    for feature in (5270.0, 5335.0, 5406.0):  # iron
        assert hidden.mask[:, np.abs(WAVE_AA - feature) < 8].all()
    assert (hidden.flux[~hidden.mask] == 0).all()
    np.testing.assert_array_equal(hidden.flux[hidden.mask], data.flux[hidden.mask])
    assert 0.1 < 1 - hidden.mask.mean() < 0.25


def has(data, flag):
    return (data.flag & int(flag)) > 0


def test_missing_bands():
    data = build(photometry={"F555W": GOOD["F555W"]})
    np.testing.assert_array_equal(data.phot_mask[0], [False, False, False, True, False])
    assert has(data, Flag.MISSING_BAND).all()
    assert not has(data, Flag.NO_PHOTOMETRY).any()
    none = build(photometry={})
    assert has(none, Flag.NO_PHOTOMETRY).all()
    assert np.all(none.phot == 0)


@pytest.mark.parametrize(("value", "negative"), [(-1e-19, True), (0.0, True), (np.nan, False)])
def test_band_without_positive_flux_is_left_out(value, negative):
    flux = np.full(4, 4e-18)
    flux[2] = value
    data = build(photometry=GOOD | {"F275W": (flux, np.full(4, 1e-19))})
    np.testing.assert_array_equal(data.phot_mask[:, 0], [True, True, False, True])
    assert data.phot[2, 0] == 0
    np.testing.assert_array_equal(has(data, Flag.NEGATIVE_FLUX), [False, False, negative, False])
    np.testing.assert_array_equal(has(data, Flag.MISSING_BAND), [False, False, True, False])


@pytest.mark.parametrize("error", [0.0, np.inf, np.nan])
def test_band_without_an_error_is_left_out(error):
    data = build(photometry=GOOD | {"F814W": (np.full(4, 4e-18), np.full(4, error))})
    assert not data.phot_mask[:, 4].any()


def test_redshift_above_a_hundredth_drops_the_bands():
    data = build(redshift=0.0101)
    assert has(data, Flag.REDSHIFT).all()
    assert has(data, Flag.NO_PHOTOMETRY).all()
    assert not data.phot_mask.any()
    assert not has(build(redshift=0.0099), Flag.REDSHIFT).any()


def test_flags_of_the_spectrum():
    rest = rest_spectra()
    rest.mask[1, :200] = False
    rest.norm_cgs[2] = np.nan
    rest.snr[3] = 20.0
    data = build(rest, sigma=np.array([60, 60, 60, 180.0]))
    assert list(has(data, Flag.MASKED_PIXELS)) == [False, True, False, False]
    assert list(has(data, Flag.NO_SPECTRUM)) == [False, False, True, False]
    assert not data.phot_mask[2].any()
    assert list(has(data, Flag.LOW_SNR)) == [False, False, False, True]
    assert list(has(data, Flag.SIGMA_HIGH)) == [False, False, False, True]


def test_flags_of_bins_cameras_and_kinematics():
    rest = rest_spectra(2)
    bins = toy_bins([[1, 2, 2]])
    data = build(rest, {k: (f[:2], e[:2]) for k, (f, e) in GOOD.items()}, bins, default_kinematics=[True, False])
    assert list(has(data, Flag.SINGLE_SPAXEL)) == [True, False]
    assert list(has(data, Flag.DEFAULT_KINEMATICS)) == [True, False]
    assert has(build(other_camera=["F438W"]), Flag.OTHER_CAMERA).all()
    assert not has(build(photometry={}, other_camera=["F438W"]), Flag.OTHER_CAMERA).any()


def test_mismatches_are_named():
    with pytest.raises(SfhInputError, match="band 'F999W' is unknown"):
        build(photometry={"F999W": GOOD["F555W"]})
    with pytest.raises(SfhInputError, match=r"band F555W: photometry of shape \(3,\) for 4 bins"):
        build(photometry={"F555W": (np.ones(3), np.ones(3))})
    with pytest.raises(SfhInputError, match="spectra of 2 bins for a bin map of 4"):
        build(rest_spectra(2))


# --- kinematics -------------------------------------------------------------------------------------------------


def test_constant_kinematics():
    out = stellar_kinematics.parse_constant_kinematics("-20,75.5", 3)
    np.testing.assert_array_equal(out.v_kms, [-20] * 3)
    np.testing.assert_array_equal(out.sigma_kms, [75.5] * 3)
    assert not out.measured.any()


@pytest.mark.parametrize("text", ["fast", "1", "1,2,3", "0,-5", "0,0", "9999,60", "nan,60"])
def test_bad_constants_are_quoted(text):
    with pytest.raises(SfhInputError, match=f"`kinematics` '{text}'"):
        stellar_kinematics.parse_constant_kinematics(text, 3)


def maps(v, sigma, redshift=0.002, shape=(2, 4)):
    return BinnedMaps(
        Path("MAPS.fits"),
        np.ones(shape, np.int32),
        np.broadcast_to(v, shape).astype(np.float32),
        np.broadcast_to(sigma, shape).astype(np.float32),
        redshift,
        toy_wcs(*shape, 0.2),
    )


def test_medians_of_maps_per_bin():
    v = np.array([[10, 30, np.nan, np.nan], [5, 5, 5, 900]])
    out = stellar_kinematics.bin_maps_kinematics(maps(v, 80.0), BINS, 0.002)
    np.testing.assert_allclose(out.v_kms, [20, 452.5, 5, 452.5])  # bin 2 takes that of bin 4, the nearest
    np.testing.assert_array_equal(out.measured, [True, False, True, True])


def test_velocities_move_with_the_redshift():
    out = stellar_kinematics.bin_maps_kinematics(maps(0.0, 80.0, redshift=0.0021), BINS, 0.002)
    np.testing.assert_allclose(out.v_kms, C_KMS * np.log(1.0021 / 1.002), rtol=1e-4)


def test_maps_without_kinematics_or_on_another_grid():
    with pytest.raises(SfhInputError, match=r"MAPS\.fits: V_STARS and SIGMA_STARS"):
        stellar_kinematics.bin_maps_kinematics(maps(np.nan, 80.0), BINS, 0.002)
    with pytest.raises(SfhInputError, match=r"MAPS\.fits: its grid is 3 x 3"):
        stellar_kinematics.bin_maps_kinematics(maps(0.0, 80.0, shape=(3, 3)), BINS, 0.002)


# --- Milky Way --------------------------------------------------------------------------------------------------


def test_extinction_in_v_is_rv_times_ebv():
    magnitudes = -2.5 * np.log10(extinction.milky_way_transmission(np.array([2750.0, 5500.0, 8000.0]), 0.1))
    assert magnitudes[1] == pytest.approx(0.31, rel=0.03)
    assert magnitudes[0] == pytest.approx(0.62, rel=0.05)  # F99: A(F275W) = 6.2 E(B-V)
    assert magnitudes[2] < 0.2
    np.testing.assert_array_equal(extinction.milky_way_transmission(np.array([4000.0]), 0.0), 1.0)


@pytest.mark.parametrize("ebv", [-0.1, np.nan, 7.0])
def test_impossible_reddening(ebv):
    with pytest.raises(SfhInputError, match="`ebv_mw`"):
        extinction.milky_way_transmission(5000.0, ebv)
