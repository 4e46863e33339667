"""E-MILES and MILES libraries as their authors distribute them: one FITS file per age and metallicity, in a folder or a
tar archive.

The file name states everything, e.g. ``Eun1.30Zp0.06T01.0000_iTp0.00_baseFe.fits``: library (E = E-MILES, M
= MILES), IMF and slope, [M/H] (m = minus, p = plus), age in Gyr, isochrones (P = Padova 2000, T = BaSTI).
Spectra are in Lsun/AA per Msun formed at air wavelengths. Resolution after Vazdekis et al. (2016, MNRAS
463, 3409): FWHM 3 AA to 3060 AA, 5 AA to 3541 AA, 2.51 AA to 8950 AA, sigma = 60 km/s beyond.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries import fetch
from napari_sfh.training.libraries.ssp_library import LIBRARY_RANGE_AA, SspLibrary, make_ssp_library

EMILES_CITATION = "Vazdekis et al. 2016 (MNRAS 463, 3409), E-MILES; ages below 63 Myr from BC03-MILES, scaled"
_MEMBER_FOLDER = "ppxf-8.2.6/ppxf/miles_models/"
_FILE_NAME_PATTERN = re.compile(
    r"^(?P<lib>[EM])(?P<imf>un|bi|ku|kb|ch)(?P<slope>\d\.\d\d)Z(?P<sign>[mp])(?P<mh>\d\.\d\d)"
    r"T(?P<age>\d\d\.\d{4})_i(?P<iso>[PT])(?P<alpha>[mp]\d\.\d\d)_(?P<rest>.*)\.fits$",
    re.IGNORECASE,
)
_IMF = {
    "un": "unimodal (1.30 is Salpeter)",
    "bi": "bimodal",
    "ku": "Kroupa universal",
    "kb": "Kroupa revised",
    "ch": "Chabrier",
}
_ISOCHRONES = {"P": "Padova 2000", "T": "BaSTI"}


def load_emiles() -> SspLibrary:
    """E-MILES (Padova 2000, unimodal 1.30) from the ppxf 8.2.6 sdist, 63 Myr to 15.8 Gyr."""
    content = fetch.read_archive_members("ppxf", lambda m: m.startswith(_MEMBER_FOLDER) and m.endswith(".fits"))
    return _assemble_library("e-miles", {Path(member).name: data for member, data in content.items()}, _MEMBER_FOLDER)


def load_miles_folder(folder: Path, name: str) -> SspLibrary:
    """A folder of E-MILES or MILES files.

    Parameters
    ----------
    folder : path
        Holds one file per age and metallicity, of one IMF, slope, isochrones and [alpha/Fe]; or a tar archive of such
        a folder (``.tar``, ``.tar.gz``, ``.tar.xz``).
    name : str
        What to call the library.

    Raises
    ------
    SfhInputError
        Where there is no such folder or file, files of several kinds are mixed, the grid has holes, or a
        file is damaged.
    """
    if folder.is_dir():
        files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if _FILE_NAME_PATTERN.match(p.name)}
    elif folder.is_file() and ".tar" in folder.name:
        files = _read_tar_members(folder)
    else:
        raise SfhInputError(f"{folder}: not a folder; give the one that holds the E-MILES/MILES FITS files")
    if not files:
        raise SfhInputError(
            f"{folder}: no E-MILES/MILES file, such as Eun1.30Zp0.00T01.0000_iPp0.00_baseFe.fits; unpack them here"
        )
    return _assemble_library(name, files, str(folder))


def _read_tar_members(path: Path) -> dict[str, bytes]:
    """The MILES files of an archive by name; nothing is unpacked to disk."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and _FILE_NAME_PATTERN.match(name):
                    content = archive.extractfile(member)
                    files[name] = content.read() if content else b""
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise SfhInputError(f"{path}: not a readable tar archive ({error}); download it again") from error
    return files


