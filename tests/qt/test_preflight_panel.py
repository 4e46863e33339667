"""The preflight in the window: footprints, coverage and notes of the files in the forms; a dropped folder is opened."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QGraphicsPolygonItem
from smooth_result import make_wcs
from window_acts import open_explorer

from napari_sfh._qt import contributions
from napari_sfh._qt.forms import preflight_panel
from napari_sfh._qt.jobs import tasks
from napari_sfh._qt.presenter import REFUSED
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Progress

pytestmark = pytest.mark.usefixtures("discovered")

NY, NX = 6, 8


@pytest.fixture
def galaxy(tmp_path: Path) -> Path:
    """A folder with a cube without STAT, and a mosaic that covers all of it but for bad pixels in one half."""
    folder = tmp_path / "ngc0000"
    folder.mkdir()
    header = make_wcs((NY, NX)).to_header()
    header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=4749.88, CRPIX3=1.0, CD3_3=1.25, WCSAXES=3)
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    data = np.random.default_rng(1).normal(50, 1, (2000, NY, NX)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header, "DATA")]).writeto(folder / "NGC0000_DATACUBE.fits")
    image = make_wcs((40, 50)).to_header()
    image.update(INSTRUME="WFC3", DETECTOR="UVIS", FILTER="F555W", BUNIT="ELECTRONS/S", PHOTFLAM=2e-19, PHOTPLAM=5308.0)
    counts = np.random.default_rng(2).normal(1, 0.1, (40, 50)).astype(np.float32)
    weight = np.ones_like(counts)
    weight[:, :25] = 0
    fits.PrimaryHDU(counts, image).writeto(folder / "ngc0000_uvis_f555w_exp_drc_sci.fits")
    fits.PrimaryHDU(weight, image).writeto(folder / "ngc0000_uvis_f555w_err_drc_wht.fits")
    return folder


@pytest.fixture
def dock(make_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    def cards(progress: ReportProgress, cancel: threading.Event) -> dict[str, str]:
        progress(Progress("weights", 0, 0))
        return {"wide": "# wide"}

    monkeypatch.setattr(tasks, "read_cards", cards)
    return open_explorer(make_viewer())


def looked(qtbot: Any, dock: Any) -> None:
    """Wait until the panel has looked at the files."""
    qtbot.waitUntil(lambda: dock.preflight.up_to_date, timeout=120_000)


def test_a_folder_is_looked_at(qtbot: Any, dock: Any, galaxy: Path) -> None:
    panel = dock.preflight
    assert panel.plot.isHidden()
    dock.open_folder(galaxy)
    looked(qtbot, dock)
    assert dock.message.text().startswith("Ready: press Run.")
    assert "under Data" in dock.message.text()
    assert panel.plot.isVisible()
    items = panel.plot.getPlotItem().items
    assert any(isinstance(item, QGraphicsPolygonItem) for item in items)
    (band,) = panel.found.bands
    assert panel.plot.getPlotItem().listDataItems()[0].opts["pen"].color().name() == band.color
    text = panel.text.text()
    for words in (
        f"F555W (UVIS): {100 * band.coverage:.0f} % of the cube",
        "Field: 48 of 8 x 6 spaxels",
        "PSF: unknown",
        "Redshift: unknown: measured from the spectra",
        "A run takes about",
        "NGC0000_DATACUBE.fits: no STAT: errors are estimated from the spectra themselves",
        "no image of F275W, F336W, F438W, F814W",
        "has good pixels on",
        "no correction; give “E(B−V) MW”",
    ):
        assert words in text, words
    assert 0.2 < band.coverage < 0.8
    assert dock.minimumSizeHint().width() <= 400
    dock.viewer.theme = "light"
    assert panel.plot.backgroundBrush().color().lightness() > 200


def test_it_looks_again_when_a_field_changes(qtbot: Any, dock: Any, galaxy: Path) -> None:
    dock.open_folder(galaxy)
    looked(qtbot, dock)
    first = dock.preflight.found
    dock.data.psf.value = "0.7"
    dock.data.bands["F555W"].line_edit.value = ""
    qtbot.waitUntil(lambda: dock.preflight.found is not first, timeout=120_000)
    looked(qtbot, dock)
    assert dock.preflight.found.bands == ()
    assert dock.preflight.found.facts["psf"] == "0.70 arcsec (given)"
    dock.data.redshift.value = "fast"
    qtbot.waitUntil(lambda: dock.preflight.found is None, timeout=120_000)
    assert "Redshift: 'fast' is not a number" in dock.preflight.text.text().replace("&#x27;", "'")
    assert dock.preflight.plot.isHidden()
    assert dock.message.text() == REFUSED
    dock.data.redshift.value = "0.4"  # too little of the weights' range is in the cube
    qtbot.waitUntil(lambda: dock.preflight.found is not None, timeout=120_000)
    looked(qtbot, dock)
    assert [problem for problem in dock.preflight.found.refusals if "redshift 0.4" in problem]
    assert dock.message.text() == REFUSED
    dock.data.redshift.value = "0.002"
    qtbot.waitUntil(lambda: not dock.preflight.is_refused, timeout=120_000)
    assert dock.message.text().startswith("Ready: press Run.")


def test_it_leaves_a_short_run_alone_and_looks_beside_a_long_one(
    qtbot: Any, dock: Any, galaxy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.open_folder(galaxy)
    looked(qtbot, dock)
    go_on, shown = threading.Event(), []
    dock.start(lambda progress, cancel: go_on.wait(120), shown.append, "Run")
    first = dock.preflight.found
    dock.data.psf.value = "0.7"
    qtbot.wait(2 * preflight_panel.SETTLE_MS)
    assert dock.preflight.found is first
    monkeypatch.setattr(preflight_panel, "LOOK_PATIENCE_S", 0.0)
    looked(qtbot, dock)
    assert dock.preflight.found.facts["psf"] == "0.70 arcsec (given)"
    assert not shown
    go_on.set()
    qtbot.waitUntil(lambda: shown == [True], timeout=60_000)


def test_a_bad_cube_is_told(qtbot: Any, dock: Any, galaxy: Path) -> None:
    dock.open_folder(galaxy)
    looked(qtbot, dock)
    (cube,) = galaxy.glob("*CUBE*")
    cube.write_bytes(cube.read_bytes()[:20000])
    dock.preflight.look()
    qtbot.waitUntil(lambda: "truncated" in dock.preflight.text.text(), timeout=120_000)
    assert dock.preflight.found is None


@pytest.mark.usefixtures("no_window")
def test_a_folder_without_a_window_is_its_white_light(galaxy: Path, tmp_path: Path) -> None:
    viewer = ViewerModel()
    viewer.open(str(galaxy), plugin="napari-sfh")
    assert [layer.name for layer in viewer.layers] == ["NGC0000 white light"]
    assert contributions.get_reader(str(galaxy)) is contributions.read_folder_layers
    empty = tmp_path / "empty"
    empty.mkdir()
    assert contributions.get_reader(str(empty)) is None


def test_a_dropped_folder_is_the_same_as_an_opened_one(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_viewer()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    viewer.open(str(galaxy), plugin="napari-sfh")
    qtbot.waitUntil(lambda: any("SFH explorer" in name for name in viewer.window.dock_widgets), timeout=120_000)
    dock = open_explorer(viewer)
    qtbot.waitUntil(lambda: dock.data.has_input and not (dock.busy or dock.loading), timeout=120_000)
    assert dock.data.folder.line_edit.value == str(galaxy)
    assert list(dock.data.photometry) == ["F555W"]
    assert [layer.name for layer in viewer.layers] == ["NGC0000 white light"]
    assert dock.run_button.enabled
    looked(qtbot, dock)


def type_folder(dock: Any, path: Path) -> None:
    """As by hand: the field is emptied, the path is typed, Return."""
    line = dock.data.folder.line_edit.native
    line.selectAll()
    QTest.keyClicks(line, str(path))
    QTest.keyClick(line, Qt.Key.Key_Return)


def test_a_folder_that_is_typed_is_taken_whole_and_the_form_is_of_one_galaxy(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, tmp_path: Path
) -> None:
    dock = open_explorer(make_viewer())
    dock.data.ebv_mw.value = "0.07"  # before any galaxy: meant for the first
    type_folder(dock, galaxy)
    qtbot.waitUntil(lambda: dock.data.has_input and not (dock.busy or dock.loading), timeout=120_000)
    assert dock.data.folder.line_edit.value == str(galaxy)
    assert dock.data.ebv_mw.value == "0.07"
    empty = tmp_path / "empty"
    empty.mkdir()
    type_folder(dock, empty)
    qtbot.waitUntil(lambda: "no usable" in dock.message.text(), timeout=120_000)
    assert not dock.data.has_input  # not the files of one galaxy under the name of another
    assert not dock.run_button.enabled
    type_folder(dock, tmp_path / "nowhere")
    assert "no such folder" in dock.message.text()
    type_folder(dock, galaxy)
    qtbot.waitUntil(lambda: dock.data.has_input and not (dock.busy or dock.loading), timeout=120_000)
    other = tmp_path / "NGC0001"
    shutil.copytree(galaxy, other)
    dock.data.ebv_mw.value = "0.07"
    type_folder(dock, other)
    qtbot.waitUntil(lambda: dock.data.has_input and not (dock.busy or dock.loading), timeout=120_000)
    assert dock.data.ebv_mw.value == ""
    looked(qtbot, dock)
    assert "emptied" in dock.preflight.text.text()


def test_another_cube_of_the_file_is_chosen_in_the_form(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, tmp_path: Path
) -> None:
    """Two galaxies in one file, the second 100 times as bright; another file begins with its first again."""
    cube = galaxy / "NGC0000_DATACUBE.fits"
    with fits.open(cube) as hdus:
        images = [fits.ImageHDU(hdus[1].data * 100**k, hdus[1].header, name=f"IFU.{k + 1}.DATA") for k in (0, 1)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(cube, overwrite=True)
    dock = open_explorer(make_viewer())

    def level() -> float:
        qtbot.waitUntil(
            lambda: not (dock.busy or dock.loading) and dock.stack.find("white") is not None, timeout=120_000
        )
        return float(np.nanmedian(dock.stack.find("white").data))

    dock.data.cube.line_edit.value = str(cube)
    first = level()
    dock.data.hdu.value = "IFU.2.DATA"
    dock.data.hdu.native.editingFinished.emit()
    qtbot.waitUntil(lambda: dock.presenter.hdu == "IFU.2.DATA", timeout=120_000)
    assert level() > 50 * first
    assert dock.data.values()["hdu"] == "IFU.2.DATA"
    other = shutil.copy(cube, tmp_path / "other.fits")
    dock.data.cube.line_edit.value = str(other)
    qtbot.waitUntil(lambda: dock.presenter.hdu is None, timeout=120_000)
    assert level() == pytest.approx(first, rel=0.01)
    assert dock.data.hdu.value == ""
