"""An axis that looks like pyqtgraph's and takes a fifth of its time: six of them change with each click on a bin."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from math import ceil, floor, hypot, log10
from typing import Any, NamedTuple

import qtpy
from qtpy.QtCore import QLineF, QPointF, QRectF, QSizeF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QPen, QStaticText, QTransform
from qtpy.QtWidgets import QGraphicsItem

# Where several bindings are installed, pyqtgraph must take the one that napari uses.
os.environ.setdefault("PYQTGRAPH_QT_LIB", qtpy.API_NAME)
import pyqtgraph as pg

__all__ = ["PlotAxis", "pg"]

#: Of the height of a number, what pyqtgraph takes for it.
_HEIGHT_SHARE = 0.8
#: Sizes of numbers that an axis keeps, and of how many ranges it keeps what it draws.
_MAX_SIZES, _MAX_RANGES = 500, 16
_ALIGNMENT = {
    "left": Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
    "bottom": Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop,
}

#: Ticks of one length: their pen, and a line each.
TickLines = tuple[QPen, list[QLineF]]
#: Where a number stands, how it is aligned, and what it says.
PlacedNumber = tuple[QRectF, Any, str]


class _Level(NamedTuple):
    """Ticks of one length: values and places (pixels) along the axis, and what gives their numbers."""

    values: list[float]
    places: list[float]
    name: Callable[[list[float]], list[str]]


class PlotAxis(pg.AxisItem):
    """An axis without grid lines, whose line reaches from end to end; what it draws is kept until it changes.

    Parameters
    ----------
    orientation : {"left", "bottom"}
    """

    range: list[float]

    def __init__(self, orientation: str) -> None:
        self._pictures: dict[tuple[float, ...], Any] = {}
        self._is_moving = False
        self._sizes: dict[str, tuple[float, float]] = {}
        self._measured: QFont | None = None
        self._texts: dict[str, tuple[QStaticText, QSizeF]] = {}
        self._laid_out: QFont | None = None
        super().__init__(orientation)
        # The axis' name is the same for all bins: its letters are drawn once.
        self.label.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.enableAutoSIPrefix(False)
        self._is_upright = orientation == "left"

    @property
    def picture(self) -> Any:
        """What it draws; None where that is not known."""
        return self._pictures.get(tuple(self.range))

    @picture.setter
    def picture(self, drawn: Any) -> None:
        if drawn is not None:
            self._pictures[tuple(self.range)] = drawn
            if len(self._pictures) > _MAX_RANGES:
                del self._pictures[next(iter(self._pictures))]
        elif not self._is_moving:
            self._pictures.clear()

    def setRange(self, mn: float, mx: float) -> None:
        """Draw other numbers; what was drawn is kept, for a range that comes again."""
        self._is_moving = True
        try:
            super().setRange(mn, mx)
        finally:
            self._is_moving = False

    def foresee(self, low: float, high: float) -> None:
        """Prepare what is drawn for a range that may be the next."""
        before, wanted = self.range, [float(low), float(high)]
        if tuple(wanted) in self._pictures or before == wanted:
            return
        self.range = wanted
        try:
            self.picture = self.generateDrawSpecs(None) or ()
        finally:
            self.range = before

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Spacing and values of the ticks of each length; none is in two of them."""
        low, high = min(minVal, maxVal) * self.scale, max(minVal, maxVal) * self.scale
        levels: list[tuple[float, list[float]]] = []
        spacings = self.tickSpacing(low, high, size)
        for i, (spacing, offset) in enumerate(spacings):
            start = ceil((low - offset) / spacing) * spacing + offset
            values = [k * spacing + start for k in range(int((high - start) / spacing) + 1)]
            for longer, first in spacings[:i]:
                values = [x for x in values if abs(x - first - round((x - first) / longer) * longer) > 0.01 * spacing]
            levels.append((spacing / self.scale, [value / self.scale for value in values]))
        return levels

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Spacing of the ticks of each length, and where they begin: in a low plot so far that numbers do not touch."""
        levels: list[tuple[float, float]] = super().tickSpacing(minVal, maxVal, size)
        if self._is_upright and self._tickSpacing is None and levels:
            numbers = size / (0.8 * QFontMetricsF(self._font).height())
            while len(levels) > 1 and (maxVal - minVal) / levels[0][0] > max(numbers, 1.0):
                levels = [(_lengthen(levels[0][0]), 0.0), levels[0]]
        return levels

    def paint(self, painter: Any, option: Any, widget: Any) -> None:
        """Draw it, without a picture in between that takes as long as the drawing."""
        picture = self.picture
        if picture is None:
            picture = self.picture = self.generateDrawSpecs(painter) or ()
        if not picture:
            return
        (pen, first, last), ticks, numbers = picture
        painter.setRenderHint(painter.RenderHint.Antialiasing, False)
        painter.setPen(pen)
        painter.drawLine(first, last)
        for tick_pen, lines in ticks:
            painter.setPen(tick_pen)
            painter.drawLines(lines)
        if numbers:
            painter.setRenderHint(painter.RenderHint.TextAntialiasing, True)
            painter.setFont(self._font)
            painter.setPen(self.textPen())
            for rect, flags, text in numbers:
                if "\n" in text:
                    painter.drawText(rect, flags, text)
                else:
                    number, size = self._lay_out(text)
                    across = rect.width() - size.width()
                    down = 0.5 * (rect.height() - size.height()) if self._is_upright else 0.0
                    place = QPointF(rect.x() + (across if self._is_upright else 0.5 * across), rect.y() + down)
                    painter.drawStaticText(place, number)

    def generateDrawSpecs(
        self, p: Any
    ) -> tuple[tuple[QPen, QPointF, QPointF], list[TickLines], list[PlacedNumber]] | None:
        """The axis' line, its ticks and its numbers; None where it has no length."""
        bounds = self.rect()
        edge, first, last = self._find_line(bounds)
        ends = self.mapToDevice(first), self.mapToDevice(last)
        if None in ends:
            return None
        length = hypot(ends[1].x() - ends[0].x(), ends[1].y() - ends[0].y())
        if not length:
            return None
        levels = self._place_ticks(bounds, length)
        numbers = self._place_numbers(levels, edge, length) if self.style["showValues"] else []
        return (self.pen(), first, last), self._draw_ticks(levels, edge), numbers

    @property
    def _font(self) -> QFont:
        return self.style["tickFont"] or self.font()

    def _find_line(self, bounds: QRectF) -> tuple[float, QPointF, QPointF]:
        """The edge at the plot, and the axis' line a pixel beside it."""
        if self._is_upright:
            edge = bounds.right()
            return edge, QPointF(edge - 1, bounds.top() - 1), QPointF(edge - 1, bounds.bottom() + 1)
        edge = bounds.top()
        return edge, QPointF(bounds.left() - 1, edge + 1), QPointF(bounds.right() + 1, edge + 1)

    def _place_ticks(self, bounds: QRectF, length: float) -> list[_Level]:
        """Ticks in sight, longest first."""
        low, high = self.range
        span = (high - low) or 1.0
        scale = (-bounds.height() if self._is_upright else bounds.width()) / span
        offset = low * scale - (bounds.height() if self._is_upright else 0.0)
        levels: list[tuple[list[float], Callable[[list[float]], list[str]]]]
        if self._tickLevels is None:
            found = self.tickValues(low, high, length)
            levels = [(values, partial(self._number, spacing)) for spacing, values in found]
        else:
            levels = [([x for x, _ in level], partial(_look_up, dict(level))) for level in self._tickLevels]
        first, last = sorted(end * scale - offset for end in self.range)
        placed = []
        for values, name in levels:
            seen = [(x, place) for x in values if first <= (place := x * scale - offset) <= last]
            placed.append(_Level([x for x, _ in seen], [place for _, place in seen], name))
        return placed

    def _number(self, spacing: float, values: list[float]) -> list[str]:
        texts: list[str] = self.tickStrings(values, self.autoSIPrefixScale * self.scale, spacing)
        return texts

    def _draw_ticks(self, levels: list[_Level], edge: float) -> list[TickLines]:
        """Shorter and fainter from level to level."""
        drawn = []
        for i, level in enumerate(levels):
            if level.places:
                pen = QPen(self.tickPen())
                color = QColor(pen.color())
                color.setAlpha(int(255 / (i + 1)))
                pen.setColor(color)
                length = self.style["tickLength"] / (0.5 * i + 1.0)
                if self._is_upright:
                    lines = [QLineF(edge, place, edge - length, place) for place in level.places]
                else:
                    lines = [QLineF(place, edge, place, edge + length) for place in level.places]
                drawn.append((pen, lines))
        return drawn

    def _place_numbers(self, levels: list[_Level], edge: float, length: float) -> list[PlacedNumber]:
        """Numbers of the longest ticks, and of shorter ones as long as all have room."""
        style, bounds = self.style, self.boundingRect()
        flags = int(_ALIGNMENT[self.orientation] | Qt.TextFlag.TextDontClip)
        numbers: list[PlacedNumber] = []
        taken = across = 0.0
        for i, level in enumerate(levels[: style["maxTextLevel"] + 1]):
            if not level.values:
                continue
            texts = level.name(level.values)
            sizes = [self._measure(text) for text in texts]
            taken += sum(height if self._is_upright else width for width, height in sizes)
            if i and any(len(numbers) >= n and taken / length >= limit for n, limit in style["textFillLimits"]):
                break
            across = max(across, *(width if self._is_upright else height for width, height in sizes))
            for place, text, size in zip(level.places, texts, sizes):
                rect = self._place_number(place, size, edge)
                if bounds & rect == rect:
                    numbers.append((rect, flags, text))
        if self.fixedWidth is None or not self._is_upright:
            self._updateMaxTextSize(across)
        return numbers

    def _place_number(self, place: float, size: tuple[float, float], edge: float) -> QRectF:
        width, height = size
        away = max(0, self.style["tickLength"]) + self.style["tickTextOffset"][0 if self._is_upright else 1]
        if self._is_upright:
            return QRectF(edge - away - width, place - height / 2, width, height)
        return QRectF(place - width / 2, edge + away, width, height)

    def _lay_out(self, text: str) -> tuple[QStaticText, QSizeF]:
        """A number whose letters have their places, which takes Qt most of the drawing, and its size in pixels."""
        font = self._font
        if font != self._laid_out or len(self._texts) > _MAX_SIZES:
            self._laid_out = QFont(font)
            self._texts.clear()
        if text not in self._texts:
            number = QStaticText(text)
            number.setTextFormat(Qt.TextFormat.PlainText)
            number.prepare(QTransform(), font)
            # Its own height is rounded up with Qt 6, which may move the number by a pixel.
            self._texts[text] = number, QSizeF(number.size().width(), QFontMetricsF(font).height())
        return self._texts[text]

    def _measure(self, text: str) -> tuple[float, float]:
        """Width and height of a number, pixels."""
        font = self._font
        if font != self._measured or len(self._sizes) > _MAX_SIZES:
            self._measured = font
            self._sizes.clear()
        if text not in self._sizes:
            rect = QFontMetricsF(font).boundingRect(QRectF(0, 0, 100, 100), int(Qt.AlignmentFlag.AlignCenter), text)
            self._sizes[text] = rect.width(), _HEIGHT_SHARE * rect.height()
        return self._sizes[text]


def _lengthen(spacing: float) -> float:
    """The next of 1, 2, 5, 10, ..."""
    power = 10.0 ** floor(log10(spacing * 1.001))
    return power * next(step for step in (2.0, 5.0, 10.0) if step > 1.1 * spacing / power)


def _look_up(names: dict[float, str], values: list[float]) -> list[str]:
    return [names[value] for value in values]
