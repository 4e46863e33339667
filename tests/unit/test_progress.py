"""Progress and cancel, and blocking calls that can be left."""

import math
import os
import threading
import time

import pytest

from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.io.workspaces import read_workspace
from napari_sfh.jobs import POLL_SECONDS, report_progress, run_in_background, run_in_process
from napari_sfh.types import Progress


def test_a_step_is_told_unless_it_was_cancelled():
    steps, cancel = [], threading.Event()
    report_progress(Progress("spectra", 1, 2), steps.append, cancel)
    report_progress(Progress("spectra", 2, 2))
    cancel.set()
    with pytest.raises(Cancelled) as caught:
        report_progress(Progress("maps", 0, 1), steps.append, cancel)
    assert steps == [Progress("spectra", 1, 2)]
    assert caught.value.reached is None


def test_value_and_progress():
    steps = []
    assert run_in_background(lambda: time.sleep(2.5 * POLL_SECONDS) or 7, "waiting", steps.append) == 7
    assert {s.stage for s in steps} == {"waiting"}
    assert len(steps) >= 2


def test_an_exception_comes_through():
    def fail():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        run_in_background(fail, "failing")


def test_cancel_ends_the_wait_at_once():
    cancel, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        release.wait(60)
        ended.set()

    with pytest.raises(Cancelled):
        run_in_background(work, "waiting", lambda step: cancel.set(), cancel)
    assert not ended.is_set()
    release.set()


def test_a_process_of_its_own_gives_the_value():
    steps = []
    assert run_in_process(math.hypot, (3.0, 4.0), "computing", steps.append) == 5.0
    assert {s.stage for s in steps} == {"computing"}
    assert run_in_process(os.getpid, (), "computing") != os.getpid()


def test_what_a_library_prints_does_not_harm_the_answer():
    assert run_in_process(print, ("pPXF says hello",), "computing") is None
    assert run_in_process(os.write, (1, b"and so does C"), "computing") == 13


def test_errors_of_a_process(tmp_path):
    with pytest.raises(SfhInputError, match=r"nowhere.json"):
        run_in_process(read_workspace, (tmp_path / "nowhere.json",), "reading")
    with pytest.raises(ComputeError, match=r"^ValueError: .*this is a fault") as caught:
        run_in_process(math.sqrt, (-1.0,), "computing")
    assert "math.sqrt" not in str(caught.value)
    assert "Traceback" in caught.value.__notes__[0]
    with pytest.raises(ComputeError, match="computing: its process ended with"):
        run_in_process(os._exit, (3,), "computing")


def test_cancel_ends_the_process():
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        run_in_process(time.sleep, (3600,), "sleeping", lambda step: cancel.set(), cancel)
    for thread in threading.enumerate():
        if "sleeping" in thread.name:
            thread.join(60)
            assert not thread.is_alive()
