"""Figures of comparisons for a paper: maps and one-to-one plots of two answers, and several answers for one bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.comparison import history_comparison
from napari_sfh.analysis.comparison.history_comparison import BinHistory
from napari_sfh.analysis.comparison.map_comparison import DENSE, ERROR_BARS, Comparison, format_scatter
from napari_sfh.analysis.drawing.bin_drawing import (
    DRAWN_EDGES_GYR,
    choose_flux_range,
    choose_residual_range,
    format_flux_label,
)
from napari_sfh.analysis.drawing.map_limits import robust_limits, symmetric_limits
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.figures.line_colors import ANSWER_COLORS, recolor_lines
from napari_sfh.figures.pages import draw_age_steps
from napari_sfh.figures.sky_labels import label_sky_axes
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Result

#: Of answers on a page.
_COLORS = recolor_lines(ANSWER_COLORS)


@check_arguments
def draw_comparison_page(comparison: Comparison, use: NDArray[np.bool_] | None = None) -> Figure:
    """Each quantity that both have on a page: this result, the other, their difference, and one against the other.

    Parameters
    ----------
    comparison : Comparison
    use : bool array (N,), optional
        Bins of the last panel; default: all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    result, other = comparison.result, comparison.other.name
    shown = {n: k for n, k in maps.SCALAR_MAPS.items() if k in comparison.means}
    height = 3.6 * len(shown) + 0.5
    figure = Figure(figsize=(14, height))  # of fixed places: Matplotlib's own layout takes longer than the drawing
    figure.suptitle(f"{result.name}: {result.model_name} and {other}", size=13, y=1 - 0.15 / height, va="top")
    around = {"bottom": 0.5 / height, "top": 1 - 0.8 / height, "hspace": 0.28}
    columns = figure.add_gridspec(len(shown), 3, left=0.125, right=0.685, wspace=0.15, **around)
    last = figure.add_gridspec(len(shown), 1, left=0.83, right=0.985, **around)
    sky: Any = result.wcs.celestial
    for k, (name, key) in enumerate(shown.items()):
        row = [figure.add_subplot(columns[k, column], projection=sky) for column in range(3)]
        for column, axes in enumerate(row):
            label_sky_axes(axes, left=column == 0, bottom=k == len(shown) - 1)
        spec, bin_id = maps.MAPS[name], result.bins.bin_id
        own, theirs = (maps.paint_bins(bin_id, v) for v in comparison.pair(key))
        low, high = robust_limits(np.concatenate([own.ravel(), theirs.ravel()]))
        for axes, image, title in ((row[0], own, result.model_name), (row[1], theirs, other)):
            drawn = axes.imshow(image, origin="lower", cmap=spec.colormap, vmin=low, vmax=high, interpolation="nearest")
            axes.set_title(f"{spec.title}, {title}", size=9)
        place = columns[k, 0].get_position(figure)
        bar = figure.add_axes((0.05, place.y0, 0.01, place.height))
        figure.colorbar(drawn, cax=bar, label=spec.unit, location="left")
        difference = maps.paint_bins(bin_id, comparison.difference(key))
        low, high = symmetric_limits(difference)
        drawn = row[2].imshow(difference, origin="lower", cmap="RdBu_r", vmin=low, vmax=high, interpolation="nearest")
        row[2].set_title(f"{result.model_name} − other", size=9)
        bar = figure.add_axes((0.693, place.y0, 0.01, place.height))
        figure.colorbar(drawn, cax=bar, label=QUANTITIES[key].error_unit)
        draw_one_to_one(figure.add_subplot(last[k, 0]), comparison, key, use)
    return figure


def draw_one_to_one(axes: Any, comparison: Comparison, key: str, use: NDArray[np.bool_] | None = None) -> None:
    """This result against the other, with errors where they can be seen and as a density where points would merge.

    Parameters
    ----------
    axes : matplotlib Axes
    comparison : Comparison
    key : str
        One of the compared quantities, see `physics.quantities`.
    use : bool array (N,), optional
        Bins that are drawn; default: all.
    """
    keep = np.ones(comparison.share.size, dtype=bool) if use is None else use
    (own, other), (own_error, other_error) = comparison.pair(key), comparison.pair_errors(key)
    good = keep & np.isfinite(own) & np.isfinite(other)
    x, y = other[good], own[good]
    if good.sum() > DENSE:
        axes.hexbin(x, y, gridsize=50, mincnt=1, bins="log", cmap="viridis", linewidths=0.1)
    else:
        if good.sum() < ERROR_BARS:
            bars = {"xerr": np.nan_to_num(other_error[good]), "yerr": np.nan_to_num(own_error[good])}
            axes.errorbar(x, y, **bars, fmt="none", ecolor="0.75", elinewidth=0.5, zorder=1)
        axes.scatter(x, y, s=6, color="tab:blue", zorder=2)
    low, high = robust_limits(np.concatenate([x, y]), 0.5, 99.5)
    room = 0.08 * (high - low)
    limits = (low - room, high + room)
    axes.plot(limits, limits, color="0.4", lw=0.8, zorder=3)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_xlabel(comparison.other.name, size=8)
    axes.set_ylabel(comparison.result.model_name, size=8)
    axes.set_title(format_scatter(comparison.scatter(key, use), QUANTITIES[key].error_unit, "\n"), size=7)


