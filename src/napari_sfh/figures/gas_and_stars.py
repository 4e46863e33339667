"""The gas beside the young stars: oxygen, dust, the BPT diagram (see `analysis.gas.gas_and_stars`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from napari_sfh.analysis.gas.gas_and_stars import EBV_STARS_OVER_GAS, SOLAR_OXYGEN, YOUNG_GYR, measure_young_stars
from napari_sfh.analysis.gas.line_maps import (
    BPT_CLASSES,
    HALPHA,
    HBETA,
    NII,
    OIII,
    GasProperties,
    LineFluxes,
    derive_gas_properties,
    sum_lines_in_bins,
)
from napari_sfh.types import F64, Result


def draw_gas_page(
    result: Result, lines: LineFluxes, composite: bool = False, size: tuple[float, float] = (15.0, 5.0)
) -> Figure:
    """Three panels: oxygen against the young stars' [M/H], dust of gas and stars, the BPT diagram.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
    composite : bool
        As in `lines.gas`.
    size : (float, float)
        Inches; the letters follow.

    Raises
    ------
    SfhInputError
        As `table`.
    """
    with rc_context({"font.size": float(np.clip(2.1 * size[1], 8.5, 10.5))}):
        return _draw_panels(result, sum_lines_in_bins(lines, result.bins), composite, size)


def _draw_panels(result: Result, lines: LineFluxes, composite: bool, size: tuple[float, float]) -> Figure:
    found, young = derive_gas_properties(lines, composite=composite), measure_young_stars(result)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"{result.name}: gas and young stars; lines from {lines.source}", size="medium")
    metals, dust, bpt = figure.subplots(1, 3)
    oxygen = found.oxygen - SOLAR_OXYGEN
    errors = np.stack([young.mh - young.low, young.high - young.mh]).clip(0)
    _plot_pairs(metals, oxygen, young.mh, found.oxygen_error, errors)
    young_myr = 1000 * YOUNG_GYR
    metals.set(xlabel=f"[O/H] of the gas (O3N2, solar {SOLAR_OXYGEN})", ylabel=f"[M/H] of stars < {young_myr:.0f} Myr")
    metals.set_title(_trend_text(oxygen, young.mh), size="medium")
    ebv = result.prediction.median("ebv")
    _plot_pairs(dust, found.ebv, ebv, found.ebv_error, result.prediction.half_width("ebv"))
    dust.axline((0, 0), slope=EBV_STARS_OVER_GAS, color="tab:red", lw=0.8, label=f"slope {EBV_STARS_OVER_GAS}")
    dust.legend(fontsize="small")
    dust.set(xlabel="E(B-V) of the gas (mag)", ylabel="E(B-V) of the stars (mag)")
    dust.set_title(_trend_text(found.ebv, ebv), size="medium")
    _bpt(bpt, lines, found)
    return figure


def _plot_pairs(axes: Any, x: F64, y: Any, x_error: F64, y_error: Any) -> None:
    axes.errorbar(x, y, y_error, x_error, fmt=".", ms=3, lw=0.4, color="tab:blue", ecolor="0.6", alpha=0.6, zorder=1)
    axes.axline((0, 0), slope=1, color="0.5", lw=0.8)


def _trend_text(x: F64, y: Any) -> str:
    """Number of pairs, median difference, and Spearman's rank correlation ρ."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3:
        return f"{int(both.sum())} bins"
    pair = x[both], np.asarray(y)[both]
    varies = all(np.ptp(values) > 0 for values in pair)
    rank = float(spearmanr(*pair).statistic) if varies else float("nan")
    return f"{int(both.sum())} bins: stars − gas {np.median((y - x)[both]):+.2f}, ρ {rank:.2f}"


def _bpt(axes: Any, lines: LineFluxes, found: GasProperties) -> None:
    """The diagram with both dividing lines."""
    known = found.bpt > 0
    x = np.log10(lines.flux[NII][known] / lines.flux[HALPHA][known])
    y = np.log10(lines.flux[OIII][known] / lines.flux[HBETA][known])
    for k, color in ((1, "tab:blue"), (2, "tab:orange"), (3, "tab:red")):
        part = found.bpt[known] == k
        axes.scatter(x[part], y[part], s=5, color=color, label=f"{BPT_CLASSES[k]}: {int(part.sum())}")
    for pole, zero, style in ((0.05, 1.30, "--"), (0.47, 1.19, "-")):
        curve = np.linspace(-2.0, pole - 0.1, 200)
        axes.plot(curve, 0.61 / (curve - pole) + zero, style, color="0.4", lw=0.8)
    axes.set(xlim=(-2, 0.8), ylim=(-1.7, 1.5), xlabel="log [N II] 6583 / Hα", ylabel="log [O III] 5007 / Hβ")
    axes.set_title(f"BPT, lines with S/N ≥ 3: {int(known.sum())} of {known.size} bins", size="medium")
    axes.legend(fontsize="small", loc="lower left")
