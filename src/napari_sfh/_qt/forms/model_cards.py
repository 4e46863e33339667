"""The cards of the weights: what each was trained on and how well it does, read in the background."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from napari_sfh._qt.forms.run_forms import NetworkForm
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.workers import BackgroundJob
from napari_sfh._qt.widgets.small_widgets import show_text
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import read_bundle_header

NO_CARD = "No weights were found: reinstall napari-sfh, or train some with napari-sfh-train."
NO_TEXT = "These weights bring no card."


class ModelCards:
    """Reads all cards once, fills the form's list of weights, and shows a card.

    Parameters
    ----------
    parent : QWidget
        Over which a card is shown.
    network : NetworkForm
    on_read : callable
        Bound method, called when the cards are there; it is not kept alive.

    Attributes
    ----------
    texts : dict of str to str
        Markdown by name of the weights; empty until it has been read.
    reading : bool
        True until the cards have been read.
    """

    def __init__(self, parent: Any, network: NetworkForm, on_read: Callable[[], None]) -> None:
        self._parent = weakref.ref(parent)
        self._network = network
        self._on_read = weakref.WeakMethod(on_read)
        self.job = BackgroundJob(lambda _: None, self._fill, self._fail)
        self.texts: dict[str, str] = {}
        self.reading = True
        network.card.changed.connect(self.show)

    def read(self) -> None:
        """Read the cards in a thread, if they are not there yet."""
        if self.reading and not self.job.running:
            self.job.start(tasks.read_cards)

    def show(self, _: object = None) -> None:
        """Show the card of the weights that are chosen."""
        parent, name = self._parent(), self._network.chosen_model
        if parent is None:
            return
        missing = "The weights are still being read." if self.reading else NO_CARD
        text = self.texts.get(name) or missing
        if self._network.has_file:
            try:
                header = read_bundle_header(name)
                name, text = header.name, header.card or NO_TEXT
            except SfhInputError as error:
                text = str(error)
        show_text(parent, f"Model card: {name}", text, markdown=True)

    def _fill(self, cards: dict[str, str]) -> None:
        self.texts, self.reading = cards, False
        self._network.set_models(list(cards))
        on_read = self._on_read()
        if on_read is not None:
            on_read()

    def _fail(self, _: Exception) -> None:
        self.reading = False
