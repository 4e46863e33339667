"""The window of ``demo`` and ``view``."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from napari_sfh.errors import SfhInputError


def run_view_command(options: argparse.Namespace) -> int:
    """The window on a result or workspace."""
    if not options.result.exists():
        raise SfhInputError(f"{options.result}: no such file")
    return open_viewer(options.result)


def _load_analysis(keep_alive: Callable[[], object]) -> None:
    """Import what the explorer needs beside Qt and napari in a thread, while the window is kept alive."""

    def load() -> None:
        # What fails here fails again where it is needed, and is told there.
        with suppress(ImportError):
            from napari_sfh.analysis import colour_image, tables  # noqa: F401
            from napari_sfh.analysis.comparison import other_results, ppxf_fit  # noqa: F401
            from napari_sfh.analysis.drawing import contours  # noqa: F401
            from napari_sfh.analysis.objects import estimate_table  # noqa: F401
            from napari_sfh.preflight import plan  # noqa: F401

    thread = threading.Thread(target=load, name="napari-sfh imports", daemon=True)
    thread.start()
    while thread.is_alive():
        keep_alive()
        thread.join(0.02)


def _measure_frame() -> tuple[int, int, int, int]:
    """Pixels of the desktop's frame at the left, top, right and bottom of the largest window that is open."""
    from qtpy.QtWidgets import QApplication

    frames = [(w.frameGeometry(), w.geometry()) for w in QApplication.topLevelWidgets() if w.isVisible()]
    outer, inner = max(frames, key=lambda frame: frame[1].width() * frame[1].height())
    right, bottom = outer.right() - inner.right(), outer.bottom() - inner.bottom()
    return inner.left() - outer.left(), inner.top() - outer.top(), right, bottom


def open_viewer(path: Path | None = None, demo: bool = False) -> int:
    """A napari window with the explorer, by way of the plugin manifest; its exit status when it has closed.

    Parameters
    ----------
    path : Path, optional
        Of what is opened.
    demo : bool
        Open the mock galaxy and run it.

    Raises
    ------
    SfhInputError
        There is no display.
    """
    from napari_sfh.doctor.window_checks import has_screen
    from napari_sfh.processes.calls import CallAhead

    if not has_screen():
        raise SfhInputError(
            "no display for the window: work without one (napari-sfh run, demo --headless), start it under xvfb-run, "
            "or log in with ssh -X"
        )
    import warnings

    # Under Qt 5 letters of 150 % would make everything twice as large; 98 dots per inch are no scale of 102 %.
    os.environ.setdefault("QT_SCALE_FACTOR_ROUNDING_POLICY", "RoundPreferFloor")
    # A Python of its own runs the demo while napari and the explorer come, for which this one is needed.
    ahead = CallAhead("napari_sfh.demo:run_demo") if demo else None
    # napari asks for the desktop's theme, which PyQt5 cannot tell; nobody can act on it.
    warnings.filterwarnings("ignore", message="System theme detection", category=UserWarning)
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-sfh")
    screen = QApplication.primaryScreen()
    if screen is not None:
        QApplication.processEvents()  # the desktop puts its frame around the window
        left, top, right, bottom = _measure_frame()
        room = screen.availableGeometry().adjusted(left, top, -right, -bottom)
        viewer.window.set_geometry(room.left(), room.top(), room.width(), room.height())
    QApplication.processEvents()  # painted before all that would hold it up
    _load_analysis(QApplication.processEvents)
    _, explorer = viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")
    QApplication.processEvents()
    if demo:
        explorer.open_demo(run=True, ahead=ahead)
    elif path is not None:
        explorer.open(path)
    napari.run()
    return 0
