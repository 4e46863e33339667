"""The plots of the selected bin, in pyqtgraph: made once, then only their data change.

pyqtgraph rather than matplotlib, because a click must be painted within 60 ms; figures for paper and export are drawn
by `napari_sfh.figures.pages` from the same `BinView`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtWidgets import QMenu

from napari_sfh._qt.plots.band_plot import BandPlot
from napari_sfh._qt.plots.crosshair import PlotReader, format_place
from napari_sfh._qt.plots.panel_numbers import format_panel_numbers
from napari_sfh._qt.plots.plot_items import (
    BandCurves,
    Curve,
    PanelViewBox,
    add_action,
    copy_picture,
    copy_text,
    get_pen,
    histogram_corners,
    make_bare_plot,
    make_label_style,
    pg,
    prepare_range,
    style_axes,
)
from napari_sfh._qt.plots.spectrum_plot import SpectrumPlot
from napari_sfh._qt.plots.time_axes import TIME_AXES
from napari_sfh._qt.widgets.theme import POINTS, Palette
from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.analysis.credible_bands import CredibleBand
from napari_sfh.analysis.drawing.bin_drawing import DRAWN_EDGES_GYR, MH_EDGES, SFH_KINDS, format_flux_label
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.ages import AGE_WIDTH_YR

#: Panels: name to its plots, and each plot's place: row, column, rows, columns.
PANELS: dict[str, tuple[str, ...]] = {
    "sfh": ("sfh",),
    "cumulative": ("cumulative",),
    "mh": ("mh",),
    "spectrum": ("spectrum", "residual"),
    "sed": ("sed",),
}
PLACES = {
    "sfh": (0, 0, 8, 1),
    "cumulative": (0, 1, 4, 1),
    "mh": (4, 1, 4, 1),
    "spectrum": (0, 2, 5, 1),
    "residual": (5, 2, 3, 1),
    "sed": (0, 3, 8, 1),
}
#: Least widths of the columns in pixels, for their numbers.
LEAST_PX = (132, 118, 116, 134)


class Arrangement(NamedTuple):
    """Where the plots stand in a dock of at least some width in pixels, and how wide the columns are to each other."""

    least_px: int
    places: Mapping[str, tuple[int, int, int, int]]
    stretch: tuple[int, ...]


#: By falling width: in less, the axes would take more room than the curves. First the bands stand below the spectrum,
#: and the residual is seen where the spectrum is alone; then the formed mass does, and metallicities and bands wait.
ARRANGEMENTS = (
    Arrangement(620, PLACES, (11, 7, 12, 5)),
    Arrangement(
        440,
        {name: PLACES[name] for name in ("sfh", "cumulative", "mh")} | {"spectrum": (0, 2, 5, 1), "sed": (5, 2, 3, 1)},
        (13, 7, 10, 0),
    ),
    Arrangement(0, {"sfh": (0, 0, 8, 1), "spectrum": (0, 1, 4, 1), "cumulative": (4, 1, 4, 1)}, (8, 7, 0, 0)),
)


class BinPlots(pg.GraphicsLayoutWidget):
    """SFH, cumulative mass, metallicity, spectrum with residual, and the bands of the shown bins.

    The wheel zooms the axis of time or wavelength only. A double click undoes a zoom; without one it lets a panel fill
    the whole dock, and brings the others back. The right button opens a menu.
    """

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self.kind = "mass"
        self.metallicity = "age"
        self.time = TIME_AXES["log_gyr"]
        self.enlarged = ""
        self.arrangement = ARRANGEMENTS[0]
        self.panels = tuple(PANELS)
        self._views: list[BinView] = []
        self._instrument: Instrument | None = None
        self._predictive: dict[int, tuple[NDArray[np.floating], NDArray[np.floating]]] = {}
        self.ci.setContentsMargins(2, 2, 2, 2)
        self.ci.setSpacing(4)
        self._boxes = {name: PanelViewBox(self._fill_menu, self._toggle_zoom) for name in PLACES}
        self._plots = {name: make_bare_plot(None, view_box=box) for name, box in self._boxes.items()}
        self.sfh, self.cumulative, self.mh = (self._plots[name] for name in ("sfh", "cumulative", "mh"))
        self.spectrum, self.residual, self.sed = (self._plots[name] for name in ("spectrum", "residual", "sed"))
        self._bands = BandPlot(self.sed)
        self._place_panels()
        self.sfh.vb.sigXRangeChanged.connect(self._fit_height)
        self.curves = {name: BandCurves(getattr(self, name)) for name in ("sfh", "cumulative", "mh")}
        self._priors = {"sfh": Curve(), "mh": Curve()}
        for name, curve in self._priors.items():
            curve.setZValue(-5)
            self._plots[name].addItem(curve, ignoreBounds=True)
        self._make_times()
        self._spectrum = SpectrumPlot(self.spectrum, self.residual)
        self._set_time_ranges()
        for plot in (self.sfh, self.mh):
            plot.vb.sigResized.connect(self._number_times)
        self.reader = PlotReader(self, {plot: partial(self._read_place, name) for name, plot in self._plots.items()})
        self.set_colors(colors)

    def _place_panels(self) -> None:
        """The panels in their places, or the enlarged one alone."""
        used = [self.enlarged] if self.enlarged else list(self.panels)
        self.arrangement = self._choose_arrangement()
        places = self.arrangement.places
        shown = [name for panel in used for name in PANELS[panel] if name in places]
        for name, plot in self._plots.items():
            if plot in self.ci.items:
                self.ci.removeItem(plot)
            plot.setVisible(name in shown)
        used_columns = {places[name][1] for name in shown}
        for column, stretch in enumerate(self.arrangement.stretch):
            in_use = column in used_columns
            self.ci.layout.setColumnStretchFactor(column, stretch if in_use else 0)
            self.ci.layout.setColumnMinimumWidth(column, LEAST_PX[column] if in_use else 0)
        for name in shown:
            row, column, rows, columns = places[name]
            self.ci.addItem(self._plots[name], row, column, rows, columns)
        for plot, below in ((self.cumulative, self.mh), (self.spectrum, self.residual)):
            plot.getAxis("bottom").setStyle(showValues=not below.isVisible())
        for row in range(8):
            self.ci.layout.setRowStretchFactor(row, 1)

    def _choose_arrangement(self) -> Arrangement:
        """The first for which there is room; few panels have it."""
        if self.enlarged or self.panels != tuple(PANELS):
            return ARRANGEMENTS[0]
        return next(each for each in ARRANGEMENTS if self.width() >= each.least_px)

    def resizeEvent(self, event: Any) -> None:
        """Where it becomes narrow, by its window or by many numbers beside it, fewer columns are left."""
        if hasattr(self, "reader") and self.arrangement is not self._choose_arrangement():
            self.reader.hide()
            self._place_panels()
            self._label()
        super().resizeEvent(event)  # the last: the columns that were there may be wider together than it is now
        # Else Qt looks for the bounds of all items whenever one changes.
        self.scene().setSceneRect(QRectF(self.rect()))

    def choose_panels(self, names: Sequence[str]) -> None:
        """Have these panels only (keys of `PANELS`): weights may predict no histories, or take no bands."""
        chosen = tuple(name for name in PANELS if name in names)
        if chosen != self.panels:
            self.panels, self.enlarged = chosen, ""
            self._place_panels()

    def enlarge_panel(self, name: str) -> None:
        """Let one panel (a key of `PANELS`) fill the dock; an empty name brings all back."""
        self.enlarged = name if name in PANELS else ""
        self.reader.hide()
        self._place_panels()
        self._label()
        self._style_axes()

    def reset_zoom(self) -> None:
        """Show all of every axis again."""
        self._set_time_ranges()
        instrument, self._instrument = self._instrument, None
        if instrument is not None:
            self.set_instrument(instrument)
        for box in self._boxes.values():
            box.zoomed = False
        self.draw(self._views)

    def _panel_of(self, box: PanelViewBox) -> str:
        plot = next(name for name, one in self._boxes.items() if one is box)
        return next(name for name, plots in PANELS.items() if plot in plots)

    def _toggle_zoom(self, box: PanelViewBox) -> None:
        """A double click."""
        if box.zoomed:
            self.reset_zoom()
        else:
            self.enlarge_panel("" if self.enlarged else self._panel_of(box))

    def _fill_menu(self, box: PanelViewBox, menu: QMenu) -> None:
        """The right button's menu of one panel."""
        name = self._panel_of(box)
        add_action(menu, "Reset the zoom", self.reset_zoom)
        add_action(
            menu,
            "Show all plots" if self.enlarged else "Show this plot alone",
            partial(self.enlarge_panel, "" if self.enlarged else name),
        )
        add_action(menu, "Copy the picture", self.copy_picture)
        add_action(menu, "Copy the numbers", partial(self.copy_numbers, name))

    def _read_place(self, name: str, x: float, y: float) -> str:
        """What the crosshair says."""
        if name in ("sfh", "cumulative") or (name == "mh" and self.metallicity == "age"):
            return self.time.format_place(x, y)
        return self._bands.format_place(x, y) if name == "sed" else format_place(x, y)

    def copy_picture(self) -> None:
        """Put what is shown on the clipboard."""
        copy_picture(self)

    def copy_numbers(self, name: str) -> None:
        """Put a panel's curves on the clipboard as tab-separated columns."""
        if self._views:
            copy_text(format_panel_numbers(self._views, name, self.kind))

    def release(self) -> None:
        """Empty the scene before Python ends: items whose plots have gone print tracebacks."""
        for plot in self._plots.values():
            plot.clear()
        self.ci.clear()

    def set_time_axis(self, key: str) -> None:
        """Draw histories over the lookback time's logarithm or the time itself (a key of `TIME_AXES`)."""
        self.time = TIME_AXES[key]
        self._set_time_ranges()
        self._label()
        self.draw(self._views)

    def _set_time_ranges(self) -> None:
        edges = self.time.edges
        self._number_times()
        for plot in (self.sfh, self.cumulative, self.mh):
            by_time = self._is_over_time(plot)
            plot.getAxis("bottom").setStyle(hideOverlappingLabels=False)
            low, high = (edges[0], edges[-1]) if by_time else MH_EDGES[[0, -1]]
            plot.setLimits(xMin=low, xMax=high)
            plot.setXRange(low, high, padding=0)
            plot.setMouseEnabled(x=True, y=False)

    def _is_over_time(self, plot: object) -> bool:
        return plot is not self.mh or self.metallicity == "age"

    def _number_times(self, *_: object) -> None:
        """As many numbers of time as have room."""
        for plot in (self.sfh, self.cumulative, self.mh):
            ticks = self.time.find_ticks(plot.vb.width()) if self._is_over_time(plot) else None
            plot.getAxis("bottom").setTicks(ticks)

    def _make_times(self) -> None:
        """Axes of the cumulative share, and lines at t50 and t90 of the first bin."""
        self.cumulative.setToolTip("Share of the mass (or V light) that had formed before; t50, t90: half and 90 %")
        # The top is free: its label would touch the one of the plot above.
        self.cumulative.setYRange(0, 1.12, padding=0)
        self.cumulative.getAxis("left").setTicks([[(0.0, "0"), (0.5, "0.5"), (1.0, "1")]])
        self.times = {0.5: pg.InfiniteLine(0, angle=90), 0.9: pg.InfiniteLine(0, angle=90)}
        for fraction, line in self.times.items():
            # Left of their lines, at two heights: they never meet, nor leave the plot.
            height = 0.2 if fraction == 0.5 else 0.5
            line.label = pg.InfLineLabel(line, f"t{100 * fraction:.0f}", position=height, anchors=[(1, 0.5), (1, 0.5)])
            line.setZValue(1)  # on the curves of bins that are compared, too
            self.cumulative.addItem(line, ignoreBounds=True)

    def set_instrument(self, instrument: Instrument) -> None:
        """Follow what the network was shown: range of the spectrum, bands, what fluxes are divided by."""
        if instrument is self._instrument or instrument == self._instrument:
            return
        self._instrument = instrument
        self._spectrum.set_instrument(instrument)
        self._bands.set_instrument(instrument)
        self._label()

    def _label(self) -> None:
        label = format_flux_label(self._instrument, html=True) if self._instrument else ""
        for plot, side, text in (
            (self.sfh, "left", SFH_KINDS[self.kind][1]),
            (self.sfh, "bottom", self.time.label),
            (self.cumulative, "left", "formed"),
            (self.cumulative, "bottom", self.time.label if self.enlarged else ""),
            (self.mh, "left", "[M/H] (dex)" if self.metallicity == "age" else "share"),
            (self.mh, "bottom", self.time.label if self.metallicity == "age" else "[M/H] (dex)"),
            (self.spectrum, "left", label),
            (self.spectrum, "bottom", "" if self.residual.isVisible() else "rest λ (Å)"),
            (self.residual, "left", "residual"),
            (self.residual, "bottom", "rest wavelength (Å)"),
            (self.sed, "left", label),
            (self.sed, "bottom", self._bands.axis_name),
        ):
            plot.setLabel(side, text, **make_label_style(self._colors))

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        self.setBackground(colors.background)
        self._label()
        self._style_axes()
        for line in self.times.values():
            line.setPen(get_pen(colors.text, style=Qt.PenStyle.DashLine))
            line.label.setColor(colors.text)
        for curve in self._priors.values():
            curve.setPen(get_pen(colors.faint, 1.5, style=Qt.PenStyle.DashLine))
        self.reader.set_colors(colors)
        self._spectrum.set_colors(colors)
        self._bands.set_colors(colors)
        if self._views:
            self.draw(self._views)

    def _style_axes(self) -> None:
        """Small digits; larger ones where a panel has the dock to itself."""
        for plot in self._plots.values():
            style_axes(plot, self._colors, ("left", "bottom", "top"), points=POINTS + (3 if self.enlarged else 0))

    def set_predictive(self, bin_id: int, band: NDArray[np.floating]) -> None:
        """Keep the spectra of draws of a bin's posterior; their 16-84 % are shaded whenever the bin is shown first.

        Parameters
        ----------
        bin_id : int
            1..N.
        band : array (5, W)
            At `types.QUANTILES`, in the unit of the drawn spectra.
        """
        self._predictive[bin_id] = band[1], band[3]
        self.draw(self._views)

    def forget_predictive(self) -> None:
        """Another result is shown."""
        self._predictive = {}
        self._spectrum.draw_predictive(None)

    def set_kind(self, kind: str) -> None:
        """Draw the SFH as ``mass``, ``light`` or ``sfr``."""
        self.kind = kind
        self._label()
        self.draw(self._views)

    def set_metallicity(self, metallicity: str) -> None:
        """Draw [M/H] of each age bin (``age``), or the mass' or light's ``distribution`` over [M/H]."""
        self.metallicity = metallicity
        self._set_time_ranges()
        self._label()
        self.draw(self._views)

    def draw(self, views: Sequence[BinView]) -> None:
        """Show bins: the SFHs of all of them, spectrum and bands of the first."""
        self.scene().update()  # of all at once: Qt looks for no part of each item that has changed
        self._views = list(views)
        if views:
            self.set_instrument(views[0].instrument)
        self._draw_histories([view for view in views if view.has_history])
        first = views[0] if views else None
        self._spectrum.draw(first)
        self._spectrum.overlay(views)
        self._spectrum.draw_predictive(self._predictive.get(first.bin_id) if first is not None else None)
        self._bands.draw(views)
        self._settle()

    def _settle(self) -> None:
        """Find new ranges and bounds: else the first painting does, and asks for a second one."""
        self.scene().prepareForPaint()
        for plot in self._plots.values():
            for item in plot.items:
                if isinstance(item, pg.InfiniteLine) and item.isVisible():
                    item.boundingRect()

    def _draw_histories(self, views: Sequence[BinView]) -> None:
        histories, shares = [v.sfh(self.kind) for v in views], [v.cumulative_share(self.kind) for v in views]
        colors = self._colors.shade_all(list_view_colors(views))
        self.curves["sfh"].draw(self.time.edges, histories, colors, histogram=True, background=self._colors.background)
        self.curves["cumulative"].draw(
            self.time.edges, shares, colors, histogram=False, background=self._colors.background
        )
        self._draw_times(views)
        self._draw_metallicity(views)
        self._draw_priors(views)
        self._fit_height()

    def _fit_height(self, *_: object) -> None:
        """The SFH as high as what is seen of it: zoomed in, the young ages are as high as the old ones were."""
        self.sfh.setYRange(0, self._find_height(self._views), padding=0)

    def _find_height(self, views: Sequence[BinView]) -> float:
        low, high = self.sfh.vb.viewRange()[0]
        seen = (self.time.edges[1:] > low) & (self.time.edges[:-1] < high)
        return _top_of_bands([view.sfh(self.kind).select(seen) for view in views if view.has_history])

    def foresee(self, views: Sequence[BinView]) -> None:
        """Prepare what is drawn of bins that may be shown next, the first one's spectrum."""
        if not views or views[0].instrument != self._instrument:
            return
        histories = [view for view in views if view.has_history]
        if histories:
            histories[0].formed(tuple(self.times), self.kind)
            self.curves["sfh"].foresee(self.time.edges, [view.sfh(self.kind) for view in histories], True)
            shares = [view.cumulative_share(self.kind) for view in histories]
            self.curves["cumulative"].foresee(self.time.edges, shares, False)
            prepare_range(self.sfh, 0, self._find_height(histories))
            if self.metallicity == "age":
                self.curves["mh"].foresee(self.time.edges, [view.mh for view in histories], True)
                prepare_range(self.mh, *_range_of_bands([view.mh for view in histories]))
        self._spectrum.foresee(views[0])
        self._bands.foresee(views)

    def _draw_priors(self, views: Sequence[BinView]) -> None:
        """What was believed before any data, dashed, where the weights say it."""
        prior = dict(views[0].prior) if views else {}
        shown = {"sfh": prior.get("light" if self.kind == "light" else "mass"), "mh": prior.get("mh")}
        if self.kind == "sfr" and shown["sfh"] is not None:
            shown["sfh"] = shown["sfh"].scaled(1e9 / AGE_WIDTH_YR)
        if self.metallicity != "age":
            shown["mh"] = None
        for name, curve in self._priors.items():
            band = shown[name]
            curve.setVisible(band is not None)
            if band is not None:
                curve.setData(*histogram_corners(self.time.edges, band.value))

    def _draw_times(self, views: Sequence[BinView]) -> None:
        times = views[0].formed(tuple(self.times), self.kind).value if views else np.full(2, np.nan)
        for line, time in zip(self.times.values(), times):
            line.setVisible(bool(np.isfinite(time)))
            if np.isfinite(time):
                place = self.time.place(max(time, DRAWN_EDGES_GYR[0]))
                first, last = self.time.edges[[0, -1]]
                side = 1 if place - first > 0.3 * (last - first) else 0
                line.label.anchors = [(side, 0.5), (side, 0.5)]
                if line.value() == place:
                    line.label.updatePosition()
                else:
                    line.setValue(place)  # and its label

    def _draw_metallicity(self, views: Sequence[BinView]) -> None:
        colors = self._colors.shade_all(list_view_colors(views))
        if self.metallicity == "age":
            self.curves["mh"].draw(
                self.time.edges, [v.mh for v in views], colors, histogram=True, background=self._colors.background
            )
            low, high = _range_of_bands([v.mh for v in views])
        else:
            shares = [v.metallicity_distribution(self.kind) for v in views]
            nothing = np.full(MH_EDGES.size - 1, np.nan)
            bands = [CredibleBand(share, nothing, nothing) for share in shares]
            self.curves["mh"].draw(MH_EDGES, bands, colors, histogram=True, background=self._colors.background)
            low, high = 0.0, 1.08 * max([float(np.nanmax(s, initial=1e-3)) for s in shares], default=1.0)
        self.mh.setYRange(low, high, padding=0)


def _top_of_bands(bands: Sequence[CredibleBand]) -> float:
    values = [b.high if np.isfinite(b.high).any() else b.value for b in bands]
    tops = [float(np.nanmax(v)) for v in values if np.isfinite(v).any()]
    return 1.08 * max(tops) if tops and max(tops) > 0 else 1.0


def _range_of_bands(bands: Sequence[CredibleBand]) -> tuple[float, float]:
    parts = [p for b in bands for p in (b.value, b.low, b.high)]
    values = np.concatenate(parts) if parts else np.array([])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -1.0, 0.5
    room = 0.08 * max(float(np.ptp(values)), 0.2)
    return float(values.min()) - room, float(values.max()) + room
