"""Outlines of selected bins and of regions, and the cursor's cross: one overlay that every cell of a grid shows.

An overlay of napari's scene, not a layer: it lies above all layers, cannot be deleted with them, and has the same width
in screen pixels at every zoom (a bin of one spaxel stays visible inside it). Its border is black beside a bright line
and white beside a dark one: whatever colour the map has beneath, line or border contrasts with it. A layer for each
cell of the grid of four maps took 3 s to add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari._vispy.overlays.base import ViewerOverlayMixin, VispySceneOverlay
from napari._vispy.utils.gl import BLENDING_MODES
from napari._vispy.utils.qt_font import FontInfo
from napari._vispy.utils.visual import overlay_to_visual
from napari._vispy.visuals.text import Text
from napari.components.overlays import SceneOverlay
from numpy.typing import NDArray
from pydantic import PrivateAttr
from vispy.color import ColorArray
from vispy.gloo import VertexBuffer
from vispy.scene.visuals import create_visual_node
from vispy.visuals import Visual

from napari_sfh._qt.canvas.scene_batch import OverlayPair, TopNode, add_top, drop_top, find_view_of, measure_view
from napari_sfh.analysis.regions import RegionTrace
from napari_sfh.analysis.sky_coordinates import SkyGrid

#: Width in screen pixels of a line and of its border.
LINE_PX, BORDER_PX = 2.0, 5.5
#: Size of names in points; by how many screen pixels their border reaches beyond the letters, to all sides.
NAME_POINTS, NAME_BORDER_PX = 10.0, 1.5
#: Colours of the border, RGBA: beside bright lines, and beside lines whose relative luminance is below `DARK_LINE`.
DARK_BORDER, BRIGHT_BORDER, DARK_LINE = (0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0), 0.18
_VERTEX = """
attribute vec2 a_end;
attribute vec4 a_color;
attribute vec4 a_border;
uniform float u_border;
varying vec4 v_color;
void main() {
    v_color = mix(a_color, a_border, u_border);
    gl_Position = $transform(vec4(a_end, 0.0, 1.0));
}
"""
_FRAGMENT = """
varying vec4 v_color;
void main() { gl_FragColor = v_color; }
"""
#: Key of the overlay in ``viewer.scene.overlays``.
SELECTION_OVERLAY = "sfh_selection"


def measure_luminance(rgba: NDArray[np.floating]) -> NDArray[np.floating]:
    """Relative luminance of sRGB colours (WCAG 2.2).

    Parameters
    ----------
    rgba : array (..., 3 or more)
        0 to 1.

    Returns
    -------
    array (...)
        0 black to 1 white.
    """
    linear = np.where(rgba <= 0.04045, rgba / 12.92, ((rgba + 0.055) / 1.055) ** 2.4)[..., :3]
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]))


def choose_borders(colors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colours of the borders of lines.

    Parameters
    ----------
    colors : array (n, 4)
        RGBA of the lines, 0 to 1.

    Returns
    -------
    array (n, 4)
        RGBA.
    """
    dark = measure_luminance(colors)[:, None] < DARK_LINE
    return np.where(dark, BRIGHT_BORDER, DARK_BORDER).astype(np.float32)


@dataclass(frozen=True)
class RegionName:
    """Name of a region, written on the sky.

    Attributes
    ----------
    text, color : str
    place : tuple of two floats
        Its middle, offset (Dec, RA) in arcsec.
    """

    text: str
    color: str
    place: tuple[float, float]


class BinLines(SceneOverlay):
    """Line pieces and names in the plane of the sky.

    Attributes
    ----------
    version : int
        Grows with every change of the lines; its event repaints them.
    scene_version : int
        Grows before layers go for good; its event makes the canvas' OpenGL context the current one.
    """

    version: int = 0
    scene_version: int = 0
    _vertices: NDArray[np.float32] = PrivateAttr(default_factory=lambda: np.empty((0, 2), np.float32))
    _colors: NDArray[np.float32] = PrivateAttr(default_factory=lambda: np.empty((0, 4), np.float32))
    _names: tuple[RegionName, ...] = PrivateAttr(default=())

    @property
    def names(self) -> tuple[RegionName, ...]:
        """What is written."""
        return self._names

    @property
    def vertices(self) -> NDArray[np.float32]:
        """Ends of the line pieces, (2n, 2), offsets (Dec, RA) in arcsec."""
        return self._vertices

    @property
    def colors(self) -> NDArray[np.float32]:
        """Colour of each end, (2n, 4), RGBA."""
        return self._colors

    def set_lines(
        self, segments: NDArray[np.floating], colors: Sequence[str], names: Sequence[RegionName] = ()
    ) -> None:
        """Show other line pieces and names; names without lines are not drawn.

        Parameters
        ----------
        segments : array (n, 2, 2)
            Start and end of each, offsets (Dec, RA) in arcsec.
        colors : list of str
            One colour a piece.
        names : sequence of RegionName
        """
        if not len(segments) and not len(self._vertices):
            return
        self._vertices = np.asarray(segments, np.float32).reshape(-1, 2)
        rgba = {color: ColorArray(color).rgba[0] for color in set(colors)}
        picked = np.array([rgba[color] for color in colors], np.float32).reshape(-1, 4)
        self._colors = np.repeat(picked, 2, axis=0)
        self._names = tuple(names)
        self.version += 1


