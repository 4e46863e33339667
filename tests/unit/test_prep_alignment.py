"""The check of a mosaic against the cube finds the offset, the flux scale and the background that were put in."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from prep_toys import toy_bins, toy_cube, toy_mosaic, toy_wcs

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.prep.mosaics.alignment import compare_mosaic_with_cube
from napari_sfh.prep.mosaics.bands import measure_bands
from napari_sfh.prep.mosaics.photometry import measure_bin_photometry
from napari_sfh.prep.mosaics.psf import Psf

WAVE = 4750.0 + 5.0 * np.arange(400)
BAND = Filter.from_curve("F555W", "UVIS", np.arange(4700.0, 6200.0, 10.0), np.full(150, 0.2))
PSF = Psf(0.9, slope=0.0)
_RNG = np.random.default_rng(8)
STARS = [(*_RNG.uniform(-7, 7, 2), _RNG.uniform(50, 300)) for _ in range(40)]


def sky(n, pixel, fwhm, dx=0.0, dy=0.0):
    """A disc and 40 stars, flux per pixel."""
    axis = (np.arange(n) - (n - 1) / 2) * pixel
    sigma = fwhm / FWHM_PER_SIGMA
    out = 20 * np.exp(-((axis[:, None] - dy) ** 2 + (axis[None, :] - dx) ** 2) / (2 * 5.0**2))
    for x, y, peak in STARS:
        r2 = (axis[:, None] - y - dy) ** 2 + (axis[None, :] - x - dx) ** 2
        out += peak * 0.04 / (2 * np.pi * sigma**2) * np.exp(-0.5 * r2 / sigma**2)
    return out * (pixel / 0.2) ** 2


def pair(dx=0.0, dy=0.0, scale=1.0, background=0.0):
    cube = toy_cube(np.ones(WAVE.size)[:, None, None] * sky(80, 0.2, 0.9), wave=WAVE)
    image = scale * sky(520, 0.04, 0.08, dx, dy) * 1e-20 / 1e-21 + background
    return cube, toy_mosaic(image, np.ones_like(image), photflam=1e-21)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.37, -0.52), (-1.6, 0.1)])
@pytest.mark.parametrize(("scale", "background"), [(1.0, 0.0), (0.8, 0.9)])
def test_offset_scale_and_background_are_found(dx, dy, scale, background):
    cube, mosaic = pair(dx, dy, scale, background)
    found = compare_mosaic_with_cube(mosaic, cube, BAND, PSF)
    assert (found.dx_arcsec, found.dy_arcsec) == pytest.approx((dx, dy), abs=0.02)
    assert found.scale == pytest.approx(scale, rel=0.02)
    assert found.background == pytest.approx(background, abs=0.1)
    assert found.correlation > 0.99
    assert found.pedestal * np.median(cube.read(0, 1)[0]) == pytest.approx(background / 10 * 25, abs=0.3)
    assert found.filter_share > 0.95


@pytest.mark.parametrize("turn", [(), (0,), (1,), (0, 1), None])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_a_mosaic_whose_pixels_were_turned_without_its_wcs_is_told(turn, noise):
    """A round disc with a knot, mirrored or transposed: offset, scale and correlation look right."""
    axis = (np.arange(80) - 39.5) * 0.2
    x, y = axis[None, :], axis[:, None]
    light = 60 * np.exp(-np.hypot(x, y) / 3) + 9 * np.exp(-((x - 4) ** 2 + (y - 2) ** 2) / 2)
    rng = np.random.default_rng(3)
    cube = toy_cube(light + noise * rng.standard_normal((WAVE.size, 80, 80)), wave=WAVE)
    image = np.repeat(np.repeat(light, 5, axis=0), 5, axis=1) / 25 * 1e-20 / 1e-21
    image = image.T if turn is None else np.flip(image, turn)
    found = compare_mosaic_with_cube(toy_mosaic(image, np.ones_like(image), photflam=1e-21), cube, BAND, PSF)
    told = {(): "", (0,): "mirrored along y", (1,): "mirrored along x", (0, 1): "turned by 180 degrees"}
    assert found.turned == (told[turn] if turn is not None else "transposed")
    assert found.correlation > 0.99


def test_photometry_can_undo_the_offset():
    spot = np.zeros((80, 80))
    spot[40:50, 30:60] = 1
    truth = measure_bin_photometry(pair()[1], pair()[0], toy_bins(spot), PSF).flux_cgs[0]
    cube, mosaic = pair(0.8, -0.6)
    assert abs(measure_bin_photometry(mosaic, cube, toy_bins(spot), PSF).flux_cgs[0] / truth - 1) > 0.02
    undone = measure_bin_photometry(mosaic, cube, toy_bins(spot), PSF, offset_arcsec=(0.8, -0.6)).flux_cgs[0]
    assert undone == pytest.approx(truth, rel=0.003)


def test_bad_spaxels_do_not_matter():
    cube, mosaic = pair(0.4, 0.2)
    flux, _, good = cube.read(0, WAVE.size)
    good[:, :30, :25] = False
    holed = replace(cube, read=lambda lo, hi: (flux[lo:hi], None, good[lo:hi]))
    found = compare_mosaic_with_cube(mosaic, holed, BAND, PSF)
    assert (found.dx_arcsec, found.dy_arcsec) == pytest.approx((0.4, 0.2), abs=0.03)


def test_a_gap_of_the_mosaic_over_a_nucleus_does_not_make_its_surroundings_faint():
    """A bulge under a gap of 2 arcsec: what is compared beside it is right to 5 %."""

    def nucleus(n, pixel, fwhm):
        axis = (np.arange(n) - (n - 1) / 2) * pixel
        r2 = axis[:, None] ** 2 + axis[None, :] ** 2
        squared = 2.0**2 + fwhm**2
        return 3000 * 2.0**2 / squared * np.exp(-0.5 * r2 * FWHM_PER_SIGMA**2 / squared) * (pixel / 0.2) ** 2

    cube = toy_cube(np.ones(WAVE.size)[:, None, None] * (sky(80, 0.2, 0.9) + nucleus(80, 0.2, 0.9)), wave=WAVE)
    image = (sky(520, 0.04, 0.08) + nucleus(520, 0.04, 0.08)) * 1e-20 / 1e-21
    error = np.ones_like(image)
    image[235:285, 235:285], error[235:285, 235:285] = np.nan, np.inf
    found = compare_mosaic_with_cube(toy_mosaic(image, error, photflam=1e-21), cube, BAND, PSF)
    assert found.scale == pytest.approx(1.0, abs=0.05)
    assert found.pedestal == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("told", [1.0, 4.0, None])
def test_noise_of_the_cube_does_not_flatten_the_flux_scale(told):
    """A smooth field at the noise's level: scale 1, no pedestal, unless the cube does not tell its errors."""
    light = 5 + 0.05 * sky(80, 0.2, 0.9)
    deep = 5 * (0.04 / 0.2) ** 2 + 0.05 * sky(520, 0.04, 0.08)
    noise = 2.0  # of a channel; the image is the mean of some forty
    flux = light + noise * np.random.default_rng(3).standard_normal((WAVE.size, 80, 80))
    variance = None if told is None else np.full(flux.shape, noise**2 * told)
    mosaic = toy_mosaic(deep * 1e-20 / 1e-21, np.ones_like(deep), photflam=1e-21)
    found = compare_mosaic_with_cube(mosaic, toy_cube(flux, variance, wave=WAVE), BAND, PSF)
    assert 0.6 < found.correlation < 0.9
    assert found.turned == ""
    if told is None:
        assert found.scale < 0.7  # nothing known of the noise: what it was before
    else:
        assert found.scale == pytest.approx(1.0, abs=0.1)
        assert found.pedestal == pytest.approx(0.0, abs=0.1)
        assert 0.05 < found.scale_error < 0.2


