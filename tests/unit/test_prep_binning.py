"""Binning: every good spaxel in one bin, S/N as the spectra bear it, clear words where that cannot be."""

import threading
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from muse_hst import NORM_WINDOW_AA
from prep_toys import MUSE_WAVE, toy_cube, toy_spectrum, toy_wcs

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.io.cleaning.bin_maps import read_bin_map, renumber_bins
from napari_sfh.prep import binning
from napari_sfh.prep.binning import (
    SpaxelSN,
    bin_spaxels,
    describe_binning_time,
    find_window_channels,
    measure_difference_noise,
    measure_signal_noise,
)
from napari_sfh.prep.tessellate import tessellate_spaxels
from napari_sfh.prep.tessellation.accretion import find_grid_neighbours, make_first_bins
from napari_sfh.prep.tessellation.power_cells import assign_to_cells, refine_bins
from napari_sfh.types import BinnedMaps


def disc(n=40, seed=0):
    """S/N of an exponential disc, falling from 60 to 2."""
    y, x = np.mgrid[:n, :n]
    signal = 60 * np.exp(-np.hypot(x - n / 2, y - n / 2) / (n / 5)) + 1.5
    rng = np.random.default_rng(seed)
    signal = (signal * rng.uniform(0.95, 1.05, signal.shape)).astype(np.float32)
    noise = np.ones_like(signal)
    return SpaxelSN(signal, noise, np.ones(signal.shape, bool), toy_wcs(n, n, 0.2), Path("disc.fits"), True)


def bin_snr(sn, bin_id, k):
    inside = bin_id == k
    return sn.signal[inside].sum() / np.sqrt((sn.noise[inside] ** 2).sum())


