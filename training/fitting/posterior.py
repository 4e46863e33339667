"""Stages two and three: the flow on stored latent vectors; calibration and OOD score on held-out spectra."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch

from napari_sfh.console import LogLine
from napari_sfh.errors import ComputeError
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.calibration import FRACTIONS, compute_pit
from napari_sfh.model.ood import OOD_STATISTICS
from napari_sfh.model.posterior import DEQUANTISATION_SIGMA, Posterior, make_base_points
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting.device.graphed_steps import CountedAdam, GraphedSteps
from napari_sfh.training.fitting.ood_classifier import fit_ood_classifier
from napari_sfh.training.fitting.recipe import AugmentSettings, PosteriorSettings, Recipe
from napari_sfh.training.fitting.spectra_sources import Batch, Batches, SpectraSource
from napari_sfh.types import I64

#: S/N over which calibration and thresholds are measured.
HELD_OUT_SNR = (5.0, 200.0)
_CHUNK = 512
#: Of the flow's gradient.
_CLIP = 5.0
#: Steps whose objects and noise a GPU is given at once.
_STEPS_TOGETHER = 32


@dataclass(frozen=True)
class FlowTrainingSet:
    """What the flow is trained on: point predictions, flow contexts, latent vectors and truth of many objects."""

    mu: torch.Tensor  # (N, T)
    context: torch.Tensor  # (N, C), with latent vectors not yet standardised
    latent: torch.Tensor  # (N, L)
    y: torch.Tensor  # (N, T)


@torch.no_grad()  # not inference mode: weights that move in it could not be fitted afterwards
def collect_flow_training_set(model: SfhModel, batches: Batches, device: str = "cpu") -> FlowTrainingSet:
    """Run the point network over batches on a device; what it says comes back to the CPU.

    Parameters
    ----------
    model : SfhModel
    batches : iterable of Batch
    device : str

    Returns
    -------
    FlowTrainingSet
        On the CPU.
    """
    parts: list[tuple[torch.Tensor, ...]] = []
    model.to(device)
    for batch in batches:
        mu, context, latent = model.predict_centre(batch.features.to(device))
        parts.append((mu.cpu(), context.cpu(), latent.cpu(), batch.y.cpu()))
    model.cpu()
    return FlowTrainingSet(*(torch.cat(column) for column in zip(*parts, strict=True)))


def fit_flow(
    model: SfhModel,
    stored: FlowTrainingSet,
    settings: PosteriorSettings,
    seed: int,
    say: LogLine,
    device: str = "cpu",
    start: Posterior | None = None,
) -> None:
    """Train the flow by maximum likelihood, in place.

    Parameters
    ----------
    model : SfhModel
        Its ``posterior`` is trained; nothing else changes.
    stored : FlowTrainingSet
        From training spectra, with contexts of a model whose latent scale was not yet measured.
    settings : PosteriorSettings
    seed : int
    say : callable
        Gets a line per epoch.
    device : str
        cpu, cuda or mps. Random numbers are the CPU's on all of them.
    start : Posterior, optional
        A posterior of the same shape that is fitted further, in its own whitened coordinates.
    """
    posterior = model.posterior
    generator = torch.Generator().manual_seed(seed)
    if start is None:
        posterior.fit_whitening(stored.y - stored.mu, stored.latent)
    else:
        posterior.load_state_dict(start.state_dict())
    context = stored.context.clone()
    context[:, : model.network.latent_size] = (stored.latent - posterior.latent_mean) * posterior.latent_scale
    known = FlowObjects(stored.y, stored.mu, context).change_tensors(lambda x: x.to(device))
    posterior.to(device)
    order = torch.randperm(len(stored.y), generator=generator)
    held = max(1, min(len(order) // 10, 20_000))
    check, rows = order[:held].to(device), order[held:]
    steps = _FlowSteps(posterior, settings, len(rows), generator, device)
    for epoch in range(settings.epochs):
        posterior.train()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        steps.take_epoch(known, rows)
        posterior.eval()
        with torch.inference_mode():
            value = float(known.change_tensors(lambda x: x.index_select(0, check)).compute_loss(posterior))
        if not math.isfinite(value):
            raise ComputeError(f"posterior: the loss is {value}; lower posterior.learning_rate in the recipe")
        say(f"posterior epoch {epoch + 1}/{settings.epochs}: held-out loss {value:.3f}")
    posterior.cpu()


@dataclass(frozen=True)
class FlowObjects:
    """Label vectors (N, T), predictions of them (N, T) and contexts (N, C) of objects that the flow is fitted to."""

    y: torch.Tensor
    mu: torch.Tensor
    context: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)

    def change_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> FlowObjects:
        """The same with every tensor (N, ...) changed: moved to a device, or cut to some objects."""
        return FlowObjects(*map(change, self.list_tensors()))

    def list_tensors(self) -> list[torch.Tensor]:
        """Label vectors, predictions, contexts."""
        return [self.y, self.mu, self.context]

    def compute_loss(self, posterior: Posterior) -> torch.Tensor:
        """Negative log likelihood () of an object, in the mean."""
        return -posterior.log_prob(self.y, self.mu, self.context).mean()


class _FlowSteps:
    """Steps of maximum likelihood, several from one group of objects, with a rate that falls as a cosine to zero."""

    def __init__(
        self, posterior: Posterior, settings: PosteriorSettings, n: int, generator: torch.Generator, device: str
    ) -> None:
        self._posterior, self._settings, self._generator, self._device = posterior, settings, generator, device
        self._each = max(1, n // settings.batch)
        self._taken = 0
        on_gpu = device == "cuda"
        self._together = _STEPS_TOGETHER if on_gpu else 1
        self._optimiser = CountedAdam(
            posterior.flow.parameters(), settings.learning_rate, fused=device != "mps", capturable=on_gpu
        )
        self._steps: GraphedSteps[FlowObjects] | None = None

    def take_epoch(self, known: FlowObjects, rows: torch.Tensor) -> None:
        """Go once through the objects ``rows``, in that order; an incomplete last batch is left out."""
        size = self._settings.batch
        total = self._settings.epochs * self._each
        there = rows.to(self._device)
        for first in range(0, self._each, self._together):
            count = min(self._together, self._each - first)
            group = self._disturb(known, there[first * size : (first + count) * size])
            if self._steps is None:
                loss = partial(FlowObjects.compute_loss, posterior=self._posterior)
                smaller = min(size, len(group))
                self._steps = GraphedSteps(loss, self._posterior, self._optimiser, _CLIP, group, smaller)
            done = range(self._taken, self._taken + count)
            rate = self._settings.learning_rate
            self._steps.take_steps(group, [rate * 0.5 * (1 + math.cos(math.pi * k / total)) for k in done])
            self._taken += count

    def _disturb(self, known: FlowObjects, rows: torch.Tensor) -> FlowObjects:
        """Objects by their row numbers, with new noise in their label vectors, drawn batch by batch."""
        size, width = self._settings.batch, known.y.shape[1]
        counts = [min(size, len(rows) - lo) for lo in range(0, len(rows), size)]
        noise = torch.cat([torch.randn(n, width, generator=self._generator) for n in counts])
        part = known.change_tensors(lambda x: x.index_select(0, rows))
        return replace(part, y=part.y + DEQUANTISATION_SIGMA * noise.to(self._device))


@dataclass(frozen=True)
class HeldOutMeasurements:
    """What calibration and thresholds need of held-out spectra."""

    ranks: dict[str, torch.Tensor]
    lg_snr: torch.Tensor
    latent: torch.Tensor
    ood_statistics: torch.Tensor
    band_residual: torch.Tensor
    band_observed: torch.Tensor


def truth_from_batch(y: torch.Tensor, batch: Batch, model: SfhModel) -> dict[str, torch.Tensor]:
    """True values of every scalar and vector; masses and means are the simulation's own, not the basis'.

    Parameters
    ----------
    y : tensor (N, T)
        Label vectors of the batch.
    batch : Batch
        N objects.
    model : SfhModel

    Returns
    -------
    dict of str to tensor
        (N,) of scalars, (N, A) of vectors.
    """
    if not model.targets.n_age:
        return batch.truth
    derived = model.derive(y)
    mass = batch.truth["mass_frac"]
    return derived | batch.truth | {"cum_mass": cumulative_fraction(mass)}


@torch.inference_mode()
def measure_held_out(
    model: SfhModel,
    basis: TemplateBasis,
    source: SpectraSource,
    rows: I64,
    recipe: Recipe,
    draws: int,
    seed: int,
    device: str = "cpu",
) -> HeldOutMeasurements:
    """Draw the posteriors of held-out spectra, and measure what calibration and warnings are fitted to.

    Parameters
    ----------
    model : SfhModel
        With its posterior.
    basis : TemplateBasis
        Templates, for the misfit of the model spectra.
    source : SpectraSource
    rows : integer array (N,)
        Held-out objects of the source.
    recipe : Recipe
        How the spectra are made worse.
    draws, seed : int
        Draws per object, and the seed of noise and draws.
    device : str
        cpu, cuda or mps: where network and posterior are computed.

    Returns
    -------
    HeldOutMeasurements
        Ranks of the truth among the draws, and out-of-distribution statistics.
    """
    settings = derive_held_out_settings(recipe.augment)
    targets = model.targets
    names = (*targets.scalars, *targets.vectors)
    kept = basis if targets.n_age else None
    bundle = Bundle("", Path(), "", {}, source.instrument, targets, basis.filters, kept, model, source.features)
    base = make_base_points(draws, targets.size).to(device)
    there = model if device == "cpu" else copy.deepcopy(model).to(device)
    columns: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, value: torch.Tensor) -> None:
        columns.setdefault(name, []).append(value)

    for batch in Batches(source, rows, _CHUNK, settings, seed):
        mu, context, latent = there.predict_centre(batch.features.to(device))
        for lo in range(0, len(mu), 64):
            part = slice(lo, lo + 64)
            made, cut = there.draw(mu[part], context[part], base), batch.change_tensors(itemgetter(part))
            truth = truth_from_batch(cut.y, cut, model)
            for name in names:
                keep(name, compute_pit(made[name], truth[name].to(device), bounds=name in FRACTIONS).cpu())
            out = _point_values(made, latent[part])
            statistics, away, seen = inference.compute_ood_statistics(cut.features, bundle, out)
            for key, value in (
                ("statistics", statistics),
                ("away", away),
                ("seen", seen),
                ("latent", latent[part].cpu()),
            ):
                keep(key, value)
        keep("lg_snr", batch.features.lg_snr[:, 0])
    done = {k: torch.cat(v) for k, v in columns.items()}
    ranks = {k: done[k] for k in names}
    return HeldOutMeasurements(ranks, done["lg_snr"], done["latent"], done["statistics"], done["away"], done["seen"])


def derive_held_out_settings(settings: AugmentSettings) -> AugmentSettings:
    """A fifth of the recipe's losses of bands and wavelengths, nearer to real use, at S/N even in the logarithm.

    They reach as far as the recipe's, where it names a wider range than `HELD_OUT_SNR`: bright catalogues do.
    """
    ends = (*HELD_OUT_SNR, *settings.snr_range)
    losses = ("drop_band", "drop_photometry", "mask_range", "mask_line")
    fewer = {k: 0.2 * getattr(settings, k) for k in losses}
    return replace(settings, snr_mix=(), snr_mix_share=0.0, snr_range=(min(ends), max(ends)), **fewer)


def calibrate_model(
    model: SfhModel,
    basis: TemplateBasis,
    source: SpectraSource,
    parts: tuple[I64, I64],
    recipe: Recipe,
    say: LogLine,
    device: str = "cpu",
) -> None:
    """Measure calibration levels and thresholds of the out-of-distribution score, in place.

    Parameters
    ----------
    model : SfhModel
        Network and posterior are fitted; modified.
    basis : TemplateBasis
    source : SpectraSource
    parts : tuple of two int arrays
        Rows that were trained on, and held-out rows. Subspace and classifier come from the first; levels, densities
        and thresholds from the second.
    recipe : Recipe
    say : callable
        Given a line on what is done.
    device : str
        cpu, cuda or mps: where posteriors are drawn.
    """
    p, seed = recipe.posterior, recipe.fit.seed
    say("calibration: the spectra the network knows, against corrupted ones")
    rng = np.random.default_rng([seed, 11])
    some = np.sort(rng.permutation(parts[0])[:8192])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the components are found from random directions
        model.depth.fit_subspace(source.batch(some, recipe.augment, rng).features)
    loss = fit_ood_classifier(model.depth, basis, source, parts[0], derive_held_out_settings(recipe.augment), seed)
    say(f"out-of-distribution classifier: cross-entropy {loss:.3f}")
    half = len(parts[1]) // 2
    held = measure_held_out(model, basis, source, parts[1], recipe, p.calibration_draws, seed + 2, device)
    model.calibration.fit(held.ranks, held.lg_snr, draws=p.calibration_draws)
    say(f"calibrated on {len(held.lg_snr)} held-out spectra")
    # Density and scatter from one half, thresholds from the other: a density knows the spectra that made it.
    model.depth.set_density(*_fit_gaussian_mixture(held.latent[:half], p.gaussians, seed))
    model.depth.fit_photometry(held.band_residual[:half], held.band_observed[:half], held.lg_snr[:half])
    statistics = held.ood_statistics[half:].clone()
    statistics[:, OOD_STATISTICS.index("latent")] = model.depth.latent_statistic(held.latent[half:])
    statistics[:, OOD_STATISTICS.index("photometry")] = model.depth.photometry_statistic(
        held.band_residual[half:], held.band_observed[half:], held.lg_snr[half:]
    )
    model.depth.fit_threshold(statistics, held.lg_snr[half:])
    say("out-of-distribution thresholds set")


def _fit_gaussian_mixture(latent: torch.Tensor, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Means, Cholesky roots of the precisions and weights of a Gaussian mixture."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(n, random_state=seed, reg_covar=1e-4, max_iter=50).fit(latent.double().numpy())
    arrays = (fitted.means_, fitted.precisions_cholesky_, fitted.weights_)
    means, roots, weights = (torch.from_numpy(np.asarray(a, np.float32)) for a in arrays)
    return means, roots, weights


def _point_values(made: dict[str, torch.Tensor], latent: torch.Tensor) -> dict[str, np.ndarray]:
    """Point values from raw draws, keyed as `inference.compute_ood_statistics` reads them."""
    wanted = [k for k in ("tau_ism", "tau_bc", "ebv", "mh_lw") if k in made]
    out = {f"q:{k}": made[k].quantile(0.5, dim=1)[:, None].expand(-1, 5) for k in wanted}
    if "mass_frac" in made:
        out |= {"mass_frac": made["mass_frac"].mean(1), "mh": made["mh"].median(1).values}
    out["latent"] = latent
    return {k: v.cpu().numpy() for k, v in out.items()}
