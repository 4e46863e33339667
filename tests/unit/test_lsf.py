"""Broadening against Gaussians, whose widths add in quadrature."""

import numpy as np
import pytest
from muse_hst import WAVE_AA

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.physics import lsf
from napari_sfh.physics.wavelength import C_KMS


def gaussian(centre, sigma, wave=WAVE_AA):
    return np.exp(-0.5 * ((wave - centre) / sigma) ** 2)


def moments(flux, wave=WAVE_AA):
    total = flux.sum()
    mean = (flux * wave).sum() / total
    return total, mean, np.sqrt((flux * (wave - mean) ** 2).sum() / total)


@pytest.mark.parametrize(("first", "second"), [(3.0, 4.0), (2.0, 1.0), (1.5, 0.3), (1.2, 0.9), (2.5, 8.0)])
def test_widths_add_in_quadrature(first, second):
    before = gaussian(6000.0, first)
    total, centre, sigma = moments(lsf.broaden_spectra(before, WAVE_AA, second))
    assert sigma == pytest.approx(np.hypot(first, second), rel=1e-3)
    assert centre == pytest.approx(6000.0, abs=1e-3)
    assert total == pytest.approx(before.sum(), rel=1e-6)


def test_a_width_recovered_is_the_root_of_the_difference_of_squares():
    extra, impossible = lsf.extra_sigma(np.array([3.0, 6.0]), np.array([5.0, 5.0]))
    np.testing.assert_allclose(extra, [4.0, 0.0])
    assert impossible.tolist() == [False, True]


def test_varying_width_gives_each_line_its_own():
    sigma = np.linspace(1.0, 4.0, WAVE_AA.size)
    flux = gaussian(5200.0, 2.0) + gaussian(6600.0, 2.0)
    out = lsf.broaden_spectra(flux, WAVE_AA, sigma)
    for centre in (5200.0, 6600.0):
        near = np.abs(WAVE_AA - centre) < 60
        wanted = np.hypot(2.0, np.interp(centre, WAVE_AA, sigma))
        assert moments(out[near], WAVE_AA[near])[2] == pytest.approx(wanted, rel=0.01)


def test_a_constant_stays_constant_to_the_edges():
    np.testing.assert_allclose(lsf.broaden_spectra(np.full(WAVE_AA.size, 7.0), WAVE_AA, 3.0), 7.0, rtol=1e-12)


def test_zero_width_changes_nothing_and_the_input_is_left_alone():
    flux = np.random.default_rng(1).normal(size=(2, WAVE_AA.size)).astype(np.float32)
    copy = flux.copy()
    out = lsf.broaden_spectra(flux, WAVE_AA, np.zeros(WAVE_AA.size))
    np.testing.assert_array_equal(out, copy)
    np.testing.assert_array_equal(flux, copy)
    assert out.dtype == np.float32


def test_one_width_per_spectrum_equals_one_by_one():
    flux = np.stack([gaussian(5500.0, 2.0), gaussian(6000.0, 2.0)])
    sigma = np.array([1.0, 3.0])[:, None] * np.ones(WAVE_AA.size)
    both = lsf.broaden_spectra(flux, WAVE_AA, sigma)
    for row, one, width in zip(both, flux, (1.0, 3.0)):
        np.testing.assert_allclose(row, lsf.broaden_spectra(one, WAVE_AA, width), rtol=1e-12)


def test_variance_of_white_noise_falls_as_for_a_gaussian():
    """A Gaussian of sigma pixels averages 2 sqrt(pi) sigma pixels of white noise."""
    sigma_pix = 2.0
    expected = 1.0 / (2 * np.sqrt(np.pi) * sigma_pix)
    noise = np.random.default_rng(0).normal(size=(300, WAVE_AA.size))
    measured = lsf.broaden_spectra(noise, WAVE_AA, sigma_pix * 1.25)[:, 100:-100].var()
    assert measured == pytest.approx(expected, rel=0.02)


def test_muse_lsf_has_the_published_values():
    """Bacon et al. (2017), equation 8, evaluated by hand: 2.98, 2.74 and 2.48 AA at 4800, 5577 and 7000 AA."""
    np.testing.assert_allclose(MUSE_LSF.fwhm_aa([4800.0, 5577.0, 7000.0]), [2.982, 2.741, 2.483], atol=2e-3)


def test_total_width_is_lsf_and_dispersion_in_quadrature():
    wave = 6000.0
    wanted = np.sqrt((MUSE_LSF.fwhm_aa(wave) / 2.354820) ** 2 + (wave * 150.0 / C_KMS) ** 2)
    assert lsf.total_sigma_aa(wave, MUSE_LSF.fwhm_aa(wave), 150.0) == pytest.approx(float(wanted), rel=1e-6)


def test_observed_and_synthetic_spectra_end_at_the_same_width():
    """A template brought to the total width equals a galaxy of 90 km/s at the LSF brought to 150 km/s."""
    line = 5500.0
    galaxy = gaussian(line, float(np.hypot(MUSE_LSF.fwhm_aa(line) / lsf.FWHM_PER_SIGMA, line * 90 / C_KMS)))
    extra, too_broad = lsf.broadening_kms(90.0, 150.0)
    assert not too_broad
    out = lsf.broaden_spectra(galaxy, WAVE_AA, WAVE_AA * float(extra) / C_KMS)
    assert moments(out)[2] == pytest.approx(float(lsf.total_sigma_aa(line, MUSE_LSF.fwhm_aa(line), 150.0)), rel=2e-3)


def test_dispersion_above_the_target_is_clamped_and_reported():
    extra, too_broad = lsf.broadening_kms(np.array([0.0, 149.0, 151.0]), 150.0)
    assert extra[0] == pytest.approx(150.0)
    assert extra[2] == 0.0
    assert too_broad.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("flux", "wave", "sigma", "message"),
    [
        (np.ones(5), np.array([1.0, 2.0, 3.0, 4.0, 6.0]), 1.0, "steps that change slowly"),
        (np.ones(5), np.arange(4.0), 1.0, "wave_aa has shape"),
        (np.ones(5), np.arange(5.0), -1.0, "negative or non-finite"),
        (np.ones(5), np.arange(5.0), np.nan, "negative or non-finite"),
    ],
)
def test_bad_input_is_named(flux, wave, sigma, message):
    with pytest.raises(SfhInputError, match=message):
        lsf.broaden_spectra(flux, wave, sigma)
