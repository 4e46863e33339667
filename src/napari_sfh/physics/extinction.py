"""Extinction by dust of the Milky Way: Fitzpatrick (1999, PASP 111, 63) with R_V = 3.1.

Light that arrives = light without the dust * 10^(-0.4 A(l)), A(l) = R_V E(B-V) k(l). E(B-V) is that of Schlafly &
Finkbeiner (2011) for the galaxy's direction, given by the user. Wavelengths are observed ones. A band is corrected at
its pivot; the curve's change across the widest bands is a second-order effect at the E(B-V) of PHANGS fields (< 0.1).
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError

#: Ratio of total to selective extinction.
R_V: float = 3.1


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
