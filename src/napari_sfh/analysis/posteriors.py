"""The joint posterior of a bin of a finished result: which quantities depend on which.

A result file keeps quantiles, not draws. They are made anew: the bin's spectrum and photometry are in the result as the
network saw them, the network is found by the name and the sha256 that the result carries. The draws are calibrated like
the quantiles, so that draws and quantiles agree in median and interval.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_sfh.analysis.credibility.reweighting import (
    NormalPrior,
    ReweightedPosterior,
    UniformPrior,
    reweight_posterior,
)
from napari_sfh.analysis.weights import load_result_bundle
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.physics.formation import compute_formation_times
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import F32, F64, QUANTILES, Progress, Result

#: Quantities that can be drawn: name -> (title, unit).
POSTERIOR_QUANTITIES: dict[str, tuple[str, str]] = {
    name: (quantity.title, quantity.unit) for name, quantity in QUANTITIES.items() if name != "tau_ism"
}
#: Those that follow from a history.
_OF_HISTORIES = (
    *("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw", "ebv", "tau_bc", "lg_ml_v"),
    *("t10", "t50", "t90"),
)
#: What is drawn unless told otherwise.
DEFAULT_QUANTITIES: tuple[str, ...] = ("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw", "ebv")
#: Draws of one bin.
POSTERIOR_DRAWS = 4096


@dataclass(frozen=True)
class PosteriorDraws:
    """Draws of the posterior of one bin, or of one row of a catalogue."""

    bin_id: int  # or the row's number, from 1
    values: Mapping[str, F64]  # keys of QUANTITIES, (n,) each, in their units
    source: str = ""  # of a row: its catalogue
    model_name: str = ""  # of a row: the weights
    row_name: str = ""  # of a row: how its catalogue calls it
    note: str = ""  # how they were made, where not by the network alone

    @property
    def name(self) -> str:
        """What it is of, for a title."""
        return (self.row_name or f"row {self.bin_id}") if self.source else f"bin {self.bin_id}"

    def array(self) -> F64:
        """All of them, (n, quantities)."""
        return np.column_stack(list(self.values.values()))


def list_posterior_quantities(result: Result) -> tuple[str, ...]:
    """Names of the quantities of `POSTERIOR_QUANTITIES` that the result's weights tell of."""
    if result.prediction.has_histories:
        return _OF_HISTORIES
    return tuple(name for name in result.prediction.scalars if name in POSTERIOR_QUANTITIES)


