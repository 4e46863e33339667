"""Colours of the plots, taken from napari's theme."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

from napari_sfh.figures.line_colors import choose_thin_color, make_readable, recolor_line, recolor_lines

#: Size of the letters in plots and beside them.
POINTS = 9
#: Contrast of points of which many lie upon each other, and of those that do not count.
_POINTS_CONTRAST, _OTHERS_CONTRAST = 4.5, 3.0


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``; those that are translucent as ``#rrggbbaa``."""

    background: str
    text: str
    faint: str
    data: str
    model: str
    residual: str
    error: str

    @property
    def points(self) -> str:
        """Of points that stand for bins: each is seen, and where many lie it is denser."""
        return choose_thin_color(self.data, self.background, _POINTS_CONTRAST)

    @property
    def others(self) -> str:
        """Of points that do not count."""
        return choose_thin_color(self.faint, self.background, _OTHERS_CONTRAST)

    @property
    def pale(self) -> str:
        """Of broad lines below thin ones."""
        return choose_thin_color(self.text, self.background, _OTHERS_CONTRAST)

    def shade(self, color: str) -> str:
        """How a bin's, region's or answer's colour is drawn on this background."""
        return recolor_line(color, self.background)

    def shade_all(self, colors: list[str]) -> list[str]:
        """The same of several."""
        return recolor_lines(colors, self.background)

    def make_readable(self, color: str) -> str:
        """A colour that has a meaning of its own, changed no more than it must to be seen on this background."""
        return make_readable(color, self.background)


def get_palette(theme_id: str) -> Palette:
    """Colours that read well on the theme's background: dark on light themes, light on dark ones."""
    theme = get_theme(theme_id)
    background = theme.background.as_hex("long")
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
    if dark:
        return Palette(background, theme.text.as_hex("long"), "#8a93a5", "#c8ccd4", "#ff9d4d", "#7fb8e6", "#ff6b6b")
    return Palette(background, theme.text.as_hex("long"), "#6b7280", "#4b5563", "#c2410c", "#1d6fa5", "#b3001b")
