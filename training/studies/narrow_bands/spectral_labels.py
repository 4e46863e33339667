"""Light-weighted age and [M/H] of spectra by fitting them with single populations: labels as an observer has them.

Non-negative sums of a library's populations behind one of a few power-law screens; the best screen counts. Weights are
those of the light in the spectra's window, so that the means are light-weighted there. Liew-Cain et al. (2021, MNRAS
502, 1355) have theirs from STECKMAP: another fitter, but as here the labels are a function of the spectrum that the
bands are cut from, noise included, and no truth.
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

#: Ages in Gyr between which populations are taken, their number, and that of metallicities.
AGE_RANGE_GYR = (0.063, 13.5)
_N_AGE, _N_MH = 14, 4
_EBV = (0.0, 0.08, 0.18, 0.3, 0.5, 0.8)


@dataclass(frozen=True)
class PopulationGrid:
    """K populations behind E screens, ready to be fitted to spectra of one grid."""

    lg_age: F64  # (K,) log10 yr
    mh: F64  # (K,) dex
    bases: tuple[F64, ...]  # per screen, orthonormal (W, K)
    roots: tuple[F64, ...]  # per screen, upper triangular (K, K): design = basis @ root


def build_population_grid(t: Templates) -> PopulationGrid:
    """Populations of a library even in log age and in metallicity, each over its mean in the instrument's window."""
    middle = 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])
    wanted = np.geomspace(*AGE_RANGE_GYR, _N_AGE)
    ages = np.unique([int(np.argmin(np.abs(np.log(middle / age)))) for age in wanted])
    metals = np.unique(np.linspace(0, len(t.mh) - 1, _N_MH).round().astype(int))
    design = t.spectrum[np.ix_(metals, ages)].reshape(-1, t.wave_aa.size).astype(np.float64)
    design = (design / design[:, t.instrument.norm_pixels].mean(1, keepdims=True)).T
    screens = [dust_transmission(t.wave_aa, float(tau_from_ebv(ebv))) for ebv in _EBV]
    pairs = [
        qr(design * screen[:, None] / screen[t.instrument.norm_pixels].mean(), mode="economic") for screen in screens
    ]
    return PopulationGrid(
        lg_age=np.tile(np.log10(middle[ages]) + 9.0, len(metals)),
        mh=np.repeat(t.mh[metals], len(ages)),
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
    best, weights = np.full(len(spectra), np.inf), np.zeros((len(spectra), grid.lg_age.size))
    for basis, root in zip(grid.bases, grid.roots, strict=True):
        projected = spectra @ basis
        beyond = (spectra**2).sum(1) - (projected**2).sum(1)  # what no population can make
        for k, wanted in enumerate(projected):
            found, misfit = nnls(root, wanted)
            chi2 = misfit**2 + beyond[k]
            if chi2 < best[k]:
                best[k], weights[k] = chi2, found
    share = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    return np.asarray(share @ grid.lg_age, np.float32), np.asarray(share @ grid.mh, np.float32)
