"""Short trainings whose accuracies are compared: what a choice is worth, not how good a network can become.

Every training draws its objects with one seed, so that two of them differ in the choice alone, and is tested on one set
of other objects. Only the point network is fitted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.model.targets import HistoryTargets
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.test_set import TEST_SEED
from napari_sfh.training.fitting.learning_curve import read_learning_curve
from napari_sfh.training.fitting.point_network import fit_point_network
from napari_sfh.training.fitting.recipe import AugmentSettings, Recipe
from napari_sfh.training.fitting.spectra_sources import FreshSource, make_fresh_source, split_rows
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.training.simulator.simulation import PreparedPrior
from napari_sfh.types import F64, I64, Observation

SayLine = Callable[[str], None]


@dataclass(frozen=True)
class SmallTrainingSettings:
    """Objects drawn for training (70 % of them are fitted), epochs, objects of the test; and where it runs."""

    n: int = 16_000
    epochs: int = 8
    n_test: int = 2_048
    seed: int = 5
    device: str = "cpu"

    def to_json(self) -> dict[str, int]:
        """What decides the answers."""
        return {"n": self.n, "epochs": self.epochs, "n_test": self.n_test, "seed": self.seed}

    def shorten(self, recipe: Recipe) -> Recipe:
        """A recipe at this size; its learning rate falls to zero over these epochs."""
        fit = replace(recipe.fit, epochs=self.epochs, seed=self.seed, stop_epochs=max(self.epochs, 1))
        return replace(recipe, n=self.n, fit=fit)


@dataclass(frozen=True)
class TestSpectra:
    """Objects as observed, and their truth."""

    __test__ = False  # no test class, whatever its name says

    data: Observation
    labels: Labels


def draw_test_spectra(source: PreparedPrior, n: int, seed: int = TEST_SEED) -> TestSpectra:
    """``n`` objects of a prior that no training draws, with noise by the prior's own model.

    Parameters
    ----------
    source : PreparedPrior
    n, seed : int
        Objects, and the seed of their draws.

    Returns
    -------
    TestSpectra
    """
    fresh = make_fresh_source(source, n, seed)
    data = fresh.observe(np.arange(n), AugmentSettings(), np.random.default_rng([seed, 3]))
    labels = fresh.labels
    assert isinstance(labels, Labels)  # a prior's objects are synthetic
    return TestSpectra(data, labels)


def fit_small_network(
    recipe: Recipe,
    spectra: FreshSource,
    basis: TemplateBasis,
    say: SayLine,
    parts: tuple[I64, I64] | None = None,
    device: str = "cpu",
) -> tuple[SfhModel, dict[str, Any]]:
    """Fit a recipe's point network to the rows of ``parts`` (fitted, validated), or to the usual split.

    Parameters
    ----------
    recipe : Recipe
    spectra : FreshSource
    basis : TemplateBasis
    say : callable
        Given a line on what is done.
    parts : tuple of two int arrays, optional
        Rows to fit and to validate; default: the usual split.
    device : str
        Of torch.

    Returns
    -------
    SfhModel
    dict
        ``validation`` (loss of each epoch), ``seconds`` of the fit, ``weights`` (their number).
    """
    if parts is None:
        parts = split_rows(spectra.labels.n, recipe.fit.seed)[:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = fit_point_network(recipe, spectra, parts, basis, folder, device, quiet=True)
        curve = read_learning_curve(folder)
    facts: dict[str, Any] = {
        "validation": [round(e.val, 6) for e in curve],
        "seconds": curve[-1].seconds if curve else None,
        "weights": sum(p.numel() for p in model.network.parameters()),
    }
    say(f"{recipe.name}: {facts['seconds']} s, validation {facts['validation'][-1]}")
    return model, facts


@torch.no_grad()
def predict_small_network(model: SfhModel, data: Observation, batch: int = 512) -> dict[str, F64]:
    """Point values of the four means (N,), of ``mass_frac`` and of ``mh`` (N, A).

    Parameters
    ----------
    model : SfhModel
        Of histories.
    data : Observation
        N objects.
    batch : int
        Objects at a time.

    Returns
    -------
    dict of str to array
    """
    model.network.eval()
    parts: list[dict[str, torch.Tensor]] = []
    for start in range(0, data.n_bins, batch):
        features = encode_observation(data.select(slice(start, start + batch)))
        decoded, _ = model.network(features)
        parts.append(model.derive(model.predict_targets(decoded)))
    return {k: torch.cat([p[k] for p in parts]).double().numpy() for k in (*MEAN_NAMES, "mass_frac", "mh")}


def measure_small_network(model: SfhModel, test: TestSpectra) -> dict[str, Any]:
    """Accuracy of the four means, and the error of the mass fractions where the bins are the 16.

    Parameters
    ----------
    model : SfhModel
    test : TestSpectra

    Returns
    -------
    dict
        JSON types: ``accuracy`` in dex, and ``smape``.
    """
    found = predict_small_network(model, test.data)
    truth = {k: np.asarray(getattr(test.labels, k), float) for k in MEAN_NAMES}
    out: dict[str, Any] = {"accuracy": metrics.measure_accuracy({k: found[k] for k in MEAN_NAMES}, truth)}
    if found["mass_frac"].shape[1] == test.labels.mass_frac.shape[1]:
        smape = metrics.symmetric_percentage_error(found["mass_frac"], np.asarray(test.labels.mass_frac, float))
        out["smape"] = float(np.median(smape))
    return out


def merge_age_bins(spectra: FreshSource, basis: TemplateBasis, width: int) -> tuple[FreshSource, TemplateBasis]:
    """The same objects with every ``width`` age bins taken together; the means of their truth stay as they are.

    Parameters
    ----------
    spectra : FreshSource
    basis : TemplateBasis
        On the 16 age bins.
    width : int
        Divides 16.

    Returns
    -------
    spectra : FreshSource
    basis : TemplateBasis
        On 16 / ``width`` age bins.

    Raises
    ------
    ValueError
        ``width`` does not divide the number of bins.
    """
    edges = AGE_EDGES_GYR[::width]
    if edges[-1] != AGE_EDGES_GYR[-1]:
        raise ValueError(f"width {width} does not divide {len(AGE_EDGES_GYR) - 1} age bins")
    labels = spectra.labels
    mass, light = (_sum_groups(np.asarray(x), width) for x in (labels.mass_frac, labels.light_frac))
    weight = np.asarray(labels.mass_frac) + 1e-6  # an empty bin has a metallicity too, by the enrichment law
    mh = _sum_groups(weight * labels.mh, width) / _sum_groups(weight, width)
    merged = replace(labels, mass_frac=mass, light_frac=light, mh=mh.astype(np.float32))
    share = np.diff(AGE_EDGES_GYR)
    starts = np.arange(0, len(share), width)
    total = np.add.reduceat(share, starts)

    def average(x: Any) -> Any:
        weighted = np.asarray(x) * share.reshape(-1, *[1] * (np.ndim(x) - 1))
        return (np.add.reduceat(weighted, starts, axis=0) / total.reshape(-1, *[1] * (np.ndim(x) - 1))).astype("f4")

    coarse = replace(
        basis,
        spectrum=average(basis.spectrum),
        sed=average(basis.sed),
        light_v=average(basis.light_v),
        age_edges_gyr=edges,
    )
    targets = HistoryTargets(tuple(float(e) for e in edges))
    return replace(spectra, labels=merged, targets=targets), coarse


def _sum_groups(x: Any, width: int) -> Any:
    return x.reshape(len(x), -1, width).sum(-1)


def draw_training_spectra(source: PreparedPrior, settings: SmallTrainingSettings) -> tuple[FreshSource, TemplateBasis]:
    """Noiseless objects of a prior, which get new noise in every epoch, and the basis of its first library.

    Parameters
    ----------
    source : PreparedPrior
    settings : SmallTrainingSettings
        Its ``n`` and ``seed``.

    Returns
    -------
    spectra : FreshSource
    basis : TemplateBasis
    """
    return make_fresh_source(source, settings.n, settings.seed), make_template_basis(source.models[0].templates)
