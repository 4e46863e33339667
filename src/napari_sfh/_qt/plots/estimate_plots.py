"""What weights without histories say: each quantity of the selected objects, against those of all the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh._qt.plots.crosshair import PlotReader, format_place
from napari_sfh._qt.plots.plot_items import EDGED_BANDS, Ribbon, get_pen, make_bare_plot, pg, style_axes
from napari_sfh._qt.widgets.theme import POINTS, Palette
from napari_sfh.analysis.bin_properties import ScalarEstimate
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.physics.quantities import QUANTITIES

#: Histograms that are drawn at most, beside the curve of formation times.
MAX_QUANTITIES = 6
#: Objects that are drawn at once.
MAX_OBJECTS = 14
#: Formation times that make a curve of their own.
LEAST_TIMES = 3


def is_formation_time(name: str) -> bool:
    """Whether a quantity is a lookback time at which a share of the mass had formed: ``t10`` ... ``t90``."""
    return name[:1] == "t" and name[1:].isdigit()


class EstimatePlots(pg.GraphicsLayoutWidget):
    """A histogram of all objects for each quantity, with median and 16-84 % interval of the selected ones upon it.

    Three formation times or more are one curve: the share of the mass that had formed, over the lookback time.
    """

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self.ci.setContentsMargins(2, 2, 2, 2)
        self.ci.setSpacing(4)
        self._colors = colors
        self._names: tuple[str, ...] = ()
        self._times: tuple[str, ...] = ()
        self._panels: dict[str, _EstimatePanel] = {}
        self._curve: _FormationPanel | None = None
        self.reader = PlotReader(self, {})
        self.set_colors(colors)

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities that are drawn."""
        return (*self._times, *self._names)

    def set_population(self, values: Mapping[str, NDArray[np.floating]]) -> None:
        """Show the medians of all objects: quantity to (N,)."""
        times = tuple(name for name in values if is_formation_time(name))
        self._times = times if len(times) >= LEAST_TIMES else ()
        self._names = tuple(name for name in values if name not in self._times)[:MAX_QUANTITIES]
        self.ci.clear()
        self._panels, self._curve = {}, None
        if self._times:
            self._curve = _FormationPanel(make_bare_plot(self, 0, 0), self._times)
        columns = 2 if self._times or len(self._names) > 3 else 1
        for k, name in enumerate(self._names):
            plot = make_bare_plot(self, k // columns, k % columns + (1 if self._times else 0))
            self._panels[name] = _EstimatePanel(plot, name, np.asarray(values[name], dtype=float))
        shown = [panel.plot for panel in (self._curve, *self._panels.values()) if panel is not None]
        self.reader.set_plots(dict.fromkeys(shown, format_place))
        self.set_colors(self._colors)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self.reader.set_colors(colors)
        for panel in self._panels.values():
            panel.set_colors(colors)
        if self._curve is not None:
            self._curve.set_colors(colors)

    def draw(self, shown: Sequence[Sequence[ScalarEstimate]], colors: Sequence[str] = ()) -> None:
        """Show objects: what was estimated of each, in ``colors`` or those of their places."""
        colors = self._colors.shade_all([*colors, *map(choose_color, range(len(colors), MAX_OBJECTS))])
        told = [{one.name: one for one in estimates} for estimates in list(shown)[:MAX_OBJECTS]]
        for name, panel in self._panels.items():
            panel.draw([each.get(name) for each in told], colors)
        if self._curve is not None:
            self._curve.draw(told, colors)

    def release(self) -> None:
        """Empty the scene before Python ends."""
        self.ci.clear()


class _EstimatePanel:
    """One quantity: histogram of all objects, a band and a line for each shown one."""

    def __init__(self, plot: Any, name: str, values: NDArray[np.float64]) -> None:
        about = QUANTITIES.get(name)
        self.plot, self._label = plot, about.label if about is not None else name
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, [0.2, 99.8]) if finite.size else (0.0, 1.0)
        room = 0.05 * max(float(high - low), 0.05)
        edges = np.linspace(float(low) - room, float(high) + room, 41)
        counts = np.histogram(finite, edges)[0].astype(float)
        self._top = max(1.08 * float(counts.max(initial=1.0)), 1.0)
        self._bars = pg.PlotCurveItem(edges, counts, stepMode="center", fillLevel=0.0)
        plot.addItem(self._bars, ignoreBounds=True)
        self._bands = [Ribbon(80 if k == 0 else 40) for k in range(MAX_OBJECTS)]
        self._lines = [pg.InfiniteLine(0, angle=90) for _ in self._bands]
        for band, line in zip(self._bands, self._lines):
            band.setZValue(5)
            line.setZValue(6)
            plot.addItem(band, ignoreBounds=True)
            plot.addItem(line, ignoreBounds=True)
        self._edges = edges
        plot.setMouseEnabled(x=True, y=False)
        plot.setYRange(0, self._top, padding=0)
        plot.setXRange(edges[0], edges[-1], padding=0)
        plot.setToolTip(f"{self._label}: grey, the medians of all; coloured, median and 16-84 % of the selected ones")

    def set_colors(self, colors: Palette) -> None:
        self._background = colors.background
        style_axes(self.plot, colors, bottom=self._label, left="number", points=POINTS)
        self._bars.setPen(get_pen(colors.faint))
        self._bars.setBrush(pg.mkBrush(colors.faint + "60"))

    def draw(self, estimates: Sequence[ScalarEstimate | None], colors: Sequence[str]) -> None:
        seen = [self._edges[0], self._edges[-1]]
        for k, (band, line) in enumerate(zip(self._bands, self._lines)):
            one = estimates[k] if k < len(estimates) else None
            known = one is not None and bool(np.isfinite(one.value))
            band.setVisible(known)
            line.setVisible(known)
            if one is not None and known:
                line.setValue(one.value)
                line.setPen(get_pen(colors[k], 2))
                band.set_color(colors[k], self._background, k == 0 or len(estimates) <= EDGED_BANDS)
                band.spans([(one.low, one.high)], 0.0, self._top)
                seen += [one.low, one.high]
        self.plot.setXRange(min(seen), max(seen), padding=0)


