"""What further bands add is measured on the same objects."""

import json

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.instruments.files import load_instrument
from napari_sfh.training.cli import main
from napari_sfh.training.libraries import templates
from napari_sfh.training.simulator import simulation
from napari_sfh.training.studies import added_bands


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Bundles of random weights, with NIRCam and without, and no download."""
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    monkeypatch.setattr(added_bands, "prepare_templates", prepare_toy_templates)
    monkeypatch.setattr(simulation.templates, "prepare_templates", prepare_toy_templates)
    changes = {"prior": {"name": "phangs-jwst"}, "libraries": {"bc03-miles": {}}}
    return [
        write_toy_bundle(tmp_path / f"{name}.safetensors", 0, load_instrument(name), **changes)
        for name in ("phangs-jwst", "muse-hst")
    ]


def test_both_networks_see_the_same_objects(toys, tmp_path, capsys):
    command = ["added-bands", "--weights", str(toys[0]), "--without", str(toys[1]), "--device", "cpu", "--quiet"]
    assert main([*command, "--n", "64", "--independent", "64", "--output", str(tmp_path / "r.json")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    whole = report["the prior, as drawn"]
    counts = {name: tables["accuracy"]["lg_age_lw"]["n"] for name, tables in whole.items()}
    assert len(set(counts.values())) == 1
    assert set(whole) == {"with", "with, bands hidden", "without"}
    stds = [tables["accuracy"]["mh_lw"]["std"] for tables in whole.values()]
    assert np.ptp(stds) > 0
    assert "scatter gained" in capsys.readouterr().out


def test_weights_of_other_spectra_are_refused(toys, tmp_path, capsys):
    command = ["added-bands", "--weights", str(toys[1]), "--without", str(toys[0]), "--quiet"]
    assert main([*command, "--output", str(tmp_path / "r.json")]) == 2
    assert "with fewer bands" in capsys.readouterr().err
