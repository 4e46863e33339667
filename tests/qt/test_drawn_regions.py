"""Regions that a mouse draws in a real window: their kinds, names and colours, and what becomes of them in files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from smooth_result import move_field
from vispy.color import ColorArray
from window_acts import drag, native_canvas, screen_point

from napari_sfh._qt.canvas.region_layer import LAYER_NAME
from napari_sfh._qt.session import PLOT_REGION
from napari_sfh._qt.tools.region import describe_found, join_names, split_names
from napari_sfh.analysis.regions import Outline, find_bins_in_outlines
from napari_sfh.types import Result


@pytest.fixture
def dock(shown: Any) -> Any:
    return shown


def draw(qtbot: Any, dock: Any, shape: str, centre: tuple[float, float], half: tuple[float, float], add: bool) -> None:
    """Drag a shape's box; centre and half sides (Dec, RA) in arcsec."""
    tool = dock.tools["region"]
    tool.form.shape.value = shape
    before = len(tool.region.outlines()) if add else 0
    (tool.form.add if add else tool.form.draw).native.click()
    assert dock.wait(120)
    ends = [np.array(centre) + sign * np.array(half) for sign in (-1, 1)]
    drag(native_canvas(dock.viewer), [screen_point(dock.viewer, end) for end in ends])
    shown = 1 if add and not tool.form.each.value else before + 1
    qtbot.waitUntil(lambda: len(tool.region.outlines()) == before + 1, timeout=120_000)
    qtbot.waitUntil(lambda: len(drawn_regions(dock)) == shown, timeout=120_000)


def drawn_regions(dock: Any) -> list[Any]:
    return [region for region in dock.session.regions if region.name != PLOT_REGION]


def color_on_map(dock: Any, place: int) -> Any:
    return dock.viewer.layers[LAYER_NAME].edge_color[place]


def assert_one_color_each(dock: Any, names: list[str]) -> None:
    """On the map and in the legend, which the plots follow."""
    legend = dock.panel.legend.text()
    for place, name in enumerate(names):
        color = dock.session.find_region_color(name)
        assert f'color:{color}">■</span> {name}' in legend
        assert np.allclose(color_on_map(dock, place), ColorArray(color).rgba[0], atol=1e-3)
        words = dock.viewer.layers[LAYER_NAME].text.color.array
        assert np.allclose(words[place], ColorArray(color).rgba[0], atol=1e-3), "its name has the outline's colour"


def assert_outlined(dock: Any, names: list[str]) -> None:
    """The canvas outlines and names each region in its colour, and only while their layer is shown."""
    marks, layer = dock.stack.marks, dock.viewer.layers[LAYER_NAME]
    before = len(marks.overlay.vertices)
    assert [region.name for region in marks.regions] == [name.text for name in marks.overlay.names] == names
    assert [region.color for region in marks.regions] == [dock.session.find_region_color(name) for name in names]
    for region, outline in zip(marks.regions, dock.tools["region"].region.outlines()):
        assert np.allclose(region.path[:-1], outline.points)
        assert np.array_equal(region.path[0], region.path[-1])
    layer.visible = False
    assert not marks.regions
    assert len(marks.overlay.vertices) < before
    layer.visible = True
    assert len(marks.overlay.vertices) == before


def test_a_layer_of_regions_that_the_user_deletes_takes_them_along(qtbot: Any, dock: Any) -> None:
    tool = dock.tools["region"]
    draw(qtbot, dock, "box", (0.0, 0.0), (1.5, 2.5), add=False)
    assert dock.stack.marks.regions
    dock.viewer.layers.remove(LAYER_NAME)
    assert not dock.stack.marks.regions
    assert not drawn_regions(dock)
    draw(qtbot, dock, "box", (0.0, 0.0), (1.5, 2.5), add=False)
    assert len(drawn_regions(dock)) == 1
    tool.clear()


