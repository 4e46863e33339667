"""Numbers behind the figures of Galceran et al. (2026), for ``paper.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.ablation import ALL_INPUT
from napari_sfh.training.papers.main_paper.latent_figures import (
    list_object_classes,
    measure_island_properties,
    measure_latent_islands,
)
from napari_sfh.training.papers.main_paper.measurements import AblationTest, Means, PaperMeasurements
from napari_sfh.types import F64

#: Limits of log age and of [M/H] of the ablation's classes; the paper's are lost in its text.
ABLATION_AGE_CLASSES: Mapping[str, tuple[float, float]] = {
    "young": (5.0, 8.5),
    "intermediate": (8.5, 9.5),
    "old": (9.5, 11.0),
}
MH_CLASSES: Mapping[str, tuple[float, float]] = {"poor": (-9.0, -0.3), "middle": (-0.3, 0.0), "rich": (0.0, 9.0)}


def build_paper_tables(m: PaperMeasurements) -> dict[str, Any]:
    """Everything that the figures show as numbers; plain values."""
    main = m.main
    assert main.mass_frac is not None  # asked for when it was measured
    out: dict[str, Any] = {
        "n": main.n,
        "accuracy": metrics.measure_accuracy(main.found, main.truth),
        "error_correlation": metrics.correlate_errors(main.found, main.truth),
        "sfr_error": metrics.measure_sfr_error(main.mass_frac, main.truth["mass_frac"]),
        "by_snr": {f"{s:g}": metrics.measure_accuracy(found, main.truth) for s, found in m.by_snr.items()},
        "ablation": build_ablation_table(m.ablation),
    }
    n = len(m.places)
    out["latent_islands"] = measure_latent_islands(m.places, list_object_classes(m, n), measure_island_properties(m, n))
    out["snr_scatter_ratio"] = _scatter_ratios(out["by_snr"])
    if m.realistic is not None:
        out["realistic_noise"] = metrics.measure_accuracy(m.realistic.found, m.realistic.truth)
    if m.noise:
        out["noise_parts"] = {k: metrics.measure_accuracy(found, main.truth) for k, found in m.noise.items()}
    if m.ppxf:
        rows = [f.index for f in m.ppxf]
        found = {k: np.array([f.means[k] for f in m.ppxf]) for k in MEAN_NAMES}
        truth, own = ({k: part[k][rows] for k in MEAN_NAMES} for part in (main.truth, main.found))
        out["ppxf"] = {
            "n": len(rows),
            "accuracy": metrics.measure_accuracy(found, truth),
            "error_correlation": metrics.correlate_errors(found, truth),
            "network_accuracy": metrics.measure_accuracy(own, truth),
            "network_error_correlation": metrics.correlate_errors(own, truth),
        }
    return out


def _scatter_ratios(by_snr: Mapping[str, Any]) -> dict[str, float]:
    """Standard deviation at the lowest S/N over that at the highest."""
    first, last = by_snr[min(by_snr, key=float)], by_snr[max(by_snr, key=float)]
    return {k: first[k]["std"] / last[k]["std"] for k in MEAN_NAMES}


def build_ablation_table(test: AblationTest) -> dict[str, Any]:
    """Kind of change, change, class of age or metallicity, mean: bias, its relative size in per cent, scatter.

    ``scatter_rise`` is the standard deviation over that with all input, less one, in per cent.
    """
    classes = {f"age {k}": ("lg_age_lw", v) for k, v in ABLATION_AGE_CLASSES.items()}
    classes |= {f"mh {k}": ("mh_lw", v) for k, v in MH_CLASSES.items()}
    rows = {"all": np.ones(len(test.truth["lg_age_lw"]), dtype=bool)}
    rows |= {name: (test.truth[key] >= lo) & (test.truth[key] < hi) for name, (key, (lo, hi)) in classes.items()}
    out: dict[str, Any] = {}
    for kind, changes in test.found.items():
        out[kind] = {}
        for change, found in changes.items():
            out[kind][change] = {
                name: _tabulate_class(found, changes[ALL_INPUT], test.truth, part)
                for name, part in rows.items()
                if part.sum() > 2
            }
    return out


def _tabulate_class(found: Means, fiducial: Means, truth: Means, rows: Any) -> dict[str, Any]:
    table: dict[str, Any] = {"n": int(rows.sum())}
    for key in MEAN_NAMES:
        error, before = (_errors(f[key], truth[key], rows) for f in (found, fiducial))
        bias, std = float(np.median(error)), float(np.std(error))
        table[key] = {
            "bias": bias,
            "per_cent": 100 * (10 ** abs(bias) - 1),
            "std": std,
            "scatter_rise": 100 * (std / float(np.std(before)) - 1),
        }
    return table


def _errors(found: F64, truth: F64, rows: Any) -> F64:
    difference = (found - truth)[rows]
    return difference[np.isfinite(difference)]
