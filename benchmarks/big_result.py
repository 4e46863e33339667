"""A result of any number of bins, for the viewer's benchmarks: the mock galaxy, enlarged.

    python benchmarks/big_result.py --bins 10000 --output big.fits
    from big_result import big_result; result = big_result(10_000)

The demo galaxy is run once. Its field is then drawn so much larger that each of the wanted bins holds some 36 spaxels
(fewer in the centre); a bin takes the spectrum, photometry and prediction of the demo's bin at its place, with
noise of its own of the size of the errors on spectrum and bands and on the means, so no two bins are alike.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from scipy.spatial import KDTree

from napari_sfh import demo, pipeline
from napari_sfh.io.results import read_result, write_result
from napari_sfh.types import BinMap, Observation, Prediction, Result

_SPAXELS_PER_BIN = 36
_MEANS = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "ebv")


def big_result(n_bins: int, source: Result | None = None, seed: int = 0) -> Result:
    """The mock galaxy with ``n_bins`` bins.

    Parameters
    ----------
    n_bins : int
    source : Result, optional
        The run to enlarge; without it the demo galaxy is run (some ten seconds).
    seed : int
        Of the bins' places and the noise.
    """
    source = source if source is not None else pipeline.run_pipeline(demo.make_demo_config("cpu"))
    assert source is not None
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_bins * _SPAXELS_PER_BIN)))
    zoom = side / source.white.shape[0]
    wcs = source.wcs.deepcopy()
    wcs.wcs.crpix = (wcs.wcs.crpix - 0.5) * zoom + 0.5
    bins = _bins(n_bins, side, source, rng)
    near = KDTree(np.column_stack([source.bins.x, source.bins.y])).query(np.column_stack([bins.x, bins.y]) / zoom)[1]
    grid = np.minimum((np.arange(side) / zoom).astype(int), source.white.shape[0] - 1)
    data = _noisy(source.data.select(near), rng)
    return replace(
        source,
        bins=replace(bins, snr=source.bins.snr[near]),
        data=data,
        prediction=_scattered(source.prediction, near, rng),
        model_flux=source.model_flux[near],
        model_phot=source.model_phot[near],
        chi2=source.chi2[near],
        flag=source.flag[near],
        white=source.white[np.ix_(grid, grid)],
        wcs=wcs,
        name=f"{source.name} x {zoom:.1f}",
    )


def _bins(n: int, side: int, source: Result, rng: np.random.Generator) -> BinMap:
    """Voronoi cells of ``n`` random places, denser towards the centre; no cell is empty."""
    radius = 0.72 * side * rng.uniform(0, 1, 8 * n) ** 0.75
    angle = rng.uniform(0, 2 * np.pi, 8 * n)
    place = np.floor(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + side / 2)
    place = np.unique(place[np.all((place >= 0) & (place < side), axis=1)], axis=0)
    place = rng.permutation(place)[:n]
    place = place[np.argsort(np.hypot(*(place - side / 2).T), kind="stable")]
    y, x = np.mgrid[:side, :side]
    label = KDTree(place).query(np.column_stack([x.ravel(), y.ravel()]))[1]
    count = np.bincount(label, minlength=len(place))
    centre = [np.bincount(label, a.ravel().astype(float), len(place)) / count for a in (x, y)]
    return BinMap(
        bin_id=(label + 1).reshape(side, side).astype(np.int32),
        x=centre[0],
        y=centre[1],
        nspax=count.astype(np.int32),
        snr=np.ones(len(place), np.float32),
        target_snr=source.bins.target_snr,
        method=source.bins.method,
    )


def _noisy(data: Observation, rng: np.random.Generator) -> Observation:
    """Fresh noise on top of that of the demo."""
    flux = data.flux + data.error * rng.standard_normal(data.flux.shape, dtype=np.float32)
    phot = data.phot + data.phot_error * rng.standard_normal(data.phot.shape, dtype=np.float32)
    return replace(
        data, flux=np.where(data.mask, flux, np.float32(0)), phot=np.where(data.phot_mask, phot, np.float32(0))
    )


def _scattered(prediction: Prediction, near: np.ndarray, rng: np.random.Generator) -> Prediction:
    """The demo's predictions, their means moved by their own errors."""
    quantiles = {name: values[near] for name, values in prediction.quantiles.items()}
    for name in _MEANS:
        move = prediction.half_width(name)[near] * rng.standard_normal(near.size)
        quantiles[name] = (quantiles[name] + move[:, None]).astype(np.float32)
    return replace(
        prediction,
        light_frac=prediction.light_frac[near],
        mass_frac=prediction.mass_frac[near],
        mh=prediction.mh[near],
        quantiles=quantiles,
        ood=prediction.ood[near],
        latent=prediction.latent[near],
    )


def main() -> None:
    """Write such a file, read it back, print times and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=Path("big_result.fits"))
    parser.add_argument("--read", action="store_true", help="only read the file that is there: time and memory")
    options = parser.parse_args()
    print(machine())
    if not options.read:
        result = big_result(options.bins)
        start, cpu = time.perf_counter(), time.process_time()
        write_result(result, options.output)
        size = options.output.stat().st_size / 1e6
        took, busy = time.perf_counter() - start, time.process_time() - cpu
        print(f"write  {result.bins.n_bins} bins, {size:.0f} MB  {took:.2f} s (CPU {busy:.2f} s)")
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start, cpu = time.perf_counter(), time.process_time()
    result = read_result(options.output)
    took, busy = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"read   {result.bins.n_bins} bins  {took:.2f} s (CPU {busy:.2f} s), peak {peak:.2f} GiB, "
        f"{before:.2f} GiB of it before"
    )


if __name__ == "__main__":
    main()
