"""What the tools show beside the map: a dock with plots, and the plots of answers held against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, PushButton
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sfh._qt.plots.brush import BRUSH_TIP, BrushPlot, BrushPoints, DensityImage, MarkedPoints
from napari_sfh._qt.plots.crosshair import PlotReader, ReadOut, format_place
from napari_sfh._qt.plots.plot_items import Ribbon, get_pen, histogram_corners, make_bare_plot, pg, style_axes
from napari_sfh._qt.plots.spectrum_plot import describe_flux
from napari_sfh._qt.plots.time_axes import AGE_MINOR, AGE_TICKS, LG_EDGES, TIME_AXES
from napari_sfh._qt.session import BinMark
from napari_sfh._qt.widgets.flow_row import place_row
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.theme import POINTS, Palette, get_palette
from napari_sfh._qt.widgets.wording import escape_tip, shorten_middle, shorten_words
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.comparison.history_comparison import BinHistory, list_history_means
from napari_sfh.analysis.comparison.map_comparison import DENSE, ERROR_BARS, Comparison, format_scatter
from napari_sfh.analysis.drawing.bin_drawing import choose_flux_range, choose_residual_range, format_flux_label
from napari_sfh.analysis.drawing.map_limits import robust_limits
from napari_sfh.figures.line_colors import ANSWER_COLORS
from napari_sfh.physics.quantities import QUANTITIES

#: Answers that are drawn at once.
MAX_HISTORIES = len(ANSWER_COLORS)
#: Letters of a word in the name of an answer, and of the name above a column.
_NAME_LETTERS, _HEAD_LETTERS = 16, 12
#: Width in pixels of the words beside the plots.
_TEXT_WIDTH = 328


class OneToOne(BrushPlot):
    """This result against another answer: points with errors, or their density; bins that stand out."""

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self._density = DensityImage()
        self._errors = pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0))
        self._points = BrushPoints(size=4, pen=None)
        self._line = pg.PlotCurveItem()
        self.marked = MarkedPoints()
        self.add_layers({self._density: 0, self._errors: 1, self._points: 2, self._line: 3, self.marked: 4})
        self.set_colors(colors)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self.setBackground(colors.background)
        self._colors = colors
        self._points.setBrush(pg.mkBrush(colors.points))
        self._errors.setData(pen=get_pen(colors.faint))
        self._line.setPen(get_pen(colors.text, 1, style=Qt.PenStyle.DashLine))
        self.box.set_color(colors.text)
        self.reader.set_colors(colors)
        style_axes(self.plot, colors)

    def draw(self, comparison: Comparison, key: str, use: NDArray[np.bool_]) -> None:
        """Show a mean in the bins ``use``."""
        (own, other), (own_error, other_error) = comparison.pair(key), comparison.pair_errors(key)
        good = use & np.isfinite(own) & np.isfinite(other)
        x, y = other[good], own[good]
        self.box.set_points(x, y, np.flatnonzero(good))
        low, high = robust_limits(np.concatenate([x, y]), 0.5, 99.5)
        room = 0.08 * (high - low)
        low, high = low - room, high + room
        dense = x.size > DENSE
        self._density.setVisible(dense)
        self._points.setVisible(not dense)
        self._errors.setVisible(0 < x.size < ERROR_BARS)
        if dense:
            self._density.count(x, y, [(low, high), (low, high)], bins=60)
        else:
            self._points.setData(x, y)
        if 0 < x.size < ERROR_BARS:
            width, height = (2 * np.nan_to_num(e[good]) for e in (other_error, own_error))
            self._errors.setData(x=x, y=y, width=width, height=height, beam=0.0)
        self._line.setData([low, high], [low, high])
        self.plot.setRange(xRange=(low, high), yRange=(low, high), padding=0)
        own_name, answer = comparison.own_name, comparison.other.name
        style_axes(self.plot, self._colors, left=shorten_name(own_name), bottom=shorten_name(answer))
        self.plot.setTitle(escape(QUANTITIES[key].label), size=f"{POINTS}pt", color=self._colors.text)
        self.plot.setToolTip(escape_tip(f"{own_name} against {answer}\n{BRUSH_TIP}"))

    def mark(self, marks: Sequence[BinMark], x: NDArray[np.floating], y: NDArray[np.floating]) -> None:
        """Let bins stand out among all (N,), in the colours in which the map and the other plots show them."""
        self.marked.mark(marks, x, y, self._colors)


class HistoryPlots(pg.GraphicsLayoutWidget):
    """SFHs of one bin from several answers; its spectrum and their residuals where they have a model."""

    def __init__(self, colors: Palette, spectrum: bool) -> None:
        super().__init__()
        self.kind = "mass"
        self._with_spectrum = spectrum
        self._flux_label = "flux"
        self.sfh = make_bare_plot(self)
        self.sfh.getAxis("bottom").setTicks([AGE_TICKS, AGE_MINOR])
        self.sfh.setXRange(LG_EDGES[0], LG_EDGES[-1], padding=0)
        self.sfh.setMouseEnabled(x=False, y=True)
        self._ribbon = Ribbon(60, edged=True)
        self.sfh.addItem(self._ribbon, ignoreBounds=True)
        self._sfhs = self._add_curves(self.sfh)
        plots: dict[Any, ReadOut] = {self.sfh: TIME_AXES["log_gyr"].format_place}
        if spectrum:
            self._add_spectrum()
            plots |= {self.spectrum: format_place, self.residual: format_place}
        self.reader = PlotReader(self, plots)
        self.set_colors(colors)

    def _add_spectrum(self) -> None:
        inner = self.addLayout(row=0, col=1)
        inner.setSpacing(2)
        self.ci.layout.setColumnStretchFactor(0, 3)
        self.ci.layout.setColumnStretchFactor(1, 5)
        self.spectrum, self.residual = make_bare_plot(inner), make_bare_plot(inner, 1)
        inner.layout.setRowStretchFactor(0, 5)
        inner.layout.setRowStretchFactor(1, 3)
        self._data = pg.PlotCurveItem(connect="finite")
        self.spectrum.addItem(self._data, ignoreBounds=True)
        self._models, self._residuals = self._add_curves(self.spectrum), self._add_curves(self.residual)
        self.residual.setXLink(self.spectrum)
        self.spectrum.getAxis("bottom").setStyle(showValues=False)

    @staticmethod
    def _add_curves(plot: pg.PlotItem) -> list[pg.PlotCurveItem]:
        curves = [pg.PlotCurveItem(connect="finite") for _ in ANSWER_COLORS]
        for curve in curves:
            plot.addItem(curve, ignoreBounds=True)
        return curves

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        shaded = colors.shade_all(list(ANSWER_COLORS))
        self._ribbon.set_color(shaded[0], colors.background)
        for curve, color in zip(self._sfhs, shaded):
            curve.setPen(get_pen(color, 2))
        self.reader.set_colors(colors)
        self._label()
        if self._with_spectrum:
            self._data.setPen(get_pen(colors.data))
            for curves in (self._models, self._residuals):
                for curve, color in zip(curves, shaded):
                    curve.setPen(get_pen(color))
            style_axes(self.spectrum, colors, left=self._flux_label)
            style_axes(self.residual, colors, left="residual", bottom="rest wavelength (Å)")

    def _label(self) -> None:
        what = "V light / bin" if self.kind == "light" else "mass / bin"
        style_axes(self.sfh, self._colors, left=what, bottom="lookback time (Gyr)")

    def set_kind(self, kind: str) -> None:
        """``mass`` or ``light``; drawn at the next `draw`."""
        self.kind = kind
        self._label()

    def draw(self, answers: Sequence[BinHistory], view: BinView | None = None) -> None:
        """Show answers; the first one's 16-84 % interval is shaded."""
        shown = list(answers)[:MAX_HISTORIES]
        for k, curve in enumerate(self._sfhs):
            curve.setVisible(k < len(shown))
            if k < len(shown):
                curve.setData(*histogram_corners(LG_EDGES, shown[k].sfh(self.kind).value))
        if shown:
            first = shown[0].sfh(self.kind)
            x, low = histogram_corners(LG_EDGES, first.low)
            self._ribbon.between(x, low, histogram_corners(LG_EDGES, first.high)[1])
            tops = [np.nanmax(v, initial=0.0) for a in shown for v in (a.sfh(self.kind).value, first.high)]
            self.sfh.setYRange(0, 1.08 * max(*tops, 1e-3), padding=0)
        if self._with_spectrum and view is not None:
            self._draw_spectrum(shown, view)

    def _draw_spectrum(self, answers: Sequence[BinHistory], view: BinView) -> None:
        wave = view.wave_aa
        self.spectrum.setToolTip(describe_flux(view.instrument))
        self._flux_label = format_flux_label(view.instrument, html=True)
        style_axes(self.spectrum, self._colors, left=self._flux_label)
        if wave.size:
            self.spectrum.setXRange(wave[0], wave[-1], padding=0)
        self._data.setData(wave, view.flux)
        models = [a.model for a in answers if a.model is not None]
        size = 1e-3
        for k, (curve, difference) in enumerate(zip(self._models, self._residuals)):
            model = answers[k].model if k < len(answers) else None
            for item in (curve, difference):
                item.setVisible(model is not None)
            if model is not None:
                residual = view.flux - model
                curve.setData(wave, np.asarray(model))
                difference.setData(wave, residual)
                size = max(size, choose_residual_range(residual))
        if models:
            low, high = choose_flux_range(view.flux, np.asarray(models[0]))
            self.spectrum.setYRange(low, high, padding=0)
        self.residual.setYRange(-size, size, padding=0)


