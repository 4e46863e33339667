"""What the package promises before anything is computed: light imports, one version, honest errors."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import napari_sfh

ROOT = Path(__file__).parents[2]


def test_import_loads_neither_torch_nor_qt():
    code = "import sys, napari_sfh; print(*[m for m in ('torch', 'qtpy', 'napari', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_command_line_without_a_window_never_imports_qt():
    code = "import sys, napari_sfh.cli, napari_sfh.demo, napari_sfh.figures.summary; print('qtpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_every_public_name_loads():
    for name in napari_sfh.__all__:
        assert getattr(napari_sfh, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_sfh.nothing  # noqa: B018


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == napari_sfh.__version__
    assert f"version: {napari_sfh.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_every_subpackage_is_packaged():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    source = ROOT / "src"
    found = {".".join(p.parent.relative_to(source).parts) for p in source.rglob("__init__.py")}
    found |= {
        ".".join(("napari_sfh", *p.parent.relative_to(ROOT).parts)) for p in (ROOT / "training").rglob("__init__.py")
    }
    assert listed == found
