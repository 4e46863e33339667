"""Young ages for a library that starts late: BC03-MILES below its first age, scaled to it.

E-MILES starts at 63 Myr; its young extension (Asa'd et al. 2017) is on no package index. The SSPs of
BC03-MILES stand in (same family of isochrones and the same MILES stars), each metallicity multiplied by the
ratio of the two libraries' time-averaged light at 5300-5500 AA over 63-200 Myr, where both exist. The
factor carries the IMFs' difference in mass-to-light ratio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.basis import bracket
from napari_sfh.physics.wavelength import NORM_WINDOW_AA
from napari_sfh.training.agegrid import averaging_matrix
from napari_sfh.training.libraries import Library, make_library

#: Ages in Gyr over which the two libraries are compared.
JOIN_GYR: tuple[float, float] = (0.0631, 0.2)
#: A library that starts later than this is extended.
NEEDED_FROM_GYR: float = 0.0065


def needs_extension(library: Library) -> bool:
    """Whether a library lacks the young stars that ionise gas and dominate the blue."""
    return bool(library.age_gyr[0] > NEEDED_FROM_GYR)


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
    """``library`` with the scaled SSPs of ``stand_in`` below its first age, ionising light included."""
    factor = join_factors(library, stand_in)
    younger = stand_in.age_gyr < library.age_gyr[0] * 0.999
    index, share = bracket(stand_in.mh, library.mh)
    part = stand_in.spectrum[:, younger]
    young = part[index] * (1 - share)[:, None, None] + part[index + 1] * share[:, None, None]
    young = young * factor[:, None, None]
    bluer = stand_in.wave_aa < library.wave_aa[0] - 1.0
    wave = np.concatenate([stand_in.wave_aa[bluer], library.wave_aa])
    on_grid = CubicSpline(stand_in.wave_aa, young, axis=-1)(library.wave_aa)
    light = np.zeros((library.mh.size, younger.sum() + library.age_gyr.size, wave.size), dtype=np.float32)
    light[:, : younger.sum()] = np.concatenate([young[..., bluer], on_grid], axis=-1)
    light[:, younger.sum() :, bluer.sum() :] = library.spectrum
    note = f"joined to {stand_in.name} below {library.age_gyr[0] * 1e3:.1f} Myr, factors " + ", ".join(
        f"{f:.3f} at [M/H] {z:+.2f}" for f, z in zip(factor, library.mh)
    )
    return make_library(
        library.name,
        isochrones=f"{library.isochrones}; {stand_in.isochrones} below {library.age_gyr[0] * 1e3:.0f} Myr",
        imf=library.imf,
        citation=library.citation,
        age_gyr=np.concatenate([stand_in.age_gyr[younger], library.age_gyr]),
        mh=library.mh,
        wave_aa=wave,
        fwhm_aa=np.concatenate([stand_in.fwhm_aa[bluer], library.fwhm_aa]),
        spectrum=light,
        notes=(*library.notes, note),
    )
