"""How far a rebuilt spectrum explains the data: reduced chi^2 of the stars' pixels.

Emission lines are left out: the rebuilt spectrum carries gas of one reference state, and the height of [O III] says
nothing about a history. Broadening has smoothed the noise, so its scatter is that of independent pixels times
`rest_frame.noise_gain`; chi^2 is divided by it and is then 1 where only noise separates data and model.
"""

from __future__ import annotations

import numpy as np

from napari_sfh.physics.lines import STELLAR_PIXELS
from napari_sfh.prep.rest_frame import noise_gain
from napari_sfh.types import F32, Observation


def reduced_chi2(data: Observation, model_flux: F32) -> F32:
    """Reduced chi^2 (N,) of ``model_flux`` (N, W); NaN where no pixel is usable or the model is not finite."""
    used = data.mask & STELLAR_PIXELS & (data.error > 0)
    pull = np.divide(data.flux - model_flux, data.error, out=np.zeros_like(data.flux), where=used)
    count = used.sum(1)
    chi2 = np.divide((pull**2).sum(1), count, out=np.full(count.shape, np.nan), where=count > 0)
    return (chi2 / noise_gain(data.sigma_kms)).astype(np.float32)
