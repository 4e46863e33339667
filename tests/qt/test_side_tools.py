"""HST under the maps, contours, another answer, pPXF: in a real window, and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QTabBar
from smooth_result import make_result
from window_acts import at_once, bin_world, idle, native_canvas, open_explorer, window

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, format_map_value
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.tools.colour_image import split_into_segments
from napari_sfh._qt.tools.maps import MEANING, NONE
from napari_sfh._qt.widgets.theme import POINTS
from napari_sfh.analysis.colour_image import MapOverlay
from napari_sfh.analysis.comparison import history_comparison, other_results, ppxf_fit
from napari_sfh.analysis.comparison.map_comparison import compare_results
from napari_sfh.analysis.drawing.map_limits import symmetric_limits
from napari_sfh.analysis.maps import MAPS, make_map_image
from napari_sfh.analysis.regions import RegionTrace
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.colour_image import draw_colour_image
from napari_sfh.figures.comparison import draw_comparison_page, draw_history_page
from napari_sfh.io.results import write_result
from napari_sfh.physics.dust import CALZETTI_R_V
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import Flag, Result

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
    assert len(opened.stack.find("contours", "AGE_LW").data) == len(split_into_segments(tool.lines)) > 0
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
    assert len(layer.data) == len(split_into_segments(tool.lines)) > 0
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


@pytest.mark.painted  # a legend is written with the next painting
def test_another_answer_in_map_plot_and_sfh(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    shifted = make_result()
    quantiles = {k: v + np.float32(0.1) if k == "lg_age_lw" else v for k, v in shifted.prediction.quantiles.items()}
    other = replace(shifted, model_name="other", prediction=replace(shifted.prediction, quantiles=quantiles))
    path = write_result(other, tmp_path / "other.fits")
    tool = opened.tools["compare"]
    tool.form.file.line_edit.value = str(path)
    tool.form.load.native.click()
    _rest(qtbot, opened)
    seen = int(np.isfinite(opened.tools["compare"].comparison.difference("lg_age_lw")).sum())
    assert f"{seen} of {result.bins.n_bins} bins" in opened.message.text()
    assert tool.comparison.scatter("lg_age_lw").bias == pytest.approx(-0.1, abs=1e-5)
    tool.form.difference.value = True
    opened.show_map("AGE_MW")
    _rest(qtbot, opened)
    assert opened.stack.find("map", "AGE_MW").visible, "what is asked for later wins"
    tool.form.difference.value = True
    _rest(qtbot, opened)
    assert tool.layer.colormap.name == "RdBu_r"
    assert opened.tools.describe(3).startswith("LW age")
    assert opened.tools.describe(3).endswith("−0.10 dex")
    low, high = tool.layer.contrast_limits
    assert low == -high
    np.testing.assert_allclose(np.nanmedian(tool.layer.data), -0.1, atol=1e-5)
    assert not opened.stack.find("map", "AGE_LW").visible
    assert opened.map.quantity.value == "", "no map is on the canvas"
    assert opened.map.quantity.native.currentText() == "LW age: test − other (other.fits)", "the menu names what is"
    opened.show_map("AGE_MW")
    assert not tool.layer.visible
    assert opened.map.quantity.native.itemText(0) == NONE
    assert not tool.form.difference.value
    assert opened.stack.find("map", "AGE_MW").visible
    tool.form.difference.value = True
    _rest(qtbot, opened)
    opened.show_map("AGE_MW")
    assert opened.stack.find("map", "AGE_MW").visible, "also when it was chosen already"
    tool.form.difference.value = True
    _rest(qtbot, opened)
    tool.layer.visible = False
    assert not tool.form.difference.value, "the box follows the eye in the list of layers"
    opened.show_map("AGE_MW")
    opened.session.select(5)
    qtbot.waitUntil(lambda: "bin 5" in tool.legend.text(), timeout=120_000)
    assert "other" in tool.legend.text()
    for act, name in ((tool.save_figure, "c.pdf"), (tool.save_table, "c.ecsv"), (tool.save_bin, "b.ecsv")):
        act(tmp_path / name)
        _rest(qtbot, opened)
        assert (tmp_path / name).stat().st_size > 500


def test_another_run_is_compared_with_the_same_answer(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    path = write_result(make_result(seed=9), tmp_path / "other.fits")
    tool = opened.tools["compare"]
    tool.load(path)
    _rest(qtbot, opened)
    tool.show_mean("MH_LW")
    finer = make_result(n_side=8)
    opened.show_result(finer)
    _rest(qtbot, opened)
    assert tool.comparison.result is finer
    assert (tool.source, tool.form.mean.value) == (path, "MH_LW")
    assert int(tool.comparison.find_compared().sum()) > result.bins.n_bins, "matched on the sky"
    path.unlink()
    opened.show_result(result)
    _rest(qtbot, opened)
    assert tool.comparison is None
    assert path.name in opened.message.text(), "why it is not compared"


@pytest.mark.painted
def test_numbers_stay_in_sight_beside_long_names_and_go_with_their_galaxy(
    qtbot: Any, make_viewer: Any, result: Result, tmp_path: Path
) -> None:
    dock = open_explorer(make_viewer(1280, 800))
    dock.show_result(result)
    idle(dock)
    dock.session.select(5)
    path = write_result(result, tmp_path / "NGC0628_second_run_with_wide_weights_and_target_snr_of_60_sfh.fits")
    tool = dock.tools["compare"]
    tool.form.file.line_edit.value = str(path)
    QTest.mouseClick(tool.form.load.native, Qt.MouseButton.LeftButton)
    _rest(qtbot, dock)
    qtbot.waitUntil(lambda: "bin 5" in tool.legend.text(), timeout=120_000)
    assert "E(B−V)" in tool.legend.text()
    needed = tool.legend.heightForWidth(tool.legend.width())
    qtbot.waitUntil(lambda: tool.legend.height() >= needed)  # once the window has found its places
    document = QTextDocument()
    font = tool.legend.font()
    font.setPointSize(POINTS)
    document.setDefaultFont(font)
    document.setHtml(tool.legend.text()[tool.legend.text().index("<table") :])
    assert document.idealWidth() <= tool.legend.contentsRect().width()
    assert path.name in tool.legend.toolTip()
    assert path.name in tool.plot.plot.toolTip()
    tabs = [bar.tabText(k) for bar in dock.window().findChildren(QTabBar) for k in range(bar.count())]
    assert "Comparison" in tabs
    dock.show_result(replace(make_result(seed=7), name="another"))
    idle(dock)
    tabs = [
        bar.tabText(k) for bar in dock.window().findChildren(QTabBar) if bar.isVisible() for k in range(bar.count())
    ]
    assert "Comparison" not in tabs, "it was of the galaxy before"
    assert not tool.dock.isVisible()
    tool.load(path)
    _rest(qtbot, dock)
    assert tool.dock.isVisible()


def test_a_file_that_is_no_answer_is_told(opened: Any, qtbot: Any, tmp_path: Path) -> None:
    tool = opened.tools["compare"]
    tool.form.load.native.click()
    assert "no file is chosen" in opened.message.text()
    bad = tmp_path / "x.fits"
    bad.write_bytes(b"nothing")
    tool.load(bad)
    _rest(qtbot, opened)
    assert "nothing to compare with; give a result" in opened.message.text()
    assert not tool.form.truth.visible  # not the mock


def _fit(result: Result, bin_id: int) -> ppxf_fit.PpxfFit:
    row, prediction = bin_id - 1, result.prediction
    means = {k: float(prediction.median(k)[row]) for k in MEAN_NAMES}
    parts = [np.asarray(getattr(prediction, k)[row], float) for k in ("mass_frac", "light_frac", "mh")]
    return ppxf_fit.PpxfFit(
        bin_id, *parts, means, 0.1, 0.0, 50.0, 1.0, result.model_flux[row].astype(float), np.ones(5), 1.0
    )


@pytest.mark.usefixtures("default_weights")
def test_ppxf_is_drawn_beside_the_network(
    opened: Any, qtbot: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppxf_fit, "run_in_process", at_once(_fit(result, 4)))
    tool = opened.tools["ppxf"]
    opened.session.select(0)
    tool.form.fit.native.click()
    assert "no bin is selected; click one" in opened.message.text()
    opened.session.select(4)
    tool.form.fit.native.click()
    _rest(qtbot, opened)
    assert "pPXF on bin 4" in opened.message.text()
    assert "pPXF" in tool.legend.text()
    for act, name in ((tool.save_figure, "p.svg"), (tool.save_table, "p.ecsv")):
        act(tmp_path / name)
        _rest(qtbot, opened)
        assert (tmp_path / name).is_file()
    # What is saved is what is drawn: of a bin that was not fitted, the network's answer alone.
    opened.session.select(5)
    tool.dock.seen.emit()
    assert "has not fitted it yet" in tool.legend.text()
    tool.save_table(tmp_path / "network.ecsv")
    _rest(qtbot, opened)
    saved = Table.read(tmp_path / "network.ecsv")
    assert (saved.meta["BIN_ID"], len(set(saved["ANSWER"]))) == (5, 1)
    # A workspace brings the fits back, and the plots are those of the selected bin.
    tool.restore({**tool.state(), "bin": 4})
    assert tool.shown == 5
    assert "bin 5" in tool.legend.text()
    opened.show_result(make_result(seed=7))
    _rest(qtbot, opened)
    assert tool.fits == {}
    assert not tool.figure_button.enabled


def test_without_ppxf_the_remedy_is_shown(opened: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_sfh._qt.jobs.tool_tasks.is_ppxf_installed", lambda: False)
    opened.session.select(2)
    opened.tools["ppxf"].fit()
    _rest(qtbot, opened)
    assert "pip install ppxf" in opened.message.text()


def test_limits_flags_and_one_cursor_in_four_maps(opened: Any, qtbot: Any, result: Result) -> None:
    form, stack = opened.map, opened.stack
    shared = stack.find("map", "AGE_LW").contrast_limits
    form.limits.value = "full"
    own = np.asarray(stack.find("map", "AGE_LW").data)
    assert stack.find("map", "AGE_LW").contrast_limits == pytest.approx([np.nanmin(own), np.nanmax(own)])
    form.limits.value = "shared"
    assert stack.find("map", "AGE_LW").contrast_limits == pytest.approx(shared)
    form.flags.value = int(Flag.OUT_OF_DEPTH)
    assert np.isnan(stack.find("map", "AGE_LW").data[result.bins.bin_id == result.bins.n_bins]).all()
    form.grid.value = True
    _rest(qtbot, opened)
    place = bin_world(opened.session, 6)
    stack.mark(place)
    cross = stack.marks.overlay.vertices[-4:]
    np.testing.assert_allclose(cross.mean(0), place, atol=1e-5)
    canvas = native_canvas(opened.viewer)
    for step in (0, 2):  # a cell is a quarter of the canvas
        QTest.mouseMove(canvas, QPoint(canvas.width() // 4 + step, canvas.height() // 4))
        QApplication.processEvents()
    read_out = opened.viewer.canvas.overlays["sfh_radec"].text
    bin_id = int(read_out.split("bin ")[1].split(":")[0])
    for name in ("AGE_LW", "AGE_MW", "MH_LW", "MH_MW"):
        number = format_map_value(result, name, bin_id).removeprefix(MAPS[name].title).removesuffix(MAPS[name].unit)
        assert "±" in number
        assert number.strip().replace("-", "−") in read_out, "as over one map"
    assert max(map(len, read_out.splitlines())) < 90, "it ends before the scale bar of a canvas of 900 pixels"
    form.grid.value = False
    _rest(qtbot, opened)
    outline = len(stack.marks.overlay.vertices)
    stack.mark(place)
    assert len(stack.marks.overlay.vertices) == outline, "one map has the cursor itself: no cross"


def test_figures_of_comparisons(result: Result) -> None:
    comparison = compare_results(result, other_results.other_result_from_run(result))
    figure = draw_comparison_page(comparison, result.data.snr > 30)
    assert sum(ax.get_title().startswith("median difference") for ax in figure.axes) == 5  # the four means and E(B-V)
    both = [history_comparison.history_from_network(result, 3), history_comparison.history_from_ppxf(_fit(result, 3))]
    assert draw_history_page(result, 3, both).axes
    rows = dict(history_comparison.list_history_means(both))
    assert rows["LW age (log yr)"][0].startswith(rows["LW age (log yr)"][1])
    ebv = result.prediction.median("ebv")[2], result.prediction.half_width("ebv")[2]
    assert rows["E(B−V) (mag)"] == ["{:.2f} ± {:.2f}".format(*ebv), f"{_fit(result, 3).a_v / CALZETTI_R_V:.2f}"]
    made = history_comparison.build_history_table([*both, history_comparison.history_from_comparison(comparison, 3)], 3)
    assert len(made) == 48
    np.testing.assert_allclose(made["MASS_FRAC"][:16], made["MASS_FRAC"][32:])


def test_symmetric_limits_hold_the_bulk() -> None:
    values = np.concatenate([np.linspace(-1, 0.5, 1000), [50.0, np.nan]])
    low, high = symmetric_limits(values)
    assert low == -high
    assert 0.9 < high < 1.01
    assert symmetric_limits(np.array([np.nan])) == (-0.5, 0.5)


def test_contours_as_pieces() -> None:
    pieces = split_into_segments([np.array([[0.0, 0], [1, 0], [1, 2]]), np.zeros((1, 2))])
    np.testing.assert_array_equal(pieces, [[[0, 0], [1, 0]], [[1, 0], [0, 2]]])
    assert split_into_segments([]).shape == (0, 2, 2)


def test_tips_say_what_the_maps_are(opened: Any) -> None:
    quantity = opened.map.quantity
    opened.show_map("MH_MW")
    assert quantity.tooltip.startswith("Mean [M/H] (dex, solar Z = 0.019), weighted by the mass formed. Alt+1")
    native = quantity.native
    tips = [native.itemData(k, Qt.ItemDataRole.ToolTipRole) for k in range(native.count())]
    assert len(set(tips)) == native.count() == len(quantity.choices)
    # Maps between two ages are added by those who ask for them, here perhaps by a test before.
    assert {name for name in quantity.choices if "_AGES_" not in name} <= set(MEANING)
    assert all(tips)


@pytest.mark.usefixtures("default_weights")
def test_docks_follow_the_theme_until_they_end(
    opened: Any, qtbot: Any, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppxf_fit, "run_in_process", at_once(_fit(result, 4)))
    tool, theme = opened.tools["ppxf"], opened.viewer.events.theme
    opened.session.select(4)
    before = len(theme.callbacks)
    tool.fit()
    _rest(qtbot, opened)
    assert len(theme.callbacks) == before + 1
    opened.viewer.theme = "light"
    assert tool.plots.backgroundBrush().color().lightness() > 128
    tool.release()
    assert len(theme.callbacks) == before


def test_layers_of_others_survive_the_end(opened: Any, result: Result) -> None:
    opened.viewer.add_image(np.ones((4, 4)), name="mine", metadata={KEY: LayerLink("composite", "", result)})
    opened.tools["composite"].on_result(result)
    assert "mine" in opened.viewer.layers
    opened.release()
    opened.viewer.layers.remove("mine")


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
