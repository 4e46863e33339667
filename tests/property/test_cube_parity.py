"""Bins of a cube for instruments made at random: painted, written, run and encoded, they are what the network is shown
directly.

The paint is known in closed form: Gaussian lines on a smooth continuum, whose widths add in quadrature with those of
the stars' motion and of the line-spread functions, in the cube and on the instrument's grid alike.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painted_cube import ERROR, FLUX_SCALE, FWHM_PER_SIGMA, NX, NY, Paint, PaintedCube, write_painted_cube
from toy_universe import write_toy_bundle

from napari_sfh.config import RunConfig
from napari_sfh.decisions import configure_run
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.targets import make_targets
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.pipeline import run_pipeline
from napari_sfh.prep.band_fluxes.band_rows import make_band_observation
from napari_sfh.types import make_empty_observation

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
N = NY * NX


@st.composite
def spectral_instruments(draw):
    first = draw(st.floats(3700.0, 6200.0))
    step = {"step_aa": draw(st.floats(1.0, 6.0))} if draw(st.booleans()) else {"log_step": draw(st.floats(2e-4, 8e-4))}
    lsf = draw(st.sampled_from([LineSpread("constant_fwhm_aa", 6.0), LineSpread("constant_r", 800.0)]))
    window = (first + 300.0, first + 500.0)
    sigma = draw(st.sampled_from([120.0, 150.0, 300.0]))
    medium = draw(st.sampled_from(["air", "vacuum"]))
    return Instrument("random", SpectrumGrid(first, first + 900.0, window, lsf, medium=medium, sigma_kms=sigma, **step))


CUBES = st.builds(
    PaintedCube,
    is_log=st.booleans(),
    medium=st.sampled_from(["air", "vacuum"]),
    fwhm_aa=st.floats(2.5, 4.2),
    redshift=st.floats(0.0, 0.05),
    v_kms=st.floats(-200.0, 200.0),
    sigma_kms=st.floats(20.0, 110.0),
    seed=st.integers(0, 999),
)


def direct_spectra(instrument, paint, cube, air):
    """The observation without a cube: spectra at the instrument's own resolution."""
    grid = instrument.grid
    seen = np.hypot(grid.wave_aa * grid.sigma_kms / C_KMS, grid.fwhm_aa / FWHM_PER_SIGMA)
    flux = paint.draw(grid.wave_aa, seen)
    pixels = np.interp(grid.wave_aa * cube.stretch, air, np.gradient(air)) / (grid.pixel_aa * cube.stretch)
    error = ERROR * paint.light[:, None] * np.sqrt(pixels)
    mean = flux[:, grid.norm_pixels].mean(1, keepdims=True)
    flux, error = (np.asarray(a / mean, np.float32) for a in (flux, error))
    snr = 1 / np.sqrt((error[:, grid.norm_pixels].astype(float) ** 2).mean(1))
    data = make_empty_observation(instrument, N)
    return replace(data, flux=flux, error=error, mask=np.ones(flux.shape, bool), snr=snr.astype(np.float32)), mean[:, 0]


def check_spectra_of_a_cube(instrument, cube):
    grid = instrument.grid
    first, last = grid.wave_aa[[0, -1]]
    paint = Paint(first, last, cube.seed)
    targets = make_targets("scalars", ("lg_age_lw", "mh_lw"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, bins, air = write_painted_cube(folder, paint, cube, first, last)
        bundle = write_toy_bundle(folder / "toy.safetensors", 0, instrument, targets)
        given = {"redshift": cube.redshift, "kinematics": f"{cube.v_kms},{cube.sigma_kms}", "lsf": str(cube.fwhm_aa)}
        config = configure_run(cube=path, model=str(bundle), binning=str(bins), ebv_mw=0.0, draws=50, **given)
        result = run_pipeline(config)
    seen, (wanted, norm) = result.data, direct_spectra(instrument, paint, cube, air)
    assert seen.mask.mean() > 0.97
    np.testing.assert_allclose(seen.flux[seen.mask], wanted.flux[seen.mask], atol=4e-3)
    np.testing.assert_allclose(seen.error[seen.mask], wanted.error[seen.mask], rtol=0.02)
    np.testing.assert_allclose(seen.snr, wanted.snr, rtol=0.01)
    np.testing.assert_allclose(seen.norm_cgs, norm * FLUX_SCALE, rtol=2e-3)
    # Channels beside the edges, or with a fault, are masked in both.
    shown, direct = (encode_observation(a) for a in (seen, replace(wanted, mask=seen.mask)))
    assert (shown.spectrum - direct.spectrum).abs().max() < 0.02
    assert (shown.lg_snr - direct.lg_snr).abs().max() < 0.005
    assert all(np.isfinite(result.prediction.quantiles[name]).all() for name in targets.scalars)


def check_bands_of_a_cube(count, cube):
    """Narrow bands are cut from the cube at rest: photon-counting means of the painted spectrum."""
    first, last = 4800.0, 6600.0
    centres = np.linspace(first + 120.0, last - 120.0, count)
    bands = tuple(Band(f"NB{k}", centre_aa=float(c), fwhm_aa=140.0) for k, c in enumerate(centres))
    instrument = Instrument("random", bands=bands, photometry_norm="median")
    cube = cube._replace(v_kms=0.0)
    paint = Paint(first, last, cube.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, bins, _ = write_painted_cube(folder, paint, cube, first, last)
        bundle = write_toy_bundle(folder / "toy.safetensors", 0, instrument, make_targets("scalars", ("lg_age_lw",)))
        filters = find_cut_filters(bundle)
        config = RunConfig(path, model=str(bundle), redshift=cube.redshift, binning=str(bins), draws=50)
        result = run_pipeline(config)
    rest = np.arange(first, last, 0.5)
    seen_aa = np.hypot(rest * cube.sigma_kms / C_KMS, cube.fwhm_aa / FWHM_PER_SIGMA / cube.stretch)
    flux = paint.draw(rest, seen_aa)
    direct = np.stack([_photon_mean(flux, rest, f) for f in filters], axis=1) * FLUX_SCALE
    error = result.data.phot_error * result.data.norm_cgs[:, None]
    wanted = make_band_observation(instrument, direct, error, np.ones(direct.shape, bool))
    assert result.data.phot_mask.all()
    np.testing.assert_allclose(result.data.phot, wanted.phot, rtol=3e-3)
    np.testing.assert_allclose(result.data.norm_cgs, wanted.norm_cgs, rtol=3e-3)
    assert np.isfinite(result.prediction.quantiles["lg_age_lw"]).all()


def find_cut_filters(bundle):
    """The curves through which a bundle's bands are cut."""
    loaded = load_bundle(bundle)
    return loaded.basis.filters if loaded.basis is not None else make_band_filters(loaded.instrument)


def _photon_mean(flux, wave_aa, band):
    weight = np.interp(wave_aa, band.wave_aa, band.throughput, left=0, right=0) * wave_aa
    return (flux * weight).sum(1) / weight.sum()


@FEW
@given(spectral_instruments(), CUBES)
def test_spectra_of_bins(instrument, cube):
    check_spectra_of_a_cube(instrument, cube)


@FEW
@given(st.integers(4, 9), CUBES)
def test_bands_cut_from_a_cube(count, cube):
    check_bands_of_a_cube(count, cube)


@pytest.mark.slow
@MANY
@given(spectral_instruments(), st.integers(4, 9), CUBES)
def test_many_instruments(instrument, count, cube):
    check_spectra_of_a_cube(instrument, cube)
    check_bands_of_a_cube(count, cube)
