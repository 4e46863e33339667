"""The tool 'Cube': its spectra under the cursor and in apertures, and images over ranges, before any run and after."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, FloatSpinBox, LineEdit, PushButton
from numpy.typing import NDArray

from napari_sfh._qt.canvas.apertures import CIRCLE, ApertureLayer
from napari_sfh._qt.canvas.drawn_shapes import SHAPES
from napari_sfh._qt.canvas.interaction import make_weak_hover
from napari_sfh._qt.canvas.layer_data import get_layer_link
from napari_sfh._qt.exports import TABLES
from napari_sfh._qt.forms.fields import (
    connect_whole_text,
    fill_form,
    make_form,
    make_form_row,
    narrow_combo_box,
    read_form,
)
from napari_sfh._qt.jobs import cube_tasks
from napari_sfh._qt.jobs.cube_tasks import ROLE, OpenedCube
from napari_sfh._qt.jobs.latest import LatestJob
from napari_sfh._qt.jobs.workers import explain_error
from napari_sfh._qt.plots.cube_plot import RANGES, CubePlot, NamedSpectrum
from napari_sfh._qt.plots.side_plots import ToolDock, make_save_button
from napari_sfh._qt.tools.base import Host, Tool
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.analysis.exploration.cube_spectra import find_polygon_spaxels
from napari_sfh.analysis.exploration.range_images import Range, RangeImage
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Cube, Progress, Result

CUBE_DOCK = "Spectra of the cube"
IMAGES = "FITS files (*.fits)"
_RANGE_TIP = (
    "Å, observed in air: 6540-6580; or drag it in the spectrum. Whole channels are taken: the image's title has their "
    "edges"
)
_EMPTY = "Open a cube: the spectrum under the cursor is shown here."
_RANGE_LABELS = {"range": "Image over", "left": "Continuum left", "right": "Continuum right"}


def parse_range(text: str, label: str) -> Range | None:
    """Two wavelengths in AA (``6540-6580``); None where there is no text.

    Parameters
    ----------
    text : str
    label : str
        Of the field, for the message.

    Raises
    ------
    SfhInputError
        Not two positive numbers.
    """
    words = text.replace("–", " ").replace("-", " ").replace("Å", " ").split()
    if not words:
        return None
    try:
        low, high = sorted(float(word) for word in words)
    except ValueError:
        low = high = 0.0
    if not 0 < low < high:
        raise SfhInputError(f"{label}: {text!r} is no range of wavelength in Å; write 6540-6580, or leave it empty")
    return low, high


class CubeForm:
    """What is read from a cube, and how."""

    def __init__(self) -> None:
        self.statistic = ComboBox(
            label="Apertures", choices=["mean", "sum", "median"], value="mean", tooltip="Of the spaxels of an aperture"
        )
        self.radius = FloatSpinBox(
            label="Cursor radius",
            value=0.0,
            min=0.0,
            max=60.0,
            step=0.2,
            tooltip="Arcsec: the mean within it is shown under the cursor; 0: a single spaxel",
        )
        shapes = [(CIRCLE, CIRCLE), *((name, name) for name in SHAPES)]
        self.shape = ComboBox(label="Shape", choices=shapes, value=CIRCLE, tooltip="What the mouse draws")
        self.draw = PushButton(text="Draw", tooltip="Draw an aperture in place of the others; Ctrl + drag: a circle")
        self.add = PushButton(text="Draw another", tooltip="A further aperture; Ctrl + Shift + drag: a circle")
        self.clear = PushButton(text="Clear", tooltip="Take apertures and ranges away")
        self.open = PushButton(
            text="Spectra and images", tooltip="The spectrum under the cursor; needs the cube: choose it under Data"
        )
        for name, label in _RANGE_LABELS.items():
            edit = LineEdit(label=label, tooltip=_RANGE_TIP)
            edit.native.setPlaceholderText("none")
            setattr(self, name, edit)
        rows: list[Any] = [self.open, narrow_combo_box(self.statistic), self.radius, narrow_combo_box(self.shape)]
        rows += [make_form_row([self.draw, self.add]), *self.edits.values(), self.clear]
        self.container = make_form(rows)

    @property
    def edits(self) -> dict[str, LineEdit]:
        """The fields of the ranges, by `RANGES`."""
        return {name: getattr(self, name) for name in RANGES}

    def read_ranges(self) -> dict[str, Range]:
        """The ranges that are typed; those of continuum count beside one of the image only."""
        typed = {name: parse_range(edit.value, edit.label) for name, edit in self.edits.items()}
        found = {name: ends for name, ends in typed.items() if ends is not None}
        return found if "range" in found else {}

    def write_ranges(self, ranges: dict[str, Range]) -> None:
        """Fill the fields; nobody is told."""
        for name, edit in self.edits.items():
            with edit.changed.blocked():
                ends = ranges.get(name)
                edit.value = "" if ends is None else f"{ends[0]:.1f}-{ends[1]:.1f}"


class CubeTool(Tool):
    """Spectra and images of the cube."""

    name = "cube"
    title = "Cube"
    needs_result = False

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = CubeForm()
        self.container = self.form.container
        self.opened: OpenedCube | None = None
        self.image: RangeImage | None = None
        self.dock: ToolDock | None = None
        self._sky: SkyGrid | None = None
        self._place: NDArray[np.float64] | None = None
        self._kept = 0
        self.apertures = ApertureLayer(host.viewer, self._read_apertures)
        self._preparing = LatestJob(self._prepared, self._failed, on_progress=self._tell_progress)
        self._cursor_job = LatestJob(self._show_cursor, self._failed)
        self._aperture_job = LatestJob(self._show_apertures, self._failed, interrupts=True)
        self._image_job = LatestJob(self._show_image, self._image_failed, interrupts=True)
        self._hover = make_weak_hover(self._hovered)
        host.viewer.mouse_move_callbacks.append(self._hover)
        form = self.form
        form.open.changed.connect(self._open_pressed)
        form.draw.changed.connect(self.draw_aperture)
        form.add.changed.connect(self.add_aperture)
        form.clear.changed.connect(self.clear)
        form.statistic.changed.connect(self._read_apertures)
        form.radius.changed.connect(self._read_cursor)
        for edit in form.edits.values():
            connect_whole_text(edit, self._typed)
        host.data.redshift.changed.connect(self._redshift_typed)

    # -- acts --------------------------------------------------------------------------------------------------

    @property
    def working(self) -> bool:
        """True while something is being read."""
        jobs = (self._preparing, self._cursor_job, self._aperture_job, self._image_job)
        return any(job.running for job in jobs)

    def show_cube(self, cube: Cube | OpenedCube) -> None:
        """Explore a cube: its dock comes up."""
        self._close()
        self.opened = opened = cube if isinstance(cube, OpenedCube) else OpenedCube(cube)
        self._place_cube()
        dock, label = self._make_dock(), opened.format_label(self.form.statistic.value)
        dock.fill(True)
        self.plot.set_cube(opened.cube.wave_aa, label, self._find_redshift())
        self.host.show_dock(CUBE_DOCK, dock)
        self.on_busy(self.host.busy)
        self._preparing.ask(partial(cube_tasks.prepare_cube, opened=opened))

    def open(self) -> None:
        """Explore the cube of the form, or the one that the result was made of.

        Raises
        ------
        SfhInputError
            There is none.
        """
        if self.opened is not None and self.dock is not None:
            self.host.show_dock(CUBE_DOCK, self.dock)
            return
        self.host.start(partial(cube_tasks.open_cube, path=self._find_cube(), hdu=self._find_hdu()), self.show_cube)

    def draw_aperture(self, _: object = None) -> None:
        """Let the mouse draw an aperture in place of the others."""
        self.apertures.draw(self.form.shape.value)

    def add_aperture(self, _: object = None) -> None:
        """Let the mouse draw a further aperture."""
        self.apertures.draw(self.form.shape.value, add=True)

    def set_ranges(self, **ranges: Range) -> None:
        """Show the image over ``range`` (AA), without the continuum of ``left`` and ``right`` where they are given."""
        self.form.write_ranges(ranges)
        self._typed()

    def clear(self, _: object = None) -> None:
        """Take apertures, ranges and the image away."""
        self.apertures.clear()
        self.set_ranges()

    def keep_image(self) -> None:
        """Let the image stay as a layer of its own while other ranges are tried.

        Raises
        ------
        SfhInputError
            There is none.
        """
        image = self._need_image()
        self._kept += 1
        self.host.stack.show_layer(self._make_layer(image, f"kept {self._kept}"))

    def save_spectra(self, path: Path | str) -> None:
        """Write what the plot shows as a table."""
        columns, notes = self.plot.list_columns(), self._describe_spectra()
        work = partial(cube_tasks.save_spectra, columns=columns, notes=notes, opened=self._need_cube(), path=Path(path))
        self.host.start(work, self.saved)

    def _describe_spectra(self) -> dict[str, str]:
        """Of each column of spectra, where it is from."""
        notes, opened, sky = {}, self._need_cube(), self._sky
        if sky is not None and self._place is not None:
            radius = float(self.form.radius.value)
            what = f"mean within {radius:g} arcsec of" if radius > 0 else "the spaxel at"
            notes["cursor"] = f"{what} {sky.radec_text(self._place)}"
        for k, polygon in enumerate(self.apertures.list_polygons()):
            n_spaxels = find_polygon_spaxels(opened.shape, polygon).size
            middle = (polygon.min(axis=0) + polygon.max(axis=0)) / 2
            place = "" if sky is None else f" around {sky.radec_text(sky.to_world(middle[None, :])[0])}"
            notes[f"aperture_{k + 1}"] = f"{self.form.statistic.value} of {n_spaxels} spaxels{place}"
        return notes

    def save_image(self, path: Path | str) -> None:
        """Write the image as FITS."""
        work = partial(cube_tasks.save_range_image, image=self._need_image(), opened=self._need_cube(), path=Path(path))
        self.host.start(work, self.saved)

    # -- what the explorer tells -------------------------------------------------------------------------------

    def on_result(self, result: Result | None) -> None:
        """The cube of a result stays, on its sky; another one goes."""
        if result is None or self.opened is None or self.opened.cube.path.name != _name_cube(result):
            self._close()
        else:
            shapes = self.apertures.list_shapes()
            self._place_cube()
            self.apertures.put(shapes)

    def describe(self, bin_id: int) -> str:
        """The spaxel under the cursor and the value of the image there."""
        if self.opened is None or self._sky is None or self._place is None:
            return ""
        y, x = (round(float(v)) for v in self._sky.to_pixel(self._place[None, :])[0])
        ny, nx = self.opened.shape
        shown = self.host.stack.display.shown
        on_map = self.host.session.result is not None and shown.role != ROLE
        if on_map or not (0 <= y < ny and 0 <= x < nx):
            return ""
        layer = self.host.stack.find(ROLE, shown.name) if shown.role == ROLE else self.host.stack.find("white")
        if layer is None or layer.data.shape != (ny, nx):
            return ""
        link = get_layer_link(layer.metadata)
        return f"x {x + 1}, y {y + 1}: {layer.data[y, x]:.4g} {'' if link is None else link.unit}".rstrip()

    def on_busy(self, busy: bool) -> None:
        """Buttons that start work wait for its end."""
        known = self.opened is not None
        self.form.open.enabled = not busy and (known or self._find_cube_path() is not None)
        for widget in (self.form.draw, self.form.add, self.form.clear):
            widget.enabled = known
        if self.dock is not None:
            self.dock.enable(known and not busy)

    def state(self) -> dict[str, Any]:
        """The form, and corners and kind of each aperture."""
        return {**read_form(self.form), "apertures": self.apertures.list_shapes(), "shown": self.opened is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """The form; a cube that was explored is opened again."""
        known = (*RANGES, "statistic", "radius", "shape")
        fill_form(self.form, {name: value for name, value in state.items() if name in known})
        if not state.get("shown"):
            return
        if self.opened is None:
            self.open()
        self.host.in_turns([partial(self._restore_drawn, state)])

    def _restore_drawn(self, state: dict[str, Any]) -> None:
        if self.opened is not None:
            self.apertures.put([(np.asarray(corners), kind) for corners, kind in state.get("apertures", [])])
            self.set_ranges(**{name: ends for name in RANGES if (ends := parse_range(state.get(name, ""), name))})

    def release(self) -> None:
        """Let go of the viewer; the layers stay."""
        if self._hover in self.host.viewer.mouse_move_callbacks:
            self.host.viewer.mouse_move_callbacks.remove(self._hover)
        self._abandon()
        self.apertures.release()
        if self.dock is not None:
            self.dock.release()

    # -- within ------------------------------------------------------------------------------------------------

    def _abandon(self) -> None:
        for job in (self._preparing, self._cursor_job, self._aperture_job, self._image_job):
            job.abandon()

    def _close(self) -> None:
        """The cube has gone."""
        if self.opened is None:
            return
        self.opened = self.image = None
        for job in (self._preparing, self._cursor_job, self._aperture_job, self._image_job):
            job.drop()
        self.apertures.set_sky(None)
        self.form.write_ranges({})
        self.host.stack.remove_layers(ROLE)
        if self.dock is not None:
            self.dock.fill(False)

    def _place_cube(self) -> None:
        """Where the cube lies on the canvas: offsets count from the result's centre, where there is one."""
        cube = self._need_cube().cube
        session = self.host.session
        self._sky = SkyGrid.of(cube.wcs, cube.shape[1:], None if session.result is None else session.sky)
        session.look_at(self._sky)
        self.apertures.set_sky(self._sky, cube.shape[1:])

    def _make_dock(self) -> ToolDock:
        if self.dock is None:
            self.plot = CubePlot(get_palette(self.host.viewer.theme))
            self.plot.ranges_changed.connect(self._dragged)
            fields = [
                make_save_button("Draw aperture", "A circle from its centre; or Ctrl + drag", self._draw_pressed),
                make_save_button("Keep image", "Keep it as a layer while other ranges are tried", self._keep_pressed),
                make_save_button("Image…", "The image over the range as FITS", self._ask_image),
                make_save_button("Spectra…", "What is drawn, as a table: ECSV or FITS", self._ask_spectra),
            ]
            self.dock = ToolDock(self.host.viewer, [self.plot], None, fields, _EMPTY)
            for job in (self._preparing, self._cursor_job, self._aperture_job, self._image_job):
                self.dock.destroyed.connect(partial(LatestJob.abandon, job))
        return self.dock

    def _find_redshift(self) -> float | None:
        """Of the form, else of the cube."""
        with_text = self.host.data.redshift.value
        try:
            return float(with_text)
        except (TypeError, ValueError):
            return self._need_cube().cube.redshift

    def _redshift_typed(self, _: object = None) -> None:
        """The named lines stand where the form has them."""
        if self.opened is not None and self.dock is not None:
            self.plot.set_redshift(self._find_redshift())

    def _find_cube_path(self) -> Path | None:
        path: Path | None = self.host.data.cube_path
        result = self.host.session.result
        if path is None and result is not None:
            named = Path(str(result.settings.get("cube", "")))
            path = named if named.name and named.is_file() else None
        return path

    def _find_hdu(self) -> str | None:
        """Which cube of the file: that of the form, or that of the result where the cube is the result's."""
        if self.host.data.cube_path is not None or self.host.session.result is None:
            hdu: str | None = self.host.data.chosen_hdu
            return hdu
        chosen = self.host.session.result.settings.get("hdu")
        return None if chosen is None else str(chosen)

    def _find_cube(self) -> Path:
        path = self._find_cube_path()
        if path is None:
            raise SfhInputError("no cube is chosen under Data, and that of the result is not where it was: choose it")
        return path

    def _need_cube(self) -> OpenedCube:
        if self.opened is None:
            raise SfhInputError("no cube is open: choose one under Data, or press Spectra and images")
        return self.opened

    def _need_image(self) -> RangeImage:
        if self.image is None:
            raise SfhInputError("no image over a range yet: drag a range in the spectrum of the cube")
        return self.image

    def _open_pressed(self, _: object = None) -> None:
        self.host.attempt(self.open)

    def _draw_pressed(self, _: object = None) -> None:
        self.apertures.draw(CIRCLE)

    def _keep_pressed(self, _: object = None) -> None:
        self.host.attempt(self.keep_image)

    def _ask_spectra(self, _: object = None) -> None:
        self.host.exports.ask_file("Save spectra", f"{self._stem()}_spectra.ecsv", TABLES, self.save_spectra)

    def _ask_image(self, _: object = None) -> None:
        self.host.exports.ask_file("Save image", f"{self._stem()}_image.fits", IMAGES, self.save_image)

    def _stem(self) -> str:
        return "cube" if self.opened is None else str(self.opened.cube.name).replace(" ", "_").replace("/", "_")

    def _tell_progress(self, step: Progress) -> None:
        if self.opened is not None:
            share = f": {100 * step.done / step.total:.0f} %" if step.total else ""
            self.plot.tell(f"{step.stage}{share}")

    def _failed(self, error: Exception) -> None:
        self.host.show_message(explain_error(error)[0], error=True)

    # -- spectra -----------------------------------------------------------------------------------------------

    @property
    def _is_ready(self) -> bool:
        return self.opened is not None and self.opened.spectra.is_ready

    def _prepared(self, opened: OpenedCube) -> None:
        if opened is self.opened:
            self.plot.tell("")
            self._read_cursor()
            self._read_apertures()
            self._make_image()

    def _hovered(self, event: Any) -> None:
        self._place = np.asarray(event.position[-2:], dtype=np.float64)
        if self.dock is not None and not self.dock.visibleRegion().isEmpty():
            self._read_cursor()

    def _read_cursor(self, _: object = None) -> None:
        opened = self.opened
        if opened is None or not self._is_ready or self._place is None or self._sky is None:
            return
        y, x = (float(v) for v in self._sky.to_pixel(self._place[None, :])[0])
        radius = float(self.form.radius.value) / self._sky.pixel_arcsec
        work = partial(cube_tasks.read_cursor_spectrum, opened=opened, place_yx=(y, x), radius=radius)
        self._cursor_job.ask(work)

    def _show_cursor(self, flux: NDArray[np.float64]) -> None:
        if self.opened is not None and flux.size == self.opened.cube.wave_aa.size:
            self.plot.set_cursor(flux)

    def _read_apertures(self, _: object = None) -> None:
        opened = self.opened
        if opened is None or not self._is_ready:
            return
        polygons = self.apertures.list_polygons()
        statistic = self.form.statistic.value
        self.plot.set_label(opened.format_label(statistic))
        work = partial(cube_tasks.read_aperture_spectra, opened=opened, polygons=polygons, statistic=statistic)
        self._aperture_job.ask(work)

    def _show_apertures(self, found: Sequence[tuple[int, NDArray[np.float64]]]) -> None:
        n = 0 if self.opened is None else self.opened.cube.wave_aa.size
        spectra = [
            NamedSpectrum(f"aperture {k + 1}", choose_color(k), flux)
            for k, (_, flux) in enumerate(found)
            if flux.size == n
        ]
        self.plot.set_spectra(spectra)

    # -- images ------------------------------------------------------------------------------------------------

    def _typed(self, _: object = None) -> None:
        if self.opened is not None and self.check_field(self._take_typed):
            self._make_image()

    def _take_typed(self) -> None:
        self.plot.set_ranges(self.form.read_ranges())

    def _dragged(self) -> None:
        self.form.write_ranges(self.plot.ranges)
        self._make_image()

    def _make_image(self) -> None:
        opened = self.opened
        if opened is None or not self._is_ready:
            return
        ranges = dict(self.plot.ranges)
        if "range" in ranges:
            self._image_job.ask(partial(cube_tasks.make_range_image, opened=opened, ranges=ranges))
            return
        self._image_job.drop()
        self.image = None
        self.host.stack.remove_layers(ROLE)

    def _image_failed(self, error: Exception) -> None:
        """An image of other ranges must not stand beside those that were refused."""
        self.image = None
        layer = self.host.stack.find(ROLE)
        if layer is not None:
            self.host.viewer.layers.remove(layer)
        self._failed(error)

    def _make_layer(self, image: RangeImage, name: str = "") -> Any:
        opened, sky = self._need_cube(), self._sky
        if sky is None:
            raise SfhInputError("the cube has no place on the canvas: open it again")
        return cube_tasks.make_range_layer(image, sky, name, opened.cube.path, opened.cube.hdu)

    def _show_image(self, image: RangeImage) -> None:
        if self.opened is not None and image.values.shape == self.opened.shape:
            self.image = image
            self.host.stack.show_layer(self._make_layer(image))


def _name_cube(result: Result) -> str:
    return Path(str(result.settings.get("cube", ""))).name
