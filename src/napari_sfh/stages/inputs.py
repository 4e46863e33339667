"""First stages of a run: open the files, find the redshift, bin the spaxels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_sfh import decisions
from napari_sfh.config import RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import BundleHeader
from napari_sfh.instruments.coverage import check_rest_range
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.cleaning.bin_maps import read_bin_map
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.dap import check_maps_on_cube, read_maps
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.prep import binning, spectra
from napari_sfh.prep.redshift import estimate_redshift
from napari_sfh.types import (
    BinMap,
    BinnedMaps,
    Cube,
    GivenBins,
    Mosaic,
    Progress,
)

if TYPE_CHECKING:  # with PyTorch: what comes before a network has read anything needs it not
    from napari_sfh.model.bundle import Bundle


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


def open_inputs(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> RunInputs:
    """Open the weights and all files of a run."""
    return run_in_background(lambda: _open_files(config), "opening the files", progress, cancel)


def _open_files(config: RunConfig) -> RunInputs:
    from napari_sfh.model.bundle import load_bundle

    bundle = load_bundle(config.model)
    images = decisions.match_band_names(config.photometry, bundle.instrument.band_names)
    opened = open_galaxy_files(config, bundle)
    return replace(opened, mosaics=open_mosaics(config, images, bundle.instrument))


def open_mosaics(config: RunConfig, images: Mapping[str, Path], instrument: Instrument) -> dict[str, Mosaic]:
    """Open the mosaics of a run.

    Parameters
    ----------
    config : RunConfig
    images : mapping of str to Path
        By the instrument's bands, see `decisions.match_band_names`.
    instrument : Instrument
        Of the weights.

    Raises
    ------
    SfhInputError
        A file cannot be used.
    """
    mosaics = {band: read_mosaic(path, band, instrument) for band, path in images.items()}
    if config.hst_psf_fwhm_arcsec is not None:
        width = config.hst_psf_fwhm_arcsec
        mosaics = {band: replace(mosaic, psf_fwhm_arcsec=width) for band, mosaic in mosaics.items()}
    unknown = [mosaic.path for mosaic in mosaics.values() if not np.isfinite(mosaic.psf_fwhm_arcsec)]
    if unknown:
        raise SfhInputError(
            f"{unknown[0]}: no PSF in its header, and none is known of its camera; write its FWHM in arcsec into a "
            "card PSF_FWHM, or give `hst_psf_fwhm_arcsec`"
        )
    return mosaics


def open_galaxy_files(config: RunConfig, bundle: Bundle | BundleHeader) -> RunInputs:
    """Open the cube, MAPS and the bins of somebody else.

    Parameters
    ----------
    config : RunConfig
    bundle : Bundle or BundleHeader
        The weights; the header is enough until the bins' spectra are there.

    Returns
    -------
    RunInputs
        Without mosaics.

    Raises
    ------
    SfhInputError
        A file cannot be used, or there is no cube.
    """
    if config.cube is None:
        raise SfhInputError(f"weights {bundle.name} need spectra: give `cube` FILE")
    cube = read_cube(config.cube, config.hdu)
    chosen = decisions.choose_line_spread(config, cube, bundle.instrument)
    cube = replace(cube, lsf=chosen.lsf, notes=(*cube.notes, *filter(None, (chosen.note,))))
    maps = None
    if config.maps is not None:
        maps = read_maps(config.maps)
        check_maps_on_cube(maps, cube)
    source = decisions.choose_bin_source(config)
    given = maps if source == "maps" else read_bin_map(config.binning) if source == "file" else None
    return RunInputs(config, cast("Bundle", bundle), cube, maps, {}, given)


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
    summed, _ = spectra.restore_dropped_channels(summed)
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


def list_cube_notes(inputs: RunInputs) -> tuple[str, ...]:
    """What was assumed of the cube, and left out of the channels that were read so far."""
    return (*inputs.cube.notes, *inputs.cube.describe_missing())


@contextmanager
def explain_refusal(inputs: RunInputs) -> Iterator[None]:
    """Add to an error what was assumed of the cube and left out of it so far: it may be the cause."""
    try:
        yield
    except SfhInputError as error:
        for note in list_cube_notes(inputs):
            if note not in str(error):
                error.add_note(note)
        raise
