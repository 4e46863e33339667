"""What is handed to the public functions, held against their annotations before any work begins.

From a notebook come arrays for paths, texts for numbers and folders for configurations. `check_arguments` refuses them
for all functions alike, by the annotations that they have, and by the shapes of arrays that their docstrings state:
letters that stand twice are one number, and N is that of the bins where a result is given. Classes are known by their
names, so that nothing is imported for it. Arrays of numbers arrive as plain ones: native, of single or double
precision, NaN where they are masked.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import chain
from typing import Any, TypeVar

from napari_sfh.arguments.kinds import (
    ARRAY_KINDS,
    describe_kinds,
    describe_value,
    is_of_kind,
    read_array,
    split_annotation,
)
from napari_sfh.arguments.shapes import check_shapes, read_shapes
from napari_sfh.errors import SfhInputError

T = TypeVar("T", bound=Callable[..., Any])


def check_arguments(target: T) -> T:
    """A function, or a class by its fields, that refuses arguments of another type than its annotations state.

    Annotations may be texts, numbers, paths, arrays, ``Mapping``, ``Sequence``, ``Literal`` and classes; ``Any`` is not
    checked. Numbers must be finite and without a unit; a path where text is wanted is its text.

    Examples
    --------
    >>> @check_arguments
    ... def double(size: float) -> float:
    ...     return 2 * size
    >>> double("3")
    Traceback (most recent call last):
    napari_sfh.errors.SfhInputError: double: `size` is the text '3': give a plain number
    """
    if isinstance(target, type):
        type.__setattr__(target, "__init__", _check_call(vars(target)["__init__"], target.__name__))
        return target
    checked: Any = _check_call(target, target.__name__)
    return checked


def _check_call(function: Callable[..., Any], title: str) -> Callable[..., Any]:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    shapes = read_shapes(function.__doc__ or "")
    kinds = {p.name: p.annotation for p in parameters if isinstance(p.annotation, str) and p.kind is not p.VAR_KEYWORD}
    names = [p.name for p in parameters]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    known = getattr(function, "__globals__", {})

    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)

    @wraps(function)
    def checked(*given: Any, **options: Any) -> Any:
        if not takes_any and (unknown := options.keys() - names):
            raise SfhInputError(f"{title}: {_describe_unknown(min(unknown), names)}")
        whole = [_take(title, *each, kinds, known) for each in zip(names, given, strict=False)]
        rest = {name: _take(title, name, value, kinds, known) for name, value in options.items()}
        if shapes:
            check_shapes(title, {**defaults, **dict(zip(names, whole, strict=False)), **rest}, shapes)
        return function(*chain(whole, given[len(names) :]), **rest)

    return checked


def _describe_unknown(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches  # seldom needed, and slow to load

    alike = get_close_matches(name, names, 1)
    known = f"did you mean `{alike[0]}`?" if alike else f"there are {', '.join(n for n in names if n != 'self')}"
    return f"`{name}` is no argument of it; {known}"


def _take(title: str, name: str, value: Any, kinds: Mapping[str, str], known: Mapping[str, Any]) -> Any:
    """The value as the function shall see it.

    Raises
    ------
    SfhInputError
        It is of no kind that the function takes.
    """
    kind = kinds.get(name)
    if kind is None:
        return value
    wanted = split_annotation(kind, "|")
    if any(is_of_kind(value, each, known) for each in wanted):
        return os.fspath(value) if isinstance(value, os.PathLike) and "Path" not in wanted else value
    arrays = [each for each in wanted if each in ARRAY_KINDS]
    if arrays and (array := read_array(value, ARRAY_KINDS[arrays[0]])) is not None:
        return array
    raise SfhInputError(f"{title}: `{name}` is {describe_value(value)}: give {describe_kinds(wanted, known)}")