class OutlinesVisual(Visual):
    """Coloured line pieces upon wider ones in the border's colour: one program, drawn twice."""

    def __init__(self) -> None:
        self._ends, self._colors, self._borders = (VertexBuffer(np.zeros((2, n), np.float32)) for n in (2, 4, 4))
        self.places = np.zeros((2, 2), np.float32)  # (x, y) of the ends
        super().__init__(vcode=_VERTEX, fcode=_FRAGMENT)
        self.shared_program["a_end"] = self._ends
        self.shared_program["a_color"] = self._colors
        self.shared_program["a_border"] = self._borders
        self._draw_mode = "lines"
        self.set_gl_state("translucent")

    def set_lines(self, vertices: NDArray[np.float32], colors: NDArray[np.float32]) -> None:
        """Draw other pieces; there must be some.

        Parameters
        ----------
        vertices : array (2n, 2)
            Ends, (Dec, RA).
        colors : array (2n, 4)
            RGBA.
        """
        self.places = np.ascontiguousarray(vertices[:, ::-1])  # vispy's x is the last axis
        self._ends.set_data(self.places)
        self._colors.set_data(colors)
        self._borders.set_data(choose_borders(colors))
        self.update()

    def _prepare_transforms(self, view: Any) -> None:
        view.view_program.vert["transform"] = view.transforms.get_transform()

    def _prepare_draw(self, view: Any) -> None:
        """All is there."""

    def draw(self) -> None:
        """The borders, then the lines."""
        for share, width in ((1.0, BORDER_PX), (0.0, LINE_PX)):
            self.shared_program["u_border"] = share
            self.update_gl_state(line_width=max(width * self.transforms.pixel_scale, 1.0), line_smooth=False)
            super().draw()


class Outlines(TopNode, create_visual_node(OutlinesVisual)):  # type: ignore[misc]
    """The same in a scene, and names upon shifted copies in the border's colour, which are made with the first one."""

    def __init__(self, font_info: FontInfo) -> None:
        super().__init__()
        self.unfreeze()
        self._font_info = font_info
        self.words: Any = None
        self.view_corners: NDArray[np.floating] | None = None
        self.to_canvas = np.eye(2), np.zeros(2)
        self.freeze()

    def measure_place(self) -> None:
        """Find the corners of its view, and the affine map from the plane of the sky to the canvas."""
        view = find_view_of(self)
        self.view_corners = None
        if view is not None:
            basis = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
            zero, x, y, both = self.get_transform("visual", "canvas").map(basis)[:, :2]
            if np.allclose(both, x + y - zero):  # no perspective
                self.view_corners, self.to_canvas = measure_view(view), (np.array([x - zero, y - zero]), zero)

    def find_pieces(self) -> NDArray[np.floating] | None:
        """Bounds of the line pieces in their view; None where there are names."""
        if self.view_corners is None or (self.words is not None and self.words.text != ""):
            return None
        matrix, zero = self.to_canvas
        ends = (self.places @ matrix + zero).reshape(-1, 2, 2)
        pieces = np.stack([ends.min(axis=1), ends.max(axis=1)], axis=1)
        first, last = self.view_corners
        return pieces[(pieces[:, 0] <= last).all(axis=1) & (pieces[:, 1] >= first).all(axis=1)]

    def set_names(self, names: Sequence[RegionName], arcsec_per_px: float, gl_state: dict[str, Any]) -> None:
        """Write other names."""
        if not names:
            if self.words is not None and self.words.text != "":
                self.words.text = ""
            return
        if self.words is None:
            style = {"font_size": NAME_POINTS, "anchor_x": "center", "anchor_y": "center"}
            self.words = Text(text="", font_info=self._font_info, parent=self, **style)
            self.words.set_gl_state(**gl_state)
        colors = np.array([ColorArray(name.color).rgba[0] for name in names], np.float32)
        places = np.array([(*name.place[::-1], 0.0) for name in names])
        shifts = np.array([(x, y, 0.0) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y])
        borders = [places + shift * NAME_BORDER_PX * arcsec_per_px for shift in shifts]
        self.words.text = [name.text for name in names] * (len(shifts) + 1)
        self.words.pos = np.concatenate([*borders, places])
        self.words.color = np.concatenate([*[choose_borders(colors)] * len(shifts), colors])


