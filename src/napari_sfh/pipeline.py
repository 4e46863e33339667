"""The whole run without Qt: files in, `Result` out.

Nothing is computed here: this module is the order of the `stages`. What they call lives in `io`, `prep`, `model` and
`analysis`, their choices in `decisions`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from napari_sfh.config import RunConfig
from napari_sfh.errors import Cancelled
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.jobs import ReportProgress
from napari_sfh.stages.bands import run_on_bands
from napari_sfh.stages.inputs import BinnedGalaxy, bin_galaxy, find_redshift, open_inputs
from napari_sfh.stages.observation import prepare_observation
from napari_sfh.stages.outcome import (
    GasFlags,
    PredictedBins,
    collect_result,
    explain_refusal,
    flag_other_gas,
    predict_bins,
)
from napari_sfh.types import Result

#: Gives what `start_run` has made elsewhere: waits for it with the run's progress and cancel.
FinishBegin = Callable[[ReportProgress | None, threading.Event | None], BinnedGalaxy | None]


def run_pipeline(
    config: RunConfig,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
    finish_begin: FinishBegin | None = None,
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
    finish_begin : callable, optional
        Where the begin of this run was made elsewhere: waits for the value of `start_run`.

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
    with explain_refusal(inputs):
        galaxy = None if finish_begin is None else finish_begin(progress, cancel)
        if galaxy is None:
            redshift = find_redshift(inputs, progress, cancel)
            galaxy = bin_galaxy(inputs, redshift, progress, cancel)
        prepared = prepare_observation(inputs, galaxy, progress, cancel)
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