@check_arguments
def draw_bin_posterior(
    result: Result,
    bin_id: int,
    names: Sequence[str] = DEFAULT_QUANTITIES,
    n: int = POSTERIOR_DRAWS,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> PosteriorDraws:
    """Draws of chosen quantities of one bin.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    names : sequence of str
        Keys of `POSTERIOR_QUANTITIES`.
    n : int
        Number of draws.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    PosteriorDraws

    Raises
    ------
    SfhInputError
        No such bin or quantity, a bin without a prediction, or its weights are not at hand.
    """
    _check_request(result, bin_id, names)
    report_progress(Progress("weights", 0, 2), progress, cancel)
    bundle = load_result_bundle(result)
    report_progress(Progress("posterior", 1, 2), progress, cancel)
    from napari_sfh.model.inference import draw_posterior_samples

    made = draw_posterior_samples(result.data.select(slice(bin_id - 1, bin_id)), bundle, n, calibrated=True)
    values = collect_draws({k: v[0] for k, v in made.items()}, names)
    raise_if_cancelled(cancel)
    return PosteriorDraws(bin_id, values)


def compute_predictive_band(result: Result, bin_id: int, n: int = 64) -> F32:
    """Quantiles of the spectra that draws of a bin's posterior make, without noise: the posterior-predictive band.

    Parameters
    ----------
    result : Result
        Of weights of histories with templates.
    bin_id : int
        1..N.
    n : int
        Number of draws.

    Returns
    -------
    array (5, W)
        At `types.QUANTILES`, in the unit of ``result.data.flux``.

    Raises
    ------
    SfhInputError
        No such bin; its weights are not at hand, or rebuild no spectra.
    """
    _check_request(result, bin_id, DEFAULT_QUANTITIES[:1])
    bundle = load_result_bundle(result)
    from napari_sfh.model.inference import draw_predicted_spectra

    spectra = draw_predicted_spectra(result.data.select(slice(bin_id - 1, bin_id)), bundle, n)[0]
    return np.quantile(spectra, QUANTILES, axis=0).astype(np.float32)


def collect_draws(made: Mapping[str, F32], names: Sequence[str]) -> dict[str, F64]:
    """Draws (n,) of chosen quantities.

    Parameters
    ----------
    made : mapping of str to array
        What a model derives of one object: scalars (n,), ``cum_mass`` (n, A).
    names : sequence of str
        Keys of `POSTERIOR_QUANTITIES`; those that ``made`` lacks are formation times.
    """
    values = {}
    for name in names:
        if name in made:
            values[name] = made[name].astype(np.float64)
        else:
            grown = np.concatenate([made["cum_mass"], np.zeros((len(made["cum_mass"]), 1), np.float32)], axis=1)
            values[name] = compute_formation_times(grown, (int(name[1:]) / 100,))[:, 0]
    return values


def reweight_bin_posterior(
    result: Result,
    bin_id: int,
    wanted: Mapping[str, NormalPrior | UniformPrior],
    names: Sequence[str] = DEFAULT_QUANTITIES,
    n: int = POSTERIOR_DRAWS,
) -> ReweightedPosterior:
    """A bin's posterior under another prior on some of the four means.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    wanted : mapping
        The new prior by quantity, `NormalPrior` or `UniformPrior`; the rest of the prior stays as it is given these.
    names : sequence of str
        Quantities of interest, keys of `POSTERIOR_QUANTITIES`.
    n : int
        Number of draws.

    Raises
    ------
    SfhInputError
        As `draw_bin_posterior` and `reweight_posterior`; the density of the weights' prior is not known.
    """
    drawn = draw_bin_posterior(result, bin_id, tuple(dict.fromkeys((*names, *wanted))), n)
    return reweight_draws(result, drawn, wanted)


def reweight_draws(
    result: Result, drawn: PosteriorDraws, wanted: Mapping[str, NormalPrior | UniformPrior]
) -> ReweightedPosterior:
    """Draws of a bin of a result under another prior, see `reweight_bin_posterior`.

    Parameters
    ----------
    result : Result
    drawn : PosteriorDraws
    wanted : mapping of str to prior
        By quantity.

    Returns
    -------
    ReweightedPosterior

    Raises
    ------
    SfhInputError
        The density of the weights' prior is not known; as `reweight_posterior`.
    """
    from napari_sfh.model.prior_summary import load_prior_summary

    summary = load_prior_summary(load_result_bundle(result))
    if summary is None:
        raise SfhInputError(f"{result.model_name}: the prior of these weights is not known; use weights that say it")
    return reweight_posterior(drawn.values, summary.density, wanted)


def resample_posterior(made: ReweightedPosterior, drawn: PosteriorDraws, names: Sequence[str]) -> PosteriorDraws:
    """Draws of equal weight under the other prior, of some quantities.

    Parameters
    ----------
    made : ReweightedPosterior
    drawn : PosteriorDraws
    names : sequence of str
        Quantities.

    Returns
    -------
    PosteriorDraws

    Raises
    ------
    SfhInputError
        Too few draws carry the answer.
    """
    if not made.is_reliable:
        raise SfhInputError(
            f"{drawn.name}: under this prior the answer rests on {made.effective_size:.0f} draws; choose one nearer to "
            "the posterior, or train with it"
        )
    n = len(made.weights)
    # Evenly spaced over the cumulative weights: the least noise that resampling can add.
    place = np.searchsorted(np.cumsum(made.weights), (np.arange(n) + 0.5) / n).clip(max=n - 1)
    note = f"another prior, {made.effective_size:.0f} effective draws"
    joined = f"{drawn.note}; {note}" if drawn.note else note
    return replace(drawn, values={k: drawn.values[k][place] for k in names}, note=joined)


def _check_request(result: Result, bin_id: int, names: Sequence[str]) -> None:
    result.bins.check_bin(bin_id)
    known = list_posterior_quantities(result)
    if unknown := [name for name in names if name not in known]:
        raise SfhInputError(f"posterior of {unknown[0]!r} is unknown: choose of {', '.join(known)}")
    if len(names) == 0:
        raise SfhInputError("posterior: no quantity is chosen; choose at least one")
    prediction = result.prediction
    told = prediction.ood if prediction.mass_frac is None else prediction.mass_frac
    if not np.isfinite(told[bin_id - 1]).all():
        raise SfhInputError(f"bin {bin_id} has no prediction (no usable spectrum), hence no posterior; click another")
