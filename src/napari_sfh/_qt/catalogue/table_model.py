"""A table of estimates as rows of a Qt view, sorted by any column; texts are made when they are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_sfh._qt.widgets.wording import escape_tip
from napari_sfh.analysis.bin_properties import describe_flags
from napari_sfh.analysis.objects.estimate_table import IDENTIFIERS, EstimateTable
from napari_sfh.physics.quantities import QUANTITIES


class EstimateTableModel(QAbstractTableModel):
    """Rows in the order of a column.

    Parameters
    ----------
    table : EstimateTable

    Attributes
    ----------
    order : int array (N,)
        Row of the table at each line.
    columns : tuple of str
        Identifiers first, then what was estimated, S/N and flags, then all else.
    """

    def __init__(self, table: EstimateTable) -> None:
        super().__init__()
        self.table = table
        self.order: NDArray[np.intp] = np.arange(table.n_rows)
        self.columns = list_columns(table)
        self._flags = table.find_own("FLAG")
        self._tips = {name: escape_tip(_describe_column(table, name)) for name in self.columns}

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
        return self.table.n_rows

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The text of a cell; flags say in words what they are."""
        name = self.columns[index.column()]
        value = self.table.table[name][self.order[index.row()]]
        if role == Qt.ItemDataRole.DisplayRole:
            return format_cell(value)
        if role == Qt.ItemDataRole.ToolTipRole:
            return describe_flags(int(value)) if name == self._flags else escape_tip(f"{name}: {value}")
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of columns, and numbers of rows from 1."""
        if orientation == Qt.Orientation.Vertical:
            return int(self.order[section]) + 1 if role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section]
        return self._tips[self.columns[section]] if role == Qt.ItemDataRole.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; rows without a value come last."""
        name = self.columns[column]
        self.layoutAboutToBeChanged.emit()
        if column < 0:
            self.order = np.arange(self.table.n_rows)
        elif name in self.table.numeric:
            values = self.table.read_numbers(name)
            keys = values if order == Qt.SortOrder.AscendingOrder else -values
            self.order = np.argsort(keys, kind="stable")
        else:
            self.order = np.argsort(np.asarray(self.table.table[name]).astype(str), kind="stable")
            if order == Qt.SortOrder.DescendingOrder:
                self.order = self.order[::-1]
        self.layoutChanged.emit()

    def find_lines(self, rows: tuple[int, ...]) -> NDArray[np.intp]:
        """Lines of the view at which rows stand, sorted."""
        line_of = np.empty(self.table.n_rows, dtype=np.intp)
        line_of[self.order] = np.arange(self.table.n_rows)
        return np.sort(line_of[list(rows)])


def list_columns(table: EstimateTable) -> tuple[str, ...]:
    """Identifiers first, then what was estimated, S/N and flags, then the rest."""
    names = list(table.table.colnames)
    texts = [name for name in names if table.table[name].dtype.kind in "SUO"]
    own = [found for name in ("OOD", "SNR", "FLAG") if (found := table.find_own(name))]
    named = [name for name in names if name.lower() in (*IDENTIFIERS, "redshift", "z")]
    return tuple(dict.fromkeys([*texts, *named, *table.quantities.values(), *own, *names]))


def _describe_column(table: EstimateTable, name: str) -> str:
    """What a column is, for its tip."""
    key = next((key for key, column in table.quantities.items() if column == name), "")
    if key in QUANTITIES:
        return f"{QUANTITIES[key].label}: median of the posterior; _P16 and _P84 are its interval"
    known = {
        table.find_own("OOD"): "Above 1: unlike the training set, not to be believed",
        table.find_own("SNR"): "Median S/N of the bands, or of the spectrum per pixel",
        table.find_own("FLAG"): "Why a row deserves care; point at a number for its words",
    }
    unit = table.table[name].unit
    return known.get(name, name if unit is None else f"{name} ({unit})")


def format_cell(value: Any) -> str:
    """A value of a cell as text."""
    if value is np.ma.masked:
        return "–"
    if isinstance(value, float | np.floating):
        value = float(value)
        if not np.isfinite(value):
            return "–"
        return f"{value:.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:.6g}"
    return value.decode() if isinstance(value, bytes) else str(value)
