"""The error of a network on galaxies that its prior does not know, by which an epoch can be chosen.

More training makes a network better on its own prior and, from some point on, worse on galaxies of another
simulator. The check is the mean of root-mean-square errors over the four means, three classes of light-weighted age,
and spectra with their gas lines seen and hidden, each counting the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_sfh.model.encoding import Features, encode_observation
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.simulator.independent_simulator import observe_independent_galaxies

#: Edges in log yr of the classes of light-weighted age: young, intermediate, old.
LG_AGE_CLASSES: tuple[float, ...] = (0.0, 8.7, 9.6, 20.0)
#: Seed of the galaxies; no evaluation uses it.
CHECK_SEED = 20_261_126
_CHUNK = 256


@dataclass(frozen=True)
class IndependentCheck:
    """Encoded galaxies with lines seen, the same with lines hidden, and the truth of the four means (N,)."""

    seen: Features
    hidden: Features
    truth: dict[str, torch.Tensor]

    @torch.no_grad()
    def measure_error(self, model: SfhModel) -> float:
        """Mean error in dex of the point network, see the module."""
        errors = [self._measure_case(model, features) for features in (self.seen, self.hidden)]
        return float(torch.stack(errors).mean())

    def _measure_case(self, model: SfhModel, features: Features) -> torch.Tensor:
        device = next(model.network.parameters()).device
        parts = []
        for lo in range(0, len(features), _CHUNK):
            part = slice(lo, lo + _CHUNK)
            piece = Features(
                features.spectrum[part], features.photometry[part], features.lg_snr[part], features.redshift[part]
            )
            derived = model.derive(model.predict_centre(piece.to(device))[0])
            parts.append(torch.stack([derived[k].cpu() for k in MEAN_NAMES], 1))
        squares = (torch.cat(parts) - torch.stack([self.truth[k] for k in MEAN_NAMES], 1)) ** 2
        lg_age = self.truth["lg_age_lw"]
        classes = itertools.pairwise(LG_AGE_CLASSES)
        return torch.stack([squares[(lg_age >= lo) & (lg_age < hi)].mean(0).sqrt().mean() for lo, hi in classes])


def make_independent_check(templates: Sequence[Templates], n: int = 600, snr: float = 35.0) -> IndependentCheck:
    """Galaxies of the independent simulator, ``n`` of each library, encoded once.

    Parameters
    ----------
    templates : sequence of Templates
        Stars and gas, as the network's instrument sees them.
    n : int
        Galaxies of each library.
    snr : float
        Per pixel in the window.
    """
    made = [observe_independent_galaxies(t, n, CHECK_SEED + k, snr) for k, t in enumerate(templates)]
    seen = [encode_observation(data) for data, _ in made]
    hidden = [encode_observation(mask_gas_lines(data)) for data, _ in made]
    truth = {
        k: torch.from_numpy(np.concatenate([np.asarray(getattr(t, k), np.float32) for _, t in made]))
        for k in MEAN_NAMES
    }
    return IndependentCheck(_join_features(seen), _join_features(hidden), truth)


def _join_features(parts: Sequence[Features]) -> Features:
    names = ("spectrum", "photometry", "lg_snr", "redshift")
    return Features(*(torch.cat([getattr(p, name) for p in parts]) for name in names))
