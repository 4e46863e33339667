"""Figures 3 to 14 of Liew-Cain et al. (2021, MNRAS 502, 1355) from the spaxels and answers of `spaxel_tests`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_sfh.training.studies.narrow_bands import spaxel_tests
from napari_sfh.training.studies.narrow_bands.narrow_galaxies import EARLY_LG_SSFR, MockSpaxels, Split
from napari_sfh.training.studies.narrow_bands.spaxel_tests import SPAXEL_QUANTITIES, SetAnswers
from napari_sfh.types import F32, F64

SPAXEL_AXIS_LABELS = {"lg_age": "log age [yr]", "mh": "[M/H]"}
_PROPERTY_LABELS = {
    "lg_ssfr": "log sSFR [1/yr]; no star formation at the left edge",
    "a_v": "A$_V$ [mag]",
    "inclination": "inclination [deg]",
    "lg_mass": "log M$_*$ [M$_\\odot$]",
}
_EXAMPLES = 4


def plot_spaxel_figures(
    made: MockSpaxels, answers: Mapping[Split, SetAnswers], measured: Mapping[str, Any]
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that the measurements allow.

    Parameters
    ----------
    made : MockSpaxels
    answers : mapping of Split to SetAnswers
    measured : mapping
        Of `spaxel_tests`.

    Returns
    -------
    iterator of (str, Figure)
    """
    placed = bool(np.isfinite(made.r).any())
    if placed:
        yield "fig03-subsets", plot_subsets(made, answers)
        yield "fig05-profile", plot_example_profile(made, answers["A"])
    yield "fig04-learning", plot_learning_curves(answers)
    numbers: tuple[tuple[Split, int], ...] = (("A", 6), ("B", 8))
    for kind, number in numbers:
        yield f"fig{number:02d}-answers-{kind}", plot_answers(made, answers[kind], f"set {kind}")
        slopes = {q: spaxel_tests.measure_galaxy_gradients(made, q, answers[kind].found[q]) for q in SPAXEL_QUANTITIES}
        if len(slopes["mh"]):
            yield f"fig{number + 1:02d}-gradients-{kind}", plot_gradient_differences(slopes, f"set {kind}")
    for key, number in (("lg_ssfr", 10), ("inclination", 11), ("a_v", 12)):
        if key in made.properties:
            yield f"fig{number}-errors-{key}", plot_trend(made, answers, measured, key)
    if "learning_curve" in measured:
        yield "fig13-training-share", plot_training_share(measured["learning_curve"])
    if placed and "lg_mass" in made.properties and "lg_ssfr" in made.properties:
        yield "fig14-gradient-mass", plot_gradient_against_mass(made, answers)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def plot_subsets(made: MockSpaxels, answers: Mapping[Split, SetAnswers]) -> Figure:
    """Positions of the spaxels of some galaxies in their discs, by the part that they are tested in.

    Parameters
    ----------
    made : MockSpaxels
    answers : mapping of str to SetAnswers
        By kind of split, ``A`` and ``B``.

    Returns
    -------
    Figure
    """
    figure = _figure(11, 5.6)
    angle = np.zeros_like(made.r) if made.angle is None else made.angle
    grid = figure.subplots(2, _EXAMPLES, sharex=True, sharey=True, squeeze=False)
    for row, (kind, one) in zip(grid, answers.items(), strict=False):
        for g, axes in enumerate(row):
            mine = made.galaxy == g
            x, y = made.r[mine] * np.cos(angle[mine]), made.r[mine] * np.sin(angle[mine])
            axes.scatter(x, y, c=one.part[mine], cmap="tab10", vmin=0, vmax=9, s=12)
            axes.set(title=f"set {kind}, galaxy {g + 1}", aspect="equal", xlabel="x / R$_e$")
        row[0].set_ylabel("y / R$_e$")
    return figure


def plot_learning_curves(answers: Mapping[Split, SetAnswers]) -> Figure:
    """Mean squared error of the first network for log age against epoch."""
    figure = _figure(6, 5.6)
    for axes, (kind, one) in zip(figure.subplots(len(answers), 1, squeeze=False)[:, 0], answers.items(), strict=True):
        train, validation = np.array(one.curves["lg_age"]).T
        axes.plot(train, color="black", label="training")
        axes.plot(validation, color="red", label="validation")
        axes.set(yscale="log", xlabel="epoch", ylabel="mean squared error / variance", title=f"set {kind}, log age")
        axes.legend()
    return figure


