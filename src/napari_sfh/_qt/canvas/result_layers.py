"""The layers of a result in a viewer: adding, refreshing, switching maps, outlines, hidden bins. Works without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_sfh._qt.canvas.layer_data import (
    FIRST_MAP,
    LayerLink,
    LayerTuple,
    get_layer_link,
    make_map_layer,
    make_outline_layer,
)
from napari_sfh._qt.session import Session
from napari_sfh.analysis import maps
from napari_sfh.types import Result

#: What a workspace keeps of a layer's look.
LOOK = ("opacity", "contrast_limits", "gamma", "colormap", "visible")


class LayerStack:
    """What a `Session` shows, as layers of a viewer (`napari.Viewer` or `napari.components.ViewerModel`).

    Layers are found by their metadata each time, so that the user may delete, rename or reorder them.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._hidden: NDArray[np.bool_] | None = None
        self._painted: dict[str, int] = {}
        self._version = 0
        self._grid_wanted = False
        self._grid_outlines: dict[str, Any] = {}
        self._grid_marks: list[Any] = []
        self._put_away: list[Any] = []
        self._above: list[Any] = []
        self._limits = "shared"
        self._looks: dict[str, dict[str, Any]] = {}
        self.current = FIRST_MAP
        session.selection_changed.connect(self.refresh_outline)

    def release(self) -> None:
        """Listen no longer; the layers stay."""
        self._session.selection_changed.disconnect(self.refresh_outline, missing_ok=True)

    def find(self, role: str, name: str = "") -> Any:
        """The layer of a role (and map name), or None."""
        for layer in self._viewer.layers:
            link = get_layer_link(layer.metadata)
            if link is not None and (link.role, link.name) == (role, name):
                return layer
        return None

    def put(self, data: LayerTuple) -> None:
        """Add a layer, or refresh the one of the same role in place when it has the same shape."""
        link = get_layer_link(data[1]["metadata"])
        if link is None:
            raise ValueError("layer without a link to its result")
        old = self.find(link.role, link.name)
        if old is None:
            with keep_selection(self._viewer.layers):
                self._viewer.add_layer(self._make(data, link.role))
        elif get_layer_link(old.metadata) is not link:
            self._refresh(old, data)

    def _make(self, data: LayerTuple, role: str) -> Any:
        layer = Layer.create(*data)
        if role == "bins":
            layer.editable = False
        apply_look(layer, self._looks.get(_look_key(layer), {}))
        return layer

    def looks(self) -> dict[str, dict[str, Any]]:
        """Limits, colours and opacity of our layers, as JSON types, by role and name."""
        mine = [layer for layer in self._viewer.layers if get_layer_link(layer.metadata) is not None]
        looks = {_look_key(layer): read_look(layer) for layer in mine}
        for layer in mine:
            if "visible" in looks[_look_key(layer)]:
                looks[_look_key(layer)]["visible"] = self.is_shown(layer)
        return {**self._looks, **looks}

    def is_shown(self, layer: Any) -> bool:
        """Whether a layer can be seen, or will be when the grid of four ends."""
        return bool(layer.visible) or layer in self._put_away

    def set_looks(self, looks: Mapping[str, dict[str, Any]]) -> None:
        """Put looks back; those of maps that have no layer yet wait for it."""
        self._looks = dict(looks)
        for layer in self._viewer.layers:
            if get_layer_link(layer.metadata) is not None:
                apply_look(layer, self._looks.get(_look_key(layer), {}))

    def _refresh(self, layer: Any, data: LayerTuple) -> None:
        """New data in place: taking a layer away and adding another costs ten times as much."""
        values, attributes, _ = data
        layer.data = values
        for key in ("name", "scale", "affine", "edge_width", "contrast_limits"):
            if key in attributes and not np.array_equal(np.asarray(getattr(layer, key)), np.asarray(attributes[key])):
                setattr(layer, key, attributes[key])
        if "features" in attributes:
            layer.features = attributes["features"]
        layer.metadata = attributes["metadata"]

    @staticmethod
    def _decorate(layer: Any) -> None:
        """Colorbar and title of a map; made when it is shown first, because they cost more than the map."""
        for overlay in (layer.colorbar, layer.name_overlay):
            if not overlay.visible:
                overlay.visible = True

    def begin(self, result: Result) -> list[Callable[[], None]]:
        """Forget the old result; what is returned, called one by one, takes away layers that are not used again."""
        self.set_grid(False)
        self._hidden = None
        self._version += 1
        self._painted.clear()
        self._looks = {}
        links = [(layer, get_layer_link(layer.metadata)) for layer in self._viewer.layers]
        others = [(layer, link) for layer, link in links if link is not None and link.result is not result]
        doubled = len(others) < sum(link is not None for _, link in links)
        # The layers of maps that were made when they were shown are not refreshed in place.
        late = set(maps.MAPS) - set(maps.MEAN_MAPS)
        stale = [layer for layer, link in others if doubled or (link.role == "map" and link.name in late)]
        return [partial(self._remove, layer) for layer in stale]

    def _remove(self, layer: Any) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def clear(self, keep: LayerLink | None = None) -> None:
        """Take away every layer of a result or a cube but the one with the link ``keep``."""
        self.set_grid(False)
        self._painted.clear()
        self._hidden = None
        for layer in list(self._viewer.layers):
            link = get_layer_link(layer.metadata)
            if link is not None and link is not keep:
                self._viewer.layers.remove(layer)

    def finish(self) -> list[Callable[[], None]]:
        """When all layers are there: steps that show the current map, with the outline on top."""
        return [
            self._title_current,
            self._decorate_current,
            partial(self._raise, "outline"),
            partial(self.show, self.current),
            self.activate,
        ]

    def _title_current(self) -> None:
        layer = self.find("map", self.current)
        if layer is not None:
            layer.name_overlay.visible = True

    def _decorate_current(self) -> None:
        layer = self.find("map", self.current)
        if layer is not None:
            self._decorate(layer)

    def _raise(self, role: str) -> None:
        """Bring the layer of a role to the top of the list."""
        layer = self.find(role)
        if layer is not None and layer is not self._viewer.layers[-1]:
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))

    def show(self, name: str) -> None:
        """Show one map and hide the others; its layer is made if it is the first time."""
        self.current = name
        self._ensure(name)
        for layer, link in self._maps():
            if link.name == name:
                self._paint(layer, name)
                self._decorate(layer)
        for layer, link in self._maps():
            if layer.visible != (link.name == name):
                layer.visible = link.name == name

    def _ensure(self, name: str) -> None:
        """Make the layer of a map below the outline, if there is none."""
        result = self._session.result
        if result is None or name not in maps.MAPS or self.find("map", name) is not None:
            return
        layer = self._make(make_map_layer(result, name, self._session.sky, self._limits), "map")
        outline = self.find("outline")
        at = len(self._viewer.layers) if outline is None else self._viewer.layers.index(outline)
        with keep_selection(self._viewer.layers):
            self._viewer.layers.insert(at, layer)

    def activate(self) -> None:
        """Make the current map the active layer, unless one is being drawn on: its limits and colours are at hand.

        Without maps it is the white light.
        """
        layer, active = self.find("map", self.current), self._viewer.layers.selection.active
        layer = self.find("white") if layer is None else layer
        drawn_on = active is not None and str(active.mode) != "pan_zoom"
        if layer is not None and layer.visible and not drawn_on:
            self._viewer.layers.selection.active = layer

    def _maps(self) -> list[tuple[Any, Any]]:
        found = [(layer, get_layer_link(layer.metadata)) for layer in self._viewer.layers]
        return [(layer, link) for layer, link in found if link is not None and link.role == "map"]

    def set_limits(self, how: str) -> None:
        """Limits of all maps' colours: one of `maps.LIMITS`."""
        self._limits = how
        result = self._session.result
        if result is None:
            return
        for layer, link in self._maps():
            if link.name in maps.MAPS:
                layer.contrast_limits = maps.choose_map_limits(result, link.name, how)

    def hide_bins(self, hidden: NDArray[np.bool_] | None) -> None:
        """Leave bins (N,) out of the maps; None shows all."""
        self._hidden = hidden
        self._version += 1
        for layer, link in self._maps():
            if layer.visible:
                self._paint(layer, link.name)

    def _paint(self, layer: Any, name: str) -> None:
        """Bring a map up to date with the hidden bins; those not on the canvas wait until they are."""
        result = self._session.result
        if result is None or self._painted.get(name, 0) == self._version:
            return
        if self._hidden is None and name not in self._painted:
            return
        values = np.array(maps.MAPS[name].values(result), dtype=np.float32)
        if self._hidden is not None:
            values[self._hidden] = np.nan
        layer.data = maps.paint_bins(result.bins.bin_id, values)
        self._painted[name] = self._version

    def refresh_outline(self, _: int = 0) -> None:
        """Outline the shown bins."""
        if self._session.result is None:
            return
        segments, colors = self._segments()
        targets = list(self._grid_outlines.values()) if self._grid_on else [self.find("outline")]
        for layer in targets:
            if layer is not None and (len(segments) or len(layer.data)):
                _draw_lines(layer, segments, colors)

    def _segments(self) -> tuple[NDArray[np.float64], list[str]]:
        """Line pieces (n, 2, 2) as start and vector, and the colour of each."""
        paths, colors = self._session.outlines()
        if not paths:
            return np.empty((0, 2, 2)), []
        pieces = [np.stack([p[:-1], np.diff(p, axis=0)], axis=1) for p in paths]
        return np.concatenate(pieces), [c for c, p in zip(colors, pieces) for _ in p]

    @property
    def _grid_on(self) -> bool:
        return bool(self._viewer.canvas.grid.enabled and self._grid_outlines)

    def set_grid(self, on: bool) -> None:
        """The four maps side by side, each with its outline of the selected bins; or one map again."""
        for step in self.grid_steps(on):
            step()

    def grid_steps(self, on: bool) -> list[Callable[[], object]]:
        """The same in steps of one layer each, so that a window does not block; the first ends or begins all."""
        if on == self._grid_wanted or (on and self._session.result is None):
            return []
        self._grid_wanted = on
        if not on:
            old = [*self._grid_outlines.values(), *self._grid_marks]
            return [partial(self._grid_ends, old), *(partial(self._remove, layer) for layer in old)]
        steps: list[Callable[[], object]] = [self._hide_other_layers]
        for name in reversed(maps.MEAN_MAPS):
            steps += [partial(self._make_cell, name), *[partial(self._add_lines, name)] * 2]
        return [*steps, self._grid_begins]

    def _hide_other_layers(self) -> None:
        """Hide what is none of the four maps: any other layer would take a cell."""
        shown = [layer for layer, _ in self._maps()]
        lowest = min((self._viewer.layers.index(layer) for layer in shown), default=0)
        self._above = [layer for layer in self._viewer.layers[lowest:] if layer not in shown]
        self._put_away = [layer for layer in self._viewer.layers if layer.visible and layer not in shown]
        for layer in self._put_away:
            layer.visible = False
        for layer, link in self._maps():
            layer.visible = link.name in maps.MEAN_MAPS

    def _make_cell(self, name: str) -> None:
        """Bring a map to the top of the list."""
        layers, layer = self._viewer.layers, self.find("map", name)
        if layer is not None and self._grid_wanted:
            self._paint(layer, name)
            self._decorate(layer)
            layers.move(layers.index(layer), len(layers))

    def _add_lines(self, name: str) -> None:
        """Above a map, its own outline first, its cursor at the second call."""
        result = self._session.result
        if result is None or self.find("map", name) is None or not self._grid_wanted:
            return
        _, attributes, kind = make_outline_layer(result, self._session.sky)
        title = maps.MAPS[name].title
        attributes |= {"name": f"{title}: selected", "metadata": {}, "edge_width": 1.2 * attributes["edge_width"]}
        if name in self._grid_outlines:
            attributes |= {"name": f"{title}: cursor", "edge_color": "white"}
        layer = Layer.create(np.empty((0, 2, 2)), attributes, kind)
        with keep_selection(self._viewer.layers):
            self._viewer.add_layer(layer)
        if name in self._grid_outlines:
            self._grid_marks.append(layer)
        else:
            self._grid_outlines[name] = layer

    def _grid_begins(self) -> None:
        if not self._grid_wanted:
            return
        grid = self._viewer.canvas.grid
        self._size_colorbars(0.6)
        # The three uppermost layers (cursor, outline, map) share the first cell, the next three the second, ...
        grid.stride, grid.shape, grid.enabled = -3, (2, 2), True
        self._viewer.layers.selection.active = self.find("map", FIRST_MAP)
        self._viewer.reset_view()
        self.refresh_outline()

    def _grid_ends(self, old: list[Any]) -> None:
        grid = self._viewer.canvas.grid
        grid.enabled = False
        self._size_colorbars(1.0)
        grid.stride, grid.shape = 1, (-1, -1)
        self._grid_outlines, self._grid_marks = {}, []
        for layer in old:
            layer.visible = False
        for layer in self._put_away:
            if layer in self._viewer.layers:
                layer.visible = True
        self._put_away = []
        self._raise_again()
        self.show(self.current)
        self._viewer.reset_view()
        self.refresh_outline()

    def _raise_again(self) -> None:
        """Bring what lay above the maps before the grid (a disc, contours, the outline) there again."""
        layers = self._viewer.layers
        for layer in self._above:
            if layer in layers:
                layers.move(layers.index(layer), len(layers))
        self._above = []

    def mark(self, world: NDArray[np.floating] | None) -> None:
        """In the grid: a cross at the same place (Dec, RA offset in arcsec) of all four maps; None takes it away."""
        cross = np.empty((0, 2, 2))
        if world is not None and self._session.result is not None:
            y, x = self._session.sky.to_pixel(np.asarray(world, dtype=float)[None, :])[0]
            size = max(self._session.result.bins.bin_id.shape) / 30
            cross = np.array([[[y - size, x], [2 * size, 0]], [[y, x - size], [0, 2 * size]]])
        for layer in self._grid_marks:
            if len(cross) or len(layer.data):
                with layer.events.data.blocker(), layer.events.thumbnail.blocker():
                    layer.data = cross

    def _size_colorbars(self, factor: float) -> None:
        for layer, _ in self._maps():
            layer.colorbar.size = (25 * factor, 150 * factor)
            layer.colorbar.font_size = 10 * factor**0.5


