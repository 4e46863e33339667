"""The networks of the papers go the whole way on toy templates: recipe, training, bundle, prediction."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates
from toy_universe import make_toy_data

from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.training.fitting import training_run
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.libraries import templates


def test_the_two_recipes_differ_in_architecture_alone():
    first, second = load_recipe("four_branch"), load_recipe("galceran2026")
    assert (first.architecture, second.architecture) == ("four_branch", "galceran2026")
    for key in ("prior", "n", "loss", "network", "fit", "augment", "posterior"):
        assert getattr(first, key) == getattr(second, key)


@pytest.mark.parametrize("name", ["four_branch", "galceran2026"])
def test_training_gives_a_bundle(name, tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    recipe = load_recipe(name)
    fit = replace(recipe.fit, epochs=1, batch=32)
    recipe = replace(recipe, n=60, fit=fit, posterior=load_recipe("tiny").posterior)
    path = training_run.train_bundle(recipe, training_run.TrainingOptions(tmp_path / "run", device="cpu", quiet=True))
    bundle = load_bundle(path)
    assert bundle.model.config.architecture == name
    assert bundle.model.network.predicts_mass
    prediction = predict_histories(make_toy_data(3)[0], bundle, device="cpu", draws=60)
    np.testing.assert_allclose(prediction.mass_frac.sum(1), 1, atol=1e-5)
    assert np.isfinite(prediction.quantiles["lg_age_lw"]).all()
