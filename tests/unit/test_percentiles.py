"""Percentiles of the mass: times by hand, galaxies of a toy library, encoder and flow on an easy problem."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates
from template_toys import toy_library
from toy_universe import write_toy_bundle

from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.inference import predict_histories
from napari_sfh.model.targets import make_targets
from napari_sfh.physics.formation import FORMED_FRACTIONS, compute_formation_times
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.training import cli
from napari_sfh.training.libraries import templates
from napari_sfh.training.studies.percentiles import (
    percentile_figures,
    percentile_galaxies,
    percentile_measure,
    stack_like,
)
from napari_sfh.training.studies.percentiles.percentile_nets import PercentileFitSettings, fit_percentile_posterior


def test_times_of_an_even_history_are_even():
    edges = np.linspace(0.0, 10.0, 101)  # lookback
    formed = (1.0 - edges / 10.0)[None]
    times = 10.0 - compute_formation_times(formed, (0.1, 0.5, 0.9), edges)
    np.testing.assert_allclose(times, [[1.0, 5.0, 9.0]], atol=1e-9)


def test_times_of_a_burst_lie_in_it():
    edges = np.linspace(0.0, 10.0, 101)
    formed = np.clip((edges[-1] - edges - 3.0) / 0.1, 0.0, 1.0)[None]  # all between cosmic 3.0 and 3.1 Gyr
    formed = formed[:, ::1]
    times = 10.0 - compute_formation_times(formed, FORMED_FRACTIONS, edges)
    assert np.all((times > 3.0 - 1e-9) & (times < 3.1 + 1e-9))
    assert np.all(np.diff(times) >= 0)


def test_galaxies_have_every_metallicity_and_split_by_history():
    galaxies = percentile_galaxies.make_percentile_galaxies(toy_library(), 20, seed=1, range_aa=(4000.0, 4200.0))
    assert galaxies.n == 20 * 15
    rows = np.arange(15)
    labels, spectra = galaxies.labels(rows), galaxies.spectra(rows)
    np.testing.assert_allclose(labels[:, -1], percentile_galaxies.MH_VALUES, rtol=1e-6)
    assert np.ptp(labels[:, 0]) == 0
    np.testing.assert_allclose(np.median(spectra, axis=1), 1.0, rtol=1e-5)
    parts = percentile_measure.split_by_history(galaxies, seed=2)
    histories = [set(part // 15) for part in parts]
    assert sum(map(len, histories)) == 20
    assert not histories[0] & histories[2]


def test_spectra_like_the_stacks_have_their_dispersion():
    library = toy_library()
    wave = library.wave_aa
    line = np.exp(-0.5 * ((wave - 5000.0) / (library.fwhm_aa / FWHM_PER_SIGMA)) ** 2)
    library = replace(library, spectrum=np.broadcast_to(1 + line, library.spectrum.shape).astype(np.float32))
    made = percentile_galaxies.make_percentile_galaxies(library, 2, 1, (4800.0, 5200.0), sigma_kms=320.0)
    flux = made.spectra(np.array([0]))[0] - 1
    seen = made.wave_aa
    width = np.sqrt(np.sum(flux * (seen - 5000.0) ** 2) / np.sum(flux))
    assert width == pytest.approx(320.0 / 299792.458 * 5000.0, rel=0.05)


def test_components_are_white_and_uncorrelated():
    rng = np.random.default_rng(0)
    spectra = (rng.standard_normal((500, 3)) * [3.0, 1.0, 0.1]) @ rng.standard_normal((3, 40)) + 5.0
    components = percentile_measure.fit_spectrum_components(spectra.astype(np.float32), 3)
    values = (spectra - components.mean) @ components.axes
    np.testing.assert_allclose(np.cov(values.T), np.eye(3), atol=0.05)


def test_an_easy_problem_is_learnt_and_times_are_in_order():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1500, 4)).astype(np.float32)
    y = np.column_stack([x[:, 0], x[:, 0] + 1.0, x[:, 1]]).astype(np.float32) + 0.05 * rng.standard_normal((1500, 3))
    y = y.astype(np.float32)
    settings = PercentileFitSettings(
        width=32,
        hidden=32,
        blocks=1,
        epochs=40,
        batch=100,
        learning_rate=3e-3,
        transforms=2,
        flow_hidden=(32,),
        flow_learning_rate=5e-3,
        flow_epochs=30,
    )
    posterior = fit_percentile_posterior(x[:1200], y[:1200], (x[1200:], y[1200:]), settings, lambda line: None)
    draws = posterior.draw(x[1200:], 50)
    assert np.all(draws[..., 0] <= draws[..., 1])
    residual = np.median(draws, axis=1) - y[1200:]
    assert residual.std() < 0.35
    assert len(posterior.curves["encoder"]) == 40


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_accuracy_is_r2(scale):
    truth = np.random.default_rng(2).standard_normal((4000, 10)) + 3.0
    found = truth + scale * np.random.default_rng(3).standard_normal(truth.shape)
    accuracy = percentile_measure.measure_percentile_accuracy(found, truth)
    assert accuracy["t50"]["r2"] == pytest.approx(100 * (1 - scale**2), abs=2.0)


def test_drawn_times_lie_between_the_first_star_and_today():
    draws = np.array([[[-1.0, 5.0, 99.0, -2.0]]], np.float32)
    np.testing.assert_allclose(percentile_measure.keep_times_possible(draws), [[[0.0, 5.0, 13.47, -2.0]]], rtol=1e-6)


def test_the_typical_galaxy_is_neither_the_best_nor_the_worst():
    draws = np.random.default_rng(3).normal(size=(3, 500, 2)).astype(np.float32)
    truth = np.array([[0.0, 0.0], [5.0, 5.0], [1.0, 1.0]], np.float32)
    assert percentile_measure.select_typical_galaxy(draws, truth) == 2


def test_corner_and_answers_are_drawn_with_units():
    rng = np.random.default_rng(5)
    truth = np.sort(rng.uniform(1, 12, (40, 10)), axis=1).astype(np.float32)
    draws = (truth[:, None] + 0.1 * rng.normal(size=(40, 30, 10))).astype(np.float32)
    study = SimpleNamespace(draws=draws, truth=truth)
    corner = percentile_figures.plot_percentile_corner(study)
    assert corner.axes[-1].get_xlabel() == "[M/H]"
    answers = percentile_figures.plot_percentile_answers(study)
    assert [axes.get_xlabel() for axes in answers.axes] == [
        "true t10 [Gyr]",
        "true t50 [Gyr]",
        "true t90 [Gyr]",
        "true [M/H]",
    ]


@pytest.fixture(scope="module")
def calibrated():
    """Answers of 400 galaxies whose truth is one more draw of each posterior."""
    rng = np.random.default_rng(7)
    middle = np.concatenate([np.sort(rng.uniform(2, 12, (400, 9)), axis=1), rng.uniform(-2, 0.4, (400, 1))], axis=1)
    truth, *draws = (middle + 0.3 * rng.normal(size=middle.shape) for _ in range(81))
    return SimpleNamespace(truth=truth.astype(np.float32), draws=np.stack(draws, 1).astype(np.float32), rows=range(400))


def test_equivalent_width_of_a_dip_in_a_sloping_continuum():
    wave = np.arange(4800.0, 4950.0, 0.5)
    (low, high), *_ = windows = percentile_figures.INDEX_WINDOWS_AA["Hβ$_o$"]
    inside = (wave >= low) & (wave <= high)
    slope = 1 + 1e-3 * (wave - 4800.0)
    flux = np.stack([slope, slope * (1 - 0.2 * inside)])
    found = percentile_figures.measure_index(wave, flux, windows)
    np.testing.assert_allclose(found, [0.0, 0.2 * np.ptp(wave[inside])], atol=1e-9)


def test_coverage_of_calibrated_answers_is_nominal(calibrated):
    left, right = percentile_figures.plot_gaussian_coverage(calibrated).axes
    *each, diagonal = left.lines
    assert [line.get_label() for line in each] == list(percentile_galaxies.LABELS)
    for line in (*each, right.lines[0]):
        nominal, true = line.get_data()
        np.testing.assert_allclose(true, nominal, atol=0.1)
    assert list(diagonal.get_xdata()) == [0, 1]


def test_stacks_are_the_oldest_galaxies_in_order_of_metallicity(calibrated):
    stacks = percentile_figures.select_stacks(calibrated)
    half, metals = calibrated.truth[:, 4], calibrated.truth[:, -1]
    oldest = np.argsort(half)[:72]
    assert set(stacks) <= set(oldest)
    assert np.all(np.diff(metals[stacks]) > 0)
    assert metals[stacks[[0, -1]]].tolist() == [metals[oldest].min(), metals[oldest].max()]
    (axes,) = percentile_figures.plot_stack_growth(calibrated, stacks).axes
    for line, k in zip(axes.lines, stacks, strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.median(calibrated.draws[k, :, :9], axis=0))
        np.testing.assert_allclose(line.get_ydata(), np.arange(10, 100, 10))


def test_growth_is_drawn_with_its_truth_and_two_intervals(calibrated):
    for axes, k in zip(percentile_figures.plot_growth_curves(calibrated).axes, (0, 133, 266, 399), strict=True):
        median, truth = axes.lines
        np.testing.assert_allclose(truth.get_xdata(), calibrated.truth[k, :9])
        np.testing.assert_allclose(median.get_xdata(), np.median(calibrated.draws[k, :, :9], axis=0))
        wide, narrow = (np.ptp(band.get_paths()[0].vertices[:, 0]) for band in axes.collections)
        assert wide > narrow
        assert axes.get_title().startswith(f"[M/H] {calibrated.truth[k, -1]:+.2f}, read ")


def test_histories_are_rates_and_times_against_the_share_of_the_mass():
    lookback = np.linspace(0, 13.47, 28)
    even = np.tile(1 - lookback / 13.47, (3, 1))  # the mass that is older
    times = np.tile(13.47 * np.array(FORMED_FRACTIONS), (3, 1))
    galaxies = SimpleNamespace(formed=even, times_gyr=times)
    left, right = percentile_figures.plot_histories(SimpleNamespace(galaxies=galaxies), 2).axes
    assert (len(left.lines), len(right.lines)) == (2, 2)
    np.testing.assert_allclose(left.lines[0].get_ydata(), 1 / 13.47)
    np.testing.assert_allclose(right.lines[0].get_data(), [np.arange(10, 100, 10), times[0]])


def test_losses_that_may_be_negative_are_drawn_on_a_linear_axis():
    curves = {"encoder": [(2.0, 3.0), (1.0, 1.5)], "flow": [(1.0, 1.2), (-0.5, -0.2)]}
    study = SimpleNamespace(posterior=SimpleNamespace(curves=curves))
    encoder, flow = percentile_figures.plot_losses(study).axes
    assert (encoder.get_yscale(), flow.get_yscale()) == ("log", "linear")
    assert [line.get_ydata().tolist() for line in flow.lines] == [[1.0, -0.5], [1.2, -0.2]]


def test_spectra_rebuilt_from_their_true_times_leave_small_residuals():
    galaxies = percentile_galaxies.make_percentile_galaxies(toy_library(), 30, seed=3, range_aa=(4000.0, 4400.0))
    rows = np.arange(galaxies.n)
    truth = galaxies.labels(rows)
    study = SimpleNamespace(galaxies=galaxies, rows=rows, truth=truth, draws=np.repeat(truth[:, None], 3, axis=1))
    stacks = percentile_figures.select_stacks(study)
    above, below, *_ = percentile_figures.plot_reconstructions(study, stacks).axes
    seen, made = (line.get_ydata() for line in above.lines)
    np.testing.assert_allclose(seen, galaxies.spectra(rows[stacks[:1]])[0])
    residual = below.lines[0].get_ydata()
    np.testing.assert_allclose(residual, 100 * (made / seen - 1), rtol=1e-5)
    assert np.abs(residual).mean() < 2.0
    assert f"mean {np.abs(residual).mean():.1f} %" in above.get_title()


def test_lines_beyond_the_spectra_are_not_marked():
    rng = np.random.default_rng(6)
    wave, latent = np.linspace(4023.0, 6000.0, 50), rng.normal(size=(20, 16)).astype(np.float32)
    galaxies = SimpleNamespace(wave_aa=wave, spectra=lambda rows: rng.normal(size=(len(rows), wave.size)))
    study = SimpleNamespace(galaxies=galaxies, rows=np.arange(20))
    first = percentile_figures.plot_latent_against_wavelength(study, latent, 20).axes[0]
    assert [text.get_text() for text in first.texts] == ["Hβ", "Mg", "NaD"]
    assert first.get_xlim()[1] < 6200


def test_weights_are_measured_on_spectra_like_stacks(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    seen = []

    def predict(data, *args, **options):
        seen.append(data)
        return predict_histories(data, *args, **options)

    monkeypatch.setattr(stack_like, "predict_histories", predict)
    targets = make_targets("scalars", ("t10", "t90", "mh_mw"))
    weights = write_toy_bundle(tmp_path / "w.safetensors", 0, load_instrument("optical"), targets, name="mine")
    output = tmp_path / "out.json"
    words = ["percentiles", "--model", str(weights), "--prior", "tiny", "--n", "40", "--quiet"]
    assert cli.main(["paper-systems", *words, "--output", str(output)]) == 0
    rows = json.loads(output.read_text())["stack_like"]
    assert list(rows) == [stack_like.PRIOR_VIEW, stack_like.DEEP_VIEW, stack_like.STACK_VIEW]
    assert set(rows[stack_like.DEEP_VIEW]) == {"n", "out_of_depth", "t10", "t90", "mh_mw"}
    assert "| out of distribution |" in output.with_suffix(".md").read_text()
    deep, cut = seen[1:]
    assert np.median(deep.snr) == pytest.approx(stack_like.STACK_SNR, rel=0.05)
    low, high = percentile_galaxies.STACK_RANGE_AA
    outside = (cut.instrument.wave_aa < low) | (cut.instrument.wave_aa > high)
    assert not cut.mask[:, outside].any()
    np.testing.assert_array_equal(cut.mask[:, ~outside], deep.mask[:, ~outside])


def test_determination_of_a_constant_is_nothing_and_of_the_truth_all():
    truth = np.linspace(0, 4, 50)
    assert percentile_measure.measure_determination(truth, truth) == 100
    assert percentile_measure.measure_determination(np.full(50, truth.mean()), truth) == pytest.approx(0)
