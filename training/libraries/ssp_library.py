"""Libraries of simple stellar populations (SSP) behind one interface.

An SSP is the light of stars born together, here always in Lsun per Angstrom and per Msun *formed* (not per
Msun that lives today), on an air-wavelength grid, for a set of ages and metallicities [M/H] = log10(Z /
0.019). Libraries differ in isochrones, stellar spectra and initial mass function (IMF); E-MILES as shipped
has a Salpeter IMF, BC03-MILES a Kroupa one, so that its mass formed per light is 1.2 to 1.3 times as large
(measured; 1.31 by the IMFs alone): mass *fractions* are unaffected, M/L is not.

Air or vacuum is measured on the absorption lines of an old population: in vacuum Mg b, Na D and Halpha lie 1.4 to
1.8 AA redward of their air wavelengths; line blends move them far less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.physics.wavelength import air_to_vacuum, vacuum_to_air
from napari_sfh.types import F32, F64

#: Wavelengths in Angstrom that a compact library keeps: ionising photons to the red end of NIRCam.
LIBRARY_RANGE_AA: tuple[float, float] = (90.0, 58000.0)
#: Beyond this wavelength in Angstrom libraries serve photometry alone, and finer steps than the second are averaged.
PHOTOMETRY_ALONE_AA, INFRARED_STEP_AA = 11000.0, 10.0
#: Range in Angstrom that every library must cover: the MUSE range with room for the kernels.
REQUIRED_RANGE_AA: tuple[float, float] = (4750.0, 7050.0)
#: [M/H] outside which a metallicity is not believed to be one.
_MH_RANGE = (-4.0, 1.0)
#: Air wavelengths in Angstrom of Mg b, Na D and Halpha.
DIAGNOSTIC_LINES_AA: tuple[float, ...] = (5183.60, 5889.95, 5895.92, HALPHA_AA)
_MIN_DEPTH = 0.05  # a line less deep than this share of the continuum is not measured
_NEAR_AA, _SIDE_AA, _MIDDLE_AA = 3.5, 12.0, 0.8


@dataclass(frozen=True)
class SspLibrary:
    """One SSP library.

    Attributes
    ----------
    name, isochrones, imf, citation : str
        Provenance.
    medium : str
        Medium of the wavelengths of the source files, ``air`` or ``vacuum``; ``wave_aa`` is in air in any
        case.
    age_gyr : array (T,)
        Increasing ages.
    mh : array (Z,)
        Increasing [M/H], dex.
    wave_aa : array (n,)
        Increasing air wavelengths, Angstrom.
    fwhm_aa : array (n,)
        Spectral resolution, NaN where the authors state none.
    spectrum : float32 array (Z, T, n)
        Lsun/AA per Msun formed.
    sha256 : str
        Digest of ages, metallicities, wavelengths and spectra.
    notes : tuple of str
        What was measured or assumed while the library was made, e.g. a join factor.
    """

    name: str
    isochrones: str
    imf: str
    medium: str
    citation: str
    age_gyr: F64
    mh: F64
    wave_aa: F64
    fwhm_aa: F64
    spectrum: F32
    sha256: str
    notes: tuple[str, ...] = field(default=())


def make_ssp_library(
    name: str,
    *,
    isochrones: str,
    imf: str,
    citation: str,
    age_gyr: NDArray[np.floating],
    mh: NDArray[np.floating],
    wave_aa: NDArray[np.floating],
    fwhm_aa: NDArray[np.floating],
    spectrum: NDArray[np.floating],
    medium: str = "air",
    notes: tuple[str, ...] = (),
    source: str | Path = "",
) -> SspLibrary:
    """Check a library's arrays, cut them to `LIBRARY_RANGE_AA`, convert vacuum to air, and seal them by a digest.

    Parameters
    ----------
    name, isochrones, imf, citation : str
    age_gyr : array (T,)
        Gyr, rising.
    mh : array (Z,)
        [M/H], rising.
    wave_aa : array (n,)
        Angstrom, rising.
    fwhm_aa : array (n,)
        Resolution, FWHM in Angstrom.
    spectrum : array (Z, T, n)
        Lsun/AA per Msun formed.
    medium : str
        Of ``wave_aa``: ``air`` or ``vacuum``.
    notes : tuple of str
        What a user of the library should know.
    source : str or Path
        Where it was read, for messages.

    Returns
    -------
    SspLibrary

    Raises
    ------
    SfhInputError
        Where shapes, order, ranges or units cannot be right; the message names ``source``.
    """
    label = str(source) or name
    age, metal = np.asarray(age_gyr, dtype=np.float64), np.asarray(mh, dtype=np.float64)
    wave, fwhm = np.asarray(wave_aa, dtype=np.float64), np.asarray(fwhm_aa, dtype=np.float64)
    if medium not in ("air", "vacuum"):
        raise SfhInputError(f"{label}: medium is {medium!r}; it must be 'air' or 'vacuum'")
    _check_axes(label, age, metal, wave, np.shape(spectrum))
    if medium == "vacuum":
        wave = np.where(wave > 2000.0, vacuum_to_air(np.maximum(wave, 2000.0)), wave)
    kept = (wave >= LIBRARY_RANGE_AA[0]) & (wave <= LIBRARY_RANGE_AA[1])
    wave, fwhm, light = _average_infrared(wave[kept], fwhm[kept], np.asarray(spectrum)[..., kept])
    _check_light(label, age, wave, light)
    if detect_air_or_vacuum(wave, light[-1, int(np.argmin(np.abs(age - 5.0)))]) == "vacuum":
        raise SfhInputError(
            f"{label}: Mg b, Na D and Halpha lie at vacuum wavelengths, though its medium is said to be {medium}; "
            "convert it"
        )
    sha256 = hash_parts(age, metal, wave, light)
    return SspLibrary(name, isochrones, imf, medium, citation, age, metal, wave, fwhm, light, sha256, notes)


def _average_infrared(wave_aa: F64, fwhm_aa: F64, light: NDArray[np.floating]) -> tuple[F64, F64, F32]:
    """Axes and spectra, with means over blocks of pixels where photometry alone needs them."""
    first = int(np.searchsorted(wave_aa, PHOTOMETRY_ALONE_AA, side="right"))
    red = wave_aa[first:]
    block = int(INFRARED_STEP_AA / np.median(np.diff(red))) if red.size > 1 else 1
    fwhm = np.where(wave_aa > PHOTOMETRY_ALONE_AA, np.nan, fwhm_aa)
    if block < 2:
        return wave_aa, fwhm, np.ascontiguousarray(light, dtype=np.float32)
    n = red.size // block
    part = slice(first, first + n * block)
    means = np.asarray(light[..., part], dtype=np.float32).reshape(*light.shape[:-1], n, block).mean(-1)
    wave = np.append(wave_aa[:first], red[: n * block].reshape(n, block).mean(1))
    return (
        wave,
        np.append(fwhm[:first], np.full(n, np.nan)),
        np.concatenate([np.asarray(light[..., :first], dtype=np.float32), means], axis=-1),
    )


def _check_axes(label: str, age: F64, mh: F64, wave: F64, shape: tuple[int, ...]) -> None:
    if shape != (mh.size, age.size, wave.size):
        raise SfhInputError(
            f"{label}: spectra have shape {shape}, but there are {mh.size} metallicities, {age.size} ages and "
            f"{wave.size} wavelengths; the library is incomplete"
        )
    for what, axis in (("ages", age), ("metallicities", mh), ("wavelengths", wave)):
        if axis.size < 2 or not np.all(np.isfinite(axis)) or np.any(np.diff(axis) <= 0):
            raise SfhInputError(f"{label}: {what} must be at least two increasing numbers; found {axis[:4]}...")
    if age[0] <= 0 or age[-1] > 25.0:
        raise SfhInputError(f"{label}: ages run {age[0]:g}-{age[-1]:g}; they must be in Gyr, within 0-25")
    if mh[0] < _MH_RANGE[0] or mh[-1] > _MH_RANGE[1]:
        raise SfhInputError(f"{label}: metallicities run {mh[0]:g}-{mh[-1]:g}; they must be [M/H] in dex, not Z")
    if wave[0] > REQUIRED_RANGE_AA[0] or wave[-1] < REQUIRED_RANGE_AA[1]:
        raise SfhInputError(
            f"{label}: wavelengths run {wave[0]:g}-{wave[-1]:g}; needed are "
            f"{REQUIRED_RANGE_AA[0]:g}-{REQUIRED_RANGE_AA[1]:g} in Angstrom (not nm or micron)"
        )


def _check_light(label: str, age: F64, wave: F64, light: F32) -> None:
    window = light[..., (wave > 5300) & (wave < 5500)].mean(-1)
    if not np.all(np.isfinite(light)) or np.any(window <= 0):
        raise SfhInputError(f"{label}: spectra are not finite or have no light at 5300-5500 AA; the file is damaged")
    # An SSP of 1 Gyr gives 1e-4 Lsun/AA per Msun there within a factor of a few, whatever its IMF and
    # metallicity. A grid without that age is not judged.
    if age[0] <= 1.0 <= age[-1]:
        at_1_gyr = window[:, int(np.argmin(np.abs(age - 1.0)))]
        if at_1_gyr.max() > 2e-3 or at_1_gyr.min() < 5e-6:
            raise SfhInputError(
                f"{label}: a population of 1 Gyr gives {at_1_gyr.mean():.2g} per AA at 5400 AA; about 1e-4 Lsun/AA "
                "per Msun formed was expected: the spectra are in other units"
            )


def measure_line_offsets_aa(wave_aa: NDArray[np.floating], light: NDArray[np.floating]) -> F64:
    """Position of each line of `DIAGNOSTIC_LINES_AA` less its air wavelength; NaN where it is not in the spectrum.

    Parameters
    ----------
    wave_aa, light : arrays (n,)
        A spectrum of an old population; the minimum of each line comes from a parabola through three points.
    """
    return np.array(
        [_line_offset_aa(np.asarray(wave_aa, float), np.asarray(light, float), line) for line in DIAGNOSTIC_LINES_AA]
    )


def _line_offset_aa(wave_aa: F64, light: F64, line: float) -> float:
    near = np.abs(wave_aa - line - _MIDDLE_AA) < _SIDE_AA
    wave, flux = wave_aa[near], light[near]
    if wave.size < 5:
        return np.nan
    depth = 1.0 - flux / np.interp(wave, wave[[0, -1]], flux[[0, -1]])
    inside = np.flatnonzero(np.abs(wave - line - _MIDDLE_AA) < _NEAR_AA)
    deepest = int(inside[np.argmax(depth[inside])]) if inside.size else 0
    if not 0 < deepest < wave.size - 1 or depth[deepest] < _MIN_DEPTH:
        return np.nan
    around = slice(deepest - 1, deepest + 2)
    a, b, _ = np.polyfit(wave[around] - wave[deepest], depth[around], 2)
    return float(wave[deepest] - b / (2 * a) - line) if a < 0 else float(wave[deepest] - line)


def detect_air_or_vacuum(wave_aa: NDArray[np.floating], light: NDArray[np.floating]) -> str:
    """``air`` or ``vacuum``, whichever the lines of an old spectrum lie closer to; empty where there are none.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom.
    light : array (n,)
        Of an old population.

    Returns
    -------
    str
    """
    offset = measure_line_offsets_aa(wave_aa, light)
    found = np.isfinite(offset)
    if found.sum() < 2:
        return ""
    lines = np.array(DIAGNOSTIC_LINES_AA)
    shift = float(np.mean(air_to_vacuum(lines) - lines))
    middle = float(np.median(offset[found]))
    return "air" if abs(middle) < abs(middle - shift) else "vacuum"
