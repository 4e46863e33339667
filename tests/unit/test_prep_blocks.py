"""Cubes read block by block, one ahead."""

import threading

import numpy as np
import pytest
from astropy.io import fits
from prep_toys import toy_cube

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.prep import cube_blocks

N = 3681


@pytest.fixture
def cube(monkeypatch):
    """A cube whose channels hold their number, read ten at a time."""
    monkeypatch.setattr(cube_blocks, "BLOCK_BYTES", 10 * 6 * 9)
    flux = np.arange(N, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    return toy_cube(flux, np.ones_like(flux), wave=4749.88 + 1.25 * np.arange(N))


def with_read(cube, read):
    object.__setattr__(cube, "read", read)
    return cube


@pytest.mark.parametrize("channels", [slice(0, 40), slice(7, 42), slice(100, 105), slice(3670, N), slice(5, 5)])
def test_every_channel_comes_once_and_in_order(cube, channels):
    found = list(cube_blocks.read_cube_blocks(cube, channels))
    seen = [value for part, (flux, _, _) in found for value in flux[:, 0, 0]]
    places = [k for part, _ in found for k in range(part.start, part.stop)]
    assert seen == list(range(channels.start, channels.stop))
    assert places == list(range(channels.stop - channels.start))
    assert all(part.stop - part.start <= 10 for part, _ in found)


def test_one_block_is_read_ahead_and_no_more(cube):
    asked = []
    second = threading.Event()
    read = cube.read

    def noting(lo, hi):
        asked.append(lo)
        if lo == 10:
            second.set()
        return read(lo, hi)

    running = cube_blocks.read_cube_blocks(with_read(cube, noting), slice(0, 100))
    next(running)
    assert second.wait(10)  # while the first block is being worked on
    assert asked == [0, 10]
    running.close()
    assert asked == [0, 10]


def test_block_length_bounds_the_memory_of_a_full_cube():
    full = toy_cube(np.ones((1, 1, 1)), np.ones((1, 1, 1)), wave=np.array([5000.0]))
    object.__setattr__(full, "shape", (N, 1000, 1000))
    assert cube_blocks.choose_block_length(full) * 9e6 < 30e6
    object.__setattr__(full, "shape", (N, 10_000, 10_000))
    assert cube_blocks.choose_block_length(full) == 1


def test_damage_found_while_reading_ahead_is_raised_here(cube):
    read = cube.read

    def damaged(lo, hi):
        if lo == 20:
            raise SfhInputError("cube.fits: HDU 1 cannot be read; damaged, download it again")
        return read(lo, hi)

    running = cube_blocks.read_cube_blocks(with_read(cube, damaged), slice(0, 50))
    assert [next(running)[0].start, next(running)[0].start] == [0, 10]
    with pytest.raises(SfhInputError, match="damaged, download it again"):
        next(running)


def test_cancel_ends_it(cube):
    event = threading.Event()
    running = cube_blocks.read_cube_blocks(cube, slice(0, 50), event)
    next(running)
    event.set()
    with pytest.raises(Cancelled):
        next(running)


@pytest.mark.parametrize("columns", [slice(None), slice(3, 30), slice(28, 31), slice(5, 5)])
def test_cutouts_of_plain_images_are_those_of_astropy(tmp_path, columns):
    image = np.arange(40 * 31, dtype=np.float32).reshape(40, 31)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(tmp_path / "image.fits")
    reader = ImageReader(tmp_path / "image.fits", 1, 2)
    np.testing.assert_array_equal(reader[7:29, columns], image[7:29, columns])


@pytest.mark.parametrize("depth", [1, 4])
def test_planes_that_share_tiles_are_read_as_they_are(tmp_path, depth):
    cube = np.random.default_rng(0).integers(0, 99, (10, 6, 5)).astype(np.float32)
    hdu = fits.CompImageHDU(cube, compression_type="GZIP_2", quantize_level=0, tile_shape=(depth, 6, 5))
    hdu.writeto(tmp_path / "cube.fits")
    reader = ImageReader(tmp_path / "cube.fits", 1, 3)
    for lo, n in ((3, 1), (2, 7), (9, 1), (0, 10)):
        out = np.empty((n, 6, 5), np.float32)
        reader.fill(lo, out)
        np.testing.assert_array_equal(out, cube[lo : lo + n])
