"""What ends something asks first: closing, another galaxy, a workspace, a run."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QDialog,
    QMessageBox,
)
from window_acts import open_explorer

from napari_sfh._qt.docks import closing
from napari_sfh.analysis.regions import Outline
from napari_sfh.io.results import write_result
from napari_sfh.types import Progress, Result


@pytest.mark.parametrize("answer", [closing.CANCEL, closing.DISCARD])
@pytest.mark.parametrize("act", ["run", "open", "recent"])
def test_what_would_end_an_unsaved_result_asks(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, act: str
) -> None:
    asked: list[str] = []
    begun: list[object] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or answer)
    monkeypatch.setattr("napari_sfh._qt.files.show_file_dialog", lambda *_, **__: tmp_path / "other.fits")
    monkeypatch.setattr(type(opened), "start", lambda _, work, *after: begun.append(work))
    opened.files.unsaved = True
    with opened.data.cube.line_edit.changed.blocked():
        opened.data.cube.line_edit.value = str(tmp_path / "cube.fits")
    opened.refresh()
    if act == "recent":
        opened.file_row.chosen.emit(str(tmp_path / "other.fits"))
    else:
        (opened.run_button if act == "run" else opened.file_row.open).changed.emit(True)
    assert asked == [opened.session.result.name]
    assert len(begun) == (answer == closing.DISCARD)


def test_what_was_made_of_a_saved_result_is_asked_about_before_another_galaxy_comes(
    opened: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    begun: list[object] = []
    buttons = QMessageBox.StandardButton
    answers = [buttons.Cancel, buttons.Discard, buttons.Save]
    monkeypatch.setattr(QMessageBox, "exec_", lambda box: asked.append(box.text()) or answers[len(asked) - 1])
    monkeypatch.setattr("napari_sfh._qt.files.show_file_dialog", lambda *_, **__: tmp_path / "work.json")
    opened.files.set_result_path(write_result(opened.session.result, tmp_path / "r.fits"))
    corners = np.array([[5.0, 5.0], [5.0, 35.0], [35.0, 35.0], [35.0, 5.0]])
    opened.tools["region"].region.set_outlines([Outline(corners), Outline(corners / 2)])
    galaxy = tmp_path / "galaxy"
    galaxy.mkdir()

    def type_folder() -> None:
        opened.data.folder.line_edit.value = str(galaxy)

    with monkeypatch.context() as only:
        only.setattr(type(opened), "start", lambda _, work, *after: begun.append(work))
        type_folder()
        assert "2 regions" in asked[0]
        assert not begun
        assert opened.data.folder.line_edit.value == ""
        type_folder()
        assert len(begun) == 1
    opened.data.folder.line_edit.value = ""
    type_folder()
    opened.wait(60)
    assert (tmp_path / "work.json").exists()
    type_folder()
    opened.wait(60)
    assert len(asked) == 3, "what is in a workspace is not asked about"


def close_by_x(dock: Any) -> None:
    """Press the x of the explorer's dock."""
    holder = dock.parentWidget()
    QTest.mouseClick(holder.titleBarWidget().close_button, Qt.MouseButton.LeftButton)


def test_a_comparison_and_contours_in_no_workspace_are_asked_about(
    shown: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "napari_sfh._qt.files.propose_keeping", lambda _, __, work: asked.extend(work) or closing.CANCEL
    )
    path = write_result(replace(result, name="NGC0001"), tmp_path / "other_sfh.fits")
    shown.tools["composite"].show_contours("AGE_MW")
    shown.tools["compare"].load(path)
    shown.finish(60)
    shown.files.open_chosen(path)
    shown.finish(60)
    assert [line.split(" of ")[0].split(" with ")[0] for line in asked] == ["contours", "the comparison"]
    assert shown.session.result is result, "Cancel: nothing was opened"
    shown.save_workspace(tmp_path / "work.json")
    shown.finish(60)
    asked.clear()
    shown.files.open_chosen(path)
    shown.finish(60)
    assert not asked
    assert shown.session.result.name == "NGC0001"


