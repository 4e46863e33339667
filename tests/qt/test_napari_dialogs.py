"""napari's own dialogs about files, in a window with the explorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from window_acts import save_layers

from napari_sfh._qt.canvas.map_files import holds_map_image


@pytest.mark.parametrize("choose", ["lossless", "SFH result"])
def test_layers_are_saved_by_the_ending_of_the_name(shown: Any, tmp_path: Path, choose: str) -> None:
    assert shown.viewer.layers.selection.active.name.startswith("LW age")
    assert choose in save_layers(shown.viewer, str(tmp_path / "age.fits"), choose)
    assert holds_map_image(tmp_path / "age.fits") is (choose != "SFH result"), "a type that has the ending stays"
