"""The tool 'Region': drawn on the map as a Shapes layer; its bins' mean SFH is shown, and follows when it is moved."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, PushButton
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_sfh._qt.forms import form
from napari_sfh._qt.layers import KEY, Link, link_of
from napari_sfh._qt.session import Session
from napari_sfh._qt.tools import Host, KeyAct, Tool
from napari_sfh.errors import SfhInputError
from napari_sfh.regions import Weight
from napari_sfh.types import Result

NAME = "SFH region"


def polygon(corners: NDArray[np.floating], kind: str) -> NDArray[np.float64]:
    """Corners (n, 2) of a shape; an ellipse, given by the corners of its box, becomes 64 of its points."""
    plane: NDArray[np.float64] = np.asarray(corners, dtype=np.float64)[:, -2:]
    if kind != "ellipse":
        return plane
    centre = plane.mean(0)
    half_a, half_b = (plane[1] - plane[0]) / 2, (plane[2] - plane[1]) / 2
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    points: NDArray[np.float64] = centre + np.cos(t) * half_a + np.sin(t) * half_b
    return points


class Region:
    """The layer of regions of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    session : Session
    on_found : callable
        Bound method, given the number of bins inside after each change.
    """

    def __init__(self, viewer: Any, session: Session, on_found: Callable[[int], None]) -> None:
        self._viewer = viewer
        self._session = session
        self._on_found = weakref.WeakMethod(on_found)
        self._weight: Weight = "mass"
        self._layer: Any = None

    def draw(self) -> None:
        """Wait for a lasso drawn with the mouse; an older region is replaced."""
        layer = self._empty_layer()
        self._viewer.layers.selection.active = layer
        layer.mode = "add_polygon_lasso"

    def polygons(self) -> list[NDArray[np.float64]]:
        """The drawn regions, corners (n, 2) as (y, x) in pixels of the maps."""
        layer = self._find()
        if layer is None:
            return []
        return [polygon(corners, kind) for corners, kind in zip(layer.data, layer.shape_type)]

    def set_polygons(self, polygons: list[NDArray[np.float64]]) -> None:
        """Put regions in place of what was drawn; none clears."""
        if not polygons:
            self.clear()
            return
        self._empty_layer().add_polygons(polygons)
        self.refresh()

    def _empty_layer(self) -> Any:
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._viewer.add_shapes(
                name=NAME,
                ndim=2,
                face_color="transparent",
                edge_color="white",
                edge_width=self._line_width(),
                metadata={KEY: Link("region", "", self._session.result)},
                **self._session.sky.transform(),
            )
            self._layer.events.data.connect(self._changed)
        # What hears of this would look for bins after the mouse has begun to draw, and end the drawing.
        with self._layer.events.data.blocker():
            self._layer.data = []
        self._session.set_region([])
        return self._layer

    def _line_width(self) -> float:
        result = self._session.result
        return 1.0 if result is None else max(result.bins.bin_id.shape) / 160

    def set_weight(self, weight: Weight) -> None:
        """Weight by ``mass`` or ``light``."""
        self._weight = weight
        self.refresh()

    def clear(self) -> None:
        """Take the region away."""
        layer = self._find()
        if layer is not None:
            layer.events.data.disconnect(self._changed)
            self._viewer.layers.remove(layer)
        self._layer = None
        self._session.set_region([])

    def release(self) -> None:
        """Listen no longer; the layer stays."""
        layer = self._find()
        if layer is not None:
            layer.events.data.disconnect(self._changed)
        self._layer = None

    def _find(self) -> Any:
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def _changed(self, event: Any) -> None:
        """napari tells before, during and after: only what is finished counts."""
        if str(getattr(event, "action", "")) in ("added", "changed", "removed"):
            # Not inside the layer's own event: its mode is about to be used.
            QTimer.singleShot(0, weak_update(self))

    def refresh(self) -> None:
        """Find the bins inside anew."""
        layer = self._find()
        if layer is None:
            return
        link = link_of(layer.metadata)
        if link is None or self._session.result is None:
            return
        if str(layer.mode).startswith("add") and len(layer.data):
            layer.mode = "pan_zoom"
        shapes = self.polygons()
        try:
            found = self._session.set_region(shapes, self._weight)
        except SfhInputError:
            found = 0
        on_found = self._on_found()
        if on_found is not None and shapes:
            on_found(found if self._session.region is not None else 0)


def weak_update(region: Region) -> Callable[[], None]:
    """A call of ``region.refresh`` that does not keep the region alive."""
    reference = weakref.ref(region)

    def update() -> None:
        target = reference()
        if target is not None:
            target.refresh()

    return update


class RegionForm:
    """A region whose mean SFH is shown."""

    def __init__(self) -> None:
        self.weight = ComboBox(
            label="Weighted by", choices=["mass", "light"], value="mass", tooltip="By what the bins of a region count"
        )
        self.draw = PushButton(
            text="Draw region", tooltip="A lasso (Alt+R); the layer 'SFH region' takes ellipses and more, too"
        )
        self.clear = PushButton(text="Clear region", tooltip="Show the selected bins alone")
        self.container = form([self.weight, self.draw, self.clear])


class RegionTool(Tool):
    """The mean SFH of a region drawn with the mouse."""

    name = "region"
    title = "Region"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = RegionForm()
        self.container = self.form.container
        self.region = Region(host.viewer, host.session, self._found)
        self.form.draw.changed.connect(self.draw)
        self.form.clear.changed.connect(self.clear)
        self.form.weight.changed.connect(self.region.set_weight)

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-R draws."""
        return {"Alt-R": self.draw}

    def draw(self, _: object = None) -> None:
        """Let the mouse draw a lasso; the mean SFH of the bins inside is shown."""
        if self.host.session.result is not None:
            self.host.show_map(self.host.stack.current)
            self.region.draw()
            self.host.say("Draw around some bins with the left button held; let go to close the region.")

    def clear(self, _: object = None) -> None:
        """Take the region away."""
        self.region.clear()

    def on_result(self, result: Result | None) -> None:
        """A region that is still drawn holds for the new result, too."""
        self.region.refresh()

    def state(self) -> dict[str, Any]:
        """The weight and the polygons (y, x) in pixels of the maps."""
        return {"weight": self.form.weight.value, "polygons": [p.tolist() for p in self.region.polygons()]}

    def restore(self, state: dict[str, Any]) -> None:
        """Draw the polygons again."""
        self.form.weight.value = state.get("weight", "mass")
        self.region.set_polygons([np.asarray(p, dtype=float) for p in state.get("polygons", [])])

    def release(self) -> None:
        """Listen no longer."""
        self.region.release()

    def _found(self, n_bins: int) -> None:
        self.host.show_panel()
        self.host.say(
            f"Mean SFH of {n_bins} bins." if n_bins else "No bin's centre lies inside the region: draw a larger one."
        )
