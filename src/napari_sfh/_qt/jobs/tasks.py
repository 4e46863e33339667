"""The explorer's long work, as functions for `workers.BackgroundJob`: no Qt, and nothing heavy imported before
it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh._qt.canvas import layer_data
from napari_sfh._qt.canvas.layer_data import LayerLink, LayerTuple
from napari_sfh.analysis import tables
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.objects.estimate_table import EstimateTable, holds_estimates, read_estimates
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.config import RunConfig
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.instruments.bundle_header import (
    BundleHeader,
    is_bundle_path,
    list_bundles,
    list_bundles_for,
    read_bundle_header,
)
from napari_sfh.instruments.files import INSTRUMENT_SUFFIX, load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.objects.blocks import FORMATS, open_catalogue
from napari_sfh.io.workspaces import SUFFIX, Workspace, hash_result, read_workspace, write_workspace
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.processes.calls import CallAhead
from napari_sfh.types import F32, Cube, Progress, Result

#: Kinds of files (`io.identify.KINDS`) that belong to a galaxy and show nothing by themselves, and where they go.
PARTS = {
    "mosaic": "an image of a band; choose it under Data, or open the galaxy's folder",
    "weight": "the weight map of an image; choose the image under Data",
    "maps": "a MAPS file; choose it under Data, or open the galaxy's folder",
    "ngist": "a table of nGIST; open the galaxy's result and choose the table under Compare",
    "truth": "the truth of a mock galaxy; open the galaxy's result and choose this file under Compare",
}
#: Channels read for the white light of a cube that has not been run.
PREVIEW_CHANNELS = 48
#: Band images read for the picture of a stack that has not been run.
PREVIEW_IMAGES = 8


@dataclass(frozen=True)
class GalaxyPart:
    """A file that belongs beside a cube: an image of a band, or a MAPS file."""

    kind: str  # one of `io.identify.KINDS`
    path: Path
    band: str | None  # of an image


@dataclass(frozen=True)
class OpenedGalaxy:
    """What was found in a folder, or a single cube, ready for the form and the canvas."""

    cube: Path | None
    photometry: dict[str, Path]
    maps: Path | None
    problems: tuple[str, ...]
    white: LayerTuple | None
    ebv_mw: float | None = None  # where it is known beforehand
    is_demo: bool = False  # it is run with the default settings
    folder: Path | None = None
    opened: Cube | None = None  # the cube's axes; its data stay on disk
    sky: SkyGrid | None = None  # of ``white``
    sought: tuple[str, ...] = ()  # bands whose images were looked for


@dataclass(frozen=True)
class PreparedResult:
    """A result with its layers prepared, so that the main thread only adds them."""

    result: Result
    layers: tuple[LayerTuple, ...]
    path: Path | None = None  # the file that holds it


@dataclass(frozen=True)
class OpenedWorkspace:
    """A workspace with its result, or with the cube's white light where there is no result."""

    workspace: Workspace
    shown: PreparedResult | None
    galaxy: OpenedGalaxy | None
    notes: tuple[str, ...]  # what is missing or has changed since it was saved


