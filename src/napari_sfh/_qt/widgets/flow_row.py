"""A row of fields that goes on in a line below where the window is narrow."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QRect, QSize
from qtpy.QtWidgets import QLayout, QLayoutItem, QWidget

#: Pixels between the fields of a row, and between its lines.
ROW_SPACING = 2


class FlowLayout(QLayout):
    """Widgets beside each other, in as many lines as the width asks for; the widest one is as narrow as it gets.

    Parameters
    ----------
    parent : QWidget
    spacing : int
        Pixels between widgets, and between lines.
    """

    def __init__(self, parent: QWidget, spacing: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(spacing)

    def addItem(self, item: QLayoutItem | None) -> None:
        """Qt adds a widget."""
        if item is not None:
            self._items.append(item)

    def count(self) -> int:
        """How many widgets there are."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """One of them."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """One of them, which leaves."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        """More lines in less width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height in pixels of all lines."""
        return self._arrange(QRect(0, 0, width, 0), place=False)

    def setGeometry(self, rect: QRect) -> None:
        """Put the widgets into their places."""
        super().setGeometry(rect)
        self._arrange(rect, place=True)

    def sizeHint(self) -> QSize:
        """One line of all."""
        sizes = [item.sizeHint() for item in self._items if not item.isEmpty()]
        width = sum(size.width() for size in sizes) + self.spacing() * max(len(sizes) - 1, 0)
        return QSize(width, max((size.height() for size in sizes), default=0))

    def minimumSize(self) -> QSize:
        """The largest of them."""
        sizes = [item.minimumSize() for item in self._items if not item.isEmpty()]
        return QSize(max((s.width() for s in sizes), default=0), max((s.height() for s in sizes), default=0))

    def _arrange(self, rect: QRect, place: bool) -> int:
        """Fill lines from the left; the height that they take."""
        x, y, line = 0, 0, 0
        for item in self._items:
            if item.isEmpty():
                continue
            size = item.sizeHint()
            if x and x + size.width() > rect.width():
                x, y, line = 0, y + line + self.spacing(), 0
            line = max(line, size.height())
            if place:
                item.setGeometry(QRect(rect.topLeft() + QPoint(x, y), size))
            x += size.width() + self.spacing()
        return y + line


def place_row(row: QWidget) -> None:
    """Let the widgets of a row, which a layout holds beside each other, go on below where it is narrow.

    Parameters
    ----------
    row : QWidget
        Of a horizontal container; nothing may be added to it afterwards.
    """
    old = row.layout()
    widgets = []
    while old is not None and (item := old.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widgets.append(widget)
    QWidget().setLayout(old)  # a widget keeps its layout until another one takes it
    flow = FlowLayout(row, ROW_SPACING)
    for widget in widgets:
        flow.addWidget(widget)
