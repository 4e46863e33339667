"""Which choices of the recipe of Galceran et al. (2026, section 3) matter: each alone is changed, all else stays.

The paper compared losses (log-cosh, MSE, SMAPE), batch with instance normalisation, dropout, the order of normalisation
and activation, and the size of the training set, and prints no table. Its predecessor had no attention and a decoder
each for masses and metallicities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.fitting.recipe import Recipe, load_recipe, validate_network
from napari_sfh.training.papers.small_trainings import (
    SayLine,
    SmallTrainingSettings,
    draw_test_spectra,
    draw_training_spectra,
    fit_small_network,
    measure_small_network,
    merge_age_bins,
)
from napari_sfh.training.papers.study_files import StudyRows
from napari_sfh.training.simulator.simulation import PreparedPrior


@dataclass(frozen=True)
class RecipeChoice:
    """One change of the paper's recipe."""

    name: str
    group: str
    loss: str = ""  # the recipe's where empty
    architecture: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    merged_bins: int = 1  # age bins taken together
    seed: int = 0  # added to the recipe's

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with this change."""
        changes: dict[str, Any] = {"name": self.name, "network": {**recipe.network, **self.network}}
        if self.loss:
            changes["loss"] = self.loss
        if self.architecture:
            changes["architecture"] = self.architecture
        made = replace(recipe, fit=replace(recipe.fit, seed=recipe.fit.seed + self.seed), **changes)
        validate_network(made, self.name)
        return made


#: Name of the unchanged recipe.
FIDUCIAL = "as printed"


def list_recipe_choices() -> tuple[RecipeChoice, ...]:
    """The unchanged recipe, again with other random numbers, and each change."""
    return (
        RecipeChoice(FIDUCIAL, "fiducial"),
        RecipeChoice("other random numbers", "fiducial", seed=1),
        RecipeChoice("others again", "fiducial", seed=2),
        RecipeChoice("loss MSE", "loss", loss="paper-mse"),
        RecipeChoice("loss SMAPE", "loss", loss="paper-smape"),
        RecipeChoice("batch normalisation", "normalisation", network={"norm": "batch"}),
        RecipeChoice("no normalisation", "normalisation", network={"norm": "none"}),
        RecipeChoice("dropout 0.1", "dropout", network={"dropout": 0.1}),
        RecipeChoice("dropout 0.3", "dropout", network={"dropout": 0.3}),
        RecipeChoice("activation before normalisation", "order", network={"activation_first": True}),
        RecipeChoice("no attention", "attention", network={"attention": False}),
        RecipeChoice("four branches", "attention", architecture="four_branch"),
        RecipeChoice("latent 10", "latent", network={"latent": 10}),
        RecipeChoice("latent 80", "latent", network={"latent": 80}),
        RecipeChoice("8 age bins", "age bins", merged_bins=2),
        RecipeChoice("4 age bins", "age bins", merged_bins=4),
    )


def measure_recipe_choices(
    source: PreparedPrior,
    settings: SmallTrainingSettings,
    choices: tuple[RecipeChoice, ...],
    say: SayLine,
    kept: StudyRows,
    base: str = "galceran2026",
) -> dict[str, Any]:
    """Train once for each choice and test on the same spectra.

    Parameters
    ----------
    source : PreparedPrior
        Of which training and test objects are drawn.
    settings : SmallTrainingSettings
    choices : tuple of RecipeChoice
    say : callable
        Gets a line per training.
    kept : StudyRows
        Gets a row for each training; rows that it has are not measured again.
    base : str
        The recipe that is changed.

    Returns
    -------
    dict
        Name of the choice to ``group``, ``accuracy``, ``smape``, ``validation``, ``seconds``, ``weights``.
    """
    for name, row in _train_choices(source, settings, [c for c in choices if c.name not in kept.rows], say, base):
        kept.add(name, row)
    return {c.name: kept.rows[c.name] for c in choices}


def _train_choices(
    source: PreparedPrior, settings: SmallTrainingSettings, choices: list[RecipeChoice], say: SayLine, base: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    if not choices:
        return
    recipe = settings.shorten(load_recipe(base))
    spectra, basis = draw_training_spectra(source, settings)
    test = draw_test_spectra(source, settings.n_test)
    for choice in choices:
        merged = merge_age_bins(spectra, basis, choice.merged_bins) if choice.merged_bins > 1 else (spectra, basis)
        model, facts = fit_small_network(choice.apply(recipe), *merged, say, device=settings.device)
        yield choice.name, {"group": choice.group, **measure_small_network(model, test), **facts}


def measure_seed_spread(rows: Mapping[str, Any]) -> dict[str, float]:
    """Half the range of each mean's std over the trainings that differ in random numbers alone."""
    spread = {}
    for name in MEAN_NAMES:
        values = [r["accuracy"][name]["std"] for r in rows.values() if r["group"] == "fiducial"]
        spread[name] = 0.5 * (max(values) - min(values))
    return spread
