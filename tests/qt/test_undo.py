"""Undo in the window: what is a step, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest


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
