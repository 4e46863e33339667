"""What weights believed before they saw any data: the prior's own quantiles and its density on the means.

A posterior as wide as the prior has learnt nothing of the data. Every bundle of weights says how wide its prior is
(``prior_summary`` in its metadata); for shipped weights of earlier versions, which do not, the file
``data/prior_summaries.json`` has the summaries of their priors by sha256.

Two densities are mixtures of Gaussians, fitted to draws of the prior: that of the four means, for ratios of two priors
(`analysis.credibility.reweighting`), and that of whole label vectors, with which a likelihood is multiplied
(`analysis.refinement`). Sharp edges of the prior are rounded. Labels got the noise `posterior.DEQUANTISATION_SIGMA`, as
the flow saw them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle
from napari_sfh.types import F32, F64

#: Key of a bundle's metadata.
PRIOR_SUMMARY_KEY = "prior_summary"
_WHOLE = "label_density"


@dataclass(frozen=True)
class GaussianMixtureDensity:
    """Weighted normal distributions (K) in some quantities (D), by name."""

    names: tuple[str, ...]
    weights: F64  # (K,)
    means: F64  # (K, D)
    covariances: F64  # (K, D, D)

    def evaluate_log_density(self, values: Mapping[str, F64]) -> F64:
        """Natural logarithm of the density (n,) at values (n,) of some of the quantities; over the others it is summed.

        Raises
        ------
        SfhInputError
            A quantity that the mixture does not know, or none.
        """
        if not values or (unknown := [k for k in values if k not in self.names]):
            word = repr(unknown[0]) if values else "no quantity"
            raise SfhInputError(f"prior: {word} has no known density; choose from {', '.join(self.names)}")
        place = [self.names.index(k) for k in values]
        x = np.column_stack([np.asarray(v, float) for v in values.values()])
        terms = []
        for weight, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            part = covariance[np.ix_(place, place)]
            away = x - mean[place]
            distance = (away @ np.linalg.inv(part) * away).sum(1)
            _, log_volume = np.linalg.slogdet(2 * np.pi * part)
            terms.append(np.log(weight) - 0.5 * (distance + log_volume))
        return np.asarray(logsumexp(terms, axis=0), dtype=float)


@dataclass(frozen=True)
class LabelDensity:
    """Weighted normal distributions (K) of vectors y (T).

    Attributes
    ----------
    weights : tensor (K,)
    means : tensor (K, T)
    roots : tensor (K, T, T)
        Upper triangular roots R of the precisions: precision = R R^T.
    """

    weights: torch.Tensor
    means: torch.Tensor
    roots: torch.Tensor

    def log_prob(self, y: torch.Tensor) -> torch.Tensor:
        """Natural logarithm of the density (n,) at vectors y (n, T); differentiable."""
        # (y - mean) R, as one product of all components.
        away = torch.einsum("nt,kts->nks", y, self.roots) - torch.einsum("kt,kts->ks", self.means, self.roots)
        return torch.logsumexp(self._ln_peaks() - 0.5 * (away**2).sum(-1), dim=1)

    def log_prob_of(self, component: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What components (n,), weights and all, add to the density (n,) at vectors y (n, T), as a logarithm."""
        away = ((y - self.means[component])[:, None] @ self.roots[component])[:, 0]
        return self._ln_peaks()[component] - 0.5 * (away**2).sum(1)

    def select(self, components: torch.Tensor) -> LabelDensity:
        """Some components (K,), boolean, each with the weight that it has."""
        return LabelDensity(self.weights[components], self.means[components], self.roots[components])

    def _ln_peaks(self) -> torch.Tensor:
        volume = self.roots.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        return self.weights.log() + volume - 0.5 * self.means.shape[1] * math.log(2 * math.pi)

    def to_json(self) -> dict[str, Any]:
        """Plain values, numbers in half precision; `label_density_from_json` inverts it."""
        size = self.means.shape[1]
        rows, columns = np.triu_indices(size)
        arrays = {"weights": self.weights, "means": self.means, "roots": self.roots[:, rows, columns]}
        packed = {k: base64.b64encode(v.numpy().astype("<f2").tobytes()).decode() for k, v in arrays.items()}
        return {"components": len(self.weights), "size": size, **packed}


