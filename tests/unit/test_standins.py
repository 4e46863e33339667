"""The cost of another camera's bands: pairs of the same objects, nothing but the filters differs."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import BANDS, MUSE_HST
from synthetic_toys import toy_source

from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.studies import camera_substitution

CASES = camera_substitution.list_substitutions(MUSE_HST)


@pytest.fixture(scope="module")
def costs():
    return camera_substitution.measure_substitution_costs(toy_source(), load_bundle(), n=12)


def test_only_the_bands_of_a_case_change():
    """An ACS whose V is a tenth brighter: V alone changes, by that tenth."""
    source = toy_source()
    model = source.models[0]
    weights, response = model.substitute_weights.copy(), model.substitute_response.copy()
    for array in (weights, response):
        array[..., BANDS.index("F555W")] *= 1.1
    brighter = replace(source, models=(replace(model, substitute_weights=weights, substitute_response=response),))
    uvis, acs = camera_substitution.simulate_both_cameras(brighter, 12, 1)
    np.testing.assert_array_equal(uvis.flux, acs.flux)
    np.testing.assert_allclose(
        acs.phot / uvis.phot, np.where(np.array(BANDS) == "F555W", 1.1, 1.0) * np.ones((12, 1)), rtol=1e-5
    )


def test_every_case_is_measured(costs):
    assert list(costs) == list(CASES) == ["F438W", "F555W", "F814W", "F438W, F555W, F814W"]
    for name, cost in costs.items():
        assert tuple(cost.magnitudes) == CASES[name]
        for key in MEAN_NAMES:
            assert cost.shift[key].n == 12
            assert abs(cost.shift[key].bias) < cost.error[key]


def test_no_difference_costs_nothing(costs):
    """The pair shares its noise: the same bands give the same answer to the last digit."""
    uvis, _ = camera_substitution.simulate_both_cameras(toy_source(), 12, 1)
    one, other = (camera_substitution.add_camera_noise(toy_source(), uvis, uvis.phot.copy(), 1) for _ in range(2))
    np.testing.assert_array_equal(one.flux, other.flux)
    np.testing.assert_array_equal(one.phot, other.phot)


def test_table_is_markdown(costs):
    text = camera_substitution.format_substitution_table(costs, "Weights")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(CASES) + 1
    assert {row.count("|") for row in rows} == {8}
    assert "F438W" in text
