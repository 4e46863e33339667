"""napari's own dialogs about files, and files that are dropped, in a window with the explorer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QWidget
from smooth_result import make_result
from window_acts import drop_and_press_ok, native_canvas, save_layers

from napari_sfh._qt.canvas.map_files import holds_map_image
from napari_sfh.demo import find_demo_folder
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import find_bundle_file
from napari_sfh.instruments.files import list_instruments
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


def test_weights_that_are_dropped_are_chosen_where_the_user_sees_them(shown: Any, qtbot: Any, tmp_path: Path) -> None:
    path, shipped, form = tmp_path / "mine.safetensors", find_bundle_file("phangs"), shown.network
    path.write_bytes(shipped.read_bytes())
    shown.files.unsaved = True  # weights end no result: nothing is asked
    assert drop_file(native_canvas(shown.viewer), path)
    qtbot.waitUntil(lambda: form.chosen_model == str(path), timeout=20_000)
    assert shown.wait(60)
    assert "mine.safetensors" in shown.message.text()
    assert not shown.is_error
    qtbot.waitUntil(lambda: not form.file.native.visibleRegion().isEmpty())
    QTest.mouseClick(form.card.native, Qt.MouseButton.LeftButton)
    (card,) = shown.findChildren(QDialog)
    assert card.windowTitle() == "Model card: phangs", "of the file, not of the list"
    card.close()
    assert drop_file(shown, shipped)
    qtbot.waitUntil(lambda: form.chosen_model == "phangs", timeout=20_000)
    assert form.model.value == "phangs"
    assert not form.has_file


@pytest.mark.parametrize(("name", "told"), [("muse-hst", "choose weights .* wide"), ("sdss", "train some")])
def test_an_instrument_that_is_dropped_says_where_the_window_has_its_own(
    shown: Any, qtbot: Any, name: str, told: str
) -> None:
    shown.files.unsaved = True
    assert drop_file(native_canvas(shown.viewer), list_instruments()[name])
    qtbot.waitUntil(lambda: "instrument" in shown.message.text(), timeout=20_000)
    with pytest.raises(SfhInputError, match=f"the instrument {name}.*{told}"):
        shown.finish(60)
    assert shown.network.chosen_model != name


def test_broken_weights_are_told_and_not_chosen(shown: Any, qtbot: Any, tmp_path: Path) -> None:
    path, before = tmp_path / "half.safetensors", shown.network.chosen_model
    path.write_bytes(b"half")
    assert drop_file(shown, path)
    qtbot.waitUntil(lambda: "half.safetensors" in shown.message.text() and shown.is_error, timeout=20_000)
    with pytest.raises(SfhInputError, match=r"half\.safetensors"):
        shown.finish(60)
    assert shown.network.chosen_model == before


def test_our_reader_is_ticked_for_the_folders_of_a_galaxy_and_of_a_training(
    shown: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.safetensors").write_bytes(find_bundle_file("wide").read_bytes())
    opened: list[str] = []
    monkeypatch.setattr(type(shown.files), "open_chosen", lambda _, path: opened.append(path))
    for folder in (str(tmp_path), str(find_demo_folder())):
        assert drop_and_press_ok(shown.viewer, Path(folder)) == ["napari-sfh"]
        qtbot.waitUntil(lambda folder=folder: opened[-1:] == [folder], timeout=20_000)


def test_the_folder_of_a_training_is_its_weights(shown: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle.safetensors"
    path.write_bytes(find_bundle_file("wide").read_bytes())
    shown.open(tmp_path)
    shown.finish(60)
    assert shown.network.chosen_model == str(path)
