"""What the spaxel network reaches, after Liew-Cain et al. (2021, MNRAS 502, 1355), sections 3 and 4.

Every spaxel is tested once by a network that was trained on the three other parts, for set A and for set B
(`narrow_galaxies`); gradients of every galaxy from labels and from answers by the paper's bootstrap; the answers'
errors against properties of the galaxies; networks of one class of galaxies applied to the other; the scatter against
the number of galaxies; a random search over the network's sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis import gradients
from napari_sfh.analysis.comparison.map_comparison import measure_scatter
from napari_sfh.analysis.disc import Disc
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.training.studies.narrow_bands import narrow_galaxies
from napari_sfh.training.studies.narrow_bands.narrow_galaxies import EARLY_LG_SSFR, MockSpaxels, Split
from napari_sfh.training.studies.narrow_bands.narrow_nets import (
    Regressor,
    RegressorFitSettings,
    SpaxelCnn,
    SpaxelCnnSettings,
    train_regressor,
)
from napari_sfh.types import F32, F64, I64, Progress

#: What a spaxel's network reads, and the gradient tool's name for it.
SPAXEL_QUANTITIES = {"lg_age": "AGE_LW", "mh": "MH_LW"}
SPAXEL_SETS: tuple[Split, ...] = ("A", "B")
#: What the paper prints: robust std of log age and [M/H], and of their gradients per R_e.
PAPER_SCATTER = {"A": {"lg_age": 0.03, "mh": 0.03}, "B": {"lg_age": 0.14, "mh": 0.16}}
PAPER_GRADIENT_SCATTER = {"A": {"lg_age": 0.02, "mh": 0.02}, "B": {"lg_age": 0.15, "mh": 0.16}}
#: Shares of the whole that the learning curve trains on, and galaxies of a bin of the trends.
LEARNING_SHARES = (0.05, 0.1, 0.2, 0.4, 0.75)
_TREND_GALAXIES = 16
#: Small training sets see their objects up to so many times as often: as many steps, and their own stop.
_MOST_REPEATS = 15
#: Share of the training objects that decides when to stop, one in so many.
_VALIDATION = 5
#: Spaxels within the effective radius that a galaxy needs for a gradient, and beyond it.
_INSIDE, _OUTSIDE = 25, 1
#: What the search chooses from (the authors' ranges).
SEARCH_SPACE: dict[str, tuple[int, ...]] = {
    "channels": (8, 16, 20, 32, 64),
    "kernels": (6, 8, 10, 12),
    "pool": (2, 4, 8),
    "hidden": (25, 30, 40),
    "batch": (32, 64, 128),
}


@dataclass(frozen=True)
class SpaxelTestSettings:
    """Network and optimisation."""

    network: SpaxelCnnSettings = field(default_factory=SpaxelCnnSettings)
    fit: RegressorFitSettings = field(default_factory=lambda: RegressorFitSettings(epochs=80, batch=128))
    seed: int = 5


@dataclass(frozen=True)
class SetAnswers:
    """Answers of one set: of each quantity (N,), the part that tested a spaxel (N,), curves of the first network."""

    found: dict[str, F32]
    part: I64
    curves: dict[str, list[tuple[float, float]]]


def summarise_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, Any]:
    """Bias (median), std and NMAD.

    Parameters
    ----------
    found, truth : array (N,)
        Of one unit.

    Returns
    -------
    dict
        ``n``, and ``bias`` (median), ``std`` and ``nmad`` in that unit.
    """
    s = measure_scatter(found, truth)
    return {"n": s.n, "bias": float(s.bias), "std": float(s.std), "nmad": float(s.nmad)}


def predict_held_out_folds(
    made: MockSpaxels, kind: Split, settings: SpaxelTestSettings, progress: ReportProgress | None = None
) -> SetAnswers:
    """Answers for every spaxel, each by networks that did not see its part.

    Parameters
    ----------
    made : MockSpaxels
    kind : Split
    settings : SpaxelTestSettings
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    SetAnswers
    """
    parts = narrow_galaxies.split_folds(made, kind, settings.seed)
    number = np.zeros(made.galaxy.size, np.int64)
    found = {q: np.full(made.galaxy.size, np.nan, np.float32) for q in SPAXEL_QUANTITIES}
    curves: dict[str, list[tuple[float, float]]] = {}
    for k, test in enumerate(parts):
        report_progress(Progress(f"set {kind}", k, len(parts)), progress)
        number[test] = k
        rest = np.concatenate([p for j, p in enumerate(parts) if j != k])
        for name in SPAXEL_QUANTITIES:
            net = fit_spaxel_network(made, name, rest, kind, settings, settings.seed + k)
            found[name][test] = net.predict(made.flux[test])
            curves.setdefault(name, net.curve)
    return SetAnswers(found, number, curves)


def fit_spaxel_network(
    made: MockSpaxels, name: str, rows: I64, kind: Split, settings: SpaxelTestSettings, seed: int
) -> Regressor:
    """A network for one quantity on some spaxels; a fifth of them, whole galaxies in set B, decide when to stop.

    Parameters
    ----------
    made : MockSpaxels
    name : str
        Of the quantity.
    rows : int array (n,)
    kind : Split
    settings : SpaxelTestSettings
    seed : int

    Returns
    -------
    Regressor
    """
    fit_on, stop_on = split_for_stopping(made, rows, kind, seed)
    label = getattr(made, name)
    return train_regressor(
        lambda n_bands: SpaxelCnn(n_bands, settings.network),
        made.flux[fit_on],
        label[fit_on],
        (made.flux[stop_on], label[stop_on]),
        replace(settings.fit, seed=seed),
    )


def split_for_stopping(made: MockSpaxels, rows: I64, kind: Split, seed: int) -> tuple[I64, I64]:
    """Rows to fit and rows to stop by: spaxels in set A, whole galaxies in set B.

    Parameters
    ----------
    made : MockSpaxels
    rows : int array (n,)
    kind : Split
    seed : int

    Returns
    -------
    fit, stop : int array
        Row numbers.
    """
    rng = np.random.default_rng([seed, 34])
    unit = made.galaxy[rows] if kind == "B" else np.arange(len(rows))
    numbers = rng.permutation(np.unique(unit))
    held = np.isin(unit, numbers[: max(1, numbers.size // _VALIDATION)])
    return rows[~held], rows[held]


def measure_set(made: MockSpaxels, answers: SetAnswers) -> dict[str, Any]:
    """Errors of both quantities against labels and, where the labels are no truth, against that; and gradients.

    Parameters
    ----------
    made : MockSpaxels
    answers : SetAnswers

    Returns
    -------
    dict
    """
    out: dict[str, Any] = {}
    for name in SPAXEL_QUANTITIES:
        label = getattr(made, name)
        table = summarise_errors(answers.found[name], label)
        if name in made.truth and made.truth[name] is not label:
            table["against_truth"] = summarise_errors(answers.found[name], made.truth[name])
        pairs = measure_galaxy_gradients(made, name, answers.found[name])
        if len(pairs):
            table["gradient"] = summarise_errors(pairs[:, 0], pairs[:, 2]) | {"spread": float(pairs[:, 2].std())}
        out[name] = table
    errors = [answers.found[name] - getattr(made, name) for name in SPAXEL_QUANTITIES]
    out["correlation"] = float(np.corrcoef(*errors)[0, 1])
    return out


def measure_galaxy_gradients(made: MockSpaxels, name: str, found: F32) -> F64:
    """Gradients of the galaxies with enough spaxels.

    Parameters
    ----------
    made : MockSpaxels
        N spaxels.
    name : str
        Of the quantity.
    found : array (N,)
        Answers.

    Returns
    -------
    array (G, 4)
        Slope per R_e and its error from answers, then from labels.
    """
    disc = Disc(ra_deg=0.0, dec_deg=0.0, pa_deg=0.0, inclination_deg=0.0, r_e_arcsec=1.0)
    rows = []
    for g in np.unique(made.galaxy):
        mine = made.galaxy == g
        r = made.r[mine].astype(float)
        if (r < 1).sum() < _INSIDE or (r > 1).sum() < _OUTSIDE:
            continue
        slopes: list[float] = []
        for values in (found, getattr(made, name)):
            value = values[mine].astype(float)
            data = gradients.RadialProfile(SPAXEL_QUANTITIES[name], disc, r, value, np.zeros(value.size))
            slopes += gradients.fit_subsampled_gradient(data)
        rows.append(slopes)
    return np.array(rows).reshape(-1, 4)


def measure_galaxy_errors(made: MockSpaxels, name: str, found: F32) -> tuple[F64, F64]:
    """Errors of each galaxy's spaxels.

    Parameters
    ----------
    made : MockSpaxels
        N spaxels.
    name : str
        Of the quantity.
    found : array (N,)
        Answers.

    Returns
    -------
    median, scatter : array (G,)
        Median, and robust standard deviation.
    """
    error = found - getattr(made, name)
    tables = [summarise_errors(error[made.galaxy == g], 0 * error[made.galaxy == g]) for g in range(made.n_galaxies)]
    return np.array([t["bias"] for t in tables]), np.array([t["nmad"] for t in tables])


def measure_trends(made: MockSpaxels, answers: SetAnswers) -> dict[str, Any]:
    """Errors of galaxies against each property, in bins of as many galaxies as the paper's.

    Parameters
    ----------
    made : MockSpaxels
    answers : SetAnswers

    Returns
    -------
    dict
    """
    out: dict[str, Any] = {}
    for name in SPAXEL_QUANTITIES:
        median, scatter = measure_galaxy_errors(made, name, answers.found[name])
        for key, values in made.properties.items():
            order = np.argsort(values)
            bins = np.array_split(order, max(1, len(order) // _TREND_GALAXIES))
            out.setdefault(name, {})[key] = {
                "at": [float(np.mean(values[b])) for b in bins],
                "median": [float(np.mean(median[b])) for b in bins],
                "scatter": [float(np.mean(scatter[b])) for b in bins],
                "correlation_of_median": float(np.corrcoef(values, median)[0, 1]),
                "correlation_of_scatter": float(np.corrcoef(values, scatter)[0, 1]),
            }
    return out


def measure_classes(made: MockSpaxels, settings: SpaxelTestSettings) -> dict[str, Any]:
    """Scatter of networks trained on early or late galaxies and applied to both, whole galaxies apart.

    Parameters
    ----------
    made : MockSpaxels
    settings : SpaxelTestSettings

    Returns
    -------
    dict
    """
    early = made.properties["lg_ssfr"] < EARLY_LG_SSFR
    rng = np.random.default_rng([settings.seed, 37])
    members = {"early": rng.permutation(np.flatnonzero(early)), "late": rng.permutation(np.flatnonzero(~early))}
    out: dict[str, Any] = {"n_galaxies": {k: len(v) for k, v in members.items()}, "scatter": {}}
    if min(len(v) for v in members.values()) < narrow_galaxies.FOLDS:
        return out
    tests = {k: np.flatnonzero(np.isin(made.galaxy, v[: len(v) // 4])) for k, v in members.items()}
    for trained, numbers in members.items():
        rows = np.flatnonzero(np.isin(made.galaxy, numbers[len(numbers) // 4 :]))
        for name in SPAXEL_QUANTITIES:
            net = fit_spaxel_network(made, name, rows, "B", settings, settings.seed)
            for tested, mine in tests.items():
                table = summarise_errors(net.predict(made.flux[mine]), getattr(made, name)[mine])
                out["scatter"].setdefault(trained, {}).setdefault(tested, {})[name] = table
    return out


def measure_learning_curve(
    made: MockSpaxels, settings: SpaxelTestSettings, runs: int, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Scatter of log age against the share of spaxels (A) or galaxies (B) that was trained on; mean and std of runs.

    Every size gets as many steps as the largest, fewer where it stops by its validation objects.

    Parameters
    ----------
    made : MockSpaxels
    settings : SpaxelTestSettings
    runs : int
        Networks at each size.
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
    """
    out: dict[str, Any] = {
        "shares": list(LEARNING_SHARES),
        "runs": runs,
        "random": float(np.sqrt(2) * made.lg_age.std()),
        "n_spaxels": len(made.r),
        "n_galaxies": made.n_galaxies,
    }
    for kind in SPAXEL_SETS:
        scatter = np.zeros((len(LEARNING_SHARES), runs))
        for run in range(runs):
            report_progress(Progress(f"learning curve, set {kind}", run, runs), progress)
            parts = narrow_galaxies.split_folds(made, kind, settings.seed + 100 + run)
            rest = np.concatenate(parts[1:])
            for i, share in enumerate(LEARNING_SHARES):
                part = share / LEARNING_SHARES[-1]
                rows = _take_share(made, rest, kind, part, settings.seed + run)
                epochs = round(settings.fit.epochs * min(1 / part, _MOST_REPEATS))
                longer = replace(settings, fit=replace(settings.fit, epochs=epochs))
                net = fit_spaxel_network(made, "lg_age", rows, kind, longer, settings.seed + run)
                scatter[i, run] = summarise_errors(net.predict(made.flux[parts[0]]), made.lg_age[parts[0]])["nmad"]
        out[kind] = {"mean": scatter.mean(1).tolist(), "std": scatter.std(1).tolist()}
    return out


