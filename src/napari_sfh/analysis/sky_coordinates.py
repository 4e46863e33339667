"""Pixels of a map, offsets on the sky in arcsec, and RA/Dec: the geometry behind every layer. No Qt.

World coordinates of the viewer are ``(Dec, RA)`` offsets in arcsec from the centre of the field on the tangent
plane, so that with the camera's orientation ``('up', 'left')`` north is up and east is left whatever the rotation
of the cube. The linear map is exact for a tangent projection to the second order of the field's size
(1e-4 arcsec over 1 arcmin).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import Angle
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray


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

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel in arcsec (square root of its area)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:2, :2]))))

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


def _jacobian(wcs: WCS, centre_yx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of the offset (Dec, RA cos Dec) in arcsec by pixel (y, x), at ``centre_yx``: (2, 2)."""
    y, x = centre_yx
    sky = pixel_to_skycoord([x, x, x + 1], [y, y + 1, y], wcs.celestial, mode="wcs").icrs
    d_ra, d_dec = sky[0].spherical_offsets_to(sky[1:])
    return np.array([d_dec.to_value("arcsec"), d_ra.to_value("arcsec")])
