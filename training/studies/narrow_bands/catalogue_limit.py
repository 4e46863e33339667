"""How well faint bands can tell an age at all: the posterior mean over objects of the prior, beside a network.

No network is in it. The bands of an object are compared with those of many noiseless objects of the prior, each
weighted by its likelihood (the errors as the noise is drawn, any brightness); the answer is the weighted mean of their
log ages. No estimator has a smaller mean squared error on objects of that prior, but for the finite number of models,
which can only make this one worse. So a network that comes as near leaves nothing to gain by more training.

The scatter also depends on the ages that are asked for. Rows: all libraries and each alone; the same from the
youngest age that all of them have; and with the ages of a library's own grid instead of ages even in the logarithm
(Dominguez Sanchez et al. 2025 take every model of their libraries, and CB19 has most of its ages among the young).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.training.libraries.catalogue import list_libraries
from napari_sfh.training.prior.distributions import Dist, constant_distribution
from napari_sfh.training.simulator.simulation import PreparedPrior, simulate_objects
from napari_sfh.training.studies.narrow_bands.catalogue_measure import (
    CATALOGUE_MAGNITUDES,
    convert_magnitude_to_snr,
    observe_at_snr,
)
from napari_sfh.training.studies.narrow_bands.catalogue_networks import keep_libraries
from napari_sfh.types import F64, Bool, Observation

#: Objects that are compared at once, and S/N at which bands count as noiseless.
_CHUNK, _NOISELESS = 64, 1e6
#: Youngest age in Gyr that a library's own grid is asked for: that of the prior.
_YOUNGEST_GYR = 1e-3


@dataclass(frozen=True)
class CatalogueObjects:
    """N objects of libraries that are numbered as in their prior."""

    data: tuple[Observation, ...]  # one part a library
    lg_age: F64  # (N,) log10 yr
    library: NDArray[np.int64]  # (N,)

    def join_bands(self) -> tuple[F64, F64, Bool]:
        """Flux, its error and whether it is there, (N, B) each."""
        parts = [(d.phot, d.phot_error, d.phot_mask) for d in self.data]
        flux, error, mask = (np.concatenate(x) for x in zip(*parts, strict=True))
        return flux.astype(float), error.astype(float), mask


def draw_catalogue_objects(
    source: PreparedPrior, n: int, snr: float, seed: int, floor: bool = True
) -> CatalogueObjects:
    """Objects with all bands at one S/N, of every library its share.

    Parameters
    ----------
    source : PreparedPrior
    n : int
        About so many objects.
    snr : float
        Of a band, before its floor.
    seed : int
    floor : bool
        False: without the calibration's error too.

    Returns
    -------
    CatalogueObjects
    """
    config = observe_at_snr(source.config, constant_distribution(snr))
    if not floor:
        config = replace(config, photometry=replace(config.photometry, floor=constant_distribution(0.0)))
    rng = np.random.default_rng([seed, 74])
    data, ages = [], []
    for model, share in zip(source.models, source.shares, strict=True):
        alone = replace(source, config=config, models=(model,), shares=(1.0,))
        seen, labels, _ = simulate_objects(alone, rng, max(1, round(n * share)))
        data.append(seen)
        ages.append(np.asarray(labels.quantity("lg_age"), float))
    library = np.repeat(np.arange(len(ages)), [len(a) for a in ages])
    return CatalogueObjects(tuple(data), np.concatenate(ages), library)


@dataclass(frozen=True)
class PosteriorSummary:
    """Of N objects, each array (N,)."""

    mean: F64
    median: F64
    effective: F64  # models that carry the weight: 1 over the sum of the squared weights


def compute_posterior_means(
    flux: F64, error: F64, mask: Bool, models: NDArray[np.floating], values: F64
) -> PosteriorSummary:
    """Mean and median of a quantity over models, weighted by their likelihood at their best brightness.

    Parameters
    ----------
    flux, error, mask : arrays (N, B)
    models : array (K, B)
        Noiseless bands of objects drawn from the prior.
    values : array (K,)
        Their quantity.

    Returns
    -------
    PosteriorSummary
    """
    order = np.argsort(values)
    values, models = values[order], np.asarray(models, float)[order]
    squared = models**2
    mean, median, effective = np.empty((3, len(flux)))
    for start in range(0, len(flux), _CHUNK):
        rows = slice(start, start + _CHUNK)
        inverse = np.where(mask[rows], 1.0 / error[rows] ** 2, 0.0)
        cross, norm = (flux[rows] * inverse) @ models.T, inverse @ squared.T
        lg_weight = 0.5 * np.maximum(cross, 0.0) ** 2 / norm - 0.5 * np.log(norm)
        weight = np.exp(lg_weight - lg_weight.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        mean[rows], effective[rows] = weight @ values, 1.0 / (weight**2).sum(1)
        median[rows] = values[np.argmax(np.cumsum(weight, axis=1) >= 0.5, axis=1)]
    return PosteriorSummary(mean, median, effective)


def measure_faint_end(
    bundle: Bundle, source: PreparedPrior, n: int, n_models: int = 60_000, seed: int = 15
) -> dict[str, Any]:
    """Scatter of log age at the faintest magnitude: of weights, and the least that the bands allow.

    Parameters
    ----------
    bundle : Bundle
        Predicts ``lg_age``.
    source : PreparedPrior
        Of the weights' instrument.
    n, n_models : int
        Objects, and noiseless models they are compared with.
    seed : int

    Returns
    -------
    dict
        ``magnitude``, ``n_models``, ``youngest_common_gyr`` and ``rows``: name to ``n``, ``spread`` of the truth,
        and std of the errors: ``network`` (its medians), ``median`` and ``optimum`` (mean) of the posterior over the
        models, ``told``: the mean where only such objects are models; ``effective``: models that carry an answer.
    """
    names = [str(m.templates.provenance["name"]) for m in source.models]
    common = max([_YOUNGEST_GYR, *(source.config.youngest_gyr.get(name, 0.0) for name in names)])
    rows = _compare_parts(bundle, source, (n, n_models, seed), names, 9.0 + float(np.log10(common)))
    own = {name: _own_ages(name, source) for name in names if name in list_libraries()}
    for name, ages in own.items():
        alone = restrict_to_ages(keep_libraries(source, [name]), ages)
        found = _compare_parts(bundle, alone, (n, n_models, seed), [name], -np.inf)
        rows[f"{name}, {len(ages)} ages of its grid"] = found[name]
    return {
        "magnitude": CATALOGUE_MAGNITUDES[-1],
        "n_models": n_models,
        "youngest_common_gyr": common,
        "rows": rows,
    }


def _compare_parts(
    bundle: Bundle, source: PreparedPrior, sizes: tuple[int, int, int], names: list[str], youngest: float
) -> dict[str, Any]:
    """Rows of all objects and of each library, whole and from an age on."""
    n, n_models, seed = sizes
    test = draw_catalogue_objects(source, n, convert_magnitude_to_snr(CATALOGUE_MAGNITUDES[-1]), seed)
    known = draw_catalogue_objects(source, n_models, _NOISELESS, seed + 1, floor=False)
    flux, error, mask = test.join_bands()
    models = known.join_bands()[0].astype(np.float32)
    predicted = [predict_histories(d, bundle, device="cpu", draws=100, batch_size=512) for d in test.data]
    network = np.concatenate([np.asarray(p.quantiles["lg_age"], float)[:, 2] for p in predicted])
    optimum = compute_posterior_means(flux, error, mask, models, known.lg_age)

    def row(mine: Bool, theirs: Bool) -> dict[str, Any]:
        told = compute_posterior_means(flux[mine], error[mine], mask[mine], models[theirs], known.lg_age[theirs])
        truth = test.lg_age[mine]
        found = {
            "network": network[mine],
            "median": optimum.median[mine],
            "optimum": optimum.mean[mine],
            "told": told.mean,
        }
        facts = {"n": int(mine.sum()), "spread": float(truth.std())}
        facts["effective"] = float(np.median(optimum.effective[mine]))
        return facts | {k: float((v - truth).std()) for k, v in found.items()}

    out: dict[str, Any] = {}
    for words, least in (("", -np.inf), (", common ages", youngest)):
        old, theirs_old = test.lg_age >= least, known.lg_age >= least
        if len(names) > 1:
            out["all" + words] = row(old, theirs_old)
        out |= {
            name + words: row(old & (test.library == k), theirs_old & (known.library == k))
            for k, name in enumerate(names)
        }
        if not np.isfinite(youngest):
            break
    return out


def _own_ages(name: str, source: PreparedPrior) -> tuple[float, ...]:
    """Log ages (yr) of a library's grid within the prior's range."""
    age = np.asarray(list_libraries()[name].load().age_gyr, float)
    youngest = max(_YOUNGEST_GYR, source.config.youngest_gyr.get(name, 0.0))
    kept = age[(age >= youngest * (1 - 1e-6)) & (age <= source.config.max_age_gyr)]
    return tuple((9.0 + np.log10(kept)).tolist())


def restrict_to_ages(source: PreparedPrior, lg_ages: tuple[float, ...]) -> PreparedPrior:
    """The same prior, its single populations at some ages, each as often as the others.

    Parameters
    ----------
    source : PreparedPrior
    lg_ages : tuple of float
        log10 yr.

    Returns
    -------
    PreparedPrior
    """
    chosen = Dist("choice", lg_ages, min(lg_ages), max(lg_ages), (1.0,) * len(lg_ages))
    families = tuple(
        replace(f, params={**f.params, "lg_age_yr": chosen}) if f.kind == "ssp" else f for f in source.config.families
    )
    youngest: Mapping[str, float] = {}
    return replace(source, config=replace(source.config, families=families, youngest_gyr=youngest))
