"""Completing a library by BC03-MILES: young ages, and wavelengths beyond its own.

E-MILES starts at 63 Myr; its young extension (Asa'd et al. 2017) is on no package index. The SSPs of BC03-MILES stand
in (same family of isochrones and the same MILES stars), each metallicity multiplied by the ratio of the two
libraries' time-averaged light at 5300-5500 AA over 63-200 Myr, where both exist. The factor carries the IMFs'
difference in mass-to-light ratio.

Light that a library lacks at its own ages, because it ends inside the photometric range or above the Lyman limit
(MILES, XSL) or because its authors left it out (E-MILES has zeros beyond 8951 AA below 80 to 250 Myr), is the
stand-in's of the same age and metallicity, scaled to the SSP's own light in the 200 AA beside the gap.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.training.libraries.age_grid import averaging_matrix, interpolation_matrix
from napari_sfh.training.libraries.ssp_library import SspLibrary, make_ssp_library

#: Ages in Gyr over which the two libraries are compared.
JOIN_GYR: tuple[float, float] = (0.0631, 0.2)
#: Window in Angstrom in which they are compared.
JOIN_WINDOW_AA: tuple[float, float] = (5300.0, 5500.0)
#: A library whose youngest age in Gyr is above this, or that does not cover this range in Angstrom, is completed.
YOUNGEST_AGE_NEEDED_GYR: float = 0.0015
EXTENSION_RANGE_AA: tuple[float, float] = (500.0, 56000.0)
#: Range in Angstrom in which SSPs that are dark are counted.
PHOTOMETRIC_RANGE_AA: tuple[float, float] = (1900.0, 10500.0)
_SCALING_WIDTH_AA = 200.0


def needs_extension(library: SspLibrary) -> bool:
    """Whether a library lacks the young stars that ionise gas and dominate the blue, or light that is needed."""
    lacks_light = library.wave_aa[0] > EXTENSION_RANGE_AA[0] or library.wave_aa[-1] < EXTENSION_RANGE_AA[1]
    photometric = (library.wave_aa > PHOTOMETRIC_RANGE_AA[0]) & (library.wave_aa < PHOTOMETRIC_RANGE_AA[1])
    has_zeros = np.any(library.spectrum[..., photometric] <= 0)
    return bool(lacks_light or has_zeros or library.age_gyr[0] > YOUNGEST_AGE_NEEDED_GYR)


def measure_join_factors(library: SspLibrary, stand_in: SspLibrary) -> NDArray[np.float64]:
    """Ratio library / stand-in of light at 5300-5500 AA over `JOIN_GYR`, shape (Z,) on the library's
    metallicities.

    Parameters
    ----------
    library : SspLibrary
        Without young stars.
    stand_in : SspLibrary
        The library whose young stars it gets.

    Raises
    ------
    SfhInputError
        Where the library has no ages in that range.
    """
    lo, hi = JOIN_GYR
    if np.sum((library.age_gyr >= lo * 0.999) & (library.age_gyr <= hi * 1.001)) < 2:
        raise SfhInputError(
            f"{library.name}: fewer than two ages within {lo * 1e3:.0f}-{hi * 1e3:.0f} Myr; it cannot be joined to "
            f"{stand_in.name}, give a library with young ages"
        )
    ours, theirs = (
        _mean_window_light(one) @ averaging_matrix(one.age_gyr, np.array(JOIN_GYR))[0] for one in (library, stand_in)
    )
    index, share = find_bracket(stand_in.mh, library.mh)
    return ours / (theirs[index] * (1 - share) + theirs[index + 1] * share)


def _mean_window_light(library: SspLibrary) -> NDArray[np.float64]:
    inside = (library.wave_aa >= JOIN_WINDOW_AA[0]) & (library.wave_aa <= JOIN_WINDOW_AA[1])
    return np.asarray(library.spectrum[..., inside], dtype=np.float64).mean(-1)


def extend_library(library: SspLibrary, stand_in: SspLibrary) -> SspLibrary:
    """``library`` with the scaled light of ``stand_in`` below its first age and beyond its wavelengths.

    Parameters
    ----------
    library : SspLibrary
        Complete in [M/H]; what it lacks of ages and wavelengths is added.
    stand_in : SspLibrary
        BC03-MILES: reaches from 0.1 Myr on and from 90 AA to the infrared.

    Returns
    -------
    SspLibrary
        On the metallicities of ``library``; what was done stands in its ``notes``.

    Raises
    ------
    SfhInputError
        Where young ages are missing and the two cannot be compared, see `measure_join_factors`.
    """
    late = library.age_gyr[0] > YOUNGEST_AGE_NEEDED_GYR
    factor = measure_join_factors(library, stand_in) if late else np.ones(library.mh.size)
    younger = (stand_in.age_gyr < library.age_gyr[0] * 0.999) & late
    bluer = stand_in.wave_aa < library.wave_aa[0] - 1.0
    redder = stand_in.wave_aa > library.wave_aa[-1] + 1.0
    wave = np.concatenate([stand_in.wave_aa[bluer], library.wave_aa, stand_in.wave_aa[redder]])
    ages = np.concatenate([stand_in.age_gyr[younger], library.age_gyr])
    theirs = _interpolate_spectra(stand_in, library.mh, ages, wave)
    own = np.zeros((library.mh.size, library.age_gyr.size, wave.size))
    own[..., bluer.sum() : wave.size - redder.sum()] = library.spectrum
    filled, count = _fill_dark_wavelengths(own, theirs[:, younger.sum() :], wave, library.name)
    notes = []
    if late:
        values = ", ".join(f"{f:.3f} at [M/H] {z:+.2f}" for f, z in zip(factor, library.mh))
        notes.append(f"joined to {stand_in.name} below {library.age_gyr[0] * 1e3:.1f} Myr, factors {values}")
    if count:
        lo, hi = PHOTOMETRIC_RANGE_AA
        notes.append(f"{count} SSPs, dark in a part of {lo:.0f}-{hi:.0f} AA, filled from {stand_in.name}")
    completed = make_ssp_library(
        library.name,
        isochrones=_joined_isochrones(library, stand_in, late),
        imf=library.imf,
        citation=library.citation,
        age_gyr=ages,
        mh=library.mh,
        wave_aa=wave,
        fwhm_aa=np.concatenate([stand_in.fwhm_aa[bluer], library.fwhm_aa, stand_in.fwhm_aa[redder]]),
        spectrum=np.concatenate([theirs[:, : younger.sum()] * factor[:, None, None], filled], axis=1),
        notes=(*library.notes, *notes),
    )
    return replace(completed, medium=library.medium)


def _joined_isochrones(library: SspLibrary, stand_in: SspLibrary, joined: bool) -> str:
    if not joined:
        return library.isochrones
    return f"{library.isochrones}; {stand_in.isochrones} below {library.age_gyr[0] * 1e3:.0f} Myr"


def _interpolate_spectra(
    library: SspLibrary, mh: NDArray[np.float64], age_gyr: NDArray[np.float64], wave_aa: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spectra (len(mh), len(age_gyr), len(wave_aa)) of a library at other metallicities, ages and wavelengths."""
    in_mh = interpolation_matrix(library.mh, mh)
    in_age = interpolation_matrix(np.log10(library.age_gyr), np.log10(age_gyr))
    light = np.einsum("yz,at,ztn->yan", in_mh, in_age, library.spectrum, optimize=True)
    return np.asarray(CubicSpline(library.wave_aa, light, axis=-1)(wave_aa))


def _fill_dark_wavelengths(
    own: NDArray[np.float64], theirs: NDArray[np.float64], wave_aa: NDArray[np.float64], name: str
) -> tuple[NDArray[np.float64], int]:
    """``own`` spectra (Z, T, n) with ``theirs`` where they have no light, and how many lacked photometric light."""
    out = own.copy()
    photometric = (wave_aa > PHOTOMETRIC_RANGE_AA[0]) & (wave_aa < PHOTOMETRIC_RANGE_AA[1])
    for z, t in np.ndindex(own.shape[:2]):
        lit = np.flatnonzero(own[z, t] > 0)
        first, last = lit[0], lit[-1]
        if lit.size < last - first + 1:
            raise SfhInputError(f"{name}: an SSP has no light at some wavelengths between others; the file is damaged")
        for gap, edge in ((slice(0, first), first), (slice(last + 1, None), last)):
            beside = (np.abs(wave_aa - wave_aa[edge]) < _SCALING_WIDTH_AA) & (own[z, t] > 0)
            out[z, t, gap] = theirs[z, t, gap] * (own[z, t, beside].mean() / theirs[z, t, beside].mean())
    return out, int(np.sum(np.any(own[..., photometric] <= 0, axis=-1)))
