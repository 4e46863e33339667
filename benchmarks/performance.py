"""Measure what docs/results/performance.md tells, and write it.

    python benchmarks/performance.py [--output DIR] [--gpu FILE] [--page] [--only profiles catalogue]

Every figure is processor time of this process, the least of some calls: a shared machine adds to the wall clock, not
to that. What is compared ("before", "after") is called in turn in one run, so that both see the same machine. How a
step grows with its work is the slope of a line through log(time) against log(size). ``--page`` measures nothing: it
writes the page again from the figures of the last time, with those of a GPU where ``--gpu`` gives them; ``--only``
measures these parts and keeps the other figures.
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
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import bench_catalogue
import numpy as np
import profiles
import torch
from demo_galaxy import DemoGalaxy
from machine import describe_measurement, make_plain_environment
from performance_page import write_page
from threadpoolctl import threadpool_limits

from napari_sfh import demo
from napari_sfh.arrays import keep_freed_memory
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.model import encoding, layers, posterior
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.inference import predict_histories, predict_point_values
from napari_sfh.model.networks import build_network
from napari_sfh.pipeline import run_pipeline
from napari_sfh.prep import spectra
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.kinematics.stellar_kinematics import fit_ppxf_kinematics
from napari_sfh.prep.mosaics.bands import measure_bands
from napari_sfh.prep.mosaics.psf import choose_cube_psf
from napari_sfh.prep.rest_frame import shift_to_rest_frame
from napari_sfh.prep.tessellate import tessellate_spaxels
from napari_sfh.training.evaluation.ppxf_comparison import PpxfTestSettings, fit_test_spectrum, make_ppxf_tasks
from napari_sfh.training.evaluation.ppxf_templates import PpxfGrid, make_ppxf_grid
from napari_sfh.training.evaluation.test_set import draw_test_set

CALLS = 5
#: What the two ways of running pPXF are.
PPXF_SETTINGS = (
    "in both ways pPXF is given the kinematics; the paper's has two ages in each of the 16 bins, regularisation of 1%, "
    "bands and a polynomial of order 8, the fastest reasonable one age a bin, no regularisation, no bands, the same "
    "polynomial; the network reads the same eight spectra and their bands"
)


@dataclass(frozen=True)
class Comparison:
    """One step before and after, processor seconds of the same work."""

    what: str
    before: str
    after: str
    before_s: float
    after_s: float
    work: int  # objects in one call
    notes: str = ""


@dataclass(frozen=True)
class Growth:
    """Processor seconds of a step against the size of its work, and the exponent of the fitted power."""

    what: str
    of: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float


@dataclass(frozen=True)
class Single:
    """One figure that has nothing to be compared with."""

    what: str
    value: float
    unit: str


def least_seconds(works: dict[str, Callable[[], object]], calls: int = CALLS) -> dict[str, float]:
    """Least processor time of each of some works that are called in turn; a first call of each is not counted."""
    for work in works.values():
        work()
    best = dict.fromkeys(works, np.inf)
    for _ in range(calls):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    return best


def fit_growth(what: str, of: str, works: dict[int, Callable[[], object]]) -> Growth:
    """Time a step at several sizes."""
    seconds = least_seconds({str(n): work for n, work in works.items()}, 3)
    sizes, times = tuple(works), tuple(seconds.values())
    exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    return Growth(what, of, sizes, tuple(round(t, 5) for t in times), round(float(exponent), 2))


class Switched:
    """A work that is done with one function of a module always giving False: the plain way."""

    def __init__(self, module: object, name: str, work: Callable[[], object]) -> None:
        self.module, self.name, self.work = module, name, work

    def __call__(self) -> None:
        kept = getattr(self.module, self.name)
        setattr(self.module, self.name, lambda *args: False)
        try:
            self.work()
        finally:
            setattr(self.module, self.name, kept)


def compare_training(galaxy: DemoGalaxy) -> list[Comparison]:
    """A training step of the paper's network, batch 128."""
    torch.manual_seed(0)
    data = galaxy.some_bins(128)
    features = encode_observation(data, galaxy.bundle.features)
    network = build_network("galceran2026", None, data.flux.shape[1], data.phot.shape[1]).train()
    optimiser = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimiser.zero_grad()
        decoded, _ = network(features)
        (decoded.fraction.square().sum() + decoded.mh.square().mean()).backward()
        optimiser.step()

    took = least_seconds({"plain": Switched(layers, "allows_fast_convolution", step), "fused": step}, 8)
    what = "training step, batch 128; optimiser, attention and kept memory are new in both"
    before, after = "layers one by one", "one fused step"
    return [Comparison(what, before, after, took["plain"], took["fused"], 128)]


