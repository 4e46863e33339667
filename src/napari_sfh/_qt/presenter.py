"""Shows what was opened or computed: a cube's white light, a result with its layers, a workspace."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh._qt.canvas.layer_data import KEY, LayerTuple, get_layer_link
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.step_queue import PaintStep, UnpaintedStep
from napari_sfh._qt.widgets.wording import name_form_labels
from napari_sfh.analysis.maps import find_brightest_bin
from napari_sfh.analysis.sky_coordinates import is_same_place
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import BundleHeader
from napari_sfh.types import Result

#: Sections that are unfolded when there is a result.
SECTIONS_DONE = {"data": False, "binning": False, "network": False, "maps": True}
READY = "Ready: press Run. Empty fields are filled from the files."
REFUSED = "Not ready: a run would stop at what is said under Data."
READY_NOTED = f"{READY} What the files lack stands under Data."
DONE = "Click a bin on the map to see its star-formation history."
DONE_SCALARS = "Click a bin on the map to see what the weights say of it, against all other bins."


class Presenter:
    """Puts galaxies, results and workspaces into an explorer.

    Layers come one per turn of the event loop, so that the window never blocks.

    Parameters
    ----------
    explorer : Explorer
        Kept by a weak proxy.
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self.folder: Path | None = None  # of the galaxy in the form
        self._owner: Path | None = None  # cube, or folder of images, whose redshift and the like the form holds
        self.is_demo = False
        self.hdu: str | None = None  # which of a file's cubes was opened
        self._searched: Path | None = None  # folder in which images of bands were looked for
        self._sought: set[str] = set()  # those bands
        self.forgotten: list[str] = []  # labels of the fields that were emptied for the galaxy that comes

    def show_galaxy(self, galaxy: tasks.OpenedGalaxy, then_run: bool = False) -> None:
        """Fill the form with a galaxy's files, show its white light, and run it if asked."""
        explorer = self._explorer
        if galaxy.cube is None and not galaxy.photometry:
            found = name_form_labels(" ".join(galaxy.problems))
            explorer.show_message(found or "No cube was found in the folder: choose one under Cube.", error=True)
            return
        with explorer.data.cube.line_edit.changed.blocked(), explorer.data.folder.line_edit.changed.blocked():
            explorer.data.set_files(galaxy.cube, galaxy.photometry, galaxy.maps)
            explorer.data.folder.line_edit.value = "" if galaxy.folder is None else str(galaxy.folder)
        self.folder = galaxy.folder
        self._own_numbers(galaxy)
        self._searched, self._sought = galaxy.folder, set(galaxy.sought)
        if galaxy.ebv_mw is not None:
            explorer.data.ebv_mw.value = f"{galaxy.ebv_mw:g}"
        if galaxy.is_demo:
            explorer.binning.reset()  # its figures are known for these
        self._show_white(galaxy)
        if then_run:
            explorer.run()

    def seek_bands(self) -> None:
        """Look in the galaxy's folder for images of bands that only the weights chosen now ask for.

        A band that was looked for before is left as it is: somebody may have emptied its field.
        """
        explorer = self._explorer
        text = explorer.data.folder.line_edit.value.strip()
        folder = Path(text).expanduser() if text else None
        if folder is None or not folder.is_dir():
            return
        if explorer.data.cube_path is None and not explorer.data.photometry and folder != self._searched:
            # The weights before found nothing in it that they could use.
            if explorer.files.may_open():
                explorer.open_folder(folder)
            return
        new = set(explorer.data.bands) - self._sought
        if folder != self._searched or not new:
            return
        self._sought |= new
        work = partial(tasks.find_band_files, folder=folder, model=explorer.network.chosen_model)
        explorer.start(work, partial(self._fill_bands, folder, new))

    def _fill_bands(self, folder: Path, new: set[str], found: tuple[dict[str, Path], tuple[str, ...]]) -> None:
        """Put the images of new bands into the form, unless it shows another galaxy by now."""
        data = self._explorer.data
        photometry, problems = found
        if folder == self._searched:
            data.fill_bands({b: p for b, p in photometry.items() if b in new and b in data.bands})
            self._explorer.preflight.look(problems)
            self._explorer.refresh()

    def forget_files(self, folder: Path) -> None:
        """Empty the fields of the galaxy before: its files, and what was given for it alone.

        Parameters
        ----------
        folder : Path
            Of the galaxy that comes. What was given before any galaxy was opened stays: it is meant for the first.
        """
        data = self._explorer.data
        with data.cube.line_edit.changed.blocked(), data.folder.line_edit.changed.blocked():
            data.set_files(None, {}, None)
            data.folder.line_edit.value = str(folder)
        if self._owner is not None and folder != self.folder:
            self._forget_numbers()

    def _forget_numbers(self) -> None:
        self.forgotten += self._explorer.data.clear_galaxy()
        self._forget_distance()
        self._owner = None

    def _forget_distance(self) -> None:
        """Masses of the galaxy that comes would be made with the distance of another."""
        distance = self._explorer.export.distance
        if distance.value:
            self.forgotten.append(str(distance.label))
            distance.value = ""

    def _tell_forgotten(self) -> str:
        """Which fields were emptied for the galaxy that has come; nothing of it is told twice."""
        emptied, self.forgotten = self.forgotten, []
        return f"emptied, since it was of the galaxy before: {', '.join(emptied)}" if emptied else ""

    def _own_numbers(self, galaxy: tasks.OpenedGalaxy) -> None:
        """Empty redshift and the like of the galaxy before, whichever way this one has come.

        What was given before any galaxy was there is meant for the first.
        """
        owner = galaxy.cube or galaxy.folder
        if self._owner not in (None, owner):
            self._forget_numbers()
        self._owner, self.is_demo = owner, galaxy.is_demo
        self.hdu = None if galaxy.opened is None else galaxy.opened.hdu

    def owns(self, cube: Path) -> bool:
        """Whether what was given beside the files may be for a cube: for its galaxy, or the first."""
        return self._owner in (None, cube)

    def show_white(self, galaxy: tasks.OpenedGalaxy) -> None:
        """Show a cube that was chosen in the form and has not been run; what was shown of another goes."""
        self._own_numbers(galaxy)
        self._show_white(galaxy)

    def _show_white(self, galaxy: tasks.OpenedGalaxy) -> None:
        explorer, before = self._explorer, self._explorer.session.result
        if before is not None and not explorer.files.restoring and not _is_cube_of(before, galaxy.cube):
            self._forget_distance()
        if galaxy.white is not None:
            explorer.catalogue.close()
            explorer.session.set_result(None)
            explorer.tools.on_result(None)
            explorer.stack.clear(keep=get_layer_link(galaxy.white[1]["metadata"]))
            explorer.session.look_at(galaxy.sky)
            # North is up from the first picture on.
            steps = [
                _leave_scene(explorer.canvas.orient),
                self._put_unpainted(galaxy.white),
                _leave_scene(explorer.viewer.reset_view),
                _leave_scene(explorer.stack.activate),
            ]
            explore = [] if galaxy.opened is None else [partial(explorer.tools["cube"].show_cube, galaxy.opened)]
            explorer.in_turns([*steps, *explore, explorer.fit_view])
        explorer.refresh()
        told = self._tell_forgotten()
        explorer.preflight.look([*([told] if told else []), *galaxy.problems])
        explorer.show_message(READY_NOTED if galaxy.problems else READY)

    def take_part(self, part: tasks.GalaxyPart) -> None:
        """Put an image of a band or a MAPS file beside the cube that is in the form.

        Raises
        ------
        SfhInputError
            There is no cube, or the weights do not know the band.
        """
        explorer, data = self._explorer, self._explorer.data
        if data.cube_path is None or (part.kind == "mosaic" and part.band not in data.bands):
            raise SfhInputError(f"{part.path}: {tasks.PARTS[part.kind]}")
        field = data.maps if part.kind == "maps" else data.bands[str(part.band)]
        field.line_edit.value = str(part.path)
        explorer.sections["data"].expand(True)
        explorer.refresh()
        explorer.show_message(
            f"{part.path.name} is chosen under Data, {field.label}. Drop further files, or press Run."
        )

    def choose_weights(self, header: BundleHeader) -> None:
        """Choose weights that were opened for the next run, where the user sees it."""
        explorer = self._explorer
        explorer.network.choose_file(header.path)
        explorer.sections["network"].bring_into_view()
        then = "press Run" if explorer.data.has_input else "open a galaxy, then press Run"
        explorer.show_message(f"Weights {header.name} ({header.path.name}) are chosen under Network: {then}.")

    def show_opened_result(self, shown: tasks.PreparedResult) -> None:
        """Show a result that was read from a file; the form keeps no files of another galaxy, and no other weights."""
        data = self._explorer.data
        if data.has_input and not _is_cube_of(shown.result, data.cube_path):
            with data.cube.line_edit.changed.blocked(), data.folder.line_edit.changed.blocked():
                data.set_files(None, {}, None)
                data.folder.line_edit.value = ""
            self.forgotten += data.clear_galaxy()
            if self._explorer.session.result is None:  # else the places on the sky tell
                self._forget_distance()
            self.folder = self._owner = None
        self._explorer.network.choose_model(shown.result.model_name)
        self.show_prepared(shown)

    def show_run(self, shown: tasks.PreparedResult) -> None:
        """Show what a run has made; it is in no file yet."""
        self.show_prepared(shown)
        self._explorer.files.unsaved = True

    def show_workspace(self, opened: tasks.OpenedWorkspace) -> None:
        """Show what a workspace has kept; what is missing is told at the end."""
        explorer = self._explorer
        explorer.files.begin(opened)
        self.folder, self._owner, self.is_demo = None, explorer.data.cube_path, False
        folder = explorer.data.folder.line_edit.value.strip()
        self._searched, self._sought = Path(folder) if folder else None, set(explorer.data.bands)
        steps: list[PaintStep] = [*explorer.files.steps(opened.workspace), self._end_workspace]
        if opened.shown is not None:
            self.show_prepared(opened.shown, steps)
            return
        if opened.workspace.result is not None:
            explorer.files.expect(opened.workspace)
        explorer.work.steps.run(steps)
        if opened.galaxy is not None:
            self._show_white(opened.galaxy)  # its layer comes before those steps

    def show_prepared(self, shown: tasks.PreparedResult, then: Iterable[PaintStep] = ()) -> None:
        """Show a result, and do the steps of ``then`` after its layers; layers that are there already are kept."""
        explorer, before = self._explorer, self._explorer.session.result
        is_another_run = before is not None and is_same_place(before, shown.result)
        four = is_another_run and explorer.stack.display.is_grid
        if not then:
            explorer.files.end()  # what takes the place of a workspace that was coming in
            if before is not None and not is_another_run:
                self._forget_distance()
        explorer.files.set_result_path(shown.path)
        explorer.catalogue.close()
        if explorer.session.result is None:
            explorer.garbage.freeze()  # what a first run has loaded
        explorer.show_message(f"{shown.result.name}: {shown.result.bins.n_bins} bins; the maps are coming in.")
        explorer.tools["maps"].hold()
        away, kept = explorer.stack.begin(shown.result), explorer.session.find_kept(shown.result)
        explorer.session.set_result(shown.result)
        for _, attributes, _ in shown.layers:
            attributes["metadata"][KEY].path = shown.path
        steps: list[PaintStep] = [*map(UnpaintedStep, away), _leave_scene(explorer.canvas.orient)]
        show, *rest = explorer.stack.finish()
        steps += [*map(self._put_unpainted, shown.layers), UnpaintedStep(show), *map(_leave_scene, rest)]
        steps += [explorer.show_panel, self._unfold]
        # After the docks have found their sizes.
        steps += [explorer.fit_view, partial(self._select_bin, kept), self._end_result]
        steps += explorer.tools.result_steps(shown.result)
        if four and not then:  # a workspace says itself what is seen
            steps.append(explorer.tools["maps"].show_four)
        explorer.work.steps.run([*steps, *then])

    def _put_unpainted(self, layer: LayerTuple) -> UnpaintedStep:
        stack = self._explorer.stack
        return UnpaintedStep(partial(stack.put, layer), partial(stack.needs_layer, layer))

    def adopt_layers(self) -> None:
        """Take over the result that an explorer before this one has left on the canvas."""
        explorer = self._explorer
        links = [get_layer_link(layer.metadata) for layer in explorer.viewer.layers]
        link = next((link for link in links if link is not None and link.result is not None), None)
        if link is None or link.result is None or explorer.session.result is not None or explorer.busy:
            return
        self.show_prepared(replace(tasks.prepare_result(link.result), path=link.path))
        explorer.files.unsaved = link.path is None

    def _unfold(self) -> None:
        """Unfold what is of use now."""
        for name, expanded in SECTIONS_DONE.items():
            self._explorer.sections[name].expand(expanded)

    def _select_bin(self, kept: dict[str, Any]) -> None:
        """Another answer for a field shows the places that were looked at; a fresh window a history, no request."""
        session = self._explorer.session
        if session.result is None or session.selected:
            return
        if kept.get("selected"):
            session.restore(kept)
        else:
            session.select(find_brightest_bin(session.result))

    def _end_result(self) -> None:
        explorer = self._explorer
        explorer.refresh()
        told = self._tell_forgotten()
        emptied = f" {told[0].upper()}{told[1:]}." if told else ""
        explorer.show_message(f"{summarise_result(explorer.session.result)}{emptied}")
        explorer.undo.history.forget()
        explorer.undo.history.note()
        explorer.garbage.tidy()  # what has come in would be walked over whenever a layer goes
        explorer.offer_tour()

    def _end_workspace(self) -> None:
        explorer = self._explorer
        notes = explorer.files.end()
        explorer.undo.history.forget()
        explorer.undo.history.note()
        explorer.refresh()
        explorer.show_message(" ".join(notes) or summarise_result(explorer.session.result), error=bool(notes))


def _leave_scene(step: PaintStep) -> UnpaintedStep:
    """A step by which no layer comes or goes."""
    return UnpaintedStep(step, lambda: False)


def _is_cube_of(result: Result, cube: Path | None) -> bool:
    """Whether a result was made of a cube: that of its name, which may have been moved since."""
    named = Path(str(result.settings.get("cube", "")))
    if cube is None or cube.name != named.name:
        return False
    return not (named.is_file() and cube.is_file()) or named.samefile(cube)


def summarise_result(result: Result | None) -> str:
    """What the dock says of a result at rest; `READY` where there is none."""
    if result is None:
        return READY
    reached = int(np.isfinite(result.prediction.ood).sum())
    part = "" if reached == result.bins.n_bins else f", {reached} of them with a prediction"
    done = DONE if result.prediction.has_histories else DONE_SCALARS
    return f"{result.name}: {result.bins.n_bins} bins{part}, weights {result.model_name}. {done}"
