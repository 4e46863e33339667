"""Noise: its width, shape, correlation and what the error array says of it."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import BANDS, MUSE_HST, NORM_PIXELS, STEP_AA, WAVE_AA
from synthetic_toys import toy_model, toy_templates

from napari_sfh.physics.lsf import broadening_kms
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.rest_frame import noise_gain
from napari_sfh.training.prior.distributions import constant_distribution, parse_distribution
from napari_sfh.training.prior.prior_config import Noise, Photometry, load_prior
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model, noise
from napari_sfh.types import Flag

N = 400


def clean(sigma_star=60.0, redshift=0.0):
    s = toy_templates().n_sub
    params = ObjectParameters.single(
        np.ones((N, s)), np.zeros((N, s)), sigma_star_kms=sigma_star, redshift=redshift, escape=1.0
    )
    return forward_model.synthesise_objects(toy_model(), params)


def spectrum(rng=0, source=None, snr=30.0, **settings):
    config = Noise(**{k: constant_distribution(v) for k, v in settings.items()})
    return noise.add_spectral_noise(source or clean(), np.full(N, snr), config, np.random.default_rng(rng))


def test_noise_has_the_snr_and_the_shape_of_photons():
    source = clean()
    flux, error, mask = spectrum(source=source, snr=25.0)
    residual = flux - source.flux
    assert (1 / residual[:, NORM_PIXELS].std()) == pytest.approx(25.0, rel=0.02)
    np.testing.assert_allclose(residual.std(0) / np.sqrt(source.flux[0]), 1 / 25, rtol=0.2)
    np.testing.assert_allclose(error, np.sqrt(source.flux) / 25, rtol=1e-4)
    assert mask.all()


def test_background_flattens_the_noise():
    source = clean()
    _, error, _ = spectrum(source=source, background=5.0)
    assert np.ptp(error[0]) < 0.3 * np.ptp(np.sqrt(source.flux[0]) / 30)
    assert np.sqrt((error[:, NORM_PIXELS] ** 2).mean()) == pytest.approx(1 / 30, rel=1e-3)


def test_neighbours_correlate_as_asked():
    source = clean()
    flux, error, _ = spectrum(source=source, correlation=0.3)
    residual = (flux - source.flux) / error
    assert residual.std() == pytest.approx(1.0, rel=0.02)
    assert (residual[:, 1:] * residual[:, :-1]).mean() == pytest.approx(0.3, abs=0.02)
    assert (residual[:, 2:] * residual[:, :-2]).mean() == pytest.approx(0.0, abs=0.02)


def test_broadening_smooths_noise_as_prep_does_and_leaves_the_errors():
    source = clean(sigma_star=60.0)
    flux, error, _ = spectrum(source=source, broadened=1.0)
    residual = ((flux - source.flux) / error)[:, 100:-100]
    gain = noise_gain(float(broadening_kms(60.0, 150.0)[0]), MUSE_HST.grid)
    assert residual.var() == pytest.approx(float(gain), rel=0.1)
    # The mean over many pixels knows nothing of the smoothing.
    blocks = residual[:, :1500].reshape(N, 15, 100).mean(2)
    assert blocks.std() == pytest.approx(0.1, rel=0.06)
    unbroadened = spectrum(source=source)[1]
    np.testing.assert_allclose(error[:, 100:-100], unbroadened[:, 100:-100], rtol=0.08)


def test_objects_do_not_feel_how_many_are_smoothed_together():
    rng = np.random.default_rng(3)
    raw, sigma = rng.random((150, WAVE_AA.size), dtype=np.float32), rng.uniform(20, 140, 150)
    together, variance = raw.copy(), raw + 1
    noise.broaden_noise(together, variance, sigma, MUSE_HST.grid)
    for k in (0, 63, 64, 149):
        alone, own = raw[k : k + 1].copy(), raw[k : k + 1] + 1
        noise.broaden_noise(alone, own, sigma[k : k + 1], MUSE_HST.grid)
        np.testing.assert_allclose(together[k], alone[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance[k], own[0], rtol=1e-5)


def test_a_spectrum_is_one_in_its_window_and_has_the_snr_of_its_errors():
    config = replace(
        load_prior("tiny"), noise=Noise(snr=constant_distribution(40.0), bad_pixels=constant_distribution(0.05))
    )
    data = noise.add_observational_noise(clean(), config, np.random.default_rng(2))
    used = data.mask & NORM_PIXELS
    pixels = used.sum(1)
    np.testing.assert_allclose(np.where(used, data.flux, 0).sum(1) / pixels, 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt((np.where(used, data.error, 0) ** 2).sum(1) / pixels), 1 / data.snr, rtol=1e-5)
    assert not data.flux[~data.mask].any()
    assert not data.mask.all()


def test_smoothing_has_its_width():
    spike = np.zeros((1, WAVE_AA.size), np.float32)
    spike[0, 880] = 1.0
    noise.broaden_noise(spike, np.ones_like(spike), np.array([90.0]), MUSE_HST.grid)
    width = np.sqrt((spike[0] * (WAVE_AA - WAVE_AA[880]) ** 2).sum() / spike.sum())
    assert width == pytest.approx(np.sqrt(150**2 - 90**2) / C_KMS * 5900, rel=0.01)
    assert spike.sum() == pytest.approx(1.0, abs=1e-4)


def test_sky_residuals_stand_at_observed_wavelengths_and_only_there():
    source = clean(redshift=0.01)
    flux, error, _ = spectrum(source=source, sky=5.0)
    scatter = ((flux - source.flux) * 30).std(0)
    line = np.argmin(np.abs(WAVE_AA - 5577.34 / 1.01))
    assert scatter[line] == pytest.approx(np.hypot(5.0, 1.0), rel=0.15)
    assert error[0, line] * 30 == pytest.approx(np.hypot(3.5, 1.0), rel=0.1)
    quiet = (WAVE_AA > 5000) & (WAVE_AA < 5100)
    assert scatter[quiet].mean() == pytest.approx(1.0, rel=0.05)


def test_wiggles_are_smooth_and_have_their_size():
    source = clean()
    flux, _, _ = spectrum(source=source, snr=2000.0, wiggle=0.02)
    ratio = flux / source.flux
    assert ratio.std() == pytest.approx(0.02, rel=0.1)
    assert np.diff(ratio, axis=1).std() < 0.002
    assert np.isfinite(ratio).all()


def test_wiggles_have_the_wavelengths_that_the_prior_names():
    source = clean()
    config = Noise(
        wiggle=constant_distribution(0.05), wiggle_scale_aa=parse_distribution({"uniform": [100.0, 101.0]}, "scale")
    )
    flux, _, _ = noise.add_spectral_noise(source, np.full(N, 2000.0), config, np.random.default_rng(1))
    ratio = flux / source.flux - 1
    assert ratio.std() == pytest.approx(0.05, rel=0.05)
    power = (np.abs(np.fft.rfft(ratio)) ** 2).mean(0)
    period = WAVE_AA.size * STEP_AA / np.argmax(power)
    assert period == pytest.approx(100.5, rel=0.03)


def test_masks():
    _, _, mask = spectrum(source=clean(redshift=0.005), notch=1.0, edge_aa=50.0)
    lost = WAVE_AA[~mask[0]]
    assert lost[lost > 5000].min() == pytest.approx(5800 / 1.005, abs=STEP_AA)
    assert lost.max() == pytest.approx(5970 / 1.005, abs=STEP_AA)
    assert WAVE_AA[mask[0]].min() == pytest.approx(4850, abs=STEP_AA)
    assert (~spectrum(bad_pixels=0.05)[2]).mean() == pytest.approx(0.05, rel=0.1)


def test_a_wrong_error_array_moves_the_reported_snr():
    prior = load_prior("tiny")
    config = replace(prior, noise=Noise(snr=constant_distribution(30.0), error_scale_dex=constant_distribution(0.1)))
    data = noise.add_observational_noise(clean(), config, np.random.default_rng(0))
    assert np.log10(data.snr / 30).std() == pytest.approx(0.1, rel=0.15)


def test_photometric_errors():
    source = clean()
    config = Photometry(floor=constant_distribution(0.03))
    flux, error, mask = noise.add_photometric_noise(source, np.full(N, 50.0), config, np.random.default_rng(0))
    expected = np.hypot(0.03 * source.phot[0], np.array([config.depth_of(band) for band in BANDS]) / 50)
    np.testing.assert_allclose(flux.std(0), expected, rtol=0.12)
    np.testing.assert_allclose(error[0], expected, rtol=1e-4)
    assert mask.all()


def test_offset_moves_all_bands_together_and_zero_points_each():
    source = clean()
    quiet = {"depth": dict.fromkeys(BANDS, 0.0), "floor": constant_distribution(0.0)}
    together = Photometry(offset=constant_distribution(0.05), **quiet)
    ratio = noise.add_photometric_noise(source, np.full(N, 50.0), together, np.random.default_rng(0))[0] / source.phot
    assert ratio.std(1).max() < 1e-5
    assert ratio[:, 0].std() == pytest.approx(0.05, rel=0.15)
    apart = Photometry(zero_point=constant_distribution(0.02), **quiet)
    ratio = noise.add_photometric_noise(source, np.full(N, 50.0), apart, np.random.default_rng(0))[0] / source.phot
    assert abs(np.corrcoef(ratio[:, 0], ratio[:, 1])[0, 1]) < 0.2


def test_errors_may_hide_the_floor():
    depth = dict.fromkeys(BANDS, 0.2)
    config = Photometry(depth=depth, floor=constant_distribution(0.05), floor_known=constant_distribution(0.0))
    source = clean()
    flux, error, _ = noise.add_photometric_noise(source, np.full(N, 100.0), config, np.random.default_rng(0))
    assert np.all(flux.std(0)[3:] > 5 * error[0, 3:])


def test_missing_bands_are_masked_zero_and_flagged():
    config = replace(
        load_prior("tiny"),
        photometry=Photometry(missing=constant_distribution(0.3), none=parse_distribution(0.1, "none")),
        noise=Noise(),
    )
    data = noise.add_observational_noise(clean(), config, np.random.default_rng(0))
    assert (~data.phot_mask).mean() == pytest.approx(1 - 0.7 * 0.9, abs=0.05)
    assert np.all(data.phot[~data.phot_mask] == 0)
    none = ~data.phot_mask.any(1)
    np.testing.assert_array_equal(none, (data.flag & int(Flag.NO_PHOTOMETRY)) != 0)
    np.testing.assert_array_equal(~data.phot_mask.all(1), (data.flag & int(Flag.MISSING_BAND)) != 0)


def test_output_is_normalised_like_preps():
    data = noise.add_observational_noise(clean(), load_prior("tiny"), np.random.default_rng(0))
    used = data.mask & NORM_PIXELS
    np.testing.assert_allclose((data.flux * used).sum(1) / used.sum(1), 1.0, rtol=1e-4)
    error2 = ((data.error * used) ** 2).sum(1) / used.sum(1)
    np.testing.assert_allclose(data.snr, 1 / np.sqrt(error2), rtol=1e-4)
    assert np.all(data.flux[~data.mask] == 0)
    assert np.isnan(data.norm_cgs).all()
