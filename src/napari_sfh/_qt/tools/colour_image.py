"""The tool 'HST and contours': the mosaics' colours beneath translucent maps, contours of a line or map above them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, format_layer_title, get_layer_link, list_categories
from napari_sfh._qt.exports import FIGURES
from napari_sfh._qt.forms.fields import fill_form, read_form
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.jobs.tool_tasks import MapContours
from napari_sfh._qt.jobs.workers import BackgroundJob
from napari_sfh._qt.tools.base import Host, KeyAct, Tool
from napari_sfh._qt.tools.colour_image_form import NO_CONTOURS, ColourImageForm
from napari_sfh._qt.tools.contour_lines import ContourLines
from napari_sfh.analysis import maps
from napari_sfh.analysis.colour_image import U8, ColourField, MapOverlay, render_colour_image
from napari_sfh.analysis.sky_coordinates import SkyGrid, is_same_field
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Progress, Result

#: Milliseconds after the last move of a slider at which the image is painted anew.
PAINT_MS = 150
#: Colours of a map in the saved picture.
_COLORS = 256
#: Roles of the layers that are translucent above the mosaics.
_ABOVE = ("map", "lines", "difference")


class ColourImageTool(Tool):
    """HST colours under the maps, contours over them."""

    name = "composite"
    title = "HST and contours"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = ColourImageForm()
        self.container = self.form.container
        self._result: Result | None = None
        self.field: ColourField | None = None
        self.paths: dict[str, Path] = {}
        self.contour_lines = ContourLines(self, self.form)
        self._again: tuple[str, int] | None = None  # contours to draw of the result that has come
        self._stale = False
        self._painter = BackgroundJob(_ignore_progress, self._painted, self._not_painted)
        # A window that closes destroys the widgets without a word to Python.
        self.widget.destroyed.connect(partial(BackgroundJob.abandon, self._painter))
        self._timer = QTimer(self.widget)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAINT_MS)
        self._timer.timeout.connect(self._repaint)
        self.form.show.changed.connect(self._press_show)
        for slider in (self.form.brightness, self.form.softening):
            slider.changed.connect(self._look_changed)
        self.form.opacity.changed.connect(self._fade)
        self.form.save.changed.connect(self._ask)
        host.viewer.layers.events.inserted.connect(self._inserted)

    # -- acts --------------------------------------------------------------------------------------------------

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-U shows and hides the mosaics."""
        return {"Alt-U": self._press_show}

    @property
    def working(self) -> bool:
        """True while contours are traced."""
        return self.contour_lines.working

    @property
    def contours(self) -> MapContours | None:
        """Those that are drawn."""
        return self.contour_lines.drawn

    def toggle(self) -> None:
        """Show the mosaics, or hide them.

        Raises
        ------
        SfhInputError
            There is no result, or no mosaic.
        """
        self.need_result()
        layer = self.layer
        if layer is None:
            self.show_mosaics()
        else:
            layer.visible = not layer.visible

    def _press_show(self, _: object = None) -> None:
        self.press(self.toggle)

    def show_mosaics(self, paths: dict[str, Path] | None = None) -> None:
        """Cut mosaics (band to file; default: those of the form Data) to the field and show them in colours.

        Raises
        ------
        SfhInputError
            There is none.
        """
        result = self.host.session.result
        found = self.host.data.photometry if paths is None else paths
        if result is None or not found:
            raise SfhInputError("No HST mosaic is given: choose some under Data (F814W, F555W, F438W, ...)")
        work = partial(tool_tasks.open_colour_image, paths=found, result=result, look=self.form.look)
        self.host.start(work, partial(self._opened, result, dict(found)))

    def show_contours(self, name: str, levels: int = 5) -> None:
        """Draw contours of a line or map (a key of `tool_tasks.CONTOURS`), or ``none``.

        Raises
        ------
        SfhInputError
            There is no result.
        """
        self.need_result()
        with self.form.contours.changed.blocked(), self.form.levels.changed.blocked():
            self.form.levels.value, self.form.contours.value = levels, name
        self.contour_lines.redraw()

    def save_picture(self, path: Path | str) -> None:
        """Draw the mosaics with the contours as PNG, PDF or SVG.

        Raises
        ------
        SfhInputError
            No mosaic is shown.
        """
        result, layer = self.host.session.result, self.layer
        if result is None or layer is None or self.field is None:
            raise SfhInputError("HST colours are not shown: press Show HST colours first")
        title = f"{result.name}: HST {', '.join(self.field.bands)}"
        caption = "" if self.contours is None else f"Contours of {self.contours.words}"
        draw = partial(
            _draw_page,
            np.asarray(layer.data[0]),
            self.field.wcs,
            self.contour_lines.lines,
            result.wcs,
            title=title,
            caption=caption,
            line_color=str(self.form.line_color.value),
            line_width=float(self.form.line_width.value),
            overlay=self.find_overlay(),
            regions=self.host.stack.marks.regions,
        )
        self.host.start(partial(tool_tasks.draw_and_save_figure, draw=draw, path=Path(path)), self.saved)

    def find_overlay(self) -> MapOverlay | None:
        """The translucent map, line map or difference that is on the canvas, in its colours."""
        display = self.host.stack.display
        layer = display.find_layer(display.shown) if display.shown.role in _ABOVE else None
        if layer is None or not layer.visible or float(layer.opacity) <= 0:
            return None
        colors = np.asarray(layer.colormap.map(np.linspace(0, 1, _COLORS) ** float(layer.gamma)), dtype=float)
        low, high = (float(limit) for limit in layer.contrast_limits)
        image = np.asarray(layer.data)
        if image.ndim == 3:  # the age that is seen
            image = image[int(self.host.viewer.dims.current_step[0])]
        label = format_layer_title(str(layer.name), get_layer_link(layer.metadata))
        return MapOverlay(image, colors, (low, high), label, float(layer.opacity), list_categories(display.shown.name))

    # -- mosaics -----------------------------------------------------------------------------------------------

    @property
    def layer(self) -> Any:
        """The mosaics' layer, or None."""
        return self.host.stack.find("composite")

    def _opened(self, result: Result, paths: dict[str, Path], found: tuple[ColourField, list[U8]]) -> None:
        if result is not self.host.session.result:
            return
        self.paths, (self.field, levels) = paths, found
        self.do_unpainted(partial(self._put_mosaics, result, levels), self._fade, self.host.stack.activate)
        note = (
            f", averaged over {self.field.averaged} x {self.field.averaged} pixels" if self.field.averaged > 1 else ""
        )
        self.host.show_message(f"HST {', '.join(self.field.bands)} under the maps{note}; Alt+U hides it.")

    def _put_mosaics(self, result: Result, levels: list[U8]) -> None:
        """A layer below bins and maps."""
        if self.field is None:
            return
        self.host.stack.remove_layers("composite")
        grid = SkyGrid.of(self.field.wcs, self.field.planes.shape[1:], self.host.session.sky)
        layer = Image(
            levels,
            name=f"HST {' '.join(self.field.bands)}",
            rgb=True,
            multiscale=True,
            interpolation2d="linear",
            metadata={KEY: LayerLink("composite", "", result)},
            **grid.transform(),
        )
        layer.events.visible.connect(self._fade)
        self.host.stack.insert(layer)

    def _look_changed(self, _: object = None) -> None:
        if self.field is not None:
            self._timer.start()

    def _repaint(self) -> None:
        if self.field is None:
            return
        if self._painter.running:
            self._stale = True
            return
        field, look = self.field, self.form.look
        self._painter.start(lambda progress, cancel: render_colour_image(field, look, progress, cancel))

    def _painted(self, levels: list[U8] | None) -> None:
        layer = self.layer
        if levels is not None and layer is not None and len(levels) == len(layer.data):
            layer.data = levels
        if self._stale:
            self._stale = False
            self._repaint()

    def _not_painted(self, error: Exception) -> None:
        self.host.show_message(str(error), error=True)

    def _fade(self, _: object = None) -> None:
        """Translucent maps while the mosaics are seen."""
        layer = self.layer
        opacity = float(self.form.opacity.value) if layer is not None and layer.visible else 1.0
        self.form.show.text = "Show HST colours" if layer is None or not layer.visible else "Hide HST colours"
        for other in self.host.viewer.layers:
            link = get_layer_link(other.metadata)
            if link is not None and link.role in _ABOVE and other.opacity != opacity:
                other.opacity = opacity

    def _inserted(self, event: Any) -> None:
        """A map that is shown for the first time is as translucent as the others."""
        link = get_layer_link(event.value.metadata)
        if link is not None and link.role in _ABOVE and self.layer is not None:
            self._fade()

    # -- layers ------------------------------------------------------------------------------------------------

    def _list_layers(self, role: str) -> Iterator[Any]:
        links = ((layer, get_layer_link(layer.metadata)) for layer in self.host.viewer.layers)
        return (layer for layer, link in links if link is not None and link.role == role)

    def _remove_layers(self, layers: list[Any]) -> None:
        """Take layers away, unless the user has."""
        for layer in layers:
            if layer in self.host.viewer.layers:
                self.host.viewer.layers.remove(layer)

    # -- the host's calls --------------------------------------------------------------------------------------

    def on_result(self, result: Result | None) -> None:
        """Mosaics and contours of another galaxy go; of another run the mosaics stay, the contours are drawn anew."""
        if result is self._result:
            return
        before, self._result = self._result, result
        name, levels = str(self.form.contours.value), int(self.form.levels.value)
        is_same = before is not None and result is not None and is_same_field(before, result)
        if result is not None and is_same and self.layer is not None:
            self.layer.metadata = {KEY: LayerLink("composite", "", result)}
        self._forget("contours", *([] if is_same else ["composite"]))
        with self.form.contours.changed.blocked():
            self.form.offer_contours([] if result is None else maps.list_result_maps(result))
        if is_same and name in self.form.contours.choices and name != NO_CONTOURS:
            self._again = name, levels
            self.host.in_turns([partial(self.host.attempt, self._draw_again)])

    def _draw_again(self) -> None:
        """The contours that were there before another run, unless a workspace has come meanwhile."""
        again, self._again = self._again, None
        if again is not None:
            self.show_contours(*again)

    def _forget(self, *roles: str) -> None:
        """Take contours away, and mosaics if they are named."""
        if "composite" in roles:
            self.field, self.paths = None, {}
        self._again = None
        self.contour_lines.forget_map()
        self.contour_lines.take(None)
        with self.form.contours.changed.blocked():
            self.form.contours.value = NO_CONTOURS
        # The contours first: the mosaics' end changes the extent, for which napari cuts every layer anew.
        gone = [layer for role in roles for layer in self._list_layers(role)]
        self.do_unpainted(*(partial(self._remove_layers, [layer]) for layer in gone), self._fade)

    def on_busy(self, busy: bool) -> None:
        """One piece of work at a time."""
        if not busy:
            self.contour_lines.forget_loading()
        for widget in (self.form.show, self.form.contours, self.form.levels, self.form.save):
            widget.enabled = not busy

    def list_work(self) -> dict[str, object]:
        """The contours, with the levels that were chosen for them."""
        drawn = self.contours
        return {} if drawn is None else {f"contours of {drawn.title}": tuple(drawn.levels)}

    def state(self) -> dict[str, Any]:
        """The form, and the mosaics that are shown."""
        layer = self.layer
        shown = layer is not None and self.host.stack.is_shown(layer)
        return {**read_form(self.form), "shown": shown, "mosaics": dict(self.paths) if shown else {}}

    def restore(self, state: dict[str, Any]) -> None:
        """The sliders; mosaics that were shown are opened again, contours drawn again.

        Raises
        ------
        SfhInputError
            A mosaic has gone; those that are left are shown.
        """
        keys = ("brightness", "softening", "opacity", "levels", "typed_levels", "line_color", "line_width")
        fill_form(self.form, {k: v for k, v in state.items() if k in keys})
        steps: list[Callable[[], object]] = []
        # An older workspace names no mosaics: they were those of the form Data.
        named = {band: Path(path) for band, path in state.get("mosaics", self.host.data.photometry).items()}
        there = {band: path for band, path in named.items() if path.is_file()}
        if self.layer is not None or self.contours is not None or self._again is not None:
            self._forget("contours", "composite")  # of another run, before the workspace came
        if state.get("shown") and there:
            steps.append(partial(self.host.attempt, partial(self.show_mosaics, there)))
        if state.get("contours") in tool_tasks.CONTOURS:
            steps.append(partial(self.show_contours, state["contours"], self.form.levels.value))
        self.host.in_turns(steps)
        gone = [str(path) for band, path in named.items() if band not in there]
        if state.get("shown") and gone:
            raise SfhInputError(
                f"{', '.join(gone)}: HST mosaic is missing; put it back, or choose another under Data and press Show"
            )

    def release(self) -> None:
        """Paint no more."""
        self._timer.stop()
        self._painter.abandon()
        self.contour_lines.release()
        self.host.viewer.layers.events.inserted.disconnect(self._inserted)

    def _ask(self, _: object = None) -> None:
        self.host.exports.ask("Save picture", f"{self.host.exports.name()}_hst.pdf", FIGURES, self.save_picture)


def _draw_page(*parts: Any, **settings: Any) -> Any:
    """The page of the colours, with Matplotlib, which the thread of the work imports."""
    from napari_sfh.figures.colour_image import draw_colour_image

    return draw_colour_image(*parts, **settings)


def _ignore_progress(_: Progress) -> None:
    """Repainting is too short for a bar."""
