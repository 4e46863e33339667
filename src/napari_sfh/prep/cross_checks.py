"""What a file's header says against what its spectra say: cheap checks that catch the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.prep.redshift import estimate_redshift
from napari_sfh.prep.spectra import BinSpectra, measure_variance

#: Differences of redshift that no rotation and no peculiar nucleus explains: 900 km/s.
REDSHIFT_TOLERANCE: float = 0.003
#: Ratio of the scatter of spectra to their errors beyond which one of them is wrong.
NOISE_RATIO: float = 5.0


def compare_redshifts(known: Mapping[str, float | None]) -> tuple[str, ...]:
    """Warn where two sources give redshifts that cannot both be right, with both numbers.

    Parameters
    ----------
    known : mapping
        Redshift of each source, the one that is used first; None where it says nothing.
    """
    given = {source: value for source, value in known.items() if value is not None}
    if not given:
        return ()
    used = next(iter(given))
    return tuple(
        f"redshift {given[used]:.5f} of {used} is used, but {source} has {value:.5f}: check which is right"
        for source, value in given.items()
        if abs(value - given[used]) > REDSHIFT_TOLERANCE
    )


def check_redshift(spectra: BinSpectra, basis: TemplateBasis | None, redshift: float, path: Path) -> tuple[str, ...]:
    """Warn where the brightest bin's own redshift is another than the one in use.

    Parameters
    ----------
    spectra : BinSpectra
    basis : TemplateBasis
    redshift : float
        In use.
    path : Path
        Of the cube.

    Returns
    -------
    tuple of str
        Empty where they agree, or where the spectrum or the weights' templates do not tell.
    """
    if basis is None:
        return ()
    try:
        measured, error = estimate_redshift(spectra, basis, path)
    except SfhInputError:
        return ()
    if abs(measured - redshift) <= max(REDSHIFT_TOLERANCE, 5 * error):
        return ()
    return (
        f"redshift {redshift:.5f} is used, but the spectrum of the brightest bin has {measured:.5f} +- {error:.5f}: "
        "the ages cannot be trusted before this is settled; give --redshift",
    )


def check_errors(spectra: BinSpectra) -> tuple[str, ...]:
    """Warn where spectra scatter much more, or much less, than their errors say."""
    if not spectra.from_variance or spectra.n_bins == 0:
        return ()
    light = np.where(spectra.good, spectra.flux, 0.0).sum(1)
    rows = np.argsort(-light)[: min(100, spectra.n_bins)]
    good = spectra.good[rows]
    measured = measure_variance(spectra.flux[rows], good)
    both = good & (measured > 0) & (spectra.variance[rows] > 0)
    if both.sum() < 100:
        return ()
    ratio = float(np.sqrt(np.median(measured[both] / spectra.variance[rows][both])))
    if 1 / NOISE_RATIO <= ratio <= NOISE_RATIO:
        return ()
    return (
        f"the spectra scatter {ratio:.2g} times as much as their errors say: S/N and binning follow the errors; check "
        "the unit and the meaning (variance, 1 sigma) of the error image",
    )
