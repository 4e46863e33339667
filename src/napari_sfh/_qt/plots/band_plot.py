"""The bands of one bin: measured, modelled, and the continuum of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtGui import QFontMetrics, QPainterPath

from napari_sfh._qt.plots.plot_items import Curve, ErrorBars, Points, get_brush, get_pen, pg, prepare_range
from napari_sfh._qt.plots.spectrum_plot import MAX_SPECTRA, describe_flux, make_model_pen
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.instruments.instrument import Instrument

#: Bands whose names have room below their points.
MAX_NAMED_BANDS = 8
#: Lines that their names take at most, and pixels between two of a line.
NAME_LINES, NAME_GAP_PX = 3, 4.0
#: Pixels of the axis below them, without its words.
_AXIS_PX = 8


class BandPlot:
    """Fluxes of the bands over log10 of their pivot wavelengths in AA.

    Parameters
    ----------
    sed : pyqtgraph.PlotItem
        The plot to fill.
    """

    def __init__(self, sed: pg.PlotItem) -> None:
        self.sed = sed
        self._lg_pivot_aa = np.empty(0)
        self._errors = ErrorBars()
        self._data = Points(size=7, symbol="o")
        self._others = Points(size=6, symbol="o", pen=None)
        self._instrument: Instrument | None = None
        self._model = Points(size=11, symbol="d")
        self._spectrum = Curve()
        for item in (self._spectrum, self._errors, self._others, self._model, self._data):
            self.sed.addItem(item, ignoreBounds=True)
        self.sed.setMouseEnabled(x=False, y=False)
        self.sed.vb.sigResized.connect(self._name_bands)

    def set_instrument(self, instrument: Instrument) -> None:
        """Follow the bands that the network was shown."""
        self.sed.setToolTip(f"{describe_flux(instrument)}; dots: measured, diamonds: the prediction's model")
        self._lg_pivot_aa = np.log10(instrument.pivot_aa)
        self._instrument = instrument
        known = self._lg_pivot_aa[np.isfinite(self._lg_pivot_aa)]
        self.sed.getAxis("bottom").setStyle(hideOverlappingLabels=known.size > 12)
        self._name_bands()

    def _name_bands(self, *_: object) -> None:
        """Names below their points, in as many lines as they need to keep apart; none is cut at the right end."""
        known = self._lg_pivot_aa[np.isfinite(self._lg_pivot_aa)]
        if self._instrument is None or not known.size:
            return
        axis = self.sed.getAxis("bottom")
        metrics = QFontMetrics(axis.style["tickFont"] or self.sed.font())
        names = _list_band_ticks(self._instrument)
        widths = [metrics.horizontalAdvance(name) for _, name in names]
        pixels, span = max(float(self.sed.vb.width()), 1.0), max(float(np.ptp(known)), 0.05)
        beside = 0.5 * widths[-1] + NAME_GAP_PX
        before, after = 0.08 * span, max(0.08, 1.08 * beside / max(pixels - beside, 0.3 * pixels)) * span
        self.sed.setXRange(known.min() - before, known.max() + after, padding=0)
        places = [(x - known.min()) * pixels / (before + span + after) for x, _ in names]
        lines = _stagger_names(places, widths)
        if known.size > MAX_NAMED_BANDS:  # numbers in one line: those that have room
            names = [name for name, line in zip(names, lines) if line == 0]
        else:
            rows = max(lines) + 1
            axis.setHeight(rows * metrics.lineSpacing() + QFontMetrics(self.sed.font()).height() + _AXIS_PX)
            names = [(x, "\n" * line + name) for (x, name), line in zip(names, lines)]
        axis.setTicks([names])

    def format_place(self, x: float, y: float) -> str:
        """A place of the plot: wavelength and flux."""
        return f"{10**x:.0f} Å, {y:.4g}".replace("-", "−")

    @property
    def axis_name(self) -> str:
        """What the bands' axis says: names, or wavelengths where there are many."""
        return "band" if self._lg_pivot_aa.size <= MAX_NAMED_BANDS else "λ (Å)"

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self._model.setBrush(pg.mkBrush(None))
        self._model.setPen(get_pen(colors.text))
        self._spectrum.setPen(make_model_pen(colors))
        self._name_bands()

    def draw(self, views: Sequence[BinView]) -> None:
        """Show the bands of bins, each in its colour; the first one's with errors and model."""
        if not views:
            self._clear()
            return
        view = views[0]
        self._draw_others(views)
        used = np.isfinite(view.phot)
        x, y, error = self._lg_pivot_aa[used], view.phot[used], view.phot_error[used]
        (color,) = self._colors.shade_all(list_view_colors(views[:1]))
        self._data.setData(x, y, brush=get_brush(color), pen=get_pen(color))
        self._errors.setPen(get_pen(color))
        self._errors.show_errors(x, y, error)
        modelled = np.isfinite(view.phot_model)  # weights without histories have no model
        self._model.setData(self._lg_pivot_aa[modelled], view.phot_model[modelled])
        wave, continuum = view.continuum()
        self._spectrum.setData(np.log10(wave), continuum)
        self.sed.setYRange(*self._find_range(views), padding=0)

    def foresee(self, views: Sequence[BinView]) -> None:
        """Prepare curve, errors and axis for bins that may be shown next."""
        view = views[0]
        used = np.isfinite(view.phot)
        self._errors.trace_errors(self._lg_pivot_aa[used], view.phot[used], view.phot_error[used])
        wave, continuum = view.continuum()
        self._spectrum.generatePath(np.log10(wave), continuum)
        prepare_range(self.sed, *self._find_range(views))

    @staticmethod
    def _find_range(views: Sequence[BinView]) -> tuple[float, float]:
        """Of the first one's points with their errors and model, and the points of the others."""
        view = views[0]
        used = np.isfinite(view.phot)
        y, error = view.phot[used], view.phot_error[used]
        values = np.concatenate([y + error, y - error, view.phot_model, *(each.phot for each in views[1:])])
        values = values[np.isfinite(values)]
        top = 1.0 if values.size == 0 else float(values.max())
        bottom = float(values.min(initial=top))
        if len(view.bands) <= MAX_NAMED_BANDS:  # of narrow bands the small differences count
            bottom = min(0.0, bottom)
        return bottom - 0.1 * (top - bottom) if bottom > 0 else bottom, 1.08 * top

    def _draw_others(self, views: Sequence[BinView]) -> None:
        """The points of compared bins, from the second of ``views`` on."""
        shown, colors = list(views)[1 : MAX_SPECTRA + 1], self._colors.shade_all(list_view_colors(views))[1:]
        if not shown and not len(self._others.data):
            return
        brushes = [get_brush(color) for color, each in zip(colors, shown) for _ in each.phot]
        y = np.concatenate([each.phot for each in shown]) if shown else np.empty(0)
        x = np.tile(self._lg_pivot_aa, len(shown))
        good = np.isfinite(x) & np.isfinite(y)
        self._others.setData(x=x[good], y=y[good], brush=[brushes[k] for k in np.flatnonzero(good)])

    def _clear(self) -> None:
        self._spectrum.setData([], [])
        for scatter in (self._data, self._others, self._model):
            scatter.setData([], [])
        self._errors.setPath(QPainterPath())


