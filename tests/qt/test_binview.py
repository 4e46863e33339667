"""What is shown of a bin: the numbers of the result, nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from astropy.visualization.wcsaxes import WCSAxes
from matplotlib.image import imread
from muse_hst import WAVE_AA
from smooth_result import ROTATION_DEG

from napari_sfh._qt.canvas.layer_data import format_main_values, format_map_value
from napari_sfh.analysis import tables
from napari_sfh.analysis.bin_properties import describe_flags
from napari_sfh.analysis.bin_view import BinView, find_masked_ranges
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.analysis.regions import average_bin_views
from napari_sfh.errors import SfhInputError
from napari_sfh.figures import pages, summary
from napari_sfh.figures.files import FIGURE_SUFFIXES, save_figure
from napari_sfh.figures.line_colors import PAPER, recolor_line
from napari_sfh.figures.offsets import draw_map_columns
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_WIDTH_YR
from napari_sfh.types import FLAG_MEANING, NO_MISFIT_FLAG, Flag, Result


def test_sfr_times_time_is_the_mass(result: Result) -> None:
    view = BinView.of(result, 3)
    assert (view.sfr.value * AGE_WIDTH_YR / 1e9).sum() == pytest.approx(1, rel=1e-5)


def test_cumulative_falls_from_one_today_to_zero_at_the_oldest_edge(result: Result) -> None:
    curve = BinView.of(result, 3).cumulative
    assert curve.value[0] == pytest.approx(1, rel=1e-5)
    assert curve.value[-1] == pytest.approx(0, abs=1e-6)
    assert (np.diff(curve.value) <= 0).all()
    assert (curve.low <= curve.high).all()


def test_half_of_a_single_burst_forms_in_the_middle_of_its_bin(result: Result) -> None:
    mass = np.zeros_like(result.prediction.mass_frac)
    mass[:, 10] = 1
    grown = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1, None] * np.ones(5)
    quantiles = {**result.prediction.quantiles, "cum_mass": grown}
    burst = replace(result, prediction=replace(result.prediction, mass_frac=mass, quantiles=quantiles))
    assert BinView.of(burst, 1).formed((0.5,)).value[0] == pytest.approx(0.5 * (AGE_EDGES_GYR[10] + AGE_EDGES_GYR[11]))


def test_masked_pixels_are_not_drawn(result: Result) -> None:
    view = BinView.of(result, 1)
    ((low, high),) = view.masked
    assert low == pytest.approx(5800, abs=1.5)
    assert high == pytest.approx(5970, abs=1.5)
    inside = (low < WAVE_AA) & (high > WAVE_AA)
    assert np.isnan(view.flux[inside]).all()
    assert np.isfinite(view.flux[~inside]).all()
    assert view.residual[~inside] == pytest.approx((result.data.flux - result.model_flux)[0, ~inside])


def test_masked_ranges_reach_both_ends() -> None:
    mask = np.ones(WAVE_AA.size, bool)
    mask[:2] = mask[-1] = False
    assert find_masked_ranges(mask, WAVE_AA) == (
        (4800 - 0.625, 4801.25 + 0.625),
        (7000 - 0.625, 7000 + 0.625),
    )


def test_a_band_that_was_not_used_is_not_drawn(result: Result) -> None:
    n = result.bins.n_bins
    assert np.isnan(BinView.of(result, n).phot[0])
    assert np.isfinite(BinView.of(result, n - 1).phot).all()


def test_numbers_carry_value_error_and_flags_in_words(result: Result) -> None:
    last = {n.label: n.text for n in BinView.of(result, result.bins.n_bins).numbers}
    value = result.prediction.median("lg_age_lw")[-1]
    assert last["LW age"].startswith(f"{value:.2f} ± 0.10")
    assert last["V, σ"] == "100, 80 km/s"
    flags = {FLAG_MEANING[flag] for flag in (Flag.MISSING_BAND, Flag.OUT_OF_DEPTH)}
    assert set(last["Flags"].split("; ")) == {*flags, NO_MISFIT_FLAG}  # its models were not held against the data
    assert "out of its depth" in last["Depth"]


def test_no_number_is_a_negative_zero(result: Result) -> None:
    quantiles = {name: np.full_like(q, -0.001) for name, q in result.prediction.quantiles.items() if name[:2] == "mh"}
    prediction = replace(result.prediction, quantiles={**result.prediction.quantiles, **quantiles})
    v_kms = np.full_like(result.data.v_kms, -0.3)
    small = replace(result, prediction=prediction, data=replace(result.data, v_kms=v_kms))
    numbers = {row.label: row.text for row in BinView.of(small, 1).numbers}
    region = {row.label: row.text for row in average_bin_views(small, np.arange(4)).numbers}
    told = [numbers["LW [M/H]"], numbers["V, σ"], region["LW [M/H]"], format_map_value(small, "MH_LW", 1)]
    told += format_main_values(small, 1).splitlines()[1:]
    assert all("0" in text for text in told)
    assert not [text for text in told if re.search(r"[−-]0(\.0+)?(?![.\d])", text)]


def test_a_bin_without_prediction_has_dashes_not_nan(result: Result) -> None:
    prediction = result.prediction
    quantiles = {name: np.full_like(q, np.nan) for name, q in prediction.quantiles.items()}
    nothing = replace(
        prediction,
        mass_frac=np.full_like(prediction.mass_frac, np.nan),
        quantiles=quantiles,
        ood=np.full_like(prediction.ood, np.nan),
    )
    view = BinView.of(replace(result, prediction=nothing), 1)
    assert not any("nan" in n.text for n in view.numbers)
    assert np.isnan(view.formed((0.5,)).value[0])


def test_flag_words_of_none() -> None:
    assert describe_flags(0) == "none"
    assert describe_flags(int(Flag.SINGLE_SPAXEL)) == "bin of one spaxel"


def test_table_reads_back(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "sfh.ecsv"
    tables.build_sfh_table(result, [BinView.of(result, b) for b in (2, 5)]).write(path, format="ascii.ecsv")
    table = QTable.read(path, format="ascii.ecsv")
    assert len(table) == 32
    assert table["AGE_HI"].unit == "Gyr"
    second = table[table["BIN_ID"] == 5]
    assert np.asarray(second["MASS_FRAC"]) == pytest.approx(result.prediction.mass_frac[4])
    assert np.asarray(second["MH_P84"]) == pytest.approx(result.prediction.quantiles["mh"][4, :, 3])
    assert table.meta["GALAXY"] == "NGC0000"


@pytest.mark.parametrize("suffix", FIGURE_SUFFIXES)
def test_figures_are_written(result: Result, tmp_path: Path, suffix: str) -> None:
    views = [BinView.of(result, b) for b in (1, 4)]
    page = pages.draw_bins_page(result, views, "sfr")
    spectrum, residual = (
        axes for axes in page.axes if axes.get_ylabel()[:2] in ("$F", "Re") and axes.lines[0].get_xdata().size > 1000
    )
    for axes, curve in ((spectrum, "flux"), (residual, "residual")):
        for k, view in enumerate(views):
            drawn = [
                line for line in axes.lines if np.array_equal(line.get_ydata(), getattr(view, curve), equal_nan=True)
            ]
            assert [line.get_color() for line in drawn] == [recolor_line(choose_color(k), PAPER)], "each bin's"
    names = [text.get_text() for text in spectrum.get_legend().get_texts()]
    assert [name for name in ("bin 1, observed", "bin 4, observed") if name not in names] == []
    page.draw_without_rendering()
    boxes = [t.get_window_extent() for axes in page.axes for t in axes.texts if t.get_text().strip() in ("t50", "t90")]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])
    path = save_figure(page, tmp_path / f"bins{suffix}")
    assert path.stat().st_size > 5000


def test_page_of_maps_shows_four_maps_and_their_colorbars(result: Result) -> None:
    assert len(pages.draw_maps_page(result).axes) == 8
    texts = {text.get_text() for axes in pages.draw_maps_page(result).axes for text in axes.texts}
    assert {"N", "E", "2″"} <= texts


@pytest.mark.parametrize("page", ["histories", "scalars", "columns"])
def test_maps_of_batch_pages_have_ra_and_dec_at_the_edges(result: Result, page: str) -> None:
    if page == "scalars":
        names = ("lg_age_lw", "mh_lw")
        quantiles = {name: result.prediction.quantiles[name] for name in names}
        prediction = replace(result.prediction, mass_frac=None, mh=None, light_frac=None, quantiles=quantiles)
        result = replace(result, prediction=prediction)
    figure = draw_map_columns(result, []) if page == "columns" else summary.draw_summary_page(result)
    if page == "scalars":
        bars = {axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"}
        assert {"log yr", "dex"} <= bars
        assert {"log yr", "dex"} == {a.get_xlabel() for a in figure.axes if a.get_ylabel() == "Number of bins"}
    panels = [axes for axes in figure.axes if isinstance(axes, WCSAxes) and axes.get_visible()]
    assert len(panels) >= {"histories": 12, "scalars": 7, "columns": 1}[page]
    names = [[axes.coords[k].get_axislabel() for axes in panels] for k in (0, 1)]
    assert "RA" in names[0]
    assert "Dec" in names[1]
    assert sum(name == "RA" for name in names[0]) < len(panels) or page == "columns"


def test_the_legend_of_a_runs_page_hides_no_emission_line(result: Result) -> None:
    x = result.instrument.wave_aa
    peaks = sum(40 * np.exp(-0.5 * ((x - at) / 4) ** 2) for at in (4861.3, 4958.9, 5006.8))
    flux = (result.data.flux + peaks * (x < 5100)).astype(np.float32)
    page = summary.draw_summary_page(replace(result, data=replace(result.data, flux=flux)))
    page.canvas.draw()
    spectra = [axes for subfigure in page.subfigs for axes in subfigure.axes if "χ²" in axes.get_title()]
    assert len(spectra) == 3
    for axes in spectra:
        hidden = axes.get_legend().get_window_extent().transformed(axes.transData.inverted())
        assert not hidden.x0 < 4861.3 < hidden.x1
        assert not hidden.x0 < 5006.8 < hidden.x1


def test_page_of_maps_with_a_distance_says_kpc(result: Result) -> None:
    """2 arcsec at an angular-size distance of 206.265 Mpc are 2 kpc, at 1 Mpc 9.7 pc; D_L = (1 + z)^2 D_A."""
    stretch = (1 + result.redshift) ** 2
    for distance, text in ((206.26481 * stretch, "2″ = 2 kpc"), (stretch, "2″ = 9.7 pc")):
        page = pages.draw_maps_page(result, distance)
        assert text in {t.get_text() for t in page.axes[0].texts}
        assert f"{distance:g} Mpc" in page.texts[-1].get_text()
    with pytest.raises(SfhInputError, match="distance: -3 given; it must be above 0 Mpc"):
        pages.draw_maps_page(result, -3.0)


def test_the_compass_points_north_and_east_in_the_field(result: Result) -> None:
    """North is turned from the y axis by the fixture's angle; nothing of it leaves the map."""
    axes = pages.draw_maps_page(result).axes[0]
    north, east = (np.subtract(a.xy, a.xyann) for a in axes.texts if not a.get_text())
    angle = np.radians(ROTATION_DEG)
    assert north / np.hypot(*north) == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-3)
    assert east / np.hypot(*east) == pytest.approx([-np.cos(angle), np.sin(angle)], abs=1e-3)
    letters = np.array([t.get_position() for t in axes.texts if t.get_text() in ("N", "E")])
    assert (letters < 40).all()


