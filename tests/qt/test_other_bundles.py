"""Every shipped bundle by the command line, then in the window, on an input of its kind: histories, scalars, rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from nircam_mosaics import RATIOS, write_infrared_folder
from painted_cube import Paint, PaintedCube, write_painted_cube
from qtpy.compat import isalive
from qtpy.QtCore import QPointF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from window_acts import click, lasso, native_canvas, open_explorer, window

from napari_sfh import demo
from napari_sfh.analysis.gradients import GRADIENT_QUANTITIES
from napari_sfh.analysis.maps import SCALAR_MAPS, list_result_maps
from napari_sfh.analysis.regions import Outline
from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header
from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.io.results import read_result
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.quantities import QUANTITIES

pytestmark = pytest.mark.filterwarnings("ignore")
SHIPPED = sorted(list_bundles())
CUBES = [
    name
    for name in ("wide", "phangs", "galceran2026", "four_branch", "phangs-jwst", "narrowband-muse", "percentiles")
    if name in SHIPPED
]
#: Rows and columns of the mock that are enough for maps.
PIECE = slice(20, 40), slice(20, 40)
IMAGES = [name for name in ("narrowband", "jpas", "jpas-realistic") if name in SHIPPED]


def write_images(bundle: str, folder: Path) -> dict[str, Path]:
    """Images of the bands of weights: a population's slope with a gradient across the field; band to file."""
    instrument = read_bundle_header(bundle).instrument
    rng = np.random.default_rng(5)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [-1e-4, 1e-4]
    slope = np.linspace(-0.5, 0.5, 9)[None, :] * np.ones((8, 1))
    paths = {}
    for made in make_band_filters(instrument):
        flux = 1e-17 * (made.pivot_aa / 6000.0) ** slope * (1 + 0.01 * rng.standard_normal((8, 9)))
        image = fits.ImageHDU(flux, wcs.to_header(), name="SCI")
        image.header["BUNIT"] = "erg/s/cm2/AA"
        error = fits.ImageHDU(np.full((8, 9), 2e-19), name="ERR")
        path = folder / f"{made.name}.fits"
        fits.HDUList([fits.PrimaryHDU(), image, error]).writeto(path)
        paths[made.name] = path
    return paths


def write_catalogue(folder: Path, rows: int = 30, sky: bool = False, model: str = "jpas") -> Path:
    """Estimates of a catalogue by weights for J-PAS bands."""
    rng = np.random.default_rng(1)
    filters = make_band_filters(load_instrument("jpas"))
    slope = rng.uniform(-4, 2, rows)
    table = Table({"ID": [f"J{k:03d}" for k in range(rows)]})
    if sky:
        table["RA"], table["DEC"] = 150 + rng.uniform(-0.1, 0.1, rows), 2 + rng.uniform(-0.1, 0.1, rows)
    for made in filters:
        table[f"mag_{made.name}"] = 19 + slope * np.log10(made.pivot_aa / 7000.0)
        table[f"mag_{made.name}_err"] = np.full(rows, 0.05)
    source, out = folder / "in.fits", folder / "out.fits"
    table["Z_SPEC"] = np.zeros(rows)
    table.write(source)
    redshift = [] if model == "jpas" else ["--redshift-column", "Z_SPEC"]
    assert main(["estimate", str(source), "--model", model, *redshift, "--output", str(out), "--quiet"]) == 0
    return out


def write_spectra(folder: Path) -> Path:
    """Estimates of single spectra by the weights for formation times."""
    wave = np.arange(3600.0, 7400.0, 1.5)
    paths = []
    for k in range(4):
        flux = np.interp(wave, [3600, 4000, 5500, 7400], [0.5 + 0.1 * k, 0.8 + 0.05 * k, 1.2, 1.3])
        paths.append(folder / f"s{k}.txt")
        np.savetxt(paths[-1], np.column_stack([wave, flux, 0.02 * flux]))
    out = folder / "times.ecsv"
    arguments = [*map(str, paths), "--model", "percentiles", "--redshift", "0", "--sigma", "200", "--quiet"]
    assert main(["estimate", *arguments, "--output", str(out)]) == 0
    return out


