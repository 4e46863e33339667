"""The tool 'Posterior': the corner plot of the selected bin, drawn in the background, in a window of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, PushButton
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QVBoxLayout

from napari_sfh._qt.exports import FIGURES, TABLES
from napari_sfh._qt.forms.fields import make_form, make_form_row
from napari_sfh._qt.plots.side_plots import make_save_button
from napari_sfh._qt.tools.base import Host, KeyAct, Tool
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis import posteriors, tables
from napari_sfh.analysis.credibility.reweighting import NormalPrior
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.analysis.posteriors import DEFAULT_QUANTITIES, POSTERIOR_QUANTITIES, PosteriorDraws
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.preflight.cost import RATES
from napari_sfh.types import Progress, Result

#: Side in pixels of the drawn picture; the window scales it.
PIXELS = 1400
#: What the button says.
DRAW = "Corner plot of the bin"


@dataclass(frozen=True)
class PosteriorRequest:
    """What is drawn: quantities, by likelihood or by the network, under the weights' prior or another."""

    names: tuple[str, ...]
    by_likelihood: bool = False
    prior: Mapping[str, NormalPrior] = field(default_factory=dict)

    def draw(
        self, result: Result, bin_id: int, progress: ReportProgress | None, cancel: threading.Event | None
    ) -> PosteriorDraws:
        """The draws of a bin (1..N)."""
        wanted = tuple(dict.fromkeys((*self.names, *self.prior)))
        if self.by_likelihood:
            from napari_sfh.analysis.refinement.result_bins import draw_refined_posterior

            drawn = draw_refined_posterior(result, bin_id, wanted, progress=progress, cancel=cancel)
        else:
            drawn = posteriors.draw_bin_posterior(result, bin_id, wanted, progress=progress, cancel=cancel)
        if not self.prior:
            return drawn
        made = posteriors.reweight_draws(result, drawn, self.prior)
        return posteriors.resample_posterior(made, drawn, self.names)


@dataclass(frozen=True)
class CornerPicture:
    """Draws of a bin and their picture, (height, width, 4) of 8 bits."""

    draws: PosteriorDraws
    picture: NDArray[np.uint8]


def draw_corner_picture(
    progress: ReportProgress,
    cancel: threading.Event,
    result: Result,
    bin_id: int,
    request: PosteriorRequest,
    color: str,
    faint: str,
) -> CornerPicture:
    """Draw a posterior and its corner plot, as work for the thread.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    request : PosteriorRequest
        How many draws, of which prior.
    color, faint : str
        Of the curves and points.
    """
    draws = request.draw(result, bin_id, progress, cancel)
    return paint_corner(progress, cancel, result, draws, color, faint)


def draw_predictive_band(
    progress: ReportProgress, cancel: threading.Event, result: Result, bin_id: int
) -> NDArray[np.floating]:
    """Quantiles (5, W) of the spectra of a bin's draws, as work for the thread.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    """
    report_progress(Progress("spectra of the draws", 0, 0), progress, cancel)
    band = posteriors.compute_predictive_band(result, bin_id)
    raise_if_cancelled(cancel)
    return band


def draw_row_picture(
    progress: ReportProgress, cancel: threading.Event, table: EstimateTable, row: int, color: str, faint: str
) -> CornerPicture:
    """The same for a row (0..N-1) of a catalogue.

    Parameters
    ----------
    table : EstimateTable
    row : int
        From 0.
    color, faint : str
        Of the curves and points.
    """
    report_progress(Progress("posterior", 0, 0), progress, cancel)
    from napari_sfh.estimation.rows import draw_row_posterior

    made = draw_row_posterior(table.table[row : row + 1], table.meta, table.path, cancel=cancel)
    values = {name: np.asarray(made[name], dtype=float) for name in table.quantities if name in made}
    draws = PosteriorDraws(row + 1, values, table.path.name, table.meta.get("MODEL", ""), row_name=table.name_row(row))
    return paint_corner(progress, cancel, None, draws, color, faint)


