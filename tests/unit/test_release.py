"""Release: figures and card go into the bundle, the weights stay the same, and other weights' reports are refused."""

import json

import pytest
from muse_hst import MUSE_HST
from toy_universe import make_toy_basis, make_toy_config, make_toy_metadata, write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments import bundle_header as bundles
from napari_sfh.model.bundle import hash_bundle_tensors, load_bundle, save_bundle
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.model.targets import HistoryTargets
from napari_sfh.training import cli
from napari_sfh.training.fitting import model_card, training_run
from napari_sfh.training.fitting.provenance import describe_filters
from napari_sfh.training.fitting.release import release_bundle

HASH = "ab" * 32
META = make_toy_metadata() | {
    "instrument": MUSE_HST.to_json(),
    "targets": HistoryTargets().to_json(),
    "prior": {"name": "galceran2026", "sha256": HASH, "toml": ""},
    "libraries": {"bc03": {"isochrones": "Padova", "imf": "Chabrier", "sha256": HASH, "citation": "BC03"}},
    "filters": describe_filters(make_toy_basis().filters),
    "training": {
        "command": "napari-sfh-train train --config phangs",
        "recipe": {"name": "phangs", "architecture": "stem", "loss": "light"},
        "recipe_sha256": HASH,
        "seed": 1,
        "n": 165000,
        "data_sha256": HASH,
        "noise": "new in every epoch",
        "epochs": 24,
        "best_epoch": 23,
        "seconds": {"network": 3600.4},
        "machine": {"processor": "a processor", "cores": 2, "threads": 2, "device": "cpu", "torch": "2.13"},
    },
}


@pytest.fixture
def run(tmp_path):
    """A finished run's folder."""
    basis = make_toy_basis()
    model = SfhModel(make_toy_config(), MUSE_HST, HistoryTargets(), basis)
    save_bundle(tmp_path / "run" / training_run.BUNDLE, model, MUSE_HST, basis.filters, basis, META)
    return tmp_path / "run"


def report(folder, prior="galceran2026", **changes):
    """A folder with the report that the evaluation would write."""
    figures = {k: {"bias": -0.0012, "std": 0.0812, "nmad": 0.0601} for k in model_card.MEAN_WORDS}
    content = {
        "accuracy": figures,
        "coverage": {k: {"p68": 0.683, "p95": 0.951} for k in model_card.MEAN_WORDS},
        "ppxf": {"accuracy": {k: {"bias": 0.0512, "std": 0.1934, "nmad": 0.1} for k in model_card.MEAN_WORDS}},
        "throughput": {"bins_per_second": 2345.6},
        "machine": {"cpu": "a processor", "cores": 2, "torch": "2.13"},
        "n_test": 16500,
        "prior": prior,
        "ablation": {"not": "kept"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(content | changes))
    return folder


def weights(run):
    return {"sha256": load_bundle(run / training_run.BUNDLE).sha256}


def test_released_bundle_holds_figures_and_card(run, tmp_path):
    made = release_bundle(run, "phangs", [report(tmp_path / "r", weights=weights(run))], tmp_path / "out.safetensors")
    bundle = load_bundle(made)
    assert bundle.name == "phangs"
    table = bundle.meta["evaluation"]["galceran2026"]
    assert table["accuracy"]["lg_age_lw"]["std"] == 0.0812
    assert table["n_test"] == 16500
    assert "ablation" not in table
    for words in (
        "# phangs",
        "16500 spectra",
        "0.081",
        "-0.001",
        "68.3",
        "95.1",
        "0.193",
        "165000",
        "## Limits",
        "a processor, 2 cores",
    ):
        assert words in bundle.card
    assert "Not evaluated" not in bundle.card


def test_card_names_data_recipe_command_seed_and_hashes():
    text = model_card.format_model_card(META)
    for words in ("galceran2026", "bc03", "Chabrier", "F275W", "--config phangs", "seed 1", "24 epochs", HASH[:16]):
        assert words in text


def test_weights_stay_the_same(run, tmp_path):
    made = release_bundle(run, "phangs", [], tmp_path / "out.safetensors")
    before, after = load_bundle(run / training_run.BUNDLE), load_bundle(made)
    assert before.sha256 != after.sha256
    assert hash_bundle_tensors(before) == hash_bundle_tensors(after)


def test_other_weights_have_another_hash(tmp_path):
    a, b = (load_bundle(write_toy_bundle(tmp_path / f"{seed}.safetensors", seed)) for seed in (0, 1))
    assert hash_bundle_tensors(a) != hash_bundle_tensors(b)


def test_report_may_name_the_weights_instead_of_the_file(run, tmp_path):
    known = {"sha256": "0" * 64, "tensors_sha256": hash_bundle_tensors(load_bundle(run / training_run.BUNDLE))}
    made = release_bundle(run, "phangs", [report(tmp_path / "r", weights=known)], tmp_path / "out.safetensors")
    assert load_bundle(made).meta["evaluation"]


def test_two_test_sets_stand_side_by_side(run, tmp_path):
    reports = [report(tmp_path / p, prior=p, weights=weights(run)) for p in ("galceran2026", "wide")]
    bundle = load_bundle(release_bundle(run, "phangs", reports, tmp_path / "out.safetensors"))
    assert set(bundle.meta["evaluation"]) == {"galceran2026", "wide"}
    assert "Tested on `wide`" in bundle.card
    with pytest.raises(SfhInputError, match=r"a second report on 'wide'"):
        release_bundle(run, "phangs", [reports[1], reports[1]], tmp_path / "out.safetensors")


def test_report_of_other_weights_is_refused(run, tmp_path):
    folder = report(tmp_path / "r", weights={"sha256": "cd" * 32})
    with pytest.raises(SfhInputError, match=r"report.json: of other weights \(sha256 cdcdcdcdcdcdcdcd"):
        release_bundle(run, "phangs", [folder], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {}}, "no report of napari-sfh-train evaluate .*'sha256'"),
        ({"accuracy": {"lg_age_mw": {}}}, "lacks 'lg_age_lw'"),
        ({"accuracy": 3}, "no report of napari-sfh-train evaluate"),
    ],
)
def test_incomplete_report_is_refused(run, tmp_path, changes, message):
    with pytest.raises(SfhInputError, match=message):
        release_bundle(run, "phangs", [report(tmp_path / "r", **{"weights": weights(run)} | changes)])


