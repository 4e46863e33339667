"""Plots in pyqtgraph.

The garbage collector empties the attributes of a plot's title before its window is gone. Qt still asks the title for
its size and tells it of a new one; PyQt5 ends the process at the errors. Here the class answers for an emptied title.
"""

from typing import Any

from pyqtgraph import GraphicsWidget, LabelItem

LabelItem._sizeHint = {}
GraphicsWidget._previousGeometry = GraphicsWidget._painterPathCache = GraphicsWidget._boundingRectCache = None
_resize_title = LabelItem.resizeEvent


def _resize_title_with_text(title: Any, event: Any) -> None:
    """Place the text, if the title still has one."""
    if "item" in vars(title):
        _resize_title(title, event)


LabelItem.resizeEvent = _resize_title_with_text
