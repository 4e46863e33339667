"""Attribute tables of dataclasses from the comments and settings beside their fields."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

_FIELD = re.compile(r"^    (\w+): [^=#\n]+?\s*(?:=[^#\n]*)?(?:#\s*(.+))?$", re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Add the tables before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", add_attributes, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_attributes(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Append a section of attributes to the docstring of a dataclass that has none."""
    if what != "class" or not dataclasses.is_dataclass(obj) or "Attributes" in lines:
        return
    described = describe_fields(obj)
    place = lines.index("Examples") if "Examples" in lines else len(lines)
    section = ["", "Attributes", "----------"]
    for field, (kind, text) in described.items():
        section += [f"{field} : {kind}", f"    {text}"]
    lines[place:place] = [*section, ""]


def describe_fields(cls: type) -> dict[str, tuple[str, str]]:
    """Type and words of every public field and property of a dataclass."""
    beside = {found[1]: found[2] or "" for found in _FIELD.finditer(inspect.getsource(cls))}
    out = {}
    for field in dataclasses.fields(cls):
        if field.name.startswith("_"):
            continue
        setting = field.metadata.get("setting")
        text = _describe_setting(setting) if setting else beside.get(field.name, "")
        out[field.name] = (str(field.type), text)
    for name, member in vars(cls).items():
        if isinstance(member, property) and not name.startswith("_"):
            out[name] = ("property", (inspect.getdoc(member) or "").split("\n")[0])
    return out


def _describe_setting(setting: Any) -> str:
    """Help, choices, range, unit and default of a setting of `RunConfig`."""
    text = setting.help
    if setting.choices:
        text += "; " + ", ".join(f"``{choice}``" for choice in setting.choices)
    if setting.low is not None and setting.high is not None:
        text += f"; {setting.low:g} to {setting.high:g} {setting.unit}".rstrip()
    default = setting.unset if setting.default is None else setting.default
    return f"{text}. Default: {default}." if default not in ("", None) else f"{text}."
