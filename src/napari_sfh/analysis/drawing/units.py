"""Fluxes and limits as astronomers write them: 10⁻¹⁶ erg s⁻¹ cm⁻², colorbars that begin and end at round numbers."""

from __future__ import annotations

import re
import warnings

import numpy as np
from astropy import units as u
from astropy.units import UnitsWarning

#: What a file may add to a flux's unit; astropy knows no spaxels.
_SPAXEL = re.compile(r"\s*[/*]?\s*spaxel\s*(?:(?:\*\*|\^)?\s*\(?-1\)?)?", re.IGNORECASE)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FLUX = u.erg / u.s / u.cm**2
#: Steps of a tidy scale, times a power of ten.
_STEPS = (1.0, 2.0, 5.0, 10.0)
#: Steps between the limits, at least.
_PARTS = 5


def format_exponent(number: int) -> str:
    """A number as an exponent: -16 as ``⁻¹⁶``."""
    return str(number).translate(_RAISED)


def choose_flux_unit(unit: str, largest: float) -> tuple[float, str]:
    """How to write fluxes so that the largest lies between 1 and 10.

    Parameters
    ----------
    unit : str
        Of the fluxes, as a file gives it: ``1e-20 erg/s/cm2``.
    largest : float
        In that unit.

    Returns
    -------
    factor : float
        By which the fluxes are multiplied.
    unit : str
        Of the product: ``10⁻¹⁶ erg s⁻¹ cm⁻²``. What is no flux is left as it is, with a factor of 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)
        parsed = u.Unit(_SPAXEL.sub("", unit), parse_strict="silent")
    if not parsed.is_equivalent(_FLUX) or not 0 < largest < np.inf:
        return 1.0, unit
    cgs = float(parsed.to(_FLUX))
    power = int(np.floor(np.log10(largest * cgs)))
    return cgs / 10.0**power, f"10{format_exponent(power)} erg s⁻¹ cm⁻²"


def round_limits_outward(low: float, high: float) -> tuple[float, float]:
    """Limits moved outwards to multiples of a round step: a colorbar between them has two labels or more.

    Parameters
    ----------
    low, high : float
        ``high`` above ``low``.

    Returns
    -------
    (float, float)
    """
    raw = (high - low) / _PARTS
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(s for s in _STEPS if s * power >= 0.999 * raw)
    return float(np.floor(low / step + 1e-6) * step), float(np.ceil(high / step - 1e-6) * step)
