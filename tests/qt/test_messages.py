"""What the window says: sentences that are true, until they are so no longer; errors of fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
)

from napari_sfh._qt.docks import closing
from napari_sfh._qt.explorer import RESTORING, WORKING
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.plots.plot_items import make_menu
from napari_sfh._qt.presenter import READY, summarise_result
from napari_sfh.errors import SfhInputError


def type_text(field: Any, text: str) -> None:
    """As if typed; the focus stays where it is: the field may be folded away."""
    field.value = text
    field.native.editingFinished.emit()


def test_what_is_wrong_with_a_field_is_told_until_it_is_right(opened: Any) -> None:
    maps_form, distance = opened.map, opened.export.distance
    layer = opened.stack.display.find_layer(opened.stack.display.shown)
    before = tuple(layer.contrast_limits)
    maps_form.high.native.clearFocus()
    for wrong in ("abc", "99"):
        type_text(maps_form.low, wrong)
        assert opened.is_error
        assert f"limits: {wrong} to" in opened.message.text()
        assert tuple(layer.contrast_limits) == before
        assert maps_form.low.value == f"{before[0]:.4g}"
    type_text(maps_form.low, f"{before[0] - 1:.4g}")
    assert not opened.is_error
    assert layer.contrast_limits[0] == pytest.approx(before[0] - 1, abs=1e-3)
    type_text(distance, "-5")
    assert opened.is_error
    type_text(distance, "z=0.0025")
    assert not opened.is_error
    assert not opened.details_button.visible
    for wrong in ("-3", "x"):
        maps_form.oldest.value = wrong
        maps_form.ages_button.native.click()
        assert opened.is_error
        assert wrong in opened.message.text()
    centre = opened.tools["gradient"].form.centre
    type_text(centre, "abc")
    assert "RA and Dec in degrees" in opened.message.text()
    type_text(centre, "24.1 15.7")
    assert not opened.is_error
    centre.value = distance.value = ""


def test_two_limits_are_typed_one_after_the_other(opened: Any, qtbot: Any) -> None:
    """Both beyond the range that is shown: the lower one alone is above the upper one that stands there still."""
    form = opened.map
    layer = opened.stack.display.find_layer(opened.stack.display.shown)
    before = tuple(layer.contrast_limits)
    opened.tools["maps"].section.expand(True)
    opened.window().activateWindow()
    form.low.native.setFocus()
    qtbot.waitUntil(form.low.native.hasFocus)
    form.low.native.selectAll()
    QTest.keyClicks(form.low.native, "10.5")
    QTest.keyClick(form.low.native, Qt.Key.Key_Tab)
    assert form.high.native.hasFocus()
    assert not opened.is_error
    assert tuple(layer.contrast_limits) == before
    form.high.native.selectAll()
    QTest.keyClicks(form.high.native, "11.25")
    QTest.keyClick(form.high.native, Qt.Key.Key_Return)
    assert tuple(layer.contrast_limits) == (10.5, 11.25)
    form.low.native.setFocus()
    form.low.native.selectAll()
    QTest.keyClicks(form.low.native, "12")
    QTest.keyClick(form.low.native, Qt.Key.Key_Return)
    assert "limits: 12 to 11.25 given" in opened.message.text()


def test_dialogs_and_menus_are_in_the_theme_of_the_window(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt gives a window's style sheet to its children alone."""
    parents = []

    def dialog(*_: Any, parent: Any, **__: Any) -> None:
        parents.append(parent)

    for module in ("files", "exports", "tools.region"):
        monkeypatch.setattr(f"napari_sfh._qt.{module}.show_file_dialog", dialog)
    for ask in (opened.files.open_dialog, opened.files.folder_dialog, opened.files.save_dialog):
        ask()
    opened.exports.result_dialog()
    opened.tools["region"].open_dialog()
    assert parents == [opened.window()] * 5
    assert opened.window().styleSheet()
    assert make_menu(opened.panel).styleSheet() == opened.window().styleSheet()


def test_a_long_error_begins_with_the_name_of_the_file(opened: Any) -> None:
    """Four lines are in sight: a path to it would fill them."""
    path = "/data/" + "phangs/muse/cubes/" * 6 + "NGC0628_DATACUBE.fits"
    opened.tell_error(SfhInputError(f"{path}: covers 4750-9300 AA; give its redshift"))
    assert opened.message.text() == "…/NGC0628_DATACUBE.fits: covers 4750-9300 AA; give its redshift"
    assert path in opened.message.toolTip()
    opened.tell_error(SfhInputError("/data/n.fits: no such file"))
    assert opened.message.text() == "/data/n.fits: no such file"


