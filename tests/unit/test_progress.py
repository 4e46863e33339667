"""Blocking calls as generators that can be left."""

import math
import os
import threading
import time

import pytest

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.workspaces import read_workspace
from napari_sfh.jobs import POLL_SECONDS, run_in_background, run_in_process


def _finish(work):
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def test_value_and_progress():
    steps, value = _finish(run_in_background(lambda: time.sleep(2.5 * POLL_SECONDS) or 7, "waiting"))
    assert value == 7
    assert {s.stage for s in steps} == {"waiting"}
    assert len(steps) >= 2


def test_an_exception_comes_through():
    def fail():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        _finish(run_in_background(fail, "failing"))


def test_cancel_returns_at_once():
    cancel, release = threading.Event(), threading.Event()
    work = run_in_background(lambda: release.wait(30), "waiting", cancel)
    next(work)
    cancel.set()
    start = time.perf_counter()
    _, value = _finish(work)
    release.set()
    assert value is None
    assert time.perf_counter() - start < 1


def test_a_process_of_its_own_gives_the_value():
    steps, value = _finish(run_in_process(math.hypot, (3.0, 4.0), "computing"))
    assert value == 5.0
    assert {s.stage for s in steps} <= {"computing"}
    assert _finish(run_in_process(os.getpid, (), "computing"))[1] != os.getpid()


def test_what_a_library_prints_does_not_harm_the_answer():
    assert _finish(run_in_process(print, ("pPXF says hello",), "computing"))[1] is None
    assert _finish(run_in_process(os.write, (1, b"and so does C"), "computing"))[1] == 13


def test_errors_of_a_process(tmp_path):
    with pytest.raises(SfhInputError, match=r"nowhere.json"):
        _finish(run_in_process(read_workspace, (tmp_path / "nowhere.json",), "reading"))
    with pytest.raises(ComputeError, match=r"^ValueError: .*this is a fault") as caught:
        _finish(run_in_process(math.sqrt, (-1.0,), "computing"))
    assert "math.sqrt" not in str(caught.value)
    assert "Traceback" in caught.value.__notes__[0]
    with pytest.raises(ComputeError, match=r"computing: its process ended with status 3 \(no message\); try again"):
        _finish(run_in_process(os._exit, (3,), "computing"))


def test_cancel_ends_the_process():
    cancel = threading.Event()
    work = run_in_process(time.sleep, (3600,), "sleeping", cancel)
    next(work)
    cancel.set()
    _, value = _finish(work)
    assert value is None
    for thread in threading.enumerate():
        if "sleeping" in thread.name:
            thread.join(60)
            assert not thread.is_alive()
