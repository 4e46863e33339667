"""Whether the model that a prediction implies describes spectrum and bands."""

import json
from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_prediction import prediction_of
from toy_universe import make_toy_data, make_toy_filters

from napari_sfh.analysis.credibility.misfit_check import (
    MisfitLimits,
    check_models,
    find_misfit,
    load_misfit_limits,
    measure_misfit,
)
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags, describe_frequent_flags
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.types import FLAG_MEANING, Flag

N = 40
PIVOT_AA = np.array([f.pivot_aa for f in make_toy_filters(MUSE_HST)])
NO_DIRECTIONS = np.zeros((0, WAVE_AA.size), np.float32)
LIMITS = MisfitLimits(np.log10([5.0, 160.0]), np.array([[0.05, 1.35, 0.06, 4.0, 4.0]] * 2), PIVOT_AA, NO_DIRECTIONS)


def is_missed(data, model, phot):
    return find_misfit(data, measure_misfit(data, model, phot, LIMITS), LIMITS)


def make_model(velocity_kms: float = 0.0, excess_kms2: float = 0.0) -> np.ndarray:
    """A continuum with fifty absorption lines, 5 to 15 % deep, of 195 km/s and an excess of the squared width (W,)."""
    rng = np.random.default_rng(1)
    x = WAVE_AA / (1 + velocity_kms / C_KMS)
    spectrum = 1 + 0.1 * (x - 5900.0) / 1000.0
    for at, depth in zip(rng.uniform(4820, 6980, 50), rng.uniform(0.05, 0.15, 50), strict=True):
        sigma_aa = np.sqrt(3.5**2 + excess_kms2 * (at / C_KMS) ** 2)
        spectrum = spectrum * (1 - depth * 3.5 / sigma_aa * np.exp(-0.5 * ((x - at) / sigma_aa) ** 2))
    return spectrum


@pytest.fixture
def seen():
    """Data of N objects at S/N 40, and the models that made them, with 1 % of calibration between."""
    data, _ = make_toy_data(1)
    data = data.select(np.zeros(N, int))
    model = np.tile(make_model(), (N, 1)).astype(np.float32)
    rng = np.random.default_rng(2)
    waves = 1 + 0.014 * np.sin(WAVE_AA / 200.0 + rng.uniform(0, 6, (N, 1)))
    flux = model * waves + 0.025 * rng.standard_normal(model.shape)
    phot = np.full((N, PIVOT_AA.size), 1.2, np.float32)
    measured = phot * (1 + 0.02 * rng.standard_normal(phot.shape))
    data = replace(
        data,
        flux=flux.astype(np.float32),
        error=np.full(flux.shape, 0.025, np.float32),
        mask=np.ones(flux.shape, bool),
        phot=measured.astype(np.float32),
        phot_error=0.02 * phot,
        phot_mask=np.ones(phot.shape, bool),
        snr=np.full(N, 40.0, np.float32),
        sigma_kms=np.full(N, 150.0, np.float32),  # nothing was broadened: noise is white
    )
    return data, model, phot


def multiply(data, factor):
    return replace(data, flux=(data.flux * factor).astype(np.float32))


def test_what_a_calibration_leaves_is_no_misfit(seen):
    data, model, phot = seen
    broad, narrow, slope, *_ = measure_misfit(data, model, phot, LIMITS)
    assert np.median(broad) == pytest.approx(0.01, abs=0.003)
    assert np.median(narrow) == pytest.approx(1.0, abs=0.05)
    assert np.abs(slope).max() < 0.06
    assert not is_missed(data, model, phot).any()


def test_errors_that_are_wrong_by_a_factor_of_two_are_no_misfit(seen):
    data, model, phot = seen
    for factor in (0.55, 1.8):
        wrong = replace(data, error=data.error * np.float32(factor))
        assert not is_missed(wrong, model, phot).any()


def test_the_chi2_of_a_misfit_grows_with_snr_and_the_misfit_does_not(seen):
    data, model, phot = seen
    found = []
    for share in (1.0, 0.3):  # of the noise
        noise = (data.flux - model) * share
        quiet = replace(data, flux=(model * (1 + 0.06 * np.sin(WAVE_AA / 150.0)) + noise).astype(np.float32))
        quiet = replace(quiet, error=data.error * np.float32(share))
        found.append(np.median(measure_misfit(quiet, model, phot, LIMITS).broad))
    assert found[0] == pytest.approx(found[1], rel=0.1)
    assert found[1] == pytest.approx(0.06 / np.sqrt(2), rel=0.1)


def test_a_continuum_that_no_model_has_is_a_misfit(seen):
    data, model, phot = seen
    bent = multiply(data, 1 + 0.12 * np.sin(WAVE_AA / 150.0))
    assert is_missed(bent, model, phot).all()


