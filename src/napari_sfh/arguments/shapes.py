"""Shapes of arrays, as docstrings state them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_sfh.errors import SfhInputError


def read_shapes(docstring: str) -> dict[str, tuple[str, ...]]:
    """Axes of the arrays that a docstring describes by one shape, such as ``rows : int array (M,)``."""
    found = re.findall(r"^ +([\w, ]+) : [^\n(]*arrays? \(([^)]*)\)(?! or)", docstring, re.MULTILINE)
    return {
        name: tuple(filter(None, shape.replace(" ", "").split(",")))
        for names, shape in found
        for name in names.split(", ")
    }


def check_shapes(title: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse arrays of another number of axes, or of other lengths than the rest.

    Parameters
    ----------
    title : str
        Of the function, for messages.
    values : mapping
        Arguments by name. With ``result`` or ``comparison`` among them, N is the number of their bins.
    shapes : mapping
        Axes of arguments, see `read_shapes`.

    Raises
    ------
    SfhInputError
        Names the argument and its shape.
    """
    result = values.get("result", getattr(values.get("comparison"), "result", None))
    lengths = {} if result is None else {"N": (result.bins.n_bins, "the result")}
    for name, axes in shapes.items():
        if (found := getattr(values.get(name), "shape", None)) is None:
            continue
        rest = axes[1:] if axes[0] == "..." else axes
        if len(found) < len(rest) or len(found) > len(rest) == len(axes):
            raise SfhInputError(f"{title}: `{name}` has the shape {tuple(found)}: it must be ({', '.join(axes)})")
        for letter, length in zip(rest, found[len(found) - len(rest) :], strict=True):
            before, where = lengths.setdefault(letter, (length, f"`{name}`"))
            if letter.isidentifier() and length != before:
                raise SfhInputError(
                    f"{title}: `{name}` has the shape {tuple(found)}, and {where} has {letter} = {before}: it must be "
                    f"({', '.join(axes)})"
                )
