"""A galaxy's disc on the sky: centre, position angle, inclination, effective radius; and the radius in its plane.

The disc is round and infinitely thin, seen under the inclination i. With a bin at the offsets E (east) and N (north,
both in arcsec on the tangent plane) from the centre, and the position angle phi of the major axis counted from north
through east (0-180 degrees),

    along  =  E sin(phi) + N cos(phi)
    across = (N sin(phi) - E cos(phi)) / cos(i)
    R      =  sqrt(along^2 + across^2).

The effective radius is a length along the major axis, so that the ellipse with the half-axes R_e and R_e cos(i) is the
circle R = R_e of the disc. A disc has a thickness: above 80 degrees these radii mean little, and are refused.

First guesses come from the white light: moments weighted by flux inside an ellipse that takes on the shape that it
measures (for elliptical isophotes the moments inside such an ellipse have their axis ratio, whatever the profile), cut
to the field, with stars and clusters clipped at a multiple of the median along their ellipse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from numpy.typing import NDArray

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.types import F64

#: Largest inclination in degrees at which a thin disc makes sense.
MAX_INCLINATION = 80.0
#: Pixels that the moments look at, at most.
_MAX_PIXELS = 40_000
#: An ellipse counts as inside the field while this share of it has data.
_COVERED = 0.99
#: Flux is clipped at this multiple of the median along its ellipse.
_CLIP = 2.0
_ROUNDS = 40


@dataclass(frozen=True)
class Disc:
    """Where a disc lies and how it is turned.

    Attributes
    ----------
    ra_deg, dec_deg : float
        Centre, ICRS.
    pa_deg : float
        Position angle of the major axis, from north through east.
    inclination_deg : float
        0 = face-on, at most `MAX_INCLINATION`.
    r_e_arcsec : float
        Effective radius along the major axis.
    distance_mpc : float or None
        Luminosity distance, for radii in kpc.

    Raises
    ------
    SfhInputError
        A value that no disc can have.
    """

    ra_deg: float
    dec_deg: float
    pa_deg: float
    inclination_deg: float
    r_e_arcsec: float
    distance_mpc: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ra_deg) and np.isfinite(self.dec_deg) and abs(self.dec_deg) <= 90):
            raise SfhInputError(
                f"centre: RA {self.ra_deg:g}, Dec {self.dec_deg:g} is no place on the sky; give ICRS degrees"
            )
        if not np.isfinite(self.pa_deg):
            raise SfhInputError(f"position angle: {self.pa_deg:g} given; degrees from north through east are needed")
        if not 0 <= self.inclination_deg <= MAX_INCLINATION:
            raise SfhInputError(
                f"inclination: {self.inclination_deg:g} given; a thin disc needs 0 to {MAX_INCLINATION:g} degrees"
            )
        if not 0 < self.r_e_arcsec < np.inf:
            raise SfhInputError(f"effective radius: {self.r_e_arcsec:g} given; it must be above 0 arcsec")
        if self.distance_mpc is not None and not 0 < self.distance_mpc < np.inf:
            raise SfhInputError(f"distance: {self.distance_mpc:g} given; it must be above 0 Mpc (or left out)")

    @property
    def centre(self) -> SkyCoord:
        """The centre, ICRS."""
        return SkyCoord(self.ra_deg, self.dec_deg, unit="deg")

    @property
    def axis_ratio(self) -> float:
        """Minor over major axis on the sky: cos(i)."""
        return float(np.cos(np.radians(self.inclination_deg)))

    def radius(self, sky: SkyCoord) -> F64:
        """Radius in the disc's plane in arcsec, of positions on the sky (N,)."""
        east, north = self.centre.spherical_offsets_to(sky.icrs)
        return deproject_radius(east.to_value("arcsec"), north.to_value("arcsec"), self.pa_deg, self.axis_ratio)

    def axes(self, radius_arcsec: float | None = None) -> F64:
        """Half-axes of the ellipse R = ``radius_arcsec`` (default R_e): major, minor; each (east, north), arcsec."""
        phi = np.radians(self.pa_deg)
        r = self.r_e_arcsec if radius_arcsec is None else radius_arcsec
        major = np.array([np.sin(phi), np.cos(phi)])
        minor = np.array([-np.cos(phi), np.sin(phi)]) * self.axis_ratio
        return r * np.stack([major, minor])

    def ellipse(self, wcs: WCS, radius_arcsec: float | None = None, n: int = 128) -> F64:
        """Points (n, 2), pixels (y, x), of the ellipse R = ``radius_arcsec`` (default R_e)."""
        t = np.linspace(0, 2 * np.pi, n, endpoint=False)
        east, north = (np.column_stack([np.cos(t), np.sin(t)]) @ self.axes(radius_arcsec)).T
        sky = self.centre.spherical_offsets_by(east * u.arcsec, north * u.arcsec)
        x, y = skycoord_to_pixel(sky, wcs.celestial, mode="wcs")
        return np.column_stack([y, x])

    def reshaped(self, half_axes: NDArray[np.floating]) -> Disc:
        """The same centre and distance, with the shape of an ellipse.

        Parameters
        ----------
        half_axes : array (2, 2)
            Two conjugate half-diameters of the ellipse R = R_e, each (east, north) in arcsec: the half-axes, or the
            half-sides of a box that has been turned and sheared.
        """
        left, size, _ = np.linalg.svd(np.asarray(half_axes, dtype=float).T)
        pa = float(np.degrees(np.arctan2(left[0, 0], left[1, 0])) % 180)
        inclination = float(np.degrees(np.arccos(np.clip(size[1] / size[0], 0, 1))))
        return replace(self, pa_deg=pa, inclination_deg=min(inclination, MAX_INCLINATION), r_e_arcsec=float(size[0]))