@pytest.mark.parametrize("method", ["vorbin", "powerbin"])
def test_bins_tile_the_field_and_reach_the_target(method, capsys):
    sn = disc()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bins = bin_spaxels(sn, 35.0, method)
    assert capsys.readouterr().out == ""
    assert set(np.unique(bins.bin_id)) == set(range(1, bins.n_bins + 1))
    assert bins.nspax.sum() == sn.good.sum()
    assert bins.method == method
    assert bins.target_snr == 35.0
    for k in (1, bins.n_bins // 2, bins.n_bins):
        assert bins.snr[k - 1] == pytest.approx(bin_snr(sn, bins.bin_id, k), rel=1e-5)
    assert np.median(bins.snr) == pytest.approx(35, rel=0.1)
    assert bins.snr.min() > 0.7 * 35


@pytest.mark.parametrize("method", ["vorbin", "powerbin"])
def test_bright_spaxels_stay_alone(method):
    sn = disc()
    bins = bin_spaxels(sn, 35.0, method)
    bright = sn.signal > 1.3 * 35
    assert bright.sum() > 5
    assert np.all(bins.nspax[bins.bin_id[bright] - 1] == 1)


def field(signal, good=None):
    signal = np.asarray(signal, dtype=np.float32)
    good = np.ones(signal.shape, bool) if good is None else good
    return SpaxelSN(signal, np.ones_like(signal), good, toy_wcs(*signal.shape, 0.2), Path("field.fits"), True)


@pytest.mark.parametrize("method", ["vorbin", "powerbin"])
def test_a_star_does_not_swallow_its_surroundings(method):
    sky = np.full((20, 20), 1.5)
    sky[5, 7] = 500.0
    bins = bin_spaxels(field(sky), 20.0, method)
    assert bins.nspax[bins.bin_id[5, 7] - 1] == 1
    assert bins.n_bins >= 2


@pytest.mark.parametrize("method", ["vorbin", "powerbin"])
def test_a_faint_spaxel_among_bright_ones_joins_a_neighbour(method):
    sky = np.full((9, 9), 30.0)
    sky[4, 4] = 3.0
    bins = bin_spaxels(field(sky), 20.0, method)
    assert bins.n_bins == 80
    partner = bins.bin_id == bins.bin_id[4, 4]
    assert partner.sum() == 2
    assert np.ptp(np.argwhere(partner), axis=0).max() == 1


@pytest.mark.parametrize("method", ["vorbin", "powerbin"])
@pytest.mark.parametrize(
    ("shape", "used", "target", "n_bins"),
    [
        ((1, 400), "all", 20.0, (4, 4)),
        ((400, 1), "all", 39.0, (1, 1)),
        ((30, 30), "checker", 20.0, (3, 4)),
        ((1, 2), "all", 2.5, (1, 1)),
        ((2, 2), "all", 3.9, (1, 1)),
    ],
)
def test_awkward_fields_are_binned_too(method, shape, used, target, n_bins):
    good = np.ones(shape, bool) if used == "all" else np.indices(shape).sum(0) % 2 == 0
    bins = bin_spaxels(field(np.full(shape, 2.0), good), target, method)
    assert n_bins[0] <= bins.n_bins <= n_bins[1]
    assert bins.nspax.sum() == good.sum()
    assert bins.snr.min() >= 0.9 * target


def test_bins_are_numbered_outwards_from_the_brightest_and_do_not_change_between_runs():
    sn = disc()
    one, two = bin_spaxels(sn, 30.0), bin_spaxels(sn, 30.0)
    np.testing.assert_array_equal(one.bin_id, two.bin_id)
    distance = np.hypot(one.x - one.x[0], one.y - one.y[0])
    assert np.all(np.diff(distance) >= 0)
    assert sn.signal[one.bin_id == 1].mean() > 0.99 * sn.signal.max()


def test_centre_is_weighted_by_light():
    sn = disc(4)
    bins = bin_spaxels(sn, 1.0, given=np.ones((4, 4), dtype=np.int32))
    y, x = np.mgrid[:4, :4]
    assert bins.x[0] == pytest.approx((sn.signal * x).sum() / sn.signal.sum())
    assert bins.y[0] == pytest.approx((sn.signal * y).sum() / sn.signal.sum())


def test_all_spaxels_above_the_target_stay_single():
    sn = disc(5)
    bins = bin_spaxels(sn, 1.2)
    assert bins.n_bins == 25
    assert np.all(bins.nspax == 1)


def test_target_out_of_reach_says_what_is():
    sn = disc()
    reach = sn.signal.sum() / np.sqrt(sn.signal.size)
    with pytest.raises(SfhInputError, match=rf"disc\.fits.*together have {reach:.1f}; lower `target_snr`"):
        bin_spaxels(sn, 2 * reach)


def test_unknown_method_and_bad_target():
    with pytest.raises(SfhInputError, match="'kmeans' is unknown: choose auto, vorbin, powerbin"):
        bin_spaxels(disc(), 10, "kmeans")
    with pytest.raises(SfhInputError, match="must be positive"):
        bin_spaxels(disc(), -3)


def test_cancel_ends_vorbin():
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        bin_spaxels(disc(), 35.0, cancel=event)


def test_vorbin_warns_of_its_cost_only_on_big_fields():
    sn = disc(10)
    assert describe_binning_time(sn, "vorbin") is None
    big = SpaxelSN(*(np.ones((1000, 1000), t) for t in (np.float32, np.float32, bool)), sn.wcs, sn.path, True)
    assert all(part in describe_binning_time(big, "vorbin") for part in ("1000000", "1.5 h", "35 s"))
    big.good[:] = np.arange(1000) < 50
    assert all(part in describe_binning_time(big, "vorbin") for part in ("50000", "15 s", "5 s"))
    assert describe_binning_time(big, "powerbin") is None
    assert describe_binning_time(big, "auto") is None


def test_auto_takes_the_library_that_suits_the_size(monkeypatch):
    sn = disc()
    assert bin_spaxels(sn, 35.0).method == "vorbin"
    monkeypatch.setattr(binning, "MAX_VORBIN_SPAXELS", 100)
    assert bin_spaxels(sn, 35.0).method == "powerbin"
    np.testing.assert_array_equal(bin_spaxels(sn, 35.0).bin_id, bin_spaxels(sn, 35.0, "powerbin").bin_id)


# --- signal and noise -------------------------------------------------------------------------------------------


def noisy_cube(snr=20.0, shape=(6, 7), variance=True, redshift=0.0, seed=1):
    rng = np.random.default_rng(seed)
    clean = 100 * np.ones(MUSE_WAVE.size)[:, None, None] * np.ones(shape)
    sigma = 100 / snr
    flux = clean + sigma * rng.standard_normal(clean.shape)
    return toy_cube(flux, np.full(clean.shape, sigma**2) if variance else None)


@pytest.mark.parametrize(("variance", "tolerance"), [(True, 0.01), (False, 0.25)])
def test_snr_is_that_of_the_data(variance, tolerance):
    sn = measure_signal_noise(noisy_cube(20.0, variance=variance), 0.002, NORM_WINDOW_AA)
    assert sn.from_variance is variance
    np.testing.assert_allclose(sn.snr, 20.0, rtol=tolerance + 0.01)
    assert np.mean(sn.snr) == pytest.approx(20.0, rel=0.05)


def test_difference_noise_is_blind_to_slopes_and_correlated_neighbours():
    rng = np.random.default_rng(3)
    ramp = np.linspace(0, 1000, 4000, dtype=np.float32)
    assert measure_difference_noise(ramp + 2.0 * rng.standard_normal(4000).astype(np.float32)) == pytest.approx(
        2.0, rel=0.07
    )
    assert np.isnan(measure_difference_noise(np.ones(8, dtype=np.float32)))


def test_bad_spaxels_are_left_out():
    cube_flux = np.full((MUSE_WAVE.size, 2, 3), 100.0)
    cube_flux[:, 0, 0] = np.nan
    cube_flux[:, 0, 1] = -5.0
    cube_flux[:, 0, 2] = 0.5  # S/N 0.5
    cube = toy_cube(cube_flux, np.ones_like(cube_flux))
    sn = measure_signal_noise(cube, 0.0, NORM_WINDOW_AA)
    np.testing.assert_array_equal(sn.good, [[False] * 3, [True] * 3])
    assert np.isnan(sn.signal[0, 0])


def test_noise_uses_the_variance_and_not_its_root():
    flux = np.full((MUSE_WAVE.size, 1, 1), 100.0)
    sn = measure_signal_noise(toy_cube(flux, np.full_like(flux, 25.0)), 0.0, NORM_WINDOW_AA)
    assert sn.snr[0, 0] == pytest.approx(20.0, rel=1e-5)


def test_window_moves_with_redshift():
    cube = toy_cube(toy_spectrum(MUSE_WAVE)[:, None, None])
    part = find_window_channels(cube, 0.1, NORM_WINDOW_AA)
    assert cube.wave_aa[part][0] == pytest.approx(5300 * 1.1, abs=1.25)
    assert cube.wave_aa[part][-1] == pytest.approx(5500 * 1.1, abs=1.25)


def test_window_not_covered_names_the_range():
    cube = toy_cube(toy_spectrum(MUSE_WAVE)[:, None, None], name="short.fits")
    with pytest.raises(SfhInputError, match=r"short\.fits.*redshift 0\.9.*the cube covers 4750-7624 AA"):
        measure_signal_noise(cube, 0.9, NORM_WINDOW_AA)


def test_nothing_but_nan_is_an_error():
    flux = np.full((MUSE_WAVE.size, 3, 3), np.nan)
    with pytest.raises(SfhInputError, match=r"toy\.fits: no spaxel has S/N >= 1 .*0 observed spaxels"):
        measure_signal_noise(toy_cube(flux), 0.0, NORM_WINDOW_AA)


def test_one_spaxel_cube():
    sn = measure_signal_noise(noisy_cube(50.0, shape=(1, 1)), 0.0, NORM_WINDOW_AA)
    bins = bin_spaxels(sn, 35.0)
    assert bins.n_bins == 1
    assert bins.nspax[0] == 1
    with pytest.raises(SfhInputError, match="lower `target_snr`"):
        bin_spaxels(sn, 100.0)


def test_cancel_returns_none():
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        measure_signal_noise(noisy_cube(), 0.0, NORM_WINDOW_AA, cancel=event)


# --- bins of somebody else --------------------------------------------------------------------------------------


def maps_on(sn, bin_id, wcs=None):
    nothing = np.zeros(bin_id.shape, dtype=np.float32)
    return BinnedMaps(Path("MAPS.fits"), bin_id.astype(np.int32), nothing, nothing, 0.0, wcs or sn.wcs)


def test_given_maps_keep_their_order_and_lose_empty_bins():
    sn = disc(4)
    good = sn.good.copy()
    good[0] = False  # the whole of bin 2
    sn = SpaxelSN(sn.signal, sn.noise, good, sn.wcs, sn.path, True)
    bin_id = np.repeat([[2], [7], [3], [0]], 4, axis=1)
    bins = bin_spaxels(sn, 35.0, given=maps_on(sn, bin_id))
    assert bins.method == "maps"
    np.testing.assert_array_equal(bins.bin_id[:, 0], [0, 2, 1, 0])


def test_maps_on_another_grid():
    sn = disc(4)
    with pytest.raises(SfhInputError, match=r"MAPS\.fits.*5 x 5.*4 x 4"):
        bin_spaxels(sn, 35.0, given=maps_on(sn, np.ones((5, 5))))
    shifted = sn.wcs.deepcopy()
    shifted.wcs.crpix += 3.0
    with pytest.raises(SfhInputError, match=r"MAPS\.fits.*WCS.*3\.0 spaxels"):
        bin_spaxels(sn, 35.0, given=maps_on(sn, np.ones((4, 4)), shifted))


@pytest.mark.parametrize(("numbers", "n_bins", "without"), [([65535, 0, 1, 2], 3, 4), ([65535, 65534, 1, 2], 4, 0)])
def test_minus_one_in_an_unsigned_type_is_no_bin(tmp_path, numbers, n_bins, without):
    fits.PrimaryHDU(np.repeat([numbers], 4, axis=0).astype(np.uint16)).writeto(tmp_path / "bins.fits")
    given = read_bin_map(tmp_path / "bins.fits")
    assert (given.bin_id.max(), int((given.bin_id == 0).sum())) == (n_bins, without)


def test_bin_map_from_a_fits_file(tmp_path):
    sn = disc(4)
    path = tmp_path / "bins.fits"
    header = sn.wcs.to_header()
    image = np.repeat([[-1.0], [0.0], [1.0], [np.nan]], 4, axis=1)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, header, name="BIN_ID")]).writeto(path)
    given = read_bin_map(path)
    bins = bin_spaxels(sn, 35.0, given=given)
    assert bins.method == "file"
    np.testing.assert_array_equal(bins.bin_id[:, 0], [0, 1, 2, 0])
    assert "2 bins, numbered from 0; 8 of 16 spaxels" in given.note
    for content, words in (
        (np.full((4, 4), 0.5), r"bins\.fits: bin numbers must be whole"),
        (np.zeros((4, 4)), "holds no bin"),
        (np.zeros((2, 4, 4)), "no two-dimensional image"),
    ):
        fits.PrimaryHDU(content, header if content.ndim == 2 else None).writeto(path, overwrite=True)
        with pytest.raises(SfhInputError, match=words):
            read_bin_map(path)


