"""The published narrow-band networks: their data, their splits, their optimisation, the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy.table import Table
from jpas_like import make_jpas_like_filters
from synthetic_toys import prepare_toy_templates, toy_model, toy_templates

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.training import cli
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.studies.narrow_bands import narrow_galaxies, spaxel_lookup, spaxel_tests, spectral_labels
from napari_sfh.training.studies.narrow_bands.narrow_nets import (
    JpasMlp,
    RegressorFitSettings,
    SpaxelCnn,
    SpaxelCnnSettings,
    train_regressor,
)
from napari_sfh.training.studies.narrow_bands.spaxel_table import read_spaxel_table

BANDS = make_jpas_like_filters(4850, 6950, [HALPHA_AA])
QUICK = spaxel_tests.SpaxelTestSettings(fit=RegressorFitSettings(epochs=2))


@pytest.fixture(scope="module")
def spaxels():
    return narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 12, 40, 3, 50.0)


@pytest.mark.parametrize("net", [SpaxelCnn, JpasMlp])
def test_every_weight_gets_a_gradient(net):
    torch.manual_seed(1)
    made = net(41)
    x = torch.randn(64, 41)
    out = made(x)
    assert out.shape == (64,)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_networks_have_the_printed_layers():
    sizes = [m.out_features for m in JpasMlp(56).modules() if isinstance(m, torch.nn.Linear)]
    assert sizes == [128, 256, 256, 256, 1]
    settings = SpaxelCnnSettings(channels=(8, 20), kernels=(6, 10), pool=4, hidden=25)
    convolutions = [m for m in SpaxelCnn(34, settings).modules() if isinstance(m, torch.nn.Conv1d)]
    assert [(c.out_channels, c.kernel_size) for c in convolutions] == [(8, (6,)), (20, (10,))]


@pytest.mark.parametrize("net", [SpaxelCnn, JpasMlp])
def test_networks_learn_a_known_function(net):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(900, 12)).astype(np.float32)
    y = (9.0 + 0.5 * x[:, 3] - 0.3 * x[:, 4]).astype(np.float32)
    settings = RegressorFitSettings(epochs=25, batch=32, learning_rate=5e-3)

    def make(n_bands):
        return net(n_bands, SpaxelCnnSettings(pool=2)) if net is SpaxelCnn else net(n_bands)

    made = train_regressor(make, x[:700], y[:700], (x[700:800], y[700:800]), settings)
    error = made.predict(x[800:]) - y[800:]
    assert error.std() < 0.5 * y.std()
    again = train_regressor(make, x[:700], y[:700], (x[700:800], y[700:800]), settings)
    np.testing.assert_array_equal(made.predict(x), again.predict(x))
    assert len(made.curve) == 25


def test_training_stops_when_nothing_is_gained():
    noise = np.random.default_rng(2).normal(size=(200, 8)).astype(np.float32)
    settings = RegressorFitSettings(epochs=60, patience=3)
    made = train_regressor(JpasMlp, noise[:150], noise[:150, 0] * 0, (noise[150:], noise[150:, 1]), settings)
    assert len(made.curve) < 60


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 4), np.float32), np.ones(2, np.float32), "must agree"),
        (np.full((3, 4), np.nan, np.float32), np.ones(3, np.float32), "be finite"),
        (np.ones((0, 4), np.float32), np.ones(0, np.float32), "not empty"),
    ],
)
def test_bad_sets(x, y, message):
    with pytest.raises(SfhInputError, match=message):
        train_regressor(JpasMlp, x, y, (x, y))


def test_spaxels_of_a_galaxy_resemble_each_other(spaxels):
    assert spaxels.flux.shape == (480, len(BANDS))
    np.testing.assert_allclose(spaxels.flux.mean(1), 1, rtol=1e-5)
    within = np.mean([spaxels.mh[spaxels.galaxy == g].std() for g in range(12)])
    assert within < 0.7 * spaxels.mh.std()
    assert spaxels.r.max() <= narrow_galaxies.R_MAX


def test_ages_spread_as_asked():
    made = narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 40, 10, 3, 50.0, age_sigma=0.25)
    assert 0.15 < made.lg_age.std() < 0.35


def test_fit_finds_the_blend_that_made_the_spectrum():
    rng = np.random.default_rng(0)
    populations = 1 + rng.random((200, 4))
    screens = [np.ones(200), np.linspace(0.6, 1.0, 200)]
    pairs = [np.linalg.qr(populations * screen[:, None]) for screen in screens]
    lg_age, mh = np.array([8.0, 9.0, 9.5, 10.0]), np.array([0.2, 0.0, -0.5, -1.0])
    grid = spectral_labels.PopulationGrid(lg_age, mh, tuple(q for q, _ in pairs), tuple(r for _, r in pairs))
    share = np.array([[0.2, 0.0, 0.3, 0.5], [0.0, 1.0, 0.0, 0.0]])
    spectra = (share @ populations.T) * screens[1] + 1e-5 * rng.standard_normal((2, 200))
    found = spectral_labels.fit_light_weighted_means(spectra, grid)
    np.testing.assert_allclose(found[0], share @ lg_age, atol=1e-3)
    np.testing.assert_allclose(found[1], share @ mh, atol=1e-3)


def test_grid_of_a_library_factors_its_populations():
    grid = spectral_labels.build_population_grid(toy_templates())
    for basis, root in zip(grid.bases, grid.roots, strict=True):
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-8)
        assert root.shape == (grid.mh.size, grid.mh.size)


def test_fitted_labels_follow_the_spectrum():
    made = narrow_galaxies.make_mock_spaxels(
        toy_model(), load_prior("tiny"), BANDS, 6, 8, 3, 40.0, labels="fitted", age_sigma=0.3
    )
    assert np.isfinite(made.flux).all()
    assert np.isfinite(made.lg_age).all()
    assert not np.array_equal(made.lg_age, made.truth["lg_age"])


@pytest.mark.parametrize("kind", ["A", "B"])
def test_folds_cover_everything_once(spaxels, kind):
    parts = narrow_galaxies.split_folds(spaxels, kind, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(480))
    for part in parts:
        held = set(spaxels.galaxy[part].tolist())
        rest = set(spaxels.galaxy[np.setdiff1d(np.arange(480), part)].tolist())
        if kind == "A":
            assert held == rest == set(range(12))
        else:
            assert not held & rest


def test_galaxies_that_stop_the_fit_of_set_b_are_not_fitted(spaxels):
    rows = narrow_galaxies.split_folds(spaxels, "B", 1)[0]
    fit_on, stop_on = spaxel_tests.split_for_stopping(spaxels, np.setdiff1d(np.arange(480), rows), "B", 2)
    assert not set(spaxels.galaxy[fit_on]) & set(spaxels.galaxy[stop_on])
    assert len(stop_on) > 0


def test_set_is_measured_with_its_gradients(spaxels):
    answers = spaxel_tests.SetAnswers({q: getattr(spaxels, q) + 0.1 for q in ("lg_age", "mh")}, spaxels.galaxy, {})
    table = spaxel_tests.measure_set(spaxels, answers)
    assert table["mh"]["bias"] == pytest.approx(0.1, abs=1e-5)
    assert table["mh"]["nmad"] == pytest.approx(0.0, abs=1e-5)
    few = (np.bincount(spaxels.galaxy, spaxels.r < 1) >= 25).sum()
    if few:
        assert table["mh"]["gradient"]["n"] == few
        assert table["mh"]["gradient"]["nmad"] == pytest.approx(0.0, abs=1e-4)


def test_errors_that_follow_a_property_show_as_its_trend(spaxels):
    error = spaxels.properties["a_v"][spaxels.galaxy] * 0.2
    answers = spaxel_tests.SetAnswers({q: getattr(spaxels, q) + error for q in ("lg_age", "mh")}, spaxels.galaxy, {})
    trends = spaxel_tests.measure_trends(spaxels, answers)
    assert trends["mh"]["a_v"]["correlation_of_median"] > 0.99


def test_search_keeps_the_best_of_what_it_tried(spaxels):
    best, tried = spaxel_tests.select_spaxel_network(spaxels, QUICK, 2)
    winner = min(tried, key=lambda t: t["loss"])
    assert best.network.channels == winner["channels"]
    assert best.fit.batch == winner["batch"]


def test_too_few_spaxels():
    with pytest.raises(SfhInputError, match="at least 4 of each"):
        narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 2, 16, 3, 50.0)


@pytest.fixture
def spaxel_table(tmp_path, spaxels):
    """The mock spaxels as a user's table would hold them."""
    bands = load_instrument("narrowband").band_names
    rng = np.random.default_rng(4)
    table = Table({"galaxy": spaxels.galaxy, "r_re": spaxels.r, "lg_age_lw": spaxels.lg_age, "mh_lw": spaxels.mh})
    for band in bands:
        table[band] = 1 + 0.3 * rng.random(len(spaxels.r))
        table[band].unit = "erg / (s cm2 Angstrom)"
        table[f"{band}_err"] = np.full(len(spaxels.r), 0.02)
    path = tmp_path / "spaxels.fits"
    table.write(path)
    return path


