"""The report's files: JSON without NaN, a page that needs nothing else."""

import json
import re

import numpy as np
import pytest
from synthetic_toys import toy_source
from toy_universe import write_toy_bundle

from napari_sfh.model.bundle import load_bundle
from napari_sfh.training.evaluation import evaluation, report, report_figures, test_set
from napari_sfh.training.evaluation.ppxf_comparison import PpxfTestFit

SMALL = evaluation.EvaluationSettings(device="cpu", draws=50, n_again=16, n_ablation=8, n_ood_cases=4, n_independent=4)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_set, "BLOCK", 32)
        patch.setenv("NAPARI_SFH_CACHE", str(folder / "cache"))
        patch.setattr("napari_sfh.training.evaluation.throughput.THROUGHPUT_SECONDS", 0.01)
        bundle = load_bundle(write_toy_bundle(folder / "toy.safetensors"))
        made = evaluation.evaluate_bundle(bundle, test_set.draw_test_set_from_source(toy_source(), 32), SMALL)
        fits = [
            PpxfTestFit(i, dict.fromkeys(report_figures.MEAN_AXIS_LABELS, 1.0), [], [], [], 0, 1, 2, 3)
            for i in range(6)
        ]
        made.report["ppxf"] = evaluation.build_ppxf_table(fits, made.predicted, SMALL.ppxf_settings)
        made.ppxf.extend(fits)
        paths = report.write_evaluation_report(made, folder)
    return made, paths


def test_json_reads_back(written):
    made, (path, _) = written
    stored = json.loads(path.read_text())
    assert stored["accuracy"] == made.report["accuracy"]
    assert stored["ppxf"]["seconds_per_spectrum"] == 2.0
    assert set(stored["ppxf"]["accuracy"]) == set(report_figures.MEAN_AXIS_LABELS)
    assert stored["ppxf"]["n"] == 6
    assert "NaN" not in path.read_text()


def test_page_needs_nothing_else(written):
    page = written[1][1].read_text()
    sources = re.findall(r"(?:src|href)='([^']*)'", page)
    assert len(sources) >= 9
    assert all(s.startswith("data:image/png;base64,") for s in sources)
    assert "<script" not in page
    assert "http" not in page
    assert not list(written[1][1].parent.glob("*.tmp"))


def test_page_shows_the_numbers(written):
    made, (_, page) = written
    entry = made.report["accuracy"]["mh_lw"]
    text = page.read_text()
    assert f"{entry['bias']:.3f} / {entry['std']:.3f} / {entry['nmad']:.3f}" in text
    assert f"<td>{made.report['smape']['median']:.0f} %</td>" in text
    assert f"<td>r = {made.report['error_correlation']['mw']['r']:.2f}, slope" in text
    assert all(f"elsewhere, stars of {name}" in text for name in made.report["elsewhere"]["by_library"])
    assert "pPXF, seconds of one core per spectrum</td><td>2.0</td>" in text


def test_projection_without_umap_is_pca(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    place, method = report_figures.compute_latent_projection(x)
    assert method == "PCA"
    assert place.shape == (200, 2)
    assert abs(np.corrcoef(place.T)[0, 1]) < 1e-6
