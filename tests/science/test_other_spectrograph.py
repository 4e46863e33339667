"""One galaxy, two spectrographs: the same maps where the line-spread function is given, a warning where it is not."""

import numpy as np
import pytest
from other_spectrograph import MUSE, OTHER, make_cube, write_bins

import napari_sfh
from napari_sfh.training.mock.galaxy import MOCK_REDSHIFT

pytestmark = pytest.mark.slow

NAMES = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")


@pytest.fixture(scope="module")
def fields(stock_templates, tmp_path_factory):
    """Results of both cubes, of the other one without its line-spread function, and the truth."""
    folder = tmp_path_factory.mktemp("fields")
    bins = write_bins(folder)
    common = {"redshift": MOCK_REDSHIFT, "binning": str(bins), "draws": 200, "device": "cpu", "ebv_mw": 0.0}
    results, truth = {}, None
    for name, spectrograph, lsf in (("muse", MUSE, None), ("other", OTHER, "6.0"), ("unknown", OTHER, None)):
        cube, truth = make_cube(spectrograph, folder)
        results[name] = napari_sfh.run(napari_sfh.configure_run(cube=cube, lsf=lsf, **common))
    return results, truth


def _median_and_error(result, name):
    quantiles = result.prediction.quantiles[name]
    return quantiles[:, 2], 0.5 * (quantiles[:, 3] - quantiles[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_the_maps_are_the_same_within_their_errors(fields, name):
    results, _ = fields
    muse, other = (_median_and_error(results[k], name) for k in ("muse", "other"))
    pull = (other[0] - muse[0]) / np.hypot(muse[1], other[1])
    assert np.isfinite(pull).all()
    assert abs(np.median(pull)) < 0.5
    assert np.mean(np.abs(pull) < 1) > 0.68


@pytest.mark.parametrize("name", NAMES)
def test_the_other_spectrograph_is_as_good_against_the_truth(fields, name):
    results, truth = fields
    errors = {k: np.std(_median_and_error(results[k], name)[0] - getattr(truth, name)) for k in ("muse", "other")}
    assert errors["other"] < 1.3 * errors["muse"] + 0.01


def test_an_unknown_line_spread_function_is_told(fields):
    results, _ = fields
    assert "line-spread function of the cube unknown" in results["unknown"].settings["notes"]
    assert "line-spread function" not in results["other"].settings["notes"]


def test_spaxels_are_oblong_on_the_sky(fields):
    results, _ = fields
    cd = np.abs(results["other"].wcs.pixel_scale_matrix) * 3600
    np.testing.assert_allclose([cd[0, 0], cd[1, 1]], [1.0, 1.6], rtol=1e-6)