def preview_white_light(
    cube: Cube, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> F32:
    """Mean of channels spread evenly over a cube, (ny, nx) in its unit; NaN where no channel is good."""
    channels = np.unique(np.linspace(0, cube.shape[0] - 1, PREVIEW_CHANNELS).astype(int))
    total = np.zeros(cube.shape[1:])
    count = np.zeros(cube.shape[1:])
    for done, k in enumerate(channels):
        raise_if_cancelled(cancel)
        flux, _, good = cube.read(int(k), int(k) + 1)
        total += np.where(good[0], flux[0], 0)
        count += good[0]
        report_progress(Progress("white light", done + 1, channels.size), progress, cancel)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean.astype(np.float32)


def preview_band_images(photometry: Mapping[str, Path], instrument: Instrument) -> tuple[LayerTuple, SkyGrid]:
    """The median of images spread evenly over a stack, as a layer, and its grid on the sky.

    Parameters
    ----------
    photometry : mapping
        Band to file.
    instrument : Instrument
        Of the bands.

    Raises
    ------
    SfhInputError
        A file without a flux unit, or images on different grids.
    """
    from napari_sfh.instruments.files import make_band_filters
    from napari_sfh.io.objects.band_images import read_band_images

    bands = list(photometry)
    pivot_aa = {f.name: f.pivot_aa for f in make_band_filters(instrument)}
    chosen = np.unique(np.linspace(0, len(bands) - 1, PREVIEW_IMAGES).astype(int))
    images = read_band_images({bands[k]: photometry[bands[k]] for k in chosen}, pivot_aa)
    known = np.isfinite(images.flux).any(0)
    white = np.full(known.shape, np.nan, np.float32)
    white[known] = np.nanmedian(images.flux[:, known], axis=0)
    sky = SkyGrid.of(images.wcs, (known.shape[0], known.shape[1]))
    return layer_data.make_white_light_layer(white, sky, images.name, LayerLink("white")), sky


def open_galaxy(
    progress: ReportProgress,
    cancel: threading.Event,
    folder: Path | None = None,
    cube: Path | None = None,
    model: str = "default",
    hdu: str | None = None,
) -> OpenedGalaxy:
    """Find a galaxy's files for some weights, and make the white light of its cube, or a picture of its band images.

    Parameters
    ----------
    folder : Path or None
        Of a galaxy: its cube, band images and MAPS are found.
    cube : Path or None
        A cube alone; not asked where there is a folder.
    model : str
        Name or path of weights, which say what bands are sought.
    hdu : str or None
        Which cube of a file that holds several.

    Raises
    ------
    SfhInputError
        The folder holds nothing that the weights can run on, or the cube cannot be read.
    """
    from napari_sfh.io.cubes import read_cube
    from napari_sfh.io.identify import find_galaxy_files

    report_progress(Progress("looking for files", 0, 0), progress, cancel)
    photometry: dict[str, Path] = {}
    maps: Path | None = None
    problems: tuple[str, ...] = ()
    instrument = read_bundle_header(model).instrument
    if folder is not None:
        found = find_galaxy_files(folder, read_bundle_header(model))
        cube, photometry, maps, problems = found.cube, dict(found.mosaics), found.maps, tuple(found.problems)
    white = opened = sky = None
    if cube is not None:
        opened = read_cube(cube, hdu)
        sky = SkyGrid.of(opened.wcs, opened.shape[1:])
        with suppress(Cancelled):  # the files are known all the same
            white = layer_data.make_cube_layer(opened, preview_white_light(opened, progress, cancel))
    elif photometry:
        with suppress(SfhInputError):  # the preflight tells it
            white, sky = preview_band_images(photometry, instrument)
    if white is not None:
        warm_up_napari()
    sought = instrument.band_names if folder is not None else ()
    return OpenedGalaxy(cube, photometry, maps, problems, white, folder=folder, opened=opened, sky=sky, sought=sought)


def find_band_files(
    progress: ReportProgress, cancel: threading.Event, folder: Path, model: str
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The images of some weights' bands in a galaxy's folder, by band, and what is to be said of the folder.

    Nothing where the folder holds nothing that these weights can run on.

    Parameters
    ----------
    folder : Path
    model : str
        Name or path of weights.
    """
    from napari_sfh.io.identify import find_galaxy_files

    report_progress(Progress("looking for files", 0, 0), progress, cancel)
    try:
        found = find_galaxy_files(folder, read_bundle_header(model))
    except SfhInputError:
        return {}, ()
    return dict(found.mosaics), tuple(found.problems)


def open_demo(progress: ReportProgress, cancel: threading.Event) -> OpenedGalaxy:
    """The bundled mock galaxy."""
    report_progress(Progress("opening the mock spiral", 0, 0), progress, cancel)
    from napari_sfh.demo import EBV_MW, find_demo_folder

    galaxy = open_galaxy(progress, cancel, folder=find_demo_folder())
    return replace(galaxy, ebv_mw=EBV_MW, is_demo=True)


def run_galaxy(
    progress: ReportProgress, cancel: threading.Event, options: dict[str, Any], ahead: CallAhead | None = None
) -> PreparedResult:
    """The pipeline with the form's options; if it was cancelled, with the bins that were reached.

    Parameters
    ----------
    options : dict
        Of `decisions.configure_run`.
    ahead : CallAhead, optional
        The run of `demo.run_demo`, which was begun with the window; it ends here. If the form asks for another one, it
        is of no use.

    Raises
    ------
    SfhInputError, ComputeError
        As `pipeline.run_pipeline`; or a file has changed while it was read.
    """
    report_progress(Progress("starting", 0, 0), progress, cancel)
    from napari_sfh.batch.rerun import describe_input_files
    from napari_sfh.batch.result_files import check_input_files
    from napari_sfh.decisions import configure_run

    config = configure_run(**options)
    inputs = describe_input_files(config)
    try:
        result = _run_or_finish(config, ahead, progress, cancel)
    except Cancelled as stopped:
        if stopped.reached is None:
            raise
        result = stopped.reached
    check_input_files(config, inputs, "not shown")
    report_progress(Progress("maps", 0, 0), progress)
    return prepare_result(result)


def _run_or_finish(
    config: RunConfig, ahead: CallAhead | None, progress: ReportProgress, cancel: threading.Event
) -> Result:
    if ahead is not None:
        from napari_sfh.demo import make_window_config

        if config == make_window_config():
            result: Result = ahead.finish(progress, cancel)
            return result
        ahead.drop()
    from napari_sfh.pipeline import run_pipeline

    return run_pipeline(config, progress, cancel)


def open_result(progress: ReportProgress, cancel: threading.Event, path: Path) -> PreparedResult:
    """Read a result file."""
    report_progress(Progress("reading the result", 0, 0), progress, cancel)
    from napari_sfh.io.results import read_result

    return prepare_result(read_result(path), path)


def open_path(
    progress: ReportProgress, cancel: threading.Event, path: Path, model: str = "default"
) -> PreparedResult | OpenedGalaxy | OpenedWorkspace | EstimateTable | BundleHeader | GalaxyPart:
    """What a file or folder holds: a galaxy, with the files that some weights use, a workspace, a result, and so on.

    Parameters
    ----------
    path : Path
        A file or folder.
    model : str
        Name or path of the weights that a galaxy's files are sought for.

    Raises
    ------
    SfhInputError
        It is none of them.
    """
    report_progress(Progress("opening", 0, 0), progress, cancel)
    if is_bundle_path(path):
        return read_bundle_header(path)
    if path.suffix.lower() == INSTRUMENT_SUFFIX:
        raise SfhInputError(_refuse_instrument(path))
    if path.is_dir():
        return open_galaxy(progress, cancel, folder=path, model=model)
    if path.suffix.lower() == SUFFIX:
        return open_workspace(progress, cancel, path)
    from napari_sfh.io.identify import identify_file

    info = identify_file(path, read_bundle_header(model))
    kind = info.kind
    if kind == "cube":
        return open_galaxy(progress, cancel, cube=path)
    if kind in ("mosaic", "maps"):
        return GalaxyPart(kind, path, info.band)
    if kind in PARTS:
        raise SfhInputError(f"{path}: {PARTS[kind]}")
    if kind == "unknown" and holds_estimates(path):
        report_progress(Progress("reading the table", 0, 0), progress, cancel)
        return read_estimates(path)
    if kind == "unknown" and path.suffix.lower() in FORMATS and path.is_file():
        raise SfhInputError(_refuse_table(path))
    return open_result(progress, cancel, path)


def _refuse_instrument(path: Path) -> str:
    """Where the window has an instrument from: its weights."""
    instrument = load_instrument(path)
    names = list_bundles_for(instrument)
    then = f"choose weights that are made for it under Network: {', '.join(names)}"
    if not names:
        then = "none are made for it yet; train some with napari-sfh-train, and open these"
    return f"{path}: the instrument {instrument.name}; the window takes the one of its weights: {then}"


def _refuse_table(path: Path) -> str:
    """Why a table cannot be shown, and what can."""
    if "BIN_ID" in open_catalogue(path).names:
        return f"{path}: a table of the bins of a result; open the result that it was saved from"
    return f"{path}: a table without estimates; `napari-sfh estimate {path.name}` makes one with them: open that"


def open_workspace(progress: ReportProgress, cancel: threading.Event, path: Path) -> OpenedWorkspace:
    """Read a workspace and what it needs; a file that is gone or damaged is told, the rest is opened."""
    report_progress(Progress("reading the workspace", 0, 0), progress, cancel)
    workspace = read_workspace(path)
    if workspace.result is not None and not workspace.result.is_file():
        beside = path.parent / workspace.result.name  # both were moved
        workspace = replace(workspace, result=beside) if beside.is_file() else workspace
    notes: list[str] = []
    shown = _open_workspace_result(progress, cancel, workspace, notes)
    galaxy = None if shown is not None else _open_workspace_cube(progress, cancel, workspace, notes)
    return OpenedWorkspace(workspace, shown, galaxy, tuple(notes))


def _open_workspace_result(
    progress: ReportProgress, cancel: threading.Event, workspace: Workspace, notes: list[str]
) -> PreparedResult | None:
    if workspace.result is None:
        return None
    remedy = "open it where it is now (the rest of the workspace comes with it), or press Run."
    if not workspace.result.is_file():
        notes.append(f"The result {workspace.result} is missing: put it back, {remedy}")
        return None
    try:
        shown = open_result(progress, cancel, workspace.result)
    except SfhInputError as error:
        notes.append(f"The result cannot be read: {error}; if there is a good one, {remedy}")
        return None
    if shown.result.bins.n_bins != workspace.n_bins:
        notes.append(
            f"{workspace.result.name} has {shown.result.bins.n_bins} bins, not the {workspace.n_bins} that it had "
            "when the workspace was saved: the selected bins are others."
        )
    elif workspace.digest and hash_result(shown.result) != workspace.digest:
        notes.append(
            f"{workspace.result.name} has been written anew: its values are not those that were shown when the "
            "workspace was saved."
        )
    return shown


def _open_workspace_cube(
    progress: ReportProgress, cancel: threading.Event, workspace: Workspace, notes: list[str]
) -> OpenedGalaxy | None:
    cube = workspace.forms.get("data", {}).get("cube")
    if cube is None:
        return None
    if not Path(cube).is_file():
        notes.append(f"The cube {cube} is missing: choose it again under Data.")
        return None
    try:
        return open_galaxy(progress, cancel, cube=Path(cube))
    except SfhInputError as error:
        notes.append(f"The cube cannot be read: {error}; choose another under Data.")
        return None


def save_window_workspace(
    progress: ReportProgress, cancel: threading.Event, workspace: Workspace, path: Path, result: Result | None
) -> tuple[Path, Path | None]:
    """Write a workspace; a result that is in no file yet is written beside it first.

    Parameters
    ----------
    workspace : Workspace
    path : Path
        Of the workspace, replaced if it exists.
    result : Result or None
        What the window shows.

    Returns
    -------
    (Path, Path or None)
        The workspace and its result file.
    """
    report_progress(Progress("writing the workspace", 0, 0), progress, cancel)
    if result is not None and workspace.result is None:
        beside = path.with_name(f"{path.stem}_sfh.fits")
        beside = save_result(progress, cancel, result, beside)
        workspace = replace(workspace, result=beside)
    return write_workspace(workspace, path), workspace.result


def prepare_result(result: Result, path: Path | None = None) -> PreparedResult:
    """Make all layers of a result.

    Parameters
    ----------
    result : Result
    path : Path or None
        Its file, if it has one.
    """
    warm_up_napari()
    return PreparedResult(result, tuple(layer_data.make_result_layers(result)), path)


@cache
def warm_up_napari() -> None:
    """What napari and vispy do once for their first layers, away from the main thread.

    That is the table of units, compiled code, and the dashes of a Labels layer's outlines: 0.3 s.
    """
    from napari.layers import Labels
    from vispy.visuals.line.dash_atlas import DashAtlas

    Labels(np.zeros((2, 2), dtype=np.int32), units=("arcsec", "arcsec"))
    DashAtlas()


def save_result(progress: ReportProgress, cancel: threading.Event, result: Result, path: Path) -> Path:
    """Write a result file.

    Parameters
    ----------
    result : Result
    path : Path
        Replaced if it exists.
    """
    report_progress(Progress("writing the result", 0, 0), progress, cancel)
    from napari_sfh.io.results import write_result

    return write_result(result, path)


def save_result_figure(
    progress: ReportProgress,
    cancel: threading.Event,
    result: Result,
    path: Path,
    views: Sequence[BinView],
    kind: str,
    distance_mpc: float | None = None,
) -> Path:
    """Draw the page of the shown bins, or that of the maps when there are none.

    Parameters
    ----------
    result : Result
    path : Path
        Its ending is the format.
    views : Sequence of BinView
        The shown bins or regions.
    kind : str
        ``mass`` or ``light``: the weight of their histories.
    distance_mpc : float or None
        Luminosity distance for the page of maps, Mpc.
    """
    report_progress(Progress("drawing", 0, 0), progress, cancel)
    from napari_sfh.figures import pages
    from napari_sfh.figures.files import save_figure

    figure = pages.draw_bins_page(result, views, kind) if views else pages.draw_maps_page(result, distance_mpc)
    return save_figure(figure, path)


def save_result_table(
    progress: ReportProgress, cancel: threading.Event, result: Result, path: Path, views: Sequence[BinView] | None
) -> list[Path]:
    """Write histories, formation times, spectra and bands of bins as ECSV or FITS.

    Without bins: a line for each bin of the result, and their histories. Returns the files.

    Parameters
    ----------
    result : Result
    path : Path
        Ends in one of `tables.TABLE_SUFFIXES`.
    views : Sequence of BinView, or None
        Bins or regions; None: the whole result.
    """
    report_progress(Progress("writing the table", 0, 0), progress, cancel)
    if views is None:
        made = {"BINS": tables.build_summary_table(result)}
        if result.prediction.has_histories:
            made["SFH"] = tables.build_result_sfh_table(result)
    else:
        made = tables.build_bin_tables(result, views)
    return tables.list_table_files(list(made), tables.write_tables(made, path))


def save_estimate_rows(
    progress: ReportProgress, cancel: threading.Event, table: EstimateTable, rows: Sequence[int], path: Path
) -> Path:
    """Write rows of a table of estimates (none: all), with what the file says of its run.

    Parameters
    ----------
    table : EstimateTable
    rows : Sequence of int
        From 0; empty: all.
    path : Path
        Replaced if it exists.
    """
    report_progress(Progress("writing the rows", 0, 0), progress, cancel)
    from napari_sfh.io.objects.writing import CatalogueWriter

    with CatalogueWriter(path, table.meta) as out:
        out.append(table.table[list(rows)] if rows else table.table)
    return path


def read_cards(progress: ReportProgress, cancel: threading.Event) -> dict[str, str]:
    """Name and card of every shipped network, the default first."""
    report_progress(Progress("weights", 0, 0), progress, cancel)

    return {name: read_bundle_header(path).card for name, path in list_bundles().items()}
