"""Figures 5 to 18 of Iglesias-Navarro (2023, MSc thesis, La Laguna) from a `percentile_measure.PercentileStudy`.

Figure 7 is the network, as text in `percentile_nets`. The thesis' stacks of Figs. 16-18 are not at hand: old galaxies
of the test set stand for them, in order of [M/H] where theirs are in order of velocity dispersion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.special import erf

from napari_sfh.physics.ages import UNIVERSE_GYR
from napari_sfh.physics.formation import FORMED_FRACTIONS
from napari_sfh.training.studies.percentiles.percentile_galaxies import (
    LABELS,
    MH_VALUES,
    reconstruct_from_percentiles,
)
from napari_sfh.training.studies.percentiles.percentile_measure import PercentileStudy, select_typical_galaxy
from napari_sfh.types import F32, F64, I64

#: Lines that Fig. 10 marks, Angstrom, and windows of two indices: band, blue and red continuum.
MARKED_LINES_AA = {"Hβ": 4861.0, "Mg": 5175.0, "NaD": 5893.0, "Hα": 6563.0}
INDEX_WINDOWS_AA = {
    "Hβ$_o$": ((4839.3, 4877.1), (4821.2, 4838.4), (4897.4, 4915.8)),
    "Mgb": ((5160.1, 5192.6), (5117.7, 5142.7), (5191.4, 5206.4)),
}
#: Per cent of the mass of the nine times.
_PER_CENT = 100 * np.array(FORMED_FRACTIONS)
_STACKS = 18
#: Names of the axes.
_AXIS_WORDS = {name: "[M/H]" if name == "mh" else f"{name} [Gyr]" for name in LABELS}


def plot_percentile_figures(study: PercentileStudy) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each."""
    latent = encode_latent(study)
    yield "fig05-populations", plot_populations(study)
    yield "fig06-histories", plot_histories(study)
    yield "fig08-losses", plot_losses(study)
    yield "fig09-latent-correlations", plot_latent_correlations(latent)
    yield "fig10-latent-wavelength", plot_latent_against_wavelength(study, latent)
    yield "fig11-umap", plot_latent_projection(study, latent)
    yield "fig12-growth", plot_growth_curves(study)
    yield "fig13-answers", plot_percentile_answers(study)
    yield "fig14-corner", plot_percentile_corner(study)
    yield "fig15-coverage", plot_gaussian_coverage(study)
    stacks = select_stacks(study)
    yield "fig16-stacks", plot_stack_growth(study, stacks)
    yield "fig17-three-stacks", plot_three_stacks(study, stacks)
    yield "fig18-reconstruction", plot_reconstructions(study, stacks)