def test_own_spaxels_are_read_and_tested(tmp_path, spaxel_table, spaxels, capsys):
    made = read_spaxel_table(spaxel_table, load_instrument("narrowband"))
    assert made.n_galaxies == 12
    np.testing.assert_allclose(made.lg_age, spaxels.lg_age, rtol=1e-6)
    output = tmp_path / "own.json"
    words = ["--data", str(spaxel_table), "--epochs", "1", "--quiet", "--output", str(output)]
    assert cli.main(["paper-systems", "spaxels", *words]) == 0
    assert capsys.readouterr().out.strip() == str(output.with_suffix(".md"))
    assert json.loads(output.read_text())["sets"]["B"]["mh"]["n"] == 480


@pytest.mark.usefixtures("small_figures")
def test_spaxels_without_radii_have_figures_but_no_gradients(tmp_path, spaxel_table):
    table = Table.read(spaxel_table)
    table.remove_column("r_re")
    table.write(tmp_path / "plain.fits")
    output, figures = tmp_path / "own.json", tmp_path / "figures"
    words = ["--data", str(tmp_path / "plain.fits"), "--epochs", "1", "--quiet", "--figures", str(figures)]
    assert cli.main(["paper-systems", "spaxels", *words, "--output", str(output)]) == 0
    assert "gradient" not in json.loads(output.read_text())["sets"]["A"]["mh"]
    drawn = {p.name.split("-")[0] for p in figures.glob("*.png")}
    assert {"fig04", "fig06", "fig08"} <= drawn
    assert not drawn & {"fig03", "fig05", "fig07", "fig14"}


