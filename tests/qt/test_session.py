"""Selection without a window."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
from window_acts import bin_world

from napari_sfh._qt import session as session_module
from napari_sfh._qt.jobs import region_means
from napari_sfh._qt.plots.brush import BrushBox, BrushLink
from napari_sfh._qt.session import Session
from napari_sfh.analysis.drawing.bin_drawing import COLORS, choose_color
from napari_sfh.analysis.regions import average_bin_views
from napari_sfh.types import Result


@pytest.fixture
def session(result: Result) -> Session:
    session = Session()
    session.set_result(result)
    return session


def test_every_bin_is_found_at_its_own_place(session: Session) -> None:
    for bin_id in range(1, session.n_bins + 1):
        assert session.bin_at(bin_world(session, bin_id)) == bin_id
    assert session.bin_at(np.array([100.0, 0.0])) == 0


def test_select_tells_listeners_once(session: Session) -> None:
    heard: list[int] = []
    session.selection_changed.connect(heard.append)
    session.select(4)
    session.select(4)
    session.select(99)
    assert heard == [4, session.n_bins]


def test_a_bin_or_region_keeps_its_colour_while_others_come_and_go(session: Session) -> None:
    square = np.array([[5.0, 5.0], [5.0, 35.0], [35.0, 35.0], [35.0, 5.0]])
    session.select(4)
    assert session.list_bin_colors() == {4: COLORS[0]}
    session.set_regions({"A": [square]})
    session.set_regions({"A": [square], "B": [square / 2]})
    session.toggle_compared(7)
    kept = {4: COLORS[0], 7: COLORS[3]}
    assert session.list_bin_colors() == kept
    assert [session.find_region_color(name) for name in "AB"] == [COLORS[1], COLORS[2]]
    assert [view.color for view in session.views()] == [COLORS[1], COLORS[2], COLORS[0], COLORS[3]]
    session.set_regions({"B": [square / 2]})
    session.toggle_pinned(4)
    session.select(9)
    assert session.list_bin_colors() == {9: COLORS[1], **kept}, "what comes takes the first that is free"
    assert session.find_region_color("B") == COLORS[2]


def test_a_workspace_keeps_the_colours(session: Session) -> None:
    session.select(4)
    session.toggle_pinned(4)
    session.select(9)
    session.toggle_compared(2)
    colors = session.list_bin_colors()
    assert list(colors) == [9, 4, 2]
    assert colors != dict(zip(colors, map(choose_color, range(3)))), "the pinned one had the first colour before"
    kept = json.loads(json.dumps(session.state()))
    session.select(1)
    session.toggle_pinned(4)
    session.clear_compared()
    session.restore(kept)
    assert session.list_bin_colors() == colors


def test_step_goes_around(session: Session) -> None:
    session.step(-1)
    assert session.selected == session.n_bins
    session.step(1)
    assert session.selected == 1
    session.step(3)
    assert session.selected == 4


@pytest.mark.parametrize(("arrow", "axis", "sign"), [("Up", 0, 1), ("Down", 0, -1), ("Left", 1, 1), ("Right", 1, -1)])
def test_arrows_go_where_they_point_on_the_sky(session: Session, arrow: str, axis: int, sign: int) -> None:
    session.select(6)
    session.go(arrow)
    assert session.selected != 6
    moved = bin_world(session, session.selected) - bin_world(session, 6)
    assert sign * moved[axis] > 0
    assert abs(moved[axis]) >= abs(moved[1 - axis]) - 0.2


def test_arrows_stop_at_the_edge(session: Session) -> None:
    for _ in range(20):
        session.go("Up")
    top = session.selected
    session.go("Up")
    assert session.selected == top


def test_comparison_adds_and_takes_out(session: Session) -> None:
    session.select(1)
    for bin_id in (2, 3, 2):
        session.toggle_compared(bin_id)
    assert session.shown == (1, 3)
    session.select(3)
    assert session.shown == (3,)


def test_comparison_never_runs_out_of_colours(session: Session) -> None:
    session.select(1)
    for bin_id in range(2, 14):
        session.toggle_compared(bin_id)
    assert session.shown == tuple(range(1, 14))
    assert len(session.views()) == 13
    _, colors = session.outlines()
    assert len(set(colors)) == 13


def test_outlines_have_the_colours_of_their_curves(session: Session) -> None:
    session.select(6)
    session.toggle_compared(7)
    paths, colors = session.outlines()
    assert colors == list(COLORS[:2])
    assert len(paths) == 2
    assert [v.bin_id for v in session.views()] == [6, 7]


def test_without_a_result_nothing_happens() -> None:
    session = Session()
    session.select(3)
    session.step(1)
    session.go("Up")
    session.toggle_compared(1)
    assert session.shown == ()
    with pytest.raises(LookupError, match="run the pipeline or open a result"):
        _ = session.sky


def test_no_region_in_place_of_none_is_no_news(session: Session) -> None:
    heard: list[int] = []
    session.selection_changed.connect(heard.append)
    session.set_region([])
    assert heard == []
    session.set_plot_region(np.arange(3))
    session.set_region([])
    assert len(heard) == 2


def test_regions_of_many_bins_are_averaged_in_a_thread(
    qtbot: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown is the same as without; of two requests the later counts, and none of an earlier result."""
    monkeypatch.setattr(region_means, "MANY_BINS", 3)
    means, threads = region_means.RegionMeans(session), []
    monkeypatch.setattr(
        session_module,
        "average_bin_views",
        lambda *what: (threads.append(threading.current_thread()), average_bin_views(*what))[1],
    )
    link = BrushLink(BrushBox(), session, lambda act: act())
    few, many = np.arange(3), np.arange(8)
    link.enclose(few, add=False)
    assert not means.running
    assert session.regions[0].rows.size == 3
    assert threads.pop() is threading.main_thread()
    link.enclose(many, add=False)
    assert means.running
    assert session.regions[0].rows.size == 3
    qtbot.waitUntil(lambda: not means.running, timeout=60_000)
    (region,) = session.regions
    assert threads[0] is not threading.main_thread()
    assert len(threads) == 1, "the act finds what the thread has made"
    np.testing.assert_array_equal(region.rows, many)
    np.testing.assert_array_equal(region.view.mass.value, average_bin_views(session.result, many).mass.value)
    for rows in (np.arange(4), np.arange(5)):
        link.enclose(rows, add=False)
    qtbot.waitUntil(lambda: not means.running, timeout=60_000)
    assert session.regions[0].rows.size == 5
    link.enclose(np.arange(6), add=False)
    session.set_result(None)
    qtbot.waitUntil(lambda: not means.running, timeout=60_000)
    assert session.regions == ()