def test_band_outside_the_cube_or_no_overlap():
    cube, mosaic = pair()
    blue = Filter.from_curve("F275W", "UVIS", np.arange(2500.0, 3000.0, 10.0), np.full(50, 0.2))
    with pytest.raises(SfhInputError, match=r"toy_f555w\.fits: toy\.fits covers 0% of F275W"):
        compare_mosaic_with_cube(mosaic, cube, blue, PSF)
    far = replace(mosaic, wcs=toy_wcs(520, 520, 0.04, centre=(30.0, 15.0)))
    with pytest.raises(SfhInputError, match="shares 0 spaxels"):
        compare_mosaic_with_cube(far, cube, BAND, PSF)


@pytest.mark.parametrize(("scale", "background", "told"), [(1.0, 0.0, False), (670.0, 0.0, True), (1.0, 60.0, True)])
def test_light_in_a_field_too_small_for_a_comparison_is_compared_as_a_whole(scale, background, told):
    cube, mosaic = pair(scale=scale, background=background)
    part = toy_cube(np.ones(WAVE.size)[:, None, None] * sky(80, 0.2, 0.9)[36:45, 36:45], wave=WAVE)
    with pytest.raises(SfhInputError, match="shares 81 spaxels") as raised:
        compare_mosaic_with_cube(mosaic, replace(part, wcs=cube.wcs[36:45, 36:45]), BAND, PSF)
    assert ("times the cube's light. WARNING" in str(raised.value)) == told


