"""Points of a plot that stand for bins: a click selects the bin, a lasso shows the mean history of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_sfh._qt.plots.brush import BrushBox
from napari_sfh._qt.session import Session


class BrushLink:
    """Ties a plot to a session; whoever makes it keeps it.

    Parameters
    ----------
    box : BrushBox
        Its rows are bins, 0..N-1.
    session : Session
    attempt : callable
        Calls an act and says its error.
    """

    def __init__(self, box: BrushBox, session: Session, attempt: Callable[[Callable[[], object]], object]) -> None:
        self._session, self._attempt = session, attempt
        box.picked.connect(self.pick)
        box.lassoed.connect(self.enclose)

    def pick(self, row: int, add: bool) -> None:
        """Select or compare a bin."""
        if add:
            self._session.toggle_compared(row + 1)
        else:
            self._session.clear_compared()
            self._session.select(row + 1)

    def enclose(self, rows: Any, add: bool) -> None:
        """Show the mean of bins; with Shift each of them is compared."""
        if add:
            for row in rows:
                if int(row) + 1 not in self._session.shown:
                    self._session.toggle_compared(int(row) + 1)
        else:
            self._attempt(lambda: self._session.set_plot_region(rows))
