"""The legend of a map, drawn by Qt: its title above a bar of its colours with numbers, as one picture."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter
from qtpy.QtWidgets import QApplication

#: Room in pixels that a number wants.
NUMBER_PX = 50.0
#: Pixels about the legend, between its parts, and of a tick; height of the bar.
PADDING_PX, GAP_PX, BAR_TICK_PX, BAR_HEIGHT_PX = 6.0, 3.0, 4.0, 11.0


class LegendContent(NamedTuple):
    """What a legend shows."""

    title: str
    colors: tuple[tuple[int, int, int], ...]  # sRGB of the bar from low to high; none: no bar
    low: float
    high: float


class LegendStyle(NamedTuple):
    """How a legend is drawn: width of the bar in logical pixels, points of the letters, ink and ground as RGBA, 0-255,
    device pixels per logical one.
    """

    bar_px: float
    points: float
    ink: tuple[int, int, int, int]
    ground: tuple[int, int, int, int]
    ratio: float


def choose_ticks(low: float, high: float, most: int = 3) -> tuple[list[float], list[str]]:
    """Round numbers between two limits and their texts: about ``most`` of them, and two where the limits allow it.

    Parameters
    ----------
    low, high : float
        Limits; no tick where they are equal, in the wrong order or not finite.
    most : int
        Number of ticks at most, where two fit.

    Examples
    --------
    >>> choose_ticks(8.6, 9.92)
    ([9.0, 9.5], ['9', '9.5'])
    >>> choose_ticks(-0.26, 0.05)
    ([-0.2, -0.1, 0.0], ['−0.2', '−0.1', '0'])
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [], []
    power = 10.0 ** math.floor(math.log10(span))
    values: list[float] = []
    for step in (factor * power for factor in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if values and last - first + 1 < 2:
            break
        values = [round(k * step, 12) for k in range(first, last + 1)]
        if len(values) <= most:
            break
    return values, [f"{value:.6g}".replace("-", "−") for value in values]


def draw_legend(content: LegendContent, style: LegendStyle) -> NDArray[np.uint8]:
    """A legend as a picture.

    Parameters
    ----------
    content : LegendContent
    style : LegendStyle

    Returns
    -------
    uint8 array (ny, nx, 4)
        RGBA in device pixels, the first row on top.
    """
    font = QFont(QApplication.font())
    font.setPointSizeF(style.points)
    metrics = QFontMetricsF(font)
    line = metrics.height()
    wide = max(metrics.horizontalAdvance(content.title), style.bar_px if content.colors else 0.0)
    below = BAR_HEIGHT_PX + BAR_TICK_PX + line + GAP_PX if content.colors else 0.0
    size = np.ceil(np.array([wide, line + below]) + 2 * PADDING_PX) * style.ratio
    image = QImage(int(size[0]), int(size[1]), QImage.Format.Format_RGBA8888)
    image.setDevicePixelRatio(style.ratio)
    image.fill(QColor(*style.ground))
    painter = QPainter(image)
    painter.setFont(font)
    painter.setPen(QColor(*style.ink))
    painter.drawText(QRectF(PADDING_PX, PADDING_PX, wide + 2, line), Qt.AlignmentFlag.AlignLeft, content.title)
    if content.colors:
        _draw_bar(painter, content, style, PADDING_PX + line + GAP_PX)
    painter.end()
    pointer: Any = image.constBits()
    if hasattr(pointer, "setsize"):
        pointer.setsize(image.sizeInBytes())
    rows = np.frombuffer(pointer, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 4 * image.width()].reshape(image.height(), image.width(), 4).copy()


def _draw_bar(painter: QPainter, content: LegendContent, style: LegendStyle, top: float) -> None:
    """Colours with a frame, ticks and numbers below; a number keeps clear of the one before and of the edges."""
    step = style.bar_px / len(content.colors)
    for k, color in enumerate(content.colors):
        painter.fillRect(QRectF(PADDING_PX + k * step, top, step + 0.5, BAR_HEIGHT_PX), QColor(*color))
    painter.drawRect(QRectF(PADDING_PX, top, style.bar_px, BAR_HEIGHT_PX))
    metrics, taken = painter.fontMetrics(), 0.0
    ticks = choose_ticks(content.low, content.high, max(2, int(style.bar_px / NUMBER_PX)))
    for value, text in zip(*ticks):
        place = PADDING_PX + style.bar_px * (value - content.low) / (content.high - content.low)
        painter.fillRect(QRectF(place - 0.5, top + BAR_HEIGHT_PX, 1.0, BAR_TICK_PX), QColor(*style.ink))
        width = metrics.horizontalAdvance(text)
        left = min(max(place - width / 2, 0.0), 2 * PADDING_PX + style.bar_px - width)
        if left < taken:
            continue
        taken = left + width + GAP_PX
        where = QRectF(left, top + BAR_HEIGHT_PX + BAR_TICK_PX, width + 2, metrics.height())
        painter.drawText(where, Qt.AlignmentFlag.AlignLeft, text)
