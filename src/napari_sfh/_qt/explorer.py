"""The dock: forms, the run, and the layers and plots of its result. A shell over `Session`, `tasks` and `forms`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, Label, ProgressBar, PushButton
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_sfh._qt import settings, tasks
from napari_sfh._qt.canvas import Canvas
from napari_sfh._qt.dock import Section, show_text, weak_slot
from napari_sfh._qt.exports import Exports
from napari_sfh._qt.forms import BinningForm, DataForm, ExportForm, MapForm, NetworkForm, RegionForm
from napari_sfh._qt.layers import link_of, maps_text
from napari_sfh._qt.panel import BinPanel
from napari_sfh._qt.region import Region
from napari_sfh._qt.session import Session
from napari_sfh._qt.stack import LayerStack
from napari_sfh._qt.workers import Job, Work, explain
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.types import Progress, Result

if TYPE_CHECKING:
    import napari

PANEL = "SFH of the selected bins"
#: Sections that are unfolded when there is a result.
SECTIONS_DONE = {"data": False, "binning": False, "network": False, "maps": True, "export": True}
#: Height in pixels that the dock of plots asks for.
PANEL_HEIGHT = 280
#: Keys on the canvas, and the map that each shows (or what it toggles).
MAP_KEYS = {
    "Alt-1": "AGE_LW",
    "Alt-2": "AGE_MW",
    "Alt-3": "MH_LW",
    "Alt-4": "MH_MW",
    "Alt-E": "error",
    "Alt-G": "grid",
}
EMPTY = (
    "Choose a galaxy folder (a MUSE cube, HST mosaics, a MAPS file) or a cube, drop a result file on the window, "
    "or try the mock spiral."
)
READY = "Ready: press Run. Empty fields are filled from the files."
NO_CARD = "No weights were found: reinstall napari-sfh, or train some with napari-sfh-train."
DONE = "Click a bin on the map to see its star-formation history."


class Explorer(QWidget):
    """The 'SFH explorer' dock of a napari viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._window: Any = None
        self.session = Session()
        self.data, self.binning, self.network = DataForm(), BinningForm(), NetworkForm()
        self.map, self.region_form, self.export = MapForm(), RegionForm(), ExportForm()
        self.stack = LayerStack(viewer, self.session)
        keys: dict[str, Callable[[str], None]] = dict.fromkeys(MAP_KEYS, self._key)
        self.region = Region(viewer, self.session, self._region_found)
        self.canvas = Canvas(viewer, self.session, self.show_panel, keys, self._describe)
        self.exports = Exports(self)
        self.panel = BinPanel(self.session, viewer.theme, self.exports.plots_dialog, self.exports.table_dialog)
        self.job = Job(self._progress, self._done, self._failed)
        self._cards_job = Job(lambda _: None, self._show_cards, lambda _: None)
        self._cards: dict[str, str] = {}
        self._after: Callable[[Any], None] | None = None
        self._details = ""
        self._pending: deque[Callable[[], None]] = deque()
        self._released = False
        self._build()
        self._connect()
        settings.apply(self)
        self._cards_job.start(tasks.read_cards)
        self._refresh()

    # -- construction ------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.message = QLabel(EMPTY)
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details_button = PushButton(text="Details…", tooltip="The full error, to report it", visible=False)
        self.demo_button = PushButton(text="Try the mock spiral", tooltip="A small galaxy whose history is known")
        self.run_button = PushButton(text="Run", tooltip="From the files to the maps")
        self.cancel_button = PushButton(text="Cancel", enabled=False, tooltip="Stop within a second")
        self.bar = ProgressBar(value=0, min=0, max=1, visible=False)
        self.stage = Label(value="")
        self.sections = {
            "data": Section("Data", self.data.container.native, True),
            "binning": Section("Binning", self.binning.container.native, False),
            "network": Section("Network", self.network.container.native, False),
            "maps": Section("Maps", self.map.container.native, False),
            "region": Section("Region", self.region_form.container.native, False),
            "export": Section("Export", self.export.container.native, False),
        }
        self._arrange()

    def _arrange(self) -> None:
        """Message on top, the sections in a scroll area, the run at the bottom: always in sight."""
        body = QWidget()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(2, 2, 2, 2)
        inside.setSpacing(2)
        for section in self.sections.values():
            inside.addWidget(section)
        inside.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        buttons = Container(widgets=[self.run_button, self.cancel_button], layout="horizontal", labels=False)
        buttons.margins = (0, 0, 0, 0)
        self._buttons = buttons
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(3)
        for widget in (self.message, self.details_button.native, self.demo_button.native):
            layout.addWidget(widget)
        layout.addWidget(scroll, 1)
        for widget in (self.stage.native, self.bar.native, buttons.native):
            layout.addWidget(widget)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self.data.folder.line_edit.changed.connect(self._folder_changed)
        self.data.cube.line_edit.changed.connect(self._cube_changed)
        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)
        self.demo_button.changed.connect(lambda _: self.open_demo())
        self.details_button.changed.connect(self._show_details)
        self.network.card.changed.connect(self._show_card)
        for signal in (self.map.quantity.changed, self.map.error.changed, self.map.grid.changed):
            signal.connect(self._map_changed)
        for signal in (self.map.min_snr.changed, self.map.hide_flagged.changed):
            signal.connect(self._hide_changed)
        self.region_form.draw.changed.connect(self.draw_region)
        self.region_form.clear.changed.connect(lambda _: self.region.clear())
        self.region_form.weight.changed.connect(self.region.set_weight)
        self.export.result.changed.connect(self.exports.result_dialog)
        self.export.figure.changed.connect(self.exports.figure_dialog)
        self.export.table.changed.connect(self.exports.all_dialog)
        self.export.open.changed.connect(self.exports.open_dialog)
        self._theme_slot = weak_slot(self._theme_changed)
        self.viewer.events.theme.connect(self._theme_slot)
        # A window that closes destroys the dock without a word to Python.
        for job in (self.job, self._cards_job):
            self.destroyed.connect(partial(Job.abandon, job))
        self._activate = QTimer(self)
        self._activate.setSingleShot(True)
        self._activate.setInterval(50)
        self._activate.timeout.connect(self.stack.activate)
        self._loader = QTimer(self)
        self._loader.setInterval(0)
        self._loader.timeout.connect(self._load_one)

    # -- acts (also for scripts) -------------------------------------------------------------------------------

    def open_folder(self, folder: Path | str) -> None:
        """Find a galaxy's files in a folder and show its white light."""
        self.start(partial(tasks.open_galaxy, folder=Path(folder)), self._galaxy_opened)

    def open_cube(self, cube: Path | str) -> None:
        """Take a cube alone and show its white light."""
        self.start(partial(tasks.open_galaxy, cube=Path(cube)), self._galaxy_opened)

    def open_demo(self, run: bool = False) -> None:
        """Fill in the bundled mock galaxy, and run it if asked."""
        self.start(tasks.open_demo, partial(self._galaxy_opened, then_run=run))

    def open_result(self, path: Path | str) -> None:
        """Read a result file and show it, clicks and all."""
        self.start(partial(tasks.open_result, path=Path(path)), self._shown)

    def show_result(self, result: Result) -> None:
        """Show a result that is in memory; layers of it that the viewer has already are kept."""
        self._shown(tasks.prepare(result))

    def adopt(self, shown: tasks.Shown) -> None:
        """Take over a result whose layers napari has added already (a dropped file)."""
        self._shown(shown)

    def adopt_galaxy(self, galaxy: tasks.Galaxy) -> None:
        """Take over a cube whose white light napari has added already (a dropped file, the sample)."""
        self._galaxy_opened(galaxy)

    def run(self, _: object = None) -> None:
        """Run the pipeline with what the forms say."""
        try:
            options = {**self.data.values(), **self.binning.values(), **self.network.values()}
        except SfhInputError as error:
            self._failed(error)
            return
        settings.store(self)
        self.start(partial(tasks.run_galaxy, options=options), self._shown)

    def cancel(self, _: object = None) -> None:
        """Ask the work in progress to stop."""
        self.job.stop()
        self._refresh()

    def show_map(self, name: str) -> None:
        """Put the map ``name`` (a key of `maps.MAPS`) on the canvas."""
        error = name.endswith("_ERR")
        self.map.grid.value = False
        self.map.error.value = error
        self.map.quantity.value = name.removesuffix("_ERR")

    def draw_region(self, _: object = None) -> None:
        """Let the mouse draw a lasso; the mean SFH of the bins inside is shown."""
        if self.session.result is not None:
            self.map.grid.value = False
            self.region.draw()
            self.say("Draw around some bins with the left button held; let go to close the region.")

    def show_panel(self) -> None:
        """Open the dock with the plots, or bring it back."""
        if PANEL not in self.viewer.window.dock_widgets:
            self.viewer.window.add_dock_widget(self.panel, name=PANEL, area="bottom", add_vertical_stretch=False)
            dock: Any = self.panel.parentWidget()
            self._window = dock.parentWidget()
            # The column of layers keeps its full height beside the plots: all fits a screen of 720 lines.
            self._window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
            self._window.resizeDocks([dock], [PANEL_HEIGHT], Qt.Orientation.Vertical)
        self.panel.show()
        holder: Any = self.panel.parentWidget()
        holder.show()

    # -- long work ---------------------------------------------------------------------------------------------

    def start(self, work: Work, after: Callable[[Any], None]) -> None:
        """Run one piece of work; ``after`` gets its value."""
        try:
            self.job.start(work)
        except ComputeError as error:
            self.say(str(error))
            return
        self._after = after
        self._details = ""
        self.bar.max = 0
        self._refresh()

    def _progress(self, step: Progress) -> None:
        counted = f" {step.done}/{step.total}" if step.total else ""
        self.stage.value = (
            f"{'Cancelling' if self.job.cancelling else step.stage[:1].upper() + step.stage[1:]}{counted}…"
        )
        self.bar.max = step.total
        self.bar.value = step.done

    def _done(self, value: Any) -> None:
        self._refresh()
        if value is None:
            self.say("Cancelled: nothing was finished yet. Press Run to start again." if self.data.has_cube else EMPTY)
        elif self._after is not None:
            self._after(value)

    def _failed(self, error: Exception) -> None:
        self._refresh()
        sentence, self._details = explain(error)
        self.say(sentence, error=True)

    def _galaxy_opened(self, galaxy: tasks.Galaxy, then_run: bool = False) -> None:
        if galaxy.cube is None:
            self.say(" ".join(galaxy.problems) or "No cube was found in the folder: choose one under Cube.", error=True)
            return
        with self.data.cube.line_edit.changed.blocked(), self.data.folder.line_edit.changed.blocked():
            self.data.set_files(galaxy.cube, galaxy.photometry, galaxy.maps)
            self.data.folder.line_edit.value = "" if galaxy.folder is None else str(galaxy.folder)
        if galaxy.ebv_mw is not None:
            self.data.ebv_mw.value = f"{galaxy.ebv_mw:g}"
        self._white_opened(galaxy)
        if then_run:
            self.run()

    def _white_opened(self, galaxy: tasks.Galaxy) -> None:
        """Show a cube that has not been run; what was shown of another goes."""
        if galaxy.white is not None:
            self.session.set_result(None)
            self.stack.clear(keep=link_of(galaxy.white[1]["metadata"]))
            self.stack.put(galaxy.white)
            self.canvas.orient()
            self.viewer.reset_view()
        self._refresh()
        self.say(" ".join(galaxy.problems) or READY)

    def _shown(self, shown: tasks.Shown) -> None:
        """Show a result: its layers come one per turn of the event loop, so that the window never blocks."""
        steps = self.stack.begin(shown.result)
        self.session.set_result(shown.result)
        steps += [partial(self.stack.put, layer) for layer in shown.layers]
        steps += [self.canvas.orient, *self.stack.finish(), self.show_panel, self._settle]
        self._pending = deque(steps)
        self._loader.start()

    def _load_one(self) -> None:
        if self._pending:
            self._pending.popleft()()
            return
        self._loader.stop()
        self._refresh()
        self.say(self._summary())

    def _settle(self) -> None:
        """Unfold what is of use now."""
        self.map.limit_snr(self.session.result)
        self.region.refresh()
        for name, expanded in SECTIONS_DONE.items():
            self.sections[name].expand(expanded)
        # After the docks have found their sizes.
        QTimer.singleShot(0, self._reset_view)

    def _reset_view(self) -> None:
        if not self._released:
            self.viewer.reset_view()

    def _summary(self) -> str:
        result = self.session.result
        if result is None:
            return READY
        reached = int(np.isfinite(result.prediction.light_frac).all(1).sum())
        part = "" if reached == result.bins.n_bins else f", {reached} of them with a prediction"
        return f"{result.name}: {result.bins.n_bins} bins{part}, weights {result.model_name}. {DONE}"

    # -- what is shown -----------------------------------------------------------------------------------------

    def _refresh(self, _: object = None) -> None:
        """Bring texts and buttons in line with the state."""
        running, has_cube = self.job.running, self.data.has_cube
        has_result = self.session.result is not None
        self.run_button.enabled = has_cube and not running
        self.cancel_button.enabled = running and not self.job.cancelling
        self.bar.visible = self.stage.visible = running
        self.stage.value = "Cancelling…" if running and self.job.cancelling else self.stage.value
        self.demo_button.visible = not has_cube and not running and not has_result
        self.details_button.visible = bool(self._details)
        self.export.enable(has_result and not running)
        self.export.open.enabled = not running
        self.map.container.enabled = self.region_form.container.enabled = has_result
        if not self._details:
            self.say("Working; the window stays usable." if running else READY if has_cube else EMPTY)

    def resizeEvent(self, event: Any) -> None:
        """Keep the message readable: a wrapped label does not ask for the height that it needs."""
        super().resizeEvent(event)
        self._fit_message()

    def _fit_message(self) -> None:
        self.message.setMinimumHeight(0)
        self.message.setFixedHeight(self.message.heightForWidth(max(self.width() - 8, 100)) + 4)

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence at the top of the dock."""
        self.message.setText(text)
        self._fit_message()
        self.message.setStyleSheet("QLabel { color: #ff6b6b; }" if error else "")
        self.details_button.visible = bool(self._details) and error
        if not error:
            self._details = ""

    def _map_changed(self, _: object = None) -> None:
        if self._loading:
            return
        if self.map.grid.value:
            self.stack.set_grid(True)
        else:
            self.stack.set_grid(False)
            self.stack.show(self.map.name)
            # The layer's controls come after the map is painted.
            self._activate.start()
        self.canvas.refresh()

    def _hide_changed(self, _: object = None) -> None:
        result = self.session.result
        if result is not None and not self._loading:
            self.stack.hide_bins(self.map.hidden(result))

    def _region_found(self, n_bins: int) -> None:
        self.show_panel()
        self.say(
            f"Mean SFH of {n_bins} bins." if n_bins else "No bin's centre lies inside the region: draw a larger one."
        )

    def _key(self, key: str) -> None:
        act = MAP_KEYS[key]
        if self.session.result is None:
            return
        if act == "error":
            self.map.error.value = not self.map.error.value
        elif act == "grid":
            self.map.grid.value = not self.map.grid.value
        else:
            self.show_map(act)

    def _describe(self, bin_id: int) -> str:
        """The current map's value in a bin."""
        result = self.session.result
        return "" if result is None else maps_text(result, self.map.name, bin_id)

    @property
    def _loading(self) -> bool:
        return self._loader.isActive()

    def _show_details(self, _: object = None) -> None:
        show_text(self, "Details of the error", self._details, markdown=False)

    def _show_cards(self, cards: dict[str, str]) -> None:
        self._cards = cards
        self.network.set_models(list(cards))

    def _show_card(self, _: object = None) -> None:
        name = self.network.model.value
        text = self._cards.get(name) or "The weights are still being read." if self._cards_job.running else NO_CARD
        show_text(self, f"Model card: {name}", self._cards.get(name, text), markdown=True)

    def _theme_changed(self, event: Any) -> None:
        self.panel.set_theme(self.viewer.theme)

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
        return super().event(event)

    def release(self) -> None:
        """Stop what runs and let go of the viewer; the layers stay."""
        if self._released:
            return
        self._released = True
        self.job.abandon()
        self._cards_job.abandon()
        self._loader.stop()
        self._activate.stop()
        self.stack.release()
        self.region.release()
        self.canvas.release()
        self.panel.release()
        self.viewer.events.theme.disconnect(self._theme_slot)
        if self._window is not None:
            self._window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.BottomDockWidgetArea)
        if PANEL in self.viewer.window.dock_widgets:
            self.viewer.window.remove_dock_widget(self.panel)
        self.panel.deleteLater()
        self.deleteLater()
