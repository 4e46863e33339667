"""A workspace brings back everything of the window, says what has gone, and opens what older programs wrote."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import write_cube
from smooth_result import make_result
from window_acts import at_once, open_explorer

from napari_sfh._qt.jobs import tasks
from napari_sfh.analysis.comparison import ppxf_fit, ppxf_json
from napari_sfh.analysis.comparison.ppxf_fit import PpxfFit
from napari_sfh.analysis.disc import Disc
from napari_sfh.analysis.gas import line_maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result, write_result
from napari_sfh.io.workspaces import Workspace, hash_result, read_workspace, write_workspace
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import Result

REGION = np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]])


def rest(qtbot: Any, dock: Any) -> None:
    """Wait until nothing runs and all layers are there."""
    qtbot.waitUntil(lambda: not dock.job.running and not dock.loading, timeout=200_000)
    qtbot.wait(50)


def mosaic(path: Path, result: Result, band: str) -> Path:
    """A mosaic of 0.1", north up, with a gradient."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 80.5, "CRPIX2": 80.5})
    header.update(CRVAL1=result.wcs.wcs.crval[0], CRVAL2=result.wcs.wcs.crval[1], EXPTIME=2000.0, FILTER=band)
    header.update(CD1_1=-0.1 / 3600, CD1_2=0.0, CD2_1=0.0, CD2_2=0.1 / 3600, INSTRUME="WFC3", DETECTOR="UVIS")
    header.update(BUNIT="ELECTRONS/S", PHOTFLAM=1e-19, PHOTPLAM=5000.0)
    data = 1.0 + np.add.outer(np.arange(160.0), np.zeros(160)) / 100
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(path)
    return path


def maps_file(path: Path, result: Result) -> Path:
    """A MAPS file with four lines on the result's grid."""
    shape, header = result.bins.bin_id.shape, result.wcs.to_header()
    hdus = [fits.PrimaryHDU(), fits.ImageHDU((result.bins.bin_id - 1).astype(float), header, "BIN_ID")]
    hdus += [fits.ImageHDU(np.zeros(shape), header, name) for name in ("V_STARS", "SIGMA_STARS")]
    for name, flux in {"HA6562": 300, "HB4861": 90, "OIII5006": 45, "NII6583": 90}.items():
        values = np.full(shape, flux, np.float32) * np.linspace(0.5, 1.5, shape[1], dtype=np.float32)
        hdus += [fits.ImageHDU(values, header, f"{name}_FLUX")]
        hdus += [fits.ImageHDU(np.full(shape, 3.0), header, f"{name}_FLUX_ERR")]
    fits.HDUList(hdus).writeto(path)
    return path


def fit_of(result: Result, bin_id: int) -> PpxfFit:
    """What pPXF might say of a bin; no age bin without mass but one."""
    row, prediction = bin_id - 1, result.prediction
    means = {k: float(prediction.median(k)[row]) + 0.1 for k in MEAN_NAMES}
    mass, light, mh = (np.asarray(getattr(prediction, k)[row], float) for k in ("mass_frac", "light_frac", "mh"))
    model = result.model_flux[row].astype(float)
    return PpxfFit(
        bin_id, mass, light, np.where(mass > mass.min(), mh, np.nan), means, 0.1, np.nan, np.nan, 1.1, model,
        np.array([0.4, 0.6, 1.0, 1.0, np.nan]), 3.5,
    )  # fmt: skip


@pytest.fixture
def galaxy(tmp_path: Path, result: Result) -> Path:
    """A folder with a result, another answer, two mosaics and a MAPS file."""
    folder = tmp_path / "galaxy"
    folder.mkdir()
    write_result(result, folder / "sfh.fits")
    write_result(replace(make_result(), model_name="other"), folder / "other.fits")
    for band in ("F814W", "F438W"):
        mosaic(folder / f"{band.lower()}.fits", result, band)
    maps_file(folder / "maps.fits", result)
    return folder


