"""What encoder and flow reach on noiseless galaxies of one metallicity, on the terms of Iglesias-Navarro (2023).

The thesis prints an "accuracy" for P10, P50, P90 and [M/H] and never defines it. The journal version reports the same
quantity as R2 (Iglesias-Navarro et al. 2024, A&A 689, A58), so it is taken for 100 R2, the coefficient of determination
of posterior medians against the truth on a tenth of the galaxies; another reading, 100 (1 - mean |error| / mean truth),
stands beside it. The test galaxies' histories were never seen in training, at no metallicity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.console import LogLine
from napari_sfh.physics.ages import UNIVERSE_GYR
from napari_sfh.physics.robust import measure_nmad
from napari_sfh.training.libraries.ssp_library import SspLibrary
from napari_sfh.training.studies.percentiles import percentile_galaxies
from napari_sfh.training.studies.percentiles.percentile_galaxies import (
    LABELS,
    THESIS_RANGE_AA,
    PercentileGalaxies,
)
from napari_sfh.training.studies.percentiles.percentile_nets import (
    PercentileFitSettings,
    PercentilePosterior,
    fit_percentile_posterior,
)
from napari_sfh.types import F32, F64, I64

#: Accuracies that the thesis prints (section 4.1): its noiseless test set, per cent.
THESIS_ACCURACY = {"t10": 79.35, "t50": 93.54, "t90": 98.95, "mh": 75.83}
#: The same of a network for spectra prepared like the stacks (section 4.3).
THESIS_STACK_ACCURACY = {"t10": 65.94, "t50": 91.04, "t90": 98.43, "mh": 66.97}
_BLOCK = 3000
_PCA_ROWS = 12_000
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class PercentileSettings:
    """Galaxies, components and optimisation."""

    histories: int = 10_000
    components: int = 80
    test: int = 3_000
    draws: int = 300
    seed: int = 4
    range_aa: tuple[float, float] = THESIS_RANGE_AA
    sigma_kms: float = 0.0  # to which spectra are broadened
    fit: PercentileFitSettings = field(default_factory=PercentileFitSettings)


@dataclass(frozen=True)
class SpectrumComponents:
    """Principal components of spectra (W,), each coefficient over its standard deviation."""

    mean: F64  # (W,)
    axes: F64  # (W, C)

    def project(self, galaxies: PercentileGalaxies, rows: I64) -> F32:
        """Coefficients (n, C) of galaxies."""
        parts = [(galaxies.spectra(rows[k : k + _BLOCK]) - self.mean) @ self.axes for k in range(0, len(rows), _BLOCK)]
        return np.concatenate(parts).astype(np.float32)


def fit_spectrum_components(spectra: F32, components: int) -> SpectrumComponents:
    """Principal components of spectra, by the eigenvectors of their covariance.

    Parameters
    ----------
    spectra : array (N, W)
    components : int

    Returns
    -------
    SpectrumComponents
    """
    mean = spectra.mean(0, dtype=np.float64)
    centred = spectra.astype(np.float64) - mean
    values, axes = np.linalg.eigh(centred.T @ centred / len(spectra))
    deviation = np.sqrt(np.maximum(values[::-1][:components], _LEAST_DEVIATION**2))
    return SpectrumComponents(mean, axes[:, ::-1][:, :components] / deviation)


def split_by_history(galaxies: PercentileGalaxies, seed: int) -> tuple[I64, I64, I64]:
    """Training, validation and test rows, 80 : 10 : 10 of the histories, each with all its metallicities.

    Parameters
    ----------
    galaxies : PercentileGalaxies
    seed : int

    Returns
    -------
    training, validation, test : int array (n,)
    """
    metals = len(galaxies.spectra_of_mh)
    order = np.random.default_rng([seed, 52]).permutation(len(galaxies.weights))
    a, b = int(0.8 * len(order)), int(0.9 * len(order))
    rows = (order[:, None] * metals + np.arange(metals)).astype(np.int64)
    return rows[:a].ravel(), rows[a:b].ravel(), rows[b:].ravel()


def measure_determination(found: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Coefficient of determination R2 in per cent: 100 less the share of the truth's variance that is left.

    Parameters
    ----------
    found, truth : array (N,)

    Returns
    -------
    float
    """
    return 100 * float(1 - np.mean((found - truth) ** 2) / np.var(truth))


def measure_percentile_accuracy(
    found: NDArray[np.floating], truth: NDArray[np.floating]
) -> dict[str, dict[str, float]]:
    """R2 in per cent, the relative reading, NMAD and bias of each label; ``found``, ``truth`` (N, L).

    Parameters
    ----------
    found, truth : array (N, L)
        In the order of `LABELS`.

    Returns
    -------
    dict of str to dict
    """
    out = {}
    for k, name in enumerate(LABELS):
        error = np.asarray(found[:, k], float) - truth[:, k]
        spread = np.asarray(truth[:, k], float)
        out[name] = {
            "r2": measure_determination(np.asarray(found[:, k], float), spread),
            "one_minus_relative": 100 * float(1 - np.mean(np.abs(error)) / np.mean(np.abs(spread))),
            "nmad": measure_nmad(error),
            "bias": float(np.median(error)),
        }
    return out