@pytest.mark.parametrize(
    ("image", "bins"),
    [
        ([[np.nan, 0], [1, 7]], [[0, 1], [2, 3]]),
        ([[-1, 0], [1, 7]], [[0, 1], [2, 3]]),
        ([[0, 1], [2, 7]], [[0, 1], [2, 3]]),
        ([[1e20, 0], [3, 1]], [[0, 1], [3, 2]]),
        ([[-2147483648, 2147483647], [0, 0]], [[0, 2], [1, 1]]),
    ],
)
def test_zero_is_a_bin_where_something_else_marks_none(image, bins):
    np.testing.assert_array_equal(renumber_bins(np.array(image, dtype=float), "map")[0], bins)


def test_bins_are_round_on_the_sky_whatever_the_shape_of_the_spaxels():
    """Spaxels of 0.2 x 0.4 arcsec: a bin is about as wide as high in arcsec, twice as wide as high in spaxels."""
    square = disc(24)
    wcs = square.wcs.deepcopy()
    wcs.wcs.cdelt = [wcs.wcs.cdelt[0], 2 * wcs.wcs.cdelt[1]]
    flat = SpaxelSN(
        np.ones((24, 24), np.float32), np.ones((24, 24), np.float32), np.ones((24, 24), bool), wcs, square.path, True
    )
    ratios = []
    for sn in (replace(flat, wcs=square.wcs), flat):
        bins = bin_spaxels(sn, 5.0, "powerbin").bin_id
        y, x = np.mgrid[:24, :24]
        sides = [(np.std(x[bins == k]), np.std(y[bins == k])) for k in range(1, bins.max() + 1)]
        ratios.append(np.median([a for a, _ in sides]) / np.median([b for _, b in sides]))
    assert ratios[0] == pytest.approx(1.0, abs=0.25)
    assert ratios[1] == pytest.approx(2.0, abs=0.5)


