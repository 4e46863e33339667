"""Long work: it can be cancelled, and no error is swallowed. Times are measured by benchmarks/bench_viewer.py."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from superqt.utils import WorkerBase

from napari_sfh._qt.jobs.workers import BackgroundJob, explain_error, run_guarded
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Progress


def ignore(step: Progress) -> None:
    """Nobody listens."""


def endless(progress: ReportProgress, cancel: threading.Event) -> str:
    n = 0
    while not cancel.is_set():
        n += 1
        progress(Progress("waiting", n, 0))
        time.sleep(0.01)
    return "what was done"


def test_runtime_errors_become_compute_errors() -> None:
    def fails(progress: ReportProgress, cancel: threading.Event) -> None:
        progress(Progress("a", 0, 1))
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    with pytest.raises(ComputeError, match=r"out of memory.*choose the device cpu"):
        run_guarded(fails, ignore, threading.Event())


def test_a_cancel_gives_nothing() -> None:
    def stopped(progress: ReportProgress, cancel: threading.Event) -> None:
        raise Cancelled("a part that the window does not know")

    assert run_guarded(stopped, ignore, threading.Event()) is None


def test_other_errors_pass() -> None:
    def fails(progress: ReportProgress, cancel: threading.Event) -> None:
        progress(Progress("a", 0, 1))
        raise SfhInputError("cube.fits: no DATA; choose a MUSE cube")

    with pytest.raises(SfhInputError, match="no DATA"):
        run_guarded(fails, ignore, threading.Event())


def test_progress_is_thinned_but_stages_and_ends_are_kept() -> None:
    def busy(progress: ReportProgress, cancel: threading.Event) -> int:
        for stage in ("one", "two"):
            for i in range(1, 1001):
                progress(Progress(stage, i, 1000))
        return 7

    steps: list[Progress] = []
    assert run_guarded(busy, steps.append, threading.Event()) == 7
    assert len(steps) < 100
    assert steps[0] == Progress("one", 1, 1000)
    assert Progress("one", 1000, 1000) in steps
    assert steps[-1] == Progress("two", 1000, 1000)


def test_cancel_returns_what_was_done(qtbot) -> None:
    heard: dict[str, object] = {"steps": 0}

    def count(step: Progress) -> None:
        heard["steps"] += 1

    job = BackgroundJob(count, lambda value: heard.update(value=value), lambda error: heard.update(error=error))
    job.start(endless)
    qtbot.waitUntil(lambda: heard["steps"] > 2, timeout=120_000)
    assert job.running
    with pytest.raises(ComputeError, match="in progress"):
        job.start(endless)
    job.stop()
    assert job.cancelling
    qtbot.waitUntil(lambda: "value" in heard, timeout=120_000)
    assert heard["value"] == "what was done"
    assert not job.running


def test_work_that_does_not_listen_is_let_go(qtbot) -> None:
    release = threading.Event()

    def deaf(progress: ReportProgress, cancel: threading.Event) -> str:
        progress(Progress("a library", 0, 0))
        release.wait(60)
        return "partial"

    heard: list[object] = []
    steps: list[Progress] = []
    job = BackgroundJob(steps.append, heard.append, heard.append)
    job.start(deaf)
    qtbot.waitUntil(lambda: bool(steps), timeout=120_000)
    job.stop()
    qtbot.waitUntil(lambda: heard == [None], timeout=120_000)
    assert not job.running
    assert not release.is_set(), "the library still computes"
    release.set()
    qtbot.waitUntil(lambda: heard == [None, "partial"], timeout=120_000)


def test_a_late_result_does_not_disturb_the_next_run(qtbot) -> None:
    release = threading.Event()

    def deaf(progress: ReportProgress, cancel: threading.Event) -> str:
        progress(Progress("a library", 0, 0))
        release.wait(60)
        return "old"

    heard: list[object] = []
    job = BackgroundJob(lambda _: None, heard.append, heard.append)
    job.start(deaf)
    job.stop()
    qtbot.waitUntil(lambda: heard == [None], timeout=120_000)
    job.start(endless)
    release.set()
    qtbot.wait(200)
    job.stop()
    qtbot.waitUntil(lambda: len(heard) == 2, timeout=120_000)
    qtbot.wait(50)
    assert heard == [None, "what was done"]


def test_errors_arrive_and_the_job_is_free_again(qtbot) -> None:
    def fails(progress: ReportProgress, cancel: threading.Event) -> None:
        progress(Progress("a", 0, 1))
        raise RuntimeError("the disk fell over")

    errors: list[Exception] = []
    job = BackgroundJob(lambda _: None, lambda _: None, errors.append)
    job.start(fails)
    qtbot.waitUntil(lambda: bool(errors), timeout=120_000)
    assert not job.running
    sentence, details = explain_error(errors[0])
    assert sentence.startswith("the disk fell over")
    assert "Traceback" in details


def test_an_abandoned_job_calls_nobody(qtbot) -> None:
    heard: list[object] = []
    before = threading.active_count()
    job = BackgroundJob(heard.append, heard.append, heard.append)
    job.start(endless)
    job.abandon()
    qtbot.wait(200)
    heard.clear()
    qtbot.wait(200)
    assert heard == []
    assert threading.active_count() <= before + 1


def test_napari_quitting_the_worker_sets_the_event(qtbot) -> None:
    heard: list[object] = []
    job = BackgroundJob(lambda _: None, heard.append, heard.append)
    job.start(endless)
    WorkerBase.await_workers()  # what napari calls when its window is closed
    qtbot.waitUntil(lambda: heard == ["what was done"], timeout=120_000)


def test_unexpected_errors_are_one_sentence() -> None:
    sentence, _ = explain_error(KeyError("x"))
    assert sentence.startswith("KeyError")
    assert "\n" not in sentence


_CONVERT_BESIDE_WORK = """
import os, threading
from qtpy.QtCore import QCoreApplication, QThread
from qtpy.QtGui import QImage
from napari_sfh._qt.jobs.workers import BackgroundJob

app, done = QCoreApplication([]), threading.Event()
jobs = [BackgroundJob(print, print, print) for _ in range(QThread.idealThreadCount() + 2)]
for job in jobs:
    job.start(lambda progress, cancel: done.wait())
image = QImage(1000, 1000, QImage.Format.Format_RGB16)
print(image.convertToFormat(QImage.Format.Format_RGBA64).width(), flush=True)
os._exit(0)
"""


def test_qt_has_threads_for_a_large_image_beside_the_work() -> None:
    """It waits for them for good where all are taken."""
    told = subprocess.run([sys.executable, "-c", _CONVERT_BESIDE_WORK], capture_output=True, text=True, timeout=60)
    assert told.stdout.startswith("1000"), told.stderr
