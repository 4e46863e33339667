"""Families held out: what each leaves, and the whole comparison on toy templates."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_toys import toy_source, toy_templates

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training import cli
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.prior.sampling import draw_parameters
from napari_sfh.training.simulator import simulation
from napari_sfh.training.studies import leave_one_out, leave_one_out_page
from napari_sfh.training.studies.held_out_families import choose_held_out_families, list_held_out_families


@pytest.fixture(scope="module")
def wide():
    return {h.label: h for h in list_held_out_families(load_prior("wide"))}


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """No library is fetched."""
    monkeypatch.setattr(leave_one_out, "prepare_prior", _toy_source)


def _toy_source(config, instrument):
    return simulation.prepare_prior_from_templates(config, [toy_templates()] * len(config.libraries))


def drawn(config, n=400):
    t = toy_templates()
    return draw_parameters(config, np.random.default_rng(1), n, t.sub_edges_gyr, (-1.0, 0.3), 150.0)


def test_every_kind_is_there(wide):
    kinds = {h.kind for h in wide.values()}
    assert kinds == {"history", "enrichment", "dust", "library", "noise"}
    assert len({h.without.sha256 for h in wide.values()}) == len(wide)


def test_history_is_gone_and_is_alone(wide):
    held = wide["history: gp"]
    names = np.array(held.without.family_names)
    assert not any(name.startswith("gp") for name in names[drawn(held.without).family])
    assert all(name.startswith("gp") for name in names[drawn(held.only).family])


def test_enrichment_law_is_gone_and_is_alone(wide):
    held = wide["enrichment: constant"]
    spread = np.ptp(drawn(replace(held.only, laws=_smooth(held.only))).mh, axis=1)
    np.testing.assert_allclose(spread, 0, atol=1e-12)
    assert np.median(np.ptp(drawn(replace(held.without, laws=_smooth(held.without))).mh, axis=1)) > 0.1


def _smooth(config):
    from napari_sfh.training.prior.distributions import constant_distribution

    return tuple(replace(law, scatter_dex=constant_distribution(0.0)) for law in config.laws)


def test_slopes_do_not_overlap_and_fill_the_range(wide):
    whole = load_prior("wide").dust.slope
    ends = [h for h in wide.values() if h.kind == "dust"]
    assert len(ends) == 2
    for held in ends:
        only, rest = held.only.dust.slope, held.without.dust.slope
        assert only.high == pytest.approx(rest.low) or only.low == pytest.approx(rest.high)
        assert min(only.low, rest.low) == whole.low
        assert max(only.high, rest.high) == whole.high


def test_libraries_and_noise(wide):
    held = wide["library: e-miles"]
    assert set(held.without.libraries) == {"bc03-miles"}
    assert set(held.only.libraries) == {"e-miles"}
    sky = wide["noise: sky residuals"]
    assert sky.without.noise.sky.high == 0
    assert sky.only.noise.sky.low == load_prior("wide").noise.sky.high > 0
    assert sky.without.noise.wiggle == load_prior("wide").noise.wiggle


def test_a_prior_with_nothing_to_hold_out_gives_nothing():
    config = load_prior("galceran2026")
    assert {h.kind for h in list_held_out_families(config)} == {"history"}
    assert list_held_out_families(config.restrict_families(["skewnormal"])) == []


def test_choice_by_kind_name_and_label():
    config = load_prior("wide")
    assert {h.kind for h in choose_held_out_families(config, ["dust"])} == {"dust"}
    assert [h.label for h in choose_held_out_families(config, ["leaky"])] == ["enrichment: leaky"]
    assert len(choose_held_out_families(config, None)) == len(list_held_out_families(config))
    with pytest.raises(SfhInputError, match="'sunny' is no family of"):
        choose_held_out_families(config, ["sunny"])


def test_narrowed_source_keeps_its_models():
    source = toy_source("wide")
    part = leave_one_out.restrict_source(source, replace(source.config, libraries={"e-miles": 0.4}))
    assert part.models == (source.models[1],)
    assert part.shares == (1.0,)
    with pytest.raises(SfhInputError, match="not among those of the whole prior"):
        leave_one_out.restrict_source(source, replace(source.config, libraries={"other": 1.0}))


@pytest.fixture
def recipe():
    made = load_recipe("tiny")
    fit = replace(made.fit, epochs=1, batch=32)
    return replace(made, n=120, fit=fit, posterior=replace(made.posterior, epochs=1))


def test_run_compares_and_goes_on(tmp_path, recipe, monkeypatch):
    config = load_prior("tiny")
    families = choose_held_out_families(config, ["delayed"])
    options = leave_one_out.LeaveOneOutOptions(tmp_path / "out", n_test=60, draws=50)
    result = leave_one_out.measure_leave_one_out(recipe, config, families, options)
    (row,) = result["families"]
    assert (row["kind"], row["name"]) == ("history", "delayed")
    for which in ("with", "without"):
        assert row[which]["n"] == 60
        assert row[which]["accuracy"]["lg_age_lw"]["std"] > 0
        assert 0 <= row[which]["coverage"]["mh_mw"]["p68"] <= 1
    assert row["with"]["accuracy"] != row["without"]["accuracy"]
    monkeypatch.setattr(leave_one_out, "train_small_bundle", _never)
    again = leave_one_out.measure_leave_one_out(recipe, config, families, options)
    assert again["families"] == result["families"]
    page = leave_one_out_page.format_leave_one_out_page(result, "napari-sfh-train heldout")
    assert "| history: delayed |" in page
    json.dumps(result, allow_nan=False)
    with pytest.raises(SfhInputError, match="holds results of another n_test"):
        leave_one_out.measure_leave_one_out(recipe, config, families, replace(options, n_test=61))


def _never(*args):
    raise AssertionError("trained again")


def test_sizes_take_the_same_number_of_steps(tmp_path, recipe, monkeypatch):
    seen = []

    def trained(longer, spectra, parts, source, device):
        seen.append((len(parts[0]), longer.fit.epochs))
        return "bundle"

    def judged(bundle, tests, options, stage, progress=None):
        summary = {"accuracy": {key: {"std": 1.0, "nmad": 1.0} for key in MEAN_NAMES}}
        return summary | {"coverage": {key: {"p68": 0.5, "p95": 0.9} for key in MEAN_NAMES}}

    monkeypatch.setattr(leave_one_out, "train_small_bundle", trained)
    monkeypatch.setattr(leave_one_out, "evaluate_small_bundle", judged)
    recipe = replace(recipe, fit=replace(recipe.fit, epochs=3, batch=8))
    result = leave_one_out.measure_training_sizes(
        recipe, load_prior("tiny"), [320, 80], leave_one_out.LeaveOneOutOptions(tmp_path, n_test=50, draws=50)
    )
    assert [n for n, _ in seen] == [56, 224]
    steps = [(n // 8) * epochs for n, epochs in seen]
    assert steps[0] == pytest.approx(steps[1], rel=0.1)
    assert result["steps"] == steps[1]
    assert "| 80 (56) | 12 |" in leave_one_out_page.format_training_sizes_page(result, "command")


def test_loss_of_accuracy_is_the_ratio_of_scatters():
    row = {"with": {"accuracy": {"mh_mw": {"std": 0.1}}}, "without": {"accuracy": {"mh_mw": {"std": 0.15}}}}
    assert leave_one_out_page.scatter_ratio(row, "mh_mw") == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--only", "sunny"], "'sunny' is no family"),
        (["--only", "leaky"], "--output: give a folder"),
        (["--sizes", "many", "--output", "x"], "--sizes 'many'"),
        (["--n", "3", "--output", "x"], "--n 3: must be at least 20"),
        (["--prior", "nowhere"], "nowhere"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, capsys, extra, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["leave-one-out", *extra]) == 2
    assert message in capsys.readouterr().err


def test_list_of_families(capsys):
    assert cli.main(["leave-one-out", "--prior", "galceran2026", "--list"]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == ["history: gp", "history: skewnormal"]
