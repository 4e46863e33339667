"""No output is ever an input or another output.

Every command, export and dialog asks `check_outputs` before any work. Two names are the same file when they lead to one
place: through links, hard links, other spellings of a path, or capitals on a file system that does not tell them apart.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import check_destination

#: Endings of a result file; a name without an ending is taken as well.
RESULT_SUFFIXES: tuple[str, ...] = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz")
_HEAD_BYTES = 16 * 2880
#: Cards of the tables that this package writes, now and earlier.
_OWN_TABLES = (b"CREATOR = 'napari-sfh", b"SFHVERS =")
_OTHER_FORMATS = frozenset(
    {".png", ".pdf", ".svg", ".jpg", ".csv", ".ecsv", ".json", ".reg", ".txt", ".html", ".xml", ".vot", ".toml"}
    | {".fz", ".gz", ".bz2", ".xz", ".zip", ".z", ".tar", ".h5", ".hdf5", ".npz", ".npy", ".safetensors"}
)


def locate_cache_folder() -> Path:
    """Where archives and prepared templates are kept: ``$NAPARI_SFH_CACHE``, or ``~/.cache/napari-sfh``."""
    return Path(os.environ.get("NAPARI_SFH_CACHE") or Path.home() / ".cache" / "napari-sfh").expanduser()


def check_outputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse outputs that are inputs, or each other, or that cannot be written as files.

    Parameters
    ----------
    outputs : iterable of path
        Every file that the work is going to write.
    inputs : iterable of path or None
        Every file that it reads.

    Raises
    ------
    SfhInputError
        Names both files.
    """
    written = [Path(path) for path in outputs]
    read = [Path(path) for path in inputs if path is not None]
    for k, path in enumerate(written):
        if path.parent.is_dir() or path.exists():
            check_destination(path)
        for other in read:
            if is_same_file(path, other):
                same = "" if path == other else f" (named {path})"
                raise SfhInputError(f"{other}: the output is this input{same}; give another name for the output")
        for other in written[:k]:
            if is_same_file(path, other):
                raise SfhInputError(f"{path}: two outputs have this name ({other}); give another one")


def is_same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names lead to one file, which need not exist.

    Parameters
    ----------
    one, other : str or Path

    Returns
    -------
    bool
    """
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        pass
    first, second = _real_path(one), _real_path(other)
    if first == second:
        return True
    # Where capitals do not matter, a file that is not there yet still has its folder.
    if first.casefold() == second.casefold():
        folder = Path(first).parent
        return folder.is_dir() and _ignores_case(folder)
    return False


def _real_path(path: str | Path) -> str:
    try:
        return os.path.normcase(os.path.realpath(os.path.expanduser(path)))
    except (OSError, ValueError):
        return str(path)


def _ignores_case(folder: Path) -> bool:
    swapped = folder.with_name(folder.name.swapcase())
    return swapped.name != folder.name and swapped.exists() and os.path.samefile(folder, swapped)


def summary_page_path(output: str | Path) -> Path:
    """The page beside a result file: its name with ``.png`` in place of the ending."""
    path = Path(output)
    for suffix in sorted(RESULT_SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.with_name(path.name[: -len(suffix)] + ".png")
    return path.with_name(path.name + ".png")


def check_result_name(output: str | Path) -> None:
    """Refuse a result file whose name promises another format, or that would replace a FITS file of another kind.

    Raises
    ------
    SfhInputError
        Says which name would do.
    """
    path = Path(output)
    name = path.name.lower()
    if not name.endswith(RESULT_SUFFIXES) and path.suffix.lower() in _OTHER_FORMATS:
        raise SfhInputError(
            f"{path}: the result is a FITS file; end its name in .fits (or .fits.gz), its page gets .png beside it"
        )
    if path.is_file() and path.stat().st_size > 0 and not _is_replaceable(path):
        raise SfhInputError(
            f"{path}: exists and is no result of napari-sfh; it is not replaced: give another name, or remove it"
        )


def check_table_output(output: str | Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a table or maps that would replace an input or a FITS file of another kind, or cannot be written at all.

    Parameters
    ----------
    output : path
        Its folder must exist.
    inputs : iterable of path or None
        Every file that the work reads.

    Raises
    ------
    SfhInputError
        Names the files.
    """
    check_outputs([output], inputs)
    folder = check_destination(output).parent
    if not os.access(folder, os.W_OK):
        raise SfhInputError(f"{output}: the folder {folder} is not writable; choose another folder")
    check_table_name(output)


def check_table_name(output: str | Path) -> None:
    """Refuse to replace a FITS file that this package did not write as a table or maps.

    Raises
    ------
    SfhInputError
        The file exists and is another.
    """
    path = Path(output)
    if path.name.lower().endswith(RESULT_SUFFIXES) and path.is_file() and path.stat().st_size > 0:
        head = _read_head(path)
        if not any(mark in head for mark in _OWN_TABLES) or b"SFHFORM =" in head:
            raise SfhInputError(
                f"{path}: exists and is no table of napari-sfh; it is not replaced: give another name, or remove it"
            )


def _is_replaceable(path: Path) -> bool:
    """Whether an existing file is a result file (its first header says so; it may be damaged further on)."""
    head = _read_head(path)
    return head.startswith(b"SIMPLE  =") and b"SFHFORM =" in head


def _read_head(path: Path) -> bytes:
    """The first blocks of a file, decompressed; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                head = stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
    return head