def test_four_maps_have_the_outlines_of_the_regions(qtbot: Any, dock: Any) -> None:
    draw(qtbot, dock, "box", (0.0, 0.0), (1.5, 2.5), add=False)
    marks, layer = dock.stack.marks, dock.viewer.layers[LAYER_NAME]
    (region,) = marks.regions
    drawn = len(marks.overlay.vertices)
    for _ in range(2):  # there and back
        QTest.keyClick(native_canvas(dock.viewer), Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
        assert dock.wait(60)
        assert [each.color for each in marks.regions] == [region.color]
        assert len(marks.overlay.vertices) == drawn
    layer.visible = False
    QTest.keyClick(native_canvas(dock.viewer), Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
    assert dock.wait(60)
    assert dock.stack.display.is_grid
    assert not marks.regions, "who has closed its eye does not want to see it"


def test_shapes_keep_kind_name_and_color(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    tool, session = dock.tools["region"], dock.session
    tool.form.each.value = True
    tool.form.names.value = "nucleus, HII knot"
    draw(qtbot, dock, "ellipse", (0.0, 0.0), (1.5, 2.5), add=False)
    session.set_plot_region(np.arange(3))
    draw(qtbot, dock, "box", (2.0, -1.5), (1.4, 1.6), add=True)
    assert [region.name for region in session.regions] == ["nucleus", "HII knot", PLOT_REGION]
    assert_one_color_each(dock, ["nucleus", "HII knot"])
    assert dock.message.text() == describe_found({r.name: r.rows.size for r in drawn_regions(dock)})
    session.select(5)
    bin_color = session.list_bin_colors()[5]
    assert f'color:{bin_color}">■</span> 5' in dock.panel.legend.text()
    assert bin_color in session.outlines()[1]

    assert_outlined(dock, ["nucleus", "HII knot"])
    tool.save(tmp_path / "own.reg")
    lines = (tmp_path / "own.reg").read_text().splitlines()[1:]
    assert [line.split("(")[0].removeprefix("icrs;") for line in lines] == ["ellipse", "box"]
    assert ["text={nucleus}" in lines[0], "text={HII knot}" in lines[1]] == [True, True]
    inside = [region.rows.tolist() for region in drawn_regions(dock)]
    kept = tool.state()
    tool.clear()
    assert tool.form.names.value == "", "names go with their shapes"
    tool.restore(kept)
    assert [o.kind for o in tool.region.outlines()] == ["ellipse", "box"]
    assert_one_color_each(dock, ["nucleus", "HII knot"])
    tool.open(tmp_path / "own.reg")
    assert [o.kind for o in tool.region.outlines()] == ["ellipse", "box"]
    assert [region.name for region in drawn_regions(dock)] == ["nucleus", "HII knot"]
    assert [region.rows.tolist() for region in drawn_regions(dock)] == inside


def test_names_come_with_a_file_and_go_with_a_shape(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    tool, session = dock.tools["region"], dock.session
    tool.form.each.value = True
    tool.form.names.value = "old, older"
    draw(qtbot, dock, "box", (0.0, 0.0), (1.5, 2.5), add=False)
    path = tmp_path / "three.reg"
    path.write_text("image\nbox(15,15,14,14,0) # text={bar}\ncircle(28,28,7) # text={knot}\n-circle(5,5,2)\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        tool.open(path)
    assert [region.name for region in session.regions] == ["bar", "knot"]
    assert tool.form.names.value == "bar, knot"
    assert_one_color_each(dock, ["bar", "knot"])
    layer = dock.viewer.layers[LAYER_NAME]
    layer.selected_data = {0}
    layer.remove_selected()
    qtbot.waitUntil(lambda: len(session.regions) == 1, timeout=120_000)
    assert session.regions[0].name == "knot"
    assert tool.form.names.value == "knot"
    expected = find_bins_in_outlines(result, tool.region.outlines())
    assert list(session.regions[0].rows) == list(expected)
    path.write_text("image\nbox(15,15,14,14,0)\n")
    tool.open(path)
    assert [region.name for region in session.regions] == ["A"], "of names of former shapes nothing stays"
    tool.save(path)
    assert "box(" in path.read_text()
    assert "text={A}" in path.read_text()


def test_equal_and_missing_names_are_told_apart(dock: Any, tmp_path: Path) -> None:
    tool = dock.tools["region"]
    path = tmp_path / "three.reg"
    path.write_text("image\nbox(15,15,14,14,0) # text={B}\nbox(28,28,14,14,0)\nbox(20,20,14,14,0) # text={B}\n")
    tool.form.each.value = True
    tool.open(path)
    assert [region.name for region in dock.session.regions] == ["B", "B 2", "B 3"]
    tool.form.names.value = ", arm"
    assert [region.name for region in dock.session.regions] == ["A", "arm", "C"]


def test_a_name_that_is_typed_counts_when_the_keys_rest(qtbot: Any, dock: Any) -> None:
    tool, drawn = dock.tools["region"], []
    dock.sections["region"].expand(True)
    tool.form.each.value = True
    tool.region.set_outlines([Outline(np.array([[10.0, 10.0], [10.0, 25.0], [25.0, 25.0], [25.0, 10.0]]))])
    dock.session.selection_changed.connect(drawn.append)
    field = tool.form.names.native
    QApplication.processEvents()
    field.setFocus()
    QTest.keyClicks(field, "north arm")
    assert (field.text(), drawn) == ("north arm", []), "nine letters, and no plots drawn nine times"
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert [region.name for region in drawn_regions(dock)] == ["north arm"]
    QTest.keyClicks(field, "s")
    assert tool.working
    qtbot.waitUntil(lambda: not tool.working, timeout=20_000)
    assert [region.name for region in drawn_regions(dock)] == ["north arms"]
    assert len(drawn) == 2


def test_names_in_a_line() -> None:
    assert split_names(" a,, b  c ,") == ["a", "", "b c", ""]
    assert split_names(" ") == []
    assert join_names(["", "a, b", ""]) == ", a; b"


@pytest.mark.parametrize(
    ("n_bins", "words"),
    [
        ({"region": 119}, ["Mean of 119 bins"]),
        ({"A": 82, "B": 37}, ["2 regions", "A 82 bins", "B 37 bins"]),
        ({"A": 1, "B": 0}, ["1 region:", "A 1 bin", "No bin", "in B."]),
        ({"A": 0}, ["No bin"]),
    ],
)
def test_each_region_is_told_by_its_bins(n_bins: dict[str, int], words: list[str]) -> None:
    told = describe_found(n_bins)
    assert [word for word in words if word not in told] == []


def test_a_region_stays_at_its_place_of_the_sky_and_goes_with_another_galaxy(dock: Any, result: Result) -> None:
    region, marks = dock.tools["region"].region, dock.stack.marks
    corners = np.array([[14.0, 14.0], [14.0, 24.0], [24.0, 24.0], [24.0, 14.0]])
    region.set_outlines([Outline(corners, name="bar", kind="box")])
    dock.export.distance.value = "9.8"
    dock.show_result(move_field(result, (6, -3)))
    dock.finish(60)
    (outline,) = region.outlines()
    assert outline.points == pytest.approx(corners - [6, -3], abs=0.01)
    assert outline.name == "bar"
    layer = dock.viewer.layers[LAYER_NAME]
    assert np.allclose(layer.data_to_world((0, 0)), dock.session.sky.to_world(np.zeros((1, 2)))[0], atol=1e-3)
    assert np.allclose(marks.regions[0].path[:-1], outline.points)
    assert dock.export.distance.value == "9.8", "the same galaxy"
    dock.show_result(move_field(result, (500, 0)))
    dock.finish(60)
    assert region.outlines() == []
    assert not marks.regions
    assert not dock.session.regions
    assert LAYER_NAME not in dock.viewer.layers
    assert dock.export.distance.value == "", "masses would be wrong without a word"
    assert "Distance" in dock.message.text()
