"""Figures without a screen: the page that a headless run leaves.

Built on matplotlib's `Figure` alone (no pyplot, no global state), so that any thread may draw them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colorbar import make_axes
from matplotlib.figure import Figure

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.drawing.bin_drawing import DRAWN_EDGES_GYR, choose_flux_range
from napari_sfh.figures.sky_labels import label_sky_axes
from napari_sfh.physics.quantities import QUANTITIES, Quantity
from napari_sfh.types import Result

#: Pixels per inch of the page.
PAGE_DPI = 90
#: Length of a colour bar beside its map.
_BAR_SHARE = 0.85


def draw_summary_page(result: Result) -> Figure:
    """One page of a run: the four maps and their errors, white light, S/N, warning, E(B-V), and three bins.

    Weights that predict no histories leave a page of the maps that they do predict.
    """
    if not result.prediction.has_histories:
        return _draw_scalar_page(result)
    figure = Figure(figsize=(16, 17))  # of fixed places: Matplotlib's own layout takes longer than the drawing
    figure.suptitle(
        f"{result.name}, z = {result.redshift:.5f}, {result.bins.n_bins} bins, weights {result.model_name}", size=14
    )
    halves: Any = figure.subfigures(2, 1, height_ratios=[3, 1.9])
    above, below = halves
    axes = above.subplots(3, 4, subplot_kw={"projection": result.wcs.celestial})
    above.subplots_adjust(left=0.065, right=0.96, bottom=0.05, top=0.93, wspace=0.22, hspace=0.14)
    for k, name in enumerate(maps.MEAN_MAPS):
        _map(axes[0, k], result, name)
        _map(axes[1, k], result, f"{name}_ERR")
    _white_light(axes[2, 0], result)
    make_axes(axes[2, 0], shrink=_BAR_SHARE)[0].remove()  # as large as the maps beside it
    for panel, name in zip(axes[2, 1:], ("SNR", "OOD", "EBV")):
        _map(panel, result, name)
    for (row, column), panel in np.ndenumerate(axes):
        label_sky_axes(panel, left=column == 0, bottom=row == 2)
    panels = below.subplots(2, 3)
    below.subplots_adjust(left=0.065, right=0.985, bottom=0.08, top=0.94, wspace=0.18, hspace=0.35)
    for column, bin_id in zip(panels.T, _typical_bins(result)):
        view = BinView.of(result, bin_id)
        _spectrum(column[0], result, view)
        _sfh(column[1], view)
    return figure


def _draw_scalar_page(result: Result) -> Figure:
    """White light, S/N and warning, then median and error of every scalar."""
    names = result.prediction.scalars
    figure = Figure(figsize=(13, 3.6 * (1 + len(names))), layout="constrained")
    figure.suptitle(
        f"{result.name}, z = {result.redshift:.5f}, {result.bins.n_bins} bins, weights {result.model_name}", size=14
    )
    grid, sky = figure.add_gridspec(1 + len(names), 3), result.wcs.celestial
    first = [figure.add_subplot(grid[0, column], projection=sky) for column in range(3)]
    _white_light(first[0], result)
    for panel, name in zip(first[1:], ("SNR", "OOD")):
        _map(panel, result, name)
    for column, panel in enumerate(first):
        label_sky_axes(panel, left=column == 0, bottom=False)
    for k, name in enumerate(names, 1):
        row: list[Any] = [figure.add_subplot(grid[k, column], projection=sky) for column in range(2)]
        about = QUANTITIES.get(name) or Quantity(name, name, "")
        median, error = result.prediction.median(name), result.prediction.half_width(name)
        for panel, values, words, unit, colormap in (
            (row[0], median, about.title, about.unit, about.colormap),
            (row[1], error, f"{about.title}, 1 sigma", about.error_unit, "magma"),
        ):
            image = maps.paint_bins(result.bins.bin_id, values)
            lo, hi = map_limits.robust_limits(map_limits.hide_untrusted_bins(result, image))
            drawn = panel.imshow(image, origin="lower", cmap=colormap, vmin=lo, vmax=hi)
            panel.set_title(words)
            label_sky_axes(panel, left=panel is row[0], bottom=k == len(names))
            figure.colorbar(drawn, ax=panel, label=unit, shrink=_BAR_SHARE)
        counts = figure.add_subplot(grid[k, 2])
        counts.hist(median[np.isfinite(median)], bins=40, color="0.5")
        counts.set(title=about.title, xlabel=about.unit, ylabel="Number of bins")
    return figure


def _white_light(axes: Any, result: Result) -> None:
    low, high = map_limits.robust_limits(result.white)
    axes.imshow(np.clip(result.white, low, high), origin="lower", cmap="gray")
    axes.set_title("White light")


def _map(axes: Any, result: Result, name: str) -> None:
    spec = maps.MAPS[name]
    image = maps.make_map_image(result, name)
    low, high = map_limits.choose_map_limits(result, name, "robust")
    drawn = axes.imshow(image, origin="lower", cmap=spec.colormap, vmin=low, vmax=high)
    axes.set_title(spec.title)
    axes.figure.colorbar(drawn, ax=axes, label=spec.unit, shrink=_BAR_SHARE)


def _typical_bins(result: Result) -> list[int]:
    """The bins at the 90th, 50th and 10th percentile of surface brightness."""
    level = np.nan_to_num(result.data.norm_cgs / np.maximum(result.bins.nspax, 1))
    order = np.argsort(level)[::-1]
    return [int(order[int(f * (order.size - 1))]) + 1 for f in (0.1, 0.5, 0.9)]


def _spectrum(axes: Any, result: Result, view: BinView) -> None:
    row = view.bin_id - 1
    axes.plot(view.wave_aa, view.flux, color="0.3", lw=0.6, label="observed")
    axes.plot(view.wave_aa, view.model, color="tab:red", lw=0.8, label="model of the prediction")
    axes.plot(view.wave_aa, view.residual, color="tab:blue", lw=0.5, label="residual")
    snr, chi2, ood = result.data.snr[row], result.chi2_of(row), result.prediction.ood[row]
    axes.set(
        title=f"bin {view.bin_id}: S/N {snr:.0f}, χ² {chi2:.2f}, out of depth {ood:.2f}",
        xlabel="Rest wavelength (Å)",
        ylabel=_name_flux(view),
    )
    if view.wave_aa.size:
        axes.set_xlim(view.wave_aa[0], view.wave_aa[-1])
        low, high = choose_flux_range(view.flux, view.model)
        left = np.abs(view.residual[np.isfinite(view.residual)])
        below = 1.5 * float(np.percentile(left, 95.0)) if left.size else 0.0
        axes.set_ylim(min(low, -below), high + 0.4 * (high - low))  # room for the legend above the spectrum
    bands = " ".join(b for b, used in zip(view.bands, result.data.phot_mask[row]) if used) or "none"
    axes.legend(fontsize=7, title=f"bands: {bands}", title_fontsize=7, loc="best")


def _name_flux(view: BinView) -> str:
    """As `format_flux_label`, without mathematical text (`label_sky_axes` says why)."""
    spectrum = view.instrument.spectrum
    if spectrum is None:
        return "Flux, relative"
    low, high = spectrum.norm_window_aa
    return f"Flux / flux at {low:.0f}–{high:.0f} Å"


def _sfh(axes: Any, view: BinView) -> None:
    axes.stairs(view.mass.value, DRAWN_EDGES_GYR, fill=True, alpha=0.5, label="mass fraction per age bin")
    axes.plot(DRAWN_EDGES_GYR, view.cumulative.value, color="tab:red", label="mass formed before")
    axes.fill_between(DRAWN_EDGES_GYR, view.cumulative.low, view.cumulative.high, color="tab:red", alpha=0.2, lw=0)
    axes.set(xscale="log", xlabel="Lookback time (Gyr)", ylabel="Fraction of the mass formed")
    axes.set(ylim=(0, 1.05), xlim=DRAWN_EDGES_GYR[[0, -1]])
    axes.xaxis.set_major_formatter(lambda age, _: f"{age:g}")
    axes.legend(fontsize=7, loc="center left")
