"""The paper's bins and the means of its equations 6 and 7."""

import numpy as np
import pytest
from muse_hst import NORM_PIXELS, WAVE_AA

from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_GYR, AGE_WIDTH_YR, LG_AGE_YR, N_AGE, UNIVERSE_GYR
from napari_sfh.physics.means import compute_population_means, weighted_mean
from napari_sfh.physics.wavelength import air_to_vacuum, vacuum_to_air

PAPER_GYR = [
    0.007,
    0.021,
    0.0425,
    0.076,
    0.1145,
    0.1615,
    0.23,
    0.345,
    0.545,
    0.865,
    1.37,
    2.17,
    3.44,
    5.455,
    8.645,
    14.2,
]


def test_centres_are_the_papers():
    # The paper prints three or four digits; 14.2 stands for 14.2005.
    np.testing.assert_allclose(AGE_GYR, PAPER_GYR, rtol=1e-4)
    assert N_AGE == 16
    assert AGE_WIDTH_YR.sum() == pytest.approx(UNIVERSE_GYR * 1e9)
    assert AGE_EDGES_GYR[-2] < UNIVERSE_GYR < AGE_EDGES_GYR[-1]


def test_constants_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        AGE_GYR[0] = 1


def test_mean_of_two_bins_by_hand():
    weights = np.zeros(16)
    weights[[0, 15]] = [1, 3]
    assert weighted_mean(weights, LG_AGE_YR) == pytest.approx(0.25 * np.log10(7e6) + 0.75 * np.log10(14.2005e9))


def test_mean_ignores_values_without_weight_and_is_nan_without_any():
    values = np.array([[1.0, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal(weighted_mean(np.array([[2.0, 0.0], [0.0, 0.0]]), values), [1.0, np.nan])


def test_light_and_mass_are_not_exchanged():
    mass, light, mh = np.zeros((1, 16)), np.zeros((1, 16)), np.tile(np.linspace(-1, 0.4, 16), (1, 1))
    mass[0, 15] = light[0, 2] = 1
    means = compute_population_means(mass, light, mh)
    assert means["lg_age_mw"][0] == LG_AGE_YR[15]
    assert means["lg_age_lw"][0] == LG_AGE_YR[2]
    assert means["mh_mw"][0] == mh[0, 15]
    assert means["mh_lw"][0] == mh[0, 2]


def test_grid_and_window():
    assert WAVE_AA[0] == 4800
    assert WAVE_AA[-1] == 7000
    assert NORM_PIXELS.sum() == 161


def test_air_and_vacuum():
    # Balmer lines: vacuum from NIST, air as tabulated everywhere.
    vacuum, air = np.array([4862.683, 6564.614]), np.array([4861.325, 6562.80])
    np.testing.assert_allclose(vacuum_to_air(vacuum), air, atol=0.01)
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(vacuum)), vacuum, atol=1e-6)
