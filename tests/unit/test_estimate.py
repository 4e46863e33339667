"""The command `estimate` with the weights that ship: rows in, the same rows with answers out."""

import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import dask
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from napari_sfh.analysis.credibility.magnesium_check import MAGNESIUM_WINDOWS
from napari_sfh.batch import cluster
from napari_sfh.batch.many_rows import estimate_on_workers
from napari_sfh.cli import main
from napari_sfh.errors import ComputeError
from napari_sfh.estimate import EstimateConfig, estimate_objects
from napari_sfh.estimation.answers import RowTally
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.physics.extinction import milky_way_transmission
from napari_sfh.physics.wavelength import air_to_vacuum
from napari_sfh.types import FLAG_MEANING, Flag

pytestmark = pytest.mark.filterwarnings("ignore")
JPAS = load_instrument("jpas")


def needs(name):
    return pytest.mark.skipif(name not in list_bundles(), reason=f"weights {name} are not there")


@pytest.fixture
def catalogue():
    """An old population's red slope, in AB magnitudes, with faults in some rows."""
    pivot = np.array([f.pivot_aa for f in make_band_filters(JPAS)])
    magnitude = 18.0 - 2.0 * np.log10(pivot / 7000.0)
    rows = {"ID": [f"g{k}" for k in range(6)], "FLAG": ["kept"] * 6}
    for k, band in enumerate(JPAS.band_names):
        rows[f"mag_{band}"] = np.full(6, magnitude[k])
        rows[f"mag_{band}_err"] = np.full(6, 0.02)
        rows[f"mag_{band}"][4] = np.nan
    rows["mag_J0500"][1] = 99.0
    rows["mag_J0510_err"][2] = -1.0
    return Table(rows)


@needs("jpas")
@pytest.mark.parametrize("suffix", [".fits", ".csv"])
def test_every_row_comes_back_with_answers_and_flags(tmp_path, catalogue, suffix, capsys):
    source, out = tmp_path / f"in{suffix}", tmp_path / "out.ecsv"
    catalogue.write(source)
    assert main(["estimate", str(source), "--model", "jpas", "--output", str(out), "--quiet"]) == 0
    assert "5 of 6 rows" in capsys.readouterr().out
    found = Table.read(out, format="ascii.ecsv")
    assert [str(x) for x in found["ID"]] == list(catalogue["ID"])
    assert set(found["FLAG"]) == {"kept"}
    flags = [Flag(int(f)) for f in found["FLAG_SFH"]]
    assert flags[1] & Flag.MISSING_BAND
    assert flags[2] & Flag.MISSING_BAND
    assert flags[4] & Flag.NO_PHOTOMETRY
    assert "MISFIT" in str(found.meta)  # weights for bands: what no flag says is said
    age = np.ma.filled(np.ma.asarray(found["LG_AGE"]).astype(float), np.nan)
    assert np.isnan(age).tolist() == [False, False, False, False, True, False]
    assert np.all((age[:4] > 6) & (age[:4] < 10.3))
    # The same row gives the same numbers; a missing band moves them little.
    assert age[0] == pytest.approx(age[3])
    assert abs(age[1] - age[0]) < 0.5
    low, high = (np.asarray(found[f"EBV_{p}"], float)[:4] for p in ("P16", "P84"))
    assert np.all(low <= high)


@needs("jpas")
@pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".vot"])
def test_columns_of_answers_say_what_they_hold(tmp_path, catalogue, suffix):
    out = tmp_path / f"out{suffix}"
    catalogue["mag_J0500"].unit = "mag"
    catalogue["mag_J0500"].description = "a total magnitude"
    catalogue["mag_J0500"].meta["ucd"] = "phot.mag"
    catalogue.write(tmp_path / "in.ecsv")
    source = tmp_path / "in.ecsv"
    assert main(["estimate", str(source), "--model", "jpas", "--output", str(out), "--quiet"]) == 0
    found = Table.read(out)
    assert [str(found[name].unit) for name in ("EBV", "EBV_ERR", "EBV_P84", "mag_J0500")] == ["mag"] * 4
    assert not any(found[name].unit for name in ("LG_AGE", "MH_MW", "OOD"))
    words = {name: (found[name].description, found[name].meta.get("ucd")) for name in found.colnames}
    if suffix == ".fits":  # astropy's tables leave these cards
        header = fits.getheader(out, 1)
        words = {
            header[f"TTYPE{k}"]: (header.get(f"TCOMM{k}"), header.get(f"TUCD{k}")) for k in range(1, len(words) + 1)
        }
    assert words["mag_J0500"] == ("a total magnitude", "phot.mag")  # the user's own
    assert words["LG_AGE"] == ("log10 age/yr", "time.age")
    assert words["EBV_ERR"][1] == "stat.error;phot.color.excess"
    assert words["MH_MW_ERR"][0].startswith("half of the 16-84 % width of: mass-weighted mean [M/H] in dex")


