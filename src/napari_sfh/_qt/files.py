"""Opening and keeping: files of every kind, recent ones, and the workspace of a window."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import show_file_dialog

from napari_sfh._qt.canvas.layer_data import get_layer_link
from napari_sfh._qt.docks.closing import DISCARD, SAVE, propose_keeping
from napari_sfh._qt.forms.fields import fill_form, read_form
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.step_queue import PaintStep
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.bundle_header import BUNDLE_SUFFIX, BundleHeader, is_bundle_path
from napari_sfh.instruments.files import INSTRUMENT_SUFFIX
from napari_sfh.io import workspaces
from napari_sfh.io.workspaces import REGION_SUFFIX, SUFFIX, Workspace
from napari_sfh.types import Result

OPENS = (
    f"Results, cubes, workspaces, tables, regions, weights (*.fits *.fits.gz *.fits.fz *{SUFFIX} *.ecsv *.csv *.vot "
    f"*{REGION_SUFFIX} *{BUNDLE_SUFFIX})"
)
WORKSPACES = f"Workspaces (*{SUFFIX})"


class FileActions:
    """What an explorer opens and keeps; the work runs in its job.

    Attributes
    ----------
    result_path : Path or None
        The file of the result that is shown; None while it is in memory only.
    unsaved : bool
        A run has made the result, and it is in no file.
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self.result_path: Path | None = None
        self.unsaved = False
        self._discarded: Result | None = None
        self._waiting: Workspace | None = None
        self._notes: list[str] | None = None
        self._kept: dict[str, object] = {}  # work that is in a workspace

    def set_result_path(self, path: Path | None) -> None:
        """Remember the file of the result, with its layers, too; None: there is none."""
        self.result_path = path
        self.unsaved = False
        for layer in self._explorer.viewer.layers:
            link = get_layer_link(layer.metadata)
            if link is not None and link.result is self._explorer.session.result:
                link.path = path

    def discard(self) -> None:
        """The user lets go of the result that is shown; it is not asked about again on its way out."""
        self.unsaved = False
        self._discarded = self._explorer.session.result

    def regret_discarding(self) -> None:
        """What was to take the place of the result has not come: it is there still, and in no file."""
        if self._discarded is not None and self._discarded is self._explorer.session.result:
            self.unsaved = self.result_path is None
        self._discarded = None

    def list_unsaved_work(self) -> list[str]:
        """What was made of the result since a workspace was saved or opened."""
        return [name for name, work in self._explorer.tools.list_work().items() if self._kept.get(name) != work]

    def note_kept(self) -> None:
        """All that was made of the result is in a workspace."""
        self._kept = self._explorer.tools.list_work()

    def may_open(self) -> bool:
        """Whether something else may take the place of the result; what is in no file is asked about first."""
        explorer, result, was_unsaved = self._explorer, self._explorer.session.result, self.unsaved
        if not explorer.may_close():
            return False
        work = self.list_unsaved_work()
        if result is None or not work or (was_unsaved and result is self._discarded):
            return True
        answer = propose_keeping(explorer.window(), result.name, work)
        if answer == SAVE:
            self.save_dialog()
            return explorer.wait() and not self.list_unsaved_work()
        return answer == DISCARD

    def expect(self, workspace: Workspace) -> None:
        """The result of a workspace is missing: it is restored when a result with as many bins is opened."""
        self._waiting = workspace

    def claim(self, shown: tasks.PreparedResult) -> Workspace | None:
        """The workspace that has waited for a result, if it is this one; nothing waits any longer."""
        waiting, self._waiting = self._waiting, None
        fits = waiting is not None and waiting.n_bins == shown.result.bins.n_bins
        return replace(waiting, result=shown.path) if waiting is not None and fits else None

    def open(self, path: Path | str) -> None:
        """Open a galaxy's folder, a cube, a result, a workspace, a table, weights, or regions on the shown result."""
        path = Path(path).expanduser()
        if path.suffix.lower() == REGION_SUFFIX:
            # Of the result that may be coming in.
            opened = partial(self._explorer.tools["region"].open, path)
            self._explorer.when_ready(partial(self._explorer.attempt, opened))
            return
        work = partial(tasks.open_path, path=path, model=self._explorer.network.chosen_model)
        self._explorer.start(work, partial(_show_opened, self._explorer, path))
        if self._explorer.work.has_waiting:  # a window that has only just come up reads the weights first
            self._explorer.show_message(f"Opening {path.name}…")
            self._explorer.refresh()

    def save_workspace(self, path: Path | str) -> None:
        """Keep all that the window shows; a result that is in no file yet is written beside it."""
        self._explorer.exports.check_export(Path(path))
        self._explorer.when_ready(partial(self._save_now, Path(path)))

    def _save_now(self, path: Path) -> None:
        explorer = self._explorer
        work = partial(tasks.save_window_workspace, workspace=self.capture(), path=path, result=explorer.session.result)
        explorer.start(work, partial(_workspace_saved, explorer))

    def open_dialog(self, _: object = None) -> None:
        """Ask for a file and open it."""
        path = show_file_dialog("r", caption="Open", filter=OPENS, parent=self._explorer.window())
        if path:
            self.open_chosen(Path(str(path)))

    def folder_dialog(self, _: object = None) -> None:
        """Ask for a galaxy's folder and open it."""
        window = self._explorer.window()
        path = show_file_dialog(FileDialogMode.EXISTING_DIRECTORY, caption="Open a galaxy's folder", parent=window)
        if path:
            self.open_chosen(Path(str(path)))

    def open_chosen(self, path: Path | str) -> None:
        """Open what the user has chosen; what would go and is in no file is asked about first."""
        if _goes_beside(Path(path)) or self.may_open():
            self.open(path)

    @property
    def restoring(self) -> bool:
        """True until all of a workspace is back."""
        return self._notes is not None

    def save_dialog(self, _: object = None) -> None:
        """Ask where to, and keep the workspace."""
        name = f"{self._explorer.exports.name()}{SUFFIX}"
        window = self._explorer.window()
        path = show_file_dialog("w", caption="Save workspace", start_path=name, filter=WORKSPACES, parent=window)
        if path:
            chosen = Path(str(path))
            chosen = chosen if chosen.suffix else chosen.with_suffix(SUFFIX)
            self._explorer.attempt(partial(self.save_workspace, chosen))

    def capture(self) -> Workspace:
        """All that the window shows."""
        explorer = self._explorer
        camera = explorer.viewer.scene.camera
        result = explorer.session.result
        return Workspace(
            result=None if result is None else self.result_path,
            n_bins=0 if result is None else result.bins.n_bins,
            digest="" if result is None else workspaces.hash_result(result),
            forms={name: read_form(form) for name, form in explorer.forms.items()},
            session=explorer.session.state(),
            canvas={
                "camera": {"center": [float(c) for c in camera.center], "zoom": float(camera.zoom)},
                "layers": explorer.stack.looks(),
                "map": explorer.stack.current,
                "dock": explorer.docks.front,
                "plots": read_form(explorer.panel),
            },
            tools=explorer.tools.state(),
        )

    def begin(self, opened: tasks.OpenedWorkspace) -> None:
        """Fill the forms of a workspace, without opening what they name; from now on problems are noted for `end`."""
        self._notes = list(opened.notes)
        explorer, forms = self._explorer, opened.workspace.forms
        with explorer.data.cube.line_edit.changed.blocked(), explorer.data.folder.line_edit.changed.blocked():
            for name, form in explorer.forms.items():
                explorer.attempt(partial(_fill_form_safely, form, forms.get(name, {}), name))

    def note(self, sentence: str) -> None:
        """Keep an error's sentence while a workspace is being restored: the next step would wipe it out."""
        if self._notes is not None and sentence not in self._notes:
            self._notes.append(sentence)

    def end(self) -> list[str]:
        """What could not be restored, a sentence each."""
        if self._notes is not None:
            self.note_kept()
        notes, self._notes = self._notes or [], None
        return [note if note.endswith(".") else f"{note}." for note in notes]

    def steps(self, kept: Workspace) -> list[PaintStep]:
        """What is to be done, one by one, once the layers of its result are there."""
        explorer, canvas = self._explorer, kept.canvas
        plots = {key: value for key, value in canvas.get("plots", {}).items() if key != "bin_field"}
        tools = {name: dict(state) for name, state in kept.tools.items()}
        # The grid comes last: it shows what the other tools have put on the canvas.
        grid = bool(tools.get("maps", {}).pop("grid", False))
        steps: dict[str, list[PaintStep]] = {
            "session": [partial(explorer.session.restore, kept.session)],
            "plots": [partial(_fill_form_safely, explorer.panel, plots, "plots")],
            "tools": explorer.tools.restore_steps(tools),
            # After the tools, which may set limits of their own.
            "layers": [partial(explorer.stack.set_looks, some) for some in _split_looks(canvas.get("layers", {}))],
            "grid": [partial(setattr, explorer.map.grid, "value", grid)],
            "dock": [partial(explorer.docks.to_front, canvas.get("dock", ""))],
            "camera": [partial(_restore_camera, explorer, canvas.get("camera", {}))],
        }
        return [
            partial(explorer.attempt, partial(_restore_safely, step, name))
            for name, some in steps.items()
            for step in some
        ]


