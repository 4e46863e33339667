"""Undo: snapshots of what the user has chosen, one after another. Works without Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Steps that are kept.
MAX_STEPS = 100

Snapshot = dict[str, Any]


class UndoHistory:
    """What was chosen before, and what was undone.

    Parameters
    ----------
    capture : callable
        Returns the state of now; equal states are one.
    restore : callable
        Given a state: brings it back.

    Examples
    --------
    >>> chosen = {"bin": 1}
    >>> history = UndoHistory(lambda: dict(chosen), chosen.update)
    >>> history.note()
    >>> chosen["bin"] = 2
    >>> history.note()
    >>> history.undo(), chosen["bin"]
    (True, 1)
    >>> history.redo(), chosen["bin"]
    (True, 2)
    """

    def __init__(self, capture: Callable[[], Snapshot], restore: Callable[[Snapshot], object]) -> None:
        self._capture, self._restore = capture, restore
        self._before: list[Snapshot] = []
        self._after: list[Snapshot] = []
        self._now: Snapshot | None = None
        self._restoring = False

    def forget(self) -> None:
        """Begin anew: another result is shown."""
        self._before, self._after, self._now = [], [], None

    def note(self) -> None:
        """Keep the state of now, if it is another one than the last."""
        if self._restoring:
            return
        state = self._capture()
        if state == self._now:
            return
        if self._now is not None:
            self._before = [*self._before, self._now][-MAX_STEPS:]
            self._after = []
        self._now = state

    def undo(self) -> bool:
        """Go back by one step; False where there is none."""
        self.note()
        return self._move(self._before, self._after)

    def redo(self) -> bool:
        """Take an undone step again; False where there is none."""
        return self._move(self._after, self._before)

    def _move(self, source: list[Snapshot], target: list[Snapshot]) -> bool:
        if not source or self._now is None:
            return False
        target.append(self._now)
        self._now = source.pop()
        self._restoring = True
        try:
            self._restore(self._now)
            self._now = self._capture()  # a part that cannot be brought back is no new step
        finally:
            self._restoring = False
        return True
