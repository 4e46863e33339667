"""Maps that napari saves as FITS: opened again they have place, unit, colours and words."""

from __future__ import annotations

import warnings
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
from vispy.color import ColorArray
from window_acts import native_canvas, screen_point

from napari_sfh._qt import contributions
from napari_sfh.analysis import maps
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.types import Result

pytestmark = pytest.mark.usefixtures("discovered")


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
