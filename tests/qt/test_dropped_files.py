"""Files that are dropped on a window or opened by napari: what becomes of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from window_acts import click, drop_and_press_ok, open_explorer

from napari_sfh._qt.docks import closing
from napari_sfh.analysis import maps
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import write_result
from napari_sfh.types import Result

pytestmark = pytest.mark.usefixtures("discovered")


def test_a_dropped_result_restores_the_view_with_clicks(
    qtbot: Any, make_viewer: Callable[..., Any], result_file: Path, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_viewer()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    viewer.open(str(result_file), plugin="napari-sfh")
    qtbot.waitUntil(lambda: any("SFH explorer" in name for name in viewer.window.dock_widgets), timeout=120_000)
    dock = open_explorer(viewer)
    qtbot.waitUntil(lambda: dock.session.result is not None and not dock.loading, timeout=120_000)
    qtbot.wait(50)
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 2
    click(viewer, dock.session, 7)
    assert dock.session.selected == 7
    assert dock.panel.numbers.isVisible()
    assert dock.files.result_path == result_file


@pytest.mark.parametrize("answer", [closing.CANCEL, closing.DISCARD])
def test_a_dropped_file_asks_before_an_unsaved_result_goes(
    qtbot: Any,
    make_viewer: Callable[..., Any],
    result: Result,
    cube_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    viewer = make_viewer()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    dock = open_explorer(viewer)
    dock.show_result(result)
    assert dock.wait(120)
    dock.files.unsaved = True
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or answer)
    viewer.open(str(cube_file), plugin="napari-sfh")
    qtbot.waitUntil(lambda: bool(asked), timeout=120_000)
    assert dock.wait(120)
    assert asked == [result.name]
    assert (dock.session.result is result) == (answer == closing.CANCEL)


def test_a_dropped_cube_is_ready_to_run(
    qtbot: Any, make_viewer: Callable[..., Any], cube_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_viewer()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    viewer.open(str(cube_file), plugin="napari-sfh")
    qtbot.waitUntil(lambda: any("SFH explorer" in name for name in viewer.window.dock_widgets), timeout=120_000)
    dock = open_explorer(viewer)
    qtbot.waitUntil(lambda: dock.data.has_input and not dock.loading, timeout=120_000)
    assert len(viewer.layers) == 1
    assert dock.run_button.enabled
    assert "Ready" in dock.message.text()


def test_our_reader_is_preset_for_results(result_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from napari.plugins.utils import get_preferred_reader
    from napari.settings import get_settings

    from napari_sfh._qt.napari_files import RESULT_PATTERN, set_reader_preset

    monkeypatch.setenv("NAPARI_SFH_CONFIG", str(tmp_path))
    plugins = get_settings().plugins
    monkeypatch.setattr(plugins, "extension2reader", {"*.fits": "napari"})
    set_reader_preset()
    assert plugins.extension2reader == {"*.fits": "napari"}, "the user's choice stays"
    plugins.extension2reader = {}
    set_reader_preset()
    assert get_preferred_reader(result_file) == "napari-sfh"
    assert get_preferred_reader(tmp_path / "image.fits") is None
    plugins.extension2reader = {}
    set_reader_preset()
    assert RESULT_PATTERN not in plugins.extension2reader, "what was taken out does not come back"


def test_a_result_that_another_reader_has_opened_is_told_until_it_goes(shown: Any, result_file: Path) -> None:
    (layer,) = shown.viewer.open(str(result_file), plugin="napari")
    assert shown.is_error
    assert all(word in shown.message.text() for word in (result_file.name, layer.name, "Open…"))
    shown.viewer.layers.remove(layer)
    assert not shown.is_error
    assert "bins" in shown.message.text()


def test_our_reader_is_ticked_for_a_file_that_is_ours_by_its_content(
    qtbot: Any, shown: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, picture = tmp_path / "mygalaxy.fits", tmp_path / "picture.fits"
    write_result(result, path)
    fits.PrimaryHDU(np.zeros((4, 4), np.float32)).writeto(picture)
    monkeypatch.setattr("napari.current_viewer", lambda: shown.viewer)
    viewer, before = shown.viewer, shown.session.result
    assert drop_and_press_ok(viewer, path) == ["napari-sfh"]
    qtbot.waitUntil(lambda: shown.session.result is not before, timeout=60_000)
    shown.finish(60)
    assert shown.stack.find("map", "AGE_LW").visible
    assert drop_and_press_ok(viewer, picture) != ["napari-sfh"], "a picture is napari's own"


def test_a_part_of_a_galaxy_that_is_dropped_says_where_it_goes(
    shown: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sfh.demo import find_demo_folder

    mosaic = next(path for path in Path(find_demo_folder()).iterdir() if "drc-sci" in path.name)
    monkeypatch.setattr("napari.current_viewer", lambda: shown.viewer)
    shown.viewer.open(str(mosaic), plugin="napari-sfh")
    # The explorer opens it once napari is done with it.
    qtbot.waitUntil(lambda: "choose it under Data" in shown.message.text(), timeout=60_000)
    with pytest.raises(SfhInputError, match="choose it under Data"):
        shown.finish(60)
    assert shown.session.result is not None


def test_files_of_a_galaxy_that_are_dropped_together_go_to_their_fields(shown: Any, tmp_path: Path) -> None:
    from napari_sfh.demo import write_demo_cutout

    folder = write_demo_cutout(tmp_path / "piece", (slice(20, 26), slice(20, 26)))
    mosaics = sorted(folder.glob("*drc-sci*"))
    (cube,), (maps_file,) = folder.glob("*DATACUBE*"), folder.glob("*MAPS*")
    for path in (cube, *mosaics, maps_file):
        shown.open(path)
    shown.finish(60)
    assert shown.data.cube_path == cube
    assert sorted(shown.data.photometry.values()) == mosaics
    assert all(band.lower() in path.name for band, path in shown.data.photometry.items())
    assert shown.data.maps_path == maps_file
    assert not shown.is_error
    assert maps_file.name in shown.message.text()
