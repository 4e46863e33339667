"""The package's modules, read as text and as syntax trees: for the tests of the house."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def find_modules():
    """Modules of the package: name to path; ``training/`` is ``napari_sfh.training``."""
    found = {}
    for base, prefix in ((ROOT / "src", ()), (ROOT, ("napari_sfh",))):
        for path in (base / ("napari_sfh" if base.name == "src" else "training")).rglob("*.py"):
            parts = (*prefix, *path.relative_to(base).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = find_modules()


@cache
def parse_modules():
    """Modules of the package: name to syntax tree."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


@cache
def list_nodes(tree):
    """All nodes of a module's tree, which many tests go through."""
    return tuple(ast.walk(tree))
