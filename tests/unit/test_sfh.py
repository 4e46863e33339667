"""Families of histories against their closed forms, and the Gaussian-process ones against the published method."""

import numpy as np
import pytest

from napari_sfh.training.libraries.age_grid import SUB_EDGES_GYR
from napari_sfh.training.prior import gaussian_process, star_formation
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.prior.sampling import draw_parameters

MAX_AGE = 13.47
FINE = np.linspace(0.0, MAX_AGE, 2001)

# Cumulative mass at these lookback times of the published code's own examples (dense_basis, module gp_sfh, run with an
# age of 13.47 Gyr): log SFR of 10^10 Msun, t25, t50, t75.
LOOKBACK_GYR = np.array([0.2, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
PUBLISHED = {
    "rising": ((1.0, 0.5, 0.7, 0.9), (0.8457, 0.7049, 0.7037, 0.4539, 0.265, 0.1578, 0.0683, 0.0125)),
    "regular": ((0.3, 0.25, 0.5, 0.75), (0.9604, 0.8479, 0.7871, 0.7184, 0.5609, 0.4095, 0.2595, 0.0647)),
    "young quenched": ((-1.0, 0.3, 0.6, 0.8), (0.998, 0.9645, 0.8459, 0.6069, 0.4614, 0.3458, 0.2038, 0.0465)),
    "old quenched": ((-1.0, 0.1, 0.2, 0.4), (0.998, 0.9886, 0.9716, 0.9232, 0.8548, 0.7552, 0.5941, 0.2808)),
    "double-peaked": ((0.5, 0.25, 0.4, 0.7), (0.9413, 0.782, 0.7149, 0.7135, 0.6588, 0.4829, 0.2489, 0.0521)),
    "double-peaked, quenched": ((-1.0, 0.2, 0.4, 0.8), (0.998, 0.9631, 0.8419, 0.6369, 0.5664, 0.5044, 0.342, 0.0925)),
}


def one(kind, edges=FINE, **params):
    values = {k: np.array([float(v)]) for k, v in params.items()}
    return star_formation.SFH_FAMILIES[kind].formed(np.random.default_rng(0), edges, values, MAX_AGE)[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_gp_histories_are_those_of_the_published_method(name):
    (lg_sfr, *times), cumulative = PUBLISHED[name]
    edges = np.concatenate([[0.0], LOOKBACK_GYR, [MAX_AGE]])
    formed = gaussian_process.gaussian_process_curve(np.array([times]), np.array([lg_sfr - 10.0]), edges, MAX_AGE)[0]
    np.testing.assert_allclose(formed[1:-1], cumulative, atol=0.003)


def test_gp_passes_through_its_times_and_its_present_rate():
    tx = np.array([[0.2, 0.45, 0.7], [0.3, 0.6, 0.85]])
    lg_ssfr = np.array([-10.3, -9.6])
    edges = np.concatenate([[0.0, 0.01], MAX_AGE * (1 - tx[0, ::-1])])
    formed = gaussian_process.gaussian_process_curve(tx, lg_ssfr, edges, MAX_AGE)
    np.testing.assert_allclose(formed[0, 2:], [0.75, 0.5, 0.25], atol=0.01)
    np.testing.assert_allclose((1 - formed[:, 1]) / 1e7, 10**lg_ssfr, rtol=0.02)


def test_gp_gives_a_history_whatever_the_times():
    rng = np.random.default_rng(4)
    n = 2000
    params = {"alpha": np.full(n, 0.3), "lg_ssfr": rng.uniform(-14, -8, n)}
    formed = gaussian_process.gaussian_process_history(rng, SUB_EDGES_GYR, params, MAX_AGE)
    assert np.isfinite(formed).all()
    assert np.all(np.diff(formed, axis=1) <= 1e-12)
    np.testing.assert_allclose(formed[:, 0], 1.0)
    assert np.all(formed[:, -1] == 0.0)


@pytest.mark.parametrize("prior", ["galceran2026", "wide"])
def test_every_component_conserves_mass(prior):
    config = load_prior(prior)
    params = draw_parameters(config, np.random.default_rng(3), 3000, SUB_EDGES_GYR, (-2.3, 0.7), 150.0)
    np.testing.assert_allclose(params.mass.sum(1), 1.0, atol=1e-12)
    assert params.mass.min() >= 0
    assert set(np.unique(params.family)) == set(range(len(config.families)))
    older = SUB_EDGES_GYR[:-1] >= config.max_age_gyr
    assert np.all(params.mass[:, older] == 0)


def test_constant_and_rising_are_power_laws():
    np.testing.assert_allclose(one("constant", start_gyr=10, end=0.1), np.clip((10 - FINE) / 9, 0, 1), atol=1e-12)
    np.testing.assert_allclose(one("rising", start_gyr=8, power=2), np.clip((8 - FINE) / 8, 0, 1) ** 3, atol=1e-12)


def test_declining_histories_match_their_integrals():
    t = np.maximum(10 - FINE, 0)
    np.testing.assert_allclose(one("exponential", start_gyr=10, tau_gyr=2), (1 - np.exp(-t / 2)) / (1 - np.exp(-5)))
    x = t / 2
    delayed = (1 - np.exp(-x) * (1 + x)) / (1 - np.exp(-5) * 6)
    np.testing.assert_allclose(one("delayed", start_gyr=10, tau_gyr=2), delayed, atol=1e-12)


def test_quenched_without_quenching_is_delayed_and_a_fast_one_stops():
    plain = one("quenched", SUB_EDGES_GYR, start_gyr=10, tau_gyr=3, quench=0, fall_gyr=1)
    np.testing.assert_allclose(plain, one("delayed", SUB_EDGES_GYR, start_gyr=10, tau_gyr=3), atol=1e-5)
    stopped = one("quenched", SUB_EDGES_GYR, start_gyr=10, tau_gyr=3, quench=0.2, fall_gyr=0.02)
    assert stopped[np.searchsorted(SUB_EDGES_GYR, 1.7)] > 0.999


def test_skewnormal_without_skew_is_normal():
    from scipy.stats import norm

    formed = one("skewnormal", SUB_EDGES_GYR, peak_gyr=6, width_gyr=0.8, skew=0)
    np.testing.assert_allclose(formed, 1 - norm.cdf(SUB_EDGES_GYR, 6, 0.8), atol=2e-3)


def test_negative_skew_moves_mass_to_earlier_times():
    ages = np.diff(FINE).cumsum() - 0.5 * FINE[1]
    means = [np.sum(-np.diff(one("skewnormal", peak_gyr=7, width_gyr=1, skew=s)) * ages) for s in (-0.6, 0.0, 0.6)]
    assert means[0] > means[1] + 0.2 > means[2] + 0.4


def test_a_narrow_history_does_not_underflow():
    formed = one("skewnormal", SUB_EDGES_GYR, peak_gyr=13.4, width_gyr=0.02, skew=0)
    assert formed[np.searchsorted(SUB_EDGES_GYR, 12.5)] == pytest.approx(1.0, abs=1e-6)


def test_double_power_law_turns_where_it_says():
    formed = one("double_power", turn=0.5, falling=8, rising=8)
    rate = -np.diff(formed)
    assert FINE[np.argmax(rate)] == pytest.approx(0.5 * MAX_AGE, abs=0.02)


def test_bursts_add_their_share_at_their_time():
    smooth = one("constant", start_gyr=10, end=0.5)[None]
    burst = {"age_gyr": np.array([[0.3]]), "width_gyr": np.array([[0.1]]), "mass": np.array([[0.2]])}
    formed = star_formation.add_bursts(smooth, FINE, burst, np.array([1]))[0]
    assert 1 - np.interp(0.36, FINE, formed) == pytest.approx(0.2, abs=1e-9)
    assert 1 - np.interp(0.3, FINE, formed) == pytest.approx(0.1, abs=1e-3)
    np.testing.assert_array_equal(star_formation.add_bursts(smooth, FINE, burst, np.array([0])), smooth)


def test_dirichlet_and_continuity_pieces_have_constant_rates():
    for kind, params in (("dirichlet", {"alpha": 1.0}), ("continuity", {"jump_dex": 0.3})):
        rate = -np.diff(one(kind, np.linspace(0, MAX_AGE, 20001), **params))
        changes = np.count_nonzero(np.abs(np.diff(rate)) > 1e-9 * rate.max())
        assert 7 <= changes <= 14  # seven inner edges, each inside one or two steps


def test_steady_histories_keep_forming_stars():
    n = 500
    params = {"start_gyr": np.full(n, 10.0), "decline_per_gyr": np.zeros(n), "scatter_dex": np.full(n, 0.3)}
    formed = star_formation.SFH_FAMILIES["steady"].formed(np.random.default_rng(1), SUB_EDGES_GYR, params, MAX_AGE)
    recent = 1 - formed[:, np.searchsorted(SUB_EDGES_GYR, 0.1 - 1e-9)]
    expected = SUB_EDGES_GYR[np.searchsorted(SUB_EDGES_GYR, 0.1 - 1e-9)] / 10
    assert np.std(np.log10(recent / expected)) == pytest.approx(0.3, abs=0.12)


def test_a_single_age_lies_in_the_two_sub_bins_about_it():
    lg_age = np.array([6.3, 8.123, 9.9, 10.15])
    formed = star_formation.SFH_FAMILIES["ssp"].formed(
        np.random.default_rng(1), SUB_EDGES_GYR, {"lg_age_yr": lg_age}, 13.8
    )
    mass = formed[:, :-1] - formed[:, 1:]
    middle = np.log10(0.5 * (SUB_EDGES_GYR[1:] + SUB_EDGES_GYR[:-1])) + 9
    assert np.all((mass > 1e-12).sum(1) <= 2)
    np.testing.assert_allclose(mass @ middle, lg_age, atol=1e-9)
