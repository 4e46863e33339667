"""The two narrow-band networks: their data, their splits, their optimisation, the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_toys import prepare_toy_templates, toy_model, toy_templates

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.narrow_bands import make_jpas_like_filters
from napari_sfh.physics.dust import tau_from_ebv
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.training import cli
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.studies import narrow_galaxies, narrow_measure, narrow_page, narrow_ssp
from napari_sfh.training.studies.narrow_nets import JpasMlp, RegressorFitSettings, SpaxelCnn, train_regressor

BANDS = make_jpas_like_filters(4750, 9350, [HALPHA_AA])


@pytest.fixture(scope="module")
def spaxels():
    return narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 12, 16, 3, 50.0)


@pytest.mark.parametrize("net", [SpaxelCnn, JpasMlp])
def test_every_weight_gets_a_gradient(net):
    torch.manual_seed(1)
    made = net(41)
    x = torch.randn(64, 41)
    out = made(x)
    assert out.shape == (64,)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_plain_net_has_the_papers_layers():
    sizes = [m.out_features for m in JpasMlp(56).modules() if isinstance(m, torch.nn.Linear)]
    assert sizes == [128, 256, 256, 256, 1]


@pytest.mark.parametrize("net", [SpaxelCnn, JpasMlp])
def test_networks_learn_a_known_function(net):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(900, 12)).astype(np.float32)
    y = (9.0 + 0.5 * x[:, 3] - 0.3 * x[:, 4] + 0.2 * x[:, 0] ** 2).astype(np.float32)
    settings = RegressorFitSettings(epochs=15, batch=64, learning_rate=3e-3)
    made = train_regressor(net, x[:700], y[:700], (x[700:800], y[700:800]), settings)
    error = made.predict(x[800:]) - y[800:]
    assert error.std() < 0.4 * y.std()
    again = train_regressor(net, x[:700], y[:700], (x[700:800], y[700:800]), settings)
    np.testing.assert_array_equal(made.predict(x), again.predict(x))


def test_training_stops_when_nothing_is_gained():
    calls = []

    class Counted(JpasMlp):
        def train(self, mode=True):
            calls.append(mode)
            return super().train(mode)

    noise = np.random.default_rng(2).normal(size=(200, 8)).astype(np.float32)
    train_regressor(
        Counted,
        noise[:150],
        noise[:150, 0] * 0,
        (noise[150:], noise[150:, 1]),
        RegressorFitSettings(epochs=60, patience=3),
    )
    assert sum(calls) < 60


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
    assert spaxels.flux.shape == (192, len(BANDS))
    np.testing.assert_allclose(spaxels.flux.mean(1), 1, rtol=1e-5)
    within = np.mean([spaxels.mh[spaxels.galaxy == g].std() for g in range(12)])
    assert within < 0.7 * spaxels.mh.std()
    assert spaxels.r.max() <= narrow_galaxies.R_MAX


def test_spaxels_keep_the_drawn_populations_at_their_ends():
    made = narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 6, 200, 4, 1e6)
    slopes = [np.polyfit(made.r[made.galaxy == g], made.lg_age[made.galaxy == g], 1)[0] for g in range(6)]
    assert np.abs(slopes).max() > 0.05  # inner and outer populations differ, and the radius blends them


@pytest.mark.parametrize("kind", ["A", "B"])
def test_folds_cover_everything_once(spaxels, kind):
    parts = narrow_galaxies.split_folds(spaxels, kind, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(192))
    for part in parts:
        held = set(spaxels.galaxy[part].tolist())
        rest = set(spaxels.galaxy[np.setdiff1d(np.arange(192), part)].tolist())
        if kind == "A":
            assert held == rest == set(range(12))
        else:
            assert not held & rest


def test_galaxies_that_stop_the_fit_of_set_b_are_not_fitted(spaxels):
    rows = narrow_galaxies.split_folds(spaxels, "B", 1)[0]
    fit_on, stop_on = narrow_measure._split_for_stopping(spaxels, np.setdiff1d(np.arange(192), rows), "B", 2)
    assert not set(spaxels.galaxy[fit_on]) & set(spaxels.galaxy[stop_on])
    assert len(stop_on) > 0


def test_set_b_is_harder_than_set_a_and_says_so():
    settings = narrow_measure.SpaxelSettings(
        n_galaxies=12, per_galaxy=24, prior="tiny", fit=RegressorFitSettings(epochs=2)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        result = narrow_measure.measure_spaxel_networks(settings)
    assert set(result["sets"]) == {"A", "B"}
    for kind in "AB":
        assert result["sets"][kind]["mh"]["n"] == 12 * 24
        assert result["sets"][kind]["mh"]["gradient"]["n"] == 12
    assert result["memory"]["mh"] == pytest.approx(
        result["sets"]["B"]["mh"]["nmad"] / result["sets"]["A"]["mh"]["nmad"]
    )
    json.dumps(result, allow_nan=False)


def test_populations_have_the_sed_of_their_template_behind_dust():
    t = toy_templates()
    made = narrow_ssp.draw_ssp_sample(t, 200, (-0.9, 0.2), 1)
    assert made.flux.shape == (200, 56)
    # The toy stars are flat in f_lambda but for one line at 6000 AA: what is left is dust and pivot^2.
    blue, red = 2, 50  # both narrow: extinction hardly changes over a band
    ratio = -2.5 * np.log10(made.flux[:, blue] / made.flux[:, red])
    shape = (made.pivot_aa[blue] / 5500) ** -0.7 - (made.pivot_aa[red] / 5500) ** -0.7
    expected = 1.0857 * tau_from_ebv(made.ebv) * shape - 5 * np.log10(made.pivot_aa[blue] / made.pivot_aa[red])
    np.testing.assert_allclose(ratio, expected, atol=0.01)


def test_errors_follow_the_magnitude():
    rng = np.random.default_rng(3)
    made = narrow_ssp.draw_ssp_sample(toy_templates(), 400, (-0.9, 0.2), 1)
    made = replace(made, flux=np.ones_like(made.flux))
    for magnitude in (16.0, 22.0):
        scatter = narrow_ssp.observe_ssp_sample(made, magnitude, rng)[:, :30].std()
        expected = narrow_ssp.relative_band_error(np.full((1, 56), magnitude), made.pivot_aa)[0, :30].mean()
        assert scatter == pytest.approx(expected, rel=0.1)
    assert narrow_ssp.relative_band_error(np.array([[22.3]]), np.array([5000.0]))[0, 0] == pytest.approx(0.2, rel=0.01)


def test_libraries_without_a_common_metallicity():
    t = toy_templates()
    with pytest.raises(SfhInputError, match="no common range"):
        narrow_ssp.find_common_mh_range([t, replace(t, mh=t.mh + 5)])


def test_commands_fill_one_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    common = ["--epochs", "1", "--quiet", "--output", str(tmp_path)]
    small = ["--galaxies", "8", "--spaxels", "12", "--prior", "tiny"]
    assert cli.main(["narrowband", "--system", "jpas", "--n", "200", "--n-test", "50", *common]) == 0
    assert cli.main(["narrowband", "--system", "spaxel", *small, *common]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "narrow-band.md")] * 2
    results = json.loads((tmp_path / "narrow-band.json").read_text())
    assert set(results) == {"spaxel", "jpas"}
    assert set(results["jpas"]["across"]) == {"bc03-miles", "e-miles", "all mixed"}
    assert list(results["jpas"]["by_magnitude"]["ebv"]) == [f"{m:g}" for m in narrow_ssp.MAGNITUDES]
    text = (tmp_path / "narrow-band.md").read_text()
    assert text == narrow_page.format_narrow_band_page(results)
    assert "| B | [M/H] |" in text
    assert "| all mixed | e-miles |" in text


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--system", "jpas", "--n", "5"], "--n 5: must be at least 100"),
        (["--system", "spaxel", "--galaxies", "2"], "--galaxies 2: must be at least 8"),
        (["--system", "spaxel", "--snr", "-1"], "--snr -1: must be positive"),
    ],
)
def test_bad_arguments(tmp_path, capsys, extra, message):
    assert cli.main(["narrowband", *extra, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_too_few_spaxels():
    with pytest.raises(SfhInputError, match="at least 4 of each"):
        narrow_galaxies.make_mock_spaxels(toy_model(), load_prior("tiny"), BANDS, 2, 16, 3, 50.0)


def test_damaged_results(tmp_path, capsys):
    (tmp_path / "narrow-band.json").write_text("{")
    args = ["narrowband", "--system", "jpas", "--n", "100", "--epochs", "1", "--quiet", "--output", str(tmp_path)]
    assert cli.main(args) == 2
    assert "damaged" in capsys.readouterr().err
