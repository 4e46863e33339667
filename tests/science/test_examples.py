"""The examples of README and of every public name run, on a piece of the mock galaxy."""

import doctest
import importlib
import re
import shutil
from pathlib import Path

import pytest

import napari_sfh
from napari_sfh import demo
from napari_sfh.training.mock.archive_layouts import dress_mock_galaxy

ROOT = Path(__file__).parents[2]
PUBLIC = [name for name in napari_sfh.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with what the examples name: a galaxy's folder and a result file."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "NGC0628").mkdir()
    dress_mock_galaxy(demo.find_demo_folder(), folder / "NGC0628", "copt", (slice(18, 27), slice(24, 33)))
    kept = napari_sfh.read_result(ROOT / "tests" / "data" / "bb56859_wide_sfh.fits.gz")
    napari_sfh.write_result(kept, folder / "result.fits")
    return folder


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example_that_runs(name, files, tmp_path, monkeypatch):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    known = getattr(napari_sfh, name)
    names = vars(importlib.import_module(known.__module__)).copy()
    (found,) = (test for test in doctest.DocTestFinder(recurse=False).find(known, globs=names))
    assert found.examples, f"{name} has no example"
    said = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    assert runner.run(found, out=said.append).failed == 0, "".join(said)


def test_the_examples_of_the_readme_run(files, tmp_path, monkeypatch, capsys):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert napari_sfh.read_result("ngc0628_sfh.fits").bins.n_bins > 0
    assert re.search(r"\d\.\d{3}", capsys.readouterr().out)  # ages
