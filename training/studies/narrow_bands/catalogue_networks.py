"""The three networks of Dominguez Sanchez et al. (2025, Highlights of Spanish Astrophysics XII), on objects of a prior.

One network each for log age, [M/H] and E(B-V); mean absolute error, Adam, 100 epochs; f_nu of all bands over its
median; magnitudes of 16 to 22 in steps of 0.5. They are the baseline of the weights that ship: both are tested on the
same objects. And they are trained on each library alone, on all but one, and on all, and tested on each: what a
network knows of one library's stars, and what of stars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_sfh.instruments.files import make_band_filters
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.training.prior.distributions import Dist, constant_distribution
from napari_sfh.training.simulator.simulation import PreparedPrior, simulate_objects
from napari_sfh.training.studies.narrow_bands.catalogue_measure import (
    CATALOGUE_MAGNITUDES,
    convert_magnitude_to_snr,
    observe_at_snr,
    summarise_catalogue_errors,
)
from napari_sfh.training.studies.narrow_bands.narrow_nets import (
    JpasMlp,
    Regressor,
    RegressorFitSettings,
    train_regressor,
)
from napari_sfh.types import F32, F64, Observation, Progress

#: The quantities, one network each.
CATALOGUE_QUANTITIES = ("lg_age", "mh_mw", "ebv")
#: Magnitudes of the training objects, and those at which libraries are compared.
TRAINING_MAGNITUDES: tuple[float, ...] = tuple(np.arange(16.0, 22.01, 0.5).tolist())
BRIGHT_MAGNITUDES: tuple[float, ...] = (16.0, 17.0, 18.0)
#: Name of the training set that holds every library.
ALL_LIBRARIES = "all"


@dataclass(frozen=True)
class PaperNetworkSettings:
    """Objects and optimisation: 16 of 80 parts of the training objects choose the best epoch."""

    n: int = 40_000
    n_test: int = 2_000
    seed: int = 6
    fit: RegressorFitSettings = field(
        default_factory=lambda: RegressorFitSettings(epochs=100, patience=100, batch=512, absolute=True)
    )


@dataclass(frozen=True)
class CatalogueSample:
    """N objects as the paper's networks read them, and the truth."""

    flux: F32  # (N, B) f_nu over its median
    truth: Mapping[str, F32]  # of `CATALOGUE_QUANTITIES` and the light-weighted age
    observed: Observation


def keep_libraries(source: PreparedPrior, names: Sequence[str]) -> PreparedPrior:
    """The same prior with some of its libraries, at their shares.

    Parameters
    ----------
    source : PreparedPrior
    names : sequence of str
        Of the libraries.

    Returns
    -------
    PreparedPrior
    """
    kept = [
        (model, share)
        for model, share in zip(source.models, source.shares, strict=True)
        if str(model.templates.provenance["name"]) in names
    ]
    total = sum(share for _, share in kept)
    return replace(source, models=tuple(m for m, _ in kept), shares=tuple(share / total for _, share in kept))


def draw_catalogue_sample(source: PreparedPrior, n: int, magnitudes: Sequence[float], seed: int) -> CatalogueSample:
    """Objects with all bands, each at a magnitude drawn from some.

    Parameters
    ----------
    source : PreparedPrior
    n : int
        Objects.
    magnitudes : sequence of float
        One is drawn for each object.
    seed : int

    Returns
    -------
    CatalogueSample
    """
    snr = tuple(min(convert_magnitude_to_snr(m), 2000.0) for m in magnitudes)
    chosen = constant_distribution(snr[0])
    if len(snr) > 1:
        chosen = Dist("choice", snr, min(snr), max(snr), (1.0,) * len(snr))
    at = replace(source, config=observe_at_snr(source.config, chosen))
    data, labels, _ = simulate_objects(at, np.random.default_rng([seed, 72]), n)
    truth = {name: np.asarray(labels.quantity(name), np.float32) for name in (*CATALOGUE_QUANTITIES, "lg_age_lw")}
    return CatalogueSample(convert_to_f_nu(data), truth, data)


