"""The plots of a bin: zoom in one axis with a way back, one plot alone, axes of time, numbers to copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.plots.bin_plots import PANELS, PLACES, BinPlots
from napari_sfh._qt.plots.panel_numbers import format_panel_numbers
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.types import Result


@pytest.fixture
def plots(qtbot: Any, result: Result) -> BinPlots:
    """The plots of two bins, shown."""
    widget = BinPlots(get_palette("dark"))
    qtbot.addWidget(widget)
    widget.resize(1000, 300)
    widget.draw([BinView.of(result, 3), BinView.of(result, 9)])
    widget.show()
    qtbot.waitExposed(widget)
    QApplication.processEvents()
    return widget


def double_click(plots: BinPlots, plot: Any) -> None:
    """A double click in the middle of a plot."""
    middle = plot.vb.mapToScene(QPointF(plot.vb.width() / 2, plot.vb.height() / 2))
    point = plots.mapFromScene(middle)
    QTest.mouseClick(plots.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    QTest.mouseDClick(plots.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    QTest.qWait(50)


def test_the_history_is_the_largest_plot(plots: BinPlots) -> None:
    areas = {name: getattr(plots, name).width() * getattr(plots, name).height() for name in PLACES}
    assert max(areas, key=areas.__getitem__) == "sfh"


def test_a_double_click_lets_a_plot_fill_the_dock_and_brings_all_back(plots: BinPlots) -> None:
    double_click(plots, plots.sfh)
    assert plots.enlarged == "sfh"
    assert plots.sfh.width() > 900
    assert not plots.spectrum.isVisible()
    double_click(plots, plots.sfh)
    assert plots.enlarged == ""
    assert plots.spectrum.isVisible()
    assert plots.sfh.width() < 500


def test_a_zoom_keeps_its_wavelengths_from_bin_to_bin_and_is_undone(plots: BinPlots, result: Result) -> None:
    box = plots.spectrum.vb
    whole, flux = box.viewRange()
    box.scaleBy((0.2, 1.0))
    box.sigRangeChangedManually.emit([True, False])
    zoomed = box.viewRange()[0]
    assert np.ptp(zoomed) == pytest.approx(0.2 * np.ptp(whole), rel=0.01)
    plots.draw([BinView.of(result, 12)])
    assert box.viewRange()[0] == pytest.approx(zoomed)
    assert box.state["mouseEnabled"] == [True, False]
    double_click(plots, plots.spectrum)
    assert plots.enlarged == "", "the first double click undoes the zoom"
    assert box.viewRange()[0] == pytest.approx(whole)
    assert np.ptp(flux) > 0


def test_the_menu_of_a_plot(plots: BinPlots) -> None:
    middle = plots.mapFromScene(plots.mh.vb.mapToScene(plots.mh.vb.boundingRect().center()))
    QTest.mouseClick(plots.viewport(), Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, middle)
    menu = plots.mh.vb.menu_shown
    actions = {action.text(): action for action in menu.actions()}
    assert {"Reset the zoom", "Show this plot alone", "Copy the picture", "Copy the numbers"} == set(actions)
    actions["Show this plot alone"].trigger()
    menu.close()
    assert plots.enlarged == "mh"


@pytest.mark.parametrize(("key", "ends"), [("log_gyr", (-2.301, 1.0)), ("linear_gyr", (0.005, 10.0))])
def test_axes_of_time(plots: BinPlots, key: str, ends: tuple[float, float]) -> None:
    plots.set_time_axis(key)
    low, high = plots.sfh.vb.viewRange()[0]
    assert low == pytest.approx(ends[0], abs=1e-3)
    assert high > ends[1]
    x, _ = plots.curves["sfh"].curves[0].getData()
    assert x[0] == pytest.approx(ends[0], abs=1e-3)


def test_labels_of_t50_and_t90_do_not_meet(plots: BinPlots, result: Result) -> None:
    for bin_id in range(1, result.bins.n_bins + 1):
        plots.draw([BinView.of(result, bin_id)])
        QApplication.processEvents()
        first, second = (line.label.mapRectToScene(line.label.boundingRect()) for line in plots.times.values())
        assert not first.intersects(second)


@pytest.mark.parametrize("name", PANELS)
def test_numbers_of_every_panel_can_be_copied(plots: BinPlots, result: Result, name: str) -> None:
    lines = format_panel_numbers([BinView.of(result, 3)], name, "mass").splitlines()
    header, *rows = (line.split("\t") for line in lines)
    assert all(len(row) == len(header) for row in rows)
    assert len(rows) in (5, 16, 17, result.data.flux.shape[1])
