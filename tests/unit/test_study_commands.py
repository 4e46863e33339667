"""The commands of the papers' studies: which study they begin, on what, and what they print; nothing is trained."""

import json

import pytest
from synthetic_toys import prepare_toy_templates, toy_templates

from napari_sfh.training import cli
from napari_sfh.training.libraries import templates
from napari_sfh.training.papers import band_worth, physics_choices, recipe_choices, size_curve
from napari_sfh.training.simulator import simulation

STUDIES = {
    "sizes": (size_curve, "measure_size_curve"),
    "bands": (band_worth, "measure_band_worth"),
    "choices": (recipe_choices, "measure_recipe_choices"),
    "physics": (physics_choices, "measure_physics_choices"),
}
ACCURACY = {"accuracy": {"lg_age_lw": {"std": 0.1234}, "mh_lw": {"std": 0.0567}}}
SHIFTS = {"tests": {"e-miles, other gas": {"shift": {"lg_age_lw": 0.0421, "mh_lw": -0.1}}}}


@pytest.fixture
def begun(monkeypatch):
    """Study and arguments of what was begun; a study puts its rows into its file."""
    seen = []

    def stand_in(name):
        def measure(*args):
            kept = next(a for a in args if hasattr(a, "rows"))
            kept.add("first", SHIFTS if name == "physics" else ACCURACY)
            seen.append((name, args))
            return kept.rows

        return measure

    for name, (module, function) in STUDIES.items():
        monkeypatch.setattr(module, function, stand_in(name))
    monkeypatch.setattr(simulation, "prepare_prior", lambda prior: f"source of {prior.name}")
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    return seen


@pytest.mark.parametrize(
    ("words", "name", "recipe"),
    [
        (["--sizes", "4000", "1000", "--recipe", "tiny"], "sizes", "tiny"),
        (["--bands"], "bands", "small"),
        (["--only", "loss MSE", "fiducial"], "choices", "galceran2026"),
    ],
)
def test_a_study_of_the_recipe_begins_and_prints_its_rows(begun, tmp_path, capsys, words, name, recipe):
    output = tmp_path / "out.json"
    few = ["--prior", "tiny", "--n", "64", "--epochs", "2", "--n-test", "32", "--quiet", "--output", str(output)]
    assert cli.main(["ablate-recipe", *words, *few]) == 0
    ((found, args),) = begun
    assert (found, args[0]) == (name, "source of tiny")
    settings = next(a for a in args if hasattr(a, "n_test"))
    assert (settings.n, settings.epochs, settings.n_test) == (64, 2, 32)
    stored = json.loads(output.read_text())
    assert (stored["recipe"], stored["prior"], stored["rows"]) == (recipe, "tiny", {"first": ACCURACY})
    assert stored.get("sizes") == ([1000, 4000] if name == "sizes" else None)
    assert capsys.readouterr().out.split() == ["first", "lg_age_lw", "0.123", "mh_lw", "0.057"]
    if name == "sizes":
        assert args[1] == [1000, 4000]
        assert args[-1] == "tiny"
    if name == "choices":
        chosen = next(a for a in args if isinstance(a, tuple))
        assert {c.name for c in chosen} == {
            c.name for c in recipe_choices.list_recipe_choices() if c.group == "fiducial" or c.name == "loss MSE"
        }


def test_a_study_of_the_physics_prepares_each_library_once(begun, tmp_path, capsys):
    output = tmp_path / "out.json"
    words = ["--train", "a", "b", "--test", "b", "c", "--prior", "tiny", "--quiet", "--output", str(output)]
    assert cli.main(["physics-choices", *words]) == 0
    ((name, (prior, libraries, train, *_)),) = begun
    assert (name, prior.name, list(libraries), train) == ("physics", "tiny", ["a", "b", "c"], ("a", "b"))
    made_of = {part: str(toy_templates().provenance[part]) for part in ("isochrones", "imf")}
    assert json.loads(output.read_text())["libraries"] == dict.fromkeys("abc", made_of)
    assert "e-miles, other gas       lg_age_lw +0.042  mh_lw -0.100" in capsys.readouterr().out


def test_a_choice_that_is_unknown_is_named_with_those_there_are(begun, tmp_path, capsys):
    words = ["--only", "nothing", "--prior", "tiny", "--output", str(tmp_path / "out.json")]
    assert cli.main(["ablate-recipe", *words]) == 2
    said = capsys.readouterr().err
    assert "'nothing' is unknown" in said
    assert "loss MSE" in said
    assert not begun
