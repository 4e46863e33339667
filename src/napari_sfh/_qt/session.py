"""What is shown and what is selected: the state behind the explorer's widgets. No Qt.

Every act of the window is a method here, so that a script or a notebook can do the same; widgets only listen to the
signals.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sfh.analysis.bin_properties import PropertyRow
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.analysis.drawing.outlines import trace_outline
from napari_sfh.analysis.regions import Outline, Spread, Weight, average_bin_views, find_bins_in_outlines
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.analysis.stellar_mass import (
    compute_total_error,
    compute_total_mass,
    compute_young_share,
    estimate_mass_error,
    estimate_sfr_error,
    find_age_edges,
)
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")
#: Unit steps on the sky, (Dec, RA), by the name of an arrow key: east is left.
ARROWS: dict[str, tuple[float, float]] = {"Up": (1, 0), "Down": (-1, 0), "Left": (0, 1), "Right": (0, -1)}


#: Bins and regions that the plots draw at once; more are told, and are in the tables.
MAX_DRAWN = 21
#: Time over which the rate of a region is averaged, Gyr.
RATE_GYR = 0.1
#: Name of the region of bins that a lasso in a plot encloses.
PLOT_REGION = "lasso in a plot"
#: Means of regions that are kept: a region that is shown again, or that a thread has averaged, is there at once.
MAX_MEANS = 12
#: What is drawn of bins is kept of so many, outlines too.
MAX_VIEWS = 64


class BinMark(NamedTuple):
    """How a bin stands out among the points of a plot."""

    row: int  # from 0
    color: str
    shown: bool  # selected, pinned or compared; else inside a region


@dataclass(frozen=True)
class NamedRegion:
    """A set of bins whose mean history is shown.

    Attributes
    ----------
    name : str
    rows : int array (M,)
        Bins, 0..N-1.
    view : BinView
    outlined : bool
        Whether the map shows the outline of its bins: it was not drawn there.
    """

    name: str
    rows: NDArray[np.integer]
    view: BinView
    outlined: bool = False


#: What `Session.prepare_means` is.
PrepareMeans = Callable[[str, Sequence[NDArray[np.integer]], Weight, Spread, Callable[[], object]], object]


def _prepare_nothing(
    _: str, rows: Sequence[NDArray[np.integer]], weight: Weight, spread: Spread, act: Callable[[], object]
) -> None:
    """The act averages what it needs."""
    act()


class Session:
    """A result, the bin that is selected in it, and the bins compared with it.

    Attributes
    ----------
    result : Result or None
    sky : SkyGrid
        Of the result's maps, or of a cube that was not run yet.
    selected : int
        Number of the selected bin, 0 = none.
    compared : tuple of int
        Further bins whose SFHs are drawn with the selected one's.
    pinned : tuple of int
        Bins that stay while others are clicked.
    regions : tuple of NamedRegion
        Their means are drawn first.
    prepare_means : callable
        Given who asks, the bins of regions, what they are weighted by, what their bands show, and an act: calls the act
        when `average` has the means at hand. A window has those of many bins averaged in a thread.
    """

    selection_changed = Signal(int)

    def __init__(self) -> None:
        self.result: Result | None = None
        self.selected = 0
        self.compared: tuple[int, ...] = ()
        self.pinned: tuple[int, ...] = ()
        self.regions: tuple[NamedRegion, ...] = ()
        self.distance_mpc: float | None = None  # of the galaxy, where the user says it
        self._sky: SkyGrid | None = None
        self._means: dict[Hashable, BinView] = {}
        self._views: dict[tuple[int, str], BinView] = {}
        self._traces: dict[int, list[NDArray[np.float64]]] = {}
        self._places: dict[str | int, int] = {}
        self.prepare_means: PrepareMeans = _prepare_nothing
        self.selection_changed.connect(self._list_places)  # in the order in which bins and regions come

    @property
    def sky(self) -> SkyGrid:
        """Geometry of the result's maps."""
        if self._sky is None:
            raise LookupError("No result is loaded: run the pipeline or open a result file first.")
        return self._sky

    @property
    def has_sky(self) -> bool:
        """Whether places on the canvas have a right ascension: there is a result, or a cube that was not run yet."""
        return self._sky is not None

    def look_at(self, sky: SkyGrid) -> None:
        """Take the geometry of a cube that was not run yet."""
        if self.result is None:
            self._sky = sky

    @property
    def n_bins(self) -> int:
        """Number of bins of the result, 0 without one."""
        return 0 if self.result is None else self.result.bins.n_bins

    @property
    def shown(self) -> tuple[int, ...]:
        """The selected bin (if any), the pinned and the compared ones, each once, the selected one first."""
        every = ((self.selected,) if self.selected else ()) + self.pinned + self.compared
        return tuple(dict.fromkeys(every))

    @property
    def region(self) -> BinView | None:
        """Mean of the first region."""
        return self.regions[0].view if self.regions else None

    def describe_excess(self) -> str:
        """What is selected but not drawn, for a person; nothing where all is."""
        n = len(self.regions) + len(self.shown)
        return f"{n - MAX_DRAWN} more are compared: the tables have all" if n > MAX_DRAWN else ""

    def set_result(self, result: Result | None) -> None:
        """Show another result; the selection is emptied."""
        self.result = result
        self._means, self._views, self._traces = {}, {}, {}
        self._sky = None if result is None else SkyGrid.of(result.wcs, result.bins.bin_id.shape)
        self.selected, self.compared, self.pinned, self.regions = 0, (), (), ()
        self.selection_changed.emit(0)

    def find_kept(self, result: Result) -> dict[str, Any]:
        """What `restore` takes to show, in another result of the same field, the bins at the places of those shown.

        Parameters
        ----------
        result : Result
            That is to come; of another field nothing is kept.
        """
        old, shape = self.result, result.bins.bin_id.shape
        if old is None or old.bins.bin_id.shape != shape or not SkyGrid.of(result.wcs, shape).shares_pixels(self.sky):
            return {}
        y, x = np.rint(old.bins.y).astype(int), np.rint(old.bins.x).astype(int)
        there = np.where(old.bins.bin_id[y, x] == np.arange(1, old.bins.n_bins + 1), result.bins.bin_id[y, x], 0)
        if np.array_equal(old.bins.bin_id, result.bins.bin_id):  # the middle of some lies outside of them
            there = np.arange(1, old.bins.n_bins + 1)
        new = {bin_id: int(there[bin_id - 1]) for bin_id in self.shown}
        places = {new[key]: place for key, place in self._list_places().items() if isinstance(key, int)}
        return {
            "selected": new.get(self.selected, 0),
            "compared": [new[bin_id] for bin_id in self.compared],
            "pinned": [new[bin_id] for bin_id in self.pinned],
            "colors": [[bin_id, place] for bin_id, place in places.items() if bin_id],
        }

    def select(self, bin_id: int) -> None:
        """Select a bin (clipped to those that exist; 0 = none)."""
        bin_id = int(np.clip(bin_id, 0, self.n_bins))
        if bin_id != self.selected:
            self.selected = bin_id
            self.compared = tuple(b for b in self.compared if b != bin_id)
            self.selection_changed.emit(bin_id)

    def toggle_compared(self, bin_id: int) -> None:
        """Add a bin to the comparison, or take it out."""
        if not 1 <= bin_id <= self.n_bins:
            return
        if not self.selected:
            self.select(bin_id)
            return
        if bin_id in self.compared:
            self.compared = tuple(b for b in self.compared if b != bin_id)
        elif bin_id != self.selected:
            self.compared = (*self.compared, bin_id)
        self.selection_changed.emit(self.selected)

    def toggle_pinned(self, bin_id: int = 0) -> None:
        """Pin a bin (default: the selected one), or let it go."""
        bin_id = bin_id or self.selected
        if not 1 <= bin_id <= self.n_bins:
            return
        if bin_id in self.pinned:
            self.pinned = tuple(b for b in self.pinned if b != bin_id)
        else:
            self.pinned = (*self.pinned, bin_id)
            self.compared = tuple(b for b in self.compared if b != bin_id)
        self.selection_changed.emit(self.selected)

    def set_region(
        self,
        outlines: Sequence[Outline | NDArray[np.floating]],
        weight: Weight = "mass",
        spread: Spread = "scatter",
    ) -> int:
        """Show the mean SFH of the bins inside outlines as the one region; none, or none with bins, ends it.

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
        return self.set_regions({"region": outlines} if len(outlines) else {}, weight, spread).get("region", 0)

    def set_regions(
        self,
        outlines: Mapping[str, Sequence[Outline | NDArray[np.floating]]],
        weight: Weight = "mass",
        spread: Spread = "scatter",
    ) -> dict[str, int]:
        """Show the mean SFHs of several regions, by name; one without bins is left out.

        Returns
        -------
        dict
            Number of bins inside, by name.

        Raises
        ------
        SfhInputError
            The bins inside a region have no prediction.
        """
        found: dict[str, int] = {}
        kept = tuple(region for region in self.regions if region.name == PLOT_REGION)
        made: list[NamedRegion] = []
        failures: list[SfhInputError] = []
        for name, rows in self.find_rows(outlines).items():
            found[name] = int(rows.size)
            if rows.size:
                try:
                    made.append(self._make_region(name, rows, weight, spread))
                except SfhInputError as failure:  # the others are shown
                    failures.append(failure)
        had_none = not self.regions
        self.regions = (*made, *kept)  # a lasso in a plot takes no colour away from what is drawn on the map
        if self.regions or not had_none:
            self.selection_changed.emit(self.selected)
        if failures:
            raise failures[0]
        return found

    def find_rows(
        self, outlines: Mapping[str, Sequence[Outline | NDArray[np.floating]]]
    ) -> dict[str, NDArray[np.integer]]:
        """Bins (rows 0..N-1) inside the outlines of each region, by its name; no regions without a result."""
        if self.result is None:
            return {}
        whole = {
            name: [o if isinstance(o, Outline) else Outline(np.asarray(o, dtype=float)) for o in some]
            for name, some in outlines.items()
        }
        return {name: find_bins_in_outlines(self.result, some) for name, some in whole.items()}

    def set_plot_region(self, rows: NDArray[np.integer]) -> None:
        """Show the mean SFH of bins (rows 0..N-1) that were chosen in a plot, and outline them; none ends it.

        Raises
        ------
        SfhInputError
            None of them has a prediction.
        """
        self.regions = tuple(region for region in self.regions if region.name != PLOT_REGION)
        try:
            if self.result is not None and len(rows):
                made = self._make_region(PLOT_REGION, np.asarray(rows), "mass", "scatter")
                self.regions = (*self.regions, replace(made, outlined=True))
        finally:
            self.selection_changed.emit(self.selected)

    def need_result(self) -> Result:
        """The result.

        Raises
        ------
        LookupError
            There is none.
        """
        if self.result is None:
            raise LookupError("No result is loaded: run the pipeline or open a result file first.")
        return self.result

    def average(self, rows: NDArray[np.integer], weight: Weight, spread: Spread) -> BinView:
        """Mean of some bins, see `average_bin_views`; of the last `MAX_MEANS` it is kept. May be called in a thread."""
        key, means = (rows.tobytes(), weight, spread), self._means
        if key not in means:
            view = average_bin_views(self.need_result(), rows, weight, spread)
            for oldest in list(means)[: len(means) + 1 - MAX_MEANS]:
                means.pop(oldest, None)
            means[key] = view
            return view
        return means[key]

    def _make_region(self, name: str, rows: NDArray[np.integer], weight: Weight, spread: Spread) -> NamedRegion:
        view = self.average(rows, weight, spread)
        numbers = (*view.numbers, *list_region_masses(self.need_result(), rows, self.distance_mpc))
        return NamedRegion(name, rows, replace(view, title=name, numbers=numbers))

    def state(self) -> dict[str, Any]:
        """What a workspace keeps."""
        kept = [region for region in self.regions if region.name == PLOT_REGION]
        return {
            "selected": self.selected,
            "compared": list(self.compared),
            "pinned": list(self.pinned),
            "plot_region": [int(row) for row in kept[0].rows] if kept else [],
            "colors": [[key, place] for key, place in self._list_places().items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Select what `state` told; bins that the result does not have are left out."""
        selected = int(np.clip(int(state.get("selected", 0)), 0, self.n_bins))
        pinned, compared = (
            tuple(dict.fromkeys(int(b) for b in state.get(key, []) if 1 <= int(b) <= self.n_bins))
            for key in ("pinned", "compared")
        )
        self.selected, self.pinned = selected, pinned
        self.compared = tuple(b for b in compared if b not in (selected, *pinned))
        self._places = {key: int(place) for key, place in state.get("colors", [])}
        rows = np.array([row for row in state.get("plot_region", []) if 0 <= row < self.n_bins], dtype=np.intp)
        self.set_plot_region(rows)  # tells of all

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

    def find_region_color(self, name: str) -> str | None:
        """Colour of a region wherever it is shown; None where it has no history."""
        place = self._list_places().get(name)
        return None if place is None else choose_color(place)

    def list_bin_colors(self) -> dict[int, str]:
        """Colour of each shown bin wherever it is shown, the selected one first."""
        places = self._list_places()
        return {bin_id: choose_color(places[bin_id]) for bin_id in self.shown}

    def _list_places(self) -> dict[str | int, int]:
        """Among the colours: of each shown bin (by number) and region (by name).

        Each keeps its own while it is shown; what comes takes the first that is free.
        """
        wanted: list[str | int] = [*self.shown, *(region.name for region in self.regions)]
        self._places = {key: self._places[key] for key in wanted if key in self._places}
        taken = set(self._places.values())
        free = (place for place in count() if place not in taken)
        self._places |= {key: next(free) for key in wanted if key not in self._places}
        return self._places

    def list_marks(self) -> list[BinMark]:
        """The bins that stand out in plots, in the colours that they have everywhere; what is drawn last lies above."""
        colors = [str(self.find_region_color(region.name)) for region in self.regions]
        marks = [
            BinMark(row, color, False) for region, color in zip(self.regions, colors) for row in region.rows.tolist()
        ]
        return marks + [BinMark(bin_id - 1, color, True) for bin_id, color in reversed(self.list_bin_colors().items())]

    def outlines(self) -> tuple[list[NDArray[np.float64]], list[str]]:
        """Pixel paths (n, 2) around the shown bins and those chosen in a plot, and their colours."""
        paths: list[NDArray[np.float64]] = []
        colors: list[str] = []
        if self.result is not None:
            image = self.result.bins.bin_id
            drawn = [
                (trace_outline(np.isin(image, region.rows + 1)), self.find_region_color(region.name))
                for region in self.regions
                if region.outlined
            ]
            bins = list(self.list_bin_colors().items())[:MAX_DRAWN]
            for parts, color in [*drawn, *((self._trace_bin(bin_id), color) for bin_id, color in bins)]:
                paths += parts
                colors += [str(color)] * len(parts)
        return paths, colors

    def _trace_bin(self, bin_id: int) -> list[NDArray[np.float64]]:
        image = self.need_result().bins.bin_id
        return _keep(self._traces, bin_id, lambda: trace_outline(image == bin_id))

    def views(self) -> list[BinView]:
        """What the plots draw, each in its colour: regions, the selected bin, the compared ones."""
        return self.all_views(MAX_DRAWN)

    def all_views(self, most: int | None = None) -> list[BinView]:
        """The same, but all, or ``most`` of them."""
        if self.result is None:
            return []
        rest = self.shown if most is None else self.shown[: max(most - len(self.regions), 0)]
        colors = self.list_bin_colors()
        return self._view_regions(most) + [self._view_bin(bin_id, colors[bin_id]) for bin_id in rest]

    def foresee_views(self, bin_id: int) -> list[BinView]:
        """What `views` says after a click on a bin, whose outline is found, too; both are kept until then."""
        if self.result is None or not 1 <= bin_id <= self.n_bins:
            return []
        keys = [*self.pinned, *(region.name for region in self.regions)]
        places = {key: place for key, place in self._list_places().items() if key in keys}
        places.setdefault(bin_id, next(place for place in count() if place not in places.values()))
        self._trace_bin(bin_id)
        shown = list(dict.fromkeys([bin_id, *self.pinned]))[: max(MAX_DRAWN - len(self.regions), 0)]
        return self._view_regions(MAX_DRAWN) + [self._view_bin(each, choose_color(places[each])) for each in shown]

    def _view_regions(self, most: int | None) -> list[BinView]:
        return [replace(each.view, color=str(self.find_region_color(each.name))) for each in self.regions[:most]]

    def _view_bin(self, bin_id: int, color: str) -> BinView:
        result = self.need_result()
        return _keep(self._views, (bin_id, color), lambda: replace(BinView.of(result, bin_id), color=color))


