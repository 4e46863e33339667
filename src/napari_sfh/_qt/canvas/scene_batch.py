"""The scene of a viewer: many changes for which it is put together once, drawings that it keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, Generic, TypeVar

import numpy as np
from napari._vispy.canvas import VispyCanvas
from napari._vispy.layers.image import ImageLayerNode, VispyImageLayer
from napari._vispy.layers.labels import VispyLabelsLayer
from napari._vispy.layers.scalar_field import ScalarFieldLayerNode
from napari._vispy.utils.gl import get_gl_extensions, get_max_texture_sizes
from napari._vispy.utils.visual import layer_to_visual
from napari._vispy.visuals.image import Image as ImageNode
from napari.components.overlays import Overlay
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy import QtOpenGL
from qtpy.QtCore import QSize
from vispy.scene import Node, SceneCanvas, ViewBox
from vispy.scene.subscene import SubScene
from vispy.scene.visuals import VisualNode
from vispy.scene.widgets import Widget

from napari_sfh._qt.canvas.layer_data import get_layer_link

OverlayT = TypeVar("OverlayT", bound=Overlay)
_opengl: Any = QtOpenGL  # has no types

#: What is drawn above outlines: its node, and the bound method that gives the places on the canvas that it covers.
_COVERS: weakref.WeakKeyDictionary[Node, weakref.WeakMethod[Callable[[], Any]]]
_COVERS = weakref.WeakKeyDictionary()
#: Pixels by which what is drawn reaches beyond its bounds; line pieces of outlines that are compared with places.
_BEYOND_PX, _MOST_PIECES = 4.0, 2000


def keep_corners(layer: Any) -> None:
    """Let an image of one resolution look for its corners on the canvas only where view, place or data have changed.

    napari does so with each picture, for hidden layers too.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
        Itself, not a proxy. Of several resolutions napari chooses one with each picture: such a layer is left alone.
    """
    find_corners = getattr(type(layer), "_update_draw", None)
    if layer.multiscale or find_corners is None:
        return
    reference = weakref.ref(layer)
    known: list[Any] = [None, None]

    def find_new_corners(*view: Any, **more: Any) -> None:
        target = reference()
        if target is None:
            return
        parts = [np.asarray(part).tolist() for part in (*view, *more.values(), *target._slice_input.displayed)]
        extent = target.extent  # napari keeps it until place or data change
        if parts != known[0] or extent is not known[1]:
            find_corners(target, *view, **more)
            known[:] = parts, extent

    layer._update_draw = find_new_corners


class LateNodes(ScalarFieldLayerNode):
    """What draws an image in two dimensions; napari's drawings of tiles and of volumes come when they are needed.

    napari makes all three for each layer: they were half of what a map that is shown first took on the canvas.

    Parameters
    ----------
    node : vispy.scene.Node, optional
        A drawing of the caller's own.
    texture_format : str, optional
        As vispy has it; ``auto`` only where the graphics card has textures of numbers.
    """

    def __init__(self, node: Any = None, texture_format: str | None = "auto") -> None:
        self._node = node
        self._format = texture_format if "texture_float" in get_gl_extensions() else None
        self._image = ImageNode(None, method="auto", texture_format=self._format)
        self._others: ImageLayerNode | None = None

    def get_node(self, ndisplay: int, dtype: Any = None, shape: tuple[int, ...] | None = None) -> Any:
        """The drawing for data of a type and shape, as napari chooses it."""
        if self._node is not None:
            return self._node
        if ndisplay == 2 and (shape is None or max(shape[:2]) <= get_max_texture_sizes()[0]):
            return self._image
        if self._others is None:
            self._others = ImageLayerNode(texture_format=self._format)
        return self._others.get_node(ndisplay, dtype, shape)


class VispyLateImage(VispyImageLayer):
    """napari's drawing of a layer of ours, brought in line with it once; napari does so four times as it comes.

    Nor is its place worked out anew with each layer that comes or goes, unless that has changed the units.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        self._begun = False
        self._known_units: tuple[Any, ...] | None = None
        super().__init__(layer, layer_node_class=LateNodes, **kwargs)
        self._begun = True
        self._on_display_change()
        self._on_data_change()

    @property
    def world_units(self) -> Any:
        """Units of the canvas."""
        return VispyImageLayer.world_units.fget(self)

    @world_units.setter
    def world_units(self, value: Any) -> None:
        units = value, self.layer.units
        if units != self._known_units:
            self._known_units = units
            VispyImageLayer.world_units.fset(self, value)

    def _on_display_change(self, data: Any = None) -> None:
        if self._begun:
            super()._on_display_change(data)

    def _on_data_change(self) -> None:
        if self._begun:
            super()._on_data_change()

    def reset(self, event: Any = None) -> None:
        """Bring all in line with the model."""
        if self._begun:
            super().reset(event)


