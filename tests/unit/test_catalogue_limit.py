"""The least scatter that bands allow: against posteriors that are known in closed form, and on a toy prior."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.targets import make_targets
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.training.studies import system_pages
from napari_sfh.training.studies.narrow_bands import catalogue_limit

ROW = {"bias": 0.01, "std": 0.1, "nmad": 0.09, "spread": 1.0, "p68": 0.7}


def test_posterior_over_models_is_that_of_the_formula():
    # One band of flux 1 fixes the brightness, the other tells a quantity with a Gaussian prior and Gaussian errors.
    rng = np.random.default_rng(3)
    values, sigma = rng.standard_normal(200_000), 0.7
    models = np.stack([np.ones(values.size), values], axis=1)
    flux = np.array([[1.0, 0.8], [1.0, -0.5], [2.0, 1.6]])
    error = np.array([[1e-4, sigma], [1e-4, sigma], [1e-4, 2 * sigma]])
    found = catalogue_limit.compute_posterior_means(flux, error, np.ones_like(flux, bool), models, values)
    expected = np.array([0.8, -0.5, 0.8]) / (1 + sigma**2)
    np.testing.assert_allclose(found.mean, expected, atol=0.01)
    np.testing.assert_allclose(found.median, expected, atol=0.015)
    assert np.all((found.effective > 1e3) & (found.effective < values.size))


def test_bands_that_are_missing_tell_nothing():
    rng = np.random.default_rng(4)
    values = rng.standard_normal(5_000)
    models = np.stack([np.ones(values.size), values], axis=1)
    mask = np.array([[True, False]])
    found = catalogue_limit.compute_posterior_means(np.array([[1.0, 9.0]]), np.full((1, 2), 0.1), mask, models, values)
    assert found.mean[0] == pytest.approx(values.mean(), abs=1e-6)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    def prepare(name, instrument=None, cache=None, folder=None):
        made = prepare_toy_templates(name, instrument)
        return replace(made, provenance={**made.provenance, "name": name})

    monkeypatch.setattr(templates, "prepare_templates", prepare)
    ages = {name: np.geomspace(1e-4, 20.0, 30) for name in catalogue_limit.list_libraries()}
    made = {
        k: type("Stock", (), {"load": staticmethod(lambda a=a: type("Lib", (), {"age_gyr": a}))})
        for k, a in ages.items()
    }
    monkeypatch.setattr(catalogue_limit, "list_libraries", lambda: made)
    instrument, targets = load_instrument("jpas"), make_targets("scalars", ("lg_age", "mh_mw", "ebv"))
    bundle = load_bundle(write_toy_bundle(tmp_path / "a.safetensors", 0, instrument, targets, name="a"))
    return bundle, prepare_prior(load_prior("jpas"), instrument)


def test_faint_end_has_every_row_and_the_mean_errs_least(toy):
    bundle, source = toy
    measured = catalogue_limit.measure_faint_end(bundle, source, 300, 1500)
    names = [str(m.templates.provenance["name"]) for m in source.models]
    rows = measured["rows"]
    assert {"all", *names, "all, common ages", *(f"{k}, common ages" for k in names)} <= set(rows)
    assert measured["youngest_common_gyr"] == pytest.approx(0.063)
    # The toy's bands tell little: its optimum is hardly better than a constant.
    assert rows["all"]["optimum"] <= 1.01 * min(rows["all"]["median"], rows["all"]["network"], rows["all"]["spread"])
    assert rows["all"]["n"] == sum(rows[k]["n"] for k in names)
    assert rows["all"]["optimum"] == rows["all"]["told"]
    page = system_pages.format_catalogue_page(
        {"model": "a", "by_magnitude": {"22": {"lg_age": ROW}}, "faint_end": measured}
    )
    assert f"| all | {rows['all']['n']} | {rows['all']['spread']:.3f} |" in page


def test_ages_of_a_grid_are_asked_for_as_they_are(toy):
    _, source = toy
    ages = (6.5, 8.0, 9.9)
    asked = catalogue_limit.restrict_to_ages(source, ages)
    found = catalogue_limit.draw_catalogue_objects(asked, 300, 100.0, 1)
    assert np.unique(np.round(found.lg_age, 6)).size == len(ages)
    assert replace(asked.config, families=()) == replace(source.config, families=(), youngest_gyr={})
