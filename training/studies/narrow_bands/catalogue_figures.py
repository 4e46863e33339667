"""Figures 1 to 4 of Dominguez Sanchez et al. (2025, Highlights of Spanish Astrophysics XII)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.instruments.files import make_band_filters
from napari_sfh.training.simulator.simulation import PreparedPrior
from napari_sfh.training.studies.narrow_bands import catalogue_networks
from napari_sfh.training.studies.narrow_bands.catalogue_measure import AGE_CLASS_EDGES, convert_magnitude_to_snr
from napari_sfh.training.studies.narrow_bands.catalogue_networks import CATALOGUE_QUANTITIES, CatalogueSample
from napari_sfh.types import F64

AXIS_WORDS = {
    "lg_age": "log age [yr]",
    "lg_age_lw": "LW log age [yr]",
    "mh_mw": "[M/H]",
    "mh_lw": "LW [M/H]",
    "ebv": "E(B-V) [mag]",
}
_COLORS = dict(zip(AXIS_WORDS, ("tab:green", "tab:green", "tab:blue", "tab:blue", "tab:orange"), strict=True))
_LIBRARY_COLORS = ("tab:green", "tab:red", "tab:blue", "tab:purple")


def plot_library_grids(source: PreparedPrior, n: int = 1500, seed: int = 8) -> Figure:
    """Figure 1: [M/H] against log age of the objects of each library, with histograms of all.

    Parameters
    ----------
    source : PreparedPrior
        Of several libraries.
    n, seed : int
        Objects of each, and the seed of their draws.

    Returns
    -------
    Figure
    """
    names = [str(m.templates.provenance["name"]) for m in source.models]
    figure = Figure(figsize=(4 * len(names), 5.2), layout="constrained")
    grid = figure.subplots(2, len(names), sharex=True, height_ratios=[1, 3], squeeze=False)
    alone = {name: catalogue_networks.keep_libraries(source, [name]) for name in names}
    samples = {k: catalogue_networks.draw_catalogue_sample(one, n, [16.0], seed) for k, one in alone.items()}
    everything = [np.concatenate([s.truth[k] for s in samples.values()]) for k in ("lg_age", "mh_mw")]
    for k, (name, sample) in enumerate(samples.items()):
        color = _LIBRARY_COLORS[k % len(_LIBRARY_COLORS)]
        grid[1, k].plot(*everything, ".", color="0.8", ms=1.5)
        grid[1, k].plot(sample.truth["lg_age"], sample.truth["mh_mw"], ".", color=color, ms=2)
        grid[1, k].set(xlabel=AXIS_WORDS["lg_age"], ylabel=AXIS_WORDS["mh_mw"])
        bins = np.linspace(everything[0].min(), everything[0].max(), 41)
        grid[0, k].hist(everything[0], bins, color="0.8")
        grid[0, k].hist(sample.truth["lg_age"], bins, color=color)
        grid[0, k].set_title(name)
    return figure


def plot_example_seds(source: PreparedPrior, seed: int = 8) -> Figure:
    """Figure 2: SEDs of 3 and 10 Gyr over their mean without much noise, and an old one at several magnitudes.

    Parameters
    ----------
    source : PreparedPrior
        Of an instrument of bands.
    seed : int

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    wave_aa = np.array([f.pivot_aa for f in make_band_filters(source.instrument)])
    bright = catalogue_networks.draw_catalogue_sample(source, 4000, [16.0], seed)
    for age_gyr, style in ((3.0, "--"), (10.0, "-")):
        distance = np.abs(bright.truth["lg_age"] - 9 - np.log10(age_gyr))
        for color, mh, ebv in (("tab:blue", -1.0, 0.0), ("tab:green", 0.0, 0.0), ("tab:red", 0.0, 0.5)):
            apart = distance + np.abs(bright.truth["mh_mw"] - mh) / 3 + np.abs(bright.truth["ebv"] - ebv)
            k = int(np.argmin(apart))
            flux = bright.observed.phot[k]
            age, metal, dust = (float(bright.truth[name][k]) for name in CATALOGUE_QUANTITIES)
            words = f"{10 ** (age - 9):.1f} Gyr, [M/H] {metal:+.1f}, E(B−V) {dust:.2f}"
            left.plot(wave_aa, flux / flux.mean(), style, color=color, lw=0.9, label=words)
    left.set(xlabel="wavelength [Å]", ylabel="f$_λ$ / mean", title="a younger and an old age")
    left.legend(fontsize=7)
    for magnitude in (16.0, 18.0, 20.0, 22.0):
        sample = catalogue_networks.draw_catalogue_sample(source, 2000, [magnitude], seed)
        k = int(np.argmin(np.abs(sample.truth["lg_age"] - 10.0) + sample.truth["ebv"]))
        flux, error = sample.observed.phot[k], sample.observed.phot_error[k]
        right.errorbar(wave_aa, flux, error, fmt=".-", ms=3, label=f"{magnitude:g} mag", lw=0.8)
    right.set(xlabel="wavelength [Å]", ylabel="f$_λ$ / median", title="an old population at several magnitudes")
    right.legend()
    return figure


