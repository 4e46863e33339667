"""Templates from a library whose every number is known: averages over time, resolution, gas, and the file."""

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_toys import toy_templates
from template_toys import AGE_GYR, LINE_AA, LINE_EW_AA, MH, level, no_download, toy_library

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.lsf import total_sigma_aa
from napari_sfh.training.libraries import age_grid, nebular, resampling, templates


@pytest.fixture
def toy(monkeypatch):
    no_download(monkeypatch)
    return toy_templates()


# --- age grid ---------------------------------------------------------------------------------------------------


def test_sub_bins_contain_every_edge_that_matters():
    for edge in (*AGE_EDGES_GYR, 0.010, 13.8):
        assert np.min(np.abs(age_grid.SUB_EDGES_GYR - edge)) < 1e-9
    assert np.all(np.diff(age_grid.SUB_EDGES_GYR) > 0)
    assert 60 <= age_grid.BIN_OF_SUB.size <= 80
    assert age_grid.SUB_EDGES_GYR[age_grid.N_YOUNG] == pytest.approx(0.010)
    assert age_grid.SUB_EDGES_GYR[age_grid.N_ION] == pytest.approx(0.028)
    for number, (lo, hi) in enumerate(zip(age_grid.SUB_EDGES_GYR[:-1], age_grid.SUB_EDGES_GYR[1:])):
        age_bin = age_grid.BIN_OF_SUB[number]
        assert AGE_EDGES_GYR[age_bin] <= lo * (1 + 1e-9)
        assert hi <= AGE_EDGES_GYR[age_bin + 1] * (1 + 1e-9)


def test_time_average_of_log_age_is_exact():
    """The mean of ln t over a..b is (b ln b - a ln a) / (b - a) - 1, and the matrix is linear in log age."""
    a, b = 1.0, 3.0
    row = age_grid.averaging_matrix(AGE_GYR, np.array([a, b]))[0]
    assert row.sum() == pytest.approx(1.0)
    assert row @ np.log(AGE_GYR) == pytest.approx((b * np.log(b) - a * np.log(a)) / (b - a) - 1, abs=1e-4)


def test_ages_beyond_the_library_are_its_last():
    row = age_grid.averaging_matrix(np.array([1.0, 2.0]), np.array([5.0, 6.0]))[0]
    np.testing.assert_allclose(row, [0.0, 1.0])


# --- light ------------------------------------------------------------------------------------------------------


def test_an_ssp_in_gives_the_ssp_out(toy):
    """A single age picks templates whose light is the SSP's, between metallicities' nodes exactly."""
    line_free = (WAVE_AA > 5000) & (WAVE_AA < 5800)
    for age in (0.0021, 0.05, 0.7, 9.0):
        out = toy.weights_of_age(age) @ toy.spectrum[1][:, line_free]
        np.testing.assert_allclose(out, level(age, 0.0), rtol=0.02)


def test_the_sum_over_a_bin_is_the_time_average_of_its_ssps(toy):
    inside = toy.bin_of_sub == 12
    width = np.diff(toy.sub_edges_gyr)[inside]
    ours = (width @ toy.spectrum[0][inside, 100]) / width.sum()
    ages = np.linspace(AGE_EDGES_GYR[12], AGE_EDGES_GYR[13], 4001)
    assert ours == pytest.approx(level(ages, MH[0]).mean(), rel=1e-3)


def test_resolution_is_muse_and_150_km_s_and_lines_keep_their_strength(toy):
    spectrum = toy.spectrum[1, 30].astype(float)
    continuum = np.median(spectrum)
    near = np.abs(WAVE_AA - LINE_AA) < 25
    line = spectrum[near] / continuum - 1
    centre = (line * WAVE_AA[near]).sum() / line.sum()
    sigma = np.sqrt((line * (WAVE_AA[near] - centre) ** 2).sum() / line.sum())
    assert centre == pytest.approx(LINE_AA, abs=0.01)
    assert sigma == pytest.approx(float(total_sigma_aa(LINE_AA, MUSE_HST.grid.lsf.fwhm_aa(LINE_AA), 150.0)), rel=3e-3)
    assert line.sum() * 1.25 == pytest.approx(LINE_EW_AA, rel=2e-3)


def test_the_coarse_grid_conserves_light(toy):
    bins = toy.sed_edges_aa[:-1]
    line_bin = int(np.searchsorted(bins, LINE_AA, side="right")) - 1
    sed = toy.sed[1, 30].astype(float)
    flat = np.median(sed)
    around = slice(line_bin - 2, line_bin + 3)
    assert (sed[around] / flat - 1).sum() * 20.0 == pytest.approx(LINE_EW_AA, rel=1e-3)


