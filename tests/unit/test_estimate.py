"""The command `estimate` with the weights that ship: rows in, the same rows with answers out."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.table import Table

from napari_sfh.cli import main
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument, make_band_filters
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
    age = np.ma.filled(np.ma.asarray(found["LG_AGE"]).astype(float), np.nan)
    assert np.isnan(age).tolist() == [False, False, False, False, True, False]
    assert np.all((age[:4] > 6) & (age[:4] < 10.3))
    # The same row gives the same numbers; a missing band moves them little.
    assert age[0] == pytest.approx(age[3])
    assert abs(age[1] - age[0]) < 0.5
    low, high = (np.asarray(found[f"EBV_{p}"], float)[:4] for p in ("P16", "P84"))
    assert np.all(low <= high)


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
@pytest.mark.parametrize("name", ["out.txt", "out.dat"])
def test_a_name_that_promises_no_format_is_refused(tmp_path, catalogue, capsys, name):
    catalogue.write(tmp_path / "in.csv")
    assert main(["estimate", str(tmp_path / "in.csv"), "--output", str(tmp_path / name), "--quiet"]) == 2
    assert ".ecsv" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@needs("jpas")
def test_a_table_without_bands_is_told(tmp_path, capsys):
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "in.csv")
    assert main(["estimate", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv"), "--quiet"]) == 2
    assert "--columns" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


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
    for bad in ("-3", str(tmp_path / "none.txt")):
        wrong = [str(tmp_path / "s.txt"), "--model", "wide", "--redshift", "0", f"--lsf={bad}"]
        assert main(["estimate", *wrong, "--output", str(tmp_path / "no.ecsv")]) == 2


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