def compare_posterior(galaxy: DemoGalaxy) -> list[Comparison]:
    """Posterior of 64 bins with 1 000 draws."""
    data = galaxy.some_bins(64)

    def predict() -> None:
        predict_histories(data, galaxy.bundle, "cpu", 32, 1000)

    took = least_seconds({"plain": Switched(posterior, "allows_fast_draws", predict), "fast": predict})
    return [Comparison("posterior, 1 000 draws a bin", "zuko's inverse", "fast draws", took["plain"], took["fast"], 64)]


def compare_kinematics(galaxy: DemoGalaxy) -> list[Comparison]:
    """Fast kinematics against pPXF on the demo's spectra of S/N 35."""
    some, few = galaxy.some_spectra(256), galaxy.some_spectra(64)
    about = galaxy.redshift, galaxy.bundle.basis, galaxy.grid
    took = least_seconds({"ppxf": lambda: fit_ppxf_kinematics(make_log_spectra(few, *about))}, 2)
    took |= least_seconds({"fast": lambda: fit_fast_kinematics(make_log_spectra(some, *about))}, 3)
    fast, ppxf = (
        fit_fast_kinematics(make_log_spectra(some, *about)),
        fit_ppxf_kinematics(make_log_spectra(some, *about)),
    )
    dv, ds = fast.v_kms - ppxf.v_kms, fast.sigma_kms - ppxf.sigma_kms
    v_error, sigma_error = np.median(fast.v_error_kms), np.median(fast.sigma_error_kms)
    notes = (
        f"fast - pPXF on {some.n_bins} bins: V {np.median(dv):+.2f} +- {dv.std():.2f} km/s "
        f"({np.mean(np.abs(dv) < 3):.0%} within 3), sigma {np.median(ds):+.2f} +- {ds.std():.2f} km/s "
        f"({np.mean(np.abs(ds) < 5):.0%} within 5); the noise alone makes errors of {v_error:.1f} and "
        f"{sigma_error:.1f} km/s"
    )
    four = took["ppxf"] * some.n_bins / few.n_bins
    return [Comparison("stellar kinematics", "pPXF", "fast", four, took["fast"], some.n_bins, notes)]


def compare_populations(galaxy: DemoGalaxy) -> list[Comparison]:
    """Ages and metallicities of the same spectra by pPXF, as the paper ran it and as fast as is reasonable.

    Kinematics are given in both. The fast one has one age in each of the 16 bins, no regularisation, no photometry, no
    gas templates, and the same multiplicative polynomial.
    """
    n = 8
    tests = draw_test_set("galceran2026", n)
    assert tests.prepared is not None
    _, data = next(tests.first(n).observe())
    settings = {
        "pPXF as the paper ran it": PpxfTestSettings(gas=False),
        "pPXF, fastest reasonable setting": PpxfTestSettings(1, regul_error=np.inf, gas=False, bands=False),
    }
    tasks = list(make_ppxf_tasks(tests, range(n)))

    def fit(how: PpxfTestSettings, grids: list[PpxfGrid]) -> None:
        for task in tasks:
            fit_test_spectrum(task, grids[task.library], tests.prepared.models[task.library].templates, how)

    works: dict[str, Callable[[], object]] = {}
    for name, how in settings.items():
        grids = [make_ppxf_grid(model, how.groups_per_bin) for model in tests.prepared.models]
        works[name] = lambda how=how, grids=grids: fit(how, grids)
    took = least_seconds(works, 2)
    ours = least_seconds({"ours": lambda: predict_histories(data, galaxy.bundle, "cpu", 32, 1000)}, 5)["ours"]
    what, after = f"ages and metallicities of {n} spectra, one core each", "network, 1 000 draws"
    found = [Comparison(what, name, after, seconds, ours, n) for name, seconds in took.items()]
    return [*found[:-1], replace(found[-1], notes=PPXF_SETTINGS)]


