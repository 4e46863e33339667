"""The panel of a table of estimates by itself: what it says of rows has room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from qtpy.QtWidgets import QScrollArea

from napari_sfh._qt.catalogue.catalogue_panel import CataloguePanel
from napari_sfh._qt.catalogue.row_selection import RowSelection
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.types import NO_MISFIT_FLAG, Flag

ALL_FLAGS = sum(Flag)


@pytest.fixture
def panel(qtbot: Any) -> CataloguePanel:
    numbers = {"LG_AGE_LW": 9.5, "LG_AGE_LW_P16": 9.4, "LG_AGE_LW_P84": 9.6, "FLAG": int(ALL_FLAGS)}
    table = Table({"id": ["a", "b"], **{name: [value, value] for name, value in numbers.items()}})
    made = CataloguePanel(
        RowSelection(EstimateTable(Path("t.fits"), table, {"lg_age_lw": "LG_AGE_LW"}, {"MISFIT": "False"})),
        "dark",
        print,
        print,
    )
    qtbot.addWidget(made)
    made.resize(1200, 500)
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_flags_of_rows_side_by_side_are_broken_into_lines(panel: CataloguePanel, qtbot: Any) -> None:
    panel.selection.select([0, 1])
    area: Any = panel.words
    while not isinstance(area, QScrollArea):
        area = area.parentWidget()
    qtbot.waitUntil(lambda: panel.words.height() > panel.words.fontMetrics().height() * 8)
    assert area.horizontalScrollBar().maximum() == 0


def test_a_misfit_that_was_not_judged_is_told_beside_the_flags(panel: CataloguePanel) -> None:
    panel.selection.select([0])
    assert NO_MISFIT_FLAG in panel.words.text()


def test_names_of_columns_are_read_whole(panel: CataloguePanel) -> None:
    header: Any = panel.view.horizontalHeader()
    for column, name in enumerate(panel.model.columns):
        assert header.sectionSize(column) > header.fontMetrics().horizontalAdvance(name)
