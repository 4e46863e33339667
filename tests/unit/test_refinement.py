"""Refinement by likelihood: its parts against exact answers, and a toy galaxy from bundle to table."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy.stats import multivariate_normal
from smooth_result import make_result
from toy_universe import make_toy_basis, make_toy_data, write_toy_bundle

from napari_sfh.analysis.refinement import likelihood, result_bins
from napari_sfh.analysis.refinement.mode_sampling import SamplingSettings, sample_modes
from napari_sfh.analysis.refinement.normal_modes import find_best_points, fit_normal_modes
from napari_sfh.analysis.refinement.refining import RefinementSettings, refine_posterior
from napari_sfh.analysis.refinement.torch_templates import make_torch_templates
from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result, write_result
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.prior_summary import GaussianMixtureDensity, LabelDensity, PriorSummary, label_density_from_json
from napari_sfh.model.sfh_model import targets_from_labels
from napari_sfh.model.targets import HistoryTargets

SHORT = SamplingSettings(groups=2, chains=3, bridges=4, moves=9, most_blocks=1, leapfrogs=2)
QUICK = RefinementSettings(4, 0.02, climbs=3, sampling=SHORT)


def make_density(seed=1, components=3, size=4):
    rng = np.random.default_rng(seed)
    roots = np.triu(rng.normal(0, 0.3, (components, size, size))) + 2 * np.eye(size)
    arrays = (np.full(components, 1 / components), rng.normal(size=(components, size)), roots)
    return LabelDensity(*(torch.from_numpy(a.astype(np.float32)) for a in arrays))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Toy weights that know the density of their labels: one normal distribution about those of toy data."""
    _, labels = make_toy_data(400, seed=3)
    y = targets_from_labels(labels, HistoryTargets())
    root = torch.diag(1 / (y.std(0) + 0.05))
    density = LabelDensity(torch.ones(1), y.mean(0)[None], root[None])
    means = GaussianMixtureDensity(("mh_mw",), np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)))
    summary = PriorSummary({}, means, 400, density)
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    return load_bundle(write_toy_bundle(path, prior_summary=summary.to_json()))


def test_templates_in_torch_are_those_of_numpy():
    basis, rng = make_toy_basis(), np.random.default_rng(1)
    mass, mh = rng.dirichlet(np.ones(16), 5).astype(np.float32), rng.uniform(-2, 0.6, (5, 16)).astype(np.float32)
    dust = rng.uniform(0.1, 1, (2, 5)).astype(np.float32), np.full(5, -0.9, np.float32)
    expected = basis.reconstruct(mass, mh, *dust[0], dust[1])
    tensors = [torch.from_numpy(a) for a in (mass, mh, *dust[0], dust[1])]
    for made, want in zip(make_torch_templates(basis).reconstruct(*tensors), expected, strict=True):
        np.testing.assert_allclose(made.numpy(), want, rtol=2e-4)


def test_escaping_photons_take_the_lines_along():
    templates = make_torch_templates(make_toy_basis())
    mass, mh = torch.eye(16)[:1], torch.zeros(1, 16)
    dust = [torch.tensor([x]) for x in (0.0, 0.0, -0.7)]
    line = int(np.argmin(np.abs(make_toy_basis().wave_aa - 6562.8)))
    bright, half, none = (
        templates.reconstruct(mass, mh, *dust, torch.tensor([e]))[0][0, line] for e in (0.0, 0.5, 1.0)
    )
    assert float((bright - half) / (half - none)) == pytest.approx(1.0, rel=0.02)