def label_density_from_json(values: Mapping[str, Any]) -> LabelDensity:
    """Inverse of `LabelDensity.to_json`.

    Raises
    ------
    SfhInputError
        Numbers of another count.
    """
    n, size = int(values["components"]), int(values["size"])
    rows, columns = np.triu_indices(size)
    shapes = {"weights": (n,), "means": (n, size), "roots": (n, rows.size)}
    arrays = {}
    for key, shape in shapes.items():
        plain = np.frombuffer(base64.b64decode(values[key]), "<f2").astype(np.float32)
        if plain.size != math.prod(shape):
            raise SfhInputError(f"density of the prior: {key} has {plain.size} numbers, not {math.prod(shape)}")
        arrays[key] = torch.from_numpy(plain.reshape(shape))
    roots = torch.zeros(n, size, size)
    roots[:, rows, columns] = arrays["roots"]
    weights = arrays["weights"].clamp(min=1e-6)
    return LabelDensity(weights / weights.sum(), arrays["means"], roots)


@dataclass(frozen=True)
class PriorSummary:
    """Quantiles (5,) or (A, 5) of every quantity that the weights predict, at `types.QUANTILES`; and their density."""

    quantiles: Mapping[str, F64]
    density: GaussianMixtureDensity
    n: int  # objects of the prior from which they were measured
    label_density: LabelDensity | None = None  # of histories; None in summaries of earlier versions

    def half_width(self, name: str) -> F64:
        """Half of the prior's 16-84 % width of a quantity, () or (A,)."""
        q = self.quantiles[name]
        return np.asarray(0.5 * (q[..., 3] - q[..., 1]))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `prior_summary_from_json` inverts it."""
        d = self.density
        whole = {} if self.label_density is None else {_WHOLE: self.label_density.to_json()}
        return whole | {
            "n": self.n,
            "quantiles": {k: np.round(v, 5).tolist() for k, v in self.quantiles.items()},
            "density": {
                "names": list(d.names),
                "weights": np.round(d.weights, 6).tolist(),
                "means": np.round(d.means, 6).tolist(),
                "covariances": np.round(d.covariances, 9).tolist(),
            },
        }


def prior_summary_from_json(values: Mapping[str, Any]) -> PriorSummary:
    """Inverse of `PriorSummary.to_json`."""
    d = values["density"]
    arrays = (np.asarray(d[k], float) for k in ("weights", "means", "covariances"))
    quantiles = {k: np.asarray(v, float) for k, v in values["quantiles"].items()}
    whole = label_density_from_json(values[_WHOLE]) if _WHOLE in values else None
    return PriorSummary(quantiles, GaussianMixtureDensity(tuple(d["names"]), *arrays), int(values["n"]), whole)


def load_prior_summary(bundle: Bundle) -> PriorSummary | None:
    """The summary of a bundle's prior; None where neither the bundle nor the package has one.

    Examples
    --------
    >>> from napari_sfh.model.bundle import load_bundle
    >>> summary = load_prior_summary(load_bundle("wide"))
    >>> bool(summary.half_width("lg_age_mw") > 0.2)
    True
    """
    own, shipped = bundle.meta.get(PRIOR_SUMMARY_KEY), _read_shipped_summaries().get(bundle.meta["prior"].get("sha256"))
    # Weights of earlier versions do not hold the density of their labels: what is shipped for their prior does.
    stored = shipped if own is None or (shipped is not None and _WHOLE not in own) else own
    if stored is None:
        return None
    try:
        summary = prior_summary_from_json(stored)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SfhInputError(f"{bundle.path}: {PRIOR_SUMMARY_KEY} in its document is incomplete; train again") from error
    wanted: Sequence[str] = (*bundle.targets.scalars, *bundle.targets.vectors)
    known = {k: v for k, v in summary.quantiles.items() if k in wanted}
    return replace(summary, quantiles=known)


def load_prior_quantiles(bundle: Bundle) -> dict[str, F32]:
    """Quantiles (5,) or (A, 5) of what a bundle predicts, before any data; empty where they are not known."""
    summary = load_prior_summary(bundle)
    return {} if summary is None else {k: np.asarray(v, np.float32) for k, v in summary.quantiles.items()}


@lru_cache(maxsize=1)
def _read_shipped_summaries() -> dict[str, Any]:
    file = resources.files("napari_sfh.data") / "prior_summaries.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
