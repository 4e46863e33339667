"""Bins to images, and two answers held against each other."""

import numpy as np
import pytest
from smooth_result import make_result

from napari_sfh.analysis import maps
from napari_sfh.analysis.comparison.map_comparison import bin_truth, measure_scatter
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import LG_AGE_YR
from napari_sfh.types import BinMap, SpaxelTruth


def _bins(image) -> BinMap:
    image = np.asarray(image, dtype=np.int32)
    n = image.max()
    return BinMap(image, np.zeros(n), np.zeros(n), np.ones(n, np.int32), np.ones(n, np.float32), 1.0, "file")


def test_paint_keeps_bin_one_and_leaves_none_empty():
    image = maps.paint_bins(np.array([[0, 1], [2, 1]], dtype=np.int32), np.array([5.0, 7.0]))
    np.testing.assert_array_equal(image, [[np.nan, 5], [7, 5]])
    assert image.dtype == np.float32


def test_unknown_map_names_the_choices():
    with pytest.raises(SfhInputError, match="'AGE' is unknown: choose one"):
        maps.make_map_image(make_result(), "AGE")


def test_scatter_of_a_known_distribution():
    rng = np.random.default_rng(1)
    true = rng.uniform(8, 10, 20_000)
    found = measure_scatter(true + rng.normal(0.1, 0.2, true.size), true)
    assert found.bias == pytest.approx(0.1, abs=0.006)
    assert found.std == pytest.approx(0.2, rel=0.02)
    assert found.nmad == pytest.approx(0.2, rel=0.03)


def test_scatter_leaves_out_what_is_not_finite_and_says_so():
    assert measure_scatter(np.array([1.0, np.nan]), np.array([0.5, 1.0])).n == 1
    assert measure_scatter(np.array([np.nan]), np.array([1.0])).n == 0


def test_truth_of_a_bin_is_weighted_by_mass_and_light():
    mass, light = np.zeros((16, 1, 2)), np.zeros((16, 1, 2))
    mass[0, 0, 0], mass[15, 0, 1] = 1, 3
    light[0, 0, 0], light[15, 0, 1] = 9, 1
    metals = mass * np.array([0.2, -0.4])
    truth = bin_truth(SpaxelTruth(mass, light, metals, np.zeros((1, 2))), _bins([[1, 1]]))
    assert truth.means["lg_age_mw"][0] == pytest.approx(0.25 * LG_AGE_YR[0] + 0.75 * LG_AGE_YR[15])
    assert truth.means["lg_age_lw"][0] == pytest.approx(0.9 * LG_AGE_YR[0] + 0.1 * LG_AGE_YR[15])
    assert truth.means["mh_mw"][0] == pytest.approx(0.25 * 0.2 - 0.75 * 0.4)


def test_truth_of_another_galaxy_is_refused():
    planes = np.ones((16, 3, 3))
    with pytest.raises(SfhInputError, match="not this galaxy"):
        bin_truth(SpaxelTruth(planes, planes, planes, planes[0]), _bins([[1, 1]]))
