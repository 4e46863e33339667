"""Flags that inference adds: out of depth, the prior decides, data that are not as predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.credibility.continuum_check import find_continuum_mismatch
from napari_sfh.analysis.credibility.magnesium_check import find_magnesium_excess
from napari_sfh.analysis.credibility.prior_influence import find_prior_dominated
from napari_sfh.types import F32, I32, Flag, Floats, Observation, Prediction

_CHUNK = 64
#: Share of the bins beyond which a flag is told with the result.
MANY_FLAGGED = 0.1
#: What a flag that many bins bear means for the maps.
_ADVICE: Mapping[Flag, str] = {
    Flag.PRIOR_DECIDES: "the data say hardly more than the prior on one of the means; its interval is the prior's",
    Flag.ABSENT_LINES: "the prediction implies emission lines that are not there; do not believe its youngest stars",
    Flag.CONTINUUM: "the continuum is not as predicted, by more than 5 %; do not believe dust and ages before you know "
    "whether the flux calibration or another dust law is the cause",
    Flag.MAGNESIUM: "Mg b is strong for its iron, as in alpha-enhanced stars; light-weighted ages may be 0.1 dex low",
    Flag.MISFIT: "the model misses the spectrum by more than it misses those of galaxies, or the spectrum is steeper "
    "or flatter than the bands: look for a wrong flux calibration, redshift or dispersion, a star or a nucleus",
    Flag.MASKED_PIXELS: "more than a tenth of the pixels have no value (gaps, masks, range); ages follow what is left",
}
#: Draws of the posterior whose spectra are held against the data, and the share that must contradict it.
CHECKED_DRAWS, CONTRADICTING_SHARE = 32, 0.8


class DrawSpectra(Protocol):
    """Spectra (N, n, W) of n draws of the posterior of some objects, as `model.inference.draw_predicted_spectra`."""

    def __call__(self, data: Observation, *, n: int) -> F32: ...


def derive_credibility_flags(
    data: Observation,
    prediction: Prediction,
    prior: Mapping[str, Floats],
    model_flux: F32 | None = None,
    draw_spectra: DrawSpectra | None = None,
    missed: NDArray[np.bool_] | None = None,
) -> I32:
    """Bits of `types.Flag` for objects whose answer is not to be believed as it stands, (N,).

    Parameters
    ----------
    data : Observation
    prediction : Prediction
        Of ``data``.
    prior : mapping
        Quantiles of the prior of the weights; empty where they are not known.
    model_flux : array (N, W), optional
        Spectra that the prediction implies.
    draw_spectra : callable, optional
        Where it is given, a continuum counts as contradicted only if most draws of the posterior contradict it:
        the point values alone are no galaxy that the posterior holds.
    missed : bool array (N,), optional
        Objects that their model does not describe, of `misfit_check.find_misfit`.
    """
    strange = np.where(prediction.ood > 1, int(Flag.OUT_OF_DEPTH), 0)
    strange |= np.where(find_prior_dominated(prediction, prior), int(Flag.PRIOR_DECIDES), 0)
    if model_flux is not None and data.instrument.n_wave:
        suspect = find_continuum_mismatch(data, model_flux)
        if draw_spectra is not None:
            suspect = _confirm_by_draws(data, suspect, draw_spectra)
        strange |= np.where(suspect, int(Flag.CONTINUUM), 0)
        strange |= np.where(find_magnesium_excess(data, model_flux), int(Flag.MAGNESIUM), 0)
    if missed is not None:
        strange |= np.where(missed, int(Flag.MISFIT), 0)
    return strange.astype(np.int32)


def _confirm_by_draws(data: Observation, suspect: NDArray[np.bool_], draw_spectra: DrawSpectra) -> NDArray[np.bool_]:
    """Those of the suspect objects (N,) whose continuum most draws contradict."""
    confirmed = suspect.copy()
    rows = np.flatnonzero(suspect)
    for lo in range(0, rows.size, _CHUNK):
        part = rows[lo : lo + _CHUNK]
        spectra = draw_spectra(data.select(part), n=CHECKED_DRAWS)
        hits = [find_continuum_mismatch(data.select(part), spectra[:, k]) for k in range(spectra.shape[1])]
        confirmed[part] = np.mean(hits, axis=0) >= CONTRADICTING_SHARE
    return confirmed


def describe_frequent_flags(flag: NDArray[np.integer], ood: F32) -> tuple[str, ...]:
    """What the flags of many bins mean, a sentence for each flag that more than `MANY_FLAGGED` of the bins bear.

    Parameters
    ----------
    flag : array (N,)
        Bits of `types.Flag`.
    ood : array (N,)
        OOD scores; NaN where nothing was predicted.
    """
    known = int(np.isfinite(ood).sum())
    counts = {bit: int(((flag & int(bit)) > 0).sum()) for bit in _ADVICE}
    return tuple(
        f"{counts[bit]} of {known} bins: {advice} (flag {int(bit)})"
        for bit, advice in _ADVICE.items()
        if counts[bit] > MANY_FLAGGED * known
    )
