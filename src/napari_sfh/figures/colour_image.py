"""The HST colours of a field for a paper: RA and Dec along the axes, contours of a map on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.wcs import WCS
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sfh.analysis.colour_image import U8

#: Pixels on the longer side of a figure: what 200 dots per inch show.
MAX_SIDE = 2400


def draw_colour_image(
    image: U8,
    wcs: WCS,
    lines: Sequence[NDArray[np.floating]],
    lines_wcs: WCS,
    title: str = "",
    caption: str = "",
    line_color: str = "white",
    line_width: float = 1.0,
) -> Figure:
    """Draw a colour image.

    Parameters
    ----------
    image : uint8 array (ny, nx, 4)
    wcs : WCS
        Celestial, of the image.
    lines : sequence of arrays (n, 2)
        Contours, corners (y, x) in pixels of ``lines_wcs``; may be empty.
    lines_wcs : WCS
        Celestial, of the maps.
    title : str
    caption : str
        Below the picture: what the contours are, and their levels.
    line_color : str
    line_width : float
        Of the contours, times the usual one.
    """
    ny, nx = image.shape[:2]
    step = max(1, -(-max(ny, nx) // MAX_SIDE))
    figure = Figure(figsize=(7.5, 7.5 * min(max(ny / nx, 0.5), 2.0) + 0.5), layout="constrained")
    axes = figure.add_subplot(projection=wcs.celestial)
    extent = (-0.5, nx - 0.5, -0.5, ny - 0.5)
    axes.imshow(image[::step, ::step], origin="lower", extent=extent, interpolation="antialiased")
    for line in lines:
        axes.plot(
            line[:, 1],
            line[:, 0],
            color=line_color,
            lw=0.8 * line_width,
            transform=axes.get_transform(lines_wcs.celestial),
        )
    axes.set(xlim=extent[:2], ylim=extent[2:], title=title, facecolor="black")
    axes.coords[0].set_axislabel("RA")
    axes.coords[1].set_axislabel("Dec")
    if caption:
        figure.supxlabel(caption, size=9)
    return figure
