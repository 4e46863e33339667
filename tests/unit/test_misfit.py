"""Whether the model that a prediction implies describes spectrum and bands."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_prediction import prediction_of
from toy_universe import make_toy_data, make_toy_filters

from napari_sfh.analysis.credibility.misfit_check import (
    MisfitLimits,
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
LIMITS = MisfitLimits(np.log10([5.0, 160.0]), np.array([[0.05, 1.35, 0.06]] * 2), PIVOT_AA)


def make_model(velocity_kms: float = 0.0) -> np.ndarray:
    """A continuum with fifty absorption lines, 5 to 15 % deep (W,)."""
    rng = np.random.default_rng(1)
    x = WAVE_AA / (1 + velocity_kms / C_KMS)
    spectrum = 1 + 0.1 * (x - 5900.0) / 1000.0
    for at, depth in zip(rng.uniform(4820, 6980, 50), rng.uniform(0.05, 0.15, 50), strict=True):
        spectrum = spectrum * (1 - depth * np.exp(-0.5 * ((x - at) / 3.5) ** 2))
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
    broad, narrow, slope = measure_misfit(data, model, phot, PIVOT_AA)
    assert np.median(broad) == pytest.approx(0.01, abs=0.003)
    assert np.median(narrow) == pytest.approx(1.0, abs=0.05)
    assert np.abs(slope).max() < 0.06
    assert not find_misfit(data, model, phot, LIMITS).any()


def test_errors_that_are_wrong_by_a_factor_of_two_are_no_misfit(seen):
    data, model, phot = seen
    for factor in (0.55, 1.8):
        wrong = replace(data, error=data.error * np.float32(factor))
        assert not find_misfit(wrong, model, phot, LIMITS).any()


def test_the_chi2_of_a_misfit_grows_with_snr_and_the_misfit_does_not(seen):
    data, model, phot = seen
    found = []
    for share in (1.0, 0.3):  # of the noise
        noise = (data.flux - model) * share
        quiet = replace(data, flux=(model * (1 + 0.06 * np.sin(WAVE_AA / 150.0)) + noise).astype(np.float32))
        quiet = replace(quiet, error=data.error * np.float32(share))
        found.append(np.median(measure_misfit(quiet, model, phot, PIVOT_AA).broad))
    assert found[0] == pytest.approx(found[1], rel=0.1)
    assert found[1] == pytest.approx(0.06 / np.sqrt(2), rel=0.1)


def test_a_continuum_that_no_model_has_is_a_misfit(seen):
    data, model, phot = seen
    bent = multiply(data, 1 + 0.12 * np.sin(WAVE_AA / 150.0))
    assert find_misfit(bent, model, phot, LIMITS).all()


@pytest.mark.parametrize("tilt", [-0.1, 0.1])
def test_a_tilt_that_the_model_follows_is_told_by_the_bands(seen, tilt):
    data, model, phot = seen
    # The answer has taken the tilt for dust: the model follows the spectrum, and with it the bands are off.
    followed = (model * (1 + tilt * (WAVE_AA - 5900.0) / 1000.0)).astype(np.float32)
    bands = (phot * (1 + tilt * (PIVOT_AA - 5900.0) / 1000.0)).astype(np.float32)
    wrong = multiply(data, 1 + tilt * (WAVE_AA - 5900.0) / 1000.0)
    slope = measure_misfit(wrong, followed, bands, PIVOT_AA).slope
    assert np.median(slope) == pytest.approx(tilt, rel=0.3)
    assert find_misfit(wrong, followed, bands, LIMITS).mean() > 0.9
    # Without bands nothing tells.
    alone = replace(wrong, phot_mask=np.zeros_like(wrong.phot_mask))
    assert not find_misfit(alone, followed, bands, LIMITS).any()
    assert not find_misfit(wrong, followed, None, LIMITS).any()


def test_stars_at_another_velocity_are_a_misfit(seen):
    data, model, phot = seen
    moved = replace(data, flux=(data.flux - model + make_model(300.0)).astype(np.float32))
    assert find_misfit(moved, model, phot, LIMITS).all()


def test_lines_of_gas_however_faint_are_no_misfit(seen):
    data, model, phot = seen
    flux = data.flux.copy()
    for line in (HALPHA_AA, 5754.6, 5517.7, 4921.9, 5895.9):
        flux += 2.0 * np.exp(-0.5 * ((WAVE_AA - line) / 3.5) ** 2)
    assert not find_misfit(replace(data, flux=flux), model, phot, LIMITS).any()


def test_noise_that_is_no_spectrum_is_a_misfit(seen):
    data, model, phot = seen
    noise = 1 + 0.5 * np.random.default_rng(4).standard_normal(data.flux.shape)
    assert find_misfit(replace(data, flux=noise.astype(np.float32)), model, phot, LIMITS).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_cannot_be_judged_is_no_misfit(seen):
    data, model, phot = seen
    none = replace(data, mask=np.zeros_like(data.mask), flux=np.zeros_like(data.flux))
    assert np.isnan(measure_misfit(none, model, phot, PIVOT_AA).broad).all()
    assert not find_misfit(none, model, phot, LIMITS).any()
    assert not find_misfit(data, np.full_like(model, np.nan), phot, LIMITS).any()
    assert find_misfit(data.select(slice(0)), model[:0], phot[:0], LIMITS).shape == (0,)


def test_a_misfit_is_a_flag_that_is_told(seen):
    data, model, phot = seen
    bent = multiply(data, 1 + 0.12 * np.sin(WAVE_AA / 150.0))
    flag = derive_credibility_flags(bent, prediction_of(N), {}, model, None, phot, LIMITS)
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
    assert limits.pivot_aa.shape == (bundle.instrument.n_bands,)
