"""Numbers that the five papers print, each with its place and with the values of ours that stand beside it.

One TOML file a paper in ``numbers/``. ``ours`` lists paths into reports, see `measured_values`; nothing is typed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from napari_sfh.errors import SfhInputError
from napari_sfh.sections import read_section

#: Files of ``numbers/`` in the order of the page.
PAPERS: tuple[str, ...] = ("g26", "g24", "lc21", "ds25", "in23")
#: What a number is: measured by the paper, chosen by it, or told for context.
NUMBER_KINDS: tuple[str, ...] = ("result", "setting", "context")
#: How ours compares.
STATUSES: tuple[str, ...] = (
    "", "like terms", "other terms", "the same", "ours", "not measured", "not comparable",
)  # fmt: skip


@dataclass(frozen=True)
class OurValue:
    """A value of ours: its label, its path in the reports, and how it is written."""

    path: str
    label: str = ""
    format: str = "{}"


@dataclass(frozen=True)
class PrintedNumber:
    """One number of a paper; ``value`` is empty where the text lost it."""

    key: str
    quantity: str
    place: str
    kind: str
    value: str = ""
    unit: str = ""
    terms: str = ""
    status: str = ""
    why: str = ""
    ours: tuple[OurValue, ...] = ()

    @property
    def text(self) -> str:
        """The number with its unit."""
        return f"{self.value} {self.unit}".strip() if self.value else "lost"


@dataclass(frozen=True)
class PrintedPaper:
    """A paper and its numbers."""

    name: str
    title: str
    numbers: tuple[PrintedNumber, ...]

    def of_kind(self, kind: str) -> tuple[PrintedNumber, ...]:
        """Numbers of a kind."""
        return tuple(n for n in self.numbers if n.kind == kind)


def load_printed_papers() -> tuple[PrintedPaper, ...]:
    """Every paper with its numbers."""
    folder = resources.files("napari_sfh.training.papers") / "numbers"
    return tuple(parse_printed_paper(name, (folder / f"{name}.toml").read_text(encoding="utf-8")) for name in PAPERS)


def parse_printed_paper(name: str, text: str) -> PrintedPaper:
    """Read and validate one file.

    Parameters
    ----------
    name : str
        Of the paper: the file's name without ``.toml``.
    text : str
        TOML.

    Returns
    -------
    PrintedPaper

    Raises
    ------
    SfhInputError
        A key that is unknown, missing or twice; a kind or status that does not exist.
    """
    table = tomllib.loads(text)
    numbers = [_parse_number(row, f"{name}.toml") for row in table["number"]]
    keys = [n.key for n in numbers]
    if twice := {k for k in keys if keys.count(k) > 1}:
        raise SfhInputError(f"{name}.toml: {min(twice)} stands there twice")
    return PrintedPaper(name, str(table["paper"]), tuple(numbers))


def _parse_number(row: dict[str, Any], where: str) -> PrintedNumber:
    values = [read_section(OurValue, v, where, "ours") for v in row.pop("ours", [])]
    number = read_section(PrintedNumber, {**row, "ours": ()}, where, str(row.get("key", "")))
    if number.kind not in NUMBER_KINDS or number.status not in STATUSES:
        raise SfhInputError(f"{where}: {number.key} has kind {number.kind!r} and status {number.status!r}")
    return PrintedNumber(**{**number.__dict__, "ours": tuple(values)})