def compare_encoding(galaxy: DemoGalaxy) -> list[Comparison]:
    """Point inference with torch's own arcsinh, and with the one of vectorised operations."""
    data = galaxy.some_bins(1024)

    def predict() -> None:
        predict_point_values(data, galaxy.bundle, "cpu")

    def with_torch() -> None:
        kept, encoding._take_arcsinh = encoding._take_arcsinh, torch.asinh_
        try:
            predict()
        finally:
            encoding._take_arcsinh = kept

    took = least_seconds({"torch": with_torch, "ours": predict}, 8)
    return [Comparison("point inference", "torch's arcsinh", "vectorised", took["torch"], took["ours"], 1024)]


def compare_binning(galaxy: DemoGalaxy) -> list[Comparison]:
    """powerbin alone, and with its first bins made by plain numbers on a grid."""
    from powerbin import PowerBin

    y, x = np.mgrid[:120, :120] - 60.0
    signal = (3000 * np.exp(-np.hypot(x, y) / 30) + 30).ravel()
    noise, places = 100 * np.sqrt(1 + signal / 1000), np.column_stack([x.ravel(), y.ravel()])
    faint = signal < 35 * noise
    some = places[faint], (signal[faint] / noise[faint]) ** 2
    shape = (120, 120)
    field = faint.reshape(shape), *(a.astype(np.float32).reshape(shape) for a in (signal, noise))

    def alone() -> None:
        PowerBin(*some, 35.0**2, pixelsize=1.0, verbose=0)

    def ours() -> None:
        tessellate_spaxels(*field, 35.0, "powerbin")

    took = least_seconds({"alone": alone, "ours": ours}, 2)
    what = "binning, a spaxel; bins as even"
    before, after = "powerbin", "powerbin, first bins by plain numbers on a grid"
    return [Comparison(what, before, after, took["alone"], took["ours"], int(faint.sum()))]


def measure_start_up(galaxy: DemoGalaxy) -> list[Single]:
    """Processor seconds of commands in a Python of their own."""
    found = []
    commands = {
        "--help": ["--help"],
        "info FOLDER": ["info", str(galaxy.files.folder), "--quiet"],
        "models": ["models"],
    }
    for name, arguments in commands.items():
        seconds = []
        for _ in range(4):  # the first may write byte code, as an installation does
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "napari_sfh", *arguments]
            subprocess.run(command, capture_output=True, check=True, env=make_plain_environment())
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        found.append(Single(f"napari-sfh {name}", round(min(seconds), 3), "s of processor"))
    return found


def measure_inference(galaxy: DemoGalaxy) -> list[Single]:
    """Bins per second of processor."""
    data = galaxy.some_bins(1024)
    took = least_seconds({"point": lambda: predict_point_values(data, galaxy.bundle, "cpu")}, 3)
    start = time.process_time()
    run_pipeline(demo.make_demo_config("cpu"))
    whole = time.process_time() - start
    return [
        Single("point inference", round(1024 / took["point"]), "bins per s of processor"),
        Single(
            f"the demo's run, {galaxy.result.bins.n_bins} bins, imports not counted", round(whole, 2), "s of processor"
        ),
    ]


def measure_growth(galaxy: DemoGalaxy) -> list[Growth]:
    """How the steps of a run grow."""
    b, z, grid = galaxy.bundle, galaxy.redshift, galaxy.grid

    def cut_channels(n: int) -> spectra.BinSpectra:
        s, kept = galaxy.some_spectra(64), slice(0, n)
        return replace(
            s, wave_aa=s.wave_aa[kept], flux=s.flux[:, kept], variance=s.variance[:, kept], good=s.good[:, kept]
        )

    blue = [band for band in galaxy.files.mosaics if band not in ("F555W", "F814W")]
    mosaics = {band: read_mosaic(galaxy.files.mosaics[band], band) for band in blue}
    psf = choose_cube_psf(galaxy.cube, grid.norm_window_aa, None)

    def photometry(n: int) -> None:
        some = dict(list(mosaics.items())[:n])
        measure_bands(some, galaxy.cube, galaxy.bins, psf, b.filters)

    return [
        fit_growth(
            "point inference",
            "bins",
            {n: lambda n=n: predict_point_values(galaxy.some_bins(n), b, "cpu") for n in (256, 1024, 4096)},
        ),
        fit_growth(
            "posterior, 400 draws",
            "bins",
            {n: lambda n=n: predict_histories(galaxy.some_bins(n), b, "cpu", 32, 400) for n in (32, 128, 256)},
        ),
        fit_growth(
            "posterior of 32 bins",
            "draws",
            {n: lambda n=n: predict_histories(galaxy.some_bins(32), b, "cpu", 32, n) for n in (250, 1000, 4000)},
        ),
        fit_growth(
            "fast kinematics",
            "bins",
            {
                n: lambda n=n: fit_fast_kinematics(make_log_spectra(galaxy.some_spectra(n), z, b.basis, grid))
                for n in (64, 256, 1024)
            },
        ),
        fit_growth(
            "rest frame",
            "bins",
            {n: lambda n=n: shift_to_rest_frame(galaxy.some_spectra(n), grid, z, 0.0, 60.0) for n in (64, 256, 1024)},
        ),
        fit_growth(
            "rest frame of 64 bins",
            "channels",
            {n: lambda n=n: shift_to_rest_frame(cut_channels(n), grid, z, 0.0, 60.0) for n in (470, 940, 1880)},
        ),
        # The others are also compared with the cube, which is another work.
        fit_growth("photometry outside the cube's range", "bands", {n: lambda n=n: photometry(n) for n in (1, 2, 3)}),
    ]


