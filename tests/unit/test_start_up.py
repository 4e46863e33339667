"""What each command imports: the heavy modules that it may load, and no other, so that it starts as fast as it can.

Commands are stopped by input that does not exist, after their imports and before their work.
"""

import re
import subprocess
import sys

import pytest

from napari_sfh.cli import build_command_parser
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
    "scipy",
    "scipy.signal",
    "scipy.stats",
    "scipy.optimize",
    "astropy.wcs",
    "reproject",
    "spectral_cube",
)
READERS = {"numpy", "astropy", "astropy.wcs"}
SOLVERS = READERS | {"scipy", "scipy.optimize"}
NETWORKS = SOLVERS | {"torch"}
#: Command, its arguments, and what it may load.
COMMANDS = {
    "demo": (["--headless", "--output", "/dev/null"], NETWORKS),
    "run": (["nothing", "--output", "out.fits"], READERS),
    "estimate": (["nothing.fits", "--output", "out.fits"], NETWORKS | {"pandas"}),
    "gradient": (["nothing.fits"], SOLVERS),
    "compare": (["nothing.fits", "nothing.fits", "--output", "out"], READERS | {"scipy", "pandas"}),
    "refine": (["nothing.fits", "--bin", "1"], NETWORKS | {"scipy.stats"}),
    "smooth": (["nothing.fits", "--output", "out.fits"], SOLVERS),
    "info": ([str(find_demo_folder())], READERS),
    "models": ([], {"numpy"}),
    "instruments": ([], {"numpy"}),
    "view": (["nothing.fits"], set()),
    "doctor": (["--no-run"], NETWORKS),
}
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


def test_every_command_is_in_the_list(capsys):
    with pytest.raises(SystemExit):
        build_command_parser().parse_args(["no such command"])
    assert set(re.findall(r"'(\w+)'", capsys.readouterr().err.split("choose from")[1])) == set(COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    assert list_heavy_imports(*arguments) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_what_it_needs_and_no_more(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, allowed = COMMANDS[command]
    assert list_heavy_imports(command, *arguments) <= allowed


def test_the_explorer_comes_without_what_only_single_acts_need():
    code = "import sys, napari_sfh._qt.explorer; print(*[m for m in sys.argv[1].split(',') if m in sys.modules])"
    slow = "torch,matplotlib,reproject,scipy.stats,scipy.optimize"
    found = subprocess.run([sys.executable, "-c", code, slow], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
