"""Mouse, keyboard, closing and scripts: what a day's use expects of the window, as kinds and not as single cases."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QMessageBox,
    QScrollBar,
    QTabBar,
    QWidget,
)
from smooth_result import make_result
from window_acts import click, native_canvas, open_explorer, window

from napari_sfh._qt.docks import closing
from napari_sfh._qt.explorer import CANCELLED, ENDING, RESTORING, WORKING
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.plots.plot_items import make_menu
from napari_sfh._qt.presenter import READY, summarise_result
from napari_sfh._qt.tools.base import DockTool
from napari_sfh.analysis.regions import Outline
from napari_sfh.config import SETTINGS
from napari_sfh.demo import make_window_config, write_demo_cutout
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.results import write_result
from napari_sfh.types import Result


@pytest.fixture
def opened(qtbot: Any, shown: Any) -> Any:
    """An explorer that shows a result in the active window."""
    window(shown.viewer).activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None, timeout=120_000)
    return shown


def fields_of(dock: Any) -> list[QWidget]:
    """Every combo box, spin box, slider and bar of tabs of the window; napari's pop-ups take the wheel while open."""
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QTabBar)
    main = dock.window()
    found = [field for kind in kinds for field in main.findChildren(kind) if field.window() is main]
    return [field for field in found if not isinstance(field, QScrollBar)]


def state_of(field: Any) -> Any:
    return (
        field.currentIndex()
        if isinstance(field, QComboBox | QTabBar)
        else field.value()
        if hasattr(field, "value")
        else 0
    )


def turn_wheel(field: QWidget) -> None:
    """One notch of the wheel over a widget; what does not accept it leaves it to its parent, as with a mouse."""
    widget: QWidget | None = field
    while widget is not None:
        centre = QPointF(widget.rect().center())
        event = QWheelEvent(
            *(centre, QPointF(widget.mapToGlobal(widget.rect().center())), QPoint(), QPoint(0, -120)),
            *(Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False),
        )
        QApplication.sendEvent(widget, event)
        if event.isAccepted():
            return
        widget = widget.parentWidget()


def test_a_wheel_over_a_field_without_focus_changes_nothing_and_scrolls(opened: Any) -> None:
    for section in opened.sections.values():
        section.expand(True)
    for tool in opened.tools:
        if isinstance(tool, DockTool):
            tool.open_dock()
    opened.show_map("MASS_AGE")  # napari's slider of ages
    opened.finish(60)
    fields = fields_of(opened)
    assert len(fields) > 60
    kinds = [type(field) for field in fields]
    assert kinds.count(QTabBar) >= 2, "the docks on the right, those below"
    before = [state_of(field) for field in fields]
    for field in fields:
        turn_wheel(field)
    assert [state_of(field) for field in fields] == before
    bar = opened.sections["data"].parentWidget().parentWidget().parentWidget().verticalScrollBar()
    bar.setValue(0)
    turn_wheel(opened.map.quantity.native)
    assert bar.value() > 0


def test_a_field_with_focus_takes_the_wheel(opened: Any) -> None:
    box = opened.map.limits.native
    QTest.mouseClick(box, Qt.MouseButton.LeftButton)
    box.hidePopup()
    box.setFocus(Qt.FocusReason.MouseFocusReason)
    before = box.currentIndex()
    turn_wheel(box)
    assert box.currentIndex() != before