@pytest.mark.parametrize("answer", [closing.CANCEL, closing.DISCARD])
def test_closing_asks_and_another_explorer_finds_the_result(
    opened: Any, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or answer)
    viewer, result = opened.viewer, opened.session.result
    opened.files.unsaved = True
    close_by_x(opened)
    assert asked == [result.name]
    if answer == closing.CANCEL:
        assert open_explorer(viewer) is opened
        return
    layers = list(viewer.layers)
    again = open_explorer(viewer)
    assert again is not opened
    assert again.wait(120)
    assert again.session.result is result
    assert list(viewer.layers) == layers
    again.session.select(5)
    assert len(again.stack.marks.overlay.vertices)


def test_closing_during_a_run_asks_before_it_is_stopped(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that comes while the question stands is asked about, too: both were lost without a word."""
    ended = threading.Event()
    asked: list[str] = []

    def keep_going(parent: Any, stage: str, _: Any) -> bool:
        asked.append(stage)
        return False

    def let_it_come(parent: Any, stage: str, _: Any) -> bool:
        ended.set()
        assert opened.wait(60)
        opened.files.unsaved = True
        return True

    opened.start(lambda progress, cancel: ended.wait(60) and None, lambda _: None)
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", keep_going)
    opened.window().close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert opened.busy
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", let_it_come)
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.CANCEL)
    opened.window().close(quit_app=False, confirm_need=True)
    assert asked[1:] == [opened.session.result.name]
    assert opened.window().isVisible()


def test_the_question_goes_with_the_work_that_it_is_about(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said "still at work" beside "saved", and that what was computed would be lost."""
    ended = threading.Event()
    texts: list[str] = []
    execute = getattr(QMessageBox, "exec_", None) or QMessageBox.exec

    def let_it_end(box: QMessageBox) -> int:
        texts.append(box.text())
        QTimer.singleShot(0, ended.set)
        QTimer.singleShot(5000, box.reject)
        return int(execute(box))

    monkeypatch.setattr(QMessageBox, "exec_", let_it_end, raising=False)
    opened.start(lambda progress, cancel: ended.wait(20) and None, lambda _: None)
    assert opened.may_leave()
    assert ["Still at work" in text for text in texts] == [True]


def test_naparis_menu_asks_before_the_window_goes(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda _, name: asked.append(name) or closing.CANCEL)
    opened.files.unsaved = True
    (leave,) = (action for action in opened.viewer.window.file_menu.actions() if action.text() == "Exit")
    leave.trigger()
    assert asked == [opened.session.result.name]
    opened.window().close(quit_app=False, confirm_need=True)  # what Ctrl+W calls where the window has the keys
    assert len(asked) == 2
    assert opened.window().isVisible()


def test_a_result_is_kept_where_the_window_stays_after_all(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discard, then Cancel of napari's own question: the result is in no file as before."""
    asked: list[object] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_saving", lambda *_: closing.DISCARD)
    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    monkeypatch.setattr(QDialog, "exec_", lambda dialog: asked.append(dialog) or QDialog.DialogCode.Rejected)
    opened.files.unsaved = True
    opened.window().close(quit_app=False, confirm_need=True)
    assert len(asked) == 1
    assert opened.window().isVisible()
    assert opened.files.unsaved


def test_the_question_names_the_stage_of_the_work_that_runs(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one at which another was cancelled: the new one may have told none yet."""
    told: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", lambda _, stage, __: bool(told.append(stage)))
    begun, go_on = threading.Event(), threading.Event()
    stages: list[str] = []

    def work(progress: Any, _: threading.Event) -> None:
        for stage in stages:
            progress(Progress(stage, 0, 0))
        begun.set()
        go_on.wait(20)

    for stage in ("", "writing the result"):
        stages[:] = [stage] if stage else []
        begun.clear()
        go_on.clear()
        opened.show_progress(Progress("predicting", 3, 9), cancelling=False)
        opened.show_running(True, True)
        assert opened.stage.value == "Cancelling…"
        opened.start(work, lambda _: None)
        assert begun.wait(20)
        QTest.qWait(150)
        assert not opened.may_leave()
        go_on.set()
        opened.finish(60)
    assert told[0] == ""
    assert told[1].startswith("Writing the result")
