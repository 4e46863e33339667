"""The search of a recipe: what is tried, what is chosen, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.training.fitting import training_run
from napari_sfh.training.fitting.recipe import SearchSettings, load_recipe, parse_recipe
from napari_sfh.training.fitting.selection import recipe_search
from napari_sfh.training.libraries import templates

CHOICES = {"fit.learning_rate": [1e-6, 3e-3], "network.width": [16, 32]}


def test_every_combination_is_tried_where_the_trials_suffice():
    trials = recipe_search.list_search_trials(SearchSettings(5, choices=CHOICES), seed=1)
    assert trials[0] == {}
    assert {tuple(t.values()) for t in trials[1:]} == {(1e-6, 16), (1e-6, 32), (3e-3, 16), (3e-3, 32)}


def test_fewer_trials_are_different_ones_and_the_same_with_one_seed():
    search = SearchSettings(3, choices=CHOICES)
    trials = recipe_search.list_search_trials(search, seed=1)
    assert len(trials) == 3
    assert trials[1] != trials[2]
    assert trials == recipe_search.list_search_trials(search, seed=1)


@pytest.fixture
def tiny(monkeypatch):
    """The recipe ``tiny`` with a search, on toy templates."""
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    made = load_recipe("tiny")
    search = SearchSettings(3, n=60, epochs=2, choices={"fit.learning_rate": [1e-6, 1e-2]})
    fit = dataclasses.replace(made.fit, epochs=1, batch=32)
    return dataclasses.replace(made, n=150, fit=fit, search=search)


def test_the_best_of_the_trials_is_trained_in_full_and_a_resumed_run_repeats_none(tiny, tmp_path, monkeypatch):
    options = training_run.TrainingOptions(tmp_path / "run", device="cpu", quiet=True)
    record = load_bundle(training_run.train_bundle(tiny, options)).meta["training"]
    losses = {row["changes"].get("fit.learning_rate"): row["validation"] for row in record["search"]}
    assert set(losses) == {None, 1e-6, 1e-2}
    assert np.isfinite(list(losses.values())).all()
    best = min(losses, key=losses.get)
    assert best != 1e-6  # it does not learn
    assert record["recipe"]["fit"]["learning_rate"] == (tiny.fit.learning_rate if best is None else best)
    assert record["recipe"]["fit"]["epochs"] == 1
    assert json.loads((options.output / recipe_search.SEARCH).read_text()) == record["search"]

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(recipe_search, "fit_point_network", refuse)
    again = training_run.train_bundle(tiny, dataclasses.replace(options, resume=True))
    assert load_bundle(again).meta["training"]["recipe"] == record["recipe"]


def test_a_search_beside_given_weights_is_refused(tiny, tmp_path):
    options = training_run.TrainingOptions(tmp_path / "run", device="cpu", quiet=True, start="phangs")
    with pytest.raises(SfhInputError, match=r"leave out \[search\]"):
        training_run.train_bundle(tiny, options)


GOOD = 'name = "m"\nsummary = "t"\nprior = "tiny"\nn = 100\narchitecture = "stem"\nloss = "light"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trials = 2", "both"),
        ('trials = 2\n[search.choices]\n"fit.seed" = [1, 2]', "fit.seed"),
        ('trials = 2\n[search.choices]\n"loss" = ["light"]', "network"),
        ('trials = 2\n[search.choices]\n"fit.batch" = [0]', "fit.batch = 0"),
        ('trials = 2\n[search.choices]\n"network.nothing" = [3]', "nothing"),
        ('trials = 2\n[search.choices]\n"network.width" = 3', "list"),
    ],
)
def test_a_search_that_cannot_be_is_refused(text, words):
    with pytest.raises(SfhInputError, match=words):
        parse_recipe(f"{GOOD}[search]\n{text}\n", "mine.toml")


def test_a_search_is_read_from_a_file():
    text = 'trials = 4\nepochs = 2\n[search.choices]\n"network.width" = [64, 128]\n"fit.schedule" = ["linear"]'
    recipe = parse_recipe(f"{GOOD}[search]\n{text}\n", "mine.toml")
    assert (recipe.search.trials, recipe.search.epochs) == (4, 2)
    assert recipe.search.choices["network.width"] == [64, 128]
