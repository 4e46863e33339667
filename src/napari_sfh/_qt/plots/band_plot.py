"""The bands of one bin: measured, modelled, and the continuum of the model."""

from __future__ import annotations

import numpy as np

from napari_sfh._qt.plots.plot_items import pg
from napari_sfh._qt.plots.spectrum_plot import describe_flux
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.instruments.instrument import Instrument

#: Bands whose names have room below their points.
MAX_NAMED_BANDS = 8


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
        self._errors = pg.ErrorBarItem(x=self._lg_pivot_aa, y=self._lg_pivot_aa, height=self._lg_pivot_aa, beam=0.0)
        self._data = pg.ScatterPlotItem(size=7, symbol="o")
        self._model = pg.ScatterPlotItem(size=11, symbol="d")
        self._spectrum = pg.PlotCurveItem()
        for item in (self._spectrum, self._errors, self._model, self._data):
            self.sed.addItem(item, ignoreBounds=True)
        self.sed.setMouseEnabled(x=False, y=False)

    def set_instrument(self, instrument: Instrument) -> None:
        """Follow the bands that the network was shown."""
        self.sed.setToolTip(f"{describe_flux(instrument)}; dots: measured, diamonds: the prediction's model")
        self._lg_pivot_aa = np.log10(instrument.pivot_aa)
        self.sed.getAxis("bottom").setTicks([_band_ticks(instrument)])
        known = self._lg_pivot_aa[np.isfinite(self._lg_pivot_aa)]
        self.sed.getAxis("bottom").setStyle(hideOverlappingLabels=known.size > 12)
        if known.size:
            room = 0.06 if known.size <= MAX_NAMED_BANDS else 0.04 * float(np.ptp(known))
            self.sed.setXRange(known.min() - room, known.max() + room, padding=0)

    def format_place(self, x: float, y: float) -> str:
        """A place of the plot: wavelength and flux."""
        return f"{10**x:.0f} Å, {y:.4g}".replace("-", "−")

    @property
    def axis_name(self) -> str:
        """What the bands' axis says: names, or wavelengths where there are many."""
        return "band" if self._lg_pivot_aa.size <= MAX_NAMED_BANDS else "wavelength (Å)"

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._errors.setData(pen=pg.mkPen(colors.data))
        self._data.setBrush(pg.mkBrush(colors.data))
        self._data.setPen(pg.mkPen(colors.data))
        self._model.setBrush(pg.mkBrush(None))
        self._model.setPen(pg.mkPen(colors.model, width=2))
        self._spectrum.setPen(pg.mkPen(colors.model, width=1))

    def draw(self, view: BinView | None) -> None:
        """Show a bin, or nothing."""
        if view is None:
            self._clear()
            return
        used = np.isfinite(view.phot)
        x, y, error = self._lg_pivot_aa[used], view.phot[used], view.phot_error[used]
        self._data.setData(x, y)
        self._errors.setData(x=x, y=y, height=2 * error)
        self._model.setData(self._lg_pivot_aa, view.phot_model)
        wave, continuum = view.continuum()
        self._spectrum.setData(np.log10(wave), continuum)
        values = np.concatenate([y + error, y - error, view.phot_model])
        values = values[np.isfinite(values)]
        top = 1.0 if values.size == 0 else float(values.max())
        bottom = float(values.min(initial=top))
        if len(view.bands) <= MAX_NAMED_BANDS:  # of narrow bands the small differences count
            bottom = min(0.0, bottom)
        self.sed.setYRange(bottom - 0.1 * (top - bottom) if bottom > 0 else bottom, 1.08 * top, padding=0)

    def _clear(self) -> None:
        self._spectrum.setData([], [])
        for scatter in (self._data, self._model):
            scatter.setData([], [])
        self._errors.setData(x=np.array([]), y=np.array([]), height=np.array([]))


def _band_ticks(instrument: Instrument) -> list[tuple[float, str]]:
    """Names of the bands at log10 of their wavelengths, every other one a line lower; of many, round wavelengths."""
    known = instrument.pivot_aa[np.isfinite(instrument.pivot_aa)]
    if known.size > MAX_NAMED_BANDS:
        step = 500.0 if np.ptp(known) < 4000 else 1000.0
        rounds = np.arange(np.ceil(known.min() / step), known.max() / step + 1) * step
        return [(float(np.log10(wave)), f"{wave:.0f}") for wave in rounds]
    named = [(x, name) for x, name in zip(instrument.pivot_aa, instrument.band_names) if np.isfinite(x)]
    wide = [n[1:-1] if n[0] == "F" and n[-1] in "WMN" and n[1:-1].isdigit() else n for _, n in named]
    return [(float(np.log10(x)), "\n" * (k % 2) + text) for k, ((x, _), text) in enumerate(zip(named, wide))]
