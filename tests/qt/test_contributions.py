"""Reader, writer, sample and menus through napari's own doors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from napari.components import ViewerModel
from npe2 import PluginManager
from qtpy.QtWidgets import QApplication
from window_acts import open_explorer, watch_orientation, window

from napari_sfh import cli
from napari_sfh._qt import contributions
from napari_sfh.analysis import maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result
from napari_sfh.io.workspaces import Workspace, write_workspace
from napari_sfh.types import Result

pytestmark = pytest.mark.usefixtures("discovered")


def test_manifest_is_what_napari_reads() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-sfh")
    assert [w.display_name for w in manifest.contributions.widgets] == ["SFH explorer"]
    assert [s.display_name for s in manifest.contributions.sample_data] == ["Mock spiral"]
    for command in manifest.contributions.commands:
        assert callable(command.get_callable() if hasattr(command, "get_callable") else _load(command.python_name))


def _load(python_name: str) -> object:
    from importlib import import_module

    module, name = python_name.split(":")
    return getattr(import_module(module), name)


def test_reader_takes_results_and_cubes_only(result_file: Path, cube_file: Path, tmp_path: Path) -> None:
    assert contributions.get_reader(str(result_file)) is contributions.read_result_layers
    assert contributions.get_reader([str(cube_file)]) is contributions.read_cube_layers
    assert contributions.get_reader(["a.fits", "b.fits"]) is None
    work = write_workspace(Workspace(), tmp_path / "work.json")
    assert contributions.get_reader(str(work)) is contributions.read_workspace_layers
    (tmp_path / "other.json").write_text("{}")
    assert contributions.get_reader(str(tmp_path / "other.json")) is None
    other = tmp_path / "table.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(other)
    assert contributions.get_reader(str(other)) is None


@pytest.mark.usefixtures("no_window")
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"SIMPLE  =                    T" + b" " * 100])
def test_what_is_wrong_with_a_damaged_file_is_said_in_our_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "galaxy.fits"
    path.write_bytes(content)
    reader = contributions.get_reader(str(path))
    assert reader is not None
    with pytest.raises(SfhInputError, match=r"galaxy\.fits"):
        reader(str(path))


@pytest.mark.usefixtures("no_window")
def test_result_file_becomes_layers_without_a_window(result_file: Path, result: Result) -> None:
    viewer = ViewerModel()
    viewer.open(str(result_file), plugin="napari-sfh")
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 2
    assert viewer.layers["LW age [log yr]"].data[20, 20] == pytest.approx(maps.make_map_image(result, "AGE_LW")[20, 20])


@pytest.mark.usefixtures("no_window")
def test_a_workspace_without_a_window_is_its_result(result_file: Path, tmp_path: Path) -> None:
    work = write_workspace(Workspace(result=result_file), tmp_path / "work.json")
    assert len(contributions.read_workspace_layers(str(work))) == len(maps.MEAN_MAPS) + 2
    assert (
        contributions.read_workspace_layers(str(write_workspace(Workspace(), tmp_path / "empty.json")))
        == contributions.NO_LAYERS
    )


def test_layers_go_back_into_a_result_file(result_file: Path, result: Result, tmp_path: Path) -> None:
    viewer = ViewerModel()
    viewer.open(str(result_file), plugin="napari-sfh")
    saved = viewer.layers.save(str(tmp_path / "again.fits"), plugin="napari-sfh")
    again = read_result(saved[0])
    assert again.prediction.mass_frac == pytest.approx(result.prediction.mass_frac)


def test_writer_refuses_layers_without_a_result(tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match="hold no star-formation histories; run the explorer"):
        contributions.write_result_layers(str(tmp_path / "x.fits"), [(np.zeros((2, 2)), {"metadata": {}}, "image")])


def test_contours_alone_are_no_result(result: Result, tmp_path: Path) -> None:
    from napari_sfh._qt.canvas.layer_data import KEY, LayerLink

    contours = (np.zeros((3, 2, 2)), {"metadata": {KEY: LayerLink("contours", "HA6562", result)}}, "vectors")
    with pytest.raises(SfhInputError, match="choose a map of a result"):
        contributions.write_result_layers(str(tmp_path / "x.fits"), [contours])
    assert not list(tmp_path.iterdir())


def test_white_light_of_a_cube(cube_file: Path) -> None:
    ((image, attributes, kind),) = contributions.read_cube_layers(str(cube_file))
    assert kind == "image"
    assert np.isnan(image[0, 0])
    assert image[1:] == pytest.approx(np.tile(7.0 + np.arange(8), (5, 1)), rel=1e-5)
    assert attributes["units"] == ("arcsec", "arcsec")


def test_the_sample_is_ready_to_run(
    qtbot: Any, make_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_viewer()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    directions = watch_orientation(viewer)
    viewer.open_sample("napari-sfh", "mock_spiral")
    qtbot.waitUntil(lambda: any("SFH explorer" in name for name in viewer.window.dock_widgets), timeout=120_000)
    dock = open_explorer(viewer)
    qtbot.waitUntil(lambda: dock.data.has_input and not dock.loading, timeout=120_000)
    assert [layer.name for layer in viewer.layers] == ["MOCK0001 white light"]
    assert len(dock.data.values()["photometry"]) == 5
    assert dock.data.values()["ebv_mw"] == 0
    assert dock.run_button.enabled
    status = viewer.canvas.overlays.scale_bar.visible, viewer.scene.camera.orientation2d
    assert status == (True, ("up", "left"))
    assert set(directions) == {("up", "left")}, "the first picture is not the other way up"


def test_view_opens_a_window_as_large_as_the_screen_with_the_result(
    qtbot: Any, no_window: None, result_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari

    seen: dict[str, Any] = {}

    def run() -> None:
        """In place of the event loop, which would not end."""
        viewer = napari.current_viewer()
        dock = contributions.get_explorer(viewer)
        qtbot.waitUntil(lambda: dock.session.result is not None, timeout=60_000)
        dock.finish(60)
        seen.update(
            frame=window(viewer).frameGeometry(), name=dock.session.result.name, map=dock.stack.find("map", "AGE_LW")
        )
        viewer.close()

    monkeypatch.setattr(napari, "run", run)
    monkeypatch.setenv("QT_SCALE_FACTOR_ROUNDING_POLICY", "")
    monkeypatch.delenv("QT_SCALE_FACTOR_ROUNDING_POLICY")
    assert cli.main(["view", str(result_file)]) == 0
    room = QApplication.primaryScreen().availableGeometry()
    assert room.contains(seen["frame"])
    assert os.environ["QT_SCALE_FACTOR_ROUNDING_POLICY"] == "RoundPreferFloor", "letters of 150 % double nothing"
    assert seen["frame"].width() > 0.9 * room.width()
    assert seen["name"] == read_result(result_file).name
    assert seen["map"].visible


def test_commands_of_the_menu_do_what_they_say(
    qtbot: Any, shown: Any, result_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the ids by which napari's menus call them; files are chosen in dialogs that only a person can press."""
    monkeypatch.setattr("napari.current_viewer", lambda: shown.viewer)
    chosen = {"_qt.files": result_file, "_qt.exports": tmp_path / "saved.fits"}
    for module, path in chosen.items():
        monkeypatch.setattr(f"napari_sfh.{module}.show_file_dialog", lambda *_, path=path, **__: path)
    execute = PluginManager.instance().commands.execute
    execute("napari-sfh.open_explorer")
    assert len(shown.window().findChildren(type(shown))) == 1, "the explorer that is there is found"
    before = shown.session.result
    execute("napari-sfh.open_result")
    qtbot.waitUntil(lambda: shown.session.result is not before, timeout=60_000)
    shown.finish(60)
    execute("napari-sfh.save_result")
    shown.finish(60)
    np.testing.assert_array_equal(read_result(tmp_path / "saved.fits").flag, before.flag)
    monkeypatch.setattr("napari_sfh._qt.files.show_file_dialog", lambda *_, **__: tmp_path / "work")
    execute("napari-sfh.save_workspace")
    shown.finish(60)
    assert contributions.get_reader(str(tmp_path / "work.json")) is contributions.read_workspace_layers
    asked: list[bool] = []
    monkeypatch.setattr(type(shown), "open_demo", lambda _, run: asked.append(run))
    execute("napari-sfh.run_mock_spiral")
    assert asked == [True]


