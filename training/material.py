"""What a training run works on: spectra, their split, templates, and where they all come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.basis import TemplateBasis
from napari_sfh.training import provenance, simulate, templates
from napari_sfh.training.config import PriorConfig, load_prior
from napari_sfh.training.posterior_fit import Say
from napari_sfh.training.recipe import Recipe
from napari_sfh.training.trainset import (
    EndlessSource,
    FreshSource,
    Rows,
    SpectraSource,
    StoredSource,
    load_fresh,
    make_endless,
    make_fresh,
    save_fresh,
    split,
)

#: Held-out spectra: for the choice of the best epoch, for calibration and for thresholds.
HELD_OUT = 16384


@dataclass(frozen=True)
class Material:
    """Spectra and templates of a run; ``facts`` go into the bundle (n, data_sha256, noise, prior, libraries)."""

    spectra: SpectraSource
    train: Rows
    held_out: Rows
    basis: TemplateBasis
    facts: dict[str, Any]


def gather(recipe: Recipe, data: Path | None, fresh: Path, say: Say, device: str = "cpu") -> Material:
    """Material of a recipe.

    Parameters
    ----------
    recipe : Recipe
    data : path or None
        A set of `simulate`, drawn from the recipe's prior.
    fresh : path
        Without ``data``: file of the noiseless set, made where there is none.
    say : callable
        Gets lines of progress.
    device : str
        cpu, cuda or mps: where noiseless spectra are made.

    Raises
    ------
    SfhInputError
        No set, or one of another prior or size.
    """
    prior = load_prior(recipe.prior)
    spectra: SpectraSource
    if data is not None:
        spectra, facts = _stored(recipe, prior, data)
    elif recipe.fit.endless:
        spectra, facts = _endless(recipe, prior, say, device)
    else:
        spectra, facts = _fresh(recipe, prior, fresh, say, device)
    prepared = [templates.prepare(name) for name in prior.libraries]
    train, held_out, _ = split(spectra.labels.n, recipe.fit.seed)
    facts = {"prior": provenance.prior(prior), "libraries": provenance.libraries(prepared)} | facts
    return Material(spectra, train, held_out[:HELD_OUT], templates.basis(prepared[0]), facts)


def _stored(recipe: Recipe, prior: PriorConfig, folder: Path) -> tuple[StoredSource, dict[str, Any]]:
    spectra = StoredSource.open(folder)
    manifest = spectra.dataset.manifest
    if manifest["prior"] != prior.name:
        raise SfhInputError(
            f"--data {folder}: drawn from prior {manifest['prior']!r}, recipe {recipe.name!r} is for {prior.name!r}; "
            "simulate a set of that prior, or change `prior` in the recipe"
        )
    # A set may hold fewer families or libraries than the prior of that name: its own record counts.
    drawn_from = {"name": manifest["prior"], "sha256": manifest["prior_sha256"], "toml": manifest["prior_toml"]}
    facts = {"n": len(spectra.dataset), "data_sha256": spectra.dataset.sha256, "noise": "stored, more added"}
    return spectra, {**facts, "prior": drawn_from}


def _draw(recipe: Recipe, source: simulate.Source, say: Say, device: str) -> FreshSource:
    say(f"drawing {recipe.n} objects of prior {source.config.name}")
    made_at = source.to(None if device == "cpu" else device)
    return make_fresh(made_at, recipe.n, recipe.fit.seed, _tenths(say))


def _endless(recipe: Recipe, prior: PriorConfig, say: Say, device: str) -> tuple[EndlessSource, dict[str, Any]]:
    source = simulate.open_source(prior)
    held = _draw(recipe, source, say, device)
    facts = {"n": recipe.n, "data_sha256": provenance.hash_of(held), "noise": "new objects in every step"}
    return make_endless(held, source), facts


def _fresh(recipe: Recipe, prior: PriorConfig, path: Path, say: Say, device: str) -> tuple[FreshSource, dict[str, Any]]:
    if not path.is_file():
        save_fresh(_draw(recipe, simulate.open_source(prior), say, device), path)
    spectra = load_fresh(path, prior)
    n, names = spectra.labels.n, spectra.labels.family_names
    if n != recipe.n or names != prior.family_names:
        raise SfhInputError(
            f"{path}: holds {n} objects of families {', '.join(names)}; the recipe asks for {recipe.n} of prior "
            f"{prior.name!r}; delete it, or choose another folder"
        )
    return spectra, {"n": n, "data_sha256": provenance.hash_of(spectra), "noise": "new in every epoch"}


def _tenths(say: Say) -> Callable[[int, int], None]:
    """Progress every ten per cent."""
    told = 0

    def on_chunk(done: int, n: int) -> None:
        nonlocal told
        if done * 10 // n > told:
            told = done * 10 // n
            say(f"drawn {done}/{n}")

    return on_chunk
