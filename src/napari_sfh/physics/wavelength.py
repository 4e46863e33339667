"""Air against vacuum wavelengths.

Everything inside the package is in air (MUSE cubes and the template libraries are); files in vacuum are converted
when they are read. The grid of a network belongs to its instrument.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Speed of light in km/s.
C_KMS: float = 299792.458
#: The same in Angstrom per second.
C_AA_S: float = C_KMS * 1e13


def refractive_index(wave_vacuum_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refractive index of standard air.

    Parameters
    ----------
    wave_vacuum_aa : array (...)
        Vacuum wavelengths, Angstrom.

    Returns
    -------
    array (...)

    References
    ----------
    Ciddor (1996, Applied Optics 35, 1566)
    """
    s2 = (1e4 / np.asarray(wave_vacuum_aa, dtype=np.float64)) ** 2
    return 1 + 5.792105e-2 / (238.0185 - s2) + 1.67917e-3 / (57.362 - s2)


def vacuum_to_air(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert vacuum to air wavelengths.

    Parameters
    ----------
    wave_aa : array (...)
        Angstrom, above 2000.

    Returns
    -------
    array (...)
        Angstrom.
    """
    wave_aa = np.asarray(wave_aa, dtype=np.float64)
    return wave_aa / refractive_index(wave_aa)


def air_to_vacuum(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert air to vacuum wavelengths, the inverse of `vacuum_to_air` to 1e-9 by iteration.

    Parameters
    ----------
    wave_aa : array (...)
        Angstrom, above 2000.

    Returns
    -------
    array (...)
        Angstrom.
    """
    air = np.asarray(wave_aa, dtype=np.float64)
    vacuum = air * refractive_index(air)
    for _ in range(3):
        vacuum = air * refractive_index(vacuum)
    return vacuum
