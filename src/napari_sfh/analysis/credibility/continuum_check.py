"""Where the shape of the continuum contradicts the prediction by more than a flux calibration may be wrong.

The ratio of the spectrum to the model that the prediction implies, on pixels without gas lines, in steps of 100 AA:
noise averages out there, and what is left is calibration, dust of another law, or a wrong answer.
"""

from __future__ import annotations

import numpy as np

from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.types import F32, F64, Bool, Observation

#: Scatter of the ratio over the steps beyond which it is no calibration error any more.
MAX_CONTINUUM_SCATTER = 0.05
_STEP_AA, _LEAST_PIXELS, _SIGMAS = 100.0, 10, 3.0


def measure_continuum_scatter(data: Observation, model_flux: F32) -> tuple[F64, F64]:
    """Relative scatter of data over model in steps of 100 AA, and what the noise makes of it.

    Parameters
    ----------
    data : Observation
        With a spectrum.
    model_flux : array (N, W)

    Returns
    -------
    scatter, noise : arrays (N,)
        NaN with fewer than three steps, or without a model.
    """
    wave = data.instrument.wave_aa
    step = ((wave - wave[0]) // _STEP_AA).astype(int)
    used = data.mask & find_stellar_pixels(wave) & np.isfinite(model_flux) & (model_flux > 0) & (data.error > 0)
    weight = used.astype(float)
    onto = (step[:, None] == np.arange(step[-1] + 1)).astype(float)
    count = weight @ onto
    safe = np.where(used, model_flux, 1.0)
    known = count >= _LEAST_PIXELS
    number = np.where(known, count, np.nan)
    ratio = (np.where(used, data.flux / safe, 0.0) @ onto) / number
    variance = (np.where(used, (data.error / safe) ** 2, 0.0) @ onto) / number**2
    enough = known.sum(1) >= 3
    scatter, noise = np.full(data.n_bins, np.nan), np.full(data.n_bins, np.nan)
    if enough.any():
        scatter[enough] = np.nanstd(ratio[enough], axis=1)
        noise[enough] = np.sqrt(np.nanmean(variance[enough], axis=1))
    return scatter, noise


def find_continuum_mismatch(data: Observation, model_flux: F32) -> Bool:
    """Bins whose continuum is off by more than a calibration may be, noise allowed for.

    Parameters
    ----------
    data : Observation
        N bins.
    model_flux : array (N, W)
        In the unit of ``data.flux``.

    Returns
    -------
    bool array (N,)
    """
    scatter, noise = measure_continuum_scatter(data, model_flux)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.maximum(scatter**2 - (_SIGMAS * noise) ** 2, 0.0)) > MAX_CONTINUUM_SCATTER)
