"""The tool 'Notes of the run': what was assumed, left out and measured on the way; warnings first."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_sfh._qt.tools.base import Host, Tool
from napari_sfh._qt.widgets.wording import name_form_labels
from napari_sfh.types import Result

WARNING = "WARNING"
NOTHING_ASSUMED = "Nothing had to be assumed."


def list_notes(result: Result) -> list[str]:
    """Notes of a result, those with a warning first."""
    notes = [note for note in str(result.settings.get("notes", "")).split(" | ") if note]
    return sorted(map(name_form_labels, notes), key=lambda note: WARNING not in note)


def format_notes(notes: list[str]) -> str:
    """Notes as a list; warnings stand out."""
    if not notes:
        return NOTHING_ASSUMED
    rows = [f"<b>{escape(note)}</b>" if WARNING in note else escape(note) for note in notes]
    return "<br>".join(f"• {row}" for row in rows)


class NotesTool(Tool):
    """The notes of the result that is shown; the section opens by itself when there is a warning."""

    name = "notes"
    title = "Notes of the run"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.label = QLabel(NOTHING_ASSUMED)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setContentsMargins(6, 2, 6, 2)
        self.container = self.label

    def on_result(self, result: Result | None) -> None:
        """Show its notes."""
        notes = [] if result is None else list_notes(result)
        self.label.setText(format_notes(notes))
        if self.section is not None and any(WARNING in note for note in notes):
            self.section.expand(True)
