"""X-shooter Spectral Library SSPs (Verro et al. 2022, A&A 661, A50), as their authors distribute them or in one npz.

A folder holds one FITS file for each age and metallicity, ``XSL_SSP_logT10.0_MH-0.4_Kroupa_PC.fits``: the axis is
log10 of the air wavelength in nm, and the header names LOGAGE, MH, IMF and ISOCH. An npz file holds the arrays
``wave_aa`` (n,), ``flux`` (K, n), ``lg_age_yr`` (K,) and ``mh`` (K,).

Fluxes are per Msun formed in a unit of the authors' own. `FLUX_PER_LSUN` brings them to Lsun/AA: V light times the
files' M/L_V (of the mass that is left) is 1.46e-7 at 50 Myr, when a Kroupa population keeps 0.9 of its mass, and
falls with age as that mass does. The resolution is sigma = 13 km/s below 5450 AA, 11 km/s to 9940 AA, 16 km/s beyond.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries.ssp_library import LIBRARY_RANGE_AA, SspLibrary, make_ssp_library

XSL_CITATION = "Verro et al. 2022 (A&A 661, A50), XSL"
#: The authors' flux of a population that emits 1 Lsun/AA per Msun formed.
FLUX_PER_LSUN = 1.62e-7
_FILE_NAME_PATTERN = re.compile(
    r"^XSL_SSP_logT(?P<lg_age>[\d.]+)_MH(?P<mh>[+-]?[\d.]+)_(?P<imf>[A-Za-z]+)_(?P<iso>[A-Za-z]+)\.fits$"
)
_ISOCHRONES = {"PC": "Padova/COLIBRI", "PARSEC": "PARSEC"}
_NPZ_KEYS = ("wave_aa", "flux", "lg_age_yr", "mh")


def is_xsl_library(path: Path) -> bool:
    """Whether a folder or npz file holds XSL SSPs in one of the two layouts."""
    if path.is_dir():
        return any(_FILE_NAME_PATTERN.match(p.name) for p in path.iterdir())
    if path.suffix != ".npz" or not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as stored:
            return set(_NPZ_KEYS) <= set(stored.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def load_xsl_library(path: Path, name: str) -> SspLibrary:
    """Read a folder of the authors' files, or an npz file.

    Parameters
    ----------
    path : path
    name : str
        What to call the library.

    Raises
    ------
    SfhInputError
        Where the grid has holes, files of several kinds are mixed, or a file is damaged.
    """
    return _load_xsl_folder(path, name) if path.is_dir() else _load_xsl_npz(path, name)


def read_xsl_spectrum(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Air wavelengths in Angstrom and flux in the authors' unit of one of the distributed files.

    Raises
    ------
    SfhInputError
        Where the file is damaged or its axis is not log10 of nm.
    """
    try:
        with fits.open(path) as hdus:
            header = hdus[0].header
            flux = np.asarray(hdus[0].data, dtype=np.float32)
            start, step = float(header["CRVAL1"]), float(header["CDELT1"])
            first, axis = float(header.get("CRPIX1", 1)), f"{header.get('CTYPE1', '')} {header.get('CUNIT1', '')}"
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise SfhInputError(f"{path}: not an XSL spectrum ({error}); download it again") from error
    if axis.split() != ["LOG10", "nm"] or flux.ndim != 1:
        raise SfhInputError(f"{path}: axis {axis!r} of {flux.ndim} dimensions; XSL files have one in log10 of nm")
    lg_nm = start + step * (np.arange(flux.size) + 1 - first)
    wave = np.asarray(10.0 * 10.0**lg_nm, dtype=np.float64)
    kept = (wave >= LIBRARY_RANGE_AA[0]) & (wave <= LIBRARY_RANGE_AA[1])
    return wave[kept], flux[kept]


