"""The shown bins in their colours, above the plots: beside the fields, or below them where it has no room there."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QBoxLayout, QLabel, QSizePolicy, QWidget

from napari_sfh._qt.widgets.theme import Palette
from napari_sfh.analysis.bin_view import BinView, list_view_colors

#: Where so many times the width of its letters, and so many pixels, have room, a legend has.
_FITS_SURELY, _MARGIN_PX = 1.5, 40


class BinLegend(QWidget):
    """A line of rich text that takes what room it gets. Another text lays nothing out anew around it."""

    def __init__(self) -> None:
        super().__init__()
        self._letters = ""
        self._label = QLabel(self)  # in no layout: it would hand each change of its size to the whole window
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What it says, as rich text."""
        return self._label.text()

    def show_bins(self, views: Sequence[BinView], pinned: Sequence[int], excess: str, palette: Palette) -> None:
        """Name bins and regions in their colours; a dot marks pinned bins.

        Parameters
        ----------
        views : sequence of BinView
        pinned : sequence of int
        excess : str
            What is said of bins that are not among ``views``.
        palette : Palette
        """
        parts, names = [], []
        for color, view in zip(palette.shade_all(list_view_colors(views)), views):
            dot = "•" if view.bin_id in pinned else ""
            name = view.name.removeprefix("bin ")
            parts.append(f'<span style="color:{color}">■</span> {escape(name)}{dot}')
            names.append(f"■ {name}{dot}")
        self._label.setText("&nbsp;&nbsp;".join([*parts, f"… {excess}"] if excess else parts))
        self._letters = "  ".join([*names, f"… {excess}"])

    def fits(self, width: int) -> bool:
        """Whether the whole text has room in so many pixels: of rich text Qt knows it late, letters alone soon."""
        about = self.fontMetrics().horizontalAdvance(self._letters)
        return _FITS_SURELY * about + _MARGIN_PX <= width or self.wanted_width <= width

    @property
    def wanted_width(self) -> int:
        """Pixels that the whole text takes."""
        return self._label.sizeHint().width()

    def sizeHint(self) -> QSize:
        """As high as its letters."""
        return QSize(0, self._label.sizeHint().height())

    def resizeEvent(self, event: Any) -> None:
        """The text takes all of it."""
        super().resizeEvent(event)
        self._label.resize(self.size())


class LegendRow(QBoxLayout):
    """Fields, and a legend beside them; where it has no room there, it is below them.

    Parameters
    ----------
    fields : QWidget
    legend : BinLegend
    """

    def __init__(self, fields: QWidget, legend: BinLegend) -> None:
        super().__init__(QBoxLayout.Direction.LeftToRight)
        self._fields, self._legend = fields, legend
        self.addWidget(fields, 0, Qt.AlignmentFlag.AlignLeft)
        self.addWidget(legend, 1)

    def find_place(self, width: int) -> None:
        """Choose the legend's place in so many pixels."""
        room = width - self._fields.sizeHint().width() - self.spacing()
        beside = self._legend.fits(room)
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        if direction != self.direction():
            self.setDirection(direction)
