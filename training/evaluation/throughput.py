"""Bins per second of a bundle on this machine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.inference import choose_device, predict_histories
from napari_sfh.training.evaluation.test_set import TestSet
from napari_sfh.types import Observation, Progress

THROUGHPUT_SECONDS = 2.0
_BATCH = 256


def measure_throughput(
    bundle: Bundle, testset: TestSet, device: str, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Measure point inference and full posteriors.

    ``bins_per_second`` counts encoding and the network in batches of 256 bins; ``posterior_bins_per_second`` all
    of `inference.predict_histories` with 1 000 draws a bin. Loading and simulating are not counted; the best of the
    batches that fit into two seconds of each is.

    Parameters
    ----------
    bundle : Bundle
    testset : TestSet
        Its first objects are used.
    device : str
        auto, cpu, cuda or mps.
    progress : callable, optional

    Returns
    -------
    dict
        JSON types: rates, device, threads.
    """
    where = choose_device(device)
    _, data = next(testset.first(_BATCH).observe())
    model = bundle.model
    if where.type != "cpu":
        import copy

        model = copy.deepcopy(model).to(where)

    def point() -> None:
        with torch.inference_mode():
            model.predict_centre(encode_observation(data, bundle.features).to(where))[0].cpu()

    report_progress(Progress("speed", 0, 2), progress)
    fast = _best_rate(point, data.n_bins)
    report_progress(Progress("speed", 1, 2), progress)
    some: Observation = data.select(np.arange(min(32, data.n_bins)))

    def posterior() -> None:
        predict_histories(some, bundle, device, draws=1000)

    slow = _best_rate(posterior, some.n_bins)
    return {
        "bins_per_second": fast,
        "posterior_bins_per_second": slow,
        "draws": 1000,
        "device": str(where),
        "threads": torch.get_num_threads(),
    }


def _best_rate(work: Any, n: int) -> float:
    """Bins per second of the fastest call within the time."""
    work()
    best, start = 0.0, time.perf_counter()
    while time.perf_counter() - start < THROUGHPUT_SECONDS or best == 0.0:
        begun = time.perf_counter()
        work()
        best = max(best, n / (time.perf_counter() - begun))
    return best
