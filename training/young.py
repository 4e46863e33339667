"""Completing a library by BC03-MILES: young ages, and wavelengths beyond its own.

E-MILES starts at 63 Myr; its young extension (Asa'd et al. 2017) is on no package index. The SSPs of BC03-MILES stand
in (same family of isochrones and the same MILES stars), each metallicity multiplied by the ratio of the two libraries'
time-averaged light at 5300-5500 AA over 63-200 Myr, where both exist. The factor carries the IMFs' difference in
mass-to-light ratio.

A library that ends inside the photometric range or above the Lyman limit (MILES, XSL) gets the stand-in's light of
the same age and metallicity there, scaled to each SSP at 5300-5500 AA. A library without ages at the join, but with
wavelengths missing only, is completed in the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.basis import bracket
from napari_sfh.physics.wavelength import NORM_WINDOW_AA
from napari_sfh.training.agegrid import averaging_matrix, interpolation_matrix
from napari_sfh.training.libraries import Library, make_library

#: Ages in Gyr over which the two libraries are compared.
JOIN_GYR: tuple[float, float] = (0.0631, 0.2)
#: A library whose youngest age in Gyr is above this, or that does not cover this range in Angstrom, is completed.
NEEDED_FROM_GYR: float = 0.0015
NEEDED_AA: tuple[float, float] = (500.0, 10500.0)


def needs_extension(library: Library) -> bool:
    """Whether a library lacks the young stars that ionise gas and dominate the blue, or light that is needed."""
    lacks_light = library.wave_aa[0] > NEEDED_AA[0] or library.wave_aa[-1] < NEEDED_AA[1]
    return bool(lacks_light or library.age_gyr[0] > NEEDED_FROM_GYR)


def join_factors(library: Library, stand_in: Library) -> NDArray[np.float64]:
    """Ratio library / stand-in of light at 5300-5500 AA over `JOIN_GYR`, shape (Z,) on the library's
    metallicities.

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
    ours, theirs = (_window(one) @ averaging_matrix(one.age_gyr, np.array(JOIN_GYR))[0] for one in (library, stand_in))
    index, share = bracket(stand_in.mh, library.mh)
    return ours / (theirs[index] * (1 - share) + theirs[index + 1] * share)


def _window(library: Library) -> NDArray[np.float64]:
    inside = (library.wave_aa >= NORM_WINDOW_AA[0]) & (library.wave_aa <= NORM_WINDOW_AA[1])
    return np.asarray(library.spectrum[..., inside], dtype=np.float64).mean(-1)


def extend(library: Library, stand_in: Library) -> Library:
    """``library`` with the scaled light of ``stand_in`` below its first age and beyond its wavelengths.

    Raises
    ------
    SfhInputError
        Where young ages are missing and the two cannot be compared, see `join_factors`.
    """
    younger = stand_in.age_gyr < library.age_gyr[0] * 0.999
    notes: tuple[str, ...] = ()
    factor = np.ones(library.mh.size)
    if library.age_gyr[0] > NEEDED_FROM_GYR:
        factor = join_factors(library, stand_in)
        values = ", ".join(f"{f:.3f} at [M/H] {z:+.2f}" for f, z in zip(factor, library.mh))
        notes = (f"joined to {stand_in.name} below {library.age_gyr[0] * 1e3:.1f} Myr, factors {values}",)
    else:
        younger[:] = False
    theirs = _at_metallicities(stand_in, library.mh)
    young = theirs[:, younger] * factor[:, None, None]
    bluer = stand_in.wave_aa < library.wave_aa[0] - 1.0
    redder = stand_in.wave_aa > library.wave_aa[-1] + 1.0
    outside = bluer | redder
    if outside.any():
        notes += (f"{stand_in.name} beyond {library.wave_aa[0]:.0f}-{library.wave_aa[-1]:.0f} AA",)
    on_grid = CubicSpline(stand_in.wave_aa, young, axis=-1)(library.wave_aa)
    own = np.concatenate([on_grid, library.spectrum], axis=1)
    theirs = np.concatenate([young, _scaled_to(library, stand_in, theirs)], axis=1)
    return make_library(
        library.name,
        isochrones=_isochrones(library, stand_in, bool(younger.any())),
        imf=library.imf,
        citation=library.citation,
        age_gyr=np.concatenate([stand_in.age_gyr[younger], library.age_gyr]),
        mh=library.mh,
        wave_aa=np.concatenate([stand_in.wave_aa[bluer], library.wave_aa, stand_in.wave_aa[redder]]),
        fwhm_aa=np.concatenate([stand_in.fwhm_aa[bluer], library.fwhm_aa, stand_in.fwhm_aa[redder]]),
        spectrum=np.concatenate([theirs[..., bluer], own, theirs[..., redder]], axis=-1),
        notes=(*library.notes, *notes),
    )


def _isochrones(library: Library, stand_in: Library, joined: bool) -> str:
    if not joined:
        return library.isochrones
    return f"{library.isochrones}; {stand_in.isochrones} below {library.age_gyr[0] * 1e3:.0f} Myr"


def _at_metallicities(library: Library, mh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spectra (len(mh), T, n) of a library at other metallicities."""
    index, share = bracket(library.mh, mh)
    lower, upper = library.spectrum[index], library.spectrum[index + 1]
    return np.asarray(lower * (1 - share)[:, None, None] + upper * share[:, None, None], dtype=np.float64)


def _scaled_to(library: Library, stand_in: Library, theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The stand-in at the library's ages (Z, T, n), each with the light of the library's SSP in the window."""
    at_ages = interpolation_matrix(np.log10(stand_in.age_gyr), np.log10(library.age_gyr))
    light = np.einsum("tk,zkn->ztn", at_ages, theirs, optimize=True)
    inside = (stand_in.wave_aa >= NORM_WINDOW_AA[0]) & (stand_in.wave_aa <= NORM_WINDOW_AA[1])
    return light * (_window(library) / light[..., inside].mean(-1))[..., None]
