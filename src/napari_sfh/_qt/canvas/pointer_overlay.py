"""What follows the mouse on the canvas: the words about what is under it, and the view that it is in.

Both are napari's, without what makes a window slow. napari's text has a box behind it, a mesh that is made anew with
each text, and its shader is built and linked anew with it: at every move of the mouse. Here the box is one unit square
that is stretched. And vispy asks the graphics card what lies under the mouse at each press and each turn of the wheel:
it draws the whole scene a second time, unseen, and waits for one of its pixels. Of what it finds napari only uses the
view around it, which follows from the views' rectangles. For each place on the canvas, and twice with each picture,
napari multiplies a view's place with its camera's, and vispy makes shaders for each: `ViewPlace` keeps the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari._vispy.overlays.base import VispyBaseOverlay, VispyCanvasOverlay
from napari._vispy.overlays.text import VispyTextOverlay
from napari._vispy.utils.visual import overlay_to_visual
from napari.components.overlays import TextOverlay
from numpy.typing import NDArray
from vispy.scene import Node, SceneCanvas, ViewBox
from vispy.visuals.transforms import BaseTransform, ChainTransform, MatrixTransform, STTransform

from napari_sfh._qt.canvas.scene_batch import tell_cover

#: Of napari's padding between overlays: what its own boxes reach beyond their text on both sides together.
_PADDING = 0.8
#: Of the box, where it has the colour of the canvas.
_OPACITY = 0.8
#: Pixels by which letters and boxes reach beyond the size of an overlay at most.
_BEYOND_PX = np.array([40.0, 12.0])


class PointerText(TextOverlay):
    """Words about what is under the mouse."""


class NoBox:
    """Stands where napari keeps the box behind an overlay."""

    parent: Any = None

    def set_gl_state(self, **state: Any) -> None:
        """Nothing is drawn."""


class SizedOverlay(VispyCanvasOverlay):
    """An overlay of the canvas that tells where it is."""

    def list_places(self) -> NDArray[np.floating]:
        """What it covers at most, (1, 2, 2), as `scene_batch.tell_cover` has it."""
        corner = np.asarray(self.node.get_transform("visual", "canvas").map((0.0, 0.0)))[:2]
        size = np.array([self.x_size, self.y_size])
        return np.array([[corner - _BEYOND_PX, corner + size + _BEYOND_PX]])


class BoxlessOverlay(SizedOverlay):
    """An overlay of the canvas that never has a box: napari makes a mesh for each, seen or not."""

    def __init__(self, **kwargs: Any) -> None:
        VispyBaseOverlay.__init__(self, **kwargs)
        self.x_size = self.y_size = 0.0
        self.node.transform = STTransform()
        tell_cover(self.node, self.list_places)
        self.box = NoBox()
        self.overlay.events.position.connect(self._on_position_change)
        self.viewer.canvas.events.background_color.connect(self._on_box_change)


class StretchedBox(SizedOverlay):
    """The box behind an overlay as one unit square that is stretched, without a shader for each size."""

    #: Width of what is drawn, of the one that napari works out.
    width_share = 1.0

    def __init__(self, **kwargs: Any) -> None:
        self._stretch = STTransform()
        self._shown_color: NDArray[np.floating] | None = None
        super().__init__(**kwargs)
        for node in (self.node, self.box):
            tell_cover(node, self.list_places)

    def _on_box_change(self) -> None:
        """Stretch the box to its size."""
        if not self.overlay.box or not self._should_be_visible():
            self.box.parent = None
            return
        padding = np.asarray(self.viewer.canvas.overlay_tiling.padding) * _PADDING
        width = self.x_size * self.width_share
        self._stretch.scale = width + padding[0], self.y_size + padding[1]
        self._stretch.translate = width / 2, self.y_size / 2
        ground = self.overlay.box_color
        if ground is None:
            ground = np.array(self.viewer.canvas.background_color) * (1, 1, 1, _OPACITY)
        if self._shown_color is None or not np.array_equal(ground, self._shown_color):
            self._shown_color = self.box.color = np.array(ground)
        if self.box.parent is not self.node.parent:
            self.box.parent = self.node.parent
        self.box.order = self.node.order - 1
        chain = self.box.transform
        if not isinstance(chain, ChainTransform) or self.node.transform not in chain.transforms:
            self.box.transform = ChainTransform(self.node.transform, self._stretch)


class VispyPointerText(StretchedBox, VispyTextOverlay):
    """What draws a `PointerText`."""

    overlay: PointerText
    #: vispy's letters are wider with Qt 6, by 1.5 %.
    width_share = 1.03

    def _on_box_change(self) -> None:
        canvas = self.node.canvas
        if canvas is not None:
            find_views_by_place(canvas)
            keep_products(canvas.scene)
        super()._on_box_change()

    def close(self) -> None:
        """Leave the canvas as vispy made it."""
        canvas = self.node.canvas
        if canvas is not None:
            vars(canvas).pop("visual_at", None)
            drop_products(canvas.scene)
        super().close()


class ViewPlace(STTransform):
    """Where a view is on its canvas; the product with its camera is kept until one of them changes."""

    def __init__(self, place: STTransform) -> None:
        super().__init__(scale=place.scale, translate=place.translate)
        self._factors: tuple[bytes, ...] = ()
        self._product: MatrixTransform | None = None

    def __mul__(self, camera: BaseTransform) -> BaseTransform:
        """As vispy's, with a tenth of its work."""
        if not isinstance(camera, MatrixTransform) or np.any(camera.matrix[:3, 3]):
            return super().__mul__(camera)
        factors = camera.matrix.tobytes(), self.scale.tobytes(), self.translate.tobytes()
        if self._product is None or factors != self._factors:
            own = np.diag([*self.scale[:3], 1.0])
            own[3, :3] = self.translate[:3]
            self._factors, self._product = factors, MatrixTransform(camera.matrix @ own)
        return self._product


