"""Full disks, kill -9 at any moment, two writers of one file: what is there under its name is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_sfh.errors import ComputeError
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.results import read_result, write_result

pytestmark = pytest.mark.slow

#: Writes the same file again and again, each time filled with another letter.
_WRITER = """
import itertools, sys
from napari_sfh.io.atomic import write_atomically
print("ready", flush=True)
for k in range(int(sys.argv[2])) if int(sys.argv[2]) else itertools.count():
    with write_atomically(sys.argv[1]) as part, part.open("wb") as file:
        for _ in range(64):
            file.write(bytes([97 + k % 26]) * 2**15)
"""
SIZE = 64 * 2**15


def start_writer(path: Path, times: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _WRITER, str(path), str(times)]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def is_whole(path: Path) -> bool:
    content = path.read_bytes()
    return len(content) == SIZE and len(set(content)) == 1


def fill_with_results(folder: Path) -> None:
    from test_results import make_result

    for k in range(50):
        write_result(make_result(), folder / f"result{k}.fits")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_kill_at_random_moments_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    rng = random.Random(1)
    for _ in range(12):
        writer = start_writer(path, 0)
        time.sleep(rng.uniform(0.0, 0.25))
        writer.kill()
        writer.wait(30)
        assert not path.exists() or is_whole(path)
    with write_atomically(path) as part:
        part.write_bytes(b"x" * SIZE)
    # The next writer has removed what the killed ones left.
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.bin"]


def test_two_writers_of_one_file_both_succeed(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    writers = [start_writer(path, 40) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        assert not path.exists() or is_whole(path)
        time.sleep(0.01)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert is_whole(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.bin"]


def test_a_full_disk_is_told_and_keeps_the_old_file(small_disk: Path) -> None:
    path = small_disk / "result.bin"
    path.write_bytes(b"old")
    with pytest.raises(ComputeError, match=r"result.bin: writing failed .*space"), write_atomically(path) as part:
        part.write_bytes(b"x" * 2**20)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in small_disk.iterdir()] == ["result.bin"]


def test_a_result_that_does_not_fit_is_told(small_disk: Path) -> None:
    with pytest.raises(ComputeError, match="space"):
        fill_with_results(small_disk)
    left = sorted(small_disk.iterdir())
    assert all(entry.name.startswith("result") for entry in left)
    for entry in left:
        read_result(entry)