@pytest.mark.parametrize("tilt", [-0.1, 0.1])
def test_a_tilt_that_the_model_follows_is_told_by_the_bands(seen, tilt):
    data, model, phot = seen
    # The answer has taken the tilt for dust: the model follows the spectrum, and with it the bands are off.
    followed = (model * (1 + tilt * (WAVE_AA - 5900.0) / 1000.0)).astype(np.float32)
    bands = (phot * (1 + tilt * (PIVOT_AA - 5900.0) / 1000.0)).astype(np.float32)
    wrong = multiply(data, 1 + tilt * (WAVE_AA - 5900.0) / 1000.0)
    slope = measure_misfit(wrong, followed, bands, LIMITS).slope
    assert np.median(slope) == pytest.approx(tilt, rel=0.3)
    assert is_missed(wrong, followed, bands).mean() > 0.9
    # Without bands nothing tells.
    alone = replace(wrong, phot_mask=np.zeros_like(wrong.phot_mask))
    assert not is_missed(alone, followed, bands).any()
    assert not is_missed(wrong, followed, None).any()


@pytest.mark.parametrize(("lost", "told"), [(("F814W",), False), (("F555W",), True), (("F275W", "F336W"), True)])
def test_bands_on_one_side_of_the_spectrum_tell_no_slope(seen, lost, told):
    """Without F814W a quarter of the mock galaxy's bins were flagged."""
    data, model, phot = seen
    missing = np.isin(data.instrument.band_names, lost)
    slope = measure_misfit(replace(data, phot_mask=data.phot_mask & ~missing), model, phot, LIMITS).slope
    assert np.isfinite(slope).mean() > 0.9 if told else np.isnan(slope).all()


def test_stars_at_another_velocity_are_a_misfit(seen):
    data, model, phot = seen
    moved = replace(data, flux=(data.flux - model + make_model(300.0)).astype(np.float32))
    assert is_missed(moved, model, phot).all()


@pytest.mark.parametrize("velocity", [-60.0, 60.0])
def test_a_velocity_is_measured_from_the_models_own_lines(seen, velocity):
    data, model, phot = seen
    moved = replace(data, flux=(data.flux - model + make_model(velocity)).astype(np.float32))
    misfit = measure_misfit(moved, model, phot, LIMITS)
    assert np.median(misfit.shift_kms) == pytest.approx(velocity, rel=0.1)
    # Its error is that of the noise, which is independent from pixel to pixel here.
    unmoved = measure_misfit(data, model, phot, LIMITS).shift
    assert abs(unmoved.mean()) < 0.5
    assert 0.6 < unmoved.std() < 1.4
    assert is_missed(moved, model, phot).mean() > 0.9
    assert not (misfit.numbers()[:, :3] > LIMITS.limits[0, :3]).any()  # nothing else tells


@pytest.mark.parametrize("excess", [-9000.0, 12000.0])
def test_a_width_is_measured_and_depths_are_not_taken_for_it(seen, excess):
    data, model, phot = seen
    wide = replace(data, flux=(data.flux - model + make_model(0.0, excess)).astype(np.float32))
    misfit = measure_misfit(wide, model, phot, LIMITS)
    assert np.median(misfit.excess_kms2) == pytest.approx(excess, rel=0.35)  # to first order
    assert np.median(np.abs(misfit.width)) > 4
    assert misfit.columns()["MISFIT_SIGMA"][0] * excess > 0
    weak = replace(data, flux=(data.flux - model + 0.8 * model + 0.2 * model.mean(1, keepdims=True)).astype(np.float32))
    assert np.median(np.abs(measure_misfit(weak, model, phot, LIMITS).width)) < 1.5


def test_velocities_and_widths_that_do_not_matter_are_no_misfit(seen):
    data, model, phot = seen
    sharp = replace(data, flux=(model + 0.2 * (data.flux - model)).astype(np.float32), error=0.2 * data.error)
    for change in (make_model(20.0), make_model(0.0, 3000.0)):
        moved = replace(sharp, flux=(sharp.flux - model + change).astype(np.float32))
        assert (measure_misfit(moved, model, phot, LIMITS).numbers()[:, 3:] > 4).any()
        assert not is_missed(moved, model, phot).any()


def test_a_line_spread_that_is_wrong_in_all_bins_is_told_though_no_bin_tells(seen):
    data, model, phot = seen
    assert check_models(data, model, phot, LIMITS).notes == ()
    wide = replace(data, flux=(data.flux - model + make_model(0.0, 5000.0)).astype(np.float32))
    (note,) = check_models(wide, model, phot, LIMITS).notes
    assert "broader" in note
    moved = replace(data, flux=(data.flux - model + make_model(40.0)).astype(np.float32))
    (note,) = check_models(moved, model, phot, LIMITS).notes
    assert "+4" in note or "+3" in note
    assert check_models(moved.select(slice(2)), model[:2], phot[:2], LIMITS).notes == ()  # two bins are no field
    assert check_models(data, model, phot, None) == (None, {}, ())


