"""napari's own dialogs about files, and files that are dropped, in a window with the explorer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QWidget
from smooth_result import make_result
from window_acts import native_canvas, save_layers

from napari_sfh._qt.canvas.map_files import holds_map_image
from napari_sfh.io.results import write_result


@pytest.mark.parametrize("choose", ["lossless", "SFH result"])
def test_layers_are_saved_by_the_ending_of_the_name(shown: Any, tmp_path: Path, choose: str) -> None:
    assert shown.viewer.layers.selection.active.name.startswith("LW age")
    assert choose in save_layers(shown.viewer, str(tmp_path / "age.fits"), choose)
    assert holds_map_image(tmp_path / "age.fits") is (choose != "SFH result"), "a type that has the ending stays"


def drop_file(widget: QWidget, path: Path) -> bool:
    """Drop a file on a widget; whether anything has taken it."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    how = Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(3, 3), *how)
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(3, 3), *how))
    return bool(enter.isAccepted())


def test_a_file_may_be_dropped_anywhere_on_the_window(shown: Any, tmp_path: Path) -> None:
    path = tmp_path / "arms.reg"
    path.write_text("image\ncircle(20, 20, 8) # text={arms}\n")
    for widget in (shown, shown.panel.plots.viewport(), native_canvas(shown.viewer)):
        assert drop_file(widget, path)
        assert shown.wait(60)
        assert [outline.name for outline in shown.tools["region"].region.outlines()] == ["arms"]
        shown.tools["region"].clear()


def test_regions_wait_for_the_result_that_is_coming_in(shown: Any, tmp_path: Path) -> None:
    other = replace(make_result(seed=5), name="another")
    path = tmp_path / "arms.reg"
    path.write_text("image\ncircle(20, 20, 8) # text={arms}\n")
    shown.open(write_result(other, tmp_path / "other_sfh.fits"))
    assert drop_file(native_canvas(shown.viewer), path)
    assert shown.wait(60)
    assert shown.session.result.name == "another"
    assert [region.name for region in shown.session.regions] == ["arms"]