def test_keys_act_after_a_click_as_after_none(opened: Any) -> None:
    click(opened.viewer, opened.session, 6)
    assert not isinstance(QApplication.focusWidget(), QAbstractSpinBox)
    focused = QApplication.focusWidget()
    assert focused is not None
    QTest.keyClick(focused, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    assert opened.stack.display.shown.name == "AGE_MW"
    before = opened.session.selected
    QTest.keyClick(focused, Qt.Key.Key_Left)
    assert opened.session.selected not in (before, before - 10, before + 10)
    assert opened.panel.bin_field.value == opened.session.selected


def test_no_act_takes_the_keyboard_from_the_canvas(opened: Any, qtbot: Any) -> None:
    click(opened.viewer, opened.session, 6)
    canvas = QApplication.focusWidget()
    acts = [
        partial_select(opened, 3),
        lambda: opened.show_map("SNR"),
        lambda: setattr(opened.map.min_snr, "value", 30),
        lambda: opened.session.toggle_compared(5),
        opened.show_panel,
        lambda: opened.tools["gradient"].fit(),
        lambda: opened.show_result(make_result(seed=4)),
    ]
    for act in acts:
        act()
        assert opened.wait(120)
        assert QApplication.focusWidget() is canvas


@pytest.mark.parametrize("how", ["disabled", "parent", "hidden", "pressed"])
def test_a_button_that_starts_work_gives_the_keyboard_to_the_canvas(opened: Any, how: str) -> None:
    canvas = native_canvas(opened.viewer)
    tool = opened.tools["lines"]
    opened.sections["lines"].expand(True)
    QApplication.processEvents()
    button = tool.form.from_spectra.native
    button.setFocus(Qt.FocusReason.TabFocusReason)
    assert QApplication.focusWidget() is button
    before = tool.form.min_snr.value if hasattr(tool.form, "min_snr") else None
    if how == "disabled":
        button.setEnabled(False)
    elif how == "parent":
        button.parentWidget().setEnabled(False)
    elif how == "hidden":
        button.hide()
    else:
        button.blockSignals(True)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
    assert QApplication.focusWidget() is canvas
    selected = opened.session.selected
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Up)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Left)
    assert opened.session.selected != selected
    assert before is None or tool.form.min_snr.value == before
    button.blockSignals(False)
    button.setEnabled(True)
    button.parentWidget().setEnabled(True)
    button.show()


def test_an_act_is_one_step_of_undo_however_soon_the_next_one_comes(opened: Any) -> None:
    session, form = opened.session, opened.map
    first = session.selected
    form.high.native.setFocus()
    form.high.native.selectAll()
    QTest.keyClicks(form.high.native, "9.5")
    QTest.keyClick(form.high.native, Qt.Key.Key_Return)
    layer = opened.stack.display.find_layer(opened.stack.display.shown)
    typed = tuple(layer.contrast_limits)
    assert typed[1] == pytest.approx(9.5)
    assert form.limits.value == "typed"
    opened.undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    session.clear_compared()
    session.select(6 if first != 6 else 7)
    opened.undo.undo()
    assert session.selected == first
    assert tuple(layer.contrast_limits) == typed
    opened.undo.undo()
    assert layer.contrast_limits[1] != pytest.approx(9.5)
    assert form.limits.value == "shared"
    opened.undo.redo()
    assert tuple(layer.contrast_limits) == typed
    assert form.limits.value == "typed"


def test_four_maps_and_back_leave_no_step_of_undo(opened: Any) -> None:
    session, undo = opened.session, opened.undo
    undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    session.select(6 if session.selected != 6 else 7)
    selected = session.selected
    for on in (True, False):
        undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
        opened.map.grid.value = on
        assert opened.wait(120)
        assert opened.stack.display.is_grid == on
    undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    undo.undo()
    assert session.selected != selected
    assert "selection of bin" in opened.message.text()


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


def test_what_was_undone_is_told_until_the_next_step(opened: Any) -> None:
    """Then it cannot be done again."""
    session = opened.session
    opened.undo.history.note()
    for bin_id in (6, 7):
        session.select(bin_id)
        opened.undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    opened.undo.undo()
    assert "Ctrl+Shift+Z does it again" in opened.message.text()
    session.select(9)
    opened.undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    assert "Click a bin on the map" in opened.message.text()
    opened.undo.undo()
    opened.show_message("Saved.")
    session.select(8)
    opened.undo.eventFilter(None, QEvent(QEvent.Type.MouseButtonPress))
    assert opened.message.text() == "Saved."


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


@pytest.mark.parametrize("answer", [closing.CANCEL, closing.DISCARD])
@pytest.mark.parametrize("act", ["run", "open", "recent"])
def test_what_would_end_an_unsaved_result_asks(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, act: str
) -> None:
    asked: list[str] = []
    begun: list[object] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or answer)
    monkeypatch.setattr("napari_sfh._qt.files.show_file_dialog", lambda *_, **__: tmp_path / "other.fits")
    monkeypatch.setattr(type(opened), "start", lambda _, work, *after: begun.append(work))
    opened.files.unsaved = True
    with opened.data.cube.line_edit.changed.blocked():
        opened.data.cube.line_edit.value = str(tmp_path / "cube.fits")
    opened.refresh()
    if act == "recent":
        opened.file_row.chosen.emit(str(tmp_path / "other.fits"))
    else:
        (opened.run_button if act == "run" else opened.file_row.open).changed.emit(True)
    assert asked == [opened.session.result.name]
    assert len(begun) == (answer == closing.DISCARD)


