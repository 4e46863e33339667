"""What the canvas shows: one map, line map or difference at a time, or four maps. The only place that knows.

Layers follow the model, and the model follows the layers: an eye that the user clicks, a layer that is deleted,
napari's own grid button. Menus and check boxes listen to ``changed`` and never ask the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from psygnal import Signal

from napari_sfh._qt.canvas.layer_data import FIRST_MAP, get_layer_link
from napari_sfh._qt.canvas.layer_looks import EXCLUSIVE_ROLES
from napari_sfh._qt.canvas.scene_batch import SceneBatch


class Shown(NamedTuple):
    """What is on the canvas: the role of its layer, and the name of the map or line."""

    role: str
    name: str


NOTHING, GRID = Shown("", ""), Shown("grid", "")
#: How limits are called that are none of `maps.LIMITS`.
TYPED = "typed"
#: Rows and columns of the grid, by the number of its maps.
GRID_SHAPES = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2)}
#: Layers in one cell of the grid before its maps come: all that there are.
ALL_LAYERS = 10_000


class CanvasDisplay:
    """The model of what is shown.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    make_ready : callable
        Given the `Shown` of a layer: makes it if need be, brings it up to date, and returns it (None: cannot be shown).
    scene : SceneBatch

    Attributes
    ----------
    shown : Shown
    changed : Signal
        Emits ``shown`` whenever it is another one, whoever did it.
    dividing : Signal
        Emitted before the canvas is divided into cells (True) or has one view again (False).
    divided : Signal
        Emitted when it has them, or makes them next.
    last_map : Shown
        The map that was shown last.
    put_away : list of layers
        Hidden while there are four maps; they come back after.
    main_maps : tuple of str
        Names of the maps of the grid: four, or fewer where the weights predict fewer.
    """

    changed = Signal(object)
    dividing = Signal(bool)
    divided = Signal()

    def __init__(self, viewer: Any, make_ready: Callable[[Shown], Any], scene: SceneBatch) -> None:
        self._viewer, self._scene = viewer, scene
        self._make_ready = make_ready
        self._arranging = False
        self._before_grid = NOTHING
        self._cells_open = self._cells_filled = False
        self._asked, self._promised = 0, False
        self._users_grid: tuple[int, tuple[int, int]] = (1, (-1, -1))
        self.shown = NOTHING
        self.last_map = Shown("map", FIRST_MAP)
        self.put_away: list[Any] = []
        self.main_maps: tuple[str, ...] = ()
        viewer.layers.events.inserted.connect(self._layer_inserted)
        viewer.layers.events.removed.connect(self._layer_removed)
        viewer.canvas.grid.events.enabled.connect(self._grid_switched)
        scene.ending.connect(self._part_cells)
        for layer in viewer.layers:
            layer.events.visible.connect(self._eye_clicked)

    def release(self) -> None:
        """Stop listening; the layers stay as they are."""
        self._viewer.layers.events.inserted.disconnect(self._layer_inserted)
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._viewer.canvas.grid.events.enabled.disconnect(self._grid_switched)
        self._scene.ending.disconnect(self._part_cells, missing_ok=True)
        for layer in self._viewer.layers:
            layer.events.visible.disconnect(self._eye_clicked)

    @property
    def is_grid(self) -> bool:
        """Whether four maps are side by side."""
        return self.shown == GRID

    def find_layer(self, shown: Shown) -> Any:
        """The layer of a map, line or difference, or None; of copies the first counts."""
        for layer in self._viewer.layers:
            link = get_layer_link(layer.metadata)
            if link is not None and (link.role, link.name) == shown:
                return layer
        return None

    @property
    def is_arranging_grid(self) -> bool:
        """Whether there are cells whose maps are still to come: the canvas has no overlays for them yet."""
        return self._cells_open and not self.is_grid

    # -- acts --------------------------------------------------------------------------------------------------

    def show(self, shown: Shown) -> None:
        """Put one map, line or difference on the canvas, `NOTHING`, or the `GRID` of four."""
        self.withdraw()
        if shown == GRID:
            self._open_cells()
            self._fill_cells()
            return
        with self._arrange():
            if self._cells_open:
                self._end_grid(shown)
            # The canvas takes a layer over once that comes and is seen.
            comes = shown != NOTHING and self.find_layer(shown) is None
            with self._scene.hold() if comes else nullcontext():
                layer = None if shown == NOTHING else self._make_ready(shown)
                self._open_eyes(layer)
        self._tell(NOTHING if layer is None else shown)

    def _open_eyes(self, layer: Any) -> None:
        """Show one of the maps, lines and differences, or none (None).

        The canvas takes this over once: for each eye it looks through all layers and makes the boxes of all texts anew.
        """
        closed = [other for other in self._exclusive_layers() if other != layer and other.visible]
        opened = [layer] if layer is not None and not layer.visible else []
        if opened or closed:
            with self._scene.hold():
                for each in (*opened, *closed):
                    each.visible = each in opened

    def show_later(self, shown: Shown) -> Callable[[], None]:
        """A call that shows something, unless anything else is asked for before it comes."""
        return self._promise(partial(self.show, shown))[0]

    def withdraw(self) -> None:
        """What was to be shown later is not wanted any more."""
        self._asked += 1

    def _promise(self, *steps: Callable[[], None]) -> list[Callable[[], None]]:
        self.withdraw()
        self._promised = True
        return [partial(self._keep_promise, self._asked, step) for step in steps]

    def _keep_promise(self, asked: int, step: Callable[[], None]) -> None:
        if asked == self._asked:
            step()

    def forget(self) -> None:
        """Another result comes: nothing of the old one counts."""
        if self.is_grid:
            self.show(self._before_grid)
        self._before_grid = NOTHING

    def toggle_grid(self, on: bool) -> None:
        """Four maps side by side, or what was there before."""
        if on != self.is_grid:
            self.show(GRID if on else self._before_grid)

    # -- the grid ----------------------------------------------------------------------------------------------

    def list_grid_steps(self) -> list[Callable[[], None]]:
        """What makes the grid, in steps that fit a turn of the event loop each: empty cells, then their maps."""
        return self._promise(self._open_cells, self._fill_cells)

    def _open_cells(self) -> None:
        """Cells for the main maps; what is shown stands in the first one, so that no legend is made for another yet."""
        if self.is_grid or not self.main_maps:
            return
        with self._arrange():
            for name in self.main_maps:
                self._make_ready(Shown("map", name))
            grid = self._viewer.canvas.grid
            self._users_grid = (grid.stride, grid.shape)
            with _blocked(grid.events.stride), _blocked(grid.events.shape):
                grid.stride, grid.shape = -ALL_LAYERS, GRID_SHAPES[len(self.main_maps)]
            self._cells_open = True
            self.dividing.emit(True)
            grid.enabled = True

    def _fill_cells(self) -> None:
        if not self._cells_open:
            return
        before = self.shown
        maps = [layer for name in self.main_maps if (layer := self.find_layer(Shown("map", name))) is not None]
        if len(maps) != len(self.main_maps):
            self._end_grid(before)
            return
        # The canvas puts its scene together once, after all changes.
        with self._arrange(), self._scene.hold():
            self.put_away = [layer for layer in self._viewer.layers if layer.visible and layer not in maps]
            self.put_away = [layer for layer in self.put_away if layer not in self._exclusive_layers()]
            for layer in self._viewer.layers:
                if layer.visible != (layer in maps):
                    layer.visible = layer in maps
            self._order(maps)
            self._cells_filled = True
        self._before_grid = before
        self._viewer.reset_view()
        self._tell(GRID)

    def _part_cells(self) -> None:
        """One cell for each visible layer, the uppermost first; not before the canvas makes what stands in them.

        In a cell without its legend napari fails whenever an overlay of the canvas changes: the mouse may move.
        """
        if self._cells_filled:
            self._cells_filled = False
            with _blocked(self._viewer.canvas.grid.events.stride):
                self._viewer.canvas.grid.stride = -1
            self.divided.emit()

    def _order(self, maps: list[Any]) -> None:
        """The first map uppermost, in case the user has moved them."""
        layers = self._viewer.layers
        places = [layers.index(layer) for layer in maps]
        if places != sorted(places, reverse=True):
            for layer in reversed(maps):
                layers.move(layers.index(layer), len(layers))

    def _end_grid(self, then: Shown) -> None:
        """One view again, with what was hidden for the grid; the caller shows one map or none."""
        self._cells_open = self._cells_filled = False
        grid = self._viewer.canvas.grid
        with self._scene.hold():
            with _blocked(grid.events.stride), _blocked(grid.events.shape):
                grid.stride, grid.shape = self._users_grid
            self.dividing.emit(False)
            grid.enabled = False
            self.divided.emit()
            for layer in self.put_away:
                if layer in self._viewer.layers:
                    layer.visible = True
            self.put_away = []
            first = self.find_layer(then)
            for layer in self._exclusive_layers():
                layer.visible = layer is first
        self._viewer.reset_view()

    # -- what the user does to the layers ----------------------------------------------------------------------

    def _eye_clicked(self, event: Any) -> None:
        if self._arranging:
            return
        layer, link = event.source, get_layer_link(event.source.metadata)
        if self.is_grid:
            of_four = link is not None and link.role == "map" and link.name in self.main_maps
            if layer.visible and not of_four:  # it would take a fifth cell
                self.put_away.append(layer)
                self.toggle_grid(False)
            return
        if link is None or link.role not in EXCLUSIVE_ROLES:
            return
        shown = Shown(link.role, link.name)
        if self.find_layer(shown) is not layer:
            return  # a copy is the user's own
        if layer.visible:
            self.show(shown)
        elif shown == self.shown:
            self._tell(NOTHING)

    def _layer_inserted(self, event: Any) -> None:
        event.value.events.visible.connect(self._eye_clicked)
        if self.is_grid and event.value.visible and not self._arranging:
            self.put_away.append(event.value)
            self.toggle_grid(False)

    def _layer_removed(self, event: Any) -> None:
        layer = event.value
        layer.events.visible.disconnect(self._eye_clicked)
        link = get_layer_link(layer.metadata)
        if self._arranging or link is None or link.role not in EXCLUSIVE_ROLES:
            return
        gone = Shown(link.role, link.name)
        if self.is_grid and link.role == "map" and link.name in self.main_maps:
            self._before_grid = NOTHING if gone == self._before_grid else self._before_grid
            self.toggle_grid(False)
        elif gone == self.shown and self.find_layer(gone) is None:
            map_is_there = link.role != "map" and self.find_layer(self.last_map) is not None
            self.show(self.last_map if map_is_there else NOTHING)

    def _grid_switched(self, _: Any = None) -> None:
        """napari's own button ends our grid, too; its grid of all layers is the user's."""
        if not self._arranging and self.is_grid and not self._viewer.canvas.grid.enabled:
            self.toggle_grid(False)

    # -- help --------------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Layers that come and go meanwhile are our own doing."""
        with self._arrange():
            yield

    @contextmanager
    def _arrange(self) -> Iterator[None]:
        before, self._arranging = self._arranging, True
        try:
            yield
        finally:
            self._arranging = before

    def _exclusive_layers(self) -> list[Any]:
        """Maps, lines and the difference, copies left out."""
        found = []
        for layer in self._viewer.layers:
            link = get_layer_link(layer.metadata)
            exclusive = link is not None and link.role in EXCLUSIVE_ROLES
            if link is not None and exclusive and self.find_layer(Shown(link.role, link.name)) is layer:
                found.append(layer)
        return found

    def _tell(self, shown: Shown) -> None:
        # Menus that name what was promised are told, too.
        if shown != self.shown or self._promised:
            self._promised = False
            self.shown = shown
            self.last_map = shown if shown.role == "map" else self.last_map
            self.changed.emit(shown)


def _blocked(emitter: Any) -> Any:
    """A context without events, of napari's emitters and psygnal's alike."""
    return emitter.blocker() if hasattr(emitter, "blocker") else emitter.blocked()
