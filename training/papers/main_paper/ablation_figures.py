"""Figures 9-12 and 21-26 of Galceran et al. (2026): what bands and segments of the spectrum are worth, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_sfh.physics.lines import HALPHA_AA, HBETA_AA
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.evaluation.ablation import ALL_INPUT, LINE_REGIONS_AA, list_segments
from napari_sfh.training.papers.main_paper.measurements import AblationTest, Means, PaperMeasurements
from napari_sfh.types import F64

#: Bins along the true value, and objects below which a bin is not drawn.
_N_BINS, _MIN_OBJECTS = 9, 12
#: Changes that leave so little that they would set the scale of all panels.
_EXTREME = ("no spectrum", "flat continuum", "all bands permuted")
#: Colour and legend of each kind of change.
_KIND_STYLES = {"masked": ("tab:blue", "masked"), "permuted": ("tab:red", "values of other objects")}
#: Balmer lines that titles name, Angstrom.
_BALMER_AA = {"Hβ": HBETA_AA, "Hα": HALPHA_AA}
#: Absorption features (Worthey et al. 1994, ApJS 94, 687), Angstrom.
LICK_AA: Mapping[str, tuple[float, float]] = {
    "Hβ": (4847.9, 4876.6), "Mg b": (5160.1, 5192.6), "Fe5270": (5245.7, 5285.7), "Fe5335": (5312.1, 5352.1),
    "Fe5406": (5387.5, 5415.0), "Fe5709": (5696.6, 5720.4), "Fe5782": (5776.6, 5796.6), "Na D": (5876.9, 5909.4),
    "TiO1": (5936.6, 5994.1), "TiO2": (6189.6, 6272.1),
}  # fmt: skip


def plot_ablation(test: AblationTest, mean: str, changes: list[str], title: str) -> Figure:
    """Error of a mean against its true value: each change in a panel, permuted and masked, beside the whole input.

    Parameters
    ----------
    test : AblationTest
    mean : str
        One of the four.
    changes : list of str
        Names of `AblationTest.found`.
    title : str
    """
    columns = 4
    rows = -(-len(changes) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.5 * rows + 0.4), layout="constrained")
    figure.suptitle(f"{title}: {QUANTITIES[mean].title}", size=11)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    edges = np.quantile(test.truth[mean], np.linspace(0.005, 0.995, _N_BINS + 1))
    for axes, change in zip(grid.flat, changes):
        for kind in _list_drawn_kinds(test, change):
            colour, label = _KIND_STYLES[kind]
            _draw_running_errors(axes, test.found[kind][change], test.truth, mean, edges, colour, label)
        _draw_running_errors(axes, test.found["permuted"][ALL_INPUT], test.truth, mean, edges, "k", ALL_INPUT)
        axes.axhline(0, color="0.6", lw=0.6)
        axes.set_title(_title_change(change), size=9)
    for axes in grid.flat[len(changes) :]:
        axes.set_visible(False)
    _share_limits([a for a, change in zip(grid.flat, changes) if change not in _EXTREME])
    _label_panels(grid, QUANTITIES[mean].label)
    grid[0, 0].legend(fontsize=7)
    return figure


def _list_drawn_kinds(test: AblationTest, change: str) -> list[str]:
    """Kinds of a change; photometry that is absent is masked, under whichever kind it was measured."""
    kinds = [kind for kind in _KIND_STYLES if change in test.found[kind]]
    return kinds[:1] if change == "no photometry" else kinds


def _title_change(change: str) -> str:
    """A panel's title: what is missing, and which Balmer line with it."""
    names = {"no spectrum": "all pixels permuted", "flat continuum": "continuum subtracted"}
    words = change.removeprefix("without ")
    low, dash, high = words.partition("-")
    if not (dash and low.isdigit() and high.isdigit()):
        return names.get(change, change)
    lines = [name for name, line in _BALMER_AA.items() if int(low) <= line < int(high)]
    return f"without {low}-{10 * (int(high) // 10)} Å" + "".join(f" ({name})" for name in lines)


def _label_panels(grid: Any, label: str) -> None:
    """Names of the axes: the true value below the lowest panel of each column, the error left of each row."""
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1:]
        for axes in lowest:
            axes.set_xlabel(f"true {label}", size=8)
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("predicted − true [dex]", size=8)


def _share_limits(panels: list[Any]) -> None:
    """One range of errors for the panels of single bands and segments; extreme changes keep their own."""
    limits = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _draw_running_errors(axes: Any, found: Means, truth: Means, mean: str, edges: F64, colour: str, label: str) -> None:
    """Median and 16-84 % of the errors in bins of the truth."""
    x, error = truth[mean], found[mean] - truth[mean]
    number = np.digitize(x, edges) - 1
    places: list[float] = []
    low: list[float] = []
    middle: list[float] = []
    high: list[float] = []
    for k in range(len(edges) - 1):
        rows = (number == k) & np.isfinite(error)
        if rows.sum() >= _MIN_OBJECTS:
            places.append(float(np.median(x[rows])))
            for values, q in ((low, 16), (middle, 50), (high, 84)):
                values.append(float(np.percentile(error[rows], q)))
    axes.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
    axes.plot(places, middle, "o-", color=colour, ms=2.5, lw=1, label=label)