@contextmanager
def keep_selection(layers: Any) -> Iterator[None]:
    """napari selects every layer that is added and shows its controls: a fifth of the time that it takes."""
    selection = layers.selection
    kept = set(selection)
    with selection.events.blocker_all():
        try:
            yield
        finally:
            selection.clear()
            selection.update(kept)


def _draw_lines(layer: Any, segments: NDArray[np.float64], colors: list[str]) -> None:
    """Give a Vectors layer other lines, painted once.

    Its data event would make the viewer work out the extent of all layers anew, which no outline changes; its thumbnail
    is worth nothing and repaints the whole list of layers.
    """
    events = layer.events
    if not len(segments):
        with events.data.blocker(), events.thumbnail.blocker():
            layer.data = segments
        return
    with events.data.blocker(), events.thumbnail.blocker(), events.set_data.blocker():
        layer.data = segments
    with events.thumbnail.blocker():
        layer.edge_color = colors


def _look_key(layer: Any) -> str:
    """Role and name of one of our layers."""
    link = get_layer_link(layer.metadata)
    return "" if link is None else f"{link.role} {link.name}".strip()


def read_look(layer: Any) -> dict[str, Any]:
    """What a workspace keeps of a layer."""
    look: dict[str, Any] = {"opacity": float(layer.opacity)}
    if hasattr(layer, "contrast_limits"):
        low, high = layer.contrast_limits
        look |= {"contrast_limits": [float(low), float(high)], "gamma": float(layer.gamma)}
        look["colormap"] = str(layer.colormap.name)
    link = get_layer_link(layer.metadata)
    if link is not None and link.role != "map":
        look["visible"] = bool(layer.visible)
    if link is not None and link.role == "lines":
        look["name"] = str(layer.name)
    return look


def apply_look(layer: Any, look: Mapping[str, Any]) -> None:
    """Put a look back; a colormap that napari does not know is left out, and limits in another unit."""
    link = get_layer_link(layer.metadata)
    other_unit = link is not None and link.role == "lines" and look.get("name") != layer.name
    for key, value in look.items():
        if key in LOOK and hasattr(layer, key) and not (other_unit and key == "contrast_limits"):
            with suppress(KeyError, ValueError):
                setattr(layer, key, value)
