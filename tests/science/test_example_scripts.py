"""The scripts in examples/ run, on the smallest data that they accept."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import Table

import napari_sfh
from napari_sfh import demo

FOLDER = Path(__file__).parents[2] / "examples"


def load_main(name: str) -> Callable[..., Any]:
    """The ``main`` of a script, which draws without a window."""
    plt.switch_backend("agg")
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"]


@pytest.fixture(scope="module")
def result_file(tmp_path_factory) -> Path:
    """A result of a strip of the mock galaxy."""
    folder = tmp_path_factory.mktemp("examples")
    galaxy = demo.write_demo_cutout(folder / "galaxy", (slice(28, 31), slice(14, 30)))
    result = napari_sfh.run(napari_sfh.configure_run(galaxy, ebv_mw=0.0, draws=50))
    napari_sfh.write_result(result, folder / "result.fits")
    return folder / "result.fits"


def test_every_script_is_tested():
    assert {path.stem for path in FOLDER.glob("*.py")} == {
        "batch",
        "own_instrument",
        "own_labels",
        "compare_with_ppxf",
        "paper_figures",
    }


def test_batch_goes_on_after_a_galaxy_that_fails(tmp_path, capsys):
    demo.write_demo_cutout(tmp_path / "galaxies" / "NGC0628", (slice(28, 31), slice(28, 31)))
    (tmp_path / "galaxies" / "empty").mkdir()
    table = load_main("batch")(tmp_path / "galaxies", tmp_path / "results")
    assert list(table["name"]) == ["NGC0628"]
    assert 8 < table["lg_age_lw"][0] < 10.5
    assert "empty: failed" in capsys.readouterr().out
    assert (tmp_path / "results" / "galaxies.ecsv").is_file()


def test_own_instrument_is_written_and_read(tmp_path):
    instrument = load_main("own_instrument")(tmp_path)
    assert instrument.band_names == ("U", "Z")
    assert instrument.wave_aa[[0, -1]] == pytest.approx([3800, 7000], abs=2)
    assert (tmp_path / "my-ifu.png").stat().st_size > 5000


def test_own_labels_are_learnt(tmp_path):
    rng = np.random.default_rng(2)
    age, metal = rng.uniform(8, 10, 300), rng.uniform(-1, 0.2, 300)
    table = Table({"lg_age_lw": age.astype("f4"), "mh_lw": metal.astype("f4")})
    for k, name in enumerate(("B1", "B2", "B3", "B4")):  # redder with age, fainter in the blue with metals
        flux = 10 ** (0.3 * k * (age - 9) + 0.1 * k**2 * metal) * (1 + 0.01 * rng.standard_normal(300))
        table[name], table[f"{name}_ERR"] = flux.astype("f4"), (0.01 * flux).astype("f4")
        table[name].unit = table[f"{name}_ERR"].unit = "uJy"
    table.write(tmp_path / "labels.fits")
    found = load_main("own_labels")(tmp_path / "labels.fits", tmp_path / "out", epochs=30)
    assert len(found) == 300
    assert np.corrcoef(found["LG_AGE_LW"], age)[0, 1] > 0.4


@pytest.mark.slow
def test_ppxf_stands_beside_the_network(result_file, tmp_path):
    pytest.importorskip("ppxf")
    table = load_main("compare_with_ppxf")(result_file, tmp_path / "both.ecsv", n_bins=2)
    assert len(table) == 2
    assert np.all(np.abs(table["lg_age_lw"] - table["lg_age_lw_ppxf"]) < 1)


@pytest.mark.slow
def test_paper_figures_are_written(result_file, tmp_path):
    written = load_main("paper_figures")(result_file, tmp_path, 10.0)
    assert [path.name for path in written] == ["maps.pdf", "bin.pdf", "gradients.pdf"]
    assert all(path.read_bytes()[:5] == b"%PDF-" for path in written)
