"""The colour image of HST mosaics: cut by WCS, balanced, stretched; and contours of maps."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS

from napari_sfh.analysis import colour_image
from napari_sfh.analysis.colour_image import ColourStretch
from napari_sfh.analysis.drawing.contours import choose_contour_levels, trace_contours
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.types import Mosaic


def _wcs(pixel_arcsec, shape, ra=24.17, dec=15.78, rotation_deg=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    wcs.wcs.cd = pixel_arcsec / 3600 * np.array([[-c, s], [s, c]])
    return wcs


CUBE_SHAPE = (60, 80)
CUBE = _wcs(0.2, CUBE_SHAPE, rotation_deg=30.0)


class Sky:
    """A huge mosaic that exists only where it is read: an exponential disc and one star."""

    def __init__(self, band="F814W", size=10_000, pixel=0.04, star=(24.1705, 15.7805), rotation=-10.0, level=1.0):
        self.shape = (size, size)
        self.wcs = _wcs(pixel, self.shape, rotation_deg=rotation)
        self.star = self.wcs.wcs_world2pix([star], 0)[0]
        self.largest, self.level, self.length = 0, level, 4.0 / pixel
        self.mosaic = Mosaic(
            Path(f"{band.lower()}_sci.fits"), band, band, "UVIS", self.shape, self.wcs, 1e-19, 5000.0, self.read, 0.08
        )

    def read(self, rows, columns):
        y, x = np.mgrid[rows, columns].astype(np.float32)
        self.largest = max(self.largest, y.size)
        r = np.hypot(y - self.shape[0] / 2, x - self.shape[1] / 2)
        data = self.level * np.exp(-r / self.length)
        data += 50 * self.level * (np.hypot(x - self.star[0], y - self.star[1]) < 1.0)
        return data.astype(np.float32), np.ones_like(data)


def test_a_large_mosaic_is_cut_to_the_field_and_never_read_whole():
    sky = Sky()
    field = colour_image.read_colour_field({"F814W": sky.mosaic}, CUBE, CUBE_SHAPE)
    assert sky.largest <= 2_000_000
    assert max(field.planes.shape) < 600  # 16" x 12" turned by 40 degrees, in 0.04" pixels, and a margin
    corners = CUBE.wcs_pix2world([[0, 0], [79, 0], [0, 59], [79, 59]], 0)
    inside = field.wcs.wcs_world2pix(corners, 0)
    assert (inside > 0).all()
    assert (inside < np.array(field.planes.shape[:0:-1])).all()


@pytest.mark.parametrize("averaged", [1, 3])
def test_a_star_lies_where_its_coordinates_say(monkeypatch, averaged):
    sky = Sky()
    if averaged > 1:
        monkeypatch.setattr(colour_image, "MAX_PIXELS", 50_000)
    field = colour_image.read_colour_field({"F814W": sky.mosaic}, CUBE, CUBE_SHAPE)
    assert field.averaged == averaged
    plane = field.planes[0]
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    w = np.where(plane > 3 + plane[~(plane > 5)].max(), plane, 0)
    ra, dec = field.wcs.wcs_pix2world((w * x).sum() / w.sum(), (w * y).sum() / w.sum(), 0)
    offset = np.hypot((ra - 24.1705) * np.cos(np.radians(15.78)), dec - 15.7805) * 3600
    assert offset < 0.03  # arcsec: under one mosaic pixel


def test_bands_on_other_grids_are_brought_onto_the_first():
    red, green = Sky("F814W"), Sky("F555W", pixel=0.05, rotation=25.0)
    field = colour_image.read_colour_field({"F814W": red.mosaic, "F555W": green.mosaic}, CUBE, CUBE_SHAPE)
    assert field.bands == ("F814W", "F555W")
    a, b = field.planes[:, 50:-50, 50:-50]
    both = np.isfinite(b)
    assert both.mean() > 0.8
    assert np.percentile(np.abs(a - b)[both], 99) < 0.03 * a[both].mean()


def test_bands_are_balanced_and_colours_kept_at_every_brightness():
    mosaics = {b: Sky(b, level=k).mosaic for b, k in (("F814W", 5.0), ("F555W", 1.0), ("F438W", 0.2))}
    field = colour_image.read_colour_field(mosaics, CUBE, CUBE_SHAPE)
    image = colour_image.render_colour_image(field)[0]
    assert image.dtype == np.uint8
    # The same light in every band is grey, whatever the bands' fluxes are.
    assert np.ptp(image[..., :3].astype(int), axis=-1).max() <= 2
    planes = np.ones((3, 4, 4), np.float32) * np.geomspace(0.2, 1.5, 4)[:, None].astype(np.float32)
    planes[0] *= 1.5
    rgb = colour_image.render_colour_image(colour_image.ColourField(planes, ("R", "G", "B"), field.wcs, 1))[0].astype(
        float
    )
    np.testing.assert_allclose(rgb[..., 0] / rgb[..., 2], 1.5, rtol=0.04)
    assert (np.diff(rgb[:, 0, 2]) > 0).all()


@pytest.mark.parametrize("softening", [0.5, 8.0, 30.0])
def test_mean_light_is_a_third_of_white_whatever_the_softening(softening):
    field = colour_image.ColourField(np.ones((1, 2, 2), np.float32), ("F814W",), CUBE, 1)
    assert colour_image.render_colour_image(field, ColourStretch(1.0, softening))[0][0, 0, 0] == pytest.approx(
        84, abs=2
    )
    assert colour_image.render_colour_image(field, ColourStretch(2.0, softening))[0][0, 0, 0] > 90


def test_missing_pixels_are_clear_and_one_missing_band_gives_no_colour():
    planes = np.ones((3, 2, 2), np.float32)
    planes[:, 0, 0] = np.nan
    planes[2, 1, 1] = np.nan
    image = colour_image.render_colour_image(colour_image.ColourField(planes, ("R", "G", "B"), CUBE, 1))[0]
    np.testing.assert_array_equal(image[..., 3], [[0, 255], [255, 255]])
    assert np.ptp(image[1, 1, :3]) == 0


def test_pyramid_halves_and_keeps_the_mean():
    image = np.random.default_rng(1).integers(0, 255, (1101, 640, 4), dtype=np.uint8)
    found = colour_image.build_image_pyramid(image)
    assert [level.shape[:2] for level in found] == [(1101, 640), (550, 320), (275, 160)]
    assert found[2].mean() == pytest.approx(image.mean(), abs=1.0)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("F275W F336W F438W F555W F814W", "F814W F555W F438W"),
        ("F275W F336W F438W F555W", "F555W F438W F336W"),
        ("F275W F336W F814W", "F814W F336W F275W"),
        ("F275W F555W", "F555W F275W"),
        ("F814W", "F814W"),
    ],
)
def test_choice_of_bands(given, used):
    assert colour_image.choose_bands(dict.fromkeys(given.split())) == tuple(used.split())


def test_bad_input_says_what_to_do():
    with pytest.raises(SfhInputError, match="no mosaic is given; choose"):
        colour_image.choose_bands({})
    far = _wcs(0.2, CUBE_SHAPE, ra=30.0)
    with pytest.raises(SfhInputError, match=r"f814w_sci.fits: does not overlap"):
        colour_image.read_colour_field({"F814W": Sky().mosaic}, far, CUBE_SHAPE)
    blank = replace(Sky().mosaic, read=lambda y, x: (np.full((y.stop - y.start, x.stop - x.start), np.nan),) * 2)
    with pytest.raises(SfhInputError, match="no good pixel in the"):
        colour_image.read_colour_field({"F814W": blank}, CUBE, CUBE_SHAPE)
    with pytest.raises(SfhInputError, match="brightness 0 must lie above 0"):
        ColourStretch(brightness=0)


def test_cancel_stops_reading_and_painting():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        colour_image.read_colour_field({"F814W": Sky().mosaic}, CUBE, CUBE_SHAPE, cancel=stop)
    field = colour_image.ColourField(np.ones((1, 2, 2), np.float32), ("F814W",), CUBE, 1)
    with pytest.raises(Cancelled):
        colour_image.render_colour_image(field, None, cancel=stop)


def test_contour_of_a_cone_is_a_circle_in_y_and_x():
    y, x = np.mgrid[:61, :81]
    (line,) = trace_contours(-np.hypot(y - 30.0, x - 50.0), [-20.0])
    assert line[0] == pytest.approx(line[-1])
    np.testing.assert_allclose(np.hypot(line[:, 0] - 30, line[:, 1] - 50), 20, atol=0.05)


def test_contours_end_where_there_are_no_data():
    image = np.tile(np.arange(10.0), (10, 1))
    image[4:6] = np.nan
    lines = trace_contours(image, [4.5])
    assert len(lines) == 2
    assert not any(((line[:, 0] > 3) & (line[:, 0] < 6)).any() for line in lines)


def test_a_contour_has_points_only_where_it_turns():
    (straight,) = trace_contours(np.tile(np.arange(10.0), (10, 1)), [4.5])
    np.testing.assert_allclose(straight[np.argsort(straight[:, 0])], [[0, 4.5], [9, 4.5]])
    block = np.zeros((40, 40))
    block[10:30, 5:35] = 1.0  # a bin: its corners are cut by half a pixel
    (around,) = trace_contours(block, [0.5])
    assert len(around) == 9
    assert around.min(0) == pytest.approx([9.5, 4.5])
    assert around.max(0) == pytest.approx([29.5, 34.5])


def test_levels_are_in_equal_ratios_of_positive_pixels():
    image = np.concatenate([np.full(500, -1.0), np.geomspace(1, 100, 10_001)]).reshape(-1, 1)
    found = choose_contour_levels(image, 4)
    np.testing.assert_allclose(found[1:] / found[:-1], found[1] / found[0])
    assert found[[0, -1]] == pytest.approx([100**0.7, 100**0.995], rel=1e-3)


def test_contours_of_nothing_are_refused():
    with pytest.raises(SfhInputError, match="no positive pixel; choose another line"):
        choose_contour_levels(np.full((3, 3), np.nan))
    with pytest.raises(SfhInputError, match="0 levels; ask for one or more"):
        choose_contour_levels(np.ones((3, 3)), 0)
    with pytest.raises(SfhInputError, match=r"a map of shape \(5,\)"):
        trace_contours(np.ones(5), [1.0])
