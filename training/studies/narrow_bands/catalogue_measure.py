"""What weights for band photometry reach at each magnitude, and on each library: the tables of Dominguez Sanchez et al.
(2025, Highlights of Spanish Astrophysics XII), figures 3 and 4, measured on new objects of the weights' own prior.

The S/N of an object of i magnitude m is that of a sky of 5 sigma at 22.3 mag; the calibration's floor is the prior's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.physics.robust import measure_nmad
from napari_sfh.training.prior.distributions import Dist, constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator.simulation import PreparedPrior, simulate_objects
from napari_sfh.types import F64

#: Magnitudes at which objects are observed, and that of 5 sigma.
CATALOGUE_MAGNITUDES: tuple[float, ...] = (16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0)
DEPTH_MAG = 22.3
#: Edges in log age of the classes whose errors figure 3 states (ours: its own are lost).
AGE_CLASS_EDGES: tuple[float, ...] = (0.0, 8.5, 9.5, 12.0)
#: Errors beyond which an answer is an outlier.
OUTLIERS = {"lg_age": 0.5, "mh_mw": 0.5, "ebv": 0.2}


def convert_magnitude_to_snr(magnitude: float) -> float:
    """Median S/N of the bands of an object of an AB magnitude, before the floor."""
    return float(5.0 * 10 ** (0.4 * (DEPTH_MAG - magnitude)))


def measure_by_magnitude(
    bundle: Bundle,
    source: PreparedPrior,
    n: int,
    seed: int = 11,
    draws: int = 100,
    magnitudes: Sequence[float] = CATALOGUE_MAGNITUDES,
) -> dict[str, dict[str, Any]]:
    """Bias, std, NMAD, outliers and coverage of every quantity at each magnitude.

    Parameters
    ----------
    bundle : Bundle
        Weights for bands that predict scalars.
    source : PreparedPrior
        Of the weights' instrument.
    n : int
        Objects of each magnitude.
    seed, draws : int
    magnitudes : sequence of float

    Returns
    -------
    dict
        By magnitude, then by quantity; ``out_of_depth`` is the share of objects above the threshold.
    """
    rng = np.random.default_rng([seed, 71])
    out: dict[str, dict[str, Any]] = {}
    for magnitude in magnitudes:
        snr = constant_distribution(min(convert_magnitude_to_snr(magnitude), 2000.0))
        at = replace(source, config=observe_at_snr(source.config, snr))
        data, labels, _ = simulate_objects(at, rng, n)
        prediction = predict_histories(data, bundle, device="cpu", draws=draws, batch_size=512)
        row: dict[str, Any] = {
            name: _summarise_quantiles(name, prediction.quantiles[name], np.asarray(labels.quantity(name), float))
            for name in prediction.scalars
        }
        row["out_of_depth"] = float(np.mean(prediction.ood > 1))
        out[f"{magnitude:g}"] = row
    return out


def observe_at_snr(config: PriorConfig, snr: Dist) -> PriorConfig:
    """The prior with another S/N and all bands.

    Parameters
    ----------
    config : PriorConfig
    snr : Dist
        Of a band of depth 1.

    Returns
    -------
    PriorConfig
    """
    none = constant_distribution(0.0)
    noise = replace(config.noise, snr=snr)
    return replace(config, noise=noise, photometry=replace(config.photometry, missing=none, none=none))


def _summarise_quantiles(name: str, quantiles: Any, truth: F64) -> dict[str, float]:
    q = np.asarray(quantiles, float)
    return summarise_catalogue_errors(name, q[:, 2], truth) | {
        "p68": float(np.mean((truth >= q[:, 1]) & (truth <= q[:, 3]))),
        "p95": float(np.mean((truth >= q[:, 0]) & (truth <= q[:, 4]))),
    }


def summarise_catalogue_errors(name: str, found: F64, truth: NDArray[np.floating]) -> dict[str, float]:
    """Errors of one quantity.

    Parameters
    ----------
    name : str
        Of the quantity: it decides what an outlier is.
    found, truth : array (N,)

    Returns
    -------
    dict of str to float
        Median and mean error, std, NMAD, share of outliers, and the spread of the truth, in the quantity's
        unit.
    """
    error = found - truth
    middle = float(np.median(error))
    return {
        "bias": middle,
        "mean": float(error.mean()),
        "std": float(error.std()),
        "nmad": measure_nmad(error),
        "outliers": float(np.mean(np.abs(error) > OUTLIERS.get(name, 0.5))),
        "spread": float(np.std(truth)),
    }


def measure_age_classes(found: F64, truth: NDArray[np.floating]) -> dict[str, Any]:
    """Errors of log age over all magnitudes, whole and by class; and the slope of the answers of the oldest class.

    Parameters
    ----------
    found, truth : array (N,)
        log10 yr.

    Returns
    -------
    dict
        ``all`` and each class (``8.5-9.5``): mean error, std and number; ``slope_of_old``: of a straight line through
        the answers of the oldest class against their truth, 1 where they follow it.
    """
    age = np.asarray(truth, float)
    rows = {f"{lo:g}-{hi:g}": (age >= lo) & (age < hi) for lo, hi in pairwise(AGE_CLASS_EDGES)}
    error = found - age
    out: dict[str, Any] = {
        name: {"n": int(mine.sum()), "mean": float(error[mine].mean()), "std": float(error[mine].std())}
        for name, mine in {"all": np.ones(age.size, bool), **rows}.items()
        if mine.any()
    }
    old = list(rows.values())[-1]
    out["slope_of_old"] = float(np.polyfit(age[old], found[old], 1)[0]) if old.sum() > 2 else None
    return out
