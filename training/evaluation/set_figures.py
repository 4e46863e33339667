"""Page of plots of a synthetic set: what the network is shown, so what it believes before it has seen anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_sfh.errors import ComputeError
from napari_sfh.physics.ages import AGE_GYR, N_AGE, TIME_EDGES_GYR
from napari_sfh.physics.formation import sum_mass_from_oldest
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.libraries import filter_curves
from napari_sfh.training.simulator import stored_set
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import F64, Observation

#: Scalar labels, with axis titles.
SCALAR_AXIS_LABELS: dict[str, str] = {
    **{name: QUANTITIES[name].label for name in MEAN_NAMES},
    "tau_ism": r"$\tau_{\rm ISM}$",
    "tau_bc": r"$\tau_{\rm BC}$",
    "slope": "dust slope",
    "lg_ml_v": r"log $M/L_V$",
}
#: Vector labels, with axis titles.
_VECTORS = {"mass_frac": "mass fraction", "light_frac": "V-light fraction", "mh": "[M/H]"}
_SHOWN = 20_000


def plot_families(labels: Labels) -> Figure:
    """Cumulative mass against lookback time, one panel per family: some objects, the median and 16-84 %."""
    present = [k for k in range(len(labels.family_names)) if np.any(labels.family == k)]
    columns = min(4, len(present))
    rows = -(-len(present) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows), layout="constrained")
    for place, k in enumerate(present):
        axes = figure.add_subplot(rows, columns, place + 1)
        mass = labels.mass_frac[labels.family == k]
        older = sum_mass_from_oldest(mass)
        time = TIME_EDGES_GYR + 0.005
        axes.plot(time, older[:25].T, color="0.7", lw=0.6)
        low, middle, high = np.percentile(older, [16, 50, 84], axis=0)
        axes.fill_between(time, low, high, color="C0", alpha=0.25, lw=0)
        axes.plot(time, middle, color="C0", lw=2)
        axes.set(xscale="log", title=f"{labels.family_names[k]} ({len(mass)})", xlim=(0.005, 15), ylim=(0, 1.02))
        axes.set(xlabel="lookback time [Gyr]", ylabel="mass formed before")
    return figure


def compute_ab_magnitudes(data: Observation) -> F64:
    """AB magnitudes (N, B) of the bands on the scale of the normalised flux, NaN where masked."""
    pivots = np.array([band.pivot_aa for band in filter_curves.load_instrument_filters(data.instrument)[0]])
    flux = np.where(data.phot_mask, data.phot, np.nan)
    return -2.5 * np.log10(flux) - 5 * np.log10(pivots)


def plot_colour_coverage(data: Observation, labels: Labels) -> Figure:
    """Colour-colour coverage, by light-weighted age.

    Parameters
    ----------
    data : Observation
        N objects with bands.
    labels : Labels
        Of the same.

    Returns
    -------
    Figure
    """
    mag = compute_ab_magnitudes(data)
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    bands, last = data.instrument.band_names, data.instrument.n_bands - 1
    # Colours of the five bands of muse-hst; of more or fewer bands those in the like places.
    shown = (((0, 1), (3, 4)), ((1, 2), (2, 3)), ((0, 3), (2, 4)))
    pairs = [tuple((round(a * last / 4), round(b * last / 4)) for a, b in pair) for pair in shown]
    for place, ((a, b), (c, d)) in enumerate(pairs):
        axes = figure.add_subplot(1, len(pairs), place + 1)
        dots = axes.scatter(mag[:, c] - mag[:, d], mag[:, a] - mag[:, b], c=labels.lg_age_lw, s=1, cmap="turbo", lw=0)
        axes.set(xlabel=f"{bands[c]} - {bands[d]} [AB]", ylabel=f"{bands[a]} - {bands[b]} [AB]")
        for axis, values in (("x", mag[:, c] - mag[:, d]), ("y", mag[:, a] - mag[:, b])):
            low, high = np.nanpercentile(values, [0.3, 99.7])
            getattr(axes, f"set_{axis}lim")(low - 0.2, high + 0.2)
    figure.colorbar(dots, ax=figure.axes, label=SCALAR_AXIS_LABELS["lg_age_lw"])
    return figure


def plot_example_spectra(data: Observation, labels: Labels) -> Figure:
    """Eight spectra from the youngest to the oldest.

    Parameters
    ----------
    data : Observation
        N objects with a spectrum.
    labels : Labels
        Of the same.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(11, 13), layout="constrained")
    order = np.argsort(labels.lg_age_lw)
    wave_aa = data.instrument.wave_aa
    picked = order[(np.linspace(0.01, 0.99, 8) * (len(order) - 1)).astype(int)]
    for place, row in enumerate(picked):
        axes = figure.add_subplot(8, 1, place + 1)
        flux = np.where(data.mask[row], data.flux[row], np.nan)
        axes.plot(wave_aa, flux, lw=0.7)
        axes.fill_between(wave_aa, flux - data.error[row], flux + data.error[row], alpha=0.3, lw=0)
        # As the network sees it: linear for the continuum, logarithmic for lines far above it.
        axes.set_yscale("asinh", linear_width=1.0)
        axes.set(xlim=(wave_aa[0], wave_aa[-1]), ylim=(0, max(1.3, 1.1 * float(np.nanmax(flux)))))
        ticks = [t for t in (0, 0.5, 1, 2, 5, 10, 20, 50, 100) if t < axes.get_ylim()[1]]
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks], fontsize=7)
        axes.set_yticks([], minor=True)
        text = ", ".join(
            f"{SCALAR_AXIS_LABELS[k]} {getattr(labels, k)[row]:.2f}" for k in ("lg_age_lw", "mh_lw", "tau_ism")
        )
        name = labels.family_names[labels.family[row]]
        axes.set_title(f"{name}: {text}, S/N {data.snr[row]:.0f}", fontsize=9, loc="left")
    figure.axes[-1].set_xlabel("rest wavelength, air [Angstrom]")
    return figure