def _assemble_library(name: str, files: Mapping[str, bytes], source: str) -> SspLibrary:
    matches = {file: m for file in files if (m := _FILE_NAME_PATTERN.match(file))}
    kinds = sorted({f"{m['lib']}{m['imf']}{m['slope']}_i{m['iso']}{m['alpha']}_{m['rest']}" for m in matches.values()})
    if len(kinds) != 1:
        raise SfhInputError(f"{source}: files of {len(kinds)} kinds ({', '.join(kinds[:3])}...); keep one per folder")
    by_node = {(_metallicity_of_file_name(m), float(m["age"])): file for file, m in matches.items()}
    mh, age = sorted({k[0] for k in by_node}), sorted({k[1] for k in by_node})
    missing = [(z, t) for z in mh for t in age if (z, t) not in by_node]
    if missing:
        z, t = missing[0]
        raise SfhInputError(
            f"{source}: {len(missing)} of {len(mh) * len(age)} files missing, e.g. [M/H] {z:+.2f} at {t:.4f} Gyr; "
            "complete the folder"
        )
    spectra, wave = _read_spectra([[by_node[z, t] for t in age] for z in mh], files, source)
    first = next(iter(matches.values()))
    return make_ssp_library(
        name,
        isochrones=_ISOCHRONES[first["iso"].upper()] + _abundance_of_file_name(first),
        imf=f"{_IMF[first['imf'].lower()]}, slope {first['slope']}",
        citation=EMILES_CITATION if name == "e-miles" else f"the user's {kinds[0]} (Vazdekis et al. 2010, 2016)",
        age_gyr=np.array(age),
        mh=np.array(mh),
        wave_aa=wave,
        fwhm_aa=emiles_fwhm_aa(wave),
        spectrum=spectra,
        source=source,
    )


def _metallicity_of_file_name(match: re.Match[str]) -> float:
    return float(match["mh"]) * (-1 if match["sign"].lower() == "m" else 1)


def _abundance_of_file_name(match: re.Match[str]) -> str:
    """[alpha/Fe] where the models are not those of the stars' own abundances (baseFe)."""
    if match["rest"].lower().startswith("base"):
        return ""
    return f", [alpha/Fe] {match['alpha'].lower().replace('p', '+').replace('m', '-')}"


def _read_spectra(
    table: list[list[str]], files: Mapping[str, bytes], source: str
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    wave: NDArray[np.float64] | None = None
    rows = []
    for names in table:
        row = []
        for file in names:
            this_wave, light = _read_spectrum(files[file], f"{source}/{file}")
            if wave is None:
                wave = this_wave
            if this_wave.shape != wave.shape or abs(this_wave[0] - wave[0]) > 1e-3:
                raise SfhInputError(f"{source}/{file}: another wavelength grid than the first file; is it truncated?")
            row.append(light)
        rows.append(row)
    assert wave is not None  # the caller's table is never empty
    return np.array(rows, dtype=np.float32), wave


def _read_spectrum(content: bytes, label: str) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    try:
        with fits.open(io.BytesIO(content)) as hdus:
            header = hdus[0].header
            light = np.asarray(hdus[0].data, dtype=np.float32)
            start, step = float(header["CRVAL1"]), float(header["CDELT1"])
            pixel = np.arange(light.size, dtype=np.float64) + 1 - float(header.get("CRPIX1", 1))
            wave = np.asarray(start + step * pixel, dtype=np.float64)
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise SfhInputError(f"{label}: not a MILES spectrum ({error}); download it again") from error
    if light.ndim != 1:
        raise SfhInputError(f"{label}: data have {light.ndim} axes; a MILES spectrum has one")
    kept = (wave >= LIBRARY_RANGE_AA[0]) & (wave <= LIBRARY_RANGE_AA[1])
    return wave[kept], light[kept]


def emiles_fwhm_aa(wave_aa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resolution of E-MILES; MILES has its middle part.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom in air.

    Returns
    -------
    array (n,)
        FWHM, Angstrom.

    References
    ----------
    Vazdekis et al. (2016, MNRAS 463, 3409)
    """
    return np.select(
        [wave_aa < 3060.2, wave_aa < 3541.4, wave_aa < 8950.4],
        [3.0, 5.0, 2.51],
        default=wave_aa * 60.0 / C_KMS * FWHM_PER_SIGMA,
    )
