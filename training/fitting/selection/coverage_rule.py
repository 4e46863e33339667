"""How much of a spectrum may be missing: what training has hidden often enough.

A network does without a part of its grid if it has learned to. The rule: data must cover as much of the range as all
but one in a hundred of the training spectra do, after the ranges that the recipe hides and the blue end that the
prior hides. Lines and single pixels that are masked are no missing range.
"""

from __future__ import annotations

import math

import numpy as np

from napari_sfh.instruments.instrument import Instrument
from napari_sfh.training.fitting.augmentation import draw_hidden_ranges
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.prior.prior_config import Noise

#: Quantile of the training spectra's coverage that data must reach.
_QUANTILE = 0.01
_N_DRAWS, _SEED = 20_000, 1
#: Data may always lack this share: rounding of the ends of a grid.
_SLACK = 0.01


def measure_min_coverage(settings: AugmentSettings, noise: Noise, instrument: Instrument) -> float:
    """Share of an instrument's grid that data must cover, to two decimals; 0 without a spectrum.

    Parameters
    ----------
    settings : AugmentSettings
        Which ranges training hides.
    noise : Noise
        Of the prior: pixels masked at the blue end.
    instrument : Instrument

    Returns
    -------
    float
        0 to 1.
    """
    if instrument.spectrum is None:
        return 0.0
    rng = np.random.default_rng(_SEED)
    first, last = float(instrument.wave_aa[0]), float(instrument.wave_aa[-1])
    start, width = draw_hidden_ranges(_N_DRAWS, settings, instrument.wave_aa, rng)
    begin, end = np.clip(start, first, last), np.clip(start + width, first, last)
    edge = np.clip(first + noise.edge_aa.sample(rng, _N_DRAWS), first, last)
    # The edge and the range may overlap.
    hidden = (edge - first) + np.maximum(end - np.maximum(begin, edge), 0.0)
    covered = float(np.quantile(1.0 - hidden / (last - first), _QUANTILE))
    return math.floor(100 * min(covered, 1.0 - _SLACK)) / 100
