"""Extinction by dust of the Milky Way: Fitzpatrick (1999, PASP 111, 63) with R_V = 3.1; for nebulae Cardelli et al.

Light that arrives = light without the dust * 10^(-0.4 A(l)), A(l) = R_V E(B-V) k(l). E(B-V) is that of Schlafly &
Finkbeiner (2011) for the galaxy's direction, given by the user. Wavelengths are observed ones. A band is corrected at
its pivot; the curve's change across the widest bands is a second-order effect at the E(B-V) of PHANGS fields (< 0.1).

Decrements of nebulae take the curve of Cardelli, Clayton & Mathis (1989, ApJ 345, 245, equations 1 and 3): with the
wavenumber x in 1/micron and y = x - 1.82, A(l) / A(V) = a(y) + b(y) / R_V.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError

#: Ratio of total to selective extinction.
R_V: float = 3.1
#: Wavenumbers, 1/micron, for which the polynomials of Cardelli et al. hold: 3030 to 9091 Angstrom.
_OPTICAL = (1.1, 3.3)
#: Their coefficients of y^0 to y^7.
_CARDELLI_A = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
_CARDELLI_B = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)


def milky_way_transmission(wave_aa: NDArray[np.floating] | float, ebv: float) -> NDArray[np.float64]:
    """Fraction of the light that passes the Milky Way.

    Parameters
    ----------
    wave_aa : array (...) or float
        Observed wavelengths in Angstrom, 1000-33000.
    ebv : float
        E(B-V) in magnitudes, >= 0.

    Returns
    -------
    array of the shape of ``wave_aa``

    Raises
    ------
    SfhInputError
        E(B-V) negative, not finite, or above 5.
    """
    wave = np.asarray(wave_aa, dtype=np.float64)
    if not 0.0 <= ebv <= 5.0:
        raise SfhInputError(f"E(B-V) {ebv} of the Milky Way must lie between 0 and 5 mag; check `ebv_mw`")
    if ebv == 0.0:
        return np.ones_like(wave)
    from dust_extinction.parameter_averages import F99

    return np.asarray(F99(Rv=R_V).extinguish(wave * u.AA, Ebv=ebv), dtype=np.float64)


def cardelli_curve(wave_aa: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Extinction in magnitudes per E(B-V) by Cardelli et al. (1989), R_V = 3.1, in the optical.

    Parameters
    ----------
    wave_aa : array (...) or float
        Angstrom, 3031 to 9090.

    Returns
    -------
    array of the shape of ``wave_aa``

    Raises
    ------
    ValueError
        A wavelength outside of that range.

    Examples
    --------
    >>> cardelli_curve([4861.3, 6562.8]).round(2).tolist()
    [3.61, 2.53]
    """
    x = 1e4 / np.asarray(wave_aa, dtype=np.float64)
    if not ((x >= _OPTICAL[0]) & (x < _OPTICAL[1])).all():
        raise ValueError(f"{wave_aa} Angstrom: the curve holds for {1e4 / _OPTICAL[1]:.0f} to {1e4 / _OPTICAL[0]:.0f}")
    a, b = (np.polynomial.polynomial.polyval(x - 1.82, each) for each in (_CARDELLI_A, _CARDELLI_B))
    return np.asarray(R_V * a + b, dtype=np.float64)
