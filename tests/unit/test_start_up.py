"""What each command imports: the heavy modules that it may load, and no other, so that it starts as fast as it can."""

import subprocess
import sys

import pytest

from napari_sfh.demo import find_demo_folder

HEAVY = (
    "numpy",
    "astropy",
    "torch",
    "napari",
    "qtpy",
    "matplotlib",
    "pandas",
    "dask",
    "scipy.signal",
    "scipy.stats",
    "scipy.optimize",
    "astropy.wcs",
    "reproject",
    "spectral_cube",
)
#: What `spectral_cube` loads by itself.
OF_SPECTRAL_CUBE = {"numpy", "astropy", "spectral_cube", "dask", "scipy.optimize", "astropy.wcs", "pandas"}
CODE = """
import contextlib, io, sys
from napari_sfh.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[2:])
print(*[m for m in sys.argv[1].split(",") if m in sys.modules])
"""


def list_heavy_imports(*arguments):
    command = [sys.executable, "-c", CODE, ",".join(HEAVY), *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["view", "no_such_file.fits"]])
def test_help_and_refusals_load_nothing_heavy(arguments):
    assert list_heavy_imports(*arguments) == set()


def test_info_on_a_folder_loads_readers_alone():
    assert list_heavy_imports("info", str(find_demo_folder())) <= OF_SPECTRAL_CUBE


def test_models_load_no_window_and_no_image_tools():
    loaded = list_heavy_imports("models")
    assert "torch" in loaded
    assert not loaded & {"napari", "qtpy", "matplotlib", "reproject", "spectral_cube"}