@torch.inference_mode()
def encode_latent(study: PercentileStudy) -> F32:
    """Latent vectors (N, 16) of the tested galaxies."""
    return np.asarray(study.posterior.encoder.trunk(torch.from_numpy(study.inputs)).numpy(), np.float32)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def plot_populations(study: PercentileStudy) -> Figure:
    """Figure 5: single populations over their medians, by age at about solar [M/H] and by [M/H] at 8 Gyr."""
    g, figure = study.galaxies, _figure(12, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    solar, middle = int(np.argmin(np.abs(MH_VALUES - 0.06))), int(np.argmin(np.abs(g.ages_gyr - 8.0)))
    for axes, spectra, values, title in (
        (left, g.spectra_of_mh[solar], g.ages_gyr, f"[M/H] {MH_VALUES[solar]:.2f}, age [Gyr]"),
        (right, g.spectra_of_mh[:, middle], MH_VALUES, f"{g.ages_gyr[middle]:.0f} Gyr, [M/H]"),
    ):
        for k in np.linspace(0, len(values) - 1, 7).astype(int):
            axes.plot(g.wave_aa, spectra[k] / np.median(spectra[k]), lw=0.5, label=f"{values[k]:.2g}")
        axes.set(xlabel="wavelength [Å]", title=title, ylim=(0, None))
        axes.legend(fontsize=7)
    return figure


def plot_histories(study: PercentileStudy, n: int = 100) -> Figure:
    """Figure 6: histories over their mass, and their nine times against the share of the mass.

    Parameters
    ----------
    study : PercentileStudy
    n : int
        Histories that are drawn.

    Returns
    -------
    Figure
    """
    g, figure = study.galaxies, _figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    lookback = np.linspace(0.0, UNIVERSE_GYR, g.formed.shape[1])
    cosmic = UNIVERSE_GYR - lookback
    for formed, times in zip(g.formed[:n], g.times_gyr[:n], strict=True):
        left.plot(0.5 * (cosmic[1:] + cosmic[:-1]), -np.diff(formed) / np.diff(lookback), lw=0.3)
        right.plot(_PER_CENT, times, lw=0.3)
    left.set(xlabel="cosmic time [Gyr]", ylabel="SFR / mass [1/Gyr]", ylim=(0, 1))
    right.set(xlabel="mass formed [%]", ylabel="cosmic time [Gyr]")
    return figure


def plot_losses(study: PercentileStudy) -> Figure:
    """Figure 8: loss of encoder and flow, training and validation, against epoch."""
    figure = _figure(10, 3.8)
    for axes, (name, curve) in zip(figure.subplots(1, 2), study.posterior.curves.items(), strict=True):
        train, validation = np.array(curve).T
        axes.plot(train, label="training")
        axes.plot(validation, label="validation")
        scale = "log" if min(train.min(), validation.min()) > 0 else "linear"
        axes.set(xlabel="epoch", title=f"{name}: loss", yscale=scale)
        axes.legend()
    return figure


def plot_latent_correlations(latent: F32) -> Figure:
    """Figure 9: correlation matrix of the latent numbers.

    Parameters
    ----------
    latent : array (N, L)

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(5.5, 4.8)
    axes = figure.subplots()
    image = axes.imshow(np.corrcoef(latent.T), vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set(title="Pearson correlation of the latent numbers")
    figure.colorbar(image)
    return figure


def plot_latent_against_wavelength(study: PercentileStudy, latent: F32, n: int = 1500) -> Figure:
    """Figure 10: absolute correlation of the first latent numbers with the flux at each wavelength.

    Parameters
    ----------
    study : PercentileStudy
    latent : array (N, L)
        Of the study's rows.
    n : int
        Spectra that are taken.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(9, 7)
    flux = study.galaxies.spectra(study.rows[:n]).astype(np.float64)
    flux = (flux - flux.mean(0)) / np.maximum(flux.std(0), 1e-9)
    wave = study.galaxies.wave_aa
    lines = {name: line for name, line in MARKED_LINES_AA.items() if wave[0] <= line <= wave[-1]}
    for k, axes in enumerate(figure.subplots(4, 1, sharex=True)):
        z = latent[: len(flux), k].astype(np.float64)
        z = (z - z.mean()) / max(float(z.std()), 1e-9)
        axes.plot(wave, np.abs(z @ flux) / len(flux), lw=0.5, color="black")
        axes.set(ylabel=f"|r| of z{k + 1}", ylim=(0, 1))
        for name, line in lines.items():
            axes.axvline(line, color="tab:red", lw=0.6)
            if k == 0:
                axes.text(line, 1.02, name, color="tab:red", ha="center", va="bottom", fontsize=8)
    axes.set_xlabel("wavelength [Å]")
    return figure


def measure_index(wave_aa: F64, flux: F32, windows: tuple[tuple[float, float], ...]) -> F64:
    """Equivalent width of an index: a band, and a line through the means of two continuum windows.

    Parameters
    ----------
    wave_aa : array (W,)
        Angstrom.
    flux : array (N, W)
    windows : tuple of three (float, float)
        Band, blue and red window, Angstrom.

    Returns
    -------
    array (N,)
        Angstrom.
    """
    band, blue, red = ((wave_aa >= lo) & (wave_aa <= hi) for lo, hi in windows)
    at = [float(wave_aa[w].mean()) for w in (blue, red)]
    level = [flux[:, w].mean(1, keepdims=True) for w in (blue, red)]
    continuum = level[0] + (level[1] - level[0]) * (wave_aa[band] - at[0]) / (at[1] - at[0])
    return np.asarray(np.trapezoid(1 - flux[:, band] / continuum, wave_aa[band], axis=1), np.float64)


def plot_latent_projection(study: PercentileStudy, latent: F32, n: int = 3000) -> Figure:
    """Figure 11: two-dimensional map of the latent vectors, coloured by times, [M/H] and indices.

    Parameters
    ----------
    study : PercentileStudy
    latent : array (N, L)
        Of the study's rows.
    n : int
        Spectra that are taken.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from napari_sfh.training.evaluation.report_figures import compute_latent_projection

    figure = _figure(16, 3.4)
    place, method = compute_latent_projection(latent[:n].astype(np.float64))
    flux, wave = study.galaxies.spectra(study.rows[:n]), study.galaxies.wave_aa
    values: dict[str, Any] = {f"t{p} [Gyr]": study.truth[:n, p // 10 - 1] for p in (10, 90)}
    values["[M/H]"] = study.truth[:n, -1]
    values |= {f"{name} [Å]": measure_index(wave, flux, windows) for name, windows in INDEX_WINDOWS_AA.items()}
    for axes, (name, value) in zip(figure.subplots(1, len(values)), values.items(), strict=True):
        low, high = np.percentile(value, [2, 98])
        points = axes.scatter(*place.T, c=value, s=2, vmin=low, vmax=high, cmap="viridis", rasterized=True)
        axes.set(title=name, xticks=[], yticks=[])
        figure.colorbar(points, ax=axes)
    figure.suptitle(method, size=9)
    return figure


def plot_growth_curves(study: PercentileStudy) -> Figure:
    """Figure 12: growth of four galaxies: truth, median, 1 and 2 sigma."""
    figure = _figure(9, 6.5)
    chosen = np.linspace(0, len(study.rows) - 1, 4).astype(int)
    for axes, k in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, chosen, strict=True):
        _draw_growth(axes, study, int(k), "tab:blue", truth=True)
        axes.set_title(f"[M/H] {study.truth[k, -1]:+.2f}, read {np.median(study.draws[k, :, -1]):+.2f}", size=9)
        axes.set(xlabel="cosmic time [Gyr]", ylabel="mass formed [%]", xlim=(0, UNIVERSE_GYR))
    return figure


def _draw_growth(axes: Any, study: PercentileStudy, k: int, color: Any, truth: bool = False) -> None:
    q = np.quantile(study.draws[k, :, :-1], [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
    for low, high in ((0, 4), (1, 3)):
        axes.fill_betweenx(_PER_CENT, q[low], q[high], color=color, alpha=0.25, lw=0)
    axes.plot(q[2], _PER_CENT, "--", color=color)
    if truth:
        axes.plot(study.truth[k, :-1], _PER_CENT, color="black")


def plot_percentile_answers(study: PercentileStudy) -> Figure:
    """Figure 13: medians against truth."""
    figure = _figure(15, 4)
    found = np.median(study.draws, axis=1)
    for axes, name in zip(figure.subplots(1, 4), ("t10", "t50", "t90", "mh"), strict=True):
        k = LABELS.index(name)
        x, y = study.truth[:, k].astype(float), found[:, k].astype(float)
        r2 = 100 * (1 - np.mean((y - x) ** 2) / np.var(x))
        axes.hexbin(x, y, gridsize=50, bins="log", mincnt=1, cmap="Blues")
        axes.plot([x.min(), x.max()], [x.min(), x.max()], color="red", lw=0.8)
        axes.set(xlabel=f"true {_AXIS_WORDS[name]}", ylabel="median", title=f"100 R$^2$ = {r2:.2f}")
    return figure


def plot_percentile_corner(study: PercentileStudy) -> Figure:
    """Figure 14: the posterior of one typical galaxy, all quantities, with the truth."""
    n, k = len(LABELS), select_typical_galaxy(study.draws, study.truth)
    figure = _figure(13, 13)
    grid = figure.subplots(n, n)
    for i in range(n):
        for j in range(n):
            axes = grid[i, j]
            axes.tick_params(labelsize=6, labelbottom=i == n - 1, labelleft=j == 0 and i > 0)
            if j > i:
                axes.set_visible(False)
            elif i == j:
                axes.hist(study.draws[k, :, i], 20, color="0.6")
                axes.axvline(study.truth[k, i], color="red")
            else:
                axes.plot(study.draws[k, :, j], study.draws[k, :, i], ".", ms=1, color="black")
                axes.plot(study.truth[k, j], study.truth[k, i], "+", color="red")
            if i == n - 1:
                axes.set_xlabel(_AXIS_WORDS[LABELS[j]], size=8)
            if j == 0 and i > 0:
                axes.set_ylabel(_AXIS_WORDS[LABELS[i]], size=8)
    return figure


def plot_gaussian_coverage(study: PercentileStudy) -> Figure:
    """Figure 15: share of truths within k standard deviations against that of a normal distribution; joint coverage."""
    from napari_sfh.training.studies.percentiles.percentile_measure import measure_draw_joint_coverage

    figure = _figure(10, 4.6)
    left, right = figure.subplots(1, 2)
    k = np.arange(0, 3.001, 0.01)
    away = np.abs(study.truth - study.draws.mean(1)) / np.maximum(study.draws.std(1), 1e-9)
    for i, name in enumerate(LABELS):
        left.plot(erf(k / np.sqrt(2)), [(away[:, i] <= x).mean() for x in k], lw=0.8, label=name)
    left.legend(fontsize=6, ncols=2)
    joint = measure_draw_joint_coverage(study.draws, study.truth)
    right.plot(joint["nominal"], joint["true"], color="black")
    for axes, title in ((left, "one by one"), (right, "all together (TARP)")):
        axes.plot([0, 1], [0, 1], "--", color="red", lw=0.8)
        axes.set(xlabel="nominal", ylabel="true", title=title)
    return figure


def select_stacks(study: PercentileStudy) -> I64:
    """Positions among the tested galaxies of old ones, from metal-poor to metal-rich."""
    old = np.argsort(study.truth[:, LABELS.index("t50")])[: 4 * _STACKS]
    order = old[np.argsort(study.truth[old, -1])]
    return np.asarray(order[np.linspace(0, len(order) - 1, min(_STACKS, len(order))).astype(int)], np.int64)


def plot_stack_growth(study: PercentileStudy, stacks: I64) -> Figure:
    """Figure 16: median growth of the stacks, coloured by [M/H].

    Parameters
    ----------
    study : PercentileStudy
    stacks : int array (K,)
        Rows of the study, by [M/H].

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib

    figure = _figure(6.5, 4.6)
    axes = figure.subplots()
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 1, len(stacks)))
    for k, color in zip(stacks, colors, strict=True):
        axes.plot(np.median(study.draws[k, :, :-1], axis=0), _PER_CENT, color=color, lw=1)
    axes.set(xlabel="cosmic time [Gyr]", ylabel="mass formed [%]", title="old galaxies, metal-poor (blue) to rich")
    return figure


