"""What the program runs on and how much memory it holds, in the title of the Network section."""

from __future__ import annotations

import sys
from collections.abc import Callable

import psutil
from qtpy.QtCore import QTimer

from napari_sfh._qt.widgets.small_widgets import Section
from napari_sfh.errors import SfhInputError

#: Milliseconds between two looks at the memory; one takes some tens of microseconds.
LOOK_MS = 2000
_GB = 1e9


def format_device(name: str) -> str:
    """The device of a choice (``auto``, ``cpu``, ``cuda``, ``mps``) and its memory, as far as torch is loaded."""
    if "torch" not in sys.modules:
        return name
    from napari_sfh.model.inference import choose_device

    try:
        device = choose_device(name)
    except SfhInputError:
        return f"no {name} here"
    if device.type != "cuda":
        return device.type
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return f"{torch.cuda.get_device_name(device)}, {(total - free) / _GB:.1f} of {total / _GB:.0f} GB"


def format_memory() -> str:
    """Main memory that this program holds, of that which the machine has."""
    return f"{psutil.Process().memory_info().rss / _GB:.1f} of {psutil.virtual_memory().total / _GB:.0f} GB"


class MachineTitle:
    """Keeps a section's title up to date.

    Parameters
    ----------
    section : Section
    device : callable
        Returns the chosen device's name.
    """

    def __init__(self, section: Section, device: Callable[[], str]) -> None:
        self._section, self._device = section, device
        self._title = section.toggle.text()
        self._timer = QTimer(section)  # a window that closes ends it, without a word to us
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        self.look()

    def look(self) -> None:
        """Say anew what is used."""
        text = f"{self._title}  ·  {format_device(self._device())}  ·  {format_memory()}"
        if text != self._section.toggle.text():
            self._section.toggle.setText(text)

    def release(self) -> None:
        """No more looks."""
        self._timer.stop()
