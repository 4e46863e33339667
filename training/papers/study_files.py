"""The JSON file of a study: its settings and machine, and one row a training, kept when the study goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from napari_sfh.errors import SfhInputError


class NamedChoice(Protocol):
    """What has a name and belongs to a group."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def group(self) -> str:
        """Of several."""


T = TypeVar("T", bound=NamedChoice)


def select_named(choices: Sequence[T], names: Sequence[str] | None) -> tuple[T, ...]:
    """Those whose name or group is asked for; None takes all.

    Raises
    ------
    SfhInputError
        A name that none has.
    """
    if names is None:
        return tuple(choices)
    known = {x for c in choices for x in (c.name, c.group)}
    for name in names:
        if name not in known:
            raise SfhInputError(f"--only: {name!r} is unknown; choose from {', '.join(sorted(known))}")
    return tuple(c for c in choices if {c.name, c.group} & set(names))


def read_study_rows(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of an earlier run of the same study; none where there is no file.

    Raises
    ------
    SfhInputError
        The file is of another study or other settings.
    """
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows, known = stored["rows"], {k: stored[k] for k in facts}
    except (KeyError, TypeError, ValueError) as error:
        raise SfhInputError(f"--output {path}: not a file of this study; choose another") from error
    if known != json.loads(json.dumps(facts)):
        raise SfhInputError(f"--output {path}: made with other settings; choose another file, or delete it")
    return dict(rows)


def write_study_rows(path: Path, facts: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all."""
    from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    content = {**facts, "machine": describe_evaluation_machine(), "rows": rows}
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
