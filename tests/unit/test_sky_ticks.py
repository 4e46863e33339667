"""Round values of RA and Dec in a field: where they lie is the WCS's word."""

from __future__ import annotations

import numpy as np
import pytest
from smooth_result import make_wcs

from napari_sfh.analysis.sky_coordinates import SkyGrid, list_sky_ticks

SHAPE = (40, 30)
LOW, HIGH = np.array([-6.0, -9.0]), np.array([6.0, 9.0])


def parse(text: str) -> float:
    """Degrees of a tick's text."""
    hours = "h" in text
    for mark in "hm°′":
        text = text.replace(mark, " ")
    first, minutes, seconds = text.rstrip("s″").replace("−", "-").split()
    value = abs(float(first)) + float(minutes) / 60 + float(seconds) / 3600
    return (15 if hours else 1) * (-value if first.startswith("-") else value)


@pytest.mark.parametrize("zoom", [0.05, 1.0, 30.0])
def test_ticks_are_round_few_and_where_the_wcs_says(zoom: float) -> None:
    sky = SkyGrid.of(make_wcs(SHAPE), SHAPE)
    ticks = list_sky_ticks(sky, LOW * zoom, HIGH * zoom, (5, 4))
    for axis, most in (("RA", 5), ("Dec", 4)):
        mine = [tick for tick in ticks if tick.axis == axis]
        assert 1 <= len(mine) <= most + 1
        for tick in mine:
            ends = [sky.radec_deg(place)[axis == "Dec"] for place in tick.line[[0, -1]]]
            assert ends == pytest.approx([parse(tick.text)] * 2, abs=1e-7)
    # a line of RA crosses the whole field from north to south
    tick = next(tick for tick in ticks if tick.axis == "RA")
    assert tick.line[:, 0].min() <= LOW[0] * zoom
    assert tick.line[:, 0].max() >= HIGH[0] * zoom


@pytest.mark.parametrize(("ra", "dec"), [(0.0, -0.0005), (359.9999, 45.0), (10.0, -75.0)])
def test_around_midnight_and_the_equator(ra: float, dec: float) -> None:
    wcs = make_wcs(SHAPE)
    wcs.wcs.crval = ra, dec
    sky = SkyGrid.of(wcs, SHAPE)
    ticks = list_sky_ticks(sky, LOW, HIGH)
    texts = [tick.text for tick in ticks]
    assert len(texts) == len(set(texts))
    for tick in ticks:
        found = sky.radec_deg(tick.line[4])[tick.axis == "Dec"]
        assert (found - parse(tick.text) + 180) % 360 - 180 == pytest.approx(0, abs=1e-7)
    assert any(text.startswith("−") for text in texts) == (dec < 0)


def test_none_at_a_pole() -> None:
    wcs = make_wcs(SHAPE)
    wcs.wcs.crval = 10.0, 89.9
    assert list_sky_ticks(SkyGrid.of(wcs, SHAPE), LOW, HIGH) == []
