"""A window that opens without a notice over the scale bar."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

#: What napari says at every start of a window with this binding, on the terminal too.
QT5_NOTICE = "PyQt5"


def hide_qt_notice(window: Any) -> None:
    """Close napari's notice about PyQt5, which covers the scale bar at every start; the terminal has told it."""
    with suppress(ImportError):
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for notice in window.findChildren(NapariQtNotification):
            if QT5_NOTICE in notice.message.text():
                notice.close()
