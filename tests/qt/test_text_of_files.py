"""Text that comes from files (names of galaxies and regions, notes, paths, columns) is shown as text, never as HTML."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGraphicsTextItem, QGraphicsView, QLabel, QWidget
from window_acts import idle, open_explorer, window

from napari_sfh._qt.catalogue.catalogue_panel import format_row_words
from napari_sfh._qt.catalogue.table_model import EstimateTableModel
from napari_sfh._qt.jobs.tasks import open_path
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh._qt.widgets.wording import escape_tip
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

EVIL = '<img src="/etc/x.png"><h1>big</h1><a href="file:///x">click</a>'
SQUARE = np.array([[5.0, 5.0], [5.0, 30.0], [30.0, 30.0], [30.0, 5.0]])


def find_rich_text(root: QWidget) -> list[str]:
    """Texts and tips under a widget in which Qt would show the picture, the heading or the link."""
    found = []
    for widget in [root, *root.findChildren(QWidget)]:
        texts = [widget.toolTip(), widget.statusTip(), widget.whatsThis()]
        if isinstance(widget, QLabel) and widget.textFormat() != Qt.TextFormat.PlainText:
            texts.append(widget.text())
        if isinstance(widget, QGraphicsView):
            items = widget.items()
            texts += [item.toHtml() for item in items if isinstance(item, QGraphicsTextItem)]
        found += [f"{type(widget).__name__}: {text[:80]}" for text in texts if "<img" in text or "<h1" in text]
    return found


def test_the_panels_show_names_and_notes_as_text(make_viewer: Any, qtbot: Any, result: Result) -> None:
    settings = {
        **dict(result.settings),
        "notes": f"{EVIL} | {EVIL}. WARNING: too large {EVIL}",
        "cube": f"/data/{EVIL}",
    }
    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.show_result(replace(result, name=EVIL, settings=settings, model_name=EVIL))
    idle(dock)
    dock.session.select(3)
    dock.session.set_regions({EVIL: [Outline(SQUARE)], f"{EVIL} 2": [Outline(SQUARE)]})
    dock.show_message(f"{EVIL}: cannot be read", error=True)
    assert EVIL in dock.message.text()
    assert "&lt;img" in dock.panel.legend.text()
    assert find_rich_text(window(viewer)) == []


def test_a_catalogues_columns_and_cells_are_text() -> None:
    table = Table({"id": [EVIL, "b"], "MH_LW": [0.1, 0.2], "MH_LW_P16": [0.0, 0.1], "MH_LW_P84": [0.2, 0.3]})
    table["id"].description = EVIL
    shown = EstimateTable(Path("t.fits"), table, {EVIL: "MH_LW"})
    model = EstimateTableModel(shown)
    column = model.columns.index("id")
    cell = model.data(model.index(0, column), Qt.ItemDataRole.ToolTipRole)
    head = model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    words = format_row_words(shown, (0, 1), get_palette("dark"))
    assert "&lt;img" in cell
    assert "&lt;img" in words
    assert all("<img" not in text for text in (cell, head, words))


def test_rows_are_called_as_their_catalogue_calls_them() -> None:
    plain = {"MH_LW": [0.1, 0.2], "MH_LW_P16": [0.0, 0.1], "MH_LW_P84": [0.2, 0.3]}

    def names(**columns: Any) -> list[str]:
        shown = EstimateTable(Path("t.fits"), Table({**plain, **columns}, masked=True), {"mh_lw": "MH_LW"})
        return [shown.name_row(row) for row in (0, 1)]

    assert names() == ["row 1", "row 2"]
    assert names(NUMBER=[17, 4]) == ["17", "4"]
    assert names(field=["deep", "wide"], ID=[b"J1 ", b""]) == ["J1", "row 2"]
    assert names(field=["deep", "wide"]) == ["deep", "wide"]


def test_tables_that_cannot_be_shown_name_what_can(tmp_path: Path) -> None:
    def refuse(name: str, **columns: Any) -> str:
        Table(columns).write(tmp_path / name)
        with pytest.raises(SfhInputError) as error:
            open_path(lambda _: None, threading.Event(), tmp_path / name)
        return str(error.value)

    assert "the result" in refuse("bins.ecsv", BIN_ID=[1, 2], AGE_LW=[9.0, 9.5])
    assert "napari-sfh estimate" in refuse("catalogue.ecsv", ID=["a"], mag_r=[20.0])
    assert "napari-sfh estimate" in refuse("catalogue.fits", ID=["a"], mag_r=[20.0])


def test_tips_escape_what_looks_like_html() -> None:
    assert escape_tip("a path/of.fits") == "a path/of.fits"
    assert "<img" not in escape_tip(EVIL)
    assert "&lt;img" in escape_tip(EVIL)
