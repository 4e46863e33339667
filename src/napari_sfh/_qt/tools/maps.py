"""The tool 'Maps': which map is on the canvas, which bins are left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, LineEdit, PushButton, Slider
from napari._qt.widgets.qt_dims_slider import QtDimSliderWidget
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer

from napari_sfh._qt.canvas.layer_data import FIRST_MAP, format_flag_legend, format_map_title, get_layer_link
from napari_sfh._qt.canvas.shown_map import GRID, NOTHING, TYPED, Shown
from napari_sfh._qt.canvas.sky_axes import SKY_STYLES
from napari_sfh._qt.forms.fields import (
    fill_form,
    make_form,
    make_form_row,
    make_note_label,
    narrow_combo_box,
    read_form,
)
from napari_sfh._qt.session import list_region_masses
from napari_sfh._qt.tools.base import Host, KeyAct, Tool
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh.analysis import maps
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import Z_SUN
from napari_sfh.types import FLAG_MEANING, Result

#: Keys on the canvas, and the place among the main maps of what each shows (or what it toggles).
MAP_KEYS = {
    "Alt-1": "0",
    "Alt-2": "1",
    "Alt-3": "2",
    "Alt-4": "3",
    "Alt-E": "error",
    "Alt-G": "grid",
}
#: The choice of no map: the white light is seen, or a line or a difference has taken its place.
NO_MAP = ""
NONE = "none"
#: What the maps are, for their tips.
MEANING = {
    NO_MAP: "No map: the white light, or a line map or difference chosen below",
    "AGE_LW": "Mean of log age (yr), weighted by V-band light: led by the young",
    "AGE_MW": "Mean of log age (yr), weighted by the mass formed: led by the old",
    "MH_LW": f"Mean [M/H] (dex, solar Z = {Z_SUN}), weighted by V-band light",
    "MH_MW": f"Mean [M/H] (dex, solar Z = {Z_SUN}), weighted by the mass formed",
    "EBV": "Reddening of the stars within the galaxy, mag",
    "SNR": "Signal to noise of the bin's spectrum, per pixel in 5300-5500 Å",
    "OOD": "How unlike the training set the bin is: above 1 the network is not to be believed",
    "FLAG": "What is to be known of a bin: the first of its flags, in the colours listed below",
    "MASS": "Stellar mass formed per area; no distance is needed; IMF of the templates (Kroupa for BC03-MILES)",
    **{
        f"SFR_{word}": f"Mean star-formation rate per area over the last {text}; no distance is needed"
        for word, text, _ in maps.SFR_TIMES
    },
    "ML_V": "Mass formed over V light without dust, solar units",
    **{f"T{10 * k}": f"Lookback time at which {10 * k} % of the mass had formed" for k in range(1, 10)},
    **{
        f"PRIOR_{name}": "Width of the posterior over that of the prior: near 1 the prior decides, near 0 the data"
        for name in maps.MEAN_MAPS
    },
    "V": "Velocity of the stars against the galaxy's redshift",
    "SIGMA": "Velocity dispersion of the stars, before broadening",
    "CHI2": "Of the spectrum and its model, per degree of freedom",
    "MISFIT_RMS": "Difference of spectrum and model beyond the noise, a share of the light",
    "MISFIT_NARROW": "Narrow differences of spectrum and model over what noise makes of them",
    "MISFIT_SLOPE": "How much steeper the spectrum is than the bands, both over the model",
    "MISFIT_V": "Velocity of the stars' lines against the model's: a wrong redshift or velocity",
    "MISFIT_SIGMA": "Width of the stars' lines beyond the model's: a wrong dispersion or line-spread function",
    "LG_AGE": "Age (log yr) as the weights define it: see their model card",
    "AGE_LW_GYR": "Mean age (Gyr), weighted by V-band light",
    "AGE_MW_GYR": "Mean age (Gyr), weighted by the mass formed",
    "MASS_AGE": "Mean share of each age bin in the mass formed; the slider below the map runs over age",
    "LIGHT_AGE": "Share of each age bin in the V light; the slider below the map runs over age",
    "MASS_YOUNGER": "Median share of the mass formed after the age at the slider, as in the plot of the mass formed",
    "LIGHT_YOUNGER": "Share of the V light of stars younger than the age at the slider below the map",
    "MH_AGE": "Metallicity of the stars of each age; the slider below the map runs over age",
}


def describe_map(name: str) -> str:
    """What a map means; its title where nothing more is known."""
    return MEANING.get(name) or maps.MAPS[name].title


#: Every bit of FLAG.
ANY_FLAG = sum(int(bit) for bit in FLAG_MEANING)
#: Numbers of maps in words.
_COUNTS = {2: "two", 3: "three", 4: "four"}
#: Milliseconds after a map is painted at which its layer controls are made.
CONTROLS_MS = 120


class MapForm:
    """Which map is on the canvas."""

    def __init__(self, distance: LineEdit) -> None:
        names = [n for n in maps.MAPS if not n.endswith("_ERR")]
        self.quantity = ComboBox(
            label="Map",
            choices=[(NONE, NO_MAP), *((format_map_title(n), n) for n in names)],
            value=FIRST_MAP,
        )
        self.explain()
        self.quantity.changed.connect(self.explain)
        self.error = CheckBox(
            text="1 σ error of this map", value=False, tooltip="Half of the 16-84 % width; also with Alt+E"
        )
        self.grid = CheckBox(
            text="four maps side by side", value=False, tooltip="LW and MW age and [M/H]; also with Alt+G"
        )
        self._add_hiding_fields()
        self.limits = ComboBox(
            label="Limits",
            choices=[*((text, how) for how, text in map_limits.LIMITS.items()), ("typed", TYPED)],
            value="shared",
            tooltip="Of the colours; “typed”: those below, or of the layer's own contrast limits",
        )
        self.low, self.high = (
            LineEdit(tooltip=f"{which} limit of the shown map's colours; type a number and press Enter")
            for which in ("Lower", "Upper")
        )
        self.typed = make_form_row([self.low, self.high])
        self.typed.label = "From, to"
        self.legend = make_note_label()
        self._add_ages_fields()
        self._add_view_fields()
        self.totals = make_note_label()
        masses = [narrow_combo_box(self.ages_kind), self.ages, distance, self.totals]
        rows: list[Any] = [
            narrow_combo_box(self.quantity),
            self.legend,
            self.error,
            self.grid,
            narrow_combo_box(self.limits),
        ]
        rows += [
            self.typed,
            narrow_combo_box(self.sky),
            self.min_snr,
            self.hide_flagged,
            narrow_combo_box(self.flags),
            *masses,
        ]
        self.container = make_form(rows)

    def _add_hiding_fields(self) -> None:
        """Fields that leave bins out of the maps."""
        self.min_snr = Slider(
            label="S/N at least", value=0, min=0, max=100, tooltip="Bins with a lower S/N are left out of the maps"
        )
        self.hide_flagged = CheckBox(
            text="hide bins out of depth",
            value=False,
            tooltip="Leave out the bins where the network is not to be believed",
        )
        self.flags = ComboBox(
            label="Hide bins",
            choices=[
                ("none", 0),
                ("with any flag", ANY_FLAG),
                *((text, int(bit)) for bit, text in FLAG_MEANING.items()),
            ],
            value=0,
            tooltip="Leave out the bins that carry a flag",
        )

    def _add_view_fields(self) -> None:
        """Fields of what is drawn beside the maps."""
        self.sky = ComboBox(
            label="Edges",
            choices=[(text, style) for style, text in SKY_STYLES.items()],
            value="ticks",
            tooltip="Right ascension and declination (ICRS) on the canvas, with a compass; also with Alt+N",
        )

    def _add_ages_fields(self) -> None:
        """Fields of the map between two ages."""
        self.ages_kind = ComboBox(
            choices=[(words, kind) for kind, words in maps.AGES_KINDS.items()],
            tooltip="What is shown of the stars between two ages",
        )
        self.youngest, self.oldest = (
            LineEdit(value=value, tooltip=f"{which} age in Gyr") for value, which in (("0", "Lower"), ("0.1", "Upper"))
        )
        self.ages_button = PushButton(text="Show", tooltip="A map of the stars between these ages; it joins the menu")
        self.ages = make_form_row([self.youngest, self.oldest, self.ages_button])
        self.ages.label = "Ages (Gyr)"
        self.ages_kind.label = "Between"

    def explain(self, _: object = None) -> None:
        """Say in the field's tip, and in those of its entries, what the maps are."""
        native = self.quantity.native
        for k, name in enumerate(self.quantity.choices):
            native.setItemData(k, describe_map(str(name)), Qt.ItemDataRole.ToolTipRole)
        self.quantity.tooltip = (
            f"{describe_map(str(self.quantity.value))}. Alt+1 to Alt+4: LW age, MW age, LW [M/H], MW [M/H]"
        )

    def set_maps(self, names: Sequence[str]) -> None:
        """Offer these maps; the chosen one stays chosen if it is among them."""
        shown = [(NONE, NO_MAP), *((format_map_title(n), n) for n in names if not n.endswith("_ERR"))]
        with self.quantity.changed.blocked():
            chosen = self.quantity.value
            self.quantity.choices = shown
            self.quantity.value = chosen if chosen in self.quantity.choices else NO_MAP
        self.explain()

    def follow_prediction(self, result: Result) -> None:
        """Ages can be told apart by histories only; the grid has as many maps as the weights have main ones."""
        self.ages_kind.enabled = self.ages.enabled = result.prediction.has_histories
        n = len(maps.list_main_maps(result))
        self.grid.text = f"{_COUNTS.get(n, n)} maps side by side"
        self.grid.enabled = n > 1

    def name_other(self, title: str) -> None:
        """Say at the entry without a map what is on the canvas in its place; empty: nothing."""
        self.quantity.native.setItemText(0, title or NONE)

    def limit_snr(self, result: Result | None) -> None:
        """Let the slider run over the S/N of a result, and show all bins."""
        top = 100.0 if result is None else float(np.nanmax(result.data.snr, initial=1.0))
        with self.min_snr.changed.blocked(), self.hide_flagged.changed.blocked(), self.flags.changed.blocked():
            self.flags.value = 0
            self.min_snr.value = 0
            self.min_snr.max = int(np.ceil(top))
            self.hide_flagged.value = False

    def hidden(self, result: Result) -> NDArray[np.bool_] | None:
        """Bins (N,) that slider, check box and flags leave out; None when they show all."""
        if self.min_snr.value <= 0 and not self.hide_flagged.value and not self.flags.value:
            return None
        hidden: NDArray[np.bool_] = ~(result.data.snr >= self.min_snr.value)
        if self.hide_flagged.value:
            hidden |= ~(result.prediction.ood <= 1)
        hidden |= (result.flag & self.flags.value) > 0
        return hidden

    @property
    def name(self) -> str:
        """Name of the chosen map in `maps.MAPS`."""
        name: str = self.quantity.value
        return f"{name}_ERR" if self.error.value and f"{name}_ERR" in maps.MAPS else name


