"""A fixed question to a network, whose answer is stored with its weights.

A digest shows that a file is as it was written; the answer shows that what is written fits together. Settings that no
shape betrays (the edges of the age bins, the range of the encoding, the stride of a layer) change it. Bundles hold
their answer; of those that were released before bundles did, `data/weights/probes.json` holds it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.encoding import Features, FeatureSettings, encode_observation, find_usable_rows
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.types import F64, Observation, make_empty_observation

#: Differences that another processor makes are a hundred times smaller.
TOLERANCE: float = 5e-3
_OBJECTS = 6


def make_probe_observation(instrument: Instrument) -> Observation:
    """Six objects that reach every branch of the encoding: gaps, errors and band fluxes of all sizes, bands absent.

    They are no galaxies: waves, in closed form.
    """
    shape, bands = (_OBJECTS, instrument.n_wave), (_OBJECTS, instrument.n_bands)
    row, pixel = np.indices(shape, dtype=np.float64)
    flux = 1 + 0.3 * np.cos(0.004 * (row + 1) * pixel) + 0.1 * np.cos(0.3 * pixel + row)
    error = 10.0 ** (-4 + 6 * (pixel / max(shape[1], 1)))
    error[0] = 0.02
    mask = np.ones(shape, dtype=bool)
    for k in range(1, _OBJECTS):  # one gap in the middle, of a tenth to nine tenths
        share = (0.1, 0.35, 0.5, 0.75, 0.9)[k - 1]
        start = int(0.5 * (1 - share) * shape[1])
        mask[k, start : start + int(share * shape[1])] = False
    row, band = np.indices(bands, dtype=np.float64)
    phot = 1 + 0.5 * np.cos(row + band)
    phot[1:3] *= np.geomspace(1e-4, 1e4, max(bands[1], 1))[: bands[1]]
    phot_mask = (np.indices(bands).sum(0) % 3 > 0) | (np.indices(bands)[0] == 0)
    return replace(
        make_empty_observation(instrument, _OBJECTS),
        flux=np.where(mask, flux, 0).astype(np.float32),
        error=error.astype(np.float32),
        mask=mask,
        phot=np.where(phot_mask, phot, 0).astype(np.float32),
        phot_error=(0.1 * phot).astype(np.float32),
        phot_mask=phot_mask,
        snr=(10.0 * np.arange(1, _OBJECTS + 1)).astype(np.float32),
        redshift=np.full(_OBJECTS, 0.02, np.float32) if instrument.takes_redshift else None,
    )


@torch.inference_mode()
def predict_points(features: Features, model: SfhModel) -> dict[str, torch.Tensor]:
    """The point network's values: for each of the targets' scalars a tensor (N,), for each vector (N, A).

    Parameters
    ----------
    features : Features
        Of N objects, as `encoding.encode_observation` makes them.
    model : SfhModel
        In evaluation mode.

    Returns
    -------
    dict of str to tensor
    """
    derived = model.derive(model.predict_centre(features)[0])
    names = (*model.targets.scalars, *model.targets.vectors)
    return {k: derived[k].float() for k in names}


def compute_probe_answer(model: SfhModel, features: FeatureSettings, instrument: Instrument) -> list[float]:
    """What a model in evaluation mode says to `make_probe_observation`, how it encodes it, which objects it would take.

    Parameters
    ----------
    model : SfhModel
    features : FeatureSettings
        How the weights encode an observation.
    instrument : Instrument
        On whose grid and bands the probe is made.

    Returns
    -------
    list of float
        Rounded to five decimals.
    """
    data = make_probe_observation(instrument)
    encoded = encode_observation(data, features)
    values = predict_points(encoded, model)
    parts: list[NDArray[np.floating]] = [values[k].numpy().ravel() for k in sorted(values)]
    if instrument.n_wave:
        parts.append(encoded.spectrum.mean(2).numpy().ravel())
    parts += [encoded.photometry.numpy().ravel(), find_usable_rows(data, features).astype(np.float64)]
    if edges := model.targets.to_json().get("age_edges_gyr"):
        parts.append(np.asarray(edges, dtype=np.float64))
    return [round(float(v), 5) for v in np.concatenate(parts)]


def is_other_answer(found: list[float], stored: list[float]) -> bool:
    """Whether an answer is another than the stored one, beyond what processors differ by.

    Parameters
    ----------
    found : list of float
        What the weights say now, see `compute_probe_answer`.
    stored : list of float
        What they said when they were released.
    """
    if len(found) != len(stored):
        return True
    one, other = (np.asarray(v, dtype=np.float64) for v in (found, stored))
    close: F64 = np.abs(one - other) / (1 + np.abs(other))
    return bool(not np.all(close < TOLERANCE))