def paint_corner(
    progress: ReportProgress,
    cancel: threading.Event,
    result: Result | None,
    draws: PosteriorDraws,
    color: str,
    faint: str,
) -> CornerPicture:
    """The picture of draws.

    Parameters
    ----------
    result : Result or None
        None: the draws belong to a row of a catalogue.
    draws : PosteriorDraws
    color, faint : str
        Of the curves and points.
    """
    report_progress(Progress("corner plot", 0, 0), progress, cancel)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from napari_sfh.figures.corner import draw_corner_page

    figure = draw_corner_page(result, draws, color=color, faint=faint)
    figure.set_dpi(PIXELS / float(figure.get_figwidth()))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    raise_if_cancelled(cancel)
    return CornerPicture(draws, np.array(canvas.buffer_rgba()))


def save_posterior(
    progress: ReportProgress, cancel: threading.Event, result: Result | None, draws: PosteriorDraws, path: Path
) -> Path:
    """Write a corner plot or its draws, as the name's ending says.

    Parameters
    ----------
    result : Result or None
        None: the draws belong to a row of a catalogue.
    draws : PosteriorDraws
    path : Path
        A table (`tables.TABLE_SUFFIXES`) or a figure.
    """
    report_progress(Progress("saving the posterior", 0, 0), progress, cancel)
    if path.suffix.lower() in tables.TABLE_SUFFIXES:
        return tables.write_tables({"DRAWS": tables.build_draws_table(result, draws)}, path)
    from napari_sfh.figures.corner import draw_corner_page
    from napari_sfh.figures.files import save_figure

    return save_figure(draw_corner_page(result, draws), path)


