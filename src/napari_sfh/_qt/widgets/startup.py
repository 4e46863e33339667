"""A window that opens without a notice over the scale bar."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

_LOG = logging.getLogger("napari_sfh")
#: What napari says at every start of a window with this binding.
QT5_NOTICE = "PyQt5"
_told: list[bool] = []


def hide_qt_notice(window: Any) -> None:
    """Close napari's notice about PyQt5, which covers the scale bar at every start; it is told once, in the log."""
    with suppress(ImportError):
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for notice in window.findChildren(NapariQtNotification):
            if QT5_NOTICE in notice.message.text():
                notice.close()
                _tell_once()


def _tell_once() -> None:
    if not _told:
        _told.append(True)
        _LOG.warning("napari will end its support for PyQt5: install PyQt6 (pip install 'napari-sfh[pyqt6]')")
