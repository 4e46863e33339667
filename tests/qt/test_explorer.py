"""The window: real clicks and keys on the canvas, runs, errors, and nothing left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtGui import QPalette
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QLabel, QTextBrowser
from smooth_result import make_result
from window_acts import (
    bin_world,
    click,
    drag,
    idle,
    native_canvas,
    open_explorer,
    screen_point,
    watch_orientation,
    window,
)

from napari_sfh._qt.canvas import interaction
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.jobs.latency import GarbageFreeze
from napari_sfh.analysis import maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import write_result
from napari_sfh.io.workspaces import Workspace, write_workspace
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Progress, Result


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not load torch and the weights for tests that need neither."""

    def cards(progress: ReportProgress, cancel: threading.Event) -> dict[str, str]:
        progress(Progress("weights", 0, 0))
        return {"wide": "# wide\n\nTrained on **mocks**."}

    monkeypatch.setattr(tasks, "read_cards", cards)


@pytest.fixture
def dock(make_viewer: Callable[..., Any], no_cards: None) -> Any:
    return open_explorer(make_viewer())


def show(qtbot: Any, dock: Any, result: Result) -> None:
    dock.show_result(result)
    idle(dock)


def test_empty_dock_says_what_to_do_and_fits_a_small_screen(qtbot: Any, dock: Any) -> None:
    assert "Choose a galaxy folder" in dock.message.text()
    assert not dock.run_button.enabled
    assert dock.demo_button.visible
    assert not dock.export.result.enabled
    assert dock.minimumSizeHint().height() < 450
    qtbot.waitUntil(lambda: dock.network.model.choices == ("wide",), timeout=120_000)


def test_clicks_keys_and_maps(qtbot: Any, dock: Any, result: Result) -> None:
    directions = watch_orientation(dock.viewer)
    viewer, session = dock.viewer, dock.session
    dock.show_result(result)
    assert dock.wait(120)
    assert window(viewer).height() <= 720
    assert window(viewer).width() <= 1280

    for bin_id in (6, 11):
        click(viewer, session, bin_id)
        assert session.selected == bin_id
        assert dock.panel.bin_field.value == bin_id
        assert len(dock.stack.marks.overlay.vertices)
    _, y = dock.panel.plots.curves["sfh"].curves[0].getData()
    assert y[::2] == pytest.approx(result.prediction.mass_frac[10])

    assert set(directions) == {("up", "left")}, "the first picture is not the other way up"
    said = [label.text() for label in window(viewer).statusBar().findChildren(QLabel)]
    assert interaction.HINTS["map"] in said

    click(viewer, session, 7, shift=True)
    assert session.shown == (11, 7)
    assert dock.panel.plots.curves["sfh"].curves[1].isVisible()
    click(viewer, session, 6)
    assert session.shown == (6,)

    native = native_canvas(viewer)
    start, stop = (screen_point(viewer, bin_world(session, b)) for b in (6, 11))
    drag(native, [start, stop])
    assert session.selected == 6, "a drag moves the map, it does not select"

    before = bin_world(session, 6)
    QTest.keyClick(native, Qt.Key.Key_Up)
    assert bin_world(session, session.selected)[0] > before[0]
    dock.panel.bin_field.value = 3
    assert session.selected == 3

    QTest.keyClick(native, Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert dock.stack.current == "MH_MW"
    assert dock.stack.find("map", "MH_MW").visible
    dock.map.error.value = True
    qtbot.waitUntil(lambda: not dock.loading)
    assert dock.stack.find("map", "MH_MW_ERR").visible
    dock.map.min_snr.value = 40
    assert np.isnan(dock.stack.find("map", "MH_MW_ERR").data[result.bins.bin_id == result.bins.n_bins]).all()


def test_letters_are_made_unseen_before_they_are_needed(make_viewer: Any, qtbot: Any) -> None:
    viewer = make_viewer()
    dock = open_explorer(viewer)
    overlay = viewer.canvas.overlays[interaction.OVERLAY]
    seen: list[tuple[str, float]] = []
    overlay.events.text.connect(lambda: seen.append((overlay.text, overlay.opacity)))
    qtbot.waitUntil(lambda: not dock.loading, timeout=120_000)
    assert {opacity for text, opacity in seen if text} == {0.0}
    assert set("".join(text for text, _ in seen)) >= set("0123456789.+−ageLW []")
    assert (overlay.text, overlay.visible, overlay.opacity) == ("", False, 1.0)


def test_what_is_opened_before_the_letters_are_made_has_a_text_under_the_cursor(
    make_viewer: Any, qtbot: Any, result: Result
) -> None:
    viewer = make_viewer()
    dock = open_explorer(viewer)
    overlay = viewer.canvas.overlays[interaction.OVERLAY]
    while overlay.opacity:  # each pass takes one step of the loading
        QApplication.processEvents()
    assert not overlay.box
    dock.show_result(result)
    qtbot.waitUntil(lambda: not (dock.cards.reading or dock.loading), timeout=120_000)
    assert (overlay.text, overlay.visible, overlay.opacity, overlay.box) == ("", False, 1.0, True)


def test_continuum_is_seen_beside_strong_lines() -> None:
    from napari_sfh.analysis.drawing.bin_drawing import choose_flux_range

    flux = 1 + 0.05 * np.sin(np.arange(1761))
    low, high = choose_flux_range(flux, flux)
    assert low < 0.96
    assert 1.04 < high < 1.3
    flux[1400:1410] = 30
    flux[500] = np.nan
    assert choose_flux_range(flux, flux)[1] < 2
    assert choose_flux_range(np.full(5, np.nan), np.full(5, np.nan)) == (0, 1)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.12])
