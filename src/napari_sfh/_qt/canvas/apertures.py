"""Apertures on the image of a cube: circles dragged from their centre, and shapes of a Shapes layer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_sfh._qt.canvas.drawn_shapes import SHAPES, shape_to_polygon
from napari_sfh._qt.canvas.layer_data import KEY, LayerLink
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.analysis.sky_coordinates import SkyGrid

APERTURES = "cube apertures"
#: What is drawn from its centre, by our own drag.
CIRCLE = "circle"
#: Key that makes any drag on the image draw a circle.
CIRCLE_KEY = "Control"


class ApertureLayer:
    """Apertures of a viewer, in the order of their colours.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    on_change : callable
        Bound method, called whenever an aperture is another one, while it is being drawn, too.
    """

    def __init__(self, viewer: Any, on_change: Callable[[], None]) -> None:
        self._viewer = viewer
        self._on_change = weakref.WeakMethod(on_change)
        self._sky: SkyGrid | None = None
        self._line_width = 0.4
        self._layer: Any = None
        self._armed = self._adding = False
        self._told: list[NDArray[np.float64]] = []
        self._drag = _make_weak_drag(self)
        viewer.mouse_drag_callbacks.append(self._drag)

    def set_sky(self, sky: SkyGrid | None, shape: tuple[int, int] = (0, 0)) -> None:
        """Follow another cube of ``shape`` (ny, nx), whose pixels the corners count (None: there is none).

        Apertures on the old one go.
        """
        self.clear()
        self._sky = sky
        self._line_width = max(*shape, 1) / 200

    def draw(self, shape: str = CIRCLE, add: bool = False) -> None:
        """Wait for a shape (`CIRCLE` or a key of `SHAPES`) drawn with the mouse; the others go, unless it is added."""
        if self._sky is None:
            return
        self._adding = add
        if shape == CIRCLE:
            self._armed = True
            return
        layer = self._make()
        if not add:
            # What hears of this would find the first corner of the new shape, and end the drawing.
            with layer.events.data.blocker():
                layer.data = []
        self._viewer.layers.selection.active = layer
        layer.mode = SHAPES[shape][0]

    def put_circle(self, centre_yx: NDArray[np.floating], radius: float, place: int | None = None) -> None:
        """A circle in pixels of the cube in place of one aperture (None: of all)."""
        y, x = centre_yx
        corners = np.array([[y - radius, x - radius], [y - radius, x + radius], [y + radius, x + radius]])
        corners = np.vstack([corners, [y + radius, x - radius]])
        kept = [] if place is None else list(zip(self._shapes(), self._kinds()))[:place]
        self.put([*kept, (corners, "ellipse")])

    def put(self, shapes: list[tuple[Any, str]]) -> None:
        """Have these shapes (corners (n, 2) in pixels, kind) as apertures; none takes all away."""
        if not shapes:
            self.clear()
            return
        layer = self._make()
        with layer.events.set_data.blocker(), layer.events.data.blocker():
            layer.data = [(np.asarray(corners, dtype=float), kind) for corners, kind in shapes]
            layer.edge_color = [choose_color(k) for k in range(len(shapes))]
            layer.edge_width = self._line_width  # napari gives shapes that are put there the width of a pixel
        layer.refresh()

    def list_shapes(self) -> list[tuple[list[list[float]], str]]:
        """Corners and kind of each aperture, as JSON types, for `put`."""
        return [(corners.tolist(), kind) for corners, kind in zip(self._shapes(), self._kinds())]

    def list_polygons(self) -> list[NDArray[np.float64]]:
        """Corners (n, 2) of each aperture in pixels of the cube, (y, x)."""
        return [shape_to_polygon(corners, kind) for corners, kind in zip(self._shapes(), self._kinds())]

    def clear(self) -> None:
        """Take all away."""
        layer, self._layer, self._armed = self._find(), None, False
        if layer is not None:
            layer.events.set_data.disconnect(self._refreshed)
            self._viewer.layers.remove(layer)
        self.tell()

    def release(self) -> None:
        """Take the hold off the viewer; the layer stays."""
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        layer, self._layer = self._find(), None
        if layer is not None:
            layer.events.set_data.disconnect(self._refreshed)

    def tell(self) -> None:
        """Tell of apertures that are not those that were told last."""
        now = self.list_polygons()
        same = len(now) == len(self._told) and all(np.array_equal(a, b) for a, b in zip(now, self._told))
        on_change = self._on_change()
        if same or on_change is None:
            return
        self._told = [polygon.copy() for polygon in now]
        on_change()

    def finish_shape(self) -> None:
        """A shape was closed: pan and zoom again, each aperture in its colour."""
        layer = self._find()
        if layer is None or not len(layer.data):
            return
        if str(layer.mode).startswith("add"):
            layer.mode = "pan_zoom"
        colors = [choose_color(k) for k in range(len(layer.data))]
        with layer.events.set_data.blocker():
            layer.edge_color = colors

    def _shapes(self) -> list[NDArray[np.float64]]:
        layer = self._find()
        return [] if layer is None else [np.asarray(corners, dtype=float)[:, -2:] for corners in layer.data]

    def _kinds(self) -> list[str]:
        layer = self._find()
        return [] if layer is None else [str(kind) for kind in layer.shape_type]

    def _find(self) -> Any:
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def _make(self) -> Any:
        layer = self._find()
        if layer is not None or self._sky is None:
            return layer
        active = self._viewer.layers.selection.active
        self._layer = self._viewer.add_shapes(
            name=APERTURES,
            ndim=2,
            face_color="transparent",
            edge_color=choose_color(0),
            edge_width=self._line_width,
            metadata={KEY: LayerLink("apertures")},
            **self._sky.transform(),
        )
        self._viewer.layers.selection.active = active
        self._layer.events.set_data.connect(self._refreshed)
        self._layer.events.data.connect(self._changed)
        return self._layer

    def _refreshed(self, _: object = None) -> None:
        """The layer is drawn anew: perhaps a shape is being drawn or moved."""
        QTimer.singleShot(0, _make_weak_call(self, "tell"))

    def _changed(self, event: Any) -> None:
        if str(getattr(event, "action", "")) in ("added", "changed", "removed"):
            QTimer.singleShot(0, _make_weak_call(self, "finish_shape"))

    def drag_circle(self, event: Any) -> Generator[None, None, None]:
        """A drag from the centre of a circle outwards; the map stays where it is."""
        asked = self._armed or CIRCLE_KEY in event.modifiers
        if event.button != 1 or not asked or self._sky is None:
            return
        place = len(self._shapes()) if self._adding or "Shift" in event.modifiers else None
        camera, active = self._viewer.scene.camera, self._viewer.layers.selection.active
        picked = _put_down(active)
        may_pan, camera.mouse_pan = camera.mouse_pan, False
        centre = self._sky.to_pixel(np.asarray(event.position[-2:])[None, :])[0]
        try:
            yield
            while event.type == "mouse_move":
                here = self._sky.to_pixel(np.asarray(event.position[-2:])[None, :])[0]
                self.put_circle(centre, max(float(np.hypot(*(here - centre))), 0.5), place)
                yield
        finally:
            camera.mouse_pan = may_pan
            _pick_up(active, picked)
            self._armed = self._adding = False


def _put_down(layer: Any) -> Any:
    """Let a layer whose shapes a drag would move rest meanwhile; what was picked of it, None for others."""
    if layer is None or str(layer.mode) != "select":
        return None
    picked = set(layer.selected_data)
    layer.mode = "pan_zoom"
    return picked


def _pick_up(layer: Any, picked: Any) -> None:
    """As it was before `_put_down`."""
    if picked is not None:
        layer.mode = "select"
        layer.selected_data = picked


def _make_weak_drag(apertures: ApertureLayer) -> Callable[..., Any]:
    """The drag as a callback of the viewer, which does not keep the apertures alive."""
    reference = weakref.ref(apertures)

    def mouse_drag(viewer: Any, event: Any) -> Generator[None, None, None]:
        target = reference()
        if target is None:
            yield
            return
        yield from target.drag_circle(event)

    return mouse_drag


def _make_weak_call(apertures: ApertureLayer, name: str) -> Callable[[], None]:
    reference = weakref.ref(apertures)

    def call() -> None:
        target = reference()
        if target is not None:
            getattr(target, name)()

    return call
