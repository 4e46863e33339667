"""What is drawn and clicked on the canvas counts as it is seen: strokes, names, widths; nothing that is not shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox
from window_acts import bin_world, click, native_canvas, screen_point, send_mouse, window

from napari_sfh._qt.canvas.interaction import OVERLAY
from napari_sfh._qt.canvas.region_layer import LAYER_NAME
from napari_sfh._qt.docks import closing
from napari_sfh._qt.tools.contour_lines import CONTOUR_PX
from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.regions import Outline

SCROLL = Qt.ScrollPhase.NoScrollPhase
COMPRESS = Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents


def test_a_fast_lasso_keeps_its_corners(shown: Any, qtbot: Any) -> None:
    """The layer to draw in is still made when the places come, and they come faster than vispy hears them."""
    viewer, native = shown.viewer, native_canvas(shown.viewer)
    compressed = QCoreApplication.testAttribute(COMPRESS)
    middle = screen_point(viewer, bin_world(shown.session, 6))
    turns = [(radius, 2 * math.pi * k / 10) for k, radius in enumerate((60, 110) * 5)]
    points = [middle + QPoint(round(r * math.cos(angle)), round(r * math.sin(angle))) for r, angle in turns]
    QTest.keyClick(native, Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert not QCoreApplication.testAttribute(COMPRESS)
    places = [*points[1:], points[0]]
    send_mouse(native, "MouseButtonPress", points[0])
    for point in places:
        send_mouse(native, "MouseMove", point)
    send_mouse(native, "MouseButtonRelease", points[0])
    qtbot.waitUntil(lambda: bool(shown.session.regions), timeout=60_000)
    drawn = viewer.layers[LAYER_NAME].data[0]
    corners = [screen_point(viewer, shown.session.sky.to_world(c[None, -2:])[0]) for c in drawn]
    for point in points:
        assert min((c - point).manhattanLength() for c in corners) <= 2, (point, corners)
    assert QCoreApplication.testAttribute(COMPRESS) == compressed


def test_a_click_where_nothing_of_the_galaxy_is_shown_selects_nothing(shown: Any) -> None:
    viewer, session = shown.viewer, shown.session
    click(viewer, session, 6)
    for layer in viewer.layers:
        layer.visible = False
    click(viewer, session, 11)
    assert session.selected == 6
    shown.stack.find("map", shown.stack.current).visible = True
    click(viewer, session, 11)
    assert session.selected == 11


def test_a_single_region_has_the_name_that_was_typed(shown: Any, qtbot: Any) -> None:
    tool = shown.tools["region"]
    box = np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]])
    tool.region.set_outlines([Outline(box)])
    qtbot.waitUntil(lambda: [r.name for r in shown.session.regions] == ["region"], timeout=60_000)
    tool.form.names.native.setFocus()
    QTest.keyClicks(tool.form.names.native, "bar")
    QTest.keyClick(tool.form.names.native, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: [r.name for r in shown.session.regions] == ["bar"], timeout=60_000)
    assert [name.text for name in shown.stack.marks.overlay.names] == ["bar"]
    assert "bar" in shown.panel.legend.text()


def test_contours_are_as_wide_on_the_screen_at_every_zoom(shown: Any, qtbot: Any) -> None:
    shown.tools["composite"].show_contours("AGE_LW", 3)
    assert shown.wait(60)
    layer, camera = shown.stack.find("contours", "AGE_LW"), shown.viewer.scene.camera
    before, zoom = layer.edge_width, camera.zoom
    camera.zoom = 8 * zoom
    qtbot.waitUntil(lambda: layer.edge_width < before)
    assert layer.edge_width == pytest.approx(before / 8)
    assert layer.edge_width * layer.scale[-1] * camera.zoom == pytest.approx(CONTOUR_PX)


def test_a_run_that_is_refused_does_not_ask_for_the_result(
    shown: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.CANCEL)
    before = shown.session.result
    shown.data.cube.line_edit.value = str(tmp_path / "gone.fits")
    qtbot.waitUntil(lambda: shown.preflight.is_refused, timeout=60_000)
    shown.files.unsaved = True
    shown.run_button.changed.emit(True)
    assert shown.wait(60)
    assert "gone.fits" in shown.message.text()
    assert not asked
    assert shown.session.result is before
    assert shown.files.unsaved
    shown.files.unsaved = False


def test_the_text_under_the_cursor_follows_the_slider_of_ages(shown: Any, qtbot: Any) -> None:
    viewer, text = shown.viewer, shown.viewer.canvas.overlays[OVERLAY]
    shown.show_map("MASS_AGE")
    shown.finish(60)
    click(viewer, shown.session, 6)
    for age in (3, 12):  # played, or turned by a key: the mouse rests
        viewer.dims.set_current_step(0, age)
        told = maps.format_age_range("MASS_AGE", age)
        qtbot.waitUntil(lambda told=told: told in text.text)


def test_a_wheel_over_the_controls_of_a_layer_changes_nothing_but_what_was_clicked(shown: Any, qtbot: Any) -> None:
    layer = shown.stack.find("map", shown.stack.current)
    shown.viewer.layers.selection.active = None
    shown.viewer.layers.selection.active = layer
    boxes: list[QComboBox] = []

    def find_boxes() -> bool:
        named = window(shown.viewer).findChildren(QComboBox)
        boxes[:] = [box for box in named if box.findText("yellow") >= 0]
        return bool(boxes)

    qtbot.waitUntil(find_boxes)
    before = layer.colormap.name
    for box in boxes:
        middle = QPointF(box.rect().center())
        turn = QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        wheel = QWheelEvent(middle, QPointF(box.mapToGlobal(middle.toPoint())), QPoint(), *turn, SCROLL, False)
        QApplication.sendEvent(box, wheel)
    assert layer.colormap.name == before


def test_while_the_mouse_rests_over_a_bin_a_click_on_it_is_prepared(
    shown: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, session = shown.viewer, shown.session
    click(viewer, session, 6)
    session.set_result(session.result)  # nothing is kept
    click(viewer, session, 6)
    made: list[int] = []
    make = BinView.of
    monkeypatch.setattr(BinView, "of", lambda result, bin_id: made.append(bin_id) or make(result, bin_id))
    QTest.mouseMove(native_canvas(viewer), screen_point(viewer, bin_world(session, 11)))
    qtbot.waitUntil(lambda: made == [11])
    click(viewer, session, 11)
    assert session.selected == 11
    assert made == [11]