@pytest.mark.usefixtures("small_figures")
def test_command_measures_mock_galaxies_and_draws_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    output, figures = tmp_path / "out.json", tmp_path / "figures"
    small = ["--galaxies", "8", "--spaxels", "30", "--prior", "tiny", "--labels", "truth", "--epochs", "1"]
    words = [*small, "--instrument", "narrowband-muse", "--quiet", "--figures", str(figures), "--output", str(output)]
    assert cli.main(["paper-systems", "spaxels", *words]) == 0
    measured = json.loads(output.read_text())
    assert set(measured["sets"]) == {"A", "B"}
    assert "| B | [M/H] |" in output.with_suffix(".md").read_text()
    assert {p.name.split("-")[0] for p in figures.glob("*.png")} >= {"fig03", "fig06", "fig08", "fig10", "fig12"}


def test_labels_of_noisier_spectra_scatter_more(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    output = tmp_path / "out.json"
    small = ["--galaxies", "8", "--spaxels", "12", "--prior", "tiny", "--epochs", "1", "--quiet"]
    words = [*small, "--instrument", "narrowband-muse", "--label-snr", "3", "300", "--output", str(output)]
    assert cli.main(["paper-systems", "spaxels", *words]) == 0
    rows = json.loads(output.read_text())["label_noise"]
    assert rows["3"]["n_spaxels"] == 96
    assert rows["3"]["labels"]["lg_age"]["nmad"] > 1.5 * rows["300"]["labels"]["lg_age"]["nmad"]
    assert set(rows["300"]["B"]["mh"]) >= {"nmad", "against_truth"}
    assert output.with_suffix(".md").read_text().count("| 300 |") == 2


def test_memory_alone_tells_the_sets_apart():
    """Galaxies that are points in the space of the bands: known ones are found, others answered by chance."""
    rng = np.random.default_rng(3)
    galaxy = np.repeat(np.arange(24, dtype=np.int32), 12)
    flux = np.exp(rng.normal(size=(24, 6)))[galaxy] * (1 + 1e-4 * rng.standard_normal((galaxy.size, 6)))
    lg_age, mh = rng.normal(size=(2, 24)).astype(np.float32)[:, galaxy]
    made = narrow_galaxies.MockSpaxels(flux.astype(np.float32), lg_age, mh, galaxy, np.zeros(galaxy.size, np.float32))
    found = spaxel_lookup.measure_spaxel_lookup(made, 5)
    assert (found["A"]["same_galaxy"], found["B"]["same_galaxy"]) == (1.0, 0.0)
    assert found["A"]["lg_age"]["std"] == 0
    assert 0.6 < found["B"]["lg_age"]["std"] / (np.sqrt(2) * lg_age.std()) < 1.4


def test_command_measures_a_lookup(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    output = tmp_path / "out.json"
    small = ["--galaxies", "8", "--spaxels", "30", "--prior", "tiny", "--labels", "truth", "--snr", "300", "--quiet"]
    words = [*small, "--instrument", "narrowband-muse", "--lookup", "--output", str(output)]
    assert cli.main(["paper-systems", "spaxels", *words]) == 0
    found = json.loads(output.read_text())["lookup"]
    assert found["B"]["same_galaxy"] == 0 < found["A"]["same_galaxy"]
    assert f"| B | {found['B']['lg_age']['std']:.3f} / " in output.with_suffix(".md").read_text()


def test_small_training_sets_get_as_many_steps(spaxels, monkeypatch):
    asked = []

    def fit(made, name, rows, kind, settings, seed):
        asked.append(settings.fit.epochs * len(rows))
        return SimpleNamespace(predict=lambda flux: flux[:, 0])

    monkeypatch.setattr(spaxel_tests, "fit_spaxel_network", fit)
    settings = spaxel_tests.SpaxelTestSettings(fit=RegressorFitSettings(epochs=100))
    curve = spaxel_tests.measure_learning_curve(spaxels, settings, 1)
    assert len(asked) == 2 * len(curve["shares"])
    of_set_a = np.array(asked[: len(curve["shares"])])
    np.testing.assert_allclose(of_set_a, of_set_a[-1], rtol=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spaxels", "--galaxies", "2"], "--galaxies 2: must be at least 8"),
        (["spaxels", "--snr", "-1"], "--snr -1: must be positive"),
        (["spaxels", "--label-snr", "40", "0"], "--label-snr 0: must be positive"),
        (["spaxels", "--label-snr", "40", "--labels", "truth", "--galaxies", "8", "--spaxels", "8"], "have no noise"),
        (["spaxels", "--label-snr", "40", "--lookup"], "--lookup: one thing at a time"),
        (["jpas", "--n", "5"], "--n 5: must be at least 10"),
        (["percentiles"], "--folder: give the MILES models"),
    ],
)
def test_bad_arguments(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    assert cli.main(["paper-systems", *words, "--output", str(tmp_path / "out.json")]) == 2
    assert message in capsys.readouterr().err
