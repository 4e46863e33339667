"""Viewer and training cannot drift apart: a simulated galaxy through files equals the simulation itself.

`parity_sky` paints histories into a cube, a MAPS file and five mosaics in PHANGS dress. They go through the whole run
(reading, binning, extraction, rest frame, PSF matching, photometry) and must come out as the BinData that the forward
model makes of the same histories directly. Without noise they agree to 0.1 % of the brightest line (rms 5e-5 of the
continuum), bands to 1e-5, errors to 0.5 %; the tolerances below are two to ten times that.
"""

import numpy as np
import pytest
from parity_sky import HST_FWHM, N_SPAXEL, REDSHIFT, direct, paint, voronoi_regions
from toy_universe import write_toy_bundle

from napari_sfh.decisions import configure_run
from napari_sfh.model.encoding import encode_observation
from napari_sfh.pipeline import run_pipeline
from napari_sfh.types import Flag, Observation


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_toy_bundle(tmp_path_factory.mktemp("weights") / "toy.safetensors")


@pytest.fixture(scope="module")
def rotating(tmp_path_factory, bundle):
    """A galaxy whose regions move and mix each in its own way, run with bins and kinematics from MAPS."""
    rng = np.random.default_rng(4)
    folder = tmp_path_factory.mktemp("rotating")
    region = voronoi_regions().astype(int)
    v, sigma = rng.uniform(-180, 180, region.max() + 1).round(1), rng.uniform(25, 145, region.max() + 1).round(1)
    paint(folder, np.where(region < 0, 0.0, v[region]), np.where(region < 0, 60.0, sigma[region]))
    given = {"hst_psf_fwhm_arcsec": HST_FWHM, "ebv_mw": 0.0, "draws": 50}
    config = configure_run(folder, model=str(bundle), binning="maps", kinematics="maps", **given)
    return run_pipeline(config)


@pytest.fixture(scope="module")
def still_folder(tmp_path_factory):
    """Files of a galaxy with one velocity and dispersion."""
    folder = tmp_path_factory.mktemp("still")
    paint(folder, np.full((N_SPAXEL, N_SPAXEL), 70.0), np.full((N_SPAXEL, N_SPAXEL), 85.0))
    return folder


def run_still(folder, bundle, **options):
    """Run it with Voronoi bins."""
    given = {"hst_psf_fwhm_arcsec": HST_FWHM, "ebv_mw": 0.0, "draws": 50}
    plain = {"binning": "vorbin", "target_snr": 40.0, "kinematics": "70,85"}
    return run_pipeline(configure_run(folder, model=str(bundle), **(given | plain | options)))


@pytest.fixture(scope="module")
def still(still_folder, bundle):
    """A galaxy with one velocity and dispersion, in Voronoi bins."""
    return run_still(still_folder, bundle)


@pytest.fixture(params=["rotating", "still"])
def pair(request) -> tuple[Observation, Observation]:
    result = request.getfixturevalue(request.param)
    assert result.redshift == REDSHIFT
    seen = result.data
    return seen, direct(result.bins, seen.v_kms, seen.sigma_kms, seen.phot_error)


def test_there_is_something_to_compare(rotating, still):
    assert rotating.bins.n_bins == 9
    assert np.ptp(rotating.data.v_kms) > 200
    assert np.ptp(rotating.data.sigma_kms) > 60
    assert still.bins.n_bins > 10
    assert np.ptp(still.data.phot[:, 0]) > 0.3  # the knots of young stars stand out


def test_spectra_are_those_of_the_simulation(pair):
    seen, wanted = pair
    assert seen.mask.all()
    difference = seen.flux - wanted.flux
    assert np.abs(difference).max() < 3e-3 * wanted.flux.max()
    assert difference.std() < 2e-4


def test_bands_are_those_of_the_simulation(pair):
    seen, wanted = pair
    assert seen.phot_mask.all()
    np.testing.assert_allclose(seen.phot, wanted.phot, rtol=1e-4)


def test_errors_and_snr_mean_the_same(pair):
    seen, wanted = pair
    np.testing.assert_allclose(seen.error, wanted.error, rtol=0.01)
    np.testing.assert_allclose(seen.snr, wanted.snr, rtol=1e-4)
    np.testing.assert_allclose(seen.norm_cgs, wanted.norm_cgs, rtol=1e-4)


def test_nothing_is_flagged(pair):
    seen, _ = pair
    ignored = int(Flag.DEFAULT_KINEMATICS | Flag.SINGLE_SPAXEL)
    assert np.all((seen.flag & ~ignored) == 0)


def test_the_network_sees_the_same(pair):
    seen, wanted = (encode_observation(data) for data in pair)
    assert (seen.spectrum - wanted.spectrum).abs().max() < 0.01
    assert (seen.photometry - wanted.photometry).abs().max() < 0.01
    assert (seen.lg_snr - wanted.lg_snr).abs().max() < 0.005


@pytest.mark.parametrize(
    ("wrong", "what", "by"),
    [
        ({"psf_fwhm_arcsec": 0.7}, "phot", 0.01),
        ({"kinematics": "40,85"}, "flux", 0.01),
        ({"kinematics": "70,60"}, "flux", 0.01),
        ({"ebv_mw": 0.02}, "phot", 0.03),
    ],
)
def test_the_comparison_sees_small_faults(still_folder, still, bundle, wrong, what, by):
    faulty = run_still(still_folder, bundle, **wrong)
    assert np.abs(getattr(faulty.data, what) - getattr(still.data, what)).max() > by
