"""The tool 'Region': drawn on the map as a Shapes layer; its bins' mean SFH is shown, and follows when it is moved."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, LineEdit, PushButton, show_file_dialog
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.canvas.drawn_shapes import SHAPES, shape_to_polygon
from napari_sfh._qt.canvas.interaction import OVERLAY
from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, get_layer_link
from napari_sfh._qt.forms.run_forms import fill_form, make_form, make_form_row, narrow_combo_box, read_form
from napari_sfh._qt.session import Session
from napari_sfh._qt.tools.base import Host, KeyAct, Tool
from napari_sfh.analysis.bin_view import choose_color
from napari_sfh.analysis.region_files import RegionFile, read_regions, write_regions
from napari_sfh.analysis.regions import Outline, Spread, Weight
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

NAME = "SFH region"
FILES = "DS9 regions (*.reg)"
#: Feature of a shape: what lies inside does not count.
HOLE = "hole"


class RegionLayer:
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
        self._spread: Spread = "scatter"
        self._separate = False
        self._names: tuple[str, ...] = ()
        self._layer: Any = None
        self._read: list[Outline] = []

    def prepare(self) -> None:
        """Make the layer, if there is none."""
        if self._find() is None:
            self._empty_layer()

    @property
    def is_ready(self) -> bool:
        """Whether there is a layer to draw in."""
        return self._find() is not None

    def draw(self, shape: str = "lasso", add: bool = False) -> None:
        """Wait for a shape (a key of `SHAPES`) drawn with the mouse; older regions are replaced, unless it is added."""
        layer = self._find() if add else None
        layer = self._empty_layer() if layer is None else layer
        self._viewer.layers.selection.active = layer
        layer.mode = SHAPES[shape][0]

    def outlines(self) -> list[Outline]:
        """The drawn regions, in pixels of the maps."""
        layer = self._find()
        if layer is None:
            return []
        holes = layer.features[HOLE] if HOLE in layer.features else [False] * len(layer.data)
        shapes = zip(layer.data, layer.shape_type, holes)
        drawn = [Outline(shape_to_polygon(corners, kind), not bool(hole)) for corners, kind, hole in shapes]
        # A shape of a file that nobody has changed since is still that shape.
        return [next((o for o in self._read if _is_same_outline(o, d)), d) for d in drawn]

    def set_outlines(self, outlines: Sequence[Outline]) -> None:
        """Put regions in place of what was drawn; none clears. Holes are drawn in red."""
        if not outlines:
            self.clear()
            return
        self._read = [o for o in outlines if o.shape is not None]
        layer = self._empty_layer()
        with layer.events.data.blocker():
            colors = ["white" if o.include else "red" for o in outlines]
            layer.add_polygons([o.points for o in outlines], edge_color=colors)
            layer.features = {HOLE: [not o.include for o in outlines]}
            layer.feature_defaults = {HOLE: False}
            layer.current_edge_color = "white"
        self.refresh()

    def put_back(self, outlines: Sequence[tuple[Any, bool]]) -> None:
        """Draw regions again that were taken down as corners (n, 2) and whether their inside counts."""
        self.set_outlines([Outline(np.asarray(points, dtype=float), include) for points, include in outlines])

    def _empty_layer(self) -> Any:
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._viewer.add_shapes(
                name=NAME,
                ndim=2,
                face_color="transparent",
                edge_color="white",
                edge_width=self._line_width(),
                metadata={KEY: LayerLink("region", "", self._session.result)},
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

    def set_spread(self, spread: Spread) -> None:
        """Let the bands show the ``scatter`` among the bins or the ``error`` of the mean."""
        self._spread = spread
        self.refresh()

    def separate(self, separate: bool, names: Sequence[str] = ()) -> None:
        """Take each shape for a region of its own, with these names (then A, B, C), or all for one region."""
        self._separate, self._names = separate, tuple(names)
        self.refresh()

    def list_names(self) -> list[str]:
        """Names of the shapes that are no holes, where each is a region."""
        n = sum(outline.include for outline in self.outlines())
        return [name_region(k) if k >= len(self._names) else self._names[k] for k in range(n)]

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
            QTimer.singleShot(0, make_weak_refresh(self))

    def refresh(self) -> None:
        """Find the bins inside anew."""
        layer = self._find()
        if layer is None:
            return
        link = get_layer_link(layer.metadata)
        if link is None or self._session.result is None:
            return
        if str(layer.mode).startswith("add") and len(layer.data):
            layer.mode = "pan_zoom"
        shapes = self.outlines()
        try:
            found = self._session.set_regions(self._group(shapes), self._weight, self._spread)
        except SfhInputError:
            found = {}
        self._label(layer, shapes)
        on_found = self._on_found()
        if on_found is not None and shapes:
            on_found(sum(found.values()) if self._session.region is not None else 0)

    def _group(self, shapes: list[Outline]) -> dict[str, list[Outline]]:
        """Outlines by region: one of all, or one of each; a hole counts in all."""
        if not shapes:
            return {}
        if not self._separate:
            return {"region": shapes}
        holes = [shape for shape in shapes if not shape.include]
        inside = [shape for shape in shapes if shape.include]
        return {name: [shape, *holes] for name, shape in zip(self.list_names(), inside)}

    def _label(self, layer: Any, shapes: list[Outline]) -> None:
        """Names beside the shapes, in the colours of their histories."""
        if not self._separate:
            if "name" in layer.features and layer.text.visible:
                layer.text.visible = False
                layer.edge_color = ["white" if shape.include else "red" for shape in shapes]
            return
        names = iter(self.list_names())
        told = [next(names) if shape.include else "" for shape in shapes]
        features = layer.features.copy()
        features["name"] = told
        places = iter(range(len(told)))
        colors = [choose_color(next(places)) if shape.include else "red" for shape in shapes]
        with layer.events.data.blocker():
            layer.features = features
            layer.text = {"string": "{name}", "size": 12, "color": "white", "anchor": "upper_left"}
            layer.edge_color = colors


def make_weak_refresh(region: RegionLayer) -> Callable[[], None]:
    """A call of ``region.refresh`` that does not keep the region alive."""
    reference = weakref.ref(region)

    def update() -> None:
        target = reference()
        if target is not None:
            target.refresh()

    return update


def name_region(place: int) -> str:
    """A, B, ... Z, A1, ... for the region at a place (from 0)."""
    letter, round_ = chr(ord("A") + place % 26), place // 26
    return f"{letter}{round_ or ''}"


class RegionForm:
    """A region whose mean SFH is shown."""

    def __init__(self) -> None:
        self.shape = ComboBox(
            label="Shape", choices=list(SHAPES), value="lasso", tooltip="What the mouse draws; all can be moved after"
        )
        self.weight = ComboBox(
            label="Weighted by", choices=["mass", "light"], value="mass", tooltip="By what the bins of a region count"
        )
        self.spread = ComboBox(
            label="Bands show",
            choices=[("bins' scatter", "scatter"), ("mean's error", "error")],
            value="scatter",
            tooltip="16-84 % range of the bins, or the mean's error from the bins' own, taken as independent",
        )
        self.draw = PushButton(text="Draw", tooltip="Draw a region on the map in place of the others (Alt+R)")
        self.add = PushButton(text="Draw another", tooltip="Draw a further shape; the others stay")
        self.each = CheckBox(
            text="each shape is a region of its own",
            value=False,
            tooltip="Histories and numbers of all regions side by side; else the shapes are one region",
        )
        self.names = LineEdit(
            label="Names", tooltip="Of the regions, separated by commas; A, B, C where there are none", value=""
        )
        self.names.native.setPlaceholderText("A, B, C")
        self.clear = PushButton(text="Clear", tooltip="Show the selected bins alone")
        self.open = PushButton(
            text="Open DS9…", tooltip="Circles, ellipses, boxes, polygons of a DS9 file; -circle is a hole"
        )
        self.save = PushButton(text="Save DS9…", tooltip="The drawn regions as polygons in ICRS")
        self.buttons = [make_form_row(pair) for pair in ([self.draw, self.add], [self.open, self.save])]
        rows = [narrow_combo_box(field) for field in (self.shape, self.weight, self.spread)]
        self.container = make_form([*rows, self.each, self.names, *self.buttons, self.clear])


class RegionTool(Tool):
    """The mean SFH of a region drawn with the mouse or read from a file; and the pin of the selected bin."""

    name = "region"
    title = "Region"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = RegionForm()
        self.container = self.form.container
        self.region = RegionLayer(host.viewer, host.session, self._found)
        self.form.draw.changed.connect(self._press_draw)
        self.form.add.changed.connect(self.draw_another)
        self.form.each.changed.connect(self._separate)
        self.form.names.changed.connect(self._separate)
        self.form.clear.changed.connect(self.clear)
        host.export.distance.changed.connect(self._measure_again)
        self.form.open.changed.connect(self.open_dialog)
        self.form.save.changed.connect(self.save_dialog)
        self.form.weight.changed.connect(self.region.set_weight)
        self.form.spread.changed.connect(self.region.set_spread)

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-R draws, Alt-K keeps (pins) the selected bin, Alt-X copies what stands under the cursor."""
        return {"Alt-R": self._press_draw, "Alt-K": self.pin, "Alt-X": self.copy_position}

    def copy_position(self, _: object = None) -> None:
        """Put RA, Dec and the map's value under the cursor on the clipboard."""
        overlay = self.host.viewer.canvas.overlays.get(OVERLAY)
        clipboard = QApplication.clipboard()
        if overlay is not None and overlay.visible and clipboard is not None:
            clipboard.setText(overlay.text)
            self.host.show_message(f"Copied: {overlay.text.splitlines()[0]}")

    def pin(self, _: object = None) -> None:
        """Let the selected bin stay while others are clicked, or let it go."""
        self.host.session.toggle_pinned()

    def _press_draw(self, _: object = None) -> None:
        """The same after a key or a click: the first layer of regions comes in a turn of its own."""
        if self.region.is_ready or self.host.session.result is None:
            self.draw()
        else:
            self.do_unpainted(self.region.prepare, self.draw)

    def draw_another(self, _: object = None) -> None:
        """Let the mouse draw a further shape."""
        self._draw(add=True)

    def draw(self, _: object = None) -> None:
        """Let the mouse draw a region; the mean SFH of the bins inside is shown."""
        self._draw(add=False)

    def _measure_again(self, _: object = None) -> None:
        """Masses follow the distance."""
        if self.region.outlines():
            self.region.refresh()

    def _separate(self, _: object = None) -> None:
        names = [name.strip() for name in self.form.names.value.split(",") if name.strip()]
        self.region.separate(bool(self.form.each.value), list(dict.fromkeys(names)))

    def _draw(self, add: bool) -> None:
        if self.host.session.result is not None:
            self._end_grid()
            self.region.draw(self.form.shape.value, add)
            self.host.show_message(SHAPES[self.form.shape.value][1])

    def clear(self, _: object = None) -> None:
        """Take all regions away, that of a lasso in a plot, too."""
        self.region.clear()
        self.host.session.set_plot_region(np.empty(0, dtype=np.intp))

    def _end_grid(self) -> None:
        """A region is drawn on one map."""
        self.host.stack.display.toggle_grid(False)

    def open_dialog(self, _: object = None) -> None:
        """Ask for a DS9 file and show the mean SFH of its regions."""
        path = show_file_dialog("r", caption="Open DS9 regions", filter=FILES)
        if path:
            self.host.attempt(partial(self.open, Path(str(path))))

    def open(self, path: Path | str) -> None:
        """Show the mean SFH of the regions of a DS9 file.

        Raises
        ------
        SfhInputError
            There is no result, or the file cannot be read.
        """
        path = Path(path)
        found = read_regions(path, self.need_result().wcs)
        self.host.when_ready(partial(self._show_regions, path, found))

    def _show_regions(self, path: Path, found: RegionFile) -> None:
        self._end_grid()
        self.region.set_outlines(found.outlines)
        if found.skipped:
            self.host.show_message(f"{path.name}: left out, no inside or not known: {', '.join(found.skipped)}.")

    def save_dialog(self, _: object = None) -> None:
        """Ask where to, and write the regions for DS9."""
        self.host.exports.ask("Save DS9 regions", f"{self.host.exports.name()}.reg", FILES, self.save)

    def save(self, path: Path | str) -> None:
        """Write the drawn regions as a DS9 file.

        Raises
        ------
        SfhInputError
            None is drawn.
        ComputeError
            The file cannot be written.
        """
        result = self.host.session.result
        if result is not None:
            self.host.show_message(f"Saved {write_regions(Path(path), self.region.outlines(), result.wcs)}.")

    def on_result(self, result: Result | None) -> None:
        """A region that is still drawn holds for the new result, too."""
        self.region.refresh()

    def state(self) -> dict[str, Any]:
        """The form, and the outlines (y, x) in pixels of the maps."""
        outlines = [{"points": o.points.tolist(), "include": o.include} for o in self.region.outlines()]
        return {**read_form(self.form), "outlines": outlines}

    def restore(self, state: dict[str, Any]) -> None:
        """Draw the outlines again."""
        fill_form(self.form, state)
        kept = state.get("outlines", [])
        self.region.set_outlines([Outline(np.asarray(o["points"], dtype=float), bool(o["include"])) for o in kept])

    def release(self) -> None:
        """Listen no longer."""
        self.region.release()

    def _found(self, n_bins: int) -> None:
        self.host.show_panel()
        self.host.show_message(
            f"Mean of {n_bins} bins." if n_bins else "No bin's centre lies inside the region: draw a larger one."
        )


def _is_same_outline(one: Outline, other: Outline) -> bool:
    return (
        one.include == other.include
        and one.points.shape == other.points.shape
        and np.allclose(one.points, other.points, rtol=0, atol=1e-4)
    )
