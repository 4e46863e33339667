"""The readers on the one real MUSE + HST pair at hand, Abell 478, and on two real cubes that must be refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fetch_abell478 import FILES, REFUSED, fetch

from napari_sfh.config import RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.coverage import check_rest_range
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.io.mosaics import is_camera_substitute, read_mosaic
from napari_sfh.pipeline import run_pipeline
from napari_sfh.prep import spectra
from napari_sfh.prep.bad_channels import mask_bad_channels
from napari_sfh.stages.inputs import bin_galaxy, open_inputs

pytestmark = pytest.mark.real
OUTPUT = Path(__file__).resolve().parents[2] / "real-output"
CUBE, MOSAIC = (name for name, _ in FILES.values())


def fetched(folder: Path, files: dict[str, tuple[str, str]]) -> Path:
    """The folder with the files in it; without a network and without the files, the tests have no subject."""
    try:
        fetch(folder, files)
    except subprocess.CalledProcessError:
        pytest.skip("the real pair is neither here nor can pip fetch it")
    return folder


@pytest.fixture(scope="module")
def abell():
    return fetched(OUTPUT / "abell478", FILES)


@pytest.fixture(scope="module")
def refused():
    return fetched(OUTPUT / "refused", REFUSED)


def test_cube(abell):
    cube = read_cube(abell / CUBE)
    assert cube.name == "Abell 478"
    assert cube.shape == (3681, 40, 40)
    assert cube.flux_scale == pytest.approx(1e-20)
    assert cube.wave_aa[[0, -1]] == pytest.approx([4749.890625, 9349.890625])
    assert cube.pixel_arcsec == pytest.approx(0.2, rel=1e-6)
    assert cube.redshift is None
    assert cube.psf_fwhm_arcsec is None
    check_rest_range(cube.wave_aa, 0.088, load_instrument().grid, 0.9, cube.path)


def test_cube_values_are_a_galaxy(abell):
    """Positive continuum, one sigma above the noise in a single channel, peaked; errors of the size of the scatter."""
    flux, variance, good = read_cube(abell / CUBE).read(1200, 1300)
    assert good.mean() > 0.999
    image = np.median(flux, 0)
    assert np.percentile(image, 99) > 3 * np.percentile(image, 20) > 0
    scatter = 1.4826 * np.median(np.abs(np.diff(flux, axis=0)), 0) / np.sqrt(2)
    claimed = np.sqrt(np.median(variance, 0))
    assert np.median(scatter / claimed) == pytest.approx(1, abs=0.4)


def test_mosaic(abell):
    mosaic = read_mosaic(abell / MOSAIC)
    assert (mosaic.band, mosaic.filter_name, mosaic.camera) == ("F814W", "F814W", "WFPC2")
    assert is_camera_substitute(mosaic)
    assert mosaic.photflam == pytest.approx(2.507987e-18)
    assert mosaic.photplam_aa == pytest.approx(7995.937)
    assert mosaic.weight_path == abell / MOSAIC
    assert any("no inverse variance" in note for note in mosaic.notes)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 450), (450, 0)])
def test_errors_of_the_mosaic_are_the_scatter_of_its_sums(abell, top, left):
    """WHT holds exposure times: errors from 1/sqrt(WHT) would be twenty times too large.

    Those from the scatter of single pixels, which drizzle correlates, would be 0.6 of what blocks of pixels show.
    """
    data, error = read_mosaic(abell / MOSAIC).read(slice(top, top + 150), slice(left, left + 150))
    block = (30, 5, 30, 5)
    sums, expected = data.reshape(block).sum((1, 3)), np.sqrt((error**2).reshape(block).sum((1, 3)))
    bent = sums[:, 2:] - 2 * sums[:, 1:-1] + sums[:, :-2]
    scatter = 1.4826 * np.nanmedian(np.abs(bent - np.nanmedian(bent))) / np.sqrt(6)
    assert scatter / np.median(expected[np.isfinite(expected)]) == pytest.approx(1, abs=0.15)


def test_cube_and_mosaic_see_the_same_sky(abell):
    """The mosaic's brightest region lies on the cube's, within the 2 arcsec of WFPC2's pointing."""
    cube, mosaic = read_cube(abell / CUBE), read_mosaic(abell / MOSAIC)
    image = np.median(cube.read(2200, 2400)[0], 0)
    y, x = np.unravel_index(np.argmax(image), image.shape)
    px, py = mosaic.wcs.wcs_world2pix(*cube.wcs.wcs_pix2world(x, y, 0), 0)
    assert 40 < px < 560
    assert 40 < py < 560
    half = 40
    data, _ = mosaic.read(slice(int(py) - half, int(py) + half), slice(int(px) - half, int(px) + half))
    smooth = np.nan_to_num(data).reshape(16, 5, 16, 5).mean((1, 3))
    sy, sx = np.unravel_index(np.argmax(smooth), smooth.shape)
    assert np.hypot(5 * sy + 2 - half, 5 * sx + 2 - half) * 0.1 < 2.0


def test_folder(abell):
    found = find_galaxy_files(abell)
    assert found.cube == abell / CUBE
    assert dict(found.mosaics) == {"F814W": abell / MOSAIC}
    assert found.maps is None
    said = "\n".join(found.problems)
    assert "no image of F275W, F336W, F438W, F555W" in said
    assert "give `psf_fwhm_arcsec`" in said
    assert "no redshift in the header" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("udf_500_channels.fits", r"covers 4750\.0-5373\.7 AA and at redshift 0 lacks rest-frame 5374-7000 AA"),
        ("linear_axis_7300.fits", r"covers 7300\.0-9292\.5 AA and at redshift 0 lacks rest-frame 4800-7000 AA"),
    ],
)
def test_cubes_without_the_rest_range_are_refused(refused, name, words):
    cube = read_cube(refused / name)
    with pytest.raises(SfhInputError, match=words):
        check_rest_range(cube.wave_aa, 0.0, load_instrument().grid, 0.3, cube.path)
    with pytest.raises(SfhInputError, match=words):
        run_pipeline(RunConfig(cube=refused / name, redshift=0.0))


def test_bad_channels(abell):
    """No channel of the real cube is called bad; channels that are spoilt on purpose are."""
    options = {"target_snr": 15, "kinematics": "0,200", "redshift": 0.0858, "device": "cpu"}
    inputs = open_inputs(RunConfig(cube=abell / CUBE, ebv_mw=0.45, **options))
    galaxy = bin_galaxy(inputs, 0.0858)
    channels = spectra.find_channel_range(inputs.cube, 0.0858, inputs.bundle.instrument.grid)
    summed = spectra.extract_bin_spectra(inputs.cube, galaxy.bins, channels, galaxy.spaxels.signal)
    assert summed.flux.shape[1] > 1900
    untouched, notes = mask_bad_channels(summed, 0.0858)
    assert notes == ()
    assert (untouched.good == summed.good).all()
    places, found = range(60, summed.flux.shape[1] - 60, 97), 0
    for first in places:
        flux = summed.flux.copy()
        flux[:, first : first + 3] = 0
        spoilt, _ = mask_bad_channels(replace(summed, flux=flux), 0.0858)
        bad = np.flatnonzero(untouched.good.any(0) & ~spoilt.good.any(0))
        found += bad.tolist() == [first, first + 1, first + 2]
    assert found >= 0.8 * len(places)
