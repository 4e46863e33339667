"""What is shown and what is selected: the state behind the explorer's widgets. No Qt.

Every act of the window is a method here, so that a script or a notebook can do the same; widgets only listen to the
signals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sfh.analysis.bin_view import COLORS, BinView
from napari_sfh.analysis.outlines import trace_outline
from napari_sfh.analysis.regions import Outline, Spread, Weight, average_bin_views, find_bins_in_outlines
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.types import Result

#: Unit steps on the sky, (Dec, RA), by the name of an arrow key: east is left.
ARROWS: dict[str, tuple[float, float]] = {"Up": (1, 0), "Down": (-1, 0), "Left": (0, 1), "Right": (0, -1)}


class Session:
    """A result, the bin that is selected in it, and the bins compared with it.

    Attributes
    ----------
    result : Result or None
    sky : SkyGrid
        Of the result's maps; only when there is a result.
    selected : int
        Number of the selected bin, 0 = none.
    compared : tuple of int
        Further bins whose SFHs are drawn with the selected one's.
    pinned : tuple of int
        Bins that stay while others are clicked.
    region : BinView or None
        Mean of a region, drawn first.
    """

    selection_changed = Signal(int)

    def __init__(self) -> None:
        self.result: Result | None = None
        self.selected = 0
        self.compared: tuple[int, ...] = ()
        self.pinned: tuple[int, ...] = ()
        self.region: BinView | None = None
        self._sky: SkyGrid | None = None

    @property
    def sky(self) -> SkyGrid:
        """Geometry of the result's maps."""
        if self._sky is None:
            raise LookupError("No result is loaded: run the pipeline or open a result file first.")
        return self._sky

    @property
    def n_bins(self) -> int:
        """Number of bins of the result, 0 without one."""
        return 0 if self.result is None else self.result.bins.n_bins

    @property
    def shown(self) -> tuple[int, ...]:
        """The selected bin (if any), the pinned and the compared ones, each once, in the order of `COLORS`."""
        every = ((self.selected,) if self.selected else ()) + self.pinned + self.compared
        return tuple(dict.fromkeys(every))[: len(COLORS)]

    def set_result(self, result: Result | None) -> None:
        """Show another result; the selection is emptied."""
        self.result = result
        self._sky = None if result is None else SkyGrid.of(result.wcs, result.bins.bin_id.shape)
        self.selected, self.compared, self.pinned, self.region = 0, (), (), None
        self.selection_changed.emit(0)

    def select(self, bin_id: int) -> None:
        """Select a bin (clipped to those that exist; 0 = none)."""
        bin_id = int(np.clip(bin_id, 0, self.n_bins))
        if bin_id != self.selected:
            self.selected = bin_id
            self.compared = tuple(b for b in self.compared if b != bin_id)
            self.selection_changed.emit(bin_id)

    def toggle_compared(self, bin_id: int) -> None:
        """Add a bin to the comparison, or take it out; the oldest leaves when there are more than own."""
        if not 1 <= bin_id <= self.n_bins:
            return
        if not self.selected:
            self.select(bin_id)
            return
        if bin_id in self.compared:
            self.compared = tuple(b for b in self.compared if b != bin_id)
        elif bin_id != self.selected:
            self.compared = (*self.compared, bin_id)[-(len(COLORS) - 1) :]
        self.selection_changed.emit(self.selected)

    def toggle_pinned(self, bin_id: int = 0) -> None:
        """Pin a bin (default: the selected one), or let it go; the oldest pin leaves when there are too many."""
        bin_id = bin_id or self.selected
        if not 1 <= bin_id <= self.n_bins:
            return
        if bin_id in self.pinned:
            self.pinned = tuple(b for b in self.pinned if b != bin_id)
        else:
            self.pinned = (*self.pinned, bin_id)[-(len(COLORS) - 2) :]
            self.compared = tuple(b for b in self.compared if b != bin_id)
        self.selection_changed.emit(self.selected)

    def set_region(
        self,
        outlines: Sequence[Outline | NDArray[np.floating]],
        weight: Weight = "mass",
        spread: Spread = "scatter",
    ) -> int:
        """Show the mean SFH of the bins inside outlines; none, or none with bins, ends it.

        Parameters
        ----------
        outlines : sequence of Outline or arrays (n, 2)
            Corners (y, x) in pixels of the maps; an `Outline` may be a hole.
        weight : {"mass", "light"}
        spread : {"scatter", "error"}
            What the bands are, see `regions.average_bin_views`.

        Returns
        -------
        int
            Number of bins inside.
        """
        rows = np.empty(0, dtype=np.intp)
        if self.result is not None and len(outlines):
            rows = find_bins_in_outlines(
                self.result, [o if isinstance(o, Outline) else Outline(np.asarray(o, dtype=float)) for o in outlines]
            )
        self.region = None
        try:
            if self.result is not None and rows.size:
                self.region = average_bin_views(self.result, rows, weight, spread)
        finally:
            self.selection_changed.emit(self.selected)
        return int(rows.size)

    def state(self) -> dict[str, Any]:
        """What a workspace keeps."""
        return {"selected": self.selected, "compared": list(self.compared), "pinned": list(self.pinned)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Select what `state` told; bins that the result does not have are left out."""
        self.select(int(state.get("selected", 0)))
        for bin_id in state.get("pinned", []):
            if bin_id not in self.pinned:
                self.toggle_pinned(int(bin_id))
        for bin_id in state.get("compared", []):
            if bin_id not in self.shown:
                self.toggle_compared(int(bin_id))

    def clear_compared(self) -> None:
        """Show the selected bin alone."""
        if self.compared:
            self.compared = ()
            self.selection_changed.emit(self.selected)

    def step(self, by: int) -> None:
        """Go ``by`` bins on in their numbering, around the end."""
        if self.n_bins:
            first = self.selected or (0 if by > 0 else 1)
            self.select((first - 1 + by) % self.n_bins + 1)

    def go(self, arrow: str) -> None:
        """Go to the neighbouring bin in the direction of an arrow key (`ARROWS`); stay where there is none."""
        if self.result is None:
            return
        if not self.selected:
            self.select(1)
            return
        centres = self.sky.to_world(np.column_stack([self.result.bins.y, self.result.bins.x]))
        self.select(_neighbour(centres, self.selected - 1, np.array(ARROWS[arrow])) + 1)

    def bin_at(self, world: NDArray[np.floating]) -> int:
        """Bin at an offset (Dec, RA) in arcsec; 0 outside."""
        if self.result is None:
            return 0
        y, x = np.rint(self.sky.to_pixel(np.asarray(world, dtype=float)[None, :])[0]).astype(int)
        ny, nx = self.result.bins.bin_id.shape
        return int(self.result.bins.bin_id[y, x]) if 0 <= y < ny and 0 <= x < nx else 0

    def outlines(self) -> tuple[list[NDArray[np.float64]], list[str]]:
        """Pixel paths (n, 2) around the shown bins, and their own."""
        paths: list[NDArray[np.float64]] = []
        colors: list[str] = []
        if self.result is not None:
            own = COLORS[1:] if self.region is not None else COLORS
            for color, bin_id in zip(own, self.shown):
                parts = trace_outline(self.result.bins.bin_id == bin_id)
                paths += parts
                colors += [color] * len(parts)
        return paths, colors

    def views(self) -> list[BinView]:
        """What the plots show, in the order of `COLORS`: the region, the selected bin, the compared ones."""
        if self.result is None:
            return []
        first = [] if self.region is None else [self.region]
        return (first + [BinView.of(self.result, b) for b in self.shown])[: len(COLORS)]


def _neighbour(centres: NDArray[np.float64], here: int, direction: NDArray[np.float64]) -> int:
    """Index of the nearest of ``centres`` (n, 2) within 45 degrees of ``direction``; ``here`` if there is none."""
    offset = centres - centres[here]
    along = offset @ direction
    across = np.abs(offset @ direction[::-1])
    # A bin straight ahead wins over one at the side at the same distance.
    cost = np.where((along > 0) & (across <= along), np.hypot(along, 2 * across), np.inf)
    best = int(np.argmin(cost))
    return best if np.isfinite(cost[best]) else here
