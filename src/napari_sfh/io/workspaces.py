"""A workspace: everything that a window shows, in one JSON file, and the list of recent ones. No Qt.

    {"kind": "napari-sfh workspace", "version": 1, "written_by": "0.1.0",
     "result": {"path": "ngc0628_sfh.fits", "bins": 812, "digest": "5c0b..."},
     "forms": {"data": {"cube": {"path": "../cubes/NGC0628.fits"}, "redshift": "0.0022", ...}, ...},
     "session": {"selected": 12, "compared": [40, 41]},
     "canvas": {"camera": {"center": [0, 1.5, -2.0], "zoom": 9.1}, "layers": {"map AGE_LW": {...}}},
     "tools": {"region": {...}, ...}}

Paths stand as ``{"path": ...}``, relative to the file's own folder (absolute on another drive), with forward slashes,
so that a folder with a galaxy and its workspace can be moved or copied to another computer. NaN and infinity stand as
``null``. Blocks and keys that a reader does not know are left alone, and it does without those that it misses;
``version`` rises only when an old program would misread a file. What is computed anew in seconds (contours, lines,
gradients, a comparison) is kept as the acts that made it; pPXF's fits, which take long, are kept themselves (see
`napari_sfh.analysis.comparison.ppxf_json`).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Len

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.digests import hash_parts
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.sections import make_section_field, read_section
from napari_sfh.types import Result

KIND = "napari-sfh workspace"
VERSION = 1
#: Ending of a workspace's name.
SUFFIX = ".json"
#: That of DS9 regions, which a workspace holds too, and other programs read.
REGION_SUFFIX = ".reg"
#: How many galaxies `list_recent` remembers.
N_RECENT = 12

_MAX_BYTES = 200 * 2**20  # draws and fits of many bins
_MAX_DEPTH = 40
_BLOCKS = ("forms", "session", "canvas", "tools")


@dataclass(frozen=True)
class Workspace:
    """What a window shows. Values are JSON types and `pathlib.Path`.

    Attributes
    ----------
    result : Path or None
        The result file; None before a run.
    n_bins : int
        Of that result, to notice when the file has been replaced since.
    digest : str
        Of its contents, for the same purpose (`hash_result`); empty where it is not known.
    forms : mapping
        Fields of each form by their names.
    session : mapping
        Selected and compared bins.
    canvas : mapping
        ``camera``, and ``layers``: limits, colours and opacity of each.
    tools : mapping
        State of each tool by its name.
    """

    result: Path | None = None
    n_bins: int = 0
    digest: str = ""
    forms: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    canvas: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Any] = field(default_factory=dict)


def write_workspace(workspace: Workspace, path: Path | str) -> Path:
    """Write a workspace, by way of a temporary name: a file that is there is complete.

    Parameters
    ----------
    workspace : Workspace
    path : str or Path

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SfhInputError, ComputeError
        The file cannot be written, as `io.atomic.write_atomically`.
    """
    path = Path(path)
    folder = path.parent.resolve()
    content: dict[str, Any] = {"kind": KIND, "version": VERSION, "written_by": _own_version()}
    if workspace.result is not None:
        content["result"] = {**_to_json(workspace.result, folder), "bins": workspace.n_bins}
        content["result"] |= {"digest": workspace.digest} if workspace.digest else {}
    content |= {name: _to_json(getattr(workspace, name), folder) for name in _BLOCKS}
    write_text_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


@check_arguments
def read_workspace(path: Path | str) -> Workspace:
    """Read a workspace; its result and other files are not opened, and may be missing.

    Raises
    ------
    SfhInputError
        No such file, no JSON, not a workspace, written by a newer version, or blocks of another type.
    """
    path = Path(path)
    content = _read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise SfhInputError(f"{path}: kind is not {KIND!r}; choose a file written by Save workspace")
    version = content.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SfhInputError(
            f"{path}: version is {version!r}, not a number from 1 to {VERSION}; save the workspace again"
        )
    if version > VERSION:
        raise SfhInputError(
            f"{path}: version {version} is newer than {VERSION}, the newest that this napari-sfh reads; "
            f"update it (the file was written by {content.get('written_by', 'a newer one')})"
        )
    folder = path.parent.resolve()
    try:
        read_section(_WorkspaceFile, content, str(path), ignore_unknown=True)
    except SfhInputError as error:
        raise SfhInputError(f"{error}; save the workspace again") from error
    result = content.get("result", {})
    if "\0" in result.get("path", ""):
        raise SfhInputError(f"{path}: result.path holds a null character; save the workspace again")
    where = _from_json({"path": result["path"]}, folder) if "path" in result else None
    blocks = {name: _from_json(content.get(name, {}), folder) for name in _BLOCKS}
    return Workspace(where, result.get("bins", 0), result.get("digest", ""), **blocks)


def hash_result(result: Result) -> str:
    """Digest of what a result says, the same in memory and read from its file.

    Other data, weights or settings change every bin's score and signal-to-noise ratio.
    """
    said = (
        result.prediction.ood,
        result.data.snr,
        *(result.prediction.median(k) for k in sorted(result.prediction.scalars)),
    )
    rows = [np.nan_to_num(np.asarray(values, np.float32), nan=-1.0) for values in said]
    return hash_parts(result.model_sha256, *rows)


@dataclass(frozen=True)
class _ResultBlock:
    path: Annotated[str, Len(1)] = "."
    bins: Annotated[int, Ge(0)] = 0
    digest: str = ""


@dataclass(frozen=True)
class _SessionBlock:
    selected: int | None = None
    compared: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Camera:
    center: Annotated[tuple[float, ...], Len(2, 3)] | None = None
    zoom: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True)
class _CanvasBlock:
    camera: _Camera = make_section_field(_Camera, ignore_unknown=True)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    plots: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _WorkspaceFile:
    """Types of what `write_workspace` writes."""

    result: _ResultBlock = make_section_field(_ResultBlock, ignore_unknown=True)
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)
    session: _SessionBlock = make_section_field(_SessionBlock, ignore_unknown=True)
    canvas: _CanvasBlock = make_section_field(_CanvasBlock, ignore_unknown=True)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        deepest = max(deepest, level)
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        waiting += [(child, level + 1) for child in children if isinstance(child, dict | list)]
    return deepest


def is_workspace(path: Path | str) -> bool:
    """True for a file whose first lines say that it is one."""
    try:
        with open(path, encoding="utf-8") as file:
            return KIND in file.read(200)
    except (OSError, UnicodeDecodeError):
        return False


def _read_json(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise SfhInputError(f"{path}: is a device or a pipe; choose a workspace (*{SUFFIX})")
        if path.is_file() and path.stat().st_size > _MAX_BYTES:
            raise SfhInputError(f"{path}: has {path.stat().st_size} bytes, more than a workspace; save it again")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if _depth(content) > _MAX_DEPTH:
            raise SfhInputError(f"{path}: is nested more than {_MAX_DEPTH} levels deep, no workspace; save it again")
        return content
    except FileNotFoundError:
        raise SfhInputError(f"{path}: no such file; choose a workspace (*{SUFFIX})") from None
    except OSError as error:
        raise SfhInputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (RecursionError, MemoryError) as error:
        raise SfhInputError(f"{path}: is nested too deeply, no workspace; save it again") from error
    except (ValueError, UnicodeDecodeError) as error:
        if isinstance(error, SfhInputError):
            raise
        raise SfhInputError(f"{path}: is damaged or no workspace ({error}); save the workspace again") from error


def _own_version() -> str:
    from importlib.metadata import version

    return version("napari-sfh")


def _to_json(value: Any, folder: Path) -> Any:
    """JSON types; paths relative to ``folder``."""
    if isinstance(value, Path):
        return {"path": _relative_path(value, folder)}
    if isinstance(value, Mapping):
        return {str(key): _to_json(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item, folder) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _relative_path(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.expanduser().resolve(), folder)).as_posix()
    except ValueError:  # another drive of Windows
        return path.expanduser().resolve().as_posix()


def _from_json(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        if set(value) == {"path"} and isinstance(value["path"], str):
            return Path(os.path.normpath(folder / PurePosixPath(value["path"])))
        return {key: _from_json(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item, folder) for item in value]
    return value


def recent_list_path() -> Path:
    """Where `list_recent` is kept: ``$NAPARI_SFH_CONFIG``, or the user's configuration folder."""
    named = os.environ.get("NAPARI_SFH_CONFIG")
    if named:
        return Path(named).expanduser() / "recent.json"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "napari-sfh" / "recent.json"


def list_recent() -> list[Path]:
    """Results, workspaces and galaxy folders that were opened last and still exist, the latest first."""
    try:
        listed = json.loads(recent_list_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(listed, list):
        return []
    return [path for item in listed if isinstance(item, str) and (path := Path(item)).exists()]


def add_recent(path: Path | str) -> None:
    """Put a file or folder first in `list_recent`. A list that cannot be written is no reason to disturb anybody."""
    path = Path(path).expanduser().resolve()
    kept = [str(path), *(str(other) for other in list_recent() if other != path)][:N_RECENT]
    try:
        recent_list_path().parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(recent_list_path(), json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    except (OSError, ComputeError, SfhInputError):
        return