def test_every_shipped_bundle_has_its_input_here() -> None:
    assert set(SHIPPED) == {*CUBES, *IMAGES}


@pytest.fixture
def dock(make_viewer: Callable[..., Any]) -> Any:
    return open_explorer(make_viewer(1280, 720))


def open_in(dock: Any, path: Path) -> None:
    dock.open(path)
    dock.finish(120)
    QApplication.processEvents()


def use_result(dock: Any, folder: Path, every_map: bool) -> None:
    """Click, map switch, grid, posterior, figure and table; nothing of it fails."""
    session, viewer = dock.session, dock.viewer
    click(viewer, session, session.n_bins // 2 + 1)
    assert session.selected == session.n_bins // 2 + 1
    for name in list_result_maps(session.result) if every_map else (*dock.stack.display.main_maps, "OOD", "FLAG"):
        dock.show_map(name)
        assert dock.stack.find("map", name).visible
    dock.stack.display.toggle_grid(True)
    assert sum(layer.visible for layer in viewer.layers) == len(dock.stack.display.main_maps)
    dock.stack.display.toggle_grid(False)
    if dock.session.result.prediction.has_histories:
        return  # their pages and tables are tested elsewhere
    dock.exports.save_plots(folder / "bins.png", session.views())
    dock.exports.save_plots(folder / "maps.png", [])
    dock.exports.save_table(folder / "bins.ecsv", session.views())
    dock.exports.save_table(folder / "all.ecsv", None)
    dock.finish(120)
    assert all((folder / name).stat().st_size > 500 for name in ("bins.png", "maps.png", "bins.ecsv", "all.ecsv"))


#: What `use_tools` saves.
SAVED = ("gradient.pdf", "compare.ecsv", "compare.png", "bin.ecsv", "region.reg")


def use_tools(dock: Any, path: Path, folder: Path) -> None:
    """Gradient, comparison with itself and region of a result, and what they save; nothing of it fails."""
    tools, session = dock.tools, dock.session
    tools["gradient"].form.trusted.value = False  # what is painted here may be like no galaxy
    tools["gradient"].form.r_max.value = 20.0
    tools["gradient"].fit()
    dock.finish(120)
    fitted = [key for key, *_ in GRADIENT_QUANTITIES.values() if key in session.result.prediction.quantiles]
    assert len(tools["gradient"].found) == len(fitted) > 0
    for name in tools["gradient"].found:
        tools["gradient"].quantity.value = name
        assert QUANTITIES[GRADIENT_QUANTITIES[name][0]].unit in tools["gradient"].plot.plot.getAxis("left").labelText
    tools["gradient"].save(folder / "gradient.pdf")
    dock.finish(120)
    tools["compare"].load(path)
    dock.finish(120)
    compared = tools["compare"]
    assert set(SCALAR_MAPS.values()) & set(session.result.prediction.quantiles) == set(compared.comparison.means)
    for name in (name for name, key in SCALAR_MAPS.items() if key in compared.comparison.means):
        compared.show_mean(name)
        compared.form.difference.value = True
        dock.finish(120)
        assert np.nanmax(np.abs(compared.layer.data)) == 0
    compared.form.difference.value = False
    compared.save_figure(folder / "compare.png")
    dock.finish(120)
    compared.save_bin(folder / "bin.ecsv")
    dock.finish(120)
    tools["compare"].save_table(folder / "compare.ecsv")
    rows, columns = np.nonzero(session.result.bins.bin_id > 0)
    low, high = np.array([rows.min(), columns.min()]) - 0.5, np.array([rows.max(), columns.max()]) + 0.5
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
    tools["region"].region.set_outlines([Outline(corners)])
    dock.finish(120)
    assert session.region is not None
    tools["region"].save(folder / "region.reg")
    dock.finish(120)
    tools["region"].clear()
    assert all((folder / name).stat().st_size > 80 for name in SAVED)


def run_on_cube(name: str, folder: Path, whole: bool) -> Path:
    """The result file of weights on the mock's cube, or on a piece of it, by the command line."""
    galaxy = demo.find_demo_folder() if whole else demo.write_demo_cutout(folder / f"galaxy-{name}", PIECE)
    (cube,) = galaxy.glob("*DATACUBE*")
    words = ["--target-snr", "400"]
    if name == "percentiles":  # beyond MUSE's range
        first, last = 3540.0, 7410.0
        paint = Paint(first, last, 2, (7, 8))
        cube, bins, _ = write_painted_cube(folder, paint, PaintedCube(fwhm_aa=2.6), first, last)
        words = ["--redshift", "0.002", "--kinematics", "0,60", "--lsf", "2.6", "--binning", str(bins)]
    elif load_bundle(name).instrument.spectrum is not None:
        words += ["--kinematics", "0,60"]
    return run_command(name, folder, ["--cube", str(cube), *words])


def run_on_images(name: str, folder: Path) -> Path:
    """The result file of weights on band images, by the command line."""
    images = folder / f"images-{name}"
    images.mkdir()
    words = [f"{band}={path}" for band, path in write_images(name, images).items()]
    return run_command(name, folder, ["--redshift", "0", "--target-snr", "50", "--images", *words])


def run_command(name: str, folder: Path, words: list[str]) -> Path:
    out = folder / f"{name}.fits"
    assert main(["run", "--model", name, "--quiet", *words, "--output", str(out)]) == 0
    return out


#: All tools take a small field: figures of the whole mock galaxy would take half a minute.
@pytest.mark.usefixtures("page_at_once")
@pytest.mark.parametrize(
    ("names", "with_tools"),
    [
        (("narrowband-muse", "jpas"), ()),
        pytest.param((*CUBES, *IMAGES), (*CUBES, *IMAGES), marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
    ],
)
def test_weights_on_maps_one_after_the_other(
    dock: Any, tmp_path: Path, names: tuple[str, ...], with_tools: tuple[str, ...]
) -> None:
    paths = {name: run_on_cube(name, tmp_path, whole=name in with_tools) for name in CUBES if name in names}
    paths |= {name: run_on_images(name, tmp_path) for name in IMAGES if name in names}
    for name, path in paths.items():
        open_in(dock, path)
        result = read_result(path)
        use_result(dock, tmp_path, name in with_tools)
        if name in with_tools:
            use_tools(dock, path, tmp_path)
        scalars = not result.prediction.has_histories
        assert dock.panel.estimates.isVisible() == scalars
        assert dock.sections["ppxf"].isVisibleTo(dock) == (not scalars)
        assert ("V" in dock.map.quantity.choices) == (result.instrument.spectrum is not None)
        if scalars:
            dock.tools["posterior"].draw()
            dock.finish(120)
            assert set(dock.tools["posterior"].shown.draws.values) == set(result.prediction.scalars)
            dock.tools["posterior"].close_window()
            assert dock.panel.estimates.names == result.prediction.scalars


def type_into(field: Any, text: str) -> None:
    """Type a path into a field for files in place of what it holds, and press Return."""
    line = field.line_edit.native
    line.setFocus()
    line.selectAll()
    QTest.keyClick(line, Qt.Key.Key_Delete)
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)
    QApplication.processEvents()


def read_band_flux(path: Path) -> Any:
    """Values of an image in its unit."""
    with fits.open(path) as hdus:
        return np.asarray(hdus["SCI"].data, float)


def find_loneliest(x: Any, y: Any) -> int:
    """The row whose point is farthest from its nearest neighbour, in units of the spread."""
    points = np.column_stack([(v - np.nanmean(v)) / np.nanstd(v) for v in (x, y)])
    apart = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return int(np.nanargmax(apart.min(1)))


@pytest.mark.parametrize(("sky", "model"), [(False, "jpas-realistic"), (True, "jpas")])
def test_a_catalogue_is_linked_in_table_plot_and_sky(dock: Any, tmp_path: Path, sky: bool, model: str) -> None:
    open_in(dock, write_catalogue(tmp_path, sky=sky, model=model))
    catalogue, panel = dock.catalogue, dock.catalogue.panel
    assert panel.isVisible()
    assert bool(len(dock.viewer.layers)) == sky
    seen = [name for name, section in dock.sections.items() if section.isVisible()]
    assert seen == ["data"], "what needs a galaxy has gone"
    # A click on a line of the table.
    place = panel.view.visualRect(panel.model.index(4, 0)).center()
    QTest.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert catalogue.selection.rows == (4,)
    assert "J004" in panel.words.text()
    # A click on a point of the plot.
    columns = [panel.selection.table.read_numbers(str(f.value)) for f in (panel.x_field, panel.y_field)]
    row = find_loneliest(*columns)
    x, y = (column[row] for column in columns)
    plot = panel.scatter
    QApplication.processEvents()
    here = plot.mapFromScene(plot.box.mapViewToScene(QPointF(float(x), float(y))))
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=here)
    assert len(catalogue.selection.rows) == 1
    chosen = catalogue.selection.rows[0]
    assert chosen == row
    lines = {index.row() for index in panel.view.selectionModel().selectedRows()}
    assert {int(panel.model.order[line]) for line in lines} == {chosen}
    # A lasso around all.
    lasso(plot, plot.box, [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)])
    assert len(catalogue.selection.rows) > 25
    if sky:
        (layer,) = dock.viewer.layers
        assert set(layer.selected_data) == set(catalogue.selection.rows)
        layer.selected_data = {2, 3}
        assert catalogue.selection.rows == (2, 3)
    catalogue.save_rows(tmp_path / "rows.ecsv")
    catalogue.draw_posterior()
    dock.finish(120)
    assert dock.tools["posterior"].shown.draws.source == "out.fits"
    assert dock.tools["posterior"].shown.draws.name.startswith("J0")
    dock.tools["posterior"].close_window()
    saved = Table.read(tmp_path / "rows.ecsv", format="ascii.ecsv")
    assert len(saved) == len(catalogue.selection.rows)