def test_v_light_by_hand(toy):
    """A flat spectrum of l Lsun/AA has M_AB = -2.5 lg(l Lsun / 4 pi (10 pc)^2 * pivot^2 / c) - 48.60; Sun 4.80."""
    area = 4 * np.pi * 3.0856776e19**2
    pivot2 = (5900.0**2 - 5000.0**2) / (2 * np.log(1.18))
    ours = toy.light_v[1, 40] / toy.spectrum[1, 40, 100]
    mag = -2.5 * np.log10(3.828e33 / area * pivot2 / 2.99792458e18) - 48.60
    assert ours == pytest.approx(10 ** (-0.4 * (mag - 4.80)), rel=2e-3)


def test_too_coarse_and_unstated_resolutions_are_errors(monkeypatch):
    no_download(monkeypatch)
    base = toy_library()
    for fwhm, message in ((12.0, "coarser than the instrument"), (np.nan, "fwhm_aa is stated over")):
        with pytest.raises(SfhInputError, match=message):
            resampling.convolve_to_instrument(
                base.spectrum[0, :1], base.wave_aa, np.full(base.wave_aa.size, fwhm), MUSE_HST.grid
            )


# --- gas --------------------------------------------------------------------------------------------------------


def test_ionising_rate_by_hand():
    """1 Lsun/AA between 400 and 800 AA: Q = Lsun int l dl / hc = 3.828e33 * 240000 / 1.9864e-8."""
    wave = np.arange(300.0, 2000.0, 1.0)
    light = np.where((wave >= 400) & (wave <= 800), 1.0, 0.0)
    assert nebular.ionising_rate(wave, light) == pytest.approx(3.828e33 * 240000 / 1.98644586e-8, rel=5e-3)
    assert nebular.ionising_rate(np.arange(1700.0, 2000.0), np.ones((2, 300))).tolist() == [0.0, 0.0]


def test_halpha_follows_the_ionising_rate_by_case_b(toy):
    at_gas = np.stack([np.interp(toy.mh_gas, toy.mh, q) for q in toy.q_h[:, : toy.n_ion].T], axis=1)
    expected = np.broadcast_to((1.37e-12 * at_gas / 3.828e33)[:, None, :], toy.line_lum.shape[:3])
    np.testing.assert_allclose(toy.line_lum[..., 0], expected, rtol=1e-4)
    expected = np.broadcast_to((1e-50 * at_gas)[:, None, :], toy.line_lum.shape[:3])
    np.testing.assert_allclose(toy.cont_spectrum[..., 5], expected, rtol=1e-4)


def test_truncated_models_are_replaced_by_the_nearest_complete_one():
    case_b = 1.37e-12 / 3.828e33
    halpha = case_b * np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.3, 0.2], [0.1, 0.1, 0.1, 0.1]])
    metals, source = nebular.select_complete_models(halpha)
    assert metals.tolist() == [0, 1]
    assert source.tolist() == [[0, 1, 2, 3], [0, 1, 1, 1]]


# --- the file ---------------------------------------------------------------------------------------------------


def test_saved_templates_come_back(toy, tmp_path):
    path = tmp_path / "deep" / "templates.npz"
    templates.save_templates(toy, path)
    back = templates.load_templates(path)
    assert back.sha256 == toy.sha256
    np.testing.assert_array_equal(back.spectrum, toy.spectrum)
    np.testing.assert_array_equal(back.filters[0].throughput, toy.filters[0].throughput)
    assert back.provenance["name"] == "toy"
    assert [p.name for p in path.parent.iterdir()] == ["templates.npz"]


def test_a_damaged_file_is_named(toy, tmp_path):
    path = tmp_path / "templates.npz"
    templates.save_templates(toy, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SfhInputError, match=r"templates.npz: not a templates file"):
        templates.load_templates(path)


def test_an_altered_array_is_noticed(toy, tmp_path):
    path = tmp_path / "templates.npz"
    templates.save_templates(toy, path)
    with np.load(path) as stored:
        content = dict(stored)
    content["spectrum"][0, 0, 0] *= 1.5
    np.savez(path, **content)
    with pytest.raises(SfhInputError, match="does not match its sha256"):
        templates.load_templates(path)


def test_a_folder_that_cannot_be_written_is_named(toy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SfhInputError, match="cannot be made"):
        templates.save_templates(toy, tmp_path / "file" / "templates.npz")


def test_a_library_name_must_fit_a_file_name(tmp_path):
    with pytest.raises(SfhInputError, match=r"library name '\.\./x'"):
        templates.prepare_templates("../x", cache=tmp_path)
