"""A bundle's answers on a test set, beside the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import DRAWS, predict_histories
from napari_sfh.model.targets import Targets
from napari_sfh.physics.dust import ebv_from_tau
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.training.fitting.spectra_sources import HISTORIES
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.training.simulator.simulation import join_labels
from napari_sfh.types import F64, Observation, Prediction, Progress

#: Quantities of `Prediction` whose truth a synthetic set knows.


@dataclass(frozen=True)
class PredictionsWithTruth:
    """Answers and truth of N objects. Without histories there are no vectors and no fractions."""

    quantiles: dict[str, F64]  # of every scalar (N, 5) and vector (N, 16, 5)
    truth: dict[str, F64]  # of the same names, (N,) or (N, 16); and ``slope``
    mass_frac: F64 | None  # (N, A) point values
    light_frac: F64 | None
    ood: F64  # (N,)
    latent: F64  # (N, L)
    snr: F64  # (N,)
    n_bands: F64  # (N,)

    @property
    def n(self) -> int:
        """Number of objects."""
        return len(self.ood)

    @property
    def found(self) -> dict[str, F64]:
        """Posterior medians of the scalars, (N,) each."""
        return {k: q[:, 2] for k, q in self.quantiles.items() if q.ndim == 2}


def truth_from_labels(labels: Labels, targets: Targets = HISTORIES) -> dict[str, F64]:
    """The truth of every quantity that a prediction holds.

    Parameters
    ----------
    labels : Labels
        N objects.
    targets : Targets

    Returns
    -------
    dict of str to array
        (N,) of scalars, (N, A) of vectors.
    """
    if not targets.n_age:
        return {name: np.asarray(labels.quantity(name), float) for name in targets.scalars}
    truth: dict[str, F64] = {
        k: np.asarray(getattr(labels, k), float)
        for k in ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "tau_ism", "tau_bc", "lg_ml_v", "slope")
    }
    truth |= {k: np.asarray(getattr(labels, k), float) for k in ("light_frac", "mass_frac", "mh")}
    truth["ebv"] = np.asarray(ebv_from_tau(truth["tau_ism"], truth["slope"]), float)
    truth["cum_mass"] = cumulative_fraction(truth["mass_frac"])
    return truth


def predict_test_set(
    observed: Iterable[tuple[Observation, Labels]],
    bundle: Bundle,
    device: str,
    stage: str,
    total: int,
    draws: int = DRAWS,
    progress: ReportProgress | None = None,
) -> PredictionsWithTruth:
    """Predict pieces of a test set.

    Parameters
    ----------
    observed : iterable of (Observation, Labels)
    bundle : Bundle
    device : str
    stage : str
        For the progress.
    total : int
        Objects in all.
    draws : int
    """
    parts: list[tuple[Prediction, Observation]] = []
    labels: list[Labels] = []
    done = 0
    for data, truth in observed:
        report_progress(Progress(stage, done, total), progress)
        parts.append((predict_histories(data, bundle, device, draws=draws), data))
        labels.append(truth)
        done += data.n_bins
    report_progress(Progress(stage, done, total), progress)
    return _join(parts, truth_from_labels(join_labels(labels), bundle.targets))


def _join(parts: list[tuple[Prediction, Observation]], truth: dict[str, F64]) -> PredictionsWithTruth:
    def column(name: str) -> F64:
        return np.concatenate([getattr(p, name) for p, _ in parts])

    quantiles = {k: np.concatenate([p.quantiles[k] for p, _ in parts]) for k in parts[0][0].quantiles}
    return PredictionsWithTruth(
        quantiles=quantiles,
        truth=truth,
        mass_frac=column("mass_frac") if parts[0][0].mass_frac is not None else None,
        light_frac=column("light_frac") if parts[0][0].light_frac is not None else None,
        ood=column("ood"),
        latent=column("latent"),
        snr=np.concatenate([d.snr for _, d in parts]),
        n_bands=np.concatenate([d.phot_mask.sum(1) for _, d in parts]),
    )
