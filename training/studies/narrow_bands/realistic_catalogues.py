"""What weights of single populations make of galaxies, and what weights of galaxies do, one step after the other.

Dominguez Sanchez et al. (2025) train on single populations and name histories, emission lines and redshifts as the
next step. Here the same weights read single populations, then objects with the histories of a prior, then with its
lines, then with its redshifts. "Age" and [M/H] are light-weighted, which for a single population are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator.simulation import PreparedPrior, prepare_prior, simulate_objects
from napari_sfh.training.studies.narrow_bands.catalogue_measure import summarise_catalogue_errors

#: Label, and the names under which weights may predict it.
COMPARED_SCALARS = {"lg_age_lw": ("lg_age_lw", "lg_age"), "mh_lw": ("mh_lw", "mh_mw"), "ebv": ("ebv",)}
#: The step that a sky adds to the one before.
SINGLE_SKY, HISTORY_SKY, LINE_SKY, REDSHIFT_SKY = "single populations", "histories", "and lines", "and redshifts"


def list_skies(single: PriorConfig, galaxies: PriorConfig) -> dict[str, PriorConfig]:
    """Priors of growing realism.

    Parameters
    ----------
    single : PriorConfig
        Of single populations; of its libraries those that the galaxies have are used.
    galaxies : PriorConfig
        With histories, lines and redshifts, which are taken back one by one.
    """
    none = constant_distribution(0.0)
    at_rest = replace(galaxies, noise=replace(galaxies.noise, redshift=none))
    dark = replace(galaxies.nebular, escape=constant_distribution(1.0), diffuse=none, diffuse_ew_aa=none)
    single = replace(single, libraries={k: v for k, v in single.libraries.items() if k in galaxies.libraries})
    return {SINGLE_SKY: single, HISTORY_SKY: replace(at_rest, nebular=dark), LINE_SKY: at_rest, REDSHIFT_SKY: galaxies}


def measure_realism(
    bundles: Sequence[Bundle], single: PriorConfig, galaxies: PriorConfig, n: int, seed: int = 13
) -> dict[str, dict[str, Any]]:
    """Errors of each bundle on each sky that its redshifts allow.

    Parameters
    ----------
    bundles : sequence of Bundle
        For bands of one survey, each with its own limit of redshift.
    single, galaxies : PriorConfig
        See `list_skies`.
    n : int
        Objects of each sky; bundles of one instrument see the same.
    seed : int

    Returns
    -------
    dict
        Sky, bundle's name, label to `catalogue_measure.summarise_catalogue_errors`; ``p68`` is the share of truths in
        the 68 % interval, ``out_of_depth`` that of objects above the threshold.
    """
    out: dict[str, dict[str, Any]] = {}
    for sky, config in list_skies(single, galaxies).items():
        out[sky] = {}
        for bundle in bundles:
            if config.noise.redshift.high <= bundle.instrument.redshift_max:
                source = prepare_prior(config, bundle.instrument)
                out[sky][bundle.name] = _measure_sky(bundle, source, n, seed)
    return out


def _measure_sky(bundle: Bundle, source: PreparedPrior, n: int, seed: int) -> dict[str, Any]:
    data, labels, _ = simulate_objects(source, np.random.default_rng([seed, 73]), n)
    prediction = predict_histories(data, bundle, device="cpu", draws=100, batch_size=512)
    row: dict[str, Any] = {"out_of_depth": float(np.mean(prediction.ood > 1))}
    for label, names in COMPARED_SCALARS.items():
        name = next((k for k in names if k in prediction.scalars), None)
        if name is not None:
            q = np.asarray(prediction.quantiles[name], float)
            truth = np.asarray(labels.quantity(label), float)
            row[label] = summarise_catalogue_errors(label, q[:, 2], truth)
            row[label]["p68"] = float(np.mean((truth >= q[:, 1]) & (truth <= q[:, 3])))
    return row
