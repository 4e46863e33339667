"""The gas beside the young stars: oxygen, dust, the BPT diagram (see `analysis.gas.gas_and_stars`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from napari_sfh.analysis.gas.gas_and_stars import (
    EBV_STARS_OVER_GAS,
    SOLAR_OXYGEN,
    YOUNG_GYR,
    GasDiagrams,
    derive_gas_diagrams,
    format_trend,
    trace_bpt_lines,
)
from napari_sfh.analysis.gas.line_maps import BPT_CLASSES, BPT_COLORS, LineFluxes
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
        Composite spectra of the [N II] diagram count as star-forming.
    size : (float, float)
        Inches; the letters follow.

    Raises
    ------
    SfhInputError
        As `derive_gas_diagrams`.
    """
    with rc_context({"font.size": float(np.clip(2.1 * size[1], 8.5, 10.5))}):
        return _draw_panels(result, lines.source, derive_gas_diagrams(result, lines, composite), size)


def _draw_panels(result: Result, source: str, drawn: GasDiagrams, size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"{result.name}: gas and young stars; lines from {source}", size="medium")
    metals, dust, bpt = figure.subplots(1, 3)
    young = drawn.young
    errors = np.stack([young.mh - young.low, young.high - young.mh]).clip(0)
    _plot_pairs(metals, drawn.oxygen, young.mh, drawn.oxygen_error, errors)
    young_myr = 1000 * YOUNG_GYR
    metals.set(xlabel=f"[O/H] of the gas (O3N2, solar {SOLAR_OXYGEN})", ylabel=f"[M/H] of stars < {young_myr:.0f} Myr")
    metals.set_title(format_trend(drawn.oxygen, young.mh), size="medium")
    _plot_pairs(dust, drawn.ebv_gas, drawn.ebv_stars, drawn.ebv_gas_error, drawn.ebv_stars_error)
    dust.axline((0, 0), slope=EBV_STARS_OVER_GAS, color="tab:red", lw=0.8, label=f"slope {EBV_STARS_OVER_GAS}")
    dust.legend(fontsize="small")
    dust.set(xlabel="E(B-V) of the gas (mag)", ylabel="E(B-V) of the stars (mag)")
    dust.set_title(format_trend(drawn.ebv_gas, drawn.ebv_stars), size="medium")
    _bpt(bpt, drawn)
    return figure


def _plot_pairs(axes: Any, x: F64, y: F64, x_error: F64, y_error: F64) -> None:
    axes.errorbar(x, y, y_error, x_error, fmt=".", ms=3, lw=0.4, color="tab:blue", ecolor="0.6", alpha=0.6, zorder=1)
    axes.axline((0, 0), slope=1, color="0.5", lw=0.8)


def _bpt(axes: Any, drawn: GasDiagrams) -> None:
    """The diagram with both dividing lines."""
    for k, color in enumerate(BPT_COLORS, 1):
        part = drawn.bpt == k
        axes.scatter(drawn.lg_n2[part], drawn.lg_o3[part], s=5, color=color, label=f"{BPT_CLASSES[k]}: {part.sum()}")
    for (x, y), style in zip(trace_bpt_lines(), ("--", "-")):
        axes.plot(x, y, style, color="0.4", lw=0.8)
    axes.set(xlim=(-2, 0.8), ylim=(-1.7, 1.5), xlabel="log [N II] 6583 / Hα", ylabel="log [O III] 5007 / Hβ")
    known = int((drawn.bpt > 0).sum())
    axes.set_title(f"BPT, lines with S/N ≥ 3: {known} of {drawn.bpt.size} bins", size="medium")
    axes.legend(fontsize="small", loc="lower left")
