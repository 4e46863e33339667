"""Opening and keeping: files of every kind, recent ones, and the workspace of a window."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import show_file_dialog

from napari_sfh import workspace
from napari_sfh._qt import tasks
from napari_sfh._qt.forms import fill_form, form_state
from napari_sfh._qt.loader import Step
from napari_sfh.workspace import SUFFIX, Workspace

if TYPE_CHECKING:
    from napari_sfh._qt.explorer import Explorer

OPENS = f"Results, cubes, workspaces (*.fits *.fits.gz *.fits.fz *{SUFFIX})"
WORKSPACES = f"Workspaces (*{SUFFIX})"


class Files:
    """What an explorer opens and keeps; the work runs in its job.

    Attributes
    ----------
    result_path : Path or None
        The file of the result that is shown; None while it is in memory only.
    """

    def __init__(self, explorer: Explorer) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self.result_path: Path | None = None

    def open(self, path: Path | str) -> None:
        """Open a galaxy's folder, a cube, a result, or a workspace."""
        path = Path(path).expanduser()
        self._explorer.start(partial(tasks.open_any, path=path), partial(_opened, self._explorer, path))

    def save_workspace(self, path: Path | str) -> None:
        """Keep all that the window shows; a result that is in no file yet is written beside it."""
        explorer = self._explorer
        work = partial(tasks.save_workspace, workspace=self.capture(), path=Path(path), result=explorer.session.result)
        explorer.start(work, partial(_kept, explorer))

    def open_dialog(self, _: object = None) -> None:
        """Ask for a file and open it."""
        path = show_file_dialog("r", caption="Open", filter=OPENS)
        if path:
            self.open(Path(str(path)))

    def save_dialog(self, _: object = None) -> None:
        """Ask where to, and keep the workspace."""
        name = f"{self._explorer.exports.name()}{SUFFIX}"
        path = show_file_dialog("w", caption="Save workspace", start_path=name, filter=WORKSPACES)
        if path:
            chosen = Path(str(path))
            self.save_workspace(chosen if chosen.suffix else chosen.with_suffix(SUFFIX))

    def capture(self) -> Workspace:
        """All that the window shows."""
        explorer = self._explorer
        camera = explorer.viewer.scene.camera
        result = explorer.session.result
        return Workspace(
            result=None if result is None else self.result_path,
            n_bins=0 if result is None else result.bins.n_bins,
            forms={name: form_state(form) for name, form in explorer.forms.items()},
            session=explorer.session.state(),
            canvas={
                "camera": {"center": [float(c) for c in camera.center], "zoom": float(camera.zoom)},
                "layers": explorer.stack.looks(),
                "map": explorer.stack.current,
                "plots": form_state(explorer.panel),
            },
            tools=explorer.tools.state(),
        )

    def fill_forms(self, kept: Workspace) -> None:
        """The forms, without opening what they name."""
        explorer = self._explorer
        with explorer.data.cube.line_edit.changed.blocked(), explorer.data.folder.line_edit.changed.blocked():
            for name, form in explorer.forms.items():
                fill_form(form, kept.forms.get(name, {}))

    def steps(self, kept: Workspace) -> list[Step]:
        """What is to be done, one by one, once the layers of its result are there."""
        explorer = self._explorer
        canvas = kept.canvas
        plots = {key: value for key, value in canvas.get("plots", {}).items() if key != "bin_field"}
        return [
            partial(explorer.attempt, partial(explorer.session.restore, kept.session)),
            partial(fill_form, explorer.panel, plots),
            *explorer.tools.restoring(dict(kept.tools)),
            # After the tools, which may set limits of their own.
            partial(explorer.stack.set_looks, canvas.get("layers", {})),
            partial(_aim, explorer, canvas.get("camera", {})),
        ]


def _opened(explorer: Any, path: Path, value: Any) -> None:
    """Show what was opened."""
    workspace.remember(path)
    if isinstance(value, tasks.Galaxy):
        explorer.adopt_galaxy(value)
    elif isinstance(value, tasks.Shown):
        explorer.adopt(value)
    else:
        explorer.adopt_workspace(value)


def _kept(explorer: Any, written: tuple[Path, Path | None]) -> None:
    path, result = written
    explorer.files.result_path = result
    workspace.remember(path)
    explorer.say(f"Saved {path}.")


def _aim(explorer: Any, kept: dict[str, Any]) -> None:
    """Put the camera back."""
    camera = explorer.viewer.scene.camera
    if "center" in kept and "zoom" in kept:
        camera.center = tuple(kept["center"])
        camera.zoom = kept["zoom"]
