"""Velocities and dispersions that somebody gave, against those of some bins' own spectra.

Maps that are transposed, mirrored, of the gas, of another redshift, in Angstrom or of the FWHM look like any others;
the spectra tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.kinematics.stellar_kinematics import StellarKinematics
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F64

#: Bins that are fitted, fewest that tell anything, and the largest error of a fit that does.
_BINS, _FEWEST, _LARGEST_ERROR_KMS = 32, 5, 20.0
#: Groups into which bins are summed where single ones are too faint to tell.
_GROUPS = 10
#: Scatter of velocities about their common offset, which `prep.cross_checks` judges; 75 km/s move ages by 0.1 dex.
_SCATTER_KMS = 40.0
#: Ratios of dispersions, and their difference in quadrature, beyond which metallicities are off by 0.1 dex.
_SIGMA_RATIO, _SIGMA_KMS = 2.0, 45.0
#: Dispersions that no field of stars has, but widths in Angstrom.
_ANGSTROM = 8.0


def check_given_kinematics(
    spectra: BinSpectra, basis: TemplateBasis | None, grid: SpectrumGrid, redshift: float, motion: StellarKinematics
) -> tuple[str, ...]:
    """Warn where velocities or dispersions that were given are not those of the spectra, with both numbers.

    Parameters
    ----------
    spectra : BinSpectra
        N bins.
    basis : TemplateBasis
        None: nothing is said.
    grid : SpectrumGrid
        Of the basis.
    redshift : float
    motion : StellarKinematics
        As given, of the N bins.

    Returns
    -------
    tuple of str
        Empty where they agree, or where too few spectra tell.
    """
    if basis is None:
        return ()
    light = np.where(spectra.good, spectra.flux, 0.0).sum(1)
    what, enough = "bins", min(_FEWEST, spectra.n_bins)
    pairs = _fit_pairs(*_choose_bins(spectra, motion, light), basis, grid, redshift)
    if pairs is None or pairs.v_given.size < enough:
        what = f"groups of the {spectra.n_bins} bins, of one velocity each"
        pairs = _fit_pairs(*_sum_groups(spectra, motion, light), basis, grid, redshift)
        if pairs is None or pairs.v_given.size < enough:
            return ()
    off = pairs.v_given - pairs.v_fit
    scatter = float(np.median(np.abs(off - np.median(off))))
    given, own = float(np.median(pairs.sigma_given)), float(np.median(pairs.sigma_fit))
    notes = []
    if scatter > _SCATTER_KMS:
        notes.append(
            f"the velocities that were given scatter by {scatter:.0f} km/s (median) about those of the spectra of "
            f"{off.size} {what}: are the maps transposed or mirrored, of the gas, or of another galaxy? "
            "Give `kinematics` fast"
        )
    if notes and what != "bins":
        return tuple(notes)  # groups of other velocities than they were given have no dispersion of their own
    ratio = given / max(own, 1.0)
    if not 1 / _SIGMA_RATIO < ratio < _SIGMA_RATIO and abs(given**2 - own**2) > _SIGMA_KMS**2:
        meant = "a width in Angstrom" if given < _ANGSTROM else "a FWHM, or not corrected for the instrument"
        notes.append(
            f"the dispersions that were given are {given:.3g} km/s (median), those of the spectra {own:.0f} km/s: are "
            f"they {meant}? Ages and metallicities follow them; give `kinematics` fast"
        )
    return tuple(notes)


class _Pairs(NamedTuple):
    """Velocities and dispersions (M,) in km/s, as given and as fitted, of spectra that tell both."""

    v_given: F64
    sigma_given: F64
    v_fit: F64
    sigma_fit: F64


def _fit_pairs(
    spectra: BinSpectra, v_kms: F64, sigma_kms: F64, basis: TemplateBasis, grid: SpectrumGrid, redshift: float
) -> _Pairs | None:
    """Pairs of M spectra; None where no fit is possible."""
    try:
        fit = fit_fast_kinematics(make_log_spectra(spectra, redshift, basis, grid))
    except SfhInputError:
        return None
    assert fit.v_error_kms is not None
    assert fit.sigma_error_kms is not None
    with np.errstate(invalid="ignore"):
        told = fit.measured & (fit.v_error_kms < _LARGEST_ERROR_KMS) & (fit.sigma_error_kms < _LARGEST_ERROR_KMS)
    return _Pairs(*(np.asarray(a, np.float64)[told] for a in (v_kms, sigma_kms, fit.v_kms, fit.sigma_kms)))


def _choose_bins(spectra: BinSpectra, motion: StellarKinematics, light: F64) -> tuple[BinSpectra, F64, F64]:
    """Some bins, from the brightest to the faintest, with the velocities and dispersions that were given."""
    ranked = np.argsort(-light)[: max(int((light > 0).sum()), 1)]
    rows = np.unique(ranked[np.linspace(0, ranked.size - 1, min(_BINS, ranked.size)).astype(int)])
    some = replace(spectra, **{k: getattr(spectra, k)[rows] for k in ("flux", "variance", "good")})
    return some, motion.v_kms[rows], motion.sigma_kms[rows]


def _sum_groups(spectra: BinSpectra, motion: StellarKinematics, light: F64) -> tuple[BinSpectra, F64, F64]:
    """Sums of bins that were given similar velocities, with the velocity and the dispersion that follow for each."""
    lit = np.flatnonzero(light > 0)
    groups = [g for g in np.array_split(lit[np.argsort(motion.v_kms[lit], kind="stable")], _GROUPS) if g.size]
    flux, variance, good, v, sigma = [], [], [], [], []
    for g in groups:
        used = spectra.good[g]
        filled = np.maximum(used.sum(0), 1)
        good.append(used.mean(0) > 0.5)
        flux.append(np.where(used, spectra.flux[g], 0).sum(0) / filled)
        variance.append(np.where(used, spectra.variance[g], 0).sum(0) / filled**2)
        v.append(np.average(motion.v_kms[g], weights=light[g]))
        spread = motion.sigma_kms[g] ** 2 + (motion.v_kms[g] - v[-1]) ** 2
        sigma.append(np.sqrt(np.average(spread, weights=light[g])))
    summed = replace(
        spectra, flux=np.array(flux, np.float32), variance=np.array(variance, np.float32), good=np.array(good)
    )
    return summed, np.array(v), np.array(sigma)
