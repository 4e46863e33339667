"""The window that tests share comes back as it was, or is not used again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shared_window import SharedWindow, describe_window, name_differences
from smooth_result import make_result
from window_acts import click

from napari_sfh.analysis.disc import Disc
from napari_sfh.analysis.regions import Outline
from napari_sfh.types import Result

pytestmark = pytest.mark.slow  # of the tests, not of the product

SQUARE = Outline(np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]]))


def use(dock: Any) -> None:
    """Something of every kind that can be put back."""
    click(dock.viewer, dock.session, 6)
    dock.session.toggle_compared(9)
    dock.session.toggle_pinned(3)
    dock.show_map("SNR")
    dock.map.grid.value = True
    dock.finish(120)
    dock.map.min_snr.value = 30
    dock.map.limits.value = "full"
    dock.stack.type_limits(8.0, 9.0)
    dock.data.redshift.value = "0.01"
    dock.export.distance.value = "9.8"
    dock.tools["region"].form.each.value = True
    dock.tools["region"].region.set_outlines([SQUARE])
    dock.tools["gradient"].set_disc(Disc(24.174, 15.783, 30.0, 40.0, 2.0, 9.8))
    dock.tools["composite"].show_contours("AGE_LW", 3)
    dock.finish(120)
    dock.viewer.add_image(np.ones((4, 4)), name="mine")
    for section in dock.sections.values():
        section.expand(True)
    dock.viewer.theme = "light"
    dock.viewer.scene.camera.zoom = 3.0
    dock.window().resize(1440, 900)
    dock.show_help()
    dock.show_message("broken", error=True)
    dock.tools["gradient"].open_dock()
    dock.files.unsaved = True


def test_what_was_done_is_put_back(shared_window: SharedWindow, qtbot: Any, result: Result) -> None:
    dock = shared_window.take(result)
    first = describe_window(dock)
    use(dock)
    changed = name_differences(first, describe_window(dock))
    assert {"kept", "layers", "camera", "size", "widgets", "panel", "style", "tools", "others", "working"} <= set(
        changed
    )
    assert shared_window.take(result) is dock, shared_window.left
    assert name_differences(first, describe_window(dock)) == []
    dock.show_result(make_result(seed=4))
    dock.finish(120)
    assert shared_window.take(result) is dock, shared_window.left
    assert dock.session.result is result


def test_a_window_in_which_something_stays_is_not_used_again(
    shared_window: SharedWindow, qtbot: Any, result: Result
) -> None:
    dock = shared_window.take(result)
    first = describe_window(dock)
    dock.tools["lines"].form.from_spectra.native.blockSignals(True)
    dock.viewer.events.theme.connect(len)
    assert {"widgets", "listeners"} <= set(name_differences(first, describe_window(dock)))
    again = shared_window.take(result)
    assert again is not dock
    assert {"widgets", "listeners"} <= set(shared_window.left)
