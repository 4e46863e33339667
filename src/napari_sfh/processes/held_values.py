"""What a call leaves in its process for a later call: too large, or too costly, to be sent there and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple


class HeldValue(NamedTuple):
    """The value of a call of which a part stays in the process, for a later call."""

    told: Any  # what goes to who asked
    held: Any


class HeldBy(NamedTuple):
    """In place of an argument: what an earlier call has left in the process, which holds it no longer then."""

    call: Hashable  # what `ChildPython.begin` gave


def run_held_call(number: Hashable, call: Callable[..., Any], args: Sequence[Any], held: dict[Hashable, Any]) -> Any:
    """What a call tells, with what earlier calls have left among its arguments.

    Parameters
    ----------
    number : hashable
        Of the call.
    call : callable
    args : sequence
        Its arguments; a `HeldBy` takes what it names out of ``held``.
    held : dict
        What calls have left, by their numbers; the rest of a `HeldValue` comes to it.

    Returns
    -------
    object
        What goes to who asked.

    Raises
    ------
    KeyError
        Nothing is held by a number.
    """
    value = call(*(held.pop(each.call) if isinstance(each, HeldBy) else each for each in args))
    if isinstance(value, HeldValue):
        value, held[number] = value
    return value
