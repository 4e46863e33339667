"""The dock: forms, the run, and the layers, plots and tools of its result, joined over one `Session`."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_sfh._qt.canvas.interaction import CanvasInteraction
from napari_sfh._qt.canvas.layer_data import format_main_values, format_map_title, format_map_value
from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.catalogue.catalogue_window import CatalogueWindow
from napari_sfh._qt.docks.bin_panel import BinPanel
from napari_sfh._qt.docks.bottom_docks import BottomDocks
from napari_sfh._qt.docks.closing import DISCARD, SAVE, CloseGuard, propose_saving, propose_stopping
from napari_sfh._qt.docks.explorer_frame import ExplorerFrame
from napari_sfh._qt.docks.help_text import format_help
from napari_sfh._qt.docks.late_controls import LateControls, make_late_controls
from napari_sfh._qt.docks.side_tabs import SideTabs, WindowFit
from napari_sfh._qt.docks.tour import Tour, describe_window, is_tour_due
from napari_sfh._qt.docks.undo_keys import UndoKeys
from napari_sfh._qt.exports import Exports
from napari_sfh._qt.files import FileActions
from napari_sfh._qt.forms import settings
from napari_sfh._qt.forms.machine import MachineTitle
from napari_sfh._qt.forms.model_cards import ModelCards
from napari_sfh._qt.forms.preflight_panel import PreflightPanel, place_below
from napari_sfh._qt.forms.run_forms import BinningForm, DataForm, ExportForm, NetworkForm
from napari_sfh._qt.input_changes import InputChanges
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.latency import GarbageFreeze, GarbageRest
from napari_sfh._qt.jobs.preload import Preloader
from napari_sfh._qt.jobs.region_means import RegionMeans
from napari_sfh._qt.jobs.step_queue import PaintStep
from napari_sfh._qt.jobs.work_queue import WorkQueue
from napari_sfh._qt.jobs.workers import BackgroundJob, Work, explain_error
from napari_sfh._qt.napari_files import (
    DialogAnswers,
    ForeignLayers,
    WindowDrops,
    make_dialog_answers,
    make_window_drops,
    set_reader_preset,
)
from napari_sfh._qt.presenter import READY, READY_NOTED, REFUSED, Presenter, summarise_result
from napari_sfh._qt.session import Session
from napari_sfh._qt.tools.base import Toolbox
from napari_sfh._qt.tools.maps import MEANING, MapForm, MapTool
from napari_sfh._qt.tools.registry import TOOLS
from napari_sfh._qt.widgets.input_guard import InputGuard, TabGuard
from napari_sfh._qt.widgets.small_widgets import Section, make_weak_slot, show_text
from napari_sfh._qt.widgets.startup import hide_qt_notice, make_canvas_opaque
from napari_sfh._qt.widgets.strokes import StrokeKeeper
from napari_sfh._qt.widgets.wording import escape_tip, shorten_leading_path
from napari_sfh.analysis import maps
from napari_sfh.errors import ComputeError
from napari_sfh.processes.calls import CallAhead
from napari_sfh.types import Result

if TYPE_CHECKING:
    import napari

PANEL = "SFH of the selected bins"
#: What its tab says where the weights predict no histories.
PANEL_SCALARS = "Estimates of the selected bins"
_EMPTY = (
    "Choose a galaxy folder (a MUSE cube, HST mosaics, a MAPS file) or a cube, drop a result file on the window, "
    "or try the mock spiral."
)
#: Milliseconds after the dock came into the window until the weights are read.
FIRST_PAINT_MS = 150
#: Milliseconds between two looks of a script that waits, where no event wakes it.
_LOOK_MS = 20
WORKING = "Working; the window stays usable."
#: What the dock says while there is nothing else to say.
_STATES = (_EMPTY, READY, READY_NOTED, REFUSED, WORKING)
RUN_TIP = "From the files to the maps"
RESTORING = "The workspace is being restored."
CANCELLED = "Cancelled: nothing was finished."
ENDING = "Cancelled. The step that was begun comes to its end; what it brings is shown then."


class Explorer(ExplorerFrame):
    """The 'SFH explorer' dock of a napari viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    #: Lent to napari's own parts.
    _lent: tuple[LateControls | DialogAnswers | WindowDrops | TabGuard | None, ...] = ()
    _ahead: CallAhead | None = None

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(_EMPTY, viewer.theme)
        self._released = True  # until all is there
        self.viewer = viewer
        self.session = Session()
        self._means = RegionMeans(self.session)
        self.data, self.binning, self.network, self.export = DataForm(), BinningForm(), NetworkForm(), ExportForm()
        self.preflight = PreflightPanel(self.data, self.binning, self.network, viewer.theme, lambda: self.work.pending)
        self.stack = LayerStack(viewer, self.session)
        self.exports, self.files, self.catalogue = Exports(self), FileActions(self), CatalogueWindow(self)
        self.panel = BinPanel(self.session, viewer.theme, self.exports.plots_dialog, self.exports.table_dialog)
        self.docks = BottomDocks(viewer, self)
        self.work, self.presenter = WorkQueue(self, self.stack.scene.pause), Presenter(self)
        self.cards = ModelCards(self, self.network, self._cards_read)
        self.preloader = Preloader(self, self._is_working, self._loaded_modules)
        self._error: Exception | None = None
        self.tour: Tour | None = None
        self.garbage = GarbageFreeze()
        self.garbage.freeze()
        self._rest = GarbageRest(self, self.garbage, self._is_working)
        self.tools = Toolbox(weakref.proxy(self), TOOLS)
        self.forms = {"data": self.data, "binning": self.binning, "network": self.network, "export": self.export}
        self.undo = UndoKeys(self)
        keys = self.tools.shortcuts() | {"F1": self.show_help, "Alt-N": self.turn_edges}
        keys |= {"Control-Z": self.undo.undo, "Control-Shift-Z": self.undo.redo}
        acts = self._describe, self.stack.mark, self.panel.foresee
        self.canvas = CanvasInteraction(viewer, self.session, self._clicked, keys, *acts)
        rows = [form.container for form in (self.data, self.binning, self.network, self.export)]
        rows += [tool.container for tool in self.tools if isinstance(tool.container, Container)]
        self.arrange(self._sections(), rows)
        self.guard, self.strokes = InputGuard(self), StrokeKeeper(viewer, self)
        self._close_guard = CloseGuard(self, self.may_leave, self._leave_window, self.files.regret_discarding)
        self._tabs: SideTabs | None = None
        self._fit: WindowFit | None = None
        for root in (self, self.panel):
            self.guard.protect_fields(root)
        self.machine = MachineTitle(self.sections["network"], self.network.chosen_device)
        self._connect()
        settings.apply_settings(self)
        set_reader_preset()
        self._foreign = ForeignLayers(self)
        # What is loaded in a thread, PyTorch at last, would hold up the first painting.
        self._painted = QTimer(self)
        self._painted.setSingleShot(True)
        self._painted.setInterval(FIRST_PAINT_MS)
        self._painted.timeout.connect(self.cards.read)
        self._painted.start()
        self._released = False
        self.work.steps.run([*self.canvas.glyph_steps(), self.presenter.adopt_layers])
        self.refresh()

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
        self.map.sky.changed.connect(self.canvas.axes.set_style)
        self.data.maps.changed.connect(self.refresh)
        self.preflight.looked.connect(self.refresh)
        for form in (self.data, self.binning):
            form.container.changed.connect(self.forget_error)
        self.inputs = InputChanges(self)
        self.run_button.changed.connect(self._run_pressed)
        self.cancel_button.changed.connect(self.cancel)
        self.demo_button.changed.connect(self._demo)
        self.export.result.changed.connect(self.exports.result_dialog)
        self.export.figure.changed.connect(self.exports.figure_dialog)
        self.export.table.changed.connect(self.exports.all_dialog)
        self.file_row.open.changed.connect(self.files.open_dialog)
        self.file_row.folder.changed.connect(self.files.folder_dialog)
        self.file_row.save.changed.connect(self.files.save_dialog)
        self.file_row.chosen.connect(self.files.open_chosen)
        self.file_row.help.changed.connect(self.show_help)
        self.session.selection_changed.connect(self._selected)
        self._theme_slot = make_weak_slot(self._theme_changed)
        self.viewer.events.theme.connect(self._theme_slot)
        # A window that closes destroys the dock without a word to Python.
        for job in (self.job, self.cards.job, self.preflight.job, self.preloader.job):
            self.destroyed.connect(partial(BackgroundJob.abandon, job))
        self.destroyed.connect(partial(RegionMeans.abandon, self._means))
        self.destroyed.connect(partial(GarbageFreeze.thaw, self.garbage))
        self._rest.watch(self.viewer.layers, self.stack.scene)

    # -- acts (also for scripts) -------------------------------------------------------------------------------

    @property
    def map(self) -> MapForm:
        """The form of the shown map."""
        tool: MapTool = self.tools["maps"]
        return tool.form

    @property
    def job(self) -> BackgroundJob:
        """The long work."""
        return self.work.job

    @property
    def busy(self) -> bool:
        """True while long work runs."""
        return self.job.running

    @property
    def loading(self) -> bool:
        """True while layers come in."""
        return self.work.steps.active

    def open(self, path: Path | str) -> None:
        """Open a galaxy's folder, a cube, a result or a workspace."""
        self.files.open(path)

    def save_workspace(self, path: Path | str) -> None:
        """Keep all that the window shows in a file."""
        self.files.save_workspace(path)

    def open_folder(self, folder: Path | str) -> None:
        """Find a galaxy's files in a folder and show its white light; until they are found the form has none."""
        self.presenter.forget_files(Path(folder))
        self.start(
            partial(tasks.open_galaxy, folder=Path(folder), model=self.network.chosen_model), self.presenter.show_galaxy
        )

    def open_demo(self, run: bool = False, ahead: CallAhead | None = None) -> None:
        """Fill in the bundled mock galaxy, and run it if asked.

        Parameters
        ----------
        run : bool
        ahead : CallAhead, optional
            The run of `demo.run_demo`, begun before the window was there: the first Run takes it if it is the same.
        """
        self._ahead = ahead
        self.start(tasks.open_demo, partial(self.presenter.show_galaxy, then_run=run))

    def open_result(self, path: Path | str) -> None:
        """Read a result file and show it, clicks and all."""
        self.start(partial(tasks.open_result, path=Path(path)), self.presenter.show_opened_result)

    def show_result(self, result: Result) -> None:
        """Show a result that is in memory; layers of it that the viewer has already are kept."""
        self.presenter.show_prepared(tasks.prepare_result(result))

    def run(self, _: object = None) -> None:
        """Run the pipeline with what the forms say."""
        self.attempt(partial(self._start_run, self.presenter.show_run))

    def _start_run(self, show: Callable[[tasks.PreparedResult], None]) -> None:
        options = self.collect_options()
        if not self.presenter.is_demo:
            settings.store_settings(self)
        ahead, self._ahead = self._ahead, None
        work = partial(tasks.run_galaxy, options=options)
        self.start(partial(work, ahead=ahead) if ahead is not None else work, show, "Run")

    def collect_options(self) -> dict[str, Any]:
        """Keyword arguments of `decisions.configure_run` that the forms hold.

        Raises
        ------
        SfhInputError
            A field is wrong.
        """
        return {**self.data.values(), **self.binning.values(), **self.network.values()}

    def cancel(self, _: object = None) -> None:
        """Ask the work in progress to stop; what waits for it is dropped."""
        self.work.cancel()
        self._drop_ahead()
        self.refresh()

    def _drop_ahead(self) -> None:
        """Nobody will ask for the run that was begun with the window."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.drop()

    def wait(self, seconds: float = 3600.0) -> bool:
        """For scripts: keep the window alive until the work is done and all is shown; False if it takes longer."""
        end = time.monotonic() + seconds
        waker = QTimer()  # what ends in a thread may send no event
        waker.start(_LOOK_MS)
        while self.work.pending or self.tools.working or self._means.running:
            if time.monotonic() > end:
                return False
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
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

    def turn_edges(self, _: object = None) -> None:
        """RA and Dec at the edges of the canvas, then as a grid, then none."""
        choices = self.map.sky.choices
        self.map.sky.value = choices[(choices.index(self.map.sky.value) + 1) % len(choices)]

    def show_help(self, _: object = None) -> None:
        """Keys, what the numbers and maps mean, where the documentation is."""
        names = [name for name in self.map.quantity.choices if name in maps.MAPS and name in MEANING]
        meaning = {format_map_title(name): MEANING[name] for name in names}
        show_text(self, "Help", format_help(meaning if self.session.result is not None else {}), markdown=True)

    def start_tour(self) -> None:
        """Four steps through the window."""
        window: Any = self.window()
        self.tour = Tour(window, describe_window(self.file_row, self.sections["maps"], window, self.panel))

    def offer_tour(self) -> None:
        """Start the tour if the window is seen and nobody has taken it yet."""
        if is_tour_due() and isinstance(self.window(), QMainWindow) and self.isVisible():
            self.start_tour()

    def fit_view(self) -> None:
        """Fit the maps to the canvas, and keep them fitted when the window grows."""
        self.viewer.reset_view()
        if self._fit is not None:
            self._fit.remember_view()

    def keep_width(self) -> None:
        """Have the column on the right as wide as at the start."""
        if self._tabs is not None:
            self._tabs.set_width()

    def show_panel(self) -> None:
        """Open the dock with the plots, or bring it back."""
        self.show_dock(PANEL, self.panel)
        result = self.session.result
        histories = result is None or result.prediction.has_histories
        self.docks.entitle(PANEL, PANEL if histories else PANEL_SCALARS)

    def show_dock(self, title: str, widget: Any) -> None:
        """Show a widget as a tab beside the plots, or bring it back; it goes with the explorer."""
        self.docks.show(title, widget)

    def hide_dock(self, title: str) -> None:
        """Take a tab beside the plots out of sight until it is shown again."""
        self.docks.hide(title)

    # -- long work ---------------------------------------------------------------------------------------------

    def start(self, work: Work, after: Callable[[Any], None], button: str = "") -> None:
        """Run one piece of work, after what runs or comes in now; ``after`` gets its value unless it was cancelled.

        ``button`` is what the user presses to start it again.
        """
        self.work.start(work, after, button)

    def when_ready(self, act: Callable[[], object]) -> None:
        """Do an act now, or as soon as no work runs and all layers are there; acts keep their order."""
        self.work.when_ready(act)

    def attempt(self, act: Callable[[], object]) -> bool:
        """Call ``act``; tell its `SfhInputError`, `ComputeError` or `OSError`. True if there was none."""
        return self.work.attempt(act)

    def in_turns(self, steps: list[PaintStep]) -> None:
        """Do steps one by one, one per turn of the event loop, so that the window does not block."""
        self.work.steps.run_first(steps)

    def show_start(self) -> None:
        """Work has begun."""
        self._details = ""
        self.forget_stage()
        self.show_count(0, 0)
        self.show_message(WORKING)
        self.refresh()

    def tell_cancelled(self, button: str = "") -> None:
        """Work was cancelled before it had anything to show; ``button`` starts it again."""
        self.files.regret_discarding()
        again = f"{CANCELLED} Press {button} to start again." if button else CANCELLED
        again = ENDING if self.job.ending else again
        self.show_message(again if self.data.has_input or self.session.result is not None else _EMPTY)

    def tell_error(self, error: Exception) -> None:
        """Show an error's sentence; its details on demand. `finish` raises the first one."""
        self._error = self._error or error
        self.files.regret_discarding()
        self.refresh()
        sentence, self._details = explain_error(error)
        self.show_message(shorten_leading_path(sentence), error=True)
        self.message.setToolTip(escape_tip(sentence))
        self.files.note(sentence)

    # -- what is shown -----------------------------------------------------------------------------------------

    def refresh(self, _: object = None) -> None:
        """Bring texts and buttons in line with the state."""
        running, has_input = self.job.running, self.data.has_input
        has_result = self.session.result is not None
        free = not (running or self.files.restoring)
        self.run_button.enabled = has_input and free
        self.run_button.tooltip = RUN_TIP if has_input else f"{RUN_TIP}; choose a cube or a galaxy's folder under Data"
        shows_other = running or self.work.has_waiting or self.catalogue.selection is not None
        self.demo_button.visible = not (has_input or has_result or shows_other)
        self.show_running(running, self.job.cancelling)
        self.details_button.visible = bool(self._details)
        self.export.enable(has_result and not running)
        self.file_row.enable(free, has_input or has_result)
        self.tools.set_enabled(self.session.result, running)
        self._hide_dead_sections(has_input)
        self.binning.set_maps(self.data.maps_path is not None)
        # What an act has said stays until the next one.
        said = self.message.text().removeprefix(f"{RESTORING} ")
        at_rest = summarise_result(self.session.result) if has_result or has_input else _EMPTY
        if at_rest == READY and self.preflight.is_refused:
            at_rest = REFUSED
        noted = said == READY_NOTED and at_rest == READY
        if said in _STATES and (running or not (self.loading or noted)):
            self.show_message(WORKING if running else at_rest)
        elif said != self.message.text() and not self.files.restoring:
            self.show_message(said)

    def _hide_dead_sections(self, has_input: bool) -> None:
        """A catalogue of estimates has no run, and nothing of a galaxy: until one is chosen under Data."""
        dead = self.catalogue.selection is not None and not has_input
        for name in ("binning", "network", "export"):
            self.sections[name].setVisible(not dead)
        if dead:
            self.sections["cube"].setVisible(False)

    def forget_error(self, _: object = None) -> None:
        """What was wrong may be right after a change of the forms."""
        if self.is_error:
            self.forget_message(self.message.text())

    def forget_message(self, text: str) -> None:
        """A sentence that is true no longer makes room for the one at rest, if it is still shown."""
        if text and text == self.message.text() and not (self.job.running or self.files.restoring):
            has_input = self.data.has_input or self.session.result is not None
            self.show_message(summarise_result(self.session.result) if has_input else _EMPTY)

    def show_message(self, text: str, error: bool = False) -> None:
        """Show a sentence at the top of the dock; while a workspace comes back, this is said, too."""
        super().show_message(f"{RESTORING} {text}" if self.files.restoring and not error else text, error)

    def refresh_cursor(self) -> None:
        """Say anew what is under the cursor."""
        self.canvas.refresh()

    def _selected(self, _: int) -> None:
        self.tools.on_selection(self.session.shown)

    def _describe(self, bin_id: int) -> str | None:
        """The current map's value in a bin; in the grid those of all four, None while it is being put together."""
        result, display = self.session.result, self.stack.display
        if display.is_arranging_grid:
            return None
        if result is None or not bin_id:
            return str(self.tools["cube"].describe(bin_id))
        if display.is_grid:
            return format_main_values(result, bin_id)
        if display.shown.role == "map":
            return format_map_value(result, display.shown.name, bin_id, self.stack.age)
        return self.tools.describe(bin_id)

    def _clicked(self) -> None:
        """The plots come up, unless another dock of ours is being looked at."""
        if not self.docks.seen:
            self.show_panel()

    def _run_pressed(self, _: object = None) -> None:
        """Run, unless the form is wrong, or a result that would go is to be kept first; a refused run ends none."""
        if self.attempt(self.collect_options):
            if self.preflight.refuses_now:
                self.attempt(partial(self._start_run, self._show_unasked))
            elif self.may_close():
                self.run()

    def _show_unasked(self, shown: tasks.PreparedResult) -> None:
        """A run that should have been refused has come to its end: nobody was asked about the result before."""
        if self.may_close():
            self.presenter.show_run(shown)

    def _demo(self, _: object = None) -> None:
        self.open_demo()

    def _cards_read(self) -> None:
        self._loaded_modules()
        self.preloader.start()

    def _loaded_modules(self) -> None:
        if self.session.result is None:
            self.garbage.freeze()  # torch is loaded, and nothing is here yet that should be freed later

    def _is_working(self) -> bool:
        return self.work.pending or self.preflight.job.running

    def _theme_changed(self, event: Any) -> None:
        self.set_theme(self.viewer.theme)
        self.panel.set_theme(self.viewer.theme)
        self.preflight.set_theme(self.viewer.theme)
        self.catalogue.set_theme(self.viewer.theme)

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
            self._painted.start()
            self._tabs, self._fit = SideTabs(window, self), WindowFit(window, self.viewer)
            hide_qt_notice(window)
            make_canvas_opaque(window)
            controls = make_late_controls(window, self.guard.protect_fields)
            self._lent = controls, make_dialog_answers(window), make_window_drops(window), TabGuard(window)
            self.undo.watch(window)

    def may_close(self) -> bool:
        """Whether the shown result may go: one that is in no file is asked about first."""
        result = self.session.result
        if result is None or not self.files.unsaved:
            return True
        answer = propose_saving(self, result.name)
        if answer == SAVE:
            self.exports.result_dialog()
            return self.wait() and not self.files.unsaved
        if answer == DISCARD:
            self.files.discard()
        return answer == DISCARD

    def may_leave(self) -> bool:
        """Whether dock or window may close: work that goes on is asked about, then a result that is in no file."""
        at_work = self.job.running and not self.job.cancelling
        return (not at_work or propose_stopping(self, self.stage.value, self.job.is_running)) and self.may_close()

    def _leave_window(self) -> None:
        """The window closes: no more layers come, and the collector is given all back, even if Qt ends it later."""
        self.work.steps.release()
        self.garbage.thaw()

    def release(self) -> None:
        """Stop what runs and let go of the viewer; the layers stay."""
        if self._released:
            return
        self._released = True
        if self.tour is not None and isalive(self.tour):
            self.tour.end()
        self._drop_ahead()
        self.work.release()
        self._painted.stop()
        self.cards.job.abandon()
        self.preloader.release()
        self._means.abandon()
        self.preflight.release()
        self._rest.release()
        self.garbage.thaw()
        self._close_guard.release()
        self.machine.release()
        self.undo.release()
        self.session.selection_changed.disconnect(self._selected, missing_ok=True)
        self.tools.release()
        self._foreign.release()
        self.stack.release()
        self.canvas.release()
        self.strokes.release()
        self.panel.release()
        self.catalogue.release()
        self.viewer.events.theme.disconnect(self._theme_slot)
        self.docks.release()
        for part in (self._tabs, self._fit, *self._lent):
            if part is not None:
                part.release()
        self.panel.deleteLater()
        self.deleteLater()