def test_polynomials_and_offsets_are_integrated_out_exactly():
    """The same as a normal distribution whose covariance holds calibration and offset."""
    rng, data = np.random.default_rng(2), make_toy_data(1, seed=5, snr=20.0)[0]
    made = likelihood.make_likelihood(data, 0, order=3, calibration=0.05)
    few = torch.arange(0, len(made.flux), 6)
    columns = {k: getattr(made, k)[..., few] for k in ("pairs", "flux", "error", "polynomials")}
    made = replace(made, **columns)
    models = np.stack([data.flux[0] * f + 0.01 * rng.standard_normal(data.flux.shape[1]) for f in (1.0, 1.05, 0.9)])
    phot = np.stack([data.phot[0] * f for f in (1.0, 1.1, 0.8)])
    models = models @ made.pairs.numpy()
    got = made.log_prob(*(torch.from_numpy(a.astype(np.float32)) for a in (models, phot)), torch.zeros(3))
    expected = []
    for model, bands in zip(models, phot, strict=True):
        design = model * made.polynomials.numpy()
        covariance = np.diag(made.error.numpy() ** 2.0) + design.T @ np.diag(1 / made.prior_precision.numpy()) @ design
        spread = np.diag(data.phot_error[0] ** 2 + (likelihood.BAND_FLOOR * bands) ** 2)
        spread += likelihood.BAND_OFFSET**2 * np.outer(bands, bands)
        value = multivariate_normal(model, covariance).logpdf(made.flux.numpy().astype(float))
        expected.append(value + multivariate_normal(bands, spread).logpdf(data.phot[0]))
    np.testing.assert_allclose(np.diff(got.numpy()), np.diff(expected), rtol=5e-3)


def test_a_model_far_from_the_data_is_never_likely():
    """Spectra behind optical depths of a hundred and more once gave chi2 below zero."""
    data, _ = make_toy_data(1, seed=5, snr=20.0)
    made = likelihood.make_likelihood(data, 0)
    own = made.flux
    slope = torch.linspace(-1, 1, len(own))
    models = torch.stack([own, *(own * 10.0 ** (k * slope) for k in (2, 6, 10))])
    values = made.log_prob(models, torch.from_numpy(data.phot).expand(4, -1), torch.zeros(4))
    assert torch.isfinite(values).all()
    assert (values[1:] < values[0] - 100).all()


def test_pairs_of_pixels_are_weighed_by_their_errors():
    data, _ = make_toy_data(1, seed=5)
    error, mask = data.error.copy(), data.mask.copy()
    mask[0, :8] = True
    mask[0, [4, 6, 7]] = False
    error[0, :4] = 0.3, 0.4, 0.1, 0.1
    made = likelihood.make_likelihood(replace(data, error=error, mask=mask), 0)
    weights = [16 / 25, 9 / 25]
    assert float(made.flux[0]) == pytest.approx(weights @ data.flux[0, :2], rel=1e-5)
    assert float(made.error[0]) == pytest.approx(
        np.hypot(0.24, likelihood.TEMPLATE_FLOOR * float(made.flux[0])), rel=1e-5
    )
    assert float(made.flux[2]) == pytest.approx(data.flux[0, 5])
    np.testing.assert_allclose(made.pairs.sum(0), 1, rtol=1e-5)
    assert not made.pairs[6:8].any()


def test_correlation_length_of_smoothed_noise():
    white = np.random.default_rng(1).standard_normal(40_000)
    assert likelihood.measure_correlation_length(white) == pytest.approx(1.0, abs=0.15)
    mean_of_four = np.convolve(white, np.full(4, 0.25), "valid")
    assert likelihood.measure_correlation_length(mean_of_four) == pytest.approx(4.0, rel=0.1)


class TwoSlabs:
    """Two thin normal distributions of three dimensions, across each other and far apart, 3 to 1 in mass."""

    means = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    sigmas = torch.tensor([[0.01, 1.0, 0.5], [1.0, 0.02, 0.5]])
    ln_mass = torch.tensor([0.75, 0.25]).log()

    def evaluate(self, part, points):
        sigma = self.sigmas[part]
        away = (points - self.means[part]) / sigma
        # A fourth power makes the last dimension narrower than the curvature at its best point says.
        return self.ln_mass[part] - 0.5 * (away**2).sum(1) - sigma.log().sum(1) - 0.2 * away[:, 2] ** 4

    def measure_curvature(self, part, points):
        return torch.diag_embed(1 / self.sigmas[part] ** 2)


