"""The tool 'pPXF': fit the selected bin with pPXF in the background, and draw it beside the network's answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, PushButton

from napari_sfh._qt.exports import FIGURES, TABLES
from napari_sfh._qt.forms.fields import fill_form, make_form, narrow_combo_box, read_form
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.plots.side_plots import (
    HistoryLegend,
    HistoryPlots,
    ToolDock,
    make_save_button,
    make_sfh_kind_choice,
)
from napari_sfh._qt.tools.base import DockTool, Host, KeyAct
from napari_sfh._qt.widgets.theme import Palette, get_palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.comparison import history_comparison, ppxf_json
from napari_sfh.analysis.comparison.history_comparison import BinHistory
from napari_sfh.analysis.comparison.ppxf_fit import PpxfBinSettings, PpxfFit
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

_EMPTY = "Select a bin on the map and press Fit this bin with pPXF."


class PpxfForm:
    """How pPXF is run."""

    def __init__(self) -> None:
        self.fit = PushButton(text="Fit this bin with pPXF", tooltip="In the background, some seconds a bin (Alt+B)")
        self.regularisation = ComboBox(
            label="Smoothness",
            value=0.01,
            choices=[("1 % (usual)", 0.01), ("5 %", 0.05), ("hardly any", 1.0)],
            tooltip="Regularisation error of neighbouring weights: the smaller, the smoother the SFH",
        )
        self.photometry = CheckBox(text="with the HST bands", value=True, tooltip="Fit spectrum and bands together")
        self.gas = CheckBox(text="with gas lines", value=True, tooltip="One velocity and dispersion for all lines")
        self.container = make_form([self.fit, narrow_combo_box(self.regularisation), self.photometry, self.gas])

    @property
    def settings(self) -> PpxfBinSettings:
        """The form's settings."""
        return PpxfBinSettings(
            regul_error=float(self.regularisation.value), gas=self.gas.value, photometry=self.photometry.value
        )


