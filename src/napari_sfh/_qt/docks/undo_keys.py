"""Ctrl+Z in the window: selection, compared and pinned bins, regions, hidden bins and limits of colours."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.canvas.shown_map import TYPED
from napari_sfh._qt.forms.fields import fill_form, read_form
from napari_sfh._qt.undo import Snapshot, UndoHistory, describe_step

#: Milliseconds between two looks whether the mouse, which drags a slider, has let go: a drag is one step.
HELD_MS = 50
#: Events with which an act begins.
_BEGINS = (QEvent.Type.MouseButtonPress, QEvent.Type.KeyPress)
#: Fields of the form of maps that are undone.
MAP_FIELDS = ("quantity", "error", "min_snr", "hide_flagged", "flags", "limits")


class UndoKeys(QObject):
    """The history of one explorer.

    Parameters
    ----------
    explorer : Explorer
    """

    def __init__(self, explorer: Any) -> None:
        super().__init__(explorer)
        self._explorer: Any = weakref.proxy(explorer)
        self.history = UndoHistory(self._capture, self._restore, describe_step)
        self._told = ""
        self._single: tuple[str, tuple[float, ...] | None] = explorer.map.limits.value, None  # limits of one map
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._keep)
        explorer.session.selection_changed.connect(self.wait)
        explorer.stack.display.changed.connect(self.wait)
        form = explorer.map
        for name in MAP_FIELDS:
            getattr(form, name).changed.connect(self.wait)
        form.low.changed.connect(self.wait)
        form.high.changed.connect(self.wait)

    def watch(self, window: Any) -> None:
        """Hear of the mouse and keys of a window before its widgets do."""
        handle = window.windowHandle()
        if handle is not None:
            handle.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """A button or key that goes down begins another act: what was done before is a step of its own."""
        if event is not None and event.type() in _BEGINS and self._timer.isActive():
            self._timer.stop()
            self._note()
        return False

    def wait(self, _: object = None) -> None:
        """Something has changed: all that one act changes is one step."""
        if self._explorer.session.result is not None and not self._timer.isActive():
            self._timer.start(0)

    def _keep(self) -> None:
        """Keep a step, unless the mouse still drags."""
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._timer.start(HELD_MS)
        else:
            self._note()

    def _note(self) -> None:
        """Keep a step: what was undone before it cannot be done again, and is told no longer."""
        if self.history.note():
            self._explorer.forget_message(self._told)

    def _capture(self) -> Snapshot:
        explorer = self._explorer
        form, display = read_form(explorer.map), explorer.stack.display
        if display.is_grid:  # four maps have no limits of their own: those before and after are no step
            form["limits"], limits = self._single
        else:
            layer = display.find_layer(display.shown) if form["limits"] == TYPED else None
            limits = None if layer is None else tuple(float(value) for value in layer.contrast_limits)
            self._single = form["limits"], limits
        outlines = explorer.tools["region"].region.state()
        return {
            "session": explorer.session.state(),
            "maps": {name: form[name] for name in MAP_FIELDS if name in form},
            "limits": limits,
            "outlines": outlines,
        }

    def _restore(self, state: Snapshot) -> None:
        explorer = self._explorer
        now = self._capture()
        if state["maps"] != now["maps"]:
            fill_form(explorer.map, state["maps"])
        if state["outlines"] != now["outlines"]:
            explorer.tools["region"].region.restore(state["outlines"])
        if state["session"] != now["session"]:
            explorer.session.restore(state["session"])
        if state["limits"] is not None and state["maps"].get("limits") == TYPED:
            explorer.stack.type_limits(*state["limits"])
        self._timer.stop()

    def undo(self, _: object = None) -> None:
        """Ctrl+Z."""
        done = self.history.undo()
        self._tell("There is nothing to undo." if done is None else f"Undone: {done}. Ctrl+Shift+Z does it again.")

    def redo(self, _: object = None) -> None:
        """Ctrl+Shift+Z."""
        done = self.history.redo()
        self._tell("There is nothing to do again." if done is None else f"Done again: {done}.")

    def _tell(self, words: str) -> None:
        self._told = words
        self._explorer.show_message(words)

    def release(self) -> None:
        """Listen no longer."""
        self._timer.stop()
        self._explorer.session.selection_changed.disconnect(self.wait, missing_ok=True)
        self._explorer.stack.display.changed.disconnect(self.wait, missing_ok=True)