class VispyFaintLabels(VispyLabelsLayer):
    """napari's drawing of labels of ours, which is not drawn where it cannot be seen."""

    def _hide_faint(self) -> None:
        self.node.visible = self.node.visible and float(self.layer.opacity) > 0

    def _on_visible_change(self) -> None:
        super()._on_visible_change()
        self._hide_faint()

    def _on_opacity_change(self) -> None:
        super()._on_opacity_change()
        self._on_visible_change()

    def _on_data_change(self) -> None:
        super()._on_data_change()
        self._hide_faint()


def make_labels_drawing(layer: Any, **kwargs: Any) -> VispyLabelsLayer:
    """What draws labels: of ours a `VispyFaintLabels`, of others napari's own."""
    own = get_layer_link(layer.metadata) is not None
    return VispyFaintLabels(layer, **kwargs) if own else VispyLabelsLayer(layer, **kwargs)


def make_image_drawing(layer: Any, **kwargs: Any) -> VispyImageLayer:
    """What draws an image: of ours a `VispyLateImage`, of others napari's own."""
    own = get_layer_link(layer.metadata) is not None
    return VispyLateImage(layer, **kwargs) if own else VispyImageLayer(layer, **kwargs)


def draw_own_layers() -> None:
    """Let napari draw the images and labels of ours by `VispyLateImage` and `VispyFaintLabels`."""
    layer_to_visual[Image], layer_to_visual[Labels] = make_image_drawing, make_labels_drawing


