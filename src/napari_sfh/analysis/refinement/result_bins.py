"""Refinement of bins of a finished result, and the table of what it says beside the network."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table

from napari_sfh.analysis.posteriors import DEFAULT_QUANTITIES, PosteriorDraws, collect_draws
from napari_sfh.analysis.refinement.refining import RefinedPosterior, RefinementSettings, refine_posterior
from napari_sfh.analysis.region_files import read_regions
from napari_sfh.analysis.regions import find_bins_in_outlines
from napari_sfh.analysis.weights import load_result_bundle
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Result

#: Quantities of the table and of what is printed.
REFINED_QUANTITIES: tuple[str, ...] = ("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw", "tau_ism", "lg_ml_v")


@dataclass(frozen=True)
class RefinedBin:
    """A bin (1..N) and its posterior by likelihood."""

    bin_id: int
    posterior: RefinedPosterior


def refine_result_bins(
    result: Result,
    bin_ids: Sequence[int],
    settings: RefinementSettings | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[RefinedBin]:
    """Sample the posteriors of some bins by likelihood, one after the other; see `refine_posterior`.

    Parameters
    ----------
    result : Result
        With a spectrum; its weights must be at hand.
    bin_ids : sequence of int
        1..N.
    settings : RefinementSettings, optional
    progress, cancel : optional
        See `jobs.report_progress`; of each bin.

    Raises
    ------
    SfhInputError
        No such bin, one without a prediction, or as `refine_posterior`.
    """
    for bin_id in bin_ids:
        if not 1 <= bin_id <= result.bins.n_bins:
            raise SfhInputError(f"bin {bin_id}: there are bins 1 to {result.bins.n_bins}")
        if not np.isfinite(result.prediction.ood[bin_id - 1]):
            raise SfhInputError(f"bin {bin_id} has no prediction (no usable spectrum), hence nothing to refine")
    bundle = load_result_bundle(result)
    for bin_id in bin_ids:
        yield RefinedBin(bin_id, refine_posterior(result.data, bin_id - 1, bundle, settings, progress, cancel))


def list_region_bins(result: Result, path: Path) -> list[int]:
    """Bins (1..N) inside the regions of a DS9 file that have a prediction.

    Parameters
    ----------
    result : Result
    path : Path

    Raises
    ------
    SfhInputError
        No regions, or no such bin in them.
    """
    rows = find_bins_in_outlines(result, read_regions(path, result.wcs).outlines)
    predicted = rows[np.isfinite(result.prediction.ood[rows])]
    if not predicted.size:
        raise SfhInputError(f"{path}: no bin with a prediction has its centre inside; draw a larger region")
    return [int(row) + 1 for row in predicted]


def draw_refined_posterior(
    result: Result,
    bin_id: int,
    names: Sequence[str] = DEFAULT_QUANTITIES,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> PosteriorDraws:
    """Draws by likelihood of chosen quantities of a bin (1..N), as `posteriors.draw_bin_posterior` makes the network's.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.
    names : sequence of str
        Quantities.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    PosteriorDraws

    Raises
    ------
    SfhInputError
        As `refine_result_bins`.
    """
    (one,) = refine_result_bins(result, [bin_id], None, progress, cancel)
    check = one.posterior.check
    words = "the model contradicts the data" if check.contradicts else "the model could have made the data"
    met = "" if one.posterior.sampled.have_met else ", the chains have not met"
    return PosteriorDraws(bin_id, collect_draws(one.posterior.draws, names), note=f"by likelihood: {words}{met}")


def build_refinement_table(result: Result, refined: Sequence[RefinedBin]) -> Table:
    """One row a bin: median, 16 and 84 % of each quantity, by network and by likelihood (``_FIT``), and the check.

    Parameters
    ----------
    result : Result
    refined : sequence of RefinedBin

    Returns
    -------
    Table
    """
    return Table([_make_row(result, one) for one in refined])


def _make_row(result: Result, one: RefinedBin) -> dict[str, float]:
    row: dict[str, float] = {"BIN_ID": one.bin_id}
    for name in REFINED_QUANTITIES:
        quantiles = result.prediction.quantiles[name][one.bin_id - 1], one.posterior.quantiles[name]
        for suffix, q in zip(("", "_FIT"), quantiles, strict=True):
            key = f"{name.upper()}{suffix}"
            row |= {key: float(q[2]), f"{key}_P16": float(q[1]), f"{key}_P84": float(q[3])}
    check = one.posterior.check
    row |= {"PPC_CONTINUUM": check.continuum, "PPC_BANDS": check.bands, "ERROR_SCALE": check.error_scale}
    sampled = one.posterior.sampled
    return row | {"CORRELATION_PX": check.correlation, "R_HAT": sampled.ratio, "EFFECTIVE_DRAWS": sampled.effective}


def describe_refinement(result: Result, one: RefinedBin) -> str:
    """What changed, in one line.

    Parameters
    ----------
    result : Result
    one : RefinedBin

    Returns
    -------
    str
    """
    parts = []
    for name in REFINED_QUANTITIES[:4]:
        before, after = result.prediction.quantiles[name][one.bin_id - 1], one.posterior.quantiles[name]
        widths = [0.5 * (q[3] - q[1]) for q in (before, after)]
        parts.append(f"{name} {before[2]:.2f} +- {widths[0]:.2f} -> {after[2]:.2f} +- {widths[1]:.2f}")
    check = one.posterior.check
    words = "the model contradicts the data" if check.contradicts else "the model could have made the data"
    sampled = one.posterior.sampled
    apart = f"R-hat {sampled.ratio:.2f}, {sampled.effective:.0f} effective draws"
    met = "" if sampled.have_met else f"; the chains have not met ({apart}): more `moves`"
    numbers = f"continuum {check.continuum:.2f}, bands {check.bands:.2f}, errors times {check.error_scale:.2f}"
    return f"bin {one.bin_id}: {', '.join(parts)}; {words} ({numbers}){met}"
