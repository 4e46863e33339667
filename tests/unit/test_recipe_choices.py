"""The recipe's variants: each is a valid recipe that trains, and the study keeps what it has."""

import numpy as np
import pytest
import torch
from synthetic_toys import toy_source
from toy_universe import make_toy_data

from napari_sfh.errors import SfhInputError
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.layers import ConvUnit, UnitStyle
from napari_sfh.model.networks import HistoryOutput, build_network
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_WIDTH_YR
from napari_sfh.training.fitting.losses import PAPER_LOSSES, paper_loss
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.papers import physics_choices, recipe_choices, small_trainings, study_files

SMALL = {"channels": [4, 8, 8], "heads": 2, "latent": 10, "decoder": 24}


@pytest.mark.parametrize("choice", recipe_choices.list_recipe_choices(), ids=lambda c: c.name)
def test_every_choice_changes_one_thing(choice):
    base = load_recipe("galceran2026")
    made = choice.apply(base)
    differ = [k for k in ("loss", "architecture", "network", "fit") if getattr(made, k) != getattr(base, k)]
    assert len(differ) + (choice.merged_bins > 1) == (0 if choice.name == recipe_choices.FIDUCIAL else 1)


@pytest.mark.parametrize(
    "style", [{"norm": "batch"}, {"norm": "none"}, {"dropout": 0.2}, {"activation_first": True}, {"attention": False}]
)
def test_every_style_learns_and_does_not_depend_on_the_batch(style):
    features = encode_observation(make_toy_data(8, seed=2)[0])
    net = build_network("galceran2026", SMALL | style, 1761, 5)
    net(features)[0].fraction.square().sum().backward()
    assert all(p.grad is not None for k, p in net.spectral.named_parameters() if "bias" not in k)
    net.eval()
    with torch.no_grad():
        together = net(features)[0].fraction
        alone = net(encode_observation(make_toy_data(8, seed=2)[0].select(slice(0, 1))))[0].fraction
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-4)


def test_activation_first_changes_the_order():
    x = torch.randn(20, 2, 64, generator=torch.Generator().manual_seed(1))
    unit = ConvUnit(2, 3, 5, 2, UnitStyle(activation_first=True)).eval()
    torch.testing.assert_close(unit(x), unit.pool(unit.norm(unit.act(unit.conv(x)))))


def test_unknown_norm_and_dropout_are_refused():
    for bad in ({"norm": "layer"}, {"dropout": 1.0}):
        with pytest.raises(SfhInputError, match="network"):
            build_network("galceran2026", bad, 1761, 5)


@pytest.mark.parametrize("name", PAPER_LOSSES)
def test_paper_losses_are_zero_at_the_truth_and_rise(name):
    mass = torch.full((3, 16), 1 / 16)
    mh = torch.full((3, 16), -0.3)
    at, off = (paper_loss(HistoryOutput(mass + d, mh + d, None), mass, mh, name) for d in (0.0, 0.02))
    assert float(at) == pytest.approx(0.0, abs=1e-6)
    assert float(off) > 0


def test_merged_bins_keep_mass_and_means():
    source = toy_source()
    settings = small_trainings.SmallTrainingSettings(n=40)
    spectra, basis = small_trainings.draw_training_spectra(source, settings)
    merged, coarse = small_trainings.merge_age_bins(spectra, basis, 4)
    np.testing.assert_allclose(merged.labels.mass_frac.sum(1), 1.0, rtol=1e-5)
    assert merged.labels.mh.shape == (40, 4)
    np.testing.assert_allclose((merged.labels.mass_frac * merged.labels.mh).sum(1), spectra.labels.mh_mw, atol=2e-3)
    # Light of 1 Msun formed at a constant rate in four bins together.
    width = AGE_WIDTH_YR[:4]
    np.testing.assert_allclose(coarse.light_v[0], width @ basis.light_v[:4] / width.sum(), rtol=1e-5)
    assert merged.targets.n_age == 4
    with pytest.raises(ValueError, match="divide"):
        small_trainings.merge_age_bins(spectra, basis, len(AGE_EDGES_GYR) - 2)


def test_a_study_goes_on_where_it_stopped(tmp_path):
    path, facts = tmp_path / "rows.json", {"n": 3}
    kept = study_files.StudyRows(path, facts)
    assert kept.rows == {}
    kept.add("a", {"std": 1})
    kept.add("b", {"std": 2})
    assert study_files.StudyRows(path, facts).rows == {"a": {"std": 1}, "b": {"std": 2}}
    with pytest.raises(SfhInputError, match="other settings"):
        study_files.StudyRows(path, {"n": 4})
    path.write_text("[]")
    with pytest.raises(SfhInputError, match="not a file"):
        study_files.StudyRows(path, facts)
    with pytest.raises(SfhInputError, match="unknown"):
        study_files.select_named(recipe_choices.list_recipe_choices(), ["loss L1"])
    chosen = study_files.select_named(recipe_choices.list_recipe_choices(), ["loss"])
    assert [c.name for c in chosen] == ["loss MSE", "loss SMAPE"]


def test_young_stars_are_scaled_and_old_ones_not():
    templates = toy_source().models[0].templates
    scaled = physics_choices.scale_young_stars(templates, 0.5)
    young = templates.sub_edges_gyr[1:] <= 0.0631
    np.testing.assert_allclose(scaled.light_v[:, young], 0.5 * templates.light_v[:, young], rtol=1e-6)
    np.testing.assert_array_equal(scaled.spectrum[:, ~young], templates.spectrum[:, ~young])


def test_gas_choice_changes_the_gas_alone():
    config = toy_source().config
    made = physics_choices.GAS_CHOICES[0].apply(config)
    assert made.nebular.escape.high == 1.0
    assert made.nebular.lg_u == config.nebular.lg_u
    assert made.dust == config.dust
