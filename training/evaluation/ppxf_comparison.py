"""pPXF (Cappellari 2023, MNRAS 526, 3273) on test spectra and their photometry: the method to compare with.

Set up as in Galceran et al. (2026, section 3.5): the synthetic set's own templates, regularisation error of 1 %, a
multiplicative polynomial of order 8 on the spectrum, no additive one, a Calzetti et al. (2000) curve with free A_V on
spectrum and bands. Ours, and in pPXF's favour: the kinematics of stars and gas are given instead of fitted;
emission lines are fitted with the stars, spectrum and bands alike, rather than cut out; redshift and camera of the
bands are known. Weights are V-light of templates, mass follows by each template's M/L, and the four means are taken on
the 16 age bins as for the network, with a bin's mass-weighted mean metallicity.

As stars need no convolution, spectra stay on their linear grid: no rebinning correlates their noise.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import time
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.comparison import ppxf_fit
from napari_sfh.digests import hash_parts
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.atomic import ensure_folder, write_text_atomically
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.prep.kinematics.ppxf_call import run_ppxf
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.evaluation.ablation import remove_photometry
from napari_sfh.training.evaluation.ppxf_templates import PpxfGrid, make_ppxf_grid
from napari_sfh.training.evaluation.test_set import TestSet, observe_spectra_block
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.types import F64, Observation, Progress


@dataclass(frozen=True)
class PpxfTestSettings:
    """How pPXF is run."""

    groups_per_bin: int = 2  # age templates in each of the 16 bins
    mdegree: int = 8
    regul_error: float = 0.01
    gas: bool = True  # fitted with the stars; else the lines are cut out of the spectrum, and stay in the bands
    bands: bool = True


@dataclass(frozen=True)
class PpxfTestTask:
    """One spectrum to fit."""

    index: int
    library: int
    data: Observation  # one object
    redshift: float = 0.0
    acs: bool = False
    gas_sigma_kms: float | None = None  # None: the instrument's dispersion
    gas_v_kms: float = 0.0


@dataclass(frozen=True)
class PpxfTestFit:
    """What pPXF says of one spectrum, and the time it took."""

    index: int
    means: dict[str, float]
    mass_frac: list[float]
    light_frac: list[float]
    mh: list[float]
    a_v: float
    chi2: float
    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class PpxfTestModel:
    """The model of one object."""

    flux: F64  # (W,) over the spectrum's window, as the data
    phot: F64  # (B,) NaN where a band was not fitted


def fit_test_spectrum(
    task: PpxfTestTask, grid: PpxfGrid, templates: Templates, settings: PpxfTestSettings
) -> PpxfTestFit:
    """Fit one spectrum.

    Parameters
    ----------
    task : PpxfTestTask
        One object with its data.
    grid : PpxfGrid
        Templates as pPXF takes them, of the object's library.
    templates : Templates
        For the bands at its redshift.
    settings : PpxfTestSettings

    Returns
    -------
    PpxfTestFit
        Means, histories and seconds.

    Raises
    ------
    ComputeError
        When pPXF fails.
    """
    keys = _arguments(task, grid, templates, settings)[0]
    importlib.import_module("ppxf.ppxf")  # not part of the time
    wall, cpu = time.perf_counter(), time.process_time()
    solution = run_ppxf(keys, f"test spectrum {task.index}")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    weights = np.maximum(solution.weights[: grid.flux.shape[1]], 0).reshape(grid.shape)
    mass, light, mh = ppxf_fit.sum_ppxf_weights(weights, grid.light_v, grid.bin_of_group, grid.mh)
    means = {k: float(v) for k, v in compute_population_means(mass, light, mh).items()}
    a_v = float(solution.dust[0]["sol"][0])
    lists = (mass.tolist(), light.tolist(), mh.tolist())
    return PpxfTestFit(task.index, means, *lists, a_v, float(solution.chi2), cpu, wall)


def fit_test_models(
    testset: TestSet, indices: Iterable[int], settings: PpxfTestSettings | None = None
) -> dict[int, PpxfTestModel]:
    """What pPXF draws through some objects of a test set: stars, dust, polynomial, and lines as fitted.

    Parameters
    ----------
    testset : TestSet
        One with templates, `test_set.draw_test_set`.
    indices : iterable of int
        Numbers of the objects.
    settings : PpxfTestSettings, optional

    Returns
    -------
    dict
        By number.
    """
    settings = settings or PpxfTestSettings()
    assert testset.prepared is not None
    setup = [(make_ppxf_grid(m, settings.groups_per_bin), m.templates) for m in testset.prepared.models]
    models = {}
    for task in make_ppxf_tasks(testset, indices):
        keys, data = _arguments(task, *setup[task.library], settings)
        solution = run_ppxf(keys, f"test spectrum {task.index}")
        phot = np.full(data.phot.shape[1], np.nan)
        if "phot" in keys:
            phot[data.phot_mask[0] & (data.phot_error[0] > 0)] = solution.phot_bestfit
        models[task.index] = PpxfTestModel(np.asarray(solution.bestfit, float), phot)
    return models


def _arguments(
    task: PpxfTestTask, grid: PpxfGrid, templates: Templates, settings: PpxfTestSettings
) -> tuple[dict[str, Any], Observation]:
    """Arguments of ``ppxf.ppxf``, and what of the object they hold."""
    bands, wave = grid.bands(task.redshift, task.acs)
    stars = ppxf_fit.PpxfTemplates(grid.flux, bands, wave, grid.light_v, grid.bin_of_group, grid.mh)
    own = templates.instrument.grid
    sigma_kms = own.sigma_kms if task.gas_sigma_kms is None else task.gas_sigma_kms
    gas, data = None, task.data
    if not settings.gas:
        data = mask_gas_lines(data)
    if not settings.bands:
        data = remove_photometry(data)
    if settings.gas:
        gas = ppxf_fit.make_gas_line_templates(templates.filters, own, sigma_kms, task.gas_v_kms)
    return ppxf_fit.build_ppxf_arguments(data, stars, gas, settings.mdegree, settings.regul_error), data


def make_ppxf_tasks(testset: TestSet, indices: Iterable[int]) -> Generator[PpxfTestTask, None, None]:
    """Tasks of some objects of a test set, in order.

    Parameters
    ----------
    testset : TestSet
    indices : iterable of int
        Numbers of its objects; those of one block in a row are made once.
    """
    held: tuple[int, Observation] | None = None
    for i in indices:
        block, row = testset.find_block(i)
        if held is None or held[0] != block.index:
            held = (block.index, observe_spectra_block(block, testset.seed))
        data = held[1].select(slice(row, row + 1))
        library = int(block.library[row])
        known = testset.params(i)
        if known is None:
            yield PpxfTestTask(i, library, data)
            continue
        p, acs = known
        yield PpxfTestTask(
            i, library, data, float(p.redshift[0]), acs, float(p.gas_sigma_kms[0]), float(p.gas_v_kms[0])
        )


def fit_test_spectra(
    testset: TestSet,
    n: int,
    cache: Path,
    settings: PpxfTestSettings | None = None,
    workers: int = 1,
    progress: ReportProgress | None = None,
) -> list[PpxfTestFit]:
    """Fit the first ``n`` objects of a test set; what an earlier run finished is read from ``cache``.

    Parameters
    ----------
    testset : TestSet
        One with templates, `test_set.draw_test_set`.
    n : int
    cache : path
        JSON lines, one per spectrum, below a first line that says of what set.
    settings : PpxfTestSettings, optional
    workers : int
        Processes of one core each.

    Raises
    ------
    SfhInputError
        No templates; ``cache`` belongs to another set.
    """
    settings = settings or PpxfTestSettings()
    if testset.prepared is None:
        raise SfhInputError("pPXF needs the set's own templates: evaluate with `prior` NAME instead of `data`")
    n = min(n, testset.n)
    done = _open_cache(cache, _settings_hash(testset, settings))
    todo = [i for i in range(n) if i not in done]
    report_progress(Progress("pPXF", n - len(todo), n), progress)
    models = testset.prepared.models
    setup = [(make_ppxf_grid(m, settings.groups_per_bin), m.templates) for m in models]
    for fit in _run_tasks(make_ppxf_tasks(testset, todo), setup, settings, workers):
        done[fit.index] = fit
        _append_fit(cache, fit)
        report_progress(Progress("pPXF", sum(i < n for i in done), n), progress)
    return [done[i] for i in range(n) if i in done]


def _run_tasks(
    work: Iterable[PpxfTestTask], setup: list[tuple[PpxfGrid, Templates]], settings: PpxfTestSettings, workers: int
) -> Generator[PpxfTestFit, None, None]:
    """Fits as they are finished."""
    from threadpoolctl import threadpool_limits

    if workers <= 1:
        with threadpool_limits(1):
            for alone in work:
                grid, t = setup[alone.library]
                yield fit_test_spectrum(alone, grid, t, settings)
        return
    context = multiprocessing.get_context("spawn")
    queue = iter(work)
    with ProcessPoolExecutor(workers, context, _start_worker, (setup, settings)) as pool:
        pending: set[Future[PpxfTestFit]] = set()
        while True:
            while len(pending) < 2 * workers and (task := next(queue, None)) is not None:
                pending.add(pool.submit(_fit_in_worker, task))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


_SETUP: list[Any] = []


def _start_worker(setup: list[tuple[PpxfGrid, Templates]], settings: PpxfTestSettings) -> None:
    """Keep the templates of a worker process, and it to one core."""
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = "1"
    _SETUP[:] = [setup, settings, threadpool_limits(1)]


def _fit_in_worker(task: PpxfTestTask) -> PpxfTestFit:
    grid, templates = _SETUP[0][task.library]
    return fit_test_spectrum(task, grid, templates, _SETUP[1])


def _settings_hash(testset: TestSet, settings: PpxfTestSettings) -> str:
    """Hash of all that decides the fits."""
    assert testset.prepared is not None
    parts = [testset.prepared.config.sha256, json.dumps(testset.prepared.libraries, sort_keys=True)]
    parts += [str(testset.seed), json.dumps(asdict(settings), sort_keys=True)]
    return hash_parts("|".join(parts))


def _append_fit(cache: Path, fit: PpxfTestFit) -> None:
    try:
        with cache.open("a", encoding="utf-8") as f:
            f.write(json.dumps(asdict(fit)) + "\n")
    except OSError as error:
        raise ComputeError(f"{cache}: writing failed ({error.strerror}); free disk space, and run again") from error


def _open_cache(cache: Path, key: str) -> dict[int, PpxfTestFit]:
    """Fits of an earlier run; begins the file where there is none.

    A run that was killed, or filled the disk, may have left a last line that breaks off: that fit is made again.
    """
    try:
        text = cache.read_text(encoding="utf-8") if cache.is_file() else ""
        whole = text[: text.rfind("\n") + 1] or text
        if not whole:
            ensure_folder(cache.parent)
            whole = json.dumps({"key": key}) + "\n"
        if whole != text:
            write_text_atomically(cache, whole)
        lines = whole.splitlines()
    except OSError as error:
        raise ComputeError(f"{cache}: cannot be written ({error.strerror}); choose another `output`") from error
    try:
        first = json.loads(lines[0])["key"]
        fits = [PpxfTestFit(**json.loads(line)) for line in lines[1:]]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise SfhInputError(f"{cache}: not a record of pPXF fits; delete it") from error
    if first != key:
        raise SfhInputError(f"{cache}: holds fits of another test set or other settings; choose another folder")
    return {f.index: f for f in fits}


def summarise_ppxf_fits(fits: list[PpxfTestFit], truth: Mapping[str, NDArray[np.floating]]) -> dict[str, Any]:
    """The report's table: accuracy of the four means, time per spectrum.

    Parameters
    ----------
    fits : list of PpxfTestFit
    truth : mapping of str to array (N,)
        The four means of the whole test set.

    Returns
    -------
    dict
    """
    from napari_sfh.training.evaluation.metrics import measure_accuracy

    rows = [f.index for f in fits]
    found = {k: np.array([f.means[k] for f in fits]) for k in MEAN_NAMES}
    cpu = np.array([f.cpu_s for f in fits])
    return {
        "n": len(fits),
        "accuracy": measure_accuracy(found, {k: truth[k][rows] for k in MEAN_NAMES}),
        "seconds_per_spectrum": float(cpu.mean()) if len(cpu) else None,
        "wall_seconds_per_spectrum": float(np.mean([f.wall_s for f in fits])) if fits else None,
        "median_chi2": float(np.median([f.chi2 for f in fits])) if fits else None,
    }
