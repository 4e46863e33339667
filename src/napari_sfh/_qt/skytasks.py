"""Long work of the tools that look beyond the network's answer, as generators for `workers.Job`: no Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sfh.analysis import answers, composite, contours, lines, maps, ppxf_bin, tables
from napari_sfh.analysis.compare import Comparison, against
from napari_sfh.analysis.composite import Field, Look
from napari_sfh.analysis.ppxf_bin import NOT_INSTALLED, PpxfFit, PpxfSettings
from napari_sfh.analysis.units import readable_flux
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.files import save
from napari_sfh.prep.kinematics import ppxf_installed
from napari_sfh.progress import in_background
from napari_sfh.types import Progress, Result

#: What contours can be drawn of: emission lines, then maps; name to title.
CONTOURS: dict[str, str] = {name: title for name, (title, _) in lines.LINES.items()} | {
    name: spec.title for name, spec in maps.MAPS.items() if not name.endswith("_ERR") and name != "FLAG"
}


@dataclass(frozen=True)
class Contours:
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


def open_composite(
    cancel: threading.Event, paths: Mapping[str, Path], result: Result, look: Look
) -> Generator[Progress, None, tuple[Field, list[composite.U8]] | None]:
    """Cut the mosaics to the result's field, and paint them."""
    yield Progress("opening the mosaics", 0, 0)
    field = yield from composite.open_field(paths, result.wcs, result.bins.bin_id.shape, cancel)
    if field is None:
        return None
    levels = yield from composite.paint(field, look, cancel)
    return None if levels is None else (field, levels)


def line_image(
    cancel: threading.Event, result: Result, name: str, maps_path: Path | None
) -> Generator[Progress, None, tuple[NDArray[np.floating], str, str] | None]:
    """The map ``name`` of `CONTOURS` on the result's spaxels, its unit, and where it comes from.

    Lines come from the MAPS file where it has them on these spaxels, else from the bins' spectra.
    """
    yield Progress(f"{CONTOURS[name]}", 0, 0)
    if name in maps.MAPS:
        return maps.image(result, name), maps.MAPS[name].unit.replace("log10", "log"), result.name
    if maps_path is not None:
        from napari_sfh.io.dap import read_lines

        found = read_lines(maps_path)
        if name in found and found[name].flux.shape == result.bins.bin_id.shape:
            fluxes = lines.spaxel_fluxes(found, maps_path.name)
            return *_readable(lines.image(fluxes, name, result.bins), fluxes.unit), maps_path.name
    measured = yield from _measured(cancel, result)
    if measured is None:
        return None
    return *_readable(lines.image(measured, name, result.bins), measured.unit), measured.source


def _readable(image: NDArray[np.floating], unit: str) -> tuple[NDArray[np.floating], str]:
    """A line's fluxes by spaxel in a unit that suits their size."""
    factor, text = readable_flux(unit, maps.robust_limits(image, *lines.SHOWN_PERCENT)[1])
    return image * image.dtype.type(factor), f"{text} per spaxel"


def _measured(cancel: threading.Event, result: Result) -> Generator[Progress, None, lines.LineFluxes | None]:
    from napari_sfh.analysis import linefit

    return (yield from linefit.measure(result, bundle_of(result), cancel))


def bundle_of(result: Result) -> Any:
    """The weights that made a result, for their templates; the default ones where these are not shipped."""
    from napari_sfh.model.bundle import list_bundles, load_bundle

    return load_bundle(result.model_name if result.model_name in list_bundles() else "default")


def contour_lines(
    cancel: threading.Event, result: Result, name: str, n: int, maps_path: Path | None
) -> Generator[Progress, None, Contours | None]:
    """Contours of `line_image` at ``n`` levels."""
    found = yield from line_image(cancel, result, name, maps_path)
    if found is None:
        return None
    image, unit, source = found
    if name in lines.LINES:
        levels = contours.levels(image, n)
    else:
        finite = image[np.isfinite(image)]
        if finite.size == 0:
            raise SfhInputError(f"contours: {CONTOURS[name]} has no finite value; choose another map")
        low, high = np.percentile(finite, [10, 90])
        levels = np.linspace(low, high, n)
    drawn = [contours.contours(image, [level]) for level in levels]
    return Contours(CONTOURS[name], drawn, tuple(float(level) for level in levels), unit, source)


def save_table(cancel: threading.Event, table: Any, path: Path) -> Generator[Progress, None, Path]:
    """Write a table as ECSV or FITS, see `tables.write`."""
    yield Progress("writing the table", 0, 0)
    return tables.write({"TABLE": table}, path)


def load_answer(
    cancel: threading.Event, path: Path | None, result: Result
) -> Generator[Progress, None, Comparison | None]:
    """Read another answer, or the demo's truth (None), and bring it onto the result's bins."""
    yield Progress("reading the other answer", 0, 0)
    if path is None:
        from napari_sfh import demo

        answer = answers.of_truth(demo.truth(), result)
    else:
        answer = answers.read_answer(path, result)
    if cancel.is_set():
        return None
    yield Progress("matching the bins", 0, 0)
    return against(result, answer)


def fit_ppxf(
    cancel: threading.Event, result: Result, bin_id: int, settings: PpxfSettings
) -> Generator[Progress, None, PpxfFit | None]:
    """pPXF on one bin, with the templates of the result's weights."""
    yield Progress("reading the templates", 0, 0)
    if not ppxf_installed():
        raise SfhInputError(NOT_INSTALLED)
    bundle = yield from in_background(lambda: bundle_of(result), "reading the templates", cancel)
    if bundle is None:
        return None
    return (yield from ppxf_bin.fit_bin(result, bin_id, bundle.basis, settings, cancel))


def save_figure(cancel: threading.Event, draw: Callable[[], Figure], path: Path) -> Generator[Progress, None, Path]:
    """Draw a figure and write it as PNG, PDF or SVG."""
    yield Progress("drawing", 0, 0)
    return save(draw(), path)
