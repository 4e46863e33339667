"""The mock galaxy in each archive's dress, found in a folder and run: the same maps within the noise."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import BANDS

from napari_sfh import demo
from napari_sfh.decisions import configure_run
from napari_sfh.errors import SfhInputError
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.pipeline import run_pipeline
from napari_sfh.prep.mosaics.psf import MUSE_REFERENCE_AA, MUSE_SLOPE
from napari_sfh.training.mock.archive_layouts import DRESSES, dress_mock_galaxy, read_mock_galaxy
from napari_sfh.training.mock.files import write_fits_files
from napari_sfh.types import Flag

#: Spaxels of the small run: an arm, part of the bulge, some 40 bins of the MAPS file.
SMALL = (slice(18, 30), slice(24, 36))
#: Width at the reference wavelength of a cube that is not homogenised and has the mock's 0.92 arcsec in the window.
NATIVE_FWHM = 0.92 + MUSE_SLOPE * (MUSE_REFERENCE_AA - 5400.0)
OTHERS = tuple(style for style in DRESSES if style != "copt")
#: Those of the quick suite.
THIN = ("acs", "mpdaf")


@pytest.fixture(scope="module")
def run_in(tmp_path_factory):
    """A function that runs the mock in a dress; each once."""

    done = {}

    def go(style, window=SMALL, binning="maps"):
        key = (style, str(window), binning)
        if key not in done:
            done[key] = once(style, window, binning)
        return done[key]

    def once(style, window, binning):
        folder = tmp_path_factory.mktemp(style)
        dress_mock_galaxy(demo.find_demo_folder(), folder, style, window)
        given = {"psf_fwhm_arcsec": NATIVE_FWHM} if style in ("native", "plain") else {}
        config = configure_run(folder, ebv_mw=0.0, binning=binning, device="cpu", **given)
        return run_pipeline(replace(config, draws=50))

    return go


def test_every_file_of_every_dress_is_found(tmp_path):
    galaxy = read_mock_galaxy(demo.find_demo_folder(), (slice(20, 26), slice(20, 26)))
    for style, files in DRESSES.items():
        write_fits_files(files(galaxy), tmp_path / style)
        found = find_galaxy_files(tmp_path / style)
        assert tuple(found.mosaics) == BANDS, style
        assert found.maps is not None, style
        assert found.name == "MOCK0001", style


@pytest.mark.parametrize(
    "style", [style if style in THIN else pytest.param(style, marks=pytest.mark.slow) for style in OTHERS]
)
def test_maps_are_those_of_the_public_files(run_in, style):
    reference, result = run_in("copt"), run_in(style)
    same_within_the_noise(reference, result)
    camera, misfit = int(Flag.OTHER_CAMERA), int(Flag.MISFIT)
    assert bool((result.flag & camera).any()) == (style == "acs")
    changed = result.flag ^ reference.flag
    assert (changed & ~(camera | misfit) == 0).all()
    # A score beside its limit may pass it with the noise: then it is the score that is the same.
    flipped = (changed & misfit) != 0
    assert flipped.mean() <= 0.01
    for name, scores in reference.misfit.items():
        away = np.abs(result.misfit[name] - scores) / np.nanstd(scores)
        assert np.nanmedian(away) < 0.05, name
        assert (away[flipped] < 0.15).all(), name
    assert result.redshift == pytest.approx(reference.redshift)


def same_within_the_noise(reference, result):
    """Bins, spectra and bands are equal far below their noise, the answers far below their errors."""
    np.testing.assert_array_equal(result.bins.bin_id, reference.bins.bin_id)
    used = reference.data.mask & result.data.mask
    assert used.mean() > 0.97
    pull = (result.data.flux - reference.data.flux) / reference.data.error
    assert np.abs(pull[used]).mean() < 0.05
    np.testing.assert_allclose(result.data.phot, reference.data.phot, rtol=0.004)
    np.testing.assert_allclose(result.data.norm_cgs, reference.data.norm_cgs, rtol=0.003)
    for name in MEAN_NAMES:
        change = result.prediction.median(name) - reference.prediction.median(name)
        shift = change / reference.prediction.half_width(name)
        assert np.abs(shift).mean() < 0.15, name
        assert np.percentile(np.abs(shift), 98) < 1.0, name  # bad voxels move a bin of one spaxel


def test_what_a_dress_lacks_is_said(run_in):
    notes = run_in("acs").settings["notes"]
    assert "ACS F435W stands in for UVIS F438W" in notes
    assert "ACS F814W stands in for UVIS F814W" in notes
    assert "flux scale mosaic/cube" in notes


def test_unknown_dress_or_folder(tmp_path):
    with pytest.raises(SfhInputError, match="`dress` jwst: unknown; one of"):
        dress_mock_galaxy(demo.find_demo_folder(), tmp_path, "jwst")
    with pytest.raises(SfhInputError, match="no mock galaxy; make one"):
        dress_mock_galaxy(tmp_path, tmp_path / "out", "copt")


@pytest.mark.slow
@pytest.mark.parametrize("style", OTHERS)
def test_whole_galaxy_with_its_own_bins(run_in, style):
    """Voronoi bins found in each dress anew: maps compared spaxel by spaxel."""
    whole = (slice(0, 60), slice(0, 60))
    reference, result = run_in("copt", whole, "vorbin"), run_in(style, whole, "vorbin")
    both = (reference.bins.bin_id > 0) & (result.bins.bin_id > 0)
    assert both.mean() > 0.95
    for name in MEAN_NAMES:
        a, b = (r.prediction.median(name)[r.bins.bin_id[both] - 1] for r in (reference, result))
        error = reference.prediction.half_width(name)[reference.bins.bin_id[both] - 1]
        assert abs(np.median(b - a)) < 0.1 * np.median(error), name
        assert np.std(b - a) < np.median(error), name
