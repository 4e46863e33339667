"""The fast kinematics against spectra whose truth is known, and against pPXF on the same spectra."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST
from prep_toys import forest, forest_basis

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.kinematics.fast_kinematics import SPECTRA_AT_ONCE, fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.spectra import BinSpectra

WAVE = 4749.88 + 1.25 * np.arange(1881)
REDSHIFT = 0.0052


@pytest.fixture(scope="module")
def basis():
    return forest_basis()


def observe(v, sigma, snr, seed=0, gas=0.0, mix=None):
    """The toy templates (``mix``, else any mixture of them) as the MUSE sees them, with white noise."""
    rng = np.random.default_rng(seed)
    mixes = rng.dirichlet(np.full(64, 0.2), len(v)).reshape(-1, 16, 4) if mix is None else [mix] * len(v)
    flux = np.array([forest(WAVE, mix, REDSHIFT, a, b) for mix, a, b in zip(mixes, v, sigma)])
    for line in (4861.3, 5006.8, 6562.8):
        flux += gas * np.exp(-0.5 * ((WAVE / (1 + REDSHIFT) - line) / 2.0) ** 2)
    variance = np.full_like(flux, snr**-2.0)
    flux = flux + rng.standard_normal(flux.shape) / snr
    return BinSpectra(WAVE, flux.astype("f4"), variance.astype("f4"), np.ones(flux.shape, bool), 1e-20, True)


@pytest.fixture(scope="module")
def galaxy():
    """Truth and spectra at S/N 35."""
    rng = np.random.default_rng(5)
    v, sigma = rng.uniform(-250, 250, 80), rng.uniform(60, 250, 80)
    return v, sigma, observe(v, sigma, 35.0)


def test_noiseless_spectra_give_back_what_was_put_in(basis):
    v, sigma = np.array([-600.0, -180.0, 0.0, 75.0, 400.0]), np.array([40.0, 60.0, 120.0, 180.0, 300.0])
    mix = np.zeros((16, 4))
    mix[np.ix_(np.linspace(2, 15, 7).astype(int), [1, 2, 3])] = 1.0  # the mean of the fit's templates
    out = fit_fast_kinematics(make_log_spectra(observe(v, sigma, 1e4, mix=mix), REDSHIFT, basis, MUSE_HST.grid))
    assert out.measured.all()
    np.testing.assert_allclose(out.v_kms, v, atol=1.0)
    np.testing.assert_allclose(out.sigma_kms, sigma, atol=3.0)


def test_errors_are_the_scatter_about_the_truth(basis, galaxy):
    v, sigma, spectra = galaxy
    out = fit_fast_kinematics(make_log_spectra(spectra, REDSHIFT, basis, MUSE_HST.grid))
    assert out.measured.all()
    assert 0.75 < np.std((out.v_kms - v) / out.v_error_kms) < 1.35
    assert 0.75 < np.std((out.sigma_kms - sigma) / out.sigma_error_kms) < 1.35
    assert np.abs(np.median((out.v_kms - v) / out.v_error_kms)) < 0.5


def test_velocity_and_dispersion_are_those_of_ppxf(basis, galaxy):
    pytest.importorskip("ppxf")
    _, _, spectra = galaxy
    some = replace(spectra, flux=spectra.flux[:24], variance=spectra.variance[:24], good=spectra.good[:24])
    fast = fit_fast_kinematics(make_log_spectra(some, REDSHIFT, basis, MUSE_HST.grid))
    ppxf = stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(some, REDSHIFT, basis, MUSE_HST.grid))
    assert np.std(fast.v_kms - ppxf.v_kms) < 3.0
    assert np.std(fast.sigma_kms - ppxf.sigma_kms) < 5.0


def test_a_wrong_redshift_goes_into_the_velocities(basis):
    spectra = observe(np.array([50.0]), np.array([90.0]), 60.0)
    shift = C_KMS * np.log((1 + REDSHIFT) / 1.0030)
    assert fit_fast_kinematics(make_log_spectra(spectra, 0.0030, basis, MUSE_HST.grid)).v_kms[0] == pytest.approx(
        50.0 + shift, abs=10
    )


def test_gas_lines_do_not_count(basis):
    v, sigma = np.array([30.0]), np.array([90.0])
    spectra = [observe(v, sigma, 50.0, gas=gas) for gas in (0.0, 1.0)]
    plain, gassy = (fit_fast_kinematics(make_log_spectra(s, REDSHIFT, basis, MUSE_HST.grid)) for s in spectra)
    assert gassy.v_kms[0] == pytest.approx(plain.v_kms[0], abs=0.5)
    assert gassy.sigma_kms[0] == pytest.approx(plain.sigma_kms[0], abs=1.5)


def test_a_bin_does_not_depend_on_its_company(basis, galaxy):
    _, _, spectra = galaxy
    assert spectra.n_bins > SPECTRA_AT_ONCE
    one = replace(spectra, flux=spectra.flux[70:71], variance=spectra.variance[70:71], good=spectra.good[70:71])
    whole, alone = (fit_fast_kinematics(make_log_spectra(s, REDSHIFT, basis, MUSE_HST.grid)) for s in (spectra, one))
    assert alone.v_kms[0] == pytest.approx(whole.v_kms[70], abs=1e-3)
    assert alone.sigma_kms[0] == pytest.approx(whole.sigma_kms[70], abs=1e-3)


def test_bins_without_a_spectrum_take_the_others_and_have_no_error(basis):
    spectra = observe(np.array([50.0, 0.0]), np.array([80.0, 80.0]), 60.0)
    spectra.good[1] = False
    out = fit_fast_kinematics(make_log_spectra(spectra, REDSHIFT, basis, MUSE_HST.grid))
    assert list(out.measured) == [True, False]
    assert out.v_kms[1] == out.v_kms[0]
    assert np.isnan(out.v_error_kms[1])
    spectra.good[:] = False
    with pytest.raises(SfhInputError, match="`kinematics` fast: no fit"):
        fit_fast_kinematics(make_log_spectra(spectra, REDSHIFT, basis, MUSE_HST.grid))


def test_cancel_and_progress(basis, galaxy):
    _, _, spectra = galaxy
    seen = []
    fit_fast_kinematics(make_log_spectra(spectra, REDSHIFT, basis, MUSE_HST.grid), seen.append)
    assert [step.done for step in seen] == [0, SPECTRA_AT_ONCE]
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        fit_fast_kinematics(make_log_spectra(spectra, REDSHIFT, basis, MUSE_HST.grid), cancel=cancel)


def test_spectra_and_templates_lie_on_one_grid(basis, galaxy):
    data = make_log_spectra(galaxy[2], REDSHIFT, basis, MUSE_HST.grid)
    assert data.flux.shape == data.usable.shape == (80, data.ln_wave.size)
    first = np.searchsorted(data.ln_template, data.ln_wave[0] - 1e-9)
    np.testing.assert_allclose(data.ln_template[first : first + data.ln_wave.size], data.ln_wave)
