"""A mosaic of 1000 x 1000 spaxels and five mosaics of 10 000 x 10 000 pixels through the whole run.

    python benchmarks/bench_fullsize.py [--side 1000] [--mosaic 10000] [--folder DIR] [--keep] [--until STAGE]
                                        [--docs DIR]

Writes the files (`big_galaxy`; 37 GB at full size, nothing sparse, removed afterwards), reads the cube from start to
end with nothing done to it, runs `pipeline.run_pipeline` on all of them in a process of its own, and prints for each
stage: wall
clock and processor time, bytes asked of the system and bytes that came from the disk, and the highest resident memory.
"Cold" means that the files' pages were dropped from this system's cache before; a host below a virtual machine may
still hold them. --docs writes docs/results/field.md, with what a survey of such fields takes. --whole adds the
photometry of the mosaics' whole area, which a cube of 1000 spaxels does not reach.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import big_galaxy
import numpy as np
from field_page import write_field_page
from machine import machine

from napari_sfh import pipeline
from napari_sfh.decisions import configure_run
from napari_sfh.errors import Cancelled
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.io.results import read_result, write_result
from napari_sfh.prep.mosaics.photometry import measure_bin_photometry
from napari_sfh.prep.mosaics.psf import Psf
from napari_sfh.types import BinMap, Cube, Progress

TARGET_SNR = 35.0


def drop_cache(folder: Path) -> None:
    """Ask the kernel to forget the files of a folder."""
    for path in folder.glob("*.fits"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(path: Path) -> tuple[float, float]:
    """Wall and processor seconds of reading a file from start to end in 16 MiB pieces."""
    buffer = bytearray(2**24)
    start, busy = time.perf_counter(), time.process_time()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - start, time.process_time() - busy


def cube_of(folder: Path) -> Path:
    """The cube's path."""
    (path,) = folder.glob("*DATACUBE*.fits")
    return path


def report_plain(folder: Path, state: str) -> np.ndarray:
    """Read the cube cold; print and return wall and processor seconds per GB."""
    drop_cache(folder)
    size = cube_of(folder).stat().st_size / 1e9
    wall, busy = plain_read(cube_of(folder))
    print(f"plain read, cold, {state}: {size:.2f} GB in {wall:.1f} s = {size / wall:.2f} GB/s (CPU {busy:.1f} s)")
    return np.array([wall, busy]) / size


@dataclass
class Meter:
    """What this process has used between two calls of `lap`."""

    wall: float
    cpu: float
    asked: int
    disk: int

    @staticmethod
    def now() -> Meter:
        io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return Meter(time.perf_counter(), time.process_time(), int(io["rchar"]), int(io["read_bytes"]))

    def lap(self, stage: str) -> dict[str, Any]:
        """Figures since the last call; memory's high-water mark starts again."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        Path("/proc/self/clear_refs").write_text("5")
        new = Meter.now()
        row = {
            "stage": stage,
            "wall": new.wall - self.wall,
            "cpu": new.cpu - self.cpu,
            "asked": (new.asked - self.asked) / 1e9,
            "disk": (new.disk - self.disk) / 1e9,
            "peak": int(status["VmHWM"].split()[0]) / 2**20,
        }
        self.__dict__.update(new.__dict__)
        print(
            f"  {stage[:44]:44s} {row['wall']:7.1f} s  CPU {row['cpu']:7.1f} s  read {row['asked']:6.2f} GB "
            f"({row['disk']:6.2f} from disk)  peak {row['peak']:5.2f} GiB",
            flush=True,
        )
        return row


def whole_run(folder: Path, until: str | None) -> None:
    """Run the folder's galaxy; print every stage, then a line of JSON."""
    meter, rows, output = Meter.now(), [], folder / "result.out"
    config = configure_run(folder, ebv_mw=0.03, binning="powerbin", kinematics="maps", device="cpu")
    stage, result, cancel = "start", None, threading.Event()

    def note(step: Progress) -> None:
        nonlocal stage
        if step.stage != stage and not cancel.is_set():
            rows.append(meter.lap(stage))
            if until is not None and stage.startswith(until):
                cancel.set()
            stage = step.stage

    with contextlib.suppress(Cancelled):
        result = pipeline.run_pipeline(config, note, cancel)
    if result is not None:
        rows.append(meter.lap(stage))
        write_result(result, output)
        rows.append(meter.lap("writing the result"))
        n_bins = result.bins.n_bins
        print(f"  {n_bins} bins; result file {output.stat().st_size / 1e9:.2f} GB; {result.settings['notes']}")
        del result
        meter.lap("(set free)")
        result = read_result(output)
        rows.append(meter.lap("reading the result again"))
        rows[-1] |= {"bins": n_bins, "result_gb": output.stat().st_size / 1e9}
    print(json.dumps(rows))


