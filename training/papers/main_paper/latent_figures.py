"""Figures 17-19 of Galceran et al. (2026): the latent vectors of test objects in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.papers.main_paper.measurements import PaperMeasurements
from napari_sfh.types import F64

#: Line and sidebands of the equivalent widths, Angstrom. That of Halpha holds [N II].
BALMER_AA = {
    "Hα": ((6530.0, 6600.0), ((6490.0, 6525.0), (6605.0, 6640.0))),
    "Hβ": ((4848.0, 4877.0), ((4828.0, 4848.0), (4877.0, 4892.0))),
}
#: Objects farther apart than this share of the plane's diagonal, with none between them, lie on different islands.
_LINK = 0.05
#: Panels side by side in figure 19.
_COLUMNS = 4


def plot_latent_means(m: PaperMeasurements, places: F64, names: tuple[str, str], method: str) -> Figure:
    """Two means over the plane, and the errors of both below: ages (figure 17) or metallicities (figure 18).

    Parameters
    ----------
    m : PaperMeasurements
    places : array (n, 2)
        Of the first n objects.
    names : (str, str)
        Two of the means.
    method : str
        By which the places were found.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(9, 7.6), layout="constrained")
    figure.suptitle(f"latent space, {method}", size=10)
    for column, name in enumerate(names):
        truth = m.main.truth[name][: len(places)]
        error = m.main.found[name][: len(places)] - truth
        low, high = np.nanpercentile(truth, [1, 99])
        size = float(np.nanpercentile(np.abs(error), 98))
        label = QUANTITIES[name].label
        for row, (values, title, colours, limits) in enumerate(
            ((truth, label, "turbo", (low, high)), (error, f"error of {label}", "coolwarm", (-size, size)))
        ):
            _draw_dots(figure, figure.add_subplot(2, 2, 1 + 2 * row + column), places, values, title, colours, limits)
    return figure


