"""Masses and rates against analytic values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.cosmology import Planck18
from smooth_result import make_result

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.stellar_mass import (
    compute_bin_formation_times,
    compute_kpc_per_arcsec,
    compute_light_density,
    compute_mass_density,
    compute_sfr_density,
    compute_total_error,
    compute_total_mass,
    compute_young_share,
    estimate_mass_error,
    estimate_sfr_error,
    measure_bin_area,
    parse_distance,
    solar_v_luminosity,
)
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, UNIVERSE_GYR
from napari_sfh.physics.formation import FORMED_FRACTIONS, compute_formation_times
from napari_sfh.types import FLAG_MEANING, Flag


@pytest.fixture(scope="module")
def clear_result():
    """Without dust, at redshift 0, of mass-to-light ratio 1."""
    result = make_result()
    quantiles = dict(result.prediction.quantiles)
    quantiles["tau_ism"] = np.zeros_like(quantiles["tau_ism"])
    quantiles["lg_ml_v"] = np.zeros_like(quantiles["lg_ml_v"])
    return replace(result, redshift=0.0, prediction=replace(result.prediction, quantiles=quantiles))


def test_the_suns_light():
    """The Sun's 4.64e32 erg/s in V over the band's width of 894 AA."""
    assert solar_v_luminosity() == pytest.approx(5.2e29, rel=0.02)


def test_a_surface_brightness_in_magnitudes_gives_the_known_density(clear_result):
    """mu_V = 21.57 + M_V,sun mag/arcsec^2 is 1 Lsun/pc^2, whatever the distance."""
    magnitude = 21.572 + 4.80
    flux_nu = 10 ** (-0.4 * (magnitude + 48.60))
    flux = flux_nu * 2.99792458e18 / 5477.0**2 * measure_bin_area(clear_result)
    in_window = flux * (5400 / 5477) ** -1.8  # bluer than V, and light falls so
    faint = replace(clear_result, data=replace(clear_result.data, norm_cgs=in_window))
    assert compute_light_density(faint) == pytest.approx(np.full(flux.size, 1e6), rel=2e-3)
    assert compute_mass_density(faint) == pytest.approx(compute_light_density(faint))


def test_dust_and_redshift_dim(clear_result):
    quantiles = dict(clear_result.prediction.quantiles)
    quantiles["tau_ism"] = np.ones_like(quantiles["tau_ism"])
    dusty = replace(clear_result, prediction=replace(clear_result.prediction, quantiles=quantiles))
    dimmed = np.exp((5400 / 5500) ** -0.7)  # in the window
    assert compute_light_density(dusty) == pytest.approx(dimmed * compute_light_density(clear_result))
    far = replace(clear_result, redshift=0.1)
    assert compute_light_density(far) == pytest.approx(1.1**5 * compute_light_density(clear_result))


def test_the_mass_of_all_bins_grows_as_distance_squared(clear_result):
    near, far = (compute_total_mass(clear_result, distance) for distance in (10.0, 20.0))
    assert far == pytest.approx(4 * near)
    rows = np.array([0, 1])
    rest = np.arange(2, clear_result.bins.n_bins)
    assert compute_total_mass(clear_result, 10.0, rows) + compute_total_mass(clear_result, 10.0, rest) == pytest.approx(
        near
    )
    with pytest.raises(SfhInputError, match="distance: 0 given"):
        compute_total_mass(clear_result, 0.0)
    for distance in (10.0 * u.Mpc, "10", [10.0]):
        with pytest.raises(SfhInputError, match="plain number, in Mpc"):
            compute_total_mass(clear_result, distance)


def test_the_scale_is_that_of_the_angular_size_distance():
    z = 0.05
    distance_mpc = parse_distance(f"z={z}")
    expected = Planck18.kpc_proper_per_arcmin(z).value / 60
    assert compute_kpc_per_arcsec(distance_mpc, z) == pytest.approx(expected, rel=1e-6)


def test_masses_need_a_window_near_v(clear_result):
    grid = replace(clear_result.instrument.spectrum, norm_window_aa=(6400.0, 6500.0))
    red = replace(clear_result.instrument, spectrum=grid)
    other = replace(clear_result, data=replace(clear_result.data, instrument=red))
    with pytest.raises(SfhInputError, match="near V"):
        compute_mass_density(other)
    assert not {"MASS", "SFR_100MYR", "MASS_ERR", "SFR_100MYR_ERR"} & set(maps.list_result_maps(other))
    assert "MASS" in maps.list_result_maps(clear_result)


def test_without_histories_there_is_no_error_of_a_rate(clear_result):
    prediction = clear_result.prediction
    means = {key: prediction.quantiles[key] for key in ("lg_age_lw", "mh_lw")}
    bare = replace(prediction, light_frac=None, mass_frac=None, mh=None, quantiles=means)
    found = maps.list_result_maps(replace(clear_result, prediction=bare))
    assert {"AGE_LW", "AGE_LW_ERR", "MH_LW", "MH_LW_ERR"} < set(found)
    assert not [name for name in found if name.startswith(("SFR", "MASS", "T50"))]
    everything = maps.list_result_maps(clear_result)
    assert {name.removesuffix("_ERR") for name in everything} <= set(everything)


def test_a_constant_rate_is_found_over_any_time(clear_result):
    width = np.diff(AGE_EDGES_GYR)
    mass = np.broadcast_to(width / width.sum(), clear_result.prediction.mass_frac.shape).astype(np.float32)
    steady = replace(clear_result, prediction=replace(clear_result.prediction, mass_frac=mass))
    rate = compute_mass_density(steady) / (AGE_EDGES_GYR[-1] * 1e9)
    for lookback in (0.03, 0.1, 1.0):
        assert compute_sfr_density(steady, lookback) == pytest.approx(rate, rel=1e-5)
        assert compute_young_share(mass, lookback) == pytest.approx(lookback / AGE_EDGES_GYR[-1], rel=1e-5)


def test_no_time_before_the_universe_counts_for_a_rate(clear_result):
    """All mass in the oldest bin, which ends at 17.8 Gyr: it formed in the 2.87 Gyr that there were."""
    mass = np.zeros_like(clear_result.prediction.mass_frac)
    mass[:, -1] = 1.0
    old = replace(clear_result, prediction=replace(clear_result.prediction, mass_frac=mass))
    rate = compute_mass_density(old) / ((UNIVERSE_GYR - 10.601) * 1e9)
    for high in (12.0, 13.0, UNIVERSE_GYR, 17.8):
        assert compute_sfr_density(old, high, 10.601) == pytest.approx(rate, rel=1e-5)
        name = maps.name_ages_map("SFR", 10.601, high)
        assert maps.add_ages_map(name)
        assert maps.MAPS[name].values(old) == pytest.approx(np.log10(rate), abs=1e-4)
    assert not compute_sfr_density(old, 20.0, 15.0).any()


def _with_width(result, name, half):
    """A result whose 16 and 84 % of a quantity lie ``half`` from its median."""
    quantiles = dict(result.prediction.quantiles)
    middle = quantiles[name][..., 2:3]
    quantiles[name] = middle + half * np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32)
    return replace(result, prediction=replace(result.prediction, quantiles=quantiles))


def test_errors_of_masses_are_of_dust_and_mass_to_light_ratio(clear_result):
    """0.3 in the optical depth are 0.130 dex; with 0.1 dex in M/L 0.164."""
    result = _with_width(_with_width(clear_result, "lg_ml_v", 0.1), "tau_ism", 0.3)
    assert estimate_mass_error(result) == pytest.approx(np.hypot(0.1, 0.3 / np.log(10)), rel=1e-4)
    dark = result.data.norm_cgs.copy()
    dark[2] = 0.0
    dimmed = replace(result, data=replace(result.data, norm_cgs=dark))
    assert np.flatnonzero(np.isnan(estimate_mass_error(dimmed))).tolist() == [2]
    # Of equal parts, each wrong by 10 % on its own, the sum is known sqrt(n) better.
    rows = np.array([0, 1, 3, 4])
    density = compute_mass_density(result) * measure_bin_area(result)
    equal = replace(result, data=replace(result.data, norm_cgs=(result.data.norm_cgs / density).astype(np.float32)))
    error = np.full(density.size, 0.1 / np.log(10))
    assert compute_total_error(equal, rows, error) == pytest.approx(0.05, rel=1e-4)


def test_errors_of_rates_are_of_the_light_of_young_stars(clear_result):
    """All young light in one age bin, known to 20 %, and no dust: 0.087 dex."""
    n = clear_result.bins.n_bins
    light = np.zeros((n, 16), np.float32)
    light[:, 1], light[:, 12] = 0.1, 0.9
    mass = np.zeros((n, 16), np.float32)
    mass[:, 1], mass[:, 12] = 0.01, 0.99
    prediction = replace(clear_result.prediction, light_frac=light, mass_frac=mass)
    quantiles = {**prediction.quantiles, "light_frac": np.repeat(light[..., None], 5, axis=2)}
    result = replace(clear_result, prediction=replace(prediction, quantiles=quantiles))
    assert estimate_sfr_error(result, 0.1) == pytest.approx(0.0, abs=1e-6)
    known = _with_width(result, "light_frac", 0.02)
    only = known.prediction.quantiles["light_frac"].copy()
    only[:, np.arange(16) != 1, :] = only[:, np.arange(16) != 1, 2:3]
    alone = replace(known, prediction=replace(prediction, quantiles={**quantiles, "light_frac": only}))
    assert estimate_sfr_error(alone, 0.1) == pytest.approx(0.2 / np.log(10), rel=1e-3)


def test_no_star_formed_before_the_universe():
    """An old galaxy, all in the oldest bin (10.601 to 17.8 Gyr): half of its stars formed 12.0 Gyr ago."""
    grown = np.concatenate([np.ones(AGE_EDGES_GYR.size - 1), [0.0]])
    times = compute_formation_times(grown, (0.01, 0.5, 0.9))
    np.testing.assert_allclose(times, UNIVERSE_GYR - np.array([0.01, 0.5, 0.9]) * (UNIVERSE_GYR - 10.601))
    assert compute_young_share(np.eye(16)[-1], UNIVERSE_GYR) == 1.0


def test_formation_times_are_those_of_the_bins():
    result = make_result()
    times = compute_bin_formation_times(result, FORMED_FRACTIONS)
    for bin_id in (1, 7, result.bins.n_bins):
        assert times[bin_id - 1] == pytest.approx(BinView.of(result, bin_id).formed().value, rel=1e-5)


def test_other_age_bins_have_their_own_edges():
    """Half of the mass in the younger of two bins, 0-2 and 2-10 Gyr: half is older than 2 Gyr, a quarter than 6 Gyr."""
    result = make_result()
    n = result.bins.n_bins
    quantiles = {k: v for k, v in result.prediction.quantiles.items() if v.ndim == 2}
    halves = np.full((n, 2), 0.5, np.float32)
    two = replace(
        result.prediction,
        mass_frac=halves,
        light_frac=halves,
        mh=np.zeros((n, 2), np.float32),
        quantiles=quantiles,
        age_edges_gyr=np.array([0.0, 2.0, 10.0]),
    )
    other = replace(result, prediction=two)
    assert compute_bin_formation_times(other, (0.25, 0.5, 0.75)) == pytest.approx(np.tile([6.0, 2.0, 1.0], (n, 1)))
    assert compute_sfr_density(other, 1.0) == pytest.approx(compute_mass_density(other) * 0.25 / 1e9)
    with pytest.raises(SfhInputError, match="2 age bins"):
        BinView.of(other, 1)
    with pytest.raises(SfhInputError, match="curve of 3 points for 17 edges"):
        compute_formation_times(np.array([1.0, 0.5, 0.0]), (0.5,))


def test_shares_of_all_ages_sum_to_one():
    result = make_result()
    by_age = maps.make_map_image(result, "MASS_AGE")
    inside = result.bins.bin_id > 0
    assert by_age.shape == (16, *inside.shape)
    assert by_age.sum(0)[inside] == pytest.approx(1, rel=1e-5)
    younger = maps.make_map_image(result, "MASS_YOUNGER")
    assert younger[4][inside] == pytest.approx(by_age[:5].sum(0)[inside], rel=1e-4, abs=1e-6)
    quantiles = dict(result.prediction.quantiles)
    curves = np.linspace(1.0, 0.1, 16)[None, :, None] ** np.arange(3.0, 0.5, -0.5) * np.ones((result.bins.n_bins, 1, 1))
    quantiles["cum_mass"] = curves.astype(np.float32)
    result = replace(result, prediction=replace(result.prediction, quantiles=quantiles))
    younger = maps.make_map_image(result, "MASS_YOUNGER")
    formed = BinView.of(result, 3).cumulative.value
    in_bin = result.bins.bin_id == 3
    for k in range(16):  # the map and the plot say the same
        assert younger[k][in_bin] == pytest.approx(1 - formed[k + 1], abs=1e-6)
    assert maps.MAPS["MASS_YOUNGER"].title.endswith("younger than")
    assert maps.format_age_range("MASS_YOUNGER", 0) == "14 Myr"


def test_velocity_limits_lie_about_zero():
    low, high = map_limits.choose_map_limits(make_result(), "V")
    assert low == -high < 0


def test_a_foreground_star_does_not_set_the_scale_of_a_galaxy():
    result = make_result()
    plain = map_limits.choose_map_limits(result, "MH_LW", "robust")
    ood, quantiles = result.prediction.ood.copy(), dict(result.prediction.quantiles)
    star = np.arange(result.bins.n_bins) < 2
    ood[star] = 3.0
    quantiles["mh_lw"] = np.where(star[:, None], np.float32(-2.0), quantiles["mh_lw"])
    starred = replace(result, prediction=replace(result.prediction, ood=ood, quantiles=quantiles))
    low, high = map_limits.choose_map_limits(starred, "MH_LW", "robust")
    assert plain[0] - 0.05 < low < high <= plain[1]
    assert map_limits.choose_map_limits(starred, "MH_LW", "full")[0] == pytest.approx(-2.0)
    assert map_limits.choose_map_limits(result, "OOD", "robust")[1] >= 1
    everywhere = replace(starred, prediction=replace(starred.prediction, ood=np.full_like(ood, 3.0)))
    assert map_limits.choose_map_limits(everywhere, "MH_LW", "full")[1] > -2


def test_flags_become_categories():
    flags = np.array([0, int(Flag.MISSING_BAND), int(Flag.OUT_OF_DEPTH | Flag.MISSING_BAND)])
    order = list(FLAG_MEANING)
    first = 1 + min(order.index(Flag.MISSING_BAND), order.index(Flag.OUT_OF_DEPTH))
    assert maps.classify_flags(flags).tolist() == [0, 1 + order.index(Flag.MISSING_BAND), first]


def test_the_brightest_trusted_bin_is_found():
    result = make_result()
    found = maps.find_brightest_bin(result)
    means = [np.nanmean(result.white[result.bins.bin_id == b]) for b in range(1, result.bins.n_bins + 1)]
    trusted = result.prediction.ood <= 1
    assert trusted[found - 1]
    assert means[found - 1] == max(np.array(means)[trusted])
