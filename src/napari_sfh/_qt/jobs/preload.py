"""What an act would import or compile when it is done first, done beforehand in a thread while the window rests.

In the main thread the first shape on the canvas would compile napari's triangulation (eight seconds once, a fraction of
one at every later start), and the first page of the gas would import astropy's models and SciPy's statistics.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_sfh._qt.jobs.tasks import warm_up_napari
from napari_sfh._qt.jobs.workers import BackgroundJob
from napari_sfh.jobs import ReportProgress, raise_if_cancelled

#: Milliseconds between two looks whether the window rests.
REST_MS = 400


def warm_up_triangulation() -> None:
    """The compiled code of napari's Shapes layers, by what a lasso does: a point twice, a path, then a polygon."""
    from napari.layers import Shapes

    corners = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [1.0, 1.0], [4.0, 0.0]])
    layer = Shapes(ndim=2)
    layer.add(corners[[0, 0]], shape_type="path")
    layer.add(corners, shape_type="path")
    layer.add(corners, shape_type="polygon")  # not convex


def warm_up_label_colors() -> None:
    """The compiled code of labels with a color each, as saved maps of categories have them: for set-ups."""
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    colors = DirectLabelColormap(color_dict={None: "transparent", 1: "red"})
    labels = np.ones((2, 2), dtype=np.int16)
    Labels(labels, colormap=colors)
    colors.map(np.ones(2, dtype=np.int64))


def load_networks() -> None:
    """PyTorch, and what a run needs besides."""
    import napari_sfh.pipeline  # noqa: F401


def load_statistics() -> None:
    """SciPy's statistics: the trends above the diagrams of gas and stars."""
    import scipy.stats  # noqa: F401


#: In the order of use: a run, layers of a result, a region, the gas.
SLOW_STEPS: tuple[Callable[[], object], ...] = (
    load_networks,
    warm_up_napari,
    warm_up_triangulation,
    load_statistics,
)


@cache
def _do_once(step: Callable[[], object]) -> None:
    """A step that fails is left to the act that needs it, which says what is wrong."""
    with suppress(Exception):
        step()


def load_slow_steps(progress: ReportProgress, cancel: threading.Event) -> bool:
    """Do all `SLOW_STEPS`, each once in a process."""
    for step in SLOW_STEPS:
        raise_if_cancelled(cancel)
        _do_once(step)
    return True


class Preloader:
    """Starts `load_slow_steps` once, when the window has been painted and nothing runs.

    Parameters
    ----------
    parent : QObject
        With its end the waiting ends.
    is_busy : callable
        Bound method; while it returns True the window does not rest. It is not kept alive.
    on_done : callable
        Bound method, called when all is there. It is not kept alive.
    """

    def __init__(self, parent: QObject, is_busy: Callable[[], bool], on_done: Callable[[], None]) -> None:
        self._is_busy, self._on_done = weakref.WeakMethod(is_busy), weakref.WeakMethod(on_done)
        self.job = BackgroundJob(_ignore, self._finished, _ignore)
        self._timer = QTimer(parent)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._look)

    @property
    def waiting(self) -> bool:
        """True until all is there."""
        return self._timer.isActive() or self.job.running

    def start(self) -> None:
        """Wait for the window to rest."""
        self._timer.start()

    def _look(self) -> None:
        is_busy = self._is_busy()
        if is_busy is not None and not is_busy():
            self._timer.stop()
            self.job.start(load_slow_steps)

    def _finished(self, _: Any) -> None:
        on_done = self._on_done()
        if on_done is not None:
            on_done()

    def release(self) -> None:
        """Start nothing, and call nobody back."""
        self._timer.stop()
        self.job.abandon()


def _ignore(_: object) -> None:
    """Nobody waits for this work."""