def plot_latent_dust_and_lines(m: PaperMeasurements, places: F64, method: str) -> Figure:
    """Optical depths and Balmer lines over the plane (figure 19); ours: S/N, what is missing, family and library.

    Parameters
    ----------
    m : PaperMeasurements
    places : array (n, 2)
        Of the first n objects.
    method : str
        By which the places were found.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n = len(places)
    shown = measure_island_properties(m, n)
    shown |= {"log τ BC": np.log10(np.maximum(m.main.truth["tau_bc"][:n], 1e-3))}
    classes = list_object_classes(m, n)
    shown = {k: v for k, v in shown.items() if k not in QUANTITIES and np.isfinite(v).any() and np.ptp(v) > 0}
    rows = -(-(len(shown) + len(classes)) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 3.5 * rows), layout="constrained")
    figure.suptitle(f"latent space, {method}; emission is positive", size=10)
    for k, (title, values) in enumerate(shown.items()):
        low, high = np.nanpercentile(values, [1, 99])
        axes = figure.add_subplot(rows, _COLUMNS, k + 1)
        _draw_dots(figure, axes, places, values, title, "turbo", (float(low), float(high)))
    for k, (title, (number, names)) in enumerate(classes.items()):
        axes = figure.add_subplot(rows, _COLUMNS, len(shown) + k + 1)
        for j, name in enumerate(names):
            mine = number == j
            axes.scatter(places[mine, 0], places[mine, 1], s=3, lw=0, label=name, rasterized=True)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, size=9)
        axes.legend(fontsize=5, markerscale=3, loc="best")
    return figure


def measure_island_properties(m: PaperMeasurements, n: int) -> dict[str, F64]:
    """What may set objects apart in the latent plane: means, dust, Balmer lines, S/N and what is missing.

    Parameters
    ----------
    m : PaperMeasurements
    n : int

    Returns
    -------
    dict of str to array (n,)
    """
    out: dict[str, F64] = {name: np.asarray(m.main.truth[name][:n], float) for name in MEAN_NAMES}
    out["τ ISM"] = np.asarray(m.main.truth["tau_ism"][:n], float)
    for name, (line, sides) in BALMER_AA.items():
        width = measure_line_width(m.data.flux[:n], m.data.mask[:n], m.data.instrument.wave_aa, line, sides)
        out[f"{name}, asinh of EW [Å]"] = np.arcsinh(width)
    out["log S/N"] = np.log10(np.maximum(np.asarray(m.data.snr[:n], float), 0.1))
    out["bands"] = m.data.phot_mask[:n].sum(1).astype(float)
    out["pixels missing"] = 1.0 - m.data.mask[:n].mean(1).astype(float)
    return out


def list_object_classes(m: PaperMeasurements, n: int) -> dict[str, tuple[NDArray[np.integer], tuple[str, ...]]]:
    """Number and names of the families and libraries of the first n objects, where there is more than one.

    Parameters
    ----------
    m : PaperMeasurements
    n : int
        Objects.

    Returns
    -------
    dict of str to (int array (n,), tuple of str)
        By title: class of each object, and the names of the classes.
    """
    classes = {
        "family": (np.asarray(m.labels.family)[:n], tuple(m.labels.family_names)),
        "library": (np.asarray(m.test_set.library)[:n], tuple(m.test_set.library_names)),
    }
    return {title: one for title, one in classes.items() if np.unique(one[0]).size > 1}


def _draw_dots(
    figure: Figure, axes: Any, places: F64, values: F64, title: str, colours: str, limits: tuple[float, float]
) -> None:
    dots = axes.scatter(*places.T, c=values, s=3, cmap=colours, vmin=limits[0], vmax=limits[1], lw=0, rasterized=True)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, size=9)
    figure.colorbar(dots, ax=axes, shrink=0.85)


def measure_line_width(
    flux: Any, mask: Any, wave_aa: F64, line: tuple[float, float], sides: tuple[tuple[float, float], ...]
) -> F64:
    """Equivalent width over a straight continuum between two sidebands.

    Parameters
    ----------
    flux : array (N, W)
    mask : bool array (N, W)
        True where a pixel is usable.
    wave_aa : array (W,)
        Angstrom.
    line : (float, float)
        Angstrom.
    sides : tuple of (float, float)
        Angstrom.

    Returns
    -------
    array (N,)
        Angstrom; emission is positive.
    """

    def pixels(limits: tuple[float, float]) -> Any:
        return (wave_aa >= limits[0]) & (wave_aa < limits[1])

    usable = np.where(mask, flux, np.nan).astype(np.float64)
    with np.errstate(invalid="ignore"):
        levels = [np.nanmean(usable[:, pixels(s)], axis=1) for s in sides if pixels(s).any()]
        middles = [0.5 * (lo + hi) for lo, hi in sides]
        inside = pixels(line)
        if not inside.any() or len(levels) < len(sides):
            return np.full(len(usable), np.nan)
        slope = (levels[1] - levels[0]) / (middles[1] - middles[0])
        continuum = levels[0][:, None] + slope[:, None] * (wave_aa[inside] - middles[0])
        step = np.gradient(wave_aa)[inside]
        return np.asarray(np.nansum((usable[:, inside] / continuum - 1) * step, axis=1))


def draw_latent_figures(m: PaperMeasurements) -> dict[int, Figure]:
    """Figures 17, 18 and 19."""
    return {
        17: plot_latent_means(m, m.places, ("lg_age_lw", "lg_age_mw"), m.projection),
        18: plot_latent_means(m, m.places, ("mh_lw", "mh_mw"), m.projection),
        19: plot_latent_dust_and_lines(m, m.places, m.projection),
    }


def measure_latent_islands(
    places: F64, classes: Mapping[str, tuple[NDArray[np.integer], tuple[str, ...]]], properties: Mapping[str, F64]
) -> list[dict[str, Any]]:
    """Pieces into which the latent plane falls, the largest first: size, what they hold most of, what sets them apart.

    Parameters
    ----------
    places : array (N, 2)
    classes : mapping
        Title to the number of each object's class (N,) and the names of all.
    properties : mapping of str to array (N,)

    Returns
    -------
    list of dict
        ``n`` and ``share``; of each class the commonest name, ``TITLE_share`` in the piece and ``TITLE_share_of_all``;
        ``apart``: for each property the chance that an object of the piece has more of it than one from elsewhere
        (0.5 says nothing), with both medians, the one that tells most first.
    """
    reach = _LINK * float(np.hypot(*np.ptp(places, axis=0)))
    pairs = cKDTree(places).query_pairs(reach, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(places), len(places)))
    piece = connected_components(graph, directed=False)[1]
    islands = []
    for k in np.argsort(-np.bincount(piece)):
        mine = piece == k
        island: dict[str, Any] = {"n": int(mine.sum()), "share": float(mine.mean())}
        for title, (number, names) in classes.items():
            counts = np.bincount(number[mine], minlength=len(names))
            most = int(np.argmax(counts))
            island |= {
                title: names[most],
                f"{title}_share": float(counts[most] / counts.sum()),
                f"{title}_share_of_all": float(np.mean(number == most)),
            }
        islands.append(island | {"apart": _compare_with_rest(mine, properties)})
    return islands


def _compare_with_rest(mine: NDArray[np.bool_], properties: Mapping[str, F64]) -> list[dict[str, Any]]:
    """What differs most between some objects and the others."""
    rows = []
    for name, values in properties.items():
        inside, outside = values[mine & np.isfinite(values)], values[~mine & np.isfinite(values)]
        if not inside.size or not outside.size:
            continue
        above = np.searchsorted(np.sort(outside), inside, "left") + np.searchsorted(np.sort(outside), inside, "right")
        chance = float(0.5 * above.mean() / outside.size)
        rows.append(
            {
                "property": name,
                "chance": chance,
                "here": float(np.median(inside)),
                "elsewhere": float(np.median(outside)),
            }
        )
    return sorted(rows, key=lambda row: -abs(row["chance"] - 0.5))