def convert_to_f_nu(data: Observation) -> F32:
    """f_nu of the bands (N, B) over its median; bands that are missing count as zero."""
    pivot_aa: F64 = np.array([f.pivot_aa for f in make_band_filters(data.instrument)])
    f_nu = np.where(data.phot_mask, data.phot, 0.0) * (pivot_aa / 5500.0) ** 2
    middle = np.maximum(np.median(f_nu, axis=1, keepdims=True), 1e-3)
    return np.clip(f_nu / middle, -10.0, 30.0).astype(np.float32)


def fit_paper_networks(sample: CatalogueSample, settings: PaperNetworkSettings) -> dict[str, Regressor]:
    """A network for each quantity.

    Parameters
    ----------
    sample : CatalogueSample
        Fluxes and truth of the objects; a fifth is held out.
    settings : PaperNetworkSettings

    Returns
    -------
    dict of str to Regressor
        By quantity of `CATALOGUE_QUANTITIES`.
    """
    order = np.random.default_rng([settings.seed, 35]).permutation(len(sample.flux))
    held, rest = np.split(order, [len(order) // 5])
    return {
        name: train_regressor(
            JpasMlp, sample.flux[rest], y[rest], (sample.flux[held], y[held]), replace(settings.fit, seed=settings.seed)
        )
        for name, y in ((k, sample.truth[k]) for k in CATALOGUE_QUANTITIES)
    }


def measure_sample_errors(networks: Mapping[str, Regressor], sample: CatalogueSample) -> dict[str, dict[str, float]]:
    """Errors of every quantity.

    Parameters
    ----------
    networks : mapping of str to Regressor
        By quantity.
    sample : CatalogueSample
        That no network has seen.

    Returns
    -------
    dict of str to dict
        `summarise_catalogue_errors` of each quantity.
    """
    return {
        name: summarise_catalogue_errors(name, net.predict(sample.flux).astype(float), sample.truth[name])
        for name, net in networks.items()
    }


def measure_paper_networks(
    source: PreparedPrior, settings: PaperNetworkSettings, progress: ReportProgress | None = None
) -> tuple[dict[str, Any], dict[str, Regressor]]:
    """The paper's networks by magnitude and across libraries.

    Parameters
    ----------
    source : PreparedPrior
    settings : PaperNetworkSettings
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
        ``by_magnitude``: of networks trained on all libraries, tested on all; ``across``: ``{trained on: {tested on:
        {quantity: errors}}}`` at bright magnitudes; ``n``, ``n_test``, ``epochs``.
    networks
        Those of all libraries.
    """
    s, names = settings, [str(m.templates.provenance["name"]) for m in source.models]
    sets = {name: [name] for name in names}
    if len(names) > 2:
        sets |= {f"all but {name}": [other for other in names if other != name] for name in names}
    if len(names) > 1:
        sets[ALL_LIBRARIES] = names
    tests = {
        name: draw_catalogue_sample(keep_libraries(source, [name]), s.n_test, BRIGHT_MAGNITUDES, s.seed + 1)
        for name in names
    }
    across: dict[str, Any] = {}
    networks: dict[str, Regressor] = {}
    for k, (title, members) in enumerate(sets.items()):
        report_progress(Progress(f"trained on {title}", k, len(sets)), progress)
        sample = draw_catalogue_sample(keep_libraries(source, members), s.n, TRAINING_MAGNITUDES, s.seed)
        networks = fit_paper_networks(sample, s)
        across[title] = {name: measure_sample_errors(networks, test) for name, test in tests.items()}
    rows = {}
    for magnitude in CATALOGUE_MAGNITUDES:
        test = draw_catalogue_sample(source, s.n_test, [magnitude], s.seed + 2)
        rows[f"{magnitude:g}"] = measure_sample_errors(networks, test)
    measured = {"by_magnitude": rows, "across": across, "n": s.n, "n_test": s.n_test, "epochs": s.fit.epochs}
    return measured, networks
