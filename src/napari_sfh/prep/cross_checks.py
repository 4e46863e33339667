"""What a file's header says against what its spectra say: cheap checks that catch the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.redshift import estimate_redshift, measure_line_depth
from napari_sfh.prep.spectra import BinSpectra, measure_variance
from napari_sfh.types import F32, F64

#: Differences of redshift that no rotation and no peculiar nucleus explains: 900 km/s.
REDSHIFT_TOLERANCE: float = 0.003
#: Differences of velocity that move ages by 0.1 dex (75 km/s does so in noise-free spectra) where nobody fits it; and
#: between a fit's mean and the sum of all spectra (22 km/s in Abell 478, 9 in the mock; a false minimum has 200).
GIVEN_VELOCITY_KMS, FITTED_VELOCITY_KMS = 60.0, 75.0
#: Mean velocity of a field against its galaxy's redshift that rotation explains: half of a fast disc in the field.
ROTATION_KMS: float = 250.0
#: Depths of absorption lines over those of templates that stars have, whatever their ages.
LINE_DEPTH_RANGE: tuple[float, float] = (0.3, 2.2)
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


def check_against_templates(
    spectra: BinSpectra,
    basis: TemplateBasis | None,
    redshift: float,
    v_kms: F32,
    given: bool,
    path: Path,
    name: str = "",
) -> tuple[str, ...]:
    """Warn where the sum of all spectra has another redshift than the one in use, or lines that no stars have.

    Parameters
    ----------
    spectra : BinSpectra
    basis : TemplateBasis
    redshift : float
        In use.
    v_kms : array (N,)
        Of each bin, relative to the redshift.
    given : bool
        The velocities were not measured from these spectra, so that an error of redshift, wavelengths or velocities
        is nowhere made good.
    path : Path
        Of the cube.
    name : str
        Of a single spectrum; empty: they are a cube's.

    Returns
    -------
    tuple of str
        Empty where they agree, or where the spectrum or the weights' templates do not tell.
    """
    if basis is None:
        return ()
    try:
        summed, light = sum_all_bins(spectra)
        measured, error = estimate_redshift(summed, basis, path)
    except SfhInputError:
        return ()
    used_kms = float(np.average(np.nan_to_num(v_kms), weights=light))
    return (
        *_compare_velocity(measured, error, redshift, used_kms, given, name),
        *_compare_line_depth(measure_line_depth(summed, basis, measured)),
    )


def _compare_velocity(
    measured: float, error: float, redshift: float, used_kms: float, given: bool, name: str
) -> tuple[str, ...]:
    whose = name or "the sum of all spectra"
    own_kms = C_KMS * float(np.log1p(measured) - np.log1p(redshift))
    if abs(measured - redshift) > max(REDSHIFT_TOLERANCE, 5 * error):
        return (
            f"redshift {redshift:.5f} is used, but {whose} has {measured:.5f} +- {error:.5f}: "
            "the ages cannot be trusted before this is settled; give `redshift`",
        )
    tolerance = max(GIVEN_VELOCITY_KMS if given else FITTED_VELOCITY_KMS, 5 * error * C_KMS)
    if abs(own_kms - used_kms) <= tolerance:
        if given or abs(own_kms) <= ROTATION_KMS:
            return ()
        return (
            f"the spectra move at {own_kms:+.0f} km/s against redshift {redshift:.5f}: the fitted velocities make it "
            f"good, but the redshift of {whose} is {measured:.5f}: check which is the galaxy's",
        )
    kind = "given" if given else "fitted"
    return (
        f"{whose} moves at {own_kms:+.0f} km/s against redshift {redshift:.5f}, not at the "
        f"{used_kms:+.0f} km/s that were {kind}: redshift, velocity or wavelengths are off, and so are the ages; give "
        f"`redshift` {measured:.5f}" + (", or `kinematics` fast" if given and not name else ""),
    )


def _compare_line_depth(depth: tuple[float, float] | None) -> tuple[str, ...]:
    if depth is None or (depth[1] > LINE_DEPTH_RANGE[0] and depth[0] < LINE_DEPTH_RANGE[1]):
        return ()
    weak = depth[1] <= LINE_DEPTH_RANGE[0]
    why = "light without lines was added (night sky, an active nucleus)" if weak else "too much sky was subtracted"
    return (
        f"the absorption lines are {depth[1] if weak else depth[0]:.2g} times as deep as those of stars: {why}, and "
        "the ages follow it; check the sky subtraction",
    )


def sum_all_bins(spectra: BinSpectra) -> tuple[BinSpectra, F64]:
    """All bins as one spectrum, channels scaled for the light of bins that are bad there; and each bin's light (N,).

    Raises
    ------
    SfhInputError
        No bin has any light.
    """
    light = np.where(spectra.good, spectra.flux, 0.0).sum(1, dtype=np.float64).clip(0.0)
    if not light.sum() > 0:
        raise SfhInputError("no bin has any light; check DATA")
    kept = light @ spectra.good / light.sum()
    good = kept > 0.5
    scale = np.divide(1.0, kept, out=np.zeros_like(kept), where=good)
    flux = np.where(spectra.good, spectra.flux, 0.0).sum(0, dtype=np.float64) * scale
    variance = np.where(spectra.good, spectra.variance, 0.0).sum(0, dtype=np.float64) * scale**2
    one = replace(
        spectra,
        flux=flux.astype(np.float32)[None],
        variance=variance.astype(np.float32)[None],
        good=(good & (variance > 0))[None],
    )
    return one, light


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
    variances = spectra.variance[rows][both].astype(np.float64)  # of a wrong unit, they may leave single precision
    ratio = float(np.sqrt(np.median(measured[both] / variances)))
    if 1 / NOISE_RATIO <= ratio <= NOISE_RATIO:
        return ()
    return (
        f"the spectra scatter {ratio:.2g} times as much as their errors say: S/N and binning follow the errors; check "
        "the unit and the meaning (variance, 1 sigma) of the error image",
    )