class SceneBatch:
    """napari's batched update of layers, which may be asked for inside itself: the outermost one counts.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel

    Attributes
    ----------
    ending, ended : Signal
        Emitted before and after the canvas takes the changes over: napari calls its own listeners first, whatever
        their order.
    """

    ending = Signal()
    ended = Signal()

    def __init__(self, viewer: Any) -> None:
        draw_own_layers()
        self._dims, self._layers = viewer.dims, viewer.layers
        self._depth = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Layers come, go and change meanwhile; the canvas takes them over at the end."""
        self._depth += 1
        if self._depth == 1:
            self._layers.events.begin_batch()
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self.ending.emit()
                self._layers.events.end_batch()
                self.ended.emit()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """`hold` for a step whose canvas is not painted, until the next turn of the event loop.

        Maps with an axis of age are taken over at once: a slider that is made anew after that turn leaves a window that
        Qt paints no more.
        """
        if self._dims.ndim > 2:
            yield
            return
        with self.hold():
            yield


class OverlayPair(Generic[OverlayT]):
    """An overlay of one view and one of the cells of four maps; one of them is visible.

    Of one overlay for both napari ends what draws it in the cells when there is one view again, and makes it anew with
    the next cells: half of the time that they took. What draws an overlay that is not visible is kept, in its view.

    Parameters
    ----------
    overlays : mapping of str to Overlay
        Where napari keeps them: ``viewer.canvas.overlays`` or ``viewer.scene.overlays``.
    key : str
    make : callable
        Given ``visible``.
    draw : callable
        Draws the current one anew.

    Attributes
    ----------
    both : tuple of two Overlay
        Of one view, of cells.
    """

    def __init__(
        self,
        overlays: MutableMapping[str, Any],
        key: str,
        make: Callable[..., OverlayT],
        draw: Callable[[], None],
    ) -> None:
        self._overlays, self._keys, self._draw = overlays, (key, f"{key}_cells"), draw
        self.both = make(visible=True), make(visible=False)
        self._divided = self._appeared = False
        for each, overlay in zip(self._keys, self.both):
            overlays[each] = overlay

    @property
    def current(self) -> OverlayT:
        """The one of the views that there are, or will be."""
        return self.both[self._divided]

    def choose(self, divided: bool) -> None:
        """There will be cells, or one view; nothing is visible until `appear`."""
        self._divided = divided
        for overlay in self.both:
            overlay.visible = False

    def appear(self) -> None:
        """The canvas is about to make its views: it makes what it lacks in them, if the overlay is visible then.

        Nobody is told yet: of an overlay that lacks something in a view napari cannot work out the place.
        """
        self._appeared = True
        with self.current.events.visible.blocked():
            self.current.visible = True

    def draw_appeared(self) -> None:
        """The canvas has its views: what was kept can be seen again."""
        if self._appeared:
            self._appeared = False
            self._draw()

    def release(self) -> None:
        """Take both out of the viewer."""
        for key, overlay in zip(self._keys, self.both):
            overlay.visible = False
            self._overlays.pop(key, None)


def tell_cover(node: Node, list_places: Callable[[], Any]) -> None:
    """Say which places on the canvas something covers that is drawn above the outlines.

    Parameters
    ----------
    node : vispy.scene.Node
        What draws it.
    list_places : callable
        Bound method that returns an array (n, 2, 2): of each place its upper left and lower right corner (x, y) in
        logical pixels of the canvas, y downwards.
    """
    _COVERS[node] = weakref.WeakMethod(list_places)


class TopNode(Node):
    """What a `KeptPicture` draws upon the rest; before the class of a drawing in the list of bases."""

    #: The rest alone is drawn; its place on the canvas is known.
    is_held_back = is_measured = False

    def draw(self) -> None:
        """Draw it, unless it is held back."""
        if not self.is_held_back:
            super().draw()

    def measure_place(self) -> None:
        """Find where its view is; called while all is drawn, and valid until all is drawn again."""
        raise NotImplementedError

    def find_pieces(self) -> NDArray[np.floating] | None:
        """Bounds of its parts (n, 2, 2), as `tell_cover` has them; None where they are not known."""
        raise NotImplementedError


class KeptPicture:
    """A canvas without its outlines, as it was drawn last: outlines that have changed are drawn upon it, nothing else.

    A click on a bin changes nothing else of the canvas, and the drawing of the rest was a fifth of the time until the
    click was seen. The picture is kept only where what is drawn above the outlines lies beside them: so the canvas
    looks, pixel by pixel, as if all were drawn in its order.

    Parameters
    ----------
    canvas : vispy.scene.SceneCanvas
        Its drawing is replaced, until `release`.

    Attributes
    ----------
    tops : list of TopNode
        What draws outlines, in the order in which it is drawn.
    n_whole, n_quick : int
        How often the scene was drawn as a whole, and how often outlines alone.
    """

    def __init__(self, canvas: SceneCanvas) -> None:
        self.tops: list[TopNode] = []
        self.n_whole = self.n_quick = 0
        self._canvas = weakref.ref(canvas)
        self._store: Any = None
        self._is_kept = False
        self._covered = np.empty((0, 2, 2))
        self._blocked: list[Any] = []
        reference = weakref.ref(self)

        def update(canvas: SceneCanvas, node: Node | None = None) -> None:
            kept = reference()
            if kept is not None and not canvas._drawing and not kept.is_top(node):
                kept._is_kept = False
            type(canvas).update(canvas, node)

        def draw(canvas: SceneCanvas, bgcolor: Any = None) -> None:
            kept = reference()
            if kept is None or bgcolor is not None or canvas._fb_stack:  # a picture of its own
                type(canvas)._draw_scene(canvas, bgcolor=bgcolor)
            else:
                kept._draw(canvas)

        canvas.update, canvas._draw_scene = MethodType(update, canvas), MethodType(draw, canvas)

    def release(self) -> None:
        """Leave the canvas as vispy made it."""
        canvas = self._canvas()
        if canvas is not None:
            for name in ("update", "_draw_scene"):
                vars(canvas).pop(name, None)
            self._block_followers(canvas, False)
        self._store, self._is_kept = None, False

    def _block_followers(self, canvas: SceneCanvas, block: bool) -> None:
        """Whether napari looks for what has moved after a drawing: where outlines alone have changed, nothing has."""
        emitter = canvas.events.draw
        if block and not self._blocked:
            named = [call for call in emitter.callbacks if isinstance(call, tuple) and call[1] == "on_draw"]
            self._blocked = [call for call in named if isinstance(call[0](), VispyCanvas)]
            for call in self._blocked:
                emitter.block(call)
        elif not block:
            for call in self._blocked:
                emitter.unblock(call)
            self._blocked = []

    def _draw(self, canvas: SceneCanvas) -> None:
        tops, size = [top for top in self.tops if _is_seen(top)], QSize(*canvas.physical_size)
        is_quick = self._is_kept and self._store.size() == size and self._has_room(tops)
        self._block_followers(canvas, is_quick)
        if is_quick:
            self.n_quick += 1
            canvas.set_current()
            _opengl.QOpenGLFramebufferObject.blitFramebuffer(None, self._store)
        else:
            self.n_whole += 1
            self._is_kept = self._find_covered(canvas) and self._has_room(tops)
            self._draw_whole(canvas, tops if self._is_kept else [])
            if not self._is_kept:
                return
            canvas.context.flush_commands()
            if self._store is None or self._store.size() != size:
                self._store = _opengl.QOpenGLFramebufferObject(size)
                self._store.release()  # a new one is bound: the outlines would be drawn into it
            _opengl.QOpenGLFramebufferObject.blitFramebuffer(self._store, None)
        canvas._drawing = True
        try:
            for top in tops:
                top.draw()
        finally:
            canvas._drawing = False

    def _draw_whole(self, canvas: SceneCanvas, without: list[TopNode]) -> None:
        for top in without:
            top.is_held_back = True
        try:
            type(canvas)._draw_scene(canvas)
        finally:
            for top in without:
                top.is_held_back = False

    def _has_room(self, tops: list[TopNode]) -> bool:
        """Whether the outlines lie beside all that is drawn above them."""
        found = [top.find_pieces() if top.is_measured else None for top in tops]
        pieces = [each for each in found if each is not None]
        if len(pieces) < len(found) or sum(len(each) for each in pieces) > _MOST_PIECES:
            return False
        ends = np.concatenate([np.empty((0, 2, 2)), *pieces])
        low, high = ends.min(axis=1) - _BEYOND_PX, ends.max(axis=1) + _BEYOND_PX
        meet = (low[:, None] <= self._covered[:, 1]) & (high[:, None] >= self._covered[:, 0])
        return not meet.all(axis=-1).any()

    def is_top(self, node: Node) -> bool:
        """Whether a node draws outlines upon the picture."""
        return any(node is top for top in self.tops)

    def _find_covered(self, canvas: SceneCanvas) -> bool:
        """List the places that are covered by what is drawn above the outlines; False where that is not known."""
        samples = canvas.native.format().samples()
        if samples > 1 or not self.tops or not _opengl.QOpenGLFramebufferObject.hasOpenGLFramebufferBlit():
            return False
        places: list[NDArray[np.floating]] = [np.empty((0, 2, 2))]
        seen = [top for top in self.tops if _is_seen(top)]
        below = [find_view_of(top) for top in seen]  # views whose outlines are still to come
        for node in _list_drawn(canvas.scene):
            cover, view = _COVERS.get(node), find_view_of(node)
            list_places = None if cover is None else cover()
            if list_places is not None:
                places.append(list_places())
            elif view is None:
                return False
            elif self.is_top(node):
                below.remove(view)
            elif view not in below:
                places.append(measure_view(view)[None])
        self._covered = np.concatenate(places)
        for top in self.tops:
            top.is_measured = any(top is each for each in seen)
            if top.is_measured:
                top.measure_place()
        return True


#: By canvas.
_KEPT: weakref.WeakKeyDictionary[SceneCanvas, KeptPicture] = weakref.WeakKeyDictionary()


def add_top(canvas: SceneCanvas, node: TopNode) -> None:
    """Have a canvas draw outlines upon a `KeptPicture`.

    Parameters
    ----------
    canvas : vispy.scene.SceneCanvas
    node : TopNode
        What draws them.
    """
    kept = _KEPT.get(canvas)
    if kept is None:
        kept = _KEPT[canvas] = KeptPicture(canvas)
    if not kept.is_top(node):
        kept.tops.append(node)


def drop_top(canvas: SceneCanvas, node: TopNode) -> None:
    """The outlines go; with the last ones, the canvas is as vispy made it.

    Parameters
    ----------
    canvas : vispy.scene.SceneCanvas
    node : TopNode
        What drew them.
    """
    kept = _KEPT.get(canvas)
    if kept is not None:
        kept.tops = [top for top in kept.tops if top is not node]
        if not kept.tops:
            kept.release()
            del _KEPT[canvas]


def find_kept_picture(canvas: SceneCanvas) -> KeptPicture | None:
    """That of a canvas with outlines."""
    return _KEPT.get(canvas)


def find_view_of(node: Node) -> ViewBox | None:
    """The view in whose scene something is drawn; None of what lies upon views."""
    scene = node
    while scene is not None and not isinstance(scene, SubScene):
        scene = scene.parent
    return scene.parent if scene is not None and isinstance(scene.parent, ViewBox) else None


def measure_view(view: ViewBox) -> NDArray[np.floating]:
    """Corners (2, 2) of a view, as `tell_cover` has them."""
    corners = view.get_transform("visual", "canvas").map(np.array([(0.0, 0.0), view.rect.size]))
    return np.asarray(corners, dtype=float)[:, :2]


def _list_drawn(node: Node) -> list[Node]:
    """What a part of a scene draws, in its order; what holds other things draws nothing."""
    if not node.visible:
        return []
    own = [node] if isinstance(node, VisualNode) and not isinstance(node, Widget) else []
    children = sorted(node.children, key=lambda child: child.order)
    return own + [each for child in children for each in _list_drawn(child)]


def _is_seen(node: Node | None) -> bool:
    return node is None or bool(node.visible and _is_seen(node.parent))
