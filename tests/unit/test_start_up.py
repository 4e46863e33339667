"""What each command imports: the heavy modules that it may load, and no other, so that it starts as fast as it can.

Commands are stopped by input that does not exist, after their imports and before their work.
"""

import os
import re
import subprocess
import sys

import pytest

from napari_sfh.cli import build_command_parser
from napari_sfh.demo import find_demo_folder
from napari_sfh.processes.calls import ChildPython
from napari_sfh.processes.environment import restrict_algebra_threads

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
#: Commands that one interpreter does after each other. Each may load what those before it may: what is loaded after it
#: beyond what it may load, it has loaded itself.
CHAINS = (
    ("view", "models", "instruments", "run", "info", "compare", "estimate"),
    ("gradient", "smooth", "demo", "doctor", "refine"),
)
#: What one interpreter loads after each other, and what must not be there afterwards.
LIGHT = {
    "import napari_sfh.config": {"torch", "astropy", "numpy"},
    "import napari_sfh.cli": {"torch", "astropy", "numpy"},
    "import napari_sfh.instruments.bundle_header as header; assert header.read_bundle_header('default').name": {
        "torch",
        "pydantic",
    },
    "import napari_sfh.batch.galaxies_report": {"torch", "matplotlib"},
    "import napari_sfh.preflight.plan, napari_sfh.figures.preflight": {"torch", "qtpy"},
    "import napari_sfh.demo, napari_sfh.figures.summary": {"qtpy"},
    "import napari_sfh.training.evaluation.report": {"matplotlib.pyplot", "qtpy"},
}
CODE = """
import contextlib, io, sys
from napari_sfh.cli import main
for line in sys.stdin.read().splitlines():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(line.split("\\t"))
    print(*[m for m in sys.argv[1].split(",") if m in sys.modules])
"""


def list_heavy_imports(*lines):
    """The heavy modules that are there after each command line, done by one interpreter."""
    command = [sys.executable, "-c", CODE, ",".join(HEAVY)]
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")  # where there is one, doctor opens a window elsewhere
    around = {key: value for key, value in os.environ.items() if key not in screens}
    told = "\n".join(map("\t".join, lines))
    done = subprocess.run(command, capture_output=True, text=True, check=True, input=told, env=around)
    return [set(line.split()) for line in done.stdout.split("\n")[: len(lines)]]


def test_every_command_is_in_the_list(capsys):
    with pytest.raises(SystemExit):
        build_command_parser().parse_args(["no such command"])
    assert set(re.findall(r"'(\w+)'", capsys.readouterr().err.split("choose from")[1])) == set(COMMANDS)
    assert sorted(sum(CHAINS, ())) == sorted(COMMANDS)


def test_help_loads_nothing_heavy():
    assert list_heavy_imports(["--help"], ["run", "--help"]) == [set(), set()]


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_a_command_loads_what_it_needs_and_no_more(chain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = list_heavy_imports(*([name, *COMMANDS[name][0]] for name in chain))
    before = set()
    for name, modules in zip(chain, loaded, strict=True):
        allowed = COMMANDS[name][1]
        assert before <= allowed, f"{name} comes too late in its chain"
        assert modules <= allowed, name
        before = allowed


def test_modules_leave_alone_what_they_do_not_need():
    code = (
        "import sys\nfor line in sys.stdin:\n exec(line)\n print(*[m for m in sys.argv[1].split() if m in sys.modules])"
    )
    asked, lines = " ".join(set().union(*LIGHT.values())), "\n".join(LIGHT)
    done = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, text=True, check=True, input=lines)
    for (line, unwanted), found in zip(LIGHT.items(), done.stdout.split("\n")[:-1], strict=True):
        assert not unwanted & set(found.split()), line


def test_the_explorer_comes_without_what_only_single_acts_need():
    code = "import sys, napari_sfh._qt.explorer; print(*[m for m in sys.argv[1].split(',') if m in sys.modules])"
    slow = "torch,matplotlib,reproject,scipy.stats,scipy.optimize"
    found = subprocess.run([sys.executable, "-c", code, slow], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


#: A command in this process, and the threads that its linear algebra has afterwards.
_ALGEBRA = """
import sys; sys.argv = ["napari-sfh", "models"]
from napari_sfh import cli
cli.drop_teardown = lambda: lambda status: None  # what comes next is done in the same process
cli.main()
import numpy, threadpoolctl
print(sorted({p["num_threads"] for p in threadpoolctl.threadpool_info() if p["internal_api"] == "openblas"}))
"""


@pytest.mark.parametrize(("chosen", "threads"), [(None, "[1]"), ("2", "[2]")])
def test_commands_use_one_thread_for_linear_algebra_unless_a_user_chose(chosen, threads):
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if chosen:
        environment["OPENBLAS_NUM_THREADS"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", _ALGEBRA], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == threads


def test_processes_of_ours_use_one_thread_for_linear_algebra():
    environment = {}
    restrict_algebra_threads(environment)
    assert environment == {"OPENBLAS_NUM_THREADS": "1"}
    python = ChildPython(["os"])
    try:
        call = python.begin(os.getenv, ("OPENBLAS_NUM_THREADS",))
        assert python.wait(call, "asking") == os.environ.get("OPENBLAS_NUM_THREADS", "1")
    finally:
        python.end()
