"""Flags that inference adds: out of depth, the prior decides, continuum not as predicted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_sfh.analysis.credibility.continuum_check import find_continuum_mismatch
from napari_sfh.analysis.credibility.prior_influence import find_prior_dominated
from napari_sfh.types import F32, I32, Flag, Floats, Observation, Prediction


def derive_credibility_flags(
    data: Observation, prediction: Prediction, prior: Mapping[str, Floats], model_flux: F32 | None = None
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
    """
    strange = np.where(prediction.ood > 1, int(Flag.OUT_OF_DEPTH), 0)
    strange |= np.where(find_prior_dominated(prediction, prior), int(Flag.PRIOR_DECIDES), 0)
    if model_flux is not None and data.instrument.n_wave:
        strange |= np.where(find_continuum_mismatch(data, model_flux), int(Flag.CONTINUUM), 0)
    return strange.astype(np.int32)
