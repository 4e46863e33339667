"""Calibration of weights that are trained: levels of the posterior and thresholds of the OOD score, measured anew.

Objects are new ones of the prior that the weights' own record names, or of a table with labels. Network and flow stay
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.io.outputs import check_outputs
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting import model_card, provenance
from napari_sfh.training.fitting.labelled_table import hash_table_file, read_labelled_table
from napari_sfh.training.fitting.posterior import calibrate_model
from napari_sfh.training.fitting.recipe import make_recipe
from napari_sfh.training.fitting.selection.misfit_limits import LIMIT_OBJECTS, save_with_misfit_limits
from napari_sfh.training.fitting.spectra_sources import SpectraSource, make_fresh_source, split_rows
from napari_sfh.training.fitting.training_data import MAX_HELD_OUT, check_held_out_number
from napari_sfh.training.libraries import templates
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.prior_config import restore_prior
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.types import I64


@dataclass(frozen=True)
class CalibrationObjects:
    """Objects to calibrate on: rows for the subspace and classifier of the OOD score, and rows for all the rest."""

    spectra: SpectraSource
    first: I64
    second: I64
    basis: TemplateBasis
    record: dict[str, Any]


def calibrate_bundle(
    weights: str | Path, n: int, seed: int, output: Path, command: str, say: LogLine, data: Path | None = None
) -> Path:
    """Measure calibration and thresholds anew and write the bundle, without figures.

    Parameters
    ----------
    weights : str or path
        Name of a shipped bundle, or a file.
    n, seed : int
        New objects of the weights' prior: a fifth of them, at most `MAX_HELD_OUT`, are calibrated on.
    output : path
        Bundle to write.
    command : str
        As typed, for the record.
    say : callable
        Gets lines of progress.
    data : path, optional
        A table of labelled objects instead, which the weights were not trained on.

    Raises
    ------
    SfhInputError
        The weights were trained on a user's table and none is given, on this one, with this seed, or by another
        version's recipe; ``output`` is a file that is read.
    """
    bundle = load_bundle(weights)
    check_outputs([output], [bundle.path, *([data] if data else [])])
    training = bundle.meta["training"]
    if seed == training.get("seed"):
        raise SfhInputError(f"`seed` {seed}: these weights were trained with it; choose another")
    recipe = make_recipe(training["recipe"], str(bundle.path))
    recipe = replace(recipe, fit=replace(recipe.fit, seed=seed), features=bundle.features)
    objects = _draw_objects(bundle, n, seed, say) if data is None else _read_objects(bundle, data, seed, say)
    check_held_out_number(len(objects.second), recipe)
    parts = (objects.first, objects.second[:MAX_HELD_OUT])
    calibrate_model(bundle.model, objects.basis, objects.spectra, parts, recipe, say)
    done = {"command": command, "seed": seed, **objects.record}
    meta = {**bundle.meta, "training": {**training, "recalibrated": done}, "evaluation": {}}
    meta["card"] = model_card.format_model_card(meta)
    return save_with_misfit_limits(output, bundle, meta, say, min(LIMIT_OBJECTS, n // 5))


def _draw_objects(bundle: Bundle, n: int, seed: int, say: LogLine) -> CalibrationObjects:
    """New objects of the weights' prior."""
    prior = bundle.meta["prior"]
    if not prior.get("toml"):
        raise SfhInputError(f"{bundle.path}: trained on {prior.get('name')}; give other objects with labels by `data`")
    source = prepare_prior(restore_prior(prior, str(bundle.path)), bundle.instrument)
    say(f"drawing {n} objects of prior {source.config.name}")
    spectra = replace(make_fresh_source(source, n, seed), targets=bundle.targets, features=bundle.features)
    train, held_out, _ = split_rows(n, seed)
    record = {"n": n, "data_sha256": provenance.hash_fresh_source(spectra)}
    return CalibrationObjects(spectra, train, held_out, make_template_basis(source.models[0].templates), record)


def _read_objects(bundle: Bundle, path: Path, seed: int, say: LogLine) -> CalibrationObjects:
    """Rows of a table, half of them for each purpose: none was trained on."""
    digest = hash_table_file(path)
    if digest == bundle.meta["training"].get("data_sha256"):
        raise SfhInputError(f"`data` {path}: these weights were trained on it; give objects that they have not seen")
    library = next(iter(bundle.meta["libraries"]))
    prepared = templates.prepare_templates(library, bundle.instrument)
    table = read_labelled_table(path, bundle.instrument, bundle.filters, bundle.targets)
    say(f"reading {table.labels.n} objects of {path.name}")
    rows = np.random.default_rng([seed, 12]).permutation(table.labels.n)
    first, second = np.array_split(rows, 2)
    record = {"n": table.labels.n, "data_sha256": digest, "table": path.name}
    spectra = replace(table, features=bundle.features)
    return CalibrationObjects(spectra, np.sort(first), np.sort(second), make_template_basis(prepared), record)