def test_first_bins_are_those_of_powerbin_with_the_same_neighbours(monkeypatch):
    from powerbin.bin_accretion import bin_accretion

    sn = disc(30)
    capacity = (sn.signal.ravel().astype(float) / sn.noise.ravel()) ** 2
    places = np.argwhere(sn.good).astype(float)
    grid = SimpleNamespace(vertex_neighbor_vertices=find_grid_neighbours(places))
    monkeypatch.setattr("scipy.spatial.Delaunay", lambda *_, **__: grid)
    theirs = bin_accretion(places, 35.0**2, capacity, 0)[0]
    np.testing.assert_allclose(make_first_bins(places, capacity, 35.0**2), theirs, rtol=1e-12)


@pytest.mark.parametrize("sides", [(1.0, 1.0), (1.37, 1.0), (1.0, 2.5e-5)])
def test_neighbours_share_a_side_or_a_corner(sides):
    there = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 0, 0], [1, 1, 1, 0, 1]], dtype=bool)
    index = np.argwhere(there)
    first, found = find_grid_neighbours(index * np.array(sides))
    for k, place in enumerate(index):
        away = np.abs(index - place).max(axis=1)
        np.testing.assert_array_equal(found[first[k] : first[k + 1]], np.flatnonzero(away == 1))