@needs("jpas")
def test_errors_of_a_catalogue_may_hold_its_calibration(tmp_path, catalogue, capsys):
    """Total errors with 0 beyond are the same measurement as errors of the counts with 1.5 % beyond."""
    counts, total = catalogue.copy(), catalogue.copy()
    for name in (n for n in catalogue.colnames if n.endswith("_err")):
        counts[name] = np.where(catalogue[name] > 0, 0.03, -1.0)
        total[name] = np.where(catalogue[name] > 0, np.hypot(0.03, 0.015 * 2.5 / np.log(10)), -1.0)
    found = []
    for table, share in ((counts, "0.015"), (total, "0")):
        table.write(tmp_path / "in.ecsv", overwrite=True)
        words = ["--calibration-error", share, "--output", str(tmp_path / "out.ecsv"), "--quiet"]
        assert main(["estimate", str(tmp_path / "in.ecsv"), *words]) == 0
        found.append(Table.read(tmp_path / "out.ecsv", format="ascii.ecsv"))
        (tmp_path / "out.ecsv").unlink()
    for name in ("LG_AGE", "MH_MW", "OOD"):
        np.testing.assert_allclose(
            np.asarray(found[0][name], float)[:4], np.asarray(found[1][name], float)[:4], rtol=1e-3
        )
    assert main(["estimate", str(tmp_path / "in.ecsv"), "--calibration-error", "1", "--output", "x.fits"]) == 2
    assert "--calibration-error 1.0" in capsys.readouterr().err


@needs("jpas")
def test_rows_that_are_refused_say_why_and_assumed_errors_are_told(tmp_path, catalogue, capsys):
    names = [name for name in catalogue.colnames if not name.endswith("_err")]
    catalogue[names].write(tmp_path / "in.csv")
    arguments = ["estimate", str(tmp_path / "in.csv"), "--redshift", "5", "--output", str(tmp_path / "out.fits")]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "0 of 6 rows" in told.out
    assert f"6 not: {FLAG_MEANING[Flag.REDSHIFT]}" in told.out
    assert f"z = {JPAS.redshift_max:g}" in told.out
    assert told.err.count("5 % of the flux") == 1
    found = Table.read(tmp_path / "out.fits")
    assert np.ma.getmaskarray(found["LG_AGE"]).all()
    assert "5 % of the flux" in found.meta["NOTE1"]


@needs("jpas")
def test_columns_of_the_catalogue_that_have_our_names_are_told(tmp_path, catalogue, capsys):
    catalogue["LG_AGE"] = np.arange(6.0)
    catalogue.write(tmp_path / "in.fits")
    assert main(["estimate", str(tmp_path / "in.fits"), "--redshift", "0", "--output", str(tmp_path / "out.fits")]) == 0
    assert "LG_AGE_SFH" in capsys.readouterr().err
    found = Table.read(tmp_path / "out.fits")
    assert found["LG_AGE"].tolist() == list(range(6))
    assert np.isfinite(found["LG_AGE_SFH"]).any()


@needs("jpas")
@pytest.mark.parametrize("name", ["out.txt", "out.dat"])
def test_a_name_that_promises_no_format_is_refused(tmp_path, catalogue, capsys, name):
    catalogue.write(tmp_path / "in.csv")
    assert main(["estimate", str(tmp_path / "in.csv"), "--output", str(tmp_path / name), "--quiet"]) == 2
    assert ".ecsv" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@needs("jpas")
