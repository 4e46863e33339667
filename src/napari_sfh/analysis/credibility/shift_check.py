"""Mosaics that lie beside the cube: bins are too bright on one side of each structure and too faint on the other.

A band that is displaced by s changes the flux of a bin by a factor of exp(-s . g), g being the slope of ln(flux) in the
band's own image. A network takes a part of that for what the stars are; how the residuals of all bands follow the flux
of each was measured with the weights (`band_check.BandResiduals.response`). So each bin tells by how much the band
is too bright there, and s is the regression of that on -g. Neighbouring bins have residuals in common: their stars
are alike; the errors of s take what is common within `_REACH_BINS` bins into account (Conley 1999, J. of
Econometrics 92, 1).

The response is a mean one and the slopes are those at the bins, so that s is 0.5 to 0.9 of the truth up to 1 arcsec.
Beyond the size of the structures, some 1.5 arcsec, the slopes tell nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_sfh.analysis.credibility.band_check import BandResiduals, measure_band_residuals
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.types import F32, F64, BinMap, Observation, measure_pixel_arcsec

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: Fewer bins are no field.
_LEAST_BINS = 60
#: In fewer than these a network's answer to one band is taken for a displacement of the next in every fifth case.
_SURE_BINS = 150
#: Residuals count up to so many of their standard deviations.
_CLIP = 4.0
#: Neighbours within the typical distance of this many bins share their residuals.
_REACH_BINS = 20
#: A displacement is told from this score, and this size in arcsec, on.
_LEAST_SCORE, _LEAST_ARCSEC = 5.0, 0.25
#: Share of the bins in which a band has to be seen.
_BAND_SHARE = 0.5


class ShiftedBand(NamedTuple):
    """A band whose image lies beside the cube."""

    band: int  # number of the band
    x_arcsec: float  # by which it is displaced along the cube's x axis
    y_arcsec: float
    score: float  # in standard errors
    n_bins: int  # that told


def find_shifted_band(
    data: Observation, model_phot: F32 | None, check: BandResiduals | None, slopes: F64 | None, bins: BinMap
) -> ShiftedBand | None:
    """The band of a field whose image is displaced; of several the one that explains most, None where there is none.

    Parameters
    ----------
    data : Observation
        N bins of one field.
    model_phot : array (N, B) or None
        Rebuilt from the predictions.
    check : BandResiduals or None
        Of the weights; None: nothing is judged.
    slopes : array (N, B, 2) or None
        Of the bands' images, see `prep.mosaics.photometry.measure_bin_slopes`.
    bins : BinMap
        Where the bins lie.
    """
    if check is None or model_phot is None or slopes is None:
        return None
    residual, _ = measure_band_residuals(data, model_phot)
    used = np.flatnonzero(np.isfinite(residual).mean(0) >= _BAND_SHARE) if data.n_bins else np.zeros(0, int)
    rows = np.isfinite(residual[:, used]).all(1)
    if rows.sum() < _LEAST_BINS or used.size < 2:
        return None
    places = np.column_stack([bins.x, bins.y])[rows]
    value = _centre_and_clip(residual[np.ix_(rows, used)])
    inverse = np.linalg.inv(check.covariance[np.ix_(used, used)])
    tried = [_fit_shift(value, inverse, check.response[band, used], slopes[rows, band], places) for band in used]
    sure = [one.score > _LEAST_SCORE and np.hypot(*one.shift) > _LEAST_ARCSEC for one in tried]
    if not any(sure):
        return None
    best = int(np.argmax([one.gain if told else -1.0 for one, told in zip(tried, sure, strict=True)]))
    x_arcsec, y_arcsec = map(float, tried[best].shift)
    return ShiftedBand(int(used[best]), x_arcsec, y_arcsec, tried[best].score, int(rows.sum()))


def _centre_and_clip(residual: F64) -> F64:
    """Residuals less their medians, outliers pulled in."""
    value = residual - np.median(residual, axis=0)
    scatter = SIGMA_PER_MAD * np.median(np.abs(value), axis=0)
    return np.clip(value, -_CLIP * scatter, _CLIP * scatter)


class _FittedShift(NamedTuple):
    shift: F64  # (2,) arcsec
    score: float  # in standard errors
    gain: float  # of chi^2


def _fit_shift(value: F64, inverse: F64, shape: F64, slopes: F64, places: F64) -> _FittedShift:
    """Displacement of the band with this response and these slopes."""
    known = np.isfinite(slopes).all(1)
    information = float(shape @ inverse @ shape)
    if known.sum() < _LEAST_BINS or not information > 0:
        return _FittedShift(np.zeros(2), 0.0, 0.0)
    excess = (value[known] @ inverse @ shape) / information
    terms = np.column_stack([-slopes[known], np.ones(known.sum())])
    square = np.linalg.pinv(terms.T @ terms)
    fitted = square @ terms.T @ excess
    pull = terms * (excess - terms @ fitted)[:, None]
    covariance = (square @ _sum_common_pulls(pull, places[known]) @ square)[:2, :2]
    score = float(np.sqrt(fitted[:2] @ np.linalg.pinv(covariance) @ fitted[:2]))
    return _FittedShift(fitted[:2], score, information * float(np.var(slopes[known] @ fitted[:2]) * known.sum()))


def _sum_common_pulls(pull: F64, places: F64) -> F64:
    """Sum (T, T) over all pairs of bins of the products of their pulls (N, T), nearer pairs counting more."""
    from scipy.spatial import cKDTree

    tree = cKDTree(places)
    near = min(_REACH_BINS, len(places) - 1)
    reach = float(np.median(tree.query(places, near + 1)[0][:, near]))
    pairs = tree.query_pairs(reach, output_type="ndarray")
    first, second = pairs.T
    weight = 1 - np.linalg.norm(places[first] - places[second], axis=1) / max(reach, 1e-9)
    cross = (pull[first] * weight[:, None]).T @ pull[second]
    return np.asarray(pull.T @ pull + cross + cross.T)


def describe_shifted_band(shifted: ShiftedBand | None, band_names: tuple[str, ...], wcs: WCS) -> tuple[str, ...]:
    """A note on it; empty where there is none.

    Parameters
    ----------
    shifted : ShiftedBand or None
    band_names : tuple of str
        Of the instrument.
    wcs : WCS
        Of the cube: its axes on the sky.
    """
    if shifted is None:
        return ()
    turn = wcs.celestial.pixel_scale_matrix / measure_pixel_arcsec(wcs) * 3600
    east, north = turn @ (shifted.x_arcsec, shifted.y_arcsec)
    which = "" if shifted.n_bins >= _SURE_BINS else " (or a band next to it)"
    return (
        f"WARNING: {band_names[shifted.band]}{which} lies beside the cube, by {np.hypot(east, north):.1f} arcsec "
        f"or more ({abs(east):.1f} to the {'east' if east > 0 else 'west'}, {abs(north):.1f} to the "
        f"{'north' if north > 0 else 'south'}): its bins are too bright on one side of each structure and too faint on "
        "the other, which moves ages by up to 0.1 dex; mend CRVAL of the mosaic and look at the other bands then, or "
        "leave it out of `photometry`",
    )
