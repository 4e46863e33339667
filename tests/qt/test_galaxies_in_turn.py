"""One result after another in the same window: what was seen of the first, and what stays."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QApplication
from smooth_result import make_result, move_field

from napari_sfh._qt.canvas.layer_data import get_layer_link
from napari_sfh.types import Result


def _list_seen(dock: Any, result: Result) -> list[str]:
    """Roles of the visible layers of a result."""
    links = [get_layer_link(layer.metadata) for layer in dock.viewer.layers if layer.visible]
    return [link.role for link in links if link is not None and link.result is result]


def test_pictures_of_a_galaxy_go_with_it(shown: Any, result: Result) -> None:
    """They lay over the white light and the coordinates of the next one until the turn of each layer came."""
    before = _list_seen(shown, result)
    other = move_field(result, (500, 0))
    shown.show_result(other)
    left: set[str] = set()
    while shown.loading:
        QApplication.processEvents()
        left |= {*_list_seen(shown, result)}
    assert left == set()
    assert _list_seen(shown, other) == before
    shown.stack.find("white").visible = False
    shown.show_result(result)
    shown.finish(60)
    assert _list_seen(shown, result) == [role for role in before if role != "white"], "the user has hidden it"


def test_four_maps_stay_for_another_run_and_end_with_their_galaxy(shown: Any, result: Result) -> None:
    shown.map.grid.value = True
    shown.finish(60)
    shown.show_result(make_result(seed=4))
    shown.finish(60)
    assert shown.stack.display.is_grid
    assert shown.map.grid.value
    assert len(_list_seen(shown, shown.session.result)) == 4
    shown.show_result(move_field(result, (500, 0)))
    shown.finish(60)
    assert not shown.stack.display.is_grid
    assert not shown.map.grid.value