def test_what_was_made_of_a_saved_result_is_asked_about_before_another_galaxy_comes(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    begun: list[object] = []
    buttons = QMessageBox.StandardButton
    answers = [buttons.Cancel, buttons.Discard, buttons.Save]
    monkeypatch.setattr(QMessageBox, "exec_", lambda box: asked.append(box.text()) or answers[len(asked) - 1])
    monkeypatch.setattr("napari_sfh._qt.files.show_file_dialog", lambda *_, **__: tmp_path / "work.json")
    opened.files.set_result_path(write_result(opened.session.result, tmp_path / "r.fits"))
    corners = np.array([[5.0, 5.0], [5.0, 35.0], [35.0, 35.0], [35.0, 5.0]])
    opened.tools["region"].region.set_outlines([Outline(corners), Outline(corners / 2)])
    galaxy = tmp_path / "galaxy"
    galaxy.mkdir()

    def type_folder() -> None:
        opened.data.folder.line_edit.value = str(galaxy)

    with monkeypatch.context() as only:
        only.setattr(type(opened), "start", lambda _, work, *after: begun.append(work))
        type_folder()
        assert "2 regions" in asked[0]
        assert not begun
        assert opened.data.folder.line_edit.value == ""
        type_folder()
        assert len(begun) == 1
    opened.data.folder.line_edit.value = ""
    type_folder()
    opened.wait(60)
    assert (tmp_path / "work.json").exists()
    type_folder()
    opened.wait(60)
    assert len(asked) == 3, "what is in a workspace is not asked about"


def test_the_keyboard_alone_goes_through_the_dock(opened: Any) -> None:
    section, help_button = opened.sections["region"], opened.file_row.help.native
    help_button.setFocus()
    QTest.keyClick(help_button, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is opened.sections["data"].toggle, "no scroll area between"
    unfolded = section.expanded
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Space, Qt.Key.Key_Enter):
        section.toggle.setFocus()
        QTest.keyClick(section.toggle, key)
        unfolded = not unfolded
        assert section.expanded == unfolded


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


def test_a_cancelled_step_that_is_not_at_its_end_says_so(opened: Any, qtbot: Any) -> None:
    release = threading.Event()

    def deaf(progress: Any, cancel: threading.Event) -> object:
        release.wait(60)
        return None if cancel.is_set() else "done"

    opened.start(deaf, opened.show_message, "Run")
    opened.cancel()
    qtbot.waitUntil(lambda: not opened.busy, timeout=120_000)
    assert opened.message.text() == ENDING
    release.set()
    qtbot.waitUntil(lambda: opened.message.text().startswith(CANCELLED), timeout=120_000)


def partial_select(dock: Any, bin_id: int) -> Callable[[], None]:
    return lambda: dock.session.select(bin_id)


def test_a_message_of_any_length_moves_nothing(opened: Any) -> None:
    QApplication.processEvents()
    place = opened.sections["maps"].mapTo(opened, QPoint(0, 0)).y()
    for text in ("short", "long " * 120):
        opened.show_message(text, error=True)
        QApplication.processEvents()
        assert opened.sections["maps"].mapTo(opened, QPoint(0, 0)).y() == place


def test_a_script_need_not_wait_between_acts(opened: Any, tmp_path: Path) -> None:
    """The gradient is asked for while the layers of another result still come in."""
    opened.show_result(make_result(seed=3))
    opened.session.select(4)
    opened.tools["gradient"].fit()
    opened.save_workspace(tmp_path / "w.json")
    opened.exports.save_plots(tmp_path / "bin.png", opened.session.views())
    opened.finish()
    assert set(opened.tools["gradient"].found) >= {"AGE_LW"}
    assert (tmp_path / "bin.png").is_file()
    assert '"fitted": true' in (tmp_path / "w.json").read_text()


def test_acts_that_cannot_be_done_raise(opened: Any, tmp_path: Path) -> None:
    opened.session.select(0)
    with pytest.raises(SfhInputError, match="no bin is selected"):
        opened.tools["posterior"].draw()
    with pytest.raises(SfhInputError, match=r"none\.reg"):
        opened.tools["region"].open(tmp_path / "none.reg")
    opened.open_result(tmp_path / "none.fits")
    with pytest.raises(SfhInputError):
        opened.finish()
    opened.finish()


def close_by_x(dock: Any) -> None:
    """Press the x of the explorer's dock."""
    holder = dock.parentWidget()
    QTest.mouseClick(holder.titleBarWidget().close_button, Qt.MouseButton.LeftButton)


def test_the_menu_finds_the_explorer_that_a_script_has_opened(opened: Any) -> None:
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-sfh.explorer")
    QApplication.processEvents()
    docks = [name for name in opened.viewer.window.dock_widgets if "SFH explorer" in name]
    assert len(docks) == 1
    assert native_canvas(opened.viewer) is not None


def test_a_distance_that_is_none_is_told_when_the_field_is_left(opened: Any) -> None:
    line = opened.export.distance.native
    QTest.keyClicks(line, "abc")
    assert "distance" not in opened.message.text()  # half typed
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert "distance: 'abc' given" in opened.message.text()


def test_a_file_that_changes_during_a_run_is_told(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what was read of which: there is no result, as with the commands."""
    cube = tmp_path / "cube.fits"
    cube.write_bytes(b"one")

    def run(*_: Any) -> Result:
        cube.write_bytes(b"another")
        return result

    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", run)
    with pytest.raises(ComputeError, match=r"not shown, a file of the run has changed .* \(cube.fits\); run again"):
        tasks.run_galaxy(lambda _: None, threading.Event(), {"cube": cube})


class RunAhead:
    """In place of a `CallAhead`: a run that has its result ready, or is of no use."""

    def __init__(self, result: Result | None = None) -> None:
        self.result, self.dropped = result, 0

    def finish(self, *_: Any) -> Result:
        assert self.result is not None, "another run was asked for"
        return self.result

    def drop(self) -> None:
        self.dropped += 1


def test_a_run_that_was_begun_with_the_window_is_taken_where_it_is_the_same(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(result, name="run here")
    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", lambda *_: other)
    options = vars(make_window_config())
    for asked, name in ((options, result.name), ({**options, "draws": 50}, "run here")):
        begun = RunAhead(result if name == result.name else None)
        found = tasks.run_galaxy(lambda _: None, threading.Event(), asked, begun)  # type: ignore[arg-type]
        assert (found.result.name, begun.dropped) == (name, int(name == "run here"))


def test_the_demo_that_is_begun_with_the_window_is_what_the_form_asks_for_and_goes_with_a_cancel(
    opened: Any, result: Result
) -> None:
    """Else it would be run for nothing."""
    taken, unused = RunAhead(replace(result, name="begun ahead")), RunAhead()
    opened.network.model.value = next(iter(list_bundles()))
    opened.open_demo(run=True, ahead=taken)
    opened.finish(120)
    assert opened.session.result.name == "begun ahead"
    opened.open_demo(ahead=unused)
    opened.cancel()
    opened.finish(120)
    assert unused.dropped == 1
    opened.cancel()
    assert unused.dropped == 1


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


def test_the_form_names_the_weights_of_a_result_that_is_opened(opened: Any, result: Result, tmp_path: Path) -> None:
    """Else Run would make another map than the one on the screen."""
    path = write_result(result, tmp_path / "r.fits")
    opened.network.set_models(["other", result.model_name])
    opened.network.model.value = "other"
    opened.open_result(path)
    opened.finish(120)
    assert opened.network.chosen_model == result.model_name


def test_a_comparison_and_contours_in_no_workspace_are_asked_about(
    shown: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "napari_sfh._qt.files.propose_keeping", lambda _, __, work: asked.extend(work) or closing.CANCEL
    )
    path = write_result(replace(result, name="NGC0001"), tmp_path / "other_sfh.fits")
    shown.tools["composite"].show_contours("AGE_MW")
    shown.tools["compare"].load(path)
    shown.finish(60)
    shown.files.open_chosen(path)
    shown.finish(60)
    assert [line.split(" of ")[0].split(" with ")[0] for line in asked] == ["contours", "the comparison"]
    assert shown.session.result is result, "Cancel: nothing was opened"
    shown.save_workspace(tmp_path / "work.json")
    shown.finish(60)
    asked.clear()
    shown.files.open_chosen(path)
    shown.finish(60)
    assert not asked
    assert shown.session.result.name == "NGC0001"


@pytest.mark.parametrize("answer", [closing.CANCEL, closing.DISCARD])
def test_closing_asks_and_another_explorer_finds_the_result(
    opened: Any, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or answer)
    viewer, result = opened.viewer, opened.session.result
    opened.files.unsaved = True
    close_by_x(opened)
    assert asked == [result.name]
    if answer == closing.CANCEL:
        assert open_explorer(viewer) is opened
        return
    layers = list(viewer.layers)
    again = open_explorer(viewer)
    assert again is not opened
    assert again.wait(120)
    assert again.session.result is result
    assert list(viewer.layers) == layers
    again.session.select(5)
    assert len(again.stack.marks.overlay.vertices)


def test_closing_during_a_run_asks_before_it_is_stopped(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that comes while the question stands is asked about, too: both were lost without a word."""
    ended = threading.Event()
    asked: list[str] = []

    def keep_going(parent: Any, stage: str) -> bool:
        asked.append(stage)
        return False

    def let_it_come(parent: Any, stage: str) -> bool:
        ended.set()
        assert opened.wait(60)
        opened.files.unsaved = True
        return True

    opened.start(lambda progress, cancel: ended.wait(60) and None, lambda _: None)
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", keep_going)
    opened.window().close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert opened.busy
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", let_it_come)
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.CANCEL)
    opened.window().close(quit_app=False, confirm_need=True)
    assert asked[1:] == [opened.session.result.name]
    assert opened.window().isVisible()


def test_naparis_menu_asks_before_the_window_goes(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.CANCEL)
    opened.files.unsaved = True
    (leave,) = (action for action in opened.viewer.window.file_menu.actions() if action.text() == "Exit")
    leave.trigger()
    assert asked == [opened.session.result.name]
    opened.window().close(quit_app=False, confirm_need=True)  # what Ctrl+W calls where the window has the keys
    assert len(asked) == 2
    assert opened.window().isVisible()


def test_a_result_is_kept_where_the_window_stays_after_all(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discard, then Cancel of napari's own question: the result is in no file as before."""
    asked: list[object] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda *_: closing.DISCARD)
    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    monkeypatch.setattr(QDialog, "exec_", lambda dialog: asked.append(dialog) or QDialog.DialogCode.Rejected)
    opened.files.unsaved = True
    opened.window().close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert opened.window().isVisible()
    assert opened.files.unsaved


def test_what_was_given_for_one_galaxy_is_not_used_for_the_next(
    qtbot: Any, make_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Result
) -> None:
    opened = open_explorer(make_viewer())  # which has seen no galaxy before
    opened.show_result(result)
    assert opened.wait(120)
    data, binning = opened.data, opened.binning
    data.redshift.value = "0.5"  # meant for the first galaxy
    piece = next(write_demo_cutout(tmp_path / "piece", (slice(20, 30), slice(20, 30))).glob("*DATACUBE*"))
    cubes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        cubes.append(Path(shutil.copy(piece, tmp_path / name / f"{name}.fits")))
    ways = [opened.files.open, opened.open_folder, lambda path: setattr(data.folder.line_edit, "value", str(path))]
    ways += [lambda path: opened.files.open(next(path.glob("*.fits")))]
    ways += [lambda path: setattr(data.cube.line_edit, "value", str(next(path.glob("*.fits"))))]
    for turn, way in enumerate(ways):
        way(cubes[turn % 2].parent)
        assert opened.wait(60)
        assert data.cube_path == cubes[turn % 2]
        assert data.redshift.value == ("0.5" if turn == 0 else ""), turn
        # The preflight is work of its own.
        qtbot.waitUntil(lambda turn=turn: turn == 0 or "Redshift" in opened.preflight.text.text(), timeout=60_000)
        data.redshift.value, data.ebv_mw.value = "0.5", "0.1"
    # The same galaxy again keeps them.
    opened.files.open(cubes[0])
    assert opened.wait(60)
    assert (data.redshift.value, data.ebv_mw.value) == ("0.5", "0.1")
    binning.method.value, binning.target_snr.value = "vorbin", 60.0
    monkeypatch.setattr(type(opened), "run", lambda self, _=None: None)
    opened.open_demo(run=True)
    assert opened.wait(60)
    assert (data.redshift.value, data.ebv_mw.value) == ("", "0")
    assert (binning.method.value, binning.target_snr.value) == (
        SETTINGS["binning"].default,
        SETTINGS["target_snr"].default,
    )
    opened.files.open(cubes[1].parent)
    assert opened.wait(60)
    assert data.ebv_mw.value == "", "the mock's 0 is no dust map's value"