class _FormationPanel:
    """Share of the mass that had formed before a lookback time, with the times' intervals as a band."""

    def __init__(self, plot: Any, names: tuple[str, ...]) -> None:
        self.plot = plot
        self._names = sorted(names, key=lambda name: int(name[1:]))
        self._shares = np.array([int(name[1:]) / 100 for name in self._names])
        self._curves = [pg.PlotCurveItem() for _ in range(MAX_OBJECTS)]
        self._bands = [Ribbon(70 if k == 0 else 25) for k in range(MAX_OBJECTS)]
        for curve, band in zip(self._curves, self._bands):
            plot.addItem(band, ignoreBounds=True)
            plot.addItem(curve, ignoreBounds=True)
        plot.setXRange(0, 14, padding=0)
        plot.setYRange(0, 1.05, padding=0)
        plot.setMouseEnabled(x=True, y=False)
        plot.setToolTip("Share of the mass that had formed before: t10 to t90 with their 16-84 % intervals")

    def set_colors(self, colors: Palette) -> None:
        self._background = colors.background
        style_axes(self.plot, colors, bottom="lookback time (Gyr)", left="formed", points=POINTS)

    def draw(self, told: Sequence[Mapping[str, ScalarEstimate]], colors: Sequence[str]) -> None:
        latest = 0.0
        for k, (curve, band) in enumerate(zip(self._curves, self._bands)):
            curve.setPen(get_pen(colors[k], 2))
            band.set_color(colors[k], self._background, k == 0 or len(told) <= EDGED_BANDS)
            some = [told[k].get(name) for name in self._names] if k < len(told) else []
            known = bool(some) and all(one is not None and np.isfinite(one.value) for one in some)
            curve.setVisible(known)
            band.setVisible(known)
            if not known:
                continue
            value, low, high = (np.array([getattr(one, key) for one in some]) for key in ("value", "low", "high"))
            curve.setData(value, self._shares)
            outline = np.concatenate([low, high[::-1]]), np.concatenate([self._shares, self._shares[::-1]])
            band.setPath(pg.arrayToQPath(*outline))
            latest = max(latest, float(high.max()))
        if latest > 0:
            self.plot.setXRange(0, 1.05 * latest, padding=0)
