"""Light-weighted age and [M/H] of spectra by fitting them with single populations: labels as an observer has them.

Non-negative sums of a library's populations, of all its metallicities, behind the power-law screen that fits best. The
screen is sought on a fine grid: with six screens and four metallicities the labels of noiseless spectra erred more than
twice as much. Weights are those of the light in the spectra's window, so that the means are light-weighted there.
Liew-Cain et al. (2021, MNRAS 502, 1355) have theirs from STECKMAP: another fitter, but as here the labels are a
function of the spectrum that the bands are cut from, noise included, and no truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import nnls

from napari_sfh.physics.dust import dust_transmission, tau_from_ebv
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.types import F32, F64

#: Ages in Gyr between which populations are taken, and their number.
AGE_RANGE_GYR = (0.063, 13.5)
_N_AGE = 14
#: E(B-V) of the screens; every so many are tried first, then around the best in steps that halve.
SCREENS_EBV: F64 = np.linspace(0.0, 1.0, 33)
_FIRST_STEP = 8


@dataclass(frozen=True)
class PopulationGrid:
    """K populations behind E screens, ready to be fitted to spectra of one grid."""

    lg_age: F64  # (K,) log10 yr
    mh: F64  # (K,) dex
    bases: tuple[F64, ...]  # per screen, orthonormal (W, K)
    roots: tuple[F64, ...]  # per screen, upper triangular (K, K): design = basis @ root


def build_population_grid(t: Templates) -> PopulationGrid:
    """Populations of a library even in log age, of every metallicity, each over its mean in the instrument's window."""
    middle = 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])
    wanted = np.geomspace(*AGE_RANGE_GYR, _N_AGE)
    ages = np.unique([int(np.argmin(np.abs(np.log(middle / age)))) for age in wanted])
    design = t.spectrum[:, ages].reshape(-1, t.wave_aa.size).astype(np.float64)
    design = (design / design[:, t.instrument.norm_pixels].mean(1, keepdims=True)).T
    screens = [dust_transmission(t.wave_aa, float(tau_from_ebv(ebv))) for ebv in SCREENS_EBV]
    pairs = [
        qr(design * screen[:, None] / screen[t.instrument.norm_pixels].mean(), mode="economic") for screen in screens
    ]
    return PopulationGrid(
        lg_age=np.tile(np.log10(middle[ages]) + 9.0, len(t.mh)),
        mh=np.repeat(t.mh, len(ages)),
        bases=tuple(basis for basis, _ in pairs),
        roots=tuple(root for _, root in pairs),
    )


def fit_light_weighted_means(flux: NDArray[np.floating], grid: PopulationGrid) -> tuple[F32, F32]:
    """Light-weighted means of spectra whose pixels have one error each.

    Parameters
    ----------
    flux : array (N, W)
    grid : PopulationGrid

    Returns
    -------
    lg_age : array (N,)
        log10 of yr.
    mh : array (N,)
        [M/H], dex.
    """
    spectra = np.asarray(flux, np.float64)
    power = (spectra**2).sum(1)
    projected = [spectra @ basis for basis in grid.bases]
    weights = np.zeros((len(spectra), grid.lg_age.size))
    for k in range(len(spectra)):
        weights[k] = _fit_best_screen([p[k] for p in projected], float(power[k]), grid)
    share = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    return np.asarray(share @ grid.lg_age, np.float32), np.asarray(share @ grid.mh, np.float32)


def _fit_best_screen(projected: list[F64], power: float, grid: PopulationGrid) -> F64:
    """Weights (K,) behind the best screen: of every `_FIRST_STEP`-th, then around it in steps that halve."""
    tried: dict[int, tuple[float, F64]] = {}

    def measure_misfit(screen: int) -> float:
        if screen not in tried:
            found, misfit = nnls(grid.roots[screen], projected[screen])
            beyond = power - float((projected[screen] ** 2).sum())  # what no population can make
            tried[screen] = (misfit**2 + beyond, found)
        return tried[screen][0]

    best = min(range(0, len(grid.roots), _FIRST_STEP), key=measure_misfit)
    step = _FIRST_STEP // 2
    while step:
        around = [k for k in (best - step, best, best + step) if 0 <= k < len(grid.roots)]
        best, step = min(around, key=measure_misfit), step // 2
    return tried[best][1]