def plot_example_profile(made: MockSpaxels, answers: SetAnswers, draws: int = 100) -> Figure:
    """Labels and answers of one galaxy against radius, with lines through random three quarters of its spaxels.

    Parameters
    ----------
    made : MockSpaxels
    answers : SetAnswers
    draws : int
        Lines.

    Returns
    -------
    Figure
    """
    figure = _figure(9, 6.5)
    count = np.bincount(made.galaxy, made.r < 1)
    mine = np.flatnonzero(made.galaxy == int(np.argmax(count)))
    inside = mine[made.r[mine] < 1]
    rng = np.random.default_rng(1)
    for row, (name, label) in zip(
        figure.subplots(2, 2, sharex=True, sharey="row"), SPAXEL_AXIS_LABELS.items(), strict=True
    ):
        for axes, (title, values) in zip(
            row, (("labels", getattr(made, name)), ("answers", answers.found[name])), strict=True
        ):
            axes.plot(made.r[mine], values[mine], "+", color="0.5")
            lines = []
            for _ in range(draws if len(inside) > 2 else 0):
                some = rng.permutation(inside)[: max(2, round(0.75 * len(inside)))]
                lines.append(np.polyfit(made.r[some], values[some], 1))
                axes.plot([0, 1], np.polyval(lines[-1], [0, 1]), color="red", lw=0.3, alpha=0.4)
            if lines:
                axes.plot([0, 1], np.polyval(np.mean(lines, axis=0), [0, 1]), color="black")
            axes.set(title=title, xlabel="R / R$_e$", ylabel=label)
    return figure


def plot_answers(made: MockSpaxels, answers: SetAnswers, title: str) -> Figure:
    """Answers against labels, with the density of the points.

    Parameters
    ----------
    made : MockSpaxels
    answers : SetAnswers
    title : str
        Begins the titles of both panels.

    Returns
    -------
    Figure
    """
    figure = _figure(5, 9)
    for axes, (name, label) in zip(figure.subplots(2, 1), SPAXEL_AXIS_LABELS.items(), strict=True):
        truth, found = getattr(made, name), answers.found[name]
        low, high = np.percentile(truth, [0.2, 99.8])
        axes.plot(truth, found, ".", color="0.6", ms=1.5, rasterized=True)
        _draw_density(axes, truth, found, (low, high))
        axes.plot([low, high], [low, high], color="red", lw=0.8)
        table = spaxel_tests.summarise_errors(found, truth)
        words = f"{title}: offset {table['bias']:+.3f}, robust std {table['nmad']:.3f}".replace("-", "−")
        axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"label: {label}", ylabel="answer", title=words)
    return figure


def _draw_density(axes: Axes, x: F32, y: F32, limits: tuple[float, float]) -> None:
    counts, edges, _ = np.histogram2d(x, y, bins=30, range=[limits, limits])
    if counts.max() > 0:
        middle = 0.5 * (edges[1:] + edges[:-1])
        axes.contour(middle, middle, (counts / counts.max()).T, levels=[0.05, 0.2, 0.5, 0.8], cmap="viridis")


