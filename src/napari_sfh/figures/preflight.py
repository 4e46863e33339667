"""The footprints of a cube and its mosaics on the sky, as a picture.

Built on matplotlib's `Figure` alone (no pyplot, no global state), so that any thread may draw it.
"""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from napari_sfh.preflight.plan import Preflight, format_band_check

#: Mosaics often end where others do: dashes of other lengths let all be seen.
_DASHES = ((0, ()), (0, (6, 2)), (0, (4, 2)), (2, (2, 2)), (0, (1, 2)))


def draw_footprints(found: Preflight) -> Figure:
    """Footprints in arcsec around the middle of the cube, north up, east left; coverages in the legend."""
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.add_subplot(111)
    for line in found.outlines:
        axes.fill(*line.T, facecolor="0.82", edgecolor="0.25", lw=1.5)
    handles = [Line2D([], [], color="0.25", lw=4, label=f"cube: {found.facts['field'].split(' of ')[0]} spaxels")]
    for check, dashes in zip(found.bands, itertools.cycle(_DASHES)):
        color = check.color
        for line in check.outlines:
            axes.plot(*line.T, color=color, ls=dashes, lw=2)
        handles.append(Line2D([], [], color=color, ls=dashes, lw=2, label=format_band_check(check)))
    axes.set(
        title=f"{found.name}: footprints",
        xlabel="East of the middle (arcsec)",
        ylabel="North of the middle (arcsec)",
        aspect="equal",
    )
    axes.invert_xaxis()
    axes.legend(handles=handles, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return figure
