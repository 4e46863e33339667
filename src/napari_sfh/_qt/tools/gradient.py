"""The tool 'Gradient': a disc typed or dragged as an ellipse on the map, and the radial gradients in its plane."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, PushButton
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink
from napari_sfh._qt.canvas.result_layers import keep_selection
from napari_sfh._qt.exports import FIGURES, TABLES
from napari_sfh._qt.forms.fields import fill_form, make_form, make_form_row, read_form
from napari_sfh._qt.plots.brush import BrushLink
from napari_sfh._qt.plots.gradient_plot import GradientPlot
from napari_sfh._qt.plots.side_plots import SideText, ToolDock, make_save_button
from napari_sfh._qt.tools.base import DockTool, Host, KeyAct
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis import gradients, tables
from napari_sfh.analysis.disc import MAX_INCLINATION, Disc, guess_disc
from napari_sfh.analysis.drawing.bin_drawing import COLORS
from napari_sfh.analysis.gradients import GRADIENT_QUANTITIES, Gradient, GradientFitSettings
from napari_sfh.analysis.sky_coordinates import SkyGrid, parse_radec
from napari_sfh.analysis.stellar_mass import parse_distance
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import Progress, Result

LAYER = "SFH disc"
#: What a fit was made of: the disc, the range and kind of line, whether bins out of depth were left out.
FormState = tuple[Disc, GradientFitSettings, bool] | None
#: Where the form says another disc or another fit than the one that is shown.
FORMER = "Of a former ellipse or range, not of the form's: press Fit."
_EMPTY = "Press Guess under Gradient in the dock, look at the ellipse on the map, and press Fit."


def compute_ellipse_corners(disc: Disc, sky: SkyGrid) -> NDArray[np.float64]:
    """Corners (4, 2), pixels (y, x), of the box around the ellipse R = R_e: how a Shapes layer holds it.

    Parameters
    ----------
    disc : Disc
    sky : SkyGrid
        The grid of the result.
    """
    x, y = sky.wcs.celestial.wcs_world2pix(disc.ra_deg, disc.dec_deg, 0)
    centre = sky.to_world(np.array([[float(y), float(x)]]))[0]
    major, minor = disc.axes()[:, ::-1]  # (north, east), as the world's axes
    box = [centre - major - minor, centre + major - minor, centre + major + minor, centre - major + minor]
    return sky.to_pixel(np.array(box))


def disc_from_ellipse(corners: NDArray[np.floating], sky: SkyGrid, before: Disc) -> Disc:
    """The disc of an ellipse that was dragged; the distance is kept.

    Parameters
    ----------
    corners : array (4, 2 or more)
        Corners of the ellipse's box in the canvas' coordinates.
    sky : SkyGrid
    before : Disc
        Its distance is kept.

    Returns
    -------
    Disc
    """
    world = sky.to_world(np.asarray(corners, dtype=float)[:, -2:])
    ra, dec = sky.radec_deg(world.mean(0))
    half = np.array([world[1] - world[0], world[2] - world[1]]) / 2
    return replace(before, ra_deg=ra, dec_deg=dec).reshaped(half[:, ::-1])


def guess_result_disc(progress: ReportProgress, cancel: threading.Event, result: Result) -> Disc:
    """First guess of the disc, as work for the thread."""
    report_progress(Progress("shape of the white light", 0, 0), progress, cancel)
    return guess_disc(result.white, result.wcs)


def save_gradients(
    progress: ReportProgress, cancel: threading.Event, result: Result, found: Mapping[str, Gradient], path: Path
) -> Path:
    """Write gradients: a figure or tables, as the name's ending says.

    Parameters
    ----------
    result : Result
    found : Mapping of str to Gradient
        By quantity.
    path : Path
        A table (`tables.TABLE_SUFFIXES`) or a figure.
    """
    report_progress(Progress("saving the gradients", 0, 0), progress, cancel)
    if path.suffix.lower() in tables.TABLE_SUFFIXES:
        return tables.write_tables(tables.build_gradient_tables(result, found), path)
    from napari_sfh.figures.files import save_figure
    from napari_sfh.figures.gradient import draw_gradient_page

    return save_figure(draw_gradient_page(result, found), path)


class GradientForm:
    """Centre, shape and distance of the disc; range and kind of the fit."""

    def __init__(self, distance: LineEdit) -> None:
        self.distance = distance
        self.centre = LineEdit(
            label="Centre",
            tooltip="RA and Dec, ICRS: 24.174 15.783 in degrees, or 01:36:41.75 +15:47:01.2, 01h36m41.75s +15d47m01.2s",
        )
        self.pa = _make_spin_box("PA (°)", -360, 360, 0, "Position angle of the major axis, from north through east")
        self.inclination = _make_spin_box(
            "Incl. (°)", 0, MAX_INCLINATION, 0, "Inclination; 0 = face-on; the disc is taken as thin"
        )
        self.r_e = _make_spin_box("Rₑ (″)", 0.01, 9999, 5, "Effective radius along the major axis, arcsec", step=0.1)
        self.r_min = _make_spin_box("From (Rₑ)", 0, 99, 0, "Bins inside are not fitted", step=0.1)
        self.r_max = _make_spin_box("To (Rₑ)", 0.1, 99, 1.5, "Bins outside are not fitted", step=0.1)
        self.method = ComboBox(
            label="Line",
            choices=["robust", "weighted"],
            value="robust",
            tooltip="robust: Huber's weights, single odd bins hardly count; weighted: by the errors and the scatter",
        )
        self.trusted = CheckBox(
            text="only bins within depth", value=True, tooltip="Leave out bins where the network warns: stars, nuclei"
        )
        self.ellipse = CheckBox(
            text="drag the ellipse on the map",
            value=False,
            tooltip="The ellipse has the half-axes Rₑ and Rₑ cos i: move, stretch and turn it with the mouse; "
            "clicks still select bins",
        )
        self.guess = PushButton(text="Guess", tooltip="From the moments of the white light; look at the ellipse")
        self.fit = PushButton(text="Fit", tooltip="Gradients of all quantities, with a bootstrap (Alt+A)")
        self.buttons = make_form_row([self.guess, self.fit])
        self.container = make_form(
            [
                *(self.buttons, self.ellipse, self.centre, self.pa, self.inclination, self.r_e),
                *(self.r_min, self.r_max, self.method, self.trusted),
            ]
        )

    @property
    def shape(self) -> tuple[Any, ...]:
        """The fields that make the disc."""
        return self.centre, self.pa, self.inclination, self.r_e, self.distance

    def disc(self) -> Disc:
        """What is typed.

        Raises
        ------
        SfhInputError
            Centre or distance are no numbers, or no disc can be so.
        """
        ra, dec = self.read_centre()
        distance = parse_distance(self.distance.value)
        return Disc(ra, dec, self.pa.value, self.inclination.value, self.r_e.value, distance)

    def read_centre(self) -> tuple[float, float]:
        """RA and Dec that are typed, degrees.

        Raises
        ------
        SfhInputError
            They are no coordinates.
        """
        try:
            return parse_radec(self.centre.value)
        except SfhInputError as error:
            raise SfhInputError(f"centre: {error}; or press Guess") from None

    def put(self, disc: Disc) -> None:
        """Show a disc; the distance field stays."""
        for field in self.shape:
            field.changed.block()
        self.centre.value = f"{disc.ra_deg:.6f} {disc.dec_deg:+.6f}"
        self.pa.value = round(disc.pa_deg, 1)
        self.inclination.value = round(disc.inclination_deg, 1)
        self.r_e.value = round(disc.r_e_arcsec, 2)
        for field in self.shape:
            field.changed.unblock()

    def read(self) -> FormState:
        """Disc and way of fitting, to be compared; None where what is typed is no disc."""
        try:
            return self.disc(), self.settings(), bool(self.trusted.value)
        except SfhInputError:
            return None

    def settings(self) -> GradientFitSettings:
        """How to fit."""
        return GradientFitSettings(r_min=self.r_min.value, r_max=self.r_max.value, method=self.method.value)


def _make_spin_box(label: str, low: float, high: float, value: float, tip: str, step: float = 1.0) -> FloatSpinBox:
    return FloatSpinBox(label=label, min=low, max=high, value=value, step=step, tooltip=tip)


def _format_cells(made: Gradient) -> tuple[str, str]:
    """A gradient for a table: its quantity, its slopes a line each."""
    title, slopes = made.text().rsplit(",", 1)[0].split(": ", 1)
    return title, slopes.replace("/Re", "/Rₑ").replace(" (", "<br>").rstrip(")").replace(" ", "&nbsp;")


class GradientTool(DockTool):
    """Radial gradients of the shown result."""

    name = "gradient"
    title = "Gradient"
    dock_title = "Gradient"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = GradientForm(host.export.distance)
        self.container = self.form.container
        self.found: dict[str, Gradient] = {}
        self._fitted_form: FormState = None
        self._disc: dict[str, Any] = {}  # the form when it held a disc last
        self._layer: Any = None
        self._syncing = False
        self._reading = QTimer(self.widget)
        self._reading.setSingleShot(True)
        self._reading.timeout.connect(self._read_ellipse)
        self.form.guess.changed.connect(self._press_guess)
        self.form.fit.changed.connect(self._press_fit)
        self.form.ellipse.changed.connect(self._toggle_ellipse)
        for field in self.form.shape:
            field.changed.connect(self._typed)
        self.form.centre.native.editingFinished.connect(make_weak_slot(self._check_centre))
        for field in (self.form.r_min, self.form.r_max, self.form.method, self.form.trusted):
            field.changed.connect(self._tell_age)

    def _check_centre(self, _: object = None) -> None:
        if self.form.centre.value.strip():
            self.check_field(self.form.read_centre)

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-A fits."""
        return {"Alt-A": self._press_fit}

    # -- acts --------------------------------------------------------------------------------------------------

    def guess(self) -> None:
        """Fill the form from the white light, in the background.

        Raises
        ------
        SfhInputError
            There is no result.
        """
        self.host.start(partial(guess_result_disc, result=self.need_result()), self._guessed, "Guess")

    def _press_guess(self, _: object = None) -> None:
        self.press(self.guess)

    def _press_fit(self, _: object = None) -> None:
        self.press(self.fit)

    def set_disc(self, disc: Disc) -> None:
        """Take a disc over into the form and onto the map."""
        self.form.put(disc)
        self._tell_age()
        if disc.distance_mpc is not None:
            self.form.distance.value = f"{disc.distance_mpc:g}"
        self._place()

    def fit(self) -> None:
        """Fit all quantities in the background and show them; a disc that is not typed is guessed first.

        Raises
        ------
        SfhInputError
            There is no result, or what is typed is no disc.
        """
        self.need_result()
        self.host.when_ready(self._fit_or_guess)

    def _fit_or_guess(self) -> None:
        if not self.form.centre.value.strip():
            self.host.start(partial(guess_result_disc, result=self.need_result()), self._guessed_then_fit, "Fit")
        else:
            self._fit()

    def _fit(self) -> None:
        result = self.need_result()
        disc, settings = self.form.disc(), self.form.settings()
        use = gradients.select_trusted_bins(result) if self.form.trusted.value else None
        self.host.start(
            lambda progress, cancel: gradients.fit_all_gradients(result, disc, settings, use, progress, cancel),
            partial(self._fitted, self.form.read()),
            "Fit",
        )

    def save(self, path: Path | str) -> None:
        """Write the gradients: PNG, PDF, SVG, ECSV or FITS.

        Raises
        ------
        SfhInputError
            Nothing was fitted yet.
        """
        result = self.host.session.result
        if result is None or not self.found:
            raise SfhInputError("no gradient was fitted yet: press Fit first")
        self.host.start(partial(save_gradients, result=result, found=self.found, path=Path(path)), self.saved)

    # -- what happens ------------------------------------------------------------------------------------------

    def on_result(self, result: Result | None) -> None:
        """What was fitted was another galaxy's, or another run's."""
        self.found = {}
        if result is None:
            self.form.ellipse.value = False
        if result is None or not self._is_disc_on(result):
            self._disc = {}
            with self.form.centre.changed.blocked():
                self.form.centre.value = ""
        self.empty_dock()
        self._place()

    def _is_disc_on(self, result: Result) -> bool:
        """Whether the typed centre lies in a result's field: else it is another galaxy's, and is guessed anew."""
        try:
            disc = self.form.disc()
        except SfhInputError:
            return True  # whoever typed it is told at the fit
        x, y = (float(v) for v in result.wcs.celestial.world_to_pixel_values(disc.ra_deg, disc.dec_deg))
        ny, nx = result.bins.bin_id.shape
        return -0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """Mark the shown bins, and those inside regions, among the points."""
        if self.dock is not None and self.found:
            self.dock.touch()

    def _mark(self) -> None:
        if self.found:
            self.plot.mark(self.found[self.quantity.value], self.host.session.list_marks())

    def on_busy(self, busy: bool) -> None:
        """One piece of work at a time."""
        for button in (self.form.guess, self.form.fit):
            button.enabled = not busy
        if self.dock is not None:
            self.dock.enable(not busy and bool(self.found))

    def _guessed(self, disc: Disc) -> None:
        self.set_disc(disc)
        self.host.show_message("Guessed from the white light: look at the ellipse on the map, then press Fit.")
        self.form.ellipse.value = True

    def _guessed_then_fit(self, disc: Disc) -> None:
        self.set_disc(disc)
        self.host.attempt(self._fit)

    def _fitted(self, form: FormState, found: dict[str, Gradient]) -> None:
        self.found, self._fitted_form = found, form
        self.open_dock_with(self._offer, self._show)

    def _offer(self) -> None:
        """The quantities that were fitted."""
        found = self.found
        if not found:
            return
        self.prepare_dock().fill(True)
        with self.quantity.changed.blocked():
            self.quantity.choices = [(GRADIENT_QUANTITIES[name][1], name) for name in found]
        self.host.show_message(found[self.quantity.value].text().replace("/Re", "/Rₑ") + ".")

    # -- dock --------------------------------------------------------------------------------------------------

    def make_dock(self) -> ToolDock:
        """A quantity against the radius, and the slopes of all."""
        choices = [(title, name) for name, (_, title, _) in GRADIENT_QUANTITIES.items()]
        self.quantity = ComboBox(label="Quantity", choices=choices, tooltip="What is plotted")
        self.quantity.changed.connect(self._show)
        self.figure_button = make_save_button("Figure…", "All quantities as PNG, PDF or SVG", self._ask_figure)
        self.table_button = make_save_button("Tables…", "Fits, running medians, bins as ECSV or FITS", self._ask_table)
        self.plot, self.words = GradientPlot(get_palette(self.host.viewer.theme)), SideText()
        self._brush = BrushLink(self.plot.box, self.host.session, self.host.attempt)
        fields = [self.quantity, self.figure_button, self.table_button]
        dock = ToolDock(self.host.viewer, [self.plot], self.words, fields, _EMPTY)
        dock.seen.connect(self._mark)
        return dock

    def _show(self, _: object = None) -> None:
        if not self.found:
            return
        shown = self.found[self.quantity.value]
        self.plot.draw(shown)
        self._mark()
        self._tell()

    def _tell(self) -> None:
        """The slopes of all quantities in words."""
        shown = self.found[self.quantity.value]
        rows = "".join(f"<tr><td>{'</td><td>'.join(_format_cells(made))}</td></tr>" for made in self.found.values())
        legend = self.plot.legend()
        note = (
            f"{shown.settings.method} line through {int(shown.used.sum())} bins; errors from {shown.settings.draws} "
            "bootstrap draws. What all bins have "
            "wrong together (the network's bias, centre, inclination) is not in them."
        )
        is_former = self.form.read() != self._fitted_form
        color = get_palette(self.host.viewer.theme).shade(COLORS[5])
        former = f'<b><span style="color:{color}">{FORMER}</span></b><br>' if is_former else ""
        self.words.setText(f'{former}{legend}<table cellspacing="0" cellpadding="2">{rows}</table><br>{note}')

    def _tell_age(self, _: object = None) -> None:
        """Say whether what is shown is still what the form says."""
        self._keep_disc()
        if self.dock is not None and self.found:
            self._tell()

    def _ask_figure(self, _: object = None) -> None:
        self.host.exports.ask("Save figure", f"{self.host.exports.name()}_gradients.pdf", FIGURES, self.save)

    def _ask_table(self, _: object = None) -> None:
        self.host.exports.ask("Save tables", f"{self.host.exports.name()}_gradients.ecsv", TABLES, self.save)

    # -- the ellipse -------------------------------------------------------------------------------------------

    def _toggle_ellipse(self, shown: bool) -> None:
        if shown:
            self._place()
            return
        layer = self._find()
        if layer is not None:
            layer.mode = "pan_zoom"
            layer.visible = False
            self.host.stack.activate()

    def _find(self) -> Any:
        return self._layer if self._layer is not None and self._layer in self.host.viewer.layers else None

    def _place(self) -> None:
        """Bring the ellipse on the map in line with the form."""
        result = self.host.session.result
        if result is None or not self.form.ellipse.value or self._syncing:
            return
        try:
            corners = compute_ellipse_corners(self.form.disc(), self.host.session.sky)
        except SfhInputError:
            return
        layer = self._find()
        if layer is None:
            self.do_unpainted(partial(self._ensure_layer, result), self._place)
            return
        self._syncing = True
        try:
            layer.visible = True
            layer.mode = "pan_zoom"
            layer.data = []
            layer.add(corners, shape_type="ellipse")
            self.host.viewer.layers.selection.active = layer
            layer.mode = "select"
            layer.selected_data = {0}
        finally:
            self._syncing = False

    def _ensure_layer(self, result: Result) -> None:
        """An empty layer for the ellipse, if there is none."""
        if self._find() is not None or result is not self.host.session.result:
            return
        layer = Shapes(
            name=LAYER,
            ndim=2,
            face_color="transparent",
            edge_color="#f0e442",
            edge_width=max(result.bins.bin_id.shape) / 80,
            metadata={KEY: LayerLink("disc", "", result)},
            **self.host.session.sky.transform(),
        )
        with keep_selection(self.host.viewer.layers):
            self._layer = self.host.viewer.add_layer(layer)
        self._layer.events.data.connect(self._dragged)

    def _dragged(self, event: Any) -> None:
        """Read the form from the ellipse once a drag is over, outside of the layer's own event."""
        if not self._syncing and str(getattr(event, "action", "")) == "changed":
            self._reading.start()

    def _read_ellipse(self) -> None:
        layer = self._find()
        if layer is None or len(layer.data) != 1 or self.host.session.result is None:
            return
        try:
            before = self.form.disc()
        except SfhInputError:
            return
        self.host.attempt(lambda: self.form.put(disc_from_ellipse(layer.data[0], self.host.session.sky, before)))
        self._tell_age()

    def _typed(self, _: object = None) -> None:
        self._place()
        self._tell_age()

    # -- the end -----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The form, with the last disc where what is typed is none; whether it was fitted, and what is plotted."""
        quantity = "AGE_LW" if self.dock is None else self.quantity.value
        self._keep_disc()
        return {**read_form(self.form), **self._disc, "fitted": bool(self.found), "quantity": quantity}

    def _keep_disc(self) -> None:
        """Keep what the form holds if it is a disc: the map and the fit are of the last one."""
        with suppress(SfhInputError):
            self.form.disc()
            self._disc = read_form(self.form)

    def restore(self, state: dict[str, Any]) -> None:
        """Fill the form; the ellipse follows, and what was fitted is fitted again: its seed is fixed."""
        fill_form(self.form, state)
        self._place()
        if state.get("fitted"):
            self.host.in_turns([partial(self.host.attempt, self._fit), partial(self._plot_again, state)])

    def _plot_again(self, state: dict[str, Any]) -> None:
        """The quantity that was plotted."""
        if self.dock is not None and state.get("quantity") in self.quantity.choices:
            self.quantity.value = state["quantity"]

    def release(self) -> None:
        """Listen no longer; the ellipse stays."""
        layer = self._find()
        if layer is not None:
            layer.events.data.disconnect(self._dragged)
        self._layer = None
        self._reading.stop()
        self.found = {}
        super().release()
