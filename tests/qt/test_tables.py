"""Tables of what the plots show: exact, with units, readable in both kinds of file."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from muse_hst import N_WAVE

from napari_sfh._qt.session import Session
from napari_sfh.analysis import tables
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.disc import guess_disc
from napari_sfh.analysis.drawing.bin_drawing import MH_EDGES
from napari_sfh.analysis.gradients import fit_all_gradients
from napari_sfh.analysis.regions import compute_bin_weights
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE, TIME_EDGES_GYR
from napari_sfh.physics.formation import FORMED_FRACTIONS
from napari_sfh.types import Result


def constant_rate(result: Result, spread: float = 0.0) -> BinView:
    """A bin that formed stars evenly over all its life, the posterior's curves shifted by ``spread``."""
    young = AGE_EDGES_GYR[:-1]
    mass = np.diff(AGE_EDGES_GYR) / AGE_EDGES_GYR[-1]
    grown = 1 - young / AGE_EDGES_GYR[-1]
    offsets = np.array([-1.96, -1, 0, 1, 1.96]) * spread
    cumulative = np.clip(grown[:, None] + offsets, 0, 1)[None]
    prediction = result.prediction
    quantiles = {**prediction.quantiles, "cum_mass": np.repeat(cumulative, result.bins.n_bins, 0)}
    masses = np.repeat(mass[None], result.bins.n_bins, 0)
    return BinView.of(replace(result, prediction=replace(prediction, mass_frac=masses, quantiles=quantiles)), 1)


def test_nine_formation_times_of_a_constant_rate(result: Result) -> None:
    times = constant_rate(result).formed()
    # The oldest bin's stars are spread up to the age of the Universe, not up to the bin's edge.
    shares, (begin, edge) = np.array(FORMED_FRACTIONS), AGE_EDGES_GYR[-2:]
    oldest = (edge - begin) / edge
    in_oldest = TIME_EDGES_GYR[-1] - shares / oldest * (TIME_EDGES_GYR[-1] - begin)
    expected = np.where(shares < oldest, in_oldest, edge * (1 - shares))
    assert times.value == pytest.approx(expected, rel=1e-6)
    assert times.low == pytest.approx(expected, rel=1e-6)


def test_intervals_of_times_are_those_of_the_curves(result: Result) -> None:
    """P(t50 < t) = P(grown(t) < 0.5): a curve lower by 0.05 passes a half 0.05 lifetimes later."""
    times = constant_rate(result, spread=0.05).formed((0.5,))
    assert times.low[0] == pytest.approx(AGE_EDGES_GYR[-1] * 0.45, rel=1e-3)
    assert times.high[0] == pytest.approx(AGE_EDGES_GYR[-1] * 0.55, rel=1e-3)
    lines = {n.label: n for n in constant_rate(result, spread=0.05).numbers}
    assert lines["t50"].text == "8.9 (8.0–9.8) Gyr"
    assert lines["t90"].text == "1.8 (0.9–2.7) Gyr"
    assert lines["t50"].tip.count("\n") == 9


def test_light_grows_too(result: Result) -> None:
    view = BinView.of(result, 2)
    grown = view.cumulative_share("light")
    assert grown.value[0] == pytest.approx(1, rel=1e-5)
    assert np.isnan(grown.low).all()
    assert view.formed((0.5,), "light").value[0] < view.formed((0.5,)).value[0], "light is younger than mass"
    assert view.cumulative_share("sfr") is view.cumulative


def test_metallicity_distribution_has_mean_and_spread(result: Result) -> None:
    view = BinView.of(result, 4)
    for kind, weight in (("mass", view.mass.value), ("light", view.light.value)):
        share = view.metallicity_distribution(kind)
        assert share.sum() == pytest.approx(1, rel=1e-5)
        middle = 0.5 * (MH_EDGES[1:] + MH_EDGES[:-1])
        assert (share * middle).sum() == pytest.approx((weight * view.mh.value).sum(), abs=0.01)
    one = np.zeros(N_AGE)
    one[3] = 1
    single = replace(view, mass=replace(view.mass, value=one)).metallicity_distribution()
    spread = np.sqrt((single * (middle - view.mh.value[3]) ** 2).sum())
    assert spread == pytest.approx(np.hypot(0.15, 0.1 / np.sqrt(12)), abs=0.01)


def assert_single_numbers(table: QTable, result: Result) -> None:
    """Lines of the panel with several numbers, or with words, as numbers of bin 5."""
    of_bin = table[table["BIN_ID"] == 5]
    values = {str(name): float(value) for name, value in zip(of_bin["QUANTITY"], of_bin["VALUE"])}
    ra, dec = result.wcs.celestial.wcs_pix2world(result.bins.x[4], result.bins.y[4], 0)
    data = result.data
    wanted = {"RA": ra, "Dec": dec, "V": data.v_kms[4], "sigma": data.sigma_kms[4], "S/N": data.snr[4]}
    wanted |= {"chi2": result.chi2_of(4), "Depth": result.prediction.ood[4]}
    assert {name: values[name] for name in wanted} == pytest.approx({k: float(v) for k, v in wanted.items()}, rel=1e-6)
    assert "V, sigma" not in values


