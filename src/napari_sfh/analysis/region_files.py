"""Regions in the files of SAOImage DS9: read onto a map's pixels, and written back as the shapes they are.

Circles, ellipses, boxes, polygons and their annuli, also with several radii, in any celestial frame, or in image or
physical coordinates (of a map they are the same). A ring's hole belongs to the ring; a region with a minus sign
(``-circle(...)``, or one without a sign after ``global include=0``) is a hole in all others. What has no inside, or is
not understood, is skipped and named. Each shape is parsed by astropy's package ``regions``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray

from napari_sfh.analysis.regions import Outline, OutlineKind
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.types import measure_pixel_arcsec

#: Points of a drawn ellipse.
_POINTS = 96
#: An ellipse or a box whose axes are further from a right angle on the sky is written as a polygon, degrees.
_SKEW_DEG = 0.5
#: The name of a shape, in the comment behind it.
_NAME = re.compile(r"#.*?\btext\s*=\s*(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)')")
#: Kinds of outlines by DS9's names of shapes; others are polygons.
_KINDS: dict[str, OutlineKind] = {"circle": "ellipse", "ellipse": "ellipse", "box": "box"}
_MAX_BYTES = 20 * 2**20
_SHAPES = ("circle", "ellipse", "box", "rotbox", "polygon", "annulus", "elliptical_annulus", "boxannulus")
_FRAMES = {
    "fk5": "fk5", "j2000": "fk5", "wcs": "fk5", "icrs": "icrs", "fk4": "fk4", "b1950": "fk4", "galactic": "galactic",
    "ecliptic": "ecliptic", "image": "image", "physical": "image",
}  # fmt: skip
_UNKNOWN_FRAMES = ("linear", "amplifier", "detector")
_SHAPE_LINE = re.compile(r"^\s*([+-]?)\s*([A-Za-z_]+)\s*(?:\(\s*(.*?)\s*\)|\s+([-+.\d].*?))\s*(?:\|\|)?\s*$")
#: What holds for the shapes without a sign that follow.
_GLOBAL_INCLUDE = re.compile(r"^\s*global\b.*\binclude\s*=\s*([01])")
#: Shapes that DS9 writes as comments.
_COMMENT_SHAPE = re.compile(r"^\s*#\s*([a-z]+)\s*\(", re.I)


@dataclass(frozen=True)
class RegionFile:
    """What a file of regions holds, on the pixels of a map."""

    outlines: tuple[Outline, ...]
    skipped: tuple[str, ...]  # shapes without an inside, such as lines and points, and what is not understood


class _ShapeLine(NamedTuple):
    """One shape of a file."""

    frame: str
    sign: str
    kind: str
    numbers: tuple[str, ...]
    name: str


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
    for line in _split_shapes(_read_text(path), skipped):
        for one in _split_radii(line):
            outline = _draw_shape(one, wcs)
            if outline is None:
                skipped.append(line.kind)
                break
            outlines.append(outline)
    if not outlines and all(word.startswith("'") for word in skipped):
        raise SfhInputError(f"{path}: not understood as DS9 regions, no shape in it; save it again in DS9 format")
    if not any(o.include for o in outlines):
        what = f" (skipped: {', '.join(dict.fromkeys(skipped))})" if skipped else ""
        raise SfhInputError(
            f"{path}: no circle, ellipse, box or polygon to include{what}; draw one in DS9 and save it again"
        )
    return RegionFile(tuple(outlines), tuple(skipped))


def write_regions(path: Path, outlines: Sequence[Outline], wcs: WCS) -> Path:
    """Write outlines with their names, readable by DS9: each as the shape that it is, drawn ones in ICRS.

    Parameters
    ----------
    path : Path
    outlines : sequence of Outline
    wcs : astropy.wcs.WCS
        Of the map on which they were drawn.

    Returns
    -------
    Path

    Raises
    ------
    SfhInputError
        No region.
    ComputeError
        The file cannot be written.
    """
    if not outlines:
        raise SfhInputError("no region to save: draw one on the map first")
    lines = ["# Region file format: DS9 version 4.1"]
    for outline in outlines:
        name = re.sub(r"[{}\r\n]", " ", outline.name).strip()
        lines.append(f"{_format_shape(outline, wcs.celestial)}{f' # text={{{name}}}' if name else ''}")
    write_text_atomically(path, "\n".join(lines) + "\n")
    return path


def _format_shape(outline: Outline, wcs: WCS) -> str:
    """An outline in DS9's words, in ICRS unless it was read in another frame."""
    if outline.shape is not None:
        return outline.shape
    sign = "" if outline.include else "-"
    if outline.kind != "polygon" and (text := _format_axes(outline, wcs)):
        return f"icrs;{sign}{text}"
    y, x = outline.points.T
    sky: SkyCoord = pixel_to_skycoord(x, y, wcs, mode="wcs").icrs
    corners = ",".join(f"{value:.8f}" for corner in zip(sky.ra.deg, sky.dec.deg, strict=True) for value in corner)
    return f"icrs;{sign}polygon({corners})"


def _format_axes(outline: Outline, wcs: WCS) -> str:
    """A circle, ellipse or box; nothing where pixels that are no squares make it another shape on the sky."""
    centre, *halves = outline.find_axes()
    places = np.array([centre, *(centre + half for half in halves)])
    sky: SkyCoord = pixel_to_skycoord(places[:, 1], places[:, 0], wcs, mode="wcs").icrs
    a, b = sky[0].separation(sky[1:]).arcsec
    # DS9 turns from west (the first half axis at 0) over north: 90 degrees more than a position angle.
    turn, other = sky[0].position_angle(sky[1:]).deg
    if not min(a, b) > 0 or abs((other - turn) % 180 - 90) > _SKEW_DEG:
        return ""
    where = f"{sky[0].ra.deg:.8f},{sky[0].dec.deg:.8f}"
    if outline.kind == "ellipse" and abs(a - b) < 1e-3 * a:
        return f'circle({where},{(a + b) / 2:.5f}")'
    sizes = (a, b) if outline.kind == "ellipse" else (2 * a, 2 * b)
    return f'{outline.kind}({where},{sizes[0]:.5f}",{sizes[1]:.5f}",{round(turn + 90, 4) % 180:.4f})'


