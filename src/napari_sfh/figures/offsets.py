"""Figures of a galaxy's maps beside those of other answers, and of their offsets.

After figures 13 and 14 of Galceran et al. (2026): ages and metallicities of the network and of full spectral fitting,
with the light and the ionised gas of the same bins, and the differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from napari_sfh.analysis import maps
from napari_sfh.analysis.comparison.map_comparison import Comparison
from napari_sfh.analysis.comparison.offsets import Offset, measure_offsets, select_compared_bins
from napari_sfh.analysis.drawing.map_limits import robust_limits
from napari_sfh.analysis.gas.line_maps import HALPHA, LINES, OIII, LineFluxes, derive_gas_properties
from napari_sfh.figures.comparison import draw_one_to_one
from napari_sfh.figures.sky_labels import label_sky_axes
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import F32, Result

#: Columns of the histograms of differences.
_N_COLUMNS = 41


def draw_map_columns(result: Result, comparisons: Sequence[Comparison], lines: LineFluxes | None = None) -> Figure:
    """Light and gas in the first row; below, each mean: this result, then every other answer, on one scale of colours.

    Parameters
    ----------
    result : Result
    comparisons : sequence of Comparison
        Of this result.
    lines : LineFluxes, optional
        Of its bins.
    """
    shown = {n: k for n, k in maps.SCALAR_MAPS.items() if any(k in c.means for c in comparisons)}
    context = _list_context_maps(result, lines)
    width = 1 + len(comparisons)
    a_row = max(1, len(context) // width)  # as many means in a row as the row of the light and the gas has room for
    columns, n_rows = max(width * a_row, len(context)), 1 - (-len(shown) // a_row)
    ratio = float(np.divide(*result.bins.bin_id.shape))
    cell = 3.0 * min(max(ratio, 0.5), 1.6)
    figure = Figure(figsize=(3.4 * columns, cell * n_rows), layout="constrained")
    rows = figure.subplots(n_rows, columns, squeeze=False, subplot_kw={"projection": result.wcs.celestial})
    for axes in rows.flat:
        axes.set_visible(False)
    for axes, (title, (image, norm, colours)) in zip(rows[0], context.items()):
        _draw_image(axes, image, title, colours, norm)
    for k, (name, key) in enumerate(shown.items()):
        start = width * (k % a_row)
        _draw_mean(rows[1 + k // a_row, start : start + width], result, comparisons, name, key)
    for (row, column), axes in np.ndenumerate(rows):
        last = row == n_rows - 1 or not rows[row + 1, column].get_visible()
        label_sky_axes(axes, left=column == 0, bottom=last)
    figure.suptitle(result.name, size=12)
    return figure


def _draw_mean(row: Any, result: Result, comparisons: Sequence[Comparison], name: str, key: str) -> None:
    """One mean of all answers, on one scale of colours."""
    spec, bin_id = maps.MAPS[name], result.bins.bin_id
    own = np.asarray(result.prediction.median(key), np.float64)
    values = {result.model_name: own} | {c.other.name: c.means[key] for c in comparisons if key in c.means}
    # One scale, of the bins that all have: what one leaves out, a foreground star say, must not set the colours.
    common = np.isfinite(np.stack(list(values.values()))).all(0)
    norm = Normalize(*robust_limits(np.concatenate([v[common] for v in values.values()])))
    for axes, (title, value) in zip(row, values.items()):
        _draw_image(axes, maps.paint_bins(bin_id, value), f"{spec.title}, {title}", spec.colormap, norm)


def _draw_image(axes: Any, image: Any, title: str, colours: str, norm: Normalize) -> None:
    axes.set_visible(True)
    drawn = axes.imshow(image, origin="lower", cmap=colours, norm=norm, interpolation="nearest")
    axes.set_title(title, size=9)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.85)


def _list_context_maps(result: Result, lines: LineFluxes | None) -> Mapping[str, tuple[F32, Normalize, str]]:
    """Image, scale and colours of the light, and of the gas where its lines were measured."""
    light = np.where(result.white > 0, result.white, np.nan).astype(np.float32)
    found: dict[str, tuple[F32, Normalize, str]] = {"flux": (light, _log_scale(light), "gray")}
    if lines is None:
        return found
    per_spaxel = 1 / np.maximum(result.bins.nspax, 1)
    for name in (HALPHA, OIII):
        if name in lines.flux:
            detected = np.where(lines.snr(name) > 3, lines.flux[name] * per_spaxel, np.nan)
            image = maps.paint_bins(result.bins.bin_id, detected)
            found[LINES[name][0]] = (image, _log_scale(image), "inferno")
    oxygen = maps.paint_bins(result.bins.bin_id, derive_gas_properties(lines, composite=True).oxygen)
    if np.isfinite(oxygen).any():
        found["12 + log(O/H), O3N2"] = (oxygen, Normalize(*robust_limits(oxygen)), "viridis")
    return found


def _log_scale(image: F32) -> Normalize:
    positive = image[np.isfinite(image) & (image > 0)]
    if positive.size < 2 or np.ptp(positive) == 0:
        return Normalize(0, 1)
    low, high = np.percentile(positive, [2, 99.5])
    return LogNorm(float(low), float(high))


def draw_offset_page(comparison: Comparison, min_snr: float = 0.0) -> Figure:
    """Each mean: this result against the other, and the histogram of the differences with its median and 68 %.

    Parameters
    ----------
    comparison : Comparison
    min_snr : float
        Bins below this S/N are left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    offsets = {o.mean: o for o in measure_offsets(comparison, min_snr)}
    use = select_compared_bins(comparison, min_snr)
    figure = Figure(figsize=(3.6 * len(offsets), 6.4), layout="constrained")
    figure.suptitle(f"{comparison.result.name}: {comparison.result.model_name} − {comparison.other.name}", size=11)
    above, below = figure.subplots(2, len(offsets), squeeze=False)
    for first, second, (key, offset) in zip(above, below, offsets.items()):
        draw_one_to_one(first, comparison, key, use)
        first.set_title(QUANTITIES[key].title, size=9)
        _draw_differences(second, comparison.difference(key)[use], offset)
    return figure


def _draw_differences(axes: Any, difference: Any, offset: Offset) -> None:
    finite = difference[np.isfinite(difference)]
    size = max(0.1, float(np.percentile(np.abs(finite), 99)) if finite.size else 0.0)
    axes.hist(finite, bins=np.linspace(-size, size, _N_COLUMNS + 1), color="0.75")
    axes.axvline(0, color="k", lw=0.6)
    axes.axvline(offset.median, color="tab:red", lw=1.2)
    axes.axvspan(offset.p16, offset.p84, color="tab:red", alpha=0.12, lw=0)
    axes.set(xlabel=f"difference [{offset.unit}]", ylabel="bins", xlim=(-size, size))
    text = f"median {offset.median_text}\nstd {offset.std:.3f}, NMAD {offset.nmad:.3f} {offset.unit}"
    axes.set_title(text.replace("-", "−"), size=8)
