"""Time and memory of a full synthetic set: spectra, photometry and labels on disk.

    python benchmarks/bench_simulate.py [--config galceran2026] [--n 165000] [--workers 2] [--folder DIR]

Templates are prepared before the clock starts (`napari-sfh-train templates`). The target of SPEC.md is 165 000 objects
in 120 s on two cores with at most 6 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from machine import machine

from napari_sfh.training import config, dataset, simulate


def main() -> None:
    """Make one set, print the figures, remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="galceran2026")
    parser.add_argument("--n", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the set goes (default: the system's temporary folder)")
    args = parser.parse_args()
    prior = config.load_prior(args.config)
    source = simulate.open_source(prior)
    folder = Path(tempfile.mkdtemp(prefix="bench-simulate-", dir=args.folder))
    try:
        start, busy = time.perf_counter(), time.process_time()
        for _ in simulate.simulate(source, args.n or prior.n, 1, folder, args.workers):
            pass
        wall, busy = time.perf_counter() - start, time.process_time() - busy
        size = sum(path.stat().st_size for path in folder.iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        start = time.perf_counter()
        n = len(dataset.load(folder))
        load = time.perf_counter() - start
    finally:
        shutil.rmtree(folder)
    others = os.getloadavg()[0]
    print(machine())
    print(f"load average {others:.1f}; libraries {', '.join(source.libraries)}; prior {prior.name}")
    print(f"{n} objects, {args.workers} workers: {wall:.1f} s ({busy:.1f} s of processor), {n / wall:.0f} objects/s")
    print(f"peak memory {peak:.2f} GiB, {size / 1e9:.2f} GB on disk, loaded again in {load:.1f} s")


if __name__ == "__main__":
    main()
