"""The critic of the out-of-depth score, trained to tell training spectra from spoilt ones (`outliers`)."""

from __future__ import annotations

import numpy as np
import torch

from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.ood import OodDetector
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting.corruption import corrupt_spectra
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import SpectraSource
from napari_sfh.types import I64

#: Good spectra that are shown, with as many spoilt ones.
MAX_CLEAN_SPECTRA = 60_000
_EPOCHS, _BATCH, _RATE, _DECAY = 15, 256, 2e-3, 1e-3
_CHUNK = 512


def fit_ood_classifier(
    depth: OodDetector, basis: TemplateBasis, source: SpectraSource, rows: I64, settings: AugmentSettings, seed: int
) -> float:
    """Train the critic, in place.

    Parameters
    ----------
    depth : Depth
        Its subspace must have been fitted.
    basis : TemplateBasis
        Of which spectra beyond the prior are made.
    source, rows : SpectraSource, I64
        Training spectra; at most `MAX_CLEAN_SPECTRA` of them are used.
    settings : AugmentSettings
        How they are observed.
    seed : int

    Returns
    -------
    float
        Mean cross-entropy of the last epoch; log 2 = 0.69 for a critic that has learnt nothing.
    """
    rng = np.random.default_rng([seed, 13])
    seen, spoilt = _make_classification_set(
        depth, basis, source, np.sort(rng.permutation(rows)[:MAX_CLEAN_SPECTRA]), settings, rng
    )
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


@torch.no_grad()
def _make_classification_set(
    depth: OodDetector,
    basis: TemplateBasis,
    source: SpectraSource,
    rows: I64,
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the critic sees of good and of spoilt spectra (N, D), and which are spoilt (N,)."""
    seen, spoilt = [], []
    for lo in range(0, len(rows), _CHUNK):
        data = source.observe(rows[lo : lo + _CHUNK], settings, rng)
        for k, part in enumerate([data, *corrupt_spectra(data, basis, rng)]):
            seen.append(depth.classifier_input(encode_observation(part, source.features)))
            spoilt.append(torch.full((part.n_bins,), float(k > 0)))
    return torch.cat(seen), torch.cat(spoilt)
