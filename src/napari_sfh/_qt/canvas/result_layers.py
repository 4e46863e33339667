"""The layers of a result in a viewer: adding, refreshing, limits, outlines, hidden bins. Works without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_sfh._qt.canvas.layer_data import LayerLink, LayerTuple, get_layer_link, make_map_layer
from napari_sfh._qt.canvas.layer_looks import EXCLUSIVE_ROLES, GROUND_ROLES, apply_look, get_look_key, read_look
from napari_sfh._qt.canvas.legend_overlay import LayerLegends
from napari_sfh._qt.canvas.scene_batch import SceneBatch, keep_corners
from napari_sfh._qt.canvas.selection_overlay import SelectionMarks
from napari_sfh._qt.canvas.shown_map import NOTHING, TYPED, CanvasDisplay, Shown
from napari_sfh._qt.session import Session
from napari_sfh.analysis import maps
from napari_sfh.analysis.drawing.map_limits import choose_map_limits, hide_untrusted_bins, robust_limits
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.types import Result


class LayerStack:
    """What a `Session` shows, as layers of a viewer (`napari.Viewer` or `napari.components.ViewerModel`).

    Layers are found by their metadata each time, so that the user may delete, rename or reorder them.

    Attributes
    ----------
    display : CanvasDisplay
        Which of the layers is on the canvas.
    scene : SceneBatch
        For many changes at once.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._hidden: NDArray[np.bool_] | None = None
        self._painted: dict[str, int] = {}
        self._version = 0
        self._limits = "shared"
        self._typed: set[Shown] = set()  # what has limits of its own
        self._setting = False
        self._looks: dict[str, dict[str, Any]] = {}
        self._blanked: list[Any] = []
        self.scene = SceneBatch(viewer)
        self.display = CanvasDisplay(viewer, self._make_ready, self.scene)
        self.display.changed.connect(self._shown_changed)
        viewer.dims.events.current_step.connect(self._age_changed)
        viewer.dims.events.axis_labels.connect(self._label_slider)
        self.marks = SelectionMarks(viewer)
        self.scene.ending.connect(self.marks.make_current)
        self.legends = LayerLegends(viewer)
        for pair in (self.marks.pair, self.legends.pair):
            self.display.dividing.connect(pair.choose)
            self.display.divided.connect(pair.appear)
            self.scene.ended.connect(pair.draw_appeared)
        session.selection_changed.connect(self.refresh_outline)

    def release(self) -> None:
        """Stop listening; the layers stay."""
        self._session.selection_changed.disconnect(self.refresh_outline, missing_ok=True)
        self._viewer.dims.events.current_step.disconnect(self._age_changed)
        self._viewer.dims.events.axis_labels.disconnect(self._label_slider)
        self.display.release()
        self.marks.release()
        self.legends.release()

    @property
    def current(self) -> str:
        """The map that was shown last; it comes back when a line or a difference goes."""
        return self.display.last_map.name

    def choose_map(self, name: str) -> None:
        """Have `finish` show this map: its layers are still coming in."""
        self.display.last_map = Shown("map", name)

    def find(self, role: str, name: str = "") -> Any:
        """The layer of a role (and map name), or None."""
        for layer in self._viewer.layers:
            link = get_layer_link(layer.metadata)
            if link is not None and (link.role, link.name) == (role, name):
                return layer
        return None

    def needs_layer(self, data: LayerTuple) -> bool:
        """Whether `put` will add a layer: there is none of its role and name."""
        link = get_layer_link(data[1]["metadata"])
        return link is None or self.find(link.role, link.name) is None

    def put(self, data: LayerTuple) -> None:
        """Add a layer, or refresh the one of the same role in place when it has the same shape."""
        link = get_layer_link(data[1]["metadata"])
        if link is None:
            raise ValueError("layer without a link to its result")
        old = self.find(link.role, link.name)
        if old is None:
            self.insert(self._make(data))
        elif get_layer_link(old.metadata) is not link:
            self._refresh(old, data)

    def _share_path(self, data: LayerTuple) -> None:
        """A layer that comes later is of the same file as the others of its result."""
        link = get_layer_link(data[1]["metadata"])
        if link is None or link.result is None or link.path is not None:
            return
        others = (get_layer_link(layer.metadata) for layer in self._viewer.layers)
        paths = (other.path for other in others if other is not None and other.result is link.result and other.path)
        link.path = next(paths, None)

    def _make(self, data: LayerTuple) -> Any:
        self._share_path(data)
        layer = Layer.create(*data)
        _lock_bins(layer)
        _drop_brushes(layer)
        keep_corners(layer)
        apply_look(layer, self._looks.get(get_look_key(layer), {}))
        return layer

    def looks(self) -> dict[str, dict[str, Any]]:
        """Limits, colours and opacity of our layers, as JSON types, by role and name."""
        looks = {}
        for layer in self._list_own():
            look = looks[get_look_key(layer)] = read_look(layer)
            if "visible" in look:
                look["visible"] = self.is_shown(layer)
            if _has_role(layer, ("map",)) and not self._has_own_limits(layer):
                del look["contrast_limits"]  # they follow from the form's choice, and from the result
        return {**self._looks, **looks}

    def _list_own(self) -> list[Any]:
        """Our layers, each once: of copies the first counts, the others are the user's own."""
        own: dict[str, Any] = {}
        for layer in self._viewer.layers:
            if get_layer_link(layer.metadata) is not None:
                own.setdefault(get_look_key(layer), layer)
        return list(own.values())

    def is_shown(self, layer: Any) -> bool:
        """Whether a layer can be seen, or will be when the grid of four ends."""
        return bool(layer.visible) or layer in self.display.put_away

    def set_looks(self, looks: Mapping[str, dict[str, Any]]) -> None:
        """Put looks back; those of maps that have no layer yet wait for it."""
        self._looks |= looks
        for layer in self._list_own():
            if get_look_key(layer) in looks:
                apply_look(layer, looks[get_look_key(layer)])

    def _refresh(self, layer: Any, data: LayerTuple) -> None:
        """New data in place: taking a layer away and adding another costs ten times as much."""
        self._share_path(data)
        values, attributes, _ = data
        layer.data = values
        for key in ("name", "scale", "affine", "edge_width", "contrast_limits"):
            if key in attributes and not np.array_equal(np.asarray(getattr(layer, key)), np.asarray(attributes[key])):
                setattr(layer, key, attributes[key])
        if "features" in attributes:
            layer.features = attributes["features"]
        layer.metadata = attributes["metadata"]
        _lock_bins(layer)  # napari unlocks a layer whose data are set
        if layer in self._blanked:
            self._blanked.remove(layer)
            layer.visible = True

    def begin(self, result: Result) -> list[Callable[[], None]]:
        """Forget the old result; what is returned, called one by one, takes away layers that are not used again.

        Pictures of another field are hidden at once: they would lie over the axes and the white light of this one
        until their layers' turns come.
        """
        self.display.forget()
        grid = SkyGrid.of(result.wcs, result.bins.bin_id.shape)
        if self._session.has_sky and not grid.shares_pixels(self._session.sky):
            self._blank()
        self._hidden = None
        self._version += 1
        self._painted.clear()
        self._looks = {}
        self._typed.clear()
        self.display.main_maps = maps.list_main_maps(result)
        if self.current not in maps.list_result_maps(result):
            self.choose_map(self.display.main_maps[0])
        links = [(layer, get_layer_link(layer.metadata)) for layer in self._viewer.layers]
        others = [(layer, link) for layer, link in links if link is not None and link.result is not result]
        doubled = len(others) < sum(link is not None for _, link in links)
        # The layers of maps that were made when they were shown are not refreshed in place.
        late = set(maps.MAPS) - set(self.display.main_maps)
        stale = [layer for layer, link in others if doubled or (link.role == "map" and link.name in late)]
        return [partial(self._remove, layer) for layer in stale]

    def _blank(self) -> None:
        """Hide our layers; what lies below the maps is seen again when its new data come, maps when they are shown."""
        seen = [layer for layer in self._list_own() if layer.visible]
        self._blanked = [layer for layer in seen if _has_role(layer, GROUND_ROLES)]
        with self.display.hold(), self.scene.hold():
            for layer in seen:
                layer.visible = False

    def _remove(self, layer: Any) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def clear(self, keep: LayerLink | None = None) -> None:
        """Take away every layer of a result or a cube but the one with the link ``keep``."""
        self.display.forget()
        self._painted.clear()
        self._hidden = None
        for layer in list(self._viewer.layers):
            link = get_layer_link(layer.metadata)
            if link is not None and link is not keep:
                self._remove(layer)
        self.display.show(NOTHING)

    def finish(self) -> list[Callable[[], object]]:
        """When all layers are there: steps that show the current map."""
        return [self.show_map_again, self._follow_shown, self.activate]

    def _follow_shown(self) -> None:
        """The legends describe what is on the canvas."""
        shown = [self.display.shown]
        if self.display.is_grid:
            shown = [Shown("map", name) for name in self.display.main_maps]
        layers = [self.display.find_layer(each) for each in shown]
        self.legends.follow([layer for layer in layers if layer is not None])

    def show(self, name: str) -> None:
        """Show one map and hide the others; its layer is made if it is the first time."""
        self.display.show(Shown("map", name))

    def show_map_again(self) -> None:
        """Show the map that was there last."""
        self.show(self.current if self.current in maps.MAPS else self.display.main_maps[0])

    def show_layer(self, data: LayerTuple) -> None:
        """Put a line map or a difference above the maps, and show it in their place."""
        for step in self.list_show_steps(data):
            step()

    def list_show_steps(self, data: LayerTuple) -> list[Callable[[], object]]:
        """The same in steps: a layer that comes, and one that takes the place of another, cost the canvas as much."""
        link = get_layer_link(data[1]["metadata"])
        if link is None or link.role not in EXCLUSIVE_ROLES:
            raise ValueError("not a layer that takes the place of the maps")
        return [partial(self._put_unseen, data), self.display.show_later(Shown(link.role, link.name)), self.activate]

    def _put_unseen(self, data: LayerTuple) -> None:
        with self.display.hold():
            self.put(data)

    def remove_layers(self, role: str, keep: str | None = None) -> None:
        """Take the layers of a role away, but the one named ``keep``."""
        for layer in list(self._viewer.layers):
            link = get_layer_link(layer.metadata)
            if link is not None and link.role == role and link.name != keep:
                self._viewer.layers.remove(layer)

    @property
    def age(self) -> int:
        """Step of the slider of age, from 0; 0 where there is none."""
        dims = self._viewer.dims
        return int(dims.current_step[0]) if dims.ndim > 2 else 0

    def _shown_changed(self, shown: Shown) -> None:
        """A map with an axis of age leaves with its slider, and the cross with the grid."""
        if not self.display.is_grid:
            self.marks.set_cross(None, 0.0)
        self._follow_shown()
        for layer in list(self._viewer.layers):
            link = get_layer_link(layer.metadata)
            if link is not None and link.role == "map" and is_map_by_age(link.name) and link.name != shown.name:
                with self.display.hold():
                    self._viewer.layers.remove(layer)
        self._age_changed()

    def _age_changed(self, _: Any = None) -> None:
        """The map's title says the ages that the slider stands at."""
        name = self.display.shown.name
        layer = self.find("map", name) if is_map_by_age(name) else None
        if layer is not None:
            self._label_slider()
            layer.name = f"{maps.MAPS[name].title} {maps.format_age_range(name, self.age)}"
            if self._limits != "full" and self.display.shown not in self._typed:
                self._set_own_limits(layer, self._choose_age_limits(layer))

    def _label_slider(self, _: Any = None) -> None:
        """The ages stand beside the slider: napari names the axes anew when layers come, go or change their extent."""
        name, dims = self.display.shown.name, self._viewer.dims
        if dims.ndim > 2 and is_map_by_age(name) and self.find("map", name) is not None:
            told = maps.format_age_range(name, self.age)
            if dims.axis_labels[0] != told:
                dims.axis_labels = (told, *dims.axis_labels[1:])

    def _choose_age_limits(self, layer: Any) -> tuple[float, float]:
        """Shares of different ages differ by factors of a hundred: each age has its own limits."""
        image, result = layer.data[self.age], self._session.result
        image = image if result is None else hide_untrusted_bins(result, image)
        return robust_limits(image, 2.0, 98.0)

    def _set_own_limits(self, layer: Any, limits: tuple[float, float]) -> None:
        """Limits that follow from the values."""
        self._setting = True
        try:
            layer.contrast_limits = limits
        finally:
            self._setting = False

    def note_limits(self) -> None:
        """The limits of what is shown have changed: they are the user's own unless they are what is chosen here.

        A workspace that comes back sets them as a user does.
        """
        shown, result = self.display.shown, self._session.result
        layer = self.display.find_layer(shown)
        if self._setting or shown.role != "map" or result is None or layer is None:
            return
        if self._has_own_limits(layer):
            self._typed.add(shown)
        else:
            self._typed.discard(shown)

    def _has_own_limits(self, layer: Any) -> bool:
        """Whether the limits of a map are others than those that the form's choice makes."""
        result, link = self._session.result, get_layer_link(layer.metadata)
        if result is None or link is None or link.name not in maps.MAPS:
            return True
        by_age = is_map_by_age(link.name) and self._limits != "full"
        chosen = self._choose_age_limits(layer) if by_age else choose_map_limits(result, link.name, self._limits)
        return not np.allclose(layer.contrast_limits, chosen, rtol=1e-5, atol=0)

    @property
    def limits_of_shown(self) -> str:
        """How the limits of what is shown were found: one of `map_limits.LIMITS`, or ``typed``."""
        return TYPED if self.display.shown in self._typed else self._limits

    def type_limits(self, low: float, high: float) -> None:
        """Give the shown map, line or difference limits of its colours."""
        layer = self.display.find_layer(self.display.shown)
        if layer is not None and high > low:
            self._typed.add(self.display.shown)
            layer.contrast_limits = (low, high)

    def _make_ready(self, shown: Shown) -> Any:
        """The layer that is to be shown, up to date."""
        if shown.role == "map":
            self.prepare_map(shown.name)
        layer = self.display.find_layer(shown)
        if layer is not None and shown.role == "map":
            self._paint(layer, shown.name)
        return layer

    def prepare_map(self, name: str) -> None:
        """Make the layer of a map above the others, hidden, if there is none."""
        result = self._session.result
        if result is None or name not in maps.MAPS or self.find("map", name) is not None:
            return
        layer = self._make(make_map_layer(result, name, self._session.sky, self._limits))
        layer.visible = False
        self.insert(layer)

    def insert(self, layer: Any) -> None:
        """Add a layer of ours in its place: white light, mosaics, bins, maps, and what is drawn upon them at the top.

        Any of them may have been deleted, or moved, by the user.
        """
        layers, level = self._viewer.layers, _find_level(layer)
        levels = [_find_level(other) for other in layers]
        below = [k for k, other in enumerate(levels) if other is not None and level is not None and other <= level]
        above = [k for k, other in enumerate(levels) if other is not None and level is not None and other > level]
        place = min(below[-1] + 1 if below else len(layers), *above[:1], len(layers))
        with keep_selection(layers):
            layers.insert(place, layer)

    def activate(self) -> None:
        """Make the current map the active layer, unless one is being drawn on: its limits and colours are at hand.

        Without one it is the white light.
        """
        shown = self.display.shown
        if self.display.is_grid:
            shown = Shown("map", self.display.main_maps[0])
        layer, active = self.display.find_layer(shown), self._viewer.layers.selection.active
        layer = self.find("white") if layer is None else layer
        drawn_on = active is not None and str(active.mode) != "pan_zoom"
        if layer is not None and layer.visible and not drawn_on:
            self._viewer.layers.selection.active = layer

    def _maps(self) -> list[tuple[Any, Any]]:
        found = [(layer, get_layer_link(layer.metadata)) for layer in self._list_own()]
        return [(layer, link) for layer, link in found if link is not None and link.role == "map"]

    def set_limits(self, how: str) -> None:
        """Limits of all maps' colours: one of `map_limits.LIMITS`."""
        self._limits = how
        self._typed.clear()
        result = self._session.result
        if result is None:
            return
        for layer, link in self._maps():
            if link.name in maps.MAPS:
                self._set_own_limits(layer, choose_map_limits(result, link.name, how))

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
            self.marks.set_outline(np.empty((0, 2, 2)), [])
            return
        paths, colors = self._session.outlines()
        pieces = [np.stack([path[:-1], path[1:]], axis=1) for path in paths]
        if not pieces:
            self.marks.set_outline(np.empty((0, 2, 2)), [])
            return
        ends = self._session.sky.to_world(np.concatenate(pieces).reshape(-1, 2)).reshape(-1, 2, 2)
        self.marks.set_outline(ends, [color for color, piece in zip(colors, pieces) for _ in piece])

    def mark(self, world: NDArray[np.floating] | None) -> None:
        """In the grid: a cross at the same place (Dec, RA offset in arcsec) of all four maps; None takes it away."""
        result = self._session.result
        if result is None or not self.display.is_grid:
            world = None
        size = 0.0 if result is None else max(result.bins.bin_id.shape) * self._session.sky.pixel_arcsec / 30
        self.marks.set_cross(world, size)


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


def is_map_by_age(name: str) -> bool:
    """Whether a map has an axis of age."""
    return name in maps.MAPS and maps.MAPS[name].by_age


def _lock_bins(layer: Any) -> None:
    """Nobody paints over the numbers of the bins."""
    if _has_role(layer, ("bins",)):
        layer.editable = False


def _drop_brushes(layer: Any) -> None:
    """Of bins, which nobody paints over: napari draws what brush and polygon need anew whenever four maps go."""
    if _has_role(layer, ("bins",)):
        for name in ("brush_stroke", "polygon"):
            if name in layer._overlays:
                layer._overlays[name].visible = False


def _find_level(layer: Any) -> int | None:
    """At which height a layer lies, from 0; None for what is not ours, and for what lies upon the maps."""
    link = get_layer_link(layer.metadata)
    levels = (*((role,) for role in GROUND_ROLES), EXCLUSIVE_ROLES)
    return next((k for k, roles in enumerate(levels) if link is not None and link.role in roles), None)


def _has_role(layer: Any, roles: tuple[str, ...]) -> bool:
    link = get_layer_link(layer.metadata)
    return link is not None and link.role in roles
