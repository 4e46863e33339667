"""`napari-sfh refine` on galaxies whose histories are known, beside the network: coverage, agreement, convergence.

    OMP_NUM_THREADS=1 python benchmarks/bench_refinement.py [--docs docs] [--n 48]

Galaxies of the prior `wide` with the stars that the likelihood knows (home), of the independent simulator with the same
stars, and of the prior with other stars, at S/N 20, 35, 70 and 100 in turn. A galaxy's figures are kept as soon as they
are known: the same command goes on where it was stopped. --page writes docs/results/refinement.md from what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from refinement_page import write_refinement_page

from napari_sfh.analysis.refinement.refining import refine_posterior
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation.test_set import draw_test_set
from napari_sfh.training.libraries.templates import prepare_templates
from napari_sfh.training.simulator.independent_simulator import simulate_independent_galaxies
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import Observation

SNRS = (20.0, 35.0, 70.0, 100.0)
LIBRARY, OTHER = "bc03-miles", "e-miles"
QUANTITIES = (*MEAN_NAMES, "ebv")
_SEED = 20_261_128


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="wide")
    parser.add_argument("--n", type=int, default=48, help="galaxies at home, and half as many of each other case")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--page", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args()
    file = options.docs / "report" / "refinement.json"
    found: dict[str, Any] = {"galaxies": {}}
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
    if not options.page:
        bundle = load_bundle(options.weights)
        found |= {"machine": machine(), "weights": bundle.name, "sha256": bundle.sha256, "library": LIBRARY}
        for key, data, truth in _list_galaxies(bundle, options.n):
            if key not in found["galaxies"]:
                found["galaxies"][key] = _measure(bundle, data, truth)
                write_text_atomically(file, json.dumps(found, indent=1) + "\n")
                print(key, found["galaxies"][key]["cpu_s"], flush=True)
    write_refinement_page(found, options.docs)


def _list_galaxies(bundle: Bundle, n: int) -> Iterator[tuple[str, Observation, dict[str, float]]]:
    """Key, data and truth of one galaxy after the other, the cases in turn."""
    cases = {"home": _draw_home(LIBRARY, n, bundle), "independent": _draw_independent(n // 2, bundle)}
    cases["other stars"] = _draw_home(OTHER, n // 2, bundle)
    for k in range(n):
        for case, (data, labels) in cases.items():
            if case == "home" or k % 2:
                place = k if case == "home" else k // 2
                snr = SNRS[place % len(SNRS)]
                row = slice(place, place + 1)
                truth = {q: float(np.asarray(labels[snr].quantity(q))[place]) for q in QUANTITIES}
                yield f"{case}, S/N {snr:g}, {place}", data[snr].select(row), truth


Drawn = tuple[dict[float, Observation], dict[float, Labels]]


def _draw_home(library: str, n: int, bundle: Bundle) -> Drawn:
    drawn = draw_test_set("wide", 6 * n, _SEED, bundle.instrument)
    rows = np.flatnonzero(drawn.library == drawn.library_names.index(library))[:n]
    seen = {snr: next(drawn.observe(snr))[1].select(rows) for snr in SNRS}
    return seen, dict.fromkeys(SNRS, drawn.labels.select(rows))


def _draw_independent(n: int, bundle: Bundle) -> Drawn:
    galaxies = simulate_independent_galaxies(
        prepare_templates(LIBRARY, bundle.instrument), n, np.random.default_rng(_SEED)
    )
    seen = {snr: galaxies.observe(snr, np.random.default_rng([_SEED, int(snr)])) for snr in SNRS}
    return seen, dict.fromkeys(SNRS, galaxies.labels)


def _measure(bundle: Bundle, data: Observation, truth: dict[str, float]) -> dict[str, Any]:
    predicted = predict_histories(data, bundle)
    start = time.process_time()
    refined = refine_posterior(data, 0, bundle)
    spent = time.process_time() - start
    rows = {
        q: {
            "truth": round(truth[q], 4),
            "network": np.round(predicted.quantiles[q][0].astype(float), 4).tolist(),
            "likelihood": np.round(refined.quantiles[q], 4).tolist(),
        }
        for q in QUANTITIES
    }
    sampled, check = refined.sampled, refined.check
    numbers = {"cpu_s": spent, "r_hat": sampled.ratio, "effective": sampled.effective, "scale": check.error_scale}
    told = {"met": sampled.have_met, "contradicts": check.contradicts, "warned": bool(predicted.ood[0] > 1)}
    return {k: round(v, 3) for k, v in numbers.items()} | told | rows


if __name__ == "__main__":
    main()
