"""Progress and cancel, and blocking calls that can be left."""

import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from napari_sfh import jobs
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.io.workspaces import read_workspace
from napari_sfh.jobs import POLL_SECONDS, report_progress, run_in_background
from napari_sfh.processes.calls import CallAhead, ChildPython, run_in_process, start_process
from napari_sfh.processes.held_values import HeldBy, HeldValue
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


@pytest.mark.parametrize("cores", [1, 3])
def test_blocks_come_in_the_order_of_their_rows(monkeypatch, cores):
    monkeypatch.setattr(jobs, "count_cores", lambda: cores)
    found = list(jobs.compute_blocks(lambda rows: (rows.stop - rows.start, threading.get_ident()), 10, 4))
    assert [rows for rows, _ in found] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert [size for _, (size, _) in found] == [4, 4, 2]
    here = {thread == threading.get_ident() for _, (_, thread) in found}
    assert here == {cores == 1}
    assert not list(jobs.compute_blocks(lambda rows: 1 / 0, 0, 4))


def test_a_block_that_fails_is_the_last_but_those_under_way(monkeypatch):
    monkeypatch.setattr(jobs, "count_cores", lambda: 2)
    begun, go_on = [], threading.Event()

    def step(rows):
        begun.append(rows.start)
        if rows.start == 0:
            raise OSError("disk")
        go_on.wait(60)

    blocks = jobs.compute_blocks(step, 100, 1)
    release = threading.Timer(0.2, go_on.set)
    release.start()
    with pytest.raises(OSError, match="disk"):
        next(blocks)
    release.join()
    assert len(begun) < 100


@pytest.mark.parametrize(("asked", "most"), [("1", 1), ("", os.cpu_count()), ("4096", os.cpu_count()), ("2,1", None)])
def test_cores_are_those_of_the_process_and_of_openmp(monkeypatch, asked, most):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert 1 <= jobs.count_cores() <= (most or os.cpu_count())


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


def test_a_process_that_stands_by_has_loaded_its_modules_and_ends_with_the_context():
    with start_process(["fractions", "napari_sfh.io.workspaces"]) as child:
        found = run_in_process(eval, ("'fractions' in __import__('sys').modules",), "computing", child=child)
    assert found is True
    assert child.process.returncode == 0
    with start_process(["no.such.module"]) as child, pytest.raises(ComputeError, match="ModuleNotFoundError"):
        run_in_process(os.getpid, (), "computing", child=child)
    with start_process([]) as unused:
        assert unused.process.poll() is None
    assert unused.process.returncode is not None


def test_a_process_passes_over_what_nobody_asks_for_and_takes_arrays():
    with start_process([]) as child:
        child.begin(math.hypot, (3.0, 4.0))
        child.load(["fractions"])
        assert run_in_process(eval, ("'fractions' in __import__('sys').modules",), "computing", child=child)
        sent = np.arange(12.0).reshape(3, 4)
        got = run_in_process(np.multiply, (sent, sent.T.T), "computing", child=child)
        np.testing.assert_array_equal(got, sent**2)
        got += 1  # a value is the caller's own
        assert run_in_process(os.getpid, (), "computing", child=child) == child.process.pid


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


AHEAD = """
from napari_sfh.errors import Cancelled
from napari_sfh.types import Progress

def work(progress, cancel):
    for done in range(3):
        progress(Progress("counting", done, 3))
    return "value"

def wait_long(progress, cancel):
    progress(Progress("waiting", 0, 0))
    if not cancel.wait(60):
        return "nobody asked it to stop"
    raise Cancelled("what was reached")
"""


@pytest.fixture
def ahead(tmp_path, monkeypatch):
    """A module with calls that may be begun ahead."""
    (tmp_path / "calls_ahead.py").write_text(AHEAD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


def test_a_process_holds_what_a_call_leaves_for_one_later_call():
    child = ChildPython()
    try:
        first = child.begin(HeldValue, ("told", [1, 2]))
        other = child.begin(HeldValue, ("too", [1]))
        assert [child.wait(call, "") for call in (first, other)] == ["told", "too"]
        assert child.wait(child.begin(len, (HeldBy(first),)), "") == 2
        assert child.wait(child.begin(len, (HeldBy(other),)), "") == 1
        with pytest.raises(ComputeError, match="KeyError"):
            child.wait(child.begin(len, (HeldBy(first),)), "")
    finally:
        child.end()


@pytest.mark.usefixtures("ahead")
def test_a_call_that_was_begun_ahead_tells_its_progress_and_gives_its_value():
    steps = []
    assert CallAhead("calls_ahead:work").finish(steps.append) == "value"
    assert steps == [Progress("counting", done, 3) for done in range(3)]
    assert "calls_ahead" not in sys.modules
    with pytest.raises(ComputeError, match=r"AttributeError: .*nothing"):
        CallAhead("calls_ahead:nothing").finish()


@pytest.mark.usefixtures("ahead")
def test_a_call_that_was_begun_ahead_is_cancelled_with_what_it_reached_or_dropped():
    cancel = threading.Event()
    with pytest.raises(Cancelled) as stopped:
        CallAhead("calls_ahead:wait_long").finish(lambda step: cancel.set(), cancel)
    assert stopped.value.reached == "what was reached"
    dropped = CallAhead("calls_ahead:wait_long")
    dropped.drop()
    dropped.drop()
    with pytest.raises((ComputeError, ValueError)):
        dropped.finish()


def test_python_ends_in_order_with_a_call_that_was_cancelled():
    """PyTorch aborts the process when its thread is ended amid its own code: a tensor that takes a second is that."""
    code = (
        "import threading, torch\n"
        "from napari_sfh.errors import Cancelled\n"
        "from napari_sfh.jobs import run_in_background\n"
        "cancel = threading.Event()\n"
        "torch.set_num_threads(1)  # more wait for each other where cores are busy: beyond what the end waits for\n"
        "def work():\n"
        "    cancel.set()\n"
        "    for _ in range(40):\n"
        "        torch.linalg.svd(torch.rand(150, 150, dtype=torch.float64))\n"
        "    print('done')\n"
        "try:\n"
        "    run_in_background(work, 'waiting', cancel=cancel)\n"
        "except Cancelled:\n"
        "    print('cancelled')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["cancelled", "done"]
