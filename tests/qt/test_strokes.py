"""Freehand strokes with the mouse: nothing that was drawn is lost."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QCoreApplication, QPoint, Qt
from qtpy.QtTest import QTest
from window_acts import bin_world, native_canvas, screen_point, send_mouse

from napari_sfh._qt.canvas.region_layer import LAYER_NAME

COMPRESS = Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents


def test_a_fast_lasso_keeps_its_corners(shown: Any, qtbot: Any) -> None:
    """The layer to draw in is still made when the places come, and they come faster than vispy hears them."""
    viewer, native = shown.viewer, native_canvas(shown.viewer)
    compressed = QCoreApplication.testAttribute(COMPRESS)
    middle = screen_point(viewer, bin_world(shown.session, 6))
    turns = [(radius, 2 * math.pi * k / 10) for k, radius in enumerate((60, 110) * 5)]
    points = [middle + QPoint(round(r * math.cos(angle)), round(r * math.sin(angle))) for r, angle in turns]
    QTest.keyClick(native, Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert not QCoreApplication.testAttribute(COMPRESS)
    places = [*points[1:], points[0]]
    send_mouse(native, "MouseButtonPress", points[0])
    for point in places:
        send_mouse(native, "MouseMove", point)
    send_mouse(native, "MouseButtonRelease", points[0])
    qtbot.waitUntil(lambda: bool(shown.session.regions), timeout=60_000)
    drawn = viewer.layers[LAYER_NAME].data[0]
    corners = [screen_point(viewer, shown.session.sky.to_world(c[None, -2:])[0]) for c in drawn]
    for point in points:
        assert min((c - point).manhattanLength() for c in corners) <= 2, (point, corners)
    assert QCoreApplication.testAttribute(COMPRESS) == compressed
