"""Regions in the files of SAOImage DS9: read onto a map's pixels, and written back. By astropy's package ``regions``.

Circles, ellipses, boxes, polygons and their annuli, in any celestial frame or in image coordinates. A region with a
minus sign (``-circle(...)``) is a hole: what lies inside does not count.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray

from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_text_atomically

#: Points of a drawn ellipse.
_POINTS = 96


@dataclass(frozen=True)
class RegionFile:
    """What a file of regions holds, on the pixels of a map."""

    outlines: tuple[Outline, ...]
    skipped: tuple[str, ...]  # kinds of shape without an inside, such as lines and points


def read_regions(path: Path, wcs: WCS) -> RegionFile:
    """Read a DS9 region file.

    Parameters
    ----------
    path : path
        ``.reg``
    wcs : WCS
        Celestial, of the map.

    Raises
    ------
    SfhInputError
        Not a region file, damaged, or no shape with an inside that counts.
    """
    outlines: list[Outline] = []
    skipped: list[str] = []
    for region in _parse_region_file(path):
        kind = type(region).__name__.removesuffix("SkyRegion").removesuffix("PixelRegion").lower()
        flat = region.to_pixel(wcs.celestial) if hasattr(region, "to_pixel") else region
        include = bool(region.meta.get("include", True))
        parts = _split_annulus(flat) or [(flat, True)]
        drawn = [(_shape_corners(shape), whole) for shape, whole in parts]
        if any(points is None for points, _ in drawn):
            skipped.append(kind)
        outlines += [Outline(points, include == whole) for points, whole in drawn if points is not None]
    if not any(o.include for o in outlines):
        raise SfhInputError(f"{path}: no circle, ellipse, box or polygon to include; draw one in DS9 and save it again")
    return RegionFile(tuple(outlines), tuple(skipped))


def write_regions(path: Path, outlines: Sequence[Outline], wcs: WCS) -> Path:
    """Write outlines as polygons in ICRS, readable by DS9.

    Raises
    ------
    SfhInputError
        No region.
    ComputeError
        The file cannot be written.
    """
    from regions import PolygonSkyRegion, RegionMeta, Regions

    if not outlines:
        raise SfhInputError("no region to save: draw one on the map first")
    made = []
    for outline in outlines:
        y, x = outline.points.T
        sky: SkyCoord = pixel_to_skycoord(x, y, wcs.celestial, mode="wcs").icrs
        made.append(PolygonSkyRegion(sky, meta=RegionMeta({"include": int(outline.include)})))
    write_text_atomically(path, Regions(made).serialize(format="ds9", precision=8))
    return path


def _parse_region_file(path: Path) -> Iterable[Any]:
    """The regions of a file; lines that are not understood are an error, not a warning."""
    from regions import Regions

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = Regions.parse(path.read_text(), format="ds9")
    except OSError as error:
        raise SfhInputError(f"{path}: cannot be read ({error.strerror}); choose a DS9 region file") from error
    except (ValueError, TypeError, KeyError, Warning) as error:
        line = (str(error).splitlines() or [""])[0]
        raise SfhInputError(f"{path}: not understood as DS9 regions ({line}); save it again in DS9 format") from error
    if not len(found):
        raise SfhInputError(f"{path}: holds no regions; save some in DS9 format")
    return found


def _split_annulus(shape: Any) -> list[tuple[Any, bool]]:
    """Outer and inner part of an annulus, with whether each counts; empty for other shapes."""
    inner, outer = getattr(shape, "_inner_region", None), getattr(shape, "_outer_region", None)
    return [] if inner is None or outer is None else [(outer, True), (inner, False)]


def _shape_corners(shape: Any) -> NDArray[np.float64] | None:
    """Corners (n, 2), (y, x), of a shape on the pixels; None for one without an inside."""
    if hasattr(shape, "vertices"):
        return np.column_stack([shape.vertices.y, shape.vertices.x]).astype(float)
    if hasattr(shape, "radius"):
        return _rotate_about(shape.center, _circle() * shape.radius, 0.0)
    if not hasattr(shape, "width") or not hasattr(shape, "angle"):
        return None
    half = np.array([shape.width, shape.height]) / 2
    unit = _circle() if "Ellipse" in type(shape).__name__ else np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
    return _rotate_about(shape.center, unit * half, float(shape.angle.to_value("rad")))


def _circle() -> NDArray[np.float64]:
    t = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    return np.column_stack([np.cos(t), np.sin(t)])


def _rotate_about(centre: Any, offsets: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Offsets (n, 2), (x, y), turned anticlockwise and put about a centre; as (y, x)."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.array([[c, -s], [s, c]]) @ offsets.T
    return np.column_stack([centre.y + y, centre.x + x])