def test_cancel():
    event = threading.Event()
    event.set()
    cube, mosaic = pair()
    with pytest.raises(Cancelled):
        compare_mosaic_with_cube(mosaic, cube, BAND, PSF, cancel=event)


def spot_fluxes(mosaics, cube, align):
    spot = np.zeros((80, 80))
    spot[40:50, 30:60] = 1
    known = [replace(BAND, name=name) for name in mosaics if name != "F275W"]
    made = measure_bands(mosaics, cube, toy_bins(spot), PSF, known, align=align)
    return {name: float(flux.flux_cgs[0]) for name, flux in made.flux.items()}, made.notes


def test_a_mosaic_of_another_sky_is_not_shifted_and_lends_no_offset():
    """Of stars elsewhere: the best of all offsets means nothing."""
    cube, mosaic = pair(0.8, -0.6)
    data = 5.0 * np.random.default_rng(3).exponential(size=mosaic.shape)
    other = toy_mosaic(data, np.ones_like(data), photflam=mosaic.photflam)
    plain, _ = spot_fluxes({"F555W": other, "F275W": mosaic}, cube, align=False)
    shifted, notes = spot_fluxes({"F555W": other, "F275W": mosaic}, cube, align=True)
    assert shifted == plain
    assert any("not applied" in note and "do not show the same sky" in note for note in notes)
    assert any(note.startswith("WARNING: `align` shifted no mosaic: none shows") for note in notes)
    both, notes = spot_fluxes({"F555W": other, "F814W": mosaic, "F275W": mosaic}, cube, align=True)
    truth, _ = spot_fluxes({"F814W": pair()[1]}, cube, align=False)
    assert both["F555W"] == plain["F555W"]
    assert both["F814W"] == pytest.approx(truth["F814W"], rel=0.003)
    assert both["F275W"] == both["F814W"], "the first offset that can be trusted"
    assert not any("shifted no mosaic" in note for note in notes)


def test_a_field_without_structure_is_not_called_another_sky():
    rng = np.random.default_rng(5)
    flux = 1.0 + 5.0 * rng.standard_normal((WAVE.size, 80, 80))
    cube = toy_cube(flux, np.full(flux.shape, 25.0), wave=WAVE)
    data = 0.4 + 0.1 * rng.standard_normal((520, 520))
    flat = toy_mosaic(data, np.full_like(data, 0.1), photflam=1e-21)
    _, notes = spot_fluxes({"F555W": flat}, cube, align=False)
    assert any("too little structure" in note for note in notes)
    assert not any("do not show the same sky" in note for note in notes)


def test_align_says_where_nothing_could_be_compared():
    cube, mosaic = pair(0.8, -0.6)
    _, notes = spot_fluxes({"F275W": mosaic}, cube, align=True)
    assert notes == ("WARNING: `align` shifted no mosaic: none could be compared with the cube",)
    assert spot_fluxes({"F275W": mosaic}, cube, align=False)[1] == ()
