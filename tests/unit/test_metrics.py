"""Metrics against known numbers."""

import numpy as np
import pytest

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import metrics
from napari_sfh.types import QUANTILES


def _same(x):
    return {k: np.asarray(x, float) for k in MEAN_NAMES}


def test_accuracy_of_known_errors():
    truth, found = _same(np.zeros(5)), _same([0.1, 0.2, 0.3, 0.4, 10.0])
    row = metrics.measure_accuracy(found, truth)["mh_lw"]
    assert row["bias"] == pytest.approx(0.3)
    assert row["nmad"] == pytest.approx(1.4826 * 0.1, rel=1e-5)
    assert row["std"] == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4, 10.0]))
    assert row["n"] == 5


def test_accuracy_without_objects_is_null_not_nan():
    assert metrics.measure_accuracy(_same([np.nan]), _same([1.0]))["mh_mw"]["bias"] is None


def test_coverage_of_a_perfect_gaussian_posterior():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    centre, width = rng.normal(size=40_000), rng.uniform(0.2, 3, 40_000)
    truth = centre + width * rng.normal(size=40_000)
    q = centre[:, None] + width[:, None] * norm.ppf(QUANTILES)
    row = metrics.measure_coverage({"x": q}, {"x": truth})["x"]
    assert row["p68"] == pytest.approx(0.68, abs=0.01)
    assert row["p95"] == pytest.approx(0.95, abs=0.005)
    nominal, true = metrics.measure_quantile_calibration(q, truth)
    np.testing.assert_allclose(true, nominal, atol=0.01)


def test_quantities_with_a_bound_are_judged_on_the_other_side():
    rng = np.random.default_rng(4)
    # Half of the truths are exactly 0, and so are the exact posterior's two lower limits.
    truth = np.where(rng.random((20_000, 16)) < 0.5, 0.0, rng.random((20_000, 16)))
    truth[:, 0] = 1.0  # known beforehand: no test
    exact = np.array([0.0, 0.0, 0.0, 0.68, 0.95])
    q = np.broadcast_to(exact, (*truth.shape, 5)).copy()
    q[:, 0] = 1.0
    row = metrics.measure_coverage({"f": q}, {"f": truth})["f"]
    assert row["p95"] == pytest.approx(0.9766, abs=0.002)
    assert row["above"]["p84"] == pytest.approx(0.16, abs=0.003)
    assert row["above"]["p975"] == pytest.approx(0.025, abs=0.002)
    assert row["below"] == {"p16": 0.0, "p025": 0.0}
    above, _ = metrics.measure_tail_shares(np.minimum(1.2 * q, 1.0), truth)
    assert above["p84"] < 0.11
    assert above["p975"] == 0.0
    # The mirror image is judged by its lower limits.
    _, below = metrics.measure_tail_shares(1 - q[..., ::-1], 1 - truth)
    assert below["p16"] == pytest.approx(0.16, abs=0.003)


def test_coverage_sees_intervals_half_as_wide():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=20_000)
    q = np.tile(0.5 * np.array([-1.96, -0.994, 0, 0.994, 1.96]), (20_000, 1))
    row = metrics.measure_coverage({"x": q}, {"x": truth})["x"]
    assert row["p68"] == pytest.approx(0.38, abs=0.015)
    assert row["p95"] == pytest.approx(0.673, abs=0.015)


def test_coverage_by_age_bin_and_of_exact_limits():
    q = np.zeros((4, 16, 5))
    q[:, 1:, 3:] = 1.0
    truth = np.zeros((4, 16))
    truth[:, 0] = 0.5
    row = metrics.measure_coverage({"f": q}, {"f": truth})["f"]
    assert row["by_bin"]["p68"][0] == 0
    assert row["by_bin"]["p68"][1:] == [1.0] * 15
    assert row["p68"] == pytest.approx(15 / 16)


def test_unknown_truth_does_not_count():
    q = np.tile([-2.0, -1, 0, 1, 2], (3, 1))
    assert metrics.measure_coverage({"x": q}, {"x": np.array([0.0, np.nan, 1.5])})["x"] == {
        "p68": 0.5,
        "p95": 1.0,
        "n": 2,
    }
    assert metrics.measure_coverage({"x": q}, {"x": np.full(3, np.nan)}) == {}


def test_ranges_and_classes():
    found, truth = _same([1.0, 2.0, 3.0]), _same([0.0, 0.0, 0.0])
    rows = metrics.measure_accuracy_by_range(found, truth, np.array([0.05, 0.5, 0.6]), (0, 0.1, 0.2, 1))
    assert [(r["lo"], r["n"], r["mh_mw"]["bias"]) for r in rows] == [(0.0, 1, 1.0), (0.2, 2, 2.5)]
    table = metrics.measure_accuracy_by_class(found, truth, np.array([0, 2, 2]), ("a", "b", "c"))
    assert list(table) == ["a", "c"]
    assert table["c"]["lg_age_lw"]["bias"] == 2.5


def test_smape_of_nothing_right_and_all_right():
    truth = np.array([[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(metrics.symmetric_percentage_error(np.array([[0.0, 1.0], [0.5, 0.5]]), truth), [200, 0])


def test_rate_error_is_relative_to_the_mean_rate():
    truth = np.array([[0.2, 0.8], [0.4, 0.6]])
    row = metrics.measure_sfr_error(truth + np.array([0.03, -0.03]), truth)
    np.testing.assert_allclose(row["bias"], [0.1, -0.03 / 0.7])
    np.testing.assert_allclose(row["std"], 0, atol=1e-12)


def test_curve_error_has_the_percentiles_of_each_edge():
    truth = np.zeros((101, 2))
    found = np.column_stack([np.linspace(-1, 1, 101), np.full(101, 0.2)])
    row = metrics.measure_cumulative_error(np.vstack([found, [[np.nan, 0.0]]]), np.vstack([truth, [[0.0, 0.0]]]))
    np.testing.assert_allclose(
        [row["p16"], row["median"], row["p84"]], [[-0.68, 0.2], [0, 0.2], [0.68, 0.2]], atol=1e-9
    )


def test_error_correlation_has_the_slope():
    x = np.linspace(-1, 1, 11)
    found = {"lg_age_mw": x, "lg_age_lw": x, "mh_mw": -0.5 * x, "mh_lw": 0.2 * x}
    table = metrics.correlate_errors(found, _same(np.zeros(11)))
    assert table["mw"] == pytest.approx({"r": -1.0, "slope": -0.5})
    assert table["lw"]["slope"] == pytest.approx(0.2)


def test_widths_follow_the_errors():
    rng = np.random.default_rng(3)
    width = rng.uniform(0.1, 1.0, 4000)
    truth = width * rng.normal(size=4000)
    q = width[:, None] * np.array([-1.96, -0.994, 0, 0.994, 1.96])
    row = metrics.compare_widths(_same(q), _same(truth))["mh_mw"]
    assert row["claimed"] == pytest.approx(0.994 * np.sqrt((width**2).mean()), rel=0.01)
    assert row["reached"] == pytest.approx(row["claimed"], rel=0.15)
    assert row["r"] > 0.3
