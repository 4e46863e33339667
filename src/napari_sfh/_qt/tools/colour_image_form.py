"""The fields of the tool 'HST and contours'."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import ComboBox, FloatSlider, LineEdit, PushButton, SpinBox

from napari_sfh._qt.forms.fields import make_form, make_note_label, narrow_combo_box
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh.analysis.colour_image import ColourStretch
from napari_sfh.analysis.gas.line_maps import LINES
from napari_sfh.errors import SfhInputError

#: In the list of contours.
NO_CONTOURS = "none"
#: Colours of contours that are told apart by the colour-blind, on dark and light maps.
LINE_COLORS = ("white", "black", "#e69f00", "#56b4e9", "#f0e442", "#d55e00")


def parse_levels(text: str) -> tuple[float, ...]:
    """Levels of contours that are typed, rising; none where the field is empty.

    Raises
    ------
    SfhInputError
        Something in it is no number.
    """
    try:
        return tuple(sorted({float(word) for word in text.replace(",", " ").replace("−", "-").split()}))
    except ValueError:
        raise SfhInputError(f"contour levels: {text!r} given; type numbers separated by blanks, or none") from None


class ColourImageForm:
    """How the mosaics are painted, and what contours are drawn."""

    def __init__(self) -> None:
        self.show = PushButton(
            text="Show HST colours",
            tooltip="Red, green, blue: F814W, F555W, F438W, or what there is of the mosaics under Data (Alt+U)",
        )
        self.brightness = FloatSlider(
            label="Brightness",
            value=0.0,
            min=-3.0,
            max=5.0,
            step=0.25,
            tooltip="In factors of two; at 0 the field's mean light is a third of white",
        )
        self.softening = FloatSlider(
            label="Stretch",
            value=8.0,
            min=1.0,
            max=60.0,
            step=1.0,
            tooltip="Lupton's Q: to the right, bright cores and faint outskirts are seen at once",
        )
        self.opacity = FloatSlider(
            label="Opacity",
            value=0.5,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="Of what lies above the HST image: map, line map or difference",
        )
        self._add_contour_fields()
        self.unit, self.note = make_note_label(), make_note_label()
        self.save = PushButton(
            text="Save picture…", tooltip="HST colours, the map above them and the contours, north up: PNG, PDF or SVG"
        )
        lines = [self.typed_levels, self.unit, narrow_combo_box(self.line_color), self.line_width, self.note, self.save]
        rows = [self.show, self.brightness, self.softening, self.opacity]
        self.container = make_form([*rows, narrow_combo_box(self.contours), self.levels, *lines])

    def _add_contour_fields(self) -> None:
        self.contours = ComboBox(
            label="Contours",
            value=NO_CONTOURS,
            choices=[(NO_CONTOURS, NO_CONTOURS), *((title, name) for name, title in tool_tasks.CONTOURS.items())],
            tooltip="Of a line or a map; lines come from the MAPS file, else they are measured in the bins' spectra",
        )
        self.levels = SpinBox(
            label="Levels",
            value=5,
            min=1,
            max=20,
            tooltip="Number of contours: in equal ratios for lines, in equal steps for maps; their values stand below",
        )
        self.typed_levels = LineEdit(
            label="Typed levels",
            tooltip="Values of the contours, in the unit below, separated by blanks; empty: chosen",
        )
        self.typed_levels.native.setPlaceholderText("chosen")
        self.line_color = ComboBox(
            label="Lines",
            choices=list(LINE_COLORS),
            value="white",
            tooltip="Colour of the contours",
        )
        self.line_width = FloatSlider(
            label="Width", value=1.0, min=0.25, max=4.0, step=0.25, tooltip="Of the contours, times the usual one"
        )

    def offer_contours(self, names: Sequence[str]) -> None:
        """Lines, and of the maps those with these names; the one that is chosen stays if it is among them."""
        there = {name: title for name, title in tool_tasks.CONTOURS.items() if name in names or name in LINES}
        self.contours.choices = [(NO_CONTOURS, NO_CONTOURS), *((title, name) for name, title in there.items())]

    @property
    def look(self) -> ColourStretch:
        """The sliders' look."""
        return ColourStretch(2.0 ** float(self.brightness.value), float(self.softening.value))
