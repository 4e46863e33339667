"""The tool 'Emission lines': line maps, the gas's dust and oxygen as layers; gas against the young stars as a plot."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, PushButton

from napari_sfh._qt.canvas.layer_data import format_category_legend
from napari_sfh._qt.canvas.shown_map import Shown
from napari_sfh._qt.exports import FIGURES, TABLES
from napari_sfh._qt.forms.fields import fill_form, make_form, make_note_label, narrow_combo_box, read_form
from napari_sfh._qt.jobs import line_tasks, tool_tasks
from napari_sfh._qt.plots.gas_plots import GasPlots
from napari_sfh._qt.plots.side_plots import ToolDock, make_save_button
from napari_sfh._qt.tools.base import DockTool, Host
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.gas.gas_and_stars import GasDiagrams, derive_gas_diagrams
from napari_sfh.analysis.gas.line_maps import (
    BPT_CLASSES,
    BPT_COLORS,
    MIN_LINE_SNR,
    LineFluxes,
    describe_line_map,
    list_line_maps,
)
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

NO_LINES = "none"
#: Where lines come from that were measured in the spectra, in a workspace.
SPECTRA = "spectra"
_EMPTY = "Press Gas and young stars under Emission lines."


class LineForm:
    """Where the lines come from, which is on the canvas, what counts."""

    def __init__(self) -> None:
        self.from_maps = PushButton(text="Lines of the MAPS file", tooltip="Of the file under Data; spaxel by spaxel")
        self.from_spectra = PushButton(
            text="Measure in the spectra", tooltip="In each bin, over the stars of the prediction; some 5 ms a bin"
        )
        self.show = ComboBox(
            label="Show", value=NO_LINES, choices=[(NO_LINES, NO_LINES)], tooltip="Above the maps; none hides it"
        )
        self.legend = make_note_label()
        self.min_snr = FloatSpinBox(
            label="S/N at least",
            value=MIN_LINE_SNR,
            min=1.0,
            max=50.0,
            step=1.0,
            tooltip="Of each line, for dust, oxygen and BPT",
        )
        self.composite = CheckBox(
            text="oxygen of composite gas, too",
            value=False,
            tooltip="Between the lines of Kauffmann+ (2003) and Kewley+ (2001); AGN and LINER never get one",
        )
        self.plot = PushButton(text="Gas and young stars", tooltip="Metallicity, dust and the BPT diagram of the bins")
        self.table = PushButton(text="Save table…", tooltip="Lines, gas and young stars of every bin: ECSV or FITS")
        rows = [
            self.from_maps,
            self.from_spectra,
            narrow_combo_box(self.show),
            self.legend,
            self.min_snr,
            self.composite,
        ]
        self.container = make_form([*rows, self.plot, self.table])


class LineTool(DockTool):
    """Emission lines beside the stars."""

    name = "lines"
    title = "Emission lines"
    dock_title = "Gas and young stars"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = LineForm()
        self.container = self.form.container
        self.lines: LineFluxes | None = None
        self._result: Result | None = None
        self.source: Path | None = None
        self.form.from_maps.changed.connect(self._load_maps)
        self.form.from_spectra.changed.connect(self._load_spectra)
        self.form.show.changed.connect(self._show_changed)
        self.form.min_snr.changed.connect(self._refresh)
        self.form.composite.changed.connect(self._refresh)
        self.form.plot.changed.connect(self._plot_pressed)
        self.form.table.changed.connect(self._ask_table)
        host.stack.display.changed.connect(self._shown_changed)
        self._enable()

    # -- acts --------------------------------------------------------------------------------------------------

    def load(self, maps_path: Path | None) -> None:
        """Read the lines of a MAPS file, or (None) measure them in the bins' spectra.

        Raises
        ------
        SfhInputError
            There is no result.
        """
        work = partial(tool_tasks.load_line_fluxes, result=self.need_result(), maps_path=maps_path)
        button = self.form.from_spectra if maps_path is None else self.form.from_maps
        self.host.start(work, partial(self._loaded, self.need_result(), maps_path), str(button.text))

    def show(self, name: str) -> None:
        """Put one of `lines.names` on the canvas, or ``none``.

        Raises
        ------
        SfhInputError
            No lines are loaded, or not this one.
        """
        if name != NO_LINES and name not in list_line_maps(self._need_lines()):
            raise SfhInputError(
                f"line {name!r} is not there: choose one of {', '.join(list_line_maps(self._need_lines()))}"
            )
        self.form.show.value = name

    def plot(self) -> None:
        """Open the dock with gas against young stars.

        Raises
        ------
        SfhInputError
            No lines are loaded, or one of the four of O3N2 is missing.
        """
        drawn = derive_gas_diagrams(self.need_result(), self._need_lines(), self.form.composite.value)
        self.open_dock_with(partial(self._draw, drawn), self._mark, self._fill_dock)

    def _draw(self, drawn: GasDiagrams) -> None:
        self.plots.draw(drawn)

    def _fill_dock(self) -> None:
        self.prepare_dock().fill(True)

    def make_dock(self) -> ToolDock:
        """Diagrams of gas and young stars."""
        self.plots = GasPlots(get_palette(self.host.viewer.theme))
        self.plots.link(self.host.session, self.host.attempt)
        self.figure_button = make_save_button("Figure…", "The plot as PNG, PDF or SVG", self._ask_figure)
        self.table_button = make_save_button(
            "Table…", "Every bin's lines, gas, young stars: ECSV or FITS", self._ask_table
        )
        dock = ToolDock(self.host.viewer, [self.plots], None, [self.figure_button, self.table_button], _EMPTY)
        dock.seen.connect(self._mark)
        return dock

    def save_table(self, path: Path | str) -> None:
        """Write `gas_and_stars.build_gas_table`."""
        work = partial(line_tasks.save_line_table, **self._what(), path=Path(path))
        self.host.start(work, self.saved)

    def save_figure(self, path: Path | str) -> None:
        """Draw `figures.gas_and_stars.draw_gas_page`."""
        work = partial(line_tasks.save_gas_page, **self._what(), path=Path(path))
        self.host.start(work, self.saved)

    # -- what the explorer tells -------------------------------------------------------------------------------

    def suits(self, result: Result) -> bool:
        """Lines are measured over the stars of a prediction, and held against the young ones."""
        return result.prediction.has_histories

    def on_result(self, result: Result | None) -> None:
        """The lines were of another result."""
        if result is not self._result:
            self._result, self.lines = result, None
            self._fill()
            self._enable()
            self.host.stack.remove_layers("lines")
            self.empty_dock()

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """The shown bins stand out in the plots."""
        if self.dock is not None and self.lines is not None:
            self.dock.touch()

    def _mark(self) -> None:
        if self.lines is not None:
            self.plots.mark(self.host.session.list_marks())

    def describe(self, bin_id: int) -> str:
        """The median of the shown line (or quantity of the gas) over a bin's spaxels; their most frequent BPT class."""
        result, name = self.host.session.result, self.form.show.value
        layer = None if name == NO_LINES else self.host.stack.find("lines", name)
        if result is None or layer is None:
            return ""
        values = layer.data[result.bins.bin_id == bin_id]
        values = values[np.isfinite(values)]
        if name == "BPT" and values.size:
            return f"{layer.name}: {BPT_CLASSES[int(np.bincount(values.astype(int)).argmax())]}"
        told = f"{np.median(values):.4g}".replace("-", "−") if values.size else "none"
        return f"{layer.name}: {told}"

    def on_busy(self, busy: bool) -> None:
        """Nothing is started while work runs."""
        self._enable(busy)

    def state(self) -> dict[str, Any]:
        """The form; where the lines come from (None: not loaded), and whether they are plotted."""
        source = None if self.lines is None else self.source or SPECTRA
        return {**read_form(self.form), "source": source, "plotted": self.dock is not None and source is not None}

    def restore(self, state: dict[str, Any]) -> None:
        """The form; lines that were loaded are read or measured again."""
        fill_form(self.form, {name: value for name, value in state.items() if name in ("min_snr", "composite")})
        source = state.get("source")
        if source is None:
            return
        if source != SPECTRA and not Path(source).is_file():
            raise SfhInputError(
                f"{source}: the emission lines' MAPS file is missing; put it back, or press Measure in the spectra"
            )
        self.load(None if source == SPECTRA else Path(source))
        self.host.in_turns([partial(self._show_again, state)])

    def _show_again(self, state: dict[str, Any]) -> None:
        """What was shown of the lines, once they are there."""
        if self.lines is None:
            return
        self.host.attempt(partial(self.show, state.get("show", NO_LINES)))
        if state.get("plotted"):
            self.host.attempt(self.plot)

    def release(self) -> None:
        """Listen no longer; the layers stay."""
        self.host.stack.display.changed.disconnect(self._shown_changed, missing_ok=True)
        super().release()

    # -- within ------------------------------------------------------------------------------------------------

    def _what(self) -> dict[str, Any]:
        return {
            "result": self.need_result(),
            "lines": self._need_lines(),
            "composite": bool(self.form.composite.value),
        }

    def _need_lines(self) -> LineFluxes:
        if self.lines is None:
            raise SfhInputError("no lines yet: press Lines of the MAPS file, or Measure in the spectra")
        return self.lines

    def _load_maps(self, _: object = None) -> None:
        self.host.attempt(self._load_maps_of_form)

    def _load_maps_of_form(self) -> None:
        path = self.host.data.maps_path
        if path is None:
            raise SfhInputError("No MAPS file is chosen under Data: choose one, or press Measure in the spectra")
        self.load(path)

    def _load_spectra(self, _: object = None) -> None:
        self.host.attempt(partial(self.load, None))

    def _loaded(self, result: Result, source: Path | None, lines: LineFluxes) -> None:
        if result is not self.host.session.result:
            return
        self._result, self.lines, self.source = result, lines, source
        self._fill()
        self._enable()
        if len(self.form.show.choices) > 1:
            with self.form.show.changed.blocked():
                self.form.show.value = list_line_maps(lines)[0]
        self._refresh()
        if self.dock is not None:
            self.host.attempt(self.plot)
        self.host.show_message(f"Emission lines from {lines.source}.")

    def _fill(self) -> None:
        """Choices of what there is; nothing is shown."""
        found = () if self.lines is None else list_line_maps(self.lines)
        unit = "" if self.lines is None else self.lines.unit
        with self.form.show.changed.blocked():
            self.form.show.choices = [
                (NO_LINES, NO_LINES),
                *((describe_line_map(name, unit)[0], name) for name in found),
            ]
            self.form.show.value = NO_LINES

    def _enable(self, busy: bool = False) -> None:
        has = self.lines is not None and not busy
        self.form.from_maps.enabled = self.form.from_spectra.enabled = not busy
        for widget in (self.form.show, self.form.plot, self.form.table):
            widget.enabled = has
        if self.dock is not None:
            self.dock.enable(has)

    def _show_changed(self, _: object = None) -> None:
        self.host.attempt(self._show)

    def _refresh(self, _: object = None) -> None:
        """Draw what is shown anew."""
        self.host.stack.remove_layers("lines", keep=self.form.show.value)
        self.host.attempt(self._show)

    def _show(self) -> None:
        """One layer in the maps' place; those of other lines wait in the list, hidden."""
        name, display = self.form.show.value, self.host.stack.display
        result = self.host.session.result
        if self.lines is None or result is None or name == NO_LINES:
            display.withdraw()
            if display.shown.role == "lines":
                self.host.stack.show_map_again()
                self.host.stack.activate()
            return
        layer = line_tasks.make_line_layer(
            result, self.lines, name, self.host.session.sky, self.form.min_snr.value, self.form.composite.value
        )
        self.do_unpainted(*self.host.stack.list_show_steps(layer))
        self._tell_classes()
        if name == "OH" and not np.isfinite(layer[0]).any():
            self.host.show_message(
                "No gas is below the line of Kauffmann et al. (2003): see BPT, or tick composite gas."
            )

    def _tell_classes(self) -> None:
        """The BPT classes in their colours, with the number of spaxels of each, while they are on the canvas."""
        layer = self.host.stack.find("lines", "BPT")
        told = self.host.stack.display.shown == Shown("lines", "BPT") and layer is not None
        self.form.legend.visible = told
        if told:
            counts = [int((layer.data == k).sum()) for k in range(1, len(BPT_CLASSES))]
            self.form.legend.value = format_category_legend(
                [(color, f"{text}, spaxels", n) for color, text, n in zip(BPT_COLORS, BPT_CLASSES[1:], counts)]
            )

    def _shown_changed(self, shown: Shown) -> None:
        """The menu names the line that is on the canvas, whoever put it there."""
        self._tell_classes()
        name = shown.name if shown.role == "lines" else NO_LINES
        with self.form.show.changed.blocked():
            if name in self.form.show.choices:
                self.form.show.value = name

    def _plot_pressed(self, _: object = None) -> None:
        self.host.attempt(self.plot)

    def _ask_table(self, _: object = None) -> None:
        self.host.exports.ask("Save table", f"{self.host.exports.name()}_lines.ecsv", TABLES, self.save_table)

    def _ask_figure(self, _: object = None) -> None:
        self.host.exports.ask("Save figure", f"{self.host.exports.name()}_gas_stars.pdf", FIGURES, self.save_figure)
