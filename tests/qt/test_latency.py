"""The interpreter's settings are changed while there is need, and put back."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from napari_sfh._qt.jobs.latency import TURN_SECONDS, GarbageFreeze, shorten_thread_turns


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
