"""Sections of TOML and JSON files as dataclasses: keys, types and ranges are checked in one place, by pydantic's core.

A dataclass states what a section may hold: its annotations are the types (``Literal`` for choices, ``Annotated[float,
Ge(0)]`` for ranges), its defaults what may be left out. Numbers are not made of texts, and truth values are no numbers.
A field's metadata may hold ``parse``, a function (value, file, dotted name) that reads what has a syntax of its own,
and ``key``, its name in the file.

The core is what pydantic's models are made of; to make one of them loads the rest, which takes five times as long as to
read the section.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from napari_sfh.errors import SfhInputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic_core import CoreSchema, SchemaValidator

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


def read_toml_text(path: Path) -> str:
    """The text of a TOML file, for `parse_toml`.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str

    Raises
    ------
    SfhInputError
        It cannot be read, or holds letters that are not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SfhInputError(f"{path}: cannot be read ({error.strerror}); check the name and the permissions") from error
    except UnicodeDecodeError as error:
        raise SfhInputError(
            f"{path}: holds letters that are not in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error


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
    from pydantic_core import ValidationError

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
        checked = _make_validator(cls).validate_python(values)
    except ValidationError as error:
        raise SfhInputError(_describe_first_error(error.errors()[0], file, path)) from error
    return cls(**checked)


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
def _make_validator(cls: type[Any]) -> SchemaValidator:
    """It checks a table of values by a dataclass' types; fields with a parser of their own are not checked again."""
    from pydantic_core import SchemaValidator, core_schema

    hints = get_type_hints(cls, include_extras=True)
    types = {f.name: Any if f.metadata.get("parse") else hints[f.name] for f in fields(cls)}
    known = {name: core_schema.typed_dict_field(_make_schema(hint), required=False) for name, hint in types.items()}
    config = core_schema.CoreConfig(strict=True, allow_inf_nan=False)
    return SchemaValidator(core_schema.typed_dict_schema(known, config=config))


def _make_schema(hint: Any) -> CoreSchema:
    """What pydantic's core knows an annotation by."""
    from pydantic_core import core_schema

    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _add_limits(_make_schema(args[0]), args[1:])
    if origin is Literal:
        return core_schema.literal_schema(list(args))
    if origin in (Union, UnionType):
        (inner,) = (each for each in args if each is not NoneType)
        return core_schema.nullable_schema(_make_schema(inner))
    if origin is tuple:
        items = [_make_schema(each) for each in args if each is not Ellipsis]
        return core_schema.tuple_schema(items, variadic_item_index=0 if Ellipsis in args else None)
    if origin in (dict, Mapping):
        return core_schema.dict_schema(*map(_make_schema, args))
    plain: dict[Any, CoreSchema] = {
        Any: core_schema.any_schema(),
        str: core_schema.str_schema(),
        int: core_schema.int_schema(),
        float: core_schema.float_schema(),
        bool: core_schema.bool_schema(),
    }
    return plain[hint] if hint in plain else core_schema.is_instance_schema(hint)


def _add_limits(schema: CoreSchema, limits: tuple[Any, ...]) -> CoreSchema:
    """A schema with ranges and lengths (`annotated_types`): the core calls them as their attributes are called."""
    names = ("ge", "gt", "le", "lt", "min_length", "max_length")
    found = [(name, getattr(limit, name, None)) for limit in limits for name in names]
    return cast("CoreSchema", {**schema, **{name: value for name, value in found if value is not None}})


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
