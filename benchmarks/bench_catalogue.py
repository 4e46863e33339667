"""Rows per second and memory of `estimate` on a long J-PAS-like catalogue, here and on local Dask workers.

    python benchmarks/bench_catalogue.py [--rows 1000000] [--draws 400] [--workers 1 2] [--folder DIR]

The catalogue (56 bands with errors, FITS) is written block by block. Each run is a process of its own. Anonymous memory
is what the process itself holds; pages of the memory-mapped file, which the system takes back when it needs them, are
counted beside it. Rows per second of processor time do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from astropy.table import Column, Table
from machine import machine

from napari_sfh.batch.many_rows import estimate_on_workers
from napari_sfh.estimate import estimate_objects
from napari_sfh.estimation.settings import EstimateConfig
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.io.objects.blocks import BLOCK_ROWS, open_catalogue
from napari_sfh.io.objects.writing import CatalogueWriter


def write_catalogue(path: Path, n_rows: int) -> None:
    """Red, noisy spectral energy distributions in microjansky."""
    bands = read_bundle_header("jpas").instrument.band_names
    rng = np.random.default_rng(0)
    with CatalogueWriter(path) as out:
        for start in range(0, n_rows, BLOCK_ROWS):
            n = min(BLOCK_ROWS, n_rows - start)
            level = rng.lognormal(1.0, 0.5, n)
            columns = {"ID": Column(np.arange(start, start + n))}
            for k, band in enumerate(bands):
                flux = level * (1 + 0.02 * k) * rng.normal(1.0, 0.05, n)
                columns[band] = Column(flux.astype(np.float32), unit="uJy")
                columns[f"{band}_err"] = Column((0.05 * level * (1 + 0.02 * k)).astype(np.float32), unit="uJy")
            out.append(Table(columns))


def watch_memory(stop: threading.Event, highest: dict[str, float]) -> None:
    """Highest anonymous and file-backed resident memory of this process, GiB."""
    while not stop.wait(0.05):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        for key in ("RssAnon", "RssFile"):
            highest[key] = max(highest.get(key, 0.0), int(status[key].split()[0]) / 2**20)


def run_once(source: Path, draws: int, workers: int) -> None:
    """Estimate the catalogue; print a line of JSON. ``workers`` 0: in this process."""
    config = EstimateConfig((source,), source.with_name("estimates.fits"), draws=draws)
    stop, highest = threading.Event(), {}
    watch = threading.Thread(target=watch_memory, args=(stop, highest))
    watch.start()
    wall, busy = time.perf_counter(), os.times()
    far = (lambda blocks: estimate_on_workers(blocks, workers=workers)) if workers else None
    done = estimate_objects(config, far)
    used = os.times()
    stop.set()
    watch.join()
    seconds = sum(used[:4]) - sum(busy[:4])  # of workers too, which have ended
    print(json.dumps({"rows": done.n_rows, "wall": time.perf_counter() - wall, "cpu": seconds, **highest}))


def measure_rows(source: Path, draws: int, workers: int) -> dict[str, float]:
    """Figures of `run_once` in a process of its own."""
    command = [sys.executable, __file__, "--run", str(source), "--draws", str(draws), "--workers", str(workers)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])


def main() -> None:
    """Write, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="also on so many local Dask workers")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return run_once(options.run, options.draws, options.workers[0])
    print(machine())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="catalogue"))
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"catalogue-{options.rows}.fits"
    try:
        if not source.exists():
            write_catalogue(source, options.rows)
        start = time.process_time()
        for _ in open_catalogue(source).read_blocks():
            pass
        size, took = source.stat().st_size / 1e9, time.process_time() - start
        print(f"{options.rows} rows, {size:.2f} GB; reading alone: {options.rows / took:.0f} rows/s of processor")
        for workers in (0, *options.workers):
            found = measure_rows(source, options.draws, workers)
            print(
                f"{f'{workers} workers' if workers else 'here'}, {options.draws} draws: "
                f"{found['rows'] / found['wall']:.0f} rows/s, {found['rows'] / found['cpu']:.0f} rows/s of processor; "
                f"highest memory of the process that reads and writes {found['RssAnon']:.2f} GiB, "
                f"and {found['RssFile']:.2f} GiB of mapped files",
                flush=True,
            )
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
