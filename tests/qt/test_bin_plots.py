"""The plots of a bin: zoom in one axis with a way back, one plot alone, axes of time, numbers to copy."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QImage, QPainter
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.plots.bin_plots import PANELS, PLACES, BinPlots
from napari_sfh._qt.plots.panel_numbers import format_panel_numbers
from napari_sfh._qt.plots.plot_axis import PlotAxis
from napari_sfh._qt.plots.plot_items import Curve, Ribbon, get_pen, make_bare_plot, make_path, pg
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis import bin_view
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.instruments.bundle_header import find_bundle_file, read_bundle_header
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


class PaintingCounter(QObject):
    """Counts the paintings of a widget."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, _: Any, event: Any) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


def test_another_bin_is_painted_once_and_the_axis_of_wavelengths_is_kept(plots: BinPlots, result: Result) -> None:
    counter = PaintingCounter(plots.viewport())
    axis = plots.spectrum.getAxis("bottom")
    for n, bin_id in enumerate((4, 8, 5), 1):
        drawn = axis.picture
        assert drawn
        plots.draw([BinView.of(result, bin_id)])
        QTest.qWait(30)
        assert counter.count == n
        assert axis.picture is drawn
    plots.resize(800, 260)
    QTest.qWait(30)
    assert plots.scene().sceneRect() == QRectF(plots.rect()), "Qt would look for the bounds of all items"


@pytest.mark.parametrize("kind", ["mass", "light", "sfr"])
def test_what_was_foreseen_is_only_painted(
    plots: BinPlots, result: Result, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plots.set_kind(kind)

    def draw_anew(view: BinView) -> QImage:
        """Drawn when nothing of it is kept."""
        for k in range(200):
            make_path(np.arange(2.0), np.array([k, 0.5]))
        plots.set_colors(get_palette("dark"))  # axes forget what they drew
        plots.draw([view])
        QTest.qWait(30)
        return plots.grab().toImage()

    before = draw_anew(BinView.of(result, 3))
    view = BinView.of(result, 8)
    plots.foresee([view])
    assert plots.grab().toImage() == before
    made: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(PlotAxis, "generateDrawSpecs", lambda axis, _: made.append(axis.orientation))
        make = pg.arrayToQPath
        patch.setattr(pg, "arrayToQPath", lambda x, *ys, **how: made.append(f"path of {x.size}") or make(x, *ys, **how))
        patch.setattr(bin_view, "compute_formation_times", lambda *_: made.append("times"))
        plots.draw([view])
        drawn = plots.grab().toImage()
    assert not made
    assert drawn != before
    assert drawn == draw_anew(BinView.of(result, 8))


def test_an_axis_keeps_what_it_drew_until_its_looks_change(plots: BinPlots, result: Result) -> None:
    axis = plots.sfh.getAxis("left")
    plots.draw([BinView.of(result, 3)])
    QTest.qWait(30)
    drawn = axis.picture
    assert drawn
    plots.draw([BinView.of(result, 8)])
    QTest.qWait(30)
    assert axis.picture != drawn
    plots.draw([BinView.of(result, 3)])
    assert axis.picture is drawn
    plots.resize(1000, 340)
    QTest.qWait(30)
    assert axis.picture
    assert axis.picture != drawn


def test_the_bounds_of_a_band_are_those_of_its_numbers(plots: BinPlots, result: Result) -> None:
    view = BinView.of(result, 4)
    plots.draw([view])
    (ribbon,) = [each for each in plots.curves["mh"].ribbons if each.isVisible()]
    bounds = ribbon.boundingRect()
    assert (bounds.top(), bounds.bottom()) == pytest.approx((np.nanmin(view.mh.low), np.nanmax(view.mh.high)))
    assert (bounds.left(), bounds.right()) == pytest.approx(tuple(plots.time.edges[[0, -1]]))


def test_times_lie_on_the_curves_of_all_compared_bins(plots: BinPlots, result: Result) -> None:
    plots.draw([BinView.of(result, k) for k in range(1, 6)])
    items = list(plots.cumulative.scene().items())  # the topmost first
    curves = [items.index(each) for each in plots.curves["cumulative"].curves]
    assert len(curves) == 5
    assert max(items.index(line) for line in plots.times.values()) < min(curves)


def test_a_broad_line_keeps_its_extremes_and_shows_all_points_from_near(qtbot: Any) -> None:
    widget = pg.GraphicsLayoutWidget()
    qtbot.addWidget(widget)
    widget.resize(400, 200)
    plot, curve = make_bare_plot(widget), Curve()
    plot.addItem(curve)
    x = np.linspace(4750.0, 7000.0, 4001)
    y = np.sin(x / 300) + 3 * (np.arange(x.size) == 1777) - 2 * (np.arange(x.size) == 2002)
    curve.setPen(get_pen("white", 4))
    curve.setData(x, y)
    plot.setXRange(x[0], x[-1], padding=0)
    widget.show()
    qtbot.waitExposed(widget)
    widget.grab()
    path = curve.getPath()
    assert path.elementCount() < 0.3 * x.size
    bounds = path.controlPointRect()
    assert (bounds.left(), bounds.right()) == (x[0], x[-1])
    assert (bounds.top(), bounds.bottom()) == (y.min(), y.max())
    plot.setXRange(x[1700], x[1800], padding=0)
    widget.grab()
    assert curve.getPath().elementCount() == x.size
    curve.setPen(get_pen("white", 1))
    plot.setXRange(x[0], x[-1], padding=0)
    widget.grab()
    assert curve.getPath().elementCount() == x.size, "a thin line of many points is drawn as it is"


def test_the_history_is_the_largest_plot(plots: BinPlots) -> None:
    areas = {name: getattr(plots, name).width() * getattr(plots, name).height() for name in PLACES}
    assert max(areas, key=areas.__getitem__) == "sfh"


def test_a_narrow_dock_leaves_room_for_the_curves_and_their_names(plots: BinPlots) -> None:
    """As three compared bins have it at 1280 pixels: names of axes touched each other, the history had 65 pixels."""
    plots.resize(550, 240)
    QApplication.processEvents()
    assert plots.sfh.vb.width() > 120
    areas = {name: getattr(plots, name).width() * getattr(plots, name).height() for name in ("sfh", "spectrum", "sed")}
    assert max(areas, key=areas.__getitem__) == "sfh"
    axes = [getattr(plots, name).getAxis("bottom") for name in ("sfh", "mh", "spectrum")]
    names = sorted((rect.left(), rect.right()) for rect in (axis.label.sceneBoundingRect() for axis in axes))
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(names))
    assert names[-1][1] <= plots.width()
    assert find_numbers(axes[2]), "wavelengths stand below the spectrum"
    for plot in (plots.spectrum, plots.sed, plots.mh, plots.cumulative):
        heights = find_numbers(plot.getAxis("left"), upright=True)
        assert len(heights) > 1
        assert all(lower <= higher + 1 for (_, lower), (higher, _) in itertools.pairwise(heights)), "numbers touch"
    double_click(plots, plots.spectrum)
    assert plots.residual.isVisible()
    assert not find_numbers(axes[2])
    double_click(plots, plots.spectrum)
    assert not plots.residual.isVisible()
    plots.resize(900, 240)
    QApplication.processEvents()
    assert plots.residual.isVisible()
    assert not find_numbers(axes[2])


