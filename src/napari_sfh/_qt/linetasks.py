"""Long work of the tool 'Emission lines', as generators for `workers.Job`: no Qt."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np

from napari_sfh._qt.layers import KEY, LayerTuple, Link
from napari_sfh._qt.sky import SkyGrid
from napari_sfh._qt.skytasks import bundle_of
from napari_sfh.analysis.lines import BPT, LINES, SHOWN_PERCENT, LineFluxes, image, spaxel_fluxes, title
from napari_sfh.analysis.maps import robust_limits
from napari_sfh.analysis.units import readable_flux, tidy_limits
from napari_sfh.errors import ComputeError
from napari_sfh.types import Progress, Result


def load_lines(
    cancel: threading.Event, result: Result, maps_path: Path | None
) -> Generator[Progress, None, LineFluxes | None]:
    """Line fluxes of a result: by spaxel from a MAPS file, or by bin from the result's spectra where there is none."""
    if maps_path is not None:
        from napari_sfh.io.dap import read_lines_on

        yield Progress("line maps", 0, 0)
        found = read_lines_on(maps_path, result.wcs, result.bins.bin_id.shape, result.name)
        return spaxel_fluxes(found, maps_path.name)
    from napari_sfh.analysis import linefit

    yield Progress("opening the weights", 0, 0)
    return (yield from linefit.measure(result, bundle_of(result), cancel))


def line_layer(
    result: Result, lines: LineFluxes, name: str, sky: SkyGrid, min_snr: float, composite: bool
) -> LayerTuple:
    """A line or a quantity of the gas as a layer on the result's grid, NaN where it cannot be said."""
    values = image(lines, name, result.bins, min_snr, composite)
    text, unit, colors = title(name, lines.unit)
    low, high = robust_limits(values, *SHOWN_PERCENT)
    if name in LINES:
        factor, flux_unit = readable_flux(lines.unit, high)
        values, unit, low, high = values * np.float32(factor), f"{flux_unit} per spaxel", 0.0, high * factor
    limits = (0.5, len(BPT) - 0.5) if name == "BPT" else tidy_limits(low, high) if high > low else (0.0, 1.0)
    attributes = {
        "name": f"{text} [{unit}]",
        "colormap": colors,
        "contrast_limits": limits,
        "interpolation2d": "nearest",
        "metadata": {KEY: Link("lines", name, result)},
        **sky.transform(),
    }
    return np.ascontiguousarray(values), attributes, "image"


def save_table(
    cancel: threading.Event, result: Result, lines: LineFluxes, composite: bool, path: Path
) -> Generator[Progress, None, Path]:
    """Write `gas_stars.table` as ECSV (or what the name's ending says: csv, fits)."""
    yield Progress("writing the table", 0, 0)
    from napari_sfh.analysis import gas_stars

    kinds = {".csv": "ascii.csv", ".fits": "fits"}
    try:
        gas_stars.table(result, lines, composite).write(
            path, format=kinds.get(path.suffix.lower(), "ascii.ecsv"), overwrite=True
        )
    except OSError as error:
        raise ComputeError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    return path


def save_page(
    cancel: threading.Event, result: Result, lines: LineFluxes, composite: bool, path: Path
) -> Generator[Progress, None, Path]:
    """Draw `figures.gas_stars.gas_page` as PNG, PDF or SVG."""
    yield Progress("drawing", 0, 0)
    from napari_sfh.figures.files import save
    from napari_sfh.figures.gas_stars import gas_page

    return save(gas_page(result, lines, composite), path)
