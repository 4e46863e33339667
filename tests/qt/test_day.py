"""A day with one result in one window: brushing, regions, many compared bins, undo, help, tour, ages."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QTextBrowser
from window_acts import click, lasso, native_canvas, open_explorer

from napari_sfh._qt.session import PLOT_REGION
from napari_sfh.analysis import maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.painted]


def square(y: float, x: float, half: float) -> Outline:
    corners = [[y - half, x - half], [y - half, x + half], [y + half, x + half], [y + half, x - half]]
    return Outline(np.array(corners))


def settle(dock: Any) -> None:
    """Until the window has kept the last step for Ctrl+Z."""
    assert dock.wait(120)
    QTest.qWait(260)


def press_key(dock: Any, key: Any, modifier: Any) -> None:
    QTest.keyClick(native_canvas(dock.viewer), key, modifier)
    QApplication.processEvents()


def brush_gradient(dock: Any) -> None:
    """A click on a point selects the bin, a lasso shows the mean of many and outlines them on the map."""
    tool, session = dock.tools["gradient"], dock.session
    tool.fit()
    dock.finish(120)
    plot, profile = tool.plot, tool.found["AGE_LW"].profile
    row = int(np.flatnonzero(np.isfinite(profile.value))[3])
    place = plot.box.mapViewToScene(QPointF(float(profile.r[row]), float(profile.value[row])))
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.mapFromScene(place))
    assert session.selected == row + 1
    lasso(plot, plot.box, [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)])
    (region,) = session.regions
    assert region.name == PLOT_REGION
    assert region.rows.size >= 5
    assert session.outlines()[1]
    assert session.views()[0].name == PLOT_REGION


def undo_and_redo(dock: Any) -> None:
    session = dock.session
    settle(dock)
    before = session.selected
    click(dock.viewer, session, before % session.n_bins + 1)
    settle(dock)
    after = session.selected
    assert after != before
    dock.stack.type_limits(8.0, 9.0)
    settle(dock)
    control = Qt.KeyboardModifier.ControlModifier
    press_key(dock, Qt.Key.Key_Z, control)
    layer = dock.stack.display.find_layer(dock.stack.display.shown)
    assert tuple(layer.contrast_limits) != (8.0, 9.0)
    assert session.selected == after
    assert "limits of colours" in dock.message.text()
    press_key(dock, Qt.Key.Key_Z, control)
    assert session.selected == before
    assert f"selection of bin {after}" in dock.message.text()
    press_key(dock, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert session.selected == after


def name_regions(dock: Any) -> None:
    tool, session = dock.tools["region"], dock.session
    tool.clear()
    assert session.regions == ()
    tool.form.each.value = True
    tool.form.names.value = "bulge, arm"
    tool.region.set_outlines([square(20, 20, 9), square(10, 20, 8), square(30, 20, 8)])
    assert [region.name for region in session.regions] == ["bulge", "arm", "C"]
    dock.export.distance.value = "9.84"
    assert "Mass" in dock.map.totals.value
    labels = [number.label for number in session.regions[0].view.numbers]
    assert labels[-2:] == ["Mass", "SFR"]
    dock.export.distance.value = "z=0.0024"
    assert 9 < session.distance_mpc < 12
    tool.form.each.value = False
    assert [region.name for region in session.regions] == ["region"]
    tool.clear()


def compare_many(dock: Any) -> None:
    session = dock.session
    for bin_id in range(1, session.n_bins + 1):
        if bin_id not in session.shown:
            session.toggle_compared(bin_id)
    assert len(session.shown) == session.n_bins
    assert len(dock.panel.plots.curves["sfh"].curves) >= min(session.n_bins, 21)
    session.clear_compared()


def show_ages(dock: Any) -> None:
    tool, result = dock.tools["maps"], dock.session.result
    for kind in maps.AGES_KINDS:
        tool.show_ages(kind, 0.0, 0.1)
        assert dock.stack.display.shown.name == maps.name_ages_map(kind, 0, 0.1)
    share = maps.MAPS[maps.name_ages_map("MASS", 0, 0.1)].values(result)
    young = maps.MAPS["SFR_100MYR"].values(result)
    again = maps.MAPS[maps.name_ages_map("SFR", 0, 0.1)].values(result)
    assert ((0 <= share) & (share <= 1)).all()
    assert np.allclose(young, again, atol=1e-4)
    with pytest.raises(SfhInputError, match="younger first"):
        tool.show_ages("MASS", 1.0, 0.5)
    state = tool.state()
    tool.show("AGE_LW")
    tool.restore(state)
    assert dock.stack.display.shown.name == maps.name_ages_map("SFR", 0, 0.1)


def read_help(dock: Any) -> None:
    press_key(dock, Qt.Key.Key_F1, Qt.KeyboardModifier.NoModifier)
    dialog = next(each for each in dock.findChildren(QDialog) if each.windowTitle() == "Help")
    text = dialog.findChild(QTextBrowser).toPlainText()
    assert all(word in text for word in ("Shift + click", "Ctrl+Z", "E(B−V)", "LW age"))
    dialog.close()


def take_tour(dock: Any) -> None:
    (Path(os.environ["NAPARI_SFH_CONFIG"]) / "tour-seen").unlink(missing_ok=True)
    dock.start_tour()
    tour = dock.tour
    for place, target in enumerate(tour.targets):
        assert tour.isVisible()
        assert tour.words.text().startswith(f"<b>{place + 1} of 4</b>")
        assert tour.parentWidget().rect().contains(tour.geometry())
        explained = QRect(target.mapTo(tour.parentWidget(), QPoint(0, 0)), target.size())
        canvas = place == 2  # it has room for the bubble within
        assert canvas or not tour.geometry().intersects(explained), "the bubble covers what it is about"
        others = QRect(dock.mapTo(tour.parentWidget(), QPoint(0, 0)), dock.size())
        assert not tour.geometry().intersects(others), "the bubble covers the dock"
        assert tour.arrow.isVisible()
        assert tour.arrow.text() == "▶▶▼▼"[place]
        QTest.mouseClick(tour.next_button, Qt.MouseButton.LeftButton)
    assert place == 3
    assert not tour.isVisible()
    assert (Path(os.environ["NAPARI_SFH_CONFIG"]) / "tour-seen").exists()


def test_a_day_with_a_result(make_viewer: Callable[..., Any], result: Result) -> None:
    dock = open_explorer(make_viewer(1280, 720))
    dock.show_result(result)
    assert dock.wait(120)
    undo_and_redo(dock)
    compare_many(dock)
    show_ages(dock)
    brush_gradient(dock)
    name_regions(dock)
    read_help(dock)
    take_tour(dock)
    assert not dock.is_error, dock.message.text()
