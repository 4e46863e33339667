"""The dock's frame: a message on top, folded sections in a scroll area, the run at the bottom. No work is done here."""

from __future__ import annotations

import time
from typing import Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton
from psygnal import Signal
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from napari_sfh._qt.forms.fields import align_labels
from napari_sfh._qt.widgets.small_widgets import MessageText, Section, StillRow, show_text
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh._qt.widgets.wording import escape_tip, name_form_labels
from napari_sfh.io.workspaces import list_recent
from napari_sfh.types import Progress

#: Lines of text that the message has room for.
MESSAGE_LINES = 4
#: Least width with small letters, and what the frame takes of it at both sides; pixels.
LEAST_WIDTH, FRAME_PX = 310, 8
#: What a stage counts, where its name tells something else.
_COUNTED = {"spectra": "spectra of the bins, channel"}

#: Behind what has the keyboard, in a dark and in a light theme; napari's own style shows a cursor in a text alone.
_FOCUS_DARK, _FOCUS_LIGHT = "#3a5f86", "#a8c8ea"


def format_focus_rules(theme: str) -> str:
    """Style of the combo box, button, tick box or slider that has the keyboard, for napari's theme of this id."""
    is_dark = QColor(get_palette(theme).background).lightness() < 128
    color, handle = (_FOCUS_DARK, _FOCUS_LIGHT) if is_dark else (_FOCUS_LIGHT, _FOCUS_DARK)
    return (
        f"QComboBox:focus, QPushButton:focus, QCheckBox:focus {{ background-color: {color}; }}\n"
        f"QSlider::handle:horizontal:focus {{ background-color: {handle}; }}"
    )


class FileRow(QWidget):
    """Open, what was opened lately, and keep."""

    #: A file or folder was chosen from the recent ones.
    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.open = PushButton(text="Open…", tooltip="A result, a cube or a workspace; or drop it on the window")
        self.folder = PushButton(text="Folder…", tooltip="A galaxy's folder, with its cube, mosaics and MAPS file")
        self.save = PushButton(
            text="Save…", tooltip="Save a workspace: all that the window shows: files, settings, bins, regions, view"
        )
        self.help = PushButton(text="Help", tooltip="Keys, what each number and map means, documentation (F1)")
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(self._fill)
        self._menu.triggered.connect(self._choose)
        self.recent = QPushButton("Recent")
        self.recent.setToolTip("Galaxies, results and workspaces that were opened last")
        self.recent.setMenu(self._menu)
        # A crowded dock must not squeeze it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(3)
        for widget in (self.open.native, self.folder.native, self.recent, self.save.native, self.help.native):
            layout.addWidget(widget)

    def enable(self, may_open: bool, may_save: bool) -> None:
        """What can be used now."""
        self.open.enabled = self.folder.enabled = may_open
        self.recent.setEnabled(may_open)
        self.save.enabled = may_save and may_open

    def _fill(self) -> None:
        self._menu.clear()
        if not list_recent():
            nothing: Any = self._menu.addAction("None yet")
            nothing.setEnabled(False)
        for path in list_recent():
            action: Any = self._menu.addAction(f"{path.parent.name}/{path.name}")
            action.setToolTip(escape_tip(str(path)))
            action.setData(str(path))

    def _choose(self, action: Any) -> None:
        self.chosen.emit(action.data())


