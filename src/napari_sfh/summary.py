"""Figures without a screen: the page that a headless run leaves, and the comparison with a known truth.

Built on matplotlib's `Figure` alone (no pyplot, no global state), so that any thread may draw them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sfh import maps
from napari_sfh.compare import Scatter, Truth
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.wavelength import WAVE_AA
from napari_sfh.types import BANDS, Result


def robust_limits(values: NDArray[np.floating], low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Percentiles of the finite values, kept apart so that a constant map can be drawn."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lo, hi = np.percentile(finite, [low, high])
    return (float(lo), float(hi)) if hi - lo > 1e-6 else (float(lo) - 0.5, float(hi) + 0.5)


def page(result: Result) -> Figure:
    """One page of a run: white light, the four maps with errors, S/N, warning, and three bins' spectra and SFHs."""
    figure = Figure(figsize=(16, 16), layout="constrained")
    figure.suptitle(
        f"{result.name}   z = {result.redshift:.5f}   {result.bins.n_bins} bins   weights {result.model_name}",
        size=14,
    )
    grid = figure.add_gridspec(5, 12, height_ratios=[1.2, 1.2, 1.2, 0.9, 0.9])
    shown = ["AGE_LW", "AGE_MW", "MH_LW", "MH_MW"]
    for k, name in enumerate(shown):
        _map(figure, grid[0, 3 * k : 3 * k + 3], result, name)
        _map(figure, grid[1, 3 * k : 3 * k + 3], result, f"{name}_ERR")
    axes = figure.add_subplot(grid[2, 0:3])
    low, high = robust_limits(result.white)
    axes.imshow(np.clip(result.white, low, high), origin="lower", cmap="gray")
    axes.set(title="White light, 5300-5500 AA", xticks=[], yticks=[])
    for k, name in enumerate(["SNR", "OOD", "EBV"]):
        _map(figure, grid[2, 3 * k + 3 : 3 * k + 6], result, name)
    rows = _typical_bins(result)
    for k, row in enumerate(rows):
        _spectrum(figure.add_subplot(grid[3, 4 * k : 4 * k + 4]), result, row)
        _sfh(figure.add_subplot(grid[4, 4 * k : 4 * k + 4]), result, row)
    return figure


def truth_page(result: Result, truth: Truth, scatter: dict[str, Scatter]) -> Figure:
    """True | recovered | difference of the four means, with bias and scatter of the bins that count."""
    figure = Figure(figsize=(12, 15), layout="constrained")
    figure.suptitle(f"{result.name}: true, recovered, difference", size=14)
    axes = figure.subplots(4, 4, width_ratios=[1, 1, 1, 1])
    for row, (name, key) in zip(axes, maps.MEAN_MAPS.items()):
        spec = maps.MAPS[name]
        true = maps.paint(result.bins.bin_id, truth.means[key])
        recovered = maps.image(result, name)
        limits = robust_limits(np.concatenate([true.ravel(), recovered.ravel()]))
        for ax, image, title in ((row[0], true, "true"), (row[1], recovered, "recovered")):
            drawn = ax.imshow(image, origin="lower", cmap=spec.colormap, vmin=limits[0], vmax=limits[1])
            ax.set(title=f"{spec.title}, {title}", xticks=[], yticks=[])
        figure.colorbar(drawn, ax=list(row[:2]), label=spec.unit, shrink=0.8, location="left")
        drawn = row[2].imshow(recovered - true, origin="lower", cmap="RdBu_r", vmin=-0.3, vmax=0.3)
        row[2].set(title="recovered - true", xticks=[], yticks=[])
        figure.colorbar(drawn, ax=row[2], label="dex", shrink=0.8)
        _one_to_one(row[3], truth.means[key], result.prediction.median(key), result.data.snr, scatter[key])
    return figure


def save(figure: Figure, path: Path, dpi: int = 90) -> None:
    """Write a figure; the kind is that of the name's ending (png, pdf, svg)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)


def _map(figure: Figure, cell: Any, result: Result, name: str) -> None:
    axes = figure.add_subplot(cell)
    spec = maps.MAPS[name]
    image = maps.image(result, name)
    low, high = robust_limits(image)
    drawn = axes.imshow(image, origin="lower", cmap=spec.colormap, vmin=low, vmax=high)
    axes.set(title=spec.title, xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, label=spec.unit, shrink=0.8)


def _typical_bins(result: Result) -> list[int]:
    """The bins of the 90th, 50th and 10th percentile of brightness per spaxel, as rows."""
    level = np.nan_to_num(result.data.norm_cgs / np.maximum(result.bins.nspax, 1))
    order = np.argsort(level)[::-1]
    return [int(order[int(f * (order.size - 1))]) for f in (0.1, 0.5, 0.9)]


def _spectrum(axes: Any, result: Result, row: int) -> None:
    data = result.data
    flux = np.where(data.mask[row], data.flux[row], np.nan)
    axes.plot(WAVE_AA, flux, color="0.3", lw=0.6, label="observed")
    axes.plot(WAVE_AA, result.model_flux[row], color="tab:red", lw=0.8, label="model of the prediction")
    axes.plot(WAVE_AA, flux - result.model_flux[row], color="tab:blue", lw=0.5, label="residual")
    number = row + 1
    axes.set(
        title=f"bin {number}: S/N {data.snr[row]:.0f}, chi2 {result.chi2[row]:.2f}, OOD {result.prediction.ood[row]:.2f}",
        xlabel="rest wavelength (AA)",
        ylabel="normalised flux",
    )
    bands = " ".join(b for b, used in zip(BANDS, data.phot_mask[row]) if used) or "none"
    axes.legend(fontsize=7, title=f"bands: {bands}", title_fontsize=7)


def _sfh(axes: Any, result: Result, row: int) -> None:
    edges = np.maximum(AGE_EDGES_GYR, 0.004)
    q = result.prediction.quantiles["cum_mass"][row]
    axes.stairs(result.prediction.mass_frac[row], edges, fill=True, alpha=0.5, label="mass fraction")
    axes.plot(edges[1:], q[:, 2], color="tab:red", label="mass younger than")
    axes.fill_between(edges[1:], q[:, 1], q[:, 3], color="tab:red", alpha=0.2)
    axes.set(
        xscale="log",
        xlabel="lookback time (Gyr)",
        ylim=(0, 1.05),
        xlim=(0.004, 18),
        ylabel="fraction of mass",
    )
    axes.legend(fontsize=7)


def _one_to_one(
    axes: Any,
    true: NDArray[np.floating],
    recovered: NDArray[np.floating],
    snr: NDArray[np.floating],
    found: Scatter,
) -> None:
    drawn = axes.scatter(true, recovered, c=snr, s=6, cmap="cividis")
    low, high = robust_limits(np.concatenate([true, recovered]), 0, 100)
    axes.plot([low, high], [low, high], color="0.5", lw=0.8)
    axes.set(
        xlabel="true",
        ylabel="recovered",
        title=f"bias {found.bias:+.3f}  std {found.std:.3f}  (n = {found.n})",
    )
    axes.figure.colorbar(drawn, ax=axes, label="S/N", shrink=0.8)
