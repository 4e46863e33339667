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
    describe : callable
        Given two states, one after the other: says in words what was done between them.

    Examples
    --------
    >>> chosen = {"bin": 1}
    >>> history = UndoHistory(lambda: dict(chosen), chosen.update, lambda old, new: f"bin {new['bin']}")
    >>> history.note()
    False
    >>> chosen["bin"] = 2
    >>> history.note()
    True
    >>> history.undo(), chosen["bin"]
    ('bin 2', 1)
    >>> history.redo(), chosen["bin"]
    ('bin 2', 2)
    """

    def __init__(
        self,
        capture: Callable[[], Snapshot],
        restore: Callable[[Snapshot], object],
        describe: Callable[[Snapshot, Snapshot], str],
    ) -> None:
        self._capture, self._restore, self._describe = capture, restore, describe
        self._before: list[Snapshot] = []
        self._after: list[Snapshot] = []
        self._now: Snapshot | None = None
        self._restoring = False

    def forget(self) -> None:
        """Begin anew: another result is shown."""
        self._before, self._after, self._now = [], [], None

    def note(self) -> bool:
        """Keep the state of now, if it is another one than the last; whether that was a step."""
        if self._restoring:
            return False
        state = self._capture()
        if state == self._now:
            return False
        is_step = self._now is not None
        if self._now is not None:
            self._before = [*self._before, self._now][-MAX_STEPS:]
            self._after = []
        self._now = state
        return is_step

    def undo(self) -> str | None:
        """Go back by one step; what was undone, None where there is no step."""
        self.note()
        steps = self._move(self._before, self._after)
        return None if steps is None else self._describe(steps[1], steps[0])

    def redo(self) -> str | None:
        """Take an undone step again; what it was, None where there is none."""
        steps = self._move(self._after, self._before)
        return None if steps is None else self._describe(*steps)

    def _move(self, source: list[Snapshot], target: list[Snapshot]) -> tuple[Snapshot, Snapshot] | None:
        """Go to the last state of ``source``; the states left and reached."""
        if not source or self._now is None:
            return None
        left, reached = self._now, source.pop()
        target.append(left)
        self._restoring = True
        try:
            self._restore(reached)
            self._now = self._capture()  # a part that cannot be brought back is no new step
        finally:
            self._restoring = False
        return left, reached


def _describe_regions(n_before: int, n_after: int) -> str:
    if n_after < n_before:
        return "regions taken away" if n_before - n_after > 1 else "region taken away"
    return "drawn region" if n_after > n_before else "change of a region"


def describe_step(before: Snapshot, after: Snapshot) -> str:
    """What was done between two states of a window: ``selection of bin 5, limits of colours``.

    Parameters
    ----------
    before, after : Snapshot
        States of the same window.
    """
    old, new = before["session"], after["session"]
    said = []
    if old["selected"] != new["selected"]:
        said.append(f"selection of bin {new['selected']}" if new["selected"] else "end of the selection")
    for key, start, end in (
        ("compared", "comparison with bin", "end of the comparison with bin"),
        ("pinned", "pin of bin", "end of the pin of bin"),
    ):
        for words, more, fewer in ((start, new, old), (end, old, new)):
            changed = [str(b) for b in more[key] if b not in fewer[key]]
            if changed and not (key == "compared" and words == end and new["selected"] in map(int, changed)):
                said.append(f"{words} {', '.join(changed)}")
    if old["plot_region"] != new["plot_region"]:
        said.append("lasso in a plot")
    if before["outlines"] != after["outlines"]:
        said.append(_describe_regions(len(before["outlines"]), len(after["outlines"])))
    forms = before["maps"], after["maps"]
    changed_fields = {key for form in forms for key in form if forms[0].get(key) != forms[1].get(key)}
    if changed_fields & {"quantity", "error"}:
        said.append("choice of the map")
    if changed_fields & {"min_snr", "hide_flagged", "flags"}:
        said.append("hidden bins")
    own_limits = "quantity" not in changed_fields and "limits" in changed_fields
    if own_limits or (not changed_fields and before["limits"] != after["limits"]):
        said.append("limits of colours")
    return ", ".join(said) or "last change"
