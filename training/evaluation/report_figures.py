"""The report's pictures. Every function gives a matplotlib figure; none touches pyplot."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_GYR
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.evaluation.ppxf_comparison import PpxfTestFit
from napari_sfh.training.evaluation.predictions import PredictionsWithTruth
from napari_sfh.types import F64

MEAN_AXIS_LABELS = {name: QUANTITIES[name].label for name in MEAN_NAMES}
_COLORS = dict(zip(MEAN_NAMES, ("C0", "C1", "C2", "C3"), strict=True))


def label_quantity(name: str) -> str:
    """Axis title of a quantity; its name where there is none."""
    return QUANTITIES[name].label if name in QUANTITIES else name


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _title(entry: dict[str, Any]) -> str:
    return f"bias {entry['bias']:+.3f}, std {entry['std']:.3f}, NMAD {entry['nmad']:.3f}"


def plot_truth_recovered(found: dict[str, F64], truth: dict[str, F64], accuracy: dict[str, Any]) -> Figure:
    """Recovered against true, every quantity of ``accuracy``: the four means, or the scalars.

    Parameters
    ----------
    found, truth : dict of str to array (N,)
    accuracy : dict
        Of `metrics.measure_accuracy`; its keys are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = -(-len(accuracy) // 4)
    figure = _figure(13, 3.6 * rows)
    for axes, name in zip(figure.subplots(rows, 4, squeeze=False).flat, accuracy, strict=False):
        x, y = truth[name], found[name]
        low, high = np.nanpercentile(x, [0.2, 99.8])
        limits = (low - 0.2, high + 0.2)
        size = 60 if len(x) > 2000 else 25
        axes.hexbin(x, y, gridsize=size, bins="log", extent=(*limits, *limits), cmap="viridis", mincnt=1)
        axes.plot(limits, limits, color="red", lw=0.8)
        axes.set(xlim=limits, ylim=limits, xlabel=f"true {label_quantity(name)}", ylabel="recovered")
        axes.set_title(_title(accuracy[name]), size=9)
    for axes in figure.axes[len(accuracy) :]:
        axes.set_visible(False)
    return figure


def plot_history_errors(p: PredictionsWithTruth, report: dict[str, Any]) -> Figure:
    """Error of the SFR per age bin, and cumulative mass: error and examples.

    Parameters
    ----------
    p : PredictionsWithTruth
        Of weights for histories.
    report : dict
        Its ``sfr_error`` and ``cumulative_error``, of `evaluation.evaluate_bundle`.

    Returns
    -------
    Figure
    """
    figure = _figure(13, 3.6)
    first, second, third = figure.subplots(1, 3)
    bias, std = (np.array(report["sfr_error"][k]) for k in ("bias", "std"))
    first.errorbar(AGE_GYR, 100 * bias, 100 * std, fmt="o", ms=4, lw=0.8, capsize=2)
    first.axhline(0, color="0.6", lw=0.8)
    first.set(xscale="log", xlabel="age [Gyr]", ylabel="SFR error / mean SFR [%]", title="SFR per age bin")
    edges = AGE_EDGES_GYR[:-1] + 0.005
    low, middle, high = (np.array(report["cumulative_error"][k]) for k in ("p16", "median", "p84"))
    second.fill_between(edges, low, high, alpha=0.3, lw=0)
    second.plot(edges, middle)
    second.axhline(0, color="0.6", lw=0.8)
    second.set(xscale="log", xlabel="lookback time [Gyr]", ylabel="recovered - true", title="mass formed before")
    for i, color in zip(range(min(4, p.n)), ("C0", "C1", "C2", "C3"), strict=False):
        q = p.quantiles["cum_mass"][i]
        third.fill_between(edges, q[:, 1], q[:, 3], color=color, alpha=0.25, lw=0)
        third.plot(edges, p.truth["cum_mass"][i], color=color, lw=1.2)
    third.set(xscale="log", xlabel="lookback time [Gyr]", title="four of them: truth and 16-84 %", ylim=(0, 1.02))
    return figure


def plot_error_correlation(p: PredictionsWithTruth, table: dict[str, Any]) -> Figure:
    """Age error against metallicity error.

    Parameters
    ----------
    p : PredictionsWithTruth
    table : dict
        Correlation ``r`` and ``slope`` for mw and lw.

    Returns
    -------
    Figure
    """
    figure = _figure(8, 3.6)
    for axes, kind in zip(figure.subplots(1, 2), ("mw", "lw"), strict=True):
        x = p.found[f"lg_age_{kind}"] - p.truth[f"lg_age_{kind}"]
        y = p.found[f"mh_{kind}"] - p.truth[f"mh_{kind}"]
        axes.hexbin(x, y, gridsize=40, bins="log", extent=(-0.5, 0.5, -0.3, 0.3), mincnt=1)
        axes.axhline(0, color="0.6", lw=0.6)
        axes.axvline(0, color="0.6", lw=0.6)
        axes.set(xlabel=f"error of log age {kind.upper()}", ylabel=f"error of [M/H] {kind.upper()}")
        axes.set_title(f"r = {table[kind]['r']:.2f}, slope {table[kind]['slope']:.2f}", size=9)
    return figure


def plot_errors_against_dust(report: dict[str, Any]) -> Figure:
    """Bias and scatter against the two optical depths."""
    figure = _figure(9, 3.4)
    for axes, key in zip(figure.subplots(1, 2), ("tau_ism", "tau_bc"), strict=True):
        rows = report[f"by_{key}"]
        x = np.array([0.5 * (r["lo"] + r["hi"]) for r in rows])
        for k, name in enumerate(MEAN_NAMES):
            shift = 1 + 0.02 * (k - 1.5)
            bias, std = ([r[name][what] for r in rows] for what in ("bias", "std"))
            axes.errorbar(
                x * shift, bias, std, fmt="o-", ms=3, lw=0.8, label=MEAN_AXIS_LABELS[name], color=_COLORS[name]
            )
        axes.axhline(0, color="0.6", lw=0.6)
        axes.set(xlabel=key, ylabel="recovered - true [dex]", xscale="log")
    axes.legend(fontsize=7)
    return figure


def plot_errors_against_snr(by_snr: dict[str, Any]) -> Figure:
    """Scatter, claimed width and coverage against S/N."""
    figure = _figure(12, 3.4)
    first, second, third = figure.subplots(1, 3)
    snr = [float(s) for s in by_snr]
    for name in MEAN_NAMES:
        rows = list(by_snr.values())
        color = _COLORS[name]
        first.plot(
            snr, [r["accuracy"][name]["bias"] for r in rows], "o-", ms=3, color=color, label=MEAN_AXIS_LABELS[name]
        )
        second.plot(snr, [r["widths"][name]["reached"] for r in rows], "o-", ms=3, color=color)
        second.plot(snr, [r["widths"][name]["claimed"] for r in rows], "--", color=color, lw=1)
        third.plot(snr, [r["coverage"][name]["p68"] for r in rows], "o-", ms=3, color=color)
        third.plot(snr, [r["coverage"][name]["p95"] for r in rows], "s-", ms=3, color=color)
    first.axhline(0, color="0.6", lw=0.6)
    first.legend(fontsize=7)
    third.axhspan(0.66, 0.70, color="0.9")
    third.axhspan(0.94, 0.96, color="0.9")
    for axes, title in ((first, "bias"), (second, "scatter (dashed: claimed by the posterior)"), (third, "coverage")):
        axes.set(xscale="log", xlabel="S/N per pixel", title=title)
    return figure


def plot_quantile_calibration(table: dict[str, Any]) -> Figure:
    """Nominal against true probability of the stored quantiles."""
    figure = _figure(4.5, 4)
    axes = figure.add_subplot()
    for name, row in table.items():
        axes.plot([0, *row["nominal"], 1], [0, *row["true"], 1], "o-", ms=3, lw=0.8, label=name)
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.set(xlabel="stated probability", ylabel="share of truths below", title="P-P")
    axes.legend(fontsize=7)
    return figure


def plot_input_importance(table: dict[str, Any]) -> Figure:
    """Scatter (std) of the four means when parts of the input are taken away."""
    figure = _figure(10, 5)
    names = list(table)
    axes = figure.add_subplot()
    y = np.arange(len(names))
    for k, mean in enumerate(MEAN_NAMES):
        ratio = [table[n]["accuracy"][mean]["std"] / table["all input"]["accuracy"][mean]["std"] for n in names]
        axes.barh(y + 0.2 * (k - 1.5), ratio, 0.2, color=_COLORS[mean], label=MEAN_AXIS_LABELS[mean])
    axes.axvline(1, color="0.3", lw=0.8)
    axes.set(yticks=y, yticklabels=names, xlabel="std / std with all input", xscale="log")
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    return figure


def plot_latent_space(p: PredictionsWithTruth, most: int = 3000) -> tuple[Figure, str]:
    """Latent vectors in two dimensions, by physics and by error; and the name of the projection.

    Parameters
    ----------
    p : PredictionsWithTruth
    most : int
        Objects that are drawn.

    Returns
    -------
    Figure
    str
        UMAP, or PCA where it is not installed.
    """
    rows = np.flatnonzero(np.isfinite(p.latent).all(1))[:most]
    place, method = compute_latent_projection(p.latent[rows])
    error = p.found["lg_age_lw"] - p.truth["lg_age_lw"]
    colours = (
        ("log age LW", p.truth["lg_age_lw"], "turbo", None),
        ("[M/H] LW", p.truth["mh_lw"], "turbo", None),
        ("tau ISM", p.truth["tau_ism"], "turbo", None),
        ("error of log age LW", error, "coolwarm", 0.3),
    )
    figure = _figure(14, 3.4)
    for axes, (title, values, cmap, limit) in zip(figure.subplots(1, 4), colours, strict=True):
        low, high = (-limit, limit) if limit else np.nanpercentile(values[rows], [1, 99])
        dots = axes.scatter(*place.T, c=values[rows], s=2, cmap=cmap, vmin=low, vmax=high, lw=0, rasterized=True)
        axes.set(title=title, xticks=[], yticks=[])
        figure.colorbar(dots, ax=axes, shrink=0.8)
    figure.suptitle(f"latent space, {method}", size=10)
    return figure, method


def compute_latent_projection(x: F64) -> tuple[F64, str]:
    """Two dimensions of latent vectors: UMAP (McInnes et al. 2018) where umap-learn is installed, else the first two
    principal components.

    Parameters
    ----------
    x : array (N, L)

    Returns
    -------
    places : array (N, 2)
    method : str
    """
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    try:
        if len(x) < 50:
            raise ImportError
        import warnings

        from umap import UMAP
    except ImportError:
        _, _, axes = np.linalg.svd(x, full_matrices=False)
        return x @ axes[:2].T, "PCA"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(UMAP(random_state=1, n_jobs=1).fit_transform(x)), "UMAP"


def plot_ppxf_comparison(fits: list[PpxfTestFit], p: PredictionsWithTruth, report: dict[str, Any]) -> Figure:
    """pPXF's four means on the same spectra.

    Parameters
    ----------
    fits : list of PpxfTestFit
    p : PredictionsWithTruth
        Of the whole test set.
    report : dict
        Its ``ppxf``, of `evaluation.evaluate_bundle`.

    Returns
    -------
    Figure
    """
    found = {k: np.array([f.means[k] for f in fits]) for k in MEAN_NAMES}
    rows = [f.index for f in fits]
    figure = _figure(13, 3.6)
    for axes, name in zip(figure.subplots(1, 4), MEAN_NAMES, strict=True):
        truth = p.truth[name][rows]
        axes.plot(truth, found[name], ".", ms=4, color="C1", label="pPXF")
        axes.plot(truth, p.found[name][rows], ".", ms=4, color="C0", label="network")
        limits = (truth.min() - 0.2, truth.max() + 0.2)
        axes.plot(limits, limits, color="red", lw=0.8)
        axes.set(xlim=limits, ylim=limits, xlabel=f"true {MEAN_AXIS_LABELS[name]}")
        axes.set_title(f"pPXF {_title(report['ppxf']['accuracy'][name])}", size=8)
    axes.legend(fontsize=8)
    return figure