def test_the_canvas_comes_back_after_catalogues(dock: Any, tmp_path: Path, result: Any, qtbot: Any) -> None:
    catalogue = write_catalogue(tmp_path)
    dock.show_result(result)
    assert dock.wait(60)
    height = native_canvas(dock.viewer).height()
    open_in(dock, catalogue)
    gone = dock.catalogue.panel  # Python knows it when Qt has ended it
    open_in(dock, catalogue)
    qtbot.waitUntil(lambda: not isalive(gone), timeout=5000)
    window(dock.viewer).activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None, timeout=5000)
    dock.sections["data"].expand(True)
    for widget in (dock.data.redshift.native, native_canvas(dock.viewer)):
        widget.setFocus()  # what listens to the keyboard's moves knows that the first panel is gone
        qtbot.waitUntil(widget.hasFocus, timeout=5000)
    dock.show_result(result)
    assert dock.wait(60)
    qtbot.waitUntil(lambda: native_canvas(dock.viewer).height() > 0.8 * height, timeout=5000)
    assert native_canvas(dock.viewer).isVisible()


def test_times_of_spectra_are_a_curve_and_sort(dock: Any, tmp_path: Path) -> None:
    open_in(dock, write_spectra(tmp_path))
    panel = dock.catalogue.panel
    assert panel.estimates.names[:9] == tuple(f"t{p}" for p in range(10, 100, 10))
    assert list(panel.model.order) == [0, 1, 2, 3]
    column = panel.model.columns.index("T50")
    panel.view.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    sorted_times = panel.selection.table.read_numbers("T50")[panel.model.order]
    assert (np.diff(sorted_times) <= 0).all()
    panel.corner_button.native.click()
    dock.wait(120)
    assert "spectra" in dock.message.text()


