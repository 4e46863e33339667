"""A catalogue and three galaxies on a Dask cluster by its address, beside the same work in one process.

    python benchmarks/bench_cluster.py [--rows 300000] [--workers 2]

Scheduler and workers are processes of their own, which share nothing with the caller but the address. Results are
compared value by value. Processor time is that of the command and of the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
from astropy.io import fits
from bench_catalogue import write_catalogue
from machine import machine

from napari_sfh import demo

#: Corners of three pieces of the mock galaxy, spaxels.
CORNERS = ((22, 22), (10, 20), (26, 12))
PIECE = 12


@contextmanager
def start_cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a scheduler with workers of one thread each, and the workers' processes."""
    where = folder / "scheduler.json"
    plain = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen([sys.executable, "-m", "dask", *words], **plain))
            stack.callback(process.terminate)
            return process

        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where))
        one = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        made = [start("worker", "--scheduler-file", str(where), *one) for _ in range(workers)]
        while not where.exists():
            time.sleep(0.1)
        yield json.loads(where.read_text())["address"], [psutil.Process(worker.pid) for worker in made]


def run_command(words: Sequence[str], workers: Sequence[psutil.Process] = ()) -> dict[str, float]:
    """Wall clock and processor seconds of a command, and the processor seconds of the workers meanwhile."""

    def measure() -> tuple[float, float, float]:
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        far = sum(sum(worker.cpu_times()[:2]) for worker in workers)
        return time.perf_counter(), own.ru_utime + own.ru_stime, far

    before = measure()
    subprocess.run([sys.executable, "-m", "napari_sfh", *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return dict(zip(("wall", "caller", "workers"), (b - a for a, b in zip(before, measure()))))


def count_differences(one: Path, other: Path) -> int:
    """Extensions whose data differ; what a run says of its settings and times is left out."""
    with fits.open(one) as a, fits.open(other) as b:
        names = [hdu.name for hdu in a if hdu.name != "SETTINGS"]
        assert names == [hdu.name for hdu in b if hdu.name != "SETTINGS"]
        return sum(not fits.HDUDiff(a[name], b[name], ignore_keywords=["*"]).identical for name in names)


def main() -> None:
    """Write, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "catalogue.fits"
        write_catalogue(source, options.rows)
        galaxies = []
        for k, (y, x) in enumerate(CORNERS):
            galaxies.append(
                str(demo.write_demo_cutout(folder / f"galaxy{k}", (slice(y, y + PIECE), slice(x, x + PIECE))))
            )
        with start_cluster(folder, options.workers) as (address, workers):
            rows = ["estimate", str(source), "--model", "jpas", "--output"]
            many = ["run", *galaxies, "--ebv-mw", "0", "--output"]
            for what, words, n, out in (
                (f"{options.rows} rows", rows, options.rows, "estimates-{}.fits"),
                (f"{len(galaxies)} galaxies", many, len(galaxies), "results-{}"),
            ):
                place = [str(folder / out.format(k)) for k in ("here", "there")]
                for where, arguments, far in (("here", (), ()), (address, ("--scheduler", address), workers)):
                    found = run_command([*words, place[bool(far)], *arguments], far)
                    used = found["caller"] + found["workers"]
                    print(
                        f"{what}, {where if not far else f'{len(far)} workers at {where}'}: {found['wall']:.1f} s, "
                        f"{n / found['wall']:.4g} a second; processor {used:.1f} s ({n / used:.4g} a second), "
                        f"of it {found['caller']:.1f} s of the caller",
                        flush=True,
                    )
                files = [sorted(Path(p).glob("*.fits")) if Path(p).is_dir() else [Path(p)] for p in place]
                pairs = list(zip(*files, strict=True))
                print(
                    f"{what}: {sum(count_differences(*pair) for pair in pairs)} extensions of {len(pairs)} files differ"
                )


if __name__ == "__main__":
    main()
