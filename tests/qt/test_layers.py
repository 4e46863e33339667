"""Layers in a viewer without a window."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from conftest import make_result
from napari_sfh._qt.canvas import layer_data
from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.session import Session
from napari_sfh.analysis import maps
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.types import Result


def shown(result: Result) -> tuple[ViewerModel, Session, LayerStack]:
    viewer, session = ViewerModel(), Session()
    stack = LayerStack(viewer, session)
    put(stack, session, result)
    return viewer, session, stack


def put(stack: LayerStack, session: Session, result: Result) -> None:
    steps = stack.begin(result)
    session.set_result(result)
    steps += [partial(stack.put, data) for data in layer_data.make_result_layers(result)]
    for step in (*steps, *stack.finish()):
        step()


def visible_maps(viewer: ViewerModel) -> list[str]:
    links = [(layer, layer_data.get_layer_link(layer.metadata)) for layer in viewer.layers]
    return [link.name for layer, link in links if link is not None and link.role == "map" and layer.visible]


def test_all_layers_share_units_and_place(result: Result) -> None:
    viewer, _, _ = shown(result)
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 3
    assert visible_maps(viewer) == ["AGE_LW"]
    extents = [layer.extent.world for layer in viewer.layers if layer.name != layer_data.OUTLINE]
    assert np.ptp(np.stack(extents), axis=0) == pytest.approx(np.zeros((2, 2)))
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"arcsecond"}


def test_maps_carry_the_values_of_their_bins_and_colorbars(result: Result) -> None:
    viewer, _, stack = shown(result)
    layer = stack.find("map", "AGE_MW")
    inside = result.bins.bin_id == 5
    assert layer.data[inside] == pytest.approx(result.prediction.median("lg_age_mw")[4])
    assert np.isnan(layer.data[result.bins.bin_id == 0]).all()
    stack.show("AGE_MW")
    assert layer.colorbar.visible
    assert layer.name == "MW age [log yr]"
    assert visible_maps(viewer) == ["AGE_MW"]


def test_light_and_mass_weighted_maps_share_their_limits(result: Result) -> None:
    _, _, stack = shown(result)
    assert stack.find("map", "AGE_LW").contrast_limits == stack.find("map", "AGE_MW").contrast_limits


def test_the_bins_layer_tells_values(result: Result) -> None:
    _, session, stack = shown(result)
    position = session.sky.to_world(np.array([[20.0, 20.0]]))[0]
    status = stack.find("bins").get_status(position, world=True)
    assert "LW age" in status["value"]


def test_the_outline_follows_the_selection(result: Result) -> None:
    _, session, stack = shown(result)
    session.select(6)
    layer = stack.find("outline")
    length = np.hypot(*layer.data[:, 1].T).sum()
    assert length == pytest.approx(40), "a block of 10 x 10 pixels"
    session.toggle_compared(7)
    assert len({tuple(color) for color in layer.edge_color}) == 2
    session.clear_compared()
    session.select(0)
    assert len(layer.data) == 0


def test_switching_shows_one_map(result: Result) -> None:
    viewer, _, stack = shown(result)
    stack.show("MH_LW_ERR")
    assert visible_maps(viewer) == ["MH_LW_ERR"]
    stack.activate()
    assert viewer.layers.selection.active is stack.find("map", "MH_LW_ERR")


def test_hidden_bins_leave_every_map_and_come_back(result: Result) -> None:
    _, _, stack = shown(result)
    stack.hide_bins(result.data.snr < 40)
    assert np.isnan(stack.find("map", "AGE_LW").data[result.bins.bin_id == result.bins.n_bins]).all()
    stack.show("SNR")
    assert np.nanmin(stack.find("map", "SNR").data) >= 40
    stack.hide_bins(None)
    stack.show("AGE_LW")
    assert np.isfinite(stack.find("map", "AGE_LW").data[result.bins.bin_id > 0]).all()


def test_four_maps_side_by_side_and_back(result: Result) -> None:
    viewer, session, stack = shown(result)
    session.select(6)
    stack.set_grid(True)
    assert set(visible_maps(viewer)) == set(maps.MEAN_MAPS)
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (2, 2)
    first = viewer.canvas.grid.contents_at((0, 0), viewer.layers)
    assert {viewer.layers[i].name for i in first} == {"LW age [log yr]", "LW age: selected", "LW age: cursor"}
    assert all(len(layer.data) for layer in stack._grid_outlines.values())
    stack.set_grid(False)
    assert visible_maps(viewer) == ["AGE_LW"]
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 3
    assert viewer.layers[-1] is stack.find("outline"), "nothing covers the outline"


def test_what_lay_above_the_maps_lies_there_after_the_grid(result: Result) -> None:
    viewer, _session, stack = shown(result)
    below = viewer.add_points(np.zeros((1, 2)), name="below")
    viewer.layers.move(viewer.layers.index(below), 0)
    viewer.add_shapes(name="SFH disc")
    before = {layer.name for layer in viewer.layers}
    stack.set_grid(True)
    stack.set_grid(False)
    assert {layer.name for layer in viewer.layers} == before
    assert [layer.name for layer in viewer.layers[-2:]] == ["selected bins", "SFH disc"]
    assert viewer.layers[0] is below


def test_a_second_run_refreshes_layers_in_place(result: Result) -> None:
    viewer, session, stack = shown(result)
    before = stack.find("map", "AGE_LW")
    put(stack, session, make_result(n_side=8))
    assert stack.find("map", "AGE_LW") is before
    assert before.data[20, 20] == pytest.approx(maps.make_map_image(session.result, "AGE_LW")[20, 20])
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 3
    assert stack.find("bins").data.max() == session.n_bins


def test_another_galaxy_takes_the_place_of_the_first(result: Result) -> None:
    viewer, session, stack = shown(result)
    put(stack, session, make_result(shape=(30, 50)))
    assert stack.find("map", "AGE_LW").data.shape == (30, 50)
    assert stack.find("outline").edge_width == pytest.approx(50 / 120)
    assert viewer.layers.extent.world == pytest.approx(stack.find("bins").extent.world, abs=0.01)
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 3


def test_the_users_own_layers_stay(result: Result) -> None:
    viewer, session, stack = shown(result)
    mine = viewer.add_image(np.zeros((5, 5)), name="mine")
    put(stack, session, make_result(shape=(30, 50)))
    assert mine in viewer.layers


def test_layers_that_were_deleted_are_not_missed(result: Result) -> None:
    viewer, session, stack = shown(result)
    viewer.layers.clear()
    session.select(3)
    stack.show("SNR")
    stack.hide_bins(result.data.snr < 40)


def test_copies_of_a_layer_share_the_result(result: Result) -> None:
    layer = Layer.create(*layer_data.make_map_layer(result, "SNR", _sky(result)))
    assert copy.deepcopy(layer.metadata)[layer_data.KEY].result is result


def _sky(result: Result) -> SkyGrid:
    return SkyGrid.of(result.wcs, result.bins.bin_id.shape)


def test_maps_without_a_finite_value_are_drawn(result: Result) -> None:
    quantiles = {name: np.full_like(q, np.nan) for name, q in result.prediction.quantiles.items()}
    empty = replace(result, prediction=replace(result.prediction, quantiles=quantiles))
    _, _, stack = shown(empty)
    assert np.isnan(stack.find("map", "AGE_LW").data).all()


def test_text_under_the_cursor(result: Result) -> None:
    value = result.prediction.median("lg_age_lw")[2]
    assert layer_data.format_map_value(result, "AGE_LW", 3) == f"LW age {value:.2f} ± 0.10 log yr"
    assert layer_data.format_map_value(result, "FLAG", result.bins.n_bins).startswith("a band is missing")


def test_a_map_gets_its_layer_when_it_is_shown_first(result: Result) -> None:
    viewer, _, stack = shown(result)
    assert stack.find("map", "SNR") is None
    stack.show("SNR")
    assert stack.find("map", "SNR").visible
    assert viewer.layers[-1] is stack.find("outline"), "nothing covers the outline"
    stack.show("SNR")
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 4


def test_looks_go_round_and_wait_for_their_layer(result: Result) -> None:
    _, _, stack = shown(result)
    stack.show("OOD")
    stack.find("map", "OOD").contrast_limits = (0.5, 2.0)
    stack.find("map", "AGE_LW").colormap = "magma"
    stack.find("white").visible = False
    looks = json.loads(json.dumps(stack.looks()))
    _, _, other = shown(result)
    other.set_looks({**looks, "map AGE_MW": {"colormap": "no such colours", "opacity": 0.5}})
    assert other.find("map", "AGE_LW").colormap.name == "magma"
    assert other.find("map", "AGE_MW").opacity == 0.5
    assert not other.find("white").visible
    assert other.find("map", "OOD") is None
    assert other.looks()["map OOD"]["contrast_limits"] == [0.5, 2.0]
    other.show("OOD")
    assert other.find("map", "OOD").contrast_limits == [0.5, 2.0]


def test_an_outline_leaves_the_extent_alone(result: Result) -> None:
    """The viewer does not work out its dims anew at every click, and yet the lines are there."""
    viewer, session, stack = shown(result)
    heard: list[object] = []
    stack.find("outline").events.data.connect(heard.append)
    session.select(6)
    session.select(1)
    assert heard == []
    assert len(stack.find("outline")._view_data) == len(stack.find("outline").data) > 0
    assert viewer.layers.extent.world == pytest.approx(stack.find("bins").extent.world, abs=0.01)


def test_a_grid_that_is_called_off_leaves_nothing(result: Result) -> None:
    """Its layers come one by one; the user may change their mind meanwhile."""
    viewer, _, stack = shown(result)
    before, looks = list(viewer.layers), [layer.visible for layer in viewer.layers]
    begin = stack.grid_steps(True)
    for step in begin[:6]:
        step()
    assert len(viewer.layers) > len(before)
    for step in (*stack.grid_steps(False), *begin[6:]):
        step()
    assert not viewer.canvas.grid.enabled
    assert set(viewer.layers) == set(before)
    assert [layer.visible for layer in before] == looks
    assert viewer.layers[-1] is stack.find("outline")
    assert stack.grid_steps(False) == []


def test_a_layer_that_is_drawn_on_stays_active(result: Result) -> None:
    viewer, _, stack = shown(result)
    mine = viewer.add_shapes(name="mine")
    mine.mode = "add_polygon_lasso"
    stack.activate()
    assert viewer.layers.selection.active is mine
    mine.mode = "pan_zoom"
    stack.activate()
    assert viewer.layers.selection.active is stack.find("map", "AGE_LW")


def test_layers_that_come_in_leave_the_selection_alone(result: Result) -> None:
    viewer, session = ViewerModel(), Session()
    stack = LayerStack(viewer, session)
    mine = [viewer.add_points(np.zeros((1, 2))) for _ in range(2)]
    viewer.layers.selection = set(mine)
    heard: list[object] = []
    viewer.layers.selection.events.changed.connect(heard.append)
    session.set_result(result)
    for data in layer_data.make_result_layers(result):
        stack.put(data)
    assert set(viewer.layers.selection) == set(mine)
    assert not heard
    for step in stack.finish():
        step()
    assert viewer.layers.selection.active is stack.find("map", "AGE_LW")
    assert heard
