"""Robustness beyond the prior: networks trained with and without a family of it, both judged on the family alone.

For every family of `holdouts` one small network is trained on the prior less the family, with as many spectra and steps
as the one that is trained on the whole prior. On test spectra of the family alone, the ratio of their scatter is what
not knowing the family costs; the coverage of the stranger's intervals tells whether its posterior knows.

The curve of training-set sizes (`sizes`) uses the same small networks: the same number of steps for every size.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.features import FeatureSettings
from napari_sfh.model.bundle import Bundle
from napari_sfh.training import templates, testset
from napari_sfh.training.config import PriorConfig
from napari_sfh.training.evaluate import machine, summary
from napari_sfh.training.fit import fit
from napari_sfh.training.holdouts import Holdout
from napari_sfh.training.posterior_fit import calibrate, fit_flow, store, to_stderr
from napari_sfh.training.predicted import predict_all
from napari_sfh.training.recipe import Recipe
from napari_sfh.training.simulate import Source, open_source
from napari_sfh.training.testset import TestSet
from napari_sfh.training.trainset import Batches, FreshSource, Rows, make_fresh, split
from napari_sfh.types import Progress

T = TypeVar("T")
Steps = Generator[Progress, None, T]


@dataclass(frozen=True)
class Options:
    """What is measured, and where results are kept."""

    output: Path
    n_test: int = 2000
    draws: int = 100
    device: str = "cpu"
    seed: int = 7


def narrowed(source: Source, config: PriorConfig) -> Source:
    """A source for a prior that has the same libraries as ``source``'s, or fewer; nothing is prepared anew."""
    if set(config.libraries) - set(source.config.libraries):
        raise SfhInputError(f"prior {config.name!r}: its libraries are not among those of the whole prior")
    by_name = dict(zip(source.config.libraries, source.models, strict=True))
    total = sum(config.libraries.values())
    return Source(
        config, tuple(by_name[k] for k in config.libraries), tuple(v / total for v in config.libraries.values())
    )


