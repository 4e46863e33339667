"""Pixels of a map, offsets on the sky in arcsec, and RA/Dec: the geometry behind every layer. No Qt.

World coordinates of the viewer are ``(Dec, RA)`` offsets in arcsec from the centre of the field on the tangent
plane, so that with the camera's orientation ``('up', 'left')`` north is up and east is left whatever the rotation
of the cube. The linear map is exact for a tangent projection to the second order of the field's size
(1e-4 arcsec over 1 arcmin).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result


@dataclass(frozen=True)
class SkyGrid:
    """Pixel grid of a map on the sky.

    Attributes
    ----------
    wcs : WCS
        Celestial, 2-D.
    matrix : array (3, 3)
        Homogeneous map from pixel ``(y, x)`` to the offset ``(Dec, RA)`` in arcsec.
    """

    wcs: WCS
    matrix: NDArray[np.float64]

    @classmethod
    def of(cls, wcs: WCS, shape: tuple[int, int], origin: SkyGrid | None = None) -> SkyGrid:
        """Grid of a map of ``shape`` (ny, nx); offsets count from ``origin``'s centre (default: its own)."""
        centre = (np.array(shape) - 1) / 2
        linear = _jacobian(wcs, centre)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = -linear @ centre
        if origin is not None:
            matrix[:2, 2] += origin._offset_of(wcs, centre)
        return cls(wcs, matrix)

    def _offset_of(self, wcs: WCS, pixel_yx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Offset (Dec, RA) in arcsec of another image's pixel in this grid."""
        here = pixel_to_skycoord(pixel_yx[1], pixel_yx[0], wcs, mode="wcs")
        x, y = self.wcs.celestial.wcs_world2pix(here.icrs.ra.deg, here.icrs.dec.deg, 0)
        return (self.matrix @ np.array([float(y), float(x), 1.0]))[:2]

    def shares_pixels(self, other: SkyGrid) -> bool:
        """Whether another grid has the same pixels at the same place of the sky, to a hundredth of one."""
        if not np.allclose(self.matrix, other.matrix, rtol=0, atol=1e-2 * self.pixel_arcsec):
            return False
        offset = self._offset_of(other.wcs, other.to_pixel(np.zeros((1, 2)))[0])
        return bool(np.hypot(*offset) < 1e-2 * self.pixel_arcsec)

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel in arcsec (square root of its area)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))

    def convert_pixels(self, other: SkyGrid, pixel_yx: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixel positions (n, 2), (y, x), of positions (n, 2) in another grid; NaN beyond the projection's horizon."""
        y, x = np.asarray(pixel_yx, dtype=float).T
        place = pixel_to_skycoord(x, y, other.wcs.celestial, mode="wcs")
        found_x, found_y = skycoord_to_pixel(place, self.wcs.celestial, mode="wcs")
        return np.column_stack([found_y, found_x])

    def transform(self) -> dict[str, object]:
        """Keyword arguments of a napari layer: ``scale``, ``affine``, ``units`` and ``axis_labels``."""
        unscale = np.diag([1 / self.pixel_arcsec, 1 / self.pixel_arcsec, 1.0])
        return {
            "scale": (self.pixel_arcsec, self.pixel_arcsec),
            "affine": self.matrix @ unscale,
            "units": ("arcsec", "arcsec"),
            "axis_labels": ("Dec", "RA"),
        }

    def to_world(self, pixel_yx: NDArray[np.floating]) -> NDArray[np.float64]:
        """Offsets (n, 2) in arcsec of pixel positions (n, 2)."""
        return np.asarray(pixel_yx) @ self.matrix[:2, :2].T + self.matrix[:2, 2]

    def to_pixel(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixel positions (n, 2), (y, x), of offsets (n, 2) in arcsec."""
        inverse = np.linalg.inv(self.matrix)
        return np.asarray(world) @ inverse[:2, :2].T + inverse[:2, 2]

    def radec_deg(self, world: NDArray[np.floating]) -> tuple[float, float]:
        """RA and Dec in degree of one offset (2,); NaN beyond the projection's horizon."""
        y, x = self.to_pixel(np.asarray(world, dtype=float)[None, :])[0]
        ra, dec = self.wcs.celestial.wcs_pix2world(x, y, 0)
        return float(ra), float(dec)

    def radec_text(self, world: NDArray[np.floating]) -> str:
        """RA and Dec of one offset in sexagesimal notation, for example ``01h36m41.75s +15d47m01.2s``."""
        ra, dec = self.radec_deg(world)
        if not np.isfinite([ra, dec]).all():
            return ""
        hours = Angle(ra, "deg").to_string("hourangle", sep="hms", precision=2, pad=True)
        degrees = Angle(dec, "deg").to_string("deg", sep="dms", precision=1, pad=True, alwayssign=True)
        return f"{hours} {degrees}"


def parse_radec(text: str) -> tuple[float, float]:
    """RA and Dec (ICRS) in degree of what somebody types or pastes.

    Parameters
    ----------
    text : str
        Two numbers in degree, or sexagesimal notation as `SkyGrid.radec_text`, archives and DS9 write it.

    Raises
    ------
    SfhInputError
        It is neither.

    Examples
    --------
    >>> parse_radec("24.174, 15.783")
    (24.174, 15.783)
    >>> [round(angle, 4) for angle in parse_radec("01h36m41.75s +15d47m01.2s")]
    [24.174, 15.7837]
    >>> [round(angle, 4) for angle in parse_radec("01:36:41.75 +15:47:01.2")]
    [24.174, 15.7837]
    """
    plain = text.translate(str.maketrans(",\u2212°′″", " -dms")).strip()
    try:
        ra, dec = (float(part) for part in plain.split())
    except ValueError:
        try:
            place = SkyCoord(plain, unit=("hourangle", "deg"), frame="icrs")
        except (ValueError, TypeError):
            raise SfhInputError(
                f"{text!r} given; type RA and Dec in degrees (24.174 15.783) or as 01:36:41.75 +15:47:01.2"
            ) from None
        return float(place.ra.deg), float(place.dec.deg)
    return ra, dec


def _jacobian(wcs: WCS, centre_yx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of the offset (Dec, RA cos Dec) in arcsec by pixel (y, x), at ``centre_yx``: (2, 2)."""
    y, x = centre_yx
    sky = pixel_to_skycoord([x, x, x + 1], [y, y + 1, y], wcs.celestial, mode="wcs").icrs
    d_ra, d_dec = sky[0].spherical_offsets_to(sky[1:])
    return np.array([d_dec.to_value("arcsec"), d_ra.to_value("arcsec")])


@dataclass(frozen=True)
class SkyTick:
    """A round right ascension or declination in a field.

    ``axis`` is RA or Dec, ``text`` the value in sexagesimal notation, ``line`` (m, 2) the places that have it: offsets
    (Dec, RA) in arcsec.
    """

    axis: str
    text: str
    line: NDArray[np.float64]


def list_sky_ticks(
    sky: SkyGrid, low: NDArray[np.floating], high: NDArray[np.floating], most: tuple[int, int] = (5, 5)
) -> list[SkyTick]:
    """Round values of RA and Dec in a field, at most about so many of either; none at a pole.

    Parameters
    ----------
    sky : SkyGrid
    low, high : array (2,)
        Corners of the field, offsets (Dec, RA) in arcsec.
    most : (int, int)
        Of RA and of Dec. Their lines reach a little beyond the field.
    """
    dec_off, ra_off = (v.ravel() for v in np.meshgrid(*(np.linspace(low[k], high[k], _SAMPLES) for k in (0, 1))))
    y, x = sky.to_pixel(np.column_stack([dec_off, ra_off])).T
    ra, dec = sky.wcs.celestial.wcs_pix2world(x, y, 0)
    if not np.isfinite([ra, dec]).all() or np.abs(dec).max() > _POLE_DEG:
        return []
    middle = float(ra[ra.size // 2])
    ra = (ra - middle + 180.0) % 360.0 - 180.0 + middle
    ticks = []
    for axis, along, across, unit_deg, steps, number in (
        ("RA", ra, dec, 15.0 / 3600.0, _RA_STEPS_S, most[0]),
        ("Dec", dec, ra, 1.0 / 3600.0, _DEC_STEPS_ARCSEC, most[1]),
    ):
        first, last = along.min() / unit_deg, along.max() / unit_deg
        step = next((s for s in steps if s * number >= last - first), steps[-1])
        values = np.arange(np.ceil(first / step), np.floor(last / step) + 0.5) * step
        room = 0.05 * np.ptp(across)
        other = np.linspace(across.min() - room, across.max() + room, _SAMPLES)
        for value in values:
            place = np.full(_SAMPLES, value * unit_deg)
            pair = (place, other) if axis == "RA" else (other, place)
            px, py = sky.wcs.celestial.wcs_world2pix(*pair, 0)
            line = sky.to_world(np.column_stack([py, px]))
            if np.isfinite(line).all():
                ticks.append(SkyTick(axis, _format_tick(axis, float(value), step), line))
    return ticks


def is_same_field(one: Result, other: Result) -> bool:
    """Whether two results are of the same galaxy and the same pixels.

    Parameters
    ----------
    one, other : Result
    """
    shapes = [result.bins.bin_id.shape for result in (one, other)]
    grids = [SkyGrid.of(result.wcs, result.bins.bin_id.shape) for result in (one, other)]
    return one.name == other.name and shapes[0] == shapes[1] and grids[0].shares_pixels(grids[1])


def is_same_place(one: Result, other: Result) -> bool:
    """Whether the middle of one of two results' maps lies on the other's: they are of one place of the sky.

    Parameters
    ----------
    one, other : Result
    """
    shapes = [np.array(result.bins.bin_id.shape) for result in (one, other)]
    grids = [SkyGrid.of(result.wcs, result.bins.bin_id.shape) for result in (one, other)]
    for here, there in ((0, 1), (1, 0)):
        middle = grids[there].convert_pixels(grids[here], (shapes[here][None, :] - 1) / 2)[0]
        if (np.abs(middle - (shapes[there] - 1) / 2) <= shapes[there] / 2).all():
            return True
    return False


#: Points along a line of one RA or Dec.
_SAMPLES = 9
#: Beyond this declination lines of RA meet in the field.
_POLE_DEG = 89.5
#: Round steps: of RA in seconds of time, of Dec in arcsec.
_ROUND = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0)
_RA_STEPS_S = (0.001, 0.002, 0.005, *_ROUND, *(60 * s for s in (1, 2, 5, 10, 15, 20, 30, 60)))
_DEC_STEPS_ARCSEC = (*_ROUND, *(60 * s for s in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)))


def _format_tick(axis: str, value: float, step: float) -> str:
    """A value in seconds of time or arcsec, with the decimals that its step needs."""
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9))) if step < 1 else 0
    if axis == "RA":
        value %= 86400.0
    total = round(abs(value) * 10**decimals)
    whole, seconds = divmod(total, 60 * 10**decimals)
    larger, minutes = divmod(whole, 60)
    rest = f"{seconds / 10**decimals:0{decimals + 3 if decimals else 2}.{decimals}f}"
    if axis == "RA":
        return f"{larger:02d}h{minutes:02d}m{rest}s"
    return f"{'−' if value < 0 else '+'}{larger:02d}°{minutes:02d}′{rest}″"
