"""Runs from the window: begun ahead, cancelled, on files that change; what belongs to which galaxy."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from window_acts import open_explorer

from napari_sfh._qt.explorer import CANCELLED, ENDING
from napari_sfh._qt.jobs import tasks
from napari_sfh.config import SETTINGS
from napari_sfh.demo import make_window_config, write_demo_cutout
from napari_sfh.errors import ComputeError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.results import write_result
from napari_sfh.types import Result


def test_a_cancelled_step_that_is_not_at_its_end_says_so(opened: Any, qtbot: Any) -> None:
    release = threading.Event()

    def deaf(progress: Any, cancel: threading.Event) -> object:
        release.wait(60)
        return None if cancel.is_set() else "done"

    opened.start(deaf, opened.show_message, "Run")
    opened.cancel()
    qtbot.waitUntil(lambda: not opened.busy, timeout=120_000)
    assert opened.message.text() == ENDING
    release.set()
    qtbot.waitUntil(lambda: opened.message.text().startswith(CANCELLED), timeout=120_000)


def test_a_file_that_changes_during_a_run_is_told(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what was read of which: there is no result, as with the commands."""
    cube = tmp_path / "cube.fits"
    cube.write_bytes(b"one")

    def run(*_: Any) -> Result:
        cube.write_bytes(b"another")
        return result

    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", run)
    with pytest.raises(ComputeError, match=r"not shown, a file of the run has changed .* \(cube.fits\); run again"):
        tasks.run_galaxy(lambda _: None, threading.Event(), {"cube": cube})


class RunAhead:
    """In place of a `CallAhead`: a run that has its result ready, or is of no use."""

    def __init__(self, result: Result | None = None) -> None:
        self.result, self.dropped = result, 0

    def finish(self, *_: Any) -> Result:
        assert self.result is not None, "another run was asked for"
        return self.result

    def drop(self) -> None:
        self.dropped += 1


def test_a_run_that_was_begun_with_the_window_is_taken_where_it_is_the_same(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(result, name="run here")
    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", lambda *_: other)
    options = vars(make_window_config())
    for asked, name in ((options, result.name), ({**options, "draws": 50}, "run here")):
        begun = RunAhead(result if name == result.name else None)
        found = tasks.run_galaxy(lambda _: None, threading.Event(), asked, begun)  # type: ignore[arg-type]
        assert (found.result.name, begun.dropped) == (name, int(name == "run here"))


def test_the_demo_that_is_begun_with_the_window_is_what_the_form_asks_for_and_goes_with_a_cancel(
    opened: Any, result: Result
) -> None:
    """Else it would be run for nothing."""
    taken, unused = RunAhead(replace(result, name="begun ahead")), RunAhead()
    opened.network.model.value = next(iter(list_bundles()))
    opened.open_demo(run=True, ahead=taken)
    opened.finish(120)
    assert opened.session.result.name == "begun ahead"
    opened.open_demo(ahead=unused)
    opened.cancel()
    opened.finish(120)
    assert unused.dropped == 1
    opened.cancel()
    assert unused.dropped == 1


def test_the_form_names_the_weights_of_a_result_that_is_opened(opened: Any, result: Result, tmp_path: Path) -> None:
    """Else Run would make another map than the one on the screen."""
    path = write_result(result, tmp_path / "r.fits")
    opened.network.set_models(["other", result.model_name])
    opened.network.model.value = "other"
    opened.open_result(path)
    opened.finish(120)
    assert opened.network.chosen_model == result.model_name


def test_what_was_given_for_one_galaxy_is_not_used_for_the_next(
    qtbot: Any, make_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Result
) -> None:
    opened = open_explorer(make_viewer())  # which has seen no galaxy before
    opened.show_result(result)
    assert opened.wait(120)
    data, binning = opened.data, opened.binning
    data.redshift.value = "0.5"  # meant for the first galaxy
    piece = next(write_demo_cutout(tmp_path / "piece", (slice(20, 30), slice(20, 30))).glob("*DATACUBE*"))
    cubes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        cubes.append(Path(shutil.copy(piece, tmp_path / name / f"{name}.fits")))
    ways = [opened.files.open, opened.open_folder, lambda path: setattr(data.folder.line_edit, "value", str(path))]
    ways += [lambda path: opened.files.open(next(path.glob("*.fits")))]
    ways += [lambda path: setattr(data.cube.line_edit, "value", str(next(path.glob("*.fits"))))]
    for turn, way in enumerate(ways):
        way(cubes[turn % 2].parent)
        assert opened.wait(60)
        assert data.cube_path == cubes[turn % 2]
        assert data.redshift.value == ("0.5" if turn == 0 else ""), turn
        # The preflight is work of its own.
        qtbot.waitUntil(lambda turn=turn: turn == 0 or "Redshift" in opened.preflight.text.text(), timeout=60_000)
        data.redshift.value, data.ebv_mw.value = "0.5", "0.1"
    # The same galaxy again keeps them.
    opened.files.open(cubes[0])
    assert opened.wait(60)
    assert (data.redshift.value, data.ebv_mw.value) == ("0.5", "0.1")
    binning.method.value, binning.target_snr.value = "vorbin", 60.0
    monkeypatch.setattr(type(opened), "run", lambda self, _=None: None)
    opened.open_demo(run=True)
    assert opened.wait(60)
    assert (data.redshift.value, data.ebv_mw.value) == ("", "0")
    assert (binning.method.value, binning.target_snr.value) == (
        SETTINGS["binning"].default,
        SETTINGS["target_snr"].default,
    )
    opened.files.open(cubes[1].parent)
    assert opened.wait(60)
    assert data.ebv_mw.value == "", "the mock's 0 is no dust map's value"