@pytest.mark.parametrize("suffix", tables.TABLE_SUFFIXES)
def test_all_tables_of_bins_read_back(result: Result, tmp_path: Path, suffix: str) -> None:
    views = [BinView.of(result, b) for b in (2, 5)]
    path = tables.write_tables(tables.build_bin_tables(result, views), tmp_path / f"bins{suffix}")
    if suffix == ".fits":
        with fits.open(path, checksum=True) as hdus:
            assert [h.name for h in hdus[1:]] == ["SFH", "NUMBERS", "TIMES", "SPECTRA", "BANDS"]
        read = {name: QTable.read(path, hdu=name) for name in ("SFH", "TIMES", "SPECTRA", "BANDS")}
    else:
        names = {"SFH": "bins", "TIMES": "bins_times", "SPECTRA": "bins_spectra", "BANDS": "bins_bands"}
        read = {k: QTable.read(tmp_path / f"{v}{suffix}", format=f"ascii{suffix}") for k, v in names.items()}
    assert [len(read[k]) for k in read] == [2 * N_AGE, 2, 2 * N_WAVE, 10]
    assert np.asarray(read["TIMES"]["T50"])[1] == pytest.approx(views[1].formed((0.5,)).value[0])
    assert np.asarray(read["TIMES"]["T90_P84"])[0] == pytest.approx(views[0].formed().high[-1])
    if suffix == ".fits":
        assert_single_numbers(QTable.read(path, hdu="NUMBERS"), result)
    second = read["SPECTRA"]["BIN_ID"] == 5
    assert np.asarray(read["SPECTRA"]["FLUX"])[second] == pytest.approx(views[1].flux, nan_ok=True)
    assert np.asarray(read["BANDS"]["MODEL"])[:5] == pytest.approx(views[0].phot_model)
    if suffix != ".csv":
        assert read["SPECTRA"]["WAVE"].unit == "Angstrom"
        assert read["TIMES"]["T50"].unit == "Gyr"
        assert read["SFH"].meta["GALAXY"] == "NGC0000"


def test_regions_have_their_names_and_numbers_in_all_tables(result: Result, tmp_path: Path) -> None:
    session = Session()
    session.set_result(result)
    session.distance_mpc = 9.84
    half = np.array([[-1.0, -1], [-1, 41], [19.5, 41], [19.5, -1]])
    session.set_regions({"nucleus": [half], "HII knot": [half + np.array([20.5, 0])]})
    session.select(3)
    views = session.all_views()
    path = tables.write_tables(tables.build_bin_tables(result, views), tmp_path / "views.ecsv")
    names = ["nucleus", "HII knot", "bin 3"]
    for file in tables.list_table_files(["SFH", "NUMBERS", "TIMES", "SPECTRA", "BANDS"], path):
        table = QTable.read(file, format="ascii.ecsv")
        assert list(dict.fromkeys(table["NAME"])) == names, file
        assert list(dict.fromkeys(table["BIN_ID"])) == [0, 3]
        assert [c for c in table.colnames if not table[c].info.description] == []
    numbers = QTable.read(path.with_stem("views_numbers"), format="ascii.ecsv")
    for region in session.regions:
        for label, key in (("LW age", "lg_age_lw"), ("MW [M/H]", "mh_mw")):
            (row,) = numbers[(numbers["NAME"] == region.name) & (numbers["QUANTITY"] == label)]
            share = compute_bin_weights(result, region.rows, "mass")
            values, errors = result.prediction.median(key)[region.rows], result.prediction.half_width(key)[region.rows]
            mean = (share * values).sum()
            assert row["VALUE"] == pytest.approx(mean, rel=1e-5)
            assert row["VALUE_ERR"] == pytest.approx(np.sqrt(((share * errors) ** 2).sum()), rel=1e-4)
            assert row["SCATTER"] == pytest.approx(np.sqrt((share * (values - mean) ** 2).sum()), rel=1e-4)
            assert f"scatter {row['SCATTER']:.2f}" in row["TEXT"]
        (mass,) = numbers[(numbers["NAME"] == region.name) & (numbers["QUANTITY"] == "Mass")]
        assert mass["TEXT"].startswith(f"{np.log10(mass['VALUE']):.2f}")
        assert 0 < mass["VALUE_ERR"] < 0.2 * mass["VALUE"]
    (age,) = numbers[(numbers["NAME"] == "bin 3") & (numbers["QUANTITY"] == "LW age")]
    assert (age["VALUE"], age["UNIT"]) == (pytest.approx(result.prediction.median("lg_age_lw")[2]), "log yr")


