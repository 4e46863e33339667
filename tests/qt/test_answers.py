"""Another answer on a result's bins: the same bins, other bins, another grid, a truth, an nGIST run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from smooth_result import make_result

from napari_sfh.analysis.comparison import map_comparison, other_results
from napari_sfh.analysis.comparison.map_comparison import OtherResult, build_comparison_table, compare_results
from napari_sfh.errors import SfhInputError
from napari_sfh.io.ngist import NgistResult
from napari_sfh.io.results import write_result
from napari_sfh.physics.ages import AGE_GYR, LG_AGE_YR
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import Result, SpaxelTruth


def _answer(result: Result, bin_id: np.ndarray, lg_age: np.ndarray, wcs: WCS | None, **more: object) -> OtherResult:
    keys = {"errors": {}, "sfh": {}, **more}
    return OtherResult("other", bin_id.astype(np.int32), wcs, {"lg_age_lw": lg_age}, **keys)  # type: ignore[arg-type]


def test_a_result_against_itself_differs_nowhere(result: Result) -> None:
    found = compare_results(result, other_results.other_result_from_run(result))
    for key in MEAN_NAMES:
        s = found.scatter(key)
        assert (s.bias, s.std, s.nmad, s.n) == (0, 0, 0, result.bins.n_bins)
        assert s.correlation == pytest.approx(1)
        np.testing.assert_allclose(found.errors[key], result.prediction.half_width(key), rtol=1e-6)
    np.testing.assert_array_equal(found.share, 1)
    np.testing.assert_allclose(found.sfh["mass_frac"][..., 0], result.prediction.mass_frac, atol=1e-7)
    np.testing.assert_allclose(
        found.sfh["mass_frac"][..., 2], result.prediction.quantiles["mass_frac"][..., 3], atol=1e-6
    )


def test_other_bins_count_by_their_spaxels(result: Result) -> None:
    """Columns as bins: a bin here is the mean over its spaxels of the column numbers."""
    ny, nx = result.bins.bin_id.shape
    columns = np.tile(np.arange(1, nx + 1), (ny, 1))
    found = compare_results(
        result, _answer(result, columns, np.arange(nx, dtype=float), None, errors={"lg_age_lw": np.ones(nx)})
    )
    np.testing.assert_allclose(found.means["lg_age_lw"], result.bins.x)
    n_columns = np.array([np.unique(np.nonzero(result.bins.bin_id == b)[1]).size for b in (6, 7)])
    # Interior bins are squares: errors of independent columns average down.
    np.testing.assert_allclose(found.errors["lg_age_lw"][5:7], 1 / np.sqrt(n_columns))


def test_errors_are_those_of_the_bins_that_know_the_mean(result):
    """Every fourth column without a number: the mean is that of the three others, and so is its error."""
    nx = result.bins.bin_id.shape[1]
    columns = np.broadcast_to(np.arange(1, nx + 1, dtype=np.int32), result.bins.bin_id.shape)
    unknown = np.where(np.arange(nx) % 4 == 0, np.nan, 1.0)
    found = compare_results(result, _answer(result, columns, unknown, None, errors={"lg_age_lw": 0.1 * unknown}))
    x = np.nonzero(result.bins.bin_id == 6)[1]
    known = np.unique(x[x % 4 > 0], return_counts=True)[1]
    expected = 0.1 * np.sqrt((known**2).sum()) / known.sum()
    assert found.means["lg_age_lw"][5] == pytest.approx(1.0)
    assert found.errors["lg_age_lw"][5] == pytest.approx(expected)


def test_another_grid_is_matched_on_the_sky(result: Result) -> None:
    """Coarser pixels turned by 20 degrees; every pixel is a bin whose value is its declination."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [24.174, 15.783], [30.5, 30.5]
    a = np.radians(20.0)
    wcs.wcs.cd = 0.3 / 3600 * np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]])
    y, x = np.mgrid[:60, :60]
    dec = wcs.wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0)[:, 1]
    found = compare_results(result, _answer(result, np.arange(1, 3601).reshape(60, 60), dec, wcs))
    expected = result.wcs.wcs_pix2world(np.column_stack([result.bins.x, result.bins.y]), 0)[:, 1]
    np.testing.assert_allclose((found.means["lg_age_lw"] - expected) * 3600, 0, atol=0.08)


def test_a_bin_that_is_hardly_covered_is_not_compared(result: Result) -> None:
    other = result.bins.bin_id.copy()
    inside = np.flatnonzero(other.ravel() == 6)
    other.ravel()[inside[: int(0.6 * inside.size)]] = 0
    other[result.bins.bin_id == 7] = 0
    values = np.arange(result.bins.n_bins, dtype=float)
    found = compare_results(result, _answer(result, other, values, result.wcs))
    assert found.share[5] == pytest.approx(0.4, abs=0.01)
    assert np.isnan(found.means["lg_age_lw"][[5, 6]]).all()
    assert np.isfinite(found.means["lg_age_lw"]).sum() == result.bins.n_bins - 2


def test_bins_without_a_value_do_not_spoil_the_mean(result: Result) -> None:
    ny, nx = result.bins.bin_id.shape
    values = np.full(nx, 5.0)
    values[12] = np.nan
    found = compare_results(result, _answer(result, np.tile(np.arange(1, nx + 1), (ny, 1)), values, None))
    np.testing.assert_allclose(found.means["lg_age_lw"], 5.0)