def test_residuals_of_the_continuum_are_seen_however_many_pixels_are_lines(share: float) -> None:
    from napari_sfh.analysis.drawing.bin_drawing import choose_residual_range

    residual = np.random.default_rng(1).normal(0, 0.02, 1761)
    residual[: int(share * residual.size)] = 1.5
    assert 4 * 0.02 < choose_residual_range(residual) < 10 * 0.02


def test_run_cancel_rerun_and_error(
    qtbot: Any, dock: Any, result: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []
    stopped_at: list[int] = []

    def slow(progress: ReportProgress, cancel: threading.Event, options: dict[str, Any]) -> Any:
        asked.append(options)
        for done in range(10000):
            if cancel.is_set():
                stopped_at.append(done)
                return None
            progress(Progress("binning", done, 10000))
            time.sleep(0.02)
        return None

    monkeypatch.setattr(tasks, "run_galaxy", slow)
    dock.data.cube.line_edit.value = str(tmp_path / "cube.fits")
    dock.data.redshift.value = "0.0022"
    assert dock.run_button.enabled
    QTest.mouseClick(dock.run_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Binning" in dock.stage.value, timeout=120_000)
    assert not dock.run_button.enabled
    assert dock.bar.visible
    assert asked[0]["redshift"] == 0.0022
    QTest.mouseClick(dock.cancel_button.native, Qt.MouseButton.LeftButton)
    idle(dock)
    qtbot.waitUntil(lambda: bool(stopped_at), timeout=120_000)
    assert stopped_at[0] < 10000
    assert dock.message.text().startswith("Cancelled")
    assert dock.run_button.enabled

    def fails(progress: ReportProgress, cancel: threading.Event, options: dict[str, Any]) -> Any:
        progress(Progress("starting", 0, 0))
        raise SfhInputError("cube.fits: no extension DATA; give a MUSE cube")

    monkeypatch.setattr(tasks, "run_galaxy", fails)
    dock.run()
    idle(dock)
    assert dock.message.text() == "cube.fits: no extension DATA; give a MUSE cube"
    assert dock.details_button.visible
    dock.details_button.native.click()
    details = next(w for w in dock.findChildren(QDialog) if w.windowTitle() == "Details of the error")
    assert "Traceback" in details.findChild(QTextBrowser).toPlainText()
    details.close()

    def works(progress: ReportProgress, cancel: threading.Event, options: dict[str, Any]) -> Any:
        progress(Progress("starting", 0, 0))
        return tasks.prepare_result(result)

    monkeypatch.setattr(tasks, "run_galaxy", works)
    for _ in range(2):
        dock.run()
        idle(dock)
        assert dock.session.result is result
        assert len(dock.viewer.layers) == len(maps.MEAN_MAPS) + 2
    assert not dock.details_button.visible


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("redshift", "fast", "Redshift: 'fast' is not a number from -0.01 to 1"),
        ("ebv_mw", "-1", "MW: '-1' is not a number from 0 to 5"),
        ("psf", "nan", "PSF FWHM: 'nan' is not a number"),
    ],
)
def test_wrong_fields_are_named(qapp: Any, field: str, text: str, message: str) -> None:
    from napari_sfh._qt.forms.run_forms import DataForm

    form = DataForm()
    with pytest.raises(SfhInputError, match="Cube: no file is chosen"):
        form.values()
    form.cube.line_edit.value = "cube.fits"
    getattr(form, field).value = text
    with pytest.raises(SfhInputError) as caught:
        form.values()
    assert message in str(caught.value)