def list_band_changes(test: AblationTest, bands: tuple[str, ...]) -> list[str]:
    """Changes of the photometry, in order.

    Parameters
    ----------
    test : AblationTest
    bands : tuple of str
        Of the instrument.

    Returns
    -------
    list of str
        Those that were measured.
    """
    names = [f"without {band}" for band in bands] + ["no photometry", "all bands permuted", "no spectrum"]
    return [n for n in names if n in test.found["permuted"]]


def list_segment_changes(test: AblationTest, wave_aa: F64) -> list[str]:
    """Changes of the spectrum, in order; a line's region that is one of the segments is not told twice.

    Parameters
    ----------
    test : AblationTest
    wave_aa : array (W,)
        Angstrom.

    Returns
    -------
    list of str
    """
    segments = list_segments(wave_aa)
    names = [f"without {lo:.0f}-{hi:.0f}" for lo, hi in segments]
    names += [f"without {line}" for line, limits in LINE_REGIONS_AA.items() if limits not in segments]
    return [n for n in [*names, "flat continuum", "no spectrum"] if n in test.found["permuted"]]


def plot_segments(m: PaperMeasurements) -> Figure:
    """Spectra of three ages with the segments of the ablation and the Lick indices (figure 21)."""
    wave = m.data.instrument.wave_aa
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for k, (row, label) in enumerate(_pick_three_ages(m)):
        flux = np.where(m.data.mask[row], m.data.flux[row], np.nan)
        axes.plot(wave, np.clip(flux, None, 2.2) + 0.9 * k, lw=0.6, color=f"C{k}", label=label)
    for lo, hi in list_segments(wave):
        axes.axvline(lo, color="0.5", lw=0.6, ls="--")
        words = f"{lo:.0f}-{min(hi, wave[-1]):.0f}"
        axes.text(0.5 * (lo + hi), 0.02, words, size=9, ha="center", transform=axes.get_xaxis_transform())
    for name, (lo, hi) in LICK_AA.items():
        if lo > wave[0] and hi < wave[-1]:
            axes.axvspan(lo, hi, color="tab:purple", alpha=0.15, lw=0)
            middle = 0.5 * (lo + hi)
            axes.text(
                middle, 0.98, name, size=9, rotation=90, ha="center", va="top", transform=axes.get_xaxis_transform()
            )
    axes.set(xlabel="rest wavelength [Å]", ylabel="flux over its mean in the window + offset", xlim=(wave[0], wave[-1]))
    axes.set_ylim(axes.get_ylim()[0] - 0.1, axes.get_ylim()[1] + 0.5)  # room for the names
    axes.legend(fontsize=9, loc="upper right")
    return figure


def plot_band_curves(m: PaperMeasurements) -> Figure:
    """Transmission of the bands and the spectrum's range, over the light of three ages (figure 22)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    for k, band in enumerate(m.bundle.filters):
        curve = band.throughput / np.max(band.throughput)
        axes.fill_between(band.wave_aa, curve, color=f"C{k}", alpha=0.25, lw=0)
        axes.text(band.pivot_aa, 1.02, band.name, size=8, ha="center", color=f"C{k}")
    wave = m.data.instrument.wave_aa
    axes.axvspan(wave[0], wave[-1], color="0.9", zorder=0, label="spectrum")
    basis = m.bundle.basis
    if basis is not None:
        sed_wave = basis.sed_wave_aa
        shown = (sed_wave > 2000) & (sed_wave < 10_000)
        middle = int(np.argmin(np.abs(basis.mh)))
        for a, style in ((1, "-"), (9, "--"), (14, ":")):
            light = basis.sed[a, middle][shown]
            age = 0.5 * (basis.age_edges_gyr[a] + basis.age_edges_gyr[a + 1])
            axes.plot(sed_wave[shown], light / light.max(), "k", ls=style, lw=0.8, label=f"{age:.2g} Gyr")
    axes.set(xlabel="wavelength [Å]", ylabel="transmission, flux (each over its largest)", xlim=(2000, 10_000))
    axes.set_ylim(0, 1.12)
    axes.legend(fontsize=8, loc="center right")
    return figure


def _pick_three_ages(m: PaperMeasurements) -> list[tuple[int, str]]:
    """A young, an intermediate and an old object with the best S/N."""
    age = np.asarray(m.labels.lg_age_lw, float)
    picked = []
    for lo, hi in ((7.0, 8.3), (8.7, 9.2), (9.8, 10.3)):
        rows = np.flatnonzero((age > lo) & (age < hi))
        if rows.size:
            row = int(rows[np.argmax(m.data.snr[rows])])
            picked.append((row, f"log age {age[row]:.1f}, [M/H] {m.labels.mh_lw[row]:+.2f}"))
    return picked