def test_a_dock_of_a_small_window_keeps_history_and_spectrum(plots: BinPlots) -> None:
    """As a window of 1024 pixels leaves it: the spectrum had the width of nothing, its numbers lay upon others."""
    plots.resize(370, 230)
    QTest.qWait(50)
    assert plots.sfh.vb.width() > plots.spectrum.vb.width() > 90
    assert plots.cumulative.vb.height() > 40
    assert not any(plot.isVisible() for plot in (plots.mh, plots.sed, plots.residual))
    axes = [getattr(plots, name).getAxis("bottom") for name in ("sfh", "spectrum", "cumulative")]
    assert all(find_numbers(axis) for axis in axes)
    assert all(axis.label.toPlainText() and axis.label.sceneBoundingRect().right() <= 370 for axis in axes[:2])
    double_click(plots, plots.cumulative)
    assert [name for name in PLACES if getattr(plots, name).isVisible()] == ["cumulative"]
    double_click(plots, plots.cumulative)
    plots.resize(900, 240)
    QApplication.processEvents()
    assert all(getattr(plots, name).isVisible() for name in PLACES)
    assert not find_numbers(axes[2])


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


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_bands_without_a_model_are_drawn_without_a_warning(plots: BinPlots, result: Result) -> None:
    """Narrow bands and J-PAS have none."""
    view = BinView.of(result, 3)
    view = replace(view, phot_model=np.full(view.phot.size, np.nan))
    plots.draw([view])
    scatters = [item for item in plots.sed.items if isinstance(item, pg.ScatterPlotItem)]
    assert max(item.getData()[0].size for item in scatters) == np.isfinite(view.phot).sum()
    for item in scatters:
        item.dataBounds(1)


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


def test_copied_numbers_are_of_all_bins_of_a_plot(result: Result) -> None:
    views = [BinView.of(result, 3), BinView.of(result, 9)]
    for name, own in (("spectrum", "flux"), ("sed", "phot")):
        header, *rows = (line.split("\t") for line in format_panel_numbers(views, name, "mass").splitlines())
        for view in views:
            column = header.index(f"bin{view.bin_id}_flux")
            told = np.array([float(row[column]) for row in rows])
            assert told == pytest.approx(getattr(view, own), rel=1e-5, nan_ok=True)


