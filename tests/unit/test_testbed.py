"""The test bed: each case does what it says, and the table counts what it should."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import WAVE_AA
from synthetic_toys import prepare_toy_templates, toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.training import cli
from napari_sfh.training.evaluation.robustness import cases
from napari_sfh.training.evaluation.robustness.testbed import (
    CLASS_NAMES,
    TestbedSettings,
    format_testbed_table,
    measure_testbed,
    summarise_by_class,
)
from napari_sfh.training.libraries import templates
from napari_sfh.training.simulator.independent_simulator import simulate_independent_galaxies

SNR = 1e5


@pytest.fixture(scope="module")
def galaxies():
    return simulate_independent_galaxies(toy_templates(), 30, np.random.default_rng(1))


@pytest.fixture(scope="module")
def line(galaxies):
    """The same galaxies with one absorption line of 4 AA in place of their spectra."""
    made = 1 - 0.5 * np.exp(-0.5 * ((WAVE_AA - 5900.0) / 4.0) ** 2)
    return replace(galaxies, flux=np.tile(made, (30, 1)))


def moments(flux):
    centre = ((1 - flux) * WAVE_AA).sum(1) / (1 - flux).sum(1)
    return centre, np.sqrt(((1 - flux) * (WAVE_AA - centre[:, None]) ** 2).sum(1) / (1 - flux).sum(1))


def changed(name, galaxies):
    return cases.TEST_CASES[name].change(galaxies, np.random.default_rng(2)).flux


def test_calibration_errors_have_their_size(galaxies):
    ratio = changed("calibration", galaxies) / galaxies.flux
    assert (ratio - 1).std() == pytest.approx(cases.CALIBRATION, rel=0.1)


def test_noise_of_the_galaxies_is_what_their_dispersion_says(galaxies):
    seen = galaxies.observe(20.0, np.random.default_rng(3))
    norm = (seen.flux / galaxies.flux).mean(1, keepdims=True)
    chi2 = reduced_chi2(seen, (galaxies.flux * norm).astype(np.float32))
    assert np.median(chi2) == pytest.approx(1.0, abs=0.1)  # a calibration error of 1 % adds 0.04


def test_velocities_are_wrong_by_20_km_s_either_way(line):
    centre, width = moments(changed("velocity", line))
    np.testing.assert_allclose(abs(centre - 5900.0), 5900 * cases.VELOCITY_KMS / C_KMS, rtol=0.02)
    assert {int(x) for x in np.sign(centre - 5900)} == {-1, 1}
    np.testing.assert_allclose(width, 4.0, rtol=0.01)


def test_a_wrong_lsf_changes_the_width_in_square(line):
    instrument = line.instrument
    sigma = float(instrument.grid.lsf.fwhm_aa(5900.0)) / 2.3548
    _, width = moments(changed("lsf", line))
    excess = sorted({round(float(x), 2) for x in width**2 - 16.0})
    assert excess[0] == pytest.approx((0.9**2 - 1) * sigma**2, abs=0.05)
    assert excess[-1] == pytest.approx((1.1**2 - 1) * sigma**2, abs=0.05)


def test_a_wrong_dispersion_never_changes_the_depth_of_the_continuum(galaxies):
    flux = changed("sigma", galaxies)
    np.testing.assert_allclose(flux.mean(1), galaxies.flux.mean(1), rtol=1e-3)
    assert not np.allclose(flux, galaxies.flux, rtol=1e-3)


def test_telluric_and_scattered_light_leave_the_bands_alone(galaxies):
    for name in ("telluric", "scattered-light"):
        out = cases.TEST_CASES[name].change(galaxies, np.random.default_rng(2))
        assert np.array_equal(out.phot, galaxies.phot)
        assert not np.allclose(out.flux, galaxies.flux, rtol=1e-3)


def test_hidden_lines_and_sky_residuals_change_what_was_observed(galaxies):
    clean, hidden, sky = (cases.TEST_CASES[k].observe(galaxies, SNR, 3) for k in ("clean", "lines-hidden", "sky"))
    assert clean.mask.all()
    assert 0.7 < hidden.mask.mean() < 0.9
    pull = (sky.flux - clean.flux) / clean.error
    near = (WAVE_AA > 5515) & (WAVE_AA < 5580)
    assert np.median(abs(pull[:, near]).max(1)) > cases.SKY / 2
    assert abs(pull[:, np.searchsorted(WAVE_AA, 5350.0)]).max() < 1e-2


def test_classes_count_their_own():
    rng = np.random.default_rng(3)
    truth = {"lg_age_lw": np.repeat([8.0, 9.0, 10.0], 1000)}
    error = rng.standard_normal(3000) * 0.1
    q = truth["lg_age_lw"][:, None] + error[:, None] + 0.1 * np.array([-1.96, -0.99446, 0, 0.99446, 1.96])
    out = summarise_by_class({"lg_age_lw": q}, truth, np.repeat([0.5, 0.5, 2.0], 1000))
    for name in CLASS_NAMES:
        row = out["lg_age_lw"][name]
        assert row["std"] == pytest.approx(0.1, rel=0.1)
        assert row["p68"] == pytest.approx(0.68, abs=0.04)
        assert row["width"] == pytest.approx(0.0994, rel=0.01)
    assert out["warned"] == {"all": pytest.approx(1 / 3), "young": 0.0, "intermediate": 0.0, "old": 1.0}


def test_an_ensemble_is_one_row_of_each_case(tmp_path):
    bundle = load_bundle(write_toy_bundle(tmp_path / "toy.safetensors"))
    said = []
    table = measure_testbed(
        {"one": [bundle], "both": [bundle, bundle]},
        {"toy": toy_templates(), "other": toy_templates()},
        ["toy"],
        TestbedSettings(n=20, draws=120),
        said.append,
        ("clean",),
    )
    assert set(table) == {"clean", "stars of other"}
    one, both = (table["clean"][k]["lg_age_lw"]["all"] for k in ("one", "both"))
    assert both["bias"] == pytest.approx(one["bias"], abs=0.05)
    assert both["width"] == pytest.approx(one["width"], rel=0.3)
    assert len(said) == 4
    assert format_testbed_table(table, "lg_age_lw").count("\n") == 5


def test_the_command_refuses_an_unknown_case(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    path = str(write_toy_bundle(tmp_path / "toy.safetensors"))
    assert cli.main(["testbed", "--weights", path, "--case", "nothing"]) == 2
    assert "choose from clean" in capsys.readouterr().err
    output = tmp_path / "table.json"
    words = ["testbed", "--weights", path, "--case", "clean", "--n", "20", "--draws", "60", "--output", str(output)]
    assert cli.main([*words, "--quiet"]) == 0
    assert "| clean |" in capsys.readouterr().out
    assert output.is_file()