def test_bins_are_as_even_as_those_of_powerbin_alone():
    from powerbin import PowerBin

    y, x = np.mgrid[:60, :60]
    gap = (np.abs(x - 40) < 2) & (y > 20)
    signal = (30 * np.exp(-np.hypot(x - 30, y - 27) / 10) + 1).astype(np.float32)
    good, noise = ~gap, np.ones_like(signal)
    own = tessellate_spaxels(good, signal, noise, 35.0, "powerbin")[good] - 1
    places = np.column_stack([x[good], y[good]]).astype(float)
    theirs = PowerBin(places, signal[good].astype(float) ** 2, 35.0**2, verbose=0).bin_num
    scatter = []
    for bins in (own, theirs):
        reached = np.sqrt(np.bincount(bins, signal[good].astype(float) ** 2))
        scatter.append(np.std(reached) / np.mean(reached))
    assert own.max() == pytest.approx(theirs.max(), rel=0.06)
    assert scatter[0] < 1.15 * scatter[1]


def make_generators(seed: int, bins: int, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Generators, many in the middle and few outside, and radii between 1 and ``span`` that grow outwards."""
    rng = np.random.default_rng(seed)
    away, angle = 60 * rng.random(bins), rng.uniform(0, 2 * np.pi, bins)
    centres = 60 + np.column_stack([away * np.cos(angle), away * np.sin(angle)])
    return centres, 1.0 + (span - 1.0) * (away / 60) ** 2 * rng.uniform(0.5, 1.0, bins)


@pytest.mark.parametrize(
    ("seed", "bins", "span"), [(0, 5, 2.0), (1, 40, 3.0), (2, 300, 4.0), (3, 300, 20.0), (4, 300, 1.0)]
)
def test_cells_are_those_of_the_least_power_whatever_was_guessed(seed, bins, span):
    centres, radii = make_generators(seed, bins, span)
    places = np.argwhere(np.ones((120, 120))).astype(float)
    power = ((places[:, None] - centres) ** 2).sum(-1) - radii**2
    least = power.argmin(axis=1)
    np.testing.assert_array_equal(assign_to_cells(places, centres, radii), least)
    rng = np.random.default_rng(seed)
    nearest = ((places[:, None] - centres) ** 2).sum(-1).argmin(axis=1)
    for guess in (least, nearest, rng.integers(0, bins, len(places)), np.zeros(len(places), dtype=int)):
        np.testing.assert_array_equal(assign_to_cells(places, centres, radii, guess), least)


@pytest.mark.parametrize("more", [0.0, 0.5])
def test_generators_at_one_place_hide_none(more):
    centres, radii = make_generators(5, 60, 4.0)
    centres[1::2], radii[1::2] = centres[::2], radii[::2] + more
    places = np.argwhere(np.ones((120, 120))).astype(float)
    power = ((places[:, None] - centres) ** 2).sum(-1) - radii**2
    for guess in (np.zeros(len(places), dtype=int), power.argmin(axis=1)):
        label = assign_to_cells(places, centres, radii, guess)
        np.testing.assert_allclose(power[np.arange(len(places)), label], power.min(axis=1), atol=1e-9)


def test_a_large_disc_far_away_has_its_pixels_among_many_near_generators():
    """Its power at the others' generators is not among their sixteen least ones; its wall is nearer than theirs."""
    small = 3.0 * np.argwhere(np.ones((12, 12))) + 0.3
    centres, radii = np.vstack([small, [90.0, 16.8]]), np.append(np.full(len(small), 0.5), 70.0)
    places = np.argwhere(np.ones((36, 36))).astype(float)
    power = ((places[:, None] - centres) ** 2).sum(-1) - radii**2
    least, nearest = power.argmin(axis=1), power[:, :-1].argmin(axis=1)
    assert (least == len(small)).any()
    np.testing.assert_array_equal(assign_to_cells(places, centres, radii, nearest), least)


def test_pixels_on_a_wall_go_where_they_go_without_a_guess():
    centres = 4.0 * np.argwhere(np.ones((10, 10)))
    places, radii = np.argwhere(np.ones((37, 37))).astype(float), np.full(len(centres), 1.5)
    searched = assign_to_cells(places, centres, radii)
    for guess in (searched, np.random.default_rng(0).integers(0, len(centres), len(places))):
        np.testing.assert_array_equal(assign_to_cells(places, centres, radii, guess), searched)


def test_even_bins_are_those_of_powerbin():
    from powerbin.powerbin import regularization

    y, x = np.mgrid[:70, :70]
    capacity = ((200 * np.exp(-np.hypot(x - 30, y - 27) / 6) + 2) ** 2).ravel()
    places = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    first = make_first_bins(places, capacity, 300.0**2)
    for steps in (3, 50):
        theirs = regularization(places, first, 300.0**2, capacity, 0, (), steps)[0]
        np.testing.assert_array_equal(refine_bins(places, first, capacity, 300.0**2, steps), theirs)


def test_even_bins_can_be_stopped_and_must_keep_a_pixel():
    places, cancel = np.argwhere(np.ones((5, 5))).astype(float), threading.Event()
    with pytest.raises(ValueError, match="lost all"):
        refine_bins(places, np.array([[2.0, 2.0], [90.0, 90.0]]), np.ones(25), 12.0, 5)
    cancel.set()
    with pytest.raises(Cancelled):
        refine_bins(places, places[[6, 18]], np.ones(25), 12.0, 5, cancel)


def test_first_bins_need_light_and_can_be_stopped():
    places, cancel = np.argwhere(np.ones((5, 5))).astype(float), threading.Event()
    with pytest.raises(ValueError, match="no bin"):
        make_first_bins(places, np.ones(25), 1e6)
    cancel.set()
    with pytest.raises(Cancelled):
        make_first_bins(places, np.ones(25), 4.0, cancel)
