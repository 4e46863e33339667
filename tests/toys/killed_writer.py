"""What a process leaves that is killed while it writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = """
import os, signal, sys
from napari_sfh.io.atomic import write_atomically
with write_atomically(sys.argv[1]) as part:
    part.write_text("half of a file")
    print(part, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


_FOLDER_CODE = """
import os, signal, sys
from pathlib import Path
from napari_sfh.io.atomic import hold_part_folder
with hold_part_folder(Path(sys.argv[1])) as folder:
    (folder / "archive.whl").write_text("half of an archive")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_folder_of_killed_process(parent: Path) -> Path:
    """The temporary folder of a process that was killed with ``kill -9`` while it filled it."""
    ended = subprocess.run(
        [sys.executable, "-c", _FOLDER_CODE, str(parent)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -9, ended.stderr
    return Path(ended.stdout.strip())


def leave_part_of_killed_process(path: Path) -> Path:
    """The temporary file of a process that was killed with ``kill -9`` while it wrote ``path``."""
    ended = subprocess.run([sys.executable, "-c", _CODE, str(path)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -9, ended.stderr
    return Path(ended.stdout.strip())
