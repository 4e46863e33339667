"""Reader, writer, sample and menus through napari's own doors."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from napari.components import ViewerModel
from npe2 import PluginManager
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from smooth_result import make_wcs
from vispy.color import ColorArray
from window_acts import click, drop_and_press_ok, native_canvas, open_explorer, screen_point, watch_orientation, window

from napari_sfh import cli
from napari_sfh._qt import contributions
from napari_sfh._qt.docks import closing
from napari_sfh.analysis import maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result, write_result
from napari_sfh.io.workspaces import Workspace, write_workspace
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.types import Result

N_CHANNELS, FIRST_AA, STEP_AA = 2000, 4749.88, 1.25


@pytest.fixture(scope="module", autouse=True)
def discovered() -> None:
    """napari finds plugins when its first window opens; here some tests have none."""
    PluginManager.instance().discover()


@pytest.fixture
def result_file(result: Result, tmp_path: Path) -> Path:
    return write_result(result, tmp_path / "ngc0000_sfh.fits")


@pytest.fixture
def cube_file(tmp_path: Path) -> Path:
    """A cube whose every channel is 7, 8, ... along x where it is good; a channel of one constant is no observation."""
    header = make_wcs((6, 8)).to_header()
    header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=FIRST_AA, CRPIX3=1.0, CD3_3=STEP_AA, WCSAXES=3)
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    data = np.broadcast_to(7 + np.arange(8, dtype=np.float32), (N_CHANNELS, 6, 8)).copy()
    data[:, 0, 0] = np.nan
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, "DATA"), fits.ImageHDU(np.ones_like(data), header, "STAT")]
    path = tmp_path / "NGC0000_DATACUBE.fits"
    fits.HDUList(hdus).writeto(path)
    return path


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


@pytest.mark.parametrize("name", ["AGE_LW", "V", "MASS_AGE"])
def test_a_saved_map_comes_back_where_and_as_it_was(result: Result, tmp_path: Path, name: str) -> None:
    from napari.layers import Layer

    from napari_sfh._qt.canvas.layer_data import make_map_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    layer = Layer.create(*make_map_layer(result, name, SkyGrid.of(result.wcs, result.bins.bin_id.shape)))
    layer.contrast_limits = (1.0, 2.5)
    data, attributes, kind = layer.as_layer_data_tuple()
    writers = PluginManager.instance().iter_compatible_writers([kind])
    commands = [writer.command for writer in writers if writer.command.startswith("napari-sfh.")]
    assert commands[0] == "napari-sfh.write_map", "of one layer the map is written, of several the result"
    path = tmp_path / "map.fits"
    assert contributions.write_map_layer(str(path), data, attributes) == [str(path)]
    reader = contributions.get_reader(str(path))
    assert reader is contributions.read_map_layers
    back = Layer.create(*reader(str(path))[0])
    np.testing.assert_allclose(back.data, np.asarray(layer.data, np.float32))
    assert back.name == layer.name
    assert tuple(back.contrast_limits) == (1.0, 2.5)
    assert back.colormap.name == layer.colormap.name
    np.testing.assert_allclose(back.affine.affine_matrix, layer.affine.affine_matrix, atol=1e-6)
    np.testing.assert_allclose(back.scale, layer.scale, rtol=1e-6)
    assert [str(unit) for unit in back.units] == [str(unit) for unit in layer.units]
    kept = back.metadata["napari_sfh_map"]
    assert (kept["map"], kept["galaxy"], kept["weights"]) == (name, result.name, result.model_name)
    with fits.open(path) as hdus:
        assert hdus[0].header["CTYPE1"] == "RA---TAN"


def test_bins_are_saved_as_the_result_that_they_are_of(result: Result, tmp_path: Path) -> None:
    """By napari's own Save, which takes the writer that it finds first."""
    from napari.layers import Labels, Layer

    from napari_sfh._qt.canvas.layer_data import make_bins_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    bins = Layer.create(*make_bins_layer(result, SkyGrid.of(result.wcs, result.bins.bin_id.shape)))
    assert isinstance(bins, Labels)
    bins.save(str(tmp_path / "ngc0000_sfh.fits"))
    np.testing.assert_array_equal(read_result(tmp_path / "ngc0000_sfh.fits").bins.bin_id, result.bins.bin_id)
    with pytest.raises(SfhInputError, match="no map of a result or a cube"):
        contributions.write_map_layer(str(tmp_path / "x.fits"), *Labels(np.ones((2, 2), int)).as_layer_data_tuple()[:2])


