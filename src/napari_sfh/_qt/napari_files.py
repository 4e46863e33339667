"""What napari opens by itself: our reader is the preset for our results; what another one made of ours is told."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari_sfh._qt.canvas.map_files import holds_map_image
from napari_sfh._qt.forms.settings import PLUGIN
from napari_sfh._qt.widgets.small_widgets import make_weak_slot
from napari_sfh._qt.widgets.startup import has_marker, set_marker
from napari_sfh.io.fits_access import is_fits_name
from napari_sfh.io.identify import KINDS, identify_file

#: Names that a run and *Save result* give to results, as napari's preferences match them.
RESULT_PATTERN = "*_sfh.fits"
#: Says that the preset was made; who takes it out of the preferences does not find it there again.
_PRESET = "reader-preset"


def set_reader_preset() -> None:
    """Let napari open results by our reader without a question; another reader that the user has chosen stays."""
    from napari.plugins.utils import get_preferred_reader
    from napari.settings import get_settings

    plugins = get_settings().plugins
    if has_marker(_PRESET) or get_preferred_reader(RESULT_PATTERN.replace("*", "galaxy")) is not None:
        return
    plugins.extension2reader = {**plugins.extension2reader, RESULT_PATTERN: PLUGIN}
    set_marker(_PRESET)


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
    """What the explorer would open a FITS file as; nothing where it would not.

    Parameters
    ----------
    path : Path
    """
    if not (is_fits_name(path) and path.is_file()):
        return ""
    if holds_map_image(path):
        return "a saved map"
    kind = identify_file(path).kind
    return KINDS[kind] if kind in ("cube", "result") else ""
