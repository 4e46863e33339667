"""Keeps the mouse wheel and the keyboard where the user has them.

A wheel over a field that has no keyboard focus scrolls what the field lies in, and changes nothing; nor does one over
the tabs of docks. A spin box of
superqt takes the keyboard whenever a program sets its value; it is handed back. A button that was pressed gives the
keyboard to the canvas: Qt would give it to the next field where the button cannot be used while its work runs. A spin
box that refuses a key says which numbers it takes. Enter presses buttons and folds sections, as the space bar does.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QMainWindow,
    QOpenGLWidget,
    QScrollBar,
    QTabBar,
    QToolTip,
    QWidget,
)
from superqt.spinbox import QLargeIntSpinBox

#: Property of a spin box that says what it refuses.
_TOLD = "napari_sfh_told"
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
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
        self._roots: list[weakref.ref[Any]] = []
        self._last: weakref.ref[QWidget] | None = None
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._focus_changed)

    def protect_fields(self, root: QWidget) -> None:
        """Guard every combo box, spin box, slider and button below ``root``; scroll bars stay as they are."""
        if not any(known() is root for known in self._roots):
            self._roots.append(weakref.ref(root))
        for field in root.findChildren(QWidget):
            if isinstance(field, QAbstractButton):
                field.installEventFilter(self)
            if isinstance(field, FIELDS) and not isinstance(field, QScrollBar):
                if field.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(self)
            if isinstance(field, QAbstractSpinBox) and not field.property(_TOLD):
                field.setProperty(_TOLD, True)
                typed: Any = field.lineEdit()
                typed.inputRejected.connect(partial(_tell_range, weakref.ref(field)))
            if isinstance(field, QLargeIntSpinBox):
                line: Any = field.lineEdit()
                line.setFocus = _stay_away  # what superqt calls at every change of the value
                self._lines.append(line)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let a wheel pass to what lies behind, Enter press a button; give back the keyboard that nobody asked for."""
        if event is None or not isinstance(watched, QWidget):
            return False
        if isinstance(watched, QAbstractButton):
            if event.type() == QEvent.Type.KeyPress and getattr(event, "key", int)() in _ENTER:
                watched.click()
                return True
            if event.type() == QEvent.Type.MouseButtonRelease and watched.hasFocus():
                QTimer.singleShot(0, partial(_free_keyboard, weakref.ref(watched)))
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
        if old is not None and self._guards(old) and not (old.isEnabled() and old.isVisible()):
            # It was switched off or hidden while it had the keyboard, which Qt hands to whatever comes next.
            _focus_canvas(old.window())
        elif new is not None:
            self._last = weakref.ref(new)

    def _guards(self, widget: QWidget) -> bool:
        """Whether a widget is one of ours."""
        roots = [root() for root in self._roots]
        return any(root.isAncestorOf(widget) for root in roots if root is not None and isalive(root))


class TabGuard(QObject):
    """Keeps the wheel from turning the tabs of a window's docks, which come and go as docks are put together.

    Parameters
    ----------
    window : QMainWindow
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window = window
        window.installEventFilter(self)
        self._watch_tabs()

    def _watch_tabs(self) -> None:
        for tabs in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            tabs.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """A new child may be a bar of tabs: it is when it has been made."""
        kind = None if event is None else event.type()
        if kind == QEvent.Type.ChildAdded and watched is self._window:
            QTimer.singleShot(0, self._watch_tabs)
        return kind == QEvent.Type.Wheel and isinstance(watched, QTabBar)

    def release(self) -> None:
        """Leave them to the wheel."""
        with suppress(RuntimeError):  # it may have gone with its window
            self._window.removeEventFilter(self)
            self.deleteLater()


def _tell_range(reference: weakref.ref[Any]) -> None:
    """A spin box drops a key that it cannot take without a word: -5 would become 5."""
    field = reference()
    if field is not None:
        text = f"A number from {field.minimum():g} to {field.maximum():g}"
        QToolTip.showText(field.mapToGlobal(field.rect().bottomLeft()), text, field)


def _focus_canvas(window: Any) -> None:
    """Give the keyboard to the canvas of a viewer's window."""
    middle = window.centralWidget() if isinstance(window, QMainWindow) else None
    canvas = None if middle is None else middle.findChild(QOpenGLWidget)
    if canvas is not None:
        canvas.setFocus(Qt.FocusReason.OtherFocusReason)


def _free_keyboard(reference: weakref.ref[Any]) -> None:
    """A button that was pressed needs the keyboard no longer."""
    button = reference()
    with suppress(RuntimeError):  # Qt may have deleted it
        if button is not None and button.hasFocus():
            _focus_canvas(button.window())


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
