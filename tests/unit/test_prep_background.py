"""The sky of a mosaic: a pedestal that was put in is found, with galaxies, stars and holes in the way."""

import threading

import numpy as np
import pytest
from prep_toys import toy_bins, toy_cube, toy_mosaic

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.filters import Filter
from napari_sfh.prep.mosaics import bands
from napari_sfh.prep.mosaics.background import MIN_BOXES, SkyLevel, combine_sky_boxes, measure_sky_level
from napari_sfh.prep.mosaics.psf import Psf

LEVEL, NOISE = 0.0031, 0.006
N = 900
CUBE = toy_cube(np.ones((5, 40, 40)), wave=5000 + 1.25 * np.arange(5))  # 8 arcsec in a mosaic of 36


def scene(seed=4, level=LEVEL):
    """A pedestal, noise, an exponential disc of 3 arcsec scale, and stars."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(N) - (N - 1) / 2) * 0.04
    r = np.hypot(axis[:, None], axis[None, :])
    image = level + NOISE * rng.standard_normal((N, N)) + 0.2 * np.exp(-r / 1.5)
    for y, x in rng.integers(20, N - 20, (60, 2)):
        image[y - 2 : y + 3, x - 2 : x + 3] += rng.uniform(0.1, 2.0)
    return image


def test_pedestal_is_found():
    mosaic = toy_mosaic(scene(), np.full((N, N), NOISE))
    sky = measure_sky_level(mosaic, CUBE)
    assert sky.level == pytest.approx(LEVEL, abs=5 * sky.error)
    assert sky.error < 0.1 * LEVEL
    assert sky.n_boxes > 60


def test_bad_pixels_are_left_out():
    image, error = scene(), np.full((N, N), NOISE)
    image[:, ::5] = 50.0
    error[:, ::5] = np.inf
    sky = measure_sky_level(toy_mosaic(image, error), CUBE)
    assert sky.level == pytest.approx(LEVEL, abs=5 * sky.error)


def test_boxes_with_light_are_clipped():
    rng = np.random.default_rng(6)
    levels = np.concatenate([rng.normal(1.0, 0.01, 70), 1.0 + rng.exponential(0.5, 30)])
    sky = combine_sky_boxes(levels)
    assert isinstance(sky, SkyLevel)
    assert sky.level == pytest.approx(1.0, abs=0.01)
    assert sky.n_boxes < 90


def test_no_room_outside_the_cube():
    small = toy_mosaic(np.zeros((300, 300)), np.ones((300, 300)))
    cube = toy_cube(np.ones((5, 60, 60)), wave=5000 + 1.25 * np.arange(5))
    with pytest.raises(SfhInputError, match=rf"0 boxes of 64 pixels .*needs {MIN_BOXES}\); run without the option"):
        measure_sky_level(small, cube)


def test_cancel():
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        measure_sky_level(toy_mosaic(scene(), np.full((N, N), NOISE)), CUBE, event)


def measured(fwhm=0.9, **options):
    filters = [Filter.from_curve("F555W", "UVIS", np.arange(2500.0, 3000.0, 10.0), np.full(50, 0.2))]
    mosaic = toy_mosaic(scene(), np.full((N, N), NOISE))
    bins = toy_bins(np.ones((40, 40)))
    return bands.measure_bands({"F555W": mosaic}, CUBE, bins, Psf(fwhm, slope=0.0), filters, **options)


@pytest.mark.parametrize(("fwhm", "told"), [(0.9, False), (0.05, True)])
def test_a_mosaic_broader_than_the_cube_is_told(fwhm, told):
    assert any("broader than the cube's" in note for note in measured(fwhm).notes) == told


def test_bands_subtract_it_only_if_asked_and_say_so():
    plain, without = measured(), measured(subtract_sky=True)
    pixels = (8.0 / 0.04) ** 2
    removed = (plain.flux["F555W"].flux_cgs - without.flux["F555W"].flux_cgs)[0]
    assert removed == pytest.approx(LEVEL * pixels * 1e-19, rel=0.1)
    assert plain.notes == ()
    (note,) = without.notes
    assert note.startswith("F555W: sky +0.0031 +- 0.00")
    assert "subtracted" in note


def test_bands_go_on_without_a_sky():
    cube = toy_cube(np.ones((5, 60, 60)), wave=5000 + 1.25 * np.arange(5))
    mosaic = toy_mosaic(np.ones((300, 300)), np.ones((300, 300)))
    filters = [Filter.from_curve("F555W", "UVIS", np.arange(2500.0, 3000.0, 10.0), np.full(50, 0.2))]
    bins = toy_bins(np.pad(np.ones((52, 52)), 4))  # at the mosaic's edge the kernel lacks a part of its light
    found = bands.measure_bands({"F555W": mosaic}, cube, bins, Psf(0.9), filters, subtract_sky=True)
    assert np.isfinite(found.flux["F555W"].flux_cgs).all()
    assert "sky not subtracted" in found.notes[0]
