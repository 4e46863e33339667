"""Changes to the layers of a viewer for which its scene is put together once, after the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psygnal import Signal


class SceneBatch:
    """napari's batched update of layers, which may be asked for inside itself: the outermost one counts.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel

    Attributes
    ----------
    ending : Signal
        Emitted before the canvas takes the changes over: napari calls its own listeners first, whatever their order.
    """

    ending = Signal()

    def __init__(self, viewer: Any) -> None:
        self._dims, self._layers = viewer.dims, viewer.layers
        self._depth = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Layers come, go and change meanwhile; the canvas takes them over at the end."""
        self._depth += 1
        if self._depth == 1:
            self._layers.events.begin_batch()
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self.ending.emit()
                self._layers.events.end_batch()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """`hold` for a step whose canvas is not painted, until the next turn of the event loop.

        Maps with an axis of age are taken over at once: a slider that is made anew after that turn leaves a window that
        Qt paints no more.
        """
        if self._dims.ndim > 2:
            yield
            return
        with self.hold():
            yield