def measure_draw_coverage(draws: F32, truth: F32) -> dict[str, dict[str, float]]:
    """Shares of truths inside the central 68 and 95 % of draws.

    Parameters
    ----------
    draws : array (N, n, L)
    truth : array (N, L)

    Returns
    -------
    dict of str to dict
        ``p68`` and ``p95`` of each label.
    """
    low95, low, high, high95 = np.quantile(draws, [0.025, 0.16, 0.84, 0.975], axis=1)
    return {
        name: {
            "p68": float(np.mean((truth[:, k] >= low[:, k]) & (truth[:, k] <= high[:, k]))),
            "p95": float(np.mean((truth[:, k] >= low95[:, k]) & (truth[:, k] <= high95[:, k]))),
        }
        for k, name in enumerate(LABELS)
    }


def measure_draw_joint_coverage(draws: F32, truth: F32, seed: int = 1) -> dict[str, list[float]]:
    """Joint coverage of draws (N, n, L): nominal shares and those of truths (N, L) inside regions of that share.

    Regions are balls about random points, in units of the truths' spread: exact for a calibrated posterior, whatever
    the points (TARP; Lemos et al. 2023, ICML).

    Parameters
    ----------
    draws : array (N, n, L)
    truth : array (N, L)
    seed : int
        Of the random points.

    Returns
    -------
    dict of str to list
    """
    rng = np.random.default_rng(seed)
    scale = np.maximum(truth.std(0), 1e-9)
    centre = truth[rng.permutation(len(truth))] / scale
    of_draws = ((draws / scale - centre[:, None]) ** 2).sum(-1)
    of_truth = ((truth / scale - centre) ** 2).sum(-1)
    share = (of_draws < of_truth[:, None]).mean(1)
    nominal = np.linspace(0, 1, 21)
    return {"nominal": nominal.tolist(), "true": [float((share <= level).mean()) for level in nominal]}


def keep_times_possible(draws: F32) -> F32:
    """Draws of which no time lies before the first star or after today; the flow knows no bounds.

    Parameters
    ----------
    draws : array (N, n, L)
        Times in Gyr, [M/H] last.
    """
    return np.concatenate([np.clip(draws[..., :-1], 0.0, UNIVERSE_GYR), draws[..., -1:]], axis=-1)


def select_typical_galaxy(draws: F32, truth: F32) -> int:
    """The tested galaxy whose truth lies as far from its posterior as is usual.

    Far is the mean square over the labels of truth less mean, over the standard deviation of its draws; the median
    galaxy is chosen.

    Parameters
    ----------
    draws : array (N, n, L)
    truth : array (N, L)
    """
    away = (truth - draws.mean(1)) / np.maximum(draws.std(1), 1e-9)
    order = np.argsort((away**2).mean(1))
    return int(order[len(order) // 2])


@dataclass(frozen=True)
class PercentileStudy:
    """What the figures need: galaxies, the posterior, and tested ones with their draws (N, n, L) and truths (N, L)."""

    galaxies: PercentileGalaxies
    posterior: PercentilePosterior
    inputs: F32  # (N, C)
    rows: I64  # (N,)
    draws: F32
    truth: F32


def measure_percentile_networks(
    library: SspLibrary, settings: PercentileSettings, say: LogLine
) -> tuple[dict[str, Any], PercentileStudy]:
    """Draw, fit and measure.

    Parameters
    ----------
    library : SspLibrary
    settings : PercentileSettings
    say : callable
        Given a line on what is done.

    Returns
    -------
    dict
        ``accuracy`` of the posterior medians, ``encoder`` of the encoder alone, ``coverage``, ``curves``, sizes.
    PercentileStudy
    """
    s = settings
    galaxies = percentile_galaxies.make_percentile_galaxies(library, s.histories, s.seed, s.range_aa, s.sigma_kms)
    train, validation, test = split_by_history(galaxies, s.seed)
    rng = np.random.default_rng([s.seed, 53])
    components = fit_spectrum_components(galaxies.spectra(rng.choice(train, min(_PCA_ROWS, len(train)))), s.components)
    say(f"{len(train)} galaxies to train on, {len(test)} to test on, {s.components} components")
    test = rng.permutation(test)[: s.test]
    x, vx, tx = (components.project(galaxies, rows) for rows in (train, validation, test))
    truth = galaxies.labels(test)
    validated = (vx, galaxies.labels(validation))
    posterior = fit_percentile_posterior(x, galaxies.labels(train), validated, s.fit, say)
    draws = keep_times_possible(posterior.draw(tx, s.draws))
    measured = {
        "library": library.name,
        "range_aa": list(s.range_aa),
        "sigma_kms": s.sigma_kms,
        "n_train": len(train),
        "n_test": len(test),
        "accuracy": measure_percentile_accuracy(np.median(draws, axis=1), truth),
        "encoder": measure_percentile_accuracy(posterior.predict(tx), truth),
        "coverage": measure_draw_coverage(draws, truth),
        "joint_coverage": measure_draw_joint_coverage(draws, truth),
        "thesis": THESIS_STACK_ACCURACY if s.sigma_kms > 0 else THESIS_ACCURACY,
        "spread": dict(zip(LABELS, truth.std(0).tolist())),
        "flow_parameters": sum(p.numel() for p in posterior.flow.parameters()),
        "curves": posterior.curves,
    }
    return measured, PercentileStudy(galaxies, posterior, tx, test, draws, truth)
