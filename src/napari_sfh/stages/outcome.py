"""Last stages of a run: predict the bins, flag them, and join all into a result."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_sfh import __version__, decisions
from napari_sfh.analysis.credibility.common_residuals import describe_common_residuals
from napari_sfh.analysis.credibility.misfit_check import MisfitLimits, check_models, load_misfit_limits
from napari_sfh.analysis.credibility.prediction_flags import (
    MANY_FLAGGED,
    derive_credibility_flags,
    describe_frequent_flags,
)
from napari_sfh.analysis.credibility.shift_check import describe_shifted_band, find_shifted_band
from napari_sfh.analysis.gas import gas_and_stars, line_fitting, predicted_lines
from napari_sfh.errors import Cancelled
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.prep.cross_checks import compare_redshifts
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.stages.inputs import BinnedGalaxy, RunInputs, list_cube_notes
from napari_sfh.stages.observation import PreparedObservation
from napari_sfh.types import (
    F32,
    I32,
    Flag,
    Observation,
    Prediction,
    Progress,
    Result,
)


@dataclass(frozen=True)
class PredictedBins:
    """What the network says of the bins, and the data rebuilt from that."""

    prediction: Prediction
    model_flux: F32 | None  # (N, W) in the unit of Observation.flux; None: the weights have no templates
    model_phot: F32 | None  # (N, B)


@dataclass(frozen=True)
class GasFlags:
    """Bins whose gas no young stars light up."""

    flag: I32  # (N,) Flag.OTHER_GAS or 0
    notes: tuple[str, ...]

    @classmethod
    def none(cls, n: int) -> GasFlags:
        """No flag on any of ``n`` bins."""
        return cls(np.zeros(n, dtype=np.int32), ())


def predict_bins(
    inputs: RunInputs,
    prepared: PreparedObservation,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> PredictedBins:
    """Predict the histories of all bins, and rebuild the data from them.

    Parameters
    ----------
    inputs : RunInputs
    prepared : PreparedObservation
        From `join_observation`.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    PredictedBins
        Prediction, and models of spectra (N, W) and bands (N, B) where the weights have templates.

    Raises
    ------
    Cancelled
        Holds the bins that were reached.
    ComputeError
        Memory is short even for one bin.
    """
    config, data = inputs.config, prepared.data
    try:
        prediction = inference.predict_histories(
            data, inputs.bundle, config.device, draws=config.draws, progress=progress, cancel=cancel
        )
    except Cancelled as stopped:
        if stopped.reached is None:
            raise
        raise Cancelled(_rebuild_data(data, stopped.reached, inputs.bundle)) from None
    report_progress(Progress("models of the predictions", 0, 0), progress)
    return _rebuild_data(data, prediction, inputs.bundle)


def _rebuild_data(data: Observation, prediction: Prediction, bundle: Bundle) -> PredictedBins:
    return PredictedBins(prediction, *inference.reconstruct_observations(data, prediction, bundle))


def flag_other_gas(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    prepared: PreparedObservation,
    predicted: PredictedBins,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> GasFlags:
    """Flag the bins whose gas no young stars light up, and say what helps.

    Parameters
    ----------
    inputs : RunInputs
    galaxy, prepared, predicted
        Of the stages before.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    GasFlags
        Flags (N,), all 0 where the lines are hidden from the network or the grid holds none, and notes.
    """
    data, prediction, redshift = prepared.data, predicted.prediction, galaxy.redshift
    hidden = not (data.mask & ~find_stellar_pixels(data.instrument.wave_aa)).any()
    if hidden or predicted.model_flux is None or not line_fitting.holds_lines(data.instrument.grid):
        return GasFlags.none(galaxy.bins.n_bins)
    lines = line_fitting.fit_emission_lines(data, prediction, redshift, inputs.bundle, progress=progress, cancel=cancel)
    other = gas_and_stars.find_non_star_forming_gas(data, predicted.model_flux, redshift, lines)
    stars = line_fitting.reconstruct_stars(data, prediction, inputs.bundle)
    widths = predicted_lines.compare_line_widths(data, predicted.model_flux, stars, redshift, lines)
    absent = predicted_lines.find_absent_lines(predicted_lines.apply_median_youth(widths, prediction))
    flag = (np.where(other, int(Flag.OTHER_GAS), 0) | np.where(absent, int(Flag.ABSENT_LINES), 0)).astype(np.int32)
    if other.sum() <= MANY_FLAGGED * max(int(np.isfinite(prediction.ood).sum()), 1):
        return GasFlags(flag, ())
    note = (
        f"gas of {other.sum()} of {other.size} bins is not lit by young stars alone ([N II]/Halpha, [O III]/Hbeta), "
        "but the network takes it for their light: give `mask_lines`"
    )
    return GasFlags(flag, (note,))


def collect_result(
    inputs: RunInputs, galaxy: BinnedGalaxy, prepared: PreparedObservation, predicted: PredictedBins, gas: GasFlags
) -> Result:
    """Join the stages into the result of a run.

    Parameters
    ----------
    inputs : RunInputs
    galaxy, prepared, predicted, gas
        Of the stages before; flags and notes of all are joined.

    Returns
    -------
    Result
    """
    config, data, prediction = inputs.config, prepared.data, predicted.prediction
    prior = load_prior_quantiles(inputs.bundle)
    draw_spectra = partial(inference.draw_predicted_spectra, bundle=inputs.bundle)
    limits = load_misfit_limits(inputs.bundle)
    missed = check_models(data, predicted.model_flux, predicted.model_phot, limits)
    strange = derive_credibility_flags(data, prediction, prior, predicted.model_flux, draw_spectra, missed.flagged)
    flag = data.flag | gas.flag | strange
    told = describe_frequent_flags(flag, prediction.ood)
    told += (*missed.notes, *_describe_displaced_mosaic(inputs, galaxy, prepared, predicted, limits))
    told += describe_common_residuals(data, predicted.model_flux, prediction.ood, galaxy.bins.snr, galaxy.redshift)
    notes = (*_file_notes(inputs), *prepared.notes, *_ood_notes(prediction.ood), *gas.notes, *told)
    return Result(
        bins=galaxy.bins,
        data=data,
        prediction=prediction,
        model_flux=predicted.model_flux,
        model_phot=predicted.model_phot,
        chi2=None if predicted.model_flux is None else reduced_chi2(data, predicted.model_flux),
        flag=flag.astype(np.int32),
        white=galaxy.spaxels.signal,
        wcs=inputs.cube.wcs,
        name=inputs.cube.name,
        redshift=galaxy.redshift,
        model_name=inputs.bundle.name,
        model_sha256=inputs.bundle.sha256,
        settings={
            **config.settings(),
            "version": __version__,
            "device_used": str(inference.choose_device(config.device)),
            "notes": " | ".join(notes),
        },
        prior=prior,
        misfit=missed.columns,
    )


def _describe_displaced_mosaic(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    prepared: PreparedObservation,
    predicted: PredictedBins,
    limits: MisfitLimits | None,
) -> tuple[str, ...]:
    """A note on a mosaic that lies beside the cube, of a band that it covers or not."""
    check, data = limits.bands if limits else None, prepared.data
    shifted = find_shifted_band(data, predicted.model_phot, check, prepared.slopes, galaxy.bins)
    return describe_shifted_band(shifted, data.instrument.band_names, inputs.cube.wcs)


def _file_notes(inputs: RunInputs) -> tuple[str, ...]:
    """What was assumed or left out, for the person who reads the result."""
    config, cube, maps = inputs.config, inputs.cube, inputs.maps
    unset = () if config.ebv_mw is not None else (decisions.NO_FOREGROUND,)
    known = {"the settings": config.redshift, "MAPS": maps.redshift if maps else None, "the header": cube.redshift}
    return (*unset, *compare_redshifts(known), *list_cube_notes(inputs), *_mosaic_notes(inputs))


def _mosaic_notes(inputs: RunInputs) -> tuple[str, ...]:
    """Each note once, with the bands whose mosaics have it."""
    bands: dict[str, list[str]] = {}
    for band, mosaic in inputs.mosaics.items():
        for note in mosaic.notes:
            bands.setdefault(note, []).append(band)
    return tuple(f"{', '.join(found)}: {note}" for note, found in bands.items())


def _ood_notes(ood: F32) -> tuple[str, ...]:
    """A warning where many bins are out of depth."""
    known, strange = int(np.isfinite(ood).sum()), int((ood > 1).sum())
    lost = () if known == ood.size else (f"{ood.size - known} of {ood.size} bins have too few usable pixels: no value",)
    if strange <= MANY_FLAGGED * known:
        return lost
    return (
        *lost,
        f"{strange} of {known} bins are out of the network's depth: do not believe them before you know why",
    )
