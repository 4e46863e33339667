"""What is in no file is asked about when its dock or the window is closed: a run, a result, and what was made of it."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QMessageBox, QWidget

from napari_sfh._qt.widgets.small_widgets import make_weak_slot

#: Answers of `propose_saving`.
SAVE, DISCARD, CANCEL = "save", "discard", "cancel"
#: Milliseconds between two looks whether a question still stands.
_LOOK_MS = 100


def propose_saving(parent: QWidget, name: str) -> str:
    """Ask what is to become of a result; one of `SAVE`, `DISCARD`, `CANCEL`.

    Parameters
    ----------
    parent : QWidget
        The window in front of which the question stands.
    name : str
        Of the galaxy.
    """
    what = f"The result of {name} is in no file yet."
    return _ask(parent, "The result is not saved", what, "Save it before it goes?")


def propose_keeping(parent: QWidget, name: str, work: Sequence[str]) -> str:
    """Ask what is to become of what was made of a result; one of `SAVE`, `DISCARD`, `CANCEL`.

    Parameters
    ----------
    parent : QWidget
        The window in front of which the question stands.
    name : str
        Of the galaxy.
    work : sequence of str
        What there is.
    """
    what = f"In no workspace yet: {', '.join(work)} of {name}."
    return _ask(parent, "What was made of the result is not saved", what, "Save a workspace before another comes?")


def propose_stopping(parent: QWidget, stage: str, is_at_work: Callable[[], bool]) -> bool:
    """Ask whether work in the background may end before it is done.

    The question goes with the work: when that has come to its end, nothing is lost.

    Parameters
    ----------
    parent : QWidget
        The window in front of which the question stands.
    stage : str
        What is being done, as the progress bar says; it may say nothing yet.
    is_at_work : callable
        Whether it still is.
    """
    what = f"Still at work: {stage}" if stage else "Still at work."
    question = "Stop it? What it has computed so far is lost."
    return _ask(parent, "Not done yet", what, question, False, is_at_work) == DISCARD


def _ask(
    parent: QWidget,
    title: str,
    what: str,
    question: str,
    can_save: bool = True,
    stands: Callable[[], bool] = lambda: True,
) -> str:
    """The answer; `DISCARD` as soon as the question does not stand any more."""
    buttons = QMessageBox.StandardButton
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(what)
    box.setInformativeText(question)
    for button in (buttons.Save, buttons.Discard, buttons.Cancel)[not can_save :]:
        box.addButton(button)
    box.setDefaultButton(buttons.Save if can_save else buttons.Cancel)
    watch, discard = QTimer(box), box.button(buttons.Discard)
    watch.timeout.connect(lambda: None if discard is None or stands() else discard.click())
    watch.start(_LOOK_MS)
    answer = box.exec_() if hasattr(box, "exec_") else box.exec()
    return {buttons.Save: SAVE, buttons.Discard: DISCARD}.get(buttons(answer), CANCEL)


#: Guards of all windows: who exits napari closes them all.
_guards: weakref.WeakSet[CloseGuard] = weakref.WeakSet()


class CloseGuard(QObject):
    """Asks before a dock's x or a window's end.

    Parameters
    ----------
    widget : QWidget
        What stands in the dock.
    may_close : callable
        Bound method; False keeps the dock or window open.
    on_close : callable
        Bound method, called when the window closes: its canvas goes before its docks do.
    on_stay : callable
        Bound method, called when the window stays after all: napari's own question comes second.
    """

    def __init__(
        self,
        widget: QWidget,
        may_close: Callable[[], bool],
        on_close: Callable[[], None],
        on_stay: Callable[[], None],
    ) -> None:
        super().__init__(widget)
        self._on_stay = weakref.WeakMethod(on_stay)
        self._on_close = weakref.WeakMethod(on_close)
        self._may_close = weakref.WeakMethod(may_close)
        self._window: QMainWindow | None = None
        _guards.add(self)

    def asks_in(self, window: QMainWindow | None) -> bool:
        """Whether what is in no file may go with a window, or with all of them; the user is asked."""
        may_close = self._may_close()
        if self._window is None or window not in (None, self._window) or may_close is None:
            return True
        return may_close()

    def stay(self) -> None:
        """The window has not closed."""
        on_stay = self._on_stay()
        if self._window is not None and self._window.isVisible() and on_stay is not None:
            on_stay()

    def watch(self, widget: QWidget) -> None:
        """Watch the dock and the window that the widget has come into."""
        dock = _find_parent(widget, QDockWidget)
        if dock is not None and hasattr(dock, "destroyOnClose"):
            _ask_first(dock, self._may_close)
        window = widget.window()
        if isinstance(window, QMainWindow) and window is not self._window:
            self._window = window
            window.installEventFilter(self)
            window.destroyed.connect(make_weak_slot(self._forget_window))
            if "confirm_need" in inspect.signature(type(window).close).parameters:  # a window of napari
                _ask_before_menu(window)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep a window open whose x is pressed over an unsaved result; a script's ``close`` is not asked."""
        if event is None or event.type() != QEvent.Type.Close:
            return False
        may_close, on_close = self._may_close(), self._on_close()
        if event.spontaneous() and may_close is not None and not may_close():
            event.ignore()
            return True
        if event.spontaneous():
            QTimer.singleShot(0, self.stay)
        if on_close is not None:
            on_close()
        return False

    def _forget_window(self, _: object = None) -> None:
        """Qt has ended it without a word to the explorer."""
        self._window = None

    def release(self) -> None:
        """Watch no longer."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None


def _find_parent(widget: QWidget, kind: type[Any]) -> Any:
    parent: Any = widget.parentWidget()
    while parent is not None and not isinstance(parent, kind):
        parent = parent.parentWidget()
    return parent


def _ask_first(dock: Any, may_close: weakref.WeakMethod[Callable[[], bool]]) -> None:
    """Let the x of a napari dock ask; napari has no event for it."""
    destroy, reference = type(dock).destroyOnClose, weakref.ref(dock)

    def ask_and_destroy() -> None:
        target, here = may_close(), reference()
        if here is not None and (target is None or target()):
            destroy(here)

    dock.destroyOnClose = ask_and_destroy


def _ask_before_menu(window: Any) -> None:
    """Let napari's File > Close Window and File > Exit ask, which reach the window as a script's ``close`` does."""
    if "close" in vars(window):
        return
    close, reference = type(window).close, weakref.ref(window)

    def ask_and_close(quit_app: bool = False, confirm_need: bool = False) -> Any:
        here = reference()
        if here is None:
            return None
        asked = list(_guards) if confirm_need else []
        if not all(guard.asks_in(None if quit_app else here) for guard in asked):
            return False
        closed = close(here, quit_app=quit_app, confirm_need=confirm_need)
        if not closed:
            for guard in asked:
                guard.stay()
        return closed

    window.close = ask_and_close
