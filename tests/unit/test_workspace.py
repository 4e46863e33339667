"""Workspaces: a round trip, files that move with their folder, and an answer to every bad file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.io import workspaces
from napari_sfh.io.workspaces import Workspace, read_workspace, write_workspace


def example(folder: Path) -> Workspace:
    return Workspace(
        result=folder / "out" / "ngc_sfh.fits",
        n_bins=812,
        forms={"data": {"cube": folder / "cube.fits", "bands": {"F275W": folder / "uv.fits", "F336W": None}}},
        session={"selected": 12, "compared": (3, np.int64(4))},
        canvas={"camera": {"center": [0.0, 1.5], "zoom": np.float64(2.5)}},
        tools={"region": {"polygons": [[[1.0, 2.0], [3.0, 4.0]]], "file": folder.parent / "ds9.reg"}},
    )


def test_round_trip(tmp_path: Path) -> None:
    path = write_workspace(example(tmp_path), tmp_path / "work.json")
    again = read_workspace(path)
    assert again.result == tmp_path / "out" / "ngc_sfh.fits"
    assert again.n_bins == 812
    assert again.forms == example(tmp_path).forms
    assert again.session == {"selected": 12, "compared": [3, 4]}
    assert again.canvas["camera"]["zoom"] == 2.5
    assert again.tools["region"]["file"] == tmp_path.parent / "ds9.reg"
    assert workspaces.is_workspace(path)
    assert not workspaces.is_workspace(tmp_path / "none.json")
    assert not list(tmp_path.glob(".part*"))


def test_paths_follow_a_folder_that_moves(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "deeper" / "there"
    (here / "work").mkdir(parents=True)
    path = write_workspace(example(here), here / "work" / "work.json")
    assert "tmp" not in path.read_text() or str(tmp_path) not in path.read_text()
    shutil.copytree(here, there)
    moved = read_workspace(there / "work" / "work.json")
    assert moved.result == there / "out" / "ngc_sfh.fits"
    assert moved.forms["data"]["bands"] == {"F275W": there / "uv.fits", "F336W": None}


def test_what_a_later_minor_version_adds_is_left_alone(tmp_path: Path) -> None:
    path = write_workspace(Workspace(), tmp_path / "w.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "more": 1, "session": {"selected": 2, "future": []}}))
    assert read_workspace(path).session["selected"] == 2
    assert read_workspace(path).result is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "napari-sfh workspace", "vers', r"w.json: is damaged or no workspace \(.*line 1.*\); save"),
        ('{"a": 1}', "w.json: kind is not 'napari-sfh workspace'; choose a file"),
        ("[1, 2]", "w.json: kind is not"),
        ('{"kind": "napari-sfh workspace"}', "w.json: version is None, not a number from 1"),
        (
            '{"kind": "napari-sfh workspace", "version": 99, "written_by": "7.0"}',
            r"w.json: version 99 is newer than 1.*update it \(the file was written by 7.0\)",
        ),
        ('{"kind": "napari-sfh workspace", "version": 1, "tools": [3]}', "w.json: tools"),
        ("\xff\xfe", "w.json: is damaged"),
    ],
)
def test_bad_files_are_named_with_a_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SfhInputError, match=message):
        read_workspace(path)


def test_missing_and_unwritable_files(tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=r"gone\.json: no such file; choose a workspace"):
        read_workspace(tmp_path / "gone.json")
    with pytest.raises(SfhInputError, match="cannot be read"):
        read_workspace(tmp_path)
    with pytest.raises(SfhInputError, match=r"folder .* does not exist"):
        write_workspace(Workspace(), tmp_path / "no" / "w.json")


def test_recent_galaxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SFH_CONFIG", str(tmp_path / "config"))
    assert workspaces.list_recent() == []
    files = [tmp_path / f"{k}.fits" for k in range(workspaces.N_RECENT + 3)]
    for file in files:
        file.touch()
        workspaces.add_recent(file)
    assert workspaces.list_recent() == files[::-1][: workspaces.N_RECENT]
    workspaces.add_recent(files[5])
    assert workspaces.list_recent()[0] == files[5]
    assert len(set(workspaces.list_recent())) == workspaces.N_RECENT
    files[5].unlink()
    assert files[5] not in workspaces.list_recent()
    workspaces.recent_list_path().write_text("{")
    assert workspaces.list_recent() == []


def test_a_list_that_cannot_be_written_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_SFH_CONFIG", str(tmp_path / "file" / "below"))
    workspaces.add_recent(tmp_path)
    assert workspaces.list_recent() == []