def _list_band_ticks(instrument: Instrument) -> list[tuple[float, str]]:
    """Names of the bands at log10 of their wavelengths, in the order of these; of many, round wavelengths."""
    known = instrument.pivot_aa[np.isfinite(instrument.pivot_aa)]
    if known.size > MAX_NAMED_BANDS:
        rounds = _list_round_wavelengths(float(known.min()), float(known.max()))
        return [(float(np.log10(wave)), f"{wave:.0f}") for wave in rounds]
    named = sorted((x, name) for x, name in zip(instrument.pivot_aa, instrument.band_names) if np.isfinite(x))
    wide = [n[1:-1] if n[0] == "F" and n[-1] in "WMN" and n[1:-1].isdigit() else n for _, n in named]
    return [(float(np.log10(x)), text) for (x, _), text in zip(named, wide)]


def _list_round_wavelengths(low_aa: float, high_aa: float) -> list[float]:
    """Numbers of an axis that is logarithmic: in equal steps on a short one, else 1, 2 and 5 times powers of ten."""
    if high_aa < 4 * low_aa:
        step = 500.0 if high_aa - low_aa < 4000 else 1000.0
        return [float(k * step) for k in range(int(np.ceil(low_aa / step)), int(high_aa / step) + 2)]
    decades = range(int(np.log10(low_aa)), int(np.log10(high_aa)) + 1)
    return [n * 10.0**k for k in decades for n in (1, 2, 5) if low_aa <= n * 10.0**k <= high_aa]


def _stagger_names(places: Sequence[float], widths: Sequence[float]) -> list[int]:
    """The line of each name below an axis: the first where it keeps clear of the one before.

    Parameters
    ----------
    places, widths : sequence of float
        Middles of the names, rising, and their widths, pixels.

    Returns
    -------
    list of int
        From 0; where no line has room, the one whose last name ends first.
    """
    ends = [-np.inf] * NAME_LINES
    lines = []
    for place, width in zip(places, widths):
        left = place - 0.5 * width
        free = [line for line, end in enumerate(ends) if left >= end + NAME_GAP_PX]
        line = free[0] if free else int(np.argmin(ends))
        ends[line] = place + 0.5 * width
        lines.append(line)
    return lines
