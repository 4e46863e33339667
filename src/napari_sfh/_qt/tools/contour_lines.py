"""Contours of an emission line or a map above all other layers: traced in a thread, as wide at every zoom."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, get_layer_link
from napari_sfh._qt.canvas.result_layers import keep_selection
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.jobs.latest import LatestJob
from napari_sfh._qt.jobs.tool_tasks import ContourMap, MapContours
from napari_sfh._qt.tools.base import Tool
from napari_sfh._qt.tools.colour_image_form import NO_CONTOURS, ColourImageForm, parse_levels
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Result

#: Milliseconds after the last turn of the wheel at which the lines have their width again.
ZOOM_REST_MS = 150
#: Width of contours in screen pixels, times the one of the form.
CONTOUR_PX = 2.0
#: What decides the map that contours are drawn of: its name, and the file of the lines.
ContourKey = tuple[str, Path | None]


class ContourLines:
    """The contours of the tool 'HST and contours'.

    Parameters
    ----------
    tool : Tool
        Kept by a weak proxy.
    form : ColourImageForm

    Attributes
    ----------
    drawn : MapContours or None
        What is drawn.
    """

    def __init__(self, tool: Tool, form: ColourImageForm) -> None:
        self._tool: Any = weakref.proxy(tool)
        self.host, self.form = tool.host, form
        self.drawn: MapContours | None = None
        self._coming: Vectors | None = None
        self._map: tuple[ContourKey, ContourMap] | None = None  # of which contours were drawn last
        self._loading: ContourKey | None = None
        self._tracer = LatestJob(self._traced, tool.tell_wrong)
        # A window that closes destroys the widgets without a word to Python.
        tool.widget.destroyed.connect(partial(LatestJob.abandon, self._tracer))
        self._zoomed = QTimer(tool.widget)
        self._zoomed.setSingleShot(True)
        self._zoomed.setInterval(ZOOM_REST_MS)
        self._zoomed.timeout.connect(self._fit_lines)
        self.host.viewer.scene.camera.events.zoom.connect(self._follow_zoom)
        form.contours.changed.connect(self.redraw)
        form.levels.changed.connect(self.redraw)
        form.typed_levels.native.editingFinished.connect(make_weak_slot(self.redraw))
        for field in (form.line_color, form.line_width):
            field.changed.connect(self._restyle)

    @property
    def working(self) -> bool:
        """True while contours are traced."""
        return self._tracer.running

    def forget_map(self) -> None:
        """Another result comes: no map of the old one is drawn from."""
        self._map = None

    def forget_loading(self) -> None:
        """No map is being read any more."""
        self._loading = None

    def release(self) -> None:
        """Trace no more."""
        self._zoomed.stop()
        self.host.viewer.scene.camera.events.zoom.disconnect(self._follow_zoom)
        self._tracer.abandon()

    @property
    def lines(self) -> list[NDArray[np.float64]]:
        """Contours of all levels, corners (n, 2) as (y, x) in pixels of the maps."""
        return [] if self.drawn is None else [line for level in self.drawn.lines for line in level]

    def _tell_unit(self, unit: str) -> None:
        """In which unit levels are typed; nothing where no map is chosen, or it has none."""
        self.form.unit.value = f"in {unit}" if unit else ""
        self.form.unit.visible = bool(unit)

    def take(self, drawn: MapContours | None) -> None:
        """Hold contours, and say their levels below the form's field."""
        self.drawn = drawn
        if drawn is None:
            self._tell_unit("")
        self.form.note.value = "" if drawn is None else drawn.words
        self.form.note.visible = drawn is not None

    def redraw(self, _: object = None) -> None:
        """Draw what the form asks for, or nothing."""
        result, name = self.host.session.result, self.form.contours.value
        if result is None:
            return
        if name == NO_CONTOURS:
            self.take(None)
            self.host.stack.remove_layers("contours")
            self._tool.tell_right()
            return
        if not self._tool.check_field(lambda: parse_levels(self.form.typed_levels.value)):
            return
        key = (name, self.host.data.maps_path)
        if self._map is not None and self._map[0] == key:
            self.host.attempt(self._draw_levels)
        elif self._loading != key:
            self._loading = key
            work = partial(tool_tasks.load_contour_map, result=result, name=name, maps_path=key[1])
            self.host.start(work, partial(self._loaded, result, key))

    def _loaded(self, result: Result, key: ContourKey, found: ContourMap) -> None:
        """The map is there: it is kept, so that other levels need no file and no wait."""
        if result is self.host.session.result:
            self._map = key, found
            if self.form.contours.value == found.name:
                self._draw_levels()

    def _draw_levels(self) -> None:
        """Trace the form's levels in the map at hand."""
        if self._map is not None:
            self._tell_unit(self._map[1].unit)
            n, typed = int(self.form.levels.value), parse_levels(self.form.typed_levels.value)
            self._tracer.ask(partial(_trace, of=self._map, n=n, typed=typed))

    def _traced(self, traced: tuple[tuple[ContourKey, ContourMap], MapContours]) -> None:
        """Show what was traced, unless it is there, or is not wanted any more."""
        result, (of, drawn) = self.host.session.result, traced
        if result is None or of is not self._map or self.form.contours.value != of[1].name:
            return
        there = self.host.stack.find("contours", of[1].name) is not None
        shown = None if self.drawn is None else (self.drawn.title, self.drawn.levels)
        if not there or shown != (drawn.title, drawn.levels):
            self._drawn(result, of[1].name, drawn)

    def _line_width(self) -> float:
        """In pixels of the maps, so that lines are as wide on the screen at every zoom."""
        places = self.host.session.sky.to_world(np.array([[0.0, 0.0], [1.0, 0.0]]))
        spaxel_arcsec = float(np.linalg.norm(places[1] - places[0]))
        screen_px = CONTOUR_PX * float(self.form.line_width.value)
        return screen_px / (float(self.host.viewer.scene.camera.zoom) * spaxel_arcsec)

    def _fit_lines(self) -> None:
        """The view has been zoomed."""
        layer = self.host.stack.find("contours", str(self.form.contours.value))
        if layer is not None and self.host.session.result is not None:
            layer.edge_width = self._line_width()

    def _follow_zoom(self, _: object = None) -> None:
        """When the wheel rests: each width has the lines cut anew."""
        if self.drawn is not None:
            self._zoomed.start()

    def _restyle(self, _: object = None) -> None:
        """Colour and width of contours that are drawn."""
        layer, result = self.host.stack.find("contours", str(self.form.contours.value)), self.host.session.result
        if layer is not None and result is not None:
            layer.edge_color = str(self.form.line_color.value)
            layer.edge_width = self._line_width()

    def _drawn(self, result: Result, name: str, drawn: MapContours) -> None:
        if result is not self.host.session.result:
            return
        self.take(drawn)
        layer = self.host.stack.find("contours", name)
        if layer is not None:
            layer.data = split_into_segments(self.lines)
            layer.metadata = self._describe_contours(result, name, drawn)
        else:
            steps = partial(self._make_contours, result, name, drawn), self._insert_contours, self._reveal_contours
            self._tool.do_unpainted(*steps)
        self.host.show_message(f"Contours of {drawn.title} from {drawn.source}.")

    def _make_contours(self, result: Result, name: str, drawn: MapContours) -> None:
        """A layer upon all others; it comes to the canvas in a turn of its own."""
        self.host.stack.remove_layers("contours")
        self._coming = Vectors(
            split_into_segments([line for level in drawn.lines for line in level]),
            name=f"contours of {drawn.title}",
            vector_style="line",
            edge_color=str(self.form.line_color.value),
            edge_width=self._line_width(),
            opacity=0.9,
            metadata=self._describe_contours(result, name, drawn),
            visible=False,  # napari would cut and draw the pieces at every step
            **self.host.session.sky.transform(),
        )

    def _insert_contours(self) -> None:
        """Contours that were made, unless they were taken back meanwhile."""
        layer, self._coming = self._coming, None
        if layer is not None and self.drawn is not None:
            with keep_selection(self.host.viewer.layers):
                self.host.viewer.add_layer(layer)
            self.host.stack.activate()

    def _reveal_contours(self) -> None:
        for layer in self.host.viewer.layers:
            link = get_layer_link(layer.metadata)
            if link is not None and link.role == "contours":
                layer.visible = True

    @staticmethod
    def _describe_contours(result: Result, name: str, drawn: MapContours) -> dict[str, Any]:
        return {KEY: LayerLink("contours", name, result), "levels": drawn.levels, "unit": drawn.unit}


def _trace(
    progress: ReportProgress,
    cancel: threading.Event,
    of: tuple[ContourKey, ContourMap],
    n: int,
    typed: tuple[float, ...],
) -> tuple[tuple[ContourKey, ContourMap], MapContours]:
    """In the thread: contours, with the map that they are of."""
    return of, tool_tasks.trace_map_contours(of[1], n, typed)


def split_into_segments(lines: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Lines in pieces.

    Parameters
    ----------
    lines : sequence of arrays (n, 2)

    Returns
    -------
    array (m, 2, 2)
        Start and vector of each piece.
    """
    if not lines:
        return np.empty((0, 2, 2))
    corners = np.concatenate(lines)
    within = np.ones(len(corners), dtype=np.bool_)
    within[np.cumsum([len(line) for line in lines]) - 1] = False  # no piece from the end of a line to the next one
    return np.stack([corners[within], np.diff(corners, axis=0)[within[:-1]]], axis=1)
