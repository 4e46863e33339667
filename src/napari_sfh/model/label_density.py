"""The density of a prior's label vectors, with which a likelihood is multiplied where a posterior is sampled.

A mixture of normal distributions over the vectors y of `model.targets`, fitted to draws of the prior to which the noise
`posterior.DEQUANTISATION_SIGMA` was added, as the flow saw them. It is smooth: sharp edges of the prior are rounded.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_sfh.errors import SfhInputError


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
        size = self.means.shape[1]
        # (y - mean) R, as one product of all components.
        away = torch.einsum("nt,kts->nks", y, self.roots) - torch.einsum("kt,kts->ks", self.means, self.roots)
        volume = self.roots.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        terms = self.weights.log() + volume - 0.5 * (away**2).sum(-1) - 0.5 * size * math.log(2 * math.pi)
        return torch.logsumexp(terms, dim=1)

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