class SideText(QLabel):
    """Small text beside plots, which can be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setWordWrap(True)
        self.setStyleSheet(f"QLabel {{ font-size: {POINTS}pt; }}")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self.setFixedWidth(_TEXT_WIDTH)
        self.setContentsMargins(4, 2, 4, 2)


class HistoryLegend(SideText):
    """Answers in their colours with the four means side by side, one line each; long names are whole in the tip."""

    def show_histories(self, answers: Sequence[BinHistory], above: str, colors: Palette) -> None:
        """One column per answer, below a text."""
        shown = list(answers)[:MAX_HISTORIES]
        heads = [
            f'<span style="color:{color}">■</span> {escape(shorten_middle(answer.name, _HEAD_LETTERS))}'
            for color, answer in zip(colors.shade_all(list(ANSWER_COLORS)), shown)
        ]
        self.setToolTip(escape_tip("\n".join(answer.name for answer in shown)))
        self.setText(above + format_side_by_side(heads, list_history_means(shown)))


def format_side_by_side(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table in rich text whose cells have a line each.

    Parameters
    ----------
    heads : sequence of str
        Of the columns, as rich text.
    rows : sequence of (str, sequence of str)
        Label and one text per column.
    """
    lines = [("", heads), *rows]
    cells = ("</td><td>".join((label, *texts)) for label, texts in lines)
    body = "".join(f'<tr style="white-space:pre"><td>{row}</td></tr>' for row in cells)
    return f'<table cellspacing="0" cellpadding="1">{body}</table>'


