"""Another answer, and pPXF's, beside the network's: map, plots, histories, figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QTabBar
from smooth_result import make_ppxf_fit, make_result
from window_acts import at_once, idle, open_explorer

from napari_sfh._qt.tools.maps import NONE
from napari_sfh._qt.widgets.theme import POINTS
from napari_sfh.analysis.comparison import history_comparison, other_results, ppxf_fit
from napari_sfh.analysis.comparison.map_comparison import compare_results
from napari_sfh.figures.comparison import draw_comparison_page, draw_history_page
from napari_sfh.io.results import write_result
from napari_sfh.physics.dust import CALZETTI_R_V
from napari_sfh.types import Result


@pytest.fixture
def opened(shown: Any) -> Any:
    """An explorer that shows the result, at rest."""
    return shown


def _rest(qtbot: Any, dock: Any) -> None:
    qtbot.waitUntil(lambda: not (dock.job.running or dock.loading or dock.tools.working), timeout=200_000)


@pytest.mark.painted  # a legend is written with the next painting
def test_another_answer_in_map_plot_and_sfh(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    shifted = make_result()
    quantiles = {k: v + np.float32(0.1) if k == "lg_age_lw" else v for k, v in shifted.prediction.quantiles.items()}
    other = replace(shifted, model_name="other", prediction=replace(shifted.prediction, quantiles=quantiles))
    path = write_result(other, tmp_path / "other.fits")
    tool = opened.tools["compare"]
    tool.form.file.line_edit.value = str(path)
    tool.form.load.native.click()
    _rest(qtbot, opened)
    seen = int(np.isfinite(opened.tools["compare"].comparison.difference("lg_age_lw")).sum())
    assert f"{seen} of {result.bins.n_bins} bins" in opened.message.text()
    assert tool.comparison.scatter("lg_age_lw").bias == pytest.approx(-0.1, abs=1e-5)
    tool.form.difference.value = True
    opened.show_map("AGE_MW")
    _rest(qtbot, opened)
    assert opened.stack.find("map", "AGE_MW").visible, "what is asked for later wins"
    tool.form.difference.value = True
    _rest(qtbot, opened)
    assert tool.layer.colormap.name == "RdBu_r"
    assert opened.tools.describe(3).startswith("LW age")
    assert opened.tools.describe(3).endswith("−0.10 dex")
    low, high = tool.layer.contrast_limits
    assert low == -high
    np.testing.assert_allclose(np.nanmedian(tool.layer.data), -0.1, atol=1e-5)
    assert not opened.stack.find("map", "AGE_LW").visible
    assert opened.map.quantity.value == "", "no map is on the canvas"
    assert opened.map.quantity.native.currentText() == "LW age: test − other (other.fits)", "the menu names what is"
    opened.show_map("AGE_MW")
    assert not tool.layer.visible
    assert opened.map.quantity.native.itemText(0) == NONE
    assert not tool.form.difference.value
    assert opened.stack.find("map", "AGE_MW").visible
    tool.form.difference.value = True
    _rest(qtbot, opened)
    opened.show_map("AGE_MW")
    assert opened.stack.find("map", "AGE_MW").visible, "also when it was chosen already"
    tool.form.difference.value = True
    _rest(qtbot, opened)
    tool.layer.visible = False
    assert not tool.form.difference.value, "the box follows the eye in the list of layers"
    opened.show_map("AGE_MW")
    opened.session.select(5)
    qtbot.waitUntil(lambda: "bin 5" in tool.legend.text(), timeout=120_000)
    assert "other" in tool.legend.text()
    for act, name in ((tool.save_figure, "c.pdf"), (tool.save_table, "c.ecsv"), (tool.save_bin, "b.ecsv")):
        act(tmp_path / name)
        _rest(qtbot, opened)
        assert (tmp_path / name).stat().st_size > 500


def test_another_run_is_compared_with_the_same_answer(opened: Any, qtbot: Any, result: Result, tmp_path: Path) -> None:
    path = write_result(make_result(seed=9), tmp_path / "other.fits")
    tool = opened.tools["compare"]
    tool.load(path)
    _rest(qtbot, opened)
    tool.show_mean("MH_LW")
    finer = make_result(n_side=8)
    opened.show_result(finer)
    _rest(qtbot, opened)
    assert tool.comparison.result is finer
    assert (tool.source, tool.form.mean.value) == (path, "MH_LW")
    assert int(tool.comparison.find_compared().sum()) > result.bins.n_bins, "matched on the sky"
    path.unlink()
    opened.show_result(result)
    _rest(qtbot, opened)
    assert tool.comparison is None
    assert path.name in opened.message.text(), "why it is not compared"


@pytest.mark.painted
def test_numbers_stay_in_sight_beside_long_names_and_go_with_their_galaxy(
    qtbot: Any, make_viewer: Any, result: Result, tmp_path: Path
) -> None:
    dock = open_explorer(make_viewer(1280, 800))
    dock.show_result(result)
    idle(dock)
    dock.session.select(5)
    path = write_result(result, tmp_path / "NGC0628_second_run_with_wide_weights_and_target_snr_of_60_sfh.fits")
    tool = dock.tools["compare"]
    tool.form.file.line_edit.value = str(path)
    QTest.mouseClick(tool.form.load.native, Qt.MouseButton.LeftButton)
    _rest(qtbot, dock)
    qtbot.waitUntil(lambda: "bin 5" in tool.legend.text(), timeout=120_000)
    assert "E(B−V)" in tool.legend.text()
    needed = tool.legend.heightForWidth(tool.legend.width())
    qtbot.waitUntil(lambda: tool.legend.height() >= needed)  # once the window has found its places
    document = QTextDocument()
    font = tool.legend.font()
    font.setPointSize(POINTS)
    document.setDefaultFont(font)
    document.setHtml(tool.legend.text()[tool.legend.text().index("<table") :])
    assert document.idealWidth() <= tool.legend.contentsRect().width()
    assert path.name in tool.legend.toolTip()
    assert path.name in tool.plot.plot.toolTip()
    tabs = [bar.tabText(k) for bar in dock.window().findChildren(QTabBar) for k in range(bar.count())]
    assert "Comparison" in tabs
    dock.show_result(replace(make_result(seed=7), name="another"))
    idle(dock)
    tabs = [
        bar.tabText(k) for bar in dock.window().findChildren(QTabBar) if bar.isVisible() for k in range(bar.count())
    ]
    assert "Comparison" not in tabs, "it was of the galaxy before"
    assert not tool.dock.isVisible()
    tool.load(path)
    _rest(qtbot, dock)
    assert tool.dock.isVisible()


def test_a_file_that_is_no_answer_is_told(opened: Any, qtbot: Any, tmp_path: Path) -> None:
    tool = opened.tools["compare"]
    tool.form.load.native.click()
    assert "no file is chosen" in opened.message.text()
    bad = tmp_path / "x.fits"
    bad.write_bytes(b"nothing")
    tool.load(bad)
    _rest(qtbot, opened)
    assert "nothing to compare with; give a result" in opened.message.text()
    assert not tool.form.truth.visible  # not the mock


@pytest.mark.usefixtures("default_weights")
def test_ppxf_is_drawn_beside_the_network(
    opened: Any, qtbot: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppxf_fit, "run_in_process", at_once(make_ppxf_fit(result, 4)))
    tool = opened.tools["ppxf"]
    opened.session.select(0)
    tool.form.fit.native.click()
    assert "no bin is selected; click one" in opened.message.text()
    opened.session.select(4)
    tool.form.fit.native.click()
    _rest(qtbot, opened)
    assert "pPXF on bin 4" in opened.message.text()
    assert "pPXF" in tool.legend.text()
    for act, name in ((tool.save_figure, "p.svg"), (tool.save_table, "p.ecsv")):
        act(tmp_path / name)
        _rest(qtbot, opened)
        assert (tmp_path / name).is_file()
    # What is saved is what is drawn: of a bin that was not fitted, the network's answer alone.
    opened.session.select(5)
    tool.dock.seen.emit()
    assert "has not fitted it yet" in tool.legend.text()
    tool.save_table(tmp_path / "network.ecsv")
    _rest(qtbot, opened)
    saved = Table.read(tmp_path / "network.ecsv")
    assert (saved.meta["BIN_ID"], len(set(saved["ANSWER"]))) == (5, 1)
    # A workspace brings the fits back, and the plots are those of the selected bin.
    tool.restore({**tool.state(), "bin": 4})
    assert tool.shown == 5
    assert "bin 5" in tool.legend.text()
    opened.show_result(make_result(seed=7))
    _rest(qtbot, opened)
    assert tool.fits == {}
    assert not tool.figure_button.enabled


def test_without_ppxf_the_remedy_is_shown(opened: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_sfh._qt.jobs.tool_tasks.is_ppxf_installed", lambda: False)
    opened.session.select(2)
    opened.tools["ppxf"].fit()
    _rest(qtbot, opened)
    assert "pip install ppxf" in opened.message.text()


def test_figures_of_comparisons(result: Result) -> None:
    comparison = compare_results(result, other_results.other_result_from_run(result))
    figure = draw_comparison_page(comparison, result.data.snr > 30)
    assert sum(ax.get_title().startswith("median difference") for ax in figure.axes) == 5  # the four means and E(B-V)
    fit = make_ppxf_fit(result, 3)
    both = [history_comparison.history_from_network(result, 3), history_comparison.history_from_ppxf(fit)]
    assert draw_history_page(result, 3, both).axes
    rows = dict(history_comparison.list_history_means(both))
    assert rows["LW age (log yr)"][0].startswith(rows["LW age (log yr)"][1])
    ebv = result.prediction.median("ebv")[2], result.prediction.half_width("ebv")[2]
    assert rows["E(B−V) (mag)"] == ["{:.2f} ± {:.2f}".format(*ebv), f"{fit.a_v / CALZETTI_R_V:.2f}"]
    made = history_comparison.build_history_table([*both, history_comparison.history_from_comparison(comparison, 3)], 3)
    assert len(made) == 48
    np.testing.assert_allclose(made["MASS_FRAC"][:16], made["MASS_FRAC"][32:])
