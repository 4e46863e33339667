"""Galaxies of one metallicity and their mass percentiles, after Iglesias-Navarro (2023, MSc thesis, La Laguna).

Histories are Gaussian-process ones (Iyer et al. 2019; Dirichlet concentration 1) on 1 000 steps of cosmic time over
13.47 Gyr; each is given 15 metallicities, even from -2.3 to 0.4 and constant in time. A spectrum is the sum of the SSPs
of one library, linear in age and in [M/H], over the mass formed; over its median; without noise, dust or gas. Labels
are the cosmic times in Gyr at which 10, 20 ... 90 % of the mass had formed, and [M/H].

Ours where the text is silent: log10 of the present specific rate is even from -16 (nothing forms) to -8.5 /yr.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.ages import UNIVERSE_GYR
from napari_sfh.physics.formation import FORMATION_PERCENTS, FORMED_FRACTIONS, compute_formation_times
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broaden_spectra, extra_sigma
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries.age_grid import interpolation_matrix
from napari_sfh.training.libraries.ssp_library import SspLibrary
from napari_sfh.training.prior.star_formation import SFH_FAMILIES
from napari_sfh.types import F32, F64

#: Steps of cosmic time.
STEPS = 1000
#: Range of the library, and that of the SDSS stacks with the dispersion to which the thesis brings them (section 4.3).
THESIS_RANGE_AA, STACK_RANGE_AA, STACK_SIGMA_KMS = (3540.0, 7410.0), (4023.0, 6000.0), 320.0
#: Metallicities of every history, dex.
MH_VALUES: F64 = np.linspace(-2.3, 0.4, 15)
#: Names of the labels.
LABELS: tuple[str, ...] = (*(f"t{percent}" for percent in FORMATION_PERCENTS), "mh")
_LG_SSFR = (-16.0, -8.5)
_ALPHA = 1.0


@dataclass(frozen=True)
class PercentileGalaxies:
    """N galaxies: K histories, each at every metallicity. Spectra are made when they are asked for."""

    weights: F32  # (K, T) mass formed at the library's ages
    spectra_of_mh: F32  # (M, T, W) SSPs at `MH_VALUES`
    times_gyr: F32  # (K, 9)
    wave_aa: F64  # (W,)
    ages_gyr: F64  # (T,) of the library
    formed: F32  # (K, S + 1) share of the mass that is older than each of S + 1 even lookback times

    @property
    def n(self) -> int:
        """Number of galaxies."""
        return len(self.weights) * len(self.spectra_of_mh)

    def labels(self, rows: NDArray[np.integer]) -> F32:
        """Labels (n, 10) of galaxies: times in Gyr and [M/H]."""
        history, metal = np.divmod(rows, len(self.spectra_of_mh))
        return np.column_stack([self.times_gyr[history], MH_VALUES[metal]]).astype(np.float32)

    def spectra(self, rows: NDArray[np.integer]) -> F32:
        """Noiseless spectra (n, W) over their medians."""
        history, metal = np.divmod(rows, len(self.spectra_of_mh))
        out = np.empty((len(rows), self.wave_aa.size), np.float32)
        for k in np.unique(metal):
            mine = np.flatnonzero(metal == k)
            out[mine] = self.weights[history[mine]] @ self.spectra_of_mh[k]
        out /= np.median(out, axis=1, keepdims=True)
        return out


def reconstruct_from_percentiles(galaxies: PercentileGalaxies, times_gyr: NDArray[np.floating], mh: float) -> F32:
    """Spectrum of nine populations of equal mass.

    Parameters
    ----------
    galaxies : PercentileGalaxies
    times_gyr : array (9,)
        Cosmic times of their birth, Gyr.
    mh : float
        [M/H] of all.

    Returns
    -------
    array (W,)
        Over its median.
    """
    ages = interpolation_matrix(galaxies.ages_gyr, np.clip(UNIVERSE_GYR - np.asarray(times_gyr), 0.0, UNIVERSE_GYR))
    metals = interpolation_matrix(MH_VALUES, np.array([np.clip(mh, MH_VALUES[0], MH_VALUES[-1])]))
    out = np.einsum("m,t,mtw->w", metals[0], ages.mean(0), galaxies.spectra_of_mh, optimize=True)
    return np.asarray(out / np.median(out), np.float32)


def make_percentile_galaxies(
    library: SspLibrary,
    n_histories: int,
    seed: int,
    range_aa: tuple[float, float] = THESIS_RANGE_AA,
    sigma_kms: float = 0.0,
) -> PercentileGalaxies:
    """Draw histories and prepare a library for them.

    Parameters
    ----------
    library : SspLibrary
        As its authors ship it: its own ages and metallicities, without extension.
    n_histories : int
    seed : int
    range_aa : (float, float)
        Of the spectra, in air.
    sigma_kms : float
        Dispersion to which they are broadened from the library's resolution; 0 leaves them at that.
    """
    rng = np.random.default_rng([seed, 51])
    edges = np.linspace(0.0, UNIVERSE_GYR, STEPS + 1)  # lookback time
    lg_ssfr = rng.uniform(*_LG_SSFR, n_histories)
    draws = {"alpha": np.full(n_histories, _ALPHA), "lg_ssfr": lg_ssfr}
    formed = SFH_FAMILIES["gp"].formed(rng, edges, draws, UNIVERSE_GYR)
    ages = interpolation_matrix(library.age_gyr, 0.5 * (edges[1:] + edges[:-1]))
    kept = (library.wave_aa >= range_aa[0]) & (library.wave_aa <= range_aa[1])
    metals = interpolation_matrix(library.mh, MH_VALUES)
    spectrum = library.spectrum[..., kept]
    if sigma_kms > 0:
        wave_aa = library.wave_aa[kept]
        own = np.nan_to_num(library.fwhm_aa[kept]) / FWHM_PER_SIGMA
        extra, _ = extra_sigma(own, sigma_kms / C_KMS * wave_aa)
        spectrum = broaden_spectra(spectrum, wave_aa, extra)
    light = np.einsum("mz,ztn->mtn", metals, spectrum, optimize=True)
    weights = np.maximum(formed[:, :-1] - formed[:, 1:], 0.0) @ ages
    return PercentileGalaxies(
        weights=weights.astype(np.float32),
        spectra_of_mh=light.astype(np.float32),
        times_gyr=(UNIVERSE_GYR - compute_formation_times(formed, FORMED_FRACTIONS, edges)).astype(np.float32),
        wave_aa=library.wave_aa[kept],
        ages_gyr=np.asarray(library.age_gyr, float),
        formed=formed.astype(np.float32),
    )
