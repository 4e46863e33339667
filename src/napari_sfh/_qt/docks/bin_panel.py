"""The dock below the canvas: plots and numbers of the selected bins, and the ways to another bin and to a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from magicgui.widgets import ComboBox, Container, PushButton, SpinBox
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from napari_sfh._qt.docks.bin_legend import BinLegend, LegendRow
from napari_sfh._qt.plots.bin_plots import PANELS, BinPlots
from napari_sfh._qt.plots.estimate_plots import EstimatePlots
from napari_sfh._qt.plots.time_axes import TIME_AXES
from napari_sfh._qt.session import Session
from napari_sfh._qt.widgets.flow_row import place_row
from napari_sfh._qt.widgets.small_widgets import apply_layouts, set_tip
from napari_sfh._qt.widgets.theme import POINTS, Palette, get_palette
from napari_sfh.analysis.bin_view import BinView, list_view_colors
from napari_sfh.analysis.drawing.bin_drawing import SFH_KINDS
from napari_sfh.types import Result

_EMPTY = (
    "Click a bin on the map to see its star-formation history.\nShift-click adds bins to compare; arrow keys walk on."
)


#: Width in pixels of the numbers of one bin; bins beside each other at most.
_FIRST_WIDTH, _MAX_COLUMNS = 236, 12
#: What stands in the tip of a column's head, where there are several.
_IN_HEAD = "RA, Dec"
#: Columns that have room for values with their errors; of more, the errors are in the tips.
_COLUMNS_WITH_ERRORS = 3
#: Columns that have room for the intervals of times.
_COLUMNS_WITH_INTERVALS = 2
#: Share of the dock that the numbers of several bins take at most.
_MAX_SHARE = 0.45
#: Pixels between the columns of numbers, and between some and many columns of short ones.
_COLUMN_GAP, _SOME_GAP, _BRIEF_GAP = 8, 6, 3
#: Columns of short numbers that have room between them.
_SOME_COLUMNS = 5


class NumberLabel(QLabel):
    """A number that can be marked with the mouse once this is over it: Qt lays such texts out three times as slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)

    def show_text(self, text: str) -> None:
        """Say something else."""
        if text != self.text() and not self.underMouse():
            self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self.setText(text)

    def enterEvent(self, event: Any) -> None:
        """The mouse is here."""
        super().enterEvent(event)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)


