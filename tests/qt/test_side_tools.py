"""Four maps, tips, themes and what the end of the tools leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from smooth_result import make_ppxf_fit
from window_acts import at_once, bin_world, native_canvas

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, format_map_value
from napari_sfh._qt.tools.maps import MEANING
from napari_sfh.analysis.comparison import ppxf_fit
from napari_sfh.analysis.drawing.map_limits import symmetric_limits
from napari_sfh.analysis.maps import MAPS
from napari_sfh.types import Flag, Result


@pytest.fixture
def opened(shown: Any) -> Any:
    """An explorer that shows the result, at rest."""
    return shown


def _rest(qtbot: Any, dock: Any) -> None:
    qtbot.waitUntil(lambda: not (dock.job.running or dock.loading or dock.tools.working), timeout=200_000)


def test_limits_flags_and_one_cursor_in_four_maps(opened: Any, qtbot: Any, result: Result) -> None:
    form, stack = opened.map, opened.stack
    shared = stack.find("map", "AGE_LW").contrast_limits
    form.limits.value = "full"
    own = np.asarray(stack.find("map", "AGE_LW").data)
    assert stack.find("map", "AGE_LW").contrast_limits == pytest.approx([np.nanmin(own), np.nanmax(own)])
    form.limits.value = "shared"
    assert stack.find("map", "AGE_LW").contrast_limits == pytest.approx(shared)
    form.flags.value = int(Flag.OUT_OF_DEPTH)
    assert np.isnan(stack.find("map", "AGE_LW").data[result.bins.bin_id == result.bins.n_bins]).all()
    form.grid.value = True
    _rest(qtbot, opened)
    place = bin_world(opened.session, 6)
    stack.mark(place)
    cross = stack.marks.overlay.vertices[-4:]
    np.testing.assert_allclose(cross.mean(0), place, atol=1e-5)
    canvas = native_canvas(opened.viewer)
    for step in (0, 2):  # a cell is a quarter of the canvas
        QTest.mouseMove(canvas, QPoint(canvas.width() // 4 + step, canvas.height() // 4))
        QApplication.processEvents()
    read_out = opened.viewer.canvas.overlays["sfh_radec"].text
    bin_id = int(read_out.split("bin ")[1].split(":")[0])
    for name in ("AGE_LW", "AGE_MW", "MH_LW", "MH_MW"):
        number = format_map_value(result, name, bin_id).removeprefix(MAPS[name].title).removesuffix(MAPS[name].unit)
        assert "±" in number
        assert number.strip().replace("-", "−") in read_out, "as over one map"
    assert max(map(len, read_out.splitlines())) < 90, "it ends before the scale bar of a canvas of 900 pixels"
    form.grid.value = False
    _rest(qtbot, opened)
    outline = len(stack.marks.overlay.vertices)
    stack.mark(place)
    assert len(stack.marks.overlay.vertices) == outline, "one map has the cursor itself: no cross"


def test_symmetric_limits_hold_the_bulk() -> None:
    values = np.concatenate([np.linspace(-1, 0.5, 1000), [50.0, np.nan]])
    low, high = symmetric_limits(values)
    assert low == -high
    assert 0.9 < high < 1.01
    assert symmetric_limits(np.array([np.nan])) == (-0.5, 0.5)


def test_tips_say_what_the_maps_are(opened: Any) -> None:
    quantity = opened.map.quantity
    opened.show_map("MH_MW")
    assert quantity.tooltip.startswith("Mean [M/H] (dex, solar Z = 0.019), weighted by the mass formed. Alt+1")
    native = quantity.native
    tips = [native.itemData(k, Qt.ItemDataRole.ToolTipRole) for k in range(native.count())]
    assert len(set(tips)) == native.count() == len(quantity.choices)
    # Maps between two ages are added by those who ask for them, here perhaps by a test before.
    assert {name for name in quantity.choices if "_AGES_" not in name} <= set(MEANING)
    assert all(tips)


@pytest.mark.usefixtures("default_weights")
def test_docks_follow_the_theme_until_they_end(
    opened: Any, qtbot: Any, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppxf_fit, "run_in_process", at_once(make_ppxf_fit(result, 4)))
    tool, theme = opened.tools["ppxf"], opened.viewer.events.theme
    opened.session.select(4)
    before = len(theme.callbacks)
    tool.fit()
    _rest(qtbot, opened)
    assert len(theme.callbacks) == before + 1
    opened.viewer.theme = "light"
    assert tool.plots.backgroundBrush().color().lightness() > 128
    tool.release()
    assert len(theme.callbacks) == before


def test_layers_of_others_survive_the_end(opened: Any, result: Result) -> None:
    opened.viewer.add_image(np.ones((4, 4)), name="mine", metadata={KEY: LayerLink("composite", "", result)})
    opened.tools["composite"].on_result(result)
    assert "mine" in opened.viewer.layers
    opened.release()
    opened.viewer.layers.remove("mine")
