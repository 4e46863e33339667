"""A plot's title that the garbage collector has emptied."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSizeF, Qt

import napari_sfh._qt.plots  # noqa: F401  what it sets holds for all titles


def test_a_title_without_attributes_still_has_a_size(qtbot: Any) -> None:
    from pyqtgraph import LabelItem

    title = LabelItem("age")
    whole = title.sizeHint(Qt.SizeHint.PreferredSize, QSizeF())
    assert whole.width() > 0
    del title._sizeHint
    assert title.sizeHint(Qt.SizeHint.PreferredSize, QSizeF()) == QSizeF(0, 0)
