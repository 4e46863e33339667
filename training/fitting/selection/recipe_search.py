"""A recipe's ``[search]``: short trainings with other settings, of which the best is trained in full.

Every combination of the choices is tried where there are no more than ``trials``, else as many at random; the recipe as
it stands is always the first, so that a search never ends with worse than no search. All are fitted to the same
objects and judged by the loss on the same held-out ones, which no choice may change: hence settings of the network and
of the optimiser alone.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.fitting.learning_curve import read_learning_curve
from napari_sfh.training.fitting.point_network import fit_point_network
from napari_sfh.training.fitting.recipe import Recipe, SearchSettings, replace_recipe_settings
from napari_sfh.training.fitting.spectra_sources import SpectraSource
from napari_sfh.types import I64

#: File of a run's folder with what was tried; a resumed run goes on with it.
SEARCH = "search.json"

Trial = dict[str, Any]


def list_search_trials(search: SearchSettings, seed: int) -> list[dict[str, Any]]:
    """Changes of each trial, key to value; the first has none.

    Parameters
    ----------
    search : SearchSettings
    seed : int
        Decides which combinations are tried where there are more than ``search.trials``.
    """
    keys = list(search.choices)
    sizes = [len(search.choices[key]) for key in keys]
    total, rest = math.prod(sizes), search.trials - 1
    if total <= rest:
        return [{}, *(dict(zip(keys, values)) for values in product(*search.choices.values()))]
    numbers = np.random.default_rng([seed, 61]).choice(total, rest, replace=False)
    places = np.array(np.unravel_index(numbers, sizes)).T
    return [{}, *({key: search.choices[key][k] for key, k in zip(keys, place)} for place in places)]


def select_recipe_settings(
    recipe: Recipe,
    spectra: SpectraSource,
    parts: tuple[I64, I64],
    basis: TemplateBasis,
    folder: Path,
    say: Callable[[str], None],
    device: str = "cpu",
) -> tuple[Recipe, list[Trial]]:
    """Try the choices of a recipe.

    Parameters
    ----------
    recipe : Recipe
        With a search of at least one trial.
    spectra : SpectraSource
    parts : (training rows, held-out rows)
        Of the training rows, ``search.n`` at random are fitted.
    basis : TemplateBasis
    folder : Path
        Gets ``search.json``; trials that it holds are not repeated.
    say : callable
        Gets a line per trial.
    device : str
        Of torch.

    Returns
    -------
    Recipe
        With the settings of the least validation loss.
    list of dict
        Trials in order: ``changes``, ``validation`` (least loss), ``seconds``.
    """
    search, path = recipe.search, folder / SEARCH
    trials = list_search_trials(search, recipe.fit.seed)
    fit = replace(recipe.fit, epochs=search.epochs, stop_epochs=search.epochs, choose_by="validation")
    short = replace(recipe, fit=fit)
    try:
        known: list[Trial] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        tried = [row for row in known if row["changes"] in trials]
    except (ValueError, TypeError, KeyError) as error:
        raise SfhInputError(f"{path}: damaged ({error}); delete it to search anew") from error
    fitted = np.sort(np.random.default_rng([recipe.fit.seed, 62]).permutation(parts[0])[: search.n])
    for changes in trials:
        if any(row["changes"] == changes for row in tried):
            continue
        tried.append(
            _try_changes(replace_recipe_settings(short, changes), changes, spectra, (fitted, parts[1]), basis, device)
        )
        write_text_atomically(path, json.dumps(tried, indent=1) + "\n")
        row = tried[-1]
        words = ", ".join(f"{k} = {v}" for k, v in changes.items()) or "the recipe as it stands"
        say(f"search {len(tried)}/{len(trials)}: {words}: validation {row['validation']:.5f}, {row['seconds']:.0f} s")
    best = min(tried, key=lambda row: row["validation"])
    return replace_recipe_settings(recipe, best["changes"]), tried


def _try_changes(
    recipe: Recipe,
    changes: Mapping[str, Any],
    spectra: SpectraSource,
    parts: tuple[I64, I64],
    basis: TemplateBasis,
    device: str,
) -> Trial:
    with tempfile.TemporaryDirectory() as name:
        fit_point_network(recipe, spectra, parts, basis, Path(name), device, quiet=True)
        curve = read_learning_curve(Path(name))
    best = min((e.val for e in curve if math.isfinite(e.val)), default=math.inf)
    return {"changes": dict(changes), "validation": best, "seconds": curve[-1].seconds if curve else 0.0}
