"""chi^2 of the stars' pixels is one for noise alone, and blind to gas."""

import dataclasses

import numpy as np
import pytest
from muse_hst import BANDS, MUSE_HST, N_WAVE, WAVE_AA
from prep_toys import toy_bins

from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.prep.observation import make_observation
from napari_sfh.prep.rest_frame import reduced_chi2, shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import Observation


def _data(flux, error, sigma_kms=150.0) -> Observation:
    n, b = len(flux), len(BANDS)
    f32 = np.float32
    return Observation(
        flux=flux.astype(f32),
        error=np.full((n, N_WAVE), error, f32),
        mask=np.ones((n, N_WAVE), bool),
        phot=np.zeros((n, b), f32),
        phot_error=np.zeros((n, b), f32),
        phot_mask=np.zeros((n, b), bool),
        norm_cgs=np.ones(n),
        snr=np.full(n, 1 / error, f32),
        v_kms=np.zeros(n, f32),
        sigma_kms=np.full(n, sigma_kms, f32),
        flag=np.zeros(n, np.int32),
        instrument=MUSE_HST,
    )


def test_noise_alone_is_one():
    rng = np.random.default_rng(3)
    chi2 = reduced_chi2(_data(1 + rng.normal(0, 0.02, (20, N_WAVE)), 0.02), np.ones((20, N_WAVE), np.float32))
    np.testing.assert_allclose(chi2.mean(), 1.0, atol=0.02)


def test_smoothed_noise_counts_by_its_gain():
    rng = np.random.default_rng(4)
    data = _data(1 + rng.normal(0, 0.02, (20, N_WAVE)), 0.02)
    broadened = dataclasses.replace(data, sigma_kms=np.full(20, 50.0, np.float32))
    model = np.ones((20, N_WAVE), np.float32)
    assert np.all(reduced_chi2(broadened, model) > 3 * reduced_chi2(data, model))


@pytest.mark.parametrize(("redshift", "fwhm_aa"), [(0.0, None), (0.088, None), (0.01, 1.0), (0.01, 3.5)])
@pytest.mark.parametrize("sigma_kms", [50.0, 140.0, 200.0])
def test_noise_counts_by_its_gain_whatever_the_resolution_of_the_data(sigma_kms, redshift, fwhm_aa):
    """Stars as broad as the grid's, seen sharper than by the instrument, are broadened too."""
    wave = np.arange(4750.0, 7150.0) * (1 + redshift)
    flux = np.random.default_rng(5).normal(1, 0.02, (20, wave.size)).astype(np.float32)
    lsf = None if fwhm_aa is None else LineSpread("constant_fwhm_aa", fwhm_aa)
    spectra = BinSpectra(wave, flux, np.full_like(flux, 4e-4), np.ones(flux.shape, bool), 1e-20, True, lsf)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, redshift, 0.0, sigma_kms)
    data = make_observation(rest, {}, toy_bins(np.arange(1, 21)[None]), MUSE_HST, 0.0, sigma_kms, redshift)
    chi2 = reduced_chi2(data, np.ones_like(data.flux))
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.15 if sigma_kms == 200.0 else 0.1)


def test_gas_does_not_count_and_a_wrong_continuum_does():
    flux = np.ones((1, N_WAVE))
    flux[0, np.abs(WAVE_AA - 6562.8) < 10] += 5
    model = np.ones((1, N_WAVE), np.float32)
    assert reduced_chi2(_data(flux, 0.02), model)[0] < 1e-6
    assert reduced_chi2(_data(flux, 0.02), model * 1.04)[0] > 3.5


def test_nothing_usable_is_nan():
    data = _data(np.ones((1, N_WAVE)), 0.02)
    dark = dataclasses.replace(data, mask=np.zeros_like(data.mask))
    assert np.isnan(reduced_chi2(dark, np.ones((1, N_WAVE), np.float32))[0])


def test_most_pixels_belong_to_the_stars():
    assert 0.7 < find_stellar_pixels(WAVE_AA).mean() < 0.9
