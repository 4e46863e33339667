"""Messages in the words of the window: settings by the labels of their controls, not by options."""

from __future__ import annotations

from collections.abc import Mapping

from napari_sfh.config import SETTINGS, name_settings

#: What the window calls a setting.
SETTING_LABELS: Mapping[str, str] = {name: f"“{setting.label}”" for name, setting in SETTINGS.items()}


def name_form_labels(sentence: str) -> str:
    """A message with its settings named as the forms name them."""
    return name_settings(sentence, SETTING_LABELS)
