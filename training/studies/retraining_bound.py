"""How much better could a network do on galaxies from elsewhere? It is trained on them and asked again.

The shipped network's scatter there has two parts: what its own prior taught it wrongly, and what a spectrum of that
S/N cannot tell. A copy of the network, fitted to other galaxies of the same independent simulator
(`independent_simulator`), is
without the first; what is left is about the second. No such copy ships: those galaxies judge the weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.sfh_model import SfhModel, targets_from_labels
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.fitting.losses import light_loss
from napari_sfh.training.fitting.spectra_sources import TRUTH_LABELS
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.simulator import independent_simulator
from napari_sfh.types import I64

_BATCH, _RATE, _CLIP = 128, 4e-4, 1.0


@dataclass(frozen=True)
class RetrainingBoundSettings:
    """Galaxies per library to fit and to test on, epochs, and their S/N."""

    n: int = 8000
    n_test: int = 1024
    epochs: int = 8
    snr: float = 35.0
    seed: int = 20261121


def measure_retraining_bound(
    bundle: Bundle, libraries: dict[str, Templates], settings: RetrainingBoundSettings, say: Callable[[str], None]
) -> dict[str, Any]:
    """Accuracy on galaxies from elsewhere before and after the network has been fitted to such galaxies.

    Parameters
    ----------
    bundle : Bundle
    libraries : dict of Templates
        Of whose stars the galaxies are made.
    settings : RetrainingBoundSettings
    say : callable
        Gets a line per epoch.

    Returns
    -------
    dict
        ``shipped`` and ``fitted`` (each as `metrics.measure_accuracy`), and the settings.

    Raises
    ------
    SfhInputError
        Weights whose network predicts mass: the loss asks for light.
    """
    if not bundle.targets.n_age or bundle.model.mass_to_light is None:
        raise SfhInputError(f"`weights`: {bundle.name!r} predicts no histories; give weights that do")
    if bundle.model.network.predicts_mass:
        raise SfhInputError(f"`weights`: {bundle.name!r} predicts mass fractions; give weights of a `stem` network")
    rng = np.random.default_rng([settings.seed, 78])
    train = [independent_simulator.simulate_independent_galaxies(t, settings.n, rng) for t in libraries.values()]
    test = [independent_simulator.simulate_independent_galaxies(t, settings.n_test, rng) for t in libraries.values()]
    seen = [(encode_observation(g.observe(settings.snr, rng)), g) for g in test]
    model = copy.deepcopy(bundle.model)
    torch.manual_seed(settings.seed)

    def accuracy() -> dict[str, Any]:
        answers = [_predict_means(model, features) for features, _ in seen]
        found = {k: np.concatenate([a[k] for a in answers]) for k in MEAN_NAMES}
        truth = {k: np.concatenate([getattr(g.labels, k) for _, g in seen]) for k in MEAN_NAMES}
        return metrics.measure_accuracy(found, truth)

    shipped = accuracy()
    for epoch, loss in enumerate(_retrain(model, train, settings, rng)):
        say(f"epoch {epoch + 1}/{settings.epochs}: loss {loss:.3f}")
    facts = {"n": settings.n * len(train), "epochs": settings.epochs, "snr": settings.snr, "seed": settings.seed}
    return {"shipped": shipped, "fitted": accuracy(), "libraries": list(libraries), **facts}


@torch.no_grad()
def _predict_means(model: SfhModel, features: Any) -> dict[str, NDArray[np.float32]]:
    """The point network's four means."""
    model.network.eval()
    derived = model.derive(model.predict_centre(features)[0])
    return {k: derived[k].numpy() for k in MEAN_NAMES}


def _retrain(
    model: SfhModel,
    train: list[independent_simulator.IndependentGalaxies],
    settings: RetrainingBoundSettings,
    rng: np.random.Generator,
) -> Iterator[float]:
    """Fit the network in place, with new noise in every epoch; yields each epoch's mean loss."""
    network, to_light = model.network.requires_grad_(True), model.mass_to_light
    assert to_light is not None  # asked before
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    for epoch in range(settings.epochs):
        network.train()
        observed = [g.observe(settings.snr, rng) for g in train]
        order = _shuffle_batches([len(g.flux) for g in train], rng)
        total = 0.0
        for step, (which, rows) in enumerate(order):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * (epoch + step / len(order)) / settings.epochs))
            labels = train[which].labels.select(rows)
            truth = {k: torch.from_numpy(np.asarray(getattr(labels, k), np.float32)) for k in TRUTH_LABELS}
            decoded, _ = network(encode_observation(observed[which].select(rows)))
            # Its dust follows other laws than the labels': not asked for.
            asked = decoded._replace(dust=None)
            loss = light_loss(asked, targets_from_labels(labels, model.targets), truth, to_light)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimiser.step()
            total += float(loss.detach())
        yield total / len(order)


def _shuffle_batches(sizes: list[int], rng: np.random.Generator) -> list[tuple[int, I64]]:
    """Batches of row numbers, each within one library, in random order."""
    batches = []
    for which, n in enumerate(sizes):
        for rows in np.array_split(rng.permutation(n), max(1, n // _BATCH)):
            batches.append((which, np.sort(rows)))
    return [batches[int(k)] for k in rng.permutation(len(batches))]
