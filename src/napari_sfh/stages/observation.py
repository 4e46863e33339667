"""The stage that makes what the network sees: spectra, kinematics and photometry of the bins, and notes on them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_sfh import decisions
from napari_sfh.errors import SfhInputError
from napari_sfh.io.mosaics import is_camera_substitute
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.physics.filters import Filter
from napari_sfh.prep import rest_frame, sky_lines, spectra
from napari_sfh.prep.bad_channels import mask_bad_channels, mask_tiny_errors
from napari_sfh.prep.cross_checks import check_against_templates, check_errors
from napari_sfh.prep.grids import describe_dropped_spaxels
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.kinematics.fast_kinematics import fit_fast_kinematics
from napari_sfh.prep.kinematics.given_kinematics import check_given_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.mosaics import bands
from napari_sfh.prep.mosaics.bands import BandPhotometry
from napari_sfh.prep.mosaics.psf import choose_cube_psf
from napari_sfh.prep.observation import describe_excess, make_observation, mask_gas_lines
from napari_sfh.prep.spikes import remove_spikes
from napari_sfh.stages.inputs import BinnedGalaxy, RunInputs
from napari_sfh.types import (
    F64,
    GivenBins,
    Observation,
    Progress,
)

#: Share of the bins in which a band must be used for nothing to be said.
_BAND_SHARE = 0.9


@dataclass(frozen=True)
class PreparedObservation:
    """What the network sees, and what a person should know of it."""

    data: Observation
    notes: tuple[str, ...]
    slopes: F64 | None = None  # (N, B, 2) of the bands' images, see `photometry.measure_bin_slopes`; None: no mosaics


@dataclass(frozen=True)
class SummedSpectra:
    """Spectra of the bins, cleaned and corrected for the Milky Way, before anything is fitted to them."""

    spectra: spectra.BinSpectra
    checks: tuple[str, ...]  # what is to be said of gaps and errors
    cleaned: tuple[str, ...]  # ... of spikes and faulty channels
    sky: tuple[str, ...]  # ... of residuals of the night sky


class PreparedSpectra(NamedTuple):
    """Spectra of the bins at rest, and how their stars move."""

    rest: rest_frame.RestSpectra
    motion: stellar_kinematics.StellarKinematics
    notes: tuple[str, ...]


def sum_bin_spectra(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> SummedSpectra:
    """Sum the spectra of the bins and clean them; of the weights, it needs the header alone.

    Parameters
    ----------
    inputs : RunInputs
    galaxy : BinnedGalaxy
        From `bin_galaxy`.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    SummedSpectra
    """
    redshift, bins, light = galaxy.redshift, galaxy.bins, galaxy.spaxels.signal
    channels = spectra.find_channel_range(inputs.cube, redshift, inputs.bundle.instrument.grid)
    summed = spectra.extract_bin_spectra(inputs.cube, bins, channels, light, progress, cancel)
    summed, tiny_notes = mask_tiny_errors(summed)
    summed, faults, spike_notes = remove_spikes(summed, inputs.cube, bins, channels.start, light, redshift)
    summed, channel_notes = mask_bad_channels(summed, redshift, faults)
    summed, gap_notes = spectra.restore_dropped_channels(summed)
    checks = (*tiny_notes, *gap_notes, *check_errors(summed))
    dust_free = spectra.remove_milky_way_dust(summed, inputs.config.ebv_mw or 0.0)
    summed, sky_notes = sky_lines.mask_sky_residuals(dust_free, redshift)
    return SummedSpectra(summed, checks, (*spike_notes, *channel_notes), tuple(sky_notes))


def prepare_spectra(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
    summed: SummedSpectra | None = None,
) -> PreparedSpectra:
    """Spectra and kinematics of the bins as the network sees them, corrected for the Milky Way.

    Parameters
    ----------
    inputs : RunInputs
    galaxy : BinnedGalaxy
        From `bin_galaxy`.
    progress, cancel : optional
        See `jobs.report_progress`.
    summed : SummedSpectra, optional
        From `sum_bin_spectra`, where that was made before.

    Returns
    -------
    PreparedSpectra

    Raises
    ------
    SfhInputError
        Kinematics cannot be measured as asked for.
    """
    basis, grid, redshift = inputs.bundle.basis, inputs.bundle.instrument.grid, galaxy.redshift
    cleaned = summed or sum_bin_spectra(inputs, galaxy, progress, cancel)
    spectra = cleaned.spectra
    motion = _measure_kinematics(inputs, galaxy, spectra, progress, cancel)
    given = decisions.choose_kinematics(inputs.config) not in ("fast", "ppxf")
    stars = check_against_templates(spectra, basis, redshift, motion.v_kms, given, inputs.cube.path)
    if given:
        stars += check_given_kinematics(spectra, basis, grid, redshift, motion)
    notes = (*cleaned.checks, *stars, *cleaned.cleaned, *_given_bins_notes(inputs, galaxy), *cleaned.sky)
    rest = run_in_background(
        lambda: rest_frame.shift_to_rest_frame(spectra, grid, redshift, motion.v_kms, motion.sigma_kms, cancel=cancel),
        f"rest frame and {grid.sigma_kms:g} km/s",
        progress,
        cancel,
    )
    return PreparedSpectra(rest, motion, notes)


def measure_photometry(
    inputs: RunInputs,
    galaxy: BinnedGalaxy,
    filters: Sequence[Filter],
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> BandPhotometry:
    """Photometry of the bins, corrected for the Milky Way; of the weights, it needs the header alone.

    Parameters
    ----------
    inputs : RunInputs
    galaxy : BinnedGalaxy
        From `bin_galaxy`.
    filters : sequence of Filter
        Curves of the instrument's bands (of the weights).
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    BandPhotometry

    Raises
    ------
    SfhInputError
        A mosaic does not belong to the cube.
    """
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
        filters,
        config.ebv_mw or 0.0,
        config.align,
        config.subtract_sky,
        galaxy.redshift,
        progress,
        cancel,
    )
    if not (psf.assumed and inputs.mosaics):
        return measured
    return measured._replace(notes=(decisions.describe_assumed_psf(psf), *measured.notes))


def join_observation(
    inputs: RunInputs, galaxy: BinnedGalaxy, prepared: PreparedSpectra, photometry: BandPhotometry
) -> PreparedObservation:
    """Spectra and photometry of the bins as one.

    Parameters
    ----------
    inputs : RunInputs
    galaxy : BinnedGalaxy
        From `bin_galaxy`.
    prepared : PreparedSpectra
        From `prepare_spectra`.
    photometry : BandPhotometry
        From `measure_photometry`.

    Returns
    -------
    PreparedObservation
        The `Observation` of N bins, and notes for the user.
    """
    instrument, (rest, motion, notes) = inputs.bundle.instrument, prepared
    substitutes = [band for band in photometry.flux if is_camera_substitute(inputs.mosaics[band], instrument)]
    data = make_observation(
        rest,
        photometry.flux,
        galaxy.bins,
        instrument,
        motion.v_kms,
        motion.sigma_kms,
        galaxy.redshift,
        ~motion.measured,
        other_camera=substitutes,
    )
    if inputs.config.mask_lines:
        data, notes = mask_gas_lines(data), (*notes, "pixels on gas lines masked")
    notes = (*notes, *describe_excess(rest, instrument), *photometry.notes)
    notes = (*notes, *_describe_sparse_bands(data, photometry.flux))
    return PreparedObservation(data, notes, _join_slopes(data, photometry))


def _join_slopes(data: Observation, photometry: BandPhotometry) -> F64 | None:
    """Slopes (N, B, 2) of the images of all bands; NaN where a band has none."""
    if not photometry.slopes:
        return None
    missing = np.full((data.n_bins, 2), np.nan)
    return np.stack([photometry.slopes.get(band, missing) for band in data.instrument.band_names], axis=1)


def _given_bins_notes(inputs: RunInputs, galaxy: BinnedGalaxy) -> tuple[str, ...]:
    """Whose bins were taken, what their numbers mean, and how many spaxels were dropped."""
    given = inputs.given_bins
    if given is None:
        return ()
    taken = given.note if isinstance(given, GivenBins) else ""
    if inputs.config.binning == "auto":
        taken = f"bins are those of {given.path.name}, to compare with its maps; `binning` vorbin makes new ones"
    dropped = describe_dropped_spaxels(given, galaxy.bins, galaxy.spaxels.good)
    return tuple(filter(None, (taken, *dropped)))


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


def _describe_sparse_bands(data: Observation, measured: Collection[str]) -> tuple[str, ...]:
    """In how many bins a band that was measured is used, where many lack it."""
    used = {
        band: int(mask.sum()) for band, mask in zip(data.instrument.band_names, data.phot_mask.T) if band in measured
    }
    return tuple(
        f"{band} is used in {n} of {len(data.phot_mask)} bins: on the others the mosaic has too few usable pixels"
        for band, n in used.items()
        if n < _BAND_SHARE * len(data.phot_mask)
    )