def _list_views(scene: Node) -> list[ViewBox]:
    below = [view for child in scene.children for view in _list_views(child)]
    return [scene, *below] if isinstance(scene, ViewBox) else below


def keep_products(scene: Node) -> None:
    """Give the views of a scene a `ViewPlace`.

    Parameters
    ----------
    scene : vispy.scene.Node
    """
    for view in _list_views(scene):
        if type(view.transform) is STTransform:
            view.transform = ViewPlace(view.transform)


def drop_products(scene: Node) -> None:
    """Give the views of a scene back what vispy gave them.

    Parameters
    ----------
    scene : vispy.scene.Node
    """
    for view in _list_views(scene):
        place = view.transform
        if isinstance(place, ViewPlace):
            view.transform = STTransform(scale=place.scale, translate=place.translate)


def add_pointer_text(viewer: Any, key: str) -> PointerText:
    """A read-out for a viewer's canvas, lower left, not shown yet.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    key : str
        Its name in ``viewer.canvas.overlays``.
    """
    overlay_to_visual[PointerText] = VispyPointerText
    overlay = PointerText(text="", position="bottom_left", visible=False, font_size=10)
    viewer.canvas.overlays[key] = overlay
    return overlay


def find_views_by_place(canvas: SceneCanvas) -> None:
    """Let a canvas find the view under the mouse by its rectangle; it is the only thing that it says then.

    Parameters
    ----------
    canvas : vispy.scene.SceneCanvas
        Its ``visual_at`` is replaced.
    """
    if "visual_at" not in vars(canvas):
        canvas.visual_at = lambda pos: find_view_at(canvas.scene, pos)


def find_view_at(scene: Node, pos: Any) -> ViewBox | None:
    """The view of a scene at a place, None beside all of them.

    Parameters
    ----------
    scene : vispy.scene.Node
        And what it holds.
    pos : sequence of float
        x and y in logical pixels of the canvas, y downwards.

    Returns
    -------
    vispy.scene.ViewBox or None
        The innermost one; of those that overlap, the one drawn last.
    """
    for child in reversed(sorted(scene.children, key=lambda node: node.order)):  # noqa: C413, equal ones too
        inner = find_view_at(child, pos)
        if inner is not None:
            return inner
    if isinstance(scene, ViewBox) and scene.visible and scene.interactive:
        x, y = scene.get_transform("canvas", "visual").map(pos)[:2]
        if scene.rect is not None and 0 <= x <= scene.rect.width and 0 <= y <= scene.rect.height:
            return scene
    return None
