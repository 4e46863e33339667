"""The whole run without Qt: files in, `Result` out.

Nothing is computed here: the stages live in `io`, `prep`, `model` and `analysis`, the choices in `decisions`; this
module is their order. Each stage takes and returns named objects.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from napari_sfh import __version__, decisions
from napari_sfh.analysis.credibility.flags import derive_credibility_flags
from napari_sfh.analysis.gas import gas_and_stars, line_fitting, predicted_lines
from napari_sfh.config import RunConfig
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.instruments.coverage import check_rest_range
from napari_sfh.io.cleaning.bin_maps import read_bin_map
from napari_sfh.io.dap import check_maps_on_cube, read_maps
from napari_sfh.io.hst import is_camera_substitute, read_mosaic
from napari_sfh.io.muse import read_cube
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.physics import extinction
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.prep import binning, rest_frame, sky_lines, spectra
from napari_sfh.prep.bad_channels import mask_bad_channels
from napari_sfh.prep.cross_checks import check_against_templates, check_errors, compare_redshifts
from napari_sfh.prep.grids import describe_dropped_spaxels
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.mosaics import bands
from napari_sfh.prep.mosaics.bands import BandPhotometry
from napari_sfh.prep.mosaics.psf import choose_cube_psf
from napari_sfh.prep.observation import describe_excess, make_observation, mask_gas_lines
from napari_sfh.prep.redshift import estimate_redshift
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.prep.spikes import remove_spikes
from napari_sfh.types import (
    F32,
    I32,
    BinMap,
    BinnedMaps,
    Cube,
    Flag,
    GivenBins,
    Mosaic,
    Observation,
    Prediction,
    Progress,
    Result,
)

_MANY_FLAGGED = 0.1  # share of bins out of depth, or with gas of another kind


@dataclass(frozen=True)
class RunInputs:
    """The opened files of a run."""

    config: RunConfig
    bundle: Bundle
    cube: Cube
    maps: BinnedMaps | None
    mosaics: Mapping[str, Mosaic]  # band -> mosaic
    given_bins: BinnedMaps | GivenBins | None = None  # bins of somebody else


@dataclass(frozen=True)
class BinnedGalaxy:
    """A galaxy's spaxels, and the bins that they form."""

    redshift: float
    spaxels: binning.SpaxelSN
    bins: BinMap


@dataclass(frozen=True)
class PreparedObservation:
    """What the network sees, and what a person should know of it."""

    data: Observation
    notes: tuple[str, ...]


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


