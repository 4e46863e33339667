"""RA and Dec along the edges of the canvas (ticks, or a grid), and a compass above the scale bar.

An overlay in screen pixels, so that the numbers stay at the edges while the map is panned and zoomed. The scale bar is
napari's, without what makes a window slow: napari places the overlays anew after a picture whose words have changed,
and paints a second one if one has moved. Its bar has always moved, by less than the numbers of the graphics card can
tell; and the box behind it was a mesh that was made anew, with its shader, whenever another map was shown.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from napari._vispy.overlays.base import ViewerOverlayMixin
from napari._vispy.overlays.scale_bar import VispyScaleBarOverlay
from napari._vispy.utils.qt_font import FontInfo
from napari._vispy.utils.visual import overlay_to_visual
from napari._vispy.visuals.text import Text
from napari.components.overlays import CanvasOverlay, ScaleBarOverlay
from numpy.typing import NDArray
from pydantic import PrivateAttr
from qtpy.QtCore import QTimer
from vispy.scene.visuals import Compound, Line

from napari_sfh._qt.canvas.pointer_overlay import BoxlessOverlay, StretchedBox
from napari_sfh._qt.session import Session
from napari_sfh.analysis.sky_coordinates import SkyTick, list_sky_ticks

#: Key of the overlay in ``viewer.canvas.overlays``.
AXES_OVERLAY = "sfh_sky_axes"
#: What can be drawn, and how it is called.
SKY_STYLES = {"ticks": "RA, Dec ticks", "grid": "RA, Dec grid", "none": "nothing"}
#: Length of a tick and of the compass' arrows, size of letters; pixels, points.
TICK_PX, ARROW_PX, LETTER_POINTS = 7.0, 24.0, 6.5
#: Room of other overlays, pixels: text under the cursor (lower left), scale bar (lower right), legend (upper left).
_LEFT_PX, _RIGHT_PX, _BOTTOM_PX, _TOP_PX = 310.0, 125.0, 62.0, 84.0
#: Room of the compass above the lower right corner and of the legend from the left; width of a letter; pixels.
_COMPASS_PX, _LEGEND_PX, LETTER_PX = 110.0, 230.0, 7.0
#: Height of a line of letters, pixels.
_LINE_PX = 14.0
#: Key of napari's scale bar in ``viewer.canvas.overlays``; of its width, steps a pixel.
_BAR, _STEPS_PX = "scale_bar", 1024
#: From the right edge to the scale bar, and from there to the next number; pixels.
BAR_GAP_PX = 45.0
#: Shifts of the halo behind the words.
_HALO_PX = ((-1.2, -1.2), (-1.2, 1.2), (1.2, -1.2), (1.2, 1.2))
#: A text and its middle (x, y).
Word = tuple[str, float, float]
#: Pixels between ticks of RA and of Dec, at least about.
_APART_PX = (170.0, 80.0)


class SkyAxes(CanvasOverlay):
    """Lines and words in screen pixels (x to the right, y down).

    Attributes
    ----------
    version : int
        Grows with every change; its event repaints.
    """

    box: bool = False
    position: Any = (0, 0)
    version: int = 0
    _lines: NDArray[np.float32] = PrivateAttr(default_factory=lambda: np.empty((0, 2), np.float32))
    _faint: NDArray[np.bool_] = PrivateAttr(default_factory=lambda: np.empty(0, np.bool_))
    _words: list[tuple[str, float, float]] = PrivateAttr(default_factory=list)

    @property
    def lines(self) -> NDArray[np.float32]:
        """Ends (2n, 2) of the line pieces."""
        return self._lines

    @property
    def faint(self) -> NDArray[np.bool_]:
        """Of each end, whether it is of a line of the grid."""
        return self._faint

    @property
    def words(self) -> list[tuple[str, float, float]]:
        """Texts and their middles (x, y)."""
        return self._words

    def draw(
        self, lines: NDArray[np.floating], faint: NDArray[np.bool_], words: list[tuple[str, float, float]]
    ) -> None:
        """Show line pieces (n, 2, 2), those of the grid (n,) faint, and words."""
        self._lines = np.asarray(lines, np.float32).reshape(-1, 2)
        self._faint, self._words = np.repeat(faint, 2), list(words)
        self.version += 1


class _LinesAndWords(Compound):
    def __init__(self, font_info: FontInfo) -> None:
        self.lines = Line(np.zeros((2, 2), np.float32), connect="segments", method="gl", width=1.5)
        # With the letters of the scale bar, which take long to make; halo and words in one drawing.
        self.text = Text(text="", font_size=LETTER_POINTS, anchor_x="center", anchor_y="center", font_info=font_info)
        super().__init__([self.lines, self.text])


class VispySkyAxes(ViewerOverlayMixin, BoxlessOverlay):
    """What draws `SkyAxes`."""

    overlay: SkyAxes
    node: _LinesAndWords

    def __init__(self, *, font_info: FontInfo, **kwargs: Any) -> None:
        super().__init__(node=_LinesAndWords(font_info), font_info=font_info, **kwargs)
        self.overlay.events.version.connect(self._on_axes_change)
        self.viewer.canvas.events.background_color.connect(self._on_axes_change)
        self.reset()

    def _should_be_visible(self) -> bool:
        return bool(self.overlay.visible and len(self.overlay.lines))

    def _on_position_change(self, event: Any = None) -> None:
        """Every place is its own."""

    def list_places(self) -> NDArray[np.floating]:
        """Bounds of lines and words (n, 2, 2), as `scene_batch.tell_cover` has them."""
        ends = self.overlay.lines.reshape(-1, 2, 2).astype(float)
        middles = np.array([(x, y) for _, x, y in self.overlay.words]).reshape(-1, 2)
        half = np.array([(LETTER_PX * len(text), 2 * LETTER_PX) for text, _, _ in self.overlay.words]).reshape(-1, 2)
        words = np.stack([middles - half, middles + half], axis=1)
        return np.concatenate([np.stack([ends.min(axis=1), ends.max(axis=1)], axis=1), words])

    def _on_axes_change(self, _: Any = None) -> None:
        overlay, node = self.overlay, self.node
        if len(overlay.lines):
            front = np.array(self._get_fgcolor(), dtype=np.float32)
            front[3] = 1.0
            color = np.tile(front, (len(overlay.lines), 1))
            color[:, 3] = np.where(overlay.faint, 0.2, 0.95)
            node.lines.set_data(overlay.lines, color=color)
            texts = [text for text, _, _ in overlay.words] or [""]
            places = np.array([(x, y, 0.0) for _, x, y in overlay.words] or [(0.0, 0.0, 0.0)])
            # A halo of the other colour: the words stand on the canvas or on a map.
            node.text.text = texts * (len(_HALO_PX) + 1)
            node.text.pos = np.concatenate([places + np.array([*shift, 0.0]) for shift in (*_HALO_PX, (0.0, 0.0))])
            halo = np.append(1 - front[:3], 1.0)
            node.text.color = np.repeat([halo, front], [len(_HALO_PX) * len(texts), len(texts)], axis=0)
        self._on_visible_change()

    def reset(self) -> None:
        """Bring all in line with the model."""
        super().reset()
        self._on_axes_change()

    def close(self) -> None:
        """Listen no longer."""
        self.overlay.events.version.disconnect(self._on_axes_change)
        super().close()


class SkyBar(ScaleBarOverlay):
    """The scale bar."""

    unit = ScaleBarOverlay.unit  # psygnal tells of properties of a model's own class alone


class VispySkyBar(StretchedBox, VispyScaleBarOverlay):
    """What draws a `SkyBar`."""

    overlay: SkyBar

    @property
    def x_size(self) -> float:
        """Width in pixels, in steps that single precision can tell at any place on a screen."""
        return self._x_size

    @x_size.setter
    def x_size(self, width: float) -> None:
        self._x_size = round(width * _STEPS_PX) / _STEPS_PX


def replace_scale_bar(viewer: Any, kind: type[ScaleBarOverlay]) -> None:
    """Give a viewer a scale bar of another kind, as visible, large and coloured as its own.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    kind : type
        `SkyBar`, or napari's own.
    """
    overlays = viewer.canvas.overlays
    before = overlays.pop(_BAR)  # one that is equal in all fields would not take its place
    overlays[_BAR] = kind(**{name: getattr(before, name) for name in ScaleBarOverlay.model_fields})


class SkyFrame:
    """The axes of one viewer, which follow its camera.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    session : Session
        Its sky is drawn.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        overlay_to_visual[SkyAxes], overlay_to_visual[SkyBar] = VispySkyAxes, VispySkyBar
        replace_scale_bar(viewer, SkyBar)
        self._viewer, self._session = viewer, session
        self._waits = False
        self.style = "ticks"
        self.overlay = SkyAxes(visible=False)
        viewer.canvas.overlays[AXES_OVERLAY] = self.overlay
        for event in self._events():
            event.connect(self.touch)

    def _events(self) -> list[Any]:
        camera, canvas = self._viewer.scene.camera.events, self._viewer.canvas.events
        return [camera.center, camera.zoom, canvas.size, self._viewer.canvas.grid.events.enabled]

    def release(self) -> None:
        """Take all out of the viewer."""
        for event in self._events():
            event.disconnect(self.touch)
        self.overlay.visible = False
        self._viewer.canvas.overlays.pop(AXES_OVERLAY, None)
        replace_scale_bar(self._viewer, ScaleBarOverlay)

    def set_style(self, style: str) -> None:
        """Draw ticks, a grid or nothing (a key of `SKY_STYLES`)."""
        self.style = style
        self.update()

    def touch(self, _: Any = None) -> None:
        """Draw anew in the next turn: the camera tells of a zoom and of a move one after the other."""
        if not self._waits:
            self._waits = True
            reference = weakref.ref(self)
            QTimer.singleShot(0, lambda: _update_if_alive(reference))

    def update(self) -> None:
        """Draw what the camera sees now."""
        self._waits = False
        viewer = self._viewer
        shown = self.style != "none" and self._session.has_sky and not viewer.canvas.grid.enabled
        shown = shown and viewer.dims.ndisplay == 2 and viewer.scene.camera.zoom > 0
        if shown:
            self.overlay.draw(*self._make())
        if self.overlay.visible != shown:
            self.overlay.visible = shown

    def _make(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[tuple[str, float, float]]]:
        camera = self._viewer.scene.camera
        height, width = (float(n) for n in self._viewer.canvas.size)
        centre, zoom = np.array(camera.center[-2:]), float(camera.zoom)
        half = np.array([height, width]) / 2 / zoom
        most = max(2, int(width / _APART_PX[0])), max(2, int(height / _APART_PX[1]))
        # The scale bar is as wide as napari likes, or has a length of its own.
        right = max(_RIGHT_PX, float(self._viewer.canvas.overlays.scale_bar.length or 0.0) * zoom + BAR_GAP_PX)
        sky, size = self._session.sky, np.array([width, height])
        lines: list[NDArray[np.float64]] = []
        faint: list[bool] = []
        words: list[Word] = []
        ticks = list_sky_ticks(sky, centre - half, centre + half, most)
        for axis in ("RA", "Dec"):
            drawn = self._draw_axis([tick for tick in ticks if tick.axis == axis], centre, zoom, size, right)
            if len(drawn[2]) < 2:  # no scale
                finer = list_sky_ticks(sky, centre - half, centre + half, (most[0] + 2, most[1] + 2))
                more = self._draw_axis([tick for tick in finer if tick.axis == axis], centre, zoom, size, right)
                drawn = max(drawn, more, key=lambda each: len(each[2]))
            lines += drawn[0]
            faint += drawn[1]
            words += [word for word in drawn[2] if not any(_do_collide(word, other) for other in words)]
        compass, letters = _draw_compass(width, height)
        return np.array([*lines, *compass]), np.array([*faint, *[False] * len(compass)]), [*words, *letters]

    def _draw_axis(
        self, some: list[SkyTick], centre: NDArray[np.float64], zoom: float, size: NDArray[np.float64], right: float
    ) -> tuple[list[NDArray[np.float64]], list[bool], list[Word]]:
        """Lines of an axis, which of them are faint, and its numbers."""
        lines: list[NDArray[np.float64]] = []
        faint: list[bool] = []
        numbers: list[list[Word | None]] = []
        for tick in some:
            # North is up, east is left.
            path = size / 2 - (tick.line[:, ::-1] - centre[::-1]) * zoom
            if self.style == "grid":
                lines += list(np.stack([path[:-1], path[1:]], axis=1))
                faint += [True] * (len(path) - 1)
            ticks, at_edges = _draw_ticks(tick.axis, tick.text, path, float(size[0]), float(size[1]), right)
            lines += ticks
            faint += [False] * len(ticks)
            numbers.append(at_edges)
        return lines, faint, _choose_edge(numbers)


