"""The fast kinematics against pPXF on the spectra of the bundled mock galaxy."""

import numpy as np
import pytest
from muse_hst import MUSE_HST

from napari_sfh.demo import find_demo_folder
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.model.bundle import load_bundle
from napari_sfh.prep import binning, spectra
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both():
    """Fast kinematics and pPXF's of every eighth bin of S/N 35."""
    pytest.importorskip("ppxf")
    cube = read_cube(find_galaxy_files(find_demo_folder()).cube)
    spaxels = binning.measure_signal_noise(cube, cube.redshift, MUSE_HST.grid.norm_window_aa)
    bins = binning.bin_spaxels(spaxels, 35.0)
    channels = spectra.find_channel_range(cube, cube.redshift, MUSE_HST.grid)
    summed = spectra.extract_bin_spectra(cube, bins, channels, spaxels.signal)
    summed.good[np.arange(summed.n_bins) % 8 != 0] = False  # no fit, no time
    basis = load_bundle().basis
    fast = fit_fast_kinematics(make_log_spectra(summed, cube.redshift, basis, MUSE_HST.grid))
    ppxf = stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(summed, cube.redshift, basis, MUSE_HST.grid))
    return fast, ppxf, fast.measured & ppxf.measured


def test_velocities_are_those_of_ppxf_to_3_kms(both):
    fast, ppxf, used = both
    assert used.sum() > 100
    difference = (fast.v_kms - ppxf.v_kms)[used]
    assert np.abs(np.median(difference)) < 1.0
    assert np.std(difference) < 3.0


def test_dispersions_are_those_of_ppxf_to_5_kms(both):
    fast, ppxf, used = both
    difference = (fast.sigma_kms - ppxf.sigma_kms)[used]
    assert np.abs(np.median(difference)) < 3.0
    assert np.std(difference) < 5.0


def test_difference_from_ppxf_is_small_beside_the_errors(both):
    fast, ppxf, used = both
    assert np.std(((fast.v_kms - ppxf.v_kms) / fast.v_error_kms)[used]) < 0.3
    assert np.std(((fast.sigma_kms - ppxf.sigma_kms) / fast.sigma_error_kms)[used]) < 0.5