def test_weights_for_bands_run_from_the_form_on_a_folder_of_images(dock: Any, tmp_path: Path, qtbot: Any) -> None:
    """As a user does: folder, weights, Run; the preflight and the button follow, and a picture stands for a cube."""
    folder = tmp_path / "field"
    folder.mkdir()
    write_images("narrowband", folder)
    qtbot.waitUntil(lambda: "narrowband" in dock.network.model.choices, timeout=60000)
    type_into(dock.data.folder, str(folder))
    with pytest.raises(SfhInputError, match="no usable integral-field cube"):  # `wide` needs one
        dock.finish(120)
    assert not dock.run_button.enabled
    dock.network.model.value = "narrowband"
    dock.finish(120)
    assert dock.run_button.enabled
    assert dock.data.images.visible
    white = dock.stack.find("white")
    assert white.visible
    middle = read_band_flux(folder / "J0550.fits")
    np.testing.assert_allclose(white.data / white.data.mean(), middle / middle.mean(), rtol=0.1)
    assert white.contrast_limits[1] - white.contrast_limits[0] > 0.001  # the canvas tells no smaller numbers apart
    assert tuple(dock.viewer.scene.camera.orientation2d) == ("up", "left")
    assert "34 of 34" in dock.data.images.value
    qtbot.waitUntil(lambda: dock.preflight.found is not None, timeout=120_000)
    assert dock.preflight.found.facts["images"].startswith("34 of 34 bands")
    assert not dock.preflight.plot.isVisible()
    dock.network.model.value = "wide"
    assert not dock.run_button.enabled  # it needs spectra
    dock.network.model.value = "narrowband"
    dock.finish(120)
    QTest.mouseClick(dock.run_button.native, Qt.MouseButton.LeftButton)
    dock.finish(120)
    assert dock.session.result.prediction.scalars == ("lg_age_lw", "mh_lw")
    assert np.isfinite(dock.session.result.prediction.median("lg_age_lw")).all()


