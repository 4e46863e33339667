"""Single spectra: onto the instrument's grid, and to estimates."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from astropy.table import Table

from napari_sfh.analysis.credibility.misfit_check import check_models, load_misfit_limits
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags
from napari_sfh.errors import SfhInputError
from napari_sfh.estimation.answers import (
    BATCH_OBJECTS,
    RowTally,
    describe_estimate_run,
    join_estimates,
    list_target_units,
)
from napari_sfh.estimation.settings import EstimateConfig, EstimateSummary
from napari_sfh.instruments.coverage import check_rest_range
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.instruments.line_spread import LineSpread, guess_line_spread
from napari_sfh.io.objects.spectra_1d import SingleSpectrum, read_single_spectra
from napari_sfh.io.objects.writing import CatalogueWriter
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.prep.bad_channels import describe_repeated_channels, mask_tiny_errors
from napari_sfh.prep.cross_checks import check_against_templates, check_errors
from napari_sfh.prep.observation import describe_excess, make_observation
from napari_sfh.prep.rest_frame import RestSpectra, shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra, remove_milky_way_dust, restore_dropped_channels
from napari_sfh.types import F32, BinMap, Observation, Progress, join_observations

#: Stellar dispersion in km/s where none is given.
DEFAULT_SIGMA_KMS = 150.0


def _append_estimates(
    out: CatalogueWriter,
    block: Table,
    data: Observation,
    bundle: Bundle,
    config: EstimateConfig,
    cancel: threading.Event | None,
) -> F32:
    """Write spectra with their estimates; their OOD scores, NaN where there is none."""
    prediction = inference.predict_histories(
        data, bundle, device=config.device, batch_size=BATCH_OBJECTS, draws=config.draws, cancel=cancel
    )
    model_flux, model_phot = inference.reconstruct_observations(data, prediction, bundle)
    draw_spectra = partial(inference.draw_predicted_spectra, bundle=bundle)
    prior = load_prior_quantiles(bundle)
    missed = check_models(data, model_flux, model_phot, load_misfit_limits(bundle))
    strange = derive_credibility_flags(data, prediction, prior, model_flux, draw_spectra, missed.flagged)
    out.append(join_estimates(block, data, prediction, strange, list_target_units(bundle), missed.columns))
    return prediction.ood


def estimate_spectra(
    config: EstimateConfig, bundle: Bundle, progress: ReportProgress | None, cancel: threading.Event | None
) -> EstimateSummary:
    """Estimate single spectra into one table.

    Parameters
    ----------
    config : EstimateConfig
    bundle : Bundle
        Of weights that take a spectrum.
    progress, cancel : optional
        See `jobs.report_progress`. After a cancel nothing is written.

    Returns
    -------
    EstimateSummary

    Raises
    ------
    SfhInputError
        An input cannot be read, or a redshift is missing.
    Cancelled
        ``cancel`` was set.
    """
    spectra = [(path, one) for path in config.inputs for one in read_single_spectra(path, config.medium)]
    if config.redshift is not None:  # nobody needs to hear of the header's
        spectra = [(p, replace(s, notes=tuple(n for n in s.notes if n != s.no_redshift))) for p, s in spectra]
    notes: list[str] = []
    tally = RowTally()
    read = [note for _, one in spectra for note in one.notes]
    with CatalogueWriter(config.output, describe_estimate_run(config, bundle, read)) as out:
        for start in range(0, len(spectra), BATCH_OBJECTS):
            report_progress(Progress("estimating spectra", start, len(spectra)), progress, cancel)
            part = spectra[start : start + BATCH_OBJECTS]
            seen = [_observe_spectrum(one, path, bundle, config, notes) for path, one in part]
            block = Table(
                {
                    "FILE": [path.name for path, _ in part],
                    "NAME": [one.name for _, one in part],
                    "REDSHIFT": [_redshift_of(one, path, config) for path, one in part],
                }
            )
            data = join_observations(seen)
            tally.add(data.flag, _append_estimates(out, block, data, bundle, config, cancel))
    return tally.summarise(config.output, notes)


def _redshift_of(one: SingleSpectrum, path: Path, config: EstimateConfig) -> float:
    z = config.redshift if config.redshift is not None else one.redshift
    if z is None:
        raise SfhInputError(f"{path}: {one.no_redshift}; give `redshift` (0 for a spectrum at rest)")
    return float(z)


def _observe_spectrum(
    one: SingleSpectrum, path: Path, bundle: Bundle, config: EstimateConfig, notes: list[str]
) -> Observation:
    """One spectrum on the instrument's grid; one that covers too little of it counts as none."""
    instrument = bundle.instrument
    z = _redshift_of(one, path, config)
    short = _describe_missing_range(one, path, bundle, z)
    sigma = DEFAULT_SIGMA_KMS if config.sigma_kms is None else config.sigma_kms
    lsf, words = one.lsf if config.lsf is None else LineSpread.from_text(config.lsf), ""
    if config.lsf is not None and lsf is not None:
        notes.extend(filter(None, (lsf.describe_reach(one.wave_aa),)))
    if lsf is None:
        lsf, words = guess_line_spread(one.wave_aa, instrument.grid.lsf)
    observed = BinSpectra(
        one.wave_aa, one.flux[None], one.variance[None], (one.good & (not short))[None], 1.0, True, lsf
    )
    observed, tiny = mask_tiny_errors(observed)
    repeated = describe_repeated_channels(observed)
    observed, dropped = restore_dropped_channels(observed)
    observed = remove_milky_way_dust(observed, config.ebv_mw)
    rest = shift_to_rest_frame(observed, instrument.grid, z, 0.0, sigma)
    notes.extend(f"{one.name}: {note}" for note in (*tiny, *repeated, *dropped, *check_errors(observed)))
    if not short:
        notes.extend(check_against_templates(observed, bundle.basis, z, np.zeros(1, np.float32), True, path, one.name))
    notes.extend((*one.notes, *describe_excess(rest, instrument), *_describe_coverage(one, rest, instrument, z, short)))
    if words:
        notes.append(f"line-spread function of the spectra unknown: taken as {words}; give `lsf`")
    if config.sigma_kms is None:
        notes.append(f"stellar dispersion not given: taken for {DEFAULT_SIGMA_KMS:g} km/s; give `sigma_kms`")
    zeros = np.zeros(1)
    row = BinMap(np.ones((1, 1), np.int32), zeros, zeros, np.zeros(1, np.int32), rest.snr, 0.0, "spectrum")
    return make_observation(rest, {}, row, instrument, 0.0, sigma, z, config.sigma_kms is None)


