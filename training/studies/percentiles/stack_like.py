"""Shipped weights on spectra like the stacks of Iglesias-Navarro (2023, section 4.3): much S/N, 4023-6000 AA alone.

The thesis trains encoder and flow anew for such spectra. Weights that read masks need not be: what they lose to the
shorter range, and gain by the S/N, is measured here on new objects of their own prior. They are broadened as the
instrument says, and so are all spectra that the weights read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_sfh.analysis.comparison.map_comparison import measure_scatter
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.simulator.simulation import PreparedPrior, simulate_objects
from napari_sfh.training.studies.percentiles.percentile_galaxies import STACK_RANGE_AA
from napari_sfh.training.studies.percentiles.percentile_measure import measure_determination
from napari_sfh.types import Observation

#: S/N of a pixel of a stack.
STACK_SNR = 200.0
#: How the same kind of objects is seen.
PRIOR_VIEW, DEEP_VIEW, STACK_VIEW = "S/N of the prior", f"S/N {STACK_SNR:g}", f"S/N {STACK_SNR:g}, range of the stacks"


def cut_to_range(data: Observation, range_aa: tuple[float, float]) -> Observation:
    """The same spectra with every pixel outside of a range missing.

    Parameters
    ----------
    data : Observation
    range_aa : (float, float)
        Rest frame, Angstrom, both ends included.

    Returns
    -------
    Observation
    """
    inside = (data.instrument.wave_aa >= range_aa[0]) & (data.instrument.wave_aa <= range_aa[1])
    mask = data.mask & inside
    return replace(data, mask=mask, flux=np.where(mask, data.flux, 0.0).astype(np.float32))


def measure_stack_like(bundle: Bundle, source: PreparedPrior, n: int, seed: int = 16) -> dict[str, dict[str, Any]]:
    """Accuracy of weights on objects of a prior as they are, at the S/N of stacks, and in their range as well.

    Parameters
    ----------
    bundle : Bundle
        Of scalars from spectra.
    source : PreparedPrior
        Of the weights' instrument.
    n : int
        Objects, the same each time.
    seed : int

    Returns
    -------
    dict
        View to quantity to ``r2`` (100 times the coefficient of determination), ``bias``, ``std``, ``nmad`` and
        ``p68`` (share of truths in the 68 % interval); ``n`` that were estimated and ``out_of_depth`` stand beside
        the quantities.
    """
    deep = replace(source.config, noise=replace(source.config.noise, snr=constant_distribution(STACK_SNR)))
    out: dict[str, dict[str, Any]] = {}
    for view, config in ((PRIOR_VIEW, source.config), (DEEP_VIEW, deep), (STACK_VIEW, deep)):
        data, labels, _ = simulate_objects(replace(source, config=config), np.random.default_rng([seed, 75]), n)
        if view == STACK_VIEW:
            data = cut_to_range(data, STACK_RANGE_AA)
        found = predict_histories(data, bundle, device="cpu", draws=200, batch_size=256)
        known = np.isfinite(found.ood)
        row: dict[str, Any] = {"n": int(known.sum()), "out_of_depth": float(np.mean(found.ood[known] > 1))}
        for name in found.scalars:
            q, truth = np.asarray(found.quantiles[name], float)[known], np.asarray(labels.quantity(name), float)[known]
            s = measure_scatter(q[:, 2], truth)
            row[name] = {
                "r2": measure_determination(q[:, 2], truth),
                "bias": float(s.bias),
                "std": float(s.std),
                "nmad": float(s.nmad),
                "p68": float(np.mean((truth >= q[:, 1]) & (truth <= q[:, 3]))),
            }
        out[view] = row
    return out