def test_a_bin_has_one_colour_in_all_plots_and_its_model_has_none_of_theirs(plots: BinPlots) -> None:
    def color(item: Any) -> str:
        return str(pg.mkPen(item.opts["pen"]).color().name())

    curves = [item for item in plots.spectrum.items if isinstance(item, pg.PlotCurveItem) and item.isVisible()]
    model = next(item for item in curves if pg.mkPen(item.opts["pen"]).width() > 2)
    data = [item for item in curves if item is not model]
    assert [color(item) for item in data] == [choose_color(0), choose_color(1)]
    assert [color(curve) for curve in plots.curves["sfh"].curves[:2]] == [choose_color(0), choose_color(1)]
    assert color(model) not in [choose_color(k) for k in range(21)]
    items = plots.spectrum.items
    assert items.index(model) < min(items.index(item) for item in data), "the model hides no data"
    (residual,) = [item for item in plots.residual.items if isinstance(item, pg.PlotCurveItem)]
    assert color(residual) == choose_color(0)
    points = [item for item in plots.sed.items if isinstance(item, pg.ScatterPlotItem)]
    inks = {
        spot.brush().color().name()
        for item in points
        for spot in item.points()
        if spot.brush().style() != Qt.BrushStyle.NoBrush
    }
    assert inks == {choose_color(0), choose_color(1)}


@pytest.mark.parametrize("enlarged", ["", "spectrum"])
def test_the_name_of_an_axis_keeps_off_its_numbers(plots: BinPlots, enlarged: str) -> None:
    plots.enlarge_panel(enlarged)
    QApplication.processEvents()
    for plot in (plots.spectrum, plots.residual):
        axis = plot.getAxis("left")
        painter = QPainter(image := QImage(10, 10, QImage.Format.Format_ARGB32))
        _, _, numbers = axis.generateDrawSpecs(painter)
        painter.end()
        assert image.width() == 10
        name = axis.mapRectFromItem(axis.label, axis.label.boundingRect())
        assert numbers
        assert min(rect.left() for rect, *_ in numbers) >= name.right() - 3, "3 pixels are the margin of the text"


def find_numbers(axis: Any, upright: bool = False) -> list[tuple[float, float]]:
    """Left and right (or upper and lower) end of each number along an axis."""
    QApplication.processEvents()
    painter = QPainter(image := QImage(10, 10, QImage.Format.Format_ARGB32))
    _, _, numbers = axis.generateDrawSpecs(painter)
    painter.end()
    assert image.width() == 10
    if upright:
        return sorted((rect.top(), rect.bottom()) for rect, _, text in numbers if text)
    return sorted((rect.left(), rect.right()) for rect, _, text in numbers if text)


def test_numbers_of_time_keep_apart_where_the_plot_is_narrow(plots: BinPlots) -> None:
    axis = plots.mh.getAxis("bottom")
    plots.resize(1400, 300)
    assert len(find_numbers(axis)) == 4
    plots.resize(640, 240)
    narrow = find_numbers(axis)
    assert 2 <= len(narrow) < 4
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(narrow))


@pytest.mark.parametrize("weights", ["phangs-jwst", "narrowband-muse"])
def test_wavelengths_of_many_bands_keep_apart(plots: BinPlots, weights: str) -> None:
    """From 0.27 to 21 micron, and of 56 narrow bands within an octave."""
    plots.resize(1400, 300)
    plots.set_instrument(read_bundle_header(find_bundle_file(weights)).instrument)
    numbers = find_numbers(plots.sed.getAxis("bottom"))
    assert len(numbers) >= 2
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(numbers))


def test_spectra_of_draws_are_shaded_for_their_bin_alone(plots: BinPlots, result: Result) -> None:
    view, other = BinView.of(result, 3), BinView.of(result, 9)
    steps = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    plots.set_predictive(3, view.model[None, :] + steps[:, None])

    def shaded() -> tuple[float, float]:
        ribbons = [item for item in plots.spectrum.items if isinstance(item, Ribbon) and item.zValue() == -1]
        rect = ribbons[0].path().boundingRect()
        return rect.top(), rect.bottom()

    assert shaded() == pytest.approx((float(view.model.min()) - 0.1, float(view.model.max()) + 0.1), abs=1e-4)
    beside = [item for item in plots.residual.items if isinstance(item, Ribbon) and item.zValue() == -1]
    rect = beside[0].path().boundingRect()
    assert (rect.top(), rect.bottom()) == pytest.approx((-0.1, 0.1), abs=1e-4), "about the model, beside the residual"
    assert all(item.pen().style() != Qt.PenStyle.NoPen for item in beside), "seen where it is narrower than a pixel"
    plots.draw([other, view])
    assert shaded() == (0, 0), "the first bin has none"
    plots.draw([view])
    assert shaded()[1] > 0.5, "kept for when the bin is shown again"
    plots.forget_predictive()
    assert shaded() == (0, 0)
