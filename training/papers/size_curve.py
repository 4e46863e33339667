"""Loss against the size of the training set, each training run to its stopping rule (Galceran et al. 2026, figure 15).

All sizes share validation and test objects, and stop when the validation loss has not improved for some epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.fitting.spectra_sources import split_rows
from napari_sfh.training.papers.small_trainings import (
    SayLine,
    SmallTrainingSettings,
    draw_test_spectra,
    draw_training_spectra,
    fit_small_network,
    measure_small_network,
)
from napari_sfh.training.papers.study_files import StudyRows
from napari_sfh.training.simulator.simulation import PreparedPrior


def measure_size_curve(
    source: PreparedPrior,
    sizes: Sequence[int],
    settings: SmallTrainingSettings,
    say: SayLine,
    kept: StudyRows,
    base: str = "small",
    patience: int = 4,
) -> dict[str, Any]:
    """Train on the first objects of one set, more each time.

    Parameters
    ----------
    source : PreparedPrior
    sizes : sequence of int
        Objects that are fitted; rising.
    settings : SmallTrainingSettings
        ``epochs`` are the most; ``n`` is made large enough.
    say : callable
    kept : StudyRows
        Of these sizes; gets a row for each. Those that it has are not measured again.
    base : str
        The recipe.
    patience : int
        Epochs without a better validation loss after which a training stops.

    Returns
    -------
    dict
        Size to ``accuracy``, ``validation``, ``best``, ``epochs``, ``seconds``.
    """
    wanted = replace(settings, n=max(settings.n, round(max(sizes) / 0.7) + 20))
    recipe = wanted.shorten(load_recipe(base))
    recipe = replace(recipe, fit=replace(recipe.fit, schedule="constant", plateau_epochs=2, stop_epochs=patience))
    spectra, basis = draw_training_spectra(source, wanted)
    test = draw_test_spectra(source, settings.n_test)
    train, held_out, _ = split_rows(spectra.labels.n, recipe.fit.seed)
    for size in (size for size in sizes if str(size) not in kept.rows):
        part = (train[:size], held_out[:2048])
        model, facts = fit_small_network(
            replace(recipe, name=f"{size} objects"), spectra, basis, say, part, settings.device
        )
        facts |= {"best": min(facts["validation"]), "epochs": len(facts["validation"])}
        kept.add(str(size), {**measure_small_network(model, test), **facts})
    return kept.rows


def plot_size_curve(rows: Mapping[str, Any]) -> Figure:
    """Best validation loss, and the scatter of the four means, against the number of objects fitted."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    first, second = figure.subplots(1, 2)
    sizes = [int(s) for s in rows]
    first.plot(sizes, [r["best"] for r in rows.values()], "o-")
    first.set(xscale="log", xlabel="objects fitted", ylabel="best validation loss")
    for name in MEAN_NAMES:
        values = [r["accuracy"][name]["std"] for r in rows.values()]
        second.plot(sizes, values, "o-", ms=4, label=QUANTITIES[name].title)
    second.set(xscale="log", yscale="log", xlabel="objects fitted", ylabel="std on other objects [dex]")
    second.legend(fontsize=7)
    return figure
