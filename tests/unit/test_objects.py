"""Rows of catalogues and single spectra as observations."""

import numpy as np
import pytest
from muse_hst import MUSE_HST, NORM_PIXELS, WAVE_AA
from prep_toys import MUSE_WAVE, toy_spectrum

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.encoding import encode_observation, find_usable_rows
from napari_sfh.prep.objects import make_photometry_observation, make_spectra_observation
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import Flag

JPAS = load_instrument("jpas")


def test_rows_are_divided_by_their_own_median():
    rng = np.random.default_rng(1)
    flux = rng.uniform(1, 9, (5, JPAS.n_bands)) * 1e-17 * np.array([1, 10, 100, 1, 1])[:, None]
    data = make_photometry_observation(JPAS, flux, 0.05 * flux)
    np.testing.assert_allclose(np.median(data.phot, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(data.phot * data.norm_cgs[:, None], flux, rtol=1e-6)
    np.testing.assert_allclose(data.snr, 20.0, rtol=1e-6)
    assert (data.flag == 0).all()
    assert find_usable_rows(data).all()
    assert encode_observation(data).photometry.shape == (5, 3, JPAS.n_bands)


def test_what_was_not_measured_is_masked_and_flagged():
    flux = np.ones((4, JPAS.n_bands))
    flux[0, :10] = np.nan
    flux[1, 3] = -1.0
    flux[2] = np.nan
    data = make_photometry_observation(JPAS, flux, 0.1 * np.ones_like(flux), [0.0, 0.0, 0.0, 9.0])
    assert data.phot_mask.sum(1).tolist() == [JPAS.n_bands - 10, JPAS.n_bands - 1, 0, 0]
    assert (data.flag & int(Flag.MISSING_BAND) > 0).all()
    assert (data.flag & int(Flag.NEGATIVE_FLUX) > 0).tolist() == [False, True, False, False]
    assert (data.flag & int(Flag.REDSHIFT) > 0).tolist() == [False, False, False, True]
    assert find_usable_rows(data).tolist() == [True, True, False, False]
    assert np.isfinite(data.phot).all()


def test_wrong_columns_and_instruments_are_named():
    with pytest.raises(SfhInputError, match=r"one column for each of the 56 bands of jpas"):
        make_photometry_observation(JPAS, np.ones((2, 5)), np.ones((2, 5)))
    with pytest.raises(SfhInputError, match="muse-hst: takes spectra"):
        make_photometry_observation(MUSE_HST, np.ones((2, 5)), np.ones((2, 5)))


def test_each_spectrum_is_shifted_by_its_own_redshift():
    redshift, sigma = np.array([0.0, 0.01, 0.05]), np.array([60.0, 90.0, 120.0])
    flux = np.stack([toy_spectrum(MUSE_WAVE, z, 0.0, s) for z, s in zip(redshift, sigma)]).astype(np.float32)
    lsf = MUSE_HST.grid.lsf
    spectra = BinSpectra(MUSE_WAVE, flux, np.full_like(flux, 1e-4), np.ones(flux.shape, bool), 1e-17, True, lsf)
    data = make_spectra_observation(MUSE_HST, spectra, redshift, sigma)
    truth = toy_spectrum(WAVE_AA, sigma_kms=150.0)
    truth /= truth[NORM_PIXELS].mean()
    for row in range(3):
        used = data.mask[row]
        assert used.mean() > 0.99
        assert np.abs(data.flux[row] - truth)[used].max() < 3e-3
    assert (data.flag == int(Flag.MISSING_BAND | Flag.NO_PHOTOMETRY)).all()