def run_pipeline(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> Result:
    """Run a galaxy: from a cube, and mosaics where there are any, to a result (`napari_sfh.run`).

    Parameters
    ----------
    config : RunConfig
    progress : callable, optional
        Called with a `Progress` at each piece of the work.
    cancel : threading.Event, optional
        Set from another thread, or from ``progress``, it ends the run within a second.

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
    inputs = open_inputs(config, progress, cancel)
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
        raise Cancelled(collect_result(inputs, galaxy, prepared, reached, _no_gas_flags(galaxy))) from None
    return collect_result(inputs, galaxy, prepared, predicted, gas)


def open_inputs(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> RunInputs:
    """Open the weights and all files of a run."""
    return run_in_background(lambda: _open_files(config), "opening the files", progress, cancel)


def _open_files(config: RunConfig) -> RunInputs:
    bundle = load_bundle(config.model)
    instrument = bundle.instrument
    decisions.check_band_names(config.photometry, instrument.band_names)
    cube = read_cube(config.cube)
    chosen = decisions.choose_line_spread(config, cube, instrument)
    cube = replace(cube, lsf=chosen.lsf, notes=(*cube.notes, *filter(None, (chosen.note,))))
    maps = None
    if config.maps is not None:
        maps = read_maps(config.maps)
        check_maps_on_cube(maps, cube)
    mosaics = {band: read_mosaic(path, band, instrument) for band, path in config.photometry.items()}
    if config.hst_psf_fwhm_arcsec is not None:
        width = config.hst_psf_fwhm_arcsec
        mosaics = {band: replace(mosaic, psf_fwhm_arcsec=width) for band, mosaic in mosaics.items()}
    source = decisions.choose_bin_source(config)
    given = maps if source == "maps" else read_bin_map(config.binning) if source == "file" else None
    return RunInputs(config, bundle, cube, maps, mosaics, given)


def find_redshift(
    inputs: RunInputs, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> float:
    """The redshift of `decisions.choose_redshift`, else one measured from the brightest fifth of the spaxels."""
    cube, bundle = inputs.cube, inputs.bundle
    known = decisions.choose_redshift(inputs.config, cube, inputs.maps).value
    if known is not None:
        check_rest_range(cube.wave_aa, known, bundle.instrument.grid, bundle.min_coverage, cube.path)
        return known
    if bundle.basis is None:
        raise SfhInputError(
            f"{cube.path}: no redshift is known, and weights {bundle.name} cannot find it; give `redshift`"
        )
    report_progress(Progress("no redshift given: measuring it", 0, 0), progress, cancel)
    window = bundle.instrument.grid.norm_window_aa
    spaxels = binning.measure_signal_noise(cube, 0.0, window, progress=progress, cancel=cancel)
    bright = spaxels.good & (spaxels.signal >= np.nanpercentile(spaxels.signal[spaxels.good], 80))
    bins = binning.bin_spaxels(spaxels, inputs.config.target_snr, given=bright.astype(np.int32))
    summed = spectra.extract_bin_spectra(cube, bins, progress=progress, cancel=cancel)
    redshift, error = estimate_redshift(summed, bundle.basis, cube.path)
    report_progress(Progress(f"redshift {redshift:.5f} +- {error:.5f} measured", 0, 0), progress, cancel)
    return redshift


def bin_galaxy(
    inputs: RunInputs,
    redshift: float,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> BinnedGalaxy:
    """Measure the S/N of the spaxels and bin them.

    Parameters
    ----------
    inputs : RunInputs
    redshift : float
        Systemic.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    BinnedGalaxy
        Redshift, signal and noise of the spaxels (ny, nx), and the bin map.

    Raises
    ------
    SfhInputError
        The cube does not reach the network's wavelengths, or no bin reaches the target S/N.
    """
    config, cube, grid = inputs.config, inputs.cube, inputs.bundle.instrument.grid
    check_rest_range(cube.wave_aa, redshift, grid, inputs.bundle.min_coverage, cube.path)
    spaxels = binning.measure_signal_noise(cube, redshift, grid.norm_window_aa, progress=progress, cancel=cancel)
    given = inputs.given_bins
    method = config.binning if given is None else "auto"
    warning = binning.describe_binning_time(spaxels, method)
    stage = decisions.describe_bin_source(config) + (f": {warning}" if warning else "")
    bins = run_in_background(
        lambda: binning.bin_spaxels(spaxels, config.target_snr, method, given, cancel), stage, progress, cancel
    )
    return BinnedGalaxy(redshift, spaxels, bins)


def prepare_observation(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> PreparedObservation:
    """Spectra, kinematics and photometry of the bins as the network sees them, corrected for the Milky Way.

    Parameters
    ----------
    inputs : RunInputs
    galaxy : BinnedGalaxy
        From `bin_galaxy`.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    PreparedObservation
        The `Observation` of N bins, and notes for the user.

    Raises
    ------
    SfhInputError
        Kinematics cannot be measured as asked for, or a mosaic does not belong to the cube.
    """
    config, redshift, bins = inputs.config, galaxy.redshift, galaxy.bins
    instrument = inputs.bundle.instrument
    grid = instrument.grid
    channels = spectra.find_channel_range(inputs.cube, redshift, grid)
    summed = spectra.extract_bin_spectra(inputs.cube, bins, channels, galaxy.spaxels.signal, progress, cancel)
    summed, spike_notes = remove_spikes(summed, inputs.cube, bins, channels.start, galaxy.spaxels.signal, redshift)
    summed, channel_notes = mask_bad_channels(summed, redshift)
    checks = check_errors(summed)
    summed, notes = sky_lines.mask_sky_residuals(_deredden_spectra(summed, config.ebv_mw or 0.0), redshift)
    motion = _measure_kinematics(inputs, galaxy, summed, progress, cancel)
    given = decisions.choose_kinematics(config) not in ("fast", "ppxf")
    stars = check_against_templates(summed, inputs.bundle.basis, redshift, motion.v_kms, given, inputs.cube.path)
    notes = (*checks, *stars, *spike_notes, *channel_notes, *_given_bins_notes(inputs, galaxy), *notes)
    rest = run_in_background(
        lambda: rest_frame.shift_to_rest_frame(summed, grid, redshift, motion.v_kms, motion.sigma_kms, cancel=cancel),
        f"rest frame and {grid.sigma_kms:g} km/s",
        progress,
        cancel,
    )
    photometry = _measure_photometry(inputs, galaxy, progress, cancel)
    substitutes = [band for band in photometry.flux if is_camera_substitute(inputs.mosaics[band], instrument)]
    data = make_observation(
        rest,
        photometry.flux,
        bins,
        instrument,
        motion.v_kms,
        motion.sigma_kms,
        redshift,
        ~motion.measured,
        other_camera=substitutes,
    )
    if config.mask_lines:
        data, notes = mask_gas_lines(data), (*notes, "pixels on gas lines masked")
    return PreparedObservation(data, (*notes, *describe_excess(rest, instrument), *photometry.notes))


def _given_bins_notes(inputs: RunInputs, galaxy: BinnedGalaxy) -> tuple[str, ...]:
    """Whose bins were taken, what their numbers mean, and how many spaxels were dropped."""
    given = inputs.given_bins
    if given is None:
        return ()
    taken = given.note if isinstance(given, GivenBins) else ""
    if inputs.config.binning == "auto":
        taken = f"bins are those of {given.path.name}, to compare with its maps; --binning vorbin makes new ones"
    dropped = describe_dropped_spaxels(given, galaxy.bins, galaxy.spaxels.good)
    return tuple(filter(None, (taken, *dropped)))


def _deredden_spectra(summed: spectra.BinSpectra, ebv: float) -> spectra.BinSpectra:
    passed = extinction.milky_way_transmission(summed.wave_aa, ebv).astype(np.float32)
    return replace(summed, flux=summed.flux / passed, variance=summed.variance / passed**2)


def _measure_kinematics(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    summed: spectra.BinSpectra,
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> stellar_kinematics.StellarKinematics:
    source, bundle = decisions.choose_kinematics(inputs.config), inputs.bundle
    if source == "maps":
        assert inputs.maps is not None  # RunConfig refuses anything else
        return stellar_kinematics.bin_maps_kinematics(inputs.maps, galaxy.bins, galaxy.redshift, inputs.cube.path.name)
    if source not in ("fast", "ppxf"):
        return stellar_kinematics.parse_constant_kinematics(source, galaxy.bins.n_bins)
    if bundle.basis is None:
        raise SfhInputError(f"`kinematics` {source}: weights {bundle.name} have no templates; give maps, or V,SIGMA")
    fit = fit_fast_kinematics if source == "fast" else stellar_kinematics.fit_ppxf_kinematics
    data = make_log_spectra(summed, galaxy.redshift, bundle.basis, bundle.instrument.grid)
    return fit(data, progress, cancel)


def _measure_photometry(
    inputs: RunInputs, galaxy: BinnedGalaxy, progress: ReportProgress | None, cancel: threading.Event | None
) -> BandPhotometry:
    config, instrument = inputs.config, inputs.bundle.instrument
    used = decisions.choose_used_bands(inputs.mosaics, galaxy.redshift, instrument.redshift_max)
    if used.note:
        report_progress(Progress(used.note, 0, 0), progress, cancel)
        return BandPhotometry({}, (used.note,))
    psf = choose_cube_psf(inputs.cube, instrument.grid.norm_window_aa, config.psf_fwhm_arcsec)
    measured = bands.measure_bands(
        inputs.mosaics,
        inputs.cube,
        galaxy.bins,
        psf,
        inputs.bundle.filters,
        config.ebv_mw or 0.0,
        config.align,
        config.subtract_sky,
        progress,
        cancel,
    )
    if not (psf.assumed and inputs.mosaics):
        return measured
    return BandPhotometry(measured.flux, (decisions.describe_assumed_psf(psf), *measured.notes))


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
        From `prepare_observation`.
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
        return _no_gas_flags(galaxy)
    lines = line_fitting.fit_emission_lines(data, prediction, redshift, inputs.bundle, progress=progress, cancel=cancel)
    other = gas_and_stars.find_non_star_forming_gas(data, predicted.model_flux, redshift, lines)
    stars = line_fitting.reconstruct_stars(data, prediction, inputs.bundle)
    absent = predicted_lines.find_absent_lines(
        predicted_lines.compare_line_widths(data, predicted.model_flux, stars, redshift, lines)
    )
    flag = (np.where(other, int(Flag.OTHER_GAS), 0) | np.where(absent, int(Flag.ABSENT_LINES), 0)).astype(np.int32)
    if other.sum() <= _MANY_FLAGGED * max(int(np.isfinite(prediction.ood).sum()), 1):
        return GasFlags(flag, ())
    note = (
        f"gas of {other.sum()} of {other.size} bins is not lit by young stars alone ([N II]/Halpha, [O III]/Hbeta), "
        "but the network takes it for their light: give `mask_lines`"
    )
    return GasFlags(flag, (note,))


def _no_gas_flags(galaxy: BinnedGalaxy) -> GasFlags:
    return GasFlags(np.zeros(galaxy.bins.n_bins, dtype=np.int32), ())


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
    draw_spectra = partial(_draw_spectra, bundle=inputs.bundle)
    strange = derive_credibility_flags(data, prediction, prior, predicted.model_flux, draw_spectra)
    flag = data.flag | gas.flag | strange
    notes = (*_file_notes(inputs), *prepared.notes, *_ood_notes(prediction.ood), *gas.notes)
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
    )


def _draw_spectra(data: Observation, n: int, bundle: Bundle) -> F32:
    return inference.draw_predicted_spectra(data, bundle, n)


def _file_notes(inputs: RunInputs) -> tuple[str, ...]:
    """What was assumed or left out, for the person who reads the result."""
    config, cube, maps = inputs.config, inputs.cube, inputs.maps
    unset = () if config.ebv_mw is not None else (decisions.NO_FOREGROUND,)
    known = {"the settings": config.redshift, "MAPS": maps.redshift if maps else None, "the header": cube.redshift}
    mosaics = (note for mosaic in inputs.mosaics.values() for note in mosaic.notes)
    return (*unset, *compare_redshifts(known), *cube.notes, *cube.describe_missing(), *mosaics)


def _ood_notes(ood: F32) -> tuple[str, ...]:
    """A warning where many bins are out of depth."""
    known, strange = int(np.isfinite(ood).sum()), int((ood > 1).sum())
    lost = () if known == ood.size else (f"{ood.size - known} of {ood.size} bins have too few usable pixels: no value",)
    if strange <= _MANY_FLAGGED * known:
        return lost
    return (
        *lost,
        f"{strange} of {known} bins are out of the network's depth: do not believe them before you know why",
    )
