"""The classifier of the out-of-distribution score: it tells training spectra from corrupted ones (`corruption`)."""

from __future__ import annotations

import numpy as np
import torch

from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.ood import OodDetector
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting.corruption import corrupt_spectra
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import SpectraSource
from napari_sfh.training.simulator.stored_set import prefetch_in_threads
from napari_sfh.types import I64

#: Good spectra that are shown, with as many spoilt ones.
MAX_CLEAN_SPECTRA = 60_000
_EPOCHS, _BATCH, _RATE, _DECAY = 15, 256, 2e-3, 1e-3
_CHUNK = 512


def fit_ood_classifier(
    depth: OodDetector, basis: TemplateBasis, source: SpectraSource, rows: I64, settings: AugmentSettings, seed: int
) -> float:
    """Train the classifier of spectra beyond the prior, in place.

    Parameters
    ----------
    depth : OodDetector
        Its subspace must have been fitted.
    basis : TemplateBasis
        Of which spectra beyond the prior are made.
    source : SpectraSource
    rows : int array (n,)
        Training spectra of the source; at most `MAX_CLEAN_SPECTRA` of them are used.
    settings : AugmentSettings
        How they are observed.
    seed : int

    Returns
    -------
    float
        Mean cross-entropy of the last epoch; log 2 = 0.69 for a classifier that has learnt nothing.
    """
    some = np.sort(np.random.default_rng([seed, 13]).permutation(rows)[:MAX_CLEAN_SPECTRA])
    seen, spoilt = _make_classification_set(depth, basis, source, some, settings, seed)
    depth.standardise_classifier(seen[spoilt == 0])
    generator = torch.Generator().manual_seed(seed)
    steps = max(1, len(seen) // _BATCH)
    optimiser = torch.optim.AdamW(depth.critic.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_EPOCHS * steps + 1)
    depth.critic.requires_grad_(True)
    mean = 0.0
    for _ in range(_EPOCHS):
        order, total = torch.randperm(len(seen), generator=generator), 0.0
        for k in range(steps):
            part = order[k * _BATCH : (k + 1) * _BATCH]
            answer = depth.classifier_statistic(seen[part])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(answer, spoilt[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        mean = total / steps
    return mean


def _make_classification_set(
    depth: OodDetector, basis: TemplateBasis, source: SpectraSource, rows: I64, settings: AugmentSettings, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Input (N, D) of the classifier for good and corrupted spectra, and which are corrupted (N,); in torch threads."""

    @torch.no_grad()
    def make(k: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        rng = np.random.default_rng([seed, 13, 1 + k])
        data = source.observe(rows[k * _CHUNK : (k + 1) * _CHUNK], settings, rng)
        parts = [data, *corrupt_spectra(data, basis, rng)]
        seen = [depth.classifier_input(encode_observation(part, source.features)) for part in parts]
        return [(x, torch.full((len(x),), float(j > 0))) for j, x in enumerate(seen)]

    numbers, threads = range(-(-len(rows) // _CHUNK)), torch.get_num_threads()
    chunks = prefetch_in_threads(make, numbers, threads) if threads > 1 else map(make, numbers)
    seen, spoilt = zip(*(pair for chunk in chunks for pair in chunk), strict=True)
    return torch.cat(seen), torch.cat(spoilt)
