"""The tool 'HST and contours': mosaics under the maps, contours over them, on the canvas and in pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from smooth_result import make_result
from window_acts import window

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.tools.contour_lines import split_into_segments
from napari_sfh.analysis.colour_image import MapOverlay
from napari_sfh.analysis.maps import make_map_image
from napari_sfh.analysis.regions import RegionTrace
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.colour_image import draw_colour_image
from napari_sfh.io.results import write_result
from napari_sfh.types import Result

#: A star in the mosaics: offset (Dec, RA) in arcsec from the field's centre.
STAR = np.array([1.5, -1.0])


def _mosaic(folder: Path, result: Result, band: str) -> Path:
    """A flat mosaic of 0.04" with one star at `STAR`, north up."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 200.5, "CRPIX2": 200.5})
    header.update(CRVAL1=result.wcs.wcs.crval[0], CRVAL2=result.wcs.wcs.crval[1], EXPTIME=2000.0, FILTER=band)
    header.update(CD1_1=-0.04 / 3600, CD1_2=0.0, CD2_1=0.0, CD2_2=0.04 / 3600, INSTRUME="WFC3", DETECTOR="UVIS")
    header.update(BUNIT="ELECTRONS/S", PHOTFLAM=1e-19, PHOTPLAM=5000.0)
    y, x = np.mgrid[:400, :400]
    data = 1.0 + 0.1 * np.random.default_rng(1).random((400, 400))
    data[np.hypot(y - 199.5 - STAR[0] / 0.04, x - 199.5 + STAR[1] / 0.04) < 2] = 60.0
    path = folder / f"{band.lower()}_sci.fits"
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(path)
    return path


@pytest.fixture
def opened(shown: Any) -> Any:
    """An explorer that shows the result, at rest."""
    return shown


def _rest(qtbot: Any, dock: Any) -> None:
    qtbot.waitUntil(lambda: not (dock.job.running or dock.loading or dock.tools.working), timeout=200_000)


