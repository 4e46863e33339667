"""What every plot has: a crosshair that says what stands there, a menu to copy; and gas plots whose points select."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, QRectF, Qt
from qtpy.QtGui import QImage, QPainter
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from window_acts import lasso

from napari_sfh._qt.forms.preflight_panel import SkyPlot
from napari_sfh._qt.plots.bin_plots import BinPlots
from napari_sfh._qt.plots.brush import INSIDE_PX, SHOWN_PX, BrushPoints, MarkedPoints
from napari_sfh._qt.plots.cube_plot import CubePlot
from napari_sfh._qt.plots.estimate_plots import EstimatePlots
from napari_sfh._qt.plots.gas_plots import GasPlots
from napari_sfh._qt.plots.gradient_plot import GradientPlot
from napari_sfh._qt.plots.plot_items import get_pen
from napari_sfh._qt.plots.scatter_plot import ScatterPlot
from napari_sfh._qt.plots.side_plots import HistoryPlots, OneToOne
from napari_sfh._qt.session import PLOT_REGION, Session
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.gas.gas_and_stars import GasDiagrams, YoungStars
from napari_sfh.analysis.gas.line_maps import BPT_CLASSES

N = 16


def make_diagrams() -> GasDiagrams:
    """Gas of 16 bins that get richer and dustier one after the other; the last two are not known."""
    k = 3.0 * np.arange(N)
    k[14:] = np.nan
    small = np.full(N, 0.01)
    young = YoungStars(-0.5 + 0.01 * k, -0.55 + 0.01 * k, -0.45 + 0.01 * k, np.ones(N))
    bpt = np.where(np.isfinite(k), 1 + (np.nan_to_num(k) > 20) + (np.nan_to_num(k) > 40), 0).astype(np.int8)
    return GasDiagrams(
        -0.4 + 0.01 * k, small, young, 0.02 * k, small, 0.01 * k, small, -1.5 + 0.03 * k, -1.0 + 0.03 * k, bpt
    )


def show(qtbot: Any, plots: Any) -> Any:
    plots.resize(900, 300)
    qtbot.addWidget(plots)
    with qtbot.waitExposed(plots):
        plots.show()
    QApplication.processEvents()
    return plots


@pytest.fixture
def gas(qtbot: Any) -> Any:
    plots = GasPlots(get_palette("dark"))
    plots.draw(make_diagrams())
    return show(qtbot, plots)


def test_a_symbol_is_drawn_once_for_each_kind_of_gas(gas: Any) -> None:
    for name, plot in gas.plots.items():
        points = max((i for i in plot.items if isinstance(i, BrushPoints)), key=lambda item: len(item.points()))
        kinds = len(BPT_CLASSES) - 1 if name == "bpt" else 1
        assert len(points.points()) > kinds >= len(points.fragmentAtlas)


def test_the_three_panels_of_the_gas_have_room_in_a_window_of_1280_pixels(gas: Any) -> None:
    gas.resize(925, 300)
    QApplication.processEvents()
    assert gas.plots["bpt"].sceneBoundingRect().right() <= gas.width()


def place_of(plots: Any, box: Any, x: float, y: float) -> Any:
    """A point of a plot in the widget."""
    return plots.mapFromScene(box.mapViewToScene(QPointF(x, y)))


def test_points_of_the_gas_select_bins_and_bins_stand_out(qtbot: Any, gas: Any, result: Any) -> None:
    session = Session()
    session.set_result(result)
    gas.link(session, lambda act: act())
    session.selection_changed.connect(lambda _: gas.mark(session.list_marks()))
    drawn = make_diagrams()
    for name, x, y in (
        ("metals", drawn.oxygen[4], drawn.young.mh[4]),
        ("dust", drawn.ebv_gas[8], drawn.ebv_stars[8]),
        ("bpt", drawn.lg_n2[2], drawn.lg_o3[2]),
    ):
        point = place_of(gas, gas.boxes[name], x, y)
        QTest.mouseClick(gas.viewport(), Qt.MouseButton.LeftButton, pos=point)
        row = {"metals": 4, "dust": 8, "bpt": 2}[name]
        assert session.selected == row + 1
        for other in gas.plots.values():
            (marked,) = [item for item in other.items if isinstance(item, MarkedPoints)]
            (point,) = marked.points()
            assert point.size() == SHOWN_PX, "in every panel"
            assert point.brush().color().name() == session.list_bin_colors()[row + 1]
    lasso(gas, gas.boxes["bpt"], [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)])
    assert set(session.regions[0].rows) == set(range(14)), "those that are known"
    inside, shown = session.find_region_color(PLOT_REGION), session.list_bin_colors()[session.selected]
    assert inside != shown
    (marked,) = [item for item in gas.plots["bpt"].items if isinstance(item, MarkedPoints)]
    told = [(point.size(), point.brush().color().name()) for point in marked.points()]
    assert sorted(set(told)) == sorted([(INSIDE_PX, inside), (SHOWN_PX, shown)]), "as on the map and in the legend"
    assert told.count((INSIDE_PX, inside)) == 14
    assert len(marked.fragmentAtlas) < 5, "a symbol a look, not a bin"


def make_plots(result: Any) -> dict[str, tuple[Any, Any]]:
    """Every kind of plot, drawn, and one panel of it."""
    colors = get_palette("dark")
    views = [BinView.of(result, 1)]
    bins = BinPlots(colors)
    bins.draw(views)
    cube = CubePlot(colors)
    cube.set_cube(np.linspace(5000, 6000, 50), "flux", 0.01)
    cube.set_cursor(np.linspace(1, 2, 50))
    estimates = EstimatePlots(colors)
    estimates.set_population({"lg_age_lw": np.linspace(8, 10, 40)})
    scatter = ScatterPlot(colors)
    scatter.draw(np.arange(5.0), np.arange(5.0) ** 2, ("a", "b"))
    history = HistoryPlots(colors, spectrum=True)
    half = SimpleNamespace(value=np.ones(16), low=np.zeros(16), high=2 * np.ones(16))
    history.draw([SimpleNamespace(sfh=lambda kind: half, model=views[0].model, name="x")], views[0])
    sky = SkyPlot()
    sky.set_theme("dark")
    sky.plot([0.0, 1.0], [0.0, 1.0], pen=get_pen("#ffffff"))
    gas = GasPlots(colors)
    gas.draw(make_diagrams())
    gradient, one = GradientPlot(colors), OneToOne(colors)
    for plot in (gradient, one):
        plot.plot.plot([1.0, 2.0], [3.0, 4.0], pen=get_pen("#ffffff"))
    return {
        "bins": (bins, bins.spectrum),
        "cube": (cube, cube.plot),
        "estimates": (estimates, estimates.ci.getItem(0, 0)),
        "scatter": (scatter, scatter.plot),
        "history": (history, history.sfh),
        "footprints": (sky, sky.getPlotItem()),
        "gas": (gas, gas.plots["dust"]),
        "gradient": (gradient, gradient.plot),
        "one to one": (one, one.plot),
    }


def test_every_plot_has_a_crosshair_and_copies_its_numbers_and_picture(qtbot: Any, result: Any) -> None:
    clipboard = QApplication.clipboard()
    for name, (widget, plot) in make_plots(result).items():
        show(qtbot, widget)
        middle = widget.mapFromScene(plot.vb.sceneBoundingRect().center())

        def is_read(widget: Any = widget, middle: QPoint = middle) -> bool:
            QTest.mouseMove(widget.viewport(), middle - QPoint(9, 5))  # the cursor may be at the middle already
            QTest.mouseMove(widget.viewport(), middle)
            QApplication.processEvents()
            return bool(widget.reader.text.isVisible())

        qtbot.waitUntil(is_read, timeout=60_000)  # a busy screen loses a move
        assert any(letter.isdigit() for letter in widget.reader.text.toPlainText()), name
        QTest.mouseClick(widget.viewport(), Qt.MouseButton.RightButton, pos=middle)
        menu = widget.reader.menu or plot.vb.menu_shown
        actions = {action.text(): action for action in menu.actions()}
        clipboard.clear()
        actions["Copy the numbers"].trigger()
        lines = clipboard.text().splitlines()
        assert "\t" in lines[0], name
        assert [float(value) for value in lines[1].split("\t")], name
        actions["Copy the picture"].trigger()
        assert clipboard.pixmap().width() == widget.width(), name
        menu.close()
        widget.hide()


def test_the_crosshair_says_time_where_the_axis_is_a_logarithm(qtbot: Any, result: Any) -> None:
    plots = BinPlots(get_palette("dark"))
    plots.draw([BinView.of(result, 1)])
    show(qtbot, plots)
    point = place_of(plots, plots.sfh.vb, 0.0, 0.01)
    QTest.mouseMove(plots.viewport(), point)
    qtbot.waitUntil(lambda: plots.reader.text.isVisible())
    time, unit = plots.reader.text.toPlainText().split(",")[0].split()
    assert unit == "Gyr"
    assert float(time) == pytest.approx(1.0, rel=0.1)


def measure_ink(widget: Any, ratio: int) -> float:
    """How much of a plot's picture is drawn on, in pixels, on a screen with so many dots in a pixel."""
    widget.viewport().setFixedSize(900, 300)
    image = QImage(900 * ratio, 300 * ratio, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(ratio)
    painter = QPainter(image)
    widget.render(painter, QRectF(0, 0, 900, 300))
    painter.end()
    bits = image.constBits()
    dots = np.frombuffer(bits.asarray(image.sizeInBytes()) if hasattr(bits, "asarray") else bits, np.uint8)
    dots = dots.reshape(300 * ratio, 900 * ratio, 4)[..., :3].astype(float)
    return float(np.abs(dots - dots[0, 0]).mean())


def test_lines_are_as_wide_beside_their_letters_on_a_fine_screen(
    qtbot: Any, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = {name: measure_ink(show(qtbot, widget), 1) for name, (widget, _) in make_plots(result).items()}
    monkeypatch.setattr(QApplication, "devicePixelRatio", lambda _: 2.0)
    fine = {name: measure_ink(show(qtbot, widget), 2) for name, (widget, _) in make_plots(result).items()}
    assert fine == pytest.approx(coarse, rel=0.1)
