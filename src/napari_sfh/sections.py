"""Sections of TOML and JSON files as dataclasses: keys, types and ranges are checked in one place, by pydantic.

A dataclass states what a section may hold: its annotations are the types (``Literal`` for choices, ``Annotated[float,
Ge(0)]`` for ranges), its defaults what may be left out. Numbers are not made of texts, and truth values are no numbers.
A field's metadata may hold ``parse``, a function (value, file, dotted name) that reads what has a syntax of its own,
and ``key``, its name in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from napari_sfh.errors import SfhInputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import BaseModel

S = TypeVar("S", bound="DataclassInstance")
_WORDS = {
    "Input should be": "must be",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
}
_TYPE_ERRORS = {"int_type": "int", "float_type": "float", "bool_type": "bool", "string_type": "str"}


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """The table of a TOML text; ``file`` is its name in messages.

    Parameters
    ----------
    text : str
    file : str
        Its name, for messages.

    Returns
    -------
    dict

    Raises
    ------
    SfhInputError
        No TOML.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise SfhInputError(f"{file}: not valid TOML ({error}); mend that line") from error


def read_section(cls: type[S], table: Any, file: str, path: str = "", ignore_unknown: bool = False) -> S:
    """Make a dataclass of a table.

    Parameters
    ----------
    cls : dataclass
    table : mapping
        As read from the file. Lists become tuples.
    file : str
        Name of the file in messages.
    path : str
        Dotted name of the section in it; empty for the whole file.
    ignore_unknown : bool
        Leave keys alone that the dataclass does not have, as of a later version.

    Raises
    ------
    SfhInputError
        No table; a key that is unknown or missing, or a value of the wrong type or range.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Fit:
    ...     epochs: int = 40
    >>> read_section(Fit, {"epochs": 3}, "mine.toml", "fit")
    Fit(epochs=3)
    """
    from pydantic import ValidationError

    if not isinstance(table, Mapping):
        raise SfhInputError(
            f"{file}: {path} = {_shorten(table)} is no table of keys; write keys and values below {path}"
        )
    given = dict(table)
    values: dict[str, Any] = {}
    for f in fields(cls):
        key = f.metadata.get("key", f.name)
        if key in given:
            value = given.pop(key)
            parse = f.metadata.get("parse")
            values[f.name] = parse(value, file, _dotted(path, key)) if parse else _as_tuples(value)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise SfhInputError(f"{file}: key {_dotted(path, key)!r} is missing")
    if given and not ignore_unknown:
        known = ", ".join(f.metadata.get("key", f.name) for f in fields(cls))
        raise SfhInputError(f"{file}: unknown key {_dotted(path, min(given))!r}; known are {known}")
    try:
        checked = _checking_model(cls).model_validate(values)
    except ValidationError as error:
        raise SfhInputError(_describe_first_error(error.errors()[0], file, path)) from error
    return cls(**{name: getattr(checked, name) for name in values})


def make_section_field(cls: type[DataclassInstance], ignore_unknown: bool = False) -> Any:
    """A field of a dataclass that holds a section of its own, by default with its defaults.

    Parameters
    ----------
    cls : dataclass
        Of the inner section.
    ignore_unknown : bool
        See `read_section`.
    """
    return field(default_factory=cls, metadata={"parse": partial(read_section, cls, ignore_unknown=ignore_unknown)})


def _shorten(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _dotted(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@cache
def _checking_model(cls: type[Any]) -> type[BaseModel]:
    """A pydantic model with the types of a dataclass; fields with a parser of their own are not checked again."""
    from pydantic import ConfigDict, create_model

    hints = get_type_hints(cls, include_extras=True)
    types: dict[str, Any] = {f.name: (Any if f.metadata.get("parse") else hints[f.name], None) for f in fields(cls)}
    strict = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False, protected_namespaces=())
    return create_model(cls.__name__, __config__=strict, **types)


def _describe_first_error(error: Any, file: str, path: str) -> str:
    key, *inner = (str(part) for part in error["loc"])
    name = f"{file}: {_dotted(path, key)}" + "".join(f"[{part}]" for part in inner)
    value = f"{name} = {_shorten(error['input'])}"
    if error["type"] in _TYPE_ERRORS:
        return f"{value} is not of type {_TYPE_ERRORS[error['type']]}"
    if error["type"] == "literal_error":
        return f"{value}: choose {error['ctx']['expected']}"
    if error["type"] == "tuple_type":
        if isinstance(error["input"], Mapping):
            return f"{value} stands there once, as a table; write [[{name.removeprefix(f'{file}: ')}]], in two brackets"
        return f"{value} is no list; write [..., ...] with its numbers"
    if error["type"] == "missing":
        return f"{value}: a number is missing in this list"
    text = error["msg"]
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    return f"{value}: {text}"
