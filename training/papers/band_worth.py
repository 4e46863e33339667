"""What photometry adds to a spectrum, with emission lines and without: networks trained and tested alike.

In a synthetic set whose lines follow the young stars exactly, a spectrum tells the young ages without any band. Each
network here is trained and tested on one kind of data, so that nothing is missing that it has learnt to use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.test_set import TEST_SEED
from napari_sfh.training.fitting.recipe import AugmentSettings, load_recipe
from napari_sfh.training.fitting.spectra_sources import make_fresh_source
from napari_sfh.training.papers.physics_choices import GAS_CHOICES
from napari_sfh.training.papers.small_trainings import (
    SayLine,
    SmallTrainingSettings,
    draw_training_spectra,
    fit_small_network,
    predict_small_network,
)
from napari_sfh.training.papers.study_files import StudyRows
from napari_sfh.training.simulator.simulation import PreparedPrior

#: Edges of the classes of LW age, log yr.
BAND_AGE_EDGES: tuple[float, ...] = (5.0, 8.5, 9.5, 11.0)


def measure_band_worth(
    source: PreparedPrior,
    settings: SmallTrainingSettings,
    say: SayLine,
    kept: StudyRows,
    base: str = "small",
) -> dict[str, Any]:
    """Train and test with and without gas, with and without bands.

    Parameters
    ----------
    source : PreparedPrior
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
        ``"gas, bands"``, ``"gas, no bands"``, ``"no gas, bands"``, ``"no gas, no bands"`` to ``accuracy`` and
        ``by_lg_age_lw`` (`metrics.measure_accuracy_by_range`).
    """
    no_gas = replace(source, config=GAS_CHOICES[0].apply(source.config))
    for gas_name, prepared in (("gas", source), ("no gas", no_gas)):
        names = {f"{gas_name}, bands": 0.0, f"{gas_name}, no bands": 1.0}
        if set(names) <= set(kept.rows):
            continue
        spectra, basis = draw_training_spectra(prepared, settings)
        test = make_fresh_source(prepared, settings.n_test, TEST_SEED)
        for name, dropped in names.items():
            seen = AugmentSettings(drop_photometry=dropped)
            recipe = replace(settings.shorten(load_recipe(base)), name=name, augment=seen)
            model, facts = fit_small_network(recipe, spectra, basis, say, device=settings.device)
            data = test.observe(np.arange(settings.n_test), seen, np.random.default_rng([TEST_SEED, 3]))
            answers = predict_small_network(model, data)
            found = {k: answers[k] for k in MEAN_NAMES}
            truth = {k: np.asarray(getattr(test.labels, k), float) for k in MEAN_NAMES}
            classes = metrics.measure_accuracy_by_range(found, truth, truth["lg_age_lw"], BAND_AGE_EDGES)
            kept.add(name, {"accuracy": metrics.measure_accuracy(found, truth), "by_lg_age_lw": classes, **facts})
    return kept.rows