def test_chains_visit_each_part_as_often_as_its_mass_says():
    """Orbits alone never lead from one slab to the other."""
    density = TwoSlabs()
    modes = fit_normal_modes(density, find_best_points(density, density.means + 0.3, 20))
    np.testing.assert_allclose(modes.points, density.means, atol=1e-3)
    watch = lambda points: points  # noqa: E731
    made = sample_modes(density, modes, watch, SamplingSettings(bridges=4, moves=100, most_blocks=1))
    assert made.have_met
    second = made.points[:, 0] > 4
    assert float(second.float().mean()) == pytest.approx(0.25, abs=0.04)
    for rows, sigma in zip((~second, second), density.sigmas, strict=True):
        np.testing.assert_allclose(made.points[rows].std(0)[:2], sigma[:2], rtol=0.15)
    assert float(made.points[:, 2].std()) == pytest.approx(0.323, abs=0.03)  # by quadrature
    stuck = sample_modes(density, modes, watch, SamplingSettings(bridges=4, moves=40, most_blocks=1, jumps=0))
    assert not stuck.have_met
    assert stuck.ratio > 1.3


def test_chains_that_have_not_met_go_on():
    density, steps = TwoSlabs(), []
    modes = fit_normal_modes(density, density.means)
    settings = SamplingSettings(groups=2, chains=2, bridges=2, moves=6, most_blocks=3, jumps=0)
    made = sample_modes(density, modes, lambda points: points, settings, progress=steps.append)
    assert [s.done for s in steps] == list(range(1, 21))
    assert {s.total for s in steps} == {8, 14, 20}
    assert not made.have_met


def test_curvature_of_the_likelihood_is_that_of_differences():
    """For a model that is linear in its parameters, and data that it fits, Gauss and Newton's is exact."""
    rng, data = np.random.default_rng(3), make_toy_data(1, seed=5, snr=20.0)[0]
    made = likelihood.make_likelihood(data, 0, order=3, calibration=0.05)
    slopes = torch.from_numpy(rng.normal(0, 0.2, (1, 2, len(made.flux))).astype(np.float32))
    phot_slopes = torch.from_numpy(rng.normal(0, 0.2, (1, 2, 5)).astype(np.float32))
    phot = torch.from_numpy(data.phot)
    got = made.measure_curvature(made.flux[None], phot, torch.zeros(1), slopes, phot_slopes)[0]

    def value(a, b):
        away = torch.tensor([[a, b]], dtype=torch.float32)
        models = made.flux + away @ slopes[0], phot + away @ phot_slopes[0]
        return float(made.log_prob(*models, torch.zeros(1)))

    h = 0.02
    curved = [-(value(*e) + value(*(-x for x in e)) - 2 * value(0, 0)) / h**2 for e in ((h, 0), (0, h))]
    np.testing.assert_allclose(got.diagonal(), curved, rtol=0.03)


def test_density_of_labels_is_a_mixture_and_survives_its_file():
    density = make_density()
    y = np.random.default_rng(4).normal(size=(6, 4)).astype(np.float32)
    parts = []
    for mean, root in zip(density.means.numpy(), density.roots.numpy().astype(float), strict=True):
        parts.append(multivariate_normal(mean, np.linalg.inv(root @ root.T)).logpdf(y) + np.log(1 / 3))
    expected = np.logaddexp.reduce(parts)
    np.testing.assert_allclose(density.log_prob(torch.from_numpy(y)), expected, rtol=1e-4)
    one = density.log_prob_of(torch.full((6,), 2), torch.from_numpy(y))
    np.testing.assert_allclose(one, parts[2], rtol=1e-4)
    again = label_density_from_json(density.to_json())
    np.testing.assert_allclose(again.log_prob(torch.from_numpy(y)), expected, rtol=5e-3)
    with pytest.raises(SfhInputError, match="roots"):
        label_density_from_json(density.to_json() | {"roots": ""})


