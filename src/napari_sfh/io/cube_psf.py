"""Width of the point-spread function of a MUSE cube.

MPDAF describes the field spread function (FSF) as a circular Moffat profile whose FWHM is a polynomial of wavelength:
``FSFMODE = 2`` gives FWHM = sum_k c_k l^(n-1-k) with l = (lambda - FSFLB1) / (FSFLB2 - FSFLB1) - 1/2 and the
coefficients ``FSFnnF00...`` (highest power first); the older ``MOFFAT1`` gives FWHM = FSFnnFWA + FSFnnFWB lambda.
Its exponent is a polynomial of the same l (``FSFnnB00...``), or ``FSFnnBET``. Field 00 is the whole mosaic; where only
the single exposures 01.. are described, their mean is taken. Bacon et al. (2023, A&A 670, A4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.io.fits_access import get_number_card, strip_fits_suffix

#: Wavelength in Angstrom at which the width is quoted.
REFERENCE_AA: float = 6500.0


def fsf_fwhm_arcsec(header: Mapping[str, Any], wave_aa: float = REFERENCE_AA) -> float | None:
    """FWHM in arcsec at ``wave_aa`` from MPDAF's FSF keywords, or None where there are none.

    Parameters
    ----------
    header : mapping
        Cards FSFMODE, FSFLB1, FSFLB2 and the coefficients of each field.
    wave_aa : float
        Observed, Angstrom.
    """
    return _evaluate_fields(header, wave_aa, {"MOFFAT1": _moffat1}, "F", _valid_fwhm)


def fsf_beta(header: Mapping[str, Any], wave_aa: float = REFERENCE_AA) -> float | None:
    """Exponent of the Moffat profile at ``wave_aa`` from MPDAF's FSF keywords, or None where there is none.

    Parameters
    ----------
    header : mapping
        As of `fsf_fwhm_arcsec`.
    wave_aa : float
        Observed, Angstrom.
    """
    return _evaluate_fields(header, wave_aa, {"MOFFAT1": _moffat1_beta}, "B", _valid_beta)


def _evaluate_fields(
    header: Mapping[str, Any],
    wave_aa: float,
    older: Mapping[str, Callable[[Mapping[str, Any], int, float], float | None]],
    letter: str,
    check: Callable[[float], float | None],
) -> float | None:
    """A quantity of field 00, else the mean of the others."""
    mode = str(header.get("FSFMODE", "")).strip().upper()
    if not mode:
        return None

    def of(field: int) -> float | None:
        value = older[mode](header, field, wave_aa) if mode in older else _moffat2(header, field, wave_aa, letter)
        return None if value is None else check(value)

    whole = of(0)
    if whole is not None:
        return whole
    fields = [value for n in range(1, 100) if (value := of(n)) is not None]
    return float(np.mean(fields)) if fields else None


def _moffat1(header: Mapping[str, Any], field: int, wave_aa: float) -> float | None:
    a, b = (get_number_card(header, f"FSF{field:02d}{k}") for k in ("FWA", "FWB"))
    return None if a is None or b is None else a + b * wave_aa


def _moffat1_beta(header: Mapping[str, Any], field: int, wave_aa: float) -> float | None:
    return get_number_card(header, f"FSF{field:02d}BET")


def _moffat2(header: Mapping[str, Any], field: int, wave_aa: float, letter: str) -> float | None:
    lo, hi, n = (get_number_card(header, k) for k in ("FSFLB1", "FSFLB2", f"FSF{field:02d}{letter}NC"))
    if lo is None or hi is None or n is None or hi <= lo:
        return None
    coefficients = [get_number_card(header, f"FSF{field:02d}{letter}{k:02d}") for k in range(int(n))]
    if not coefficients or None in coefficients:
        return None
    return float(np.polyval(np.array(coefficients, dtype=float), (wave_aa - lo) / (hi - lo) - 0.5))


def _valid_beta(beta: float) -> float | None:
    return beta if 1.0 < beta < 1000.0 else None


def _valid_fwhm(fwhm: float) -> float | None:
    return fwhm if 0.01 < fwhm < 10 else None


def find_muse_psf_fwhm(header: Mapping[str, Any], path: Path) -> tuple[float | None, str]:
    """PSF FWHM in arcsec near 6500 AA and where it was found.

    In this order: MPDAF's FSF keywords, a PHANGS file name (``..._copt_0.92asec``), ESO's ``SKY_RES``.

    Parameters
    ----------
    header : mapping
        Cards of the primary header.
    path : Path
        Of the cube, whose name is looked at.

    Returns
    -------
    fwhm : float or None
    source : str
        For a person; says what to do where nothing was found.
    """
    fwhm = fsf_fwhm_arcsec(header)
    if fwhm is not None:
        return fwhm, "FSF keywords"
    named = re.search(r"[_\-](\d+(?:\.\d+)?)asec", strip_fits_suffix(path), flags=re.I)
    if named and (fwhm := _valid_fwhm(float(named.group(1)))) is not None:
        return fwhm, "file name"
    sky = get_number_card(header, "SKY_RES")
    if sky is not None and (fwhm := _valid_fwhm(sky)) is not None:
        return fwhm, "SKY_RES"
    return None, "no FSF keywords, no width in the file name: give `psf_fwhm_arcsec`"
