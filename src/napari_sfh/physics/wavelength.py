"""The network's rest-frame grid, the normalisation window, and air against vacuum wavelengths.

Everything inside the package is in air (MUSE cubes and the template libraries are); files in vacuum are converted
when they are read. Grid and window: Galceran et al. (2026), section 2.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Speed of light in km/s.
C_KMS: float = 299792.458
#: Step of the rest-frame grid in Angstrom.
STEP_AA: float = 1.25
#: Rest-frame air wavelengths in Angstrom, shape (1761,): 4800 to 7000.
WAVE_AA: NDArray[np.float64] = np.asarray(4800.0 + STEP_AA * np.arange(1761), dtype=np.float64)
WAVE_AA.flags.writeable = False
#: Number of spectral pixels.
N_WAVE: int = WAVE_AA.size
#: Window in Angstrom whose mean flux density normalises spectrum and photometry, and in which S/N is measured.
NORM_WINDOW_AA: tuple[float, float] = (5300.0, 5500.0)
#: Total stellar velocity dispersion in km/s to which every spectrum is broadened.
SIGMA_TARGET_KMS: float = 150.0
#: Pixels of the grid inside the window, boolean, shape (1761,).
NORM_PIXELS: NDArray[np.bool_] = (WAVE_AA >= NORM_WINDOW_AA[0]) & (WAVE_AA <= NORM_WINDOW_AA[1])
NORM_PIXELS.flags.writeable = False


def refractive_index(wave_vacuum_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refractive index of standard air, Ciddor (1996), at vacuum wavelengths in Angstrom."""
    s2 = (1e4 / np.asarray(wave_vacuum_aa, dtype=np.float64)) ** 2
    return 1 + 5.792105e-2 / (238.0185 - s2) + 1.67917e-3 / (57.362 - s2)


def vacuum_to_air(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert vacuum to air wavelengths (Angstrom; valid above 2000)."""
    wave_aa = np.asarray(wave_aa, dtype=np.float64)
    return wave_aa / refractive_index(wave_aa)


def air_to_vacuum(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert air to vacuum wavelengths (Angstrom), the inverse of `vacuum_to_air` to 1e-9 by iteration."""
    air = np.asarray(wave_aa, dtype=np.float64)
    vacuum = air * refractive_index(air)
    for _ in range(3):
        vacuum = air * refractive_index(vacuum)
    return vacuum
