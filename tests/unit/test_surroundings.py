"""What a shell, a home folder, an encoding or a matplotlibrc may do to a command: it works, or says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from napari_sfh.errors import ComputeError
from napari_sfh.io.atomic import PART_PREFIX, write_atomically

_RUN = "from napari_sfh.console import *; import sys; sys.exit(run_command({command}, 'prog', 'nothing is left'))"


def run_python(command: str, around: str = 'exec "$@"', **environment: str) -> subprocess.CompletedProcess[str]:
    """`run_command` of an expression, in a process that a shell starts as ``around`` says."""
    words = ["bash", "-c", around, "bash", sys.executable, "-c", _RUN.format(command=command)]
    return subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_words_that_an_encoding_lacks_are_escaped() -> None:
    ended = run_python(r"lambda: print('\u20ac.fits')", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (0, "\\u20ac.fits\n")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_taken_for_files(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "x"
    command = f"lambda: open({str(path)!r}, 'w').write('whole') and make_stderr_logger(False)('progress')"
    assert run_python(command, f'exec "$@" {closed}').returncode == 0
    assert path.read_text() == "whole"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_a_full_log_ends_no_work(tmp_path: Path) -> None:
    path = tmp_path / "x"
    command = f"lambda: make_stderr_logger(False)('progress') or open({str(path)!r}, 'w').write('done') and None"
    run_python(command, 'exec "$@" 2>/dev/full')
    assert path.read_text() == "done"
    full = run_python("lambda: print('answer')", 'exec "$@" >/dev/full')
    assert (full.returncode, "space" in full.stderr, "Traceback" in full.stderr) == (1, True, False)


def test_all_words_on_stderr_go_where_a_full_log_ends_no_work() -> None:
    """`print_message` and `print_progress`: a note that could not be printed ended `estimate` with 1."""
    root = Path(__file__).parents[2]
    files = [f for part in ("src/napari_sfh", "training") for f in (root / part).rglob("*.py") if "_qt" not in f.parts]
    assert len(files) > 300
    others = [f.name for f in files if "file=sys.stderr" in f.read_text(encoding="utf-8") and f.name != "console.py"]
    assert others == ["looking.py"]  # doctor's moving line, on a terminal alone


def test_cycles_are_looked_for_seldom_and_not_at_the_end() -> None:
    script = (
        "import atexit, gc; from napari_sfh.console import run_command; usual = gc.get_threshold(); "
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
        "run_command(lambda: print(gc.get_threshold()[0] > 10 * usual[0], gc.isenabled()), 'prog', ''); "
        "print(gc.get_threshold() == usual, gc.get_freeze_count())"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "True", "True", "0", "True"]


def test_a_reader_that_has_gone_is_told() -> None:
    command = "lambda: [print('x' * 1000) for _ in range(1000)] and None"
    ended = run_python(command, '"$@" | true; exit ${PIPESTATUS[0]}')
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert ended.stderr.startswith("prog: ")


def test_a_backend_that_is_not_there_fails_nothing() -> None:
    ended = run_python("lambda: __import__('matplotlib.figure') and None", MPLBACKEND="junk")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_home_that_cannot_be_entered_is_told(tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    ended = run_python(
        "lambda: (__import__('os').seteuid(65534), run_command(lambda: 0, 'inner', ''))[1]", HOME=str(home)
    )
    assert ended.returncode == 2
    assert f"{home}" in ended.stderr
    assert "set HOME" in ended.stderr


def test_causes_and_remedies_of_the_system_are_one_line() -> None:
    ended = run_python("lambda: open('/nowhere/x')")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("prog: /nowhere/x: No such file")


def test_latex_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from napari_sfh.figures.files import save_figure

    monkeypatch.setenv("PATH", str(tmp_path))
    with rc_context({"text.usetex": True}):
        figure = Figure()
        figure.text(0.5, 0.5, "words that no cache holds 41787")
        with pytest.raises(ComputeError, match=r"latex.*MATPLOTLIBRC"):
            save_figure(figure, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [150, 151, 247, 255])
def test_names_as_long_as_the_file_system_allows(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("é" * ((length - 9) // 2) + "a" * ((length - 9) % 2) + "x.fits.gz")
    assert len(os.fsencode(path.name)) == length
    with write_atomically(path) as part:
        assert part.name.endswith(".fits.gz")
        with write_atomically(part.with_name(part.name.removesuffix(".gz"))) as inner:
            inner.write_text("plain")
        part.with_name(part.name.removesuffix(".gz")).unlink()
        part.write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_parts_of_long_names_are_cleaned(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 240 + ".fits")
    code = (
        "import os, sys; from napari_sfh.io.atomic import write_atomically\n"
        "with write_atomically(sys.argv[1]): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert [entry.name.startswith(PART_PREFIX) for entry in tmp_path.iterdir()] == [True]
    with write_atomically(path) as part:
        part.write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_result_of_files_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    from test_results import make_result

    from napari_sfh.batch.rerun import describe_input_files
    from napari_sfh.batch.result_files import write_galaxy_result
    from napari_sfh.config import RunConfig

    cube, output = tmp_path / "cube.fits", tmp_path / "out.fits"
    cube.write_bytes(b"before")
    config = RunConfig(cube)
    inputs = describe_input_files(config)
    for act in (lambda: cube.write_bytes(b"another one"), cube.unlink):
        act()
        with pytest.raises(ComputeError, match=r"not written.*cube\.fits"):
            write_galaxy_result(make_result(), config, output, inputs)
        assert not output.exists()
    cube.write_bytes(b"before")
    write_galaxy_result(make_result(), config, output, describe_input_files(config))
    assert output.exists()


def run_as_nobody(*acts: str) -> subprocess.CompletedProcess[str]:
    """Python as a user without rights, who does one thing after the other; what it imports is loaded before."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    before = (
        "from napari_sfh.io.atomic import *; from napari_sfh.io.identify import *; import os\n"
        "header = read_bundle_header(); os.setuid(65534)"
    )
    tries = (f"try: {act}\nexcept Exception as e: print(type(e).__name__, e)" for act in acts)
    words = [sys.executable, "-c", "\n".join([before, *tries])]
    return subprocess.run(words, capture_output=True, text=True, check=True)


def test_files_and_folders_that_may_not_be_touched_are_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        closed, kept = folder / "closed", folder / "result.fits"
        closed.mkdir(mode=0o700)
        kept.write_text("old")
        kept.chmod(0o444)
        acts = f"find_galaxy_files({str(closed)!r}, header)", f"check_destination({str(kept)!r})"
        found = run_as_nobody(*acts).stdout.splitlines()
        assert "closed: cannot be listed (Permission denied)" in found[0]
        assert "result.fits: is read-only" in found[1]
        assert kept.read_text() == "old"
