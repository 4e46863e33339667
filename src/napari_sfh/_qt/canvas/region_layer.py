"""The regions of a viewer as a Shapes layer: what is drawn, how it is called, and in which colour."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from vispy.color import ColorArray

from napari_sfh._qt.canvas.drawn_shapes import SHAPES, outline_to_shape, read_outline, shape_to_polygon
from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, get_layer_link
from napari_sfh._qt.canvas.result_layers import keep_selection
from napari_sfh._qt.canvas.selection_overlay import SelectionMarks
from napari_sfh._qt.session import PLOT_REGION, Session
from napari_sfh.analysis.regions import Outline, RegionTrace, Spread, Weight
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.errors import SfhInputError

LAYER_NAME = "SFH region"
#: Of all shapes, where they are not each a region.
ONE_REGION = "region"
#: Features of a shape: its inside does not count; its name, as typed or read; what stands beside it.
HOLE, NAME, LABEL = "hole", "name", "label"
_FEATURES: dict[str, Any] = {HOLE: False, NAME: "", LABEL: ""}
_TYPES: dict[str, type] = {HOLE: bool, NAME: object, LABEL: object}
#: Colours of a hole, and of a shape without a history.
_HOLE_COLOR, _BARE_COLOR = "red", "white"


class RegionLayer:
    """The layer of regions of a viewer. A shape keeps its name, kind and sign until it is taken away.

    The layer is what the mouse draws, moves and deletes. Finished shapes are outlined and named by the overlay of the
    selected bins, whose lines and words have a border: the layer's own could not be seen on a map of their colour.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    session : Session
    marks : SelectionMarks
    is_shown : callable
        Bound method: whether a layer can be seen, or would be if four maps had room for it.
    on_found : callable
        Bound method, given the number of bins inside each region, by name, after each change.
    on_names : callable
        Bound method, given the names by place when the shapes, and so their names, have become others.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        marks: SelectionMarks,
        is_shown: Callable[[Any], bool],
        on_found: Callable[[Mapping[str, int]], None],
        on_names: Callable[[Sequence[str]], None],
    ) -> None:
        self._viewer = viewer
        self._session, self._marks = session, marks
        self._is_shown = weakref.WeakMethod(is_shown)
        self._on_found = weakref.WeakMethod(on_found)
        self._on_names = weakref.WeakMethod(on_names)
        self._weight: Weight = "mass"
        self._spread: Spread = "scatter"
        self._separate = False
        self._spare: list[str] = []  # typed for shapes that are still to come
        self._layer: Any = None
        self._put: list[tuple[NDArray[np.float64], Outline]] = []
        self._sky: SkyGrid | None = None  # of the layer
        viewer.layers.events.removed.connect(self._follow_removal)

    @property
    def is_ready(self) -> bool:
        """Whether there is a layer to draw in."""
        return self._find() is not None

    def prepare(self) -> None:
        """Make the layer, if there is none."""
        if not self.is_ready:
            self._empty_layer()

    def draw(self, shape: str = "lasso", add: bool = False) -> None:
        """Wait for a shape (a key of `SHAPES`) drawn with the mouse; older regions are replaced, unless it is added."""
        layer = self._find() if add else None
        layer = self._empty_layer() if layer is None else layer
        self._tell_names()
        self._viewer.layers.selection.active = layer
        layer.mode = SHAPES[shape][0]

    def outlines(self) -> list[Outline]:
        """The drawn regions, in pixels of the maps."""
        layer = self._find()
        if layer is None:
            return []
        shapes = zip(layer.data, layer.shape_type, self._read_feature(HOLE), self._read_feature(NAME))
        return [self._describe(corners, kind, bool(hole), str(name)) for corners, kind, hole, name in shapes]

    def _describe(self, corners: NDArray[np.float64], kind: str, hole: bool, name: str) -> Outline:
        """The outline of a shape; one that was put there and that nobody has moved since is still that one."""
        for put, outline in self._put:
            if outline.include != hole and put.shape == corners.shape and np.allclose(put, corners, rtol=0, atol=1e-4):
                return replace(outline, name=name)
        return read_outline(corners, kind, hole, name)

    def _read_feature(self, name: str) -> list[Any]:
        layer = self._layer
        return list(layer.features[name]) if name in layer.features else [_FEATURES[name]] * len(layer.data)

    def _write_features(self, features: Mapping[str, Sequence[Any]]) -> None:
        """Give the shapes these features, and the others those that they have; the next shape begins with none."""
        layer = self._layer
        kept = {name: self._read_feature(name) for name in _FEATURES if name not in features}
        with layer.events.data.blocker():
            # With types of their own also where there are none.
            layer.features = {name: np.array(each, dtype=_TYPES[name]) for name, each in {**kept, **features}.items()}
            layer.feature_defaults = _FEATURES

    def set_outlines(self, outlines: Sequence[Outline]) -> None:
        """Put regions in place of what was drawn; none clears. Names typed for shapes to come go to those without."""
        if not outlines:
            self.clear()
            return
        named = any(o.name for o in outlines)
        layer = self._empty_layer()
        shapes = [outline_to_shape(o) for o in outlines]
        self._put = [(corners, outline) for (corners, _), outline in zip(shapes, outlines)]
        with layer.events.data.blocker():
            layer.add([corners for corners, _ in shapes], shape_type=[kind for _, kind in shapes])
        holes, names = [not o.include for o in outlines], [o.name for o in outlines]
        self._write_features({HOLE: holes, NAME: names, LABEL: [""] * len(outlines)})
        if named:
            self._spare = []
        self._name_new_shapes()
        self.refresh()
        self._tell_names()

    def state(self) -> list[dict[str, Any]]:
        """The outlines with names and kinds, as JSON types."""
        return [outline.state() for outline in self.outlines()]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Draw again what `state` returned."""
        self.set_outlines([Outline.restore(kept) for kept in state])

    def _empty_layer(self) -> Any:
        if self._layer is None or self._layer not in self._viewer.layers:
            layer = Shapes(
                name=LAYER_NAME,
                ndim=2,
                face_color="transparent",
                edge_color=_BARE_COLOR,
                edge_width=self._line_width(),
                features={name: np.empty(0, dtype) for name, dtype in _TYPES.items()},
                feature_defaults=_FEATURES,
                text={"string": f"{{{LABEL}}}", "color": _BARE_COLOR, "visible": False},
                metadata={KEY: LayerLink("region", "", self._session.result)},
                **self._session.sky.transform(),
            )
            self._sky = self._session.sky
            with keep_selection(self._viewer.layers):
                self._layer = self._viewer.add_layer(layer)
            self._layer.events.data.connect(self._changed)
            self._layer.events.visible.connect(self._trace)
        self._put = []
        # What hears of this would look for bins after the mouse has begun to draw, and end the drawing.
        with self._layer.events.data.blocker():
            self._layer.data = []
        self._write_features({name: [] for name in _FEATURES})
        self._trace()
        self._session.set_region([])
        return self._layer

    def _line_width(self) -> float:
        result = self._session.result
        return 1.0 if result is None else max(result.bins.bin_id.shape) / 160

    def set_weight(self, weight: Weight) -> None:
        """Weight by ``mass`` or ``light``."""
        self._weight = weight
        self.refresh()

    def set_spread(self, spread: Spread) -> None:
        """Let the bands show the ``scatter`` among the bins or the ``error`` of the mean."""
        self._spread = spread
        self.refresh()

    def separate(self, separate: bool, names: Sequence[str] = ()) -> None:
        """Take each shape for a region of its own, or all for one; names by place, holes apart, some perhaps empty.

        Names beyond the shapes are for those to come.
        """
        self._separate = separate
        layer = self._find()
        rest = list(names)
        if layer is not None and len(layer.data):
            named = self._read_feature(NAME)
            for k, hole in enumerate(self._read_feature(HOLE)):
                if not hole:
                    named[k] = rest.pop(0) if rest else ""
            self._write_features({NAME: named})
        self._spare = rest
        self.refresh()

    def list_names(self) -> list[str]:
        """Names of the shapes that are no holes, where each is a region: unlike each other; A, B, C without one."""
        names: list[str] = []
        for place, outline in enumerate(o for o in self.outlines() if o.include):
            wanted = outline.name or name_region(place)
            taken = {*names, PLOT_REGION, ONE_REGION}
            further = (f"{wanted} {number}" for number in range(2, len(taken) + 3))
            names.append(wanted if wanted not in taken else next(name for name in further if name not in taken))
        return names

    def clear(self) -> None:
        """Take the region away, and its names."""
        layer = self._find()
        had = layer is not None and len(layer.data)
        self._forget()
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._session.set_region([])
        if had:
            self._tell_names()

    def _follow_removal(self, event: Any) -> None:
        """The user has deleted the layer."""
        if self._layer is not None and event.value == self._layer:  # which napari may have given in a wrapper
            self._forget()
            self._session.set_region([])
            self._tell_names()

    def release(self) -> None:
        """Listen no longer; the layer stays."""
        self._viewer.layers.events.removed.disconnect(self._follow_removal)
        self._forget()

    def _forget(self) -> None:
        if self._layer is not None:
            self._layer.events.data.disconnect(self._changed)
            self._layer.events.visible.disconnect(self._trace)
        self._layer, self._put = None, []
        self._trace()

    def _trace(self, _: Any = None) -> None:
        """Outline and name the finished shapes as far as the layer is shown; four maps put the layer alone away."""
        layer, is_shown = self._find(), self._is_shown()
        if layer is None or is_shown is None or not is_shown(layer):
            self._marks.clear_regions()
            return
        traces = []
        for corners, kind, rgba, label in zip(
            layer.data, layer.shape_type, layer.edge_color, self._read_feature(LABEL)
        ):
            path = shape_to_polygon(corners, kind)
            closed = path if kind in ("line", "path") else np.concatenate([path, path[:1]])
            traces.append(RegionTrace(closed, str(ColorArray(rgba).hex[0]), str(label)))
        self._marks.set_regions(traces, self._session.sky)

    def _find(self) -> Any:
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def _changed(self, event: Any) -> None:
        """napari tells before, during and after: only what is finished counts."""
        action = str(getattr(event, "action", ""))
        if action == "changing":
            self._marks.clear_regions()
        if action in ("added", "changed", "removed"):
            # Not inside the layer's own event: its mode is about to be used.
            QTimer.singleShot(0, _make_weak_follow(self))

    def follow_shapes(self) -> None:
        """Shapes have come, gone or moved."""
        if self._find() is not None:
            self._name_new_shapes()
            self.refresh()
            self._tell_names()

    def _name_new_shapes(self) -> None:
        """Names typed beforehand go to the last shapes that have none, in their order."""
        layer = self._layer
        if not self._spare or not len(layer.data):
            return
        holes, names = self._read_feature(HOLE), self._read_feature(NAME)
        last = max((k for k, name in enumerate(names) if name), default=-1)
        for place in range(last + 1, len(names)):
            if self._spare and not holes[place]:
                names[place] = self._spare.pop(0)
        self._write_features({NAME: names})

    def _tell_names(self) -> None:
        on_names = self._on_names()
        if on_names is not None:
            on_names([*(o.name for o in self.outlines() if o.include), *self._spare])

    def follow_result(self) -> None:
        """Regions stay at their places of the sky; where nothing of them is on the maps of another result they go."""
        if self._find() is None or self._sky is None or self._session.result is None:
            return
        sky, before = self._session.sky, self._sky
        if sky.shares_pixels(before):
            self.refresh()
            return
        points = [sky.convert_pixels(before, outline.points) for outline in self.outlines()]
        moved = [replace(old, points=new, shape=None) for old, new in zip(self.outlines(), points)]
        limits = np.array(self._session.result.bins.bin_id.shape) - 0.5
        on_map = [bool(((new >= -0.5) & (new <= limits)).all(1).any()) for new in points]
        self.clear()
        if any(on_map):
            self.set_outlines(moved)

    def refresh(self) -> None:
        """Find the bins inside anew."""
        layer = self._find()
        if layer is None:
            return
        link = get_layer_link(layer.metadata)
        if link is None or self._session.result is None:
            return
        link.result = self._session.result
        if str(layer.mode).startswith("add") and len(layer.data):
            layer.mode = "pan_zoom"
        rows = list(self._session.find_rows(self._group(self.outlines())).values())
        self._session.prepare_means(ONE_REGION, rows, self._weight, self._spread, self._show)

    def _show(self) -> None:
        """Show the means of the regions, which are at hand."""
        layer = self._find()
        if layer is None:
            return
        shapes = self.outlines()
        groups = self._group(shapes)
        with suppress(SfhInputError):  # no bin with a prediction: said below
            self._session.set_regions(groups, self._weight, self._spread)
        self._label(layer, shapes)
        on_found = self._on_found()
        if on_found is not None and shapes:
            shown = {region.name: int(region.rows.size) for region in self._session.regions}
            on_found({name: shown.get(name, 0) for name in groups})

    def _group(self, shapes: list[Outline]) -> dict[str, list[Outline]]:
        """Outlines by region: one of all, or one of each; a hole counts in all."""
        if not shapes:
            return {}
        if not self._separate:
            return {self._name_one(shapes): shapes}
        holes = [shape for shape in shapes if not shape.include]
        inside = [shape for shape in shapes if shape.include]
        return {name: [shape, *holes] for name, shape in zip(self.list_names(), inside)}

    def _name_one(self, shapes: list[Outline]) -> str:
        """What all shapes together are called: as the only one, if it has a name."""
        inside = [shape for shape in shapes if shape.include]
        return self.list_names()[0] if len(inside) == 1 and inside[0].name else ONE_REGION

    def _label(self, layer: Any, shapes: list[Outline]) -> None:
        """Names beside the shapes, typed ones where all are one region; in the colours of their histories."""
        names = iter(self.list_names() if self._separate else [])
        one = "" if self._separate else self._name_one(shapes)
        regions = ["" if not shape.include else next(names, one) for shape in shapes]
        labels = regions if self._separate else [shape.name if shape.include else "" for shape in shapes]
        if labels != self._read_feature(LABEL):
            self._write_features({LABEL: labels})
        colors = [self._session.find_region_color(name) or _BARE_COLOR if name else _HOLE_COLOR for name in regions]
        with layer.events.data.blocker():
            # Of a shape that comes later, which has no history yet; the selected shapes take it, too.
            layer.current_edge_color = _BARE_COLOR
            if colors:
                layer.edge_color = colors
                layer.text.color = colors  # for those who show the layer's own words
        self._trace()


def _make_weak_follow(region: RegionLayer) -> Callable[[], None]:
    """A call of ``region.follow_shapes`` that does not keep the region alive."""
    reference = weakref.ref(region)

    def update() -> None:
        target = reference()
        if target is not None:
            target.follow_shapes()

    return update


def name_region(place: int) -> str:
    """A, B, ... Z, A1, ... for the region at a place (from 0)."""
    letter, round_ = chr(ord("A") + place % 26), place // 26
    return f"{letter}{round_ or ''}"
