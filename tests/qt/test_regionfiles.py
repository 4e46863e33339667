"""DS9 regions on a rotated map: the right bins, holes, what cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray

from napari_sfh.analysis.region_files import read_regions, write_regions
from napari_sfh.analysis.regions import Outline, find_bins_in_outlines
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result


def written(folder: Path, text: str) -> Path:
    path = folder / "galaxy.reg"
    path.write_text(f"# Region file format: DS9 version 4.1\n{text}\n")
    return path


def test_a_circle_on_the_sky_holds_the_bins_around_it(result: Result, tmp_path: Path) -> None:
    sky = pixel_to_skycoord(result.bins.x, result.bins.y, result.wcs).icrs
    centre = sky[5]
    for frame, a, b in (("icrs", centre.ra.deg, centre.dec.deg), ("fk5", centre.fk5.ra.deg, centre.fk5.dec.deg)):
        found = read_regions(written(tmp_path, f'{frame}\ncircle({a},{b},2.1")'), result.wcs)
        expected = np.flatnonzero(sky.separation(centre).arcsec < 2.1)
        assert list(find_bins_in_outlines(result, found.outlines)) == list(expected)


def test_image_coordinates_count_from_one(result: Result, tmp_path: Path) -> None:
    x, y = result.bins.x[3] + 1, result.bins.y[3] + 1
    found = read_regions(written(tmp_path, f"image\nbox({x},{y},2,2,0)"), result.wcs)
    assert list(find_bins_in_outlines(result, found.outlines)) == [3]
    assert found.outlines[0].points.mean(0) == pytest.approx([y - 1, x - 1])


@pytest.mark.parametrize("shape", ["ellipse", "box"])
def test_an_ellipse_is_turned_on_the_sky(result: Result, tmp_path: Path, shape: str) -> None:
    """DS9 counts from west (right) to north (up): 30 degrees are a position angle of 300."""
    centre = pixel_to_skycoord(19.5, 19.5, result.wcs).icrs
    text = f'icrs\n{shape}({centre.ra.deg},{centre.dec.deg},3",1",30)'
    points = read_regions(written(tmp_path, text), result.wcs).outlines[0].points
    away = points - points.mean(0)
    far = points[np.argmax(np.hypot(*away.T))] if shape == "ellipse" else points[[0, 3]].mean(0)
    tip = pixel_to_skycoord(far[1], far[0], result.wcs).icrs
    assert centre.separation(tip).arcsec == pytest.approx(3.0 if shape == "ellipse" else 1.5, rel=0.01)
    assert centre.position_angle(tip).deg % 180 == pytest.approx(120, abs=2.5)


def test_holes_and_annuli(result: Result, tmp_path: Path) -> None:
    everything = "image\ncircle(20.5,20.5,40)\n-circle(20.5,20.5,8)"
    found = read_regions(written(tmp_path, everything), result.wcs)
    distance = np.hypot(result.bins.x - 19.5, result.bins.y - 19.5)
    assert list(find_bins_in_outlines(result, found.outlines)) == list(np.flatnonzero(distance > 8))
    ring = read_regions(written(tmp_path, "image\nannulus(20.5,20.5,8,40)"), result.wcs)
    assert list(find_bins_in_outlines(result, ring.outlines)) == list(np.flatnonzero(distance > 8))


def test_a_ring_and_its_nucleus(result: Result, tmp_path: Path) -> None:
    """The hole belongs to the ring: the nucleus inside it stays."""
    text = "image\ncircle(20.5,20.5,4)\nannulus(20.5,20.5,8,12,16)\n"
    found = read_regions(written(tmp_path, text), result.wcs)
    distance = np.hypot(result.bins.x - 19.5, result.bins.y - 19.5)
    expected = np.flatnonzero((distance < 4) | ((distance > 8) & (distance < 16)))
    got = find_bins_in_outlines(result, found.outlines)
    assert np.setxor1d(got, expected).size <= 0.02 * expected.size


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(result: Result, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.reg"
    path.write_bytes("image\ncircle(20,20,9) # text={région}\n".encode(encoding))
    assert len(read_regions(path, result.wcs).outlines) == 1


def test_shapes_are_written_as_what_they_are(result: Result, tmp_path: Path) -> None:
    ra, dec = result.wcs.wcs_pix2world(19.5, 19.5, 0)
    shapes = (f'circle({ra},{dec},2.1")', f'-ellipse({ra},{dec},3",2",30)', f'annulus({ra},{dec},1",2")')
    found = read_regions(written(tmp_path, "fk5\n" + "\n".join(shapes)), result.wcs).outlines
    text = write_regions(tmp_path / "own.reg", found, result.wcs).read_text()
    assert [line.split(";")[1].split("(")[0] for line in text.splitlines()[1:]] == ["circle", "-ellipse", "annulus"]
    again = read_regions(tmp_path / "own.reg", result.wcs).outlines
    for one, other in zip(found, again, strict=True):
        assert other.points == pytest.approx(one.points, abs=1e-4)
        assert other.include == one.include


def drawn_ellipse(centre: tuple[float, float], a: float, b: float, turn_deg: float) -> NDArray[np.float64]:
    """64 points (y, x) around an ellipse."""
    t, angle = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.radians(turn_deg)
    offsets = np.column_stack([a * np.cos(t), b * np.sin(t)])
    c, s = np.cos(angle), np.sin(angle)
    return np.array(centre) + (offsets @ np.array([[c, s], [-s, c]]))[:, ::-1]


def test_what_the_mouse_has_drawn_is_written_as_what_it_is(result: Result, tmp_path: Path) -> None:
    box = np.array([[5.0, 6.0], [5.0, 16.0], [9.0, 16.0], [9.0, 6.0]])
    drawn = [
        Outline(drawn_ellipse((20, 18), 9, 4, 25), name="bar", kind="ellipse"),
        Outline(drawn_ellipse((10, 30), 3, 3, 0), include=False, name="a {star}", kind="ellipse"),
        Outline(box, kind="box"),
    ]
    lines = write_regions(tmp_path / "own.reg", drawn, result.wcs).read_text().splitlines()[1:]
    assert [line.split("(")[0] for line in lines] == ["icrs;ellipse", "icrs;-circle", "icrs;box"]
    assert [line.partition("# text=")[2] for line in lines] == ["{bar}", "{a  star}", ""]
    again = read_regions(tmp_path / "own.reg", result.wcs).outlines
    assert [(o.kind, o.name, o.include) for o in again] == [
        ("ellipse", "bar", True),
        ("ellipse", "a star", False),
        ("box", "", True),
    ]
    for one, other in zip(drawn, again, strict=True):
        for here, there in zip(one.find_axes(), other.find_axes(), strict=True):
            assert np.abs(np.abs(there) - np.abs(here)).max() < 0.02 or one.name == "a {star}"
        assert list(find_bins_in_outlines(result, [replace(one, include=True)])) == list(
            find_bins_in_outlines(result, [replace(other, include=True)])
        )
    assert np.hypot(*again[1].find_axes()[1]) == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize("mark", ["{the bar}", '"the bar"', "'the bar'"])
def test_names_of_a_file(result: Result, tmp_path: Path, mark: str) -> None:
    text = f"image\ncircle(20,20,9) # color=red text={mark} width=2\ncircle(9,9,3) # color=red"
    assert [o.name for o in read_regions(written(tmp_path, text), result.wcs).outlines] == ["the bar", ""]


def test_shapes_without_an_inside_are_named(result: Result, tmp_path: Path) -> None:
    found = read_regions(written(tmp_path, "image\nline(1,2,3,4)\npoint(3,4)\ncircle(20,20,9)"), result.wcs)
    assert found.skipped == ("line", "point")
    assert len(found.outlines) == 1


def test_a_global_include_holds_for_shapes_without_a_sign(result: Result, tmp_path: Path) -> None:
    text = "global include=0\nimage\ncircle(20,20,3)\n+circle(20,20,9)\nglobal include=1\ncircle(9,9,3)\n-circle(9,9,1)"
    found = read_regions(written(tmp_path, text), result.wcs)
    assert [o.include for o in found.outlines] == [False, True, True, False]


def test_written_regions_come_back(result: Result, tmp_path: Path) -> None:
    points = np.array([[3.0, 4.0], [3.0, 30.0], [25.0, 18.0]])
    outlines = [Outline(points), Outline(points / 2, include=False)]
    back = read_regions(write_regions(tmp_path / "own.reg", outlines, result.wcs), result.wcs).outlines
    assert [o.include for o in back] == [True, False]
    assert back[0].points == pytest.approx(points, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\ncircle(1,2)", r"galaxy\.reg: no circle, ellipse, box or polygon to include \(skipped: circle\)"),
        ("some words of a letter", r"galaxy\.reg: (not understood|holds no regions)"),
        ("image\nline(1,2,3,4)", r"galaxy\.reg: no circle, ellipse, box or polygon to include"),
        ("image\n-circle(3,3,2)", r"galaxy\.reg: no circle, ellipse, box or polygon to include"),
    ],
)
def test_files_that_cannot_be_used(result: Result, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SfhInputError, match=message):
        read_regions(written(tmp_path, text), result.wcs)


def test_files_that_are_not_there(result: Result, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=r"none\.reg: cannot be read"):
        read_regions(tmp_path / "none.reg", result.wcs)
    with pytest.raises(SfhInputError, match="no region to save"):
        write_regions(tmp_path / "a.reg", [], result.wcs)
    with pytest.raises(SfhInputError, match=r"nowhere.*does not exist"):
        write_regions(tmp_path / "nowhere" / "a.reg", [Outline(np.eye(3)[:, :2])], result.wcs)
