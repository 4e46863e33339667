"""Shapes that the mouse draws on the map: what there is to draw, and their corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.regions import Outline, OutlineKind

#: What can be drawn: the layer's mode, and what to do then.
SHAPES: dict[str, tuple[str, str]] = {
    "lasso": ("add_polygon_lasso", "Draw around some bins with the left button held; let go to close the region."),
    "ellipse": ("add_ellipse", "Drag from one corner of the ellipse's box to the other."),
    "box": ("add_rectangle", "Drag from one corner of the box to the other."),
    "polygon": ("add_polygon", "Click the corners; a double click closes the polygon."),
}

#: Kinds of outlines by napari's names of shapes; others are polygons.
OUTLINE_KINDS: dict[str, OutlineKind] = {"ellipse": "ellipse", "rectangle": "box"}
_SHAPE_TYPES = {kind: name for name, kind in OUTLINE_KINDS.items()}


def outline_to_shape(outline: Outline) -> tuple[NDArray[np.float64], str]:
    """Corners and napari's name of the shape that an outline is: an ellipse stays one that can be turned and drawn out.

    Parameters
    ----------
    outline : Outline

    Returns
    -------
    array (n, 2)
        y, x; of an ellipse the corners of its box.
    str
    """
    if outline.kind == "polygon":
        return outline.points, "polygon"
    centre, a, b = outline.find_axes()
    return np.array([centre - a - b, centre + a - b, centre + a + b, centre - a + b]), _SHAPE_TYPES[outline.kind]


def read_outline(corners: NDArray[np.floating], kind: str, hole: bool, name: str) -> Outline:
    """The outline that a shape of napari is.

    Parameters
    ----------
    corners : array (n, 2 or more)
        The last two columns count: y, x.
    kind : str
        napari's name of the shape.
    hole : bool
        What is inside does not count.
    name : str
    """
    return Outline(shape_to_polygon(corners, kind), not hole, None, name, OUTLINE_KINDS.get(kind, "polygon"))


def shape_to_polygon(corners: NDArray[np.floating], kind: str) -> NDArray[np.float64]:
    """Corners of a shape; an ellipse, given by the corners of its box, becomes 64 of its points.

    Parameters
    ----------
    corners : array (n, 2 or more)
        The last two columns count: y, x.
    kind : str
        napari's name of the shape.

    Returns
    -------
    array (m, 2)
    """
    plane: NDArray[np.float64] = np.asarray(corners, dtype=np.float64)[:, -2:]
    if kind != "ellipse":
        return plane
    centre = plane.mean(0)
    half_a, half_b = (plane[1] - plane[0]) / 2, (plane[2] - plane[1]) / 2
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    points: NDArray[np.float64] = centre + np.cos(t) * half_a + np.sin(t) * half_b
    return points
