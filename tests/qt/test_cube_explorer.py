"""A cube before any run, with real mouse events: spectra under the cursor and in apertures, images over ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from io_mocks import write_cube
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton
from window_acts import drag, native_canvas, open_explorer, screen_point, send_mouse

from napari_sfh._qt.canvas.layer_data import get_layer_link
from napari_sfh._qt.plots.plot_items import pg
from napari_sfh.analysis.drawing.bin_drawing import LINES_AA
from napari_sfh.errors import SfhInputError

N, NY, NX = 240, 24, 30
WAVE = 4749.88 + 1.25 * np.arange(N)
LINE_AA = 4900.0


def make_flux() -> np.ndarray:
    """A sloping continuum that differs from spaxel to spaxel, and a line that only the left half has."""
    y, x = np.mgrid[:NY, :NX]
    flux = (100.0 + y + 2.0 * x) * (1 + 1e-3 * (WAVE - 4750))[:, None, None]
    flux += np.where(x < NX / 2, 80.0, 0.0) * np.exp(-0.5 * ((WAVE - LINE_AA) / 2) ** 2)[:, None, None]
    return flux.astype(np.float32)


@pytest.fixture
def cube_file(tmp_path: Path) -> Path:
    return write_cube(tmp_path / "NGC0628_DATACUBE.fits", make_flux())


@pytest.fixture
def explored(qtbot: Any, make_viewer: Any, cube_file: Path) -> Any:
    """A viewer whose explorer has opened a cube, its explorer and the tool."""
    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.open(cube_file)
    assert dock.wait(120)
    return viewer, dock, dock.tools["cube"]


def canvas_point(viewer: Any, dock: Any, y: float, x: float) -> QPoint:
    return screen_point(viewer, dock.session.sky.to_world(np.array([[y, x]]))[0])


def plot_point(tool: Any, wave_aa: float) -> QPoint:
    """Where a wavelength lies in the plot, half way up."""
    box = tool.plot.box
    area = box.sceneBoundingRect()
    (first, last), _ = box.viewRange()
    return tool.plot.mapFromScene(
        area.left() + (wave_aa - first) / (last - first) * area.width(), area.top() + 0.6 * area.height()
    )


def press(tool: Any, words: str) -> None:
    """Click the button of the tool's dock whose text begins with words."""
    (button,) = (each for each in tool.dock.findChildren(QPushButton) if each.text().startswith(words))
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def mark_range(tool: Any, low: float, high: float, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """A drag in the spectrum."""

    ends = plot_point(tool, low), plot_point(tool, high)
    viewport = tool.plot.viewport()
    send_mouse(viewport, "MouseButtonPress", ends[0], modifier)
    for share in (0.3, 0.6, 1.0):
        QTest.qWait(15)  # pyqtgraph hears a hundred moves a second
        send_mouse(viewport, "MouseMove", ends[0] + (ends[1] - ends[0]) * share, modifier)
    QTest.qWait(15)
    send_mouse(viewport, "MouseButtonRelease", ends[1], modifier)


def test_the_spectrum_under_the_cursor_and_of_a_dragged_circle(qtbot: Any, explored: Any, tmp_path: Path) -> None:
    viewer, dock, tool = explored
    flux = make_flux()
    assert not tool.dock.visibleRegion().isEmpty()
    QTest.mouseMove(native_canvas(viewer), canvas_point(viewer, dock, 5, 12))
    qtbot.waitUntil(lambda: "cursor" in tool.plot.list_columns())
    np.testing.assert_allclose(tool.plot.list_columns()["cursor"], flux[:, 5, 12], rtol=1e-5)
    overlay = viewer.canvas.overlays["sfh_radec"]
    assert overlay.visible
    assert overlay.text.startswith("01h36m41")
    assert "x 13, y 6" in overlay.text
    # a circle from its centre outwards, with the Control key
    centre = tuple(viewer.scene.camera.center)
    ends = [canvas_point(viewer, dock, 12, 15), canvas_point(viewer, dock, 12, 18.4)]
    drag(native_canvas(viewer), ends, modifier=Qt.KeyboardModifier.ControlModifier)
    assert dock.wait(120)
    assert tuple(viewer.scene.camera.center) == centre, "the map stays where it is"
    y, x = np.mgrid[:NY, :NX]
    inside = np.hypot(y - 12, x - 15) < 3.4
    np.testing.assert_allclose(tool.plot.list_columns()["aperture_1"], flux[:, inside].mean(axis=1), rtol=2e-3)
    # another one with Shift; the sum
    ends = [canvas_point(viewer, dock, 5, 5), canvas_point(viewer, dock, 5, 7.4)]
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    drag(native_canvas(viewer), ends, modifier=both)
    tool.form.statistic.value = "sum"
    assert dock.wait(120)
    inside = np.hypot(y - 5, x - 5) < 2.4
    np.testing.assert_allclose(tool.plot.list_columns()["aperture_2"], flux[:, inside].sum(axis=1), rtol=2e-3)
    width = max(NY, NX) / 200
    assert viewer.layers["cube apertures"].edge_width == pytest.approx([width, width]), "thin, on a small field too"
    tool.save_spectra(tmp_path / "spectra.ecsv")
    dock.finish(20)
    table = QTable.read(tmp_path / "spectra.ecsv")
    told = table["aperture_2"].info.description
    assert f"sum of {inside.sum()} spaxels" in told
    assert "01h36m4" in told
    assert "the spaxel at 01h36m4" in table["cursor"].info.description

    # the named lines follow the redshift of the form
    def find_lines() -> list[float]:
        items = tool.plot.plot.items
        return [item.value() for item in items if isinstance(item, pg.InfiniteLine) and item.isVisible()]

    of_cube = find_lines()
    dock.data.redshift.value = "0.01"
    assert {1.01 * wave for _, wave in LINES_AA} <= set(find_lines())
    dock.data.redshift.value = ""
    assert find_lines() == of_cube
    # without the key a drag moves the map, and no aperture comes
    drag(native_canvas(viewer), ends)
    assert tuple(viewer.scene.camera.center) != centre
    assert len(tool.apertures.list_shapes()) == 2


def test_a_box_drawn_with_naparis_own_tool(qtbot: Any, explored: Any) -> None:
    viewer, dock, tool = explored
    tool.form.shape.value = "box"
    tool.form.draw.native.click()
    drag(native_canvas(viewer), [canvas_point(viewer, dock, 3.5, 4.5), canvas_point(viewer, dock, 9.5, 11.5)])
    QTest.qWait(20)
    assert dock.wait(120)
    expected = make_flux()[:, 4:10, 5:12].mean(axis=(1, 2))
    np.testing.assert_allclose(tool.plot.list_columns()["aperture_1"], expected, rtol=2e-3)
    assert str(viewer.layers["cube apertures"].mode) == "pan_zoom"
    viewer.layers.remove("cube apertures")
    tool.add_aperture()
    assert tool.apertures.list_shapes() == []


def test_a_range_dragged_in_the_spectrum_is_an_image_and_with_continuum_a_line(
    qtbot: Any, explored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, dock, tool = explored
    mark_range(tool, LINE_AA - 10, LINE_AA + 10)
    assert dock.wait(120)
    layer = dock.stack.find("channels", "")
    assert layer.visible
    assert viewer.layers.index(layer) == 1, "above the white light"
    low, high = tool.image.range_aa
    assert (low, high) == pytest.approx((LINE_AA - 10, LINE_AA + 10), abs=2.5)
    channels = (low < WAVE) & (high > WAVE)
    np.testing.assert_allclose(tool.image.values, 1e-20 * make_flux()[channels].mean(axis=0), rtol=1e-4)
    shift = Qt.KeyboardModifier.ShiftModifier
    mark_range(tool, LINE_AA - 60, LINE_AA - 30, shift)
    mark_range(tool, LINE_AA + 30, LINE_AA + 60, shift)
    assert dock.wait(120)
    assert set(tool.plot.ranges) == {"range", "left", "right"}
    assert tool.image.is_line
    line = 80 * 2 * np.sqrt(2 * np.pi) * 1e-20
    np.testing.assert_allclose(tool.image.values[:, : NX // 2], line, rtol=2e-3)
    np.testing.assert_allclose(tool.image.values[:, NX // 2 :] / line, 0, atol=2e-3)
    # typed, kept, saved
    tool.form.right.value = ""
    assert dock.wait(120)
    assert set(tool.plot.ranges) == {"range", "left"}
    press(tool, "Keep image")
    assert [get_layer_link(layer.metadata).name for layer in viewer.layers if layer.visible] == ["", "kept 1"]
    for words, name, offered in (("Image", "line.fits", "_image.fits"), ("Spectra", "spectra.ecsv", "_spectra.ecsv")):
        asked: list[str] = []

        def dialog(*_: Any, start_path: Any, name: str = name, asked: list[str] = asked, **__: Any) -> Path:
            asked.append(str(start_path))
            return tmp_path / name

        monkeypatch.setattr("napari_sfh._qt.exports.show_file_dialog", dialog)
        press(tool, words)
        dock.finish(120)
        assert [Path(each).name for each in asked] == [f"NGC0628{offered}"]
    with fits.open(tmp_path / "line.fits") as hdus:
        assert hdus[0].header["CONTSUB"]
        assert hdus[0].header["CTYPE1"] == "RA---TAN"
        np.testing.assert_array_equal(hdus[0].data, tool.image.values)
    table = QTable.read(tmp_path / "spectra.ecsv")
    assert table["wavelength_aa"][0].to_value("AA") == pytest.approx(WAVE[0], rel=1e-4)
    assert "air" in table["wavelength_aa"].info.description
    tool.form.clear.native.click()
    assert dock.wait(120)
    assert dock.stack.find("channels", "") is None


def test_a_range_that_is_none_is_said_and_the_image_stays(explored: Any) -> None:
    _, dock, tool = explored
    tool.set_ranges(range=(4800.0, 4850.0))
    dock.finish(20)
    tool.set_ranges(range=(9000.0, 9100.0))
    assert dock.wait(20)
    assert "outside" in dock.message.text()
    assert dock.stack.find("channels", "") is None, "no image of other wavelengths beside these fields"
    tool.set_ranges(range=(4800.0, 4850.0))
    assert dock.wait(20)
    tool.form.range.value = "4800"
    assert "Image over" in dock.message.text()
    assert tool.image is not None
    with pytest.raises(SfhInputError, match="4800"):
        tool.form.read_ranges()
    # One that is typed counts when it is whole.
    line = tool.form.range.native
    line.selectAll()
    QTest.keyClicks(line, "4820-48")
    assert tool.plot.ranges == {"range": (4800.0, 4850.0)}
    QTest.keyClicks(line, "60")
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert tool.plot.ranges == {"range": (4820.0, 4860.0)}
    assert not dock.is_error
    assert dock.wait(20)


def test_a_workspace_keeps_apertures_and_ranges(explored: Any, tmp_path: Path, cube_file: Path) -> None:
    _, dock, tool = explored
    tool.set_ranges(range=(4880.0, 4920.0), left=(4800.0, 4850.0))
    tool.apertures.put_circle(np.array([10.0, 11.0]), 3.0)
    dock.save_workspace(tmp_path / "work.json")
    dock.finish(120)
    kept = tool.plot.list_columns()["aperture_1"]
    dock.open_demo()
    dock.finish(120)
    assert tool.opened.cube.path != cube_file
    assert tool.apertures.list_shapes() == []
    assert tool.plot.ranges == {}
    dock.open(tmp_path / "work.json")
    dock.finish(120)
    assert tool.opened.cube.path == cube_file
    assert tool.plot.ranges == {"range": (4880.0, 4920.0), "left": (4800.0, 4850.0)}
    np.testing.assert_allclose(tool.plot.list_columns()["aperture_1"], kept)
    assert tool.image.is_line


def test_a_result_of_another_cube_ends_the_exploration(explored: Any, result: Any) -> None:
    _, dock, tool = explored
    tool.set_ranges(range=(4880.0, 4920.0))
    dock.finish(120)
    dock.show_result(result)
    assert dock.wait(120)
    assert tool.opened is None
    assert dock.stack.find("channels", "") is None
    assert dock.stack.current == "AGE_LW"
