"""An axis of our plots against pyqtgraph's own, which it takes the place of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import qtpy
from qtpy.QtGui import QFont, QImage, QPainter
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sfh._qt.plots.plot_axis import PlotAxis
from napari_sfh._qt.plots.plot_items import pg

NAMED = [[(0.0, "0"), (0.5, "half\nof it"), (1.0, "1"), (7.0, "out of sight")], [(0.25, ""), (0.75, "")]]
SPANS = [(0.0, 0.43), (-1.9, 0.31), (4750.0, 7000.0), (0.0, 1.12), (1e-5, 3.1e-5), (-8e5, 2e4)]
STYLES: list[dict[str, Any]] = [
    {"ticks": NAMED},
    {"ticks": NAMED, "hideOverlappingLabels": True},
    {"showValues": False},
]


def lay_out(kind: type, side: str, span: tuple[float, float], pixels: int, **style: Any) -> tuple[Any, Any]:
    """Ends of ticks and (text, rectangle) of numbers that an axis of a plot draws."""
    widget = pg.GraphicsLayoutWidget()
    widget.resize(pixels, pixels)
    plot = widget.addPlot(axisItems={name: kind(name) for name in ("left", "bottom")})
    axis = plot.getAxis(side)
    axis.enableAutoSIPrefix(False)
    font = QFont()
    font.setPointSizeF(7.5)
    axis.setTickFont(font)
    axis.setTicks(style.pop("ticks", None))
    axis.setStyle(**style)
    (plot.setYRange if side == "left" else plot.setXRange)(*span, padding=0)
    widget.show()
    assert QTest.qWaitForWindowExposed(widget)  # until then Qt 6 has another size
    painter = QPainter(image := QImage(10, 10, QImage.Format.Format_ARGB32))
    for _ in range(3):  # the axis takes the room of its numbers
        axis.generateDrawSpecs(painter)
        QApplication.processEvents()
    line, ticks, numbers = axis.generateDrawSpecs(painter)
    painter.end()
    assert image.width() == 10
    widget.close()
    ends = [(line[1].x(), line[1].y(), line[2].x(), line[2].y(), line[0].color().getRgb())]
    for pen, *rest in ticks:
        pieces = rest[0] if isinstance(rest[0], list) else [pg.QtCore.QLineF(*rest)]
        ends += [(one.x1(), one.y1(), one.x2(), one.y2(), pen.color().getRgb()) for one in pieces]
    places = [(text, rect.x(), rect.y(), rect.width(), rect.height(), flags) for rect, flags, text in numbers if text]
    return sorted(ends), sorted(places)


def flatten(rows: Sequence[tuple[Any, ...]]) -> list[float]:
    """All numbers of rows, one after the other."""
    cells = [cell for row in rows for cell in row if not isinstance(cell, str)]
    return [float(number) for cell in cells for number in (cell if isinstance(cell, tuple) else (cell,))]


@pytest.mark.parametrize("side", ["left", "bottom"])
@pytest.mark.parametrize(
    "span", [(0.0, 0.43), (-1.9, 0.31), (4750.0, 7000.0), (0.0, 1.12), (1e-5, 3.1e-5), (-8e5, 2e4)]
)
@pytest.mark.parametrize("pixels", [130, 300, 900])
def test_an_axis_has_the_ticks_and_numbers_of_pyqtgraph(
    qapp: Any, side: str, span: tuple[float, float], pixels: int
) -> None:
    (ticks, numbers), (own_ticks, own_numbers) = (lay_out(kind, side, span, pixels) for kind in (pg.AxisItem, PlotAxis))
    assert len(own_ticks) == len(ticks) > 5
    assert [text for text, *_ in own_numbers] == [text for text, *_ in numbers]
    assert flatten(own_numbers) == pytest.approx(flatten(numbers), abs=1e-6)
    assert flatten(own_ticks) == pytest.approx(flatten(ticks), abs=1e-6)


@pytest.mark.parametrize(
    "style", [{"ticks": NAMED}, {"ticks": NAMED, "hideOverlappingLabels": True}, {"showValues": False}]
)
def test_given_ticks_stand_where_pyqtgraph_puts_them(qapp: Any, style: dict[str, Any]) -> None:
    for side in ("left", "bottom"):
        (ticks, numbers), (own_ticks, own_numbers) = (
            lay_out(kind, side, (-0.2, 1.1), 250, **style) for kind in (pg.AxisItem, PlotAxis)
        )
        assert [text for text, *_ in own_numbers] == [text for text, *_ in numbers]
        assert flatten(own_numbers) == pytest.approx(flatten(numbers), abs=1e-6)
        assert flatten(own_ticks) == pytest.approx(flatten(ticks), abs=1e-6)


def test_an_axis_without_a_range_or_length_draws_what_it_can(qapp: Any) -> None:
    axis = PlotAxis("left")
    axis.setRange(2.0, 2.0)
    axis.resize(40, 0)
    painter = QPainter(image := QImage(10, 10, QImage.Format.Format_ARGB32))
    axis.paint(painter, None, None)
    painter.end()
    assert image.width() == 10


@pytest.mark.parametrize("side", ["left", "bottom"])
@pytest.mark.parametrize("span", SPANS)
def test_numbers_stand_where_qt_writes_them(qapp: Any, side: str, span: tuple[float, float]) -> None:
    widget = pg.GraphicsLayoutWidget()
    widget.resize(300, 300)
    plot = widget.addPlot(axisItems={name: PlotAxis(name) for name in ("left", "bottom")})
    axis = plot.getAxis(side)
    (plot.setYRange if side == "left" else plot.setXRange)(*span, padding=0)
    widget.show()
    assert QTest.qWaitForWindowExposed(widget)
    QApplication.processEvents()
    own, expected = (QImage(300, 300, QImage.Format.Format_ARGB32_Premultiplied) for _ in range(2))
    for image in (own, expected):
        image.fill(0)
        painter = QPainter(image)
        painter.translate(100, 20)  # numbers are left of the axis
        if image is own:
            axis.paint(painter, None, None)
        else:
            (pen, first, last), ticks, numbers = axis.generateDrawSpecs(painter)
            painter.setPen(pen)
            painter.drawLine(first, last)
            for tick_pen, lines in ticks:
                painter.setPen(tick_pen)
                painter.drawLines(lines)
            painter.setPen(axis.textPen())
            painter.setFont(axis.style["tickFont"] or axis.font())
            for rect, flags, text in numbers:
                painter.drawText(rect, flags, text)
            assert len(numbers) >= 2
        painter.end()
    if own != expected:  # Qt 6 rounds where a number stands by a rule of its own
        assert qtpy.QT6
        for rect, *_ in numbers:
            place = rect.translated(100, 20).toAlignedRect().adjusted(0, -1, 0, 1)
            assert own.copy(place) in [expected.copy(place.translated(0, down)) for down in (-1, 0, 1)]
    widget.close()
