"""Bands that do not belong to the spectrum: a wrong unit, zero point or background of a whole mosaic.

The residuals of the bands (ln of data over model), as medians over the bins of a field, are compared with those of
galaxies of the prior: their mean and their covariance. A network takes a band in part for what the stars are, so that a
wrong F275W leaves a residual in F336W, too; how the residuals follow the flux of each band was measured with the
weights (``response``). For each band the amplitude that explains the residuals best, the ln of the factor by which it
is wrong, is compared with its own error; the band that stands out most is named and taken out, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from napari_sfh.types import F32, F64, Observation

#: A band tells in bins where it is this many errors bright.
_LEAST_SNR = 3.0
#: Variance of a median over that of a mean.
_MEDIAN_VARIANCE = np.pi / 2


@dataclass(frozen=True)
class BandResiduals:
    """What the residuals of the bands are in galaxies of the prior, B bands."""

    mean: F64  # (B,) ln
    covariance: F64  # (B, B)
    response: F64  # (B, B) change of all residuals with the ln of a band's flux, a row for each band
    limit: float  # of the score, which 1 % of single galaxies exceed

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        arrays = {name: np.round(getattr(self, name), 5).tolist() for name in ("mean", "covariance", "response")}
        return {**arrays, "limit": round(self.limit, 3)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` has written."""
        mean, covariance, response = (np.asarray(stored[name], float) for name in ("mean", "covariance", "response"))
        return cls(mean, covariance, response, float(stored["limit"]))


class WrongBand(NamedTuple):
    """A band whose flux is not that of the spectrum and of the other bands."""

    band: int  # number of the band
    lg_factor: float  # log10 of the factor by which it is too bright
    score: float  # in standard errors


def measure_band_residuals(data: Observation, model_phot: F32) -> tuple[F64, F64]:
    """Residuals of the bands and their errors, ln of the flux.

    Parameters
    ----------
    data : Observation
        N bins.
    model_phot : array (N, B)
        In the unit of ``data.phot``.

    Returns
    -------
    residual, error : arrays (N, B)
        NaN where a band is not seen, or too faint to tell.
    """
    seen = data.phot_mask & (data.phot > _LEAST_SNR * data.phot_error) & (data.phot > 0)
    seen &= np.isfinite(model_phot) & (model_phot > 0)
    phot = np.where(seen, data.phot, 1.0).astype(np.float64)
    residual = np.where(seen, np.log(phot / np.where(seen, model_phot, 1.0)), np.nan)
    return residual, np.where(seen, data.phot_error / phot, np.nan)


def find_wrong_bands(data: Observation, model_phot: F32 | None, check: BandResiduals | None) -> tuple[WrongBand, ...]:
    """Bands of a field that are brighter or fainter than spectrum and other bands allow, the worst first.

    Parameters
    ----------
    data : Observation
        N bins of one field.
    model_phot : array (N, B) or None
        Rebuilt from the predictions.
    check : BandResiduals or None
        Of the weights; None: nothing is judged.
    """
    if check is None or model_phot is None or not data.n_bins:
        return ()
    residual, error = measure_band_residuals(data, model_phot)
    number = np.isfinite(residual).sum(0)
    left = number > 0
    middle, variance = np.zeros(number.size), np.zeros(number.size)
    middle[left] = np.nanmedian(residual[:, left], axis=0) - check.mean[left]
    variance[left] = _MEDIAN_VARIANCE * np.nanmedian(error[:, left] ** 2, axis=0) / number[left]
    found: list[WrongBand] = []
    while left.sum() > 1:
        amplitude, score = measure_band_scores(middle, variance, left, check)
        worst = int(np.argmax(np.abs(score)))
        if abs(score[worst]) <= check.limit:
            break
        found.append(WrongBand(worst, float(amplitude[worst] / np.log(10)), float(score[worst])))
        middle = middle - amplitude[worst] * check.response[worst]
        left[worst] = False
    return tuple(found)


def measure_band_scores(residual: F64, variance: F64, used: Any, check: BandResiduals) -> tuple[F64, F64]:
    """How much brighter each band is than the others let expect.

    Parameters
    ----------
    residual, variance : arrays (B,)
        Of the field, less the prior's mean.
    used : bool array (B,)
        Bands that tell.
    check : BandResiduals

    Returns
    -------
    amplitude, score : arrays (B,)
        ln of the factor, and that over its error; 0 for bands that are not used.
    """
    amplitude, score = np.zeros(residual.size), np.zeros(residual.size)
    rows = np.flatnonzero(used)
    inverse = np.linalg.inv(check.covariance[np.ix_(rows, rows)] + np.diag(variance[rows]))
    for band in rows:
        shape = check.response[band, rows]
        information = shape @ inverse @ shape
        amplitude[band] = shape @ inverse @ residual[rows] / information
        score[band] = amplitude[band] * np.sqrt(information)
    return amplitude, score


def describe_wrong_bands(wrong: tuple[WrongBand, ...], band_names: tuple[str, ...]) -> tuple[str, ...]:
    """A note on them; empty where there are none.

    Parameters
    ----------
    wrong : tuple of WrongBand
    band_names : tuple of str
        Of the instrument.
    """
    if not wrong:
        return ()
    told = ", ".join(
        f"{band_names[each.band]} too {'bright' if each.lg_factor > 0 else 'faint'} by a factor of "
        f"{10 ** abs(each.lg_factor):.2g}"
        for each in wrong
    )
    return (
        f"bands do not fit the spectrum, in the median bin: {told}. Unit, zero point or background of the mosaic? "
        "Ages may be off by 0.3 dex; mend it, or leave it out of `photometry`",
    )