def deproject_radius(east: NDArray[np.floating], north: NDArray[np.floating], pa_deg: float, axis_ratio: float) -> F64:
    """Radius in the plane of an inclined disc.

    Parameters
    ----------
    east, north : arrays (N,)
        Offsets from the centre on the sky, in one unit.
    pa_deg : float
        Position angle of the major axis in degrees, from north to east.
    axis_ratio : float
        Minor over major axis of the disc on the sky, above 0.

    Returns
    -------
    array (N,)
        In the unit of the offsets.

    Examples
    --------
    >>> deproject_radius(np.array([0.0, 2.0]), np.array([3.0, 0.0]), 0.0, 0.5).tolist()
    [3.0, 4.0]
    """
    phi = np.radians(pa_deg)
    along = east * np.sin(phi) + north * np.cos(phi)
    across = (north * np.sin(phi) - east * np.cos(phi)) / axis_ratio
    return np.hypot(along, across)


@check_arguments
def guess_disc(white: NDArray[np.floating], wcs: WCS) -> Disc:
    """Disc that the white light suggests: a start, to be looked at on the map.

    Parameters
    ----------
    white : array (ny, nx)
        Flux per pixel, NaN outside the field.
    wcs : WCS
        Celestial.

    Returns
    -------
    Disc
        Without a distance. R_e holds half of the light of the field: too small where the galaxy reaches beyond it.
        The PSF makes small discs rounder.

    Raises
    ------
    SfhInputError
        No light, or a WCS without a sky.
    """
    if not wcs.has_celestial:
        raise SfhInputError("guess_disc: `wcs` has no celestial axes: give that of the image, as `result.wcs`")
    east, north, flux, seen, origin, area = _sample_pixels(white, wcs)
    no_light = SfhInputError(
        "white light: no pixel above zero, or too few, so no disc can be guessed; type centre and shape"
    )
    if not (flux > 0).any():
        raise no_light
    shape = _SkyEllipse(*_centroid(east, north, flux), 0.0, 1.0)
    for _ in range(_ROUNDS):
        radius = deproject_radius(east - shape.east, north - shape.north, shape.pa_deg, shape.axis_ratio)
        inside = seen & (radius < _largest_covered_radius(radius[seen], shape.axis_ratio, area))
        clipped = np.minimum(flux, _CLIP * _median_along_ellipses(radius, flux, inside))
        if (clipped[inside] > 0).sum() < 3:
            raise no_light
        before, shape = shape, _ellipse_from_moments(east[inside], north[inside], clipped[inside])
        if before.close_to(shape):
            break
    radius = deproject_radius(east - shape.east, north - shape.north, shape.pa_deg, shape.axis_ratio)
    clipped = np.where(seen, np.minimum(flux, _CLIP * _median_along_ellipses(radius, flux, seen)), 0.0)
    centre = origin.spherical_offsets_by(shape.east * u.arcsec, shape.north * u.arcsec)
    inclination = float(np.degrees(np.arccos(shape.axis_ratio)))
    return Disc(
        ra_deg=float(centre.ra.deg),
        dec_deg=float(centre.dec.deg),
        pa_deg=shape.pa_deg,
        inclination_deg=min(inclination, MAX_INCLINATION),
        r_e_arcsec=_half_light_radius(radius, clipped),
    )


