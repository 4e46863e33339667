"""The tool 'Compare': another answer for the same galaxy. Difference map, one-to-one plot, SFHs of the same bin."""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, PushButton, Slider
from numpy.typing import NDArray

from napari_sfh import demo
from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, LayerTuple
from napari_sfh._qt.canvas.shown_map import Shown
from napari_sfh._qt.exports import FIGURES, TABLES
from napari_sfh._qt.forms.fields import fill_form, make_file_edit, make_form, narrow_combo_box, read_form
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.plots.brush import BrushLink
from napari_sfh._qt.plots.side_plots import (
    HistoryLegend,
    HistoryPlots,
    OneToOne,
    ToolDock,
    format_comparison_scatter,
    format_side_by_side,
    make_save_button,
    make_sfh_kind_choice,
    shorten_name,
)
from napari_sfh._qt.tools.base import DockTool, Host, KeyAct
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh._qt.widgets.wording import shorten_middle
from napari_sfh.analysis import maps
from napari_sfh.analysis.comparison import history_comparison
from napari_sfh.analysis.comparison import map_comparison as comparing
from napari_sfh.analysis.comparison.history_comparison import BinHistory
from napari_sfh.analysis.comparison.map_comparison import Comparison
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.sky_coordinates import is_same_field
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Result

_EMPTY = (
    "Load another answer under Compare: a result of another run or network, GIST/nGIST tables, a MAPS file with ages."
)
SHADES = "RdBu_r"
DIFFERENCE = Shown("difference", "")
#: What is compared with, in a workspace, where it is no file.
TRUTH = "truth"


class CompareForm:
    """What is compared, and how it is shown."""

    def __init__(self) -> None:
        self.file = make_file_edit(
            "Other result", "Of another run or network, GIST/nGIST tables, or a MAPS file with ages"
        )
        self.load = PushButton(text="Load", tooltip="Read it and match its bins on the sky")
        self.truth = PushButton(text="Compare with the mock's truth", tooltip="What the mock spiral was made of")
        self.mean = ComboBox(
            label="Quantity",
            choices=[(maps.MAPS[n].title, n) for n in maps.SCALAR_MAPS],
            value="AGE_LW",
            tooltip="What the plot and the difference map show",
        )
        self.difference = CheckBox(
            text="difference map",
            value=False,
            tooltip="This result minus the other; blue = lower, red = higher (Alt+D)",
        )
        self.min_snr = Slider(label="S/N at least", value=0, min=0, max=100, tooltip="Bins below it are not compared")
        rows = [self.file, self.load, self.truth, narrow_combo_box(self.mean), self.difference, self.min_snr]
        self.container = make_form(rows)


