"""What can be taken away: result file, figures, tables. Each act asks for a name or takes one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import show_file_dialog

from napari_sfh._qt.forms.fields import read_form
from napari_sfh._qt.jobs import tasks
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.tables import TABLE_SUFFIXES
from napari_sfh.errors import SfhInputError
from napari_sfh.io.outputs import check_outputs, check_result_name
from napari_sfh.io.workspaces import add_recent
from napari_sfh.types import Result

RESULTS = "FITS files (*.fits)"
FIGURES = "Figures (*.png *.pdf *.svg)"
TABLES = f"Tables ({' '.join(f'*{suffix}' for suffix in TABLE_SUFFIXES)})"


class Exports:
    """The exports of an explorer; the work runs in its job, one at a time."""

    def __init__(self, explorer: Any) -> None:
        self._explorer: Any = weakref.proxy(explorer)

    def save_result(self, path: Path | str) -> None:
        """Write the result file."""
        self.check_export(path, result_file=True)
        check_result_name(path)
        work = partial(tasks.save_result, result=self._result(), path=Path(path))
        self._explorer.start(work, partial(_result_saved, self._explorer))

    def save_plots(self, path: Path | str, views: Sequence[BinView]) -> None:
        """Draw bins or a region (none: the four maps) as PNG, PDF or SVG."""
        kind, distance = self._explorer.panel.plots.kind, self._explorer.export.distance_mpc
        work = partial(tasks.save_result_figure, result=self._result(), path=Path(path), views=views, kind=kind)
        self._start(partial(work, distance_mpc=distance))

    def save_table(self, path: Path | str, views: Sequence[BinView] | None) -> None:
        """Write what bins hold (None: a line for each bin, and all histories) as ECSV, CSV or FITS."""
        self._start(partial(tasks.save_result_table, result=self._result(), path=Path(path), views=views))

    def result_dialog(self, _: object = None) -> None:
        """Ask where to, and write the result file."""
        self.ask("Save result", f"{self.name()}_sfh.fits", RESULTS, self.save_result)

    def figure_dialog(self, _: object = None) -> None:
        """Ask where to, and draw the page of maps."""
        self.ask("Save figure", f"{self.name()}_maps.pdf", FIGURES, partial(self.save_plots, views=[]))

    def plots_dialog(self) -> None:
        """Ask where to, and draw what the plots show."""
        views = self._explorer.session.views()
        self.ask("Save plots", f"{self._stem(views)}.pdf", FIGURES, partial(self.save_plots, views=views))

    def table_dialog(self) -> None:
        """Ask where to, and write what the plots show as a table."""
        views = self._explorer.session.all_views()
        self.ask("Save table", f"{self._stem(views)}.ecsv", TABLES, partial(self.save_table, views=views))

    def all_dialog(self, _: object = None) -> None:
        """Ask where to, and write all bins as a table."""
        self.ask("Save table", f"{self.name()}_sfh.ecsv", TABLES, partial(self.save_table, views=None))

    def _start(self, work: Callable[..., object]) -> None:
        self._explorer.start(work, partial(_saved, self._explorer))

    def ask(self, caption: str, name: str, kinds: str, act: Callable[[Path], None]) -> None:
        """Ask for a file to write and call ``act`` with it; ``name`` proposes one and its ending."""
        if self._explorer.session.result is None:
            self._explorer.show_message("There is no result yet: press Run or open a result file first.", error=True)
            return
        self.ask_file(caption, name, kinds, act)

    def ask_file(self, caption: str, name: str, kinds: str, act: Callable[[Path], None]) -> None:
        """The same, whether there is a result or not."""
        window = self._explorer.window()  # the dialog is above it, and in its theme
        path = show_file_dialog("w", caption=caption, start_path=name, filter=kinds, parent=window)
        if path:
            chosen = Path(str(path))
            chosen = chosen if chosen.suffix else chosen.with_suffix(Path(name).suffix)
            own = act == self.save_result
            self._explorer.attempt(partial(act, chosen) if own else partial(self._write_checked, act, chosen))

    def _write_checked(self, act: Callable[[Path], None], path: Path) -> None:
        self.check_export(path)
        act(path)

    def check_export(self, path: Path | str, result_file: bool = False) -> None:
        """Refuse a name that is one of the files shown or chosen in the forms; a result may replace its own file.

        Raises
        ------
        SfhInputError
            Names the file.
        """
        shown = None if result_file else self._explorer.files.result_path
        chosen = _collect_paths([read_form(form) for form in self._explorer.forms.values()])
        check_outputs([path], [*chosen, shown])

    def _result(self) -> Result:
        result: Result | None = self._explorer.session.result
        if result is None:
            raise SfhInputError("no result yet: press Run or open a result file first")
        return result

    def name(self) -> str:
        """The galaxy's name, fit for a file."""
        result = self._explorer.session.result
        return "galaxy" if result is None else str(result.name).replace(" ", "_").replace("/", "_")

    def _stem(self, views: Sequence[BinView]) -> str:
        return f"{self.name()}_{views[0].name.replace(' ', '')}" if views else self.name()


def _collect_paths(value: Any) -> list[Path]:
    """Every path in nested fields of forms."""
    if isinstance(value, Path):
        return [value]
    if isinstance(value, dict):
        return [path for item in value.values() for path in _collect_paths(item)]
    return [path for item in value for path in _collect_paths(item)] if isinstance(value, list | tuple) else []


def _result_saved(explorer: Any, path: Path) -> None:
    explorer.files.set_result_path(path)
    add_recent(path)
    _saved(explorer, path)


def _saved(explorer: Any, path: Path | list[Path]) -> None:
    first, *others = [path] if isinstance(path, Path) else path
    more = f" and, beside it, {', '.join(other.name for other in others)}" if others else ""
    explorer.show_message(f"Saved {first}{more}.")