def _keep(kept: dict[Key, Kept], key: Key, make: Callable[[], Kept]) -> Kept:
    """Of a key what was made before, or is made; the oldest goes."""
    found = kept.pop(key) if key in kept else make()
    kept[key] = found
    if len(kept) > MAX_VIEWS:
        del kept[next(iter(kept))]
    return found


def list_region_masses(
    result: Result, rows: NDArray[np.integer], distance_mpc: float | None
) -> tuple[PropertyRow, ...]:
    """Mass formed and rate of some bins in absolute units; nothing without a distance, or without histories.

    Parameters
    ----------
    result : Result
    rows : int array (M,)
        Of the bins, from 0.
    distance_mpc : float or None
        Luminosity distance, Mpc.

    Returns
    -------
    tuple of PropertyRow
    """
    if distance_mpc is None or not result.prediction.has_histories:
        return ()
    mass = compute_total_mass(result, distance_mpc, rows)
    young = compute_young_share(result.prediction.history("mass_frac"), RATE_GYR, find_age_edges(result))
    rate = compute_total_mass(result, distance_mpc, rows, young) / (RATE_GYR * 1e9)
    if not mass > 0:
        return ()
    mass_error = compute_total_error(result, rows, estimate_mass_error(result)) * mass
    rate_error = compute_total_error(result, rows, estimate_sfr_error(result, RATE_GYR), young) * rate
    tip = (
        f"Of the stars formed, at {distance_mpc:g} Mpc; IMF of the templates (Kroupa for BC03-MILES). The error is "
        "that of the bins' own, taken as independent; what all bins have wrong together, and the distance's error, are "
        "not in it"
    )
    dex = mass_error / mass / np.log(10)
    log_mass, log_error = _write_with_error(np.log10(mass), dex)
    told, error = _write_with_error(rate, rate_error)
    over = f"M☉/yr over {1e3 * RATE_GYR:.0f} Myr"
    return (
        PropertyRow("Mass", f"{log_mass} ± {log_error} log M☉", tip, mass, mass_error, unit="Msun"),
        PropertyRow("SFR", f"{told} ± {error} {over}", tip, rate, rate_error, unit="Msun/yr"),
    )


def _write_with_error(value: float, error: float) -> tuple[str, str]:
    """A number to the first digit of its error, and at least two decimals of a large one; the error as long."""
    if not (np.isfinite(error) and error > 0):
        return f"{value:.3g}", "?"
    digits = max(2, -int(np.floor(np.log10(error))))
    return f"{value:.{digits}f}", f"{error:.{digits}f}"


def _neighbour(centres: NDArray[np.float64], here: int, direction: NDArray[np.float64]) -> int:
    """Index of the nearest of ``centres`` (n, 2) within 45 degrees of ``direction``; ``here`` if there is none."""
    offset = centres - centres[here]
    along = offset @ direction
    across = np.abs(offset @ direction[::-1])
    # A bin straight ahead wins over one at the side at the same distance.
    cost = np.where((along > 0) & (across <= along), np.hypot(along, 2 * across), np.inf)
    best = int(np.argmin(cost))
    return best if np.isfinite(cost[best]) else here
