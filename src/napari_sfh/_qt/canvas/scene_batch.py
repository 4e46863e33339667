"""The scene of a viewer: many changes for which it is put together once, drawings that it keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
from napari.components.overlays import Overlay
from psygnal import Signal

OverlayT = TypeVar("OverlayT", bound=Overlay)


def keep_corners(layer: Any) -> None:
    """Let an image of one resolution look for its corners on the canvas only where view, place or data have changed.

    napari does so with each picture, for hidden layers too.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
        Itself, not a proxy. Of several resolutions napari chooses one with each picture: such a layer is left alone.
    """
    find_corners = getattr(type(layer), "_update_draw", None)
    if layer.multiscale or find_corners is None:
        return
    reference = weakref.ref(layer)
    known: list[Any] = [None, None]

    def find_new_corners(*view: Any, **more: Any) -> None:
        target = reference()
        if target is None:
            return
        parts = [np.asarray(part).tolist() for part in (*view, *more.values(), *target._slice_input.displayed)]
        extent = target.extent  # napari keeps it until place or data change
        if parts != known[0] or extent is not known[1]:
            find_corners(target, *view, **more)
            known[:] = parts, extent

    layer._update_draw = find_new_corners


class SceneBatch:
    """napari's batched update of layers, which may be asked for inside itself: the outermost one counts.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel

    Attributes
    ----------
    ending, ended : Signal
        Emitted before and after the canvas takes the changes over: napari calls its own listeners first, whatever
        their order.
    """

    ending = Signal()
    ended = Signal()

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
                self.ended.emit()

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


class OverlayPair(Generic[OverlayT]):
    """An overlay of one view and one of the cells of four maps; one of them is visible.

    Of one overlay for both napari ends what draws it in the cells when there is one view again, and makes it anew with
    the next cells: half of the time that they took. What draws an overlay that is not visible is kept, in its view.

    Parameters
    ----------
    overlays : mapping of str to Overlay
        Where napari keeps them: ``viewer.canvas.overlays`` or ``viewer.scene.overlays``.
    key : str
    make : callable
        Given ``visible``.
    draw : callable
        Draws the current one anew.

    Attributes
    ----------
    both : tuple of two Overlay
        Of one view, of cells.
    """

    def __init__(
        self,
        overlays: MutableMapping[str, Any],
        key: str,
        make: Callable[..., OverlayT],
        draw: Callable[[], None],
    ) -> None:
        self._overlays, self._keys, self._draw = overlays, (key, f"{key}_cells"), draw
        self.both = make(visible=True), make(visible=False)
        self._divided = self._appeared = False
        for each, overlay in zip(self._keys, self.both):
            overlays[each] = overlay

    @property
    def current(self) -> OverlayT:
        """The one of the views that there are, or will be."""
        return self.both[self._divided]

    def choose(self, divided: bool) -> None:
        """There will be cells, or one view; nothing is visible until `appear`."""
        self._divided = divided
        for overlay in self.both:
            overlay.visible = False

    def appear(self) -> None:
        """The canvas is about to make its views: it makes what it lacks in them, if the overlay is visible then.

        Nobody is told yet: of an overlay that lacks something in a view napari cannot work out the place.
        """
        self._appeared = True
        with self.current.events.visible.blocked():
            self.current.visible = True

    def draw_appeared(self) -> None:
        """The canvas has its views: what was kept can be seen again."""
        if self._appeared:
            self._appeared = False
            self._draw()

    def release(self) -> None:
        """Take both out of the viewer."""
        for key, overlay in zip(self._keys, self.both):
            overlay.visible = False
            self._overlays.pop(key, None)
