"""Every tutorial runs from top to bottom: its cells here, in one Python; the site runs them in a kernel of its own."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from napari_sfh import cli
from napari_sfh.training import cli as training_cli

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
TUTORIALS = sorted(path for path in FOLDER.glob("*.md") if "mystnb" in path.read_text(encoding="utf-8")[:60])
COMMANDS = {"napari-sfh": cli.main, "napari-sfh-train": training_cli.main}


def list_code_cells(text: str) -> Iterator[str]:
    """Code of the cells of a MyST notebook, without options and magics."""
    for cell in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield "\n".join(line for line in cell.splitlines() if not line.startswith((":", "%")))


def call_command(line: str) -> None:
    """A line that a notebook gives to the shell."""
    program, *words = shlex.split(line)
    assert COMMANDS[program](words) == 0, line


def run_cell(code: str, names: dict[str, Any]) -> None:
    """Run a cell; lines that begin with ``!`` are commands."""
    plain = re.sub(r"^!(.*)$", lambda found: f"call_command({found[1]!r})", code, flags=re.MULTILINE)
    exec(compile(plain, "cell", "exec"), names)


def test_every_tutorial_is_found_and_listed():
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert len(TUTORIALS) >= 8
    assert [path.name for path in TUTORIALS if path.stem not in index] == []


@pytest.mark.slow
@pytest.mark.usefixtures("page_at_once")
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    if "ppxf" in path.stem:
        pytest.importorskip("ppxf")
    shutil.copytree(FOLDER / "data", tmp_path / "data")
    names: dict[str, Any] = {"call_command": call_command}
    cells = list(list_code_cells(path.read_text(encoding="utf-8")))
    assert len(cells) >= 3
    for cell in cells:
        run_cell(cell, names)
        plt.close("all")
