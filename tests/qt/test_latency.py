"""The interpreter's settings are changed while there is need, and put back; what is slow is loaded beforehand."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_sfh._qt.canvas.scene_batch import SceneBatch
from napari_sfh._qt.jobs import preload
from napari_sfh._qt.jobs.latency import (
    OLD_PASSES,
    STILL,
    SWEEP_LAYERS,
    SWEEP_LOOKS,
    TURN_SECONDS,
    GarbageFreeze,
    GarbageRest,
    shorten_thread_turns,
)


class _Cycle:
    def __init__(self) -> None:
        self.me = self


def test_what_is_frozen_is_left_alone_until_the_last_explorer_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Other tests' windows have wishes of their own, and conftest has frozen what was imported.
    monkeypatch.setattr(GarbageFreeze, "wishes", 0)
    gc.unfreeze()
    one, other = GarbageFreeze(), GarbageFreeze()
    frozen = gc.get_freeze_count()
    garbage = _Cycle()
    died = weakref.ref(garbage)
    one.freeze()
    one.freeze()
    other.freeze()
    assert gc.get_freeze_count() > frozen
    del garbage
    gc.collect()
    assert died() is not None
    one.thaw()
    one.thaw()
    assert gc.get_freeze_count() > 0
    other.thaw()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert died() is None
    gc.freeze()  # again what was imported


def test_in_a_window_old_objects_are_passed_over_until_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own pass over old objects comes after ten over younger ones, in the midst of an act."""
    monkeypatch.setattr(GarbageFreeze, "wishes", 0)
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        one, other = GarbageFreeze(), GarbageFreeze()
        one.freeze()
        other.freeze()
        assert gc.get_threshold() == (700, 10, OLD_PASSES)
        one.thaw()
        assert gc.get_threshold() == (700, 10, OLD_PASSES)
        other.thaw()
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*usual)
        gc.freeze()  # again what was imported


def test_napari_finds_nothing_to_walk_over_when_the_canvas_takes_changes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for a full pass then, and whenever a layer goes."""
    monkeypatch.setattr(GarbageFreeze, "wishes", 0)
    garbage, viewer, window, parent, seen = GarbageFreeze(), ViewerModel(), _Window(), QObject(), []

    def look_as_the_canvas_does() -> None:
        seen.append(any(each is alive for each in gc.get_objects()))

    look_as_the_canvas_does.__module__ = "napari.canvas"  # whose listeners come before all others
    viewer.layers.events.end_batch.connect(look_as_the_canvas_does)
    scene = SceneBatch(viewer)
    rest = GarbageRest(parent, garbage, window.is_busy)
    rest.watch(viewer.layers, scene)
    garbage.freeze()
    try:
        alive = _Cycle()
        assert any(each is alive for each in gc.get_objects())
        with scene.hold():
            pass
        assert seen == [False]
    finally:
        rest.release()
        garbage.thaw()
        gc.freeze()  # again what was imported


def test_what_was_left_alone_is_freed_by_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GarbageFreeze, "wishes", 0)
    garbage = GarbageFreeze()
    garbage.freeze()
    alive, dead = _Cycle(), _Cycle()
    died = weakref.ref(dead)
    garbage.tidy()
    del dead
    gc.collect()
    assert died() is not None
    assert not [each for each in gc.get_objects() if each is alive], "napari's passes do not walk over it"
    garbage.sweep()
    assert died() is None
    garbage.thaw()
    gc.freeze()


def test_a_window_at_rest_is_tidied_and_swept_after_layers_have_gone(qtbot: Any) -> None:
    calls: list[str] = []

    class Garbage:
        def tidy(self) -> None:
            calls.append("tidy")

        def sweep(self) -> None:
            calls.append("sweep")

    window, parent, garbage = _Window(), QObject(), Garbage()
    rest = GarbageRest(parent, garbage, window.is_busy)
    rest.look()
    assert calls == [], "work runs"
    window.busy = False
    rest.look()
    for _ in range(SWEEP_LAYERS):
        rest.note_layer()
    for _ in range(STILL + 1):
        rest.look()
    assert calls[0] == "tidy"
    assert calls.count("sweep") == 1
    for _ in range(SWEEP_LOOKS):
        rest.look()
    assert calls.count("sweep") == 2, "what no layer has left is freed, too"


def test_short_turns_end_with_the_last_work() -> None:
    usual = sys.getswitchinterval()
    first, second = shorten_thread_turns(), shorten_thread_turns()
    first.__enter__()
    assert abs(sys.getswitchinterval() - TURN_SECONDS) < 1e-6
    second.__enter__()
    first.__exit__(None, None, None)
    assert abs(sys.getswitchinterval() - TURN_SECONDS) < 1e-6
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual


class _Window:
    def __init__(self) -> None:
        self.busy, self.looks, self.done = True, 0, 0

    def is_busy(self) -> bool:
        self.looks += 1
        return self.busy

    def note(self) -> None:
        self.done += 1


def test_slow_modules_come_in_a_thread_once_the_window_rests(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def step() -> None:
        threads.append(threading.current_thread())
        raise ImportError("what cannot be loaded is left to the act that needs it")

    monkeypatch.setattr(preload, "SLOW_STEPS", (step,))
    monkeypatch.setattr(preload, "REST_MS", 5)
    window, parent = _Window(), QObject()
    loader = preload.Preloader(parent, window.is_busy, window.note)
    loader.start()
    qtbot.waitUntil(lambda: window.looks > 3)
    assert not threads
    window.busy = False
    qtbot.waitUntil(lambda: window.done == 1)
    assert not loader.waiting
    assert threads
    assert threads[0] is not threading.main_thread()
    loader.start()
    qtbot.waitUntil(lambda: window.done == 2)
    assert len(threads) == 1, "once in a process"
