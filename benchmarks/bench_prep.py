"""Speed and memory of prep at the sizes of PHANGS: `python benchmarks/bench_prep.py [--side 300] [--full]`.

A cube of ``side`` x ``side`` x 3681 with DATA and STAT (8 bytes a voxel) is written to a temporary folder
and removed afterwards; the full 1000 x 1000 cube would be 29 GB, its times follow from the rate in MB/s.
Mosaics live in memory. Every figure is printed with the machine that made it.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from machine import machine

from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.cubes import read_cube
from napari_sfh.prep.binning import SpaxelSN, bin_spaxels, measure_signal_noise
from napari_sfh.prep.mosaics.photometry import measure_bin_photometry
from napari_sfh.prep.mosaics.psf import Psf
from napari_sfh.prep.rest_frame import shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra, extract_bin_spectra, find_channel_range
from napari_sfh.types import BinMap, Cube, Mosaic

GRID = load_instrument().grid


def peak_gib() -> float:
    """Highest resident memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def sky_wcs(n: int, pixel_arcsec: float) -> WCS:
    """Tangent plane, n x n pixels."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [24.17, 15.78], [(n + 1) / 2] * 2
    wcs.wcs.cdelt = [-pixel_arcsec / 3600, pixel_arcsec / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.set()
    return wcs


def galaxy(side: int) -> SpaxelSN:
    """S/N of an exponential disc: 30 at the centre, 2 at the edge."""
    y, x = np.mgrid[:side, :side]
    signal = (30 * np.exp(-np.hypot(x - side / 2, y - side / 2) / (side / 5)) + 2).astype(np.float32)
    rng = np.random.default_rng(0)
    signal *= rng.uniform(0.9, 1.1, signal.shape).astype(np.float32)
    good = np.ones(signal.shape, bool)
    return SpaxelSN(signal, np.ones_like(signal), good, sky_wcs(side, 0.2), Path("bench"), from_variance=True)


def bench_binning(side: int, vorbin_side: int) -> None:
    """powerbin on side^2 spaxels, vorbin on fewer."""
    for method, n in (("vorbin", vorbin_side), ("powerbin", vorbin_side), ("powerbin", side)):
        sn = galaxy(n)
        start = time.perf_counter()
        bins = bin_spaxels(sn, 35.0, method)
        took = time.perf_counter() - start
        print(f"binning   {method:8s} {n * n:8d} spaxels -> {bins.n_bins:6d} bins  {took:7.1f} s")


def write_cube(path: Path, side: int, channels: int = 3681) -> None:
    """A cube of noise around 100, DATA and STAT, written channel by channel."""
    header = sky_wcs(side, 0.2).to_header()
    header = fits.Header(
        dict(header) | {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4749.88, "CRPIX3": 1.0, "CDELT3": 1.25}
    )
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    rng = np.random.default_rng(0)
    page = (100 + 5 * rng.standard_normal((64, side, side))).astype(">f4")
    fits.PrimaryHDU().writeto(path)
    for name, factor in (("DATA", 1.0), ("STAT", 0.25)):
        card = fits.Header({"XTENSION": "IMAGE", "BITPIX": -32, "NAXIS": 3, "NAXIS1": side, "NAXIS2": side})
        card["NAXIS3"], card["PCOUNT"], card["GCOUNT"], card["EXTNAME"] = channels, 0, 1, name
        card.extend(header, strip=True, unique=True)
        with path.open("ab") as file:
            file.write(card.tostring().encode())
            for k in range(channels):
                file.write((page[k % 64] * np.float32(factor)).astype(">f4").tobytes())
            file.write(b"\0" * (-file.tell() % 2880))


def drop_cache(path: Path) -> None:
    """Ask the kernel to forget the file, so that a read is one of the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(path: Path) -> float:
    """MB/s of reading the file from start to end."""
    drop_cache(path)
    start, size = time.perf_counter(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(2**24):
            size += len(block)
    return size / 1e6 / (time.perf_counter() - start)


def bench_extraction(side: int) -> None:
    """S/N and extraction of a cube on disk against a plain read of the same file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.fits"
        write_cube(path, side)
        rate = plain_read(path)
        drop_cache(path)
        cube = read_cube(path)
        start = time.perf_counter()
        sn = measure_signal_noise(cube, 0.002, GRID.norm_window_aa)
        took = time.perf_counter() - start
        print(f"S/N       {side} x {side} x 160 channels  {took:.1f} s")
        label = np.kron(np.arange(1, (side // 5) ** 2 + 1).reshape(side // 5, side // 5), np.ones((5, 5), int))
        bins = bin_spaxels(sn, 35.0, given=np.pad(label, ((0, side - len(label)),) * 2).astype(np.int32))
        drop_cache(path)
        start = time.perf_counter()
        spectra = extract_bin_spectra(cube, bins, find_channel_range(cube, 0.002, GRID), sn.signal)
        took = time.perf_counter() - start
        used = spectra.wave_aa.size * side * side * 8 / 1e6
        print(
            f"extract   {side} x {side} x {spectra.wave_aa.size} channels, DATA and STAT, {bins.n_bins} bins  "
            f"{took:.1f} s = {used / took:.0f} MB/s; plain read of the file {rate:.0f} MB/s; peak {peak_gib():.2f} GiB"
        )


def bench_rest_frame(n_bins: int) -> None:
    """Rest frame and broadening."""
    wave = 4749.88 + 1.25 * np.arange(1900)
    flux = np.ones((n_bins, wave.size), np.float32)
    spectra = BinSpectra(wave, flux, flux, flux > 0, 1e-20, from_variance=True)
    for sigma in (60.0, 146.0):
        start = time.perf_counter()
        shift_to_rest_frame(spectra, GRID, 0.002, 0.0, sigma)
        took = time.perf_counter() - start
        print(
            f"rest      {n_bins} bins of {sigma:.0f} km/s  {took:.2f} s = {1e4 * took / n_bins:.1f} s per 10 000 bins"
        )


def bench_photometry(n_hst: int, spaxels: int) -> None:
    """One mosaic of n_hst^2 pixels onto spaxels^2."""
    rng = np.random.default_rng(0)
    data = rng.uniform(0.5, 1.5, (n_hst, n_hst)).astype(np.float32)
    mosaic = Mosaic(
        path=Path("bench.fits"),
        band="F555W",
        filter_name="F555W",
        camera="UVIS",
        shape=data.shape,
        wcs=sky_wcs(n_hst, 0.0396),
        photflam=1e-19,
        photplam_aa=5308.0,
        read=lambda y, x: (data[y, x], np.full((y.stop - y.start, x.stop - x.start), 0.1, np.float32)),
        psf_fwhm_arcsec=0.08,
    )
    cube = Cube(
        path=Path("bench"),
        wave_aa=np.array([5000.0]),
        shape=(1, spaxels, spaxels),
        wcs=sky_wcs(spaxels, 0.2),
        flux_scale=1e-20,
        read=lambda lo, hi: (np.zeros((0, 1, 1), np.float32), None, np.zeros((0, 1, 1), bool)),
        has_variance=False,
        name="bench",
        redshift=0.0,
        psf_fwhm_arcsec=0.9,
    )
    y, x = np.mgrid[:spaxels, :spaxels]
    label = (1 + (y // 6) * (spaxels // 6 + 1) + x // 6).astype(np.int32)
    label = np.unique(label, return_inverse=True)[1].reshape(label.shape).astype(np.int32) + 1
    n = int(label.max())
    zeros = np.zeros(n)
    bins = BinMap(
        label, zeros, zeros, np.bincount(label.ravel())[1:].astype(np.int32), zeros.astype("f4"), 35.0, "file"
    )
    start = time.perf_counter()
    measure_bin_photometry(mosaic, cube, bins, Psf(0.9))
    took = time.perf_counter() - start
    print(f"bands     {n_hst}^2 mosaic on {spaxels}^2 spaxels, {n} bins  {took:.1f} s; peak {peak_gib():.2f} GiB")


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=300, help="spaxels along a side of the cube on disk")
    parser.add_argument("--full", action="store_true", help="10^6 spaxels to bin, a 10 000^2 mosaic")
    options = parser.parse_args()
    print(machine())
    bench_rest_frame(1000)
    bench_photometry(5050 if options.full else 2500, 1000 if options.full else 480)
    bench_extraction(options.side)
    bench_binning(1000 if options.full else 300, 100)


if __name__ == "__main__":
    main()
