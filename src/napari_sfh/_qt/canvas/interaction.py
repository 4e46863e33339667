"""The explorer's hold on a napari canvas: clicks, the cursor's RA/Dec, arrow keys. Released without a trace.

A viewer keeps strong references to its callbacks, and the dock's x fires no close event; so the viewer gets functions
that know their target by a weak reference only, and `Canvas.release` takes them out again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.canvas.layer_data import get_layer_link
from napari_sfh._qt.canvas.pointer_overlay import add_pointer_text
from napari_sfh._qt.canvas.sky_axes import SkyFrame
from napari_sfh._qt.session import ARROWS, Session
from napari_sfh._qt.widgets.small_widgets import make_weak_slot

OVERLAY = "sfh_radec"
#: Size of the letters under the cursor over one map, and over the grid of four.
READ_OUT_POINTS = (10, 8)
#: What the scale bar and the text under the cursor are written with, a few letters a turn.
LETTERS = "0123456789.+−-[]±:°,'\"/²AgeSLMWFHINRDlogyrbinmspcdxtau ohE′″"
LETTERS_A_TURN = 4
#: What the status bar says of layers by their role, and the modes of a layer in which it does.
HINTS = {
    "map": "click: select a bin, Shift + click: compare, F1: help",
    "region": "drag around bins to draw a region; click: select a bin",
    "disc": "drag the ellipse or its corners; click: select a bin",
}
HINTED_MODES = ("pan_zoom", "select", "add_polygon_lasso", "add_lasso", "add_rectangle", "add_ellipse")
#: Modes of a layer in which a click without a drag leaves the layer's data as they are: it is ours as well.
CLICK_MODES = ("pan_zoom", "select")


#: Pixels of napari's scale bar, which it rounds down to a round length; share of the canvas that one may take.
BAR_PX, ROOM_OF_BAR = 150, 0.5
#: After so many milliseconds without a move the mouse rests.
HOVER_REST_MS = 30


class CanvasInteraction:
    """Mouse and keys of a viewer, turned into acts on a `Session`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    session : Session
    on_click : callable
        Bound method, called after a click has selected a bin.
    shortcuts : dict
        Further keys and the bound methods that they call.
    describe : callable
        Bound method that says what stands in a bin (0: in none), for the text under the cursor; None where that text
        must stay as it is.
    on_hover : callable
        Bound method, given the cursor's place (Dec, RA offset in arcsec), None when it leaves.
    on_rest : callable
        Bound method, given the bin over which the mouse rests: it may be clicked next.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        on_click: Callable[[], None],
        shortcuts: dict[str, Callable[[str], None]],
        describe: Callable[[int], str | None],
        on_hover: Callable[[NDArray[np.floating] | None], None],
        on_rest: Callable[[int], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._on_click = weakref.WeakMethod(on_click)
        self._on_hover, self._on_rest = weakref.WeakMethod(on_hover), weakref.WeakMethod(on_rest)
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(HOVER_REST_MS)
        self._rest.timeout.connect(make_weak_slot(self._tell_rest))
        self._drag = _weak_drag(self._click)
        self._move = make_weak_hover(self._hover)
        viewer.mouse_drag_callbacks.append(self._drag)
        viewer.mouse_move_callbacks.append(self._move)
        self._describe = weakref.WeakMethod(describe)
        self._keys = {key: _weak_key(self._arrow, key) for key in ARROWS}
        self._keys |= {key: _weak_key(act, key) for key, act in shortcuts.items()}
        for key, function in self._keys.items():
            viewer.bind_key(key, function, overwrite=True)
        self.axes = SkyFrame(viewer, session)
        self._overlay = add_pointer_text(viewer, OVERLAY)
        self._world: NDArray[np.float64] | None = None
        self._framing = False
        viewer.events.mouse_over_canvas.connect(self._left)
        viewer.events.help.connect(self._say_hint, position="last")  # after napari's status bar
        viewer.events.reset_view.connect(self._frame)
        viewer.scene.camera.events.zoom.connect(self._size_bar, position="first")  # before the bar itself

    def glyph_steps(self) -> list[Callable[[], None]]:
        """Steps that let a window make its letters, painted unseen; all at the first text, they block it."""
        some = [LETTERS[k : k + LETTERS_A_TURN] for k in range(0, len(LETTERS), LETTERS_A_TURN)]
        return [partial(self._write, text) for text in (*some, "")]

    def _write(self, text: str) -> None:
        self._overlay.opacity, self._overlay.box = (0.0, False) if text else (1.0, True)
        self._overlay.text = text
        self._overlay.visible = bool(text)

    def orient(self) -> None:
        """North up, east left, a scale bar in arcsec."""
        if not self._overlay.box:
            self._write("")  # something was opened before all letters were made
        set_north_up(self._viewer)
        self._viewer.canvas.overlays.scale_bar.visible = True
        self.axes.touch()

    def _size_bar(self, _: object = None) -> None:
        """A bar below an arcsec is one long, if there is room: napari would write 500 mas."""
        bar, pixels_arcsec = self._viewer.canvas.overlays.scale_bar, float(self._viewer.scene.camera.zoom)
        room = ROOM_OF_BAR * float(self._viewer.canvas.size[1])
        length = 1.0 if BAR_PX < pixels_arcsec < room and self._session.has_sky else None
        if bar.length in (None, 1.0) and bar.length != length:
            bar.length = length

    def _frame(self, event: Any) -> None:
        """napari's Home makes room for every layer, hidden ones too: come back to what is shown of the maps."""
        layers = [layer for layer in self._viewer.layers if layer.visible and _counts_for_view(layer)]
        # Beside a map with an axis of age napari cannot fit layers without one.
        layers = [layer for layer in layers if layer.ndim == self._viewer.dims.ndim]
        if self._framing or self._session.result is None or not layers or _reach_all(self._viewer.layers, layers):
            return
        self._framing = True
        try:
            self._viewer.fit_to_view(layers=layers)
        finally:
            self._framing = False

    def release(self) -> None:
        """Take every callback, key and overlay out of the viewer."""
        self._rest.stop()
        for callbacks, function in (
            (self._viewer.mouse_drag_callbacks, self._drag),
            (self._viewer.mouse_move_callbacks, self._move),
        ):
            if function in callbacks:
                callbacks.remove(function)
        for key, function in self._keys.items():
            _unbind(self._viewer, key, function)
        self._viewer.events.mouse_over_canvas.disconnect(self._left)
        self._viewer.events.help.disconnect(self._say_hint)
        if self._viewer.help in HINTS.values():
            self._viewer.help = ""
        self._viewer.events.reset_view.disconnect(self._frame)
        self._viewer.scene.camera.events.zoom.disconnect(self._size_bar)
        self.axes.release()
        self._overlay.visible = False
        self._viewer.canvas.overlays.pop(OVERLAY, None)

    def _click(self, event: Any) -> Generator[None, None, None]:
        """A press and release within Qt's drag distance selects; with Shift it compares."""
        if event.button != 1 or self._busy():
            return
        start = np.asarray(event.pos, dtype=float)
        far = 0.0
        yield
        while event.type == "mouse_move":
            far = max(far, float(np.abs(np.asarray(event.pos) - start).sum()))
            yield
        if event.type != "mouse_release" or far >= QApplication.startDragDistance():
            return
        bin_id = self._find_bin(np.asarray(event.position[-2:]))
        if not bin_id:
            return
        if "Shift" in event.modifiers:
            self._session.toggle_compared(bin_id)
        else:
            self._session.clear_compared()
            self._session.select(bin_id)
        on_click = self._on_click()
        if on_click is not None:
            on_click()

    def _find_bin(self, world: NDArray[np.floating]) -> int:
        """The bin at a place; 0 where there is none, and where nothing of the galaxy is shown."""
        layers = (layer for layer in self._viewer.layers if layer.visible)
        shown = any(get_layer_link(layer.metadata) is not None for layer in layers)
        return self._session.bin_at(world) if shown else 0

    def _busy(self) -> bool:
        """True while a click draws on a layer, or takes something from it."""
        active = self._viewer.layers.selection.active
        return active is not None and str(active.mode) not in CLICK_MODES

    def _hover(self, event: Any) -> None:
        self._world = np.asarray(event.position[-2:])
        self._tell(self._world)
        self.refresh()
        self._rest.start()

    def _tell_rest(self, _: Any = None) -> None:
        """What can be found beforehand for a click is found while the mouse rests."""
        bin_id = 0 if self._world is None else self._find_bin(self._world)
        on_rest = self._on_rest()
        if on_rest is not None and bin_id and bin_id != self._session.selected:
            on_rest(bin_id)

    def refresh(self) -> None:
        """Say anew what is under the cursor."""
        if not self._session.has_sky:
            return
        bin_id = 0 if self._world is None else self._find_bin(self._world)
        describe = self._describe()
        words = describe(bin_id) if describe is not None else ""
        if words is None:
            return
        if self._world is None:
            self._overlay.visible = False
            return
        text = self._session.sky.radec_text(self._world)
        if bin_id:
            text = f"{text}\nbin {bin_id}: {words}".removesuffix(": ")
        elif words:
            text = f"{text}\n{words}"
        # In the grid it lies on the lower maps: two lines in small letters, which end before the scale bar.
        in_grid = bool(self._viewer.canvas.grid.enabled)
        self._overlay.font_size = READ_OUT_POINTS[in_grid]
        lines = text.splitlines()
        grid_lines = ["   ".join(lines[:2]), "; ".join(lines[2:])]
        self._overlay.text = "\n".join(filter(None, grid_lines)) if in_grid else text
        self._overlay.visible = bool(text)

    def _left(self, event: Any) -> None:
        """The text goes with the cursor."""
        if not self._viewer.mouse_over_canvas:
            self._world = None
            self._tell(None)
            self.refresh()

    def _say_hint(self, _: Any = None) -> None:
        """In the status bar: what the mouse does on a layer of ours, in place of napari's words."""
        active = self._viewer.layers.selection.active
        link = None if active is None else get_layer_link(active.metadata)
        if link is not None and str(active.mode) in HINTED_MODES:
            hint = HINTS.get(link.role, HINTS["map"])
            if self._viewer.help != hint:
                self._viewer.help = hint

    def _tell(self, world: NDArray[np.floating] | None) -> None:
        on_hover = self._on_hover()
        if on_hover is not None:
            on_hover(world)

    def _arrow(self, key: str) -> None:
        self._session.go(key)


def set_north_up(viewer: Any) -> None:
    """North up, east left, for layers on a `SkyGrid`."""
    viewer.scene.camera.orientation2d = ("up", "left")


def _counts_for_view(layer: Any) -> bool:
    """Whether a layer counts for the view of all: mosaics reach beyond the maps, whose field they were cut to."""
    link = get_layer_link(layer.metadata)
    return link is None or link.role != "composite"


def _reach_all(layers: Any, some: list[Any]) -> bool:
    """Whether some layers reach as far as all: napari copies a list of layers for long before it fits the view."""
    worlds = [layer.extent.world for layer in some]
    return np.array_equal(layers.extent.world, [np.min(worlds, axis=0)[0], np.max(worlds, axis=0)[1]])


def _weak_drag(method: Callable[[Any], Generator[None, None, None]]) -> Callable[..., Any]:
    reference = weakref.WeakMethod(method)

    def mouse_drag(viewer: Any, event: Any) -> Generator[None, None, None]:
        target = reference()
        if target is None:
            yield
            return
        yield from target(event)

    return mouse_drag


def make_weak_hover(method: Callable[[Any], None]) -> Callable[..., None]:
    """A callback of a viewer's mouse that calls ``method`` while its object lives, and does not keep it alive."""
    reference = weakref.WeakMethod(method)

    def mouse_move(viewer: Any, event: Any) -> None:
        target = reference()
        if target is not None:
            target(event)

    return mouse_move


def _weak_key(method: Callable[[str], None], key: str) -> Callable[[Any], None]:
    reference = weakref.WeakMethod(method)

    def go(viewer: Any) -> None:
        target = reference()
        if target is not None:
            target(key)

    go.__doc__ = f"Star-formation histories: {key}."
    return go


def _unbind(viewer: Any, key: str, function: Callable[[Any], None]) -> None:
    """Free a key, unless somebody else has bound it since."""
    for binding, bound in list(viewer.keymap.items()):
        if bound is function:
            del viewer.keymap[binding]
