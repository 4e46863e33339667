"""Training that goes on from finished weights, and epochs chosen by galaxies of the independent simulator."""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic_toys import prepare_toy_templates, toy_templates
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band
from napari_sfh.model.bundle import load_bundle, save_bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.inference import predict_point_values
from napari_sfh.model.posterior import make_base_points
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.training import cli
from napari_sfh.training.fitting import training_run
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.fitting.selection.independent_check import make_independent_check
from napari_sfh.training.fitting.transfer import two_simulators
from napari_sfh.training.fitting.transfer.added_bands import extend_network, has_added_bands
from napari_sfh.training.fitting.transfer.two_simulators import RecalibrationSettings, recalibrate_bundle
from napari_sfh.training.libraries import templates
from napari_sfh.training.libraries.basis import make_template_basis


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)


def recipe(**fit):
    made = load_recipe("tiny")
    return dataclasses.replace(made, n=150, fit=dataclasses.replace(made.fit, batch=32, **fit))


def train(folder, made, **changes):
    return training_run.train_bundle(made, training_run.TrainingOptions(folder, device="cpu", quiet=True, **changes))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        return train(tmp_path_factory.mktemp("first") / "run", recipe(epochs=3))


def test_training_goes_on_from_weights(first, tmp_path):
    again = load_bundle(train(tmp_path / "again", recipe(epochs=1, learning_rate=1e-9), start=first))
    begun = load_bundle(first)
    data, _ = make_toy_data(5)
    old, new = (predict_point_values(data, b, device="cpu")["lg_age_lw"] for b in (begun, again))
    np.testing.assert_allclose(new, old, atol=1e-3)
    torch.testing.assert_close(again.model.posterior.whiten, begun.model.posterior.whiten)
    start = again.meta["training"]["start"]
    assert (start["name"], start["sha256"]) == (begun.name, begun.sha256)
    before, after = start["independent_error"]
    assert after == pytest.approx(before, rel=0.01)
    assert f"went on from `{begun.name}`" in again.card
    assert "start" not in begun.meta["training"]


def test_weights_that_became_worse_elsewhere_are_refused_unless_asked_for(first, tmp_path, monkeypatch):
    errors = iter([0.10, 0.20, 0.10, 0.20])
    monkeypatch.setattr(training_run.IndependentCheck, "measure_error", lambda self, model: next(errors))
    with pytest.raises(SfhInputError, match="made it worse"):
        train(tmp_path / "worse", recipe(epochs=1), start=first)
    assert not (tmp_path / "worse" / training_run.BUNDLE).exists()
    kept = load_bundle(train(tmp_path / "worse", recipe(epochs=1), start=first, keep_worse=True, resume=True))
    assert kept.meta["training"]["start"]["independent_error"] == [0.10, 0.20]


def test_weights_of_another_shape_are_no_start(first, tmp_path):
    other = dataclasses.replace(recipe(epochs=1), network={"latent": 7})
    with pytest.raises(SfhInputError, match="network of these weights"):
        train(tmp_path / "other", other, start=first)


def test_the_epoch_is_chosen_by_independent_galaxies(tmp_path, monkeypatch):
    errors = iter([0.3, 0.1, 0.2])
    seen = []

    def measure(self, model):
        seen.append({k: v.clone() for k, v in model.network.state_dict().items()})
        return next(errors)

    monkeypatch.setattr(training_run, "make_independent_check", lambda t: make_independent_check(t, 40))
    monkeypatch.setattr(training_run.IndependentCheck, "measure_error", measure)
    made = load_bundle(train(tmp_path / "run", recipe(epochs=3, choose_by="independent", average_decay=0.5)))
    assert len(seen) == 3
    for key, value in made.model.network.state_dict().items():
        torch.testing.assert_close(value, seen[1][key], rtol=1e-3, atol=1e-3, msg=key)
        assert value.dim() < 2 or not torch.equal(value, seen[2][key].half().float()), key


