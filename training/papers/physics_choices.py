"""What another physics moves: networks trained on one library, asked about spectra of others, and about other gas.

Each training sees the prior of Galceran et al. (2026) with the stars of one library; each test is the same prior with
the stars of another library or other gas. A test's shift is its bias (median) less that of the network at home.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.papers.small_trainings import (
    SayLine,
    SmallTrainingSettings,
    TestSpectra,
    draw_test_spectra,
    draw_training_spectra,
    fit_small_network,
    measure_small_network,
)
from napari_sfh.training.papers.study_files import StudyRows
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator.simulation import PreparedPrior, prepare_prior_from_templates


@dataclass(frozen=True)
class GasChoice:
    """Gas other than the prior's."""

    name: str
    escape: float | None = None  # share of the ionising photons that escape
    lg_u: float | None = None  # ionisation parameter

    def apply(self, config: PriorConfig) -> PriorConfig:
        """The prior with this gas."""
        given = {"escape": self.escape, "lg_u": self.lg_u}
        changes: dict[str, Any] = {k: constant_distribution(v) for k, v in given.items() if v is not None}
        return replace(config, nebular=replace(config.nebular, **changes))


#: Gas that the tests have: none, and the two ends of the ionisation parameters that HII regions show.
GAS_CHOICES: tuple[GasChoice, ...] = (
    GasChoice("no gas", escape=1.0),
    GasChoice("log U -3.5", lg_u=-3.5),
    GasChoice("log U -2", lg_u=-2.0),
)


#: Light of the stars that stand in for the young extension of E-MILES, times this: what the join to another library
#: leaves open (`libraries.young_extension` measures factors of 0.8 to 1.2).
YOUNG_FACTORS: tuple[float, ...] = (0.8, 1.25)
#: Age in Gyr below which E-MILES has no stars of its own.
EXTENSION_AGE_GYR = 0.063


def scale_young_stars(templates: Templates, factor: float, age_gyr: float = EXTENSION_AGE_GYR) -> Templates:
    """The library with the light of stars younger than ``age_gyr`` multiplied; the gas around them stays.

    Parameters
    ----------
    templates : Templates
    factor : float
        On their light.
    age_gyr : float
        Gyr.

    Returns
    -------
    Templates
    """
    young = templates.sub_edges_gyr[1:] <= age_gyr * 1.001
    scale = np.where(young, factor, 1.0).astype(np.float32)
    return replace(
        templates,
        spectrum=templates.spectrum * scale[:, None],
        sed=templates.sed * scale[:, None],
        light_v=templates.light_v * scale,
    )


def measure_physics_choices(
    config: PriorConfig,
    libraries: Mapping[str, Templates],
    trained_on: tuple[str, ...],
    settings: SmallTrainingSettings,
    say: SayLine,
    kept: StudyRows,
    base: str = "small",
) -> dict[str, Any]:
    """Train with the stars of each of ``trained_on``, test with the stars of all ``libraries`` and with other gas.

    Parameters
    ----------
    config : PriorConfig
    libraries : mapping of str to Templates
    trained_on : tuple of str
        Names of libraries.
    settings : SmallTrainingSettings
    say : callable
        Given a line on what is done.
    kept : StudyRows
        Gets a row for each training; rows that it has are not measured again.
    base : str
        Recipe.

    Returns
    -------
    dict
        Library of the training to test to ``accuracy`` and ``shift`` (dex, of the four means).
    """
    sources = {name: prepare_prior_from_templates(_with_library(config, name), [t]) for name, t in libraries.items()}
    tests: dict[str, TestSpectra] = {}

    def test_of(key: str, source: PreparedPrior) -> TestSpectra:
        if key not in tests:
            tests[key] = draw_test_spectra(source, settings.n_test)
        return tests[key]

    for home in trained_on:
        if home in kept.rows:
            continue
        recipe = settings.shorten(replace(load_recipe(base), name=f"stars of {home}", prior=config.name))
        spectra, basis = draw_training_spectra(sources[home], settings)
        model, facts = fit_small_network(recipe, spectra, basis, say, device=settings.device)
        own = measure_small_network(model, test_of(home, sources[home]))["accuracy"]
        found = {"at home": own}
        for name, source in sources.items():
            if name != home:
                found[f"stars of {name}"] = measure_small_network(model, test_of(name, source))["accuracy"]
        for gas in GAS_CHOICES:
            changed = replace(sources[home], config=gas.apply(sources[home].config))
            found[gas.name] = measure_small_network(model, draw_test_spectra(changed, settings.n_test))["accuracy"]
        for factor in YOUNG_FACTORS:
            young = scale_young_stars(libraries[home], factor)
            changed = prepare_prior_from_templates(sources[home].config, [young])
            test = draw_test_spectra(changed, settings.n_test)
            found[f"stars below 63 Myr x {factor:g}"] = measure_small_network(model, test)["accuracy"]
        tested = {k: {"accuracy": v, "shift": subtract_biases(v, own)} for k, v in found.items()}
        kept.add(home, {"tests": tested, **facts})
    return kept.rows


def _with_library(config: PriorConfig, name: str) -> PriorConfig:
    return replace(config, libraries={name: 1.0})


def subtract_biases(there: Mapping[str, Any], home: Mapping[str, Any]) -> dict[str, float]:
    """Bias of one test less that of another, dex, of the four means.

    Parameters
    ----------
    there, home : mapping
        Accuracy by mean, each with its ``bias`` in dex.

    Returns
    -------
    dict of str to float
    """
    return {k: float(there[k]["bias"]) - float(home[k]["bias"]) for k in MEAN_NAMES}
