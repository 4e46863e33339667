"""The dock: forms, the run, and the layers, plots and tools of its result. A shell over `Session` and `tasks`."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_sfh._qt.canvas.interaction import CanvasInteraction
from napari_sfh._qt.canvas.layer_data import KEY, format_main_values, format_map_title, format_map_value, get_layer_link
from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.catalogue.catalogue_window import CatalogueWindow
from napari_sfh._qt.docks.bin_panel import BinPanel
from napari_sfh._qt.docks.bottom_docks import BottomDocks
from napari_sfh._qt.docks.closing import DISCARD, SAVE, CloseGuard, propose_saving
from napari_sfh._qt.docks.explorer_frame import ExplorerFrame
from napari_sfh._qt.docks.help_text import format_help
from napari_sfh._qt.docks.side_tabs import SideTabs, WindowFit
from napari_sfh._qt.docks.tour import Tour, TourStep, is_tour_due
from napari_sfh._qt.docks.undo_keys import UndoKeys
from napari_sfh._qt.exports import Exports
from napari_sfh._qt.files import FileActions
from napari_sfh._qt.forms import settings
from napari_sfh._qt.forms.machine import MachineTitle
from napari_sfh._qt.forms.preflight_panel import PreflightPanel, place_below
from napari_sfh._qt.forms.run_forms import BinningForm, DataForm, ExportForm, NetworkForm, align_labels
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.latency import GarbageFreeze
from napari_sfh._qt.jobs.step_queue import PaintStep, StepQueue, UnpaintedStep
from napari_sfh._qt.jobs.workers import BackgroundJob, Work, explain_error
from napari_sfh._qt.session import Session
from napari_sfh._qt.tools.base import Toolbox
from napari_sfh._qt.tools.maps import MEANING, MapForm, MapTool
from napari_sfh._qt.tools.registry import TOOLS
from napari_sfh._qt.widgets.input_guard import InputGuard
from napari_sfh._qt.widgets.small_widgets import Section, make_weak_slot, show_text
from napari_sfh._qt.widgets.startup import hide_qt_notice
from napari_sfh._qt.widgets.wording import name_form_labels
from napari_sfh.analysis import maps
from napari_sfh.analysis.maps import find_brightest_bin
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.types import Result

if TYPE_CHECKING:
    import napari

PANEL = "SFH of the selected bins"
#: Sections that are unfolded when there is a result.
SECTIONS_DONE = {"data": False, "binning": False, "network": False, "maps": True}
_EMPTY = (
    "Choose a galaxy folder (a MUSE cube, HST mosaics, a MAPS file) or a cube, drop a result file on the window, "
    "or try the mock spiral."
)
READY = "Ready: press Run. Empty fields are filled from the files."
READY_NOTED = f"{READY} What the files lack stands under Data."
NO_CARD = "No weights were found: reinstall napari-sfh, or train some with napari-sfh-train."
DONE = "Click a bin on the map to see its star-formation history."
DONE_SCALARS = "Click a bin on the map to see what the weights say of it, against all other bins."
CANCELLED = "Cancelled: nothing was finished. Press Run to start again."


class Explorer(ExplorerFrame):
    """The 'SFH explorer' dock of a napari viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(_EMPTY)
        self._released = True  # until all is there
        self.viewer = viewer
        self.session = Session()
        self.data, self.binning, self.network, self.export = DataForm(), BinningForm(), NetworkForm(), ExportForm()
        self.preflight = PreflightPanel(self.data, self.binning, viewer.theme)
        self.stack = LayerStack(viewer, self.session)
        self.exports, self.files, self.catalogue = Exports(self), FileActions(self), CatalogueWindow(self)
        self.panel = BinPanel(self.session, viewer.theme, self.exports.plots_dialog, self.exports.table_dialog)
        self.docks = BottomDocks(viewer, self)
        self.job = BackgroundJob(self._progress, self._done, self._work_failed)
        self._cards_job = BackgroundJob(lambda _: None, self._show_cards, lambda _: None)
        self._cards: dict[str, str] = {}
        self._after: Callable[[Any], None] | None = None
        self._waiting: deque[Callable[[], object]] = deque()
        self._following = False
        self._error: Exception | None = None
        self._tour: Tour | None = None
        self._loader = StepQueue(self, self.job.is_running, self._go_on)
        self._garbage_freeze = GarbageFreeze()
        self._garbage_freeze.freeze()
        self.tools = Toolbox(weakref.proxy(self), TOOLS)
        self.forms = {"data": self.data, "binning": self.binning, "network": self.network, "export": self.export}
        keys = self.tools.shortcuts()
        self.undo = UndoKeys(self)
        keys |= {"Control-Z": self.undo.undo, "Control-Shift-Z": self.undo.redo, "F1": self.show_help}
        self.canvas = CanvasInteraction(viewer, self.session, self._clicked, keys, self._describe, self.stack.mark)
        rows = [form.container for form in (self.data, self.binning, self.network, self.export)]
        rows += [tool.container for tool in self.tools if isinstance(tool.container, Container)]
        self.arrange(self._sections(), rows)
        self.guard = InputGuard(self)
        self._close_guard = CloseGuard(self, self.may_close, self._loader.release)
        self._tabs: SideTabs | None = None
        self._fit: WindowFit | None = None
        for root in (self, self.panel):
            self.guard.protect_fields(root)
        self.machine = MachineTitle(self.sections["network"], self.network.chosen_device)
        self._connect()
        settings.apply_settings(self)
        self._cards_job.start(tasks.read_cards)
        self._released = False
        self._loader.run([*self.canvas.glyph_steps(), self._adopt_layers])
        self._refresh()

    # -- construction ------------------------------------------------------------------------------------------

    def _sections(self) -> dict[str, Section]:
        sections = {
            "data": Section("Data", place_below(self.data.container.native, self.preflight), True),
            "binning": Section("Binning", self.binning.container.native, False),
            "network": Section("Network", self.network.container.native, False),
        }
        sections |= {tool.name: tool.section for tool in self.tools if tool.section is not None}
        sections["export"] = Section("Export", self.export.container.native, False)
        return sections

    def _connect(self) -> None:
        self.data.folder.line_edit.changed.connect(self._folder_changed)
        self.data.cube.line_edit.changed.connect(self._cube_changed)
        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)
        self.demo_button.changed.connect(self._demo)
        self.network.card.changed.connect(self._show_card)
        self.network.model.changed.connect(self._weights_changed)
        self.network.file.line_edit.changed.connect(self._weights_changed)
        self.export.result.changed.connect(self.exports.result_dialog)
        self.export.figure.changed.connect(self.exports.figure_dialog)
        self.export.table.changed.connect(self.exports.all_dialog)
        self.file_row.open.changed.connect(self.files.open_dialog)
        self.file_row.save.changed.connect(self.files.save_dialog)
        self.file_row.chosen.connect(self.files.open)
        self.file_row.help.changed.connect(self.show_help)
        self.session.selection_changed.connect(self._selected)
        self._theme_slot = make_weak_slot(self._theme_changed)
        self.viewer.events.theme.connect(self._theme_slot)
        # A window that closes destroys the dock without a word to Python.
        for job in (self.job, self._cards_job, self.preflight.job):
            self.destroyed.connect(partial(BackgroundJob.abandon, job))
        self.destroyed.connect(partial(GarbageFreeze.thaw, self._garbage_freeze))

    # -- acts (also for scripts) -------------------------------------------------------------------------------

    @property
    def map(self) -> MapForm:
        """The form of the shown map."""
        tool: MapTool = self.tools["maps"]
        return tool.form

    @property
    def busy(self) -> bool:
        """True while long work runs."""
        return self.job.running

    def open(self, path: Path | str) -> None:
        """Open a galaxy's folder, a cube, a result or a workspace."""
        self.files.open(path)

    def save_workspace(self, path: Path | str) -> None:
        """Keep all that the window shows in a file."""
        self.files.save_workspace(path)

    def open_folder(self, folder: Path | str) -> None:
        """Find a galaxy's files in a folder and show its white light."""
        self.start(
            partial(tasks.open_galaxy, folder=Path(folder), model=self.network.chosen_model), self._galaxy_opened
        )

    def open_demo(self, run: bool = False) -> None:
        """Fill in the bundled mock galaxy, and run it if asked."""
        self.start(tasks.open_demo, partial(self._galaxy_opened, then_run=run))

    def open_result(self, path: Path | str) -> None:
        """Read a result file and show it, clicks and all."""
        self.start(partial(tasks.open_result, path=Path(path)), self.adopt)

    def show_result(self, result: Result) -> None:
        """Show a result that is in memory; layers of it that the viewer has already are kept."""
        self._shown(tasks.prepare_result(result))

    def adopt(self, shown: tasks.PreparedResult) -> None:
        """Show a result that was read from a file; the form keeps no files of another galaxy."""
        cube = self.data.cube_path
        if cube is not None and cube.name != Path(str(shown.result.settings.get("cube", ""))).name:
            with self.data.cube.line_edit.changed.blocked(), self.data.folder.line_edit.changed.blocked():
                self.data.set_files(None, {}, None)
                self.data.folder.line_edit.value = ""
        self._shown(shown)

    def adopt_galaxy(self, galaxy: tasks.OpenedGalaxy) -> None:
        """Take over a cube whose white light napari has added already (a dropped file, the sample)."""
        self._galaxy_opened(galaxy)

    def adopt_workspace(self, opened: tasks.OpenedWorkspace) -> None:
        """Show what a workspace has kept; what is missing is told at the end."""
        self.files.begin(opened)
        steps: list[PaintStep] = [*self.files.steps(opened.workspace), self._workspace_shown]
        if opened.shown is not None:
            self._shown(opened.shown, steps)
            return
        self._loader.run(steps)
        if opened.galaxy is not None:
            self._white_opened(opened.galaxy)  # its layer comes before those steps

    def run(self, _: object = None) -> None:
        """Run the pipeline with what the forms say."""
        try:
            options = {**self.data.values(), **self.binning.values(), **self.network.values()}
        except SfhInputError as error:
            self._failed(error)
            return
        settings.store_settings(self)
        self.start(partial(tasks.run_galaxy, options=options), self._run_done)

    def _run_done(self, shown: tasks.PreparedResult) -> None:
        self._shown(shown)
        self.files.unsaved = True

    def cancel(self, _: object = None) -> None:
        """Ask the work in progress to stop; what waits for it is dropped."""
        self._waiting.clear()
        self.job.stop()
        self._refresh()

    def wait(self, seconds: float = 3600.0) -> bool:
        """For scripts: keep the window alive until the work is done and all is shown; False if it takes longer."""
        end = time.monotonic() + seconds
        while self.busy or self._loading or self._waiting or self.tools.working:
            if time.monotonic() > end:
                return False
            QApplication.processEvents()
            time.sleep(0.005)
        QApplication.processEvents()
        return True

    def finish(self, seconds: float = 3600.0) -> None:
        """For scripts: `wait`, and raise what went wrong on the way.

        Raises
        ------
        ComputeError
            The work takes longer, or has failed.
        SfhInputError
            An input was refused.
        """
        if not self.wait(seconds):
            raise ComputeError(f"the window has not finished within {seconds:g} s: wait longer, or cancel")
        error, self._error = self._error, None
        if error is not None:
            raise error

    def show_map(self, name: str) -> None:
        """Put the map ``name`` (a key of `maps.MAPS`) on the canvas."""
        self.tools["maps"].show(name)

    def draw_region(self, _: object = None) -> None:
        """Let the mouse draw a lasso; the mean SFH of the bins inside is shown."""
        self.tools["region"].draw()

    def fill_screen(self) -> None:
        """Give the window the size of the screen."""
        screen = QApplication.primaryScreen()
        if screen is not None:
            room = screen.availableGeometry()
            self.viewer.window.set_geometry(room.left(), room.top(), room.width(), room.height())

    def show_help(self, _: object = None) -> None:
        """Keys, what the numbers and maps mean, where the documentation is."""
        names = [name for name in self.map.quantity.choices if name in maps.MAPS and name in MEANING]
        meaning = {format_map_title(name): MEANING[name] for name in names}
        show_text(self, "Help", format_help(meaning if self.session.result is not None else {}), markdown=True)

    def start_tour(self) -> None:
        """Four steps through the window."""
        window: Any = self.window()
        steps = [
            TourStep(self.file_row, "Open a result, a cube, a galaxy's folder, a table of estimates; <i>Help</i> has "
                     "all keys. A file may also be dropped on the window."),
            TourStep(self.sections["maps"], "What the map shows: ages, metallicities, masses, errors, flags; Alt+G "
                     "shows four side by side."),
            TourStep(window.centralWidget(), "Click a bin for its history, Shift + click compares further ones, "
                     "Alt+R draws a region. Ctrl+Z undoes."),
            TourStep(self.panel, "History, metallicity, spectrum and bands of what is selected. The wheel zooms, a "
                     "double click shows one plot alone, the right button copies."),
        ]  # fmt: skip
        self._tour = Tour(window, steps)

    def keep_width(self) -> None:
        """Have the column on the right as wide as at the start."""
        if self._tabs is not None:
            self._tabs.set_width()

    def show_panel(self) -> None:
        """Open the dock with the plots, or bring it back."""
        self.show_dock(PANEL, self.panel)

    def show_dock(self, title: str, widget: Any) -> None:
        """Show a widget as a tab beside the plots, or bring it back; it goes with the explorer."""
        self.docks.show(title, widget)

    # -- long work ---------------------------------------------------------------------------------------------

    def start(self, work: Work, after: Callable[[Any], None]) -> None:
        """Run one piece of work, after what runs or comes in now; ``after`` gets its value unless it was cancelled."""
        self.when_ready(partial(self._start, work, after))

    def when_ready(self, act: Callable[[], object]) -> None:
        """Do an act now, or as soon as no work runs and all layers are there; acts keep their order."""
        if self._following and not self.busy:
            act()  # the second half of an act that was asked for earlier
            return
        coming_in = self._loading and not self._loader.stepping
        if self.busy or coming_in or self._waiting:
            self._waiting.append(act)
        else:
            act()

    def _go_on(self) -> None:
        """Do what has waited."""
        while self._waiting and not self.busy and not self._loading:
            self._follow(self._waiting.popleft())

    def _follow(self, act: Callable[[], object]) -> None:
        """Do an act whose turn it is: the work that it starts does not wait behind what was asked for later."""
        self._following = True
        try:
            self.attempt(act)
        finally:
            self._following = False

    def _start(self, work: Work, after: Callable[[Any], None]) -> None:
        self.job.start(work)
        self._after = after
        self._details = ""
        self.bar.max = 0
        self._refresh()

    def attempt(self, act: Callable[[], object]) -> bool:
        """Call ``act``; say its `SfhInputError`, `ComputeError` or `OSError`. True if there was none."""
        try:
            act()
        except (SfhInputError, ComputeError, OSError) as error:
            self._failed(error)
            return False
        return True

    def _progress(self, step: Any) -> None:
        self.show_progress(step, self.job.cancelling)

    def _done(self, value: Any) -> None:
        self._refresh()
        after = self._after
        if value is None:
            self.show_message(CANCELLED if self.data.has_cube or self.session.result is not None else _EMPTY)
        elif after is not None:
            self._follow(partial(after, value))
        self._go_on()

    def _work_failed(self, error: Exception) -> None:
        self._failed(error)
        self._go_on()

    def _failed(self, error: Exception) -> None:
        self._error = self._error or error
        self._refresh()
        sentence, self._details = explain_error(error)
        self.show_message(sentence, error=True)
        self.files.note(sentence)

    def _galaxy_opened(self, galaxy: tasks.OpenedGalaxy, then_run: bool = False) -> None:
        if galaxy.cube is None:
            self.show_message(
                name_form_labels(" ".join(galaxy.problems))
                or "No cube was found in the folder: choose one under Cube.",
                error=True,
            )
            return
        with self.data.cube.line_edit.changed.blocked(), self.data.folder.line_edit.changed.blocked():
            self.data.set_files(galaxy.cube, galaxy.photometry, galaxy.maps)
            self.data.folder.line_edit.value = "" if galaxy.folder is None else str(galaxy.folder)
        if galaxy.ebv_mw is not None:
            self.data.ebv_mw.value = f"{galaxy.ebv_mw:g}"
        self._white_opened(galaxy)
        if then_run:
            self.run()

    def _white_opened(self, galaxy: tasks.OpenedGalaxy) -> None:
        """Show a cube that has not been run; what was shown of another goes."""
        if galaxy.white is not None:
            self.catalogue.close()
            self.session.set_result(None)
            self.tools.on_result(None)
            self.stack.clear(keep=get_layer_link(galaxy.white[1]["metadata"]))
            steps = [partial(self.stack.put, galaxy.white), self.canvas.orient, self.viewer.reset_view]
            unseen = [UnpaintedStep(step) for step in (*steps, self.stack.activate)]
            explore = partial(self.tools["cube"].show_cube, galaxy.opened)
            self._loader.run_first([*unseen, explore, self._fit_galaxy])
        self._refresh()
        self.preflight.look(galaxy.problems)
        self.show_message(READY_NOTED if galaxy.problems else READY)

    def _workspace_shown(self) -> None:
        notes = self.files.end()
        self._refresh()
        self.show_message(" ".join(notes) or self._summary(), error=bool(notes))

    def _shown(self, shown: tasks.PreparedResult, then: Iterable[PaintStep] = ()) -> None:
        """Show a result: its layers come one per turn of the event loop, so that the window never blocks."""
        self.files.set_result_path(shown.path)
        self.catalogue.close()
        if self.session.result is None:
            self._garbage_freeze.freeze()  # what a first run has loaded
        self.show_message(f"{shown.result.name}: {shown.result.bins.n_bins} bins; the maps are coming in.")
        self.tools["maps"].hold()
        away = self.stack.begin(shown.result)
        self.session.set_result(shown.result)
        layers = [partial(self.stack.put, layer) for layer in shown.layers]
        for _, attributes, _ in shown.layers:
            attributes["metadata"][KEY].path = shown.path
        unseen: list[PaintStep] = [*away, *layers, self.canvas.orient, *self.stack.finish()]
        steps: list[PaintStep] = [UnpaintedStep(step) for step in unseen]
        steps += [self.show_panel, self._settle]
        # After the docks have found their sizes.
        steps += [
            self._fit_galaxy,
            self._select_brightest,
            self._all_shown,
            *self.tools.result_steps(shown.result),
            *then,
        ]
        self._loader.run(steps)

    def _fit_galaxy(self) -> None:
        """Fit the maps to the canvas, and keep them fitted when the window grows."""
        self.viewer.reset_view()
        if self._fit is not None:
            self._fit.remember_view()

    def _select_brightest(self) -> None:
        """A fresh window shows a history, not a request to click."""
        if self.session.result is not None and not self.session.selected:
            self.session.select(find_brightest_bin(self.session.result))

    def _settle(self) -> None:
        """Unfold what is of use now."""
        for name, expanded in SECTIONS_DONE.items():
            self.sections[name].expand(expanded)

    def _all_shown(self) -> None:
        self._refresh()
        self.show_message(self._summary())
        self.undo.history.forget()
        self.undo.history.note()
        if is_tour_due() and isinstance(self.window(), QMainWindow) and self.isVisible():
            self.start_tour()

    def _summary(self) -> str:
        result = self.session.result
        if result is None:
            return READY
        reached = int(np.isfinite(result.prediction.ood).sum())
        part = "" if reached == result.bins.n_bins else f", {reached} of them with a prediction"
        done = DONE if result.prediction.has_histories else DONE_SCALARS
        return f"{result.name}: {result.bins.n_bins} bins{part}, weights {result.model_name}. {done}"

    def _adopt_layers(self) -> None:
        """Take over the result that an explorer before this one has left on the canvas."""
        links = [get_layer_link(layer.metadata) for layer in self.viewer.layers]
        link = next((link for link in links if link is not None and link.result is not None), None)
        if link is None or link.result is None or self.session.result is not None or self.busy:
            return
        shown = tasks.prepare_result(link.result)
        self._shown(replace(shown, path=link.path))
        self.files.unsaved = link.path is None

    # -- what is shown -----------------------------------------------------------------------------------------

    def _refresh(self, _: object = None) -> None:
        """Bring texts and buttons in line with the state."""
        running, has_cube = self.job.running, self.data.has_cube
        has_result = self.session.result is not None
        self.run_button.enabled = has_cube and not running
        self.demo_button.visible = not (has_cube or running or has_result or self.catalogue.selection is not None)
        self.show_running(running, self.job.cancelling)
        self.details_button.visible = bool(self._details)
        self.export.enable(has_result and not running)
        self.file_row.enable(not running, has_cube or has_result)
        self.tools.set_enabled(self.session.result, running)
        if not self._details and not self._loading:
            self.show_message("Working; the window stays usable." if running else READY if has_cube else _EMPTY)

    def in_turns(self, steps: list[PaintStep]) -> None:
        """Do steps one by one, one per turn of the event loop, so that the window does not block."""
        self._loader.run_first(steps)

    def refresh_cursor(self) -> None:
        """Say anew what is under the cursor."""
        self.canvas.refresh()

    def _selected(self, _: int) -> None:
        self.tools.on_selection(self.session.shown)

    def _describe(self, bin_id: int) -> str:
        """The current map's value in a bin; in the grid those of all four."""
        result, display = self.session.result, self.stack.display
        if result is None:
            return self.tools.describe(bin_id)
        if not bin_id and display.shown.role == "map":
            return ""
        if display.is_grid:
            return format_main_values(result, bin_id)
        if display.shown.role == "map":
            return format_map_value(result, display.shown.name, bin_id, self.stack.age)
        return self.tools.describe(bin_id)

    def _clicked(self) -> None:
        """The plots come up, unless another dock of ours is being looked at."""
        if not self.docks.seen:
            self.show_panel()

    @property
    def _loading(self) -> bool:
        return self._loader.active

    def _demo(self, _: object = None) -> None:
        self.open_demo()

    def _show_cards(self, cards: dict[str, str]) -> None:
        self._cards = cards
        self.network.set_models(list(cards))
        if self.session.result is None:
            self._garbage_freeze.freeze()  # torch is loaded, and nothing is here yet that should be freed later

    def _show_card(self, _: object = None) -> None:
        name = self.network.model.value
        text = self._cards.get(name) or "The weights are still being read." if self._cards_job.running else NO_CARD
        show_text(self, f"Model card: {name}", self._cards.get(name, text), markdown=True)

    def _theme_changed(self, event: Any) -> None:
        self.panel.set_theme(self.viewer.theme)
        self.preflight.set_theme(self.viewer.theme)
        self.catalogue.set_theme(self.viewer.theme)

    def _weights_changed(self, _: object = None) -> None:
        """The bands that are asked for are those of the weights."""
        try:
            instrument = read_bundle_header(self.network.chosen_model).instrument
        except SfhInputError:
            return  # a run says what is wrong with them
        self.data.set_bands(instrument.band_names if instrument.spectrum else ())
        align_labels(self._forms)
        self.guard.protect_fields(self.data.container.native)

    def _folder_changed(self, text: str) -> None:
        folder = Path(text.strip()).expanduser()
        if text.strip() and folder.is_dir() and not self.job.running:
            self.open_folder(folder)

    def _cube_changed(self, text: str) -> None:
        self._refresh()
        cube = Path(text.strip()).expanduser()
        if text.strip() and cube.is_file() and not self.job.running:
            self.start(partial(tasks.open_galaxy, cube=cube), self._white_opened)

    # -- the end -----------------------------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """A dock's x fires no close event: its content is left without a parent."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        if event is not None and event.type() == QEvent.Type.Show and not self._released:
            self._docked()
        return super().event(event)

    def _docked(self) -> None:
        """The dock is in a window, perhaps for the first time."""
        self._close_guard.watch(self)
        window = self.window()
        if isinstance(window, QMainWindow) and self._tabs is None:
            self._tabs, self._fit = SideTabs(window, self), WindowFit(window, self.viewer)
            hide_qt_notice(window)

    def may_close(self) -> bool:
        """Whether the dock may be closed: a result that is in no file is asked about first."""
        result = self.session.result
        if result is None or not self.files.unsaved:
            return True
        answer = propose_saving(self, result.name)
        if answer == SAVE:
            self.exports.result_dialog()
            return self.wait() and not self.files.unsaved
        self.files.unsaved = answer != DISCARD
        return answer == DISCARD

    def release(self) -> None:
        """Stop what runs and let go of the viewer; the layers stay."""
        if self._released:
            return
        self._released = True
        self.job.abandon()
        self._cards_job.abandon()
        self.preflight.release()
        self._loader.release()
        self._garbage_freeze.thaw()
        self._close_guard.release()
        self.machine.release()
        self.undo.release()
        self.session.selection_changed.disconnect(self._selected, missing_ok=True)
        self.tools.release()
        self.stack.release()
        self.canvas.release()
        self.panel.release()
        self.catalogue.release()
        self.viewer.events.theme.disconnect(self._theme_slot)
        self.docks.release()
        for part in (self._tabs, self._fit):
            if part is not None:
                part.release()
        self.panel.deleteLater()
        self.deleteLater()
