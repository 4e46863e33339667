"""Python, packages, torch and memory."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata

import psutil
from packaging.requirements import Requirement

from napari_sfh import __version__
from napari_sfh.doctor.findings import Finding
from napari_sfh.errors import SfhInputError

#: Oldest Python that the package runs on.
MIN_PYTHON: tuple[int, int] = (3, 11)
#: Free main memory and disk that a galaxy of usual size needs, bytes.
NEEDED_MEMORY, NEEDED_DISK = 2e9, 1e9
#: Packages whose versions a bug report needs.
_CPU_BUILD = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cpu"
_NAMED = ("napari", "numpy", "astropy", "torch", "zuko", "vispy", "pyqtgraph", "dask", "vorbin", "ppxf")
_GB = 1e9


def check_python() -> Iterator[Finding]:
    """Version of Python, of this package, and the system."""
    old = sys.version_info[:2] < MIN_PYTHON
    yield Finding("napari-sfh", __version__)
    yield Finding(
        "Python",
        f"{platform.python_version()} ({platform.system()} {platform.release()}, {platform.machine()})",
        "problem" if old else "ok",
        f"install Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer" if old else "",
    )


def check_packages() -> Iterator[Finding]:
    """Every package that this one requires: is it there, and new enough?"""
    try:
        needed = [Requirement(line) for line in metadata.requires("napari-sfh") or ()]
    except metadata.PackageNotFoundError:
        yield Finding("packages", "napari-sfh is not installed, only on the path", "problem", "pip install .")
        return
    needed = [need for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]
    for need in needed:
        found = _find_version(need.name)
        if found is None or not need.specifier.contains(found, prereleases=True):
            text = "is missing" if found is None else f"{found} does not fit {need.specifier}"
            yield Finding(need.name, text, "problem", f'pip install "{need.name}{need.specifier}"')
    versions = [f"{name} {version}" for name in _NAMED if (version := _find_version(name))]
    yield Finding("packages", f"{len(needed)} required; {', '.join(versions)}")


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_torch() -> Iterator[Finding]:
    """Device that ``auto`` chooses, and threads."""
    import torch

    from napari_sfh.model.inference import choose_device

    device = choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    yield Finding("torch", f"{torch.__version__}, device {name}")
    if torch.version.cuda and device.type != "cuda":
        fix = f'install the build of torch for your driver ("nvidia-smi" must work), or the smaller one: {_CPU_BUILD}'
        yield Finding("torch", f"a build for CUDA {torch.version.cuda}, but no GPU is seen", "note", fix)
    try:
        (torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum().item()
    except RuntimeError as error:
        yield Finding("torch", f"cannot compute on {name}: {error}", "problem", "give `device` cpu")
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    limited = threads == 1 and cores > 1
    yield Finding(
        "threads",
        f"{threads} of {cores} cores",
        "note" if limited else "ok",
        "OMP_NUM_THREADS limits torch to one core; unset it unless that is wanted" if limited else "",
    )


def check_memory() -> Iterator[Finding]:
    """Main memory, and space for temporary files."""
    memory = psutil.virtual_memory()
    short = memory.available < NEEDED_MEMORY
    yield Finding(
        "memory",
        f"{memory.available / _GB:.1f} of {memory.total / _GB:.0f} GB free",
        "note" if short else "ok",
        "close other programs; napari-sfh info FOLDER says what a galaxy needs" if short else "",
    )
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise SfhInputError(f"no folder for temporary files: {error}; set TMPDIR") from error
    free = shutil.disk_usage(folder).free
    full = free < NEEDED_DISK
    yield Finding(
        "disk",
        f"{free / _GB:.1f} GB free for temporary files in {folder}",
        "note" if full else "ok",
        "free some space, or set TMPDIR to another disk" if full else "",
    )