def test_no_workers_are_refused(tmp_path, catalogue, capsys):
    catalogue.write(tmp_path / "in.csv")
    words = ["--workers", "0", "--output", str(tmp_path / "out.csv"), "--quiet"]
    assert main(["estimate", str(tmp_path / "in.csv"), *words]) == 2
    assert "--workers 0: must be 1 or more" in capsys.readouterr().err


@needs("jpas")
def test_a_table_without_bands_is_told(tmp_path, capsys):
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "in.csv")
    assert main(["estimate", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv"), "--quiet"]) == 2
    assert "--columns" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


@needs("jpas")
def test_a_spectrum_without_weights_for_spectra_is_told_which_there_are(tmp_path, capsys):
    Table({"loglam": [3.6, 3.7], "flux": [1.0, 1.0], "ivar": [1.0, 1.0]}).write(tmp_path / "spec.fits")
    assert main(["estimate", str(tmp_path / "spec.fits"), "--output", str(tmp_path / "out.csv"), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "columns of a spectrum, and jpas are weights for catalogues of bands; give --model" in told
    assert "percentiles" in told
    assert "narrowband" not in told
    # No table by itself, but a spectrum: columns without names, an image of one axis.
    np.savetxt(
        tmp_path / "spec.txt", np.column_stack([np.linspace(4000, 7000, 999), np.arange(999) + 1.0, np.ones(999)])
    )
    header = fits.Header({"CRVAL1": 4000.0, "CDELT1": 3.0, "CTYPE1": "AWAV", "CUNIT1": "Angstrom"})
    fits.PrimaryHDU(np.arange(999.0) + 1, header).writeto(tmp_path / "image.fits")
    for name in ("spec.txt", "image.fits"):
        assert main(["estimate", str(tmp_path / name), "--output", str(tmp_path / "out.csv"), "--quiet"]) == 2
        told = capsys.readouterr().err
        assert "if it is one, give --model wide" in told


@needs("percentiles")
def test_the_resolution_of_spectra_is_given_as_a_number_or_a_table(tmp_path, capsys):
    """A spectrum that is told to be sharper is broadened more; one too broad is told of."""
    wave = np.arange(4700.0, 7200.0, 1.0)
    flux = 1 - 0.4 * np.exp(-0.5 * ((wave[:, None] - np.arange(4900.0, 7000.0, 70.0)) / 2.0) ** 2).sum(1)
    np.savetxt(tmp_path / "s.txt", np.column_stack([wave, flux, 0.02 * flux]))
    np.savetxt(tmp_path / "lsf.txt", [[4500.0, 2.0], [7500.0, 2.0]])
    scores = {}
    for lsf in (None, "2", str(tmp_path / "lsf.txt"), "15"):
        given = [] if lsf is None else ["--lsf", lsf]
        arguments = [str(tmp_path / "s.txt"), "--model", "wide", "--redshift", "0", "--sigma", "60", *given]
        assert main(["estimate", *arguments, "--output", str(tmp_path / "out.ecsv")]) == 0
        told = capsys.readouterr().err
        assert ("line-spread function of the spectra unknown" in told) == (lsf is None)
        assert ("broader than what the weights know" in told) == (lsf == "15")
        scores[lsf] = float(Table.read(tmp_path / "out.ecsv")["LG_AGE_LW"][0])
    assert scores["2"] == scores[str(tmp_path / "lsf.txt")]
    assert scores["2"] != scores["15"]
    # Pixels of 3 A cannot hold the weights' own 2.6 A: the answer is that for two pixels.
    np.savetxt(tmp_path / "s.txt", np.column_stack([wave, flux, 0.02 * flux])[::3])
    for given in ([], ["--lsf", "6"]):
        arguments = [str(tmp_path / "s.txt"), "--model", "wide", "--redshift", "0", "--sigma", "60", *given]
        assert main(["estimate", *arguments, "--output", str(tmp_path / "out.ecsv")]) == 0
        assert ("6 A, two of their pixels" in capsys.readouterr().err) == (not given)
        scores["coarse", bool(given)] = float(Table.read(tmp_path / "out.ecsv")["LG_AGE_LW"][0])
    assert scores["coarse", True] == scores["coarse", False]
    for bad in ("-3", str(tmp_path / "none.txt")):
        wrong = [str(tmp_path / "s.txt"), "--model", "wide", "--redshift", "0", f"--lsf={bad}"]
        assert main(["estimate", *wrong, "--output", str(tmp_path / "no.ecsv")]) == 2


@needs("wide")
def test_spectra_that_are_not_as_stated_are_flagged_or_told(tmp_path, capsys):
    basis = load_bundle("wide").basis
    mass, dust = np.zeros((1, 16), np.float32), (np.array([x], np.float32) for x in (0.1, 0.1, -0.7))
    mass[0, -2] = 1.0  # old stars
    flux = basis.reconstruct(mass, np.zeros((1, 16), np.float32), *dust)[0][0]
    lo, hi = MAGNESIUM_WINDOWS.band
    inside = (basis.wave_aa >= lo) & (basis.wave_aa <= hi)
    flux = flux * (1 + 0.01 * np.random.default_rng(1).standard_normal(flux.size))
    for name, depth in (("plain", 0.0), ("strong", 0.06)):
        spectrum = flux * (1 - depth * inside)
        np.savetxt(tmp_path / f"{name}.txt", np.column_stack([basis.wave_aa, spectrum, 0.01 * spectrum]))
    for name, wave in (("moved", 1.02 * basis.wave_aa), ("vacuum", air_to_vacuum(basis.wave_aa))):
        np.savetxt(tmp_path / f"{name}.txt", np.column_stack([wave, flux, 0.01 * flux]))
    twice = np.column_stack(
        [np.linspace(*basis.wave_aa[[0, -1]], 2 * flux.size), *np.repeat([flux, 0.01 * flux], 2, 1)]
    )
    np.savetxt(tmp_path / "repeated.txt", twice)
    files = [str(tmp_path / f"{name}.txt") for name in ("plain", "strong", "moved", "vacuum", "repeated")]
    given = ["--model", "wide", "--redshift", "0", "--sigma", "150", "--medium", "air", "--quiet"]
    assert main(["estimate", *files, *given, "--output", str(tmp_path / "out.ecsv")]) == 0
    flag = Table.read(tmp_path / "out.ecsv")["FLAG"]
    assert ((flag & int(Flag.MAGNESIUM)) > 0).tolist()[:2] == [False, True]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines if "2 times in a row" in line] == ["repeated"]
    told = [line for line in lines if "redshift" in line]
    assert "redshift 0.00000 is used, but moved has 0.0200" in told[0]
    assert re.search(r"vacuum moves at \+8\d km/s", told[1])
    assert not [line for line in told if "plain" in line or "strong" in line]


def test_a_spectrum_gives_times_that_fall(tmp_path):
    wave = np.arange(3600.0, 7400.0, 1.5)
    flux = np.interp(wave, [3600, 4000, 5500, 7400], [0.5, 0.8, 1.2, 1.3])
    np.savetxt(tmp_path / "s.txt", np.column_stack([wave, flux, 0.02 * flux]))
    arguments = [str(tmp_path / "s.txt"), "--model", "percentiles", "--redshift", "0", "--sigma", "200"]
    assert main(["estimate", *arguments, "--output", str(tmp_path / "out.csv"), "--quiet"]) == 0
    (row,) = Table.read(tmp_path / "out.csv")
    times = [row[f"T{p}"] for p in range(10, 100, 10)]
    assert all(a >= b for a, b in pairwise(times))
    assert 0 < times[-1] <= times[0] < 14
    assert (
        main(["estimate", str(tmp_path / "s.txt"), "--model", "percentiles", "--output", str(tmp_path / "no.csv")]) == 2
    )


@needs("jpas")
def test_workers_give_the_same_table_with_few_blocks_under_way(tmp_path, catalogue, monkeypatch):
    from distributed import Client

    source = tmp_path / "in.fits"
    catalogue.write(source)
    waiting, most, bundles, lost = [0], [0], [], []

    @contextmanager
    def in_this_process(scheduler, workers):
        with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
            submit, cancel, scatter = client.submit, client.cancel, client.scatter

            def count(change):
                waiting[0] += change
                most[0] = max(most[0], waiting[0])

            def begin(*args, **kw):
                count(1)
                future = submit(*args, **kw)
                if not lost:  # as the first block is whose worker ends
                    lost.append(future)
                    cancel([future])
                return future

            def send(data, **kw):
                bundles.extend([data] if isinstance(data, Bundle) else [])
                return scatter(data, **kw)

            client.submit, client.scatter = begin, send
            client.cancel = lambda *args, **kw: (count(-1), cancel(*args, **kw))[1]
            yield client

    monkeypatch.setattr(cluster, "connect_scheduler", in_this_process)
    config = EstimateConfig((source,), tmp_path / "here.ecsv", draws=50, rows=1)
    estimate_objects(config)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "5kB"}), warnings.catch_warnings():
        warnings.filterwarnings("error", "Sending large graph")
        estimate_objects(replace(config, output=tmp_path / "there.ecsv"), estimate_on_workers)
    assert len(bundles) == 2, "the weights are sent once, and once more to those that are left"
    assert (tmp_path / "here.ecsv").read_text() == (tmp_path / "there.ecsv").read_text()
    assert most[0] <= 2


@needs("jpas")
def test_a_cluster_that_is_not_there_is_told(tmp_path, catalogue, monkeypatch, capsys):
    def none(scheduler, workers):
        raise ComputeError(f"--scheduler {scheduler}: no Dask scheduler answers there")

    monkeypatch.setattr(cluster, "connect_scheduler", none)
    catalogue.write(tmp_path / "in.fits")
    asked = ["--scheduler", "tcp://nowhere:8786", "--output", str(tmp_path / "out.fits"), "--quiet"]
    assert main(["estimate", str(tmp_path / "in.fits"), *asked]) == 1
    assert "no Dask scheduler answers" in capsys.readouterr().err
    assert not (tmp_path / "out.fits").exists()


@needs("percentiles")
def test_dust_of_the_milky_way_is_taken_off_spectra_and_a_range_that_misses_is_named(tmp_path, capsys):
    """A reddened spectrum with its E(B-V) gives what the clean one gives; wavelengths in a wrong unit are told."""
    wave = np.arange(3600.0, 7600.0, 1.5)
    flux = np.interp(wave, [3600, 4000, 5500, 7600], [0.5, 0.8, 1.2, 1.3])
    seen = milky_way_transmission(wave, 0.3)
    for name, values, lam in (("clean", flux, wave), ("red", flux * seen, wave), ("far", flux, 10 * wave)):
        np.savetxt(tmp_path / f"{name}.txt", np.column_stack([lam, values, 0.02 * values]))
    given = ["--model", "percentiles", "--redshift", "0", "--sigma", "200", "--medium", "air"]
    for name, ebv in (("clean", "0"), ("red", "0.3"), ("far", "0")):
        arguments = [str(tmp_path / f"{name}.txt"), *given, "--ebv-mw", ebv]
        assert main(["estimate", *arguments, "--output", str(tmp_path / f"{name}.ecsv")]) == 0
        told = capsys.readouterr().err
        assert ("usable from 36000 to 75990 A" in told and "3541-7409" in told) == (name == "far")
    clean, red = (Table.read(tmp_path / f"{name}.ecsv")[0] for name in ("clean", "red"))
    for percent in range(10, 100, 10):
        assert red[f"T{percent}"] == pytest.approx(clean[f"T{percent}"], rel=0.01)


def test_rows_with_too_few_bands_are_told_with_their_reason():
    """They have the flag of rows that were estimated without a band: "195 of 200 rows" was all that was said."""
    tally = RowTally()
    flag = np.array([Flag.MISSING_BAND, Flag.MISSING_BAND, Flag.MISSING_BAND | Flag.REDSHIFT])
    tally.add(flag, np.array([0.5, np.nan, np.nan], np.float32))
    words = tally.summarise(Path("out.fits"), []).describe_refused(load_instrument("jpas"))
    assert words.startswith("1 not: z missing")
    assert words.endswith("1 not: fewer usable bands than these weights need")