def xsl_fwhm_aa(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resolution of the three arms of X-shooter.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom in air.

    Returns
    -------
    array (n,)
        FWHM, Angstrom.
    """
    sigma_kms = np.select([wave_aa < 5450.0, wave_aa < 9940.0], [13.0, 11.0], default=16.0)
    return wave_aa * sigma_kms / C_KMS * FWHM_PER_SIGMA


def _load_xsl_folder(folder: Path, name: str) -> SspLibrary:
    matches = {p: m for p in sorted(folder.iterdir()) if (m := _FILE_NAME_PATTERN.match(p.name))}
    kinds = sorted({f"{m['imf']}_{m['iso']}" for m in matches.values()})
    if len(kinds) != 1:
        raise SfhInputError(f"{folder}: XSL files of {len(kinds)} kinds ({', '.join(kinds)}); keep one per folder")
    wave: NDArray[np.float64] | None = None
    spectra = []
    for path in matches:
        this_wave, flux = read_xsl_spectrum(path)
        if wave is None:
            wave = this_wave
        if this_wave.shape != wave.shape or abs(this_wave[0] - wave[0]) > 1e-3:
            raise SfhInputError(f"{path}: another wavelength grid than the first file; is it truncated?")
        spectra.append(flux)
    assert wave is not None  # a folder without files is none of the patterns above
    first = next(iter(matches.values()))
    nodes = np.array([[float(m["mh"]), float(m["lg_age"])] for m in matches.values()])
    return _assemble_xsl_grid(
        name,
        nodes,
        wave,
        np.stack(spectra),
        str(folder),
        imf=first["imf"],
        isochrones=_ISOCHRONES.get(first["iso"], first["iso"]),
    )


def _load_xsl_npz(path: Path, name: str) -> SspLibrary:
    try:
        with np.load(path, allow_pickle=False) as stored:
            wave, flux, lg_age, mh = (np.asarray(stored[key]) for key in _NPZ_KEYS)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SfhInputError(f"{path}: cannot be read as XSL npz ({error}); it needs {', '.join(_NPZ_KEYS)}") from error
    if flux.shape != (lg_age.size, wave.size) or mh.shape != lg_age.shape:
        raise SfhInputError(
            f"{path}: flux {flux.shape}, wave_aa {wave.shape}, lg_age_yr {lg_age.shape}, mh {mh.shape} do not agree"
        )
    nodes = np.stack([mh, lg_age], axis=1).astype(np.float64)
    return _assemble_xsl_grid(name, nodes, wave.astype(np.float64), flux, str(path))


def _assemble_xsl_grid(
    name: str,
    nodes: NDArray[np.float64],
    wave_aa: NDArray[np.float64],
    flux: NDArray[np.floating],
    source: str,
    imf: str = "Kroupa",
    isochrones: str = "Padova/COLIBRI",
) -> SspLibrary:
    """The library of spectra (K, n) whose [M/H] and log10 age are ``nodes`` (K, 2)."""
    nodes = np.round(nodes, 4) + 0.0  # minus zero is zero
    mh, lg_age = np.unique(nodes[:, 0]), np.unique(nodes[:, 1])
    row = {(float(z), float(t)): k for k, (z, t) in enumerate(nodes)}
    missing = [(z, t) for z in mh for t in lg_age if (float(z), float(t)) not in row]
    if missing:
        raise SfhInputError(
            f"{source}: {len(missing)} of {mh.size * lg_age.size} SSPs missing, e.g. [M/H] {missing[0][0]:+.1f} at log "
            f"age {missing[0][1]:.1f}; complete the folder"
        )
    order = [[row[float(z), float(t)] for t in lg_age] for z in mh]
    light, count = _fill_dark_pixels(np.asarray(flux, np.float32)[np.array(order)], wave_aa)
    return make_ssp_library(
        name,
        isochrones=isochrones,
        imf=imf,
        citation=XSL_CITATION,
        age_gyr=10 ** (lg_age - 9.0),
        mh=mh,
        wave_aa=wave_aa,
        fwhm_aa=xsl_fwhm_aa(wave_aa),
        spectrum=light / np.float32(FLUX_PER_LSUN),
        notes=(f"{count} pixels without light, from their neighbours",) if count else (),
        source=source,
    )


def _fill_dark_pixels(light: NDArray[np.float32], wave_aa: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
    """Spectra (Z, T, n) with the pixels at and below zero filled: noise in the near ultraviolet of old rich SSPs."""
    dark = light <= 0
    for z, t in np.argwhere(dark.any(-1)):
        lit = ~dark[z, t]
        if lit.any():
            light[z, t] = np.interp(wave_aa, wave_aa[lit], light[z, t, lit])
    return light, int(dark.sum())
