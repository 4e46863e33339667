"""Blocking calls as generators that can be left."""

import threading
import time

import pytest

from napari_sfh.progress import POLL_SECONDS, in_background


def _finish(work):
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def test_value_and_progress():
    steps, value = _finish(in_background(lambda: time.sleep(2.5 * POLL_SECONDS) or 7, "waiting"))
    assert value == 7
    assert {s.stage for s in steps} == {"waiting"}
    assert len(steps) >= 2


def test_an_exception_comes_through():
    def fail():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        _finish(in_background(fail, "failing"))


def test_cancel_returns_at_once():
    cancel, release = threading.Event(), threading.Event()
    work = in_background(lambda: release.wait(30), "waiting", cancel)
    next(work)
    cancel.set()
    start = time.perf_counter()
    _, value = _finish(work)
    release.set()
    assert value is None
    assert time.perf_counter() - start < 1
