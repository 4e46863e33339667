"""What napari and VisPy work out anew for every window, worked out once in a run of the tests: it is the same.

A window with a result costs three seconds of processor, and a tenth of that is to find the variables of the same few
shaders, to blur the same few letters, and to read the signatures of the same listeners.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest


@contextmanager
def working_out_once() -> Iterator[None]:
    """Remember as long as the context lasts."""
    from napari.utils.events import event
    from vispy.gloo import program
    from vispy.visuals.text.text import SDFRendererCPU

    with pytest.MonkeyPatch.context() as patch:
        regular = {**vars(re), "sub": functools.cache(re.sub), "finditer": functools.cache(list_matches)}
        patch.setattr(program, "re", SimpleNamespace(**regular))
        patch.setattr(SDFRendererCPU, "render_to_texture", render_once(SDFRendererCPU.render_to_texture))
        inspected = {**vars(inspect), "signature": read_once(inspect.signature)}
        patch.setattr(event, "inspect", SimpleNamespace(**inspected))
        yield


def list_matches(pattern: str, text: str) -> tuple[re.Match[str], ...]:
    """As `re.finditer`, to be gone through more than once."""
    return tuple(re.finditer(pattern, text))


def render_once(render: Callable[..., None]) -> Callable[..., None]:
    """The distance field of a letter depends on its picture and on the size it gets, and goes to a texture."""
    fields: dict[Any, Any] = {}

    def render_to_texture(self: Any, data: Any, texture: Any, offset: tuple[int, int], size: tuple[int, int]) -> None:
        letter = data.tobytes(), data.shape, size
        if letter not in fields:
            kept = KeptTexture()
            render(self, data, kept, (0, 0), size)
            fields[letter] = kept.values
        (x, y), (width, height) = offset, size
        texture[y : y + height, x : x + width, :] = fields[letter]

    return render_to_texture


class KeptTexture:
    """In place of a texture: keeps what is written to it."""

    values: Any = None

    def __setitem__(self, place: Any, values: Any) -> None:
        self.values = values


def read_once(read: Callable[[Any], inspect.Signature]) -> Callable[[Any], inspect.Signature]:
    """What a listener takes depends on its function's code, on how many defaults it has, and on whether it is bound."""
    signatures: dict[Any, inspect.Signature] = {}

    def signature(listener: Any) -> inspect.Signature:
        function = getattr(listener, "__func__", None) or listener
        code = getattr(function, "__code__", None)
        if code is None or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
            return read(listener)
        kind = code, len(function.__defaults__ or ()), function is listener
        if kind not in signatures:
            signatures[kind] = read(listener)
        return signatures[kind]

    return signature