def plot_predicted_ages(truth: F64, found: F64, title: str) -> Figure:
    """Figure 3: predicted against true log age, medians and scatter in bins, errors in three classes of age.

    Parameters
    ----------
    truth, found : array (N,)
        log10 of yr.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    low, high = float(truth.min()), float(truth.max())
    axes.hexbin(truth, found, gridsize=60, bins="log", extent=(low, high, low, high), mincnt=1, cmap="Greys")
    edges = np.linspace(low, high, 13)
    for a, b in pairwise(edges):
        mine = found[(truth >= a) & (truth < b)]
        if mine.size > 5:
            axes.errorbar(0.5 * (a + b), np.median(mine), mine.std(), fmt="o", color="red", ms=4)
    axes.plot([low, high], [low, high], color="black", lw=0.8)
    lines = []
    for a, b in pairwise(AGE_CLASS_EDGES):
        error = (found - truth)[(truth >= a) & (truth < b)]
        if error.size:
            words = f"below {b:g}" if a == AGE_CLASS_EDGES[0] else f"{a:g} to {b:g}"
            words = f"above {a:g}" if b == AGE_CLASS_EDGES[-1] else words
            lines.append(f"{words}: μ {error.mean():+.2f}, σ {error.std():.2f}".replace("-", "−"))
    axes.text(0.03, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)
    error = found - truth
    axes.set(xlabel=f"true {AXIS_WORDS['lg_age']}", ylabel="predicted", xlim=(low, high), ylim=(low, high))
    axes.set_title(f"{title}: μ {error.mean():+.3f}, σ {error.std():.3f}".replace("-", "−"), size=10)
    return figure


def plot_errors_by_snr(tables: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Figure 4: bias, scatter and outliers against S/N; ``tables`` are by magnitude, of each network."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    words = (("mean", "bias"), ("std", "scatter"), ("outliers", "share of outliers"))
    for axes, (key, title) in zip(figure.subplots(1, 3), words, strict=True):
        for (network, rows), style in zip(tables.items(), ("-", "--"), strict=False):
            snr = [convert_magnitude_to_snr(float(m)) for m in rows]
            for name in (k for k in AXIS_WORDS if k in next(iter(rows.values()))):
                values = [row[name][key] for row in rows.values()]
                axes.plot(
                    snr,
                    values,
                    style,
                    marker="o",
                    ms=4,
                    color=_COLORS[name],
                    label=f"{AXIS_WORDS[name]}, {network}",
                )
        axes.set(xscale="log", xlabel="S/N of a band, before its floor", title=title)
    figure.axes[0].legend(fontsize=7)
    return figure


def plot_catalogue_figures(
    source: PreparedPrior,
    sample: CatalogueSample,
    found: Mapping[str, F64],
    tables: Mapping[str, Mapping[str, Any]],
    age: str = "lg_age",
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of all four; ``found`` are the log ages of ``sample`` by each network.

    Parameters
    ----------
    source : PreparedPrior
    sample : CatalogueSample
        N objects.
    found : mapping of str to array (N,)
        Log ages of the sample by each network.
    tables : mapping
        Errors by S/N.
    age : str
        Which age it is, a key of the sample's truth.

    Returns
    -------
    iterator of (str, Figure)
    """
    yield "fig01-libraries", plot_library_grids(source)
    yield "fig02-seds", plot_example_seds(source)
    for name, ages in found.items():
        yield f"fig03-ages-{name}", plot_predicted_ages(sample.truth[age].astype(float), ages, name)
    yield "fig04-errors", plot_errors_by_snr(tables)