class ComparisonTool(DockTool):
    """Another answer beside the network's."""

    name = "compare"
    title = "Compare"
    dock_title = "Comparison"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = CompareForm()
        self.container = self.form.container
        self._result: Result | None = None
        self.comparison: Comparison | None = None
        self.source: Path | None = None
        self._again: dict[str, Any] | None = None  # what to compare with the result that has come
        self.form.load.changed.connect(self._load)
        self.form.truth.changed.connect(self._press_truth)
        self.form.mean.changed.connect(self._refresh)
        self.form.min_snr.changed.connect(self._refresh)
        self.form.difference.changed.connect(self._show_difference)
        host.stack.display.changed.connect(self._shown_changed)

    def make_dock(self) -> ToolDock:
        """Both answers against each other, and their SFHs in a bin."""
        colors = get_palette(self.host.viewer.theme)
        self.plot, self.sfhs, self.legend = OneToOne(colors), HistoryPlots(colors, spectrum=False), HistoryLegend()
        self._brush = BrushLink(self.plot.box, self.host.session, self.host.attempt)
        self.kind = make_sfh_kind_choice(self._kind_changed)
        self.figure_button = make_save_button(
            "Figure…", "Maps, differences and plots as PNG, PDF or SVG", self._ask_figure
        )
        self.table_button = make_save_button("Table…", "Both answers for every bin as ECSV or FITS", self._ask_table)
        self.bin_button = make_save_button(
            "Table of the bin…", "The selected bin's SFHs as ECSV or FITS", self._ask_bin
        )
        fields = [self.kind, self.figure_button, self.table_button, self.bin_button]
        dock = ToolDock(self.host.viewer, [self.plot, self.sfhs], self.legend, fields, _EMPTY)
        dock.seen.connect(self._show_bin)
        return dock

    # -- acts --------------------------------------------------------------------------------------------------

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-D shows and hides the difference map."""
        return {"Alt-D": self._toggle_difference}

    def load(self, path: Path | str) -> None:
        """Read another answer and show it.

        Raises
        ------
        SfhInputError
            There is no result to compare it with.
        """
        self._start(Path(path).expanduser())

    def load_truth(self) -> None:
        """Compare with what the mock spiral was made of.

        Raises
        ------
        SfhInputError
            There is no result.
        """
        self._start(None)

    def _press_truth(self, _: object = None) -> None:
        self.press(self.load_truth)

    def show_mean(self, name: str) -> None:
        """Show a quantity, a key of `maps.SCALAR_MAPS`."""
        self.form.mean.value = name

    def save_figure(self, path: Path | str) -> None:
        """Draw maps, differences and one-to-one plots as PNG, PDF or SVG."""
        draw = partial(_draw_page, self._known(), self._use())
        self.host.start(partial(tool_tasks.draw_and_save_figure, draw=draw, path=Path(path)), self.saved)

    def save_table(self, path: Path | str) -> None:
        """Write both answers for every bin as ECSV."""
        table = comparing.build_comparison_table(self._known())
        self.host.start(partial(tool_tasks.save_single_table, table=table, path=Path(path)), self.saved)

    def save_bin(self, path: Path | str) -> None:
        """Write the selected bin's SFHs from both as ECSV; its numbers, where the weights predict no SFH."""
        self._known()
        bin_id = self.host.session.selected
        if not bin_id:
            raise SfhInputError("no bin is selected: click one on the map first")
        if self._has_histories:
            table = history_comparison.build_history_table(self._compared_histories(bin_id), bin_id)
        else:
            table = comparing.build_comparison_table(self._known())[bin_id - 1 : bin_id]
        self.host.start(partial(tool_tasks.save_single_table, table=table, path=Path(path)), self.saved)

    # -- the comparison ----------------------------------------------------------------------------------------

    def _load(self, _: object = None) -> None:
        text = self.form.file.line_edit.value.strip()
        if not text:
            self.host.show_message("Other result: no file is chosen; choose a result, GIST/nGIST or MAPS.", error=True)
            return
        self.host.attempt(partial(self.load, text))

    def _start(self, path: Path | None) -> None:
        result = self.need_result()
        work = partial(tool_tasks.load_comparison, path=path, result=result)
        button = self.form.truth if path is None else self.form.load
        self.host.start(work, partial(self._loaded, result, path), str(button.text))

    def _loaded(self, result: Result, source: Path | None, comparison: Comparison) -> None:
        if result is not self.host.session.result:
            return
        self.comparison, self.source = comparison, source
        shown = [n for n, key in maps.SCALAR_MAPS.items() if key in comparison.means]
        with self.form.mean.changed.blocked():
            self.form.mean.choices = [(maps.MAPS[n].title, n) for n in shown]
        self.open_dock_with(self._suit_dock, self._refresh)
        compared = int(comparison.find_compared().sum())
        notes = "".join(f" Note: {note}." for note in comparison.other.notes)
        self.host.show_message(f"{comparison.other.name}: {compared} of {comparison.share.size} bins compared.{notes}")

    def _suit_dock(self) -> None:
        """No place for histories where none are compared."""
        for part in (self.sfhs, self.kind.native) if self.comparison is not None else ():
            part.setVisible(self._has_histories)

    def _known(self) -> Comparison:
        if self.comparison is None:
            raise SfhInputError("nothing is compared yet: load another answer under Compare first")
        return self.comparison

    @property
    def key(self) -> str:
        """The shown quantity's name in `physics.quantities`."""
        return maps.SCALAR_MAPS[self.form.mean.value]

    @property
    def _unit(self) -> str:
        """Of differences of the shown quantity."""
        return QUANTITIES[self.key].error_unit

    @property
    def _has_histories(self) -> bool:
        """Whether SFHs are compared, and not only numbers."""
        return self._known().result.prediction.has_histories

    @property
    def _difference_title(self) -> str:
        known = self._known()
        return f"{maps.MAPS[self.form.mean.value].title}: {known.own_name} − {known.other.name}"

    def _use(self) -> NDArray[np.bool_]:
        """Bins (N,) that are compared."""
        return np.asarray(self._known().result.data.snr >= self.form.min_snr.value)

    def _refresh(self, _: object = None) -> None:
        """Bring plot, text and difference map in line with the form."""
        comparison = self.comparison
        self.form.difference.enabled = self.form.mean.enabled = comparison is not None
        if self.dock is not None:
            self.dock.fill(comparison is not None, self.host.busy)
        if comparison is None or self.dock is None:
            return
        self.plot.draw(comparison, self.key, self._use())
        self._show_bin()
        self._show_difference()

    def _compared_histories(self, bin_id: int) -> list[BinHistory]:
        return [
            history_comparison.history_from_network(self._known().result, bin_id),
            history_comparison.history_from_comparison(self._known(), bin_id),
        ]

    def _show_bin(self) -> None:
        """The selected bin in both plots."""
        comparison, bin_id = self.comparison, self.host.session.selected
        if comparison is None:
            return
        scatter = format_comparison_scatter(comparison, self.key, self._use())
        words = f"<b>{escape(shorten_name(self._difference_title))}</b> ({self._unit})<br>{scatter}"
        own, other = comparison.pair(self.key)
        self.plot.mark(self.host.session.list_marks(), other, own)
        if not bin_id:
            self.sfhs.draw([])
            self.legend.setText(f"{words}<br>Click a bin to see both.")
            return
        if not self._has_histories:
            rows = _format_rows(comparison, bin_id)
            self.legend.setText(f"{words}<br><b>bin {bin_id}</b>{rows}")
            return
        shown = self._compared_histories(bin_id)
        self.sfhs.draw(shown)
        self.legend.show_histories(shown, f"{words}<br><b>bin {bin_id}</b>", get_palette(self.host.viewer.theme))

    # -- the difference map ------------------------------------------------------------------------------------

    @property
    def layer(self) -> Any:
        """The layer of the difference map, or None."""
        return self.host.stack.find("difference")

    def _toggle_difference(self, _: str = "") -> None:
        if self.comparison is not None:
            self.form.difference.value = not self.form.difference.value

    def _show_difference(self, _: object = None) -> None:
        comparison, display = self.comparison, self.host.stack.display
        if comparison is None or not self.form.difference.value:
            display.withdraw()
            if display.shown == DIFFERENCE:
                self.host.stack.show_map_again()
            return
        self.do_unpainted(*self.host.stack.list_show_steps(self._difference_layer(comparison)))

    def _difference_layer(self, comparison: Comparison) -> LayerTuple:
        """The difference as a layer; the link is new, so that one in the list is refreshed."""
        values = np.where(self._use(), comparison.difference(self.key), np.nan)
        attributes = {
            "name": f"{self._difference_title} [{self._unit}]",
            "colormap": SHADES,
            "contrast_limits": map_limits.symmetric_limits(values),
            "interpolation2d": "nearest",
            "visible": False,
            "metadata": {KEY: LayerLink("difference", "", comparison.result, unit=self._unit)},
            **self.host.session.sky.transform(),
        }
        return maps.paint_bins(comparison.result.bins.bin_id, values), attributes, "image"

    def _shown_changed(self, shown: Shown) -> None:
        """The box says what is on the canvas, whoever put it there."""
        with self.form.difference.changed.blocked():
            self.form.difference.value = shown == DIFFERENCE

    # -- the host's calls --------------------------------------------------------------------------------------

    def suits(self, result: Result) -> bool:
        """Anything that has a map of its own."""
        return any(key in result.prediction.quantiles for key in maps.SCALAR_MAPS.values())

    def on_result(self, result: Result | None) -> None:
        """Another result: what was compared goes, unless it is of the same field; the truth is offered for the mock."""
        if result is self._result:
            return
        before, self._result = self._result, result
        is_same = before is not None and result is not None and is_same_field(before, result)
        self._again = self.state() if self.comparison is not None and is_same else None
        self.comparison = None
        with self.form.difference.changed.blocked():
            self.form.difference.value = False
        self.form.truth.visible = result is not None and is_demo_result(result)
        if result is not None:
            with self.form.min_snr.changed.blocked():
                self.form.min_snr.value = 0
                self.form.min_snr.max = max(int(np.nanmax(result.data.snr, initial=1.0)), 1)
        self._refresh()
        self.empty_dock()
        self.host.stack.remove_layers("difference")
        if self._again is not None:
            self.host.in_turns([partial(self.host.attempt, self._compare_again)])

    def _compare_again(self) -> None:
        """What was compared before another run, matched with its bins, unless a workspace has come meanwhile."""
        if self._again is not None:
            self.restore(self._again)

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """The selected bin's SFHs."""
        if self.comparison is not None and self.dock is not None:
            self.dock.touch()

    def describe(self, bin_id: int) -> str:
        """The difference in a bin, while its map is shown."""
        if self.comparison is None or self.host.stack.display.shown != DIFFERENCE:
            return ""
        value = float(self.comparison.difference(self.key)[bin_id - 1])
        told = f"{value:+z.2f}".replace("-", "−")
        return f"{self._difference_title} {told} {self._unit}" if np.isfinite(value) else "not compared"

    def on_busy(self, busy: bool) -> None:
        """One piece of work at a time."""
        self.form.load.enabled = self.form.truth.enabled = not busy
        if self.dock is not None:
            self.dock.enable(not busy and self.comparison is not None)

    def list_work(self) -> dict[str, object]:
        """The comparison: a large answer takes a while to match."""
        if self.comparison is None:
            return {}
        return {f"the comparison with {self.comparison.other.name}": str(self.source or TRUTH)}

    def state(self) -> dict[str, Any]:
        """The form; what is compared (None: nothing), and how its SFHs are drawn."""
        loaded = None if self.comparison is None else self.source or TRUTH
        kind = "mass" if self.dock is None else self.kind.value
        return {**read_form(self.form), "loaded": loaded, "kind": kind}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the form back; an answer that was compared is read and matched again."""
        loaded, self._again = state.get("loaded"), None
        fill_form(self.form, {"file": state.get("file")})
        if loaded is None:
            self._put_back(state)
            return
        if loaded != TRUTH and not Path(loaded).exists():
            raise SfhInputError(
                f"{loaded}: the answer to compare with is missing; put it back or choose another, and press Load"
            )
        self._start(None if loaded == TRUTH else Path(loaded))
        self.host.in_turns([partial(self._put_back, state)])

    def _put_back(self, state: dict[str, Any]) -> None:
        """Mean, cut and difference map, once there is something to show."""
        keys = ("mean", "min_snr") if self.comparison is None else ("mean", "min_snr", "difference")
        fill_form(self.form, {key: state[key] for key in keys if key in state})
        if self.dock is not None and state.get("kind") in self.kind.choices:
            self.kind.value = state["kind"]

    def release(self) -> None:
        """Listen no longer."""
        self.host.stack.display.changed.disconnect(self._shown_changed, missing_ok=True)
        super().release()

    def _kind_changed(self, kind: str) -> None:
        self.sfhs.set_kind(kind)
        self._show_bin()

    def _ask_figure(self, _: object = None) -> None:
        self.host.exports.ask("Save figure", f"{self.host.exports.name()}_comparison.pdf", FIGURES, self.save_figure)

    def _ask_table(self, _: object = None) -> None:
        self.host.exports.ask("Save table", f"{self.host.exports.name()}_comparison.ecsv", TABLES, self.save_table)

    def _ask_bin(self, _: object = None) -> None:
        name = f"{self.host.exports.name()}_bin{self.host.session.selected}_comparison.ecsv"
        self.host.exports.ask("Save table", name, TABLES, self.save_bin)


def _draw_page(comparison: Comparison, use: NDArray[np.bool_]) -> Any:
    """The page of the comparison, with Matplotlib, which the thread of the work imports."""
    from napari_sfh.figures.comparison import draw_comparison_page

    return draw_comparison_page(comparison, use)


def _format_rows(comparison: Comparison, bin_id: int) -> str:
    """A bin's numbers of both answers, as a table in rich text."""
    rows = []
    for key in comparison.means:
        values = (float(values[bin_id - 1]) for values in comparison.pair(key))
        rows.append(
            (escape(QUANTITIES[key].label), [f"{v:z.2f}".replace("nan", "–").replace("-", "−") for v in values])
        )
    names = comparison.own_name, comparison.other.name
    return format_side_by_side([escape(shorten_middle(name, 14)) for name in names], rows)


def is_demo_result(result: Result) -> bool:
    """Whether a result is that of the bundled mock galaxy."""
    return str(result.settings.get("cube", "")) in {p.name for p in demo.find_demo_folder().glob("*DATACUBE*")}
