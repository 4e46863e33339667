"""Robustness beyond the prior: networks trained with and without a family of it, both judged on the family alone.

For every family of `held_out_families` one small network is trained on the prior less the family, with as many spectra
and steps as the one that is trained on the whole prior. On test spectra of the family alone, the ratio of their scatter
is what not knowing the family costs; the coverage of the stranger's intervals tells whether its posterior knows.

The curve of training-set sizes (`measure_training_sizes`) uses the same small networks: the same number of steps for
every size.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.console import make_stderr_logger
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.training.evaluation import test_set
from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine, summarise_predictions
from napari_sfh.training.evaluation.predictions import predict_test_set
from napari_sfh.training.evaluation.test_set import TestSet
from napari_sfh.training.fitting.point_network import fit_point_network
from napari_sfh.training.fitting.posterior import (
    calibrate_model,
    collect_flow_training_set,
    fit_flow,
)
from napari_sfh.training.fitting.recipe import Recipe
from napari_sfh.training.fitting.spectra_sources import Batches, FreshSource, make_fresh_source, split_rows
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator.simulation import PreparedPrior, prepare_prior
from napari_sfh.training.studies.held_out_families import HeldOutFamily
from napari_sfh.types import I64, Progress


@dataclass(frozen=True)
class LeaveOneOutOptions:
    """What is measured, and where results are kept."""

    output: Path
    n_test: int = 2000
    draws: int = 100
    device: str = "cpu"
    seed: int = 7


def restrict_source(source: PreparedPrior, config: PriorConfig) -> PreparedPrior:
    """A source for a prior that has the same libraries as ``source``'s, or fewer; nothing is prepared anew.

    Parameters
    ----------
    source : PreparedPrior
    config : PriorConfig
        Of the same libraries, or fewer.

    Returns
    -------
    PreparedPrior

    Raises
    ------
    SfhInputError
        A library that ``source`` does not have.
    """
    if set(config.libraries) - set(source.config.libraries):
        raise SfhInputError(f"prior {config.name!r}: its libraries are not among those of the whole prior")
    by_name = dict(zip(source.config.libraries, source.models, strict=True))
    total = sum(config.libraries.values())
    return PreparedPrior(
        config, tuple(by_name[k] for k in config.libraries), tuple(v / total for v in config.libraries.values())
    )


def train_small_bundle(
    recipe: Recipe, spectra: FreshSource, parts: tuple[I64, I64], source: PreparedPrior, device: str
) -> Bundle:
    """A network, its flow and its calibration, trained in memory: the stages of `train`, less what is shipped.

    Parameters
    ----------
    recipe : Recipe
    spectra : FreshSource
    parts : (training rows, held-out rows)
    source : PreparedPrior
        Its first library gives the mass-to-light ratios.
    device : str
    """
    basis = make_template_basis(source.models[0].templates)
    say = make_stderr_logger(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        model = fit_point_network(recipe, spectra, parts, basis, Path(folder), device, quiet=True)
    seen = Batches(spectra, parts[0], 512, recipe.augment, recipe.fit.seed + 100)
    fit_flow(model, collect_flow_training_set(model, seen, device), recipe.posterior, recipe.fit.seed, say, device)
    calibrate_model(model, basis, spectra, parts, recipe, say)
    kept = basis if model.targets.n_age else None
    made_for = (spectra.instrument, model.targets, basis.filters, kept)
    return Bundle(recipe.name, Path(), "", {}, *made_for, model, FeatureSettings())


def evaluate_small_bundle(
    bundle: Bundle, tests: TestSet, options: LeaveOneOutOptions, stage: str, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Accuracy, coverage, widths of intervals and out-of-distribution warnings on a test set.

    Parameters
    ----------
    bundle : Bundle
    tests : TestSet
    options : LeaveOneOutOptions
        Device and number of draws.
    stage : str
        What progress says.
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
        As of `summarise_predictions`.
    """
    observed = ((data, block.labels) for block, data in tests.observe())
    p = predict_test_set(observed, bundle, options.device, stage, tests.n, options.draws, progress=progress)
    return summarise_predictions(p)


