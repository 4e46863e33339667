"""What the prior decides, what another prior would say, and what the data contradict."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from scipy.stats import multivariate_normal
from synthetic_prediction import prediction_of, result_of
from synthetic_toys import toy_source
from toy_universe import make_toy_basis, make_toy_data, write_toy_bundle

from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.credibility.common_residuals import describe_common_residuals
from napari_sfh.analysis.credibility.continuum_check import find_continuum_mismatch, measure_continuum_scatter
from napari_sfh.analysis.credibility.magnesium_check import (
    IRON_WINDOWS,
    MAGNESIUM_WINDOWS,
    find_magnesium_excess,
    measure_local_bends,
    measure_magnesium_excess,
)
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags, describe_frequent_flags
from napari_sfh.analysis.credibility.prior_influence import (
    describe_prior_share,
    find_prior_dominated,
    measure_prior_share,
)
from napari_sfh.analysis.credibility.reweighting import NormalPrior, UniformPrior, reweight_posterior
from napari_sfh.analysis.gas import line_fitting
from napari_sfh.analysis.gas.gas_and_stars import find_non_star_forming_gas
from napari_sfh.analysis.gas.line_fitting import remove_gas_emission
from napari_sfh.analysis.gas.line_maps import HALPHA, HBETA, LINES, NII, OIII, UNIT_CGS, LineFluxes
from napari_sfh.analysis.gas.predicted_lines import (
    COMPARED_LINES,
    LineWidths,
    apply_median_youth,
    compare_line_widths,
    find_absent_lines,
)
from napari_sfh.analysis.maps import list_result_maps, make_map_image
from napari_sfh.analysis.posteriors import PosteriorDraws, resample_posterior, reweight_bin_posterior
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.results import read_result, write_result
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import draw_posterior_samples, draw_predicted_spectra
from napari_sfh.model.prior_summary import (
    PRIOR_SUMMARY_KEY,
    GaussianMixtureDensity,
    load_prior_summary,
    prior_summary_from_json,
)
from napari_sfh.model.targets import HistoryTargets
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.fitting.spectra_sources import make_fresh_source
from napari_sfh.training.simulator.prior_summary import summarise_prior
from napari_sfh.types import FLAG_MEANING, QUANTILES, Flag


def normal_quantiles(mean, sigma):
    return mean + sigma * np.array([-1.959964, -0.994458, 0.0, 0.994458, 1.959964])


@pytest.fixture
def result():
    """Three bins whose LW ages are as wide as the prior, half as wide, and not predicted."""
    prediction = prediction_of(3)
    for i, width in enumerate((0.4, 0.2)):
        prediction.quantiles["lg_age_lw"][i] = normal_quantiles(9.0, width)
    prior = {"lg_age_lw": normal_quantiles(9.0, 0.4).astype(np.float32)}
    prior["mh"] = np.tile(normal_quantiles(-0.3, 0.5), (16, 1)).astype(np.float32)
    return replace(result_of(prediction), prior=prior)


def test_the_share_of_the_prior_is_a_ratio_of_widths(result):
    share = measure_prior_share(result.prediction, result.prior, "lg_age_lw")
    np.testing.assert_allclose(share[:2], [1.0, 0.5], rtol=1e-4)
    assert np.isnan(share[2])
    by_age = measure_prior_share(result.prediction, result.prior, "mh")
    np.testing.assert_allclose(by_age[0], 0.1 / (0.5 * 0.994458), rtol=1e-4)
    with pytest.raises(SfhInputError, match="tau_bc"):
        measure_prior_share(result.prediction, result.prior, "tau_bc")


def test_bins_that_the_prior_decides_are_flagged(result):
    assert find_prior_dominated(result.prediction, result.prior).tolist() == [True, False, False]
    assert not find_prior_dominated(result.prediction, {}).any()
    flag = derive_credibility_flags(result.data, result.prediction, result.prior)
    assert ((flag & int(Flag.PRIOR_DECIDES)) > 0).tolist() == [True, False, False]
    assert describe_prior_share(1.0).endswith("the prior decides")
    assert describe_prior_share(0.1).endswith("the data decide")


def test_share_of_the_prior_is_a_map_and_a_number_beside_the_click(result):
    assert "PRIOR_AGE_LW" in list_result_maps(result)
    assert "PRIOR_MH_LW" not in list_result_maps(result)
    np.testing.assert_allclose(make_map_image(result, "PRIOR_AGE_LW")[0, :2], [1.0, 0.5], rtol=1e-4)
    view = BinView.of(result, 1)
    assert next(row.text for row in view.numbers if row.label == "Prior").startswith("1.00")
    np.testing.assert_allclose(view.prior["mh"].value, -0.3)
    assert set(view.prior) == {"mh"}
    unknown = BinView.of(replace(result, prior={}), 1)
    assert next(row.text for row in unknown.numbers if row.label == "Prior") == "–"


def test_the_prior_stays_in_the_result_file(result, tmp_path):
    back = read_result(write_result(result, tmp_path / "result.fits"))
    assert set(back.prior) == set(result.prior)
    for name, values in result.prior.items():
        np.testing.assert_array_equal(back.prior[name], values)
    none = read_result(write_result(replace(result, prior={}), tmp_path / "none.fits"))
    assert none.prior == {}


def test_every_flag_is_explained_in_the_file(result, tmp_path):
    from astropy.io import fits

    header = fits.getheader(write_result(result, tmp_path / "result.fits"))
    for bit, meaning in FLAG_MEANING.items():
        assert header[f"FLAG{bit.value}"] == meaning


# --- Another prior ------------------------------------------------------------------------------------------------


@pytest.fixture
def mixture():
    means, covariances = np.array([[9.0, 0.0], [10.0, -0.5]]), np.array([np.diag([0.3, 0.2]), [[0.2, 0.1], [0.1, 0.3]]])
    return GaussianMixtureDensity(("lg_age_lw", "mh_lw"), np.array([0.4, 0.6]), means, covariances)


def test_the_density_is_that_of_the_mixture_and_of_its_margins(mixture):
    x = np.random.default_rng(1).normal(9.5, 1.0, 20), np.random.default_rng(2).normal(0.0, 0.5, 20)
    joint = sum(
        w * multivariate_normal(m, c).pdf(np.column_stack(x))
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )
    np.testing.assert_allclose(np.exp(mixture.evaluate_log_density({"lg_age_lw": x[0], "mh_lw": x[1]})), joint)
    margin = sum(
        w * multivariate_normal(m[1], c[1, 1]).pdf(x[1])
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )
    np.testing.assert_allclose(np.exp(mixture.evaluate_log_density({"mh_lw": x[1]})), margin)
    with pytest.raises(SfhInputError, match="no known density"):
        mixture.evaluate_log_density({"ebv": x[0]})


def test_a_new_prior_gives_the_posterior_of_the_product_of_normals():
    # Likelihood N(0.3, 0.2), old prior N(0, 0.5): the posterior is known, and so is that of a prior N(-0.2, 0.3).
    likelihood, old, new = (0.3, 0.2), (0.0, 0.5), (-0.2, 0.3)

    def product(a, b):
        precision = 1 / a[1] ** 2 + 1 / b[1] ** 2
        return (a[0] / a[1] ** 2 + b[0] / b[1] ** 2) / precision, precision**-0.5

    mean, sigma = product(likelihood, old)
    draws = {"mh_lw": np.random.default_rng(3).normal(mean, sigma, 200_000)}
    density = GaussianMixtureDensity(("mh_lw",), np.ones(1), np.array([[old[0]]]), np.array([[[old[1] ** 2]]]))
    made = reweight_posterior(draws, density, {"mh_lw": NormalPrior(*new)})
    np.testing.assert_allclose(made.quantiles["mh_lw"], normal_quantiles(*product(likelihood, new)), atol=0.01)
    assert 1000 < made.effective_size < 200_000
    assert made.is_reliable
    same = reweight_posterior(draws, density, {"mh_lw": NormalPrior(*old)})
    assert same.effective_size == pytest.approx(200_000, rel=1e-3)


def test_a_prior_that_allows_no_draw_is_refused(mixture):
    draws = {"mh_lw": np.zeros(100), "ebv": np.arange(100.0)}
    with pytest.raises(SfhInputError, match="none of the posterior's draws"):
        reweight_posterior(draws, mixture, {"mh_lw": UniformPrior(1.0, 2.0)})
    with pytest.raises(SfhInputError, match="was not drawn"):
        reweight_posterior(draws, mixture, {"lg_age_lw": UniformPrior(1.0, 2.0)})


def test_a_bin_of_a_result_is_reweighted(tmp_path):
    labels = make_fresh_source(toy_source(), 300, 1).labels
    summary = summarise_prior(labels, HistoryTargets())
    path = write_toy_bundle(tmp_path / "toy.safetensors", prior_summary=summary.to_json())
    bundle = load_bundle(path)
    data, _ = make_toy_data(2)
    made = replace(result_of(prediction_of(3)), data=data, model_sha256=bundle.sha256, settings={"model": str(path)})
    out = reweight_bin_posterior(made, 1, {"mh_mw": UniformPrior(-5.0, 5.0)}, ("mh_mw", "lg_age_lw"), 500)
    assert set(out.quantiles) == {"mh_mw", "lg_age_lw"}
    assert out.weights.sum() == pytest.approx(1.0)


def test_a_summary_is_what_the_labels_are():
    labels = make_fresh_source(toy_source(), 300, 1).labels
    summary = prior_summary_from_json(summarise_prior(labels, HistoryTargets()).to_json())
    np.testing.assert_allclose(summary.quantiles["mh_lw"], np.quantile(labels.mh_lw, QUANTILES), atol=1e-4)
    assert summary.quantiles["light_frac"].shape == (16, 5)
    assert summary.density.names == MEAN_NAMES
    assert summary.n == 300
    middle = {k: np.array([np.median(getattr(labels, k)), 50.0]) for k in MEAN_NAMES}
    inside, outside = summary.density.evaluate_log_density(middle)
    assert inside > outside + 100


@pytest.mark.parametrize("name", sorted(list_bundles()))
def test_shipped_weights_know_their_prior(name):
    bundle = load_bundle(name)
    summary = load_prior_summary(bundle)
    assert set(bundle.targets.scalars) <= set(summary.quantiles)
    assert all(summary.half_width(k) > 0.01 for k in bundle.targets.scalars)


def test_a_prior_whose_summary_lacks_a_part_is_told():
    bundle = load_bundle("wide")
    stored = {key: value for key, value in bundle.meta[PRIOR_SUMMARY_KEY].items() if key != "n"}
    with pytest.raises(SfhInputError, match="prior_summary in its document is incomplete"):
        load_prior_summary(replace(bundle, meta={**bundle.meta, "prior": {}, PRIOR_SUMMARY_KEY: stored}))


# --- What the data contradict -------------------------------------------------------------------------------------


def test_a_continuum_that_bends_is_a_mismatch():
    data, _ = make_toy_data(3, seed=4)
    wave = np.cos(2 * np.pi * WAVE_AA / 700.0)
    model = np.stack([data.flux[0], data.flux[1] / (1 + 0.15 * wave), data.flux[2] / (1 + 0.01 * wave)])
    model = np.where(data.mask, model, 1.0).astype(np.float32)
    assert find_continuum_mismatch(data, model).tolist() == [False, True, False]
    scatter, noise = measure_continuum_scatter(data, model)
    assert scatter[1] == pytest.approx(0.15 / np.sqrt(2), rel=0.15)
    assert (noise < 0.02).all()
    assert not find_continuum_mismatch(data, np.full_like(model, np.nan)).any()


def test_noise_alone_is_no_mismatch():
    data, _ = make_toy_data(1, seed=4)
    rng = np.random.default_rng(5)
    noisy = replace(data, flux=(1 + rng.normal(0, 0.5, data.flux.shape)).astype(np.float32), mask=data.mask | True)
    noisy = replace(noisy, error=np.full_like(data.flux, 0.5))
    assert not find_continuum_mismatch(noisy, np.ones_like(data.flux)).any()


def test_predicted_lines_that_are_not_there_are_found():
    basis = make_toy_basis(MUSE_HST)
    data, _ = make_toy_data(3)
    data = replace(data, norm_cgs=np.full(3, 1e-17))
    stars = np.ones_like(data.flux)
    model = stars.copy()
    pixel = float(np.median(data.instrument.grid.pixel_aa))
    for name in COMPARED_LINES:
        x = (WAVE_AA - LINES[name][1]) / 3.5
        model += 4.0 * np.exp(-0.5 * x**2) / (3.5 * np.sqrt(2 * np.pi))  # 4 AA in each
    unit = 1e-17 / UNIT_CGS
    measured = np.array([0.0, 3.0, np.nan]) * unit
    lines = LineFluxes(
        {k: measured.copy() for k in COMPARED_LINES}, {k: np.full(3, 0.1 * unit) for k in COMPARED_LINES}, "", ""
    )
    widths = compare_line_widths(data, model, stars, 0.0, lines)
    np.testing.assert_allclose(widths.predicted, 4.0, rtol=0.02)
    np.testing.assert_allclose(widths.measured[1], 3.0, rtol=1e-6)
    assert find_absent_lines(widths).tolist() == [True, False, False]
    noisy = replace(lines, error={k: np.full(3, 2.0 * unit) for k in COMPARED_LINES})
    assert not find_absent_lines(compare_line_widths(data, model, stars, 0.0, noisy)).any()
    assert pixel > 0
    assert HALPHA in COMPARED_LINES
    assert not remove_gas_emission(basis).young_nebular.any()


def test_young_light_that_only_the_mean_holds_makes_no_line_absent():
    prediction = prediction_of(3)
    prediction.light_frac[:, 0] = 0.06
    youngest = [[0.0, 0.001, 0.01, 0.12, 0.2], [0.03, 0.05, 0.07, 0.08, 0.1], [0.0, 0.002, 0.008, 0.12, 0.2]]
    prediction.quantiles["light_frac"][:, 0] = youngest
    widths = LineWidths(np.full((3, 3), [[1.0], [1.0], [9.0]]), np.zeros((3, 3)), np.full((3, 3), 0.05))
    assert find_absent_lines(widths).tolist() == [True, True, True]
    taken = apply_median_youth(widths, prediction)
    # Of 0.8 % of the light no line is expected, however strong it would be.
    np.testing.assert_allclose(taken.predicted[:, 0], [1 / 6, 1.0, 0.0], rtol=1e-5)
    assert find_absent_lines(taken).tolist() == [False, True, False]


def test_resampled_draws_follow_the_other_prior_or_are_refused():
    flat = GaussianMixtureDensity(("mh_mw",), np.ones(1), np.zeros((1, 1)), np.full((1, 1, 1), 1e4))
    values = {"mh_mw": np.random.default_rng(1).normal(0.0, 0.2, 4000)}
    drawn = PosteriorDraws(3, values | {"lg_age_mw": 9.5 + values["mh_mw"]})
    made = reweight_posterior(drawn.values, flat, {"mh_mw": NormalPrior(0.2, 0.2)})
    resampled = resample_posterior(made, drawn, ["lg_age_mw"])
    assert list(resampled.values) == ["lg_age_mw"]
    assert resampled.values["lg_age_mw"].mean() == pytest.approx(9.6, abs=0.01)
    far = reweight_posterior(drawn.values, flat, {"mh_mw": NormalPrior(1.5, 0.05)})
    with pytest.raises(SfhInputError, match="draws"):
        resample_posterior(far, drawn, ["mh_mw"])


def test_a_continuum_is_contradicted_only_where_the_draws_contradict_it_too():
    data, _ = make_toy_data(3, seed=2, snr=80.0)
    wave = data.instrument.wave_aa
    point = data.flux * (1 + 0.3 * np.sin(wave / 300.0))
    prediction = prediction_of(3)
    # How far off each draw is: none, nearly all (a wide posterior reaches the data by chance), half of them.
    draws = {0: [0.0] * 32, 1: [0.3] * 28 + [0.0] * 4, 2: [0.3] * 16 + [0.0] * 16}

    def draw_spectra(part, n):
        assert (part.n_bins, n) == (3, 32)
        off = np.array([draws[i] for i in range(3)])[..., None]
        return (data.flux[:, None] * (1 + off * np.sin(wave / 300.0))).astype(np.float32)

    def flagged(*more):
        flag = derive_credibility_flags(data, prediction, {}, point.astype(np.float32), *more)
        return ((flag & int(Flag.CONTINUUM)) > 0).tolist()

    assert flagged() == [True, True, True]
    assert flagged(draw_spectra) == [False, True, False]


def test_flags_of_many_bins_are_told_with_their_number():
    flag = np.full(20, int(Flag.MISSING_BAND))
    flag[:3] |= int(Flag.CONTINUUM)
    flag[:2] |= int(Flag.ABSENT_LINES)  # a tenth: not yet many
    ood = np.where(np.arange(20) < 20, 0.5, np.nan)
    (told,) = describe_frequent_flags(flag, ood)
    assert told.startswith("3 of 20 bins")
    assert f"flag {int(Flag.CONTINUUM)}" in told
    assert describe_frequent_flags(flag * 0, ood) == ()
    (gaps,) = describe_frequent_flags(np.full(20, int(Flag.MASKED_PIXELS)), ood)
    assert "no value" in gaps


@pytest.fixture(scope="module")
def blue(tmp_path_factory) -> Instrument:
    """A grid that ends between Hbeta and Halpha."""
    path = tmp_path_factory.mktemp("blue") / "blue.toml"
    path.write_text('name = "blue"\nbase = "optical"\n\n[spectrum]\nlast_aa = 5602.6\n')
    return load_instrument(path)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_lines_are_missed_where_the_grid_ends_before_halpha(blue):
    assert line_fitting.holds_lines(blue.grid)
    data, _ = make_toy_data(2, instrument=blue)
    data = replace(data, norm_cgs=np.full(2, 1e-17))
    stars, model = np.ones_like(data.flux), np.ones_like(data.flux)
    model += 4.0 * np.exp(-0.5 * ((blue.wave_aa - LINES[OIII][1]) / 5.0) ** 2) / (5.0 * np.sqrt(2 * np.pi))
    here = {HBETA: np.zeros(2), OIII: np.array([0.0, 4e-17 / UNIT_CGS]), HALPHA: np.full(2, np.nan)}
    lines = LineFluxes(
        {**here, NII: here[HALPHA]}, dict.fromkeys((*here, NII), here[OIII] * 0 + 1e-18 / UNIT_CGS), "", ""
    )
    widths = compare_line_widths(data, model, stars, 0.0, lines)
    assert np.isnan(widths.predicted[:, COMPARED_LINES.index(HALPHA)]).all()
    assert find_absent_lines(widths).tolist() == [True, False]
    assert not find_non_star_forming_gas(data, model, 0.0, lines).any()


@pytest.mark.parametrize("at", [3835.4, 3797.9, 3770.6, 3933.7])
def test_high_balmer_lines_and_calcium_are_no_faulty_channels(blue, at):
    assert observe_with_feature(at, -0.1, instrument=blue) == ()
    assert observe_with_feature(4550.0, -0.1, instrument=blue)


def observe_with_feature(
    at: float, size: float, hits: int = 8, noise: float = 0.005, instrument: Instrument | None = None
) -> tuple[str, ...]:
    """What is told of eight bins, some of which have a feature of 2.6 A at 150 km/s beyond their models."""
    data, _ = make_toy_data(8, seed=2, instrument=instrument)
    wave = data.instrument.wave_aa
    rng = np.random.default_rng(3)
    model = (1 + 0.1 * np.sin(wave / 300) + np.zeros((8, 1))).astype(np.float32)
    flux = model * (1 + noise * rng.standard_normal(model.shape))
    flux[:hits] *= 1 + size * np.exp(-0.5 * ((wave - at) / 3.0) ** 2)
    mask = np.ones(flux.shape, bool)
    mask[:, (wave > 5700) & (wave < 5800)] = False  # a gap wider than what tells the level
    seen = replace(data, flux=flux.astype(np.float32), mask=mask)
    return describe_common_residuals(seen, model, np.full(8, 0.5), np.full(8, 50.0), 0.0025)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("size", [0.05, -0.05])
def test_a_narrow_feature_that_no_model_follows_is_told_with_its_place(size: float) -> None:
    (told,) = observe_with_feature(5400.0, size)
    assert "at 541" in told  # observed
    assert ("+" in told) == (size > 0)


@pytest.mark.parametrize(
    ("at", "size", "hits", "noise"),
    [
        (5400.0, 0.05, 3, 0.005),  # a few bins only
        (5400.0, 0.01, 8, 0.005),  # as weak as what models get wrong
        (5400.0, 0.05, 8, 0.05),  # below the noise
        (6562.8, 0.3, 8, 0.005),  # gas
        (5892.0, -0.1, 8, 0.005),  # sodium between the stars
        (5175.0, -0.05, 8, 0.005),  # magnesium of alpha-enhanced stars
        (5577.3 / 1.0025, 0.1, 8, 0.005),  # the night sky
    ],
)
def test_what_galaxies_and_the_sky_have_is_no_fault(at: float, size: float, hits: int, noise: float) -> None:
    assert observe_with_feature(at, size, hits, noise) == ()


def test_spectra_of_draws_are_those_of_their_histories(tmp_path):
    bundle = load_bundle(write_toy_bundle(tmp_path / "w.safetensors"))
    data, _ = make_toy_data(2, seed=2)
    spectra = draw_predicted_spectra(data, bundle, 8)
    made = draw_posterior_samples(data, bundle, 8)
    one = {k: made[k][1, 3:4] for k in ("mass_frac", "mh", "tau_ism", "tau_bc", "slope")}
    assert spectra.shape == (2, 8, data.instrument.n_wave)
    np.testing.assert_allclose(spectra[1, 3], bundle.basis.reconstruct(**one)[0][0], rtol=1e-3)


# --- Magnesium ----------------------------------------------------------------------------------------------------


def make_lines(depth, features):
    """A factor that is 1 - ``depth`` within the bands of some features."""
    inside = np.zeros(WAVE_AA.size, bool)
    for feature in features:
        inside |= (WAVE_AA >= feature.band[0]) & (WAVE_AA <= feature.band[1])
    return np.where(inside, 1 - depth, 1.0)


@pytest.fixture
def noisy_spectra():
    """300 spectra with noise of 2 % over a sloping model (N, W) that would have made them."""
    data, _ = make_toy_data(1, seed=2)
    data = data.select(np.zeros(300, int))
    model = np.tile(1 + 0.2 * (WAVE_AA - 5500) / 1000, (300, 1)).astype(np.float32)
    noise = 0.02 * np.random.default_rng(1).standard_normal(model.shape)
    error = np.full(model.shape, 0.02, np.float32)
    return replace(data, flux=(model + noise).astype(np.float32), error=error, mask=np.ones(model.shape, bool)), model


def test_magnesium_excess_is_the_depth_of_mg_b_less_that_of_iron(noisy_spectra):
    data, model = noisy_spectra
    spoilt = data.flux * make_lines(0.05, [MAGNESIUM_WINDOWS]) * make_lines(0.02, IRON_WINDOWS)
    excess, noise = measure_magnesium_excess(replace(data, flux=spoilt.astype(np.float32)), model)
    assert excess.mean() == pytest.approx(0.03, abs=0.001)
    assert excess.std() == pytest.approx(noise.mean(), rel=0.15)


def test_strong_magnesium_is_flagged_and_noise_is_not(noisy_spectra):
    data, model = noisy_spectra
    assert find_magnesium_excess(data, model).mean() < 0.03
    strong = replace(data, flux=(data.flux * make_lines(0.05, [MAGNESIUM_WINDOWS])).astype(np.float32))
    assert find_magnesium_excess(strong, model).mean() > 0.95
    flag = derive_credibility_flags(strong, prediction_of(300), {}, model)
    assert (((flag & int(Flag.MAGNESIUM)) > 0) == find_magnesium_excess(strong, model)).all()
    richer = replace(data, flux=(data.flux * make_lines(0.05, [MAGNESIUM_WINDOWS, *IRON_WINDOWS])).astype(np.float32))
    assert find_magnesium_excess(richer, model).mean() < 0.03


def test_a_calibration_that_bends_on_such_scales_is_not_magnesium(noisy_spectra):
    data, model = noisy_spectra
    wave = 1 + 0.05 * np.cos(2 * np.pi * (WAVE_AA - 5100) / 150.0)
    bent = replace(data, flux=(data.flux * wave).astype(np.float32))
    assert measure_magnesium_excess(bent, model)[0].mean() > 0.04
    assert measure_local_bends(bent, model).mean() > 0.03
    assert measure_local_bends(data, model).mean() < 0.003
    assert find_magnesium_excess(bent, model).mean() < 0.05


def test_magnesium_behind_a_mask_says_nothing(noisy_spectra):
    data, model = noisy_spectra
    mask = data.mask & ~((WAVE_AA > 5160) & (WAVE_AA < 5180))
    assert np.isnan(measure_magnesium_excess(replace(data, mask=mask), model)[0]).all()
    assert not find_magnesium_excess(data, np.full_like(model, np.nan)).any()