def _draw_ticks(
    axis: str, text: str, path: NDArray[np.float64], width: float, height: float, right: float
) -> tuple[list[NDArray[np.float64]], list[Word | None]]:
    """Ticks of a line of the sky (m, 2) at both edges that it meets; its number at each, None where it has no room."""
    ticks: list[NDArray[np.float64]] = []
    words: list[Word | None] = []
    half, is_dec = 0.5 * LETTER_PX * len(text), axis == "Dec"
    # Each edge with the way inwards, and the ends of what other overlays leave of it: left and right, bottom and top.
    edges = [(height, -1, _LEFT_PX + half, width - right - half), (0.0, 1, _LEGEND_PX + half, width - 4.0 - half)]
    if is_dec:
        edges = [(0.0, 1, _TOP_PX, height - _BOTTOM_PX - 10), (width, -1, 14.0, height - _COMPASS_PX)]
    order = slice(None) if is_dec else slice(None, None, -1)
    away = TICK_PX + (4 + half if is_dec else 8)
    for edge, inward, first, last in edges:
        at = _cross(path[:, order], edge)
        words.append(None)
        if at is None:
            continue
        ticks.append(np.array([[edge, at], [edge + inward * TICK_PX, at]])[:, order])
        if first < at < last:
            x, y = np.array([edge + inward * away, at])[order]
            words[-1] = text, float(x), float(y)
    return ticks, words


