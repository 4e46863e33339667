"""The corner plot of a bin's posterior, by the package ``corner`` on matplotlib's `Figure` alone: any thread may draw.

Contours hold 39 and 86 % of the draws: the 1 and 2 sigma of two dimensions.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.analysis.posteriors import POSTERIOR_QUANTITIES, PosteriorDraws
from napari_sfh.types import Result

#: Share of the draws inside 1 and 2 sigma in two dimensions: 1 - exp(-k^2 / 2).
LEVELS: tuple[float, float] = (1 - float(np.exp(-0.5)), 1 - float(np.exp(-2.0)))

#: Size of letters in points; a window shows five panels of 2 inches at half of their size.
CORNER_POINTS = 14


def draw_corner_page(
    result: Result | None, draws: PosteriorDraws, size: float = 2.0, color: str = "black", faint: str = "white"
) -> Figure:
    """Corner plot of the chosen quantities.

    Parameters
    ----------
    result : Result or None
        Of the bin; None for a row of a catalogue.
    draws : PosteriorDraws
        From `posteriors.draw_bin_posterior`.
    size : float
        Side of a panel in inches.
    color, faint : str
        Of ink and paper.
    """
    from corner import corner

    n = len(draws.values)
    figure = Figure(figsize=(size * n + 1.4, size * n + 1.4), facecolor=faint)
    figure.subplots(n, n)
    values = draws.array()
    source, model = (draws.source, draws.model_name) if result is None else (result.name, result.model_name)
    corner(
        values,
        fig=figure,
        labels=[_label(name) for name in draws.values],
        range=[_limits(column) for column in values.T],
        quantiles=(0.16, 0.5, 0.84),
        levels=LEVELS,
        show_titles=True,
        title_kwargs={"fontsize": CORNER_POINTS, "color": color},
        label_kwargs={"fontsize": CORNER_POINTS, "color": color},
        labelpad=0.12,
        title_fmt=".2f",
        bins=30,
        smooth=0.8,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=True,
        fill_contours=True,
        color="tab:blue",
        max_n_ticks=3,
    )
    figure.subplots_adjust(left=1.25 / figure.get_figwidth(), bottom=1.25 / figure.get_figheight())
    figure.subplots_adjust(right=1 - 0.3 / figure.get_figwidth(), top=1 - 0.75 / figure.get_figheight())
    for axes in figure.axes:
        axes.set_title(axes.get_title().replace(" = ", "\n"), fontsize=CORNER_POINTS, color=color, pad=10)
        axes.tick_params(labelsize=CORNER_POINTS - 2, colors=color)
        axes.set_facecolor(faint)
        for spine in axes.spines.values():
            spine.set_color(color)
    figure.text(
        0.98,
        0.98,
        "\n".join(filter(None, (f"{source}, {draws.name}", f"weights {model}", f"{len(values)} draws", draws.note))),
        ha="right",
        va="top",
        size=CORNER_POINTS,
        color=color,
    )
    return figure


def _label(name: str) -> str:
    title, unit = POSTERIOR_QUANTITIES[name]
    return f"{title} ({unit})" if unit else title


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Range of a panel: the middle 99 %, never of no width."""
    low, high = np.percentile(values, [0.5, 99.5])
    room = max(0.02 * float(high - low), 1e-3)
    return float(low) - room, float(high) + room
