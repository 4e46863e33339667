"""The wheel and the keyboard: they act where the user has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)
from smooth_result import make_result
from window_acts import click, native_canvas

from napari_sfh._qt.tools.base import DockTool


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


def partial_select(dock: Any, bin_id: int) -> Callable[[], None]:
    return lambda: dock.session.select(bin_id)
