"""Title and colours of what the canvas shows, as one overlay of the canvas; in the grid of four maps, one a cell.

napari's own title and colorbar of a layer are a dozen drawings for each map: text, ticks, frames, boxes, each with a
shader of its own that is built again whenever the map moves to another cell. A map that was shown first took 0.37 s of
processor time, four maps 0.8 s. Here a legend is one picture; a switch of maps replaces it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari._vispy.overlays.base import ViewerOverlayMixin
from napari._vispy.utils.visual import overlay_to_visual
from napari.components._viewer_constants import CanvasPosition
from napari.components.overlays import CanvasOverlay
from numpy.typing import NDArray
from pydantic import PrivateAttr
from qtpy.QtWidgets import QApplication
from vispy.gloo import Texture2D, VertexBuffer
from vispy.scene import Grid, Node, ViewBox
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

from napari_sfh._qt.canvas.layer_data import format_layer_title, get_layer_link
from napari_sfh._qt.canvas.legend_image import LegendContent, LegendStyle, draw_legend
from napari_sfh._qt.canvas.pointer_overlay import BoxlessOverlay
from napari_sfh._qt.canvas.scene_batch import OverlayPair

#: Key of the overlay in ``viewer.canvas.overlays``.
LEGEND_OVERLAY = "sfh_legend"
#: Steps of colour of the bar.
BAR_STEPS = 64
#: Width of the bar in pixels and points of the letters, of one map and of a cell of the grid.
ONE_MAP, OF_FOUR = (170.0, 11.0), (120.0, 9.0)
#: Cells are at least as large, as napari has it; new ones are smaller.
LEAST_CELL_PX = 20
#: Events of a layer that change its legend.
_WATCHED = ("contrast_limits", "colormap", "gamma", "name")
_VERTEX = """
attribute vec2 a_corner;
uniform vec2 u_size;
varying vec2 v_place;
void main() {
    v_place = a_corner;
    gl_Position = $transform(vec4(a_corner * u_size, 0.0, 1.0));
}
"""
_FRAGMENT = """
uniform sampler2D u_picture;
varying vec2 v_place;
void main() { gl_FragColor = texture2D(u_picture, v_place); }
"""


class MapLegend(CanvasOverlay):
    """Legends of the maps that are shown, in the order of the grid's cells.

    Attributes
    ----------
    version : int
        Grows with every change of the contents; its event repaints them.
    """

    position: CanvasPosition | Any = CanvasPosition.TOP_LEFT
    box: bool = False
    gridded: bool = True
    version: int = 0
    _contents: tuple[LegendContent, ...] = PrivateAttr(default=())
    _pictures: list[Any] = PrivateAttr(default_factory=list)

    @property
    def contents(self) -> tuple[LegendContent, ...]:
        """What each legend shows."""
        return self._contents

    def set_contents(self, contents: Sequence[LegendContent]) -> None:
        """Show other legends."""
        if tuple(contents) != self._contents:
            self._contents = tuple(contents)
            self.version += 1

    def find_content(self, picture: Any) -> LegendContent | None:
        """What one picture shows. napari makes and ends them in the order of the cells."""
        place = self._pictures.index(picture) if picture in self._pictures else len(self._contents)
        return self._contents[place] if place < len(self._contents) else None

    def join(self, picture: Any) -> None:
        """A picture was made for the next cell."""
        self._pictures.append(picture)

    def leave(self, picture: Any) -> None:
        """A picture was ended."""
        if picture in self._pictures:
            self._pictures.remove(picture)


class PictureVisual(Visual):
    """A picture as it is, pixel by pixel: vispy's images have interpolation, limits and colours, and a long shader."""

    def __init__(self) -> None:
        self._picture = Texture2D(np.zeros((1, 1, 4), np.uint8), interpolation="nearest")
        super().__init__(vcode=_VERTEX, fcode=_FRAGMENT)
        self.shared_program["a_corner"] = VertexBuffer(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32))
        self.shared_program["u_picture"] = self._picture
        self.shared_program["u_size"] = 1.0, 1.0
        self._draw_mode = "triangle_strip"

    def set_picture(self, rgba: NDArray[np.uint8]) -> None:
        """Draw a picture (ny, nx, 4) of nx times ny units, its first row at 0."""
        self._picture.set_data(np.ascontiguousarray(rgba))
        self.shared_program["u_size"] = float(rgba.shape[1]), float(rgba.shape[0])
        self.update()

    def _prepare_transforms(self, view: Any) -> None:
        view.view_program.vert["transform"] = view.transforms.get_transform()

    def _prepare_draw(self, view: Any) -> None:
        """All is there."""


class Picture(create_visual_node(PictureVisual)):  # type: ignore[misc]
    """The same in a scene."""


