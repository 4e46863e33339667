"""Qt and OpenGL, tried in a process of their own: Qt ends the whole process where it finds no screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from napari_sfh.doctor.findings import Finding

#: Bindings that qtpy knows.
BINDINGS: tuple[str, ...] = ("PyQt5", "PyQt6", "PySide6", "PySide2")
#: Seconds after which a window that does not open counts as a problem.
PATIENCE_S: float = 60.0
_PROBE = """
import json, qtpy
from qtpy.QtWidgets import QApplication
app = QApplication([])
import vispy
vispy.use(qtpy.API_NAME.lower(), "gl2")
from vispy.app import Canvas
from vispy.gloo import gl
Canvas(show=False).set_current()
print(json.dumps({
    "binding": qtpy.API_NAME, "qt": qtpy.QT_VERSION, "platform": app.platformName(),
    "gl": gl.glGetParameter(gl.GL_VERSION), "renderer": gl.glGetParameter(gl.GL_RENDERER)}))
"""


def check_window() -> Iterator[Finding]:
    """Qt binding, OpenGL, and whether napari finds the plugin."""
    bindings = [name for name in BINDINGS if find_spec(name)]
    if not bindings:
        fix = 'pip install "PyQt6>=6.7" for the window; commands and Python need no Qt'
        yield Finding("Qt", "no binding is installed", "note", fix)
        return
    if not has_screen():
        fix = "on a server use the commands, or xvfb-run; over ssh give -X"
        yield Finding("Qt", f"{', '.join(bindings)}; no screen, so no window was tried", "note", fix)
        return
    yield from open_hidden_window(bindings)


def has_screen() -> bool:
    """Whether a window can be shown here: outside Linux always."""
    if sys.platform != "linux":
        return True
    return any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def open_hidden_window(bindings: list[str]) -> Iterator[Finding]:
    """Open a hidden canvas, and ask OpenGL who it is."""
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        yield Finding("Qt", f"{', '.join(bindings)}: no window within {PATIENCE_S:.0f} s", "problem", _fix_for(""))
        return
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        why = next((line for line in reversed(said) if "plugin" in line or "Error" in line), said[-1] if said else "")
        yield Finding("Qt", f"{', '.join(bindings)}: no window opens: {why}", "problem", _fix_for(done.stderr))
        return
    found = json.loads(lines[-1])
    yield Finding("Qt", f"{found['binding']}, Qt {found['qt']}, platform {found['platform']}")
    if not found["gl"]:
        text = f"not available on the platform {found['platform']}: the maps cannot be drawn"
        yield Finding("OpenGL", text, "problem", "unset QT_QPA_PLATFORM, or start under xvfb-run")
        return
    yield Finding("OpenGL", f"{found['gl']}, {found['renderer']}")


def _fix_for(stderr: str) -> str:
    """What helps against a window that does not open."""
    if "xcb" in stderr or "libGL" in stderr or "libEGL" in stderr:
        return "install the system libraries of Qt (make system in a clone; libxcb-cursor0, libgl1, libegl1 on Debian)"
    if "No module named" in stderr or "ImportError" in stderr:
        return "install the window again: pip install --force-reinstall PyQt6"
    return "install one Qt binding only, and set QT_API to its name (pyqt5, pyqt6, pyside6)"
