"""Quantiles and density of a prior, measured on the labels of objects drawn from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_sfh.model.posterior import DEQUANTISATION_SIGMA
from napari_sfh.model.prior_summary import GaussianMixtureDensity, LabelDensity, PriorSummary
from napari_sfh.model.sfh_model import targets_from_labels
from napari_sfh.model.targets import Targets
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import F64, QUANTILES

#: Normal distributions of the density, and objects that it is fitted to.
N_GAUSSIANS, N_FITTED = 6, 20_000
#: The same of the density of whole label vectors.
N_LABEL_GAUSSIANS = 32
_SEED = 5


def summarise_prior(labels: Any, targets: Targets) -> PriorSummary:
    """Summary of the quantities that targets predict.

    Parameters
    ----------
    labels : KnownLabels
        Of objects of the prior: `simulator.labels.Labels`, or those of a table.
    targets : Targets

    Returns
    -------
    PriorSummary
        A quantity that no label knows is left out; the density is that of the four means where all are known, else of
        all known scalars.
    """
    values = {k: _read_scalar(labels, k) for k in targets.scalars}
    known = {k: v for k, v in values.items() if np.isfinite(v).sum() >= 20}
    quantiles = {k: np.nanquantile(v, QUANTILES) for k, v in known.items()}
    if isinstance(labels, Labels):
        quantiles |= {k: np.quantile(_read_vector(labels, k), QUANTILES, axis=0).T for k in targets.vectors}
    names = MEAN_NAMES if set(MEAN_NAMES) <= set(known) else tuple(known)
    whole = _fit_label_density(labels, targets) if isinstance(labels, Labels) and targets.n_age else None
    return PriorSummary(quantiles, _fit_density(names, known), int(labels.n), whole)


def _fit_label_density(labels: Labels, targets: Targets) -> LabelDensity:
    from sklearn.mixture import GaussianMixture

    y = targets_from_labels(labels.select(slice(0, N_FITTED)), targets)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(_SEED))
    x = (y + DEQUANTISATION_SIGMA * noise).numpy().astype(np.float64)
    n = max(1, min(N_LABEL_GAUSSIANS, len(x) // 200))
    fitted = GaussianMixture(n, random_state=_SEED, reg_covar=1e-4, max_iter=60, tol=0.02).fit(x)
    arrays = (fitted.weights_, fitted.means_, fitted.precisions_cholesky_)
    return LabelDensity(*(torch.from_numpy(np.asarray(a, np.float32)) for a in arrays))


def _read_scalar(labels: Any, name: str) -> F64:
    return np.asarray(labels.quantity(name), float)


def _read_vector(labels: Labels, name: str) -> F64:
    if name == "cum_mass":
        return np.asarray(labels.mass_frac, float)[:, ::-1].cumsum(1)[:, ::-1]
    return np.asarray(getattr(labels, name), float)


def _fit_density(names: tuple[str, ...], values: dict[str, F64]) -> GaussianMixtureDensity:
    from sklearn.mixture import GaussianMixture

    x = np.column_stack([values[k] for k in names])
    x = x[np.isfinite(x).all(1)][:N_FITTED]
    fitted = GaussianMixture(min(N_GAUSSIANS, len(x) // 10), random_state=_SEED, reg_covar=1e-5).fit(x)
    return GaussianMixtureDensity(names, fitted.weights_, fitted.means_, fitted.covariances_)