def measure_catalogue(rows: int = 100_000, draws: int = 400) -> list[dict[str, float]]:
    """Rows of a catalogue here, and on two Dask workers of this machine: each way in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "catalogue.fits"
        bench_catalogue.write_catalogue(source, rows)
        return [{"workers": n, **bench_catalogue.measure_rows(source, draws, n)} for n in (0, 2)]


def measure_profiles(galaxy: DemoGalaxy) -> list[dict[str, object]]:
    """Where the time goes."""
    made = profiles.profile_inference(galaxy) + profiles.profile_run() + profiles.profile_training()
    return [asdict(x) for x in made]


#: Parts that can be measured alone.
PARTS: dict[str, Callable[[], list[dict]]] = {
    "profiles": lambda: measure_profiles(DemoGalaxy()),
    "catalogue": measure_catalogue,
}


def measure_part(name: str) -> dict[str, object]:
    """One of `PARTS`, with what it depends on."""
    about = describe_measurement()
    figures = PARTS[name]()
    return {**about, "figures": figures, "load_after": round(os.getloadavg()[0], 1)}


COMPARISONS = (
    *(compare_training, compare_encoding, compare_posterior, compare_binning),
    *(compare_kinematics, compare_populations),
)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--gpu", type=Path, help="figures that benchmarks/gpu.py wrote on a machine with a GPU")
    parser.add_argument("--page", action="store_true", help="the page alone, from the figures of the last time")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=[], help="measure these parts alone")
    options = parser.parse_args()
    gpu = json.loads(options.gpu.read_text(encoding="utf-8")) if options.gpu else None
    figures, page = options.output / "report" / "performance.json", options.output / "results" / "performance.md"
    if options.page:
        found = json.loads(figures.read_text(encoding="utf-8"))
        found["gpu"] = gpu or found["gpu"]
        figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return write_page(found, page)
    torch.set_num_threads(1)
    keep_freed_memory(1 << 30, (1 << 31) - 1)
    with threadpool_limits(1):
        if options.only:
            found = json.loads(figures.read_text(encoding="utf-8"))
            for name in options.only:
                found[name] = measure_part(name)
                figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            return write_page(found, page)
        about = describe_measurement()
        galaxy = DemoGalaxy()
        compared: list[Comparison] = []
        for measure in COMPARISONS:
            compared += measure(galaxy)
            print(compared[-1], flush=True)
        singles = measure_start_up(galaxy) + measure_inference(galaxy)
        print(*singles, sep="\n", flush=True)
        grown = measure_growth(galaxy)
        print(*grown, sep="\n", flush=True)
        parts = {name: measure_part(name) for name in PARTS}
    # What other machines and longer runs measured stays until it is measured again.
    earlier = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    found = {
        **earlier,
        **about,
        "load_after": round(os.getloadavg()[0], 1),
        "compared": [asdict(x) for x in compared],
        "singles": [asdict(x) for x in singles],
        "growth": [asdict(x) for x in grown],
        **parts,
        "gpu": gpu or earlier.get("gpu"),
    }
    for path in (figures, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(found, page)


if __name__ == "__main__":
    main()
