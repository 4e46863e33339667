"""The tools Gradient and Posterior in a real window, DS9 regions and pins: mouse, keys, files, errors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import QTable
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton
from window_acts import click, drag, idle, native_canvas, screen_point

from napari_sfh._qt.session import Session
from napari_sfh._qt.tools.gradient import FORMER, LAYER, compute_ellipse_corners, disc_from_ellipse
from napari_sfh._qt.tools.posterior import PosteriorForm
from napari_sfh.analysis import posteriors
from napari_sfh.analysis.credibility.reweighting import reweight_posterior
from napari_sfh.analysis.disc import Disc
from napari_sfh.analysis.maps import find_brightest_bin
from napari_sfh.analysis.posteriors import DEFAULT_QUANTITIES, PosteriorDraws
from napari_sfh.errors import SfhInputError
from napari_sfh.figures.corner import draw_corner_page
from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.model.prior_summary import GaussianMixtureDensity
from napari_sfh.preflight.cost import RATES
from napari_sfh.types import Result


@pytest.fixture
def dock(shown: Any) -> Any:
    return shown


def alt(dock: Any, key: Any) -> None:
    QTest.keyClick(native_canvas(dock.viewer), key, Qt.KeyboardModifier.AltModifier)


def test_the_ellipse_of_a_disc_and_back(result: Result) -> None:
    """On a map that is turned on the sky."""
    session = Session()
    session.set_result(result)
    disc = Disc(24.1741, 15.7829, 125.0, 50.0, 3.0, distance_mpc=9.8)
    back = disc_from_ellipse(compute_ellipse_corners(disc, session.sky), session.sky, disc)
    for name in ("ra_deg", "dec_deg", "pa_deg", "inclination_deg", "r_e_arcsec", "distance_mpc"):
        assert getattr(back, name) == pytest.approx(getattr(disc, name), rel=1e-6)
    # The box's sides are R_e and R_e cos(i) from the centre.
    corners = compute_ellipse_corners(disc, session.sky)
    sides = [np.hypot(*(corners[k + 1] - corners[k])) * 0.2 / 2 for k in (0, 1)]
    assert sides == pytest.approx([3.0, 3.0 * np.cos(np.radians(50))], rel=1e-4)


@pytest.mark.painted
def test_gradient_from_guess_to_file(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    tool = dock.tools["gradient"]
    with pytest.raises(SfhInputError, match="no gradient was fitted yet"):
        tool.save(tmp_path / "a.pdf")
    tool.section.expand(True)
    idle(dock)
    assert tool.form.centre.value == "", "a section that is opened starts nothing"
    assert LAYER not in dock.viewer.layers
    tool.form.guess.native.click()
    idle(dock)
    disc = tool.form.disc()
    assert np.hypot((disc.ra_deg - 24.174) * np.cos(np.radians(15.78)), disc.dec_deg - 15.783) * 3600 < 0.3
    layer = dock.viewer.layers[LAYER]
    assert list(layer.shape_type) == ["ellipse"]

    world = dock.session.sky.to_world(layer.data[0].mean(0)[None])[0]
    native = native_canvas(dock.viewer)
    drag(native, [screen_point(dock.viewer, world), screen_point(dock.viewer, world + np.array([0.6, -0.9]))])
    qtbot.waitUntil(lambda: tool.form.disc() != disc, timeout=120_000)
    moved = tool.form.disc()
    assert (moved.dec_deg - disc.dec_deg) * 3600 == pytest.approx(0.6, abs=0.15)
    assert (moved.ra_deg - disc.ra_deg) * 3600 * np.cos(np.radians(15.78)) == pytest.approx(-0.9, abs=0.15)
    assert moved.r_e_arcsec == pytest.approx(disc.r_e_arcsec, abs=0.02)

    tool.set_disc(replace(disc, pa_deg=30.0, inclination_deg=60.0, r_e_arcsec=2.0, distance_mpc=9.8))
    back = disc_from_ellipse(dock.viewer.layers[LAYER].data[0], dock.session.sky, disc)
    assert (back.pa_deg, back.inclination_deg, back.r_e_arcsec) == pytest.approx((30.0, 60.0, 2.0), abs=0.01)
    tool.form.r_max.value, tool.form.trusted.value = 9.0, False
    alt(dock, Qt.Key.Key_A)
    idle(dock)
    assert tool.found["AGE_LW"].slope_kpc is not None
    assert "dex/Rₑ" in dock.message.text()
    assert "LW age" in tool.words.text()
    dock.session.select(3)
    chosen = tool.plot.marked
    wanted = pytest.approx(result.prediction.median("lg_age_lw")[2])
    qtbot.waitUntil(lambda: chosen.getData()[1] == wanted, timeout=60_000)  # with the next painting
    (color,) = {spot.brush().color().name() for spot in chosen.points()}
    assert color in dock.session.outlines()[1], "one colour on the map and in the plot"
    assert FORMER not in tool.words.text()
    tool.form.pa.value = 75.0
    assert FORMER in tool.words.text()
    tool.form.pa.value = 30.0
    assert FORMER not in tool.words.text()
    kept, typed = tool.state(), tool.form.centre.value
    tool.form.centre.value = "here"
    assert tool.state() == kept, "a workspace has the disc of the map and the fit, not what is none"
    tool.form.centre.value = typed
    centre = dock.session.sky.to_world(dock.viewer.layers[LAYER].data[0].mean(0)[None])[0]
    drag(native, [screen_point(dock.viewer, centre), screen_point(dock.viewer, centre + np.array([0.5, 0.3]))])
    qtbot.waitUntil(lambda: FORMER in tool.words.text(), timeout=120_000)
    tool.fit()
    idle(dock)
    assert FORMER not in tool.words.text()
    assert tool.found["AGE_LW"].profile.disc == tool.form.disc()
    for name in ("a.svg", "a.fits"):
        tool.save(tmp_path / name)
        idle(dock)
        assert (tmp_path / name).stat().st_size > 5000
    assert len(QTable.read(tmp_path / "a.fits", hdu="BINS")) == result.bins.n_bins
    tool.form.ellipse.value = False
    assert not dock.viewer.layers[LAYER].visible
    assert dock.viewer.layers[LAYER].mode == "pan_zoom"


def test_a_click_selects_a_bin_while_the_ellipse_can_be_dragged(qtbot: Any, dock: Any, result: Result) -> None:
    tool, session = dock.tools["gradient"], dock.session
    tool.guess()
    idle(dock)
    assert dock.viewer.layers[LAYER].mode == "select"
    disc, bins = tool.form.disc(), result.bins
    distance = np.hypot(bins.y - np.mean(bins.y), bins.x - np.mean(bins.x))
    inside, outside = int(np.argmin(distance)) + 1, int(np.argmax(distance)) + 1
    for bin_id in (outside, inside, outside):
        click(dock.viewer, session, bin_id)
        assert session.selected == bin_id
        qtbot.wait(260)  # until the step is kept
    native, control = native_canvas(dock.viewer), Qt.KeyboardModifier.ControlModifier
    QTest.keyClick(native, Qt.Key.Key_Z, control)
    assert session.selected == inside
    QTest.keyClick(native, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert session.selected == outside
    assert tool.form.disc() == disc
    centre = session.sky.to_world(dock.viewer.layers[LAYER].data[0].mean(0)[None])[0]
    there = [screen_point(dock.viewer, place) for place in (centre, centre + np.array([0.6, -0.9]))]
    drag(native, there)
    qtbot.waitUntil(lambda: tool.form.disc() != disc, timeout=120_000)
    assert session.selected == outside


def test_what_is_typed_wrong_is_told(qtbot: Any, dock: Any) -> None:
    tool = dock.tools["gradient"]
    for field, text, remedy in (("centre", "here", "RA and Dec in degrees"), ("distance", "far", "in Mpc")):
        tool.form.centre.value = "24.174 15.783"
        getattr(tool.form, field).value = text
        with pytest.raises(SfhInputError, match=remedy):
            tool.fit()
        tool.form.fit.native.click()
        assert dock.message.text().startswith(f"{field}: '{text}' given")
        assert remedy in dock.message.text()
    # As the canvas tells it under the mouse, and as archives do.
    for text in (dock.session.sky.radec_text(np.zeros(2)), "01:36:41.76, +15:46:58.8"):
        tool.form.centre.value = text
        tool.form.centre.native.editingFinished.emit()
        assert tool.form.read_centre() == pytest.approx((24.174, 15.783), abs=1e-4), dock.message.text()


def test_posterior_of_the_clicked_bin(
    qtbot: Any, dock: Any, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = dock.tools["posterior"]
    assert dock.session.selected == find_brightest_bin(result)
    dock.session.select(0)
    alt(dock, Qt.Key.Key_J)
    assert "click one on the map first" in dock.message.text()
    click(dock.viewer, dock.session, 6)
    tool.draw()
    idle(dock)
    assert "the weights 'test' (sha256 000000000000…)" in dock.message.text()

    def endless(result: Result, bin_id: int, names: Any, progress: Any = None, cancel: Any = None) -> Any:
        cancel.wait(60)
        raise_if_cancelled(cancel)

    monkeypatch.setattr(posteriors, "draw_bin_posterior", endless)
    assert f"{RATES.refine_bin:.0f} s" in tool.form.likelihood.text, "the time is told beforehand"
    tool.draw()
    qtbot.waitUntil(lambda: dock.job.running, timeout=120_000)
    dock.work.cancel()
    idle(dock)
    assert f"Press {tool.form.draw.text} " in dock.message.text()
    assert "Press Run" not in dock.message.text()

    def drawn(result: Result, bin_id: int, names: Any, progress: Any = None, cancel: Any = None) -> Any:
        rng = np.random.default_rng(1)
        return PosteriorDraws(bin_id, {name: rng.normal(size=500) for name in names})

    monkeypatch.setattr(posteriors, "draw_bin_posterior", drawn)
    tool.restore({"names": ["lg_age_lw", "t50"]})
    assert tool.state()["names"] == ["lg_age_lw", "t50"]
    tool.draw()
    idle(dock)
    assert tool.shown.draws.bin_id == 6
    (corner,) = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w.windowTitle() == "Posterior of bin 6"]
    assert tool.state()["bin"] == 6
    dark = tool.shown.picture[0, 0, :3].mean()
    dock.viewer.theme = "light"
    idle(dock)
    assert dark < 100 < 200 < tool.shown.picture[0, 0, :3].mean(), "an open plot follows the theme"
    dock.viewer.theme = "dark"
    idle(dock)
    corner.close()
    assert tool.state()["bin"] == 0, "a workspace does not open what was closed"
    corner.show()
    QTest.keyClick(corner, Qt.Key.Key_Escape)
    assert tool.state()["bin"] == 0
    flat = GaussianMixtureDensity(("lg_age_lw",), np.ones(1), np.zeros((1, 1)), np.full((1, 1, 1), 1e4))
    monkeypatch.setattr(
        posteriors, "reweight_draws", lambda _, drawn, wanted: reweight_posterior(drawn.values, flat, wanted)
    )
    tool.form.prior.value = "lg_age_lw"
    tool.form.mean.value, tool.form.sigma.value = 1.0, 1.0
    tool.draw()
    idle(dock)
    # Two normal distributions of one width: their product lies between them.
    assert np.mean(tool.shown.draws.values["lg_age_lw"]) == pytest.approx(0.5, abs=0.2)
    assert "another prior" in dock.message.text()
    tool.form.prior.value = ""
    chosen = iter([tmp_path / "draws.ecsv", tmp_path / "corner.png"])
    names: list[str] = []

    def dialog(*_: Any, start_path: Any = None, **__: Any) -> Path:
        names.append(Path(str(start_path)).name)
        return next(chosen)

    monkeypatch.setattr("napari_sfh._qt.exports.show_file_dialog", dialog)
    corner.show()
    press(corner, "Table")
    idle(dock)
    assert QTable.read(tmp_path / "draws.ecsv", format="ascii.ecsv").colnames == ["LG_AGE_LW", "T50"]
    press(corner, "Figure")
    idle(dock)
    assert (tmp_path / "corner.png").stat().st_size > 5000
    assert [name.partition("_bin6_corner")[2] for name in names] == [".ecsv", ".pdf"]


def press(widget: Any, words: str) -> None:
    """Click the button whose text begins with words."""
    (button,) = (each for each in widget.findChildren(QPushButton) if each.text().startswith(words))
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_spectra_of_the_draws_are_shaded_in_the_plot_of_their_bin(
    dock: Any, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = result.data.flux.shape[1]
    band = np.stack([np.full(width, k, np.float32) for k in range(5)])
    monkeypatch.setattr("napari_sfh._qt.tools.posterior.draw_predictive_band", lambda *_, **__: band)
    tool = dock.tools["posterior"]
    dock.session.select(0)
    with pytest.raises(SfhInputError, match="no bin is selected"):
        tool.draw_spectra()
    dock.session.select(4)
    idle(dock)
    bare = dock.panel.plots.grab().toImage()
    tool.form.spectra.native.click()
    idle(dock)
    assert "Bin 4: 68 %" in dock.message.text()
    shaded = dock.panel.plots.grab().toImage()
    assert shaded != bare
    dock.session.select(5)
    dock.session.select(4)
    idle(dock)
    assert dock.panel.plots.grab().toImage() == shaded, "the band is kept with its bin"


def test_regions_of_ds9_pins_and_the_cursor(qtbot: Any, dock: Any, result: Result, tmp_path: Path) -> None:
    tool, session = dock.tools["region"], dock.session
    path = tmp_path / "galaxy.reg"
    path.write_text("image\ncircle(20.5,20.5,30)\n-circle(20.5,20.5,9)\npoint(3,3)\n")
    tool.open(path)
    inside = int((np.hypot(result.bins.x - 19.5, result.bins.y - 19.5) > 9).sum())
    assert session.region.numbers[0].text == f"{inside} bins, weighted by mass"
    assert re.search(r"left out\b.*: point\.", dock.message.text())
    scatter = session.region.mass.high
    tool.form.spread.value = "error"
    assert not np.allclose(session.region.mass.high, scatter)
    tool.save(tmp_path / "own.reg")
    kept = tool.state()
    tool.clear()
    assert session.region is None
    tool.restore(kept)
    assert session.region.numbers[0].text == f"{inside} bins, weighted by mass"
    tool.clear()
    assert not dock.attempt(lambda: tool.open(tmp_path / "none.reg"))
    assert "none.reg: cannot be read" in dock.message.text()

    click(dock.viewer, session, 6)
    alt(dock, Qt.Key.Key_K)
    assert session.pinned == (6,)
    assert dock.panel.pin_button.native.isChecked()
    click(dock.viewer, session, 11)
    assert session.shown == (11, 6)
    assert "6•" in dock.panel.legend.text()
    dock.panel.clear_button.native.click()
    assert session.shown == (11, 6)
    session.toggle_pinned(6)
    assert session.shown == (11,)

    alt(dock, Qt.Key.Key_X)
    copied = QApplication.clipboard().text()
    assert copied.splitlines()[0] == dock.viewer.canvas.overlays["sfh_radec"].text.splitlines()[0]
    assert copied.startswith("01h36m")


def test_plots_in_every_mode(dock: Any, result: Result) -> None:
    panel, session = dock.panel, dock.session
    session.select(5)
    view = session.views()[0]
    times = panel.plots.times
    assert 10 ** times[0.5].value() == pytest.approx(view.formed((0.5,)).value[0], rel=1e-6)
    panel.kind_field.value = "light"
    assert 10 ** times[0.5].value() == pytest.approx(view.formed((0.5,), "light").value[0], rel=1e-6)
    panel.mh_field.value = "distribution"
    x, y = panel.plots.curves["mh"].curves[0].getData()
    assert y[::2] == pytest.approx(view.metallicity_distribution("light"))
    assert x[0] == pytest.approx(-2.2)
    panel.mh_field.value = "age"
    assert panel.plots.curves["mh"].curves[0].getData()[1][::2] == pytest.approx(view.mh.value)
    assert any(n.label == "RA, Dec" for n in view.numbers)


def test_boxes_of_quantities_leave_no_holes(qtbot: Any) -> None:
    form = PosteriorForm()
    form.container.native.show()
    for names in (("lg_age_lw", "t10", "t50", "t90"), ("t50", "mh_mw", "ebv"), tuple(form.boxes)):
        form.offer(names)
        QApplication.processEvents()
        rows = [[name for name in names if form.boxes[name] in pair] for pair in form.pairs if pair.native.isVisible()]
        assert [len(row) for row in rows] == [2] * (len(names) // 2) + [1] * (len(names) % 2)
        assert all(form.boxes[name].native.isVisible() == (name in names) for name in form.boxes)
        for row in rows:
            assert len({form.boxes[name].native.mapToGlobal(QPoint(0, 0)).x() for name in row}) == len(row)
    form.container.native.close()


def test_letters_of_a_corner_plot_can_be_read_in_its_window() -> None:
    draws = np.random.default_rng(1).normal(0.3, 0.1, (5, 200))
    figure = draw_corner_page(None, PosteriorDraws(1, dict(zip(DEFAULT_QUANTITIES, draws)), "NGC0000", "wide"))
    texts = [
        *figure.texts,
        *(text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)),
    ]
    texts += [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    pixels = [640 / figure.get_figwidth() * text.get_fontsize() / 72 for text in texts if text.get_text()]
    assert len(pixels) > 20
    assert min(pixels) > 9
