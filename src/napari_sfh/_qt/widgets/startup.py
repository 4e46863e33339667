"""A window that is painted as soon as it can be, and opens without a notice over the scale bar."""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from typing import Any

from qtpy.QtWidgets import QApplication

#: What napari says at every start of a window with this binding, on the terminal too.
QT5_NOTICE = "PyQt5"
#: What the explorer imports beyond napari, without Qt: half of the time until it is there.
SLOW_MODULES = ("napari_sfh._qt.jobs.tasks", "napari_sfh._qt.jobs.tool_tasks")
#: Seconds between two looks whether it is imported.
_TURN_SECONDS = 0.02


def fill_screen(window: Any) -> None:
    """Give napari's window the size of the screen."""
    screen = QApplication.primaryScreen()
    if screen is not None:
        room = screen.availableGeometry()
        window.set_geometry(room.left(), room.top(), room.width(), room.height())


def paint_now() -> None:
    """Let the window paint what is due."""
    QApplication.processEvents()


def load_while_painted() -> None:
    """Paint the window, and import `SLOW_MODULES` in a thread while it stays so."""
    paint_now()
    thread = threading.Thread(target=_load_slow_modules, name="napari-sfh imports", daemon=True)
    thread.start()
    while thread.is_alive():
        paint_now()
        thread.join(_TURN_SECONDS)


def _load_slow_modules() -> None:
    """What fails here fails again where it is needed, and is told there."""
    with suppress(Exception):
        for name in SLOW_MODULES:
            importlib.import_module(name)


def hide_qt_notice(window: Any) -> None:
    """Close napari's notice about PyQt5, which covers the scale bar at every start; the terminal has told it."""
    with suppress(ImportError):
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for notice in window.findChildren(NapariQtNotification):
            if QT5_NOTICE in notice.message.text():
                notice.close()
