"""The network fitted to galaxies from elsewhere, and the simulator's own parts."""

import json

import numpy as np
import pytest
from synthetic_toys import toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.simulator import independent_simulator
from napari_sfh.training.studies import retraining_bound

SMALL = retraining_bound.RetrainingBoundSettings(n=192, n_test=96, epochs=6)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_toy_bundle(tmp_path_factory.mktemp("ceiling") / "toy.safetensors"))


def test_fitting_helps_and_leaves_the_bundle_alone(bundle):
    before = {k: v.clone() for k, v in bundle.model.state_dict().items()}
    lines = []
    report = retraining_bound.measure_retraining_bound(bundle, {"toy": toy_templates()}, SMALL, lines.append)
    assert len(lines) == SMALL.epochs
    assert report["n"] == 192
    for name in MEAN_NAMES:
        assert report["shipped"][name]["n"] == report["fitted"][name]["n"] == 96
    assert sum(report["fitted"][k]["std"] for k in MEAN_NAMES) < sum(report["shipped"][k]["std"] for k in MEAN_NAMES)
    assert all((v == bundle.model.state_dict()[k]).all() for k, v in before.items())
    json.dumps(report)


def test_noise_is_new_and_as_large_as_asked():
    galaxies = independent_simulator.simulate_independent_galaxies(toy_templates(), 40, np.random.default_rng(1))
    first, again = (galaxies.observe(30.0, np.random.default_rng(k)) for k in (1, 2))
    pull = (first.flux - again.flux) / np.hypot(first.error, again.error)
    # Smooth calibration errors of 1 per cent lie on top of the noise.
    assert 0.97 < np.median(np.abs(pull)) * 1.4826 < 1.25


def test_networks_that_predict_mass_are_refused(bundle, monkeypatch):
    monkeypatch.setattr(type(bundle.model.network), "predicts_mass", True)
    with pytest.raises(SfhInputError, match="predicts mass fractions"):
        retraining_bound.measure_retraining_bound(bundle, {"toy": toy_templates()}, SMALL, print)