def train_small(recipe: Recipe, spectra: FreshSource, parts: tuple[Rows, Rows], source: Source, device: str) -> Bundle:
    """A network, its flow and its calibration, trained in memory: the stages of `train`, less what is shipped.

    Parameters
    ----------
    recipe : Recipe
    spectra : FreshSource
    parts : (training rows, held-out rows)
    source : Source
        Its first library gives the mass-to-light ratios.
    device : str
    """
    basis = templates.basis(source.models[0].templates)
    say = to_stderr(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        model = fit(recipe, spectra, parts, basis, Path(folder), device, quiet=True)
    seen = Batches(spectra, parts[0], 512, recipe.augment, recipe.fit.seed + 100)
    fit_flow(model, store(model, seen, device), recipe.posterior, recipe.fit.seed, say, device)
    calibrate(model, basis, spectra, parts, recipe, say)
    return Bundle(recipe.name, Path(), "", {}, basis, model, FeatureSettings())


def judge(bundle: Bundle, tests: TestSet, options: Options, stage: str) -> Steps[dict[str, Any]]:
    """Accuracy, coverage, widths and warnings on a test set."""
    observed = ((data, block.labels) for block, data in tests.observe())
    p = yield from predict_all(observed, bundle, options.device, stage, tests.n, options.draws)
    return summary(p)


def run(recipe: Recipe, config: PriorConfig, families: Sequence[Holdout], options: Options) -> Steps[dict[str, Any]]:
    """Train with and without every family, and compare.

    Parameters
    ----------
    recipe : Recipe
        Of the small networks; its ``prior`` is not used.
    config : PriorConfig
        The whole prior.
    families : sequence of Holdout
        Of ``config``.
    options : Options
        ``output`` gets one file per network; an interrupted run goes on from them.

    Yields
    ------
    Progress

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
    kept = Kept(options.output, key)
    source = open_source(config)
    total = len(families) + 1
    yield Progress("whole prior", 0, total)
    whole = kept.read("whole")
    if whole is None or any(h.label not in whole["families"] for h in families):
        whole = yield from _whole(recipe, source, families, options)
        kept.write("whole", whole)
    rows = []
    for k, held in enumerate(families):
        yield Progress(f"without {held.label}", k + 1, total)
        without = kept.read(held.label)
        if without is None:
            bundle = _trained(recipe, narrowed(source, held.without), options)
            without = yield from judge(bundle, _family_tests(source, held, options), options, f"test {held.label}")
            kept.write(held.label, without)
        rows.append({"kind": held.kind, "name": held.name, "with": whole["families"][held.label], "without": without})
    return {**key, "name": config.name, "n": recipe.n, "machine": machine(), "home": whole["home"], "families": rows}


def _trained(recipe: Recipe, source: Source, options: Options) -> Bundle:
    """A network on fresh spectra of a prior."""
    spectra = make_fresh(source, recipe.n, options.seed)
    train, held, _ = split(recipe.n, recipe.fit.seed)
    return train_small(recipe, spectra, (train, held), source, options.device)


def _family_tests(source: Source, held: Holdout, options: Options) -> TestSet:
    return testset.from_source(narrowed(source, held.only), options.n_test)


def _whole(recipe: Recipe, source: Source, families: Sequence[Holdout], options: Options) -> Steps[dict[str, Any]]:
    """The network that knows everything, tested at home and on each family alone."""
    bundle = _trained(recipe, source, options)
    home = yield from judge(bundle, testset.from_source(source, options.n_test), options, "test at home")
    on: dict[str, Any] = {}
    for held in families:
        on[held.label] = yield from judge(bundle, _family_tests(source, held, options), options, f"test {held.label}")
    return {"home": home, "families": on}


def sizes(recipe: Recipe, config: PriorConfig, counts: Sequence[int], options: Options) -> Steps[dict[str, Any]]:
    """Accuracy at home against the size of the set, with one number of steps for all sizes.

    Parameters
    ----------
    recipe : Recipe
        Its epochs are those of the largest set.
    config : PriorConfig
    counts : sequence of int
        Objects of each set; smaller sets are parts of the largest one. 70 % of them are trained on.
    options : Options

    Returns
    -------
    dict
        ``sizes``: a list of ``{n, epochs, steps, ...}`` with the summary of the test set.
    """
    if min(counts) < 20:
        raise SfhInputError(f"--n {min(counts)}: at least 20 objects are needed")
    counts = sorted(counts)
    key = {"recipe": recipe.sha256, "prior": config.sha256, "n_test": options.n_test, "seed": options.seed}
    kept = Kept(options.output, key | {"largest": counts[-1]})
    source = open_source(config)
    yield Progress("drawing", 0, len(counts))
    spectra = make_fresh(source, counts[-1], options.seed)
    train, held, _ = split(counts[-1], recipe.fit.seed)
    order = np.random.default_rng(options.seed).permutation(train)
    steps = recipe.fit.epochs * max(1, len(train) // recipe.fit.batch)
    tests = testset.from_source(source, options.n_test)
    rows = []
    for k, n in enumerate(counts):
        yield Progress(f"{n} objects", k + 1, len(counts))
        row = kept.read(f"n {n}")
        if row is None:
            part = np.sort(order[: round(len(train) * n / counts[-1])])
            epochs = max(1, round(steps / max(1, len(part) // recipe.fit.batch)))
            longer = replace(recipe, fit=replace(recipe.fit, epochs=epochs, stop_epochs=epochs))
            bundle = train_small(longer, spectra, (part, held), source, options.device)
            row = yield from judge(bundle, tests, options, f"test {n} objects")
            row = {"n": n, "trained_on": len(part), "epochs": epochs} | {"summary": row}
            kept.write(f"n {n}", row)
        rows.append(row)
    return {**key, "name": config.name, "steps": steps, "machine": machine(), "sizes": rows}


class Kept:
    """Results in a folder, one JSON file each, of one set of settings."""

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self.folder, path = folder, folder / "settings.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.is_file():
                path.write_text(json.dumps(key, indent=1), encoding="utf-8")
            there = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SfhInputError(f"--output {folder}: cannot be written ({error.strerror}); choose another") from error
        except ValueError as error:
            raise SfhInputError(f"{path}: damaged ({error}); delete the folder to begin anew") from error
        if there != key:
            name = next(k for k in {**there, **key} if there.get(k) != key.get(k))
            raise SfhInputError(f"--output {folder}: holds results of another {name}; choose an empty folder")

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
        path = self._path(name)
        try:
            partial = path.with_suffix(".part")
            partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise ComputeError(f"{path}: cannot be written ({error.strerror}); free some space") from error