def test_regions_of_a_map_go_through_napari_to_ds9_and_back(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File > Save selected layers, then a drop of what was saved."""
    viewer, region = shown.viewer, shown.tools["region"]
    box = Outline(np.array([[10.0, 10.0], [10.0, 30.0], [30.0, 30.0], [30.0, 10.0]]), True, None, "bulge", "box")
    region.region.set_outlines([box])
    inside = shown.session.regions[0].rows
    layer = next(layer for layer in viewer.layers if layer.name == "SFH region")
    writers = PluginManager.instance().iter_compatible_writers
    assert "napari-sfh.write_regions" in [writer.command for writer in writers(["shapes"])]
    kinds = [each.as_layer_data_tuple()[2] for each in viewer.layers]
    assert "napari-sfh.write_result" in [writer.command for writer in writers(kinds)], "also beside regions"
    (path,) = layer.save(str(tmp_path / "bulge.reg"), plugin="napari-sfh")
    region.clear()
    assert not shown.session.regions
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    shown.files.unsaved = True  # regions end no result: nothing is asked
    viewer.open(path, plugin=None)
    shown.finish(60)
    assert list(shown.session.regions[0].rows) == list(inside)
    assert region.region.outlines()[0].name == "bulge"


def test_the_tests_neither_see_nor_touch_the_preferences_of_the_user() -> None:
    from napari.settings import get_settings

    folder = Path(os.environ["NAPARI_SFH_CONFIG"])
    assert folder.parent == Path(tempfile.gettempdir())
    assert Path(str(get_settings().config_path)).parent == folder
