"""Width of the point-spread function of a MUSE cube.

MPDAF describes the field spread function (FSF) as a circular Moffat profile whose FWHM is a polynomial of wavelength:
``FSFMODE = 2`` gives FWHM = sum_k c_k l^(n-1-k) with l = (lambda - FSFLB1) / (FSFLB2 - FSFLB1) - 1/2 and the
coefficients ``FSFnnF00...`` (highest power first); the older ``MOFFAT1`` gives FWHM = FSFnnFWA + FSFnnFWB lambda.
Field 00 is the whole mosaic; where only the single exposures 01.. are described, their mean is taken.
Bacon et al. (2023, A&A 670, A4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.io._fits import number_card, stem

#: Wavelength in Angstrom at which the width is quoted.
REFERENCE_AA: float = 6500.0


def fsf_fwhm_arcsec(header: Mapping[str, Any], wave_aa: float = REFERENCE_AA) -> float | None:
    """FWHM in arcsec at ``wave_aa`` from MPDAF's FSF keywords, or None where there are none."""
    mode = str(header.get("FSFMODE", "")).strip().upper()
    if not mode:
        return None
    one_field = _moffat1 if mode == "MOFFAT1" else _moffat2
    whole = one_field(header, 0, wave_aa)
    if whole is not None:
        return whole
    fields = [f for n in range(1, 100) if (f := one_field(header, n, wave_aa)) is not None]
    return float(np.mean(fields)) if fields else None


def _moffat1(header: Mapping[str, Any], field: int, wave_aa: float) -> float | None:
    a, b = (number_card(header, f"FSF{field:02d}{k}") for k in ("FWA", "FWB"))
    return None if a is None or b is None else _plausible(a + b * wave_aa)


def _moffat2(header: Mapping[str, Any], field: int, wave_aa: float) -> float | None:
    lo, hi, n = (number_card(header, k) for k in ("FSFLB1", "FSFLB2", f"FSF{field:02d}FNC"))
    if lo is None or hi is None or n is None or hi <= lo:
        return None
    coefficients = [number_card(header, f"FSF{field:02d}F{k:02d}") for k in range(int(n))]
    if not coefficients or None in coefficients:
        return None
    return _plausible(float(np.polyval(np.array(coefficients, dtype=float), (wave_aa - lo) / (hi - lo) - 0.5)))


def _plausible(fwhm: float) -> float | None:
    return fwhm if 0.01 < fwhm < 10 else None


def psf_fwhm_arcsec(header: Mapping[str, Any], path: Path) -> tuple[float | None, str]:
    """PSF FWHM in arcsec near 6500 AA and where it was found.

    In this order: MPDAF's FSF keywords, a PHANGS file name (``..._copt_0.92asec``), ESO's ``SKY_RES``.

    Returns
    -------
    fwhm : float or None
    source : str
        For a person; says what to do where nothing was found.
    """
    fwhm = fsf_fwhm_arcsec(header)
    if fwhm is not None:
        return fwhm, "FSF keywords"
    named = re.search(r"[_\-](\d+(?:\.\d+)?)asec", stem(path), flags=re.I)
    if named and (fwhm := _plausible(float(named.group(1)))) is not None:
        return fwhm, "file name"
    sky = number_card(header, "SKY_RES")
    if sky is not None and (fwhm := _plausible(sky)) is not None:
        return fwhm, "SKY_RES"
    return None, "no FSF keywords, no width in the file name: give --psf-fwhm"