@dataclass(frozen=True)
class _SkyEllipse:
    """An ellipse on the sky, offsets in arcsec from the middle of the field."""

    east: float
    north: float
    pa_deg: float
    axis_ratio: float

    def close_to(self, other: _SkyEllipse) -> bool:
        turn = abs((self.pa_deg - other.pa_deg + 90) % 180 - 90) * (1 - self.axis_ratio)
        moved = np.hypot(self.east - other.east, self.north - other.north)
        return bool(moved < 1e-3 and turn < 0.05 and abs(self.axis_ratio - other.axis_ratio) < 1e-3)


def _sample_pixels(white: NDArray[np.floating], wcs: WCS) -> tuple[F64, F64, F64, NDArray[np.bool_], SkyCoord, float]:
    """Offsets (east, north), flux (negative = 0) and presence of every few pixels; the origin; arcsec^2 of each."""
    every = max(1, int(np.ceil(np.sqrt(white.size / _MAX_PIXELS))))
    y, x = np.mgrid[: white.shape[0] : every, : white.shape[1] : every]
    origin = pixel_to_skycoord((white.shape[1] - 1) / 2, (white.shape[0] - 1) / 2, wcs.celestial, mode="wcs").icrs
    sky = pixel_to_skycoord(x.ravel(), y.ravel(), wcs.celestial, mode="wcs").icrs
    east, north = (offset.to_value("arcsec") for offset in origin.spherical_offsets_to(sky))
    values = np.asarray(white, dtype=float)[::every, ::every].ravel()
    seen = np.isfinite(values)
    area = float(wcs.celestial.proj_plane_pixel_area().to_value("arcsec2")) * every**2
    return east, north, np.where(seen & (values > 0), values, 0.0), seen, origin, area


def _centroid(east: F64, north: F64, flux: F64) -> tuple[float, float]:
    return float(np.average(east, weights=flux)), float(np.average(north, weights=flux))


def _largest_covered_radius(radius: F64, axis_ratio: float, area: float) -> float:
    """Largest radius whose ellipse lies inside the field; ``radius`` are those of the pixels with data."""
    ordered = np.sort(radius)
    covered = np.arange(1, ordered.size + 1) * area / np.maximum(np.pi * axis_ratio * ordered**2, area)
    # The first few pixels cover their tiny ellipse by chance or not.
    inside = np.flatnonzero(covered >= _COVERED)
    return float(ordered[max(int(inside[-1]) if inside.size else 0, min(30, ordered.size - 1))])


def _median_along_ellipses(radius: F64, flux: F64, use: NDArray[np.bool_]) -> F64:
    """Median flux along each pixel's ellipse, from annuli of about equal width."""
    order = np.argsort(radius[use])
    n = max(1, min(40, int(np.sqrt(order.size / 8))))
    parts = np.split(order, (order.size * (np.arange(1, n) / n) ** 2).astype(int))
    middle = np.array([np.median(radius[use][part]) for part in parts])
    level = np.array([np.median(flux[use][part]) for part in parts])
    return np.interp(radius, middle, level)


def _ellipse_from_moments(east: F64, north: F64, flux: F64) -> _SkyEllipse:
    """Ellipse with the first and second moments of the light."""
    at_east, at_north = _centroid(east, north, flux)
    offset = np.stack([east - at_east, north - at_north])
    moment = (flux * offset) @ offset.T / flux.sum()
    size, vector = np.linalg.eigh(moment)
    pa = float(np.degrees(np.arctan2(vector[0, 1], vector[1, 1])) % 180)
    return _SkyEllipse(at_east, at_north, pa, float(np.sqrt(np.clip(size[0] / size[1], 1e-4, 1.0))))


def _half_light_radius(radius: F64, flux: F64) -> float:
    """Radius inside of which half of the light lies."""
    order = np.argsort(radius)
    grown = np.cumsum(flux[order])
    return float(np.interp(0.5 * grown[-1], grown, radius[order]))