def test_forms_become_options(qapp: Any) -> None:
    from napari_sfh._qt.forms.run_forms import BinningForm, DataForm, NetworkForm

    network = NetworkForm()
    assert network.values() == {"model": "default", "device": "auto", "mask_lines": False, "draws": 400}
    network.set_models(["wide", "phangs"])
    assert network.values()["model"] == "wide"
    network.file.line_edit.value = "mine.safetensors"
    assert network.values()["model"] == "mine.safetensors"

    data, binning = DataForm(), BinningForm()
    data.set_files(Path("c.fits"), {"F555W": Path("v.fits")}, None)
    values = data.values()
    assert values["photometry"] == {"F555W": Path("v.fits")}
    assert values["maps"] is None
    assert values["redshift"] is None
    assert binning.values() == {"binning": "auto", "target_snr": 35.0, "kinematics": "auto"}
    binning.set_maps(True)
    assert binning.target_snr.native.isHidden(), "automatic bins are those of the MAPS file"
    binning.method.value = "vorbin"
    assert not binning.target_snr.native.isHidden()
    binning.method.value = "auto"
    binning.set_maps(False)
    assert not binning.target_snr.native.isHidden()
    binning.method.value = "file"
    with pytest.raises(SfhInputError, match="Bin map: no file"):
        binning.values()
    binning.method.value = "maps"
    binning.kinematics.value = "constant"
    binning.constants.value = "10, 90"
    assert binning.values()["kinematics"] == "10, 90"


def test_cursor_tells_position_and_value(shown: Any, result: Result) -> None:
    dock, viewer, session = shown, shown.viewer, shown.session
    world = bin_world(session, 6)
    native = native_canvas(viewer)
    for place in (bin_world(session, 5), world):  # the mouse may be there already, and Qt tells a move to another place
        QTest.mouseMove(native.window().windowHandle(), native.mapTo(native.window(), screen_point(viewer, place)))
    text = viewer.canvas.overlays[interaction.OVERLAY].text
    radec, value = text.split("\n")
    # A screen pixel is a fraction of an arcsec: the seconds' last digits differ.
    assert radec[:9] == session.sky.radec_text(world)[:9]
    assert value == f"bin 6: LW age {result.prediction.median('lg_age_lw')[5]:.2f} ± 0.10 log yr"
    dock.show_map("MH_LW")
    assert "bin 6: LW [M/H]" in viewer.canvas.overlays[interaction.OVERLAY].text
    dock.map.quantity.value = ""
    assert viewer.canvas.overlays[interaction.OVERLAY].text.endswith("\nbin 6"), "no map, no value"
    viewer.mouse_over_canvas = True
    viewer.mouse_over_canvas = False
    assert not viewer.canvas.overlays[interaction.OVERLAY].visible


def test_exports(qtbot: Any, shown: Any, tmp_path: Path) -> None:
    dock = shown
    click(dock.viewer, dock.session, 6)
    for act, name, beside in (
        (lambda p: dock.exports.save_plots(p, dock.session.views()), "bin.png", None),
        (lambda p: dock.exports.save_plots(p, []), "maps.pdf", None),
        (lambda p: dock.exports.save_table(p, None), "table.ecsv", "table_sfh.ecsv"),
        (dock.exports.save_result, "result.fits", None),
    ):
        act(tmp_path / name)
        idle(dock)
        assert (tmp_path / name).stat().st_size > 1000
        more = f" and, beside it, {beside}" if beside else ""
        assert dock.message.text() == f"Saved {tmp_path / name}{more}."
        assert beside is None or (tmp_path / beside).stat().st_size > 1000
    dock.exports.save_result(tmp_path / "nowhere" / "x.fits")
    idle(dock)
    assert "nowhere" in dock.message.text()
    assert dock.details_button.visible