def test_the_error_on_independent_galaxies_counts_classes_alike(first):
    model = load_bundle(first).model
    check = make_independent_check([toy_templates()], 60)
    error = check.measure_error(model)
    shifted = dataclasses.replace(check, truth={k: v + 5.0 * (k == "mh_mw") for k, v in check.truth.items()})
    assert 0 < error < shifted.measure_error(model)
    assert check.hidden.spectrum[:, 1].mean() < check.seen.spectrum[:, 1].mean()


def test_recalibrated_intervals_are_a_compromise_of_two_simulators(first, tmp_path):
    bundle = load_bundle(first)
    before = {k: v.clone() for k, v in bundle.model.state_dict().items()}
    said = []
    recalibrate_bundle(bundle, [toy_templates()], RecalibrationSettings(n=600, draws=100), said.append)
    after = bundle.model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"calibration.scalar", "calibration.vector"}
    assert len(said) == 2
    shift = after["calibration.age_shift"]
    assert shift.shape == (3, len(bundle.targets.scalars), 5)
    moved = {k for k, x in zip(bundle.targets.scalars, shift.abs().amax((0, 2)), strict=True) if x > 0}
    assert moved == {"lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "ebv"}
    path = save_bundle(
        tmp_path / "w.safetensors", bundle.model, bundle.instrument, bundle.filters, bundle.basis, bundle.meta
    )
    assert torch.equal(load_bundle(path).model.calibration.age_shift, shift)
    levels = bundle.model.calibration.scalar
    assert (levels.diff(dim=-1) >= 0).all()
    # Held against both simulators together, the levels hold what they promise.
    settings = RecalibrationSettings(n=600, draws=100)
    pieces = [
        *two_simulators.observe_prior_objects(bundle, settings),
        *two_simulators.observe_independent_objects([toy_templates()], settings),
    ]
    inside = []
    with torch.inference_mode():
        for features, truth in pieces:
            mu, context, _ = bundle.model.predict_centre(features)
            made = bundle.model.draw(mu, context, make_base_points(100, bundle.targets.size))
            q = bundle.model.calibration.quantiles(made, features.lg_snr[:, 0])["lg_age_mw"]
            inside.append((truth["lg_age_mw"] >= q[:, 1]) & (truth["lg_age_mw"] <= q[:, 3]))
    assert float(torch.cat(inside).float().mean()) == pytest.approx(0.68, abs=0.05)


def test_weights_without_histories_are_not_recalibrated(tmp_path, capsys):
    path = str(write_toy_bundle(tmp_path / "toy.safetensors"))
    out = ["--output", str(tmp_path / "out.safetensors")]
    assert cli.main(["recalibrate", path, "--independent", *out]) == 2
    assert "trained on a prior" in capsys.readouterr().err


def test_added_bands_change_nothing_before_they_are_learned(first, tmp_path):
    """The same objects through both networks, whatever the new band holds."""
    known = load_bundle(first)
    more = dataclasses.replace(
        known.instrument, name="more", bands=(Band("N1", centre_aa=9000.0, fwhm_aa=300.0), *known.instrument.bands)
    )
    assert has_added_bands(known.instrument, more)
    assert not has_added_bands(more, known.instrument)
    assert not has_added_bands(known.instrument, dataclasses.replace(more, bands=more.bands[:4]))
    data, _ = make_toy_data(6)
    basis = make_template_basis(toy_templates(more))
    model = SfhModel(known.model.config, more, known.targets, basis)
    extend_network(known.model, known.instrument, model, more)

    def answer(model, observation):
        with torch.inference_mode():
            return model.eval().network(encode_observation(observation))[0].mh

    expected = answer(known.model, data)
    for value in (0.3, 3.0):
        column = np.full((6, 1), value, np.float32)
        wider = dataclasses.replace(
            data,
            instrument=more,
            phot=np.hstack([column, data.phot]),
            phot_error=np.hstack([0.1 * column, data.phot_error]),
            phot_mask=np.hstack([np.ones((6, 1), bool), data.phot_mask]),
        )
        torch.testing.assert_close(answer(model, wider), expected, rtol=1e-4, atol=1e-4)