def shorten_name(name: str) -> str:
    """The name of an answer, of whose file beginning and end stay where it is long."""
    return shorten_words(name, _NAME_LETTERS)


def make_sfh_kind_choice(act: Callable[[str], None]) -> ComboBox:
    """How SFHs of answers are drawn: `HistoryPlots.set_kind` for a bound method ``act``."""
    choices = [("Mass formed", "mass"), ("V-band light", "light")]
    kind = ComboBox(label="SFH as", choices=choices, value="mass", tooltip="Share of each age bin")
    kind.changed.connect(act)
    return kind


def make_save_button(text: str, tip: str, act: Callable[[Any], None]) -> PushButton:
    """A button of a `ToolDock` that calls a bound method.

    Parameters
    ----------
    text, tip : str
        On the button, and above it.
    act : callable
        A bound method; it is called with the button's value.
    """
    button = PushButton(text=text, tooltip=tip)
    button.changed.connect(act)
    return button


class ToolDock(QWidget):
    """A dock: a row of fields and buttons, plots, and words beside them; or a sentence where there is nothing to show.

    What is drawn in it is brought up to date when it is seen: `touch` says that it is stale, ``seen`` asks to draw.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its theme gives the colours.
    plots : sequence of widgets with ``set_colors(Palette)``
        From the left; the second is a little wider.
    words : QLabel, optional
        Beside the plots.
    fields : sequence of magicgui widgets
        Above the plots.
    empty : str
        What to do to have something to show.
    """

    seen = Signal()

    def __init__(
        self, viewer: Any, plots: Sequence[Any], words: QLabel | None, fields: Sequence[Any], empty: str
    ) -> None:
        super().__init__()
        self._viewer, self._plots = viewer, plots
        self.fields = Container(widgets=list(fields), layout="horizontal", labels=True)
        self.fields.margins = (0, 0, 0, 0)
        self._empty = QLabel(empty)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._content = QWidget()
        self._arrange(words)
        self._theme = make_weak_slot(self._theme_changed)
        viewer.events.theme.connect(self._theme)
        self._stale = False
        self.fill(False)

    def _arrange(self, words: QLabel | None) -> None:
        inside = QHBoxLayout(self._content)
        inside.setContentsMargins(0, 0, 0, 0)
        for plot, stretch in zip(self._plots, (3, 4)):
            inside.addWidget(plot, stretch)
        if words is not None:
            inside.addWidget(words)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(2)
        place_row(self.fields.native)
        layout.addWidget(self.fields.native)
        layout.addWidget(self._content, 1)
        layout.addWidget(self._empty, 1)
        self.setMinimumHeight(230)

    def touch(self) -> None:
        """Draw anew when the dock can be seen, after what is being done now."""
        self._stale = True
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Not inside the painting itself, which must not change what it paints."""
        super().paintEvent(event)
        if self._stale:
            self._stale = False
            QTimer.singleShot(0, self._tell)

    def _tell(self) -> None:
        self.seen.emit()

    def fill(self, filled: bool, busy: bool = False) -> None:
        """Show the plots, or the sentence; fields and buttons are of use with plots, and while nothing runs."""
        self._content.setVisible(filled)
        self._empty.setVisible(not filled)
        self.enable(filled and not busy)

    def enable(self, enabled: bool) -> None:
        """Let fields and buttons be used."""
        self.fields.enabled = enabled

    def _theme_changed(self, _: object = None) -> None:
        colors = get_palette(self._viewer.theme)
        for plot in self._plots:
            plot.set_colors(colors)
        self.touch()  # what is drawn or written in colours of its own

    def release(self) -> None:
        """Follow the theme no longer, and go."""
        self.seen.disconnect()
        for plot in self._plots:
            if isinstance(plot, pg.GraphicsLayoutWidget):
                plot.ci.clear()
        self._viewer.events.theme.disconnect(self._theme)
        self.deleteLater()


def format_comparison_scatter(comparison: Comparison, key: str, use: NDArray[np.bool_]) -> str:
    """The statistics of a quantity, for a label.

    Parameters
    ----------
    comparison : Comparison
    key : str
        One of the compared quantities.
    use : bool array (N,)
        Bins that count.

    Returns
    -------
    str
    """
    return format_scatter(comparison.scatter(key, use), QUANTITIES[key].error_unit)
