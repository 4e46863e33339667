"""Mouse, keyboard, closing and scripts: what a day's use expects of the window, as kinds and not as single cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QApplication, QComboBox, QScrollBar, QWidget
from smooth_result import make_result

from conftest import click, native_canvas, open_explorer, window
from napari_sfh._qt.docks import closing
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result


@pytest.fixture
def opened(qtbot: Any, make_viewer: Callable[..., Any], result: Result) -> Any:
    """An explorer that shows a result in the active window."""
    dock = open_explorer(make_viewer(1440, 900))
    dock.show_result(result)
    assert dock.wait(120)
    window(dock.viewer).activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None, timeout=5000)
    return dock


def fields_of(dock: Any) -> list[QWidget]:
    """Every combo box, spin box and slider of the dock and of the docks below."""
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider)
    roots = [dock, dock.panel]
    found = [field for root in roots for kind in kinds for field in root.findChildren(kind)]
    return [field for field in found if not isinstance(field, QScrollBar)]


def state_of(field: Any) -> Any:
    return field.currentIndex() if isinstance(field, QComboBox) else field.value() if hasattr(field, "value") else 0


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
    QApplication.processEvents()
    fields = fields_of(opened)
    assert len(fields) > 30
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