def dress_up(qtbot: Any, dock: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something with every tool."""
    dock.open(folder / "sfh.fits")
    rest(qtbot, dock)
    tools, session = dock.tools, dock.session
    dock.data.maps.line_edit.value = str(folder / "maps.fits")
    session.select(6)
    session.toggle_pinned(3)
    session.toggle_compared(9)
    monkeypatch.setattr(ppxf_fit, "run_in_process", at_once(fit_of(session.result, 6)))
    tools["ppxf"].fit(6)
    rest(qtbot, dock)
    tools["ppxf"].kind.value = "light"
    tools["composite"].form.brightness.value = 1.5
    tools["composite"].show_mosaics({b: folder / f"{b.lower()}.fits" for b in ("F814W", "F438W")})
    rest(qtbot, dock)
    tools["composite"].show_contours("HA6562", 4)
    rest(qtbot, dock)
    tools["lines"].load(folder / "maps.fits")
    rest(qtbot, dock)
    tools["lines"].plot()
    tools["gradient"].set_disc(Disc(24.174, 15.783, 30.0, 40.0, 2.0, 9.8))
    tools["gradient"].form.trusted.value = False
    tools["gradient"].form.r_max.value = 9.0
    tools["gradient"].fit()
    rest(qtbot, dock)
    tools["gradient"].quantity.value = "MH_LW"
    tools["region"].region.set_outlines([Outline(REGION)])
    tools["compare"].load(folder / "other.fits")
    rest(qtbot, dock)
    tools["compare"].form.mean.value = "MH_MW"
    tools["compare"].form.min_snr.value = 25
    tools["compare"].form.difference.value = True
    tools["compare"].kind.value = "light"
    dock.map.min_snr.value = 22
    tools["gradient"].section.expand(True)
    rest(qtbot, dock)
    dock.viewer.scene.camera.zoom = 31.0


def check_what_has_gone(qtbot: Any, dock: Any, folder: Path) -> None:
    """What has gone is said, and the rest is there."""
    for name in ("other.fits", "f438w.fits", "maps.fits"):
        (folder / name).unlink()
    dock.open(folder / "work.json")
    rest(qtbot, dock)
    said = dock.message.text()
    assert all(str(folder / name) in said for name in ("other.fits", "f438w.fits", "maps.fits"))
    assert said.count("put it back") == 3
    assert dock.is_error
    assert dock.session.shown == (6, 3, 9)
    assert dock.tools["composite"].field.bands == ("F814W",)
    assert dock.tools["gradient"].found
    assert list(dock.tools["ppxf"].fits) == [6]
    assert dock.map.min_snr.value == 22
    assert dock.tools["compare"].comparison is None


@pytest.mark.usefixtures("default_weights")
def test_everything_comes_back_but_what_has_gone(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dock = open_explorer(make_viewer())
    dress_up(qtbot, dock, galaxy, monkeypatch)
    dock.save_workspace(galaxy / "work.json")
    rest(qtbot, dock)
    kept = dock.files.capture()
    assert (galaxy / "work.json").stat().st_size < 60_000
    assert str(tmp_path) not in (galaxy / "work.json").read_text(encoding="utf-8")
    monkeypatch.setattr(ppxf_fit, "run_in_process", lambda *_: pytest.fail("a kept fit is made again"))

    moved = galaxy.rename(tmp_path / "moved")
    other = open_explorer(make_viewer())
    other.open(moved / "work.json")
    rest(qtbot, other)
    assert not other.is_error, other.message.text()
    again, tools = other.files.capture(), other.tools
    assert other.session.state() == kept.session
    assert {key: kept.session[key] for key in ("selected", "compared", "pinned")} == {
        "selected": 6,
        "compared": [9],
        "pinned": [3],
    }
    assert not kept.session["plot_region"]
    assert tools["compare"].comparison.other.name == "other (other.fits)"
    assert tools["compare"].layer.name.startswith("MW [M/H]: test − other")
    assert not other.stack.find("map", "AGE_LW").visible
    assert tools["composite"].layer.visible
    assert tools["composite"].field.bands == dock.tools["composite"].field.bands
    assert len(other.stack.find("contours", "HA6562").data) == len(dock.stack.find("contours", "HA6562").data) > 0
    assert tools["gradient"].found["AGE_LW"].slope == dock.tools["gradient"].found["AGE_LW"].slope
    assert tools["gradient"].quantity.value == "MH_LW"
    assert line_maps.list_line_maps(tools["lines"].lines) == line_maps.list_line_maps(dock.tools["lines"].lines)
    assert other.session.region.name == "region"
    assert other.viewer.scene.camera.zoom == 31.0
    before, fit = dock.tools["ppxf"].fits[6], tools["ppxf"].fits[6]
    np.testing.assert_allclose(fit.model, before.model, rtol=1e-6)
    np.testing.assert_allclose(fit.mh, before.mh, rtol=1e-6)
    assert fit.means == before.means
    assert np.isnan(fit.gas_v_kms)
    assert "pPXF" in tools["ppxf"].legend.text()
    text = json.dumps(again.tools, default=str).replace(str(moved), str(galaxy))
    assert json.loads(text) == json.loads(json.dumps(kept.tools, default=str))
    for block in ("session", "canvas"):
        assert getattr(again, block) == getattr(kept, block), block
    other.show_result(make_result(seed=3))
    rest(qtbot, other)
    check_what_has_gone(qtbot, other, moved)


@pytest.mark.parametrize("damaged", ["result", "cube"])
def test_a_damaged_file_of_a_workspace_is_told_and_the_rest_is_opened(tmp_path: Path, damaged: str) -> None:
    """Nothing was opened, where a missing file leaves the rest: what was shown before stayed."""
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"garbage")
    cube = bad if damaged == "cube" else write_cube(tmp_path / "cube.fits")
    kept = Workspace(bad if damaged == "result" else None, 16, forms={"data": {"cube": cube}}, session={"selected": 3})
    path = write_workspace(kept, tmp_path / "work.json")
    opened = tasks.open_workspace(lambda _: None, threading.Event(), path)
    assert opened.workspace.session == {"selected": 3}
    assert opened.shown is None
    assert (opened.galaxy is None) == (damaged == "cube")
    (note,) = opened.notes
    assert all(word in note for word in (damaged, str(bad), "Run" if damaged == "result" else "Data"))


@pytest.mark.usefixtures("default_weights")
@pytest.mark.slow
def test_a_result_that_was_moved_is_found_or_can_be_pointed_to(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, result: Result
) -> None:
    dock = open_explorer(make_viewer())
    dock.open(galaxy / "sfh.fits")
    rest(qtbot, dock)
    dock.session.select(6)
    dock.show_map("SNR")
    dock.save_workspace(galaxy / "work.json")
    rest(qtbot, dock)
    away = galaxy / "away"
    away.mkdir()
    (galaxy / "sfh.fits").rename(away / "moved.fits")
    dock.open(galaxy / "work.json")
    rest(qtbot, dock)
    assert "sfh.fits is missing" in dock.message.text()
    dock.refresh()
    dock.network.model.changed.emit(dock.network.model.value)  # as when the weights have been read
    assert "sfh.fits is missing" in dock.message.text(), "it was wiped out"
    dock.session.select(3)
    dock.show_map("AGE_LW")
    dock.open(away / "moved.fits")
    rest(qtbot, dock)
    assert dock.session.shown == (6,)
    assert dock.stack.current == "SNR"
    # Both moved together.
    (away / "moved.fits").rename(away / "sfh.fits")
    content = json.loads((galaxy / "work.json").read_text())
    content["result"]["path"] = "gone/sfh.fits"
    (away / "work.json").write_text(json.dumps(content))
    dock.open(away / "work.json")
    rest(qtbot, dock)
    assert dock.files.result_path == away / "sfh.fits"


@pytest.mark.slow
def test_four_maps_with_the_mosaics_that_they_hide(
    qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path, result: Result
) -> None:
    """In the grid, HST is put away; a workspace knows that it is shown, and brings it back with the one map."""
    dock = open_explorer(make_viewer())
    dock.open(galaxy / "sfh.fits")
    rest(qtbot, dock)
    dock.tools["composite"].show_mosaics({"F814W": galaxy / "f814w.fits"})
    rest(qtbot, dock)
    dock.map.grid.value = True
    rest(qtbot, dock)
    dock.save_workspace(galaxy / "work.json")
    rest(qtbot, dock)
    dock.map.grid.value = False
    rest(qtbot, dock)
    dock.open(galaxy / "work.json")
    rest(qtbot, dock)
    assert dock.viewer.canvas.grid.enabled
    assert not dock.tools["composite"].layer.visible
    dock.map.grid.value = False
    rest(qtbot, dock)
    assert dock.tools["composite"].layer.visible
    assert dock.stack.find("white").visible


def test_a_workspace_of_the_first_program(qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path) -> None:
    """Written before comparisons, contours and fits were kept: it opens, and what it does not name stays as it is."""
    old = {
        "kind": "napari-sfh workspace",
        "version": 1,
        "result": {"path": "sfh.fits", "bins": 12},
        "session": {"selected": 4, "compared": [7]},
        "canvas": {"camera": {"center": [0.0, 0.5, 0.5], "zoom": 20.0}, "layers": {}, "map": "AGE_LW"},
        "tools": {
            "maps": {"quantity": "MH_LW", "error": False, "grid": False, "unfolded": True},
            "compare": {"file": {"path": "other.fits"}, "mean": "MH_MW", "min_snr": 5, "unfolded": False},
            "composite": {"shown": False, "brightness": 2.0, "contours": "none", "levels": 5},
            "gradient": {"centre": "24.174 15.783", "pa": 20.0, "ellipse": False, "unfolded": True},
            "ppxf": {"regularisation": 0.05},
            "posterior": {"names": ["lg_age_mw"]},
        },
    }
    (galaxy / "old.json").write_text(json.dumps(old), encoding="utf-8")
    dock = open_explorer(make_viewer())
    dock.open(galaxy / "old.json")
    rest(qtbot, dock)
    assert dock.session.shown == (4, 7)
    assert dock.stack.find("map", "MH_LW").visible
    assert dock.tools["compare"].form.file.line_edit.value == str(galaxy / "other.fits")
    assert dock.tools["compare"].comparison is None
    assert dock.tools["compare"].form.min_snr.value == 5
    assert dock.tools["composite"].layer is None
    assert dock.tools["gradient"].form.pa.value == 20.0, "opening the section does not guess over what is typed"
    assert dock.tools["ppxf"].form.regularisation.value == 0.05
    assert not dock.tools["ppxf"].fits


def test_damage_is_told_and_does_no_harm(qtbot: Any, make_viewer: Callable[..., Any], galaxy: Path) -> None:
    tools = {
        "region": {"outlines": [{"points": "none"}]},
        "gradient": {"pa": "north"},
        "maps": {"min_snr": 30},
        "ppxf": {"fits": [{"bin_id": 2}, {"bin_id": 3}]},
    }
    work = Workspace(galaxy / "sfh.fits", 16, forms={"binning": {"target_snr": "many"}}, tools=tools)
    dock = open_explorer(make_viewer())
    dock.open(write_workspace(work, galaxy / "bad.json"))
    rest(qtbot, dock)
    said = dock.message.text()
    for part in (
        "workspace: its form binning is damaged",
        "workspace: what it keeps of Region is damaged",
        "workspace: what it keeps of Gradient is damaged",
        "pPXF: a kept fit is damaged ('mass_frac'); fit the bin again (and 1 more).",
    ):
        assert part in said
    assert dock.map.min_snr.value == 30


def test_a_result_that_was_written_anew_since_is_told(result: Result, tmp_path: Path) -> None:
    """Its bins are as many, and its values others."""

    def open_again() -> tuple[str, ...]:
        return tasks.open_workspace(lambda _: None, threading.Event(), tmp_path / "w.json").notes

    path = write_result(result, tmp_path / "r.fits")
    write_workspace(Workspace(path, result.bins.n_bins, hash_result(result)), tmp_path / "w.json")
    assert open_again() == ()
    prediction = replace(result.prediction, ood=result.prediction.ood * np.float32(0.9))
    write_result(replace(result, prediction=prediction), path)
    (note,) = open_again()
    assert "r.fits has been written anew" in note


def test_a_fit_is_of_its_own_spectrum(result: Result, tmp_path: Path) -> None:
    """Also of the one that comes back from a file; not of another run's."""
    kept = json.loads(json.dumps(ppxf_json.encode_ppxf_fit(fit_of(result, 5), result)))
    back = ppxf_json.decode_ppxf_fit(kept, read_result(write_result(result, tmp_path / "r.fits")))
    np.testing.assert_allclose(back.mass_frac, fit_of(result, 5).mass_frac, rtol=1e-6)
    assert np.isnan(back.gas_v_kms)
    assert np.isnan(back.phot_model[-1])
    for other in (make_result(seed=9), make_result(n_side=1)):
        with pytest.raises(SfhInputError, match="kept fit of bin 5 is of another spectrum; fit the bin again"):
            ppxf_json.decode_ppxf_fit(kept, other)
    with pytest.raises(SfhInputError, match=r"a kept fit is damaged .*; fit the bin again"):
        ppxf_json.decode_ppxf_fit({**kept, "model": "§"}, result)


def test_nothing_that_json_does_not_know(tmp_path: Path) -> None:
    path = write_workspace(
        Workspace(tools={"x": {"a": float("nan"), "b": np.float32(np.inf), "c": 1.5}}), tmp_path / "w.json"
    )
    assert read_workspace(path).tools["x"] == {"a": None, "b": None, "c": 1.5}
    shutil.copy(path, tmp_path / "copy.json")
    assert read_workspace(tmp_path / "copy.json").tools == read_workspace(path).tools
