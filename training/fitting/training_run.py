"""A training run, in stages. Each leaves a file in the run's folder from which an interrupted run goes on.

    search.json           what the recipe's search tried, if it asks for one
    fresh.npz             noiseless set of the recipe's prior (unless a stored set is named, or the source is endless)
    checkpoints/          of the point network, after every epoch (Lightning)
    state.pt              stage one done: the point network
    flow.pt               stage two done: the posterior flow
    bundle.safetensors    stage three done: calibrated, with out-of-distribution thresholds and all metadata

Beside them ``recipe.json``, ``run.json`` (seconds of each stage), ``metrics.csv`` and ``learning_curve.png``. The
same recipe, seed and number of threads give the same weights on one machine, interrupted or not. A run whose first
stage is not done may be taken up with another number of epochs; no more than were done end it with the best of them.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import lightning
import torch
from threadpoolctl import threadpool_limits

from napari_sfh.console import LogLine, make_stderr_logger
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.bundle_header import BUNDLE_FILE
from napari_sfh.io.atomic import write_atomically, write_text_atomically
from napari_sfh.model.bundle import Bundle, load_bundle, save_bundle
from napari_sfh.model.inference import choose_device
from napari_sfh.model.prior_summary import PRIOR_SUMMARY_KEY
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.training.fitting import learning_curve, provenance
from napari_sfh.training.fitting.point_network import fit_point_network
from napari_sfh.training.fitting.posterior import (
    FlowTrainingSet,
    calibrate_model,
    collect_flow_training_set,
    fit_flow,
)
from napari_sfh.training.fitting.recipe import Recipe
from napari_sfh.training.fitting.selection.coverage_rule import measure_min_coverage
from napari_sfh.training.fitting.selection.independent_check import IndependentCheck, make_independent_check
from napari_sfh.training.fitting.selection.misfit_limits import LIMIT_OBJECTS, describe_misfit_limits
from napari_sfh.training.fitting.selection.recipe_search import SEARCH, select_recipe_settings
from napari_sfh.training.fitting.spectra_sources import Batches
from napari_sfh.training.fitting.training_data import TrainingData, load_training_data
from napari_sfh.training.fitting.transfer.added_bands import extend_network, has_added_bands
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.prior_summary import summarise_prior

#: Files of a run's folder.
FRESH, POINT, FLOW, BUNDLE = "fresh.npz", "state.pt", "flow.pt", BUNDLE_FILE
#: Share by which the error on independent galaxies may grow when finished weights are trained further.
WORSE_BY = 0.02
#: What stage one fits.
_POINT_PARTS = ("network.", "mass_to_light.", "posterior.dust_default")
_STORE_BATCH = 512
#: Key of a stage's file beside the tensors.
_SEAL = "seal"


@dataclass(frozen=True)
class TrainingOptions:
    """What a run needs beside its recipe."""

    output: Path
    data: Path | None = None  # a set of `simulate`, or a labelled table; None: the recipe's table, or drawn anew
    device: str = "auto"
    threads: int = 1
    resume: bool = False
    quiet: bool = False
    command: str = ""  # as typed, for the record
    devices: int = 1  # that fit the network together
    start: str | Path | None = None  # weights that are fitted further: a shipped bundle's name, or a file
    keep_worse: bool = False  # also weights that are worse on independent galaxies than those they started from


def train_bundle(recipe: Recipe, options: TrainingOptions) -> Path:
    """Run, or go on with, a whole training.

    Parameters
    ----------
    recipe : Recipe
    options : TrainingOptions

    Returns
    -------
    path
        The weights bundle, without figures: `evaluate` measures them, `release` writes them in.

    Raises
    ------
    SfhInputError
        Data, prior or an earlier run in the folder do not fit the recipe.
    ComputeError
        Disk full, folder not writable, memory short.
    """
    folder, say = options.output, make_stderr_logger(options.quiet)
    device = choose_device(options.device).type
    _check_devices(options.devices, device, recipe.fit.batch)
    with _translate_errors(folder), _limit_threads(options.threads):
        _prepare_run_folder(folder, recipe, options.resume)
        log = StageTimer(folder)
        say(f"recipe {recipe.name}: prior {recipe.prior}, instrument {recipe.instrument}, on {device}")
        noise = load_prior(recipe.prior).noise  # now: the file may change while the network is fitted
        with log.time_stage("data"):
            data = options.data or (Path(recipe.data) if recipe.data else None)
            material = load_training_data(recipe, data, folder / FRESH, say, device)
        recipe = _choose_settings(recipe, material, options, device, log, say)
        start = _load_start(options.start, recipe, material)
        with log.time_stage("network"):
            say(f"network {recipe.architecture}: {len(material.train)} spectra, {len(material.held_out)} held out")
            model = _obtain_point_network(recipe, material, options, device, start)
        if start is not None:
            material.facts["start"] = _judge_adaptation(start, model, material, options.keep_worse, say)
        learning_curve.plot_learning_curve(folder, f"{recipe.name}: loss of the point network")
        with log.time_stage("posterior"):
            _obtain_flow(model, recipe, material, folder, device, say, start)
        with log.time_stage("calibration"):
            parts = (material.train, material.held_out)
            calibrate_model(model, material.basis, material.spectra, parts, recipe, say, device)
        material.facts["min_coverage"] = measure_min_coverage(recipe.augment, noise, material.instrument)
        record = provenance.describe_training(
            recipe, material.facts, options.command, device, log.seconds, learning_curve.read_learning_curve(folder)
        )
        meta = provenance.build_bundle_metadata(
            recipe, material.instrument, material.targets, material.basis.filters, material.facts, record
        )
        meta[PRIOR_SUMMARY_KEY] = summarise_prior(material.spectra.labels, material.targets).to_json()
        path = _save_with_limits(folder / BUNDLE, model, material, meta, say, device)
    say(f"{path}: evaluate it, then release it")
    return path


def _save_with_limits(
    file: Path, model: SfhModel, material: TrainingData, meta: dict[str, Any], say: LogLine, device: str
) -> Path:
    """Write the bundle, measure what its models miss of spectra, and write that, too."""
    kept = material.basis if model.targets.n_age else None
    path = save_bundle(file, model, material.instrument, material.basis.filters, kept, meta)
    limits = describe_misfit_limits(load_bundle(path), say, min(LIMIT_OBJECTS, len(material.held_out)), device)
    if not limits:
        return path
    return save_bundle(file, model, material.instrument, material.basis.filters, kept, meta | limits)


def _check_devices(devices: int, device: str, batch: int) -> None:
    """Refuse more devices than there are."""
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, os.cpu_count() or 1)
    if not 1 <= devices <= min(there, batch):
        raise SfhInputError(f"`devices` {devices}: this machine has {there} of {device}; give 1 to {min(there, batch)}")


class StageTimer:
    """Seconds of each stage, kept in ``run.json`` over interruptions."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.json"
        self.seconds: dict[str, float] = {}
        if self.path.is_file():
            with suppress(ValueError, KeyError, TypeError):  # a damaged record of times holds up no training
                self.seconds = dict(json.loads(self.path.read_text(encoding="utf-8"))["seconds"])

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Add the time spent inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 1)
            write_text_atomically(self.path, json.dumps({"seconds": self.seconds}, indent=1))


@contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    """Turn what libraries raise into this package's errors."""
    try:
        yield
    except OSError as error:
        raise ComputeError(
            f"`output` {folder}: cannot be written ({error}); free some space or choose another folder, then `resume`"
        ) from error
    except ComputeError as error:
        if isinstance(error.__cause__, OSError):
            raise ComputeError(f"{error}, then `resume`") from error
        raise
    except RuntimeError as error:
        line = str(error).strip().splitlines()[0]
        raise ComputeError(f"`output` {folder}: training failed ({line}); mend that and `resume`") from error


@contextmanager
def _limit_threads(n: int) -> Iterator[None]:
    """This many cores for torch, and one for numpy's linear algebra; torch's number is put back afterwards.

    The products of the simulator and the noise are small. With two threads they take five times the processor time,
    most of it in a thread that waits for work, and on a busy machine as much longer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n), threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _prepare_run_folder(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse a folder that holds another run; note the recipe."""
    held = [name for name in (FRESH, SEARCH, POINT, FLOW, BUNDLE, "checkpoints") if (folder / name).exists()]
    if held and not resume:
        raise SfhInputError(
            f"`output` {folder}: holds a run already ({held[0]}); add `resume` or choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / "recipe.json", json.loads(json.dumps(recipe.to_json()))
    if path.is_file():
        there = _read_recipe_record(path, recipe)
        if not (folder / POINT).is_file():
            there["fit"]["epochs"] = recipe.fit.epochs
        if there != wanted:
            words = _first_difference(there, wanted)
            raise SfhInputError(f"{path}: the run there has {words}; ask for the same, or choose another folder")
    write_text_atomically(path, json.dumps(wanted, indent=1))


def _read_recipe_record(path: Path, recipe: Recipe) -> dict[str, Any]:
    """The recipe of a run; settings that its version did not have are today's defaults."""
    try:
        stored = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise SfhInputError(f"{path}: damaged ({error}); delete it, and give the run's own recipe again") from error
    plain = Recipe(recipe.name, recipe.summary, recipe.prior, recipe.n, recipe.architecture, recipe.loss)
    default = json.loads(json.dumps(plain.to_json()))
    sections = {k: {**v, **stored.get(k, {})} for k, v in default.items() if isinstance(v, dict)}
    return default | stored | sections


def _first_difference(there: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """The first setting that differs, in words."""
    for key in sorted(set(there) | set(wanted)):
        old, new = there.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and old != new:
            return _first_difference(old, new, f"{prefix}{key}.")
        if old != new:
            return f"{prefix}{key} = {old!r}, not {new!r}"
    return "the same settings"


def _choose_settings(
    recipe: Recipe, material: TrainingData, options: TrainingOptions, device: str, log: StageTimer, say: LogLine
) -> Recipe:
    """The recipe with the settings that its search finds best; what was tried goes into the facts."""
    if not recipe.search.trials:
        return recipe
    if options.start is not None:
        raise SfhInputError(f"`start` {options.start}: its network is made already; leave out [search] of the recipe")
    rows = (material.train, material.held_out)
    with log.time_stage("search"):
        chosen, tried = select_recipe_settings(
            recipe, material.spectra, rows, material.basis, options.output, say, device
        )
    material.facts["search"] = tried
    return chosen


def _load_start(name: str | Path | None, recipe: Recipe, material: TrainingData) -> Bundle | None:
    """The weights that a run goes on from, if any; refused where their shapes are others. Bands may be added."""
    if name is None:
        return None
    bundle = load_bundle(name)
    wanted = recipe.model_config()
    same = has_added_bands(bundle.instrument, material.instrument)
    instrument = material.instrument.sha256
    for what, have, want in (
        ("instrument", instrument if same else bundle.instrument.sha256, instrument),
        ("targets", bundle.targets.to_json(), material.targets.to_json()),
        ("architecture", bundle.model.config.architecture, wanted.architecture),
        ("network", dict(bundle.model.config.network), dict(wanted.network)),
        ("flow", bundle.model.config.flow, wanted.flow),
    ):
        if have != want:
            raise SfhInputError(
                f"`start` {name}: {what} of these weights is not that of recipe {recipe.name!r} ({have}, not {want}); "
                f"train from a recipe with the same {what}"
            )
    return bundle


def _judge_adaptation(
    start: Bundle, model: SfhModel, material: TrainingData, keep_worse: bool, say: LogLine
) -> dict[str, Any]:
    """Where a run started, and its error on independent galaxies before and after, for the record and the card.

    Raises
    ------
    SfhInputError
        The network has become worse there, and is not to be kept.
    """
    facts: dict[str, Any] = {"name": start.name, "sha256": start.sha256}
    if not material.targets.n_age:
        return facts
    check = make_independent_check(material.templates)
    begun = start.model
    if start.instrument.n_bands != material.instrument.n_bands:
        begun = SfhModel(start.model.config, material.instrument, material.targets, material.basis).eval()
        extend_network(start.model, start.instrument, begun, material.instrument)
    before, after = (round(check.measure_error(m), 4) for m in (begun, model))
    say(f"error on independent galaxies: {before:.4f} dex before, {after:.4f} dex after")
    if after > before * (1 + WORSE_BY) and not keep_worse:
        raise SfhInputError(
            f"`start` {start.name}: training further made it worse on galaxies of the independent simulator "
            f"({before:.3f} to {after:.3f} dex): no weights were written; give other data, or `keep_worse` and `resume`"
        )
    return {**facts, "independent_error": [before, after]}


def _obtain_point_network(
    recipe: Recipe, material: TrainingData, options: TrainingOptions, device: str, start: Bundle | None
) -> SfhModel:
    """Stage one, or what it left."""
    path = options.output / POINT
    if path.is_file():
        model = _load_state(path, recipe, material, _POINT_PARTS)
    else:
        rows = (material.train, material.held_out)
        by_independent = recipe.fit.choose_by == "independent"
        check: IndependentCheck | None = make_independent_check(material.templates) if by_independent else None
        try:
            model = fit_point_network(
                recipe,
                material.spectra,
                rows,
                material.basis,
                options.output,
                device,
                options.resume,
                options.quiet,
                options.devices,
                check,
                start,
            )
        except SystemExit as error:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from error
        save_model_state(model, path, material)
    round_weights(model)
    return model


@torch.no_grad()
def round_weights(model: SfhModel) -> None:
    """Round the point network's weights to half precision, in place: all that follows is fitted to what will ship."""
    for weight in model.network.parameters():
        weight.copy_(weight.half().float())


def _obtain_flow(
    model: SfhModel,
    recipe: Recipe,
    material: TrainingData,
    folder: Path,
    device: str,
    say: LogLine,
    start: Bundle | None,
) -> None:
    """Stage two, in place, or what it left."""
    path = folder / FLOW
    if path.is_file():
        model.load_state_dict(_load_state(path, recipe, material, (*_POINT_PARTS, "posterior.")).state_dict())
        return
    passes, seed = recipe.posterior.passes, recipe.fit.seed
    parts: list[FlowTrainingSet] = []
    spectra = material.spectra.to(device)
    for k in range(passes):
        say(f"posterior: noise realisation {k + 1}/{passes} of {len(material.train)} spectra")
        batches = Batches(spectra, material.train, _STORE_BATCH, recipe.augment, seed + 100 + k)
        parts.append(collect_flow_training_set(model, batches, device))
    stored = FlowTrainingSet(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(FlowTrainingSet)))
    fit_flow(model, stored, recipe.posterior, seed, say, device, None if start is None else start.model.posterior)
    save_model_state(model, path, material)


def save_model_state(model: SfhModel, path: Path, material: TrainingData) -> None:
    """Write what a stage has fitted, sealed with the data's hash.

    Parameters
    ----------
    model : SfhModel
    path : Path
        ``.pt`` of the stage.
    material : TrainingData
        For the hash of the data, by which a later run tells whether the state is of the same.
    """
    state = model.state_dict()
    with write_atomically(path) as part:
        torch.save({**state, _SEAL: provenance.make_seal(state, str(material.facts["data_sha256"]))}, part)


def _load_state(path: Path, recipe: Recipe, material: TrainingData, fitted: tuple[str, ...]) -> SfhModel:
    """A model as it is built from the recipe's seed, with the ``fitted`` parts (prefixes) of a stage's file."""
    lightning.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    model = SfhModel(recipe.model_config(), material.instrument, material.targets, material.basis)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        seal = stored.pop(_SEAL, None)
        provenance.check_seal(seal, stored, str(material.facts["data_sha256"]), path)
        answer = model.load_state_dict({k: v for k, v in stored.items() if k.startswith(fitted)}, strict=False)
    except (RuntimeError, OSError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        line = " ".join(str(error).split())[:200]
        raise SfhInputError(
            f"{path}: no state of recipe {recipe.name!r} ({line}); delete it to redo the stage"
        ) from error
    if missing := [k for k in answer.missing_keys if k.startswith(fitted)]:
        raise SfhInputError(f"{path}: lacks {missing[0]!r} of recipe {recipe.name!r}; delete it to redo the stage")
    return model.eval()
