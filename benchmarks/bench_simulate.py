"""Time and memory of a full synthetic set on disk, and of the endless source that needs no disk.

    python benchmarks/bench_simulate.py [--config galceran2026] [--n 165000] [--workers 2] [--folder DIR]
                                        [--device numpy|cpu|cuda|mps] [--torch-threads 1] [--only disk|stream]

Templates are prepared before the clock starts (`napari-sfh-train templates`). The target of SPEC.md is 165 000 objects
in 120 s on two cores with at most 6 GiB. The stream is timed in the main thread and with ``--workers`` threads ahead of
it; the last line is what a training step costs whose objects are held and whose noise is new.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from machine import machine

from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.fitting.spectra_sources import Batches, make_endless_source, make_fresh_source
from napari_sfh.training.prior import prior_config
from napari_sfh.training.simulator import simulation, stored_set
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND

#: Objects of the timed batches; a device makes 4096 of them at a time.
_HELD, _HELD_ON_DEVICE = 4096, 32768


def peak_gib() -> float:
    """Largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def on_disk(source: simulation.PreparedPrior, n: int, workers: int, folder: Path | None) -> None:
    """Make one set, print its figures, remove it."""
    place = Path(tempfile.mkdtemp(prefix="bench-simulate-", dir=folder))
    try:
        start, busy = time.perf_counter(), time.process_time()
        for _ in simulation.simulate_set(source, n, 1, place, workers):
            pass
        wall, busy = time.perf_counter() - start, time.process_time() - busy
        size = sum(path.stat().st_size for path in place.iterdir())
        peak = peak_gib()
        start = time.perf_counter()
        stored_set.load_stored_set(place)
        load = time.perf_counter() - start
    finally:
        shutil.rmtree(place)
    print(f"disk: {n} objects, {workers} workers: {wall:.1f} s ({busy:.1f} s of processor), {n / wall:.0f} spectra/s")
    print(f"disk: peak memory {peak:.2f} GiB, {size / 1e9:.2f} GB on disk, loaded again in {load:.1f} s")


def rate(what: str, batches: Iterator[object], size: int, count: int, finish: Callable[[], None]) -> None:
    """Print spectra per second of ``count`` batches, the first two left out, and whether memory grew over them."""
    for _ in islice(batches, 2):
        pass
    finish()
    before = peak_gib()
    start, busy = time.perf_counter(), time.process_time()
    for _ in islice(batches, count):
        pass
    finish()
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    n, memory = size * count, f"{before:.2f} GiB before, {peak_gib():.2f} GiB after"
    print(f"{what}: {n / wall:.0f} spectra/s ({n / busy:.0f} per s of processor), peak memory {memory}")


def streams(source: simulation.PreparedPrior, workers: int, recipe_name: str, count: int) -> None:
    """Print the endless source's figures."""
    finish = torch.cuda.synchronize if source.arrays.name == "torch-cuda" else lambda: None

    def alone() -> Iterator[object]:
        index = 0
        while True:
            yield simulation.simulate_chunk(source, 1, index)
            index += 1

    where = source.arrays.name
    rate(f"{where}, one thread", alone(), simulation.CHUNK_SIZE, count, finish)
    with contextlib.closing(stored_set.stream_batches(source, 1, ahead=workers)) as batches:
        rate(f"{where}, {workers} threads ahead", batches, simulation.CHUNK_SIZE, count, finish)
    recipe = load_recipe(recipe_name)
    n = _HELD if source.arrays is NUMPY_BACKEND else _HELD_ON_DEVICE
    held = make_fresh_source(source, n, 1)
    held = type(held)(**{**vars(held), "flux": source.arrays.put(held.flux)})
    for name, made in (("new noise, encoded", held), ("new objects, encoded", make_endless_source(held, source))):
        passes = Batches(made, np.arange(n), recipe.fit.batch, recipe.augment, 1, epoch=lambda: 0)
        steps = n // recipe.fit.batch - 2
        rate(f"{where}, {name}, batches of {recipe.fit.batch}", iter(passes), recipe.fit.batch, steps, finish)


def main() -> None:
    """Print machine and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="galceran2026", help="prior, and recipe of that name for the batches")
    parser.add_argument("--n", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the set goes (default: the system's temporary folder)")
    parser.add_argument("--device", choices=("numpy", "cpu", "cuda", "mps"), default="numpy")
    parser.add_argument("--torch-threads", type=int, default=1)
    parser.add_argument("--batches", type=int, default=10, help="of the stream")
    parser.add_argument("--only", choices=("disk", "stream"))
    args = parser.parse_args()
    torch.set_num_threads(args.torch_threads)
    prior = prior_config.load_prior(args.config)
    source = simulation.prepare_prior(prior)
    source = source if args.device == "numpy" else source.to(args.device)
    print(machine())
    where = "NumPy" if source.arrays is NUMPY_BACKEND else f"torch {torch.__version__} on {args.device}"
    print(f"libraries {', '.join(source.libraries)}; prior {prior.name}; {where}, {args.torch_threads} torch threads")
    if args.only != "disk":
        streams(source, args.workers, args.config, args.batches)
    if args.only != "stream":
        on_disk(source, args.n or prior.n, args.workers, args.folder)


if __name__ == "__main__":
    main()
