"""Radial gradients for a paper: one panel for each quantity. PNG, PDF or SVG through `figures.save`.

Built on matplotlib's `Figure` alone (no pyplot, no global state), so that any thread may draw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.analysis.gradients import GRADIENT_QUANTITIES, Gradient
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Result


def draw_gradient_page(result: Result, gradients: Mapping[str, Gradient]) -> Figure:
    """Bins, running median with its 16-84 % range, and the fitted line with its error, against R / R_e.

    Parameters
    ----------
    result : Result
    gradients : mapping of str to Gradient
        By the map's name.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SfhInputError
        No gradient.
    """
    if not gradients:
        raise SfhInputError("no gradient was fitted yet: press Fit first")
    rows = int(np.ceil(len(gradients) / 2))
    figure = Figure(figsize=(10, 3.2 * rows + 0.6), layout="constrained")
    disc = next(iter(gradients.values())).profile.disc
    figure.suptitle(
        f"{result.name}: PA {disc.pa_deg:.1f}°, i {disc.inclination_deg:.1f}°, $R_e$ {disc.r_e_arcsec:.2f}″; "
        f"weights {result.model_name}",
        size=11,
    )
    axes = figure.subplots(rows, min(2, len(gradients)), squeeze=False).ravel()
    for panel, made in zip(axes, gradients.values()):
        _panel(panel, made)
    for panel in axes[len(gradients) :]:
        panel.set_visible(False)
    return figure


def _panel(axes: Any, made: Gradient) -> None:
    data, run = made.profile, made.running
    left = ~made.used & np.isfinite(data.value)
    axes.plot(data.r[left], data.value[left], ".", color="0.85", ms=3, label="not in the fit", zorder=1)
    axes.plot(data.r[made.used], data.value[made.used], ".", color="0.6", ms=3, label="bins", zorder=1)
    typical = float(np.nanmedian(data.error[made.used]))
    axes.fill_between(run.r, run.low, run.high, color="tab:blue", alpha=0.25, lw=0, zorder=2)
    axes.plot(run.r, run.median, color="tab:blue", lw=1.5, label="running median, 16-84 %", zorder=3)
    r = np.linspace(float(data.r[made.used].min()), float(data.r[made.used].max()), 60)
    low, high = made.band(r)
    axes.fill_between(r, low, high, color="tab:red", alpha=0.35, lw=0, zorder=4)
    axes.plot(r, made.centre + made.slope * r, color="tab:red", lw=1.8, label=f"fit ({made.settings.method})", zorder=5)
    bottom, top = np.percentile(data.value[made.used], [0.5, 99.5])
    room = 0.1 * max(float(top - bottom), 0.05)
    bottom, top = float(bottom) - room, float(top) + 3.5 * room
    axes.set(ylim=(bottom, top), xlim=(0, None))
    # The typical error of a bin, as long as it fits.
    middle = max(bottom + 1.15 * typical, bottom + room)
    axes.errorbar(0.04 * axes.get_xlim()[1], middle, typical, fmt="none", color="0.3", capsize=3, label="typical error")
    axes.set(xlabel="$R / R_e$", ylabel=QUANTITIES[GRADIENT_QUANTITIES[data.quantity][0]].label)
    axes.set_title(made.text().replace(" (", "\n("), size=9)
    axes.legend(fontsize=7, loc="upper right", ncols=2)
