"""Geometry of the disc: east is left of north, whatever the detector's turn; guesses from white light."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.analysis.disc import Disc, deproject_radius, guess_disc
from napari_sfh.errors import SfhInputError

CENTRE = SkyCoord(24.174, 15.783, unit="deg")


def turned(rotation_deg: float, flipped: bool = False, shape: tuple[int, int] = (120, 120)) -> WCS:
    """A tangent WCS of 0.2 arcsec pixels, north turned by an angle; ``flipped`` has east to the right."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [CENTRE.ra.deg, CENTRE.dec.deg]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    a, s = np.radians(rotation_deg), 0.2 / 3600
    east = 1.0 if flipped else -1.0
    wcs.wcs.cd = s * np.array([[east, 0.0], [0.0, 1.0]]) @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    wcs.wcs.set()
    return wcs


def exponential(wcs: WCS, disc: Disc, scale: float, shape: tuple[int, int] = (120, 120)) -> NDArray[np.float64]:
    """An exponential disc of scale length ``scale`` (arcsec) on the sky of a WCS."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    sky = wcs.pixel_to_world(x.ravel(), y.ravel())
    image: NDArray[np.float64] = 1000 * np.exp(-disc.radius(sky) / scale).reshape(shape)
    return image


def test_position_angle_runs_from_north_through_east() -> None:
    east = CENTRE.spherical_offsets_by(2 * u.arcsec, 0 * u.arcsec)
    north = CENTRE.spherical_offsets_by(0 * u.arcsec, 2 * u.arcsec)
    north_east = CENTRE.spherical_offsets_by(2 * u.arcsec, 2 * u.arcsec)
    sky = SkyCoord([east, north, north_east])
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 0.0, 60.0, 1.0)
    assert disc.radius(sky) == pytest.approx([4.0, 2.0, np.hypot(4, 2)], rel=1e-6)
    along_east = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 90.0, 60.0, 1.0)
    assert along_east.radius(sky)[:2] == pytest.approx([2.0, 4.0], rel=1e-6)
    diagonal = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 45.0, 60.0, 1.0)
    assert diagonal.radius(sky)[2] == pytest.approx(np.hypot(2, 2), rel=1e-6)


def test_half_a_turn_is_the_same_disc() -> None:
    rng = np.random.default_rng(1)
    east, north = rng.normal(size=(2, 50))
    assert deproject_radius(east, north, 30.0, 0.4) == pytest.approx(deproject_radius(east, north, 210.0, 0.4))
    assert deproject_radius(east, north, 30.0, 1.0) == pytest.approx(np.hypot(east, north))


@pytest.mark.parametrize(("rotation", "flipped"), [(0.0, False), (35.0, False), (-110.0, False), (20.0, True)])
def test_the_ellipse_on_the_map_lies_at_one_effective_radius(rotation: float, flipped: bool) -> None:
    wcs = turned(rotation, flipped)
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 125.0, 50.0, 4.0)
    points = disc.ellipse(wcs)
    sky = wcs.pixel_to_world(points[:, 1], points[:, 0])
    assert disc.radius(sky) == pytest.approx(np.full(len(points), 4.0), rel=1e-5)
    # The first point is the major axis' end in the direction of the position angle.
    assert disc.centre.position_angle(sky[0]).deg == pytest.approx(125.0, abs=0.01)
    assert disc.centre.separation(sky[0]).arcsec == pytest.approx(4.0, rel=1e-5)


def test_the_shape_of_a_dragged_ellipse() -> None:
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 10.0, 20.0, 1.0, distance_mpc=9.8)
    wanted = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 125.0, 50.0, 4.0, distance_mpc=9.8)
    for half_axes in (wanted.axes(), wanted.axes()[::-1], -wanted.axes()):
        made = disc.reshaped(half_axes)
        assert made.pa_deg == pytest.approx(125.0)
        assert made.inclination_deg == pytest.approx(50.0)
        assert made.r_e_arcsec == pytest.approx(4.0)
        assert made.distance_mpc == 9.8
    turned_box = np.array([[1, 1], [1, -1]]) / np.sqrt(2) @ wanted.axes()
    assert disc.reshaped(turned_box).pa_deg == pytest.approx(125.0)
    assert disc.reshaped(np.array([[1.0, 0.0], [0.0, 0.01]])).inclination_deg == 80.0


@pytest.mark.parametrize("inclination", [20.0, 45.0, 70.0])
@pytest.mark.parametrize(("rotation", "flipped"), [(0.0, False), (35.0, False), (20.0, True)])
def test_guess_from_white_light(inclination: float, rotation: float, flipped: bool) -> None:
    wcs = turned(rotation, flipped)
    at = CENTRE.spherical_offsets_by(1.5 * u.arcsec, -0.8 * u.arcsec)
    disc = Disc(at.ra.deg, at.dec.deg, 125.0, inclination, 1.678 * 1.5)
    white = exponential(wcs, disc, 1.5)
    white[:3] = np.nan
    guess = guess_disc(white, wcs)
    assert guess.centre.separation(at).arcsec < 0.1
    assert guess.pa_deg == pytest.approx(125.0, abs=2.0)
    assert guess.inclination_deg == pytest.approx(inclination, abs=3.0)
    assert guess.r_e_arcsec == pytest.approx(disc.r_e_arcsec, rel=0.06)


def test_a_star_hardly_moves_the_guess() -> None:
    wcs = turned(0.0)
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 60.0, 50.0, 4.0)
    white = exponential(wcs, disc, 4.0)
    y, x = np.mgrid[:120, :120]
    star = white + 3000 * np.exp(-0.5 * ((y - 80) ** 2 + (x - 45) ** 2) / 2.5**2)
    guess = guess_disc(star, wcs)
    assert guess.centre.separation(CENTRE).arcsec < 0.4
    assert guess.pa_deg == pytest.approx(60.0, abs=5.0)
    assert guess.inclination_deg == pytest.approx(50.0, abs=4.0)


def test_a_galaxy_larger_than_the_field_keeps_its_shape() -> None:
    wcs = turned(35.0)
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 125.0, 60.0, 15.0)
    guess = guess_disc(exponential(wcs, disc, 9.0), wcs)
    assert guess.pa_deg == pytest.approx(125.0, abs=3.0)
    assert guess.inclination_deg == pytest.approx(60.0, abs=4.0)
    assert guess.r_e_arcsec < disc.r_e_arcsec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dec_deg": 95.0}, r"centre: RA 10, Dec 95 is no place on the sky; give ICRS degrees"),
        ({"pa_deg": np.nan}, r"position angle: nan given; degrees from north through east"),
        ({"inclination_deg": 85.0}, r"inclination: 85 given; a thin disc needs 0 to 80 degrees"),
        ({"r_e_arcsec": 0.0}, r"effective radius: 0 given; it must be above 0 arcsec"),
        ({"distance_mpc": -3.0}, r"distance: -3 given; it must be above 0 Mpc"),
    ],
)
def test_what_no_disc_can_be(change: dict[str, float], message: str) -> None:
    values = {"ra_deg": 10.0, "dec_deg": 0.0, "pa_deg": 0.0, "inclination_deg": 0.0, "r_e_arcsec": 1.0}
    with pytest.raises(SfhInputError, match=message):
        Disc(**{**values, **change})


def test_no_light_no_guess() -> None:
    with pytest.raises(SfhInputError, match="no pixel above zero"):
        guess_disc(np.full((20, 20), np.nan), turned(0.0))