@pytest.mark.parametrize("others", ["none", "pinned", "compared", "region"])
def test_what_a_click_will_show_is_foreseen(session: Session, others: str, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []
    trace = session_module.trace_outline
    monkeypatch.setattr(session_module, "trace_outline", lambda mask: traced.append(int(mask.sum())) or trace(mask))
    session.select(4)
    if others == "pinned":
        session.toggle_pinned(4)
        session.toggle_pinned(7)
    elif others == "compared":
        session.toggle_compared(6)
        session.toggle_compared(9)
    elif others == "region":
        session.set_region([np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]])])
    session.outlines()  # of what is shown before
    for bin_id in (6, 4, 7, 11):
        foreseen = session.foresee_views(bin_id)
        traced.clear()
        session.clear_compared()
        session.select(bin_id)
        shown = session.views()
        session.outlines()
        assert traced == [], "outlined anew"
        assert [(view.name, view.color) for view in foreseen] == [(view.name, view.color) for view in shown]
        assert all(before is now for before, now in zip(foreseen, shown) if now.bin_id), "found anew"
    assert session.foresee_views(0) == session.foresee_views(session.n_bins + 1) == []
    session.set_result(session.result)
    session.select(4)
    assert session.views()[0] is not next(view for view in shown if view.bin_id), "of another result"
