"""What a training run works on: spectra, their split, templates, and where they all come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.targets import Targets
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting import provenance
from napari_sfh.training.fitting.labelled_table import hash_table_file, read_labelled_table
from napari_sfh.training.fitting.recipe import Recipe
from napari_sfh.training.fitting.spectra_sources import (
    EndlessSource,
    FreshSource,
    SpectraSource,
    StoredSource,
    load_fresh_source,
    make_endless_source,
    make_fresh_source,
    save_fresh_source,
    split_rows,
)
from napari_sfh.training.libraries import templates
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.prior_config import PriorConfig, load_prior
from napari_sfh.training.simulator import simulation
from napari_sfh.types import I64

#: Held-out spectra: for the choice of the best epoch, for calibration and for thresholds.
MAX_HELD_OUT = 16384
#: How the prior of weights is called that were trained on a table, before its name.
TABLE_PRIOR = "table "


@dataclass(frozen=True)
class TrainingData:
    """Objects and templates of a run, one set of them a library.

    ``facts`` go into the bundle: n, data_sha256, noise, prior, libraries.
    """

    spectra: SpectraSource
    train: I64
    held_out: I64
    basis: TemplateBasis
    facts: dict[str, Any]
    templates: tuple[Templates, ...] = ()

    @property
    def instrument(self) -> Instrument:
        """What the network is shown."""
        return self.spectra.instrument

    @property
    def targets(self) -> Targets:
        """What it predicts."""
        return self.spectra.targets


def load_training_data(
    recipe: Recipe, data: Path | None, fresh: Path, say: LogLine, device: str = "cpu"
) -> TrainingData:
    """Objects of a recipe, as its instrument sees them.

    Parameters
    ----------
    recipe : Recipe
    data : path or None
        A set of `simulation`, drawn from the recipe's prior; or a file: a table with labels, see `labelled_table`.
    fresh : path
        Without ``data``: file of the noiseless set, made where there is none.
    say : callable
        Gets lines of progress.
    device : str
        cpu, cuda or mps: where noiseless spectra are made.

    Raises
    ------
    SfhInputError
        No set, or one of another prior, instrument or size.
    """
    prior, instrument = load_prior(recipe.prior), recipe.load_instrument()
    targets = recipe.targets.make()
    if data is not None:
        say(f"opening {data}")
    say(f"templates {', '.join(prior.libraries)} for {instrument.name}: made once, a minute each, then kept")
    if data is not None and data.is_file():
        made = _load_table(recipe, instrument, targets, prior, data)
        check_held_out_number(len(made.held_out), recipe)
        return made
    spectra: StoredSource | FreshSource
    if data is not None:
        spectra, facts = _open_stored_source(recipe, prior, instrument, data)
    elif recipe.fit.endless:
        spectra, facts = _draw_endless_source(recipe, prior, instrument, say, device)
    else:
        spectra, facts = _load_or_draw_source(recipe, prior, instrument, fresh, say, device)
    spectra = replace(spectra, targets=targets, features=recipe.features)
    prepared = [templates.prepare_templates(name, instrument) for name in prior.libraries]
    train, held_out, _ = split_rows(spectra.labels.n, recipe.fit.seed)
    facts = {"prior": provenance.describe_prior(prior), "libraries": provenance.describe_libraries(prepared)} | facts
    basis = make_template_basis(prepared[0])
    made = TrainingData(spectra, train, held_out[:MAX_HELD_OUT], basis, facts, tuple(prepared))
    check_held_out_number(len(made.held_out), recipe)
    return made


def _load_table(
    recipe: Recipe, instrument: Instrument, targets: Targets, prior: PriorConfig, path: Path
) -> TrainingData:
    """The user's own labels; templates, of which corrupted objects are made, are those of the recipe's prior."""
    prepared = [templates.prepare_templates(name, instrument) for name in prior.libraries]
    table = read_labelled_table(path, instrument, prepared[0].filters, targets)
    spectra = replace(table, features=recipe.features)
    train, held_out = spectra.split(recipe.fit.seed)
    digest = hash_table_file(path)
    facts = {
        "n": spectra.labels.n,
        "data_sha256": digest,
        "noise": "the table's own, more added",
        "prior": {"name": f"{TABLE_PRIOR}{path.name}", "sha256": digest, "toml": ""},
        "libraries": provenance.describe_libraries(prepared),
    }
    basis = make_template_basis(prepared[0])
    return TrainingData(spectra, train, held_out[:MAX_HELD_OUT], basis, facts, tuple(prepared))


def check_held_out_number(n: int, recipe: Recipe) -> None:
    """Refuse fewer held-out objects than the density of latent vectors needs.

    Parameters
    ----------
    n : int
        Objects that are not trained on.
    recipe : Recipe

    Raises
    ------
    SfhInputError
        Too few.
    """
    if n < 2 * recipe.posterior.gaussians + 2:
        raise SfhInputError(
            f"data: {n} held-out objects are too few for posterior.gaussians = {recipe.posterior.gaussians}; "
            "give more data or lower it"
        )


def _open_stored_source(
    recipe: Recipe, prior: PriorConfig, instrument: Instrument, folder: Path
) -> tuple[StoredSource, dict[str, Any]]:
    if not recipe.augment.preparation_errors.is_none:
        raise SfhInputError(
            f"`data` {folder}: a stored set has its noise already: velocity_error_kms, sigma_error and telluric cannot "
            "be added; leave out `data`, or set them to 0"
        )
    spectra = StoredSource.open(folder)
    manifest = spectra.dataset.manifest
    if manifest["prior"] != prior.name:
        raise SfhInputError(
            f"`data` {folder}: drawn from prior {manifest['prior']!r}, recipe {recipe.name!r} is for {prior.name!r}; "
            "simulate a set of that prior, or change `prior` in the recipe"
        )
    if spectra.instrument.sha256 != instrument.sha256:
        raise SfhInputError(
            f"`data` {folder}: seen by instrument {spectra.instrument.name!r}, recipe {recipe.name!r} is for "
            f"{instrument.name!r}; simulate a set with `instrument` {recipe.instrument}, or train with the set's"
        )
    # A set may hold fewer families or libraries than the prior of that name: its own record counts.
    drawn_from = {"name": manifest["prior"], "sha256": manifest["prior_sha256"], "toml": manifest["prior_toml"]}
    facts = {"n": len(spectra.dataset), "data_sha256": spectra.dataset.sha256, "noise": "stored, more added"}
    return spectra, {**facts, "prior": drawn_from}


def _draw_fresh_source(recipe: Recipe, source: simulation.PreparedPrior, say: LogLine, device: str) -> FreshSource:
    say(f"drawing {recipe.n} objects of prior {source.config.name}")
    made_at = source.to(None if device == "cpu" else device)
    return make_fresh_source(made_at, recipe.n, recipe.fit.seed, _log_every_tenth(say))


def _draw_endless_source(
    recipe: Recipe, prior: PriorConfig, instrument: Instrument, say: LogLine, device: str
) -> tuple[EndlessSource, dict[str, Any]]:
    source = simulation.prepare_prior(prior, instrument)
    held = _draw_fresh_source(recipe, source, say, device)
    facts = {"n": recipe.n, "data_sha256": provenance.hash_fresh_source(held), "noise": "new objects in every step"}
    return make_endless_source(held, source), facts


def _load_or_draw_source(
    recipe: Recipe, prior: PriorConfig, instrument: Instrument, path: Path, say: LogLine, device: str
) -> tuple[FreshSource, dict[str, Any]]:
    if not path.is_file():
        source = simulation.prepare_prior(prior, instrument)
        save_fresh_source(_draw_fresh_source(recipe, source, say, device), path)
    spectra = load_fresh_source(path, prior, instrument)
    n, names = spectra.labels.n, spectra.labels.family_names
    if n != recipe.n or names != prior.family_names:
        raise SfhInputError(
            f"{path}: holds {n} objects of families {', '.join(names)}; the recipe asks for {recipe.n} of prior "
            f"{prior.name!r}; delete it, or choose another folder"
        )
    return spectra, {"n": n, "data_sha256": provenance.hash_fresh_source(spectra), "noise": "new in every epoch"}


def _log_every_tenth(say: LogLine) -> Callable[[int, int], None]:
    """Progress of the first objects, then every ten per cent."""
    told = -1

    def on_chunk(done: int, n: int) -> None:
        nonlocal told
        if done * 10 // n > told:
            told = done * 10 // n
            say(f"drawn {done}/{n}")

    return on_chunk
