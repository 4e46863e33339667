"""A cube before a run: spectra of spaxels and apertures, images over ranges, lines above their continuum."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from io_mocks import NX, NY, N, flux_values, write_cube
from prep_toys import toy_cube

from napari_sfh.analysis.exploration.cube_spectra import (
    CubeSpectra,
    combine_spectra,
    find_disc_spaxels,
    find_polygon_spaxels,
)
from napari_sfh.analysis.exploration.range_images import RangeImages, find_range_channels
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.io.cubes import read_cube


def expected_values() -> np.ndarray:
    flux = flux_values()
    flux[100, 1, 2], flux[7, 0, 0], flux[9, 1, 1] = np.nan, np.inf, 0.0
    return flux


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("cache_bytes", [2**28, 1])
def test_spectra_hold_what_blocks_hold(tmp_path, compress, cache_bytes):
    cube = read_cube(write_cube(tmp_path / "c.fits", expected_values(), compress=compress))
    assert (cube.columns is None) == compress
    spectra = CubeSpectra(cube, cache_bytes)
    spectra.unpack()
    flux, _, good = cube.read(0, N)
    truth = np.where(good, flux, np.nan).reshape(N, -1)
    for spaxel in (0, NX + 2, NY * NX - 1):
        np.testing.assert_allclose(spectra.read_aperture(np.array([spaxel])), truth[:, spaxel], rtol=1e-6)
    some = np.array([0, 1, NX + 1, NX + 2])
    np.testing.assert_allclose(spectra.read_aperture(some, "mean"), np.nanmean(truth[:, some], axis=1), rtol=1e-6)
    np.testing.assert_allclose(spectra.read_aperture(some, "median"), np.nanmedian(truth[:, some], axis=1), rtol=1e-6)
    np.testing.assert_allclose(spectra.read_aperture(some, "sum"), 4 * np.nanmean(truth[:, some], axis=1), rtol=1e-6)


def test_a_channel_with_few_good_spaxels_has_no_value():
    spectra = np.ones((3, 4), dtype=np.float32)
    spectra[1, :2], spectra[2, :3] = np.nan, np.nan
    np.testing.assert_array_equal(combine_spectra(spectra, "sum"), [4, 4, np.nan])


def test_only_the_tiles_of_an_aperture_are_read_and_kept_within_the_memory(monkeypatch):
    monkeypatch.setattr("napari_sfh.analysis.exploration.cube_spectra.TILE_SPAXELS", 50)
    flux = np.arange(20 * 200, dtype=np.float32).reshape(20, 10, 20)
    read = []

    class Columns:
        def read_columns(self, first, count):
            read.append(first)
            return flux.reshape(20, -1)[:, first : first + count]

        def clean_columns(self, stored):
            return stored

    def never(*_):
        raise AssertionError("a whole channel was read")

    cube = replace(toy_cube(flux, wave=np.linspace(5000, 5100, 20)), read=never, columns=Columns())
    spectra = CubeSpectra(cube, cache_bytes=2 * 4 * 20 * 50)
    np.testing.assert_array_equal(spectra.read_aperture(np.array([52])), flux.reshape(20, -1)[:, 52])
    spectra.read_aperture(np.array([99]))
    assert read == [50]
    spectra.read_aperture(np.array([0, 1]))
    spectra.read_aperture(np.array([100]))
    spectra.read_aperture(np.array([52]))
    assert read == [50, 0, 100, 50], "two tiles have room"


def test_an_aperture_larger_than_the_memory_is_read_by_channels():
    flux = np.random.default_rng(1).normal(size=(30, 8, 8)).astype(np.float32)
    cube = replace(toy_cube(flux, wave=np.linspace(5000, 5100, 30)), columns=object())  # not to be used
    found = CubeSpectra(cube, cache_bytes=100).read_aperture(np.arange(64), "median")
    np.testing.assert_allclose(found, np.median(flux.reshape(30, -1), axis=1), rtol=1e-6)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        CubeSpectra(cube, cache_bytes=100).read_aperture(np.arange(64), "median", stop)


def test_an_aperture_without_a_spaxel_says_so():
    with pytest.raises(SfhInputError, match="aperture"):
        CubeSpectra(toy_cube(np.ones((3, 4, 4)), wave=np.arange(5000.0, 5003))).read_aperture(np.array([], dtype=int))


def test_spaxels_of_discs_and_polygons():
    assert list(find_disc_spaxels((5, 6), (2.2, 3.4), 0.0)) == [2 * 6 + 3]
    assert list(find_disc_spaxels((5, 6), (2.0, 3.0), 1.0)) == [9, 14, 15, 16, 21]
    assert list(find_disc_spaxels((5, 6), (0.0, 0.0), 1.0)) == [0, 1, 6]
    assert not find_disc_spaxels((5, 6), (2.0, 5.6), 3.0).size
    corners = np.array([[0.5, 0.5], [0.5, 3.5], [2.5, 3.5], [2.5, 0.5]])
    assert list(find_polygon_spaxels((5, 6), corners)) == [7, 8, 9, 13, 14, 15]
    assert not find_polygon_spaxels((5, 6), corners + 50).size


def test_channels_of_a_range():
    wave = np.arange(5000.0, 5010.0)
    assert find_range_channels(wave, (5001.5, 5003.0)) == slice(2, 4)
    assert find_range_channels(wave, (5003.0, 5001.5)) == slice(2, 4)
    assert find_range_channels(wave, (5004.4, 5004.45)) == slice(4, 5)
    assert find_range_channels(wave, (100.0, 200.0)) == slice(0, 1)


def line_cube():
    """A continuum with a slope, a Gaussian line of flux 300 (y, x) = (1, 2), sampled at 1.25 AA; one bad channel."""
    wave = 6500 + 1.25 * np.arange(120)
    flux = np.ones((120, 3, 4)) * (10 + 0.05 * (wave - 6500))[:, None, None]
    flux[:, 1, 2] += 300 / np.sqrt(2 * np.pi) / 2.0 * np.exp(-0.5 * ((wave - 6575) / 2.0) ** 2)
    good = np.ones(flux.shape, dtype=bool)
    good[10, :, 0] = False  # in the left continuum of a column
    return toy_cube(flux.astype(np.float32), good=good, wave=wave)


def test_image_over_a_range_is_the_mean_in_cgs():
    cube = line_cube()
    image = RangeImages(cube).make_image((6511.0, 6514.0))
    assert image.range_aa == (6510.625, 6514.375)
    assert not image.is_line
    np.testing.assert_allclose(image.values[0, 0] / cube.flux_scale, 10 + 0.05 * 12.5, rtol=1e-5)


@pytest.mark.parametrize("missing_column", [0, 3])
def test_line_image_is_the_flux_above_a_sloping_continuum(missing_column):
    cube = line_cube()
    images = RangeImages(cube)
    image = images.make_image((6560, 6590), (6505, 6545), (6605, 6640))
    assert image.is_line
    assert image.values[1, 2] / cube.flux_scale == pytest.approx(300, rel=1e-3)
    assert image.values[0, missing_column] / cube.flux_scale == pytest.approx(0, abs=1e-3)
    only_left = images.make_image((6560, 6590), (6505, 6545))
    rise = 0.05 * (6575 - 6525) * (image.range_aa[1] - image.range_aa[0])
    assert only_left.values[0, 3] / cube.flux_scale == pytest.approx(rise, rel=1e-3)


@pytest.mark.parametrize("outside", [(9000.0, 9100.0), (4000.0, 4100.0)])
def test_a_range_outside_the_cube_is_no_image_of_its_last_channel(outside: tuple[float, float]) -> None:
    images = RangeImages(line_cube())
    with pytest.raises(SfhInputError, match="6499-6649"):
        images.make_image(outside)
    with pytest.raises(SfhInputError, match="outside"):
        images.make_image((6560, 6590), None, outside)
    assert images.make_image((6640.0, 9000.0)).range_aa[1] == pytest.approx(6649.4, abs=0.1), "half inside"


def test_only_the_channels_of_the_ranges_are_read_and_the_continuum_once():
    cube, read = line_cube(), []

    def noting(lo, hi):
        read.append((lo, hi))
        return cube.read(lo, hi)

    images = RangeImages(replace(cube, read=noting))
    images.make_image((6560, 6590), (6505, 6545))
    images.make_image((6561, 6591), (6505, 6545))
    assert read == [(48, 73), (4, 37), (49, 73)]
