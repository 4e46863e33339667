"""The example notebook runs from top to bottom: every act of the window as a call."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from smooth_result import make_result

from napari_sfh import demo
from napari_sfh.config import RunConfig
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.cubes import read_cube
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Progress, Result

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "window.ipynb"


def code_cells() -> list[str]:
    """The code cells, without the magics that only a notebook knows."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    lines = ["".join(c["source"]).splitlines() for c in cells if c["cell_type"] == "code"]
    return ["\n".join(line for line in cell if not line.startswith("%")) for cell in lines]


def like_the_mock() -> Result:
    """A small result on the sky of the mock spiral, as if the default weights had made it."""
    cube = read_cube(next(demo.find_demo_folder().glob("*DATACUBE*")))
    name, path = next(iter(list_bundles().items()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    made = make_result(n_side=6, shape=(cube.shape[1], cube.shape[2]))
    return replace(made, wcs=cube.wcs, model_name=name, model_sha256=sha256)


def run_made_up(config: RunConfig, progress: ReportProgress, cancel: threading.Event | None = None) -> Result:
    """In place of the network: tests/science runs `napari_sfh.run` itself."""
    progress(Progress("predicting", 0, 1))
    return like_the_mock()


def test_the_notebook_is_stripped() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("small_figures")
def test_every_cell_runs(
    qtbot: Any, make_viewer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    viewer = make_viewer()
    monkeypatch.setattr("napari.Viewer", lambda: viewer)
    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", run_made_up)
    monkeypatch.setattr("napari_sfh.analysis.comparison.ppxf_fit.run_in_process", lambda fit, args, *_: fit(*args))
    names: dict[str, Any] = {}
    for cell in code_cells():
        exec(compile(cell, str(NOTEBOOK), "exec"), names)
        if "explorer" in names:
            assert not names["explorer"].is_error, names["explorer"].message.text()
    explorer = names["explorer"]
    assert explorer.session.region is not None
    assert len(explorer.session.shown) == 2
    written = {path.name for path in tmp_path.iterdir() if path.stat().st_size > 500}
    assert {"bins.pdf", "four_maps.pdf", "hst.pdf", "gradients.ecsv", "posterior.ecsv", "work.json"} <= written