def test_the_shown_choice_of_limits_acts_again(opened: Any) -> None:
    layer = opened.stack.display.find_layer(opened.stack.display.shown)
    before = tuple(layer.contrast_limits)
    box = opened.map.limits.native
    layer.contrast_limits = (before[0] + 0.1, before[1])  # as napari's own slider does
    assert opened.map.limits.value == "typed"
    with opened.map.limits.changed.blocked():
        opened.map.limits.value = "shared"
    box.activated.emit(box.currentIndex())
    assert tuple(layer.contrast_limits) == before
    assert opened.map.limits.value == "shared"
    layer.contrast_limits = (before[0] + 0.1, before[1])
    opened.show_map("SNR")
    assert opened.map.limits.value == "shared", "each map has its own"
    opened.show_map("AGE_LW")
    assert opened.map.limits.value == "typed"


def test_a_workspace_that_comes_back_says_so_and_cannot_be_run_over(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with opened.data.cube.line_edit.changed.blocked():
        opened.data.cube.line_edit.value = str(tmp_path / "cube.fits")
    opened.files.begin(tasks.OpenedWorkspace(opened.files.capture(), None, None, ()))
    opened.refresh()
    opened.show_message("Lines were measured.")
    assert opened.message.text().startswith(RESTORING)
    assert not opened.run_button.enabled
    assert not opened.file_row.open.enabled
    opened.files.end()
    opened.refresh()
    assert opened.message.text() == "Lines were measured.", "what was said stays until the next act"
    assert opened.run_button.enabled
    opened.show_message(READY)
    monkeypatch.setattr(type(opened.job), "running", True)
    opened.refresh()
    assert opened.message.text() == WORKING
    monkeypatch.undo()


def test_a_form_that_is_wrong_is_told_before_a_result_is_asked_about(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.DISCARD)
    opened.files.unsaved = True
    with opened.data.cube.line_edit.changed.blocked():
        opened.data.cube.line_edit.value = str(tmp_path / "gone.fits")
    opened.data.ebv_mw.value = "-3"
    opened.refresh()
    opened.run_button.changed.emit(True)
    assert "-3" in opened.message.text()
    assert not asked
    # A run that is refused leaves the result where it is: it is asked about again when it is to go.
    opened.data.ebv_mw.value = ""
    opened.run_button.changed.emit(True)
    assert len(asked) == 1
    assert opened.wait(60)
    assert "gone.fits" in opened.message.text()
    assert opened.session.result is not None
    assert opened.files.unsaved
    # Work that has nothing to say leaves the words on the result, not an invitation to choose a galaxy.
    opened.data.set_files(None, {}, None)
    opened.start(lambda progress, cancel: "nothing to say", lambda _: None)
    assert opened.wait(60)
    assert opened.message.text() == summarise_result(opened.session.result)
    with opened.data.cube.line_edit.changed.blocked():
        opened.data.cube.line_edit.value = str(tmp_path / "gone.fits")
    opened.files.unsaved = True
    opened.run_button.changed.emit(True)
    assert opened.wait(60)
    assert "gone.fits" in opened.message.text()
    # The message outlives whatever brings the buttons up to date afterwards.
    opened.refresh()
    opened.network.model.changed.emit(opened.network.model.value)
    assert "gone.fits" in opened.message.text()


def test_a_message_of_any_length_moves_nothing(opened: Any) -> None:
    QApplication.processEvents()
    place = opened.sections["maps"].mapTo(opened, QPoint(0, 0)).y()
    for text in ("short", "long " * 120):
        opened.show_message(text, error=True)
        QApplication.processEvents()
        assert opened.sections["maps"].mapTo(opened, QPoint(0, 0)).y() == place


def test_a_distance_that_is_none_is_told_when_the_field_is_left(opened: Any) -> None:
    line = opened.export.distance.native
    QTest.keyClicks(line, "abc")
    assert "distance" not in opened.message.text()  # half typed
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert "distance: 'abc' given" in opened.message.text()


def test_an_error_goes_when_what_was_wrong_is_changed(opened: Any) -> None:
    line = opened.data.cube.line_edit
    line.value = "/nowhere/cube.fits"
    assert opened.is_error
    assert "/nowhere/cube.fits" in opened.message.text()
    opened.data.redshift.value = "0.002"
    assert not opened.is_error
    assert opened.message.text().startswith(opened.session.result.name)
    line.value = "/nowhere/other.fits"
    assert opened.is_error
    line.value = ""
    assert not opened.is_error
