"""Calibration of weights that are trained: levels of the posterior and thresholds of the OOD score, measured anew.

Objects are new ones of the prior that the weights' own record names. Network and flow stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import load_bundle, save_bundle
from napari_sfh.training.fitting import model_card, provenance
from napari_sfh.training.fitting.posterior import LogLine, calibrate_model
from napari_sfh.training.fitting.recipe import make_recipe
from napari_sfh.training.fitting.spectra_sources import make_fresh_source, split_rows
from napari_sfh.training.fitting.training_data import MAX_HELD_OUT
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.prior_config import parse_prior
from napari_sfh.training.simulator.simulation import prepare_prior


def calibrate_bundle(weights: str | Path, n: int, seed: int, output: Path, command: str, say: LogLine) -> Path:
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

    Raises
    ------
    SfhInputError
        The weights were trained on a user's table, with this seed, or by another version's recipe.
    """
    bundle = load_bundle(weights)
    training, prior = bundle.meta["training"], bundle.meta["prior"]
    if not prior.get("toml"):
        raise SfhInputError(f"{bundle.path}: trained on {prior.get('name')}; train again, as its objects are not here")
    if seed == training.get("seed"):
        raise SfhInputError(f"--seed {seed}: these weights were trained with it; choose another")
    recipe = make_recipe(training["recipe"], str(bundle.path))
    recipe = replace(recipe, fit=replace(recipe.fit, seed=seed), features=bundle.features)
    source = prepare_prior(parse_prior(prior["toml"], str(bundle.path)), bundle.instrument)
    say(f"drawing {n} objects of prior {source.config.name}")
    spectra = replace(make_fresh_source(source, n, seed), targets=bundle.targets, features=bundle.features)
    train, held_out, _ = split_rows(n, seed)
    basis = make_template_basis(source.models[0].templates)
    calibrate_model(bundle.model, basis, spectra, (train, held_out[:MAX_HELD_OUT]), recipe, say)
    done = {"command": command, "n": n, "seed": seed, "data_sha256": provenance.hash_fresh_source(spectra)}
    meta = {**bundle.meta, "training": {**training, "recalibrated": done}, "evaluation": {}}
    meta["card"] = model_card.format_model_card(meta)
    return save_bundle(output, bundle.model, bundle.instrument, bundle.filters, bundle.basis, meta)
