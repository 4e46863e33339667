"""Spectral axes that hold no wavelengths: frequency, energy, wavenumber, velocity, redshift.

All become vacuum wavelengths in Angstrom by the relations of Greisen et al. (2006, A&A 446, 747): a velocity needs
RESTWAV or RESTFRQ; ``VOPT`` and ``ZOPT`` are relative to the rest wavelength, ``VRAD`` to the rest frequency, ``VELO``
and ``BETA`` are relativistic.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.physics.wavelength import C_AA_S, C_KMS
from napari_sfh.types import F64

#: Unit in which wcslib computes each quantity.
_UNITS = {
    "FREQ": u.Hz, "ENER": u.J, "WAVN": u.m**-1, "VRAD": u.m / u.s, "VOPT": u.m / u.s, "VELO": u.m / u.s,
    "ZOPT": u.dimensionless_unscaled, "BETA": u.dimensionless_unscaled,
}  # fmt: skip
_QUANTITY = re.compile(r"^(FREQ|ENER|WAVN|VRAD|VOPT|VELO|FELO|ZOPT|BETA)")
#: Where a rest wavelength is not in metres, as the standard wants it: which unit its number must be in.
_REST_UNITS = ((1e-7, 1e-4, 1e10, ""), (0.1, 30.0, 1e4, "micron"), (100.0, 2000.0, 10.0, "nm"),
               (2000.0, 3e5, 1.0, "Angstrom"))  # fmt: skip


def is_spectral_quantity(ctype: str) -> bool:
    """Whether an axis' type is a frequency, an energy, a wavenumber, a velocity or a redshift."""
    return _QUANTITY.match(ctype.upper()) is not None


def read_quantity_axis(cards: HeaderCards, axis: int, step: float, n: int) -> tuple[F64, list[str]]:
    """Vacuum wavelengths (n,) in Angstrom of an axis of another spectral quantity, and notes.

    Parameters
    ----------
    cards : HeaderCards
    axis : int
        FITS number of the axis.
    step : float
        Per channel, in the axis' unit.
    n : int
        Number of channels.

    Raises
    ------
    SfhInputError
        Names the card that failed.
    """
    ctype = cards.text(f"CTYPE{axis}").upper()
    notes = []
    if re.match(r"^VELOCITY", ctype):
        notes.append(f"CTYPE{axis} {ctype!r} does not say which velocity: taken as VOPT, c times the redshift")
        ctype = "VOPT"
    if ctype.startswith("FELO"):
        ctype = "VOPT-F2W"  # AIPS: velocity of the optical convention, channels equal in frequency
    elif not re.fullmatch(r"[A-Z]{4}(-[A-Z]2[A-Z]|-LOG)?", ctype):
        ctype = ctype[:4]  # AIPS names a frame after the dash: VELO-HEL
    value = cards.require_number(f"CRVAL{axis}", "add the value of the reference channel")
    pixel = cards.require_number(f"CRPIX{axis}", "add the reference channel")
    factor, more = _find_unit(cards, axis, ctype[:4], value, step * n)
    plain = fits.Header()
    rest = None
    if ctype[:4] in ("VRAD", "VOPT", "VELO", "ZOPT", "BETA"):
        rest, rest_notes = _read_rest_wavelength(cards, axis)
        more += rest_notes
        plain["RESTWAV"] = rest * 1e-10
    plain.update({"CTYPE1": ctype, "CUNIT1": _UNITS[ctype[:4]].to_string("fits"), "CRPIX1": pixel})
    plain.update({"CRVAL1": factor * value, "CDELT1": factor * step})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = WCS(plain).wcs_pix2world(np.arange(n, dtype=np.float64)[:, None], 0)[:, 0]
        except Exception as e:  # wcslib raises many classes for one fault: a broken header
            line = (str(e).strip().splitlines() or [type(e).__name__])[-1][:120]
            raise cards.error(f"CTYPE{axis}", f"cannot be read ({line})", "write AWAV or WAVE") from e
    with np.errstate(all="ignore"):
        return _convert_to_wavelength(values, ctype[:4], rest), [*notes, *more]


def _find_unit(cards: HeaderCards, axis: int, kind: str, value: float, span: float) -> tuple[float, list[str]]:
    """What brings the axis' numbers to the unit of `_UNITS`."""
    text, unit = cards.text(f"CUNIT{axis}"), _UNITS[kind]
    if unit == u.dimensionless_unscaled:
        return 1.0, []
    if text:
        factor = unit_conversion_factor(text, unit)
        if factor is None:
            raise cards.error(f"CUNIT{axis}", f"is no unit of {kind}", f"write {unit.to_string('fits')!r}")
        return factor, []
    # Metres per second by the standard; spectra that span a third of c in them would be a few Angstrom long in km/s.
    in_kms = kind in ("VRAD", "VOPT", "VELO") and max(abs(value), abs(value + span)) < C_KMS
    shown = "km/s" if in_kms else unit.to_string("fits")
    return (1e3 if in_kms else 1.0), [f"CUNIT{axis} is absent: {kind} taken in {shown} (CRVAL{axis} = {value:g})"]


def _read_rest_wavelength(cards: HeaderCards, axis: int) -> tuple[float, list[str]]:
    """Rest wavelength in Angstrom (vacuum) that velocities refer to."""
    value = cards.number("RESTWAV")
    if value:
        for low, high, factor, name in _REST_UNITS:
            if low < value < high:
                return value * factor, [f"RESTWAV = {value:g} is taken as {name}, not metres"] if name else []
        raise cards.error("RESTWAV", "is no rest wavelength in metres", "correct it")
    for key in ("RESTFRQ", "RESTFREQ"):
        frequency = cards.number(key)
        if frequency and frequency > 0:
            return C_AA_S / frequency, []
    raise cards.error(
        f"CTYPE{axis}",
        "is a velocity, and neither RESTWAV nor RESTFRQ says of which wavelength",
        "add RESTWAV (metres, vacuum), or write the cube with AWAV or WAVE",
    )


def _convert_to_wavelength(values: F64, kind: str, rest_aa: float | None) -> F64:
    """Vacuum wavelengths in Angstrom of a quantity in the unit of `_UNITS`."""
    if rest_aa is None:
        wave: Any = (values * _UNITS[kind]).to_value(u.AA, equivalencies=u.spectral())
        return np.asarray(wave, dtype=np.float64)
    beta = values if kind in ("ZOPT", "BETA") else values / (1e3 * C_KMS)
    if kind in ("VOPT", "ZOPT"):
        return np.asarray(rest_aa * (1 + beta))
    if kind == "VRAD":
        return np.asarray(rest_aa / (1 - beta))
    return np.asarray(rest_aa * np.sqrt((1 + beta) / (1 - beta)))
