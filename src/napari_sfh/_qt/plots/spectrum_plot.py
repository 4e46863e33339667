"""The spectrum of one bin with its model, and the residual below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QPainterPath
from qtpy.QtWidgets import QGraphicsItem

from napari_sfh._qt.plots.plot_items import Curve, Ribbon, VerticalLines, get_pen, make_ribbon_path, pg, prepare_range
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.analysis.drawing.bin_drawing import LINES_AA, choose_flux_range
from napari_sfh.instruments.instrument import Instrument

#: Spectra of compared bins that are drawn at once.
MAX_SPECTRA = 6
#: Width of the plot below which its wavelengths are numbered by the thousand.
NARROW_PX = 170.0


class SpectrumPlot:
    """Data, model, masked ranges and named lines in one plot; residual and error in another, which shares its axis.

    Parameters
    ----------
    spectrum, residual : pyqtgraph.PlotItem
        Plots to fill.
    """

    def __init__(self, spectrum: pg.PlotItem, residual: pg.PlotItem) -> None:
        self.spectrum, self.residual = spectrum, residual
        self._view: BinView | None = None
        self._wave_aa = np.empty(0)
        self._is_narrow: bool | None = None
        self._data = Curve(connect="finite")
        self._model = Curve()
        self._difference = Curve(connect="finite")
        self._others: list[Curve] = []
        self._error = Ribbon(90, edged=True)
        self._predictive = Ribbon(80, edged=True)  # above the model, below the data
        self._predictive_off = Ribbon(110, edged=True)  # the same about the model, where it is wide enough to be read
        for ribbon in (self._predictive, self._predictive_off):
            ribbon.setZValue(-1)
        self._masked = [Ribbon(45), Ribbon(45)]
        self._zero = pg.InfiniteLine(0, angle=0)
        # The data upon the model: a model that fits would hide them.
        for item in (self._masked[0], self._predictive, self._model, self._data):
            self.spectrum.addItem(item, ignoreBounds=True)
        for item in (self._masked[1], self._error, self._predictive_off, self._zero, self._difference):
            self.residual.addItem(item, ignoreBounds=True)
        self._lines = VerticalLines(self.spectrum, [wave for _, wave in LINES_AA])
        self.spectrum.showAxis("top")
        self.spectrum.getAxis("top").setStyle(tickLength=0, tickTextOffset=1, hideOverlappingLabels=False)
        self.spectrum.getAxis("top").setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.spectrum.vb.sigResized.connect(self._name_lines)
        self.residual.setXLink(self.spectrum)
        self.spectrum.getAxis("bottom").setStyle(showValues=False)
        for plot in (self.spectrum, self.residual):
            plot.getAxis("bottom").setStyle(textFillLimits=[(0, 0.5)])
            plot.setMouseEnabled(x=True, y=False)
        self.spectrum.vb.sigXRangeChanged.connect(self._fit_flux)
        self.spectrum.vb.sigResized.connect(self._space_numbers)

    def set_instrument(self, instrument: Instrument) -> None:
        """Follow the network's grid of wavelengths."""
        self._wave_aa = wave = instrument.wave_aa
        if wave.size:
            self.spectrum.setXRange(wave[0], wave[-1], padding=0)
        self.spectrum.setToolTip(
            f"{describe_flux(instrument)}; broad pale line: the prediction's model of the first bin"
        )
        self._name_lines()

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self._model.setPen(make_model_pen(colors))
        self._zero.setPen(get_pen(colors.faint, style=Qt.PenStyle.DashLine))
        for ribbon in (self._error, *self._masked):
            ribbon.set_color(colors.faint, colors.background)
        for ribbon in (self._predictive, self._predictive_off):
            ribbon.set_color(colors.model, colors.background)
        self._lines.setPen(get_pen(colors.faint, style=Qt.PenStyle.DotLine))

    def _name_lines(self) -> None:
        """Name as many lines as have room (8 pixels a letter), the most important first."""
        grid = self._wave_aa
        if not grid.size:
            return
        pixel_aa = (grid[-1] - grid[0]) / max(self.spectrum.vb.width(), 1.0)
        named: list[tuple[float, str]] = []
        for name, wave in LINES_AA:
            if grid[0] < wave < grid[-1] and all(
                abs(wave - other) > (4 * len(name + beside) + 3) * pixel_aa for other, beside in named
            ):
                named.append((wave, name))
        self.spectrum.getAxis("top").setTicks([named])

    def draw(self, view: BinView | None) -> None:
        """Show a bin, or nothing."""
        self._view = view
        if view is None:
            self._clear()
            return
        low, high = view.flux_range
        for curve in (self._data, self._difference):
            curve.setPen(get_pen(self._colors.shade_all(list_view_colors([view]))[0]))
        self._data.setData(view.wave_aa, view.flux)
        self._model.setData(view.wave_aa, view.model)
        self._fit_flux()
        self._masked[0].spans(view.masked, low - 100 * (high - low), high + 100 * (high - low))
        size = view.residual_range
        self._difference.setData(view.wave_aa, view.residual)
        self._error.between(view.wave_aa, -view.error, view.error)
        self._masked[1].spans(view.masked, -100 * size, 100 * size)
        self.residual.setYRange(-size, size, padding=0)

    def draw_predictive(self, band: tuple[NDArray[np.floating], NDArray[np.floating]] | None) -> None:
        """Shade between the 16 and 84 % of the spectra (W,) that draws of the posterior make; None: nothing.

        Beside the residual the model is taken off: the band is mostly narrower than the error of the data.
        """
        if band is None or self._view is None:
            for ribbon in (self._predictive, self._predictive_off):
                ribbon.setPath(QPainterPath())
            return
        low, high = band
        self._predictive.between(self._wave_aa, low, high)
        self._predictive_off.between(self._wave_aa, low - self._view.model, high - self._view.model)

    def overlay(self, views: Sequence[BinView]) -> None:
        """Draw the spectra of compared bins upon that of the first, from the second of ``views`` on."""
        shown, colors = list(views)[1 : MAX_SPECTRA + 1], self._colors.shade_all(list_view_colors(views))[1:]
        while len(self._others) < len(shown):
            curve = Curve(connect="finite")
            curve.setZValue(2)
            self.spectrum.addItem(curve, ignoreBounds=True)
            self._others.append(curve)
        for k, curve in enumerate(self._others):
            curve.setVisible(k < len(shown))
            if k < len(shown):
                curve.setPen(get_pen(colors[k]))
                curve.setData(shown[k].wave_aa, shown[k].flux)

    def _space_numbers(self, *_: object) -> None:
        """Wavelengths by the thousand where the plot is narrow: pyqtgraph's own numbers would touch."""
        first, last = self.spectrum.vb.viewRange()[0]
        narrow = bool(self.spectrum.vb.width() < NARROW_PX and last - first > 1500)
        if narrow is not self._is_narrow:
            self._is_narrow = narrow
            for plot in (self.spectrum, self.residual):
                plot.getAxis("bottom").setTickSpacing(*((1000.0, 500.0) if narrow else ()))

    def _fit_flux(self, *_: object) -> None:
        """The range of flux for the wavelengths in sight: they stay when another bin is shown."""
        self._space_numbers()
        if self._view is None:
            return
        flux_range = self._find_flux_range(self._view)
        if flux_range is not None:
            self.spectrum.setYRange(*flux_range, padding=0)

    def _find_flux_range(self, view: BinView) -> tuple[float, float] | None:
        first, last = self.spectrum.vb.viewRange()[0]
        seen = (first <= view.wave_aa) & (last >= view.wave_aa)
        if seen.sum() < 2:
            return None
        return view.flux_range if seen.all() else choose_flux_range(view.flux[seen], view.model[seen])

    def foresee(self, view: BinView) -> None:
        """Prepare axes and curves for a bin that may be shown next."""
        for curve, y in ((self._data, view.flux), (self._model, view.model), (self._difference, view.residual)):
            curve.generatePath(view.wave_aa, y)
        make_ribbon_path(view.wave_aa, -view.error, view.error)
        flux_range = self._find_flux_range(view)
        if flux_range is not None:
            prepare_range(self.spectrum, *flux_range)
        prepare_range(self.residual, -view.residual_range, view.residual_range)

    def _clear(self) -> None:
        for curve in (self._data, self._model, self._difference):
            curve.setData([], [])
        for ribbon in (*self._masked, self._error, self._predictive, self._predictive_off):
            ribbon.setPath(QPainterPath())


def make_model_pen(colors: Palette) -> Any:
    """How models are drawn: broad and pale, in no bin's colour, below the data."""
    return get_pen(colors.pale, 4)


def describe_flux(instrument: Instrument) -> str:
    """A tip for axes of flux."""
    if instrument.spectrum is None:
        return f"Flux density per Å over the {instrument.norm_text}"
    lo, hi = instrument.spectrum.norm_window_aa
    return f"Flux density per Å over the bin's mean in {lo:.0f}–{hi:.0f} Å"
