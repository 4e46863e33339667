"""What the manifest names: reader, writer, sample data and commands. Thin; the work is in `tasks` and `layers`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh.errors import SfhInputError
from napari_sfh.io.workspaces import REGION_SUFFIX, SUFFIX, is_workspace
from napari_sfh.types import Progress

if TYPE_CHECKING:
    from napari_sfh._qt.canvas.layer_data import LayerTuple

#: What a reader returns that has read, but has no layers.
NO_LAYERS: list[Any] = [(None,)]


def _ignore_progress(step: Progress) -> None:
    """Nobody is there to be told."""


def get_explorer(viewer: Any = None) -> Any:
    """The explorer of a viewer (default: napari's current one), opened if need be; None without a window."""
    import napari

    viewer = viewer or napari.current_viewer()
    if viewer is None:
        return None
    _, widget = viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")
    return widget


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """A reader for what the explorer opens; None for the rest.

    Results, cubes, folders, workspaces, tables, regions, weights, and instruments, of which it says what they are for.
    """
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    if path.endswith(SUFFIX):
        return read_workspace_layers if is_workspace(path) else None
    from napari_sfh.instruments.bundle_header import is_bundle_path
    from napari_sfh.instruments.files import INSTRUMENT_SUFFIX

    if path.lower().endswith((REGION_SUFFIX, INSTRUMENT_SUFFIX)) or is_bundle_path(Path(path)):
        return read_by_explorer
    from napari_sfh._qt.canvas.map_files import holds_map_image
    from napari_sfh.io.fits_access import is_fits_name
    from napari_sfh.io.identify import holds_cube, identify_file

    if Path(path).is_dir():
        return read_folder_layers if holds_cube(path) else None
    if holds_map_image(Path(path)):
        return read_map_layers
    from napari_sfh._qt.jobs.tasks import PARTS
    from napari_sfh.analysis.objects.estimate_table import holds_estimates

    info = identify_file(Path(path))
    if info.kind == "unknown" and holds_estimates(Path(path)):
        return read_by_explorer
    if info.kind == "unknown" and info.problems and is_fits_name(Path(path)):
        return read_cube_layers  # damaged: what is wrong with it is ours to say
    if info.kind in PARTS:
        return read_by_explorer
    return {"result": read_result_layers, "cube": read_cube_layers}.get(info.kind)


def read_result_layers(path: str) -> list[LayerTuple]:
    """The layers of a result file; in a window, the explorer opens it, without blocking the window."""
    if _open_in_explorer(path):
        return NO_LAYERS
    from napari_sfh._qt.jobs import tasks

    return list(tasks.open_result(_ignore_progress, threading.Event(), Path(path)).layers)


def read_cube_layers(path: str) -> list[LayerTuple]:
    """The white light of a cube; in a window, the explorer takes the cube, ready to run."""
    if _open_in_explorer(path):
        return NO_LAYERS
    from napari_sfh._qt.jobs import tasks

    galaxy = tasks.open_galaxy(_ignore_progress, threading.Event(), cube=Path(path))
    return [galaxy.white] if galaxy.white is not None else []


def read_folder_layers(path: str) -> list[LayerTuple]:
    """The white light of a galaxy's cube; in a window, the explorer takes all its files, ready to run."""
    if _open_in_explorer(path):
        return NO_LAYERS
    from napari_sfh._qt.jobs import tasks

    galaxy = tasks.open_galaxy(_ignore_progress, threading.Event(), folder=Path(path))
    return [galaxy.white] if galaxy.white is not None else []


def read_map_layers(path: str) -> list[LayerTuple]:
    """The map of a FITS image that was saved from the window, with its coordinates, colours and limits."""
    import napari

    from napari_sfh._qt.canvas.interaction import set_north_up
    from napari_sfh._qt.canvas.map_files import read_map_image

    viewer = napari.current_viewer()
    if viewer is not None and not viewer.layers:  # other layers may be no maps of the sky
        set_north_up(viewer)
    return [read_map_image(Path(path))]


def read_workspace_layers(path: str) -> list[LayerTuple]:
    """Nothing but what the explorer shows of it; the layers of its result without a window."""
    if _open_in_explorer(path):
        return NO_LAYERS
    from napari_sfh._qt.jobs import tasks

    shown = tasks.open_workspace(_ignore_progress, threading.Event(), Path(path)).shown
    return NO_LAYERS if shown is None else list(shown.layers)


def read_by_explorer(path: str) -> list[LayerTuple]:
    """No layers: the explorer shows tables of estimates and DS9 regions, chooses weights, and says where the rest goes.

    Parameters
    ----------
    path : str

    Raises
    ------
    SfhInputError
        There is no window.
    """
    if not _open_in_explorer(path):
        raise SfhInputError(f"{path}: open it in a window of napari; the SFH explorer shows it")
    return NO_LAYERS


def _open_in_explorer(path: str) -> bool:
    """Let the explorer of the current window open a file once napari is done with it; False without a window."""
    import napari

    if napari.current_viewer() is None:
        return False
    _call_later(lambda widget: widget.files.open_chosen(path))
    return True


def open_mock_spiral() -> list[LayerTuple]:
    """Sample data: the mock galaxy's white light; the explorer holds its files, ready to run."""
    import napari

    from napari_sfh._qt.canvas.interaction import set_north_up
    from napari_sfh._qt.jobs import tasks

    galaxy = tasks.open_demo(_ignore_progress, threading.Event())
    viewer = napari.current_viewer()
    if viewer is not None:
        set_north_up(viewer)  # napari paints the layer before the explorer has it
    _call_later(lambda widget: widget.files.may_open() and widget.presenter.show_galaxy(galaxy))
    return [galaxy.white] if galaxy.white is not None else []


def _call_later(act: Callable[[Any], None]) -> None:
    """Call ``act`` with the explorer once napari has added the layers; nothing without a window."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, lambda: act(get_explorer(viewer)))


def write_result_layers(path: str, layer_data: list[LayerTuple]) -> list[str]:
    """Write the result that the layers show as a result file.

    Parameters
    ----------
    path : str
        Of the result file, replaced if it exists.
    layer_data : list of layer tuples
        Data, attributes and kind of each layer, as napari gives them to a writer; the first that belongs to a result
        counts.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    SfhInputError
        None of the layers shows what is in a result: contours and mosaics are in no result file.
    """
    from napari_sfh._qt.canvas.layer_data import get_layer_link
    from napari_sfh.io.results import write_result as write

    for _, attributes, _ in layer_data:
        link = get_layer_link(attributes.get("metadata", {}))
        if link is not None and link.result is not None and link.role not in ("contours", "composite", "disc"):
            return [str(write(link.result, Path(path)))]
    raise SfhInputError(
        f"{path}: the selected layers hold no star-formation histories; run the explorer first, or "
        "choose a map of a result"
    )


def write_map_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one map as a FITS image, which keeps its coordinates, unit, colours and limits; of bins, their result.

    Parameters
    ----------
    path : str
        Of the FITS image, replaced if it exists.
    data : array (ny, nx)
        Of the layer, in its own unit.
    attributes : dict
        Of the layer, as napari gives them to a writer.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    SfhInputError
        The layer is no map of ours.
    """
    from napari_sfh._qt.canvas.layer_data import get_layer_link
    from napari_sfh._qt.canvas.map_files import write_map_image

    link = get_layer_link(attributes.get("metadata", {}))
    if link is not None and link.role == "bins":
        return write_result_layers(path, [(data, attributes, "labels")])
    return [str(write_map_image(Path(path), data, attributes))]


def write_region_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write regions that were drawn on a map as a DS9 file.

    Parameters
    ----------
    path : str
        Of the DS9 file, replaced if it exists.
    data : list of arrays (n, 2)
        Corners of the shapes, y and x in pixels.
    attributes : dict
        Of the layer, as napari gives them to a writer.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    SfhInputError
        The layer lies on no map of a result, or has no shapes.
    """
    from napari_sfh._qt.canvas.drawn_shapes import read_outline
    from napari_sfh._qt.canvas.layer_data import get_layer_link
    from napari_sfh._qt.canvas.region_layer import HOLE, NAME
    from napari_sfh.analysis.region_files import write_regions

    link = get_layer_link(attributes.get("metadata", {}))
    if link is None or link.role != "region" or link.result is None:
        raise SfhInputError(f"{path}: the shapes were not drawn on a map of a result; choose another format")
    features = attributes["features"]
    holes, names = (features.get(name, [""] * len(data)) for name in (HOLE, NAME))
    shapes = zip(data, attributes["shape_type"], holes, names)
    outlines = [read_outline(corners, str(kind), bool(hole), str(name)) for corners, kind, hole, name in shapes]
    return [str(write_regions(Path(path), outlines, link.result.wcs))]


def open_explorer() -> None:
    """Command: open the explorer."""
    get_explorer()


def run_mock_spiral() -> None:
    """Command: open the mock spiral and run it."""
    widget = get_explorer()
    if widget is not None:
        widget.open_demo(run=True)


def open_result_command() -> None:
    """Command: choose a result file and open it."""
    widget = get_explorer()
    if widget is not None:
        widget.files.open_dialog()


def save_result_command() -> None:
    """Command: save the explorer's result."""
    widget = get_explorer()
    if widget is not None:
        widget.exports.result_dialog()


def save_workspace_command() -> None:
    """Command: save the explorer's workspace."""
    widget = get_explorer()
    if widget is not None:
        widget.files.save_dialog()
