"""Spectra of bins, and their way to rest and 150 km/s, against lines that are known analytically."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, NORM_PIXELS, NORM_WINDOW_AA, WAVE_AA
from prep_toys import LINES, MUSE_WAVE, toy_bins, toy_cube, toy_spectrum

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.wavelength import C_KMS, find_dropped_wavelengths
from napari_sfh.prep.rest_frame import fill_short_gaps, noise_gain, resampling_matrix, shift_to_rest_frame
from napari_sfh.prep.spectra import (
    BinSpectra,
    extract_bin_spectra,
    find_channel_range,
    restore_dropped_channels,
)


def white(n_bins=1, level=100.0, variance=1.0, seed=None):
    """Flat spectra, with noise where a seed is given."""
    flux = np.full((n_bins, MUSE_WAVE.size), level, dtype=np.float32)
    if seed is not None:
        flux += (np.sqrt(variance) * np.random.default_rng(seed).standard_normal(flux.shape)).astype(np.float32)
    return BinSpectra(
        MUSE_WAVE, flux, np.full_like(flux, variance), np.ones(flux.shape, dtype=bool), 1e-20, from_variance=True
    )


# --- extraction -------------------------------------------------------------------------------------------------


def test_sum_and_variance_over_spaxels():
    rng = np.random.default_rng(0)
    flux = rng.uniform(50, 100, (MUSE_WAVE.size, 4, 5))
    variance = rng.uniform(1, 3, flux.shape)
    bin_id = np.array([[1, 1, 2, 2, 0]] * 4)
    out = extract_bin_spectra(toy_cube(flux, variance), toy_bins(bin_id))
    first = np.searchsorted(MUSE_WAVE, out.wave_aa[0])
    part = slice(first, first + out.wave_aa.size)
    np.testing.assert_allclose(out.flux[0], flux[part][:, :, :2].sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(out.variance[1], variance[part][:, :, 2:4].sum((1, 2)), rtol=1e-5)
    assert out.good.all()


def test_only_the_channels_that_rest_can_reach_are_read():
    seen = []
    cube = toy_cube(np.ones((3681, 1, 1)), np.ones((3681, 1, 1)), wave=4749.88 + 1.25 * np.arange(3681))
    read = cube.read
    object.__setattr__(cube, "read", lambda lo, hi: seen.append((lo, hi)) or read(lo, hi))
    out = extract_bin_spectra(cube, toy_bins([[1]]), find_channel_range(cube, 0.005, MUSE_HST.grid))
    assert cube.wave_aa[seen[0][0]] == pytest.approx(4800 * 1.005 * (1 - 1000 / 299792.458) - 20, abs=2)
    assert cube.wave_aa[seen[-1][1] - 1] == pytest.approx(7000 * 1.005 * (1 + 1000 / 299792.458) + 20, abs=2)
    assert out.wave_aa.size == sum(hi - lo for lo, hi in seen)


def test_missing_spaxels_are_made_up_for_by_their_light_until_half_of_it_is_gone():
    light = np.array([[3.0, 1.0, 1.0]])
    flux = np.ones((MUSE_WAVE.size, 1, 3)) * light
    variance = np.ones_like(flux)
    flux[100, 0, 1] = np.nan  # a fifth of the light
    variance[200, 0, 0] = 0.0  # three fifths of the light
    flux[300] = np.nan
    out = extract_bin_spectra(toy_cube(flux, variance), toy_bins([[1, 1, 1]]), light=light)
    at = np.searchsorted(out.wave_aa, MUSE_WAVE[[50, 100, 200, 300]])
    np.testing.assert_allclose(out.flux[0, at[:2]], 5.0, rtol=1e-6)
    assert out.variance[0, at[0]] == pytest.approx(3.0)
    assert out.variance[0, at[1]] == pytest.approx(2.0 / 0.8**2)
    np.testing.assert_array_equal(np.flatnonzero(~out.good[0]), at[2:])
    np.testing.assert_array_equal(out.flux[0, at[2:]], 0.0)


def test_without_stat_the_noise_is_measured():
    rng = np.random.default_rng(5)
    flux = 100 + 3.0 * rng.standard_normal((MUSE_WAVE.size, 1, 4))
    out = extract_bin_spectra(toy_cube(flux), toy_bins([[1, 1, 1, 1]]))
    assert not out.from_variance
    assert np.sqrt(np.median(out.variance)) == pytest.approx(6.0, rel=0.1)


def test_all_nan_bin_comes_out_bad():
    flux = np.full((MUSE_WAVE.size, 1, 2), 10.0)
    flux[:, 0, 1] = np.nan
    out = extract_bin_spectra(toy_cube(flux), toy_bins([[1, 2]]))
    assert not out.good[1].any()
    rest = shift_to_rest_frame(out, MUSE_HST.grid, 0.0, 0.0, 60.0)
    assert np.isnan(rest.norm_cgs[1])
    assert rest.snr[1] == 0
    assert not rest.mask[1].any()


def test_rest_range_not_covered():
    cube = toy_cube(np.ones((400, 1, 1)), wave=4000 + 1.25 * np.arange(400), name="blue.fits")
    with pytest.raises(SfhInputError, match=r"blue\.fits: rest 4800-7000 AA lies"):
        find_channel_range(cube, 0.0, MUSE_HST.grid)
    assert extract_bin_spectra(cube, toy_bins([[1]])).wave_aa.size == 400


def test_extract_cancels():
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        extract_bin_spectra(toy_cube(np.ones((MUSE_WAVE.size, 1, 1))), toy_bins([[1]]), cancel=event)


# --- rest frame -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redshift", "v_kms", "sigma_kms"),
    [(0, 0, 0), (0.002, 150, 60), (0.005, -220, 100), (0.005, 80, 140), (0.01, 0, 148), (0.088, 100, 40)],
)
def test_lines_arrive_at_rest_with_150_kms(redshift, v_kms, sigma_kms):
    wave = 4749.88 + 1.25 * np.arange(2500)
    seen = toy_spectrum(wave, redshift, v_kms, sigma_kms).astype(np.float32)[None]
    spectra = BinSpectra(wave, seen, np.ones_like(seen), np.ones(seen.shape, bool), 1e-20, True)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, redshift, v_kms, sigma_kms)
    truth = toy_spectrum(WAVE_AA, sigma_kms=150.0)
    truth /= truth[NORM_PIXELS].mean()
    assert rest.mask[0].mean() > 0.99
    difference = (rest.flux[0] - truth)[rest.mask[0]]
    assert np.abs(difference).max() < 2.5e-3  # of a continuum of 1 and an Halpha of 3
    assert difference.std() < 2e-4
    moments = [line_moments(s, WAVE_AA) for s in (rest.flux[0], truth)]
    np.testing.assert_allclose(moments[0], moments[1], rtol=2e-3)


def line_moments(flux, wave):
    """Position and width of Halpha above a line through its sides."""
    near = np.abs(wave - LINES[5][0]) < 14
    x, y = wave[near], flux[near]
    y = y - np.interp(x, [x[0], x[-1]], [y[0], y[-1]])
    centre = (x * y).sum() / y.sum()
    return centre, np.sqrt((y * (x - centre) ** 2).sum() / y.sum())


def test_sigma_above_150_is_resampled_but_not_broadened():
    seen = toy_spectrum(MUSE_WAVE, 0.003, 40, 200.0).astype(np.float32)[None]
    spectra = BinSpectra(MUSE_WAVE, seen, np.ones_like(seen), np.ones(seen.shape, bool), 1e-20, True)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, 0.003, 40.0, 200.0)
    truth = toy_spectrum(WAVE_AA, sigma_kms=200.0)
    assert np.abs(rest.flux[0] - truth / truth[NORM_PIXELS].mean())[rest.mask[0]].max() < 3e-3


def test_operator_keeps_constants_and_is_local():
    for extra in (0.0, 30.0, 140.0):
        matrix = resampling_matrix(MUSE_WAVE, 1.004 * WAVE_AA, 1.004 * WAVE_AA * extra / C_KMS)
        np.testing.assert_allclose(matrix @ np.ones(MUSE_WAVE.size), 1.0, atol=1e-12)
        np.testing.assert_allclose((matrix @ MUSE_WAVE) / 1.004, WAVE_AA, atol=0.02)  # 1 km/s


@pytest.mark.parametrize("sigma_kms", [30.0, 120.0, 400.0])
def test_each_weight_is_that_of_the_gaussian(sigma_kms):
    """Two widths of the channels, as in a cube whose blue half was rebinned."""
    wave = np.concatenate([np.arange(4700.0, 6000.0, 2.5), np.arange(6000.0, 9000.0, 1.25)])
    centre, channel = np.linspace(4800.0, 8900.0, 1500), np.gradient(wave)
    sigma = centre * sigma_kms / C_KMS + 3.0
    found = resampling_matrix(wave, centre, sigma)
    place, width = np.interp(centre, wave, np.arange(wave.size)), sigma / np.interp(centre, wave, channel)
    direct = np.exp(-0.5 * ((place[:, None] - np.arange(wave.size)) / width[:, None]) ** 2)
    direct[found.toarray() == 0] = 0.0
    np.testing.assert_allclose(found.toarray(), direct / direct.sum(1, keepdims=True), rtol=1e-11)
    assert found.sum(1) == pytest.approx(1.0, abs=1e-14)
    given = resampling_matrix(wave, centre, sigma, channel)
    np.testing.assert_array_equal(given.toarray(), found.toarray())


def test_norm_is_the_observed_mean_in_cgs():
    rest = shift_to_rest_frame(white(level=100.0), MUSE_HST.grid, 0.0, 0.0, 60.0)
    assert rest.norm_cgs[0] == pytest.approx(1e-18, rel=1e-6)
    np.testing.assert_allclose(rest.flux[0][rest.mask[0]], 1.0, rtol=1e-6)
    assert NORM_WINDOW_AA == (5300.0, 5500.0)


@pytest.mark.parametrize("sigma_kms", [20.0, 100.0, 145.0, 180.0])
def test_snr_is_that_of_unbroadened_pixels(sigma_kms):
    rest = shift_to_rest_frame(white(level=100.0, variance=4.0), MUSE_HST.grid, 0.0, 0.0, sigma_kms)
    assert rest.snr[0] == pytest.approx(50.0, rel=0.01)
    np.testing.assert_allclose(rest.error[0][rest.mask[0]], 0.02, rtol=0.01)


def test_noise_keeps_its_power_on_large_scales_and_its_pixel_scatter_falls_by_the_gain():
    rest = shift_to_rest_frame(white(n_bins=60, variance=1.0, seed=2), MUSE_HST.grid, 0.0, 0.0, 50.0)
    noise = np.where(rest.mask, rest.flux - 1.0, 0.0)[:, 40:1720]
    error = np.median(rest.error[rest.mask])
    assert rest.added_kms == pytest.approx(np.full(60, np.sqrt(150.0**2 - 50.0**2)), rel=1e-3)
    assert noise.std() / error == pytest.approx(np.sqrt(noise_gain(float(rest.added_kms[0]), MUSE_HST.grid)), rel=0.03)
    binned = noise.reshape(60, -1, 40).mean(-1)  # 50 AA: much wider than the kernel
    assert binned.std() * np.sqrt(40) / error == pytest.approx(1.0, rel=0.06)


def test_redshifted_pixels_hold_more_photons():
    wave = 4749.88 + 1.25 * np.arange(3000)
    flux = np.full((1, wave.size), 100.0, dtype=np.float32)
    rest = shift_to_rest_frame(
        BinSpectra(wave, flux, np.ones_like(flux), flux > 0, 1e-20, True), MUSE_HST.grid, 0.21, 0.0, 60.0
    )
    assert rest.snr[0] == pytest.approx(100 * np.sqrt(1.21), rel=0.01)


def make_spectrum_with_holes(channels):
    """A galaxy of 50 km/s whose bad channels hold nonsense, and the same without them, at rest."""
    seen = toy_spectrum(MUSE_WAVE, sigma_kms=50.0).astype(np.float32)[None]
    whole = BinSpectra(MUSE_WAVE, seen, np.ones_like(seen), np.ones(seen.shape, bool), 1e-20, True)
    flux, good = seen.copy(), whole.good.copy()
    flux[0, channels], good[0, channels] = 1e6, False
    holed = BinSpectra(MUSE_WAVE, flux, whole.variance, good, 1e-20, True)
    return [shift_to_rest_frame(s, MUSE_HST.grid, 0.0, 0.0, 50.0) for s in (holed, whole)]


def test_gaps_grow_by_the_kernel_and_never_leak():
    bad = int(np.argmin(np.abs(MUSE_WAVE - 6000.0)))
    rest, whole = make_spectrum_with_holes([bad, bad + 1, bad + 2, bad + 3])
    np.testing.assert_allclose(rest.flux[rest.mask], whole.flux[rest.mask], rtol=1e-4)
    masked = WAVE_AA[~rest.mask[0] & (WAVE_AA > 4900) & (WAVE_AA < 6900)]
    assert 8 <= masked.size <= 14
    assert abs(masked.mean() - MUSE_WAVE[bad : bad + 4].mean()) < 1.0


@pytest.mark.parametrize("line_aa", [5183.6, 6562.8, 6000.0])
def test_a_lone_bad_channel_is_bridged(line_aa):
    rest, whole = make_spectrum_with_holes([int(np.argmin(np.abs(MUSE_WAVE - line_aa)))])
    assert np.array_equal(rest.mask, whole.mask)
    depth = np.ptp(whole.flux[0][np.abs(WAVE_AA - line_aa) < 15])
    assert np.abs(rest.flux - whole.flux).max() < max(0.06 * depth, 1e-4)
    assert (rest.error >= whole.error * (1 - 1e-5)).all()


def test_a_lone_bad_channel_that_is_not_broadened_stays_masked():
    spectra = white()
    bad = int(np.argmin(np.abs(MUSE_WAVE - 6000.0)))
    spectra.good[0, bad] = False
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, 0.0, 0.0, 149.9)
    masked = WAVE_AA[~rest.mask[0] & (WAVE_AA > 4900) & (WAVE_AA < 6900)]
    assert masked.size >= 1
    assert np.abs(masked - MUSE_WAVE[bad]).max() < 6.0


@pytest.mark.parametrize(("width", "share"), [(2, 0.2), (3, 0.5)])
def test_gaps_of_two_and_three_channels_are_bridged(width, share):
    """Exact in the continuum; in the core of a line of 5 A of equivalent width a share of its depth is lost."""
    for centre in (5175.0, 5177.5, 6000.0):
        first = int(np.argmin(np.abs(MUSE_WAVE - centre)))
        rest, whole = make_spectrum_with_holes(list(range(first, first + width)))
        assert np.array_equal(rest.mask, whole.mask)
        depth = np.ptp(whole.flux[0][np.abs(WAVE_AA - centre) < 15])
        assert np.abs(rest.flux - whole.flux).max() < max(share * depth, 1e-4)
        assert (rest.error >= whole.error * (1 - 1e-5)).all()


@pytest.mark.parametrize(("width", "open_pixels"), [(2, False), (3, True)])
def test_three_channels_on_a_peak_stay_missing(width, open_pixels):
    first = int(np.searchsorted(MUSE_WAVE, 6562.8)) - 1
    rest, whole = make_spectrum_with_holes(list(range(first, first + width)))
    assert (rest.mask != whole.mask).any() == open_pixels


@pytest.mark.parametrize("missing", [[0], [39], [1, 3], [5, 6], [12], [20, 21, 22], [20, 21, 22, 23]])
def test_bridges_stand_on_good_channels_alone(missing):
    flux, good = np.linspace(1, 5, 40), np.ones(40, bool)
    good[missing] = False
    made, variance, usable = fill_short_gaps(np.where(good, flux, np.nan), np.where(good, 1.0, np.nan), good)
    bridged = [k for k in missing if 0 < k < 39 and len(missing) < 4]
    assert np.flatnonzero(usable & ~good).tolist() == bridged
    np.testing.assert_allclose(made[usable], flux[usable], rtol=1e-12)
    assert (variance[bridged] >= 0.5).all()
    assert not made[~usable].any()


def test_vacuum_axes_are_not_uniform_and_work():
    from napari_sfh.physics.wavelength import vacuum_to_air

    wave = vacuum_to_air(4751.0 + 1.25 * np.arange(2300))
    seen = toy_spectrum(wave, 0.002, 0, 70).astype(np.float32)[None]
    rest = shift_to_rest_frame(
        BinSpectra(wave, seen, np.ones_like(seen), np.isfinite(seen), 1e-20, True), MUSE_HST.grid, 0.002, 0.0, 70.0
    )
    truth = toy_spectrum(WAVE_AA, sigma_kms=150.0)
    assert np.abs(rest.flux[0] - truth / truth[NORM_PIXELS].mean())[rest.mask[0]].max() < 2.5e-3


def test_no_continuum_gives_no_spectrum():
    spectra = white(level=-3.0)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, 0.0, 0.0, 60.0)
    assert np.isnan(rest.norm_cgs[0])


def test_kinematics_must_fit_the_bins():
    with pytest.raises(SfhInputError, match=r"v_kms has shape \(3,\).*each of the 2 bins"):
        shift_to_rest_frame(white(2), MUSE_HST.grid, 0.0, np.zeros(3), 60.0)
    with pytest.raises(SfhInputError, match="sigma_kms is not finite in 1 bins"):
        shift_to_rest_frame(white(2), MUSE_HST.grid, 0.0, 0.0, np.array([50.0, np.nan]))


def test_inputs_stay_as_they_were():
    spectra = white(2, seed=0)
    before = spectra.flux.copy()
    shift_to_rest_frame(spectra, MUSE_HST.grid, 0.0, 0.0, 60.0)
    np.testing.assert_array_equal(spectra.flux, before)


# --- channels that are not in the data -----------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [(5800.0, 6000.0), (5800.0, 5803.0)])
def test_channels_that_were_left_out_are_missing(gap):
    """As if they were there and masked, to the last bit: across a gap nothing is drawn."""
    whole = white(2, seed=3)
    kept = (MUSE_WAVE < gap[0]) | (MUSE_WAVE > gap[1])
    masked = replace(whole, **{name: getattr(whole, name) * kept for name in ("flux", "variance", "good")})
    cut = replace(
        whole, wave_aa=MUSE_WAVE[kept], **{name: getattr(whole, name)[:, kept] for name in ("flux", "variance", "good")}
    )
    restored, notes = restore_dropped_channels(cut)
    np.testing.assert_allclose(restored.wave_aa, MUSE_WAVE)
    for name in ("flux", "variance", "good"):
        np.testing.assert_array_equal(getattr(restored, name), getattr(masked, name))
    assert f"{(~kept).sum()} channels" in notes[0]
    assert restore_dropped_channels(whole) == (whole, ())


@pytest.mark.parametrize("wave", [
    np.geomspace(3800.0, 7400.0, 1800), np.round(3800 + 1.25 * np.arange(1800)),
    np.concatenate([3800 + 0.5 * np.arange(900), 4250 + 1.0 * np.arange(900)]),
    np.sort(np.concatenate([3800 + 1.3 * np.arange(900), 4800 + 0.7 * np.arange(900)])),
])  # fmt: skip
def test_steps_that_change_are_no_gaps(wave):
    assert find_dropped_wavelengths(wave).size == 0
