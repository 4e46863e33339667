"""Velocities and dispersions that somebody gave, against those of some bins' own spectra.

Maps that are transposed, mirrored, of the gas, of another redshift, in Angstrom or of the FWHM look like any others;
the spectra tell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.kinematics.stellar_kinematics import StellarKinematics
from napari_sfh.prep.spectra import BinSpectra

#: Bins that are fitted, fewest that tell anything, and the largest error of a fit that does.
_BINS, _FEWEST, _LARGEST_ERROR_KMS = 32, 5, 20.0
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
    ranked = np.argsort(-light)[: max(int((light > 0).sum()), 1)]
    rows = np.unique(ranked[np.linspace(0, ranked.size - 1, min(_BINS, ranked.size)).astype(int)])
    some = replace(spectra, **{k: getattr(spectra, k)[rows] for k in ("flux", "variance", "good")})
    try:
        fit = fit_fast_kinematics(make_log_spectra(some, redshift, basis, grid))
    except SfhInputError:
        return ()
    assert fit.v_error_kms is not None
    assert fit.sigma_error_kms is not None
    with np.errstate(invalid="ignore"):
        told = fit.measured & (fit.v_error_kms < _LARGEST_ERROR_KMS) & (fit.sigma_error_kms < _LARGEST_ERROR_KMS)
    if told.sum() < min(_FEWEST, spectra.n_bins):
        return ()
    off = (motion.v_kms[rows] - fit.v_kms)[told]
    scatter = float(np.median(np.abs(off - np.median(off))))
    given, own = float(np.median(motion.sigma_kms[rows][told])), float(np.median(fit.sigma_kms[told]))
    notes = []
    if scatter > _SCATTER_KMS:
        notes.append(
            f"the velocities that were given scatter by {scatter:.0f} km/s (median) about those of the spectra of "
            f"{off.size} bins: are the maps transposed or mirrored, of the gas, or of another galaxy? "
            "Give `kinematics` fast"
        )
    ratio = given / max(own, 1.0)
    if not 1 / _SIGMA_RATIO < ratio < _SIGMA_RATIO and abs(given**2 - own**2) > _SIGMA_KMS**2:
        what = "a width in Angstrom" if given < _ANGSTROM else "a FWHM, or not corrected for the instrument"
        notes.append(
            f"the dispersions that were given are {given:.3g} km/s (median), those of the spectra {own:.0f} km/s: are "
            f"they {what}? Ages and metallicities follow them; give `kinematics` fast"
        )
    return tuple(notes)
