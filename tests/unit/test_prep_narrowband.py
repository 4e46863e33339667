"""Narrow bands against integrals that are known."""

import threading

import numpy as np
import pytest
from jpas_like import make_jpas_like_filters
from prep_toys import toy_cube

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.prep.band_fluxes import narrowband

WAVE = np.arange(4750.0, 9350.0, 1.25)


def test_there_are_56_bands_and_43_in_the_muse_range():
    every = make_jpas_like_filters()
    assert len(every) == 56
    assert np.all(np.diff([f.pivot_aa for f in every]) > 0)
    assert (every[0].name, every[1].name, every[-1].name) == ("u", "J0378", "J1007")
    muse = make_jpas_like_filters(4750, 9350)
    assert [muse[0].name, muse[-1].name] == ["J0490", "J0910"]
    assert len(muse) == 43
    np.testing.assert_allclose(np.diff([f.pivot_aa for f in muse]), 100, atol=0.1)


def test_width_is_145_at_half_maximum():
    band = make_jpas_like_filters(5300, 5500)[0]
    fine = np.linspace(band.wave_aa[0], band.wave_aa[-1], 100_001)
    above = fine[np.interp(fine, band.wave_aa, band.throughput) >= 0.5]
    assert np.ptp(above) == pytest.approx(145.0, abs=0.01)


def test_bands_with_halpha_are_left_out():
    names = {f.name for f in make_jpas_like_filters(4750, 9350)}
    left = {f.name for f in make_jpas_like_filters(4750, 9350, without_aa=[HALPHA_AA])}
    assert names - left == {"J0650", "J0660"}


def test_mean_of_a_line_through_the_flux_is_its_value_at_the_photon_weighted_centre():
    bands = make_jpas_like_filters(4750, 9350)
    out = narrowband.measure_narrowband_fluxes(2.0 + 1e-3 * (WAVE - 6000.0), WAVE, bands)
    # For a symmetric band of variance s^2 about c the photon-weighted mean wavelength is c + s^2 / c.
    centre = np.array([0.5 * (f.wave_aa[0] + f.wave_aa[-1]) for f in bands])
    variance = (120.0**2 + 170.0**2) / 24
    np.testing.assert_allclose(out.flux, 2.0 + 1e-3 * (centre + variance / centre - 6000.0), rtol=1e-6)
    assert out.mask.all()
    assert not out.error.any()


def test_error_of_equal_independent_pixels():
    bands = make_jpas_like_filters(5000, 6000)
    out = narrowband.measure_narrowband_fluxes(np.ones((3, WAVE.size)), WAVE, bands, error=np.full((3, WAVE.size), 0.1))
    # A trapezoid of area A and integral of its square Q: var = sigma^2 step Q / A^2.
    area, square = 145.0, 120.0 + 2 * 25.0 / 3
    np.testing.assert_allclose(out.error, 0.1 * np.sqrt(1.25 * square) / area, rtol=0.02)


def test_scatter_of_noise_is_the_error():
    rng = np.random.default_rng(1)
    bands = make_jpas_like_filters(5000, 6000)
    error = np.full((800, WAVE.size), 0.2)
    out = narrowband.measure_narrowband_fluxes(1 + error * rng.standard_normal(error.shape), WAVE, bands, error)
    np.testing.assert_allclose(out.flux.std(0), out.error[0], rtol=0.12)


def test_bad_pixels_are_bridged_up_to_a_tenth_of_the_band():
    bands = make_jpas_like_filters(5300, 5500)
    flux = np.ones((2, WAVE.size))
    flux[0, np.argmin(np.abs(WAVE - 5400)) : np.argmin(np.abs(WAVE - 5410))] = np.nan
    flux[1, (WAVE > 5380) & (WAVE < 5420)] = np.nan
    out = narrowband.measure_narrowband_fluxes(flux, WAVE, bands)
    middle = [f.name for f in bands].index("J0540")
    assert out.mask[:, middle].tolist() == [True, False]
    assert out.flux[:, middle] == pytest.approx([1.0, 0.0])


def test_images_of_a_cube_equal_its_spectra_in_the_rest_frame():
    rng = np.random.default_rng(2)
    flux = 5 + rng.random((WAVE.size, 3, 4))
    variance = 0.01 + rng.random(flux.shape)
    good = rng.random(flux.shape) > 0.01
    bands = make_jpas_like_filters(4750, 9000, [HALPHA_AA])
    z = 0.01
    made = narrowband.make_narrowband_images(toy_cube(flux, variance, good, wave=WAVE), bands, z)
    assert made.flux.shape == made.error.shape == (len(bands), 3, 4)
    spectra = np.moveaxis(flux, 0, -1)
    out = narrowband.measure_narrowband_fluxes(
        spectra, WAVE / (1 + z), bands, np.sqrt(np.moveaxis(variance, 0, -1)), np.moveaxis(good, 0, -1)
    )
    expected = np.where(out.mask, out.flux * 1e-20, np.nan)
    np.testing.assert_allclose(np.moveaxis(made.flux, 0, -1), expected, rtol=1e-4)
    np.testing.assert_allclose(np.moveaxis(made.error, 0, -1), np.where(out.mask, out.error * 1e-20, np.nan), rtol=1e-4)


def test_cube_without_variance_has_no_errors():
    made = narrowband.make_narrowband_images(
        toy_cube(np.ones((WAVE.size, 2, 2)), wave=WAVE), make_jpas_like_filters(5000, 6000)
    )
    assert np.isnan(made.error).all()
    assert np.isfinite(made.flux).all()


def test_cancel_gives_nothing():
    stop = threading.Event()
    stop.set()
    cube = toy_cube(np.ones((WAVE.size, 2, 2)), wave=WAVE)
    with pytest.raises(Cancelled):
        narrowband.make_narrowband_images(cube, make_jpas_like_filters(5000, 6000), cancel=stop)


def test_bad_input():
    with pytest.raises(SfhInputError, match="none lies within 100-200"):
        make_jpas_like_filters(100, 200)
    with pytest.raises(SfhInputError, match="do not agree"):
        narrowband.measure_narrowband_fluxes(np.ones(3), np.arange(4), make_jpas_like_filters(5000, 6000))
    with pytest.raises(SfhInputError, match="give a spectrum that covers the filter"):
        narrowband.measure_narrowband_fluxes(np.ones(WAVE.size), WAVE, make_jpas_like_filters())
    with pytest.raises(SfhInputError, match="J0490"):
        narrowband.make_narrowband_images(
            toy_cube(np.ones((900, 2, 2)), wave=np.arange(5000, 5900.0)), make_jpas_like_filters(4800)
        )


def test_channels_that_are_not_in_the_data_hold_no_band():
    bands = make_jpas_like_filters(5000, 7000)
    kept = (WAVE < 5800) | (WAVE > 6000)
    slope = np.where(kept, 2.0 + 1e-3 * (WAVE - 6000.0), np.nan)
    masked = narrowband.measure_narrowband_fluxes(slope, WAVE, bands)
    cut = narrowband.measure_narrowband_fluxes(slope[kept], WAVE[kept], bands)
    np.testing.assert_array_equal(cut.mask, masked.mask)
    np.testing.assert_allclose(cut.flux, masked.flux, rtol=1e-6)
    assert 0 < masked.mask.sum() < len(bands)