def _take_share(made: MockSpaxels, rows: I64, kind: Split, share: float, seed: int) -> I64:
    """A share of some spaxels, or the spaxels of a share of their galaxies; of both at least a handful."""
    rng = np.random.default_rng([seed, 38])
    unit = made.galaxy[rows] if kind == "B" else np.arange(len(rows))
    numbers = rng.permutation(np.unique(unit))
    return rows[np.isin(unit, numbers[: max(5, round(share * numbers.size))])]


def select_spaxel_network(
    made: MockSpaxels, settings: SpaxelTestSettings, trials: int, progress: ReportProgress | None = None
) -> tuple[SpaxelTestSettings, list[dict[str, Any]]]:
    """Settings of the best of some random networks by the validation loss of log age in set B; all that were tried.

    Parameters
    ----------
    made : MockSpaxels
    settings : SpaxelTestSettings
    trials : int
        Random networks.
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    settings : SpaxelTestSettings
    tried : list of dict
    """
    rng = np.random.default_rng([settings.seed, 39])
    pick: Callable[[str], int] = lambda key: int(rng.choice(SEARCH_SPACE[key]))  # noqa: E731
    tried: list[dict[str, Any]] = []
    rows, best = np.arange(made.galaxy.size), settings
    for k in range(trials):
        report_progress(Progress("search", k, trials), progress)
        network = SpaxelCnnSettings(
            channels=(pick("channels"), pick("channels")),
            kernels=(pick("kernels"), pick("kernels")),
            pool=pick("pool"),
            hidden=pick("hidden"),
        )
        candidate = replace(settings, network=network, fit=replace(settings.fit, batch=pick("batch")))
        net = fit_spaxel_network(made, "lg_age", rows, "B", candidate, settings.seed)
        loss = min(value for _, value in net.curve)
        if not tried or loss < min(t["loss"] for t in tried):
            best = candidate
        tried.append({"loss": loss, "batch": candidate.fit.batch, **network.__dict__})
    return best, tried
