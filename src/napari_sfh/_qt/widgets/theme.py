"""Colours of the plots, taken from napari's theme."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

#: Size of the letters in plots and beside them.
POINTS = 9


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``."""

    background: str
    text: str
    faint: str
    data: str
    model: str
    residual: str
    error: str


def get_palette(theme_id: str) -> Palette:
    """Colours that read well on the theme's background: dark on light themes, light on dark ones."""
    theme = get_theme(theme_id)
    background = theme.background.as_hex("long")
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
    if dark:
        return Palette(background, theme.text.as_hex("long"), "#8a93a5", "#c8ccd4", "#ff9d4d", "#7fb8e6", "#ff6b6b")
    return Palette(background, theme.text.as_hex("long"), "#6b7280", "#4b5563", "#c2410c", "#1d6fa5", "#b3001b")
