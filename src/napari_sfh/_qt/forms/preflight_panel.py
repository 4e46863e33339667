"""The preflight in the section Data: footprints on the sky, coverage of each band, what is missing, time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import QPointF, Qt, QTimer
from qtpy.QtGui import QColor, QPolygonF
from qtpy.QtWidgets import QGraphicsPolygonItem, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sfh._qt.jobs.workers import BackgroundJob, explain_error
from napari_sfh._qt.plots.crosshair import PlotReader
from napari_sfh._qt.plots.plot_items import get_pen
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh._qt.widgets.wording import escape_tip, name_form_labels, shorten_words
from napari_sfh.decisions import configure_run
from napari_sfh.errors import SfhInputError
from napari_sfh.preflight.plan import Preflight, examine_inputs, format_band_check
from napari_sfh.types import F64, Progress

#: Milliseconds without a change of the forms after which the files are looked at again.
SETTLE_MS = 400
#: Seconds for which work that goes on is waited for: a short run is over then, a long one goes on beside the look.
LOOK_PATIENCE_S = 30.0
_HEIGHT = 190
#: Mosaics often end where others do: dashes of other lengths let all be seen.
_DASHES = ([1, 0], [6, 2], [4, 2], [2, 2], [1, 2])


class SkyPlot(pg.PlotWidget):
    """Footprints in arcsec around the middle of the cube, north up, east left."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        self.setAspectLocked(True)
        self.getPlotItem().getViewBox().invertX(True)
        self.setToolTip("Footprints of the cube (filled) and of the mosaics on the sky; north is up, east is left")
        self._ink = "#ffffff"
        self.reader = PlotReader(self, {self.getPlotItem(): _format_offset})

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme."""
        colors = get_palette(theme)
        self._ink = colors.text
        self.reader.set_colors(colors)
        self.setBackground(colors.background)
        for side, label in (("left", "N (″)"), ("bottom", "E (″)")):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(get_pen(colors.faint))
            axis.setTextPen(get_pen(colors.text))
            axis.setLabel(label, color=colors.text)

    def draw(self, found: Preflight) -> None:
        """Draw the footprints of a preflight."""
        self.clear()
        self.reader.set_plots({self.getPlotItem(): _format_offset})
        fill = QColor(self._ink)
        fill.setAlpha(60)
        for line in found.outlines:
            self.addItem(_polygon(line, fill, self._ink))
        for check, dashes in zip(found.bands, _DASHES):
            pen = get_pen(check.color, 2, dashes=tuple(dashes))
            for line in check.outlines:
                self.plot(*line.T, pen=pen)
        self.getPlotItem().autoRange(padding=0.04)


def _format_offset(x: float, y: float) -> str:
    return f"E {x:+z.1f}″, N {y:+z.1f}″".replace("-", "−")


def _polygon(line: F64, fill: QColor, edge: str) -> QGraphicsPolygonItem:
    item = QGraphicsPolygonItem(QPolygonF([QPointF(float(x), float(y)) for x, y in line]))
    item.setBrush(pg.mkBrush(fill))
    item.setPen(get_pen(edge))
    return item


class PreflightPanel(QWidget):
    """What a run would do with the files in the forms; looks again when they change.

    Parameters
    ----------
    data, binning, network : forms
        With ``container`` and ``values()``.
    theme : str
        Id of napari's theme.
    is_busy : callable
        Whether work goes on that is over sooner if it is left alone; it is waited for, a while.

    Attributes
    ----------
    looked : Signal
        Emitted when something else was found.
    """

    looked = Signal()

    def __init__(
        self, data: Any, binning: Any, network: Any, theme: str, is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__()
        self._is_busy, self._asked = is_busy, 0.0
        self._forms = (data, binning, network)
        self._problems: tuple[str, ...] = ()
        self._again = self._wrong = False
        self.found: Preflight | None = None
        self.plot = SkyPlot()
        self.text = _make_label()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 2)
        layout.setSpacing(2)
        for widget in (self.plot, self.text):
            widget.hide()
            layout.addWidget(widget)
        self.job = BackgroundJob(self._progress, self._looked, self._failed)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._start)
        self.plot.set_theme(theme)
        for form in self._forms:
            form.container.changed.connect(self._changed)

    @property
    def is_refused(self) -> bool:
        """Whether a run would stop at what was found last."""
        return self._wrong or (self.found is not None and bool(self.found.refusals))

    @property
    def refuses_now(self) -> bool:
        """Whether a run of just what is in the forms would stop."""
        return self.is_refused and not (self._again or self.job.running or self._settle.isActive())

    def look(self, problems: Sequence[str] = ()) -> None:
        """Look at the files in the forms, soon.

        Parameters
        ----------
        problems : sequence of str
            What was found when the folder was searched; shown as long as these files are in the forms.
        """
        self._problems = tuple(problems)
        self.found, self._wrong = None, False  # of other files
        self._look_soon()

    @property
    def up_to_date(self) -> bool:
        """True once it shows what is in the forms."""
        return self.found is not None and not (self._again or self.job.running or self._settle.isActive())

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme."""
        self.plot.set_theme(theme)
        if self.found is not None:
            self.plot.draw(self.found)

    def release(self) -> None:
        """Listen no longer, stop what runs."""
        self._settle.stop()
        self.job.abandon()
        for form in self._forms:
            form.container.changed.disconnect(self._changed, missing_ok=True)

    def _changed(self, _: object = None) -> None:
        # A search's findings hold for the files that it found.
        self._problems = ()
        self._look_soon()

    def _look_soon(self) -> None:
        self._asked = time.monotonic()
        self._settle.start()

    def _start(self) -> None:
        if self._is_busy() and time.monotonic() < self._asked + LOOK_PATIENCE_S:
            self._settle.start()
            return
        if self.job.running:
            self._again = True
            self.job.stop()
            return
        self._again = False
        data, binning, network = self._forms
        if not data.has_input:
            self.found, self._wrong = None, False
            self.plot.hide()
            self.text.hide()
            return
        try:
            config = configure_run(**data.values(), **binning.values(), **network.values())
        except SfhInputError as error:
            self._failed(error)
            return
        problems = self._problems
        self.job.start(lambda progress, cancel: examine_inputs(config, problems, (), progress, cancel))

    def _progress(self, step: Progress) -> None:
        if self.found is None:
            self._say(f"<i>{escape(step.stage)}…</i>")

    def _looked(self, found: Preflight | None) -> None:
        if self._again:
            self._start()
        elif found is not None:
            self.found, self._wrong = found, False
            self.plot.draw(found)
            self.plot.setVisible(bool(found.outlines))  # a stack of images has none
            self._say(format_preflight_html(found), found.problems)
            self.looked.emit()

    def _failed(self, error: Exception) -> None:
        self.found, self._wrong = None, True
        self.plot.hide()
        sentences = [explain_error(error)[0]]
        self._say(_bullets(sentences), sentences)
        self.looked.emit()

    def _say(self, text: str, whole: Sequence[str] = ()) -> None:
        self.text.setText(text)
        self.text.setToolTip(escape_tip("\n".join(whole)))  # paths are shortened
        self.text.show()


def format_preflight_html(found: Preflight) -> str:
    """A preflight as rich text: bands in their colours, facts, what to know."""
    bands = [f'<span style="color:{check.color}">■</span> {escape(format_band_check(check))}' for check in found.bands]
    facts = [
        f"{escape(key.upper() if key == 'psf' else key.capitalize())}: {escape(value)}"
        for key, value in found.facts.items()
        if value
    ]
    run = f"<b>A run takes {escape(found.estimate.text())}</b>"
    return name_form_labels("<br>".join([*bands, *facts, run]) + _bullets(found.problems))


def _bullets(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    lines = "".join(f"<li>{escape(shorten_words(sentence))}</li>" for sentence in sentences)
    return f'<ul style="margin:2px 0 0 -24px">{lines}</ul>'


def _make_label() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # Long file names must not widen the dock.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def place_below(form: QWidget, panel: PreflightPanel) -> QWidget:
    """The panel under the form of the files.

    Parameters
    ----------
    form : QWidget
    panel : PreflightPanel
    """
    both = QWidget()
    layout = QVBoxLayout(both)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    layout.addWidget(form)
    layout.addWidget(panel)
    return both