class PpxfTool(DockTool):
    """pPXF beside the network, bin by bin; fits are kept while the result is shown."""

    name = "ppxf"
    title = "pPXF"
    dock_title = "pPXF and network"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = PpxfForm()
        self.container = self.form.container
        self._result: Result | None = None
        self.fits: dict[int, PpxfFit] = {}
        self.shown = 0
        self.form.fit.changed.connect(self._fit)

    def make_dock(self) -> ToolDock:
        """SFHs of a bin, its spectrum and residuals."""
        self.plots, self.legend = HistoryPlots(self._colors, spectrum=True), HistoryLegend()
        self.kind = make_sfh_kind_choice(self._kind_changed)
        self.figure_button = make_save_button("Figure…", "SFHs, spectrum, numbers as PNG, PDF or SVG", self._ask_figure)
        self.table_button = make_save_button("Table…", "The SFHs as ECSV or FITS", self._ask_table)
        fields = [self.kind, self.figure_button, self.table_button]
        dock = ToolDock(self.host.viewer, [self.plots], self.legend, fields, _EMPTY)
        dock.seen.connect(self._show_selected)
        return dock

    # -- acts --------------------------------------------------------------------------------------------------

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-B fits the selected bin."""
        return {"Alt-B": self._fit}

    def fit(self, bin_id: int | None = None) -> None:
        """Fit a bin (default: the selected one) in the background.

        Raises
        ------
        SfhInputError
            No result, or no bin is selected.
        """
        result = self.need_result()
        bin_id = bin_id or self.host.session.selected
        if not bin_id:
            raise SfhInputError("pPXF: no bin is selected; click one on the map first")
        work = partial(tool_tasks.fit_bin_with_ppxf, result=result, bin_id=bin_id, settings=self.form.settings)
        self.host.start(work, partial(self._fitted, result), str(self.form.fit.text))

    def compared_histories(self, bin_id: int) -> list[BinHistory]:
        """The network's and pPXF's answer for a bin that was fitted.

        Raises
        ------
        SfhInputError
            It was not.
        """
        result = self.host.session.result
        if result is None or bin_id not in self.fits:
            raise SfhInputError(f"pPXF: bin {bin_id} was not fitted yet; press Fit this bin with pPXF")
        return [
            history_comparison.history_from_network(result, bin_id),
            history_comparison.history_from_ppxf(self.fits[bin_id]),
        ]

    def _list_answers(self, bin_id: int) -> list[BinHistory]:
        """What the plots have of a bin: the network's answer, and pPXF's if it has fitted it."""
        if bin_id in self.fits or not bin_id or not self.fits:
            return self.compared_histories(bin_id)
        return [history_comparison.history_from_network(self.need_result(), bin_id)]

    def save_figure(self, path: Path | str) -> None:
        """Draw what is shown of the shown bin as PNG, PDF or SVG."""
        draw = partial(_draw_page, self.need_result(), self.shown, self._list_answers(self.shown))
        self.host.start(partial(tool_tasks.draw_and_save_figure, draw=draw, path=Path(path)), self.saved)

    def save_table(self, path: Path | str) -> None:
        """Write the SFHs that are shown of the shown bin as ECSV."""
        table = history_comparison.build_history_table(self._list_answers(self.shown), self.shown)
        self.host.start(partial(tool_tasks.save_single_table, table=table, path=Path(path)), self.saved)

    # -- what is shown -----------------------------------------------------------------------------------------

    def _fit(self, _: object = None) -> None:
        self.press(self.fit)

    def _fitted(self, result: Result, fit: PpxfFit) -> None:
        if result is not self.host.session.result:
            return
        self.fits[fit.bin_id] = fit
        self.open_dock_with(partial(self._show, fit.bin_id))
        gas = f", gas at {fit.gas_v_kms:+z.0f} km/s".replace("-", "−") if self.form.gas.value else ""
        self.host.show_message(
            f"pPXF on bin {fit.bin_id}: χ² {fit.chi2:.2f}, A_V {fit.a_v:.2f} mag{gas}, {fit.seconds:.1f} s."
        )

    def _show(self, bin_id: int) -> None:
        """Show a bin with both answers, or with the network's alone if pPXF has not fitted it."""
        result = self.host.session.result
        if self.dock is None:
            return
        if result is not None and bin_id and self.fits:
            self.shown = bin_id
            shown = self._list_answers(bin_id)
            missing = "" if bin_id in self.fits else ": pPXF has not fitted it yet (Alt+B)"
            self.plots.draw(shown, BinView.of(result, bin_id))
            self.legend.show_histories(shown, f"<b>bin {bin_id}</b>{missing}", self._colors)
        self.dock.fill(bool(self.shown), self.host.busy)

    @property
    def _colors(self) -> Palette:
        return get_palette(self.host.viewer.theme)

    def _show_selected(self) -> None:
        self._show(self.host.session.selected)

    def suits(self, result: Result) -> bool:
        """pPXF needs the weights' templates, which come with histories."""
        return result.prediction.has_histories

    def on_result(self, result: Result | None) -> None:
        """Fits belong to a result."""
        if result is self._result:
            return
        self._result = result
        self.fits, self.shown = {}, 0
        self.empty_dock()

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """The plots follow the selected bin."""
        if bins and self.fits and self.dock is not None:
            self.dock.touch()

    def on_busy(self, busy: bool) -> None:
        """One piece of work at a time."""
        self.form.fit.enabled = not busy
        if self.dock is not None:
            self.dock.enable(not busy and bool(self.shown))

    def list_work(self) -> dict[str, object]:
        """The fits."""
        n = len(self.fits)
        return {f"pPXF's fits of {n} bins" if n > 1 else "pPXF's fit of a bin": tuple(self.fits)} if n else {}

    def state(self) -> dict[str, Any]:
        """The form and the fits, see `ppxf_json`; which of them is shown, and how."""
        result = self.host.session.result
        fits = [] if result is None else [ppxf_json.encode_ppxf_fit(fit, result) for fit in self.fits.values()]
        kind = "mass" if self.dock is None else self.kind.value
        return {**read_form(self.form), "fits": fits, "bin": self.shown, "kind": kind}

    def restore(self, state: dict[str, Any]) -> None:
        """The form, and the fits as they were.

        Raises
        ------
        SfhInputError
            Some are damaged or of other spectra; the others are shown.
        """
        fill_form(self.form, state)
        result = self.host.session.result
        if result is None:
            return
        problems = self._unpack(state.get("fits", []), result)
        if self.fits:
            self.open_dock()
            if state.get("kind") in self.kind.choices:
                self.kind.value = state["kind"]
            kept = state["bin"] if state.get("bin") in self.fits else next(iter(self.fits))
            self._show(self.host.session.selected or kept)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SfhInputError(f"{problems[0]}{more}")

    def _unpack(self, fits: list[dict[str, Any]], result: Result) -> list[str]:
        """Take over fits; what is wrong with those that cannot be."""
        problems = []
        for kept in fits:
            try:
                fit = ppxf_json.decode_ppxf_fit(kept, result)
            except SfhInputError as error:
                problems.append(str(error))
            else:
                self.fits[fit.bin_id] = fit
        return problems

    def _kind_changed(self, kind: str) -> None:
        self.plots.set_kind(kind)
        self._show(self.shown)

    def _ask_figure(self, _: object = None) -> None:
        name = f"{self.host.exports.name()}_bin{self.shown}_ppxf.pdf"
        self.host.exports.ask("Save figure", name, FIGURES, self.save_figure)

    def _ask_table(self, _: object = None) -> None:
        name = f"{self.host.exports.name()}_bin{self.shown}_ppxf.ecsv"
        self.host.exports.ask("Save table", name, TABLES, self.save_table)


def _draw_page(result: Result, bin_id: int, answers: Sequence[BinHistory]) -> Any:
    """The page of two answers, with Matplotlib, which the thread of the work imports."""
    from napari_sfh.figures.comparison import draw_history_page

    return draw_history_page(result, bin_id, answers)