class PropertyTable(QScrollArea):
    """The numbers of the shown bins and regions beside each other, one line each, selectable with the mouse."""

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet(f"QLabel {{ font-size: {POINTS}pt; padding: 0; margin: 0; }}")
        self._heads: list[QLabel] = []
        self._labels: list[QLabel] = []
        self._values: list[list[NumberLabel]] = []
        self._columns = 1
        self._palette = palette
        self._corner = QLabel()
        body = QWidget()
        self._grid = QGridLayout(body)
        self._grid.setContentsMargins(4, 0, 0, 0)
        self._grid.setVerticalSpacing(0)
        self._grid.setHorizontalSpacing(_COLUMN_GAP)
        self._grid.addWidget(self._corner, 0, 0)
        self.setWidget(body)
        self.setFixedWidth(_FIRST_WIDTH)
        bar: Any = self.horizontalScrollBar()
        bar.rangeChanged.connect(self._widen)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.fit_width)

    def set_colors(self, palette: Palette) -> None:
        """Follow napari's theme, from the next numbers on."""
        self._palette = palette

    def show_numbers(self, views: Sequence[BinView]) -> None:
        """Fill a column for each bin or region; labels are made when they are needed first."""
        shown = list(views)[:_MAX_COLUMNS]
        several, brief = len(shown) > 1, len(shown) > _COLUMNS_WITH_ERRORS
        rows = [label for label in list_common_labels(shown) if not (several and label == _IN_HEAD)]
        self._grow(len(rows), len(shown))
        self._columns = len(shown)
        gap = _BRIEF_GAP if len(shown) > _SOME_COLUMNS else _SOME_GAP
        self._grid.setHorizontalSpacing(gap if brief else _COLUMN_GAP)
        self._corner.setText("± in tips" if brief else "")
        self._corner.setVisible(several)
        colors = self._palette.shade_all(list_view_colors(shown))
        for k, head in enumerate(self._heads):
            self._grid.setColumnStretch(k + 1, int(k < len(shown)))  # columns that are empty take no room
            head.setVisible(several and k < len(shown))
            if several and k < len(shown):
                name = escape(shown[k].name.removeprefix("bin "))
                head.setText(f'<span style="color:{colors[k]}">■</span>&nbsp;{name}')
        told = [{number.label: number for number in view.numbers} for view in shown]
        for head, numbers in zip(self._heads, told):
            set_tip(head, f"{_IN_HEAD} {numbers[_IN_HEAD].text}" if _IN_HEAD in numbers else "")
        for row, label in enumerate(self._labels):
            used = row < len(rows)
            label.setVisible(used)
            if used:
                label.setText(rows[row])
                set_tip(label, next((each[rows[row]].tip for each in told if rows[row] in each), ""))
            for k, value in enumerate(self._values[row]):
                value.setVisible(used and k < len(shown))
                value.setWordWrap(not several)
                if used and k < len(shown):
                    number = told[k].get(rows[row])
                    text, tip = ("", "") if number is None else (number.text, number.tip)
                    value.show_text(_shorten(rows[row], text, brief, len(shown)) if several else text)
                    set_tip(value, f"{text}\n{tip}".strip() if several else tip)
        self.fit_width()
        self._settle.start(0)  # labels that are new have their letters in the next turn

    def fit_width(self) -> None:
        """As wide as the columns need, within a share of what it lies in; beyond that they scroll."""
        holder, body = self.parentWidget(), self.widget()
        scroll_bar: Any = self.verticalScrollBar()
        width = _FIRST_WIDTH
        if self._columns > 1 and body is not None:
            self._grid.invalidate()
            wanted = body.sizeHint().width()
            if body.sizeHint().height() > self.height():
                wanted += scroll_bar.sizeHint().width()
            most = wanted if holder is None else round(_MAX_SHARE * holder.width())
            width = max(_FIRST_WIDTH, min(wanted, most))
        self.setFixedWidth(width)

    def _widen(self, _: int, missing: int) -> None:
        """Take the pixels that the columns lack, as far as the plots can spare them."""
        holder = self.parentWidget()
        if missing > 0 and self._columns > 1 and holder is not None:
            wanted = self.width() + missing + _COLUMN_GAP
            self.setFixedWidth(max(self.width(), min(wanted, round(_MAX_SHARE * holder.width()))))

    def _grow(self, rows: int, columns: int) -> None:
        while len(self._heads) < columns:
            head = QLabel()
            self._grid.addWidget(head, 0, len(self._heads) + 1)
            self._heads.append(head)
            for row, values in enumerate(self._values):
                values.append(self._make_value(row, len(values)))
        while len(self._labels) < rows:
            row, label = len(self._labels), QLabel()
            self._grid.addWidget(label, row + 1, 0, Qt.AlignmentFlag.AlignTop)
            self._grid.setRowStretch(row + 1, 0)
            self._grid.setRowStretch(row + 2, 1)
            self._labels.append(label)
            self._values.append([self._make_value(row, k) for k in range(len(self._heads))])

    def _make_value(self, row: int, column: int) -> NumberLabel:
        value = NumberLabel()
        self._grid.addWidget(value, row + 1, column + 1, Qt.AlignmentFlag.AlignTop)
        return value


def shorten_number(text: str, brief: bool = False) -> str:
    """A number in one short line, for a narrow column.

    Parameters
    ----------
    text : str
        As one bin alone has it.
    brief : bool
        Without its error.

    Returns
    -------
    str

    Examples
    --------
    >>> shorten_number("9.12 ± 0.11 (1.3 Gyr)"), shorten_number("9.12 ± 0.11, scatter 0.2", brief=True)
    ('9.12 ± 0.11', '9.12')
    >>> shorten_number("45 in 3 spaxels"), shorten_number("0.0123 M☉/yr over 100 Myr")
    ('45', '0.0123 M☉/yr')
    >>> shorten_number("9.0 (5.4–12.9) Gyr"), shorten_number("9.0 (5.4–12.9) Gyr", brief=True)
    ('9.0 (5.4–12.9) Gyr', '9.0 Gyr')
    """
    text = re.sub(r"\s*\((?!\d[\d.]*–)[^)]*\)| over .*", "", text)  # the interval of a time stays
    if brief:
        text = re.sub(r"\s*\([^)]*\)", "", text).partition(" ± ")[0].removesuffix(" km/s")
    return re.sub(r"^([−+\d.]+(?: ± [\d.]+)?)(?:,? [a-z].*)", r"\1", text)


