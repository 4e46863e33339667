"""Spectra of a cube, and the ranges of wavelength dragged in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_sfh._qt.plots.crosshair import PlotReader
from napari_sfh._qt.plots.plot_items import (
    PanelViewBox,
    add_action,
    copy_picture,
    copy_text,
    get_pen,
    make_bare_plot,
    pg,
    style_axes,
)
from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.drawing.bin_drawing import LINES_AA, choose_flux_range
from napari_sfh.analysis.exploration.range_images import Range

#: The ranges: the image's, and those of continuum on either side.
RANGES = ("range", "left", "right")
CUBE_TIP = (
    "Drag: the image over a range of wavelength. Shift + drag beside it: continuum, which is taken off. "
    "Ranges can be moved and stretched; wheel zooms, double click shows all"
)
#: Spectra that are drawn at most.
MAX_CURVES = 12


@dataclass(frozen=True)
class NamedSpectrum:
    """A spectrum (n,) in the plot's unit with its name and colour."""

    name: str
    color: str
    flux: NDArray[np.float64]


class RangeBox(PanelViewBox):
    """A view in which a drag with the left button marks a range of x.

    Attributes
    ----------
    marked : Signal
        Both ends, whether Shift is held, and whether the button was let go.
    """

    marked = Signal(float, float, bool, bool)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Mark a range with the left button; other buttons move the plot."""
        if event.button() != Qt.MouseButton.LeftButton or axis is not None:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        start, end = self.mapToView(event.buttonDownPos()).x(), self.mapToView(event.pos()).x()
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.marked.emit(min(start, end), max(start, end), shift, event.isFinish())


class CubePlot(pg.GraphicsLayoutWidget):
    """Spectrum under the cursor, spectra of apertures, and ranges.

    Attributes
    ----------
    ranges : dict
        Name (`RANGES`) to its ends in AA; those that are not set are absent.
    ranges_changed : Signal
        The user has moved one.
    """

    ranges_changed = Signal()

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self.box = RangeBox(self._fill_menu, self._double_clicked)
        self.plot = make_bare_plot(None, view_box=self.box)
        self.ci.addItem(self.plot)
        self.plot.setToolTip(CUBE_TIP)
        self.plot.setMouseEnabled(x=True, y=False)
        self.ranges: dict[str, Range] = {}
        self._wave_aa = np.empty(0)
        self._label = ""
        self._redshift: float | None = None
        self._spectra: list[NamedSpectrum] = []
        self._cursor: NDArray[np.float64] = np.empty(0)
        self._live = pg.PlotCurveItem(connect="finite")
        self._curves = [pg.PlotCurveItem(connect="finite") for _ in range(MAX_CURVES)]
        for item in (self._live, *self._curves):
            self.plot.addItem(item, ignoreBounds=True)
        self._lines = [pg.InfiniteLine(wave) for _, wave in LINES_AA]
        for line in self._lines:
            line.setZValue(-30)
            self.plot.addItem(line, ignoreBounds=True)
        self._regions = {name: self._make_region(name) for name in RANGES}
        self.plot.showAxis("top")
        self.plot.getAxis("top").setStyle(tickLength=0, tickTextOffset=1, hideOverlappingLabels=False)
        self.box.marked.connect(self._mark)
        self.box.sigXRangeChanged.connect(self._fit)
        self.reader = PlotReader(self, {self.plot: self._read_out})
        self.set_colors(colors)

    def _make_region(self, name: str) -> Any:
        region = pg.LinearRegionItem(movable=True)
        region.setZValue(-10)
        region.hide()
        self.plot.addItem(region, ignoreBounds=True)
        region.sigRegionChanged.connect(self._dragged)
        return region

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self._live.setPen(get_pen(colors.data))
        for line in self._lines:
            line.setPen(get_pen(colors.faint, style=Qt.PenStyle.DotLine))
        for name, region in self._regions.items():
            color = colors.model if name == "range" else colors.residual
            region.setBrush(pg.mkBrush(color + "50"))
            region.setHoverBrush(pg.mkBrush(color + "80"))
            for line in region.lines:
                line.setPen(get_pen(color))
                line.setHoverPen(get_pen(color, 3))
        self.reader.set_colors(colors)
        self._style()

    def _style(self) -> None:
        style_axes(
            self.plot,
            self._colors,
            ("left", "bottom", "top"),
            bottom="observed wavelength in air (Å)",
            left=self._label,
            widest="−0.0005",
        )

    def set_cube(self, wave_aa: NDArray[np.float64], label: str, redshift: float | None) -> None:
        """Another cube: wavelengths (n,), label of the flux, redshift of the lines (None: not known)."""
        self._wave_aa, self._label = wave_aa, label
        self._spectra, self._cursor = [], np.full(wave_aa.size, np.nan)
        self.set_ranges({})
        self._draw()
        self.set_redshift(redshift)
        self.reset_zoom()
        self._style()

    def set_redshift(self, redshift: float | None) -> None:
        """Where the named lines are; None hides them."""
        self._redshift = redshift
        for line, (_, wave) in zip(self._lines, LINES_AA):
            line.setVisible(redshift is not None)
            line.setValue(wave * (1 + (redshift or 0.0)))
        self._name_lines()

    def set_label(self, label: str) -> None:
        """What the axis of flux says."""
        self._label = label
        self._style()

    def tell(self, text: str) -> None:
        """Say above the plot what is being done; nothing takes it away."""
        self.plot.setTitle(text or None, size="9pt", color=self._colors.text)

    def set_ranges(self, ranges: Mapping[str, Range]) -> None:
        """Show these ranges, and no others; nobody is told."""
        self.ranges = dict(ranges)
        for name, region in self._regions.items():
            region.setVisible(name in ranges)
            if name in ranges:
                region.blockSignals(True)
                region.setRegion(ranges[name])
                region.blockSignals(False)

    def set_spectra(self, spectra: Sequence[NamedSpectrum]) -> None:
        """Spectra of apertures."""
        self._spectra = list(spectra)[:MAX_CURVES]
        self._draw()

    def set_cursor(self, flux: NDArray[np.float64]) -> None:
        """The spectrum under the cursor."""
        self._cursor = flux
        self._live.setData(self._wave_aa, flux)
        self._fit()

    def _draw(self) -> None:
        self._live.setData(self._wave_aa, self._cursor)
        for k, curve in enumerate(self._curves):
            curve.setVisible(k < len(self._spectra))
            if k < len(self._spectra):
                curve.setPen(get_pen(self._colors.shade(self._spectra[k].color)))
                curve.setData(self._wave_aa, self._spectra[k].flux)
        self._fit()

    def reset_zoom(self) -> None:
        """Show all wavelengths."""
        if self._wave_aa.size > 1:
            self.plot.setXRange(self._wave_aa[0], self._wave_aa[-1], padding=0)
        self.box.zoomed = False

    def _fit(self, *_: object) -> None:
        """The range of flux for the wavelengths in sight."""
        first, last = self.box.viewRange()[0]
        seen = (self._wave_aa >= first) & (self._wave_aa <= last)
        shown = [spectrum.flux[seen] for spectrum in self._spectra]
        shown += [self._cursor[seen]] if self._cursor.size == self._wave_aa.size else []
        values = np.concatenate(shown) if shown else np.empty(0)
        if np.isfinite(values).sum() > 1:
            whole = last - first > 0.8 * (self._wave_aa[-1] - self._wave_aa[0])
            low, high = np.nanmin(values), np.nanmax(values)
            # Of a part all is shown: lines are what one looks at.
            limits = choose_flux_range(values, np.empty(0)) if whole else (low - 0.05 * (high - low), high)
            self.plot.setYRange(limits[0], limits[1] + 0.05 * (limits[1] - limits[0]), padding=0)
        self._name_lines()

    def _name_lines(self) -> None:
        """Name as many lines as have room, the most important first."""
        first, last = self.box.viewRange()[0]
        pixel_aa = (last - first) / max(self.box.width(), 1.0)
        named: list[tuple[float, str]] = []
        for name, wave in LINES_AA if self._redshift is not None else ():
            at = wave * (1 + (self._redshift or 0.0))
            if first < at < last and all(abs(at - w) > (4 * len(name + n) + 3) * pixel_aa for w, n in named):
                named.append((at, name))
        self.plot.getAxis("top").setTicks([named])

    def _mark(self, low: float, high: float, shift: bool, finished: bool) -> None:
        name = "range" if not shift else self._find_side((low + high) / 2)
        self.set_ranges({**self.ranges, name: (low, high)})
        self.ranges_changed.emit()

    def _find_side(self, middle: float) -> str:
        """The continuum left or right of the range; without one, left."""
        if "range" not in self.ranges:
            return "left"
        return "left" if middle < sum(self.ranges["range"]) / 2 else "right"

    def _dragged(self, region: Any) -> None:
        name = next(name for name, one in self._regions.items() if one is region)
        low, high = region.getRegion()
        self.ranges[name] = float(low), float(high)
        self.ranges_changed.emit()

    def remove_ranges(self, *names: str) -> None:
        """Take ranges away."""
        self.set_ranges({name: ends for name, ends in self.ranges.items() if name not in names})
        self.ranges_changed.emit()

    def _read_out(self, x: float, y: float) -> str:
        if not self._wave_aa.size:
            return ""
        channel = int(np.argmin(np.abs(self._wave_aa - x)))
        rest = "" if self._redshift is None else f"   rest {x / (1 + self._redshift):.1f} Å"
        values = [f"cursor {self._cursor[channel]:.4g}"] if self._cursor.size else []
        values += [f"{spectrum.name} {spectrum.flux[channel]:.4g}" for spectrum in self._spectra[:4]]
        return f"{x:.1f} Å{rest}   {'   '.join(values)}"

    def _double_clicked(self, _: PanelViewBox) -> None:
        self.reset_zoom()

    def _fill_menu(self, _: PanelViewBox, menu: QMenu) -> None:
        add_action(menu, "Show all wavelengths", self.reset_zoom)
        if "range" in self.ranges:
            add_action(menu, "Remove the ranges", lambda: self.remove_ranges(*RANGES))
        if set(self.ranges) & {"left", "right"}:
            add_action(menu, "Remove the continuum", lambda: self.remove_ranges("left", "right"))
        add_action(menu, "Copy the picture", lambda: copy_picture(self))
        add_action(menu, "Copy the numbers", lambda: copy_text(self.format_numbers()))

    def list_columns(self) -> dict[str, NDArray[np.float64]]:
        """What is drawn, by name: wavelength (n,) in AA, the cursor's spectrum and those of the apertures."""
        columns = {"wavelength_aa": self._wave_aa}
        if np.isfinite(self._cursor).any():
            columns["cursor"] = self._cursor
        return columns | {spectrum.name.replace(" ", "_"): spectrum.flux for spectrum in self._spectra}

    def format_numbers(self) -> str:
        """The same as tab-separated text with a header line."""
        columns = self.list_columns()
        rows = ("\t".join(f"{value:.6g}" for value in row) for row in zip(*columns.values()))
        return "\n".join(["\t".join(columns), *rows])

    def release(self) -> None:
        """Empty the scene before Python ends."""
        self.plot.clear()
        self.ci.clear()