@pytest.mark.parametrize("name", ["AGE_LW", "MASS_AGE", "FLAG"])
def test_a_map_that_was_opened_from_a_file_is_written_again(result: Result, tmp_path: Path, name: str) -> None:
    """Without the result, with what the user has changed since."""
    from napari.layers import Layer

    from napari_sfh._qt.canvas.layer_data import make_map_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    first = Layer.create(*make_map_layer(result, name, SkyGrid.of(result.wcs, result.bins.bin_id.shape)))
    one, two = tmp_path / "one.fits", tmp_path / "two.fits"
    contributions.write_map_layer(str(one), *first.as_layer_data_tuple()[:2])
    opened = Layer.create(*contributions.read_map_layers(str(one))[0])
    opened.name = "mine"
    if name != "FLAG":
        opened.contrast_limits = (0.5, 0.75)
        opened.colormap = "magma"
    opened.save(str(two))
    changed = {"SFHTITLE", "SFHCMAP", "SFHLOW", "SFHHIGH", "CHECKSUM", "DATASUM"}
    with fits.open(one) as before, fits.open(two, checksum=True) as after:
        np.testing.assert_array_equal(after[0].data, before[0].data)
        same = [{k: v for k, v in hdus[0].header.items() if k not in changed} for hdus in (before, after)]
        assert same[0] == same[1]
        assert after[0].header["SFHTITLE"] == "mine"
        if name != "FLAG":
            assert (after[0].header["SFHCMAP"], after[0].header["SFHHIGH"]) == ("magma", 0.75)
        assert [hdu.name for hdu in after] == [hdu.name for hdu in before]
        if len(before) > 1:
            np.testing.assert_array_equal(after[1].data, before[1].data)
    again = Layer.create(*contributions.read_map_layers(str(two))[0])
    np.testing.assert_array_equal(again.data, opened.data)
    np.testing.assert_allclose(again.affine.affine_matrix, opened.affine.affine_matrix)


def test_a_map_of_categories_comes_back_in_their_colours_and_words(result: Result, tmp_path: Path) -> None:
    from napari_sfh._qt.canvas.layer_data import make_map_layer
    from napari_sfh.analysis.gas.line_maps import BPT_COLORS
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    data, attributes, _ = make_map_layer(result, "FLAG", SkyGrid.of(result.wcs, result.bins.bin_id.shape))
    link = attributes["metadata"]["napari_sfh"]
    link.role, link.name = "lines", "BPT"
    data[data == 0] = np.nan  # gas of no class
    path = tmp_path / "bpt.fits"
    contributions.write_map_layer(str(path), data, attributes)
    fits.setval(path, "SFHCMAP", value="of a napari that is closed")
    labels, back, kind = contributions.read_map_layers(str(path))[0]
    assert kind == "labels"
    np.testing.assert_array_equal(labels, np.where(np.isfinite(data), data, -1))
    np.testing.assert_allclose(back["colormap"].map(np.array([1, 2, 3])), ColorArray(list(BPT_COLORS)).rgba, atol=1e-6)
    assert back["colormap"].map(np.array([-1]))[0][3] == 0
    words = {1: "star formation", 2: "composite", 3: "AGN or LINER"}
    assert back["metadata"]["napari_sfh_map"]["classes"] == words
    assert dict(zip(back["features"]["index"], back["features"]["class"])) == {-1: "no value", **words}
    fits.setval(path, "SFHMAP", value="AGE_LW")
    for value in words:
        fits.delval(path, f"SFHCLS{value}")
    _, back, kind = contributions.read_map_layers(str(path))[0]
    assert (kind, back["colormap"].name) == ("image", "gray"), "napari does not know the colours"


def test_an_empty_napari_tells_the_flag_under_the_cursor(
    qtbot: Any, make_viewer: Any, result: Result, tmp_path: Path
) -> None:
    """Without our dock: colours as in the explorer, words in napari's status bar and table of features."""
    from napari_sfh._qt.canvas.layer_data import FLAG_COLORS, list_categories, make_map_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    viewer = make_viewer()
    sky = SkyGrid.of(result.wcs, result.bins.bin_id.shape)
    data, attributes, _ = make_map_layer(result, "FLAG", sky)
    path = tmp_path / "flags.fits"
    contributions.write_map_layer(str(path), data, attributes)
    for earlier in (False, True):
        if earlier:  # no words in the file
            for card in [card for card in fits.getheader(path) if card.startswith("SFHCLS")]:
                fits.delval(path, card)
        (layer,) = viewer.open(str(path), plugin="napari-sfh")
        words = list_categories("FLAG")
        canvas = native_canvas(viewer)
        viewer.reset_view()
        for value in sorted({int(v) for v in np.unique(data[np.isfinite(data)])})[:3]:
            place = np.argwhere(data == value)
            place = place[np.argmin(np.hypot(*(place - place.mean(0)).T))]
            point = screen_point(viewer, layer.data_to_world(place))
            QTest.mouseMove(canvas, point + QPoint(0, 1))
            QTest.mouseMove(canvas, point)
            told = f"{value}; class: {words[value]}"
            qtbot.waitUntil(lambda told=told: told in status_text(viewer))
            shown = ColorArray(layer.colormap.map(np.array([value]))).hex[0]
            assert shown == FLAG_COLORS[value]
        outside = np.argwhere(~np.isfinite(data))
        assert len(outside)
        assert layer.colormap.map(np.array([-1]))[0][3] == 0
        viewer.layers.clear()


def status_text(viewer: Any) -> str:
    """What napari's status bar says."""
    status = viewer.status
    return str(status if isinstance(status, str) else status.get("coordinates", ""))


