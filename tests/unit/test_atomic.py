"""Writing without loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from killed_writer import leave_folder_of_killed_process, leave_part_of_killed_process

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.atomic import PART_PREFIX, hold_part_folder, write_atomically, write_text_atomically


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_content_replaces_the_old_file_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    path.chmod(0o640)
    with write_atomically(path) as part:
        assert part.parent == tmp_path
        assert part.suffix == ".txt"
        assert part.name.startswith(PART_PREFIX)
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SfhInputError])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise error("stop")

    with pytest.raises(error), write_atomically(path) as part:
        fail(part)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_full_disk_is_a_failure_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ComputeError, match=r"note\.txt.*No space"), write_atomically(tmp_path / "note.txt"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "note.txt"
    link.symlink_to(tmp_path / "disk" / "real.txt")
    write_text_atomically(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.txt").read_text() == "new"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "none" / "x", Path(os.devnull), tmp_path / "pipe", tmp_path / "loop", "a\0b"):
        with pytest.raises(SfhInputError):
            write_text_atomically(path, "new")
    assert not Path(os.devnull).is_file()


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    left = leave_part_of_killed_process(path)
    inner = leave_part_of_killed_process(left.with_name(f"{left.name}.plain"))  # before it is compressed
    of_another_file = leave_part_of_killed_process(tmp_path / "other.txt")
    assert left.exists()
    with write_atomically(path) as first, write_atomically(path) as second:
        assert first != second
        assert first.exists()
        assert not left.exists()
        assert not inner.exists()
    assert of_another_file.exists()


def test_folders_of_killed_processes_are_removed_and_those_in_use_are_not(tmp_path: Path) -> None:
    left = leave_folder_of_killed_process(tmp_path)
    assert (left / "archive.whl").exists()
    with hold_part_folder(tmp_path) as first, hold_part_folder(tmp_path) as second:
        assert not left.exists()
        assert first.is_dir()
        assert first != second
    assert list(tmp_path.iterdir()) == []


def test_many_threads_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    threads = [threading.Thread(target=write_text_atomically, args=(path, str(k) * 1000)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(path.read_text())) == 1
    assert names(tmp_path) == ["note.txt"]


def test_an_end_during_the_writing_leaves_nothing(tmp_path: Path) -> None:
    """A window that is closed ends its process while a thread still draws a figure."""
    code = (
        "import sys, threading; from napari_sfh.console import drop_teardown; from napari_sfh.io.atomic import *\n"
        "end, begun = drop_teardown(), threading.Event()\n"
        "def write():\n"
        "    with write_atomically(sys.argv[1]) as part:\n"
        "        part.write_text('half'); begun.set(); threading.Event().wait(30)\n"
        "threading.Thread(target=write, daemon=True).start()\n"
        "begun.wait(20); end(0)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")]).returncode == 0
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_nothing(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import os, signal, sys, time; from napari_sfh.io.atomic import *\n"
        # A shell in the background has its children ignore some.
        f"signal.signal({int(number)}, signal.{'default_int_handler' if number == signal.SIGINT else 'SIG_DFL'})\n"
        "remove_parts_on_signals('program', 'nothing is left')\n"
        "with write_atomically(sys.argv[1]) as part:\n"
        "    part.write_text('half'); print('ready', flush=True); time.sleep(30)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=20)
    assert child.returncode == -number
    assert names(tmp_path) == []
    if number != signal.SIGINT:  # that is told by `console.run_command`
        assert said.decode() == f"program: ended by {number.name}; nothing is left\n"
