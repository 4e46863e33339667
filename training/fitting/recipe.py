"""A recipe: everything that decides a training run, read from TOML and validated when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import DEFAULT_INSTRUMENT, load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.networks import ARCHITECTURES, build_network
from napari_sfh.model.posterior import FlowConfig
from napari_sfh.model.sfh_model import ModelConfig
from napari_sfh.model.targets import KNOWN_TARGETS, ScalarTargets, Target, Targets, make_targets
from napari_sfh.sections import parse_toml, read_section, read_toml_text
from napari_sfh.training.fitting.losses import HISTORY_LOSSES, SCALAR_LOSSES
from napari_sfh.training.simulator.preparation_errors import PreparationErrors

Count = Annotated[int, Ge(1)]
Rate = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
#: Of the arithmetic, as Lightning names it.
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True)
class PointFitSettings:
    """The optimiser's part. ``plateau_epochs`` 0 switches the reduction on a plateau off.

    ``endless``: every step sees objects never seen before; the recipe's n serve validation, flow and calibration.
    ``average_decay``: of an exponential average of the weights over steps, which is what is kept; 0 for none.
    ``choose_by``: which epoch's weights are kept: those of the least loss on held-out objects of the prior, or of the
    least error on galaxies of the independent simulator (`independent_check`), which the prior does not know.
    """

    batch: Count = 256
    learning_rate: Rate = 1e-3
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    epochs: Count = 40
    plateau_epochs: int = 0
    plateau_factor: float = 0.8
    stop_epochs: Count = 20
    precision: Precision = "32-true"
    seed: int = 1
    endless: bool = False
    average_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    choose_by: Literal["validation", "independent"] = "validation"


@dataclass(frozen=True)
class AugmentSettings:
    """What is taken away from training spectra at random, see `augment`. Defaults take nothing away.

    ``mask_gaps`` hides one to four short stretches anywhere, ``mask_line`` each of a few strong lines by itself,
    ``mask_line_group`` those of recombination or the forbidden ones together, ``mask_all_lines`` all of them, as
    `prep.observation.mask_gas_lines` does.
    ``velocity_error_kms``, ``sigma_error`` and ``telluric`` are standard deviations of errors of preparation, see
    `simulator.preparation_errors`.
    """

    snr_mix: tuple[float, ...] = ()
    snr_mix_share: Share = 0.0
    snr_range: tuple[float, ...] = ()
    drop_band: Share = 0.0
    drop_photometry: Share = 0.0
    mask_range: Share = 0.0
    mask_gaps: Share = 0.0
    mask_line: Share = 0.0
    mask_line_group: Share = 0.0
    mask_all_lines: Share = 0.0
    velocity_error_kms: Annotated[float, Ge(0), Le(100)] = 0.0
    sigma_error: Share = 0.0
    telluric: Share = 0.0

    @property
    def preparation_errors(self) -> PreparationErrors:
        """What is disturbed before noise is added; a stored set, which has its noise already, cannot be."""
        return PreparationErrors(self.velocity_error_kms, self.sigma_error, self.telluric)


@dataclass(frozen=True)
class PosteriorSettings:
    """The flow, its training on stored latent vectors, and what is measured on held-out spectra."""

    passes: int = 3  # noise realisations of the training set
    epochs: int = 12
    batch: int = 1024
    learning_rate: float = 1e-3
    transforms: int = 4
    hidden: tuple[int, ...] = (96, 96)
    bins: int = 8
    subspace: int = 40
    gaussians: int = 8
    calibration_draws: int = 400
    kind: Literal["coupling", "maf"] = "coupling"  # of the flow: coupling or maf


@dataclass(frozen=True)
class TargetSettings:
    """What is predicted: histories, or scalars by their names in `model.targets.KNOWN_TARGETS`.

    ``transforms`` and ``limits`` change a known scalar's, or describe one that only the user's own labels know.
    """

    kind: Literal["history", "scalars"] = "history"
    names: tuple[str, ...] = ()
    transforms: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> Targets:
        """The targets of the network.

        Raises
        ------
        SfhInputError
            Another kind; unknown names; a transform or limits that cannot be.
        """
        described = {*self.transforms, *self.limits, *self.units}
        if self.kind == "history" and described:
            raise SfhInputError("targets: kind 'history' takes no transforms, limits or units; leave them out")
        if self.kind != "scalars" or not described:
            return make_targets(self.kind, self.names)
        if unknown := sorted(described - set(self.names)):
            raise SfhInputError(f"targets: {unknown[0]!r} has a transform, limits or a unit; add it to names")
        known = [n for n in self.names if n in KNOWN_TARGETS]
        falling = make_targets(self.kind, known).to_json()["falling"] if known else []
        return ScalarTargets(tuple(self._describe(n) for n in self.names), tuple(falling))

    def _describe(self, name: str) -> Target:
        if name not in {*KNOWN_TARGETS, *self.transforms, *self.limits}:
            raise SfhInputError(
                f"targets: {name!r} is unknown; choose from {', '.join(KNOWN_TARGETS)}, or give it limits"
            )
        target = KNOWN_TARGETS.get(name, Target(name))
        changes: dict[str, Any] = {}
        if name in self.transforms:
            changes["transform"] = self.transforms[name]
        if name in self.units:
            changes["unit"] = self.units[name]
        if name in self.limits:
            try:
                changes["lo"], changes["hi"] = (float(x) for x in self.limits[name])
            except (TypeError, ValueError) as error:
                raise SfhInputError(f"targets: limits of {name!r} must be [lo, hi] ({error})") from error
        return replace(target, **changes)


@dataclass(frozen=True)
class SearchSettings:
    """Short trainings that choose settings before the long one, see `selection.recipe_search`; none by default.

    ``choices`` names settings of the network and the optimiser, each with the values to choose from, as
    ``"fit.learning_rate" = [5e-4, 2e-3]``; ``n`` objects are fitted for ``epochs``.
    """

    trials: Annotated[int, Ge(0)] = 0
    n: Count = 10_000
    epochs: Count = 3
    choices: Mapping[str, Any] = field(default_factory=dict)


#: Settings that a search may choose: they change neither the objects nor what the loss is, so that losses compare.
_SEARCHED_FIT = ("batch", "learning_rate", "schedule", "plateau_epochs", "plateau_factor", "average_decay")


@dataclass(frozen=True)
class Recipe:
    """A training run, complete and valid."""

    name: str
    summary: str
    prior: str
    n: int
    architecture: str
    loss: Literal["paper", "paper-mse", "paper-smape", "light", "mae", "mse", "log-cosh", "gaussian"]
    network: Mapping[str, Any] = field(default_factory=dict)
    fit: PointFitSettings = field(default_factory=PointFitSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    posterior: PosteriorSettings = field(default_factory=PosteriorSettings)
    targets: TargetSettings = field(default_factory=TargetSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    instrument: str = DEFAULT_INSTRUMENT
    data: str = ""  # a table of objects with labels, in place of the prior's

    def load_instrument(self) -> Instrument:
        """What the network is shown."""
        return load_instrument(self.instrument)

    def model_config(self) -> ModelConfig:
        """What rebuilds the model."""
        p = self.posterior
        flow = FlowConfig(p.transforms, p.hidden, p.bins, p.kind)
        return ModelConfig(self.architecture, dict(self.network), flow, p.subspace, p.gaussians)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Hash of every setting."""
        return hash_parts(json.dumps(self.to_json(), sort_keys=True))


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("napari_sfh.training.fitting.recipes")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by its name (`list_recipes`) or from a TOML file.

    Raises
    ------
    SfhInputError
        No such recipe; no TOML; a key that is unknown, missing or of the wrong type or range.
    """
    text = str(name_or_path)
    if text in list_recipes():
        source = resources.files("napari_sfh.training.fitting.recipes") / f"{text}.toml"
        return parse_recipe(source.read_text(encoding="utf-8"), f"{text}.toml")
    path = Path(text)
    if not path.is_file():
        raise SfhInputError(f"`config`: {text!r} is neither a file nor one of {', '.join(list_recipes())}")
    return parse_recipe(read_toml_text(path), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Parse and validate; ``where`` names the source in messages.

    Parameters
    ----------
    text : str
        TOML.
    where : str
        Name of the source in messages; files that the recipe names are looked for beside it.

    Returns
    -------
    Recipe

    Raises
    ------
    SfhInputError
        No TOML, or as `make_recipe`.
    """
    return make_recipe(parse_toml(text, where), where)