def _goes_beside(path: Path) -> bool:
    """Whether a file takes the place of nothing that is shown."""
    return path.suffix.lower() in (REGION_SUFFIX, INSTRUMENT_SUFFIX) or is_bundle_path(path)


def _fill_form_safely(form: Any, state: dict[str, Any], name: str) -> None:
    """Put a form's fields back.

    Raises
    ------
    SfhInputError
        They cannot be read: a workspace may have been edited by hand.
    """
    try:
        fill_form(form, state)
    except (TypeError, ValueError) as error:
        raise SfhInputError(f"workspace: its form {name} is damaged ({error}); fill it in and save again") from error


def _split_looks(looks: Any) -> list[Any]:
    """One part for each layer: each may have the canvas drawn anew. What is damaged stays whole."""
    return [{key: look} for key, look in looks.items()] if isinstance(looks, dict) else [looks]


def _restore_safely(step: PaintStep, name: str) -> None:
    """Do one step of restoring; whatever a value of the file makes it raise is the file's fault.

    Raises
    ------
    SfhInputError
        Names the part of the workspace.
    """
    try:
        step()
    except (SfhInputError, ComputeError):
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise SfhInputError(
            f"workspace: its {name} cannot be restored ({line}); set it by hand and save again"
        ) from error


def _show_opened(explorer: Any, path: Path, value: Any) -> None:
    """Show what was opened."""
    if isinstance(value, BundleHeader):
        explorer.presenter.choose_weights(value)
        return
    if isinstance(value, tasks.GalaxyPart):
        explorer.attempt(partial(explorer.presenter.take_part, value))
        return
    workspaces.add_recent(path)
    claimed = explorer.files.claim(value) if isinstance(value, tasks.PreparedResult) else None
    if isinstance(value, tasks.OpenedGalaxy):
        explorer.presenter.show_galaxy(value)
    elif claimed is not None:
        explorer.presenter.show_workspace(tasks.OpenedWorkspace(claimed, value, None, ()))
    elif isinstance(value, tasks.PreparedResult):
        explorer.presenter.show_opened_result(value)
    elif isinstance(value, EstimateTable):
        explorer.catalogue.show(value)
    else:
        explorer.presenter.show_workspace(value)


def _workspace_saved(explorer: Any, written: tuple[Path, Path | None]) -> None:
    path, result = written
    explorer.files.set_result_path(result)
    explorer.files.note_kept()
    workspaces.add_recent(path)
    beside = f"; its result is {result.name}" if result is not None else ""
    explorer.show_message(f"Saved {path}{beside}.")


def _restore_camera(explorer: Any, kept: dict[str, Any]) -> None:
    """Put the camera back."""
    camera = explorer.viewer.scene.camera
    if "center" in kept and "zoom" in kept:
        camera.center = tuple(kept["center"])
        camera.zoom = kept["zoom"]
