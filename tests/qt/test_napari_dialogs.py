"""napari's own dialogs about files, in a window with the explorer."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QLineEdit
from window_acts import window

from napari_sfh._qt.canvas.map_files import holds_map_image


def save_layers(viewer: Any, name: str, choose: str = "") -> str:
    """Save the selected layers by napari's menu: choose a type in the dialog, type a name, press Return.

    Returns the type that was chosen when the name had been typed.
    """
    asker = window(viewer)._qt_viewer
    seen: list[str] = []

    def type_name() -> None:
        dialogs = asker.findChildren(QFileDialog)
        if not dialogs:
            QTimer.singleShot(50, type_name)
            return
        try:
            dialog = dialogs[0]
            kinds = [kind for kind in dialog.nameFilters() if choose in kind]
            dialog.selectNameFilter(kinds[0])
            field = dialog.findChild(QLineEdit)
            field.setText(name)
            seen.append(dialog.selectedNameFilter())
            gc.collect()  # what only Python knows of the dialog goes
            QTest.keyClick(field, Qt.Key.Key_Return)
        finally:
            QTimer.singleShot(5000, lambda: [each.close() for each in asker.findChildren(QFileDialog)])

    QTimer.singleShot(50, type_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asker._save_layers_dialog(selected=True)
    return seen[0]


@pytest.mark.parametrize("choose", ["lossless", "SFH result"])
def test_layers_are_saved_by_the_ending_of_the_name(shown: Any, tmp_path: Path, choose: str) -> None:
    assert shown.viewer.layers.selection.active.name.startswith("LW age")
    assert choose in save_layers(shown.viewer, str(tmp_path / "age.fits"), choose)
    assert holds_map_image(tmp_path / "age.fits") is (choose != "SFH result"), "a type that has the ending stays"
