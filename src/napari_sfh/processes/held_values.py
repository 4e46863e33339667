"""What a call leaves in its process for a later call: too large, or too costly, to be sent there and back."""

from __future__ import annotations

from typing import Any, NamedTuple


class HeldValue(NamedTuple):
    """The value of a call of which a part stays in the process, for a later call."""

    told: Any  # what goes to who asked
    held: Any


class HeldBy(NamedTuple):
    """In place of an argument: what an earlier call has left in the process, which holds it no longer then."""

    call: int  # of `ChildPython.begin`