def _choose_edge(numbers: list[list[Word | None]]) -> list[Word]:
    """The numbers of an axis, all at one edge: at the first, lower or left, unless the other has room for more.

    A single number is no scale.
    """
    edges = [[word for word in edge if word is not None] for edge in zip(*numbers)]
    return next((edge for edge in edges if len(edge) > 1), max(edges, key=len, default=[]))


def _do_collide(one: Word, other: Word) -> bool:
    """Whether two numbers would lie on each other, as at a corner of a small canvas."""
    (text, x, y), (other_text, other_x, other_y) = one, other
    return abs(x - other_x) < LETTER_PX * (len(text) + len(other_text)) / 2 and abs(y - other_y) < _LINE_PX


def _cross(path: NDArray[np.float64], edge: float) -> float | None:
    """Second coordinate where a path (m, 2) has ``edge`` as its first; None where it does not get there."""
    first, second = path[np.argsort(path[:, 0])].T
    return float(np.interp(edge, first, second)) if first[0] <= edge <= first[-1] else None


def _draw_compass(width: float, height: float) -> tuple[list[NDArray[np.float64]], list[tuple[str, float, float]]]:
    """Arrows to north (up) and east (left) above the scale bar, and their letters."""
    corner = np.array([width - 22.0, height - 62.0])
    pieces = []
    for ahead in (np.array([0.0, -1.0]), np.array([-1.0, 0.0])):
        tip, side = corner + ARROW_PX * ahead, ahead[::-1]
        pieces += [np.array([corner, tip]), *(np.array([tip, tip - 6 * ahead + 4 * s * side]) for s in (-1, 1))]
    letters = [("N", corner[0], corner[1] - ARROW_PX - 10), ("E", corner[0] - ARROW_PX - 9, corner[1])]
    return pieces, letters


def _update_if_alive(reference: weakref.ref[SkyFrame]) -> None:
    frame = reference()
    if frame is not None:
        frame.update()
