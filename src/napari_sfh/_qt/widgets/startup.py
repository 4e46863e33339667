"""What happens at the start of a window, and what happens only once with a configuration."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QOpenGLWidget

from napari_sfh.io.workspaces import recent_list_path

#: What napari says at every start of a window with this binding, on the terminal too.
QT5_NOTICE = "PyQt5"


def hide_qt_notice(window: Any) -> None:
    """Close napari's notice about PyQt5, which covers the scale bar at every start; the terminal has told it."""
    with suppress(ImportError):
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for notice in window.findChildren(NapariQtNotification):
            if QT5_NOTICE in notice.message.text():
                notice.close()


def make_canvas_opaque(window: Any) -> None:
    """Tell Qt that the canvas covers what is behind it: else three widgets paint their backgrounds there at each click.

    Parameters
    ----------
    window : QMainWindow
        napari's.
    """
    for canvas in window.findChildren(QOpenGLWidget):
        canvas.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)


def has_marker(name: str) -> bool:
    """Whether something that happens once has happened with this configuration."""
    return recent_list_path().with_name(name).exists()


def set_marker(name: str) -> None:
    """Note that it has happened; where the folder cannot be written, it comes again."""
    path = recent_list_path().with_name(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return
