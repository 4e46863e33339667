"""Whole runs and trainings that are killed, fill the disk or share an output: what is left, what a rerun does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_sfh.io.results import read_result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
#: Kills of each kind.
KILLS = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from inputs import make_inputs

    return make_inputs(tmp_path_factory.mktemp("killed") / "inputs")


def run_words(inputs: Path, output: Path) -> list[str]:
    given = ["--cube", str(inputs / "cube.fits"), "--binning", str(inputs / "bins.fits"), "--kinematics", "0,60"]
    return [str(BIN / "napari-sfh"), "run", *given, "--ebv-mw", "0", "--draws", "50", "--device", "cpu",
            "--output", str(output)]  # fmt: skip


def train_words(output: Path, *more: str) -> list[str]:
    return [str(BIN / "napari-sfh-train"), "train", "--config", "tiny", "--n", "200", "--epochs", "2", "--quiet",
            "--output", str(output), *more]  # fmt: skip


def finish(words: list[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    ended = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return ended, time.monotonic() - started


def kill_after(words: list[str], seconds: float, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def list_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_is_killed_leaves_nothing_half_written(inputs: Path, tmp_path: Path, number: signal.Signals) -> None:
    rng = random.Random(int(number))
    output = tmp_path / "out.fits"
    whole, seconds = finish(run_words(inputs, output))
    assert whole.returncode == 0, whole.stderr
    expected = read_result(output).prediction.median("lg_age_lw")
    for _ in range(KILLS):
        for entry in tmp_path.iterdir():
            entry.unlink()
        ended = kill_after(run_words(inputs, output), seconds * rng.uniform(0.3, 1.05), number)
        assert "Traceback" not in ended.stderr
        left = list_names(tmp_path)
        if number != signal.SIGKILL:
            assert set(left) <= {"out.fits", "out.png"}
        if output.exists():
            np.testing.assert_allclose(read_result(output).prediction.median("lg_age_lw"), expected, atol=1e-5)
        again, _ = finish(run_words(inputs, output))
        assert again.returncode == 0, again.stderr
        assert list_names(tmp_path) == ["out.fits", "out.png"]
        np.testing.assert_allclose(read_result(output).prediction.median("lg_age_lw"), expected, atol=1e-5)


def test_two_runs_at_one_output_both_succeed(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    runs = [subprocess.Popen(run_words(inputs, output), env=ENVIRONMENT, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(run.wait(300), run.communicate()[1][-300:]) for run in runs if run.wait(300)] == []
    assert read_result(output).bins.n_bins == 4
    assert list_names(tmp_path) == ["out.fits", "out.png"]


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a file system of a given size, for root."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    places = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let root mount a small disk")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", ["16k", "128k", "512k"])
def test_a_run_on_a_full_disk_says_so(inputs: Path, mount_disk: Callable[[str], Path], size: str) -> None:
    """Whatever fits is whole; what does not is told with its name; the old result stays."""
    output = mount_disk(size) / "out.fits"
    ended, _ = finish(run_words(inputs, output))
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "space" in ended.stderr
    assert set(list_names(output.parent)) <= {"out.fits"}
    if output.exists():
        assert read_result(output).bins.n_bins == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_killed_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """Killed again and again, it ends with the weights of a training that nobody disturbed."""
    rng = random.Random(int(number))
    whole, seconds = finish(train_words(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    place, ended, kills = tmp_path / "killed", None, 0
    while kills < KILLS and (ended is None or ended.returncode != 0):
        more = ("--resume",) if (place / "run.json").exists() else ()
        ended = kill_after(train_words(place, *more), seconds * rng.uniform(0.3, 0.95), number)
        assert "Traceback" not in ended.stderr
        kills += 1
    if ended is None or ended.returncode != 0:
        more = ("--resume",) if (place / "run.json").exists() else ()
        ended, _ = finish(train_words(place, *more))
    assert ended.returncode == 0, ended.stderr
    assert list_names(place) == list_names(tmp_path / "whole")
    assert read_tensors(place / "bundle.safetensors") == read_tensors(tmp_path / "whole" / "bundle.safetensors")


def read_tensors(path: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: value.tobytes() for name, value in load_file(path).items()}


@pytest.mark.parametrize("size", ["64k", "1m", "2m", "3m"])
def test_a_training_on_a_full_disk_says_so_and_goes_on(mount_disk: Callable[[str], Path], size: str) -> None:
    place = mount_disk(size) / "run"
    ended, _ = finish(train_words(place))
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "space" in ended.stderr
    assert not any(name.startswith(".part") for name in list_names(place))
    assert not (place / "bundle.safetensors").exists()