def measure_leave_one_out(
    recipe: Recipe,
    config: PriorConfig,
    families: Sequence[HeldOutFamily],
    options: LeaveOneOutOptions,
    progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """Train with and without every family, and compare.

    Parameters
    ----------
    recipe : Recipe
        Of the small networks; its ``prior`` is not used.
    config : PriorConfig
        The whole prior.
    families : sequence of HeldOutFamily
        Of ``config``.
    options : LeaveOneOutOptions
        ``output`` gets one file per network; an interrupted run goes on from them.

    Returns
    -------
    dict
        ``home`` (whole prior, tested on itself) and ``families``, a list of ``{kind, name, with, without}``.

    Raises
    ------
    SfhInputError
        The folder holds results of other settings.
    """
    key = {"recipe": recipe.sha256, "prior": config.sha256, "n_test": options.n_test, "seed": options.seed}
    kept = ResultFolder(options.output, key)
    source = prepare_prior(config, recipe.load_instrument())
    total = len(families) + 1
    report_progress(Progress("whole prior", 0, total), progress)
    whole = kept.read("whole")
    if whole is None or any(h.label not in whole["families"] for h in families):
        whole = _measure_whole_prior(recipe, source, families, options, progress=progress)
        kept.write("whole", whole)
    rows = []
    for k, held in enumerate(families):
        report_progress(Progress(f"without {held.label}", k + 1, total), progress)
        without = kept.read(held.label)
        if without is None:
            bundle = _train_on_prior(recipe, restrict_source(source, held.without), options)
            without = _test_on_family(bundle, source, held, options, progress)
            kept.write(held.label, without)
        rows.append({"kind": held.kind, "name": held.name, "with": whole["families"][held.label], "without": without})
    return {
        **key,
        "name": config.name,
        "n": recipe.n,
        "machine": describe_evaluation_machine(),
        "home": whole["home"],
        "families": rows,
    }


def _train_on_prior(recipe: Recipe, source: PreparedPrior, options: LeaveOneOutOptions) -> Bundle:
    """A network on fresh spectra of a prior."""
    spectra = replace(make_fresh_source(source, recipe.n, options.seed), targets=recipe.targets.make())
    train, held, _ = split_rows(recipe.n, recipe.fit.seed)
    return train_small_bundle(recipe, spectra, (train, held), source, options.device)


def _test_on_family(
    bundle: Bundle,
    source: PreparedPrior,
    held: HeldOutFamily,
    options: LeaveOneOutOptions,
    progress: ReportProgress | None,
) -> dict[str, Any]:
    """Judge a network on objects of one family alone."""
    tests = test_set.draw_test_set_from_source(restrict_source(source, held.only), options.n_test)
    return evaluate_small_bundle(bundle, tests, options, f"test {held.label}", progress=progress)


def _measure_whole_prior(
    recipe: Recipe,
    source: PreparedPrior,
    families: Sequence[HeldOutFamily],
    options: LeaveOneOutOptions,
    progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """The network that knows everything, tested at home and on each family alone."""
    bundle = _train_on_prior(recipe, source, options)
    home = evaluate_small_bundle(
        bundle, test_set.draw_test_set_from_source(source, options.n_test), options, "test at home", progress=progress
    )
    on: dict[str, Any] = {}
    for held in families:
        on[held.label] = _test_on_family(bundle, source, held, options, progress)
    return {"home": home, "families": on}


def measure_training_sizes(
    recipe: Recipe,
    config: PriorConfig,
    counts: Sequence[int],
    options: LeaveOneOutOptions,
    progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """Accuracy at home against the size of the set, with one number of steps for all sizes.

    Parameters
    ----------
    recipe : Recipe
        Its epochs are those of the largest set.
    config : PriorConfig
    counts : sequence of int
        Objects of each set; smaller sets are parts of the largest one. 70 % of them are trained on.
    options : LeaveOneOutOptions

    Returns
    -------
    dict
        ``measure_training_sizes``: a list of ``{n, epochs, steps, ...}`` with the summary of the test set.
    """
    if min(counts) < 20:
        raise SfhInputError(f"`n` {min(counts)}: at least 20 objects are needed")
    counts = sorted(counts)
    key = {"recipe": recipe.sha256, "prior": config.sha256, "n_test": options.n_test, "seed": options.seed}
    kept = ResultFolder(options.output, key | {"largest": counts[-1]})
    source = prepare_prior(config, recipe.load_instrument())
    report_progress(Progress("drawing", 0, len(counts)), progress)
    spectra = replace(make_fresh_source(source, counts[-1], options.seed), targets=recipe.targets.make())
    train, held, _ = split_rows(counts[-1], recipe.fit.seed)
    order = np.random.default_rng(options.seed).permutation(train)
    steps = recipe.fit.epochs * max(1, len(train) // recipe.fit.batch)
    tests = test_set.draw_test_set_from_source(source, options.n_test)
    rows = []
    for k, n in enumerate(counts):
        report_progress(Progress(f"{n} objects", k + 1, len(counts)), progress)
        row = kept.read(f"n {n}")
        if row is None:
            part = np.sort(order[: round(len(train) * n / counts[-1])])
            epochs = max(1, round(steps / max(1, len(part) // recipe.fit.batch)))
            longer = replace(recipe, fit=replace(recipe.fit, epochs=epochs, stop_epochs=epochs))
            bundle = train_small_bundle(longer, spectra, (part, held), source, options.device)
            row = evaluate_small_bundle(bundle, tests, options, f"test {n} objects", progress=progress)
            row = {"n": n, "trained_on": len(part), "epochs": epochs} | {"summary": row}
            kept.write(f"n {n}", row)
        rows.append(row)
    return {**key, "name": config.name, "steps": steps, "machine": describe_evaluation_machine(), "sizes": rows}


class ResultFolder:
    """Results in a folder, one JSON file each, of one set of settings."""

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self.folder, path = folder, folder / "settings.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.is_file():
                write_text_atomically(path, json.dumps(key, indent=1))
            there = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SfhInputError(f"`output` {folder}: cannot be written ({error.strerror}); choose another") from error
        except ValueError as error:
            raise SfhInputError(f"{path}: damaged ({error}); delete the folder to begin anew") from error
        if there != key:
            name = next(k for k in {**there, **key} if there.get(k) != key.get(k))
            raise SfhInputError(f"`output` {folder}: holds results of another {name}; choose an empty folder")

    def _path(self, name: str) -> Path:
        return self.folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.json"

    def read(self, name: str) -> Any:
        """What was kept under a name, or None."""
        path = self._path(name)
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        except ValueError as error:
            raise SfhInputError(f"{path}: damaged ({error}); delete it to measure anew") from error

    def write(self, name: str, content: Any) -> None:
        """Keep a result, whole or not at all."""
        write_text_atomically(self._path(name), json.dumps(content, indent=1, allow_nan=False))
