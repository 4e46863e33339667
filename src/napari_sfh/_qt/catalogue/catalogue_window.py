"""A table of estimates in the explorer: its dock, its rows as points on the sky, and what can be saved of it."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink
from napari_sfh._qt.catalogue.catalogue_panel import CataloguePanel
from napari_sfh._qt.catalogue.row_selection import RowSelection
from napari_sfh._qt.jobs import tasks
from napari_sfh.analysis.objects.estimate_table import EstimateTable
from napari_sfh.errors import SfhInputError

DOCK = "Catalogue"
TABLE_KINDS = "Tables (*.fits *.ecsv *.csv *.vot)"
#: Share of the window's height that the dock takes: without places on the sky the canvas has nothing to show.
SHARE_ALONE, SHARE_WITH_SKY = 0.85, 0.5


class CatalogueWindow:
    """The table that an explorer shows.

    Attributes
    ----------
    selection : RowSelection or None
        None while no table is open.
    panel : CataloguePanel or None
    """

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)
        self.selection: RowSelection | None = None
        self.panel: CataloguePanel | None = None
        self._layer: Any = None

    def show(self, table: EstimateTable) -> None:
        """Show a table in place of what was shown before."""
        explorer = self._explorer
        self.close()
        explorer.session.set_result(None)
        explorer.tools.on_result(None)
        explorer.stack.clear()
        self.selection = RowSelection(table)
        self.panel = CataloguePanel(self.selection, explorer.viewer.theme, self._ask_rows, self._draw_corner)
        self._add_points(table)
        self.selection.changed.connect(self._select_points)
        explorer.show_dock(DOCK, self.panel)
        self._settle()
        explorer.sections["data"].expand(False)
        explorer.refresh()
        explorer.in_turns([explorer.viewer.reset_view])
        first = int(np.argmax(np.nan_to_num(_read_quality(table), nan=-np.inf)))
        self.selection.select([first])
        model = table.meta.get("MODEL", "")
        by = f", weights {model}" if model else ""
        explorer.show_message(
            f"{table.path.name}: {table.n_rows} rows{by}. Row {first + 1} is selected{_explain_first(table)}. "
            "Click rows or points, or drag a lasso around points."
        )

    def _settle(self) -> None:
        """Give the dock the room that the canvas does not need."""
        panel: Any = self.panel
        dock = panel.parentWidget()
        window = dock.parentWidget() if dock is not None else None
        if window is not None and hasattr(window, "resizeDocks"):
            share = SHARE_ALONE if self._layer is None else SHARE_WITH_SKY
            # Without places on the sky there is nothing on the canvas.
            window.centralWidget().setVisible(self._layer is not None)
            window.resizeDocks([dock], [round(share * window.height())], Qt.Orientation.Vertical)
            self._explorer.keep_width()

    def _add_points(self, table: EstimateTable) -> None:
        """The rows on the sky, north up and east left, where the table says their places."""
        places = table.places_deg
        if places is None or not np.isfinite(places).all():
            return
        viewer = self._explorer.viewer
        offset = project_to_offsets(places)
        size = max(float(np.ptp(offset, axis=0).max()), 1.0) / 80
        self._layer = viewer.add_points(
            offset,
            size=size,
            name=table.path.stem,
            units=("arcsec", "arcsec"),
            axis_labels=("Dec", "RA"),
            face_color="#c8ccd4",
            border_width=0,
            metadata={KEY: LayerLink("catalogue")},
        )
        viewer.scene.camera.orientation2d = ("up", "left")
        viewer.reset_view()
        self._layer.mode = "select"
        self._layer.selected_data.events.items_changed.connect(self._points_selected)

    def _points_selected(self, *_: object) -> None:
        if self.selection is not None and self._layer is not None:
            self.selection.select(sorted(self._layer.selected_data))

    def _select_points(self, rows: tuple[int, ...]) -> None:
        if self._layer is not None and set(self._layer.selected_data) != set(rows):
            self._layer.selected_data = set(rows)
            self._layer.selected_data.events.items_changed.connect(self._points_selected)

    # -- acts --------------------------------------------------------------------------------------------------

    def save_rows(self, path: Path | str) -> None:
        """Write the selected rows, or all where none is selected.

        Raises
        ------
        SfhInputError
            No table is open.
        """
        if self.selection is None:
            raise SfhInputError("no catalogue is open: open a table that `napari-sfh estimate` has written")
        table, rows = self.selection.table, self.selection.rows
        work = partial(tasks.save_estimate_rows, table=table, rows=rows, path=Path(path))
        self._explorer.start(work, partial(_rows_saved, self._explorer))

    def _ask_rows(self) -> None:
        if self.selection is not None:
            stem = self.selection.table.path.stem
            self._explorer.exports.ask_file("Save rows", f"{stem}_rows.ecsv", TABLE_KINDS, self.save_rows)

    def _draw_corner(self) -> None:
        self._explorer.attempt(self.draw_posterior)

    def draw_posterior(self) -> None:
        """Draw the joint posterior of the first selected row anew, from its bands.

        Raises
        ------
        SfhInputError
            No row is selected.
        """
        if self.selection is None or not self.selection.rows:
            raise SfhInputError("no row is selected: click one first")
        self._explorer.tools["posterior"].draw_row(self.selection.table, self.selection.rows[0])

    def close(self) -> None:
        """Take the table away."""
        if self.selection is not None:
            self.selection.changed.disconnect(self._select_points, missing_ok=True)
        if self._layer is not None and self._layer in self._explorer.viewer.layers:
            self._explorer.viewer.layers.remove(self._layer)
        if self.panel is not None:
            self.panel.release()
            self._explorer.docks.remove(DOCK)
            canvas = getattr(self._explorer.window(), "centralWidget", lambda: None)()
            if canvas is not None:
                canvas.setVisible(True)
                self._explorer.docks.set_height()
                self._explorer.keep_width()
        self._layer = self.panel = self.selection = None

    def set_theme(self, theme: str) -> None:
        """Follow napari's theme."""
        if self.panel is not None:
            self.panel.set_theme(theme)

    def release(self) -> None:
        """Listen no longer; the points stay."""
        if self.panel is not None:
            self.panel.release()
        self._layer = self.panel = self.selection = None


def _read_quality(table: EstimateTable) -> Any:
    """By what the row that is selected first is chosen: its S/N; rows out of the network's depth come last."""
    snr, depth = table.find_own("SNR"), table.find_own("OOD")
    quality = np.asarray(table.read_numbers(snr), dtype=float) if snr else np.zeros(table.n_rows)
    return quality if not depth else np.where(table.read_numbers(depth) > 1, -1.0, quality)


def _explain_first(table: EstimateTable) -> str:
    """Why the first row that is selected is that one."""
    return " (the highest S/N)" if table.find_own("SNR") else ""


def _rows_saved(explorer: Any, path: Path) -> None:
    explorer.show_message(f"Saved {path}.")


def project_to_offsets(places_deg: Any) -> Any:
    """Offsets (Dec, RA) in arcsec of places (N, 2) (RA, Dec in degrees) from their middle, RA times cos Dec."""
    ra, dec = np.asarray(places_deg, dtype=float).T
    centre = np.angle(np.exp(1j * np.radians(ra)).mean(), deg=True)
    away = (ra - centre + 180) % 360 - 180
    middle = 0.5 * (dec.min() + dec.max())
    return 3600 * np.column_stack([dec - middle, away * np.cos(np.radians(dec))])