def plot_gradient_differences(slopes: Mapping[str, F64], title: str) -> Figure:
    """Difference of the age gradient against that of the [M/H] gradient, answers less labels.

    Parameters
    ----------
    slopes : mapping of str to array (G, 4)
        ``lg_age`` and ``mh``: slope and error from answers, then from labels, dex per R_e.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(6.5, 6)
    axes, top, right = _marginal_axes(figure)
    x, y = (slopes[q][:, 0] - slopes[q][:, 2] for q in ("mh", "lg_age"))
    bars = [np.hypot(slopes[q][:, 1], slopes[q][:, 3]) for q in ("mh", "lg_age")]
    axes.errorbar(x, y, bars[1], bars[0], fmt=".", color="black", ecolor="0.7", lw=0.7)
    limit = max(0.1, float(np.nanpercentile(np.abs([x, y]), 99)) * 1.2)
    bins = np.arange(-1, 1.01, 0.05).tolist()
    top.hist(x, bins, color="0.6")
    right.hist(y, bins, color="0.6", orientation="horizontal")
    for edge in (axes.axhline, axes.axvline):
        edge(0, color="red", lw=0.8)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="[M/H] gradient [dex/R$_e$]: answer − label")
    axes.set_ylabel("log age gradient [dex/R$_e$]: answer − label")
    top.set_title(title)
    return figure


def _marginal_axes(figure: Figure) -> tuple[Axes, Axes, Axes]:
    grid = figure.add_gridspec(2, 2, width_ratios=[4, 1], height_ratios=[1, 4])
    axes = figure.add_subplot(grid[1, 0])
    return axes, figure.add_subplot(grid[0, 0], sharex=axes), figure.add_subplot(grid[1, 1], sharey=axes)


def plot_trend(made: MockSpaxels, answers: Mapping[Split, SetAnswers], measured: Mapping[str, Any], key: str) -> Figure:
    """Median and robust scatter of each galaxy's errors against a property; red: means of bins of galaxies.

    Parameters
    ----------
    made : MockSpaxels
    answers : mapping of str to SetAnswers
        By kind of split.
    measured : mapping
        Of `spaxel_tests`: ``sets``, by kind, with their ``trends``.
    key : str
        A property of the galaxies: a key of ``made.properties``.

    Returns
    -------
    Figure
    """
    figure = _figure(9, 10)
    rows = [(kind, name) for kind in answers for name in ("mh", "lg_age")]
    for pair, (kind, name) in zip(figure.subplots(len(rows), 2, sharex=True, squeeze=False), rows, strict=True):
        values = spaxel_tests.measure_galaxy_errors(made, name, answers[kind].found[name])
        binned = measured["sets"][kind]["trends"][name][key]
        for axes, value, word in zip(pair, values, ("median", "scatter"), strict=True):
            axes.plot(made.properties[key], value, ".", color="0.5")
            axes.plot(binned["at"], binned[word], "o-", color="red", ms=4)
            axes.set_ylabel(f"{word} error, {SPAXEL_AXIS_LABELS[name]}, {kind}", size=8)
        pair[0].axhline(0, color="black", lw=0.5)
    for axes in figure.axes[-2:]:
        axes.set_xlabel(_PROPERTY_LABELS[key])
    return figure


def plot_training_share(curve: Mapping[str, Any]) -> Figure:
    """Robust scatter of log age against the share of spaxels or galaxies that was trained on."""
    figure = _figure(6, 4.2)
    axes = figure.subplots()
    share = 100 * np.array(curve["shares"])
    for kind, style in (("A", "-"), ("B", "--")):
        axes.errorbar(share, curve[kind]["mean"], curve[kind]["std"], ls=style, color="black", label=f"set {kind}")
    axes.axhline(curve["random"], color="red", ls=":", label="random choice of a label")
    axes.set(xlabel="trained on [%]", ylabel="robust std of log age [dex]")
    axes.legend()
    return figure


def plot_gradient_against_mass(made: MockSpaxels, answers: Mapping[Split, SetAnswers]) -> Figure:
    """Age gradient of labels and answers against stellar mass, early and late galaxies.

    Parameters
    ----------
    made : MockSpaxels
    answers : mapping of str to SetAnswers
        By kind of split.

    Returns
    -------
    Figure
    """
    figure = _figure(12, 4)
    early = made.properties["lg_ssfr"] < EARLY_LG_SSFR
    panels = [("labels", made.lg_age), *((f"set {kind}", one.found["lg_age"]) for kind, one in answers.items())]
    for axes, (title, values) in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        inside = made.r < 1
        members = [inside & (made.galaxy == g) for g in range(made.n_galaxies)]
        slope = np.array([np.polyfit(made.r[m], values[m], 1)[0] if m.sum() > 2 else np.nan for m in members])
        for chosen, color, marker, word in ((early, "red", "o", "early"), (~early, "black", "s", "late")):
            mass = made.properties["lg_mass"][chosen]
            axes.plot(mass, slope[chosen], marker, color=color, ms=3, alpha=0.5, label=f"{word} (sSFR)")
            for part in np.array_split(np.argsort(mass), max(1, len(mass) // 10)):
                axes.plot(mass[part].mean(), np.nanmean(slope[chosen][part]), marker, color=color, ms=9, mec="white")
        axes.set(title=title, xlabel=_PROPERTY_LABELS["lg_mass"])
    figure.axes[0].set_ylabel("log age gradient [dex/R$_e$]")
    figure.axes[0].legend(fontsize=7)
    return figure