def make_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe of plain values, as a TOML file or a bundle's record (`Recipe.to_json`) holds them.

    Parameters
    ----------
    values : mapping
        Settings, and a mapping for each section.
    where : str
        As of `parse_recipe`.

    Returns
    -------
    Recipe

    Raises
    ------
    SfhInputError
        A key that is unknown, missing or of the wrong type or range; ``where`` names the source.
    """
    table = dict(values)
    sections: dict[str, type[Any]] = {
        "fit": PointFitSettings,
        "augment": AugmentSettings,
        "posterior": PosteriorSettings,
        "targets": TargetSettings,
        "features": FeatureSettings,
        "search": SearchSettings,
    }
    for key, cls in sections.items():
        table[key] = read_section(cls, table.get(key, {}), where, key)
    recipe = read_section(Recipe, table, where)
    folder = Path(where).parent
    for key in ("instrument", "data"):
        # Files beside the recipe.
        if (value := getattr(recipe, key)) and (folder / value).is_file():
            changed: dict[str, Any] = {key: str(folder / value)}
            recipe = replace(recipe, **changed)
    _validate(recipe, where)
    return recipe


def replace_recipe_settings(recipe: Recipe, changes: Mapping[str, Any], where: str = "") -> Recipe:
    """The recipe with other values of some settings, by dotted names such as ``fit.batch``.

    Parameters
    ----------
    recipe : Recipe
    changes : mapping of str to object
        New values by ``section.key``.
    where : str
        For messages; the recipe's name unless given.

    Returns
    -------
    Recipe

    Raises
    ------
    SfhInputError
        A setting that is unknown, or a value that it cannot have; ``where`` names the source.
    """
    values = json.loads(json.dumps(recipe.to_json()))
    for name, value in changes.items():
        section, _, key = name.partition(".")
        values[section][key] = value
    return make_recipe(values, where or recipe.name)


def validate_network(recipe: Recipe, where: str) -> None:
    """Check that a recipe's network, loss, targets and instrument go together.

    Parameters
    ----------
    recipe : Recipe
    where : str
        Its source, for messages.

    Raises
    ------
    SfhInputError
        They do not; ``where`` names the source.
    """
    instrument = recipe.load_instrument()
    try:
        targets = recipe.targets.make()
    except SfhInputError as error:
        raise SfhInputError(f"{where}: {error}") from error
    sizes = (instrument.n_wave, instrument.n_bands)
    build = build_network(recipe.architecture, dict(recipe.network), *sizes, targets, instrument.takes_redshift)
    recipe.model_config()
    losses = HISTORY_LOSSES if targets.n_age else SCALAR_LOSSES
    if recipe.loss not in losses:
        raise SfhInputError(
            f"{where}: loss = {recipe.loss!r}; for [targets] kind = {targets.kind!r} choose {', '.join(losses)}"
        )
    if recipe.loss == "light" and build.predicts_mass:
        heads = [k for k, (_, c) in ARCHITECTURES.items() if not c.predicts_mass]
        raise SfhInputError(
            f"{where}: loss 'light' needs a network that predicts light ({', '.join(heads)}), "
            f"not {recipe.architecture!r}; use loss = 'paper'"
        )


def _validate_search(recipe: Recipe, where: str) -> None:
    """Each value of each choice must make a recipe."""
    search = recipe.search
    if bool(search.trials) != bool(search.choices):
        raise SfhInputError(f"{where}: [search] needs both trials and [search.choices]; give both or leave it out")
    plain = replace(recipe, search=SearchSettings())
    for name, values in search.choices.items():
        section, _, key = name.partition(".")
        if not (section == "network" and key) and not (section == "fit" and key in _SEARCHED_FIT):
            known = ", ".join(f"fit.{k}" for k in _SEARCHED_FIT)
            raise SfhInputError(f"{where}: search.choices {name!r}: choose from network.*, {known}")
        if not isinstance(values, list | tuple) or not values:
            raise SfhInputError(f"{where}: search.choices {name!r} = {values!r} must be a list of values")
        for value in values:
            replace_recipe_settings(plain, {name: value}, f"{where}, search.choices {name!r}")


def _validate(recipe: Recipe, where: str) -> None:
    """Ranges and combinations."""
    validate_network(recipe, where)
    _validate_search(recipe, where)
    a = recipe.augment
    if recipe.fit.choose_by == "independent" and not recipe.targets.make().n_age:
        raise SfhInputError(f"{where}: choose_by = 'independent' needs [targets] kind = 'history'; leave it out")
    if recipe.fit.endless and not a.preparation_errors.is_none:
        raise SfhInputError(
            f"{where}: endless objects know no velocity_error_kms, sigma_error or telluric; leave them out"
        )
    if a.snr_mix and a.snr_mix_share < 1 and not a.snr_range:
        raise SfhInputError(f"{where}: snr_mix_share = {a.snr_mix_share} leaves spectra without S/N; give snr_range")
    if a.snr_range and (len(a.snr_range) != 2 or not 0 < a.snr_range[0] < a.snr_range[1]):
        raise SfhInputError(f"{where}: snr_range = {list(a.snr_range)} must be two increasing numbers")
