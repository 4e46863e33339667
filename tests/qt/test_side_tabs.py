"""Room for the map and the plots, and fields in line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QListView, QMainWindow, QSlider, QStackedWidget, QWidget
from window_acts import native_canvas, window

from napari_sfh._qt.docks.late_controls import make_late_controls
from napari_sfh._qt.docks.side_tabs import CONTROLS, LAYERS, SIDE_WIDTH
from napari_sfh._qt.tools.base import DockTool
from napari_sfh.types import Result

LEFT, RIGHT, BOTTOM = (
    Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.DockWidgetArea.RightDockWidgetArea,
    Qt.DockWidgetArea.BottomDockWidgetArea,
)


def where(win: Any, name: str) -> Any:
    return win.dockWidgetArea(win.findChild(QDockWidget, name))


def test_the_map_and_the_explorer_have_the_room(shown: Any) -> None:
    dock, win = shown, window(shown.viewer)
    controls = win.findChild(QDockWidget, CONTROLS)
    assert where(win, CONTROLS) == where(win, LAYERS) == RIGHT
    own = next(d for d in win.tabifiedDockWidgets(controls) if d.isAncestorOf(dock))
    assert not own.visibleRegion().isEmpty(), "the explorer is in front"
    assert own.height() > 600
    assert (win.width(), win.height()) == (1280, 720)
    assert win.minimumSizeHint().width() <= 1280
    assert native_canvas(dock.viewer).width() > 880
    assert native_canvas(dock.viewer).height() >= 370


def test_the_menu_of_plugins_shows_the_explorer_wherever_it_was(qtbot: Any, shown: Any) -> None:
    dock, win = shown, window(shown.viewer)
    layers = win.findChild(QDockWidget, LAYERS)
    own = next(d for d in win.tabifiedDockWidgets(layers) if d.isAncestorOf(dock))

    def press_menu() -> None:
        get_app_model().commands.execute_command("napari-sfh.explorer")
        qtbot.wait(50)

    layers.raise_()
    qtbot.wait(50)
    assert dock.visibleRegion().isEmpty(), "it stands behind the layer list"
    press_menu()
    assert not dock.visibleRegion().isEmpty()
    press_menu()
    assert own.isHidden(), "what was seen goes"
    layers.raise_()
    press_menu()
    assert not dock.visibleRegion().isEmpty()


def test_a_layer_that_is_clicked_in_the_list_has_its_controls_and_others_wait_for_theirs(
    qtbot: Any, shown: Any
) -> None:
    win, viewer = window(shown.viewer), shown.viewer
    rows = win.findChild(QDockWidget, LAYERS).findChild(QListView)
    controls = next(stack for stack in win.findChildren(QStackedWidget) if hasattr(stack, "empty_widget"))
    layer = next(each for each in viewer.layers if each.name.startswith("MW [M/H]"))
    made = [each for each, widget in controls.widgets.items() if hasattr(widget, "layer")]
    assert layer not in made, "nobody has looked at it: it would have cost the window half of what the layer did"
    assert set(controls.widgets) == set(viewer.layers)
    win.findChild(QDockWidget, LAYERS).raise_()
    row = next(index for k in range(len(viewer.layers)) if (index := rows.model().index(k, 0)).data() == layer.name)
    place = rows.visualRect(row).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert viewer.layers.selection.active == layer
    qtbot.waitUntil(lambda: hasattr(controls.currentWidget(), "layer"))
    assert controls.currentWidget().layer == layer
    assert controls.widgets[layer] is controls.currentWidget()
    win.findChild(QDockWidget, CONTROLS).raise_()
    qtbot.wait(50)
    assert not controls.currentWidget().visibleRegion().isEmpty()
    own = viewer.add_image(np.zeros((4, 4)), name="of the user")
    assert hasattr(controls.widgets[own], "layer"), "another's layer has them at once"
    for each in (own, layer):
        viewer.layers.remove(each)
        assert each not in controls.widgets


def test_controls_come_as_ever_where_napari_has_other_names(qtbot: Any, shown: Any) -> None:
    theirs = next(s for s in window(shown.viewer).findChildren(QStackedWidget) if hasattr(s, "empty_widget"))
    win, model = QMainWindow(), ViewerModel()
    qtbot.addWidget(win)
    controls = type(theirs)(model)
    win.setCentralWidget(controls)
    del controls.empty_widget
    assert make_late_controls(win, lambda _: None) is None
    layer = model.add_image(np.zeros((4, 4)))
    assert controls.widgets[layer].layer == layer


def test_a_window_that_grows_fits_the_galaxy_again_unless_it_was_zoomed(qtbot: Any, shown: Any) -> None:
    win, camera = window(shown.viewer), shown.viewer.scene.camera
    win.resize(1000, 700)
    qtbot.wait(200)
    before = camera.zoom
    win.resize(1440, 900)
    qtbot.waitUntil(lambda: camera.zoom > 1.1 * before, timeout=120_000)
    qtbot.wait(200)
    camera.zoom = 3.0
    win.resize(1000, 700)
    qtbot.wait(300)
    assert camera.zoom == 3.0


def test_a_window_of_1024_pixels_has_fields_and_plots(shown: Any) -> None:
    win, row = window(shown.viewer), shown.panel.controls.native
    for tool in shown.tools:
        if isinstance(tool, DockTool):
            assert tool.prepare_dock().minimumSizeHint().width() < 1024 - SIDE_WIDTH, tool.name
    win.resize(1024, 700)
    QApplication.processEvents()
    assert (win.width(), win.height()) == (1024, 700)
    fields = [field for field in row.children() if isinstance(field, QWidget) and not field.isHidden()]
    lines = {field.y() for field in fields}
    assert len(fields) == 8
    assert 1 < len(lines) < 4
    assert all(
        field.geometry().right() <= row.width() and field.geometry().bottom() <= row.height() for field in fields
    )
    assert not any(a.geometry().intersects(b.geometry()) for a in fields for b in fields if a is not b)
    assert row.geometry().bottom() < shown.panel.plots.mapTo(shown.panel, QPoint(0, 0)).y()
    win.resize(1440, 900)
    QApplication.processEvents()
    assert len({field.y() // 8 for field in fields}) == 1, "one line again, where there is room"


@pytest.mark.parametrize("points", [0, 14])
def test_fields_begin_and_end_at_one_place(shown: Any, points: int) -> None:
    """Also in letters of another size: labels are as wide as their font."""
    dock = shown
    window(dock.viewer).resize(1440, 900)
    if points:
        dock.setStyleSheet(f"QLabel {{ font-size: {points}pt; }}")
    for section in dock.sections.values():
        section.expand(True)
    QApplication.processEvents()
    fields = [dock.data.cube, dock.network.device, dock.map.quantity, dock.map.min_snr]
    forms = (dock.tools[name].form for name in ("composite", "gradient", "region"))
    for form, names in zip(forms, (("brightness", "levels"), ("pa", "distance"), ("shape", "weight"))):
        fields += [getattr(form, name) for name in names]
    natives = [field.native for field in fields]
    assert len({native.mapTo(dock, QPoint(0, 0)).x() for native in natives}) == 1
    assert len({native.mapTo(dock, QPoint(native.width(), 0)).x() for native in natives}) == 1
    sliders = [native.findChild(QSlider) for native in natives if native.findChild(QSlider)]
    assert len({slider.width() for slider in sliders}) == 1
    labels = [native.parentWidget().layout().itemAt(0).widget() for native in natives]
    assert all(isinstance(label, QLabel) and label.width() >= label.sizeHint().width() for label in labels)
    pressed = dock.tools["gradient"].form.guess.native, dock.tools["lines"].form.plot.native
    assert len({button.mapTo(dock, QPoint(0, 0)).x() for button in pressed}) == 1


def test_keys_are_not_those_of_menus_or_of_napari(shown: Any) -> None:
    """A menu's letter and the shortcut of an action come before the canvas."""
    dock, win = shown, window(shown.viewer)
    titles = [action.text() for action in win.menuBar().actions()]
    taken = {f"Alt+{title[title.index('&') + 1].upper()}" for title in titles if "&" in title}
    assert {"Alt+F", "Alt+H"} <= taken
    taken |= {str(rule.keybinding) for rule in get_app_model().keybindings}
    assert "Alt+C" in taken
    ours = {key.replace("-", "+") for key in dock.tools.shortcuts()}
    assert len(ours) > 10
    assert not ours & taken


def test_docks_that_the_user_has_moved_stay(shown: Any, result: Result) -> None:
    dock, win = shown, window(shown.viewer)
    controls = win.findChild(QDockWidget, CONTROLS)
    controls.setFloating(True)
    win.resize(1440, 900)
    QApplication.processEvents()
    dock.show_result(result)
    assert dock.wait(120)
    assert controls.isFloating()
    controls.setFloating(False)  # napari itself stumbles over a floating dock when it closes


def test_napari_gets_its_arrangement_back(shown: Any) -> None:
    win = window(shown.viewer)
    shown.release()
    assert where(win, CONTROLS) == where(win, LAYERS) == LEFT
    assert win.corner(Qt.Corner.BottomRightCorner) == BOTTOM