class MapTool(Tool):
    """Switches maps, errors and the grid of four; hides bins."""

    name = "maps"
    title = "Maps"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = MapForm(host.export.distance)
        self.container = self.form.container
        self._held = True
        self._activate = QTimer(self.widget)
        self._activate.setSingleShot(True)
        self._activate.setInterval(CONTROLS_MS)
        self._activate.timeout.connect(host.stack.activate)
        self.form.quantity.changed.connect(self._chosen)
        self.form.error.changed.connect(self._chosen)
        self.form.grid.changed.connect(self._grid_ticked)
        host.stack.display.changed.connect(self._shown_changed)
        for signal in (self.form.min_snr.changed, self.form.hide_flagged.changed, self.form.flags.changed):
            signal.connect(self._hide)
        self.form.limits.changed.connect(self._limits_chosen)
        self._wide_slot = make_weak_slot(self._follow_slider)
        host.viewer.dims.events.axis_labels.connect(self._wide_slot)
        self.form.limits.native.activated.connect(make_weak_slot(self._limits_chosen_again))
        self.form.ages_button.changed.connect(self._ages_pressed)
        host.export.distance.changed.connect(self._distance_typed)
        host.export.distance.native.editingFinished.connect(self._check_distance)
        self.form.low.native.editingFinished.connect(make_weak_slot(self._low_typed))
        self.form.high.native.editingFinished.connect(make_weak_slot(self._high_typed))
        self._watched: Any = None

    def shortcuts(self) -> dict[str, KeyAct]:
        """`MAP_KEYS`."""
        return dict.fromkeys(MAP_KEYS, self._key)

    def show(self, name: str) -> None:
        """Put the map ``name`` (a key of `maps.MAPS`) on the canvas."""
        if self._held:
            self.host.stack.choose_map(name)
        else:
            self.host.stack.show(name)

    def _show_in_turns(self, name: str) -> None:
        """The same after a key or a click: a map without a layer gets it in one turn, and is shown in the next."""
        stack = self.host.stack
        if self._held or name not in maps.MAPS or stack.find("map", name) is not None:
            self.show(name)
        else:
            self.do_unpainted(partial(stack.prepare_map, name), stack.display.show_later(Shown("map", name)))

    def show_four(self) -> None:
        """Put the main maps side by side, where the weights have more than one."""
        self.form.grid.value = len(self.host.stack.display.main_maps) > 1

    def show_ages(self, kind: str, low_gyr: float, high_gyr: float) -> None:
        """Show the stars between two ages in Gyr: a kind of `maps.AGES_KINDS`.

        Raises
        ------
        SfhInputError
            There is no result, it has no histories, or the ages do not rise.
        """
        self.show(self._add_ages(kind, low_gyr, high_gyr))

    def _add_ages(self, kind: str, low_gyr: float, high_gyr: float) -> str:
        """Name of the map between two ages, which joins the menu."""
        result = self.need_result()
        name = maps.name_ages_map(kind, low_gyr, high_gyr)
        maps.add_ages_map(name)
        if name not in maps.list_result_maps(result):
            raise SfhInputError("these weights predict no histories: ages cannot be told apart")
        self.form.set_maps(maps.list_result_maps(result))
        return name

    def _ages_pressed(self, _: object = None) -> None:
        self.check_field(self._show_typed_ages)

    def _show_typed_ages(self) -> None:
        texts = str(self.form.youngest.value), str(self.form.oldest.value)
        try:
            low, high = (float(text.replace(",", ".")) for text in texts)
        except ValueError:
            raise SfhInputError(f"ages: {' to '.join(texts)} given; type two numbers in Gyr") from None
        self._show_in_turns(self._add_ages(str(self.form.ages_kind.value), low, high))

    def _distance_typed(self, _: object = None) -> None:
        try:
            self._tell_totals()
        except SfhInputError:  # half typed; an act that needs it says what is wrong
            self.form.totals.visible = False

    def _check_distance(self) -> None:
        """The field is left: a distance that is none is told."""
        self.check_field(self._tell_totals)

    def _tell_totals(self) -> None:
        """Mass and rate of all bins in absolute units, once the distance is known."""
        result = self.host.session.result
        distance = self.host.export.distance_mpc
        self.host.session.distance_mpc = distance
        rows = () if result is None else list_region_masses(result, np.arange(result.bins.n_bins), distance)
        told = "; ".join(f"{row.label} {row.text}" for row in rows)
        self.form.totals.value = f"All bins: {told}. IMF of the templates (Kroupa for BC03-MILES)." if told else ""
        self.form.totals.visible = bool(told)

    def hold(self) -> None:
        """Leave the canvas alone while the layers of another result come in."""
        self._held = True

    def on_result(self, result: Result | None) -> None:
        """All bins are shown again."""
        self._held = False
        if result is not None:
            self.form.set_maps(maps.list_result_maps(result))
            self.form.follow_prediction(result)
        self.form.limit_snr(result)
        self._distance_typed()
        if self.form.limits.value not in ("shared", TYPED):
            self.host.stack.set_limits(self.form.limits.value)
        self._shown_changed(self.host.stack.display.shown)

    def state(self) -> dict[str, Any]:
        """The form; typed limits are kept with their layers."""
        return {name: value for name, value in read_form(self.form).items() if name not in ("low", "high")}

    def restore(self, state: dict[str, Any]) -> None:
        """The form; the grid comes last, it shows the other choices."""
        if maps.add_ages_map(str(state.get("quantity", ""))) and self.host.session.result is not None:
            self.form.set_maps(maps.list_result_maps(self.host.session.result))
        fill_form(self.form, {key: value for key, value in state.items() if key != "grid"})
        self.form.grid.value = bool(state.get("grid", False))

    def release(self) -> None:
        """No late change of the active layer."""
        self._activate.stop()
        self.host.viewer.dims.events.axis_labels.disconnect(self._wide_slot)
        self.host.stack.display.changed.disconnect(self._shown_changed, missing_ok=True)
        self._watch(None)

    def _watch(self, layer: Any) -> None:
        """Tell the limits of a layer in the form, whoever sets them."""
        if self._watched is not None:
            self._watched.events.contrast_limits.disconnect(self._limits_changed)
        self._watched = layer
        if layer is not None:
            layer.events.contrast_limits.connect(self._limits_changed)
        self._tell_limits()

    def _follow_slider(self, _: Any = None) -> None:
        """Another age: what is under the cursor has another value.

        napari gives the words beside a slider their room when somebody types them, and not when they are set.
        """
        self.host.refresh_cursor()
        for slider in self.widget.window().findChildren(QtDimSliderWidget):
            slider.axis_label.textChanged.emit(slider.axis_label.text())

    def _limits_changed(self, _: Any = None) -> None:
        self.host.stack.note_limits()
        self._tell_limits()

    def _tell_limits(self, _: Any = None) -> None:
        layer = self._watched
        of_values = layer is not None and self.host.stack.display.shown.name != "FLAG"
        self.form.typed.enabled = of_values
        self.form.limits.enabled = self.host.stack.display.shown.name != "FLAG"  # categories have their colours
        with self.form.limits.changed.blocked():
            self.form.limits.value = self.host.stack.limits_of_shown
        for field, text in zip((self.form.low, self.form.high), self._format_limits()):
            field.value = text

    def _format_limits(self) -> tuple[str, ...]:
        """As they stand in their fields."""
        layer = self._watched
        return ("", "") if layer is None else tuple(f"{value:.4g}" for value in layer.contrast_limits)

    def _low_typed(self, _: Any = None) -> None:
        self._limits_typed(self.form.high)

    def _high_typed(self, _: Any = None) -> None:
        self._limits_typed(self.form.low)

    def _limits_typed(self, other: LineEdit) -> None:
        """A limit was typed; one on the wrong side of the other waits while the keyboard is there."""
        low, high = self._read_limits()
        if not (low >= high and other.native.hasFocus()):
            self.check_field(self._take_limits)
            self._tell_limits()

    def _read_limits(self) -> tuple[float, float]:
        """The numbers in the fields; NaN where one is none."""
        texts = str(self.form.low.value), str(self.form.high.value)
        try:
            low, high = (float(text.replace("−", "-").replace(",", ".")) for text in texts)
        except ValueError:
            return np.nan, np.nan
        return low, high

    def _take_limits(self) -> None:
        texts = str(self.form.low.value), str(self.form.high.value)
        if self._watched is None or texts == self._format_limits():
            return
        low, high = self._read_limits()
        if not (np.isfinite([low, high]).all() and low < high):
            raise SfhInputError(f"limits: {' to '.join(texts)} given; type two numbers, the lower first")
        self.host.stack.type_limits(low, high)

    def _limits_chosen(self, how: str) -> None:
        if how != TYPED:
            self.host.stack.set_limits(how)

    def _limits_chosen_again(self, _: Any = None) -> None:
        """The entry that is shown already acts, too: limits may have been dragged since."""
        self._limits_chosen(str(self.form.limits.value))

    def _shown_changed(self, shown: Shown) -> None:
        """The menu names what is on the canvas, whoever put it there."""
        fields = (self.form.quantity, self.form.error, self.form.grid)
        for field in fields:
            field.changed.block()
        self.form.grid.value = shown == GRID
        if shown != GRID:
            name = shown.name if shown.role == "map" else NO_MAP
            self.form.quantity.value = name.removesuffix("_ERR")
        self.form.error.value = shown.role == "map" and shown.name.endswith("_ERR")
        self.form.error.enabled = shown == GRID or f"{self.form.quantity.value}_ERR" in maps.MAPS
        for field in fields:
            field.changed.unblock()
        self.form.name_other(self._title_of(shown))
        self.form.explain()
        result = self.host.session.result
        flags = shown == Shown("map", "FLAG") and result is not None
        self.form.legend.value = format_flag_legend(result) if flags and result is not None else ""
        self.form.legend.visible = flags
        self._watch(self.host.stack.display.find_layer(shown))
        self.host.refresh_cursor()
        # The layer's controls come after the map is painted.
        self._activate.start()

    def _title_of(self, shown: Shown) -> str:
        """Title of what is on the canvas in the place of a map; empty for nothing, a map, or the four."""
        link = None if (layer := self.host.stack.display.find_layer(shown)) is None else get_layer_link(layer.metadata)
        if layer is None or link is None or shown.role == "map":
            return ""
        return str(layer.name).removesuffix(f"[{link.unit}]").strip()

    def _chosen(self, _: object = None) -> None:
        """A map was chosen in the form, or its error; the grid ends."""
        name = self.form.name
        if self._held:
            self.host.stack.choose_map(name or self.host.stack.display.main_maps[0])
        elif name != NO_MAP:
            self._show_in_turns(name)
        else:
            self.host.stack.display.show(NOTHING)

    def _grid_ticked(self, on: bool) -> None:
        if self._held or self.host.session.result is None:
            with self.form.grid.changed.blocked():
                self.form.grid.value = False
            return
        display = self.host.stack.display
        steps = display.list_grid_steps() if on else [partial(display.toggle_grid, False)]
        self.do_unpainted(lambda: [step() for step in steps])
        self.host.refresh_cursor()

    def _hide(self, _: object = None) -> None:
        result = self.host.session.result
        if result is not None and not self._held:
            self.host.stack.hide_bins(self.form.hidden(result))

    def _key(self, key: str) -> None:
        act = MAP_KEYS[key]
        if self.host.session.result is None:
            return
        if act == "error":
            if f"{self.host.stack.current.removesuffix('_ERR')}_ERR" not in maps.MAPS:
                return
            self.form.error.value = not self.form.error.value
        elif act == "grid":
            self.form.grid.value = not self.host.stack.display.is_grid
        elif int(act) < len(self.host.stack.display.main_maps):
            self._show_in_turns(self.host.stack.display.main_maps[int(act)])
