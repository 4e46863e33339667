"""Point-spread functions of MUSE and HST, and the kernel that takes one to the other.

A PSF is a circular Gaussian, or a Moffat profile (1 + (r / alpha)^2)^-beta of the same FWHM. The FWHM of MUSE falls
with wavelength, by some 3e-5 arcsec/AA around 6484 AA (Emsellem et al. 2022, A&A 659, A191), unless the cube was
homogenised ("copt"). It is measured on reconstructed images, so the spaxel is part of it: an image matched to it is
sampled at the spaxels' centres, not averaged over them once more.

Every band is matched to the PSF at the normalisation window (observed near 5400 AA for MUSE), not at its own pivot:
the network
sees bands over that window's flux, and their ratio is free of aperture effects only where both were blurred alike (and
MUSE has no PSF at 2750 AA). Two Gaussians are matched by a Gaussian of sqrt(a^2 - b^2); anything else by the ratio of
Fourier transforms (photutils.psf_matching).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.types import F64, Cube

#: Change of the MUSE FWHM with wavelength, arcsec per Angstrom.
MUSE_SLOPE: float = -3e-5
#: Wavelength at which the FWHM of a MUSE cube is quoted, Angstrom.
MUSE_REFERENCE_AA: float = 6484.0
#: FWHM taken for a cube that says nothing, arcsec: typical of PHANGS-MUSE natural seeing. The caller says so aloud.
ASSUMED_FWHM_ARCSEC: float = 0.8


@dataclass(frozen=True)
class Psf:
    """PSF of a cube.

    Attributes
    ----------
    fwhm_arcsec : float
        At `MUSE_REFERENCE_AA`.
    beta : float or None
        Moffat exponent; None = Gaussian.
    slope : float
        d FWHM / d wavelength, arcsec/AA.
    assumed : bool
        Nobody gave the FWHM.
    match_aa : float
        Wavelength at which bands are matched to it, Angstrom: the middle of the normalisation window.
    """

    fwhm_arcsec: float
    beta: float | None = None
    slope: float = MUSE_SLOPE
    assumed: bool = False
    match_aa: float = MUSE_REFERENCE_AA

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fwhm_arcsec) and self.fwhm_arcsec > 0):
            raise SfhInputError(f"PSF FWHM {self.fwhm_arcsec} arcsec must be positive; give `psf_fwhm_arcsec` ARCSEC")
        if self.beta is not None and not self.beta > 1:
            raise SfhInputError(f"Moffat exponent {self.beta} must exceed 1")

    def fwhm_at(self, wave_aa: float | None = None) -> float:
        """FWHM in arcsec at an observed wavelength, by default ``match_aa``."""
        wave_aa = self.match_aa if wave_aa is None else wave_aa
        return max(self.fwhm_arcsec + self.slope * (wave_aa - MUSE_REFERENCE_AA), 0.1 * self.fwhm_arcsec)


def choose_cube_psf(
    cube: Cube, window_aa: tuple[float, float], fwhm_arcsec: float | None = None, beta: float | None = None
) -> Psf:
    """PSF of a cube: the user's FWHM, else the file's, else `ASSUMED_FWHM_ARCSEC` (marked as assumed).

    The profile is a Moffat of exponent ``beta``, else of the file's own (MPDAF's FSF keywords), else a Gaussian.
    ``window_aa`` is the instrument's normalisation window, where bands are matched to it.

    Parameters
    ----------
    cube : Cube
    window_aa : (float, float)
        The instrument's normalisation window, Angstrom: the wavelength at which bands are matched.
    fwhm_arcsec : float, optional
        What the user says.
    beta : float, optional
        Exponent of a Moffat profile.

    Returns
    -------
    Psf
    """
    beta = cube.psf_beta if beta is None else beta
    slope = 0.0 if "copt" in cube.path.name.lower() else MUSE_SLOPE
    fwhm = fwhm_arcsec if fwhm_arcsec is not None else cube.psf_fwhm_arcsec
    match_aa = 0.5 * (window_aa[0] + window_aa[1])
    if fwhm is None:
        return Psf(ASSUMED_FWHM_ARCSEC, beta, slope, assumed=True, match_aa=match_aa)
    return Psf(float(fwhm), beta, slope, match_aa=match_aa)


def make_psf_image(fwhm_pix: float, half_size: int, beta: float | None = None) -> F64:
    """Circular PSF image of (2 half_size + 1)^2 pixels, centred, sum 1.

    Parameters
    ----------
    fwhm_pix : float
    half_size : int
        Pixels from the centre to the edge.
    beta : float, optional
        Exponent of a Moffat profile; a Gaussian without it.
    """
    axis = np.arange(-half_size, half_size + 1, dtype=np.float64)
    r2 = axis[:, None] ** 2 + axis[None, :] ** 2
    if beta is None:
        image = np.exp(-0.5 * r2 * (FWHM_PER_SIGMA / fwhm_pix) ** 2)
    else:
        alpha2 = fwhm_pix**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))
        image = (1.0 + r2 / alpha2) ** -beta
    return image / image.sum()


def make_matching_kernel(
    source_fwhm: float, target_fwhm: float, pixel: float, target_beta: float | None = None
) -> NDArray[np.float32] | None:
    """Kernel that turns an image of PSF ``source_fwhm`` (Gaussian) into one of ``target_fwhm``.

    Parameters
    ----------
    source_fwhm, target_fwhm, pixel : float
        In one unit, such as arcsec.
    target_beta : float, optional
        Moffat exponent of the target; Gaussian without.

    Returns
    -------
    float32 array of odd side, sum 1; None where the image is already as broad as the target.
    """
    if target_fwhm <= source_fwhm:
        return None
    if target_beta is None:
        fwhm = float(np.sqrt(target_fwhm**2 - source_fwhm**2)) / pixel
        if fwhm < 1.0:  # a sampled Gaussian this narrow would not have its width
            return None
        return make_psf_image(fwhm, int(np.ceil(4.5 * fwhm / FWHM_PER_SIGMA))).astype(np.float32)
    from photutils.psf_matching import SplitCosineBellWindow, make_kernel

    half = int(np.ceil(5.0 * target_fwhm / pixel))
    source, target = make_psf_image(source_fwhm / pixel, half), make_psf_image(target_fwhm / pixel, half, target_beta)
    kernel = make_kernel(source, target, window=SplitCosineBellWindow(alpha=0.4, beta=0.4), regularization=1e-3)
    return np.asarray(kernel, dtype=np.float32)
