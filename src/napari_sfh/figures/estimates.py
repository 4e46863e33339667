"""A page for weights without histories: the shown bins' quantities against those of all others, and what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.analysis.drawing.bin_drawing import format_flux_label
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.line_colors import recolor_lines
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Result


def draw_estimates_page(result: Result, views: Sequence[BinView]) -> Figure:
    """Histograms of all bins' medians with the shown bins' 16-84 % intervals; spectrum and bands of the first.

    Parameters
    ----------
    result : Result
        Of weights without histories.
    views : sequence of BinView
        The shown bins; spectrum and bands are those of the first.

    Returns
    -------
    Figure

    Raises
    ------
    SfhInputError
        No bins.
    """
    if not views:
        raise SfhInputError("no bin is selected: click one on the map first")
    names = result.prediction.scalars
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    seen = [kind for kind, size in (("spectrum", views[0].wave_aa.size), ("bands", len(views[0].bands))) if size]
    figure = Figure(figsize=(3.3 * max(columns, 2), 2.6 * (rows + len(seen))), layout="constrained")
    figure.suptitle(f"{result.name}, {', '.join(view.name for view in views)}; weights {result.model_name}", size=11)
    grid = figure.add_gridspec(rows + len(seen), columns)
    for k, name in enumerate(names):
        _draw_quantity(figure.add_subplot(grid[k // columns, k % columns]), result, name, views)
    for k, kind in enumerate(seen):
        axes = figure.add_subplot(grid[rows + k, :])
        (_draw_spectrum if kind == "spectrum" else _draw_bands)(axes, views[0])
    return figure


def _draw_quantity(axes: Any, result: Result, name: str, views: Sequence[BinView]) -> None:
    values = result.prediction.median(name)
    axes.hist(values[np.isfinite(values)], bins=40, color="0.75")
    for color, view in zip(recolor_lines(list_view_colors(views)), views):
        one = next((each for each in view.estimates if each.name == name), None)
        if one is not None and np.isfinite(one.value):
            axes.axvspan(one.low, one.high, color=color, alpha=0.25, lw=0)
            axes.axvline(one.value, color=color, lw=1.5, label=view.name)
    axes.set(xlabel=QUANTITIES[name].label if name in QUANTITIES else name, ylabel="Number of bins")


def _draw_spectrum(axes: Any, view: BinView) -> None:
    axes.plot(view.wave_aa, view.flux, color="0.25", lw=0.5)
    axes.set(xlabel="Rest wavelength (Å)", ylabel=format_flux_label(view.instrument))
    axes.set_xlim(view.wave_aa[0], view.wave_aa[-1])


def _draw_bands(axes: Any, view: BinView) -> None:
    axes.errorbar(view.pivot_aa, view.phot, view.phot_error, fmt="o", color="0.3", ms=4)
    axes.set(xlabel="Wavelength (Å)", ylabel=format_flux_label(view.instrument))