def test_the_table_of_all_bins_is_that_of_each(result: Result) -> None:
    made = tables.build_result_sfh_table(result)
    views = [BinView.of(result, b) for b in range(1, result.bins.n_bins + 1)]
    expected = tables.build_sfh_table(result, views)
    assert made.colnames == expected.colnames
    for name in made.colnames:
        assert np.asarray(made[name]) == pytest.approx(np.asarray(expected[name]), nan_ok=True)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits"])
def test_every_column_says_what_it_is(result: Result, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all{suffix}"
    made = {"BINS": tables.build_summary_table(result), "SFH": tables.build_result_sfh_table(result)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables.write_tables(made, path)
        if suffix == ".fits":
            headers = [fits.getheader(path, name) for name in made]
            told = [{h[f"TTYPE{k}"]: h.get(f"TCOMM{k}") for k in range(1, h["TFIELDS"] + 1)} for h in headers]
            assert len(QTable.read(path, hdu="BINS")) == result.bins.n_bins
            ucds = {headers[0][f"TTYPE{k}"]: headers[0].get(f"TUCD{k}") for k in range(1, headers[0]["TFIELDS"] + 1)}
            assert (ucds["RA"], ucds["T50"], ucds["EBV_ERR"]) == (
                "pos.eq.ra",
                "time.age",
                "stat.error;phot.color.excess",
            )
        else:
            read = [QTable.read(file, format="ascii.ecsv") for file in tables.list_table_files(list(made), path)]
            told = [{name: table[name].info.description for name in table.colnames} for table in read]
            headers = [table.meta for table in read]
    assert [name for each in told for name, words in each.items() if not words] == []
    assert "100 Myr" in told[0]["LG_SFR_DENSITY"]
    assert headers[0]["SFR_MYR"] == 100


def test_gradient_tables(result: Result, tmp_path: Path) -> None:
    found = fit_all_gradients(result, replace(guess_disc(result.white, result.wcs), distance_mpc=9.8))
    made = tables.build_gradient_tables(result, found)
    path = tables.write_tables(made, tmp_path / "gradient.fits")
    rows = QTable.read(path, hdu="GRADIENTS")
    assert list(rows["QUANTITY"]) == list(found)
    assert set(found) == {"AGE_LW", "AGE_MW", "MH_LW", "MH_MW", "EBV"}  # what these weights predict
    assert rows["SLOPE_RE"][0] == pytest.approx(found["AGE_LW"].slope)
    assert rows["SLOPE_KPC"][0] == pytest.approx(found["AGE_LW"].slope_kpc[0])
    bins = QTable.read(path, hdu="BINS")
    assert len(bins) == result.bins.n_bins
    assert bins["AGE_LW"] == pytest.approx(result.prediction.median("lg_age_lw"))
    assert bins.meta["INCL"] == pytest.approx(found["AGE_LW"].profile.disc.inclination_deg)
    assert set(QTable.read(path, hdu="RUNNING")["QUANTITY"]) == set(found)


def test_tables_that_cannot_be_written(result: Result, tmp_path: Path) -> None:
    made = tables.build_bin_tables(result, [BinView.of(result, 1)])
    with pytest.raises(SfhInputError, match=r"a\.txt: the name must end in one of \.ecsv"):
        tables.write_tables(made, tmp_path / "a.txt")
    with pytest.raises(SfhInputError, match="nothing to save: click a bin"):
        tables.write_tables(tables.build_bin_tables(result, []), tmp_path / "a.fits")
    with pytest.raises(SfhInputError, match="no gradient was fitted yet"):
        tables.build_gradient_tables(result, {})
    for suffix in tables.TABLE_SUFFIXES:
        with pytest.raises(SfhInputError, match=r"nowhere.*name a file in an existing folder"):
            tables.write_tables(made, tmp_path / "nowhere" / f"a{suffix}")


def test_a_line_for_each_bin_says_where_and_what_it_is(result: Result, tmp_path: Path) -> None:
    table = tables.build_summary_table(result)
    assert len(table) == result.bins.n_bins
    assert {
        "RA",
        "DEC",
        "SNR",
        "AGE_LW",
        "AGE_LW_ERR",
        "EBV",
        "T50",
        "T50_P16",
        "T50_P84",
        "LG_MASS_DENSITY",
        "FLAG",
        "FLAG_WORDS",
    } <= set(table.colnames)
    ra, dec = result.wcs.celestial.wcs_pix2world(result.bins.x, result.bins.y, 0)
    assert table["RA"].value == pytest.approx(ra)
    assert table["DEC"].value == pytest.approx(dec)
    assert table["AGE_LW"].value == pytest.approx(result.prediction.median("lg_age_lw"))
    assert "a band is missing" in table["FLAG_WORDS"][-1]
    for name in ("bins.ecsv", "bins.fits"):
        path = tables.write_tables({"BINS": table}, tmp_path / name)
        assert len(QTable.read(path)) == len(table)
