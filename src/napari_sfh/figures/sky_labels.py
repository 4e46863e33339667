"""RA and Dec along the axes of maps."""

from __future__ import annotations

from typing import Any


def label_sky_axes(axes: Any, left: bool, bottom: bool) -> None:
    """Few small ticks of RA and Dec; their numbers where the panel is at the left or bottom of the page.

    Parameters
    ----------
    axes : WCSAxes
        Of astropy, with a celestial projection; changed in place.
    left : bool
        The panel is at the left of the page: it has numbers of Dec.
    bottom : bool
        It is at the bottom: it has numbers of RA.
    """
    # Letters that are raised by themselves: mathematical text needs a parser, whose loading takes longer than a map.
    axes.coords[0].set_separator(("ʰ", "ᵐ", "ˢ"))
    for coordinate, name, shown in zip(axes.coords, ("RA", "Dec"), (bottom, left)):
        coordinate.set_ticks(number=4)
        coordinate.set_ticklabel(size=7, exclude_overlapping=True)
        coordinate.set_ticklabel_visible(shown)
        coordinate.set_axislabel(name if shown else " ", size=8)