class _PictureLabel(QLabel):
    """A picture that fills its window and keeps its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumSize(320, 320)
        self._full = QPixmap()

    def show_array(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        image = QImage(picture.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
        self._full = QPixmap.fromImage(image)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Scale anew."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """Large enough to read."""
        return QSize(640, 640)

    def _fit(self) -> None:
        if not self._full.isNull():
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._full.scaled(self.size(), keep, smooth))


class PosteriorForm:
    """The quantities of the plot."""

    def __init__(self) -> None:
        self.boxes = {
            name: CheckBox(text=title, value=name in DEFAULT_QUANTITIES, tooltip=f"{title} ({unit})" if unit else title)
            for name, (title, unit) in POSTERIOR_QUANTITIES.items()
        }
        self.known: tuple[str, ...] = tuple(self.boxes)
        self._order = list(self.boxes)  # in the rows
        rows = list(self.boxes.values())
        pairs = self.pairs = [make_form_row(rows[k : k + 2]) for k in range(0, len(rows), 2)]
        self.likelihood = CheckBox(
            text=f"sample the likelihood, ~{RATES.refine_bin:.0f} s CPU",
            tooltip="The forward model itself, without the network: stars off the gas lines, the flux\n"
            "calibration and the size of the errors free. napari-sfh refine does many bins",
        )
        choices = [("as trained", ""), *((QUANTITIES[k].title, k) for k in MEAN_NAMES)]
        self.prior = ComboBox(
            label="Prior", choices=choices, tooltip="Weigh the draws to a normal prior on one of the four means"
        )
        self.mean = FloatSpinBox(value=9.5, min=-3, max=11, step=0.1, tooltip="Mean of that prior (log yr or dex)")
        self.sigma = FloatSpinBox(value=0.3, min=0.02, max=3, step=0.05, tooltip="Its standard deviation")
        self.normal = make_form_row([self.mean, self.sigma])
        self.prior.changed.connect(self._choose_prior)
        self._choose_prior(self.prior.value)
        self.draw = PushButton(text=DRAW, tooltip="The joint posterior of the selected bin, drawn anew (Alt+J)")
        self.spectra = PushButton(
            text="Spectra of the draws",
            tooltip="Shade in the plot of the spectrum where 68 % of the model spectra of the posterior's draws lie",
        )
        self.container = make_form([*pairs, self.likelihood, self.prior, self.normal, self.draw, self.spectra])

    def _choose_prior(self, name: str) -> None:
        """Mean and width are asked for where there is another prior."""
        self.normal.visible = bool(name)
        if name:
            self.mean.value = 9.5 if name.startswith("lg_age") else -0.3

    @property
    def request(self) -> PosteriorRequest:
        """What the form asks for."""
        name = self.prior.value
        prior = {name: NormalPrior(self.mean.value, self.sigma.value)} if name else {}
        return PosteriorRequest(self.names, self.likelihood.value, prior)

    @property
    def names(self) -> tuple[str, ...]:
        """What is ticked."""
        return tuple(name for name, box in self.boxes.items() if box.value and name in self.known)

    def offer(self, names: Sequence[str]) -> None:
        """Have boxes of these quantities only; all are ticked where none of the usual ones is among them."""
        self.known = tuple(names)
        order = sorted(self.boxes, key=lambda name: name not in names)  # those that are not known leave no holes
        if order != self._order:
            self._order = order
            for pair in self.pairs:
                pair.clear()
            for pair, k in zip(self.pairs, range(0, len(order), 2)):
                pair.extend([self.boxes[name] for name in order[k : k + 2]])
        for name, box in self.boxes.items():
            box.visible = name in names
        for pair, k in zip(self.pairs, range(0, len(order), 2)):
            pair.visible = order[k] in names
        histories = set(MEAN_NAMES) <= set(names)
        self.likelihood.visible = self.prior.visible = histories
        if not histories:
            self.likelihood.value, self.prior.value = False, ""
        if not set(DEFAULT_QUANTITIES[:2]) <= set(names):
            for name in names:
                self.boxes[name].value = True


class PosteriorTool(Tool):
    """Corner plot of the selected bin."""

    name = "posterior"
    title = "Posterior"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.form = PosteriorForm()
        self.container = self.form.container
        self.shown: CornerPicture | None = None
        self._window: QDialog | None = None
        self._theme_slot = make_weak_slot(self._theme_changed)
        host.viewer.events.theme.connect(self._theme_slot)
        self.form.draw.changed.connect(self._press_draw)
        self.form.spectra.changed.connect(self._press_spectra)

    def shortcuts(self) -> dict[str, KeyAct]:
        """Alt-J draws."""
        return {"Alt-J": self._press_draw}

    def _press_draw(self, _: object = None) -> None:
        self.press(self.draw)

    def draw(self) -> None:
        """Draw the posterior of the selected bin in the background.

        Raises
        ------
        SfhInputError
            There is no result, or no bin is selected.
        """
        self.need_result()
        if not self.host.session.selected:
            raise SfhInputError("no bin is selected: click one on the map first")
        self.draw_bin(self.host.session.selected)

    def draw_bin(self, bin_id: int) -> None:
        """Draw the posterior of a bin (1..N) in the background.

        Raises
        ------
        SfhInputError
            There is no result.
        """
        result = self.need_result()
        colors = get_palette(self.host.viewer.theme)
        work = partial(draw_corner_picture, result=result, bin_id=bin_id, request=self.form.request)
        self.host.start(partial(work, color=colors.text, faint=colors.background), self._drawn, DRAW)

    def _press_spectra(self, _: object = None) -> None:
        self.press(self.draw_spectra)

    def draw_spectra(self) -> None:
        """Shade the posterior-predictive band of the selected bin in the plot of its spectrum, in the background.

        Raises
        ------
        SfhInputError
            There is no result, or no bin is selected.
        """
        result, bin_id = self.need_result(), self.host.session.selected
        if not bin_id:
            raise SfhInputError("no bin is selected: click one on the map first")
        self.host.start(partial(draw_predictive_band, result=result, bin_id=bin_id), partial(self._shade, bin_id))

    def _shade(self, bin_id: int, band: NDArray[np.floating]) -> None:
        self.host.panel.plots.set_predictive(bin_id, band)
        self.host.show_message(
            f"Bin {bin_id}: 68 % of the spectra of its posterior's draws lie in the band (below: minus the model)."
        )

    def draw_row(self, table: EstimateTable, row: int) -> None:
        """Draw the posterior of a row (0..N-1) of a catalogue in the background."""
        colors = get_palette(self.host.viewer.theme)
        work = partial(draw_row_picture, table=table, row=row, color=colors.text, faint=colors.background)
        self.host.start(work, self._drawn)

    def _ask_figure(self, _: object = None) -> None:
        self.host.exports.ask_file("Save figure", f"{self._stem()}.pdf", FIGURES, self.save)

    def _ask_table(self, _: object = None) -> None:
        self.host.exports.ask_file("Save table", f"{self._stem()}.ecsv", TABLES, self.save)

    def _stem(self) -> str:
        draws = None if self.shown is None else self.shown.draws
        if draws is None or not draws.source:
            return f"{self.host.exports.name()}_bin{0 if draws is None else draws.bin_id}_corner"
        return f"{Path(draws.source).stem}_row{draws.bin_id}_corner"

    def save(self, path: Path | str) -> None:
        """Write the corner plot (PNG, PDF, SVG) or the draws (ECSV, FITS).

        Raises
        ------
        SfhInputError
            Nothing was drawn yet.
        """
        if self.shown is None:
            raise SfhInputError("no posterior was drawn yet: click a bin and press Corner plot")
        result = None if self.shown.draws.source else self.host.session.result
        self.host.start(partial(save_posterior, result=result, draws=self.shown.draws, path=Path(path)), self.saved)

    def on_result(self, result: Result | None) -> None:
        """The plot was another result's."""
        self.shown = None
        self.host.panel.plots.forget_predictive()
        if result is not None:
            self.form.offer(posteriors.list_posterior_quantities(result))
            with_spectrum = result.instrument.n_wave > 0 and result.prediction.has_histories
            self.form.spectra.visible = with_spectrum
        if self._window is not None:
            self._window.hide()

    def on_busy(self, busy: bool) -> None:
        """One piece of work at a time."""
        self.form.draw.enabled = self.form.spectra.enabled = not busy

    def state(self) -> dict[str, Any]:
        """The ticked quantities, and the bin whose plot is open (0: none)."""
        is_open = self.shown is not None and self._window is not None and self._window.isVisible()
        of_bin = is_open and self.shown is not None and not self.shown.draws.source
        return {
            "names": list(self.form.names),
            "bin": self.shown.draws.bin_id if self.shown and of_bin else 0,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Tick them again; a plot that was open is drawn anew."""
        for name, box in self.form.boxes.items():
            box.value = name in state.get("names", DEFAULT_QUANTITIES)
        bin_id = int(state.get("bin", 0))
        if 1 <= bin_id <= self.host.session.n_bins:
            self.draw_bin(bin_id)

    def release(self) -> None:
        """Close the window, and listen no longer."""
        self.host.viewer.events.theme.disconnect(self._theme_slot)
        self.close_window()

    def close_window(self) -> None:
        """Close the window of the corner plot, if it is open."""
        if self._window is not None:
            self._window.close()
            self._window.deleteLater()
            self._window = None
        self.shown = None

    def _theme_changed(self, _: object = None) -> None:
        """A plot that is open is painted anew, in the colours of the theme."""
        if self.shown is None or self._window is None or not self._window.isVisible():
            return
        draws, colors = self.shown.draws, get_palette(self.host.viewer.theme)
        result = None if draws.source else self.host.session.result
        work = partial(paint_corner, result=result, draws=draws, color=colors.text, faint=colors.background)
        self.host.start(work, self._repainted)

    def _repainted(self, made: CornerPicture) -> None:
        """The same draws in other colours, unless others are shown by now."""
        if self.shown is not None and made.draws is self.shown.draws:
            self.shown = made
            self._picture.show_array(made.picture)

    def _drawn(self, made: CornerPicture) -> None:
        self.shown = made
        window = self._window or self._make_window()
        window.setWindowTitle(f"Posterior of {made.draws.name}")
        self._picture.show_array(made.picture)
        window.show()
        window.raise_()
        note = f" ({made.draws.note})" if made.draws.note else ""
        self.host.show_message(f"Posterior of {made.draws.name}: {len(made.draws.array())} draws{note}.")

    def _make_window(self) -> QDialog:
        window = QDialog(self.widget.window())
        self._picture = _PictureLabel()
        self.figure_button = make_save_button("Figure…", "The plot as PNG, PDF or SVG", self._ask_figure)
        self.table_button = make_save_button("Table…", "The draws as ECSV or FITS", self._ask_table)
        row = QHBoxLayout()
        row.addStretch(1)
        for button in (self.figure_button, self.table_button):
            row.addWidget(button.native)
        layout = QVBoxLayout(window)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._picture, 1)
        layout.addLayout(row)
        window.resize(660, 690)
        self._window = window
        return window