def plot_three_stacks(study: PercentileStudy, stacks: I64) -> Figure:
    """Figure 17: growth of three of them with 2 sigma, and the truth in the place of another method's.

    Parameters
    ----------
    study : PercentileStudy
    stacks : int array (K,)
        Rows of the study, by [M/H].

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(13, 4)
    chosen = stacks[np.linspace(0, len(stacks) - 1, 3).astype(int)]
    for axes, k in zip(figure.subplots(1, 3, sharey=True), chosen, strict=True):
        _draw_growth(axes, study, int(k), "tab:blue", truth=True)
        words = f"[M/H] {np.median(study.draws[k, :, -1]):+.2f} ± {study.draws[k, :, -1].std():.2f}"
        axes.set(xlabel="cosmic time [Gyr]", title=f"{words}, true {study.truth[k, -1]:+.2f}")
    figure.axes[0].set_ylabel("mass formed [%]")
    return figure


def plot_reconstructions(study: PercentileStudy, stacks: I64) -> Figure:
    """Figure 18: the same three spectra rebuilt from nine populations, with residuals.

    Parameters
    ----------
    study : PercentileStudy
    stacks : int array (K,)
        Rows of the study, by [M/H].

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(11, 10)
    grid = figure.subplots(6, 1, sharex=True, height_ratios=[3, 1] * 3)
    wave = study.galaxies.wave_aa
    for i, k in enumerate(stacks[np.linspace(0, len(stacks) - 1, 3).astype(int)]):
        seen = study.galaxies.spectra(study.rows[k : k + 1])[0]
        draws = [reconstruct_from_percentiles(study.galaxies, d[:-1], float(d[-1])) for d in study.draws[k, :60]]
        middle = np.median(study.draws[k], axis=0)
        made = reconstruct_from_percentiles(study.galaxies, middle[:-1], float(middle[-1]))
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        grid[2 * i].fill_between(wave, low, high, color="0.8", lw=0)
        grid[2 * i].plot(wave, seen, color="red", lw=0.5)
        grid[2 * i].plot(wave, made, color="tab:blue", lw=0.5)
        residual = 100 * (made / seen - 1)
        size = np.abs(residual)
        grid[2 * i].set_title(f"residual: mean {size.mean():.1f} %, worst {size.max():.1f} %", size=9)
        grid[2 * i + 1].plot(wave, residual, color="tab:blue", lw=0.5)
        grid[2 * i + 1].axhline(0, color="black", lw=0.5)
        grid[2 * i + 1].set_ylabel("[%]")
    grid[-1].set_xlabel("wavelength [Å]")
    return figure
