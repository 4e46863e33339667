"""Nobody's code runs but ours: local schedulers, child processes, package sources, manifests, texts of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_sfh.batch.cluster import connect_scheduler
from napari_sfh.processes.calls import run_in_process
from napari_sfh.training.simulator.simulation import shard_path


def test_child_processes_import_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file ``pickle.py``, or a package of our name, in the folder of the data would run as ours."""
    trap = f"open({str(tmp_path / 'caught')!r}, 'w').close()\nraise SystemExit('caught')\n"
    for name in ("pickle.py", "numpy.py", "napari_sfh.py", "sitecustomize.py"):
        (tmp_path / name).write_text(trap)
    monkeypatch.chdir(tmp_path)
    assert run_in_process(os.path.basename, ("a/b",), "a name") == "b"
    assert not (tmp_path / "caught").exists()


@pytest.mark.parametrize("index", [0, 99999, 10**7])
def test_shards_lie_in_their_folder(tmp_path: Path, index: int) -> None:
    """A manifest has numbers and hashes of shards, no paths."""
    assert shard_path(tmp_path, index).parent == tmp_path


@pytest.mark.timeout(120)
def test_a_local_scheduler_takes_no_strangers_code() -> None:
    """Any user of the machine reaches its port; without the certificates of this process nobody gets in."""
    from distributed import Client

    with connect_scheduler(workers=1) as ours:
        address = ours.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert ours.submit(os.getpid).result(timeout=30) != os.getpid()
        for stranger in (address.replace("tls://", "tcp://"), address):
            with pytest.raises((OSError, TimeoutError, RuntimeError, TypeError, ValueError)):
                Client(stranger, timeout="3s")
