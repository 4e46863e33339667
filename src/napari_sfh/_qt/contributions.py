"""What the manifest names: reader, writer, sample data and commands. Thin; the work is in `tasks` and `layers`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from napari_sfh.errors import SfhInputError
from napari_sfh.types import Progress

LayerTuple = tuple[Any, dict[str, Any], str]
T = TypeVar("T")


def _finish(work: Generator[Progress, None, T]) -> T:
    """Run a generator to its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: T = end.value
            return value


def explorer(viewer: Any = None) -> Any:
    """The explorer of a viewer (default: napari's current one), opened if need be; None without a window."""
    import napari

    viewer = viewer or napari.current_viewer()
    if viewer is None:
        return None
    _, widget = viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")
    return widget


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """A reader for a result file or a cube; None for anything else."""
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    from napari_sfh.io.identify import identify

    kind = identify(Path(path)).kind
    return {"result": read_result, "cube": read_cube}.get(kind)


def read_result(path: str) -> list[LayerTuple]:
    """All layers of a result file; in a window, the explorer takes them over, clicks included."""
    from napari_sfh._qt import tasks

    shown = _finish(tasks.open_result(threading.Event(), Path(path)))
    _later(lambda widget: widget.adopt(shown))
    return list(shown.layers)


def read_cube(path: str) -> list[LayerTuple]:
    """The white light of a cube; in a window, the explorer takes the cube, ready to run."""
    from napari_sfh._qt import tasks

    galaxy = _finish(tasks.open_galaxy(threading.Event(), cube=Path(path)))
    _later(lambda widget: widget.adopt_galaxy(galaxy))
    return [galaxy.white] if galaxy.white is not None else []


def open_mock_spiral() -> list[LayerTuple]:
    """Sample data: the mock galaxy's white light; the explorer holds its files, ready to run."""
    from napari_sfh._qt import tasks

    galaxy = _finish(tasks.open_demo(threading.Event()))
    _later(lambda widget: widget.adopt_galaxy(galaxy))
    return [galaxy.white] if galaxy.white is not None else []


def _later(act: Callable[[Any], None]) -> None:
    """Call ``act`` with the explorer once napari has added the layers; nothing without a window."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, lambda: act(explorer(viewer)))


def write_result(path: str, layer_data: list[LayerTuple]) -> list[str]:
    """Write the result that the layers show as a result file.

    Raises
    ------
    SfhInputError
        None of the layers belongs to a result.
    """
    from napari_sfh._qt.layers import link_of
    from napari_sfh.io.results import write_result as write

    for _, attributes, _ in layer_data:
        link = link_of(attributes.get("metadata", {}))
        if link is not None and link.result is not None:
            return [str(write(link.result, Path(path)))]
    raise SfhInputError(f"{path}: the selected layers hold no star-formation histories; run the explorer first")


def open_explorer() -> None:
    """Command: open the explorer."""
    explorer()


def run_mock_spiral() -> None:
    """Command: open the mock spiral and run it."""
    widget = explorer()
    if widget is not None:
        widget.open_demo(run=True)


def open_result_command() -> None:
    """Command: choose a result file and open it."""
    widget = explorer()
    if widget is not None:
        widget.exports.open_dialog()


def save_result_command() -> None:
    """Command: save the explorer's result."""
    widget = explorer()
    if widget is not None:
        widget.exports.result_dialog()
