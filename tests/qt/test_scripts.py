"""Acts of the window from a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import (
    QApplication,
)
from smooth_result import make_result
from window_acts import native_canvas

from napari_sfh.errors import SfhInputError


def test_a_script_need_not_wait_between_acts(opened: Any, tmp_path: Path) -> None:
    """The gradient is asked for while the layers of another result still come in."""
    opened.show_result(make_result(seed=3))
    opened.session.select(4)
    opened.tools["gradient"].fit()
    opened.save_workspace(tmp_path / "w.json")
    opened.exports.save_plots(tmp_path / "bin.png", opened.session.views())
    opened.finish()
    assert set(opened.tools["gradient"].found) >= {"AGE_LW"}
    assert (tmp_path / "bin.png").is_file()
    assert '"fitted": true' in (tmp_path / "w.json").read_text()


def test_acts_that_cannot_be_done_raise(opened: Any, tmp_path: Path) -> None:
    opened.session.select(0)
    with pytest.raises(SfhInputError, match="no bin is selected"):
        opened.tools["posterior"].draw()
    with pytest.raises(SfhInputError, match=r"none\.reg"):
        opened.tools["region"].open(tmp_path / "none.reg")
    opened.open_result(tmp_path / "none.fits")
    with pytest.raises(SfhInputError):
        opened.finish()
    opened.finish()


def test_the_menu_finds_the_explorer_that_a_script_has_opened(opened: Any) -> None:
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-sfh.explorer")
    QApplication.processEvents()
    docks = [name for name in opened.viewer.window.dock_widgets if "SFH explorer" in name]
    assert len(docks) == 1
    assert native_canvas(opened.viewer) is not None
