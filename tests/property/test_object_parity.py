"""Catalogue rows, band images and single spectra of instruments made at random: painted, written, read and encoded they
are what the network is shown directly. `make proofs` tries many more instruments than the fast suite.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sfh.instruments.files import make_band_filters
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.objects.band_images import read_band_images
from napari_sfh.io.objects.blocks import open_catalogue
from napari_sfh.io.objects.columns import match_band_columns
from napari_sfh.io.objects.photometry import read_band_photometry
from napari_sfh.io.objects.spectra_1d import read_single_spectra
from napari_sfh.model.encoding import encode_observation
from napari_sfh.prep.band_fluxes.band_rows import make_band_observation
from napari_sfh.prep.rest_frame import shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
UNITS = ("erg / (s cm2 Angstrom)", "uJy", "mJy", "mag(AB)")
N = 6


@st.composite
def band_instruments(draw):
    count = draw(st.integers(3, 7))
    centres = draw(st.lists(st.floats(3000.0, 9000.0), min_size=count, max_size=count))
    bands = tuple(Band(f"NB{k}", centre_aa=c, fwhm_aa=draw(st.floats(80.0, 900.0))) for k, c in enumerate(centres))
    return Instrument("random", bands=bands, photometry_norm=draw(st.sampled_from(["median", "NB0"])))


@st.composite
def spectral_instruments(draw):
    first = draw(st.floats(3700.0, 6500.0))
    step = {"step_aa": draw(st.floats(1.0, 6.0))} if draw(st.booleans()) else {"log_step": draw(st.floats(2e-4, 8e-4))}
    lsf = draw(st.sampled_from([LineSpread("constant_fwhm_aa", 6.0), LineSpread("constant_r", 900.0)]))
    medium = draw(st.sampled_from(["air", "vacuum"]))
    window = (first + 300.0, first + 500.0)
    grid = SpectrumGrid(first, first + 900.0, window, lsf, medium=medium, sigma_kms=150.0, **step)
    return Instrument("random", grid)


def paint_bands(instrument, seed):
    """Fluxes in erg/s/cm2/AA, errors and which bands were measured, (N, B) each."""
    rng = np.random.default_rng(seed)
    flux = 1e-16 * 10 ** rng.uniform(-1, 1, (N, 1)) * 10 ** rng.uniform(-0.3, 0.3, (N, instrument.n_bands))
    mask = rng.random(flux.shape) > 0.15
    mask[:, 0] = True
    return flux, flux * rng.uniform(0.01, 0.1, flux.shape), mask


def to_unit(flux, error, unit, pivot_aa):
    """Values of a column, and of its error."""
    flam = u.erg / (u.s * u.cm**2 * u.AA)
    if unit == "mag(AB)":
        magnitude = (flux * flam).to(u.ABmag, u.spectral_density(pivot_aa * u.AA))
        return magnitude.value, 2.5 / np.log(10) * error / flux
    return [(a * flam).to(unit, u.spectral_density(pivot_aa * u.AA)).value for a in (flux, error)]


def check_photometry(instrument, flux, error, mask, seen):
    direct = make_band_observation(instrument, flux, error, mask)
    shown, wanted = encode_observation(seen).photometry, encode_observation(direct).photometry
    np.testing.assert_allclose(shown.numpy(), wanted.numpy(), atol=2e-3)
    np.testing.assert_array_equal(seen.phot_mask, direct.phot_mask)
    np.testing.assert_allclose(seen.snr, direct.snr, rtol=2e-3)


def check_rows(instrument, unit, suffix, seed):
    flux, error, mask = paint_bands(instrument, seed)
    pivots = np.array([band.pivot_aa for band in make_band_filters(instrument)])
    table = Table({"ID": np.arange(N)})
    for k, band in enumerate(instrument.band_names):
        value, width = to_unit(flux[:, k], error[:, k], unit, pivots[k])
        table[band] = np.where(mask[:, k], value, np.nan)
        table[f"{band}_ERR"] = width
        table[band].unit = table[f"{band}_ERR"].unit = "mag" if unit == "mag(AB)" else unit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{suffix}"
        table.write(path)
        catalogue = open_catalogue(path)
        (block,) = catalogue.read_blocks()
        columns = match_band_columns(catalogue.names, instrument.band_names)
        seen = read_band_photometry(block, columns, instrument.band_names, pivots)
    observed = make_band_observation(instrument, seen.flux, seen.error, seen.mask, flag=seen.flag)
    check_photometry(instrument, flux, error, mask, observed)


def check_images(instrument, unit, seed):
    flux, error, mask = paint_bands(instrument, seed)
    pivots = {band.name: band.pivot_aa for band in make_band_filters(instrument)}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for k, band in enumerate(instrument.band_names):
            value, width = to_unit(flux[:, k], error[:, k], unit, pivots[band])
            header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"})
            header.update(
                {"CRVAL1": 10.0, "CRVAL2": 5.0, "CRPIX1": 1.0, "CRPIX2": 1.0, "CDELT1": -1e-4, "CDELT2": 1e-4}
            )
            header["BUNIT"] = unit
            images = [np.where(mask[:, k], value, np.nan).reshape(2, N // 2), width.reshape(2, N // 2)]
            hdus = [fits.ImageHDU(a, header, name=name) for a, name in zip(images, ("SCI", "ERR"), strict=True)]
            paths[band] = Path(folder) / f"{band}.fits"
            fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(paths[band])
        read = read_band_images(paths, pivots)
        seen, width = (np.asarray(a, float).reshape(len(read.bands), N).T for a in (read.flux, read.error))
    usable = np.isfinite(seen) & np.isfinite(width)
    kept = [np.where(usable, a, 0.0) for a in (seen, width)]
    check_photometry(instrument, flux, error, mask, make_band_observation(instrument, *kept, usable))


def check_spectrum(instrument, seed):
    """A spectrum at the instrument's own resolution needs no broadening: only the grid is gone through."""
    rng, grid = np.random.default_rng(seed), instrument.grid
    wave = np.arange(grid.wave_aa[0] - 60, grid.wave_aa[-1] + 60, 0.5 * grid.pixel_aa.min())
    flux = 5.0 + np.sin(wave / 90.0) + 0.5 * np.cos(wave / 37.0 + rng.uniform(0, 6))
    error = np.full(wave.size, 0.1)
    redshift = float(rng.uniform(0, 0.05))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.ecsv"
        columns = {"wavelength": wave * (1 + redshift) * u.AA, "flux": flux, "error": error}
        Table(columns).write(path)
        (one,) = read_single_spectra(path, "air")
    np.testing.assert_allclose(one.wave_aa, wave * (1 + redshift), rtol=1e-9)
    spectra = BinSpectra(one.wave_aa, one.flux[None], one.variance[None], one.good[None], 1.0, True, grid.lsf)
    rest = shift_to_rest_frame(spectra, grid, redshift, 0.0, grid.sigma_kms)
    expected = np.interp(grid.wave_aa, wave, flux)
    ours, wanted = (a / a[grid.norm_pixels].mean() for a in (rest.flux[0], expected))
    assert rest.mask[0].mean() > 0.98
    np.testing.assert_allclose(ours[rest.mask[0]], wanted[rest.mask[0]], atol=0.02)


@FEW
@given(band_instruments(), st.sampled_from(UNITS), st.sampled_from(["fits", "ecsv"]), st.integers(0, 99))
def test_rows_of_a_catalogue(instrument, unit, suffix, seed):
    check_rows(instrument, unit, suffix, seed)


@FEW
@given(band_instruments(), st.sampled_from(UNITS[:3]), st.integers(0, 99))
def test_pixels_of_band_images(instrument, unit, seed):
    check_images(instrument, unit, seed)


@FEW
@given(spectral_instruments(), st.integers(0, 99))
def test_single_spectra(instrument, seed):
    check_spectrum(instrument, seed)


@pytest.mark.slow
@MANY
@given(band_instruments(), spectral_instruments(), st.sampled_from(UNITS), st.integers(0, 9999))
def test_many_instruments_and_all_kinds_of_objects(bands, spectra, unit, seed):
    check_rows(bands, unit, "ecsv" if seed % 2 else "fits", seed)
    check_images(bands, UNITS[seed % 3], seed)
    check_spectrum(spectra, seed)
