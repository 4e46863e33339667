"""Width of a point source on a drizzled image of HST or NIRCam, from what widens it.

Diffraction at a round mirror of diameter D with a central obscuration e (Born & Wolf, section 8.5.2),

    I(v) = [2 J1(v)/v - e^2 2 J1(e v)/(e v)]^2 / (1 - e^2)^2,   v = pi D theta / lambda,

charge that diffuses into neighbouring pixels (kernels of 3 x 3 pixels, interpolated in wavelength), and three square
pixels: the detector's, the drop of drizzle (pixfrac 1, AstroDrizzle's default) and the image's. Their widths add in
quadrature; a square of side p counts as a Gaussian of variance p^2 / 12. Mirror errors on middle scales, which matter
below 3500 AA, focus and jitter are left out: measured cores (WFC3 Instrument Handbook, section 6.6: 1.6 to 2.3 pixels
before pixelation; ACS Instrument Handbook, section 5.6: 0.10 to 0.13 arcsec in F550M) are up to a fifth wider. Beside
a MUSE PSF of 0.5 arcsec or more that is 1 % of the matching kernel's width. NIRCam's mirror of hexagons counts as a
round one of 6.5 m.

Pixels, obscurations and kernels: tables wfc3_uvis2.pup, acswfc1.pup, wfpc2wf2.pup of Tiny Tim 7.5 (Krist, Hook & Stoehr
2011, Proc. SPIE 8127, 81270J).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lsf import FWHM_PER_SIGMA

#: Diameters of the mirrors of HST and JWST, m.
HST_MIRROR_M, JWST_MIRROR_M = 2.4, 6.5
#: Wavelength in Angstrom between NIRCam's detectors.
_NIRCAM_SPLIT_AA = 24000.0
ARCSEC_PER_RADIAN: float = 3600.0 * 180.0 / np.pi


class HstDetector(NamedTuple):
    """What a camera adds to the telescope."""

    pixel_arcsec: float
    obscuration: float  # radius of the central obscuration over the pupil's
    diffusion: tuple[tuple[float, float, float], ...]  # wavelength (AA), charge in a side pixel, in a corner pixel
    mirror_m: float = HST_MIRROR_M


DETECTORS: Mapping[str, HstDetector] = {
    "UVIS": HstDetector(0.0400, 0.330, ((2500.0, 0.111, 0.027), (8100.0, 0.037, 0.002))),
    "ACS": HstDetector(0.0495, 0.330, ((4000.0, 0.0965, 0.0323), (6000.0, 0.0755, 0.0231), (8000.0, 0.0456, 0.0133))),
    "WFPC2": HstDetector(0.0999, 0.434, ((5500.0, 0.050, 0.0125),)),
    "NIRCAM": HstDetector(0.0307, 0.0, ((20000.0, 0.0, 0.0),), JWST_MIRROR_M),
    "NIRCAM long": HstDetector(0.0629, 0.0, ((35000.0, 0.0, 0.0),), JWST_MIRROR_M),
}


def _bessel_j1(x: float) -> float:
    """J1 as the mean of cos(t - x sin t) over half a turn, exact to 1e-15 for |x| <= 2 (scipy.special loads slowly)."""
    t = (np.arange(64) + 0.5) * np.pi / 64
    return float(np.mean(np.cos(t - x * np.sin(t))))


@cache
def diffraction_fwhm(obscuration: float) -> float:
    """FWHM of the diffraction core in units of lambda / D: 1.029 for an open mirror, less with an obscuration."""

    def amplitude(v: float) -> float:
        centre = obscuration**2 * 2 * _bessel_j1(obscuration * v) / (obscuration * v) if obscuration > 0 else 0.0
        return float((2 * _bessel_j1(v) / v - centre) / (1 - obscuration**2))

    # Bisection: scipy.optimize takes longer to import than all files of a galaxy to describe.
    low, high = 0.1, 2.0
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if amplitude(middle) ** 2 > 0.5 else (low, middle)
    return 2.0 / np.pi * low


def find_detector(camera: str, wave_aa: float) -> HstDetector:
    """The detector of a camera at a wavelength in Angstrom.

    Parameters
    ----------
    camera : str
        A key of `DETECTORS`.
    wave_aa : float

    Raises
    ------
    SfhInputError
        The camera is unknown.
    """
    if camera not in DETECTORS:
        raise SfhInputError(f"camera {camera!r} has no PSF here; one of {', '.join(DETECTORS)}")
    return DETECTORS["NIRCAM long" if camera == "NIRCAM" and wave_aa > _NIRCAM_SPLIT_AA else camera]


def compute_hst_psf_fwhm(camera: str, wave_aa: float, pixel_arcsec: float) -> float:
    """FWHM in arcsec of a point source.

    Parameters
    ----------
    camera : str
        A key of `DETECTORS`.
    wave_aa : float
        Such as the filter's pivot.
    pixel_arcsec : float
        Of the drizzled image.

    Raises
    ------
    SfhInputError
        The camera is unknown.
    """
    detector = find_detector(camera, wave_aa)
    core = diffraction_fwhm(detector.obscuration) * wave_aa * 1e-10 / detector.mirror_m * ARCSEC_PER_RADIAN
    waves, sides, corners = np.array(detector.diffusion).T
    spread = float(np.interp(wave_aa, waves, 2.0 * (sides + 2.0 * corners))) * detector.pixel_arcsec**2
    squares = (2.0 * detector.pixel_arcsec**2 + pixel_arcsec**2) / 12.0
    return float(np.hypot(core, FWHM_PER_SIGMA * np.sqrt(spread + squares)))
