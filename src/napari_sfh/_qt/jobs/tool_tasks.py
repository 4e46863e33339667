"""Long work of the tools that look beyond the network's answer, as functions for `workers.BackgroundJob`: no Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis import colour_image, maps, tables
from napari_sfh.analysis.colour_image import ColourField, ColourStretch
from napari_sfh.analysis.comparison import other_results, ppxf_fit
from napari_sfh.analysis.comparison.map_comparison import Comparison, compare_results
from napari_sfh.analysis.comparison.ppxf_fit import PpxfBinSettings, PpxfFit
from napari_sfh.analysis.drawing import contours, map_limits
from napari_sfh.analysis.drawing.units import choose_flux_unit
from napari_sfh.analysis.gas import line_maps
from napari_sfh.analysis.weights import load_result_bundle
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.prep.kinematics.ppxf_call import NOT_INSTALLED, is_ppxf_installed
from napari_sfh.types import Progress, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What contours can be drawn of: emission lines, then maps; name to title.
CONTOURS: dict[str, str] = {name: title for name, (title, _) in line_maps.LINES.items()} | {
    name: spec.title for name, spec in maps.MAPS.items() if not (name.endswith("_ERR") or name == "FLAG" or spec.by_age)
}


@dataclass(frozen=True)
class MapContours:
    """Contours of a map."""

    title: str  # of the map
    lines: list[list[NDArray[np.float64]]]  # by level: corners (n, 2) as (y, x) in pixels
    levels: tuple[float, ...]
    unit: str
    source: str  # where the map comes from

    @property
    def words(self) -> str:
        """The levels for a person: ``Hα: 0.5, 1.1, 2.4 × 10⁻¹⁶ erg s⁻¹ cm⁻² per spaxel``."""
        times = " × " if self.unit.startswith("10⁻") else " "
        values = ", ".join(f"{level:.3g}" for level in self.levels).replace("-", "−")
        return f"{self.title}: {values}{times}{self.unit}".rstrip()


def open_colour_image(
    progress: ReportProgress, cancel: threading.Event, paths: Mapping[str, Path], result: Result, look: ColourStretch
) -> tuple[ColourField, list[colour_image.U8]]:
    """Cut the mosaics to the result's field, and paint them.

    Parameters
    ----------
    paths : Mapping of str to Path
        Mosaic of each band.
    result : Result
        Gives the field: coordinates and shape.
    look : ColourStretch

    Returns
    -------
    (ColourField, list of uint8 arrays)
        The field, and its picture at each level of resolution.
    """
    report_progress(Progress("opening the mosaics", 0, 0), progress, cancel)
    field = colour_image.open_colour_field(paths, result.wcs, result.bins.bin_id.shape, progress, cancel)
    levels = colour_image.render_colour_image(field, look, progress, cancel)
    return field, levels


@dataclass(frozen=True)
class ContourMap:
    """A map of which contours are drawn."""

    name: str  # of `CONTOURS`
    image: NDArray[np.floating]  # (ny, nx), on the result's spaxels
    unit: str
    source: str  # where it comes from


def load_contour_map(
    progress: ReportProgress, cancel: threading.Event, result: Result, name: str, maps_path: Path | None
) -> ContourMap:
    """The map ``name`` of `CONTOURS` on the result's spaxels.

    Lines come from the MAPS file where it has them on these spaxels, else from the bins' spectra.

    Parameters
    ----------
    result : Result
    name : str
        Key of `CONTOURS`.
    maps_path : Path or None
        A MAPS file.

    Raises
    ------
    SfhInputError
        As `load_line_fluxes`.
    """
    report_progress(Progress(f"{CONTOURS[name]}", 0, 0), progress, cancel)
    if name in maps.MAPS:
        return ContourMap(name, maps.make_map_image(result, name), maps.MAPS[name].unit, result.name)
    if maps_path is not None:
        from napari_sfh.io.dap import list_line_names

        if name not in list_line_names(maps_path):
            maps_path = None
    fluxes = load_line_fluxes(progress, cancel, result, maps_path)
    image, unit = _scale_line_fluxes(line_maps.make_line_image(fluxes, name, result.bins), fluxes.unit)
    return ContourMap(name, image, unit, fluxes.source)


def _scale_line_fluxes(image: NDArray[np.floating], unit: str) -> tuple[NDArray[np.floating], str]:
    """A line's fluxes by spaxel in a unit that suits their size."""
    factor, text = choose_flux_unit(unit, map_limits.robust_limits(image, *line_maps.SHOWN_PERCENT)[1])
    return image * image.dtype.type(factor), f"{text} per spaxel"


