"""The table by which weights are chosen: bias, scatter and coverage by class of light-weighted age, case by case.

Several bundles joined by ``+`` are judged as an ensemble: each gives an equal share of the draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sfh.analysis.comparison.map_comparison import measure_scatter
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import draw_posterior_samples, predict_histories
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation.metrics import flag_inside_intervals
from napari_sfh.training.evaluation.robustness.cases import TEST_CASES
from napari_sfh.training.fitting.selection.independent_check import LG_AGE_CLASSES
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.simulator.independent_simulator import IndependentGalaxies, simulate_independent_galaxies
from napari_sfh.types import F64, QUANTILES, Observation

#: Classes of light-weighted age, by name; ``all`` is the whole set.
CLASS_NAMES: tuple[str, ...] = ("all", "young", "intermediate", "old")
#: Seed of the galaxies; no check of a training uses it.
TESTBED_SEED = 20_261_127
_CHUNK = 256


@dataclass(frozen=True)
class TestbedSettings:
    """Galaxies of each library, their S/N, and posterior draws a galaxy."""

    __test__ = False  # no test class, whatever its name says

    n: int = 400
    snr: float = 35.0
    draws: int = 400
    device: str = "cpu"


def measure_testbed(
    ensembles: Mapping[str, Sequence[Bundle]],
    libraries: Mapping[str, Templates],
    own: Sequence[str],
    settings: TestbedSettings,
    say: Callable[[str], None],
    cases: Sequence[str] = tuple(TEST_CASES),
) -> dict[str, Any]:
    """Judge weights.

    Parameters
    ----------
    ensembles : mapping
        Name to the bundles that answer together.
    libraries : mapping of Templates
        Stars and gas of the galaxies, by name. All are for the weights' instrument.
    own : sequence of str
        Libraries that go through every case, together; each other one is a case of its own, ``stars of NAME``.
    settings : TestbedSettings
    say : callable
        Gets a line per case and ensemble.
    cases : sequence of str
        Names of `TEST_CASES`.

    Returns
    -------
    dict
        case -> ensemble -> quantity -> class -> ``{n, bias, std, p68, p95, width}``, and ``warned``, the share of OOD
        scores above 1, by class.
    """
    rng = np.random.default_rng([TESTBED_SEED, settings.n])
    made = {name: simulate_independent_galaxies(t, settings.n, rng) for name, t in libraries.items()}
    table: dict[str, Any] = {}
    for name in cases:
        table[name] = _judge_case(ensembles, [made[k] for k in own], name, name, settings, say)
    for name in (k for k in libraries if k not in own):
        table[f"stars of {name}"] = _judge_case(ensembles, [made[name]], "clean", f"stars of {name}", settings, say)
    return table


def _judge_case(
    ensembles: Mapping[str, Sequence[Bundle]],
    galaxies: Sequence[IndependentGalaxies],
    case: str,
    words: str,
    settings: TestbedSettings,
    say: Callable[[str], None],
) -> dict[str, Any]:
    observed = [TEST_CASES[case].observe(g, settings.snr, TESTBED_SEED + k) for k, g in enumerate(galaxies)]
    truth = {k: np.concatenate([np.asarray(getattr(g.labels, k), float) for g in galaxies]) for k in MEAN_NAMES}
    out = {}
    for name, bundles in ensembles.items():
        answers = [_answer(bundles, data, settings) for data in observed]
        quantiles = {k: np.concatenate([a[0][k] for a in answers]) for k in MEAN_NAMES}
        out[name] = summarise_by_class(quantiles, truth, np.concatenate([a[1] for a in answers]))
        row = out[name]["lg_age_lw"]["all"]
        say(f"{words}, {name}: LW age {row['bias']:+.3f} / {row['std']:.3f} / {row['p68']:.0%}")
    return out


def _answer(bundles: Sequence[Bundle], data: Observation, settings: TestbedSettings) -> tuple[dict[str, F64], F64]:
    """Quantiles (N, 5) of the four means and OOD scores (N,), the mean of several bundles'."""
    predicted = [predict_histories(data, b, settings.device, draws=settings.draws) for b in bundles]
    scores = np.mean([p.ood for p in predicted], axis=0)
    if len(bundles) == 1:
        return {k: np.asarray(predicted[0].quantiles[k], float) for k in MEAN_NAMES}, scores
    each, parts = max(50, settings.draws // len(bundles)), []
    for lo in range(0, data.n_bins, _CHUNK):
        piece = data.select(np.arange(lo, min(lo + _CHUNK, data.n_bins)))
        drawn = [draw_posterior_samples(piece, b, each, calibrated=True) for b in bundles]
        pooled = {k: np.concatenate([d[k] for d in drawn], axis=1) for k in MEAN_NAMES}
        parts.append({k: np.quantile(v, QUANTILES, axis=1).T for k, v in pooled.items()})
    return {k: np.concatenate([p[k] for p in parts]) for k in MEAN_NAMES}, scores


def summarise_by_class(quantiles: Mapping[str, F64], truth: Mapping[str, F64], ood: F64) -> dict[str, Any]:
    """Bias, scatter, coverage and width by quantity and class of true light-weighted age.

    Parameters
    ----------
    quantiles : mapping of arrays (N, 5)
    truth : mapping of arrays (N,)
        With ``lg_age_lw``.
    ood : array (N,)
        Scores; above 1 is a warning.
    """
    lg_age = truth["lg_age_lw"]
    edges = itertools.pairwise(LG_AGE_CLASSES)
    rows = [np.ones(lg_age.size, bool), *((lg_age >= lo) & (lg_age < hi) for lo, hi in edges)]
    classes = {name: row for name, row in zip(CLASS_NAMES, rows, strict=True) if row.any()}
    out: dict[str, Any] = {"warned": {name: float((ood[row] > 1).mean()) for name, row in classes.items()}}
    for quantity, q in quantiles.items():
        inside = flag_inside_intervals(q, truth[quantity])
        out[quantity] = {}
        for name, row in classes.items():
            scatter = measure_scatter(q[row, 2], truth[quantity][row])
            p68, p95 = (float(np.nanmean(x[row])) for x in inside)
            width = float(np.median(0.5 * (q[row, 3] - q[row, 1])))
            values = {"bias": scatter.bias, "std": scatter.std, "p68": p68, "p95": p95, "width": width}
            out[quantity][name] = {"n": int(row.sum())} | {k: float(v) for k, v in values.items()}
    return out


def format_testbed_table(table: Mapping[str, Any], quantity: str) -> str:
    """One quantity as a Markdown table: bias / std / share inside the 68 % interval by class, and warnings.

    Parameters
    ----------
    table : mapping
        By case, weights and quantity.
    quantity : str

    Returns
    -------
    str
    """
    lines = [
        f"| case | weights | {' | '.join(CLASS_NAMES)} | warned |",
        f"|---|---|{'---|' * (len(CLASS_NAMES) + 1)}",
    ]
    for case, by_weights in table.items():
        for name, found in by_weights.items():
            cells = [_format_cell(found[quantity].get(c)) for c in CLASS_NAMES]
            lines.append(f"| {case} | {name} | {' | '.join(cells)} | {found['warned']['all']:.0%} |")
    return "\n".join(lines)


def _format_cell(row: Mapping[str, float] | None) -> str:
    return "" if row is None else f"{row['bias']:+.3f} / {row['std']:.3f} / {row['p68']:.0%}"