class ExplorerFrame(QWidget):
    """Message, sections, progress and buttons; `Explorer` fills it.

    Parameters
    ----------
    message : str
        Shown first.
    theme : str
        Id of napari's theme.

    Attributes
    ----------
    is_error : bool
        The sentence that is shown tells an error.
    """

    def __init__(self, message: str, theme: str) -> None:
        super().__init__()
        self.is_error, self._error_color = False, get_palette(theme).error
        self._focus_rules, self._styled = format_focus_rules(theme), list[QWidget]()
        # Of fixed height: a sentence that is longer never moves the form below under the mouse.
        self.message = MessageText(message)
        self.details_button = PushButton(text="Details…", tooltip="The full error, to report it", visible=False)
        self.demo_button = PushButton(text="Try the mock spiral", tooltip="A small galaxy whose history is known")
        self.run_button = PushButton(text="Run")
        self.cancel_button = PushButton(text="Cancel", enabled=False, tooltip="Stop within a second")
        self.file_row = FileRow()
        self.bar = ProgressBar(value=0, min=0, max=1, visible=False)
        self.stage = Label(value="", visible=False)
        self._stage_row = StillRow(self.stage.native)
        self._stage_row.hide()
        self.sections: dict[str, Section] = {}
        self._forms: list[Container[Any]] = []
        self._details = ""
        self._uncounted, self._stage_began = "", 0.0
        self._seconds = QTimer(self)
        self._seconds.setInterval(1000)
        self._seconds.timeout.connect(self._tell_seconds)
        self._seconds.start()
        self.details_button.changed.connect(self._show_details)

    def arrange(self, sections: dict[str, Section], forms: list[Container[Any]]) -> None:
        """Lay all out; the message and the run are always in sight, the fields of all ``forms`` in line."""
        self.sections, self._forms = sections, forms
        body = QWidget()
        self._styled = [self.file_row, body]
        for widget in self._styled:  # before there is anything in it that would be polished anew
            widget.setStyleSheet(self._focus_rules)
        inside = QVBoxLayout(body)
        inside.setContentsMargins(2, 2, 2, 2)
        inside.setSpacing(2)
        for section in sections.values():
            inside.addWidget(section)
        inside.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the Tab key goes from field to field
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        self._buttons = Container(widgets=[self.run_button, self.cancel_button], layout="horizontal", labels=False)
        self._buttons.margins = (0, 0, 0, 0)
        self._buttons.native.setStyleSheet(self._focus_rules)
        self._styled.append(self._buttons.native)
        layout = QVBoxLayout(self)
        # napari's title bar is 7 pixels higher than the room that it asks for.
        layout.setContentsMargins(4, 8, 4, 4)
        layout.setSpacing(3)
        top = QHBoxLayout()
        top.setSpacing(2)
        top.addWidget(self.message, 1)
        top.addWidget(self.details_button.native, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.file_row)
        layout.addLayout(top)
        layout.addWidget(self.demo_button.native)
        layout.addWidget(scroll, 1)
        for widget in (self._stage_row, self.bar.native, self._buttons.native):
            layout.addWidget(widget)
        self._fit_width()

    def _fit_width(self) -> None:
        """Wide enough for the buttons on top and the fields in every section: letters may be large."""
        bodies = [section.body.minimumSizeHint().width() for section in self.sections.values()]
        style: Any = self.style()
        beside = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent)
        row = self.file_row.minimumSizeHint().width() + FRAME_PX
        self.setMinimumWidth(max(LEAST_WIDTH, row, max(bodies, default=0) + beside + FRAME_PX))

    def show_message(self, text: str, error: bool = False) -> None:
        """Show a sentence at the top of the dock."""
        self.message.setPlainText(text)
        self.message.setToolTip(escape_tip(text))
        self.is_error = error
        self._color_message()
        self.details_button.visible = bool(self._details) and error
        if not error:
            self._details = ""

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme: the colour of an error's sentence."""
        self._error_color, self._focus_rules = get_palette(theme).error, format_focus_rules(theme)
        self._color_message()
        for widget in self._styled:
            widget.setStyleSheet(self._focus_rules)

    def _color_message(self) -> None:
        self.message.set_color(self._error_color if self.is_error else "")

    def show_progress(self, step: Progress, cancelling: bool) -> None:
        """Stage and count of the work; what must not vanish with the next stage stands above."""
        stage = name_form_labels(_COUNTED.get(step.stage, step.stage))
        if step.stays:
            self.show_message(stage)
        text = "Cancelling" if cancelling else stage[:1].upper() + stage[1:]
        if step.total or text != self._uncounted:
            self._uncounted, self._stage_began = "" if step.total else text, time.monotonic()
            self.stage.value = f"{text} {step.done}/{step.total}…" if step.total else f"{text}…"
            self.show_count(step.done, step.total)

    def show_count(self, done: int, total: int) -> None:
        """The bar at a count; empty where ``total`` is 0: the seconds of the stage tell that something is going on.

        A bar that moves by itself has the canvas drawn with it 25 times a second: under software GL, half of a run.
        """
        # Qt's bar paints at once what is set.
        self.bar.native.setUpdatesEnabled(False)
        self.bar.max = total or 1
        self.bar.value = done
        self.bar.native.setUpdatesEnabled(True)

    def forget_stage(self) -> None:
        """What the work before was at is no stage of the one that begins."""
        self.stage.value = self._uncounted = ""

    def _tell_seconds(self) -> None:
        seconds = round(time.monotonic() - self._stage_began)
        if self._uncounted and seconds > 1 and self.stage.visible:
            self.stage.value = f"{self._uncounted}… {seconds} s"

    def show_running(self, running: bool, cancelling: bool) -> None:
        """Bar, stage and Cancel while there is work."""
        self.cancel_button.enabled = running and not cancelling
        self._stage_row.setVisible(running)
        self.bar.visible = self.stage.visible = running
        if running and cancelling:
            self.stage.value, self._uncounted = "Cancelling…", "Cancelling"

    def align_forms(self) -> None:
        """Have the labels of all forms end in one line, after some have come or gone."""
        align_labels(self._forms)

    def changeEvent(self, event: Any) -> None:
        """napari's font comes with its style sheet, and labels are as wide as their font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self.align_forms()
            self._stage_row.fit_height()
            self._fit_width()
            self.message.setFixedHeight(MESSAGE_LINES * self.message.fontMetrics().lineSpacing() + 4)

    def _show_details(self, _: object = None) -> None:
        show_text(self, "Details of the error", self._details, markdown=False)
