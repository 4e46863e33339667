"""Figures for a paper: one page of the four maps, one page of a bin or of several compared. PNG, PDF or SVG.

Built on matplotlib's `Figure` alone (no pyplot, no global state), so that any thread may draw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.analysis.credible_bands import CredibleBand
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.drawing.bin_drawing import (
    DRAWN_EDGES_GYR,
    LINES_AA,
    MH_EDGES,
    SFH_KINDS,
    choose_flux_range,
    choose_residual_range,
    format_flux_label,
)
from napari_sfh.analysis.stellar_mass import compute_kpc_per_arcsec
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.estimates import draw_estimates_page
from napari_sfh.figures.line_colors import recolor_lines
from napari_sfh.figures.sky_labels import label_sky_axes
from napari_sfh.types import Result, measure_pixel_arcsec


@check_arguments
def draw_maps_page(result: Result, distance_mpc: float | None = None) -> Figure:
    """The main maps with colorbars, a scale bar and a compass; light- and mass-weighted maps share their limits.

    Parameters
    ----------
    result : Result
    distance_mpc : float, optional
        Luminosity distance: the scale bar then says kpc, too.

    Raises
    ------
    SfhInputError
        The distance is not above 0.
    """
    if distance_mpc is not None and not 0 < distance_mpc < np.inf:
        raise SfhInputError(f"distance: {distance_mpc:g} given; it must be above 0 Mpc (or left out)")
    figure = Figure(figsize=(9, 8.4), layout="constrained")
    figure.suptitle(f"{result.name}\n", size=14)
    distance = "" if distance_mpc is None else f", {distance_mpc:g} Mpc"
    about = f"z = {result.redshift:.5f}{distance}; {result.bins.n_bins} bins; weights {result.model_name}"
    figure.text(0.5, 0.945, about, ha="center", size=9, color="0.35")
    names = maps.list_main_maps(result)
    panels: Any = figure.subplots(2, 2, subplot_kw={"projection": result.wcs.celestial})
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.flat, names):
        image = maps.make_map_image(result, name)
        low, high = map_limits.choose_map_limits(result, name)
        spec = maps.MAPS[name]
        drawn = axes.imshow(image, origin="lower", cmap=spec.colormap, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(spec.title, size=11)
        label_sky_axes(axes, left=axes in panels[:, 0], bottom=axes in panels[-1, :] or len(names) <= 2)
        figure.colorbar(drawn, ax=axes, label=spec.unit, shrink=0.85, extend="both")
        _scale_bar(axes, result, distance_mpc)
        _compass(axes, result)
    return figure


#: White behind black: readable on maps of any colour.
_HALO = (withStroke(linewidth=2.5, foreground="white"),)


def _scale_bar(axes: Any, result: Result, distance_mpc: float | None) -> None:
    """A bar of a round number of arcsec, about a fifth of the field; its length in kpc where the distance is known."""
    pixel = measure_pixel_arcsec(result.wcs)
    nx = result.bins.bin_id.shape[1]
    nice = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300])
    length = float(nice[np.argmin(np.abs(np.log(nice / (0.2 * nx * pixel))))])
    text = f"{length:g}″"
    if distance_mpc is not None:
        kpc = length * compute_kpc_per_arcsec(distance_mpc, result.redshift)
        text += f" = {kpc:.3g} kpc" if kpc >= 1 else f" = {1e3 * kpc:.3g} pc"
    x0 = 0.05 * nx
    axes.plot(
        [x0, x0 + length / pixel], [0.03 * nx] * 2, color="black", lw=2, solid_capstyle="butt", path_effects=_HALO
    )
    axes.text(x0, 0.045 * nx, text, ha="left", va="bottom", size=8, path_effects=_HALO)


def _compass(axes: Any, result: Result) -> None:
    """Arrows to north and east, in the corner where they fit whatever the rotation."""
    ny, nx = result.bins.bin_id.shape
    centre = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    ra, dec = result.wcs.wcs_pix2world(centre, 0)[0]
    step = measure_pixel_arcsec(result.wcs) / 3600.0
    sky = [[ra, dec + step], [ra + step / np.cos(np.radians(dec)), dec]]
    arrows = result.wcs.wcs_world2pix(sky, 0) - centre
    size = 0.09 * min(nx, ny)
    arrows = size * arrows / np.hypot(*arrows.T)[:, None]
    # Letters stand 1.35 arrows from the tail: no part of the compass leaves the upper right corner.
    reach = 1.35 * np.vstack([arrows, [0, 0]])
    tail = np.array([nx, ny]) * 0.95 - reach.max(0)
    for label, arrow in zip("NE", arrows):
        drawn = {"arrowstyle": "-|>", "lw": 1.2, "color": "black", "shrinkA": 0, "path_effects": _HALO}
        axes.annotate("", tail + arrow, tail, arrowprops=drawn)
        axes.text(*(tail + 1.3 * arrow), label, ha="center", va="center", size=9, path_effects=_HALO)


#: Bins of which a page has spectra and bands.
_MAX_SPECTRA = 6


@check_arguments
def draw_bins_page(result: Result, views: Sequence[BinView], kind: str = "mass") -> Figure:
    """SFHs, growth (with the first's t50 and t90), metallicities, spectra and bands of bins and regions.

    Parameters
    ----------
    result : Result
    views : sequence of BinView
        Spectra and bands are those of the first `_MAX_SPECTRA`.
    kind : str
        ``mass`` or ``light``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SfhInputError
        No bins, or another kind.
    """
    if not views:
        raise SfhInputError("no bin is selected: click one on the map first")
    if kind not in SFH_KINDS:
        raise SfhInputError(f"`kind` {kind!r}: choose {', '.join(SFH_KINDS)}")
    if not views[0].has_history:
        return draw_estimates_page(result, views)
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    names = ", ".join(v.name for v in views)
    figure.suptitle(f"{result.name}, {names}; weights {result.model_name}", size=11)
    grid = figure.add_gridspec(3, 4, height_ratios=[2.2, 2.2, 1])
    sfh, cumulative, mh, spread = (figure.add_subplot(grid[0, k]) for k in range(4))
    for color, view in zip(recolor_lines(list_view_colors(views)), views):
        draw_age_steps(sfh, view.sfh(kind), color, view.name)
        draw_age_steps(mh, view.mh, color)
        spread.stairs(view.metallicity_distribution(kind), MH_EDGES, color=color, lw=1.5)
        grown = view.cumulative_share(kind)
        cumulative.plot(DRAWN_EDGES_GYR, grown.value, color=color)
        cumulative.fill_between(DRAWN_EDGES_GYR, grown.low, grown.high, color=color, alpha=0.25, lw=0)
    what = "Light" if kind == "light" else "Mass"
    _mark_formation_times(cumulative, views[0], kind)
    spread.set(xlabel="[M/H] (dex)", ylabel=f"Share of the {what.lower()}", xlim=MH_EDGES[[0, -1]], ylim=(0, None))
    for axes, label in ((sfh, ": ".join(SFH_KINDS[kind])), (cumulative, f"{what} formed before"), (mh, "[M/H] (dex)")):
        axes.set(xscale="log", xlabel="Lookback time (Gyr)", ylabel=label, xlim=DRAWN_EDGES_GYR[[0, -1]])
    sfh.set_ylim(bottom=0)
    sfh.legend(fontsize=8)
    spectrum = figure.add_subplot(grid[1, :3])
    _spectra(spectrum, figure.add_subplot(grid[2, :3], sharex=spectrum), views[:_MAX_SPECTRA])
    _bands(figure.add_subplot(grid[1:, 3]), views[:_MAX_SPECTRA])
    return figure


def _mark_formation_times(axes: Any, view: BinView, kind: str) -> None:
    """Lines at the lookback times by which 50 and 90 per cent had formed, in the colour of the first bin."""
    fractions, (color,) = (0.5, 0.9), recolor_lines(list_view_colors([view]))
    for fraction, time in zip(fractions, view.formed(fractions, kind).value):
        if np.isfinite(time):
            at = max(float(time), float(DRAWN_EDGES_GYR[0]))
            axes.axvline(at, color=color, lw=0.9, ls="--")
            # Above the axes, on the outer side of each line: 90 per cent had formed later than half.
            side, text = ("left", " t50") if fraction == 0.5 else ("right", "t90 ")
            axes.text(at, 1.01, text, transform=axes.get_xaxis_transform(), size=8, ha=side, va="bottom", color=color)


def draw_age_steps(axes: Any, band: CredibleBand, color: str, label: str | None = None) -> None:
    """Draw a histogram over the age bins with its 16-84 % band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Lookback time in Gyr runs along x.
    band : CredibleBand
        Values (16,), youngest first.
    color : str
    label : str, optional
        For the legend.
    """
    axes.stairs(band.value, DRAWN_EDGES_GYR, color=color, lw=1.5, baseline=None, label=label)
    for low, high, left, right in zip(band.low, band.high, DRAWN_EDGES_GYR[:-1], DRAWN_EDGES_GYR[1:]):
        axes.fill_between([left, right], low, high, color=color, alpha=0.25, lw=0)


def _spectra(axes: Any, below: Any, views: Sequence[BinView]) -> None:
    """Spectra in the colours of their bins upon broad pale models, residuals with the first one's error."""
    first = views[0]
    below.fill_between(first.wave_aa, -first.error, first.error, color="0.85", lw=0)
    for color, view in zip(recolor_lines(list_view_colors(views)), views):
        axes.plot(view.wave_aa, view.model, color=color, lw=3, alpha=0.35, label=f"{view.name}, model")
        axes.plot(view.wave_aa, view.flux, color=color, lw=0.6, label=f"{view.name}, observed")
        below.plot(view.wave_aa, view.residual, color=color, lw=0.6)
    low_aa, high_aa = _grid_limits(first)
    lines = [(name, wave) for name, wave in LINES_AA if low_aa < wave < high_aa]
    for panel in (axes, below):
        for low, high in first.masked:
            panel.axvspan(low, high, color="0.92", lw=0)
        for _, wave in lines:
            panel.axvline(wave, color="0.7", lw=0.6, ls=":")
    for name, wave in lines:
        axes.text(wave, 1.01, name, transform=axes.get_xaxis_transform(), size=7, ha="center", va="bottom")
    axes.set(ylabel=format_flux_label(first.instrument), xlim=(low_aa, high_aa))
    ranges = np.array([choose_flux_range(view.flux, view.model) for view in views])
    axes.set_ylim(ranges[:, 0].min(), ranges[:, 1].max())
    axes.tick_params(labelbottom=False)
    axes.legend(fontsize=8, ncols=len(views))
    size = max(choose_residual_range(view.residual) for view in views)
    below.set(ylabel="Residual", xlabel="Rest wavelength (Å)", ylim=(-size, size))


def _grid_limits(view: BinView) -> tuple[float, float]:
    return (float(view.wave_aa[0]), float(view.wave_aa[-1])) if view.wave_aa.size else (0.0, 1.0)


def _bands(axes: Any, views: Sequence[BinView]) -> None:
    """Fluxes in the colours of their bins, models as open diamonds on the model's continuum."""
    pivot = views[0].pivot_aa
    for k, (color, view) in enumerate(zip(recolor_lines(list_view_colors(views)), views)):
        # Emission lines would set the scale.
        axes.plot(*view.continuum(), color=color, lw=0.9)
        axes.errorbar(pivot, view.phot, view.phot_error, fmt="o", color=color, ms=5, label=view.name)
        axes.plot(pivot, view.phot_model, "D", mfc="none", color=color, ms=8, label="" if k else "model")
    axes.set(xscale="log", xlabel="Band", ylabel=format_flux_label(views[0].instrument))
    axes.set_xticks(pivot, views[0].bands, rotation=45, size=8)
    axes.minorticks_off()
    axes.legend(fontsize=8)
