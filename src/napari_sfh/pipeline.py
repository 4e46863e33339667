"""The whole run without Qt: files in, `Result` out.

Nothing is computed here: this module is the order of the `stages`. What they call lives in `io`, `prep`, `model` and
`analysis`, their choices in `decisions`.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.config import RunConfig
from napari_sfh.errors import Cancelled
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.jobs import ReportProgress
from napari_sfh.stages.ahead import RunAhead
from napari_sfh.stages.bands import run_on_bands
from napari_sfh.stages.inputs import (
    BinnedGalaxy,
    RunInputs,
    bin_galaxy,
    explain_refusal,
    find_redshift,
    open_inputs,
)
from napari_sfh.stages.observation import PreparedObservation, join_observation, measure_photometry, prepare_spectra
from napari_sfh.stages.outcome import (
    GasFlags,
    PredictedBins,
    collect_result,
    flag_other_gas,
    predict_bins,
)
from napari_sfh.types import Result


class ObservedGalaxy(NamedTuple):
    """What the network sees of a galaxy; the cube among the inputs knows what was missing in it."""

    inputs: RunInputs
    galaxy: BinnedGalaxy
    prepared: PreparedObservation


@check_arguments
def run_pipeline(
    config: RunConfig,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
    ahead: RunAhead | None = None,
) -> Result:
    """Run a galaxy: from a cube, and mosaics where there are any, to a result (`napari_sfh.run`).

    Weights that take bands alone cut them from the cube, or take images instead.

    Parameters
    ----------
    config : RunConfig
    progress : callable, optional
        Called with a `Progress` at each piece of the work.
    cancel : threading.Event, optional
        Set from another thread, or from ``progress``, it ends the run within a second.
    ahead : RunAhead, optional
        What another process makes of this run.

    Returns
    -------
    Result

    Raises
    ------
    Cancelled
        ``cancel`` was set; ``reached`` holds a result in which the bins that were not reached are NaN, or None where
        no bin was predicted.
    SfhInputError
        Input that cannot be used; the message names the file, the key and the remedy.
    ComputeError
        A computation failed.

    Examples
    --------
    >>> import napari_sfh
    >>> config = napari_sfh.configure_run("NGC0628", ebv_mw=0.06, draws=50)  # a folder with cube, mosaics and MAPS
    >>> result = napari_sfh.run(config)
    >>> result.prediction.median("lg_age_lw").shape == (result.bins.n_bins,)
    True
    """
    if read_bundle_header(config.model).instrument.spectrum is None:
        return run_on_bands(config, progress, cancel)
    inputs = open_inputs(config, progress, cancel)
    observed = _take_observation(inputs, ahead, progress, cancel) if ahead else None
    inputs, galaxy, prepared = observed or _observe(inputs, progress, cancel)
    predicted: PredictedBins | None = None
    try:
        predicted = predict_bins(inputs, prepared, progress, cancel)
        gas = flag_other_gas(inputs, galaxy, prepared, predicted, progress, cancel)
    except Cancelled as stopped:
        reached = predicted or stopped.reached
        if reached is None:
            raise
        raise Cancelled(collect_result(inputs, galaxy, prepared, reached, GasFlags.none(galaxy.bins.n_bins))) from None
    return collect_result(inputs, galaxy, prepared, predicted, gas)


def _observe(inputs: RunInputs, progress: ReportProgress | None, cancel: threading.Event | None) -> ObservedGalaxy:
    with explain_refusal(inputs):
        galaxy = bin_galaxy(inputs, find_redshift(inputs, progress, cancel), progress, cancel)
        spectra = prepare_spectra(inputs, galaxy, progress, cancel)
        photometry = measure_photometry(inputs, galaxy, inputs.bundle.filters, progress, cancel)
        return ObservedGalaxy(inputs, galaxy, join_observation(inputs, galaxy, spectra, photometry))


def _take_observation(
    inputs: RunInputs, ahead: RunAhead, progress: ReportProgress | None, cancel: threading.Event | None
) -> ObservedGalaxy | None:
    """As `_observe`, with what another process makes of it; None where that made nothing."""
    begun = ahead.finish_start(inputs.bundle.filters, progress, cancel)
    if begun is None:
        return None
    inputs = _say_what_is_missing(inputs, begun.missing)
    with explain_refusal(inputs):
        spectra = prepare_spectra(inputs, begun.galaxy, progress, cancel, begun.summed)
        bands = ahead.finish_bands(progress, cancel)
        if bands is None:
            return None
        inputs = _say_what_is_missing(inputs, bands.missing)
        prepared = join_observation(inputs, begun.galaxy, spectra, bands.photometry)
    return ObservedGalaxy(inputs, begun.galaxy, prepared)


def _say_what_is_missing(inputs: RunInputs, missing: tuple[str, ...]) -> RunInputs:
    """The inputs with what another process left out of the cube's channels, which it read."""
    return replace(inputs, cube=replace(inputs.cube, describe_missing=partial(tuple, missing)))
