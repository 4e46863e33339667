"""Figures 1, 3-8, 16 and 20 of Galceran et al. (2026), for any weights that predict histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_GYR
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.ppxf_comparison import PpxfTestFit
from napari_sfh.training.papers.main_paper.measurements import Means, PaperMeasurements
from napari_sfh.types import F64

#: Edges of the age bins on a logarithmic axis, which has no zero.
_EDGES = np.array([0.005, *AGE_EDGES_GYR[1:]])
_COLOURS = dict(zip(MEAN_NAMES, ("C0", "C1", "C2", "C3"), strict=True))


def plot_optical_depths(m: PaperMeasurements) -> Figure:
    """Distributions of the two optical depths of the test set (figure 1)."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    first, second = figure.subplots(1, 2)
    first.hist(np.log10(np.maximum(m.labels.tau_bc, 1e-3)), bins=50, color="C0")
    first.set(xlabel="log τ of the birth clouds, 5500 Å", ylabel="objects")
    second.hist(m.labels.tau_ism, bins=50, color="C1")
    second.set(xlabel="τ of the diffuse dust, 5500 Å")
    return figure


def plot_four_cases(m: PaperMeasurements) -> Figure:
    """Four objects: history, metallicities, spectrum and bands; truth, network and pPXF (figure 3)."""
    rows = m.cases
    fits = {f.index: f for f in m.ppxf}
    figure = Figure(figsize=(15, 3.1 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(2 * len(rows), 4, height_ratios=[3, 1] * len(rows), width_ratios=[1, 1, 2.2, 0.8])
    for k, row in enumerate(rows):
        place = slice(2 * k, 2 * k + 2)
        fit = fits.get(row)
        history, metals = figure.add_subplot(grid[place, 0]), figure.add_subplot(grid[place, 1])
        _draw_case_history(history, m, row, fit)
        _draw_case_metals(metals, m, row, fit)
        axes = figure.add_subplot(grid[2 * k, 2])
        _draw_case_spectrum(axes, figure.add_subplot(grid[2 * k + 1, 2], sharex=axes), m, row)
        _draw_case_bands(figure.add_subplot(grid[place, 3]), m, row)
        history.set_title(f"log age LW {m.labels.lg_age_lw[row]:.2f}, S/N {m.data.snr[row]:.0f}", size=9)
        if k == 0:
            history.legend(fontsize=7)
    return figure


def _draw_case_history(axes: Any, m: PaperMeasurements, row: int, fit: PpxfTestFit | None) -> None:
    assert m.main.mass_frac is not None
    q = m.main.quantiles["mass_frac"][row]
    axes.stairs(m.main.truth["mass_frac"][row], _EDGES, color="k", lw=1.4, label="truth")
    axes.stairs(m.main.mass_frac[row], _EDGES, color="C0", lw=1.1, label="network")
    axes.stairs(q[:, 3], _EDGES, baseline=q[:, 1], fill=True, color="C0", alpha=0.25)
    if fit is not None:
        axes.stairs(fit.mass_frac, _EDGES, color="C1", lw=1.0, label="pPXF")
    axes.set(xscale="log", ylabel="mass fraction", xlabel="age [Gyr]")
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(0, 1)


def _draw_case_metals(axes: Any, m: PaperMeasurements, row: int, fit: PpxfTestFit | None) -> None:
    q = m.main.quantiles["mh"][row]
    axes.plot(AGE_GYR, m.main.truth["mh"][row], "k.-", ms=4, lw=1.2)
    axes.plot(AGE_GYR, q[:, 2], "C0o-", ms=2.5, lw=0.9)
    axes.fill_between(AGE_GYR, q[:, 1], q[:, 3], color="C0", alpha=0.25, lw=0)
    if fit is not None:
        light = np.asarray(fit.light_frac)
        mh = np.where(light > 0.005, np.asarray(fit.mh, float), np.nan)
        axes.plot(AGE_GYR, mh, "C1s", ms=3.5, mfc="none")
    axes.set(xscale="log", ylabel="[M/H]", xlabel="age [Gyr]")


def _draw_case_spectrum(axes: Any, below: Any, m: PaperMeasurements, row: int) -> None:
    wave = m.data.instrument.wave_aa
    flux = np.where(m.data.mask[row], m.data.flux[row], np.nan)
    axes.plot(wave, flux, color="0.4", lw=0.5)
    models: dict[str, F64] = {}
    if m.model_flux is not None:
        models["C0"] = m.model_flux[row]
    if row in m.ppxf_models:
        models["C1"] = m.ppxf_models[row].flux
    for colour, model in models.items():
        axes.plot(wave, model, color=colour, lw=0.6)
        below.plot(wave, flux - model, color=colour, lw=0.4)
    size = 3 * float(np.nanmedian(m.data.error[row])) + 0.02
    below.set(ylim=(-2 * size, 2 * size), xlabel="rest wavelength [Å]", xlim=(wave[0], wave[-1]))
    low, high = np.nanpercentile(flux, [0.2, 98.5])
    axes.set_ylim(low - 0.1, high + 0.3 * (high - low) + 0.1)
    axes.tick_params(labelbottom=False)


def _draw_case_bands(axes: Any, m: PaperMeasurements, row: int) -> None:
    pivots = [band.pivot_aa for band in m.bundle.filters]
    seen = np.where(m.data.phot_mask[row], m.data.phot[row], np.nan)
    axes.errorbar(pivots, seen, m.data.phot_error[row], fmt="o", color="0.4", ms=4)
    if m.model_phot is not None:
        axes.plot(pivots, m.model_phot[row], "C0D", mfc="none", ms=7)
    if row in m.ppxf_models:
        axes.plot(pivots, m.ppxf_models[row].phot, "C1s", mfc="none", ms=6)
    axes.set(xlabel="band [Å]", ylabel="flux over the spectrum's")


def plot_sfr_errors(m: PaperMeasurements) -> Figure:
    """Mean difference of the SFR over the bin's mean SFR (figure 4; there input - predicted)."""
    assert m.main.mass_frac is not None
    table = metrics.measure_sfr_error(m.main.mass_frac, m.main.truth["mass_frac"])
    n = int(np.isfinite(m.main.mass_frac).all(1).sum())
    bias, std = (100 * np.array(table[k]) for k in ("bias", "std"))
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(np.arange(len(bias)), bias, yerr=std / np.sqrt(n), color="C0", alpha=0.7, capsize=2)
    axes.axhline(0, color="0.3", lw=0.8)
    axes.set_xticks(np.arange(len(bias)), [f"{a:.3g}" for a in AGE_GYR], rotation=60, size=8)
    axes.set(xlabel="age [Gyr]", ylabel="predicted − true SFR\nover the bin's mean [%]")
    return figure


def plot_mean_recovery(found: Means, truth: Means, ppxf: list[PpxfTestFit]) -> Figure:
    """Recovered against true means: the network, and below pPXF where it was run (figures 5 and 20).

    Parameters
    ----------
    found, truth : mapping of str to array (N,)
        The four means.
    ppxf : list of PpxfTestFit
        Empty where pPXF was not run.

    Returns
    -------
    Figure
    """
    rows = 2 if ppxf else 1
    figure = Figure(figsize=(13, 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False)
    for k, name in enumerate(MEAN_NAMES):
        low, high = np.nanpercentile(truth[name], [0.2, 99.8])
        limits = (float(low) - 0.2, float(high) + 0.2)
        grid[0, k].hexbin(
            truth[name], found[name], gridsize=45, bins="log", extent=(*limits, *limits), mincnt=1, lw=0.1
        )
        _finish_recovery(grid[0, k], found[name], truth[name], limits, name, "network")
        if ppxf:
            index = [f.index for f in ppxf]
            answers = np.array([f.means[name] for f in ppxf])
            grid[1, k].plot(truth[name][index], answers, "C1.", ms=5)
            _finish_recovery(grid[1, k], answers, truth[name][index], limits, name, "pPXF")
            beyond = (min(limits[0], answers.min() - 0.1), max(limits[1], answers.max() + 0.1))
            grid[1, k].set_ylim(*beyond)  # pPXF answers beyond the prior's range
    return figure


def _finish_recovery(axes: Any, found: F64, truth: F64, limits: tuple[float, float], name: str, who: str) -> None:
    s = metrics.measure_accuracy({name: found}, {name: truth})[name]
    axes.plot(limits, limits, "r", lw=0.8)
    axes.set(xlim=limits, ylim=limits, xlabel=f"true {QUANTITIES[name].label}", ylabel=who)
    axes.set_title(f"bias {s['bias']:+.3f}, std {s['std']:.3f}, n {s['n']}".replace("-", "−"), size=9)


def plot_degeneracy(m: PaperMeasurements) -> Figure:
    """Error of metallicity against error of age, by the true metallicity; network above, pPXF below (figure 6)."""
    rows = 2 if m.ppxf else 1
    figure = Figure(figsize=(8.4, 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False)
    index = [f.index for f in m.ppxf]
    answers: list[tuple[str, Mapping[str, F64], Any, float]] = [("network", m.main.found, slice(None), 0.45)]
    if m.ppxf:
        means = {k: np.array([f.means[k] for f in m.ppxf]) for k in MEAN_NAMES}
        answers.append(("pPXF", means, index, 1.0))
    for row, (who, found, use, size) in zip(grid, answers, strict=True):
        for axes, kind in zip(row, ("mw", "lw"), strict=True):
            truth = {k: m.main.truth[f"{k}_{kind}"][use] for k in ("lg_age", "mh")}
            x, y = (found[f"{k}_{kind}"] - truth[k] for k in ("lg_age", "mh"))
            low, high = np.percentile(m.main.truth[f"mh_{kind}"], [2, 98])
            marker = 3 if len(x) > 500 else 12
            dots = axes.scatter(x, y, c=truth["mh"], s=marker, cmap="viridis", vmin=low, vmax=high, lw=0)
            figure.colorbar(dots, ax=axes, label="true [M/H]")
            good = np.isfinite(x) & np.isfinite(y)
            r = float(np.corrcoef(x[good], y[good])[0, 1])
            axes.axhline(0, color="0.6", lw=0.6)
            axes.axvline(0, color="0.6", lw=0.6)
            axes.set(
                xlim=(-size, size), ylim=(-size, size), xlabel="error of log age [dex]", ylabel="error of [M/H] [dex]"
            )
            axes.set_title(f"{who}, {kind.upper()}: r = {r:.2f}".replace("-", "−"), size=9)
    return figure


def plot_dust_dependence(m: PaperMeasurements) -> Figure:
    """Errors of the four means against both optical depths: median and 16-84 % (figure 7)."""
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    grid = figure.subplots(2, 4, sharey="col")
    for row, key in zip(grid, ("tau_bc", "tau_ism"), strict=True):
        tau = np.asarray(m.main.truth[key])
        edges = np.quantile(tau, np.linspace(0.01, 0.99, 10))
        for axes, name in zip(row, MEAN_NAMES, strict=True):
            error = m.main.found[name] - m.main.truth[name]
            number = np.digitize(tau, edges) - 1
            parts = [error[(number == k) & np.isfinite(error)] for k in range(len(edges) - 1)]
            low, middle, high = (np.array([np.percentile(p, q) for p in parts]) for q in (16, 50, 84))
            x = 0.5 * (edges[1:] + edges[:-1])
            axes.fill_between(x, low, high, color=_COLOURS[name], alpha=0.2, lw=0)
            axes.plot(x, middle, "o-", ms=3, color=_COLOURS[name])
            axes.axhline(0, color="0.6", lw=0.6)
            axes.set(xlabel={"tau_bc": "τ BC", "tau_ism": "τ ISM"}[key])
            axes.set_title(f"error of {QUANTITIES[name].label}", size=9)
    return figure


def plot_snr_dependence(m: PaperMeasurements) -> Figure:
    """Median error and 16-84 % against S/N (figure 8)."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 4), MEAN_NAMES, strict=True):
        errors = [found[name] - m.main.truth[name] for found in m.by_snr.values()]
        low, middle, high = (np.array([np.nanpercentile(e, q) for e in errors]) for q in (16, 50, 84))
        axes.errorbar(list(m.by_snr), middle, [middle - low, high - middle], fmt="o-", ms=4, capsize=3)
        axes.axhline(0, color="0.6", lw=0.6)
        axes.set(xscale="log", xlabel="S/N per pixel")
        axes.set_xticks(list(m.by_snr), [f"{s:g}" for s in m.by_snr])
        axes.minorticks_off()
        axes.set_title(f"error of {QUANTITIES[name].label}", size=9)
    return figure


def plot_age_metallicity(m: PaperMeasurements) -> Figure:
    """Metallicity against age, truth and answers, light- and mass-weighted (figure 16)."""
    figure = Figure(figsize=(8.4, 7), layout="constrained")
    grid = figure.subplots(2, 2)
    cells = int(np.clip(np.sqrt(m.main.n) / 2, 10, 45))  # dense enough for a map of density
    for row, kind in zip(grid, ("lw", "mw"), strict=True):
        names = (f"lg_age_{kind}", f"mh_{kind}")
        both = [np.concatenate([m.main.truth[k], m.main.found[k]]) for k in names]
        extent = [float(v) for values in both for v in np.nanpercentile(values, [0.2, 99.8])]
        for axes, values, who in zip(row, (m.main.truth, m.main.found), ("truth", "network"), strict=True):
            axes.hexbin(values[names[0]], values[names[1]], gridsize=cells, bins="log", extent=extent, mincnt=1, lw=0.1)
            axes.set(xlabel=QUANTITIES[names[0]].label, ylabel=QUANTITIES[names[1]].label, title=who)
            axes.set(xlim=extent[:2], ylim=extent[2:])
    return figure