@check_arguments
def draw_history_page(result: Result, bin_id: int, answers: Sequence[BinHistory]) -> Figure:
    """SFHs of one bin from several answers, its spectrum with their models, and their numbers side by side.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.
    answers : sequence of BinHistory

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    figure.suptitle(f"{result.name}, bin {bin_id}", size=11)
    grid = figure.add_gridspec(3, 3, height_ratios=[2.4, 2.2, 1.2])
    for column, (kind, label) in enumerate((("mass", "Mass formed / bin"), ("light", "V-band light / bin"))):
        axes = figure.add_subplot(grid[0, column])
        for color, answer in zip(_COLORS, answers):
            draw_age_steps(axes, answer.sfh(kind), color, answer.name)
        axes.set(xscale="log", xlabel="Lookback time (Gyr)", ylabel=label, xlim=DRAWN_EDGES_GYR[[0, -1]])
        axes.set_ylim(bottom=0)
    figure.axes[0].legend(fontsize=8)
    _draw_means(figure.add_subplot(grid[0, 2]), answers)
    view = BinView.of(result, bin_id)
    above = figure.add_subplot(grid[1, :2])
    _spectrum(above, figure.add_subplot(grid[2, :2], sharex=above), view, answers)
    _bands(figure.add_subplot(grid[1:, 2]), view, answers)
    return figure


def _draw_means(axes: Any, answers: Sequence[BinHistory]) -> None:
    rows = history_comparison.list_history_means(answers)
    axes.axis("off")
    cells = [[label, *texts] for label, texts in rows]
    made = axes.table(cells, colLabels=["", *(a.name for a in answers)], loc="center", cellLoc="center")
    made.auto_set_font_size(False)
    made.set_fontsize(7)
    made.scale(1.05, 1.7)
    for color, column in zip(_COLORS, range(1, len(answers) + 1)):
        made[0, column].get_text().set_color(color)


def _spectrum(axes: Any, below: Any, view: BinView, answers: Sequence[BinHistory]) -> None:
    axes.plot(view.wave_aa, view.flux, color="0.5", lw=0.6, label="observed")
    below.fill_between(view.wave_aa, -view.error, view.error, color="0.85", lw=0)
    size = 1e-3
    for color, answer in zip(_COLORS, answers):
        if answer.model is not None:
            residual = view.flux - answer.model
            axes.plot(view.wave_aa, answer.model, color=color, lw=0.8)
            below.plot(view.wave_aa, residual, color=color, lw=0.5)
            size = max(size, choose_residual_range(residual))
    below.set_ylim(-size, size)
    for panel in (axes, below):
        for low, high in view.masked:
            panel.axvspan(low, high, color="0.92", lw=0)
    axes.set(ylabel=format_flux_label(view.instrument))
    if view.wave_aa.size:
        axes.set_xlim(view.wave_aa[0], view.wave_aa[-1])
        models = [answer.model for answer in answers if answer.model is not None]
        axes.set_ylim(*choose_flux_range(view.flux, np.concatenate([view.flux, *models])))
    axes.tick_params(labelbottom=False)
    below.set(ylabel="Residual", xlabel="Rest wavelength (Å)")


def _bands(axes: Any, view: BinView, answers: Sequence[BinHistory]) -> None:
    pivot = view.pivot_aa
    axes.errorbar(pivot, view.phot, view.phot_error, fmt="o", color="0.4", ms=5, label="observed")
    for color, answer in zip(_COLORS, answers):
        if answer.phot_model is not None:
            axes.plot(pivot, answer.phot_model, "D", mfc="none", color=color, ms=8)
    axes.set(xscale="log", xlabel="Band", ylabel=format_flux_label(view.instrument))
    axes.set_xticks(pivot, view.bands, rotation=45, size=8)
    axes.minorticks_off()
