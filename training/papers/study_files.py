"""The JSON file of a study: its settings and machine, and one row a training, kept when the study goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import ensure_folder, write_text_atomically


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

    Parameters
    ----------
    choices : sequence
        Objects with a ``name`` and a ``group``.
    names : sequence of str, or None

    Returns
    -------
    tuple

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
            raise SfhInputError(f"`only`: {name!r} is unknown; choose from {', '.join(sorted(known))}")
    return tuple(c for c in choices if {c.name, c.group} & set(names))


class StudyRows:
    """Rows of a study by name. Each is written as soon as it is there, so that an interrupted study goes on.

    Parameters
    ----------
    path : Path
        Holds rows of an earlier run, or is not there yet.
    facts : mapping
        What the study is and its settings.

    Raises
    ------
    SfhInputError
        The file is of another study or other settings.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._path, self._facts = path, dict(facts)
        self.rows: dict[str, Any] = {}
        if not path.is_file():
            return
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.rows, known = dict(stored["rows"]), {k: stored[k] for k in facts}
        except (KeyError, TypeError, ValueError) as error:
            raise SfhInputError(f"`output` {path}: not a file of this study; choose another") from error
        if known != json.loads(json.dumps(self._facts)):
            raise SfhInputError(f"`output` {path}: made with other settings; choose another file, or delete it")

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Keep a row, and write the file, whole or not at all."""
        from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine
        from napari_sfh.training.fitting.provenance import find_source_commit

        self.rows[name] = row
        ensure_folder(self._path.parent)
        made = {"commit": find_source_commit(), "machine": describe_evaluation_machine()}
        content = {**self._facts, **made, "rows": self.rows}
        write_text_atomically(self._path, json.dumps(content, indent=1) + "\n")
