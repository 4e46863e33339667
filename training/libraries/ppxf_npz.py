"""The template files of pPXF 9: ``spectra_{emiles,fsps,galaxev,xsl}_9.0.npz``, which a user downloads from
pPXF's site.

Arrays: ``templates`` (wavelength, age, metallicity) in Lsun/AA per Msun formed, ``lam`` (AA), ``fwhm``
(AA), ``ages`` (Gyr), ``metals`` ([M/H]), ``masses``. The files do not state their medium; whether it is air
is measured on Mg b, Na D and Halpha in a spectrum of a few Gyr.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.training.libraries.ssp_library import (
    LIBRARY_RANGE_AA,
    SspLibrary,
    detect_air_or_vacuum,
    make_ssp_library,
)

_CITATION = {
    "emiles": "Vazdekis et al. 2016 (MNRAS 463, 3409)",
    "fsps": "Conroy & Gunn 2010 (ApJ 712, 833)",
    "galaxev": "Bruzual & Charlot 2003 (MNRAS 344, 1000)",
    "xsl": "Verro et al. 2022 (A&A 661, A50)",
}
_NOT_STATED = "not stated in the file"
_KEYS = ("templates", "lam", "fwhm", "ages", "metals")


def load_ppxf_npz(path: Path, name: str) -> SspLibrary:
    """Read one file; ``name`` is what to call the library.

    Parameters
    ----------
    path : Path
        A ``spectra_*.npz``.
    name : str
        What to call the library.

    Returns
    -------
    SspLibrary

    Raises
    ------
    SfhInputError
        Where the file is missing, truncated, or not of that kind.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [key for key in _KEYS if key not in stored.files]
            if missing:
                raise SfhInputError(f"{path}: no array {', '.join(missing)}; it is not a pPXF 9 spectra_*.npz")
            arrays = {key: np.asarray(stored[key], dtype=np.float64) for key in _KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, SfhInputError):
            raise
        raise SfhInputError(f"{path}: cannot be read as npz ({error}); download it again") from error
    if arrays["templates"].ndim != 3 or arrays["templates"].shape[0] != arrays["lam"].size:
        raise SfhInputError(
            f"{path}: templates have shape {arrays['templates'].shape}, lam has {arrays['lam'].size} points; "
            "they must be (wavelength, age, metallicity)"
        )
    kind = next((k for k in _CITATION if k in path.name.lower()), "")
    light = np.moveaxis(arrays["templates"], 0, -1).swapaxes(0, 1)
    old = int(np.argmin(np.abs(arrays["ages"] - 5.0)))
    kept = (arrays["lam"] >= LIBRARY_RANGE_AA[0]) & (arrays["lam"] <= LIBRARY_RANGE_AA[1])
    return make_ssp_library(
        name,
        isochrones=_NOT_STATED,
        imf=_NOT_STATED,
        citation=_CITATION.get(kind, f"the user's {path.name}"),
        age_gyr=arrays["ages"],
        mh=arrays["metals"],
        wave_aa=arrays["lam"][kept],
        fwhm_aa=np.broadcast_to(arrays["fwhm"], arrays["lam"].shape)[kept],
        spectrum=light[..., kept],
        medium=detect_air_or_vacuum(arrays["lam"], light[-1, old]) or "air",
        source=path,
    )
