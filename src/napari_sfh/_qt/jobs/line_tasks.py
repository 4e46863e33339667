"""Long work of the tool 'Emission lines', as functions for `workers.BackgroundJob`: no Qt."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, LayerTuple, make_category_colormap
from napari_sfh.analysis.drawing.map_limits import robust_limits
from napari_sfh.analysis.drawing.units import choose_flux_unit, round_limits_outward
from napari_sfh.analysis.gas.line_maps import (
    BPT_CLASSES,
    BPT_COLORS,
    LINES,
    SHOWN_PERCENT,
    LineFluxes,
    describe_line_map,
    make_line_image,
)
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.analysis.tables import write_tables
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import Progress, Result


def make_line_layer(
    result: Result, lines: LineFluxes, name: str, sky: SkyGrid, min_snr: float, composite: bool
) -> LayerTuple:
    """A line or a quantity of the gas as a layer on the result's grid, NaN where it cannot be said.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
        Of its bins or spaxels.
    name : str
        One of `line_maps.list_line_maps`.
    sky : SkyGrid
        The grid of the result.
    min_snr : float
        S/N that each line of a ratio must have.
    composite : bool
        Composite spectra of the [N II] diagram count as star-forming.
    """
    values = make_line_image(lines, name, result.bins, min_snr, composite)
    text, unit, colors = describe_line_map(name, lines.unit)
    low, high = robust_limits(values, *SHOWN_PERCENT)
    if name in LINES:
        factor, flux_unit = choose_flux_unit(lines.unit, high)
        values, unit, low, high = values * np.float32(factor), f"{flux_unit} per spaxel", 0.0, high * factor
    limits = (
        (0.5, len(BPT_CLASSES) - 0.5)
        if name == "BPT"
        else round_limits_outward(low, high)
        if high > low
        else (0.0, 1.0)
    )
    if name == "V_GAS":
        limits = -max(abs(low), abs(high), 1.0), max(abs(low), abs(high), 1.0)
    attributes = {
        "name": f"{text} [{unit}]" if unit else text,
        "colormap": make_category_colormap(BPT_COLORS, "SFH BPT") if name == "BPT" else colors,
        "contrast_limits": limits,
        "interpolation2d": "nearest",
        "metadata": {KEY: LayerLink("lines", name, result, unit=unit)},
        **sky.transform(),
    }
    return np.ascontiguousarray(values), attributes, "image"


def save_line_table(
    progress: ReportProgress, cancel: threading.Event, result: Result, lines: LineFluxes, composite: bool, path: Path
) -> Path:
    """Write `gas_and_stars.build_gas_table` as ECSV, CSV or FITS.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
    composite : bool
        Composite spectra of the [N II] diagram count as star-forming.
    path : Path
        Ends in one of `tables.TABLE_SUFFIXES`.
    """
    report_progress(Progress("writing the table", 0, 0), progress, cancel)
    from napari_sfh.analysis.gas import gas_and_stars

    return write_tables({"LINES": gas_and_stars.build_gas_table(result, lines, composite)}, path)


def save_gas_page(
    progress: ReportProgress, cancel: threading.Event, result: Result, lines: LineFluxes, composite: bool, path: Path
) -> Path:
    """Draw `figures.gas_and_stars.draw_gas_page` as PNG, PDF or SVG.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
    composite : bool
        Composite spectra of the [N II] diagram count as star-forming.
    path : Path
        Its ending is the format.
    """
    report_progress(Progress("drawing", 0, 0), progress, cancel)
    from napari_sfh.figures.files import save_figure
    from napari_sfh.figures.gas_and_stars import draw_gas_page

    return save_figure(draw_gas_page(result, lines, composite), path)