def _read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or Latin-1, with or without a byte-order mark."""
    try:
        if not path.is_file():
            raise SfhInputError(f"{path}: cannot be read (no regular file); choose a DS9 region file")
        if path.stat().st_size > _MAX_BYTES:
            raise SfhInputError(f"{path}: has {path.stat().st_size} bytes, no region file; choose a DS9 region file")
        raw = path.read_bytes()
    except OSError as error:
        raise SfhInputError(f"{path}: cannot be read ({error.strerror}); choose a DS9 region file") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _split_shapes(text: str, skipped: list[str]) -> Iterator[_ShapeLine]:
    """The shapes of a file with the frame that holds for each; what is none goes to ``skipped``."""
    frame, default_sign = "image", ""
    for row in text.splitlines():
        if found := _GLOBAL_INCLUDE.match(row):
            default_sign = "" if found.group(1) == "1" else "-"
        if found := _COMMENT_SHAPE.match(row):
            if found.group(1).lower() != "composite":
                skipped.append(found.group(1).lower())
            continue
        named = _NAME.search(row)
        name = " ".join(next((word for word in named.groups() if word), "").split()) if named else ""
        for part in re.sub(r"\{[^}]*\}", "", row).split("#")[0].split(";"):
            word = part.strip()
            if word.lower() in _FRAMES or word.lower() in _UNKNOWN_FRAMES:
                frame = word.lower()
                continue
            found = _SHAPE_LINE.match(part)
            if not found or found.group(2).lower() in ("global", "tile"):
                if word and not word.lower().startswith(("global", "tile")):
                    skipped.append(f"'{word[:20]}'")
                continue
            sign, kind, inside, open_numbers = found.groups()
            numbers = tuple(re.split(r"[\s,]+", (inside if inside is not None else open_numbers).strip()))
            if frame in _UNKNOWN_FRAMES:
                skipped.append(f"{kind.lower()} in {frame} coordinates")
                continue
            yield _ShapeLine(_FRAMES[frame], sign or default_sign, kind.lower(), numbers, name)


def _split_radii(line: _ShapeLine) -> list[_ShapeLine]:
    """Annuli with several radii as rings of two each."""
    n = line.numbers
    if line.kind == "annulus" and len(n) > 4:
        return [line._replace(numbers=(*n[:2], a, b)) for a, b in pairwise(n[2:])]
    if line.kind in ("ellipse", "box", "rotbox") and len(n) > 7 and len(n) % 2 == 1:
        pairs = [n[k : k + 2] for k in range(2, len(n) - 1, 2)]
        return [line._replace(numbers=(*n[:2], *a, *b, n[-1])) for a, b in pairwise(pairs)]
    return [line]


def _draw_shape(line: _ShapeLine, wcs: WCS) -> Outline | None:
    """The outline of a shape; None for one that has no inside or is not understood."""
    from regions import Regions

    if line.kind not in _SHAPES:
        return None
    kind = "box" if line.kind == "rotbox" else line.kind
    text = f"{kind}({','.join(_convert_sizes(line, wcs))})"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (region,) = Regions.parse(f"{line.frame}\n{text}", format="ds9")
            flat = region.to_pixel(wcs.celestial) if hasattr(region, "to_pixel") else region
            parts = [_shape_corners(shape) for shape in _split_annulus(flat) or [flat]]
        except Exception:  # the package raises many classes for numbers that it does not understand
            return None
    corners = [part for part in parts if part is not None]
    if len(corners) < len(parts) or not all(np.isfinite(part).all() and len(part) > 2 for part in corners):
        return None
    sign = "-" if line.sign == "-" else ""
    return Outline(
        _join_ring(corners),
        line.sign != "-",
        f"{line.frame};{sign}{text}" if line.frame != "image" else None,
        line.name,
        _KINDS.get(kind, "polygon") if len(parts) == 1 else "polygon",
    )


def _convert_sizes(line: _ShapeLine, wcs: WCS) -> list[str]:
    """Sizes in pixels on the sky (``5i``, ``5p``) as arcsec, and sizes in arcsec in image coordinates as pixels."""
    scale = measure_pixel_arcsec(wcs)
    out = []
    for number in line.numbers:
        pixels = re.fullmatch(r"([-+.\deE]+)[ip]", number)
        angle = re.fullmatch(r"([-+.\deE]+)([\"'d])", number)
        if line.frame != "image" and pixels:
            number = f'{float(pixels.group(1)) * scale:.8f}"'
        elif line.frame == "image" and pixels:
            number = pixels.group(1)
        elif line.frame == "image" and angle:
            arcsec = float(angle.group(1)) * {'"': 1.0, "'": 60.0, "d": 3600.0}[angle.group(2)]
            number = f"{arcsec / scale:.8f}"
        out.append(number)
    return out


def _join_ring(corners: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One closed line around a shape and its hole: what it encloses an odd number of times is inside."""
    if len(corners) == 1:
        return corners[0]
    outer, inner = corners
    return np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])


def _split_annulus(shape: Any) -> list[Any]:
    """Outer and inner part of an annulus; empty for other shapes."""
    inner, outer = getattr(shape, "_inner_region", None), getattr(shape, "_outer_region", None)
    return [] if inner is None or outer is None else [outer, inner]


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