def test_residuals_that_all_galaxies_have_are_no_width(seen):
    data, model, phot = seen
    rng = np.random.default_rng(8)
    common = make_model(0.0, 12000.0) / make_model() - 1 + 0.003 * rng.standard_normal(WAVE_AA.size)
    steps = ((WAVE_AA - WAVE_AA[0]) // 100).astype(int)
    for step in range(steps.max() + 1):
        common[steps == step] -= common[steps == step].mean()
    known = replace(LIMITS, directions=(common / np.linalg.norm(common))[None].astype(np.float32))
    wide = replace(data, flux=(data.flux + model * common).astype(np.float32))
    assert np.median(measure_misfit(wide, model, phot, LIMITS).width) > 4
    assert abs(np.median(measure_misfit(wide, model, phot, known).width)) < 1


def test_limits_come_back_from_their_text_and_earlier_ones_have_none_of_the_new_kinds():
    rng = np.random.default_rng(3)
    directions = np.linalg.qr(rng.standard_normal((WAVE_AA.size, 4)))[0].T.astype(np.float32)
    limits = replace(LIMITS, directions=directions)
    back = MisfitLimits.from_json(json.loads(json.dumps(limits.to_json())), PIVOT_AA, WAVE_AA.size)
    assert np.allclose(back.limits, limits.limits)
    assert np.allclose(back.directions @ back.directions.T, np.eye(4), atol=1e-5)
    assert np.abs((back.directions * directions).sum(1)).min() > 0.999
    earlier = {"lg_snr": [0.7, 2.2], "limits": [[0.05, 1.35, None]] * 2}
    old = MisfitLimits.from_json(earlier, PIVOT_AA, WAVE_AA.size)
    assert np.isinf(old.limits[:, 2:]).all()
    assert old.directions.shape == (0, WAVE_AA.size)


def test_lines_of_gas_however_faint_are_no_misfit(seen):
    data, model, phot = seen
    flux = data.flux.copy()
    for line in (HALPHA_AA, 5754.6, 5517.7, 4921.9, 5895.9):
        flux += 2.0 * np.exp(-0.5 * ((WAVE_AA - line) / 3.5) ** 2)
    assert not is_missed(replace(data, flux=flux), model, phot).any()


def test_noise_that_is_no_spectrum_is_a_misfit(seen):
    data, model, phot = seen
    noise = 1 + 0.5 * np.random.default_rng(4).standard_normal(data.flux.shape)
    assert is_missed(replace(data, flux=noise.astype(np.float32)), model, phot).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_cannot_be_judged_is_no_misfit(seen):
    data, model, phot = seen
    none = replace(data, mask=np.zeros_like(data.mask), flux=np.zeros_like(data.flux))
    assert np.isnan(measure_misfit(none, model, phot, LIMITS).broad).all()
    assert not is_missed(none, model, phot).any()
    assert not is_missed(data, np.full_like(model, np.nan), phot).any()
    assert is_missed(data.select(slice(0)), model[:0], phot[:0]).shape == (0,)


def test_a_misfit_is_a_flag_that_is_told(seen):
    data, model, phot = seen
    bent = multiply(data, 1 + 0.12 * np.sin(WAVE_AA / 150.0))
    flag = derive_credibility_flags(bent, prediction_of(N), {}, model, None, is_missed(bent, model, phot))
    assert (flag & int(Flag.MISFIT) > 0).all()
    assert not (derive_credibility_flags(bent, prediction_of(N), {}, model) & int(Flag.MISFIT)).any()
    assert any(f"flag {int(Flag.MISFIT)}" in told for told in describe_frequent_flags(flag, np.full(N, 0.5)))
    assert FLAG_MEANING[Flag.MISFIT]


@pytest.mark.parametrize("name", sorted(list_bundles()))
def test_shipped_weights_of_histories_have_limits(name):
    bundle = load_bundle(name)
    limits = load_misfit_limits(bundle)
    if bundle.basis is None or bundle.instrument.spectrum is None or not bundle.targets.n_age:
        assert limits is None
        return
    # A few per cent of the light, whatever the S/N: what the models of galaxies miss.
    assert ((limits.limits[:, 0] > 0.01) & (limits.limits[:, 0] < 0.15)).all()
    assert (limits.limits[:, 1] > 1).all()
    assert ((limits.limits[:, 3:] > 1) & (limits.limits[:, 3:] < 12)).all()  # standard errors
    assert limits.directions.shape[1] == bundle.instrument.n_wave
    assert limits.pivot_aa.shape == (bundle.instrument.n_bands,)