def test_a_map_in_an_empty_napari_has_north_up(make_viewer: Any, result: Result, tmp_path: Path) -> None:
    from napari_sfh._qt.canvas.layer_data import make_map_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    viewer = make_viewer()
    data, attributes, _ = make_map_layer(result, "AGE_LW", SkyGrid.of(result.wcs, result.bins.bin_id.shape))
    path = str(tmp_path / "age.fits")
    contributions.write_map_layer(path, data, attributes)
    down = ("down", "right")
    for there, orientation in ((True, down), (False, ("up", "left"))):
        viewer.scene.camera.orientation2d = down
        if there:
            viewer.add_image(np.zeros((4, 4)), name="mine")
        viewer.open(path, plugin="napari-sfh")
        assert viewer.scene.camera.orientation2d == orientation
        viewer.layers.clear()


def test_a_renamed_map_keeps_its_unit(result: Result, tmp_path: Path) -> None:
    from napari.layers import Layer

    from napari_sfh._qt.canvas.layer_data import make_map_layer
    from napari_sfh._qt.canvas.legend_overlay import describe_layer
    from napari_sfh.analysis.sky_coordinates import SkyGrid

    sky = SkyGrid.of(result.wcs, result.bins.bin_id.shape)
    for name, unit in (("AGE_LW", "dex(yr)"), ("MASS", "dex(solMass / kpc2)"), ("MH_MW", "dex"), ("V", "km / s")):
        layer = Layer.create(*make_map_layer(result, name, sky))
        told = layer.metadata["napari_sfh"].unit
        layer.name = "mine"
        assert describe_layer(layer).title == f"mine [{told}]"
        layer.name = f"mine [{told}] [1]"  # as napari calls a second layer of a name
        assert describe_layer(layer).title == layer.name
        path = tmp_path / f"{name}.fits"
        data, attributes, _ = layer.as_layer_data_tuple()
        contributions.write_map_layer(str(path), data, attributes)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert CCDData.read(path).unit == u.Unit(unit)
        back = Layer.create(*contributions.read_map_layers(str(path))[0])
        assert back.name == f"mine [1] [{told}]"


def test_a_map_by_age_says_its_ages_and_its_file(result: Result, tmp_path: Path) -> None:
    from napari_sfh._qt.canvas.layer_data import get_layer_link, make_map_layer
    from napari_sfh._qt.canvas.result_layers import LayerStack
    from napari_sfh._qt.session import Session

    viewer, session = ViewerModel(), Session()
    session.set_result(result)
    stack = LayerStack(viewer, session)
    stack.put(make_map_layer(result, "AGE_LW", session.sky))
    get_layer_link(stack.find("map", "AGE_LW").metadata).path = tmp_path / "res.fits"
    stack.show("MASS_YOUNGER")
    viewer.dims.set_current_step(0, 3)
    layer = stack.find("map", "MASS_YOUNGER")
    assert layer.name.endswith(maps.format_age_range("MASS_YOUNGER", 3))
    data, attributes, _ = layer.as_layer_data_tuple()
    contributions.write_map_layer(str(tmp_path / "age.fits"), data, attributes)
    with fits.open(tmp_path / "age.fits") as hdus:
        assert hdus[0].header["SFHTITLE"] == maps.MAPS["MASS_YOUNGER"].title
        assert hdus[0].header["SFHFILE"] == str(tmp_path / "res.fits"), "also of a map that was shown later"
        assert hdus[0].data.shape[0] == len(hdus["AGE_BINS"].data)
        np.testing.assert_allclose(hdus["AGE_BINS"].data["AGE_HI"], AGE_EDGES_GYR[1:])
        assert (hdus["AGE_BINS"].data["AGE_LO"] == 0).all()
        assert hdus["AGE_BINS"].columns["AGE_HI"].unit == "Gyr"
    (back,) = contributions.read_map_layers(str(tmp_path / "age.fits"))
    assert back[0].shape == data.shape


def test_images_of_a_result_file_have_units_that_astropy_knows(result_file: Path) -> None:
    units = {"AGE_LW": "dex(yr)", "AGE_MW_ERR": "dex", "MH_LW": "dex", "T50": "Gyr"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(result_file) as hdus:
            found = {name: u.Unit(hdus[name].header["BUNIT"]) for name in units}
        read_result(result_file)
    assert found == {name: u.Unit(unit) for name, unit in units.items()}


def test_what_is_no_map_is_refused_and_a_damaged_map_says_so(tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match="no map"):
        contributions.write_map_layer(str(tmp_path / "x.fits"), np.zeros((2, 2)), {"name": "a", "metadata": {}})
    path = tmp_path / "y.fits"
    fits.PrimaryHDU(np.zeros((2, 2)), fits.Header({"SFHROLE": "map"})).writeto(path)
    with pytest.raises(SfhInputError, match=r"y\.fits"):
        contributions.read_map_layers(str(path))


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


def test_the_tests_neither_see_nor_touch_the_preferences_of_the_user() -> None:
    from napari.settings import get_settings

    folder = Path(os.environ["NAPARI_SFH_CONFIG"])
    assert folder.parent == Path(tempfile.gettempdir())
    assert Path(str(get_settings().config_path)).parent == folder
