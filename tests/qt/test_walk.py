"""The scripted walk: on a small result, on the mock spiral and on 10 000 bins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from smooth_result import make_result
from walk import Walk
from window_acts import open_explorer

from napari_sfh.types import Result

pytestmark = pytest.mark.painted


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Answers the next file dialog: no one can press its buttons."""
    answer: list[Path] = []

    def dialog(*_: Any, **__: Any) -> Path:
        return answer.pop()

    import_module("napari_sfh._qt.explorer")  # and with it every module that asks
    for name, module in list(sys.modules.items()):
        if name.startswith("napari_sfh._qt") and hasattr(module, "show_file_dialog"):
            monkeypatch.setattr(module, "show_file_dialog", dialog)
    return answer.append


def start(make_viewer: Callable[..., Any], result: Result, folder: Path, ask: Callable[[Path], None]) -> Walk:
    """A small window with a result."""
    viewer = make_viewer(1280, 720)
    dock = open_explorer(viewer)
    dock.show_result(result)
    dock.wait()
    return Walk(viewer, dock, folder, ask)


def do_all(walk: Walk, real: bool) -> None:
    """Every part of the walk; what needs mosaics or the weights that made the result, for ``real`` ones only."""
    walk.maps()
    walk.bins_and_plots()
    walk.region()
    if real:
        walk.lines()
    walk.gradient()
    walk.brush()
    walk.undo()
    walk.ages()
    walk.exports()
    walk.comparison(walk.folder / "result.fits")
    if real:
        walk.mosaics()
        walk.posterior_and_ppxf()
    walk.workspace()
    print(f"\n{walk.dock.session.result.name}, {walk.dock.session.n_bins} bins\n{walk.report()}")  # noqa: T201


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("small_figures")
def test_a_walk_on_a_small_result(
    qtbot: Any, make_viewer: Callable[..., Any], tmp_path: Path, ask: Callable[[Path], None]
) -> None:
    do_all(start(make_viewer, make_result(n_side=6, shape=(60, 60)), tmp_path, ask), real=False)


@pytest.mark.slow
@pytest.mark.parametrize("n_bins", [None, 10_000])
@pytest.mark.timeout(3600)
def test_a_walk_on_galaxies(
    qtbot: Any, make_viewer: Callable[..., Any], tmp_path: Path, ask: Callable[[Path], None], n_bins: int | None
) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from big_result import big_result

    from napari_sfh import demo, pipeline
    from napari_sfh.io.identify import find_galaxy_files

    result = pipeline.run_pipeline(demo.make_demo_config("cpu"))
    assert result is not None
    walk = start(make_viewer, result if n_bins is None else big_result(n_bins, result), tmp_path, ask)
    walk.dock.data.set_files(None, find_galaxy_files(demo.find_demo_folder()).mosaics, None)
    do_all(walk, real=True)
