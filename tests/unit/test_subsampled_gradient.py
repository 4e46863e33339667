"""The gradient of Liew-Cain et al. (2021): a line through three quarters of the bins, a hundred times."""

import numpy as np
import pytest

from napari_sfh.analysis.disc import Disc
from napari_sfh.analysis.gradients import RadialProfile, fit_subsampled_gradient
from napari_sfh.errors import SfhInputError


def profile(r, value):
    return RadialProfile("AGE_LW", Disc(0.0, 0.0, 0.0, 0.0, 1.0), r, value, np.full(r.size, 0.05))


def test_a_line_is_found_and_its_error_is_that_of_the_subsamples():
    rng = np.random.default_rng(0)
    r = rng.random(200)
    slope, error = fit_subsampled_gradient(profile(r, 9.5 - 0.4 * r))
    assert slope == pytest.approx(-0.4)
    assert error == pytest.approx(0.0, abs=1e-9)
    sigma = 0.1
    slope, error = fit_subsampled_gradient(profile(r, 9.5 - 0.4 * r + sigma * rng.standard_normal(r.size)))
    whole = sigma / np.sqrt(r.size) / r.std()
    # Three quarters without replacement scatter by sqrt(1 / 0.75 - 1) of the whole sample's error.
    assert error == pytest.approx(whole * np.sqrt(1 / 0.75 - 1), rel=0.3)
    assert abs(slope + 0.4) < 4 * whole


def test_bins_beyond_the_radius_do_not_count():
    r = np.linspace(0, 2, 100)
    slope, _ = fit_subsampled_gradient(profile(r, np.where(r < 1, r, 100.0)))
    assert slope == pytest.approx(1.0)
    with pytest.raises(SfhInputError, match="R_e"):
        fit_subsampled_gradient(profile(r + 3, r))
