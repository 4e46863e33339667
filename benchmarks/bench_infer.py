"""Bins per second of a weights bundle: point network, and posterior at a given number of draws.

    python benchmarks/bench_infer.py [--weights default|NAME|FILE] [--draws 1000] [--threads 1 2] [--device auto]

Targets: 2 000 bins/s point and 20 bins/s with 1 000 draws on two CPU cores; 100 000 and 2 000
on one H100-class GPU. Encoding and the way to the GPU and back are counted. The first call of each kind is not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from threadpoolctl import threadpool_limits

from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.inference import choose_device, predict_histories, predict_point_values

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "toys"))
from toy_universe import make_toy_data

_SECONDS = 4.0


def where() -> str:
    """The machine, its accelerator and torch."""
    gpu = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, " if torch.cuda.is_available() else ""
    return f"{machine()}, {gpu}torch {torch.__version__}"


def rate(work: Callable[[], Any], n: int) -> tuple[float, float, float]:
    """Bins per second of repeated calls over ``n`` bins: median, best, and per second of processor time."""
    work()
    seconds: list[float] = []
    start, busy = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < _SECONDS or len(seconds) < 3:
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    busy = time.process_time() - busy
    return n / float(np.median(seconds)), n / min(seconds), n * len(seconds) / busy


def measure(bundle: Bundle, device: str, draws: int) -> None:
    """Print both rates on a device, in the batches that the package chooses for it."""
    gpu = device != "cpu"
    toys, _ = make_toy_data(1024)
    many = toys.select(np.arange(65536) % 1024) if gpu else toys
    few = many.select(slice(0, 8192 if gpu else 64))
    for words, n, work in (
        ("point", many.n_bins, lambda: predict_point_values(many, bundle, device)),
        (
            f"posterior, {draws} draws",
            few.n_bins,
            lambda: predict_histories(few, bundle, device, None if gpu else 32, draws),
        ),
    ):
        median, best, busy = rate(work, n)
        print(
            f"  {words}: {median:.0f} bins/s (median), {best:.0f} (best), {busy:.0f} per processor second", flush=True
        )


def main() -> None:
    """Measure on the CPU with each number of threads, then on the accelerator where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="none: the accelerator alone")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    bundle = load_bundle(args.weights)
    weights = sum(p.numel() for p in bundle.model.parameters())
    print(where())
    print(f"load average {os.getloadavg()[0]:.1f}; weights {bundle.name!r}, {weights / 1e6:.2f} million parameters")
    for n in args.threads:
        torch.set_num_threads(n)
        print(f"cpu, {n} thread{'s' if n > 1 else ''}")
        with threadpool_limits(n):
            measure(bundle, "cpu", args.draws)
    device = choose_device(args.device).type
    if device != "cpu":
        print(device)
        measure(bundle, device, args.draws)


if __name__ == "__main__":
    main()
