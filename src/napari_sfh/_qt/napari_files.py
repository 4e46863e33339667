"""What napari opens: our reader is the preset for our results by their names, and is ticked in napari's dialog for
whatever is ours by its content; what another reader made of a file of ours is told."""

from __future__ import annotations

import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDialog, QMainWindow, QRadioButton, QWidget

from napari_sfh._qt.canvas.map_files import holds_map_image
from napari_sfh._qt.forms.settings import PLUGIN
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.startup import has_marker, set_marker
from napari_sfh.analysis.objects.estimate_table import holds_estimates
from napari_sfh.io.fits_access import is_fits_name
from napari_sfh.io.identify import KINDS, identify_file

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


class ReaderTick(QObject):
    """Ticks our reader where napari asks which one shall take a file that is ours by its content.

    napari knows readers by patterns of names alone, and ticks the first in the alphabet: its own, which would make bare
    numbers of a result.

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
        """A child that has come may be the dialog: it is when it has been made."""
        if event is not None and event.type() == QEvent.Type.ChildAdded:
            QTimer.singleShot(0, make_weak_slot(self._tick))
        return False

    def _tick(self, _: Any = None) -> None:
        for dialog in self._asker.findChildren(QDialog, _READER_DIALOG):
            path = Path(str(getattr(dialog, "_current_file", "")))
            for button in dialog.findChildren(QRadioButton):
                if button.text() == PLUGIN and describe_own_file(path):
                    button.setChecked(True)

    def release(self) -> None:
        """Leave the questions as they are."""
        with suppress(RuntimeError):  # it may have gone with its window
            self._asker.removeEventFilter(self)
            self.deleteLater()


def set_own_reader(window: QMainWindow) -> ReaderTick | None:
    """Have `ReaderTick` watch a napari window; None where it has no such questions."""
    asker = getattr(window, "_qt_viewer", None)
    return None if asker is None else ReaderTick(asker)


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
            sentence = (
                f"{path.name} is a file of this window ({kind}), which napari's own reader has taken for bare numbers: "
                f"delete the layer “{event.value.name}”, then press Open… above, or choose {PLUGIN} in napari's dialog."
            )
            self._told[event.value] = sentence
            self._explorer.show_message(sentence, error=True)

    def _removed(self, event: Any) -> None:
        sentence = self._told.pop(event.value, None)
        if sentence is not None and self._explorer.message.text() == sentence:
            self._explorer.forget_error()


def describe_own_file(path: Path) -> str:
    """What the explorer would open a FITS file or a table as; nothing where it would not.

    Parameters
    ----------
    path : Path
    """
    if not path.is_file():
        return ""
    kind = identify_file(path).kind if is_fits_name(path) else "unknown"
    if kind == "unknown" and holds_estimates(path):
        return "a table of estimates"
    if is_fits_name(path) and holds_map_image(path):
        return "a saved map"
    return KINDS[kind] if kind in ("cube", "result") else ""
