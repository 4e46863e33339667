"""``make dist-test``: wheel and sdist are built, and installed into empty environments, as a stranger would.

    python .ci/dist_test.py [--python 3.11 ...]

For each Python: the wheel without any Qt, imports, commands, the doctor, and a run of a small galaxy. On the first one
also the sdist, and whether pip finds packages for every extra. A Python that this machine lacks is skipped with a line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_MB = 40.0
#: What the wheel must hold.
EXPECTED = (
    "napari_sfh/py.typed",
    "napari_sfh/napari.yaml",
    "napari_sfh/data/LICENCES.md",
    "napari_sfh/data/weights/wide.safetensors",
    "napari_sfh/instruments/muse-hst.toml",
    "napari_sfh/training/prior/priors/wide.toml",
    "napari_sfh/training/fitting/recipes/wide.toml",
)
_NO_QT = """
from importlib.util import find_spec
import napari_sfh, napari_sfh.pipeline, napari_sfh.figures.summary, napari_sfh.training.cli
assert not [name for name in ("PyQt5", "PyQt6", "PySide2", "PySide6") if find_spec(name)], "Qt is there"
assert all(getattr(napari_sfh, name) is not None for name in napari_sfh.__all__)
"""
_CUT = "import sys; from napari_sfh.demo import write_demo_cutout; write_demo_cutout(sys.argv[1])"


def main() -> int:
    """Build, install, try; the exit status is 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12", "3.13"], help="versions to try")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where wheel and sdist are put")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="napari-sfh-dist-") as name:
        folder = Path(name)
        wheel, sdist = build_distributions(folder, options.output)
        check_citation(folder)
        tried = [version for version in options.python if try_wheel(version, wheel, folder)]
        if not tried:
            print("no Python to try the wheel with")
            return 1
        try_sdist(sdist, folder / f"env-{tried[0]}")
        try_extras(wheel, folder / f"env-{tried[0]}")
    print(f"dist-test passed on Python {', '.join(tried)}")
    return 0


def call(*command: str | Path, **options: object) -> str:
    """Run a command; its output, and the end of it where it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        print(f"FAILED: {' '.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        raise SystemExit(1)
    return str(done.stdout)


def build_distributions(folder: Path, output: Path) -> tuple[Path, Path]:
    """Build from a copy of the tracked files, without git and so without a tag, and look into the wheel."""
    source = folder / "source"
    for path in call("git", "-C", ROOT, "ls-files").splitlines():
        if (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, source / path)
    call(sys.executable, "-m", "venv", folder / "build")
    python = folder / "build" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "build", "twine")
    call(python, "-m", "build", "--outdir", folder / "dist", source)  # the wheel is built from the sdist
    (wheel,), (sdist,) = (sorted((folder / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    call(python, "-m", "twine", "check", "--strict", wheel, sdist)
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name} {size:.1f} MB (at most {MAX_WHEEL_MB:.0f}), {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB")
    names = zipfile.ZipFile(wheel).namelist()
    lost = [name for name in EXPECTED if name not in names]
    if size > MAX_WHEEL_MB or lost:
        raise SystemExit(f"the wheel is too large, or lacks {lost}")
    output.mkdir(exist_ok=True)
    return Path(shutil.copy2(wheel, output)), Path(shutil.copy2(sdist, output))


def check_citation(folder: Path) -> None:
    """CITATION.cff against its schema; cffconvert wants old packages, so it has an environment of its own."""
    call(sys.executable, "-m", "venv", folder / "cff")
    call(folder / "cff" / "bin" / "python", "-m", "pip", "install", "--quiet", "cffconvert", "setuptools<81")
    call(folder / "cff" / "bin" / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff")
    print("CITATION.cff is valid")


def find_python(version: str) -> Path | None:
    """An interpreter of a version: on the path, or of pyenv."""
    known = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    known += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for path in filter(None, known):
        done = subprocess.run([path, "-c", "import venv, sys; print(sys.version)"], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.startswith(version):
            return Path(path)
    return None


def try_wheel(version: str, wheel: Path, folder: Path) -> bool:
    """Install the wheel into an empty environment, without Qt, and use it there."""
    interpreter = find_python(version)
    if interpreter is None:
        print(f"Python {version}: skipped, this machine has none")
        return False
    started = time.perf_counter()
    environment = folder / f"env-{version}"
    call(interpreter, "-m", "venv", environment)
    python, command = environment / "bin" / "python", environment / "bin" / "napari-sfh"
    call(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", "torch")
    call(python, "-m", "pip", "install", "--quiet", wheel)
    call(python, "-m", "pip", "check")
    call(python, "-c", _NO_QT, cwd=folder)
    use_commands(python, command, folder / f"galaxy-{version}")
    call(environment / "bin" / "npe2", "validate", "napari-sfh")
    print(f"Python {version}: wheel installed without Qt, run, doctor, manifest, {time.perf_counter() - started:.0f} s")
    return True


def use_commands(python: Path, command: Path, galaxy: Path) -> None:
    """The commands of a first hour, on a piece of the mock galaxy."""
    here = galaxy.parent
    clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH")}
    call(command, "--version", cwd=here, env=clean)
    call(python, "-c", _CUT, galaxy, cwd=here, env=clean)
    call(command, "info", galaxy, cwd=here, env=clean)
    result = galaxy.with_suffix(".fits")
    call(command, "run", galaxy, "--ebv-mw", "0", "--output", result, cwd=here, env=clean)
    if not result.is_file() or not result.with_suffix(".png").is_file():
        raise SystemExit(f"{result}: the run wrote no result or no page")
    print(call(command, "doctor", cwd=here, env=clean))
    call(command.with_name("napari-sfh-train"), "--help", cwd=here, env=clean)


def try_sdist(sdist: Path, environment: Path) -> None:
    """Install the sdist in place of the wheel."""
    python = environment / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", sdist)
    call(environment / "bin" / "napari-sfh", "doctor", cwd=environment)
    print("sdist installed, doctor content")


def try_extras(wheel: Path, environment: Path) -> None:
    """Whether pip finds packages that fit together for every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in project["optional-dependencies"]:
        call(environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--dry-run", f"{wheel}[{extra}]")
    print(f"extras resolve: {', '.join(project['optional-dependencies'])}")


if __name__ == "__main__":
    sys.exit(main())