def test_what_cannot_be_compared(result: Result) -> None:
    bins = np.ones((3, 3))
    with pytest.raises(SfhInputError, match=r"other: \(3, 3\) spaxels without a WCS.*give a run on the same cube"):
        compare_results(result, _answer(result, bins, np.ones(1), None))
    far = result.wcs.deepcopy()
    far.wcs.crval = [30.0, 15.0]
    with pytest.raises(SfhInputError, match="other: covers no bin of NGC0000; give an answer for the same galaxy"):
        compare_results(result, _answer(result, result.bins.bin_id, np.ones(result.bins.n_bins), far))


def test_truth_is_the_mock_itself_and_stars_are_left_out(result: Result) -> None:
    ny, nx = result.bins.bin_id.shape
    mass = np.zeros((16, ny, nx))
    mass[11] = 1.0
    star = np.where(result.bins.bin_id == 3, 0.5, 0.0)
    found = compare_results(
        result, other_results.other_result_from_truth(SpaxelTruth(mass, mass, 0.1 * mass, star), result)
    )
    good = np.arange(result.bins.n_bins) != 2
    np.testing.assert_allclose(found.means["lg_age_mw"][good], LG_AGE_YR[11])
    np.testing.assert_allclose(found.means["mh_lw"][good], 0.1)
    assert np.isnan(found.means["lg_age_mw"][2])
    (note,) = found.other.notes
    assert note.startswith("1 bins")
    assert "foreground star" in note


def _ngist(result: Result, weights: bool) -> NgistResult:
    n = result.bins.n_bins
    f32 = np.float32
    templates = np.column_stack([np.append(LG_AGE_YR, 10.3), np.linspace(-1, 0.2, 17)]).astype(f32)
    w = np.zeros((n, 17), f32)
    w[:, 4], w[:, 15], w[:, 16] = 2.0, 1.0, 1.0
    lg_age = (w @ templates[:, 0] / 4).astype(f32)
    mh = (w @ templates[:, 1] / 4).astype(f32)
    ny, nx = result.bins.bin_id.shape
    return NgistResult(
        Path("NGC0000_sfh.fits"), result.bins.bin_id, 0.2 * np.arange(nx), 0.2 * np.arange(ny), np.ones(n, f32),
        lg_age + 0.3, mh, lg_age if weights else None, mh if weights else None, w if weights else None,
        templates if weights else None, {"lg_age_yr": np.full(n, 0.07, f32)}, None,
    )  # fmt: skip


def test_an_ngist_run_with_its_weights(result: Result) -> None:
    found = compare_results(result, other_results.other_result_from_ngist(_ngist(result, True)))
    run = _ngist(result, True)
    for key in ("lg_age_lw", "lg_age_mw"):
        np.testing.assert_allclose(found.means[key], run.lg_age_weighted_yr, rtol=1e-6)
        np.testing.assert_allclose(found.errors[key], 0.07, rtol=1e-5)
    assert "mh_lw" not in found.errors
    share = found.sfh["mass_frac"][0, :, 0]
    assert share[[4, 15]] == pytest.approx([0.5, 0.5])  # the template older than the last bin counts to it
    assert found.sfh["mh"][0, 15, 0] == pytest.approx(run.templates[15:, 1].mean())
    assert "as the run's templates were normalised" in found.other.notes[0]


def test_an_ngist_run_without_weights_says_what_its_age_is(result: Result) -> None:
    answer = other_results.other_result_from_ngist(_ngist(result, False))
    assert answer.sfh == {}
    assert "logarithm of a linear mean" in answer.notes[1]


def test_template_weights_fall_into_the_age_bins() -> None:
    share, metal = other_results.rebin_template_weights(np.eye(16), np.log10(AGE_GYR) + 9, np.linspace(-1, 0, 16))
    np.testing.assert_array_equal(share, np.eye(16))
    np.testing.assert_allclose(np.diag(metal), np.linspace(-1, 0, 16))


def test_files_are_read_by_kind(result: Result, tmp_path: Path) -> None:
    other = replace(make_result(seed=5), model_name="elsewhere")
    path = write_result(other, tmp_path / "other.fits")
    answer = other_results.read_other_result(path, result)
    assert answer.name == "elsewhere (other.fits)"
    assert compare_results(result, answer).scatter("mh_mw").n == result.bins.n_bins
    bad = tmp_path / "a.fits"
    bad.write_bytes(b"nothing")
    with pytest.raises(SfhInputError, match=r"a.fits: not recognised, nothing to compare with; give a result"):
        other_results.read_other_result(bad, result)


def test_the_table_holds_both_and_the_statistics(result: Result, tmp_path: Path) -> None:
    made = build_comparison_table(compare_results(result, other_results.other_result_from_run(result)))
    assert len(made) == result.bins.n_bins
    np.testing.assert_array_equal(made["AGE_LW"], made["AGE_LW_OTHER"])
    assert {"MH_MW_ERR", "MH_MW_OTHER_ERR", "SHARE"} <= set(made.colnames)
    assert made.meta["AGE_LW"]["bias"] == 0
    made.write(tmp_path / "t.ecsv", format="ascii.ecsv")


def test_correlation_needs_three_pairs_that_vary() -> None:
    assert map_comparison.measure_scatter(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])).correlation == pytest.approx(1)
    assert np.isnan(map_comparison.measure_scatter(np.ones(3), np.arange(3.0)).correlation)
    assert np.isnan(map_comparison.measure_scatter(np.arange(2.0), np.arange(2.0)).correlation)
