"""The rows of a table that are selected; table, plots and canvas listen to it. Works without Qt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from psygnal import Signal

from napari_sfh.analysis.objects.estimate_table import EstimateTable


class RowSelection:
    """Selected rows of a table, in the order in which they were selected.

    Attributes
    ----------
    table : EstimateTable
    rows : tuple of int
    """

    changed = Signal(tuple)

    def __init__(self, table: EstimateTable) -> None:
        self.table = table
        self.rows: tuple[int, ...] = ()

    def select(self, rows: Iterable[int], add: bool = False) -> None:
        """Select rows (0..N-1) in place of the others, or beside them; a selected one that is added again goes."""
        new = tuple(dict.fromkeys(int(np.clip(row, 0, self.table.n_rows - 1)) for row in rows))
        if add:
            kept = tuple(row for row in self.rows if row not in set(new))
            new = kept + tuple(row for row in new if row not in set(self.rows))
        if new != self.rows:
            self.rows = new
            self.changed.emit(new)