class VispyBinLines(ViewerOverlayMixin, VispySceneOverlay):
    """What draws a `BinLines` in one view of the canvas."""

    overlay: BinLines
    node: Outlines

    def __init__(self, *, font_info: FontInfo, **kwargs: Any) -> None:
        super().__init__(node=Outlines(font_info), font_info=font_info, **kwargs)
        self.overlay.events.version.connect(self._on_lines_change)
        self.viewer.scene.camera.events.zoom.connect(self._write_names)
        self.viewer.layers.events.removing.connect(self._make_current)
        self.overlay.events.scene_version.connect(self._make_current)
        self.reset()

    def _should_be_visible(self) -> bool:
        return bool(self.overlay.visible and len(self.overlay.vertices))

    def _make_current(self, _: Any = None) -> None:
        """When a layer goes, napari has vispy delete what it drew in whichever OpenGL context is the current one.

        That may be the one of another window, which would lose drawings of its own with the same numbers, or the one
        in which Qt puts the window's picture together: the window would stand still for good.
        """
        canvas = self.node.canvas
        if canvas is not None:
            canvas.set_current()

    def _on_lines_change(self) -> None:
        if len(self.overlay.vertices):
            self.node.set_lines(self.overlay.vertices, self.overlay.colors)
        self._on_visible_change()

    def _on_visible_change(self) -> None:
        if self.node.canvas is not None:
            add_top(self.node.canvas, self.node)
        super()._on_visible_change()
        self._write_names()

    def _write_names(self, _: Any = None) -> None:
        """Their borders have one width on the screen at every zoom."""
        if not self._should_be_visible():
            return
        zoom = float(self.viewer.scene.camera.zoom)
        gl_state = BLENDING_MODES[self.overlay.blending]
        self.node.set_names(self.overlay.names, 1 / zoom if zoom > 0 else 0.0, gl_state)

    def reset(self) -> None:
        """Bring all in line with the model."""
        super().reset()
        self._on_lines_change()

    def close(self) -> None:
        """Listen no longer."""
        self.overlay.events.version.disconnect(self._on_lines_change)
        self.viewer.scene.camera.events.zoom.disconnect(self._write_names)
        self.viewer.layers.events.removing.disconnect(self._make_current)
        self.overlay.events.scene_version.disconnect(self._make_current)
        if self.node.canvas is not None:
            drop_top(self.node.canvas, self.node)
        super().close()


class SelectionMarks:
    """The overlay of one viewer: bins and regions outlined, a cross where the cursor is in the other cells of a grid.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel

    Attributes
    ----------
    pair : OverlayPair
    """

    def __init__(self, viewer: Any) -> None:
        overlay_to_visual[BinLines] = VispyBinLines
        self._outline: tuple[NDArray[np.float64], list[str]] = (np.empty((0, 2, 2)), [])
        #: Regions that are outlined and named.
        self.regions: tuple[RegionTrace, ...] = ()
        self._region_lines: tuple[NDArray[np.float64], list[str], list[RegionName]] = np.empty((0, 2, 2)), [], []
        self._cross = np.empty((0, 2, 2))
        self.pair = OverlayPair(viewer.scene.overlays, SELECTION_OVERLAY, BinLines, self._draw)

    @property
    def overlay(self) -> BinLines:
        """What is drawn."""
        return self.pair.current

    def set_outline(self, segments: NDArray[np.float64], colors: list[str]) -> None:
        """Outline bins: pieces (n, 2, 2) in arcsec, a colour each."""
        self._outline = segments, colors
        self._draw()

    def clear_regions(self) -> None:
        """Outline no region."""
        if self.regions:
            self.regions, self._region_lines = (), (np.empty((0, 2, 2)), [], [])
            self._draw()

    def set_regions(self, regions: Sequence[RegionTrace], sky: SkyGrid) -> None:
        """Outline and name regions, the names in their middle; ``sky`` is that of the maps."""
        self.regions = tuple(regions)
        pieces, colors, names = [np.empty((0, 2, 2))], [], []
        for region in regions:
            path = sky.to_world(region.path)
            pieces.append(np.stack([path[:-1], path[1:]], axis=1))
            colors += [region.color] * (len(path) - 1)
            if region.name:
                dec, ra = (path.min(axis=0) + path.max(axis=0)) / 2
                names.append(RegionName(region.name, region.color, (float(dec), float(ra))))
        self._region_lines = np.concatenate(pieces), colors, names
        self._draw()

    def set_cross(self, world: NDArray[np.floating] | None, half_size: float) -> None:
        """Mark a place (Dec, RA offset in arcsec) by a cross; None takes it away."""
        if world is None and not len(self._cross):
            return
        if world is None:
            self._cross = np.empty((0, 2, 2))
        else:
            arms = np.array([[[-1, 0], [1, 0]], [[0, -1], [0, 1]]]) * half_size
            self._cross = np.asarray(world, dtype=float) + arms
        self._draw()

    def make_current(self) -> None:
        """Have what goes with layers be deleted in the canvas' own OpenGL context."""
        for overlay in self.pair.both:
            overlay.scene_version += 1

    def _draw(self) -> None:
        (below, below_colors, names), (segments, colors) = self._region_lines, self._outline
        pieces = np.concatenate([below, segments, self._cross])
        self.overlay.set_lines(pieces, [*below_colors, *colors, *["white"] * len(self._cross)], names)

    def release(self) -> None:
        """Take the overlay out of the viewer."""
        self.pair.release()