def load_line_fluxes(
    progress: ReportProgress, cancel: threading.Event, result: Result, maps_path: Path | None
) -> line_maps.LineFluxes:
    """Line fluxes of a result: by spaxel from a MAPS file, or by bin from the result's spectra where there is none.

    Parameters
    ----------
    result : Result
    maps_path : Path or None
        A MAPS file on the spaxels of the result.

    Raises
    ------
    SfhInputError
        The MAPS file lies on other spaxels or holds no line; without one, the weights of the result are not here.
    """
    if maps_path is not None:
        from napari_sfh.io.dap import read_line_maps_on_grid

        report_progress(Progress("line maps", 0, 0), progress, cancel)
        found = read_line_maps_on_grid(maps_path, result.wcs, result.bins.bin_id.shape, result.name)
        return line_maps.add_halpha_width(line_maps.line_fluxes_from_maps(found, maps_path.name), result)
    from napari_sfh.analysis.gas import line_fitting

    report_progress(Progress("opening the weights", 0, 0), progress, cancel)
    measured = line_fitting.measure_line_fluxes(result, load_result_bundle(result), progress, cancel)
    return line_maps.add_halpha_width(measured, result)


def _check_levels(found: ContourMap, levels: NDArray[np.floating]) -> None:
    """Refuse typed levels of which none lies between the map's lowest and highest value."""
    finite = found.image[np.isfinite(found.image)]
    if finite.size and not ((levels >= finite.min()) & (levels <= finite.max())).any():
        values = MapContours(CONTOURS[found.name], [], tuple(levels), found.unit, found.source)
        span = replace(values, levels=(float(finite.min()), float(finite.max())))
        raise SfhInputError(
            f"contours: none of the levels lies in the map. Typed: {values.words}; "
            f"lowest and highest value: {span.words}"
        )


def trace_map_contours(found: ContourMap, n: int, typed: tuple[float, ...] = ()) -> MapContours:
    """Contours of a map at ``n`` levels, or at those that are typed in the map's unit.

    Parameters
    ----------
    found : ContourMap
    n : int
        Number of levels.
    typed : tuple of float
        Levels in the unit of the map; empty: `n` levels are chosen.

    Raises
    ------
    SfhInputError
        The map has no finite value.
    """
    image, name = found.image, found.name
    if typed:
        levels = np.array(typed)
        _check_levels(found, levels)
    elif name in line_maps.LINES:
        levels = contours.choose_contour_levels(image, n)
    else:
        finite = image[np.isfinite(image)]
        if finite.size == 0:
            raise SfhInputError(f"contours: {CONTOURS[name]} has no finite value; choose another map")
        low, high = np.percentile(finite, [10, 90])
        levels = np.linspace(low, high, n)
    drawn = [contours.trace_contours(image, [level]) for level in levels]
    return MapContours(CONTOURS[name], drawn, tuple(float(level) for level in levels), found.unit, found.source)


def save_single_table(progress: ReportProgress, cancel: threading.Event, table: Any, path: Path) -> Path:
    """Write a table as ECSV or FITS, see `tables.write_tables`.

    Parameters
    ----------
    table : Table
    path : Path
        Ends in one of `tables.TABLE_SUFFIXES`.
    """
    report_progress(Progress("writing the table", 0, 0), progress, cancel)
    return tables.write_tables({"TABLE": table}, path)


def load_comparison(progress: ReportProgress, cancel: threading.Event, path: Path | None, result: Result) -> Comparison:
    """Read another answer, or the demo's truth (None), and bring it onto the result's bins.

    Parameters
    ----------
    path : Path or None
        Result of another code or run.
    result : Result

    Raises
    ------
    SfhInputError
        The file holds no answer (`read_other_result`), or none for these bins (`compare_results`).
    """
    report_progress(Progress("reading the other answer", 0, 0), progress, cancel)
    if path is None:
        from napari_sfh import demo

        answer = other_results.other_result_from_truth(demo.read_demo_truth(), result)
    else:
        answer = other_results.read_other_result(path, result)
    report_progress(Progress("matching the bins", 0, 0), progress, cancel)
    return compare_results(result, answer)


def fit_bin_with_ppxf(
    progress: ReportProgress, cancel: threading.Event, result: Result, bin_id: int, settings: PpxfBinSettings
) -> PpxfFit:
    """pPXF on one bin, with the templates of the result's weights.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    settings : PpxfBinSettings

    Raises
    ------
    SfhInputError
        pPXF is not installed, or the weights of the result are not here or hold no templates.
    """
    report_progress(Progress("reading the templates", 0, 0), progress, cancel)
    if not is_ppxf_installed():
        raise SfhInputError(NOT_INSTALLED)
    bundle = run_in_background(lambda: load_result_bundle(result), "reading the templates", progress, cancel)
    if bundle.basis is None:
        raise SfhInputError(f"pPXF: the weights {bundle.name} have no stellar templates; use those of another result")
    return ppxf_fit.fit_ppxf_in_process(result, bin_id, bundle.basis, settings, progress, cancel)


def draw_and_save_figure(
    progress: ReportProgress, cancel: threading.Event, draw: Callable[[], Figure], path: Path
) -> Path:
    """Draw a figure and write it as PNG, PDF or SVG.

    Parameters
    ----------
    draw : callable
        Makes the figure.
    path : Path
        Its ending is the format.
    """
    report_progress(Progress("drawing", 0, 0), progress, cancel)
    from napari_sfh.figures.files import save_figure

    return save_figure(draw(), path)