def test_missing_report_and_run_are_named(run, tmp_path):
    with pytest.raises(
        SfhInputError, match=r"`report` .*report.json: cannot be read|`report` .*nowhere: cannot be read"
    ):
        release_bundle(run, "phangs", [tmp_path / "nowhere"])
    with pytest.raises(SfhInputError, match="no bundle; finish the run"):
        release_bundle(tmp_path, "phangs")


def test_name_must_be_one(run):
    with pytest.raises(SfhInputError, match=r"`name` '../x': use letters, digits"):
        release_bundle(run, "../x")


def test_installed_package_is_not_written_into(run, tmp_path, monkeypatch):
    folder = tmp_path / "site-packages" / "napari_sfh" / "data" / "weights"
    monkeypatch.setattr("napari_sfh.training.fitting.release.weights_folder", lambda: folder)
    with pytest.raises(SfhInputError, match=r"`output`: .*is no checkout of"):
        release_bundle(run, "phangs")


def test_default_place_is_among_the_shipped_weights(run, tmp_path, monkeypatch):
    folder = tmp_path / "src" / "napari_sfh" / "data" / "weights"
    (tmp_path / "pyproject.toml").touch()
    for where in (
        "napari_sfh.training.fitting.release.weights_folder",
        "napari_sfh.instruments.bundle_header.weights_folder",
    ):
        monkeypatch.setattr(where, lambda: folder)
    made = release_bundle(run, "phangs")
    assert made == folder / "phangs.safetensors"
    assert bundles.list_bundles() == {"phangs": made}


def test_a_release_does_not_replace_what_it_releases(run):
    whole = (run / "bundle.safetensors").read_bytes()
    with pytest.raises(SfhInputError, match="output is this input"):
        release_bundle(run, "phangs", output=run / ".." / run.name / "bundle.safetensors")
    assert (run / "bundle.safetensors").read_bytes() == whole


def test_command_prints_the_card(run, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    assert cli.main(["release", str(run), "--name", "phangs", "--output", str(out)]) == 0
    assert "# phangs" in capsys.readouterr().out
    assert cli.main(["release", str(tmp_path), "--name", "phangs"]) == 2
    assert "no bundle" in capsys.readouterr().err