def test_nircam_mosaics_are_found_when_their_weights_are_chosen(dock: Any, tmp_path: Path, qtbot: Any) -> None:
    """As a user does: folder, weights, Run. A field that was emptied stays empty when weights are chosen again."""
    folder = write_infrared_folder(tmp_path / "MOCK")
    qtbot.waitUntil(lambda: "phangs-jwst" in dock.network.model.choices, timeout=60000)
    type_into(dock.data.folder, str(folder))
    dock.finish(120)
    optical = dict(dock.data.photometry)
    assert set(optical) == {"F336W", "F438W", "F555W", "F814W"}
    dock.network.model.value = "phangs-jwst"
    dock.finish(120)
    assert set(dock.data.photometry) == {*optical, *RATIOS}
    assert all("nircam" in dock.data.photometry[band].name for band in RATIOS)
    qtbot.waitUntil(lambda: dock.preflight.up_to_date, timeout=60000)
    assert {check.band for check in dock.preflight.found.bands if check.used} == {*optical, *RATIOS}
    type_into(dock.data.bands["F335M"], "")
    dock.network.model.value = "wide"
    dock.network.model.value = "phangs-jwst"
    dock.finish(120)
    assert set(dock.data.photometry) == {*optical, "F200W"}
    dock.data.ebv_mw.value = "0"
    QTest.mouseClick(dock.run_button.native, Qt.MouseButton.LeftButton)
    dock.finish(300)
    result = dock.session.result
    assert result.model_name == "phangs-jwst"
    used = dict(zip(result.data.bands, result.data.phot_mask.any(0), strict=True))
    assert {band for band, is_used in used.items() if is_used} == {*optical, "F200W"}
    click(dock.viewer, dock.session, 1)
    assert dock.session.selected == 1
    assert np.isfinite(dock.session.views()[0].phot).sum() == 5
    assert dock.panel.plots.sed.vb.viewRange()[0][1] > np.log10(result.instrument.pivot_aa.max())
