"""Sequential slabs of a MUSE cube against a plain read of the same file, cold and warm, with the memory it takes.

    python benchmarks/bench_read.py [--size 400] [--block 16] [--repeat 3] [--folder DIR] [--keep]

Writes a DATA + STAT cube of size x size spaxels x 3681 channels (4.7 GB at 400; the full 1000 x 1000 is 29 GB), so that
the file is real, not sparse. "Cold" means that the file's pages were dropped from the page cache before.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import machine

from napari_sfh.io.cubes import read_cube

N_CHANNELS = 3681


def header(size: int) -> fits.Header:
    """A PHANGS-like cube header."""
    h = fits.Header()
    h["CTYPE1"], h["CTYPE2"], h["CTYPE3"] = "RA---TAN", "DEC--TAN", "AWAV"
    h["CUNIT1"], h["CUNIT2"], h["CUNIT3"] = "deg", "deg", "Angstrom"
    h["CRVAL1"], h["CRVAL2"], h["CRVAL3"] = 24.174, 15.784, 4749.88
    h["CRPIX1"], h["CRPIX2"], h["CRPIX3"] = size / 2, size / 2, 1.0
    h["CD1_1"], h["CD2_2"], h["CD3_3"] = -0.2 / 3600, 0.2 / 3600, 1.25
    h["CD1_2"], h["CD2_1"] = 0.0, 0.0
    return h


def write_cube(path: Path, size: int) -> None:
    """Write a full DATA + STAT cube slab by slab."""
    rng = np.random.default_rng(1)
    slab = rng.normal(100, 10, (16, size, size)).astype(">f4")
    for name, unit in (("DATA", "10**(-20)*erg/s/cm**2/Angstrom"), ("STAT", "")):
        h = fits.Header([("XTENSION", "IMAGE"), ("BITPIX", -32), ("NAXIS", 3)])
        h["NAXIS1"], h["NAXIS2"], h["NAXIS3"] = size, size, N_CHANNELS
        h["PCOUNT"], h["GCOUNT"], h["EXTNAME"] = 0, 1, name
        h.update(header(size))
        h["BUNIT"] = unit
        stream = fits.StreamingHDU(str(path), h)
        for lo in range(0, N_CHANNELS, 16):
            stream.write(slab[: min(16, N_CHANNELS - lo)])
        stream.close()


def drop_from_cache(path: Path) -> None:
    """Ask the kernel to forget the file's pages."""
    with path.open("rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(path: Path) -> float:
    """Seconds for reading the file in 16 MiB pieces and doing nothing with them."""
    buffer = bytearray(2**24)
    start = time.perf_counter()
    with path.open("rb", buffering=0) as f:
        while f.readinto(buffer):
            pass
    return time.perf_counter() - start


def slab_read(path: Path, block: int) -> float:
    """Seconds for reading flux, variance and mask of every channel."""
    start = time.perf_counter()
    cube = read_cube(path)
    for lo in range(0, cube.shape[0], block):
        flux, variance, good = cube.read(lo, min(lo + block, cube.shape[0]))
        if not (flux.dtype == variance.dtype == np.float32 and good.all()):
            raise ValueError("the slab is not what was written")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--block", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    print(machine())
    import_module("spectral_cube")  # takes over a second once, whatever the cube
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = (args.folder if args.keep and args.folder else Path(folder)) / f"bench_{args.size}_DATACUBE_native.fits"
        if not path.exists():
            write_cube(path, args.size)
        gigabytes = path.stat().st_size / 1e9
        print(f"{path.name}: {gigabytes:.2f} GB, blocks of {args.block} channels")
        ratios = []
        for state in ("cold",) * args.repeat + ("warm",) * args.repeat:
            seconds, busy = [], []
            for read in (plain_read, lambda p: slab_read(p, args.block)):
                if state == "cold":
                    drop_from_cache(path)
                start = time.process_time()
                seconds.append(read(path))
                busy.append((time.process_time() - start) / gigabytes)
            plain, slabs = seconds
            ratios.append((state, plain / slabs))
            print(
                f"{state}: plain {gigabytes / plain:.2f} GB/s, slabs {gigabytes / slabs:.2f} GB/s, "
                f"{plain / slabs:.2f} of the plain speed; processor {busy[0]:.2f} and {busy[1]:.2f} s/GB; "
                f"load {os.getloadavg()[0]:.1f}"
            )
        for state in ("cold", "warm"):
            print(f"{state}: median {np.median([r for s, r in ratios if s == state]):.2f} of the plain speed")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