class VispyMapLegend(ViewerOverlayMixin, BoxlessOverlay):
    """What draws one legend in one view of the canvas."""

    overlay: MapLegend
    node: Picture

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(node=Picture(), **kwargs)
        self._drawn: tuple[LegendContent, LegendStyle] | None = None
        self.overlay.join(self)
        self.overlay.events.version.connect(self._on_contents_change)
        self.reset()

    def _should_be_visible(self) -> bool:
        return bool(self.overlay.visible) and self.overlay.find_content(self) is not None

    def _on_contents_change(self) -> None:
        before = self.x_size, self.y_size
        content = self.overlay.find_content(self)
        if content is not None:
            self._draw(content)
        self._on_visible_change()
        if (self.x_size, self.y_size) != before:
            self.viewer.canvas.events._overlay_positions_changed()

    def _draw(self, content: LegendContent) -> None:
        style = self._choose_style()
        if self._drawn == (content, style):
            return
        self._drawn = content, style
        picture = draw_legend(content, style)
        self.node.set_picture(picture)
        self.node.transform.scale = (1 / style.ratio, 1 / style.ratio)
        self.x_size, self.y_size = (float(n) / style.ratio for n in picture.shape[1::-1])

    def _choose_style(self) -> LegendStyle:
        """Ink that contrasts with the canvas, on a ground that lets a map be seen."""
        ground = np.asarray(self.viewer.canvas.background_color)[:3]
        ink = (255, 255, 255, 255) if ground.mean() < 0.5 else (0, 0, 0, 255)
        bar, points = ONE_MAP if len(self.overlay.contents) == 1 else OF_FOUR
        screen = QApplication.primaryScreen()
        ratio = 1.0 if screen is None else float(screen.devicePixelRatio())
        red, green, blue = (round(255 * float(part)) for part in ground)
        return LegendStyle(bar, points, ink, (red, green, blue, 150), ratio)

    def _on_box_change(self) -> None:
        """The background has another colour, or the legend has come into a view."""
        set_cell_sizes(self.node.parent)
        super()._on_box_change()
        content = self.overlay.find_content(self)
        if content is not None:
            self._draw(content)

    def reset(self) -> None:
        """Bring all in line with the model."""
        super().reset()
        self._on_contents_change()

    def close(self) -> None:
        """Listen no longer."""
        self.overlay.events.version.disconnect(self._on_contents_change)
        self.overlay.leave(self)
        super().close()


def set_cell_sizes(view: Node | None) -> None:
    """Give a new view of a grid its size: vispy does that as it paints, the first picture was a few spaxels large.

    Parameters
    ----------
    view : vispy.scene.Node, optional
    """
    if isinstance(view, ViewBox) and isinstance(view.parent, Grid) and min(view.rect.size) < LEAST_CELL_PX:
        view.parent._update_child_widget_dim()


class LayerLegends:
    """Keeps the legends of one viewer in line with layers.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel

    Attributes
    ----------
    pair : OverlayPair
    """

    def __init__(self, viewer: Any) -> None:
        overlay_to_visual[MapLegend] = VispyMapLegend
        self._layers: list[Any] = []
        self.pair = OverlayPair(viewer.canvas.overlays, LEGEND_OVERLAY, MapLegend, self._draw)

    @property
    def overlay(self) -> MapLegend:
        """What is drawn."""
        return self.pair.current

    def follow(self, layers: Sequence[Any]) -> None:
        """Describe these layers, in the order of the grid's cells, and their changes."""
        for layer in self._layers:
            for name in _WATCHED:
                getattr(layer.events, name).disconnect(self._refresh)
        self._layers = list(layers)
        for layer in self._layers:
            layer.colorbar.visible = layer.name_overlay.visible = False  # an explorer before this one has left them
            for name in _WATCHED:
                getattr(layer.events, name).connect(self._refresh)
        self._refresh()

    def _draw(self) -> None:
        self.overlay.version += 1

    def _refresh(self, _: Any = None) -> None:
        self.overlay.set_contents([describe_layer(layer) for layer in self._layers])

    def release(self) -> None:
        """Take the overlay out of the viewer; napari's own title and colorbar take its place on what is shown."""
        left = self._layers
        self.follow([])
        self.pair.release()
        for layer in left:
            layer.colorbar.visible = layer.name_overlay.visible = True


def describe_layer(layer: Any) -> LegendContent:
    """The legend of an image layer; flags and BPT classes have no bar, their colours are named in the dock."""
    link = get_layer_link(layer.metadata)
    title = format_layer_title(str(layer.name), link)
    low, high = (float(limit) for limit in layer.contrast_limits)
    if link is not None and link.name in ("FLAG", "BPT"):
        return LegendContent(title, (), low, high)
    rgba = np.asarray(layer.colormap.map(np.linspace(0, 1, BAR_STEPS) ** float(layer.gamma)))
    colors = tuple((int(r), int(g), int(b)) for r, g, b in np.round(255 * rgba[:, :3]))
    return LegendContent(title, colors, low, high)
