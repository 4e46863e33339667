"""The tool 'Region': drawn on the map as a Shapes layer; its bins' mean SFH is shown, and follows when it is moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, LineEdit, PushButton, show_file_dialog
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.canvas.drawn_shapes import SHAPES
from napari_sfh._qt.canvas.interaction import OVERLAY
from napari_sfh._qt.canvas.region_layer import ONE_REGION, RegionLayer
from napari_sfh._qt.forms.fields import fill_form, make_form, make_form_row, narrow_combo_box, read_form
from napari_sfh._qt.tools.base import Host, KeyAct, Tool
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh.analysis.region_files import RegionFile, read_regions, write_regions
from napari_sfh.types import Result

FILES = "DS9 regions (*.reg)"
#: Milliseconds after the last letter of a name until it counts.
TYPING_MS = 400


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
            label="Names",
            tooltip="Of the regions, separated by commas; A, B, C where there is none; a DS9 file brings its own",
            value="",
        )
        self.names.native.setPlaceholderText("A, B, C")
        self.clear = PushButton(text="Clear", tooltip="Show the selected bins alone")
        self.open = PushButton(
            text="Open DS9…", tooltip="Circles, ellipses, boxes, polygons of a DS9 file; -circle is a hole"
        )
        self.save = PushButton(
            text="Save DS9…", tooltip="The drawn regions with their names, each as the shape that it is"
        )
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
        stack = host.stack
        self.region = RegionLayer(host.viewer, host.session, stack.marks, stack.is_shown, self._found, self._take_names)
        self.form.draw.changed.connect(self._press_draw)
        self.form.add.changed.connect(self.draw_another)
        self.form.each.changed.connect(self._separate)
        self._typing = QTimer(self.widget)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._separate)
        self.form.names.changed.connect(self._name)
        self.form.names.native.textEdited.connect(make_weak_slot(self._type))  # before it has changed
        self.form.names.native.editingFinished.connect(make_weak_slot(self._take_typed))
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
            self.host.strokes.hold()
            self.do_unpainted(self.region.prepare, self.draw, self.host.strokes.let_go)

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

    @property
    def working(self) -> bool:
        """True while names are typed."""
        return self._typing.isActive()

    def _type(self, _: object = None) -> None:
        """Names that are typed count when the keys rest: each letter would have the plots drawn anew."""
        self._typing.start()

    def _name(self, _: object = None) -> None:
        """Names that a script, a file or a workspace brings count at once."""
        if not self._typing.isActive():
            self._separate()

    def _take_typed(self, _: object = None) -> None:
        """The field was left, or names are asked for."""
        if self._typing.isActive():
            self._separate()

    def _separate(self, _: object = None) -> None:
        self._typing.stop()
        self.region.separate(bool(self.form.each.value), split_names(self.form.names.value))

    def _take_names(self, names: Sequence[str]) -> None:
        """The names are those of the shapes that are there now."""
        if (text := join_names(names)) != join_names(split_names(self.form.names.value)):
            with self.form.names.changed.blocked():
                self.form.names.value = text

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
        path = show_file_dialog("r", caption="Open DS9 regions", filter=FILES, parent=self.widget.window())
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
        if result is None:
            return
        self._take_typed()
        outlines = self.region.outlines()
        if self.form.each.value:
            names = iter(self.region.list_names())
            outlines = [replace(o, name=next(names)) if o.include else o for o in outlines]
        self.host.show_message(f"Saved {write_regions(Path(path), outlines, result.wcs)}.")

    def on_result(self, result: Result | None) -> None:
        """A region that is still drawn holds for another result of its place on the sky, too."""
        self.region.follow_result()

    def list_work(self) -> dict[str, object]:
        """The regions."""
        drawn = self.region.state()
        return {f"{len(drawn)} regions" if len(drawn) > 1 else "a region": drawn} if drawn else {}

    def state(self) -> dict[str, Any]:
        """The form, and the outlines (y, x) in pixels of the maps."""
        return {**read_form(self.form), "outlines": self.region.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Draw the outlines again."""
        kept = state.get("outlines", [])
        self.region.set_outlines([])
        fill_form(self.form, state)
        self.region.restore(kept)
        # Of shapes to come, too; an older workspace has the names here alone.
        self.form.names.value = state.get("names", "")

    def release(self) -> None:
        """Listen no longer."""
        self._typing.stop()
        self.region.release()

    def _found(self, n_bins: Mapping[str, int]) -> None:
        self.host.show_panel()
        self.host.show_message(describe_found(n_bins))


def split_names(text: str) -> list[str]:
    """Names by place, from a line with commas; one may be empty."""
    return [" ".join(name.split()) for name in text.split(",")] if text.strip(" ,") else []


def join_names(names: Sequence[str]) -> str:
    """The line of which `split_names` makes these names; a comma inside a name becomes a semicolon."""
    return ", ".join(name.replace(",", ";") for name in names).rstrip(", ")


def describe_found(n_bins: Mapping[str, int]) -> str:
    """How many bins the regions hold, by name: ``Means of 2 regions: bulge 82 bins, arm 37 bins.``"""
    told = [f"{name} {_count_bins(n)}" for name, n in n_bins.items() if n]
    empty = [name for name, n in n_bins.items() if not n]
    if not told:
        return "No bin with a prediction has its centre inside the region: draw a larger one."
    if list(n_bins) == [ONE_REGION]:
        return f"Mean of {_count_bins(n_bins[ONE_REGION])}."
    means = (
        f"Mean{'s' if len(told) > 1 else ''} of {len(told)} region{'s' if len(told) > 1 else ''}: {', '.join(told)}."
    )
    return f"{means} No bin with a prediction in {', '.join(empty)}." if empty else means


def _count_bins(n: int) -> str:
    return "1 bin" if n == 1 else f"{n} bins"