def test_a_toy_galaxy_is_refined_the_same_way_twice(bundle):
    data, _ = make_toy_data(2, seed=8, snr=40.0)
    first, again = (refine_posterior(data, 1, bundle, QUICK) for _ in range(2))
    np.testing.assert_array_equal(first.quantiles["lg_age_lw"], again.quantiles["lg_age_lw"])
    assert first.quantiles["mh"].shape == (16, 5)
    assert first.model_flux.shape == (5, data.instrument.n_wave)
    assert np.all(np.diff(first.model_flux, axis=0) >= 0)
    assert len(first.draws["lg_age_mw"]) == len(first.sampled.points)
    assert 0 <= first.check.continuum <= 1
    assert 0 <= first.check.bands <= 1


def test_a_spectrum_that_no_model_makes_contradicts_it(bundle):
    data, _ = make_toy_data(1, seed=8, snr=60.0)
    wave = data.instrument.wave_aa
    bump = 1 + 0.5 * np.exp(-0.5 * ((wave - 5600) / 40) ** 2)
    spoilt = replace(data, flux=(data.flux * bump).astype(np.float32))
    assert refine_posterior(spoilt, 0, bundle, QUICK).check.contradicts


def test_what_cannot_be_refined_is_refused(bundle, tmp_path):
    data, _ = make_toy_data(1, seed=8)
    blind = replace(data, mask=np.zeros_like(data.mask))
    with pytest.raises(SfhInputError, match="usable pixels"):
        refine_posterior(blind, 0, bundle, QUICK)
    with pytest.raises(SfhInputError, match="density of the prior"):
        refine_posterior(data, 0, load_bundle(write_toy_bundle(tmp_path / "w.safetensors")), QUICK)


@pytest.fixture
def saved(bundle, tmp_path, monkeypatch):
    """A result file whose first bins are toy galaxies, and quick sampling."""
    result = make_result()
    data, _ = make_toy_data(result.bins.n_bins, seed=6)
    result = replace(result, data=replace(data, v_kms=result.data.v_kms, norm_cgs=result.data.norm_cgs))
    monkeypatch.setattr(result_bins, "load_result_bundle", lambda _: bundle)
    plain = result_bins.refine_posterior
    monkeypatch.setattr(result_bins, "refine_posterior", lambda d, i, b, s, *more: plain(d, i, b, QUICK, *more))
    write_result(result, tmp_path / "result.fits")
    return tmp_path / "result.fits"


def test_the_command_writes_network_and_fit_side_by_side(saved, tmp_path, capsys):
    assert main(["refine", str(saved), "--bin", "2", "1", "--output", str(tmp_path / "fit.ecsv"), "--quiet"]) == 0
    table = Table.read(tmp_path / "fit.ecsv")
    assert table["BIN_ID"].tolist() == [2, 1]
    assert (table["MH_LW_FIT_P16"] < table["MH_LW_FIT_P84"]).all()
    assert capsys.readouterr().out.count("bin ") == 2
    assert main(["refine", str(saved), "--bin", "99", "--quiet"]) == 2
    assert "bins 1 to" in capsys.readouterr().err
    assert main(["refine", str(saved), "--bin", "1", "--moves", "3", "--quiet"]) == 2
    assert "--moves 3" in capsys.readouterr().err


def test_the_command_refines_the_bins_of_a_region(saved, tmp_path, capsys):
    bins = read_result(saved).bins
    region, far = tmp_path / "two.reg", tmp_path / "far.reg"
    circles = [f"circle({bins.x[k] + 1:.2f},{bins.y[k] + 1:.2f},0.3)" for k in (0, 2)]
    region.write_text("image\n" + "\n".join(circles) + "\n")
    far.write_text("image\ncircle(-400,-400,3)\n")
    fit = tmp_path / "fit.ecsv"
    assert main(["refine", str(saved), "--region", str(region), "--output", str(fit), "--quiet"]) == 0
    assert Table.read(fit)["BIN_ID"].tolist() == [1, 3]
    assert main(["refine", str(saved), "--region", str(far), "--quiet"]) == 2
    assert "no bin" in capsys.readouterr().err
