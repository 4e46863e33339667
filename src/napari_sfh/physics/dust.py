"""Attenuation by dust in two components, Charlot & Fall (2000, ApJ 539, 718).

Optical depth tau(l) = tau_V (l / 5500 AA)^slope with slope -0.7 unless drawn. Stars of every age, and their
nebulae, lie behind the diffuse component (tau_ism); those younger than 10 Myr also behind their birth
clouds (tau_bc), with the same slope. Light seen = light emitted * exp(-tau).

Or the starburst law of Calzetti et al. (2000, ApJ 533, 682, equation 4, R_V = 4.05), as a curve of the same meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as array_device
from numpy.typing import NDArray

from napari_sfh.arrays import AnyArray
from napari_sfh.physics.mass_to_light import find_bracket

#: Wavelength in Angstrom at which tau_V is given.
DUST_PIVOT_AA: float = 5500.0
#: Slope of Charlot & Fall (2000).
SLOPE: float = -0.7
#: Steepest and flattest slope that is read from E(B-V).
SLOPE_LIMITS: tuple[float, float] = (-1.6, -0.2)
#: A = MAG_PER_TAU * tau: 2.5 / ln 10.
MAG_PER_TAU: float = 2.5 / float(np.log(10.0))
#: B-band and V-band wavelengths in Angstrom that define E(B-V) = A_B - A_V.
BV_AA: tuple[float, float] = (4400.0, 5500.0)


def slope_from_r_v(r_v: float) -> float:
    """Slope of the power law whose A_V over E(B-V) is ``r_v``.

    Examples
    --------
    >>> round(slope_from_r_v(4.05), 3)
    -0.989
    """
    return float(np.log1p(1 / r_v) / np.log(BV_AA[0] / BV_AA[1]))


#: A_V over E(B-V) of Calzetti et al. (2000), and the slope of the power law with that ratio.
CALZETTI_R_V: float = 4.05
CALZETTI_SLOPE: float = slope_from_r_v(CALZETTI_R_V)


def compute_power_law_curve(lg_ratio: AnyArray, slope: AnyArray) -> Any:
    """Optical depth over that at 5500 AA, the power law of Charlot & Fall (2000); for NumPy and torch.

    Parameters
    ----------
    lg_ratio : array (n,)
        ln(wavelength / `DUST_PIVOT_AA`).
    slope : array (...)
        Exponent of each object.

    Returns
    -------
    array (..., n)
    """
    return array_namespace(lg_ratio).exp(slope[..., None] * lg_ratio)


def compute_screen_transmission(curve: AnyArray, tau_v: AnyArray) -> Any:
    """Fraction of the light that passes a screen; for NumPy and torch.

    Parameters
    ----------
    curve : array (..., n)
        Optical depth over that at 5500 AA.
    tau_v : array (...)
        Optical depth at 5500 AA.

    Returns
    -------
    array (..., n)
    """
    return array_namespace(curve).exp(-tau_v[..., None] * curve)


def dust_transmission(
    wave_aa: NDArray[np.floating],
    tau_v: NDArray[np.floating] | float,
    slope: NDArray[np.floating] | float = SLOPE,
) -> NDArray[np.floating]:
    """Fraction of the light that passes a dust screen.

    Parameters
    ----------
    wave_aa : array (n,)
        Rest wavelengths in Angstrom.
    tau_v : float or array (...,)
        Optical depth at 5500 AA.
    slope : float or array (...,)
        Broadcast against ``tau_v``: exponent of the power law (negative: bluer light is dimmed more).

    Returns
    -------
    array (..., n)
        exp(-tau_v (wave / 5500)^slope), in float32 where the inputs are.
    """
    dtype = np.result_type(np.asarray(tau_v), np.float32)
    lg_ratio = np.log(np.asarray(wave_aa, dtype=np.float64) / DUST_PIVOT_AA).astype(dtype)
    curve = compute_power_law_curve(lg_ratio, np.asarray(slope, dtype=dtype))
    return np.asarray(compute_screen_transmission(curve, np.asarray(tau_v, dtype=dtype)))


def calzetti_curve(wave_aa: NDArray[np.floating]) -> NDArray[np.float64]:
    """Optical depth at some wavelengths over that at 5500 AA, the law of Calzetti et al. (2000).

    Parameters
    ----------
    wave_aa : array (n,)
        Rest wavelengths in Angstrom; below 1200 and above 22000 AA the law is carried on.

    Returns
    -------
    array (n,)
        Not below 0.
    """

    def k(um: NDArray[np.float64]) -> NDArray[np.float64]:
        blue = 2.659 * (-2.156 + 1.509 / um - 0.198 / um**2 + 0.011 / um**3)
        red = 2.659 * (-1.857 + 1.040 / um)
        return np.asarray(np.where(um < 0.63, blue, red) + CALZETTI_R_V)

    um = np.asarray(wave_aa, np.float64) / 1e4
    return np.maximum(k(um) / k(np.array(DUST_PIVOT_AA / 1e4)), 0.0)


def a_v_from_tau(tau_v: AnyArray | float) -> Any:
    """Attenuation A_V of an optical depth.

    Parameters
    ----------
    tau_v : array or tensor (...), or float
        Optical depth at 5500 AA.

    Returns
    -------
    array, tensor or float (...)
        Magnitudes: 2.5 log10(e) tau.
    """
    return MAG_PER_TAU * tau_v


def ebv_from_tau(tau_v: AnyArray | float, slope: AnyArray | float = SLOPE) -> Any:
    """E(B-V) in magnitudes of the power law: A(4400 AA) - A(5500 AA).

    Parameters
    ----------
    tau_v : float or array (...)
        Optical depth at 5500 AA; NumPy or torch.
    slope : float or array (...)
        Exponent of the power law.

    Returns
    -------
    float or array (...)

    Examples
    --------
    >>> round(ebv_from_tau(1.0), 4)
    0.1836
    """
    return a_v_from_tau(tau_v) * ((BV_AA[0] / BV_AA[1]) ** slope - 1.0)


def tau_from_ebv(ebv: AnyArray | float, slope: AnyArray | float = SLOPE) -> Any:
    """Optical depth at 5500 AA of a colour excess, the inverse of `ebv_from_tau`.

    Parameters
    ----------
    ebv : array or tensor (...), or float
        E(B-V) in magnitudes.
    slope : array or tensor (...), or float
        Of the power law, see the head of the module.

    Returns
    -------
    array, tensor or float (...)
    """
    return ebv / ebv_from_tau(1.0, slope)


def slope_from_ebv(ebv: AnyArray, tau_v: AnyArray, tau_min: float = 0.02) -> Any:
    """Exponent of the power law that an E(B-V) and an optical depth imply, the inverse of `ebv_from_tau` to 1e-4.

    Parameters
    ----------
    ebv, tau_v : arrays (...)
        Magnitudes, and optical depth at 5500 AA; NumPy or torch.
    tau_min : float
        Depth up to which there is too little dust to tell: `SLOPE` there.

    Returns
    -------
    array (...)
        Between `SLOPE_LIMITS`; `SLOPE` where E(B-V) is not finite.
    """
    xp = array_namespace(ebv, tau_v)
    known = (tau_v > tau_min) & xp.isfinite(ebv)
    ratio = xp.where(known, ebv, 0.0) / xp.where(known, tau_v, 1.0)
    # Made where the values are: a table that is copied to a device stops it.
    slopes = xp.linspace(*SLOPE_LIMITS, 57, dtype=ebv.dtype, device=array_device(ebv))
    index, share = find_bracket(-ebv_from_tau(1.0, slopes), -ratio)
    slope = slopes[index] + share * (slopes[index + 1] - slopes[index])
    return xp.astype(xp.where(known, slope, SLOPE), ebv.dtype)
