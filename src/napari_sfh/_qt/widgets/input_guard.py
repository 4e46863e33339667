"""Keeps the mouse wheel and the keyboard where the user has them.

A wheel over a field that has no keyboard focus scrolls what the field lies in, and changes nothing. A spin box of
superqt takes the keyboard whenever a program sets its value; it is handed back.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QApplication, QComboBox, QScrollBar, QWidget
from superqt.spinbox import QLargeIntSpinBox

FIELDS = (QComboBox, QAbstractSpinBox, QAbstractSlider)


class InputGuard(QObject):
    """Event filter for all fields below a widget; it lives as long as the widget.

    Parameters
    ----------
    root : QWidget
        Fields that come later need `protect_fields` again.
    """

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        self._lines: list[Any] = []  # the wrappers must live
        self._last: weakref.ref[QWidget] | None = None
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._focus_changed)

    def protect_fields(self, root: QWidget) -> None:
        """Guard every combo box, spin box and slider below ``root``; scroll bars stay as they are."""
        for field in root.findChildren(QWidget):
            if isinstance(field, FIELDS) and not isinstance(field, QScrollBar):
                if field.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(self)
            if isinstance(field, QLargeIntSpinBox):
                line: Any = field.lineEdit()
                line.setFocus = _stay_away  # what superqt calls at every change of the value
                self._lines.append(line)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let a wheel pass to what lies behind, and give the keyboard back that nobody asked for."""
        if event is None or not isinstance(watched, QWidget):
            return False
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        if event.type() == QEvent.Type.FocusIn and isinstance(watched, QAbstractSpinBox):
            reason = getattr(event, "reason", lambda: None)()
            # A mouse, the Tab key and a window that becomes active have reasons of their own.
            if reason == Qt.FocusReason.OtherFocusReason:
                self._give_back(watched)
        return False

    def _give_back(self, field: QWidget) -> None:
        before = self._last() if self._last is not None else None
        with suppress(RuntimeError):  # the widget may have been deleted by Qt
            if before is not None and before is not field and before.isVisible():
                before.setFocus(Qt.FocusReason.OtherFocusReason)
                return
        field.clearFocus()

    def _focus_changed(self, old: QWidget | None, new: QWidget | None) -> None:
        if new is not None:
            self._last = weakref.ref(new)


def _stay_away(*_: object) -> None:
    """In place of a line edit's ``setFocus``."""


@contextmanager
def keep_keyboard() -> Iterator[None]:
    """What has the keyboard has it again afterwards: docks that open or come to the front may take it."""
    before = QApplication.focusWidget()
    try:
        yield
    finally:
        with suppress(RuntimeError):
            if before is not None and before is not QApplication.focusWidget() and before.isVisible():
                before.setFocus(Qt.FocusReason.OtherFocusReason)