def test_mosaics_lie_under_the_maps_where_the_sky_is(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    tool, layers = opened.tools["composite"], opened.viewer.layers
    tool.form.show.native.click()
    assert "No HST mosaic is given: choose some under Data" in opened.message.text()
    with pytest.raises(SfhInputError, match="No HST mosaic is given"):
        tool.toggle()
    tool.show_mosaics({band: _mosaic(tmp_path, result, band) for band in ("F814W", "F438W")})
    _rest(qtbot, opened)
    layer = tool.layer
    assert layer.multiscale
    assert layers.index(layer) < layers.index(opened.stack.find("bins"))
    y, x = np.nonzero(np.asarray(layer.data[0])[..., 0] > 200)
    place = np.mean([layer.data_to_world(p) for p in zip(y, x)], axis=0)
    np.testing.assert_allclose(place, STAR, atol=0.03)
    assert opened.stack.find("map", "AGE_LW").opacity == 0.5
    assert tool.form.show.text == "Hide HST colours"
    tool.form.opacity.value = 0.3
    opened.show_map("SNR")
    assert opened.stack.find("map", "SNR").opacity == 0.3
    image = np.ones(result.bins.bin_id.shape, np.float32)
    about = {"metadata": {KEY: LayerLink("lines", "HA6562", result)}, **opened.session.sky.transform()}
    opened.stack.show_layer((image, {"name": "Hα", **about}, "image"))
    assert opened.stack.find("lines", "HA6562").opacity == 0.3, "what lies above the mosaics, whatever it is"
    tool.form.opacity.value = 0.4
    assert opened.stack.find("lines", "HA6562").opacity == 0.4
    tool.toggle()
    assert not layer.visible
    assert opened.stack.find("map", "SNR").opacity == opened.stack.find("lines", "HA6562").opacity == 1.0


def test_another_run_keeps_mosaics_contours_and_the_places_that_are_shown(
    opened: Any, qtbot: Any, result: Result, tmp_path: Path
) -> None:
    tool, session = opened.tools["composite"], opened.session
    session.select(6)
    session.toggle_pinned(3)
    session.toggle_compared(9)
    colors = session.list_bin_colors()
    tool.show_mosaics({"F814W": _mosaic(tmp_path, result, "F814W")})
    tool.show_contours("AGE_LW", 3)
    _rest(qtbot, opened)
    mosaics, drawn = tool.layer, opened.stack.find("contours", "AGE_LW")
    # Other weights, the same bins.
    other = make_result(seed=4)
    opened.show_result(other)
    _rest(qtbot, opened)
    assert session.shown == (6, 3, 9)
    assert session.list_bin_colors() == colors
    assert tool.layer == mosaics
    assert tool.layer.metadata[KEY].result is other
    assert opened.stack.find("map", "AGE_LW").opacity == 0.5
    again = opened.stack.find("contours", "AGE_LW")
    assert again not in (None, drawn)
    assert (tool.form.contours.value, again.metadata[KEY].result) == ("AGE_LW", other)
    # Other bins: the same places.
    places = [(result.bins.y[bin_id - 1], result.bins.x[bin_id - 1]) for bin_id in session.shown]
    finer = make_result(n_side=8)
    opened.show_result(finer)
    _rest(qtbot, opened)
    assert session.shown == tuple(int(finer.bins.bin_id[round(y), round(x)]) for y, x in places)


def test_sliders_paint_anew_and_the_picture_is_saved(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    tool = opened.tools["composite"]
    opened.attempt(lambda: tool.save_picture(tmp_path / "no.png"))
    assert "press Show HST colours first" in opened.message.text()
    tool.show_mosaics({"F555W": _mosaic(tmp_path, result, "F555W")})
    _rest(qtbot, opened)
    before = np.asarray(tool.layer.data[0])[..., 0].mean()
    tool.form.brightness.value = 3.0
    qtbot.waitUntil(lambda: np.asarray(tool.layer.data[0])[..., 0].mean() > before + 10, timeout=120_000)
    tool.show_contours("AGE_LW", 3)
    _rest(qtbot, opened)
    assert len(opened.stack.find("contours", "AGE_LW").data) == len(split_into_segments(tool.contour_lines.lines)) > 0
    tool.save_picture(tmp_path / "a.png")
    _rest(qtbot, opened)
    assert (tmp_path / "a.png").stat().st_size > 10_000
    words = tool.form.note.value
    assert words.startswith("LW age: ")
    assert words.endswith(" log yr")
    assert words.count(",") == 2
    layer = opened.stack.find("contours", "AGE_LW")
    assert layer.metadata["unit"] == "log yr"
    assert words == f"LW age: {', '.join(f'{level:.3g}' for level in layer.metadata['levels'])} log yr"
    tool.form.levels.value = 4
    _rest(qtbot, opened)
    assert opened.stack.find("contours", "AGE_LW") is layer, "the layer stays, its lines change"
    assert len(layer.data) == len(split_into_segments(tool.contour_lines.lines)) > 0
    tool.show_contours("none")
    assert opened.stack.find("contours", "AGE_LW") is None
    assert tool.form.note.value == ""


@pytest.mark.painted
def test_the_window_lives_on_when_a_result_replaces_one_with_mosaics(
    opened: Any, qtbot: Any, result: Result, tmp_path: Path
) -> None:
    """What the layers drew is deleted in the canvas' OpenGL context: in the window's own, it would stand still."""
    tool, viewer = opened.tools["composite"], opened.viewer
    tool.show_mosaics({"F555W": _mosaic(tmp_path, result, "F555W")})
    tool.show_contours("AGE_LW", 3)
    _rest(qtbot, opened)
    opened.open_result(write_result(replace(result, name="NGC0001"), tmp_path / "other_sfh.fits"))
    _rest(qtbot, opened)
    assert tool.layer is None

    def grab_screen() -> Any:
        qtbot.wait(300)
        return window(viewer).windowHandle().screen().grabWindow(0).toImage()

    qtbot.waitUntil(lambda: grab_screen() == grab_screen(), timeout=60_000)
    before = grab_screen()
    viewer.scene.camera.zoom *= 1.5
    qtbot.waitUntil(lambda: grab_screen() != before, timeout=20_000)


def test_other_levels_read_no_map_again(
    opened: Any, qtbot: Any, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, read = opened.tools["composite"], []

    def load(progress: Any, cancel: Any, result: Result, name: str, maps_path: Path | None) -> Any:
        read.append(name)
        return tool_tasks.ContourMap(name, make_map_image(result, "AGE_LW"), "log yr", "a file")

    monkeypatch.setattr(tool_tasks, "load_contour_map", load)
    tool.show_contours("HA6562", 3)
    _rest(qtbot, opened)
    for number in (4, 6):
        tool.form.levels.value = number
        assert not opened.busy, "no button is disabled meanwhile"
        assert opened.wait(60)
        assert len(tool.contours.levels) == number
    tool.form.typed_levels.value = "8.545 9.5"
    for _ in range(2):  # Return, then the focus leaves
        tool.form.typed_levels.native.editingFinished.emit()
    assert not opened.busy
    assert opened.wait(60)
    assert tool.contours.levels == (8.545, 9.5)
    assert tool.form.unit.value == "in log yr", "below the field, before one types"
    tool.form.typed_levels.value = "1e-15"
    tool.form.typed_levels.native.editingFinished.emit()
    assert opened.wait(60)
    assert opened.is_error
    assert "none of the levels lies in the map" in opened.message.text()
    for wrong in ("1e-15", "x"):
        for text, is_wrong in ((wrong, True), ("", False)):
            tool.form.typed_levels.value = text
            tool.form.typed_levels.native.editingFinished.emit()
            assert opened.wait(60)
            assert opened.is_error is is_wrong, opened.message.text()
    tool.show_contours("none")
    assert not tool.form.unit.visible
    assert read == ["HA6562"]
    names = tool.form.contours.choices
    assert {"AGE_LW", "HA6562"} <= set(names)
    assert {"LG_AGE", "AGE_LW_GYR", "AGE_MW_GYR"} & set(names) == set(), "maps that the result does not have"


def test_north_is_up_in_the_picture_and_the_map_lies_where_it_is() -> None:
    """The ticks along the axes are right for what lies straight above or beside them."""
    turned = WCS(naxis=2)
    turned.wcs.ctype, turned.wcs.crval, turned.wcs.crpix = ("RA---TAN", "DEC--TAN"), (150.0, 20.0), (60.5, 40.5)
    c, s = np.cos(np.radians(35)), np.sin(np.radians(35))
    turned.wcs.cd = np.array([[-c, s], [s, c]]) * 0.05 / 3600
    image = np.zeros((80, 120, 4), np.uint8)
    image[..., 3] = 255
    image[61:64, 101:104] = 255
    coarse = WCS(turned.to_header())
    coarse.wcs.cd, coarse.wcs.crpix = turned.wcs.cd * 5, (12.5, 8.5)
    values = np.zeros((16, 24))
    values[12, 20] = 1.0
    overlay = MapOverlay(values, np.eye(4)[[0, 1]], (0.0, 1.0), "V (km/s)", 0.4)
    figure = draw_colour_image(image, turned, [], coarse, overlay=overlay)
    axes = figure.axes[0]
    scale = axes.wcs.pixel_scale_matrix
    assert abs(scale[0, 1]) + abs(scale[1, 0]) < 1e-12
    assert scale[0, 0] < 0 < scale[1, 1], "east left, north up"
    for drawn, source, at in ((axes.images[0], turned, (102, 62)), (axes.images[1], coarse, (20, 12))):
        shown = np.asarray(drawn.get_array(), dtype=float)
        y, x = np.nonzero(shown[..., 0] > 200) if shown.ndim == 3 else np.nonzero(shown == 1)
        place = axes.wcs.pixel_to_world(x.mean(), y.mean())
        assert place.separation(source.pixel_to_world(*at)).arcsec < 0.05
    assert axes.images[1].get_alpha() == 0.4
    assert figure.axes[1].get_ylabel() == "V (km/s)"
    figure.draw_without_rendering()
    corners = axes.wcs.world_to_pixel(turned.pixel_to_world([0, 119, 0, 119], [0, 0, 79, 79]))
    (ny, nx) = axes.images[0].get_array().shape[:2]
    assert np.min(corners) > -1
    assert (np.max(corners, axis=1) < [nx, ny]).all()


def test_categories_and_regions_on_the_picture_have_their_words() -> None:
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 12, "CRPIX2": 8, "CDELT1": -1e-4, "CDELT2": 1e-4})
    values = np.full((16, 24), 1.0)
    values[:, 12:] = 3.0
    words = {1: "star formation", 2: "composite", 3: "AGN or LINER"}
    colors = np.repeat(np.eye(4)[:3], 85, axis=0) + np.array([0, 0, 0, 1])
    overlay = MapOverlay(values, colors, (0.5, 3.5), "BPT class", 1.0, words)
    square = np.array([[4.0, 4.0], [4.0, 9.0], [9.0, 9.0], [9.0, 4.0], [4.0, 4.0]])
    region = RegionTrace(square, "#e69f00", "clump")
    image = np.zeros((16, 24, 4), np.uint8)
    figure = draw_colour_image(image, wcs, [], wcs, overlay=overlay, regions=[region])
    (axes,) = figure.axes  # no bar of numbers
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["star formation", "AGN or LINER"], "those that occur"
    for patch, value in zip(legend.get_patches(), (1, 3)):
        assert patch.get_facecolor() == axes.images[1].cmap(axes.images[1].norm(value))
    figure.draw_without_rendering()
    (name,) = [text for text in axes.texts if text.get_text() == "clump"]
    (x, y) = axes.transData.inverted().transform(name.get_transform().transform(name.get_position()))
    scale = axes.images[0].get_array().shape[1] / 24
    assert (x / scale, y / scale) == pytest.approx((6.5, 6.5), abs=0.6)
    assert axes.lines[-1].get_color() == "#e69f00"


def test_the_saved_picture_has_the_map_of_the_canvas(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    tool = opened.tools["composite"]
    tool.show_mosaics({"F555W": _mosaic(tmp_path, result, "F555W")})
    _rest(qtbot, opened)
    opened.show_map("MH_LW")
    found = tool.find_overlay()
    layer = opened.stack.find("map", "MH_LW")
    np.testing.assert_array_equal(found.image, layer.data)
    assert (found.label, found.opacity) == ("LW [M/H] [dex]", 0.5)
    assert found.limits == tuple(layer.contrast_limits)
    layer.visible = False
    assert tool.find_overlay() is None


def test_contours_of_a_line_say_its_unit_in_the_picture(result: Result, tmp_path: Path) -> None:
    drawn = tool_tasks.MapContours("Hα", [[], []], (0.5, 1.25), "10⁻¹⁶ erg s⁻¹ cm⁻² per spaxel", "X_MAPS.fits")
    assert drawn.words == "Hα: 0.5, 1.25 × 10⁻¹⁶ erg s⁻¹ cm⁻² per spaxel"
    image = np.zeros((40, 40, 4), np.uint8)
    figure = draw_colour_image(image, result.wcs, [], result.wcs, "NGC0000", f"Contours of {drawn.words}")
    assert figure.get_supxlabel() == f"Contours of {drawn.words}"


def test_contours_as_pieces() -> None:
    pieces = split_into_segments([np.array([[0.0, 0], [1, 0], [1, 2]]), np.zeros((1, 2))])
    np.testing.assert_array_equal(pieces, [[[0, 0], [1, 0]], [[1, 0], [0, 2]]])
    assert split_into_segments([]).shape == (0, 2, 2)


def test_home_frames_the_maps_not_the_mosaic(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    viewer, tool = opened.viewer, opened.tools["composite"]
    viewer.reset_view()
    camera = viewer.scene.camera
    zoom, center = camera.zoom, camera.center
    tool.show_mosaics({"F555W": _mosaic(tmp_path, result, "F555W")})
    _rest(qtbot, opened)
    wider = np.ptp(viewer.layers.extent.world, axis=0) / np.ptp(opened.stack.find("map", "AGE_LW").extent.world, axis=0)
    assert wider.min() > 1.05
    for visible in (True, False):
        tool.layer.visible = visible
        camera.zoom = 3.0
        viewer.reset_view()
        assert (camera.zoom, camera.center) == (pytest.approx(zoom), pytest.approx(center))
    opened.release()
    viewer.reset_view()
    assert camera.zoom < 0.97 * zoom, "napari's own Home again"
