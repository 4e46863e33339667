"""Flags that inference adds: out of depth, the prior decides, continuum or magnesium not as predicted."""

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
#: Draws of the posterior whose spectra are held against the data, and the share that must contradict it.
CHECKED_DRAWS, CONTRADICTING_SHARE = 32, 0.95


class DrawSpectra(Protocol):
    """Spectra (N, n, W) of n draws of the posterior of some objects, as `model.inference.draw_predicted_spectra`."""

    def __call__(self, data: Observation, *, n: int) -> F32: ...


def derive_credibility_flags(
    data: Observation,
    prediction: Prediction,
    prior: Mapping[str, Floats],
    model_flux: F32 | None = None,
    draw_spectra: DrawSpectra | None = None,
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
        Where it is given, a continuum counts as contradicted only if nearly all draws of the posterior contradict it:
        the point values alone are no galaxy that the posterior holds.
    """
    strange = np.where(prediction.ood > 1, int(Flag.OUT_OF_DEPTH), 0)
    strange |= np.where(find_prior_dominated(prediction, prior), int(Flag.PRIOR_DECIDES), 0)
    if model_flux is not None and data.instrument.n_wave:
        suspect = find_continuum_mismatch(data, model_flux)
        if draw_spectra is not None:
            suspect = _confirm_by_draws(data, suspect, draw_spectra)
        strange |= np.where(suspect, int(Flag.CONTINUUM), 0)
        strange |= np.where(find_magnesium_excess(data, model_flux), int(Flag.MAGNESIUM), 0)
    return strange.astype(np.int32)


def _confirm_by_draws(data: Observation, suspect: NDArray[np.bool_], draw_spectra: DrawSpectra) -> NDArray[np.bool_]:
    """Those of the suspect objects (N,) whose continuum nearly all draws contradict."""
    confirmed = suspect.copy()
    rows = np.flatnonzero(suspect)
    for lo in range(0, rows.size, _CHUNK):
        part = rows[lo : lo + _CHUNK]
        spectra = draw_spectra(data.select(part), n=CHECKED_DRAWS)
        hits = [find_continuum_mismatch(data.select(part), spectra[:, k]) for k in range(spectra.shape[1])]
        confirmed[part] = np.mean(hits, axis=0) >= CONTRADICTING_SHARE
    return confirmed
