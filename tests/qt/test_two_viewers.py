"""Two viewers in one program, each with an explorer: what is done in one is not seen in the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_mocks import write_cube
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from smooth_result import make_result
from vispy.gloo.context import get_current_canvas
from window_acts import click, drag, native_canvas, open_explorer, screen_point, window

pytestmark = pytest.mark.painted


@pytest.mark.slow
def test_nothing_crosses(qtbot: Any, make_viewer: Any, result: Any, tmp_path: Path) -> None:
    viewers = make_viewer(1000, 640), make_viewer(1000, 640)
    window(viewers[1]).move(300, 200)
    docks = [open_explorer(viewer) for viewer in viewers]
    assert docks[0] is not docks[1]
    other = make_result(n_side=5, shape=(50, 50))
    for dock, shown in zip(docks, (result, other)):
        dock.show_result(shown)
        assert dock.wait(120)
    first, second = docks
    assert (first.session.n_bins, second.session.n_bins) == (result.bins.n_bins, other.bins.n_bins)
    # a click, a map, a key and an arrow in the second window
    before = first.session.selected
    target = next(b for b in range(1, 10) if b not in (before, second.session.selected))
    click(viewers[1], second.session, target)
    assert second.session.selected == target
    assert first.session.selected == before
    QTest.keyClick(native_canvas(viewers[1]), Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert second.wait(120)
    assert (first.stack.current, second.stack.current) == ("AGE_LW", "MH_MW")
    second.map.grid.value = True
    assert second.wait(120)
    assert [viewer.canvas.grid.enabled for viewer in viewers] == [False, True]
    second.map.grid.value = False
    second.map.sky.value = "none"
    assert second.wait(120)
    assert [viewer.canvas.overlays["sfh_sky_axes"].visible for viewer in viewers] == [True, False]
    viewers[1].theme = "light"
    assert first.panel.plots.backgroundBrush().color().lightness() < 100
    assert second.panel.plots.backgroundBrush().color().lightness() > 150
    viewers[1].theme = "dark"
    # a cube in the second; the first keeps its result
    second.open(write_cube(tmp_path / "NGC1_DATACUBE.fits", np.ones((120, 20, 20), np.float32) + np.eye(20)))
    assert second.wait(120)
    assert second.session.result is None
    assert first.session.result is result
    tool = second.tools["cube"]
    sky = second.session.sky
    ends = [screen_point(viewers[1], sky.to_world(np.array([place]))[0]) for place in ([10.0, 10], [10, 14])]
    drag(native_canvas(viewers[1]), ends, modifier=Qt.KeyboardModifier.ControlModifier)
    assert second.wait(120)
    assert len(tool.apertures.list_shapes()) == 1
    assert first.tools["cube"].apertures.list_shapes() == []
    # what goes, goes in the OpenGL context of its own window
    current: list[Any] = []
    for viewer in viewers:
        viewer.layers.events.removed.connect(lambda _: current.append(get_current_canvas().native))
    for viewer in reversed(viewers):
        viewer.layers.pop()
    assert current == [native_canvas(viewers[1]), native_canvas(viewers[0])]
