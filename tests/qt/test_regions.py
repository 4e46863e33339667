"""Regions: which bins, what mean; and a real lasso."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from smooth_result import make_result
from window_acts import bin_world, drag, idle, native_canvas, open_explorer, screen_point

from napari_sfh._qt.canvas.drawn_shapes import shape_to_polygon
from napari_sfh._qt.canvas.region_layer import LAYER_NAME
from napari_sfh._qt.jobs.preload import warm_up_triangulation
from napari_sfh._qt.session import Session
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.regions import (
    Outline,
    average_bin_views,
    compute_bin_weights,
    find_bins_in_outlines,
    find_bins_in_polygon,
)
from napari_sfh.analysis.tables import build_sfh_table
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

EVERYTHING = np.array([[-1.0, -1], [-1, 41], [41, 41], [41, -1]])


def test_bins_inside_a_box(result: Result) -> None:
    box = np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]])
    y, x = result.bins.y, result.bins.x
    expected = np.flatnonzero((y > 9.5) & (y < 29.5) & (x > 9.5) & (x < 29.5))
    assert expected.size == 4
    assert find_bins_in_polygon(result, box) == pytest.approx(expected)
    assert find_bins_in_polygon(result, EVERYTHING).size == result.bins.n_bins
    assert find_bins_in_polygon(result, EVERYTHING + 100).size == 0


def test_bins_inside_a_concave_region(result: Result) -> None:
    horseshoe = np.array([[0.0, 0], [0, 40], [40, 40], [40, 20], [20, 20], [20, 0]])
    missing = np.flatnonzero((result.bins.y > 20) & (result.bins.x < 20))
    assert set(find_bins_in_polygon(result, horseshoe)) == set(range(result.bins.n_bins)) - set(missing)


def test_a_region_of_one_bin_is_the_bin(result: Result) -> None:
    region, one = average_bin_views(result, np.array([4])), BinView.of(result, 5)
    for name in ("mass", "light", "mh", "cumulative"):
        assert getattr(region, name).value == pytest.approx(getattr(one, name).value)
    assert region.flux == pytest.approx(one.flux, nan_ok=True)
    assert region.phot_model == pytest.approx(one.phot_model)


def test_mass_weights_are_light_times_mass_to_light(result: Result) -> None:
    prediction = result.prediction
    lg_ml = prediction.quantiles["lg_ml_v"].copy()
    lg_ml[1] += 1.0
    tau = np.zeros_like(prediction.quantiles["tau_ism"])
    quantiles = {**prediction.quantiles, "lg_ml_v": lg_ml, "tau_ism": tau}
    heavy = replace(result, prediction=replace(prediction, quantiles=quantiles))
    rows = np.array([0, 1])
    assert compute_bin_weights(heavy, rows, "mass") == pytest.approx([1 / 11, 10 / 11])
    assert compute_bin_weights(heavy, rows, "light") == pytest.approx([0.5, 0.5])
    mean = average_bin_views(heavy, rows).mass.value
    expected = (prediction.mass_frac[0] + 10 * prediction.mass_frac[1]) / 11
    assert mean == pytest.approx(expected, rel=1e-5)
    assert mean.sum() == pytest.approx(1, rel=1e-5)


def test_dust_hides_light(result: Result) -> None:
    prediction = result.prediction
    tau = np.zeros_like(prediction.quantiles["tau_ism"])
    tau[0] = np.log(2)
    dusty = replace(result, prediction=replace(prediction, quantiles={**prediction.quantiles, "tau_ism": tau}))
    assert compute_bin_weights(dusty, np.array([0, 1]), "light") == pytest.approx([2 / 3, 1 / 3])


def test_bins_without_a_prediction_do_not_count(result: Result) -> None:
    prediction = result.prediction
    quantiles = {name: q.copy() for name, q in prediction.quantiles.items()}
    for q in quantiles.values():
        q[0] = np.nan
    mass = prediction.mass_frac.copy()
    mass[0] = np.nan
    partial = replace(result, prediction=replace(prediction, quantiles=quantiles, mass_frac=mass))
    assert average_bin_views(partial, np.array([0, 3])).mass.value == pytest.approx(mass[3])
    with pytest.raises(SfhInputError, match="draw it around the centres"):
        average_bin_views(partial, np.array([0]))


def test_band_holds_the_mean_and_the_numbers_its_error() -> None:
    result = make_result(n_side=12, shape=(60, 60))
    view = average_bin_views(result, np.arange(result.bins.n_bins))
    assert (view.mass.low <= view.mass.value).all()
    assert (view.mass.high >= view.mass.value).all()
    lines = {n.label: n.text for n in view.numbers}
    assert lines["Bins"] == f"{result.bins.n_bins} bins, weighted by mass"
    share = compute_bin_weights(result, np.arange(result.bins.n_bins), "mass")
    error = 0.1 * np.sqrt((share**2).sum())
    assert f"± {error:.2f}" in lines["MW age"]


def test_numbers_of_a_region_tell_its_sum_and_what_is_wrong_in_it() -> None:
    result = make_result(n_side=12, shape=(60, 60))
    rows = np.arange(20)
    view = average_bin_views(result, rows)
    numbers = {n.label: n for n in view.numbers}
    noise = result.data.norm_cgs[rows] / result.data.snr[rows]
    snr = result.data.norm_cgs[rows].sum() / np.sqrt((noise**2).sum())
    assert numbers["S/N"].value == pytest.approx(snr)
    assert {"V, σ", "Depth", "Flags"} <= set(numbers)
    far = (result.prediction.ood[rows] > 1).sum()
    assert numbers["Depth"].text.startswith(f"{far}/20 ")
    assert numbers["t50"].text.count("–") == 1, "with its interval"


def test_error_of_the_mean_is_narrower_than_the_scatter_of_many() -> None:
    """N equal bins: the mean's error is a bin's over sqrt(N), whatever the scatter."""
    result = make_result(n_side=12, shape=(60, 60))
    prediction = result.prediction
    quantiles = {name: np.repeat(q[:1], result.bins.n_bins, 0) for name, q in prediction.quantiles.items()}
    same = replace(
        result,
        prediction=replace(
            prediction,
            mass_frac=np.repeat(prediction.mass_frac[:1], result.bins.n_bins, 0),
            mh=np.repeat(prediction.mh[:1], result.bins.n_bins, 0),
            quantiles=quantiles,
        ),
    )
    rows = np.arange(result.bins.n_bins)
    view = average_bin_views(same, rows, "light", "error")
    share = compute_bin_weights(same, rows, "light")
    one = quantiles["mh"][0, :, 3] - prediction.mh[0]
    assert view.mh.high - view.mh.value == pytest.approx(one * np.sqrt((share**2).sum()), rel=1e-4)
    scattered = average_bin_views(same, rows, "light", "scatter")
    assert scattered.mh.high == pytest.approx(scattered.mh.value)
    assert view.mh.value == pytest.approx(scattered.mh.value)
    assert {"t50", "t90"} <= {n.label for n in view.numbers}


def test_holes_are_cut_out(result: Result) -> None:
    box = np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]])
    inside = set(find_bins_in_polygon(result, box))
    found = find_bins_in_outlines(result, [Outline(box, include=False), Outline(EVERYTHING)])
    assert set(found) == set(range(result.bins.n_bins)) - inside


def test_an_ellipse_is_its_points() -> None:
    box = np.array([[0.0, 0], [0, 10], [4, 10], [4, 0]])
    points = shape_to_polygon(box, "ellipse")
    assert (((points - (2, 5)) / (2, 5)) ** 2).sum(1) == pytest.approx(np.ones(64))
    assert shape_to_polygon(box, "rectangle") == pytest.approx(box)


def test_session_draws_the_region_first(result: Result) -> None:
    session = Session()
    session.set_result(result)
    session.select(3)
    assert session.set_region([EVERYTHING]) == result.bins.n_bins
    views = session.views()
    assert [v.name for v in views] == ["region", "bin 3"]
    assert set(build_sfh_table(result, views)["BIN_ID"]) == {0, 3}
    assert session.outlines()[1] != Session().outlines()[1]
    assert session.set_region([]) == 0
    assert [v.name for v in session.views()] == ["bin 3"]


def list_compiled_kinds() -> set[tuple[str, str]]:
    """Compiled functions of napari's shapes, and for which kinds of arrays."""
    module = sys.modules["napari.layers.shapes._accelerated_triangulate_numba"]
    found = ((name, getattr(each, "signatures", ())) for name, each in vars(module).items())
    return {(name, str(kinds)) for name, signatures in found for kinds in signatures}


def test_a_lasso_with_the_mouse(qtbot: Any, make_viewer: Callable[..., Any], result: Result) -> None:
    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.show_result(result)
    idle(dock)
    dock.draw_region()
    native = native_canvas(viewer)
    corners = [bin_world(dock.session, b) for b in (1, 2, 6, 5)]
    middle = np.mean(corners, axis=0)
    path = [screen_point(viewer, middle + 1.4 * (c - middle)) for c in (*corners, corners[0])]
    warm_up_triangulation()  # which the window does when it rests
    compiled = list_compiled_kinds()
    drag(native, path)
    qtbot.waitUntil(lambda: dock.session.region is not None, timeout=120_000)
    assert list_compiled_kinds() == compiled, "the first press would compile for ten seconds"
    assert dock.message.text().startswith("Mean of")
    assert "region" in dock.panel.legend.text()
    assert viewer.layers[LAYER_NAME].mode == "pan_zoom"
    dock.tools["region"].clear()
    assert dock.session.region is None
