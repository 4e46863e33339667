"""Outlines: closed, along pixel edges, of the right area, with holes and parts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sfh.analysis.drawing.outlines import trace_outline


def area(path: np.ndarray) -> float:
    """Signed area by the shoelace formula."""
    y, x = path.T
    return float(0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def test_one_pixel_is_a_unit_square() -> None:
    mask = np.zeros((5, 6), bool)
    mask[2, 3] = True
    (path,) = trace_outline(mask)
    assert path[0] == pytest.approx(path[-1])
    assert len(path) == 5
    assert abs(area(path)) == 1
    assert path.mean(0) == pytest.approx([2, 3], abs=0.2)
    assert path.min(0) == pytest.approx([1.5, 2.5])


def test_a_hole_counts_against_the_area() -> None:
    mask = np.ones((4, 4), bool)
    mask[1:3, 1:3] = False
    paths = trace_outline(mask)
    assert len(paths) == 2
    assert abs(sum(area(p) for p in paths)) == 12


def test_parts_that_touch_at_a_corner_stay_apart() -> None:
    paths = trace_outline(np.eye(3, dtype=bool))
    assert [abs(area(p)) for p in paths] == [1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_area_is_the_number_of_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((30, 20)) > 0.4
    paths = trace_outline(mask)
    assert abs(sum(area(p) for p in paths)) == mask.sum()
    for path in paths:
        steps = np.diff(path, axis=0)
        assert ((steps == 0).sum(1) == 1).all(), "edges run along pixels"


def test_nothing_has_no_outline() -> None:
    assert trace_outline(np.zeros((3, 3), bool)) == []
