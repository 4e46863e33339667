"""What napari opens: our reader is the preset for our results by their names, and is ticked in napari's dialog for
whatever is ours by its content; what another reader made of a file of ours is told. And what napari saves: by the
ending of the name."""

from __future__ import annotations

import re
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDialog, QFileDialog, QMainWindow, QRadioButton, QWidget

from napari_sfh._qt.canvas.map_files import holds_map_image
from napari_sfh._qt.forms.settings import PLUGIN
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.startup import has_marker, set_marker
from napari_sfh.analysis.objects.estimate_table import holds_estimates
from napari_sfh.instruments.bundle_header import is_bundle_path
from napari_sfh.io.fits_access import is_fits_name
from napari_sfh.io.identify import KINDS, holds_cube, identify_file

#: Names that a run and *Save result* give to results, as napari's preferences match them.
RESULT_PATTERN = "*_sfh.fits"
#: Says that the preset was made; who takes it out of the preferences does not find it there again.
_PRESET = "reader-preset"
#: Name that napari gives to the dialog that asks for a reader.
_READER_DIALOG = "Choose reader"


def set_reader_preset() -> None:
    """Let napari open results by our reader without a question; another reader that the user has chosen stays."""
    from napari.plugins.utils import get_preferred_reader
    from napari.settings import get_settings

    plugins = get_settings().plugins
    if has_marker(_PRESET) or get_preferred_reader(RESULT_PATTERN.replace("*", "galaxy")) is not None:
        return
    plugins.extension2reader = {**plugins.extension2reader, RESULT_PATTERN: PLUGIN}
    set_marker(_PRESET)


class DialogAnswers(QObject):
    """Answers what napari's dialogs about files would get wrong.

    Where napari asks which reader shall take a file that is ours by its content, ours is ticked: napari knows readers
    by patterns of names alone, and ticks the first in the alphabet: its own, which would make bare numbers of a result.

    Where layers are saved, the type in the list below follows the ending that was typed: napari writes by the type
    alone, and one that does not write such files fails.

    Parameters
    ----------
    asker : QWidget
        The parent of napari's dialogs. With its end this ends.
    """

    def __init__(self, asker: QWidget) -> None:
        super().__init__(asker)
        self._asker = asker
        asker.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """A child that has come may be a dialog: it is when it has been made."""
        if event is not None and event.type() == QEvent.Type.ChildAdded:
            QTimer.singleShot(0, make_weak_slot(self._answer))
        return False

    def _answer(self, _: Any = None) -> None:
        for dialog in self._asker.findChildren(QDialog, _READER_DIALOG):
            path = Path(str(getattr(dialog, "_current_file", "")))
            for button in dialog.findChildren(QRadioButton):
                if button.text() == PLUGIN and describe_own_file(path):
                    button.setChecked(True)
        for dialog in self._list_save_dialogs():
            # A function that holds the dialog would be collected with it: Python does not own what Qt has made.
            dialog.fileSelected.connect(self._follow_ending)

    def _list_save_dialogs(self) -> list[QFileDialog]:
        dialogs = self._asker.findChildren(QFileDialog)
        return [dialog for dialog in dialogs if dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave]

    def _follow_ending(self, name: str) -> None:
        """Choose the first type that has the ending of a name, where the chosen one has not."""
        for dialog in self._list_save_dialogs():
            for kind in (dialog.selectedNameFilter(), *dialog.nameFilters()):
                if name.lower().endswith(tuple(re.findall(r"\*(\.\w+)", kind))):
                    dialog.selectNameFilter(kind)
                    break

    def release(self) -> None:
        """Leave the questions as they are."""
        with suppress(RuntimeError):  # it may have gone with its window
            self._asker.removeEventFilter(self)
            self.deleteLater()


def make_dialog_answers(window: QMainWindow) -> DialogAnswers | None:
    """Have `DialogAnswers` watch a napari window; None where it has no such questions."""
    asker = getattr(window, "_qt_viewer", None)
    return None if asker is None else DialogAnswers(asker)


class WindowDrops(QObject):
    """Lets napari open files that are dropped anywhere on its window: by itself it takes them on the canvas alone.

    Parameters
    ----------
    window : QMainWindow
    canvas : QWidget
        What takes them.
    """

    def __init__(self, window: QMainWindow, canvas: QWidget) -> None:
        super().__init__(window)
        self._window, self._canvas = window, canvas
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: Any) -> bool:
        """Files that no part of the window wants come to the window itself."""
        kind = None if event is None else event.type()
        if kind not in (QEvent.Type.DragEnter, QEvent.Type.Drop) or not event.mimeData().hasUrls():
            return False
        if kind == QEvent.Type.DragEnter:
            event.acceptProposedAction()
        else:
            self._canvas.dropEvent(event)
        return True

    def release(self) -> None:
        """Leave them to the canvas."""
        with suppress(RuntimeError):  # it may have gone
            self._window.setAcceptDrops(False)
            self._window.removeEventFilter(self)
            self.deleteLater()


def make_window_drops(window: QMainWindow) -> WindowDrops | None:
    """Have `WindowDrops` watch a napari window; None for another window."""
    canvas = getattr(window, "_qt_viewer", None)
    return None if canvas is None else WindowDrops(window, canvas)


class ForeignLayers:
    """Tells of layers that another reader has made of a file of ours: napari's own knows neither bins nor coordinates.

    Parameters
    ----------
    explorer : Explorer
        Kept by a weak proxy.
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self._told: dict[Any, str] = {}
        self._slots = {"inserted": make_weak_slot(self._inserted), "removed": make_weak_slot(self._removed)}
        for name, slot in self._slots.items():
            getattr(explorer.viewer.layers.events, name).connect(slot)

    def release(self) -> None:
        """Listen no longer."""
        for name, slot in self._slots.items():
            getattr(self._explorer.viewer.layers.events, name).disconnect(slot)

    def _inserted(self, event: Any) -> None:
        source = event.value.source
        if source.path is None or source.reader_plugin in (None, PLUGIN):
            return
        path = Path(source.path)
        kind = describe_own_file(path)
        if kind:
            button = "Folder…" if path.is_dir() else "Open…"
            sentence = (
                f"{path.name} is for this window ({kind}); napari's own reader has taken it for bare numbers: delete "
                f"the layer “{event.value.name}”, then press {button} above, or choose {PLUGIN} in napari's dialog."
            )
            self._told[event.value] = sentence
            self._explorer.show_message(sentence, error=True)

    def _removed(self, event: Any) -> None:
        sentence = self._told.pop(event.value, None)
        if sentence is not None and self._explorer.message.text() == sentence:
            self._explorer.forget_error()


def describe_own_file(path: Path) -> str:
    """What the explorer would open a folder, a FITS file or a table as; nothing where it would not.

    Parameters
    ----------
    path : Path
    """
    if path.is_dir():
        return "a galaxy's folder" if holds_cube(path) else "the folder of a training" if is_bundle_path(path) else ""
    if not path.is_file():
        return ""
    kind = identify_file(path).kind if is_fits_name(path) else "unknown"
    if kind == "unknown" and holds_estimates(path):
        return "a table of estimates"
    if is_fits_name(path) and holds_map_image(path):
        return "a saved map"
    return KINDS[kind] if kind in ("cube", "result") else ""