def whole_mosaics(folder: Path, side: int) -> None:
    """Photometry of every pixel of the five mosaics: a grid of spaxels as large as they are."""
    wcs = big_galaxy.sky_wcs(side, big_galaxy.SPAXEL, big_galaxy.ROTATION)
    cube = Cube(
        path=Path("grid"),
        wave_aa=np.array([5000.0]),
        shape=(1, side, side),
        wcs=wcs,
        flux_scale=1e-20,
        read=lambda lo, hi: (np.zeros((0, 1, 1), np.float32), None, np.zeros((0, 1, 1), bool)),
        has_variance=False,
        name="grid",
        redshift=0.0,
        psf_fwhm_arcsec=big_galaxy.PSF_FWHM,
    )
    y, x = np.mgrid[:side, :side] // 8
    label = (1 + y * (side // 8 + 1) + x).astype(np.int32)
    label = np.unique(label, return_inverse=True)[1].reshape(label.shape).astype(np.int32) + 1
    count = np.bincount(label.ravel())[1:].astype(np.int32)
    zeros = np.zeros(count.size)
    bins = BinMap(label, zeros, zeros, count, zeros.astype(np.float32), TARGET_SNR, "file")
    meter, rows = Meter.now(), []
    for path in sorted(folder.glob("*sci.fits")):
        measure_bin_photometry(read_mosaic(path), cube, bins, Psf(big_galaxy.PSF_FWHM))
        rows.append(meter.lap(f"whole mosaic on {side} x {side} spaxels"))
    print(json.dumps(rows))


def child(*arguments: str) -> list[dict[str, Any]]:
    """This script in a process of its own; its output passed on, its last line's figures returned."""
    last = "[]"
    with subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("[{"):
                last = line
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return list(json.loads(last))


#: Stages that read the cube, by the first words of their names.
CUBE_STAGES = ("signal and noise", "spectra", "the cube through")


def summary(rows: list[dict[str, Any]], plain: np.ndarray, size: float) -> None:
    """What the issue asks for, in one line each; ``plain`` as of `report_plain`."""
    cube = [row for row in rows if row["stage"].startswith(CUBE_STAGES)]
    wall, cpu, asked = (sum(row[key] for row in cube) for key in ("wall", "cpu", "asked"))
    print(
        f"cube: {asked:.1f} GB read ({asked / size:.2f} of the file) in {wall:.1f} s = {asked / wall:.2f} GB/s, "
        f"{plain[0] * asked / wall:.2f} of the plain speed; CPU {cpu / asked:.2f} s/GB, plain {plain[1]:.2f} s/GB; "
        f"a plain pass over the whole file takes {plain[0] * size:.1f} s"
    )
    for words, name in (("binning", "binning"), ("photometry mosaic", "photometry"), ("predicting", "network")):
        part = [row for row in rows if any(word in row["stage"] for word in words.split())]
        print(f"{name}: {sum(r['wall'] for r in part):.1f} s (CPU {sum(r['cpu'] for r in part):.1f} s)")
    total, busy = (sum(row[key] for row in rows) for key in ("wall", "cpu"))
    print(f"all: {total:.0f} s (CPU {busy:.0f} s), peak {max(row['peak'] for row in rows):.2f} GiB")


def main() -> None:
    """Write, read, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1000, help="spaxels on a side of the cube")
    parser.add_argument("--mosaic", type=int, default=10_000, help="pixels on a side of the mosaics")
    parser.add_argument("--folder", type=Path, help="where the files are, or will be written")
    parser.add_argument("--keep", action="store_true", help="leave the files in --folder for the next time")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="write the page of the documentation in this folder")
    parser.add_argument("--until", metavar="STAGE", help="stop the run after this stage")
    parser.add_argument("--whole", action="store_true", help="also photometry of the mosaics' whole area")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run-whole", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        return whole_run(options.run, options.until)
    if options.run_whole:
        return whole_mosaics(options.run_whole, int(options.mosaic * big_galaxy.PIXEL_HST / big_galaxy.SPAXEL))
    print(machine())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fullsize"))
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = big_galaxy.gigabytes(options.side, options.mosaic), shutil.disk_usage(folder).free / 1e9
    try:
        if not any(folder.glob("*DATACUBE*.fits")):
            if needed > free - 2:
                raise SystemExit(f"{folder}: {needed:.0f} GB are needed, {free:.0f} are free; lower --side, --mosaic")
            start, busy = time.perf_counter(), time.process_time()
            big_galaxy.write(folder, options.side, options.mosaic)
            took, busy = time.perf_counter() - start, time.process_time() - busy
            print(f"{needed:.1f} GB of files written in {took:.0f} s (CPU {busy:.0f} s)")
        size = cube_of(folder).stat().st_size / 1e9
        first = report_plain(folder, "before the run")
        drop_cache(folder)
        rows = child("--run", str(folder), *(("--until", options.until) if options.until else ()))
        second = report_plain(folder, "after the run")
        summary(rows, 0.5 * (first + second), size)
        if options.docs:
            about = {"machine": machine(), "side": options.side, "mosaic": options.mosaic, "cube_gb": size}
            write_field_page({**about, "input_gb": needed, "stages": rows}, options.docs)
        if options.whole:
            drop_cache(folder)
            child("--run-whole", str(folder), "--mosaic", str(options.mosaic))
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
