"""Layers in a viewer without a window."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from smooth_result import make_result

from napari_sfh._qt.canvas import layer_data
from napari_sfh._qt.canvas.legend_image import PADDING_PX, LegendContent, LegendStyle, draw_legend
from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.canvas.scene_batch import SceneBatch
from napari_sfh._qt.canvas.shown_map import GRID, NOTHING, Shown
from napari_sfh._qt.session import Session
from napari_sfh.analysis import maps
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.analysis.stellar_mass import compute_bin_formation_times
from napari_sfh.physics.ages import UNIVERSE_GYR
from napari_sfh.types import FLAG_MEANING, Result


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
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 2
    assert visible_maps(viewer) == ["AGE_LW"]
    extents = [layer.extent.world for layer in viewer.layers]
    assert np.ptp(np.stack(extents), axis=0) == pytest.approx(np.zeros((2, 2)))
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"arcsecond"}


def test_a_scene_is_put_together_once_for_batches_inside_each_other() -> None:
    viewer, told = ViewerModel(), []
    viewer.layers.events.begin_batch.connect(lambda _: told.append("begin"))
    viewer.layers.events.end_batch.connect(lambda _: told.append("end"))
    scene = SceneBatch(viewer)
    with scene.hold(), scene.hold():
        told.append("change")
    with pytest.raises(KeyError), scene.hold():
        raise KeyError
    assert told == ["begin", "change", "end", "begin", "end"]


def test_maps_carry_the_values_of_their_bins_and_legends(result: Result) -> None:
    viewer, _, stack = shown(result)
    layer = stack.find("map", "AGE_MW")
    inside = result.bins.bin_id == 5
    assert layer.data[inside] == pytest.approx(result.prediction.median("lg_age_mw")[4])
    assert np.isnan(layer.data[result.bins.bin_id == 0]).all()
    stack.show("AGE_MW")
    assert visible_maps(viewer) == ["AGE_MW"]
    (legend,) = stack.legends.overlay.contents
    assert legend.title == layer.name == "MW age [log yr]"
    assert (legend.low, legend.high) == pytest.approx(tuple(layer.contrast_limits))
    assert legend.colors[0] == tuple(np.round(255 * layer.colormap.map(0.0)[0, :3]).astype(int))
    layer.contrast_limits = (9.0, 9.5)
    layer.colormap = "gray"
    (legend,) = stack.legends.overlay.contents
    assert (legend.low, legend.high, legend.colors[-1]) == (9.0, 9.5, (255, 255, 255))


def test_each_map_of_the_grid_has_its_legend(result: Result) -> None:
    _, _, stack = shown(result)
    stack.display.toggle_grid(True)
    titles = [legend.title for legend in stack.legends.overlay.contents]
    assert titles == [layer_data.format_map_title(name) for name in maps.MEAN_MAPS]
    stack.show("FLAG")
    (legend,) = stack.legends.overlay.contents
    assert legend.colors == (), "flags are named in the dock"
    stack.display.show(NOTHING)
    assert stack.legends.overlay.contents == ()


def test_flags_are_listed_in_the_colours_of_the_map(result: Result) -> None:
    flags = np.zeros_like(result.flag)
    flags[: len(FLAG_MEANING)] = [int(bit) for bit in FLAG_MEANING][: flags.size]
    for some in (flags, np.full_like(flags, int(list(FLAG_MEANING)[-1]))):
        flagged = replace(result, flag=some)
        _, attributes, _ = layer_data.make_map_layer(flagged, "FLAG", SkyGrid.of(result.wcs, result.bins.bin_id.shape))
        low, high = attributes["contrast_limits"]
        legend = layer_data.format_flag_legend(flagged)
        for category in np.unique(maps.classify_flags(some)):
            rgba = attributes["colormap"].map(np.array([(category - low) / (high - low)]))[0]
            drawn = "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgba[:3])
            text = ["none", *FLAG_MEANING.values()][category]
            assert f'color:{drawn}">■</span> {text}: ' in legend
    assert len(set(layer_data.FLAG_COLORS)) == len(FLAG_MEANING) + 1


def test_a_legend_is_drawn_with_its_colours_from_left_to_right(qapp: Any) -> None:
    ramp = tuple((k, 0, 255 - k) for k in range(0, 256, 4))
    style = LegendStyle(128.0, 10.0, (255, 255, 255, 255), (0, 0, 0, 150), 2.0)
    picture = draw_legend(LegendContent("Age", ramp, 8.0, 10.0), style)
    assert picture.shape[1] == 2 * (128 + 2 * PADDING_PX)
    coloured = (picture[..., 1] == 0) & (picture[..., 0].astype(int) + picture[..., 2] > 250) & (picture[..., 3] == 255)
    row = picture[np.argmax(coloured.sum(1))]
    bar = row[int(2 * PADDING_PX) + 4 : int(2 * (PADDING_PX + 128)) - 4, 0].astype(int)
    assert np.all(np.diff(bar) >= 0)
    assert bar[0] < 10 < 245 < bar[-1] + 8
    assert draw_legend(LegendContent("Age", (), 8.0, 10.0), style).shape[0] < picture.shape[0]


def test_light_and_mass_weighted_maps_share_their_limits(result: Result) -> None:
    _, _, stack = shown(result)
    assert stack.find("map", "AGE_LW").contrast_limits == stack.find("map", "AGE_MW").contrast_limits


def test_the_bins_layer_tells_values(result: Result) -> None:
    _, session, stack = shown(result)
    position = session.sky.to_world(np.array([[20.0, 20.0]]))[0]
    status = stack.find("bins").get_status(position, world=True)
    assert "LW age" in status["value"]


def outline_length(stack: LayerStack) -> float:
    """Length of all drawn lines, arcsec."""
    ends = stack.marks.overlay.vertices.reshape(-1, 2, 2)
    return float(np.hypot(*(ends[:, 1] - ends[:, 0]).T).sum())


def test_the_outline_follows_the_selection(result: Result) -> None:
    _, session, stack = shown(result)
    session.select(6)
    assert outline_length(stack) == pytest.approx(40 * 0.2, rel=1e-4), "a block of 10 x 10 pixels of 0.2 arcsec"
    session.toggle_compared(7)
    assert len({tuple(color) for color in stack.marks.overlay.colors}) == 2
    session.clear_compared()
    session.select(0)
    assert len(stack.marks.overlay.vertices) == 0


def test_switching_shows_one_map(result: Result) -> None:
    viewer, _, stack = shown(result)
    stack.show("MH_LW_ERR")
    assert visible_maps(viewer) == ["MH_LW_ERR"]
    stack.activate()
    assert viewer.layers.selection.active is stack.find("map", "MH_LW_ERR")


def test_the_canvas_takes_a_switch_of_maps_over_once(result: Result) -> None:
    viewer, _, stack = shown(result)
    stack.show("MH_LW")
    told: list[str] = []
    viewer.layers.events.begin_batch.connect(lambda _: told.append("begin"))
    viewer.layers.events.end_batch.connect(lambda _: told.append("end"))
    for layer in viewer.layers:
        layer.events.visible.connect(lambda _: told.append("eye"))
    stack.show("MH_LW")
    assert told == []
    stack.show("AGE_LW")
    assert told == ["begin", "eye", "eye", "end"]
    assert visible_maps(viewer) == ["AGE_LW"]
    told.clear()
    viewer.layers.events.inserted.connect(lambda _: told.append("layer"))
    stack.show("EBV")
    assert told == ["begin", "layer", "eye", "end"], "its layer comes meanwhile"
    assert visible_maps(viewer) == ["EBV"]


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
    before = list(viewer.layers)
    stack.display.show(GRID)
    assert set(visible_maps(viewer)) == set(maps.MEAN_MAPS)
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (2, 2)
    cells = [viewer.canvas.grid.contents_at((y, x), viewer.layers) for y in (0, 1) for x in (0, 1)]
    shown_in = [[viewer.layers[i].name for i in cell if viewer.layers[i].visible] for cell in cells]
    assert shown_in == [["LW age [log yr]"], ["MW age [log yr]"], ["LW [M/H] [dex]"], ["MW [M/H] [dex]"]]
    stack.display.toggle_grid(False)
    assert visible_maps(viewer) == ["AGE_LW"]
    assert list(viewer.layers) == before, "no helper layers, the same order"


def test_what_lay_above_the_maps_lies_there_after_the_grid(result: Result) -> None:
    viewer, _session, stack = shown(result)
    below = viewer.add_points(np.zeros((1, 2)), name="below")
    viewer.layers.move(viewer.layers.index(below), 0)
    viewer.add_shapes(name="SFH disc")
    before = list(viewer.layers), [layer.visible for layer in viewer.layers]
    stack.display.show(GRID)
    assert not below.visible
    stack.display.toggle_grid(False)
    assert (list(viewer.layers), [layer.visible for layer in viewer.layers]) == before


def test_the_grid_comes_from_any_order_of_layers(result: Result) -> None:
    viewer, _, stack = shown(result)
    viewer.layers.reverse()
    stack.display.show(GRID)
    first = [viewer.layers[i] for i in viewer.canvas.grid.contents_at((0, 0), viewer.layers)]
    assert stack.find("map", "AGE_LW") in first


@pytest.mark.parametrize("end", ["button", "layer deleted", "layer added", "layer shown", "other map"])
def test_whatever_ends_the_grid_is_heard(result: Result, end: str) -> None:
    viewer, _, stack = shown(result)
    stack.display.show(GRID)
    if end == "button":
        viewer.canvas.grid.enabled = False
    elif end == "layer deleted":
        viewer.layers.remove(stack.find("map", "MH_LW"))
    elif end == "layer added":
        viewer.add_points(np.zeros((1, 2)), name="mine")
    elif end == "layer shown":
        stack.find("bins").visible = True
    else:
        stack.show("AGE_MW")
    name = "AGE_MW" if end == "other map" else "AGE_LW"
    assert stack.display.shown == ("map", name)
    assert visible_maps(viewer) == [name]
    assert not viewer.canvas.grid.enabled
    assert stack.find("bins").visible


def test_the_model_hears_of_eyes_and_deleted_layers(result: Result) -> None:
    viewer, session, stack = shown(result)
    told: list[object] = []
    stack.display.changed.connect(told.append)
    stack.find("map", "MH_LW").visible = True
    assert visible_maps(viewer) == ["MH_LW"]
    assert stack.display.shown == ("map", "MH_LW")
    stack.find("map", "MH_LW").visible = False
    assert stack.display.shown == NOTHING
    stack.show("AGE_MW")
    viewer.layers.remove(stack.find("map", "AGE_MW"))
    assert stack.display.shown == NOTHING
    stack.show("AGE_MW")
    assert visible_maps(viewer) == ["AGE_MW"], "a map that was deleted is made again"
    assert told == [("map", "MH_LW"), NOTHING, ("map", "AGE_MW"), NOTHING, ("map", "AGE_MW")]
    session.select(3)
    assert outline_length(stack) > 0


def test_a_renamed_layer_is_still_ours(result: Result) -> None:
    viewer, _, stack = shown(result)
    stack.find("map", "AGE_MW").name = "ages of mine"
    stack.show("AGE_MW")
    assert visible_maps(viewer) == ["AGE_MW"]
    assert stack.find("map", "AGE_MW").name == "ages of mine"


def test_a_copy_of_a_map_is_the_users_own(result: Result) -> None:
    viewer, _, stack = shown(result)
    original = stack.find("map", "AGE_LW")
    twin = Layer.create(*original.as_layer_data_tuple())
    viewer.add_layer(twin)
    stack.show("MH_LW")
    assert twin.visible
    twin.visible = False
    assert stack.display.shown == ("map", "MH_LW")
    original.colormap, twin.colormap, before = "magma", "gray", tuple(twin.contrast_limits)
    assert stack.looks()["map AGE_LW"]["colormap"] == "magma", "a workspace can be saved, and keeps ours"
    stack.set_limits("full")
    assert tuple(twin.contrast_limits) == before


def test_a_second_run_refreshes_layers_in_place(result: Result) -> None:
    viewer, session, stack = shown(result)
    before = stack.find("map", "AGE_LW")
    put(stack, session, make_result(n_side=8))
    assert stack.find("map", "AGE_LW") is before
    assert before.data[20, 20] == pytest.approx(maps.make_map_image(session.result, "AGE_LW")[20, 20])
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 2
    assert stack.find("bins").data.max() == session.n_bins
    assert not stack.find("bins").editable, "nobody paints over the numbers of the bins"


def test_another_galaxy_takes_the_place_of_the_first(result: Result) -> None:
    viewer, session, stack = shown(result)
    put(stack, session, make_result(shape=(30, 50)))
    assert stack.find("map", "AGE_LW").data.shape == (30, 50)
    assert viewer.layers.extent.world == pytest.approx(stack.find("bins").extent.world, abs=0.01)
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 2


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
    (layer,) = viewer.layers
    assert layer.visible
    assert np.nanmin(layer.data) >= 40


@pytest.mark.parametrize("gone", [("bins",), ("white", "bins"), ("white", "bins", "map")])
def test_what_comes_again_lies_below_the_maps(result: Result, gone: tuple[str, ...]) -> None:
    viewer, session, stack = shown(result)
    mine = viewer.add_image(np.zeros((5, 5)), name="mine")
    for layer in list(viewer.layers):
        link = layer_data.get_layer_link(layer.metadata)
        if link is not None and link.role in gone:
            viewer.layers.remove(layer)
    stack.show("AGE_MW")
    link = layer_data.LayerLink("composite", "", result)
    stack.insert(Layer.create(np.zeros((5, 5, 3)), {"rgb": True, "metadata": {layer_data.KEY: link}}, "image"))
    put(stack, session, make_result(n_side=8))
    links = [layer_data.get_layer_link(layer.metadata) for layer in viewer.layers if layer != mine]
    assert [link.role for link in links if link is not None][:4] == ["white", "composite", "bins", "map"]
    assert {link.role for link in links[3:] if link is not None} == {"map"}


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
    low, high = (compute_bin_formation_times(result, (0.2,), k)[2, 0] for k in (1, 3))
    assert layer_data.format_map_value(result, "T20", 3).endswith(f"({min(low, high):.2f}–{max(low, high):.2f}) Gyr")
    assert max(low, high) <= UNIVERSE_GYR
    assert layer_data.format_map_value(result, "FLAG", result.bins.n_bins).startswith("a band is missing")


def test_text_under_the_cursor_tells_how_well_an_age_is_known(result: Result) -> None:
    quantiles = dict(result.prediction.quantiles)
    n = result.bins.n_bins
    quantiles["mh"] = np.tile(np.array([-1.0, -0.4, 0.0, 0.3, 0.9], np.float32), (n, 16, 1))
    older = np.linspace(1.0, 1 / 16, 16)[None, :, None] ** np.array([3.0, 2.0, 1.0, 0.5, 0.25]) * np.ones((n, 1, 1))
    quantiles["cum_mass"] = older.astype(np.float32)
    known = replace(result, prediction=replace(result.prediction, quantiles=quantiles))
    assert layer_data.format_map_value(known, "MH_AGE", 3, 2).endswith("(-0.40 to 0.30) dex")
    low, high = 1 - older[2, 8, 3], 1 - older[2, 8, 1]
    told = layer_data.format_map_value(known, "MASS_YOUNGER", 3, 7)
    assert told.endswith(f"({low:.3g} to {high:.3g})"), "the share's own ends, the lower first"
    assert maps.find_age_interval(known, "MASS_YOUNGER", 2, 15) == (1.0, 1.0), "all stars are younger than the last"
    prior = replace(known, prior={"lg_age_lw": np.array([8.0, 8.5, 9.0, 9.5, 10.0])})
    assert layer_data.format_map_value(prior, "PRIOR_AGE_LW", 3).endswith(" (1 = prior)")


def test_a_map_gets_its_layer_when_it_is_shown_first(result: Result) -> None:
    viewer, _, stack = shown(result)
    assert stack.find("map", "SNR") is None
    stack.show("SNR")
    assert stack.find("map", "SNR").visible
    stack.show("SNR")
    assert len(viewer.layers) == len(maps.MEAN_MAPS) + 3


def test_limits_that_nobody_has_typed_are_those_of_the_next_result(result: Result) -> None:
    _, _, stack = shown(result)
    stack.set_limits("full")
    stack.type_limits(9.0, 9.5)
    looks = stack.looks()
    assert looks["map AGE_LW"]["contrast_limits"] == [9.0, 9.5]
    assert "contrast_limits" not in looks["map AGE_MW"]
    prediction = result.prediction
    older = {name: values + np.float32(0.3) for name, values in prediction.quantiles.items() if name == "lg_age_mw"}
    other = replace(result, prediction=replace(prediction, quantiles={**prediction.quantiles, **older}))
    _, _, then = shown(other)
    then.set_limits("full")
    then.set_looks(looks)
    assert then.find("map", "AGE_LW").contrast_limits == [9.0, 9.5]
    wanted = map_limits.choose_map_limits(other, "AGE_MW", "full")
    assert then.find("map", "AGE_MW").contrast_limits == pytest.approx(wanted)
    then.show("AGE_MW")
    assert then.limits_of_shown == "full"


def test_the_age_stays_beside_its_slider_when_layers_come_and_go(result: Result) -> None:
    """napari names the axes anew with each of them."""
    viewer, _, stack = shown(result)
    stack.show("MASS_AGE")
    viewer.dims.set_current_step(0, 9)
    told = maps.format_age_range("MASS_AGE", 9)
    assert viewer.dims.axis_labels[0] == told
    added = viewer.add_points(np.zeros((1, 2)), name="mine")
    assert viewer.dims.axis_labels[0] == told
    drawn = viewer.add_shapes([np.array([[0, 0], [0, 1], [1, 1]])], shape_type="polygon")
    for far in (50, 90):  # a layer that grows, as with each shape that is drawn
        drawn.add([np.array([[0, 0], [0, far], [far, far]])], shape_type="polygon")
        assert viewer.dims.axis_labels[0] == told
    viewer.layers.remove(added)
    assert viewer.dims.axis_labels[0] == told


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


def test_what_is_asked_for_later_wins(result: Result) -> None:
    viewer, _, stack = shown(result)
    told: list[Shown] = []
    stack.display.changed.connect(told.append)
    stack.prepare_map("EBV")
    late = stack.display.show_later(Shown("map", "EBV"))
    assert visible_maps(viewer) == ["AGE_LW"]
    stack.show("AGE_LW")
    assert told == [Shown("map", "AGE_LW")], "a menu that names the other map is put right"
    late()
    assert visible_maps(viewer) == ["AGE_LW"]
    stack.display.show_later(Shown("map", "EBV"))()
    assert visible_maps(viewer) == ["EBV"]
    late = stack.display.show_later(Shown("map", "AGE_LW"))
    stack.display.withdraw()
    late()
    assert visible_maps(viewer) == ["EBV"]


def test_the_grid_comes_in_steps_and_any_other_map_ends_it(result: Result) -> None:
    viewer, _, stack = shown(result)
    cells, maps_in_cells = stack.display.list_grid_steps()
    cells()
    assert viewer.canvas.grid.enabled
    assert visible_maps(viewer) == ["AGE_LW"]
    assert not stack.display.is_grid
    stack.show("MH_LW")
    maps_in_cells()
    assert not viewer.canvas.grid.enabled
    assert visible_maps(viewer) == ["MH_LW"]
    for step in stack.display.list_grid_steps():
        step()
    assert stack.display.is_grid
    assert sorted(visible_maps(viewer)) == sorted(maps.MEAN_MAPS)
    assert viewer.canvas.grid.stride == -1