def test_the_page_that_a_run_leaves_is_drawn_whole(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As runs save it; tests of runs have it small. The parser of mathematical text would be loaded for it alone."""
    parsed: list[str] = []
    monkeypatch.setattr("matplotlib.mathtext.MathTextParser.parse", lambda self, text, *_, **__: parsed.append(text))
    page = summary.draw_summary_page(result)
    width, height = page.get_size_inches()
    picture = imread(save_figure(page, tmp_path / "page.png", dpi=90))
    assert picture.shape[:2] == pytest.approx((90 * height, 90 * width), abs=1)
    inked = (picture[..., :3] < 0.9).any(axis=2)
    assert all(part.any() for half in np.array_split(inked, 3) for part in np.array_split(half, 3, axis=1))
    assert parsed == []


def test_an_unknown_kind_of_file_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=r"a\.gif: the name must end in one of \.png, \.pdf, \.svg"):
        save_figure(pages.draw_maps_page(result), tmp_path / "a.gif")


def test_a_folder_that_is_not_there_is_named(result: Result, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=r"nowhere.*name a file in an existing folder"):
        save_figure(pages.draw_maps_page(result), tmp_path / "nowhere" / "a.png")


def test_no_bins_no_page(result: Result) -> None:
    with pytest.raises(SfhInputError, match="click one on the map"):
        pages.draw_bins_page(result, [])


def test_centres_of_bins_are_those_of_their_pixels(result: Result) -> None:
    bins = result.bins
    for i in (0, 3, bins.n_bins - 1):
        place = [float(v) for v in result.wcs.celestial.wcs_pix2world(bins.x[i], bins.y[i], 0)]
        np.testing.assert_array_equal(result.centres_deg[i], place)
    moved = replace(result, bins=replace(bins, x=bins.x + 1))
    assert (moved.centres_deg != result.centres_deg).any(axis=1).all()


def test_widths_of_some_bins_are_those_of_all(result: Result) -> None:
    prediction = result.prediction
    for name in ("lg_age_lw", "mass_frac"):
        assert (prediction.half_width(name, 3) == prediction.half_width(name)[3]).all()
    np.testing.assert_array_equal(prediction.half_width("ebv", [1, 4]), prediction.half_width("ebv")[[1, 4]])
