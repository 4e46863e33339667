"""Table, scatter plot and estimates of a catalogue, linked: what is selected in one is selected in all."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, PushButton
from qtpy.QtCore import QItemSelection, QItemSelectionModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_sfh._qt.catalogue.row_selection import RowSelection
from napari_sfh._qt.catalogue.table_model import EstimateTableModel
from napari_sfh._qt.plots.estimate_plots import MAX_OBJECTS, EstimatePlots
from napari_sfh._qt.plots.scatter_plot import ScatterPlot
from napari_sfh._qt.widgets.theme import POINTS, Palette, get_palette
from napari_sfh.analysis.bin_properties import ScalarEstimate, describe_flags
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import NO_MISFIT_FLAG

#: Stretch of table, scatter plot and estimates.
PART_STRETCH = (5, 4, 5)
#: Pixels beside the name of a column: its padding, bold letters and the arrow of the sorted one.
HEADER_MARGIN = 30
#: Begin of a cell whose words are not broken into lines.
_WHOLE_CELL = '<td style="white-space: nowrap">'
EMPTY = "Click a row or a point, or drag a lasso around points."


class CataloguePanel(QWidget):
    """What a table of estimates holds.

    Parameters
    ----------
    selection : RowSelection
    theme : str
        Id of napari's theme.
    on_save, on_corner : callables
        Called by the buttons.
    """

    def __init__(
        self, selection: RowSelection, theme: str, on_save: Callable[[], None], on_corner: Callable[[], None]
    ) -> None:
        super().__init__()
        self.selection, table = selection, selection.table
        self._colors = colors = get_palette(theme)
        self.model = EstimateTableModel(table)
        self.view = self._make_view()
        self.scatter, self.estimates = ScatterPlot(colors), EstimatePlots(colors)
        self.estimates.set_population({key: table.read_numbers(name) for key, name in table.quantities.items()})
        first, second = _choose_axes(table)
        self.x_field = _make_axis_field("X", table, first)
        self.y_field = _make_axis_field("Y", table, second)
        self.save_button = PushButton(text="Save rows…", tooltip="The selected rows (none: all) as FITS, ECSV or CSV")
        self.corner_button = PushButton(
            text="Corner plot…", tooltip="The joint posterior of the first selected row, drawn anew from its bands"
        )
        self.save_button.changed.connect(lambda _: on_save())
        self.corner_button.changed.connect(lambda _: on_corner())
        self.words = QLabel(EMPTY)
        self.words.setWordWrap(True)  # flags are long, and stand beside each other
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setStyleSheet(f"QLabel {{ font-size: {POINTS}pt; }}")
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._arrange()
        self._picker: Any = self.view.selectionModel()
        self._connect()
        self._draw_scatter()
        self.refresh()

    def _make_view(self) -> QTableView:
        view = QTableView()
        self.model.setParent(view)
        view.setModel(self.model)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        view.setSortingEnabled(True)
        view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        headers: Any = view.verticalHeader(), view.horizontalHeader()
        for header, size in zip(headers, (20, 86)):
            header.setDefaultSectionSize(size)
        for column, name in enumerate(self.model.columns):
            width = headers[1].fontMetrics().horizontalAdvance(name) + HEADER_MARGIN
            view.setColumnWidth(column, max(view.columnWidth(column), width))
        return view

    def _arrange(self) -> None:
        fields = Container(
            widgets=[self.x_field, self.y_field, self.save_button, self.corner_button],
            layout="horizontal",
            labels=True,
        )
        fields.margins = (0, 0, 0, 0)
        top = QHBoxLayout()
        top.addWidget(fields.native)
        self.count = QLabel()
        top.addWidget(self.count, 1)
        right = QWidget()
        inside = QVBoxLayout(right)
        inside.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(self.words)
        inside.addWidget(self.estimates, 3)
        inside.addWidget(scroll, 2)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        parts: tuple[QWidget, ...] = (self.view, self.scatter, right)
        for part, stretch in zip(parts, PART_STRETCH):
            self.splitter.addWidget(part)
            self.splitter.setStretchFactor(self.splitter.count() - 1, stretch)
        self.splitter.setSizes([100 * stretch for stretch in PART_STRETCH])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(2)
        layout.addLayout(top)
        layout.addWidget(self.splitter, 1)
        self.setMinimumHeight(300)

    def _connect(self) -> None:
        self.selection.changed.connect(self.refresh)
        for field in (self.x_field, self.y_field):
            field.changed.connect(self._draw_scatter)
        self.scatter.box.picked.connect(self._picked)
        self.scatter.box.lassoed.connect(self.selection.select)
        self._picker.selectionChanged.connect(self._lines_selected)
        self.model.layoutChanged.connect(self._show_lines)

    def _picked(self, row: int, add: bool) -> None:
        self.selection.select([row], add)

    def _draw_scatter(self, _: object = None) -> None:
        table, x, y = self.selection.table, str(self.x_field.value), str(self.y_field.value)
        labels = format_axis_label(table, x), format_axis_label(table, y)
        self.scatter.draw(table.read_numbers(x), table.read_numbers(y), labels)
        self.scatter.mark(self.selection.rows)

    def _lines_selected(self, *_: object) -> None:
        lines = sorted({index.row() for index in self._picker.selectedRows()})
        rows = [int(self.model.order[line]) for line in lines]
        kept = [row for row in self.selection.rows if row in set(rows)]
        self.selection.select([*kept, *(row for row in rows if row not in set(kept))])

    def refresh(self, _: object = None) -> None:
        """Show what is selected everywhere."""
        rows, table = self.selection.rows, self.selection.table
        self._show_lines()
        self.scatter.mark(rows)
        shown = rows[:MAX_OBJECTS]
        self.estimates.draw([table.list_estimates(row) for row in shown])
        self.words.setText(format_row_words(table, shown, self._colors) if rows else EMPTY)
        more = f"; the plots on the right show the first {MAX_OBJECTS}" if len(rows) > MAX_OBJECTS else ""
        self.count.setText(f"{len(rows)} of {table.n_rows} rows selected{more}")
        self.corner_button.enabled = bool(rows)

    def _show_lines(self) -> None:
        """Select the rows' lines in the view, without telling."""
        lines = self.model.find_lines(self.selection.rows)
        chosen, last = QItemSelection(), self.model.columnCount() - 1
        for run in np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1) if lines.size else []:
            chosen.select(self.model.index(int(run[0]), 0), self.model.index(int(run[-1]), last))
        blocked = self._picker.blockSignals(True)
        self._picker.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._picker.blockSignals(blocked)
        viewport: Any = self.view.viewport()
        viewport.update()
        if lines.size and not self.view.hasFocus():
            self.view.scrollTo(self.model.index(int(lines[0]), 0))

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme."""
        self._colors = get_palette(theme)
        for plot in (self.scatter, self.estimates):
            plot.set_colors(self._colors)
        self.refresh()

    def release(self) -> None:
        """Listen no longer."""
        self.selection.changed.disconnect(self.refresh, missing_ok=True)
        self.scatter.release()
        self.estimates.release()


def _choose_axes(table: EstimateTable) -> tuple[str, str]:
    """An age against a metallicity, where the weights tell them."""
    told = table.quantities
    age = next((told[key] for key in ("lg_age", "lg_age_lw", "lg_age_mw", "t50") if key in told), table.numeric[0])
    others = [told[key] for key in ("mh_mw", "mh_lw") if key in told]
    others += [name for name in (*told.values(), table.find_own("SNR"), age) if name and name != age]
    return age, (*others, age)[0]


def _make_axis_field(label: str, table: EstimateTable, chosen: str) -> ComboBox:
    field = ComboBox(
        label=label, choices=list(table.numeric), value=chosen, tooltip=f"Column on the scatter plot's {label} axis"
    )
    field.native.setMaximumWidth(130)
    return field


def format_axis_label(table: EstimateTable, column: str) -> str:
    """Label of a column on an axis: a quantity's title and unit, or the column's own name.

    Parameters
    ----------
    table : EstimateTable
    column : str
        Of the table.
    """
    key = next((key for key, name in table.quantities.items() if name == column), "")
    return QUANTITIES[key].label if key in QUANTITIES else column


def format_row_words(table: EstimateTable, rows: tuple[int, ...], colors: Palette) -> str:
    """The numbers of rows side by side, in their colours, as rich text.

    Parameters
    ----------
    table : EstimateTable
    rows : tuple of int
        From 0.
    colors : Palette
        Of the theme.
    """
    heads = "".join(
        f'<td style="white-space: nowrap; color:{colors.shade(choose_color(k))}">■ {escape(table.name_row(row))}</td>'
        for k, row in enumerate(rows)
    )
    told = [table.list_estimates(row) for row in rows]
    lines = []
    for k, key in enumerate(table.quantities):
        title = QUANTITIES[key].label if key in QUANTITIES else key
        cells = "".join(f"{_WHOLE_CELL}{_format_interval(each[k])}</td>" for each in told)
        lines.append(f"<tr>{_WHOLE_CELL}{escape(title)}</td>{cells}</tr>")
    lines += _format_quality(table, rows)
    return f'<table cellspacing="0" cellpadding="3"><tr><td></td>{heads}</tr>{"".join(lines)}</table>'


def _format_interval(one: ScalarEstimate) -> str:
    """Median and interval without the unit, which stands before them."""
    text = f"{one.value:z.2f}&nbsp;({one.low:z.2f}–{one.high:z.2f})" if np.isfinite(one.value) else "–"
    return text.replace("-", "−")


def _format_quality(table: EstimateTable, rows: tuple[int, ...]) -> list[str]:
    lines = []
    for name, title in (("OOD", "Depth"), ("FLAG", "Flags")):
        column: Any = table.find_own(name)
        if column:
            values = [table.table[column][row] for row in rows]
            texts = [describe_flags(int(v)) if name == "FLAG" else f"{float(v):z.2f}" for v in values]
            lines.append(f"<tr><td>{title}</td>{''.join(f'<td>{text}</td>' for text in texts)}</tr>")
    if table.meta.get("MISFIT") in ("F", "False"):
        lines.append(f'<tr><td></td><td colspan="{len(rows)}">{NO_MISFIT_FLAG}</td></tr>')
    return lines
