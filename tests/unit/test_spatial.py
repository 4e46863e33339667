"""The Gaussian field over a map: noise down, arms kept, no field where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from smooth_result import make_result

from napari_sfh.analysis.spatial.gaussian_field import measure_gaussian_field, smooth_bin_values, smooth_result_maps
from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import write_result

SIGMA, N = 0.15, 400


def spiral(n=500, seed=1):
    """Places in a disc, and log ages with a gradient and two arms 0.5 dex younger."""
    rng = np.random.default_rng(seed)
    radius, angle = 20 * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    place = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    phase = 2 * (angle - np.log(np.maximum(radius, 1.0)) / np.tan(np.radians(25)))
    arm = np.exp(-0.5 * ((np.cos(phase) - 1) / 0.25) ** 2)
    return place, 9.8 - 0.02 * radius - 0.5 * arm, arm


def test_noise_falls_and_arms_stay():
    place, truth, arm = spiral()
    noisy = truth + np.random.default_rng(2).normal(0, SIGMA, truth.size)
    made = smooth_bin_values(place, noisy, np.full(truth.size, SIGMA))
    before, after = np.std(noisy - truth), np.std(made.value - truth)
    assert after < 0.75 * before
    contrast = [np.median(v[arm > 0.8]) - np.median(v[arm < 0.1]) for v in (truth, made.value)]
    assert contrast[1] == pytest.approx(contrast[0], abs=0.06)
    assert np.median(made.error) < SIGMA
    pull = (made.value - truth) / made.error
    assert 0.6 < (abs(pull) < 1).mean() < 0.8


def test_the_length_is_that_of_the_field():
    rng = np.random.default_rng(3)
    place = rng.uniform(0, 25, (N, 2))
    distance = np.sqrt(((place[:, None] - place[None]) ** 2).sum(-1))
    for length in (2.0, 6.0):
        root = np.linalg.cholesky(0.09 * np.exp(-distance / length) + 1e-9 * np.eye(N))
        value = root @ rng.standard_normal(N) + rng.normal(0, 0.1, N)
        field = measure_gaussian_field(place, value, np.full(N, 0.1))
        assert np.log(field.length / length) == pytest.approx(0.0, abs=0.7)
        assert field.amplitude == pytest.approx(0.3, rel=0.4)


def test_a_trend_over_all_bins_is_no_long_field_and_is_told():
    place, _, _ = spiral(300, 8)
    trend = 9.5 + 0.02 * place[:, 0]
    noisy = trend + np.random.default_rng(9).normal(0, 0.02, trend.size)
    field = measure_gaussian_field(place, noisy, np.full(trend.size, SIGMA))
    assert field.length <= field.extent == np.ptp(place, axis=0).max()
    assert field.error_factor < 0.5
    assert any("common to all" in doubt for doubt in field.list_doubts())
    assert replace(field, length=field.extent, error_factor=1.0).list_doubts()
    assert not replace(field, length=0.3 * field.extent, error_factor=1.0).list_doubts()


def test_a_map_of_noise_alone_has_no_field_and_stays():
    rng = np.random.default_rng(4)
    place, value = rng.uniform(0, 30, (300, 2)), rng.normal(0, SIGMA, 300)
    made = smooth_bin_values(place, value, np.full(300, SIGMA))
    assert made.field.is_flat
    np.testing.assert_array_equal(made.value, value)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bins_that_differ_each_for_itself_have_no_field_and_keep_their_errors(seed):
    """Independent populations: their scatter is far beyond the errors, but no neighbour knows of it."""
    rng = np.random.default_rng(seed)
    place = np.argwhere(np.ones((6, 10))).astype(float)
    truth = rng.normal(0, 0.2, 60)
    value, error = truth + rng.normal(0, 0.1, 60), np.full(60, 0.1)
    made = smooth_bin_values(place, value, error)
    assert made.field.is_flat
    np.testing.assert_array_equal(made.error, error)
    assert 0.5 < (abs(made.value - truth) < made.error).mean() < 0.85


@settings(deadline=None, max_examples=3)
@given(st.floats(-5, 5), st.floats(0.5, 20))
def test_the_field_moves_and_scales_with_the_map(shift, scale):
    place, truth, _ = spiral(200, 5)
    noisy = truth + np.random.default_rng(6).normal(0, SIGMA, truth.size)
    error = np.full(truth.size, SIGMA)
    one = smooth_bin_values(place, noisy, error)
    other = smooth_bin_values(place * scale + 3, noisy + shift, error)
    np.testing.assert_allclose(other.value - shift, one.value, atol=0.03)


def test_what_is_not_trusted_neither_tells_nor_changes():
    place, truth, _ = spiral(200, 7)
    value, use = truth.copy(), np.ones(200, bool)
    value[:5], use[:5], value[5] = 30.0, False, np.nan
    made = smooth_bin_values(place, value, np.full(200, SIGMA), use)
    np.testing.assert_array_equal(made.value[:5], 30.0)
    assert np.isnan(made.value[5])
    assert made.value[6:].max() < 10.5


def test_the_command_writes_field_and_raw_map(tmp_path, capsys):
    result = make_result(n_side=8)
    path, out = write_result(result, tmp_path / "result.fits"), tmp_path / "maps.fits"
    assert main(["smooth", str(path), "--output", str(out)]) == 0
    assert "LW age: " in capsys.readouterr().out
    with fits.open(out) as hdus:
        assert [h.name for h in hdus[1:4]] == ["AGE_LW", "AGE_LW_FIELD", "AGE_LW_FIELD_ERR"] or hdus[1].name == "AGE_MW"
        units = [hdus[f"{name}_FIELD{end}"].header["BUNIT"] for name in ("AGE_LW", "MH_LW") for end in ("", "_ERR")]
        assert units == ["dex(yr)", "dex", "dex", "dex"]
        raw = hdus["AGE_LW"].data
        np.testing.assert_array_equal(np.isfinite(raw), np.isfinite(hdus["AGE_LW_FIELD"].data))
        header = hdus["AGE_LW_FIELD"].header
        assert header["FLAT"] or header["FLENGTH"] > 0
    assert main(["smooth", str(path), "--output", str(path)]) == 2


def test_a_result_is_smoothed_and_left_as_it_is():
    result = make_result(n_side=8)
    before = result.prediction.median("lg_age_lw").copy()
    made = smooth_result_maps(result)
    assert set(made) == {"lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw"}
    assert made["lg_age_lw"].value.shape == before.shape
    np.testing.assert_array_equal(result.prediction.median("lg_age_lw"), before)
    with pytest.raises(SfhInputError, match="not predicted"):
        smooth_result_maps(result, ["t10"])
    with pytest.raises(SfhInputError, match="needs 20"):
        smooth_result_maps(make_result(n_side=3))
