"""The HST colours of a field for a paper, north up as on the canvas: RA, Dec along the axes, map and contours on top.

The mosaics' own pixels may be turned on the sky. RA and Dec run along the axes of a picture only if north is up in it:
else whoever reads straight across from a tick is arcseconds off. So the picture is resampled (the nearest pixel) onto a
tangential projection about its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from napari_sfh.analysis.colour_image import U8, MapOverlay
from napari_sfh.analysis.regions import RegionTrace
from napari_sfh.figures.sky_labels import label_sky_axes
from napari_sfh.types import measure_pixel_arcsec

#: Pixels on the longer side of a figure: what 200 dots per inch show.
MAX_SIDE = 2400
#: Room for a map's colours beside the picture.
_COLORBAR_INCH = 1.3


def make_north_up_wcs(wcs: WCS, shape: tuple[int, int]) -> tuple[WCS, tuple[int, int]]:
    """A grid that holds an image, with north up, east left, and at most `MAX_SIDE` pixels a side.

    Parameters
    ----------
    wcs : WCS
        Celestial, of the image.
    shape : (int, int)
        Its rows and columns.

    Returns
    -------
    WCS
        TAN about the image's centre.
    (int, int)
        Rows and columns of the grid.
    """
    ny, nx = shape
    target = WCS(naxis=2)
    target.wcs.ctype = "RA---TAN", "DEC--TAN"
    target.wcs.cunit = "deg", "deg"
    centre = wcs.celestial.pixel_to_world((nx - 1) / 2, (ny - 1) / 2).icrs
    target.wcs.crval = centre.ra.deg, centre.dec.deg
    target.wcs.radesys = "ICRS"
    scale = measure_pixel_arcsec(wcs) / 3600.0
    target.wcs.cdelt = -scale, scale
    x, y = np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [-0.5, ny - 0.5], [nx - 0.5, ny - 0.5]]).T
    corners = np.column_stack(target.world_to_pixel(wcs.celestial.pixel_to_world(x, y)))
    size = np.ptp(corners, axis=0)
    coarser = max(1.0, float(size.max()) / MAX_SIDE)
    target.wcs.cdelt = -scale * coarser, scale * coarser
    # The centre lay at -1 in pixels from 0; the outermost corner shall lie at -0.5.
    target.wcs.crpix = 0.5 - (corners.min(axis=0) + 1) / coarser
    columns, rows = (max(1, round(float(side))) for side in size / coarser)
    return target, (rows, columns)


def resample_nearest(
    image: NDArray[Any], wcs: WCS, target: WCS, shape: tuple[int, int], outside: float
) -> NDArray[Any]:
    """An image on another grid: each pixel is the nearest one.

    Parameters
    ----------
    image : array (ny, nx, ...)
    wcs, target : WCS
        Celestial, of the image and of the other grid.
    shape : (int, int)
        Rows and columns of the other grid.
    outside : float
        Value where the image does not reach.

    Returns
    -------
    array (*shape, ...)
    """
    y, x = np.indices(shape)
    column, row = (np.rint(v) for v in wcs.celestial.world_to_pixel(target.pixel_to_world(x, y)))
    ny, nx = image.shape[:2]
    known = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    made = np.full((*shape, *image.shape[2:]), outside, dtype=image.dtype)
    made[known] = image[row[known].astype(int), column[known].astype(int)]
    return made


def draw_colour_image(
    image: U8,
    wcs: WCS,
    lines: Sequence[NDArray[np.floating]],
    lines_wcs: WCS,
    title: str = "",
    caption: str = "",
    line_color: str = "white",
    line_width: float = 1.0,
    overlay: MapOverlay | None = None,
    regions: Sequence[RegionTrace] = (),
) -> Figure:
    """Draw a colour image with north up.

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
    overlay : MapOverlay, optional
        A map in pixels of ``lines_wcs`` above the colours.
    regions : sequence of RegionTrace
        In pixels of ``lines_wcs``; outlined and named.
    """
    target, shape = make_north_up_wcs(wcs, (image.shape[0], image.shape[1]))
    ny, nx = shape
    beside = 0.0 if overlay is None or overlay.categories else _COLORBAR_INCH
    figure = Figure(figsize=(7.5 + beside, 7.5 * min(max(ny / nx, 0.5), 2.0) + 0.5), layout="constrained")
    axes = figure.add_subplot(projection=target)
    axes.imshow(resample_nearest(image, wcs, target, shape, 0), origin="lower", interpolation="antialiased")
    if overlay is not None:
        shown = resample_nearest(overlay.image, lines_wcs, target, shape, np.nan)
        (low, high), colors = overlay.limits, ListedColormap(overlay.colors)
        drawn = axes.imshow(
            shown, origin="lower", interpolation="none", cmap=colors, vmin=low, vmax=high, alpha=overlay.opacity
        )
        if overlay.categories:
            there = [value for value in overlay.categories if np.any(shown == value)]
            patches = [Patch(color=drawn.cmap(drawn.norm(value)), label=overlay.categories[value]) for value in there]
            axes.legend(handles=patches, title=overlay.label, fontsize="small", loc="best")
        else:
            figure.colorbar(drawn, ax=axes, label=overlay.label, shrink=0.85)
    for line in lines:
        axes.plot(
            line[:, 1],
            line[:, 0],
            color=line_color,
            lw=0.8 * line_width,
            transform=axes.get_transform(lines_wcs.celestial),
        )
    _draw_regions(axes, regions, axes.get_transform(lines_wcs.celestial))
    axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), title=title, facecolor="black")
    label_sky_axes(axes, left=True, bottom=True)
    if caption:
        figure.supxlabel(caption, size=9)
    return figure


def _draw_regions(axes: Any, regions: Sequence[RegionTrace], transform: Any) -> None:
    """Lines and names with a black border, as on the canvas."""
    for region in regions:
        border = [withStroke(linewidth=3, foreground="black")]
        y, x = region.path.T
        axes.plot(x, y, color=region.color, lw=1.4, transform=transform, path_effects=border)
        if region.name:
            middle = (region.path.min(axis=0) + region.path.max(axis=0)) / 2
            words = {"ha": "center", "va": "center", "clip_on": True, "path_effects": border}
            axes.text(middle[1], middle[0], region.name, color=region.color, transform=transform, **words)