def test_theme_and_card(shown: Any) -> None:
    dock = shown
    dock.session.select(2)
    dock.viewer.theme = "light"
    background = dock.panel.plots.backgroundBrush().color()
    assert background.lightness() > 200
    dock.show_message("Wrong.", error=True)
    ink = dock.message.palette().color(QPalette.ColorRole.Text)
    assert ink.lightness() < 100, "an error can be read on a light ground"
    assert dock.cards.texts
    dock.network.card.native.click()
    (dialog,) = [w for w in QApplication.topLevelWidgets() if w.windowTitle() == "Model card: wide"]
    dialog.close()


def ours() -> list[Any]:
    """Widgets of this package that are alive."""
    return [w for w in QApplication.allWidgets() if type(w).__module__.startswith("napari_sfh")]


def use_and_close(qtbot: Any, viewer: Any, result: Result, stopped: threading.Event) -> dict[str, weakref.ref[Any]]:
    """Dock an explorer, use it, close it in the midst of work; references to its parts.

    In a function of its own: where a layer is fitted into view, app-model reads the variables of all callers, and
    Python keeps what it read, a deleted ``dock`` too, until the caller returns.
    """
    dock = open_explorer(viewer)
    started = threading.Event()
    dock.show_result(result)
    assert dock.wait(120)
    for tool in dock.tools:
        tool.section.expand(True)
    dock.session.select(3)
    dock.tools["region"].draw()

    def endless(progress: ReportProgress, cancel: threading.Event) -> None:
        started.set()
        while not cancel.is_set():
            progress(Progress("waiting", 0, 0))
            time.sleep(0.01)
        stopped.set()

    # A tool that unfolds may have work of its own.
    assert dock.wait(120)
    dock.start(endless, lambda _: None)
    qtbot.waitUntil(started.is_set, timeout=120_000)
    parts = (dock, dock.session, dock.panel, dock.canvas, dock.stack, dock.files, dock.exports, *dock.tools)
    gone = {type(o).__name__: weakref.ref(o) for o in parts}
    dock.parentWidget().destroyOnClose()  # what the dock's x does
    return gone


def test_closing_the_dock_leaves_nothing(
    qtbot: Any, make_viewer: Callable[..., Any], no_cards: None, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("napari_sfh._qt.explorer.propose_stopping", lambda _, stage, __: not asked.append(stage))
    viewer = make_viewer()
    drag, move = len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)
    keys, overlays = dict(viewer.keymap), {*viewer.canvas.overlays, *viewer.scene.overlays}
    docks = set(viewer.window.dock_widgets)
    stopped = threading.Event()
    gone = use_and_close(qtbot, viewer, result, stopped)
    assert len(asked) == 1, "whether the work may stop"
    qtbot.waitUntil(stopped.is_set, timeout=120_000)
    assert (len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)) == (drag, move)
    assert viewer.keymap == keys
    assert {*viewer.canvas.overlays, *viewer.scene.overlays} == overlays
    assert viewer.layers["LW age [log yr]"].colorbar.visible, "a map stays with napari's own colorbar"
    assert set(viewer.window.dock_widgets) == docks
    assert "select a bin" not in viewer.help, "a click does so no longer"

    def collected() -> bool:
        QApplication.sendPostedEvents(None, 0)
        QApplication.processEvents()
        gc.collect()
        return not any(ref() for ref in gone.values()) and not ours()

    qtbot.waitUntil(collected, timeout=120_000)
    # What is drawn stays, and nobody listens to it any more.
    viewer.layers["SFH region"].data = [np.array([[0.0, 0], [0, 5], [5, 5]])]
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=120_000)


def test_closing_the_window_during_a_run_stops_it(qtbot: Any, make_viewer: Callable[..., Any], no_cards: None) -> None:
    started, stopped = threading.Event(), threading.Event()

    def endless(progress: ReportProgress, cancel: threading.Event) -> None:
        started.set()
        while not cancel.is_set():
            progress(Progress("waiting", 0, 0))
            time.sleep(0.01)
        stopped.set()

    viewer = make_viewer()
    dock = open_explorer(viewer)
    dock.start(endless, lambda _: None)
    qtbot.waitUntil(started.is_set, timeout=120_000)
    dock.garbage.freeze()
    wishes = GarbageFreeze.wishes
    del dock
    viewer.close()
    assert GarbageFreeze.wishes < wishes, "the collector does not wait for the end of a window that is itself garbage"
    qtbot.waitUntil(stopped.is_set, timeout=120_000)


