"""The scene of a viewer: many changes for which it is put together once, drawings that it keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
from napari._vispy.layers.image import ImageLayerNode, VispyImageLayer
from napari._vispy.layers.labels import VispyLabelsLayer
from napari._vispy.layers.scalar_field import ScalarFieldLayerNode
from napari._vispy.utils.gl import get_gl_extensions, get_max_texture_sizes
from napari._vispy.utils.visual import layer_to_visual
from napari._vispy.visuals.image import Image as ImageNode
from napari.components.overlays import Overlay
from napari.layers import Image, Labels
from psygnal import Signal

from napari_sfh._qt.canvas.layer_data import get_layer_link

OverlayT = TypeVar("OverlayT", bound=Overlay)


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
