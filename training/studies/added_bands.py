"""What further bands add: the same objects through a network that knows the bands and through one that does not.

The objects are those of the wider network's prior, with a seed that no training uses; the other network sees them
without the bands. Beside both stands the wider network with the bands hidden: what it loses by itself. Galaxies of the
independent simulator are measured too, at one S/N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.predictions import PredictionsWithTruth, predict_test_set
from napari_sfh.training.evaluation.test_set import draw_test_set
from napari_sfh.training.fitting.transfer.added_bands import has_added_bands
from napari_sfh.training.libraries.templates import prepare_templates
from napari_sfh.training.prior.prior_config import restore_prior
from napari_sfh.training.simulator.independent_simulator import simulate_independent_galaxies
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import Observation

#: S/N per pixel of the independent galaxies.
INDEPENDENT_SNR = 35.0
#: Edges of the classes of light-weighted log age.
_AGE_CLASSES: dict[str, tuple[float, float]] = {
    "lg age < 8.7": (0.0, 8.7),
    "8.7-9.6": (8.7, 9.6),
    "> 9.6": (9.6, 12.0),
}
_DRAWS = 100


@dataclass(frozen=True)
class AddedBandsSettings:
    """How many objects of the prior and of the independent simulator, and where."""

    n: int = 8192
    n_independent: int = 2048
    device: str = "auto"
    seed: int = 20_261_126


def measure_added_bands(
    wider: Bundle, narrower: Bundle, settings: AddedBandsSettings, say: Callable[[str], object]
) -> dict[str, Any]:
    """Accuracy and coverage of both networks and of the wider one without the bands.

    Parameters
    ----------
    wider, narrower : Bundle
        The instrument of the first is that of the second with further bands.
    settings : AddedBandsSettings
    say : callable
        Gets lines of progress.

    Returns
    -------
    dict
        Sample -> network -> ``accuracy`` and ``coverage``; and ``n`` of each sample.

    Raises
    ------
    SfhInputError
        The instruments are others.
    """
    if not has_added_bands(narrower.instrument, wider.instrument):
        raise SfhInputError(
            f"`without` {narrower.name}: instrument {narrower.instrument.name} is not that of {wider.name} "
            f"({wider.instrument.name}) with fewer bands; give other weights"
        )
    tests = draw_test_set(restore_prior(wider.meta["prior"], wider.name), settings.n, settings.seed, wider.instrument)
    blocks = [data for _, data in tests.observe()]
    samples = {"the prior, as drawn": _predict_all(blocks, tests.labels, wider, narrower, settings, say)}
    whole = np.concatenate([data.phot_mask.all(1) for data in blocks])
    report = {name: _tabulate(found, slice(None)) for name, found in samples.items()}
    drawn = samples["the prior, as drawn"]
    report["all bands"] = _tabulate(drawn, whole)
    for name, (low, high) in _AGE_CLASSES.items():
        age = tests.labels.lg_age_lw
        report[f"all bands, {name}"] = _tabulate(drawn, whole & (age >= low) & (age < high))
    made = simulate_independent_galaxies(
        prepare_templates(next(iter(wider.meta["libraries"])), wider.instrument),
        settings.n_independent,
        np.random.default_rng(settings.seed),
    )
    seen = made.observe(INDEPENDENT_SNR, np.random.default_rng(settings.seed + 1))
    report["independent galaxies"] = _tabulate(
        _predict_all([seen], made.labels, wider, narrower, settings, say), slice(None)
    )
    return report


def _predict_all(
    blocks: list[Observation],
    labels: Labels,
    wider: Bundle,
    narrower: Bundle,
    settings: AddedBandsSettings,
    say: Callable[[str], object],
) -> dict[str, PredictionsWithTruth]:
    """Predictions by network, on objects that all of them see."""
    known = set(narrower.instrument.band_names)
    shared = [k for k, name in enumerate(wider.instrument.band_names) if name in known]
    views: dict[str, tuple[Bundle, Callable[[Observation], Observation]]] = {
        "with": (wider, lambda data: data),
        "with, bands hidden": (wider, lambda data: _hide_bands(data, shared)),
        "without": (narrower, lambda data: _leave_out_bands(data, shared, narrower)),
    }
    edges = np.cumsum([0, *(data.n_bins for data in blocks)])
    parts = [labels.select(slice(a, b)) for a, b in pairwise(edges)]
    out = {}
    for name, (bundle, change) in views.items():
        say(f"{len(labels.lg_age_lw)} objects, {name}")
        observed = ((change(data), part) for data, part in zip(blocks, parts, strict=True))
        out[name] = predict_test_set(observed, bundle, settings.device, name, int(edges[-1]), _DRAWS)
    return out


def _hide_bands(data: Observation, shared: list[int]) -> Observation:
    """The same instrument, bands other than ``shared`` missing."""
    mask = np.zeros_like(data.phot_mask)
    mask[:, shared] = data.phot_mask[:, shared]
    return replace(data, phot_mask=mask, phot=np.where(mask, data.phot, 0.0).astype(np.float32))


def _leave_out_bands(data: Observation, shared: list[int], bundle: Bundle) -> Observation:
    """As the instrument with fewer bands sees the objects."""
    columns = {key: getattr(data, key)[:, shared] for key in ("phot", "phot_error", "phot_mask")}
    return replace(data, instrument=bundle.instrument, **columns)


def _tabulate(found: dict[str, PredictionsWithTruth], rows: Any) -> dict[str, Any]:
    """Accuracy and coverage of each network over some rows."""
    return {
        name: {
            "accuracy": metrics.measure_accuracy(p.found, p.truth, rows),
            "coverage": metrics.measure_coverage(p.quantiles, p.truth, rows),
        }
        for name, p in found.items()
    }


def format_added_bands_table(report: dict[str, Any]) -> str:
    """Markdown: bias and standard deviation of each mean by sample and network, and the gain in scatter."""
    names = list(next(iter(report.values()))["with"]["accuracy"])
    lines = [f"| objects | network | {' | '.join(names)} |", "|" + " --- |" * (2 + len(names))]
    for sample, networks in report.items():
        for network, tables in networks.items():
            cells = (f"{tables['accuracy'][k]['bias']:+.3f} / {tables['accuracy'][k]['std']:.3f}" for k in names)
            lines.append(f"| {sample} | {network} | {' | '.join(cells)} |")
        pairs = [[networks[w]["accuracy"][k]["std"] for w in ("with", "without")] for k in names]
        gains = (f"{100 * (1 - with_ / without):+.1f} %" for with_, without in pairs)
        lines.append(f"| {sample} | scatter gained | {' | '.join(gains)} |")
    return "\n".join(lines) + "\n"
