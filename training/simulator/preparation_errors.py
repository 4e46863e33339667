"""Errors of preparation: a wrong velocity, a wrong dispersion, telluric absorption that is left over.

Before noise is added. A spectrum brought to rest with a velocity wrong by v is shifted by d = lambda v / c; one brought
to the grid's dispersion with a stellar dispersion wrong by a share s keeps a width whose square is wrong by
D = ((1 + s)^2 - 1) sigma^2. Both are small against the resolved width, so that the first terms of the expansion do:
f(lambda - d) = f - d f', and a convolution adds D f'' / 2. Telluric residuals scale one profile of the oxygen and water
bands (6277, 6867, 7160, 7594 AA, observed); its depth is drawn with either sign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.array_backend import LargeArray
from napari_sfh.training.simulator.forward_model import NoiselessObjects
from napari_sfh.types import F64

#: Observed bands in Angstrom (start, end of the saturated part, end) and depth relative to the A band's.
TELLURIC_BANDS_AA: tuple[tuple[float, float, float, float], ...] = (
    (6276.0, 6287.0, 6320.0, 0.15),
    (6866.0, 6884.0, 6960.0, 0.6),
    (7160.0, 7250.0, 7340.0, 0.4),
    (7593.0, 7630.0, 7700.0, 1.0),
)


@dataclass(frozen=True)
class PreparationErrors:
    """Standard deviations: of the velocity in km/s, of the dispersion as a share, of the telluric A band's depth."""

    velocity_kms: float = 0.0
    sigma: float = 0.0
    telluric: float = 0.0

    @property
    def is_none(self) -> bool:
        """True where nothing is disturbed."""
        return not (self.velocity_kms or self.sigma or self.telluric)


def add_preparation_errors(
    clean: NoiselessObjects, errors: PreparationErrors, rng: np.random.Generator
) -> NoiselessObjects:
    """Noiseless spectra as an imperfect preparation would bring them to the grid; the given ones are not modified.

    Parameters
    ----------
    clean : NoiselessObjects
        Not modified.
    errors : PreparationErrors
    rng : numpy.random.Generator

    Returns
    -------
    NoiselessObjects
    """
    grid, n = clean.instrument.spectrum, clean.params.n
    if grid is None or errors.is_none:
        return clean
    velocity, share, depth = (s * rng.standard_normal(n) for s in (errors.velocity_kms, errors.sigma, errors.telluric))
    flux = _shift_and_widen(clean.flux, velocity, np.clip(share, -0.5, 0.5), clean.params.sigma_star_kms, grid)
    if errors.telluric:
        xp = array_backend.find_backend(flux)
        flux *= xp.put(1 + depth[:, None] * make_telluric_profiles(grid.wave_aa, clean.params.redshift))
    return replace(clean, flux=flux)


def _shift_and_widen(flux: LargeArray, velocity_kms: F64, share: F64, sigma_kms: F64, grid: SpectrumGrid) -> LargeArray:
    """Second-order shift and broadening (N, W); at either end of the grid spectra stay as they are."""
    xp = array_backend.find_backend(flux)
    pixels = grid.wave_aa / grid.pixel_aa / C_KMS  # of 1 km/s
    limit = grid.sigma_kms / 2  # the expansion needs the error to be narrower than the lines
    excess = np.clip(((1 + share) ** 2 - 1) * sigma_kms**2, -(limit**2), limit**2)
    shift = xp.put(velocity_kms[:, None] * pixels[1:-1])
    curvature = xp.put(0.5 * excess[:, None] * pixels[1:-1] ** 2)
    left, middle, right = flux[:, :-2], flux[:, 1:-1], flux[:, 2:]
    out = xp.copy(flux)
    out[:, 1:-1] += curvature * (left - 2 * middle + right) - 0.5 * shift * (right - left)
    return out


def make_telluric_profiles(wave_aa: F64, redshift: F64) -> F64:
    """Depth of telluric bands at rest-frame wavelengths.

    Parameters
    ----------
    wave_aa : array (W,)
        Rest frame, Angstrom.
    redshift : array (N,)

    Returns
    -------
    array (N, W)
        1 where the A band is saturated.
    """
    observed = wave_aa * (1 + np.asarray(redshift, float)[:, None])
    out = np.zeros(observed.shape)
    for start, flat, end, depth in TELLURIC_BANDS_AA:
        fall = np.clip((end - observed) / (end - flat), 0, 1)
        rise = np.clip((observed - start) / 3.0, 0, 1)
        out += depth * rise * fall
    return out
