"""Air against vacuum wavelengths.

Everything inside the package is in air (MUSE cubes and the template libraries are); files in vacuum are converted
when they are read. The grid of a network belongs to its instrument.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Pixels on either side between which the step of a spectrum is measured; over how many steps one is a gap; pixels
#: that a gap is filled with at most.
_STEP_REACH, _GAP_STEPS, _MOST_DROPPED = 5, 1.7, 1000
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


def find_dropped_wavelengths(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wavelengths of the pixels that are not in a spectrum: those between neighbours too far apart for its own steps.

    Whoever leaves bad pixels out of a file leaves gaps that look as if the spectrum ran straight across them.

    Parameters
    ----------
    wave_aa : array (n,)
        Increasing.

    Returns
    -------
    array (m,)
        Evenly spread over each gap, at most 1000 in one.

    Examples
    --------
    >>> find_dropped_wavelengths(np.array([1.0, 2, 3, 4, 5, 8, 9, 10, 11, 12]))
    array([6., 7.])
    """
    from scipy.ndimage import median_filter, uniform_filter1d

    step = np.diff(np.asarray(wave_aa, dtype=np.float64))
    width = 2 * _STEP_REACH + 1
    if step.size < width - 2:
        return np.empty(0)
    usual = median_filter(step, width, mode="nearest")
    ordinary = step <= 2.5 * usual  # wavelengths that are rounded have steps of two sizes: their mean counts
    kept = uniform_filter1d(ordinary.astype(np.float64), width, mode="nearest")
    mean = uniform_filter1d(np.where(ordinary, step, 0.0), width, mode="nearest") / np.maximum(kept, 1e-9)
    count = np.where(step > _GAP_STEPS * mean, np.round(step / np.maximum(mean, 1e-300)) - 1, 0).clip(0, _MOST_DROPPED)
    filled = [wave_aa[k] + step[k] * np.arange(1, count[k] + 1) / (count[k] + 1) for k in np.flatnonzero(count)]
    return np.concatenate(filled) if filled else np.empty(0)
