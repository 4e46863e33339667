"""Writing without loss: a file is complete under its name, or it is not there.

Content goes to a temporary name beside the destination, which is renamed when all of it is on the disk. The temporary
name is unique, is created with ``O_EXCL`` and does not follow a link. It holds the computer and the process that wrote
it, so that the next writer removes what a killed process left, and nothing that another process still writes.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import hashlib
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from napari_sfh.errors import ComputeError, SfhInputError

#: How a temporary name begins. The destination's name follows, so that its ending still says the format.
PART_PREFIX = ".part-"
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
#: Bytes of a name that still fit behind two unique beginnings: of 255, which most file systems allow.
_LONGEST_NAME = 150
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_open_parts: set[Path] = set()
#: The process that says what ended it, its program, and what is left of its work.
_last_words = (0, "", "")
_lock = threading.Lock()


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Write a file by way of a temporary name.

    Parameters
    ----------
    path : path
        The destination. A link is followed; its permissions are kept where it exists.

    Yields
    ------
    Path
        An empty file in the same folder, whose name ends as the destination's does: write to it by name. It takes the
        destination's place when the block ends, and is removed when the block raises.

    Raises
    ------
    SfhInputError
        The destination is a folder or a device, or its folder does not exist or cannot be written.
    ComputeError
        Writing failed, for example because the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with write_atomically(folder / "note.txt") as part:
    ...     _ = part.write_text("whole")
    >>> [file.name for file in folder.iterdir()]
    ['note.txt']
    """
    path = Path(path)
    target = check_destination(path)
    remove_stale_parts(target)
    part = _create_part(path, target)
    try:
        with _naming_errors(path):
            yield part
            _sync(part)
            if target.exists():
                part.chmod(target.stat().st_mode & 0o7777)
            os.replace(part, target)
    finally:
        with _lock:
            _open_parts.discard(part)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write UTF-8 text as `write_atomically` does.

    Parameters
    ----------
    path : str or Path
    text : str
        Written in UTF-8.

    Raises
    ------
    SfhInputError, ComputeError
        As `write_atomically`.
    """
    with write_atomically(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def ensure_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there yet.

    Raises
    ------
    SfhInputError
        It cannot be made; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise SfhInputError(f"{folder}: the folder cannot be made ({e.strerror}); choose another folder") from e


def check_destination(path: str | Path) -> Path:
    """Return the file that ``path`` means, links followed, or refuse what no file can be written to.

    Raises
    ------
    SfhInputError
        A folder, a device or a pipe, a read-only file, or a file in a folder that does not exist.
    """
    path = Path(path)
    try:
        target = path.resolve()
        if target.is_dir():
            raise SfhInputError(f"{path}: is a folder; name a file in it")
        if target.exists() and not target.is_file():
            raise SfhInputError(f"{path}: is a device or a pipe; name a file")
        if target.exists() and not os.access(target, os.W_OK):
            raise SfhInputError(f"{path}: is read-only, and is not replaced; name another file, or remove it")
        if not target.parent.is_dir():
            raise SfhInputError(f"{path}: the folder {target.parent} does not exist; name a file in an existing folder")
    except SfhInputError:
        raise
    except (OSError, ValueError, RuntimeError) as e:  # a name too long, a null byte, a circle of links
        raise SfhInputError(f"{path}: no usable file name ({getattr(e, 'strerror', None) or e}); choose another") from e
    return target


def remove_stale_parts(path: str | Path) -> None:
    """Remove the temporary files that killed processes of this computer left for a destination."""
    path = Path(path)
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            head, _, name = entry.name.partition(".part.")
            # What is compressed has a part beside its part, which nothing else leads to any more.
            is_ours = name == _shorten_name(path.name) or _is_left_over(name.partition(".part.")[0])
            if not is_ours or not _is_left_over(head) or entry.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


@contextlib.contextmanager
def hold_part_folder(parent: Path) -> Iterator[Path]:
    """A folder of temporary files that is removed when the block ends, and by the next caller where it was killed.

    Parameters
    ----------
    parent : Path
        An existing folder. What killed processes of this computer left in it is removed first.

    Yields
    ------
    Path
        An empty folder in it.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(parent)):
            if entry.is_dir(follow_symlinks=False) and _is_left_over(entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PART_PREFIX}{_HOST}-{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


def _is_left_over(name: str) -> bool:
    """Whether a temporary name is that of a process of this computer that runs no more."""
    if not name.startswith(PART_PREFIX):
        return False
    host, _, rest = name.removeprefix(PART_PREFIX).partition("-")
    process = rest.partition("-")[0]
    return host == _HOST and process.isdigit() and not _is_running(int(process))


def remove_parts_on_signals(program: str = "", left: str = "") -> None:
    """Let SIGTERM and SIGHUP remove this process's temporary files before they end it; for the main thread.

    Parameters
    ----------
    program : str
        With it begins the line that this process then says on stderr; without it, and in its children, none is said.
    left : str
        What is left of its work, for the line.
    """
    global _last_words
    _last_words = (os.getpid(), program, left)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _remove_parts_and_end)


@functools.cache
def _remove_parts_at_end() -> None:
    """Register once that the end of this process removes what a thread of it still writes: it is not waited for."""
    atexit.register(_remove_open_parts)


def _remove_open_parts() -> None:
    for part in tuple(_open_parts):
        if f"-{os.getpid()}-" in part.name:  # a fork knows those of its parent
            with contextlib.suppress(OSError):
                os.unlink(part)


def _remove_parts_and_end(number: int, frame: FrameType | None) -> None:
    _remove_open_parts()
    process, program, left = _last_words
    if program and process == os.getpid():
        with contextlib.suppress(OSError):
            os.write(2, f"{program}: ended by {signal.Signals(number).name}; {left}\n".encode())
    signal.signal(number, signal.SIG_DFL)
    if sys.platform == "win32":
        os._exit(128 + number)
    os.kill(os.getpid(), number)


def _create_part(path: Path, target: Path) -> Path:
    """An empty temporary file beside the destination, which no other process has."""
    _remove_parts_at_end()
    unique = f"{PART_PREFIX}{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"
    part = target.with_name(f"{unique}.part.{_shorten_name(target.name)}")
    try:
        with _lock:
            os.close(os.open(part, _FLAGS, 0o666))
            _open_parts.add(part)
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise ComputeError(f"{path}: writing failed ({e.strerror}); free disk space") from e
        raise SfhInputError(f"{path}: the folder is not writable ({e.strerror}); choose another folder") from e
    return part


def _shorten_name(name: str) -> str:
    """A file's name, or where a temporary one would be longer than file systems allow, its digest and its end."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-{name[-12:]}"


@contextlib.contextmanager
def _naming_errors(path: Path) -> Iterator[None]:
    """Failures of the operating system as `ComputeError` with the destination's name."""
    try:
        yield
    except OSError as e:
        why = e.strerror or (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
        raise ComputeError(f"{path}: writing failed ({why}); free disk space or choose another folder") from e


def _sync(part: Path) -> None:
    """Have the content on the disk before the name points to it."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
