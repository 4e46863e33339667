"""What pages and shipped files must not say, and what the list of functions must name."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True).stdout.split("\n")
TEXTS = [
    ROOT / name
    for name in TRACKED
    if name.endswith((".md", ".py", ".toml", ".json", ".ipynb", ".html", ".yaml", ".cff", ".txt", "Makefile"))
    and not name.startswith("tests/")  # whose made-up home folders are about this very thing
    and (ROOT / name).is_file()
]
PAGES = [path for path in TEXTS if path.suffix == ".md"]
pytestmark = pytest.mark.skipif(not TEXTS, reason="not a clone")


def tutorial_cells() -> list[str]:
    """The code of all tutorials."""
    folder = ROOT / "docs" / "tutorials"
    cells = [
        c
        for page in folder.glob("*.md")
        for c in re.findall(r"```\{code-cell\}[^\n]*\n(.*?)```", page.read_text(), re.S)
    ]
    notebook = json.loads((folder / "window.ipynb").read_text())
    return cells + ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize("folder", ["docs", "benchmarks", "examples"])
def test_scripts_import_what_there_is(folder: str) -> None:
    missing = []
    for path in sorted((ROOT / folder).glob("*.py")):
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(part, ast.ImportFrom) and (part.module or "").startswith("napari_sfh"):
                missing += [
                    f"{path.name}: {part.module}.{a.name}" for a in part.names if not _exists(part.module, a.name)
                ]
    assert not missing


def _exists(module: str | None, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(str(module)), name) or bool(importlib.import_module(f"{module}.{name}"))
    except ImportError:
        return False


def test_no_file_tells_folders_of_its_maker() -> None:
    private = re.compile(r"(?<![\w.])/(?:work|home|root)/[\w.-]+/|/Users/\w")
    found = {str(p.relative_to(ROOT)): m[0] for p in TEXTS if (m := private.search(p.read_text(encoding="utf-8")))}
    found = {name: text for name, text in found.items() if "/home/ada" not in text}  # the example of a docstring
    assert not found


def test_no_command_is_a_paragraph() -> None:
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        calls = re.findall(r"^\n(?:napari-sfh|python|pip|make) [^\n]*--[^\n]*\n$", text, re.M)
        assert not calls, f"{page}: {calls}"


def test_no_line_becomes_a_definition_by_mistake() -> None:
    for page in PAGES:
        if "docs" in page.parts and page.name != "glossary.md":  # which is definitions on purpose
            text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
            assert not re.search(r"^\w[^\n]*\n[:~] ", text, re.M), page


def test_nobody_is_sent_to_a_package_that_is_not_published() -> None:
    for path in TEXTS:
        assert not re.search(r"pip install [\"']?napari-sfh", path.read_text(encoding="utf-8")), path


def test_the_list_of_functions_has_what_the_tutorials_import() -> None:
    listed = (ROOT / "docs" / "reference" / "api.md").read_text()
    names = set()
    for cell in tutorial_cells():
        for module, taken in re.findall(r"^from (napari_sfh\S*) import ([^\n]+)", cell, re.M):
            for name in re.split(r",\s*", taken):
                name = name.split(" as ")[0]
                is_module = (ROOT / "src" / Path(*module.split(".")) / f"{name}.py").is_file()
                used = re.findall(rf"\b{name}\.(\w+)\(", cell) if is_module else [name]
                names.update(used)
    assert len(names) > 15
    assert not [name for name in names if not re.search(rf"\b{name}\b", listed)]