def _describe_missing_range(one: SingleSpectrum, path: Path, bundle: Bundle, z: float) -> str:
    """What a spectrum lacks of the weights' range, where that is more than they know; as `run` says it of a cube."""
    if not one.good.any():
        return ""
    try:
        check_rest_range(one.wave_aa[one.good], z, bundle.instrument.grid, bundle.min_coverage, path)
    except SfhInputError as error:
        return str(error)
    return ""


def _describe_coverage(
    one: SingleSpectrum, rest: RestSpectra, instrument: Instrument, z: float, short: str
) -> tuple[str, ...]:
    """Why a spectrum gives nothing, where its wavelengths do not reach the instrument's, or not enough of them do."""
    if np.isfinite(rest.norm_cgs[0]):
        return ()
    low, high = instrument.grid.wave_aa[[0, -1]] * (1 + z)
    seen = one.wave_aa[one.good]
    first, last = instrument.grid.wave_aa[instrument.grid.norm_pixels][[0, -1]] * (1 + z)
    inside = one.good & (one.wave_aa >= first) & (one.wave_aa <= last)
    if short and seen[-1] > first and seen[0] < last:
        return (short,)
    if seen[0] <= first and seen[-1] >= last:
        return (
            f"{one.name}: {int(inside.sum())} pixels of {first:.0f}-{last:.0f} A are usable, with a mean of "
            f"{float(one.flux[inside].mean()) if inside.any() else np.nan:.3g} of the spectrum's median: nothing to "
            "normalise it by; check its masks, fill values and sky subtraction",
        )
    return (
        f"{one.name}: usable from {seen[0]:.0f} to {seen[-1]:.0f} A; at redshift {z:g} these weights need "
        f"{low:.0f}-{high:.0f} A: check the unit of its wavelengths and the redshift",
    )
