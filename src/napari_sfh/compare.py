"""Two answers for the same bins, held against each other: bias, scatter, and a known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.means import MEAN_NAMES, four_means
from napari_sfh.types import F64, BinMap, Flag, Result, SpaxelTruth

#: Share of a foreground star in a bin's light up to which the bin is held against the galaxy's truth.
MAX_STAR = 0.02


@dataclass(frozen=True)
class Scatter:
    """Differences ``found - reference`` of n pairs: median, standard deviation, 1.4826 x median absolute deviation."""

    bias: float
    std: float
    nmad: float
    n: int


def scatter(found: NDArray[np.floating], reference: NDArray[np.floating]) -> Scatter:
    """Bias (median), std and NMAD of ``found - reference`` over the pairs in which both are finite.

    All NaN with ``n`` = 0 where no pair is finite.
    """
    difference = np.asarray(found, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    if difference.size == 0:
        return Scatter(np.nan, np.nan, np.nan, 0)
    median = float(np.median(difference))
    nmad = 1.4826 * float(np.median(np.abs(difference - median)))
    return Scatter(median, float(np.std(difference)), nmad, int(difference.size))


@dataclass(frozen=True)
class Truth:
    """The truth of N bins: 16-vectors and the four means (keys of `physics.means.MEAN_NAMES`)."""

    mass_frac: F64  # (N, 16)
    light_frac: F64  # (N, 16)
    mh: F64  # (N, 16)
    means: Mapping[str, F64]  # (N,) each
    star: F64  # (N,) mean share of light that is a foreground star's, of which the truth knows nothing


def bin_truth(truth: SpaxelTruth, bins: BinMap) -> Truth:
    """Sum a mock's truth over the spaxels of each bin.

    Raises
    ------
    SfhInputError
        The truth lies on another grid than the bins.
    """
    if truth.mass.shape[1:] != bins.bin_id.shape:
        raise SfhInputError(f"truth is {truth.mass.shape[1:]} spaxels, the bins {bins.bin_id.shape}: not this galaxy's")
    mass, light, metals = (_sum(a, bins) for a in (truth.mass, truth.light, truth.mass_metals))
    mh = np.divide(metals, mass, out=np.zeros_like(mass), where=mass > 0)
    mass_frac = mass / mass.sum(1, keepdims=True)
    light_frac = light / light.sum(1, keepdims=True)
    means = {k: np.asarray(v, np.float64) for k, v in four_means(mass_frac, light_frac, mh).items()}
    star = _sum(truth.star[None], bins)[:, 0] / bins.nspax
    return Truth(mass_frac, light_frac, mh, means, star)


def against_truth(result: Result, truth: Truth, min_snr: float = 20.0) -> dict[str, Scatter]:
    """Recovered against true for the four means, in the bins above an S/N with no star in front of them."""
    good = (result.data.snr > min_snr) & (truth.star < MAX_STAR)
    return {k: scatter(result.prediction.median(k)[good], truth.means[k][good]) for k in MEAN_NAMES}


def warnings_against_truth(result: Result, truth: Truth) -> tuple[float, float]:
    """Shares of bins with the out-of-depth warning: of those that are mostly a star's, and of those without a star."""
    warned = (result.flag & int(Flag.OUT_OF_DEPTH)) > 0
    on, off = truth.star > 0.5, truth.star < MAX_STAR
    return float(warned[on].mean()) if on.any() else np.nan, float(warned[off].mean()) if off.any() else np.nan


def _sum(planes: NDArray[np.floating], bins: BinMap) -> F64:
    flat = bins.bin_id.ravel()
    counted = [np.bincount(flat, weights=p.ravel(), minlength=bins.n_bins + 1)[1:] for p in planes]
    return np.stack(counted, axis=1)