def test_a_workspace_brings_everything_back(qtbot: Any, shown: Any, tmp_path: Path) -> None:
    dock = shown
    dock.data.redshift.value = "0.0022"
    dock.binning.target_snr.value = 50.0
    dock.session.select(6)
    dock.session.toggle_compared(9)
    dock.panel.kind_field.value = "light"
    dock.show_map("MH_LW_ERR")
    dock.stack.find("map", "MH_LW_ERR").contrast_limits = (0.0, 0.7)
    dock.tools["region"].region.set_outlines([Outline(np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]]))])
    dock.viewer.scene.camera.zoom = 31.0
    dock.save_workspace(tmp_path / "work.json")
    idle(dock)
    assert str(tmp_path / "work.json") in dock.message.text()
    assert "work_sfh.fits" in dock.message.text()
    assert (tmp_path / "work_sfh.fits").is_file(), "a result that was in memory only is kept beside"
    kept = dock.files.capture()

    (tmp_path / "moved").mkdir()
    for name in ("work.json", "work_sfh.fits"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    # Into the same window, which shows something else by now: test_workspaces does it in another one.
    other = dock
    other.tools["region"].clear()
    other.data.redshift.value, other.binning.target_snr.value = "0.1", 35.0
    show(qtbot, other, make_result(n_side=3))
    other.viewer.scene.camera.zoom = 3.0
    other.open(tmp_path / "moved" / "work.json")
    idle(other)
    again = other.files.capture()
    assert again.result == tmp_path / "moved" / "work_sfh.fits"
    assert other.session.shown == (6, 9)
    assert other.session.region is not None
    assert other.stack.find("map", "MH_LW_ERR").contrast_limits == [0.0, 0.7]
    assert other.viewer.scene.camera.zoom == 31.0
    for block in ("session", "tools", "canvas"):
        assert getattr(again, block) == getattr(kept, block), block
    assert other.data.redshift.value == "0.0022"
    assert other.binning.target_snr.value == 50


def test_a_workspace_tells_what_is_missing(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    gone = Workspace(tmp_path / "gone.fits", 4, forms={"data": {"cube": tmp_path / "cube.fits", "psf": "0.8"}})
    dock.open(write_workspace(gone, tmp_path / "work.json"))
    idle(dock)
    of_result, of_cube = dock.message.text().split(". ")
    assert str(tmp_path / "gone.fits") in of_result
    assert "press Run" in of_result
    assert str(tmp_path / "cube.fits") in of_cube
    assert "under Data" in of_cube
    assert dock.data.psf.value == "0.8"
    other = write_result(result, tmp_path / "other.fits")
    dock.open(write_workspace(Workspace(other, 99, session={"selected": 98}), tmp_path / "work.json"))
    idle(dock)
    assert "other.fits has 16 bins, not the 99" in dock.message.text()
    (tmp_path / "work.json").write_text('{"kind": "napari-sfh workspace", "version": 9}')
    dock.open(tmp_path / "work.json")
    idle(dock)
    assert "version 9 is newer than 1" in dock.message.text()
    assert dock.details_button.visible


def test_recent_files_and_the_machine(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    path = write_result(result, tmp_path / "ngc_sfh.fits")
    dock.open(path)
    idle(dock)
    menu = dock.file_row.recent.menu()
    menu.aboutToShow.emit()
    action = menu.actions()[0]
    assert action.text() == f"{tmp_path.name}/ngc_sfh.fits"
    dock.show_result(make_result(n_side=3))
    idle(dock)
    action.trigger()
    idle(dock)
    assert dock.session.n_bins == result.bins.n_bins
    title = dock.sections["network"].toggle.text()
    assert title.startswith("Network")
    assert " GB" in title


def test_no_two_bins_of_the_next_result_share_a_map(qtbot: Any, shown: Any) -> None:
    """A map that was made when it was shown goes with its result."""
    dock = shown
    dock.show_map("SNR")
    other = make_result(n_side=3, seed=2)
    show(qtbot, dock, other)
    layer = dock.stack.find("map", "SNR")
    assert layer.data == pytest.approx(maps.make_map_image(other, "SNR"), nan_ok=True)
    assert len(dock.viewer.layers) == len(maps.MEAN_MAPS) + 3