def _shorten(label: str, text: str, brief: bool, columns: int) -> str:
    """A number of a bin, or how many flags it has."""
    text = text if columns <= _COLUMNS_WITH_INTERVALS else re.sub(r"\s*\([^)]*\)", "", text)
    if label != "Flags" or text.endswith(" bins"):
        return shorten_number(text, brief)
    n = len(text.split("; "))
    return text if text in ("", "none") else f"{n} flag" + "s" * (n > 1)


def list_common_labels(views: Sequence[BinView]) -> list[str]:
    """Labels of the numbers of bins and regions, each once, in the order of the first that has it."""
    return list(dict.fromkeys(number.label for view in views for number in view.numbers))


class BinPanel(QWidget):
    """Plots, numbers and controls of the bins that a `Session` shows.

    Parameters
    ----------
    session : Session
    theme : str
        Id of napari's theme.
    on_save_plots, on_save_table : callables
        Called by the buttons.
    """

    def __init__(
        self, session: Session, theme: str, on_save_plots: Callable[[], None], on_save_table: Callable[[], None]
    ) -> None:
        super().__init__()
        self._session = session
        self._palette = get_palette(theme)
        self.plots = BinPlots(self._palette)
        self.estimates = EstimatePlots(self._palette)
        self.estimates.hide()
        self._result: Result | None = None
        self.numbers = PropertyTable(self._palette)
        self.controls = self._make_controls(on_save_plots, on_save_table)
        self.legend = BinLegend()
        self._top = LegendRow(self.controls.native, self.legend)
        self._empty = QLabel(_EMPTY)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._arrange()
        session.selection_changed.connect(self.refresh)
        self.refresh()

    def _make_controls(self, on_save_plots: Callable[[], None], on_save_table: Callable[[], None]) -> Container[Any]:
        self.bin_field = SpinBox(
            value=1, min=1, max=1, label="Bin", tooltip="Number of the bin; arrow keys on the map walk"
        )
        self.kind_field = ComboBox(
            value="mass",
            choices=[(name, key) for key, (name, _) in SFH_KINDS.items()],
            label="SFH",
            tooltip="Mass formed, V-band light, or star-formation rate per age bin",
        )
        self.kind_field.min_width = 132
        self.mh_field = ComboBox(
            value="age",
            choices=[("by age", "age"), ("distribution", "distribution")],
            label="[M/H]",
            tooltip="Metallicity of each age bin, or how the mass (or light) is spread over metallicity",
        )
        self.time_field = ComboBox(
            value="log_gyr",
            choices=[(axis.name, key) for key, axis in TIME_AXES.items()],
            label="Time",
            tooltip="Axis of the lookback time. Double click on a plot: it alone; wheel: zoom; right button: menu",
        )
        self.pin_button = PushButton(text="Pin", tooltip="This bin stays while others are clicked (Alt+K)")
        self.pin_button.native.setCheckable(True)
        self.clear_button = PushButton(text="Clear", tooltip="End the comparison: show the selected bin and pins alone")
        self.plots_button = PushButton(text="Figure…", tooltip="PNG, PDF or SVG of this bin for a paper")
        self.table_button = PushButton(
            text="Tables…", tooltip="Histories, formation times, spectra and bands of the shown bins: ECSV or FITS"
        )
        self._connect_controls(on_save_plots, on_save_table)
        row = Container(
            widgets=[
                *(self.bin_field, self.kind_field, self.time_field, self.mh_field),
                *(self.pin_button, self.clear_button, self.plots_button, self.table_button),
            ],
            layout="horizontal",
            labels=True,
        )
        row.margins = (0, 0, 0, 0)
        place_row(row.native)
        return row

    def _connect_controls(self, on_save_plots: Callable[[], None], on_save_table: Callable[[], None]) -> None:
        for field, width in (
            (self.bin_field, 104),
            (self.kind_field, 132),
            (self.mh_field, 96),
            (self.time_field, 100),
        ):
            field.native.setMaximumWidth(width)
        self.bin_field.changed.connect(self._go)
        self.kind_field.changed.connect(self.plots.set_kind)
        self.mh_field.changed.connect(self.plots.set_metallicity)
        self.time_field.changed.connect(self.plots.set_time_axis)
        self.pin_button.changed.connect(self._pin)
        self.clear_button.changed.connect(self._session.clear_compared)
        self.plots_button.changed.connect(lambda _: on_save_plots())
        self.table_button.changed.connect(lambda _: on_save_table())

    def _arrange(self) -> None:
        content = QWidget()
        inside = QHBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.estimates, 1)
        inside.addWidget(self.plots, 2)
        inside.addWidget(self.numbers)
        self._stack = QStackedLayout()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(2)
        layout.addLayout(self._top)
        layout.addLayout(self._stack, 1)
        self.setMinimumHeight(230)

    def resizeEvent(self, event: Any) -> None:
        """The numbers of compared bins leave room for the plots; the legend is where it has room."""
        super().resizeEvent(event)
        self.numbers.fit_width()
        self._top.find_place(self.contentsRect().width())

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme."""
        colors: Palette = get_palette(theme)
        for part in (self.plots, self.estimates, self.numbers):
            part.set_colors(colors)
        self._palette = colors
        self.refresh()

    def _follow_result(self, result: Result | None) -> None:
        """Panels and fields for what the weights predict and were shown."""
        if result is None or result is self._result:
            return
        self._result = result
        histories, instrument = result.prediction.has_histories, result.instrument
        there = {"spectrum": instrument.n_wave > 0, "sed": instrument.n_bands > 0}
        self.plots.choose_panels([name for name in PANELS if there.get(name, histories)])
        self.estimates.setVisible(not histories)
        if not histories:
            prediction = result.prediction
            self.estimates.set_population({name: prediction.median(name) for name in prediction.scalars})
        for field in (self.kind_field, self.mh_field, self.time_field):
            field.visible = histories

    def refresh(self, _: int = 0) -> None:
        """Show what the session has selected."""
        session = self._session
        self._follow_result(session.result)
        views = session.views()
        self.controls.enabled = session.n_bins > 0
        with self.bin_field.changed.blocked():
            self.bin_field.max = max(session.n_bins, 1)
            self.bin_field.value = max(session.selected, 1)
        self._stack.setCurrentIndex(1 if views else 0)
        self.clear_button.enabled = bool(session.compared)
        self.pin_button.enabled = bool(session.selected)
        self.pin_button.native.setChecked(session.selected in session.pinned)
        for button in (self.plots_button, self.table_button):
            button.enabled = bool(views)
        self.legend.show_bins(views, session.pinned, session.describe_excess(), self._palette)
        self._top.find_place(self.contentsRect().width())
        set_tip(self.legend, f"{len(session.shown)} bins: {', '.join(map(str, session.shown))}")
        if views:
            self.plots.draw(views)
            if not views[0].has_history:
                self.estimates.draw([view.estimates for view in views], list_view_colors(views))
            self.numbers.show_numbers(views)
        apply_layouts(self.numbers.widget())

    def foresee(self, bin_id: int) -> None:
        """Prepare what a click on a bin will show."""
        if self.plots.isVisible():
            self.plots.foresee(self._session.foresee_views(bin_id))

    def release(self) -> None:
        """Listen no longer."""
        self.plots.release()
        self.estimates.release()
        self._session.selection_changed.disconnect(self.refresh, missing_ok=True)

    def _pin(self, _: object = None) -> None:
        self._session.toggle_pinned()

    def _go(self, bin_id: int) -> None:
        self._session.select(bin_id)