def plot_label_priors(labels: Labels) -> Figure:
    """Histogram of every scalar label, and the spread of every vector label over the age bins."""
    figure = Figure(figsize=(13, 14), layout="constrained")
    grid = figure.add_gridspec(4, 4)
    places = {"mass_frac": grid[2, :2], "light_frac": grid[2, 2:], "mh": grid[3, :2]}
    for place, (name, title) in enumerate(SCALAR_AXIS_LABELS.items()):
        axes = figure.add_subplot(grid[place // 4, place % 4])
        axes.hist(getattr(labels, name), bins=80, color="C0")
        axes.set(xlabel=title, yticks=[])
    for name, place_in_grid in places.items():
        axes = figure.add_subplot(place_in_grid)
        low2, low, middle, high, high2 = np.percentile(getattr(labels, name), [2.5, 16, 50, 84, 97.5], axis=0)
        x = np.arange(N_AGE)
        axes.fill_between(x, low2, high2, alpha=0.15, color="C1", lw=0, label="95 %")
        axes.fill_between(x, low, high, alpha=0.35, color="C1", lw=0, label="68 %")
        axes.plot(x, middle, color="C1", label="median")
        axes.plot(x, getattr(labels, name).mean(0), color="k", ls="--", label="mean")
        axes.set_xticks(x, [f"{a:.3g}" for a in AGE_GYR], rotation=60, fontsize=7)
        axes.set(ylabel=_VECTORS[name], xlabel="age [Gyr]")
        if name != "mh":
            axes.set_yscale("symlog", linthresh=1e-3)
            axes.set_ylim(-1e-4, 1)
        axes.legend(fontsize=7)
    return figure


def plot_label_corner(labels: Labels) -> Figure:
    """Every scalar label against every other."""
    names = list(SCALAR_AXIS_LABELS)
    figure = Figure(figsize=(13, 13))
    frame = {"left": 0.06, "right": 0.99, "bottom": 0.05, "top": 0.99, "wspace": 0.05, "hspace": 0.05}
    grid = figure.add_gridspec(len(names), len(names), **frame)
    limits = {n: np.percentile(getattr(labels, n), [0.2, 99.8]) + np.array([-1e-3, 1e-3]) for n in names}
    for i, yname in enumerate(names):
        for j, xname in enumerate(names[: i + 1]):
            axes = figure.add_subplot(grid[i, j])
            if i == j:
                axes.hist(getattr(labels, xname), bins=60, range=tuple(limits[xname]), color="C0")
                axes.set_yticks([])
            else:
                x, y = getattr(labels, xname), getattr(labels, yname)
                counts, *_ = np.histogram2d(x, y, bins=60, range=[limits[xname], limits[yname]])
                extent = (*limits[xname], *limits[yname])
                axes.imshow(np.log1p(counts.T), origin="lower", aspect="auto", extent=extent, cmap="Blues")
            if i == len(names) - 1:
                axes.set_xlabel(SCALAR_AXIS_LABELS[xname])
            else:
                axes.set_xticks([])
            if j == 0 and i > 0:
                axes.set_ylabel(SCALAR_AXIS_LABELS[yname])
            else:
                axes.set_yticks([])
    return figure


def write_set_page(folder: str | Path, output: str | Path | None = None, n: int = _SHOWN) -> Path:
    """Draw all plots of the set in ``folder``.

    Parameters
    ----------
    folder : path
        A finished set.
    output : path, optional
        Where the page goes; default ``plots`` in the set's folder.
    n : int
        Objects used.

    Returns
    -------
    Path
        The page, ``index.html``.

    Raises
    ------
    SfhInputError
        If there is no set.
    ComputeError
        If the plots cannot be written.
    """
    folder = Path(folder)
    output = Path(output) if output is not None else folder / "plots"
    data_set = stored_set.load_stored_set(folder, n)
    data, labels = data_set.data(), data_set.labels()
    pages: dict[str, tuple[str, Callable[[], Figure]]] = {
        "families": (
            "Star-formation histories by family. Grey: some objects; line and band: median and 16-84 %.",
            lambda: plot_families(labels),
        ),
        "colours": (
            "Colour-colour coverage, noise included. Real bins outside it are out of the network's depth.",
            lambda: plot_colour_coverage(data, labels),
        ),
        "spectra": (
            "Spectra from the youngest to the oldest, flux over its mean in 5300-5500 AA, with the error that the "
            "network sees; gaps are masked.",
            lambda: plot_example_spectra(data, labels),
        ),
        "priors": (
            "Prior of every label: the network's belief before it has seen anything. Ages are means over the bins' "
            "central ages: populations of one bin pile up at its centre.",
            lambda: plot_label_priors(labels),
        ),
        "corner": ("Labels against each other, logarithmic counts.", lambda: plot_label_corner(labels)),
    }
    prior = data_set.manifest["prior"]
    lines = [f"<!doctype html><title>{prior}</title><h1>Synthetic set: {prior}, {len(data_set)} objects shown</h1>"]
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, (title, make) in pages.items():
            figure = make()
            FigureCanvasAgg(figure).print_figure(output / f"{prior}-{name}.png", dpi=80)
            lines.append(f'<h2>{name}</h2><p>{title}</p><img src="{prior}-{name}.png" style="max-width:100%">')
        (output / "index.html").write_text("\n".join(lines), encoding="utf-8")
    except OSError as err:
        raise ComputeError(f"{output}: the plots cannot be written ({err.strerror}); choose another folder") from err
    return output / "index.html"
