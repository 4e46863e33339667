"""``napari-sfh compare``: offsets of known size, the table of many galaxies, its pages, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from io_mocks import write_maps
from smooth_result import make_result

from napari_sfh import cli
from napari_sfh.analysis.comparison import offsets
from napari_sfh.analysis.comparison.map_comparison import compare_results
from napari_sfh.analysis.comparison.other_results import other_result_from_run
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import write_result

SHIFTS = {"lg_age_lw": 0.10, "mh_lw": -0.05}


def _shifted(result, shifts=SHIFTS):
    """The same result with other means."""
    quantiles = {k: q + np.float32(shifts.get(k, 0.0)) for k, q in result.prediction.quantiles.items()}
    return replace(result, prediction=replace(result.prediction, quantiles=quantiles))


@pytest.fixture(scope="module")
def result():
    return make_result()


def test_offsets_are_ours_minus_theirs(result):
    comparison = compare_results(result, other_result_from_run(_shifted(result)))
    found = {o.mean: o for o in offsets.measure_offsets(comparison)}
    assert found["lg_age_lw"].median == pytest.approx(-0.10, abs=1e-6)
    assert found["lg_age_lw"].per_cent == pytest.approx(100 * (10**-0.1 - 1), abs=1e-3)
    assert found["mh_lw"].median == pytest.approx(0.05, abs=1e-6)
    assert found["lg_age_mw"].std == pytest.approx(0.0, abs=1e-6)
    assert found["mh_mw"].n == result.bins.n_bins


def test_bins_below_the_snr_are_left_out(result):
    comparison = compare_results(result, other_result_from_run(_shifted(result)))
    limit = float(np.median(result.data.snr)) + 1e-3
    assert offsets.measure_offsets(comparison, limit)[0].n == int((result.data.snr >= limit).sum())


def test_joint_offsets_count_every_bin(result):
    pairs = [compare_results(result, other_result_from_run(_shifted(result, {"mh_lw": s}))) for s in (0.0, 0.1, 0.2)]
    joint = {o.mean: o for o in offsets.measure_joint_offsets(pairs)}
    assert joint["mh_lw"].n == 3 * result.bins.n_bins
    assert joint["mh_lw"].median == pytest.approx(-0.1, abs=1e-6)
    assert joint["mh_lw"].std == pytest.approx(np.std([0, 0.1, 0.2]), abs=1e-5)


def test_scalars_without_histories_are_compared_in_their_own_units(result, tmp_path, capsys):
    """Formation times and one metallicity, as weights for percentiles give them; against histories, what both have."""
    n = result.bins.n_bins
    times = np.linspace(1.0, 9.0, n)[:, None] + np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32)
    quantiles = {"t50": times.astype(np.float32), "mh_mw": result.prediction.quantiles["mh_mw"]}
    bare = replace(result.prediction, light_frac=None, mass_frac=None, mh=None, quantiles=quantiles)
    scalars = replace(result, prediction=bare, model_flux=None, model_phot=None, chi2=None)
    other = _shifted(scalars, {"t50": 0.5})
    found = {o.mean: o for o in offsets.measure_offsets(compare_results(scalars, other_result_from_run(other)))}
    assert set(found) == {"t50", "mh_mw"}
    assert found["t50"].median == pytest.approx(-0.5, abs=1e-6)
    assert (found["t50"].unit, found["mh_mw"].unit) == ("Gyr", "dex")
    assert np.isnan(found["t50"].per_cent)
    mixed = compare_results(result, other_result_from_run(scalars))
    assert set(mixed.means) == {"mh_mw"}
    paths = [write_result(r, tmp_path / f"{k}.fits") for k, r in enumerate((scalars, other))]
    assert cli.main(["compare", *map(str, paths), "--output", str(tmp_path / "out"), "--quiet", "--no-gas"]) == 0
    assert "t50" in capsys.readouterr().out
    table = Table.read(tmp_path / "out" / "offsets.ecsv")
    assert dict(zip(table["MEAN"], table["UNIT"], strict=True)) == {"t50": "Gyr", "mh_mw": "dex"}


def test_answers_without_a_common_quantity_are_refused(result):
    answer = replace(other_result_from_run(result), means={"t90": np.ones(result.bins.n_bins)})
    with pytest.raises(SfhInputError, match=r"has t90, but .* predicts .*lg_age_lw"):
        compare_results(result, answer)


@pytest.mark.usefixtures("small_figures")
def test_two_galaxies_from_the_command_line(result, tmp_path, capsys):
    for name in ("ngc1", "j2.5"):
        write_result(replace(result, name=name), tmp_path / f"{name}_sfh.fits")
        write_result(_shifted(replace(result, name=name)), tmp_path / f"{name}_other.fits")
    results = [str(tmp_path / f"{name}_sfh.fits") for name in ("ngc1", "j2.5")]
    out = tmp_path / "out"
    pattern = str(tmp_path / "{name}_other.fits")
    assert cli.main(["compare", *results, "--others", pattern, "--no-gas", "--output", str(out)]) == 0
    table = Table.read(out / "offsets.ecsv")
    assert list(dict.fromkeys(table["GALAXY"])) == ["ngc1", "j2.5", "all"]
    np.testing.assert_allclose(table["OFFSET"][table["MEAN"] == "lg_age_lw"], -0.10, atol=1e-5)
    assert {p.name for p in out.glob("*.png")} == {
        f"{name}_sfh_{page}.png" for name in ("ngc1", "j2.5") for page in ("maps", "offsets")
    }
    assert "all galaxies" in capsys.readouterr().out


@pytest.mark.usefixtures("small_figures")
def test_maps_of_the_dap(result, tmp_path):
    """Ages and metallicities as the DAP writes them, on the same bins."""
    path, maps = tmp_path / "ngc0000_sfh.fits", tmp_path / "ngc0000_MAPS.fits"
    write_result(result, path)
    bins = result.bins.bin_id.astype(np.int32)
    header = result.wcs.celestial.to_header()
    numbers = np.where(bins > 0, bins - 1, -1)
    images = {}
    for name, key in (("AGE_LW", "lg_age_lw"), ("Z_LW", "mh_lw")):
        value = np.append(result.prediction.median(key) + SHIFTS[key], np.nan)
        images[name] = value[bins - 1]
    write_maps(maps, numbers)
    with fits.open(maps) as hdus:
        for hdu in hdus[1:]:
            del hdu.header["CD*"]
            hdu.header.update(header)
        hdus.extend([fits.ImageHDU(v, header, name=k) for k, v in images.items()])
        hdus.writeto(maps, overwrite=True)
    out = tmp_path / "out"
    assert cli.main(["compare", str(path), str(maps), "--no-gas", "--output", str(out)]) == 0
    table = Table.read(out / "offsets.ecsv")
    assert list(table["MEAN"]) == ["lg_age_lw", "mh_lw"]
    np.testing.assert_allclose(table["OFFSET"], [-0.10, 0.05], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a_sfh.fits"], "nothing to compare"),
        (["a_sfh.fits", "--others", "maps.fits"], "{name}"),
        (["a_sfh.fits", "--others", "{name}_MAPS.fits"], "no such file"),
    ],
)
def test_what_is_refused(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *arguments]) == 2
    assert words in capsys.readouterr().err
